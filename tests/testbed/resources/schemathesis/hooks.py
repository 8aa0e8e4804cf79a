"""Job files are text to Schemathesis, and come as their own media type. MILLSTREAM_JOB names one to be sent instead of those
that are made up."""
import os
from pathlib import Path

import schemathesis

JOB = os.environ.get('MILLSTREAM_JOB')


@schemathesis.serializer('application/toml')
def toml(context, value):
    return value.encode() if isinstance(value, str) else str(value).encode()


if JOB:
    @schemathesis.hook
    def map_body(context, body):
        return Path(JOB).read_text() if isinstance(body, str) else body

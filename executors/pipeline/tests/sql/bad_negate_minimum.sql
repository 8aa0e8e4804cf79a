-- column: a bigint
-- record: {"a":-9223372036854775808}
-- record: {"a":-9223372036854775807}
-- record: {}
SELECT -a AS n FROM input

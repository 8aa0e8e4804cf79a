"""Fetch one binary archive from the configured Python package index, with pip's own code.

pip finds and downloads such a 'dumb' archive but then refuses it (it has no setup.py); so only pip's finder and
session are used, which follow the machine's pip configuration.   usage: fetch.py PROJECT FILE SHA256 OUT"""
import hashlib
import sys

from pip._internal.configuration import Configuration
from pip._internal.index.collector import LinkCollector
from pip._internal.index.package_finder import PackageFinder
from pip._internal.models.index import PyPI
from pip._internal.models.search_scope import SearchScope
from pip._internal.models.selection_prefs import SelectionPreferences
from pip._internal.network.session import PipSession

project, file, sha256, out = sys.argv[1:5]
configuration = Configuration(isolated=False)
configuration.load()
settings = dict(configuration.items())
index = settings.get('global.index-url') or settings.get(':env:.index-url') or PyPI.simple_url
session = PipSession(index_urls=[index])
scope = SearchScope.create(find_links=[], index_urls=[index], no_index=False)
finder = PackageFinder.create(link_collector=LinkCollector(session=session, search_scope=scope),
                              selection_prefs=SelectionPreferences(allow_yanked=True))
candidates = finder.find_all_candidates(project)
links = [c.link for c in candidates if str(c.link.filename) == file]
if not links:
    sys.exit(f'{file} is not in the package index; it has: ' + ', '.join(sorted(c.link.filename for c in candidates)))
response = session.get(links[0].url.split('#')[0])
response.raise_for_status()
got = hashlib.sha256(response.content).hexdigest()
if got != sha256:
    sys.exit(f'{file} has sha256 {got}, expected {sha256}')
with open(out, 'wb') as f:
    f.write(response.content)

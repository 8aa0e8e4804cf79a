"""Writes a CycloneDX 1.5 list of all that is built into `millstream` and `millstream-executor`: crates, and the C libraries
that some of them bring. The same sources give the same bytes.   usage: sbom.py OUT"""
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ['millstream-cli', 'millstream-stream']
TARGET = 'x86_64-unknown-linux-gnu'

# Crate that links it → library, licence, where its version is: in that of a crate, or in one of its files.
LIBRARIES = {
    'aws-lc-sys': [('aws-lc', None, 'aws-lc/include/openssl/base.h', r'AWSLC_VERSION_NUMBER_STRING "([\d.]+)"')],
    'curl-sys': [('curl', 'curl', 'curl-sys', r'\+curl-([\d.]+)$')],
    'libz-sys': [('zlib', 'Zlib', 'src/zlib/zlib.h', r'define ZLIB_VERSION "([\d.]+)"')],
    'openssl-sys': [('openssl', 'Apache-2.0', 'openssl-src', r'\+([\d.]+)$')],
    'rdkafka-sys': [('librdkafka', 'BSD-2-Clause', 'rdkafka-sys', r'\+([\d.]+)$'),
                    ('lz4', 'BSD-2-Clause', 'librdkafka/src/lz4.h', r'VERSION_MAJOR +(\d+)[^#]*#define LZ4_VERSION_MINOR +(\d+)[^#]*#define LZ4_VERSION_RELEASE +(\d+)')],
    'zstd-sys': [('zstd', 'BSD-3-Clause', 'zstd-sys', r'zstd\.([\d.]+)$')],
}
# Link nothing of their own.
EMPTY = {'aws-lc-rs'}


def main():
    metadata = json.loads(cargo('metadata', '--format-version', '1'))
    packages = {(package['name'], package['version']): package for package in metadata['packages']}
    edges = built_in(tree())
    lock = tomllib.loads((ROOT / 'Cargo.lock').read_text())
    sums = {(package['name'], package['version']): package.get('checksum') for package in lock['package']}
    components = [crate(packages[key], sums) for key in edges]
    dependencies = {ref(packages[key]): [ref(packages[to]) for to in tos] for key, tos in edges.items()}
    for key in edges:
        for library in libraries(packages[key], metadata['packages']):
            components.append(library)
            dependencies[ref(packages[key])].append(library['bom-ref'])
            dependencies[library['bom-ref']] = []
    programs = [package for key, package in packages.items() if key in edges and package['name'] in PROGRAMS]
    dependencies['millstream'] = [ref(program) for program in programs]
    whole = {'type': 'application', 'bom-ref': 'millstream', 'name': 'millstream', 'version': programs[0]['version'],
             'licenses': [{'expression': programs[0]['license']}]}
    document = {
        'bomFormat': 'CycloneDX', 'specVersion': '1.5', 'version': 1,
        'metadata': {'component': whole},
        'components': sorted(components, key=lambda component: component['bom-ref']),
        'dependencies': [{'ref': one, 'dependsOn': sorted(dependencies[one])} for one in sorted(dependencies)],
    }
    Path(sys.argv[1]).write_text(json.dumps(document, indent=1) + '\n')


def cargo(*args):
    command = ['cargo', args[0], '--locked', *args[1:]]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def tree():
    """Package → those it is linked with, of the whole workspace. `cargo metadata` would list features that are off."""
    only = ['--workspace', '--target', TARGET, '--edges', 'normal,no-proc-macro']
    text = cargo('tree', *only, '--prefix', 'depth', '--format', ' {p}')
    edges, above = {}, []
    for line in filter(None, text.splitlines()):
        depth, name, version = line.split()[:3]
        key = name, version.removeprefix('v')
        del above[int(depth):]
        edges.setdefault(key, set())
        if above:
            edges[above[-1]].add(key)
        above.append(key)
    return edges


def built_in(edges):
    """Of these, what the programs reach."""
    todo, reached = [key for key in edges if key[0] in PROGRAMS], {}
    while todo:
        key = todo.pop()
        if key not in reached:
            reached[key] = edges[key]
            todo += edges[key]
    return reached


def ref(package):
    name, version = package['name'], package['version'].replace('+', '%2B')
    return f'{name}@{version}' if package['source'] is None else f'pkg:cargo/{name}@{version}'


def crate(package, sums):
    component = {'type': 'library', 'bom-ref': ref(package), 'name': package['name'], 'version': package['version'],
                 'licenses': [{'expression': package['license'].replace('/', ' OR ')}]}
    if package['source'] is not None:
        component['purl'] = ref(package)
        component['hashes'] = [{'alg': 'SHA-256', 'content': sums[package['name'], package['version']]}]
    return component


def libraries(package, packages):
    if package['links'] is None or package['name'] in EMPTY:
        return
    if package['name'] not in LIBRARIES:
        sys.exit(f'{package["name"]} links {package["links"]}: say in {Path(__file__).name} what it is')
    for name, licence, place, pattern in LIBRARIES[package['name']]:
        carrier = next((other for other in packages if other['name'] == place), None)
        file = Path(package['manifest_path']).parent / place
        text = carrier['version'] if carrier else file.read_text()
        found = re.search(pattern, text)
        if not found:
            sys.exit(f'{place} of {package["name"]} does not say the version of {name} any more')
        version = '.'.join(found.groups())
        purl = f'pkg:generic/{name}@{version}'
        yield {'type': 'library', 'bom-ref': purl, 'name': name, 'version': version, 'purl': purl,
               'licenses': [{'expression': licence or package['license']}], 'description': f'in {package["name"]} {package["version"]}'}


main()

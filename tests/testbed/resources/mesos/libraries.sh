# Makes sure of the shared libraries that libmesos links to. Runs before every start: it costs milliseconds when they
# are there, and the built files may come from another machine's cache.
set -euo pipefail
there() { ldconfig -p | grep -q "$1"; }
if there libsvn_delta-1.so.1 && there libapr-1.so.0 && there libsasl2.so.2; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "Mesos needs the libraries of the packages libsvn1 libapr1 libsasl2-2: apt-get install libsvn1 libapr1 libsasl2-2" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libsvn1 libapr1 libsasl2-2

# Makes sure of the shared libraries that libmesos links to, and of the curl behind its stand-in. Runs before every start: it
# costs milliseconds when they are there, and the built files may come from another machine's cache.
set -euo pipefail
PACKAGES="libsvn1 libapr1 libsasl2-2 libcurl3-gnutls"
there() { ldconfig -p | grep -q "$1"; }
if there libsvn_delta-1.so.1 && there libapr-1.so.0 && there libsasl2.so.2 && there libcurl-gnutls.so.4; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "Mesos needs the libraries of the packages $PACKAGES: apt-get install $PACKAGES" >&2
  exit 1
fi
apt-get update -qq
# shellcheck disable=SC2086  # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $PACKAGES

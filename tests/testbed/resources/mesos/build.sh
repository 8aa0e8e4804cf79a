# Builds ./bin, ./lib and ./libexec of a real Mesos 1.11.0 in the current folder, which already holds the sources beside
# this script. The package's one shared object contains the whole of libmesos; mesos-host.cpp is the main() it lacks.
# The sha256 is pinned: mesos-host.cpp is only right for exactly this library.
set -euo pipefail
FILE=mesos.scheduler-1.11.0.linux-x86_64.tar.gz
SHA256=1d376f20bca6d05ee8b90c1c123a452b28753497ccc2f1c80ea3ac94c12e8f6e
mkdir -p bin lib libexec
python3 fetch.py mesos.scheduler "$FILE" "$SHA256" "$FILE"
tar xzf "$FILE" -O --wildcards '*/_scheduler.so' > lib/libmesos.so
chmod +x lib/libmesos.so
python3 stubs.py lib/libmesos.so .
for l in crypto:libcrypto.so.1.0.0 ssl:libssl.so.1.0.0 curl:libcurl.so.4; do
  gcc -shared -fPIC -w -o "lib/${l#*:}" "${l%%:*}.c" -Wl,--version-script="${l%%:*}.map" -Wl,-soname,"${l#*:}" -ldl
done
g++ -std=c++14 -O1 -Wall -fPIC -pie -fvisibility=hidden -o bin/mesos-host mesos-host.cpp -Llib -lmesos \
  -Wl,--disable-new-dtags,-rpath,'$ORIGIN/../lib' -Wl,--allow-shlib-undefined -Wl,-z,lazy
ln -s mesos-host bin/mesos-master
ln -s mesos-host bin/mesos-agent
ln -s ../bin/mesos-host libexec/mesos-containerizer
for n in executor fetcher; do install -m 755 mesos-$n.py libexec/mesos-$n; done
rm -f "$FILE" ./*.c ./*.map
bin/mesos-master --version

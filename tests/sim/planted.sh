#!/usr/bin/env bash
# Are planted bugs found? Copies what the simulation is made of, applies every patch of planted/ (each guards its bug by a
# switch), builds that once, and runs it once for each bug until a seed finds it. Nothing of it is ever shipped.
# Usage: planted.sh [SEEDS]; CARGO_TARGET_DIR says where to work.
set -euo pipefail

seeds=${1:-10000}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
copy=$target/planted
crates=(jobs/spec framework/placement framework/mesos-types framework/scheduler executors/protocol tests/sim)

rm -rf "$copy"
mkdir -p "$copy"
cp "$root/Cargo.lock" "$copy/"
members=$(printf '"%s", ' "${crates[@]}")
awk -v members="$members" '/^members = \[/ { print "members = [" members "]"; skip = 1; next }
    skip && /^\]/ { skip = 0; next }
    !skip' "$root/Cargo.toml" >"$copy/Cargo.toml"
for crate in "${crates[@]}"; do
    mkdir -p "$copy/$(dirname "$crate")"
    cp -r "$root/$crate" "$copy/$crate"
done

broken=0
for patch in "$here"/planted/*.patch; do
    if ! out=$(patch --directory="$copy/framework/scheduler" --strip=1 --forward --batch --no-backup-if-mismatch <"$patch" 2>&1); then
        echo "planted/$(basename "$patch") no longer applies to framework/scheduler: refresh it" >&2
        sed 's/^/    /' <<<"$out" >&2
        broken=1
    fi
done
((broken == 0)) || exit 2

(cd "$copy" && CARGO_TARGET_DIR="$target/planted-target" cargo build --quiet --release --offline -p millstream-sim)
sim=$target/planted-target/release/millstream-sim

printf '%-28s %8s %9s  %s\n' bug seed seconds "violated invariant"
missed=0
for patch in "$here"/planted/*.patch; do
    bug=$(basename "$patch" .patch)
    bug=${bug#*-}
    [[ $bug != switch ]] || continue
    began=$(date +%s.%N)
    out=$(MILLSTREAM_PLANTED=$bug "$sim" --seeds "$seeds" --first || true)
    secs=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')
    found=$(sed -n 's/^  seed \([0-9]*\): \(.*\)/\1 \2/p' <<<"$out" | head -1)
    if [[ -z $found ]]; then
        printf '%-28s %8s %9s  %s\n' "$bug" - "$secs" "NOT FOUND in $seeds seeds"
        missed=1
    else
        printf '%-28s %8s %9s  %.110s\n' "$bug" "${found%% *}" "$secs" "${found#* }"
    fi
done
exit $missed

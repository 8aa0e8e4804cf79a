#!/usr/bin/env bash
# Checks for what a build and the real servers need. Missing Debian packages are installed when root; whatever then is
# still missing is said in one line, with the way to get it.
set -uo pipefail

# command → Debian package
declare -A PACKAGE=([gcc]=gcc [g++]=g++ [make]=make [cmake]=cmake [perl]=perl [python3]=python3 [java]=openjdk-17-jre-headless [mvn]=maven [readelf]=binutils)

missing() {
    local tool
    for tool in "${!PACKAGE[@]}"; do command -v "$tool" >/dev/null || echo "${PACKAGE[$tool]}"; done
}

wanted=$(missing)
if [ -n "$wanted" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing" $wanted
    # shellcheck disable=SC2086  # a list of words
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted; } >/dev/null
fi

wanted=$(missing)
if [ -n "$wanted" ]; then
    echo "missing:" $wanted "- get them with: apt-get install" $wanted >&2
    exit 1
fi
if ! command -v cargo >/dev/null; then
    echo "missing: cargo 1.95 or newer - get it with rustup" >&2
    exit 1
fi

#!/bin/sh
# Install the Debian packages that the sandbox and its tests use, where that is allowed.
set -u
missing=""
command -v bwrap >/dev/null 2>&1 || missing="$missing bubblewrap"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    { apt-get update -qq && apt-get install -qq -y $missing; } >/dev/null 2>&1 \
        || echo "could not install:$missing (tests that need them skip)" >&2
else
    echo "not installed:$missing (try: sudo apt-get install$missing); tests that need them skip" >&2
fi

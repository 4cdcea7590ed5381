#!/bin/bash
# The page at port $1, as curl and wget get it, and to somebody who hangs up first.
set -eu
url=http://127.0.0.1:$1/
curl --silent --show-error --max-time 20 --include "$url"
: | timeout 20 nc -N 127.0.0.1 "$1"
if command -v wget >/dev/null; then
    wget --quiet --timeout 20 --output-document - "$url" | cmp - <(curl --silent --max-time 20 "$url")
else
    echo "skip: wget is not installed" >&2
fi
for i in $(seq 50); do curl --silent --max-time 20 "$url$i"; done | sha256sum

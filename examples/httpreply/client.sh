#!/bin/bash
# The page at port $1, as curl and wget get it, and to somebody who hangs up first.
set -eu
host=${HOST:-127.0.0.1}
url=http://$host:$1/
curl --silent --show-error --max-time 20 --include "$url"
: | timeout 20 nc -N "$host" "$1"
wget --quiet --timeout 20 --tries 1 --output-document - "$url"
for i in $(seq 50); do curl --silent --max-time 20 "$url$i"; done | sha256sum

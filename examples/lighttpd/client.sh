#!/bin/bash
# Files, headers, ranges and errors at port $1.
set -eu
get() { curl --silent --show-error --max-time 60 "$@"; }
url=http://127.0.0.1:$1
get "$url/"
get --range 3-6 "$url/" && echo
get --head "$url/" | grep -iE '^(HTTP|content|server)'
get --output /dev/null --write-out '%{http_code} %{size_download}\n' "$url/missing"
get --request POST --output /dev/null --write-out '%{http_code}\n' --data x "$url/"
get --head "$url/" | grep -i '^x-linked'

#!/bin/bash
# Lines for the server at port $1, and what comes back.
# ends: 0
set -eu
lines() { printf '%s\n' "Hello, World" "uryyb" "42 & more" "äöü" "" "Purpx gur erfhyg"; }
lines | timeout 60 nc -N "${HOST:-127.0.0.1}" "$1" | paste -d '>' <(lines) -

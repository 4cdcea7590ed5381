#!/bin/bash
# One client of port $1 that says something, waits, says more, and leaves: then the server ends as well.
# ends: 0
set -eu
speak() { (echo hello; sleep 0.3; echo again; seq 20000); }
speak | timeout 60 nc -N "${HOST:-127.0.0.1}" "$1" | cmp - <(speak)
echo "the same came back"

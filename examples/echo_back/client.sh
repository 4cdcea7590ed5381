#!/bin/bash
# One client of port $1 that says something, waits, says more, and leaves: then the server ends as well.
# ends: 0
set -eu
(echo hello; sleep 0.3; echo again; seq 20000) | timeout 60 nc -N 127.0.0.1 "$1" | sha256sum
(echo hello; echo again; seq 20000) | sha256sum

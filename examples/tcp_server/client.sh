#!/bin/bash
# What clients of the server at port $1 hear: one, several at once, and one that sends a lot before it reads.
set -eu
port=$1
echo "hello" | timeout 20 nc -N 127.0.0.1 "$port"
for i in 1 2 3 4; do
    (sleep 0.2; echo "client $i") | timeout 20 nc -N 127.0.0.1 "$port" >"/tmp/echo-$port-$i" &
done
wait
cat "/tmp/echo-$port-"[1-4]
rm "/tmp/echo-$port-"[1-4]
seq 200000 | timeout 60 nc -N 127.0.0.1 "$port" | sha256sum
seq 200000 | sha256sum

#!/bin/bash
# Lines for the server at port $1, and what comes back; the last one twice through the kernel is itself again.
# ends: 0
set -eu
exec 3<>"/dev/tcp/127.0.0.1/$1"
for string in "Hello, World" "uryyb" "42 & more" "äöü" ""; do
    echo "$string" >&3
    read -r -t 20 answer <&3
    echo "$string -> $answer"
done
echo "Purpx gur erfhyg" >&3
read -r -t 20 answer <&3
echo "$answer"

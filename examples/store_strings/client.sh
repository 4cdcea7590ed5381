#!/bin/bash
# Strings for the server at port $1: each is in the file of the shared folder $2 before its answer comes.
# ends: 0
set -eu
exec 3<>"/dev/tcp/${HOST:-127.0.0.1}/$1"
for string in "Hello, World" "uryyb" "42 & more" ""; do
    echo "$string" >&3
    read -r -t 20 answer <&3
    echo "$string -> $answer; stored: $(tail -n 1 "$2/strings.txt")"
done
seq -f 'string %g' 200 >&3
head -n 200 <&3 | sha256sum
exec 3>&-
sha256sum <"$2/strings.txt"

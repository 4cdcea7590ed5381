#!/bin/bash
# Stores, reads, changes and deletes at port $1; values of several sizes come back as they were.
set -eu
exec 3<>"/dev/tcp/127.0.0.1/$1"
ask() {
    printf "$@" >&3
    printf 'mn\r\n' >&3
    while IFS= read -r -t 30 line <&3 && [ "$line" != $'MN\r' ]; do printf '%s\n' "$line"; done
}
ask 'set greeting 5 0 5\r\nhello\r\n'
ask 'get greeting missing\r\n'
ask 'append greeting 0 0 6\r\n world\r\nget greeting\r\n'
ask 'set n 0 0 2\r\n41\r\nincr n 1\r\nincr n 100\r\ndecr n 2\r\n'
ask 'add n 0 0 1\r\nx\r\nreplace n 0 0 1\r\ny\r\ngets nothing\r\n'
for size in 1 1000 100000 1000000; do
    value=$(head -c "$size" /dev/zero | tr '\0' v)
    printf 'set big%s 0 0 %s\r\n%s\r\n' "$size" "$size" "$value" >&3
    ask 'get big%s\r\n' "$size" | sha256sum
done
ask 'delete n\r\nget n\r\nflush_all\r\nget greeting\r\n'

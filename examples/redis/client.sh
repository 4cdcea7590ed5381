#!/bin/bash
# Data of every type, a transaction, a script, and what is left of it after a save and a rewrite.
set -eu
cli() { timeout 60 redis-cli -p "$port" "$@"; }
port=$1
until [ "$(cli ping 2>/dev/null)" = PONG ]; do sleep 0.2; done
cli set key value
cli append key +more
cli getrange key 2 8
cli rpush list a b c d
cli lrange list 0 -1
cli sadd set 3 1 2
cli zadd sorted 1 one 2 two 3 three
cli zrangebyscore sorted 2 3 withscores
cli hset hash a 1 b 2
cli hgetall hash
cli eval 'local n = 0 for i = 1, 1000 do n = n + redis.call("incr", KEYS[1]) end return n' 1 counter
printf 'multi\nincr counter\nget counter\nexec\n' | cli
cli debug sleep 0 2>/dev/null || true
for i in $(seq 300); do echo "set k$i $(printf "%0${i}d" "$i")"; done | cli | sort | uniq -c
cli save
cli bgrewriteaof
until cli info persistence | grep -q 'aof_rewrite_in_progress:0'; do sleep 0.2; done
cli info persistence | grep -E 'rdb_last_bgsave_status|aof_last_bgrewrite_status|aof_last_write_status' | tr -d '\r'
cli dbsize
for key in key list set sorted hash counter k300; do cli dump "$key" | sha256sum; done
cli shutdown

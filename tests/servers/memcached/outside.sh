#!/bin/bash
# The scripts of memcached's `make test` that start a server without options, against the one at port $1; results
# go to the folder $2. memcached-debug is the twin here: the scripts ask it what it was built with.
export LC_ALL=C T_MEMD_USE_DAEMON=127.0.0.1:$1
cd "$2/tree/memcached" || exit 1
for script in $(grep -L 'new_memcached([^)]' $(grep -l 'new_memcached()' t/*.t)); do
    # Some kill or restart the server, or look at its process, socket or files.
    grep -qE '\{pid\}|->stop|is_running|/proc|ssl' "$script" && continue
    printf 'flush_all\r\nquit\r\n' | timeout 20 nc 127.0.0.1 "$1" >/dev/null
    timeout -k 10 900 perl -I. -It/lib "$script" >"$2/out" 2>&1 </dev/null
    end=$?
    echo "$script ok=$(grep -ac '^ok' "$2/out") not_ok=$(grep -ac '^not ok' "$2/out") end=$end" >>"$2/results"
    echo "== $script"
    grep -av '^ok' "$2/out"
done >>"$2/log"

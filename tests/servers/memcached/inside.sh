#!/bin/bash
# The scripts of memcached's `make test` that start servers with options of their own, and testapp. One line of
# results for each.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C HOME=/tmp
ulimit -n 4096
cd /tmp/tree/memcached
cp /tmp/server memcached-debug
for script in t/*.t; do
    # outside.sh has these.
    grep -q 'new_memcached([^)]' "$script" || grep -qE '\{pid\}|->stop|is_running|/proc|ssl' "$script" || continue
    timeout -k 10 900 perl -I. -It/lib "$script" >/tmp/out 2>&1 </dev/null
    end=$?
    echo "$script ok=$(grep -ac '^ok' /tmp/out) not_ok=$(grep -ac '^not ok' /tmp/out) end=$end$(grep -m 1 -o '^1\.\.0 # .*' /tmp/out | tr ' ' '_' | sed 's/^/ /')" >>/srv/results
    echo "== $script"
    grep -av '^ok' /tmp/out
done
timeout -k 10 900 ./testapp >/tmp/out 2>&1 </dev/null
end=$?
echo "testapp ok=$(grep -ac '^ok' /tmp/out) not_ok=$(grep -ac '^not ok' /tmp/out) end=$end" >>/srv/results
echo "== testapp"
grep -av '^ok' /tmp/out

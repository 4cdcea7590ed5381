#!/bin/bash
# Scripts of SQLite's own tests: SQL, transactions, journals and logs, locks between processes, memory-mapped files.
# One line of results for each.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C HOME=/tmp TCL_LIBRARY=/usr/share/tcltk/tcl8.6
cd /tmp/tree/sqlite3
cp /tmp/server testfixture
for name in alter attach autovacuum blob cast collate1 conflict date delete e_expr expr fkey2 func \
    in incrblob index insert2 insert4 intpkey io join journal1 like limit lock lock5 lookaside main memdb minmax \
    mmap1 multiplex null pager1 pragma printf quick rollback rowid savepoint select1 select4 select6 shared sort \
    subquery table temptable thread001 thread002 trans trigger1 types union update utf16align vacuum view wal wal2 \
    walcrash walmode where window1 zeroblob; do
    [ -f "/tmp/tree/sqlite3/test/$name.test" ] || continue
    mkdir -p /tmp/run && cd /tmp/run || exit 1
    timeout -k 10 600 /tmp/tree/sqlite3/testfixture "/tmp/tree/sqlite3/test/$name.test" >/tmp/out 2>&1 </dev/null
    end=$?
    cd /tmp && rm -rf /tmp/run
    echo "$name ok=$(grep -ac '\.\.\. Ok$' /tmp/out) errors=$(sed -n 's/^\([0-9]*\) errors out of.*/\1/p' /tmp/out) end=$end" >>/srv/results
    echo "== $name"
    grep -av '\.\.\. Ok$' /tmp/out
done

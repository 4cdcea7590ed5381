#!/bin/bash
# The scripts of lighttpd's `make check`; they start the server themselves. (Its unit tests are other programs.)
export PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C HOME=/tmp
cd /tmp/tree/lighttpd/tests
cp /tmp/server ../src/lighttpd
export srcdir=. top_builddir=.. LIGHTTPD_EXE_PATH=/tmp/tree/lighttpd/src/lighttpd
./prepare.sh
for script in request.t core-condition.t mod-fastcgi.t mod-scgi.t; do
    timeout -k 10 900 perl ./$script >/tmp/out 2>&1 </dev/null
    end=$?
    echo "$script ok=$(grep -ac '^ok' /tmp/out) not_ok=$(grep -ac '^not ok' /tmp/out) end=$end" >>/srv/results
    echo "== $script"
    cat /tmp/out
done

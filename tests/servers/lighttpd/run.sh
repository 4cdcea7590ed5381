#!/bin/bash
# lighttpd's `make check`: its unit tests are programs of their own, the scripts start the server that is in the kernel.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C HOME=/tmp
cd /tmp/tree/lighttpd/build
cp /tmp/server src/lighttpd
export srcdir=/tmp/tree/lighttpd/tests top_builddir=$PWD LIGHTTPD_EXE_PATH=$PWD/src/lighttpd
$srcdir/prepare.sh
cp tests/*-responder $srcdir/
ln -sfn $PWD/tests/tmp $srcdir/tmp
for script in request.t core-condition.t mod-fastcgi.t mod-scgi.t; do
    (cd $srcdir && timeout -k 10 900 perl ./$script) >/tmp/out 2>&1 </dev/null
    end=$?
    echo "$script ok=$(grep -c '^ok' /tmp/out) not_ok=$(grep -c '^not ok' /tmp/out) end=$end" >>/tmp/results
    echo "== $script"
    cat /tmp/out
done

#!/bin/sh
# join.sh LIST DRIVER.C ARGS...: links the tests of LIST (files with "name symbol object") and the driver to ./all.
# A test that calls what the C library does not have is left out, and named.
set -eu
list=$1
shift

table() {
    echo 'struct test { const char *name; int (*run)(int, char **, char **); };'
    awk '{ print "int " $2 "(int, char **, char **);" }' names
    echo 'const struct test tests[] = {'
    awk '{ print "\t{ \"" $1 "\", " $2 " }," }' names
    echo '	{ 0, 0 } };'
}

link() {
    table >tests.c
    awk '{ print $3 }' names >objects
    $CC $CFLAGS -o all tests.c @objects "$@" >link.log 2>&1
}

tr ' ' '\n' <"$list" | xargs cat >names
if ! link "$@"; then
    # The linker stops naming places after a few, but names each missing symbol.
    sed -n "s/.*undefined reference to \`\(.*\)'.*/\1/p" link.log | sort -u >missing
    [ -s missing ] || { cat link.log; exit 1; }
    xargs nm -A -u <objects | awk 'NR == FNR { missing[$1]; next } $NF in missing { sub(/:.*/, "", $1); print $1 " " $NF }' \
        missing - | sort -u >without
    awk '{ print "left out, no " $2 ": " $1 }' without
    awk 'NR == FNR { without[$1]; next } !($3 in without)' without names >kept
    mv kept names
    link "$@" || { cat link.log; exit 1; }
fi

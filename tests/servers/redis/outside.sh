#!/bin/bash
# Redis' `runtest --host`, unit by unit, against the server at port $1; results go to the folder $2. Wants tclsh
# and redis-tools. Units that start servers of their own, and tests that say so, are left out by the suite itself.
set -u
export LC_ALL=C
cd "$2/tree/redis" || exit 1
ln -sf "$(command -v redis-cli)" "$(command -v redis-benchmark)" src/
# The first waits for ever when the network here does not deliver two connections in the order of their words. The
# second occupies a port of this machine and wants the server not to get it.
skip=("BRPOPLPUSH with multiple blocked clients" "CONFIG SET rollback on apply error")
units=$(sed -n '/^set ::all_tests/,/^}/p' tests/test_helper.tcl | grep -o 'unit/[^ ]*' | grep -vE 'cluster|tls|shutdown')
for unit in $units; do
    for try in 1 2 3; do
        words=()
        for name in "${skip[@]}"; do words+=(--skiptest "$name"); done
        ./runtest --host 127.0.0.1 --port "$1" --baseport $((20000 + RANDOM % 20000)) --single "$unit" \
            --tags -slow --no-latency --timeout 600 "${words[@]}" 2>&1 </dev/null | sed 's/\x1b\[[0-9;]*m//g' >"$2/out"
        hung=$(sed -n 's/.*(IN PROGRESS) //p' "$2/out" | head -n 1)
        [ -n "$hung" ] || break
        skip+=("$hung")
        echo "$unit/${hung//[ =]/_} hangs" >>"$2/results"
        timeout 20 redis-cli -p "$1" client kill type normal >/dev/null
    done
    # A line for each test that is not as it should be, and one for the whole unit.
    sed -n 's/^\[\(err\|exception\)\]: \(.*\) in tests.*/\2/p' "$2/out" | tr ' =' '__' | sed "s|^|$unit/|; s|$| fails|" >>"$2/results"
    count() { grep -ac "^\[$1\]" "$2"; }
    echo "$unit ok=$(count ok "$2/out") err=$(count err "$2/out") left_out=$(count ignore "$2/out")" >>"$2/results"
    echo "== $unit"
    grep -av '^\[ok\]' "$2/out"
done >"$2/log"

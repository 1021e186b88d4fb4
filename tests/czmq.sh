#!/usr/bin/env bash
# Runs the tests of tests/faults against Debian's C modules (package rsyslog-czmq), prints which
# fail there, and compares with tests/czmq-expected.txt. `make test-czmq` starts here.
#
# Each test is a process of its own with a deadline: a C module that hangs or crashes takes nothing
# else along. Some of their faults depend on what freed memory holds or on which thread comes
# first: a test that should fail has five tries to show it. Exit status 0: every test fails or
# passes as the list says.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
expected=$root/tests/czmq-expected.txt
results=$root/target/test-czmq
deadline=90 # seconds a test
tries=5
jobs=${JOBS:-4}

# run_one TEST: until it fails, if it should.
run_one() {
    local try
    for ((try = 1; try <= tries; try++)); do
        try_one "$1"
        [ "$(cat "$results/$1.result")" = passes ] || break
        [ "$(word "$1" 2)" = fails ] || break
    done
}

# try_one TEST: its own process group, so that the deadline ends rsyslogd as well.
try_one() {
    if timeout -k 5 "$deadline" "$binary" --exact "$1" --nocapture >"$results/$1.log" 2>&1; then
        if grep -q SKIPPED "$results/$1.log"; then
            echo skipped >"$results/$1.result"
        else
            echo passes >"$results/$1.result"
        fi
    else
        echo fails >"$results/$1.result"
    fi
}

# word TEST FIELD: from the list; 2 is fails, passes or either, 3 the rest of the line.
word() {
    awk -v test="$1" -v field="$2" '$1 == test {
        if (field == 2) print $2
        else { $1 = ""; $2 = ""; sub(/^ +/, ""); print }
    }' "$expected"
}

[ -e "$(find /usr/lib -path '*/rsyslog/omczmq.so' 2>/dev/null | head -n 1)" ] || {
    echo "SKIPPED: test-czmq: the package rsyslog-czmq is not installed (scripts/setup test)." >&2
    exit 0
}

# The one line that names the test binary.
binary=$(cd "$root" && "$root/scripts/cargo" test --quiet --no-run --message-format=json \
    --workspace --test faults |
    sed -n 's/.*"executable":"\([^"]*\/faults-[^"]*\)".*/\1/p' | tail -n 1)
[ -x "$binary" ] || {
    echo "test-czmq: cargo built no test binary." >&2
    exit 1
}

rm -rf "$results"
mkdir -p "$results"
export binary results deadline tries expected RZMQ_TEST_FLAVOUR=czmq
export -f run_one try_one word
list=$("$binary" --list)
mapfile -t tests < <(sed -n 's/: test$//p' <<<"$list" | sort)
gone=$(comm -13 <(printf '%s\n' "${tests[@]}") <(sed -n 's/^\([a-z][^ ]*\).*/\1/p' "$expected" | sort))
[ -z "$gone" ] || {
    echo "test-czmq: in $expected, and no test: $gone" >&2
    exit 1
}
printf '%s\n' "${tests[@]}" | xargs -P "$jobs" -I{} bash -c 'run_one "$1"' _ {}

printf '%-86s %-8s %s\n' "test, on the C modules" found expected
wrong=()
failing=0
for test in "${tests[@]}"; do
    found=$(cat "$results/$test.result")
    should=$(word "$test" 2)
    remark=$(word "$test" 3)
    [ "$found" != fails ] || failing=$((failing + 1))
    if [ "$found" != "$should" ] && [ "$should" != either ] && [ "$found" != skipped ]; then
        wrong+=("$test")
        should="${should:-not listed} <-- DIFFERS, see $results/$test.log"
        remark=
    fi
    printf '%-86s %-8s %s%s\n' "$test" "$found" "$should" "${remark:+  ($remark)}"
    [ "$found" != skipped ] || sed -n 's/.*SKIPPED: /SKIPPED: test-czmq: /p' "$results/$test.log"
done
echo "${#tests[@]} tests, $failing fail on the C modules, ${#wrong[@]} differ from $expected."
# Once more at the end, for whoever sees only that.
if [ "${#wrong[@]}" -gt 0 ]; then
    printf 'DIFFERS: %s\n' "${wrong[@]}"
    exit 1
fi

#!/bin/sh
# SPDX-License-Identifier: MIT
# The runner must see failures: programs that fail, die, hang or do nothing at all.
n=0
expect() { # name, expected last line, command...
	name=$1 want=$2
	shift 2
	n=$((n + 1))
	got=$(T='' LIMIT=1 LOGS=build/test-logs/canary sh tests/run.sh "$@" 2>&1)
	status=$?
	last=$(printf '%s\n' "$got" | tail -n 1)
	if [ "$last" = "$want" ] && [ "$status" -ne 0 ]; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name: said '$last' with status $status, expected '$want'"
		printf '%s\n' "$got" | sed 's/^/# /'
	fi
}
expect 'a failing test is seen' '1 passed, 1 failed' build/tests/canary/canary
expect 'a dying program is seen' '0 passed, 1 failed' 'build/tests/canary/canary die'
expect 'a hanging program is seen' '0 passed, 1 failed' 'sleep 5'
expect 'a missing program is seen' '0 passed, 1 failed' 'build/tests/no-such-test'
expect 'a failure is not hidden by success' '2 passed, 1 failed' true 'echo "not ok 1 - x"' true
expect 'skipping is counted' '0 passed, 1 failed, 1 skipped' 'echo "ok 1 - x # SKIP no y"' false
expect 'no test at all is no success' '0 passed, 0 failed'

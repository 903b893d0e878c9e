#!/bin/sh
# SPDX-License-Identifier: MIT
# make bench-parallel: two of a kind at once on two processors.  What one monitor serves them costs,
# beside what could be had at best: two runs, each with a monitor, a machine and a processor of its own.
#   one processor   ondol run --pin: both and the monitor on the first
#   as it comes     the placement of ports/linux/place.c
#   anywhere        ondol run --pin free: the host's scheduler decides
#   own processors  the same, but each of the two stays on a processor
#   two runs        see above
# ROUNDS=9; ALONE=1: see -a of bench/turns.c; TRY=NAME=VALUE: "own processors" once more with that
# in the environment, for trying out a monitor.
set -u
B=${B:-build}
ONDOL=${ONDOL:-$B/ondol}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT INT TERM
# shellcheck disable=SC2046
set -- $(taskset -pc $$ | sed 's/.*: //' | awk -F, '{ for (i = 1; i <= NF; i++) {
	n = split($i, r, "-"); for (c = r[1]; c <= r[n]; c++) print c } }')
[ $# -ge 2 ] || { echo "parallel: one processor only"; exit 0; }
first=$1 second=$2
cat > "$work/hello.c" <<'END'
#include <stdio.h>
int main(void) { puts("hi"); return 0; }
END
echo "gcc -O1 -c $work/hello.c -o $work/\$\$.o" > "$work/gcc"
echo "ls /usr/bin | sort -r | head -50 | wc -l" > "$work/pipe"
echo "exec $B/bench/crews threads 1 64" > "$work/touch"
echo 'sh $1 & sh $1 & wait' > "$work/both"
echo "taskset -c $first sh \$1 & taskset -c $second sh \$1 & wait" > "$work/apart"

# pair NAME OPTIONS SCRIPT
pair()
{
	run="$ONDOL run --mem 1G $2" s=$work/$3
	echo "$1"
	set -- native "sh $work/both $s" \
		'native, one of them' "sh $s" \
		'one of them, one processor' "$run --pin $first -- sh $s" \
		'one processor' "$run --pin $first -- sh $work/both $s" \
		'as it comes' "$run -- sh $work/both $s" \
		'anywhere' "$run --pin free -- sh $work/both $s" \
		'own processors' "$run --pin free -- sh $work/apart $s" \
		'two runs' "$run --pin $first -- sh $s & $run --pin $second -- sh $s & wait"
	[ -z "${TRY:-}" ] || set -- "$@" "own processors, $TRY" \
		"env $TRY $run --pin free -- sh $work/apart $s"
	"$B/bench/turns" ${ALONE:+-a} -n "${ROUNDS:-9}" "$@" || exit 1
}
echo "a wake-up on one processor $("$B/bench/crews" wake "$first" "$first") us," \
	"on another $("$B/bench/crews" wake "$first" "$second") us"
printf '%-34s %8s %8s\n' 'two at once, ms' wall CPU
pair 'gcc -c' '' gcc
pair 'ls | sort | head | wc' '' pipe
pair '64 MiB touched' '' touch
sed -i 's/ 64$/ 8/' "$work/touch"
pair '8 MiB, --fault-around 1' '--fault-around 1' touch

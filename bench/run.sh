#!/bin/sh
# SPDX-License-Identifier: MIT
# make bench: Ondol beside the host, in one run.  Figures are of this machine, now.
#   BENCH_CPU=N   pin everything to one CPU (default: the first that may be used)
#   BENCH_ROUNDS  rounds of whole programs (default 9)
#   BENCH_ALSO    another runner's command line, in turn with ours
#   BENCH_GUEST   rounds of memory operations (default 3)
#   BENCH_WARM    MiB of memory touched before (bench/warm.c, default 1024)
#   BENCH_TRAPS=1 whole programs under each trap that works here (ondol doctor) instead
set -u
B=${B:-build}
ONDOL=${ONDOL:-$B/ondol}
CPU=${BENCH_CPU:-$(taskset -pc $$ 2>/dev/null | sed 's/.*: //; s/[,-].*//')}
ROUNDS=${BENCH_ROUNDS:-9}
GUEST_ROUNDS=${BENCH_GUEST:-3}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT INT TERM
pin="taskset -c $CPU"

"$B/bench/warm" "${BENCH_WARM:-1024}" || exit 1
echo "# host: $(uname -sr), $(nproc) CPUs; everything on CPU $CPU; medians"
memory_itself()
{
	echo
	echo "## The core alone, ns (bench/core.c: no host kernel in what is timed)"
	# jemalloc's thread-local storage is of the kind that must have been reserved at the start.
	GLIBC_TUNABLES=glibc.rtld.optional_static_tls=4096 $pin "$B/bench/core" "$ROUNDS" || exit 1
	why=$("$ONDOL" doctor) || { echo "$why"; exit 125; }
	echo
	echo "## Memory operations, ns (guest: bench/guest.c, $GUEST_ROUNDS rounds in turn)"
	round=0
	while [ $round -lt "$GUEST_ROUNDS" ]; do
		$pin "$B/bench/guest" >> "$work/native"
		for n in 1 16 64; do
			$pin "$ONDOL" run --fault-around $n -- "$B/bench/guest" >> "$work/around$n" || exit 1
		done
		$pin "$ONDOL" run -- "$B/bench/guest" >> "$work/around0" || exit 1
		[ -z "${BENCH_ALSO:-}" ] || $pin $BENCH_ALSO "$B/bench/guest" >> "$work/also" || exit 1
		round=$((round + 1))
	done
	# median FILE NAME
	median()
	{
		awk -v k="$2" '$1 == k { print $2 }' "$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
	}
	also=""
	[ -z "${BENCH_ALSO:-}" ] || also=" $(printf '%20s' also)"
	printf '%-22s %10s %20s %20s %20s %20s%s\n' operation native "1 page a fault" "16 pages" "64 pages" \
		"as it comes" "$also"
	for name in $(awk '!seen[$1]++ { print $1 }' "$work/native"); do
		native=$(median "$work/native" "$name")
		printf '%-22s %10s' "$name" "$native"
		for n in around1 around16 around64 around0 ${BENCH_ALSO:+also}; do
			v=$(median "$work/$n" "$name")
			awk -v v="$v" -v n="$native" 'BEGIN { printf " %11s (%5.2fx)", v, v / n }'
		done
		echo
	done
}
[ -n "${BENCH_TRAPS:-}" ] || memory_itself
echo
echo "## Whole programs, wall ms (bench/wall.c, $ROUNDS rounds in turn)"
printf '#include <stdio.h>\nint main(void) { puts("hi"); return 0; }\n' > "$work/hello.c"
set -- true "/bin/true" ls "ls -l /usr/bin" \
	pipe "bash -c 'ls /usr/bin | sort -r | head -50 | wc -l'"
command -v python3 > /dev/null && set -- "$@" python3 "$(python3 -c "import sys; print(sys.executable)") -S -c 'print(sum(range(10**6)))'"
command -v gcc > /dev/null && set -- "$@" "gcc -c" "gcc -O1 -c $work/hello.c -o $work/hello.o"
command -v sqlite3 > /dev/null && set -- "$@" sqlite3 \
	"sqlite3 :memory: 'with recursive c(x) as (select 1 union all select x+1 from c where x<20000) select sum(x) from c'"
command -v perl > /dev/null && set -- "$@" perl \
	"perl -e 'my %h; \$h{\$_}=\$_ for 1..50000; print scalar keys %h'"
if [ -n "${BENCH_TRAPS:-}" ]; then
	names=
	set -- -- "$@"
	for way in ptrace user uffd; do
		"$ONDOL" run --trap=$way -- true 2> /dev/null || continue
		names="$way $names"
		set -- "$ONDOL run --trap=$way --" "$@"
	done
	printf '%-14s %9s' program native
	printf ' %18s' $names
	echo
	"$B/bench/wall" -n "$ROUNDS" -p "$CPU" "" "$@"
	exit
fi
printf '%-14s %9s %18s %18s %18s\n' program native "as it comes" "64 pages" "${BENCH_ALSO:+also}"
set -- -- "$@"
[ -z "${BENCH_ALSO:-}" ] || set -- "$BENCH_ALSO" "$@"
"$B/bench/wall" -n "$ROUNDS" -p "$CPU" "" "$ONDOL run --" "$ONDOL run --fault-around 64 --" "$@"

#!/bin/sh
# SPDX-License-Identifier: MIT
# make bench-malloc: libondol-malloc beside glibc's malloc and, where they are installed,
# mimalloc, jemalloc and tcmalloc, each preloaded into the same program, in turn.  The last column
# is libondol-malloc over the best of the others: 1.00 or less is as good as the best.
# PARTS="micro arrays memory programs" chooses; CELLS=REGEX only rows of "workload bytes threads"
# that match, as CELLS="^random 64 "; ROUNDS and PROGRAMS are for programs.  The picture of the
# programs is $B/bench/malloc.svg; WRITE=1 puts it and their table into docs/.
set -u
B=${B:-build} PATH=$PATH:/sbin:/usr/sbin # ldconfig
find_peer() { # soname
	ldconfig -p 2>/dev/null | awk -v so="$1" '$1 == so { print $NF; exit }'
}
mimalloc=$(find_peer libmimalloc.so.2.0)
[ -n "$mimalloc" ] || mimalloc=$(find_peer libmimalloc.so.2)
jemalloc=$(find_peer libjemalloc.so.2)
tcmalloc=$(find_peer libtcmalloc_minimal.so.4)
names=glibc
for peer in mimalloc jemalloc tcmalloc; do
	eval "[ -n \"\$$peer\" ]" && names="$names $peer"
done
names="$names ondol"
"$B/bench/warm" "${BENCH_WARM:-1024}" || exit 1 # see bench/warm.c
glibc= ondol=$PWD/$B/libondol-malloc.so

each() { # workload bytes threads -> one line of results for each malloc
	for name in $names; do
		eval "preload=\$$name"
		LD_PRELOAD=$preload "$B/bench/malloc" "$@" || exit 1
	done
}
row() { # title, field of the results, one a line on stdin
	awk -v title="$1" -v field="$2" '
	{ v[NR] = $field }
	END {
		printf "%-26s", title
		for (i = 1; i <= NR; i++) {
			printf " %9.2f", v[i]
			if (i < NR && (i == 1 || v[i] < best))
				best = v[i]
		}
		printf " %8.2f\n", v[NR] / best
	}'
}
head_line() {
	printf '%-26s' "$1"
	for name in $names; do printf ' %9s' "$name"; done
	printf ' %8s\n' 'to best'
}

cell() { # workload bytes threads
	echo "$*" | grep -qE -- "${CELLS:-.}" || return 0
	out=$(each "$@") || exit 1
	if [ "$1" = batch ]; then
		echo "$out" | row "batch $2 B, $3 thr, alloc" 1
		echo "$out" | row "batch $2 B, $3 thr, free" 2
	elif [ "$1" = array ]; then
		echo "$out" | row "array of $(($2 >> 20)) MiB, a page" 1
		echo "$out" | row "array of $(($2 >> 20)) MiB, a read" 2
	else
		echo "$out" | row "$1 $2 B, $3 thr" 1
	fi
}
table() {
	head_line 'ns'
	for threads in 1 2; do
		[ "$threads" -le "$(nproc)" ] || continue
		for workload in pair batch random; do
			for bytes in 16 64 256 4096 32768; do cell $workload $bytes $threads; done
		done
		cell larson 1000 $threads
	done
	if [ "$(nproc)" -gt 1 ]; then
		for bytes in 16 64 256 4096 32768; do cell xfer $bytes 2; done
	fi
}
micro() {
	table | tee "$B/bench/malloc.out"
	awk 'NR > 1 { n++; good += $NF <= 1; fair += $NF <= 1.2 }
		END { print "# no worse than the best peer in " good " of " n " cells, 1.2x in " fair }' \
		"$B/bench/malloc.out"
}
memory() {
	head_line 'memory'
	for bytes in 0 64; do
		what="$bytes B"
		[ $bytes -eq 0 ] && what='16-1024 B'
		out=$(each rss $bytes 1) || exit 1
		echo "$out" | row "$what: held / live" 1
		echo "$out" | row "$what: after churn" 2
		echo "$out" | row "$what: 90 % freed, MiB" 3
		echo "$out" | row "$what: all freed, MiB" 4
	done
}
arrays() {
	head_line 'ns'
	for mib in 16 256; do cell array $((mib << 20)) 1; done
}
. bench/malloc_programs.sh

echo "# $(uname -sr), $(nproc) CPUs; medians of 5"
for part in ${PARTS:-micro arrays memory programs}; do
	$part
	echo
done

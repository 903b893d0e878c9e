#!/bin/sh
# SPDX-License-Identifier: MIT
# make bench-phys: page frames in the core.  "bound" is a per-CPU stack that merges and checks
# nothing, compiled into the same harness: what the harness and handing on cost here.
set -u
B=${B:-build}
both() {
	"$B/bench/phys-ondol" "$@" || exit 1
	"$B/bench/phys-floor" "$@" || exit 1
}
echo "# $(uname -sr), $(nproc) CPUs; 8 GiB of frames; ns, medians of 5"
for order in 0 4 9; do
	for workload in bulk repeat rand; do
		both $workload $order 1
	done
done
if [ "$(nproc)" -gt 1 ]; then
	echo
	echo "## Two CPUs (the port has this_cpu and sync_cpus)"
	CPUS=2 "$B/bench/phys-ondol" repeat 0 1 || exit 1
	for order in 0 4 9; do
		both repeat $order 2
	done
	both bulk 0 2
	both rand 0 2
	both xfer 0 2
fi
echo
bench/lines.sh || exit 1
echo
echo "## Whole 2 MiB blocks"
for workload in frag frag2; do
	for percent in 50 75 90; do
		"$B/bench/phys-ondol" $workload $percent 1 || exit 1
	done
done
echo
echo "## From 64 MiB to 1 TiB, records written late; and 8 GiB at once"
for mib in 64 1024 8192 65536 1048576; do
	LATE=1 "$B/bench/phys-ondol" init 0 1 $mib || exit 1
	LATE=1 "$B/bench/phys-ondol" repeat 0 1 $mib || exit 1
	LATE=1 "$B/bench/phys-ondol" bulk 0 1 $mib || exit 1
done
"$B/bench/phys-ondol" init 0 1 8192 || exit 1
echo
echo "## Lazy policies (bench/lazy.c)"
"$B/bench/lazy"

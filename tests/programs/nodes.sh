#!/bin/sh
# SPDX-License-Identifier: MIT
# Machines of several nodes under `ondol run`: what numactl, numastat, free and a program of
# ours see and get (requirements B4 to B7).
cd "$(dirname "$0")/../.." || exit 2
. tests/programs/expect.sh
skip_if_not_here nodes
# A filter comes before whoever would have answered the call.
if command -v numactl >/dev/null && "$ONDOL" run --nodes 2 -- numactl --membind=0 true 2>&1 |
	grep -q 'set_mempolicy: Operation not permitted'; then
	echo 'ok - nodes # SKIP a filter of system calls keeps memory policies from programs'
	exit 0
fi
cc=${CC:-cc}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
$cc -O1 -w -o "$work/nodes" tests/programs/nodes.c -pthread || exit 2

# says NAME PATTERN COMMAND...: it succeeds, and every line of PATTERN is in its output
says() {
	name=$1 patterns=$2
	shift 2
	if ! timeout -k 5 60 "$@" >"$work/out" 2>"$work/err" </dev/null; then
		echo "not ok - $name: status $?"
		sed 's/^/# /' "$work/out" "$work/err" | head -n 20
		failed=1
		return
	fi
	printf '%s\n' "$patterns" >"$work/patterns"
	while IFS= read -r pattern; do
		grep -qE -e "$pattern" "$work/out" "$work/err" && continue
		echo "not ok - $name: does not say '$pattern'"
		sed 's/^/# /' "$work/out" "$work/err" | head -n 20
		failed=1
		return
	done <"$work/patterns"
	echo "ok - $name"
}
two="$ONDOL run --nodes 2 --mem 256M --validate"

for around in 1 16 64; do
	says "policies and moving pages, $around pages a fault" 'regions
moving
tasks
shared
texts' $two --fault-around $around -- "$work/nodes"
done
says 'nodes of two sizes' 'Node 0 MemTotal: +1[0-9]{5} kB
Node 1 MemTotal: +65536 kB' "$ONDOL" run --validate --mem 128M,64M -- \
	cat /sys/devices/system/node/node0/meminfo \
	/sys/devices/system/node/node1/meminfo
says 'the run tells how many pages were remote' 'nodes +[0-9]+ pages mapped from .* own node' \
	$two --stats -- "$work/nodes"
says 'eight nodes' '^0-7$' "$ONDOL" run --nodes 8 --mem 256M --validate -- \
	cat /sys/devices/system/node/online
says 'the folder of nodes' 'node0
node1
has_memory' $two -- ls /sys/devices/system/node
says 'files by way of the folder' 'Node 1 MemTotal: +13[0-9]{4} kB' \
	$two -- sh -c 'cd /tmp && cat /sys/devices/system/node/node1/meminfo'
says 'Mems_allowed' 'Mems_allowed:	00000000,00000003
Mems_allowed_list:	0-1' $two -- grep Mems /proc/self/status
says 'pagetypeinfo' 'Node +1, zone +DMA32, type +Movable ' $two -- cat /proc/pagetypeinfo

if command -v free >/dev/null; then
	says 'free sees the machine' '^Mem: +25[0-9] ' "$ONDOL" run --mem 256M -- free -m
	says 'vmstat sees the machine' '^ +26[0-9]{4} K total memory' \
		"$ONDOL" run --mem 256M -- vmstat -s
else
	echo 'ok - free and vmstat # SKIP no procps'
fi
if command -v numactl >/dev/null; then
	says 'numactl -H' 'available: 2 nodes \(0-1\)
node 0 size: 12[0-9] MB
node 1 size: 12[0-9] MB
  0:  10  20' $two -- numactl -H
	says 'numactl --membind' 'bind:1 heap anon=([0-9]+) dirty=\1 N1=\1 ' \
		$two -- numactl --membind=1 grep heap /proc/self/numa_maps
	says 'numactl --interleave' 'interleave:0-1 .*N0=[0-9]+ N1=[0-9]+' \
		$two -- numactl --interleave=all cat /proc/self/numa_maps
	says 'numactl --preferred' 'prefer:1 heap .* N1=' \
		$two -- numactl --preferred=1 grep heap /proc/self/numa_maps
	says 'numactl --show' 'nodebind: 0 1' $two -- numactl --show
	says 'numastat' 'node0 +node1
numa_hit +[0-9]+ +[0-9]+' $two -- numastat
	says 'numastat -m' 'MemTotal +12[0-9.]+ +12[0-9.]+' $two -- numastat -m
else
	echo 'ok - numactl and numastat # SKIP no numactl'
fi
exit $failed

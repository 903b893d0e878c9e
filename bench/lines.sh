#!/bin/sh
# SPDX-License-Identifier: MIT
# What one pair of alloc and free executes and touches, of order 0 and of an object, once warm:
# valgrind's trace of every instruction and access.  The stack and the program's own variables do not count.
if ! command -v valgrind >/dev/null; then
	echo "(no valgrind: instructions and cache lines are not counted)"
	exit 0
fi
B=${B:-build}
trace=$(mktemp) && marks=$(mktemp) || exit 1
trap 'rm -f "$trace" "$marks"' EXIT
for what in '1' '2' '1 object' '2 object'; do
	cpus=${what%% *} of=${what#"$cpus"}
	valgrind --tool=lackey --trace-mem=yes --log-file="$trace" "$B/bench/pair" $what >"$marks" ||
		exit 1
	# I address,size | S, L, M address,size: a short address is code or a variable.
	awk -v cpus="$cpus" -v of="$of" '
	function low(hex) { sub(/^0x/, "", hex); sub(/^0+/, "", hex); return tolower(hex) }
	NR == FNR { begin = low($1); end = low($2); stack = substr(low($3), 1, 6); next }
	{ split($2, part, ","); at = low(part[1]) }
	$1 == "I" && at == begin { on = 1 }
	$1 == "I" && at == end { on = 0 }
	!on { next }
	$1 == "I" { instructions++; next }
	length(at) < 7 || substr(at, 1, 6) == stack { next }
	{
		quarter = index("0123456789abcdef", substr(at, length(at) - 1, 1)) - 1
		line = substr(at, 1, length(at) - 2) "." int(quarter / 4)
		if ($1 == "L")
			read[line] = 1
		else
			written[line] = 1
	}
	END {
		for (line in written) { nr_written++; delete read[line] }
		for (line in read) nr_read++
		printf "one pair%s, a machine of %d CPU%s: %d instructions; ",
			(of ? " of objects" : ""), cpus, (cpus > 1 ? "s" : ""), instructions
		printf "%d cache lines written, %d only read\n", nr_written, nr_read
		if (nr_written > 2) { print "bench/lines.sh: that was two"; exit 1 }
	}' "$marks" "$trace" || exit 1
done

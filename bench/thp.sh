#!/bin/sh
# SPDX-License-Identifier: MIT
# make bench-thp: 256 MiB of memory touched page by page, under `ondol run --thp never` and
# `always` and natively without huge pages and with them; and programs that have little memory in
# large pieces.  Pinned to one processor; ROUNDS=9.
cd "$(dirname "$0")/.." || exit 2
ondol=$PWD/build/ondol touch=$PWD/build/bench/touch
mib=${MIB:-256} rounds=${ROUNDS:-9}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
pin="taskset -c 1"

number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$work/json"; }

# row NAME TIMES: with the numbers of the run if there are any
row() {
	# shellcheck disable=SC2086
	set -- "$1" $2 "$3"
	printf '%-22s %8s %8s %8s %8s   %s\n' "$@"
}
printf '%-22s %8s %8s %8s %8s   %s\n' "$mib MiB, ms" first again random unmap ''
row 'native' "$($pin "$touch" "$mib" "$rounds")"
row 'native, huge pages' "$($pin "$touch" "$mib" "$rounds" huge)"
for mode in never always; do
	times=$($pin "$ondol" run --mem 1G --thp $mode --json --stats-file "$work/json" -- \
		"$touch" "$mib" "$rounds") || exit 1
	row "ondol --thp $mode" "$times" "$(number messages) messages, $(number fills) mappings, \
$(number fault_alloc) huge"
done

printf 'int main(void) { return 0; }\n' >"$work/hello.c"
printf '\n%-22s %8s %8s %8s\n' 'whole programs' 'ms' messages huge
for program in "python3 -c print(sum(range(10**6)))" "gcc -O1 -c $work/hello.c -o $work/hello.o"; do
	for mode in never always; do
		: >"$work/times"
		for _ in $(seq "$rounds"); do
			start=$(date +%s%N)
			# shellcheck disable=SC2086
			$pin "$ondol" run --thp $mode --json --stats-file "$work/json" -- $program \
				>"$work/out" || exit 1
			echo $((($(date +%s%N) - start) / 10000)) >>"$work/times"
		done
		printf '%-22s %8.2f %8s %8s\n' "${program%% *} $mode" \
			"$(sort -n "$work/times" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] / 100 }')" \
			"$(number messages)" "$(number fault_alloc)"
	done
done

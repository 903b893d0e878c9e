#!/bin/sh
# SPDX-License-Identifier: MIT
# Promised memory (A3) on a machine of 64 MiB: --overcommit 0, 1 and 2, --overcommit-ratio, and what
# programs read of it.  The program is overcommit.c.
cd "$(dirname "$0")/../.." || exit 2
. tests/tidy/tap.sh
. tests/programs/expect.sh
skip_if_not_here overcommit
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"; rm -f "$tap_bad"' EXIT
${CC:-cc} -O1 -w -o "$work/overcommit" tests/programs/overcommit.c || exit 2

answers() { # name, options; what is wanted on standard input
	name=$1
	shift
	cat >"$work/wanted"
	timeout -k 5 60 "$ONDOL" run --mem 64M --validate "$@" -- "$work/overcommit" >"$work/got" 2>&1
	diff "$work/wanted" "$work/got" | verdict "$name"
}

# The pieces of one by one are one region in the end, which fork asks for at once, as on Linux.
answers 'mode 0: what could never be kept is refused' --overcommit 0 <<END
100 at once: Cannot allocate memory
100 shared: Cannot allocate memory
100 with MAP_NORESERVE: given
20: given
counted: 1
then one by one: 200 and more
fork: Cannot allocate memory
read-only: given
made writable: given
the heap: given
END
answers 'mode 1: nothing is refused' --overcommit 1 <<END
100 at once: given
100 shared: given
100 with MAP_NORESERVE: given
20: given
counted: 0
then one by one: 200 and more
fork: done
read-only: given
made writable: given
the heap: given
END
answers 'mode 2: altogether half of RAM' --overcommit 2 <<END
100 at once: Cannot allocate memory
100 shared: Cannot allocate memory
100 with MAP_NORESERVE: Cannot allocate memory
20: given
counted: 1
then one by one: under 20
fork: Cannot allocate memory
read-only: given
made writable: Cannot allocate memory
the heap: Cannot allocate memory
END
answers 'mode 2: altogether nine tenths' --overcommit 2 --overcommit-ratio 90 <<END
100 at once: Cannot allocate memory
100 shared: Cannot allocate memory
100 with MAP_NORESERVE: Cannot allocate memory
20: given
counted: 1
then one by one: over 20
fork: Cannot allocate memory
read-only: given
made writable: Cannot allocate memory
the heap: Cannot allocate memory
END

says() { # options; the command; prints its output
	timeout -k 5 60 "$ONDOL" run --mem 64M "$@" 2>&1
}
for mode in 0 1 2; do
	[ "$(says --overcommit $mode -- cat /proc/sys/vm/overcommit_memory)" = $mode ] ||
		echo "mode $mode is not what the program reads"
done | verdict '/proc/sys/vm/overcommit_memory'
says --overcommit-ratio 80 -- cat /proc/sys/vm/overcommit_ratio | said_only '^80$' |
	verdict '/proc/sys/vm/overcommit_ratio'
says -- sh -c 'cd /proc/sys/vm; cat overcommit_ratio overcommit_kbytes' | tr '\n' ' ' |
	said_only '^50 0 $' | verdict 'the same from the folder'
before=$(cat /proc/sys/vm/overcommit_memory)
says -- sh -c 'echo 1 >/proc/sys/vm/overcommit_memory' | said_only 'ermission denied' |
	verdict "the computer's own setting is not the program's to change"
grep -vx "$before" /proc/sys/vm/overcommit_memory | verdict 'and is as it was'
says --overcommit 2 --overcommit-ratio 80 -- awk '
	/^MemTotal/ { total = $2 } /^CommitLimit/ { limit = $2 } /^Committed_AS/ { used = $2 }
	END { if (limit < total * 0.8 - 8 || limit > total * 0.8 || used < 100 || used > limit)
		print total, limit, used }' /proc/meminfo | verdict 'CommitLimit and Committed_AS'
for wrong in '--overcommit 3' '--overcommit x' '--overcommit-ratio 0'; do
	says $wrong -- true | said_only 'want a whole number'
done | verdict 'what is no mode is refused'
tap_end

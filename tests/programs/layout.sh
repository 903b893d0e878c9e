#!/bin/sh
# SPDX-License-Identifier: MIT
# Where programs lie: by chance, by a seed, by no chance (requirement F9).  A layout is the
# addresses of what /proc/self/maps names and the break, so it is told in five words.
cd "$(dirname "$0")/../.." || exit 2
. tests/tidy/tap.sh
. tests/programs/expect.sh
skip_if_not_here layout
if command -v setarch >/dev/null && ! setarch -R true 2>/dev/null; then
	echo 'ok - layout # SKIP a filter of system calls keeps personality(2) from us'
	exit 0
fi

# program, libraries, heap, stack, vdso: first address of each
words='/\/awk|\/mawk|\/gawk/ && !p { p = $1 } /ld-linux/ && !l { l = $1 } /\[heap\]/ { h = $1 }
/\[stack\]/ { s = $1 } /\[vdso\]/ { v = $1 } END { print p, l, h, s, v }'
at() { # options of ondol run
	timeout -k 5 60 "$ONDOL" run "$@" -- awk "$words" /proc/self/maps
}
each_differs() { # count, layout, layout
	echo "$2 $3" | awk -v n="$1" '{ for (i = 1; i <= n; i++) if ($i == $(i + 5)) print "the same: " $i
		if (NF != 10) print "not all is there: " $0 }'
}
same() { # layout, layout
	[ "$1" = "$2" ] || printf '%s\n%s\n' "$1" "$2"
}

fixed=$(at --no-aslr)
same "$fixed" "$(at --no-aslr)" | verdict '--no-aslr: the same in every run'
same "$fixed" "$(timeout -k 5 60 "$ONDOL" run -- setarch -R awk "$words" /proc/self/maps)" |
	verdict 'setarch -R in the program: the same as --no-aslr'
timeout -k 5 60 "$ONDOL" run --no-aslr -- sh -c 'cat /proc/self/personality' |
	said_only '^0*40000$' | verdict '--no-aslr: the personality says it'
seeded=$(at --seed 7)
same "$seeded" "$(at --seed 7)" | verdict '--seed 7: the same in every run'
each_differs 4 "$seeded" "$(at --seed 8)" | verdict '--seed 8: everything elsewhere'
each_differs 4 "$seeded" "$fixed" | verdict '--seed is not --no-aslr'
same "$seeded" "$(timeout -k 5 60 "$ONDOL" run --seed 7 -- sh -c 'cat | awk "$0" /proc/self/maps &
	awk "$0" /proc/self/maps >/dev/null; wait' "$words" </dev/null)" |
	verdict '--seed 7: by program, not by order'
command -v od >/dev/null || echo 'no od' | verdict 'od is there'
random=$(timeout -k 5 60 "$ONDOL" run --seed 7 -- env -i /usr/bin/od -An -tx1 /proc/self/auxv | cksum)
same "$random" "$(timeout -k 5 60 "$ONDOL" run --seed 7 -- env -i /usr/bin/od -An -tx1 /proc/self/auxv |
	cksum)" | verdict '--seed 7: the auxiliary vector, too'
if [ "$(cat /proc/sys/kernel/randomize_va_space)" = 2 ] && [ "$(setarch -R true; cat /proc/self/personality)" = 00000000 ]; then
	each_differs 5 "$(at)" "$(at)" | verdict 'by chance otherwise'
else
	skip 'by chance otherwise' 'not on this computer'
fi
# The ranges are Linux's: 200 draws stay in them, and reach into their last quarter.
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24; do
	at --seed $i
done | awk '
	function hex(s, n, i) { n = 0; sub(/-.*/, "", s); for (i = 1; i <= length(s); i++)
		n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1; return n }
	function range(name, x, low, size) { if (x < low || x >= low + size) print name " at " x
		if (x > low + size / 2) upper[name]++ }
	{ range("program", hex($1), 93824992215040, 1099511627776 + 65536)
	  range("stack", hex($4), 140668768878592 - 17179869184 - 8388608, 17179869184 + 8388608) }
	END { if (NR != 24) print NR " layouts"
	  for (n in upper) if (upper[n] < 4 || upper[n] > 20) print n ": " upper[n] " of 24 in the upper half" }' |
	verdict 'within the ranges of Linux'
timeout -k 5 60 "$ONDOL" run --seed 7 --no-aslr -- true 2>&1 | said_only 'no chance' |
	verdict '--seed with --no-aslr is refused'
timeout -k 5 60 "$ONDOL" run --seed x -- true 2>&1 | said_only 'want a whole number' |
	verdict '--seed x is refused'
tap_end

#!/bin/sh
# SPDX-License-Identifier: MIT
# The unmodified slabtop reads /proc/slabinfo (2.1) of a run: what it prints is what the file says
# (requirements E1 and E6).  procps computes each column of a line anew, so a column that we
# misplace or a count that does not fit the others shows here.  And --slab-debug.
cd "$(dirname "$0")/../.." || exit 2
. tests/programs/expect.sh
if ! command -v slabtop >/dev/null; then
	echo "ok - slabtop # SKIP no slabtop (procps)"
	exit 0
fi
skip_if_not_here slabtop
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
sizes=

# Every line of what slabtop prints against the file.
check() { # name, options of ondol run
	name=$1
	shift
	if ! timeout -k 5 60 "$ONDOL" run "$@" -- sh -c \
		"cat /proc/slabinfo >$work/info && slabtop -o -s n >$work/top" 2>"$work/err"; then
		echo "not ok - $name: status $?"
		sed 's/^/# /' "$work/err" | head
		failed=1
		return
	fi
	awk '
	FNR == NR {
		if (FNR == 1 && $0 != "slabinfo - version: 2.1")
			print "first line: " $0
		if (FNR > 2) {
			size[$1] = $4; per[$1] = $5; pages[$1] = $6; objects[$1] = $3
			slabs[$1] = $15
			infos++
		}
		next
	}
	/^ *[0-9]+ +[0-9]+ +[0-9]+% / {
		lines++
		if (!($8 in size)) {
			print "no such cache: " $0
			next
		}
		# What cannot change between the two reads is equal; what can, by a few slabs.
		if ($6 != per[$8])
			print $8 ": OBJ/SLAB " $6 ", not " per[$8]
		if ($4 + 0 - size[$8] / 1024 > 0.01 || size[$8] / 1024 - $4 > 0.01)
			print $8 ": OBJ SIZE " $4 ", not " size[$8] " B"
		if ($7 + 0 != $5 * pages[$8] * 4)
			print $8 ": CACHE SIZE " $7 " for " $5 " slabs of " pages[$8] " pages"
		if ($1 != $5 * per[$8] || $2 > $1)
			print $8 ": " $0
		if ($5 - slabs[$8] > 8 || slabs[$8] - $5 > 8)
			print $8 ": SLABS " $5 ", not " slabs[$8]
		if ($5 > 0)
			alive[$8] = 1
	}
	/Active \/ Total Caches/ { split($0, a, "/"); total = a[3] + 0 }
	END {
		if (lines < 20)
			print "only " lines + 0 " lines"
		if (!alive["kmem_cache"] && lines < infos)
			print "kmem_cache is not among the lines"
		if (total && total != infos)
			print total " caches in all, not " infos
	}' "$work/info" "$work/top" >"$work/wrong"
	if [ -s "$work/wrong" ]; then
		echo "not ok - $name"
		sed 's/^/# /' "$work/wrong" "$work/top" | head -n 30
		failed=1
	else
		echo "ok - $name"
	fi
}
check 'slabtop -o reads the caches of a run'
check 'and of a machine of 128 MiB' --mem 128M
check 'and of two nodes' --nodes 2 --mem 256M

# --slab-debug: the same program, the same answers, and larger objects where it says so.
for letters in FZPUQ FPUW; do
	if ! out=$(timeout -k 5 60 "$ONDOL" run --validate --slab-debug $letters -- sh -c \
		'for i in 1 2 3; do echo $i | cat; done; awk "\$1 == \"vm_area_struct\" { print \$4 }" \
		/proc/slabinfo' 2>"$work/err"); then
		echo "not ok - --slab-debug $letters: status $?"
		sed 's/^/# /' "$work/err" | head
		failed=1
	elif [ "$(echo "$out" | head -n 3 | tr -d '\n')" = 123 ] && [ ! -s "$work/err" ]; then
		echo "ok - --slab-debug $letters"
	else
		echo "not ok - --slab-debug $letters: $out"
		sed 's/^/# /' "$work/err" | head
		failed=1
	fi
	sizes="$sizes $(echo "$out" | tail -n 1)"
done
# 88 B; 8 of red zone and 56 of owners more; with a page that traps the object alone.
if [ "$sizes" = ' 152 88' ]; then
	echo "ok - a debugged cache has larger objects"
else
	echo "not ok - vm_area_struct of$sizes bytes"
	failed=1
fi
exit $failed

#!/bin/sh
# SPDX-License-Identifier: MIT
# What affinity is worth (B7): the share of pages that a processor maps from another's node, of
# Ondol's machine with two nodes.  Columns: everything on one processor; as place.c decides;
# wherever the host's scheduler puts it.  A page counts when the host's tables get it.
set -u
ONDOL=${ONDOL:-${B:-build}/ondol}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT INT TERM
allowed=$(taskset -pc $$ | sed 's/.*: //')
[ "$(nproc)" -ge 2 ] || { echo "affinity: this computer has one processor"; exit 0; }
case $allowed in *[-,]*) ;; *) echo "affinity: only processor $allowed may be used"; exit 0;; esac
first=$(echo "$allowed" | sed 's/[,-].*//')

# remote OPTIONS... -- PROGRAM...: "12.3 % of 4567 pages"
remote() {
	timeout 120 "$ONDOL" run --nodes 2 --mem 1G --stats-file "$work/stats" "$@" \
		>/dev/null 2>"$work/err" || { cat "$work/err" >&2; exit 1; }
	sed -n 's/^  nodes *\([0-9]*\) pages.*, \([0-9]*\) from another (\(.*\) %).*/\1 \2 \3/p' \
		"$work/stats" | awk '{ printf "%5.1f %% of %d", $3, $1 + $2 }'
}
row() { # name, command
	name=$1
	shift
	printf '%-22s %20s %20s %20s\n' "$name" "$(remote --pin "$first" -- "$@")" \
		"$(remote --pin auto -- "$@")" "$(remote --pin free -- "$@")"
}
printf '%-22s %20s %20s %20s\n' 'remote pages' "--pin $first" '--pin auto' '--pin free'
row 'a pipeline' sh -c 'ls /usr/bin | sort -r | head -50 | wc -l'
row 'twenty shells, two wide' sh -c 'seq 20 | xargs -P 2 -I@ sh -c "ls / | sort >/dev/null"'

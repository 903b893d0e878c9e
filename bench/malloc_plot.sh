#!/bin/sh
# SPDX-License-Identifier: MIT
# malloc_plot.sh FIGURES >picture.svg: draws what bench/malloc_programs.sh measured.  A panel for
# each malloc: across, a program's time over that with glibc's malloc (processor time; TIME=wall:
# wall time); up, its peak RSS likewise.  Programs are numbered; the cross is the geometric mean.
set -eu
figures=$1
what='processor time' field=4
[ "${TIME:-}" = wall ] && what='wall time' field=3
if ! command -v gnuplot >/dev/null 2>&1; then
	echo 'malloc_plot.sh: no gnuplot (Debian: gnuplot-nox)' >&2
	exit 1
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# For each malloc: lines of number, time ratio, RSS ratio; the mean's number is 0.
awk -v dir="$tmp" -v field=$field '
$2 == "glibc" {
	time[$1] = $field; peak[$1] = $5; names[++programs] = $1; number[$1] = programs
	next
}
{
	if (!($2 in n))
		order[++mallocs] = $2
	x = $field / time[$1]; y = $5 / peak[$1]
	print number[$1], x, y >(dir "/" $2)
	n[$2]++; sx[$2] += log(x); sy[$2] += log(y)
}
END {
	for (i = 1; i <= mallocs; i++) {
		m = order[i]
		print 0, exp(sx[m] / n[m]), exp(sy[m] / n[m]) >(dir "/" m)
		print m >(dir "/mallocs")
	}
	for (i = 1; i <= programs; i++)
		line = line (i > 1 ? "   " : "") i " " names[i] (i == int((programs + 1) / 2) ? "\\n" : "")
	print line >(dir "/programs")
}' "$figures"

{
	cat <<-END
	set terminal svg size 880,840 font "sans-serif,13" background "white"
	set multiplot layout 2,2 margins 0.07,0.98,0.14,0.91 spacing 0.07,0.1 \\
		title "Whole programs: $what and peak RSS over those with glibc's malloc"
	set label 1 "$(cat "$tmp/programs")" at screen 0.5,0.055 center textcolor "#667080"
	set label 2 "across: time, up: peak RSS; left and below is better; cross: geometric mean" \\
		at screen 0.5,0.09 center
	unset key
	set border 3 linecolor "#8b94a3"
	set tics nomirror out scale 0.5 textcolor "#667080"
	set grid linecolor "#d5dae2"
	set format "%.1f"
	set xtics 0.1
	set ytics 0.1
	END
	while read -r name; do cat "$tmp/$name"; done <"$tmp/mallocs" | awk '
	NR == 1 { x0 = x1 = $2; y0 = y1 = $3 }
	{ if ($2 < x0) x0 = $2; if ($2 > x1) x1 = $2; if ($3 < y0) y0 = $3; if ($3 > y1) y1 = $3 }
	END {
		printf "set xrange [%.2f:%.2f]\n", (x0 < 1 ? x0 : 1) - .04, (x1 > 1 ? x1 : 1) + .04
		printf "set yrange [%.2f:%.2f]\n", (y0 < 1 ? y0 : 1) - .04, (y1 > 1 ? y1 : 1) + .04
	}'
	echo 'set arrow 1 from 1,graph 0 to 1,graph 1 nohead linecolor "#6d7584"'
	echo 'set arrow 2 from graph 0,first 1 to graph 1,first 1 nohead linecolor "#6d7584"'
	while read -r name; do
		mean=$(awk '$1 == 0 { printf "%.2f, %.2f", $2, $3 }' "$tmp/$name")
		ink='#2f78c2'
		[ "$name" = ondol ] && ink='#e0660b'
		cat <<-END
		set title "$name: mean $mean" textcolor "$ink"
		plot "$tmp/$name" using (\$1 > 0 ? \$2 : NaN):3 with points pt 7 ps 0.35 lc "$ink" \
			title "$name", \\
			"" using (\$1 > 0 ? \$2 : NaN):3:1 with labels offset 0.7,0.35 \\
			font ",11" textcolor "#1f2733" notitle, \\
			"" using (\$1 == 0 ? \$2 : NaN):3 with points pt 2 ps 1.6 lw 2.5 lc "$ink" \
			notitle
		unset label 1
		unset label 2
		END
	done <"$tmp/mallocs"
} >"$tmp/plot"
gnuplot "$tmp/plot"

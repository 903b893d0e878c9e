#!/bin/sh
# SPDX-License-Identifier: MIT
# Rules about the source text: layers, sizes, links, invariants.  See tests/tidy/allow.
cd "$(dirname "$0")/../.." || exit 2
. tests/tidy/tap.sh

tree() { # files of the given folders that git would keep
	find "$@" -type f \( -name '*.[chS]' -o -name '*.cc' -o -name '*.cpp' \) 2>/dev/null | sort
}
code=$(tree core arch include ports tools tests examples bench)
core=$(tree core arch)

# Layer of each folder of core/, and what it may include: itself and everything lower;
# the loader only base; inspect, and files of core/ itself, everything.
include_direction() {
	awk '
	BEGIN {
		split("base 0 phys 1 slab 2 pgtable 2 virt 3 reclaim 4 inspect 9 top 9", a)
		for (i = 1; i in a; i += 2)
			rank[a[i]] = a[i + 1]
		split("stdint stddef stdbool limits stdarg", b)
		for (i in b)
			std["<" b[i] ".h>"] = 1
	}
	/^[ \t]*#[ \t]*include/ {
		split(FILENAME, f, "/")
		from = f[2] in rank || f[2] == "loader" || f[1] == "arch" ? f[2] : "top"
		if (match($0, /<[^>]*>/)) {
			name = substr($0, RSTART, RLENGTH)
			if (!(name in std) && name !~ /^<ondol\//)
				print FILENAME ":" FNR ": " name " is not there without an OS"
			next
		}
		match($0, /"[^"]*"/)
		name = substr($0, RSTART + 1, RLENGTH - 2)
		split(name, t, "/")
		to = t[1]
		if (to == from || to == "base")
			next
		if (f[1] == "arch" || from == "loader" || !(to in rank))
			print FILENAME ":" FNR ": may not include " name
		else if (rank[to] > rank[from] || (rank[to] == rank[from]))
			print FILENAME ":" FNR ": " from " is below " to ", may not include " name
	}' $core </dev/null
}
include_direction | verdict 'core: includes go down through the layers'

# Ports, tools and every test but tests/unit and tests/proof see public headers only.
grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"(base|phys|slab|pgtable|virt|reclaim|loader|inspect|core|arch)/' \
	$(tree ports tools examples bench tests | grep -vE '^tests/(unit|proof)/') /dev/null |
	verdict 'outside core: only public headers'

grep -nE '__thread|_Thread_local|thread_local|\bgoto +\*|\balloca *\(|__builtin_alloca' $core /dev/null |
	verdict 'core: no thread-locals, no alloca'
grep -rnE 'TODO|FIXME|XXX|not implemented' $code /dev/null | grep -vE 'tests/tidy/|\[XXX-n\]' |
	verdict 'no TODO in place of work'

for f in $code; do
	head -n 3 "$f" | grep -q 'SPDX-License-Identifier: MIT' || echo "$f"
done | verdict 'every file names its licence'

for f in $code; do
	n=$(wc -l <"$f")
	max=$(allowed file | awk -v f="$f" '$1 == f { print $2 }')
	[ "$n" -gt "${max:-800}" ] && echo "$f: $n lines, ${max:-800} allowed"
done | verdict 'files of at most 800 lines'

LC_ALL=C awk '
{
	line = $0
	gsub(/[\200-\277]/, "", line) # a character of UTF-8 is one column
	width = 0
	for (i = 1; i <= length(line); i++)
		width += substr(line, i, 1) == "\t" ? 8 - width % 8 : 1
	if (width > 100)
		print FILENAME ":" FNR ": " width " columns"
	if (line ~ /[ \t]$/)
		print FILENAME ":" FNR ": blank at the end of the line"
}' $code </dev/null | verdict 'lines of at most 100 columns, nothing trailing'

# Kernel style: a function body is what stands between "{" and "}" in the first column.
allowed function >"${TMPDIR:-/tmp}/tidy.$$"
awk '
NR == FNR && FILENAME ~ /tidy\./ { max[$1] = $2; next }
/^[A-Za-z_].*[A-Za-z_0-9]\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
/^\{/ { start = FNR }
/^\}/ && start {
	limit = name in max ? max[name] : 70
	if (FNR - start - 1 > limit)
		print FILENAME ":" start ": " name ": " FNR - start - 1 " lines, " limit " allowed"
	start = 0
}
start && /^\t\t\t\t\t\t*(if|for|while|switch|do)[ (]/ {
	print FILENAME ":" FNR ": nested deeper than 4"
}' "${TMPDIR:-/tmp}/tidy.$$" $core $(tree ports tools) </dev/null |
	verdict 'functions of at most 70 lines, nesting of at most 4'
rm -f "${TMPDIR:-/tmp}/tidy.$$"

# [text](target): the file must exist, from where the page stands.
find . -name '*.md' -not -path './build/*' -not -path './.git/*' | while read -r page; do
	grep -no ']([^)#][^)]*)' "$page" | sed 's/^\([0-9]*\):](\(.*\))$/\1 \2/' |
		while read -r at target rest; do
			case $target in
			http:* | https:* | mailto:*) continue ;;
			esac
			[ -e "$(dirname "$page")/${target%%#*}" ] || echo "$page:$at: no $target"
		done
done | verdict 'pages: no dead links'

# docs/syscalls.md: the tests that it names are there, and each call that comes to the monitor is in it.
{
	grep -o '`[^`]*`' docs/syscalls.md | tr -d '\140' | sort -u | while read -r kind name; do
		case $kind in
		case) [ -z "$name" ] || grep -q "^$name " tests/programs/cases || echo "no case $name" ;;
		step_*) grep -q "static void $kind(" tests/conform/steps.c || echo "no $kind" ;;
		tests/*) [ -e "$kind" ] || echo "no $kind" ;;
		esac
	done
	grep -o 'SYS_[a-z0-9_]*' ports/linux/filter.c | sed 's/^SYS_//; s/_$//' | sort -u |
		while read -r call; do
			[ -z "$call" ] || grep -q "^| .*\`$call\`" docs/syscalls.md || echo "not told of: $call"
		done
} | verdict 'docs/syscalls.md: its tests are there, no call is missing'

# A call that comes to the monitor, or is refused, does so with either kind of programs.
sed -n '/^static const struct sock_filter/,/^};/p' ports/linux/filter.c |
	grep -o 'SYS_[a-z0-9_]*' | sed 's/^SYS_//; s/_$//' | sort -u | while read -r call; do
	grep -qE "(I386|SYS)_${call}_?\\b" ports/linux/filter_i386.c || echo "not there: $call"
done | verdict 'filter_i386.c: no call of filter.c is missing'

# " *   [BUDDY-3] ..." in a comment declares an invariant.
labels() {
	awk 'match($0, /^[ \t]*\/?\*+[ \t]+\[[A-Z][A-Z0-9]*-[0-9]+\]/) {
		s = substr($0, RSTART, RLENGTH)
		sub(/.*\[/, "", s)
		sub(/\]/, "", s)
		print s, FILENAME ":" FNR
	}' $core $(tree include) </dev/null
}
labels | sort | awk 'seen[$1] { print $1 ": declared at " seen[$1] " and " $2 } { seen[$1] = $2 }' |
	verdict 'invariants: each label is declared once'
labels | while read -r id where; do
	allowed invariant | grep -qx "$id" && continue
	grep -rqF "\"$id\"" core || echo "$where: nothing checks [$id]"
	grep -rqwF "$id" tests --include='*.c' || echo "$where: no test names [$id]"
done | verdict 'invariants: each is checked, and a test names it'
for id in $(grep -rhoE '"[A-Z][A-Z0-9]*-[0-9]+"' core arch --include='*.c' | tr -d '"' | sort -u); do
	labels | grep -q "^$id " || echo "\"$id\" is checked but nowhere explained"
done | verdict 'invariants: what is checked is explained'
tap_end

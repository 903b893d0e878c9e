#!/bin/sh
# SPDX-License-Identifier: MIT
# What `ondol lab` and `ondol machine` print, against tests/lab/golden and docs/pictures.
#   pictures.sh           compares
#   pictures.sh --write   writes them anew, to be looked at before they are committed
cd "$(dirname "$0")/../.." || exit 2
. tests/tidy/tap.sh
ondol=${ONDOL:-build/ondol}
write=$1
LC_ALL=C.UTF-8 COLUMNS=80
export LC_ALL COLUMNS
unset NO_COLOR

compare() { # filter, file, command...: standard output and error are as in the file
	filter=$1 file=$2
	shift 2
	"$@" 2>&1 </dev/null | sed -E "$filter" >"$tap_bad.now"
	if [ "$write" = --write ]; then
		mv "$tap_bad.now" "$file"
		return
	fi
	diff "$file" "$tap_bad.now" 2>&1 | head -20 | verdict "$file"
	rm -f "$tap_bad.now"
}
same() {
	compare '' "$@"
}
# Policies differ in when they merge, not in what the picture shows.
same_state() {
	compare 's/^ (merges|병합) [0-9].*/ \1/' "$@"
}
# Where numbers depend on the size of the core's own records, they do not count.
alike() {
	compare 's/~?[0-9]+(\.[0-9]+)?/9/g; s/ +/ /g; s/─+/─/g; s/▒+/▒/g; s/░+/░/g' "$@"
}
for lang in en ko; do
	for on in classic modern linux-2.4; do
		same_state tests/lab/golden/figures-$on.$lang.txt \
			"$ondol" lab figures --on $on --lang $lang
	done
	alike tests/lab/golden/zones.$lang.txt "$ondol" lab zones --lang $lang
	alike tests/lab/golden/caches.$lang.txt "$ondol" lab caches --lang $lang
	same tests/lab/golden/banks.$lang.txt "$ondol" lab banks --lang $lang
	same tests/lab/golden/hotplug.$lang.txt "$ondol" lab hotplug --lang $lang
	same tests/lab/golden/slab.$lang.txt "$ondol" lab slab --lang $lang
	for machine in i386-2g-uma numa2-movable x86-4bank-interleaved toy16; do
		alike tests/lab/golden/machine-$machine.$lang.txt \
			"$ondol" machine show $machine --lang $lang
	done
	alike tests/lab/golden/machine-announced.$lang.txt "$ondol" machine show --lang $lang \
		--mem 64M,64M --set 'offline 128M-256M node 1' --set 'device 512M-516M node 0'
done
same tests/lab/golden/list.txt "$ondol" lab --list
same_state tests/lab/golden/narrow.txt "$ondol" lab figure7 --width 50
for f in tests/lab/mistakes/*.lab; do
	same "${f%.lab}.txt" "$ondol" lab --check "$f"
done
for f in tests/lab/mistakes/*.machine; do
	same "${f%.machine}.txt" "$ondol" machine show "$f"
done

# The pictures in the pages are what these commands print.
for lang in en ko; do
	suffix=$([ $lang = ko ] && echo .ko)
	same docs/pictures/figure7$suffix.svg "$ondol" lab figure7 --lang $lang --svg -
	same docs/pictures/slab$suffix.svg "$ondol" lab second --lang $lang --svg -
	same docs/pictures/bootstrap$suffix.svg "$ondol" lab bootstrap --lang $lang --svg -
	same docs/pictures/figure3$suffix.svg "$ondol" lab figure3 --lang $lang --svg -
	same docs/pictures/machine$suffix.svg \
		"$ondol" machine show x86-4bank-interleaved --lang $lang --svg
done
[ "$write" = --write ] && exit 0

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir" "$tap_bad"' EXIT
# What the pages show as a scenario runs, what they show as a session is one.
for page in docs/lab.md docs/lab.ko.md; do
	awk -v out="$dir/page" '/^```/ { n += !on; on = !on; kind = substr($0, 4); next }
		on { print > (out n "." kind) }' "$page"
	for f in "$dir"/page*.lab; do
		"$ondol" lab --check "$f" 2>&1 | grep -v '^ok'
	done | verdict "$page: its scenarios"
	for f in "$dir"/page*.console; do
		sh -c "$ondol $(sed -n '1s/^$ ondol//p' "$f")" 2>&1 | diff "$f" - | sed 1,2d
	done | verdict "$page: its sessions"
	rm -f "$dir"/page*
done

# Well-formed: every picture of every scenario, and the JSON of each.
for f in lab/*.lab; do
	name=$(basename "$f" .lab)
	"$ondol" lab "$name" --svg-dir "$dir" --lang ko && "$ondol" lab "$name" --svg-dir "$dir" &&
		"$ondol" lab "$name" --svg "$dir/all-$name.svg" &&
		"$ondol" lab "$name" --json >"$dir/$name.json" || echo "$name: exit status $?"
done 2>&1 | verdict 'every scenario as SVG and JSON'
for f in lab/machines/*.machine; do
	name=$(basename "$f" .machine)
	"$ondol" machine show "$name" --svg >"$dir/$name.svg"
	"$ondol" machine show "$name" --json >"$dir/$name.json"
done
if command -v xmllint >/dev/null; then
	xmllint --noout "$dir"/*.svg 2>&1 | verdict 'SVG is well-formed (xmllint)'
else
	skip 'SVG is well-formed (xmllint)' 'no xmllint (libxml2-utils)'
fi
if command -v python3 >/dev/null; then
	python3 - "$dir"/*.json <<'END' 2>&1 | verdict 'JSON parses and says what the texts say'
import json, sys
for name in sys.argv[1:]:
    d = json.load(open(name))
    if 'steps' in d:
        assert d['failed'] == 0 and d['steps'], name
        for s in d['steps']:
            for area in s['free_area']:
                heads = [f['pfn'] for f in s['frames'] if f['head'] and f['state'] == 'free'
                         and f['order'] == area['order']]
                assert area['free_list'] == heads, (name, s['id'])
    else:
        at = 0
        for piece in d['memory']:
            assert piece['start_pfn'] == at < piece['end_pfn'], name
            at = piece['end_pfn']
        present = sum(n['node_present_pages'] for n in d['pgdat_list'])
        assert present == sum(z['present'] for z in d['zones']), name
        assert present == sum(p['end_pfn'] - p['start_pfn'] for p in d['memory']
                              if p['kind'] != 'hole'), name
END
else
	skip 'JSON parses and says what the texts say' 'no python3'
fi
# From any folder; no colour in a pipe; a full disk is told.
(cd / && "$OLDPWD/$ondol" lab figure1) | grep -q 'order 2' || echo 'not from /' |
	verdict 'shipped scenarios are in the program'
"$ondol" lab figures | grep "$(printf '\033')" | verdict 'no escape sequences in a pipe'
if [ -w /dev/full ]; then
	{ "$ondol" lab figures >/dev/full 2>"$dir/err" && echo 'exit status 0'
	  grep -q 'No space' "$dir/err" || cat "$dir/err"; } | verdict 'a full disk is told'
fi
tap_end

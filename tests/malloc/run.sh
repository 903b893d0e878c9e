#!/bin/sh
# SPDX-License-Identifier: MIT
# The conformance suite on glibc's malloc (so that the suite itself is checked), on the preloaded
# shared object and statically linked; C++; then programs of this machine natively and preloaded:
# output and exit status must be equal.  What is not installed is skipped.
cd "$(dirname "$0")/../.." || exit 2
B=${B:-build} cc=${CC:-cc} cxx=${CXX:-c++}
so=$PWD/$B/libondol-malloc.so a=$B/libondol-malloc.a
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
bad=0
verdict() { # status name
	if [ "$1" -eq 0 ]; then echo "ok - $2"; else echo "not ok - $2"; bad=1; fi
}
skip() {
	echo "ok - $1 # SKIP $2"
}
suite() { # name, command
	name=$1
	shift
	timeout 300 "$@" >"$tmp/log" 2>&1
	status=$?
	sed "s/^\(not \)*ok [0-9]* - /&$name: /" "$tmp/log"
	[ $status -eq 0 ] || { echo "# $name: exit status $status"; bad=1; }
}

flags='-O2 -g -Wall -Wextra -D_GNU_SOURCE'
mkdir -p "$B/tests/malloc" || exit 1
conf=$B/tests/malloc/conformance
$cc $flags -o "$conf" tests/malloc/conformance.c -pthread || exit 1
suite glibc "$conf"
suite preloaded env LD_PRELOAD="$so" "$conf"
if $cc $flags -static -o "$conf-static" tests/malloc/conformance.c "$a" -pthread 2>"$tmp/log"; then
	suite static "$conf-static"
else
	sed 's/^/# /' "$tmp/log" | head -5
	skip 'static' 'no static libc'
fi
if echo 'int main() { return 0; }' | $cxx -x c++ -o "$tmp/a.out" - 2>/dev/null; then
	$cxx -O1 -g -Wall -std=c++17 -o "$tmp/new" tests/malloc/new.cc -pthread || exit 1
	suite 'C++ glibc' "$tmp/new"
	suite 'C++ preloaded' env LD_PRELOAD="$so" "$tmp/new"
	$cxx -O1 -g -Wall -std=c++17 -o "$tmp/replaced" tests/malloc/replaced.cc || exit 1
	suite 'C++ glibc' "$tmp/replaced"
	suite 'C++ preloaded' env LD_PRELOAD="$so" "$tmp/replaced"
	for program in new replaced; do
		$cxx -O1 -g -std=c++17 -static -o "$tmp/$program-static" \
			tests/malloc/$program.cc "$a" -pthread 2>/dev/null &&
			suite 'C++ static' "$tmp/$program-static"
	done
else
	skip 'C++ new and delete' 'no C++ compiler'
fi

$cc -O1 -Wall -Wextra -fno-builtin -o "$tmp/tuned" tests/malloc/tuned.c || exit 1
for preload in '' "$so"; do
	name="mallopt${preload:+ preloaded}"
	suite "$name" env LD_PRELOAD="$preload" "$tmp/tuned"
	suite "$name" env LD_PRELOAD="$preload" MALLOC_PERTURB_=90 \
		MALLOC_MMAP_THRESHOLD_=65536 "$tmp/tuned" given
done

$cc -O1 -Wall -Wextra -o "$tmp/idle" tests/malloc/idle.c || exit 1
suite 'returned to the host' env LD_PRELOAD="$so" "$tmp/idle"

# Mistakes: what is said of them, by default and with debugging.
$cc -O0 -g -w -o "$tmp/wrong" tests/malloc/wrong.c -pthread || exit 1
mistake() { # letters, mistake, what must be said; nothing: it must go unnoticed
	ONDOL_MALLOC_DEBUG=$1 LD_PRELOAD=$so timeout 20 "$tmp/wrong" "$2" >"$tmp/log" 2>&1
	status=$?
	if [ -n "$3" ]; then
		[ $status -eq 134 ] && grep -qF "$3" "$tmp/log"
	else
		[ $status -eq 0 ] && [ ! -s "$tmp/log" ]
	fi
	verdict $? "mistake: ${2:-none}, debug '$1'"
}
mistake '' twice 'freed twice in a row'
mistake '' stack 'free of what is no block'
mistake '' large-twice 'was freed before'
mistake '' '' ''
mistake FZP '' ''
mistake FZP twice 'freed twice'
mistake FZP middle '16 bytes into it'
mistake Z overrun 'written beyond the end'
mistake P use-after-free 'written to after it was freed'
mistake Z slack 'written beyond the end'
mistake Z slack-in-use 'when the program ended'
mistake P late-write 'when the program ended'
mistake F sized 'freed as 4 bytes, allocated as 100'
reported() { # letters, mistake, what the lines of the report must have, in order
	ONDOL_MALLOC_DEBUG=$1 LD_PRELOAD=$so timeout 20 "$tmp/wrong" "$2" >"$tmp/log" 2>&1
	printf '%s\n' "$3" | awk -v file="$tmp/log" '
	{ do { if ((getline line < file) <= 0) { print "# no line with: " $0; exit 1 }
	  } while (!index(line, $0)) }'
	verdict $? "report: $2, debug '$1'"
}
at() { # the line of wrong.c with this note
	grep -n "/\* $1 \*/" tests/malloc/wrong.c | sed 's/:.*//; s/^/wrong.c:/'
}
if ldconfig -p | grep -q 'libdw\.so\.1'; then
	reported FZPU twice "freed twice
of 100 bytes, freed
allocated by
#0  main tests/malloc/$(at allocated)
freed by
#0  main tests/malloc/$(at 'freed first')
noticed in
#0  main tests/malloc/$(at 'freed again')"
	reported FZPU use-after-free "written to after it was freed
bytes   from offset 5: 01 6b
allocated by
$(at allocated)
freed by
$(at 'freed early')"
	reported U thread "freed twice
allocated by
in_thread tests/malloc/$(at 'in a thread')
freed by"
	reported UL leaks "1100 bytes in 3 blocks of 2 call sites in use at exit
1000 bytes in 2 blocks
leak tests/malloc/$(at leaked)
100 bytes in 1 blocks
$(at allocated)"
else
	skip 'reports with lines' 'no libdw'
fi
# A static program knows its functions, though not the lines.
if $cc -O0 -g -w -static -o "$tmp/wrong-static" tests/malloc/wrong.c "$a" -pthread 2>/dev/null; then
	ONDOL_MALLOC_DEBUG=FZPUL timeout 20 "$tmp/wrong-static" twice >"$tmp/log" 2>&1
	[ $? -eq 134 ] && grep -q 'freed twice' "$tmp/log" &&
		[ "$(grep -c '#0  main (/.*wrong-static+0x' "$tmp/log")" -eq 3 ]
	verdict $? 'report: a static program'
fi
secured() { # mistake, exit status
	ONDOL_MALLOC_SECURE=1 LD_PRELOAD=$so timeout 20 "$tmp/wrong" "$1" >"$tmp/log" 2>&1
	[ $? -eq "$2" ]
	verdict $? "secure: ${1:-no mistake}"
}
secured '' 0
secured twice 134
secured twice-later 134
secured middle 134
secured stack 134
secured large-overrun 139
secured large-after-free 139
secured 'in order' 0
LD_PRELOAD=$so "$tmp/wrong" 'in order'
[ $? -eq 1 ]
verdict $? 'not secure: in order'
$cc -O1 -Wall -o "$tmp/pages" tests/malloc/pages.c || exit 1
pages() { # ONDOL_MALLOC_HUGE, bytes, what is asked for
	[ "$(ONDOL_MALLOC_HUGE=$1 LD_PRELOAD=$so "$tmp/pages" "$2")" = "$3" ]
	verdict $? "huge pages: ONDOL_MALLOC_HUGE=$1, $2 bytes: $3"
}
if [ -d /sys/kernel/mm/transparent_hugepage ]; then
	pages '' 67108864 hg
	pages '' 1000 no
	pages 0 67108864 no
	pages 1 1000 hg
else
	skip 'huge pages' 'the host has none'
fi
ONDOL_MALLOC_NODES=3 suite 'three nodes' env LD_PRELOAD="$so" "$conf"
ONDOL_MALLOC_SECURE=1 suite secured env LD_PRELOAD="$so" "$conf"
ONDOL_MALLOC_DEBUG=FZPU suite debugged env LD_PRELOAD="$so" T=e "$conf"

. tests/malloc/profile.sh

# name, program needed, script for sh; $PWD is an empty folder, $1 this repository.
program() {
	if ! command -v "$2" >/dev/null 2>&1; then
		skip "$1" "no $2"
		return
	fi
	for way in native preloaded; do
		mkdir -p "$tmp/$way"
		preload=
		[ $way = preloaded ] && preload=$so
		(cd "$tmp/$way" && LD_PRELOAD=$preload timeout 200 sh -c "$3" sh "$repo" \
			>"../$way.out" 2>&1; echo "exit status $?" >>"../$way.out")
		rm -rf "${tmp:?}/$way"
	done
	if cmp -s "$tmp/native.out" "$tmp/preloaded.out"; then
		verdict 0 "$1"
	else
		diff "$tmp/native.out" "$tmp/preloaded.out" | head -10 | sed 's/^/# /'
		verdict 1 "$1"
	fi
}
repo=$PWD
. tests/malloc/programs.sh

# The malloc on Ondol's own memory.
if [ -w /dev/userfaultfd ] && command -v python3 >/dev/null 2>&1; then
	"$B/ondol" run -- env LD_PRELOAD="$so" python3 -c \
		'print(sum(len(str(x)) for x in [list(range(i)) for i in range(300)]))' \
		>"$tmp/under" 2>&1
	python3 -c 'print(sum(len(str(x)) for x in [list(range(i)) for i in range(300)]))' \
		>"$tmp/native" 2>&1
	cmp "$tmp/native" "$tmp/under" 2>&1 | sed 's/^/# /'
	cmp -s "$tmp/native" "$tmp/under"
	verdict $? 'python3 preloaded under ondol run'
else
	skip 'python3 preloaded under ondol run' 'no /dev/userfaultfd or no python3'
fi

# Memory of the thread's node, on a machine of two; and the test sees it where it is not.
$cc -O1 -Wall -Wextra -fno-builtin -o "$tmp/local" tests/malloc/local.c -pthread || exit 1
on_nodes() { # ONDOL_MALLOC_NODES, arguments
	timeout -k 5 120 "$B/ondol" run --nodes 2 --validate -- env ONDOL_MALLOC_NODES="$1" \
		LD_PRELOAD="$so" "$tmp/local" $2 >"$tmp/log" 2>&1
}
if [ -w /dev/userfaultfd ] && [ "$(nproc)" -gt 1 ]; then
	on_nodes '' ''
	status=$?
	sed "s/^\(not \)*ok [0-9]* - /&two nodes: /" "$tmp/log"
	[ $status -eq 0 ] || bad=1
	on_nodes '' spread
	verdict $? 'two nodes: a policy of the program counts'
	on_nodes 1 ''
	[ $? -eq 1 ] && [ "$(grep -c '^not ok' "$tmp/log")" -eq 6 ]
	verdict $? 'two nodes: taken for one, none of that holds'
else
	skip 'two nodes' 'no /dev/userfaultfd or one processor'
fi
exit $bad

#!/bin/sh
# SPDX-License-Identifier: MIT
# Every public header compiles alone, first, and twice: as C11, as C++17, warning-free.
cd "$(dirname "$0")/../.." || exit 2
. tests/tidy/tap.sh
cc=${CC:-cc} cxx=${CXX:-c++}
warn='-Wall -Wextra -Wpedantic -Wundef -Werror -fsyntax-only -Iinclude'

each() { # compiler and options
	# No -Wshadow: in C++ ondol_phys_addr() "hides" the constructor of its struct.
	for h in include/ondol/*.h; do
		n=${h#include/}
		printf '#include <%s>\n#include <%s>\ntypedef int not_empty;\n' "$n" "$n" |
			"$@" $warn - 2>&1 | head -5
	done
}
each $cc -std=c11 -x c | verdict 'public headers alone as C11'
if echo | $cxx -x c++ -fsyntax-only - 2>/dev/null; then
	each $cxx -std=c++17 -x c++ | verdict 'public headers alone as C++17'
else
	skip 'public headers alone as C++17' "no C++ compiler ($cxx)"
fi
tap_end

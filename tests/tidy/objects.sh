#!/bin/sh
# SPDX-License-Identifier: MIT
# Rules about the compiled core: no writable globals, nothing needed from outside but
# four functions.  objects.sh [BUILD [NAME]]
cd "$(dirname "$0")/../.." || exit 2
. tests/tidy/tap.sh
build=${1:-build} name=${2:-native}
objects=$(find "$build/core" "$build/arch" -name '*.o' | sort)
if [ -z "$objects" ]; then
	echo "not ok - $name: there are no objects in $build"
	exit 1
fi

# Constants with addresses in them go to .data.rel.ro, which is read-only once loaded.
writable() {
	size -A $objects | awk '
	/ :$/ || /  :/ { file = $1 }
	$1 ~ /^\.(data|bss|tdata|tbss|sdata|sbss)/ && $1 !~ /^\.data\.rel\.ro/ && $2 > 0 {
		print file ": " $2 " bytes in " $1
	}'
	nm -A $objects | awk '$(NF - 1) == "C" { print }'
}
writable | verdict "$name: no writable globals in core and arch"

# Symbols that no object of the core defines.
nm -A $objects | awk -v name="$name" '
BEGIN {
	split("memcpy memset memmove memcmp", a)
	for (i in a)
		ok[a[i]] = 1
	ok["_GLOBAL_OFFSET_TABLE_"] = 1 # of position-independent code
	if (name ~ /32/) { # 64-bit arithmetic of the compiler
		split("__udivdi3 __umoddi3 __divdi3 __moddi3 __udivmoddi4 __divmoddi4 __popcountdi2 " \
		      "__ashldi3 __lshrdi3 __ashrdi3 __clzdi2 __ctzdi2 __ffsdi2", b)
		for (i in b)
			ok[b[i]] = 1
	}
}
$(NF - 1) == "U" { used[$NF] = $1; next }
{ defined[$NF] = 1 }
END {
	for (s in used)
		if (!(s in defined) && !(s in ok))
			print used[s] " needs " s
}' | verdict "$name: needs nothing but memcpy, memset, memmove, memcmp"
tap_end

#!/bin/sh
# SPDX-License-Identifier: MIT
# The same core for other worlds, warning-free: 32 bits, inside a kernel, wasm32.
cd "$(dirname "$0")/../.." || exit 2
. tests/tidy/tap.sh
cc=${CC:-cc}
make=${MAKE:-make}

variant() { # name, compiler, flags
	MAKEFLAGS='' $make -s B="build/variants/$1" CC="$2" CFLAGS="$3 -Werror" core-objects 2>&1 |
		grep -E 'error|warning|Error' | head -30
}
works() { # compiler and flags
	echo 'int f(void); int f(void) { return 0; }' | "$@" -x c -ffreestanding -c -o /dev/null - 2>/dev/null
}
again() { # objects.sh's verdicts on a variant
	sh tests/tidy/objects.sh "build/variants/$1" "$1" || echo "$1" >>"$tap_bad"
}

if works $cc -m32; then
	variant m32 "$cc" '-O2 -m32 -fno-pic' | verdict 'core compiles with -m32'
	again m32
else
	skip 'core compiles with -m32' "$cc cannot"
fi
if works $cc -fno-pic -mno-red-zone -mgeneral-regs-only -mcmodel=kernel; then
	variant kernel "$cc" '-O2 -fno-pic -mno-red-zone -mgeneral-regs-only -mcmodel=kernel -Wstack-usage=1024' |
		verdict 'core compiles for a kernel, frames below 1 KiB'
	again kernel
else
	skip 'core compiles for a kernel' "$cc cannot"
fi
if works clang --target=wasm32; then
	variant wasm32 clang '-O2 --target=wasm32' | verdict 'core compiles for wasm32'
else
	skip 'core compiles for wasm32' 'no clang that can'
fi
variant debug "$cc" '-O1 -DONDOL_DEBUG' | verdict 'core compiles with -DONDOL_DEBUG'
if works clang; then
	variant clang clang -O2 | verdict 'core compiles with clang'
else
	skip 'core compiles with clang' 'no clang'
fi
tap_end

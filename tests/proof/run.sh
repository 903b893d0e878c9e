#!/bin/sh
# SPDX-License-Identifier: MIT
# Frama-C proves the contracts of the core's arithmetic (core/phys/order.h, core/base/math.h), and
# that nothing in it overflows; of the same with a mistake in it, it must not.  Numbers of zones
# (core/phys/zone_id.h) and the square root of the watermarks too.  Not proved: phys_type_of_pfn, a
# search through a machine's tables (tests/unit/zone_test.c goes through every limit), and the
# division without libgcc of 32-bit hosts, which is `/` on the machine that the proof is for.
cd "$(dirname "$0")/../.." || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
n=0
why3 config detect -C "$work/why3.conf" >/dev/null 2>&1
prove() { # unit, functions, folder with other headers, seconds a goal
	WHY3CONFIG=$work/why3.conf timeout 600 frama-c -wp -wp-rte -warn-unsigned-overflow \
		-wp-prover cvc4,z3 -wp-timeout "$4" -wp-par 2 -wp-cache none -machdep gcc_x86_64 \
		-cpp-extra-args="-I$3 -Iinclude -Icore -Itests/proof" -wp-fct "$2" \
		"tests/proof/$1.c" 2>&1
}
proved() { # unit, functions
	n=$((n + 1))
	report=$(prove "$1" "$2" "$work" 20)
	goals=$(printf '%s\n' "$report" | sed -n 's/.*Proved goals: *\([0-9]*\) \/ \([0-9]*\)$/\1 \2/p')
	if [ -n "$goals" ] && [ "${goals% *}" -gt 0 ] && [ "${goals% *}" = "${goals#* }" ]; then
		echo "ok $n - $2: ${goals% *} goals"
	else
		echo "not ok $n - $2: ${goals:-none} goals"
		printf '%s\n' "$report" | sed 's/^/# /'
	fi
}
not_proved() { # what is wrong, unit, functions, sed script for order.h
	n=$((n + 1))
	mkdir -p "$work/$n/phys"
	sed "$4" core/phys/order.h >"$work/$n/phys/order.h"
	if cmp -s core/phys/order.h "$work/$n/phys/order.h"; then
		echo "not ok $n - $1: there is no such line"
		return
	fi
	if prove "$2" "$3" "$work/$n" 4 | grep -q '\[\(Failed\|Timeout\|Unknown\)\] Goal'; then
		echo "ok $n - not proved: $1"
	else
		echo "not ok $n - proved: $1"
	fi
}

proved order log2_u64,min_u64,max_u64,order_at
proved pairs order_buddy,order_nr_pairs,order_pair
proved zones zone_id
proved roots sqrt_u64
not_proved 'the buddy is two blocks on' pairs order_buddy 's/UINT32_C(1) << order/UINT32_C(2) << order/'
not_proved 'a map without its last pair' pairs order_nr_pairs 's/(start >> (order + 1)) + 1;/(start >> (order + 1));/'
not_proved 'a block larger than its place' order order_at 's/if (start \&\& order/if (0 \&\& start \&\& order/'

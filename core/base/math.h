/* SPDX-License-Identifier: MIT */
/* Integer helpers that need no compiler run-time library on 32-bit hosts. */
#ifndef ONDOL_BASE_MATH_H
#define ONDOL_BASE_MATH_H

#include <stdint.h>

static inline uint64_t align_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) & ~(to - 1);
}

static inline uint64_t align_down(uint64_t n, uint64_t to)
{
	return n & ~(to - 1);
}

/* The contracts in comments are proved by `make proof`: see phys/order.h. */
/*@ assigns \nothing;
    ensures \result == \min(a, b); */
static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*@ assigns \nothing;
    ensures \result == \max(a, b); */
static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Index of the highest set bit; n must not be 0. */
/*@ requires n != 0;
    assigns \nothing;
    ensures \result < 64 && pow2(\result) <= n < pow2(\result + 1); */
static inline unsigned log2_u64(uint64_t n)
{
	return 63 - (unsigned)__builtin_clzll(n);
}

/* n / d.  A 64-bit division on a 32-bit host would be a call into libgcc. */
static inline uint64_t div_u64(uint64_t n, uint32_t d)
{
#if UINTPTR_MAX > UINT32_MAX
	return n / d;
#else
	uint64_t quotient = 0, rest = 0;

	for (int bit = 63; bit >= 0; bit--) {
		rest = rest << 1 | ((n >> bit) & 1);
		if (rest >= d) {
			rest -= d;
			quotient |= UINT64_C(1) << bit;
		}
	}
	return quotient;
#endif
}

static inline uint32_t mod_u64(uint64_t n, uint32_t d)
{
	return (uint32_t)(n - div_u64(n, d) * d);
}

/* The largest r with r * r <= n. */
/*@ assigns \nothing;
    ensures \result * \result <= n < (\result + 1) * (\result + 1); */
static inline uint32_t sqrt_u64(uint64_t n)
{
	uint64_t root = 0, width = UINT64_C(1) << 32; /* it lies in [root, root + width) */

	/*@ loop invariant width: \exists integer k; 0 <= k <= 32 && width == pow2(k);
	    loop invariant room: root + width <= 0x100000000;
	    loop invariant below: root * root <= n;
	    loop invariant above: n < (root + width) * (root + width);
	    loop assigns root, width;
	    loop variant width; */
	while (width > 1) {
		uint64_t half = width / 2;

		/*@ assert even: half + half == width; */
		/*@ assert whole: n < (root + half + half) * (root + half + half); */
		if ((root + half) * (root + half) <= n)
			root += half;
		/*@ assert halved: n < (root + half) * (root + half); */
		width = half;
	}
	/*@ assert one: width == 1; */
	/*@ assert done: n < (root + 1) * (root + 1) && root <= 0xffffffff; */
	return (uint32_t)root;
}

#endif /* ONDOL_BASE_MATH_H */

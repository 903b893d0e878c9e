/* SPDX-License-Identifier: MIT */
/* Bits in 32-bit words; no atomics. */
#ifndef ONDOL_BASE_BITMAP_H
#define ONDOL_BASE_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t bitmap_bytes(uint64_t nr_bits)
{
	return ((nr_bits + 31) >> 5) * sizeof(uint32_t);
}

static inline bool bitmap_test(const uint32_t *map, uint64_t bit)
{
	return (map[bit >> 5] >> (bit & 31)) & 1;
}

static inline void bitmap_set(uint32_t *map, uint64_t bit)
{
	map[bit >> 5] |= UINT32_C(1) << (bit & 31);
}

static inline void bitmap_clear(uint32_t *map, uint64_t bit)
{
	map[bit >> 5] &= ~(UINT32_C(1) << (bit & 31));
}

/* Its value afterwards. */
static inline bool bitmap_flip(uint32_t *map, uint64_t bit)
{
	return ((map[bit >> 5] ^= UINT32_C(1) << (bit & 31)) >> (bit & 31)) & 1;
}

#endif /* ONDOL_BASE_BITMAP_H */

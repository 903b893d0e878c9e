/* SPDX-License-Identifier: MIT */
/* Compression of small blocks in the LZ4 block format: see lz4.c. */
#ifndef ONDOL_BASE_LZ4_H
#define ONDOL_BASE_LZ4_H

#include <ondol/types.h>

#define LZ4_INPUT_MAX 65535u /* bytes of one block: positions are 16 bits wide here */
#define LZ4_HASH_BITS 12
struct lz4_table { /* what the compressor needs beside its input; its contents do not matter */
	uint16_t at[1u << LZ4_HASH_BITS];
};

/* The most that `size` bytes can become. */
static inline size_t lz4_bound(size_t size)
{
	return size + size / 255 + 16;
}

/*
 * Compress `size` bytes, at most LZ4_INPUT_MAX, into at most `room`.  Their number; 0: they do
 * not fit, and dst holds nothing of use.
 */
size_t lz4_compress(struct lz4_table *table, const void *src, size_t size, void *dst, size_t room);
/*
 * What lz4_compress or any other writer of the format made; src may be anything, and nothing
 * beyond src + size is read or beyond dst + room written.  The number of bytes; -1: it is no
 * such block, or its contents have no room.
 */
ptrdiff_t lz4_decompress(const void *src, size_t size, void *dst, size_t room);

#endif /* ONDOL_BASE_LZ4_H */

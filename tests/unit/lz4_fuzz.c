/* SPDX-License-Identifier: MIT */
/*
 * LZ4 blocks: any input as a block (nothing outside is touched), and any input compressed and
 * read back.  libFuzzer: `make fuzz`.  tests/unit/lz4_test.c has the seconds-long run.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/lz4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lz4_table table;
	size_t room = size ? (size_t)data[0] * 32 : 0;
	unsigned char *out = malloc(room ? room : 1), *block, *back;
	ptrdiff_t r = lz4_decompress(data, size, out, room);

	if (r < -1 || r > (ptrdiff_t)room)
		abort();
	free(out);
	if (size > LZ4_INPUT_MAX)
		return 0;
	block = malloc(lz4_bound(size));
	back = malloc(size ? size : 1);
	size_t length = lz4_compress(&table, data, size, block, lz4_bound(size));

	if (!length || lz4_decompress(block, length, back, size) != (ptrdiff_t)size ||
	    memcmp(back, data, size))
		abort();
	/* Into less than it needs: refused, and nothing written beyond. */
	unsigned char *tight = malloc(length > 1 ? length - 1 : 1);

	if (lz4_compress(&table, data, size, tight, length - 1))
		abort();
	free(tight);
	free(block);
	free(back);
	return 0;
}

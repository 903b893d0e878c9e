/* SPDX-License-Identifier: MIT */
/*
 * LZ4 blocks: what is written is read back, by us and by liblz4 (where there is one), and the
 * other way round; what is no block is refused without a byte out of place.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/lz4.h"

#define PAGE 4096

static struct {
	int (*compress)(const char *, char *, int, int);
	int (*decompress)(const char *, char *, int, int);
} theirs;

static int load_theirs(void **state)
{
	void *library = dlopen("liblz4.so.1", RTLD_NOW);

	(void)state;
	if (library) {
		*(void **)&theirs.compress = dlsym(library, "LZ4_compress_default");
		*(void **)&theirs.decompress = dlsym(library, "LZ4_decompress_safe");
	}
	return 0;
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Contents of several kinds: zero, runs, words of few values, text, noise, and mixtures. */
static void fill(unsigned char *data, size_t size, uint64_t *seed)
{
	unsigned kind = (unsigned)(next_random(seed) % 6);
	static const char text[] = "the warm floor that programs stand on, under the floor ";

	for (size_t i = 0; i < size; i++) {
		switch (kind) {
		case 0: data[i] = 0; break;
		case 1: data[i] = (unsigned char)(i / (1 + *seed % 300)); break;
		case 2: data[i] = (unsigned char)(i % 8 ? 0 : next_random(seed) % 4); break;
		case 3: data[i] = (unsigned char)text[(i + *seed % 9) % (sizeof text - 1)]; break;
		case 4: data[i] = (unsigned char)next_random(seed); break;
		default: data[i] = i % 512 < 200 ? (unsigned char)next_random(seed) : data[i / 2];
		}
	}
}

/* Both compressors' blocks through both readers. */
static void round_trip(const unsigned char *data, size_t size)
{
	static struct lz4_table table;
	size_t bound = lz4_bound(size);
	unsigned char *block = malloc(bound), *back = malloc(size + 1);
	size_t length = lz4_compress(&table, data, size, block, bound);

	assert_true(length && length <= bound);
	back[size] = 0x5a;
	assert_int_equal(lz4_decompress(block, length, back, size), size);
	assert_memory_equal(back, data, size);
	assert_int_equal(back[size], 0x5a);
	if (size)
		assert_int_equal(lz4_decompress(block, length, back, size - 1), -1);
	/* It fits in what it needs, and in nothing less. */
	unsigned char *tight = malloc(length);

	assert_int_equal(lz4_compress(&table, data, size, tight, length), length);
	assert_memory_equal(tight, block, length);
	assert_int_equal(lz4_compress(&table, data, size, tight, length - 1), 0);
	free(tight);
	if (theirs.compress) {
		memset(back, 0, size);
		assert_int_equal(theirs.decompress((char *)block, (char *)back, (int)length,
						   (int)size), size);
		assert_memory_equal(back, data, size);
		length = (size_t)theirs.compress((const char *)data, (char *)block, (int)size,
						 (int)bound);
		assert_true(length);
		memset(back, 0, size);
		assert_int_equal(lz4_decompress(block, length, back, size), size);
		assert_memory_equal(back, data, size);
	}
	free(block);
	free(back);
}

static void test_every_small_size(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (size_t size = 0; size < 600; size++) {
		unsigned char *data = malloc(size + 1); /* its end is where ASan looks */

		for (unsigned n = 0; n < 12; n++) {
			fill(data, size, &seed);
			round_trip(data, size);
		}
		free(data);
	}
}

static void test_pages(void **state)
{
	uint64_t seed = 2;
	unsigned char data[PAGE];

	(void)state;
	for (unsigned n = 0; n < 2000; n++) {
		fill(data, sizeof data, &seed);
		round_trip(data, sizeof data);
	}
}

static void test_largest(void **state)
{
	uint64_t seed = 3;
	unsigned char *data = malloc(LZ4_INPUT_MAX + 1);
	static struct lz4_table table;
	static unsigned char block[70000];

	(void)state;
	for (unsigned n = 0; n < 60; n++) {
		fill(data, LZ4_INPUT_MAX, &seed);
		round_trip(data, LZ4_INPUT_MAX);
	}
	assert_int_equal(lz4_compress(&table, data, LZ4_INPUT_MAX + 1, block, sizeof block), 0);
	free(data);
}

static void test_it_compresses(void **state)
{
	static struct lz4_table table;
	unsigned char data[PAGE], block[PAGE];

	(void)state;
	memset(data, 7, sizeof data);
	assert_true(lz4_compress(&table, data, PAGE, block, PAGE) < 40);
	for (unsigned i = 0; i < PAGE; i++)
		data[i] = (unsigned char)"pages of programs are full of pointers, "[i % 40];
	assert_true(lz4_compress(&table, data, PAGE, block, PAGE) < 100);
}

/* The example of every field by hand: 3 literals, a match of 8 three back, 5 literals. */
static void test_a_block_by_hand(void **state)
{
	const unsigned char block[] = { 0x34, 'a', 'b', 'c', 3, 0, 0x50, '1', '2', '3', '4', '5' };
	char out[32];

	(void)state;
	assert_int_equal(lz4_decompress(block, sizeof block, out, sizeof out), 16);
	assert_memory_equal(out, "abcabcabcab12345", 16);
}

static void test_what_is_no_block(void **state)
{
	static const struct {
		unsigned char bytes[8];
		size_t size;
	} bad[] = {
		{ { 0 }, 0 },                       /* nothing */
		{ { 0x10 }, 1 },                    /* a literal is missing */
		{ { 0xf0 }, 1 },                    /* so is its length */
		{ { 0xf0, 255 }, 2 },
		{ { 0x04 }, 1 },                    /* the last sequence has a match */
		{ { 0x10, 'a', 1 }, 3 },            /* half an offset */
		{ { 0x10, 'a', 0, 0, 0x00 }, 5 },   /* an offset of 0 */
		{ { 0x10, 'a', 2, 0, 0x00 }, 5 },   /* before the beginning */
		{ { 0x10, 'a', 1, 0 }, 4 },         /* no literals at the end */
		{ { 0x1f, 'a', 1, 0 }, 4 },         /* the match's length is missing */
		{ { 0x1f, 'a', 1, 0, 255, 255, 0 }, 7 }, /* longer than there is room */
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(lz4_decompress(bad[i].bytes, bad[i].size, out, sizeof out), -1);
}

/* Damaged blocks and noise: any answer, nothing touched outside (ASan, and the fence here). */
static void test_damage(void **state)
{
	static struct lz4_table table;
	uint64_t seed = 5;
	unsigned char data[600], block[700], out[600 + 8], other[600];

	(void)state;
	for (unsigned n = 0; n < 200000; n++) {
		size_t size = next_random(&seed) % sizeof data, length, cut;

		if (n % 50 == 0 || n < 2)
			fill(data, sizeof data, &seed);
		length = lz4_compress(&table, data, size, block, sizeof block);
		assert_true(length);
		for (unsigned k = (unsigned)(next_random(&seed) % 4); k; k--)
			block[next_random(&seed) % length] = (unsigned char)next_random(&seed);
		cut = next_random(&seed) % 4 ? length : next_random(&seed) % (length + 1);
		memset(out + size, 0xcc, 8);
		ptrdiff_t r = lz4_decompress(block, cut, out, size);

		assert_true(r >= -1 && r <= (ptrdiff_t)size);
		for (unsigned i = 0; i < 8; i++)
			assert_int_equal(out[size + i], 0xcc);
		/*
		 * liblz4 refuses what ends against the rules for writers, and takes an offset of 0;
		 * what both take is the same.
		 */
		if (theirs.decompress && r >= 0) {
			int theirs_r = theirs.decompress((char *)block, (char *)other, (int)cut,
							 (int)size);

			assert_true(theirs_r < 0 || theirs_r == r);
			if (theirs_r >= 0)
				assert_memory_equal(other, out, (size_t)r);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_small_size),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_it_compresses),
		cmocka_unit_test(test_a_block_by_hand),
		cmocka_unit_test(test_what_is_no_block),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests_name("lz4", tests, load_theirs, NULL);
}

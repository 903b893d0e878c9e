/* SPDX-License-Identifier: MIT */
/*
 * Sizes and alignments from an input of bytes, four for each operation, checked against what is
 * known of each block: its bytes, its alignment, that it overlaps no other (their bytes would
 * change).  Three programs: for libFuzzer; with FUZZ_SMOKE random inputs and a seed that is
 * printed; then every N-th refusal of frames, of slabs and of the host, once and for good, after
 * each of which the heap must be whole, and do again what it could not.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "../../ports/malloc/internal.h"
#include "ops.h"

#define NR_SLOTS 64

static struct slot {
	unsigned char *p;
	size_t size;
	unsigned char value;
} slots[NR_SLOTS];
static uint64_t nr_refused;

static void fail(const char *what)
{
	fprintf(stderr, "# fuzz: %s\n", what);
	abort();
}

/* The first and last 64 bytes, and some between: a huge block is not touched as a whole. */
static size_t next_byte(size_t i, size_t size)
{
	size_t step = size < 65536 ? 509 : size / 64;

	return i < 64 || i + 64 >= size ? i + 1 : i + step < size - 64 ? i + step : size - 64;
}

static void fill(struct slot *slot)
{
	for (size_t i = 0; i < slot->size; i = next_byte(i, slot->size))
		slot->p[i] = slot->value;
}

static void check(const unsigned char *p, size_t size, unsigned char value, const char *what)
{
	for (size_t i = 0; i < size; i = next_byte(i, size))
		if (p[i] != value)
			fail(what);
}

static void release(struct slot *slot)
{
	if (slot->p)
		check(slot->p, slot->size, slot->value, "a block's bytes changed");
	om_free(slot->p);
	slot->p = NULL;
}

/* To 64 MiB, each power of two as likely; 16 bits choose. */
static size_t size_of(unsigned bits)
{
	size_t power = (size_t)1 << (bits % 27);

	return power - 1 + (bits >> 5) * power / 2048;
}

static void resize(struct slot *slot, size_t size)
{
	size_t before = slot->size;
	unsigned char *p;

	if (!slot->p || !size)
		return;
	p = om_realloc(slot->p, size);
	if (!p) {
		nr_refused++;
		check(slot->p, slot->size, slot->value, "a refused realloc changed the block");
		return;
	}
	slot->p = p;
	check(p, before < size && before < 64 ? before : size < 64 ? size : 64, slot->value,
	      "realloc lost bytes");
	slot->size = size;
	fill(slot);
}

static void operate(const uint8_t *op)
{
	struct slot *slot = &slots[op[0] % NR_SLOTS];
	size_t size = size_of(op[1] | op[2] << 8), align = 16;

	if (op[3] % 8 == 7) {
		resize(slot, size);
		return;
	}
	release(slot);
	if (op[3] % 8 >= 5)
		return;
	if (op[3] % 8 == 4) {
		align = (size_t)1 << (op[3] / 8 % 25);
		slot->p = om_memalign(align, size);
	} else if (op[3] % 8 == 3) {
		slot->p = om_calloc(size / 8 + 1, 8);
		if (slot->p)
			check(slot->p, size, 0, "calloc is not zero");
	} else {
		slot->p = om_malloc(size);
	}
	slot->size = size;
	slot->value = (unsigned char)(op[0] ^ op[1] ^ 0x5c) | 1;
	if (!slot->p)
		nr_refused++;
	else if ((uintptr_t)slot->p % align || om_malloc_usable_size(slot->p) < size)
		fail("alignment or usable size");
	else
		fill(slot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 4 <= size; i += 4)
		operate(data + i);
	for (unsigned i = 0; i < NR_SLOTS; i++)
		release(&slots[i]);
	if (data && size && data[0] % 16 == 0)
		(void)om_malloc_trim(0);
	return 0;
}

static uint64_t host_nth, host_seen; /* the host refuses the nth mapping; 0: none */
static bool for_good;

void *test_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	host_seen++;
	if (host_nth && (host_seen == host_nth || (for_good && host_seen > host_nth))) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return mmap(at, bytes, prot, flags, fd, offset);
}

#ifdef FUZZ_SMOKE
static uint64_t state;

static void make_input(uint8_t *input, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
		input[i] = (uint8_t)(state >> 56);
	}
}

static void validate(const char *after)
{
	struct ondol_broken_invariant broken;

	if (ondol_machine_validate(heap.m, &broken))
		fprintf(stderr, "# %s after %s\n", broken.id, after), fail("the machine is broken");
}

/* Until N is beyond what the input asks for.  The refusals that the allocator saw through count. */
static uint64_t fail_each(const char *what, enum ondol_fail_point point, const uint8_t *input,
			  size_t size)
{
	uint64_t nr, failed, seen;

	for (nr = 1;; nr++) {
		struct ondol_fail_plan plan = { .persistent = for_good };

		host_seen = 0;
		if (point == ONDOL_FAIL_NR)
			host_nth = nr;
		else
			plan.nth[point] = nr;
		ondol_set_fail_plan(heap.m, &plan);
		(void)LLVMFuzzerTestOneInput(input, size);
		failed = point == ONDOL_FAIL_NR ? host_seen >= host_nth : plan.failed[point];
		seen = nr_refused;
		host_nth = 0;
		ondol_set_fail_plan(heap.m, NULL);
		(void)LLVMFuzzerTestOneInput(input, size);
		if (nr_refused != seen)
			fail("what was refused once is refused for ever");
		(void)om_malloc_trim(0); /* so that the next round asks for all of it again */
		if (nr % 16 == 0)
			validate(what);
		if (!failed)
			return nr - 1;
	}
}

int main(void)
{
	const char *given = getenv("SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	static const char *const names[] = { "frames", "slabs" };
	static const enum ondol_fail_point points[] = { ONDOL_FAIL_ALLOC_PAGES, ONDOL_FAIL_SLAB };
	static const uint8_t ask_for_each[] = { 0, 26, 0, 0, 1, 26, 0, 3, 2, 5, 0, 0 };
	uint8_t input[800];
	unsigned nr_tests = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# fuzz: SEED=%llu\n", (unsigned long long)seed);
	state = seed;
	for (int round = 0; round < 100; round++) {
		make_input(input, sizeof input);
		(void)LLVMFuzzerTestOneInput(input, sizeof input);
		if (round % 50 == 0)
			validate("random operations");
	}
	if (nr_refused)
		fail("refused though there is memory");
	printf("ok %u - sizes and alignments at random\n", ++nr_tests);
	for (int i = 0; i < 6; i++) {
		uint64_t nr, before = nr_refused;
		const char *what = i % 3 < 2 ? names[i % 3] : "the host";

		for_good = i >= 3;
		(void)om_malloc_trim(0);
		memcpy(input, ask_for_each, sizeof ask_for_each);
		nr = fail_each(what, i % 3 < 2 ? points[i % 3] : ONDOL_FAIL_NR, input,
			       sizeof input / 8);
		if (!nr)
			fail("nothing was refused: the test tests nothing");
		printf("ok %u - %s: each of %llu refused %s, %llu calls said no\n", ++nr_tests,
		       what, (unsigned long long)nr, for_good ? "for good" : "once",
		       (unsigned long long)(nr_refused - before));
	}
	return 0;
}
#endif

/* SPDX-License-Identifier: MIT */
/*
 * ONDOL_MALLOC_PROFILE=FILE: who allocates, by sampling, as a profile for pprof and speedscope.
 *
 * A byte in 512 KiB is chosen at random, and the block that it belongs to is sampled: so a block of
 * `size` bytes is with the probability p = 1 - exp(-size / interval), and stands for 1 / p blocks.
 * The distances between chosen bytes are exponential; a thread counts down its own.
 *
 * A sampled block is made of whole pages, however small it is, so that free() of any other small
 * block need not ask whether it was sampled.  Those in use are in a table, with their stacks; what
 * each stack allocated altogether is summed up in another.
 */
#include <string.h>

#include "internal.h"

#define INTERVAL PROFILE_INTERVAL

struct lock ondol_profile_lock;
static struct table in_use; /* under it: by address */
static struct table totals; /* under it: by stack; an entry's address is the id, times 16 */

/* ln(x) of 0 < x <= 1: of the mantissa by its series in (m - 1) / (m + 1), and the exponent. */
static double log_of(double x)
{
	double y, term, sum = 0;
	uint64_t bits;
	int exponent;

	memcpy(&bits, &x, sizeof bits);
	exponent = (int)(bits >> 52) - 1023;
	bits = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1023 << 52;
	memcpy(&x, &bits, sizeof bits);
	y = term = (x - 1) / (x + 1);
	for (int i = 1; i < 20; i += 2, term *= y * y)
		sum += term / i;
	return 2 * sum + exponent * 0.6931471805599453;
}

/* exp(-x): Taylor's series of a small part of x, squared. */
static double exp_minus(double x)
{
	double small = x / 1024, sum = 1 - small + small * small / 2 - small * small * small / 6;

	if (x > 50)
		return 0;
	for (int i = 0; i < 10; i++)
		sum *= sum;
	return sum;
}

/* In (0, 1]; not for secrets. */
static double random_unit(void)
{
	uint64_t *state = &ondol_thread.random;

	if (!*state) /* a thread's own address tells it from others */
		*state = (uintptr_t)state * UINT64_C(0x9e3779b97f4a7c15) | 1;
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (double)((*state >> 12) + 1) / (double)((uint64_t)1 << 52);
}

static int64_t next_distance(void)
{
	return 1 + (int64_t)(-log_of(random_unit()) * INTERVAL);
}

/* Counts are in the entry's weight, bytes in its size. */
static void add_total(uint32_t stack, double weight, size_t size)
{
	struct block *total = table_find(&totals, (uintptr_t)stack << 4);
	struct block fresh = { .address = (uintptr_t)stack << 4, .stack_of = { stack } };

	if (!total)
		total = table_insert(&totals, &fresh);
	if (!total)
		return;
	total->weight += weight;
	total->size += (size_t)(weight * (double)size);
}

static void *sample(size_t size, size_t align, bool zeroed, const void *site)
{
	struct block block = { .size = size };
	double missed = exp_minus((double)size / INTERVAL);
	void *p = large_alloc(size < PAGE_BYTES ? PAGE_BYTES : size,
			      align < PAGE_BYTES ? PAGE_BYTES : align, zeroed);

	if (!p) /* huge, or there is little memory */
		p = plain_alloc(size, align, zeroed);
	block.stack_of[0] = p ? stack_here(site) : 0;
	if (!block.stack_of[0] || (page_of(p) < heap.nr_pages && heap.map[page_of(p)] != MAP_LARGE))
		return p;
	block.address = (uintptr_t)p;
	block.weight = 1 / (1 - missed);
	lock_take(&ondol_profile_lock);
	if (table_insert(&in_use, &block))
		add_total(block.stack_of[0], block.weight, size);
	lock_drop(&ondol_profile_lock);
	return p;
}

void *profile_alloc(size_t size, size_t align, bool zeroed, const void *site)
{
	struct thread *thread = &ondol_thread;

	if (thread->is_reporting)
		return plain_alloc(size, align, zeroed);
	if (unlikely(!thread->random))
		thread->until_sample = next_distance();
	thread->until_sample -= (int64_t)(size < INT64_MAX / 2 ? size : 0);
	if (likely(thread->until_sample > 0))
		return plain_alloc(size, align, zeroed);
	thread->until_sample = next_distance();
	return sample(size, align, zeroed, site);
}

void profile_free(void *p)
{
	size_t page = page_of(p);
	struct block *block;

	if (page >= heap.nr_pages || heap.map[page] == MAP_LARGE) {
		lock_take(&ondol_profile_lock);
		block = table_find(&in_use, (uintptr_t)p);
		if (block)
			table_erase(&in_use, block);
		lock_drop(&ondol_profile_lock);
	}
	plain_free(p);
}

/* Both tables as one: what each stack allocated and what of that is in use.  (pprof.c) */
size_t profile_sum(struct profile_site *out, size_t nr_most)
{
	size_t nr = 0;

	lock_take(&ondol_profile_lock);
	for (size_t i = 0; i < totals.nr_slots && nr < nr_most; i++) {
		struct block *total = &totals.slots[i];

		if (!total->address)
			continue;
		total->stack_of[1] = (uint32_t)nr;
		out[nr++] = (struct profile_site){ .stack = total->stack_of[0],
						   .allocated = total->weight,
						   .allocated_bytes = (double)total->size };
	}
	for (size_t i = 0; i < in_use.nr_slots; i++) {
		const struct block *block = &in_use.slots[i];
		struct block *total = block->address ?
			table_find(&totals, (uintptr_t)block->stack_of[0] << 4) : NULL;

		if (!total || total->stack_of[1] >= nr)
			continue;
		out[total->stack_of[1]].in_use += block->weight;
		out[total->stack_of[1]].in_use_bytes += block->weight * (double)block->size;
	}
	lock_drop(&ondol_profile_lock);
	return nr;
}

size_t profile_nr_sites(void)
{
	return __atomic_load_n(&totals.nr_blocks, __ATOMIC_RELAXED);
}

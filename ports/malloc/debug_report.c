/* SPDX-License-Identifier: MIT */
/*
 * What is wrong with a block, and who had to do with it; what is left at exit, by call site.
 *
 * Only one report is written at a time, and the first that ends the process is the last.  While
 * one is written nothing is allocated from the heap: see hook.c.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define BYTES_SHOWN 16
#define SITES_SHOWN 20

static struct lock report_lock;

static void say_stack(uint32_t id)
{
	const uintptr_t *frames;
	uint32_t nr = stack_frames(id, &frames);

	for (uint32_t i = 0; i < nr; i++) {
		struct symbol symbol;

		symbols_find(frames[i] - 1, &symbol); /* of the call, not of what follows */
		say("      #%-2u %s", i, symbol.function ? symbol.function : "?");
		if (symbol.file)
			say(" %s:%d", symbol.file, symbol.line);
		say(" (%s+0x%llx)\n", symbol.module ? symbol.module : "",
		    (unsigned long long)symbol.offset);
	}
	if (!nr)
		say("      not tracked: U in ONDOL_MALLOC_DEBUG does\n");
}

static void say_place(const struct block *block, uintptr_t p)
{
	long long offset = (long long)(p - block->address);

	if (offset < 0)
		say("  address 0x%llx, %lld bytes before it\n", (unsigned long long)p, -offset);
	else if ((size_t)offset > block->size)
		say("  address 0x%llx, %lld bytes behind its end\n", (unsigned long long)p,
		    offset - (long long)block->size);
	else if (offset)
		say("  address 0x%llx, %lld bytes into it\n", (unsigned long long)p, offset);
}

static void say_bytes(const struct block *block, size_t wrong)
{
	const unsigned char *bytes = (const unsigned char *)block->address;
	size_t end = plain_usable_size((void *)block->address) + sizeof(void *);

	say("  bytes   from offset %zu:", wrong);
	for (size_t i = wrong; i < end && i < wrong + BYTES_SHOWN; i++)
		say(" %02x", bytes[i]);
	say("\n");
}

static void say_block(const void *p, const struct block *block, size_t wrong)
{
	if (!block->address) {
		say("  address %p, near no block that was ever allocated\n", p);
		return;
	}
	say("  block   0x%llx of %zu bytes, %s\n", (unsigned long long)block->address, block->size,
	    block->thread_of[1] ? "freed" : "in use");
	say_place(block, (uintptr_t)p);
	if (wrong != DEBUG_NOWHERE)
		say_bytes(block, wrong);
	say("  allocated by thread %u\n", block->thread_of[0]);
	say_stack(block->stack_of[0]);
	if (!block->thread_of[1])
		return;
	say("  freed by thread %u\n", block->thread_of[1]);
	say_stack(block->stack_of[1]);
}

void debug_report(const char *what, const void *p, const struct block *block, size_t wrong,
		  const void *site)
{
	uint32_t stack = site ? stack_here(site) : 0;

	lock_take(&report_lock); /* for good: who comes second waits for the end */
	symbols_begin();
	say("ondol-malloc: process %d: %s\n", (int)getpid(), what);
	say_block(p, block, wrong);
	say("  noticed in thread %d%s\n", (int)gettid(), site ? "" : ", when the program ended");
	if (site)
		say_stack(stack);
	symbols_end();
	abort();
}

/* The block that p points into, or else the one that begins last before it; NULL: none. */
const struct block *debug_nearest(const struct table *blocks, const void *p)
{
	const struct block *nearest = NULL;
	uintptr_t address = (uintptr_t)p;

	for (size_t i = 0; i < blocks->nr_slots; i++) {
		const struct block *block = &blocks->slots[i];

		if (block->address && block->address <= address &&
		    address - block->address <= block->size + PAGE_BYTES &&
		    (!nearest || block->address > nearest->address))
			nearest = block;
	}
	return nearest;
}

/* ------------------------------------------------------------------ leaks */

struct site {
	uint32_t stack, nr;
	uint64_t bytes;
};

static int by_stack(const void *a, const void *b)
{
	const struct site *x = a, *y = b;

	return (x->stack > y->stack) - (x->stack < y->stack);
}

static int by_bytes(const void *a, const void *b)
{
	const struct site *x = a, *y = b;

	return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* One entry for each call site.  Returns their number. */
static size_t merge(struct site *sites, size_t nr)
{
	size_t nr_merged = 0;

	qsort(sites, nr, sizeof *sites, by_stack);
	for (size_t i = 0; i < nr; i++) {
		if (nr_merged && sites[nr_merged - 1].stack == sites[i].stack) {
			sites[nr_merged - 1].nr += sites[i].nr;
			sites[nr_merged - 1].bytes += sites[i].bytes;
		} else {
			sites[nr_merged++] = sites[i];
		}
	}
	qsort(sites, nr_merged, sizeof *sites, by_bytes);
	return nr_merged;
}

static void say_sites(const struct site *sites, size_t nr)
{
	for (size_t i = 0; i < nr && i < SITES_SHOWN; i++) {
		say("  %llu bytes in %u blocks, allocated at\n",
		    (unsigned long long)sites[i].bytes, sites[i].nr);
		say_stack(sites[i].stack);
	}
	if (nr > SITES_SHOWN)
		say("  and %zu more call sites\n", nr - SITES_SHOWN);
}

void debug_report_leaks(const struct table *blocks)
{
	size_t nr = 0, nr_sites;
	uint64_t bytes = 0;
	struct site *sites;

	lock_take(&report_lock);
	symbols_begin(); /* it may free what the loader had: not under the lock of the blocks */
	lock_take(&ondol_hook_lock);
	sites = malloc(blocks->nr_blocks * sizeof *sites + 1);
	for (size_t i = 0; sites && i < blocks->nr_slots; i++) {
		const struct block *block = &blocks->slots[i];

		if (!block->address || block->thread_of[1])
			continue;
		sites[nr++] = (struct site){ block->stack_of[0], 1, block->size };
		bytes += block->size;
	}
	lock_drop(&ondol_hook_lock);
	nr_sites = sites ? merge(sites, nr) : 0;
	say("ondol-malloc: process %d: %llu bytes in %zu blocks of %zu call sites in use at exit\n",
	    (int)getpid(), (unsigned long long)bytes, nr, nr_sites);
	if (sites)
		say_sites(sites, nr_sites);
	symbols_end();
	lock_drop(&report_lock);
}

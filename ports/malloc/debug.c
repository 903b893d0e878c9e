/* SPDX-License-Identifier: MIT */
/*
 * ONDOL_MALLOC_DEBUG: every call is looked at, objects go straight to and from their slabs.
 *
 *	F  the chain of each slab's free objects        core
 *	Z  writes beyond the bytes asked for            to the object's end here, behind it core
 *	P  writes after free                            core
 *	U  who allocated and who freed, as stacks       here
 *	L  at exit, what is still in use, by call site  here (and U)
 *
 * Each block has an entry in a table, which stays when it is freed, until its address is handed out
 * again: so a second free tells of the first.  What the core notices comes to report_panic,
 * which asks here whose the address is.
 */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define OVERRUN "written beyond the end of the block"
#define RED 0xcc /* as the core's red zones, and Linux's */

static struct table blocks; /* under ondol_hook_lock */

static bool has(char letter)
{
	for (const char *at = heap.debug; *at && *at != ','; at++)
		if ((*at & ~0x20) == letter)
			return true;
	return false;
}

static bool with_stacks(void)
{
	return has('U') || has('L');
}

static uint32_t my_tid(void)
{
	if (!ondol_thread.tid)
		ondol_thread.tid = (int)syscall(SYS_gettid);
	return (uint32_t)ondol_thread.tid;
}

/* Where the first wrong byte behind the block is, or DEBUG_NOWHERE. */
static size_t find_overrun(const struct block *block)
{
	const unsigned char *bytes = (const unsigned char *)block->address;
	size_t end;

	if (!has('Z'))
		return DEBUG_NOWHERE;
	end = plain_usable_size((void *)block->address);
	for (size_t i = block->size; i < end; i++)
		if (bytes[i] != RED)
			return i;
	return DEBUG_NOWHERE;
}

void *debug_alloc(size_t size, size_t align, bool zeroed, const void *site)
{
	struct block block = { .size = size, .thread_of = { my_tid() } }, *noted;
	char *p;

	ondol_thread.site = site;
	p = plain_alloc(size, align, zeroed);
	if (!p)
		return NULL;
	if (with_stacks())
		block.stack_of[0] = stack_here(site);
	if (has('Z'))
		memset(p + size, RED, plain_usable_size(p) - size);
	block.address = (uintptr_t)p;
	lock_take(&ondol_hook_lock);
	noted = table_find(&blocks, block.address);
	if (noted)
		*noted = block;
	else
		noted = table_insert(&blocks, &block);
	lock_drop(&ondol_hook_lock);
	if (noted)
		return p;
	plain_free(p);
	return NULL;
}

/* Notes that the block is freed; what is wrong with that, or NULL. */
static const char *mark_freed(void *p, uint32_t stack, struct block *out, size_t *out_wrong)
{
	struct block *block = table_find(&blocks, (uintptr_t)p);

	*out_wrong = DEBUG_NOWHERE;
	if (!block) {
		const struct block *nearest = debug_nearest(&blocks, p);

		*out = nearest ? *nearest : (struct block){ 0 };
		return "free of a pointer to no block";
	}
	*out = *block;
	if (block->thread_of[1])
		return "freed twice";
	*out_wrong = find_overrun(block);
	if (*out_wrong != DEBUG_NOWHERE)
		return OVERRUN;
	block->thread_of[1] = my_tid();
	block->stack_of[1] = stack;
	return NULL;
}

void debug_free(void *p, const void *site)
{
	uint32_t stack = with_stacks() ? stack_here(site) : 0;
	const char *complaint;
	struct block block;
	size_t wrong;

	lock_take(&ondol_hook_lock);
	complaint = mark_freed(p, stack, &block, &wrong);
	lock_drop(&ondol_hook_lock);
	if (unlikely(complaint != NULL))
		debug_report(complaint, p, &block, wrong, site);
	ondol_thread.site = site;
	ondol_thread.freeing = p;
	plain_free(p);
	ondol_thread.freeing = NULL;
}

size_t debug_usable_size(void *p, const void *site)
{
	struct block *block, copy = { 0 };

	lock_take(&ondol_hook_lock);
	block = table_find(&blocks, (uintptr_t)p);
	if (block)
		copy = *block;
	lock_drop(&ondol_hook_lock);
	if (unlikely(!block || copy.thread_of[1]))
		debug_report(block ? "used after it was freed (realloc or malloc_usable_size)" :
				     "realloc or malloc_usable_size of no block",
			     p, &copy, DEBUG_NOWHERE, site);
	return copy.size;
}

/* Whether it may be freed at all is looked at by the free() that follows. */
void debug_check_size(void *p, size_t size, const void *site)
{
	static char what[96]; /* written once: the report ends the process */
	struct block *block, copy = { 0 };

	lock_take(&ondol_hook_lock);
	block = table_find(&blocks, (uintptr_t)p);
	if (block && !block->thread_of[1] && block->size != size)
		copy = *block;
	lock_drop(&ondol_hook_lock);
	if (likely(!copy.address))
		return;
	(void)snprintf(what, sizeof what, "freed as %zu bytes, allocated as %zu", size, copy.size);
	debug_report(what, p, &copy, DEBUG_NOWHERE, site);
}

/* The first byte of a freed object that is not the core's pattern; else it is behind. */
static size_t find_write(const struct block *block)
{
	const unsigned char *bytes = (const unsigned char *)block->address;
	size_t end = plain_usable_size((void *)block->address);

	for (size_t i = 0; i < end; i++)
		if (bytes[i] != (i + 1 < end ? 0x6b : 0xa5))
			return i;
	return end;
}

/* Called under the core's lock, of an object that the core checked. */
void debug_panic(const struct ondol_panic_report *report, const char *what)
{
	const struct block *block;
	struct block copy = { 0 };
	uintptr_t address = report->detail[0];
	size_t wrong = DEBUG_NOWHERE;

	if (page_of((void *)address) >= heap.nr_pages)
		return;
	/* Who waits for this lock may hold the loader's, which symbols need. */
	lock_drop(&heap.core_lock);
	lock_take(&ondol_hook_lock);
	block = table_find(&blocks, address);
	if (block) {
		copy = *block;
		if (ondol_thread.freeing == (void *)address)
			copy.thread_of[1] = 0; /* it is not freed yet */
		wrong = copy.thread_of[1] ? find_write(block) :
					    plain_usable_size((void *)address);
	}
	lock_drop(&ondol_hook_lock);
	debug_report(what, (void *)address, &copy, wrong, ondol_thread.site);
}

/* Of blocks in use: no free() came that would have noticed. */
static void check_blocks(void)
{
	struct block found = { 0 };
	size_t wrong = DEBUG_NOWHERE;

	lock_take(&ondol_hook_lock);
	for (size_t i = 0; i < blocks.nr_slots && wrong == DEBUG_NOWHERE; i++) {
		if (!blocks.slots[i].address || blocks.slots[i].thread_of[1])
			continue;
		found = blocks.slots[i];
		wrong = find_overrun(&found);
	}
	lock_drop(&ondol_hook_lock);
	if (wrong != DEBUG_NOWHERE)
		debug_report(OVERRUN, (void *)found.address, &found, wrong, NULL);
}

struct free_objects {
	uint32_t class;
	uint64_t nr[NR_CLASSES + 1];
};

static int count_free(void *ctx, const struct ondol_slab_info *info)
{
	struct free_objects *free_objects = ctx;

	if (!strncmp(info->name, "malloc-", 7) && free_objects->class < NR_CLASSES)
		free_objects->nr[++free_objects->class] = info->nr_objects - info->active_objects;
	return 0;
}

/* Objects are checked when they are allocated: so all that are free in a slab are. */
static void check_free_objects(void)
{
	struct free_objects free_objects = { 0 };
	void *objects[64];

	lock_take(&heap.core_lock);
	(void)ondol_for_each_cache(heap.m, count_free, &free_objects);
	lock_drop(&heap.core_lock);
	for (uint32_t class = 1; class <= NR_CLASSES; class++)
		for (uint64_t nr = free_objects.nr[class]; nr;) {
			uint32_t want = nr < 64 ? (uint32_t)nr : 64;

			if (heap_take(class, want, objects) < want)
				break;
			nr -= want;
		}
}

void debug_exit(void)
{
	check_blocks();
	if (has('L'))
		debug_report_leaks(&blocks);
	ondol_thread.site = NULL;
	if (has('P')) /* the program has ended: what this takes is not given back */
		check_free_objects();
}

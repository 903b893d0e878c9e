/* SPDX-License-Identifier: MIT */
/*
 * Huge blocks: mappings of their own, straight to and from the host.  A hash table with linear
 * probing says which there are, so a wrong pointer is known for one.
 */
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

struct block {
	uintptr_t address; /* 0: nothing here */
	uintptr_t map;     /* where the mapping begins, at or before the address */
	size_t map_bytes;
};

struct lock ondol_huge_lock;
static struct block *table; /* all of this under ondol_huge_lock */
static size_t nr_slots, nr_blocks;
static uint64_t nr_bytes;

static size_t slot_of(uintptr_t address)
{
	return (size_t)((address >> PAGE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15) >> 20) &
	       (nr_slots - 1);
}

static struct block *find(uintptr_t address)
{
	if (!nr_slots)
		return NULL;
	for (size_t i = slot_of(address);; i = (i + 1) & (nr_slots - 1)) {
		if (table[i].address == address)
			return &table[i];
		if (!table[i].address)
			return NULL;
	}
}

static void insert(const struct block *block)
{
	size_t i = slot_of(block->address);

	while (table[i].address)
		i = (i + 1) & (nr_slots - 1);
	table[i] = *block;
}

static bool make_room(void)
{
	struct block *old = table, *bigger;
	size_t nr_old = nr_slots;

	if (nr_blocks < nr_slots / 2)
		return true;
	nr_slots = nr_old ? nr_old * 2 : 256;
	bigger = heap_metadata(nr_slots * sizeof *bigger);
	if (!bigger) {
		nr_slots = nr_old;
		return false;
	}
	table = bigger;
	for (size_t i = 0; i < nr_old; i++)
		if (old[i].address)
			insert(&old[i]);
	if (old)
		(void)munmap(old, nr_old * sizeof *old);
	return true;
}

/* Those behind that would not be found any more move up. */
static void erase(struct block *block)
{
	size_t hole = (size_t)(block - table), i = hole;

	nr_blocks--;
	nr_bytes -= block->map_bytes;
	for (;;) {
		size_t home;

		i = (i + 1) & (nr_slots - 1);
		if (!table[i].address)
			break;
		home = slot_of(table[i].address);
		if (((i - home) & (nr_slots - 1)) >= ((i - hole) & (nr_slots - 1))) {
			table[hole] = table[i];
			hole = i;
		}
	}
	table[hole].address = 0;
}

static bool note(const struct block *block)
{
	bool done;

	lock_take(&ondol_huge_lock);
	done = make_room();
	if (done) {
		insert(block);
		nr_blocks++;
		nr_bytes += block->map_bytes;
	}
	lock_drop(&ondol_huge_lock);
	return done;
}

void *huge_alloc(size_t size, size_t align)
{
	size_t extra = align > PAGE_BYTES ? align - PAGE_BYTES : 0;
	struct block block;
	void *map;

	if (!heap_init() || size > PTRDIFF_MAX - extra - PAGE_BYTES)
		return NULL;
	block.map_bytes = (size + extra + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	map = mmap(NULL, block.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	block.map = (uintptr_t)map;
	block.address = (block.map + align - 1) & ~(uintptr_t)(align - 1);
	if (!note(&block)) {
		(void)munmap(map, block.map_bytes);
		return NULL;
	}
	return (void *)block.address;
}

size_t huge_size(const void *p)
{
	struct block *block;
	size_t size = 0;

	lock_take(&ondol_huge_lock);
	block = p ? find((uintptr_t)p) : NULL;
	if (block)
		size = block->map + block->map_bytes - block->address;
	lock_drop(&ondol_huge_lock);
	return size;
}

bool huge_free(void *p)
{
	struct block *block, found;

	lock_take(&ondol_huge_lock);
	block = p ? find((uintptr_t)p) : NULL;
	if (block) {
		found = *block;
		erase(block);
	}
	lock_drop(&ondol_huge_lock);
	return block && !munmap((void *)found.map, found.map_bytes);
}

void *huge_resize(void *p, size_t size)
{
	size_t bytes = (size + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	struct block *block, found;
	void *map;

	if (size > PTRDIFF_MAX - PAGE_BYTES || size <= LARGE_MAX)
		return NULL;
	lock_take(&ondol_huge_lock);
	block = find((uintptr_t)p);
	if (!block || block->map != block->address) {
		lock_drop(&ondol_huge_lock);
		return NULL;
	}
	map = mremap((void *)block->map, block->map_bytes, bytes, MREMAP_MAYMOVE);
	if (map != MAP_FAILED) {
		erase(block);
		found.map = found.address = (uintptr_t)map;
		found.map_bytes = bytes;
		insert(&found);
		nr_blocks++;
		nr_bytes += bytes;
	}
	lock_drop(&ondol_huge_lock);
	return map != MAP_FAILED ? map : NULL;
}

void huge_totals(uint64_t *out_nr, uint64_t *out_bytes)
{
	lock_take(&ondol_huge_lock);
	*out_nr = nr_blocks;
	*out_bytes = nr_bytes;
	lock_drop(&ondol_huge_lock);
}

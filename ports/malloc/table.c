/* SPDX-License-Identifier: MIT */
/*
 * Blocks by address: a hash table with linear probing, for the few blocks that need more said of
 * them than the page map has room for.  Its owner locks it.
 */
#include <sys/mman.h>

#include "internal.h"

#define SLOTS_FIRST 256

static size_t slot_of(const struct table *table, uintptr_t address)
{
	return (size_t)((address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20) &
	       (table->nr_slots - 1);
}

struct block *table_find(const struct table *table, uintptr_t address)
{
	if (!table->nr_slots || !address)
		return NULL;
	for (size_t i = slot_of(table, address);; i = (i + 1) & (table->nr_slots - 1)) {
		if (table->slots[i].address == address)
			return &table->slots[i];
		if (!table->slots[i].address)
			return NULL;
	}
}

static struct block *place(struct table *table, const struct block *block)
{
	size_t i = slot_of(table, block->address);

	while (table->slots[i].address)
		i = (i + 1) & (table->nr_slots - 1);
	table->slots[i] = *block;
	return &table->slots[i];
}

static bool grow(struct table *table)
{
	size_t nr = table->nr_slots ? table->nr_slots * 2 : SLOTS_FIRST;
	struct table bigger = { heap_metadata(nr * sizeof(struct block)), nr, table->nr_blocks };

	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < table->nr_slots; i++)
		if (table->slots[i].address)
			(void)place(&bigger, &table->slots[i]);
	if (table->slots)
		(void)munmap(table->slots, table->nr_slots * sizeof(struct block));
	*table = bigger;
	return true;
}

/* The address must not be there yet.  NULL: no memory for it. */
struct block *table_insert(struct table *table, const struct block *block)
{
	if (table->nr_blocks >= table->nr_slots / 2 && !grow(table))
		return NULL;
	table->nr_blocks++;
	return place(table, block);
}

/* Those behind that would not be found any more move up. */
void table_erase(struct table *table, struct block *block)
{
	size_t hole = (size_t)(block - table->slots), i = hole, mask = table->nr_slots - 1;

	table->nr_blocks--;
	for (;;) {
		size_t home;

		i = (i + 1) & mask;
		if (!table->slots[i].address)
			break;
		home = slot_of(table, table->slots[i].address);
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			table->slots[hole] = table->slots[i];
			hole = i;
		}
	}
	table->slots[hole].address = 0;
}

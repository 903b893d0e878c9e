/* SPDX-License-Identifier: MIT */
/* The firmware's memory map made tidy, and the allocator of the time before the buddy. */
#ifndef ONDOL_PHYS_MEMBLOCK_H
#define ONDOL_PHYS_MEMBLOCK_H

#include <ondol/machine.h>

struct memblock_range { /* frames [start, end) */
	uint64_t start, end;
	uint16_t node;
	uint16_t type; /* enum ondol_mem_type; of reserved ranges unused, as is node */
};

struct memblock {
	/* Both sorted, disjoint, not empty; memory ranges of one node and type never touch. */
	struct memblock_range *memory;
	struct memblock_range *reserved; /* may reach beyond memory; node unused */
	uint32_t nr_memory, nr_reserved;
	uint32_t capacity; /* of each array */
};

/* Entries each array needs for these regions and nr_boot allocations. */
uint64_t memblock_capacity(const struct ondol_machine_desc *desc, uint32_t nr_boot);
/*
 * memory and reserved of `mb` point to room for `capacity` ranges.  Frames at or above limit
 * are dropped.  -ONDOL_EINVAL: a region ends before it starts, or two nodes claim one frame,
 * or two types.
 */
int memblock_build(struct memblock *mb, const struct ondol_machine_desc *desc, uint64_t limit);
/* The label of a broken invariant, or NULL. */
const char *memblock_check(const struct memblock *mb);
/* The first run of frames at or above `from` that are memory, of one type, and not reserved. */
bool memblock_next_run(const struct memblock *mb, uint64_t from, struct memblock_range *out_run);
/* The same of usable memory. */
bool memblock_next_free(const struct memblock *mb, uint64_t from, struct memblock_range *out_run);
/*
 * Reserve nr_pages frames side by side, the highest that lie in [min, max) and on the node
 * (-1: any).  0 or -ONDOL_ENOMEM.
 */
int memblock_alloc(struct memblock *mb, uint64_t nr_pages, uint64_t min, uint64_t max, int node,
		   uint64_t *out_pfn);

/* The range that the frame lies in, of either array; NULL: in none. */
const struct memblock_range *memblock_find(const struct memblock_range *ranges, uint32_t nr,
					   uint64_t pfn);

#endif /* ONDOL_PHYS_MEMBLOCK_H */

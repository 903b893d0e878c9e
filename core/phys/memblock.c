/* SPDX-License-Identifier: MIT */
/*
 * The memory map made tidy.
 *
 * Firmware hands over regions in any order, overlapping, cut in the middle of frames, with
 * holes.  Here they become two sorted lists of whole frames:
 *
 *	regions   |==usable 0==|  |=usable 0=|      |==usable 1==|
 *	              |##reserved##|                         |####reserved####|
 *	memory    |0-----------|  |0---------|      |1-----------|
 *	reserved      |------------|                         |----------------|
 *	free      |---|            |---------|      |--------|
 *
 * A frame is memory if usable regions of one node cover it wholly, together; it is
 * reserved if a reserved region touches any byte of it.  Reserved wins.  Reserved space
 * outside usable memory is no memory at all: devices live there.
 *
 * Memory that is offline to begin with, and a device's own, are memory of another type: ranges
 * of their own, never free.
 *
 * [MEMBLOCK-1] Both lists are sorted and disjoint, and no range is empty.
 * [MEMBLOCK-2] No frame belongs to two nodes, nor is of two types: such a map is refused, not
 *              guessed at.
 *
 * Sources: Linux mm/memblock.c and arch/x86/mm/numa.c (numa_cleanup_meminfo) for what is
 * refused; ACPI 6.5, 15 "System Address Map Interfaces" for what firmware may hand over.
 */
#include "phys/memblock.h"

#include "base/math.h"

uint64_t memblock_capacity(const struct ondol_machine_desc *desc, uint32_t nr_boot)
{
	return (uint64_t)desc->nr_regions + nr_boot;
}

/* Shell sort: in place, no recursion, and quick on the nearly sorted maps of real firmware. */
static void sort_ranges(struct memblock_range *ranges, uint32_t nr)
{
	for (uint32_t gap = nr / 2; gap; gap /= 2) {
		for (uint32_t i = gap; i < nr; i++) {
			struct memblock_range moving = ranges[i];
			uint32_t at = i;

			for (; at >= gap && ranges[at - gap].start > moving.start; at -= gap)
				ranges[at] = ranges[at - gap];
			ranges[at] = moving;
		}
	}
}

/* Join what overlaps or touches; `kinds_matter`: only within a node and type. */
static int join_ranges(struct memblock_range *ranges, uint32_t *nr, bool kinds_matter)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < *nr; i++) {
		struct memblock_range *last = kept ? &ranges[kept - 1] : NULL;

		if (!last || ranges[i].start > last->end) {
			ranges[kept++] = ranges[i];
		} else if (!kinds_matter ||
			   (ranges[i].node == last->node && ranges[i].type == last->type)) {
			last->end = max_u64(last->end, ranges[i].end);
		} else if (ranges[i].start == last->end) {
			ranges[kept++] = ranges[i];
		} else {
			return -ONDOL_EINVAL;
		}
	}
	*nr = kept;
	return 0;
}

/* Bytes to frames: those wholly inside. */
static void shrink_to_frames(struct memblock *mb, uint64_t limit)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < mb->nr_memory; i++) {
		struct memblock_range range = mb->memory[i];

		range.start = (range.start >> ONDOL_PAGE_SHIFT) +
			      ((range.start & ~ONDOL_PAGE_MASK) != 0);
		range.end = min_u64(range.end >> ONDOL_PAGE_SHIFT, limit);
		if (range.start < range.end)
			mb->memory[kept++] = range;
	}
	mb->nr_memory = kept;
}

static void collect(struct memblock *mb, const struct ondol_mem_region *region)
{
	uint64_t start = region->start.value, end = region->end.value;

	if (start == end)
		return;
	if (region->type != ONDOL_MEM_RESERVED) {
		mb->memory[mb->nr_memory++] = (struct memblock_range){
			start, end, region->node, (uint16_t)region->type };
		return;
	}
	start >>= ONDOL_PAGE_SHIFT;
	end = (end >> ONDOL_PAGE_SHIFT) + ((end & ~ONDOL_PAGE_MASK) != 0);
	mb->reserved[mb->nr_reserved++] = (struct memblock_range){ start, end, 0, 0 };
}

int memblock_build(struct memblock *mb, const struct ondol_machine_desc *desc, uint64_t limit)
{
	int r;

	mb->nr_memory = mb->nr_reserved = 0;
	for (uint32_t i = 0; i < desc->nr_regions; i++) {
		const struct ondol_mem_region *region = &desc->regions[i];

		if (region->end.value < region->start.value || region->node >= desc->nr_nodes)
			return -ONDOL_EINVAL;
		if ((unsigned)region->type > ONDOL_MEM_DEVICE)
			return -ONDOL_EINVAL;
		collect(mb, region);
	}
	sort_ranges(mb->memory, mb->nr_memory);
	sort_ranges(mb->reserved, mb->nr_reserved);
	/* Joined as bytes first: two halves of a frame make a whole one. */
	r = join_ranges(mb->memory, &mb->nr_memory, true);
	if (r)
		return r;
	shrink_to_frames(mb, limit);
	return join_ranges(mb->reserved, &mb->nr_reserved, false);
}

static bool sorted_and_disjoint(const struct memblock_range *ranges, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		if (ranges[i].start >= ranges[i].end ||
		    (i && ranges[i].start < ranges[i - 1].end))
			return false;
	return true;
}

const char *memblock_check(const struct memblock *mb)
{
	for (uint32_t i = 1; i < mb->nr_memory; i++)
		if (mb->memory[i].start < mb->memory[i - 1].end &&
		    (mb->memory[i].node != mb->memory[i - 1].node ||
		     mb->memory[i].type != mb->memory[i - 1].type))
			return "MEMBLOCK-2";
	if (!sorted_and_disjoint(mb->memory, mb->nr_memory) ||
	    !sorted_and_disjoint(mb->reserved, mb->nr_reserved))
		return "MEMBLOCK-1";
	return NULL;
}

/* What is left of `run` from its start on, up to the next reserved frame. */
static bool cut_reserved(const struct memblock *mb, struct memblock_range *run)
{
	for (uint32_t i = 0; i < mb->nr_reserved; i++) {
		const struct memblock_range *reserved = &mb->reserved[i];

		if (reserved->end <= run->start)
			continue;
		if (reserved->start > run->start) {
			run->end = min_u64(run->end, reserved->start);
			return true;
		}
		run->start = reserved->end;
		if (run->start >= run->end)
			return false;
	}
	return true;
}

bool memblock_next_run(const struct memblock *mb, uint64_t from, struct memblock_range *out_run)
{
	for (uint32_t i = 0; i < mb->nr_memory; i++) {
		struct memblock_range run = mb->memory[i];

		run.start = max_u64(run.start, from);
		if (run.start < run.end && cut_reserved(mb, &run)) {
			*out_run = run;
			return true;
		}
	}
	return false;
}

bool memblock_next_free(const struct memblock *mb, uint64_t from, struct memblock_range *out_run)
{
	for (; memblock_next_run(mb, from, out_run); from = out_run->end)
		if (out_run->type == ONDOL_MEM_USABLE)
			return true;
	return false;
}

const struct memblock_range *memblock_find(const struct memblock_range *ranges, uint32_t nr,
					   uint64_t pfn)
{
	for (uint32_t i = 0; i < nr; i++)
		if (pfn >= ranges[i].start && pfn < ranges[i].end)
			return &ranges[i];
	return NULL;
}

static void insert_reserved(struct memblock *mb, uint64_t start, uint64_t end)
{
	uint32_t at = mb->nr_reserved++;

	for (; at && mb->reserved[at - 1].start > start; at--)
		mb->reserved[at] = mb->reserved[at - 1];
	mb->reserved[at] = (struct memblock_range){ start, end, 0, 0 };
	(void)join_ranges(mb->reserved, &mb->nr_reserved, false);
}

int memblock_alloc(struct memblock *mb, uint64_t nr_pages, uint64_t min, uint64_t max, int node,
		   uint64_t *out_pfn)
{
	struct memblock_range run;
	uint64_t found = UINT64_MAX;

	if (!nr_pages || mb->nr_reserved >= mb->capacity)
		return -ONDOL_ENOMEM;
	for (uint64_t from = min; memblock_next_free(mb, from, &run); from = run.end) {
		uint64_t end = min_u64(run.end, max);

		if ((node < 0 || run.node == (uint32_t)node) && end > run.start &&
		    end - run.start >= nr_pages)
			found = end - nr_pages;
	}
	if (found == UINT64_MAX)
		return -ONDOL_ENOMEM;
	insert_reserved(mb, found, found + nr_pages);
	*out_pfn = found;
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Where things lie: memory ranges, single frames, bits of the buddy's map.  What pictures of a
 * machine are drawn from; nothing here is fast, and nothing changes the machine.
 */
#include "base/bitmap.h"
#include "inspect/inspect.h"
#include "phys/buddy.h"
#include "phys/section.h"
#include "phys/shelf.h"

static int tell(const struct memblock_range *range, bool reserved,
		int (*visit)(void *ctx, const struct ondol_memory_range *), void *ctx)
{
	struct ondol_memory_range told = { .start = ondol_pfn(range->start),
					   .end = ondol_pfn(range->end),
					   .node = (uint16_t)range->node,
					   .reserved = reserved,
					   .type = (enum ondol_mem_type)range->type };

	return visit(ctx, &told);
}

int ondol_for_each_memory_range(struct ondol_machine *m,
				int (*visit)(void *ctx, const struct ondol_memory_range *),
				void *ctx)
{
	const struct memblock *mb = &m->phys->memblock;

	for (uint32_t i = 0; i < mb->nr_memory; i++) {
		const struct memblock_range *memory = &mb->memory[i];
		uint64_t at = memory->start;

		while (at < memory->end) {
			struct memblock_range run, part = *memory;
			bool reserved;
			int r;

			part.start = at;
			if (!memblock_next_run(mb, at, &run) || run.start >= memory->end)
				run.start = run.end = memory->end;
			reserved = run.start > at;
			part.end = reserved ? run.start : run.end;
			if (part.end > memory->end)
				part.end = memory->end;
			r = tell(&part, reserved, visit, ctx);
			if (r)
				return r;
			at = part.end;
		}
	}
	return 0;
}

/* The record that heads the frame's block, free or not; NULL: the frame is on its own. */
static const struct ondol_page *block_head(const struct ondol_zone *zone, uint32_t index)
{
	const struct ondol_machine *m = zone->m;

	for (unsigned order = 0; order <= m->phys->max_order; order++) {
		uint32_t at = index & ~((1u << order) - 1);
		const struct ondol_page *page = &m->pages[at];

		if (at < zone->start)
			return NULL;
		if (section_is_deferred(m, section_of(m, at)) || page_zone(m, page) != zone)
			continue;
		if (!(page->flags & (ONDOL_PG_BUDDY | ONDOL_PG_PCP)) && !page->refcount)
			continue;
		if (page_order(page) >= order && index - at < 1u << page_order(page))
			return page;
	}
	return NULL;
}

static void describe_block(const struct ondol_zone *zone, uint32_t index,
			   struct ondol_frame_info *info)
{
	const struct ondol_machine *m = zone->m;
	const struct ondol_page *head = block_head(zone, index);

	if (!head && shelf_has(zone, index)) {
		info->is_head = true;
		info->state = ONDOL_FRAME_PER_CPU;
		info->migrate_type = (uint8_t)buddy_block_type(zone, index);
		return;
	}
	/* Out, but its block was broken up by hand: only its own record knows. */
	if (!head)
		head = &m->pages[index];
	info->is_head = page_index(m, head) == index;
	info->order = (uint8_t)page_order(head);
	info->use = page_use(head);
	if (head->flags & ONDOL_PG_BUDDY) {
		info->state = ONDOL_FRAME_FREE;
		info->migrate_type = head->buddy.migrate_type;
	} else if (head->flags & ONDOL_PG_PCP) {
		info->state = ONDOL_FRAME_PER_CPU;
		info->migrate_type = (head->flags >> ONDOL_PG_TYPE_SHIFT) & ONDOL_PG_TYPE_MASK;
	} else {
		info->state = info->use == ONDOL_PAGE_RESERVED ? ONDOL_FRAME_RESERVED :
								 ONDOL_FRAME_USED;
		info->migrate_type = (head->flags >> ONDOL_PG_TYPE_SHIFT) & ONDOL_PG_TYPE_MASK;
	}
}

void ondol_frame_info(struct ondol_machine *m, ondol_pfn_t pfn, struct ondol_frame_info *out_info)
{
	const struct memblock *mb = &m->phys->memblock;
	const struct memblock_range *memory = memblock_find(mb->memory, mb->nr_memory, pfn.value);
	struct ondol_zone *zone;
	uint64_t zone_end;
	uintptr_t irq;
	uint32_t index;
	bool is_deferred;

	*out_info = (struct ondol_frame_info){ .state = ONDOL_FRAME_HOLE, .is_head = true };
	if (!memory)
		return;
	index = (uint32_t)(pfn.value - m->first_pfn);
	out_info->node = (uint16_t)memory->node;
	out_info->zone = (enum ondol_zone_type)phys_type_of_pfn(m, memory, pfn.value, &zone_end);
	is_deferred = section_is_deferred(m, section_of(m, index));
	if (memblock_find(mb->reserved, mb->nr_reserved, pfn.value) ||
	    (is_deferred && memory->type != ONDOL_MEM_USABLE)) {
		out_info->state = ONDOL_FRAME_RESERVED;
		out_info->use = ONDOL_PAGE_RESERVED;
		return;
	}
	if (is_deferred) {
		out_info->state = ONDOL_FRAME_DEFERRED;
		return;
	}
	zone = page_zone(m, &m->pages[index]);
	irq = zone_lock(zone);
	describe_block(zone, index, out_info);
	zone_unlock(zone, irq);
}

ondol_pfn_t ondol_next_free_block(struct ondol_machine *m, ondol_pfn_t from, ondol_pfn_t end,
				  unsigned min_order, unsigned *out_order)
{
	uint64_t at = from.value > m->first_pfn ? from.value - m->first_pfn : 0;
	uint64_t stop = end.value > m->first_pfn ? end.value - m->first_pfn : 0;

	if (stop > m->nr_pages)
		stop = m->nr_pages;
	while ((at = section_skip_deferred(m, at)) < stop) {
		uint32_t flags = load_relaxed(&m->pages[at].flags);
		unsigned order = (flags >> ONDOL_PG_ORDER_SHIFT) & ONDOL_PG_ORDER_MASK;

		if (flags & ONDOL_PG_BUDDY && order >= min_order) {
			*out_order = order;
			return ondol_pfn(m->first_pfn + at);
		}
		/* A head of any kind; all other records have order 0. */
		at += UINT64_C(1) << order;
	}
	*out_order = 0;
	return end;
}

int ondol_map_bit(struct ondol_machine *m, ondol_pfn_t pfn, unsigned order)
{
	struct ondol_frame_info info;
	struct ondol_zone *zone;
	uint32_t index;
	uintptr_t irq;
	int bit;

	ondol_frame_info(m, pfn, &info);
	if (info.state == ONDOL_FRAME_HOLE || order >= m->phys->max_order)
		return -ONDOL_ENOENT;
	index = (uint32_t)(pfn.value - m->first_pfn);
	zone = &m->phys->zones[zone_id(info.node, info.zone)];
	if (!zone->free_area[order].map)
		return -ONDOL_ENOENT;
	irq = zone_lock(zone);
	bit = bitmap_test(zone->free_area[order].map,
			  (index >> (order + 1)) - (zone->start >> (order + 1)));
	zone_unlock(zone, irq);
	return bit;
}

/* SPDX-License-Identifier: MIT */
/*
 * Frames by other measures than the order: many at once, an exact number, just these, a whole bank,
 * a balloon.
 *
 *	contiguous range    settle, then under the zone's lock all or nothing
 *	bank offline        a range that becomes RESERVED and OFFLINE; managed and limits follow
 *	balloon             single frames, linked by their records, held by Ondol itself
 *
 * Frames in use are not moved away: whoever holds movable ones frees them first (the refusal
 * names the first).
 */
#include "base/math.h"
#include "phys/buddy.h"
#include "phys/section.h"

uint32_t ondol_alloc_pages_bulk(struct ondol_machine *m, ondol_gfp_t gfp, uint32_t nr,
				struct ondol_page **out)
{
	for (uint32_t i = 0; i < nr; i++) {
		out[i] = ondol_alloc_pages(m, gfp, 0);
		if (!out[i])
			return i;
	}
	return nr;
}

struct ondol_page *ondol_alloc_pages_exact(struct ondol_machine *m, ondol_gfp_t gfp,
					   uint32_t nr_pages)
{
	unsigned order = nr_pages > 1 ? log2_u64(nr_pages - 1) + 1 : 0;
	struct ondol_page *page;

	if (!nr_pages)
		return NULL;
	page = ondol_alloc_pages(m, gfp & ~ONDOL_GFP_COMP, order);
	if (!page || !order)
		return page;
	ondol_split_page(m, page, order);
	ondol_free_pages_exact(m, page + nr_pages, (1u << order) - nr_pages);
	return page;
}

void ondol_free_pages_exact(struct ondol_machine *m, struct ondol_page *page, uint32_t nr_pages)
{
	for (uint32_t i = 0; i < nr_pages; i++)
		ondol_free_pages(m, &page[i], 0);
}

/* ------------------------------------------------------------------ just these */

/* The one zone of the frames, whose records are there then; NULL: they are not of one. */
static struct ondol_zone *zone_of_range(struct ondol_machine *m, ondol_pfn_t start,
					uint32_t nr_pages)
{
	struct ondol_zone *zone = NULL;

	for (uint32_t i = 0; i < nr_pages; i++) {
		struct ondol_page *page = ondol_pfn_to_page(m, ondol_pfn(start.value + i));

		if (!page || (zone && page_zone(m, page) != zone))
			return NULL;
		zone = page_zone(m, page);
	}
	return zone;
}

static void hand_out_range(struct ondol_zone *zone, uint32_t start, uint32_t nr_pages)
{
	struct ondol_machine *m = zone->m;
	uint32_t flags = zone->flags | ONDOL_PAGE_KERNEL |
			 buddy_block_type(zone, start) << ONDOL_PG_TYPE_SHIFT;

	for (struct ondol_page *page = &m->pages[start]; page < &m->pages[start + nr_pages];
	     page++) {
		store_relaxed(&page->flags, flags | (page->flags & ONDOL_PG_ZEROED));
		page->data.mapping = NULL;
		page->data.index = page->data.mapcount = 0;
		store_relaxed(&page->refcount, 1);
	}
}

int ondol_alloc_contig_range(struct ondol_machine *m, ondol_pfn_t start, uint32_t nr_pages,
			     ondol_pfn_t *out_busy)
{
	struct ondol_zone *zone = zone_of_range(m, start, nr_pages);
	uint32_t first = (uint32_t)(start.value - m->first_pfn), busy;
	uintptr_t irq;

	if (!zone)
		return -ONDOL_EINVAL;
	phys_settle(m);
	irq = zone_lock(zone);
	busy = buddy_take_range(zone, first, first + nr_pages);
	if (busy == ONDOL_PAGE_NIL) {
		hand_out_range(zone, first, nr_pages);
		add_relaxed(&zone->pcp[machine_this_cpu(m)].nr_allocs, nr_pages);
	}
	zone_unlock(zone, irq);
	if (busy == ONDOL_PAGE_NIL)
		return 0;
	if (out_busy)
		*out_busy = ondol_pfn(m->first_pfn + busy);
	return -ONDOL_EBUSY;
}

/* ------------------------------------------------------------------ banks */

/* `nr_pages` more or, negative, fewer are the buddy's. */
static void change_managed(struct ondol_zone *zone, int64_t nr_pages)
{
	uintptr_t irq = zone_lock(zone);

	zone->managed = (uint32_t)(zone->managed + nr_pages);
	zone->m->phys->managed = (uint32_t)(zone->m->phys->managed + nr_pages);
	phys_set_limits(zone->m);
	zone_unlock(zone, irq);
}

int ondol_offline_pages(struct ondol_machine *m, ondol_pfn_t start, uint32_t nr_pages,
			ondol_pfn_t *out_busy)
{
	int r = ondol_alloc_contig_range(m, start, nr_pages, out_busy);
	struct ondol_page *page;
	struct ondol_zone *zone;

	if (r)
		return r;
	page = machine_page(m, start.value);
	zone = page_zone(m, page);
	for (uint32_t i = 0; i < nr_pages; i++) {
		store_relaxed(&page[i].refcount, 0);
		store_relaxed(&page[i].flags,
			      zone->flags | ONDOL_PAGE_RESERVED | ONDOL_PG_OFFLINE);
	}
	change_managed(zone, -(int64_t)nr_pages);
	return 0;
}

int ondol_online_pages(struct ondol_machine *m, ondol_pfn_t start, uint32_t nr_pages)
{
	struct ondol_zone *zone = zone_of_range(m, start, nr_pages);
	struct ondol_page *page;

	if (!zone)
		return -ONDOL_EINVAL;
	page = machine_page(m, start.value);
	for (uint32_t i = 0; i < nr_pages; i++)
		if (!(load_relaxed(&page[i].flags) & ONDOL_PG_OFFLINE))
			return -ONDOL_EINVAL;
	change_managed(zone, nr_pages);
	hand_out_range(zone, page_index(m, page), nr_pages);
	ondol_free_pages_exact(m, page, nr_pages);
	return 0;
}

/* ------------------------------------------------------------------ the balloon */

static bool balloon_grow(struct ondol_machine *m, struct ondol_node *node)
{
	struct ondol_page *page = ondol_alloc_pages_node(
		m, node->id, ONDOL_GFP_HIGHMEM | ONDOL_GFP_MOVABLE | ONDOL_GFP_THISNODE |
				     ONDOL_GFP_NOWARN, 0);

	if (!page)
		return false;
	page->data.next = node->balloon;
	node->balloon = page_index(m, page);
	node->nr_balloon++;
	return true;
}

static void balloon_shrink(struct ondol_machine *m, struct ondol_node *node)
{
	struct ondol_page *page = &m->pages[node->balloon];

	node->balloon = page->data.next;
	node->nr_balloon--;
	ondol_free_pages(m, page, 0);
}

uint64_t ondol_balloon_set(struct ondol_machine *m, uint32_t node_id, uint64_t nr_pages)
{
	struct ondol_node *node;

	if (node_id >= m->nr_nodes)
		return 0;
	node = &m->phys->nodes[node_id];
	while (node->nr_balloon > nr_pages)
		balloon_shrink(m, node);
	while (node->nr_balloon < nr_pages && balloon_grow(m, node))
		;
	return node->nr_balloon;
}

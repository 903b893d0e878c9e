/* SPDX-License-Identifier: MIT */
/* The invariants of core/phys: BUDDY, ZONE, PCP, SHELF, LAZY, USE.  See validate.c. */
#include "base/bitmap.h"
#include "inspect/validate.h"
#include "phys/kmap.h"
#include "phys/pcp.h"
#include "phys/section.h"
#include "phys/shelf.h"

#define NIL ONDOL_PAGE_NIL

struct tally { /* frames of a zone by where they are */
	uint64_t reserved, deferred, free, shelved, listed, used[ONDOL_NR_PAGE_USES];
};

static bool is_free_record(const struct ondol_page *page, uint32_t mark)
{
	return (page->flags & (ONDOL_PG_BUDDY | ONDOL_PG_PCP)) == mark && !page->refcount &&
	       page_use(page) == ONDOL_PAGE_FREE;
}

/* One list of the free area: BUDDY-1, BUDDY-5; adds its blocks to *nr.  `local`: delay2's. */
static bool check_list(struct ondol_zone *zone, unsigned order, unsigned type, uint32_t local,
		       uint64_t *nr, struct ondol_broken_invariant *out)
{
	const struct ondol_machine *m = zone->m;
	const struct free_area *area = &zone->free_area[order];
	uint32_t prev = NIL, at = local ? area->local[type] : area->head[type];

	for (; at != NIL; at = m->pages[at].buddy.next, (*nr)++) {
		const struct ondol_page *page = &m->pages[at];

		if (*nr > m->nr_pages) /* a ring */
			return inspect_broken(out, "BUDDY-5", prev, m->nr_pages, *nr);
		if (at >= m->nr_pages)
			return inspect_broken(out, "BUDDY-5", prev, m->nr_pages, at);
		if (section_is_deferred(m, section_of(m, at)))
			return inspect_broken(out, "ZONE-6", m->first_pfn + at, order, at);
		if (at & ((1u << order) - 1) || at < zone->start ||
		    at + (1ull << order) > zone->end || page_zone(m, page) != zone)
			return inspect_broken(out, "BUDDY-1", m->first_pfn + at, order, at);
		if (!is_free_record(page, ONDOL_PG_BUDDY) || page->buddy.prev != prev ||
		    page_order(page) != order || page->buddy.migrate_type != type)
			return inspect_broken(out, "BUDDY-5", m->first_pfn + at, order,
					      page->flags);
		if ((page->flags & ONDOL_PG_LOCAL) != local)
			return inspect_broken(out, "LAZY-1", m->first_pfn + at, local, !local);
		prev = at;
	}
	return true;
}

static bool check_lists(struct ondol_zone *zone, struct ondol_broken_invariant *out)
{
	uint64_t frames = zone->deferred + zone->shelves.frames, locals = 0;

	for (unsigned order = 0; order <= zone->m->phys->max_order; order++) {
		const struct free_area *area = &zone->free_area[order];
		uint64_t nr = 0, local = 0;

		for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++)
			if (!check_list(zone, order, type, 0, &nr, out) ||
			    !check_list(zone, order, type, ONDOL_PG_LOCAL, &local, out))
				return false;
		if (!inspect_equal(out, "LAZY-1", order, local, area->nr_local) ||
		    !inspect_equal(out, "BUDDY-2", order, nr + local, area->nr_free))
			return false;
		frames += (nr + local) << order;
		locals += local;
	}
	return inspect_equal(out, "LAZY-1", zone->start, locals, zone->nr_local) &&
	       inspect_equal(out, "BUDDY-2", zone->start, frames, zone->nr_free);
}

static bool is_free_block(const struct ondol_zone *zone, uint32_t index, unsigned order)
{
	const struct ondol_page *page = &zone->m->pages[index];

	return index >= zone->start && index < zone->end &&
	       !section_is_deferred(zone->m, section_of(zone->m, index)) &&
	       (page->flags & (ONDOL_PG_BUDDY | ONDOL_PG_LOCAL)) == ONDOL_PG_BUDDY &&
	       page_zone(zone->m, page) == zone && page_order(page) == order;
}

/* What a wrong bit breaks: where nothing has records, nothing has a bit. */
static const char *pair_label(const struct ondol_zone *zone, uint32_t lower)
{
	return section_is_deferred(zone->m, section_of(zone->m, lower)) ? "ZONE-6" : "BUDDY-4";
}

/* BUDDY-3 and BUDDY-4 over all pairs of all orders. */
static bool check_pairs(struct ondol_zone *zone, struct ondol_broken_invariant *out)
{
	for (unsigned order = 0; order < zone->m->phys->max_order; order++) {
		const uint32_t *map = zone->free_area[order].map;
		uint32_t first = zone->start >> (order + 1);

		for (uint32_t pair = first; pair <= (zone->end - 1) >> (order + 1); pair++) {
			uint32_t lower = pair << (order + 1), upper = lower + (1u << order);
			bool a = is_free_block(zone, lower, order);
			bool b = is_free_block(zone, upper, order);

			if (a && b)
				return inspect_broken(out, "BUDDY-3",
						      zone->m->first_pfn + lower, order + 1,
						      order);
			if (map && bitmap_test(map, pair - first) != (a != b))
				return inspect_broken(out, pair_label(zone, lower),
						      zone->m->first_pfn + lower, a != b,
						      a == b);
		}
	}
	return true;
}

/* Twice on one list, or on two? */
static bool is_elsewhere(const struct ondol_zone *zone, const uint32_t *entry)
{
	for (uint32_t cpu = 0; cpu < zone->m->nr_cpus; cpu++) {
		const struct pcp_list *list = zone->pcp[cpu].list[0];
		const uint32_t *hot = &zone->m->phys->cpus[cpu].hot;

		if (hot != entry && *hot == *entry)
			return true;
		for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++, list++)
			for (const uint32_t *at = list->base; at < list->top; at++)
				if (at != entry && *at == *entry)
					return true;
	}
	return false;
}

/* `hot`: its newest is, or until lately was, not on the array. */
static bool check_list_ends(const struct pcp_list *list, unsigned slot, bool hot,
			    struct ondol_broken_invariant *out)
{
	if (list->low < list->base || list->top + hot < list->low || list->end < list->top ||
	    list->end > list->base + list->cap || list->cap > pcp_slot_room(slot))
		return inspect_broken(out, "PCP-3", slot, list->cap,
				      (uint64_t)(list->top - list->base));
	return true;
}

static bool check_entry(struct ondol_zone *zone, const struct pcp_list *list, const uint32_t *at,
			struct ondol_broken_invariant *out)
{
	const struct ondol_machine *m = zone->m;
	const struct ondol_page *page = &m->pages[*at];
	uint32_t marks = ONDOL_PG_ORDER_MASK << ONDOL_PG_ORDER_SHIFT |
			 ONDOL_PG_TYPE_MASK << ONDOL_PG_TYPE_SHIFT;

	if (*at >= m->nr_pages)
		return inspect_broken(out, "PCP-1", list->order, m->nr_pages, *at);
	if (section_is_deferred(m, section_of(m, *at)))
		return inspect_broken(out, "ZONE-6", m->first_pfn + *at, list->order, *at);
	if (!is_free_record(page, ONDOL_PG_PCP) || page_zone(m, page) != zone ||
	    (page->flags & marks) != (list->free_flags & marks) || is_elsewhere(zone, at))
		return inspect_broken(out, "PCP-1", m->first_pfn + *at, list->order, page->flags);
	return true;
}

/* The CPU's frame in hand: PCP-4; its hot_list is one of the zone's. */
static bool check_hot(struct ondol_zone *zone, const struct phys_cpu *cpu,
		      struct ondol_broken_invariant *out)
{
	const struct pcp_list *list = cpu->hot_list;

	if (list->order || cpu->hot_flags != list->out_flags ||
	    cpu->hot_gfps != pcp_hot_gfps(cpu))
		return inspect_broken(out, "PCP-4", zone->start, list->out_flags,
				      cpu->hot_flags);
	return cpu->hot == ONDOL_PAGE_NIL || check_entry(zone, list, &cpu->hot, out);
}

/* One CPU's lists: PCP-1, PCP-3, PCP-4. */
static bool check_pcp(struct ondol_zone *zone, uint32_t index, struct ondol_broken_invariant *out)
{
	const struct phys_cpu *cpu = &zone->m->phys->cpus[index];
	const struct pcp_list *list = zone->pcp[index].list[0];

	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++, list++) {
		bool hot = list == cpu->hot_list && zone->m->phys->pcp_on;
		bool one_more = cpu->hot != ONDOL_PAGE_NIL || cpu->nr_hot != cpu->nr_hot_noted;

		if (!check_list_ends(list, i % PCP_SLOTS, hot && one_more, out))
			return false;
		for (const uint32_t *at = list->base; at < list->top; at++)
			if (!check_entry(zone, list, at, out))
				return false;
		if (hot && !check_hot(zone, cpu, out))
			return false;
	}
	return true;
}

/* The bits of one shelf: SHELF-1, SHELF-2, SHELF-3. */
static bool check_shelf(const struct ondol_zone *zone, uint32_t at,
			struct ondol_broken_invariant *out)
{
	const struct ondol_machine *m = zone->m;
	uint32_t start = shelf_start(zone, at), nr = 0;

	for (uint32_t i = start; i < start + SHELF_FRAMES; i++) {
		if (!shelf_has(zone, i))
			continue;
		nr++;
		if (i < zone->start || i >= zone->end || section_is_deferred(m, section_of(m, i)) ||
		    !is_free_record(&m->pages[i], 0) || page_zone(m, &m->pages[i]) != zone)
			return inspect_broken(out, "SHELF-1", m->first_pfn + i, 0, nr);
	}
	if (nr == SHELF_FRAMES)
		return inspect_broken(out, "SHELF-3", m->first_pfn + start, 0, nr);
	return inspect_equal(out, "SHELF-2", m->first_pfn + start, nr,
			     zone->shelves.shelf[at].nr);
}

/* A list of shelves: all of its bucket and type; adds their number. */
static bool check_shelf_list(const struct ondol_zone *zone, unsigned type, unsigned bucket,
			     uint32_t *nr, struct ondol_broken_invariant *out)
{
	const struct shelves *all = &zone->shelves;
	uint32_t prev = NIL;

	if ((all->head[type][bucket] != NIL) != (all->filled[type] >> bucket & 1))
		return inspect_broken(out, "SHELF-2", bucket, all->head[type][bucket], type);
	for (uint32_t at = all->head[type][bucket]; at != NIL; at = all->shelf[at].next) {
		const struct shelf *shelf = &all->shelf[at];

		if (at >= all->nr || ++*nr > all->nr || shelf->prev != prev ||
		    shelf->type != type || !shelf->nr ||
		    (shelf->nr - 1u) / (SHELF_FRAMES / SHELF_BUCKETS) != bucket ||
		    (zone->pageblock_type && zone->pageblock_type[at] != type))
			return inspect_broken(out, "SHELF-2", at, bucket, shelf->nr);
		prev = at;
	}
	return true;
}

static bool check_shelves(const struct ondol_zone *zone, struct ondol_broken_invariant *out)
{
	const struct shelves *all = &zone->shelves;
	uint32_t frames = 0, filled = 0, listed = 0;

	for (uint32_t at = 0; at < all->nr; at++) {
		if (!check_shelf(zone, at, out))
			return false;
		frames += all->shelf[at].nr;
		filled += all->shelf[at].nr != 0;
	}
	for (unsigned type = 0; all->nr && type < NR_MIGRATE_TYPES; type++)
		for (unsigned bucket = 0; bucket < SHELF_BUCKETS; bucket++)
			if (!check_shelf_list(zone, type, bucket, &listed, out))
				return false;
	return inspect_equal(out, "SHELF-2", zone->start, filled, listed) &&
	       inspect_equal(out, "SHELF-2", zone->start, frames, all->frames);
}

/* Is the frame where its zone's limits are? */
static bool frame_fits_zone(const struct ondol_zone *zone, uint32_t index)
{
	const struct memblock *mb = &zone->m->phys->memblock;
	uint64_t end, pfn = zone->m->first_pfn + index;
	const struct memblock_range *memory = memblock_find(mb->memory, mb->nr_memory, pfn);

	return memory && memory->node == zone->node &&
	       phys_type_of_pfn(zone->m, memory, pfn, &end) == zone->type &&
	       index >= zone->start && index < zone->end;
}

/* Does the frame name a zone that may have it? */
static bool names_its_zone(const struct ondol_machine *m, uint32_t index)
{
	const struct ondol_page *page = &m->pages[index];

	return page_zone_id(page) < m->nr_nodes << 3 && frame_fits_zone(page_zone(m, page), index);
}

/* RANGE-1: a TAIL with a reference is a piece of a run; its head names the run's. */
static bool is_piece(const struct ondol_zone *zone, uint32_t index)
{
	const struct ondol_page *page = &zone->m->pages[index], *head;

	if (!(page->flags & ONDOL_PG_TAIL) || page->refcount != 1 ||
	    page->slab.head < zone->start || page->slab.head >= index)
		return false;
	head = &zone->m->pages[page->slab.head];
	return head->flags & ONDOL_PG_COMP && page_use(head) == page_use(page) &&
	       page_order(head) > page_order(page);
}

/* The block at `index` and how many frames to go on; 0: broken. */
static uint32_t tally_block(struct ondol_zone *zone, uint32_t index, struct tally *tally,
			    struct ondol_broken_invariant *out)
{
	const struct ondol_page *page = &zone->m->pages[index];
	uint32_t size = 1u << page_order(page);
	uint64_t pfn = zone->m->first_pfn + index;
	enum ondol_page_use use = page_use(page);
	uint32_t head = page->flags & ONDOL_PG_TAIL ? page->slab.head : index;

	if (use == ONDOL_PAGE_RESERVED) {
		tally->reserved++;
		return 1;
	}
	if (shelf_has(zone, index)) {
		tally->shelved++;
		return 1;
	}
	if (page->flags & ONDOL_PG_BUDDY)
		tally->free += size;
	else if (page->flags & ONDOL_PG_PCP)
		tally->listed += size;
	else if (use >= ONDOL_PAGE_KERNEL && page->refcount && !(page->flags & ONDOL_PG_TAIL))
		tally->used[use] += size;
	else if (use >= ONDOL_PAGE_KERNEL && is_piece(zone, index))
		tally->used[use] += size;
	else
		return (uint32_t)inspect_broken(out, page->refcount && page->flags & ONDOL_PG_TAIL ?
						"RANGE-1" : "BUDDY-9", pfn, 1, page->flags);
	if (index & (size - 1) || index + size > zone->end)
		return (uint32_t)inspect_broken(out, "BUDDY-1", pfn, size, index);
	for (uint32_t i = 1; i < size; i++) {
		const struct ondol_page *inner = &page[i];

		if (inner->flags & (ONDOL_PG_BUDDY | ONDOL_PG_PCP | ONDOL_PG_HOLE) ||
		    shelf_has(zone, index + i) ||
		    page_use(inner) == ONDOL_PAGE_RESERVED || inner->refcount ||
		    (inner->flags & ONDOL_PG_TAIL ? inner->slab.head != head :
						    page_use(inner) != ONDOL_PAGE_FREE))
			return (uint32_t)inspect_broken(out, "BUDDY-9", pfn + i, 0, inner->flags);
		if (page_zone(zone->m, inner) != zone)
			return (uint32_t)inspect_broken(out, "ZONE-4", pfn + i, 0, inner->flags);
	}
	return size;
}

/* A section without records: what the memory map says of it.  Returns the frames to go on. */
static uint32_t tally_deferred(const struct ondol_zone *zone, uint32_t at, struct tally *tally)
{
	uint32_t section = section_of(zone->m, at);
	struct section_frames frames = section_count(zone, section);

	tally->deferred += frames.free;
	tally->reserved += frames.present - frames.free;
	return ((section + 1) << zone->m->phys->section_order) - at;
}

/* Of a frame with a record; 0: broken. */
static uint32_t tally_frame(struct ondol_zone *zone, uint32_t at, struct tally *tally,
			    struct ondol_broken_invariant *out)
{
	const struct ondol_page *page = &zone->m->pages[at];

	if (page->flags & ONDOL_PG_HOLE)
		return 1;
	if (!names_its_zone(zone->m, at))
		return (uint32_t)inspect_broken(out, "ZONE-4", zone->m->first_pfn + at, zone->type,
						page->flags);
	if (page_zone(zone->m, page) != zone) /* of a node whose banks lie between */
		return 1;
	return tally_block(zone, at, tally, out);
}

static bool check_frames(struct ondol_zone *zone, uint64_t used[ONDOL_NR_PAGE_USES],
			 struct ondol_broken_invariant *out)
{
	struct tally tally = { 0 };
	uint64_t listed = 0, out_frames = 0;
	uint32_t step;

	for (uint64_t at = zone->start; at < zone->end; at += step) {
		if (section_is_deferred(zone->m, section_of(zone->m, (uint32_t)at)))
			step = tally_deferred(zone, (uint32_t)at, &tally);
		else
			step = tally_frame(zone, (uint32_t)at, &tally, out);
		if (!step)
			return false;
	}
	for (unsigned use = ONDOL_PAGE_KERNEL; use < ONDOL_NR_PAGE_USES; use++) {
		used[use] += tally.used[use];
		out_frames += tally.used[use];
	}
	for (uint32_t cpu = 0; cpu < zone->m->nr_cpus; cpu++)
		listed += pcp_pages(zone, cpu);
	return inspect_equal(out, "ZONE-1", zone->start, zone->present,
			     zone->managed + tally.reserved) &&
	       inspect_equal(out, "ZONE-6", zone->start, tally.deferred, zone->deferred) &&
	       inspect_equal(out, "SHELF-2", zone->start, tally.shelved, zone->shelves.frames) &&
	       inspect_equal(out, "BUDDY-2", zone->start,
			     tally.free + tally.shelved + zone->deferred, zone->nr_free) &&
	       inspect_equal(out, "PCP-2", zone->start, tally.listed, listed) &&
	       inspect_equal(out, "ZONE-2", zone->start, zone->managed,
			     zone->nr_free + tally.listed + out_frames);
}

static bool check_zone(struct ondol_zone *zone, uint64_t used[ONDOL_NR_PAGE_USES],
		       struct ondol_broken_invariant *out)
{
	if (zone->watermark[WMARK_MIN] > zone->watermark[WMARK_LOW] ||
	    zone->watermark[WMARK_LOW] > zone->watermark[WMARK_HIGH])
		return inspect_broken(out, "ZONE-3", zone->start, zone->watermark[WMARK_MIN],
				      zone->watermark[WMARK_LOW]);
	if (!check_shelves(zone, out) || !check_lists(zone, out) || !check_pairs(zone, out))
		return false;
	for (uint32_t cpu = 0; cpu < zone->m->nr_cpus; cpu++)
		if (!check_pcp(zone, cpu, out))
			return false;
	return check_frames(zone, used, out);
}

/* Zones into nodes, nodes into the machine. */
static bool check_sums(struct ondol_machine *m, struct ondol_broken_invariant *out)
{
	uint64_t present = 0, managed = 0;

	for (uint32_t n = 0; n < m->nr_nodes; n++) {
		const struct ondol_node *node = &m->phys->nodes[n];
		uint64_t node_present = 0;

		for (unsigned type = 0; type < ONDOL_NR_ZONES; type++) {
			const struct ondol_zone *zone = &m->phys->zones[zone_id(n, type)];

			node_present += zone->present;
			managed += zone->managed;
		}
		if (!inspect_equal(out, "ZONE-5", n, node_present, node->present))
			return false;
		if (node->spanned < node->present)
			return inspect_broken(out, "ZONE-5", n, node->present, node->spanned);
		present += node->present;
	}
	return inspect_equal(out, "ZONE-5", m->nr_nodes, present, m->phys->present) &&
	       inspect_equal(out, "ZONE-5", m->nr_nodes, managed, m->phys->managed);
}

bool validate_phys(struct ondol_machine *m, struct ondol_broken_invariant *out)
{
	uint64_t used[ONDOL_NR_PAGE_USES] = { 0 }, charged = 0;
	struct ondol_zone *zone;

	zone_for_each(m->phys, zone, i)
		if (!check_zone(zone, used, out))
			return false;
	for (unsigned use = ONDOL_PAGE_KERNEL; use < ONDOL_NR_PAGE_USES; use++) {
		long counted = phys_use_count(m, (enum ondol_page_use)use);

		if (!inspect_equal(out, "USE-1", use, used[use], (uint64_t)counted))
			return false;
		charged += use > ONDOL_PAGE_KERNEL ? used[use] : 0;
	}
	if (m->memcg.on && !inspect_equal(out, "MEMCG-1", 0, charged, m->memcg.charged))
		return false;
	if (!kmap_valid(m, used))
		return inspect_broken(out, "KMAP-1", used[0], 0, 1);
	return check_sums(m, out);
}

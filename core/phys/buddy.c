/* SPDX-License-Identifier: MIT */
/*
 * The buddy system.
 *
 * 1 What problem.  Hand out runs of 2^k page frames and take them back in any order, without
 *   the free memory crumbling into single frames.
 *
 * 2 Terms.  A block of order k is 2^k frames that begin at a multiple of 2^k.  Its buddy is
 *   the block beside it with which it makes a block of order k + 1: their numbers differ in
 *   bit k alone.  A pair is a block and its buddy.
 *
 * 3 How it works.  Each zone has free_area[k]: lists of the free blocks of order k, and `map`,
 *   one bit per pair: 1 when exactly one of the two is on a list.  To allocate, take the
 *   smallest free block that is large enough and split it in halves; to free, merge with the
 *   buddy as long as that is free too.
 *
 *	    frame  0 1 2 3 4 5 6 7 8 9 ...            # used
 *	           # # # . # . # #                    order 0: 3, 5    map 0110
 *	    free 2:
 *	           # # . . # . # #   flips bit 1: 0, so 3 is free and leaves its list
 *	           # # [ 2 ] # . # #                  order 0: 5       map 0010
 *	                                              order 1: 2       map 10
 *
 *   Flipping the pair's bit answers whether to merge, so the record of a buddy that is in use
 *   is not read: it is most often in another CPU's cache.  A profile without the map asks the
 *   buddy's record instead, as Linux has done since 2.6.11.
 *
 *   Lists are kept per migrate type.  A pageblock is the unit in which memory changes its
 *   type; an allocation that finds nothing of its own type takes the largest block of
 *   another, and the whole pageblock with it when most of that is free.
 *
 * 4 Invariants.
 *   [BUDDY-1] A free block begins at a multiple of its size and lies in its zone (D6).
 *   [BUDDY-2] free_area[k].nr_free counts the blocks on the lists of order k, and zone.nr_free
 *             the frames of all of them and those deferred.
 *   [BUDDY-3] Merging is eager: no two free buddies are on lists, below the highest order (D6).
 *   [BUDDY-4] A map bit is 1 exactly when one block of its pair is on a list (D5).
 *   [BUDDY-5] The links of a list agree; the head of a block on it is marked BUDDY, has the
 *             list's order and type, no reference and no use.
 *   [BUDDY-6] Only a block that was handed out comes back: its head has a reference and a use.
 *   [BUDDY-7] It comes back with the order it was handed out with.
 *   [BUDDY-8] It is a frame of this machine, neither a hole nor a reserved one.
 *   [BUDDY-9] Every frame is in one place: reserved, in an allocated block, on a per-CPU list
 *             or in a free block.
 *
 * 5 Concurrency.  Everything here runs under the zone's lock.  Lists and records are written
 *   by its holder alone.
 *
 * 6 What can fail.  Taking a block, when no list has one; nothing has changed then.  Giving
 *   one back never fails.
 *
 * 7 How to see it.  ondol_proc_buddyinfo, ondol_for_each_zone, ondol_machine_validate.
 *
 * 8 Sources.  Knowlton, "A fast storage allocator", CACM 8(10), 1965; Knuth TAOCP 1, 2.5;
 *   Linux mm/page_alloc.c; Gorman and Whitcroft, "The what, the why and the where to of
 *   anti-fragmentation", OLS 2006.  Linux keeps no map, and its order is in page->private.
 */
#include "phys/buddy.h"

#include "base/bitmap.h"
#include "base/math.h"

#define NIL ONDOL_PAGE_NIL

static unsigned max_order(const struct ondol_zone *zone)
{
	return zone->m->phys->max_order;
}

/* Words of one order's map: pairs are counted from the pair that holds the zone's start. */
static uint64_t map_words(const struct ondol_zone *zone, unsigned order)
{
	uint64_t pairs = ((uint64_t)(zone->end - 1) >> (order + 1)) -
			 (zone->start >> (order + 1)) + 1;

	return bitmap_bytes(pairs) / sizeof(uint32_t);
}

uint64_t buddy_map_bytes(const struct ondol_profile *profile, const struct ondol_zone *zone)
{
	uint64_t words = 0;

	if (!profile->map_bitmap || zone->start == zone->end)
		return 0;
	for (unsigned order = 0; order + 1 < profile->nr_orders; order++)
		words += map_words(zone, order);
	return words * sizeof(uint32_t);
}

void buddy_init(struct ondol_zone *zone, uint32_t *map_room)
{
	for (unsigned order = 0; order < ONDOL_MAX_ORDERS; order++) {
		struct free_area *area = &zone->free_area[order];

		for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++)
			area->head[type] = NIL;
		area->nr_free = 0;
		area->map = NULL;
		if (!zone->m->profile->map_bitmap || order >= max_order(zone))
			continue;
		area->map = map_room;
		if (!zone->m->phys->memory_is_zeroed)
			__builtin_memset(map_room, 0, map_words(zone, order) * sizeof(uint32_t));
		map_room += map_words(zone, order);
	}
}

static bool flip_pair(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	return bitmap_flip(zone->free_area[order].map,
			   (index >> (order + 1)) - (zone->start >> (order + 1)));
}

unsigned buddy_block_type(const struct ondol_zone *zone, uint32_t index)
{
	unsigned order = zone->m->phys->pageblock_order;

	if (!zone->pageblock_type)
		return 0;
	return zone->pageblock_type[(index >> order) - (zone->start >> order)];
}

static void set_block_type(struct ondol_zone *zone, uint32_t index, unsigned type)
{
	unsigned order = zone->m->phys->pageblock_order;

	zone->pageblock_type[(index >> order) - (zone->start >> order)] = (uint8_t)type;
}

/*
 * Mark the frames [index, index + nr) as taken; true: none of them was before, so with memory
 * that began zeroed they still are.  Whole words where possible: a refill is one or two.
 */
static bool mark_taken(struct ondol_zone *zone, uint32_t index, uint32_t nr)
{
	uint32_t bit = index - zone->start, end = bit + nr, before = 0;

	if (!zone->taken)
		return false;
	while (bit < end) {
		uint32_t *word = &zone->taken[bit >> 5], mask = UINT32_MAX << (bit & 31);

		if (end - (bit & ~31u) < 32)
			mask &= (UINT32_C(1) << (end & 31)) - 1;
		before |= *word & mask;
		*word |= mask;
		bit = (bit & ~31u) + 32;
	}
	return !before;
}

void buddy_forget_taken(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	for (uint32_t i = 0; i < 1u << order; i++)
		bitmap_clear(zone->taken, index - zone->start + i);
}

static inline void set_free_record(struct ondol_zone *zone, struct ondol_page *page,
				   unsigned order)
{
	store_relaxed(&page->flags,
		      zone->flags | ONDOL_PG_BUDDY | order << ONDOL_PG_ORDER_SHIFT);
}

/* List surgery alone: neither map nor zone.nr_free. */
static inline void link_block(struct ondol_zone *zone, uint32_t index, unsigned order,
			      unsigned type)
{
	struct free_area *area = &zone->free_area[order];
	struct ondol_page *pages = zone->m->pages, *page = &pages[index];
	uint32_t next = area->head[type];

	set_free_record(zone, page, order);
	page->buddy.next = next;
	page->buddy.prev = NIL;
	page->buddy.migrate_type = (uint8_t)type;
	if (next != NIL)
		pages[next].buddy.prev = index;
	area->head[type] = index;
	area->nr_free++;
}

static inline void unlink_block(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	struct free_area *area = &zone->free_area[order];
	struct ondol_page *pages = zone->m->pages, *page = &pages[index];
	uint32_t next = page->buddy.next, prev = page->buddy.prev;

	ONDOL_VERIFY(zone->m, page->flags & ONDOL_PG_BUDDY, "BUDDY-5", index, order);
	if (prev == NIL)
		area->head[page->buddy.migrate_type] = next;
	else
		pages[prev].buddy.next = next;
	if (next != NIL)
		pages[next].buddy.prev = prev;
	area->nr_free--;
	store_relaxed(&page->flags, zone->flags);
}

/* Split a block that is on no list down to `order`; the one kept for the caller. */
static uint32_t split_down(struct ondol_zone *zone, uint32_t index, unsigned from, unsigned order,
			   unsigned type)
{
	bool upper = zone->m->profile->split_hands_out_upper;

	add_relaxed(&zone->nr_splits, from - order);
	while (from > order) {
		from--;
		uint32_t half = index + (1u << from);

		link_block(zone, upper ? index : half, from, type);
		if (zone->free_area[from].map)
			flip_pair(zone, index, from);
		if (upper)
			index = half;
	}
	return index;
}

/* Off its list and out of the map; zone.nr_free is the caller's. */
static inline void remove_block(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	unlink_block(zone, index, order);
	if (zone->free_area[order].map)
		flip_pair(zone, index, order);
}

/*
 * Move the free blocks of a pageblock to the lists of `type`, and the pageblock itself when
 * at least half of it is free: the rest will follow as it is freed.
 */
static void claim_pageblock(struct ondol_zone *zone, uint32_t index, unsigned type)
{
	const uint32_t zone_mask = ((1u << ZONE_ID_BITS) - 1) << ONDOL_PG_ZONE_SHIFT;
	unsigned block_order = zone->m->phys->pageblock_order;
	uint32_t start = index & ~((1u << block_order) - 1), end = start + (1u << block_order);
	uint32_t nr_free = 0, at;

	at = start < zone->start ? zone->start : start;
	if (end > zone->end)
		end = zone->end;
	while (at < end) {
		/* Of a frame that is out, its owner may just be writing them. */
		uint32_t flags = load_relaxed(&zone->m->pages[at].flags);
		unsigned order = (flags >> ONDOL_PG_ORDER_SHIFT) & ONDOL_PG_ORDER_MASK;

		if ((flags & (zone_mask | ONDOL_PG_BUDDY)) != (zone->flags | ONDOL_PG_BUDDY)) {
			at++;
			continue;
		}
		unlink_block(zone, at, order);
		link_block(zone, at, order, type);
		nr_free += 1u << order;
		at += 1u << order;
	}
	if (nr_free >= 1u << (block_order - (block_order > 0)))
		set_block_type(zone, index, type);
}

/* Nothing of the type is left: take over from another, the largest block first. */
static bool steal(struct ondol_zone *zone, unsigned order, unsigned type)
{
	unsigned block_order = zone->m->phys->pageblock_order;

	if (!zone->pageblock_type)
		return false;
	for (int from = (int)max_order(zone); from >= (int)order; from--) {
		for (unsigned other = 0; other < NR_MIGRATE_TYPES; other++) {
			uint32_t index = zone->free_area[from].head[other];

			if (other == type || index == NIL)
				continue;
			/* Rather a section more than a mixed pageblock. */
			if ((unsigned)from < block_order && zone->deferred)
				return false;
			if ((unsigned)from >= block_order) {
				for (uint32_t i = 0; i < 1u << from; i += 1u << block_order)
					set_block_type(zone, index + i, type);
			} else if ((unsigned)from >= block_order / 2 || type != MIGRATE_MOVABLE) {
				claim_pageblock(zone, index, type);
				return true;
			}
			unlink_block(zone, index, (unsigned)from);
			link_block(zone, index, (unsigned)from, type);
			return true;
		}
	}
	return false;
}

/* The smallest order with a block of the type that is at least `order`, or -1. */
static int smallest_with(const struct ondol_zone *zone, unsigned order, unsigned type)
{
	for (unsigned at = order; at <= max_order(zone); at++)
		if (zone->free_area[at].head[type] != NIL)
			return (int)at;
	return -1;
}

/* Steal if that is needed. */
static int find_order(struct ondol_zone *zone, unsigned order, unsigned type)
{
	int from = smallest_with(zone, order, type);

	if (from < 0 && steal(zone, order, type))
		from = smallest_with(zone, order, type);
	return from;
}

uint32_t buddy_take(struct ondol_zone *zone, unsigned order, unsigned type)
{
	int from = find_order(zone, order, type);

	if (from < 0)
		return NIL;
	uint32_t index = zone->free_area[from].head[type];

	remove_block(zone, index, (unsigned)from);
	store_relaxed(&zone->nr_free, zone->nr_free - (1u << order));
	index = split_down(zone, index, (unsigned)from, order, type);
	store_relaxed(&zone->m->pages[index].flags,
		      zone->flags | (mark_taken(zone, index, 1u << order) ? ONDOL_PG_ZEROED : 0));
	return index;
}

/* Chop `nr` blocks of `order` off one run and push them so that the lowest is popped first. */
static void push_run(struct ondol_zone *zone, uint32_t index, unsigned order, uint32_t nr,
		     unsigned type, struct pcp_list *list)
{
	uint32_t flags = zone->flags | ONDOL_PG_PCP | order << ONDOL_PG_ORDER_SHIFT |
			 type << ONDOL_PG_TYPE_SHIFT;
	struct ondol_page *page = &zone->m->pages[index];
	uint32_t step = 1u << order, at = index;

	if (mark_taken(zone, index, nr << order))
		flags |= ONDOL_PG_ZEROED;
	for (uint32_t i = 0; i < nr; i++, page += step) {
		at += step;
		store_relaxed(&page->flags, flags);
		page->buddy.next = i + 1 < nr ? at : list->head;
	}
	list->head = index;
	list->nr += nr;
	add_relaxed(&zone->nr_splits, nr - 1);
}

uint32_t buddy_take_many(struct ondol_zone *zone, unsigned order, unsigned type, uint32_t want,
			 struct pcp_list *list)
{
	uint32_t got = 0;

	while (got < want) {
		unsigned most = order + log2_u64(want - got);
		int from = find_order(zone, order, type);

		if (from < 0)
			break;
		uint32_t index = zone->free_area[from].head[type];

		remove_block(zone, index, (unsigned)from);
		if ((unsigned)from > most) {
			index = split_down(zone, index, (unsigned)from, most, type);
			from = (int)most;
		}
		push_run(zone, index, order, 1u << ((unsigned)from - order), type, list);
		got += 1u << ((unsigned)from - order);
	}
	store_relaxed(&zone->nr_free, zone->nr_free - (got << order));
	return got;
}

/* Without a map: is the block at `index` free, whole and of this zone? */
static inline bool is_free_buddy(const struct ondol_zone *zone, uint32_t index, unsigned order)
{
	const uint32_t mask = ((1u << ZONE_ID_BITS) - 1) << ONDOL_PG_ZONE_SHIFT | ONDOL_PG_BUDDY |
			      ONDOL_PG_ORDER_MASK << ONDOL_PG_ORDER_SHIFT;

	/* Not the zone's: nobody merges past its ends, nor reads past the array's. */
	if (index < zone->start || index >= zone->end)
		return false;
	return (load_relaxed(&zone->m->pages[index].flags) & mask) ==
	       (zone->flags | ONDOL_PG_BUDDY | order << ONDOL_PG_ORDER_SHIFT);
}

/* zone.nr_free is the caller's. */
static inline void merge_and_link(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	unsigned given = order, top = max_order(zone);

	for (; order < top; order++) {
		uint32_t buddy = index ^ (1u << order);

		if (zone->free_area[order].map ? flip_pair(zone, index, order) :
						 !is_free_buddy(zone, buddy, order))
			break;
		unlink_block(zone, buddy, order);
		index &= ~(1u << order);
	}
	if (order > given)
		add_relaxed(&zone->nr_merges, order - given);
	link_block(zone, index, order, buddy_block_type(zone, index));
}

void buddy_give(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	store_relaxed(&zone->nr_free, zone->nr_free + (1u << order));
	merge_and_link(zone, index, order);
}

void buddy_give_deferred(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	store_relaxed(&zone->deferred, zone->deferred - (1u << order));
	merge_and_link(zone, index, order);
}

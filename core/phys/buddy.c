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
 *   buddy's record instead, as Linux has done since 2.6.11; x86_64 does so for order 0, where the
 *   two records are one cache line anyway and the bits would be half of the map (map_from).
 *
 *   Lists are kept per migrate type.  A pageblock is the unit in which memory changes its
 *   type; an allocation that finds nothing of its own type takes the largest block of
 *   another, and the whole pageblock with it when most of that is free.
 *
 *   When to merge is the profile's policy (D8).  `eager`: at once, as above.  `delay2` (Barkley
 *   and Lee): a freed block of an order that is in demand goes on a list of *local* blocks as it
 *   is, its pair's bit untouched, so that its buddy takes it for one in use; the slack between
 *   blocks out and blocks local says when to merge one, or two (give_delayed).  `pcp`: per-CPU
 *   lists (pcp.c) hold back what is hot, shelves (shelf.c) single frames until their pageblock
 *   is whole.  A zone that falls below its high watermark puts nothing off; below the low one,
 *   and before anything is refused, all that was put off is merged.
 *
 * 4 Invariants.
 *   [BUDDY-1] A free block begins at a multiple of its size and lies in its zone (D6).
 *   [BUDDY-2] free_area[k].nr_free counts the blocks on the lists of order k, and zone.nr_free
 *             the frames of all of them, on shelves, and those deferred.
 *   [BUDDY-3] Merging is complete: no two free buddies are on lists, local ones apart, below the
 *             highest order (D6).
 *   [BUDDY-4] A map bit is 1 exactly when one block of its pair is on a list, not local (D5).
 *   [BUDDY-5] The links of a list agree; the head of a block on it is marked BUDDY, has the
 *             list's order and type, no reference and no use.
 *   [BUDDY-6] Only a block that was handed out comes back: its head has a reference and a use.
 *   [BUDDY-7] It comes back with the order it was handed out with.
 *   [BUDDY-8] It is a frame of this machine, neither a hole nor a reserved one.
 *   [BUDDY-9] Every frame is in one place: reserved, in an allocated block, on a per-CPU list
 *             on a shelf or in a free block.
 *   [LAZY-1]  The blocks marked LOCAL are those on the local lists, and nr_local counts them.
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
 *   Barkley and Lee, "A lazy buddy system bounded by two coalescing delays per class", SOSP
 *   1989; Linux mm/page_alloc.c; Gorman and Whitcroft, "The what, the why and the where to of
 *   anti-fragmentation", OLS 2006.  Linux keeps no map, and its order is in page->private.
 */
#include "phys/buddy.h"

#include "base/bitmap.h"
#include "base/math.h"
#include "phys/order.h"
#include "phys/shelf.h"

#define NIL ONDOL_PAGE_NIL
#define GATHER_BATCH 64 /* small blocks put on shelves at once when those are bare */

static unsigned max_order(const struct ondol_zone *zone)
{
	return zone->m->phys->max_order;
}

static bool has_map(const struct ondol_zone *zone, unsigned order)
{
	const struct ondol_profile *profile = zone->m->profile;

	return profile->map_bitmap && order >= profile->map_from && order < max_order(zone);
}

/* Words of one order's map: pairs are counted from the pair that holds the zone's start. */
static uint64_t map_words(const struct ondol_zone *zone, unsigned order)
{
	uint32_t pairs = order_nr_pairs(zone->start, zone->end, order);

	return bitmap_bytes(pairs) / sizeof(uint32_t);
}

uint64_t buddy_map_bytes(const struct ondol_zone *zone)
{
	uint64_t words = 0;

	for (unsigned order = 0; zone->start != zone->end && order < max_order(zone); order++)
		words += has_map(zone, order) ? map_words(zone, order) : 0;
	return words * sizeof(uint32_t);
}

void buddy_init(struct ondol_zone *zone, uint32_t *map_room)
{
	for (unsigned order = 0; order < ONDOL_MAX_ORDERS; order++) {
		struct free_area *area = &zone->free_area[order];

		for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++)
			area->head[type] = area->local[type] = NIL;
		area->nr_free = area->nr_local = area->nr_out = 0;
		area->map = NULL;
		if (!has_map(zone, order))
			continue;
		area->map = map_room;
		if (!zone->m->phys->memory_is_zeroed)
			__builtin_memset(map_room, 0, map_words(zone, order) * sizeof(uint32_t));
		map_room += map_words(zone, order);
	}
}

static bool flip_pair(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	return bitmap_flip(zone->free_area[order].map, order_pair(zone->start, index, order));
}

unsigned buddy_block_type(const struct ondol_zone *zone, uint32_t index)
{
	unsigned order = zone->m->phys->pageblock_order;

	if (!zone->pageblock_type)
		return 0;
	return zone->pageblock_type[(index >> order) - (zone->start >> order)];
}

void buddy_set_block_type(struct ondol_zone *zone, uint32_t index, unsigned type)
{
	unsigned order = zone->m->phys->pageblock_order;
	uint32_t block = (index >> order) - (zone->start >> order);

	zone->pageblock_type[block] = (uint8_t)type;
	shelf_retype(zone, block, type);
}

/*
 * Mark the frames [index, index + nr) as taken; true: none of them was before, so with memory
 * that began zeroed they still are, and the port hears of it.  Whole words where possible: a
 * refill is one or two.
 */
static bool mark_taken(struct ondol_zone *zone, uint32_t index, uint32_t nr)
{
	const struct ondol_port *port = zone->m->port;
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
	if (!before && port->first_use)
		port->first_use(port->ctx, (ondol_pfn_t){ zone->m->first_pfn + index }, nr);
	return !before;
}

void buddy_forget_taken(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	for (uint32_t i = 0; i < 1u << order; i++)
		bitmap_clear(zone->taken, index - zone->start + i);
}

static inline uint32_t *list_head(struct free_area *area, unsigned type, bool local)
{
	return local ? &area->local[type] : &area->head[type];
}

/* List surgery alone: neither map nor zone.nr_free.  `local`: ONDOL_PG_LOCAL or 0. */
static inline void link_block(struct ondol_zone *zone, uint32_t index, unsigned order,
			      unsigned type, uint32_t local)
{
	struct free_area *area = &zone->free_area[order];
	struct ondol_page *pages = zone->m->pages, *page = &pages[index];
	uint32_t *head = list_head(area, type, local), next = *head;

	store_relaxed(&page->flags,
		      zone->flags | ONDOL_PG_BUDDY | local | order << ONDOL_PG_ORDER_SHIFT);
	page->buddy.next = next;
	page->buddy.prev = NIL;
	page->buddy.migrate_type = (uint8_t)type;
	if (next != NIL)
		pages[next].buddy.prev = index;
	*head = index;
	area->nr_free++;
}

/* ONDOL_PG_LOCAL if it was not merged yet. */
static inline uint32_t unlink_block(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	struct free_area *area = &zone->free_area[order];
	struct ondol_page *pages = zone->m->pages, *page = &pages[index];
	uint32_t next = page->buddy.next, prev = page->buddy.prev;
	uint32_t local = page->flags & ONDOL_PG_LOCAL;

	ONDOL_VERIFY(zone->m, page->flags & ONDOL_PG_BUDDY, "BUDDY-5", index, order);
	if (prev == NIL)
		*list_head(area, page->buddy.migrate_type, local) = next;
	else
		pages[prev].buddy.next = next;
	if (next != NIL)
		pages[next].buddy.prev = prev;
	area->nr_free--;
	store_relaxed(&page->flags, zone->flags);
	return local;
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

		link_block(zone, upper ? index : half, from, type, 0);
		if (zone->free_area[from].map)
			flip_pair(zone, index, from);
		if (upper)
			index = half;
	}
	return index;
}

void buddy_remove(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	if (unlink_block(zone, index, order)) {
		zone->free_area[order].nr_local--;
		zone->nr_local--;
	} else if (zone->free_area[order].map) {
		flip_pair(zone, index, order);
	}
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

	if (shelf_is_on(zone))
		nr_free = zone->shelves.shelf[shelf_of(zone, index)].nr;
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
		link_block(zone, at, order, type, unlink_block(zone, at, order));
		nr_free += 1u << order;
		at += 1u << order;
	}
	if (nr_free >= 1u << (block_order - (block_order > 0)))
		buddy_set_block_type(zone, index, type);
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
					buddy_set_block_type(zone, index + i, type);
			} else if ((unsigned)from >= block_order / 2 || type != MIGRATE_MOVABLE) {
				claim_pageblock(zone, index, type);
				return true;
			}
			link_block(zone, index, (unsigned)from, type,
				   unlink_block(zone, index, (unsigned)from));
			return true;
		}
	}
	return false;
}

/* ------------------------------------------------------------------ taking */

/* The smallest order with a block of the type that is at least `order`, or -1. */
static int smallest_with(const struct ondol_zone *zone, unsigned order, unsigned type)
{
	for (unsigned at = order; at <= max_order(zone); at++)
		if ((zone->free_area[at].head[type] & zone->free_area[at].local[type]) != NIL)
			return (int)at;
	return -1;
}

/*
 * The index of a block of at least `order`, off all lists, and its order; NIL: there is none.
 * In turn: the type's lists, its shelves; what merging may bring; the same of other types.
 */
static uint32_t find_block(struct ondol_zone *zone, unsigned order, unsigned type,
			   unsigned *out_order)
{
	int from = smallest_with(zone, order, type);
	uint32_t index;

	*out_order = order;
	if (from < 0 && order < SHELF_ORDER && zone->shelves.frames) {
		index = shelf_take_block(zone, order, type);
		if (index != NIL)
			return index;
	}
	if (from < 0 && zone->nr_local) {
		buddy_merge_all(zone);
		from = smallest_with(zone, order, type);
	}
	if (from < 0 && steal(zone, order, type))
		from = smallest_with(zone, order, type);
	if (from < 0) {
		index = NIL;
		for (unsigned other = 0; other < NR_MIGRATE_TYPES && index == NIL &&
					 order < SHELF_ORDER && !zone->deferred; other++)
			index = shelf_take_block(zone, order, other);
		return index;
	}
	index = zone->free_area[from].local[type];
	if (index == NIL)
		index = zone->free_area[from].head[type];
	buddy_remove(zone, index, (unsigned)from);
	*out_order = (unsigned)from;
	return index;
}

/* D8: memory is short; what was put off is done now. */
static void after_taking(struct ondol_zone *zone, uint32_t nr, unsigned order)
{
	zone->free_area[order].nr_out += nr;
	store_relaxed(&zone->nr_free, zone->nr_free - (nr << order));
	if (ondol_unlikely(zone->nr_free < zone->watermark[WMARK_LOW]))
		buddy_merge_all(zone);
}

uint32_t buddy_take(struct ondol_zone *zone, unsigned order, unsigned type)
{
	unsigned from;
	uint32_t index = find_block(zone, order, type, &from);

	if (index == NIL)
		return NIL;
	index = split_down(zone, index, from, order, type);
	store_relaxed(&zone->m->pages[index].flags,
		      zone->flags | (mark_taken(zone, index, 1u << order) ? ONDOL_PG_ZEROED : 0));
	after_taking(zone, 1, order);
	return index;
}

static uint32_t pcp_flags(const struct ondol_zone *zone, unsigned order, unsigned type)
{
	return zone->flags | ONDOL_PG_PCP | order << ONDOL_PG_ORDER_SHIFT |
	       type << ONDOL_PG_TYPE_SHIFT;
}

/* Chop `nr` blocks of `order` off one run, before *end downwards, the lowest last. */
static void push_run(struct ondol_zone *zone, uint32_t index, unsigned order, uint32_t nr,
		     unsigned type, uint32_t *end)
{
	uint32_t flags = pcp_flags(zone, order, type);

	if (mark_taken(zone, index, nr << order))
		flags |= ONDOL_PG_ZEROED;
	for (uint32_t i = 0; i < nr; i++, index += 1u << order) {
		store_relaxed(&zone->m->pages[index].flags, flags);
		*--end = index;
	}
	add_relaxed(&zone->nr_splits, nr - 1);
}

/* A block from the lists onto its pageblock's shelf, which may be whole then. */
static void to_shelf(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	uint32_t shelf;

	buddy_remove(zone, index, order);
	shelf = shelf_put_block(zone, index, order);
	if (zone->shelves.shelf[shelf].nr < SHELF_FRAMES)
		return;
	shelf_clear(zone, shelf);
	add_relaxed(&zone->nr_merges, 1);
	buddy_insert(zone, shelf_start(zone, shelf), SHELF_ORDER);
}

/* Up to `most` blocks of the type, the smallest first.  Returns `most` less those. */
static uint32_t gather(struct ondol_zone *zone, unsigned type, uint32_t most)
{
	for (unsigned order = 0; order < SHELF_ORDER; order++) {
		uint32_t *head = &zone->free_area[order].head[type];

		for (; *head != NIL && most; most--)
			to_shelf(zone, *head, order);
	}
	return most;
}

/* The shelf that single frames come from next, filled if need be; NIL: nothing is free. */
static uint32_t find_shelf(struct ondol_zone *zone, unsigned type)
{
	uint32_t shelf = shelf_fullest(zone, type), index;
	unsigned order;

	if (shelf == NIL && gather(zone, type, GATHER_BATCH) < GATHER_BATCH)
		shelf = shelf_fullest(zone, type);
	if (shelf != NIL)
		return shelf;
	index = find_block(zone, 0, type, &order);
	if (index == NIL)
		return NIL;
	if (order > SHELF_ORDER) {
		index = split_down(zone, index, order, SHELF_ORDER, type);
		order = SHELF_ORDER;
	}
	add_relaxed(&zone->nr_splits, order > 0); /* at once, whatever the order */
	return shelf_put_block(zone, index, order);
}

static uint32_t take_frames(struct ondol_zone *zone, unsigned type, uint32_t want, uint32_t *end)
{
	uint32_t flags = pcp_flags(zone, 0, type), shelf, got = 0;

	while (got < want && (shelf = find_shelf(zone, type)) != NIL) {
		uint32_t nr = shelf_take(zone, shelf, want - got, end);

		/* Perhaps another CPU freed them: all their records at once, not in turn. */
		for (uint32_t i = 1; i <= nr; i++)
			__builtin_prefetch(&zone->m->pages[end[-(ptrdiff_t)i]], 1);
		for (; nr; nr--, got++) {
			uint32_t index = *--end;

			store_relaxed(&zone->m->pages[index].flags,
				      flags | (mark_taken(zone, index, 1) ? ONDOL_PG_ZEROED : 0));
		}
	}
	return got;
}

static uint32_t take_blocks(struct ondol_zone *zone, unsigned order, unsigned type, uint32_t want,
			    uint32_t *end)
{
	uint32_t got = 0;

	while (got < want) {
		unsigned most = order + log2_u64(want - got), from;
		uint32_t index = find_block(zone, order, type, &from), nr;

		if (index == NIL)
			break;
		if (from > most) {
			index = split_down(zone, index, from, most, type);
			from = most;
		}
		nr = 1u << (from - order);
		push_run(zone, index, order, nr, type, end);
		end -= nr;
		got += nr;
	}
	return got;
}

uint32_t buddy_take_many(struct ondol_zone *zone, unsigned order, unsigned type, uint32_t want,
			 uint32_t *out)
{
	uint32_t got = order || !shelf_is_on(zone) ?
			       take_blocks(zone, order, type, want, out + want) :
			       take_frames(zone, type, want, out + want);

	if (ondol_unlikely(got < want))
		__builtin_memmove(out, out + want - got, got * sizeof *out);
	after_taking(zone, got, order);
	return got;
}

/* Is the block at `index` free, whole, of this zone and on the merged list? */
static inline bool is_free_buddy(const struct ondol_zone *zone, uint32_t index, unsigned order)
{
	const uint32_t mask = ((1u << ZONE_ID_BITS) - 1) << ONDOL_PG_ZONE_SHIFT | ONDOL_PG_BUDDY |
			      ONDOL_PG_LOCAL | ONDOL_PG_ORDER_MASK << ONDOL_PG_ORDER_SHIFT;

	/* Not the zone's: nobody merges past its ends, nor reads past the array's. */
	if (index < zone->start || index >= zone->end)
		return false;
	return (load_relaxed(&zone->m->pages[index].flags) & mask) ==
	       (zone->flags | ONDOL_PG_BUDDY | order << ONDOL_PG_ORDER_SHIFT);
}

uint32_t buddy_block_around(const struct ondol_zone *zone, uint32_t index, unsigned *out_order)
{
	for (unsigned order = 0; order <= max_order(zone); order++) {
		uint32_t head = index & ~((1u << order) - 1);

		if (!is_free_buddy(zone, head, order))
			continue;
		*out_order = order;
		return head;
	}
	return NIL;
}

/* Frames off all lists go back, in the largest aligned blocks there are. */
static void give_frames(struct ondol_zone *zone, uint32_t from, uint32_t to)
{
	while (from < to) {
		unsigned order = log2_u64(to - from);

		if (from && order > (unsigned)__builtin_ctz(from))
			order = (unsigned)__builtin_ctz(from);
		buddy_insert(zone, from, order);
		from += 1u << order;
	}
}

uint32_t buddy_take_range(struct ondol_zone *zone, uint32_t start, uint32_t end)
{
	unsigned order;
	uint32_t at;

	buddy_merge_all(zone);
	for (at = start; at < end; at++)
		if (!shelf_has(zone, at) && buddy_block_around(zone, at, &order) == NIL)
			return at;
	for (at = start; at < end;) {
		uint32_t head = shelf_has(zone, at) ? NIL : buddy_block_around(zone, at, &order);

		if (head == NIL) {
			shelf_remove(zone, at++, 0);
			continue;
		}
		buddy_remove(zone, head, order);
		at = head + (1u << order);
		give_frames(zone, head, start);
		give_frames(zone, end, at);
	}
	for (at = start; at < end; at++)
		store_relaxed(&zone->m->pages[at].flags,
			      zone->flags | (mark_taken(zone, at, 1) ? ONDOL_PG_ZEROED : 0));
	after_taking(zone, end - start, 0);
	return NIL;
}

/* ------------------------------------------------------------------ giving back */

void buddy_insert(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	unsigned given = order, top = max_order(zone);

	for (; order < top; order++) {
		uint32_t buddy = order_buddy(index, order);

		if (zone->free_area[order].map ? flip_pair(zone, index, order) :
						 !is_free_buddy(zone, buddy, order))
			break;
		unlink_block(zone, buddy, order);
		index &= ~(1u << order);
	}
	if (order > given)
		add_relaxed(&zone->nr_merges, order - given);
	link_block(zone, index, order, buddy_block_type(zone, index), 0);
}

static bool is_plenty(const struct ondol_zone *zone)
{
	return zone->nr_free > zone->watermark[WMARK_HIGH];
}

/* A local block becomes one like any other. */
static void merge_local(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	buddy_remove(zone, index, order);
	buddy_insert(zone, index, order);
}

static void merge_one_local(struct ondol_zone *zone, unsigned order)
{
	const struct free_area *area = &zone->free_area[order];

	for (unsigned type = 0; type < NR_MIGRATE_TYPES && area->nr_local; type++) {
		if (area->local[type] == NIL)
			continue;
		merge_local(zone, area->local[type], order);
		return;
	}
}

/*
 * Barkley and Lee: slack = N - 2L - G, with N blocks of the order, L of them free but not merged
 * (local) and G free and merged; which is blocks out less L.
 *
 *	slack >= 2   lazy: this one becomes local, and no more is done
 *	slack == 1   reclaiming: it is merged
 *	slack == 0   accelerated: it is merged, and a local one too
 */
static void give_delayed(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	struct free_area *area = &zone->free_area[order];
	uint32_t slack = area->nr_out > area->nr_local ? area->nr_out - area->nr_local : 0;

	if (slack >= 2 && order < max_order(zone) && is_plenty(zone)) {
		link_block(zone, index, order, buddy_block_type(zone, index), ONDOL_PG_LOCAL);
		area->nr_local++;
		zone->nr_local++;
		return;
	}
	buddy_insert(zone, index, order);
	if (slack == 0)
		merge_one_local(zone, order);
	if (zone->nr_local && !is_plenty(zone))
		buddy_merge_all(zone);
}

/* zone.nr_free is the caller's. */
static inline void give_one(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	if (zone->m->profile->lazy == ONDOL_LAZY_DELAY2)
		give_delayed(zone, index, order);
	else
		buddy_insert(zone, index, order);
	if (zone->free_area[order].nr_out)
		zone->free_area[order].nr_out--;
}

void buddy_give(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	store_relaxed(&zone->nr_free, zone->nr_free + (1u << order));
	give_one(zone, index, order);
}

/* Frames that came back one by one; their records are plain ones. */
static void give_to_shelves(struct ondol_zone *zone, const uint32_t *index, uint32_t nr)
{
	for (uint32_t done = 0; done < nr; done++) {
		done += shelf_put(zone, index + done, nr - done);
		if (ondol_likely(done == nr))
			return;
		add_relaxed(&zone->nr_merges, 1);
		buddy_insert(zone, index[done] & ~(SHELF_FRAMES - 1), SHELF_ORDER);
	}
}

void buddy_give_many(struct ondol_zone *zone, const uint32_t *index, uint32_t nr, unsigned order)
{
	bool shelve = !order && shelf_is_on(zone) && is_plenty(zone);

	for (uint32_t i = 0; i < nr; i++) {
		struct ondol_page *page = &zone->m->pages[index[i]];
		uint32_t flags = page->flags;

		ONDOL_VERIFY(zone->m, flags & ONDOL_PG_PCP, "PCP-1", index[i], order);
		if (ondol_unlikely(flags & ONDOL_PG_ZEROED))
			buddy_forget_taken(zone, index[i], order);
		store_relaxed(&page->flags, zone->flags);
		if (!shelve)
			give_one(zone, index[i], order);
		else
			shelf_prefetch(zone, index[i]);
	}
	if (shelve)
		give_to_shelves(zone, index, nr);
	store_relaxed(&zone->nr_free, zone->nr_free + (nr << order));
}

/* Where frames came back singly, the runs that were not put as blocks have merged. */
static void empty_shelf(struct ondol_zone *zone, uint32_t shelf)
{
	uint32_t nr_runs = 0, nr_blocks = zone->shelves.shelf[shelf].blocks;
	bool fed = zone->shelves.shelf[shelf].fed;
	unsigned at = 0, order;

	for (; shelf_next_run(zone, shelf, at, &at, &order); at += 1u << order) {
		nr_runs += order > 0;
		buddy_insert(zone, shelf_start(zone, shelf) + at, order);
	}
	if (fed && nr_runs > nr_blocks)
		add_relaxed(&zone->nr_merges, nr_runs - nr_blocks);
	shelf_clear(zone, shelf);
}

void buddy_empty_shelves(struct ondol_zone *zone)
{
	uint32_t shelf;

	for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++)
		while ((shelf = shelf_fullest(zone, type)) != NIL)
			empty_shelf(zone, shelf);
}

void buddy_merge_all(struct ondol_zone *zone)
{
	for (unsigned type = 0; type < NR_MIGRATE_TYPES && shelf_is_on(zone); type++)
		(void)gather(zone, type, UINT32_MAX);
	for (unsigned order = 0; order < max_order(zone) && zone->nr_local; order++)
		while (zone->free_area[order].nr_local)
			merge_one_local(zone, order);
}

void buddy_note_split(struct ondol_zone *zone, unsigned order)
{
	if (zone->free_area[order].nr_out)
		zone->free_area[order].nr_out--;
	zone->free_area[0].nr_out += 1u << order;
}

void buddy_note_pieces(struct ondol_zone *zone, unsigned order, uint32_t nr)
{
	if (zone->free_area[order].nr_out)
		zone->free_area[order].nr_out--;
	for (unsigned piece = 0; piece < order; piece++)
		zone->free_area[piece].nr_out += (nr >> piece & 1) +
						 (((1u << order) - nr) >> piece & 1);
}

void buddy_give_deferred(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	store_relaxed(&zone->deferred, zone->deferred - (1u << order));
	buddy_insert(zone, index, order);
}

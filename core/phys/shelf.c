/* SPDX-License-Identifier: MIT */
/*
 * Shelves: where free single frames wait for the rest of their pageblock (lazy policy `pcp`, D8).
 *
 * 1 What problem.  Most traffic is single frames.  Merged at once, each costs up to nine visits
 *   to the records of its buddies, and most are split again soon.  And a free list has no idea
 *   which of its frames would be the wiser to use: handed out at random, a memory once
 *   fragmented stays so.
 *
 * 2 How it works.  A pageblock (512 frames, 2 MiB) that single frames were taken from has a
 *   shelf: a bit for each of its frames that is free again.
 *
 *	bits   10011101 ...  one cache line      nr = 5
 *
 *   A frame that comes back from a CPU's list sets its bit; no record but its own is touched.
 *   When all 512 bits are set the pageblock is whole: one block of order 9, merged in one step,
 *   goes to the buddy.  A batch of single frames comes from the *fullest* pageblock, the one with
 *   the fewest free frames, so that nearly full ones fill up and nearly empty ones get the
 *   time to become whole: memory heals under churn (`frag2` of bench/phys.c).  Shelves are on
 *   lists by how many frames they hold, sixteen counts to a list, and by migrate type.
 *
 *   Larger requests take an aligned run off a shelf when the buddy has no block for them; before
 *   anything is refused, and when a zone sinks below its low watermark, all shelves are emptied
 *   into the buddy, which merges what it can.  Below the high watermark nothing is put on them.
 *
 * 3 Invariants.
 *   [SHELF-1] A bit stands for a free frame of the zone whose record is a plain one, neither in
 *             a block of the buddy's nor on a CPU's list.
 *   [SHELF-2] shelf.nr counts its bits, shelves.frames all of them; a shelf is on the list of its
 *             count and of its pageblock's type, exactly when it has a bit.
 *   [SHELF-3] No shelf is whole.
 *
 * 4 Concurrency.  All under the zone's lock.
 * 5 Sources.  Wrenger et al., "LLFree", ATC 2023 (bit fields and counters per 2 MiB, fullest
 *   first); Hoard and jemalloc choose slabs so.  What is new here: it is the lazy half of a
 *   classic buddy system.
 */
#include "phys/shelf.h"

#include "base/math.h"

#define NIL ONDOL_PAGE_NIL

static bool has_shelves(const struct ondol_zone *zone)
{
	return zone->m->profile->lazy == ONDOL_LAZY_PCP && zone->start != zone->end &&
	       zone->m->phys->max_order >= SHELF_ORDER;
}

static uint32_t nr_shelves(const struct ondol_zone *zone)
{
	return ((zone->end - 1) >> SHELF_ORDER) - (zone->start >> SHELF_ORDER) + 1;
}

uint64_t shelf_room_bytes(const struct ondol_zone *zone)
{
	if (!has_shelves(zone))
		return 0;
	return (uint64_t)nr_shelves(zone) * (SHELF_WORDS * 8 + sizeof(struct shelf));
}

void shelf_init(struct ondol_zone *zone, void *room)
{
	struct shelves *all = &zone->shelves;

	__builtin_memset(all->head, 0xff, sizeof all->head);
	if (!has_shelves(zone))
		return;
	all->first = zone->start >> SHELF_ORDER;
	all->nr = nr_shelves(zone);
	all->bits = room;
	all->shelf = (struct shelf *)(all->bits + all->nr);
	if (!zone->m->phys->memory_is_zeroed)
		__builtin_memset(room, 0, (size_t)shelf_room_bytes(zone));
}

static inline unsigned bucket_of(uint32_t nr)
{
	return (nr - 1) / (SHELF_FRAMES / SHELF_BUCKETS);
}

static unsigned block_type(const struct ondol_zone *zone, uint32_t shelf)
{
	return zone->pageblock_type ? zone->pageblock_type[shelf] : 0;
}

static void put_on_list(struct shelves *all, uint32_t at, unsigned type)
{
	struct shelf *shelf = &all->shelf[at];
	unsigned bucket = bucket_of(shelf->nr);
	uint32_t *head = &all->head[type][bucket];

	shelf->type = type & 3;
	shelf->next = *head;
	shelf->prev = NIL;
	if (*head != NIL)
		all->shelf[*head].prev = at;
	*head = at;
	all->filled[type] |= 1u << bucket;
}

/* From the list of the count that it has had. */
static void take_off_list(struct shelves *all, uint32_t at, uint32_t nr)
{
	struct shelf *shelf = &all->shelf[at];
	uint32_t *head = &all->head[shelf->type][bucket_of(nr)];

	if (shelf->next != NIL)
		all->shelf[shelf->next].prev = shelf->prev;
	if (shelf->prev != NIL)
		all->shelf[shelf->prev].next = shelf->next;
	else
		*head = shelf->next;
	if (*head == NIL)
		all->filled[shelf->type] &= ~(1u << bucket_of(nr));
}

/* Bits were set or cleared: `nr` frames are on it now. */
static inline void recount(struct ondol_zone *zone, uint32_t at, uint32_t nr)
{
	struct shelves *all = &zone->shelves;
	uint32_t before = all->shelf[at].nr;

	store_relaxed(&all->frames, all->frames + nr - before);
	all->shelf[at].nr = (uint16_t)nr;
	if (ondol_likely(before && nr && bucket_of(before) == bucket_of(nr)))
		return;
	if (before)
		take_off_list(all, at, before);
	if (nr)
		put_on_list(all, at, block_type(zone, at));
	else
		all->shelf[at].fed = 0, all->shelf[at].blocks = 0;
}

/* Does a count open a new bucket on the way up? */
static inline bool opens_bucket(uint32_t nr)
{
	return nr % (SHELF_FRAMES / SHELF_BUCKETS) == 1;
}

uint32_t shelf_put(struct ondol_zone *zone, const uint32_t *index, uint32_t nr)
{
	struct shelves *all = &zone->shelves;
	uint32_t i;

	for (i = 0; i < nr; i++) {
		uint32_t at = shelf_of(zone, index[i]), bit = index[i] & (SHELF_FRAMES - 1), count;
		uint64_t *word = &all->bits[at][bit >> 6], mask = UINT64_C(1) << (bit & 63);
		struct shelf *shelf = &all->shelf[at];

		ONDOL_VERIFY(zone->m, !(*word & mask), "SHELF-1", index[i], shelf->nr);
		*word |= mask;
		count = ++shelf->nr;
		shelf->fed = true;
		if (ondol_likely(!opens_bucket(count))) {
			if (ondol_likely(count < SHELF_FRAMES))
				continue;
			break;
		}
		if (count > 1)
			take_off_list(all, at, count - 1);
		put_on_list(all, at, block_type(zone, at));
	}
	store_relaxed(&all->frames, all->frames + i + (i < nr));
	if (i < nr)
		shelf_clear(zone, shelf_of(zone, index[i]));
	return i;
}

uint32_t shelf_put_block(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	uint32_t at = shelf_of(zone, index), bit = index & (SHELF_FRAMES - 1);
	uint64_t *word = &zone->shelves.bits[at][bit >> 6];
	uint64_t mask = order < 6 ? ((UINT64_C(1) << (1u << order)) - 1) << (bit & 63) :
				    UINT64_MAX;

	for (uint32_t i = 0; i < (order < 6 ? 1u : 1u << (order - 6)); i++) {
		ONDOL_VERIFY(zone->m, !(word[i] & mask), "SHELF-1", index, order);
		word[i] |= mask;
	}
	if (order && zone->shelves.shelf[at].blocks < SHELF_FRAMES)
		zone->shelves.shelf[at].blocks++;
	recount(zone, at, zone->shelves.shelf[at].nr + (1u << order));
	return at;
}

uint32_t shelf_fullest(const struct ondol_zone *zone, unsigned type)
{
	uint32_t filled = zone->shelves.filled[type];

	return filled ? zone->shelves.head[type][__builtin_ctz(filled)] : NIL;
}

uint32_t shelf_emptiest(const struct ondol_zone *zone, unsigned type)
{
	uint32_t filled = zone->shelves.filled[type];

	return filled ? zone->shelves.head[type][31 - __builtin_clz(filled)] : NIL;
}

uint32_t shelf_take(struct ondol_zone *zone, uint32_t shelf, uint32_t want, uint32_t *end)
{
	uint64_t *words = zone->shelves.bits[shelf];
	uint32_t start = shelf_start(zone, shelf), got = 0;

	for (unsigned i = 0; i < SHELF_WORDS && got < want; i++) {
		uint64_t word = words[i];

		for (; word && got < want; word &= word - 1)
			*--end = start + i * 64 + (uint32_t)__builtin_ctzll(word), got++;
		words[i] = word;
	}
	recount(zone, shelf, zone->shelves.shelf[shelf].nr - got);
	return got;
}

/* Bits i of the word such that i is a multiple of 2^order and 2^order bits from there are set. */
static uint64_t runs_in_word(uint64_t word, unsigned order)
{
	static const uint64_t starts[] = { UINT64_MAX, UINT64_C(0x5555555555555555),
					   UINT64_C(0x1111111111111111),
					   UINT64_C(0x0101010101010101),
					   UINT64_C(0x0001000100010001),
					   UINT64_C(0x0000000100000001), 1 };

	for (unsigned k = 0; k < order; k++)
		word &= word >> (1u << k);
	return word & starts[order];
}

/* The first aligned run of the order on the shelf, or SHELF_FRAMES. */
static unsigned find_run(const uint64_t *words, unsigned order)
{
	unsigned step = order > 6 ? 1u << (order - 6) : 1;

	for (unsigned i = 0; i < SHELF_WORDS; i += step) {
		uint64_t runs = words[i];

		for (unsigned k = 1; k < step; k++)
			runs &= words[i + k];
		runs = runs_in_word(runs, order < 6 ? order : 6);
		if (runs)
			return i * 64 + (unsigned)__builtin_ctzll(runs);
	}
	return SHELF_FRAMES;
}

uint32_t shelf_take_block(struct ondol_zone *zone, unsigned order, unsigned type)
{
	const struct shelves *all = &zone->shelves;

	for (uint32_t filled = all->filled[type]; filled;) {
		unsigned bucket = 31 - (unsigned)__builtin_clz(filled);

		filled &= ~(1u << bucket);
		for (uint32_t at = all->head[type][bucket]; at != NIL; at = all->shelf[at].next) {
			unsigned bit = find_run(all->bits[at], order);

			if (bit == SHELF_FRAMES)
				continue;
			shelf_remove(zone, shelf_start(zone, at) + bit, order);
			return shelf_start(zone, at) + bit;
		}
	}
	return NIL;
}

static bool is_set(const uint64_t *words, unsigned bit)
{
	return words[bit >> 6] >> (bit & 63) & 1;
}

static bool run_is_set(const uint64_t *words, unsigned at, unsigned order)
{
	for (unsigned i = 0; i < 1u << order; i++)
		if (!is_set(words, at + i))
			return false;
	return true;
}

bool shelf_next_run(const struct ondol_zone *zone, uint32_t shelf, unsigned from,
		    unsigned *out_at, unsigned *out_order)
{
	const uint64_t *words = zone->shelves.bits[shelf];
	unsigned order = 0;

	while (from < SHELF_FRAMES && !is_set(words, from))
		from++;
	if (from >= SHELF_FRAMES)
		return false;
	while (order < SHELF_ORDER && !(from >> order & 1) &&
	       run_is_set(words, from + (1u << order), order))
		order++;
	*out_at = from;
	*out_order = order;
	return true;
}

void shelf_count_blocks(const struct ondol_zone *zone, unsigned type, uint64_t *blocks)
{
	const struct shelves *all = &zone->shelves;

	for (uint32_t filled = all->filled[type]; filled; filled &= filled - 1) {
		uint32_t shelf = all->head[type][__builtin_ctz(filled)];

		for (; shelf != NIL; shelf = all->shelf[shelf].next) {
			unsigned at = 0, order;

			for (; shelf_next_run(zone, shelf, at, &at, &order); at += 1u << order)
				blocks[order]++;
		}
	}
}

void shelf_clear(struct ondol_zone *zone, uint32_t shelf)
{
	__builtin_memset(zone->shelves.bits[shelf], 0, sizeof zone->shelves.bits[shelf]);
	recount(zone, shelf, 0);
}

void shelf_remove(struct ondol_zone *zone, uint32_t index, unsigned order)
{
	uint32_t at = shelf_of(zone, index), bit = index & (SHELF_FRAMES - 1);

	for (uint32_t i = 0; i < 1u << order; i++, bit++)
		zone->shelves.bits[at][bit >> 6] &= ~(UINT64_C(1) << (bit & 63));
	recount(zone, at, zone->shelves.shelf[at].nr - (1u << order));
}

void shelf_retype(struct ondol_zone *zone, uint32_t shelf, unsigned type)
{
	struct shelves *all = &zone->shelves;

	if (!all->shelf || !all->shelf[shelf].nr || all->shelf[shelf].type == type)
		return;
	take_off_list(all, shelf, all->shelf[shelf].nr);
	put_on_list(all, shelf, type);
}

/* SPDX-License-Identifier: MIT */
/*
 * Every state of the 16-frame machine and every step from it (D2 to D6, C8).
 *
 * With eager merging a zone's state is the set of its free frames: which blocks there are follows
 * from it.  So all 65,536 sets are built, and from each
 *
 *	alloc   every order, once for each block that it may be split from, and one order too high
 *	free    every block that can be out: of each order, where all its frames are used
 *
 * is done by the public calls, for both split rules, with and without the map.  What must come
 * out is told by a model that knows neither lists nor merging: a block is free exactly when all
 * its frames are and those of its parent are not.
 */
#include "support/frames.h"

#include "base/bitmap.h"
#include "phys/zone.h"

#define FRAMES 16
#define ORDERS 5
#define SETS (1u << FRAMES)
#define BLOCKS (2 * FRAMES - 1)
#define ALL (SETS - 1)

/* A set of frames is the low 16 bits of a uint32_t. */

static struct toy t;
static struct ondol_zone *zone; /* DMA: frames 0 to 15, scaled down to that (C8) */
static struct ondol_profile profile;
static uint64_t nr_states, nr_allocs, nr_refused, nr_frees;

/* ------------------------------------------------------------------ the model */

static uint32_t frames_of(unsigned start, unsigned order)
{
	return ((1u << (1u << order)) - 1) << start;
}

static bool is_block(uint32_t set, unsigned start, unsigned order)
{
	uint32_t parent = order + 1 < ORDERS ?
				  frames_of(start & ~((2u << order) - 1), order + 1) : SETS;

	return !(frames_of(start, order) & ~set) && parent & ~set;
}

static uint32_t blocks[SETS][ORDERS]; /* the free ones of each order: a bit for each start */

static void find_blocks(void)
{
	for (uint32_t set = 0; set < SETS; set++)
		for (unsigned order = 0; order < ORDERS; order++)
			for (unsigned start = 0; start < FRAMES; start += 1u << order)
				if (is_block(set, start, order))
					blocks[set][order] |= 1u << start;
}

/* The smallest order with a block that is large enough; ORDERS: none. */
static unsigned source_order(uint32_t set, unsigned order)
{
	while (order < ORDERS && !blocks[set][order])
		order++;
	return order;
}

/* The order of the free block that holds the frame. */
static unsigned order_around(uint32_t set, unsigned frame)
{
	unsigned order = 0;

	while (!is_block(set, frame & ~((1u << order) - 1), order))
		order++;
	return order;
}

/* ------------------------------------------------------------------ the machine */

/* What of the machine a step can change. */
struct image {
	struct ondol_zone zone;
	struct zone_pcp pcp; /* its counters */
	struct ondol_page pages[FRAMES];
	uint32_t map[ORDERS - 1];
};

static struct image all_used;           /* all frames out one by one */
static struct image block_out[BLOCKS];  /* one block out as a whole, the others one by one */
static struct { uint8_t start, order; } block[BLOCKS];

static void save(struct image *to)
{
	to->zone = *zone;
	to->pcp = zone->pcp[0];
	memcpy(to->pages, t.m->pages, sizeof to->pages);
	for (unsigned order = 0; profile.map_bitmap && order + 1 < ORDERS; order++)
		to->map[order] = *zone->free_area[order].map;
}

static void restore(const struct image *from)
{
	*zone = from->zone;
	zone->pcp[0] = from->pcp;
	memcpy(t.m->pages, from->pages, sizeof from->pages);
	for (unsigned order = 0; profile.map_bitmap && order + 1 < ORDERS; order++)
		*zone->free_area[order].map = from->map[order];
}

static struct ondol_page *take(unsigned order)
{
	return ondol_alloc_pages(t.m, ONDOL_GFP_DMA | ONDOL_GFP_MEMALLOC | ONDOL_GFP_NOWARN,
				 order);
}

static void give(uint32_t set)
{
	for (; set; set &= set - 1)
		ondol_free_pages(t.m, &t.m->pages[__builtin_ctz(set)], 0);
}

static void machine_begin(bool upper, bool map)
{
	const struct ondol_mem_region all[] = { USABLE(0, 256 * 4096, 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, &profile);
	unsigned nr = 0;

	profile = ondol_profile_toy16;
	profile.split_hands_out_upper = upper;
	profile.map_bitmap = map;
	profile.zone_end[ONDOL_ZONE_DMA] = FRAMES * 4096;
	frames_init(&t, &desc);
	ondol_drain_all_pages(t.m);
	zone = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_DMA)];
	assert_int_equal(zone->start, 0);
	assert_int_equal(zone->managed, FRAMES);
	assert_int_equal(zone->nr_free, FRAMES);
	for (unsigned i = 0; i < FRAMES; i++)
		assert_non_null(take(0));
	save(&all_used);
	for (unsigned order = 0; order < ORDERS; order++)
		for (unsigned start = 0; start < FRAMES; start += 1u << order, nr++) {
			block[nr].start = (uint8_t)start;
			block[nr].order = (uint8_t)order;
			restore(&all_used);
			give(frames_of(start, order));
			assert_ptr_equal(take(order), &t.m->pages[start]);
			save(&block_out[nr]);
		}
	assert_int_equal(nr, BLOCKS);
}

/* ------------------------------------------------------------------ machine = model? */

/* The starts of the blocks on an order's list, whose links are looked at. */
static uint32_t list_of(unsigned order)
{
	uint32_t starts = 0, prev = ONDOL_PAGE_NIL, nr = 0;

	for (uint32_t at = zone->free_area[order].head[0]; at != ONDOL_PAGE_NIL;
	     at = t.m->pages[at].buddy.next) {
		const struct ondol_page *page = &t.m->pages[at];

		if (at >= FRAMES || starts >> at & 1 || page->buddy.prev != prev ||
		    !(page->flags & ONDOL_PG_BUDDY) || page_order(page) != order ||
		    page->refcount || page_use(page) != ONDOL_PAGE_FREE)
			return SETS; /* no list */
		starts |= 1u << at;
		prev = at;
		nr++;
	}
	return nr == zone->free_area[order].nr_free ? starts : SETS;
}

static uint32_t map_of(uint32_t starts, unsigned order)
{
	uint32_t bits = 0;

	for (; starts; starts &= starts - 1)
		bits ^= 1u << ((unsigned)__builtin_ctz(starts) >> (order + 1));
	return bits;
}

static void assert_state(uint32_t set)
{
	for (unsigned order = 0; order < ORDERS; order++) {
		uint32_t want = blocks[set][order], got = list_of(order);
		uint32_t *map = zone->free_area[order].map;

		if (got != want)
			fail_msg("free %#x: order %u has blocks %#x, not %#x", set, order, got,
				 want);
		if (map && *map != map_of(want, order)) /* D5 */
			fail_msg("free %#x: map of order %u is %#x", set, order, *map);
	}
	if (zone->nr_free != (unsigned)__builtin_popcount(set))
		fail_msg("free %#x: %u frames counted", set, zone->nr_free);
}

static void assert_out(const struct ondol_page *page, unsigned order, uint32_t set)
{
	if (page->refcount != 1 || page_order(page) != order ||
	    page_use(page) != ONDOL_PAGE_KERNEL || page->flags & ONDOL_PG_BUDDY)
		fail_msg("free %#x: handed out with flags %#x", set, page->flags);
}

/* ------------------------------------------------------------------ steps */

/* From the block that was freed last, D7: its lower half again and again, or its upper one. */
static void alloc_step(uint32_t set, unsigned order, unsigned start, unsigned from)
{
	unsigned long splits = zone->nr_splits;
	unsigned got = start + (profile.split_hands_out_upper ? (1u << from) - (1u << order) : 0);
	struct ondol_page *page = take(order);

	if (page != &t.m->pages[got])
		fail_msg("free %#x: order %u from %u is not %u", set, order, start, got);
	if (zone->nr_splits - splits != from - order)
		fail_msg("free %#x: order %u after %lu splits", set, order,
			 zone->nr_splits - splits);
	assert_out(page, order, set);
	assert_state(set & ~frames_of(got, order));
	nr_allocs++;
}

/* D4: an order too high among them. */
static void refused_step(uint32_t set, unsigned order)
{
	struct ondol_refusal why;

	if (take(order))
		fail_msg("free %#x: there is no order %u", set, order);
	ondol_last_refusal(t.m, &why);
	if (why.order != order || !why.reason)
		fail_msg("free %#x: order %u refused without a reason", set, order);
	assert_state(set);
	nr_refused++;
}

static void allocs_from(uint32_t set)
{
	struct image before;

	for (unsigned from = 0; from < ORDERS; from++)
		for (uint32_t starts = blocks[set][from]; starts; starts &= starts - 1) {
			unsigned start = (unsigned)__builtin_ctz(starts);
			uint32_t last = frames_of(start, from);

			restore(&all_used);
			give(set & ~last);
			give(last);
			save(&before);
			for (unsigned order = 0; order <= from; order++) {
				if (source_order(set, order) != from)
					continue;
				restore(&before);
				alloc_step(set, order, start, from);
			}
		}
	restore(&all_used);
	give(set);
	for (unsigned order = 0; order <= ORDERS; order++)
		if (source_order(set, order) >= ORDERS)
			refused_step(set, order);
}

static void frees_from(uint32_t set)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		uint32_t frames = frames_of(block[i].start, block[i].order);
		unsigned long merges;

		if (set & frames)
			continue;
		restore(&block_out[i]);
		give(set);
		merges = zone->nr_merges;
		ondol_free_pages(t.m, &t.m->pages[block[i].start], block[i].order);
		assert_state(set | frames);
		merges = zone->nr_merges - merges;
		if (merges != order_around(set | frames, block[i].start) - block[i].order)
			fail_msg("free %#x: %u of order %u after %lu merges", set, block[i].start,
				 block[i].order, merges);
		nr_frees++;
	}
}

static void every_state(bool upper, bool map)
{
	nr_states = nr_allocs = nr_refused = nr_frees = 0;
	machine_begin(upper, map);
	for (uint32_t set = 0; set < SETS; set++) {
		restore(&all_used);
		give(set);
		assert_state(set);
		assert_valid(t.m);
		nr_states++;
		allocs_from(set);
		frees_from(set);
	}
	restore(&all_used);
	give(ALL);
	print_message("# %s half, %s map: %llu states; %llu allocations, %llu refused, %llu "
		      "frees\n", upper ? "upper" : "lower", map ? "with" : "without",
		      (unsigned long long)nr_states, (unsigned long long)nr_allocs,
		      (unsigned long long)nr_refused, (unsigned long long)nr_frees);
	frames_fini(&t);
	assert_int_equal(nr_states, 65536);
	/* For each of the 31 blocks, the sets without its frames. */
	assert_int_equal(nr_frees, 16 * 32768 + 8 * 16384 + 4 * 4096 + 2 * 256 + 1);
	assert_int_equal(nr_allocs, 381065);
	assert_int_equal(nr_refused, 253283);
}

static void lower_half_map(void **state)
{
	(void)state;
	every_state(false, true);
}

static void lower_half_no_map(void **state)
{
	(void)state;
	every_state(false, false);
}

static void upper_half_map(void **state)
{
	(void)state;
	every_state(true, true);
}

static void upper_half_no_map(void **state)
{
	(void)state;
	every_state(true, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lower_half_map),
		cmocka_unit_test(lower_half_no_map),
		cmocka_unit_test(upper_half_map),
		cmocka_unit_test(upper_half_no_map),
	};

	find_blocks();
	return cmocka_run_group_tests_name("buddy_states", tests, NULL, NULL);
}

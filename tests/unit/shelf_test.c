/* SPDX-License-Identifier: MIT */
/* Shelves: single frames wait for their pageblock (D8), and the fullest gives first. */
#include "support/frames.h"

#include "phys/pcp.h"
#include "phys/shelf.h"
#include "phys/zone.h"

static struct toy t;
static struct ondol_zone *zone;

static void begin(uint64_t mib, const struct ondol_profile *profile)
{
	const struct ondol_mem_region all[] = { USABLE(0, mib << 20, 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, profile);

	frames_init(&t, &desc);
	ondol_drain_all_pages(t.m);
	zone = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_DMA32)];
}

/* Give back to the zone, not to the CPU's lists, and leave the shelves as they are. */
static void to_shelves(void)
{
	pcp_drain(zone, &zone->pcp[0]);
}

static uint32_t fill(struct hoard *h, uint32_t pages)
{
	while (h->nr < pages)
		assert_true(hoard_one(&t, h, -1, ONDOL_GFP_KERNEL));
	return (uint32_t)h->nr;
}

/* Only the runs of a pageblock that is not whole lie on its shelf; whole, it is one block. */
static void whole_again(void **state)
{
	struct hoard h = { .order = 0 };
	uint64_t merges;

	(void)state;
	begin(512, NULL);
	uint32_t huge = zone->free_area[9].nr_free + 2 * zone->free_area[10].nr_free;

	fill(&h, 5000);
	merges = machine_stats(&t).nr_merges;
	while (h.nr > 2500)
		ondol_free_pages(t.m, h.page[--h.nr], 0);
	to_shelves();
	assert_valid(t.m);
	assert_in_range(zone->shelves.frames, 1, 2 * SHELF_FRAMES);
	/* Each of the four or five pageblocks merged in one step, and perhaps to order 10. */
	assert_in_range(machine_stats(&t).nr_merges - merges, 4, 12);
	hoard_free(&t, &h);
	to_shelves();
	ondol_drain_all_pages(t.m);
	assert_int_equal(zone->shelves.frames, 0);
	assert_int_equal(zone->free_area[9].nr_free + 2 * zone->free_area[10].nr_free, huge);
	frames_fini(&t);
}

/* What is on shelves counts as free blocks of the sizes that it would make. */
static void counted_as_runs(void **state)
{
	struct hoard h = { .order = 0 };
	struct ondol_zone_stats stats;
	uint64_t sum = 0;

	(void)state;
	begin(512, NULL);
	fill(&h, 3000);
	for (size_t i = 0; i < h.nr; i++)
		if (pfn_of(&t, h.page[i]) % 3)
			ondol_free_pages(t.m, h.page[i], 0);
	to_shelves();
	assert_true(zone->shelves.frames > 1500);
	stats = zone_stats(&t, 0, "DMA32");
	for (unsigned order = 0; order < stats.nr_orders; order++)
		sum += stats.free_blocks[order] << order;
	assert_int_equal(sum, stats.pages_free);
	assert_true(stats.free_blocks[0] + stats.free_blocks[1] > 900);
	for (size_t i = 0; i < h.nr; i++)
		if (pfn_of(&t, h.page[i]) % 3 == 0)
			ondol_free_pages(t.m, h.page[i], 0);
	free(h.page);
	frames_fini(&t);
}

/* The pageblock with the fewest free frames is used up first: nearly empty ones become whole. */
static void fullest_first(void **state)
{
	struct hoard h = { .order = 0 };
	struct ondol_page *page[100];
	uint32_t sparse = 0, dense = 0;

	(void)state;
	begin(512, NULL);
	fill(&h, 6000);
	/* Two pageblocks, all but wholly ours: one gets 100 free frames, the other 400. */
	for (size_t i = 0; i < h.nr; i++) {
		uint64_t block = pfn_of(&t, h.page[i]) >> 9, first = pfn_of(&t, h.page[2000]) >> 9;
		uint64_t at = pfn_of(&t, h.page[i]) & 511;
		bool give = (block == first && at < 100) || (block == first + 1 && at < 400);

		if (!give)
			continue;
		dense += block == first, sparse += block == first + 1;
		ondol_free_pages(t.m, h.page[i], 0);
		h.page[i] = NULL;
	}
	assert_int_equal(dense, 100);
	assert_in_range(sparse, 350, 400); /* a few are the machine's own */
	to_shelves();
	for (unsigned i = 0; i < 100; i++) {
		page[i] = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
		assert_int_equal(pfn_of(&t, page[i]) >> 9, pfn_of(&t, h.page[2000]) >> 9);
	}
	for (unsigned i = 0; i < 100; i++)
		ondol_free_pages(t.m, page[i], 0);
	for (size_t i = 0; i < h.nr; i++)
		if (h.page[i])
			ondol_free_pages(t.m, h.page[i], 0);
	free(h.page);
	frames_fini(&t);
}

/* An aligned run comes off a shelf when the buddy has no block left: D8, nothing is refused. */
static void larger_blocks_from_shelves(void **state)
{
	struct hoard h = { .order = 0 };
	struct ondol_page *block;
	uint64_t from;

	(void)state;
	begin(64, NULL);
	h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 0);
	from = (pfn_of(&t, h.page[h.nr / 2]) + 511) & ~511ull;
	for (size_t i = 0; i < h.nr; i++) {
		uint64_t pfn = pfn_of(&t, h.page[i]);

		if (pfn < from || pfn >= from + 300)
			continue;
		ondol_free_pages(t.m, h.page[i], 0);
		h.page[i] = NULL;
	}
	/* As if memory were plenty, so that they are not merged at once. */
	uint32_t high = zone->watermark[WMARK_HIGH];
	zone->watermark[WMARK_HIGH] = 0;
	ondol_drain_all_pages(t.m); /* to the buddy, and from there one by one to the shelf */
	for (unsigned order = 8; order + 1; order--) {
		block = ondol_alloc_pages(t.m, ONDOL_GFP_MEMALLOC | ONDOL_GFP_NOWARN, order);
		if (!block)
			continue;
		ondol_free_pages(t.m, block, order);
		assert_int_equal(pfn_of(&t, block), from);
		assert_int_equal(order, 8);
		break;
	}
	zone->watermark[WMARK_HIGH] = high;
	for (size_t i = 0; i < h.nr; i++)
		if (h.page[i])
			ondol_free_pages(t.m, h.page[i], 0);
	free(h.page);
	frames_fini(&t);
}

/* Each run of each length and place, against looking bit by bit. */
static void runs_of_all_orders(void **state)
{
	uint32_t random = 12345, start;

	(void)state;
	begin(64, NULL);
	start = zone->end - 1024;
	start &= ~(SHELF_FRAMES - 1);
	for (unsigned round = 0; round < 200; round++) {
		uint64_t *bits = zone->shelves.bits[shelf_of(zone, start)];
		unsigned at = 0, order, frames = 0, seen = 0;

		for (unsigned i = 0; i < SHELF_WORDS; i++) {
			bits[i] = 0;
			for (unsigned k = 0; k < 64; k++) {
				random = random * 1103515245 + 12345;
				if ((random >> 16) % 100 < round / 2)
					bits[i] |= UINT64_C(1) << k;
			}
			if (round % 7 == i)
				bits[i] = UINT64_MAX;
			frames += (unsigned)__builtin_popcountll(bits[i]);
		}
		for (; shelf_next_run(zone, shelf_of(zone, start), at, &at, &order);
		     at += 1u << order) {
			assert_int_equal(at & ((1u << order) - 1), 0);
			for (unsigned i = 0; i < 1u << order; i++)
				assert_true(shelf_has(zone, start + at + i));
			seen += 1u << order;
		}
		assert_int_equal(seen, frames);
		memset(bits, 0, sizeof zone->shelves.bits[0]);
	}
	frames_fini(&t);
}

/* [SHELF-1] to [SHELF-3], each broken once. */
static void damage_is_named(void **state)
{
	struct hoard h = { .order = 0 };
	struct shelves *all;
	uint32_t shelf, frame;

	(void)state;
	begin(512, NULL);
	fill(&h, 3000);
	for (size_t i = 0; i < h.nr; i += 2)
		ondol_free_pages(t.m, h.page[i], 0);
	to_shelves();
	assert_valid(t.m);
	all = &zone->shelves;
	shelf = shelf_fullest(zone, MIGRATE_UNMOVABLE);
	frame = shelf_start(zone, shelf);
	while (!shelf_has(zone, frame))
		frame++;

	t.m->pages[frame].refcount = 1;
	assert_broken(t.m, "SHELF-1");
	t.m->pages[frame].refcount = 0;
	t.m->pages[frame].flags |= ONDOL_PG_PCP;
	assert_broken(t.m, "SHELF-1");
	t.m->pages[frame].flags &= ~ONDOL_PG_PCP;
	all->shelf[shelf].nr++;
	assert_broken(t.m, "SHELF-2");
	all->shelf[shelf].nr--;
	all->shelf[shelf].type = MIGRATE_MOVABLE;
	assert_broken(t.m, "SHELF-2");
	all->shelf[shelf].type = MIGRATE_UNMOVABLE;
	all->filled[MIGRATE_RECLAIMABLE] ^= 1;
	assert_broken(t.m, "SHELF-2");
	all->filled[MIGRATE_RECLAIMABLE] ^= 1;
	all->frames++, zone->nr_free++;
	assert_broken(t.m, "SHELF-2");
	all->frames--, zone->nr_free--;
	/* A whole pageblock, free but not the buddy's: its first bits set by hand. */
	uint32_t head = zone->free_area[10].head[MIGRATE_MOVABLE];

	assert_true(head != ONDOL_PAGE_NIL);
	for (unsigned i = 0; i < SHELF_WORDS; i++)
		all->bits[shelf_of(zone, head + 512)][i] = UINT64_MAX;
	assert_broken(t.m, "SHELF-3");
	for (unsigned i = 0; i < SHELF_WORDS; i++)
		all->bits[shelf_of(zone, head + 512)][i] = 0;
	assert_valid(t.m);
	for (size_t i = 1; i < h.nr; i += 2)
		ondol_free_pages(t.m, h.page[i], 0);
	free(h.page);
	frames_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_again),
		cmocka_unit_test(counted_as_runs),
		cmocka_unit_test(fullest_first),
		cmocka_unit_test(larger_blocks_from_shelves),
		cmocka_unit_test(runs_of_all_orders),
		cmocka_unit_test(damage_is_named),
	};

	return cmocka_run_group_tests_name("shelf", tests, NULL, NULL);
}

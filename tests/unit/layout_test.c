/* SPDX-License-Identifier: MIT */
/* Where things lie: ranges, frames and map bits as pictures are drawn from them (B5, D5, G11). */
#include "support/frames.h"

#include "base/bitmap.h"
#include "phys/zone.h"

static struct toy t;

static enum ondol_frame_state state_of(uint64_t pfn)
{
	struct ondol_frame_info info;

	ondol_frame_info(t.m, ondol_pfn(pfn), &info);
	return info.state;
}

struct ranges {
	struct ondol_memory_range at[32];
	unsigned nr, stop_after;
};

static int note_range(void *ctx, const struct ondol_memory_range *range)
{
	struct ranges *ranges = ctx;

	assert_true(ranges->nr < 32);
	ranges->at[ranges->nr++] = *range;
	return ranges->nr == ranges->stop_after ? 7 : 0;
}

/* Unsorted, overlapping, with a hole and a reserved part: told by address, disjoint. */
static void ranges_by_address(void **state)
{
	const struct ondol_mem_region map[] = { USABLE(MIB(4), MIB(8), 1), USABLE(0, MIB(1), 0),
						USABLE(MIB(1) / 2, MIB(2), 0),
						RESERVED(0xa0000, 0x100000) };
	struct ondol_machine_desc desc = DESCRIBE(map, 2, 1, NULL);
	struct ranges ranges = { .nr = 0 };
	uint64_t at = 0, present = 0;

	(void)state;
	frames_init(&t, &desc);
	assert_int_equal(ondol_for_each_memory_range(t.m, note_range, &ranges), 0);
	for (unsigned i = 0; i < ranges.nr; i++) {
		const struct ondol_memory_range *range = &ranges.at[i];

		assert_true(range->start.value >= at && range->end.value > range->start.value);
		at = range->end.value;
		present += range->end.value - range->start.value;
		assert_int_equal(range->node, range->start.value >= 1024);
		for (uint64_t pfn = range->start.value; pfn < range->end.value; pfn++)
			assert_int_equal(state_of(pfn) == ONDOL_FRAME_RESERVED, range->reserved);
	}
	assert_int_equal(at, 2048);
	assert_int_equal(present, 512 + 1024);
	assert_true(ranges.at[1].reserved);
	assert_int_equal(ranges.at[1].start.value, 0xa0);
	assert_int_equal(ranges.at[1].end.value, 0x100);
	assert_int_equal(state_of(600), ONDOL_FRAME_HOLE);
	assert_int_equal(state_of(UINT64_MAX), ONDOL_FRAME_HOLE);
	ranges = (struct ranges){ .stop_after = 2 };
	assert_int_equal(ondol_for_each_memory_range(t.m, note_range, &ranges), 7);
	assert_int_equal(ranges.nr, 2);
	frames_fini(&t);
}

/* Every frame of a block knows the block, whatever the block's state is. */
static void check_block(uint64_t pfn, unsigned order, enum ondol_frame_state want)
{
	for (uint64_t i = 0; i < 1u << order; i++) {
		struct ondol_frame_info info;

		ondol_frame_info(t.m, ondol_pfn(pfn + i), &info);
		assert_int_equal(info.state, want);
		assert_int_equal(info.order, order);
		assert_int_equal(info.is_head, i == 0);
	}
}

static void frames_of_blocks(void **state)
{
	struct ondol_page *page[6];

	(void)state;
	assert_int_equal(toy_new(&t, 8, 1, NULL, NULL, NULL), 0);
	for (unsigned order = 0; order < 6; order++) {
		page[order] = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, order);
		assert_non_null(page[order]);
		check_block(pfn_of(&t, page[order]), order, ONDOL_FRAME_USED);
	}
	for (unsigned order = 0; order < 6; order++) {
		uint64_t pfn = pfn_of(&t, page[order]);

		ondol_free_pages(t.m, page[order], order);
		if (order < 5)
			check_block(pfn, order, ONDOL_FRAME_PER_CPU);
		else
			assert_int_equal(state_of(pfn), ONDOL_FRAME_FREE);
	}
	ondol_drain_all_pages(t.m);
	frames_fini(&t);
}

/* Counted frame by frame, the states are what the zones' figures say (C5). */
static void states_add_up(void **state)
{
	struct hoard h;

	(void)state;
	assert_int_equal(toy_new(&t, 8, 1, NULL, NULL, NULL), 0);
	h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 3);
	for (size_t i = 0; i < h.nr; i += 2) {
		ondol_free_pages(t.m, h.page[i], 3);
		h.page[i] = h.page[--h.nr];
	}
	struct frames_find find = { .name = "DMA" };
	uint64_t nr[8] = { 0 };

	(void)ondol_for_each_zone(t.m, frames_find_zone, &find);
	assert_true(find.found);
	assert_int_equal(find.zone.type, ONDOL_ZONE_DMA);
	for (uint64_t pfn = 0; pfn < 2048; pfn++)
		nr[state_of(pfn)]++;
	/* What a lazy policy holds back is free to the zone, and not merged to a picture. */
	assert_int_equal(nr[ONDOL_FRAME_FREE] + nr[ONDOL_FRAME_PER_CPU],
			 find.zone.pages_free + find.zone.pcp_pages);
	assert_true(nr[ONDOL_FRAME_PER_CPU] >= find.zone.pcp_pages);
	assert_int_equal(nr[ONDOL_FRAME_RESERVED],
			 find.zone.pages_present - find.zone.pages_managed);
	assert_true(nr[ONDOL_FRAME_USED] > 0);
	hoard_free(&t, &h);
	frames_fini(&t);
}

static void map_bits(void **state)
{
	struct ondol_page *page;
	uint64_t pfn;

	(void)state;
	assert_int_equal(toy_new(&t, 1, 1, &ondol_profile_toy16, NULL, NULL), 0);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	pfn = pfn_of(&t, page);
	for (unsigned order = 0; order < 4; order++) {
		struct ondol_zone *zone = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_NORMAL)];

		for (uint64_t at = 0; at < 256; at++)
			assert_int_equal(ondol_map_bit(t.m, ondol_pfn(at), order),
					 bitmap_test(zone->free_area[order].map,
						     (uint32_t)(at >> (order + 1))));
	}
	assert_int_equal(ondol_map_bit(t.m, ondol_pfn(pfn), 0),
			 state_of(pfn ^ 1) == ONDOL_FRAME_FREE);
	assert_int_equal(ondol_map_bit(t.m, ondol_pfn(pfn), 4), -ONDOL_ENOENT);
	assert_int_equal(ondol_map_bit(t.m, ondol_pfn(256), 0), -ONDOL_ENOENT);
	assert_int_equal(ondol_map_bit(t.m, ondol_pfn(pfn), UINT32_MAX), -ONDOL_ENOENT);
	ondol_free_pages(t.m, page, 0);
	frames_fini(&t);
}

static void without_records(void **state)
{
	const struct ondol_mem_region map[] = { USABLE(0, MIB(512), 0) };
	struct ondol_machine_desc desc = DESCRIBE(map, 1, 1, NULL);
	unsigned deferred = 0;

	(void)state;
	desc.deferred_init = desc.memory_is_zeroed = true;
	frames_init(&t, &desc);
	for (uint64_t pfn = 0; pfn < MIB(512) / 4096; pfn += 1024)
		deferred += state_of(pfn) == ONDOL_FRAME_DEFERRED;
	assert_true(deferred > 64);
	assert_valid(t.m);
	frames_fini(&t);
}

/* The next free block is the one that a walk over all frames comes to. */
static void next_free_blocks(void **state)
{
	static struct ondol_page *page[900];
	const struct ondol_mem_region map[] = { USABLE(MIB(1), MIB(512), 0) };
	struct ondol_machine_desc desc = DESCRIBE(map, 1, 1, NULL);
	const uint64_t end = MIB(512) / 4096;
	unsigned order, found = 0;
	uint64_t at = 0;

	(void)state;
	desc.deferred_init = true;
	frames_init(&t, &desc);
	for (unsigned i = 0; i < NR(page); i++) {
		page[i] = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | (i % 7 ? 0 : ONDOL_GFP_COMP),
					    i % 7);
		assert_non_null(page[i]);
	}
	for (unsigned i = 0; i < NR(page); i += 3)
		ondol_free_pages(t.m, page[i], i % 7);
	ondol_drain_all_pages(t.m);
	for (uint64_t pfn = 0; pfn < end; pfn++) {
		struct ondol_frame_info info;

		ondol_frame_info(t.m, ondol_pfn(pfn), &info);
		if (info.state != ONDOL_FRAME_FREE || !info.is_head || info.order < 2)
			continue;
		at = ondol_next_free_block(t.m, ondol_pfn(at), ondol_pfn(end), 2, &order).value;
		assert_int_equal(at, pfn);
		assert_int_equal(order, info.order);
		at += 1ull << order;
		found++;
	}
	assert_true(found > 100);
	assert_int_equal(ondol_next_free_block(t.m, ondol_pfn(at), ondol_pfn(end), 2,
					       &order).value, end);
	assert_int_equal(ondol_next_free_block(t.m, ondol_pfn(end + 9), ondol_pfn(UINT64_MAX), 0,
					       &order).value, UINT64_MAX);
	for (unsigned i = 0; i < NR(page); i++)
		if (i % 3)
			ondol_free_pages(t.m, page[i], i % 7);
	frames_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_by_address), cmocka_unit_test(frames_of_blocks),
		cmocka_unit_test(states_add_up),     cmocka_unit_test(map_bits),
		cmocka_unit_test(without_records),   cmocka_unit_test(next_free_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

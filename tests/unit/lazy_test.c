/* SPDX-License-Identifier: MIT */
/*
 * D8: the lazy policies.  delay2's three classes by hand, merging before a refusal and below the
 * watermark, with and without the map; what each policy saves.
 */
#include "support/frames.h"

#include "phys/zone.h"

static struct toy t;
static struct ondol_zone *zone;

static struct ondol_profile policy(enum ondol_lazy_policy lazy, bool map)
{
	struct ondol_profile profile = ondol_profile_x86_64;

	profile.lazy = lazy;
	profile.pcp = lazy == ONDOL_LAZY_PCP;
	profile.map_bitmap = map;
	return profile;
}

static void begin(uint64_t mib, const struct ondol_profile *profile)
{
	const struct ondol_mem_region all[] = { USABLE(0, mib << 20, 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, profile);

	frames_init(&t, &desc);
	ondol_drain_all_pages(t.m);
	zone = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_DMA32)];
	assert_int_equal(zone->nr_local, 0);
}

/* slack = blocks out - blocks local: lazy down to 2, reclaiming at 1, accelerated at 0. */
static void delay2_classes(void **state)
{
	(void)state;
	for (unsigned map = 0; map < 2; map++) {
		struct ondol_profile profile = policy(ONDOL_LAZY_DELAY2, map);
		struct hoard h = { .order = 3 };
		struct free_area *area;

		begin(64, &profile);
		area = &zone->free_area[3];
		area->nr_out = 0; /* the machine's own */
		while (h.nr < 8)
			assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
		assert_int_equal(area->nr_out, 8);
		/* slack 8, 6, 4, 2: four are put off; each takes two off it */
		for (unsigned i = 1; i <= 4; i++) {
			ondol_free_pages(t.m, h.page[--h.nr], 3);
			assert_int_equal(area->nr_local, i);
			assert_int_equal(area->nr_out, 8 - i);
			assert_valid(t.m);
		}
		/* slack 0: this one is merged and one local too; then local 3, out 3: again */
		for (unsigned i = 1; i <= 4; i++) {
			ondol_free_pages(t.m, h.page[--h.nr], 3);
			assert_int_equal(area->nr_local, 4 - i);
			assert_valid(t.m);
		}
		/* A local block is the first to go out again. */
		area->nr_out = 100;
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
		struct ondol_page *last = h.page[0];

		hoard_free(&t, &h);
		assert_int_equal(area->nr_local, 1);
		uint64_t splits = machine_stats(&t).nr_splits;

		h = (struct hoard){ .order = 3 };
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
		assert_ptr_equal(h.page[0], last);
		assert_int_equal(machine_stats(&t).nr_splits, splits);
		/* slack 1: reclaiming. */
		area->nr_out = 1;
		hoard_free(&t, &h);
		assert_int_equal(area->nr_local, 0);
		frames_fini(&t);
	}
}

/* What is put off is merged by force before an order is refused. */
static void merged_before_refusal(void **state)
{
	(void)state;
	for (unsigned map = 0; map < 2; map++) {
		struct ondol_profile profile = policy(ONDOL_LAZY_DELAY2, map);
		struct ondol_page *block;
		struct hoard h;
		size_t kept = 0;

		begin(64, &profile);
		h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 0);
		/* As if there were plenty: nothing is merged at once. */
		zone->watermark[WMARK_MIN] = zone->watermark[WMARK_LOW] = 0;
		zone->watermark[WMARK_HIGH] = 0;
		zone->free_area[0].nr_out = 1u << 20;
		uint64_t from = (pfn_of(&t, h.page[h.nr / 2]) + 1023) & ~1023ull;

		if ((from << 12) + MIB(4) > MIB(60))
			from -= 1024;
		for (size_t i = 0; i < h.nr; i++) {
			uint64_t pfn = pfn_of(&t, h.page[i]);

			if (pfn >= from && pfn < from + 1024)
				ondol_free_pages(t.m, h.page[i], 0);
			else
				h.page[kept++] = h.page[i];
		}
		h.nr = kept;
		assert_true(zone->free_area[0].nr_local >= 1000);
		assert_int_equal(zone->free_area[10].nr_free, 0);
		assert_valid(t.m);
		block = ondol_alloc_pages(t.m, ONDOL_GFP_MEMALLOC, 10);
		assert_non_null(block);
		assert_int_equal(pfn_of(&t, block), from);
		assert_int_equal(zone->nr_local, 0);
		ondol_free_pages(t.m, block, 10);
		hoard_free(&t, &h);
		frames_fini(&t);
	}
}

/* A zone that sinks below its low watermark merges all; below the high one nothing is put off. */
static void adaptive(void **state)
{
	struct ondol_profile profile = policy(ONDOL_LAZY_DELAY2, true);
	struct hoard h = { .order = 0 };

	(void)state;
	begin(64, &profile);
	while (h.nr < 400)
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	while (h.nr > 300)
		ondol_free_pages(t.m, h.page[--h.nr], 0);
	assert_int_equal(zone->nr_local, 100);
	assert_int_equal(zone->free_area[0].nr_local, 100);
	while (zone->nr_free > zone->watermark[WMARK_LOW] + 1)
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	while (zone->nr_free >= zone->watermark[WMARK_LOW])
		assert_true(hoard_one(&t, &h, 0, ONDOL_GFP_ATOMIC | ONDOL_GFP_MEMALLOC));
	assert_int_equal(zone->nr_local, 0);
	while (zone->nr_free < zone->watermark[WMARK_HIGH]) {
		ondol_free_pages(t.m, h.page[--h.nr], 0);
		assert_int_equal(zone->nr_local, 0);
	}
	for (unsigned i = 0; i < 10; i++)
		ondol_free_pages(t.m, h.page[--h.nr], 0);
	assert_true(zone->nr_local > 0);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* A split block comes back in pieces: the account of blocks out follows. */
static void split_is_accounted(void **state)
{
	struct ondol_profile profile = policy(ONDOL_LAZY_DELAY2, true);
	struct ondol_page *block;

	(void)state;
	begin(64, &profile);
	uint32_t singles = zone->free_area[0].nr_out, fours = zone->free_area[4].nr_out;

	block = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 4);
	assert_int_equal(zone->free_area[4].nr_out, fours + 1);
	ondol_split_page(t.m, block, 4);
	assert_int_equal(zone->free_area[4].nr_out, fours);
	assert_int_equal(zone->free_area[0].nr_out, singles + 16);
	for (unsigned i = 0; i < 16; i++)
		ondol_free_pages(t.m, &block[i], 0);
	assert_int_equal(zone->free_area[0].nr_out, singles);
	frames_fini(&t);
}

/* Merges and splits of the same churn under each policy. */
static void what_it_saves(void **state)
{
	uint64_t work[3];

	(void)state;
	for (unsigned lazy = 0; lazy < 3; lazy++) {
		struct ondol_profile profile = policy((enum ondol_lazy_policy)lazy, true);
		struct { struct ondol_page *page; unsigned order; } out[64] = { { NULL, 0 } };
		uint32_t random = 1;

		begin(256, &profile);
		struct ondol_machine_stats before = machine_stats(&t), after;

		for (unsigned i = 0; i < 30000; i++) {
			unsigned at = (random = random * 1103515245 + 12345) >> 16 & 63;

			if (out[at].page) {
				ondol_free_pages(t.m, out[at].page, out[at].order);
				out[at].page = NULL;
				continue;
			}
			out[at].order = (random >> 24) & 3;
			out[at].page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, out[at].order);
		}
		after = machine_stats(&t);
		work[lazy] = after.nr_merges + after.nr_splits - before.nr_merges -
			     before.nr_splits;
		for (unsigned i = 0; i < 64; i++)
			if (out[i].page)
				ondol_free_pages(t.m, out[i].page, out[i].order);
		frames_fini(&t);
	}
	print_message("# merges and splits: eager %llu, delay2 %llu, pcp %llu\n",
		      (unsigned long long)work[0], (unsigned long long)work[1],
		      (unsigned long long)work[2]);
	assert_true(work[ONDOL_LAZY_DELAY2] * 3 < work[ONDOL_LAZY_EAGER]);
	assert_true(work[ONDOL_LAZY_PCP] * 10 < work[ONDOL_LAZY_EAGER]);
}

/* [LAZY-1], broken each way. */
static void damage_is_named(void **state)
{
	struct ondol_profile profile = policy(ONDOL_LAZY_DELAY2, true);
	struct hoard h = { .order = 2 };
	struct free_area *area;
	uint32_t at = ONDOL_PAGE_NIL;

	(void)state;
	begin(64, &profile);
	while (h.nr < 20)
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	while (h.nr > 16)
		ondol_free_pages(t.m, h.page[--h.nr], 2);
	area = &zone->free_area[2];
	assert_int_equal(area->nr_local, 4);
	for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++)
		if (area->local[type] != ONDOL_PAGE_NIL)
			at = area->local[type];
	t.m->pages[at].flags &= ~ONDOL_PG_LOCAL;
	assert_broken(t.m, "LAZY-1");
	t.m->pages[at].flags |= ONDOL_PG_LOCAL;
	area->nr_local++;
	assert_broken(t.m, "LAZY-1");
	area->nr_local--;
	zone->nr_local--;
	assert_broken(t.m, "LAZY-1");
	zone->nr_local++;
	assert_valid(t.m);
	hoard_free(&t, &h);
	frames_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delay2_classes),
		cmocka_unit_test(merged_before_refusal),
		cmocka_unit_test(adaptive),
		cmocka_unit_test(split_is_accounted),
		cmocka_unit_test(what_it_saves),
		cmocka_unit_test(damage_is_named),
	};

	return cmocka_run_group_tests_name("lazy", tests, NULL, NULL);
}

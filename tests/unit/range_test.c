/* SPDX-License-Identifier: MIT */
/* Frames by other measures: bulk, exact, just these, banks that go and come, a balloon, 1 GiB. */
#include "support/frames.h"

#include "phys/zone.h"

static struct toy t;

static void begin(uint64_t mib, const struct ondol_profile *profile)
{
	const struct ondol_mem_region all[] = { USABLE(0, mib << 20, 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, profile);

	frames_init(&t, &desc);
}

static struct ondol_zone_stats dma32(void)
{
	return zone_stats(&t, 0, "DMA32");
}

static void bulk(void **state)
{
	struct ondol_page *page[300];

	(void)state;
	begin(64, NULL);
	assert_int_equal(ondol_alloc_pages_bulk(t.m, ONDOL_GFP_KERNEL, 300, page), 300);
	assert_valid(t.m);
	for (unsigned i = 0; i < 300; i++) {
		for (unsigned k = 0; k < i; k++)
			assert_ptr_not_equal(page[i], page[k]);
		assert_int_equal(ondol_page_count(page[i]), 1);
	}
	for (unsigned i = 0; i < 300; i++)
		ondol_free_pages(t.m, page[i], 0);
	/* The rest of memory, and then no more. */
	struct hoard h = hoard_all(&t, -1, ONDOL_GFP_KERNEL, 0);

	assert_int_equal(ondol_alloc_pages_bulk(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, 10,
						page), 0);
	hoard_free(&t, &h);
	frames_fini(&t);
}

static void exact(void **state)
{
	(void)state;
	begin(64, NULL);
	for (uint32_t nr = 1; nr <= 1024; nr += nr < 70 ? 1 : 119) {
		uint64_t free = machine_stats(&t).pages_free;
		struct ondol_page *page = ondol_alloc_pages_exact(t.m, ONDOL_GFP_KERNEL, nr);

		assert_non_null(page);
		assert_int_equal(machine_stats(&t).pages_free, free - nr);
		for (uint32_t i = 0; i < nr; i++)
			assert_int_equal(ondol_page_count(&page[i]), 1);
		ondol_free_pages_exact(t.m, page, nr);
		assert_int_equal(machine_stats(&t).pages_free, free);
	}
	assert_null(ondol_alloc_pages_exact(t.m, ONDOL_GFP_KERNEL, 0));
	assert_null(ondol_alloc_pages_exact(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, 1025));
	frames_fini(&t);
}

/* All or nothing, whatever state its frames are in: blocks, shelves, a CPU's list. */
static void contig_range(void **state)
{
	struct hoard h = { .order = 0 };
	ondol_pfn_t busy;
	uint64_t were_free;

	(void)state;
	begin(64, NULL);
	while (h.nr < 3000)
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	uint64_t from = (pfn_of(&t, h.page[1500]) | 511) + 1 - 512;

	for (size_t i = 0; i < h.nr; i++)
		if (pfn_of(&t, h.page[i]) - from < 512 && pfn_of(&t, h.page[i]) != from + 77) {
			ondol_free_pages(t.m, h.page[i], 0);
			h.page[i] = NULL;
		}
	were_free = machine_stats(&t).pages_free;
	assert_int_equal(ondol_alloc_contig_range(t.m, ondol_pfn(from + 10), 100, &busy),
			 -ONDOL_EBUSY);
	assert_int_equal(busy.value, from + 77);
	assert_int_equal(machine_stats(&t).pages_free, were_free);
	assert_valid(t.m);
	assert_int_equal(ondol_alloc_contig_range(t.m, ondol_pfn(from + 78), 333, &busy), 0);
	assert_int_equal(machine_stats(&t).pages_free, were_free - 333);
	assert_valid(t.m);
	for (uint64_t pfn = from + 78; pfn < from + 78 + 333; pfn++)
		assert_int_equal(ondol_page_count(page_at(&t, pfn)), 1);
	ondol_free_pages_exact(t.m, page_at(&t, from + 78), 333);
	for (size_t i = 0; i < h.nr; i++)
		if (h.page[i])
			ondol_free_pages(t.m, h.page[i], 0);
	were_free = machine_stats(&t).pages_free;
	/* Out of the middle of a block of the highest order, and not across zones or the end. */
	ondol_drain_all_pages(t.m);
	assert_int_equal(ondol_alloc_contig_range(t.m, ondol_pfn(9 * 1024 + 5), 1, NULL), 0);
	assert_valid(t.m);
	ondol_free_pages(t.m, page_at(&t, 9 * 1024 + 5), 0);
	assert_int_equal(ondol_alloc_contig_range(t.m, ondol_pfn(4090), 10, NULL), -ONDOL_EINVAL);
	assert_int_equal(ondol_alloc_contig_range(t.m, ondol_pfn(16380), 10, NULL),
			 -ONDOL_EINVAL);
	assert_int_equal(ondol_alloc_contig_range(t.m, ondol_pfn(5000), 0, NULL), -ONDOL_EINVAL);
	assert_int_equal(machine_stats(&t).pages_free, were_free);
	free(h.page);
	frames_fini(&t);
}

/* A bank goes: nothing is handed out of it, the figures and marks follow; and comes back. */
static void offline_and_online(void **state)
{
	struct ondol_zone_stats before, after;
	struct ondol_page *used;
	ondol_pfn_t busy = { 0 };
	struct hoard h;

	(void)state;
	begin(64, NULL);
	before = dma32();
	assert_int_equal(ondol_offline_pages(t.m, ondol_pfn(6144), 4096, &busy), 0);
	assert_valid(t.m);
	after = dma32();
	assert_int_equal(after.pages_managed, before.pages_managed - 4096);
	assert_int_equal(after.pages_present, before.pages_present);
	assert_true(after.watermark_min < before.watermark_min);
	h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 0);
	for (size_t i = 0; i < h.nr; i++)
		assert_false(pfn_of(&t, h.page[i]) - 6144 < 4096);
	hoard_free(&t, &h);
	/* Not twice, not in use, not what was never away. */
	assert_int_equal(ondol_offline_pages(t.m, ondol_pfn(6144), 1, &busy), -ONDOL_EBUSY);
	used = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	assert_int_equal(ondol_offline_pages(t.m, ondol_pfn(pfn_of(&t, used)), 1, &busy),
			 -ONDOL_EBUSY);
	assert_int_equal(busy.value, pfn_of(&t, used));
	assert_int_equal(ondol_online_pages(t.m, ondol_pfn(6143), 2), -ONDOL_EINVAL);
	assert_int_equal(ondol_online_pages(t.m, ondol_pfn(6144), 1000), 0);
	assert_valid(t.m);
	assert_int_equal(ondol_online_pages(t.m, ondol_pfn(7144), 3096), 0);
	after = dma32();
	assert_int_equal(after.pages_managed, before.pages_managed);
	assert_int_equal(after.watermark_min, before.watermark_min);
	ondol_free_pages(t.m, used, 0);
	frames_fini(&t);
}

/* The frames of a bank that is away are nobody's: [BUDDY-8]. */
static void offline_frames_are_foreign(void **state)
{
	(void)state;
	begin(64, NULL);
	assert_int_equal(ondol_offline_pages(t.m, ondol_pfn(8192), 512, NULL), 0);
	if (!TOY_PANICS(&t)) {
		ondol_free_pages(t.m, page_at(&t, 8200), 0);
		fail_msg("nobody minded");
	}
	t.expects_panic = false;
	assert_string_equal(t.panic.invariant, "BUDDY-8");
	assert_int_equal(ondol_online_pages(t.m, ondol_pfn(8192), 512), 0);
	frames_fini(&t);
}

/*
 * Banks that were announced: no frame of theirs is given before they come, a Movable zone and a
 * whole node among them; then the CPU's own bank comes first, by its lists too (B6).
 */
static void announced_banks(void **state)
{
	static const uint64_t movable[] = { MIB(64), 0 };
	const struct ondol_mem_region all[] = {
		USABLE(0, MIB(32), 0), OFFLINE(MIB(32), MIB(96), 0), OFFLINE(MIB(96), MIB(128), 1),
		RESERVED(MIB(100), MIB(100) + 1) };
	struct ondol_machine_desc desc = DESCRIBE(all, 2, 2, NULL);
	struct ondol_frame_info info;
	struct ondol_page *page;
	struct hoard h;

	(void)state;
	desc.node_movable = movable;
	for (unsigned late = 0; late < 2; late++) {
		desc.deferred_init = late;
		frames_init(&t, &desc);
		assert_int_equal(zone_stats(&t, 0, "DMA32").pages_present, 12288);
		assert_true(zone_stats(&t, 0, "DMA32").pages_managed <= 4096);
		assert_int_equal(zone_stats(&t, 0, "Movable").pages_managed, 0);
		assert_int_equal(zone_stats(&t, 1, "DMA32").pages_managed, 0);
		ondol_frame_info(t.m, ondol_pfn(16384), &info);
		assert_int_equal(info.state, ONDOL_FRAME_RESERVED);
		h = hoard_all(&t, -1, ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_MEMALLOC, 0);
		for (size_t i = 0; i < h.nr; i++)
			assert_true(pfn_of(&t, h.page[i]) < 8192);
		hoard_free(&t, &h);
		/* The firmware's frame in the midst is not of the bank. */
		assert_int_equal(ondol_online_pages(t.m, ondol_pfn(24576), 8192), -ONDOL_EINVAL);
		assert_int_equal(ondol_online_pages(t.m, ondol_pfn(24576), 1024), 0);
		assert_int_equal(ondol_online_pages(t.m, ondol_pfn(25601), 7167), 0);
		assert_int_equal(ondol_online_pages(t.m, ondol_pfn(16384), 8192), 0);
		assert_int_equal(ondol_online_pages(t.m, ondol_pfn(8192), 8192), 0);
		assert_int_equal(ondol_online_pages(t.m, ondol_pfn(8192), 1), -ONDOL_EINVAL);
		assert_valid(t.m);
		assert_int_equal(zone_stats(&t, 1, "DMA32").pages_managed, 8191);
		assert_true(zone_stats(&t, 0, "Movable").watermark_low > 0);
		assert_true(zone_stats(&t, 0, "DMA32").lowmem_reserve[ONDOL_ZONE_MOVABLE] > 0);
		frames_cpu = 1;
		page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
		assert_true(pfn_of(&t, page) >= 24576);
		assert_ptr_equal(t.m->phys->cpus[1].lists[ONDOL_GFP_KERNEL & 31],
				 t.m->phys->zones[page_zone_id(page)].pcp[1].list[0]);
		ondol_free_pages(t.m, page, 0);
		frames_cpu = 0;
		page = ondol_alloc_pages(t.m, ONDOL_GFP_HIGHUSER_MOVABLE, 0);
		assert_true(pfn_of(&t, page) >= 16384 && pfn_of(&t, page) < 24576);
		ondol_free_pages(t.m, page, 0);
		/* And gone again: the lists are those of the next zone. */
		assert_int_equal(ondol_offline_pages(t.m, ondol_pfn(16384), 8192, NULL), 0);
		page = ondol_alloc_pages(t.m, ONDOL_GFP_HIGHUSER_MOVABLE, 0);
		assert_ptr_equal(t.m->phys->cpus[0].lists[ONDOL_GFP_HIGHUSER_MOVABLE & 31],
				 t.m->phys->zones[page_zone_id(page)].pcp[0].list[1]);
		ondol_free_pages(t.m, page, 0);
		frames_fini(&t);
	}
}

static void balloon(void **state)
{
	const struct ondol_mem_region all[] = { USABLE(0, MIB(32), 0),
						USABLE(MIB(32), MIB(64), 1) };
	struct ondol_machine_desc desc = DESCRIBE(all, 2, 1, NULL);
	struct ondol_page *page;
	uint64_t free, most;

	(void)state;
	frames_init(&t, &desc);
	free = zone_stats(&t, 1, "DMA32").pages_free;
	assert_int_equal(ondol_balloon_set(t.m, 1, 3000), 3000);
	assert_true(zone_stats(&t, 1, "DMA32").pages_free <= free - 3000);
	assert_valid(t.m);
	assert_int_equal(ondol_balloon_set(t.m, 1, 1000), 1000);
	/* As far as it goes, and not into the reserve; the other node has all of its own. */
	most = ondol_balloon_set(t.m, 1, 1u << 30);
	assert_true(most > 7000 && most < free);
	assert_true(zone_stats(&t, 1, "DMA32").pages_free >=
		    zone_stats(&t, 1, "DMA32").watermark_min);
	page = ondol_alloc_pages_node(t.m, 1, ONDOL_GFP_KERNEL, 0);
	assert_non_null(page);
	assert_true(pfn_of(&t, page) < 8192);
	ondol_free_pages(t.m, page, 0);
	assert_int_equal(ondol_balloon_set(t.m, 2, 1), 0);
	frames_fini(&t); /* which lets it go */
}

/* Orders to 18: a block of 1 GiB, split and whole again. */
static void gigabyte_blocks(void **state)
{
	struct ondol_profile profile = ondol_profile_x86_64;
	const struct ondol_mem_region all[] = { USABLE(0, GIB(4), 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, &profile);
	struct ondol_page *page, *small;

	(void)state;
	profile.nr_orders = 19;
	assert_int_equal(toy_init_cpus(&t, &desc, NULL), 0); /* to validate all takes seconds */
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 18);
	assert_non_null(page);
	assert_int_equal(pfn_of(&t, page) & ((1u << 18) - 1), 0);
	ondol_free_pages(t.m, page, 18);
	small = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	assert_non_null(small);
	ondol_free_pages(t.m, small, 0);
	assert_ptr_equal(ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 18), page);
	ondol_split_page(t.m, page, 18);
	ondol_free_pages_exact(t.m, page, 1u << 18);
	assert_ptr_equal(ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 18), page);
	ondol_free_pages(t.m, page, 18);
	frames_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bulk),
		cmocka_unit_test(exact),
		cmocka_unit_test(contig_range),
		cmocka_unit_test(offline_and_online),
		cmocka_unit_test(offline_frames_are_foreign),
		cmocka_unit_test(announced_banks),
		cmocka_unit_test(balloon),
		cmocka_unit_test(gigabyte_blocks),
	};

	return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}

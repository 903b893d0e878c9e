/* SPDX-License-Identifier: MIT */
/* Zones (requirements B5, B8, C1 to C8): who has what, and who may take it. */
#include "support/frames.h"

#include "phys/zone.h"

static struct toy t;

static void begin(uint64_t mib, const struct ondol_profile *profile)
{
	const struct ondol_mem_region all[] = { USABLE(0, mib << 20, 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, profile);

	frames_init(&t, &desc);
}

/* ------------------------------------------------------------------ C: limits */

/* C1, C2, C3; B3: one node; B8: 2 GiB UMA i386 is 0 / 16M / 896M / 2G. */
static void i386_zones(void **state)
{
	(void)state;
	for (unsigned era = 0; era < 2; era++) {
		begin(2048, era ? &ondol_profile_i386_2_6 : &ondol_profile_i386_2_4);
		assert_span(&t, 0, "DMA", 0, 4096, 4096);
		assert_span(&t, 0, "Normal", 4096, 229376 - 4096, 229376 - 4096);
		assert_span(&t, 0, "HighMem", 229376, 524288 - 229376, 524288 - 229376);
		assert_false(has_zone(&t, 0, "DMA32"));
		assert_false(has_zone(&t, 0, "Movable"));
		assert_int_equal(zone_stats(&t, 0, "DMA").nr_orders, era ? 11 : 10); /* D3 */
		/* The page array lies where the kernel always sees it. */
		assert_int_equal(zone_stats(&t, 0, "HighMem").pages_managed, 524288 - 229376);
		assert_int_equal(zone_stats(&t, 0, "DMA").pages_managed, 4096);
		frames_fini(&t);
	}
}

/* What two-level tables cannot reach is left out, not refused. */
static void beyond_the_last_limit(void **state)
{
	struct ondol_profile small = ondol_profile_i386_2_6;
	const struct ondol_mem_region all[] = { USABLE(0, MIB(48), 0) };

	(void)state;
	small.zone_end[ONDOL_ZONE_HIGHMEM] = MIB(32);
	small.zone_end[ONDOL_ZONE_NORMAL] = MIB(24);
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, &small);

	frames_init(&t, &desc);
	assert_span(&t, 0, "HighMem", 6144, 2048, 2048);
	assert_int_equal(machine_stats(&t).pages_total, 8192);
	assert_null(page_at(&t, 8192));
	assert_non_null(page_at(&t, 8191));
	frames_fini(&t);
}

/* C6: DMA32 below 4 GiB, no HIGHMEM; the hole below 4 GiB is nobody's. */
static void x86_64_zones(void **state)
{
	const struct ondol_mem_region map[] = { USABLE(0, MIB(640) / 1024, 0),
						USABLE(MIB(1), MIB(64), 0),
						USABLE(GIB(4), GIB(4) + MIB(64), 0) };
	struct ondol_machine_desc desc = DESCRIBE(map, 1, 1, NULL);

	(void)state;
	frames_init(&t, &desc);
	assert_span(&t, 0, "DMA", 0, 4096, 4096 - 96);
	assert_span(&t, 0, "DMA32", 4096, 12288, 12288);
	assert_span(&t, 0, "Normal", 1048576, 16384, 16384);
	assert_false(has_zone(&t, 0, "HighMem"));
	assert_null(page_at(&t, 160));
	assert_null(page_at(&t, 255));
	assert_null(page_at(&t, 20000));
	assert_non_null(page_at(&t, 159));
	assert_non_null(page_at(&t, 256));
	frames_fini(&t);
}

static int count_range(void *ctx, const struct ondol_memory_range *range)
{
	uint64_t *pages = ctx;

	pages[range->reserved ? ONDOL_MEM_RESERVED : range->type] +=
		range->end.value - range->start.value;
	return 0;
}

static int collect(void *ctx, const char *piece, size_t size)
{
	strncat(ctx, piece, size);
	return 0;
}

/* As in Linux: zoneinfo and vmstat know it, what tells of free blocks does not. */
static void assert_device_texts(void)
{
	static char text[1 << 16];

	assert_int_equal(ondol_proc_buddyinfo(t.m, collect, text), 0);
	assert_int_equal(ondol_proc_pagetypeinfo(t.m, collect, text), 0);
	assert_non_null(strstr(text, "zone    DMA32"));
	assert_null(strstr(text, "Device"));
	text[0] = '\0';
	assert_int_equal(ondol_proc_zoneinfo(t.m, collect, text), 0);
	assert_non_null(strstr(text, "Node 1, zone   Device"));
	assert_int_equal(ondol_proc_vmstat(t.m, collect, text), 0);
	assert_non_null(strstr(text, "\npgalloc_device 0\n"));
	text[0] = '\0';
}

/* C6: a device's memory has records and a zone, between the others' frames, and is never given. */
static void device_memory(void **state)
{
	const struct ondol_mem_region map[] = { USABLE(0, MIB(32), 0),
						DEVICE(MIB(32), MIB(36), 0),
						USABLE(MIB(36), MIB(64), 0),
						DEVICE(MIB(96), MIB(97), 1) };
	struct ondol_profile bad = ondol_profile_x86_64;
	struct ondol_machine_desc desc = DESCRIBE(map, 2, 1, NULL);
	uint64_t pages[ONDOL_MEM_DEVICE + 1] = { 0 };
	struct hoard h;

	(void)state;
	for (unsigned late = 0; late < 2; late++) {
		desc.deferred_init = late;
		frames_init(&t, &desc);
		assert_span(&t, 0, "DMA32", 4096, 12288, 11264);
		assert_span(&t, 0, "Device", 8192, 1024, 1024);
		assert_span(&t, 1, "Device", 24576, 256, 256);
		assert_int_equal(zone_stats(&t, 0, "Device").pages_managed, 0);
		assert_int_equal(node_stats(&t, 1).node_present_pages, 256);
		h = hoard_all(&t, -1, ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_MEMALLOC, 0);
		for (size_t i = 0; i < h.nr; i++)
			assert_false(pfn_of(&t, h.page[i]) - 8192 < 1024 ||
				     pfn_of(&t, h.page[i]) >= 16384);
		hoard_free(&t, &h);
		assert_int_equal(page_zone(t.m, page_at(&t, 9215))->type, ONDOL_ZONE_DEVICE);
		assert_ptr_equal(ondol_page_address(t.m, page_at(&t, 9000)),
				 (char *)t.ram + (UINT64_C(9000) << 12));
		assert_int_equal(ondol_online_pages(t.m, ondol_pfn(8192), 1024), -ONDOL_EINVAL);
		assert_int_equal(ondol_alloc_contig_range(t.m, ondol_pfn(8192), 4, NULL),
				 -ONDOL_EBUSY);
		assert_device_texts();
		assert_valid(t.m);
		if (late) {
			(void)ondol_for_each_memory_range(t.m, count_range, pages);
			assert_int_equal(pages[ONDOL_MEM_DEVICE], 1024 + 256);
			assert_int_equal(pages[ONDOL_MEM_OFFLINE], 0);
		}
		frames_fini(&t);
	}
	bad.zone_end[ONDOL_ZONE_DEVICE] = MIB(128);
	bad.zone_end[ONDOL_ZONE_NORMAL] = MIB(64);
	bad.zone_end[ONDOL_ZONE_DMA32] = 0;
	desc.profile = &bad;
	assert_int_equal(toy_init(&t, &desc), -ONDOL_EINVAL);
	toy_free(&t);
}

/* C8: the same zones on a machine of 16 MiB; the four of a profile with a MOVABLE zone. */
static void scaled_limits(void **state)
{
	struct ondol_profile small = ondol_profile_i386_2_4;
	const struct ondol_mem_region all[] = { USABLE(0, MIB(16), 0) };

	(void)state;
	small.zone_end[ONDOL_ZONE_DMA] = MIB(1);
	small.zone_end[ONDOL_ZONE_NORMAL] = MIB(8);
	small.zone_end[ONDOL_ZONE_HIGHMEM] = MIB(12);
	small.zone_end[ONDOL_ZONE_MOVABLE] = MIB(16);
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, &small);

	frames_init(&t, &desc);
	assert_span(&t, 0, "DMA", 0, 256, 256);
	assert_span(&t, 0, "Normal", 256, 1792, 1792);
	assert_span(&t, 0, "HighMem", 2048, 1024, 1024);
	assert_span(&t, 0, "Movable", 3072, 1024, 1024);
	/* MOVABLE wants both flags; HIGHMEM alone stops below it. */
	struct ondol_page *page = ondol_alloc_pages(t.m, ONDOL_GFP_HIGHUSER_MOVABLE, 0);
	assert_in_range(pfn_of(&t, page), 3072, 4095);
	ondol_free_pages(t.m, page, 0);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_HIGHUSER, 0);
	assert_in_range(pfn_of(&t, page), 2048, 3071);
	ondol_free_pages(t.m, page, 0);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	assert_in_range(pfn_of(&t, page), 256, 2047);
	ondol_free_pages(t.m, page, 0);
	frames_fini(&t);
}

/* C7: what the kernel takes for itself is never HIGHMEM, however short the rest is. */
static void highmem_is_for_users(void **state)
{
	struct ondol_profile small = ondol_profile_i386_2_6;
	const struct ondol_mem_region all[] = { USABLE(0, MIB(32), 0) };

	(void)state;
	small.zone_end[ONDOL_ZONE_DMA] = MIB(4);
	small.zone_end[ONDOL_ZONE_NORMAL] = MIB(16);
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, &small);

	frames_init(&t, &desc);
	struct hoard kernel = hoard_all(&t, -1, ONDOL_GFP_KERNEL, 0);

	for (size_t i = 0; i < kernel.nr; i++)
		assert_in_range(pfn_of(&t, kernel.page[i]), 0, 4095);
	assert_int_equal(zone_stats(&t, 0, "HighMem").pages_free, 4096);
	struct ondol_page *user = ondol_alloc_pages(t.m, ONDOL_GFP_HIGHUSER, 0);

	assert_non_null(user);
	assert_in_range(pfn_of(&t, user), 4096, 8191);
	ondol_free_pages(t.m, user, 0);
	hoard_free(&t, &kernel);
	frames_fini(&t);
}

/* ------------------------------------------------------------------ B5, C5: sums */

struct sums { uint64_t present, managed; };

static int add_zone(void *ctx, const struct ondol_zone_stats *zone)
{
	struct sums *sums = ctx;

	assert_true(zone->pages_present <= zone->pages_spanned);
	sums->present += zone->pages_present;
	sums->managed += zone->pages_managed;
	/* What is managed is free, on a CPU's list, or out: the machine's own is all out. */
	assert_true(zone->pages_free + zone->pcp_pages <= zone->pages_managed);
	return 0;
}

static int add_node(void *ctx, const struct ondol_node_stats *node)
{
	*(uint64_t *)ctx += node->node_present_pages;
	return 0;
}

/* C5: frames make zones, zones make nodes; managed + reserved = present. */
static void frames_add_up(void **state)
{
	const struct ondol_mem_region map[] = {
		USABLE(0, MIB(40), 0), USABLE(MIB(44), MIB(64), 0), /* a hole of 4 MiB */
		USABLE(MIB(80), MIB(112), 1), RESERVED(MIB(1), MIB(2) + 1),
		RESERVED(MIB(41), MIB(42)), RESERVED(MIB(100), MIB(101)) };
	struct ondol_machine_desc desc = DESCRIBE(map, 2, 2, NULL);
	struct sums sums = { 0, 0 };
	uint64_t nodes = 0, pages = 0;

	(void)state;
	frames_init(&t, &desc);
	struct ondol_machine_stats stats = machine_stats(&t);

	assert_int_equal(ondol_for_each_zone(t.m, add_zone, &sums), 0);
	assert_int_equal(ondol_for_each_node(t.m, add_node, &nodes), 0);
	assert_int_equal(stats.pages_total, 92 * 256);
	assert_int_equal(sums.present, stats.pages_total);
	assert_int_equal(nodes, stats.pages_total);
	assert_int_equal(sums.managed + stats.pages[ONDOL_PAGE_RESERVED], sums.present);
	for (unsigned use = 0; use < ONDOL_NR_PAGE_USES; use++)
		pages += stats.pages[use];
	assert_int_equal(pages, stats.pages_total);
	/* B5: with a hole, present < spanned. */
	assert_int_equal(node_stats(&t, 0).node_present_pages, 60 * 256);
	assert_int_equal(node_stats(&t, 0).node_spanned_pages, 64 * 256);
	assert_int_equal(node_stats(&t, 0).node_start_pfn.value, 0);
	assert_int_equal(node_stats(&t, 1).node_present_pages, 32 * 256);
	assert_int_equal(node_stats(&t, 1).node_spanned_pages, 32 * 256);
	assert_int_equal(node_stats(&t, 1).node_start_pfn.value, 80 * 256);
	assert_int_equal(ondol_page_use(page_at(&t, 256)), ONDOL_PAGE_RESERVED);
	assert_int_equal(ondol_page_use(page_at(&t, 512)), ONDOL_PAGE_RESERVED); /* one byte */
	assert_int_not_equal(ondol_page_use(page_at(&t, 513)), ONDOL_PAGE_RESERVED);
	frames_fini(&t);
}

/* D1, B1: one record a frame, at most 32 bytes (Linux: 64); maps cost a bit a pair and order. */
static void overhead_is_reported(void **state)
{
	uint64_t reserved;

	(void)state;
	begin(256, NULL);
	assert_true(machine_stats(&t).page_record_size <= 32);
	reserved = machine_stats(&t).pages[ONDOL_PAGE_RESERVED];
	assert_in_range(reserved, 65536 / 128, 65536 / 100);
	frames_fini(&t);
}

/* ------------------------------------------------------------------ C4: zones apart */

/* C4: GFP_DMA never gives pfn >= 4096, and exhausting DMA leaves NORMAL intact. */
static void dma_is_apart(void **state)
{
	(void)state;
	begin(64, &ondol_profile_i386_2_6);
	struct hoard dma[3];
	uint64_t normal;

	ondol_drain_all_pages(t.m);
	normal = zone_stats(&t, 0, "Normal").pages_free;

	for (unsigned order = 0; order < 3; order++) {
		dma[order] = hoard_all(&t, -1, ONDOL_GFP_DMA | ONDOL_GFP_MEMALLOC, 2 - order);
		for (size_t i = 0; i < dma[order].nr; i++)
			assert_in_range(pfn_of(&t, dma[order].page[i]), 0, 4095);
	}
	assert_int_equal(zone_stats(&t, 0, "DMA").pages_free, 0);
	assert_int_equal(zone_stats(&t, 0, "Normal").pages_free, normal);
	assert_null(ondol_alloc_pages(t.m, ONDOL_GFP_DMA, 0));
	struct ondol_page *page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 8);

	assert_non_null(page);
	assert_true(pfn_of(&t, page) >= 4096);
	ondol_free_pages(t.m, page, 8);
	for (unsigned order = 0; order < 3; order++)
		hoard_free(&t, &dma[order]);
	frames_fini(&t);
}

static void dma32_is_apart(void **state)
{
	struct ondol_profile small = ondol_profile_x86_64;
	const struct ondol_mem_region all[] = { USABLE(0, MIB(48), 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, &small);
	struct hoard h;

	(void)state;
	small.zone_end[ONDOL_ZONE_DMA] = MIB(4);
	small.zone_end[ONDOL_ZONE_DMA32] = MIB(16);
	frames_init(&t, &desc);
	h = hoard_all(&t, -1, ONDOL_GFP_DMA32 | ONDOL_GFP_HIGHMEM | ONDOL_GFP_MEMALLOC, 0);
	assert_int_equal(h.nr, 4096); /* DMA too, when DMA32 is out */
	for (size_t i = 0; i < h.nr; i++)
		assert_in_range(pfn_of(&t, h.page[i]), 0, 4095);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* C4: a NORMAL request falls to DMA only above lowmem_reserve. */
static void lowmem_reserve(void **state)
{
	(void)state;
	begin(64, &ondol_profile_i386_2_6);
	const struct ondol_zone *dma = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_DMA)];
	const struct ondol_zone *normal = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_NORMAL)];
	uint32_t reserve = normal->managed / 256;

	assert_int_equal(dma->lowmem_reserve[ONDOL_ZONE_DMA], 0);
	assert_int_equal(dma->lowmem_reserve[ONDOL_ZONE_NORMAL], reserve);
	assert_int_equal(dma->lowmem_reserve[ONDOL_ZONE_HIGHMEM], reserve);
	assert_int_equal(normal->lowmem_reserve[ONDOL_ZONE_NORMAL], 0);
	struct hoard h = hoard_all(&t, -1, ONDOL_GFP_KERNEL, 0);

	assert_true(pfn_of(&t, h.page[h.nr - 1]) < 4096); /* it did fall */
	assert_int_equal(zone_stats(&t, 0, "Normal").pages_free, normal->watermark[WMARK_MIN]);
	assert_int_equal(zone_stats(&t, 0, "DMA").pages_free, dma->watermark[WMARK_MIN] + reserve);
	/* DMA's own may go on to the watermark. */
	struct hoard own = hoard_all(&t, -1, ONDOL_GFP_DMA | ONDOL_GFP_RECLAIM, 0);

	assert_int_equal(own.nr, reserve);
	assert_int_equal(zone_stats(&t, 0, "DMA").pages_free, dma->watermark[WMARK_MIN]);
	hoard_free(&t, &own);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* HIGHMEM's users may come down to NORMAL, that keeps a thirty-second of what HIGHMEM has. */
static void highmem_falls_to_normal(void **state)
{
	struct ondol_profile small = ondol_profile_i386_2_6;
	const struct ondol_mem_region all[] = { USABLE(0, MIB(64), 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, &small);

	(void)state;
	small.zone_end[ONDOL_ZONE_NORMAL] = MIB(32);
	frames_init(&t, &desc);
	const struct ondol_zone *normal = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_NORMAL)];

	assert_int_equal(normal->lowmem_reserve[ONDOL_ZONE_HIGHMEM], 8192 / 32);
	struct hoard h = hoard_all(&t, -1, ONDOL_GFP_HIGHUSER, 0);

	assert_int_equal(zone_stats(&t, 0, "Normal").pages_free,
			 normal->watermark[WMARK_MIN] + 8192 / 32);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* [ZONE-3]; 16 MiB keep 512 KiB, 1 GiB keeps 4 MiB, less a thirty-second. */
static void watermarks(void **state)
{
	static const struct { uint64_t mib, min_pages; } want[] = {
		{ 1, 8 }, { 16, 128 }, { 64, 256 }, { 256, 512 }, { 1024, 1024 } };
	struct ondol_profile flat = ondol_profile_x86_64;

	(void)state;
	flat.zone_end[ONDOL_ZONE_DMA] = flat.zone_end[ONDOL_ZONE_DMA32] = 0;
	flat.nr_orders = 8;
	for (unsigned i = 0; i < NR(want); i++) {
		begin(want[i].mib, &flat);
		struct ondol_zone_stats zone = zone_stats(&t, 0, "Normal");

		assert_in_range(zone.watermark_min, want[i].min_pages - want[i].min_pages / 50 - 1,
				want[i].min_pages);
		assert_true(zone.watermark_low >= zone.watermark_min + zone.watermark_min / 4);
		assert_true(zone.watermark_high - zone.watermark_low ==
			    zone.watermark_low - zone.watermark_min);
		frames_fini(&t);
	}
}

/*
 * To the frame what Linux 6.18 has (mm/page_alloc.c): managed, min, low, high and protection of
 * /proc/zoneinfo on an x86-64 machine of 16 GiB, whose vm.min_free_kbytes khugepaged had raised to
 * 67584.  Our zones are small ones that are told to manage as much.
 */
static void limits_as_linux_has_them(void **state)
{
	static const struct { uint32_t managed, mark[3], reserve[5]; } linux_has[] = {
		{ 3840, { 17, 21, 25 }, { 0, 3019, 14795, 14795, 14795 } },
		{ 772917, { 3444, 4305, 5166 }, { 0, 0, 11776, 11776, 11776 } },
		{ 3014656, { 13434, 16792, 20150 }, { 0 } },
	};
	const struct ondol_mem_region all[] = { USABLE(0, MIB(48), 0) };
	struct ondol_profile profile = ondol_profile_x86_64;
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, &profile);
	uint32_t managed[3];

	(void)state;
	profile.zone_end[ONDOL_ZONE_DMA32] = MIB(32);
	desc.min_free_kbytes = 67584;
	frames_init(&t, &desc);
	for (unsigned i = 0; i < 3; i++) {
		managed[i] = t.m->phys->zones[i].managed;
		t.m->phys->zones[i].managed = linux_has[i].managed;
	}
	phys_set_limits(t.m);
	for (unsigned i = 0; i < 3; i++) {
		const struct ondol_zone *zone = &t.m->phys->zones[i];

		for (unsigned mark = 0; mark < 3; mark++)
			assert_int_equal(zone->watermark[mark], linux_has[i].mark[mark]);
		for (unsigned type = 0; type < 5; type++)
			assert_int_equal(zone->lowmem_reserve[type], linux_has[i].reserve[type]);
		t.m->phys->zones[i].managed = managed[i];
	}
	phys_set_limits(t.m);
	frames_fini(&t);
}

/* A zone for what can move keeps no share, on any profile: 32 to 128 frames, as in Linux 6. */
static void limits_of_a_movable_zone(void **state)
{
	const struct ondol_mem_region all[] = { USABLE(0, MIB(256), 0) };
	struct ondol_profile profile = ondol_profile_x86_64;
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, &profile);

	(void)state;
	profile.zone_end[ONDOL_ZONE_NORMAL] = 0;
	profile.zone_end[ONDOL_ZONE_DMA32] = MIB(64);
	profile.zone_end[ONDOL_ZONE_MOVABLE] = MIB(256);
	frames_init(&t, &desc);
	assert_int_equal(zone_stats(&t, 0, "Movable").watermark_min, 49152 / 1024);
	frames_fini(&t);
}

/* ------------------------------------------------------------------ bad descriptions */

static int refused_by(const struct ondol_machine_desc *desc)
{
	size_t size = 0, align = 0;

	return ondol_machine_storage(desc, &size, &align);
}

static void bad_descriptions(void **state)
{
	const struct ondol_mem_region all[] = { USABLE(0, MIB(8), 0) };
	const struct ondol_machine_desc good = DESCRIBE(all, 1, 1, NULL);
	static const uint16_t cpus[] = { 0, 1 };
	static const uint8_t far_self[] = { 10, 20, 20, 11 }, too_near[] = { 10, 9, 20, 10 };
	struct ondol_machine_desc desc;

	(void)state;
	assert_int_equal(refused_by(NULL), -ONDOL_EINVAL);
	assert_int_equal(refused_by(&good), 0);
#define REFUSED(...)                                                                          \
	do {                                                                                  \
		desc = good;                                                                  \
		__VA_ARGS__;                                                                  \
		assert_int_equal(refused_by(&desc), -ONDOL_EINVAL);                           \
	} while (0)
	REFUSED(desc.size = 8);
	REFUSED(desc.size = 0);
	REFUSED(desc.regions = NULL);
	REFUSED(desc.nr_regions = 0);
	REFUSED(desc.nr_regions = UINT32_MAX);
	REFUSED(desc.nr_nodes = 0);
	REFUSED(desc.nr_nodes = 65);
	REFUSED(desc.nr_cpus = 0);
	REFUSED(desc.nr_cpus = 257);
	REFUSED(desc.nr_cpus = 2; desc.cpu_to_node = cpus);
	REFUSED(desc.nr_nodes = 2; desc.node_distance = far_self);
	REFUSED(desc.nr_nodes = 2; desc.node_distance = too_near);
#undef REFUSED
}

static void bad_profiles(void **state)
{
	const struct ondol_mem_region all[] = { USABLE(0, MIB(8), 0) };
	struct ondol_profile profile;
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, &profile);

	(void)state;
#define REFUSED(error, ...)                                                                   \
	do {                                                                                  \
		profile = ondol_profile_x86_64;                                               \
		__VA_ARGS__;                                                                  \
		assert_int_equal(refused_by(&desc), -(error));                                \
	} while (0)
	REFUSED(0, profile.nr_orders = ONDOL_MAX_ORDERS);
	REFUSED(ONDOL_EINVAL, profile.nr_orders = 0);
	REFUSED(ONDOL_EINVAL, profile.nr_orders = ONDOL_MAX_ORDERS + 1);
	REFUSED(ONDOL_EINVAL, profile.zone_end[ONDOL_ZONE_DMA] = GIB(5)); /* above DMA32's */
	REFUSED(ONDOL_EINVAL, profile.zone_end[ONDOL_ZONE_DMA] = 4095);
	REFUSED(ONDOL_EINVAL, memset(profile.zone_end, 0, sizeof profile.zone_end));
	REFUSED(ONDOL_EINVAL, memset(profile.zone_end, 0, sizeof profile.zone_end);
		profile.zone_end[ONDOL_ZONE_HIGHMEM] = MIB(8)); /* nothing for the kernel */
	REFUSED(ONDOL_EINVAL, profile.pcp = false); /* lists are its way of being lazy */
	REFUSED(ONDOL_EINVAL, profile.lazy = (enum ondol_lazy_policy)(ONDOL_LAZY_PCP + 1));
	REFUSED(0, profile.lazy = ONDOL_LAZY_DELAY2);
	REFUSED(0, profile.lazy = ONDOL_LAZY_EAGER; profile.pcp = false);
#undef REFUSED
}

static int init_says(const struct ondol_mem_region *map, uint32_t nr, uint32_t nodes)
{
	struct ondol_machine_desc desc = describe(map, nr, nodes, 1, NULL);
	int r = toy_init(&t, &desc);

	assert_null(t.m);
	assert_int_equal(toy_free(&t), 0);
	return r;
}
#define INIT_SAYS(nodes, ...)                                                                 \
	({                                                                                    \
		static const struct ondol_mem_region map_[] = { __VA_ARGS__ };                \
		init_says(map_, NR(map_), nodes);                                             \
	})

static void bad_maps(void **state)
{
	(void)state;
	assert_int_equal(INIT_SAYS(1, USABLE(MIB(2), MIB(1), 0)), -ONDOL_EINVAL);
	assert_int_equal(INIT_SAYS(1, USABLE(0, MIB(8), 1)), -ONDOL_EINVAL);
	assert_int_equal(INIT_SAYS(2, USABLE(0, MIB(8), 0), USABLE(MIB(7), MIB(16), 1)),
			 -ONDOL_EINVAL);
	assert_int_equal(INIT_SAYS(1, RESERVED(0, MIB(8))), -ONDOL_ENOMEM);
	assert_int_equal(INIT_SAYS(1, USABLE(0, MIB(8), 0), RESERVED(0, MIB(8))), -ONDOL_ENOMEM);
	assert_int_equal(INIT_SAYS(1, USABLE(100, 4000, 0)), -ONDOL_ENOMEM);
	assert_int_equal(INIT_SAYS(1, USABLE(0, 8192, 0)), -ONDOL_ENOMEM);
	/* Enough in sum, but nowhere in one piece. */
	assert_int_equal(INIT_SAYS(1, USABLE(0, 4096, 0), USABLE(MIB(64), MIB(64) + 4096, 0)),
			 -ONDOL_ENOMEM);
}

/* Storage too small or askew, a port without its duties. */
static void bad_surroundings(void **state)
{
	const struct ondol_mem_region all[] = { USABLE(0, MIB(8), 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, NULL);
	struct ondol_machine *m = NULL;
	struct ondol_port port;
	size_t size, align;
	char *storage;

	(void)state;
	frames_init(&t, &desc); /* for its RAM */
	assert_int_equal(ondol_machine_storage(&desc, &size, &align), 0);
	storage = aligned_alloc(align, (size + align) & ~(align - 1));
	port = t.port;
	assert_int_equal(ondol_machine_init(storage, size - 1, &desc, &port, &m), -ONDOL_EINVAL);
	assert_int_equal(ondol_machine_init(storage + 8, size, &desc, &port, &m), -ONDOL_EINVAL);
	assert_int_equal(ondol_machine_init(NULL, size, &desc, &port, &m), -ONDOL_EINVAL);
	assert_int_equal(ondol_machine_init(storage, size, &desc, NULL, &m), -ONDOL_EINVAL);
	port.direct_map = NULL;
	assert_int_equal(ondol_machine_init(storage, size, &desc, &port, &m), -ONDOL_EINVAL);
	port = t.port;
	port.panic = NULL;
	assert_int_equal(ondol_machine_init(storage, size, &desc, &port, &m), -ONDOL_EINVAL);
	port = t.port;
	port.version++;
	assert_int_equal(ondol_machine_init(storage, size, &desc, &port, &m), -ONDOL_EINVAL);
	assert_null(m);
	free(storage);
	frames_fini(&t);
}

/* ------------------------------------------------------------------ damage */

static void damage_is_named(void **state)
{
	struct ondol_zone *zone;
	struct ondol_page *page;
	uint32_t flags;

	(void)state;
	begin(32, NULL);
	zone = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_DMA32)];
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 5);
	assert_non_null(page);

	zone->present++;
	assert_broken(t.m, "ZONE-1");
	zone->present--;
	zone->present--, zone->managed--;
	assert_broken(t.m, "ZONE-2");
	zone->present++, zone->managed++;
	zone->watermark[WMARK_LOW] += 10000;
	assert_broken(t.m, "ZONE-3");
	zone->watermark[WMARK_LOW] -= 10000;
	zone->watermark[WMARK_MIN] += 10000;
	assert_broken(t.m, "ZONE-3");
	zone->watermark[WMARK_MIN] -= 10000;

	/* A frame that names the zone below, one that there is not, another node's. */
	flags = page->flags;
	page->flags = flags & ~(ONDOL_PG_ZONE_MASK << ONDOL_PG_ZONE_SHIFT);
	assert_broken(t.m, "ZONE-4");
	page->flags = flags | 63u << ONDOL_PG_NODE_SHIFT;
	assert_broken(t.m, "ZONE-4");
	page->flags = flags;
	page[3].flags |= 1u << ONDOL_PG_NODE_SHIFT;
	assert_broken(t.m, "ZONE-4");
	page[3].flags &= ~(1u << ONDOL_PG_NODE_SHIFT);

	t.m->phys->nodes[0].present++;
	assert_broken(t.m, "ZONE-5");
	t.m->phys->nodes[0].present--;
	t.m->phys->present++;
	assert_broken(t.m, "ZONE-5");
	t.m->phys->present--;
	t.m->phys->nodes[0].spanned = 1;
	assert_broken(t.m, "ZONE-5");
	t.m->phys->nodes[0].spanned = 8192;

	t.m->phys->cpus[0].use[ONDOL_PAGE_ANON]++;
	assert_broken(t.m, "USE-1");
	t.m->phys->cpus[0].use[ONDOL_PAGE_ANON]--;
	page->flags = (page->flags & ~ONDOL_PG_USE_MASK) | ONDOL_PAGE_PGTABLE;
	assert_broken(t.m, "USE-1");
	page->flags = flags;
	ondol_free_pages(t.m, page, 5);
	frames_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(i386_zones),
		cmocka_unit_test(beyond_the_last_limit),
		cmocka_unit_test(x86_64_zones),
		cmocka_unit_test(device_memory),
		cmocka_unit_test(scaled_limits),
		cmocka_unit_test(highmem_is_for_users),
		cmocka_unit_test(frames_add_up),
		cmocka_unit_test(overhead_is_reported),
		cmocka_unit_test(dma_is_apart),
		cmocka_unit_test(dma32_is_apart),
		cmocka_unit_test(lowmem_reserve),
		cmocka_unit_test(highmem_falls_to_normal),
		cmocka_unit_test(watermarks),
		cmocka_unit_test(limits_as_linux_has_them),
		cmocka_unit_test(limits_of_a_movable_zone),
		cmocka_unit_test(bad_descriptions),
		cmocka_unit_test(bad_profiles),
		cmocka_unit_test(bad_maps),
		cmocka_unit_test(bad_surroundings),
		cmocka_unit_test(damage_is_named),
	};

	return cmocka_run_group_tests_name("zone", tests, NULL, NULL);
}

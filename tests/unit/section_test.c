/* SPDX-License-Identifier: MIT */
/* Late page records and memory that is known to be zeroed: invisible but for the time they save. */
#include "support/frames.h"

#include "base/bitmap.h"
#include "phys/section.h"

#define SECTION ((uint64_t)2048) /* frames */

static struct toy t;

/* Two banks a node, a hole, reserved frames: 27 sections, the last of them not a whole one. */
static const struct ondol_mem_region odd_map[] = {
	USABLE(0, MIB(70), 0), USABLE(MIB(70), MIB(130), 1), USABLE(MIB(150) + 12288, MIB(200), 0),
	USABLE(MIB(200), MIB(213), 1), RESERVED(MIB(20), MIB(23) + 1), RESERVED(MIB(90), MIB(91)),
	RESERVED(MIB(129), MIB(160)) };

static void begin_with(const struct ondol_mem_region *map, uint32_t nr, uint32_t nodes,
		       bool deferred, bool zeroed)
{
	struct ondol_machine_desc desc = describe(map, nr, nodes, nodes, NULL);

	desc.deferred_init = deferred;
	desc.memory_is_zeroed = zeroed;
	frames_init(&t, &desc);
}

static void begin(uint64_t mib, bool deferred, bool zeroed)
{
	const struct ondol_mem_region all[] = { USABLE(0, mib << 20, 0) };

	begin_with(all, 1, 1, deferred, zeroed);
}

static uint32_t deferred_frames(void)
{
	struct ondol_zone *zone;
	uint32_t nr = 0;

	zone_for_each(t.m->phys, zone, i)
		nr += zone->deferred;
	return nr;
}

/* Bytes of [start, start + size) that the host has given memory for. */
static size_t resident(const void *start, size_t size)
{
	uintptr_t from = (uintptr_t)start & ~(uintptr_t)4095;
	size_t pages = ((uintptr_t)start + size - from + 4095) / 4096, nr = 0;
	unsigned char *in = malloc(pages);

	assert_int_equal(mincore((void *)from, pages * 4096, in), 0);
	for (size_t i = 0; i < pages; i++)
		nr += in[i] & 1;
	free(in);
	return nr * 4096;
}

/* ------------------------------------------------------------------ what does not change */

struct text { char bytes[32768]; size_t used; };

static int append(void *ctx, const char *bytes, size_t size)
{
	struct text *text = ctx;

	assert_true(text->used + size < sizeof text->bytes);
	memcpy(text->bytes + text->used, bytes, size);
	text->used += size;
	return 0;
}

static void tell(struct text *text)
{
	memset(text, 0, sizeof *text);
	assert_int_equal(ondol_proc_buddyinfo(t.m, append, text), 0);
	assert_int_equal(ondol_proc_meminfo(t.m, append, text), 0);
	assert_int_equal(ondol_proc_zoneinfo(t.m, append, text), 0);
	assert_int_equal(ondol_proc_vmstat(t.m, append, text), 0);
}

static void same_figures(const struct ondol_mem_region *map, uint32_t nr, uint32_t nodes)
{
	static struct text text[2];
	struct ondol_machine_stats stats[2];

	for (unsigned deferred = 0; deferred < 2; deferred++) {
		begin_with(map, nr, nodes, deferred, false);
		assert_true(!deferred_frames() == !deferred);
		tell(&text[deferred]);
		stats[deferred] = machine_stats(&t);
		frames_fini(&t);
	}
	assert_string_equal(text[1].bytes, text[0].bytes);
	assert_memory_equal(&stats[0], &stats[1], sizeof *stats);
}

/* A machine tells the same of itself, in all texts, whether its records are there or not. */
static void figures(void **state)
{
	const struct ondol_mem_region all[] = { USABLE(0, MIB(512), 0) };

	(void)state;
	same_figures(all, 1, 1);
	same_figures(odd_map, 7, 2);
}

/* ------------------------------------------------------------------ what does */

/* 1 GiB: of 8 MiB of records 64 KiB at first; neither the texts nor validate touch the rest. */
static void untouched(void **state)
{
	static struct text text;

	(void)state;
	begin(1024, true, false);
	size_t all = (size_t)t.m->nr_pages * sizeof(struct ondol_page);

	assert_int_equal(all, 8 << 20);
	assert_int_equal(resident(t.m->pages, all), SECTION * sizeof(struct ondol_page));
	tell(&text);
	assert_valid(t.m);
	/* The refusal of what there is not, too. */
	assert_null(ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 11));
	assert_int_equal(resident(t.m->pages, all), SECTION * sizeof(struct ondol_page));
	struct hoard h = { .order = 0 };

	while (h.nr < 1500)
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	assert_int_equal(resident(t.m->pages, all), SECTION * sizeof(struct ondol_page));
	while (h.nr < 2500)
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	assert_int_equal(resident(t.m->pages, all), 2 * SECTION * sizeof(struct ondol_page));
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* Garbage where the records will be does no harm. */
static void garbage(void **state)
{
	struct ondol_machine_desc desc = describe(odd_map, 7, 2, 2, NULL);
	size_t size, align;

	(void)state;
	begin_with(odd_map, 7, 2, false, false); /* for its RAM */
	free(t.storage);
	memset(t.ram, 0xff, t.ram_size);
	desc.deferred_init = true;
	assert_int_equal(ondol_machine_storage(&desc, &size, &align), 0);
	assert_int_equal(posix_memalign(&t.storage, align, size), 0);
	assert_int_equal(ondol_machine_init(t.storage, size, &desc, &t.port, &t.m), 0);
	assert_true(deferred_frames() > 0);
	assert_valid(t.m);
	struct hoard h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 3);

	assert_int_equal(deferred_frames(), 0);
	assert_valid(t.m);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* Every free frame can be had, a section at a time, and comes back. */
static void all_of_it(void **state)
{
	(void)state;
	for (unsigned order = 0; order < 11; order += 5) {
		begin_with(odd_map, 7, 2, true, false);
		struct hoard h = { .order = order };
		uint32_t deferred = deferred_frames(), before = deferred;
		unsigned steps = 0;

		while (hoard_one(&t, &h, -1, ONDOL_GFP_MEMALLOC | ONDOL_GFP_NOWARN)) {
			assert_true(deferred_frames() <= deferred);
			if (deferred == deferred_frames())
				continue;
			/* A section with a hole or a reservation may have no large block. */
			assert_true(deferred - deferred_frames() <= SECTION << (order ? 2 : 1));
			deferred = deferred_frames();
			steps++;
			assert_valid(t.m);
		}
		assert_int_equal(deferred, 0);
		assert_true(steps >= before / SECTION / (order ? 4 : 2));
		if (!order)
			assert_int_equal(machine_stats(&t).pages_free, 0);
		assert_valid(t.m);
		hoard_free(&t, &h);
		ondol_drain_all_pages(t.m);
		frames_fini(&t);
	}
}

static uint64_t never(struct ondol_machine *m, void *ctx, uint64_t nr_pages)
{
	(void)m;
	(void)nr_pages;
	++*(unsigned *)ctx;
	return 0;
}

/* Before another zone, before another node, before a shrinker: first what is there. */
static void before_anything_else(void **state)
{
	struct hoard h = { .order = 0 };
	unsigned asked = 0;

	(void)state;
	begin_with(odd_map, 7, 2, true, false);
	assert_int_equal(ondol_register_shrinker(t.m, never, &asked), 0);
	frames_cpu = 1;
	uint64_t usable = zone_stats(&t, 1, "DMA32").pages_free -
			  zone_stats(&t, 1, "DMA32").watermark_low;

	for (uint64_t i = 0; i < usable; i++) {
		assert_true(hoard_one(&t, &h, ONDOL_NODE_ANY, ONDOL_GFP_KERNEL));
		uint64_t pfn = pfn_of(&t, h.page[i]);

		assert_true((pfn >= 70 * 256 && pfn < 130 * 256) || pfn >= 200 * 256);
	}
	assert_int_equal(node_stats(&t, 0).numa_miss, 0);
	assert_int_equal(asked, 0);
	frames_cpu = 0;
	hoard_free(&t, &h);
	h = hoard_all(&t, 0, ONDOL_GFP_NOWAIT | ONDOL_GFP_THISNODE, 0);
	assert_int_equal(asked, 0);
	assert_int_equal(t.m->phys->zones[zone_id(0, ONDOL_ZONE_DMA32)].deferred, 0);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* The largest blocks are counted, and found. */
static void largest_blocks(void **state)
{
	struct hoard h;
	uint64_t blocks;

	(void)state;
	begin(512, true, false);
	blocks = zone_stats(&t, 0, "DMA32").free_blocks[10];
	assert_true(blocks > 110);
	h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 10);
	assert_in_range(h.nr, blocks, blocks + 4); /* and those of DMA */
	assert_int_equal(zone_stats(&t, 0, "DMA32").free_blocks[10], 0);
	hoard_free(&t, &h);
	assert_int_equal(zone_stats(&t, 0, "DMA32").free_blocks[10], blocks);
	frames_fini(&t);
}

/* A frame's record is there when asked for: of a deferred frame, a reserved one, a hole. */
static void records_on_demand(void **state)
{
	struct ondol_page *page;

	(void)state;
	begin_with(odd_map, 7, 2, true, false);
	uint64_t free = machine_stats(&t).pages_free;

	assert_null(page_at(&t, 140 * 256));
	assert_true(section_is_deferred(t.m, 170 / 8));
	page = page_at(&t, 170 * 256);
	assert_int_equal(ondol_page_use(page), ONDOL_PAGE_FREE);
	assert_false(section_is_deferred(t.m, 170 / 8));
	assert_int_equal(ondol_page_use(page_at(&t, 155 * 256)), ONDOL_PAGE_RESERVED);
	assert_null(page_at(&t, 150 * 256 + 2));
	assert_null(page_at(&t, 213 * 256));
	assert_int_equal(machine_stats(&t).pages_free, free);
	assert_valid(t.m);
	frames_fini(&t);
}

/* Kernel and user pages are kept apart as if all of memory had been there from the start. */
static void types_stay_apart(void **state)
{
	static uint8_t seen[128];
	struct hoard user = { .order = 0 }, kernel = { .order = 0 };
	unsigned mixed[2] = { 0, 0 };

	(void)state;
	for (unsigned deferred = 0; deferred < 2; deferred++) {
		begin(256, deferred, false);
		memset(seen, 0, sizeof seen);
		for (unsigned i = 0; i < 25000; i++)
			assert_true(i % 5 ? hoard_one(&t, &user, -1, ONDOL_GFP_HIGHUSER_MOVABLE) :
					    hoard_one(&t, &kernel, -1, ONDOL_GFP_KERNEL));
		for (size_t i = 0; i < user.nr; i++)
			seen[pfn_of(&t, user.page[i]) >> 9] |= 1;
		for (size_t i = 0; i < kernel.nr; i++)
			seen[pfn_of(&t, kernel.page[i]) >> 9] |= 2;
		for (unsigned i = 0; i < 128; i++)
			mixed[deferred] += seen[i] == 3;
		hoard_free(&t, &user);
		hoard_free(&t, &kernel);
		frames_fini(&t);
	}
	assert_true(mixed[1] <= mixed[0] + 2);
}

/* Who knows of neither field has neither. */
static void older_description(void **state)
{
	const struct ondol_mem_region all[] = { USABLE(0, MIB(128), 0) };
	struct ondol_machine_desc desc = describe(all, 1, 1, 1, NULL);

	(void)state;
	desc.size = offsetof(struct ondol_machine_desc, deferred_init);
	desc.deferred_init = desc.memory_is_zeroed = true;
	frames_init(&t, &desc);
	assert_null(t.m->phys->section_ready);
	assert_null(t.m->phys->zones[zone_id(0, ONDOL_ZONE_DMA32)].taken);
	frames_fini(&t);
}

static void damage_is_named(void **state)
{
	struct ondol_zone *zone;

	(void)state;
	begin(256, true, false);
	zone = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_DMA32)];
	zone->deferred++;
	assert_broken(t.m, "BUDDY-2");
	zone->nr_free++;
	assert_broken(t.m, "ZONE-6");
	zone->deferred--, zone->nr_free--;
	bitmap_flip(zone->free_area[4].map, 1000);
	assert_broken(t.m, "ZONE-6");
	bitmap_flip(zone->free_area[4].map, 1000);
	uint32_t head = zone->free_area[10].head[1];
	zone->free_area[10].head[1] = 32768;
	assert_broken(t.m, "ZONE-6");
	zone->free_area[10].head[1] = head;
	struct zone_pcp *pcp = &zone->pcp[0];
	uint32_t *top = pcp->list[0][0].top - 1, first = *top;
	assert_true(top >= pcp->list[0][0].base);
	*top = 40000;
	assert_broken(t.m, "ZONE-6");
	*top = first;
	frames_fini(&t);
}

/* ------------------------------------------------------------------ zeroed memory */

static bool is_zero(const struct ondol_page *page, unsigned order)
{
	const uint64_t *word = ondol_page_address(t.m, page);

	for (size_t i = 0; i < (size_t)512 << order; i++)
		if (word[i])
			return false;
	return true;
}

/* What is handed out for the first time is not written to, so on a memory file it costs nothing. */
static void fresh_frames_are_not_cleared(void **state)
{
	struct hoard h = { .order = 0 };

	(void)state;
	for (unsigned order = 0; order < 9; order += 4) {
		begin(128, true, true);
		size_t size = (size_t)4096 << order;
		unsigned touched = 0;

		h.order = order;
		for (unsigned i = 0; i < 20; i++) {
			assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL | ONDOL_GFP_ZERO));
			touched += resident(ondol_page_address(t.m, h.page[i]), size) != 0;
		}
		assert_true(touched <= 4); /* had by the machine before, while coming up */
		for (unsigned i = 0; i < 20; i++)
			assert_true(is_zero(h.page[i], order));
		hoard_free(&t, &h);
		frames_fini(&t);
	}
}

static uint8_t told[MIB(128) / 4096];

static void note_first_use(void *ctx, ondol_pfn_t pfn, uint32_t nr)
{
	assert_ptr_equal(ctx, &t);
	assert_true(nr && pfn.value + nr <= NR(told));
	for (uint32_t i = 0; i < nr; i++)
		told[pfn.value + i]++;
}

/* The port hears of each frame once, before whoever asked for it has it. */
static void first_use_is_told(void **state)
{
	static const struct ondol_mem_region all[] = { USABLE(0, MIB(128), 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, NULL);
	static struct hoard h;

	(void)state;
	for (unsigned zeroed = 0; zeroed < 2; zeroed++) {
		memset(told, 0, sizeof told);
		toy_ram(&t, &desc, false);
		t.port.first_use = note_first_use;
		desc.memory_is_zeroed = desc.deferred_init = zeroed;
		assert_int_equal(toy_start(&t, &desc), 0);
		for (unsigned round = 0; round < 2; round++) {
			for (h.order = 0; h.nr < 20000;)
				assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
			for (uint32_t i = 0; i < h.nr; i++)
				assert_int_equal(told[ondol_page_to_pfn(t.m, h.page[i]).value],
						 zeroed);
			hoard_free(&t, &h);
		}
		frames_fini(&t);
	}
}

static size_t told_bytes;

static void note_will_write(void *ctx, void *at, size_t size)
{
	const struct toy *toy = ctx;
	const unsigned char *from = at, *ram = toy->ram;

	assert_true(from >= ram && from + size <= ram + toy->ram_size);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(from[i], 0);
	told_bytes += size;
}

/* The port hears of each page of records once, before anything is written there. */
static void records_are_told(void **state)
{
	static const struct ondol_mem_region all[] = { USABLE(0, MIB(128), 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, NULL);
	static struct hoard h;

	(void)state;
	toy_ram(&t, &desc, false);
	memset(t.ram, 0, t.ram_size);
	t.port.will_write = note_will_write;
	desc.memory_is_zeroed = desc.deferred_init = true;
	told_bytes = 0;
	assert_int_equal(toy_start(&t, &desc), 0);
	size_t all_records = (size_t)t.m->nr_pages * sizeof(struct ondol_page);

	assert_true(told_bytes < all_records / 4);
	h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 0);
	assert_int_equal(told_bytes, all_records);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* A block that nobody had is as good after it went through a CPU's list and back. */
static void drained_frames_stay_fresh(void **state)
{
	struct hoard h = { .order = 0 };
	struct ondol_page *page;
	unsigned touched = 0;

	(void)state;
	begin(512, false, true);
	for (unsigned i = 0; i < 10; i++) {
		page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0); /* and more on the list */
		assert_true(zone_stats(&t, 0, "DMA32").pcp_pages >= 15);
		memset(ondol_page_address(t.m, page), 1, 4096);
		ondol_free_pages(t.m, page, 0);
		ondol_drain_all_pages(t.m);
	}
	while (h.nr < 1000) {
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL | ONDOL_GFP_ZERO));
		touched += resident(ondol_page_address(t.m, h.page[h.nr - 1]), 4096) != 0;
		assert_true(is_zero(h.page[h.nr - 1], 0));
	}
	assert_true(touched <= 100); /* the machine's own, and what was taken beside a used one */
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* Whoever frees scribbles first; whoever asks for zeroes gets them, whatever orders and types. */
static void scribbled_frames_are_cleared(void **state)
{
	static struct { struct ondol_page *page; unsigned order; } block[256];
	uint32_t random = 7;

	(void)state;
	for (unsigned deferred = 0; deferred < 2; deferred++) {
		begin(128, deferred, true);
		memset(block, 0, sizeof block);
		for (unsigned i = 0; i < 30000; i++) {
			unsigned at, order;

			random = random * 1664525 + 1013904223;
			at = random >> 24;
			order = (unsigned)__builtin_ctz(random >> 8 | 1u << 9);
			if (block[at].page) {
				memset(ondol_page_address(t.m, block[at].page), 0xa5,
				       (size_t)4096 << block[at].order);
				ondol_free_pages(t.m, block[at].page, block[at].order);
				block[at].page = NULL;
				continue;
			}
			block[at].order = order;
			block[at].page = ondol_alloc_pages(
				t.m, ONDOL_GFP_NOWARN | (random & 128 ? ONDOL_GFP_ZERO : 0) |
				(random & 64 ? ONDOL_GFP_KERNEL : ONDOL_GFP_HIGHUSER_MOVABLE),
				order);
			if (random & 128 && block[at].page)
				assert_true(is_zero(block[at].page, order));
			if (i % 1000 == 0)
				ondol_drain_all_pages(t.m);
		}
		assert_valid(t.m);
		for (unsigned i = 0; i < 256; i++)
			if (block[i].page)
				ondol_free_pages(t.m, block[i].page, block[i].order);
		frames_fini(&t);
	}
}

/* Frames of a split block, and the tails of a compound one, are nobody's first. */
static void split_and_compound(void **state)
{
	struct ondol_page *page;

	(void)state;
	begin(64, false, true);
	for (unsigned i = 0; i < 64; i++) {
		page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 3);
		memset(ondol_page_address(t.m, page), 1, 8 * 4096);
		ondol_split_page(t.m, page, 3);
		for (unsigned k = 0; k < 8; k++)
			ondol_put_page(t.m, page + k);
		page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_ZERO, 0);
		assert_true(is_zero(page, 0));
		ondol_free_pages(t.m, page, 0);
		page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_COMP, 4);
		memset(ondol_page_address(t.m, page), 1, 16 * 4096);
		ondol_free_pages(t.m, page, 4);
		page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_COMP | ONDOL_GFP_ZERO,
					 4);
		assert_true(is_zero(page, 4));
		ondol_free_pages(t.m, page, 4);
	}
	frames_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures),
		cmocka_unit_test(untouched),
		cmocka_unit_test(garbage),
		cmocka_unit_test(all_of_it),
		cmocka_unit_test(before_anything_else),
		cmocka_unit_test(largest_blocks),
		cmocka_unit_test(records_on_demand),
		cmocka_unit_test(types_stay_apart),
		cmocka_unit_test(older_description),
		cmocka_unit_test(damage_is_named),
		cmocka_unit_test(fresh_frames_are_not_cleared),
		cmocka_unit_test(first_use_is_told),
		cmocka_unit_test(records_are_told),
		cmocka_unit_test(drained_frames_stay_fresh),
		cmocka_unit_test(scribbled_frames_are_cleared),
		cmocka_unit_test(split_and_compound),
	};

	return cmocka_run_group_tests_name("section", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The buddy system: the notes' figures 1 to 7 (D7), D1 to D6, and each BUDDY invariant broken. */
#include "support/frames.h"

#include "base/bitmap.h"
#include "phys/zone.h"

static struct toy t;
static struct ondol_zone *zone; /* the figures' only one */

/* ------------------------------------------------------------------ the figures */

/*
 * A machine whose frames 0 to 15 are one block of the highest order: what lies above holds the
 * page array and stays used.  Every frame is taken, then those free in figure 1 given back.
 */
static struct hoard above;
static struct ondol_page *frame[16]; /* of 0 to 15, while used */

static void figures_begin(const struct ondol_profile *profile)
{
	const struct ondol_mem_region all[] = { USABLE(0, 64 * 4096, 0) };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = all, .nr_regions = 1,
					   .nr_nodes = 1, .nr_cpus = 1, .profile = profile };

	frames_init(&t, &desc);
	zone = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_NORMAL)];
	ondol_drain_all_pages(t.m);
	above = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 0);
	memset(frame, 0, sizeof frame);
	for (size_t i = 0; i < above.nr;) {
		uint64_t pfn = pfn_of(&t, above.page[i]);

		if (pfn >= 16) {
			i++;
			continue;
		}
		frame[pfn] = above.page[i];
		above.page[i] = above.page[--above.nr];
	}
	for (unsigned i = 0; i < 16; i++)
		assert_non_null(frame[i]);
	assert_int_equal(zone->nr_free, 0);
}

static void give(unsigned pfn)
{
	assert_non_null(frame[pfn]);
	ondol_free_pages(t.m, frame[pfn], 0);
	frame[pfn] = NULL;
}

static void figures_end(void)
{
	for (unsigned i = 0; i < 16; i++)
		if (frame[i])
			give(i);
	hoard_free(&t, &above);
	frames_fini(&t);
}

/* The first blocks of one order's list, sorted: "3,5,10", or "-". */
static const char *list_text(unsigned order)
{
	static char text[4][128];
	char *at = text[order];
	uint32_t blocks[16];
	unsigned nr = 0;

	for (uint32_t i = zone->free_area[order].head[0]; i != ONDOL_PAGE_NIL;
	     i = t.m->pages[i].buddy.next) {
		unsigned k = nr++;

		for (; k && blocks[k - 1] > i; k--)
			blocks[k] = blocks[k - 1];
		blocks[k] = i;
	}
	if (!nr)
		return "-";
	for (unsigned k = 0; k < nr; k++)
		at += sprintf(at, k ? ",%u" : "%u", blocks[k]);
	return text[order];
}

/* D5: the bits of the pairs of frames 0 to 15, lowest pair first: "00100100/0000/01". */
static const char *map_text(void)
{
	static char text[32];
	char *at = text;

	for (unsigned order = 0; order < 3; order++) {
		for (unsigned pair = 0; pair < 8u >> order; pair++)
			*at++ = bitmap_test(zone->free_area[order].map, pair) ? '1' : '0';
		*at++ = order < 2 ? '/' : '\0';
	}
	return text;
}

static const char *frames_text(void)
{
	static char text[17];

	for (unsigned i = 0; i < 16; i++)
		text[i] = ondol_page_use(page_at(&t, i)) == ONDOL_PAGE_FREE ? '.' : '#';
	return text;
}

#define FIGURE(frames, order0, order1, order2, map)                                           \
	do {                                                                                  \
		assert_string_equal(frames_text(), frames);                                   \
		assert_string_equal(list_text(0), order0);                                    \
		assert_string_equal(list_text(1), order1);                                    \
		assert_string_equal(list_text(2), order2);                                    \
		assert_string_equal(map_text(), map);                                         \
		assert_string_equal(list_text(3), "-");                                       \
		assert_valid(t.m);                                                            \
	} while (0)

/* In all figures the frames of an allocated block are used: mark those of the pair at `pfn`. */
static void mark_inner(unsigned pfn, bool used)
{
	t.m->pages[pfn + 1].flags = (t.m->pages[pfn + 1].flags & ~ONDOL_PG_USE_MASK) |
				    (used ? ONDOL_PAGE_KERNEL : ONDOL_PAGE_FREE);
}

static void figure_1(void)
{
	static const unsigned free1[] = { 5, 10, 12, 13, 14, 15 };

	for (unsigned i = 0; i < 6; i++)
		give(free1[i]);
	ondol_drain_all_pages(t.m);
	FIGURE("#####.####.#....", "5,10", "-", "12", "00100100/0000/01");
}

/* From figure 4 on, as the profile's rules have it. */
static void figures_5_to_7(bool upper)
{
	struct ondol_page *block, *second;

	/* 5, 6: an order-1 request picks 0. */
	block = ondol_alloc_pages(t.m, ONDOL_GFP_MEMALLOC, 1);
	assert_int_equal(pfn_of(&t, block), 0);
	mark_inner(0, true);
	assert_string_equal(frames_text(), "###.#.####.#....");
	assert_string_equal(map_text(), "01100100/0000/01");
	mark_inner(0, false);
	assert_string_equal(list_text(0), "3,5,10");
	assert_string_equal(list_text(1), "-");
	assert_string_equal(list_text(2), "12");
	/* 7: once more; 12 is split. */
	second = ondol_alloc_pages(t.m, ONDOL_GFP_MEMALLOC, 1);
	assert_int_equal(pfn_of(&t, second), upper ? 14 : 12);
	mark_inner(0, true);
	mark_inner(upper ? 14 : 12, true);
	assert_string_equal(frames_text(), upper ? "###.#.####.#..##" : "###.#.####.###..");
	mark_inner(0, false);
	mark_inner(upper ? 14 : 12, false);
	assert_string_equal(list_text(0), "3,5,10");
	assert_string_equal(list_text(1), upper ? "12" : "14");
	assert_string_equal(list_text(2), "-");
	assert_string_equal(map_text(), "01100100/0001/00");
	assert_valid(t.m);
	/* And back: 14 and 12 merge to what figure 4 was. */
	ondol_free_pages(t.m, second, 1);
	ondol_free_pages(t.m, block, 1);
	FIGURE("..#.#.####.#....", "3,5,10", "0", "12", "01100100/1000/01");
}

/* D7 with eager merging: figure 3 lasts no longer than the call that frees 1. */
static void figures_eagerly(bool upper)
{
	struct ondol_profile profile = ondol_profile_toy16;
	unsigned long merges;

	profile.split_hands_out_upper = upper;
	figures_begin(&profile);
	figure_1();
	give(3);
	FIGURE("###.#.####.#....", "3,5,10", "-", "12", "01100100/0000/01");
	give(0);
	FIGURE(".##.#.####.#....", "0,3,5,10", "-", "12", "11100100/0000/01");
	merges = zone->nr_merges;
	give(1);
	FIGURE("..#.#.####.#....", "3,5,10", "0", "12", "01100100/1000/01");
	assert_int_equal(zone->nr_merges - merges, 1); /* 2-3 is not free: stop */
	figures_5_to_7(upper);
	figures_end();
}

static void figures_2_6(void **state)
{
	(void)state;
	figures_eagerly(false);
}

static void figures_2_4(void **state)
{
	(void)state;
	figures_eagerly(true);
}

/* With per-CPU lists figure 3 stands still: 0 and 1 are free and not merged (D8). */
static void figures_lazily(void **state)
{
	struct ondol_profile profile = ondol_profile_toy16;

	(void)state;
	profile.pcp = true;
	profile.lazy = ONDOL_LAZY_PCP;
	figures_begin(&profile);
	figure_1();
	give(3);
	ondol_drain_all_pages(t.m);
	FIGURE("###.#.####.#....", "3,5,10", "-", "12", "01100100/0000/01");
	give(0);
	give(1);
	FIGURE("..#.#.####.#....", "3,5,10", "-", "12", "01100100/0000/01");
	assert_true(t.m->pages[0].flags & t.m->pages[1].flags & ONDOL_PG_PCP);
	ondol_drain_all_pages(t.m);
	FIGURE("..#.#.####.#....", "3,5,10", "0", "12", "01100100/1000/01");
	figures_end();
}

/* The last frame of figure 7's machine back: all merges to one block of order 4. */
static void all_merges(void **state)
{
	(void)state;
	figures_begin(&ondol_profile_toy16);
	figure_1();
	for (unsigned i = 0; i < 16; i++)
		if (frame[i])
			give(i);
	assert_string_equal(map_text(), "00000000/0000/00");
	assert_int_equal(zone->free_area[4].nr_free, 1);
	assert_int_equal(zone->free_area[4].head[0], 0);
	figures_end();
}

/* ------------------------------------------------------------------ D1 to D6 */

static void begin(uint64_t mib, const struct ondol_profile *profile)
{
	assert_int_equal(toy_new(&t, mib, 1, profile, NULL, NULL), 0);
	assert_valid(t.m);
}

/*
 * D3: classic 10 entries, modern 11; D2: each has lists and, but for the highest, and for order 0
 * of x86_64, a map.
 */
static void free_areas(void **state)
{
	static const struct { const struct ondol_profile *profile; unsigned orders; } want[] = {
		{ &ondol_profile_toy16, 5 }, { &ondol_profile_i386_2_4, 10 },
		{ &ondol_profile_i386_2_6, 11 }, { &ondol_profile_x86_64, 11 } };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		begin(32, want[i].profile);
		zone_for_each(t.m->phys, zone, k) {
			for (unsigned order = 0; order + 1 < want[i].orders; order++)
				assert_int_equal(zone->free_area[order].map != NULL,
						 order >= want[i].profile->map_from);
			assert_null(zone->free_area[want[i].orders - 1].map);
			assert_int_equal(zone->free_area[want[i].orders].nr_free, 0);
		}
		struct ondol_page *page =
			ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, want[i].orders - 1);

		assert_non_null(page);
		ondol_free_pages(t.m, page, want[i].orders - 1);
		frames_fini(&t);
	}
}

/* D4: an order too high is refused, with a reason, and nothing else happens. */
static void order_too_high(void **state)
{
	static const unsigned too_high[] = { 11, 12, 18, 19, 31, 32, 63, 64, UINT32_MAX };
	struct ondol_refusal why;

	(void)state;
	begin(32, NULL);
	uint64_t free = machine_stats(&t).pages_free;

	for (unsigned i = 0; i < sizeof too_high / sizeof *too_high; i++) {
		assert_null(ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, too_high[i]));
		ondol_last_refusal(t.m, &why);
		assert_int_equal(why.order, too_high[i]);
		assert_string_equal(why.reason,
				    "the order is above the highest that this profile has");
	}
	assert_int_equal(machine_stats(&t).pages_free, free);
	assert_int_equal(machine_stats(&t).nr_refused, sizeof too_high / sizeof *too_high);
	frames_fini(&t);
}

/* D6: a block starts at a multiple of its size, whatever the order and profile. */
static void blocks_are_aligned(void **state)
{
	static const struct ondol_profile *const profiles[] = {
		&ondol_profile_toy16, &ondol_profile_i386_2_4, &ondol_profile_i386_2_6,
		&ondol_profile_x86_64 };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		begin(16, profiles[i]);
		for (unsigned order = 0; order < profiles[i]->nr_orders; order++) {
			struct hoard h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, order);

			for (size_t k = 0; k < h.nr; k++)
				assert_int_equal(pfn_of(&t, h.page[k]) & ((1u << order) - 1), 0);
			assert_true(h.nr);
			assert_valid(t.m);
			hoard_free(&t, &h);
			assert_valid(t.m);
		}
		frames_fini(&t);
	}
}

/* A machine that begins anywhere: the array begins at a multiple of the largest block. */
static void odd_start(void **state)
{
	const struct ondol_mem_region map[] = { USABLE(MIB(3) + 4096 * 5, MIB(19) + 4096 * 3, 0) };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = map, .nr_regions = 1,
					   .nr_nodes = 1, .nr_cpus = 1 };

	(void)state;
	frames_init(&t, &desc);
	assert_int_equal(t.m->first_pfn & 1023, 0);
	assert_null(page_at(&t, t.m->first_pfn));
	assert_null(page_at(&t, 768 + 4));
	assert_non_null(page_at(&t, 768 + 5));
	for (unsigned order = 0; order < 11; order++) {
		struct hoard h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, order);

		for (size_t k = 0; k < h.nr; k++) {
			uint64_t pfn = pfn_of(&t, h.page[k]);

			assert_int_equal(pfn & ((1u << order) - 1), 0);
			assert_true(pfn >= 768 + 5 && pfn + (1u << order) <= 4864 + 3);
		}
		hoard_free(&t, &h);
	}
	frames_fini(&t);
}

/* D6, D8: after everything came back in a bad order, the free blocks are as at the start. */
static void merging_is_complete(void **state)
{
	(void)state;
	begin(16, &ondol_profile_i386_2_4);
	uint32_t before[10], at[10];

	zone = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_DMA)];
	for (unsigned k = 0; k < 10; k++)
		before[k] = zone->free_area[k].nr_free;
	struct hoard h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 0);

	assert_int_equal(zone->nr_free, 0);
	/* Every third, then every second of the rest, then all: no neighbours for long. */
	for (unsigned step = 3; step; step--) {
		size_t kept = 0;

		for (size_t i = 0; i < h.nr; i++) {
			if (i % step == 0)
				ondol_free_pages(t.m, h.page[i], 0);
			else
				h.page[kept++] = h.page[i];
		}
		h.nr = kept;
		assert_valid(t.m);
	}
	hoard_free(&t, &h);
	for (unsigned k = 0; k < 10; k++)
		at[k] = zone->free_area[k].nr_free;
	assert_memory_equal(before, at, sizeof before);
	frames_fini(&t);
}

/* Fragmented memory refuses an order although enough frames are free, and says so. */
static void fragmentation_is_told(void **state)
{
	struct ondol_refusal why;
	size_t kept = 0;

	(void)state;
	begin(16, &ondol_profile_i386_2_6);
	struct hoard h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 0);

	for (size_t i = 0; i < h.nr; i++) {
		if (pfn_of(&t, h.page[i]) & 1)
			ondol_free_pages(t.m, h.page[i], 0);
		else
			h.page[kept++] = h.page[i];
	}
	h.nr = kept;
	assert_null(ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 1));
	ondol_last_refusal(t.m, &why);
	assert_string_equal(why.reason, "memory is too fragmented for the order");
	assert_int_equal(why.nr_zones, 1);
	assert_string_equal(why.zone[0].name, "DMA");
	assert_int_equal(why.zone[0].largest_order, 0);
	assert_int_equal(why.zone[0].fragmentation_permille, 1000);
	assert_int_equal(why.zone[0].pages_free, zone_stats(&t, 0, "DMA").pages_free);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* A pageblock changes its type with the one who takes most of it, and back. */
static void migrate_types(void **state)
{
	(void)state;
	begin(64, NULL);
	struct hoard movable = hoard_all(&t, -1, ONDOL_GFP_HIGHUSER_MOVABLE, 0);
	uint64_t seen[2][128] = { { 0 } }; /* by pageblock */
	struct hoard kernel;
	unsigned mixed = 0;

	/* Every second pageblock comes back: the kernel's pages stay out of the others. */
	for (size_t i = 0, nr = movable.nr; i < nr;) {
		if (!(pfn_of(&t, movable.page[i]) >> 9 & 1)) {
			i++;
			continue;
		}
		ondol_free_pages(t.m, movable.page[i], 0);
		movable.page[i] = movable.page[--nr];
		movable.nr = nr;
	}
	kernel = (struct hoard){ .order = 0 };
	while (kernel.nr < 3000 && hoard_one(&t, &kernel, -1, ONDOL_GFP_KERNEL))
		;
	assert_int_equal(kernel.nr, 3000);
	for (size_t i = 0; i < kernel.nr; i++)
		seen[0][pfn_of(&t, kernel.page[i]) >> 9]++;
	for (size_t i = 0; i < movable.nr; i++)
		seen[1][pfn_of(&t, movable.page[i]) >> 9]++;
	for (unsigned i = 0; i < 128; i++)
		mixed += seen[0][i] && seen[1][i];
	assert_true(mixed <= 3); /* at the ends of the page array and the zones */
	assert_valid(t.m);
	hoard_free(&t, &movable);
	hoard_free(&t, &kernel);
	frames_fini(&t);
}

/* ------------------------------------------------------------------ damage */

static uint32_t list_head(unsigned order, unsigned *out_type)
{
	for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++) {
		uint32_t head = zone->free_area[order].head[type];

		if (head != ONDOL_PAGE_NIL) {
			*out_type = type;
			return head;
		}
	}
	fail_msg("no block of order %u", order);
	return 0;
}

/* [BUDDY-1] to [BUDDY-5]: each broken alone, named, and mended. */
static void broken_lists(void **state)
{
	struct ondol_page *pages;
	struct hoard h;
	unsigned type = 0;
	uint32_t head;

	(void)state;
	begin(32, NULL);
	zone = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_DMA32)];
	pages = t.m->pages;
	h = (struct hoard){ .order = 5 }; /* to have blocks of all orders above */
	assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	ondol_drain_all_pages(t.m);

	head = list_head(8, &type);
	zone->free_area[8].head[type] = head + 1;
	assert_broken(t.m, "BUDDY-1");
	zone->free_area[8].head[type] = 0; /* the zone below's */
	assert_broken(t.m, "BUDDY-1");
	zone->free_area[8].head[type] = head;

	zone->free_area[8].nr_free++;
	assert_broken(t.m, "BUDDY-2");
	zone->free_area[8].nr_free--;
	zone->nr_free++;
	assert_broken(t.m, "BUDDY-2");
	zone->nr_free--;

	bitmap_flip(zone->free_area[3].map, 1);
	assert_broken(t.m, "BUDDY-4");
	bitmap_flip(zone->free_area[3].map, 1);

	zone->free_area[8].head[type] = 1u << 30; /* no frame */
	assert_broken(t.m, "BUDDY-5");
	zone->free_area[8].head[type] = head;
	pages[head].buddy.prev = head;
	assert_broken(t.m, "BUDDY-5");
	pages[head].buddy.prev = ONDOL_PAGE_NIL;
	pages[head].buddy.migrate_type ^= 1;
	assert_broken(t.m, "BUDDY-5");
	pages[head].buddy.migrate_type ^= 1;
	pages[head].refcount = 1;
	assert_broken(t.m, "BUDDY-5");
	pages[head].refcount = 0;
	pages[head].flags |= ONDOL_PAGE_KERNEL;
	assert_broken(t.m, "BUDDY-5");
	pages[head].flags &= ~ONDOL_PG_USE_MASK;
	pages[head].flags ^= 1u << ONDOL_PG_ORDER_SHIFT;
	assert_broken(t.m, "BUDDY-5");
	pages[head].flags ^= 1u << ONDOL_PG_ORDER_SHIFT;
	uint32_t next = pages[head].buddy.next;
	pages[head].buddy.next = head; /* a ring */
	assert_broken(t.m, "BUDDY-5");
	pages[head].buddy.next = next;
	assert_valid(t.m);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* [BUDDY-3]: the pair's bit lies, so that the second of two buddies does not see the first. */
static void unmerged_buddies(void **state)
{
	(void)state;
	figures_begin(&ondol_profile_toy16);
	give(0);
	bitmap_flip(zone->free_area[0].map, 0);
	give(1);
	assert_broken(t.m, "BUDDY-3");
	bitmap_flip(zone->free_area[0].map, 0);
	assert_broken(t.m, "BUDDY-3");
	/* With one of the two taken again the bit is right. */
	struct ondol_page *again = ondol_alloc_pages(t.m, ONDOL_GFP_MEMALLOC, 0);

	assert_valid(t.m);
	frame[pfn_of(&t, again)] = again;
	figures_end();
}

/* [BUDDY-9]: a frame that is nowhere, and one that is in two places. */
static void frames_in_no_place(void **state)
{
	struct ondol_page *block, *single;
	uint32_t flags;

	(void)state;
	begin(32, NULL);
	block = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 3);
	single = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_COMP, 6);
	assert_true(block && single);
	block->refcount = 0;
	assert_broken(t.m, "BUDDY-9");
	block->refcount = 1;
	flags = block->flags;
	block->flags &= ~ONDOL_PG_USE_MASK;
	assert_broken(t.m, "BUDDY-9");
	block->flags = flags;
	block[7].refcount = 1; /* inside a block, but somebody holds it */
	assert_broken(t.m, "BUDDY-9");
	block[7].refcount = 0;
	flags = block[2].flags;
	block[2].flags |= ONDOL_PG_PCP;
	assert_broken(t.m, "BUDDY-9");
	block[2].flags = flags | ONDOL_PAGE_RESERVED;
	assert_broken(t.m, "BUDDY-9");
	block[2].flags = flags;
	single[5].slab.head++;
	assert_broken(t.m, "BUDDY-9");
	single[5].slab.head--;
	assert_valid(t.m);
	ondol_free_pages(t.m, block, 3);
	ondol_free_pages(t.m, single, 6);
	frames_fini(&t);
}

enum deed { FREE, PUT, GET, SPLIT, USE };

static bool panics(enum deed deed, struct ondol_page *page, unsigned order)
{
	if (TOY_PANICS(&t)) {
		t.expects_panic = false;
		return true;
	}
	switch (deed) {
	case FREE:
		ondol_free_pages(t.m, page, order);
		break;
	case PUT:
		ondol_put_page(t.m, page);
		break;
	case GET:
		ondol_get_page(t.m, page);
		break;
	case SPLIT:
		ondol_split_page(t.m, page, order);
		break;
	case USE:
		ondol_page_set_use(t.m, page, ONDOL_PAGE_ANON);
	}
	t.expects_panic = false;
	return false;
}

#define ASSERT_PANICS(id, deed, page, order)                                                  \
	do {                                                                                  \
		assert_true(panics(deed, page, order));                                       \
		assert_string_equal(t.panic.invariant, id);                                   \
	} while (0)

/* [BUDDY-6]: twice, by either way; references; after the block was merged away. */
static void double_free(void **state)
{
	static const struct ondol_profile *const profiles[] = { &ondol_profile_i386_2_4,
								&ondol_profile_x86_64 };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		begin(32, profiles[i]);
		for (unsigned order = 0; order < 9; order++) {
			struct ondol_page *page =
				ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, order);

			ondol_free_pages(t.m, page, order);
			ASSERT_PANICS("BUDDY-6", FREE, page, order);
			ASSERT_PANICS("BUDDY-6", GET, page, 0);
			page->refcount = 0; /* the attempt counted */
			ASSERT_PANICS("BUDDY-6", SPLIT, page, order);
			ASSERT_PANICS("BUDDY-6", USE, page, 0);
			ondol_drain_all_pages(t.m);
			ASSERT_PANICS("BUDDY-6", FREE, page, order);
		}
		struct ondol_page *page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);

		ondol_get_page(t.m, page);
		ondol_put_page(t.m, page);
		ondol_put_page(t.m, page);
		ASSERT_PANICS("BUDDY-6", PUT, page, 0);
		/* The middle of a block is not a block. */
		page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 2);
		ASSERT_PANICS("BUDDY-6", FREE, page + 1, 0);
		ondol_free_pages(t.m, page, 2);
		page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_COMP, 2);
		ASSERT_PANICS("BUDDY-6", FREE, page + 1, 0);
		ASSERT_PANICS("BUDDY-6", USE, page + 1, 0);
		ondol_free_pages(t.m, page, 2);
		frames_fini(&t);
	}
}

static char logged[200];

static void remember(void *ctx, enum ondol_log_level level, const char *line)
{
	(void)ctx;
	assert_int_equal(level, ONDOL_LOG_ERR);
	snprintf(logged, sizeof logged, "%s", line);
}

static __attribute__((noinline)) void free_once(struct ondol_page *page)
{
	ondol_free_pages(t.m, page, 0);
	__asm__ volatile(""); /* not a tail call: the address is in here */
}

/* Who, and where: the log has the frame, and where both frees were called. */
static void double_free_names_both(void **state)
{
	struct ondol_page *page;
	unsigned long long nr, by, before;

	(void)state;
	begin(32, &ondol_profile_x86_64);
	t.port.log = remember;
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	free_once(page);
	ASSERT_PANICS("BUDDY-6", FREE, page, 0);
	assert_int_equal(sscanf(logged, "double free of frame %llu, order 0, by 0x%llx; freed "
					"before by 0x%llx", &nr, &by, &before), 3);
	assert_int_equal(nr, pfn_of(&t, page));
	assert_in_range(before, (uintptr_t)free_once, (uintptr_t)free_once + 100);
	assert_int_not_equal(by, before);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 1);
	ASSERT_PANICS("BUDDY-7", FREE, page, 0);
	assert_non_null(strstr(logged, "was handed out with order 1 and comes back with 0, by 0x"));
	ondol_free_pages(t.m, page, 1);
	frames_fini(&t);
}

/* [BUDDY-7] */
static void wrong_order(void **state)
{
	(void)state;
	begin(32, NULL);
	for (unsigned order = 0; order < 9; order++) {
		struct ondol_page *page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, order);

		ASSERT_PANICS("BUDDY-7", FREE, page, order + 1);
		ASSERT_PANICS("BUDDY-7", FREE, page, order + 32);
		ASSERT_PANICS("BUDDY-7", SPLIT, page, order + 1);
		if (order) {
			ASSERT_PANICS("BUDDY-7", FREE, page, order - 1);
			ASSERT_PANICS("BUDDY-7", PUT, page, 0);
		}
		ondol_free_pages(t.m, page, order);
	}
	frames_fini(&t);
}

/* [BUDDY-8]: another machine's, none at all, between two records, reserved, a hole. */
static void foreign_frames(void **state)
{
	const struct ondol_mem_region map[] = { USABLE(0, MIB(12), 0), USABLE(MIB(16), MIB(32), 0),
						RESERVED(MIB(1), MIB(2)) };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = map, .nr_regions = 3,
					   .nr_nodes = 1, .nr_cpus = 1 };
	struct ondol_page elsewhere = { .flags = ONDOL_PAGE_KERNEL, .refcount = 1 };
	struct ondol_page *page;

	(void)state;
	frames_init(&t, &desc);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	ASSERT_PANICS("BUDDY-8", FREE, &elsewhere, 0);
	ASSERT_PANICS("BUDDY-8", FREE, NULL, 0);
	ASSERT_PANICS("BUDDY-8", FREE, t.m->pages - 1, 0);
	ASSERT_PANICS("BUDDY-8", FREE, t.m->pages + t.m->nr_pages, 0);
	ASSERT_PANICS("BUDDY-8", SPLIT, &elsewhere, 0);
	ASSERT_PANICS("BUDDY-8", FREE, (struct ondol_page *)((char *)page + 8), 0);
	ASSERT_PANICS("BUDDY-8", FREE, page_at(&t, 300), 0); /* reserved */
	ASSERT_PANICS("BUDDY-8", FREE, &t.m->pages[3072], 0); /* a hole */
	ondol_free_pages(t.m, page, 0);
	frames_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_2_6),
		cmocka_unit_test(figures_2_4),
		cmocka_unit_test(figures_lazily),
		cmocka_unit_test(all_merges),
		cmocka_unit_test(free_areas),
		cmocka_unit_test(order_too_high),
		cmocka_unit_test(blocks_are_aligned),
		cmocka_unit_test(odd_start),
		cmocka_unit_test(merging_is_complete),
		cmocka_unit_test(fragmentation_is_told),
		cmocka_unit_test(migrate_types),
		cmocka_unit_test(broken_lists),
		cmocka_unit_test(unmerged_buddies),
		cmocka_unit_test(frames_in_no_place),
		cmocka_unit_test(double_free),
		cmocka_unit_test(double_free_names_both),
		cmocka_unit_test(wrong_order),
		cmocka_unit_test(foreign_frames),
	};

	return cmocka_run_group_tests_name("buddy", tests, NULL, NULL);
}

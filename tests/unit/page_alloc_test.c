/* SPDX-License-Identifier: MIT */
/* The page allocator's promises: flags, references, refusals with numbers, shrinkers. */
#include <pthread.h>
#include <sched.h>

#include "support/frames.h"

#include "base/hooks.h"
#include "inspect/validate.h"
#include "phys/zone.h"

static struct toy t;

static void begin(uint64_t mib, const struct ondol_profile *profile)
{
	assert_int_equal(toy_new(&t, mib, 1, profile, NULL, NULL), 0);
	assert_valid(t.m);
}

/* Frames alone: uses are made up here that other layers would miss something of. */
static void assert_frames_valid(void)
{
	struct ondol_broken_invariant broken;

	if (!validate_phys(t.m, &broken))
		fail_msg("[%s] %s", broken.id, broken.text);
}

static unsigned char *bytes_of(const struct ondol_page *page)
{
	return ondol_page_address(t.m, page);
}

/* ------------------------------------------------------------------ flags and records */

static void zeroed(void **state)
{
	(void)state;
	begin(16, NULL);
	for (unsigned order = 0; order < 8; order++) {
		struct hoard h = { .order = order };
		size_t size = (size_t)4096 << order;

		for (unsigned i = 0; i < 12; i++) {
			assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
			memset(bytes_of(h.page[i]), 0xa5, size);
		}
		hoard_free(&t, &h);
		h = (struct hoard){ .order = order };
		for (unsigned i = 0; i < 12; i++) {
			assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL | ONDOL_GFP_ZERO));
			for (size_t k = 0; k < size; k += 8)
				assert_int_equal(*(uint64_t *)(bytes_of(h.page[i]) + k), 0);
		}
		hoard_free(&t, &h);
	}
	frames_fini(&t);
}

/* COMP: every frame of the block knows its head, and has the use of it. */
static void compound(void **state)
{
	(void)state;
	begin(16, NULL);
	for (unsigned order = 0; order < 8; order++) {
		struct ondol_page *page =
			ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_COMP, order);

		assert_non_null(page);
		assert_frames_valid();
		for (uint32_t i = 0; i < 1u << order; i++) {
			assert_ptr_equal(page_head(t.m->pages, &page[i]), page);
			assert_int_equal(ondol_page_use(&page[i]), ONDOL_PAGE_KERNEL);
		}
		ondol_page_set_use(t.m, page, ONDOL_PAGE_SLAB);
		for (uint32_t i = 0; i < 1u << order; i++)
			assert_int_equal(ondol_page_use(&page[i]), ONDOL_PAGE_SLAB);
		ondol_page_set_use(t.m, page, ONDOL_PAGE_KERNEL);
		assert_frames_valid();
		ondol_free_pages(t.m, page, order);
		for (uint32_t i = 0; i < 1u << order; i++)
			assert_int_equal(ondol_page_use(&page[i]), ONDOL_PAGE_FREE);
		assert_frames_valid();
	}
	frames_fini(&t);
}

static void references(void **state)
{
	struct ondol_page *page;
	uint64_t free;

	(void)state;
	begin(16, NULL);
	free = machine_stats(&t).pages_free;
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	assert_int_equal(ondol_page_count(page), 1);
	ondol_get_page(t.m, page);
	ondol_get_page(t.m, page);
	assert_int_equal(ondol_page_count(page), 3);
	ondol_put_page(t.m, page);
	ondol_put_page(t.m, page);
	assert_int_equal(ondol_page_count(page), 1);
	assert_int_equal(machine_stats(&t).pages_free, free - 1);
	ondol_put_page(t.m, page);
	assert_int_equal(ondol_page_count(page), 0);
	assert_int_equal(machine_stats(&t).pages_free, free);
	/* A block is freed with its last reference too. */
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 4);
	ondol_get_page(t.m, page);
	ondol_free_pages(t.m, page, 4);
	assert_int_equal(machine_stats(&t).pages_free, free - 16);
	ondol_free_pages(t.m, page, 4);
	assert_int_equal(machine_stats(&t).pages_free, free);
	frames_fini(&t);
}

static void split_page(void **state)
{
	(void)state;
	begin(16, NULL);
	for (unsigned order = 0; order < 8; order++) {
		struct ondol_machine_stats before = machine_stats(&t), after;
		struct ondol_page *page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, order);
		uint32_t nr = 1u << order;

		ondol_page_set_use(t.m, page, ONDOL_PAGE_ANON);
		ondol_split_page(t.m, page, order);
		assert_frames_valid();
		for (uint32_t i = 0; i < nr; i++) {
			assert_int_equal(ondol_page_count(&page[i]), 1);
			assert_int_equal(ondol_page_use(&page[i]), ONDOL_PAGE_ANON);
		}
		after = machine_stats(&t);
		assert_int_equal(after.pages[ONDOL_PAGE_ANON], nr);
		for (uint32_t i = nr; i--;) { /* from the back, each on its own */
			ondol_put_page(t.m, &page[i]);
			assert_frames_valid();
		}
		after = machine_stats(&t);
		assert_int_equal(after.pages[ONDOL_PAGE_ANON], 0);
		assert_int_equal(after.pages_free, before.pages_free);
		assert_int_equal(after.nr_allocs - before.nr_allocs,
				 after.nr_frees - before.nr_frees);
	}
	frames_fini(&t);
}

/* Frames by use: they add up, whatever order and way. */
static void uses_are_counted(void **state)
{
	struct ondol_machine_stats before, now;
	struct ondol_page *page[5];

	(void)state;
	begin(16, NULL);
	before = machine_stats(&t);
	for (unsigned i = 0; i < 5; i++) {
		page[i] = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, i);
		ondol_page_set_use(t.m, page[i], (enum ondol_page_use)(ONDOL_PAGE_KERNEL + i));
	}
	now = machine_stats(&t);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(now.pages[ONDOL_PAGE_KERNEL + i] -
				 before.pages[ONDOL_PAGE_KERNEL + i], 1u << i);
	assert_frames_valid();
	for (unsigned i = 0; i < 5; i++)
		ondol_free_pages(t.m, page[i], i);
	now = machine_stats(&t);
	assert_memory_equal(now.pages, before.pages, sizeof now.pages);
	for (unsigned use = 0; use < ONDOL_NR_PAGE_USES; use++)
		assert_true(ondol_page_use_name((enum ondol_page_use)use)[0] != '?');
	assert_string_equal(ondol_page_use_name(ONDOL_NR_PAGE_USES), "?");
	frames_fini(&t);
}

static void frames_and_numbers(void **state)
{
	struct ondol_page *page;

	(void)state;
	begin(16, NULL);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 3);
	uint64_t pfn = pfn_of(&t, page);

	assert_ptr_equal(page_at(&t, pfn), page);
	assert_ptr_equal(page_at(&t, pfn + 7), page + 7);
	assert_ptr_equal(bytes_of(page), (char *)t.ram + (pfn << 12));
	assert_null(page_at(&t, 4096));
	assert_null(page_at(&t, UINT64_MAX));
	ondol_free_pages(t.m, page, 3);
	frames_fini(&t);
}

/* ------------------------------------------------------------------ watermarks and flags */

static uint64_t free_after(ondol_gfp_t gfp)
{
	struct hoard h = hoard_all(&t, -1, gfp, 0);
	uint64_t free = zone_stats(&t, 0, "DMA").pages_free;

	assert_int_equal(zone_stats(&t, 0, "DMA").pcp_pages, 0);
	hoard_free(&t, &h);
	return free;
}

/* How far down each may go: the mark, half of it, nothing. */
static void how_deep(void **state)
{
	uint64_t min;

	(void)state;
	begin(16, NULL);
	min = zone_stats(&t, 0, "DMA").watermark_min;
	assert_true(min >= 100);
	assert_int_equal(free_after(ONDOL_GFP_NOWAIT), min);
	assert_int_equal(free_after(ONDOL_GFP_KERNEL), min);
	assert_int_equal(free_after(ONDOL_GFP_ATOMIC), min - min / 2);
	assert_int_equal(free_after(ONDOL_GFP_MEMALLOC), 0);
	assert_int_equal(free_after(ONDOL_GFP_MEMALLOC | ONDOL_GFP_HIGH), 0);
	frames_fini(&t);
}

struct log { unsigned nr; char line[160]; };
static struct log logged;

static void remember(void *ctx, enum ondol_log_level level, const char *line)
{
	(void)ctx;
	assert_int_equal(level, ONDOL_LOG_WARN);
	logged.nr++;
	snprintf(logged.line, sizeof logged.line, "%s", line);
}

/* The numbers of a refusal are those of the zones it went through. */
static void refusal_numbers(void **state)
{
	const struct ondol_mem_region all[] = { USABLE(0, MIB(32), 0),
						USABLE(MIB(32), MIB(48), 1) };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = all, .nr_regions = 2,
					   .nr_nodes = 2, .nr_cpus = 1 };
	struct ondol_refusal why;
	struct hoard h;

	(void)state;
	frames_init(&t, &desc);
	t.port.log = remember;
	logged.nr = 0;
	ondol_last_refusal(t.m, &why);
	assert_int_equal(why.nr_zones, 0);
	assert_null(why.reason);
	h = hoard_all(&t, 1, ONDOL_GFP_KERNEL, 2);
	assert_int_equal(logged.nr, 0); /* NOWARN */
	ondol_last_refusal(t.m, &why);
	assert_int_equal(why.gfp, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN);
	assert_int_equal(why.order, 2);
	assert_int_equal(why.node, 1);
	assert_int_equal(why.nr_zones, 3);
	assert_string_equal(why.reason, "free memory would fall below the watermark");
	static const struct { const char *name; uint16_t node; } order[] = {
		{ "DMA32", 1 }, { "DMA32", 0 }, { "DMA", 0 } };

	for (unsigned i = 0; i < 3; i++) {
		struct ondol_zone_stats zone = zone_stats(&t, order[i].node, order[i].name);

		assert_string_equal(why.zone[i].name, order[i].name);
		assert_int_equal(why.zone[i].node, order[i].node);
		assert_int_equal(why.zone[i].pages_free, zone.pages_free);
		assert_int_equal(why.zone[i].watermark, zone.watermark_min);
		assert_true(why.zone[i].pages_free <
			    why.zone[i].watermark + why.zone[i].lowmem_reserve + 4);
		assert_true(why.zone[i].largest_order >= 0);
		assert_true(why.zone[i].fragmentation_permille < 1000);
	}
	assert_true(why.zone[2].lowmem_reserve > 0);
	assert_int_equal(why.zone[0].lowmem_reserve, 0);
	/* With THISNODE one zone was looked at; with a warning it is in the log. */
	assert_null(ondol_alloc_pages_node(t.m, 1, ONDOL_GFP_KERNEL | ONDOL_GFP_THISNODE, 2));
	ondol_last_refusal(t.m, &why);
	assert_int_equal(why.nr_zones, 1);
	assert_int_equal(logged.nr, 1);
	assert_string_equal(logged.line, "page allocation refused: order 2, gfp 0x180: free memory "
					 "would fall below the watermark");
	assert_int_equal(machine_stats(&t).nr_refused, 2);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* Half of memory free, frame by frame: the index says pieces, and so does the text. */
static void refusal_text(void **state)
{
	struct ondol_refusal why;
	char text[2000], piece[40];
	size_t length;

	(void)state;
	begin(8, NULL);
	struct hoard h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 0);

	for (size_t i = 0; i < h.nr; i++)
		if (pfn_of(&t, h.page[i]) & 1)
			ondol_free_pages(t.m, h.page[i], 0);
	assert_null(ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, 5));
	ondol_last_refusal(t.m, &why);
	assert_int_equal(why.zone[0].largest_order, 0);
	/* All blocks of one frame where 32 were wanted: 1000 - 1000 / 32, about. */
	assert_in_range(why.zone[0].fragmentation_index, 960, 970);
	assert_int_equal(why.zone[0].fragmentation_permille, 1000);
	assert_int_equal(why.zone[0].pages_listed, 0);
	length = ondol_refusal_text(&why, text, sizeof text);
	assert_int_equal(length, strlen(text));
	assert_non_null(strstr(text, "refused: order 5 (32 pages)"));
	assert_non_null(strstr(text, "memory is too fragmented for the order"));
	assert_non_null(strstr(text, "node 0 DMA: "));
	assert_non_null(strstr(text, "free, but in pieces"));
	assert_int_equal(ondol_refusal_text(&why, piece, sizeof piece), length);
	assert_int_equal(strlen(piece), sizeof piece - 1);
	assert_memory_equal(piece, text, sizeof piece - 1);
	assert_int_equal(ondol_refusal_text(&why, piece, 0), length);
	for (size_t i = 0; i < h.nr; i++)
		if (!(pfn_of(&t, h.page[i]) & 1))
			ondol_free_pages(t.m, h.page[i], 0);
	free(h.page);
	frames_fini(&t);
	memset(&why, 0, sizeof why);
	(void)ondol_refusal_text(&why, text, sizeof text);
	assert_string_equal(text, "no request was refused\n");
}

/* Nothing free at all: the largest block is none. */
static void empty_zone(void **state)
{
	struct ondol_refusal why;

	(void)state;
	begin(8, NULL);
	struct hoard h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 0);

	ondol_last_refusal(t.m, &why);
	assert_int_equal(why.zone[0].pages_free, 0);
	assert_int_equal(why.zone[0].largest_order, -1);
	assert_int_equal(why.zone[0].fragmentation_permille, 1000);
	assert_valid(t.m);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* ------------------------------------------------------------------ shrinkers */

struct larder { /* gives back what it has when asked; `nested` asks for a page itself */
	struct hoard h;
	unsigned asked, per_call;
	uint64_t want;
	bool nested, got_nested;
};

static uint64_t shrink(struct ondol_machine *m, void *ctx, uint64_t nr_pages)
{
	struct larder *larder = ctx;
	uint64_t freed = 0;

	larder->asked++;
	larder->want = nr_pages;
	if (larder->nested) {
		struct ondol_page *page = ondol_alloc_pages(m, ONDOL_GFP_KERNEL, 0);

		larder->got_nested |= page != NULL;
		if (page)
			ondol_free_pages(m, page, 0);
	}
	for (; freed < larder->per_call && larder->h.nr; freed++)
		ondol_free_pages(m, larder->h.page[--larder->h.nr], 0);
	return freed;
}

static void shrinkers(void **state)
{
	struct larder larder[2] = { { .per_call = 10 }, { .per_call = 30 } };
	struct ondol_page *page;
	struct hoard rest;

	(void)state;
	begin(8, NULL);
	assert_int_equal(ondol_register_shrinker(t.m, NULL, NULL), -ONDOL_EINVAL);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(ondol_register_shrinker(t.m, shrink, &larder[i]), 0);
	for (unsigned i = 0; i < 200; i++)
		assert_true(hoard_one(&t, &larder[i & 1].h, -1, ONDOL_GFP_KERNEL));
	rest = hoard_all(&t, -1, ONDOL_GFP_NOWAIT, 0);
	/* Only who may wait asks, and only when all else failed. */
	assert_int_equal(larder[0].asked + larder[1].asked, 0);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	assert_non_null(page);
	assert_int_equal(larder[0].asked, 1);
	assert_int_equal(larder[1].asked, 1);
	assert_int_equal(larder[0].h.nr, 90);
	assert_int_equal(larder[1].h.nr, 70);
	assert_true(larder[0].want >= 32);
	ondol_free_pages(t.m, page, 0);
	/* A large block: as long as that helps, and then it is refused. */
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, 7);
	if (page)
		ondol_free_pages(t.m, page, 7);
	else
		assert_int_equal(larder[0].h.nr + larder[1].h.nr, 0);
	assert_true(larder[0].asked > 1 && larder[0].want >= 128);
	/* Who is about to free memory does not wait for others to. */
	unsigned asked = larder[0].asked;
	struct hoard all = hoard_all(&t, -1, ONDOL_GFP_RECLAIM | ONDOL_GFP_MEMALLOC, 0);

	assert_int_equal(larder[0].asked, asked);
	hoard_free(&t, &all);
	for (unsigned i = 0; i < 2; i++)
		hoard_free(&t, &larder[i].h);
	hoard_free(&t, &rest);
	frames_fini(&t);
}

/* A shrinker that allocates does not end up in itself. */
static void nested_reclaim(void **state)
{
	struct larder larder = { .per_call = 1, .nested = true };
	struct ondol_page *page;
	struct hoard rest;

	(void)state;
	begin(8, NULL);
	assert_int_equal(ondol_register_shrinker(t.m, shrink, &larder), 0);
	for (unsigned i = 0; i < 50; i++)
		assert_true(hoard_one(&t, &larder.h, -1, ONDOL_GFP_KERNEL));
	rest = hoard_all(&t, -1, ONDOL_GFP_NOWAIT, 0);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	assert_non_null(page);
	assert_false(larder.got_nested);
	assert_int_equal(larder.asked, 1);
	ondol_free_pages(t.m, page, 0);
	hoard_free(&t, &larder.h);
	hoard_free(&t, &rest);
	frames_fini(&t);
}

static void too_many_shrinkers(void **state)
{
	struct larder larder = { .per_call = 1 };
	unsigned nr = 0;

	(void)state;
	begin(8, NULL);
	while (!ondol_register_shrinker(t.m, shrink, &larder))
		nr++;
	assert_in_range(nr, ONDOL_SHRINKERS_MAX - 2, ONDOL_SHRINKERS_MAX); /* the slab's own */
	assert_int_equal(ondol_register_shrinker(t.m, shrink, &larder), -ONDOL_ENOMEM);
	frames_fini(&t);
}

/* ------------------------------------------------------------------ the end */

/* NOFAIL takes what is kept back, and what a plan would refuse; of nothing it makes a panic. */
static void never_refused(void **state)
{
	struct ondol_fail_plan plan = { .nth = { [ONDOL_FAIL_ALLOC_PAGES] = 1 },
					.persistent = true };
	struct hoard h;
	size_t kept;

	(void)state;
	begin(16, NULL);
	h = hoard_all(&t, -1, ONDOL_GFP_KERNEL, 0);
	kept = machine_stats(&t).pages_free;
	assert_true(kept > 100);
	ondol_set_fail_plan(t.m, &plan);
	for (size_t i = 0; i < kept; i++)
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL | ONDOL_GFP_NOFAIL));
	ondol_set_fail_plan(t.m, NULL);
	assert_int_equal(machine_stats(&t).pages_free, 0);
	if (!TOY_PANICS(&t)) {
		(void)ondol_alloc_pages(t.m, ONDOL_GFP_NOFAIL, 0);
		fail_msg("where from?");
	}
	t.expects_panic = false;
	assert_string_equal(t.panic.invariant, "NOFAIL-1");
	if (!TOY_PANICS(&t)) {
		(void)ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOFAIL, 11);
		fail_msg("of what order?");
	}
	t.expects_panic = false;
	assert_string_equal(t.panic.invariant, "NOFAIL-1");
	hoard_free(&t, &h);
	frames_fini(&t);
}

static void *ask_and_wait(void *waiting)
{
	struct ondol_page *page;

	frames_cpu = 1;
	__atomic_store_n((bool *)waiting, true, __ATOMIC_RELEASE);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOFAIL, 0);
	ondol_free_pages(t.m, page, 0);
	return page;
}

/* With a second CPU it waits until that frees something. */
static void never_refused_but_waits(void **state)
{
	const struct ondol_mem_region all[] = { USABLE(0, MIB(16), 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 2, NULL);
	bool waiting = false;
	struct ondol_page *page;
	pthread_t thread;
	struct hoard h;
	void *got;

	(void)state;
	frames_init(&t, &desc);
	h = hoard_all(&t, -1, ONDOL_GFP_KERNEL | ONDOL_GFP_MEMALLOC, 0);
	assert_int_equal(pthread_create(&thread, NULL, ask_and_wait, &waiting), 0);
	while (!__atomic_load_n(&waiting, __ATOMIC_ACQUIRE))
		sched_yield();
	page = h.page[--h.nr];
	ondol_free_pages(t.m, page, 0);
	assert_int_equal(pthread_join(thread, &got), 0);
	assert_ptr_equal(got, page);
	hoard_free(&t, &h);
	frames_fini(&t);
}

static void leaks_are_told(void **state)
{
	struct ondol_page *page;

	(void)state;
	begin(8, NULL);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	assert_int_equal(ondol_machine_fini(t.m), -ONDOL_EBUSY);
	ondol_free_pages(t.m, page, 0);
	frames_fini(&t);
}

/* Two machines in one program know nothing of each other. */
static void two_machines(void **state)
{
	struct toy other;
	struct ondol_page *a, *b;

	(void)state;
	begin(8, NULL);
	assert_int_equal(toy_new(&other, 8, 1, &ondol_profile_i386_2_4, NULL, NULL), 0);
	struct ondol_machine_stats before = machine_stats(&other);

	struct hoard h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 0);
	struct ondol_machine_stats after = machine_stats(&other);

	assert_memory_equal(&before, &after, sizeof before);
	a = ondol_alloc_pages(other.m, ONDOL_GFP_KERNEL, 0);
	assert_non_null(a);
	if (!TOY_PANICS(&t)) {
		ondol_free_pages(t.m, a, 0);
		fail_msg("freed another machine's frame");
	}
	t.expects_panic = false;
	assert_string_equal(t.panic.invariant, "BUDDY-8");
	b = ondol_alloc_pages(other.m, ONDOL_GFP_KERNEL, 0);
	ondol_free_pages(other.m, b, 0);
	hoard_free(&t, &h);
	frames_fini(&t);
	(void)toy_free(&other); /* one frame is out */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeroed),
		cmocka_unit_test(compound),
		cmocka_unit_test(references),
		cmocka_unit_test(split_page),
		cmocka_unit_test(uses_are_counted),
		cmocka_unit_test(frames_and_numbers),
		cmocka_unit_test(how_deep),
		cmocka_unit_test(refusal_numbers),
		cmocka_unit_test(refusal_text),
		cmocka_unit_test(empty_zone),
		cmocka_unit_test(shrinkers),
		cmocka_unit_test(nested_reclaim),
		cmocka_unit_test(too_many_shrinkers),
		cmocka_unit_test(never_refused),
		cmocka_unit_test(never_refused_but_waits),
		cmocka_unit_test(leaks_are_told),
		cmocka_unit_test(two_machines),
	};

	return cmocka_run_group_tests_name("page_alloc", tests, NULL, NULL);
}

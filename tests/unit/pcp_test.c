/* SPDX-License-Identifier: MIT */
/* Per-CPU page lists: refill, spill, drain, and D8: merging put off but forced before a refusal. */
#include "support/frames.h"

#include "phys/pcp.h"
#include "phys/shelf.h"
#include "phys/zone.h"

static struct toy t;
static struct ondol_zone *zone;
static struct pcp_list *list; /* CPU 0's of order 0, unmovable */

static void begin(uint64_t mib, uint32_t cpus)
{
	const struct ondol_mem_region all[] = { USABLE(0, mib << 20, 0) };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = all, .nr_regions = 1,
					   .nr_nodes = 1, .nr_cpus = cpus };

	frames_init(&t, &desc);
	ondol_drain_all_pages(t.m);
	zone = &t.m->phys->zones[zone_id(0, mib > 16 ? ONDOL_ZONE_DMA32 : ONDOL_ZONE_DMA)];
	list = zone->pcp[0].list[MIGRATE_UNMOVABLE];
	assert_ptr_equal(list, t.m->phys->cpus[0].lists[ONDOL_GFP_KERNEL & 31]);
}

static uint32_t nr_on(const struct pcp_list *of)
{
	return (uint32_t)(of->top - of->base);
}

static uint64_t splits(void)
{
	return machine_stats(&t).nr_splits;
}

/* [PCP-3] is about these: at most 256 blocks, at most 1/256 of the zone for all CPUs. */
static void capacities(void **state)
{
	static const struct { uint64_t mib; uint32_t cpus; uint16_t cap[PCP_SLOTS]; } want[] = {
		{ 8, 1, { 8, 4, 2, 2, 2, 0 } },
		{ 64, 1, { 48, 24, 12, 6, 3, 0 } },
		{ 512, 1, { 256, 128, 64, 32, 16, 0 } },
		{ 1024, 1, { 256, 128, 64, 32, 16, 1 } },
		{ 4000, 1, { 256, 128, 64, 32, 16, 7 } },
		{ 64, 8, { 6, 3, 2, 2, 2, 0 } } };

	(void)state;
	for (unsigned i = 0; i < NR(want); i++) {
		begin(want[i].mib, want[i].cpus);
		for (unsigned slot = 0; slot < PCP_SLOTS; slot++)
			assert_int_equal(list[slot].cap, want[i].cap[slot]);
		frames_fini(&t);
	}
}

/* The marks follow traffic: a list doubles what it may hold up to its cap, a drain shrinks it. */
static void adaptive(void **state)
{
	struct hoard h = { .order = 0 };

	(void)state;
	begin(512, 1);
	assert_int_equal(list->end - list->base, 64);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	assert_int_equal(list->end - list->base, 256);
	assert_int_equal(list[1].end - list[1].base, 32);
	ondol_drain_all_pages(t.m);
	assert_int_equal(list->end - list->base, 64);
	while (h.nr > 100)
		ondol_free_pages(t.m, h.page[--h.nr], 0);
	assert_int_equal(list->end - list->base, 256);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* One lock serves a whole batch: the next allocations touch the zone not at all. */
static void refill(void **state)
{
	struct hoard h = { .order = 0 };
	uint32_t batch, free;

	(void)state;
	begin(512, 1);
	batch = (uint32_t)(list->end - list->base) / 2;
	free = zone->nr_free;
	assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	assert_int_equal(zone->nr_free, free - batch);
	assert_int_equal(nr_on(list), batch - 1);
	assert_valid(t.m);
	uint64_t before = splits();
	uint32_t runs = 1;

	/* Runs side by side, each from its lowest address up. */
	for (uint32_t i = 1; i < batch; i++) {
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
		runs += pfn_of(&t, h.page[i]) != pfn_of(&t, h.page[i - 1]) + 1;
	}
	assert_in_range(runs, 1, 7); /* orders 0 to 6 */
	assert_int_equal(splits(), before);
	assert_int_equal(nr_on(list), 0);
	assert_int_equal(zone->nr_free, free - batch);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* The huge order has lists too, where the zone is large. */
static void huge_pages(void **state)
{
	struct ondol_page *page;

	(void)state;
	begin(2048, 1);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, PCP_HUGE_ORDER);
	assert_non_null(page);
	uint32_t free = zone->nr_free;

	for (unsigned i = 0; i < 100; i++) {
		ondol_free_pages(t.m, page, PCP_HUGE_ORDER);
		assert_true(nr_on(&list[PCP_SMALL_ORDERS]) > 0);
		assert_ptr_equal(ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, PCP_HUGE_ORDER), page);
	}
	assert_int_equal(zone->nr_free, free);
	ondol_free_pages(t.m, page, PCP_HUGE_ORDER);
	frames_fini(&t);
}

/* What comes back is handed out next, last in first out, and nothing is merged meanwhile. */
static void hot_pages_first(void **state)
{
	struct ondol_page *a, *b, *c;

	(void)state;
	begin(512, 1);
	a = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	b = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	uint64_t merges = machine_stats(&t).nr_merges, before = splits();

	for (unsigned i = 0; i < 1000; i++) {
		ondol_free_pages(t.m, a, 0);
		ondol_free_pages(t.m, b, 0);
		c = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
		assert_ptr_equal(c, b);
		c = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
		assert_ptr_equal(c, a);
	}
	assert_int_equal(machine_stats(&t).nr_merges, merges);
	assert_int_equal(splits(), before);
	ondol_free_pages(t.m, a, 0);
	ondol_free_pages(t.m, b, 0);
	frames_fini(&t);
}

/* A full list gives its older half away, and keeps what was freed last. */
static void spill(void **state)
{
	struct hoard h = { .order = 1 };
	uint32_t cap, free;

	(void)state;
	begin(512, 1);
	cap = list[1].cap;
	while (h.nr < 4 * cap || nr_on(&list[1]))
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	assert_int_equal(list[1].end - list[1].base, cap);
	free = zone->nr_free;
	for (uint32_t i = 0; i < cap; i++)
		ondol_free_pages(t.m, h.page[--h.nr], 1);
	assert_int_equal(pcp_pages(zone, 0), 2 * cap);
	assert_int_equal(zone->nr_free, free);
	assert_valid(t.m);
	uint64_t last = pfn_of(&t, h.page[h.nr - 1]);

	ondol_free_pages(t.m, h.page[--h.nr], 1);
	assert_int_equal(nr_on(&list[1]), cap / 2 + 1);
	assert_int_equal(zone->nr_free, free + cap);
	assert_int_equal(list[1].top[-1], last - t.m->first_pfn);
	assert_valid(t.m);
	/* Back and forth over the edge: the zone is left alone. */
	free = zone->nr_free;
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 4; i++)
			assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
		for (unsigned i = 0; i < 4; i++)
			ondol_free_pages(t.m, h.page[--h.nr], 1);
	}
	assert_int_equal(zone->nr_free, free);
	hoard_free(&t, &h);
	frames_fini(&t);
}

static void drain(void **state)
{
	struct hoard h[PCP_SMALL_ORDERS];
	uint64_t free;

	(void)state;
	begin(64, 2);
	free = zone->nr_free;
	for (unsigned order = 0; order < PCP_SMALL_ORDERS; order++) {
		h[order] = (struct hoard){ .order = order };
		for (unsigned i = 0; i < 40; i++) {
			frames_cpu = i & 1;
			assert_true(hoard_one(&t, &h[order], -1,
					      i & 2 ? ONDOL_GFP_KERNEL :
						      ONDOL_GFP_HIGHUSER_MOVABLE));
		}
	}
	for (unsigned order = 0; order < PCP_SMALL_ORDERS; order++) {
		frames_cpu = order & 1;
		hoard_free(&t, &h[order]);
	}
	frames_cpu = 0;
	assert_true(pcp_pages(zone, 0) > 16 && pcp_pages(zone, 1) > 16);
	assert_valid(t.m);
	ondol_drain_all_pages(t.m);
	assert_int_equal(pcp_pages(zone, 0) + pcp_pages(zone, 1), 0);
	assert_int_equal(zone->shelves.frames, 0);
	assert_int_equal(zone->nr_free, free);
	frames_fini(&t);
}

/* Free counts what the lists hold; so does the leak check. */
static void listed_pages_are_free(void **state)
{
	struct ondol_machine_stats before, after;
	struct ondol_page *page;

	(void)state;
	begin(64, 1);
	before = machine_stats(&t);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	after = machine_stats(&t);
	assert_int_equal(after.pages_free, before.pages_free - 1);
	assert_int_equal(after.pages[ONDOL_PAGE_KERNEL], before.pages[ONDOL_PAGE_KERNEL] + 1);
	assert_true(after.pages_used_peak >= before.pages_total - before.pages_free -
					     before.pages[ONDOL_PAGE_RESERVED] + 1);
	ondol_free_pages(t.m, page, 0);
	after = machine_stats(&t);
	assert_int_equal(after.pages_free, before.pages_free);
	assert_true(zone_stats(&t, 0, "DMA32").pcp_pages > 0);
	assert_int_equal(after.nr_allocs - before.nr_allocs, 1);
	assert_int_equal(after.nr_frees - before.nr_frees, 1);
	frames_fini(&t);
}

/* The peak is the most frames out at once, however little of it the zone saw. */
static void peak(void **state)
{
	struct hoard h = { .order = 0 };
	uint64_t base;

	(void)state;
	begin(512, 1);
	base = machine_stats(&t).pages_used_peak;
	for (unsigned i = 0; i < 40; i++) /* within one magazine */
		assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	hoard_free(&t, &h);
	h = (struct hoard){ .order = 0 };
	assert_true(hoard_one(&t, &h, -1, ONDOL_GFP_KERNEL));
	hoard_free(&t, &h);
	assert_in_range(machine_stats(&t).pages_used_peak, base, base + 40);
	struct ondol_machine_stats now = machine_stats(&t);
	uint64_t used = now.pages_total - now.pages_free - now.pages[ONDOL_PAGE_RESERVED];

	assert_int_equal(now.pages_used_peak, base > used + 40 ? base : used + 40);
	frames_fini(&t);
}

static unsigned nr_within(const struct hoard *h, uint64_t from)
{
	unsigned nr = 0;

	for (size_t i = 0; i < h->nr; i++)
		nr += pfn_of(&t, h->page[i]) - from < 8;
	return nr;
}

/* D8: what lists hold back is merged by force before an order is refused. */
static void drained_before_refusal(void **state)
{
	struct ondol_page *block;
	struct hoard h;
	size_t kept = 0;
	uint64_t from;

	(void)state;
	begin(8, 1);
	/* Everything out but one aligned block of 8, whose frames are on the lists in pieces. */
	h = hoard_all(&t, -1, ONDOL_GFP_MEMALLOC, 0);
	from = (pfn_of(&t, h.page[h.nr / 2]) + 7) & ~7ull;
	while (nr_within(&h, from) < 8)
		from += 8;
	for (size_t i = 0; i < h.nr; i++) {
		uint64_t pfn = pfn_of(&t, h.page[i]);

		if (pfn >= from && pfn < from + 8)
			ondol_free_pages(t.m, h.page[i], 0);
		else
			h.page[kept++] = h.page[i];
	}
	assert_int_equal(h.nr - kept, 8);
	h.nr = kept;
	assert_true(pcp_pages(zone, 0) > 0);
	for (unsigned order = 3; order <= t.m->phys->max_order; order++)
		assert_int_equal(zone->free_area[order].nr_free, 0);
	block = ondol_alloc_pages(t.m, ONDOL_GFP_MEMALLOC, 3);
	assert_non_null(block);
	assert_int_equal(pfn_of(&t, block), from);
	ondol_free_pages(t.m, block, 3);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* D8: under churn the lists save the zone nearly all merges and splits. */
static void fewer_merges_than_eagerly(void **state)
{
	struct ondol_profile eager = ondol_profile_x86_64;
	uint64_t work[2];

	(void)state;
	eager.pcp = false;
	eager.lazy = ONDOL_LAZY_EAGER;
	for (unsigned lazy = 0; lazy < 2; lazy++) {
		assert_int_equal(toy_new(&t, 512, 1, lazy ? NULL : &eager, NULL, NULL), 0);
		struct ondol_machine_stats before = machine_stats(&t), after;
		struct ondol_page *page[32] = { NULL };
		uint32_t random = 1;

		for (unsigned i = 0; i < 20000; i++) {
			unsigned at = (random = random * 1103515245 + 12345) >> 16 & 31;

			if (page[at])
				ondol_free_pages(t.m, page[at], 0);
			page[at] = page[at] ? NULL : ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
		}
		for (unsigned i = 0; i < 32; i++)
			if (page[i])
				ondol_free_pages(t.m, page[i], 0);
		after = machine_stats(&t);
		work[lazy] = after.nr_merges - before.nr_merges + after.nr_splits -
			     before.nr_splits;
		frames_fini(&t);
	}
	print_message("# merges and splits: eager %llu, pcp %llu\n", (unsigned long long)work[0],
		      (unsigned long long)work[1]);
	assert_true(work[1] * 10 < work[0]);
}

/* One CPU allocates and another frees: pages go home, nothing piles up. */
static void one_allocates_another_frees(void **state)
{
	(void)state;
	begin(64, 2);
	uint32_t cap = zone->pcp[1].list[0][0].cap;

	for (unsigned i = 0; i < 20000; i++) {
		frames_cpu = 0;
		struct ondol_page *page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);

		assert_non_null(page);
		frames_cpu = 1;
		ondol_free_pages(t.m, page, 0);
		assert_true(pcp_pages(zone, 1) <= cap + 1u);
	}
	frames_fini(&t);
}

/* The newest frame, in hand, is one of its list like any other: for counts, peak and order. */
static void in_hand(void **state)
{
	struct ondol_page *a, *b, *movable;
	const struct phys_cpu *cpu;
	struct ondol_machine_stats before, after;
	uint32_t listed;

	(void)state;
	begin(512, 1);
	cpu = t.m->phys->cpus;
	a = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	b = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	movable = ondol_alloc_pages(t.m, ONDOL_GFP_HIGHUSER_MOVABLE, 0);
	before = machine_stats(&t);
	listed = pcp_pages(zone, 0);
	ondol_free_pages(t.m, a, 0);
	assert_int_equal(cpu->hot, page_index(t.m, a));
	assert_ptr_equal(cpu->hot_list, list);
	ondol_free_pages(t.m, b, 0);
	assert_int_equal(cpu->hot, page_index(t.m, b));
	assert_int_equal(list->top[-1], page_index(t.m, a));
	assert_int_equal(pcp_pages(zone, 0), listed + 2);
	assert_valid(t.m);
	/* One of another type takes its place, which a request for the first does not get. */
	ondol_free_pages(t.m, movable, 0);
	assert_int_equal(cpu->hot, page_index(t.m, movable));
	assert_int_equal(list->top[-1], page_index(t.m, b));
	assert_int_equal(pcp_pages(zone, 0), listed + 3);
	assert_ptr_equal(ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0), b);
	assert_int_equal(cpu->hot, page_index(t.m, movable));
	assert_ptr_equal(ondol_alloc_pages(t.m, ONDOL_GFP_HIGHUSER_MOVABLE, 0), movable);
	assert_int_equal(cpu->hot, ONDOL_PAGE_NIL);
	assert_valid(t.m);
	after = machine_stats(&t);
	assert_int_equal(after.nr_allocs - before.nr_allocs, 2);
	assert_int_equal(after.nr_frees - before.nr_frees, 3);
	assert_int_equal(after.pages_free, before.pages_free + 1);
	assert_int_equal(after.pages_used_peak, before.pages_used_peak);
	ondol_free_pages(t.m, movable, 0);
	ondol_free_pages(t.m, b, 0);
	ondol_drain_all_pages(t.m);
	assert_int_equal(cpu->hot, ONDOL_PAGE_NIL);
	assert_int_equal(pcp_pages(zone, 0), 0);
	frames_fini(&t);
}

/* Lines of memory that differ from what they were; `was` is brought up to date. */
static uint32_t changed_lines(unsigned char *was, const unsigned char *now, size_t size)
{
	uint32_t nr = 0;

	for (size_t at = 0; at < size; at += PHYS_CACHE_LINE) {
		size_t length = size - at < PHYS_CACHE_LINE ? size - at : PHYS_CACHE_LINE;

		if (!memcmp(was + at, now + at, length))
			continue;
		memcpy(was + at, now + at, length);
		nr++;
	}
	return nr;
}

/*
 * Of all that a machine has, an allocation or a free of order 0 that a free or an allocation went
 * before changes two cache lines.  (What it reads beside: bench/lines.sh.)
 */
static void two_lines(void **state)
{
	(void)state;
	for (uint32_t cpus = 1; cpus <= 2; cpus++) {
		const struct ondol_mem_region all[] = { USABLE(0, MIB(32), 0) };
		struct ondol_machine_desc desc = DESCRIBE(all, 1, cpus, NULL);
		unsigned char *ram, *storage;
		size_t size, align;

		begin(32, cpus);
		assert_int_equal(ondol_machine_storage(&desc, &size, &align), 0);
		ram = malloc(t.ram_size);
		storage = malloc(size);
		assert_true(ram && storage);
		frames_cpu = cpus - 1;
		struct ondol_page *page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);

		memcpy(ram, t.ram, t.ram_size);
		memcpy(storage, t.storage, size);
		for (unsigned i = 0; i < 6; i++) {
			if (i & 1)
				page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
			else
				ondol_free_pages(t.m, page, 0);
			/* The first free may find the list of another type in hand. */
			assert_true(changed_lines(ram, t.ram, t.ram_size) +
					    changed_lines(storage, t.storage, size) <=
				    (i ? 2 : 4));
		}
		ondol_free_pages(t.m, page, 0);
		free(ram);
		free(storage);
		frames_fini(&t);
	}
}

static void damage_is_named(void **state)
{
	struct ondol_page *page, *first;

	(void)state;
	begin(64, 1);
	page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	assert_true(nr_on(list) > 2);
	first = &t.m->pages[list->top[-1]];

	first->flags &= ~ONDOL_PG_PCP;
	assert_broken(t.m, "PCP-1");
	first->flags |= ONDOL_PG_PCP;
	first->flags ^= 1u << ONDOL_PG_TYPE_SHIFT;
	assert_broken(t.m, "PCP-1");
	first->flags ^= 1u << ONDOL_PG_TYPE_SHIFT;
	first->flags ^= 1u << ONDOL_PG_ORDER_SHIFT;
	assert_broken(t.m, "PCP-1");
	first->flags ^= 1u << ONDOL_PG_ORDER_SHIFT;
	first->refcount++;
	assert_broken(t.m, "PCP-1");
	first->refcount--;
	first->flags &= ~(ONDOL_PG_ZONE_MASK << ONDOL_PG_ZONE_SHIFT);
	assert_broken(t.m, "PCP-1");
	first->flags |= zone->flags;
	uint32_t index = list->top[-1];
	list->top[-1] = UINT32_MAX - 1; /* no frame */
	assert_broken(t.m, "PCP-1");
	list->top[-1] = list->base[0]; /* twice */
	assert_broken(t.m, "PCP-1");
	list->top[-1] = index;

	list->top--, list->low--; /* one is forgotten */
	assert_broken(t.m, "PCP-2");
	list->top++, list->low++;

	list->cap = 1;
	assert_broken(t.m, "PCP-3");
	list->cap = 48;
	list->low = list->top + 1;
	assert_broken(t.m, "PCP-3");
	list->low = list->top;
	assert_valid(t.m);

	struct phys_cpu *cpu = t.m->phys->cpus;

	ondol_free_pages(t.m, page, 0);
	cpu->hot_flags ^= ONDOL_PG_PCP;
	assert_broken(t.m, "PCP-4");
	cpu->hot_flags ^= ONDOL_PG_PCP;
	cpu->hot_gfps ^= 1;
	assert_broken(t.m, "PCP-4");
	cpu->hot_gfps ^= 1;
	cpu->hot = list->base[0]; /* twice */
	assert_broken(t.m, "PCP-1");
	cpu->hot = page_index(t.m, page);
	assert_valid(t.m);
	/* A drain looks too. */
	first->flags &= ~ONDOL_PG_PCP;
	if (!TOY_PANICS(&t)) {
		ondol_drain_all_pages(t.m);
		fail_msg("nobody minded");
	}
	t.expects_panic = false;
	assert_string_equal(t.panic.invariant, "PCP-1");
	munmap(t.ram, t.ram_size);
	free(t.storage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capacities),
		cmocka_unit_test(adaptive),
		cmocka_unit_test(refill),
		cmocka_unit_test(huge_pages),
		cmocka_unit_test(hot_pages_first),
		cmocka_unit_test(spill),
		cmocka_unit_test(drain),
		cmocka_unit_test(listed_pages_are_free),
		cmocka_unit_test(peak),
		cmocka_unit_test(drained_before_refusal),
		cmocka_unit_test(fewer_merges_than_eagerly),
		cmocka_unit_test(one_allocates_another_frees),
		cmocka_unit_test(in_hand),
		cmocka_unit_test(two_lines),
		cmocka_unit_test(damage_is_named),
	};

	return cmocka_run_group_tests_name("pcp", tests, NULL, NULL);
}

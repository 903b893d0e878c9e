/* SPDX-License-Identifier: MIT */
/*
 * The lazy policies on tiny machines (D8): every state that can be reached, by any sequence of
 * allocations, frees, splits and drains, or where those are too many every one within so many
 * steps.  A state is what the lists, shelves and records say, in their order.
 *
 * In each: every invariant; only what was free was handed out, and only what was given back is
 * free; a request is refused only if no run of free frames would do; after a drain everything
 * that can merge has, as with eager merging.
 */
#include "support/frames.h"

#include "phys/pcp.h"
#include "phys/shelf.h"
#include "phys/zone.h"

#define FRAMES_MAX 512
#define HASH_SIZE (1u << 21)

struct world {
	const char *name;
	enum ondol_lazy_policy lazy;
	bool pcp, map, upper, types;
	uint8_t nr_orders, top_order; /* the machine's; asked for */
	uint32_t first, nr;           /* usable frames of zone DMA (C8) */
	uint32_t most_out;            /* frames out at once */
	uint32_t depth;               /* 0: to the end */
	uint32_t watermark[NR_WMARKS];
	uint64_t states, steps;       /* exactly, or at least where depth is bounded */
};

static struct toy t;
static struct ondol_zone *zone;
static struct ondol_profile profile;
static const struct world *w;

/* ------------------------------------------------------------------ states as bytes */

struct span {
	void *at;
	size_t size;
};

static struct span spans[32];
static unsigned nr_spans;
static size_t image_size;

static void add_span(void *at, size_t size)
{
	assert_true(nr_spans < NR(spans));
	spans[nr_spans++] = (struct span){ at, size };
	image_size += size;
}

static void find_spans(void)
{
	struct pcp_list *list = zone->pcp[0].list[0];
	uint32_t *map = zone->free_area[0].map;

	nr_spans = 0;
	image_size = 0;
	add_span(&t.m->pages[w->first - t.m->first_pfn], w->nr * sizeof *t.m->pages);
	add_span(&zone->nr_free, sizeof zone->nr_free);
	add_span(&zone->nr_local, sizeof zone->nr_local);
	add_span(zone->free_area, w->nr_orders * sizeof *zone->free_area);
	for (unsigned order = 0; map && order + 1u < w->nr_orders; order++)
		if (zone->free_area[order].map)
			add_span(zone->free_area[order].map,
				 ((((zone->end - 1) >> (order + 1)) -
				   (zone->start >> (order + 1))) / 32 + 1) * 4);
	if (zone->pageblock_type)
		add_span(zone->pageblock_type, ((zone->end - 1) >> SHELF_ORDER) + 1);
	if (shelf_is_on(zone)) {
		add_span(&zone->shelves.frames, sizeof zone->shelves.frames);
		add_span(zone->shelves.filled, sizeof zone->shelves.filled);
		add_span(zone->shelves.head, sizeof zone->shelves.head);
		add_span(zone->shelves.shelf, zone->shelves.nr * sizeof *zone->shelves.shelf);
		add_span(zone->shelves.bits, zone->shelves.nr * sizeof *zone->shelves.bits);
	}
	if (!w->pcp)
		return;
	add_span(zone->pcp_frames, pcp_entries(zone) * sizeof(uint32_t));
	add_span(list, NR_MIGRATE_TYPES * PCP_SLOTS * sizeof *list);
	add_span(t.m->phys->cpus, offsetof(struct phys_cpu, guess));
}

/* What nothing depends on: leftovers in records and arrays, counters, low marks. */
static void tidy_up(void)
{
	struct zone_pcp *pcp = &zone->pcp[0];
	struct pcp_list *list = pcp->list[0];
	struct phys_cpu *cpu = t.m->phys->cpus;

	for (uint32_t i = 0; i < w->nr; i++) {
		struct ondol_page *page = &t.m->pages[w->first - t.m->first_pfn + i], clean = {
			.flags = page->flags, .refcount = page->refcount };

		if (page->flags & ONDOL_PG_BUDDY)
			clean.buddy = (__typeof__(clean.buddy)){ page->buddy.next,
				page->buddy.prev, page->buddy.migrate_type };
		memcpy(page, &clean, sizeof clean);
	}
	for (uint32_t i = 0; shelf_is_on(zone) && i < zone->shelves.nr; i++)
		if (!zone->shelves.shelf[i].nr)
			memset(&zone->shelves.shelf[i], 0, sizeof *zone->shelves.shelf);
	if (!w->pcp)
		return;
	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++, list++) {
		memset(list->top, 0, (size_t)(list->base + list->cap - list->top) * 4);
		list->low = list->noted = list->top +
					  (list == cpu->hot_list && cpu->hot != ONDOL_PAGE_NIL);
		list->nr_allocs = 0;
	}
	cpu->nr_hot = cpu->nr_hot_noted = 0;
	pcp->low = pcp_low_pages(zone, 0);
	pcp->nr_fed = pcp->nr_allocs = pcp->nr_frees = 0;
}

static void save(unsigned char *image)
{
	for (unsigned i = 0; i < nr_spans; image += spans[i++].size)
		memcpy(image, spans[i].at, spans[i].size);
}

static void restore(const unsigned char *image)
{
	for (unsigned i = 0; i < nr_spans; image += spans[i++].size)
		memcpy(spans[i].at, image, spans[i].size);
	if (w->pcp)
		zone->pcp[0].low = pcp_low_pages(zone, 0);
}

/* ------------------------------------------------------------------ those seen */

static struct {
	unsigned char **image;
	uint64_t nr, room;
	uint64_t *hash; /* of 64 bits each: two states alike are not to be feared */
	uint64_t nr_steps;
} seen;

static uint64_t hash_of(const unsigned char *image)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i + 4 <= image_size; i += 4) {
		uint32_t word;

		memcpy(&word, image + i, 4);
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	return hash ? hash : 1;
}

static void remember(void)
{
	unsigned char *image = malloc(image_size);
	uint64_t hash, at;

	assert_non_null(image);
	tidy_up();
	save(image);
	hash = hash_of(image);
	for (at = hash % HASH_SIZE; seen.hash[at] && seen.hash[at] != hash;)
		at = (at + 1) % HASH_SIZE;
	if (seen.hash[at]) {
		free(image);
		return;
	}
	assert_true(seen.nr < HASH_SIZE / 2);
	seen.hash[at] = hash;
	if (seen.nr == seen.room) {
		seen.room = seen.room ? 2 * seen.room : 4096;
		seen.image = realloc(seen.image, seen.room * sizeof *seen.image);
		assert_non_null(seen.image);
	}
	seen.image[seen.nr++] = image;
}

/* ------------------------------------------------------------------ steps */

static bool is_out[FRAMES_MAX]; /* by frame: not free, before the step */

static struct ondol_page *record(uint32_t frame)
{
	return &t.m->pages[w->first - t.m->first_pfn + frame];
}

/* As the records have it; returns how many. */
static uint32_t frames_out(bool *out)
{
	uint32_t nr = 0;

	memset(out, 0, w->nr * sizeof *out);
	for (uint32_t i = 0; i < w->nr; i++) {
		if (!record(i)->refcount)
			continue;
		for (uint32_t k = 0; k < 1u << page_order(record(i)); k++, nr++)
			out[i + k] = true;
	}
	return nr;
}

/* They are what they were, but [start, start + nr), which are now as `now`. */
static void assert_changed(uint32_t start, uint32_t nr, bool now)
{
	bool out[FRAMES_MAX];

	(void)frames_out(out);
	for (uint32_t i = 0; i < w->nr; i++) {
		bool in = i >= start && i < start + nr;

		if (in && is_out[i] == now)
			fail_msg("%s: frame %u was already", w->name, i);
		if (out[i] != (in ? now : is_out[i]))
			fail_msg("%s: frame %u is %s", w->name, i, out[i] ? "out" : "free");
	}
}

static bool run_is_free(uint32_t start, unsigned order)
{
	for (uint32_t i = 0; i < 1u << order; i++)
		if (start + i >= w->nr || is_out[start + i])
			return false;
	return true;
}

static void assert_no_run(unsigned order)
{
	for (uint32_t i = 0; i < w->nr; i++)
		if (!((w->first + i) & ((1u << order) - 1)) && run_is_free(i, order))
			fail_msg("%s: order %u refused, but %u is free", w->name, order, i);
}

/* Everything that can be merged is: no list has a block whose buddy is free. */
static void assert_settled(void)
{
	assert_int_equal(zone->nr_local, 0);
	assert_int_equal(zone->shelves.frames, 0);
	assert_int_equal(pcp_pages(zone, 0), 0);
	for (uint32_t i = 0; i < w->nr; i++) {
		unsigned order = page_order(record(i));
		uint32_t pair = (w->first + i) & ~((2u << order) - 1);

		if (!(record(i)->flags & ONDOL_PG_BUDDY) || order + 1u >= w->nr_orders ||
		    pair < w->first)
			continue;
		if (run_is_free(pair - w->first, order + 1))
			fail_msg("%s: %u of order %u could merge", w->name, i, order);
	}
}

/* delay2 counts the blocks out of each order, and below the low watermark puts nothing off. */
static void assert_delay2(void)
{
	uint32_t nr[ONDOL_MAX_ORDERS] = { 0 };

	for (uint32_t i = 0; i < w->nr; i++)
		if (record(i)->refcount)
			nr[page_order(record(i))]++;
	for (unsigned order = 0; !w->pcp && order < w->nr_orders; order++)
		assert_int_equal(zone->free_area[order].nr_out, nr[order]);
	if (zone->nr_free < zone->watermark[WMARK_LOW])
		assert_int_equal(zone->nr_local, 0);
}

static void step_done(void)
{
	assert_valid(t.m);
	if (w->lazy == ONDOL_LAZY_DELAY2)
		assert_delay2();
	seen.nr_steps++;
	remember();
}

static void alloc_steps(const unsigned char *from, uint32_t nr_out)
{
	static const ondol_gfp_t gfps[] = { 0, ONDOL_GFP_MOVABLE };

	for (unsigned i = 0; i < (w->types ? 2u : 1u) * (w->top_order + 1u); i++) {
		unsigned order = i % (w->top_order + 1u);
		struct ondol_page *page;

		if (nr_out + (1u << order) > w->most_out)
			continue;
		restore(from);
		page = ondol_alloc_pages(t.m, ONDOL_GFP_DMA | ONDOL_GFP_MEMALLOC |
				ONDOL_GFP_NOWARN | gfps[i / (w->top_order + 1u)], order);
		if (page)
			assert_changed((uint32_t)(page - record(0)), 1u << order, true);
		else
			assert_no_run(order);
		step_done();
	}
}

static void steps_back(const unsigned char *from)
{
	for (uint32_t i = 0; i < w->nr; i++) {
		unsigned order;

		restore(from);
		if (!record(i)->refcount)
			continue;
		order = page_order(record(i));
		ondol_free_pages(t.m, record(i), order);
		assert_changed(i, 1u << order, false);
		step_done();
		if (!order)
			continue;
		restore(from);
		ondol_split_page(t.m, record(i), order);
		assert_changed(0, 0, false);
		step_done();
	}
	restore(from);
	ondol_drain_all_pages(t.m);
	assert_changed(0, 0, false);
	assert_settled();
	step_done();
}

static void world_begin(void)
{
	const struct ondol_mem_region all[] = {
		USABLE((uint64_t)w->first << 12, (uint64_t)(w->first + w->nr) << 12, 0),
		USABLE(MIB(4), MIB(5), 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, 1, &profile);

	profile = ondol_profile_toy16;
	profile.nr_orders = w->nr_orders;
	profile.lazy = w->lazy;
	profile.pcp = w->pcp;
	profile.map_bitmap = w->map;
	profile.split_hands_out_upper = w->upper;
	profile.migrate_types = w->types;
	profile.zone_end[ONDOL_ZONE_DMA] = MIB(4);
	frames_init(&t, &desc);
	ondol_drain_all_pages(t.m);
	zone = &t.m->phys->zones[zone_id(0, ONDOL_ZONE_DMA)];
	assert_int_equal(zone->nr_free, w->nr);
	memcpy(zone->watermark, w->watermark, sizeof w->watermark);
	find_spans();
}

/* From state to state, those of fewer steps first. */
static void explore(const struct world *world)
{
	uint64_t level_end = 1;
	uint32_t depth = 0;

	w = world;
	memset(&seen, 0, sizeof seen);
	seen.hash = calloc(HASH_SIZE, sizeof *seen.hash);
	assert_non_null(seen.hash);
	world_begin();
	remember();
	for (uint64_t at = 0; at < seen.nr; at++) {
		uint32_t nr_out;

		if (at == level_end) {
			level_end = seen.nr;
			depth++;
		}
		if (w->depth && depth == w->depth)
			break;
		restore(seen.image[at]);
		nr_out = frames_out(is_out);
		alloc_steps(seen.image[at], nr_out);
		steps_back(seen.image[at]);
	}
	print_message("# %s: %llu states, %llu steps, depth %u\n", w->name,
		      (unsigned long long)seen.nr, (unsigned long long)seen.nr_steps, depth);
	restore(seen.image[0]);
	for (uint64_t i = 0; i < seen.nr; i++)
		free(seen.image[i]);
	free(seen.image);
	free(seen.hash);
	frames_fini(&t);
	if (!w->depth) {
		assert_int_equal(seen.nr, w->states);
		assert_int_equal(seen.nr_steps, w->steps);
	} else {
		assert_true(seen.nr >= w->states && seen.nr_steps >= w->steps);
	}
}

static const struct world worlds[] = {
	{ .name = "delay2, 4 frames", .lazy = ONDOL_LAZY_DELAY2, .map = true,
	  .nr_orders = 3, .top_order = 2, .nr = 4, .most_out = 4, .states = 92, .steps = 427 },
	{ .name = "delay2, 4 frames, no map, upper", .lazy = ONDOL_LAZY_DELAY2, .upper = true,
	  .nr_orders = 3, .top_order = 2, .nr = 4, .most_out = 4, .states = 92, .steps = 427 },
	{ .name = "delay2, 4 frames, watermarks", .lazy = ONDOL_LAZY_DELAY2, .map = true,
	  .nr_orders = 3, .top_order = 2, .nr = 4, .most_out = 4, .watermark = { 1, 1, 2 },
	  .states = 58, .steps = 263 },
	{ .name = "delay2, 8 frames", .lazy = ONDOL_LAZY_DELAY2, .map = true,
	  .nr_orders = 4, .top_order = 3, .nr = 8, .most_out = 8, .depth = 8,
	  .states = 10000, .steps = 50000 },
	{ .name = "delay2, 8 frames, no map, watermarks", .lazy = ONDOL_LAZY_DELAY2,
	  .nr_orders = 4, .top_order = 3, .nr = 8, .most_out = 8, .depth = 8,
	  .watermark = { 1, 2, 3 }, .states = 10000, .steps = 50000 },
	{ .name = "pcp, 8 frames in two pageblocks", .lazy = ONDOL_LAZY_PCP, .pcp = true,
	  .map = true, .nr_orders = 10, .top_order = 2, .first = 508, .nr = 8, .most_out = 8,
	  .depth = 8, .states = 20000, .steps = 50000 },
	{ .name = "pcp, 6 frames, types", .lazy = ONDOL_LAZY_PCP, .pcp = true, .types = true,
	  .nr_orders = 10, .top_order = 1, .first = 509, .nr = 6, .most_out = 6, .depth = 7,
	  .states = 10000, .steps = 30000 },
	{ .name = "pcp, a whole pageblock", .lazy = ONDOL_LAZY_PCP, .pcp = true, .map = true,
	  .nr_orders = 10, .top_order = 1, .nr = 512, .most_out = 4, .depth = 7,
	  .states = 1000, .steps = 2000 },
};

static void delay2(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR(worlds); i++)
		if (worlds[i].lazy == ONDOL_LAZY_DELAY2)
			explore(&worlds[i]);
}

static void pcp(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR(worlds); i++)
		if (worlds[i].lazy == ONDOL_LAZY_PCP)
			explore(&worlds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delay2),
		cmocka_unit_test(pcp),
	};

	return cmocka_run_group_tests_name("lazy_states", tests, NULL, NULL);
}

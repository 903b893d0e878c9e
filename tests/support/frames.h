/* SPDX-License-Identifier: MIT */
/* What the tests of physical memory share: machines of several regions, figures of a zone. */
#ifndef TESTS_SUPPORT_FRAMES_H
#define TESTS_SUPPORT_FRAMES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/toy.h"

#define MIB(n) (UINT64_C(n) << 20)
#define GIB(n) (UINT64_C(n) << 30)

/* Usable or reserved memory of a node, in bytes. */
#define USABLE(from, to, n)                                                                   \
	{ .start = { from }, .end = { to }, .type = ONDOL_MEM_USABLE, .node = n }
#define RESERVED(from, to) { .start = { from }, .end = { to }, .type = ONDOL_MEM_RESERVED }
#define OFFLINE(from, to, n)                                                                  \
	{ .start = { from }, .end = { to }, .type = ONDOL_MEM_OFFLINE, .node = n }
#define DEVICE(from, to, n)                                                                   \
	{ .start = { from }, .end = { to }, .type = ONDOL_MEM_DEVICE, .node = n }

/* The CPU that asks; a port with several CPUs has this as its this_cpu. */
static _Thread_local uint32_t frames_cpu;

static inline uint32_t frames_this_cpu(void *ctx)
{
	(void)ctx;
	return frames_cpu;
}

static inline void assert_valid(struct ondol_machine *m)
{
	struct ondol_broken_invariant broken;

	if (ondol_machine_validate(m, &broken))
		fail_msg("[%s] %s: at %#llx, %llu expected, %llu found", broken.id, broken.text,
			 (unsigned long long)broken.where, (unsigned long long)broken.expected,
			 (unsigned long long)broken.actual);
}

/* The machine is broken just so. */
static inline void assert_broken(struct ondol_machine *m, const char *id)
{
	struct ondol_broken_invariant broken;

	assert_int_equal(ondol_machine_validate(m, &broken), -ONDOL_EUCLEAN);
	assert_string_equal(broken.id, id);
	assert_true(broken.text[0] != '\0');
}

static inline struct ondol_machine_desc
describe(const struct ondol_mem_region *regions, uint32_t nr, uint32_t nodes, uint32_t cpus,
	 const struct ondol_profile *profile)
{
	return (struct ondol_machine_desc){ .size = sizeof(struct ondol_machine_desc),
					    .regions = regions, .nr_regions = nr,
					    .nr_nodes = nodes, .nr_cpus = cpus,
					    .profile = profile };
}

#define NR(array) ((uint32_t)(sizeof(array) / sizeof *(array)))
#define DESCRIBE(regions, nodes, cpus, profile)                                               \
	describe(regions, NR(regions), nodes, cpus, profile)

static inline void frames_init(struct toy *t, const struct ondol_machine_desc *desc)
{
	assert_int_equal(toy_init_cpus(t, desc, desc->nr_cpus > 1 ? frames_this_cpu : NULL), 0);
	frames_cpu = 0;
	assert_valid(t->m);
}

/* The machine is whole and has everything back. */
static inline void frames_fini(struct toy *t)
{
	frames_cpu = 0;
	assert_valid(t->m);
	assert_int_equal(toy_free(t), 0);
}

static inline struct ondol_machine_stats machine_stats(struct toy *t)
{
	struct ondol_machine_stats stats;

	ondol_machine_stats(t->m, &stats);
	return stats;
}

struct frames_find { /* a zone or a node by name or number */
	const char *name;
	uint16_t node;
	bool found;
	struct ondol_zone_stats zone;
	struct ondol_node_stats numa;
};

static inline int frames_find_zone(void *ctx, const struct ondol_zone_stats *stats)
{
	struct frames_find *find = ctx;

	find->found = stats->node == find->node && !strcmp(stats->name, find->name);
	if (find->found)
		find->zone = *stats;
	return find->found;
}

static inline int frames_find_node(void *ctx, const struct ondol_node_stats *stats)
{
	struct frames_find *find = ctx;

	find->found = stats->id == find->node;
	if (find->found)
		find->numa = *stats;
	return find->found;
}

static inline bool has_zone(struct toy *t, uint16_t node, const char *name)
{
	struct frames_find find = { .name = name, .node = node };

	(void)ondol_for_each_zone(t->m, frames_find_zone, &find);
	return find.found;
}

static inline struct ondol_zone_stats zone_stats(struct toy *t, uint16_t node, const char *name)
{
	struct frames_find find = { .name = name, .node = node };

	(void)ondol_for_each_zone(t->m, frames_find_zone, &find);
	if (!find.found)
		fail_msg("node %u has no zone %s", node, name);
	return find.zone;
}

static inline void assert_span(struct toy *t, uint16_t node, const char *name,
			       uint64_t start_pfn, uint64_t spanned, uint64_t present)
{
	struct ondol_zone_stats zone = zone_stats(t, node, name);

	assert_int_equal(zone.start_pfn.value, start_pfn);
	assert_int_equal(zone.pages_spanned, spanned);
	assert_int_equal(zone.pages_present, present);
	assert_true(zone.pages_managed <= present);
}

static inline struct ondol_node_stats node_stats(struct toy *t, uint16_t node)
{
	struct frames_find find = { .node = node };

	(void)ondol_for_each_node(t->m, frames_find_node, &find);
	if (!find.found)
		fail_msg("there is no node %u", node);
	return find.numa;
}

static inline uint64_t pfn_of(struct toy *t, const struct ondol_page *page)
{
	return ondol_page_to_pfn(t->m, page).value;
}

static inline struct ondol_page *page_at(struct toy *t, uint64_t pfn)
{
	return ondol_pfn_to_page(t->m, ondol_pfn(pfn));
}

/* Blocks taken until the machine says no; for giving back all at once. */
struct hoard {
	struct ondol_page **page;
	size_t nr, room;
	unsigned order;
};

static inline bool hoard_one(struct toy *t, struct hoard *h, int node, ondol_gfp_t gfp)
{
	struct ondol_page *page = ondol_alloc_pages_node(t->m, node, gfp, h->order);

	if (!page)
		return false;
	if (h->nr == h->room) {
		h->room = h->room ? 2 * h->room : 1024;
		h->page = realloc(h->page, h->room * sizeof *h->page);
		assert_non_null(h->page);
	}
	h->page[h->nr++] = page;
	return true;
}

static inline struct hoard hoard_all(struct toy *t, int node, ondol_gfp_t gfp, unsigned order)
{
	struct hoard h = { .order = order };

	while (hoard_one(t, &h, node, gfp | ONDOL_GFP_NOWARN))
		;
	return h;
}

static inline void hoard_free(struct toy *t, struct hoard *h)
{
	while (h->nr)
		ondol_free_pages(t->m, h->page[--h->nr], h->order);
	free(h->page);
	h->page = NULL;
	h->room = 0;
}

#endif /* TESTS_SUPPORT_FRAMES_H */

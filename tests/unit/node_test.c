/* SPDX-License-Identifier: MIT */
/* Banks and nodes (requirements B2 to B8): the nearest memory first, and what it costs not to. */
#include "support/frames.h"

#include "phys/zone.h"

static struct toy t;

/* B4: pgdat_list in order of ids, without the nodes that have no memory. */
static void pgdat_list(void **state)
{
	const struct ondol_mem_region map[] = { USABLE(0, MIB(32), 2), USABLE(MIB(32), MIB(64), 0),
						USABLE(MIB(64), MIB(96), 3) };
	struct ondol_machine_desc desc = DESCRIBE(map, 4, 4, NULL);
	static const uint16_t want[] = { 0, 2, 3 };
	unsigned nr = 0;

	(void)state;
	frames_init(&t, &desc);
	for (const struct ondol_node *node = t.m->phys->pgdat_list; node; node = node->next) {
		assert_true(nr < NR(want));
		assert_int_equal(node->id, want[nr++]);
		assert_ptr_equal(node, &t.m->phys->nodes[node->id]);
	}
	assert_int_equal(nr, NR(want));
	/* A CPU of the node without memory is served by the others. */
	frames_cpu = 1;
	struct ondol_page *page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);

	assert_non_null(page);
	assert_int_equal(node_stats(&t, 2).numa_other + node_stats(&t, 0).numa_other +
			 node_stats(&t, 3).numa_other, 1);
	assert_null(ondol_alloc_pages_node(t.m, 1, ONDOL_GFP_KERNEL | ONDOL_GFP_THISNODE, 0));
	struct ondol_refusal why;

	ondol_last_refusal(t.m, &why);
	assert_int_equal(why.nr_zones, 0);
	assert_string_equal(why.reason, "no zone of the kind asked for has memory");
	ondol_free_pages(t.m, page, 0);
	frames_fini(&t);
}

static const struct ondol_mem_region four[] = { USABLE(0, MIB(32), 0), USABLE(MIB(32), MIB(64), 1),
						USABLE(MIB(64), MIB(96), 2),
						USABLE(MIB(96), MIB(128), 3) };

static void assert_zonelist(uint32_t node, const uint16_t *want, unsigned nr)
{
	const struct ondol_node *self = &t.m->phys->nodes[node];
	const struct ondol_zone *zones = t.m->phys->zones;
	unsigned at = 0;

	for (unsigned i = 0; i < self->nr_zonelist; i++) {
		const struct ondol_zone *zone = &zones[self->zonelist[i]];

		if (!i || zone->node != zones[self->zonelist[i - 1]].node) {
			assert_true(at < nr);
			assert_int_equal(zone->node, want[at++]);
		} else { /* in a node from the highest zone down */
			assert_true(zone->type < zones[self->zonelist[i - 1]].type);
		}
	}
	assert_int_equal(at, nr);
}

/* B6: by distance; what is equally far begins behind the own node. */
static void zonelists_by_distance(void **state)
{
	static const uint8_t line[] = { 10, 20, 30, 40, 20, 10, 20, 30,
					30, 20, 10, 20, 40, 30, 20, 10 };
	static const uint16_t from0[] = { 0, 1, 2, 3 }, from1[] = { 1, 2, 0, 3 },
			      from2[] = { 2, 3, 1, 0 }, from3[] = { 3, 2, 1, 0 },
			      flat1[] = { 1, 2, 3, 0 };
	struct ondol_machine_desc desc = DESCRIBE(four, 4, 4, NULL);

	(void)state;
	desc.node_distance = line;
	frames_init(&t, &desc);
	assert_zonelist(0, from0, 4);
	assert_zonelist(1, from1, 4);
	assert_zonelist(2, from2, 4);
	assert_zonelist(3, from3, 4);
	frames_fini(&t);
	desc.node_distance = NULL;
	frames_init(&t, &desc);
	assert_zonelist(1, flat1, 4);
	frames_fini(&t);
}

static uint16_t node_of(uint64_t pfn)
{
	return (uint16_t)(pfn >> 13);
}

/* B6: the nearest node first; another only when that is down at its watermark. */
static void nearest_node_first(void **state)
{
	static const uint8_t line[] = { 10, 20, 30, 40, 20, 10, 20, 30,
					30, 20, 10, 20, 40, 30, 20, 10 };
	struct ondol_machine_desc desc = DESCRIBE(four, 4, 4, NULL);
	struct hoard h = { .order = 0 };
	uint64_t moved[4] = { 0 }; /* blocks seen of each node */
	uint16_t node = 0;

	(void)state;
	desc.node_distance = line;
	frames_init(&t, &desc);
	for (frames_cpu = 0; frames_cpu < 4; frames_cpu++) {
		assert_true(hoard_one(&t, &h, ONDOL_NODE_ANY, ONDOL_GFP_KERNEL));
		assert_int_equal(node_of(pfn_of(&t, h.page[h.nr - 1])), frames_cpu);
		assert_true(hoard_one(&t, &h, 3, ONDOL_GFP_KERNEL));
		assert_int_equal(node_of(pfn_of(&t, h.page[h.nr - 1])), 3);
	}
	frames_cpu = 3;
	while (hoard_one(&t, &h, 0, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN)) {
		uint16_t now = node_of(pfn_of(&t, h.page[h.nr - 1]));

		if (now > node) { /* onwards by distance, once the nearer ones are low */
			struct ondol_zone_stats left = zone_stats(&t, node, "DMA32");

			assert_int_equal(now, node + 1);
			assert_true(left.pages_free <= left.watermark_low + 64);
			node = now;
		}
		moved[now]++;
	}
	for (unsigned i = 0; i < 4; i++)
		assert_true(moved[i] > 7000);
	hoard_free(&t, &h);
	frames_fini(&t);
}

static const struct ondol_mem_region two[] = { USABLE(0, MIB(32), 0),
					       USABLE(MIB(32), MIB(64), 1) };

/* B6: the counters, as numastat(8) explains them. */
static void numa_counters(void **state)
{
	struct ondol_machine_desc desc = DESCRIBE(two, 2, 2, NULL);
	struct hoard mine = { .order = 0 }, far = { .order = 0 }, rest;
	struct ondol_node_stats before[2], after[2];

	(void)state;
	frames_init(&t, &desc);
	frames_cpu = 1;
	for (uint16_t n = 0; n < 2; n++)
		before[n] = node_stats(&t, n);
	for (unsigned i = 0; i < 100; i++) {
		assert_true(hoard_one(&t, &mine, ONDOL_NODE_ANY, ONDOL_GFP_KERNEL));
		assert_true(hoard_one(&t, &far, 0, ONDOL_GFP_KERNEL));
	}
	for (uint16_t n = 0; n < 2; n++)
		after[n] = node_stats(&t, n);
	/* Each got what it asked for; half of it was not local to the CPU. */
	assert_int_equal(after[1].numa_hit - before[1].numa_hit, 100);
	assert_int_equal(after[1].numa_local - before[1].numa_local, 100);
	assert_int_equal(after[0].numa_hit - before[0].numa_hit, 100);
	assert_int_equal(after[0].numa_other - before[0].numa_other, 100);
	assert_int_equal(after[0].numa_miss + after[1].numa_miss, 0);
	assert_int_equal(after[0].numa_foreign + after[1].numa_foreign, 0);
	/* Wanted on node 1, got from node 0: a miss there, foreign here. */
	rest = hoard_all(&t, 1, ONDOL_GFP_KERNEL, 0);
	for (uint16_t n = 0; n < 2; n++)
		after[n] = node_stats(&t, n);
	assert_true(after[0].numa_miss > 4000);
	assert_int_equal(after[0].numa_miss, after[1].numa_foreign);
	assert_int_equal(after[1].numa_miss + after[0].numa_foreign, 0);
	/* THISNODE would rather have nothing. */
	assert_null(ondol_alloc_pages_node(t.m, 1, ONDOL_GFP_KERNEL | ONDOL_GFP_THISNODE, 4));
	hoard_free(&t, &mine);
	hoard_free(&t, &far);
	hoard_free(&t, &rest);
	frames_fini(&t);
}

/* B7: staying on its CPU's node, a task's memory is local; after moving it is remote. */
static void affinity_pays(void **state)
{
	struct ondol_machine_desc desc = DESCRIBE(two, 2, 2, NULL);
	unsigned remote[2] = { 0, 0 };

	(void)state;
	frames_init(&t, &desc);
	for (unsigned affine = 0; affine < 2; affine++) {
		struct hoard h = { .order = 0 };

		for (unsigned slice = 0; slice < 64; slice++) {
			frames_cpu = affine ? 0 : slice & 1;
			for (unsigned i = 0; i < 8; i++)
				assert_true(hoard_one(&t, &h, ONDOL_NODE_ANY, ONDOL_GFP_USER));
			/* It reads all it has, wherever it runs now. */
			for (size_t i = 0; i < h.nr; i++)
				remote[affine] += node_of(pfn_of(&t, h.page[i])) != frames_cpu;
		}
		frames_cpu = 0;
		hoard_free(&t, &h);
	}
	assert_int_equal(remote[1], 0);
	assert_true(remote[0] > 64 * 65 / 2 * 8 / 3); /* about half of all */
	frames_fini(&t);
}

/* B8: four banks, the even ones node 0's, the odd ones node 1's; limits a 1/64 of the real. */
static void interleaved_banks(void **state)
{
	const struct ondol_mem_region banks[] = {
		USABLE(0, MIB(64), 0), USABLE(MIB(64), MIB(128), 1), USABLE(MIB(128), MIB(192), 0),
		USABLE(MIB(192), MIB(256), 1) };
	struct ondol_profile small = ondol_profile_x86_64;
	struct ondol_machine_desc desc = DESCRIBE(banks, 2, 2, &small);
	struct hoard h;

	(void)state;
	small.zone_end[ONDOL_ZONE_DMA] = MIB(1);
	small.zone_end[ONDOL_ZONE_DMA32] = MIB(64);
	frames_init(&t, &desc);
	assert_span(&t, 0, "DMA", 0, 256, 256);
	assert_span(&t, 0, "DMA32", 256, 16384 - 256, 16384 - 256);
	assert_span(&t, 0, "Normal", 32768, 16384, 16384);
	assert_span(&t, 1, "Normal", 16384, 49152, 32768); /* over a bank of node 0 */
	assert_false(has_zone(&t, 1, "DMA"));
	assert_false(has_zone(&t, 1, "DMA32"));
	assert_int_equal(node_stats(&t, 0).node_spanned_pages, 49152);
	assert_int_equal(node_stats(&t, 1).node_start_pfn.value, 16384);
	/* No block of node 1 reaches into the bank between. */
	frames_cpu = 1;
	h = hoard_all(&t, 1, ONDOL_GFP_KERNEL | ONDOL_GFP_THISNODE, 3);
	for (size_t i = 0; i < h.nr; i++)
		assert_int_equal(pfn_of(&t, h.page[i]) >> 14 & 1, 1);
	assert_true(h.nr > 3500);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* B8: two nodes, movable memory apart; only what can be moved goes there. */
/* As Linux's example: a Movable zone on each node, and Ondol's own records in neither. */
static void movable_zone_of_each_node(void **state)
{
	static const uint64_t movable[] = { MIB(20), MIB(36) };
	static const uint64_t odd[] = { 0, MIB(36) + 1 };
	struct ondol_profile small = ondol_profile_x86_64;
	struct ondol_machine_desc desc = DESCRIBE(two, 2, 2, &small);
	struct ondol_frame_info info;
	struct ondol_page *page;

	(void)state;
	small.zone_end[ONDOL_ZONE_DMA] = MIB(1);
	small.zone_end[ONDOL_ZONE_DMA32] = MIB(16);
	desc.node_movable = odd;
	assert_int_equal(toy_init_cpus(&t, &desc, frames_this_cpu), -ONDOL_EINVAL);
	toy_free(&t);
	desc.node_movable = movable;
	for (unsigned deferred = 0; deferred < 2; deferred++) {
		desc.deferred_init = deferred;
		frames_init(&t, &desc);
		assert_span(&t, 0, "Normal", 16 * 256, 4 * 256, 4 * 256);
		assert_span(&t, 0, "Movable", 20 * 256, 12 * 256, 12 * 256);
		assert_span(&t, 1, "Normal", 32 * 256, 4 * 256, 4 * 256);
		assert_span(&t, 1, "Movable", 36 * 256, 28 * 256, 28 * 256);
		assert_int_equal(zone_stats(&t, 0, "Movable").pages_managed, 12 * 256);
		assert_int_equal(zone_stats(&t, 1, "Movable").pages_managed, 28 * 256);
		for (uint32_t cpu = 0; cpu < 2; cpu++) {
			frames_cpu = cpu;
			page = ondol_alloc_pages(t.m, ONDOL_GFP_HIGHUSER_MOVABLE, 0);
			assert_true(pfn_of(&t, page) >= movable[cpu] >> 12);
			ondol_frame_info(t.m, ondol_page_to_pfn(t.m, page), &info);
			assert_int_equal(info.zone, ONDOL_ZONE_MOVABLE);
			ondol_free_pages(t.m, page, 0);
			page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
			assert_true(pfn_of(&t, page) < movable[cpu] >> 12);
			ondol_free_pages(t.m, page, 0);
		}
		frames_cpu = 0;
		/* Both banks of the Movable zones can go at any time. */
		assert_int_equal(ondol_offline_pages(t.m, ondol_pfn(20 * 256), 12 * 256, NULL), 0);
		assert_valid(t.m);
		assert_int_equal(ondol_online_pages(t.m, ondol_pfn(20 * 256), 12 * 256), 0);
		frames_fini(&t);
	}
}

static void movable_zone(void **state)
{
	static const struct { uint32_t cpu; ondol_gfp_t gfp; uint64_t from, to; } want[] = {
		{ 0, ONDOL_GFP_KERNEL, 16, 32 },	{ 0, ONDOL_GFP_HIGHUSER_MOVABLE, 16, 32 },
		{ 1, ONDOL_GFP_KERNEL, 32, 40 },	{ 1, ONDOL_GFP_HIGHUSER, 32, 40 },
		{ 1, ONDOL_GFP_HIGHUSER_MOVABLE, 40, 64 }, { 1, ONDOL_GFP_DMA32, 1, 16 } };
	struct ondol_profile small = ondol_profile_x86_64;
	struct ondol_machine_desc desc = DESCRIBE(two, 2, 2, &small);

	(void)state;
	small.zone_end[ONDOL_ZONE_DMA] = MIB(1);
	small.zone_end[ONDOL_ZONE_DMA32] = MIB(16);
	small.zone_end[ONDOL_ZONE_NORMAL] = MIB(40);
	small.zone_end[ONDOL_ZONE_MOVABLE] = MIB(64);
	frames_init(&t, &desc);
	assert_span(&t, 0, "Normal", 16 * 256, 16 * 256, 16 * 256);
	assert_span(&t, 1, "Normal", 32 * 256, 8 * 256, 8 * 256);
	assert_span(&t, 1, "Movable", 40 * 256, 24 * 256, 24 * 256);
	assert_false(has_zone(&t, 0, "Movable"));
	for (unsigned i = 0; i < NR(want); i++) {
		frames_cpu = want[i].cpu;
		struct ondol_page *page = ondol_alloc_pages(t.m, want[i].gfp, 0);

		assert_in_range(pfn_of(&t, page), want[i].from * 256, want[i].to * 256 - 1);
		ondol_free_pages(t.m, page, 0);
	}
	struct hoard h = hoard_all(&t, -1, ONDOL_GFP_KERNEL | ONDOL_GFP_MEMALLOC, 0);

	for (size_t i = 0; i < h.nr; i++)
		assert_true(pfn_of(&t, h.page[i]) < 40 * 256);
	hoard_free(&t, &h);
	frames_fini(&t);
}

/* The most CPUs and nodes there may be, on little memory. */
static void largest_topology(void **state)
{
	struct ondol_mem_region map[64];
	struct ondol_page *page[256];

	(void)state;
	for (unsigned i = 0; i < 64; i++)
		map[i] = (struct ondol_mem_region)USABLE(MIB(4) * i, MIB(4) * (i + 1), (uint16_t)i);
	map[63].end.value += MIB(60); /* lists of all zones and CPUs, in one piece */
	struct ondol_machine_desc desc = DESCRIBE(map, 64, 256, NULL);

	frames_init(&t, &desc);
	for (frames_cpu = 0; frames_cpu < 256; frames_cpu++) {
		page[frames_cpu] = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
		assert_non_null(page[frames_cpu]);
	}
	assert_valid(t.m);
	for (frames_cpu = 0; frames_cpu < 256; frames_cpu++)
		ondol_free_pages(t.m, page[255 - frames_cpu], 0);
	frames_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pgdat_list),
		cmocka_unit_test(zonelists_by_distance),
		cmocka_unit_test(nearest_node_first),
		cmocka_unit_test(numa_counters),
		cmocka_unit_test(affinity_pays),
		cmocka_unit_test(interleaved_banks),
		cmocka_unit_test(movable_zone),
		cmocka_unit_test(movable_zone_of_each_node),
		cmocka_unit_test(largest_topology),
	};

	return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}

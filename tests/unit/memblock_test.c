/* SPDX-License-Identifier: MIT */
/* The memory map made tidy: by hand, then random maps against one byte a frame. */
#include "support/frames.h"

#include "phys/memblock.h"

#define ROOM 64
#define NO_LIMIT (UINT64_C(1) << 40)
#define USE(start, end) { { start }, { end }, ONDOL_MEM_USABLE, 0 }
#define USE_ON(node, start, end) { { start }, { end }, ONDOL_MEM_USABLE, node }
#define RES(start, end) { { start }, { end }, ONDOL_MEM_RESERVED, 0 }
#define OFF(start, end) { { start }, { end }, ONDOL_MEM_OFFLINE, 0 }
#define DEV(start, end) { { start }, { end }, ONDOL_MEM_DEVICE, 0 }

static struct memblock_range memory[ROOM], reserved[ROOM];
static struct memblock mb;

static int build(const struct ondol_mem_region *regions, uint32_t nr, uint64_t limit)
{
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = regions,
					   .nr_regions = nr, .nr_nodes = 4, .nr_cpus = 1 };
	int r;

	mb = (struct memblock){ .memory = memory, .reserved = reserved,
				.capacity = (uint32_t)memblock_capacity(&desc, 1) };
	assert_true(mb.capacity > nr && mb.capacity <= ROOM);
	r = memblock_build(&mb, &desc, limit);
	if (!r)
		assert_null(memblock_check(&mb));
	return r;
}

static void assert_ranges(const struct memblock_range *have, uint32_t nr_have,
			  const struct memblock_range *want, uint32_t nr, bool nodes)
{
	assert_int_equal(nr_have, nr);
	for (uint32_t i = 0; i < nr; i++) {
		assert_int_equal(have[i].start, want[i].start);
		assert_int_equal(have[i].end, want[i].end);
		if (nodes)
			assert_int_equal(have[i].node, want[i].node);
	}
}

#define NR(array) ((uint32_t)(sizeof(array) / sizeof *(array)))
#define BUILD(limit, ...)                                                                     \
	({                                                                                    \
		static const struct ondol_mem_region regions_[] = { __VA_ARGS__ };            \
		build(regions_, NR(regions_), limit);                                         \
	})
#define ASSERT_MEMORY(...)                                                                    \
	do {                                                                                  \
		static const struct memblock_range want_[] = { __VA_ARGS__ };                 \
		assert_ranges(mb.memory, mb.nr_memory, want_, NR(want_), true);               \
	} while (0)
#define ASSERT_RESERVED(...)                                                                  \
	do {                                                                                  \
		static const struct memblock_range want_[] = { __VA_ARGS__ };                 \
		assert_ranges(mb.reserved, mb.nr_reserved, want_, NR(want_), false);          \
	} while (0)
/* Everything free, from frame 0 on. */
#define ASSERT_FREE(...)                                                                      \
	do {                                                                                  \
		static const struct memblock_range want_[] = { __VA_ARGS__ };                 \
		struct memblock_range have_[ROOM];                                            \
		uint32_t nr_ = 0;                                                             \
		for (uint64_t at_ = 0; memblock_next_free(&mb, at_, &have_[nr_]);             \
		     at_ = have_[nr_++].end)                                                  \
			assert_true(nr_ + 1 < ROOM);                                          \
		assert_ranges(have_, nr_, want_, NR(want_), true);                            \
	} while (0)

static void unsorted(void **state)
{
	(void)state;
	assert_int_equal(BUILD(NO_LIMIT, USE(0x40000, 0x50000), USE(0x1000, 0x3000),
			       USE(0x10000, 0x20000), RES(0x9000, 0xa000), RES(0x2000, 0x3000)),
			 0);
	ASSERT_MEMORY({ 1, 3, 0, 0 }, { 0x10, 0x20, 0, 0 }, { 0x40, 0x50, 0, 0 });
	ASSERT_RESERVED({ 2, 3, 0, 0 }, { 9, 10, 0, 0 });
	ASSERT_FREE({ 1, 2, 0, 0 }, { 0x10, 0x20, 0, 0 }, { 0x40, 0x50, 0, 0 });
}

/* [MEMBLOCK-1]: what overlaps, touches, contains or repeats becomes one range. */
static void overlapping(void **state)
{
	(void)state;
	assert_int_equal(BUILD(NO_LIMIT, USE(0x1000, 0x5000), USE(0x3000, 0x9000),
			       USE(0x9000, 0xa000), USE(0x4000, 0x5000), USE(0x1000, 0x5000)),
			 0);
	ASSERT_MEMORY({ 1, 10, 0, 0 });
	assert_int_equal(BUILD(NO_LIMIT, USE(0, 0x10000), RES(0x2000, 0x4000),
			       RES(0x3000, 0x6000), RES(0x6000, 0x7000), RES(0x2000, 0x3000)),
			 0);
	ASSERT_RESERVED({ 2, 7, 0, 0 });
	ASSERT_FREE({ 0, 2, 0, 0 }, { 7, 16, 0, 0 });
}

/* Usable: only frames wholly covered.  Reserved: every frame touched. */
static void unaligned(void **state)
{
	(void)state;
	assert_int_equal(BUILD(NO_LIMIT, USE(0x0801, 0x9fff)), 0);
	ASSERT_MEMORY({ 1, 9, 0, 0 });
	assert_int_equal(BUILD(NO_LIMIT, USE(0x1001, 0x1fff)), 0); /* not one frame */
	assert_int_equal(mb.nr_memory, 0);
	assert_int_equal(BUILD(NO_LIMIT, USE(0x1000, 0x1800), USE(0x1800, 0x2000)), 0);
	ASSERT_MEMORY({ 1, 2, 0, 0 }); /* two halves of a frame */
	assert_int_equal(BUILD(NO_LIMIT, USE(0, 0x10000), RES(0x3fff, 0x4001)), 0);
	ASSERT_RESERVED({ 3, 5, 0, 0 });
	assert_int_equal(BUILD(NO_LIMIT, USE(0, 0x10000), RES(0x3000, 0x3001)), 0);
	ASSERT_FREE({ 0, 3, 0, 0 }, { 4, 16, 0, 0 });
}

static void holes_and_empty_regions(void **state)
{
	(void)state;
	assert_int_equal(BUILD(NO_LIMIT, USE(0, 0xa0000), USE(0x100000, 0x200000),
			       USE(0x50000, 0x50000), RES(0x60000, 0x60000)), 0);
	ASSERT_MEMORY({ 0, 0xa0, 0, 0 }, { 0x100, 0x200, 0, 0 });
	assert_int_equal(mb.nr_reserved, 0);
	ASSERT_FREE({ 0, 0xa0, 0, 0 }, { 0x100, 0x200, 0, 0 });
}

static void reserved_wins(void **state)
{
	(void)state;
	/* In the middle, over an edge, over a hole, over all of a range, beyond everything. */
	assert_int_equal(BUILD(NO_LIMIT, RES(0x4000, 0x6000), USE(0, 0x10000),
			       RES(0xf000, 0x24000), USE(0x20000, 0x30000),
			       RES(0x40000, 0x60000), USE(0x50000, 0x58000),
			       RES(0x90000, 0xa0000)), 0);
	ASSERT_MEMORY({ 0, 0x10, 0, 0 }, { 0x20, 0x30, 0, 0 }, { 0x50, 0x58, 0, 0 });
	ASSERT_FREE({ 0, 4, 0, 0 }, { 6, 0xf, 0, 0 }, { 0x24, 0x30, 0, 0 });
}

static void limited(void **state)
{
	(void)state;
	assert_int_equal(BUILD(0x20, USE(0, 0x10000), USE(0x18000, 0x30000),
			       USE(0x40000, 0x50000)), 0);
	ASSERT_MEMORY({ 0, 0x10, 0, 0 }, { 0x18, 0x20, 0, 0 });
	/* To the end of the numbers. */
	assert_int_equal(BUILD(UINT64_MAX >> 12, USE(0x1000, UINT64_MAX),
			       RES(UINT64_MAX - 5, UINT64_MAX)), 0);
	ASSERT_MEMORY({ 1, UINT64_MAX >> 12, 0, 0 });
}

/* [MEMBLOCK-2]: two nodes never share a frame, and touching ranges stay the node's own. */
static void two_nodes(void **state)
{
	(void)state;
	assert_int_equal(BUILD(NO_LIMIT, USE_ON(1, 0x8000, 0x10000), USE_ON(0, 0, 0x8000)), 0);
	ASSERT_MEMORY({ 0, 8, 0, 0 }, { 8, 16, 1, 0 });
	ASSERT_FREE({ 0, 8, 0, 0 }, { 8, 16, 1, 0 });
	/* The frame that both have a part of is nobody's. */
	assert_int_equal(BUILD(NO_LIMIT, USE_ON(0, 0, 0x8800), USE_ON(1, 0x8800, 0x10000)), 0);
	ASSERT_MEMORY({ 0, 8, 0, 0 }, { 9, 16, 1, 0 });
	assert_int_equal(BUILD(NO_LIMIT, USE_ON(0, 0, 0x8001), USE_ON(1, 0x8000, 0x10000)),
			 -ONDOL_EINVAL);
	assert_int_equal(BUILD(NO_LIMIT, USE_ON(2, 0, 0x10000), USE_ON(1, 0x8000, 0x9000)),
			 -ONDOL_EINVAL);
	assert_int_equal(BUILD(NO_LIMIT, USE_ON(2, 0, 0x1000), USE_ON(1, 0, 0x1000)),
			 -ONDOL_EINVAL);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	assert_int_equal(BUILD(NO_LIMIT, USE(0x2000, 0x1000)), -ONDOL_EINVAL);
	assert_int_equal(BUILD(NO_LIMIT, RES(0x2000, 0x1000)), -ONDOL_EINVAL);
	assert_int_equal(BUILD(NO_LIMIT, USE_ON(4, 0, 0x1000)), -ONDOL_EINVAL);
	assert_int_equal(BUILD(NO_LIMIT, { { 0 }, { 0x1000 }, (enum ondol_mem_type)7, 0 }),
			 -ONDOL_EINVAL);
}

static void boot_allocations(void **state)
{
	uint64_t pfn = 0;

	(void)state;
	assert_int_equal(BUILD(NO_LIMIT, USE_ON(0, 0, 0x10000), USE_ON(1, 0x20000, 0x28000),
			       RES(0xe000, 0x10000)), 0);
	/* The highest that fits; of a node; below a limit; from a limit. */
	assert_int_equal(memblock_alloc(&mb, 8, 0, NO_LIMIT, -1, &pfn), 0);
	assert_int_equal(pfn, 0x20);
	ASSERT_FREE({ 0, 0xe, 0, 0 });
	assert_int_equal(BUILD(NO_LIMIT, USE_ON(0, 0, 0x10000), USE_ON(1, 0x20000, 0x28000),
			       RES(0xe000, 0x10000)), 0);
	assert_int_equal(memblock_alloc(&mb, 4, 0, NO_LIMIT, 0, &pfn), 0);
	assert_int_equal(pfn, 0xa);
	assert_null(memblock_check(&mb));
	ASSERT_RESERVED({ 0xa, 0x10, 0, 0 }); /* joined with what it touches */
	assert_int_equal(BUILD(NO_LIMIT, USE(0, 0x10000), RES(0x6000, 0x7000)), 0);
	assert_int_equal(memblock_alloc(&mb, 3, 0, 9, -1, &pfn), 0);
	assert_int_equal(pfn, 3);
	assert_int_equal(BUILD(NO_LIMIT, USE(0, 0x10000), RES(0x6000, 0x7000)), 0);
	assert_int_equal(memblock_alloc(&mb, 2, 4, 7, -1, &pfn), 0);
	assert_int_equal(pfn, 4);
	/* Nothing fits: neither list changes. */
	assert_int_equal(BUILD(NO_LIMIT, USE(0, 0x10000), RES(0x6000, 0x7000)), 0);
	assert_int_equal(memblock_alloc(&mb, 10, 0, NO_LIMIT, -1, &pfn), -ONDOL_ENOMEM);
	assert_int_equal(memblock_alloc(&mb, 3, 4, 7, -1, &pfn), -ONDOL_ENOMEM);
	assert_int_equal(memblock_alloc(&mb, 1, 0, NO_LIMIT, 1, &pfn), -ONDOL_ENOMEM);
	assert_int_equal(memblock_alloc(&mb, 0, 0, NO_LIMIT, -1, &pfn), -ONDOL_ENOMEM);
	assert_int_equal(pfn, 4);
	ASSERT_FREE({ 0, 6, 0, 0 }, { 7, 16, 0, 0 });
	/* As many as were announced, and no more. */
	for (uint64_t at = 100; mb.nr_reserved < mb.capacity; at += 2)
		mb.reserved[mb.nr_reserved++] = (struct memblock_range){ at, at + 1, 0, 0 };
	assert_int_equal(memblock_alloc(&mb, 1, 0, NO_LIMIT, -1, &pfn), -ONDOL_ENOMEM);
}

/* The check sees what it is there for. */
static void damage_is_named(void **state)
{
	(void)state;
	assert_int_equal(BUILD(NO_LIMIT, USE_ON(0, 0, 0x8000), USE_ON(1, 0x8000, 0x10000),
			       RES(0x1000, 0x2000), RES(0x5000, 0x6000)), 0);
	mb.memory[1].start = 7;
	assert_string_equal(memblock_check(&mb), "MEMBLOCK-2");
	mb.memory[1].node = 0;
	assert_string_equal(memblock_check(&mb), "MEMBLOCK-1");
	mb.memory[1].start = mb.memory[1].end;
	assert_string_equal(memblock_check(&mb), "MEMBLOCK-1");
	mb.nr_memory = 1;
	assert_null(memblock_check(&mb));
	mb.reserved[0].end = 6;
	assert_string_equal(memblock_check(&mb), "MEMBLOCK-1");
	mb.reserved[0].end = 1;
	assert_string_equal(memblock_check(&mb), "MEMBLOCK-1");
}

/* ------------------------------------------------------------------ random maps */

#define FRAMES 48 /* of 4096 bytes; regions begin and end at multiples of 512 */
#define GRAINS (FRAMES * 8)

static uint64_t seed;

static uint32_t pick(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 20) % below;
}

struct model { /* of one frame: the node that has it, or -1; is any byte of it reserved? */
	int node[FRAMES];
	bool reserved[FRAMES], conflict;
};

static void model_build(struct model *model, const struct ondol_mem_region *regions, uint32_t nr)
{
	int owner[GRAINS];

	*model = (struct model){ .conflict = false };
	for (unsigned i = 0; i < GRAINS; i++)
		owner[i] = -1;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t end = regions[i].end.value / 512;

		for (uint64_t g = regions[i].start.value / 512; g < end; g++) {
			if (regions[i].type == ONDOL_MEM_RESERVED) {
				model->reserved[g / 8] = true;
				continue;
			}
			model->conflict |= owner[g] >= 0 && owner[g] != regions[i].node;
			owner[g] = regions[i].node;
		}
	}
	for (unsigned f = 0; f < FRAMES; f++) {
		model->node[f] = owner[8 * f];
		for (unsigned g = 1; g < 8; g++)
			if (owner[8 * f + g] != model->node[f])
				model->node[f] = -1;
	}
}

static bool as_model(const struct model *model)
{
	struct memblock_range run = { 0, 0, 0, 0 };
	uint64_t at = 0;

	for (uint32_t i = 0; i < mb.nr_memory; i++) {
		for (; at < mb.memory[i].start; at++)
			if (model->node[at] >= 0)
				return false;
		for (; at < mb.memory[i].end; at++)
			if (model->node[at] != (int)mb.memory[i].node)
				return false;
	}
	for (; at < FRAMES; at++)
		if (model->node[at] >= 0)
			return false;
	for (at = 0; at < FRAMES; at = run.end) {
		if (!memblock_next_free(&mb, at, &run))
			run = (struct memblock_range){ FRAMES, FRAMES, 0, 0 };
		for (; at < run.start; at++)
			if (model->node[at] >= 0 && !model->reserved[at])
				return false;
		for (; at < run.end; at++)
			if (model->node[at] != (int)run.node || model->reserved[at])
				return false;
	}
	return true;
}

/* Does memblock see the map as the model does? */
static bool agrees(const struct ondol_mem_region *regions, uint32_t nr, bool *out_refused)
{
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = regions,
					   .nr_regions = nr, .nr_nodes = 4, .nr_cpus = 1 };
	struct model model;
	int r;

	model_build(&model, regions, nr);
	mb = (struct memblock){ .memory = memory, .reserved = reserved,
				.capacity = (uint32_t)memblock_capacity(&desc, 1) };
	r = memblock_build(&mb, &desc, NO_LIMIT);
	*out_refused = r != 0;
	if (r)
		return model.conflict && r == -ONDOL_EINVAL;
	return !model.conflict && !memblock_check(&mb) && as_model(&model);
}

/* Leave out regions for as long as the two differ, then say which are left. */
static void report(struct ondol_mem_region *regions, uint32_t nr, uint64_t round)
{
	struct ondol_mem_region fewer[12];
	bool refused;

	for (uint32_t i = 0; i < nr;) {
		memcpy(fewer, regions, sizeof fewer);
		memmove(&fewer[i], &fewer[i + 1], (nr - i - 1) * sizeof *fewer);
		if (agrees(fewer, nr - 1, &refused)) {
			i++;
			continue;
		}
		memcpy(regions, fewer, sizeof fewer);
		nr--;
		i = 0;
	}
	for (uint32_t i = 0; i < nr; i++)
		print_message("# %s node %u [%#llx, %#llx)\n",
			      regions[i].type == ONDOL_MEM_USABLE ? "usable" : "reserved",
			      regions[i].node, (unsigned long long)regions[i].start.value,
			      (unsigned long long)regions[i].end.value);
	fail_msg("again: SEED=%llu make check T=memblock", (unsigned long long)round);
}

static void random_maps(void **state)
{
	const char *env = getenv("SEED");
	uint64_t first = env ? strtoull(env, NULL, 0) : 1;
	unsigned nr_refused = 0;

	(void)state;
	for (uint64_t round = first; round < first + (env ? 1 : 3000); round++) {
		struct ondol_mem_region regions[12];
		bool refused;
		uint32_t nr;

		seed = round * UINT64_C(0x9e3779b97f4a7c15) + 1;
		nr = 1 + pick(12);
		for (uint32_t i = 0; i < nr; i++) {
			uint64_t start = pick(GRAINS), end = start + pick(GRAINS / 4);

			regions[i] = (struct ondol_mem_region){
				{ start * 512 }, { (end < GRAINS ? end : GRAINS) * 512 },
				pick(3) ? ONDOL_MEM_USABLE : ONDOL_MEM_RESERVED,
				(uint16_t)(pick(8) ? 0 : 1) };
		}
		if (!agrees(regions, nr, &refused))
			report(regions, nr, round);
		nr_refused += refused;
	}
	assert_true(env || (nr_refused > 100 && nr_refused < 2900));
}

/* Types: beside each other they stay apart, over each other they are refused; reserved wins. */
static void types(void **state)
{
	(void)state;
	assert_int_equal(BUILD(NO_LIMIT, USE(0, 0x4000), OFF(0x4000, 0x8000), OFF(0x8000, 0x9000),
			       DEV(0x9000, 0xa000), RES(0x6000, 0x6001), USE(0xa000, 0xc800),
			       OFF(0xc800, 0xe000)), 0);
	ASSERT_MEMORY({ 0, 4, 0, 0 }, { 4, 9, 0, 0 }, { 9, 10, 0, 0 }, { 10, 12, 0, 0 },
		      { 13, 14, 0, 0 });
	assert_int_equal(mb.memory[1].type, ONDOL_MEM_OFFLINE);
	assert_int_equal(mb.memory[2].type, ONDOL_MEM_DEVICE);
	ASSERT_FREE({ 0, 4, 0, 0 }, { 10, 12, 0, 0 });
	struct memblock_range run;

	assert_true(memblock_next_run(&mb, 4, &run));
	assert_true(run.start == 4 && run.end == 6 && run.type == ONDOL_MEM_OFFLINE);
	assert_true(memblock_next_run(&mb, 6, &run));
	assert_true(run.start == 7 && run.end == 9);
	assert_int_equal(BUILD(NO_LIMIT, USE(0, 0x4000), OFF(0x3fff, 0x8000)), -ONDOL_EINVAL);
	assert_int_equal(BUILD(NO_LIMIT, DEV(0, 0x4000), OFF(0, 0x4000)), -ONDOL_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unsorted),
		cmocka_unit_test(overlapping),
		cmocka_unit_test(unaligned),
		cmocka_unit_test(holes_and_empty_regions),
		cmocka_unit_test(reserved_wins),
		cmocka_unit_test(limited),
		cmocka_unit_test(two_nodes),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(boot_allocations),
		cmocka_unit_test(damage_is_named),
		cmocka_unit_test(random_maps),
		cmocka_unit_test(types),
	};

	return cmocka_run_group_tests_name("memblock", tests, NULL, NULL);
}

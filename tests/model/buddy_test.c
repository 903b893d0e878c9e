/* SPDX-License-Identifier: MIT */
/*
 * Random page allocator operations against the most naive model there is: the owner of each
 * frame.  What is handed out must be free, aligned, where the flags allow it, and hold what was
 * written; what is refused must really not be there.  A failure is shrunk to a few operations.
 *
 *	SEED=N make check T=model/buddy	one round of each machine
 *	ROUNDS=N			more rounds than the few of every day
 */
#include "support/frames.h"

#define FRAMES_MAX 20480
#define OPS 2000
#define NOT_OURS UINT32_MAX /* a hole, reserved, or the machine's own */

enum kind { ALLOC, FREE, SPLIT, DRAIN, RANGE, BALLOON };

struct op {
	uint8_t kind, order, cpu;
	int8_t node;
	ondol_gfp_t gfp;
	uint32_t pick;
};

static const ondol_gfp_t gfps[] = {
	ONDOL_GFP_KERNEL, ONDOL_GFP_HIGHUSER_MOVABLE, ONDOL_GFP_DMA, ONDOL_GFP_DMA32,
	ONDOL_GFP_NOWAIT, ONDOL_GFP_ATOMIC, ONDOL_GFP_MEMALLOC,
	ONDOL_GFP_MEMALLOC | ONDOL_GFP_COMP,
	ONDOL_GFP_MEMALLOC | ONDOL_GFP_HIGHMEM | ONDOL_GFP_MOVABLE, ONDOL_GFP_RECLAIMABLE,
	ONDOL_GFP_HIGHUSER, ONDOL_GFP_MEMALLOC | ONDOL_GFP_DMA, ONDOL_GFP_KERNEL | ONDOL_GFP_ZERO,
	ONDOL_GFP_MEMALLOC | ONDOL_GFP_THISNODE | ONDOL_GFP_ZERO };

/* Real zone limits on a machine small enough to look at whole, C8. */
struct world {
	const struct ondol_profile *profile;
	uint64_t zone_end[ONDOL_NR_ZONES];
	struct ondol_mem_region map[5];
	uint32_t nr_map, nodes, cpus;
	bool late; /* records written late, memory known to be zeroed */
	uint8_t order_shift; /* larger blocks for a larger machine */
	enum { AS_PROFILE, EAGER, DELAY2, DELAY2_PCP } policy; /* D8 */
	bool no_map;
};

static const struct world worlds[] = {
	{ &ondol_profile_toy16,
	  { [ONDOL_ZONE_NORMAL] = GIB(4) },
	  { USABLE(0, MIB(1), 0) }, 1, 1, 1, false, 0,
	  AS_PROFILE, false },
	{ &ondol_profile_i386_2_4,
	  { [ONDOL_ZONE_DMA] = MIB(2), [ONDOL_ZONE_NORMAL] = MIB(6),
	    [ONDOL_ZONE_HIGHMEM] = MIB(9) },
	  { USABLE(MIB(1), MIB(9), 0), RESERVED(MIB(3), MIB(3) + 5000) }, 2, 1, 1, false, 0,
	  AS_PROFILE, false },
	{ &ondol_profile_i386_2_6,
	  { [ONDOL_ZONE_DMA] = MIB(2), [ONDOL_ZONE_NORMAL] = MIB(6),
	    [ONDOL_ZONE_HIGHMEM] = MIB(9), [ONDOL_ZONE_MOVABLE] = MIB(12) },
	  { USABLE(0, MIB(12), 0), RESERVED(0xa0000, 0x100000) }, 2, 1, 2, false, 0,
	  AS_PROFILE, false },
	{ &ondol_profile_x86_64,
	  { [ONDOL_ZONE_DMA] = MIB(2), [ONDOL_ZONE_DMA32] = MIB(8), [ONDOL_ZONE_NORMAL] = GIB(8) },
	  { USABLE(0, MIB(6), 0), USABLE(MIB(6), MIB(10), 1), USABLE(MIB(11) + 4096, MIB(16), 0),
	    RESERVED(MIB(1), MIB(1) + 1) }, 4, 2, 3, false, 0,
	  AS_PROFILE, false },
	{ &ondol_profile_x86_64,
	  { [ONDOL_ZONE_NORMAL] = GIB(8) },
	  { USABLE(0, MIB(8), 0) }, 1, 1, 1, false, 0,
	  AS_PROFILE, false },
	{ &ondol_profile_x86_64, /* three sections */
	  { [ONDOL_ZONE_DMA] = MIB(16), [ONDOL_ZONE_DMA32] = MIB(40),
	    [ONDOL_ZONE_NORMAL] = GIB(8) },
	  { USABLE(0, MIB(30), 0), USABLE(MIB(30), MIB(50), 1), USABLE(MIB(52) + 4096, MIB(78), 0),
	    RESERVED(MIB(33), MIB(34) + 1) }, 4, 2, 3, true, 3,
	  AS_PROFILE, false },
	{ &ondol_profile_i386_2_4,
	  { [ONDOL_ZONE_DMA] = MIB(16), [ONDOL_ZONE_NORMAL] = MIB(60),
	    [ONDOL_ZONE_HIGHMEM] = MIB(80) },
	  { USABLE(0, MIB(80), 0), RESERVED(0xa0000, 0x100000) }, 2, 1, 2, true, 3,
	  AS_PROFILE, false },
#define TWO_NODES                                                                             \
	{ [ONDOL_ZONE_DMA] = MIB(2), [ONDOL_ZONE_NORMAL] = GIB(8) },                          \
	{ USABLE(0, MIB(9), 0), USABLE(MIB(9), MIB(16), 1) }, 2, 2, 2, false, 0
	{ &ondol_profile_x86_64, TWO_NODES, EAGER, false },
	{ &ondol_profile_x86_64, TWO_NODES, EAGER, true },
	{ &ondol_profile_x86_64, TWO_NODES, DELAY2, false },
	{ &ondol_profile_x86_64, TWO_NODES, DELAY2, true },
	{ &ondol_profile_x86_64, TWO_NODES, DELAY2_PCP, false },
	{ &ondol_profile_i386_2_4, TWO_NODES, DELAY2, false },
	{ &ondol_profile_x86_64, TWO_NODES, AS_PROFILE, true },
};

/* ------------------------------------------------------------------ the model */

struct block { struct ondol_page *page; uint32_t pfn, id; uint8_t order; bool compound; };

static struct {
	const struct world *world;
	struct ondol_profile profile;
	struct toy toy;
	uint32_t owner[FRAMES_MAX]; /* id of the block, 0: free */
	struct block live[FRAMES_MAX];
	uint32_t nr_live, nr_frames, next_id;
	uint32_t at; /* the operation */
	char why[160];
} w;

static bool wrong(const char *why, uint64_t detail)
{
	snprintf(w.why, sizeof w.why, "%s: %llu", why, (unsigned long long)detail);
	return false;
}

static unsigned zone_of(uint32_t pfn)
{
	unsigned type = 0;

	while (!w.profile.zone_end[type] || pfn >= w.profile.zone_end[type] >> 12)
		type++;
	return type;
}

static unsigned node_of(uint32_t pfn)
{
	for (uint32_t i = 0; i < w.world->nr_map; i++) {
		const struct ondol_mem_region *region = &w.world->map[i];

		if (region->type == ONDOL_MEM_USABLE && pfn >= region->start.value >> 12 &&
		    pfn < region->end.value >> 12)
			return region->node;
	}
	return 99;
}

/* The highest zone the flags allow. */
static unsigned highest(ondol_gfp_t gfp)
{
	const uint64_t *end = w.profile.zone_end;
	unsigned low = ONDOL_ZONE_NORMAL;

	if (gfp & ONDOL_GFP_DMA && end[ONDOL_ZONE_DMA])
		return ONDOL_ZONE_DMA;
	if (gfp & ONDOL_GFP_DMA32 && !(gfp & ONDOL_GFP_DMA) && end[ONDOL_ZONE_DMA32])
		return ONDOL_ZONE_DMA32;
	if (gfp & (ONDOL_GFP_DMA | ONDOL_GFP_DMA32) || !(gfp & ONDOL_GFP_HIGHMEM))
		return low;
	if (gfp & ONDOL_GFP_MOVABLE && end[ONDOL_ZONE_MOVABLE])
		return ONDOL_ZONE_MOVABLE;
	return end[ONDOL_ZONE_HIGHMEM] ? ONDOL_ZONE_HIGHMEM : low;
}

static bool free_block_at(uint32_t pfn, unsigned order)
{
	for (uint32_t i = 0; i < 1u << order; i++)
		if (pfn + i >= w.nr_frames || w.owner[pfn + i] ||
		    zone_of(pfn + i) != zone_of(pfn) || node_of(pfn + i) != node_of(pfn))
			return false;
	return true;
}

static uint64_t *word_of(uint32_t pfn)
{
	return (uint64_t *)((char *)w.toy.ram + ((size_t)pfn << 12));
}

static bool took(const struct op *op, struct ondol_page *page)
{
	uint64_t pfn = pfn_of(&w.toy, page);
	unsigned home = op->node < 0 || (uint32_t)op->node >= w.world->nodes ?
				op->cpu % w.world->nodes : (unsigned)op->node;

	if (pfn & ((1u << op->order) - 1))
		return wrong("not aligned", pfn);
	if (!free_block_at((uint32_t)pfn, op->order))
		return wrong("not free, or over an edge", pfn);
	if (zone_of((uint32_t)pfn) > highest(op->gfp))
		return wrong("of a zone too high", pfn);
	if (op->gfp & ONDOL_GFP_THISNODE && node_of((uint32_t)pfn) != home)
		return wrong("of another node", pfn);
	w.live[w.nr_live++] = (struct block){
		page, (uint32_t)pfn, ++w.next_id, op->order, op->gfp & ONDOL_GFP_COMP };
	for (uint32_t i = 0; i < 1u << op->order; i++) {
		uint64_t *word = word_of((uint32_t)pfn + i);

		for (unsigned k = 0; op->gfp & ONDOL_GFP_ZERO && k < 512; k++)
			if (word[k])
				return wrong("not zero", pfn + i);
		word[0] = word[511] = w.next_id;
		w.owner[pfn + i] = w.next_id;
	}
	return true;
}

/* A zone of the refusal: has it what was asked for? */
static bool zone_had_it(const struct op *op, const struct ondol_refusal *why, uint32_t at)
{
	uint64_t mark = why->zone[at].watermark, free = 0;
	bool has_block = false;

	for (uint32_t pfn = 0; pfn < w.nr_frames; pfn++) {
		if (node_of(pfn) != why->zone[at].node ||
		    strcmp(ondol_zone_name((enum ondol_zone_type)zone_of(pfn)), why->zone[at].name))
			continue;
		free += !w.owner[pfn];
		has_block |= !(pfn & ((1u << op->order) - 1)) && free_block_at(pfn, op->order);
	}
	if (free != why->zone[at].pages_free) {
		wrong("a refusal counts otherwise", free);
		return true;
	}
	mark = op->gfp & ONDOL_GFP_MEMALLOC ? 0 :
	       (op->gfp & ONDOL_GFP_HIGH ? mark - mark / 2 : mark) + why->zone[at].lowmem_reserve;
	if (!has_block || free < mark + (1u << op->order))
		return false;
	wrong("refused, but there was one in zone", at);
	return true;
}

static bool refused(const struct op *op)
{
	struct ondol_refusal why;

	ondol_last_refusal(w.toy.m, &why);
	if (why.order != op->order)
		return wrong("somebody else's refusal", why.order);
	if (op->order >= w.profile.nr_orders)
		return true;
	for (uint32_t i = 0; i < why.nr_zones; i++)
		if (zone_had_it(op, &why, i))
			return false;
	return true;
}

static bool free_one(uint32_t pick)
{
	struct block block;

	if (!w.nr_live)
		return true;
	pick %= w.nr_live--;
	block = w.live[pick];
	w.live[pick] = w.live[w.nr_live];
	for (uint32_t i = 0; i < 1u << block.order; i++) {
		uint64_t *word = word_of(block.pfn + i);

		if (word[0] != block.id || word[511] != block.id)
			return wrong("somebody wrote to frame", block.pfn + i);
		memset(word, 0xa5, 4096);
		w.owner[block.pfn + i] = 0;
	}
	ondol_free_pages(w.toy.m, block.page, block.order);
	return true;
}

static void split_one(uint32_t pick)
{
	struct block *block = w.nr_live ? &w.live[pick % w.nr_live] : NULL, whole;

	if (!block || block->compound)
		return;
	whole = *block;
	ondol_split_page(w.toy.m, whole.page, whole.order);
	block->order = 0;
	for (uint32_t i = 1; i < 1u << whole.order; i++)
		w.live[w.nr_live++] = (struct block){ page_at(&w.toy, whole.pfn + i),
						      whole.pfn + i, whole.id, 0, false };
}

static bool is_whole(void)
{
	struct ondol_broken_invariant broken;
	struct ondol_machine_stats stats;
	uint64_t free = 0;

	if (ondol_machine_validate(w.toy.m, &broken))
		return wrong(broken.id, broken.where);
	ondol_machine_stats(w.toy.m, &stats);
	for (uint32_t pfn = 0; pfn < w.nr_frames; pfn++)
		free += !w.owner[pfn];
	return free == stats.pages_free || wrong("free frames", stats.pages_free);
}

/* ------------------------------------------------------------------ runs */

/* What is free at the start.  In a machine of the same kind: to look brings records up. */
static void read_owners(const struct ondol_machine_desc *desc)
{
	struct toy twin;

	if (toy_init(&twin, desc))
		abort();
	for (uint32_t pfn = 0; pfn < w.nr_frames; pfn++) {
		struct toy *t = w.world->late ? &twin : &w.toy;
		const struct ondol_page *page = page_at(t, pfn);

		w.owner[pfn] = page && ondol_page_use(page) == ONDOL_PAGE_FREE ? 0 : NOT_OURS;
	}
	(void)toy_free(&twin);
}

static void world_begin(const struct world *world)
{
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = world->map,
					   .nr_regions = world->nr_map, .nr_nodes = world->nodes,
					   .nr_cpus = world->cpus, .profile = &w.profile,
					   .deferred_init = world->late,
					   .memory_is_zeroed = world->late };
	struct hoard h;

	memset(&w, 0, sizeof w);
	w.world = world;
	w.profile = *world->profile;
	memcpy(w.profile.zone_end, world->zone_end, sizeof world->zone_end);
	if (world->policy) {
		w.profile.lazy = world->policy == EAGER ? ONDOL_LAZY_EAGER : ONDOL_LAZY_DELAY2;
		w.profile.pcp = world->policy == DELAY2_PCP;
	}
	w.profile.map_bitmap &= !world->no_map;
	frames_init(&w.toy, &desc);
	/* Whatever the machine's own shrinkers have to give, they give now; or never. */
	if (!world->late) {
		h = hoard_all(&w.toy, -1, ONDOL_GFP_HIGHUSER_MOVABLE, 0);
		hoard_free(&w.toy, &h);
	}
	w.nr_frames = (uint32_t)(w.toy.ram_size >> 12);
	assert_true(w.nr_frames <= FRAMES_MAX);
	read_owners(&desc);
}

/* Just these frames: theirs exactly when all are free and of one zone. */
static bool take_range(const struct op *op)
{
	uint32_t pfn = op->pick % w.nr_frames, nr = 1 + (op->pick >> 16) % 40;
	bool may = true;
	int r = ondol_alloc_contig_range(w.toy.m, ondol_pfn(pfn), nr, NULL);

	for (uint32_t i = 0; i < nr; i++)
		may = may && free_block_at(pfn + i, 0) && zone_of(pfn + i) == zone_of(pfn) &&
		      node_of(pfn + i) == node_of(pfn);
	if (may != !r)
		return wrong(may ? "a free range refused" : "a range that was not free", pfn);
	for (uint32_t i = 0; !r && i < nr; i++) {
		w.live[w.nr_live++] = (struct block){ page_at(&w.toy, pfn + i), pfn + i,
						      ++w.next_id, 0, false };
		*word_of(pfn + i) = word_of(pfn + i)[511] = w.next_id;
		w.owner[pfn + i] = w.next_id;
	}
	return true;
}

/* It grows, and lets everything go: nothing else is moved by it. */
static bool try_balloon(const struct op *op)
{
	uint32_t node = op->pick % w.world->nodes;
	uint64_t before, got;
	struct ondol_machine_stats stats;

	ondol_machine_stats(w.toy.m, &stats);
	before = stats.pages_free;
	got = ondol_balloon_set(w.toy.m, node, (op->pick >> 8) % 500);
	ondol_machine_stats(w.toy.m, &stats);
	if (stats.pages_free + got != before)
		return wrong("a balloon of other size", got);
	return !ondol_balloon_set(w.toy.m, node, 0) || wrong("a balloon that stays", node);
}

static bool do_op(const struct op *op)
{
	ondol_gfp_t no_reclaim = w.world->late ? ONDOL_GFP_RECLAIM : 0;
	struct ondol_page *page;

	frames_cpu = op->cpu;
	switch (op->kind) {
	case ALLOC:
		page = ondol_alloc_pages_node(w.toy.m, op->node,
					      (op->gfp | ONDOL_GFP_NOWARN) & ~no_reclaim,
					      op->order);
		return page ? took(op, page) : refused(op);
	case FREE:
		return free_one(op->pick);
	case SPLIT:
		split_one(op->pick);
		return true;
	case RANGE:
		return take_range(op);
	case BALLOON:
		return try_balloon(op);
	default:
		ondol_drain_all_pages(w.toy.m);
		return true;
	}
}

static bool do_ops(const struct op *ops, uint32_t nr)
{
	const uint32_t often = w.world->late ? 250 : 64;

	for (w.at = 0; w.at < nr; w.at++)
		if (!do_op(&ops[w.at]) || (w.at % often == 63 && !is_whole()))
			return false;
	while (w.nr_live)
		if (!free_one(0))
			return false;
	return is_whole();
}

/* In a machine of its own; false: w.why, at operation w.at. */
static bool run(const struct world *world, const struct op *ops, uint32_t nr)
{
	volatile bool good = false; /* set between setjmp and longjmp */

	world_begin(world);
	if (TOY_PANICS(&w.toy))
		wrong(w.toy.panic.invariant, w.toy.panic.detail[0]);
	else
		good = do_ops(ops, nr);
	w.toy.expects_panic = false;
	frames_cpu = 0;
	if (good && toy_free(&w.toy))
		return wrong("leaks", 0);
	if (!good) { /* broken: not by its own means */
		munmap(w.toy.ram, w.toy.ram_size);
		free(w.toy.storage);
	}
	return good;
}

/* Leave out what is not needed to fail, the largest pieces first. */
static uint32_t shrink(const struct world *world, struct op *ops, uint32_t nr)
{
	static struct op fewer[OPS];

	nr = w.at < nr ? w.at + 1 : nr;
	for (uint32_t piece = nr / 2; piece; piece /= 2) {
		for (uint32_t at = 0; at + piece <= nr;) {
			memcpy(fewer, ops, at * sizeof *ops);
			memcpy(fewer + at, ops + at + piece, (nr - at - piece) * sizeof *ops);
			if (run(world, fewer, nr - piece)) {
				at += piece;
				continue;
			}
			nr = w.at < nr - piece ? w.at + 1 : nr - piece;
			memcpy(ops, fewer, nr * sizeof *ops);
		}
	}
	(void)run(world, ops, nr);
	return nr;
}

static void report(const struct world *world, struct op *ops, uint32_t nr, uint64_t seed)
{
	static const char *const names[] = { "alloc", "free", "split", "drain", "range",
					     "balloon" };

	nr = shrink(world, ops, nr);
	print_message("# %s, %u operations:\n", world->profile->name, nr);
	for (uint32_t i = 0; i < nr; i++)
		print_message("#   cpu %u %-7s order %u gfp %#x node %d pick %u\n", ops[i].cpu,
			      names[ops[i].kind], ops[i].order, ops[i].gfp, ops[i].node,
			      ops[i].pick);
	fail_msg("%s\nagain: SEED=%llu make check T=model/buddy", w.why,
		 (unsigned long long)seed);
}

static uint64_t random_state;

static uint32_t pick(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 24) % below;
}

/* Tides: memory fills and empties, and mostly small blocks are wanted. */
static void make_ops(struct op *ops, const struct world *world)
{
	uint32_t tide = 50;

	for (uint32_t i = 0; i < OPS; i++) {
		struct op *op = &ops[i];
		uint32_t dice = pick(1000);

		if (i % 250 == 0)
			tide = 250 + pick(740);
		memset(op, 0, sizeof *op);
		op->kind = dice < 5 ? DRAIN : dice < 15 ? SPLIT : dice < 25 ? RANGE :
			   dice < 27 ? BALLOON : dice < tide ? ALLOC : FREE;
		op->order = (uint8_t)__builtin_ctz(pick(1u << 20) | 1u << 19);
		op->order = (uint8_t)(op->order + (pick(2) ? world->order_shift : 0));
		if (op->order > world->profile->nr_orders)
			op->order = world->order_shift;
		op->cpu = (uint8_t)pick(world->cpus);
		op->node = (int8_t)(pick(4) ? -1 : (int)pick(world->nodes));
		op->gfp = gfps[pick(sizeof gfps / sizeof *gfps)];
		op->pick = pick(1u << 30);
	}
}

static void rounds(const struct world *world)
{
	static struct op ops[OPS];
	const char *env = getenv("SEED"), *more = getenv("ROUNDS");
	uint64_t first = env ? strtoull(env, NULL, 0) : 1;
	uint64_t nr = env ? 1 : more ? strtoull(more, NULL, 0) : 6;

	for (uint64_t seed = first; seed < first + nr; seed++) {
		random_state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
		make_ops(ops, world);
		if (!run(world, ops, OPS))
			report(world, ops, OPS, seed);
	}
}

static void toy16(void **state)
{
	(void)state;
	rounds(&worlds[0]);
}

static void i386_2_4(void **state)
{
	(void)state;
	rounds(&worlds[1]);
}

static void i386_2_6(void **state)
{
	(void)state;
	rounds(&worlds[2]);
}

static void x86_64(void **state)
{
	(void)state;
	rounds(&worlds[3]);
	rounds(&worlds[4]);
}

static void late_records(void **state)
{
	(void)state;
	rounds(&worlds[5]);
	rounds(&worlds[6]);
}

static void policies(void **state)
{
	(void)state;
	for (unsigned i = 7; i < NR(worlds); i++)
		rounds(&worlds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(toy16),
		cmocka_unit_test(i386_2_4),
		cmocka_unit_test(i386_2_6),
		cmocka_unit_test(x86_64),
		cmocka_unit_test(late_records),
		cmocka_unit_test(policies),
	};

	return cmocka_run_group_tests_name("buddy model", tests, NULL, NULL);
}

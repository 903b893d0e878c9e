/* SPDX-License-Identifier: MIT */
/*
 * Page frames and slab objects under simulated CPUs (ports/sim): allocations, frees of what
 * another CPU took, refills, spills, drains of other CPUs' lists, sections coming up late,
 * reclaim, and interrupts, interleaved at every atomic operation by a seed.  Nothing may be
 * handed out twice, and at rest every invariant holds (D6, D8) and nothing is lost.
 *
 *	SEED=N make check T=phys_sim	one schedule again
 *	ROUNDS=N			more of them
 */
#include "sim/sim.h"
#include "support/frames.h"

#include "phys/zone.h"

#define FRAMES_MAX 16384
#define LIVE_MAX 512

enum kind { ALLOC, FREE, SEND, DRAIN, SPLIT, KMALLOC, KFREE };

struct world {
	const char *name;
	const struct ondol_profile *profile;
	uint32_t cpus, mib;
	unsigned rounds, steps, orders; /* orders asked for: below that */
	enum { AS_PROFILE, EAGER, DELAY2_PCP } policy; /* D8 */
	bool barrier; /* the port has sync_cpus: page lists without atomics */
	bool late, reclaim, slab, interrupts;
	bool drains; /* CPU 0 does little else */
	bool calm;   /* the port has no interrupts: the way of PCP_CPUS */
};

static const struct world worlds[] = {
	{ .name = "lists", .profile = &ondol_profile_x86_64, .cpus = 3, .mib = 4, .rounds = 500,
	  .steps = 6000, .orders = 2, .barrier = true },
	{ .name = "drains", .profile = &ondol_profile_x86_64, .cpus = 2, .mib = 4, .rounds = 1500,
	  .steps = 6500, .orders = 1, .barrier = true, .drains = true },
	{ .name = "lists, calm", .profile = &ondol_profile_x86_64, .cpus = 3, .mib = 4,
	  .rounds = 500, .steps = 6000, .orders = 2, .barrier = true, .calm = true },
	{ .name = "drains, calm", .profile = &ondol_profile_x86_64, .cpus = 2, .mib = 4,
	  .rounds = 1500, .steps = 6500, .orders = 1, .barrier = true, .drains = true,
	  .calm = true },
	{ .name = "lists, locked", .profile = &ondol_profile_x86_64, .cpus = 2, .mib = 4,
	  .rounds = 300, .steps = 5000, .orders = 2 },
	{ .name = "interrupts", .profile = &ondol_profile_x86_64, .cpus = 2, .mib = 4,
	  .rounds = 1000, .steps = 5000, .orders = 3, .barrier = true, .interrupts = true },
	{ .name = "delay2", .profile = &ondol_profile_x86_64, .cpus = 3, .mib = 4, .rounds = 300,
	  .steps = 6000, .orders = 4, .policy = DELAY2_PCP, .barrier = true },
	{ .name = "eager", .profile = &ondol_profile_i386_2_4, .cpus = 4, .mib = 4, .rounds = 200,
	  .steps = 6000, .orders = 5, .policy = EAGER },
	{ .name = "late records", .profile = &ondol_profile_x86_64, .cpus = 3, .mib = 64,
	  .rounds = 40, .steps = 20000, .orders = 11, .late = true, .barrier = true },
	{ .name = "reclaim", .profile = &ondol_profile_x86_64, .cpus = 3, .mib = 1, .rounds = 100,
	  .steps = 100000, .orders = 2, .barrier = true, .reclaim = true },
	{ .name = "slab", .profile = &ondol_profile_x86_64, .cpus = 3, .mib = 4, .rounds = 200,
	  .steps = 6000, .orders = 1, .barrier = true, .slab = true },
};

struct block {
	struct ondol_page *page;
	void *object; /* instead: of kmalloc */
	unsigned order;
	size_t size;
};

static struct {
	const struct world *world;
	struct ondol_profile profile;
	struct ondol_port port;
	struct ondol_machine *m;
	void *storage, *ram;
	size_t ram_size;
	uint64_t seed, free_before;
	uint8_t owner[FRAMES_MAX]; /* 1 + the CPU that has the frame */
	struct block live[SIM_CPUS_MAX][LIVE_MAX]; /* by the CPU that will free it */
	uint32_t nr_live[SIM_CPUS_MAX];
	struct ondol_page *held[FRAMES_MAX]; /* what the shrinker can give */
	uint32_t nr_held;
	bool shrinking;
} w;

/* ------------------------------------------------------------------ who has what */

static void keep(uint32_t cpu, struct block block)
{
	if (w.nr_live[cpu] == LIVE_MAX)
		abort();
	w.live[cpu][w.nr_live[cpu]++] = block;
}

static void own(struct ondol_page *page, unsigned order, uint32_t cpu)
{
	uint64_t pfn = ondol_page_to_pfn(w.m, page).value;

	for (uint64_t i = pfn; i < pfn + (1u << order); i++) {
		if (w.owner[i])
			sim_fail("frame %llu handed out twice: to CPU %u and %u",
				 (unsigned long long)i, w.owner[i] - 1u, cpu);
		w.owner[i] = (uint8_t)(cpu + 1);
	}
}

static void disown(struct ondol_page *page, unsigned order)
{
	uint64_t pfn = ondol_page_to_pfn(w.m, page).value;

	memset(&w.owner[pfn], 0, 1u << order);
}

static void take(uint32_t cpu, ondol_gfp_t gfp, unsigned order)
{
	struct ondol_page *page = ondol_alloc_pages(w.m, gfp | ONDOL_GFP_NOWARN, order);

	if (!page)
		return;
	own(page, order, cpu);
	keep(cpu, (struct block){ .page = page, .order = order });
}

static void take_object(uint32_t cpu, size_t size)
{
	unsigned char *object = ondol_kmalloc(w.m, size, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN);

	if (!object)
		return;
	memset(object, 0x40 + (int)cpu, size);
	keep(cpu, (struct block){ .object = object, .size = size, .order = 0x40 + cpu });
}

static void give_block(const struct block *block)
{
	if (block->page) {
		disown(block->page, block->order);
		ondol_free_pages(w.m, block->page, block->order);
		return;
	}
	for (size_t i = 0; i < block->size; i++)
		if (((unsigned char *)block->object)[i] != block->order)
			sim_fail("somebody else wrote to an object of %zu bytes", block->size);
	ondol_kfree(w.m, block->object);
}

static bool pick(uint32_t cpu, uint64_t which, struct block *out)
{
	if (!w.nr_live[cpu])
		return false;
	which %= w.nr_live[cpu]--;
	*out = w.live[cpu][which];
	w.live[cpu][which] = w.live[cpu][w.nr_live[cpu]];
	return true;
}

static void split(uint32_t cpu, uint64_t which)
{
	struct block block;

	if (!pick(cpu, which, &block))
		return;
	if (!block.page || block.order > 3) {
		keep(cpu, block);
		return;
	}
	ondol_split_page(w.m, block.page, block.order);
	for (unsigned i = 0; i < 1u << block.order; i++) {
		ondol_pfn_t pfn = { ondol_page_to_pfn(w.m, block.page).value + i };

		keep(cpu, (struct block){ .page = ondol_pfn_to_page(w.m, pfn) });
	}
}

/* ------------------------------------------------------------------ operations */

struct op {
	enum kind kind;
	unsigned order;
	ondol_gfp_t gfp;
	uint64_t which;
};

static struct op op_of(uint32_t cpu, uint32_t nr)
{
	static const uint8_t kinds[] = { ALLOC, ALLOC, ALLOC, ALLOC, ALLOC, FREE, FREE, FREE,
					 FREE, SEND, SEND, DRAIN, SPLIT };
	static const ondol_gfp_t gfps[] = { ONDOL_GFP_KERNEL, ONDOL_GFP_KERNEL,
					    ONDOL_GFP_HIGHUSER_MOVABLE, ONDOL_GFP_MEMALLOC };
	uint64_t z = (w.seed << 20 | cpu << 10 | nr) * UINT64_C(0x9e3779b97f4a7c15);
	struct op op;

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z ^= z >> 27;
	op.kind = kinds[z % NR(kinds)];
	op.which = z >> 8 & 0xffff;
	op.order = (z >> 24 & 1) ? 0 : (unsigned)(z >> 25 & 0xff) % w.world->orders;
	op.gfp = gfps[z >> 33 & 3];
	if (w.world->drains && !cpu && z >> 36 & 3)
		op.kind = DRAIN;
	if (w.world->reclaim && op.kind == FREE)
		op.kind = ALLOC;
	if (w.world->late && z >> 35 & 1)
		op.order = w.world->orders - 1;
	if (w.world->slab && op.kind == ALLOC)
		op.kind = KMALLOC;
	return op;
}

static void do_op(void *ctx, uint32_t cpu, uint32_t nr)
{
	struct op op = op_of(cpu, nr);
	struct block block;

	(void)ctx;
	switch (op.kind) {
	case ALLOC:
		take(cpu, op.gfp, op.order);
		break;
	case KMALLOC:
		take_object(cpu, 8 + op.which % 2000);
		break;
	case FREE:
	case KFREE:
		if (pick(cpu, op.which, &block))
			give_block(&block);
		break;
	case SEND:
		if (pick(cpu, op.which, &block))
			keep((cpu + 1) % w.world->cpus, block);
		break;
	case DRAIN:
		ondol_drain_all_pages(w.m);
		break;
	case SPLIT:
		split(cpu, op.which);
		break;
	}
}

static void print_op(void *ctx, uint32_t cpu, uint32_t nr, char *text, size_t size)
{
	static const char *const names[] = { "alloc", "free", "send", "drain", "split", "kmalloc",
					     "kfree" };
	struct op op = op_of(cpu, nr);

	(void)ctx;
	snprintf(text, size, "%s order %u gfp %#x pick %u", names[op.kind], op.order, op.gfp,
		 (unsigned)op.which);
}

/* A device's frame comes and goes. */
static void interrupt(void *ctx, uint32_t cpu)
{
	struct ondol_page *page;

	(void)ctx;
	page = ondol_alloc_pages(w.m, ONDOL_GFP_ATOMIC | ONDOL_GFP_NOWARN, 0);
	if (!page)
		return;
	own(page, 0, cpu);
	disown(page, 0);
	ondol_free_pages(w.m, page, 0);
}

/* ------------------------------------------------------------------ the machine */

/* One at a time; and a shrinker may allocate. */
static uint64_t shrink(struct ondol_machine *m, void *ctx, uint64_t nr_pages)
{
	uint64_t nr = 0;
	struct ondol_page *page;

	(void)ctx;
	if (w.shrinking)
		sim_fail("two reclaim at a time");
	w.shrinking = true;
	page = ondol_alloc_pages(m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, 0);
	if (page) {
		own(page, 0, sim_cpu());
		disown(page, 0);
		ondol_free_pages(m, page, 0);
	}
	for (; nr < nr_pages && nr < 4 && w.nr_held; nr++) {
		page = w.held[--w.nr_held];
		disown(page, 0);
		ondol_free_pages(m, page, 0);
	}
	w.shrinking = false;
	return nr;
}

static uint64_t pages_free(void)
{
	struct ondol_machine_stats stats;

	ondol_machine_stats(w.m, &stats);
	return stats.pages_free;
}

static void begin_reclaim(void)
{
	if (ondol_register_shrinker(w.m, shrink, NULL))
		sim_fail("no room for a shrinker");
	for (;;) {
		struct ondol_page *page = ondol_alloc_pages(w.m, ONDOL_GFP_NOWARN, 0);

		if (!page)
			break;
		own(page, 0, 0);
		w.held[w.nr_held++] = page;
	}
	for (unsigned i = 0; i < 10; i++) {
		disown(w.held[--w.nr_held], 0);
		ondol_free_pages(w.m, w.held[w.nr_held], 0);
	}
}

static void begin(void *ctx, uint64_t seed, struct ondol_port *port)
{
	const struct world *world = ctx;
	const struct ondol_mem_region all[] = { USABLE(0, (uint64_t)world->mib << 20, 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, world->cpus, &w.profile);
	size_t size, align;

	memset(w.owner, 0, sizeof w.owner);
	memset(w.nr_live, 0, sizeof w.nr_live);
	w.world = world;
	w.seed = seed;
	w.nr_held = 0;
	w.shrinking = false;
	w.profile = *world->profile;
	if (world->policy)
		w.profile.lazy = world->policy == EAGER ? ONDOL_LAZY_EAGER : ONDOL_LAZY_DELAY2;
	desc.deferred_init = world->late;
	w.ram_size = (size_t)world->mib << 20;
	w.ram = mmap(NULL, w.ram_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	w.port = *port;
	w.port.direct_map = w.ram;
	if (!world->barrier)
		w.port.sync_cpus = NULL;
	if (world->calm) {
		w.port.irq_save = NULL;
		w.port.irq_restore = NULL;
	}
	if (ondol_machine_storage(&desc, &size, &align) ||
	    posix_memalign(&w.storage, align, size) ||
	    ondol_machine_init(w.storage, size, &desc, &w.port, &w.m))
		sim_fail("no machine");
	ondol_drain_all_pages(w.m);
	w.free_before = pages_free();
	if (world->reclaim)
		begin_reclaim();
	for (uint32_t cpu = 0; world->barrier && cpu < world->cpus; cpu++)
		sim_delay(&w.m->phys->cpus[cpu].lock.busy);
}

static void assert_whole(void)
{
	struct ondol_broken_invariant broken;

	if (ondol_machine_validate(w.m, &broken))
		sim_fail("[%s] %s: at %#llx, %llu expected, %llu found", broken.id, broken.text,
			 (unsigned long long)broken.where, (unsigned long long)broken.expected,
			 (unsigned long long)broken.actual);
}

static void check(void *ctx)
{
	struct block block;

	(void)ctx;
	assert_whole();
	while (w.nr_held) {
		disown(w.held[--w.nr_held], 0);
		ondol_free_pages(w.m, w.held[w.nr_held], 0);
	}
	for (uint32_t cpu = 0; cpu < w.world->cpus; cpu++)
		while (pick(cpu, 0, &block))
			give_block(&block);
	ondol_drain_all_pages(w.m);
	assert_whole();
	if (!w.world->slab && pages_free() != w.free_before)
		sim_fail("%llu frames free at first, %llu at last",
			 (unsigned long long)w.free_before, (unsigned long long)pages_free());
	if (ondol_machine_fini(w.m))
		sim_fail("something is still out");
}

static void end(void *ctx)
{
	(void)ctx;
	munmap(w.ram, w.ram_size);
	free(w.storage);
	w.storage = NULL;
}

static void run_world(void **state)
{
	const struct world *world = *state;
	struct sim_test test = { .name = "phys_sim", .nr_cpus = world->cpus, .nr_ops = 40,
				 .nr_rounds = world->rounds, .nr_steps = world->steps,
				 .ctx = (void *)world, .begin = begin, .op = do_op,
				 .interrupt = world->interrupts ? interrupt : NULL,
				 .check = check, .end = end, .print = print_op };

	assert_true(sim_check(&test));
}

/* With an argument: only the world of that name. */
int main(int argc, char **argv)
{
	struct CMUnitTest tests[NR(worlds)];

	for (unsigned i = 0; i < NR(worlds); i++)
		tests[i] = (struct CMUnitTest){ worlds[i].name, run_world, NULL, NULL,
						(void *)&worlds[i] };
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("phys_sim", tests, NULL, NULL);
}

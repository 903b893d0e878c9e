/* SPDX-License-Identifier: MIT */
/*
 * A cache under simulated CPUs (ports/sim): batches of objects are allocated, freed, and freed by
 * another CPU; magazines go through the depot, while a CPU shrinks the cache or ticks, which
 * reaches into the others' magazines.  Without atomics (sync_cpus, store buffers) and with them.
 * No object may be with two users, and at rest every invariant holds and nothing is lost.
 *
 *	SEED=N make check T=slab_sim	one schedule again
 */
#include "sim/sim.h"
#include "support/frames.h"

#include "slab/slab.h"

#define RAM_MIB 8
#define STEP 16 /* bytes of an object */
#define LIVE_MAX 400
#define MANY 25 /* objects of an operation */

enum kind { ALLOC, FREE, SEND, SHRINK, TICK, NR_KINDS };

struct world {
	const char *name;
	uint32_t cpus;
	unsigned rounds;
	bool barrier, interrupts;
};

static const struct world worlds[] = {
	{ .name = "depot", .cpus = 3, .rounds = 4000, .barrier = true },
	{ .name = "depot, locked", .cpus = 3, .rounds = 150 },
	{ .name = "interrupts", .cpus = 2, .rounds = 200, .barrier = true, .interrupts = true },
};

static struct {
	const struct world *world;
	struct ondol_port port;
	struct ondol_machine *m;
	struct ondol_kmem_cache *cache;
	void *storage, *ram;
	uint64_t seed;
	uint8_t owner[(RAM_MIB << 20) / STEP]; /* 1 + the CPU that has the object there */
	char *live[SIM_CPUS_MAX][LIVE_MAX];
	uint32_t nr_live[SIM_CPUS_MAX];
} w;

static uint64_t mix(uint32_t cpu, uint32_t nr)
{
	uint64_t x = (w.seed << 16 | cpu << 8 | nr) * UINT64_C(0x9e3779b97f4a7c15);

	x ^= x >> 29;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 32;
}

static enum kind kind_of(uint32_t cpu, uint32_t nr)
{
	static const enum kind kinds[] = { ALLOC, ALLOC, ALLOC, ALLOC, FREE, FREE, FREE, SEND,
					   SEND, SHRINK, TICK, ALLOC, FREE, SEND, FREE, ALLOC };

	return kinds[mix(cpu, nr) % NR(kinds)];
}

static uint8_t *owner_of(const char *object)
{
	return &w.owner[(size_t)(object - (char *)w.ram) / STEP];
}

static char *take(uint32_t cpu)
{
	char *object = ondol_kmem_cache_alloc(w.cache, ONDOL_GFP_NOWARN);

	if (!object)
		return NULL;
	if (*owner_of(object))
		sim_fail("CPU %u gets what CPU %u has", cpu, *owner_of(object) - 1u);
	*owner_of(object) = (uint8_t)(1 + cpu);
	return object;
}

static void give(char *object)
{
	*owner_of(object) = 0;
	ondol_kmem_cache_free(w.cache, object);
}

static void do_op(void *ctx, uint32_t cpu, uint32_t nr)
{
	uint32_t other = (cpu + 1) % w.world->cpus, to;

	(void)ctx;
	switch (kind_of(cpu, nr)) {
	case ALLOC:
		for (unsigned i = 0; i < MANY && w.nr_live[cpu] < LIVE_MAX; i++) {
			char *object = take(cpu);

			/* Others may have sent some meanwhile. */
			if (object && w.nr_live[cpu] < LIVE_MAX)
				w.live[cpu][w.nr_live[cpu]++] = object;
			else if (object)
				give(object);
		}
		break;
	case FREE:
		for (unsigned i = 0; i < MANY && w.nr_live[cpu]; i++)
			give(w.live[cpu][--w.nr_live[cpu]]);
		break;
	case SEND:
		for (unsigned i = 0; i < MANY && w.nr_live[cpu]; i++) {
			to = w.nr_live[other] < LIVE_MAX ? other : cpu;
			if (to == cpu)
				break;
			w.live[to][w.nr_live[to]++] = w.live[cpu][--w.nr_live[cpu]];
		}
		break;
	case SHRINK:
		(void)ondol_kmem_cache_shrink(w.cache);
		break;
	default:
		(void)ondol_kmem_cache_tick(w.m);
	}
}

static void print_op(void *ctx, uint32_t cpu, uint32_t nr, char *text, size_t size)
{
	static const char *const names[] = { "alloc", "free", "send", "shrink", "tick" };

	(void)ctx;
	snprintf(text, size, "%s", names[kind_of(cpu, nr)]);
}

static void interrupt(void *ctx, uint32_t cpu)
{
	char *object = take(cpu);

	(void)ctx;
	if (object)
		give(object);
}

static void begin(void *ctx, uint64_t seed, struct ondol_port *port)
{
	const struct ondol_mem_region all[] = { USABLE(0, (uint64_t)RAM_MIB << 20, 0) };
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = STEP };
	size_t size, align;

	w.world = ctx;
	struct ondol_machine_desc desc = DESCRIBE(all, 1, w.world->cpus, &ondol_profile_x86_64);

	w.seed = seed;
	memset(w.owner, 0, sizeof w.owner);
	memset(w.nr_live, 0, sizeof w.nr_live);
	w.ram = mmap(NULL, (size_t)RAM_MIB << 20, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	w.port = *port;
	w.port.direct_map = w.ram;
	if (!w.world->barrier)
		w.port.sync_cpus = NULL;
	if (ondol_machine_storage(&desc, &size, &align) ||
	    posix_memalign(&w.storage, align, size) ||
	    ondol_machine_init(w.storage, size, &desc, &w.port, &w.m) ||
	    ondol_kmem_cache_create(w.m, "sim", &args, &w.cache))
		sim_fail("no machine");
	if (!w.cache->mag_cap || !w.cache->depot_max)
		sim_fail("no magazines: nothing is shown");
	for (uint32_t cpu = 0; w.world->barrier && cpu < w.world->cpus; cpu++)
		sim_delay(&w.cache->cpu[cpu].lock.busy);
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
	(void)ctx;
	assert_whole();
	for (uint32_t cpu = 0; cpu < w.world->cpus; cpu++)
		while (w.nr_live[cpu])
			give(w.live[cpu][--w.nr_live[cpu]]);
	assert_whole();
	if (ondol_kmem_cache_destroy(w.cache) || ondol_machine_fini(w.m))
		sim_fail("something is still out");
}

static void end(void *ctx)
{
	(void)ctx;
	munmap(w.ram, (size_t)RAM_MIB << 20);
	free(w.storage);
	w.storage = NULL;
}

static void run_world(void **state)
{
	const struct world *world = *state;
	struct sim_test test = { .name = "slab_sim", .nr_cpus = world->cpus, .nr_ops = 30,
				 .nr_rounds = world->rounds, .nr_steps = 12000,
				 .ctx = (void *)world, .begin = begin, .op = do_op,
				 .interrupt = world->interrupts ? interrupt : NULL,
				 .check = check, .end = end, .print = print_op };

	assert_true(sim_check(&test));
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[NR(worlds)];

	for (unsigned i = 0; i < NR(worlds); i++)
		tests[i] = (struct CMUnitTest){ worlds[i].name, run_world, NULL, NULL,
						(void *)&worlds[i] };
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("slab_sim", tests, NULL, NULL);
}

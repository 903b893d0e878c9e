/* SPDX-License-Identifier: MIT */
/* Pools with a reserve, per-CPU data, depots of magazines, and who gives back first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ondol/mempool.h>

#include "slab/slab.h"
#include "support/slab_kit.h"

#define GFP ONDOL_GFP_KERNEL
#define NR_RESERVE 20u

static struct toy t;
static struct ondol_kmem_cache *cache;

static void begin(uint32_t flags)
{
	assert_int_equal(kit_new(&t, 64, 2, NULL, NULL), 0);
	cache = kit_cache(t.m, "mine", 200, 0, flags);
	assert_non_null(cache);
}

static void end(void)
{
	ASSERT_VALID(t.m);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	assert_int_equal(toy_free(&t), 0);
}

static const char *broken(void)
{
	static struct ondol_broken_invariant out;

	return ondol_machine_validate(t.m, &out) ? out.id : "none";
}

/* Memory has run out: the pool still gives its reserve, and one for each that comes back. */
static void reserve_is_guaranteed(void **state)
{
	struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_SLAB] = 1, .persistent = true };
	struct ondol_mempool *pool;
	void *objects[NR_RESERVE], *early;

	(void)state;
	begin(0);
	assert_int_equal(ondol_mempool_create(cache, NR_RESERVE, &pool), 0);
	assert_int_equal(ondol_mempool_reserve(pool), NR_RESERVE);
	early = ondol_mempool_alloc(pool, GFP);
	assert_int_equal(ondol_mempool_reserve(pool), NR_RESERVE); /* the cache comes first */
	ondol_set_fail_plan(t.m, &plan);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < NR_RESERVE; i++) {
			objects[i] = ondol_mempool_alloc(pool, GFP | ONDOL_GFP_ZERO);
			assert_non_null(objects[i]);
			for (unsigned k = 0; k < 200; k++)
				assert_int_equal(((char *)objects[i])[k], 0);
			memset(objects[i], 0xee, 200);
		}
		assert_null(ondol_mempool_alloc(pool, GFP));
		ASSERT_VALID(t.m);
		for (unsigned i = 0; i < NR_RESERVE; i++)
			ondol_mempool_free(pool, objects[i]);
		assert_int_equal(ondol_mempool_reserve(pool), NR_RESERVE);
	}
	ondol_set_fail_plan(t.m, NULL);
	assert_int_equal(ondol_mempool_destroy(pool), -ONDOL_EBUSY);
	assert_non_null(strstr(kit_log_text, "leak: a pool of cache mine: 1 objects in use"));
	ondol_mempool_free(pool, early); /* the reserve is full: to the cache */
	ondol_mempool_free(pool, NULL);
	assert_int_equal(ondol_mempool_destroy(pool), 0);
	end();
}

/* Each allocation in turn fails: nothing is lost, and the reserve is whole or not there. */
static void pool_faults(void **state)
{
	(void)state;
	begin(0);
	for (uint64_t nth = 1; nth < 60; nth++) {
		struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_SLAB] = nth };
		struct ondol_mempool *pool;
		int r;

		ondol_set_fail_plan(t.m, &plan);
		r = ondol_mempool_create(cache, NR_RESERVE, &pool);
		if (!r) {
			r = ondol_mempool_resize(pool, 2 * NR_RESERVE);
			assert_true(!r || r == -ONDOL_ENOMEM);
			assert_true(ondol_mempool_reserve(pool) >= NR_RESERVE);
			if (!r) {
				assert_int_equal(ondol_mempool_reserve(pool), 2 * NR_RESERVE);
				r = ondol_mempool_resize(pool, 3);
				assert_int_equal(ondol_mempool_reserve(pool),
						 r ? 2 * NR_RESERVE : 3);
			}
			ASSERT_VALID(t.m);
			assert_int_equal(ondol_mempool_destroy(pool), 0);
		}
		ondol_set_fail_plan(t.m, NULL);
		assert_int_equal(kit_info(t.m, "mine").active_objects, 0);
	}
	end();
}

static void pool_mistakes(void **state)
{
	struct ondol_mempool *pool;
	void *object, *kept;

	(void)state;
	begin(ONDOL_SLAB_CONSISTENCY_CHECKS);
	assert_int_equal(ondol_mempool_create(cache, 0, &pool), -ONDOL_EINVAL);
	assert_int_equal(ondol_mempool_create(cache, ONDOL_MEMPOOL_MAX + 1, &pool), -ONDOL_EINVAL);
	assert_int_equal(ondol_mempool_create(cache, 2, &pool), 0);
	object = ondol_mempool_alloc(pool, GFP);
	kept = pool->elements[0];
	ASSERT_PANICS(&t, "MEMPOOL-2", ondol_mempool_free(pool, kept));
	spin_unlock(&pool->lock); /* as the panic left it */
	pool->elements[0] = (char *)kept + 8;
	assert_string_equal(broken(), "MEMPOOL-1");
	pool->elements[0] = kept;
	pool->min_nr = 1;
	assert_string_equal(broken(), "MEMPOOL-1");
	pool->min_nr = 2;
	assert_string_equal(broken(), "none");
	ondol_mempool_free(pool, object);
	ASSERT_PANICS(&t, "MEMPOOL-2", ondol_mempool_free(pool, object)); /* nothing is out */
	assert_int_equal(ondol_mempool_destroy(pool), 0);
	end();
}

/* ------------------------------------------------------------------ per-CPU data */

static void each_cpu_its_own(void **state)
{
	static char *data[3000];
	static size_t size[3000];
	uint32_t seed = 1;

	(void)state;
	begin(0);
	for (unsigned i = 0; i < 3000; i++) { /* random lifetimes; no two overlap */
		unsigned at = (seed = seed * 1664525 + 1013904223) >> 20;
		size_t align = (size_t)8 << seed % 4;

		at %= 300;
		for (unsigned cpu = 0; data[at] && cpu < 2; cpu++) {
			char *mine = ondol_per_cpu_ptr(t.m, data[at], cpu);

			for (size_t k = 0; k < size[at]; k++)
				assert_int_equal(mine[k], (char)(at * 2 + cpu));
		}
		ondol_free_percpu(t.m, data[at]);
		size[at] = seed % 7 ? seed % 90 + 1 : seed % ONDOL_PERCPU_MAX + 1;
		data[at] = ondol_alloc_percpu(t.m, size[at], align, GFP);
		assert_non_null(data[at]);
		for (unsigned cpu = 0; cpu < 2; cpu++) {
			char *mine = ondol_per_cpu_ptr(t.m, data[at], cpu);

			assert_int_equal((uintptr_t)mine % align, 0);
			for (size_t k = 0; k < size[at]; k++)
				assert_int_equal(mine[k], 0);
			memset(mine, (int)(at * 2 + cpu), size[at]);
			kit_cpu = cpu;
			assert_ptr_equal(ondol_this_cpu_ptr(t.m, data[at]), mine);
		}
		if (i % 64 == 0)
			ASSERT_VALID(t.m);
	}
	for (unsigned at = 0; at < 300; at++)
		ondol_free_percpu(t.m, data[at]);
	assert_int_equal(kit_frames(t.m, ONDOL_PAGE_KERNEL), 0); /* chunks go when they are empty */
	end();
}

static void percpu_mistakes(void **state)
{
	struct percpu_chunk *chunk;
	char *a;

	(void)state;
	begin(0);
	assert_null(ondol_alloc_percpu(t.m, 0, 0, GFP));
	assert_null(ondol_alloc_percpu(t.m, ONDOL_PERCPU_MAX + 1, 0, GFP));
	assert_null(ondol_alloc_percpu(t.m, 8, 24, GFP));
	assert_null(ondol_alloc_percpu(t.m, 8, 128, GFP));
	a = ondol_alloc_percpu(t.m, 100, 0, GFP);
#define FREE_PANICS(p)                                                                        \
	do {                                                                                  \
		ASSERT_PANICS(&t, "PERCPU-2", ondol_free_percpu(t.m, p));                     \
		spin_unlock(&t.m->slab->percpu_lock); /* as the panic left it */              \
	} while (0)
	FREE_PANICS(a + 16); /* in the middle */
	FREE_PANICS(a + 1);
	FREE_PANICS(a - 16); /* the head */
	FREE_PANICS(a + 112); /* behind */
	FREE_PANICS((char *)ondol_per_cpu_ptr(t.m, a, 1)); /* the other CPU's */
	FREE_PANICS((char *)&chunk);
	ASSERT_PANICS(&t, "PERCPU-2", ondol_per_cpu_ptr(t.m, a, 2));
	chunk = container_of(t.m->slab->chunks.next, struct percpu_chunk, link);
	chunk->last[7] = 1;
	assert_string_equal(broken(), "PERCPU-1");
	chunk->last[7] = 0;
	chunk->nr_allocs++;
	assert_string_equal(broken(), "PERCPU-1");
	chunk->nr_allocs--;
	assert_int_equal(ondol_machine_fini(t.m), -ONDOL_EBUSY); /* a leak like any other */
	ondol_free_percpu(t.m, a);
	ondol_free_percpu(t.m, NULL);
	end();
}

/* B: a CPU's part lies on its node.  Every allocation fails once: nothing is lost. */
static void percpu_on_nodes(void **state)
{
	struct ondol_mem_region regions[2] = {
		{ .end = { 16 << 20 }, .type = ONDOL_MEM_USABLE },
		{ .start = { 16 << 20 }, .end = { 32 << 20 }, .type = ONDOL_MEM_USABLE,
		  .node = 1 } };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = regions,
					   .nr_regions = 2, .nr_nodes = 2, .nr_cpus = 4 };
	void *data;

	(void)state;
	assert_int_equal(kit_init(&t, &desc), 0);
	data = ondol_alloc_percpu(t.m, 64, 64, GFP);
	for (uint32_t cpu = 0; cpu < 4; cpu++)
		assert_int_equal(page_node(kit_page(&t, ondol_per_cpu_ptr(t.m, data, cpu))),
				 t.m->phys->cpus[cpu].node);
	ondol_free_percpu(t.m, data);
	for (uint64_t nth = 1; nth < 8; nth++) {
		struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_ALLOC_PAGES] = nth };

		ondol_set_fail_plan(t.m, &plan);
		data = ondol_alloc_percpu(t.m, 64, 64, GFP | ONDOL_GFP_NOWARN);
		ondol_set_fail_plan(t.m, NULL);
		assert_true(data || plan.failed[ONDOL_FAIL_ALLOC_PAGES]);
		ondol_free_percpu(t.m, data);
		assert_int_equal(kit_frames(t.m, ONDOL_PAGE_KERNEL), 0);
		ASSERT_VALID(t.m);
	}
	assert_int_equal(toy_free(&t), 0);
}

/* ------------------------------------------------------------------ depots */

/* One CPU allocates, the other frees: whole magazines go round, and no slab is made anew. */
static void magazines_go_round(void **state)
{
	void *objects[64];
	uint64_t slabs = 0;

	(void)state;
	begin(0);
	for (unsigned round = 0; round < 50; round++) {
		kit_cpu = 0;
		for (unsigned i = 0; i < 64; i++)
			objects[i] = ondol_kmem_cache_alloc(cache, GFP);
		kit_cpu = 1;
		for (unsigned i = 0; i < 64; i++)
			ondol_kmem_cache_free(cache, objects[i]);
		if (round == 25)
			slabs = kit_info(t.m, "mine").nr_slabs;
	}
	ASSERT_VALID(t.m);
	assert_int_equal(kit_info(t.m, "mine").nr_slabs, slabs);
	assert_true(cache->depot_objects > 0);
	/* [SLAB-11] */
	cache->nr_full++;
	assert_string_equal(broken(), "SLAB-11");
	cache->nr_full--;
	cache->depot_objects++;
	assert_string_equal(broken(), "SLAB-11");
	cache->depot_objects--;
	cache->full->nr--;
	assert_string_not_equal(broken(), "none");
	cache->full->nr++;
	end();
}

static void let_go(void *ctx) /* the other CPU, which holds the lock until somebody waits */
{
	(void)ctx;
	spin_unlock(&cache->lock);
}

/* Where the depot's lock is found taken, magazines grow, to their most and no further. */
static void magazines_grow(void **state)
{
	void *objects[64];
	uint32_t began;

	(void)state;
	begin(0);
	t.port.cpu_relax = let_go;
	began = cache->mag_cap;
	assert_true(began < cache->mag_max);
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 128; i++) {
			kit_cpu = i / 64;
			cache->lock.locked = 1;
			if (i < 64)
				objects[i] = ondol_kmem_cache_alloc(cache, GFP);
			else
				ondol_kmem_cache_free(cache, objects[i - 64]);
		}
		cache->lock.locked = 0;
		assert_in_range(cache->mag_cap, began, cache->mag_max);
	}
	assert_int_equal(cache->mag_cap, cache->mag_max);
	assert_int_equal(cache->cpu[1].cap, cache->mag_max); /* and the CPUs followed */
	end();
}

/* Empty slabs go before what magazines hold, and only as many as are wanted. */
static void reap_takes_the_cold_first(void **state)
{
	static void *objects[2000];
	struct ondol_slab_info info;
	uint64_t held, cold;

	(void)state;
	begin(0);
	cache->free_slabs_max = 1000;
	for (unsigned i = 0; i < 2000; i++)
		objects[i] = ondol_kmem_cache_alloc(cache, GFP);
	for (unsigned i = 0; i < 2000; i++)
		ondol_kmem_cache_free(cache, objects[i]);
	info = kit_info(t.m, "mine");
	cold = info.slabs_free * info.pages_per_slab;
	held = cache->nr_inuse; /* in magazines */
	assert_true(cold > 20 && held > 0);
	assert_in_range(slab_reap(t.m, NULL, 8), 8, 8 + info.pages_per_slab);
	assert_int_equal(cache->nr_inuse, held);
	assert_true(slab_reap(t.m, NULL, cold) >= cold - 8); /* of other caches, too */
	(void)slab_reap(t.m, NULL, UINT64_MAX);
	assert_int_equal(cache->nr_inuse, 0);
	assert_int_equal(kit_info(t.m, "mine").nr_slabs, 0);
	end();
}

/* A busy cache keeps its working set, an idle one nothing. */
static void ticks_give_back(void **state)
{
	static void *objects[1000];
	uint64_t waiting;

	(void)state;
	begin(0);
	for (unsigned second = 0; second < 5; second++) {
		for (unsigned i = 0; i < 1000; i++)
			objects[i] = ondol_kmem_cache_alloc(cache, GFP);
		for (unsigned i = 0; i < 1000; i++)
			ondol_kmem_cache_free(cache, objects[i]);
		waiting = cache->depot_objects;
		(void)ondol_kmem_cache_tick(t.m);
		ASSERT_VALID(t.m);
		assert_true(waiting > 0);
		if (second > 0) /* all of the depot was wanted since the tick before */
			assert_int_equal(cache->depot_objects, waiting);
	}
	ondol_kmem_cache_free(cache, ondol_kmem_cache_alloc(cache, GFP));
	assert_true(ondol_kmem_cache_tick(t.m) > 0); /* only its CPU's magazine was used */
	assert_int_equal(kit_info(t.m, "mine").nr_slabs, 0);
	/* Some wanted, some not: these go. */
	for (unsigned i = 0; i < 1000; i++)
		objects[i] = ondol_kmem_cache_alloc(cache, GFP);
	for (unsigned i = 0; i < 1000; i++)
		ondol_kmem_cache_free(cache, objects[i]);
	(void)ondol_kmem_cache_tick(t.m);
	waiting = cache->depot_objects;
	for (unsigned i = 0; i < 70; i++)
		objects[i] = ondol_kmem_cache_alloc(cache, GFP);
	for (unsigned i = 0; i < 70; i++)
		ondol_kmem_cache_free(cache, objects[i]);
	(void)ondol_kmem_cache_tick(t.m);
	assert_true(cache->depot_objects < waiting);
	end();
}

static uint64_t shrink(struct ondol_machine *m, void *ctx, uint64_t nr_pages)
{
	(void)m;
	(void)nr_pages;
	++*(unsigned *)ctx;
	return 0;
}

/* A shrinker is asked while it is registered, in its place or another's that has gone. */
static void shrinkers_come_and_go(void **state)
{
	static struct ondol_page *pages[20000];
	unsigned asked[ONDOL_SHRINKERS_MAX] = { 0 }, nr = 0, own = 0;

	(void)state;
	begin(0);
	while (!ondol_register_shrinker(t.m, shrink, &asked[own]))
		own++;
	assert_true(own > 2 && own < ONDOL_SHRINKERS_MAX);
	assert_int_equal(ondol_unregister_shrinker(t.m, shrink, &asked[1]), 0);
	assert_int_equal(ondol_unregister_shrinker(t.m, shrink, &asked[1]), -ONDOL_ENOENT);
	while ((pages[nr] = ondol_alloc_pages(t.m, GFP | ONDOL_GFP_NOWARN, 0)))
		nr++;
	for (unsigned i = 0; i < own; i++)
		assert_int_equal(asked[i] > 0, i != 1);
	assert_int_equal(ondol_register_shrinker(t.m, shrink, &asked[1]), 0);
	assert_null(ondol_alloc_pages(t.m, GFP | ONDOL_GFP_NOWARN, 0));
	assert_true(asked[1] > 0);
	while (nr)
		ondol_free_pages(t.m, pages[--nr], 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reserve_is_guaranteed),
		cmocka_unit_test(pool_faults),
		cmocka_unit_test(pool_mistakes),
		cmocka_unit_test(each_cpu_its_own),
		cmocka_unit_test(percpu_mistakes),
		cmocka_unit_test(percpu_on_nodes),
		cmocka_unit_test(magazines_go_round),
		cmocka_unit_test(magazines_grow),
		cmocka_unit_test(reap_takes_the_cold_first),
		cmocka_unit_test(ticks_give_back),
		cmocka_unit_test(shrinkers_come_and_go),
	};

	return cmocka_run_group_tests_name("mempool", tests, NULL, NULL);
}

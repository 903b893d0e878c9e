/* SPDX-License-Identifier: MIT */
/* The object in a CPU's hand (magazine.c), and what a pair of calls writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "slab/slab.h"
#include "support/slab_kit.h"

#define GFP ONDOL_GFP_KERNEL

static struct toy t;

static void *take(struct ondol_kmem_cache *cache)
{
	void *object = ondol_kmem_cache_alloc(cache, GFP);

	assert_non_null(object);
	return object;
}

/*
 * The object freed last is in the CPU's hand, with what is known of it; that it is not the caller's
 * to free is noticed all the same, by whomever and however often it is tried.
 */
static void object_in_hand(void **state)
{
	struct ondol_kmem_cache *cache, *other;
	struct slab_cpu *cpu;
	void *a, *b;

	(void)state;
	assert_int_equal(kit_new(&t, 64, 2, NULL, NULL), 0);
	cache = kit_cache(t.m, "mine", 100, 0, 0);
	cache->way = SLAB_CPUS; /* as if the port had sync_cpus */
	other = kit_cache(t.m, "other", 100, 0, 0);
	a = take(cache);
	b = take(cache);
	cpu = &cache->cpu[0];
	ondol_kmem_cache_free(cache, a);
	assert_int_equal(cpu->hand, (uintptr_t)a | SLAB_HAND_FREE);
	assert_int_equal(kit_info(t.m, "mine").active_objects, 1);
	ASSERT_PANICS(&t, "SLAB-5", ondol_kmem_cache_free(cache, a));
	assert_ptr_equal(take(cache), a);
	assert_int_equal(cpu->hand, (uintptr_t)a);
	assert_int_equal(kit_info(t.m, "mine").active_objects, 2);
	/* Out of the hand, freed on another CPU: freeing it here is still once too often. */
	kit_cpu = 1;
	ondol_kmem_cache_free(cache, a);
	kit_cpu = 0;
	assert_int_equal(cpu->hand, (uintptr_t)a);
	ASSERT_PANICS(&t, "SLAB-5", ondol_kmem_cache_free(cache, a));
	ASSERT_PANICS(&t, "SLAB-6", ondol_kmem_cache_free(other, b));
	ASSERT_PANICS(&t, "SLAB-6", ondol_kmem_cache_free(cache, NULL));
	ondol_kmem_cache_free(cache, b);
	/* When its slab has gone, what is remembered of it counts for nothing. */
	assert_ptr_equal(take(cache), b);
	kit_cpu = 1;
	ondol_kmem_cache_free(cache, b);
	kit_cpu = 0;
	assert_true(ondol_kmem_cache_shrink(cache) > 0);
	cpu->hand = (uintptr_t)b; /* as if the drain had not reached this CPU */
	*cpu->hand_state = SLAB_IN_USE; /* somebody else's memory now, and as it happens */
	ASSERT_PANICS(&t, "SLAB-6", ondol_kmem_cache_free(cache, b));
	cpu->hand = 0;
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	assert_int_equal(ondol_kmem_cache_destroy(other), 0);
	ASSERT_VALID(t.m);
	assert_int_equal(toy_free(&t), 0);
}

/* Longer slabs where they are asked for, as far as the machine has room for such. */
static void least_order(void **state)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = 64,
					      .least_order = 2 };
	struct ondol_kmem_cache *cache;

	(void)state;
	assert_int_equal(kit_new(&t, 64, 1, NULL, NULL), 0);
	assert_int_equal(ondol_kmem_cache_create(t.m, "long", &args, &cache), 0);
	assert_int_equal(kit_info(t.m, "long").pages_per_slab, 4);
	assert_int_equal(kit_info(t.m, "long").objects_per_slab, 4 * 4096 / 66);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	args.least_order = 4;
	assert_int_equal(ondol_kmem_cache_create(t.m, "long", &args, &cache), -ONDOL_EINVAL);
	assert_int_equal(toy_free(&t), 0);
	args.least_order = 3;
	assert_int_equal(kit_new(&t, 4, 1, NULL, NULL), 0);
	assert_int_equal(ondol_kmem_cache_create(t.m, "long", &args, &cache), 0);
	assert_in_range(kit_info(t.m, "long").pages_per_slab, 1, 2);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	assert_int_equal(toy_free(&t), 0);
}

/* Lines of the machine's memory that differ from what they were, which is brought up to date. */
static uint32_t changed_lines(unsigned char *was)
{
	const unsigned char *now = t.ram;
	uint32_t nr = 0;

	for (size_t at = 0; at < t.ram_size; at += PHYS_CACHE_LINE) {
		if (!memcmp(was + at, now + at, PHYS_CACHE_LINE))
			continue;
		memcpy(was + at, now + at, PHYS_CACHE_LINE);
		nr++;
	}
	return nr;
}

/* Whose cache it is, and its CPUs' parts, lie in the RAM too.  (Reads: bench/lines.sh.) */
static void two_lines(void **state)
{
	(void)state;
	for (uint32_t cpus = 1; cpus <= 2; cpus++) {
		struct ondol_kmem_cache *cache;
		unsigned char *was;
		void *object;

		assert_int_equal(kit_new(&t, 32, cpus, NULL, NULL), 0);
		cache = kit_cache(t.m, "mine", 64, 0, 0);
		if (cpus > 1)
			cache->way = SLAB_CPUS;
		was = malloc(t.ram_size);
		assert_non_null(was);
		object = take(cache);
		ondol_kmem_cache_free(cache, object);
		memcpy(was, t.ram, t.ram_size);
		for (unsigned i = 0; i < 3; i++) {
			object = take(cache);
			assert_in_range(changed_lines(was), 1, 2);
			ondol_kmem_cache_free(cache, object);
			assert_in_range(changed_lines(was), 1, 2);
		}
		free(was);
		assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
		ASSERT_VALID(t.m);
		assert_int_equal(toy_free(&t), 0);
	}
}

static void relax(void *ctx)
{
	(void)ctx;
	fail_msg("a lock was waited for");
}

/*
 * One CPU allocates, another frees: a lock for each magazine, not for each object.  Every time that
 * objects move under the cache's lock it counts a move.
 */
static void remote_frees(void **state)
{
	static void *objects[200];
	unsigned long moves;
	unsigned nr = 0;

	(void)state;
	for (size_t size = 64; size <= 4096; size *= 8) {
		struct ondol_kmem_cache *cache;

		assert_int_equal(kit_new(&t, 64, 2, NULL, NULL), 0);
		t.port.cpu_relax = relax;
		cache = kit_cache(t.m, "mine", size, 0, 0);
		moves = cache->nr_moves;
		for (unsigned round = 0; round < 100; round++) {
			for (unsigned i = 0; i < 200; i++)
				objects[i] = take(cache);
			kit_cpu = 1;
			for (unsigned i = 0; i < 200; i++)
				ondol_kmem_cache_free(cache, objects[i]);
			kit_cpu = 0;
		}
		assert_in_range(cache->nr_moves - moves, 1, 2 * 100 * 200 / cache->mag_cap * 2);
		/* Somebody has the lock: frees go on as long as there is room. */
		for (unsigned i = 0; i < 200; i++)
			objects[i] = take(cache);
		kit_cpu = 1;
		while (cache->cpu[1].nr < cache->cpu[1].cap)
			ondol_kmem_cache_free(cache, objects[nr++]);
		slab_drain_magazines(cache, false);
		cache->lock.locked = 1;
		for (unsigned i = 0; i < cache->cpu[1].cap; i++)
			ondol_kmem_cache_free(cache, objects[nr++]);
		cache->lock.locked = 0;
		while (nr < 200)
			ondol_kmem_cache_free(cache, objects[nr++]);
		kit_cpu = nr = 0;
		assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
		ASSERT_VALID(t.m);
		assert_int_equal(toy_free(&t), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(object_in_hand),
		cmocka_unit_test(two_lines),
		cmocka_unit_test(remote_frees),
		cmocka_unit_test(least_order),
	};

	return cmocka_run_group_tests_name("slab_hand", tests, NULL, NULL);
}

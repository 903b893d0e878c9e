/* SPDX-License-Identifier: MIT */
/* Every allocation of a piece of work with caches fails once, then for good: nothing leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/slab_kit.h"

#define NR 180
#define GFP (ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN)

static struct toy t;
static unsigned constructed;

static void construct(void *object, void *arg)
{
	(void)arg;
	memset(object, 0x11, 8);
	constructed++;
}

/* All that succeeded is given back; true if everything did. */
static bool work(void)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = 72 },
				     built = { .size = sizeof built, .object_size = 3000,
					       .ctor = construct };
	static const size_t sizes[] = { 8, 100, 1000, 5000, 40000 };
	struct ondol_kmem_cache *cache[2] = { NULL, NULL };
	void *objects[2][NR] = { { NULL } }, *general[5] = { NULL };
	bool all = true;

	kit_cpu = 0;
	all &= !ondol_kmem_cache_create(t.m, "one", &args, &cache[0]);
	all &= !ondol_kmem_cache_create(t.m, "two", &built, &cache[1]);
	for (unsigned c = 0; c < 2; c++) {
		for (unsigned i = 0; cache[c] && i < NR; i++) {
			kit_cpu = i % 16 / 8;
			objects[c][i] = ondol_kmem_cache_alloc(cache[c], GFP);
			all &= objects[c][i] != NULL;
			if (objects[c][i])
				memset((char *)objects[c][i] + 8, (int)i, 64);
		}
	}
	for (unsigned i = 0; i < 5; i++) {
		general[i] = ondol_kzalloc(t.m, sizes[i], GFP);
		all &= general[i] != NULL;
	}
	kit_cpu = 1;
	for (unsigned c = 0; c < 2; c++) {
		for (unsigned i = 0; i < NR; i++) {
			if (!objects[c][i])
				continue;
			assert_int_equal(((unsigned char *)objects[c][i])[70], i);
			ondol_kmem_cache_free(cache[c], objects[c][i]);
		}
		if (cache[c])
			assert_int_equal(ondol_kmem_cache_destroy(cache[c]), 0);
	}
	for (unsigned i = 0; i < 5; i++)
		ondol_kfree(t.m, general[i]);
	return all;
}

static int add_up(void *ctx, const struct ondol_slab_info *info)
{
	if (strcmp(info->name, "kmem_magazine")) /* the caches that stay keep theirs */
		*(uint64_t *)ctx += info->active_objects;
	return 0;
}

static uint64_t active_objects(void)
{
	uint64_t sum = 0;

	(void)ondol_for_each_cache(t.m, add_up, &sum);
	return sum;
}

/* False if the nth event never came. */
static bool fail_nth(enum ondol_fail_point point, bool persistent, uint64_t nth)
{
	struct ondol_fail_plan plan = { .persistent = persistent };
	uint64_t objects = active_objects(), kernel = kit_frames(t.m, ONDOL_PAGE_KERNEL);
	bool all;

	plan.nth[point] = nth;
	ondol_set_fail_plan(t.m, &plan);
	all = work();
	ondol_set_fail_plan(t.m, NULL);
	ASSERT_VALID(t.m);
	assert_int_equal(active_objects(), objects);
	assert_int_equal(kit_frames(t.m, ONDOL_PAGE_KERNEL), kernel);
	if (!plan.failed[point])
		assert_true(all);
	if (persistent && plan.failed[point] && point == ONDOL_FAIL_SLAB)
		assert_false(all);
	return plan.failed[point] != 0;
}

/* A new machine each time, so that the first slabs and magazines are asked for again. */
static void fail_each(enum ondol_fail_point point, bool persistent, const char *debug)
{
	uint64_t nth = 1;
	bool failed;

	do {
		assert_int_equal(kit_new(&t, 16, 2, NULL, debug), 0);
		failed = fail_nth(point, persistent, nth);
		assert_true(work());
		assert_true(work());
		ASSERT_VALID(t.m);
		assert_int_equal(toy_free(&t), 0);
	} while (failed && ++nth < 2000);
	assert_true(nth > 10 && nth < 2000);
}

static void no_frame(void **state)
{
	(void)state;
	fail_each(ONDOL_FAIL_ALLOC_PAGES, false, NULL);
	fail_each(ONDOL_FAIL_ALLOC_PAGES, true, NULL);
}

static void no_frame_with_checks(void **state)
{
	(void)state;
	fail_each(ONDOL_FAIL_ALLOC_PAGES, false, "FZP");
	fail_each(ONDOL_FAIL_ALLOC_PAGES, true, "FZP");
}

static void no_object(void **state)
{
	(void)state;
	fail_each(ONDOL_FAIL_SLAB, false, NULL);
	fail_each(ONDOL_FAIL_SLAB, true, NULL);
}

/* A refused allocation says why, and the constructor has not run for nothing. */
static void refusal_is_told(void **state)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = 100,
					      .ctor = construct };
	struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_ALLOC_PAGES] = 1, .persistent = true };
	struct ondol_kmem_cache *cache;
	struct ondol_refusal refusal;

	(void)state;
	assert_int_equal(kit_new(&t, 16, 1, NULL, NULL), 0);
	assert_int_equal(ondol_kmem_cache_create(t.m, "one", &args, &cache), 0);
	constructed = 0;
	ondol_set_fail_plan(t.m, &plan);
	assert_null(ondol_kmem_cache_alloc(cache, ONDOL_GFP_KERNEL));
	ondol_set_fail_plan(t.m, NULL);
	ondol_last_refusal(t.m, &refusal);
	assert_true(refusal.nr_zones > 0);
	assert_non_null(strstr(kit_log_text, "page allocation refused"));
	assert_int_equal(constructed, 0);
	assert_int_equal(kit_info(t.m, "one").nr_slabs, 0);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	assert_int_equal(toy_free(&t), 0);
}

/* All of memory in objects, then all of it back. */
static void memory_runs_out(void **state)
{
	static void *objects[1 << 15];
	struct ondol_kmem_cache *cache;
	unsigned nr = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		assert_int_equal(kit_new(&t, 16, 2, round ? &ondol_profile_i386_2_4 : NULL, NULL),
				 0);
		cache = kit_cache(t.m, "one", 1000, 0, 0);
		for (nr = 0;; nr++) {
			kit_cpu = nr / 100 % 2;
			objects[nr] = ondol_kmem_cache_alloc(cache, GFP);
			if (!objects[nr])
				break;
		}
		assert_in_range(nr, 14000, 16 * 1024); /* of 16 MiB */
		ASSERT_VALID(t.m);
		assert_null(ondol_kmem_cache_alloc(cache, GFP));
		ondol_kmem_cache_free(cache, objects[--nr]);
		objects[nr] = ondol_kmem_cache_alloc(cache, GFP); /* the very one */
		assert_non_null(objects[nr++]);
		while (nr)
			ondol_kmem_cache_free(cache, objects[--nr]);
		assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
		assert_true(work());
		assert_int_equal(toy_free(&t), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_frame),
		cmocka_unit_test(no_frame_with_checks),
		cmocka_unit_test(no_object),
		cmocka_unit_test(refusal_is_told),
		cmocka_unit_test(memory_runs_out),
	};

	return cmocka_run_group_tests_name("slab faults", tests, NULL, NULL);
}

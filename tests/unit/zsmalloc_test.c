/* SPDX-License-Identifier: MIT */
/* Objects in single frames: contents through random puts and frees, gaps, frames back, failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/toy.h"

#include "virt/zsmalloc.h"

#define OBJECTS 2000

static struct toy toy;
static struct zs_pool pool;

struct object {
	struct zs_handle handle;
	size_t size; /* 0: none */
	uint32_t seed;
};

static int setup(void **state)
{
	(void)state;
	assert_int_equal(toy_new(&toy, 16, 1, NULL, NULL, NULL), 0);
	zs_init(&pool, toy.m);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(pool.frames, 0);
	assert_int_equal(toy_free(&toy), 0);
	return 0;
}

static void contents(unsigned char *bytes, const struct object *o)
{
	for (size_t i = 0; i < o->size; i++)
		bytes[i] = (unsigned char)(o->seed * 31 + i * 7 + (i >> 8));
}

static void check(const struct object *o)
{
	unsigned char expected[ZS_MAX], buffer[ZS_MAX];

	contents(expected, o);
	assert_memory_equal(zs_get(&pool, o->handle, o->size, buffer), expected, o->size);
}

static void against_the_model(void **state)
{
	static struct object object[OBJECTS];
	uint64_t bytes = 0;

	(void)state;
	srand(1);
	for (uint32_t step = 0; step < 60000; step++) {
		struct object *o = &object[rand() % OBJECTS];
		unsigned char from[ZS_MAX];

		if (o->size) {
			check(o);
			zs_free(&pool, o->handle, o->size);
			bytes -= o->size;
			o->size = 0;
			continue;
		}
		*o = (struct object){ .size = 1 + (size_t)rand() % ZS_MAX, .seed = step };
		contents(from, o);
		if (!zs_put(&pool, from, o->size, &o->handle)) {
			o->size = 0; /* 16 MiB are all there is */
			continue;
		}
		bytes += o->size;
		if (step % 1000 == 999)
			for (unsigned i = 0; i < OBJECTS; i++)
				if (object[i].size)
					check(&object[i]);
	}
	/* A step for each object and a zspage with room for each class at most. */
	assert_true(pool.frames * ONDOL_PAGE_SIZE <
		    bytes * 21 / 20 + ZS_CLASSES * ZS_FRAMES * ONDOL_PAGE_SIZE);
	for (unsigned i = 0; i < OBJECTS; i++)
		if (object[i].size)
			zs_free(&pool, object[i].handle, object[i].size);
}

/* No class leaves more than an eighth of its zspages unused. */
static void little_is_left(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < ZS_CLASSES; i++) {
		const struct zs_class *class = &pool.class[i];
		uint32_t whole = class->frames * (uint32_t)ONDOL_PAGE_SIZE;

		assert_in_range(class->frames, 1, ZS_FRAMES);
		assert_true(class->objects * (i + 1) * ZS_STEP <= whole);
		assert_true((class->objects * (i + 1) * ZS_STEP) >= whole * 7 / 8);
	}
}

/* Each frame of a new zspage refused in turn: nothing is kept, and then it works. */
static void no_frames(void **state)
{
	static const unsigned char from[ZS_MAX];
	struct zs_handle handle;

	(void)state;
	for (uint32_t i = 0; i < ZS_CLASSES; i++) {
		size_t size = (i + 1) * ZS_STEP;

		for (uint64_t n = 1; n <= pool.class[i].frames; n++) {
			struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_ALLOC_PAGES] = n };

			ondol_set_fail_plan(toy.m, &plan);
			assert_false(zs_put(&pool, from, size, &handle));
			ondol_set_fail_plan(toy.m, NULL);
			assert_int_equal(pool.frames, 0);
		}
		assert_true(zs_put(&pool, from, size, &handle));
		assert_int_equal(pool.frames, pool.class[i].frames);
		zs_free(&pool, handle, size);
	}
}

/* Where only every second frame is free there is no block of two, and objects fit all the same. */
static void frames_here_and_there(void **state)
{
	static struct ondol_page *frame[5000];
	static struct object object[400];
	uint32_t nr = 0, free = 0;

	(void)state;
	while (nr < 5000 && (frame[nr] = ondol_alloc_pages(toy.m, ONDOL_GFP_MEMALLOC, 0)))
		nr++;
	for (uint32_t i = 0; i < nr; i++) /* by number, so that no two are buddies */
		if (ondol_page_to_pfn(toy.m, frame[i]).value % 2 && free < 400) {
			ondol_free_pages(toy.m, frame[i], 0);
			frame[i] = NULL;
			free++;
		}
	assert_null(ondol_alloc_pages(toy.m, ONDOL_GFP_MEMALLOC | ONDOL_GFP_NOWARN, 1));
	for (uint32_t i = 0; i < 400; i++) {
		unsigned char from[ZS_MAX];

		object[i] = (struct object){ .size = 2500, .seed = i };
		contents(from, &object[i]);
		assert_true(zs_put(&pool, from, object[i].size, &object[i].handle));
	}
	for (uint32_t i = 0; i < 400; i++) {
		check(&object[i]);
		zs_free(&pool, object[i].handle, object[i].size);
	}
	for (uint32_t i = 0; i < nr; i++)
		if (frame[i])
			ondol_free_pages(toy.m, frame[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(against_the_model, setup, teardown),
		cmocka_unit_test_setup_teardown(little_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(no_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(frames_here_and_there, setup, teardown),
	};

	return cmocka_run_group_tests_name("zsmalloc", tests, NULL, NULL);
}

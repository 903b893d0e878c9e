/* SPDX-License-Identifier: MIT */
/* Every allocation of loading a program fails once, then for good: nothing leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/elf_world.h"

static int start_program(struct elf_world *w)
{
	struct ondol_stack_args args = { .size = sizeof args, .argc = 1, .strings = "x",
					 .strings_size = 2, .execfn = "x", .elf_class = 2 };
	struct ondol_elf_image image;
	ondol_virt_addr_t sp;
	int r = elf_world_open(w);

	if (!r)
		r = ondol_elf_load(w->mm, &w->info, w->file, 0, &image);
	return r ? r : ondol_setup_stack(w->mm, &args, &sp);
}

/* One round: `point` fails at its nth event; 0 if that event was never reached. */
static bool fail_nth(struct elf_world *w, enum ondol_fail_point point, bool persistent,
		     uint64_t nth)
{
	struct ondol_fail_plan plan = { .persistent = persistent };
	struct ondol_broken_invariant broken;
	int r;

	plan.nth[point] = nth;
	ondol_set_fail_plan(w->toy.m, &plan);
	r = start_program(w);
	ondol_set_fail_plan(w->toy.m, NULL);
	assert_true(r == 0 || r == -ONDOL_ENOMEM || r == -ONDOL_EFAULT || r == -ONDOL_EIO);
	if (w->mm)
		assert_int_equal(ondol_mm_validate(w->mm, &broken), 0);
	elf_world_close(w);
	assert_int_equal(elf_world_leaks(w), 0);
	assert_int_equal(ondol_machine_validate(w->toy.m, &broken), 0);
	if (!plan.failed[point])
		assert_int_equal(r, 0);
	return plan.failed[point] != 0;
}

static void fail_each(enum ondol_fail_point point, bool persistent)
{
	struct elf_world w = { .image = elf_typical(true, ET_DYN, 0) };
	uint64_t nth = 1;

	assert_int_equal(toy_new(&w.toy, 32, 1, NULL, NULL, NULL), 0);
	assert_int_equal(ondol_elf_parse(elf_image_read, &w.image, w.image.size, &w.info, NULL), 0);
	ondol_machine_stats(w.toy.m, &w.before);
	while (nth < 1000 && fail_nth(&w, point, persistent, nth))
		nth++;
	assert_true(nth > 1 && nth < 1000);
	assert_int_equal(start_program(&w), 0);
	elf_world_close(&w);
	assert_int_equal(toy_free(&w.toy), 0);
	elf_free(&w.image);
}

static void no_frame(void **state)
{
	(void)state;
	fail_each(ONDOL_FAIL_ALLOC_PAGES, false);
	fail_each(ONDOL_FAIL_ALLOC_PAGES, true);
}

static void no_object(void **state)
{
	(void)state;
	fail_each(ONDOL_FAIL_SLAB, false);
	fail_each(ONDOL_FAIL_SLAB, true);
}

static void unreadable(void **state)
{
	(void)state;
	fail_each(ONDOL_FAIL_READ_PAGE, false);
	fail_each(ONDOL_FAIL_READ_PAGE, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_frame),
		cmocka_unit_test(no_object),
		cmocka_unit_test(unreadable),
	};

	return cmocka_run_group_tests_name("elf_load faults", tests, NULL, NULL);
}

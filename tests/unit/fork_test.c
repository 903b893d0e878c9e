/* SPDX-License-Identifier: MIT */
/* fork: what parent and child share, what each sees, and what the child does not get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/hw_fixture.h"

static struct ondol_mm_struct *fork_it(void)
{
	struct ondol_mm_struct *child;

	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	assert_valid();
	return child;
}

static void equal_regions_shared_frames(void **state)
{
	struct ondol_mm_struct *child;
	struct test_file f;
	struct ondol_mm_stats a, b;

	(void)state;
	begin();
	open_file(&f, 8 * PAGE);
	map(0, 4, RW);
	map_file(4, 4, R | X, &f, 0);
	map(8, 2, RW | S);
	map(10, 2, 0);
	for (uint64_t i = 0; i < 3; i++)
		poke(i, i + 1);
	assert_int_equal(peek(4), page_tag(0));
	child = fork_it();
	assert_picture_of(child, 0, "WWWW|EEEE|SS|NN..");
	assert_picture("WWWW|EEEE|SS|NN..");
	assert_int_equal(frames(ONDOL_PAGE_ANON), 3); /* nothing copied */
	a = stats_of(fx.mm);
	b = stats_of(child);
	assert_int_equal(a.rss_anon, b.rss_anon);
	assert_int_equal(a.rss_file, b.rss_file);
	assert_int_equal(a.total_vm, b.total_vm);
	assert_int_equal(b.min_flt + b.maj_flt, 0);
	assert_int_equal(machine_stats().nr_forks, 1);

	poke_in(child, 0, 50);
	poke(1, 60);
	assert_int_equal(peek(0), 1);
	assert_int_equal(peek_in(child, 1), 2);
	assert_int_equal(frames(ONDOL_PAGE_ANON), 5);
	poke_in(child, 8, 9);
	assert_int_equal(peek(8), 9);
	/* What one unmaps the other keeps; rights are each his own. */
	unmap(2, 1);
	assert_int_equal(peek_in(child, 2), 3);
	assert_int_equal(ondol_mprotect(child, AT(4), PAGE, R, false), 0);
	assert_picture_of(child, 4, "R|EEE|SS");
	assert_picture("WW.W|EEEE|SS|NN");
	ondol_mmput(child);
	assert_int_equal(frames(ONDOL_PAGE_ANON), 2);
	close_file(&f);
	end();
}

/* A chain of forks: each level has its own copy at the end. */
static void grandchildren(void **state)
{
	struct ondol_mm_struct *mms[6];

	(void)state;
	begin();
	map(0, 1, RW);
	poke(0, 0);
	mms[0] = fx.mm;
	for (unsigned i = 1; i < 6; i++) {
		assert_int_equal(ondol_dup_mm(mms[i - 1], true, &mms[i]), 0);
		poke_in(mms[i], 0, i);
		assert_valid();
	}
	assert_int_equal(frames(ONDOL_PAGE_ANON), 6);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(peek_in(mms[i], 0), i);
	for (unsigned i = 1; i < 6; i++)
		ondol_mmput(mms[i]);
	end();
}

static void locks_are_not_inherited(void **state)
{
	struct ondol_mm_struct *child;

	(void)state;
	begin();
	map(0, 6, RW);
	assert_int_equal(ondol_mlock(fx.mm, AT(2), 2 * PAGE, true), 0);
	assert_picture("WW|ww|WW");
	child = fork_it();
	assert_picture_of(child, 0, "WWWWWW"); /* nothing tells them apart: F12 */
	assert_int_equal(stats_of(child).locked_vm, 0);
	assert_int_equal(stats_of(child).nr_vma, 1);
	assert_int_equal(stats_of(fx.mm).locked_vm, 2);
	poke_in(child, 2, 5);
	assert_int_equal(peek(2), 0);
	ondol_mmput(child);
	end();
}

static void left_out_and_wiped(void **state)
{
	struct ondol_mm_struct *child, *grandchild;

	(void)state;
	begin();
	map(0, 6, RW);
	for (uint64_t i = 0; i < 6; i++)
		poke(i, 10 + i);
	assert_int_equal(ondol_madvise(fx.mm, AT(1), PAGE, 10), 0); /* MADV_DONTFORK */
	assert_int_equal(ondol_madvise(fx.mm, AT(3), PAGE, 18), 0); /* MADV_WIPEONFORK */
	child = fork_it();
	assert_picture_of(child, 0, "W.W|W|WW");
	assert_int_equal(peek_in(child, 2), 12);
	assert_int_equal(peek_in(child, 3), 0);
	assert_int_equal(peek(3), 13);
	assert_int_equal(stats_of(child).total_vm, 5);
	poke_in(child, 3, 99);
	assert_int_equal(ondol_dup_mm(child, true, &grandchild), 0);
	assert_int_equal(peek_in(grandchild, 3), 0); /* wiped again */
	ondol_mmput(grandchild);
	ondol_mmput(child);
	end();
}

static void limits_and_layout_go_along(void **state)
{
	struct ondol_mm_limits limits = { .as = 10 * PAGE, .data = 9 * PAGE, .stack = 8 * PAGE,
					  .memlock = 7 * PAGE }, got;
	struct ondol_mm_layout layout = { .start_brk = AT(0), .brk = AT(0), .arg_start = AT(9) };
	struct ondol_mm_struct *child;

	(void)state;
	begin();
	ondol_mm_set_limits(fx.mm, &limits);
	ondol_mm_set_layout(fx.mm, &layout);
	assert_int_equal(ondol_brk(fx.mm, AT(2)), AT(2));
	child = fork_it();
	ondol_mm_limits(child, &got);
	assert_memory_equal(&got, &limits, sizeof got);
	ondol_mm_layout(child, &layout);
	assert_int_equal(layout.arg_start, AT(9));
	assert_int_equal(ondol_brk(child, AT(3)), AT(3));
	assert_int_equal(ondol_brk(fx.mm, 0), AT(2));
	assert_null(ondol_mm_private(child));
	ondol_mmput(child);
	end();
}

/* ------------------------------------------------------------------ the hardware */

static void begin_software(void)
{
	begin_hw(HW_SOFTWARE, true, true);
}

/*
 * Not cold: the child's hardware starts with the parent's translations.  Read-only and shared
 * ones stay, what was private and writable goes, and so does what the child must not see.
 */
static void child_starts_warm(void **state)
{
	struct ondol_mm_struct *child;
	const struct hw_mm *mine, *parents;

	(void)state;
	begin_software();
	map(0, 2, RW);
	map(2, 2, R);
	map(4, 2, RW | S);
	map(6, 2, RW | ONDOL_VM_DONTFORK);
	map(8, 2, R | ONDOL_VM_WIPEONFORK);
	for (unsigned i = 0; i < 10; i++) {
		uint32_t access = i < 2 || (i >= 4 && i < 8) ? ONDOL_FAULT_WRITE : ONDOL_FAULT_READ;

		touch(i, access);
		assert_non_null(hw_access(&hw, fx.mm, i, access, 1));
	}
	assert_int_equal(ondol_dup_mm(fx.mm, false, &child), 0);
	hw_attach(child);
	hw_copy(child, fx.mm);
	hw_check(&hw, fx.mm);
	hw_check(&hw, child);
	assert_valid();
	mine = ondol_mm_private(child);
	parents = ondol_mm_private(fx.mm);
	for (unsigned i = 0; i < 10; i++) {
		bool stays = i >= 2 && i < 6;

		assert_int_equal(mine->page[i].valid, stays);
		assert_int_equal(parents->page[i].valid, stays);
	}
	/* Each gets its own page at the next write; the hardware is told of the old one. */
	assert_null(hw_access(&hw, child, 0, ONDOL_FAULT_READ, 1));
	poke_in(child, 0, 1);
	assert_non_null(hw_access(&hw, child, 0, ONDOL_FAULT_WRITE, 1));
	assert_int_equal(peek(0), 0);
	hw_detach(child);
	ondol_mmput(child);
	hw_detach(fx.mm);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_regions_shared_frames),
		cmocka_unit_test(grandchildren),
		cmocka_unit_test(locks_are_not_inherited),
		cmocka_unit_test(left_out_and_wiped),
		cmocka_unit_test(limits_and_layout_go_along),
		cmocka_unit_test(child_starts_warm),
	};

	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}

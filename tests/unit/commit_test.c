/* SPDX-License-Identifier: MIT */
/*
 * Promises of memory (A3): what is counted, and what OVERCOMMIT_NEVER refuses.  And windows
 * of shared memory (remap_file_pages), whose regions count nothing twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/virt.h"

#include "support/mm_fixture.h"

#define ANY (RW | MAY)

static uint64_t promised(void)
{
	assert_valid();
	return ondol_committed(fx.m);
}

/*
 *	WWWW RRRR SSSS NNNN    private and writable counts, shared memory as a whole and once
 */
static void what_counts(void **state)
{
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 64 * PAGE);
	assert_int_equal(promised(), 0);
	map(0, 4, ANY);
	assert_int_equal(promised(), 4);
	map(10, 4, R | MAY);
	assert_int_equal(promised(), 4);
	map(20, 4, ANY | ONDOL_VM_NORESERVE);
	assert_int_equal(promised(), 4);
	map_file(30, 4, ANY, &f, 0);
	assert_int_equal(promised(), 8);
	map_file(40, 4, ANY | ONDOL_VM_SHARED, &f, 0);
	assert_int_equal(promised(), 8);
	map(50, 4, ANY | ONDOL_VM_SHARED);
	assert_int_equal(promised(), 12);
	/* From when it may be written; and as long as it is there. */
	protect(11, 2, RW);
	assert_int_equal(promised(), 14);
	protect(11, 2, R);
	protect(0, 1, 0);
	assert_int_equal(promised(), 14);
	unmap(12, 2);
	unmap(1, 3);
	assert_int_equal(promised(), 10);
	unmap(52, 1); /* shared memory is promised until nobody has it */
	assert_int_equal(promised(), 10);
	unmap(50, 4);
	assert_int_equal(promised(), 6);
	map(30, 4, ANY); /* over the file */
	assert_int_equal(promised(), 6);
	close_file(&f);
	end();
}

static void moved_and_inherited(void **state)
{
	struct ondol_mremap_args move = { .size = sizeof move, .old_addr = AT(0),
					  .flags = ONDOL_MREMAP_MAYMOVE | ONDOL_MREMAP_FIXED,
					  .old_length = 4 * PAGE, .new_length = 6 * PAGE,
					  .new_addr = AT(20) };
	struct ondol_mm_struct *child;
	uint64_t at;

	(void)state;
	begin();
	map(0, 4, ANY);
	assert_int_equal(ondol_mremap(fx.mm, &move, &at), 0);
	assert_int_equal(promised(), 6);
	move = (struct ondol_mremap_args){ .size = sizeof move, .old_addr = AT(20),
					   .flags = ONDOL_MREMAP_MAYMOVE | ONDOL_MREMAP_DONTUNMAP,
					   .old_length = 6 * PAGE, .new_length = 6 * PAGE };
	assert_int_equal(ondol_mremap(fx.mm, &move, &at), 0);
	assert_int_equal(promised(), 12);
	map(60, 3, ANY | ONDOL_VM_SHARED);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	assert_int_equal(promised(), 12 + 3 + 12);
	unmap(20, 6);
	assert_int_equal(promised(), 12 + 3 + 6);
	ondol_mmput(child);
	assert_int_equal(promised(), 6 + 3);
	end();
}

/* A machine of 16 MiB that promises half of it, and keeps a 32nd back. */
static void begin_never(void)
{
	struct ondol_mm_limits limits = { .as = UINT64_MAX, .data = UINT64_MAX,
					  .stack = UINT64_MAX, .memlock = UINT64_MAX,
					  .admin = true };

	begin();
	fx.m->overcommit = ONDOL_OVERCOMMIT_NEVER;
	ondol_mm_set_limits(fx.mm, &limits);
}

static void never_more_than_the_limit(void **state)
{
	struct ondol_mremap_args grow = { .size = sizeof grow, .old_addr = AT(0),
					  .flags = ONDOL_MREMAP_MAYMOVE, .old_length = PAGE };
	struct ondol_mm_layout layout = { .start_brk = AT(900000), .brk = AT(900000) };
	struct ondol_mm_struct *child;
	uint64_t ram, limit, at, rest;

	(void)state;
	begin_never();
	ram = machine_stats().pages_total - machine_stats().pages[ONDOL_PAGE_RESERVED];
	limit = ondol_commit_limit(fx.m);
	assert_int_equal(limit, ram / 2);
	fx.m->overcommit_ratio = 100;
	assert_int_equal(ondol_commit_limit(fx.m), ram);
	fx.m->overcommit_ratio = 250;
	assert_int_equal(ondol_commit_limit(fx.m), ram * 5 / 2);
	fx.m->overcommit_ratio = 50;
	assert_int_equal(try_map(fx.mm, 0, limit, ANY, 0, NULL, 0, &at), -ONDOL_ENOMEM);
	/* Linux compares with "less than", so the last page is nobody's. */
	map(0, limit - 1, ANY);
	assert_int_equal(try_map(fx.mm, 0, 1, ANY, 0, NULL, 0, &at), -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, 0, 1, ANY | ONDOL_VM_NORESERVE, 0, NULL, 0, &at),
			 -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, 0, 1, ANY | ONDOL_VM_SHARED, 0, NULL, 0, &at),
			 -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, AT(100000), 10 * ram, R | MAY, 0, NULL, 0, &at), 0);
	assert_int_equal(ondol_mprotect(fx.mm, at, PAGE, RW, false), -ONDOL_ENOMEM);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), -ONDOL_ENOMEM);
	grow.new_length = limit * PAGE;
	assert_int_equal(ondol_mremap(fx.mm, &grow, &at), -ONDOL_ENOMEM);
	ondol_mm_set_layout(fx.mm, &layout);
	assert_int_equal(ondol_brk(fx.mm, AT(900001)), AT(900000));
	assert_int_equal(promised(), limit - 1);

	/* Of the large read-only one a 32nd is kept from this program alone. */
	unmap(0, limit - 1);
	rest = limit - stats_of(fx.mm).total_vm / 32 - 1;
	if (stats_of(fx.mm).total_vm / 32 > ram / 32)
		rest = limit - ram / 32 - 1;
	assert_int_equal(try_map(fx.mm, 0, rest + 1, ANY, 0, NULL, 0, &at), -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, 0, rest, ANY, 0, NULL, 0, &at), 0);
	assert_int_equal(ondol_munmap(fx.mm, at, rest * PAGE), 0);
	/* And from who does not administer the machine a little more. */
	fx.mm->limits.admin = false;
	assert_int_equal(try_map(fx.mm, 0, rest, ANY, 0, NULL, 0, &at), -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, 0, rest - ram / 32, ANY, 0, NULL, 0, &at), 0);
	end();
}

/* The program that got its pages keeps them: with half of RAM promised nobody runs short. */
static void promises_are_kept(void **state)
{
	uint64_t n;

	(void)state;
	begin_never();
	n = ondol_commit_limit(fx.m) - 1;
	map(0, n, ANY);
	for (uint64_t i = 0; i < n; i++)
		poke(i, i);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(peek(i), i);
	end();
}

/* ------------------------------------------------------------------ remap_file_pages */

static int window(uint64_t page, uint64_t pages, uint64_t pgoff)
{
	struct ondol_vma_info vma;
	int r = ondol_remap_file_pages(fx.mm, AT(page), pages * PAGE, 0, pgoff, &vma);

	if (!r)
		assert_true(vma.start <= AT(page) && vma.end >= AT(page + pages));
	return r;
}

/*	SSSSSSSS  ->  SS|SS|SSSS  ->  SSSSSSSS    the window at 2 shows 6 and 7, and then 2 and 3 */
static void windows_show_other_pages(void **state)
{
	struct ondol_vma_info vma;

	(void)state;
	begin();
	map(0, 8, ANY | ONDOL_VM_SHARED);
	for (uint64_t i = 0; i < 8; i++)
		poke(i, 100 + i);
	assert_int_equal(window(2, 2, 6), 0);
	assert_picture("SS|SS|SSSS..");
	assert_int_equal(peek(2), 106);
	assert_int_equal(peek(3), 107);
	poke(3, 55);
	assert_int_equal(peek(7), 55);
	assert_int_equal(promised(), 8);
	assert_int_equal(window(0, 4, 4), 0);
	assert_picture("SSSS|SSSS..");
	assert_int_equal(peek(0), 104);
	assert_int_equal(window(0, 8, 0), 0);
	assert_picture("SSSSSSSS..");
	for (uint64_t i = 0; i < 7; i++)
		assert_int_equal(peek(i), 100 + i);
	/* Shared memory ends where it ended. */
	assert_int_equal(window(0, 1, 8), 0);
	assert_int_equal(refusal(AT(0), ONDOL_FAULT_READ), -ONDOL_ENXIO);
	assert_int_equal(window(8, 1, 0), -ONDOL_EINVAL);
	assert_int_equal(window(7, 2, 0), -ONDOL_EINVAL);
	assert_int_equal(window(1, 1, UINT64_C(1) << 51), -ONDOL_EOVERFLOW);
	assert_int_equal(window(1, 1, UINT64_MAX), -ONDOL_EINVAL);
	assert_int_equal(window(1, 0, 0), -ONDOL_EINVAL);
	assert_int_equal(ondol_remap_file_pages(fx.mm, AT(1), PAGE, R, 0, &vma), -ONDOL_EINVAL);
	protect(4, 1, R);
	assert_int_equal(window(4, 2, 0), -ONDOL_EINVAL);
	assert_int_equal(window(4, 1, 1), 0);
	assert_int_equal(refusal(AT(4), ONDOL_FAULT_WRITE), -ONDOL_EACCES);
	map(20, 4, ANY);
	assert_int_equal(window(20, 1, 1), -ONDOL_EINVAL);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_counts),
		cmocka_unit_test(moved_and_inherited),
		cmocka_unit_test(never_more_than_the_limit),
		cmocka_unit_test(promises_are_kept),
		cmocka_unit_test(windows_show_other_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

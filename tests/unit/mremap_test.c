/* SPDX-License-Identifier: MIT */
/* mremap: pictures before and after, contents, errors in Linux's order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/mm_fixture.h"

#define MAYMOVE ONDOL_MREMAP_MAYMOVE
#define FIXED (MAYMOVE | ONDOL_MREMAP_FIXED)
#define DONTUNMAP (MAYMOVE | ONDOL_MREMAP_DONTUNMAP)

static uint64_t now; /* where the last one ended up */

static int remap(uint64_t page, uint64_t old, uint64_t new, uint32_t flags, uint64_t to)
{
	struct ondol_mremap_args args = { .size = sizeof args, .flags = flags,
					  .old_addr = AT(page), .old_length = old * PAGE,
					  .new_length = new * PAGE, .new_addr = AT(to) };

	return ondol_mremap(fx.mm, &args, &now);
}

/* Pages [page, page + n) tell their number. */
static void number(uint64_t page, uint64_t n)
{
	for (uint64_t i = page; i < page + n; i++)
		poke(i, 100 + i);
}

/*	WWWWWW    -> 3    WWW...
 *	WWW..R    -> 5    WWWWW|R     -> 6: no room
 */
static void in_place(void **state)
{
	(void)state;
	begin();
	map(0, 6, RW);
	number(0, 6);
	assert_int_equal(remap(0, 6, 3, 0, 0), 0);
	assert_int_equal(now, AT(0));
	assert_picture("WWW.....");
	map(5, 1, R);
	assert_int_equal(remap(0, 3, 5, 0, 0), 0);
	assert_picture("WWWWW|R..");
	assert_int_equal(peek(2), 102);
	assert_int_equal(peek(3), 0); /* fresh, not what was there */
	assert_int_equal(remap(0, 5, 6, 0, 0), -ONDOL_ENOMEM);
	assert_int_equal(remap(0, 5, 5, 0, 0), 0);
	assert_int_equal(remap(2, 3, 3, 0, 0), 0);
	/* Growing meets an equal neighbour: one region. */
	map(7, 1, R);
	assert_int_equal(remap(5, 1, 2, 0, 0), 0);
	assert_picture("WWWWW|RRR");
	end();
}

/*	WWWW|R  MAYMOVE -> 6     somewhere else; entries move, frames stay */
static void away(void **state)
{
	uint64_t word;

	(void)state;
	begin();
	map(0, 4, RW);
	map(4, 1, R);
	number(0, 3);
	assert_int_equal(remap(0, 4, 6, MAYMOVE, 0), 0);
	assert_picture("....R...");
	assert_int_equal(frames(ONDOL_PAGE_ANON), 3);
	for (uint64_t i = 0; i < 6; i++) {
		assert_int_equal(ondol_copy_from_user(fx.mm, &word, now + i * PAGE, 8), 0);
		assert_int_equal(word, i < 3 ? 100 + i : 0);
	}
	assert_int_equal(stats_of(fx.mm).total_vm, 7);
	end();
}

/*	WWWWWWWW    2..3 to 12    WW..WWWW....WW
 *	            2..3 to just before itself: joined, then cut at the end
 */
static void fixed(void **state)
{
	(void)state;
	begin();
	map(0, 8, RW);
	number(0, 8);
	assert_int_equal(remap(2, 2, 2, FIXED, 12), 0);
	assert_picture("WW..WWWW....WW..");
	assert_int_equal(peek(12), 102);
	assert_int_equal(peek(13), 103);
	assert_int_equal(remap(12, 2, 2, FIXED, 10), 0); /* [10,12) from [12,14) */
	assert_picture("WW..WWWW..WW....");
	assert_int_equal(peek(10), 102);
	assert_int_equal(remap(10, 2, 2, FIXED, 8), 0);
	assert_picture("WW..WWWWWW......");
	assert_int_equal(stats_of(fx.mm).nr_vma, 2);
	assert_int_equal(peek(9), 103);
	/* Over something else, growing; and shrinking, where the tail is other regions or none. */
	map(20, 4, R);
	assert_int_equal(remap(0, 2, 4, FIXED, 19), 0);
	assert_picture_of(fx.mm, 18, ".WWWW|R..");
	assert_int_equal(peek(20), 101);
	assert_int_equal(remap(8, 100, 1, FIXED, 30), -ONDOL_EINVAL); /* overlaps the tail */
	assert_int_equal(remap(8, 100, 1, FIXED, 150), 0);
	assert_picture("....WWWW........");
	assert_picture_of(fx.mm, 148, "..W..");
	assert_int_equal(peek(150), 102);
	end();
}

static void copies_left_behind(void **state)
{
	struct ondol_mm_limits limits = { .as = 10 * PAGE, .data = UINT64_MAX,
					  .stack = UINT64_MAX, .memlock = UINT64_MAX };

	(void)state;
	begin();
	map(0, 4, RW);
	number(0, 4);
	assert_int_equal(remap(1, 2, 2, DONTUNMAP | FIXED, 8), 0);
	assert_picture("WWWW....WW");
	assert_int_equal(peek(8), 101);
	assert_int_equal(peek(1), 0);
	assert_int_equal(peek(3), 103);
	assert_int_equal(stats_of(fx.mm).total_vm, 6);
	assert_int_equal(remap(8, 2, 2, DONTUNMAP, 12), 0); /* a hint */
	assert_int_equal(now, AT(12));
	assert_int_equal(remap(8, 2, 3, DONTUNMAP, 0), -ONDOL_EINVAL);
	assert_int_equal(remap(8, 2, 2, DONTUNMAP, 9), -ONDOL_EINVAL); /* over itself */
	/* The second copy counts. */
	ondol_mm_set_limits(fx.mm, &limits);
	assert_int_equal(remap(0, 4, 4, DONTUNMAP, 30), -ONDOL_ENOMEM);
	assert_int_equal(remap(0, 4, 4, DONTUNMAP | FIXED, 20), -ONDOL_ENOMEM);
	assert_int_equal(remap(0, 4, 4, DONTUNMAP | FIXED, 8), 0); /* replaces two */
	assert_int_equal(stats_of(fx.mm).total_vm, 10);
	end();
}

static void of_files_and_shared(void **state)
{
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 32 * PAGE);
	map_file(0, 4, R, &f, 4);
	assert_int_equal(peek(1), page_tag(5));
	assert_int_equal(remap(1, 2, 5, FIXED, 10), 0);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(peek(10 + i), page_tag(5 + i));
	assert_picture("R..R......RRRRR");
	/* Back where it was: the offsets follow each other, one region. */
	assert_int_equal(remap(10, 5, 2, FIXED, 1), 0);
	assert_picture("RRRR......");
	assert_int_equal(stats_of(fx.mm).nr_vma, 1);

	/* Old length 0: the same shared pages a second time. */
	map(20, 4, RW | S);
	number(20, 4);
	assert_int_equal(remap(22, 0, 2, FIXED, 30), 0);
	assert_int_equal(peek(30), 122);
	poke(31, 5);
	assert_int_equal(peek(23), 5);
	assert_int_equal(remap(0, 0, 2, MAYMOVE, 0), -ONDOL_EINVAL);
	close_file(&f);
	end();
}

/* What the port maps itself: a file of the host's may grow, the vdso and its like may not. */
static void native_regions(void **state)
{
	struct ondol_file_args of_host = { .size = sizeof of_host, .name = "/host/file" };
	struct ondol_mmap_args args = { .size = sizeof args, .map_flags = ONDOL_MAP_FIXED,
					.vm_flags = RW | S | ONDOL_VM_NATIVE, .addr = AT(0),
					.length = 2 * PAGE, .pgoff = 3 };
	uint64_t at;

	(void)state;
	begin();
	assert_int_equal(ondol_file_create(fx.m, &of_host, &args.file), 0);
	assert_int_equal(ondol_mmap(fx.mm, &args, &at), 0);
	ondol_file_put(args.file);
	map(8, 1, R | ONDOL_VM_NATIVE);
	assert_int_equal(remap(0, 2, 4, 0, 0), 0);
	assert_int_equal(remap(0, 4, 5, FIXED, 20), 0);
	assert_picture("........R...");
	assert_picture_of(fx.mm, 19, ".SSSSS.");
	assert_int_equal(remap(8, 1, 2, MAYMOVE, 0), -ONDOL_EFAULT);
	assert_int_equal(remap(8, 1, 1, FIXED, 10), 0);
	assert_int_equal(rss_of(fx.mm), 0);
	assert_int_equal(frames(ONDOL_PAGE_PGTABLE), 0);
	end();
}

static void locked_regions(void **state)
{
	struct ondol_mm_limits limits = { .as = UINT64_MAX, .data = UINT64_MAX,
					  .stack = UINT64_MAX, .memlock = 6 * PAGE };

	(void)state;
	begin();
	ondol_mm_set_limits(fx.mm, &limits);
	map(0, 4, RW);
	assert_int_equal(ondol_mlock(fx.mm, AT(0), 4 * PAGE, true), 0);
	assert_int_equal(remap(0, 4, 7, 0, 0), -ONDOL_EAGAIN);
	assert_int_equal(remap(0, 4, 6, 0, 0), 0);
	assert_int_equal(rss_of(fx.mm), 6); /* what is locked is there */
	assert_int_equal(remap(0, 6, 6, FIXED, 10), 0);
	assert_int_equal(stats_of(fx.mm).locked_vm, 6);
	assert_int_equal(remap(10, 6, 6, DONTUNMAP | FIXED, 20), 0);
	assert_picture_of(fx.mm, 10, "WWWWWW....wwwwww");
	assert_int_equal(stats_of(fx.mm).locked_vm, 6);
	end();
}

static void refusals(void **state)
{
	struct ondol_mremap_args args = { .size = sizeof args, .old_addr = AT(0),
					  .old_length = PAGE, .new_length = PAGE };

	(void)state;
	begin();
	map(0, 4, RW);
	map(4, 4, R);
	map(10, 1, R | ONDOL_VM_NATIVE);
	assert_int_equal(remap(0, 8, 9, MAYMOVE, 0), -ONDOL_EFAULT); /* two regions */
	assert_int_equal(remap(0, 8, 8, DONTUNMAP, 30), -ONDOL_EFAULT);
	assert_int_equal(remap(0, 8, 8, 0, 0), 0); /* nothing to do */
	assert_int_equal(remap(20, 1, 2, MAYMOVE, 0), -ONDOL_EFAULT);
	assert_int_equal(remap(0, 1, 0, MAYMOVE, 0), -ONDOL_EINVAL);
	assert_int_equal(remap(0, 1, 1, ONDOL_MREMAP_FIXED, 20), -ONDOL_EINVAL);
	assert_int_equal(remap(0, 1, 1, ONDOL_MREMAP_DONTUNMAP, 20), -ONDOL_EINVAL);
	assert_int_equal(remap(0, 1, 1, 8, 20), -ONDOL_EINVAL);
	assert_int_equal(remap(0, 2, 2, FIXED, 1), -ONDOL_EINVAL); /* overlap */
	assert_int_equal(remap(10, 1, 2, MAYMOVE, 0), -ONDOL_EFAULT);
	assert_int_equal(remap(10, 1, 1, DONTUNMAP, 0), -ONDOL_EINVAL);
	args.old_addr++;
	assert_int_equal(ondol_mremap(fx.mm, &args, &now), -ONDOL_EINVAL);
	args.old_addr--;
	args.old_length = UINT64_MAX - 100;
	assert_int_equal(ondol_mremap(fx.mm, &args, &now), -ONDOL_EINVAL);
	args.old_length = UINT64_MAX - AT(0);
	assert_int_equal(ondol_mremap(fx.mm, &args, &now), -ONDOL_EINVAL);
	args.old_length = PAGE;
	args.new_length = UINT64_C(1) << 47;
	assert_int_equal(ondol_mremap(fx.mm, &args, &now), -ONDOL_EINVAL);
	args.new_length = PAGE;
	args.flags = FIXED;
	args.new_addr = 0;
	assert_int_equal(ondol_mremap(fx.mm, &args, &now), -ONDOL_EPERM);
	args.new_addr = UINT64_MAX & ~(PAGE - 1);
	assert_int_equal(ondol_mremap(fx.mm, &args, &now), -ONDOL_EINVAL);
	args.size = 8;
	assert_int_equal(ondol_mremap(fx.mm, &args, &now), -ONDOL_EINVAL);
	assert_picture("WWWW|RRRR..R");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_place),
		cmocka_unit_test(away),
		cmocka_unit_test(fixed),
		cmocka_unit_test(copies_left_behind),
		cmocka_unit_test(of_files_and_shared),
		cmocka_unit_test(native_regions),
		cmocka_unit_test(locked_regions),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests_name("mremap", tests, NULL, NULL);
}

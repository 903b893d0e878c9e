/* SPDX-License-Identifier: MIT */
/* madvise, mlock and mincore: contents, flags, and errors over holes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/mm_fixture.h"

enum { NORMAL = 0, WILLNEED = 3, DONTNEED = 4, FREE = 8, REMOVE = 9, DONTFORK = 10, DOFORK = 11,
       MERGEABLE = 12, UNMERGEABLE = 13, HUGEPAGE = 14, NOHUGEPAGE = 15, DONTDUMP = 16,
       DODUMP = 17, WIPEONFORK = 18, KEEPONFORK = 19, COLD = 20, PAGEOUT = 21,
       POPULATE_READ = 22, POPULATE_WRITE = 23, DONTNEED_LOCKED = 24 };

static int advise(uint64_t page, uint64_t pages, int advice)
{
	return ondol_madvise(fx.mm, AT(page), pages * PAGE, advice);
}

static ondol_vm_flags_t flags_at(uint64_t page)
{
	struct ondol_vma_info vma;

	assert_int_equal(ondol_find_vma(fx.mm, AT(page), &vma), 0);
	return vma.vm_flags;
}

static void dontneed(void **state)
{
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 8 * PAGE);
	map(0, 4, RW);
	map_file(4, 4, RW, &f, 0);
	for (uint64_t i = 0; i < 8; i++)
		poke(i, 100 + i);
	assert_int_equal(advise(1, 6, DONTNEED), 0);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(peek(i), i == 0 || i == 7 ? 100 + i : i < 4 ? 0 : page_tag(i - 4));
	assert_picture("WWWW|WWWW");
	/* FREE, COLD and PAGEOUT change nothing that can be seen. */
	assert_int_equal(advise(0, 4, FREE), 0);
	assert_int_equal(advise(0, 8, COLD), 0);
	assert_int_equal(advise(0, 8, PAGEOUT), 0);
	assert_int_equal(peek(0), 100);
	assert_int_equal(advise(4, 1, FREE), -ONDOL_EINVAL); /* of a file */
	close_file(&f);
	end();
}

/* The parts before the one that refuses are advised; holes are told at the end. */
static void partly(void **state)
{
	(void)state;
	begin();
	map(0, 4, RW);
	map(6, 2, RW);
	for (uint64_t i = 0; i < 8; i++)
		if (i < 4 || i > 5)
			poke(i, 1);
	assert_int_equal(advise(0, 8, DONTNEED), -ONDOL_ENOMEM);
	assert_int_equal(peek(0), 0);
	assert_int_equal(peek(7), 0);
	for (uint64_t i = 0; i < 4; i++)
		poke(i, 1);
	assert_int_equal(ondol_mlock(fx.mm, AT(2), PAGE, true), 0);
	assert_int_equal(advise(0, 4, DONTNEED), -ONDOL_EINVAL);
	assert_int_equal(peek(1), 0);
	assert_int_equal(peek(2), 1);
	assert_int_equal(peek(3), 1);
	assert_int_equal(advise(0, 4, DONTNEED_LOCKED), 0);
	assert_int_equal(peek(2), 0);
	assert_picture("WW|w|W..WW");
	end();
}

static void flags(void **state)
{
	static const struct {
		int set, clear;
		ondol_vm_flags_t flag;
	} pairs[] = {
		{ DONTFORK, DOFORK, ONDOL_VM_DONTFORK },
		{ MERGEABLE, UNMERGEABLE, ONDOL_VM_MERGEABLE },
		{ HUGEPAGE, NOHUGEPAGE, ONDOL_VM_HUGEPAGE },
		{ DONTDUMP, DODUMP, ONDOL_VM_DONTDUMP },
		{ WIPEONFORK, KEEPONFORK, ONDOL_VM_WIPEONFORK },
	};

	(void)state;
	begin();
	map(0, 8, RW);
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		assert_int_equal(advise(2, 3, pairs[i].set), 0);
		assert_picture("WW|WWW|WWW");
		assert_true(flags_at(2) & pairs[i].flag);
		assert_false(flags_at(1) & pairs[i].flag);
		assert_int_equal(advise(0, 8, pairs[i].clear), 0);
		assert_picture("WWWWWWWW");
		assert_false(flags_at(2) & pairs[i].flag);
	}
	assert_true(flags_at(0) & ONDOL_VM_NOHUGEPAGE);
	end();
}

static void only_where_it_makes_sense(void **state)
{
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 8 * PAGE);
	map_file(0, 2, RW | S, &f, 0);
	map(2, 2, RW | S);
	map(4, 1, R | ONDOL_VM_NATIVE);
	map(5, 1, RW);
	map(6, 1, R | S | ONDOL_VM_MAYREAD);
	protect(3, 1, R);
	assert_int_equal(advise(0, 1, WIPEONFORK), -ONDOL_EINVAL);
	assert_int_equal(advise(2, 1, WIPEONFORK), -ONDOL_EINVAL);
	assert_int_equal(advise(4, 1, WIPEONFORK), -ONDOL_EINVAL);
	assert_int_equal(advise(4, 1, DODUMP), -ONDOL_EINVAL);
	assert_int_equal(advise(4, 1, DONTNEED), 0); /* the port's business */
	assert_int_equal(advise(4, 1, FREE), -ONDOL_EINVAL);
	assert_int_equal(advise(0, 1, REMOVE), -ONDOL_EINVAL); /* a file with a disk */
	assert_int_equal(advise(5, 1, REMOVE), -ONDOL_EINVAL);
	assert_int_equal(advise(6, 1, REMOVE), -ONDOL_EACCES);
	assert_int_equal(advise(3, 1, REMOVE), 0); /* it could be made writable */
	assert_int_equal(advise(2, 1, REMOVE), 0);
	assert_int_equal(ondol_mlock(fx.mm, AT(2), PAGE, true), 0);
	assert_int_equal(advise(2, 1, REMOVE), -ONDOL_EINVAL);
	assert_int_equal(advise(0, 6, 7), -ONDOL_EINVAL); /* no such advice */
	assert_int_equal(advise(0, 6, -1), -ONDOL_EINVAL);
	assert_int_equal(advise(0, 6, 100), -ONDOL_EINVAL);
	assert_int_equal(ondol_madvise(fx.mm, AT(0) + 1, PAGE, NORMAL), -ONDOL_EINVAL);
	assert_int_equal(ondol_madvise(fx.mm, AT(0), 0, NORMAL), 0);
	assert_int_equal(ondol_madvise(fx.mm, AT(0), UINT64_MAX, NORMAL), -ONDOL_EINVAL);
	assert_int_equal(ondol_madvise(fx.mm, AT(0), UINT64_C(1) << 60, NORMAL), -ONDOL_ENOMEM);
	close_file(&f);
	end();
}

static void fetching(void **state)
{
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 6 * PAGE);
	map_file(0, 8, R, &f, 0);
	assert_int_equal(advise(1, 7, WILLNEED), 0);
	assert_int_equal(f.reads, 5); /* in the cache, not mapped; past the end nothing */
	assert_int_equal(rss_of(fx.mm), 0);
	assert_int_equal(touch(3, ONDOL_FAULT_READ), ONDOL_FAULT_FILE_MINOR);
	assert_int_equal(advise(0, 6, POPULATE_READ), 0);
	assert_int_equal(rss_of(fx.mm), 6);
	assert_int_equal(advise(0, 7, POPULATE_READ), -ONDOL_EFAULT); /* SIGBUS */
	assert_int_equal(advise(0, 6, POPULATE_WRITE), -ONDOL_EINVAL);
	map(10, 4, RW);
	assert_int_equal(advise(10, 5, POPULATE_WRITE), -ONDOL_ENOMEM); /* a hole */
	assert_int_equal(rss_of(fx.mm), 10);
	assert_int_equal(advise(10, 4, WILLNEED), 0);
	close_file(&f);
	end();
}

/* mlockall: what is there, what comes, and what comes when it is touched. */
static void locking_all(void **state)
{
	unsigned char vec[6];

	(void)state;
	begin();
	assert_int_equal(ondol_mlockall(fx.mm, ONDOL_MCL_ONFAULT), -ONDOL_EINVAL);
	assert_int_equal(ondol_mlockall(fx.mm, 8), -ONDOL_EINVAL);
	assert_int_equal(ondol_mlockall(fx.mm, ONDOL_MCL_FUTURE), 0);
	map(30, 2, RW);
	assert_int_equal(ondol_mlockall(fx.mm, ONDOL_MCL_FUTURE | ONDOL_MCL_ONFAULT), 0);
	map(32, 2, RW);
	assert_int_equal(ondol_munlockall(fx.mm), 0);
	map(34, 2, RW);
	assert_int_equal(ondol_mincore(fx.mm, AT(30), 6 * PAGE, vec), 0);
	assert_memory_equal(vec, "\1\1\0\0\0\0", 6);
	assert_int_equal(ondol_mlockall(fx.mm, ONDOL_MCL_CURRENT | ONDOL_MCL_ONFAULT), 0);
	assert_int_equal(stats_of(fx.mm).locked_vm, 6);
	assert_int_equal(ondol_mlockall(fx.mm, ONDOL_MCL_CURRENT), 0);
	assert_int_equal(rss_of(fx.mm), 6);
	end();
}

static void locking(void **state)
{
	(void)state;
	begin();
	map(0, 4, RW);
	map(4, 2, 0);
	assert_int_equal(ondol_mlock(fx.mm, AT(0) + 100, PAGE, true), 0); /* touches two pages */
	assert_picture("ww|WW|NN..");
	assert_int_equal(rss_of(fx.mm), 2);
	assert_int_equal(ondol_mlock(fx.mm, AT(0), 6 * PAGE, true), -ONDOL_ENOMEM);
	assert_picture("wwww|nn.."); /* marked all the same, as in Linux */
	assert_int_equal(stats_of(fx.mm).locked_vm, 6);
	assert_int_equal(ondol_mlock(fx.mm, AT(2), 8 * PAGE, false), -ONDOL_ENOMEM);
	assert_picture("ww|WW|NN..");
	assert_int_equal(ondol_mlock(fx.mm, AT(0), 0, true), 0);
	/* As Linux: what wraps to nothing is nothing, what wraps further is no range. */
	assert_int_equal(ondol_mlock(fx.mm, AT(0), UINT64_MAX, true), 0);
	assert_int_equal(ondol_mlock(fx.mm, UINT64_MAX, PAGE, true), -ONDOL_EINVAL);
	assert_int_equal(ondol_mlock(fx.mm, AT(0), UINT64_C(1) << 62, true), -ONDOL_ENOMEM);
	unmap(1, 4);
	assert_int_equal(stats_of(fx.mm).locked_vm, 1);
	unmap(0, 1);
	assert_int_equal(stats_of(fx.mm).locked_vm, 0);
	/* MAP_LOCKED: all of it at once. */
	map(10, 5, RW | ONDOL_VM_LOCKED);
	assert_int_equal(rss_of(fx.mm), 5);
	end();
}

static void residency(void **state)
{
	unsigned char vec[8];
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 8 * PAGE);
	map(0, 3, RW);
	map_file(3, 2, R, &f, 0);
	map(5, 1, R | ONDOL_VM_NATIVE);
	poke(1, 1);
	assert_int_equal(peek(4), page_tag(1));
	assert_int_equal(advise(4, 1, DONTNEED), 0); /* unmapped, yet cached */
	assert_int_equal(ondol_mincore(fx.mm, AT(0), 6 * PAGE - 5, vec), 0);
	assert_memory_equal(vec, ((unsigned char[]){ 0, 1, 0, 0, 1, 1 }), 6);
	assert_int_equal(ondol_mincore(fx.mm, AT(0), 7 * PAGE, vec), -ONDOL_ENOMEM);
	assert_int_equal(ondol_mincore(fx.mm, AT(0) + 8, PAGE, vec), -ONDOL_EINVAL);
	assert_int_equal(ondol_mincore(fx.mm, AT(0), 0, vec), 0);
	assert_int_equal(ondol_mincore(fx.mm, AT(0), UINT64_MAX, vec), -ONDOL_ENOMEM);
	close_file(&f);
	end();
}

/* mseal(2): what can still be done to sealed memory, and what cannot. */
static void sealed(void **state)
{
	struct ondol_mremap_args move = { .size = sizeof move, .flags = ONDOL_MREMAP_MAYMOVE,
					  .old_addr = AT(1), .old_length = PAGE,
					  .new_length = 2 * PAGE };
	struct ondol_mmap_args over = { .size = sizeof over, .vm_flags = RW, .addr = AT(2),
					.length = PAGE, .map_flags = ONDOL_MAP_FIXED };
	ondol_virt_addr_t at;

	(void)state;
	begin();
	map(0, 4, RW);
	map(5, 1, R);
	poke(1, 7);
	assert_int_equal(ondol_mseal(fx.mm, AT(1) + 1, PAGE), -ONDOL_EINVAL);
	assert_int_equal(ondol_mseal(fx.mm, AT(1), UINT64_MAX), -ONDOL_EINVAL);
	assert_int_equal(ondol_mseal(fx.mm, AT(3), 3 * PAGE), -ONDOL_ENOMEM); /* a hole */
	assert_int_equal(ondol_mseal(fx.mm, AT(1), 0), 0);
	assert_int_equal(ondol_munmap(fx.mm, AT(3), PAGE), 0); /* so nothing was sealed */
	map(3, 1, RW);

	assert_int_equal(ondol_mseal(fx.mm, AT(1), 2 * PAGE), 0);
	assert_int_equal(ondol_mseal(fx.mm, AT(1), 2 * PAGE), 0);
	assert_int_equal(ondol_mseal(fx.mm, AT(5), PAGE), 0);
	assert_int_equal(ondol_munmap(fx.mm, AT(0), 4 * PAGE), -ONDOL_EPERM);
	assert_int_equal(ondol_mprotect(fx.mm, AT(2), PAGE, R, false), -ONDOL_EPERM);
	assert_int_equal(ondol_mremap(fx.mm, &move, &at), -ONDOL_EPERM);
	assert_int_equal(ondol_mmap(fx.mm, &over, &at), -ONDOL_EPERM);
	assert_int_equal(advise(1, 1, NORMAL), 0);
	assert_int_equal(peek(1), 7);
	assert_int_equal(advise(1, 1, DONTNEED), 0); /* it could be written, too */
	assert_int_equal(peek(1), 0);
	assert_int_equal(advise(5, 1, DONTNEED), -ONDOL_EPERM);
	assert_int_equal(advise(5, 1, WIPEONFORK), -ONDOL_EPERM);
	assert_int_equal(ondol_munmap(fx.mm, AT(0), PAGE), 0);
	assert_int_equal(ondol_munmap(fx.mm, AT(3), PAGE), 0);
	assert_valid();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dontneed),
		cmocka_unit_test(partly),
		cmocka_unit_test(flags),
		cmocka_unit_test(only_where_it_makes_sense),
		cmocka_unit_test(fetching),
		cmocka_unit_test(locking),
		cmocka_unit_test(locking_all),
		cmocka_unit_test(residency),
		cmocka_unit_test(sealed),
	};

	return cmocka_run_group_tests_name("madvise", tests, NULL, NULL);
}

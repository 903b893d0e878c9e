/* SPDX-License-Identifier: MIT */
/*
 * Guards: pages of a region that are not to be touched, without a region of their own.
 * A picture of entries: f a frame, G a guard, '.' nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/virt.h"

#include "support/mm_fixture.h"

#define INSTALL 102
#define REMOVE 103
#define ANY (RW | MAY)

static void assert_entries_of(struct ondol_mm_struct *mm, uint64_t first, const char *expected)
{
	char picture[64] = "";

	for (uint64_t i = 0; expected[i]; i++) {
		const void *slot = pgtable_find(&mm->pgt, AT(first + i));
		uint64_t pte = slot ? pte_get(&mm->pgt, slot) : 0;

		picture[i] = pte_present(mm, pte) ? 'f' : pte_is_guard(mm, pte) ? 'G' : '.';
	}
	assert_string_equal(picture, expected);
	assert_valid();
}

static void assert_entries(uint64_t first, const char *expected)
{
	assert_entries_of(fx.mm, first, expected);
}

static int advise(uint64_t page, uint64_t pages, int advice)
{
	return ondol_madvise(fx.mm, AT(page), pages * PAGE, advice);
}

/*	ffff.... -> fGGf....     the frames go, the region is one */
static void put_and_taken_away(void **state)
{
	(void)state;
	begin();
	map(0, 8, ANY);
	for (uint64_t i = 0; i < 4; i++)
		poke(i, i);
	assert_int_equal(advise(1, 2, INSTALL), 0);
	assert_entries(0, "fGGf....");
	assert_picture("WWWWWWWW..");
	assert_int_equal(rss_of(fx.mm), 2);
	assert_int_equal(refusal(AT(1), ONDOL_FAULT_READ), -ONDOL_EFAULT);
	assert_int_equal(refusal(AT(2), ONDOL_FAULT_WRITE), -ONDOL_EFAULT);
	assert_int_equal(peek(3), 3);
	/* Fault-around goes up to them and no further. */
	assert_int_equal(advise(6, 1, INSTALL), 0);
	assert_int_equal(touch_around(5, ONDOL_FAULT_WRITE, 8).nr_pages, 2);
	assert_entries(0, "fGGfffG.");
	assert_int_equal(advise(0, 8, 4 /* DONTNEED */), 0);
	assert_entries(0, ".GG...G.");
	assert_int_equal(advise(0, 8, 22 /* POPULATE_READ */), -ONDOL_EFAULT);
	assert_int_equal(ondol_mlock(fx.mm, AT(0), 8 * PAGE, true), -ONDOL_ENOMEM);
	assert_int_equal(advise(7, 1, INSTALL), -ONDOL_EINVAL); /* locked */
	assert_int_equal(advise(2, 1, REMOVE), 0);
	assert_int_equal(ondol_mlock(fx.mm, AT(0), 8 * PAGE, false), 0);
	assert_int_equal(peek(2), 0);
	protect(0, 8, R);
	assert_int_equal(refusal(AT(1), ONDOL_FAULT_READ), -ONDOL_EFAULT);
	assert_int_equal(advise(0, 8, REMOVE), 0);
	assert_int_equal(fx.mm->nr_guards, 0);
	assert_int_equal(peek(1), 0);
	end();
}

/* Where the region goes they go, or not. */
static void moved_inherited_unmapped(void **state)
{
	struct ondol_mremap_args move = { .size = sizeof move, .old_addr = AT(0),
					  .flags = ONDOL_MREMAP_MAYMOVE | ONDOL_MREMAP_FIXED,
					  .old_length = 4 * PAGE, .new_length = 4 * PAGE,
					  .new_addr = AT(600) };
	struct ondol_mm_struct *child;
	uint64_t at;

	(void)state;
	begin();
	map(0, 4, ANY);
	map(10, 4, ANY | ONDOL_VM_SHARED);
	map(20, 4, ANY | ONDOL_VM_WIPEONFORK);
	poke(0, 1);
	assert_int_equal(advise(1, 2, INSTALL), 0);
	assert_int_equal(advise(11, 1, INSTALL), 0);
	assert_int_equal(advise(20, 4, INSTALL), 0);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	assert_entries_of(child, 0, "fGG.");
	assert_entries_of(child, 10, ".G..");
	assert_entries_of(child, 20, "....");
	assert_int_equal(child->nr_guards, 3);
	ondol_mmput(child);
	assert_int_equal(ondol_mremap(fx.mm, &move, &at), 0);
	assert_entries(600, "fGG.");
	assert_entries(0, "....");
	unmap(601, 1);
	assert_entries(600, "f.G.");
	map(601, 1, ANY);
	assert_int_equal(touch(601, ONDOL_FAULT_WRITE), ONDOL_FAULT_ZERO_FILL);
	map(602, 1, ANY); /* over a guard */
	assert_int_equal(touch(602, ONDOL_FAULT_WRITE), ONDOL_FAULT_ZERO_FILL);
	unmap(600, 4);
	unmap(10, 14);
	assert_int_equal(fx.mm->nr_guards, 0);
	end();
}

/* Not where there are no frames of ours; sealed read-only memory keeps its contents. */
static void refused(void **state)
{
	struct ondol_mmap_args vdso = { .size = sizeof vdso, .map_flags = ONDOL_MAP_FIXED,
					.vm_flags = R | X | ONDOL_VM_NATIVE, .addr = AT(4),
					.length = PAGE, .name = "[vdso]" };
	uint64_t at;

	(void)state;
	begin();
	map(0, 2, ANY);
	map(8, 2, R | MAY);
	assert_int_equal(ondol_mmap(fx.mm, &vdso, &at), 0);
	assert_int_equal(advise(4, 1, INSTALL), -ONDOL_EINVAL);
	assert_int_equal(advise(4, 1, REMOVE), -ONDOL_EINVAL);
	assert_int_equal(ondol_mseal(fx.mm, AT(8), 2 * PAGE), 0);
	assert_int_equal(advise(8, 1, INSTALL), -ONDOL_EPERM);
	assert_int_equal(advise(8, 1, REMOVE), 0);
	assert_int_equal(advise(0, 3, INSTALL), -ONDOL_ENOMEM); /* a hole, told at the end */
	assert_entries(0, "GG");
	assert_int_equal(advise(0, 1, 104), -ONDOL_EINVAL);
	assert_int_equal(advise(0, 1, 101), -ONDOL_EINVAL);
	end();
}

/* The lowest frame's page, read only, leaves an entry of few bits while it moves: no guard. */
static void frame_0_moves(void **state)
{
	const uint64_t nr = 3500;
	struct ondol_page *page;
	uint64_t at = nr;

	(void)state;
	begin();
	map(0, nr, ONDOL_VM_READ | ONDOL_VM_EXEC);
	for (uint64_t i = 0; i < nr; i++) {
		(void)peek(i);
		page = pte_page(fx.mm, pte_get(&fx.mm->pgt, pgtable_find(&fx.mm->pgt, AT(i))));
		at = ondol_page_to_pfn(fx.m, page).value ? at : i;
	}
	assert_int_not_equal(at, nr);
	assert_int_equal(ondol_alloc_contig_range(fx.m, ondol_pfn(0), 1, NULL), 0);
	assert_entries(at, "f");
	ondol_free_pages(fx.m, ondol_pfn_to_page(fx.m, ondol_pfn(0)), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_and_taken_away),
		cmocka_unit_test(moved_inherited_unmapped),
		cmocka_unit_test(refused),
		cmocka_unit_test(frame_0_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

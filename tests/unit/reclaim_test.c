/* SPDX-License-Identifier: MIT */
/*
 * Memory is short: clean pages of files leave the page tables and come back when they are
 * touched, on each kind of hardware; what has nowhere to go stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/hw_fixture.h"

#include "virt/virt.h"

#define FILE_PAGES 256u
#define NR_FILES 8u /* of 1 MiB each, on a machine of 4 MiB */

static struct test_file files[NR_FILES];

static void begin_small(enum hw_kind kind, bool reclaim)
{
	begin_hw_short(4, NULL, reclaim, kind, false, false);
	for (unsigned i = 0; i < NR_FILES; i++)
		open_file(&files[i], FILE_PAGES * PAGE);
}

static void end_small(void)
{
	assert_valid();
	hw_detach(fx.mm);
	for (unsigned i = 0; i < NR_FILES; i++)
		close_file(&files[i]);
	end();
}

/* As the program would: through the hardware, which may have kept the page. */
static uint64_t look(struct ondol_mm_struct *mm, uint64_t page)
{
	unsigned char *host;

	for (int tries = 0; tries < 3; tries++) {
		struct ondol_fault_result result;

		host = hw_access(&hw, mm, (unsigned)page, ONDOL_FAULT_READ, 16);
		if (host) {
			uint64_t word;

			memcpy(&word, host, sizeof word);
			return word;
		}
		assert_int_equal(fault_at(mm, AT(page), ONDOL_FAULT_READ, 16, &result), 0);
	}
	fail_msg("page %llu does not come", (unsigned long long)page);
	return 0;
}

/* A quarter more than the memory, three times over. */
static void more_than_there_is(void **state)
{
	(void)state;
	for (enum hw_kind kind = HW_NONE + 1; kind <= HW_SOFTWARE; kind++) {
		begin_small(kind, true);
		for (unsigned i = 0; i < 5; i++)
			map_file(i * FILE_PAGES, FILE_PAGES, R, &files[i], 0);
		for (unsigned round = 0; round < 3; round++)
			for (uint64_t page = 0; page < 5 * FILE_PAGES; page += 3)
				assert_int_equal(look(fx.mm, page), page_tag(page % FILE_PAGES));
		assert_true(machine_stats().pages_unmapped > 600);
		hw_check(&hw, fx.mm);
		end_small();
	}
}

static bool is_present(uint64_t page)
{
	const struct pgtable *pt = &fx.mm->pgt;
	void *slot = pgtable_find(pt, AT(page));

	return slot && (pte_get(pt, slot) & pt->format->present_mask);
}

/* Second chance: what is used all the time stays while a file streams by. */
static void the_hot_stay(void **state)
{
	const uint64_t hot = 128;
	unsigned missed = 0, random = 1;

	(void)state;
	begin_small(HW_SOFTWARE, true);
	for (unsigned i = 0; i < 5; i++)
		map_file(i * FILE_PAGES, FILE_PAGES, R, &files[i], 0);
	for (uint64_t page = 0; page < hot; page++)
		(void)look(fx.mm, page);
	for (uint64_t step = 0; step < 20 * FILE_PAGES; step++) {
		(void)look(fx.mm, FILE_PAGES + step % (4 * FILE_PAGES));
		for (int i = 0; i < 4; i++) {
			random = random * 1103515245 + 12345;
			uint64_t used = (random >> 8) % hot;

			missed += !is_present(used);
			(void)look(fx.mm, used);
		}
	}
	assert_true(machine_stats().pages_unmapped > 300);
	if (missed > 40) /* 106 without it; the first turn takes what it first meets */
		fail_msg("%u looks met a page that was gone", missed);
	end_small();
}

static void the_owner_must_allow_it(void **state)
{
	struct ondol_fault_result result;
	int r = 0;

	(void)state;
	begin_small(HW_SOFTWARE, false);
	for (unsigned i = 0; i < 4; i++)
		map_file(i * FILE_PAGES, FILE_PAGES, R, &files[i], 0);
	for (uint64_t page = 0; page < 4 * FILE_PAGES && !r; page++)
		r = fault_at(fx.mm, AT(page), ONDOL_FAULT_READ, 1, &result);
	assert_int_equal(r, -ONDOL_ENOMEM);
	assert_int_equal(machine_stats().pages_unmapped, 0);
	end_small();
}

/* Anonymous pages, locked ones and dirty shared ones stay, and keep what is in them. */
static void what_stays(void **state)
{
	(void)state;
	begin_small(HW_SOFTWARE, true);
	map(0, 64, RW);
	map_file(64, 64, R, &files[0], 0);
	map_file(128, 64, RW | S, &files[1], 0);
	assert_int_equal(ondol_mlock(fx.mm, AT(64), 64 * PAGE, true), 0);
	for (uint64_t i = 0; i < 64; i++) {
		poke(i, 1000 + i);
		poke(128 + i, 2000 + i);
	}
	map_file(256, FILE_PAGES, R, &files[2], 0);
	map_file(512, FILE_PAGES, R, &files[3], 0);
	map_file(768, FILE_PAGES, R, &files[4], 0);
	for (unsigned round = 0; round < 3; round++)
		for (uint64_t page = 256; page < 1024; page++)
			assert_int_equal(look(fx.mm, page), page_tag(page % FILE_PAGES));
	assert_true(machine_stats().pages_unmapped > 256);
	assert_int_equal(files[0].reads, 64); /* once: it was never dropped */
	for (uint64_t i = 0; i < 64; i++) {
		assert_int_equal(look(fx.mm, i), 1000 + i);
		assert_int_equal(look(fx.mm, 128 + i), 2000 + i);
	}
	assert_int_equal(ondol_msync(fx.mm, AT(128), 64 * PAGE, ONDOL_MS_SYNC), 0);
	assert_int_equal(files[1].tag[5], 2005);
	end_small();
}

/* Two processes map the same pages; a write needs the page that reclaim would like to take. */
static void shared_and_copied(void **state)
{
	struct ondol_mm_struct *child;
	struct ondol_fault_result result;

	(void)state;
	begin_small(HW_SOFTWARE, true);
	for (unsigned i = 0; i < 3; i++)
		map_file(i * FILE_PAGES, FILE_PAGES, RW, &files[i], 0);
	for (uint64_t page = 0; page < 3 * FILE_PAGES; page += 2)
		look(fx.mm, page);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
	for (uint64_t page = 0; page < 3 * FILE_PAGES; page++)
		assert_int_equal(look(page & 1 ? child : fx.mm, page),
				 page_tag(page % FILE_PAGES));
	for (uint64_t page = 0; page < 500; page++) {
		assert_int_equal(fault_at(child, AT(page), ONDOL_FAULT_WRITE, 1, &result), 0);
		poke_in(child, page, page);
	}
	for (uint64_t page = 0; page < 500; page++) {
		assert_int_equal(peek_in(child, page), page);
		assert_int_equal(look(fx.mm, page), page_tag(page % FILE_PAGES));
	}
	assert_true(machine_stats().pages_unmapped > 100);
	assert_valid();
	hw_detach(child);
	ondol_mmput(child);
	end_small();
}

/* With nothing to take the answer is a refusal, in finite time. */
static void nothing_to_take(void **state)
{
	struct ondol_fault_result result;
	uint64_t page = 0;

	(void)state;
	begin_small(HW_SOFTWARE, true);
	map(0, 1100, RW);
	map_file(1100, 64, R, &files[0], 0);
	for (uint64_t i = 0; i < 64; i++)
		look(fx.mm, 1100 + i);
	while (!fault_at(fx.mm, AT(page), ONDOL_FAULT_WRITE, 1, &result))
		page++;
	assert_in_range(page, 500, 1024);
	end_small();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_than_there_is),
		cmocka_unit_test(the_hot_stay),
		cmocka_unit_test(the_owner_must_allow_it),
		cmocka_unit_test(what_stays),
		cmocka_unit_test(shared_and_copied),
		cmocka_unit_test(nothing_to_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* /proc/PID/pagemap and clear_refs, with hardware that walks and hardware that is filled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/hw_fixture.h"

#define PRESENT (UINT64_C(1) << 63)
#define OF_FILE (UINT64_C(1) << 61)
#define EXCLUSIVE (UINT64_C(1) << 56)
#define FRAME ((UINT64_C(1) << 55) - 1)
#define ALL_ACCESS (RW | MAY)

static void begin_on(enum hw_kind kind)
{
	begin_hw(kind, true, false);
}

static void end_hw(void)
{
	hw_check(&hw, fx.mm);
	hw_detach(fx.mm);
	end();
}

/* The program touches its pages, as its hardware lets it. */
static void use(unsigned page, uint32_t access)
{
	if (!hw_access(&hw, fx.mm, page, access, 1)) {
		touch(page, access);
		assert_non_null(hw_access(&hw, fx.mm, page, access, 1));
	}
}

/* ------------------------------------------------------------------ clear_refs */

static char text[1 << 16];

static int collect(void *ctx, const char *piece, size_t size)
{
	(void)ctx;
	assert_true(strlen(text) + size < sizeof text);
	strncat(text, piece, size);
	return 0;
}

static long rollup(const char *name)
{
	*text = 0;
	assert_int_equal(ondol_proc_smaps_rollup(fx.mm, collect, NULL), 0);
	const char *line = strstr(text, name);

	assert_non_null(line);
	return strtol(line + strlen(name), NULL, 10) / 4;
}

static void referenced_from_then_on(void **state)
{
	struct test_file f;

	(void)state;
	for (enum hw_kind kind = HW_WALKER; kind <= HW_SOFTWARE; kind++) {
		begin_on(kind);
		open_file(&f, 8 * PAGE);
		map(0, 4, ALL_ACCESS);
		map_file(10, 4, R | MAY, &f, 0);
		for (unsigned i = 0; i < 4; i++) {
			use(i, ONDOL_FAULT_WRITE);
			use(10 + i, ONDOL_FAULT_READ);
		}
		assert_int_equal(rollup("Referenced:"), 8);
		assert_int_equal(ondol_clear_refs(fx.mm, ONDOL_CLEAR_REFS_ANON), 0);
		hw_check(&hw, fx.mm);
		assert_int_equal(rollup("Referenced:"), 4);
		use(1, ONDOL_FAULT_READ);
		assert_int_equal(rollup("Referenced:"), 5);
		assert_int_equal(ondol_clear_refs(fx.mm, ONDOL_CLEAR_REFS_MAPPED), 0);
		assert_int_equal(rollup("Referenced:"), 1);
		assert_int_equal(ondol_clear_refs(fx.mm, ONDOL_CLEAR_REFS_ALL), 0);
		assert_int_equal(rollup("Referenced:"), 0);
		/* What is dirty stays so, and what was there is there. */
		assert_int_equal(rollup("Private_Dirty:"), 4);
		assert_int_equal(rollup("Rss:"), 8);
		for (unsigned i = 0; i < 4; i++)
			use(i, ONDOL_FAULT_WRITE);
		assert_int_equal(rollup("Referenced:"), 4);
		assert_int_equal(ondol_clear_refs(fx.mm, ONDOL_CLEAR_REFS_SOFT_DIRTY), 0);
		assert_int_equal(rollup("Referenced:"), 4);
		assert_int_equal(ondol_clear_refs(fx.mm, 0), -ONDOL_EINVAL);
		assert_int_equal(ondol_clear_refs(fx.mm, 6), -ONDOL_EINVAL);
		unmap(0, 3);
		assert_int_equal(stats_of(fx.mm).hiwater_rss, 8);
		assert_int_equal(ondol_clear_refs(fx.mm, ONDOL_CLEAR_REFS_HIWATER_RSS), 0);
		assert_int_equal(stats_of(fx.mm).hiwater_rss, 5);
		close_file(&f);
		end_hw();
	}
}

/* ------------------------------------------------------------------ pagemap */

static uint64_t seen[64];
static unsigned visits;

static int see(void *ctx, ondol_virt_addr_t start, const uint64_t *entries, uint32_t nr)
{
	(void)ctx;
	visits++;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t page = (start - AT(0)) / PAGE + i;

		if (entries[i] && page < 64)
			seen[page] = entries[i];
	}
	return 0;
}

static void look_at(struct ondol_mm_struct *mm)
{
	memset(seen, 0, sizeof seen);
	visits = 0;
	assert_int_equal(ondol_pagemap(mm, see, NULL), 0);
}

static int stop_at_once(void *ctx, ondol_virt_addr_t start, const uint64_t *entries, uint32_t nr)
{
	(void)start;
	(void)entries;
	(void)nr;
	++*(int *)ctx;
	return -ONDOL_EIO;
}

/*	WW.SF    private, shared, of a file; a child shares the first until it writes */
static void pages_one_by_one(void **state)
{
	struct ondol_mm_struct *child;
	struct test_file f;
	int calls = 0;

	(void)state;
	begin();
	open_file(&f, 8 * PAGE);
	map(0, 3, ALL_ACCESS);
	map(10, 2, ALL_ACCESS | ONDOL_VM_SHARED);
	map_file(20, 2, R | MAY, &f, 0);
	touch(0, ONDOL_FAULT_WRITE);
	touch(1, ONDOL_FAULT_WRITE);
	touch(10, ONDOL_FAULT_WRITE);
	touch(20, ONDOL_FAULT_READ);
	look_at(fx.mm);
	assert_true(visits);
	for (unsigned i = 0; i < 64; i++) {
		uint64_t flags = i == 0 || i == 1 ? PRESENT | EXCLUSIVE :
				 i == 10 || i == 20 ? PRESENT | EXCLUSIVE | OF_FILE : 0;
		struct ondol_pte_view entry = hw_entry(&hw, fx.mm, AT(i));

		assert_int_equal(seen[i] & ~FRAME, flags);
		if (flags)
			assert_int_equal(seen[i] & FRAME, ondol_phys_to_pfn(entry.phys).value);
	}
	uint64_t frame = seen[0] & FRAME;

	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	look_at(child);
	assert_int_equal(seen[0], PRESENT | frame);
	assert_int_equal(seen[10] & ~FRAME, PRESENT | OF_FILE);
	poke_in(child, 0, 5);
	look_at(child);
	assert_int_equal(seen[0] & ~FRAME, PRESENT | EXCLUSIVE);
	assert_int_not_equal(seen[0] & FRAME, frame);
	assert_int_equal(ondol_pagemap(child, stop_at_once, &calls), -ONDOL_EIO);
	assert_int_equal(calls, 1);
	ondol_mmput(child);
	close_file(&f);
	end();
}

/* More than a call's 64 entries, and over the border of two tables. */
static void many_pages(void **state)
{
	uint64_t present = 0;

	(void)state;
	begin();
	map(500, 200, ALL_ACCESS);
	for (uint64_t i = 500; i < 700; i += 3)
		touch(i, ONDOL_FAULT_WRITE);
	look_at(fx.mm);
	assert_true(visits >= 4);
	for (uint64_t i = 500; i < 700; i += 3)
		present++;
	assert_int_equal(rss_of(fx.mm), present);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(referenced_from_then_on),
		cmocka_unit_test(pages_one_by_one),
		cmocka_unit_test(many_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

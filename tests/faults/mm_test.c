/* SPDX-License-Identifier: MIT */
/*
 * A whole life of two processes, in steps, with pages that go to swap and come back.  Each page
 * allocation, each slab allocation, each read of a file and each read or write of a page in swap
 * fails, once and then for good: after the failure everything is
 * valid and the hardware holds nothing that the tables do not say ([MMU-1]), with memory back
 * the same step succeeds, and in the end nothing is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/hw_fixture.h"
#include "support/swap.h"

static struct test_file file;
static struct test_swap swap;
static struct ondol_mm_struct *child;
static uint64_t moved; /* where mremap put pages 8 to 11 */

static int map_try(uint64_t page, uint64_t pages, ondol_vm_flags_t flags,
		   const struct test_file *f)
{
	uint64_t at;

	return try_map(fx.mm, AT(page), pages, flags, ONDOL_MAP_FIXED, f, 0, &at);
}

static int touch_try(uint64_t page, uint32_t access, uint32_t around)
{
	struct ondol_fault_result result;

	return fault_at(fx.mm, AT(page), access, around, &result);
}

static int write_try(struct ondol_mm_struct *mm, uint64_t page, uint64_t word)
{
	return ondol_copy_to_user(mm, AT(page), &word, sizeof word);
}

static int create(void)
{
	return ondol_mm_create(fx.m, &fx.mm);
}

static int add_swap(void)
{
	int r = test_swap_add(&swap, fx.m, 400, 0);

	if (r)
		test_swap_free(&swap);
	return r;
}

static int open_it(void)
{
	return test_file_try(&file, 40 * PAGE, "/tmp/file");
}

static int map_anon(void) { return map_try(0, 16, RW, NULL); }
static int map_shared(void) { return map_try(20, 4, RW | S, NULL); }
static int map_private_file(void) { return map_try(30, 8, RW, &file); }
static int map_shared_file(void) { return map_try(40, 8, RW | S, &file); }
static int map_far(void) { return map_try(UINT64_C(1) << 20, 4, RW, NULL); }
static int map_named(void)
{
	struct ondol_mmap_args args = { .size = sizeof args, .vm_flags = R | ONDOL_VM_NATIVE,
					.map_flags = ONDOL_MAP_FIXED, .addr = AT(60),
					.length = PAGE, .name = "[vdso]" };
	uint64_t at;

	return ondol_mmap(fx.mm, &args, &at);
}

static int touch_anon(void) { return write_try(fx.mm, 1, 101); }
static int touch_move(void) { return write_try(fx.mm, 9, 109); }
static int touch_around_it(void) { return touch_try(5, ONDOL_FAULT_WRITE, 4); }
static int touch_far(void) { return touch_try(UINT64_C(1) << 20, ONDOL_FAULT_WRITE, 1); }
static int touch_shared(void) { return write_try(fx.mm, 21, 121); }
static int read_file(void) { return touch_try(31, ONDOL_FAULT_READ, 1); }
static int read_file_around(void) { return touch_try(36, ONDOL_FAULT_READ, 4); }
static int copy_file(void) { return write_try(fx.mm, 31, 131); }
static int copy_unread(void) { return write_try(fx.mm, 32, 132); }
static int write_file(void) { return write_try(fx.mm, 43, 143); }

static int duplicate(void) { return ondol_dup_mm(fx.mm, true, &child); }
static int copy_on_write(void) { return write_try(child, 1, 201); }
static int copy_in_parent(void) { return write_try(fx.mm, 9, 309); }

/* All that may go goes; what cannot be written stays. */
static int page_out(void)
{
	struct ondol_mm_struct *const mms[] = { fx.mm, child };

	for (unsigned i = 0; i < 2; i++)
		for (uint64_t page = 0; mms[i] && page < 64; page++) {
			int r = ondol_madvise(mms[i], AT(page), PAGE, 21);

			if (r && r != -ONDOL_ENOMEM && r != -ONDOL_EINVAL) /* a hole; locked */
				return r;
		}
	return 0;
}

static int read_back(void) { return touch_try(5, ONDOL_FAULT_READ, 4); }
static int read_in_child(void)
{
	struct ondol_fault_result result;
	int r = fault_at(child, AT(9), ONDOL_FAULT_READ, 4, &result);

	return r ? r : fault_at(child, AT(21), ONDOL_FAULT_READ, 4, &result);
}

/* The frames around one that parent and child share, and a file's: they go elsewhere. */
static int empty_range(void)
{
	static const unsigned pages[] = { 1, 5, 31, 36, 43 };

	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
		struct ondol_pte_view entry = hw_entry(&hw, fx.mm, AT(pages[i]));
		ondol_pfn_t first = ondol_phys_to_pfn(entry.phys);
		int r;

		if (!entry.present)
			continue;
		r = ondol_alloc_contig_range(fx.m, first, 1, NULL);
		if (r)
			return r;
		ondol_free_pages(fx.m, ondol_pfn_to_page(fx.m, first), 0);
	}
	return 0;
}

static int cut_rights(void) { return ondol_mprotect(fx.mm, AT(2), 2 * PAGE, R, false); }
static int cut_hole(void) { return ondol_munmap(fx.mm, AT(13), PAGE); }
static int advise(void) { return ondol_madvise(fx.mm, AT(5), PAGE, 10); /* DONTFORK */ }
static int lock_some(void) { return ondol_mlock(fx.mm, AT(21), 2 * PAGE, true); }
static int window(void)
{
	struct ondol_vma_info vma;

	return ondol_remap_file_pages(fx.mm, AT(23), PAGE, 0, 1, &vma);
}

static int guard(void)
{
	int r = ondol_madvise(fx.mm, AT((UINT64_C(1) << 20) + 3), PAGE, 102);

	return r ? r : ondol_madvise(fx.mm, AT((UINT64_C(1) << 20) + 3), PAGE, 103);
}

static int replace(void) { return map_try(15, 2, R, NULL); }
static int sync_file(void) { return ondol_msync(fx.mm, AT(40), 8 * PAGE, ONDOL_MS_SYNC); }
static int shrink(void)
{
	struct ondol_mremap_args args = { .size = sizeof args, .old_addr = AT(30),
					  .old_length = 8 * PAGE, .new_length = 7 * PAGE };
	uint64_t at;

	return ondol_mremap(fx.mm, &args, &at);
}

static int move_away(void)
{
	struct ondol_mremap_args args = { .size = sizeof args, .old_addr = AT(8),
					  .old_length = 4 * PAGE, .new_length = 600 * PAGE,
					  .flags = ONDOL_MREMAP_MAYMOVE };

	return ondol_mremap(fx.mm, &args, &moved);
}

static int grow_heap(void)
{
	struct ondol_mm_layout layout;

	ondol_mm_layout(fx.mm, &layout);
	layout.start_brk = layout.brk = AT(100);
	ondol_mm_set_layout(fx.mm, &layout);
	return ondol_brk(fx.mm, AT(103)) == AT(103) ? 0 : -ONDOL_ENOMEM;
}

static int map_equal(void) { return map_try(70, 8, RW, NULL); }
static int write_equal(void)
{
	int r = 0;

	for (uint64_t page = 70; page < 78 && !r; page++)
		r = write_try(fx.mm, page, 170 + page % 2);
	return r;
}

static int want_merging(void) { return ondol_madvise(fx.mm, AT(70), 8 * PAGE, 12); }
static int merge(void) /* what is not merged for want of memory is no error */
{
	for (int i = 0; i < 3; i++)
		ondol_ksm_scan(fx.m, UINT64_MAX);
	return 0;
}

static int write_merged(void) { return write_try(fx.mm, 71, 171); }
static int unmerge(void) { return ondol_madvise(fx.mm, AT(70), 8 * PAGE, 13); }

static const struct step {
	const char *name;
	int (*take)(void);
} steps[] = {
#define STEP(f) { #f, f }
	STEP(create), STEP(add_swap), STEP(open_it), STEP(map_anon), STEP(map_shared),
	STEP(map_private_file), STEP(map_shared_file), STEP(map_far), STEP(map_named), STEP(guard),
	STEP(touch_anon), STEP(touch_move),
	STEP(touch_around_it), STEP(touch_far), STEP(touch_shared), STEP(read_file),
	STEP(read_file_around), STEP(copy_file), STEP(copy_unread), STEP(write_file),
	STEP(page_out), STEP(duplicate), STEP(empty_range), STEP(copy_on_write), STEP(page_out),
	STEP(read_in_child), STEP(copy_in_parent), STEP(read_back), STEP(page_out),
	STEP(cut_rights),
	STEP(cut_hole), STEP(advise), STEP(lock_some), STEP(window), STEP(replace), STEP(move_away),
	STEP(shrink), STEP(sync_file), STEP(grow_heap), STEP(map_equal), STEP(write_equal),
	STEP(want_merging), STEP(merge), STEP(write_merged), STEP(unmerge), STEP(merge),
	STEP(want_merging), STEP(merge),
};

/* The program runs: its hardware picks up all it can without a fault. */
static void run_program(struct ondol_mm_struct *mm)
{
	if (!mm || hw.kind == HW_NONE)
		return;
	if (!ondol_mm_private(mm))
		hw_attach(mm);
	hw_check(&hw, mm);
	for (unsigned i = 0; i < 64; i++) {
		hw_access(&hw, mm, i, ONDOL_FAULT_READ, 4);
		if (i % 3)
			hw_access(&hw, mm, i, ONDOL_FAULT_WRITE, 4);
	}
	hw_check(&hw, mm);
}

static void check_all(void)
{
	assert_valid();
	run_program(fx.mm);
	run_program(child);
}

static void put(struct ondol_mm_struct *mm)
{
	if (hw.kind != HW_NONE)
		hw_detach(mm);
	ondol_mmput(mm);
}

static void check_result(void)
{
	uint64_t word;

	assert_int_equal(peek(1), 101);
	assert_int_equal(peek_in(child, 1), 201);
	assert_int_equal(peek_in(child, 9), 109);
	assert_int_equal(ondol_copy_from_user(fx.mm, &word, moved + PAGE, sizeof word), 0);
	assert_int_equal(word, 309);
	assert_int_equal(peek(21), 121);
	assert_int_equal(peek(23), 121);
	assert_int_equal(peek_in(child, 21), 121);
	assert_int_equal(peek(31), 131);
	assert_int_equal(peek(32), 132);
	assert_int_equal(peek(43), 143);
	assert_int_equal(file.tag[3], 143);
	for (uint64_t page = 70; page < 78; page++)
		assert_int_equal(peek(page), 170 + page % 2);
	assert_int_equal(merge(), 0); /* now there is memory for it */
	assert_valid();
	assert_int_equal(machine_stats().ksm_pages_shared, 2);
	for (uint64_t page = 70; page < 78; page++)
		assert_int_equal(peek(page), 170 + page % 2);
	assert_picture("WW|RR|W|W|WW....W.W|RR...");
	assert_picture_of(fx.mm, 20, "S|ss|S......WWWWWWW...");
}

static bool expected_error(int r)
{
	return r == -ONDOL_ENOMEM || r == -ONDOL_EAGAIN || r == -ONDOL_EFAULT || r == -ONDOL_EIO;
}

/* One life in which the nth event of a kind fails; false: there were fewer. */
static bool live(enum ondol_fail_point point, bool persistent, uint64_t nth)
{
	struct ondol_fail_plan plan = { .persistent = persistent };

	plan.nth[point] = nth;
	fx.mm = child = NULL;
	file.file = NULL;
	ondol_set_fail_plan(fx.m, &plan);
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		int r = steps[i].take();

		if (!r) {
			run_program(fx.mm);
			run_program(child);
			continue;
		}
		if (!plan.failed[point] || !expected_error(r))
			fail_msg("%s: %d (event %d, no. %llu)", steps[i].name, r, point,
				 (unsigned long long)nth);
		check_all();
		if (persistent && steps[i].take()) {
			check_all();
			ondol_set_fail_plan(fx.m, NULL);
		} else if (persistent) {
			continue;
		}
		if (!persistent)
			ondol_set_fail_plan(fx.m, NULL);
		r = steps[i].take();
		if (r)
			fail_msg("%s: %d with memory back (event %d, no. %llu)", steps[i].name, r,
				 point, (unsigned long long)nth);
		check_all();
	}
	ondol_set_fail_plan(fx.m, NULL);
	check_all();
	check_result();
	put(fx.mm);
	put(child);
	close_file(&file);
	assert_true(file.released);
	assert_int_equal(machine_stats().nr_mm, 0);
	assert_int_equal(machine_stats().nr_vma, 0);
	assert_int_equal(machine_stats().pages[ONDOL_PAGE_ANON], 0);
	assert_int_equal(machine_stats().pages[ONDOL_PAGE_CACHE], 0);
	assert_int_equal(machine_stats().pages[ONDOL_PAGE_PGTABLE], 0);
	return plan.failed[point] != 0;
}

/* A machine of its own for each life: an event that needs a new slab is one only once. */
static void fail_each(enum ondol_fail_point point, bool persistent)
{
	struct ondol_mem_region all = { .end = { 8 << 20 }, .type = ONDOL_MEM_USABLE };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &all, .nr_regions = 1,
					   .nr_nodes = 1, .nr_cpus = 1, .reclaim_mapped = true,
					   .mmu = hw.kind == HW_NONE ? NULL : &hw.ops,
					   .mmu_ctx = &hw };
	bool failed = true;
	uint64_t nth = 1;

	for (; failed && nth < 2000; nth++) {
		memset(&fx, 0, sizeof fx);
		assert_int_equal(toy_init(&fx.toy, &desc), 0);
		fx.m = hw.m = fx.toy.m;
		hw.ram = fx.toy.ram;
		failed = live(point, persistent, nth);
		assert_int_equal(toy_free(&fx.toy), 0); /* -EBUSY: a leak */
		assert_true(swap.released && !swap.nr_used);
		assert_true(swap.writes || point == ONDOL_FAIL_SWAP_WRITE);
		test_swap_free(&swap);
	}
	assert_true(nth > 3 && nth < 2000);
}

static void fail_everywhere(enum ondol_fail_point point)
{
	static const struct {
		enum hw_kind kind;
		bool no_write_trap, with_protect;
	} kinds[] = {
		{ HW_NONE, false, false },    { HW_WALKER, false, true },
		{ HW_SOFTWARE, false, true }, { HW_SOFTWARE, true, true },
	};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		memset(&hw, 0, sizeof hw);
		hw_init(&hw, kinds[i].kind, kinds[i].no_write_trap, kinds[i].with_protect);
		hw.first = AT(0) / PAGE;
		hw.format = &ondol_pgtable_x86_64;
		hw.report = hardware_broken;
		fail_each(point, false);
		fail_each(point, true);
	}
}

static void no_frame(void **state)
{
	(void)state;
	fail_everywhere(ONDOL_FAIL_ALLOC_PAGES);
}

static void no_object(void **state)
{
	(void)state;
	fail_everywhere(ONDOL_FAIL_SLAB);
}

static void unreadable(void **state)
{
	(void)state;
	fail_everywhere(ONDOL_FAIL_READ_PAGE);
}

static void unreadable_swap(void **state)
{
	(void)state;
	fail_everywhere(ONDOL_FAIL_SWAP_READ);
}

static void unwritable_swap(void **state)
{
	(void)state;
	fail_everywhere(ONDOL_FAIL_SWAP_WRITE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_frame),
		cmocka_unit_test(no_object),
		cmocka_unit_test(unreadable),
		cmocka_unit_test(unreadable_swap),
		cmocka_unit_test(unwritable_swap),
	};

	return cmocka_run_group_tests_name("mm faults", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Swap: private pages go and come back on each kind of hardware and format; shared ones take
 * their frame with them when the last entry goes; errors; the invariants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/swap.h"

#include "support/swap_fixture.h"

/* ------------------------------------------------------------------ broken on purpose */

/* ------------------------------------------------------------------ pressure */

static const struct {
	enum hw_kind kind;
	bool no_write_trap;
	const struct ondol_profile *profile;
} machines[] = {
	{ HW_WALKER, false, NULL },
	{ HW_WALKER, false, &ondol_profile_i386_2_4 },
	{ HW_WALKER, false, &ondol_profile_i386_2_6 },
	{ HW_SOFTWARE, false, NULL },
	{ HW_SOFTWARE, true, NULL },
};

/* A quarter more than the memory, written and read three times over. */
static void more_than_there_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
		begin_mib(4, machines[i].kind, machines[i].no_write_trap, machines[i].profile);
		assert_int_equal(test_swap_add(&area, fx.m, 2000, 0), 0);
		map(0, HW_PAGES, RW);
		for (uint64_t round = 0; round < 3; round++) {
			for (uint64_t page = 0; page < HW_PAGES; page++)
				store(fx.mm, page, round << 32 | page);
			for (uint64_t page = 0; page < HW_PAGES; page++)
				assert_word(fx.mm, page, round << 32 | page);
			assert_valid();
			hw_check(&hw, fx.mm);
		}
		assert_true(swap_stats().out > HW_PAGES && swap_stats().in > HW_PAGES);
		assert_int_equal(swap_stats().in, area.reads);
		assert_true(stats_of(fx.mm).swap >= 256);
		assert_int_equal(stats_of(fx.mm).swap, swap_stats().total - swap_stats().free);
		assert_true(stats_of(fx.mm).maj_flt > 0);
		assert_true(swap_stats().refault_distance_sum >= swap_stats().in);
		assert_true(swap_stats().refaults_near <= swap_stats().in);
		end_swap();
	}
}

/* A full area and nothing else to take: a refusal in finite time, and all is still there. */
static void it_fills(void **state)
{
	struct ondol_fault_result result;
	uint64_t page = 0;

	(void)state;
	begin_mib(4, HW_SOFTWARE, true, NULL);
	assert_int_equal(test_swap_add(&area, fx.m, 100, 0), 0);
	map(0, HW_PAGES, RW);
	for (; !fault_at(fx.mm, AT(page), ONDOL_FAULT_WRITE, 1, &result); page++)
		poke(page, page);
	assert_in_range(page, 600, 1124);
	assert_int_equal(swap_stats().free, 0);
	assert_valid();
	unmap(page, 1);
	for (uint64_t i = 0; i < page; i += 7) /* room for what comes in */
		unmap(i, 1);
	for (uint64_t i = 0; i < page; i++)
		if (i % 7)
			assert_int_equal(peek(i), i);
	end_swap();
}

/* Locked memory stays. */
static void what_stays(void **state)
{
	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 8, RW);
	map(8, 8, RW | S);
	map(16, 8, RW);
	for (uint64_t page = 0; page < 24; page++)
		store(fx.mm, page, page);
	assert_int_equal(ondol_mlock(fx.mm, AT(0), 8 * PAGE, true), 0);
	assert_int_equal(ondol_madvise(fx.mm, AT(0), 8 * PAGE, PAGEOUT), -ONDOL_EINVAL);
	page_out_of(fx.mm, 8, 16);
	for (uint64_t page = 0; page < 24; page++)
		assert_int_equal(in_swap(fx.mm, page), page >= 16);
	assert_int_equal(swap_stats().total - swap_stats().free, 16); /* the shared ones, too */
	for (uint64_t page = 0; page < 24; page++)
		assert_word(fx.mm, page, page);
	end_swap();
}

static enum ondol_mmu_busy busy_answer;
static uint64_t busy_start, busy_end;

static enum ondol_mmu_busy always_busy(void *ctx, struct ondol_mm_struct *mm,
				       ondol_virt_addr_t start, ondol_virt_addr_t end)
{
	(void)ctx;
	(void)mm;
	busy_start = start;
	busy_end = end;
	return busy_answer;
}

static void the_port_may_object(void **state)
{
	struct test_file file;

	(void)state;
	begin_swap(HW_SOFTWARE);
	hw.ops.busy = always_busy;
	open_file(&file, 8 * PAGE);
	map(0, 4, RW);
	map(4, 4, RW | S);
	map_file(8, 4, RW, &file, 0);
	map_file(12, 4, R, &file, 4);
	store(fx.mm, 2, 2);
	store(fx.mm, 5, 5);
	store(fx.mm, 9, 9); /* a copy */
	assert_int_equal(peek(13), page_tag(5));
	for (busy_answer = ONDOL_MMU_ALL_STAYS;; busy_answer--) {
		page_out_of(fx.mm, 0, 16);
		assert_int_equal(in_swap(fx.mm, 2), busy_answer == ONDOL_MMU_IDLE);
		assert_int_equal(!entry(fx.mm, 5), busy_answer == ONDOL_MMU_IDLE);
		assert_int_equal(in_swap(fx.mm, 9), busy_answer == ONDOL_MMU_IDLE);
		assert_int_equal(!entry(fx.mm, 13), busy_answer != ONDOL_MMU_ALL_STAYS);
		assert_true(busy_start < busy_end);
		if (busy_answer == ONDOL_MMU_IDLE)
			break;
	}
	assert_word(fx.mm, 2, 2);
	assert_word(fx.mm, 5, 5);
	assert_word(fx.mm, 9, 9);
	close_file(&file);
	end_swap();
}

/* ------------------------------------------------------------------ a fork's pages */

static struct ondol_mm_struct *fork_attached(void)
{
	struct ondol_mm_struct *child;

	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
	return child;
}

static void end_child(struct ondol_mm_struct *child)
{
	hw_detach(child);
	ondol_mmput(child);
}

/* The table at the top of swap.c, line by line. */
static void shared_by_a_fork(void **state)
{
	struct ondol_mm_struct *child;
	struct ondol_page *frame;

	(void)state;
	begin_swap(HW_WALKER);
	map(0, 1, RW);
	store(fx.mm, 0, 77);
	child = fork_attached();
	frame = pte_page(fx.mm, entry(fx.mm, 0));

	page_out_of(fx.mm, 0, 1); /* s r */
	assert_true(in_swap(fx.mm, 0));
	assert_ptr_equal(pte_page(child, entry(child, 0)), frame);
	assert_int_equal(page_refs(frame), 2);
	assert_int_equal(swap_stats().cached, 1);
	assert_valid();

	assert_word(fx.mm, 0, 77); /* r r: from the child's frame, and the slot is free */
	assert_ptr_equal(pte_page(fx.mm, entry(fx.mm, 0)), frame);
	assert_int_equal(area.reads, 0);
	assert_int_equal(swap_stats().cache_hits, 1);
	assert_int_equal(swap_stats().free, swap_stats().total);
	assert_valid();

	page_out_of(fx.mm, 0, 1); /* s s: the frame is free, written once */
	page_out_of(child, 0, 1);
	assert_int_equal(area.writes, 2);
	assert_int_equal(swap_stats().cached, 0);
	assert_int_equal(frames(ONDOL_PAGE_ANON), 0);
	assert_int_equal(swap_stats().total - swap_stats().free, 1);
	assert_valid();

	assert_word(child, 0, 77); /* s r: read, and cached for the other */
	assert_int_equal(area.reads, 1);
	assert_int_equal(swap_stats().cached, 1);
	store(child, 0, 78); /* its own now; nobody maps the cached one */
	assert_int_equal(swap_stats().cached, 0);
	assert_int_equal(swap_stats().total - swap_stats().free, 1);
	assert_valid();
	assert_word(fx.mm, 0, 77);
	assert_word(child, 0, 78);
	end_child(child);
	end_swap();
}

/* A write to a page that others have, too, there or only in swap, makes one of its own. */
static void a_write_to_a_shared_one(void **state)
{
	struct ondol_mm_struct *child;

	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 2, RW);
	store(fx.mm, 0, 1);
	store(fx.mm, 1, 2);
	child = fork_attached();
	page_out_of(fx.mm, 0, 2);
	store(fx.mm, 0, 10); /* the child has the frame */
	assert_int_equal(swap_stats().cache_hits, 1);
	page_out_of(child, 0, 2);
	store(child, 1, 20); /* nobody has */
	assert_int_equal(area.reads, 1);
	assert_valid();
	assert_word(child, 0, 1);
	assert_word(fx.mm, 0, 10);
	assert_word(fx.mm, 1, 2);
	assert_word(child, 1, 20);
	end_child(child);
	end_swap();
}

/* fork while pages are in swap, then both go on. */
static void a_fork_of_swapped_pages(void **state)
{
	struct ondol_mm_struct *child;

	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 600, RW);
	for (uint64_t page = 0; page < 600; page++)
		store(fx.mm, page, page);
	page_out_of(fx.mm, 0, 600);
	child = fork_attached();
	assert_int_equal(stats_of(child).swap, 600);
	assert_int_equal(swap_stats().total - swap_stats().free, 600);
	assert_valid();
	for (uint64_t page = 0; page < 600; page += 2)
		store(child, page, 1000 + page);
	for (uint64_t page = 0; page < 600; page++) {
		assert_word(fx.mm, page, page);
		assert_word(child, page, page % 2 ? page : 1000 + page);
	}
	assert_valid();
	end_child(child);
	end_swap();
}

/* ------------------------------------------------------------------ the calls */

static void calls_on_swapped_pages(void **state)
{
	struct ondol_mremap_args move = { .size = sizeof move,
					  .flags = ONDOL_MREMAP_MAYMOVE | ONDOL_MREMAP_FIXED,
					  .old_addr = AT(0), .old_length = 4 * PAGE,
					  .new_addr = AT(100), .new_length = 4 * PAGE };
	unsigned char vec[4];
	ondol_virt_addr_t at;

	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 4, RW);
	for (uint64_t page = 0; page < 4; page++)
		store(fx.mm, page, page);
	page_out_of(fx.mm, 0, 4);
	assert_int_equal(ondol_mincore(fx.mm, AT(0), 4 * PAGE, vec), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(vec[i], 0);
	assert_int_equal(ondol_mremap(fx.mm, &move, &at), 0);
	assert_true(in_swap(fx.mm, 100) && !entry(fx.mm, 0));
	protect(100, 4, R);
	assert_true(in_swap(fx.mm, 100));
	assert_word(fx.mm, 101, 1);
	assert_int_equal(refusal(AT(100), ONDOL_FAULT_WRITE), -ONDOL_EACCES);
	protect(100, 4, RW);
	store(fx.mm, 101, 11);
	page_out_of(fx.mm, 100, 4);
	assert_int_equal(ondol_madvise(fx.mm, AT(100), PAGE, DONTNEED), 0);
	assert_int_equal(peek(100), 0);
	unmap(103, 1);
	assert_int_equal(swap_stats().total - swap_stats().free, 2);
	assert_word(fx.mm, 101, 11);
	assert_word(fx.mm, 102, 2);
	assert_int_equal(ondol_mlock(fx.mm, AT(100), 3 * PAGE, true), 0);
	assert_int_equal(swap_stats().free, swap_stats().total);
	end_swap();
}

/* A private page of a file that was written is private memory; the file's own is not. */
static void copies_of_a_file(void **state)
{
	struct test_file file;

	(void)state;
	begin_swap(HW_SOFTWARE);
	open_file(&file, 8 * PAGE);
	map_file(0, 8, RW, &file, 0);
	poke(3, 33);
	assert_int_equal(peek(4), page_tag(4));
	page_out_of(fx.mm, 0, 8);
	assert_true(in_swap(fx.mm, 3));
	assert_false(in_swap(fx.mm, 4));
	assert_int_equal(touch_around(2, ONDOL_FAULT_READ, 8).kind, ONDOL_FAULT_FILE_READ);
	assert_true(in_swap(fx.mm, 3)); /* the window went round it */
	assert_int_equal(peek(3), 33);
	assert_int_equal(peek(2), page_tag(2));
	close_file(&file);
	end_swap();
}

/* Shared memory: out when nobody maps it, back for whoever comes first. */
static void shared_memory(void **state)
{
	struct ondol_mm_struct *child;
	struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_SWAP_READ] = 1 };
	unsigned char vec[8];

	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 8, RW | S);
	for (uint64_t page = 0; page < 8; page++)
		store(fx.mm, page, page);
	child = fork_attached();
	assert_word(child, 1, 1);
	page_out_of(fx.mm, 0, 8); /* the child has them */
	assert_int_equal(swap_stats().total - swap_stats().free, 0);
	page_out_of(child, 0, 8);
	assert_int_equal(swap_stats().total - swap_stats().free, 8);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 0);
	assert_int_equal(stats_of(fx.mm).swap, 0);
	assert_valid();
	assert_int_equal(ondol_mincore(fx.mm, AT(0), 8 * PAGE, vec), 0);
	assert_int_equal(vec[3], 0);
	assert_int_equal(touch(3, ONDOL_FAULT_WRITE), ONDOL_FAULT_SWAP_READ);
	store(child, 3, 33);
	assert_word(fx.mm, 3, 33);
	assert_int_equal(swap_stats().total - swap_stats().free, 7);
	ondol_set_fail_plan(fx.m, &plan);
	assert_int_equal(refusal(AT(4), ONDOL_FAULT_READ), -ONDOL_EIO);
	ondol_set_fail_plan(fx.m, NULL);
	assert_valid();
	assert_int_equal(ondol_madvise(fx.mm, AT(5), PAGE, 9), 0); /* MADV_REMOVE */
	assert_int_equal(swap_stats().total - swap_stats().free, 6);
	assert_int_equal(peek(5), 0);
	for (uint64_t page = 6; page < 8; page++)
		assert_word(child, page, page);
	NAMES_WHILE_WRONG("SWAP-1", vma_find(fx.mm, AT(0))->file->mapping->nr_swapped, 1);
	end_child(child);
	unmap(0, 8); /* and what is in swap still */
	assert_int_equal(swap_stats().free, swap_stats().total);
	end_swap();
}

/* Neighbours come along, as far as they are ours alone. */
static void read_ahead(void **state)
{
	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 64, RW);
	for (uint64_t page = 0; page < 64; page++)
		store(fx.mm, page, page);
	page_out_of(fx.mm, 0, 64);
	assert_int_equal(touch_around(5, ONDOL_FAULT_WRITE, 1).nr_pages, 1);
	assert_int_equal(touch_around(9, ONDOL_FAULT_WRITE, 16).nr_pages, 4);
	assert_int_equal(area.reads, 5);
	assert_int_equal(machine_stats().faults[ONDOL_FAULT_SWAP_READ], 2);
	for (uint64_t page = 0; page < 64; page++)
		assert_word(fx.mm, page, page);
	end_swap();
}

/* A cached frame moves, and the slot knows. */
static void migration(void **state)
{
	struct ondol_mm_struct *child;
	struct ondol_page *frame;
	ondol_pfn_t pfn;

	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 4, RW);
	for (uint64_t page = 0; page < 4; page++)
		store(fx.mm, page, page);
	child = fork_attached();
	page_out_of(fx.mm, 1, 2);
	frame = pte_page(child, entry(child, 1));
	pfn = ondol_page_to_pfn(fx.m, frame);
	assert_int_equal(ondol_alloc_contig_range(fx.m, pfn, 1, NULL), 0);
	ondol_free_pages(fx.m, frame, 0);
	assert_ptr_not_equal(pte_page(child, entry(child, 1)), frame);
	assert_int_equal(swap_stats().cached, 2);
	assert_valid();
	for (uint64_t page = 0; page < 4; page++) {
		assert_word(fx.mm, page, page);
		assert_word(child, page, page);
	}
	assert_int_equal(area.reads, 0);
	end_child(child);
	end_swap();
}

/* ------------------------------------------------------------------ errors */

static void a_read_fails(void **state)
{
	struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_SWAP_READ] = 1 };

	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 4, RW);
	for (uint64_t page = 0; page < 4; page++)
		store(fx.mm, page, page);
	page_out_of(fx.mm, 0, 4);
	area.fail_read = -ONDOL_EIO;
	assert_int_equal(refusal(AT(1), ONDOL_FAULT_WRITE), -ONDOL_EIO);
	assert_true(in_swap(fx.mm, 1));
	assert_valid();
	area.fail_read = 0;
	ondol_set_fail_plan(fx.m, &plan);
	assert_int_equal(refusal(AT(1), ONDOL_FAULT_READ), -ONDOL_EIO);
	ondol_set_fail_plan(fx.m, NULL);
	assert_word(fx.mm, 1, 1); /* it was the moment's */
	assert_word(fx.mm, 3, 3);
	end_swap();
}

/* ... of a neighbour: the fault's own page comes all the same. */
static void a_neighbour_fails(void **state)
{
	struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_SWAP_READ] = 2 };
	struct ondol_fault_result result;

	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 4, RW);
	for (uint64_t page = 0; page < 4; page++)
		store(fx.mm, page, page);
	page_out_of(fx.mm, 0, 4);
	ondol_set_fail_plan(fx.m, &plan);
	assert_int_equal(fault_at(fx.mm, AT(0), ONDOL_FAULT_WRITE, 4, &result), 0);
	assert_int_equal(result.nr_pages, 3);
	assert_true(in_swap(fx.mm, 1));
	ondol_set_fail_plan(fx.m, NULL);
	for (uint64_t page = 0; page < 4; page++)
		assert_word(fx.mm, page, page);
	end_swap();
}

static int first_area(void *ctx, const struct ondol_swap_info *info)
{
	*(struct ondol_swap_info *)ctx = *info;
	return 1;
}

/* The page stays where it is, mapped and whole, or goes to the next area. */
static void a_write_fails(void **state)
{
	struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_SWAP_WRITE] = 2 };
	struct ondol_swap_info info;
	struct test_swap second;

	(void)state;
	for (enum hw_kind kind = HW_NONE + 1; kind <= HW_SOFTWARE; kind++) {
		begin_swap(kind);
		map(0, 4, RW);
		for (uint64_t page = 0; page < 4; page++)
			store(fx.mm, page, page);
		ondol_set_fail_plan(fx.m, &plan);
		plan.seen[ONDOL_FAIL_SWAP_WRITE] = 0;
		page_out_of(fx.mm, 0, 4);
		ondol_set_fail_plan(fx.m, NULL);
		for (uint64_t page = 0; page < 4; page++)
			assert_int_equal(in_swap(fx.mm, page), page != 1);
		assert_valid();
		hw_check(&hw, fx.mm);
		area.fail_write = -ONDOL_ENOSPC;
		page_out_of(fx.mm, 0, 4);
		assert_false(in_swap(fx.mm, 1));
		assert_int_equal(ondol_for_each_swap_area(fx.m, first_area, &info), 1);
		assert_int_equal(info.write_errors, 1);
		assert_int_equal(info.refused, 1);
		assert_int_equal(test_swap_add(&second, fx.m, 10, -5), 0);
		page_out_of(fx.mm, 0, 4);
		assert_int_equal(second.nr_used, 1);
		assert_valid();
		for (uint64_t page = 0; page < 4; page++)
			assert_word(fx.mm, page, page);
		end_swap();
		assert_true(second.released);
		test_swap_free(&second);
	}
}

/* Each allocation of a fault on a swapped page, failing in turn. */
static void no_memory(void **state)
{
	struct ondol_mm_struct *child;
	bool failed = true;

	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 3, RW);
	for (uint64_t page = 0; page < 3; page++)
		store(fx.mm, page, page);
	page_out_of(fx.mm, 0, 3);
	child = fork_attached();
	for (uint64_t n = 1; failed; n++) {
		struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_ALLOC_PAGES] = n };
		struct ondol_fault_result result;
		int r = 0;

		ondol_set_fail_plan(fx.m, &plan);
		for (uint64_t page = 0; page < 3 && !r; page++)
			r = fault_at(child, AT(page), page == 1 ? ONDOL_FAULT_READ :
								   ONDOL_FAULT_WRITE, 4, &result);
		ondol_set_fail_plan(fx.m, NULL);
		failed = plan.failed[ONDOL_FAIL_ALLOC_PAGES];
		assert_true(r == 0 || r == -ONDOL_ENOMEM);
		assert_valid();
	}
	for (uint64_t page = 0; page < 3; page++) {
		assert_word(child, page, page);
		assert_word(fx.mm, page, page);
	}
	end_child(child);
	end_swap();
}

static void swap_1_and_2(void **state)
{
	struct ondol_mm_struct *child;
	struct swap_slot *slot, *cached;
	struct ondol_page *frame;
	uint64_t *pte;

	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 2, RW);
	store(fx.mm, 0, 1);
	store(fx.mm, 1, 1);
	child = fork_attached();
	page_out_of(fx.mm, 0, 2);
	page_out_of(child, 0, 1);
	pte = pgtable_find(&fx.mm->pgt, AT(0));
	slot = swap_slot_of(fx.m, pte_slot(fx.mm, *pte));
	cached = swap_slot_of(fx.m, pte_slot(fx.mm, entry(fx.mm, 1)));
	frame = pte_page(child, entry(child, 1));
	assert_valid();
	NAMES_WHILE_WRONG("SWAP-1", slot->count, slot->count + 1);
	NAMES_WHILE_WRONG("SWAP-1", slot->count, slot->count - 1);
	NAMES_WHILE_WRONG("SWAP-1", fx.mm->nr_swap, 1);
	NAMES_WHILE_WRONG("SWAP-1", fx.m->virt->swap->used, 3);
	NAMES_WHILE_WRONG("SWAP-1", fx.m->virt->swap->area[0]->used, 3);
	NAMES_WHILE_WRONG("SWAP-1", *pte, pte_of_slot(fx.mm, 2000));
	NAMES_WHILE_WRONG("SWAP-1", *pte, *pte | 2);
	NAMES_WHILE_WRONG("MMU-1", *pte, PAGE); /* as a migration leaves it for a moment */
	NAMES_WHILE_WRONG("SWAP-2", cached->at, cached->at + 1);
	NAMES_WHILE_WRONG("SWAP-2", cached->at, UINT32_MAX);
	NAMES_WHILE_WRONG("SWAP-2", frame->data.index, frame->data.index + 1);
	NAMES_WHILE_WRONG("SWAP-2", fx.m->virt->swap->cached, 0);
	end_child(child);
	end_swap();
}

/* ------------------------------------------------------------------ what is read along */

/* Each page was written to, more of them than there are frames. */
static void begin_full(void)
{
	begin_mib(4, HW_SOFTWARE, true, NULL);
	assert_int_equal(test_swap_add(&area, fx.m, 2000, 0), 0);
	map(0, HW_PAGES, RW);
	for (uint64_t page = 0; page < HW_PAGES; page++)
		store(fx.mm, page, page);
}

/*
 * A quarter of the memory is hot, a page of the rest is wanted now and then: little beside it is
 * read, which would drive the hot ones out.
 */
static void only_what_is_wanted(void **state)
{
	const uint64_t hot = 256, jumps = 4000;
	uint64_t faults = 0, in, random = 1;

	(void)state;
	begin_full();
	in = swap_stats().in;
	for (uint64_t i = 0; i < jumps; i++) {
		for (unsigned k = 0; k < 4; k++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			faults += in_swap(fx.mm, (random >> 33) % hot);
			assert_word(fx.mm, (random >> 33) % hot, (random >> 33) % hot);
		}
		faults += in_swap(fx.mm, hot + (random >> 40) % (HW_PAGES - hot));
		assert_word(fx.mm, hot + (random >> 40) % (HW_PAGES - hot),
			    hot + (random >> 40) % (HW_PAGES - hot));
	}
	in = swap_stats().in - in;
	/* 1709 for 2089 pages; four at a time 1605 for 6007. */
	assert_in_range(faults, 500, 2000);
	assert_true(2 * in < 3 * faults);
	end_swap();
}

/* Memory that is used in order comes back many pages at a time. */
static void all_that_follows(void **state)
{
	uint64_t faults = 0;

	(void)state;
	begin_full();
	for (uint64_t i = 0; i < 3 * HW_PAGES; i++) {
		faults += in_swap(fx.mm, i % HW_PAGES);
		assert_word(fx.mm, i % HW_PAGES, i % HW_PAGES);
	}
	assert_true(swap_stats().in > 2 * HW_PAGES);
	assert_in_range(faults, 200, 600); /* 374; four at a time 1023 */
	end_swap();
}

/* ------------------------------------------------------------------ fork, memory full */

/* As the hosted port: what is being made has nobody yet who could be told. */
static enum ondol_mmu_busy busy_being_made(void *ctx, struct ondol_mm_struct *mm,
					   ondol_virt_addr_t start, ondol_virt_addr_t end)
{
	(void)ctx;
	(void)start;
	(void)end;
	return ondol_mm_private(mm) ? ONDOL_MMU_IDLE : ONDOL_MMU_ALL_STAYS;
}

/*
 *	DDDD...DDDD  T........T........T ...    data that fills the memory, and pages in swap, each
 *	                                        of which has a table of its own
 *
 * Once the data is shared it cannot be had any more: not the child's half, since the child is being
 * made.  The tables' frames must be there before.
 */
static void a_fork_when_memory_is_full(void **state)
{
	const uint64_t tables = 300, apart = 512, data = 640;
	struct ondol_mm_struct *child;

	(void)state;
	begin_swap(HW_SOFTWARE);
	hw.ops.busy = busy_being_made;
	map(0, data, RW);
	map(2048, tables * apart, RW);
	for (uint64_t i = 0; i < tables; i++) {
		poke(2048 + i * apart, i);
		page_out_of(fx.mm, 2048 + i * apart, 1);
	}
	for (uint64_t page = 0; page < data; page++)
		store(fx.mm, page, page);
	/* Nearly nothing is free: some of the data may be in swap already. */
	assert_true(ondol_nr_free_pages(fx.m) < tables / 2);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	assert_valid();
	hw_attach(child);
	for (uint64_t page = 0; page < data; page++)
		assert_word(child, page, page);
	for (uint64_t i = 0; i < tables; i++)
		assert_int_equal(peek_in(child, 2048 + i * apart), i);
	end_child(child);
	end_swap();
}

/* ------------------------------------------------------------------ beside promises and guards */

static int first_entry(void *ctx, ondol_virt_addr_t start, const uint64_t *entries, uint32_t nr)
{
	(void)nr;
	if (start == AT(0))
		*(uint64_t *)ctx = entries[0];
	return 0;
}

/* What swap has room for may be promised, too. */
static void room_to_promise(void **state)
{
	uint64_t ram, at, total;

	(void)state;
	begin_swap(HW_SOFTWARE);
	ram = fx.m->phys->managed;
	total = swap_stats().total;
	fx.m->overcommit = ONDOL_OVERCOMMIT_NEVER;
	assert_int_equal(ondol_commit_limit(fx.m), ram / 2 + total);
	fx.m->overcommit = ONDOL_OVERCOMMIT_GUESS;
	assert_int_equal(try_map(fx.mm, 0, ram + total + 1, RW, 0, NULL, 0, &at), -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, 0, ram + total, RW, 0, NULL, 0, &at), 0);
	assert_int_equal(ondol_munmap(fx.mm, at, (ram + total) * PAGE), 0);
	end_swap();
}

/*	ssss -> sGGs    a guard takes the slot's place; a child has both */
static void guards_beside_slots(void **state)
{
	const uint64_t swapped = UINT64_C(1) << 62;
	struct ondol_mm_struct *child;
	uint64_t told = 0, slots;

	(void)state;
	begin_swap(HW_SOFTWARE);
	map(0, 4, RW);
	for (uint64_t page = 0; page < 4; page++)
		store(fx.mm, page, page + 7);
	page_out_of(fx.mm, 0, 4);
	assert_int_equal(ondol_pagemap(fx.mm, first_entry, &told), 0);
	assert_int_equal(told, swapped | pte_slot(fx.mm, entry(fx.mm, 0)) << 5);
	slots = stats_of(fx.mm).swap;
	assert_int_equal(ondol_madvise(fx.mm, AT(1), 2 * PAGE, 102), 0);
	assert_int_equal(stats_of(fx.mm).swap, slots - 2);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	assert_true(in_swap(child, 0) && in_swap(child, 3));
	assert_int_equal(entry(child, 1), pte_guard(child));
	assert_valid();
	ondol_mmput(child);
	assert_int_equal(refusal(AT(1), ONDOL_FAULT_READ), -ONDOL_EFAULT);
	assert_word(fx.mm, 0, 7);
	assert_word(fx.mm, 3, 10);
	assert_int_equal(ondol_madvise(fx.mm, AT(0), 4 * PAGE, 103), 0);
	assert_int_equal(peek(1), 0);
	end_swap();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_than_there_is),
		cmocka_unit_test(it_fills),
		cmocka_unit_test(what_stays),
		cmocka_unit_test(room_to_promise),
		cmocka_unit_test(guards_beside_slots),
		cmocka_unit_test(the_port_may_object),
		cmocka_unit_test(shared_by_a_fork),
		cmocka_unit_test(a_write_to_a_shared_one),
		cmocka_unit_test(a_fork_of_swapped_pages),
		cmocka_unit_test(calls_on_swapped_pages),
		cmocka_unit_test(copies_of_a_file),
		cmocka_unit_test(shared_memory),
		cmocka_unit_test(read_ahead),
		cmocka_unit_test(migration),
		cmocka_unit_test(a_read_fails),
		cmocka_unit_test(a_neighbour_fails),
		cmocka_unit_test(a_write_fails),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(only_what_is_wanted),
		cmocka_unit_test(all_that_follows),
		cmocka_unit_test(swap_1_and_2),
		cmocka_unit_test(a_fork_when_memory_is_full),
	};

	return cmocka_run_group_tests_name("swap", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Same-page merging: what is merged and when, on each kind of hardware; what separates it again;
 * fork, swap, migration and large leaves with merged frames; steps; every refusal of memory; the
 * invariants.  Shows A4, G10.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/ksm.h"

#include "support/swap_fixture.h"

#define MERGEABLE 12
#define UNMERGEABLE 13
#define COLLAPSE 25

static const struct {
	enum hw_kind kind;
	bool no_write_trap;
	const struct ondol_profile *profile;
} machines[] = {
	{ HW_NONE, false, NULL },
	{ HW_WALKER, false, NULL },
	{ HW_WALKER, false, &ondol_profile_i386_2_4 },
	{ HW_WALKER, false, &ondol_profile_i386_2_6 },
	{ HW_SOFTWARE, false, NULL },
	{ HW_SOFTWARE, true, NULL },
};
#define for_each_machine(i) for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)

static void begin_on(size_t i)
{
	begin_mib(8, machines[i].kind, machines[i].no_write_trap, machines[i].profile);
}

static void end_ksm(void)
{
	if (hw.kind != HW_NONE)
		hw_check(&hw, fx.mm);
	end_swap();
}

/* The page's first and last word, as the program writes them. */
static void fill(struct ondol_mm_struct *mm, uint64_t page, uint64_t word)
{
	uint64_t last = ~word;

	if (hw.kind == HW_NONE) {
		assert_int_equal(ondol_copy_to_user(mm, AT(page), &word, 8), 0);
		assert_int_equal(ondol_copy_to_user(mm, AT(page + 1) - 8, &last, 8), 0);
	} else {
		store(mm, page, word);
	}
}

/* Without touching it: a look may separate. */
static void assert_shows(struct ondol_mm_struct *mm, uint64_t page, uint64_t word)
{
	uint64_t last;

	assert_int_equal(peek_in(mm, page), word);
	assert_int_equal(ondol_copy_from_user(mm, &last, AT(page + 1) - 8, 8), 0);
	assert_int_equal(last, ~word);
}

static int advise_in(struct ondol_mm_struct *mm, uint64_t page, uint64_t pages, int advice)
{
	return ondol_madvise(mm, AT(page), pages * PAGE, advice);
}

static void mergeable(uint64_t page, uint64_t pages)
{
	map(page, pages, RW);
	assert_int_equal(advise_in(fx.mm, page, pages, MERGEABLE), 0);
}

static uint64_t scan(void)
{
	uint64_t merged = ondol_ksm_scan(fx.m, UINT64_MAX);

	assert_valid();
	if (hw.kind != HW_NONE)
		hw_check(&hw, fx.mm);
	return merged;
}

static void assert_shared(uint64_t shared, uint64_t sharing)
{
	assert_int_equal(machine_stats().ksm_pages_shared, shared);
	assert_int_equal(machine_stats().ksm_pages_sharing, sharing);
}

static uint64_t frame_in(struct ondol_mm_struct *mm, uint64_t page)
{
	assert_true(pte_present(mm, entry(mm, page)));
	return (entry(mm, page) & mm->pgt.format->phys_mask) >> ONDOL_PAGE_SHIFT;
}

static struct ondol_page *page_in(struct ondol_mm_struct *mm, uint64_t page)
{
	return pte_page(mm, entry(mm, page));
}

/* n equal pages from `page` on, merged. */
static void make_merged(uint64_t page, uint64_t n, uint64_t word)
{
	mergeable(page, n);
	for (uint64_t i = 0; i < n; i++)
		fill(fx.mm, page + i, word);
	for (int i = 0; i < 3; i++)
		scan();
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(frame_in(fx.mm, page + i), frame_in(fx.mm, page));
	assert_true(page_is_merged(page_in(fx.mm, page)));
}

/* ------------------------------------------------------------------ what is merged */

static void equal_pages(void **state)
{
	(void)state;
	for_each_machine(k) {
		struct ondol_mm_struct *other;
		uint64_t frame;

		begin_on(k);
		assert_int_equal(scan(), 0); /* nobody wants it */
		other = new_mm();
		hw_attach(other);
		mergeable(0, 8);
		map_at(other, AT(100), 4, RW, NULL, 0);
		assert_int_equal(advise_in(other, 100, 4, MERGEABLE), 0);
		for (uint64_t i = 0; i < 8; i++)
			fill(fx.mm, i, i < 4 ? 7 : 100 + i);
		for (uint64_t i = 100; i < 103; i++)
			fill(other, i, 7);
		fill(other, 103, 0x103);
		assert_int_equal(frames(ONDOL_PAGE_ANON) + fx.before.pages[ONDOL_PAGE_ANON], 12);
		assert_int_equal(scan(), 0);
		assert_shared(0, 0);
		assert_int_equal(machine_stats().ksm_pages_volatile, 12);
		assert_int_equal(scan(), 5); /* one is seen, one is the first */
		assert_shared(1, 5);
		assert_int_equal(machine_stats().ksm_pages_unshared, 6);
		assert_int_equal(scan(), 1);
		assert_shared(1, 6);
		assert_int_equal(machine_stats().ksm_pages_unshared, 5);
		assert_int_equal(scan(), 0);
		assert_int_equal(machine_stats().ksm_full_scans, 4);
		assert_int_equal(machine_stats().pages[ONDOL_PAGE_ANON], 6);
		frame = frame_in(other, 100);
		for (uint64_t i = 0; i < 8; i++) {
			assert_shows(fx.mm, i, i < 4 ? 7 : 100 + i);
			assert_int_equal(frame_in(fx.mm, i) == frame, i < 4);
		}
		assert_int_equal(rss_of(fx.mm), 8);
		fill(fx.mm, 2, 8); /* separates it */
		assert_shows(fx.mm, 2, 8);
		assert_shows(fx.mm, 3, 7);
		assert_shows(other, 101, 7);
		assert_shared(1, 5);
		assert_int_equal(machine_stats().cow_ksm, 1);
		assert_valid();
		hw_detach(other);
		ondol_mmput(other);
		assert_shared(1, 2);
		end_ksm();
	}
}

/* With one entry left it is still merged, and a write still copies [KSM-2]. */
static void the_last_entry(void **state)
{
	(void)state;
	for_each_machine(k) {
		uint64_t frame;

		begin_on(k);
		make_merged(0, 3, 5);
		unmap(0, 2);
		assert_shared(1, 0);
		frame = frame_in(fx.mm, 2);
		assert_int_equal(touch(2, ONDOL_FAULT_WRITE), ONDOL_FAULT_COW_COPY);
		assert_true(frame != frame_in(fx.mm, 2));
		assert_shared(0, 0);
		assert_shows(fx.mm, 2, 5);
		assert_int_equal(machine_stats().pages[ONDOL_PAGE_ANON], 1);
		end_ksm();
	}
}

static void changing_pages(void **state)
{
	(void)state;
	for_each_machine(k) {
		begin_on(k);
		mergeable(0, 4);
		for (uint64_t round = 0; round < 5; round++) {
			for (uint64_t i = 0; i < 4; i++)
				fill(fx.mm, i, round);
			assert_int_equal(scan(), 0);
			assert_int_equal(machine_stats().ksm_pages_volatile, 4);
		}
		assert_shared(0, 0);
		end_ksm();
	}
}

/* Where a look would separate them, pages that are looked at are not merged. */
static void pages_in_use(void **state)
{
	static const uint64_t at[] = { 0, 1, 20, 21 };

	(void)state;
	begin_mib(8, HW_SOFTWARE, true, NULL);
	mergeable(0, 2);
	mergeable(20, 2);
	for (size_t i = 0; i < 4; i++)
		fill(fx.mm, at[i], 3);
	for (uint64_t round = 0; round < 4; round++) {
		assert_int_equal(scan(), round == 2); /* with what is seen of the others */
		assert_word(fx.mm, 0, 3);
		assert_word(fx.mm, 1, 3);
	}
	assert_int_equal(frame_in(fx.mm, 20), frame_in(fx.mm, 21));
	assert_int_equal(machine_stats().ksm_pages_volatile, 2);
	assert_word(fx.mm, 20, 3);
	assert_true(frame_in(fx.mm, 20) != frame_in(fx.mm, 21));
	/* A region that may only be read shows them as they are. */
	assert_int_equal(scan() + scan() + scan(), 3);
	protect(0, 2, R);
	protect(20, 2, R);
	for (size_t i = 0; i < 4; i++)
		assert_word(fx.mm, at[i], 3);
	assert_shared(1, 3);
	assert_valid();
	protect(0, 2, RW);
	protect(20, 2, RW);
	for (size_t i = 0; i < 4; i++)
		store(fx.mm, at[i], i);
	assert_shared(0, 0);
	end_ksm();
}

static void zero_pages(void **state)
{
	(void)state;
	for_each_machine(k) {
		begin_on(k);
		mergeable(0, 40);
		for (uint64_t i = 0; i < 40; i++)
			touch(i, ONDOL_FAULT_WRITE);
		assert_int_equal(scan() + scan() + scan(), 39);
		assert_int_equal(machine_stats().pages[ONDOL_PAGE_ANON], 1);
		assert_int_equal(peek(39), 0);
		end_ksm();
	}
}

/* Two pages with one checksum: contents decide. */
static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return sum ^ sum >> 32;
}

static void put_words(uint64_t page, uint64_t first, uint64_t fifth)
{
	const uint64_t words[5] = { first, 0, 0, 0, fifth };

	assert_int_equal(ondol_copy_to_user(fx.mm, AT(page), words, sizeof words), 0);
}

static void equal_checksums(void **state)
{
	(void)state;
	begin_mib(8, HW_NONE, false, NULL);
	mergeable(0, 40);
	for (uint64_t i = 0; i < 40; i++) /* two of each */
		put_words(i, i / 2, mix(1, i / 2) ^ 4711);
	for (uint64_t i = 1; i < 40; i++)
		assert_int_equal(ksm_checksum(fx.m, page_in(fx.mm, i)),
				 ksm_checksum(fx.m, page_in(fx.mm, 0)));
	for (int round = 0; round < 20; round++)
		scan();
	for (uint64_t i = 0; i < 40; i++)
		assert_int_equal(peek(i), i / 2);
	assert_true(machine_stats().ksm_pages_sharing > 0);
	for (uint64_t i = 0; i < 40; i++)
		assert_true(frame_in(fx.mm, i) != frame_in(fx.mm, (i + 2) % 40));
	end_ksm();
}

/* ------------------------------------------------------------------ regions and calls */

static void regions(void **state)
{
	struct ondol_vma_info vma;

	(void)state;
	begin_mib(8, HW_SOFTWARE, false, NULL);
	map(0, 12, RW);
	map(20, 2, RW | S);
	map(30, 1, R | ONDOL_VM_NATIVE);
	map(40, 2, RW | ONDOL_VM_DROPPABLE);
	for (uint64_t i = 0; i < 12; i++)
		fill(fx.mm, i, 9);
	fill(fx.mm, 20, 9);
	fill(fx.mm, 40, 9);
	assert_int_equal(advise_in(fx.mm, 2, 6, MERGEABLE), 0);
	assert_picture("WW|WWWWWW|WWWW");
	assert_int_equal(advise_in(fx.mm, 20, 2, MERGEABLE), 0); /* nothing to them */
	assert_int_equal(advise_in(fx.mm, 30, 1, MERGEABLE), 0);
	assert_int_equal(advise_in(fx.mm, 40, 2, MERGEABLE), 0);
	assert_int_equal(advise_in(fx.mm, 20, 2, UNMERGEABLE), 0);
	assert_int_equal(advise_in(fx.mm, 12, 2, MERGEABLE), -ONDOL_ENOMEM); /* a hole */
	assert_int_equal(ondol_madvise(fx.mm, AT(0) + 1, PAGE, MERGEABLE), -ONDOL_EINVAL);
	for (uint64_t page = 20; page < 42; page += 10) {
		assert_int_equal(ondol_find_vma(fx.mm, AT(page), &vma), 0);
		assert_false(vma.vm_flags & ONDOL_VM_MERGEABLE);
	}
	assert_int_equal(ondol_mlock(fx.mm, AT(6), 2 * PAGE, true), 0);
	assert_int_equal(scan() + scan() + scan(), 3);
	assert_shared(1, 3); /* pages 2 to 5 */
	assert_int_equal(ondol_mlock(fx.mm, AT(4), PAGE, true), 0);
	assert_shared(1, 2); /* now it can be written without a fault */
	assert_valid();
	assert_int_equal(advise_in(fx.mm, 0, 12, UNMERGEABLE), 0);
	assert_shared(0, 0);
	assert_int_equal(scan() + scan() + scan(), 0);
	for (uint64_t i = 0; i < 12; i++)
		assert_word(fx.mm, i, 9);
	end_ksm();
}

/* madvise(2): EAGAIN where memory is lacking; what is left stays merged, and the flag. */
static void unmerging_needs_memory(void **state)
{
	struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_ALLOC_PAGES] = 3, .persistent = true };
	struct ondol_vma_info vma;

	(void)state;
	for_each_machine(k) {
		begin_on(k);
		make_merged(0, 6, 1);
		protect(0, 6, R); /* they can be read by then, and no more */
		plan.seen[ONDOL_FAIL_ALLOC_PAGES] = 0;
		ondol_set_fail_plan(fx.m, &plan);
		assert_int_equal(advise_in(fx.mm, 0, 6, UNMERGEABLE), -ONDOL_EAGAIN);
		ondol_set_fail_plan(fx.m, NULL);
		assert_shared(1, 3);
		assert_valid();
		assert_int_equal(ondol_find_vma(fx.mm, AT(0), &vma), 0);
		assert_true(vma.vm_flags & ONDOL_VM_MERGEABLE);
		assert_int_equal(advise_in(fx.mm, 0, 6, UNMERGEABLE), 0);
		assert_shared(0, 0);
		assert_valid();
		for (uint64_t i = 0; i < 6; i++)
			assert_shows(fx.mm, i, 1);
		end_ksm();
	}
}

static void calls_on_merged_pages(void **state)
{
	struct ondol_mremap_args args = { .size = sizeof args, .old_addr = AT(4),
					  .flags = ONDOL_MREMAP_MAYMOVE | ONDOL_MREMAP_FIXED,
					  .old_length = 2 * PAGE, .new_addr = AT(200),
					  .new_length = 2 * PAGE };
	ondol_virt_addr_t at;

	(void)state;
	for_each_machine(k) {
		begin_on(k);
		make_merged(0, 12, 6);
		assert_int_equal(ondol_mremap(fx.mm, &args, &at), 0);
		assert_int_equal(advise_in(fx.mm, 0, 2, DONTNEED), 0);
		unmap(2, 2);
		protect(6, 2, R);
		protect(8, 2, 0);
		assert_valid();
		assert_shared(1, 7);
		protect(6, 4, RW);
		fill(fx.mm, 6, 60);
		fill(fx.mm, 8, 80);
		fill(fx.mm, 200, 20);
		assert_shared(1, 4);
		assert_int_equal(peek(0), 0);
		assert_shows(fx.mm, 201, 6);
		assert_shows(fx.mm, 6, 60);
		assert_shows(fx.mm, 7, 6);
		assert_shows(fx.mm, 8, 80);
		assert_shows(fx.mm, 9, 6);
		assert_shows(fx.mm, 11, 6);
		end_ksm();
	}
}

/* ------------------------------------------------------------------ what else shares and moves */

static void a_fork(void **state)
{
	(void)state;
	for_each_machine(k) {
		struct ondol_mm_struct *child;

		begin_on(k);
		make_merged(0, 4, 2);
		mergeable(10, 2);
		fill(fx.mm, 10, 2);
		fill(fx.mm, 11, 11);
		assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
		hw_attach(child);
		assert_shared(1, 7);
		assert_valid();
		fill(child, 1, 21);
		assert_shared(1, 6);
		assert_shows(fx.mm, 1, 2);
		assert_int_equal(scan() + scan() + scan(), 2); /* page 10 of both */
		assert_shared(1, 8);
		assert_shows(child, 10, 2);
		hw_detach(child);
		ondol_mmput(child);
		assert_shared(1, 4);
		end_ksm();
	}
}

static void swap_of_merged_pages(void **state)
{
	(void)state;
	for_each_machine(k) {
		struct ondol_mm_struct *child;

		if (machines[k].kind == HW_NONE)
			continue;
		begin_on(k);
		assert_int_equal(test_swap_add(&area, fx.m, 2000, 0), 0);
		make_merged(0, 6, 4);
		assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
		hw_attach(child);
		assert_shared(1, 11);
		page_out_of(fx.mm, 0, 4); /* one slot, and the frame is cached */
		assert_shared(1, 7);
		assert_int_equal(swap_stats().total - swap_stats().free, 1);
		assert_valid();
		/* A look finds it there still: in a region that may be written it is a copy. */
		assert_int_equal(peek_in(fx.mm, 0), 4);
		assert_shared(1, machines[k].no_write_trap ? 7 : 8);
		assert_valid();
		fill(fx.mm, 1, 41);
		page_out_of(fx.mm, 0, 6);
		page_out_of(child, 0, 6);
		assert_shared(0, 0);
		assert_valid();
		for (uint64_t i = 0; i < 6; i++) {
			assert_shows(fx.mm, i, i == 1 ? 41 : 4);
			assert_shows(child, i, 4);
		}
		/* Read back they share the frame of their slot, or are merged again. */
		scan(), scan(), scan();
		assert_shared(machines[k].no_write_trap, machines[k].no_write_trap ? 10 : 0);
		assert_int_equal(machine_stats().pages[ONDOL_PAGE_ANON], 2);
		hw_detach(child);
		ondol_mmput(child);
		end_ksm();
	}
}

static void moving_merged_pages(void **state)
{
	(void)state;
	for_each_machine(k) {
		uint64_t before;
		ondol_pfn_t pfn;

		begin_on(k);
		make_merged(0, 5, 3);
		before = frame_in(fx.mm, 0);
		pfn = ondol_pfn(before);
		assert_int_equal(ondol_alloc_contig_range(fx.m, pfn, 1, NULL), 0);
		ondol_free_pages(fx.m, ondol_pfn_to_page(fx.m, pfn), 0);
		assert_true(frame_in(fx.mm, 0) != before);
		assert_shared(1, 4);
		assert_valid();
		fill(fx.mm, 4, 40);
		assert_shared(1, 3);
		for (uint64_t i = 0; i < 4; i++)
			assert_shows(fx.mm, i, 3);
		end_ksm();
	}
}

#define N 512u

static void pages_under_a_leaf(void **state)
{
	const struct ondol_machine_desc desc = { .reclaim_mapped = true,
						 .thp = ONDOL_THP_ALWAYS };

	(void)state;
	for (unsigned kind = HW_WALKER; kind <= HW_SOFTWARE; kind++) {
		memset(&area, 0, sizeof area);
		begin_hw_desc(32, desc, kind, kind == HW_SOFTWARE, true);
		mergeable(0, 2 * N);
		for (uint64_t i = 0; i < 2 * N; i++)
			fill(fx.mm, i, i + 1);
		assert_int_equal(stats_of(fx.mm).huge_leaves, 2);
		assert_int_equal(scan() + scan() + scan(), 0);
		assert_int_equal(stats_of(fx.mm).huge_leaves, 2); /* nothing is equal */
		fill(fx.mm, 5, 1);
		assert_int_equal(scan() + scan() + scan(), 1);
		assert_shared(1, 1);
		assert_int_equal(stats_of(fx.mm).huge_leaves, 1);
		/* Not to be brought together again: each scanner would undo the other's work. */
		assert_int_equal(ondol_khugepaged(fx.m, 100000), 0);
		assert_int_equal(advise_in(fx.mm, 0, N, COLLAPSE), 0); /* who asks may */
		assert_shared(0, 0);
		assert_int_equal(stats_of(fx.mm).huge_leaves, 2);
		for (uint64_t i = 0; i < 2 * N; i++)
			assert_shows(fx.mm, i, i == 5 ? 1 : i + 1);
		end_ksm();
	}
}

/* ------------------------------------------------------------------ the port, and steps */

static enum ondol_mmu_busy busy_answer;

static enum ondol_mmu_busy busy(void *ctx, struct ondol_mm_struct *mm, ondol_virt_addr_t start,
				ondol_virt_addr_t end)
{
	(void)ctx, (void)mm, (void)start, (void)end;
	return busy_answer;
}

static void the_port_may_object(void **state)
{
	(void)state;
	begin_mib(8, HW_SOFTWARE, true, NULL);
	hw.ops.busy = busy;
	mergeable(0, 4);
	for (uint64_t i = 0; i < 4; i++)
		fill(fx.mm, i, 3);
	busy_answer = ONDOL_MMU_DATA_STAYS;
	assert_int_equal(scan() + scan() + scan(), 0);
	assert_int_equal(machine_stats().ksm_pages_scanned, 0);
	busy_answer = ONDOL_MMU_IDLE;
	assert_int_equal(scan() + scan() + scan(), 3);
	end_ksm();
}

/* Who has a hold of a frame keeps it. */
static void held_frames(void **state)
{
	struct ondol_page *held;

	(void)state;
	begin_mib(8, HW_WALKER, false, NULL);
	mergeable(0, 4);
	for (uint64_t i = 0; i < 4; i++)
		fill(fx.mm, i, 3);
	held = page_in(fx.mm, 2);
	ondol_get_page(fx.m, held);
	for (int i = 0; i < 3; i++)
		ondol_ksm_scan(fx.m, UINT64_MAX);
	assert_shared(1, 2);
	assert_ptr_equal(page_in(fx.mm, 2), held);
	ondol_put_page(fx.m, held);
	assert_valid();
	assert_int_equal(scan() + scan(), 1);
	end_ksm();
}

static void in_small_steps(void **state)
{
	struct ondol_mm_struct *other[3];
	uint64_t steps = 0;

	(void)state;
	begin_mib(8, HW_SOFTWARE, false, NULL);
	mergeable(0, 8);
	mergeable(400, 200);
	for (uint64_t i = 0; i < 8; i++)
		fill(fx.mm, i, 1);
	for (uint64_t i = 400; i < 600; i++)
		fill(fx.mm, i, i % 2);
	for (unsigned i = 0; i < 3; i++) {
		other[i] = new_mm();
		hw_attach(other[i]);
		map_at(other[i], AT(0), 4, RW, NULL, 0);
		assert_int_equal(advise_in(other[i], 0, 4, MERGEABLE), 0);
		for (uint64_t page = 0; page < 4; page++)
			fill(other[i], page, page % 2);
	}
	/* mms, regions and pages go in the middle of a round. */
	while (machine_stats().ksm_full_scans < 4) {
		ondol_ksm_scan(fx.m, 1);
		assert_valid();
		if (steps == 2 || steps == 9) {
			hw_detach(other[steps == 9]);
			ondol_mmput(other[steps == 9]);
		}
		if (steps == 5)
			unmap(450, 20);
		if (steps == 7)
			fill(fx.mm, 500, 1);
		assert_true(++steps < 1000);
	}
	assert_shared(2, 192 - 2);
	for (uint64_t i = 400; i < 600; i++)
		if (i < 450 || i >= 470)
			assert_shows(fx.mm, i, i == 500 ? 1 : i % 2);
	hw_detach(other[2]);
	ondol_mmput(other[2]);
	end_ksm();
}

/* Nobody asks any more: nothing is scanned, and nothing is kept for it. */
static void nobody_asks(void **state)
{
	(void)state;
	begin_mib(8, HW_SOFTWARE, false, NULL);
	make_merged(0, 4, 1);
	unmap(0, 4);
	scan();
	assert_false(fx.mm->mergeable);
	assert_int_equal(scan(), 0);
	assert_int_equal(machine_stats().ksm_full_scans, 4);
	assert_null(fx.m->virt->ksm->seen.chunk);
	end_ksm();
}

/* Each allocation of a scan fails, once and for good; then there is memory again. */
static void refusals(void **state)
{
	(void)state;
	for (unsigned point = ONDOL_FAIL_ALLOC_PAGES; point <= ONDOL_FAIL_SLAB; point++) {
		for (uint64_t n = 1; n < 40; n++) {
			struct ondol_fail_plan plan = { .persistent = n % 2 };

			plan.nth[point] = n;
			begin_mib(8, HW_SOFTWARE, true, NULL);
			mergeable(0, 16);
			for (uint64_t i = 0; i < 16; i++)
				fill(fx.mm, i, i / 4);
			ondol_set_fail_plan(fx.m, &plan);
			scan(), scan(), scan();
			ondol_set_fail_plan(fx.m, NULL);
			scan(), scan(), scan();
			assert_shared(4, 12);
			for (uint64_t i = 0; i < 16; i++)
				assert_shows(fx.mm, i, i / 4);
			end_ksm();
			if (!plan.failed[point])
				break;
			assert_true(n < 39);
		}
	}
}

/* ------------------------------------------------------------------ broken on purpose */

static void broken(void **state)
{
	struct ksm_state *ksm;
	struct ondol_page *page;
	uint64_t *slot;

	(void)state;
	begin_mib(8, HW_NONE, false, NULL);
	make_merged(0, 4, 1);
	ksm = fx.m->virt->ksm;
	page = page_in(fx.mm, 0);
	NAMES_WHILE_WRONG("KSM-1", ksm->nr_nodes, 2);
	NAMES_WHILE_WRONG("KSM-1", page->data.ksm, NULL);
	NAMES_WHILE_WRONG("KSM-1", page->flags, page->flags & ~ONDOL_PG_KSM);
	NAMES_WHILE_WRONG("KSM-1", page->data.ksm->page, NULL);
	NAMES_WHILE_WRONG("KSM-3", page->data.ksm->checksum, 1);
	NAMES_WHILE_WRONG("KSM-3", *(uint64_t *)ondol_page_address(fx.m, page), 77);
	NAMES_WHILE_WRONG("KSM-4", ksm->nr_maps, 5);
	slot = pgtable_find(&fx.mm->pgt, AT(2));
	NAMES_WHILE_WRONG("KSM-2", *slot, *slot | fx.mm->pgt.format->write_mask);
	unmap(0, 3); /* one entry is left */
	slot = pgtable_find(&fx.mm->pgt, AT(3));
	NAMES_WHILE_WRONG("KSM-2", *slot, *slot | fx.mm->pgt.format->write_mask);
	end_ksm();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_pages),
		cmocka_unit_test(the_last_entry),
		cmocka_unit_test(changing_pages),
		cmocka_unit_test(pages_in_use),
		cmocka_unit_test(zero_pages),
		cmocka_unit_test(equal_checksums),
		cmocka_unit_test(regions),
		cmocka_unit_test(unmerging_needs_memory),
		cmocka_unit_test(calls_on_merged_pages),
		cmocka_unit_test(a_fork),
		cmocka_unit_test(swap_of_merged_pages),
		cmocka_unit_test(moving_merged_pages),
		cmocka_unit_test(pages_under_a_leaf),
		cmocka_unit_test(the_port_may_object),
		cmocka_unit_test(held_frames),
		cmocka_unit_test(in_small_steps),
		cmocka_unit_test(nobody_asks),
		cmocka_unit_test(refusals),
		cmocka_unit_test(broken),
	};

	return cmocka_run_group_tests_name("ksm", tests, NULL, NULL);
}

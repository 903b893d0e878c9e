/* SPDX-License-Identifier: MIT */
/*
 * Anonymous memory under large leaves: who gets one, what splits it, what brings pages under one
 * again, what is told of it; on each kind of hardware, and with every allocation refused in turn.
 * Shows A4, G4.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/swap.h"

#include "support/hw_fixture.h"
#include "support/swap.h"

#define N 512u /* pages of a range; AT(0) begins one */
#define DONTNEED 4
#define HUGEPAGE 14
#define NOHUGEPAGE 15
#define PAGEOUT 21
#define COLLAPSE 25
#define GUARD_INSTALL 102

static struct test_swap area;

static void begin_thp(enum hw_kind kind, enum ondol_thp thp)
{
	const struct ondol_machine_desc desc = { .reclaim_mapped = true, .thp = thp };

	memset(&area, 0, sizeof area);
	begin_hw_desc(32, desc, kind, false, true);
}

static void end_thp(void)
{
	if (hw.kind != HW_NONE)
		hw_check(&hw, fx.mm);
	hw_detach(fx.mm);
	end();
	assert_true(!area.pages || area.released);
	test_swap_free(&area);
}

/* As the program would, through its hardware. */
static unsigned char *reach(struct ondol_mm_struct *mm, uint64_t page, uint32_t access)
{
	struct ondol_fault_result result;

	for (int tries = 0; hw.kind != HW_NONE && tries < 3; tries++) {
		unsigned char *host = hw_access(&hw, mm, (unsigned)page, access, 16);

		if (host)
			return host;
		assert_int_equal(fault_at(mm, AT(page), access, 1, &result), 0);
	}
	assert_int_equal(hw.kind, HW_NONE);
	assert_int_equal(fault_at(mm, AT(page), access, 1, &result), 0);
	return (unsigned char *)fx.toy.ram + hw_entry(&hw, mm, AT(page)).phys.value;
}

static void put_word(uint64_t page, uint64_t word)
{
	memcpy(reach(fx.mm, page, ONDOL_FAULT_WRITE), &word, sizeof word);
}

static uint64_t word_in(struct ondol_mm_struct *mm, uint64_t page)
{
	uint64_t word;

	memcpy(&word, reach(mm, page, ONDOL_FAULT_READ), sizeof word);
	return word;
}

static bool is_large(uint64_t page)
{
	return hw_is_large(&hw, fx.mm, AT(page));
}

static uint64_t frame_of(uint64_t page)
{
	struct ondol_pte_view e = hw_entry(&hw, fx.mm, AT(page));

	assert_true(e.present);
	return ondol_phys_to_pfn(e.phys).value;
}

static int advise(uint64_t page, uint64_t pages, int advice)
{
	return ondol_madvise(fx.mm, AT(page), pages * PAGE, advice);
}

/* A range, each page of which has its number plus one. */
static void make_range(uint64_t page)
{
	map(page, N, RW);
	for (uint64_t i = page; i < page + N; i++)
		put_word(i, i + 1);
	assert_valid();
}

static void assert_range(uint64_t page)
{
	assert_valid();
	for (uint64_t i = page; i < page + N; i++)
		assert_int_equal(word_in(fx.mm, i), i + 1);
	assert_valid();
}

/* ------------------------------------------------------------------ faults */

static void first_touch_on(enum hw_kind kind)
{
	struct ondol_tlb_run run;
	uint64_t frame;

	begin_thp(kind, ONDOL_THP_ALWAYS);
	map(0, 2 * N + 7, RW);
	assert_int_equal(touch_around(N + 3, ONDOL_FAULT_READ, 1).nr_pages, N);
	assert_true(is_large(N) && is_large(2 * N - 1) && !is_large(N - 1));
	frame = frame_of(N);
	assert_int_equal(frame % N, 0);
	for (uint64_t i = N; i < 2 * N; i++) {
		assert_int_equal(frame_of(i), frame + i - N);
		assert_int_equal(peek(i), 0);
	}
	assert_int_equal(rss_of(fx.mm), N);
	assert_int_equal(stats_of(fx.mm).huge_leaves, 1);
	assert_int_equal(machine_stats().thp_fault_alloc, 1);
	if (kind == HW_SOFTWARE) { /* in one piece, whatever the window */
		assert_int_equal(ondol_tlb_fill(fx.mm, AT(N + 9), ONDOL_FAULT_WRITE, 16, &run), 0);
		assert_int_equal(run.start, AT(N));
		assert_int_equal(run.nr_pages, N);
		assert_int_equal(run.pfn.value, frame);
		ondol_tlb_evicted(fx.mm, AT(N), AT(2 * N));
	}
	put_word(N + 5, 4711);
	assert_int_equal(word_in(fx.mm, N + 5), 4711);
	assert_int_equal(touch(N + 6, ONDOL_FAULT_WRITE), ONDOL_FAULT_SPURIOUS);
	/* What is left of the region is smaller than a range. */
	assert_int_equal(touch_around(2 * N + 1, ONDOL_FAULT_WRITE, 1).nr_pages, 1);
	end_thp();
}

static void first_touch(void **state)
{
	(void)state;
	first_touch_on(HW_NONE);
	first_touch_on(HW_WALKER);
	first_touch_on(HW_SOFTWARE);
}

static void who_wants_it(void **state)
{
	(void)state;
	begin_thp(HW_NONE, ONDOL_THP_NEVER);
	map(0, N, RW);
	assert_int_equal(advise(0, N, HUGEPAGE), 0);
	assert_int_equal(touch_around(0, ONDOL_FAULT_WRITE, 1).nr_pages, 1);
	end_thp();

	begin_thp(HW_NONE, ONDOL_THP_MADVISE);
	map(0, 2 * N, RW);
	assert_int_equal(touch_around(0, ONDOL_FAULT_WRITE, 1).nr_pages, 1);
	assert_int_equal(advise(N, N, HUGEPAGE), 0);
	assert_int_equal(touch_around(N, ONDOL_FAULT_WRITE, 1).nr_pages, N);
	end_thp();

	begin_thp(HW_NONE, ONDOL_THP_ALWAYS);
	map(0, 2 * N, RW);
	assert_int_equal(advise(0, N, NOHUGEPAGE), 0);
	assert_int_equal(touch_around(0, ONDOL_FAULT_WRITE, 1).nr_pages, 1);
	ondol_mm_set_thp_disabled(fx.mm, true);
	assert_true(ondol_mm_thp_disabled(fx.mm));
	assert_int_equal(touch_around(N, ONDOL_FAULT_WRITE, 1).nr_pages, 1);
	ondol_mm_set_thp_disabled(fx.mm, false);
	/* There is a page in the range already; when it has gone there is none. */
	assert_int_equal(touch_around(N + 1, ONDOL_FAULT_WRITE, 1).nr_pages, 1);
	assert_int_equal(advise(N, N, DONTNEED), 0);
	assert_int_equal(touch_around(N + 1, ONDOL_FAULT_WRITE, 1).nr_pages, N);
	map(2 * N, N, RW | S); /* shared memory is a file's */
	assert_int_equal(touch_around(2 * N, ONDOL_FAULT_WRITE, 1).nr_pages, 1);
	end_thp();
}

/* No block: small pages, and it is counted. */
static void without_a_block(void **state)
{
	struct ondol_page *page[64];
	uint32_t n = 0;

	(void)state;
	begin_thp(HW_NONE, ONDOL_THP_ALWAYS);
	while ((page[n] = ondol_alloc_pages(fx.m, ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_NOWARN,
					    9)))
		n++;
	map(0, N, RW);
	assert_int_equal(touch_around(0, ONDOL_FAULT_WRITE, 1).nr_pages, 1);
	assert_int_equal(machine_stats().thp_fault_fallback, 1);
	assert_int_equal(machine_stats().thp_fault_alloc, 0);
	while (n)
		ondol_free_pages(fx.m, page[--n], 9);
	end_thp();
}

/* ------------------------------------------------------------------ split */

static void zapped_on(enum hw_kind kind)
{
	uint64_t tables;

	begin_thp(kind, ONDOL_THP_ALWAYS);
	make_range(0);
	tables = stats_of(fx.mm).pgtables_bytes;
	/* As a whole: the leaf goes with its shadow, and the next touch makes another. */
	assert_int_equal(advise(0, N, DONTNEED), 0);
	assert_int_equal(rss_of(fx.mm), 0);
	assert_int_equal(stats_of(fx.mm).pgtables_bytes, tables - PAGE);
	assert_int_equal(machine_stats().thp_splits, 0);
	assert_valid();
	put_word(7, 1);
	assert_true(is_large(0));
	/* In part: the other pages stay where they are. */
	uint64_t frame = frame_of(7);

	assert_int_equal(advise(8, 8, DONTNEED), 0);
	assert_false(is_large(0));
	assert_int_equal(machine_stats().thp_splits, 1);
	assert_int_equal(rss_of(fx.mm), N - 8);
	assert_int_equal(frame_of(7), frame);
	assert_int_equal(word_in(fx.mm, 7), 1);
	assert_int_equal(word_in(fx.mm, 8), 0);
	assert_valid();
	unmap(0, N);
	make_range(0);
	unmap(N - 1, 1);
	assert_int_equal(rss_of(fx.mm), N - 1);
	assert_valid();
	unmap(0, N);
	assert_int_equal(frames(ONDOL_PAGE_ANON), 0);
	end_thp();
}

static void zapped(void **state)
{
	(void)state;
	zapped_on(HW_NONE);
	zapped_on(HW_WALKER);
	zapped_on(HW_SOFTWARE);
}

static void protected_on(enum hw_kind kind)
{
	begin_thp(kind, ONDOL_THP_ALWAYS);
	make_range(0);
	protect(100, 50, R);
	assert_false(is_large(0));
	assert_int_equal(refusal(AT(100), ONDOL_FAULT_WRITE), -ONDOL_EACCES);
	assert_range(0);
	protect(100, 50, RW);
	put_word(100, 101);
	assert_range(0);
	/* As a whole, where no region is cut. */
	unmap(0, N);
	make_range(0);
	protect(0, N, R);
	assert_int_equal(refusal(AT(7), ONDOL_FAULT_WRITE), -ONDOL_EACCES);
	assert_range(0);
	protect(0, N, RW);
	put_word(7, 8);
	assert_range(0);
	/* A region that is cut inside the range, with the same rights. */
	unmap(0, N);
	make_range(0);
	assert_int_equal(advise(0, 100, 16 /* DONTDUMP */), 0);
	assert_false(is_large(0));
	assert_range(0);
	end_thp();
}

static void protected_in_part(void **state)
{
	(void)state;
	protected_on(HW_NONE);
	protected_on(HW_WALKER);
	protected_on(HW_SOFTWARE);
}

static void moved_on(enum hw_kind kind)
{
	struct ondol_mremap_args args = { .size = sizeof args, .old_addr = AT(0),
					  .old_length = N * PAGE, .new_length = N * PAGE,
					  .new_addr = AT(N + 3),
					  .flags = ONDOL_MREMAP_MAYMOVE | ONDOL_MREMAP_FIXED };
	ondol_virt_addr_t at;

	begin_thp(kind, ONDOL_THP_ALWAYS);
	make_range(0);
	assert_int_equal(ondol_mremap(fx.mm, &args, &at), 0);
	assert_valid();
	for (uint64_t i = 0; i < N; i++)
		assert_int_equal(word_in(fx.mm, N + 3 + i), i + 1);
	assert_int_equal(stats_of(fx.mm).huge_leaves, 0);
	end_thp();
}

static void moved(void **state)
{
	(void)state;
	moved_on(HW_NONE);
	moved_on(HW_WALKER);
	moved_on(HW_SOFTWARE);
}

/* Both have small pages then; a write copies one of them. */
static void forked_on(enum hw_kind kind)
{
	struct ondol_mm_struct *child;

	begin_thp(kind, ONDOL_THP_ALWAYS);
	ondol_mm_set_thp_disabled(fx.mm, true);
	make_range(N);
	ondol_mm_set_thp_disabled(fx.mm, false);
	make_range(0);
	assert_true(is_large(0) && !is_large(N));
	ondol_mm_set_thp_disabled(fx.mm, true);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
	assert_true(ondol_mm_thp_disabled(child));
	assert_valid();
	assert_false(is_large(0));
	put_word(3, 4711);
	assert_int_equal(word_in(child, 3), 4);
	assert_int_equal(word_in(fx.mm, 3), 4711);
	put_word(3, 4);
	hw_detach(child);
	ondol_mmput(child);
	assert_range(0);
	end_thp();
}

static void forked(void **state)
{
	(void)state;
	forked_on(HW_NONE);
	forked_on(HW_WALKER);
	forked_on(HW_SOFTWARE);
}

/* To swap go the pages that are asked for, and the others keep their frames. */
static void swapped_on(enum hw_kind kind)
{
	uint64_t frame;

	begin_thp(kind, ONDOL_THP_ALWAYS);
	assert_int_equal(test_swap_add(&area, fx.m, 2000, 0), 0);
	make_range(0);
	frame = frame_of(0);
	assert_int_equal(advise(64, 64, PAGEOUT), 0);
	assert_int_equal(stats_of(fx.mm).swap, 64);
	assert_false(is_large(0));
	assert_int_equal(frame_of(0), frame);
	assert_range(0);
	/* Back from swap and under a leaf again. */
	assert_int_equal(advise(128, 64, PAGEOUT), 0);
	assert_int_equal(advise(0, N, COLLAPSE), 0);
	assert_true(is_large(0));
	assert_int_equal(stats_of(fx.mm).swap, 0);
	assert_range(0);
	end_thp();
}

static void swapped(void **state)
{
	(void)state;
	swapped_on(HW_NONE);
	swapped_on(HW_WALKER);
	swapped_on(HW_SOFTWARE);
}

/* Its frames are wanted: they move one by one. */
static void evacuated(void **state)
{
	uint64_t frame;

	(void)state;
	begin_thp(HW_SOFTWARE, ONDOL_THP_ALWAYS);
	make_range(0);
	frame = frame_of(0);
	assert_int_equal(ondol_alloc_contig_range(fx.m, ondol_pfn(frame + 8), 8, NULL), 0);
	assert_true(frame_of(8) != frame + 8);
	assert_int_equal(frame_of(16), frame + 16);
	assert_range(0);
	ondol_free_pages_exact(fx.m, ondol_pfn_to_page(fx.m, ondol_pfn(frame + 8)), 8);
	assert_int_equal(ondol_move_page(fx.mm, AT(0), 0, false), 0);
	end_thp();
}

/* ------------------------------------------------------------------ collapse */

static void collapsed_on(enum hw_kind kind)
{
	struct ondol_machine_stats s;
	uint64_t frame;

	begin_thp(kind, ONDOL_THP_MADVISE);
	make_range(0); /* page by page: in no block */
	assert_false(is_large(0));
	assert_int_equal(advise(0, N, COLLAPSE), 0);
	assert_true(is_large(0));
	assert_range(0);
	assert_int_equal(advise(0, N, COLLAPSE), 0);
	/* Split and nothing else: it is one block still, and stays where it is. */
	frame = frame_of(0);
	protect(0, 1, R);
	protect(0, 1, RW);
	put_word(0, 1);
	assert_false(is_large(0));
	assert_int_equal(advise(0, N, COLLAPSE), 0);
	assert_int_equal(frame_of(0), frame);
	assert_true(is_large(0));
	assert_range(0);
	/* What is absent is zero afterwards, and counted. */
	assert_int_equal(advise(10, 100, DONTNEED), 0);
	assert_int_equal(rss_of(fx.mm), N - 100);
	assert_int_equal(advise(0, N, COLLAPSE), 0);
	assert_int_equal(rss_of(fx.mm), N);
	assert_int_equal(word_in(fx.mm, 10), 0);
	assert_int_equal(word_in(fx.mm, 110), 111);
	s = machine_stats();
	assert_int_equal(s.thp_collapse_alloc, 3);
	assert_int_equal(s.thp_splits, 2);
	assert_int_equal(s.huge_leaves, 1);
	end_thp();
}

static void collapsed(void **state)
{
	(void)state;
	collapsed_on(HW_NONE);
	collapsed_on(HW_WALKER);
	collapsed_on(HW_SOFTWARE);
}

/* What a fork shares is copied: the child keeps its own. */
static void collapsed_after_fork(void **state)
{
	struct ondol_mm_struct *child;

	(void)state;
	begin_thp(HW_SOFTWARE, ONDOL_THP_MADVISE);
	make_range(0);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
	put_word(5, 6); /* one page is writable: Linux wants that */
	assert_int_equal(advise(0, N, COLLAPSE), 0);
	assert_true(is_large(0));
	put_word(9, 4711);
	assert_int_equal(word_in(child, 9), 10);
	put_word(9, 10);
	hw_detach(child);
	ondol_mmput(child);
	assert_range(0);
	end_thp();
}

static enum ondol_mmu_busy all_busy(void *ctx, struct ondol_mm_struct *mm,
				    ondol_virt_addr_t start, ondol_virt_addr_t end)
{
	(void)ctx, (void)mm, (void)start, (void)end;
	return ONDOL_MMU_DATA_STAYS;
}

static void collapse_refused(void **state)
{
	struct ondol_page *page, *block[64];
	uint32_t n = 0;

	(void)state;
	begin_thp(HW_SOFTWARE, ONDOL_THP_MADVISE);
	assert_int_equal(advise(0, N, COLLAPSE), -ONDOL_ENOMEM); /* a hole */
	map(0, N + 8, RW);
	assert_int_equal(advise(0, N, COLLAPSE), -ONDOL_EINVAL); /* nothing is there */
	touch(3, ONDOL_FAULT_WRITE);
	assert_int_equal(advise(N, 8, COLLAPSE), 0);             /* no range in it */
	assert_int_equal(advise(1, 8, COLLAPSE), -ONDOL_EINVAL); /* inside of one */
	map(2 * N + 1, N, RW);
	touch(2 * N + 1, ONDOL_FAULT_WRITE);
	assert_int_equal(advise(2 * N + 1, N, COLLAPSE), -ONDOL_EINVAL); /* a region without */
	page = ondol_pfn_to_page(fx.m, ondol_pfn(frame_of(3)));
	ondol_get_page(fx.m, page); /* somebody has a hold of it */
	assert_int_equal(advise(0, N, COLLAPSE), -ONDOL_EAGAIN);
	ondol_put_page(fx.m, page);
	hw.ops.busy = all_busy;
	assert_int_equal(advise(0, N, COLLAPSE), -ONDOL_EAGAIN);
	hw.ops.busy = NULL;
	while ((block[n] = ondol_alloc_pages(fx.m, ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_NOWARN,
					     9)))
		n++;
	assert_int_equal(advise(0, N, COLLAPSE), -ONDOL_ENOMEM);
	assert_int_equal(machine_stats().thp_collapse_failed, 1);
	while (n)
		ondol_free_pages(fx.m, block[--n], 9);
	assert_int_equal(advise(7, 1, GUARD_INSTALL), 0);
	assert_int_equal(advise(0, N, COLLAPSE), -ONDOL_EINVAL);
	assert_int_equal(advise(0, N, DONTNEED), 0);
	assert_int_equal(advise(0, N, NOHUGEPAGE), 0);
	assert_int_equal(advise(0, N, COLLAPSE), -ONDOL_EINVAL);
	end_thp();
}

/* Linux's thread: what was touched before it could be a block, where nearly all is there. */
static void by_khugepaged(void **state)
{
	(void)state;
	begin_thp(HW_SOFTWARE, ONDOL_THP_ALWAYS);
	ondol_mm_set_thp_disabled(fx.mm, true);
	make_range(0);
	make_range(N);
	assert_int_equal(advise(3, 1, DONTNEED), 0);
	assert_int_equal(advise(N, N / 2, DONTNEED), 0);
	assert_int_equal(ondol_khugepaged(fx.m, 100000), 0); /* it does not want them */
	ondol_mm_set_thp_disabled(fx.mm, false);
	assert_int_equal(ondol_khugepaged(fx.m, 512), 1);
	assert_true(is_large(0));
	assert_int_equal(ondol_khugepaged(fx.m, 100000), 0); /* half of it is too little */
	assert_false(is_large(N));
	put_word(3, 4);
	for (uint64_t i = N; i < N + N / 2; i++)
		put_word(i, i + 1);
	assert_int_equal(ondol_khugepaged(fx.m, 100000), 1);
	assert_true(is_large(N));
	assert_range(0);
	assert_range(N);
	end_thp();
}

/* ------------------------------------------------------------------ told, checked, refused */

struct text {
	char bytes[65536];
	size_t used;
};

static int text_add(void *ctx, const char *text, size_t size)
{
	struct text *t = ctx;

	assert_true(t->used + size < sizeof t->bytes);
	memcpy(t->bytes + t->used, text, size);
	t->used += size;
	t->bytes[t->used] = 0;
	return 0;
}

static void assert_says(struct text *t, const char *line)
{
	if (!strstr(t->bytes, line))
		fail_msg("no \"%s\" in\n%s", line, t->bytes);
	t->used = 0;
}

static void told(void **state)
{
	static struct text t;

	(void)state;
	begin_thp(HW_NONE, ONDOL_THP_ALWAYS);
	make_range(0);
	assert_int_equal(ondol_proc_smaps(fx.mm, text_add, &t), 0);
	assert_says(&t, "AnonHugePages:      2048 kB\n");
	assert_int_equal(ondol_proc_meminfo(fx.m, text_add, &t), 0);
	assert_says(&t, "AnonHugePages:      2048 kB\n");
	protect(0, 1, R);
	assert_int_equal(ondol_proc_vmstat(fx.m, text_add, &t), 0);
	assert_non_null(strstr(t.bytes, "\nthp_fault_alloc 1\n"));
	assert_non_null(strstr(t.bytes, "\nthp_split_page 1\n"));
	assert_says(&t, "\nnr_anon_transparent_hugepages 0\n");
	end_thp();
}

static void assert_broken(const char *id)
{
	struct ondol_broken_invariant b;

	assert_int_equal(ondol_mm_validate(fx.mm, &b), -ONDOL_EUCLEAN);
	assert_string_equal(b.id, id);
}

/* [PGTABLE-5] */
static void validated(void **state)
{
	const struct ondol_pgtable_format *f = &ondol_pgtable_x86_64;
	uint64_t *leaf, *entry, was;

	(void)state;
	begin_thp(HW_NONE, ONDOL_THP_ALWAYS);
	make_range(0);
	leaf = pgtable_huge_find(&fx.mm->pgt, AT(9));
	entry = pgtable_find(&fx.mm->pgt, AT(9));
	assert_non_null(leaf);
	was = *leaf;
	*leaf &= ~f->write_mask;
	assert_broken("PGTABLE-5");
	*leaf = was;
	was = *entry;
	*entry &= ~f->write_mask;
	assert_broken("PGTABLE-5");
	*entry = was;
	fx.mm->pgt.nr_huge++;
	assert_broken("PGTABLE-5");
	fx.mm->pgt.nr_huge--;
	end_thp();
}

static bool try_word(uint64_t page, uint64_t word)
{
	return !ondol_copy_to_user(fx.mm, AT(page), &word, sizeof word);
}

/* A life with leaves; each call is done or is refused for want of memory. */
static void live(void)
{
	struct ondol_mm_struct *child = NULL;
	uint64_t at;
	int r = try_map(fx.mm, AT(0), 2 * N, RW, ONDOL_MAP_FIXED, NULL, 0, &at);

	assert_true(!r || r == -ONDOL_ENOMEM);
	if (r)
		return;
	for (uint64_t i = 0; i < 2 * N; i += 64)
		try_word(i, i + 1);
	r = ondol_dup_mm(fx.mm, true, &child);
	assert_true(!r || r == -ONDOL_ENOMEM);
	assert_valid();
	if (!r) {
		try_word(64, 4711);
		assert_valid();
		ondol_mmput(child);
	}
	r = advise(0, 2 * N, COLLAPSE);
	assert_true(!r || r == -ONDOL_ENOMEM || r == -ONDOL_EINVAL);
	assert_valid();
	r = advise(100, 1, NOHUGEPAGE);
	assert_true(!r || r == -ONDOL_EAGAIN);
	r = ondol_mprotect(fx.mm, AT(N + 1), PAGE, R, false);
	assert_true(!r || r == -ONDOL_ENOMEM);
	r = advise(N, N, DONTNEED);
	assert_int_equal(r, 0);
	try_word(N, 5);
	assert_valid();
	r = ondol_munmap(fx.mm, AT(3), PAGE);
	assert_true(!r || r == -ONDOL_ENOMEM);
	assert_valid();
}

static void nth_refused(void **state)
{
	(void)state;
	for (int persistent = 0; persistent < 2; persistent++)
		for (unsigned point = ONDOL_FAIL_ALLOC_PAGES; point <= ONDOL_FAIL_SLAB; point++) {
			struct ondol_fail_plan plan = { .persistent = persistent };

			plan.failed[point] = 1;
			for (uint64_t n = 1; plan.failed[point]; n++) {
				begin_thp(HW_NONE, ONDOL_THP_ALWAYS);
				plan = (struct ondol_fail_plan){ .persistent = persistent };
				plan.nth[point] = n;
				ondol_set_fail_plan(fx.m, &plan);
				live();
				ondol_set_fail_plan(fx.m, NULL);
				end_thp();
				assert_true(n < 2000);
			}
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_touch),
		cmocka_unit_test(who_wants_it),
		cmocka_unit_test(without_a_block),
		cmocka_unit_test(zapped),
		cmocka_unit_test(protected_in_part),
		cmocka_unit_test(moved),
		cmocka_unit_test(forked),
		cmocka_unit_test(swapped),
		cmocka_unit_test(evacuated),
		cmocka_unit_test(collapsed),
		cmocka_unit_test(collapsed_after_fork),
		cmocka_unit_test(collapse_refused),
		cmocka_unit_test(by_khugepaged),
		cmocka_unit_test(told),
		cmocka_unit_test(validated),
		cmocka_unit_test(nth_refused),
	};

	return cmocka_run_group_tests_name("huge", tests, NULL, NULL);
}

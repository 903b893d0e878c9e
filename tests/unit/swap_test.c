/* SPDX-License-Identifier: MIT */
/*
 * Swap: private pages go and come back on each kind of hardware and format; shared ones take
 * their frame with them when the last entry goes; errors; areas; compression; what is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/hardware.h"
#include "support/mm_fixture.h"
#include "support/swap.h"

#include "virt/swap.h"

#define PAGEOUT 21
#define DONTNEED 4

static struct hw hw;
static struct test_swap area;

static void hardware_broken(void *ctx, const char *text)
{
	(void)ctx;
	fail_msg("[MMU-1] %s", text);
}

/* A machine of so many MiB without swap. */
static void begin_mib(uint64_t mib, enum hw_kind kind, bool no_write_trap,
		      const struct ondol_profile *profile)
{
	struct ondol_mem_region all = { .end = { mib << 20 }, .type = ONDOL_MEM_USABLE };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &all, .nr_regions = 1,
					   .nr_nodes = 1, .nr_cpus = 1, .reclaim_mapped = true,
					   .profile = profile };

	memset(&fx, 0, sizeof fx);
	memset(&hw, 0, sizeof hw);
	memset(&area, 0, sizeof area);
	desc.mmu = hw_init(&hw, kind, no_write_trap, true);
	desc.mmu_ctx = &hw;
	hw.report = hardware_broken;
	hw.first = AT(0) / PAGE;
	hw.format = (profile ? profile : &ondol_profile_x86_64)->format;
	hw.port = &fx.toy.port;
	assert_int_equal(toy_init(&fx.toy, &desc), 0);
	fx.m = hw.m = fx.toy.m;
	fx.mm = new_mm();
	hw_attach(fx.mm);
}

static void begin_swap(enum hw_kind kind)
{
	begin_mib(4, kind, false, NULL);
	assert_int_equal(test_swap_add(&area, fx.m, 2000, 0), 0);
}

static void end_swap(void)
{
	hw_detach(fx.mm);
	end();
	assert_true(!area.pages || area.released);
	test_swap_free(&area);
}

static struct ondol_swap_stats swap_stats(void)
{
	struct ondol_swap_stats s;

	ondol_swap_stats(fx.m, &s);
	return s;
}

/* As the program would, through its hardware. */
static unsigned char *reach(struct ondol_mm_struct *mm, uint64_t page, uint32_t access)
{
	unsigned char *host = NULL;

	for (int tries = 0; tries < 3; tries++) {
		struct ondol_fault_result result;

		host = hw_access(&hw, mm, (unsigned)page, access, 16);
		if (host)
			return host;
		assert_int_equal(fault_at(mm, AT(page), access, 16, &result), 0);
	}
	fail_msg("page %llu does not come", (unsigned long long)page);
	return host;
}

static void store(struct ondol_mm_struct *mm, uint64_t page, uint64_t word)
{
	uint64_t *to = (uint64_t *)reach(mm, page, ONDOL_FAULT_WRITE);

	to[0] = word;
	to[511] = ~word;
}

static void assert_word(struct ondol_mm_struct *mm, uint64_t page, uint64_t word)
{
	const uint64_t *from = (uint64_t *)reach(mm, page, ONDOL_FAULT_READ);

	assert_int_equal(from[0], word);
	assert_int_equal(from[511], ~word);
}

static void page_out_of(struct ondol_mm_struct *mm, uint64_t page, uint64_t pages)
{
	assert_int_equal(ondol_madvise(mm, AT(page), pages * PAGE, PAGEOUT), 0);
}

static uint64_t entry(struct ondol_mm_struct *mm, uint64_t page)
{
	void *slot = pgtable_find(&mm->pgt, AT(page));

	return slot ? pte_get(&mm->pgt, slot) : 0;
}

static bool in_swap(struct ondol_mm_struct *mm, uint64_t page)
{
	return pte_is_swap(mm, entry(mm, page));
}

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

/* Locked, shared and device memory stays. */
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
	for (uint64_t page = 0; page < 24; page++)
		assert_word(fx.mm, page, page);
	end_swap();
}

static bool busy_answer;
static uint64_t busy_start, busy_end;

static bool always_busy(void *ctx, struct ondol_mm_struct *mm, ondol_virt_addr_t start,
			ondol_virt_addr_t end)
{
	(void)ctx;
	(void)mm;
	busy_start = start;
	busy_end = end;
	return busy_answer;
}

static void the_port_may_object(void **state)
{
	(void)state;
	begin_swap(HW_SOFTWARE);
	hw.ops.busy = always_busy;
	map(0, 4, RW);
	store(fx.mm, 2, 2);
	busy_answer = true;
	page_out_of(fx.mm, 0, 4);
	assert_false(in_swap(fx.mm, 2));
	assert_true(busy_start <= AT(2) && AT(3) <= busy_end);
	busy_answer = false;
	page_out_of(fx.mm, 0, 4);
	assert_true(in_swap(fx.mm, 2));
	end_swap();
}

/* ------------------------------------------------------------------ a fork's pages */

/* The table at the top of swap.c, line by line. */
static void shared_by_a_fork(void **state)
{
	struct ondol_mm_struct *child;
	struct ondol_page *frame;

	(void)state;
	begin_swap(HW_WALKER);
	map(0, 1, RW);
	store(fx.mm, 0, 77);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
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
	hw_detach(child);
	ondol_mmput(child);
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
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
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
	hw_detach(child);
	ondol_mmput(child);
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
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
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
	hw_detach(child);
	ondol_mmput(child);
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
	assert_int_equal(touch_around(9, ONDOL_FAULT_WRITE, 16).nr_pages, 8);
	assert_int_equal(area.reads, 9);
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
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
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
	hw_detach(child);
	ondol_mmput(child);
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
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
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
	hw_detach(child);
	ondol_mmput(child);
	end_swap();
}

/* ------------------------------------------------------------------ areas */

static void adding_areas(void **state)
{
	struct ondol_swap_ops ops = { .size = sizeof ops, .read_page = test_swap_read,
				      .write_page = test_swap_write };
	struct ondol_swap_args args = { .size = sizeof args, .name = "x", .nr_pages = 10,
					.ops = &ops, .ctx = &area };
	struct ondol_swap_args bad;

	(void)state;
	begin_mib(4, HW_NONE, false, &ondol_profile_i386_2_4);
#define REFUSED(change)                                                                       \
	do {                                                                                  \
		bad = args;                                                                   \
		change;                                                                       \
		assert_int_equal(ondol_swap_add(fx.m, &bad), -ONDOL_EINVAL);                  \
	} while (0)
	REFUSED(bad.size = 0);
	REFUSED(bad.name = NULL);
	REFUSED(bad.nr_pages = 0);
	REFUSED(bad.ops = NULL);
	REFUSED(bad.nr_pages = 1 << 20); /* more than 20 bits can number */
	assert_int_equal(ondol_zram_add(fx.m, 0, 0), -ONDOL_EINVAL);
	assert_int_equal(ondol_zram_add(fx.m, UINT64_C(1) << 40, 0), -ONDOL_ENOMEM);
	bad = args;
	bad.nr_pages = 1000000; /* 8 MB of records on a machine of 4 MiB */
	assert_int_equal(ondol_swap_add(fx.m, &bad), -ONDOL_ENOMEM);
	for (unsigned i = 0; i < ONDOL_SWAP_AREAS_MAX; i++)
		assert_int_equal(ondol_swap_add(fx.m, &args), 0);
	assert_int_equal(ondol_swap_add(fx.m, &args), -ONDOL_EBUSY);
	assert_int_equal(ondol_zram_add(fx.m, 10, 0), -ONDOL_EBUSY);
	assert_int_equal(swap_stats().total, 80);
	end_swap();
}

static void only_where_one_thread_runs(void **state)
{
	(void)state;
	begin();
	assert_int_equal(test_swap_add(&area, fx.m, 10, 0), -ONDOL_EINVAL);
	assert_int_equal(ondol_zram_add(fx.m, 10, 0), -ONDOL_EINVAL);
	test_swap_free(&area);
	end();
}

/* Each allocation of adding areas, failing in turn: nothing is left behind. */
static void adding_without_memory(void **state)
{
	bool failed = true;

	(void)state;
	for (uint64_t n = 1; failed; n++) {
		struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_ALLOC_PAGES] = n };
		int r;

		begin_mib(4, HW_NONE, false, NULL);
		ondol_set_fail_plan(fx.m, &plan);
		r = ondol_zram_add(fx.m, 1000, 1);
		if (!r)
			r = test_swap_add(&area, fx.m, 1000, 0);
		ondol_set_fail_plan(fx.m, NULL);
		failed = plan.failed[ONDOL_FAIL_ALLOC_PAGES];
		assert_int_equal(r, failed ? -ONDOL_ENOMEM : 0);
		area.released |= r != 0;
		end_swap();
	}
}

static void by_priority(void **state)
{
	struct test_swap low, high;

	(void)state;
	begin_mib(4, HW_SOFTWARE, true, NULL);
	assert_int_equal(test_swap_add(&low, fx.m, 10, -1), 0);
	assert_int_equal(test_swap_add(&high, fx.m, 3, 5), 0);
	map(0, 6, RW);
	for (uint64_t page = 0; page < 6; page++)
		poke(page, page);
	page_out_of(fx.mm, 0, 6);
	assert_int_equal(high.nr_used, 3);
	assert_int_equal(low.nr_used, 3);
	assert_valid();
	for (uint64_t page = 0; page < 6; page++)
		assert_int_equal(peek(page), page);
	assert_int_equal(high.nr_used + low.nr_used, 0);
	end_swap();
	test_swap_free(&low);
	test_swap_free(&high);
}

/* ------------------------------------------------------------------ compressed */

static void noise(void *page)
{
	static uint64_t seed = 88172645463325252u;
	uint64_t *word = page;

	for (unsigned i = 0; i < 512; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		word[i] = seed;
	}
}

static void compressed(void **state)
{
	static unsigned char random[PAGE], text[PAGE], got[PAGE];
	struct ondol_swap_stats s;

	(void)state;
	begin_mib(4, HW_SOFTWARE, true, NULL);
	assert_int_equal(ondol_zram_add(fx.m, 1000, 0), 0);
	map(0, 8, RW);
	noise(random);
	for (unsigned i = 0; i < PAGE; i++)
		text[i] = "a page of text compresses well; "[i % 32];
	memset(got, 0x5a, PAGE);
	assert_int_equal(ondol_copy_to_user(fx.mm, AT(0), random, PAGE), 0);
	assert_int_equal(ondol_copy_to_user(fx.mm, AT(1), text, PAGE), 0);
	assert_int_equal(ondol_copy_to_user(fx.mm, AT(2), got, PAGE), 0);
	assert_int_equal(peek(3), 0);
	page_out_of(fx.mm, 0, 8);
	s = swap_stats();
	assert_false(in_swap(fx.mm, 0)); /* noise stays */
	assert_int_equal(s.zram_pages, 3);
	assert_int_equal(s.zram_same, 2);
	assert_int_equal(s.zram_refused, 1);
	assert_in_range(s.zram_bytes, 30, 200);
	assert_int_equal(s.zram_bytes_used, PAGE); /* one object, one zspage */
	assert_valid();
	assert_int_equal(ondol_copy_from_user(fx.mm, got, AT(1), PAGE), 0);
	assert_memory_equal(got, text, PAGE);
	assert_int_equal(ondol_copy_from_user(fx.mm, got, AT(2), PAGE), 0);
	for (unsigned i = 0; i < PAGE; i++)
		assert_int_equal(got[i], 0x5a);
	assert_int_equal(ondol_copy_from_user(fx.mm, got, AT(0), PAGE), 0);
	assert_memory_equal(got, random, PAGE);
	unmap(0, 8);
	s = swap_stats();
	assert_int_equal(s.zram_pages + s.zram_same + s.zram_bytes + s.zram_bytes_used, 0);
	end_swap();
}

/* Twice the memory, of pages that compress to a third; then more than can be: refused, in time. */
static void compressed_under_pressure(void **state)
{
	struct ondol_fault_result result;
	static unsigned char page_of[PAGE];
	uint64_t page = 0;

	(void)state;
	begin_mib(2, HW_SOFTWARE, true, NULL);
	assert_int_equal(ondol_zram_add(fx.m, 2000, 0), 0);
	map(0, HW_PAGES, RW);
	for (; page < HW_PAGES; page++) {
		if (fault_at(fx.mm, AT(page), ONDOL_FAULT_WRITE, 1, &result))
			break;
		noise(page_of);
		memset(page_of + PAGE / 3, 1, PAGE - PAGE / 3);
		assert_int_equal(ondol_copy_to_user(fx.mm, AT(page), page_of, PAGE), 0);
		poke(page, page);
		if (page == 600) {
			for (uint64_t i = 0; i <= page; i++)
				assert_int_equal(peek(i), i);
			assert_valid();
		}
	}
	assert_in_range(page, 700, HW_PAGES - 1); /* of 512 frames, some 400 for data */
	assert_valid();
	unmap(page - 200, 200);
	for (uint64_t i = 0; i < page - 200; i++)
		assert_int_equal(peek(i), i);
	end_swap();
}

/* ------------------------------------------------------------------ texts */

static char text[4096];

static int append(void *ctx, const char *piece, size_t size)
{
	size_t *used = ctx;

	assert_true(*used + size < sizeof text);
	memcpy(text + *used, piece, size);
	*used += size;
	text[*used] = 0;
	return 0;
}

static void what_is_told(void **state)
{
	size_t used = 0;

	(void)state;
	begin_mib(4, HW_SOFTWARE, true, NULL);
	assert_int_equal(ondol_proc_swaps(fx.m, append, &used), 0);
	assert_string_equal(text, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	assert_int_equal(test_swap_add(&area, fx.m, 256, -2), 0);
	assert_int_equal(ondol_zram_add(fx.m, 16, 100), 0);
	map(0, 4, RW);
	poke(0, 1);
	poke(1, 1);
	page_out_of(fx.mm, 0, 4);
	used = 0;
	assert_int_equal(ondol_proc_swaps(fx.m, append, &used), 0);
	assert_string_equal(text,
"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
"/dev/zram0                              partition\t64\t\t8\t\t100\n"
"/swap.img                               file\t\t1024\t\t0\t\t-2\n");
	used = 0;
	assert_int_equal(ondol_proc_meminfo(fx.m, append, &used), 0);
	assert_non_null(strstr(text, "SwapTotal:          1088 kB\nSwapFree:           1080 kB\n"));
	assert_non_null(strstr(text, "SwapCached:            0 kB\n"));
	used = 0;
	assert_int_equal(ondol_proc_smaps(fx.mm, append, &used), 0);
	assert_non_null(strstr(text, "Swap:                  8 kB\nSwapPss:               8 kB\n"));
	used = 0;
	assert_int_equal(ondol_proc_status_vm(fx.mm, append, &used), 0);
	assert_non_null(strstr(text, "VmSwap:\t       8 kB\n"));
	assert_int_equal(machine_stats().pages_swapped, 2);
	assert_int_equal(peek(1), 1);
	end_swap();
}

/* ------------------------------------------------------------------ broken on purpose */

static void assert_names(const char *id)
{
	struct ondol_broken_invariant b = { .id = "none" };

	assert_int_equal(ondol_machine_validate(fx.m, &b), -ONDOL_EUCLEAN);
	assert_string_equal(b.id, id);
	assert_true(b.text && *b.text);
}

#define BREAKS(id, place, wrong)                                                              \
	do {                                                                                  \
		__typeof__(place) saved_ = (place);                                           \
		(place) = (wrong);                                                            \
		assert_names(id);                                                             \
		(place) = saved_;                                                             \
		assert_valid();                                                               \
	} while (0)

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
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
	page_out_of(fx.mm, 0, 2);
	page_out_of(child, 0, 1);
	pte = pgtable_find(&fx.mm->pgt, AT(0));
	slot = swap_slot_of(fx.m, pte_slot(fx.mm, *pte));
	cached = swap_slot_of(fx.m, pte_slot(fx.mm, entry(fx.mm, 1)));
	frame = pte_page(child, entry(child, 1));
	assert_valid();
	BREAKS("SWAP-1", slot->count, slot->count + 1);
	BREAKS("SWAP-1", slot->count, slot->count - 1);
	BREAKS("SWAP-1", fx.mm->nr_swap, 1);
	BREAKS("SWAP-1", fx.m->virt->swap->used, 3);
	BREAKS("SWAP-1", fx.m->virt->swap->area[0]->used, 3);
	BREAKS("SWAP-1", *pte, pte_of_slot(fx.mm, 2000));
	BREAKS("SWAP-1", *pte, *pte | 2);
	BREAKS("MMU-1", *pte, PAGE); /* as a migration leaves it for a moment */
	BREAKS("SWAP-2", cached->at, cached->at + 1);
	BREAKS("SWAP-2", cached->at, UINT32_MAX);
	BREAKS("SWAP-2", frame->data.index, frame->data.index + 1);
	BREAKS("SWAP-2", fx.m->virt->swap->cached, 0);
	hw_detach(child);
	ondol_mmput(child);
	end_swap();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_than_there_is),
		cmocka_unit_test(it_fills),
		cmocka_unit_test(what_stays),
		cmocka_unit_test(the_port_may_object),
		cmocka_unit_test(shared_by_a_fork),
		cmocka_unit_test(a_write_to_a_shared_one),
		cmocka_unit_test(a_fork_of_swapped_pages),
		cmocka_unit_test(calls_on_swapped_pages),
		cmocka_unit_test(copies_of_a_file),
		cmocka_unit_test(read_ahead),
		cmocka_unit_test(migration),
		cmocka_unit_test(a_read_fails),
		cmocka_unit_test(a_neighbour_fails),
		cmocka_unit_test(a_write_fails),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(adding_areas),
		cmocka_unit_test(only_where_one_thread_runs),
		cmocka_unit_test(adding_without_memory),
		cmocka_unit_test(by_priority),
		cmocka_unit_test(compressed),
		cmocka_unit_test(compressed_under_pressure),
		cmocka_unit_test(what_is_told),
		cmocka_unit_test(swap_1_and_2),
	};

	return cmocka_run_group_tests_name("swap", tests, NULL, NULL);
}

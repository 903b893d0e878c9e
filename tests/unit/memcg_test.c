/* SPDX-License-Identifier: MIT */
/*
 * Limits of a machine's programs: what is charged, what `max` refuses and `high` holds up, that a
 * machine with a limit does what a smaller one does, and that one without has nothing of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/swap.h"

#include "support/swap_fixture.h"

#define NONE ONDOL_MEMCG_NONE

static struct ondol_memcg_stats usage(void)
{
	struct ondol_memcg_stats s;

	ondol_memcg_stats(fx.m, &s);
	return s;
}

static void limit(uint64_t max, uint64_t high)
{
	const struct ondol_memcg_limits limits = { .max = max, .high = high };

	ondol_memcg_set(fx.m, &limits);
}

/* A machine of 16 MiB, its software-filled hardware, perhaps swap. */
static void begin_memcg(bool swap)
{
	begin_mib(16, HW_SOFTWARE, true, NULL);
	if (swap)
		assert_int_equal(test_swap_add(&area, fx.m, 2000, 0), 0);
}

/* ------------------------------------------------------------------ charging */

/*	data, a file's pages, shared memory, tables, objects: whatever has a use */
static void what_is_charged(void **state)
{
	struct ondol_page *page;
	struct test_file f;
	uint64_t before, tables;

	(void)state;
	begin_memcg(false);
	before = usage().current;
	assert_int_equal(usage().limits.max, NONE);
	assert_int_equal(usage().peak, 0);
	limit(2000, NONE);
	assert_int_equal(usage().current, before);
	assert_int_equal(usage().peak, before);
	open_file(&f, 8 * PAGE);
	map(0, 64, RW);
	map_file(64, 8, R, &f, 0);
	map(72, 8, RW | S);
	tables = stats_of(fx.mm).pgtables_bytes / PAGE;
	before = usage().current - tables;
	for (uint64_t i = 0; i < 64; i++)
		poke(i, i);
	for (uint64_t i = 64; i < 72; i++)
		(void)peek(i);
	poke(72, 1);
	tables = stats_of(fx.mm).pgtables_bytes / PAGE;
	/* A slab or two more for the nodes of the page cache. */
	assert_in_range(usage().current - before - tables, 64 + 8 + 1, 64 + 8 + 1 + 4);
	assert_int_equal(usage().peak, usage().current);
	assert_valid();
	/* What nobody has said a use of is not. */
	before = usage().current;
	page = ondol_alloc_pages(fx.m, ONDOL_GFP_KERNEL, 3);
	assert_non_null(page);
	assert_int_equal(usage().current, before);
	ondol_page_set_use(fx.m, page, ONDOL_PAGE_ANON);
	assert_int_equal(usage().current, before + 8);
	ondol_page_set_use(fx.m, page, ONDOL_PAGE_CACHE);
	assert_int_equal(usage().current, before + 8);
	ondol_page_set_use(fx.m, page, ONDOL_PAGE_KERNEL);
	assert_int_equal(usage().current, before);
	ondol_page_set_use(fx.m, page, ONDOL_PAGE_ANON);
	ondol_free_pages(fx.m, page, 3);
	assert_int_equal(usage().current, before);
	assert_int_equal(usage().peak, before + 8);
	unmap(0, 64);
	assert_in_range(before - usage().current, 64, 66);
	assert_int_equal(usage().nr_max + usage().nr_high + usage().nr_oom, 0);
	assert_valid();
	/* Without limits nothing is counted; with them again all that is there is. */
	limit(NONE, NONE);
	assert_int_equal(fx.m->memcg.charged, 0);
	before = usage().current;
	poke(73, 1);
	assert_int_equal(usage().current, before + 1);
	limit(NONE, 3000);
	assert_int_equal(usage().current, before + 1);
	assert_valid();
	close_file(&f);
	end_swap();
}

/* A copy after a fork is charged, a shared frame once; what goes to swap no longer is. */
static void shares_copies_and_swap(void **state)
{
	struct ondol_mm_struct *child;
	uint64_t before;

	(void)state;
	begin_mib(16, HW_SOFTWARE, false, NULL); /* reading does not copy */
	assert_int_equal(test_swap_add(&area, fx.m, 2000, 0), 0);
	limit(3000, NONE);
	map(0, 16, RW);
	for (uint64_t i = 0; i < 16; i++)
		store(fx.mm, i, i);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
	before = usage().current;
	for (uint64_t i = 0; i < 16; i++)
		assert_word(child, i, i);
	store(child, 3, 33);
	assert_in_range(usage().current, before + 1, before + 8); /* and what is copied along */
	hw_detach(child);
	ondol_mmput(child);
	before = usage().current;
	page_out_of(fx.mm, 0, 16);
	assert_int_equal(usage().current, before - 16);
	assert_word(fx.mm, 5, 5);
	assert_in_range(usage().current, before - 15, before - 12);
	assert_valid();
	end_swap();
}

/* ------------------------------------------------------------------ memory.max */

/* Twice the limit, three times over: never beyond it, and nothing is lost. */
static void more_than_max(void **state)
{
	static const enum hw_kind kinds[] = { HW_WALKER, HW_SOFTWARE };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		begin_mib(16, kinds[i], false, NULL);
		assert_int_equal(test_swap_add(&area, fx.m, 2000, 0), 0);
		limit(600, NONE);
		map(0, HW_PAGES, RW);
		for (uint64_t round = 0; round < 3; round++) {
			for (uint64_t page = 0; page < HW_PAGES; page++) {
				store(fx.mm, page, round << 32 | page);
				assert_true(usage().current <= 600);
			}
			for (uint64_t page = 0; page < HW_PAGES; page++)
				assert_word(fx.mm, page, round << 32 | page);
			assert_valid();
			hw_check(&hw, fx.mm);
		}
		assert_in_range(usage().peak, 500, 600);
		assert_true(usage().nr_max > 3);
		assert_int_equal(usage().nr_oom, 0);
		assert_true(ondol_nr_free_pages(fx.m) > 2000); /* the machine is as large as ever */
		end_swap();
	}
}

/* A file of more pages than may be: what streams by goes, without swap. */
static void files_stream_by(void **state)
{
	struct test_file f[4];

	(void)state;
	begin_memcg(false);
	limit(400, NONE);
	for (unsigned i = 0; i < 4; i++) {
		open_file(&f[i], 256 * PAGE);
		map_file(i * 256, 256, R, &f[i], 0);
	}
	for (unsigned round = 0; round < 2; round++)
		for (uint64_t page = 0; page < 1024; page++) {
			const uint64_t *word =
				(const uint64_t *)reach(fx.mm, page, ONDOL_FAULT_READ);

			assert_int_equal(*word, page_tag(page % 256));
			assert_true(usage().current <= 400);
		}
	assert_true(machine_stats().pages_unmapped > 1024);
	for (unsigned i = 0; i < 4; i++)
		close_file(&f[i]);
	end_swap();
}

static int fill_up(uint64_t pages, uint64_t *out_given)
{
	struct ondol_fault_result result;
	int r = 0;

	for (*out_given = 0; !r && *out_given < pages; ++*out_given)
		r = fault_at(fx.mm, AT(*out_given), ONDOL_FAULT_WRITE, 16, &result);
	*out_given -= r != 0;
	return r;
}

/* Without swap data has nowhere to go: refused at the limit, and it says by what. */
/* Who has another way does not press others out for it, nor counts as out of memory. */
static void a_large_page_at_max(void **state)
{
	struct ondol_memcg_stats before, after;

	(void)state;
	begin_memcg(true);
	map(0, 1000, RW);
	for (uint64_t i = 0; i < 1000; i++)
		poke(i, i);
	limit(usage().current + 16, NONE);
	before = usage();
	assert_null(ondol_alloc_pages(fx.m, ONDOL_GFP_USER | ONDOL_GFP_NORETRY, 9));
	after = usage();
	assert_int_equal(after.current, before.current);
	assert_int_equal(after.nr_oom, before.nr_oom);
	assert_int_equal(after.nr_max, before.nr_max);
	assert_int_equal(rss_of(fx.mm), 1000);
	limit(NONE, NONE);
	end_swap();
}

static void refused_at_max(void **state)
{
	struct ondol_mm_struct *child;
	struct ondol_refusal why;
	struct ondol_page *page;
	char text[512];
	uint64_t given, base;

	(void)state;
	begin_memcg(false);
	base = usage().current;
	limit(300, NONE);
	map(0, 1000, RW);
	assert_int_equal(fill_up(1000, &given), -ONDOL_ENOMEM);
	assert_in_range(given, 300 - base - 8, 300 - base);
	assert_true(usage().current <= 300 && usage().peak <= 300);
	assert_in_range(usage().nr_max, 1, 8);
	assert_int_equal(usage().nr_oom, 1);
	ondol_last_refusal(fx.m, &why);
	assert_non_null(strstr(why.reason, "memory.max"));
	assert_int_equal(why.nr_zones, 0);
	assert_true(ondol_refusal_text(&why, text, sizeof text) < sizeof text);
	assert_non_null(strstr(text, "memory.max"));
	/* Who has another way is refused without ado; who must not be is not. */
	page = ondol_alloc_pages(fx.m, ONDOL_GFP_NOWAIT, 4);
	assert_null(page);
	assert_int_equal(usage().nr_oom, 1);
	page = ondol_alloc_pages(fx.m, ONDOL_GFP_MEMALLOC, 0);
	assert_non_null(page);
	ondol_free_pages(fx.m, page, 0);
	page = ondol_alloc_pages(fx.m, ONDOL_GFP_NOFAIL, 0);
	assert_non_null(page);
	ondol_free_pages(fx.m, page, 0);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), -ONDOL_ENOMEM);
	assert_valid();
	/* The victim's end is counted here, too; then there is room. */
	ondol_oom_count_kill(fx.mm);
	assert_int_equal(usage().nr_oom_kill, 1);
	unmap(0, 200);
	assert_int_equal(refusal(AT(600), ONDOL_FAULT_WRITE), 0);
	limit(1000, NONE);
	assert_int_equal(refusal(AT(601), ONDOL_FAULT_WRITE), 0);
	end_swap();
}

/* What the owner says weighs as if there were no more memory than the limit. */
static void the_limit_is_all_there_is(void **state)
{
	(void)state;
	begin_memcg(true);
	limit(1000, NONE);
	assert_int_equal(ondol_oom_total_pages(fx.m), 1000 + 2000);
	limit(1000000, NONE);
	assert_int_equal(ondol_oom_total_pages(fx.m), fx.m->phys->managed + 2000);
	end_swap();
}

/* Set below what is used, it takes back what it can. */
static void a_limit_that_comes_later(void **state)
{
	(void)state;
	begin_memcg(true);
	map(0, 800, RW);
	for (uint64_t page = 0; page < 800; page++)
		store(fx.mm, page, page);
	limit(500, NONE);
	assert_true(usage().current <= 500);
	for (uint64_t page = 0; page < 800; page++)
		assert_word(fx.mm, page, page);
	assert_true(usage().current <= 500);
	limit(NONE, NONE);
	for (uint64_t page = 0; page < 800; page++)
		store(fx.mm, page, ~page);
	assert_true(usage().current > 800);
	limit(NONE, 400);
	assert_true(usage().current <= 400);
	assert_valid();
	end_swap();
}

/* A fork below the limit has its frames before it shares any. */
static void room_for_a_fork(void **state)
{
	struct ondol_mm_struct *child;

	(void)state;
	begin_memcg(true);
	map(0, 500, RW);
	for (uint64_t page = 0; page < 500; page++)
		store(fx.mm, page, page);
	limit(usage().current, NONE);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	assert_true(usage().current <= usage().limits.max);
	assert_int_equal(usage().nr_oom, 0);
	hw_attach(child);
	for (uint64_t page = 0; page < 500; page++)
		assert_word(child, page, page);
	hw_detach(child);
	ondol_mmput(child);
	assert_valid();
	end_swap();
}

/* ------------------------------------------------------------------ memory.high */

#define MS UINT64_C(1000000)

/* No swap, so that nothing can be taken: the square of the share that is too much, in seconds. */
static void the_hold_grows(void **state)
{
	uint64_t high;

	(void)state;
	begin_memcg(false);
	map(0, 1000, RW);
	for (uint64_t page = 0; page < 500; page++)
		poke(page, page);
	high = usage().current;
	limit(NONE, high);
	assert_int_equal(ondol_memcg_over_high(fx.m, 16), 0);
	assert_int_equal(ondol_memcg_room(fx.m), 0);
	limit(NONE, high * 20 / 21); /* s = 1/20: a page 2.5 ms */
	assert_int_equal(ondol_memcg_over_high(fx.m, 1), 0); /* under 10 ms: not worth it */
	assert_in_range(ondol_memcg_over_high(fx.m, 16), 38 * MS, 43 * MS);
	limit(NONE, high * 10 / 11); /* s = 1/10: a page 10 ms */
	assert_in_range(ondol_memcg_over_high(fx.m, 16), 154 * MS, 168 * MS);
	limit(NONE, high / 2); /* s = 1: a page 1 s */
	assert_in_range(ondol_memcg_over_high(fx.m, 1), 980 * MS, 1020 * MS);
	assert_int_equal(ondol_memcg_over_high(fx.m, 16), 2000 * MS); /* no longer than that */
	limit(NONE, 1);
	assert_int_equal(ondol_memcg_over_high(fx.m, 512), 2000 * MS);
	limit(NONE, 0);
	assert_int_equal(ondol_memcg_over_high(fx.m, 1), 2000 * MS);
	assert_int_equal(usage().nr_high, 7);
	assert_int_equal(usage().nr_max, 0);
	/* Never refused. */
	for (uint64_t page = 500; page < 1000; page++)
		poke(page, page);
	assert_int_equal(usage().nr_oom, 0);
	limit(NONE, NONE);
	assert_int_equal(ondol_memcg_over_high(fx.m, 16), 0);
	assert_int_equal(ondol_memcg_room(fx.m), UINT64_MAX);
	end_swap();
}

/* With swap it is taken back, and nobody waits. */
static void high_takes_back(void **state)
{
	(void)state;
	begin_memcg(true);
	limit(1200, 500);
	map(0, HW_PAGES, RW);
	for (uint64_t page = 0; page < HW_PAGES; page++) {
		store(fx.mm, page, page);
		assert_int_equal(ondol_memcg_over_high(fx.m, 16), 0);
		assert_true(usage().current <= 500);
	}
	for (uint64_t page = 0; page < HW_PAGES; page++) {
		assert_word(fx.mm, page, page);
		assert_int_equal(ondol_memcg_over_high(fx.m, 16), 0);
	}
	assert_true(usage().nr_high > 3 && usage().peak <= 500 + 16);
	assert_int_equal(usage().nr_max, 0);
	assert_int_equal(ondol_memcg_room(fx.m), 500 - usage().current);
	assert_valid();
	end_swap();
}

/* ------------------------------------------------------------------ broken on purpose */

static void memcg_1(void **state)
{
	struct ondol_broken_invariant b = { .id = "none" };

	(void)state;
	begin_memcg(false);
	limit(1000, NONE);
	fx.m->memcg.charged++;
	assert_int_equal(ondol_machine_validate(fx.m, &b), -ONDOL_EUCLEAN);
	assert_string_equal(b.id, "MEMCG-1");
	fx.m->memcg.charged--;
	end_swap();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_charged),
		cmocka_unit_test(shares_copies_and_swap),
		cmocka_unit_test(more_than_max),
		cmocka_unit_test(files_stream_by),
		cmocka_unit_test(a_large_page_at_max),
		cmocka_unit_test(refused_at_max),
		cmocka_unit_test(the_limit_is_all_there_is),
		cmocka_unit_test(a_limit_that_comes_later),
		cmocka_unit_test(room_for_a_fork),
		cmocka_unit_test(the_hold_grows),
		cmocka_unit_test(high_takes_back),
		cmocka_unit_test(memcg_1),
	};

	return cmocka_run_group_tests_name("memcg", tests, NULL, NULL);
}

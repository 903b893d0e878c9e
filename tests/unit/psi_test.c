/* SPDX-License-Identifier: MIT */
/*
 * Pressure: totals of some and full, averages against values computed by hand, the text, and that
 * the core says itself when a thread waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/swap.h"

#include "support/swap_fixture.h"

#define SEC UINT64_C(1000000000)
#define MS UINT64_C(1000000)

static uint64_t now; /* ns */
static uint64_t slow; /* ns that each look at the clock takes */
static bool runs;
static unsigned asked;

static uint64_t test_clock(void *ctx)
{
	(void)ctx;
	now += slow;
	return now;
}

static bool anyone_runs(void *ctx)
{
	asked += ctx == &runs;
	return runs;
}

static void begin_psi(void)
{
	begin_mib(4, HW_SOFTWARE, true, NULL);
	now = slow = asked = 0;
	runs = false;
	fx.toy.port.clock_ns = test_clock;
	ondol_psi_watch(fx.m, anyone_runs, &runs);
}

static struct ondol_psi psi(enum ondol_psi_kind kind)
{
	struct ondol_psi all[ONDOL_PSI_NR];

	ondol_psi_read(fx.m, all);
	return all[kind];
}

static void assert_averages(enum ondol_psi_kind kind, uint32_t avg10, uint32_t avg60,
			    uint32_t avg300)
{
	struct ondol_psi p = psi(kind);

	if (p.avg10 != avg10 || p.avg60 != avg60 || p.avg300 != avg300)
		fail_msg("%u %u %u, expected %u %u %u", p.avg10, p.avg60, p.avg300, avg10, avg60,
			 avg300);
}

static void stall(uint64_t ns)
{
	ondol_psi_stall_begin(fx.m);
	now += ns;
	ondol_psi_stall_end(fx.m);
}

/*
 *	seconds   0   1   2   3   4   5   6   7
 *	thread 1  =====...........=====........
 *	thread 2  ============....=============
 *	some           1   1   1       1   1 (half of it)
 *	full               .   1
 */
static void some_and_full(void **state)
{
	(void)state;
	begin_psi();
	now = 1 * SEC;
	runs = true; /* thread 2 */
	ondol_psi_stall_begin(fx.m);
	now = 3 * SEC;
	runs = false;
	ondol_psi_stall_begin(fx.m); /* it, too */
	now = 4 * SEC;
	ondol_psi_stall_end(fx.m); /* thread 1 has it, and runs */
	ondol_psi_stall_end(fx.m);
	now = 5 * SEC;
	runs = true;
	ondol_psi_stall_begin(fx.m);
	now = 6 * SEC;
	runs = false; /* thread 2 sleeps, and somebody looks */
	ondol_psi_look(fx.m);
	now = 6 * SEC + SEC / 2;
	ondol_psi_stall_end(fx.m);
	now = 100 * SEC;
	assert_int_equal(psi(ONDOL_PSI_SOME).total_ns, 4 * SEC + SEC / 2);
	assert_int_equal(psi(ONDOL_PSI_FULL).total_ns, SEC + SEC / 2);
	assert_int_equal(asked, 4);
	end_swap();
}

/*
 * One second of the first period: s = 50 %.
 *	avg10  50 (1 - e^(-2/10))   = 50 * 0.181269 = 9.0635
 *	avg60  50 (1 - e^(-2/60))   = 50 * 0.032784 = 1.6392
 *	avg300 50 (1 - e^(-2/300))  = 50 * 0.006645 = 0.3322
 * and a period later times 0.818731, 0.967216, 0.993355: 7.4206, 1.5855, 0.3300
 */
static void one_period(void **state)
{
	(void)state;
	begin_psi();
	now = SEC / 2;
	stall(SEC);
	assert_averages(ONDOL_PSI_SOME, 0, 0, 0); /* it has not ended */
	now = 2 * SEC - 1;
	assert_averages(ONDOL_PSI_SOME, 0, 0, 0);
	now = 2 * SEC;
	assert_averages(ONDOL_PSI_SOME, 906, 164, 33);
	assert_averages(ONDOL_PSI_FULL, 906, 164, 33);
	now = 4 * SEC;
	assert_averages(ONDOL_PSI_SOME, 742, 159, 33);
	now = 5 * SEC;
	assert_averages(ONDOL_PSI_SOME, 742, 159, 33);
	end_swap();
}

/*
 * All of the time: 100 (1 - e^(-t/n)).  After 10 s 63.212, 15.352, 3.278; after 60 s 99.752,
 * 63.212, 18.127; after an hour 100; and an hour of nothing later 0.  Of somebody running: some
 * alone.
 */
static void for_long(void **state)
{
	(void)state;
	for (unsigned often = 0; often < 2; often++) {
		begin_psi();
		runs = true;
		ondol_psi_stall_begin(fx.m);
		for (unsigned i = 1; i <= 100; i++) {
			now = i * SEC / 10;
			if (often)
				ondol_psi_look(fx.m);
		}
		assert_averages(ONDOL_PSI_SOME, 6321, 1535, 328);
		now = 60 * SEC;
		assert_averages(ONDOL_PSI_SOME, 9975, 6321, 1813);
		assert_averages(ONDOL_PSI_FULL, 0, 0, 0);
		now = 3600 * SEC;
		assert_averages(ONDOL_PSI_SOME, 10000, 10000, 10000);
		ondol_psi_stall_end(fx.m);
		now = 3602 * SEC; /* times 0.818731, 0.967216, 0.993355 */
		assert_averages(ONDOL_PSI_SOME, 8187, 9672, 9933);
		now = 7200 * SEC;
		assert_averages(ONDOL_PSI_SOME, 0, 0, 0);
		assert_int_equal(psi(ONDOL_PSI_SOME).total_ns, 3600 * SEC);
		now = UINT64_C(1) << 62; /* a century and more */
		assert_averages(ONDOL_PSI_SOME, 0, 0, 0);
		end_swap();
	}
}

/* In one step or in many: the same, to the last digit. */
static void steps_do_not_matter(void **state)
{
	struct ondol_psi at_once, by_steps;

	(void)state;
	for (unsigned seconds = 2; seconds < 700; seconds += 37) {
		begin_psi();
		stall(7 * SEC);
		now += seconds * SEC;
		at_once = psi(ONDOL_PSI_SOME);
		end_swap();
		begin_psi();
		ondol_psi_stall_begin(fx.m);
		for (unsigned i = 0; i < 70; i++, now += 100 * MS)
			ondol_psi_look(fx.m);
		ondol_psi_stall_end(fx.m);
		for (unsigned i = 0; i < seconds; i++, now += SEC)
			(void)psi(ONDOL_PSI_SOME);
		by_steps = psi(ONDOL_PSI_SOME);
		assert_int_equal(at_once.total_ns, by_steps.total_ns);
		assert_in_range(at_once.avg10 + 1 - by_steps.avg10, 0, 2);
		assert_in_range(at_once.avg60 + 1 - by_steps.avg60, 0, 2);
		assert_in_range(at_once.avg300 + 1 - by_steps.avg300, 0, 2);
		end_swap();
	}
}

/* A clock that stands still, or goes back a little, is no harm; none at all says 0. */
static void clocks(void **state)
{
	(void)state;
	begin_psi();
	now = 10 * SEC;
	ondol_psi_stall_begin(fx.m);
	now = 9 * SEC;
	ondol_psi_look(fx.m);
	now = 11 * SEC;
	ondol_psi_stall_end(fx.m);
	assert_int_equal(psi(ONDOL_PSI_SOME).total_ns, SEC);
	end_swap();
	begin_mib(4, HW_SOFTWARE, true, NULL);
	stall(SEC);
	assert_int_equal(psi(ONDOL_PSI_FULL).total_ns, 0);
	assert_averages(ONDOL_PSI_FULL, 0, 0, 0);
	end_swap();
}

/* ------------------------------------------------------------------ the text */

static int append(void *ctx, const char *text, size_t size)
{
	strncat(ctx, text, size);
	return 0;
}

static void the_text(void **state)
{
	char text[256] = "";

	(void)state;
	begin_psi();
	runs = true;
	stall(1500 * MS);
	now = 2 * SEC;
	runs = false;
	stall(60 * MS + 700);
	now = 4 * SEC;
	assert_int_equal(ondol_proc_pressure_memory(fx.m, append, text), 0);
	/* Some: 75 % and 3.00004 %: 13.5952 * 0.818731 + 0.5438 and so on; full: 3.00004 %. */
	assert_string_equal(text, "some avg10=11.67 avg60=2.48 avg300=0.51 total=1560000\n"
				  "full avg10=0.54 avg60=0.10 avg300=0.02 total=60000\n");
	end_swap();
}

/* ------------------------------------------------------------------ who says so */

/* Taking back for a request, for a limit, and reading from swap: nothing else. */
static void the_core_says_so(void **state)
{
	const struct ondol_memcg_limits limits = { .max = 300, .high = ONDOL_MEMCG_NONE };
	uint64_t before;

	(void)state;
	begin_psi();
	assert_int_equal(test_swap_add(&area, fx.m, 2000, 0), 0);
	slow = 1000;
	map(0, HW_PAGES, RW);
	for (uint64_t page = 0; page < 100; page++)
		store(fx.mm, page, page);
	assert_int_equal(psi(ONDOL_PSI_SOME).total_ns, 0);
	/* More than there is: frames are taken back. */
	for (uint64_t page = 100; page < HW_PAGES; page++)
		store(fx.mm, page, page);
	before = psi(ONDOL_PSI_SOME).total_ns;
	assert_true(before >= slow);
	assert_int_equal(swap_stats().in, 0);
	/* And come back. */
	for (uint64_t page = 0; page < 8; page++)
		assert_word(fx.mm, page, page);
	assert_true(swap_stats().in > 0);
	assert_true(psi(ONDOL_PSI_SOME).total_ns - before >= swap_stats().in * slow);
	unmap(0, HW_PAGES);
	before = psi(ONDOL_PSI_SOME).total_ns;
	ondol_memcg_set(fx.m, &limits); /* nobody waits for this */
	map(0, HW_PAGES, RW);
	for (uint64_t page = 0; page < HW_PAGES; page++)
		store(fx.mm, page, page);
	assert_true(psi(ONDOL_PSI_SOME).total_ns > before);
	assert_int_equal(fx.m->phys->psi.nr_stalled, 0);
	end_swap();
}

static void who_begins_ends(void **state)
{
	(void)state;
	begin_psi();
	if (TOY_PANICS(&fx.toy)) {
		fx.toy.expects_panic = false;
	} else {
		ondol_psi_stall_end(fx.m);
		fail_msg("it did not notice");
	}
	end_swap();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(some_and_full),
		cmocka_unit_test(one_period),
		cmocka_unit_test(for_long),
		cmocka_unit_test(steps_do_not_matter),
		cmocka_unit_test(clocks),
		cmocka_unit_test(the_text),
		cmocka_unit_test(the_core_says_so),
		cmocka_unit_test(who_begins_ends),
	};

	return cmocka_run_group_tests_name("psi", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Every page allocation of some work fails once, then for good: nothing leaks or breaks. */
#include "support/frames.h"

static struct toy t;

/* Takes blocks of all kinds and gives them back; -ENOMEM at the first refusal. */
static int work(void)
{
	static const ondol_gfp_t kinds[] = {
		ONDOL_GFP_KERNEL, ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_ZERO, ONDOL_GFP_DMA,
		ONDOL_GFP_ATOMIC | ONDOL_GFP_COMP, ONDOL_GFP_MEMALLOC,
		ONDOL_GFP_KERNEL | ONDOL_GFP_THISNODE };
	struct ondol_page *page[6][8] = { { NULL } };
	int r = 0;

	for (unsigned i = 0; i < 6; i++)
		for (unsigned order = 0; order < 8 && !r; order++) {
			page[i][order] = ondol_alloc_pages(t.m, kinds[i], order);
			r = page[i][order] ? 0 : -ONDOL_ENOMEM;
		}
	for (unsigned i = 0; i < 6; i++)
		for (unsigned order = 0; order < 8; order++)
			if (page[i][order])
				ondol_free_pages(t.m, page[i][order], order);
	return r;
}

static void fail_each(const struct ondol_profile *profile, bool persistent)
{
	uint64_t nth = 1, free;
	struct ondol_refusal why;
	bool reached = true;

	assert_int_equal(toy_new(&t, 32, 1, profile, NULL, NULL), 0);
	free = machine_stats(&t).pages_free;
	for (; reached && nth < 1000; nth++) {
		struct ondol_fail_plan plan = { .persistent = persistent };
		uint64_t refused = machine_stats(&t).nr_refused;
		int r;

		plan.nth[ONDOL_FAIL_ALLOC_PAGES] = nth;
		ondol_set_fail_plan(t.m, &plan);
		r = work();
		ondol_set_fail_plan(t.m, NULL);
		reached = plan.failed[ONDOL_FAIL_ALLOC_PAGES] != 0;
		assert_int_equal(r, reached ? -ONDOL_ENOMEM : 0);
		if (reached) {
			ondol_last_refusal(t.m, &why);
			assert_string_equal(why.reason, "the fail plan wanted it");
			assert_int_equal(machine_stats(&t).nr_refused - refused, 1);
		}
		assert_int_equal(machine_stats(&t).pages_free, free);
		assert_valid(t.m);
	}
	assert_int_equal(nth, 6 * 8 + 2); /* each one, and the round that reaches none */
	assert_int_equal(work(), 0);
	frames_fini(&t);
}

static void once(void **state)
{
	(void)state;
	fail_each(NULL, false);
	fail_each(&ondol_profile_i386_2_6, false);
	fail_each(&ondol_profile_i386_2_4, false);
}

static void for_good(void **state)
{
	(void)state;
	fail_each(NULL, true);
	fail_each(&ondol_profile_i386_2_4, true);
}

/* Bulk gives what it got, exact gives all or nothing, a balloon stops; of each the N-th fails. */
static void other_measures(void **state)
{
	struct ondol_page *page[20];
	uint64_t free;

	(void)state;
	assert_int_equal(toy_new(&t, 32, 1, NULL, NULL, NULL), 0);
	free = machine_stats(&t).pages_free;
	for (uint32_t nth = 1; nth <= 20; nth++) {
		struct ondol_fail_plan plan = { .persistent = nth & 1 };
		uint32_t got;

		plan.nth[ONDOL_FAIL_ALLOC_PAGES] = nth;
		ondol_set_fail_plan(t.m, &plan);
		got = ondol_alloc_pages_bulk(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, 20, page);
		assert_int_equal(got, nth - 1);
		while (got)
			ondol_free_pages(t.m, page[--got], 0);
		plan.seen[ONDOL_FAIL_ALLOC_PAGES] = 0;
		assert_int_equal(ondol_balloon_set(t.m, 0, 20), nth - 1);
		assert_valid(t.m);
		assert_int_equal(ondol_balloon_set(t.m, 0, 0), 0);
		plan.nth[ONDOL_FAIL_ALLOC_PAGES] = plan.seen[ONDOL_FAIL_ALLOC_PAGES] + 1;
		assert_null(ondol_alloc_pages_exact(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN,
						    nth));
		ondol_set_fail_plan(t.m, NULL);
		assert_int_equal(machine_stats(&t).pages_free, free);
		assert_valid(t.m);
	}
	frames_fini(&t);
}

/* Bringing a machine up on too little memory says so, at every size, or works. */
static void too_small_machines(void **state)
{
	unsigned worked = 0;

	(void)state;
	for (uint64_t pages = 1; pages < 160; pages++) {
		const struct ondol_mem_region all[] = { USABLE(0, pages << 12, 0) };
		struct ondol_machine_desc desc = DESCRIBE(all, 1, 2, NULL);
		int r = toy_init(&t, &desc);

		assert_true(r == 0 || r == -ONDOL_ENOMEM);
		assert_true(!r || !worked); /* more memory is never worse */
		worked += !r;
		if (!r)
			assert_valid(t.m);
		else
			t.m = NULL;
		assert_int_equal(toy_free(&t), 0);
	}
	assert_in_range(worked, 32, 158);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once),
		cmocka_unit_test(for_good),
		cmocka_unit_test(other_measures),
		cmocka_unit_test(too_small_machines),
	};

	return cmocka_run_group_tests_name("page_alloc faults", tests, NULL, NULL);
}

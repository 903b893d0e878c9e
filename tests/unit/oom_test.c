/* SPDX-License-Identifier: MIT */
/* Who would be ended: points, what the owner says, what /proc/PID/oom_score would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/mm_fixture.h"

static void points(void **state)
{
	struct ondol_mm_struct *small;
	int64_t total, big;

	(void)state;
	begin();
	small = new_mm();
	map(0, 1000, RW);
	map_at(small, AT(0), 1000, RW, NULL, 0);
	for (uint64_t page = 0; page < 600; page++)
		poke(page, 1);
	poke_in(small, 0, 1);
	total = (int64_t)ondol_oom_total_pages(fx.m);
	assert_in_range(total, 3800, 4096);
	big = ondol_oom_badness(fx.mm, 0);
	assert_int_equal(big, 600 + stats_of(fx.mm).pgtables_bytes / PAGE);
	assert_true(ondol_oom_badness(small, 0) < big);
	assert_true(ondol_oom_badness(small, 500) > big);
	assert_int_equal(ondol_oom_badness(fx.mm, -100), big - 100 * (total / 1000));
	assert_true(ondol_oom_badness(fx.mm, -999) < 0);
	assert_int_equal(ondol_oom_badness(fx.mm, -1000), INT64_MIN);
	assert_int_equal(ondol_oom_score(fx.mm, -1000), 0);
	assert_in_range(ondol_oom_score(fx.mm, -999), (1 + big / (total / 1000)) * 2 / 3,
			(2 + big / (total / 1000)) * 2 / 3);
	assert_int_equal(ondol_oom_score(fx.mm, 0), (1000 + big / (total / 1000)) * 2 / 3);
	assert_in_range(ondol_oom_score(fx.mm, 1000), 1333, 2000);
	assert_int_equal(machine_stats().oom_kills, 0);
	ondol_oom_count_kill(small);
	ondol_mmput(small);
	assert_int_equal(machine_stats().oom_kills, 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(points),
	};

	return cmocka_run_group_tests_name("oom", tests, NULL, NULL);
}

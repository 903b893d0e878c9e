/* SPDX-License-Identifier: MIT */
/* Must fail: one good test, one bad one.  With an argument: dies before its first test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void good(void **state)
{
	(void)state;
	assert_int_equal(1, 1);
}

static void bad(void **state)
{
	(void)state;
	assert_int_equal(1, 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
	};

	(void)argv;
	if (argc > 1)
		abort();
	return cmocka_run_group_tests_name("canary", tests, NULL, NULL);
}

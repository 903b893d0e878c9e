/* SPDX-License-Identifier: MIT */
/* Formatted text: everything format.h promises, as the host's snprintf writes it. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/format.h"

/* At full size, and cut off at every length. */
#define SAME(...)                                                                     \
	do {                                                                          \
		char want_[256], have_[256];                                          \
		size_t size_ = (size_t)snprintf(want_, sizeof want_, __VA_ARGS__);    \
		assert_int_equal(format_string(have_, sizeof have_, __VA_ARGS__), size_);\
		assert_string_equal(have_, want_);                                    \
		for (size_t cut_ = 1; cut_ <= size_; cut_++) {                        \
			memset(have_, 'x', sizeof have_);                             \
			assert_int_equal(format_string(have_, cut_, __VA_ARGS__), size_);\
			assert_int_equal(strlen(have_), cut_ - 1);                    \
			assert_memory_equal(have_, want_, cut_ - 1);                  \
			assert_int_equal(have_[cut_], 'x');                           \
		}                                                                     \
	} while (0)

static void integers(void **state)
{
	static const int values[] = { 0, 1, -1, 7, -42, 1000, INT_MAX, INT_MIN };

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		int n = values[i];
		long long wide = (long long)n * 1000003;

		SAME("%d %i %u", n, n, (unsigned)n);
		SAME("%x|%X|%#x|%#X", (unsigned)n, (unsigned)n, (unsigned)n, (unsigned)n);
		SAME("%12d|%-12d|%012d|", n, n, n);
		SAME("%12x|%-12x|%012x|", (unsigned)n, (unsigned)n, (unsigned)n);
		SAME("%#12x|%-#12x|%#012x|%#.5x|", (unsigned)n, (unsigned)n, (unsigned)n,
		     (unsigned)n);
		SAME("%.5d|%12.5d|%-12.5d|", n, n, n);
		SAME("%ld %lu %lx", (long)wide, (unsigned long)wide, (unsigned long)wide);
		SAME("%lld %llu %#llx", wide, (unsigned long long)wide, (unsigned long long)wide);
		SAME("%zu %zx", (size_t)wide, (size_t)wide);
		SAME("%*d|%-*d|%.*d|", 9, n, 9, n, 4, n);
	}
	SAME("%llu", ULLONG_MAX);
	SAME("%lld", LLONG_MIN);
}

static void text(void **state)
{
	const char *volatile none = NULL; /* not told to the compiler */
	char have[64];

	(void)state;
	SAME("%s|%8s|%-8s|%.2s|%8.2s|%.*s", "zone", "zone", "zone", "zone", "zone", 3, "zone");
	SAME("%c%c %%", 'a', 'b');
	SAME("plain");
	assert_int_equal(format_string(have, sizeof have, "%s", none), 6);
	assert_string_equal(have, "(null)");
	assert_int_equal(format_string(have, 0, "%d", 12345), 5);
	/* A mark without an end, and one that there is not, do no harm. */
	assert_int_equal(format_string(have, sizeof have, (const char[]){ "50%" }), 2);
	assert_string_equal(have, "50");
}

static int refuse_second(void *ctx, const char *piece, size_t size)
{
	unsigned *calls = ctx;

	(void)piece;
	assert_true(size);
	return ++*calls >= 2 ? 77 : 0;
}

/* The first error of the receiver stays, and nothing is sent behind it. */
static void errors(void **state)
{
	unsigned calls = 0;
	struct out out;

	(void)state;
	out_init(&out, refuse_second, &calls);
	for (unsigned i = 0; i < 1000; i++)
		out_printf(&out, "%08u", i);
	assert_int_equal(out_end(&out), 77);
	assert_int_equal(calls, 2);
	assert_int_equal(out.length, 8000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers),
		cmocka_unit_test(text),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}

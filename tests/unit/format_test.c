/* SPDX-License-Identifier: MIT */
/* Formatted text against the C library's. */
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/format.h"

/* The same text and the same length, also where the buffer is too small. */
#define SAME(...)                                                                             \
	do {                                                                                  \
		char ours_[600], theirs_[600];                                                \
		size_t length_ = (size_t)snprintf(theirs_, sizeof theirs_, __VA_ARGS__);      \
		assert_int_equal(format_string(ours_, sizeof ours_, __VA_ARGS__), length_);   \
		assert_string_equal(ours_, theirs_);                                          \
		for (size_t size_ = 0; size_ < 12; size_++) {                                 \
			memset(ours_, 'x', 16);                                               \
			memset(theirs_, 'x', 16);                                             \
			(void)!snprintf(theirs_, size_, __VA_ARGS__);                         \
			assert_int_equal(format_string(ours_, size_, __VA_ARGS__), length_);  \
			assert_memory_equal(ours_, theirs_, 16);                              \
		}                                                                             \
	} while (0)

#pragma GCC diagnostic ignored "-Wformat-truncation"
#pragma GCC diagnostic ignored "-Wformat-zero-length"

static void plain(void **state)
{
	(void)state;
	SAME("");
	SAME("no conversion at all, and longer than the buffer of a struct out: 0123456789 "
	     "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789");
	SAME("100%%");
	SAME("%%%d%%", 1);
}

static void numbers(void **state)
{
	static const long long edge[] = { 0, 1, -1, 9, 10, -10, 255, 4096, INT_MAX, INT_MIN,
					  UINT_MAX, LLONG_MAX, LLONG_MIN };

	(void)state;
	for (unsigned i = 0; i < sizeof edge / sizeof *edge; i++) {
		long long n = edge[i];

		SAME("%d %i", (int)n, (int)n);
		SAME("%u|%x|%X", (unsigned)n, (unsigned)n, (unsigned)n);
		SAME("%ld %lu %lx", (long)n, (unsigned long)n, (unsigned long)n);
		SAME("%lld", n);
		SAME("%llu", (unsigned long long)n);
		SAME("%llx", (unsigned long long)n);
		SAME("%llX", (unsigned long long)n);
		SAME("%zu %zx %zd", (size_t)n, (size_t)n, (ptrdiff_t)n);
		SAME("%" PRIu64 " %" PRIx64, (uint64_t)n, (uint64_t)n);
	}
}

static void widths(void **state)
{
	static const int edge[] = { 0, 7, -7, 12345, -12345, INT_MIN };

	(void)state;
	for (unsigned i = 0; i < sizeof edge / sizeof *edge; i++) {
		int n = edge[i];

		SAME("[%5d][%-5d][%05d]", n, n, n);
		SAME("[%8x][%-8x][%08x]", (unsigned)n, (unsigned)n, (unsigned)n);
		SAME("[%.0d][%.3d][%.8d]", n, n, n);
		SAME("[%10.3d][%-10.3d][%10.8d]", n, n, n);
		SAME("[%*d][%-*d][%.*d]", 9, n, 9, n, 4, n);
		SAME("[%*.*d]", 12, 6, n);
		SAME("[%#x][%#X][%#10x][%-#10x]", (unsigned)n, (unsigned)n, (unsigned)n,
		     (unsigned)n);
		SAME("[%#010x][%0#3x][%#.5x][%#12.5x]", (unsigned)n, (unsigned)n, (unsigned)n,
		     (unsigned)n);
		SAME("[%#llx]", (unsigned long long)n);
		SAME("[%20llu]", (unsigned long long)n);
		SAME("[%016llx]", (unsigned long long)n);
		SAME("%08lx-%08lx", (unsigned long)n, (unsigned long)n + 4096);
	}
	SAME("[%200d]", 3); /* wider than the buffer of a struct out */
	SAME("[%-200d]", 3);
	SAME("[%0200d]", 3);
}

static void strings(void **state)
{
	char unterminated[3] = { 'a', 'b', 'c' };

	(void)state;
	SAME("%s", "");
	SAME("%s %s", "one", "two");
	SAME("[%10s][%-10s]", "right", "left");
	SAME("[%2s][%-2s]", "wider", "wider");
	SAME("[%.3s][%.0s][%.30s]", "cut off", "nothing", "whole");
	SAME("[%10.3s][%-10.3s]", "cut off", "cut off");
	SAME("%.*s", 3, unterminated);
	SAME("%.*s!", 0, unterminated);
	SAME("%-17s %6u", "kmalloc-64", 12u);
	SAME("%c%c[%3c][%-3c]", 'a', 'b', 'c', 'd');
}

/* Random formats out of what there is. */
static void random_formats(void **state)
{
	static const char *const flags[] = { "", "-", "0", "-0", "#", "#0", "-#" };
	static const char *const types[] = { "d", "u", "x", "X", "lld", "llu", "llx", "zu", "ld" };
	const char *env = getenv("SEED");
	unsigned seed = env ? (unsigned)strtoul(env, NULL, 0) : 1;

	(void)state;
	srand(seed);
	for (unsigned i = 0; i < 20000; i++) {
		char format[64], ours[256], theirs[256];
		long long n = (long long)((uint64_t)rand() << 33 ^ (uint64_t)rand() << 11 ^
					  (uint64_t)rand()) >> rand() % 64;
		unsigned type = (unsigned)rand() % 9;
		int nr_flags = strpbrk(types[type], "xX") ? 7 : 4;
		int at = sprintf(format, "<%%%s", flags[rand() % nr_flags]);

		if (rand() % 2)
			at += sprintf(format + at, "%d", rand() % 30 + 1);
		if (rand() % 3 == 0)
			at += sprintf(format + at, ".%d", rand() % 30);
		sprintf(format + at, "%s>", types[type]);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		if (type < 4) {
			snprintf(theirs, sizeof theirs, format, (int)n);
			format_string(ours, sizeof ours, format, (int)n);
		} else {
			snprintf(theirs, sizeof theirs, format, n);
			format_string(ours, sizeof ours, format, n);
		}
#pragma GCC diagnostic pop
		if (strcmp(ours, theirs))
			fail_msg("\"%s\" of %lld: \"%s\", not \"%s\"; SEED=%u %s", format, n, ours,
				 theirs, seed, "build/tests/unit/format_test");
	}
}

/* What differs from the C library, on purpose. */
static void ours_alone(void **state)
{
	const char *volatile none = NULL;
	char text[64];

	(void)state;
	format_string(text, sizeof text, "%p", (void *)0x1234);
	assert_string_equal(text, "1234"); /* as the kernel's texts have it */
	format_string(text, sizeof text, "%s", none);
	assert_string_equal(text, "(null)");
}

struct pieces { char text[400]; size_t used, calls, stop_at; };

static int piece(void *ctx, const char *text, size_t size)
{
	struct pieces *p = ctx;

	assert_true(size > 0);
	memcpy(p->text + p->used, text, size);
	p->used += size;
	return ++p->calls == p->stop_at ? -5 : 0;
}

static void pieces(void **state)
{
	struct pieces p = { .used = 0 };
	struct out out;
	uint64_t start;

	(void)state;
	out_init(&out, piece, &p);
	for (int i = 0; i < 50; i++)
		out_printf(&out, "%d,", i);
	assert_int_equal(out_end(&out), 0);
	assert_int_equal(out.length, 140);
	assert_int_equal(p.used, 140);
	assert_int_equal(p.calls, 2);
	assert_memory_equal(p.text, "0,1,2,", 6);
	assert_memory_equal(p.text + 134, "48,49,", 6);
	assert_int_equal(out_end(&out), 0); /* nothing more: no call */
	assert_int_equal(p.calls, 2);

	/* Columns, counted from where a line began. */
	memset(&p, 0, sizeof p);
	out_init(&out, piece, &p);
	out_string(&out, "before\n", 7);
	start = out.length;
	out_printf(&out, "%s", "name");
	out_pad(&out, start, 10);
	out_string(&out, "|", 1);
	out_pad(&out, start, 5); /* already beyond */
	out_end(&out);
	assert_string_equal(p.text, "before\nname      |");

	/* An error stops the writes, is kept and is told. */
	memset(&p, 0, sizeof p);
	p.stop_at = 1;
	out_init(&out, piece, &p);
	for (int i = 0; i < 200; i++)
		out_printf(&out, "%d,", i);
	assert_int_equal(out.error, -5);
	assert_int_equal(out_end(&out), -5);
	assert_int_equal(p.calls, 1);
}

static char logged[512];
static enum ondol_log_level level_seen;

static void keep_line(void *ctx, enum ondol_log_level level, const char *line)
{
	assert_ptr_equal(ctx, logged);
	level_seen = level;
	snprintf(logged, sizeof logged, "%s", line);
}

static void log_lines(void **state)
{
	struct ondol_port port = { .ctx = logged, .log = keep_line };

	(void)state;
	log_printf(&port, ONDOL_LOG_WARN, "%s: %u", "order", 3u);
	assert_string_equal(logged, "order: 3");
	assert_int_equal(level_seen, ONDOL_LOG_WARN);
	log_printf(&port, ONDOL_LOG_ERR, "%300d", 1); /* cut off, not overrun */
	assert_int_equal(strlen(logged), 255);
	port.log = NULL;
	log_printf(&port, ONDOL_LOG_ERR, "%d", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(numbers),
		cmocka_unit_test(widths),
		cmocka_unit_test(strings),
		cmocka_unit_test(random_formats),
		cmocka_unit_test(ours_alone),
		cmocka_unit_test(pieces),
		cmocka_unit_test(log_lines),
	};

	return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}

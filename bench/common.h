/* SPDX-License-Identifier: MIT */
/* What the benchmarks of the core share: ends with a message, a clock, chance. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <ondol/ondol.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline void must(int r, const char *what)
{
	if (!r)
		return;
	fprintf(stderr, "bench: %s: %s\n", what, ondol_strerror(r));
	exit(1);
}

/* Nanoseconds. */
static inline double read_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static inline double now(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static inline uint32_t rnd(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 32);
}

static inline void on_panic(void *ctx, const struct ondol_panic_report *report)
{
	(void)ctx;
	fprintf(stderr, "bench: panic: %s:%u %s\n", report->file, report->line,
		report->expression);
	abort();
}

/* Of hardware that holds nothing. */
static inline void on_invalidate(void *ctx, struct ondol_mm_struct *mm, ondol_virt_addr_t start,
				 ondol_virt_addr_t end)
{
	(void)ctx;
	(void)mm;
	(void)start;
	(void)end;
}

#endif /* BENCH_COMMON_H */

/* SPDX-License-Identifier: MIT */
/*
 * For bench/thp.sh: map so much memory, write to each page of it, read at random, unmap; the first
 * round and the median of the others, in milliseconds.  With a third argument it asks for huge
 * pages.
 *
 *	touch MIB ROUNDS [huge]
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096ul
#define READS 2000000u

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 0) : 256) << 20;
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 6, sum = 0;
	double *time[3];

	for (int i = 0; i < 3; i++)
		time[i] = calloc(rounds, sizeof(double));
	for (unsigned round = 0; round < rounds; round++) {
		/* Aligned, as malloc's large blocks are. */
		unsigned char *p = mmap((void *)0x200000000000ul, bytes, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		uint64_t x = 88172645463325252ull;
		double start = now();

		if (p == MAP_FAILED)
			return 1;
		if (argc > 3)
			madvise(p, bytes, MADV_HUGEPAGE);
		for (size_t i = 0; i < bytes; i += PAGE)
			p[i] = 1;
		time[0][round] = now() - start;
		start = now();
		for (unsigned i = 0; i < READS; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			sum += p[(x >> 32) * (bytes / PAGE) >> 32 << 12];
		}
		time[1][round] = now() - start;
		start = now();
		munmap(p, bytes);
		time[2][round] = now() - start;
	}
	printf("%.1f", time[0][0]);
	for (int i = 0; i < 3; i++) {
		qsort(time[i] + 1, rounds - 1, sizeof(double), by_value);
		printf(" %.1f", time[i][1 + (rounds - 1) / 2]);
	}
	printf("\n");
	return sum != rounds * READS;
}

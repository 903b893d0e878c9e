/* SPDX-License-Identifier: MIT */
/*
 * One pair of alloc and free of order 0 between two marks, for bench/lines.sh, which counts the
 * instructions and cache lines between them.
 *
 *	pair [CPUS]
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "bench/pair: %s\n", what);
	exit(1);
}

static uint64_t nr_frames;
#include "phys_ondol.h"

void mark_begin(void);
void mark_end(void);

__attribute__((noinline)) void mark_begin(void)
{
	__asm__ volatile("");
}

__attribute__((noinline)) void mark_end(void)
{
	__asm__ volatile("nop");
}

int main(int argc, char **argv)
{
	uintptr_t frame;

	(void)ad_name;
	(void)ad_meta;
	ad_init(UINT64_C(64) << 20, argc > 1 ? (uint32_t)atoi(argv[1]) : 1);
	for (unsigned i = 0; i < 1000; i++) {
		frame = ad_alloc(0, 0);
		ad_free(0, frame, 0);
	}
	printf("%p %p %p\n", (void *)mark_begin, (void *)mark_end,
	       (void *)__builtin_frame_address(0));
	fflush(stdout);
	mark_begin();
	frame = ad_alloc(0, 0);
	ad_free(0, frame, 0);
	mark_end();
	return 0;
}

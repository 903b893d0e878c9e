/* SPDX-License-Identifier: MIT */
/*
 * One pair of alloc and free, of a frame or of an object of 64 bytes, between two marks, for
 * bench/lines.sh, which counts the instructions and cache lines between them.
 *
 *	pair [CPUS [object]]
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

static struct ondol_kmem_cache *cache;

static void frame_pair(void)
{
	uintptr_t frame = ad_alloc(0, 0);

	ad_free(0, frame, 0);
}

static void object_pair(void)
{
	void *object = ondol_kmem_cache_alloc(cache, ONDOL_GFP_KERNEL);

	ondol_kmem_cache_free(cache, object);
}

int main(int argc, char **argv)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = 64 };
	void (*volatile pair)(void) = argc > 2 ? object_pair : frame_pair;

	(void)ad_name;
	(void)ad_meta;
	ad_init(UINT64_C(64) << 20, argc > 1 ? (uint32_t)atoi(argv[1]) : 1);
	if (ondol_kmem_cache_create(m, "bench", &args, &cache))
		fail("no cache");
	for (unsigned i = 0; i < 1000; i++)
		pair();
	printf("%p %p %p\n", (void *)mark_begin, (void *)mark_end,
	       (void *)__builtin_frame_address(0));
	fflush(stdout);
	mark_begin();
	pair();
	mark_end();
	return 0;
}

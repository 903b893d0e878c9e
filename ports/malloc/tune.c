/* SPDX-License-Identifier: MIT */
/*
 * mallopt, and the variables MALLOC_..._ that say the same, as mallopt(3) has them.
 *
 * What is tuned by itself here is left to itself until the program says otherwise:
 *
 *	M_MMAP_THRESHOLD  blocks of so many bytes are mappings of their own: gone when freed.  Not
 *	                  below 32 KiB, where blocks are objects of classes
 *	M_MMAP_MAX        so many of those, or none below 32 MiB
 *	M_TRIM_THRESHOLD  so much may be free and not given back; -1: nothing ever is, unless by
 *	                  malloc_trim, for who must not take page faults
 *	M_PERTURB         what is allocated is filled with the complement of this byte, what is
 *	                  freed with the byte.  Later than the second thread's first block it is
 *	                  refused: other threads' bins are theirs
 *
 * M_MXFAST, M_TOP_PAD and M_ARENA_* are about parts that this malloc has not: they are accepted.
 */
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MXFAST_MOST (80 * (int)sizeof(size_t) / 4)

struct malloc_tuning tuning = {
	.map_from = LARGE_MAX + 1,
	.maps_most = UINT64_MAX,
	.trim_pages = TRIM_BY_ITSELF,
};

static int set_perturb(int value)
{
	if ((value & 0xff) && !thread_hide_bins())
		return 0;
	tuning.perturb = (uint8_t)value;
	return 1;
}

static void set_map_threshold(int value)
{
	size_t bytes = value < 0 ? SIZE_MAX : (size_t)value;

	tuning.map_from = bytes > LARGE_MAX ? LARGE_MAX + 1 :
			  bytes > SMALL_MAX ? bytes : SMALL_MAX + 1;
}

/* 1: accepted, as mallopt returns it. */
static int set(int param, int value)
{
	switch (param) {
	case M_MMAP_THRESHOLD:
		set_map_threshold(value);
		return 1;
	case M_MMAP_MAX:
		tuning.maps_most = value < 0 ? UINT64_MAX : (uint64_t)value;
		return 1;
	case M_TRIM_THRESHOLD:
		tuning.trim_pages = value < 0 ? TRIM_NEVER : (uint64_t)value >> PAGE_SHIFT;
		return 1;
	case M_PERTURB:
		return set_perturb(value);
	case M_MXFAST:
		return value >= 0 && value <= MXFAST_MOST;
	case M_TOP_PAD:
	case M_CHECK_ACTION:
	case M_ARENA_TEST:
	case M_ARENA_MAX:
		return 1;
	default:
		return 0;
	}
}

EXPORT int mallopt(int param, int value)
{
	return heap_init() ? set(param, value) : 0;
}

/* An entry of the environment, while the heap is set up. */
void tuning_take(const char *entry)
{
	static const struct { const char *name; int param; } variables[] = {
		{ "MALLOC_MMAP_THRESHOLD_=", M_MMAP_THRESHOLD },
		{ "MALLOC_MMAP_MAX_=", M_MMAP_MAX },
		{ "MALLOC_TRIM_THRESHOLD_=", M_TRIM_THRESHOLD },
		{ "MALLOC_PERTURB_=", M_PERTURB },
	};

	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
		size_t length = strlen(variables[i].name);
		long value;
		char *end;

		if (strncmp(entry, variables[i].name, length))
			continue;
		value = strtol(entry + length, &end, 0);
		if (end != entry + length && !*end)
			(void)set(variables[i].param, value > INT_MAX ? INT_MAX :
						      value < -1 ? -1 : (int)value);
	}
}

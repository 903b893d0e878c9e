/* SPDX-License-Identifier: MIT */
/*
 * Upward calls.  Includes go base -> phys -> {slab, pgtable} -> virt; where a lower layer
 * needs a higher one (the page allocator needs something to reclaim), it asks through here.
 */
#ifndef ONDOL_BASE_HOOKS_H
#define ONDOL_BASE_HOOKS_H

#include <ondol/page_alloc.h>

#define ONDOL_SHRINKERS_MAX 8

struct ondol_hooks {
	struct {
		ondol_shrinker_t shrink;
		void *ctx;
	} shrinker[ONDOL_SHRINKERS_MAX]; /* asked in order when frames run short */
	uint32_t nr_shrinkers;
};

#endif /* ONDOL_BASE_HOOKS_H */

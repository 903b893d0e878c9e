/* SPDX-License-Identifier: MIT */
/*
 * Upward calls.  Includes go base -> phys -> {slab, pgtable} -> virt; where a lower layer
 * needs a higher one (the page allocator needs something to reclaim, or a range emptied), it asks
 * through here.
 */
#ifndef ONDOL_BASE_HOOKS_H
#define ONDOL_BASE_HOOKS_H

#include <ondol/page_alloc.h>

#define ONDOL_SHRINKERS_MAX 8

struct ondol_zone;

struct ondol_hooks {
	struct {
		ondol_shrinker_t shrink;
		void *ctx;
	} shrinker[ONDOL_SHRINKERS_MAX]; /* asked in order when frames run short */
	uint32_t nr_shrinkers;
	/*
	 * Contents of frames in use move out of [first, end), indices, as far as they can; the
	 * emptied frames are held (phys/range.h).  -ONDOL_ENOMEM: nothing has moved.  NULL: there
	 * is nobody who could.
	 */
	int (*evacuate)(struct ondol_machine *m, uint32_t first, uint32_t end);
	/*
	 * Private memory of the zone moves together until there is a free block of the order.
	 * False: there is none.  NULL: there is nobody who could (core/phys/compact.c).
	 */
	bool (*compact)(struct ondol_machine *m, struct ondol_zone *zone, unsigned order);
};

#endif /* ONDOL_BASE_HOOKS_H */

/* SPDX-License-Identifier: MIT */
/*
 * When to compact: a request for a block of frames found none, and could wait.  How it is done is
 * in core/virt/compact.c, which is asked through the hook.
 *
 * Moving pages costs a walk over all page tables, so it is worth it only where it can help:
 *
 *	enough is free       above the watermark, with twice the block to spare: the pages that
 *	                     move need frames to move to before theirs are free
 *	it lies in pieces    the fragmentation index of the zone is above EXTFRAG_THRESHOLD; below
 *	                     it, the request fails for want of memory, and reclaim is what helps
 *	it helped before     after a failure the zone is left alone for 1, 2, 4 ... 64 requests of
 *	                     that order or a higher one, until a lower count succeeds
 *
 * Only where one thread at a time uses the machine and its owner wants it
 * (ondol_machine_desc.compact), and not on the way of a request that reclaim itself makes.
 *
 * Sources: Linux Documentation/admin-guide/sysctl/vm.rst (extfrag_threshold), mm/compaction.c.
 */
#include "phys/compact.h"

#include "phys/section.h"

#define EXTFRAG_THRESHOLD 500 /* Linux's default of the sysctl vm.extfrag_threshold */
#define DEFER_SHIFT_MAX 6

static bool is_fragmented(struct ondol_zone *zone, const struct request *req)
{
	uint64_t usable = 0, nr_blocks = 0, blocks[ONDOL_MAX_ORDERS], free, kept;
	uintptr_t irq = zone_lock(zone);

	free = zone->nr_free;
	section_free_blocks(zone, blocks);
	zone_unlock(zone, irq);
	kept = zone->watermark[WMARK_MIN] + zone->lowmem_reserve[req->highest];
	if (free < kept + (UINT64_C(2) << req->order))
		return false;
	for (unsigned order = 0; order <= zone->m->phys->max_order; order++) {
		usable += order >= req->order ? blocks[order] << order : 0;
		nr_blocks += blocks[order];
	}
	return fragmentation_index(nr_blocks, free, usable, req->order) > EXTFRAG_THRESHOLD;
}

static bool is_deferred(struct ondol_zone *zone, unsigned order)
{
	if (!zone->compact_defer_shift || order < zone->compact_order_failed)
		return false;
	return ++zone->compact_considered < 1u << zone->compact_defer_shift;
}

static void note_result(struct ondol_zone *zone, unsigned order, bool success)
{
	zone->compact_considered = 0;
	if (success) {
		zone->compact_defer_shift = 0;
		return;
	}
	if (!zone->compact_defer_shift || order < zone->compact_order_failed)
		zone->compact_order_failed = order;
	if (zone->compact_defer_shift < DEFER_SHIFT_MAX)
		zone->compact_defer_shift++;
}

static bool is_asked(const struct ondol_machine *m, const struct request *req)
{
	return m->compact && m->hooks.compact && req->order && req->gfp & ONDOL_GFP_RECLAIM &&
	       !(req->gfp & ONDOL_GFP_MEMALLOC) &&
	       load_relaxed(&m->phys->reclaiming) != machine_this_cpu(m) + 1;
}

bool compact_for(struct ondol_machine *m, const struct request *req)
{
	const struct ondol_node *node = req->preferred;
	bool any = false, tried = false;

	if (!is_asked(m, req))
		return false;
	for (unsigned i = 0; i < node->nr_zonelist && !any; i++) {
		struct ondol_zone *zone = &m->phys->zones[node->zonelist[i]];

		if (zone->type > req->highest ||
		    (req->gfp & ONDOL_GFP_THISNODE && zone->node != node->id) ||
		    !is_fragmented(zone, req) || is_deferred(zone, req->order))
			continue;
		if (!tried)
			ondol_psi_stall_begin(m);
		tried = true;
		any = m->hooks.compact(m, zone, req->order);
		note_result(zone, req->order, any);
	}
	if (tried) {
		ondol_psi_stall_end(m);
		add_relaxed(&m->phys->compact.stall, 1);
		add_relaxed(any ? &m->phys->compact.success : &m->phys->compact.fail, 1);
	}
	return any;
}

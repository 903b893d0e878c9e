/* SPDX-License-Identifier: MIT */
/*
 * Frames back to the buddy.
 *
 *	shrink   one cache: magazines and depot to the slabs, all empty slabs to the buddy
 *	reap     the page allocator is short of frames (base/hooks.h): empty slabs of all caches
 *	         first, for nothing is lost with them but the making; what magazines and depots
 *	         hold only if that was not enough, for it is warm.  Caches whose objects a
 *	         shrinker of their own lets go (RECLAIM_ACCOUNT) come first in both rounds.
 *
 *	tick     now and then: of a cache that was idle since the last tick, all that a shrink
 *	         gives; of others, the magazines that lay in the depot all the while, which is
 *	         what the working set did not need (Bonwick and Adams 2001, 3.4)
 *
 * An empty slab is taken off its list under the cache's lock and released without it.  Reap holds
 * the list of caches meanwhile, so no cache goes away under it; it allocates nothing, so it is
 * called with whatever GFP flags the request has.
 */
#include "slab/slab.h"

#define NIL ONDOL_PAGE_NIL

/* Up to `most` frames, in whole slabs, of the empty slabs of a node. */
static uint64_t release_free(struct ondol_kmem_cache *cache, uint32_t node, uint64_t most)
{
	struct ondol_machine *m = cache->m;
	struct slab_node *lists = &cache->node[node];
	uint64_t freed = 0;

	while (freed < most) {
		uintptr_t irq = slab_lock(cache);
		uint32_t index = lists->head[SLAB_FREE];

		if (index != NIL) {
			slab_unlink(cache, &m->pages[index], SLAB_FREE);
			store_relaxed(&cache->nr_slabs, cache->nr_slabs - 1);
		}
		slab_unlock(cache, irq);
		if (index == NIL)
			break;
		slab_release(cache, &m->pages[index]);
		freed += cache->nr_frames;
	}
	return freed;
}

static uint64_t release_up_to(struct ondol_kmem_cache *cache, uint64_t most)
{
	uint64_t freed = 0;

	for (uint32_t node = 0; node < cache->m->nr_nodes && freed < most; node++)
		freed += release_free(cache, node, most - freed);
	return freed;
}

uint64_t ondol_kmem_cache_shrink(struct ondol_kmem_cache *cache)
{
	slab_drain_magazines(cache, false);
	return release_up_to(cache, UINT64_MAX);
}

/* Did nothing but magazines in the CPUs' hands move since the last tick? */
static bool was_idle(struct ondol_kmem_cache *cache)
{
	uintptr_t irq = slab_lock(cache);
	bool idle = cache->nr_moves == cache->ticked_moves;

	cache->ticked_moves = cache->nr_moves;
	slab_unlock(cache, irq);
	return idle;
}

static uint64_t tick(struct ondol_kmem_cache *cache)
{
	uint64_t freed;
	uintptr_t irq;

	if (!load_relaxed(&cache->nr_slabs))
		return 0;
	if (!was_idle(cache)) {
		slab_trim_depot(cache);
		return 0;
	}
	freed = ondol_kmem_cache_shrink(cache);
	irq = slab_lock(cache); /* our own work does not count */
	cache->ticked_moves = cache->nr_moves;
	slab_unlock(cache, irq);
	return freed;
}

uint64_t ondol_kmem_cache_tick(struct ondol_machine *m)
{
	uintptr_t irq = slab_lock_caches(m);
	uint64_t freed = 0;

	list_for_each(pos, &m->slab->caches)
		freed += tick(container_of(pos, struct ondol_kmem_cache, link));
	slab_unlock_caches(m, irq);
	return freed;
}

static uint64_t reap_round(struct ondol_machine *m, uint64_t want, bool reclaimable, bool drain)
{
	uint64_t freed = 0;

	list_for_each(pos, &m->slab->caches) {
		struct ondol_kmem_cache *cache = container_of(pos, struct ondol_kmem_cache, link);

		if (freed >= want)
			break;
		if (!(cache->flags & ONDOL_SLAB_RECLAIM_ACCOUNT) == reclaimable)
			continue;
		if (drain)
			slab_drain_magazines(cache, false);
		freed += release_up_to(cache, want - freed);
	}
	return freed;
}

uint64_t slab_reap(struct ondol_machine *m, void *ctx, uint64_t nr_pages)
{
	uintptr_t irq = slab_lock_caches(m);
	uint64_t freed = 0;

	(void)ctx;
	for (unsigned round = 0; round < 4 && freed < nr_pages; round++)
		freed += reap_round(m, nr_pages - freed, !(round & 1), round >= 2);
	slab_unlock_caches(m, irq);
	return freed;
}

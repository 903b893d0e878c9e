/* SPDX-License-Identifier: MIT */
/*
 * Freed objects that rest (Q): a ring of as many as a magazine holds, so that an object that was
 * just freed is not at once somebody else's, and a write or a free through an old pointer is
 * noticed [SLAB-5, SLAB-8] rather than suffered by the new owner.
 *
 *	free -->  | o1 | o2 | ... | o63 |  --> its slab, checked once more
 *
 * The ring is a magazine of kmem_magazine, fetched at the first free; while there is none, objects
 * go straight to their slabs.  Like the depot's, what rests here is marked as in a magazine, is
 * not active, and comes back with a shrink or when memory is short.
 */
#include "slab/slab.h"

static bool fetch_ring(struct ondol_kmem_cache *cache)
{
	struct slab_magazine *fresh;
	uintptr_t irq;

	if (load_relaxed(&cache->resting))
		return true;
	if (cache == cache->m->slab->magazine_cache || cache == cache->m->slab->cache_cache)
		return false; /* rings come from here, or lie in it */
	fresh = slab_magazine_new(cache->m);
	if (!fresh)
		return false;
	irq = slab_lock(cache);
	if (!cache->resting) {
		fresh->nr = 0;
		store_relaxed(&cache->resting, fresh);
		fresh = NULL;
	}
	slab_unlock(cache, irq);
	slab_magazine_delete(cache->m, fresh);
	return true;
}

static void check_rested(struct ondol_kmem_cache *cache, const struct slab_entry *entry)
{
	slab_debug_must_be_free(cache, entry->object);
}

/* The object is marked as in a magazine; the lock of the CPU's part is not held. */
void slab_quarantine(struct ondol_kmem_cache *cache, struct slab_entry *entry)
{
	struct slab_entry oldest = *entry;
	bool full = true;
	uintptr_t irq;

	if (fetch_ring(cache)) {
		irq = slab_lock(cache);
		full = cache->resting && cache->resting->nr == SLAB_MAGAZINE_MAX;
		if (full) {
			oldest = cache->resting->entry[cache->rest_next];
			cache->resting->entry[cache->rest_next] = *entry;
			cache->rest_next = (uint16_t)((cache->rest_next + 1) % SLAB_MAGAZINE_MAX);
		} else if (cache->resting) {
			cache->resting->entry[cache->resting->nr++] = *entry;
			store_relaxed(&cache->nr_resting, cache->resting->nr);
		} else { /* drained meanwhile */
			full = true;
		}
		slab_unlock(cache, irq);
	}
	if (!full)
		return;
	check_rested(cache, &oldest);
	slab_put_many(cache, &oldest, 1);
}

void slab_end_quarantine(struct ondol_kmem_cache *cache)
{
	struct slab_magazine *ring;
	uintptr_t irq = slab_lock(cache);

	ring = cache->resting;
	store_relaxed(&cache->resting, NULL);
	store_relaxed(&cache->nr_resting, 0);
	cache->rest_next = 0;
	slab_unlock(cache, irq);
	if (!ring)
		return;
	for (uint32_t i = 0; i < ring->nr; i++)
		check_rested(cache, &ring->entry[i]);
	if (ring->nr)
		slab_put_many(cache, ring->entry, ring->nr);
	slab_magazine_delete(cache->m, ring);
}

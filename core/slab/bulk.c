/* SPDX-License-Identifier: MIT */
/*
 * Many objects at once.
 *
 * For those who keep free objects of their own in front of a cache (a malloc with per-thread
 * caches): they would only fill and empty the magazines on the way.  Objects come from and go to
 * the slabs directly, one lock and one look at the slab's record for as many as lie together.
 * Checks are those of single objects: each that comes back is an object of the cache [SLAB-6]
 * and in use [SLAB-5].
 */
#include "slab/slab.h"

#define BATCH 48

static void hand_out(struct ondol_kmem_cache *cache, ondol_gfp_t gfp,
		     const struct slab_entry *entries, uint32_t nr, void **out, const void *caller)
{
	for (uint32_t i = 0; i < nr; i++) {
		void *object = entries[i].object;

		*entries[i].state = SLAB_IN_USE;
		if (ondol_unlikely(cache->flags & SLAB_DEBUG_FLAGS))
			slab_debug_alloc(cache, object, 0, caller);
		if (gfp & ONDOL_GFP_ZERO)
			__builtin_memset(object, 0, cache->object_size);
		out[i] = object;
	}
}

uint32_t ondol_kmem_cache_alloc_bulk(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t nr,
				     void **out)
{
	struct ondol_machine *m = cache->m;
	struct slab_entry entries[BATCH];
	uint32_t done = 0;

	if (machine_should_fail(m, ONDOL_FAIL_SLAB))
		return 0;
	while (done < nr) {
		uint32_t node = m->phys->cpus[machine_this_cpu(m)].node;
		uint32_t want = nr - done < BATCH ? nr - done : BATCH;
		uint32_t got = slab_take_many(cache, node, entries, want);

		if (!got)
			got = slab_grow_and_take(cache, node, gfp, entries, want);
		if (!got)
			break;
		hand_out(cache, gfp, entries, got, out + done, ondol_caller());
		done += got;
	}
	return done;
}

/*
 * Of a cache that is debugged: the objects' states, of objects in use; what they had beyond the
 * bytes asked for is summed.
 */
static uint32_t collect(struct ondol_kmem_cache *cache, struct slab_entry *entries, uint32_t nr,
			void *const *objects, const void *caller)
{
	struct ondol_machine *m = cache->m;
	uintptr_t size = (uintptr_t)ONDOL_PAGE_SIZE * cache->nr_frames, base = 0;
	struct ondol_page *head = NULL;
	uint16_t *states = NULL;
	uint32_t slack = 0;

	for (uint32_t i = 0; i < nr; i++) {
		uintptr_t object = (uintptr_t)objects[i];
		uint32_t offset, at, index;

		if (object - base >= size) { /* another slab than the one before */
			head = slab_locate(m, objects[i], &offset);
			ONDOL_VERIFY(m, head && head->slab.cache == cache, "SLAB-6", object,
				     (uintptr_t)cache);
			base = object - offset;
			states = slab_states_at(cache, head, (void *)base);
		}
		at = (uint32_t)(object - base) - head->slab.colour;
		index = slab_index(cache, at);
		ONDOL_VERIFY(m, index < cache->nr_objects && index * cache->stride == at,
			     "SLAB-6", object, at);
		ONDOL_VERIFY(m, states[index] >= SLAB_IN_USE && states[index] != SLAB_IN_MAGAZINE,
			     "SLAB-5", object, states[index]);
		slab_debug_free(cache, head, objects[i], caller);
		slack += states[index] & ~SLAB_IN_USE;
		states[index] = SLAB_IN_MAGAZINE;
		entries[i].object = objects[i];
		entries[i].state = &states[index];
	}
	return slack;
}

uint64_t ondol_kmem_cache_free_bulk(struct ondol_kmem_cache *cache, uint32_t nr,
				    void *const *objects)
{
	struct slab_entry entries[BATCH];
	uint64_t frames = 0;
	uint32_t now;

	for (uint32_t done = 0; done < nr; done += now) {
		uint32_t slack;

		now = nr - done < BATCH ? nr - done : BATCH;
		if (ondol_likely(!(cache->flags & SLAB_DEBUG_FLAGS))) {
			frames += slab_put_used(cache, objects + done, now, &slack);
			if (slack)
				slab_give_slack(cache, slack);
			continue;
		}
		slack = collect(cache, entries, now, objects + done, ondol_caller());
		if (slack)
			slab_give_slack(cache, slack);
		if (!(cache->flags & ONDOL_SLAB_QUARANTINE))
			frames += slab_put_many(cache, entries, now);
		else
			for (uint32_t i = 0; i < now; i++)
				slab_quarantine(cache, &entries[i]);
	}
	return frames;
}

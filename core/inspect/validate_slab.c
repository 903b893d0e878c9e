/* SPDX-License-Identifier: MIT */
/* The invariants of core/slab.  See validate.c. */
#include "inspect/validate.h"

#include "base/math.h"
#include "slab/slab.h"

#define NIL ONDOL_PAGE_NIL

struct slab_tally {
	uint64_t slabs, inuse, in_magazines;
};

/* The chain and the states of one slab. */
static bool check_states(struct ondol_kmem_cache *cache, struct ondol_page *head,
			 struct slab_tally *tally, struct ondol_broken_invariant *out)
{
	const uint16_t *states = slab_states(cache, head);
	uint64_t pfn = machine_page_pfn(cache->m, head);
	uint32_t nr_free = (uint32_t)cache->nr_objects - head->slab.nr_inuse;
	uint32_t chain = 0, at = head->slab.free_head, unused = 0;

	for (; at != SLAB_CHAIN_END; at = states[at], chain++)
		if (at >= cache->nr_objects || chain > nr_free)
			return inspect_broken(out, "SLAB-2", pfn, nr_free, at);
	for (uint32_t i = 0; i < cache->nr_objects; i++) {
		unused += states[i] < SLAB_IN_USE;
		tally->in_magazines += states[i] == SLAB_IN_MAGAZINE;
	}
	return inspect_equal(out, "SLAB-2", pfn, nr_free, chain) &&
	       inspect_equal(out, "SLAB-2", pfn, nr_free, unused);
}

static bool check_debug(struct ondol_kmem_cache *cache, struct ondol_page *head,
			struct ondol_broken_invariant *out)
{
	const uint16_t *states = slab_states(cache, head);

	for (uint32_t i = 0; i < cache->nr_objects; i++) {
		/* Debugged caches have no magazines: what is marked so rests. */
		bool used = states[i] >= SLAB_IN_USE && states[i] != SLAB_IN_MAGAZINE;
		const void *object = slab_object(cache, head, i);
		const char *broken = used ? slab_debug_check_used(cache, object) :
					    slab_debug_check_free(cache, object);

		if (!broken && cache->flags & ONDOL_SLAB_STORE_USER &&
		    !slab_owner_is(cache, object, used))
			broken = "SLAB-14";

		if (broken)
			return inspect_broken(out, broken, machine_page_pfn(cache->m, head), i,
					      states[i]);
	}
	return true;
}

static bool check_slab(struct ondol_kmem_cache *cache, struct ondol_page *head,
		       enum slab_list list, struct slab_tally *tally,
		       struct ondol_broken_invariant *out)
{
	uint64_t pfn = machine_page_pfn(cache->m, head);

	if (page_use(head) != ONDOL_PAGE_SLAB || head->slab.cache != cache ||
	    page_order(head) != log2_u64(cache->nr_frames))
		return inspect_broken(out, "SLAB-3", pfn, cache->order, head->flags);
	for (uint32_t i = 1; i < cache->nr_frames; i++)
		if (!(head[i].flags & ONDOL_PG_TAIL) || page_use(&head[i]) != ONDOL_PAGE_SLAB ||
		    head[i].slab.head != page_index(cache->m, head))
			return inspect_broken(out, "SLAB-3", pfn + i, pfn, head[i].flags);
	if (cache->guard_offset &&
	    (head->slab.colour + cache->stride != cache->guard_offset ||
	     cache->guard_offset + ONDOL_PAGE_SIZE > ONDOL_PAGE_SIZE * cache->nr_frames))
		return inspect_broken(out, "SLAB-13", pfn, cache->guard_offset,
				      head->slab.colour + cache->stride);
	if (head->slab.nr_inuse > cache->nr_objects ||
	    slab_list_of(cache, head->slab.nr_inuse) != list)
		return inspect_broken(out, "SLAB-1", pfn, list, head->slab.nr_inuse);
	tally->slabs++;
	tally->inuse += head->slab.nr_inuse;
	return check_states(cache, head, tally, out) &&
	       (!(cache->flags & SLAB_DEBUG_FLAGS) || check_debug(cache, head, out));
}

static bool check_slab_list(struct ondol_kmem_cache *cache, uint32_t node, enum slab_list list,
			    struct slab_tally *tally, struct ondol_broken_invariant *out)
{
	struct ondol_machine *m = cache->m;
	uint32_t prev = NIL, at = cache->node[node].head[list];
	uint64_t nr = 0;

	for (; at != NIL; prev = at, at = m->pages[at].slab.next, nr++) {
		if (nr > cache->node[node].nr[list] || at >= m->nr_pages ||
		    m->pages[at].slab.prev != prev || page_node(&m->pages[at]) != node)
			return inspect_broken(out, "SLAB-4", prev, cache->node[node].nr[list], nr);
		if (!check_slab(cache, &m->pages[at], list, tally, out))
			return false;
	}
	return inspect_equal(out, "SLAB-4", node, nr, cache->node[node].nr[list]);
}

static bool check_entries(struct ondol_kmem_cache *cache, const struct slab_entry *entries,
			  uint32_t nr, struct ondol_broken_invariant *out)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct ondol_page *head = slab_of(cache->m, entries[i].object);

		if (!head || head->slab.cache != cache || *entries[i].state != SLAB_IN_MAGAZINE)
			return inspect_broken(out, "SLAB-9", (uintptr_t)entries[i].object,
					      SLAB_IN_MAGAZINE, *entries[i].state);
	}
	return true;
}

static bool check_depot(struct ondol_kmem_cache *cache, uint64_t *held,
			struct ondol_broken_invariant *out)
{
	uint64_t objects = 0, nr = 0;

	for (const struct slab_magazine *full = cache->full; full; full = full->next, nr++) {
		if (nr >= cache->nr_full || !full->nr || full->nr > cache->mag_max)
			return inspect_broken(out, "SLAB-11", (uintptr_t)full, cache->nr_full, nr);
		if (!check_entries(cache, full->entry, full->nr, out))
			return false;
		objects += full->nr;
	}
	*held += objects;
	return inspect_equal(out, "SLAB-11", (uintptr_t)cache, nr, cache->nr_full) &&
	       inspect_equal(out, "SLAB-11", (uintptr_t)cache, objects, cache->depot_objects) &&
	       (objects <= cache->depot_max ||
		inspect_broken(out, "SLAB-11", (uintptr_t)cache, cache->depot_max, objects));
}

static bool check_magazines(struct ondol_kmem_cache *cache, uint64_t in_magazines,
			    struct ondol_broken_invariant *out)
{
	uint64_t held = 0;

	if (!check_depot(cache, &held, out))
		return false;
	if (cache->resting) {
		if (!inspect_equal(out, "SLAB-9", 0, cache->resting->nr, cache->nr_resting) ||
		    !check_entries(cache, cache->resting->entry, cache->resting->nr, out))
			return false;
		held += cache->resting->nr;
	}
	for (uint32_t i = 0; i < cache->m->nr_cpus; i++) {
		const struct slab_cpu *cpu = &cache->cpu[i];

		if (cpu->nr > SLAB_MAGAZINE_MAX || cpu->spare_nr > SLAB_MAGAZINE_MAX ||
		    cpu->alien_nr > SLAB_MAGAZINE_MAX ||
		    (!cpu->cap && (cpu->nr + cpu->spare_nr + cpu->alien_nr || cpu->hand)))
			return inspect_broken(out, "SLAB-9", i, cpu->cap, cpu->nr);
		struct slab_entry hand = { (void *)(cpu->hand & ~(uintptr_t)SLAB_HAND_FREE),
					   cpu->hand_state };
		uint32_t in_hand = cpu->hand & SLAB_HAND_FREE;

		if (!check_entries(cache, &hand, in_hand, out) ||
		    !check_entries(cache, cpu->loaded, cpu->nr, out) ||
		    !check_entries(cache, cpu->spare, cpu->spare_nr, out) ||
		    !check_entries(cache, cpu->alien, cpu->alien_nr, out))
			return false;
		held += cpu->nr + cpu->spare_nr + cpu->alien_nr + in_hand;
	}
	return inspect_equal(out, "SLAB-9", 0, held, in_magazines);
}

/* Is it an object of the cache that is in use? */
static bool is_in_use(struct ondol_kmem_cache *cache, const void *object)
{
	struct ondol_page *head = slab_of(cache->m, object);
	uint32_t offset, index;
	uint16_t state;

	if (!head || head->slab.cache != cache)
		return false;
	offset = (uint32_t)((const char *)object - (char *)slab_object(cache, head, 0));
	index = slab_index(cache, offset);
	if (index >= cache->nr_objects || index * cache->stride != offset)
		return false;
	state = slab_states(cache, head)[index];
	return state >= SLAB_IN_USE && state != SLAB_IN_MAGAZINE;
}

static bool check_pool(const struct ondol_mempool *pool, struct ondol_broken_invariant *out)
{
	if (pool->nr > pool->min_nr)
		return inspect_broken(out, "MEMPOOL-1", (uintptr_t)pool, pool->min_nr, pool->nr);
	for (uint32_t i = 0; i < pool->nr; i++)
		if (!is_in_use(pool->cache, pool->elements[i]))
			return inspect_broken(out, "MEMPOOL-1", (uintptr_t)pool,
					      (uintptr_t)pool->elements[i], i);
	return true;
}

static bool check_chunk(const struct percpu_chunk *chunk, struct ondol_broken_invariant *out)
{
	uint32_t ends = 0;

	for (uint32_t i = 0; i < PERCPU_UNITS / 32; i++) {
		if (chunk->last[i] & ~chunk->used[i])
			return inspect_broken(out, "PERCPU-1", (uintptr_t)chunk, chunk->used[i],
					      chunk->last[i]);
		for (uint32_t bits = chunk->last[i]; bits; bits &= bits - 1)
			ends++;
	}
	return inspect_equal(out, "PERCPU-1", (uintptr_t)chunk, chunk->nr_allocs + 1, ends);
}

static bool check_cache(struct ondol_kmem_cache *cache, uint64_t *frames,
			struct ondol_broken_invariant *out)
{
	struct slab_tally tally = { 0 };

	for (uint32_t node = 0; node < cache->m->nr_nodes; node++)
		for (unsigned list = 0; list < NR_SLAB_LISTS; list++)
			if (!check_slab_list(cache, node, (enum slab_list)list, &tally, out))
				return false;
	*frames += tally.slabs * cache->nr_frames;
	return inspect_equal(out, "SLAB-4", (uintptr_t)cache, tally.slabs, cache->nr_slabs) &&
	       inspect_equal(out, "SLAB-4", (uintptr_t)cache, tally.inuse, cache->nr_inuse) &&
	       check_magazines(cache, tally.in_magazines, out) &&
	       (is_in_use(cache->m->slab->cache_cache, cache) ||
		inspect_broken(out, "SLAB-10", (uintptr_t)cache, SLAB_IN_USE, 0));
}

bool validate_slab(struct ondol_machine *m, struct ondol_broken_invariant *out)
{
	uint64_t frames = 0;

	if (m->slab->caches.next != &m->slab->cache_cache->link)
		return inspect_broken(out, "SLAB-10", 0, (uintptr_t)m->slab->cache_cache, 0);
	list_for_each(pos, &m->slab->caches)
		if (!check_cache(container_of(pos, struct ondol_kmem_cache, link), &frames, out))
			return false;
	list_for_each(pos, &m->slab->pools)
		if (!check_pool(container_of(pos, struct ondol_mempool, link), out))
			return false;
	list_for_each(pos, &m->slab->chunks)
		if (!check_chunk(container_of(pos, struct percpu_chunk, link), out))
			return false;
	return inspect_equal(out, "SLAB-3", 0, (uint64_t)phys_use_count(m, ONDOL_PAGE_SLAB),
			     frames);
}

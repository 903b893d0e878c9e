/* SPDX-License-Identifier: MIT */
/*
 * Magazines: each CPU's stacks of free objects of a cache.
 *
 *	alloc <-- loaded --.                     .--> loaded <-- free
 *	           empty?  swap with spare       full? swap with spare
 *	                   both empty: from the slabs   both full: the spare to the slabs
 *
 * As pcp.c does with frames.  The first use of a cache on a CPU fetches two magazines; while
 * there is no room for them, objects come straight from the slabs.
 */
#include "slab/slab.h"

static inline struct slab_cpu *lock_cpu(struct ondol_kmem_cache *cache, uintptr_t *out_irq)
{
	struct ondol_machine *m = cache->m;
	struct slab_cpu *cpu;

	*out_irq = port_irq_save(m->port);
	cpu = &cache->cpu[machine_this_cpu(m)];
	if (m->phys->smp)
		spin_lock(m->port, &cpu->lock);
	return cpu;
}

static inline void unlock_cpu(struct ondol_kmem_cache *cache, struct slab_cpu *cpu, uintptr_t irq)
{
	if (cache->m->phys->smp)
		spin_unlock(&cpu->lock);
	port_irq_restore(cache->m->port, irq);
}

static struct slab_entry *magazine_new(struct ondol_machine *m)
{
	void *object;
	uint16_t *state = slab_alloc_object(m->slab->magazine_cache,
					    ONDOL_GFP_NOWAIT | ONDOL_GFP_NOWARN, &object);

	if (!state)
		return NULL;
	*state = SLAB_IN_USE;
	return object;
}

static void magazine_delete(struct ondol_machine *m, struct slab_entry *magazine)
{
	if (magazine)
		slab_cache_free(m->slab->magazine_cache, slab_of(m, magazine), magazine);
}

/* Fit out the calling CPU; no lock is held.  It may find itself on another CPU afterwards. */
static void fetch_magazines(struct ondol_kmem_cache *cache)
{
	struct slab_entry *first = magazine_new(cache->m);
	struct slab_entry *second = first ? magazine_new(cache->m) : NULL;
	struct slab_cpu *cpu;
	uintptr_t irq;

	if (second) {
		cpu = lock_cpu(cache, &irq);
		if (!cpu->cap) {
			cpu->loaded = first;
			cpu->spare = second;
			store_relaxed(&cpu->cap, cache->mag_cap);
			first = second = NULL;
		}
		unlock_cpu(cache, cpu, irq);
	}
	magazine_delete(cache->m, first);
	magazine_delete(cache->m, second);
}

static void swap_magazines(struct slab_cpu *cpu)
{
	struct slab_entry *magazine = cpu->loaded;
	uint32_t nr = cpu->nr;

	cpu->loaded = cpu->spare;
	cpu->spare = magazine;
	store_relaxed(&cpu->nr, cpu->spare_nr);
	store_relaxed(&cpu->spare_nr, nr);
}

static inline void *pop_object(const struct ondol_kmem_cache *cache, struct slab_cpu *cpu,
			       uint32_t slack)
{
	uint32_t nr = cpu->nr - 1;
	struct slab_entry *entry = &cpu->loaded[nr];

	store_relaxed(&cpu->nr, nr);
	slack >>= cache->slack_shift;
	*entry->state = (uint16_t)(SLAB_IN_USE | slack);
	if (slack)
		add_relaxed(&cpu->slack, (long)(slack << cache->slack_shift));
	return entry->object;
}

static void *alloc_slow(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t slack)
{
	struct ondol_machine *m = cache->m;
	struct slab_cpu *cpu;
	uint16_t *state;
	void *object = NULL;
	uintptr_t irq;

	if (cache->mag_cap && !load_relaxed(&cache->cpu[machine_this_cpu(m)].cap))
		fetch_magazines(cache);
	cpu = lock_cpu(cache, &irq);
	if (!cpu->nr && cpu->spare_nr)
		swap_magazines(cpu);
	if (!cpu->nr && cpu->cap)
		store_relaxed(&cpu->nr,
			      slab_take_many(cache, m->phys->cpus[machine_this_cpu(m)].node,
					     cpu->loaded, cpu->cap));
	if (cpu->nr)
		object = pop_object(cache, cpu, slack);
	unlock_cpu(cache, cpu, irq);
	if (object)
		return object;
	state = slab_alloc_object(cache, gfp, &object);
	if (!state)
		return NULL;
	slack >>= cache->slack_shift;
	*state = (uint16_t)(SLAB_IN_USE | slack);
	if (slack) {
		cpu = lock_cpu(cache, &irq);
		add_relaxed(&cpu->slack, (long)(slack << cache->slack_shift));
		unlock_cpu(cache, cpu, irq);
	}
	return object;
}

void *slab_cache_alloc(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t slack)
{
	struct slab_cpu *cpu;
	void *object = NULL;
	uintptr_t irq;

	if (machine_should_fail(cache->m, ONDOL_FAIL_SLAB))
		return NULL;
	cpu = lock_cpu(cache, &irq);
	if (ondol_likely(cpu->nr))
		object = pop_object(cache, cpu, slack);
	unlock_cpu(cache, cpu, irq);
	if (ondol_unlikely(!object)) {
		object = alloc_slow(cache, gfp, slack);
		if (!object)
			return NULL;
	}
	if (ondol_unlikely(cache->flags & SLAB_DEBUG_FLAGS))
		slab_debug_alloc(cache, slab_of(cache->m, object), object);
	if (gfp & ONDOL_GFP_ZERO)
		__builtin_memset(object, 0, cache->object_size);
	return object;
}

static inline void push_object(struct slab_cpu *cpu, void *object, uint16_t *state)
{
	struct slab_entry *entry = &cpu->loaded[cpu->nr];

	entry->object = object;
	entry->state = state;
	store_relaxed(&cpu->nr, cpu->nr + 1);
}

static void free_slow(struct ondol_kmem_cache *cache, void *object, uint16_t *state)
{
	struct slab_entry entry = { object, state };
	struct slab_cpu *cpu;
	uintptr_t irq;
	bool kept = false;

	if (cache->mag_cap && !load_relaxed(&cache->cpu[machine_this_cpu(cache->m)].cap))
		fetch_magazines(cache);
	cpu = lock_cpu(cache, &irq);
	if (cpu->cap && cpu->nr == cpu->cap) {
		if (cpu->spare_nr) {
			slab_put_many(cache, cpu->spare, cpu->spare_nr);
			store_relaxed(&cpu->spare_nr, 0);
		}
		swap_magazines(cpu);
	}
	if (cpu->nr < cpu->cap) {
		push_object(cpu, object, state);
		kept = true;
	}
	unlock_cpu(cache, cpu, irq);
	if (!kept)
		slab_put_many(cache, &entry, 1);
}

void slab_cache_free(struct ondol_kmem_cache *cache, struct ondol_page *head, void *object)
{
	uint32_t offset = (uint32_t)((char *)object - (char *)page_host(cache->m, head)) -
			  head->slab.colour;
	uint32_t index = slab_index(cache, offset), slack;
	struct slab_cpu *cpu;
	uint16_t *state;
	uintptr_t irq;
	bool kept;

	ONDOL_VERIFY(cache->m, index < cache->nr_objects && index * cache->stride == offset,
		     "SLAB-6", (uintptr_t)object, offset);
	state = &slab_states(cache, head)[index];
	slack = *state;
	ONDOL_VERIFY(cache->m, slack >= SLAB_IN_USE && slack != SLAB_IN_MAGAZINE, "SLAB-5",
		     (uintptr_t)object, slack);
	if (ondol_unlikely(cache->flags & SLAB_DEBUG_FLAGS))
		slab_debug_free(cache, head, object);
	*state = SLAB_IN_MAGAZINE;
	slack = (slack & ~SLAB_IN_USE) << cache->slack_shift;
	cpu = lock_cpu(cache, &irq);
	if (slack)
		add_relaxed(&cpu->slack, -(long)slack);
	kept = cpu->nr < cpu->cap;
	if (ondol_likely(kept))
		push_object(cpu, object, state);
	unlock_cpu(cache, cpu, irq);
	if (ondol_unlikely(!kept))
		free_slow(cache, object, state);
}

void slab_drain_magazines(struct ondol_kmem_cache *cache, bool forget)
{
	struct ondol_machine *m = cache->m;

	for (uint32_t i = 0; i < m->nr_cpus; i++) {
		struct slab_cpu *cpu = &cache->cpu[i];
		uintptr_t irq = lock_irqsave(m->port, &cpu->lock, m->phys->smp);
		struct slab_entry *loaded = cpu->loaded, *spare = cpu->spare;

		if (cpu->nr)
			slab_put_many(cache, loaded, cpu->nr);
		if (cpu->spare_nr)
			slab_put_many(cache, spare, cpu->spare_nr);
		store_relaxed(&cpu->nr, 0);
		store_relaxed(&cpu->spare_nr, 0);
		if (forget) {
			cpu->loaded = cpu->spare = NULL;
			store_relaxed(&cpu->cap, 0);
		}
		unlock_irqrestore(m->port, &cpu->lock, m->phys->smp, irq);
		if (!forget)
			continue;
		magazine_delete(m, loaded);
		magazine_delete(m, spare);
	}
}

void *ondol_kmem_cache_alloc(struct ondol_kmem_cache *cache, ondol_gfp_t gfp)
{
	return slab_cache_alloc(cache, gfp, 0);
}

void ondol_kmem_cache_free(struct ondol_kmem_cache *cache, void *object)
{
	struct ondol_page *head = slab_of(cache->m, object);

	ONDOL_VERIFY(cache->m, head && head->slab.cache == cache, "SLAB-6", (uintptr_t)object,
		     (uintptr_t)cache);
	slab_cache_free(cache, head, object);
}

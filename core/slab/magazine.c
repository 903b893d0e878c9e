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
 *
 * A pop or a push is all that most calls need, so everything else is out of line: the way that
 * matters then saves no registers and fills a cache line or two of code.  A CPU's lock is taken
 * for the sake of those who drain it, where several CPUs work at once; an uncontended lock is
 * three quarters of what a call costs there.
 */
#include "slab/slab.h"

static inline struct slab_cpu *lock_cpu(struct ondol_kmem_cache *cache, uintptr_t *out_irq)
{
	struct ondol_machine *m = cache->m;
	struct slab_cpu *cpu = cache->cpu;

	*out_irq = port_irq_save(m->port);
	if (cache->smp) {
		cpu += machine_this_cpu(m);
		spin_lock(m->port, &cpu->lock);
	}
	return cpu;
}

static inline void unlock_cpu(struct ondol_kmem_cache *cache, struct slab_cpu *cpu, uintptr_t irq)
{
	if (cache->smp)
		spin_unlock(&cpu->lock);
	port_irq_restore(cache->m->port, irq);
}

/* One CPU and nothing to mask: nobody can come in between, even without a lock. */
static inline bool is_alone(const struct ondol_kmem_cache *cache)
{
	return ondol_likely(!cache->smp && !cache->m->port->irq_save);
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
		ondol_kmem_cache_free(m->slab->magazine_cache, magazine);
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

/* ------------------------------------------------------------------ allocating */

static inline void *pop_object(const struct ondol_kmem_cache *cache, struct slab_cpu *cpu,
			       uint32_t slack)
{
	uint32_t nr = cpu->nr - 1;
	struct slab_entry *entry = &cpu->loaded[nr];

	store_relaxed(&cpu->nr, nr);
	if (slack) {
		slack >>= cache->slack_shift;
		add_relaxed(&cpu->slack, (long)(slack << cache->slack_shift));
	}
	*entry->state = (uint16_t)(SLAB_IN_USE | slack);
	return entry->object;
}

/* The magazines of this CPU: swapped, or filled from the slabs that there are; or NULL. */
static void *alloc_from_magazines(struct ondol_kmem_cache *cache, uint32_t slack)
{
	struct ondol_machine *m = cache->m;
	struct slab_cpu *cpu;
	void *object = NULL;
	uintptr_t irq;

	cpu = lock_cpu(cache, &irq);
	if (ondol_unlikely(!cpu->nr && cpu->spare_nr))
		swap_magazines(cpu);
	if (ondol_unlikely(!cpu->nr && cpu->cap))
		store_relaxed(&cpu->nr,
			      slab_take_many(cache, m->phys->cpus[machine_this_cpu(m)].node,
					     cpu->loaded, cpu->cap));
	if (cpu->nr)
		object = pop_object(cache, cpu, slack);
	unlock_cpu(cache, cpu, irq);
	return object;
}

static void *alloc_from_slab(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t slack)
{
	struct slab_cpu *cpu;
	void *object;
	uintptr_t irq;
	uint16_t *state = slab_alloc_object(cache, gfp, &object);

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

/* Whatever is not a plain pop.  Objects that are debugged always come this way. */
static __attribute__((noinline)) void *alloc_slow(struct ondol_kmem_cache *cache, ondol_gfp_t gfp,
						  uint32_t slack)
{
	struct ondol_machine *m = cache->m;
	void *object;

	if (machine_should_fail(m, ONDOL_FAIL_SLAB))
		return NULL;
	if (ondol_unlikely(cache->mag_cap &&
			   !load_relaxed(&cache->cpu[machine_this_cpu(m)].cap)))
		fetch_magazines(cache);
	object = alloc_from_magazines(cache, slack);
	if (ondol_unlikely(!object)) {
		object = alloc_from_slab(cache, gfp, slack);
		if (!object)
			return NULL;
	}
	if (ondol_unlikely(cache->flags & SLAB_DEBUG_FLAGS))
		slab_debug_alloc(cache, slab_of(m, object), object);
	if (gfp & ONDOL_GFP_ZERO)
		__builtin_memset(object, 0, cache->object_size);
	return object;
}

static inline __attribute__((always_inline)) void *
alloc_object(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t slack)
{
	struct slab_cpu *cpu = cache->cpu;
	void *object;

	if (!is_alone(cache) || ondol_unlikely(!cpu->nr || cache->m->fail_plan))
		return alloc_slow(cache, gfp, slack);
	object = pop_object(cache, cpu, slack);
	return gfp & ONDOL_GFP_ZERO ? __builtin_memset(object, 0, cache->object_size) : object;
}

void *slab_cache_alloc(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t slack)
{
	return alloc_object(cache, gfp, slack);
}

void *ondol_kmem_cache_alloc(struct ondol_kmem_cache *cache, ondol_gfp_t gfp)
{
	return alloc_object(cache, gfp, 0);
}

/* ------------------------------------------------------------------ freeing */

void slab_give_slack(struct ondol_kmem_cache *cache, uint32_t slack)
{
	uintptr_t irq;
	struct slab_cpu *cpu = lock_cpu(cache, &irq);

	add_relaxed(&cpu->slack, -((long)slack << cache->slack_shift));
	unlock_cpu(cache, cpu, irq);
}

static inline void push_object(const struct ondol_kmem_cache *cache, struct slab_cpu *cpu,
			       void *object, uint16_t *state)
{
	struct slab_entry *entry = &cpu->loaded[cpu->nr];
	uint32_t slack = *state & ~SLAB_IN_USE;

	if (slack)
		add_relaxed(&cpu->slack, -(long)(slack << cache->slack_shift));
	*state = SLAB_IN_MAGAZINE;
	entry->object = object;
	entry->state = state;
	store_relaxed(&cpu->nr, cpu->nr + 1);
}

/* The magazines are full: the spare one's objects go to their slabs. */
static void make_room(struct ondol_kmem_cache *cache, struct slab_cpu *cpu)
{
	if (cpu->spare_nr) {
		slab_put_many(cache, cpu->spare, cpu->spare_nr);
		store_relaxed(&cpu->spare_nr, 0);
	}
	swap_magazines(cpu);
}

static __attribute__((noinline)) void free_slow(struct ondol_kmem_cache *cache,
						struct ondol_page *head, void *object,
						uint16_t *state)
{
	struct slab_entry entry = { object, state };
	struct slab_cpu *cpu;
	uintptr_t irq;
	uint32_t slack;
	bool kept;

	if (ondol_unlikely(cache->flags & SLAB_DEBUG_FLAGS))
		slab_debug_free(cache, head, object);
	if (ondol_unlikely(cache->mag_cap &&
			   !load_relaxed(&cache->cpu[machine_this_cpu(cache->m)].cap)))
		fetch_magazines(cache);
	cpu = lock_cpu(cache, &irq);
	kept = cpu->cap != 0;
	if (ondol_likely(kept)) {
		if (ondol_unlikely(cpu->nr == cpu->cap))
			make_room(cache, cpu);
		push_object(cache, cpu, object, state);
	} else {
		slack = *state & ~SLAB_IN_USE;
		add_relaxed(&cpu->slack, -(long)(slack << cache->slack_shift));
		*state = SLAB_IN_MAGAZINE;
	}
	unlock_cpu(cache, cpu, irq);
	if (ondol_unlikely(!kept))
		slab_put_many(cache, &entry, 1);
}

/* Everything that makes it an object in use of the cache has been looked at then. */
static inline __attribute__((always_inline)) void
free_object(struct ondol_kmem_cache *cache, struct ondol_page *head, void *object,
	    uint32_t offset)
{
	uint32_t at = offset - head->slab.colour, index = slab_index(cache, at);
	struct slab_cpu *cpu = cache->cpu;
	uint16_t *state;

	ONDOL_VERIFY(cache->m, index < cache->nr_objects && index * cache->stride == at, "SLAB-6",
		     (uintptr_t)object, at);
	state = &slab_states_at(cache, head, (char *)object - offset)[index];
	ONDOL_VERIFY(cache->m, *state >= SLAB_IN_USE && *state != SLAB_IN_MAGAZINE, "SLAB-5",
		     (uintptr_t)object, *state);
	if (is_alone(cache) && ondol_likely(cpu->nr < cpu->cap))
		push_object(cache, cpu, object, state);
	else
		free_slow(cache, head, object, state);
}

void slab_free(struct ondol_machine *m, void *object)
{
	uint32_t offset;
	struct ondol_page *head = slab_locate(m, object, &offset);

	ONDOL_VERIFY(m, head, "SLAB-6", (uintptr_t)object, 0);
	free_object(head->slab.cache, head, object, offset);
}

void ondol_kmem_cache_free(struct ondol_kmem_cache *cache, void *object)
{
	uint32_t offset;
	struct ondol_page *head = slab_locate(cache->m, object, &offset);

	ONDOL_VERIFY(cache->m, head && head->slab.cache == cache, "SLAB-6", (uintptr_t)object,
		     (uintptr_t)cache);
	free_object(cache, head, object, offset);
}

/* ------------------------------------------------------------------ draining */

void slab_drain_magazines(struct ondol_kmem_cache *cache, bool forget)
{
	struct ondol_machine *m = cache->m;

	for (uint32_t i = 0; i < m->nr_cpus; i++) {
		struct slab_cpu *cpu = &cache->cpu[i];
		uintptr_t irq = lock_irqsave(m->port, &cpu->lock, cache->smp);
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
		unlock_irqrestore(m->port, &cpu->lock, cache->smp, irq);
		if (!forget)
			continue;
		magazine_delete(m, loaded);
		magazine_delete(m, spare);
	}
}

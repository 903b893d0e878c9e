/* SPDX-License-Identifier: MIT */
/*
 * Behind the CPUs' magazines.
 *
 *	CPU 0   loaded, spare --.          .-- full:  [M]-[M]-[M]
 *	CPU 1   loaded, spare --+-- depot -+                       beyond depot_max: to the slabs
 *	CPU 2   loaded, spare --'          '-- empty: [M]-[M]
 *
 * A CPU that has used up both magazines exchanges one for a full one, and one that has filled
 * both for an empty one: a lock for so many objects, whoever allocated them.  So objects that one
 * CPU allocates and another frees go round in whole magazines.
 *
 * Where the lock is found taken, magazines are too small: after CONTENDED_MANY such times each
 * may hold twice as many (Bonwick and Adams 2001, 3.3).  The room is there from the start, a
 * KiB, so that growing is a number that a CPU takes over at its next exchange.
 *
 * [SLAB-11] The depot's full magazines hold as many objects as it counts, each marked so.
 */
#include "slab/slab.h"

#define CONTENDED_MANY 32

/* Counts how often somebody else had it. */
static void lock_depot(struct ondol_kmem_cache *cache)
{
	uint32_t wider;

	if (!cache->smp || spin_trylock(&cache->lock))
		return;
	spin_lock(cache->m->port, &cache->lock);
	if (++cache->contended < CONTENDED_MANY)
		return;
	cache->contended = 0;
	wider = cache->mag_cap * 2u;
	store_relaxed(&cache->mag_cap, (uint16_t)(wider < cache->mag_max ? wider : cache->mag_max));
}

static void unlock_depot(struct ondol_kmem_cache *cache)
{
	if (cache->smp)
		spin_unlock(&cache->lock);
}

static struct slab_magazine *magazine_of(struct slab_entry *entries)
{
	return container_of(entries, struct slab_magazine, entry[0]);
}

struct slab_magazine *slab_magazine_new(struct ondol_machine *m)
{
	void *object;
	uint16_t *state = slab_alloc_object(m->slab->magazine_cache, slab_this_node(m),
					    ONDOL_GFP_NOWAIT | ONDOL_GFP_NOWARN, &object);

	if (!state)
		return NULL;
	*state = SLAB_IN_USE;
	if (m->slab->magazine_cache->flags & SLAB_DEBUG_FLAGS)
		slab_debug_alloc(m->slab->magazine_cache, object, 0, ondol_caller());
	return object;
}

void slab_magazine_delete(struct ondol_machine *m, struct slab_magazine *magazine)
{
	if (magazine)
		ondol_kmem_cache_free(m->slab->magazine_cache, magazine);
}

void slab_fetch_magazines(struct ondol_kmem_cache *cache)
{
	struct ondol_machine *m = cache->m;
	struct slab_magazine *fresh[3] = { NULL, NULL, NULL };
	uint32_t wanted = m->nr_nodes > 1 ? 3 : 2, nr = 0;
	struct slab_cpu *cpu;
	uintptr_t irq;

	while (nr < wanted && (fresh[nr] = slab_magazine_new(m)))
		nr++;
	if (nr == wanted) {
		cpu = slab_lock_cpu(cache, &irq);
		if (!cpu->cap) {
			cpu->loaded = fresh[0]->entry;
			cpu->spare = fresh[1]->entry;
			cpu->alien = fresh[2] ? fresh[2]->entry : NULL;
			store_relaxed(&cpu->cap, (uint8_t)load_relaxed(&cache->mag_cap));
			fresh[0] = fresh[1] = fresh[2] = NULL;
		}
		slab_unlock_cpu(cache, cpu, irq);
	}
	for (uint32_t i = 0; i < nr; i++)
		slab_magazine_delete(m, fresh[i]);
}

static void swap(struct slab_cpu *cpu)
{
	struct slab_entry *entries = cpu->loaded;
	uint8_t nr = cpu->nr;

	cpu->loaded = cpu->spare;
	cpu->spare = entries;
	store_relaxed(&cpu->nr, cpu->spare_nr);
	store_relaxed(&cpu->spare_nr, nr);
}

/* Both are empty: one for a full one. */
static bool exchange_empty(struct ondol_kmem_cache *cache, struct slab_cpu *cpu)
{
	struct slab_magazine *full, *mine = magazine_of(cpu->loaded);

	if (!load_relaxed(&cache->depot_objects))
		return false;
	lock_depot(cache);
	full = cache->full;
	if (full) {
		cache->full = full->next;
		store_relaxed(&cache->nr_full, cache->nr_full - 1);
		if (cache->nr_full < cache->nr_full_min)
			cache->nr_full_min = cache->nr_full;
		cache->nr_moves++;
		store_relaxed(&cache->depot_objects, cache->depot_objects - full->nr);
		mine->next = cache->empty;
		store_relaxed(&cache->empty, mine);
	}
	unlock_depot(cache);
	if (!full)
		return false;
	cpu->loaded = full->entry;
	store_relaxed(&cpu->nr, (uint8_t)full->nr);
	return true;
}

/* Magazines that filled up before the caches' grew are shorter; ones that are longer stay so. */
static void take_over_cap(struct ondol_kmem_cache *cache, struct slab_cpu *cpu)
{
	uint32_t cap = load_relaxed(&cache->mag_cap);

	if (cap > cpu->cap)
		store_relaxed(&cpu->cap, (uint8_t)cap);
}

void slab_load(struct ondol_kmem_cache *cache, struct slab_cpu *cpu)
{
	if (cpu->spare_nr) {
		swap(cpu);
		return;
	}
	take_over_cap(cache, cpu);
	if (!exchange_empty(cache, cpu))
		store_relaxed(&cpu->nr, (uint8_t)slab_take_many(cache,
					slab_this_node(cache->m), cpu->loaded, cpu->cap));
}

/* The spare, full, for an empty one.  False: the depot is full, or has none and gets none. */
static bool exchange_full(struct ondol_kmem_cache *cache, struct slab_cpu *cpu)
{
	struct slab_magazine *mine = magazine_of(cpu->spare), *empty, *fresh = NULL;
	bool room;

	if (load_relaxed(&cache->depot_objects) + cpu->spare_nr > cache->depot_max)
		return false;
	if (!load_relaxed(&cache->empty))
		fresh = slab_magazine_new(cache->m);
	lock_depot(cache);
	room = cache->depot_objects + cpu->spare_nr <= cache->depot_max;
	empty = room ? fresh : NULL;
	if (room && !empty && cache->empty) {
		empty = cache->empty;
		store_relaxed(&cache->empty, empty->next);
	}
	if (empty) {
		mine->nr = cpu->spare_nr;
		mine->next = cache->full;
		cache->full = mine;
		store_relaxed(&cache->nr_full, cache->nr_full + 1);
		store_relaxed(&cache->depot_objects, cache->depot_objects + mine->nr);
		cache->nr_moves++;
	}
	unlock_depot(cache);
	if (!empty) {
		slab_magazine_delete(cache->m, fresh);
		return false;
	}
	cpu->spare = empty->entry;
	store_relaxed(&cpu->spare_nr, 0);
	return true;
}

void slab_unload(struct ondol_kmem_cache *cache, struct slab_cpu *cpu)
{
	take_over_cap(cache, cpu);
	if (cpu->spare_nr && !exchange_full(cache, cpu)) {
		slab_put_many(cache, cpu->spare, cpu->spare_nr);
		store_relaxed(&cpu->spare_nr, 0);
	}
	if (cpu->nr >= cpu->cap)
		swap(cpu);
}

void slab_put_aliens(struct ondol_kmem_cache *cache, struct slab_cpu *cpu)
{
	slab_put_many(cache, cpu->alien, cpu->alien_nr);
	store_relaxed(&cpu->alien_nr, 0);
}

/* ------------------------------------------------------------------ draining */

static struct slab_magazine *take_unwanted(struct ondol_kmem_cache *cache)
{
	uintptr_t irq = slab_lock(cache);
	struct slab_magazine *full = cache->nr_full_min && cache->nr_full ? cache->full : NULL;

	if (full) {
		cache->full = full->next;
		cache->nr_full_min--;
		store_relaxed(&cache->nr_full, cache->nr_full - 1);
		store_relaxed(&cache->depot_objects, cache->depot_objects - full->nr);
	} else {
		cache->nr_full_min = cache->nr_full;
	}
	slab_unlock(cache, irq);
	return full;
}

void slab_trim_depot(struct ondol_kmem_cache *cache)
{
	struct slab_magazine *full;

	while ((full = take_unwanted(cache))) {
		slab_put_many(cache, full->entry, full->nr);
		slab_magazine_delete(cache->m, full);
	}
}

static void drain_depot(struct ondol_kmem_cache *cache)
{
	struct slab_magazine *full, *empty, *next;
	uintptr_t irq = slab_lock(cache);

	full = cache->full;
	empty = cache->empty;
	cache->full = NULL;
	store_relaxed(&cache->empty, NULL);
	store_relaxed(&cache->nr_full, 0);
	store_relaxed(&cache->depot_objects, 0);
	cache->nr_full_min = 0;
	slab_unlock(cache, irq);
	for (; full; full = next) {
		next = full->next;
		slab_put_many(cache, full->entry, full->nr);
		slab_magazine_delete(cache->m, full);
	}
	for (; empty; empty = next) {
		next = empty->next;
		slab_magazine_delete(cache->m, empty);
	}
}

static void drain_cpu(struct ondol_kmem_cache *cache, struct slab_cpu *cpu, bool forget)
{
	struct ondol_machine *m = cache->m;
	struct slab_entry *gone[3] = { NULL, NULL, NULL };
	uintptr_t irq = port_irq_save(m->port);

	if (cache->smp)
		cpu_lock_claim(m->port, &cpu->lock);
	if (cpu->nr)
		slab_put_many(cache, cpu->loaded, cpu->nr);
	if (cpu->spare_nr)
		slab_put_many(cache, cpu->spare, cpu->spare_nr);
	if (cpu->alien_nr)
		slab_put_aliens(cache, cpu);
	if (cpu->hand & SLAB_HAND_FREE) {
		struct slab_entry entry = { (void *)(cpu->hand - SLAB_HAND_FREE),
					    cpu->hand_state };

		slab_put_many(cache, &entry, 1);
	}
	store_relaxed(&cpu->hand, 0);
	store_relaxed(&cpu->nr, 0);
	store_relaxed(&cpu->spare_nr, 0);
	if (forget) {
		gone[0] = cpu->loaded;
		gone[1] = cpu->spare;
		gone[2] = cpu->alien;
		cpu->loaded = cpu->spare = cpu->alien = NULL;
		store_relaxed(&cpu->cap, 0);
	}
	if (cache->smp)
		cpu_lock_release(&cpu->lock);
	port_irq_restore(m->port, irq);
	for (unsigned i = 0; i < 3; i++)
		if (gone[i])
			slab_magazine_delete(m, magazine_of(gone[i]));
}

void slab_drain_magazines(struct ondol_kmem_cache *cache, bool forget)
{
	for (uint32_t i = 0; i < cache->m->nr_cpus; i++)
		if (load_relaxed(&cache->cpu[i].cap))
			drain_cpu(cache, &cache->cpu[i], forget);
	drain_depot(cache);
	if (cache->flags & ONDOL_SLAB_QUARANTINE)
		slab_end_quarantine(cache);
}

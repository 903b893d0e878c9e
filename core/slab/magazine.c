/* SPDX-License-Identifier: MIT */
/*
 * Magazines: each CPU's stacks of free objects of a cache.
 *
 *	alloc <-- loaded --.                     .--> loaded <-- free
 *	           empty?  swap with spare       full? swap with spare
 *	                   both empty: the depot       both full: the depot
 *
 * As pcp.c does with frames.  In front of both is the *hand*: an object that this CPU freed, with
 * where its state is.  Who allocates takes that, and as long as it is remembered which it was,
 * freeing it again asks neither its page's record nor the cache's arithmetic.  What is freed while
 * the hand is full goes past it, to the magazine:
 *
 *	slab_cpu   lock | hand, its state's address, generation | ...      one line
 *	state      of the object: in use, or not                          the other
 *
 * So a pair writes two lines, and reads the constant line of the cache beside.  The memory of the
 * hand is good while no slab of the cache went to the buddy since: generation counts those.
 *
 * The first use of a cache on a CPU fetches its magazines; while
 * there is no room for them, objects come straight from the slabs.  depot.c is what is behind.
 *
 * A pop or a push is all that most calls need, so everything else is out of line: the way that
 * matters then saves no registers and fills a cache line or two of code.  A CPU's part is locked
 * for the sake of those who drain it, where several CPUs work at once: see cpu_lock in
 * base/spinlock.h for what that costs the owner.
 *
 * With several nodes an object that is freed on another node than its own goes to a third
 * magazine, from there, many under one lock, to its slab: memory stays where it is near.
 */
#include "slab/slab.h"

static inline __attribute__((always_inline)) struct slab_cpu *
lock_cpu(struct ondol_kmem_cache *cache, uintptr_t *out_irq)
{
	struct ondol_machine *m = cache->m;
	struct slab_cpu *cpu = cache->cpu;

	*out_irq = port_irq_save(m->port);
	if (cache->smp) {
		cpu += machine_this_cpu(m);
		cpu_lock(m->port, &cpu->lock);
	}
	return cpu;
}

static inline __attribute__((always_inline)) void
unlock_cpu(struct ondol_kmem_cache *cache, struct slab_cpu *cpu, uintptr_t irq)
{
	if (cache->smp)
		cpu_unlock(cache->m->port, &cpu->lock);
	port_irq_restore(cache->m->port, irq);
}

struct slab_cpu *slab_lock_cpu(struct ondol_kmem_cache *cache, uintptr_t *out_irq)
{
	return lock_cpu(cache, out_irq);
}

void slab_unlock_cpu(struct ondol_kmem_cache *cache, struct slab_cpu *cpu, uintptr_t irq)
{
	unlock_cpu(cache, cpu, irq);
}

/* ------------------------------------------------------------------ allocating */

static inline void *pop_object(const struct ondol_kmem_cache *cache, struct slab_cpu *cpu,
			       uint32_t slack)
{
	uint32_t nr = cpu->nr - 1;
	struct slab_entry *entry = &cpu->loaded[nr];

	store_relaxed(&cpu->nr, (uint8_t)nr);
	if (slack) {
		slack >>= cache->slack_shift;
		add_relaxed(&cpu->slack, (long)(slack << cache->slack_shift));
	}
	*entry->state = (uint16_t)(SLAB_IN_USE | slack);
	return entry->object;
}

/* From the hand or the loaded magazine, or NULL. */
static inline __attribute__((always_inline)) void *
take_object(const struct ondol_kmem_cache *cache, struct slab_cpu *cpu, uint32_t slack)
{
	uintptr_t hand = cpu->hand;

	if (!(hand & SLAB_HAND_FREE))
		return ondol_likely(cpu->nr) ? pop_object(cache, cpu, slack) : NULL;
	store_relaxed(&cpu->hand, hand - SLAB_HAND_FREE);
	if (slack) {
		slack >>= cache->slack_shift;
		add_relaxed(&cpu->slack, (long)(slack << cache->slack_shift));
	}
	*cpu->hand_state = (uint16_t)(SLAB_IN_USE | slack);
	return (void *)(hand - SLAB_HAND_FREE);
}

/* The magazines of this CPU, loaded anew if need be; or NULL. */
static void *alloc_from_magazines(struct ondol_kmem_cache *cache, uint32_t slack)
{
	struct slab_cpu *cpu;
	void *object;
	uintptr_t irq;

	cpu = lock_cpu(cache, &irq);
	if (!cpu->nr && cpu->cap && !(cpu->hand & SLAB_HAND_FREE))
		slab_load(cache, cpu);
	object = take_object(cache, cpu, slack);
	unlock_cpu(cache, cpu, irq);
	return object;
}

static void *alloc_from_slab(struct ondol_kmem_cache *cache, unsigned node, ondol_gfp_t gfp,
			     uint32_t slack)
{
	struct slab_cpu *cpu;
	void *object;
	uintptr_t irq;
	uint16_t *state = slab_alloc_object(cache, node, gfp, &object);

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

/* `slack` beyond what was asked for is a red zone's. */
static __attribute__((noinline)) void *finish_debugged(struct ondol_kmem_cache *cache,
						       void *object, ondol_gfp_t gfp,
						       uint32_t slack, const void *caller)
{
	slab_debug_alloc(cache, object, slack, caller);
	return gfp & ONDOL_GFP_ZERO ?
		__builtin_memset(object, 0, cache->object_size - slack) : object;
}

static inline void *finish(struct ondol_kmem_cache *cache, void *object, ondol_gfp_t gfp)
{
	return gfp & ONDOL_GFP_ZERO ? __builtin_memset(object, 0, cache->object_size) : object;
}

/* Objects that are debugged always come this way. */
static __attribute__((noinline)) void *alloc_slow(struct ondol_kmem_cache *cache, ondol_gfp_t gfp,
						  uint32_t slack, const void *caller)
{
	struct ondol_machine *m = cache->m;
	void *object = NULL;

	if (machine_should_fail(m, ONDOL_FAIL_SLAB))
		return NULL;
	if (load_relaxed(&cache->mag_cap)) {
		if (ondol_unlikely(!load_relaxed(&cache->cpu[machine_this_cpu(m)].cap)))
			slab_fetch_magazines(cache);
		object = alloc_from_magazines(cache, slack);
	}
	if (ondol_unlikely(!object)) {
		object = alloc_from_slab(cache, slab_this_node(m), gfp, slack);
		if (!object)
			return NULL;
	}
	if (ondol_unlikely(cache->flags & SLAB_DEBUG_FLAGS))
		return finish_debugged(cache, object, gfp, slack, caller);
	return finish(cache, object, gfp);
}

/* Between what the port wants done around it. */
static __attribute__((noinline)) void *alloc_hooked(struct ondol_kmem_cache *cache,
						    ondol_gfp_t gfp, uint32_t slack,
						    const void *caller)
{
	uintptr_t irq;
	struct slab_cpu *cpu = lock_cpu(cache, &irq);
	void *object = take_object(cache, cpu, slack);

	unlock_cpu(cache, cpu, irq);
	return ondol_likely(object) ? finish(cache, object, gfp) :
				      alloc_slow(cache, gfp, slack, caller);
}

/* One call asks for the CPU; who called is of no interest here, for nothing is debugged. */
static inline __attribute__((always_inline)) void *
alloc_as_cpu(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t slack)
{
	struct ondol_machine *m = cache->m;
	uint32_t index = m->this_cpu(m->port_ctx);
	struct slab_cpu *cpu = &cache->cpu[index];
	void *object;

	if (ondol_unlikely(!cpu_try_lock(&cpu->lock)))
		return alloc_hooked(cache, gfp, slack, NULL);
	object = take_object(cache, cpu, slack);
	cpu_try_unlock(&cpu->lock);
	return ondol_likely(object) ? finish(cache, object, gfp) :
				      alloc_slow(cache, gfp, slack, NULL);
}

static __attribute__((noinline)) void *alloc_whole_by_cpu(struct ondol_kmem_cache *cache,
							  ondol_gfp_t gfp)
{
	return alloc_as_cpu(cache, gfp, 0);
}

static __attribute__((noinline)) void *alloc_by_cpu(struct ondol_kmem_cache *cache,
						    ondol_gfp_t gfp, uint32_t slack)
{
	return alloc_as_cpu(cache, gfp, slack);
}

static inline __attribute__((always_inline)) void *
alloc_object(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t slack, const void *caller)
{
	unsigned way = load_relaxed(&cache->way);
	void *object;

	if (ondol_unlikely(way >= SLAB_HOOKED))
		return way == SLAB_SLOW ? alloc_slow(cache, gfp, slack, caller) :
					  alloc_hooked(cache, gfp, slack, caller);
	if (way == SLAB_CPUS)
		return slack ? alloc_by_cpu(cache, gfp, slack) : alloc_whole_by_cpu(cache, gfp);
	object = take_object(cache, cache->cpu, slack);
	return ondol_likely(object) ? finish(cache, object, gfp) :
				      alloc_slow(cache, gfp, slack, caller);
}

void *slab_cache_alloc(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t slack,
		       const void *caller)
{
	return alloc_object(cache, gfp, slack, caller);
}

void *ondol_kmem_cache_alloc(struct ondol_kmem_cache *cache, ondol_gfp_t gfp)
{
	return alloc_object(cache, gfp, 0, ondol_caller());
}

void *slab_cache_alloc_node(struct ondol_kmem_cache *cache, int node, ondol_gfp_t gfp,
			    uint32_t slack, const void *caller)
{
	struct ondol_machine *m = cache->m;
	void *object;

	if (node < 0 || (uint32_t)node >= m->nr_nodes || m->nr_nodes == 1)
		return alloc_object(cache, gfp, slack, caller);
	/* A magazine has objects of its CPU's node, or of whichever had room. */
	if (machine_should_fail(m, ONDOL_FAIL_SLAB))
		return NULL;
	object = alloc_from_slab(cache, (unsigned)node, gfp, slack);
	if (!object)
		return NULL;
	if (ondol_unlikely(cache->flags & SLAB_DEBUG_FLAGS))
		return finish_debugged(cache, object, gfp, slack, caller);
	return finish(cache, object, gfp);
}

void *ondol_kmem_cache_alloc_node(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, int node)
{
	return slab_cache_alloc_node(cache, node, gfp, 0, ondol_caller());
}

/* ------------------------------------------------------------------ freeing */

void slab_give_slack(struct ondol_kmem_cache *cache, uint32_t slack)
{
	uintptr_t irq;
	struct slab_cpu *cpu = lock_cpu(cache, &irq);

	add_relaxed(&cpu->slack, -(long)(int32_t)(slack << cache->slack_shift));
	unlock_cpu(cache, cpu, irq);
}

/* Into the hand, or while that is full to the loaded magazine.  False: no room. */
static inline __attribute__((always_inline)) bool
put_object(const struct ondol_kmem_cache *cache, struct slab_cpu *cpu, void *object,
	   uint16_t *state)
{
	uint32_t nr = cpu->nr, slack;

	if (ondol_unlikely(nr >= cpu->cap))
		return false;
	slack = *state & ~SLAB_IN_USE;
	if (slack)
		add_relaxed(&cpu->slack, -(long)(slack << cache->slack_shift));
	*state = SLAB_IN_MAGAZINE;
	if (cpu->hand & SLAB_HAND_FREE) {
		struct slab_entry *entry = &cpu->loaded[nr];

		entry->object = object;
		entry->state = state;
		store_relaxed(&cpu->nr, (uint8_t)(nr + 1));
		return true;
	}
	cpu->hand_state = state;
	cpu->hand_generation = __atomic_load_n(&cache->generation, __ATOMIC_ACQUIRE);
	store_relaxed(&cpu->hand, (uintptr_t)object | SLAB_HAND_FREE);
	return true;
}

/* The object that was in hand last comes back: true, unless anything is odd. */
static inline __attribute__((always_inline)) bool
put_back_object(const struct ondol_kmem_cache *cache, struct slab_cpu *cpu, void *object)
{
	uint32_t slack;

	if (cpu->hand != (uintptr_t)object ||
	    cpu->hand_generation != __atomic_load_n(&cache->generation, __ATOMIC_ACQUIRE))
		return false;
	slack = *cpu->hand_state;
	if (ondol_unlikely(slack < SLAB_IN_USE || slack == SLAB_IN_MAGAZINE))
		return false;
	slack &= ~SLAB_IN_USE;
	if (slack)
		add_relaxed(&cpu->slack, -(long)(slack << cache->slack_shift));
	*cpu->hand_state = SLAB_IN_MAGAZINE;
	store_relaxed(&cpu->hand, (uintptr_t)object | SLAB_HAND_FREE);
	return true;
}

/* To the magazine of other nodes' objects, which come to their slabs under one lock. */
static inline void push_alien(struct ondol_kmem_cache *cache, struct slab_cpu *cpu, void *object,
			      uint16_t *state)
{
	struct slab_entry *entry = &cpu->alien[cpu->alien_nr];

	add_relaxed(&cpu->slack, -(long)((*state & ~SLAB_IN_USE) << cache->slack_shift));
	*state = SLAB_IN_MAGAZINE;
	entry->object = object;
	entry->state = state;
	store_relaxed(&cpu->alien_nr, (uint8_t)(cpu->alien_nr + 1));
	if (cpu->alien_nr >= cpu->cap)
		slab_put_aliens(cache, cpu);
}

static bool is_alien(const struct ondol_kmem_cache *cache, const struct ondol_page *head)
{
	return cache->m->nr_nodes > 1 && page_node(head) != slab_this_node(cache->m);
}

static __attribute__((noinline)) void free_slow(struct ondol_kmem_cache *cache,
						struct ondol_page *head, void *object,
						uint16_t *state, const void *caller)
{
	struct slab_entry entry = { object, state };
	struct slab_cpu *cpu;
	uintptr_t irq;
	bool kept;

	if (ondol_unlikely(cache->flags & SLAB_DEBUG_FLAGS))
		slab_debug_free(cache, head, object, caller);
	if (ondol_unlikely(load_relaxed(&cache->mag_cap) &&
			   !load_relaxed(&cache->cpu[machine_this_cpu(cache->m)].cap)))
		slab_fetch_magazines(cache);
	cpu = lock_cpu(cache, &irq);
	kept = cpu->cap != 0;
	if (ondol_likely(kept) && is_alien(cache, head) && cpu->alien) {
		push_alien(cache, cpu, object, state);
	} else if (ondol_likely(kept)) {
		if (cpu->nr >= cpu->cap)
			slab_unload(cache, cpu);
		(void)put_object(cache, cpu, object, state);
	} else {
		add_relaxed(&cpu->slack,
			    -(long)((*state & ~SLAB_IN_USE) << cache->slack_shift));
		*state = SLAB_IN_MAGAZINE;
	}
	unlock_cpu(cache, cpu, irq);
	if (ondol_likely(kept))
		return;
	if (ondol_unlikely(cache->flags & ONDOL_SLAB_QUARANTINE))
		slab_quarantine(cache, &entry);
	else
		slab_put_many(cache, &entry, 1);
}

static __attribute__((noinline)) void free_hooked(struct ondol_kmem_cache *cache,
						  struct ondol_page *head, void *object,
						  uint16_t *state, const void *caller)
{
	uintptr_t irq;
	struct slab_cpu *cpu = lock_cpu(cache, &irq);
	bool done = !is_alien(cache, head) && put_object(cache, cpu, object, state);

	unlock_cpu(cache, cpu, irq);
	if (ondol_unlikely(!done))
		free_slow(cache, head, object, state, caller);
}

/* The state of an object in use: [SLAB-5], [SLAB-6]. */
static inline __attribute__((always_inline)) uint16_t *
state_in_use(const struct ondol_kmem_cache *cache, struct ondol_page *head, void *object,
	     uint32_t offset)
{
	uint32_t at = offset - head->slab.colour, index = slab_index(cache, at);
	uint16_t *state;

	ONDOL_VERIFY(cache->m, index < cache->nr_objects && index * cache->stride == at, "SLAB-6",
		     (uintptr_t)object, at);
	state = &slab_states_at(cache, head, (char *)object - offset)[index];
	ONDOL_VERIFY(cache->m, *state >= SLAB_IN_USE && *state != SLAB_IN_MAGAZINE, "SLAB-5",
		     (uintptr_t)object, *state);
	return state;
}

/* The record of its page says what slab it is in. */
static inline __attribute__((always_inline)) struct ondol_page *
locate_in(const struct ondol_kmem_cache *cache, void *object, uint32_t *out_offset)
{
	struct ondol_page *head = slab_locate(cache->m, object, out_offset);

	ONDOL_VERIFY(cache->m, head && head->slab.cache == cache, "SLAB-6", (uintptr_t)object,
		     (uintptr_t)cache);
	return head;
}

static inline __attribute__((always_inline)) void
free_object(struct ondol_kmem_cache *cache, struct ondol_page *head, void *object,
	    uint32_t offset, const void *caller)
{
	uint16_t *state = state_in_use(cache, head, object, offset);

	if (ondol_unlikely(load_relaxed(&cache->way) != SLAB_ALONE))
		free_hooked(cache, head, object, state, caller);
	else if (ondol_unlikely(!put_object(cache, cache->cpu, object, state)))
		free_slow(cache, head, object, state, caller);
}

/* Not what was in hand last. */
static __attribute__((noinline)) void free_other_by_cpu(struct ondol_kmem_cache *cache,
							void *object, const void *caller,
							struct slab_cpu *cpu)
{
	uint32_t offset;
	struct ondol_page *head = locate_in(cache, object, &offset);
	uint16_t *state = state_in_use(cache, head, object, offset);
	bool done = false;

	if (ondol_likely(!is_alien(cache, head) && cpu_try_lock(&cpu->lock))) {
		done = put_object(cache, cpu, object, state);
		cpu_try_unlock(&cpu->lock);
	}
	if (ondol_unlikely(!done))
		free_slow(cache, head, object, state, caller);
}

/* As alloc_as_cpu. */
static __attribute__((noinline)) void free_by_cpu(struct ondol_kmem_cache *cache, void *object,
						  const void *caller)
{
	struct ondol_machine *m = cache->m;
	uint32_t index = m->this_cpu(m->port_ctx);
	struct slab_cpu *cpu = &cache->cpu[index];

	if (load_relaxed(&cpu->hand) == (uintptr_t)object && cpu_try_lock(&cpu->lock)) {
		bool done = put_back_object(cache, cpu, object);

		cpu_try_unlock(&cpu->lock);
		if (ondol_likely(done))
			return;
	}
	free_other_by_cpu(cache, object, caller, cpu);
}

void slab_free(struct ondol_machine *m, void *object, const void *caller)
{
	uint32_t offset;
	struct ondol_page *head = slab_locate(m, object, &offset);
	struct ondol_kmem_cache *cache;

	ONDOL_VERIFY(m, head, "SLAB-6", (uintptr_t)object, 0);
	cache = head->slab.cache;
	if (load_relaxed(&cache->way) != SLAB_ALONE || !put_back_object(cache, cache->cpu, object))
		free_object(cache, head, object, offset, caller);
}

void ondol_kmem_cache_free(struct ondol_kmem_cache *cache, void *object)
{
	unsigned way = load_relaxed(&cache->way);
	struct ondol_page *head;
	uint32_t offset;

	if (way == SLAB_CPUS) {
		free_by_cpu(cache, object, ondol_caller());
	} else if (way != SLAB_ALONE || !put_back_object(cache, cache->cpu, object)) {
		head = locate_in(cache, object, &offset);
		free_object(cache, head, object, offset, ondol_caller());
	}
}

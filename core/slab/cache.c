/* SPDX-License-Identifier: MIT */
/*
 * Caches as wholes: how one is made and taken down, what is told of it, and how the first one
 * comes about.  What a cache does is in slab.c.
 */
#include "slab/slab.h"

#include "base/format.h"
#include "base/math.h"

#define NIL ONDOL_PAGE_NIL

uintptr_t slab_lock_caches(struct ondol_machine *m)
{
	return lock_irqsave(m->port, &m->slab->list_lock, m->phys->smp);
}

void slab_unlock_caches(struct ondol_machine *m, uintptr_t saved)
{
	unlock_irqrestore(m->port, &m->slab->list_lock, m->phys->smp, saved);
}

static size_t nodes_size(const struct ondol_machine_desc *desc)
{
	return (size_t)align_up(sizeof(struct ondol_kmem_cache) +
				desc->nr_nodes * sizeof(struct slab_node), PHYS_CACHE_LINE);
}

static size_t descriptor_size(const struct ondol_machine_desc *desc)
{
	return nodes_size(desc) + desc->nr_cpus * sizeof(struct slab_cpu);
}

#define LARGER_FLAGS (ONDOL_SLAB_RED_ZONE | ONDOL_SLAB_STORE_USER | ONDOL_SLAB_FIREWALL)

/* Who has no page tables to set can have a red zone; with a guard page there is no room for one. */
static void choose_guard(struct ondol_kmem_cache *cache)
{
	if (cache->m->port->guard) {
		cache->flags &= ~ONDOL_SLAB_RED_ZONE;
		return;
	}
	cache->flags = (cache->flags & ~ONDOL_SLAB_FIREWALL) | ONDOL_SLAB_RED_ZONE;
	log_printf(cache->m->port, ONDOL_LOG_WARN,
		   "cache %s: the port cannot guard pages; a red zone instead", cache->name);
}

static void choose_way(struct ondol_kmem_cache *cache)
{
	const struct ondol_machine *m = cache->m;
	enum slab_way way = SLAB_HOOKED;

	if (m->fail_plan || cache->flags & SLAB_DEBUG_FLAGS)
		way = SLAB_SLOW;
	else if (!cache->smp && !m->port->irq_save && m->nr_nodes == 1)
		way = SLAB_ALONE;
	else if (cache->smp && !m->port->irq_save && m->port->sync_cpus)
		way = SLAB_CPUS;
	store_relaxed(&cache->way, (uint8_t)way);
}

void slab_choose_ways(struct ondol_machine *m)
{
	uintptr_t irq = slab_lock_caches(m);

	list_for_each(pos, &m->slab->caches)
		choose_way(container_of(pos, struct ondol_kmem_cache, link));
	slab_unlock_caches(m, irq);
}

/* Everything but the name list; `cache` is zeroed. */
static int set_up_cache(struct ondol_kmem_cache *cache, struct ondol_machine *m, const char *name,
			const struct ondol_kmem_cache_args *args)
{
	size_t align = args->align ? args->align : sizeof(void *);
	struct ondol_machine_desc shape = { .nr_nodes = m->nr_nodes, .nr_cpus = m->nr_cpus };
	uint32_t debug = 0;
	int r;

	cache->m = m;
	/* Who cannot tell CPUs apart is always on the first, and alone there. */
	cache->smp = m->phys->smp;
	cache->generation = 1;
	cache->name = name;
	cache->object_size = (uint32_t)args->object_size;
	cache->flags = args->flags;
	cache->least_order = args->least_order;
	cache->ctor = args->ctor;
	cache->arg = args->arg;
	cache->cpu = (struct slab_cpu *)((char *)cache + nodes_size(&shape));
	if (args->flags & ONDOL_SLAB_HWCACHE_ALIGN) {
		size_t line = PHYS_CACHE_LINE;

		while (line > sizeof(void *) && args->object_size <= line / 2)
			line /= 2;
		align = align > line ? align : line;
	}
	cache->align = (uint32_t)(align > sizeof(void *) ? align : sizeof(void *));
	if (m->slab->debug)
		cache->flags |= debug = slab_debug_flags(m->slab->debug, name);
	if (cache->ctor)
		cache->flags &= ~ONDOL_SLAB_POISON; /* it would undo the constructor's work */
	if (cache->flags & ONDOL_SLAB_RECLAIM_ACCOUNT)
		cache->page_gfp = ONDOL_GFP_RECLAIMABLE;
	for (uint32_t node = 0; node < m->nr_nodes; node++)
		for (unsigned list = 0; list < NR_SLAB_LISTS; list++)
			cache->node[node].head[list] = NIL;
	if (cache->flags & ONDOL_SLAB_FIREWALL)
		choose_guard(cache);
	r = slab_layout(cache);
	if (r && debug & ~args->flags & LARGER_FLAGS) {
		/* Only the machine's wish makes it too large: rather no red zone than no cache. */
		cache->flags &= ~(debug & ~args->flags & LARGER_FLAGS);
		r = slab_layout(cache);
	}
	choose_way(cache);
	return r;
}

static int check_args(const char *name, const struct ondol_kmem_cache_args *args)
{
	const uint32_t known = ONDOL_SLAB_HWCACHE_ALIGN | ONDOL_SLAB_RECLAIM_ACCOUNT |
			       SLAB_DEBUG_FLAGS;

	if (!name || !args || args->size < sizeof *args || args->flags & ~known ||
	    !args->object_size ||
	    args->object_size > ONDOL_KMALLOC_MAX || args->align & (args->align - 1) ||
	    args->align > ONDOL_PAGE_SIZE || args->least_order > SLAB_LEAST_ORDER_MAX)
		return -ONDOL_EINVAL;
	return 0;
}

/*
 * The most that wait in a depot, in bytes: a small share of a small machine; of what is beyond that
 * a larger one, until a thousand pages that are taken and given in turn need no slab.
 */
#define DEPOT_SMALL_MACHINE (256u << 20)
#define DEPOT_SMALL_SHARE 2048
#define DEPOT_SHARE 128
#define DEPOT_BYTES_MAX (4u << 20)
#define MAG_LEAST 8 /* objects of a magazine, unless it could never have as many */

/* The more CPUs hold objects, the smaller their magazines begin; depot.c makes them grow. */
static void set_up_magazines(struct ondol_kmem_cache *cache, uint32_t mag_max)
{
	uint64_t ram = (uint64_t)cache->m->phys->managed * ONDOL_PAGE_SIZE;
	uint64_t small = min_u64(ram, DEPOT_SMALL_MACHINE);
	uint64_t bytes = small / DEPOT_SMALL_SHARE + (ram - small) / DEPOT_SHARE;
	uint32_t cap = mag_max;

	for (uint32_t cpus = cache->m->nr_cpus; cpus > 1 && cap > MAG_LEAST; cpus /= 2)
		cap /= 2;
	cache->mag_max = (uint16_t)mag_max;
	cache->mag_cap = (uint16_t)cap;
	cache->depot_max = (uint32_t)min_u64(bytes, DEPOT_BYTES_MAX) / cache->stride;
}

int slab_create(struct ondol_machine *m, const char *name,
		const struct ondol_kmem_cache_args *args, ondol_gfp_t page_gfp,
		uint32_t mag_cap, struct ondol_kmem_cache **out_cache)
{
	struct ondol_kmem_cache *cache;
	uintptr_t irq;
	int r;

	cache = slab_cache_alloc(m->slab->cache_cache, ONDOL_GFP_KERNEL | ONDOL_GFP_ZERO, 0,
				 ondol_caller());
	if (!cache)
		return -ONDOL_ENOMEM;
	r = set_up_cache(cache, m, name, args);
	if (r) {
		log_printf(m->port, ONDOL_LOG_WARN,
			   "cache %s refused: no block of this profile holds %zu bytes", name,
			   args->object_size);
		ondol_kmem_cache_free(m->slab->cache_cache, cache);
		return r;
	}
	cache->page_gfp |= page_gfp;
	/* Debugged objects go straight to their slab: what is free is checked as free. */
	if (!(cache->flags & SLAB_DEBUG_FLAGS))
		set_up_magazines(cache, mag_cap);
	irq = slab_lock_caches(m);
	list_add_tail(&cache->link, &m->slab->caches);
	slab_unlock_caches(m, irq);
	*out_cache = cache;
	return 0;
}

/* Up to a KiB of entries for small objects, fewer for large ones, none for blocks. */
uint32_t slab_magazine_size(const struct ondol_machine *m, size_t object_size)
{
	if (!m->phys->pcp_on || m->phys->managed < 1024 || object_size > 16384)
		return 0;
	return object_size <= 256 ? SLAB_MAGAZINE_MAX :
	       object_size <= 1024 ? SLAB_MAGAZINE_MAX / 2 :
	       object_size <= 4096 ? SLAB_MAGAZINE_MAX / 4 : SLAB_MAGAZINE_MAX / 8;
}

int ondol_kmem_cache_create(struct ondol_machine *m, const char *name,
			    const struct ondol_kmem_cache_args *args,
			    struct ondol_kmem_cache **out_cache)
{
	int r = check_args(name, args);

	if (r)
		return r;
	return slab_create(m, name, args, 0, slab_magazine_size(m, args->object_size), out_cache);
}

static void report_cache(struct ondol_kmem_cache *cache)
{
	log_printf(cache->m->port, ONDOL_LOG_ERR, "leak: cache %s: %lu objects of %u bytes in use",
		   cache->name, slab_active_objects(cache), cache->object_size);
	if (cache->flags & ONDOL_SLAB_STORE_USER)
		slab_owner_report(cache);
}

int ondol_kmem_cache_destroy(struct ondol_kmem_cache *cache)
{
	struct ondol_machine *m = cache->m;
	uintptr_t irq;

	slab_drain_magazines(cache, false);
	if (load_relaxed(&cache->nr_inuse)) {
		report_cache(cache);
		return -ONDOL_EBUSY;
	}
	irq = slab_lock_caches(m);
	list_del(&cache->link);
	slab_unlock_caches(m, irq);
	slab_drain_magazines(cache, true);
	(void)ondol_kmem_cache_shrink(cache);
	ondol_kmem_cache_free(m->slab->cache_cache, cache);
	return 0;
}

unsigned long slab_active_objects(const struct ondol_kmem_cache *cache)
{
	unsigned long inuse = load_relaxed(&cache->nr_inuse), held = 0;

	for (uint32_t cpu = 0; cpu < cache->m->nr_cpus; cpu++)
		held += load_relaxed(&cache->cpu[cpu].nr) +
			load_relaxed(&cache->cpu[cpu].spare_nr) +
			load_relaxed(&cache->cpu[cpu].alien_nr) +
			(load_relaxed(&cache->cpu[cpu].hand) & SLAB_HAND_FREE);
	held += load_relaxed(&cache->depot_objects) + load_relaxed(&cache->nr_resting);
	/* Magazines that were filled meanwhile are not in `inuse` yet. */
	return held < inuse ? inuse - held : 0;
}

static void describe_cache(struct ondol_kmem_cache *cache, struct ondol_slab_info *info)
{
	struct ondol_page *head;
	uint64_t given;
	long slack = 0;
	uint32_t offset = 0;
	uintptr_t irq;

	__builtin_memset(info, 0, sizeof *info);
	head = slab_locate(cache->m, cache, &offset);
	info->descriptor_slab = ondol_page_to_pfn(cache->m, head);
	info->descriptor_index = slab_index(head->slab.cache, offset - head->slab.colour);
	info->name = cache->name;
	info->object_size = cache->object_size;
	info->buffer_size = cache->stride;
	info->objects_per_slab = cache->nr_objects;
	info->pages_per_slab = cache->nr_frames;
	irq = slab_lock(cache);
	for (uint32_t node = 0; node < cache->m->nr_nodes; node++) {
		info->slabs_full += cache->node[node].nr[SLAB_FULL];
		info->slabs_partial += cache->node[node].nr[SLAB_PARTIAL];
		info->slabs_free += cache->node[node].nr[SLAB_FREE];
	}
	slab_unlock(cache, irq);
	for (uint32_t cpu = 0; cpu < cache->m->nr_cpus; cpu++)
		slack += load_relaxed(&cache->cpu[cpu].slack);
	info->active_objects = slab_active_objects(cache);
	info->active_slabs = info->slabs_full + info->slabs_partial;
	info->nr_slabs = info->active_slabs + info->slabs_free;
	info->nr_objects = info->nr_slabs * cache->nr_objects;
	given = info->active_objects * cache->object_size;
	if (slack > 0)
		info->bytes_requested = given > (uint64_t)slack ? given - (uint64_t)slack : 0;
	else
		info->bytes_requested = given;
}

int ondol_for_each_cache(struct ondol_machine *m,
			 int (*visit)(void *ctx, const struct ondol_slab_info *), void *ctx)
{
	struct ondol_slab_info info;

	/* By number: the visitor is called without the lock, so the list may change. */
	for (uint32_t wanted = 0;; wanted++) {
		struct ondol_kmem_cache *found = NULL;
		uintptr_t irq = slab_lock_caches(m);
		uint32_t at = 0;
		int r;

		list_for_each(pos, &m->slab->caches)
			if (at++ == wanted) {
				found = container_of(pos, struct ondol_kmem_cache, link);
				describe_cache(found, &info);
				break;
			}
		slab_unlock_caches(m, irq);
		if (!found)
			return 0;
		r = visit(ctx, &info);
		if (r)
			return r;
	}
}

static bool same_text(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static void describe_slab(const struct ondol_kmem_cache *cache, struct ondol_page *head,
			  enum slab_list list, struct ondol_slab_shape *shape)
{
	const uint16_t *states = slab_states(cache, head);

	shape->pfn = ondol_pfn(machine_page_pfn(cache->m, head));
	shape->nr_pages = cache->nr_frames;
	shape->nr_objects = cache->nr_objects;
	shape->kind = (enum ondol_slab_kind)list;
	shape->used = 0;
	for (uint32_t i = 0; i < cache->nr_objects && i < 64; i++)
		if (states[i] >= SLAB_IN_USE && states[i] != SLAB_IN_MAGAZINE)
			shape->used |= UINT64_C(1) << i;
}

int ondol_for_each_slab(struct ondol_machine *m, const char *name,
			int (*visit)(void *ctx, const struct ondol_slab_shape *), void *ctx)
{
	struct ondol_kmem_cache *cache = NULL;
	struct ondol_slab_shape shape;
	int r;

	list_for_each(pos, &m->slab->caches) {
		cache = container_of(pos, struct ondol_kmem_cache, link);
		if (same_text(cache->name, name))
			break;
		cache = NULL;
	}
	if (!cache)
		return -ONDOL_ENOENT;
	for (uint32_t node = 0; node < m->nr_nodes; node++)
		for (unsigned list = 0; list < NR_SLAB_LISTS; list++)
			for (uint32_t at = cache->node[node].head[list]; at != NIL;
			     at = m->pages[at].slab.next) {
				describe_slab(cache, &m->pages[at], (enum slab_list)list, &shape);
				r = visit(ctx, &shape);
				if (r)
					return r;
			}
	return 0;
}

uint64_t slab_active_total(struct ondol_machine *m)
{
	uintptr_t irq = slab_lock_caches(m);
	uint64_t total = 0;

	list_for_each(pos, &m->slab->caches) {
		struct ondol_kmem_cache *cache = container_of(pos, struct ondol_kmem_cache, link);

		if (cache != m->slab->magazine_cache)
			total += slab_active_objects(cache);
	}
	slab_unlock_caches(m, irq);
	return total;
}

uint64_t slab_reclaimable_pages(struct ondol_machine *m)
{
	uintptr_t irq = slab_lock_caches(m);
	uint64_t pages = 0;

	list_for_each(pos, &m->slab->caches) {
		struct ondol_kmem_cache *cache = container_of(pos, struct ondol_kmem_cache, link);

		if (cache->flags & ONDOL_SLAB_RECLAIM_ACCOUNT)
			pages += (uint64_t)load_relaxed(&cache->nr_slabs) * cache->nr_frames;
	}
	slab_unlock_caches(m, irq);
	return pages;
}

void slab_report_leaks(struct ondol_machine *m)
{
	uintptr_t irq = slab_lock_caches(m);

	list_for_each(pos, &m->slab->caches) {
		struct ondol_kmem_cache *cache = container_of(pos, struct ondol_kmem_cache, link);

		if (cache != m->slab->magazine_cache && slab_active_objects(cache))
			report_cache(cache);
	}
	slab_unlock_caches(m, irq);
}

/* ------------------------------------------------------------------ bring-up */

static size_t debug_length(const struct ondol_machine_desc *desc)
{
	size_t length = 0;

	while (desc->debug && desc->debug[length])
		length++;
	return length + 1;
}

size_t slab_storage(const struct ondol_machine_desc *desc)
{
	return align_up(sizeof(struct ondol_slab_state), PHYS_CACHE_LINE) +
	       descriptor_size(desc) + debug_length(desc) + 2 * PHYS_CACHE_LINE;
}

/*
 * cache_cache is born in a provisional descriptor, gets its first object from itself, and moves
 * there; only the one slab that there is then names it.
 */
static int bootstrap(struct ondol_machine *m, const struct ondol_machine_desc *desc,
		     struct ondol_kmem_cache *provisional)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args,
					      .object_size = descriptor_size(desc),
					      .flags = ONDOL_SLAB_HWCACHE_ALIGN };
	struct ondol_kmem_cache *real;
	void *object;
	uint16_t *state;
	int r;

	__builtin_memset(provisional, 0, descriptor_size(desc));
	r = set_up_cache(provisional, m, "kmem_cache", &args);
	if (r)
		return r;
	state = slab_alloc_object(provisional, m->phys->cpus[machine_this_cpu(m)].node,
				  ONDOL_GFP_KERNEL, &object);
	if (!state)
		return -ONDOL_ENOMEM;
	*state = SLAB_IN_USE;
	real = object;
	if (provisional->flags & SLAB_DEBUG_FLAGS)
		slab_debug_alloc(provisional, object, 0, ondol_caller());
	__builtin_memcpy(real, provisional, descriptor_size(desc));
	real->cpu = (struct slab_cpu *)((char *)real + nodes_size(desc));
	slab_of(m, object)->slab.cache = real;
	m->slab->cache_cache = real;
	list_add_tail(&real->link, &m->slab->caches);
	return 0;
}

int slab_init(struct ondol_machine *m, const struct ondol_machine_desc *desc,
	      struct carve *storage)
{
	struct ondol_kmem_cache_args args = {
		.size = sizeof args,
		.object_size = sizeof(struct slab_magazine),
	};
	struct ondol_kmem_cache *provisional;
	int r;

	m->slab = carve_take(storage, sizeof *m->slab, PHYS_CACHE_LINE);
	__builtin_memset(m->slab, 0, sizeof *m->slab);
	provisional = carve_take(storage, descriptor_size(desc), PHYS_CACHE_LINE);
	list_init(&m->slab->caches);
	list_init(&m->slab->pools);
	list_init(&m->slab->chunks);
	if (desc->debug) {
		m->slab->debug = carve_take(storage, debug_length(desc), 1);
		__builtin_memcpy(m->slab->debug, desc->debug, debug_length(desc));
	}
	r = bootstrap(m, desc, provisional);
	if (!r)
		r = slab_create(m, "kmem_magazine", &args, 0, 0, &m->slab->magazine_cache);
	if (!r)
		r = kmalloc_init(m);
	if (!r)
		r = ondol_register_shrinker(m, slab_reap, NULL);
	return r;
}

void slab_fini(struct ondol_machine *m)
{
	struct ondol_kmem_cache *cache_cache = m->slab->cache_cache;

	/* Last created, first gone; cache_cache lies in its own last slab. */
	while (m->slab->caches.prev != &cache_cache->link) {
		struct ondol_kmem_cache *cache =
			container_of(m->slab->caches.prev, struct ondol_kmem_cache, link);

		if (ondol_kmem_cache_destroy(cache))
			return;
	}
	(void)ondol_kmem_cache_shrink(cache_cache);
	ondol_free_pages(m, slab_of(m, cache_cache), cache_cache->order);
	m->slab->cache_cache = NULL;
}

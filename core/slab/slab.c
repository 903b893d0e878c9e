/* SPDX-License-Identifier: MIT */
/*
 * Slab caches.
 *
 * 1 What problem.  A kernel allocates a few kinds of small objects over and over.  Taking a
 *   frame for each would waste most of it; searching a general heap would be slow and leave
 *   it in crumbs.
 *
 * 2 Terms.  A cache holds objects of one size.  A slab is a block of frames of a cache, cut
 *   up into objects.  A magazine is a CPU's own stack of free objects.  The stride is the
 *   distance of objects in a slab; slack is what an object has beyond the bytes asked for.
 *
 * 3 How it works.
 *
 *	kmem_cache --- cpu[] --> loaded, spare magazines     no shared lock
 *	    |
 *	    +-- node[] --> partial: [slab]-[slab]            1st choice
 *	                   free:    [slab]                   2nd
 *	                   full:    [slab]-[slab]
 *	                   (none)   a block from the buddy   3rd: the cache grows
 *
 *   From an object to its slab goes the page record of its frame, in O(1).  Beside the
 *   objects, not in them, stands a 16-bit state of each: the index of the next free one, or
 *   who has it.  So a freed object keeps what its constructor made, and freeing twice or
 *   freeing what is no object is noticed every time.
 *
 *   The descriptor of a cache is an object of cache_cache (E7), which is there before all
 *   others (E8): it is made in a provisional place, allocates its own descriptor from itself
 *   and moves in.
 *
 * 4 Invariants.
 *   [SLAB-1] A slab is on the list that the number of its objects in use says (E4).
 *   [SLAB-2] The chain of a slab's free objects has as many entries as are not in use, each
 *            once.
 *   [SLAB-3] Every frame of a slab has the use SLAB and names its first frame, and that its
 *            cache.
 *   [SLAB-4] The cache counts the slabs on each list and the objects out of all slabs.
 *   [SLAB-5] Only an object in use is freed.
 *   [SLAB-6] What is freed is an object of the cache: no other address.
 *   [SLAB-7] Nobody wrote behind an object (red zone; if asked for).
 *   [SLAB-8] Nobody wrote to a free object (poison; if asked for).
 *   [SLAB-9] Magazines hold objects marked so, no more than fit.
 *   [SLAB-10] cache_cache is the first cache, and each descriptor is an object of it in use.
 *
 * 5 Concurrency.  A CPU's magazines are its own; the lists are under the cache's lock.  Neither
 *   is held while frames are asked for, since that may call the shrinkers, and this is one.
 *
 * 6 What can fail.  Growing, when the buddy refuses: NULL, and nothing has changed.  Magazines
 *   are a luxury: without room for one, objects come from the slabs.
 *
 * 7 How to see it.  ondol_proc_slabinfo, ondol_for_each_cache, debug = "FZP,name".
 *
 * 8 Sources.  Bonwick, "The slab allocator", USENIX 1994; Bonwick and Adams, "Magazines and
 *   Vmem", USENIX 2001; Linux 2.6 mm/slab.c and 6.1 mm/slub.c, Documentation/mm/slub.rst.
 *   Linux's SLUB chains free objects through themselves and checks only on demand.
 */
#include "slab/slab.h"

#include "base/format.h"
#include "base/math.h"

#define NIL ONDOL_PAGE_NIL
#define CALLER_GFP                                                                            \
	(ONDOL_GFP_RECLAIM | ONDOL_GFP_HIGH | ONDOL_GFP_NOWARN | ONDOL_GFP_MEMALLOC |          \
	 ONDOL_GFP_THISNODE)

/* ------------------------------------------------------------------ lists of slabs */

static void link_slab(struct ondol_kmem_cache *cache, struct ondol_page *head, enum slab_list list)
{
	struct ondol_page *pages = cache->m->pages;
	struct slab_node *node = &cache->node[page_node(head)];
	uint32_t index = page_index(cache->m, head), next = node->head[list];

	head->slab.next = next;
	head->slab.prev = NIL;
	if (next != NIL)
		pages[next].slab.prev = index;
	node->head[list] = index;
	node->nr[list]++;
}

static void unlink_slab(struct ondol_kmem_cache *cache, struct ondol_page *head,
			enum slab_list list)
{
	struct ondol_page *pages = cache->m->pages;
	struct slab_node *node = &cache->node[page_node(head)];
	uint32_t next = head->slab.next, prev = head->slab.prev;

	if (prev == NIL)
		node->head[list] = next;
	else
		pages[prev].slab.next = next;
	if (next != NIL)
		pages[next].slab.prev = prev;
	node->nr[list]--;
}

/* After nr_inuse changed from `before`: the slab moves if its list changed (E4). */
static void relist_slab(struct ondol_kmem_cache *cache, struct ondol_page *head, uint32_t before)
{
	enum slab_list from = slab_list_of(cache, before);
	enum slab_list to = slab_list_of(cache, head->slab.nr_inuse);

	if (from == to)
		return;
	unlink_slab(cache, head, from);
	link_slab(cache, head, to);
}

/* ------------------------------------------------------------------ objects */

/* Up to `want` free objects of one slab; cache.lock is held. */
static uint32_t take_from_slab(struct ondol_kmem_cache *cache, struct ondol_page *head,
			       struct slab_entry *entries, uint32_t want)
{
	uint16_t *states = slab_states(cache, head);
	char *first = slab_object(cache, head, 0);
	uint32_t before = head->slab.nr_inuse, got = 0;
	uint32_t at = head->slab.free_head;

	while (got < want && at != SLAB_CHAIN_END) {
		ONDOL_VERIFY(cache->m, at < cache->nr_objects, "SLAB-2",
			     page_index(cache->m, head), at);
		entries[got].object = first + at * cache->stride;
		entries[got].state = &states[at];
		at = states[at];
		*entries[got++].state = SLAB_IN_MAGAZINE;
	}
	head->slab.free_head = (uint16_t)at;
	head->slab.nr_inuse = (uint16_t)(before + got);
	store_relaxed(&cache->nr_inuse, cache->nr_inuse + got);
	relist_slab(cache, head, before);
	return got;
}

/* Partial slabs before free ones (E5); cache.lock is held. */
static uint32_t take_from_node(struct ondol_kmem_cache *cache, unsigned node,
			       struct slab_entry *entries, uint32_t want)
{
	struct slab_node *lists = &cache->node[node];
	uint32_t got = 0;

	while (got < want) {
		uint32_t index = lists->head[SLAB_PARTIAL];

		if (index == NIL)
			index = lists->head[SLAB_FREE];
		if (index == NIL)
			break;
		got += take_from_slab(cache, &cache->m->pages[index], entries + got, want - got);
	}
	return got;
}

/* The other nodes' slabs, nearest first; cache.lock is held. */
static uint32_t take_from_others(struct ondol_kmem_cache *cache, unsigned node,
				 struct slab_entry *entries, uint32_t want)
{
	const struct ondol_phys_state *phys = cache->m->phys;
	const struct ondol_node *near = &phys->nodes[node];
	uint32_t got = 0;

	for (unsigned i = 0; i < near->nr_zonelist && got < want; i++)
		got += take_from_node(cache, phys->zones[near->zonelist[i]].node, entries + got,
				      want - got);
	return got;
}

/* Would the buddy give the cache a block of this node?  Its answer may be outdated. */
static bool node_can_grow(const struct ondol_kmem_cache *cache, unsigned node)
{
	const struct ondol_phys_state *phys = cache->m->phys;
	unsigned highest = phys->gfp_class[cache->page_gfp & 31] & 0xf;

	for (unsigned type = 0; type <= highest; type++) {
		const struct ondol_zone *zone = &phys->zones[zone_id(node, type)];

		if (zone->present &&
		    load_relaxed(&zone->nr_free) >= zone->watermark[WMARK_LOW] +
			    zone->lowmem_reserve[highest] + (1u << cache->order))
			return true;
	}
	return false;
}

/* A node without memory has no slabs: its CPUs share those of others, or each object is a slab. */
uint32_t slab_take_many(struct ondol_kmem_cache *cache, unsigned node, struct slab_entry *entries,
			uint32_t want)
{
	uintptr_t irq = slab_lock(cache);
	uint32_t got = take_from_node(cache, node, entries, want);

	if (ondol_unlikely(!got && cache->m->nr_nodes > 1 && !node_can_grow(cache, node)))
		got = take_from_others(cache, node, entries, want);
	slab_unlock(cache, irq);
	return got;
}

/* The block of an empty slab that is on no list goes back to the buddy. */
static void release_slab(struct ondol_kmem_cache *cache, struct ondol_page *head)
{
	if (cache->flags & ONDOL_SLAB_POISON)
		for (uint32_t i = 0; i < cache->nr_objects; i++) {
			const char *broken = slab_debug_check_free(cache,
								   slab_object(cache, head, i));

			ONDOL_VERIFY(cache->m, !broken, broken, page_index(cache->m, head), i);
		}
	ondol_free_pages(cache->m, head, cache->order);
}

/*
 * Chain the objects into their slabs.  Slabs that are empty then, beyond those worth keeping,
 * go back to the buddy after the lock is released, chained by slab.next meanwhile.
 */
uint64_t slab_put_many(struct ondol_kmem_cache *cache, struct slab_entry *entries, uint32_t nr)
{
	struct ondol_machine *m = cache->m;
	uintptr_t size = (uintptr_t)ONDOL_PAGE_SIZE << cache->order, base = 0;
	uintptr_t irq = slab_lock(cache);
	struct ondol_page *head = NULL;
	uint16_t *states = NULL;
	uint32_t doomed = NIL, offset = 0;
	uint64_t frames = 0;

	for (uint32_t i = 0; i < nr; i++) {
		uintptr_t object = (uintptr_t)entries[i].object;
		struct slab_node *node;
		uint32_t before;

		if (object - base >= size) { /* another slab than the one before */
			head = slab_locate(m, entries[i].object, &offset);
			base = object - offset;
			states = slab_states_at(cache, head, (void *)base);
		}
		before = head->slab.nr_inuse--;
		*entries[i].state = head->slab.free_head;
		head->slab.free_head = (uint16_t)(entries[i].state - states);
		if (before > 1 && before < cache->nr_objects)
			continue;
		relist_slab(cache, head, before);
		node = &cache->node[page_node(head)];
		if (head->slab.nr_inuse || node->nr[SLAB_FREE] <= cache->free_slabs_max)
			continue;
		unlink_slab(cache, head, SLAB_FREE);
		store_relaxed(&cache->nr_slabs, cache->nr_slabs - 1);
		head->slab.next = doomed;
		doomed = page_index(m, head);
	}
	store_relaxed(&cache->nr_inuse, cache->nr_inuse - nr);
	slab_unlock(cache, irq);
	while (doomed != NIL) {
		head = &m->pages[doomed];
		doomed = head->slab.next;
		release_slab(cache, head);
		frames += UINT64_C(1) << cache->order;
	}
	return frames;
}

/* A new slab, all its objects free and constructed, on no list yet. */
static struct ondol_page *make_slab(struct ondol_kmem_cache *cache, ondol_gfp_t gfp)
{
	struct ondol_machine *m = cache->m;
	struct ondol_page *head;
	uint16_t *states;
	uintptr_t irq;

	head = ondol_alloc_pages(m, (gfp & CALLER_GFP) | cache->page_gfp | ONDOL_GFP_COMP,
				 cache->order);
	if (!head)
		return NULL;
	ondol_page_set_use(m, head, ONDOL_PAGE_SLAB);
	head->slab.cache = cache;
	head->slab.nr_inuse = 0;
	head->slab.free_head = 0;
	irq = slab_lock(cache);
	head->slab.colour = cache->colour_next * cache->colour_step;
	if (++cache->colour_next == cache->nr_colours)
		cache->colour_next = 0;
	slab_unlock(cache, irq);
	states = slab_states(cache, head);
	for (uint32_t i = 0; i < cache->nr_objects; i++) {
		void *object = slab_object(cache, head, i);

		states[i] = i + 1 < cache->nr_objects ? (uint16_t)(i + 1) : SLAB_CHAIN_END;
		if (cache->ctor)
			cache->ctor(object, cache->arg);
		if (cache->flags & SLAB_DEBUG_FLAGS)
			slab_debug_init(cache, object);
	}
	return head;
}

uint32_t slab_grow_and_take(struct ondol_kmem_cache *cache, ondol_gfp_t gfp,
			    struct slab_entry *entries, uint32_t want)
{
	struct ondol_machine *m = cache->m;
	struct ondol_page *head = make_slab(cache, gfp);
	uintptr_t irq = slab_lock(cache);
	uint32_t got = 0;

	if (head) {
		store_relaxed(&cache->nr_slabs, cache->nr_slabs + 1);
		link_slab(cache, head, SLAB_FREE);
		got = take_from_slab(cache, head, entries, want);
	}
	if (!got) /* rather objects of another node than none */
		got = take_from_others(cache, m->phys->cpus[machine_this_cpu(m)].node, entries,
				       want);
	slab_unlock(cache, irq);
	return got;
}

uint16_t *slab_alloc_object(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, void **out_object)
{
	struct ondol_machine *m = cache->m;
	struct slab_entry entry;
	uint32_t got = slab_take_many(cache, m->phys->cpus[machine_this_cpu(m)].node, &entry, 1);

	if (!got && !slab_grow_and_take(cache, gfp, &entry, 1))
		return NULL;
	*out_object = entry.object;
	return entry.state;
}

uint64_t ondol_kmem_cache_shrink(struct ondol_kmem_cache *cache)
{
	struct ondol_machine *m = cache->m;
	uint64_t freed = 0;

	slab_drain_magazines(cache, false);
	for (uint32_t node = 0; node < m->nr_nodes; node++) {
		uintptr_t irq = slab_lock(cache);
		uint32_t index = cache->node[node].head[SLAB_FREE];

		store_relaxed(&cache->nr_slabs,
			      cache->nr_slabs - cache->node[node].nr[SLAB_FREE]);
		cache->node[node].head[SLAB_FREE] = NIL;
		cache->node[node].nr[SLAB_FREE] = 0;
		slab_unlock(cache, irq);
		while (index != NIL) {
			struct ondol_page *head = &m->pages[index];

			index = head->slab.next;
			release_slab(cache, head);
			freed += UINT64_C(1) << cache->order;
		}
	}
	return freed;
}

/* ------------------------------------------------------------------ caches */

static uintptr_t lock_caches(struct ondol_machine *m)
{
	return lock_irqsave(m->port, &m->slab->list_lock, m->phys->smp);
}

static void unlock_caches(struct ondol_machine *m, uintptr_t saved)
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
	cache->name = name;
	cache->object_size = (uint32_t)args->object_size;
	cache->flags = args->flags;
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
	r = slab_layout(cache);
	if (r && debug & ~args->flags & ONDOL_SLAB_RED_ZONE) {
		/* Only the machine's wish makes it too large: rather no red zone than no cache. */
		cache->flags &= ~ONDOL_SLAB_RED_ZONE;
		r = slab_layout(cache);
	}
	return r;
}

static int check_args(const char *name, const struct ondol_kmem_cache_args *args)
{
	const uint32_t known = ONDOL_SLAB_HWCACHE_ALIGN | ONDOL_SLAB_RECLAIM_ACCOUNT |
			       SLAB_DEBUG_FLAGS;

	if (!name || !args || args->size < sizeof *args || args->flags & ~known ||
	    !args->object_size ||
	    args->object_size > ONDOL_KMALLOC_MAX || args->align & (args->align - 1) ||
	    args->align > ONDOL_PAGE_SIZE)
		return -ONDOL_EINVAL;
	return 0;
}

int slab_create(struct ondol_machine *m, const char *name,
		const struct ondol_kmem_cache_args *args, ondol_gfp_t page_gfp,
		uint32_t mag_cap, struct ondol_kmem_cache **out_cache)
{
	struct ondol_kmem_cache *cache;
	uintptr_t irq;
	int r;

	cache = slab_cache_alloc(m->slab->cache_cache, ONDOL_GFP_KERNEL | ONDOL_GFP_ZERO, 0);
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
	cache->mag_cap = cache->flags & SLAB_DEBUG_FLAGS ? 0 : (uint16_t)mag_cap;
	irq = lock_caches(m);
	list_add_tail(&cache->link, &m->slab->caches);
	unlock_caches(m, irq);
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

static void report_cache(const struct ondol_kmem_cache *cache)
{
	log_printf(cache->m->port, ONDOL_LOG_ERR, "leak: cache %s: %lu objects of %u bytes in use",
		   cache->name, slab_active_objects(cache), cache->object_size);
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
	irq = lock_caches(m);
	list_del(&cache->link);
	unlock_caches(m, irq);
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
			load_relaxed(&cache->cpu[cpu].spare_nr);
	/* Magazines that were filled meanwhile are not in `inuse` yet. */
	return held < inuse ? inuse - held : 0;
}

static void describe_cache(struct ondol_kmem_cache *cache, struct ondol_slab_info *info)
{
	uint64_t given;
	long slack = 0;
	uintptr_t irq;

	__builtin_memset(info, 0, sizeof *info);
	info->name = cache->name;
	info->object_size = cache->object_size;
	info->buffer_size = cache->stride;
	info->objects_per_slab = cache->nr_objects;
	info->pages_per_slab = 1u << cache->order;
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
		uintptr_t irq = lock_caches(m);
		uint32_t at = 0;
		int r;

		list_for_each(pos, &m->slab->caches)
			if (at++ == wanted) {
				found = container_of(pos, struct ondol_kmem_cache, link);
				describe_cache(found, &info);
				break;
			}
		unlock_caches(m, irq);
		if (!found)
			return 0;
		r = visit(ctx, &info);
		if (r)
			return r;
	}
}

static uint64_t shrink_all(struct ondol_machine *m, void *ctx, uint64_t nr_pages)
{
	uintptr_t irq = lock_caches(m);
	uint64_t freed = 0;

	(void)ctx;
	(void)nr_pages;
	list_for_each(pos, &m->slab->caches)
		freed += ondol_kmem_cache_shrink(container_of(pos, struct ondol_kmem_cache, link));
	unlock_caches(m, irq);
	return freed;
}

uint64_t slab_active_total(struct ondol_machine *m)
{
	uintptr_t irq = lock_caches(m);
	uint64_t total = 0;

	list_for_each(pos, &m->slab->caches) {
		struct ondol_kmem_cache *cache = container_of(pos, struct ondol_kmem_cache, link);

		if (cache != m->slab->magazine_cache)
			total += slab_active_objects(cache);
	}
	unlock_caches(m, irq);
	return total;
}

uint64_t slab_reclaimable_pages(struct ondol_machine *m)
{
	uintptr_t irq = lock_caches(m);
	uint64_t pages = 0;

	list_for_each(pos, &m->slab->caches) {
		struct ondol_kmem_cache *cache = container_of(pos, struct ondol_kmem_cache, link);

		if (cache->flags & ONDOL_SLAB_RECLAIM_ACCOUNT)
			pages += (uint64_t)load_relaxed(&cache->nr_slabs) << cache->order;
	}
	unlock_caches(m, irq);
	return pages;
}

void slab_report_leaks(struct ondol_machine *m)
{
	uintptr_t irq = lock_caches(m);

	list_for_each(pos, &m->slab->caches) {
		struct ondol_kmem_cache *cache = container_of(pos, struct ondol_kmem_cache, link);

		if (cache != m->slab->magazine_cache && slab_active_objects(cache))
			report_cache(cache);
	}
	unlock_caches(m, irq);
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
	state = slab_alloc_object(provisional, ONDOL_GFP_KERNEL, &object);
	if (!state)
		return -ONDOL_ENOMEM;
	*state = SLAB_IN_USE;
	real = object;
	if (provisional->flags & SLAB_DEBUG_FLAGS)
		slab_debug_alloc(provisional, slab_of(m, object), object);
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
		.object_size = SLAB_MAGAZINE_MAX * sizeof(struct slab_entry),
	};
	struct ondol_kmem_cache *provisional;
	int r;

	m->slab = carve_take(storage, sizeof *m->slab, PHYS_CACHE_LINE);
	__builtin_memset(m->slab, 0, sizeof *m->slab);
	provisional = carve_take(storage, descriptor_size(desc), PHYS_CACHE_LINE);
	list_init(&m->slab->caches);
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
		r = ondol_register_shrinker(m, shrink_all, NULL);
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

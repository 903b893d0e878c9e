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
 *	    +-- depot  --> full magazines, empty ones        one lock for many objects
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
 *   [SLAB-7] Nobody wrote behind the bytes asked for (red zone; if wished).
 *   [SLAB-8] Nobody wrote to a free object (poison; if wished).
 *   [SLAB-9] Magazines hold objects marked so, no more than fit.
 *   [SLAB-10] cache_cache is the first cache, and each descriptor is an object of it in use.
 *   [SLAB-13] The page that guards an object lies right behind it, in its slab (if wished).
 *   More labels: [SLAB-11] depot.c, [SLAB-12] kmalloc.c, [SLAB-14] owner.c.
 *
 * 5 Concurrency.  A CPU's magazines are its own; the lists are under the cache's lock.  Neither
 *   is held while frames are asked for that may call the shrinkers, for this is one; a depot's
 *   new magazine, fetched with a CPU's part locked, is asked for without reclaim.
 *
 * 6 What can fail.  Growing, when the buddy refuses: NULL, and nothing has changed.  Magazines
 *   are a luxury: without room for one, objects come from the slabs.
 *
 * 7 How to see it.  ondol_proc_slabinfo, ondol_for_each_slab, ondol_slab_usage, debug =
 *   "FZPU,name"; ondol lab slab.
 *
 * 8 Sources.  Bonwick, "The slab allocator", USENIX 1994; Bonwick and Adams, "Magazines and
 *   Vmem", USENIX 2001; Linux 2.6 mm/slab.c and 6.1 mm/slub.c, Documentation/mm/slub.rst.
 *   Linux's SLUB chains free objects through themselves and checks only on demand.
 */
#include "slab/slab.h"

#include "base/format.h"
#include "phys/range.h"

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

void slab_unlink(struct ondol_kmem_cache *cache, struct ondol_page *head, enum slab_list list)
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
	slab_unlink(cache, head, from);
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
	cache->nr_moves++;
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
			    zone->lowmem_reserve[highest] + cache->nr_frames)
			return true;
	}
	return false;
}

static uint32_t slab_take_local(struct ondol_kmem_cache *cache, unsigned node,
				struct slab_entry *entries, uint32_t want)
{
	uintptr_t irq = slab_lock(cache);
	uint32_t got = take_from_node(cache, node, entries, want);

	slab_unlock(cache, irq);
	return got;
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

/* The page behind the object of a slab: untouchable, or a page like any other again. */
static void guard(struct ondol_kmem_cache *cache, struct ondol_page *head, bool on)
{
	const struct ondol_port *port = cache->m->port;
	char *page = (char *)page_host(cache->m, head) + cache->guard_offset;

	if (!port->guard(port->ctx, page, ONDOL_PAGE_SIZE, on) && on)
		log_printf(port, ONDOL_LOG_WARN, "cache %s: no guard page at %#llx", cache->name,
			   (unsigned long long)(uintptr_t)page);
}

void slab_release(struct ondol_kmem_cache *cache, struct ondol_page *head)
{
	if (cache->flags & ONDOL_SLAB_POISON)
		for (uint32_t i = 0; i < cache->nr_objects; i++)
			slab_debug_must_be_free(cache, slab_object(cache, head, i));
	if (cache->guard_offset)
		guard(cache, head, false);
	(void)__atomic_fetch_add(&cache->generation, 1, __ATOMIC_RELEASE);
	if (cache->nr_frames == 1u << cache->order)
		ondol_free_pages(cache->m, head, cache->order);
	else
		range_free(cache->m, head, cache->nr_frames);
}

/*
 * Objects came back to the slab, which had `before` in use.  If it is empty then, and one of more
 * than are worth keeping, it leaves the lists for the doomed, chained by slab.next.
 */
static void settle_slab(struct ondol_kmem_cache *cache, struct ondol_page *head, uint32_t before,
			uint32_t *doomed)
{
	const struct slab_node *node = &cache->node[page_node(head)];

	relist_slab(cache, head, before);
	if (head->slab.nr_inuse || node->nr[SLAB_FREE] <= cache->free_slabs_max)
		return;
	slab_unlink(cache, head, SLAB_FREE);
	store_relaxed(&cache->nr_slabs, cache->nr_slabs - 1);
	head->slab.next = *doomed;
	*doomed = page_index(cache->m, head);
}

/* Back to the buddy, the lock released.  Returns the frames. */
static uint64_t release_doomed(struct ondol_kmem_cache *cache, uint32_t doomed)
{
	uint64_t frames = 0;

	while (doomed != NIL) {
		struct ondol_page *head = &cache->m->pages[doomed];

		doomed = head->slab.next;
		slab_release(cache, head);
		frames += cache->nr_frames;
	}
	return frames;
}

uint64_t slab_put_many(struct ondol_kmem_cache *cache, struct slab_entry *entries, uint32_t nr)
{
	uintptr_t size = (uintptr_t)ONDOL_PAGE_SIZE * cache->nr_frames, base = 0;
	uintptr_t irq = slab_lock(cache);
	struct ondol_page *head = NULL;
	uint16_t *states = NULL;
	uint32_t doomed = NIL, offset = 0;

	for (uint32_t i = 0; i < nr; i++) {
		uintptr_t object = (uintptr_t)entries[i].object;
		uint32_t before;

		if (object - base >= size) { /* another slab than the one before */
			head = slab_locate(cache->m, entries[i].object, &offset);
			base = object - offset;
			states = slab_states_at(cache, head, (void *)base);
		}
		before = head->slab.nr_inuse--;
		*entries[i].state = head->slab.free_head;
		head->slab.free_head = (uint16_t)(entries[i].state - states);
		if (before <= 1 || before >= cache->nr_objects)
			settle_slab(cache, head, before, &doomed);
	}
	store_relaxed(&cache->nr_inuse, cache->nr_inuse - nr);
	cache->nr_moves++;
	slab_unlock(cache, irq);
	return release_doomed(cache, doomed);
}

/* Objects in use, one after the other as far as they are of one slab.  Returns how many. */
static uint32_t put_run(struct ondol_kmem_cache *cache, struct ondol_page *head, uint32_t offset,
			void *const *objects, uint32_t nr, uint32_t *slack)
{
	uintptr_t base = (uintptr_t)objects[0] - offset, first = base + head->slab.colour;
	uintptr_t size = (uintptr_t)ONDOL_PAGE_SIZE * cache->nr_frames;
	uint16_t *states = slab_states_at(cache, head, (void *)base);
	uint32_t free_head = head->slab.free_head, i;

	for (i = 0; i < nr && (uintptr_t)objects[i] - base < size; i++) {
		uint32_t at = (uint32_t)((uintptr_t)objects[i] - first);
		uint32_t index = slab_index(cache, at), state;

		ONDOL_VERIFY(cache->m, index < cache->nr_objects && index * cache->stride == at,
			     "SLAB-6", (uintptr_t)objects[i], at);
		state = states[index];
		ONDOL_VERIFY(cache->m, state >= SLAB_IN_USE && state != SLAB_IN_MAGAZINE,
			     "SLAB-5", (uintptr_t)objects[i], state);
		*slack += state & ~SLAB_IN_USE;
		states[index] = (uint16_t)free_head;
		free_head = index;
	}
	head->slab.free_head = (uint16_t)free_head;
	return i;
}

uint64_t slab_put_used(struct ondol_kmem_cache *cache, void *const *objects, uint32_t nr,
		       uint32_t *out_slack)
{
	uintptr_t irq = slab_lock(cache);
	uint32_t doomed = NIL, slack = 0;

	for (uint32_t done = 0; done < nr;) {
		uint32_t offset, before, run;
		struct ondol_page *head = slab_locate(cache->m, objects[done], &offset);

		ONDOL_VERIFY(cache->m, head && head->slab.cache == cache, "SLAB-6",
			     (uintptr_t)objects[done], (uintptr_t)cache);
		before = head->slab.nr_inuse;
		run = put_run(cache, head, offset, objects + done, nr - done, &slack);
		head->slab.nr_inuse = (uint16_t)(before - run);
		settle_slab(cache, head, before, &doomed);
		done += run;
	}
	store_relaxed(&cache->nr_inuse, cache->nr_inuse - nr);
	cache->nr_moves++;
	slab_unlock(cache, irq);
	*out_slack = slack;
	return release_doomed(cache, doomed);
}

/* The chain of all objects, first to last, made and prepared as far as the cache asks for it. */
static void chain_objects(struct ondol_kmem_cache *cache, struct ondol_page *head)
{
	uint16_t *states = slab_states(cache, head);
	uint32_t nr = cache->nr_objects;

	for (uint32_t i = 0; i + 1 < nr; i++)
		states[i] = (uint16_t)(i + 1);
	states[nr - 1] = SLAB_CHAIN_END;
	if (!cache->ctor && !(cache->flags & SLAB_DEBUG_FLAGS))
		return;
	for (uint32_t i = 0; i < nr; i++) {
		void *object = slab_object(cache, head, i);

		if (cache->ctor)
			cache->ctor(object, cache->arg);
		if (cache->flags & SLAB_DEBUG_FLAGS)
			slab_debug_init(cache, object);
		if (cache->flags & ONDOL_SLAB_STORE_USER)
			slab_owner_init(cache, object);
	}
}

/* A new slab, all its objects free and constructed, on no list yet. */
static struct ondol_page *make_slab(struct ondol_kmem_cache *cache, unsigned on, ondol_gfp_t gfp)
{
	struct ondol_machine *m = cache->m;
	struct ondol_page *head;
	uintptr_t irq;

	head = ondol_alloc_pages_node(m, (int)on,
				      (gfp & CALLER_GFP) | cache->page_gfp | ONDOL_GFP_COMP,
				      cache->order);
	if (!head)
		return NULL;
	ondol_page_set_use(m, head, ONDOL_PAGE_SLAB);
	if (cache->nr_frames < 1u << cache->order)
		range_trim(m, head, cache->order, cache->nr_frames);
	head->slab.cache = cache;
	head->slab.nr_inuse = 0;
	head->slab.free_head = 0;
	irq = slab_lock(cache);
	head->slab.colour = cache->colour_base + cache->colour_next * cache->colour_step;
	if (++cache->colour_next == cache->nr_colours)
		cache->colour_next = 0;
	slab_unlock(cache, irq);
	chain_objects(cache, head);
	if (cache->guard_offset)
		guard(cache, head, true);
	return head;
}

uint32_t slab_grow_and_take(struct ondol_kmem_cache *cache, unsigned node, ondol_gfp_t gfp,
			    struct slab_entry *entries, uint32_t want)
{
	struct ondol_page *head = make_slab(cache, node, gfp);
	uintptr_t irq = slab_lock(cache);
	uint32_t got = 0;

	if (head) {
		store_relaxed(&cache->nr_slabs, cache->nr_slabs + 1);
		link_slab(cache, head, SLAB_FREE);
		got = take_from_slab(cache, head, entries, want);
	}
	if (!got && !(gfp & ONDOL_GFP_THISNODE)) /* rather objects of another node than none */
		got = take_from_others(cache, node, entries, want);
	slab_unlock(cache, irq);
	return got;
}

uint16_t *slab_alloc_object(struct ondol_kmem_cache *cache, unsigned node, ondol_gfp_t gfp,
			    void **out_object)
{
	struct slab_entry entry;
	uint32_t got;

	if (gfp & ONDOL_GFP_THISNODE)
		got = slab_take_local(cache, node, &entry, 1);
	else
		got = slab_take_many(cache, node, &entry, 1);
	if (!got && !slab_grow_and_take(cache, node, gfp, &entry, 1))
		return NULL;
	*out_object = entry.object;
	return entry.state;
}

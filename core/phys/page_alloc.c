/* SPDX-License-Identifier: MIT */
/*
 * The way of a request for page frames.
 *
 *	fast     the calling CPU's list of the zone that would be asked first
 *	normal   the zones of the zonelist above their low watermark
 *	hard     the same above the min watermark, or what the GFP flags allow below it
 *	harder   after every CPU's lists were drained, so that what can merge has merged
 *	reclaim  with RECLAIM: the shrinkers are asked, and the zones again, while that helps
 *	refusal  NULL, and the numbers that explain it in ondol_last_refusal()
 *
 * Freeing checks that what comes back is what was handed out: [BUDDY-6] to [BUDDY-8].
 * Terms and invariants are explained in buddy.c, zone.c and pcp.c.
 */
#include "base/format.h"
#include "base/math.h"
#include "phys/buddy.h"
#include "phys/pcp.h"
#include "phys/section.h"

#define RECLAIM_ROUNDS 16
#define RECLAIM_BATCH 32 /* frames asked of the shrinkers at least: one at a time is no use */

struct request {
	ondol_gfp_t gfp;
	unsigned order, type, highest; /* highest zone it may use */
	int node;                      /* as asked */
	struct ondol_node *preferred;
	enum zone_watermark mark;
};

/* Keeps node, zone, order and type of a record that is on a per-CPU list or was just taken. */
#define KEPT_FLAGS                                                                            \
	(ONDOL_PG_ZONE_MASK << ONDOL_PG_ZONE_SHIFT | ONDOL_PG_NODE_MASK << ONDOL_PG_NODE_SHIFT | \
	 ONDOL_PG_ORDER_MASK << ONDOL_PG_ORDER_SHIFT | ONDOL_PG_TYPE_MASK << ONDOL_PG_TYPE_SHIFT)

static inline struct ondol_page *hand_out(struct ondol_page *page, unsigned order)
{
	store_relaxed(&page->flags, (page->flags & (KEPT_FLAGS | ONDOL_PG_ZEROED)) |
					    ONDOL_PAGE_KERNEL << ONDOL_PG_USE_SHIFT |
					    (order ? ONDOL_PG_HEAD : 0));
	__atomic_store_n(&page->refcount, 1, __ATOMIC_RELAXED);
	page->data.mapping = NULL;
	page->data.index = page->data.mapcount = 0;
	return page;
}

static void clear_frames(const struct ondol_machine *m, struct ondol_page *page, unsigned order)
{
	__builtin_memset(page_host(m, page), 0, (size_t)ONDOL_PAGE_SIZE << order);
}

static void make_compound(const struct ondol_machine *m, struct ondol_page *page, unsigned order)
{
	uint32_t head = page_index(m, page);
	uint32_t flags = (page->flags & KEPT_FLAGS) | ONDOL_PG_TAIL |
			 ONDOL_PAGE_KERNEL << ONDOL_PG_USE_SHIFT;

	flags &= ~(ONDOL_PG_ORDER_MASK << ONDOL_PG_ORDER_SHIFT);

	store_relaxed(&page->flags, page->flags | ONDOL_PG_COMP);
	for (uint32_t i = 1; i < 1u << order; i++) {
		store_relaxed(&page[i].flags, flags);
		page[i].slab.head = head;
	}
}

static struct ondol_page *finish(const struct ondol_machine *m, struct ondol_page *page,
				 ondol_gfp_t gfp, unsigned order)
{
	if (ondol_unlikely(gfp & ONDOL_GFP_COMP && order))
		make_compound(m, page, order);
	if (gfp & ONDOL_GFP_ZERO && !(page->flags & ONDOL_PG_ZEROED))
		clear_frames(m, page, order);
	return page;
}

/* ------------------------------------------------------------------ one zone */

/* Frames that the request may take from the zone. */
static uint32_t pages_above_mark(const struct ondol_zone *zone, const struct request *req)
{
	uint32_t free = load_relaxed(&zone->nr_free);
	uint32_t mark = zone->watermark[req->mark];

	if (req->gfp & ONDOL_GFP_MEMALLOC && req->mark == WMARK_MIN)
		return free;
	if (req->gfp & ONDOL_GFP_HIGH && req->mark == WMARK_MIN)
		mark -= mark / 2;
	mark += zone->lowmem_reserve[req->highest];
	return free > mark ? free - mark : 0;
}

static void count_numa(struct ondol_machine *m, const struct ondol_zone *zone,
		       const struct request *req, uint32_t cpu)
{
	struct zone_pcp *pcp = &zone->pcp[cpu];
	struct ondol_node *preferred = req->preferred;
	uint16_t first = preferred->nr_zonelist ? preferred->zonelist[0] : 0;

	if (zone->node != m->phys->cpus[cpu].node)
		add_relaxed(&pcp->numa_other, 1);
	if (zone->node == preferred->id)
		return;
	add_relaxed(&pcp->numa_miss, 1);
	if (preferred->present)
		add_relaxed(&m->phys->zones[first].pcp[cpu].numa_foreign, 1);
}

static struct ondol_page *take_listed(struct ondol_zone *zone, const struct request *req,
				      uint32_t cpu, uint32_t spare_pages)
{
	struct ondol_machine *m = zone->m;
	struct zone_pcp *pcp = &zone->pcp[cpu];
	struct ondol_page *page;

	pcp_lock(m, pcp);
	page = pcp_pop(m, pcp, req->order, req->type);
	if (!page && pcp_refill(zone, pcp, req->order, req->type, spare_pages >> req->order))
		page = pcp_pop(m, pcp, req->order, req->type);
	pcp_unlock(m, pcp);
	return page;
}

static struct ondol_page *take_from_buddy(struct ondol_zone *zone, const struct request *req,
					  uint32_t cpu)
{
	struct ondol_machine *m = zone->m;
	struct ondol_page *page;
	uint32_t index;

	pcp_note_peak(m, &zone->pcp[cpu]);
	if (m->phys->smp)
		spin_lock(m->port, &zone->lock);
	index = buddy_take(zone, req->order, req->type);
	if (m->phys->smp)
		spin_unlock(&zone->lock);
	if (index == ONDOL_PAGE_NIL)
		return NULL;
	page = &m->pages[index];
	store_relaxed(&page->flags, page->flags | req->order << ONDOL_PG_ORDER_SHIFT |
					    req->type << ONDOL_PG_TYPE_SHIFT);
	add_relaxed(&zone->pcp[cpu].nr_allocs, 1);
	return page;
}

static struct ondol_page *take_from_zone(struct ondol_zone *zone, const struct request *req,
					 uint32_t spare_pages)
{
	struct ondol_machine *m = zone->m;
	uintptr_t irq = port_irq_save(m->port);
	uint32_t cpu = machine_this_cpu(m);
	struct ondol_page *page;

	if (m->phys->pcp_on && req->order < PCP_ORDERS)
		page = take_listed(zone, req, cpu, spare_pages);
	else
		page = take_from_buddy(zone, req, cpu);
	if (page) {
		hand_out(page, req->order);
		count_numa(m, zone, req, cpu);
	}
	port_irq_restore(m->port, irq);
	return page;
}

/*
 * It has frames enough; if none on the lists will do, then perhaps those that have no records
 * yet.  Their number is read first: what another CPU brings up meanwhile is not overlooked.
 */
static struct ondol_page *take_or_grow(struct ondol_zone *zone, const struct request *req,
				       uint32_t spare_pages)
{
	for (;;) {
		uint32_t deferred = load_relaxed(&zone->deferred);
		struct ondol_page *page = take_from_zone(zone, req, spare_pages);

		if (ondol_likely(page) || !deferred)
			return page;
		section_grow(zone, deferred);
	}
}

/* ------------------------------------------------------------------ the zonelist */

static struct ondol_page *walk_zonelist(struct ondol_machine *m, const struct request *req)
{
	const struct ondol_node *node = req->preferred;

	for (unsigned i = 0; i < node->nr_zonelist; i++) {
		struct ondol_zone *zone = &m->phys->zones[node->zonelist[i]];
		struct ondol_page *page;
		uint32_t spare_pages;

		if (zone->type > req->highest)
			continue;
		if (req->gfp & ONDOL_GFP_THISNODE && zone->node != node->id)
			continue;
		spare_pages = pages_above_mark(zone, req);
		if (!(spare_pages >> req->order))
			continue;
		page = take_or_grow(zone, req, spare_pages);
		if (page)
			return page;
	}
	return NULL;
}

static struct ondol_page *shrink_and_retry(struct ondol_machine *m, const struct request *req)
{
	uint64_t want = max_u64(UINT64_C(1) << req->order, RECLAIM_BATCH);
	struct ondol_page *page = NULL;

	for (unsigned round = 0; round < RECLAIM_ROUNDS && !page; round++) {
		uint64_t freed = 0;

		for (uint32_t i = 0; i < m->hooks.nr_shrinkers; i++)
			freed += m->hooks.shrinker[i].shrink(m, m->hooks.shrinker[i].ctx, want);
		if (!freed)
			break;
		ondol_drain_all_pages(m);
		page = walk_zonelist(m, req);
	}
	return page;
}

/*
 * One reclaimer at a time: the others wait for what it frees.  A shrinker that allocates
 * comes by here again on its own CPU, and must make do without.
 */
static struct ondol_page *reclaim(struct ondol_machine *m, const struct request *req)
{
	uint32_t *owner = &m->phys->reclaiming, me = machine_this_cpu(m) + 1, expected = 0;
	struct ondol_page *page;

	while (!__atomic_compare_exchange_n(owner, &expected, me, false, __ATOMIC_ACQUIRE,
					    __ATOMIC_RELAXED)) {
		if (expected == me)
			return NULL;
		while (load_relaxed(owner))
			port_cpu_relax(m->port);
		page = walk_zonelist(m, req);
		if (page)
			return page;
		expected = 0;
	}
	page = shrink_and_retry(m, req);
	__atomic_store_n(owner, 0, __ATOMIC_RELEASE);
	return page;
}

static const char *describe_refusal(const struct ondol_machine *m, const struct request *req,
				    const struct ondol_refusal *refusal)
{
	bool enough_free = false;

	if (req->order > m->phys->max_order)
		return "the order is above the highest that this profile has";
	if (!refusal->nr_zones)
		return "no zone of the kind asked for has memory";
	for (uint32_t i = 0; i < refusal->nr_zones; i++)
		if (refusal->zone[i].pages_free >= refusal->zone[i].watermark +
							   refusal->zone[i].lowmem_reserve +
							   (UINT64_C(1) << req->order))
			enough_free = true;
	return enough_free ? "memory is too fragmented for the order" :
			     "free memory would fall below the watermark";
}

static void describe_zone(struct ondol_zone *zone, const struct request *req,
			  struct ondol_refusal *refusal)
{
	uint64_t usable = 0, blocks[ONDOL_MAX_ORDERS];
	int largest = -1;
	uint32_t free;
	uintptr_t irq = zone_lock(zone);

	free = zone->nr_free;
	section_free_blocks(zone, blocks);
	zone_unlock(zone, irq);
	for (unsigned order = 0; order <= zone->m->phys->max_order; order++) {
		usable += order >= req->order ? blocks[order] << order : 0;
		largest = blocks[order] ? (int)order : largest;
	}
	refusal->zone[refusal->nr_zones].largest_order = largest;
	refusal->zone[refusal->nr_zones].name = ondol_zone_name(zone->type);
	refusal->zone[refusal->nr_zones].node = zone->node;
	refusal->zone[refusal->nr_zones].pages_free = free;
	refusal->zone[refusal->nr_zones].watermark = zone->watermark[WMARK_MIN];
	refusal->zone[refusal->nr_zones].lowmem_reserve = zone->lowmem_reserve[req->highest];
	refusal->zone[refusal->nr_zones].fragmentation_permille =
		free ? (uint32_t)div_u64((free - usable) * 1000, free) : 1000;
	refusal->nr_zones++;
}

/* Remember why; `reason` NULL: find it in the numbers. */
static void refuse(struct ondol_machine *m, const struct request *req, const char *reason)
{
	struct ondol_phys_state *phys = m->phys;
	const struct ondol_node *node = req->preferred;
	struct ondol_refusal *refusal = &phys->refusal;
	uintptr_t irq = lock_irqsave(m->port, &phys->refusal_lock, phys->smp);

	refusal->gfp = req->gfp;
	refusal->order = req->order;
	refusal->node = req->node;
	refusal->nr_zones = 0;
	for (unsigned i = 0; i < node->nr_zonelist && refusal->nr_zones < 16; i++) {
		struct ondol_zone *zone = &phys->zones[node->zonelist[i]];

		if (zone->type <= req->highest &&
		    !(req->gfp & ONDOL_GFP_THISNODE && zone->node != node->id))
			describe_zone(zone, req, refusal);
	}
	refusal->reason = reason ? reason : describe_refusal(m, req, refusal);
	reason = refusal->reason;
	unlock_irqrestore(m->port, &phys->refusal_lock, phys->smp, irq);
	__atomic_add_fetch(&phys->nr_refused, 1, __ATOMIC_RELAXED);
	if (!(req->gfp & ONDOL_GFP_NOWARN))
		log_printf(m->port, ONDOL_LOG_WARN,
			   "page allocation refused: order %u, gfp %#x: %s", req->order, req->gfp,
			   reason);
}

static struct ondol_page *alloc_slow(struct ondol_machine *m, struct request *req)
{
	struct ondol_page *page;

	if (req->order > m->phys->max_order) {
		refuse(m, req, NULL);
		return NULL;
	}
	req->mark = WMARK_LOW;
	page = walk_zonelist(m, req);
	if (ondol_likely(page))
		return page;
	req->mark = WMARK_MIN;
	page = walk_zonelist(m, req);
	if (page)
		return page;
	ondol_drain_all_pages(m);
	page = walk_zonelist(m, req);
	if (!page && req->gfp & ONDOL_GFP_RECLAIM && !(req->gfp & ONDOL_GFP_MEMALLOC))
		page = reclaim(m, req);
	if (!page)
		refuse(m, req, NULL);
	return page;
}

/* ------------------------------------------------------------------ the public calls */

static struct ondol_page *alloc_fast(struct ondol_machine *m, int node, unsigned class,
				     unsigned order)
{
	uintptr_t irq = port_irq_save(m->port);
	struct phys_cpu *cpu = &m->phys->cpus[machine_this_cpu(m)];
	struct zone_pcp *pcp = cpu->local[class & 0xf];
	struct ondol_page *page = NULL;

	if (pcp && (node == ONDOL_NODE_ANY || node == cpu->node)) {
		pcp_lock(m, pcp);
		page = pcp_pop(m, pcp, order, class >> 4);
		pcp_unlock(m, pcp);
	}
	if (ondol_likely(page))
		hand_out(page, order);
	port_irq_restore(m->port, irq);
	return page;
}

struct ondol_page *ondol_alloc_pages_node(struct ondol_machine *m, int node, ondol_gfp_t gfp,
					  unsigned order)
{
	unsigned class = m->phys->gfp_class[gfp & 31];
	struct ondol_page *page = NULL;
	struct request req;

	if (ondol_likely(order < PCP_ORDERS && !m->fail_plan))
		page = alloc_fast(m, node, class, order);
	if (ondol_unlikely(!page)) {
		req = (struct request){ .gfp = gfp, .order = order, .type = class >> 4,
					.highest = class & 0xf, .node = node };
		if (node < 0 || (uint32_t)node >= m->nr_nodes)
			node = m->phys->cpus[machine_this_cpu(m)].node;
		req.preferred = &m->phys->nodes[node];
		if (machine_should_fail(m, ONDOL_FAIL_ALLOC_PAGES))
			refuse(m, &req, "the fail plan wanted it");
		else
			page = alloc_slow(m, &req);
		if (!page)
			return NULL;
	}
	if (ondol_unlikely(gfp & (ONDOL_GFP_ZERO | ONDOL_GFP_COMP)))
		finish(m, page, gfp, order);
	return page;
}

struct ondol_page *ondol_alloc_pages(struct ondol_machine *m, ondol_gfp_t gfp, unsigned order)
{
	return ondol_alloc_pages_node(m, ONDOL_NODE_ANY, gfp, order);
}

/* A pointer into the page array, at a record, of a frame that can be handed out. */
static inline void check_page(const struct ondol_machine *m, const struct ondol_page *page)
{
	uintptr_t offset = (uintptr_t)page - (uintptr_t)m->pages;

	ONDOL_VERIFY(m, offset / sizeof *page < m->nr_pages && offset % sizeof *page == 0,
		     "BUDDY-8", (uintptr_t)page, offset);
}

static void clear_compound(struct ondol_page *page, unsigned order, uint32_t zone_flags)
{
	for (uint32_t i = 1; i < 1u << order; i++)
		store_relaxed(&page[i].flags, zone_flags);
}

static void free_to_buddy(struct ondol_zone *zone, struct zone_pcp *pcp, struct ondol_page *page,
			  unsigned order)
{
	struct ondol_machine *m = zone->m;

	store_relaxed(&page->flags, zone->flags);
	add_relaxed(&pcp->nr_frees, 1);
	pcp_note_peak(m, pcp);
	if (m->phys->smp)
		spin_lock(m->port, &zone->lock);
	buddy_give(zone, page_index(m, page), order);
	if (m->phys->smp)
		spin_unlock(&zone->lock);
}

/* The last reference is gone; `flags` as checked. */
static inline void free_block(struct ondol_machine *m, struct ondol_page *page, unsigned order,
			      uint32_t flags)
{
	struct ondol_phys_state *phys = m->phys;
	struct ondol_zone *zone = page_zone(m, page);
	unsigned use = flags & ONDOL_PG_USE_MASK;
	uintptr_t irq = port_irq_save(m->port);
	uint32_t cpu = machine_this_cpu(m);
	struct zone_pcp *pcp = &zone->pcp[cpu];

	if (use != ONDOL_PAGE_KERNEL)
		add_relaxed(&phys->cpus[cpu].use[use], -(1L << order));
	if (ondol_unlikely(flags & ONDOL_PG_COMP))
		clear_compound(page, order, zone->flags);
	if (ondol_likely(phys->pcp_on && order < PCP_ORDERS)) {
		pcp_lock(m, pcp);
		pcp_push(m, zone, pcp, page, order,
			 (flags >> ONDOL_PG_TYPE_SHIFT) & ONDOL_PG_TYPE_MASK);
		pcp_unlock(m, pcp);
	} else {
		free_to_buddy(zone, pcp, page, order);
	}
	port_irq_restore(m->port, irq);
}

void ondol_free_pages(struct ondol_machine *m, struct ondol_page *page, unsigned order)
{
	uint32_t flags, count;

	check_page(m, page);
	flags = load_relaxed(&page->flags);
	count = __atomic_load_n(&page->refcount, __ATOMIC_ACQUIRE);
	ONDOL_VERIFY(m, (flags & ONDOL_PG_USE_MASK) != ONDOL_PAGE_RESERVED, "BUDDY-8",
		     page_index(m, page), flags);
	ONDOL_VERIFY(m, count && (flags & ONDOL_PG_USE_MASK), "BUDDY-6", page_index(m, page),
		     flags);
	ONDOL_VERIFY(m, ((flags >> ONDOL_PG_ORDER_SHIFT) & ONDOL_PG_ORDER_MASK) == order,
		     "BUDDY-7", page_index(m, page), order);
	/* The only reference is ours: nobody else can change the count. */
	if (ondol_unlikely(count != 1) &&
	    __atomic_sub_fetch(&page->refcount, 1, __ATOMIC_ACQ_REL))
		return;
	store_relaxed(&page->refcount, 0);
	free_block(m, page, order, flags);
}

void ondol_split_page(struct ondol_machine *m, struct ondol_page *page, unsigned order)
{
	uint32_t flags, count;
	uintptr_t irq;
	struct zone_pcp *pcp;

	check_page(m, page);
	flags = page->flags;
	ONDOL_VERIFY(m, page->refcount && !(flags & (ONDOL_PG_COMP | ONDOL_PG_TAIL)), "BUDDY-6",
		     page_index(m, page), flags);
	ONDOL_VERIFY(m, page_order(page) == order, "BUDDY-7", page_index(m, page), order);
	count = page->refcount;
	flags &= ~(ONDOL_PG_ORDER_MASK << ONDOL_PG_ORDER_SHIFT | ONDOL_PG_HEAD | ONDOL_PG_ZEROED);
	store_relaxed(&page->flags, flags);
	for (uint32_t i = 1; i < 1u << order; i++) {
		store_relaxed(&page[i].flags, flags);
		store_relaxed(&page[i].refcount, count);
		page[i].data.mapping = NULL;
		page[i].data.index = page[i].data.mapcount = 0;
	}
	/* They come back one by one: count them as allocations so. */
	irq = port_irq_save(m->port);
	pcp = &page_zone(m, page)->pcp[machine_this_cpu(m)];
	add_relaxed(&pcp->nr_allocs, (1ul << order) - 1);
	port_irq_restore(m->port, irq);
}

void ondol_get_page(struct ondol_machine *m, struct ondol_page *page)
{
	uint32_t before = __atomic_fetch_add(&page->refcount, 1, __ATOMIC_RELAXED);

	ONDOL_VERIFY(m, before, "BUDDY-6", page_index(m, page), page->flags);
}

void ondol_put_page(struct ondol_machine *m, struct ondol_page *page)
{
	ondol_free_pages(m, page, 0);
}

void ondol_drain_all_pages(struct ondol_machine *m)
{
	struct ondol_phys_state *phys = m->phys;
	struct ondol_zone *zone;

	if (!phys->pcp_on)
		return;
	zone_for_each(phys, zone, i) {
		for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++) {
			struct zone_pcp *pcp = &zone->pcp[cpu];
			uintptr_t irq = port_irq_save(m->port);

			pcp_lock(m, pcp);
			pcp_drain(zone, pcp);
			pcp_unlock(m, pcp);
			port_irq_restore(m->port, irq);
		}
	}
}

int ondol_register_shrinker(struct ondol_machine *m, ondol_shrinker_t shrink, void *ctx)
{
	uint32_t at = m->hooks.nr_shrinkers;

	if (!shrink)
		return -ONDOL_EINVAL;
	if (at == ONDOL_SHRINKERS_MAX)
		return -ONDOL_ENOMEM;
	m->hooks.shrinker[at].shrink = shrink;
	m->hooks.shrinker[at].ctx = ctx;
	__atomic_store_n(&m->hooks.nr_shrinkers, at + 1, __ATOMIC_RELEASE);
	return 0;
}

void ondol_last_refusal(const struct ondol_machine *m, struct ondol_refusal *out_refusal)
{
	struct ondol_phys_state *phys = m->phys;
	uintptr_t irq = lock_irqsave(m->port, &phys->refusal_lock, phys->smp);

	*out_refusal = phys->refusal;
	unlock_irqrestore(m->port, &phys->refusal_lock, phys->smp, irq);
}

/* SPDX-License-Identifier: MIT */
/*
 * The way of a request for page frames.
 *
 *	in hand  of order 0: the frame that the calling CPU freed last
 *	fast     the calling CPU's list of the zone that would be asked first
 *	normal   the zones of the zonelist above their low watermark
 *	hard     the same above the min watermark, or what the GFP flags allow below it
 *	harder   after every CPU's lists were drained, so that what can merge has merged
 *	compact  with RECLAIM, a block: frames enough are free, but in pieces: compact.c
 *	reclaim  with RECLAIM: the shrinkers are asked, and the zones again, while that helps
 *	refusal  NULL, and the numbers that explain it in ondol_last_refusal(): refusal.c;
 *	         with NOFAIL instead past the watermarks, and again until there is a block
 *
 * [NOFAIL-1] A NOFAIL request can be met: of an order that exists, and while there is one CPU, now.
 *
 * These two are inlined where the port has one CPU and no interrupts (PCP_ALONE): they
 * call nothing, so they save no registers, and all else lies behind one tail call.  The way back
 * is page_free.c.
 * Terms and invariants are explained in buddy.c, zone.c and pcp.c.
 */
#include "base/math.h"
#include "phys/buddy.h"
#include "phys/compact.h"
#include "phys/kmap.h"
#include "phys/memcg.h"
#include "phys/pcp.h"
#include "phys/request.h"
#include "phys/section.h"

#define RECLAIM_ROUNDS 16
#define RECLAIM_BATCH 32 /* frames asked of the shrinkers at least: one at a time is no use */

/* Keeps node, zone, order and type of a record that is on a per-CPU list or was just taken. */
#define KEPT_FLAGS                                                                            \
	(ONDOL_PG_ZONE_MASK << ONDOL_PG_ZONE_SHIFT | ONDOL_PG_NODE_MASK << ONDOL_PG_NODE_SHIFT | \
	 ONDOL_PG_ORDER_MASK << ONDOL_PG_ORDER_SHIFT | ONDOL_PG_TYPE_MASK << ONDOL_PG_TYPE_SHIFT)

/* The frame was free: its record is written as a whole; only ZEROED is kept of it. */
static PCP_INLINE struct ondol_page *hand_out(struct ondol_page *page, uint32_t flags)
{
	page_set_state(page, flags | (page->flags & ONDOL_PG_ZEROED), 1);
	page->data.mapping = NULL;
	page->data.index = page->data.mapcount = 0;
	return page;
}

/* The same of a frame that was in hand, whose record need not be read. */
static PCP_INLINE struct ondol_page *hand_out_hot(struct ondol_page *page,
						  const struct phys_cpu *cpu)
{
	page_set_state(page, cpu->hot_flags, 1);
	page->data.mapping = NULL;
	page->data.index = page->data.mapcount = 0;
	return page;
}

/* Who does not ask for HIGHMEM means to use the bytes himself. */
static void clear_frames(struct ondol_machine *m, struct ondol_page *page, ondol_gfp_t gfp,
			 unsigned order)
{
	if (gfp & ONDOL_GFP_HIGHMEM)
		kmap_clear(m, page, UINT32_C(1) << order);
	else
		__builtin_memset(page_host(m, page), 0, ONDOL_PAGE_SIZE << order);
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

static struct ondol_page *finish(struct ondol_machine *m, struct ondol_page *page,
				 ondol_gfp_t gfp, unsigned order)
{
	if (ondol_unlikely(gfp & ONDOL_GFP_COMP && order))
		make_compound(m, page, order);
	if (gfp & ONDOL_GFP_ZERO && !(page->flags & ONDOL_PG_ZEROED))
		clear_frames(m, page, gfp, order);
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
	if (m->phys->zones[first].node == preferred->id)
		add_relaxed(&m->phys->zones[first].pcp[cpu].numa_foreign, 1);
}

static struct ondol_page *take_listed(struct ondol_zone *zone, const struct request *req,
				      uint32_t cpu, struct pcp_list *list, uint32_t spare_pages)
{
	struct ondol_machine *m = zone->m;
	struct ondol_page *page;

	pcp_lock(m, &m->phys->cpus[cpu]);
	page = pcp_take(m, &m->phys->cpus[cpu], list);
	if (!page && pcp_refill(zone, &zone->pcp[cpu], list, spare_pages >> req->order))
		page = pcp_pop(m, list);
	pcp_unlock(m, &m->phys->cpus[cpu]);
	return page ? hand_out(page, list->out_flags) : NULL;
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
	add_relaxed(&zone->pcp[cpu].nr_allocs, 1);
	return hand_out(page, zone->flags | req->order << ONDOL_PG_ORDER_SHIFT |
				      req->type << ONDOL_PG_TYPE_SHIFT | ONDOL_PAGE_KERNEL);
}

static struct ondol_page *take_from_zone(struct ondol_zone *zone, const struct request *req,
					 uint32_t spare_pages)
{
	struct ondol_machine *m = zone->m;
	uintptr_t irq = port_irq_save(m->port);
	uint32_t cpu = machine_this_cpu(m);
	struct pcp_list *list = pcp_list_for(&zone->pcp[cpu], req->order, req->type);
	struct ondol_page *page;

	if (list)
		page = take_listed(zone, req, cpu, list, spare_pages);
	else
		page = take_from_buddy(zone, req, cpu);
	if (page)
		count_numa(m, zone, req, cpu);
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

static uint64_t ask_shrinkers(struct ondol_machine *m, uint64_t nr_pages)
{
	uint64_t freed = 0;

	for (uint32_t i = 0; i < m->hooks.nr_shrinkers; i++)
		if (m->hooks.shrinker[i].shrink)
			freed += m->hooks.shrinker[i].shrink(m, m->hooks.shrinker[i].ctx, nr_pages);
	return freed;
}

static struct ondol_page *shrink_and_retry(struct ondol_machine *m, const struct request *req)
{
	uint64_t want = max_u64(UINT64_C(1) << req->order, RECLAIM_BATCH);
	struct ondol_page *page = NULL;

	for (unsigned round = 0; round < RECLAIM_ROUNDS && !page; round++) {
		if (!ask_shrinkers(m, want))
			break;
		phys_settle(m);
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
	struct ondol_page *page = NULL;

	if (load_relaxed(owner) == me)
		return NULL;
	ondol_psi_stall_begin(m);
	while (!page && !__atomic_compare_exchange_n(owner, &expected, me, false, __ATOMIC_ACQUIRE,
						     __ATOMIC_RELAXED)) {
		while (load_relaxed(owner))
			port_cpu_relax(m->port);
		page = walk_zonelist(m, req);
		expected = 0;
	}
	if (!page) {
		page = shrink_and_retry(m, req);
		__atomic_store_n(owner, 0, __ATOMIC_RELEASE);
	}
	ondol_psi_stall_end(m);
	return page;
}

uint64_t phys_shrink(struct ondol_machine *m, uint64_t nr_pages)
{
	uint32_t *owner = &m->phys->reclaiming, me = machine_this_cpu(m) + 1, expected = 0;
	uint64_t freed;

	if (load_relaxed(owner) == me)
		return 0;
	ondol_psi_stall_begin(m);
	while (!__atomic_compare_exchange_n(owner, &expected, me, false, __ATOMIC_ACQUIRE,
					    __ATOMIC_RELAXED)) {
		port_cpu_relax(m->port);
		expected = 0;
	}
	freed = ask_shrinkers(m, nr_pages);
	__atomic_store_n(owner, 0, __ATOMIC_RELEASE);
	ondol_psi_stall_end(m);
	return freed;
}

/* NOFAIL: others may free, but where there is nobody else waiting has no end. */
static struct ondol_page *insist(struct ondol_machine *m, struct request *req)
{
	struct ondol_page *page;

	req->gfp |= ONDOL_GFP_MEMALLOC;
	for (;;) {
		phys_settle(m);
		page = walk_zonelist(m, req);
		if (!page)
			page = reclaim(m, req);
		if (page)
			return page;
		ONDOL_VERIFY(m, m->phys->smp, "NOFAIL-1", req->order, req->gfp);
		port_cpu_relax(m->port);
	}
}

static struct ondol_page *alloc_slow(struct ondol_machine *m, struct request *req)
{
	struct ondol_page *page;

	if (req->order > m->phys->max_order) {
		ONDOL_VERIFY(m, !(req->gfp & ONDOL_GFP_NOFAIL), "NOFAIL-1", req->order, req->gfp);
		request_refuse(m, req, NULL);
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
	phys_settle(m);
	page = walk_zonelist(m, req);
	if (!page && compact_for(m, req))
		page = walk_zonelist(m, req);
	if (!page && req->gfp & ONDOL_GFP_RECLAIM &&
	    !(req->gfp & (ONDOL_GFP_MEMALLOC | ONDOL_GFP_NORETRY))) {
		page = reclaim(m, req);
		if (!page && compact_for(m, req))
			page = walk_zonelist(m, req);
	}
	if (page)
		return page;
	if (req->gfp & ONDOL_GFP_NOFAIL)
		return insist(m, req);
	request_refuse(m, req, NULL);
	return NULL;
}

/* ------------------------------------------------------------------ the public calls */

/* The CPU's list of the order in the zone that would be asked first, or NULL. */
static PCP_INLINE struct pcp_list *local_list(const struct phys_cpu *cpu, int node,
					      ondol_gfp_t gfp, unsigned order)
{
	struct pcp_list *lists = load_relaxed(&cpu->lists[gfp & 31]);
	unsigned slot = pcp_slot(order);

	if (ondol_unlikely(!lists || slot == PCP_SLOTS) ||
	    (node != ONDOL_NODE_ANY && node != cpu->node))
		return NULL;
	return &lists[slot];
}

/* Not from this CPU's list. */
static __attribute__((noinline)) struct ondol_page *
alloc_request(struct ondol_machine *m, int node, ondol_gfp_t gfp, unsigned order)
{
	unsigned class = m->phys->gfp_class[gfp & 31];
	struct request req = { .gfp = gfp, .order = order, .type = class >> 4,
			       .highest = class & 0xf, .node = node };
	struct ondol_page *page;

	if (node < 0 || (uint32_t)node >= m->nr_nodes)
		node = m->phys->cpus[machine_this_cpu(m)].node;
	req.preferred = &m->phys->nodes[node];
	if (!(gfp & ONDOL_GFP_NOFAIL) && machine_should_fail(m, ONDOL_FAIL_ALLOC_PAGES)) {
		request_refuse(m, &req, "the fail plan wanted it");
		return NULL;
	}
	if (ondol_unlikely(m->memcg.on) && order <= m->phys->max_order &&
	    !memcg_admit(m, gfp, UINT64_C(1) << order)) {
		req.over_limit = true;
		request_refuse(m, &req, memcg_refusal);
		return NULL;
	}
	page = alloc_slow(m, &req);
	return page ? finish(m, page, gfp, order) : NULL;
}

/* From the hand or the list, handed out; NULL: neither has one.  The CPU's lock is held. */
static PCP_INLINE struct ondol_page *alloc_own(const struct ondol_machine *m,
					       struct phys_cpu *cpu, int node, ondol_gfp_t gfp,
					       unsigned order)
{
	struct ondol_page *page = order ? NULL : pcp_take_hot(m, cpu, node, gfp);
	struct pcp_list *list;

	if (page)
		return hand_out_hot(page, cpu);
	list = local_list(cpu, node, gfp, order);
	page = ondol_likely(list) ? pcp_pop(m, list) : NULL;
	return ondol_likely(page) ? hand_out(page, list->out_flags) : NULL;
}

/* The same between what the port wants done around it, and cleared or made compound. */
static __attribute__((noinline)) struct ondol_page *
alloc_hooked(struct ondol_machine *m, int node, ondol_gfp_t gfp, unsigned order)
{
	struct ondol_page *page;
	uintptr_t irq = port_irq_save(m->port);
	struct phys_cpu *cpu = &m->phys->cpus[machine_this_cpu(m)];

	pcp_lock(m, cpu);
	page = alloc_own(m, cpu, node, gfp, order);
	pcp_unlock(m, cpu);
	port_irq_restore(m->port, irq);
	if (ondol_likely(page) && gfp & (ONDOL_GFP_ZERO | ONDOL_GFP_COMP))
		return finish(m, page, gfp, order);
	return ondol_likely(page) ? page : alloc_request(m, node, gfp, order);
}

/*
 * Several CPUs, of which each is asked only who it is: one call, and no register is saved but
 * those that live across it.  Order 0 has a copy of its own.
 */
static PCP_INLINE struct ondol_page *alloc_as_cpu(struct ondol_machine *m, int node,
						  ondol_gfp_t gfp, unsigned order)
{
	uint32_t index = m->this_cpu(m->port_ctx);
	struct phys_cpu *cpu = &m->cpus[index];
	struct ondol_page *page;

	if (ondol_unlikely(!cpu_try_lock(&cpu->lock)))
		return alloc_hooked(m, node, gfp, order);
	page = alloc_own(m, cpu, node, gfp, order);
	cpu_try_unlock(&cpu->lock);
	return ondol_likely(page) ? page : alloc_request(m, node, gfp, order);
}

static __attribute__((noinline)) struct ondol_page *
alloc_one_by_cpu(struct ondol_machine *m, int node, ondol_gfp_t gfp)
{
	return alloc_as_cpu(m, node, gfp, 0);
}

static __attribute__((noinline)) struct ondol_page *
alloc_by_cpu(struct ondol_machine *m, int node, ondol_gfp_t gfp, unsigned order)
{
	return alloc_as_cpu(m, node, gfp, order);
}

static PCP_INLINE struct ondol_page *alloc(struct ondol_machine *m, int node, ondol_gfp_t gfp,
					   unsigned order)
{
	struct ondol_page *page;

	if (ondol_unlikely(m->pcp_way == PCP_PLANNED))
		return alloc_request(m, node, gfp, order);
	if (gfp & (ONDOL_GFP_ZERO | ONDOL_GFP_COMP))
		return alloc_hooked(m, node, gfp, order);
	if (m->pcp_way == PCP_CPUS)
		return order ? alloc_by_cpu(m, node, gfp, order) : alloc_one_by_cpu(m, node, gfp);
	if (ondol_unlikely(m->pcp_way))
		return alloc_hooked(m, node, gfp, order);
	page = alloc_own(m, m->cpus, node, gfp, order);
	return ondol_likely(page) ? page : alloc_request(m, node, gfp, order);
}

struct ondol_page *ondol_alloc_pages_node(struct ondol_machine *m, int node, ondol_gfp_t gfp,
					  unsigned order)
{
	return alloc(m, node, gfp, order);
}

struct ondol_page *ondol_alloc_pages(struct ondol_machine *m, ondol_gfp_t gfp, unsigned order)
{
	return alloc(m, ONDOL_NODE_ANY, gfp, order);
}

int ondol_register_shrinker(struct ondol_machine *m, ondol_shrinker_t shrink, void *ctx)
{
	uint32_t at = 0;

	if (!shrink)
		return -ONDOL_EINVAL;
	while (at < m->hooks.nr_shrinkers && m->hooks.shrinker[at].shrink)
		at++; /* the place of one that has gone, if there is */
	if (at == ONDOL_SHRINKERS_MAX)
		return -ONDOL_ENOMEM;
	m->hooks.shrinker[at].ctx = ctx;
	m->hooks.shrinker[at].shrink = shrink;
	if (at == m->hooks.nr_shrinkers)
		__atomic_store_n(&m->hooks.nr_shrinkers, at + 1, __ATOMIC_RELEASE);
	return 0;
}

int ondol_unregister_shrinker(struct ondol_machine *m, ondol_shrinker_t shrink, void *ctx)
{
	for (uint32_t i = 0; i < m->hooks.nr_shrinkers; i++) {
		if (m->hooks.shrinker[i].shrink != shrink || m->hooks.shrinker[i].ctx != ctx)
			continue;
		m->hooks.shrinker[i].shrink = NULL;
		return 0;
	}
	return -ONDOL_ENOENT;
}

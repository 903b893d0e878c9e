/* SPDX-License-Identifier: MIT */
/*
 * The way back of page frames.
 *
 * What comes back is checked against what was handed out: [BUDDY-6] to [BUDDY-8].  One comparison
 * of the record's flags and its count covers the good case; what differs is looked at in turn,
 * so that the panic names the mistake, and the log the frame and both callers of a double
 * free: a free record remembers who freed it.
 */
#include "base/format.h"
#include "phys/buddy.h"
#include "phys/memcg.h"
#include "phys/pcp.h"
#include "phys/section.h"

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

	page_set_state(page, zone->flags, 0);
	add_relaxed(&pcp->nr_frees, 1);
	pcp_note_peak(m, pcp);
	if (m->phys->smp)
		spin_lock(m->port, &zone->lock);
	buddy_give(zone, page_index(m, page), order);
	if (m->phys->smp)
		spin_unlock(&zone->lock);
}

/* The last reference is gone; `flags` as checked. */
static __attribute__((noinline)) void free_block(struct ondol_machine *m, struct ondol_page *page,
						 unsigned order, uint32_t flags)
{
	struct ondol_zone *zone = page_zone(m, page);
	unsigned use = flags & ONDOL_PG_USE_MASK;
	unsigned type = (flags >> ONDOL_PG_TYPE_SHIFT) & ONDOL_PG_TYPE_MASK;
	uintptr_t irq = port_irq_save(m->port);
	uint32_t index = machine_this_cpu(m);
	struct phys_cpu *cpu = &m->phys->cpus[index];
	struct zone_pcp *pcp = &zone->pcp[index];
	struct pcp_list *list = pcp_list_for(pcp, order, type);

	if (use != ONDOL_PAGE_KERNEL) {
		add_relaxed(&cpu->use[use], -(1L << order));
		if (ondol_unlikely(m->memcg.on))
			memcg_recharge(m, use, ONDOL_PAGE_KERNEL, order);
	}
	if (ondol_unlikely(flags & ONDOL_PG_COMP))
		clear_compound(page, order, zone->flags);
	if (ondol_likely(list)) {
		pcp_lock(m, cpu);
		pcp_put(zone, cpu, list, page);
		pcp_unlock(m, cpu);
	} else {
		free_to_buddy(zone, pcp, page, order);
	}
	port_irq_restore(m->port, irq);
}

#define ADDRESS(p) ((unsigned long long)(uintptr_t)(p))

/* Not the plain good case: what is it?  True: it was the last reference. */
static __attribute__((noinline)) bool check_free(struct ondol_machine *m, struct ondol_page *page,
						 unsigned order, const void *caller)
{
	uint32_t flags = load_relaxed(&page->flags), index = page_index(m, page);
	uint32_t count = __atomic_load_n(&page->refcount, __ATOMIC_ACQUIRE);
	unsigned was = (flags >> ONDOL_PG_ORDER_SHIFT) & ONDOL_PG_ORDER_MASK;

	ONDOL_VERIFY(m, (flags & ONDOL_PG_USE_MASK) != ONDOL_PAGE_RESERVED, "BUDDY-8", index,
		     flags);
	if (!count || !(flags & ONDOL_PG_USE_MASK))
		log_printf(m->port, ONDOL_LOG_ERR,
			   "double free of frame %llu, order %u, by %#llx; freed before by %#llx",
			   (unsigned long long)machine_page_pfn(m, page), order, ADDRESS(caller),
			   flags & (ONDOL_PG_PCP | ONDOL_PG_BUDDY) ?
				   ADDRESS(page->freed_by.caller) : 0);
	ONDOL_VERIFY(m, count && flags & ONDOL_PG_USE_MASK, "BUDDY-6", index, flags);
	if (was != order)
		log_printf(m->port, ONDOL_LOG_ERR,
			   "frame %llu was handed out with order %u and comes back with %u, by "
			   "%#llx",
			   (unsigned long long)machine_page_pfn(m, page), was, order,
			   ADDRESS(caller));
	ONDOL_VERIFY(m, was == order, "BUDDY-7", index, order);
	/* The only reference is ours: nobody else can change the count. */
	return count == 1 || !__atomic_sub_fetch(&page->refcount, 1, __ATOMIC_ACQ_REL);
}

/* What a record's flags must agree in with those its list hands out. */
#define OUT_MASK                                                                              \
	(ONDOL_PG_USE_MASK | ONDOL_PG_ZONE_MASK << ONDOL_PG_ZONE_SHIFT |                      \
	 ONDOL_PG_NODE_MASK << ONDOL_PG_NODE_SHIFT | ONDOL_PG_COMP | ONDOL_PG_TAIL |          \
	 ONDOL_PG_ORDER_MASK << ONDOL_PG_ORDER_SHIFT |                                        \
	 ONDOL_PG_TYPE_MASK << ONDOL_PG_TYPE_SHIFT | ONDOL_PG_PCP | ONDOL_PG_BUDDY)

static __attribute__((noinline)) void free_any(struct ondol_machine *m, struct ondol_page *page,
					       unsigned order, const void *caller)
{
	uint32_t flags;

	check_page(m, page);
	flags = load_relaxed(&page->flags);
	if (!check_free(m, page, order, caller))
		return;
	page->freed_by.caller = caller;
	free_block(m, page, order, flags);
}

/*
 * The list it will go to is guessed, not computed from its flags: comparing them is one branch
 * that is predicted, where computing would put their load, which waits for the store of the
 * allocation, in front of everything else.
 */
static PCP_INLINE bool free_own(struct phys_cpu *cpu, struct ondol_page *page, uint32_t index,
				unsigned order, const void *caller)
{
	uint32_t flags = load_relaxed(&page->flags) & OUT_MASK;

	if (ondol_unlikely(__atomic_load_n(&page->refcount, __ATOMIC_ACQUIRE) != 1))
		return false;
	if (order) {
		unsigned slot = pcp_slot(order);
		struct pcp_list *list = slot < PCP_SLOTS ? cpu->guess[slot] : NULL;

		if (ondol_unlikely(!list || flags != list->out_flags ||
				   !pcp_push(list, page, index)))
			return false;
	} else if (ondol_unlikely(flags != cpu->hot_flags || !pcp_put_hot(cpu, page, index))) {
		return false;
	}
	page->freed_by.caller = caller;
	return true;
}

/* The same between what the port wants done around it. */
static __attribute__((noinline)) void free_hooked(struct ondol_machine *m,
						  struct ondol_page *page, unsigned order,
						  const void *caller)
{
	uintptr_t irq = port_irq_save(m->port);
	struct phys_cpu *cpu = &m->phys->cpus[machine_this_cpu(m)];
	bool done;

	pcp_lock(m, cpu);
	done = free_own(cpu, page, page_index(m, page), order, caller);
	pcp_unlock(m, cpu);
	port_irq_restore(m->port, irq);
	if (ondol_unlikely(!done))
		free_any(m, page, order, caller);
}

/* As alloc_as_cpu. */
static PCP_INLINE void free_as_cpu(struct ondol_machine *m, struct ondol_page *page,
				   unsigned order, const void *caller)
{
	uint32_t index = m->this_cpu(m->port_ctx);
	struct phys_cpu *cpu = &m->cpus[index];
	bool done;

	if (ondol_unlikely(!cpu_try_lock(&cpu->lock))) {
		free_hooked(m, page, order, caller);
		return;
	}
	done = free_own(cpu, page, page_index(m, page), order, caller);
	cpu_try_unlock(&cpu->lock);
	if (ondol_unlikely(!done))
		free_any(m, page, order, caller);
}

static __attribute__((noinline)) void free_one_by_cpu(struct ondol_machine *m,
						      struct ondol_page *page,
						      const void *caller)
{
	free_as_cpu(m, page, 0, caller);
}

static __attribute__((noinline)) void free_by_cpu(struct ondol_machine *m,
						  struct ondol_page *page, unsigned order,
						  const void *caller)
{
	free_as_cpu(m, page, order, caller);
}

/*
 * A frame of the array?  Rotated, what stands between two records is beyond it too: the bits that
 * a division would drop come out on top.
 */
static PCP_INLINE uintptr_t index_or_more(const struct ondol_machine *m,
					  const struct ondol_page *page)
{
	const unsigned shift = sizeof *page == 32 ? 5 : 0, bits = 8 * sizeof(uintptr_t);
	uintptr_t offset = (uintptr_t)page - (uintptr_t)m->pages;

	if (!shift)
		return offset % sizeof *page ? UINTPTR_MAX : offset / sizeof *page;
	return offset >> shift | offset << (bits - shift);
}

static PCP_INLINE void free_pages(struct ondol_machine *m, struct ondol_page *page,
				  unsigned order, const void *caller)
{
	uintptr_t index = index_or_more(m, page);

	if (ondol_unlikely(index >= m->nr_pages))
		free_any(m, page, order, caller);
	else if (m->pcp_way == PCP_ALONE) {
		if (ondol_unlikely(!free_own(m->cpus, page, (uint32_t)index, order, caller)))
			free_any(m, page, order, caller);
	} else if (ondol_unlikely(m->pcp_way != PCP_CPUS))
		free_hooked(m, page, order, caller);
	else if (order)
		free_by_cpu(m, page, order, caller);
	else
		free_one_by_cpu(m, page, caller);
}

void ondol_free_pages(struct ondol_machine *m, struct ondol_page *page, unsigned order)
{
	free_pages(m, page, order, ondol_caller());
}

void ondol_put_page(struct ondol_machine *m, struct ondol_page *page)
{
	free_pages(m, page, 0, ondol_caller());
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
	flags &= ~(ONDOL_PG_ORDER_MASK << ONDOL_PG_ORDER_SHIFT | ONDOL_PG_ZEROED);
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
	if (m->profile->lazy == ONDOL_LAZY_DELAY2) {
		irq = zone_lock(page_zone(m, page));
		buddy_note_split(page_zone(m, page), order);
		zone_unlock(page_zone(m, page), irq);
	}
}

void ondol_get_page(struct ondol_machine *m, struct ondol_page *page)
{
	uint32_t before = __atomic_fetch_add(&page->refcount, 1, __ATOMIC_RELAXED);

	ONDOL_VERIFY(m, before, "BUDDY-6", page_index(m, page), page->flags);
}

/*
 * The lists of all CPUs, whoever calls, back to their zones.  A CPU whose lists are claimed waits
 * at its next call until they are released.
 */
static void drain_cpus(struct ondol_machine *m)
{
	struct ondol_phys_state *phys = m->phys;
	struct ondol_zone *zone;

	for (uint32_t i = 0; phys->pcp_on && i < m->nr_cpus; i++) {
		uintptr_t irq;
		uint32_t pages = 0;

		zone_for_each(phys, zone, k)
			pages += pcp_pages(zone, i);
		if (!pages)
			continue;
		irq = port_irq_save(m->port);
		if (phys->smp)
			cpu_lock_claim(m->port, &phys->cpus[i].lock);
		zone_for_each(phys, zone, k)
			if (pcp_pages(zone, i))
				pcp_drain(zone, &zone->pcp[i]);
		if (phys->smp)
			cpu_lock_release(&phys->cpus[i].lock);
		port_irq_restore(m->port, irq);
	}
}

void phys_settle(struct ondol_machine *m)
{
	struct ondol_zone *zone;

	drain_cpus(m);
	zone_for_each(m->phys, zone, i) {
		uintptr_t irq = zone_lock(zone);

		buddy_merge_all(zone);
		zone_unlock(zone, irq);
	}
}

void ondol_drain_all_pages(struct ondol_machine *m)
{
	struct ondol_zone *zone;

	drain_cpus(m);
	zone_for_each(m->phys, zone, i) {
		uintptr_t irq = zone_lock(zone);

		buddy_merge_all(zone);
		buddy_empty_shelves(zone);
		zone_unlock(zone, irq);
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU page lists: see pcp.c.  All calls are inside irq_save and, with several CPUs,
 * under zone_pcp.lock.
 */
#ifndef ONDOL_PHYS_PCP_H
#define ONDOL_PHYS_PCP_H

#include "phys/zone.h"

/* Magazine sizes from the zone's size; empties the lists. */
void pcp_init(struct zone_pcp *pcp, uint32_t managed, uint32_t nr_cpus);
/*
 * `loaded` is empty: swap in the spare one or fetch from the zone, at most `most` blocks.
 * False: nothing there.
 */
bool pcp_refill(struct ondol_zone *zone, struct zone_pcp *pcp, unsigned order, unsigned type,
		uint32_t most);
/* `loaded` is full: make room. */
void pcp_spill(struct ondol_zone *zone, struct zone_pcp *pcp, unsigned order, unsigned type);
/* Before the zone's free lists change: the most frames that were out since the last time. */
void pcp_note_peak(struct ondol_machine *m, struct zone_pcp *own);
void pcp_drain(struct ondol_zone *zone, struct zone_pcp *pcp);

static inline void pcp_lock(const struct ondol_machine *m, struct zone_pcp *pcp)
{
	if (m->phys->smp)
		spin_lock(m->port, &pcp->lock);
}

static inline void pcp_unlock(const struct ondol_machine *m, struct zone_pcp *pcp)
{
	if (m->phys->smp)
		spin_unlock(&pcp->lock);
}

/* A record with flags PCP, or NULL: `loaded` is empty. */
static inline struct ondol_page *pcp_pop(const struct ondol_machine *m, struct zone_pcp *pcp,
					 unsigned order, unsigned type)
{
	struct pcp_list *list = pcp_loaded(pcp, order, type);
	struct ondol_page *page;
	uint32_t count;

	if (ondol_unlikely(!list->nr))
		return NULL;
	page = &m->pages[list->head];
	list->head = page->buddy.next;
	if (--list->nr)
		__builtin_prefetch(&m->pages[list->head], 1);
	count = pcp->count - (1u << order);
	store_relaxed(&pcp->count, count);
	if (count < pcp->low)
		store_relaxed(&pcp->low, count);
	add_relaxed(&pcp->nr_allocs, 1);
	return page;
}

static inline void pcp_push(const struct ondol_machine *m, struct ondol_zone *zone,
			    struct zone_pcp *pcp, struct ondol_page *page, unsigned order,
			    unsigned type)
{
	struct pcp_list *list = pcp_loaded(pcp, order, type);

	if (ondol_unlikely(list->nr >= pcp->cap[order]))
		pcp_spill(zone, pcp, order, type);
	store_relaxed(&page->flags, zone->flags | ONDOL_PG_PCP | order << ONDOL_PG_ORDER_SHIFT |
					    type << ONDOL_PG_TYPE_SHIFT);
	page->buddy.next = list->head;
	list->head = page_index(m, page);
	list->nr++;
	store_relaxed(&pcp->count, pcp->count + (1u << order));
	add_relaxed(&pcp->nr_frees, 1);
}

#endif /* ONDOL_PHYS_PCP_H */

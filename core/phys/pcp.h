/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU page lists: see pcp.c.  All calls but pcp_drain are inside irq_save and, with several
 * CPUs, under phys_cpu.lock held as its owner; pcp_drain under the claim.
 */
#ifndef ONDOL_PHYS_PCP_H
#define ONDOL_PHYS_PCP_H

#include "phys/zone.h"

/* Where a pair of calls is 70 instructions, one call more is a tenth of it. */
#define PCP_INLINE inline __attribute__((always_inline))

/* Entries that the lists of one CPU need, for zone.pcp_frames. */
uint32_t pcp_entries(const struct ondol_zone *zone);
/* Limits from the zone's size; empties the lists. */
void pcp_init(struct ondol_zone *zone, struct zone_pcp *pcp);
/* The list is empty: fetch from the zone, at most `most` blocks.  False: nothing there. */
bool pcp_refill(struct ondol_zone *zone, struct zone_pcp *pcp, struct pcp_list *list,
		uint32_t most);
/* The list is full, or has no room at all: give the older half to the zone. */
void pcp_spill(struct ondol_zone *zone, struct zone_pcp *pcp, struct pcp_list *list);
/* Before the zone's free lists change: the most frames that were out since the last time. */
void pcp_note_peak(struct ondol_machine *m, struct zone_pcp *own);
void pcp_drain(struct ondol_zone *zone, struct zone_pcp *pcp);

/* Figures, for anyone to read; exact when nothing runs. */
uint32_t pcp_pages(const struct zone_pcp *pcp);
uint32_t pcp_low_pages(const struct zone_pcp *pcp); /* of `low`, the latest included */
unsigned long pcp_allocs(const struct zone_pcp *pcp);
unsigned long pcp_frees(const struct zone_pcp *pcp);

static inline void pcp_lock(const struct ondol_machine *m, struct phys_cpu *cpu)
{
	if (m->phys->smp)
		cpu_lock(m->port, &cpu->lock);
}

static inline void pcp_unlock(const struct ondol_machine *m, struct phys_cpu *cpu)
{
	if (m->phys->smp)
		cpu_unlock(m->port, &cpu->lock);
}

/* The CPU's list for blocks of this order and type; NULL: there are none. */
static inline struct pcp_list *pcp_list_for(struct zone_pcp *pcp, unsigned order, unsigned type)
{
	unsigned slot = pcp_slot(order);

	return slot < PCP_SLOTS && pcp->list[type][slot].cap ? &pcp->list[type][slot] : NULL;
}

/* A record with the list's free_flags, perhaps ZEROED; NULL: the list is empty. */
static PCP_INLINE struct ondol_page *pcp_pop(const struct ondol_machine *m, struct pcp_list *list)
{
	uint32_t *top = list->top;

	if (ondol_unlikely(top == list->base))
		return NULL;
	store_relaxed(&list->top, --top);
	if (top < list->low)
		store_relaxed(&list->low, top);
	return &m->pages[*top];
}

/* False: it is full, and nothing was done. */
static PCP_INLINE bool pcp_push(struct pcp_list *list, struct ondol_page *page, uint32_t index)
{
	uint32_t *top = list->top;

	if (ondol_unlikely(top == list->end))
		return false;
	store_relaxed(&page->flags, list->free_flags);
	*top = index;
	store_relaxed(&list->top, top + 1);
	add_relaxed(&list->nr_frees, 1);
	return true;
}

#endif /* ONDOL_PHYS_PCP_H */

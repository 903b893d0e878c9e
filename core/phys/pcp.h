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
/* A free block, its record checked, becomes the newest of the list, whatever that takes. */
void pcp_put(struct ondol_zone *zone, struct phys_cpu *cpu, struct pcp_list *list,
	     struct ondol_page *page);
/* Of which lists of `cpu` is its hot_list the first choice?  For hot_gfps. */
uint32_t pcp_hot_gfps(const struct phys_cpu *cpu);

/* Figures of a CPU's lists in the zone, for anyone to read; exact when nothing runs. */
uint32_t pcp_pages(const struct ondol_zone *zone, uint32_t cpu);
uint32_t pcp_low_pages(const struct ondol_zone *zone, uint32_t cpu); /* when they were lowest */
unsigned long pcp_allocs(const struct ondol_zone *zone, uint32_t cpu);
unsigned long pcp_frees(const struct ondol_zone *zone, uint32_t cpu);
/* The CPU's hot frame, if it belongs to the zone, or NIL. */
uint32_t pcp_hot(const struct ondol_zone *zone, uint32_t cpu);

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

/* What differs between a list's free_flags and its out_flags. */
#define PCP_OUT_XOR_FREE (ONDOL_PG_PCP | ONDOL_PAGE_KERNEL << ONDOL_PG_USE_SHIFT)

/* The frame in hand, its record with free_flags; NULL: there is none that would do. */
static PCP_INLINE struct ondol_page *pcp_take_hot(const struct ondol_machine *m,
						  struct phys_cpu *cpu, int node,
						  ondol_gfp_t gfp)
{
	uint32_t index = cpu->hot;

	if (index == ONDOL_PAGE_NIL)
		return NULL;
	if (ondol_unlikely(!(load_relaxed(&cpu->hot_gfps) >> (gfp & 31) & 1) ||
			   (node != ONDOL_NODE_ANY && node != cpu->node)))
		return NULL;
	store_relaxed(&cpu->hot, ONDOL_PAGE_NIL);
	add_relaxed(&cpu->nr_hot, 1);
	return &m->pages[index];
}

/* hot was taken while the array ended at top. */
static PCP_INLINE void pcp_note_taken(struct phys_cpu *cpu, struct pcp_list *list)
{
	if (cpu->nr_hot == cpu->nr_hot_noted)
		return;
	store_relaxed(&cpu->nr_hot_noted, cpu->nr_hot);
	if (list->top < list->low)
		store_relaxed(&list->low, list->top);
}

/* A free frame for hot_list is in hand; what was goes to the array.  False: that is full. */
static PCP_INLINE bool pcp_put_hot(struct phys_cpu *cpu, struct ondol_page *page,
				   uint32_t index)
{
	uint32_t old = cpu->hot;

	if (old != ONDOL_PAGE_NIL) {
		struct pcp_list *list = cpu->hot_list;
		uint32_t *top = list->top;

		if (ondol_unlikely(top == list->end))
			return false;
		pcp_note_taken(cpu, list);
		*top = old;
		store_relaxed(&list->top, top + 1);
	}
	page_set_state(page, cpu->hot_flags ^ PCP_OUT_XOR_FREE, 0);
	store_relaxed(&cpu->hot, index);
	return true;
}

/* A record with the list's free_flags, perhaps ZEROED; NULL: the list is empty. */
static PCP_INLINE struct ondol_page *pcp_pop(const struct ondol_machine *m, struct pcp_list *list)
{
	uint32_t *top = list->top;

	if (ondol_unlikely(top == list->base))
		return NULL;
	store_relaxed(&list->top, --top);
	add_relaxed(&list->nr_allocs, 1);
	if (top < list->low)
		store_relaxed(&list->low, top);
	return &m->pages[*top];
}

/* The newest of the list, its record free_flags, perhaps ZEROED; NULL: it is empty. */
static inline struct ondol_page *pcp_take(const struct ondol_machine *m, struct phys_cpu *cpu,
					  struct pcp_list *list)
{
	uint32_t index = cpu->hot;

	if (index == ONDOL_PAGE_NIL || cpu->hot_list != list)
		return pcp_pop(m, list);
	store_relaxed(&cpu->hot, ONDOL_PAGE_NIL);
	add_relaxed(&cpu->nr_hot, 1);
	return &m->pages[index];
}

/* False: it is full, and nothing was done. */
static PCP_INLINE bool pcp_push(struct pcp_list *list, struct ondol_page *page, uint32_t index)
{
	uint32_t *top = list->top;

	if (ondol_unlikely(top == list->end))
		return false;
	page_set_state(page, list->free_flags, 0);
	*top = index;
	store_relaxed(&list->top, top + 1);
	return true;
}

#endif /* ONDOL_PHYS_PCP_H */

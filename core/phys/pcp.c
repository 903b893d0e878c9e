/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU page lists: free blocks of small orders that a CPU keeps for itself, so that most
 * allocations take no shared lock and do not merge what is about to be split again.
 *
 *	alloc <-- loaded --.                    .--> loaded <-- free
 *	           empty?  swap with spare      full? it becomes the spare
 *	                   both empty: refill         the old spare is drained
 *
 * Two magazines (Bonwick and Adams, "Magazines and Vmem", USENIX 2001) rather than Linux's
 * low and high marks: between a refill and a drain lie at least a magazine's worth of
 * operations, whatever the pattern, and the recently freed pages are the ones that stay.
 *
 * [PCP-1] A block on a list is marked PCP, has the list's order and type, no reference and no
 *         use, and belongs to the list's zone.
 * [PCP-2] A list's nr counts its blocks, and zone_pcp.count the pages of all lists.
 * [PCP-3] No magazine holds more than its capacity.
 *
 * Pages here are not merged; ondol_drain_all_pages gives them back, and so does the allocator
 * before it refuses anything.
 */
#include "phys/pcp.h"

#include "base/math.h"
#include "phys/buddy.h"

#define PCP_CAP_MAX 64 /* a refill then costs a few ns a page; more only hoards */

/*
 * At most 1/512 of the zone in a magazine, divided among the CPUs: with two magazines for each
 * of 3 types and 5 orders, of shrinking size, the lists hold under 5 % even if all are full.
 */
void pcp_init(struct zone_pcp *pcp, uint32_t managed, uint32_t nr_cpus)
{
	uint32_t cap = managed / 512 / nr_cpus;

	__builtin_memset(pcp, 0, sizeof *pcp);
	for (unsigned order = 0; order < PCP_ORDERS; order++) {
		uint32_t blocks = (cap < PCP_CAP_MAX ? cap : PCP_CAP_MAX) >> order;

		pcp->cap[order] = (uint16_t)(blocks ? blocks : 1);
	}
}

/*
 * Between two changes of a zone's lists its free frames stand still, so the peak of the frames
 * out lies where this CPU's lists were lowest.  With several CPUs this is a little high.
 */
void pcp_note_peak(struct ondol_machine *m, struct zone_pcp *own)
{
	struct ondol_phys_state *phys = m->phys;
	struct ondol_zone *zone;
	uint32_t used = phys->managed, peak = load_relaxed(&phys->used_peak);

	zone_for_each(phys, zone, i) {
		used -= load_relaxed(&zone->nr_free);
		for (uint32_t cpu = 0; phys->pcp_on && cpu < m->nr_cpus; cpu++)
			used -= load_relaxed(&zone->pcp[cpu].low);
	}
	store_relaxed(&own->low, load_relaxed(&own->count)); /* others may be draining it */
	while ((int32_t)(used - peak) > 0 && used <= phys->managed &&
	       !__atomic_compare_exchange_n(&phys->used_peak, &peak, used, true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

bool pcp_refill(struct ondol_zone *zone, struct zone_pcp *pcp, unsigned order, unsigned type,
		uint32_t most)
{
	struct pcp_list *list = pcp_loaded(pcp, order, type);
	struct pcp_list *spare = &pcp->spare[order][type];
	bool smp = zone->m->phys->smp;
	uint32_t got;

	if (spare->nr) {
		struct pcp_list empty = *list;

		*list = *spare;
		*spare = empty;
		return true;
	}
	pcp_note_peak(zone->m, pcp);
	if (smp)
		spin_lock(zone->m->port, &zone->lock);
	got = buddy_take_many(zone, order, type, most < pcp->cap[order] ? most : pcp->cap[order],
			      list);
	if (smp)
		spin_unlock(&zone->lock);
	store_relaxed(&pcp->count, pcp->count + (got << order));
	store_relaxed(&pcp->low, pcp->count);
	return got != 0;
}

/* Give every block of the list back to the zone; zone.lock is held. */
static void drain_list(struct ondol_zone *zone, struct zone_pcp *pcp, struct pcp_list *list,
		       unsigned order)
{
	struct ondol_page *pages = zone->m->pages;
	uint32_t index = list->head;

	store_relaxed(&pcp->count, pcp->count - (list->nr << order));
	for (; list->nr; list->nr--) {
		uint32_t next = pages[index].buddy.next;

		if (list->nr > 1)
			__builtin_prefetch(&pages[next], 1);
		ONDOL_VERIFY(zone->m, pages[index].flags & ONDOL_PG_PCP, "PCP-1", index, order);
		if (ondol_unlikely(pages[index].flags & ONDOL_PG_ZEROED))
			buddy_forget_taken(zone, index, order);
		store_relaxed(&pages[index].flags, zone->flags);
		buddy_give(zone, index, order);
		index = next;
	}
}

void pcp_spill(struct ondol_zone *zone, struct zone_pcp *pcp, unsigned order, unsigned type)
{
	struct pcp_list *list = pcp_loaded(pcp, order, type);
	struct pcp_list *spare = &pcp->spare[order][type];
	bool smp = zone->m->phys->smp;

	if (spare->nr) {
		pcp_note_peak(zone->m, pcp);
		if (smp)
			spin_lock(zone->m->port, &zone->lock);
		drain_list(zone, pcp, spare, order);
		if (smp)
			spin_unlock(&zone->lock);
		store_relaxed(&pcp->low, pcp->count);
	}
	*spare = *list;
	list->nr = 0;
}

void pcp_drain(struct ondol_zone *zone, struct zone_pcp *pcp)
{
	bool smp = zone->m->phys->smp;

	if (!pcp->count)
		return;
	pcp_note_peak(zone->m, pcp);
	if (smp)
		spin_lock(zone->m->port, &zone->lock);
	for (unsigned order = 0; order < PCP_ORDERS; order++) {
		for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++) {
			drain_list(zone, pcp, pcp_loaded(pcp, order, type), order);
			drain_list(zone, pcp, &pcp->spare[order][type], order);
		}
	}
	if (smp)
		spin_unlock(&zone->lock);
	store_relaxed(&pcp->low, pcp->count);
}

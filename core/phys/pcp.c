/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU page lists: free blocks of the common orders that a CPU keeps for itself, so that most
 * allocations take no shared lock and do not merge what is about to be split again.
 *
 *	alloc <-- top  [ newest ... oldest ]
 *	          empty?  a batch comes from the zone       under one zone lock
 *	free  --> full?   the older half goes to the zone
 *
 * A list is an array of frame indices, not a chain through the page records: what a CPU needs of
 * its own for an allocation is the line of the list and one line of the array.  A batch is half
 * of what the list may hold, so between a refill and a drain lie at least a batch's worth of
 * operations, whatever the pattern (as between two magazines: Bonwick and Adams, USENIX 2001),
 * and what was freed last stays.
 *
 * The most a list may hold (`end`) begins at a quarter of its cap and doubles with each refill
 * or drain: who uses an order a lot gets long batches, who uses it once hoards little.  When
 * memory is short everything is drained and the marks fall back.
 *
 * [PCP-1] A block on a list is marked PCP, has the list's order and type, no reference and no
 *         use, belongs to the list's zone, and is on no other place of a list.
 * [PCP-2] The zone's frames so marked are those on its lists.
 * [PCP-3] base <= low <= top <= end <= base + cap, and cap fits the room of the slot.
 *
 * Concurrency.  The owner alone touches its lists, under phys_cpu.lock, which costs it no atomic
 * instruction where the port has sync_cpus (base/spinlock.h); a remote drain claims that lock.
 *
 * Pages here are not merged; ondol_drain_all_pages gives them back, and so does the allocator
 * before it refuses anything.
 */
#include "phys/pcp.h"

#include "base/math.h"
#include "phys/buddy.h"

/* The refill or drain that is being done has seen the list as low as it was. */
static void note_low(struct zone_pcp *pcp, struct pcp_list *list)
{
	int32_t lower = (int32_t)(list->noted - list->low) * (1 << list->order);

	store_relaxed(&pcp->low, pcp->low - (uint32_t)lower);
	list->noted = list->low;
}

/* From here on. */
static void reset_low(struct zone_pcp *pcp, struct pcp_list *list)
{
	store_relaxed(&list->low, list->top);
	note_low(pcp, list);
}

static uint32_t first_size(const struct pcp_list *list)
{
	return list->cap < 8 ? list->cap : list->cap / 4;
}

/*
 * At most 1/256 of the zone on a list, divided among the CPUs: with 3 types and 6 orders, of
 * shrinking size, the lists hold under 5 % even if all are full.  Small orders get two blocks
 * in any case, or there would be no batches at all; the huge order only where it is small
 * change.
 */
static uint32_t cap_of(const struct ondol_zone *zone, unsigned slot)
{
	const struct ondol_phys_state *phys = zone->m->phys;
	uint32_t pages = zone->present / 256 / zone->m->nr_cpus;
	unsigned order = pcp_slot_order(slot);
	uint64_t cap = min_u64(pages >> order, pcp_slot_room(slot));

	if (slot < PCP_SMALL_ORDERS)
		cap = max_u64(cap, 2);
	return phys->pcp_on && order <= phys->max_order ? (uint32_t)cap : 0;
}

/* Whole cache lines, so that no two CPUs share one. */
uint32_t pcp_entries(const struct ondol_zone *zone)
{
	uint32_t nr = 0;

	for (unsigned slot = 0; slot < PCP_SLOTS; slot++)
		nr += NR_MIGRATE_TYPES * cap_of(zone, slot);
	return (uint32_t)align_up(nr, PHYS_CACHE_LINE / sizeof(uint32_t));
}

void pcp_init(struct ondol_zone *zone, struct zone_pcp *pcp)
{
	uint32_t *frames = zone->pcp_frames + (size_t)(pcp - zone->pcp) * pcp_entries(zone);

	__builtin_memset(pcp, 0, sizeof *pcp);
	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++) {
		unsigned type = i / PCP_SLOTS, slot = i % PCP_SLOTS, order = pcp_slot_order(slot);
		struct pcp_list *list = &pcp->list[type][slot];

		list->cap = (uint16_t)cap_of(zone, slot);
		list->order = (uint16_t)order;
		list->base = list->top = list->low = list->noted = frames;
		list->end = list->base + first_size(list);
		list->free_flags = zone->flags | ONDOL_PG_PCP | order << ONDOL_PG_ORDER_SHIFT |
				   type << ONDOL_PG_TYPE_SHIFT;
		list->out_flags = (list->free_flags & ~ONDOL_PG_PCP) | ONDOL_PAGE_KERNEL;
		frames += list->cap;
	}
}

uint32_t pcp_pages(const struct zone_pcp *pcp)
{
	const struct pcp_list *list = pcp->list[0];
	uint32_t pages = 0;

	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++, list++)
		pages += (uint32_t)(load_relaxed(&list->top) - list->base) << list->order;
	return pages;
}

uint32_t pcp_low_pages(const struct zone_pcp *pcp)
{
	const struct pcp_list *list = pcp->list[0];
	uint32_t pages = 0;

	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++, list++)
		pages += (uint32_t)(load_relaxed(&list->low) - list->base) << list->order;
	return pages;
}

unsigned long pcp_frees(const struct zone_pcp *pcp)
{
	const struct pcp_list *list = pcp->list[0];
	unsigned long frees = load_relaxed(&pcp->nr_frees);

	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++, list++)
		frees += load_relaxed(&list->nr_frees);
	return frees;
}

/* Through a list went out what came, from the zone or freed here, and is not on it. */
unsigned long pcp_allocs(const struct zone_pcp *pcp)
{
	const struct pcp_list *list = pcp->list[0];
	unsigned long out = load_relaxed(&pcp->nr_fed);

	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++, list++) {
		unsigned long nr = (unsigned long)(load_relaxed(&list->top) - list->base);

		out += load_relaxed(&list->nr_frees) - nr;
	}
	/* Read piece by piece while it changes: never absurd. */
	return load_relaxed(&pcp->nr_allocs) + ((long)out > 0 ? out : 0);
}

/*
 * Between two changes of a zone's lists its free frames stand still, so the peak of the frames
 * out lies where this CPU's lists were lowest.  With several CPUs, or several lists of which one
 * was low while another was not, this is high by what they hold.
 */
void pcp_note_peak(struct ondol_machine *m, struct zone_pcp *own)
{
	struct ondol_phys_state *phys = m->phys;
	struct ondol_zone *zone;
	uint32_t used = phys->managed, peak = load_relaxed(&phys->used_peak);

	(void)own;
	zone_for_each(phys, zone, i) {
		used -= load_relaxed(&zone->nr_free);
		for (uint32_t cpu = 0; phys->pcp_on && cpu < m->nr_cpus; cpu++)
			used -= load_relaxed(&zone->pcp[cpu].low);
	}
	while ((int32_t)(used - peak) > 0 && used <= phys->managed &&
	       !__atomic_compare_exchange_n(&phys->used_peak, &peak, used, true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

static void grow(struct pcp_list *list)
{
	uint64_t size = min_u64(2 * (uint64_t)(list->end - list->base), list->cap);

	store_relaxed(&list->end, list->base + size);
}

bool pcp_refill(struct ondol_zone *zone, struct zone_pcp *pcp, struct pcp_list *list,
		uint32_t most)
{
	unsigned type = (list->free_flags >> ONDOL_PG_TYPE_SHIFT) & ONDOL_PG_TYPE_MASK;
	bool smp = zone->m->phys->smp;
	uint32_t batch = (uint32_t)(list->end - list->base + 1) / 2, got;

	note_low(pcp, list);
	pcp_note_peak(zone->m, pcp);
	if (smp)
		spin_lock(zone->m->port, &zone->lock);
	got = buddy_take_many(zone, list->order, type, most < batch ? most : batch, list->base);
	if (smp)
		spin_unlock(&zone->lock);
	add_relaxed(&pcp->nr_fed, got);
	store_relaxed(&list->top, list->base + got);
	reset_low(pcp, list);
	grow(list);
	return got != 0;
}

/* Give the oldest `nr` blocks of the list back to the zone; zone.lock is held. */
static void give_oldest(struct ondol_zone *zone, struct zone_pcp *pcp, struct pcp_list *list,
			uint32_t nr)
{
	uint32_t rest = (uint32_t)(list->top - list->base) - nr;

	buddy_give_many(zone, list->base, nr, list->order);
	__builtin_memmove(list->base, list->base + nr, rest * sizeof *list->base);
	add_relaxed(&pcp->nr_fed, -(unsigned long)nr);
	store_relaxed(&list->top, list->base + rest);
	reset_low(pcp, list);
}

void pcp_spill(struct ondol_zone *zone, struct zone_pcp *pcp, struct pcp_list *list)
{
	bool smp = zone->m->phys->smp;

	note_low(pcp, list);
	pcp_note_peak(zone->m, pcp);
	if (smp)
		spin_lock(zone->m->port, &zone->lock);
	give_oldest(zone, pcp, list, (uint32_t)(list->top - list->base + 1) / 2);
	if (smp)
		spin_unlock(&zone->lock);
	grow(list);
}

void pcp_drain(struct ondol_zone *zone, struct zone_pcp *pcp)
{
	struct pcp_list *list = pcp->list[0];
	bool smp = zone->m->phys->smp;

	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++)
		note_low(pcp, &list[i]);
	pcp_note_peak(zone->m, pcp);
	if (smp)
		spin_lock(zone->m->port, &zone->lock);
	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++) {
		give_oldest(zone, pcp, &list[i], (uint32_t)(list[i].top - list[i].base));
		store_relaxed(&list[i].end, list[i].base + first_size(&list[i]));
	}
	if (smp)
		spin_unlock(&zone->lock);
}

/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU page lists: free blocks of the common orders that a CPU keeps for itself, so that most
 * allocations take no shared lock and do not merge what is about to be split again.
 *
 *	alloc <-- top  [ newest ... oldest ]
 *	          empty?  a batch comes from the zone       under one zone lock
 *	free  --> full?   the older half goes to the zone
 *
 * 1 Lists.  A list is an array of frame indices, not a chain through the page records: what a
 * CPU needs of its own for an allocation is the line of the list and one line of the array.  A
 * batch is half of what the list may hold, so between a refill and a drain lie at least a batch's
 * worth of operations, whatever the pattern (as between two magazines: Bonwick and Adams, USENIX
 * 2001), and what was freed last stays.
 *
 * 2 The frame in hand.  A CPU's newest free frame of order 0 is no entry of the array but in
 * phys_cpu.hot, together with all that a pair asks about its list and with the CPU's lock:
 *
 *	phys_cpu   lock | hot | flags of its list | who may have it | counters   one line
 *	page       flags, references, who freed it                              the other
 *
 * So an allocation that takes what was freed last writes two lines and no others, and reads but
 * the constant line of the machine beside.  Where frames come and go in numbers, hot and the array
 * are one stack, with hot on top.
 *
 * 3 Sizes.  The most a list's array may hold (`end`) begins at a quarter of its cap and doubles
 * with each refill or drain: who uses an order a lot gets long batches, who uses it once hoards
 * little.  When memory is short everything is drained and the marks fall back.
 *
 * [PCP-1] A block on a list is marked PCP, has the list's order and type, no reference and no
 *         use, belongs to the list's zone, and is on no other place of a list.
 * [PCP-2] The zone's frames so marked are those on its lists.
 * [PCP-3] base <= low <= top (with the hot frame: top + 1) <= end + 1, end <= base + cap, and cap
 *         fits the room of the slot.
 * [PCP-4] hot is a frame that could be an entry of hot_list, which is a list of order 0 of this
 *         CPU; hot_flags and hot_gfps are what hot_list makes them.
 *
 * 4 Concurrency.  The owner alone touches its lists, under phys_cpu.lock, which costs it no atomic
 * instruction where the port has sync_cpus (base/spinlock.h); a remote drain claims that lock.
 *
 * Pages here are not merged; ondol_drain_all_pages gives them back, and so does the allocator
 * before it refuses anything.
 */
#include "phys/pcp.h"

#include "base/math.h"
#include "phys/buddy.h"

/* The refill or drain that is being done has seen the list as low as it was. */
static void note_low(struct zone_pcp *pcp, struct phys_cpu *cpu, struct pcp_list *list)
{
	int32_t lower;

	if (cpu->hot_list == list)
		pcp_note_taken(cpu, list);
	lower = (int32_t)(list->noted - list->low) * (1 << list->order);
	store_relaxed(&pcp->low, pcp->low - (uint32_t)lower);
	list->noted = list->low;
}

/* From here on. */
static void reset_low(struct zone_pcp *pcp, struct phys_cpu *cpu, struct pcp_list *list)
{
	bool hot = cpu->hot_list == list && cpu->hot != ONDOL_PAGE_NIL;

	if (cpu->hot_list == list)
		store_relaxed(&cpu->nr_hot_noted, cpu->nr_hot);
	store_relaxed(&list->low, list->top + hot);
	note_low(pcp, cpu, list);
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

/* The CPU, if its hot_list is one of the zone's; or NULL. */
static const struct phys_cpu *hot_cpu(const struct ondol_zone *zone, uint32_t cpu)
{
	const struct phys_cpu *of = &zone->m->phys->cpus[cpu];
	uintptr_t offset = (uintptr_t)load_relaxed(&of->hot_list) - (uintptr_t)&zone->pcp[cpu];

	return zone->m->phys->pcp_on && offset < sizeof *zone->pcp ? of : NULL;
}

uint32_t pcp_hot(const struct ondol_zone *zone, uint32_t cpu)
{
	const struct phys_cpu *of = hot_cpu(zone, cpu);

	return of ? load_relaxed(&of->hot) : ONDOL_PAGE_NIL;
}

uint32_t pcp_pages(const struct ondol_zone *zone, uint32_t cpu)
{
	const struct pcp_list *list = zone->pcp[cpu].list[0];
	uint32_t pages = pcp_hot(zone, cpu) != ONDOL_PAGE_NIL;

	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++, list++)
		pages += (uint32_t)(load_relaxed(&list->top) - list->base) << list->order;
	return pages;
}

uint32_t pcp_low_pages(const struct ondol_zone *zone, uint32_t cpu)
{
	const struct pcp_list *list = zone->pcp[cpu].list[0];
	const struct phys_cpu *of = hot_cpu(zone, cpu);
	uint32_t pages = 0;

	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++, list++) {
		const uint32_t *low = load_relaxed(&list->low), *top = load_relaxed(&list->top);

		if (of && list == load_relaxed(&of->hot_list) && top < low &&
		    load_relaxed(&of->nr_hot) != load_relaxed(&of->nr_hot_noted))
			low = top;
		pages += (uint32_t)(low - list->base) << list->order;
	}
	return pages;
}

unsigned long pcp_allocs(const struct ondol_zone *zone, uint32_t cpu)
{
	const struct pcp_list *list = zone->pcp[cpu].list[0];
	const struct phys_cpu *of = hot_cpu(zone, cpu);
	unsigned long allocs = load_relaxed(&zone->pcp[cpu].nr_allocs);

	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++, list++)
		allocs += load_relaxed(&list->nr_allocs);
	return allocs + (of ? load_relaxed(&of->nr_hot) : 0);
}

/* Freed here was what is on a list or went out through it, but did not come from the zone. */
unsigned long pcp_frees(const struct ondol_zone *zone, uint32_t cpu)
{
	const struct zone_pcp *pcp = &zone->pcp[cpu];
	const struct pcp_list *list = pcp->list[0];
	const struct phys_cpu *of = hot_cpu(zone, cpu);
	unsigned long in = 0ul - load_relaxed(&pcp->nr_fed);

	if (of)
		in += load_relaxed(&of->nr_hot) + (load_relaxed(&of->hot) != ONDOL_PAGE_NIL);
	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++, list++) {
		unsigned long nr = (unsigned long)(load_relaxed(&list->top) - list->base);

		in += load_relaxed(&list->nr_allocs) + nr;
	}
	/* Read piece by piece while it changes: never absurd. */
	return load_relaxed(&pcp->nr_frees) + ((long)in > 0 ? in : 0);
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

/* The CPU whose lists these are. */
static struct phys_cpu *cpu_of(const struct ondol_zone *zone, const struct zone_pcp *pcp)
{
	return &zone->m->phys->cpus[pcp - zone->pcp];
}

bool pcp_refill(struct ondol_zone *zone, struct zone_pcp *pcp, struct pcp_list *list,
		uint32_t most)
{
	unsigned type = (list->free_flags >> ONDOL_PG_TYPE_SHIFT) & ONDOL_PG_TYPE_MASK;
	bool smp = zone->m->phys->smp;
	uint32_t batch = (uint32_t)(list->end - list->base + 1) / 2, got;

	note_low(pcp, cpu_of(zone, pcp), list);
	pcp_note_peak(zone->m, pcp);
	if (smp)
		spin_lock(zone->m->port, &zone->lock);
	got = buddy_take_many(zone, list->order, type, most < batch ? most : batch, list->base);
	if (smp)
		spin_unlock(&zone->lock);
	add_relaxed(&pcp->nr_fed, got);
	store_relaxed(&list->top, list->base + got);
	reset_low(pcp, cpu_of(zone, pcp), list);
	if (got) /* else there are no frames to be had in larger numbers */
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
	reset_low(pcp, cpu_of(zone, pcp), list);
}

/* The frame in hand goes back to its zone; zone.lock is held. */
static void give_hot(struct ondol_zone *zone, struct zone_pcp *pcp, struct phys_cpu *cpu)
{
	uint32_t index = cpu->hot;

	buddy_give_many(zone, &index, 1, 0);
	add_relaxed(&pcp->nr_fed, -1ul);
	store_relaxed(&cpu->hot, ONDOL_PAGE_NIL);
	reset_low(pcp, cpu, cpu->hot_list);
}

void pcp_spill(struct ondol_zone *zone, struct zone_pcp *pcp, struct pcp_list *list)
{
	bool smp = zone->m->phys->smp;

	note_low(pcp, cpu_of(zone, pcp), list);
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
	struct phys_cpu *cpu = cpu_of(zone, pcp);
	bool smp = zone->m->phys->smp;

	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++)
		note_low(pcp, cpu, &list[i]);
	pcp_note_peak(zone->m, pcp);
	if (smp)
		spin_lock(zone->m->port, &zone->lock);
	for (unsigned i = 0; i < NR_MIGRATE_TYPES * PCP_SLOTS; i++) {
		give_oldest(zone, pcp, &list[i], (uint32_t)(list[i].top - list[i].base));
		if (&list[i] == cpu->hot_list && cpu->hot != ONDOL_PAGE_NIL)
			give_hot(zone, pcp, cpu);
		store_relaxed(&list[i].end, list[i].base + first_size(&list[i]));
	}
	if (smp)
		spin_unlock(&zone->lock);
}

/* ------------------------------------------------------------------ the frame in hand */

uint32_t pcp_hot_gfps(const struct phys_cpu *cpu)
{
	uint32_t gfps = 0;

	for (unsigned gfp = 0; gfp < 32; gfp++)
		if (load_relaxed(&cpu->lists[gfp]) == cpu->hot_list)
			gfps |= 1u << gfp;
	return gfps;
}

/* The frame in hand becomes an entry, of an array that has room or gets it; the hand is empty. */
static void put_down(struct ondol_machine *m, struct phys_cpu *cpu)
{
	struct pcp_list *list = cpu->hot_list;

	pcp_note_taken(cpu, list);
	if (cpu->hot != ONDOL_PAGE_NIL) {
		struct ondol_zone *zone = page_zone(m, &m->pages[cpu->hot]);

		if (list->top == list->end)
			pcp_spill(zone, &zone->pcp[cpu - m->phys->cpus], list);
		*list->top = cpu->hot;
		store_relaxed(&list->top, list->top + 1);
		store_relaxed(&cpu->hot, ONDOL_PAGE_NIL);
	}
	add_relaxed(&list->nr_allocs, cpu->nr_hot);
	store_relaxed(&cpu->nr_hot, 0);
	store_relaxed(&cpu->nr_hot_noted, 0);
}

void pcp_put(struct ondol_zone *zone, struct phys_cpu *cpu, struct pcp_list *list,
	     struct ondol_page *page)
{
	struct zone_pcp *pcp = &zone->pcp[cpu - zone->m->phys->cpus];
	uint32_t index = page_index(zone->m, page);

	if (list->order) {
		if (ondol_unlikely(!pcp_push(list, page, index))) {
			pcp_spill(zone, pcp, list);
			(void)pcp_push(list, page, index);
		}
		cpu->guess[pcp_slot(list->order)] = list;
		return;
	}
	if (list != cpu->hot_list) {
		put_down(zone->m, cpu);
		store_relaxed(&cpu->hot_list, list);
		cpu->hot_flags = list->out_flags;
		store_relaxed(&cpu->hot_gfps, pcp_hot_gfps(cpu));
	}
	if (ondol_unlikely(!pcp_put_hot(cpu, page, index))) {
		pcp_spill(zone, pcp, list);
		(void)pcp_put_hot(cpu, page, index);
	}
}

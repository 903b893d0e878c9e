/* SPDX-License-Identifier: MIT */
/*
 * Frames without a permanent address (C7).  A 32-bit kernel of 3G/1G sees 896 MiB; the frames of
 * HIGHMEM above go to programs, and who needs their bytes maps them into a window for a while:
 *
 *	direct_map                          kmap_window
 *	[ DMA | NORMAL ]   HIGHMEM ...      [ CPU 0: 4 | CPU 1: 4 | ... | persistent slots ]
 *	0              direct_map_bytes
 *
 * Local mappings (kmap_local) are a stack of slots that one CPU has for itself; interrupts are
 * off from the first to the last, so that nobody comes between who needs the same slot.
 * Persistent ones (ondol_kmap) are seen by every CPU and may be held across a wait.  As in Linux
 * a slot that nobody uses any more keeps its frame until somebody needs the slot, so mapping the
 * same frame again costs a look at the table:
 *
 *	users 0, pfn none    free
 *	users 0, pfn         nobody uses it; it can be taken, and found again until then
 *	users n, pfn         in use
 *
 *   [KMAP-1]  A persistent slot holds no frame or a frame above direct_map_bytes, each frame at
 *             most once; one that is in use holds an allocated frame.
 *
 * A machine whose direct map covers everything (direct_map_bytes is 0) pays one comparison.
 * Source: Linux mm/highmem.c, Documentation/mm/highmem.rst.
 */
#include "phys/kmap.h"

#include "base/math.h"
#include "phys/zone.h"

#define NO_PFN UINT64_MAX

int kmap_check_port(const struct ondol_port *port, uint32_t nr_cpus)
{
	if (!port->direct_map_bytes)
		return 0;
	if (port->direct_map_bytes & ~ONDOL_PAGE_MASK || !port->kmap_set || !port->kmap_window ||
	    port->nr_kmap_slots / KMAP_LOCAL_MAX < nr_cpus ||
	    port->nr_kmap_slots == nr_cpus * KMAP_LOCAL_MAX)
		return -ONDOL_EINVAL;
	return 0;
}

/* Frames of the direct map for the table of slots and the depth of each CPU's stack. */
static uint32_t table_pages(const struct ondol_machine *m, uint32_t nr_slots)
{
	uint64_t bytes = (uint64_t)nr_slots * sizeof(struct kmap_slot) + m->nr_cpus;

	return (uint32_t)(align_up(bytes, ONDOL_PAGE_SIZE) >> ONDOL_PAGE_SHIFT);
}

/* Whatever is given to who does not ask for HIGHMEM has an address. */
static bool low_zones_are_low(const struct ondol_machine *m)
{
	struct ondol_zone *zone;

	zone_for_each(m->phys, zone, i) {
		if (zone->present && zone->type != ONDOL_ZONE_HIGHMEM &&
		    zone->type != ONDOL_ZONE_MOVABLE && zone->type != ONDOL_ZONE_DEVICE &&
		    m->first_pfn + zone->end > m->kmap.low_end)
			return false;
	}
	return true;
}

int kmap_init(struct ondol_machine *m)
{
	struct kmap *k = &m->kmap;
	uint32_t nr_slots = m->port->nr_kmap_slots - m->nr_cpus * KMAP_LOCAL_MAX;
	struct ondol_page *page;

	if (!m->port->direct_map_bytes)
		return 0;
	if (!low_zones_are_low(m))
		return -ONDOL_EINVAL;
	page = ondol_alloc_pages_exact(m, ONDOL_GFP_KERNEL, table_pages(m, nr_slots));
	if (!page)
		return -ONDOL_ENOMEM;
	k->slot = page_host(m, page);
	k->depth = (uint8_t *)&k->slot[nr_slots];
	k->nr_slots = nr_slots;
	for (uint32_t i = 0; i < nr_slots; i++)
		k->slot[i] = (struct kmap_slot){ .pfn = NO_PFN };
	__builtin_memset(k->depth, 0, m->nr_cpus);
	return 0;
}

void kmap_fini(struct ondol_machine *m)
{
	struct kmap *k = &m->kmap;
	uint64_t at = (uint64_t)((unsigned char *)k->slot - m->port->direct_map);

	if (!k->slot)
		return;
	ondol_free_pages_exact(m, machine_page(m, at >> ONDOL_PAGE_SHIFT),
			       table_pages(m, k->nr_slots));
	k->slot = NULL;
	k->nr_slots = 0;
}

static void *window_at(const struct ondol_machine *m, uint32_t slot)
{
	return m->port->kmap_window + (size_t)slot * ONDOL_PAGE_SIZE;
}

static void window_set(const struct ondol_machine *m, uint32_t slot, uint64_t pfn)
{
	m->port->kmap_set(m->port->ctx, slot, (ondol_pfn_t){ pfn });
}

/* ------------------------------------------------------------------ local */

void *kmap_high(struct ondol_machine *m, const struct ondol_page *page, struct kmap_local *out)
{
	uintptr_t irq = port_irq_save(m->port);
	uint32_t cpu = machine_this_cpu(m), depth = m->kmap.depth[cpu]++;

	ONDOL_VERIFY(m, depth < KMAP_LOCAL_MAX, NULL, cpu, depth);
	*out = (struct kmap_local){ .high = true, .irq = irq };
	window_set(m, cpu * KMAP_LOCAL_MAX + depth, machine_page_pfn(m, page));
	return window_at(m, cpu * KMAP_LOCAL_MAX + depth);
}

void kunmap_high(struct ondol_machine *m, const struct kmap_local *map)
{
	uint32_t cpu = machine_this_cpu(m), depth = --m->kmap.depth[cpu];

	window_set(m, cpu * KMAP_LOCAL_MAX + depth, NO_PFN);
	port_irq_restore(m->port, map->irq);
}

void kmap_clear(struct ondol_machine *m, struct ondol_page *page, uint32_t n)
{
	const struct ondol_port *port = m->port;
	struct kmap_local map;

	if (port->clear_frames &&
	    port->clear_frames(port->ctx, (ondol_pfn_t){ machine_page_pfn(m, page) }, n))
		return;
	if (page_is_low(m, page)) {
		__builtin_memset(page_host(m, page), 0, (size_t)n << ONDOL_PAGE_SHIFT);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		__builtin_memset(kmap_local(m, &page[i], &map), 0, ONDOL_PAGE_SIZE);
		kunmap_local(m, &map);
	}
}

void kmap_copy(struct ondol_machine *m, struct ondol_page *to, const struct ondol_page *from)
{
	const struct ondol_port *port = m->port;
	struct kmap_local to_map, from_map;
	const void *source;

	if (port->copy_frame &&
	    port->copy_frame(port->ctx, (ondol_pfn_t){ machine_page_pfn(m, to) },
			     (ondol_pfn_t){ machine_page_pfn(m, from) }))
		return;
	source = kmap_local(m, from, &from_map);
	__builtin_memcpy(kmap_local(m, to, &to_map), source, ONDOL_PAGE_SIZE);
	kunmap_local(m, &to_map);
	kunmap_local(m, &from_map);
}

/* ------------------------------------------------------------------ persistent */

/*
 * The slot that has the frame, else one that nobody uses, or NULL.  The search begins where the
 * frame's number says, so the slot is among the first looked at.
 */
static struct kmap_slot *find_slot(struct kmap *k, uint64_t pfn)
{
	struct kmap_slot *unused = NULL;
	uint32_t at = (uint32_t)pfn % k->nr_slots;

	for (uint32_t i = 0; i < k->nr_slots; i++, at = at + 1 < k->nr_slots ? at + 1 : 0) {
		struct kmap_slot *slot = &k->slot[at];

		if (slot->pfn == pfn)
			return slot;
		/* A free one is better than one that may be wanted again. */
		if (!slot->users && (!unused || (slot->pfn == NO_PFN && unused->pfn != NO_PFN)))
			unused = slot;
	}
	return unused;
}

static uint32_t slot_index(const struct ondol_machine *m, const struct kmap_slot *slot)
{
	return m->nr_cpus * KMAP_LOCAL_MAX + (uint32_t)(slot - m->kmap.slot);
}

void *ondol_kmap(struct ondol_machine *m, struct ondol_page *page)
{
	struct kmap *k = &m->kmap;
	uint64_t pfn = machine_page_pfn(m, page);
	struct kmap_slot *slot;
	void *at = NULL;
	uintptr_t irq;

	if (page_is_low(m, page))
		return page_host(m, page);
	if (machine_should_fail(m, ONDOL_FAIL_KMAP))
		return NULL;
	irq = lock_irqsave(m->port, &k->lock, m->port->this_cpu);
	slot = find_slot(k, pfn);
	if (slot) {
		if (slot->pfn != pfn) {
			slot->pfn = pfn;
			window_set(m, slot_index(m, slot), pfn);
		}
		slot->users++;
		at = window_at(m, slot_index(m, slot));
	}
	unlock_irqrestore(m->port, &k->lock, m->port->this_cpu, irq);
	return at;
}

void ondol_kunmap(struct ondol_machine *m, struct ondol_page *page)
{
	struct kmap *k = &m->kmap;
	uint64_t pfn = machine_page_pfn(m, page);
	struct kmap_slot *slot;
	uintptr_t irq;

	if (page_is_low(m, page))
		return;
	irq = lock_irqsave(m->port, &k->lock, m->port->this_cpu);
	slot = find_slot(k, pfn);
	ONDOL_VERIFY(m, slot && slot->pfn == pfn && slot->users, "KMAP-1", pfn, 0);
	slot->users--;
	unlock_irqrestore(m->port, &k->lock, m->port->this_cpu, irq);
}

void *ondol_page_address(const struct ondol_machine *m, const struct ondol_page *page)
{
	struct kmap *k = (struct kmap *)&m->kmap; /* for its lock */
	struct kmap_slot *slot;
	void *at = NULL;
	uintptr_t irq;

	if (page_is_low(m, page))
		return page_host(m, page);
	irq = lock_irqsave(m->port, &k->lock, m->port->this_cpu);
	slot = find_slot(k, machine_page_pfn(m, page));
	if (slot && slot->pfn == machine_page_pfn(m, page) && slot->users)
		at = window_at(m, slot_index(m, slot));
	unlock_irqrestore(m->port, &k->lock, m->port->this_cpu, irq);
	return at;
}

static bool slot_is_valid(const struct ondol_machine *m, const struct kmap_slot *slot)
{
	if (slot->pfn == NO_PFN)
		return !slot->users;
	if (slot->pfn < m->kmap.low_end || slot->pfn - m->first_pfn >= m->nr_pages)
		return false;
	return !slot->users || load_relaxed(&machine_page(m, slot->pfn)->refcount) != 0;
}

bool kmap_valid(struct ondol_machine *m, uint64_t *out_where)
{
	const struct kmap *k = &m->kmap;

	for (uint32_t i = 0; i < k->nr_slots; i++) {
		*out_where = i;
		if (!slot_is_valid(m, &k->slot[i]))
			return false;
		for (uint32_t j = 0; j < i && k->slot[i].pfn != NO_PFN; j++)
			if (k->slot[j].pfn == k->slot[i].pfn)
				return false;
	}
	return true;
}

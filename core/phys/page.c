/* SPDX-License-Identifier: MIT */
/* Page records: names, addresses and what frames are used for. */
#include "phys/page.h"

#include "phys/memcg.h"
#include "phys/pcp.h"
#include "phys/section.h"

const char *ondol_page_use_name(enum ondol_page_use use)
{
	static const char *const names[] = { "free", "reserved", "kernel", "slab",
					     "pgtable", "anon", "cache" };

	return (unsigned)use < ONDOL_NR_PAGE_USES ? names[use] : "?";
}

uint32_t ondol_page_count(const struct ondol_page *page)
{
	return load_relaxed(&page->refcount);
}

ondol_pfn_t ondol_page_to_pfn(const struct ondol_machine *m, const struct ondol_page *page)
{
	return ondol_pfn(machine_page_pfn(m, page));
}

struct ondol_page *ondol_pfn_to_page(const struct ondol_machine *m, ondol_pfn_t pfn)
{
	struct ondol_page *page;

	if (pfn.value < m->first_pfn || pfn.value - m->first_pfn >= m->nr_pages)
		return NULL;
	page = machine_page(m, pfn.value);
	section_bring_up(m, page_index(m, page));
	return load_relaxed(&page->flags) & ONDOL_PG_HOLE ? NULL : page;
}

enum ondol_page_use ondol_page_use(const struct ondol_page *page)
{
	return page_use(page);
}

/*
 * Only what differs from KERNEL, the use of every fresh block, is counted: allocating and
 * freeing then need no counter, and KERNEL is what the others leave of the frames out.
 */
void ondol_page_set_use(struct ondol_machine *m, struct ondol_page *page, enum ondol_page_use use)
{
	enum ondol_page_use old = page_use(page);
	unsigned order = page_order(page);
	uintptr_t irq;
	long *counts;

	ONDOL_VERIFY(m, use >= ONDOL_PAGE_KERNEL && use < ONDOL_NR_PAGE_USES &&
		     old >= ONDOL_PAGE_KERNEL && !(page->flags & ONDOL_PG_TAIL), "BUDDY-6",
		     page_index(m, page), use);
	store_relaxed(&page->flags, (page->flags & ~ONDOL_PG_USE_MASK) | (uint32_t)use);
	if (page->flags & ONDOL_PG_COMP)
		for (uint32_t i = 1; i < 1u << order; i++)
			store_relaxed(&page[i].flags,
				      (page[i].flags & ~ONDOL_PG_USE_MASK) | (uint32_t)use);
	irq = port_irq_save(m->port);
	counts = m->phys->cpus[machine_this_cpu(m)].use;
	add_relaxed(&counts[old], -(1L << order));
	add_relaxed(&counts[use], 1L << order);
	if (ondol_unlikely(m->memcg.on))
		memcg_recharge(m, old, use, order);
	port_irq_restore(m->port, irq);
}

uint32_t phys_pages_used(struct ondol_machine *m)
{
	struct ondol_zone *zone;
	uint32_t used = m->phys->managed;

	zone_for_each(m->phys, zone, i) {
		used -= load_relaxed(&zone->nr_free);
		for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++)
			used -= pcp_pages(zone, cpu);
	}
	return used;
}

static long use_count(const struct ondol_machine *m, unsigned use)
{
	long count = 0;

	for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++)
		count += load_relaxed(&m->phys->cpus[cpu].use[use]);
	return count;
}

long phys_use_count(struct ondol_machine *m, enum ondol_page_use use)
{
	long count = (long)phys_pages_used(m);

	if (use != ONDOL_PAGE_KERNEL)
		return use_count(m, use);
	for (unsigned other = ONDOL_PAGE_SLAB; other < ONDOL_NR_PAGE_USES; other++)
		count -= use_count(m, other);
	return count;
}

/* SPDX-License-Identifier: MIT */
/* Counters of a machine, its zones and nodes, by value. */
#include "inspect/inspect.h"
#include "phys/pcp.h"
#include "phys/section.h"
#include "slab/slab.h"
#include "virt/virt.h"

#define NR_BY_USE(m, use) ((uint64_t)phys_use_count(m, use))

static void describe_zone(struct ondol_zone *zone, struct ondol_zone_stats *stats)
{
	const struct ondol_machine *m = zone->m;
	uintptr_t irq;

	__builtin_memset(stats, 0, sizeof *stats);
	stats->name = ondol_zone_name((enum ondol_zone_type)zone->type);
	stats->type = (enum ondol_zone_type)zone->type;
	stats->node = zone->node;
	for (unsigned type = 0; type < ONDOL_NR_ZONES; type++)
		stats->lowmem_reserve[type] = zone->lowmem_reserve[type];
	stats->nr_orders = m->phys->max_order + 1u;
	stats->start_pfn = ondol_pfn(m->first_pfn + zone->start);
	stats->pages_spanned = zone->end - zone->start;
	stats->pages_present = zone->present;
	stats->pages_managed = zone->managed;
	stats->watermark_min = zone->watermark[WMARK_MIN];
	stats->watermark_low = zone->watermark[WMARK_LOW];
	stats->watermark_high = zone->watermark[WMARK_HIGH];
	irq = zone_lock(zone);
	stats->pages_free = zone->nr_free;
	section_free_blocks(zone, stats->free_blocks);
	stats->nr_merges = zone->nr_merges;
	stats->nr_splits = zone->nr_splits;
	zone_unlock(zone, irq);
	for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++)
		stats->pcp_pages += pcp_pages(zone, cpu);
}

int ondol_for_each_zone(struct ondol_machine *m,
			int (*visit)(void *ctx, const struct ondol_zone_stats *), void *ctx)
{
	struct ondol_zone_stats stats;
	struct ondol_zone *zone;

	zone_for_each(m->phys, zone, i) {
		describe_zone(zone, &stats);
		int r = visit(ctx, &stats);
		if (r)
			return r;
	}
	return 0;
}

/* hit and local need no counters: they are what the allocations leave. */
void inspect_add_numa(const struct ondol_zone *zone, struct ondol_node_stats *stats)
{
	unsigned long allocs = 0, miss = 0, foreign = 0, other = 0;

	for (uint32_t cpu = 0; zone->present && cpu < zone->m->nr_cpus; cpu++) {
		allocs += pcp_allocs(zone, cpu);
		miss += load_relaxed(&zone->pcp[cpu].numa_miss);
		foreign += load_relaxed(&zone->pcp[cpu].numa_foreign);
		other += load_relaxed(&zone->pcp[cpu].numa_other);
	}
	stats->numa_hit += allocs - miss;
	stats->numa_miss += miss;
	stats->numa_foreign += foreign;
	stats->numa_local += allocs - other;
	stats->numa_other += other;
}

void inspect_node(struct ondol_machine *m, const struct ondol_node *node,
		  struct ondol_node_stats *stats)
{
	*stats = (struct ondol_node_stats){
		.id = node->id,
		.node_start_pfn = ondol_pfn(node->start_pfn),
		.node_present_pages = node->present,
		.node_spanned_pages = node->spanned,
		.numa_interleave = load_relaxed(&node->interleave_hits),
	};
	for (unsigned type = 0; type < ONDOL_NR_ZONES; type++)
		inspect_add_numa(&m->phys->zones[zone_id(node->id, type)], stats);
}

int ondol_for_each_node(struct ondol_machine *m,
			int (*visit)(void *ctx, const struct ondol_node_stats *), void *ctx)
{
	struct ondol_node_stats stats;

	for (const struct ondol_node *node = m->phys->pgdat_list; node; node = node->next) {
		inspect_node(m, node, &stats);
		int r = visit(ctx, &stats);
		if (r)
			return r;
	}
	return 0;
}

static void add_zone_counters(struct ondol_zone *zone, struct ondol_machine_stats *stats)
{
	for (uint32_t cpu = 0; cpu < zone->m->nr_cpus; cpu++) {
		stats->nr_allocs += pcp_allocs(zone, cpu);
		stats->nr_frees += pcp_frees(zone, cpu);
	}
	stats->nr_merges += load_relaxed(&zone->nr_merges);
	stats->nr_splits += load_relaxed(&zone->nr_splits);
}

/* The noted peak, or what the CPUs' lists say of the time since. */
static uint64_t used_peak(struct ondol_machine *m)
{
	uint64_t peak = load_relaxed(&m->phys->used_peak), since = m->phys->managed;
	struct ondol_zone *zone;

	zone_for_each(m->phys, zone, i) {
		since -= load_relaxed(&zone->nr_free);
		for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++)
			since -= pcp_low_pages(zone, cpu);
	}
	return since > peak && since <= m->phys->managed ? since : peak;
}

void ondol_machine_stats(struct ondol_machine *m, struct ondol_machine_stats *out_stats)
{
	struct ondol_zone *zone;
	uint64_t used = phys_pages_used(m);

	__builtin_memset(out_stats, 0, sizeof *out_stats);
	out_stats->pages_total = m->phys->present;
	out_stats->pages_free = m->phys->managed - used;
	out_stats->pages[ONDOL_PAGE_FREE] = out_stats->pages_free;
	out_stats->pages[ONDOL_PAGE_RESERVED] = m->phys->present - m->phys->managed;
	out_stats->pages[ONDOL_PAGE_KERNEL] = used;
	for (unsigned use = ONDOL_PAGE_SLAB; use < ONDOL_NR_PAGE_USES; use++) {
		out_stats->pages[use] = NR_BY_USE(m, (enum ondol_page_use)use);
		out_stats->pages[ONDOL_PAGE_KERNEL] -= out_stats->pages[use];
	}
	out_stats->pages_used_peak = used_peak(m);
	zone_for_each(m->phys, zone, i)
		add_zone_counters(zone, out_stats);
	out_stats->nr_refused = load_relaxed(&m->phys->nr_refused);
	out_stats->page_record_size = sizeof(struct ondol_page);
	out_stats->compact = (struct ondol_compact_stats){
		.stall = load_relaxed(&m->phys->compact.stall),
		.success = load_relaxed(&m->phys->compact.success),
		.fail = load_relaxed(&m->phys->compact.fail),
		.migrate_scanned = load_relaxed(&m->phys->compact.migrate_scanned),
		.free_scanned = load_relaxed(&m->phys->compact.free_scanned),
		.isolated = load_relaxed(&m->phys->compact.isolated),
	};
	virt_stats(m, out_stats);
}

void ondol_set_fail_plan(struct ondol_machine *m, struct ondol_fail_plan *plan)
{
	m->fail_plan = plan;
	phys_choose_way(m);
	slab_choose_ways(m);
}

static int count_cached(void *ctx, uint64_t index, struct ondol_page *page)
{
	struct inspect_virt_counts *counts = ctx;

	(void)index;
	counts->mapped_file += load_relaxed(&page->data.mapcount) != 0;
	return 0;
}

void inspect_virt_counts(struct ondol_machine *m, struct inspect_virt_counts *out_counts)
{
	struct ondol_virt_state *v = m->virt;
	uintptr_t saved = virt_lock(m);

	*out_counts = (struct inspect_virt_counts){ .committed = ondol_committed(m) };
	list_for_each(node, &v->mms)
		out_counts->huge += container_of(node, struct ondol_mm_struct, link)->pgt.nr_huge;
	list_for_each(node, &v->mappings) {
		struct ondol_address_space *mapping =
			container_of(node, struct ondol_address_space, link);

		(void)cache_for_each(mapping, count_cached, out_counts);
		if (!mapping->ops)
			out_counts->shmem += ondol_address_space_nr_pages(mapping);
	}
	virt_unlock(m, saved);
}

/* SPDX-License-Identifier: MIT */
/*
 * Linux's /proc texts about physical memory, in the columns of 6.1, so that its own tools read
 * them: buddyinfo, zoneinfo, vmstat, meminfo, slabinfo (2.1).
 *
 * A line whose subject Ondol does not have (huge pages, writeback, ...) is there and says 0: tools
 * look for it.  Frames are not aged yet, so all data counts as inactive.
 *
 * Sources: proc(5); Documentation/filesystems/proc.rst; the output of Linux 6.1.
 */
#include <ondol/swap.h>

#include "base/format.h"
#include "base/math.h"
#include "inspect/inspect.h"
#include "phys/pcp.h"
#include "phys/section.h"
#include "slab/slab.h"

/* What the texts tell, in the units they tell it in; filled in before the first line. */
struct figures {
	uint64_t zero;
	uint64_t free, anon, cache, mapped, shmem, slab, slab_reclaimable, slab_unreclaimable;
	uint64_t pgtable, total, used, available, committed, commit_limit, present;
	uint64_t high_total, high_free, low_total, low_free, data;
	uint64_t frees, faults, major_faults, reuses, unmapped, stolen, oom_kills;
	uint64_t file_refaults, file_near;
	uint64_t swap_total, swap_free, swap_cached, swap_in, swap_out, swap_near;
	uint64_t huge, huge_pages; /* blocks under large leaves; their pages */
	uint64_t thp_fault_alloc, thp_fault_fallback, thp_splits;
	uint64_t thp_collapse_alloc, thp_collapse_failed, cow_ksm;
	uint64_t compact_stall, compact_success, compact_fail, compact_migrate_scanned;
	uint64_t compact_free_scanned, compact_isolated, migrated, not_migrated;
	uint64_t numa_hit, numa_miss, numa_foreign, numa_interleave, numa_local, numa_other;
};

struct line {
	const char *name;
	size_t field; /* offset in struct figures */
};
#define LINE(name, field) { name, offsetof(struct figures, field) }

static const struct line node_lines[] = {
	LINE("nr_inactive_anon", anon),
	LINE("nr_active_anon", zero),
	LINE("nr_inactive_file", cache),
	LINE("nr_active_file", zero),
	LINE("nr_unevictable", zero),
	LINE("nr_slab_reclaimable", slab_reclaimable),
	LINE("nr_slab_unreclaimable", slab_unreclaimable),
	LINE("nr_isolated_anon", zero),
	LINE("nr_isolated_file", zero),
	LINE("workingset_nodes", zero),
	LINE("workingset_refault_anon", swap_in),
	LINE("workingset_refault_file", file_refaults),
	LINE("workingset_activate_anon", swap_near),
	LINE("workingset_activate_file", file_near),
	LINE("workingset_restore_anon", zero),
	LINE("workingset_restore_file", zero),
	LINE("workingset_nodereclaim", zero),
	LINE("nr_anon_pages", anon),
	LINE("nr_mapped", mapped),
	LINE("nr_file_pages", cache),
	LINE("nr_dirty", zero),
	LINE("nr_writeback", zero),
	LINE("nr_writeback_temp", zero),
	LINE("nr_shmem", shmem),
	LINE("nr_shmem_hugepages", zero),
	LINE("nr_shmem_pmdmapped", zero),
	LINE("nr_file_hugepages", zero),
	LINE("nr_file_pmdmapped", zero),
	LINE("nr_anon_transparent_hugepages", huge),
	LINE("nr_vmscan_write", swap_out),
	LINE("nr_vmscan_immediate_reclaim", zero),
	LINE("nr_dirtied", zero),
	LINE("nr_written", zero),
	LINE("nr_throttled_written", zero),
	LINE("nr_kernel_misc_reclaimable", zero),
	LINE("nr_foll_pin_acquired", zero),
	LINE("nr_foll_pin_released", zero),
	LINE("nr_kernel_stack", zero),
	LINE("nr_page_table_pages", pgtable),
	LINE("nr_sec_page_table_pages", zero),
	LINE("nr_swapcached", swap_cached),
	LINE("pgpromote_success", zero),
	LINE("pgpromote_candidate", zero),
};

static const struct line zone_lines[] = {
	LINE("nr_free_pages", free),
	LINE("nr_zone_inactive_anon", zero),
	LINE("nr_zone_active_anon", zero),
	LINE("nr_zone_inactive_file", zero),
	LINE("nr_zone_active_file", zero),
	LINE("nr_zone_unevictable", zero),
	LINE("nr_zone_write_pending", zero),
	LINE("nr_mlock", zero),
	LINE("nr_bounce", zero),
	LINE("nr_zspages", zero),
	LINE("nr_free_cma", zero),
};

static const struct line numa_lines[] = {
	LINE("numa_hit", numa_hit),
	LINE("numa_miss", numa_miss),
	LINE("numa_foreign", numa_foreign),
	LINE("numa_interleave", numa_interleave),
	LINE("numa_local", numa_local),
	LINE("numa_other", numa_other),
};

static const struct line io_lines[] = {
	LINE("nr_dirty_threshold", zero),
	LINE("nr_dirty_background_threshold", zero),
	LINE("pgpgin", zero),
	LINE("pgpgout", zero),
	LINE("pswpin", swap_in),
	LINE("pswpout", swap_out),
};

static const struct line event_lines[] = {
	LINE("pgfree", frees),
	LINE("pgactivate", zero),
	LINE("pgdeactivate", zero),
	LINE("pglazyfree", zero),
	LINE("pgfault", faults),
	LINE("pgmajfault", major_faults),
	LINE("pglazyfreed", zero),
	LINE("pgrefill", zero),
	LINE("pgreuse", reuses),
	LINE("pgsteal_kswapd", zero),
	LINE("pgsteal_direct", stolen),
	LINE("pgscan_kswapd", zero),
	LINE("pgscan_direct", stolen),
	LINE("pgscan_direct_throttle", zero),
	LINE("pgscan_anon", swap_out),
	LINE("pgscan_file", unmapped),
	LINE("pgsteal_anon", swap_out),
	LINE("pgsteal_file", unmapped),
	LINE("zone_reclaim_failed", zero),
	LINE("pginodesteal", zero),
	LINE("slabs_scanned", zero),
	LINE("kswapd_inodesteal", zero),
	LINE("kswapd_low_wmark_hit_quickly", zero),
	LINE("kswapd_high_wmark_hit_quickly", zero),
	LINE("pageoutrun", zero),
	LINE("pgrotated", zero),
	LINE("drop_pagecache", zero),
	LINE("drop_slab", zero),
	LINE("oom_kill", oom_kills),
	LINE("pgmigrate_success", migrated),
	LINE("pgmigrate_fail", not_migrated),
	LINE("compact_migrate_scanned", compact_migrate_scanned),
	LINE("compact_free_scanned", compact_free_scanned),
	LINE("compact_isolated", compact_isolated),
	LINE("compact_stall", compact_stall),
	LINE("compact_fail", compact_fail),
	LINE("compact_success", compact_success),
	LINE("thp_fault_alloc", thp_fault_alloc),
	LINE("thp_fault_fallback", thp_fault_fallback),
	LINE("thp_fault_fallback_charge", zero),
	LINE("thp_collapse_alloc", thp_collapse_alloc),
	LINE("thp_collapse_alloc_failed", thp_collapse_failed),
	LINE("thp_split_page", thp_splits), /* a block's frames are single: it is its leaf */
	LINE("thp_split_page_failed", zero),
	LINE("thp_split_pmd", thp_splits),
	LINE("ksm_swpin_copy", zero), /* what comes in belongs wherever it is mapped */
	LINE("cow_ksm", cow_ksm),
	LINE("nr_unstable", zero),
};

static const struct line meminfo_lines[] = {
	LINE("MemTotal:", total),
	LINE("MemFree:", free),
	LINE("MemAvailable:", available),
	LINE("Buffers:", zero),
	LINE("Cached:", cache),
	LINE("SwapCached:", swap_cached),
	LINE("Active:", zero),
	LINE("Inactive:", data),
	LINE("Active(anon):", zero),
	LINE("Inactive(anon):", anon),
	LINE("Active(file):", zero),
	LINE("Inactive(file):", cache),
	LINE("Unevictable:", zero),
	LINE("Mlocked:", zero),
};

static const struct line meminfo_high_lines[] = {
	LINE("HighTotal:", high_total),
	LINE("HighFree:", high_free),
	LINE("LowTotal:", low_total),
	LINE("LowFree:", low_free),
};

static const struct line meminfo_more_lines[] = {
	LINE("SwapTotal:", swap_total),
	LINE("SwapFree:", swap_free),
	LINE("Zswap:", zero),
	LINE("Zswapped:", zero),
	LINE("Dirty:", zero),
	LINE("Writeback:", zero),
	LINE("AnonPages:", anon),
	LINE("Mapped:", mapped),
	LINE("Shmem:", shmem),
	LINE("KReclaimable:", slab_reclaimable),
	LINE("Slab:", slab),
	LINE("SReclaimable:", slab_reclaimable),
	LINE("SUnreclaim:", slab_unreclaimable),
	LINE("KernelStack:", zero),
	LINE("PageTables:", pgtable),
	LINE("SecPageTables:", zero),
	LINE("NFS_Unstable:", zero),
	LINE("Bounce:", zero),
	LINE("WritebackTmp:", zero),
	LINE("CommitLimit:", commit_limit),
	LINE("Committed_AS:", committed),
	LINE("VmallocTotal:", zero),
	LINE("VmallocUsed:", zero),
	LINE("VmallocChunk:", zero),
	LINE("Percpu:", zero),
};

static const struct line meminfo_huge_lines[] = {
	LINE("AnonHugePages:", huge_pages),
	LINE("ShmemHugePages:", zero),
	LINE("ShmemPmdMapped:", zero),
	LINE("FileHugePages:", zero),
	LINE("FilePmdMapped:", zero),
};

static const struct line node_meminfo_lines[] = {
	LINE("MemTotal:", total),
	LINE("MemFree:", free),
	LINE("MemUsed:", used),
	LINE("SwapCached:", swap_cached),
	LINE("Active:", zero),
	LINE("Inactive:", data),
	LINE("Active(anon):", zero),
	LINE("Inactive(anon):", anon),
	LINE("Active(file):", zero),
	LINE("Inactive(file):", cache),
	LINE("Unevictable:", zero),
	LINE("Mlocked:", zero),
	LINE("Dirty:", zero),
	LINE("Writeback:", zero),
	LINE("FilePages:", cache),
	LINE("Mapped:", mapped),
	LINE("AnonPages:", anon),
	LINE("Shmem:", shmem),
	LINE("KernelStack:", zero),
	LINE("PageTables:", pgtable),
	LINE("SecPageTables:", zero),
	LINE("NFS_Unstable:", zero),
	LINE("Bounce:", zero),
	LINE("WritebackTmp:", zero),
	LINE("KReclaimable:", slab_reclaimable),
	LINE("Slab:", slab),
	LINE("SReclaimable:", slab_reclaimable),
	LINE("SUnreclaim:", slab_unreclaimable),
	LINE("AnonHugePages:", huge_pages),
	LINE("ShmemHugePages:", zero),
	LINE("ShmemPmdMapped:", zero),
	LINE("FileHugePages:", zero),
	LINE("FilePmdMapped:", zero),
};

static bool has_zone(const struct ondol_machine *m, unsigned type)
{
	bool has_any = false;

	for (uint32_t node = 0; type == ONDOL_ZONE_DEVICE && node < m->nr_nodes; node++)
		has_any |= m->phys->zones[zone_id(node, type)].present != 0;
	return m->profile->zone_end[type] || type == ONDOL_ZONE_MOVABLE || has_any;
}

/* Lower case, as counters have it: "dma32". */
static const char *zone_counter_name(unsigned type)
{
	static const char *const names[] = { "dma", "dma32", "normal", "high", "movable",
					     "device" };

	return names[type];
}

/* ------------------------------------------------------------------ buddyinfo */

int ondol_proc_buddyinfo(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	uint64_t blocks[ONDOL_MAX_ORDERS];
	struct ondol_zone *zone;
	struct out out;

	out_init(&out, write, ctx);
	zone_for_each(m->phys, zone, i) {
		uintptr_t irq;

		if (zone->type == ONDOL_ZONE_DEVICE) /* nor does Linux: it has nothing to give */
			continue;
		irq = zone_lock(zone);
		section_free_blocks(zone, blocks);
		zone_unlock(zone, irq);
		out_printf(&out, "Node %d, zone %8s ", zone->node,
			   ondol_zone_name((enum ondol_zone_type)zone->type));
		for (unsigned order = 0; order <= m->phys->max_order; order++)
			out_printf(&out, "%6u ", (unsigned)blocks[order]);
		out_printf(&out, "\n");
	}
	return out_end(&out);
}

/* ------------------------------------------------------------------ counters */

/* Frames by use of one node, or of all (node < 0), in pages. */
static void count_uses(struct ondol_machine *m, int node, struct figures *f)
{
	struct inspect_virt_counts virt;
	uint64_t pages[ONDOL_NR_PAGE_USES] = { 0 };
	bool one_of_many = node >= 0 && m->nr_nodes > 1;

	inspect_virt_counts(m, &virt);
	/* The counters are the machine's: a node's share is in the records of its frames. */
	page_for_each_index(m, i) {
		const struct ondol_page *page = &m->pages[i];

		if (!one_of_many)
			break;
		if (page_node(page) == (unsigned)node &&
		    (!(page->flags & ONDOL_PG_TAIL) || page->refcount))
			pages[page_use(page)] += UINT64_C(1) << page_order(page);
	}
	for (unsigned use = ONDOL_PAGE_SLAB; node < 0 || m->nr_nodes == 1; use++) {
		if (use == ONDOL_NR_PAGE_USES)
			break;
		pages[use] = (uint64_t)phys_use_count(m, (enum ondol_page_use)use);
	}
	f->anon = pages[ONDOL_PAGE_ANON];
	f->cache = pages[ONDOL_PAGE_CACHE];
	f->data = f->anon + f->cache;
	f->pgtable = pages[ONDOL_PAGE_PGTABLE];
	f->slab = pages[ONDOL_PAGE_SLAB];
	f->slab_reclaimable = min_u64(slab_reclaimable_pages(m), f->slab);
	f->slab_unreclaimable = f->slab - f->slab_reclaimable;
	f->mapped = virt.mapped_file;
	f->shmem = virt.shmem;
	f->committed = virt.committed;
	if (!one_of_many) { /* of a node's share nothing is known */
		f->huge = virt.huge;
		f->huge_pages = virt.huge << m->profile->format->level[0].bits;
	}
}

static void count_swap(struct ondol_machine *m, struct figures *f)
{
	struct ondol_swap_stats swap;

	ondol_swap_stats(m, &swap);
	f->swap_total = swap.total;
	f->swap_free = swap.free;
	f->swap_cached = swap.cached;
	f->swap_in = swap.in;
	f->swap_out = swap.out;
	f->swap_near = swap.refaults_near;
}

static void out_lines(struct out *out, const char *format, const struct line *lines, size_t nr,
		      const struct figures *f, uint32_t unit)
{
	for (size_t i = 0; i < nr; i++) {
		uint64_t value = *(const uint64_t *)((const char *)f + lines[i].field);

		out_printf(out, format, lines[i].name, (unsigned long long)(value * unit));
	}
}
#define OUT_LINES(out, format, lines, f, unit)                                                \
	out_lines(out, format, lines, sizeof(lines) / sizeof((lines)[0]), f, unit)

/* As in Linux, what the CPUs' lists hold does not count. */
uint64_t ondol_nr_free_pages(const struct ondol_machine *m)
{
	struct ondol_zone *zone;
	uint64_t free = 0;

	zone_for_each(m->phys, zone, i)
		free += load_relaxed(&zone->nr_free);
	return free;
}

static void add_numa(struct figures *f, const struct ondol_node_stats *stats)
{
	f->numa_hit += stats->numa_hit;
	f->numa_miss += stats->numa_miss;
	f->numa_foreign += stats->numa_foreign;
	f->numa_interleave += stats->numa_interleave;
	f->numa_local += stats->numa_local;
	f->numa_other += stats->numa_other;
}

/* ------------------------------------------------------------------ zoneinfo */

#define ZONEINFO_ITEM "\n      %-12s %llu"

static void out_protection(struct out *out, const struct ondol_zone *zone)
{
	const char *before = "";

	out_printf(out, "\n        protection: (");
	for (unsigned type = 0; type < ONDOL_NR_ZONES; type++) {
		if (!has_zone(zone->m, type))
			continue;
		out_printf(out, "%s%u", before, zone->lowmem_reserve[type]);
		before = ", ";
	}
	out_printf(out, ")");
}

static void out_pagesets(struct out *out, const struct ondol_zone *zone)
{
	out_printf(out, "\n  pagesets");
	for (uint32_t cpu = 0; cpu < zone->m->nr_cpus; cpu++) {
		const struct zone_pcp *pcp = &zone->pcp[cpu];
		uint32_t high = (uint32_t)(load_relaxed(&pcp->list[MIGRATE_MOVABLE][0].end) -
					   pcp->list[MIGRATE_MOVABLE][0].base);

		out_printf(out,
			   "\n    cpu: %u"
			   "\n              count: %u"
			   "\n              high:  %u"
			   "\n              batch: %u"
			   "\n  vm stats threshold: %u",
			   cpu, pcp_pages(zone, cpu), high, high / 2, 0u);
	}
}

/* On its own: two sets of figures are too large for one stack frame. */
__attribute__((noinline)) static void out_zone(struct out *out, const struct ondol_zone *zone)
{
	struct ondol_machine *m = zone->m;
	struct figures f = { .free = load_relaxed(&zone->nr_free) };
	struct ondol_node_stats numa = { 0 };

	out_printf(out,
		   "\n  pages free     %llu"
		   "\n        boost    %u"
		   "\n        min      %u"
		   "\n        low      %u"
		   "\n        high     %u"
		   "\n        spanned  %u"
		   "\n        present  %u"
		   "\n        managed  %u"
		   "\n        cma      %u",
		   (unsigned long long)f.free, 0u, zone->watermark[WMARK_MIN],
		   zone->watermark[WMARK_LOW], zone->watermark[WMARK_HIGH],
		   zone->end - zone->start, zone->present, zone->managed, 0u);
	out_protection(out, zone);
	if (zone->present) {
		inspect_add_numa(zone, &numa);
		add_numa(&f, &numa);
		OUT_LINES(out, ZONEINFO_ITEM, zone_lines, &f, 1);
		OUT_LINES(out, ZONEINFO_ITEM, numa_lines, &f, 1);
		out_pagesets(out, zone);
		out_printf(out,
			   "\n  node_unreclaimable:  %u"
			   "\n  start_pfn:           %llu",
			   0u, (unsigned long long)(m->first_pfn + zone->start));
	}
	out_printf(out, "\n");
}

int ondol_proc_zoneinfo(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	struct figures f = { 0 };
	struct out out;

	out_init(&out, write, ctx);
	for (const struct ondol_node *node = m->phys->pgdat_list; node; node = node->next) {
		bool first = true;

		for (unsigned type = 0; type < ONDOL_NR_ZONES; type++) {
			const struct ondol_zone *zone = &m->phys->zones[zone_id(node->id, type)];

			if (!has_zone(m, type))
				continue;
			out_printf(&out, "Node %d, zone %8s", node->id,
				   ondol_zone_name((enum ondol_zone_type)type));
			if (first && zone->present) {
				first = false;
				count_uses(m, node->id, &f);
				out_printf(&out, "\n  per-node stats");
				OUT_LINES(&out, ZONEINFO_ITEM, node_lines, &f, 1);
			}
			out_zone(&out, zone);
		}
	}
	return out_end(&out);
}

/* ------------------------------------------------------------------ vmstat */

#define VMSTAT_ITEM "%s %llu\n"

static void out_zone_events(struct out *out, struct ondol_machine *m, const char *prefix,
			    bool allocs)
{
	for (unsigned type = 0; type < ONDOL_NR_ZONES; type++) {
		unsigned long nr = 0;

		if (!has_zone(m, type))
			continue;
		for (uint32_t node = 0; allocs && node < m->nr_nodes; node++) {
			const struct ondol_zone *zone = &m->phys->zones[zone_id(node, type)];

			for (uint32_t cpu = 0; zone->present && cpu < m->nr_cpus; cpu++)
				nr += pcp_allocs(zone, cpu);
		}
		out_printf(out, "%s_%s %lu\n", prefix, zone_counter_name(type), nr);
	}
}

/* On its own: the counters of a machine are too large to share a stack frame. */
__attribute__((noinline)) static void count_faults(struct ondol_machine *m, struct figures *f)
{
	struct ondol_machine_stats stats;

	ondol_machine_stats(m, &stats);
	f->frees = stats.nr_frees;
	for (unsigned kind = 0; kind < ONDOL_FAULT_NR; kind++)
		f->faults += stats.faults[kind];
	f->major_faults = stats.faults[ONDOL_FAULT_FILE_READ] + stats.faults[ONDOL_FAULT_SWAP_READ];
	count_swap(m, f);
	f->unmapped = stats.pages_unmapped;
	f->file_refaults = stats.file_refaults;
	f->file_near = stats.file_refaults_near;
	f->stolen = f->unmapped + f->swap_out;
	f->oom_kills = stats.oom_kills;
	f->reuses = stats.faults[ONDOL_FAULT_COW_REUSE];
	f->thp_fault_alloc = stats.thp_fault_alloc;
	f->thp_fault_fallback = stats.thp_fault_fallback;
	f->thp_splits = stats.thp_splits;
	f->thp_collapse_alloc = stats.thp_collapse_alloc;
	f->thp_collapse_failed = stats.thp_collapse_failed;
	f->cow_ksm = stats.cow_ksm;
	f->migrated = stats.pages_migrated;
	f->not_migrated = stats.pages_not_migrated;
	f->compact_stall = stats.compact.stall;
	f->compact_success = stats.compact.success;
	f->compact_fail = stats.compact.fail;
	f->compact_migrate_scanned = stats.compact.migrate_scanned;
	f->compact_free_scanned = stats.compact.free_scanned;
	f->compact_isolated = stats.compact.isolated;
}

int ondol_proc_vmstat(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	struct ondol_node_stats numa;
	struct figures f = { .free = ondol_nr_free_pages(m) };
	struct out out;

	out_init(&out, write, ctx);
	count_uses(m, -1, &f);
	for (const struct ondol_node *node = m->phys->pgdat_list; node; node = node->next) {
		inspect_node(m, node, &numa);
		add_numa(&f, &numa);
	}
	count_faults(m, &f);
	OUT_LINES(&out, VMSTAT_ITEM, zone_lines, &f, 1);
	OUT_LINES(&out, VMSTAT_ITEM, numa_lines, &f, 1);
	OUT_LINES(&out, VMSTAT_ITEM, node_lines, &f, 1);
	OUT_LINES(&out, VMSTAT_ITEM, io_lines, &f, 1);
	out_zone_events(&out, m, "pgalloc", true);
	out_zone_events(&out, m, "allocstall", false);
	out_zone_events(&out, m, "pgskip", false);
	OUT_LINES(&out, VMSTAT_ITEM, event_lines, &f, 1);
	return out_end(&out);
}

/* ------------------------------------------------------------------ meminfo */

/* What could be had without reclaiming what is in use, as Linux estimates it. */
static uint64_t available_pages(struct ondol_machine *m, uint64_t free, uint64_t cache)
{
	uint64_t kept = 0, low = 0;
	struct ondol_zone *zone;

	zone_for_each(m->phys, zone, i) {
		uint64_t most = 0;

		for (unsigned type = 0; type < ONDOL_NR_ZONES; type++)
			most = max_u64(most, zone->lowmem_reserve[type]);
		kept += min_u64(most + zone->watermark[WMARK_HIGH], zone->managed);
		low += zone->watermark[WMARK_LOW];
	}
	cache -= min_u64(cache / 2, low);
	return free + cache > kept ? free + cache - kept : 0;
}

static void count_high(struct ondol_machine *m, uint64_t *out_total, uint64_t *out_free)
{
	struct ondol_zone *zone;

	*out_total = *out_free = 0;
	zone_for_each(m->phys, zone, i) {
		if (zone->type != ONDOL_ZONE_HIGHMEM)
			continue;
		*out_total += zone->managed;
		*out_free += load_relaxed(&zone->nr_free);
	}
}

#define MEMINFO_ITEM "%-16s%8llu kB\n"

int ondol_proc_meminfo(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	const uint32_t kib = ONDOL_PAGE_SIZE / 1024;
	struct figures f = { .free = ondol_nr_free_pages(m), .total = m->phys->managed,
			     .present = m->phys->present };
	struct out out;

	out_init(&out, write, ctx);
	count_uses(m, -1, &f);
	f.available = available_pages(m, f.free, f.cache);
	count_swap(m, &f);
	f.commit_limit = ondol_commit_limit(m);
	count_high(m, &f.high_total, &f.high_free);
	f.low_total = f.total - f.high_total;
	f.low_free = f.free - f.high_free;
	OUT_LINES(&out, MEMINFO_ITEM, meminfo_lines, &f, kib);
	if (m->profile->zone_end[ONDOL_ZONE_HIGHMEM])
		OUT_LINES(&out, MEMINFO_ITEM, meminfo_high_lines, &f, kib);
	OUT_LINES(&out, MEMINFO_ITEM, meminfo_more_lines, &f, kib);
	out_printf(&out, "HardwareCorrupted: %5u kB\n", 0u); /* a column too long */
	OUT_LINES(&out, MEMINFO_ITEM, meminfo_huge_lines, &f, kib);
	out_printf(&out,
		   "HugePages_Total:   %5u\n"
		   "HugePages_Free:    %5u\n"
		   "HugePages_Rsvd:    %5u\n"
		   "HugePages_Surp:    %5u\n",
		   0u, 0u, 0u, 0u);
	out_printf(&out, MEMINFO_ITEM MEMINFO_ITEM MEMINFO_ITEM, "Hugepagesize:", 2048ull,
		   "Hugetlb:", 0ull, "DirectMap4k:", (unsigned long long)(f.present * kib));
	return out_end(&out);
}

int ondol_proc_node_meminfo(struct ondol_machine *m, unsigned id, ondol_write_t write, void *ctx)
{
	const uint32_t kib = ONDOL_PAGE_SIZE / 1024;
	struct figures f = { 0 };
	struct ondol_zone *zone;
	struct out out;

	zone_for_each(m->phys, zone, i) {
		if (zone->node != id)
			continue;
		f.total += zone->managed;
		f.free += load_relaxed(&zone->nr_free);
	}
	if (!f.total)
		return -ONDOL_ENOENT;
	f.used = f.total - f.free;
	out_init(&out, write, ctx);
	count_uses(m, (int)id, &f);
	for (size_t i = 0; i < sizeof node_meminfo_lines / sizeof *node_meminfo_lines; i++) {
		out_printf(&out, "Node %u ", id);
		out_lines(&out, "%-16s%8llu kB\n", &node_meminfo_lines[i], 1, &f, kib);
	}
	out_printf(&out,
		   "Node %u HugePages_Total: %5u\nNode %u HugePages_Free:  %5u\n"
		   "Node %u HugePages_Surp:  %5u\n", id, 0u, id, 0u, id, 0u);
	return out_end(&out);
}

/* ------------------------------------------------------------------ slabinfo */

static int out_cache(void *ctx, const struct ondol_slab_info *info)
{
	struct out *out = ctx;

	out_printf(out, "%-17s %6llu %6llu %6u %4u %4u", info->name,
		   (unsigned long long)info->active_objects, (unsigned long long)info->nr_objects,
		   (unsigned)info->buffer_size, info->objects_per_slab, info->pages_per_slab);
	out_printf(out, " : tunables %4u %4u %4u", 0u, 0u, 0u);
	out_printf(out, " : slabdata %6llu %6llu %6u\n", (unsigned long long)info->active_slabs,
		   (unsigned long long)info->nr_slabs, 0u);
	return out->error;
}

int ondol_proc_slabinfo(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	struct out out;

	out_init(&out, write, ctx);
	out_printf(&out, "slabinfo - version: 2.1\n"
			 "# name            <active_objs> <num_objs> <objsize> <objperslab> "
			 "<pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : "
			 "slabdata <active_slabs> <num_slabs> <sharedavail>\n");
	(void)ondol_for_each_cache(m, out_cache, &out);
	return out_end(&out);
}

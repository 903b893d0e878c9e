/* SPDX-License-Identifier: MIT */
/*
 * Linux's /proc texts about physical memory, in the columns of 6.1, so that its own tools read
 * them: buddyinfo, zoneinfo, vmstat, meminfo, slabinfo (2.1).
 *
 * A line whose subject Ondol does not have (swap, huge pages, ...) is there and says 0: tools
 * look for it.  Frames are not aged yet, so all data counts as inactive.
 *
 * Sources: proc(5); Documentation/filesystems/proc.rst; the output of Linux 6.1.
 */
#include "base/format.h"
#include "base/math.h"
#include "inspect/inspect.h"
#include "slab/slab.h"

#define KIB_PER_PAGE (ONDOL_PAGE_SIZE / 1024)

struct item {
	const char *name;
	uint64_t value;
};

/* What node- and machine-wide texts tell of frames in use. */
struct use_counts {
	uint64_t pages[ONDOL_NR_PAGE_USES];
	uint64_t slab_reclaimable;
};

static bool has_zone(const struct ondol_machine *m, unsigned type)
{
	return m->profile->zone_end[type] || type == ONDOL_ZONE_MOVABLE;
}

/* Lower case, as counters have it: "dma32". */
static const char *zone_counter_name(unsigned type)
{
	static const char *const names[] = { "dma", "dma32", "normal", "high", "movable" };

	return names[type];
}

/* ------------------------------------------------------------------ buddyinfo */

int ondol_proc_buddyinfo(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	struct ondol_zone *zone;
	struct out out;

	out_init(&out, write, ctx);
	zone_for_each(m->phys, zone, i) {
		out_printf(&out, "Node %d, zone %8s ", zone->node,
			   ondol_zone_name((enum ondol_zone_type)zone->type));
		for (unsigned order = 0; order <= m->phys->max_order; order++)
			out_printf(&out, "%6u ", load_relaxed(&zone->free_area[order].nr_free));
		out_printf(&out, "\n");
	}
	return out_end(&out);
}

/* ------------------------------------------------------------------ counters */

/* Frames by use of one node, or of all (node < 0). */
static void count_uses(struct ondol_machine *m, int node, struct use_counts *counts)
{
	uint64_t slab;

	__builtin_memset(counts, 0, sizeof *counts);
	counts->slab_reclaimable = slab_reclaimable_pages(m);
	if (node < 0 || m->nr_nodes == 1) {
		for (unsigned use = ONDOL_PAGE_KERNEL; use < ONDOL_NR_PAGE_USES; use++)
			counts->pages[use] =
				(uint64_t)phys_use_count(m, (enum ondol_page_use)use);
		return;
	}
	/* The counters are the machine's: a node's share is in the records of its frames. */
	for (uint64_t i = 0; i < m->nr_pages; i++) {
		const struct ondol_page *page = &m->pages[i];

		if (page_node(page) == (unsigned)node && !(page->flags & ONDOL_PG_TAIL))
			counts->pages[page_use(page)] += UINT64_C(1) << page_order(page);
	}
	slab = counts->pages[ONDOL_PAGE_SLAB];
	if (counts->slab_reclaimable > slab)
		counts->slab_reclaimable = slab;
}

#define OUT_ITEMS(out, format, items)                                                         \
	do {                                                                                  \
		for (size_t at = 0; at < sizeof(items) / sizeof((items)[0]); at++)            \
			out_printf(out, format, (items)[at].name,                             \
				   (unsigned long long)(items)[at].value);                    \
	} while (0)

static void out_node_counters(struct out *out, const char *format,
			      const struct inspect_virt_counts *virt,
			      const struct use_counts *counts)
{
	const struct item items[] = {
		{ "nr_inactive_anon", counts->pages[ONDOL_PAGE_ANON] },
		{ "nr_active_anon", 0 },
		{ "nr_inactive_file", counts->pages[ONDOL_PAGE_CACHE] },
		{ "nr_active_file", 0 },
		{ "nr_unevictable", 0 },
		{ "nr_slab_reclaimable", counts->slab_reclaimable },
		{ "nr_slab_unreclaimable",
		  counts->pages[ONDOL_PAGE_SLAB] - counts->slab_reclaimable },
		{ "nr_isolated_anon", 0 },
		{ "nr_isolated_file", 0 },
		{ "workingset_nodes", 0 },
		{ "workingset_refault_anon", 0 },
		{ "workingset_refault_file", 0 },
		{ "workingset_activate_anon", 0 },
		{ "workingset_activate_file", 0 },
		{ "workingset_restore_anon", 0 },
		{ "workingset_restore_file", 0 },
		{ "workingset_nodereclaim", 0 },
		{ "nr_anon_pages", counts->pages[ONDOL_PAGE_ANON] },
		{ "nr_mapped", virt->mapped_file },
		{ "nr_file_pages", counts->pages[ONDOL_PAGE_CACHE] },
		{ "nr_dirty", 0 },
		{ "nr_writeback", 0 },
		{ "nr_writeback_temp", 0 },
		{ "nr_shmem", virt->shmem },
		{ "nr_shmem_hugepages", 0 },
		{ "nr_shmem_pmdmapped", 0 },
		{ "nr_file_hugepages", 0 },
		{ "nr_file_pmdmapped", 0 },
		{ "nr_anon_transparent_hugepages", 0 },
		{ "nr_vmscan_write", 0 },
		{ "nr_vmscan_immediate_reclaim", 0 },
		{ "nr_dirtied", 0 },
		{ "nr_written", 0 },
		{ "nr_throttled_written", 0 },
		{ "nr_kernel_misc_reclaimable", 0 },
		{ "nr_foll_pin_acquired", 0 },
		{ "nr_foll_pin_released", 0 },
		{ "nr_kernel_stack", 0 },
		{ "nr_page_table_pages", counts->pages[ONDOL_PAGE_PGTABLE] },
		{ "nr_sec_page_table_pages", 0 },
		{ "nr_swapcached", 0 },
		{ "pgpromote_success", 0 },
		{ "pgpromote_candidate", 0 },
	};

	OUT_ITEMS(out, format, items);
}

/* On the free lists: as in Linux, what the CPUs' lists hold does not count. */
static uint64_t free_pages(const struct ondol_machine *m)
{
	struct ondol_zone *zone;
	uint64_t free = 0;

	zone_for_each(m->phys, zone, i)
		free += load_relaxed(&zone->nr_free);
	return free;
}

static void out_zone_counters(struct out *out, const char *format, uint64_t free)
{
	const struct item items[] = {
		{ "nr_free_pages", free },
		{ "nr_zone_inactive_anon", 0 },
		{ "nr_zone_active_anon", 0 },
		{ "nr_zone_inactive_file", 0 },
		{ "nr_zone_active_file", 0 },
		{ "nr_zone_unevictable", 0 },
		{ "nr_zone_write_pending", 0 },
		{ "nr_mlock", 0 },
		{ "nr_bounce", 0 },
		{ "nr_zspages", 0 },
		{ "nr_free_cma", 0 },
	};

	OUT_ITEMS(out, format, items);
}

/* Of the zones from `first` up to `last`, by zone id. */
static void out_numa_counters(struct out *out, const char *format, struct ondol_machine *m,
			      unsigned first, unsigned last)
{
	unsigned long allocs = 0, miss = 0, foreign = 0, other = 0;

	for (unsigned id = first; id <= last; id++) {
		const struct ondol_zone *zone = &m->phys->zones[id];

		for (uint32_t cpu = 0; zone->present && cpu < m->nr_cpus; cpu++) {
			allocs += load_relaxed(&zone->pcp[cpu].nr_allocs);
			miss += load_relaxed(&zone->pcp[cpu].numa_miss);
			foreign += load_relaxed(&zone->pcp[cpu].numa_foreign);
			other += load_relaxed(&zone->pcp[cpu].numa_other);
		}
	}
	const struct item items[] = {
		{ "numa_hit", allocs - miss }, { "numa_miss", miss },
		{ "numa_foreign", foreign },   { "numa_interleave", 0 },
		{ "numa_local", allocs - other }, { "numa_other", other },
	};

	OUT_ITEMS(out, format, items);
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
		uint32_t batch = zone->m->phys->pcp_on ? pcp->cap[0] : 0;

		out_printf(out,
			   "\n    cpu: %u"
			   "\n              count: %u"
			   "\n              high:  %u"
			   "\n              batch: %u"
			   "\n  vm stats threshold: %u",
			   cpu, load_relaxed(&pcp->count), 2 * batch, batch, 0u);
	}
}

static void out_zone(struct out *out, const struct ondol_zone *zone)
{
	unsigned id = zone_id(zone->node, zone->type);
	struct ondol_machine *m = zone->m;
	uint64_t free = load_relaxed(&zone->nr_free);

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
		   (unsigned long long)free, 0u, zone->watermark[WMARK_MIN],
		   zone->watermark[WMARK_LOW], zone->watermark[WMARK_HIGH],
		   zone->end - zone->start, zone->present, zone->managed, 0u);
	out_protection(out, zone);
	if (zone->present) {
		out_zone_counters(out, ZONEINFO_ITEM, free);
		out_numa_counters(out, ZONEINFO_ITEM, m, id, id);
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
	struct inspect_virt_counts virt;
	struct use_counts counts;
	struct out out;

	out_init(&out, write, ctx);
	inspect_virt_counts(m, &virt);
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
				count_uses(m, node->id, &counts);
				out_printf(&out, "\n  per-node stats");
				out_node_counters(&out, ZONEINFO_ITEM, &virt, &counts);
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
				nr += load_relaxed(&zone->pcp[cpu].nr_allocs);
		}
		out_printf(out, "%s_%s %lu\n", prefix, zone_counter_name(type), nr);
	}
}

static void out_events(struct out *out, struct ondol_machine *m,
		       const struct ondol_machine_stats *stats)
{
	const struct item faults[] = {
		{ "pgfree", stats->nr_frees },
		{ "pgactivate", 0 },
		{ "pgdeactivate", 0 },
		{ "pglazyfree", 0 },
		{ "pgfault", stats->faults[ONDOL_FAULT_SPURIOUS] +
			     stats->faults[ONDOL_FAULT_ZERO_FILL] +
			     stats->faults[ONDOL_FAULT_FILE_MINOR] +
			     stats->faults[ONDOL_FAULT_FILE_READ] +
			     stats->faults[ONDOL_FAULT_COW_COPY] +
			     stats->faults[ONDOL_FAULT_COW_REUSE] },
		{ "pgmajfault", stats->faults[ONDOL_FAULT_FILE_READ] },
		{ "pglazyfreed", 0 },
		{ "pgrefill", 0 },
		{ "pgreuse", stats->faults[ONDOL_FAULT_COW_REUSE] },
		{ "pgsteal_kswapd", 0 },
		{ "pgsteal_direct", 0 },
		{ "pgscan_kswapd", 0 },
		{ "pgscan_direct", 0 },
		{ "pgscan_direct_throttle", 0 },
		{ "pgscan_anon", 0 },
		{ "pgscan_file", 0 },
		{ "pgsteal_anon", 0 },
		{ "pgsteal_file", 0 },
		{ "zone_reclaim_failed", 0 },
		{ "pginodesteal", 0 },
		{ "slabs_scanned", 0 },
		{ "kswapd_inodesteal", 0 },
		{ "kswapd_low_wmark_hit_quickly", 0 },
		{ "kswapd_high_wmark_hit_quickly", 0 },
		{ "pageoutrun", 0 },
		{ "pgrotated", 0 },
		{ "drop_pagecache", 0 },
		{ "drop_slab", 0 },
		{ "oom_kill", 0 },
		{ "pgmigrate_success", 0 },
		{ "pgmigrate_fail", 0 },
		{ "nr_unstable", 0 },
	};
	static const struct item io[] = {
		{ "nr_dirty_threshold", 0 }, { "nr_dirty_background_threshold", 0 },
		{ "pgpgin", 0 }, { "pgpgout", 0 }, { "pswpin", 0 }, { "pswpout", 0 },
	};

	OUT_ITEMS(out, VMSTAT_ITEM, io);
	out_zone_events(out, m, "pgalloc", true);
	out_zone_events(out, m, "allocstall", false);
	out_zone_events(out, m, "pgskip", false);
	OUT_ITEMS(out, VMSTAT_ITEM, faults);
}

int ondol_proc_vmstat(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	struct inspect_virt_counts virt;
	struct ondol_machine_stats stats;
	struct use_counts counts;
	struct out out;

	out_init(&out, write, ctx);
	inspect_virt_counts(m, &virt);
	ondol_machine_stats(m, &stats);
	count_uses(m, -1, &counts);
	out_zone_counters(&out, VMSTAT_ITEM, free_pages(m));
	out_numa_counters(&out, VMSTAT_ITEM, m, 0, (m->nr_nodes << 3) - 1);
	out_node_counters(&out, VMSTAT_ITEM, &virt, &counts);
	out_events(&out, m, &stats);
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

static void out_meminfo_rest(struct out *out, struct ondol_machine *m,
			     const struct inspect_virt_counts *virt,
			     const struct use_counts *counts)
{
	uint64_t slab = counts->pages[ONDOL_PAGE_SLAB], total = m->phys->managed;
	const struct item items[] = {
		{ "SwapTotal:", 0 },
		{ "SwapFree:", 0 },
		{ "Zswap:", 0 },
		{ "Zswapped:", 0 },
		{ "Dirty:", 0 },
		{ "Writeback:", 0 },
		{ "AnonPages:", counts->pages[ONDOL_PAGE_ANON] * KIB_PER_PAGE },
		{ "Mapped:", virt->mapped_file * KIB_PER_PAGE },
		{ "Shmem:", virt->shmem * KIB_PER_PAGE },
		{ "KReclaimable:", counts->slab_reclaimable * KIB_PER_PAGE },
		{ "Slab:", slab * KIB_PER_PAGE },
		{ "SReclaimable:", counts->slab_reclaimable * KIB_PER_PAGE },
		{ "SUnreclaim:", (slab - counts->slab_reclaimable) * KIB_PER_PAGE },
		{ "KernelStack:", 0 },
		{ "PageTables:", counts->pages[ONDOL_PAGE_PGTABLE] * KIB_PER_PAGE },
		{ "SecPageTables:", 0 },
		{ "NFS_Unstable:", 0 },
		{ "Bounce:", 0 },
		{ "WritebackTmp:", 0 },
		{ "CommitLimit:", total / 2 * KIB_PER_PAGE },
		{ "Committed_AS:", virt->committed * KIB_PER_PAGE },
		{ "VmallocTotal:", 0 },
		{ "VmallocUsed:", 0 },
		{ "VmallocChunk:", 0 },
		{ "Percpu:", 0 },
	};
	static const struct item huge[] = {
		{ "AnonHugePages:", 0 },
		{ "ShmemHugePages:", 0 },
		{ "ShmemPmdMapped:", 0 },
		{ "FileHugePages:", 0 },
		{ "FilePmdMapped:", 0 },
	};

	OUT_ITEMS(out, MEMINFO_ITEM, items);
	out_printf(out, "HardwareCorrupted: %5u kB\n", 0u); /* a column too long */
	OUT_ITEMS(out, MEMINFO_ITEM, huge);
	out_printf(out,
		   "HugePages_Total:   %5u\n"
		   "HugePages_Free:    %5u\n"
		   "HugePages_Rsvd:    %5u\n"
		   "HugePages_Surp:    %5u\n",
		   0u, 0u, 0u, 0u);
	out_printf(out, MEMINFO_ITEM MEMINFO_ITEM MEMINFO_ITEM, "Hugepagesize:", 2048ull,
		   "Hugetlb:", 0ull, "DirectMap4k:",
		   (unsigned long long)(m->phys->present * KIB_PER_PAGE));
}

int ondol_proc_meminfo(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	uint64_t free = free_pages(m), high, high_free;
	struct inspect_virt_counts virt;
	struct use_counts counts;
	struct out out;

	out_init(&out, write, ctx);
	inspect_virt_counts(m, &virt);
	count_uses(m, -1, &counts);
	uint64_t anon = counts.pages[ONDOL_PAGE_ANON], cache = counts.pages[ONDOL_PAGE_CACHE];
	const struct item items[] = {
		{ "MemTotal:", m->phys->managed * KIB_PER_PAGE },
		{ "MemFree:", free * KIB_PER_PAGE },
		{ "MemAvailable:", available_pages(m, free, cache) * KIB_PER_PAGE },
		{ "Buffers:", 0 },
		{ "Cached:", cache * KIB_PER_PAGE },
		{ "SwapCached:", 0 },
		{ "Active:", 0 },
		{ "Inactive:", (anon + cache) * KIB_PER_PAGE },
		{ "Active(anon):", 0 },
		{ "Inactive(anon):", anon * KIB_PER_PAGE },
		{ "Active(file):", 0 },
		{ "Inactive(file):", cache * KIB_PER_PAGE },
		{ "Unevictable:", 0 },
		{ "Mlocked:", 0 },
	};

	OUT_ITEMS(&out, MEMINFO_ITEM, items);
	if (m->profile->zone_end[ONDOL_ZONE_HIGHMEM]) {
		count_high(m, &high, &high_free);
		const struct item split[] = {
			{ "HighTotal:", high * KIB_PER_PAGE },
			{ "HighFree:", high_free * KIB_PER_PAGE },
			{ "LowTotal:", (m->phys->managed - high) * KIB_PER_PAGE },
			{ "LowFree:", (free - high_free) * KIB_PER_PAGE },
		};

		OUT_ITEMS(&out, MEMINFO_ITEM, split);
	}
	out_meminfo_rest(&out, m, &virt, &counts);
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

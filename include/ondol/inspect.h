/* SPDX-License-Identifier: MIT */
/* Looking inside: counters, Linux's /proc texts, invariants. */
#ifndef ONDOL_INSPECT_H
#define ONDOL_INSPECT_H

#include <ondol/mm.h>
#include <ondol/page_alloc.h>
#include <ondol/slab.h>
#include <ondol/types.h>

ONDOL_BEGIN_DECLS

struct ondol_zone_stats {
	const char *name;
	uint16_t node;
	uint32_t nr_orders;
	ondol_pfn_t start_pfn;
	uint64_t pages_spanned, pages_present, pages_managed, pages_free;
	uint64_t free_blocks[ONDOL_MAX_ORDERS]; /* of pages_free, by order */
	uint64_t pcp_pages;                     /* on per-CPU lists */
	uint64_t watermark_min, watermark_low, watermark_high;
	uint64_t nr_merges, nr_splits;
	enum ondol_zone_type type;
	/* Frames kept from requests whose highest zone is a higher one, by that zone. */
	uint64_t lowmem_reserve[ONDOL_NR_ZONES];
};
struct ondol_node_stats {
	uint16_t id;
	ondol_pfn_t node_start_pfn;
	uint64_t node_present_pages, node_spanned_pages;
	uint64_t numa_hit, numa_miss, numa_foreign, numa_local, numa_other;
	uint64_t numa_interleave; /* of numa_hit, those an interleaving policy wanted here */
};
/* Snapshots by value; a nonzero return stops the walk. */
int ondol_for_each_zone(struct ondol_machine *m,
			int (*visit)(void *ctx, const struct ondol_zone_stats *), void *ctx);
int ondol_for_each_node(struct ondol_machine *m,
			int (*visit)(void *ctx, const struct ondol_node_stats *), void *ctx);

/* Memory as the machine understood the firmware's map: sorted, disjoint, whole frames. */
struct ondol_memory_range {
	ondol_pfn_t start, end; /* [start, end) */
	uint16_t node;
	bool reserved; /* by the firmware's map or, for its page array, by the machine */
	enum ondol_mem_type type; /* else: USABLE, DEVICE, or OFFLINE to begin with */
};
/* By address; what lies between two ranges is a hole.  A nonzero return stops the walk. */
int ondol_for_each_memory_range(struct ondol_machine *m,
				int (*visit)(void *ctx, const struct ondol_memory_range *),
				void *ctx);

enum ondol_frame_state {
	ONDOL_FRAME_HOLE,     /* no memory here */
	ONDOL_FRAME_RESERVED, /* never the buddy's */
	ONDOL_FRAME_USED,
	ONDOL_FRAME_FREE,     /* in a block on a free list */
	ONDOL_FRAME_PER_CPU,  /* free, put aside by a CPU or its lazy policy: not merged */
	ONDOL_FRAME_DEFERRED, /* free, and its record is not yet written */
};
struct ondol_frame_info {
	enum ondol_frame_state state;
	bool is_head;         /* the first frame of its block */
	uint8_t order;        /* of its block */
	uint8_t migrate_type; /* 0 unmovable, 1 movable, 2 reclaimable */
	uint16_t node;        /* not of a hole, like all that follows */
	enum ondol_zone_type zone;
	enum ondol_page_use use;
};
/* Any pfn; exact when nothing runs.  Locks the frame's zone. */
void ondol_frame_info(struct ondol_machine *m, ondol_pfn_t pfn, struct ondol_frame_info *out_info);
/*
 * The first block of at least 2^min_order frames on a free list at or behind `from`, which stands
 * at no block's inside, and before `end`, and its order; `end`: there is none.  Exact when nothing
 * runs, else a hint.  Takes no lock; a step for each block on the way.
 */
ondol_pfn_t ondol_next_free_block(struct ondol_machine *m, ondol_pfn_t from, ondol_pfn_t end,
				  unsigned min_order, unsigned *out_order);
/*
 * The bit of free_area[order].map for the pair that holds the frame: 0 or 1, or -ONDOL_ENOENT
 * where there is no memory or the profile or the order has no map.
 */
int ondol_map_bit(struct ondol_machine *m, ondol_pfn_t pfn, unsigned order);

struct ondol_machine_stats {
	uint64_t pages_total;                   /* frames in the memory map */
	uint64_t pages[ONDOL_NR_PAGE_USES];     /* by use; sums to pages_total */
	uint64_t pages_free;                    /* buddy and per-CPU lists */
	uint64_t pages_used_peak;               /* most frames ever out at once */
	uint64_t nr_allocs, nr_frees, nr_merges, nr_splits, nr_refused;
	uint64_t faults[ONDOL_FAULT_NR];        /* by kind */
	uint64_t faults_refused;                /* no region, no right, past the end, no frame */
	uint64_t fault_pages;                   /* populated, fault-around included */
	uint64_t pages_unmapped;                /* mapped file pages that reclaim took back */
	uint64_t pages_swapped;                 /* now: entries that name a slot of swap */
	uint64_t nr_mm, nr_vma, nr_vma_peak;
	uint64_t vma_lookups, mmap_cache_hits;
	uint64_t nr_forks, tlb_fills, tlb_invalidates, tlb_protects, oom_kills;
	uint32_t page_record_size;              /* bytes of struct page */
	/*
	 * Pages of files that were read again after reclaim had dropped them, as far as it is
	 * remembered; of them, those that a cache of twice the size would have kept; and how many
	 * others were dropped meanwhile, altogether.
	 */
	uint64_t file_refaults, file_refaults_near, file_refault_distance_sum;
	struct ondol_compact_stats compact;
	uint64_t pages_migrated, pages_not_migrated; /* that moved, that could not */
	uint64_t huge_leaves; /* now: blocks under large leaves */
	uint64_t thp_fault_alloc, thp_fault_fallback, thp_splits;
	uint64_t thp_collapse_alloc, thp_collapse_failed; /* brought under one; no block for it */
	/*
	 * Same-page merging, in Linux's words: frames that are shared now, and entries beyond the
	 * first of each, which is what is saved; pages without an equal, and such as changed or
	 * were in use, in the last full scan; full scans.
	 */
	uint64_t ksm_pages_shared, ksm_pages_sharing, ksm_pages_unshared, ksm_pages_volatile;
	uint64_t ksm_full_scans;
	uint64_t ksm_pages_scanned, ksm_pages_merged; /* looked at, given a shared frame, ever */
	uint64_t cow_ksm; /* copied again */
};
/* Frames on the free lists, those of per-CPU lists left out: cheap, for decisions. */
uint64_t ondol_nr_free_pages(const struct ondol_machine *m);
void ondol_machine_stats(struct ondol_machine *m, struct ondol_machine_stats *out_stats);

struct ondol_mm_stats { /* pages */
	uint64_t total_vm, locked_vm, data_vm, exec_vm, stack_vm;
	uint64_t rss_anon, rss_file, rss_shmem, hiwater_rss, hiwater_vm, pgtables_bytes;
	uint64_t nr_vma, min_flt, maj_flt;
	uint64_t swap; /* entries that name a slot of swap */
	uint64_t huge_leaves;
};
void ondol_mm_stats(struct ondol_mm_struct *mm, struct ondol_mm_stats *out_stats);

/*
 * Linux's /proc texts.  `write` gets pieces in order; a nonzero return ends the text and
 * is returned.
 */
typedef int (*ondol_write_t)(void *ctx, const char *text, size_t size);
int ondol_proc_buddyinfo(struct ondol_machine *m, ondol_write_t write, void *ctx);
int ondol_proc_zoneinfo(struct ondol_machine *m, ondol_write_t write, void *ctx);
int ondol_proc_slabinfo(struct ondol_machine *m, ondol_write_t write, void *ctx);
/* Not one of Linux's: bytes asked for, given and held, of each cache with slabs (E1). */
int ondol_slab_usage(struct ondol_machine *m, ondol_write_t write, void *ctx);
int ondol_proc_vmstat(struct ondol_machine *m, ondol_write_t write, void *ctx);
int ondol_proc_meminfo(struct ondol_machine *m, ondol_write_t write, void *ctx);
int ondol_proc_pagetypeinfo(struct ondol_machine *m, ondol_write_t write, void *ctx);
/* Of one node, as under /sys/devices/system/node/nodeN.  -ONDOL_ENOENT: it has no memory. */
int ondol_proc_node_meminfo(struct ondol_machine *m, unsigned node, ondol_write_t write, void *ctx);
int ondol_proc_node_numastat(struct ondol_machine *m, unsigned node, ondol_write_t write,
			     void *ctx);
int ondol_proc_node_distance(struct ondol_machine *m, unsigned node, ondol_write_t write,
			     void *ctx);
int ondol_proc_maps(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx);
int ondol_proc_smaps(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx);
int ondol_proc_smaps_rollup(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx);
int ondol_proc_numa_maps(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx);
int ondol_proc_statm(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx);
/* The Vm*, Rss* lines of /proc/PID/status, VmPeak to VmSwap. */
int ondol_proc_status_vm(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx);

/*
 * /proc/PID/pagemap: `visit` gets the entries of mapped pages in order, `nr` (64 at most) from
 * `start` on, present or 0, in Linux's format with frame numbers; a nonzero return ends it and is
 * returned.  What the port backs itself (VM_NATIVE) is left out.
 */
int ondol_pagemap(struct ondol_mm_struct *mm,
		  int (*visit)(void *ctx, ondol_virt_addr_t start, const uint64_t *entries,
			       uint32_t nr),
		  void *ctx);
/* Linux's numbers for /proc/PID/clear_refs. */
enum ondol_clear_refs {
	ONDOL_CLEAR_REFS_ALL = 1,
	ONDOL_CLEAR_REFS_ANON,
	ONDOL_CLEAR_REFS_MAPPED,
	ONDOL_CLEAR_REFS_SOFT_DIRTY,  /* nothing: there is no soft-dirty bit */
	ONDOL_CLEAR_REFS_HIWATER_RSS, /* VmHWM is what is resident now */
};
/* No page of these regions has been referenced yet.  -ONDOL_EINVAL: another number. */
int ondol_clear_refs(struct ondol_mm_struct *mm, enum ondol_clear_refs what);

struct ondol_broken_invariant {
	const char *id;   /* "BUDDY-3" */
	const char *text; /* the invariant, as the source states it */
	uint64_t where, expected, actual;
};
/* 0, or -ONDOL_EUCLEAN with the first broken invariant.  Quadratic is fine. */
ONDOL_MUST_CHECK int ondol_machine_validate(struct ondol_machine *m,
					    struct ondol_broken_invariant *out_broken);
ONDOL_MUST_CHECK int ondol_mm_validate(struct ondol_mm_struct *mm,
				       struct ondol_broken_invariant *out_broken);

/* Fail the nth event of a kind (1: the next; 0: none): a field of the production machine. */
enum ondol_fail_point { ONDOL_FAIL_ALLOC_PAGES, ONDOL_FAIL_SLAB, ONDOL_FAIL_READ_PAGE,
			ONDOL_FAIL_SWAP_READ, ONDOL_FAIL_SWAP_WRITE, ONDOL_FAIL_KMAP,
			ONDOL_FAIL_NR };
struct ondol_fail_plan {
	uint64_t nth[ONDOL_FAIL_NR];
	bool persistent;                 /* and every later one */
	uint64_t seen[ONDOL_FAIL_NR];    /* counted by the library */
	uint64_t failed[ONDOL_FAIL_NR];
};
/* NULL takes the plan away.  The plan must outlive its use. */
void ondol_set_fail_plan(struct ondol_machine *m, struct ondol_fail_plan *plan);

ONDOL_END_DECLS
#endif /* ONDOL_INSPECT_H */

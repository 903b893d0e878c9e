/* SPDX-License-Identifier: MIT */
/*
 * Address spaces: what a program sees as memory, and how frames come to stand behind it.
 *
 * 1 What problem.  A program wants ranges of addresses, cheap to ask for and with contents
 *   that come from a file or are zero; frames are scarce and are given page by page, when
 *   they are touched (A3, A4).  Two records describe a page's state, and this folder keeps
 *   them in step: the region and the page-table entry.
 *
 * 2 Terms.  mm: one address space (mm_struct).  region (vma): a range with one kind of
 *   access and one source of contents.  mapping (address_space): the pages of one file,
 *   cached.  fault: the hardware found no entry that allows what the program tries.
 *   accessed: the A bit of an entry; the hardware may hold a translation only where it is set.
 *
 * 3 How it works.  The life of a page, a region above and its entries below:
 *
 *        mmap      |AAAAAAAA|      a region, no frame; costs nothing but its record
 *                  |........|
 *        read 2    |AAAAAAAA|      handle_mm_fault: no entry, so find the region,
 *                  |..z.....|      take a zeroed frame, write the entry
 *        fork      |AAAAAAAA|      both have the region; both entries read-only,
 *                  |..r.....|      the frame has two references
 *        write 2   |AAAAAAAA|      no right to write, but the region has: copy (or, alone
 *                  |..w.....|      again, just make it writable)
 *        munmap    |        |      entries cleared, hardware told, frames freed, empty tables
 *                  |        |      freed
 *
 *   The hardware is a cache of the page tables (include/ondol/port.h, [MMU-1]).  Removing or
 *   restricting entries is in two orders:
 *     real MMU       entries, then `invalidate`, then free the frames (gather.c): the hardware
 *                    may set A up to the moment the entry is cleared.
 *     software fill  `invalidate`, then entries and frames at once: translations enter only
 *                    by ondol_tlb_fill, a call on the same mm, so none can enter in between;
 *                    and the port can still ask which entries it may hold (ondol_tlb_span).
 *
 * 4 Invariants, checked by ondol_mm_validate (core/inspect/validate_mm.c).
 *   [VMA-1]  Regions are sorted, page aligned, not empty, and do not overlap (F12).
 *   [VMA-2]  The tree's hole and gap values are right, its last region and colours too.
 *   [VMA-3]  Regions lie below task_size; the access flags are within the MAY flags.
 *   [VMA-4]  A shared region has a mapping; a native region has no frame.
 *   [MM-1]   nr_vma, total_vm and its parts count the regions.
 *   [MM-2]   rss counts the frames in the page tables by kind.
 *   [PGTABLE-1..5]  core/pgtable/pgtable.c.
 *   [COW-1]  An anonymous frame's references are the entries that map it and, cached, its swap
 *            slot's.
 *   [COW-2]  A frame that others see has no writable entry in a private region.
 *   Explained elsewhere: [CACHE-1] in page_cache.c; [MIGRATE-1] in migrate.c; [SWAP-1..2] in
 *   swap.c; [KSM-1..4] in ksm.c; [MMU-1] in include/ondol/port.h, of which can be seen from here
 *   that an absent or user-inaccessible entry has no A, and that what software has filled in as
 *   writable has D.
 *
 * 5 Concurrency.  Calls on one mm exclude each other (the embedder's lock).  Shared between
 *   mms are frames (atomic counts), mappings (their lock) and the lists here (virt_state.lock).
 *   virt_state.lock is outside a mapping's lock.  No lock is held across a read of a file.
 * 6 What can fail.  Every allocation, and then nothing has changed: records are made before
 *   anything is undone.  Exceptions are Linux's: mprotect and madvise stop at the region that
 *   fails and leave the earlier ones changed.
 * 7 How to see it.  ondol_mm_stats, ondol_proc_maps and smaps; ondol_machine_stats.
 * 8 Sources.  Linux mm/{mmap,vma,memory,mprotect,mremap,madvise,mlock,filemap,readahead}.c,
 *   Documentation/mm; the man pages of the calls; Gorman, "Understanding the Linux Virtual
 *   Memory Manager", chapters 3, 4 and 10; illumos common/vm; gVisor pkg/sentry/mm.
 */
#include "virt/ksm.h"

static int make_cache(struct ondol_machine *m, const char *name, size_t size, uint32_t flags,
		      struct ondol_kmem_cache **out_cache)
{
	struct ondol_kmem_cache_args args = {
		.size = sizeof args,
		.flags = flags,
		.object_size = size,
	};

	return ondol_kmem_cache_create(m, name, &args, out_cache);
}

/* The caches may be NULL: where init stopped. */
static void destroy_caches(struct ondol_virt_state *v)
{
	struct ondol_kmem_cache *const caches[] = { v->node_cache, v->mapping_cache,
						    v->file_cache, v->vma_cache, v->mm_cache };

	for (size_t i = 0; i < sizeof caches / sizeof *caches; i++)
		if (caches[i] && ondol_kmem_cache_destroy(caches[i]))
			return; /* it has reported what lives; fini's caller counts frames */
}

int ondol_virt_init(struct ondol_machine *m)
{
	struct ondol_virt_state *v = ondol_kzalloc(m, sizeof *v, ONDOL_GFP_KERNEL);
	int r;

	if (!v)
		return -ONDOL_ENOMEM;
	list_init(&v->mms);
	list_init(&v->mappings);
	r = make_cache(m, "mm_struct", sizeof(struct ondol_mm_struct), 0, &v->mm_cache);
	if (!r)
		r = make_cache(m, "vm_area_struct", sizeof(struct vma), 0, &v->vma_cache);
	if (!r)
		r = make_cache(m, "filp", sizeof(struct ondol_file), 0, &v->file_cache);
	if (!r)
		r = make_cache(m, "address_space", sizeof(struct ondol_address_space), 0,
			       &v->mapping_cache);
	if (!r)
		r = make_cache(m, "radix_tree_node", cache_node_size(),
			       ONDOL_SLAB_RECLAIM_ACCOUNT, &v->node_cache);
	if (!r)
		r = ondol_register_shrinker(m, cache_shrink, v);
	if (r) {
		destroy_caches(v);
		ondol_kfree(m, v);
		return r;
	}
	m->virt = v;
	if (!huge_possible(m))
		m->thp = ONDOL_THP_NEVER;
	m->hooks.evacuate = virt_evacuate;
	m->hooks.compact = virt_compact;
	return 0;
}

void ondol_virt_fini(struct ondol_machine *m)
{
	struct ondol_virt_state *v = m->virt;

	if (!v)
		return;
	m->hooks.evacuate = NULL;
	m->hooks.compact = NULL;
	destroy_caches(v);
	ondol_kfree(m, v);
	m->virt = NULL;
}

static void add_counters(struct ondol_machine_stats *stats, const struct virt_counters *c)
{
	for (unsigned i = 0; i < ONDOL_FAULT_NR; i++)
		stats->faults[i] += c->faults[i];
	stats->faults_refused += c->faults_refused;
	stats->fault_pages += c->fault_pages;
	stats->vma_lookups += c->vma_lookups;
	stats->mmap_cache_hits += c->mmap_cache_hits;
	stats->nr_forks += c->nr_forks;
	stats->tlb_fills += c->tlb_fills;
	stats->tlb_invalidates += c->tlb_invalidates;
	stats->tlb_protects += c->tlb_protects;
	stats->oom_kills += c->oom_kills;
	stats->thp_fault_alloc += c->thp_fault_alloc;
	stats->thp_fault_fallback += c->thp_fault_fallback;
	stats->thp_splits += c->thp_splits;
	stats->thp_collapse_alloc += c->thp_collapse_alloc;
	stats->thp_collapse_failed += c->thp_collapse_failed;
	stats->cow_ksm += c->cow_ksm;
}

void virt_stats(struct ondol_machine *m, struct ondol_machine_stats *stats)
{
	struct ondol_virt_state *v = m->virt;
	struct ondol_machine_stats sum = *stats;
	uintptr_t saved;

	for (unsigned i = 0; i < ONDOL_FAULT_NR; i++)
		sum.faults[i] = 0;
	sum.faults_refused = sum.fault_pages = sum.vma_lookups = sum.mmap_cache_hits = 0;
	sum.oom_kills = sum.nr_forks = sum.tlb_fills = sum.tlb_invalidates = sum.tlb_protects = 0;
	sum.pages_migrated = sum.pages_not_migrated = sum.huge_leaves = 0;
	sum.thp_fault_alloc = sum.thp_fault_fallback = sum.thp_splits = 0;
	sum.thp_collapse_alloc = sum.thp_collapse_failed = sum.cow_ksm = 0;
	ksm_stats(m, &sum);
	sum.nr_mm = sum.nr_vma = sum.nr_vma_peak = sum.pages_unmapped = sum.pages_swapped = 0;
	if (v) {
		saved = virt_lock(m);
		add_counters(&sum, &v->dead);
		list_for_each(node, &v->mms) {
			const struct ondol_mm_struct *mm =
				container_of(node, struct ondol_mm_struct, link);

			add_counters(&sum, &mm->counters);
			sum.pages_swapped += mm->nr_swap;
			sum.huge_leaves += mm->pgt.nr_huge;
		}
		sum.nr_mm = v->nr_mm;
		sum.pages_unmapped = v->nr_unmapped;
		sum.file_refaults = v->workingset.refaults;
		sum.file_refaults_near = v->workingset.near;
		sum.file_refault_distance_sum = v->workingset.distance;
		sum.pages_migrated = v->nr_migrated;
		sum.pages_not_migrated = v->nr_not_migrated;
		virt_unlock(m, saved);
		sum.nr_vma = __atomic_load_n(&v->nr_vma, __ATOMIC_RELAXED);
		sum.nr_vma_peak = __atomic_load_n(&v->nr_vma_peak, __ATOMIC_RELAXED);
	}
	*stats = sum;
}

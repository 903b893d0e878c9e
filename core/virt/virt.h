/* SPDX-License-Identifier: MIT */
/*
 * Address spaces: the records of core/virt and what its files offer each other.
 *
 * Field letters: (c) constant after creation, (m) the embedder's lock of the mm, (l) the
 * record's own lock, (s) virt_state.lock, (a) atomic.
 */
#ifndef ONDOL_VIRT_VIRT_H
#define ONDOL_VIRT_VIRT_H

#include <ondol/inspect.h>
#include <ondol/mempolicy.h>
#include <ondol/mm.h>
#include <ondol/slab.h>

#include "base/list.h"
#include "base/math.h"
#include "base/rbtree.h"
#include "base/spinlock.h"
#include "pgtable/pgtable.h"
#include "phys/kmap.h"
#include "phys/machine.h"
#include "phys/mempolicy.h"
#include "phys/zone.h"

#define MAX_MAP_COUNT 65530u  /* Linux's default of the sysctl vm.max_map_count */
#define STACK_GUARD_PAGES 256 /* kept free below a region that grows down: 1 MiB */
#define STACK_GUARD_GAP (STACK_GUARD_PAGES * ONDOL_PAGE_SIZE)
#define POLICIES_MAX 255u     /* different memory policies of regions at a time */
#define AROUND_MAX 512u       /* pages; the largest fault-around window */

enum { RSS_ANON, RSS_FILE, RSS_SHMEM, NR_RSS };

/* What happened; summed over all mms for ondol_machine_stats. */
struct virt_counters {
	uint64_t faults[ONDOL_FAULT_NR];
	uint64_t faults_refused, fault_pages;
	uint64_t vma_lookups, mmap_cache_hits;
	uint64_t nr_forks, tlb_fills, tlb_invalidates, tlb_protects, oom_kills;
	uint64_t thp_fault_alloc, thp_fault_fallback, thp_splits; /* huge.c */
	uint64_t thp_collapse_alloc, thp_collapse_failed;
	uint64_t cow_ksm; /* merged pages that were copied */
};

struct note; /* of a page that was dropped: workingset.c */

struct workingset {
	struct spinlock lock;
	uint32_t nr_frames;  /* (c) once there is a table */
	struct note **table; /* (a) frames of notes, as far as there are any; or NULL */
	uint64_t clock;      /* (l) pages of files dropped by reclaim */
	uint64_t refaults, near, distance; /* (l) */
};

struct ondol_virt_state {
	struct ondol_kmem_cache *mm_cache, *vma_cache, *file_cache; /* (c) */
	struct ondol_kmem_cache *mapping_cache, *node_cache;        /* (c) */
	struct spinlock lock;
	struct list_node mms;      /* (s) struct ondol_mm_struct.link */
	struct list_node mappings; /* (s) struct ondol_address_space.link, next victim first */
	struct virt_counters dead; /* (s) of mms that are gone */
	uint64_t nr_mm;            /* (s) */
	uint64_t next_ino;         /* (s) names anonymous shared memory in /proc/PID/maps */
	uint32_t nr_vma, nr_vma_peak; /* (a) */
	uint64_t committed;           /* (a) pages, see commit.c */
	uint64_t khugepaged_at; /* (s) as reclaim_at, of huge.c */
	uint64_t reclaim_at;  /* (s) the hand of reclaim.c, in the first of mms */
	uint64_t nr_unmapped; /* (s) pages that it took */
	struct workingset workingset;
	uint32_t next_mapping; /* (s) */
	unsigned long nr_migrated, nr_not_migrated; /* (a) pages that moved; that could not */
	struct ksm_state *ksm;   /* see ksm.c; NULL: nothing was scanned yet */
	struct swap_state *swap; /* see swap.c; NULL: no area was added yet */
	struct policy_table *policies; /* (s) see mempolicy.c; NULL: none was asked for yet */
};

/* A region's name where neither file nor flags give one; shared by the parts of a split. */
struct vma_name {
	uint32_t refcount; /* (a) */
	char text[];
};

struct ondol_file {
	struct ondol_machine *m;             /* (c) */
	struct ondol_address_space *mapping; /* (c) or NULL; holds a reference */
	char *name;                          /* (c) "" if none */
	uint64_t ino;                        /* (c) */
	uint32_t dev_major, dev_minor;       /* (c) */
	uint32_t refcount;                   /* (a) */
};

struct ondol_address_space {
	struct ondol_machine *m;                   /* (c) */
	const struct ondol_address_space_ops *ops; /* (c) NULL: shmem */
	void *ctx;                                 /* (c) */
	struct list_node link;                     /* (s) */
	uint32_t id;                               /* (c) no other has it */
	struct spinlock lock;
	uint32_t refcount;       /* (a) */
	struct cache_node *root; /* (l) see page_cache.c */
	uint32_t height;         /* (l) levels of nodes below root; 0: empty */
	uint64_t nr_pages;       /* (l) */
	uint64_t nr_swapped;     /* (l) of shmem: in swap instead */
	uint64_t shmem_pages;    /* shmem's size: a fault beyond is -ONDOL_ENXIO */
	uint64_t committed;      /* (s) pages of shmem that are promised */
};

/* One region.  Linux: vm_area_struct.  All (m). */
struct vma {
	struct rb_node rb;
	uint64_t start, end; /* [start, end) */
	uint64_t hole; /* bytes free below it, see vma_tree.c */
	uint64_t gap;  /* the largest hole of the subtree below this node */
	ondol_vm_flags_t flags;
	uint32_t policy; /* its memory policy's number; 0: none of its own */
	uint64_t pgoff; /* page of the file that start shows; 0 for anonymous regions */
	struct ondol_file *file; /* holds a reference, or NULL: anonymous */
	struct vma_name *name;   /* or NULL */
};

#define SWAP_STREAMS 4

/* Where an mm's pages have lately come back from swap, and how many at a time: fault_swap.c. */
struct swap_streams {
	uint64_t at[SWAP_STREAMS]; /* addresses; 0: none */
	uint32_t next;             /* to be given up */
	uint32_t around;           /* pages; 0: not yet */
};

struct ondol_mm_struct { /* (m) unless marked */
	struct ondol_machine *m;  /* (c) */
	struct rb_root mm_rb;
	struct vma *mmap_cache;   /* the region found last, or NULL */
	struct vma *last;         /* the highest region, or NULL */
	struct pgtable pgt;
	bool soft_fill;           /* (c) ONDOL_MMU_SOFTWARE_FILL */
	bool no_write_trap;       /* (c) ONDOL_MMU_NO_WRITE_TRAP */
	bool thp_disabled;
	bool mergeable;           /* some region may have been advised so: ksm.c */
	uint32_t ksm_round;       /* the scanner's last that is done with it */
	uint64_t ksm_at;          /* where it goes on */
	uint32_t users;           /* (a) */
	uint32_t nr_vma;
	uint64_t task_size;       /* (c) first address beyond user space */
	void *priv;
	uint64_t total_vm, locked_vm, data_vm, exec_vm, stack_vm; /* pages */
	uint64_t committed;                                       /* pages with VM_ACCOUNT */
	uint64_t rss[NR_RSS];                                     /* pages */
	uint64_t nr_swap;                                         /* swap entries */
	struct swap_streams swap_streams;
	uint64_t hiwater_rss, hiwater_vm;                         /* pages */
	uint64_t nr_guards;                                       /* entries: guard.c */
	uint64_t min_flt, maj_flt;
	struct virt_counters counters;
	struct ondol_mm_limits limits;
	struct ondol_mm_layout layout;
	struct ondol_mempolicy task_policy;
	uint64_t faulting; /* the page that a fault is being handled for; UINT64_MAX: none */
	ondol_vm_flags_t new_flags; /* mlockall's: LOCKED and LOCKONFAULT of new regions */
	struct list_node link; /* (s) */
};

/* ---------------------------------------------------------------- virt.c */

ONDOL_MUST_CHECK int ondol_virt_init(struct ondol_machine *m);
void ondol_virt_fini(struct ondol_machine *m);
/* Fills in the fields of *stats that are about mms, regions and faults. */
void virt_stats(struct ondol_machine *m, struct ondol_machine_stats *stats);

static inline uintptr_t virt_lock(struct ondol_machine *m)
{
	return lock_irqsave(m->port, &m->virt->lock, m->phys->smp);
}

static inline void virt_unlock(struct ondol_machine *m, uintptr_t saved)
{
	unlock_irqrestore(m->port, &m->virt->lock, m->phys->smp, saved);
}

#define LOCK_FLAGS (ONDOL_VM_LOCKED | ONDOL_VM_LOCKONFAULT)

/* ---------------------------------------------------------------- kinds of region */

static inline bool vma_is_shared(const struct vma *vma)
{
	return (vma->flags & ONDOL_VM_SHARED) != 0;
}

/* Private, writable now: where a frame that others see must be copied before a write. */
static inline bool flags_are_cow(ondol_vm_flags_t flags)
{
	return (flags & (ONDOL_VM_SHARED | ONDOL_VM_WRITE)) == ONDOL_VM_WRITE;
}

static inline bool vma_is_native(const struct vma *vma)
{
	return (vma->flags & ONDOL_VM_NATIVE) != 0;
}

static inline bool vma_is_anon(const struct vma *vma)
{
	return !vma->file && !vma_is_native(vma);
}

static inline uint64_t vma_pages(const struct vma *vma)
{
	return (vma->end - vma->start) >> ONDOL_PAGE_SHIFT;
}

static inline uint64_t vma_pgoff_at(const struct vma *vma, uint64_t addr)
{
	return vma->pgoff + ((addr - vma->start) >> ONDOL_PAGE_SHIFT);
}

/* The page's number in what an interleaving policy spreads over nodes. */
static inline uint64_t vma_index_at(const struct vma *vma, uint64_t addr)
{
	return vma->file ? vma_pgoff_at(vma, addr) : addr >> ONDOL_PAGE_SHIFT;
}

/* Regions that grow down keep a hole below them, so that they cannot run into another. */
static inline uint64_t vma_start_gap(const struct vma *vma)
{
	if (!(vma->flags & ONDOL_VM_GROWSDOWN))
		return vma->start;
	return vma->start > STACK_GUARD_GAP ? vma->start - STACK_GUARD_GAP : 0;
}

/* What a page of a region may be used for.  Nothing: not even USER, a PROT_NONE page. */
static inline uint32_t flags_prot(ondol_vm_flags_t flags)
{
	if (!(flags & ONDOL_VM_ACCESS))
		return 0;
	return ONDOL_PROT_USER | ONDOL_PROT_READ |
	       (flags & ONDOL_VM_WRITE ? ONDOL_PROT_WRITE : 0) |
	       (flags & ONDOL_VM_EXEC ? ONDOL_PROT_EXEC : 0);
}

static inline uint64_t mm_max_map_count(const struct ondol_mm_struct *mm)
{
	return mm->limits.map_count ? mm->limits.map_count : MAX_MAP_COUNT;
}

/* ---------------------------------------------------------------- vma_tree.c */

#define vma_of(node) rb_entry_or_null(node, struct vma, rb)

extern const struct rb_augment vma_augment;

/* The first region that ends beyond addr, or NULL. */
struct vma *vma_find(struct ondol_mm_struct *mm, uint64_t addr);
static inline struct vma *vma_next(const struct vma *vma)
{
	return vma_of(rb_next(&vma->rb));
}

static inline struct vma *vma_prev(const struct vma *vma)
{
	return vma_of(rb_prev(&vma->rb));
}

static inline struct vma *vma_first(const struct ondol_mm_struct *mm)
{
	return vma_of(rb_first(&mm->mm_rb));
}

/* The region behind prev, the first one if that is NULL.  Of the last it is known at once. */
static inline struct vma *vma_after(const struct ondol_mm_struct *mm, const struct vma *prev)
{
	if (!prev)
		return vma_first(mm);
	return prev == mm->last ? NULL : vma_next(prev);
}

/* The successor if it starts below `end`, else NULL: a loop over a range looks no further. */
static inline struct vma *vma_next_below(const struct vma *vma, uint64_t end)
{
	struct vma *next = vma->end < end ? vma_next(vma) : NULL;

	return next && next->start < end ? next : NULL;
}

/* The last region that starts below addr, or NULL. */
struct vma *vma_below(struct ondol_mm_struct *mm, uint64_t addr);
/* Whether a region overlaps [start, end). */
bool vma_overlaps(struct ondol_mm_struct *mm, uint64_t start, uint64_t end);
/* prev: its predecessor, or NULL. */
void vma_link(struct ondol_mm_struct *mm, struct vma *prev, struct vma *vma);
void vma_unlink(struct ondol_mm_struct *mm, struct vma *vma);
/* What is free below vma, whose predecessor is prev (or NULL). */
uint64_t vma_hole_below(const struct vma *vma, const struct vma *prev);
/* GROWSDOWN may have changed, which decides about the guard gap. */
void vma_flags_changed(struct vma *vma);
/* Move an end.  Neighbours must not be overlapped, not even for a moment. */
void vma_set_start(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start);
void vma_set_end(struct ondol_mm_struct *mm, struct vma *vma, uint64_t end);
/*
 * A free range of `length` bytes, as mmap without MAP_FIXED finds it; `hint` is taken when it
 * is free.  -ONDOL_ENOMEM.
 */
ONDOL_MUST_CHECK int vma_unmapped_area(struct ondol_mm_struct *mm, uint64_t hint, uint64_t length,
				       bool map_32bit, uint64_t *out_addr);

/* ---------------------------------------------------------------- vma_merge.c */

/* What decides whether two regions are equal. */
struct vma_props {
	ondol_vm_flags_t flags;
	uint32_t policy;
	struct ondol_file *file;
	struct vma_name *name;
};

static inline struct vma_props vma_props(const struct vma *vma)
{
	return (struct vma_props){ vma->flags, vma->policy, vma->file, vma->name };
}

/* A record with references to props' file, name and policy; not in the tree.  NULL: no memory. */
struct vma *vma_alloc(struct ondol_mm_struct *mm, const struct vma_props *props, uint64_t start,
		      uint64_t end, uint64_t pgoff);
void vma_free(struct ondol_mm_struct *mm, struct vma *vma); /* drops the references */
struct vma_name *vma_name_new(struct ondol_machine *m, const char *text);
void vma_name_get(struct vma_name *name);
void vma_name_put(struct ondol_machine *m, struct vma_name *name);
/*
 * Cover the hole [start, end) above prev (or NULL) by growing a neighbour that has these
 * properties, and join it with the other neighbour if that has them too.  NULL: none fits.
 */
struct vma *vma_extend(struct ondol_mm_struct *mm, struct vma *prev, uint64_t start, uint64_t end,
		       uint64_t pgoff, const struct vma_props *props);
/*
 * Give [start, end) of vma other flags, splitting and merging as needed.  Returns the region
 * that covers the range now; NULL: no memory or too many regions, nothing has changed.
 */
struct vma *vma_modify(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end,
		       ondol_vm_flags_t flags);
/* The same for all that can be changed, flags and policy. */
struct vma *vma_change(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end,
		       const struct vma_props *props);
/* Make [start, end) of vma a record of its own.  NULL: no memory, nothing has changed. */
struct vma *vma_isolate(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end);
/* Join vma with the neighbours that are equal to it. */
struct vma *vma_rejoin(struct ondol_mm_struct *mm, struct vma *vma);

/* ---------------------------------------------------------------- mm.c */

/* An mm with page tables and nothing else; in *out_mm on success. */
ONDOL_MUST_CHECK int mm_alloc(struct ondol_machine *m, struct ondol_mm_struct **out_mm);
/* What /proc/PID/maps calls the region; "" for none. */
const char *vma_display_name(const struct vma *vma);
/* Would nr_pages more of this kind stay within the limits? */
bool mm_may_expand(const struct ondol_mm_struct *mm, ondol_vm_flags_t flags, uint64_t nr_pages);
/* Count pages of regions; nr_pages may be "negative". */
void mm_account(struct ondol_mm_struct *mm, ondol_vm_flags_t flags, int64_t nr_pages);
static inline uint64_t mm_rss(const struct ondol_mm_struct *mm)
{
	return mm->rss[RSS_ANON] + mm->rss[RSS_FILE] + mm->rss[RSS_SHMEM];
}

static inline void mm_note_rss(struct ondol_mm_struct *mm)
{
	uint64_t rss = mm_rss(mm);

	if (rss > mm->hiwater_rss)
		mm->hiwater_rss = rss;
}

/* [addr, addr + length) with length not 0, inside user space, no wrap. */
static inline bool mm_range_ok(const struct ondol_mm_struct *mm, uint64_t addr, uint64_t length)
{
	return length && length <= mm->task_size && addr <= mm->task_size - length;
}

/* The smallest block of at least n frames. */
static inline unsigned order_to_hold(uint32_t n)
{
	return n > 1 ? log2_u64(n - 1) + 1 : 0;
}

/* Round up to pages; 0 when that wraps. */
static inline uint64_t page_align(uint64_t length)
{
	return (length + ONDOL_PAGE_SIZE - 1) & ONDOL_PAGE_MASK;
}

/* ---------------------------------------------------------------- frames in page tables */

static inline struct ondol_page *pte_page(const struct ondol_mm_struct *mm, uint64_t pte)
{
	return machine_page(mm->m, (pte & mm->pgt.format->phys_mask) >> ONDOL_PAGE_SHIFT);
}

static inline bool pte_present(const struct ondol_mm_struct *mm, uint64_t pte)
{
	return (pte & mm->pgt.format->present_mask) != 0;
}

/* An absent entry that names a slot of swap; else 0, or for a moment what migrate.c leaves. */
static inline bool pte_is_swap(const struct ondol_mm_struct *mm, uint64_t pte)
{
	return !pte_present(mm, pte) && (pte & mm->pgt.format->swap_mask);
}

static inline uint64_t pte_of_slot(const struct ondol_mm_struct *mm, uint64_t slot)
{
	return mm->pgt.format->swap_mask | slot << ONDOL_PAGE_SHIFT;
}

static inline uint64_t pte_slot(const struct ondol_mm_struct *mm, uint64_t pte)
{
	return (pte & mm->pgt.format->phys_mask) >> ONDOL_PAGE_SHIFT;
}

/* An entry without a frame; add the frame's address. */
static inline uint64_t pte_template(const struct ondol_mm_struct *mm, uint32_t prot)
{
	return mm->pgt.format->make_leaf(ondol_phys_addr(0), prot, 0).value;
}

/* The bits that say what may be done with the page. */
static inline uint64_t pte_rights_mask(const struct ondol_mm_struct *mm)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;

	return f->write_mask | f->user_mask | f->no_exec_mask;
}

static inline bool pte_allows(const struct ondol_mm_struct *mm, uint64_t pte, uint32_t access)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;

	return (pte & f->present_mask) && (pte & f->user_mask) &&
	       (!(access & ONDOL_FAULT_WRITE) || (pte & f->write_mask)) &&
	       (!(access & ONDOL_FAULT_EXEC) || !(pte & f->no_exec_mask));
}

static inline uint32_t pte_prot(const struct ondol_mm_struct *mm, uint64_t pte)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;

	if (!(pte & f->user_mask))
		return 0;
	return ONDOL_PROT_USER | ONDOL_PROT_READ |
	       (pte & f->write_mask ? ONDOL_PROT_WRITE : 0) |
	       (pte & f->no_exec_mask ? 0 : ONDOL_PROT_EXEC);
}

static inline uint32_t page_refs(const struct ondol_page *page)
{
	return __atomic_load_n(&page->refcount, __ATOMIC_ACQUIRE);
}

/*
 * By [COW-1] an anonymous frame has one reference for each entry that maps it and, cached, one
 * of its swap slot's, so with one reference it is ours alone, and nobody else can make it two.
 * A merged one is everybody's [KSM-2].
 */
static inline bool page_exclusive_anon(const struct ondol_page *page)
{
	return (page->flags & (ONDOL_PG_USE_MASK | ONDOL_PG_KSM)) == ONDOL_PAGE_ANON &&
	       page_refs(page) == 1;
}

static inline unsigned page_rss_class(const struct ondol_page *page)
{
	if (page_use(page) == ONDOL_PAGE_ANON)
		return RSS_ANON;
	return page->data.mapping->ops ? RSS_FILE : RSS_SHMEM;
}

/* One more entry maps the frame; the caller already holds the reference it stands for. */
static inline void page_add_map(struct ondol_page *page)
{
	__atomic_fetch_add(&page->data.mapcount, 1, __ATOMIC_RELAXED);
}

/* ---------------------------------------------------------------- gather.c */

#define GATHER_SHARED 32

/* Frames taken out of the page tables, to be freed when no hardware can reach them. */
struct mmu_gather {
	struct ondol_mm_struct *mm;
	bool at_once;            /* nothing can reach them any more already */
	bool dirtied;            /* some page of a file was found dirty */
	uint32_t exclusive;      /* chain through page.data.next */
	uint32_t tables;         /* chain of table frames */
	uint32_t nr_shared;
	uint64_t lo, hi;         /* accessed entries removed but not yet invalidated */
	struct ondol_page *shared[GATHER_SHARED];
};

/* `exiting`: the hardware has let go of the whole mm. */
void gather_begin(struct mmu_gather *g, struct ondol_mm_struct *mm, bool exiting);
/* Before entries of [start, end) are taken away: tell software-filled hardware. */
void gather_announce(struct mmu_gather *g, uint64_t start, uint64_t end);
/* Empty the part [start, end) of vma's page tables. */
void gather_zap(struct mmu_gather *g, const struct vma *vma, uint64_t start, uint64_t end);
/* Only entries of clean pages of its file, or of them those that are not accessed; how many. */
uint64_t gather_clean(struct mmu_gather *g, const struct vma *vma, uint64_t start, uint64_t end,
		      bool cold_only);
/* Drop the reference that an entry stood for. */
void put_mapped(struct ondol_machine *m, struct ondol_page *page);
/* swap.c: an entry less maps the cached frame; without one it goes, since the slot has it. */
void swap_unmapped(struct ondol_machine *m, struct ondol_page *page);
/* Take away tables that no region needs: see pgtable_unlink_range. */
void gather_tables(struct mmu_gather *g, uint64_t start, uint64_t end, uint64_t floor,
		   uint64_t ceiling);
/* Tell the hardware, then free everything. */
void gather_end(struct mmu_gather *g);

/* ---------------------------------------------------------------- tlb.c */

/* The first and the end of the last entry in [start, end) with all bits of `mask`. */
bool tlb_extent(struct ondol_mm_struct *mm, uint64_t start, uint64_t end, uint64_t mask,
		uint64_t *out_lo, uint64_t *out_hi);
void tlb_invalidate(struct ondol_mm_struct *mm, uint64_t start, uint64_t end);
void tlb_protect(struct ondol_mm_struct *mm, uint64_t start, uint64_t end, uint32_t prot);
/* Clear the accessed bit of entries in [start, end). */
void tlb_clear_accessed(struct ondol_mm_struct *mm, uint64_t start, uint64_t end);
/*
 * Software-filled hardware forgets [start, end), and no entry there is accessed; else nothing.
 * False: there was nothing that it could have held.
 */
bool tlb_forget(struct ondol_mm_struct *mm, uint64_t start, uint64_t end);

/* ---------------------------------------------------------------- guard.c */

/*
 * The entry of a page that is not to be touched.  An entry whose page is on its way to another
 * frame is absent, too, and may have these bits, but never this frame: the last there can be.
 */
static inline uint64_t pte_guard(const struct ondol_mm_struct *mm)
{
	return mm->pgt.format->user_mask | mm->pgt.format->phys_mask;
}

static inline bool pte_is_guard(const struct ondol_mm_struct *mm, uint64_t pte)
{
	return pte == pte_guard(mm);
}

/* [start, end) of vma has no pages any more, but guards.  -ONDOL_ENOMEM: not all of it. */
ONDOL_MUST_CHECK int guard_install(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start,
				   uint64_t end);
void guard_remove(struct ondol_mm_struct *mm, uint64_t start, uint64_t end);
/* fork: those of the region, for the child. */
ONDOL_MUST_CHECK int guard_dup(const struct ondol_mm_struct *from, struct ondol_mm_struct *to,
			       const struct vma *vma);

/* ---------------------------------------------------------------- commit.c */

/* May nr_pages more be promised?  Where the flags have no ACCOUNT, nothing is. */
bool mm_may_commit(const struct ondol_mm_struct *mm, ondol_vm_flags_t flags, uint64_t nr_pages);
void commit_add(struct ondol_machine *m, int64_t nr_pages);
/* The flags of a new region that is asked for with these: with ACCOUNT if it is to be counted. */
ondol_vm_flags_t commit_flags(const struct ondol_machine *m, ondol_vm_flags_t flags);
/* The same where a region of `old` flags gets other rights. */
ondol_vm_flags_t commit_flags_protect(ondol_vm_flags_t old, ondol_vm_flags_t flags);

/* ---------------------------------------------------------------- munmap.c, mmap.c, mprotect.c */

/* Checked arguments; -ONDOL_ENOMEM (nothing changed) or -ONDOL_EPERM. */
ONDOL_MUST_CHECK int mm_unmap(struct ondol_mm_struct *mm, uint64_t start, uint64_t end);
/* Free the tables of a range that has no region, as far as no neighbour needs them. */
void mm_free_tables(struct ondol_mm_struct *mm, uint64_t start, uint64_t end);
/* Empty the pages of a range of one region, which stays. */
void mm_zap(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end);
/* Pages of [start, end) that have a region. */
uint64_t mm_pages_mapped(struct ondol_mm_struct *mm, uint64_t start, uint64_t end);
/* Whether a sealed region is in [start, end). */
bool mm_range_sealed(struct ondol_mm_struct *mm, uint64_t start, uint64_t end);
/*
 * Fault in [start, end) as mlock and MAP_POPULATE do; stops at the first page that cannot be,
 * with its error as ondol_handle_mm_fault's.  `access` 0: for a write where the region is
 * private and writable, else for what it allows.
 */
ONDOL_MUST_CHECK int mm_populate(struct ondol_mm_struct *mm, uint64_t start, uint64_t end,
				 uint32_t access);
/* Bring the entries of [start, end), all in vma, to vma's flags. */
void mm_change_protection(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start,
			  uint64_t end);

/* ---------------------------------------------------------------- mempolicy.c */

struct fault;

/* One user more or less of the policy with that number. */
void policy_get(struct ondol_machine *m, uint32_t number);
void policy_put(struct ondol_machine *m, uint32_t number);
void policy_read(struct ondol_machine *m, uint32_t number, struct ondol_mempolicy *out_policy);
/* How many regions name it; for validation, when nothing runs. */
uint32_t policy_users(struct ondol_machine *m, uint32_t number);
/* The fault's policy: its region's, or the task's. */
void fault_take_policy(struct fault *f);

/* ---------------------------------------------------------------- migrate.c */

struct migration {
	struct ondol_machine *m;
	uint32_t first; /* frames to move, chained by data.prev; ONDOL_PAGE_NIL: none */
};

/*
 * `old` (ANON or CACHE) will move to `new`, fresh.  false: it is no longer what it was, or moving
 * already; `new` stays the caller's.
 */
ONDOL_MUST_CHECK bool migrate_add(struct migration *mig, struct ondol_page *old,
				  struct ondol_page *new);
/*
 * Those stay that are needed where they are: in locked regions, around a fault, or by the word of
 * the mmu's `busy`.
 */
void migrate_veto(const struct migration *mig);
/* Move them: all pages of all mms, or, with mm, the one page at addr that has no other entry. */
void migrate_run(struct migration *mig, struct ondol_mm_struct *mm, uint64_t addr);
/*
 * The next page of the migration is the caller's to put: `old` with one reference (moved: the only
 * one) and, not moved, also *out_new.  NULL: no more.
 */
struct ondol_page *migrate_next(struct migration *mig, struct ondol_page **out_new,
				bool *out_moved);
/* Put what is left over of each.  Returns how many did not move. */
uint64_t migrate_finish(struct migration *mig);
/* Hooks: base/hooks.h. */
int virt_evacuate(struct ondol_machine *m, uint32_t first, uint32_t end);
bool virt_compact(struct ondol_machine *m, struct ondol_zone *zone, unsigned order);

/* ---------------------------------------------------------------- fault.c, cow.c */

struct fault {
	struct ondol_mm_struct *mm;
	struct vma *vma;
	uint64_t addr;   /* page aligned */
	uint32_t access; /* ONDOL_FAULT_*; WRITE added where a read-only page would not do */
	uint32_t around; /* pages of the window */
	uint32_t cached; /* of that for what need not be read: no smaller */
	void *slot;      /* addr's entry */
	struct ondol_fault_result *result;
	struct ondol_mempolicy policy; /* where its frames come from */
};

/* Pages of the window: [lo, hi) around the fault, inside region and table. */
struct fault_run {
	uint64_t lo, hi; /* addresses */
	void *slot;      /* of lo */
};

static inline struct fault_run fault_one_page(const struct fault *f)
{
	return (struct fault_run){ f->addr, f->addr + ONDOL_PAGE_SIZE, f->slot };
}

/*
 * The fault's page, whatever its entry, and those beside it in the aligned window of `around`
 * pages (a power of two), as far as their entries are like that without a gap.
 */
static inline __attribute__((always_inline)) struct fault_run
fault_run_of(const struct fault *f, uint64_t around,
	     bool (*like)(const struct ondol_mm_struct *mm, uint64_t pte))
{
	const struct pgtable *pt = &f->mm->pgt;
	uint64_t size = min_u64(around << ONDOL_PAGE_SHIFT,
				UINT64_C(1) << pgtable_table_shift(pt->format, 0));
	uint64_t base = align_down(f->addr, size), step = pt->format->pte_size;
	uint64_t lo = max_u64(base, f->vma->start), hi = min_u64(base + size, f->vma->end);
	struct fault_run run = fault_one_page(f);
	unsigned char *slot = f->slot;

	while (run.lo > lo && like(f->mm, pte_get(pt, slot - step))) {
		slot -= step;
		run.lo -= ONDOL_PAGE_SIZE;
	}
	run.slot = slot;
	slot = (unsigned char *)f->slot + step;
	while (run.hi < hi && like(f->mm, pte_get(pt, slot))) {
		slot += step;
		run.hi += ONDOL_PAGE_SIZE;
	}
	return run;
}
struct fault_run fault_absent_run(const struct fault *f);
/*
 * Consecutive single frames for the run, or, when memory is short, for a part of it that
 * contains the fault; the run is cut down to what there is.  NULL: not even one frame.
 */
struct ondol_page *fault_alloc_run(const struct fault *f, struct fault_run *run, bool zero);
/* A fresh frame becomes private data of this mm, with one entry to map it. */
static inline void page_make_anon(struct ondol_machine *m, struct ondol_page *page)
{
	page->data.mapping = NULL;
	page->data.mapcount = 1;
	ondol_page_set_use(m, page, ONDOL_PAGE_ANON);
}
/* The entry is there but does not allow the write. */
ONDOL_MUST_CHECK int fault_cow(struct fault *f, uint64_t pte);
/* The entry is there: it shall name a copy, of our own, with the region's rights. */
ONDOL_MUST_CHECK int fault_copy(struct fault *f);
ONDOL_MUST_CHECK int fault_file(struct fault *f);
/* The entry names a slot of swap. */
ONDOL_MUST_CHECK int fault_swap(struct fault *f, uint64_t pte);

/* 2^order frames for the pages from addr on, made single, of which the first n stay. */
struct ondol_page *fault_alloc_frames(const struct fault *f, uint64_t addr, uint32_t n,
				      ondol_gfp_t gfp, bool zero);

/* ---------------------------------------------------------------- huge.c */

bool huge_possible(const struct ondol_machine *m);
/* The whole range around an absent anonymous page, if it wants to be a block and there is one. */
bool fault_huge(struct fault *f);
/* The page at addr is under a leaf no more: before its entry changes. */
void huge_split(struct ondol_mm_struct *mm, uint64_t addr);
static inline void huge_split_at(struct ondol_mm_struct *mm, uint64_t addr)
{
	if (ondol_unlikely(mm->pgt.nr_huge))
		huge_split(mm, addr);
}
/* A region will begin or end at addr, which is under no leaf then, unless it is one's first. */
static inline void huge_cut(struct ondol_mm_struct *mm, uint64_t addr)
{
	if (ondol_unlikely(mm->pgt.nr_huge) && (addr & (pgtable_huge_size(&mm->pgt) - 1)))
		huge_split(mm, addr);
}
void huge_split_range(struct ondol_mm_struct *mm, uint64_t start, uint64_t end);
/*
 * The entries of [start, end), of one table, will be emptied: a leaf over just these goes, and its
 * shadow is the caller's to release; one over more is split (NULL).
 */
struct ondol_page *huge_zap(struct ondol_mm_struct *mm, uint64_t start, uint64_t end);
/* MADV_COLLAPSE of a part of vma. */
ONDOL_MUST_CHECK int huge_collapse(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start,
				   uint64_t end);

/* ---------------------------------------------------------------- page_cache.c */

size_t cache_node_size(void); /* bytes of a node of the index */
/* With a reference for the caller, or NULL. */
struct ondol_page *cache_get_page(struct ondol_address_space *mapping, uint64_t index);
/* The n pages from index on, each with a reference; NULL where there is none. */
void cache_get_pages(struct ondol_address_space *mapping, uint64_t index, uint32_t n,
		     struct ondol_page **pages);
struct cache_read {
	uint64_t lo, hi; /* in: pages of the mapping that may be read along, see below */
	const struct ondol_mempolicy *policy; /* in: where frames come from; NULL: DEFAULT */
	struct ondol_page *page; /* with a reference for the caller */
	bool was_read;           /* it was not there */
	bool was_swapped;        /* but in swap */
	uint64_t end;            /* the first page wholly past the end of the file */
};
/*
 * The page, read in (or, in shmem, made) if need be, with the absent ones side by side in
 * [lo, hi), which contains index and is at most AROUND_MAX pages.
 */
ONDOL_MUST_CHECK int cache_read_page(struct ondol_address_space *mapping, uint64_t index,
				     struct cache_read *read);
/* A reference to a frame of the cache; false: it has just left it. */
bool cache_get_frame(struct ondol_machine *m, struct ondol_page *page);
/*
 * `new` takes the place of `old` with its contents and new->data.mapcount entries, if `old` has no
 * references but as many, the cache's and the caller's, which alone is left then.
 */
bool cache_replace(struct ondol_page *old, struct ondol_page *new);
/* Whether the page is cached. */
bool cache_has_page(struct ondol_address_space *mapping, uint64_t index);
void cache_mark_dirty(struct ondol_page *page);
/* Write dirty pages of [first, end) back; the first error. */
ONDOL_MUST_CHECK int cache_writeback(struct ondol_address_space *mapping, uint64_t first,
				     uint64_t end);
/* Make [first, end) of shmem read as zero: drop pages, clear those that others map. */
void cache_punch_hole(struct ondol_address_space *mapping, uint64_t first, uint64_t end);
/* Nobody uses the mapping any more: drop every page, dirty or not. */
void cache_drop_all(struct ondol_address_space *mapping);
/* What the hand took. */
struct reclaimed {
	uint64_t unmapped; /* clean pages of files: the caller drops them */
	uint64_t swapped;  /* entries that name a slot now */
	uint64_t freed;    /* frames of private memory */
};
/* reclaim.c: take about so many mapped pages, if the machine's owner allows it. */
struct reclaimed reclaim_mapped(struct ondol_machine *m, uint64_t nr_pages);
/* The same in [start, end) of vma now, be it in use or not: MADV_PAGEOUT. */
void reclaim_range(struct ondol_mm_struct *mm, const struct vma *vma, uint64_t start,
		   uint64_t end);
/* The shrinker: ondol_shrinker_t. */
uint64_t cache_shrink(struct ondol_machine *m, void *ctx, uint64_t nr_pages);
/* Visit the slots of swap that hold pages of shmem, when nothing runs; nonzero stops. */
int cache_for_each_swapped(struct ondol_address_space *mapping,
			   int (*visit)(void *ctx, uint64_t number), void *ctx);
/* Visit the pages in order under the mapping's lock; nonzero stops. */
int cache_for_each(struct ondol_address_space *mapping,
		   int (*visit)(void *ctx, uint64_t index, struct ondol_page *page), void *ctx);

#endif /* ONDOL_VIRT_VIRT_H */

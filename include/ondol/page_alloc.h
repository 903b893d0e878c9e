/* SPDX-License-Identifier: MIT */
/*
 * Page frames: blocks of 2^order contiguous frames from the buddy allocator.
 * Any thread may call these; they lock what they touch.
 */
#ifndef ONDOL_PAGE_ALLOC_H
#define ONDOL_PAGE_ALLOC_H

#include <ondol/machine.h>
#include <ondol/types.h>

ONDOL_BEGIN_DECLS

/* Where from (zone modifiers), what for, and how hard to try.  Linux's names. */
#define ONDOL_GFP_DMA ((ondol_gfp_t)0x0001)      /* below 16 MiB */
#define ONDOL_GFP_DMA32 ((ondol_gfp_t)0x0002)    /* below 4 GiB */
#define ONDOL_GFP_HIGHMEM ((ondol_gfp_t)0x0004)  /* HIGHMEM frames are welcome */
#define ONDOL_GFP_MOVABLE ((ondol_gfp_t)0x0008)  /* contents can be moved: user pages */
#define ONDOL_GFP_RECLAIMABLE ((ondol_gfp_t)0x0010) /* slab that a shrinker can empty */
#define ONDOL_GFP_ZERO ((ondol_gfp_t)0x0020)     /* clear the frames */
#define ONDOL_GFP_COMP ((ondol_gfp_t)0x0040)     /* compound page */
#define ONDOL_GFP_THISNODE ((ondol_gfp_t)0x0080) /* no other node */
#define ONDOL_GFP_RECLAIM ((ondol_gfp_t)0x0100)  /* may reclaim, so may take long */
#define ONDOL_GFP_HIGH ((ondol_gfp_t)0x0200)     /* may use half of the reserve */
#define ONDOL_GFP_NOWARN ((ondol_gfp_t)0x0400)   /* a refusal is expected */
#define ONDOL_GFP_MEMALLOC ((ondol_gfp_t)0x0800) /* past the watermarks: will free more */

/*
 * Never refused, with RECLAIM or without: past the watermarks, and for as long as it takes while
 * another CPU might free something.  When nobody can, the machine panics, "NOFAIL-1".
 */
#define ONDOL_GFP_NOFAIL ((ondol_gfp_t)0x1000)

/* With RECLAIM: memory may be compacted for it, but nothing is reclaimed. */
#define ONDOL_GFP_NORETRY ((ondol_gfp_t)0x2000)

#define ONDOL_GFP_ATOMIC (ONDOL_GFP_HIGH)
#define ONDOL_GFP_NOWAIT ((ondol_gfp_t)0)
#define ONDOL_GFP_KERNEL (ONDOL_GFP_RECLAIM)
#define ONDOL_GFP_USER (ONDOL_GFP_RECLAIM)
#define ONDOL_GFP_HIGHUSER (ONDOL_GFP_RECLAIM | ONDOL_GFP_HIGHMEM)
#define ONDOL_GFP_HIGHUSER_MOVABLE (ONDOL_GFP_HIGHUSER | ONDOL_GFP_MOVABLE)

#define ONDOL_NODE_ANY (-1) /* the node of the calling CPU, then by distance */

/* What a frame is used for, for the reports (frames by use). */
enum ondol_page_use {
	ONDOL_PAGE_FREE,
	ONDOL_PAGE_RESERVED,   /* Ondol itself: page array, holes, boot allocations */
	ONDOL_PAGE_KERNEL,     /* allocated, nothing more known */
	ONDOL_PAGE_SLAB,
	ONDOL_PAGE_PGTABLE,
	ONDOL_PAGE_ANON,       /* anonymous and copied-on-write data */
	ONDOL_PAGE_CACHE,      /* page cache */
	ONDOL_NR_PAGE_USES,
};
const char *ondol_page_use_name(enum ondol_page_use use);

/* NULL when refused: ondol_last_refusal() says why. */
struct ondol_page *ondol_alloc_pages(struct ondol_machine *m, ondol_gfp_t gfp, unsigned order);
struct ondol_page *ondol_alloc_pages_node(struct ondol_machine *m, int node, ondol_gfp_t gfp,
					  unsigned order);
/*
 * Give back a block as it was taken.  A double free, a wrong order or a frame that is
 * not this machine's is caught: panic, invariant "BUDDY-...".
 */
void ondol_free_pages(struct ondol_machine *m, struct ondol_page *page, unsigned order);
/* Make 2^order single frames of one block, each with its own reference. */
void ondol_split_page(struct ondol_machine *m, struct ondol_page *page, unsigned order);

/* Up to `nr` single frames into out[]; returns how many.  What is missing was refused. */
uint32_t ondol_alloc_pages_bulk(struct ondol_machine *m, ondol_gfp_t gfp, uint32_t nr,
				struct ondol_page **out);
/*
 * `nr_pages` frames side by side, whatever their number: single frames each with its reference.
 * NULL: refused, or more than the largest block.
 */
struct ondol_page *ondol_alloc_pages_exact(struct ondol_machine *m, ondol_gfp_t gfp,
					   uint32_t nr_pages);
void ondol_free_pages_exact(struct ondol_machine *m, struct ondol_page *page, uint32_t nr_pages);

/*
 * Just these frames: [start, start + nr_pages), of one zone, whatever the watermarks say.  They
 * become single frames, to be freed one by one or by ondol_free_pages_exact.  What of them is
 * private memory or page cache moves to other frames, near ones first; while there is any in the
 * range, no call on any mm, file or mapping of the machine may run.
 * -ONDOL_EINVAL: not frames of one zone; -ONDOL_EBUSY: *out_busy, if not NULL, is in use and
 * cannot be moved; -ONDOL_ENOMEM: no frames to move to.
 */
ONDOL_MUST_CHECK int ondol_alloc_contig_range(struct ondol_machine *m, ondol_pfn_t start,
					      uint32_t nr_pages, ondol_pfn_t *out_busy);
/*
 * Compaction: private memory and page cache move from the low end of a zone to free frames at its
 * high end, so that what is free becomes large blocks again.  Pages of locked regions, and what
 * the mmu's `busy` keeps, stay.  Returns how many frames it moved.  While it runs no call on any
 * mm, file or mapping of the machine may run.
 */
uint64_t ondol_compact_zone(struct ondol_machine *m, uint32_t node, enum ondol_zone_type type);
uint64_t ondol_compact_node(struct ondol_machine *m, uint32_t node);
struct ondol_compact_stats { /* Linux's compact_* of vmstat */
	uint64_t stall, success, fail; /* requests that waited for it, and what came of it */
	uint64_t migrate_scanned, free_scanned; /* frames looked at */
	uint64_t isolated;             /* frames to be moved, and to be moved into */
};

/*
 * Take a bank away, and bring it back, or one that was described as ONDOL_MEM_OFFLINE.  Frames
 * that are offline are present, reserved and not managed; watermarks and reserves follow.
 * Offlining fails as ondol_alloc_contig_range does; onlining with -ONDOL_EINVAL unless all of the
 * frames are offline and of one zone.  One caller at a time.
 */
ONDOL_MUST_CHECK int ondol_offline_pages(struct ondol_machine *m, ondol_pfn_t start,
					 uint32_t nr_pages, ondol_pfn_t *out_busy);
ONDOL_MUST_CHECK int ondol_online_pages(struct ondol_machine *m, ondol_pfn_t start,
					uint32_t nr_pages);
/*
 * A balloon in a node: Ondol takes frames out of circulation, or lets them go, until it holds
 * `nr_pages` of them, as far as they can be had above the watermarks.  Returns how many it
 * holds.  They are of use KERNEL and go with the machine.  One caller at a time.
 */
uint64_t ondol_balloon_set(struct ondol_machine *m, uint32_t node, uint64_t nr_pages);

/* References: alloc gives one; the frame is freed when the last is put (order 0 only). */
void ondol_get_page(struct ondol_machine *m, struct ondol_page *page);
void ondol_put_page(struct ondol_machine *m, struct ondol_page *page);
uint32_t ondol_page_count(const struct ondol_page *page);

ondol_pfn_t ondol_page_to_pfn(const struct ondol_machine *m, const struct ondol_page *page);
/* NULL for a frame the machine does not have.  With deferred_init: writes its record first. */
struct ondol_page *ondol_pfn_to_page(const struct ondol_machine *m, ondol_pfn_t pfn);
/*
 * The frame's bytes; NULL for one above port.direct_map_bytes that nobody has mapped.  What is a
 * single allocation there is one piece of memory only below that.
 */
void *ondol_page_address(const struct ondol_machine *m, const struct ondol_page *page);
/*
 * A frame's bytes until ondol_kunmap, also of one above port.direct_map_bytes; those may be mapped
 * as long as there are slots, by several callers and across a wait.  NULL: every slot is in use.
 * [atomic]
 */
void *ondol_kmap(struct ondol_machine *m, struct ondol_page *page);
void ondol_kunmap(struct ondol_machine *m, struct ondol_page *page);

void ondol_page_set_use(struct ondol_machine *m, struct ondol_page *page, enum ondol_page_use use);
enum ondol_page_use ondol_page_use(const struct ondol_page *page);

/* Merge and hand back everything that per-CPU lists and lazy policies hold. */
void ondol_drain_all_pages(struct ondol_machine *m);

/* Why the latest allocation of this machine was refused; nr_zones 0 and no reason: none was. */
struct ondol_refusal_zone { /* in pages */
	const char *name;
	uint16_t node;
	uint64_t pages_free, watermark, lowmem_reserve; /* free; what must stay free, and why */
	uint64_t pages_managed, pages_listed;           /* all; on per-CPU lists, drained before */
	int32_t largest_order;     /* largest free block, -1: none */
	uint32_t fragmentation_permille; /* free memory in blocks too small: 0 .. 1000 */
	/* Linux's: -1000, a block was there; 0, too little memory; to 1000, all in pieces. */
	int32_t fragmentation_index;
};
struct ondol_refusal {
	ondol_gfp_t gfp;
	uint32_t order;
	int node;
	const char *reason; /* one sentence */
	uint32_t nr_zones;  /* zones looked at, at most 16 are told */
	struct ondol_refusal_zone zone[16];
};
void ondol_last_refusal(const struct ondol_machine *m, struct ondol_refusal *out_refusal);
/*
 * The same as lines of text, cut to `size` bytes with its end.  Returns the length that the
 * whole text has; 300 bytes a zone are enough.
 */
size_t ondol_refusal_text(const struct ondol_refusal *refusal, char *text, size_t size);

/*
 * The page allocator asks these, in turn, to give frames back when it runs short
 * (the upward call of core/base/hooks.h).  Returns frames freed.  Called with no lock held.
 */
typedef uint64_t (*ondol_shrinker_t)(struct ondol_machine *m, void *ctx, uint64_t nr_pages);
ONDOL_MUST_CHECK int ondol_register_shrinker(struct ondol_machine *m, ondol_shrinker_t shrink,
					     void *ctx);
/* While no allocation of the machine runs.  -ONDOL_ENOENT: it was not registered. */
int ondol_unregister_shrinker(struct ondol_machine *m, ondol_shrinker_t shrink, void *ctx);

ONDOL_END_DECLS
#endif /* ONDOL_PAGE_ALLOC_H */

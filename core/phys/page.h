/* SPDX-License-Identifier: MIT */
/*
 * The page record: one per frame, 32 bytes (Linux: 64), in one array indexed by
 * pfn - machine.first_pfn.  Links are 32-bit frame numbers relative to first_pfn, so a list
 * costs 8 bytes, not 16; ONDOL_PAGE_NIL ends one.
 *
 * Who may write what: (o) the one owner of the frame, (z) under the zone lock,
 * (a) atomically.
 */
#ifndef ONDOL_PHYS_PAGE_H
#define ONDOL_PHYS_PAGE_H

#include <ondol/page_alloc.h>

#include "base/assert.h"

#define ONDOL_PAGE_NIL UINT32_MAX

/* page.flags: use, zone, node, order and migrate type are fields, the rest are bits. */
#define ONDOL_PG_USE_SHIFT 0 /* enum ondol_page_use */
#define ONDOL_PG_USE_MASK 0x7u
#define ONDOL_PG_ZONE_SHIFT 3 /* enum ondol_zone_type */
#define ONDOL_PG_ZONE_MASK 0x7u
#define ONDOL_PG_NODE_SHIFT 6
#define ONDOL_PG_NODE_MASK 0x3fu
#define ONDOL_PG_BUDDY (1u << 12)  /* head of a free block on a free_area list */
#define ONDOL_PG_PCP (1u << 13)    /* on a per-CPU list */
#define ONDOL_PG_MOVING (1u << 14) /* (a) in use, and data.next will take its place: migrate.c */
#define ONDOL_PG_TAIL (1u << 15)   /* other frames of a slab or compound block */
#define ONDOL_PG_DIRTY (1u << 16)  /* page cache: newer than the file */
#define ONDOL_PG_SWAPCACHE (1u << 17) /* private memory whose contents are in slot data.index */
#define ONDOL_PG_KSM (1u << 18) /* (a) private memory that equal pages share: data.ksm */
#define ONDOL_PG_ZEROED (1u << 19) /* all zeroes when it left the buddy; until it is freed */
#define ONDOL_PG_ORDER_SHIFT 20 /* of the free or allocated block that this frame heads */
#define ONDOL_PG_ORDER_MASK 0x1fu
#define ONDOL_PG_TYPE_SHIFT 25 /* enum migrate_type it was allocated as */
#define ONDOL_PG_TYPE_MASK 0x3u
#define ONDOL_PG_HOLE (1u << 27) /* no memory here: only the array spans it */
#define ONDOL_PG_COMP (1u << 28) /* head of a block whose other frames are TAILs */
#define ONDOL_PG_OFFLINE (1u << 30) /* RESERVED because its bank is away */
#define ONDOL_PG_HELD (1u << 31) /* of use KERNEL, for the range that is being emptied: range.c */
#define ONDOL_PG_LOCAL (1u << 29) /* with BUDDY: not merged yet, and not in its pair's bit */

struct ondol_page {
	uint32_t flags;    /* (o) while allocated, (z) while free */
	uint32_t refcount; /* (a) 0: free */
	union {
		struct { /* free, in the buddy */
			uint32_t next, prev;
			uint8_t migrate_type; /* of the list it is on */
		} buddy;
		struct { /* free: beside the links */
			uint32_t links[3];
			const void *caller; /* return address of the call that freed it */
		} freed_by;
		struct { /* first frame of a slab */
			struct ondol_kmem_cache *cache;
			uint32_t next, prev; /* full, partial or free list of the cache's node */
			uint16_t nr_inuse, free_head;
			union {
				uint32_t colour; /* bytes before object 0 */
				uint32_t head; /* in a TAIL of any block: the first frame */
			};
		} slab;
		struct { /* second frame of a slab of few large objects; its `slab.head` stays */
			uint16_t state[8];
		} slab_states;
		struct { /* first frame of a zspage: virt/zsmalloc.c */
			uint32_t next, prev; /* zspages of the class with room */
			uint32_t more[3];    /* its other frames */
			uint16_t inuse, free; /* objects; the first free one */
		} zs;
		struct { /* anonymous memory and page cache */
			union {
				struct ondol_address_space *mapping; /* of page cache */
				struct ksm_node *ksm; /* anonymous, marked KSM */
				uintptr_t checksum;   /* else, 0: not known; virt/ksm.c */
			};
			uint32_t index;    /* page offset in the mapping */
			uint32_t mapcount; /* (a) PTEs that point here */
			uint32_t next, prev; /* the gather list while being unmapped; migrate.c's */
		} data;
	};
};
ONDOL_STATIC_ASSERT(sizeof(struct ondol_page) <= 32, "page record");
ONDOL_STATIC_ASSERT(offsetof(struct ondol_page, slab.head) >=
			    offsetof(struct ondol_page, slab_states) + 16, "states beside head");

/* Two stores, which is faster than one of 64 bits: what reads them next reads them apart. */
static inline void page_set_state(struct ondol_page *page, uint32_t flags, uint32_t refcount)
{
	__atomic_store_n(&page->flags, flags, __ATOMIC_RELAXED);
	__atomic_store_n(&page->refcount, refcount, __ATOMIC_RELAXED);
}

static inline enum ondol_page_use page_use(const struct ondol_page *page)
{
	return (enum ondol_page_use)((page->flags >> ONDOL_PG_USE_SHIFT) & ONDOL_PG_USE_MASK);
}

static inline unsigned page_zone_type(const struct ondol_page *page)
{
	return (page->flags >> ONDOL_PG_ZONE_SHIFT) & ONDOL_PG_ZONE_MASK;
}

static inline unsigned page_node(const struct ondol_page *page)
{
	return (page->flags >> ONDOL_PG_NODE_SHIFT) & ONDOL_PG_NODE_MASK;
}

static inline unsigned page_order(const struct ondol_page *page)
{
	return (page->flags >> ONDOL_PG_ORDER_SHIFT) & ONDOL_PG_ORDER_MASK;
}

/* Of a frame of a compound block: its first frame. */
static inline struct ondol_page *page_head(struct ondol_page *pages, struct ondol_page *page)
{
	return page->flags & ONDOL_PG_TAIL ? &pages[page->slab.head] : page;
}

#endif /* ONDOL_PHYS_PAGE_H */

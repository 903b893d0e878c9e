/* SPDX-License-Identifier: MIT */
/*
 * Nodes, zones, free lists and per-CPU page lists: the state of core/phys.
 *
 * Frames are named by their index in the machine's page array (pfn - first_pfn, 32 bits).
 * first_pfn is a multiple of the largest block, so an index is aligned exactly when its pfn is.
 *
 * Field letters: (c) constant after init, (z) under zone.lock, (p) written by the own CPU
 * only, and under phys_cpu.lock where the machine has several, (a) atomic; "ra": anyone may
 * read it without the lock and sees a recent value.
 */
#ifndef ONDOL_PHYS_ZONE_H
#define ONDOL_PHYS_ZONE_H

#include "base/atomic.h"
#include "base/spinlock.h"
#include "phys/machine.h"
#include "phys/memblock.h"
#include "phys/psi.h"
#include "phys/zone_id.h"

#define PHYS_CACHE_LINE 64
#define PAGEBLOCK_ORDER_MAX 9 /* a 2 MiB page of x86-64 */

/* What can become of a block: unmovable ones are kept together, so that the rest can merge. */
enum migrate_type { MIGRATE_UNMOVABLE, MIGRATE_MOVABLE, MIGRATE_RECLAIMABLE, NR_MIGRATE_TYPES };

enum zone_watermark { WMARK_MIN, WMARK_LOW, WMARK_HIGH, NR_WMARKS };

struct free_area {
	uint32_t head[NR_MIGRATE_TYPES];  /* (z) first free block, linked by page.buddy */
	uint32_t local[NR_MIGRATE_TYPES]; /* (z) the same, of those not merged yet: delay2 */
	uint32_t nr_free;                 /* (z) blocks on all its lists, nr_local of them local */
	uint32_t nr_local;
	uint32_t nr_out; /* (z) blocks handed out and not back; kept for delay2 alone */
	uint32_t *map;   /* (z) D5; NULL: the profile or order has none */
};

/*
 * Free single frames of a pageblock that wait for the rest of it: shelf.c.  Shelves with as many
 * free frames, to sixteen, are on one list.
 */
#define SHELF_ORDER 9
#define SHELF_FRAMES (1u << SHELF_ORDER)
#define SHELF_WORDS (SHELF_FRAMES / 64)
#define SHELF_BUCKETS 32

struct shelf {
	uint32_t next, prev; /* (z) shelf numbers */
	uint16_t nr;         /* (z) frames on it */
	uint16_t type : 2;   /* (z) of its list */
	/* (z) Since it was empty: frames came back one by one; blocks above order 0 were put. */
	uint16_t fed : 1, blocks : 13;
};

struct shelves {
	struct shelf *shelf; /* (c) one per pageblock of the zone; NULL: this zone has none */
	uint64_t (*bits)[SHELF_WORDS]; /* (z) a bit per frame that is on the shelf */
	uint32_t first, nr;            /* (c) pageblock of the zone's start, their number */
	uint32_t frames;               /* (z, ra) on all shelves */
	uint32_t filled[NR_MIGRATE_TYPES]; /* (z) a bit per bucket with a list */
	uint32_t head[NR_MIGRATE_TYPES][SHELF_BUCKETS]; /* (z) */
};

/*
 * Orders with per-CPU lists: 0 to 4 (a fault-around window of 16 pages still hits them) and the
 * huge page's.  A list is a stack of frame indices, of order 0 at most 256, half as many of
 * each slot after that.
 */
#define PCP_SMALL_ORDERS 5
#define PCP_HUGE_ORDER 9
#define PCP_SLOTS (PCP_SMALL_ORDERS + 1)
#define pcp_slot_room(slot) (256u >> (slot))

/* What an order's list is to its CPU, but for the entries: one cache line. */
struct pcp_list {
	uint32_t *top;   /* (p, ra) entries are [base, top): the last was freed last */
	uint32_t *base;  /* (c) */
	uint32_t *end;   /* (p) where it is full; grows with traffic up to its cap */
	uint32_t *low;   /* (p, ra) where it ended when it was shortest since the peak was noted */
	uint32_t *noted; /* (p) what of that zone_pcp.low knows */
	uint32_t out_flags, free_flags; /* (c) record of a block handed out, of one on the list */
	unsigned long nr_allocs;        /* (p, ra) blocks taken off the array */
	uint16_t cap, order;            /* (c) 0: this order has no lists here */
} __attribute__((aligned(PHYS_CACHE_LINE)));

struct zone_pcp {
	uint32_t low; /* (p, ra) pages on all lists when they were lowest, about */
	/* (p, ra) blocks: that came from the zone less those that went; past the lists */
	unsigned long nr_fed, nr_allocs, nr_frees;
	unsigned long numa_miss, numa_foreign, numa_other; /* (p, ra) pages */
	struct pcp_list list[NR_MIGRATE_TYPES][PCP_SLOTS];
} __attribute__((aligned(PHYS_CACHE_LINE)));

struct ondol_zone {
	/* Constant after init. */
	struct ondol_machine *m;
	struct zone_pcp *pcp; /* one per CPU */
	uint32_t *pcp_frames; /* and the entries of its lists */
	uint32_t flags;       /* zone and node bits of its frames' page.flags */
	uint16_t type, node;
	uint32_t start, end;  /* indices spanned: [start, end) */
	uint32_t present;     /* frames of memory; managed: those the buddy was given */
	uint32_t managed;
	uint32_t watermark[NR_WMARKS];
	uint32_t lowmem_reserve[ONDOL_NR_ZONES]; /* by highest zone the request may use */
	uint8_t *pageblock_type; /* (z) enum migrate_type per pageblock; NULL: one type */
	/* (z) A bit per frame: was it ever taken off the lists?  NULL: memory was not zeroed. */
	uint32_t *taken;
	uint32_t next_section;   /* under section_lock: where to look for deferred frames */

	struct spinlock lock __attribute__((aligned(PHYS_CACHE_LINE)));
	uint32_t nr_free;  /* (z, ra) pages on the free lists, and those deferred */
	uint32_t deferred; /* (z, ra) free pages that have no records yet: section.c */
	unsigned long nr_merges, nr_splits; /* (z, ra) */
	uint32_t nr_local; /* (z) blocks of all orders that delay2 has not merged yet */
	struct free_area free_area[ONDOL_MAX_ORDERS];
	struct shelves shelves;
	/* compact.c: who fails is not asked at once again.  By one thread at a time. */
	uint32_t compact_considered, compact_defer_shift, compact_order_failed;
} __attribute__((aligned(PHYS_CACHE_LINE)));

struct ondol_node {
	uint16_t id;
	struct ondol_node *next; /* pgdat_list (B4) */
	uint64_t start_pfn;      /* node_start_pfn */
	uint64_t movable_pfn;    /* (c) its frames from there on are Movable; UINT64_MAX: none */
	uint32_t present, spanned;
	uint8_t distance[ONDOL_NODES_MAX]; /* (c) 10: local */
	uint8_t weight;                 /* (a) for WEIGHTED_INTERLEAVE */
	unsigned long interleave_hits;  /* (a) pages that were to come from here and did */
	uint32_t balloon, nr_balloon; /* first of the frames Ondol holds back, by data.next */
	uint16_t nr_zonelist;
	uint16_t *zonelist; /* zone ids: nodes by distance, in each from the highest zone down */
};

/* Its first line is all that an order-0 pair touches beside the page's record: pcp.c, 2. */
struct phys_cpu {
	struct cpu_lock lock; /* of its lists in all zones */
	uint32_t hot; /* (p, ra) the newest frame of hot_list, not on its array; or NIL */
	struct pcp_list *hot_list; /* (p, ra) an order-0 list: where the last such free went */
	unsigned long nr_hot;      /* (p, ra) times that hot was taken since it is hot_list's */
	uint32_t hot_flags;        /* (p) hot_list->out_flags; where there are no lists, none's */
	uint32_t hot_gfps;         /* (p) a bit for each entry of lists[] that is hot_list's */
	unsigned long nr_hot_noted; /* (p, ra) nr_hot when hot_list->low last knew of it */
	uint16_t node;             /* (c) */
	/* (p) by slot, but for order 0: where the last free went, a guess for the next */
	struct pcp_list *guess[PCP_SLOTS] __attribute__((aligned(PHYS_CACHE_LINE)));
	/* (ra) by the low five GFP bits: the lists, by slot, of the zone asked first; or NULL */
	struct pcp_list *lists[32] __attribute__((aligned(PHYS_CACHE_LINE)));
	long use[ONDOL_NR_PAGE_USES]; /* (p, ra) frames given a use, less those taken off it */
} __attribute__((aligned(PHYS_CACHE_LINE)));

ONDOL_STATIC_ASSERT(offsetof(struct phys_cpu, guess) == PHYS_CACHE_LINE, "one line");

/* Zone ids (zone_id.h) are the node and zone bits of page.flags, moved down. */
ONDOL_STATIC_ASSERT(ONDOL_PG_NODE_SHIFT == ONDOL_PG_ZONE_SHIFT + 3 &&
			    ONDOL_NODES_MAX <= ONDOL_PG_NODE_MASK + 1 &&
			    ONDOL_NR_ZONES <= ONDOL_PG_ZONE_MASK + 1, "zone ids in a record");

/* As struct ondol_compact_stats.  By one thread at a time, (ra). */
struct compact_counters {
	unsigned long stall, success, fail, migrate_scanned, free_scanned, isolated;
};

struct ondol_phys_state {
	struct ondol_zone *zones;       /* (c) by zone id */
	struct ondol_node *nodes;       /* (c) by node id */
	struct ondol_node *pgdat_list;  /* (c) nodes with memory, by id */
	struct phys_cpu *cpus;          /* (c) */
	uint8_t gfp_class[32];          /* (c) of the low five GFP bits: zone | type << 4 */
	uint8_t max_order, pageblock_order; /* (c) */
	uint8_t section_order;          /* (c) */
	bool smp, pcp_on;               /* (c) */
	bool deferred_init, memory_is_zeroed; /* (c) as described */
	uint32_t min_free_kib;                /* (c) as described; 0: computed */
	uint32_t present, managed;      /* (c) of all zones */
	uint32_t nr_zones;              /* (c) populated, in zone_ids[] */
	uint16_t *zone_ids;             /* (c) by node and address */
	struct memblock memblock;       /* (c) after init */
	struct spinlock section_lock;
	uint32_t *section_ready;        /* (a) a bit per section; NULL: all are */
	uint32_t used_peak;             /* (a) */
	uint32_t reclaiming;            /* (a) 1 + the CPU in the shrinkers; 0: none */
	uint32_t nr_refused;            /* (a) */
	struct psi psi;
	struct compact_counters compact;
	struct spinlock refusal_lock;
	struct ondol_refusal refusal;   /* under refusal_lock */
};

static inline unsigned page_zone_id(const struct ondol_page *page)
{
	return (page->flags >> ONDOL_PG_ZONE_SHIFT) & ((1u << ZONE_ID_BITS) - 1);
}

static inline struct ondol_zone *page_zone(const struct ondol_machine *m,
					   const struct ondol_page *page)
{
	return &m->phys->zones[page_zone_id(page)];
}

static inline uint32_t page_index(const struct ondol_machine *m, const struct ondol_page *page)
{
	return (uint32_t)(page - m->pages);
}

static inline void *page_host(const struct ondol_machine *m, const struct ondol_page *page)
{
	return machine_pfn_host(m, machine_page_pfn(m, page));
}

/* The slot of an order's lists; PCP_SLOTS: it has none. */
static inline unsigned pcp_slot(unsigned order)
{
	if (ondol_likely(order < PCP_SMALL_ORDERS))
		return order;
	return order == PCP_HUGE_ORDER ? PCP_SMALL_ORDERS : PCP_SLOTS;
}

static inline unsigned pcp_slot_order(unsigned slot)
{
	return slot < PCP_SMALL_ORDERS ? slot : PCP_HUGE_ORDER;
}

static inline uintptr_t zone_lock(struct ondol_zone *zone)
{
	return lock_irqsave(zone->m->port, &zone->lock, zone->m->phys->smp);
}

static inline void zone_unlock(struct ondol_zone *zone, uintptr_t saved)
{
	unlock_irqrestore(zone->m->port, &zone->lock, zone->m->phys->smp, saved);
}

#define zone_for_each(phys, zone, i)                                                          \
	for (uint32_t i = 0; i < (phys)->nr_zones &&                                          \
	     ((zone) = &(phys)->zones[(phys)->zone_ids[i]]); i++)

/* A flag of a description that may have been written before there was that flag. */
#define DESC_VALUE(desc, field)                                                               \
	((desc)->size > offsetof(struct ondol_machine_desc, field) ? (desc)->field : 0)
#define DESC_FLAG(desc, field) (DESC_VALUE(desc, field) != 0)

/* zone.c.  Storage and bring-up; phys_init is called once by ondol_machine_init. */
struct carve { /* hands out pieces of one buffer; with base 0 it only measures */
	uintptr_t base;
	size_t used;
};
void *carve_take(struct carve *carve, size_t size, size_t align);
int phys_check_desc(const struct ondol_machine_desc *desc);
size_t phys_storage(const struct ondol_machine_desc *desc);
/* The zone type of a frame of that range, and the first frame beyond that type. */
unsigned phys_type_of_pfn(const struct ondol_machine *m, const struct memblock_range *memory,
			  uint64_t pfn, uint64_t *out_end);
/* `m` has its port and profile.  On failure nothing needs undoing. */
int phys_init(struct ondol_machine *m, const struct ondol_machine_desc *desc,
	      struct carve *storage);

/*
 * page_free.c.  All CPUs' lists go back to their zones, and what can merge merges: afterwards a
 * block that is free in one piece is found, on a list or on a shelf.  No lock held.
 */
void phys_settle(struct ondol_machine *m);

/* zone.c.  Watermarks and reserves from what is managed now. */
void phys_set_limits(struct ondol_machine *m);
/* zone.c.  Which lists a CPU looks at first, when a zone got its first frames or lost its last. */
void phys_choose_lists(struct ondol_machine *m);
/* zone.c.  How the lists are reached: when a fail plan or limits came or went. */
void phys_choose_way(struct ondol_machine *m);

/* page.c.  Frames that are neither free nor reserved; exact when nothing runs. */
uint32_t phys_pages_used(struct ondol_machine *m);
long phys_use_count(struct ondol_machine *m, enum ondol_page_use use);

#endif /* ONDOL_PHYS_ZONE_H */

/* SPDX-License-Identifier: MIT */
/*
 * Caches of objects: the state of core/slab.  The theory is in slab.c.
 *
 * Field letters: (c) constant after creation, (k) under cache.lock, (u) under slab_cpu.lock
 * or, with one CPU, inside irq_save, (l) under slab_state.list_lock; "ra": read by anyone.
 */
#ifndef ONDOL_SLAB_SLAB_H
#define ONDOL_SLAB_SLAB_H

#include <ondol/slab.h>

#include "base/list.h"
#include "phys/zone.h"

/*
 * What an object's state says: free ones are chained by index; the others are with a CPU's
 * magazine or with the user, then with the bytes that were given beyond those asked for.
 */
#define SLAB_CHAIN_END 0x7fffu
#define SLAB_OBJECTS_MAX 0x7ffeu
#define SLAB_IN_USE 0x8000u /* | slack >> cache.slack_shift */
#define SLAB_SLACK_MAX 0x7ffeu
#define SLAB_IN_MAGAZINE 0xffffu

#define SLAB_LEAST_ORDER_MAX 3
#define SLAB_TAIL_STATES 8 /* page.slab_states */
#define SLAB_MAGAZINE_MAX 63 /* with its head 1 KiB */
#define SLAB_DEBUG_FLAGS                                                                      \
	(ONDOL_SLAB_CONSISTENCY_CHECKS | ONDOL_SLAB_RED_ZONE | ONDOL_SLAB_POISON |            \
	 ONDOL_SLAB_STORE_USER | ONDOL_SLAB_QUARANTINE | ONDOL_SLAB_FIREWALL)

enum slab_list { SLAB_FULL, SLAB_PARTIAL, SLAB_FREE, NR_SLAB_LISTS };

struct slab_entry {
	void *object;
	uint16_t *state;
};

/* Whole magazines wait in a depot under the cache's lock (`next`, `nr`); else a CPU has them. */
struct slab_magazine {
	struct slab_magazine *next; /* (k) */
	uint32_t nr;                /* (k) entries in use, while in the depot */
	struct slab_entry entry[SLAB_MAGAZINE_MAX];
};

struct slab_by {
	const void *caller; /* return address of the public call */
	uint64_t when_ns;   /* by the port's clock */
	uint32_t cpu;
};

struct slab_owner { /* of one object, where the cache keeps track */
	struct slab_by by[2]; /* who freed it last; who allocated it */
	uint32_t tag;
};

/*
 * How a CPU gets at its part of a cache: straight on, where it is alone and need mask nothing; by
 * asking this_cpu, where the port has sync_cpus and no interrupts; with all that a port may want
 * done around it; so with fail plans and debugging.
 */
enum slab_way { SLAB_ALONE, SLAB_CPUS, SLAB_HOOKED, SLAB_SLOW };

#define SLAB_HAND_FREE 1u /* objects are aligned, at least to a pointer's size */

struct slab_cpu {
	struct cpu_lock lock;
	/* (u, ra) an object: with HAND_FREE one that is free, without the last handed out; or 0 */
	uintptr_t hand;
	uint16_t *hand_state;      /* (u) its state, as long as hand_generation is the cache's */
	struct slab_entry *loaded;     /* (u) */
	uint8_t nr, spare_nr;          /* (u, ra) */
	uint8_t cap;                   /* (u, ra) of each; 0: no magazines */
	uint8_t alien_nr;              /* (u, ra) */
	uint32_t hand_generation;      /* (u) */
	long slack; /* (u, ra) bytes given beyond those asked for, less those taken back */
	struct slab_entry *spare;      /* (u) */
	struct slab_entry *alien; /* (u) freed here, of other nodes; NULL where there is one node */
} __attribute__((aligned(PHYS_CACHE_LINE)));
ONDOL_STATIC_ASSERT(sizeof(struct slab_cpu) == PHYS_CACHE_LINE, "one line a CPU");

struct slab_node {
	uint32_t head[NR_SLAB_LISTS]; /* (k) first frames, linked by page.slab */
	uint32_t nr[NR_SLAB_LISTS];   /* (k) slabs */
};

struct ondol_kmem_cache {
	/* What every allocation and free looks at: one cache line. */
	struct ondol_machine *m; /* (c) */
	struct slab_cpu *cpu;    /* (c) one per CPU, behind the nodes */
	uint32_t stride;         /* (c) bytes from object to object */
	uint32_t reciprocal;     /* (c) 2^32 / stride, rounded up */
	uint32_t states_offset;  /* (c) in the slab, if not in the tail */
	uint32_t flags;          /* (c) ONDOL_SLAB_*, debug flags chosen at run time too */
	uint16_t nr_objects;     /* (c) in a slab */
	uint16_t mag_cap;        /* (k, ra) entries of a magazine, grows; 0: no magazines */
	uint8_t order;           /* (c) of the block that a slab's frames are the first of */
	uint8_t slack_shift;     /* (c) */
	bool states_in_tail;     /* (c) in the second page record, not behind the objects */
	bool is_general;         /* (c) kmalloc's */
	bool smp;                /* (c) several CPUs work at once: locks are taken */
	uint8_t way;             /* (ra) enum slab_way; changes with the machine's fail_plan */
	uint32_t object_size;    /* (c) */
	uint32_t align;          /* (c) */
	uint32_t generation;     /* (a) grows when a slab goes back to the buddy; never 0 */
	void (*ctor)(void *object, void *arg); /* (c) */

	void *arg;
	uint32_t least_order;    /* (c) as asked for */
	uint32_t nr_frames;      /* (c) of a slab; what its block has beyond is given back */
	uint32_t colour_step, nr_colours; /* (c) */
	uint32_t colour_next;    /* (k) */
	ondol_gfp_t page_gfp;    /* (c) added to the caller's */
	const char *name;
	struct list_node link;   /* (l) in order of creation */
	struct spinlock lock;
	uint32_t free_slabs_max; /* (c) kept empty per node */
	unsigned long nr_inuse;  /* (k, ra) objects out of the slabs, those in magazines too */
	unsigned long nr_slabs;  /* (k, ra) */
	struct slab_magazine *full, *empty; /* (k) the depot; full: with at least an entry */
	uint32_t nr_full;        /* (k, ra) */
	uint32_t depot_objects;  /* (k, ra) in the full ones */
	uint32_t depot_max;      /* (c) what depot_objects may be */
	uint32_t nr_full_min;    /* (k) the least nr_full since the last tick */
	unsigned long nr_moves, ticked_moves; /* (k) objects or magazines out or in; at that tick */
	struct slab_magazine *resting; /* (k) the quarantine's ring: at rest_next the oldest */
	uint32_t nr_resting;     /* (k, ra) */
	uint32_t colour_base;    /* (c) bytes before object 0 whatever the colour */
	uint32_t guard_offset;   /* (c) in the slab: the page behind its object; 0: none */
	int32_t owner_offset;    /* (c) from an object to its slab_owner */
	uint16_t rest_next;      /* (k) */
	uint16_t mag_max;        /* (c) what mag_cap may grow to */
	uint16_t contended;      /* (k) times the lock was found taken, since mag_cap grew */
	struct slab_node node[]; /* one per node */
};

struct ondol_mempool {
	struct ondol_kmem_cache *cache; /* (c) */
	struct list_node link;          /* (l) */
	struct spinlock lock;           /* of what follows */
	uint32_t nr, min_nr;            /* in reserve; as many as there should be */
	uint32_t nr_out;                /* (a) with users */
	void **elements;                /* the reserve, min_nr long at least */
};

#define PERCPU_UNIT 16 /* bytes: what a bit of a chunk's maps stands for */
#define PERCPU_UNITS ((uint32_t)(ONDOL_PAGE_SIZE / PERCPU_UNIT))

struct percpu_chunk {
	struct list_node link; /* under percpu_lock, with the maps */
	uint32_t used[PERCPU_UNITS / 32]; /* units that are somebody's, or the head's */
	uint32_t last[PERCPU_UNITS / 32]; /* those that end an allocation */
	uint32_t nr_allocs;
	char *area[]; /* (c) one frame a CPU, near it */
};

#define KMALLOC_CLASSES_MAX 144
#define KMALLOC_TABLE_MAX 1024 /* bytes; larger classes are found by their logarithm */

struct ondol_slab_state {
	struct spinlock list_lock;
	struct list_node caches; /* (l) cache_cache first (E8) */
	struct ondol_kmem_cache *cache_cache, *magazine_cache; /* (c) */
	struct ondol_kmem_cache *kmalloc[KMALLOC_CLASSES_MAX];     /* (c) */
	struct ondol_kmem_cache *kmalloc_dma[KMALLOC_CLASSES_MAX]; /* (c) NULL: no such zone */
	struct list_node pools;       /* (l) struct ondol_mempool */
	struct spinlock percpu_lock;
	struct list_node chunks;      /* under percpu_lock: struct percpu_chunk */
	uint32_t nr_classes;
	uint8_t class_of[KMALLOC_TABLE_MAX / 8 + 1]; /* (c) by (size + 7) / 8 */
	char names[2][KMALLOC_CLASSES_MAX][20];
	char *debug; /* (c) "FZP,name*;..." or NULL */
};

/* cache.c */
size_t slab_storage(const struct ondol_machine_desc *desc);
int slab_init(struct ondol_machine *m, const struct ondol_machine_desc *desc,
	      struct carve *storage);
/* All caches and frames; the caller has seen that no object is out. */
void slab_fini(struct ondol_machine *m);
/* `args` are taken to be good. */
int slab_create(struct ondol_machine *m, const char *name,
		const struct ondol_kmem_cache_args *args, ondol_gfp_t page_gfp,
		uint32_t mag_cap, struct ondol_kmem_cache **out_cache);
uint32_t slab_magazine_size(const struct ondol_machine *m, size_t object_size);
unsigned long slab_active_objects(const struct ondol_kmem_cache *cache);
uint64_t slab_active_total(struct ondol_machine *m);
/* Frames of caches that a shrinker could empty. */
uint64_t slab_reclaimable_pages(struct ondol_machine *m);
void slab_report_leaks(struct ondol_machine *m);
uintptr_t slab_lock_caches(struct ondol_machine *m);
void slab_unlock_caches(struct ondol_machine *m, uintptr_t saved);

/* reap.c: the shrinker of all caches, ondol_shrinker_t. */
uint64_t slab_reap(struct ondol_machine *m, void *ctx, uint64_t nr_pages);

/* cache.c.  How all caches are reached: a fail plan came or went. */
void slab_choose_ways(struct ondol_machine *m);

/* slab.c */
/* One object straight from a slab; the object's state, or NULL. */
uint16_t *slab_alloc_object(struct ondol_kmem_cache *cache, unsigned node, ondol_gfp_t gfp,
			    void **out_object);
/* Up to `want` objects from slabs that are there; the rest is for growing. */
uint32_t slab_take_many(struct ondol_kmem_cache *cache, unsigned node, struct slab_entry *entries,
			uint32_t want);
void slab_unlink(struct ondol_kmem_cache *cache, struct ondol_page *head, enum slab_list list);
/* The block of an empty slab that is on no list goes back to the buddy. */
void slab_release(struct ondol_kmem_cache *cache, struct ondol_page *head);
/*
 * Up to `want` objects of a new slab, of the node as far as it has room, or of another node's.
 * ONDOL_GFP_THISNODE: of that node only.
 */
uint32_t slab_grow_and_take(struct ondol_kmem_cache *cache, unsigned node, ondol_gfp_t gfp,
			    struct slab_entry *entries, uint32_t want);
/* Returns the frames of slabs that went back to the buddy. */
uint64_t slab_put_many(struct ondol_kmem_cache *cache, struct slab_entry *entries, uint32_t nr);
/* The same of objects in use, which are checked: [SLAB-5, SLAB-6]; their slack, shifted. */
uint64_t slab_put_used(struct ondol_kmem_cache *cache, void *const *objects, uint32_t nr,
		       uint32_t *out_slack);

/* layout.c */
int slab_layout(struct ondol_kmem_cache *cache);

/* magazine.c */
/* `caller`, here and below: the call site, for the record of owners. */
void *slab_cache_alloc(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t slack,
		       const void *caller);
/* The same from the slabs of a node, past the magazines. */
void *slab_cache_alloc_node(struct ondol_kmem_cache *cache, int node, ondol_gfp_t gfp,
			    uint32_t slack, const void *caller);
/* Of whatever cache it is. */
void slab_free(struct ondol_machine *m, void *object, const void *caller);
/* Objects come back that had `slack` (shifted) bytes beyond those asked for. */
void slab_give_slack(struct ondol_kmem_cache *cache, uint32_t slack);
/* The calling CPU's part, locked; slab_unlock_cpu undoes it. */
struct slab_cpu *slab_lock_cpu(struct ondol_kmem_cache *cache, uintptr_t *out_irq);
void slab_unlock_cpu(struct ondol_kmem_cache *cache, struct slab_cpu *cpu, uintptr_t irq);

/* depot.c; all but the first and the last four are called with the CPU's part locked */
/* Those of the depot that nobody wanted since the last tick go to their slabs. */
void slab_trim_depot(struct ondol_kmem_cache *cache);
/* Something into `loaded`: the spare, a full magazine, or objects of slabs that there are. */
void slab_load(struct ondol_kmem_cache *cache, struct slab_cpu *cpu);
/* Room in `loaded`. */
void slab_unload(struct ondol_kmem_cache *cache, struct slab_cpu *cpu);
void slab_put_aliens(struct ondol_kmem_cache *cache, struct slab_cpu *cpu);
/* NULL: no memory; deleting NULL is fine. */
struct slab_magazine *slab_magazine_new(struct ondol_machine *m);
void slab_magazine_delete(struct ondol_machine *m, struct slab_magazine *magazine);
/* Fit out the calling CPU; nothing is locked.  It may be on another CPU afterwards. */
void slab_fetch_magazines(struct ondol_kmem_cache *cache);
/* All objects of all magazines back to their slabs; `forget`: the magazines too. */
void slab_drain_magazines(struct ondol_kmem_cache *cache, bool forget);

/* kmalloc.c */
int kmalloc_init(struct ondol_machine *m);

/* slab_debug.c */
uint32_t slab_debug_flags(const char *debug, const char *name);
uint32_t slab_debug_room(const struct ondol_kmem_cache *cache);
void slab_debug_init(const struct ondol_kmem_cache *cache, void *object);
void slab_debug_alloc(const struct ondol_kmem_cache *cache, void *object, uint32_t slack,
		      const void *caller);
void slab_debug_free(const struct ondol_kmem_cache *cache, struct ondol_page *head, void *object,
		     const void *caller);
/* Panic if not. */
void slab_debug_must_be_free(const struct ondol_kmem_cache *cache, const void *object);
void slab_debug_check_red_zone(const struct ondol_kmem_cache *cache, const void *object);
/* Of an object with a red zone: it now begins after `size` bytes; the bytes asked for. */
void slab_debug_resize(const struct ondol_kmem_cache *cache, void *object, uint32_t size);
uint32_t slab_debug_asked(const struct ondol_kmem_cache *cache, const void *object);
/* The label of what is broken in a free object, or in one in use, or NULL. */
const char *slab_debug_check_free(const struct ondol_kmem_cache *cache, const void *object);
const char *slab_debug_check_used(const struct ondol_kmem_cache *cache, const void *object);

/* owner.c */
void slab_owner_init(const struct ondol_kmem_cache *cache, void *object);
void slab_owner_note(const struct ondol_kmem_cache *cache, void *object, bool used,
		     const void *caller);
bool slab_owner_is(const struct ondol_kmem_cache *cache, const void *object, bool used);
/* To the log: of one object; of all that are in use, by call site. */
void slab_owner_tell(const struct ondol_kmem_cache *cache, const void *object);
void slab_owner_report(struct ondol_kmem_cache *cache);

/* quarantine.c */
void slab_quarantine(struct ondol_kmem_cache *cache, struct slab_entry *entry);
void slab_end_quarantine(struct ondol_kmem_cache *cache);

/*
 * The first frame of the slab that a host pointer is in, and how far into the slab it points.
 * NULL: not in a slab.
 */
static inline struct ondol_page *slab_locate(const struct ondol_machine *m, const void *object,
					     uint32_t *out_offset)
{
	uintptr_t at = (uintptr_t)object - (uintptr_t)m->frames;
	uintptr_t index = at >> ONDOL_PAGE_SHIFT;
	struct ondol_page *page;
	uint32_t flags, head;

	if (ondol_unlikely(index >= m->nr_pages))
		return NULL;
	page = &m->pages[index];
	flags = load_relaxed(&page->flags);
	if (ondol_unlikely((flags & ONDOL_PG_USE_MASK) != ONDOL_PAGE_SLAB))
		return NULL;
	*out_offset = (uint32_t)(at & ~ONDOL_PAGE_MASK);
	if (flags & ONDOL_PG_TAIL) {
		head = page->slab.head;
		*out_offset += ((uint32_t)index - head) << ONDOL_PAGE_SHIFT;
		page = &m->pages[head];
	}
	return page;
}

static inline struct ondol_page *slab_of(const struct ondol_machine *m, const void *object)
{
	uint32_t offset;

	return slab_locate(m, object, &offset);
}

/* `base`: where the slab begins. */
static inline uint16_t *slab_states_at(const struct ondol_kmem_cache *cache,
				       struct ondol_page *head, const void *base)
{
	if (cache->states_in_tail)
		return head[1].slab_states.state;
	return (uint16_t *)((uintptr_t)base + cache->states_offset);
}

static inline uint16_t *slab_states(const struct ondol_kmem_cache *cache,
				    struct ondol_page *head)
{
	return slab_states_at(cache, head, page_host(cache->m, head));
}

static inline void *slab_object(const struct ondol_kmem_cache *cache, struct ondol_page *head,
				uint32_t index)
{
	return (char *)page_host(cache->m, head) + head->slab.colour + index * cache->stride;
}

static inline enum slab_list slab_list_of(const struct ondol_kmem_cache *cache,
					  uint32_t nr_inuse)
{
	return nr_inuse == cache->nr_objects ? SLAB_FULL : nr_inuse ? SLAB_PARTIAL : SLAB_FREE;
}

/* Rounds down exact multiples exactly; anything else fails the check that follows. */
static inline uint32_t slab_index(const struct ondol_kmem_cache *cache, uint32_t offset)
{
	return (uint32_t)((uint64_t)offset * cache->reciprocal >> 32);
}

static inline unsigned slab_this_node(const struct ondol_machine *m)
{
	return m->phys->cpus[machine_this_cpu(m)].node;
}

static inline uintptr_t slab_lock(struct ondol_kmem_cache *cache)
{
	return lock_irqsave(cache->m->port, &cache->lock, cache->smp);
}

static inline void slab_unlock(struct ondol_kmem_cache *cache, uintptr_t saved)
{
	unlock_irqrestore(cache->m->port, &cache->lock, cache->smp, saved);
}

#endif /* ONDOL_SLAB_SLAB_H */

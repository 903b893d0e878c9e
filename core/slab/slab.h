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

#define SLAB_TAIL_STATES 8 /* page.slab_states */
#define SLAB_MAGAZINE_MAX 64
#define SLAB_DEBUG_FLAGS                                                                      \
	(ONDOL_SLAB_CONSISTENCY_CHECKS | ONDOL_SLAB_RED_ZONE | ONDOL_SLAB_POISON)

enum slab_list { SLAB_FULL, SLAB_PARTIAL, SLAB_FREE, NR_SLAB_LISTS };

struct slab_entry {
	void *object;
	uint16_t *state;
};

struct slab_cpu {
	struct spinlock lock;
	uint32_t nr, spare_nr;             /* (u, ra) */
	uint32_t cap;                      /* (u, ra) of each; 0: no magazines */
	struct slab_entry *loaded, *spare; /* (u) */
	long slack; /* (u, ra) bytes given beyond those asked for, less those taken back */
} __attribute__((aligned(PHYS_CACHE_LINE)));

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
	uint16_t mag_cap;        /* (c) entries of a magazine; 0: no magazines */
	uint8_t order;           /* (c) frames of a slab: 2^order */
	uint8_t slack_shift;     /* (c) */
	bool states_in_tail;     /* (c) in the second page record, not behind the objects */
	bool is_general;         /* (c) kmalloc's */
	bool smp;                /* (c) several CPUs work at once: locks are taken */
	uint32_t object_size;    /* (c) */
	uint32_t align;          /* (c) */
	void (*ctor)(void *object, void *arg); /* (c) */

	void *arg;
	uint32_t colour_step, nr_colours; /* (c) */
	uint32_t colour_next;    /* (k) */
	ondol_gfp_t page_gfp;    /* (c) added to the caller's */
	const char *name;
	struct list_node link;   /* (l) in order of creation */
	struct spinlock lock;
	uint32_t free_slabs_max; /* (c) kept empty per node */
	unsigned long nr_inuse;  /* (k, ra) objects out of the slabs, those in magazines too */
	unsigned long nr_slabs;  /* (k, ra) */
	struct slab_node node[]; /* one per node */
};

#define KMALLOC_CLASSES_MAX 96
#define KMALLOC_TABLE_MAX 1024 /* bytes; larger classes are found by their logarithm */

struct ondol_slab_state {
	struct spinlock list_lock;
	struct list_node caches; /* (l) cache_cache first (E8) */
	struct ondol_kmem_cache *cache_cache, *magazine_cache; /* (c) */
	struct ondol_kmem_cache *kmalloc[KMALLOC_CLASSES_MAX];     /* (c) */
	struct ondol_kmem_cache *kmalloc_dma[KMALLOC_CLASSES_MAX]; /* (c) NULL: no such zone */
	uint32_t nr_classes;
	uint8_t class_of[KMALLOC_TABLE_MAX / 8 + 1]; /* (c) by (size + 7) / 8 */
	char names[2][KMALLOC_CLASSES_MAX][20];
	char *debug; /* (c) "FZP,name*;..." or NULL */
};

/* slab.c */
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
/* One object straight from a slab; the object's state, or NULL. */
uint16_t *slab_alloc_object(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, void **out_object);
/* Up to `want` objects from slabs that are there; the rest is for growing. */
uint32_t slab_take_many(struct ondol_kmem_cache *cache, unsigned node, struct slab_entry *entries,
			uint32_t want);
/* Up to `want` objects of a new slab, or of another node's. */
uint32_t slab_grow_and_take(struct ondol_kmem_cache *cache, ondol_gfp_t gfp,
			    struct slab_entry *entries, uint32_t want);
/* Returns the frames of slabs that went back to the buddy. */
uint64_t slab_put_many(struct ondol_kmem_cache *cache, struct slab_entry *entries, uint32_t nr);
unsigned long slab_active_objects(const struct ondol_kmem_cache *cache);
uint64_t slab_active_total(struct ondol_machine *m);
/* Frames of caches that a shrinker could empty. */
uint64_t slab_reclaimable_pages(struct ondol_machine *m);
void slab_report_leaks(struct ondol_machine *m);

/* layout.c */
int slab_layout(struct ondol_kmem_cache *cache);

/* magazine.c */
void *slab_cache_alloc(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t slack);
/* Of whatever cache it is. */
void slab_free(struct ondol_machine *m, void *object);
/* Objects come back that had `slack` (shifted) bytes beyond those asked for. */
void slab_give_slack(struct ondol_kmem_cache *cache, uint32_t slack);
/* All objects of all magazines back to their slabs; `forget`: the magazines too. */
void slab_drain_magazines(struct ondol_kmem_cache *cache, bool forget);

/* kmalloc.c */
int kmalloc_init(struct ondol_machine *m);

/* slab_debug.c */
uint32_t slab_debug_flags(const char *debug, const char *name);
uint32_t slab_debug_room(const struct ondol_kmem_cache *cache);
void slab_debug_init(const struct ondol_kmem_cache *cache, void *object);
void slab_debug_alloc(const struct ondol_kmem_cache *cache, struct ondol_page *head, void *object);
void slab_debug_free(const struct ondol_kmem_cache *cache, struct ondol_page *head, void *object);
/* The label of what is broken in a free object, or in one in use, or NULL. */
const char *slab_debug_check_free(const struct ondol_kmem_cache *cache, const void *object);
const char *slab_debug_check_used(const struct ondol_kmem_cache *cache, const void *object);

/*
 * The first frame of the slab that a host pointer is in, and how far into the slab it points.
 * NULL: not in a slab.
 */
static inline struct ondol_page *slab_locate(const struct ondol_machine *m, const void *object,
					     uint32_t *out_offset)
{
	uint64_t at = (uintptr_t)object - (uintptr_t)m->port->direct_map;
	uint64_t index = (at >> ONDOL_PAGE_SHIFT) - m->first_pfn;
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

static inline uintptr_t slab_lock(struct ondol_kmem_cache *cache)
{
	return lock_irqsave(cache->m->port, &cache->lock, cache->smp);
}

static inline void slab_unlock(struct ondol_kmem_cache *cache, uintptr_t saved)
{
	unlock_irqrestore(cache->m->port, &cache->lock, cache->smp, saved);
}

#endif /* ONDOL_SLAB_SLAB_H */

/* SPDX-License-Identifier: MIT */
/* Caches of equal-sized objects carved out of page frames, and kmalloc on top. */
#ifndef ONDOL_SLAB_H
#define ONDOL_SLAB_H

#include <ondol/page_alloc.h>
#include <ondol/types.h>

ONDOL_BEGIN_DECLS

#define ONDOL_SLAB_HWCACHE_ALIGN 0x0001u
#define ONDOL_SLAB_RECLAIM_ACCOUNT 0x0002u
/* Checks, each for what it costs; desc.debug chooses them by letter and name (slab_debug.c). */
#define ONDOL_SLAB_CONSISTENCY_CHECKS 0x0100u /* F: free lists, at every call */
#define ONDOL_SLAB_RED_ZONE 0x0400u           /* Z: writes behind the bytes asked for */
#define ONDOL_SLAB_POISON 0x0800u             /* P: writes to free objects */
#define ONDOL_SLAB_STORE_USER 0x1000u         /* U: who allocated, who freed; leaks by call site */
#define ONDOL_SLAB_FIREWALL 0x2000u           /* W: ends at a page that traps (port.guard) */
#define ONDOL_SLAB_QUARANTINE 0x4000u         /* Q: the last 63 freed are not used again yet */

#define ONDOL_KMALLOC_MAX (UINT64_C(4) << 20) /* bytes; needs a profile with 11 orders (E2) */

struct ondol_kmem_cache_args {
	uint32_t size; /* sizeof(struct ondol_kmem_cache_args) */
	uint32_t flags;
	size_t object_size; /* bytes, 1 .. ONDOL_KMALLOC_MAX */
	size_t align;       /* bytes, a power of two; 0: natural */
	void (*ctor)(void *object, void *arg); /* once per object, when its slab is made */
	void *arg;
	/*
	 * Frames of a slab at least, 2^this, up to 3: neighbours in a longer stretch of memory, and
	 * less of it back while single objects stay.  As far as the machine has room for such.
	 */
	uint32_t least_order;
};

/* `name` must outlive the cache. */
ONDOL_MUST_CHECK int ondol_kmem_cache_create(struct ondol_machine *m, const char *name,
					     const struct ondol_kmem_cache_args *args,
					     struct ondol_kmem_cache **out_cache);
/* -ONDOL_EBUSY, and a report to the log (U: by call site), while objects live. */
ONDOL_MUST_CHECK int ondol_kmem_cache_destroy(struct ondol_kmem_cache *cache);
void *ondol_kmem_cache_alloc(struct ondol_kmem_cache *cache, ondol_gfp_t gfp);
/*
 * From a slab of the node; where that has no room from the nearest that has, and with
 * ONDOL_GFP_THISNODE not at all.  ONDOL_NODE_ANY: as ondol_kmem_cache_alloc, near the CPU.
 */
void *ondol_kmem_cache_alloc_node(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, int node);
void ondol_kmem_cache_free(struct ondol_kmem_cache *cache, void *object);
uint64_t ondol_kmem_cache_shrink(struct ondol_kmem_cache *cache); /* frames freed */
/*
 * For who has a clock: called about once a second, it gives back what no cache needed since the
 * call before, and a second later what idle ones hold.  Frames freed.  Any thread.
 */
uint64_t ondol_kmem_cache_tick(struct ondol_machine *m);
/*
 * Many at once, past the magazines: the slabs are locked once for 64 objects.  Up to `nr` objects
 * into out[]; what is missing was refused.  ONDOL_GFP_ZERO clears them.
 */
uint32_t ondol_kmem_cache_alloc_bulk(struct ondol_kmem_cache *cache, ondol_gfp_t gfp, uint32_t nr,
				     void **out);
/* `nr` objects of the cache, in any order.  Returns how many frames went to the buddy. */
uint64_t ondol_kmem_cache_free_bulk(struct ondol_kmem_cache *cache, uint32_t nr,
				    void *const *objects);

/* Best-fitting general cache; NULL: refused, or size beyond ONDOL_KMALLOC_MAX. */
void *ondol_kmalloc(struct ondol_machine *m, size_t size, ondol_gfp_t gfp);
void *ondol_kzalloc(struct ondol_machine *m, size_t size, ondol_gfp_t gfp);
void *ondol_kmalloc_node(struct ondol_machine *m, size_t size, ondol_gfp_t gfp, int node);
/* Cleared; NULL also where nr * size is more than there are numbers for. */
void *ondol_kcalloc(struct ondol_machine *m, size_t nr, size_t size, ondol_gfp_t gfp);
/*
 * In place while the object's class holds `size` bytes; else moved.  NULL: `object` is as it was,
 * or, with size 0, freed.  ONDOL_GFP_ZERO: new bytes are 0, if it was given to every call for
 * this object.
 */
void *ondol_krealloc(struct ondol_machine *m, const void *object, size_t size, ondol_gfp_t gfp);
void ondol_kfree(struct ondol_machine *m, const void *object); /* NULL is fine */
/* `size` as it was asked for; another one is a panic, "SLAB-12" (from 32 KiB up: nearly so). */
void ondol_kfree_sized(struct ondol_machine *m, const void *object, size_t size);
size_t ondol_ksize(struct ondol_machine *m, const void *object); /* bytes usable */

struct ondol_slab_info {
	const char *name;
	size_t object_size, buffer_size; /* asked for; with alignment and debug */
	uint64_t active_objects, nr_objects, active_slabs, nr_slabs;
	uint64_t slabs_full, slabs_partial, slabs_free;
	uint32_t objects_per_slab, pages_per_slab;
	uint64_t bytes_requested; /* general caches: what callers asked for (E1) */
	/* Its descriptor, an object of cache_cache (E7): the slab's first frame; which one. */
	ondol_pfn_t descriptor_slab;
	uint32_t descriptor_index;
};
/* In order of creation: cache_cache is first (E8).  A nonzero return stops the walk. */
int ondol_for_each_cache(struct ondol_machine *m,
			 int (*visit)(void *ctx, const struct ondol_slab_info *), void *ctx);

enum ondol_slab_kind { ONDOL_SLAB_FULL, ONDOL_SLAB_PARTIAL, ONDOL_SLAB_FREE };
struct ondol_slab_shape {
	ondol_pfn_t pfn; /* of its first frame */
	uint32_t nr_pages, nr_objects;
	enum ondol_slab_kind kind; /* the list that it is on (E4) */
	uint64_t used; /* a bit for each of the first 64 objects: with a user */
};
/*
 * The slabs of the oldest cache of that name: nodes in order, in each the full, the partial, the
 * free ones, as the lists have them.  While nothing else uses the machine.  A nonzero return stops
 * the walk and is returned; -ONDOL_ENOENT: there is no such cache.
 */
int ondol_for_each_slab(struct ondol_machine *m, const char *name,
			int (*visit)(void *ctx, const struct ondol_slab_shape *), void *ctx);

ONDOL_END_DECLS
#endif /* ONDOL_SLAB_H */

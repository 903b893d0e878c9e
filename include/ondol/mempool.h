/* SPDX-License-Identifier: MIT */
/* Built on caches: pools with a guaranteed reserve, and data that each CPU has of its own. */
#ifndef ONDOL_MEMPOOL_H
#define ONDOL_MEMPOOL_H

#include <ondol/slab.h>

ONDOL_BEGIN_DECLS

struct ondol_mempool;

#define ONDOL_MEMPOOL_MAX 65536u /* objects in reserve */

/*
 * A pool in front of `cache` that always has `min_nr` objects (1 .. ONDOL_MEMPOOL_MAX) more than
 * the cache can give: whoever must go on when memory has run out takes those, as long as others
 * of the pool's users free some.  -ONDOL_ENOMEM: no room for the reserve.
 */
ONDOL_MUST_CHECK int ondol_mempool_create(struct ondol_kmem_cache *cache, uint32_t min_nr,
					  struct ondol_mempool **out_pool);
/* -ONDOL_EBUSY, and a line in the log, while objects of it are out. */
ONDOL_MUST_CHECK int ondol_mempool_destroy(struct ondol_mempool *pool);
/* -ONDOL_ENOMEM: as before.  What is beyond a smaller reserve goes to the cache. */
ONDOL_MUST_CHECK int ondol_mempool_resize(struct ondol_mempool *pool, uint32_t min_nr);
/*
 * From the cache while that needs no reclaim, then from the reserve, then with whatever `gfp`
 * allows; NULL: all of that failed.  Any thread.
 */
void *ondol_mempool_alloc(struct ondol_mempool *pool, ondol_gfp_t gfp);
/* An object of this pool.  The reserve is filled first.  NULL is fine. */
void ondol_mempool_free(struct ondol_mempool *pool, void *object);
uint32_t ondol_mempool_reserve(const struct ondol_mempool *pool); /* objects in it now */

/*
 * `size` bytes (1 .. ONDOL_PERCPU_MAX) for each CPU, zeroed, on the CPU's node as far as that has
 * room, at a multiple of `align` (a power of two, 64 at most; 0: 8).  The pointer stands for all
 * of them: ondol_per_cpu_ptr tells where a CPU's is.  NULL: refused.
 */
#define ONDOL_PERCPU_MAX 2048u
void *ondol_alloc_percpu(struct ondol_machine *m, size_t size, size_t align, ondol_gfp_t gfp);
void ondol_free_percpu(struct ondol_machine *m, void *percpu); /* NULL is fine */
void *ondol_per_cpu_ptr(const struct ondol_machine *m, void *percpu, uint32_t cpu);
/* The calling CPU's: valid while it stays on it (port.irq_save). */
void *ondol_this_cpu_ptr(const struct ondol_machine *m, void *percpu);

ONDOL_END_DECLS
#endif /* ONDOL_MEMPOOL_H */

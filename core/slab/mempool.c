/* SPDX-License-Identifier: MIT */
/*
 * Pools with a reserve.  Reclaim itself needs memory: a page that is written out needs an object
 * for the write.  If that object cannot be had, nothing is freed any more.  A pool keeps a few
 * such objects aside, so that one write after another can always be made.
 *
 *	alloc   cache, without reclaim -> reserve -> cache, as the caller may
 *	free    reserve, while it is not full -> cache
 *
 * The cache comes first, so that the reserve is there when it is needed; frees fill it first.
 *
 *   [MEMPOOL-1] A reserve has at most min_nr objects, each in use for the cache.
 *   [MEMPOOL-2] What comes back to a pool is none of those in its reserve, and one that is out.
 *
 * Sources: Linux mm/mempool.c, whose alloc sleeps where this returns NULL.
 */
#include <ondol/mempool.h>

#include "base/format.h"
#include "slab/slab.h"

static uintptr_t lock_pool(struct ondol_mempool *pool)
{
	return lock_irqsave(pool->cache->m->port, &pool->lock, pool->cache->smp);
}

static void unlock_pool(struct ondol_mempool *pool, uintptr_t irq)
{
	unlock_irqrestore(pool->cache->m->port, &pool->lock, pool->cache->smp, irq);
}

/* Relaxed: only whether it is 0 is asked, by who knows that nobody else is at it. */
static void add_out(struct ondol_mempool *pool, int nr)
{
	(void)__atomic_add_fetch(&pool->nr_out, (uint32_t)nr, __ATOMIC_RELAXED);
}

/* Objects of the cache into `elements` up to `want`; what was there before is kept. */
static bool fill(struct ondol_kmem_cache *cache, void **elements, uint32_t nr, uint32_t want)
{
	uint32_t from = nr;

	for (; nr < want; nr++) {
		elements[nr] = ondol_kmem_cache_alloc(cache, ONDOL_GFP_KERNEL);
		if (!elements[nr])
			break;
	}
	if (nr == want)
		return true;
	while (nr > from)
		ondol_kmem_cache_free(cache, elements[--nr]);
	return false;
}

int ondol_mempool_create(struct ondol_kmem_cache *cache, uint32_t min_nr,
			 struct ondol_mempool **out_pool)
{
	struct ondol_machine *m = cache->m;
	struct ondol_mempool *pool;
	uintptr_t irq;

	if (!min_nr || min_nr > ONDOL_MEMPOOL_MAX)
		return -ONDOL_EINVAL;
	pool = ondol_kzalloc(m, sizeof *pool, ONDOL_GFP_KERNEL);
	if (!pool)
		return -ONDOL_ENOMEM;
	pool->elements = ondol_kmalloc(m, min_nr * sizeof(void *), ONDOL_GFP_KERNEL);
	if (!pool->elements || !fill(cache, pool->elements, 0, min_nr)) {
		ondol_kfree(m, pool->elements);
		ondol_kfree(m, pool);
		return -ONDOL_ENOMEM;
	}
	pool->cache = cache;
	pool->nr = pool->min_nr = min_nr;
	irq = slab_lock_caches(m);
	list_add_tail(&pool->link, &m->slab->pools);
	slab_unlock_caches(m, irq);
	*out_pool = pool;
	return 0;
}

int ondol_mempool_destroy(struct ondol_mempool *pool)
{
	struct ondol_machine *m = pool->cache->m;
	uintptr_t irq;

	if (load_relaxed(&pool->nr_out)) {
		log_printf(m->port, ONDOL_LOG_ERR, "leak: a pool of cache %s: %u objects in use",
			   pool->cache->name, pool->nr_out);
		return -ONDOL_EBUSY;
	}
	irq = slab_lock_caches(m);
	list_del(&pool->link);
	slab_unlock_caches(m, irq);
	while (pool->nr)
		ondol_kmem_cache_free(pool->cache, pool->elements[--pool->nr]);
	ondol_kfree(m, pool->elements);
	ondol_kfree(m, pool);
	return 0;
}

/* One of the reserve beyond `most`, or NULL. */
static void *take_reserved(struct ondol_mempool *pool, uint32_t most)
{
	uintptr_t irq = lock_pool(pool);
	void *object = pool->nr > most ? pool->elements[pool->nr - 1] : NULL;

	if (object)
		store_relaxed(&pool->nr, pool->nr - 1);
	unlock_pool(pool, irq);
	return object;
}

int ondol_mempool_resize(struct ondol_mempool *pool, uint32_t min_nr)
{
	struct ondol_machine *m = pool->cache->m;
	void **elements, **old, *object;
	uintptr_t irq;

	if (!min_nr || min_nr > ONDOL_MEMPOOL_MAX)
		return -ONDOL_EINVAL;
	elements = ondol_kmalloc(m, min_nr * sizeof(void *), ONDOL_GFP_KERNEL);
	if (!elements)
		return -ONDOL_ENOMEM;
	irq = lock_pool(pool); /* from here on frees fill no more than both sizes hold */
	if (min_nr < pool->min_nr)
		store_relaxed(&pool->min_nr, min_nr);
	unlock_pool(pool, irq);
	while ((object = take_reserved(pool, min_nr)))
		ondol_kmem_cache_free(pool->cache, object);
	irq = lock_pool(pool);
	old = pool->elements;
	__builtin_memcpy(elements, old, pool->nr * sizeof *old);
	pool->elements = elements;
	store_relaxed(&pool->min_nr, min_nr);
	unlock_pool(pool, irq);
	ondol_kfree(m, old);
	while (load_relaxed(&pool->nr) < min_nr) {
		object = ondol_kmem_cache_alloc(pool->cache, ONDOL_GFP_KERNEL);
		if (!object)
			return -ONDOL_ENOMEM; /* the larger reserve fills as objects come back */
		add_out(pool, 1);
		ondol_mempool_free(pool, object);
	}
	return 0;
}

void *ondol_mempool_alloc(struct ondol_mempool *pool, ondol_gfp_t gfp)
{
	const ondol_gfp_t hard = ONDOL_GFP_RECLAIM | ONDOL_GFP_NOFAIL | ONDOL_GFP_MEMALLOC;
	void *object = ondol_kmem_cache_alloc(pool->cache, (gfp & ~hard) | ONDOL_GFP_NOWARN);

	if (!object) {
		object = take_reserved(pool, 0);
		if (object && gfp & ONDOL_GFP_ZERO)
			__builtin_memset(object, 0, pool->cache->object_size);
	}
	if (!object && gfp & hard)
		object = ondol_kmem_cache_alloc(pool->cache, gfp);
	if (object)
		add_out(pool, 1);
	return object;
}

/* Linear, so only with F. */
static void check_not_reserved(const struct ondol_mempool *pool, const void *object)
{
	for (uint32_t i = 0; i < pool->nr; i++)
		ONDOL_VERIFY(pool->cache->m, pool->elements[i] != object, "MEMPOOL-2",
			     (uintptr_t)object, i);
}

void ondol_mempool_free(struct ondol_mempool *pool, void *object)
{
	uintptr_t irq;
	bool kept;

	if (!object)
		return;
	ONDOL_VERIFY(pool->cache->m, load_relaxed(&pool->nr_out), "MEMPOOL-2", (uintptr_t)object,
		     0);
	irq = lock_pool(pool);
	if (pool->cache->flags & ONDOL_SLAB_CONSISTENCY_CHECKS)
		check_not_reserved(pool, object);
	kept = pool->nr < pool->min_nr;
	if (kept) {
		pool->elements[pool->nr] = object;
		store_relaxed(&pool->nr, pool->nr + 1);
	}
	unlock_pool(pool, irq);
	add_out(pool, -1);
	if (!kept)
		ondol_kmem_cache_free(pool->cache, object);
}

uint32_t ondol_mempool_reserve(const struct ondol_mempool *pool)
{
	return load_relaxed(&pool->nr);
}

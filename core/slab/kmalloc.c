/* SPDX-License-Identifier: MIT */
/*
 * General caches (E2).
 *
 *	classic   32, 64, 96, 128, 192, 256, 512, ... 4 MiB: what Linux 2.6 had
 *	modern    8, 16, ... 64 by eights; then eight classes from each power of two to the
 *	          next, so that at most a ninth is lost
 *
 * Objects of the modern ones above 32 KiB lie in slabs of as many frames as it takes (layout.c).
 *
 * The modern ones belong to profiles with migrate types.  A class that no block of the profile
 * can hold does not exist: ten orders end at 2 MiB.  Requests for DMA memory have caches of
 * their own where the profile has that zone, above 32 KiB of powers of two alone: they are rare.
 */
#include "slab/slab.h"

#include "base/format.h"
#include "base/math.h"

#define FINE_FROM 64
#define DMA_FINE_TO 32768
#define FINE_STEPS 8 /* a power of two: classes for each doubling */

static uint32_t next_class(bool modern, uint32_t size)
{
	if (!modern)
		return size == 64 ? 96 : size == 96 ? 128 : size == 128 ? 192 :
		       size == 192 ? 256 : size * 2;
	if (size < FINE_FROM)
		return size + 8;
	return size + ((1u << log2_u64(size)) / FINE_STEPS);
}

/* The largest power of two in the size, as callers have come to expect, up to a page. */
static size_t natural_align(uint32_t size)
{
	uint32_t power = size & -size;

	return power < ONDOL_PAGE_SIZE ? power : ONDOL_PAGE_SIZE;
}

static int create_class(struct ondol_machine *m, uint32_t at, uint32_t size, bool dma)
{
	struct ondol_slab_state *slab = m->slab;
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = size,
					      .align = natural_align(size) };
	struct ondol_kmem_cache **cache = dma ? &slab->kmalloc_dma[at] : &slab->kmalloc[at];
	char *name = slab->names[dma][at];
	unsigned shift = size % 1024 ? 0 : size % (1024 * 1024) ? 10 : 20;
	int r;

	format_string(name, sizeof slab->names[0][0], "%skmalloc-%u%s", dma ? "dma-" : "",
		      size >> shift, shift == 20 ? "M" : shift ? "k" : "");
	r = slab_create(m, name, &args, dma ? ONDOL_GFP_DMA : 0, slab_magazine_size(m, size),
			cache);
	if (!r)
		(*cache)->is_general = true;
	return r;
}

/* Large ones that are no power of two share the cache of the next. */
static int create_dma_class(struct ondol_machine *m, uint32_t at, uint32_t size)
{
	struct ondol_kmem_cache **dma = m->slab->kmalloc_dma;
	int r;

	if (size > DMA_FINE_TO && size & (size - 1))
		return 0;
	r = create_class(m, at, size, true);
	for (uint32_t i = at; !r && i-- > 0 && !dma[i];)
		dma[i] = dma[at];
	return r;
}

int kmalloc_init(struct ondol_machine *m)
{
	struct ondol_slab_state *slab = m->slab;
	bool modern = m->profile->migrate_types;
	uint64_t largest = min_u64(ONDOL_KMALLOC_MAX, ONDOL_PAGE_SIZE << m->phys->max_order);
	uint32_t from = 1;

	for (uint32_t size = modern ? 8 : 32; size <= largest; size = next_class(modern, size)) {
		uint32_t at = slab->nr_classes;
		int r = create_class(m, at, size, false);

		if (!r && m->profile->zone_end[ONDOL_ZONE_DMA])
			r = create_dma_class(m, at, size);
		if (r)
			return r;
		for (; from <= size && from <= KMALLOC_TABLE_MAX; from++)
			slab->class_of[(from + 7) / 8] = (uint8_t)at;
		slab->nr_classes++;
	}
	return 0;
}

/* The class for a size beyond the table. */
static uint32_t find_class(const struct ondol_slab_state *slab, size_t size)
{
	uint32_t low = 0, high = slab->nr_classes;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (slab->kmalloc[middle]->object_size < size)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void *alloc_general(struct ondol_machine *m, size_t size, ondol_gfp_t gfp, int node,
			   const void *caller)
{
	struct ondol_slab_state *slab = m->slab;
	struct ondol_kmem_cache *cache;
	uint32_t at, slack;

	if (!size)
		size = 1;
	at = size <= KMALLOC_TABLE_MAX ? slab->class_of[(size + 7) / 8] : find_class(slab, size);
	if (ondol_unlikely(at >= slab->nr_classes)) {
		if (!(gfp & ONDOL_GFP_NOWARN))
			log_printf(m->port, ONDOL_LOG_WARN,
				   "kmalloc of %zu bytes refused: the largest general cache has %u",
				   size, slab->kmalloc[slab->nr_classes - 1]->object_size);
		return NULL;
	}
	cache = slab->kmalloc[at];
	if (ondol_unlikely(gfp & ONDOL_GFP_DMA && slab->kmalloc_dma[at]))
		cache = slab->kmalloc_dma[at];
	slack = cache->object_size - (uint32_t)size;
	return node == ONDOL_NODE_ANY ? slab_cache_alloc(cache, gfp, slack, caller) :
					slab_cache_alloc_node(cache, node, gfp, slack, caller);
}

void *ondol_kmalloc(struct ondol_machine *m, size_t size, ondol_gfp_t gfp)
{
	return alloc_general(m, size, gfp, ONDOL_NODE_ANY, ondol_caller());
}

void *ondol_kmalloc_node(struct ondol_machine *m, size_t size, ondol_gfp_t gfp, int node)
{
	return alloc_general(m, size, gfp, node, ondol_caller());
}

void *ondol_kzalloc(struct ondol_machine *m, size_t size, ondol_gfp_t gfp)
{
	return alloc_general(m, size, gfp | ONDOL_GFP_ZERO, ONDOL_NODE_ANY, ondol_caller());
}

void *ondol_kcalloc(struct ondol_machine *m, size_t nr, size_t size, ondol_gfp_t gfp)
{
	size_t bytes;

	if (__builtin_mul_overflow(nr, size, &bytes))
		return NULL;
	return alloc_general(m, bytes, gfp | ONDOL_GFP_ZERO, ONDOL_NODE_ANY, ondol_caller());
}

void ondol_kfree(struct ondol_machine *m, const void *object)
{
	if (object)
		slab_free(m, (void *)(uintptr_t)object, ondol_caller());
}

/* The state of an object in use [SLAB-5, SLAB-6]. */
static uint16_t *state_of(struct ondol_machine *m, const void *object,
			  struct ondol_kmem_cache **out_cache)
{
	uint32_t offset, index;
	struct ondol_page *head = slab_locate(m, object, &offset);
	struct ondol_kmem_cache *cache;
	uint16_t *state;

	ONDOL_VERIFY(m, head, "SLAB-6", (uintptr_t)object, 0);
	*out_cache = cache = head->slab.cache;
	offset -= head->slab.colour;
	index = slab_index(cache, offset);
	ONDOL_VERIFY(m, index < cache->nr_objects && index * cache->stride == offset, "SLAB-6",
		     (uintptr_t)object, offset);
	state = &slab_states(cache, head)[index];
	ONDOL_VERIFY(m, *state >= SLAB_IN_USE && *state != SLAB_IN_MAGAZINE, "SLAB-5",
		     (uintptr_t)object, *state);
	return state;
}

/* [SLAB-12] What is freed with a size was asked for with that size. */
void ondol_kfree_sized(struct ondol_machine *m, const void *object, size_t size)
{
	struct ondol_kmem_cache *cache;
	uint32_t slack;

	if (!object)
		return;
	slack = *state_of(m, object, &cache) & ~SLAB_IN_USE;
	size = size ? size : 1;
	if (cache->flags & ONDOL_SLAB_RED_ZONE) /* was it overrun?  Then say so. */
		slab_debug_check_red_zone(cache, object);
	ONDOL_VERIFY(m, size <= cache->object_size &&
		     (cache->object_size - size) >> cache->slack_shift == slack, "SLAB-12",
		     (uintptr_t)object, size);
	slab_free(m, (void *)(uintptr_t)object, ondol_caller());
}

/* Bytes that were red zone are the caller's now, or the other way round. */
static void resize_red_zone(struct ondol_kmem_cache *cache, void *object, uint32_t size,
			    ondol_gfp_t gfp)
{
	uint32_t before = slab_debug_asked(cache, object);

	slab_debug_resize(cache, object, size);
	if (gfp & ONDOL_GFP_ZERO && size > before)
		__builtin_memset((char *)object + before, 0, size - before);
}

/* It stays where it is: only the account of what was asked for changes. */
static void resize_in_place(struct ondol_kmem_cache *cache, uint16_t *state, void *object,
			    uint32_t size, ondol_gfp_t gfp)
{
	uint32_t old = *state & ~SLAB_IN_USE, slack = cache->object_size - size;

	if (cache->flags & ONDOL_SLAB_RED_ZONE)
		resize_red_zone(cache, object, size, gfp);
	else if (gfp & ONDOL_GFP_ZERO && slack >> cache->slack_shift > old)
		__builtin_memset((char *)object + size, 0, slack);
	slack >>= cache->slack_shift;
	*state = (uint16_t)(SLAB_IN_USE | slack);
	slab_give_slack(cache, old - slack);
}

void *ondol_krealloc(struct ondol_machine *m, const void *object, size_t size, ondol_gfp_t gfp)
{
	void *old = (void *)(uintptr_t)object, *new;
	struct ondol_kmem_cache *cache;
	uint16_t *state;
	size_t kept;

	if (!old)
		return alloc_general(m, size, gfp, ONDOL_NODE_ANY, ondol_caller());
	if (!size) {
		slab_free(m, old, ondol_caller());
		return NULL;
	}
	state = state_of(m, old, &cache);
	if (size <= cache->object_size) {
		resize_in_place(cache, state, old, (uint32_t)size, gfp);
		return old;
	}
	kept = cache->object_size - ((*state & ~SLAB_IN_USE) << cache->slack_shift);
	new = alloc_general(m, size, gfp, ONDOL_NODE_ANY, ondol_caller());
	if (!new)
		return NULL;
	__builtin_memcpy(new, old, kept);
	slab_free(m, old, ondol_caller());
	return new;
}

size_t ondol_ksize(struct ondol_machine *m, const void *object)
{
	struct ondol_page *head;

	if (!object)
		return 0;
	head = slab_of(m, object);
	ONDOL_VERIFY(m, head, "SLAB-6", (uintptr_t)object, 0);
	if (head->slab.cache->flags & ONDOL_SLAB_RED_ZONE) /* what is beyond must not be touched */
		return slab_debug_asked(head->slab.cache, object);
	return head->slab.cache->object_size;
}

/* SPDX-License-Identifier: MIT */
/*
 * General caches (E2).
 *
 *	classic   32, 64, 96, 128, 192, 256, 512, ... 4 MiB: what Linux 2.6 had
 *	modern    8, 16, ... 64 by eights; then eight classes from each power of two to the
 *	          next up to 32 KiB, so that at most a ninth is lost; then powers of two
 *
 * The modern ones belong to profiles with migrate types.  A class that no block of the profile
 * can hold does not exist: ten orders end at 2 MiB.  Requests for DMA memory have caches of
 * their own where the profile has that zone.
 */
#include "slab/slab.h"

#include "base/format.h"
#include "base/math.h"

#define FINE_FROM 64
#define FINE_TO 32768
#define FINE_STEPS 8 /* a power of two: classes for each doubling */

static uint32_t next_class(bool modern, uint32_t size)
{
	if (!modern)
		return size == 64 ? 96 : size == 96 ? 128 : size == 128 ? 192 :
		       size == 192 ? 256 : size * 2;
	if (size < FINE_FROM)
		return size + 8;
	if (size >= FINE_TO)
		return size * 2;
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
	unsigned shift = size < 1024 || size % 1024 ? 0 : size >> 20 ? 20 : 10;
	int r;

	format_string(name, sizeof slab->names[0][0], "%skmalloc-%u%s", dma ? "dma-" : "",
		      size >> shift, shift == 20 ? "M" : shift ? "k" : "");
	r = slab_create(m, name, &args, dma ? ONDOL_GFP_DMA : 0, slab_magazine_size(m, size),
			cache);
	if (!r)
		(*cache)->is_general = true;
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
			r = create_class(m, at, size, true);
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

void *ondol_kmalloc(struct ondol_machine *m, size_t size, ondol_gfp_t gfp)
{
	struct ondol_slab_state *slab = m->slab;
	struct ondol_kmem_cache *cache;
	uint32_t at;

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
	return slab_cache_alloc(cache, gfp, cache->object_size - (uint32_t)size);
}

void *ondol_kzalloc(struct ondol_machine *m, size_t size, ondol_gfp_t gfp)
{
	return ondol_kmalloc(m, size, gfp | ONDOL_GFP_ZERO);
}

void ondol_kfree(struct ondol_machine *m, const void *object)
{
	if (object)
		slab_free(m, (void *)(uintptr_t)object);
}

size_t ondol_ksize(struct ondol_machine *m, const void *object)
{
	struct ondol_page *head;

	if (!object)
		return 0;
	head = slab_of(m, object);
	ONDOL_VERIFY(m, head, "SLAB-6", (uintptr_t)object, 0);
	return head->slab.cache->object_size;
}

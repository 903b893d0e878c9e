/* SPDX-License-Identifier: MIT */
/*
 * How objects lie in a slab.
 *
 *	small   | colour | object 0 | object 1 | ... | rest | states: 2 bytes an object |
 *	large   | colour | object 0 | ... up to 8 | rest |      states in the 2nd page record
 *
 * Objects of a power of two fill a large slab wholly that way; of other large ones the slab is the
 * first frames of its block, as many as it takes.  The rest is what colouring
 * moves the objects about in, so that equal offsets of different slabs do not all meet in the
 * same cache sets (Bonwick 1994, 4.1).
 */
#include "base/math.h"
#include "slab/slab.h"

#define COLOUR_STEP 64 /* a cache line */
#define KEPT_FRAMES_MAX 32 /* of empty slabs in a node: what comes and goes should not churn */
#define ENOUGH_OBJECTS 8   /* in a slab: making one and taking it down has its price */
#define USUAL_ORDER 3  /* blocks beyond are hard to come by (Linux: PAGE_ALLOC_COSTLY_ORDER) */

struct fit {
	uint32_t nr_objects, rest;
	bool states_in_tail;
};

/*
 * What a slab of large objects leaves of its block goes back to the buddy, whole frames of it,
 * where that is more than a sixteenth: the modern profiles' way to classes that waste little.
 */
static void trim(struct ondol_kmem_cache *cache, struct fit *fit)
{
	uint32_t used = fit->nr_objects * cache->stride, frames;

	cache->nr_frames = 1u << cache->order;
	frames = (uint32_t)(align_up(used, ONDOL_PAGE_SIZE) >> ONDOL_PAGE_SHIFT);
	if (!cache->m->profile->migrate_types || !fit->states_in_tail || frames < 2 ||
	    (cache->nr_frames - frames) * 16 <= cache->nr_frames)
		return;
	cache->nr_frames = frames;
	fit->rest = frames * (uint32_t)ONDOL_PAGE_SIZE - used;
}

static struct fit fit_objects(uint32_t stride, unsigned order)
{
	uint32_t size = (uint32_t)ONDOL_PAGE_SIZE << order;
	struct fit fit = { .nr_objects = size / stride };

	if (order && fit.nr_objects <= SLAB_TAIL_STATES) {
		fit.states_in_tail = true;
		fit.rest = size - fit.nr_objects * stride;
		return fit;
	}
	fit.nr_objects = size / (stride + (uint32_t)sizeof(uint16_t));
	if (fit.nr_objects > SLAB_OBJECTS_MAX)
		fit.nr_objects = SLAB_OBJECTS_MAX;
	fit.rest = size - fit.nr_objects * (stride + (uint32_t)sizeof(uint16_t));
	return fit;
}

/* A small machine cannot spare large blocks: 512 slabs of the usual order fit at least. */
static unsigned usual_order(const struct ondol_machine *m, uint32_t stride)
{
	uint32_t blocks = m->phys->managed / 512;
	unsigned order = blocks ? log2_u64(blocks) : 0;
	unsigned most = stride > ONDOL_PAGE_SIZE ? USUAL_ORDER + 2 : USUAL_ORDER;

	order = order < most ? order : most;
	return order < m->phys->max_order ? order : m->phys->max_order;
}

/*
 * The smallest order of enough objects that wastes a 16th at most, or an 8th, or a 4th; else
 * any that holds one.
 */
static int choose_order(const struct ondol_machine *m, uint32_t stride, unsigned least)
{
	unsigned usual = usual_order(m, stride);

	least = least < usual ? least : usual;
	for (uint32_t fraction = 16; fraction >= 4; fraction /= 2) {
		for (unsigned order = least; order <= usual; order++) {
			struct fit fit = fit_objects(stride, order);
			bool enough = fit.nr_objects >= ENOUGH_OBJECTS || order == usual ||
				      order >= USUAL_ORDER;

			if (fit.nr_objects && enough &&
			    fit.rest <= ((uint32_t)ONDOL_PAGE_SIZE << order) / fraction)
				return (int)order;
		}
	}
	for (unsigned order = 0; order <= m->phys->max_order; order++)
		if (fit_objects(stride, order).nr_objects)
			return (int)order;
	return -1;
}

/*
 * Each object in a slab of its own, at the end of its pages: W.
 *
 *	| owner |   rest   | object || guard || as much as makes a block |
 *
 * What alignment leaves behind the object, less than its unit, is not guarded.
 */
static int lay_out_guarded(struct ondol_kmem_cache *cache, uint32_t stride)
{
	uint32_t room = cache->flags & ONDOL_SLAB_STORE_USER ? sizeof(struct slab_owner) : 0;
	uint64_t end = align_up((uint64_t)stride + room, ONDOL_PAGE_SIZE);
	unsigned order = 1;

	while (ONDOL_PAGE_SIZE << order < end + ONDOL_PAGE_SIZE)
		order++;
	if (order > cache->m->phys->max_order)
		return -ONDOL_EINVAL;
	cache->order = (uint8_t)order;
	cache->nr_frames = 1u << order;
	cache->nr_objects = 1;
	cache->states_in_tail = true;
	cache->guard_offset = (uint32_t)end;
	cache->colour_base = (uint32_t)end - stride;
	cache->owner_offset = -(int32_t)cache->colour_base;
	cache->nr_colours = 1;
	cache->free_slabs_max = 1;
	return 0;
}

/* What follows from stride and object size. */
static void set_arithmetic(struct ondol_kmem_cache *cache, uint32_t stride)
{
	cache->stride = stride;
	cache->reciprocal = (uint32_t)div_u64((UINT64_C(1) << 32) + stride - 1, stride);
	cache->slack_shift = 0;
	while (cache->object_size >> cache->slack_shift > SLAB_SLACK_MAX)
		cache->slack_shift++;
}

int slab_layout(struct ondol_kmem_cache *cache)
{
	bool guarded = cache->flags & ONDOL_SLAB_FIREWALL;
	uint32_t room = guarded ? 0 : slab_debug_room(cache);
	uint32_t unit = room ? sizeof(uint64_t) : sizeof(void *);
	uint64_t stride = align_up(align_up(cache->object_size, unit) + room,
				   cache->align > unit ? cache->align : unit);
	struct fit fit;
	uint32_t kept;
	int order;

	cache->guard_offset = cache->colour_base = 0;
	if (stride > ONDOL_KMALLOC_MAX)
		return -ONDOL_EINVAL;
	set_arithmetic(cache, (uint32_t)stride);
	if (guarded)
		return lay_out_guarded(cache, (uint32_t)stride);
	cache->owner_offset = (int32_t)(align_up(cache->object_size, unit) + room) -
			      (int32_t)sizeof(struct slab_owner);
	order = choose_order(cache->m, (uint32_t)stride, cache->least_order);
	if (order < 0)
		return -ONDOL_EINVAL;
	fit = fit_objects((uint32_t)stride, (unsigned)order);
	kept = cache->m->phys->managed / 8192;
	kept = (kept < KEPT_FRAMES_MAX ? kept : KEPT_FRAMES_MAX) >> order;
	cache->free_slabs_max = kept ? kept : 1;
	cache->order = (uint8_t)order;
	trim(cache, &fit);
	cache->nr_objects = (uint16_t)fit.nr_objects;
	cache->states_in_tail = fit.states_in_tail;
	cache->states_offset = ((uint32_t)ONDOL_PAGE_SIZE << order) -
			       fit.nr_objects * (uint32_t)sizeof(uint16_t);
	cache->colour_step = cache->align > COLOUR_STEP ? cache->align : COLOUR_STEP;
	cache->nr_colours = fit.rest / cache->colour_step + 1;
	return 0;
}

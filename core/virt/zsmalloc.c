/* SPDX-License-Identifier: MIT */
/*
 * Small objects in single frames, for when memory is short: then there are frames, one here, one
 * there, and hardly a block of several, which slabs of objects of this size want.
 *
 * A zspage is up to four frames that need not be neighbours, seen as one piece.  Objects of a class
 * lie in it side by side, and may begin in one frame and end in the next; the number of frames is
 * the one that leaves least at the end:
 *
 *	class of 1344      frame A          frame B
 *	                  |  0  |  1  |  2  |..|
 *	class of 2688     |  0     |  1   .|.   |  2    |     3 objects in 2 frames
 *
 * The first frame's record (page.h, `zs`) has the zspage's other frames, counts its objects and
 * begins the list of the free ones, which goes on in their first two bytes; those never lie across
 * a border, since sizes are multiples of ZS_STEP.  Zspages with room are on their class's list; an
 * empty one is given back at once.
 *
 * Linux has the same idea, and the name, in mm/zsmalloc.c.
 */
#include "virt/zsmalloc.h"

#include "base/math.h"

#define NO_OBJECT UINT16_MAX

static inline size_t class_size(const struct zs_pool *pool, const struct zs_class *class)
{
	return (size_t)(class - pool->class + 1) * ZS_STEP;
}

static inline struct zs_class *class_for(struct zs_pool *pool, size_t size)
{
	return &pool->class[(size - 1) / ZS_STEP];
}

void zs_init(struct zs_pool *pool, struct ondol_machine *m)
{
	*pool = (struct zs_pool){ .m = m };
	for (struct zs_class *class = pool->class; class < pool->class + ZS_CLASSES; class++) {
		uint32_t size = (uint32_t)class_size(pool, class), least = UINT32_MAX;

		class->partial = ONDOL_PAGE_NIL;
		for (uint32_t frames = 1; frames <= ZS_FRAMES; frames++) {
			uint32_t bytes = frames * (uint32_t)ONDOL_PAGE_SIZE, left = bytes % size;

			/* Compared as parts of the whole: left / frames. */
			if (least != UINT32_MAX && left * class->frames >= least * frames)
				continue;
			least = left;
			class->frames = (uint8_t)frames;
			class->objects = (uint16_t)(bytes / size);
		}
	}
}

/* ------------------------------------------------------------------ where things are */

/* Frame i of the zspage, i < class->frames. */
static unsigned char *frame_host(const struct zs_pool *pool, uint32_t first, size_t i)
{
	uint32_t index = i ? pool->m->pages[first].zs.more[i - 1] : first;

	return machine_pfn_host(pool->m, pool->m->first_pfn + index);
}

static unsigned char *object_host(const struct zs_pool *pool, struct zs_handle handle, size_t size,
				  size_t *out_here)
{
	size_t offset = handle.object * align_up(size, ZS_STEP);
	size_t in_frame = offset & (ONDOL_PAGE_SIZE - 1);

	*out_here = ONDOL_PAGE_SIZE - in_frame;
	return frame_host(pool, handle.frame, offset >> ONDOL_PAGE_SHIFT) + in_frame;
}

/* What of the object lies in the frame after that. */
static unsigned char *object_rest(const struct zs_pool *pool, struct zs_handle handle, size_t size)
{
	size_t offset = handle.object * align_up(size, ZS_STEP);

	return frame_host(pool, handle.frame, (offset >> ONDOL_PAGE_SHIFT) + 1);
}

/* ------------------------------------------------------------------ zspages */

static void list_add_zspage(struct zs_pool *pool, struct zs_class *class, uint32_t first)
{
	struct ondol_page *pages = pool->m->pages;

	pages[first].zs.prev = ONDOL_PAGE_NIL;
	pages[first].zs.next = class->partial;
	if (class->partial != ONDOL_PAGE_NIL)
		pages[class->partial].zs.prev = first;
	class->partial = first;
}

static void list_del_zspage(struct zs_pool *pool, struct zs_class *class, uint32_t first)
{
	struct ondol_page *pages = pool->m->pages, *page = &pages[first];

	if (page->zs.next != ONDOL_PAGE_NIL)
		pages[page->zs.next].zs.prev = page->zs.prev;
	if (page->zs.prev != ONDOL_PAGE_NIL)
		pages[page->zs.prev].zs.next = page->zs.next;
	else
		class->partial = page->zs.next;
}

static void free_frames(struct zs_pool *pool, uint32_t first, uint32_t frames)
{
	struct ondol_page *pages = pool->m->pages;

	for (uint32_t i = 1; i < frames; i++)
		ondol_free_pages(pool->m, &pages[pages[first].zs.more[i - 1]], 0);
	ondol_free_pages(pool->m, &pages[first], 0);
}

/* A zspage on the class's list, all of its objects free. */
static bool new_zspage(struct zs_pool *pool, struct zs_class *class)
{
	struct ondol_machine *m = pool->m;
	/* An object is reached where it lies, so not in frames that have no address. */
	const ondol_gfp_t gfp = (m->port->direct_map_bytes ? 0 : ONDOL_GFP_HIGHMEM) |
				ONDOL_GFP_MEMALLOC | ONDOL_GFP_NOWARN;
	struct zs_handle handle;
	size_t size = class_size(pool, class), here;

	for (uint32_t i = 0; i < class->frames; i++) {
		struct ondol_page *page = ondol_alloc_pages(m, gfp, 0);

		if (!page) {
			if (i)
				free_frames(pool, handle.frame, i);
			return false;
		}
		if (i)
			m->pages[handle.frame].zs.more[i - 1] = (uint32_t)(page - m->pages);
		else
			handle.frame = (uint32_t)(page - m->pages);
	}
	for (handle.object = 0; handle.object < class->objects; handle.object++)
		*(uint16_t *)object_host(pool, handle, size, &here) =
			handle.object + 1 < class->objects ? handle.object + 1 : NO_OBJECT;
	m->pages[handle.frame].zs.inuse = m->pages[handle.frame].zs.free = 0;
	pool->frames += class->frames;
	list_add_zspage(pool, class, handle.frame);
	return true;
}

/* ------------------------------------------------------------------ objects */

bool zs_put(struct zs_pool *pool, const void *from, size_t size, struct zs_handle *out_handle)
{
	struct zs_class *class = class_for(pool, size);
	struct zs_handle handle;
	struct ondol_page *page;
	unsigned char *to;
	size_t here;

	if (class->partial == ONDOL_PAGE_NIL && !new_zspage(pool, class))
		return false;
	handle.frame = class->partial;
	page = &pool->m->pages[handle.frame];
	handle.object = page->zs.free;
	to = object_host(pool, handle, size, &here);
	page->zs.free = *(const uint16_t *)to;
	if (++page->zs.inuse == class->objects)
		list_del_zspage(pool, class, handle.frame);
	here = here < size ? here : size;
	__builtin_memcpy(to, from, here);
	if (here < size)
		__builtin_memcpy(object_rest(pool, handle, size),
				 (const unsigned char *)from + here, size - here);
	*out_handle = handle;
	return true;
}

const void *zs_get(const struct zs_pool *pool, struct zs_handle handle, size_t size, void *buffer)
{
	size_t here;
	const unsigned char *at = object_host(pool, handle, size, &here);

	if (here >= size)
		return at;
	__builtin_memcpy(buffer, at, here);
	__builtin_memcpy((unsigned char *)buffer + here, object_rest(pool, handle, size),
			 size - here);
	return buffer;
}

void zs_free(struct zs_pool *pool, struct zs_handle handle, size_t size)
{
	struct zs_class *class = class_for(pool, size);
	struct ondol_page *page = &pool->m->pages[handle.frame];
	size_t here;

	*(uint16_t *)object_host(pool, handle, size, &here) = page->zs.free;
	page->zs.free = handle.object;
	if (page->zs.inuse-- == class->objects)
		list_add_zspage(pool, class, handle.frame);
	if (page->zs.inuse)
		return;
	list_del_zspage(pool, class, handle.frame);
	pool->frames -= class->frames;
	free_frames(pool, handle.frame, class->frames);
}

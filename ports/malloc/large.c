/* SPDX-License-Identifier: MIT */
/*
 * Large blocks: from above SMALL_MAX to LARGE_MAX, whole pages of the range.
 *
 * Sizes are rounded up to an eighth of a power of two, so that a block that grows by a little
 * need not move; it grows into the pages behind it where those are free, and gives its tail
 * back when it shrinks.  Pages that were never touched are known to be zeroes [MALLOC-1].
 */
#include <string.h>

#include "internal.h"

static size_t round_pages(size_t size)
{
	size_t pages = (size + PAGE_BYTES - 1) >> PAGE_SHIFT;
	size_t step = ((size_t)1 << (63 - __builtin_clzl(pages))) / 8;

	return step > 1 ? (pages + step - 1) & ~(step - 1) : pages;
}

static void *page_address(size_t page)
{
	return (void *)(heap.base + (page << PAGE_SHIFT));
}

static void zero_touched(size_t page, size_t nr_pages)
{
	for (size_t i = page; i < page + nr_pages; i++)
		if (heap.map[i])
			memset(page_address(i), 0, PAGE_BYTES);
}

static void *take_pages(size_t nr_pages, bool zeroed)
{
	const ondol_gfp_t gfp = ONDOL_GFP_NOWARN | ONDOL_GFP_MEMALLOC;
	struct ondol_page *frame;
	size_t page;

	lock_take(&heap.core_lock);
	frame = ondol_alloc_pages_exact(heap.m, gfp, (uint32_t)nr_pages);
	lock_drop(&heap.core_lock);
	if (!frame)
		return NULL;
	page = ondol_page_to_pfn(heap.m, frame).value;
	if (zeroed) /* the pages are ours; their bytes change under no lock but with us */
		zero_touched(page, nr_pages);
	lock_take(&heap.core_lock);
	heap_mark(page, nr_pages, MAP_TAIL);
	heap.map[page] = MAP_LARGE;
	heap.pages_of[page] = (uint32_t)nr_pages;
	heap.large_pages += nr_pages;
	heap.nr_large++;
	lock_drop(&heap.core_lock);
	return page_address(page);
}

/* A block of 2^k pages begins at a multiple of its size, so alignment needs only size. */
void *large_alloc(size_t size, size_t align, bool zeroed)
{
	size_t nr_pages;
	void *p;

	if (!heap_init() || size > LARGE_MAX || align > LARGE_MAX)
		return NULL;
	thread_follow();
	nr_pages = round_pages(size > align ? size : align);
	p = take_pages(nr_pages, zeroed);
	if (unlikely(!p) && purge_all())
		p = take_pages(nr_pages, zeroed);
	return p;
}

static void give_pages(size_t page, size_t nr_pages)
{
	struct ondol_page *frame = ondol_pfn_to_page(heap.m, ondol_pfn(page));

	ondol_free_pages_exact(heap.m, frame, (uint32_t)nr_pages);
	heap.nr_freed_frames += nr_pages;
	heap.large_pages -= nr_pages;
}

void large_free(void *p)
{
	size_t page = page_of(p);
	bool look;

	lock_take(&heap.core_lock);
	if (heap.map[page] != MAP_LARGE || (uintptr_t)p & (PAGE_BYTES - 1)) {
		lock_drop(&heap.core_lock);
		report_bad_pointer("free of what is no block, or was freed before", p);
	}
	heap.map[page] = MAP_TAIL;
	give_pages(page, heap.pages_of[page]);
	heap.nr_large--;
	look = heap.nr_freed_frames > DIRTY_STEP;
	lock_drop(&heap.core_lock);
	if (unlikely(look))
		purge_if_dirty();
}

bool large_resize(void *p, size_t size)
{
	size_t page = page_of(p), old = heap.pages_of[page], nr_pages = round_pages(size);
	bool done = true;

	if (size > LARGE_MAX || size <= SMALL_MAX)
		return false;
	lock_take(&heap.core_lock);
	if (nr_pages < old) {
		heap.pages_of[page] = (uint32_t)nr_pages;
		give_pages(page + nr_pages, old - nr_pages);
	} else if (nr_pages > old) {
		uint32_t more = (uint32_t)(nr_pages - old);

		done = !ondol_alloc_contig_range(heap.m, ondol_pfn(page + old), more, NULL);
		if (done) {
			heap_mark(page + old, more, MAP_TAIL);
			heap.pages_of[page] = (uint32_t)nr_pages;
			heap.large_pages += more;
		}
	}
	lock_drop(&heap.core_lock);
	return done;
}

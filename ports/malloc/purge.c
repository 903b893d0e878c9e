/* SPDX-License-Identifier: MIT */
/*
 * Giving memory back.
 *
 * Dirty pages are those that are free and that the host still keeps for us: touched, less those
 * in use.  Their number is limited: so a program that frees everything and then sleeps, which
 * makes no call in which an age could be noticed, holds no more than that.  The limit is 8 MiB.
 * If what was given back is soon touched again, giving it back was a waste, and the limit doubles,
 * up to a quarter of what is in use now; it falls when that is no more so, to 2 MiB in a program
 * that only frees.  Who takes the same large block again and again, or as many small ones, has
 * little in use whenever it is looked: if what was given back was touched again twice in a row, so
 * much may stay, in depots or as free pages, up to twice the largest block.  An eighth of what is
 * in use is never too much: looking for it goes through all blocks, and would, the more often the
 * larger the program.
 *
 * Their age is limited too, while calls come that exchange with a depot: every LOOK_MS somebody
 * looks, and what was dirty at the last look as well, and was not needed since, is given back, and
 * depots are emptied.  A thread of our own could do that in a program that sleeps; it would be in
 * the way of fork, of namespaces and of seccomp filters.
 *
 * Blocks are taken from the buddy as the frames that they are (ondol_alloc_contig_range), so
 * that nobody can be given them while the host takes their pages away.
 */
#include <errno.h>
#include <sys/mman.h>
#include <time.h>

#include "internal.h"

#define LOOK_MS 250
#define OLD_LEAST 256 /* pages: less is not worth it */
#define DIRTY_SHARE 8  /* of what is in use, that may be dirty whatever the limit */
#define WANTED_MOST (2 * LARGE_MAX >> PAGE_SHIFT)
#define VERDICT_MOST (2 * WANTED_MOST)
#define BLOCK_LEAST_ORDER 2 /* smaller free blocks are left as they are */

struct lock ondol_purge_lock;

uint64_t heap_used_pages(void)
{
	struct ondol_machine_stats stats;

	ondol_machine_stats(heap.m, &stats);
	return stats.pages_total - stats.pages_free - stats.pages[ONDOL_PAGE_RESERVED];
}

static bool is_touched(size_t page, size_t nr)
{
	for (size_t i = page; i < page + nr; i++)
		if (heap.map[i])
			return true;
	return false;
}

/* Pages given back of the block, which is free unless somebody was faster. */
static uint64_t purge_block(size_t page, size_t nr)
{
	ondol_pfn_t pfn = { page };
	uint64_t given = 0;

	lock_take(&heap.core_lock);
	if (!is_touched(page, nr) ||
	    ondol_alloc_contig_range(heap.m, pfn, (uint32_t)nr, NULL)) {
		lock_drop(&heap.core_lock);
		return 0;
	}
	lock_drop(&heap.core_lock);
	if (!madvise((void *)(heap.base + (page << PAGE_SHIFT)), nr << PAGE_SHIFT,
		     MADV_DONTNEED)) {
		for (size_t i = page; i < page + nr; i++) {
			given += heap.map[i] != 0;
			heap.map[i] = 0;
		}
	}
	lock_take(&heap.core_lock);
	heap.nr_touched -= given;
	ondol_free_pages_exact(heap.m, ondol_pfn_to_page(heap.m, pfn), (uint32_t)nr);
	lock_drop(&heap.core_lock);
	return given;
}

/* The node's next free block at or after the page: its first page; no pages: there is none. */
static size_t next_free(uint32_t node, size_t page, size_t *out_nr)
{
	ondol_pfn_t found, end;
	unsigned order;

	lock_take(&heap.core_lock);
	end = ondol_pfn(heap.highest_page[node]);
	found = ondol_next_free_block(heap.m, ondol_pfn(page), end, BLOCK_LEAST_ORDER, &order);
	lock_drop(&heap.core_lock);
	*out_nr = found.value < end.value ? (size_t)1 << order : 0;
	return found.value;
}

static uint64_t give_back(void)
{
	uint64_t given = 0;
	size_t nr;

	heap_shrink_bins();
	for (uint32_t class = 1; class <= NR_CLASSES; class++) {
		for (uint32_t node = 0; node < heap.nr_nodes; node++)
			depot_drain(&heap.depot[node][class]);
		lock_take(&heap.core_lock);
		(void)ondol_kmem_cache_shrink(heap.cache[class]);
		lock_drop(&heap.core_lock);
	}
	for (uint32_t node = 0; node < heap.nr_nodes; node++) {
		size_t page = (size_t)node << heap.node_shift;

		for (; (page = next_free(node, page, &nr)), nr; page += nr)
			given += purge_block(page, nr);
	}
	return given;
}

static void set_limit(uint64_t pages)
{
	__atomic_store_n(&heap.dirty_limit, pages, __ATOMIC_RELAXED);
}

static void set_wanted(uint64_t pages)
{
	__atomic_store_n(&heap.wanted_back, pages, __ATOMIC_RELAXED);
}

static bool is_too_dirty(void)
{
	uint64_t used = heap_used_pages();
	uint64_t extra = depot_extra_pages();
	uint64_t wanted = heap.wanted_back > extra ? heap.wanted_back - extra : 0;
	uint64_t limit = DIRTY_LEAST + (used / 4 > wanted ? used / 4 : wanted);

	if (unlikely(tuning.trim_pages != TRIM_BY_ITSELF))
		return tuning.trim_pages != TRIM_NEVER &&
		       heap.nr_touched > used + tuning.trim_pages;
	limit = limit < heap.dirty_limit ? limit : heap.dirty_limit;
	limit = limit > used / DIRTY_SHARE ? limit : used / DIRTY_SHARE;
	if (heap.nr_touched <= used + limit)
		return false;
	if (limit < heap.dirty_limit)
		set_limit(limit); /* what it may fall from */
	return true;
}

/*
 * After so much was given back, and so much touched for the first time (again) since the last time.
 * A program that frees a lot at once makes us give back several times before it can show what it
 * needs again: the verdict is on all of that together, once half of it has been touched, or once
 * it is plainly too much (VERDICT_MOST).
 */
static void adapt_limit(uint64_t given, uint64_t touched)
{
	static uint64_t sum_given, sum_touched, last_given; /* purge lock, and so the next */
	static bool wasted_before;
	bool wasted, over;

	sum_touched = sum_given ? sum_touched + touched : 0;
	wasted = sum_given && sum_touched >= sum_given / 2;
	over = wasted || sum_given > VERDICT_MOST;
	if (wasted && wasted_before) {
		uint64_t again = sum_touched < sum_given ? sum_touched : sum_given;

		set_wanted(again < WANTED_MOST ? again : WANTED_MOST);
	} else if (over && !wasted) {
		set_wanted(heap.wanted_back / 2);
	}
	if (wasted && heap.dirty_limit < DIRTY_MOST)
		set_limit(heap.dirty_limit * 2 > DIRTY_LEAST + heap.wanted_back ?
				  heap.dirty_limit * 2 : DIRTY_LEAST + heap.wanted_back);
	else if (!wasted && heap.dirty_limit > DIRTY_FLOOR && touched < last_given / 4)
		set_limit(heap.dirty_limit / 2);
	if (over) {
		wasted_before = wasted;
		sum_given = sum_touched = 0;
	}
	sum_given += given;
	last_given = given;
}

/* Called whenever another DIRTY_STEP pages came back to the buddy. */
void purge_if_dirty(void)
{
	static uint64_t touched_before; /* purge lock */
	int saved = errno;
	bool is_dirty;

	if (!lock_try(&ondol_purge_lock))
		return;
	lock_take(&heap.core_lock);
	heap.nr_freed_frames = 0;
	is_dirty = is_too_dirty();
	lock_drop(&heap.core_lock);
	if (is_dirty) {
		uint64_t given = give_back();

		lock_take(&heap.core_lock);
		adapt_limit(given, heap.nr_touched_ever - touched_before);
		touched_before = heap.nr_touched_ever;
		lock_drop(&heap.core_lock);
	}
	lock_drop(&ondol_purge_lock);
	errno = saved;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void look_at_age(void)
{
	static uint64_t dirty_before, touched_before; /* purge lock */
	uint64_t used, dirty, touched;
	bool is_old;

	if (!lock_try(&ondol_purge_lock))
		return;
	lock_take(&heap.core_lock);
	used = heap_used_pages();
	touched = heap.nr_touched_ever;
	dirty = heap.nr_touched > used ? heap.nr_touched - used : 0;
	lock_drop(&heap.core_lock);
	dirty += depot_pages();
	is_old = dirty_before >= OLD_LEAST && dirty >= OLD_LEAST &&
		 touched - touched_before < dirty_before / 4;
	dirty_before = dirty;
	touched_before = touched;
	if (is_old && give_back())
		dirty_before = 0;
	lock_drop(&ondol_purge_lock);
}

/* Called at each exchange with a depot. */
void purge_if_old(void)
{
	static uint64_t next_look; /* atomic, ms */
	uint64_t due = __atomic_load_n(&next_look, __ATOMIC_RELAXED), now = now_ms();
	int saved = errno;

	if (likely(now < due) || !__atomic_compare_exchange_n(&next_look, &due, now + LOOK_MS,
							      false, __ATOMIC_RELAXED,
							      __ATOMIC_RELAXED))
		return;
	if (tuning.trim_pages != TRIM_NEVER)
		look_at_age();
	errno = saved;
}

uint64_t purge_all(void)
{
	int saved = errno;
	uint64_t given;

	if (!heap_init())
		return 0;
	if (ondol_thread.state == THREAD_READY)
		thread_flush(&ondol_thread);
	lock_take(&ondol_purge_lock);
	given = give_back();
	lock_drop(&ondol_purge_lock);
	errno = saved;
	return given << PAGE_SHIFT;
}

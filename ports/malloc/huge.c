/* SPDX-License-Identifier: MIT */
/*
 * Huge blocks: mappings of their own, straight to and from the host.  A table says which there are,
 * so a wrong pointer is known for one.  They are larger than LARGE_MAX, unless the program wants
 * smaller ones to be mappings too (mallopt's M_MMAP_THRESHOLD).
 *
 * The host is asked for huge pages there: a block of more than LARGE_MAX is an array that is worked
 * through or jumped about in, and what one that is used in part costs is a huge page at most
 * for each place that is touched (ONDOL_MALLOC_HUGE=0: it is not).
 *
 * In the range, too, where the heap grows past AHEAD_TOUCHED pages: the 2 MiB beyond the highest
 * page become a huge page before anybody is given a part of them, which costs 100 us where 512
 * faults cost 400 and more.  But not always: a host that is a virtual machine may have to fetch the
 * memory from its own host, page by page, for 3 ms and more, where small pages would have been
 * some that it has already.  So it is looked how long it took, and who was slow is asked the less
 * often.  What has been given is marked as wanting no more of it: khugepaged would make a huge page
 * again of a place that we have given back all but a page of.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define AHEAD_PAGES 512u     /* a huge page */
#define AHEAD_TOUCHED 8192u  /* a heap of less does not grow by as much at once */
#define AHEAD_SLOW_NS 1000000
#define AHEAD_PAUSE_MOST 64u

struct lock ondol_huge_lock;
static struct table table; /* under ondol_huge_lock, and so what follows */
static uint64_t nr_bytes;

static struct block *find(const void *p)
{
	return table_find(&table, (uintptr_t)p);
}

static bool note(const struct block *block)
{
	bool done;

	lock_take(&ondol_huge_lock);
	done = table_insert(&table, block) != NULL;
	nr_bytes += done ? block->size : 0;
	lock_drop(&ondol_huge_lock);
	return done;
}

/* Does a block of the size become one? */
bool huge_is_due(size_t size)
{
	uint64_t nr, bytes;

	if (likely(size < tuning.map_from) || size > LARGE_MAX)
		return size > LARGE_MAX;
	huge_totals(&nr, &bytes);
	return nr < tuning.maps_most;
}

/* Where the host has them; malloc says nothing of it in errno where it has not. */
void huge_pages_ask(void *at, size_t bytes)
{
	int saved = errno;

	(void)madvise(at, bytes, MADV_HUGEPAGE);
	errno = saved;
}

/* Where the host gives huge pages to all, there is nothing to ask for. */
static bool host_asks_nobody(void)
{
	char text[64];
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	return n < 0 || (text[n] = 0, !strstr(text, "[madvise]"));
}

/* The block becomes a huge page now.  False: that took long. */
static bool block_touched_in(volatile char *at)
{
	size_t bytes = (size_t)AHEAD_PAGES << PAGE_SHIFT;
	struct timespec a, b;

	huge_pages_ask((void *)at, bytes);
	clock_gettime(CLOCK_MONOTONIC, &a);
	*at = 0;
	clock_gettime(CLOCK_MONOTONIC, &b);
	(void)madvise((void *)at, bytes, MADV_NOHUGEPAGE);
	return (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec < AHEAD_SLOW_NS;
}

/* The node's highest page is beyond ask_beyond. */
void huge_ask_ahead(size_t node)
{
	static uint32_t pause, pause_next; /* (core lock) */
	int saved = errno;
	uint64_t highest = heap.highest_page[node], end = (node + 1) << heap.node_shift;
	uint64_t next = (highest + AHEAD_PAGES - 1) & ~(uint64_t)(AHEAD_PAGES - 1);
	char *at = (char *)(heap.base + (next << PAGE_SHIFT));

	heap.ask_beyond[node] = UINT64_MAX;
	if (heap.huge_pages != HUGE_BLOCKS || next + AHEAD_PAGES > end)
		return;
	if (heap.nr_touched < AHEAD_TOUCHED) {
		heap.ask_beyond[node] = highest + AHEAD_TOUCHED - heap.nr_touched;
		return;
	}
	if (!pause_next && host_asks_nobody()) {
		errno = saved;
		return;
	}
	heap.ask_beyond[node] = next;
	if (pause) {
		pause--;
	} else if (block_touched_in(at)) {
		pause_next = 1;
	} else {
		pause = pause_next ? 4 * pause_next : 4;
		pause = pause < AHEAD_PAUSE_MOST ? pause : AHEAD_PAUSE_MOST;
		pause_next = pause;
	}
	errno = saved;
}

static void *alloc(size_t size, size_t align, size_t guard)
{
	size_t extra = (align > PAGE_BYTES ? align - PAGE_BYTES : 0) + 2 * guard;
	struct block block = { 0 };
	char *map;

	if (!heap_init() || size > PTRDIFF_MAX - extra - PAGE_BYTES)
		return NULL;
	block.size = (size + extra + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	map = mmap(NULL, block.size, guard ? PROT_NONE : PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	if (heap.huge_pages == HUGE_ALWAYS ||
	    (heap.huge_pages == HUGE_BLOCKS && size > LARGE_MAX))
		huge_pages_ask(map, block.size);
	block.map = (uintptr_t)map;
	block.address = (block.map + guard + align - 1) & ~(uintptr_t)(align - 1);
	if ((guard && mprotect(map + guard, block.size - 2 * guard, PROT_READ | PROT_WRITE)) ||
	    !note(&block)) {
		(void)munmap(map, block.size);
		return NULL;
	}
	return (void *)block.address;
}

void *huge_alloc(size_t size, size_t align)
{
	return alloc(size, align, 0);
}

void *huge_alloc_guarded(size_t size, size_t align)
{
	return alloc(size, align, PAGE_BYTES);
}

/* Secure: each is guarded. */
static size_t usable(const struct block *block)
{
	return block->map + block->size - block->address - (heap.is_secure ? PAGE_BYTES : 0);
}

size_t huge_size(const void *p)
{
	struct block *block;
	size_t size = 0;

	lock_take(&ondol_huge_lock);
	block = find(p);
	if (block)
		size = usable(block);
	lock_drop(&ondol_huge_lock);
	return size;
}

bool huge_free(void *p)
{
	struct block *block, found;

	lock_take(&ondol_huge_lock);
	block = find(p);
	if (block) {
		found = *block;
		nr_bytes -= block->size;
		table_erase(&table, block);
	}
	lock_drop(&ondol_huge_lock);
	return block && !munmap((void *)found.map, found.size);
}

void *huge_resize(void *p, size_t size)
{
	size_t bytes = (size + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	struct block *block, found;
	void *map;

	if (size > PTRDIFF_MAX - PAGE_BYTES || size < tuning.map_from)
		return NULL;
	lock_take(&ondol_huge_lock);
	block = find(p);
	if (!block || block->map != block->address) {
		lock_drop(&ondol_huge_lock);
		return NULL;
	}
	map = mremap((void *)block->map, block->size, bytes, MREMAP_MAYMOVE);
	if (map != MAP_FAILED) {
		nr_bytes += bytes - block->size;
		found = *block;
		table_erase(&table, block);
		found.map = found.address = (uintptr_t)map;
		found.size = bytes;
		(void)table_insert(&table, &found); /* there is room: one has left */
	}
	lock_drop(&ondol_huge_lock);
	return map != MAP_FAILED ? map : NULL;
}

void huge_totals(uint64_t *out_nr, uint64_t *out_bytes)
{
	lock_take(&ondol_huge_lock);
	*out_nr = table.nr_blocks;
	*out_bytes = nr_bytes;
	lock_drop(&ondol_huge_lock);
}

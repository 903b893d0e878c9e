/* SPDX-License-Identifier: MIT */
/*
 * The C functions, as glibc documents them.
 *
 * What most calls need is here in a few instructions: a class, a bin, a pointer.  Everything else
 * is out of line, so that the short way saves no registers.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define MALLOC_ALIGN 16
#define CALLER __builtin_return_address(0)

static COLD void *out_of_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

static __attribute__((noinline)) void *alloc_big(size_t size, size_t align, bool zeroed)
{
	void *p = size <= LARGE_MAX && align <= LARGE_MAX ? large_alloc(size, align, zeroed) : NULL;

	/* A range too full for a large block is not yet the end. */
	return p ? p : huge_alloc(size, align);
}

/*
 * The class whose objects suit, or 0.  They begin at multiples of the power of two in its size,
 * up to a page.
 */
static inline uint32_t class_for(size_t size, size_t align)
{
	uint32_t class;

	if (size > SMALL_MAX || align > PAGE_BYTES)
		return 0;
	class = class_of(size > align ? size : align);
	while (class <= NR_CLASSES && ondol_class_size[class] & (align - 1))
		class++;
	return class <= NR_CLASSES ? class : 0;
}

void *plain_alloc(size_t size, size_t align, bool zeroed)
{
	uint32_t class = class_for(size, align);
	void *p;

	if (!class && heap.is_secure)
		return huge_alloc_guarded(size ? size : 1, align);
	if (!class)
		return alloc_big(size ? size : 1, align < PAGE_BYTES ? PAGE_BYTES : align, zeroed);
	p = small_alloc(class);
	if (unlikely(heap.is_secure) && p)
		secure_note(p);
	return p && zeroed ? memset(p, 0, size) : p;
}

/* No bin has it.  `site` is the address that the program's call returns to. */
static void *alloc_slow(size_t size, size_t align, bool zeroed, const void *site)
{
	if (unlikely(!heap_init()))
		return NULL;
	if (unlikely(heap.is_hooked))
		return hook_alloc(size, align, zeroed, site);
	return plain_alloc(size, align, zeroed);
}

static inline __attribute__((always_inline)) void *alloc_small(uint32_t class)
{
	struct bin *bin = &ondol_thread.bin[class];
	void **top = bin->top;

	if (unlikely(top == bin->base))
		return NULL;
	bin->top = --top;
	return *top;
}

void *malloc_or_null(size_t size)
{
	int saved = errno;
	void *p = size <= SMALL_MAX ? alloc_small(class_of(size)) : NULL;

	if (!p)
		p = alloc_slow(size, MALLOC_ALIGN, false, CALLER);
	errno = saved;
	return p;
}

/* Reached by a jump, so that its caller is malloc's. */
static __attribute__((noinline)) void *malloc_slow(size_t size)
{
	void *p = alloc_slow(size, MALLOC_ALIGN, false, CALLER);

	return likely(p != NULL) ? p : out_of_memory();
}

EXPORT void *malloc(size_t size)
{
	if (likely(size <= TABLE_MAX)) {
		struct bin *bin = &ondol_thread.bin[ondol_class_table[(size + 15) / 16]];
		void **top = bin->top;

		if (unlikely(top == bin->base))
			return malloc_slow(size);
		bin->top = --top;
		return *top;
	}
	if (likely(size <= SMALL_MAX)) {
		struct bin *bin = &ondol_thread.bin[class_of(size)];
		void **top = bin->top;

		if (unlikely(top == bin->base))
			return malloc_slow(size);
		bin->top = --top;
		return *top;
	}
	return malloc_slow(size);
}

/* Not in a bin's class: large, huge, NULL, or nothing of ours. */
void plain_free(void *p)
{
	size_t page = page_of(p);
	uint32_t class = page < heap.nr_pages ? heap.map[page] : 0;

	if (class && class <= NR_CLASSES && unlikely(heap.is_secure))
		secure_forget(p);
	if (class && class <= NR_CLASSES)
		small_free_slow(p, class);
	else if (class)
		large_free(p);
	else if (page < heap.nr_pages || !huge_free(p))
		report_bad_pointer("free of what is no block", p);
}

static __attribute__((noinline)) void free_slow(void *p)
{
	int saved = errno;

	if (!p)
		return;
	if (unlikely(heap.is_hooked))
		hook_free(p, CALLER);
	else
		plain_free(p);
	errno = saved;
}

/*
 * The last object freed is looked at: most that are freed twice are freed twice in a row.  The
 * others are noticed when they come to their slab, at the latest.
 */
EXPORT void free(void *p)
{
	struct thread *thread = &ondol_thread;
	size_t page = ((uintptr_t)p - thread->base) >> PAGE_SHIFT;

	if (likely(page < thread->nr_pages)) {
		struct bin *bin = &thread->bin[thread->map[page]];
		void **top = bin->top;

		if (likely(top != bin->limit)) {
			if (unlikely(top[-1] == p))
				report_bad_pointer("freed twice in a row", p);
			*top = p;
			__asm__ volatile("" ::: "memory"); /* fork() may stop us between */
			bin->top = top + 1;
			return;
		}
	}
	free_slow(p);
}

/* Zeroed pages need no clearing; objects of the bins do. */
EXPORT void *calloc(size_t nr, size_t size)
{
	size_t bytes;
	void *p;

	if (unlikely(__builtin_mul_overflow(nr, size, &bytes)))
		return out_of_memory();
	p = bytes <= SMALL_MAX ? alloc_small(class_of(bytes)) : NULL;
	if (likely(p != NULL))
		return memset(p, 0, bytes);
	p = alloc_slow(bytes, MALLOC_ALIGN, true, CALLER);
	return likely(p != NULL) ? p : out_of_memory();
}

size_t plain_usable_size(void *p)
{
	size_t page = page_of(p);
	uint32_t class;

	if (page >= heap.nr_pages)
		return huge_size(p);
	class = heap.map[page];
	if (class == MAP_LARGE)
		return (size_t)heap.pages_of[page] << PAGE_SHIFT;
	if (unlikely(!class || class == MAP_TAIL))
		report_bad_pointer("size of what is no block", p);
	return ondol_class_size[class];
}

EXPORT size_t malloc_usable_size(void *p)
{
	if (!p)
		return 0;
	return unlikely(heap.is_hooked) ? hook_usable_size(p, CALLER) : plain_usable_size(p);
}

EXPORT void *realloc(void *p, size_t size)
{
	size_t old;
	void *q;

	if (!p)
		return malloc(size);
	if (!size) {
		free(p);
		return NULL;
	}
	if (unlikely(heap.is_hooked)) {
		q = hook_realloc(p, size, CALLER);
		return q ? q : out_of_memory();
	}
	old = plain_usable_size(p);
	if (unlikely(!old))
		report_bad_pointer("realloc of what is no block", p);
	if (size <= old && size >= old / 2)
		return p;
	if (page_of(p) < heap.nr_pages) {
		if (heap.map[page_of(p)] == MAP_LARGE && large_resize(p, size))
			return p;
	} else if ((q = huge_resize(p, size))) {
		return q;
	}
	q = malloc(size);
	if (!q)
		return NULL;
	memcpy(q, p, old < size ? old : size);
	free(p);
	return q;
}

EXPORT void *reallocarray(void *p, size_t nr, size_t size)
{
	size_t bytes;

	if (unlikely(__builtin_mul_overflow(nr, size, &bytes)))
		return out_of_memory();
	return realloc(p, bytes);
}

/* ------------------------------------------------------------------ alignment */

static __attribute__((noinline)) void *aligned_slow(size_t align, size_t size)
{
	return alloc_slow(size, align, false, CALLER);
}

void *aligned_or_null(size_t align, size_t size)
{
	uint32_t class = class_for(size, align);
	void *p = class ? alloc_small(class) : NULL;

	return likely(p != NULL) ? p : aligned_slow(align, size);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	int saved = errno;
	void *p;

	if (align % sizeof(void *) || !align || align & (align - 1))
		return EINVAL;
	p = aligned_or_null(align, size);
	errno = saved;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

/* glibc: any alignment will do, the next power of two is taken. */
EXPORT void *memalign(size_t align, size_t size)
{
	size_t power = 16;
	void *p;

	while (power < align && power)
		power *= 2;
	if (unlikely(!power)) {
		errno = EINVAL;
		return NULL;
	}
	p = aligned_or_null(power, size);
	return p ? p : out_of_memory();
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	if (unlikely(!align || align & (align - 1))) {
		errno = EINVAL;
		return NULL;
	}
	return memalign(align, size);
}

EXPORT void *valloc(size_t size)
{
	return memalign(PAGE_BYTES, size);
}

EXPORT void *pvalloc(size_t size)
{
	if (unlikely(size > PTRDIFF_MAX))
		return out_of_memory();
	return memalign(PAGE_BYTES, (size + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1));
}

/* C23; the size is what it was allocated with, which the page map knows better. */
void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);
void cfree(void *p);

EXPORT void free_sized(void *p, size_t size)
{
	(void)size;
	free(p);
}

EXPORT void free_aligned_sized(void *p, size_t align, size_t size)
{
	(void)align;
	(void)size;
	free(p);
}

EXPORT void cfree(void *p)
{
	free(p);
}

/* ------------------------------------------------------------------ glibc's extensions */

EXPORT int malloc_trim(size_t pad)
{
	(void)pad;
	return purge_all() != 0;
}

/* 1: accepted.  Everything is tuned by itself; what glibc knows is taken note of. */
EXPORT int mallopt(int param, int value)
{
	(void)value;
	switch (param) {
	case M_MXFAST:
	case M_TRIM_THRESHOLD:
	case M_TOP_PAD:
	case M_MMAP_THRESHOLD:
	case M_MMAP_MAX:
	case M_CHECK_ACTION:
	case M_PERTURB:
	case M_ARENA_TEST:
	case M_ARENA_MAX:
		return 1;
	default:
		return 0;
	}
}

struct sums {
	uint64_t in_use, in_bins;
};

static int sum_cache(void *ctx, const struct ondol_slab_info *info)
{
	struct sums *sums = ctx;

	if (!strncmp(info->name, "malloc-", 7))
		sums->in_use += info->active_objects * info->object_size;
	return 0;
}

/* Those of running threads as they happen to be. */
static uint64_t bytes_in_bins(void)
{
	uint64_t bytes = 0;

	lock_take(&heap.threads_lock);
	for (struct thread *thread = heap.threads; thread; thread = thread->next)
		for (uint32_t i = 0; i < heap.nr_nodes * NR_CLASSES; i++) {
			uint32_t class = i % NR_CLASSES + 1;
			struct bin *bin = &bins_at(thread, i / NR_CLASSES)[class];
			uint64_t nr = (uint64_t)(bin->top - bin->base);

			bytes += nr <= heap.bin_cap[class] ? nr * ondol_class_size[class] : 0;
		}
	lock_drop(&heap.threads_lock);
	return bytes + (depot_pages() << PAGE_SHIFT);
}

EXPORT struct mallinfo2 mallinfo2(void)
{
	struct mallinfo2 info = { 0 };
	struct sums sums = { 0 };
	uint64_t nr, bytes;

	if (!heap_init())
		return info;
	sums.in_bins = bytes_in_bins();
	lock_take(&heap.core_lock);
	(void)ondol_for_each_cache(heap.m, sum_cache, &sums);
	info.arena = heap.nr_touched << PAGE_SHIFT;
	info.uordblks = sums.in_use + (heap.large_pages << PAGE_SHIFT);
	lock_drop(&heap.core_lock);
	info.fsmblks = sums.in_bins < sums.in_use ? sums.in_bins : sums.in_use;
	info.uordblks -= info.fsmblks;
	info.fordblks = info.arena > info.uordblks ? info.arena - info.uordblks : 0;
	huge_totals(&nr, &bytes);
	info.hblks = nr;
	info.hblkhd = bytes;
	return info;
}

EXPORT struct mallinfo mallinfo(void)
{
	struct mallinfo2 wide = mallinfo2();

	return (struct mallinfo){
		.arena = (int)wide.arena, .hblks = (int)wide.hblks, .hblkhd = (int)wide.hblkhd,
		.fsmblks = (int)wide.fsmblks, .uordblks = (int)wide.uordblks,
		.fordblks = (int)wide.fordblks,
	};
}

EXPORT void malloc_stats(void)
{
	if (heap_init())
		report_stats();
}

/* ------------------------------------------------------------------ process */

static void after_fork_in_child(void)
{
	heap_unlock_all();
	thread_forget_others();
}

static __attribute__((constructor)) void begin(void)
{
	if (heap_init())
		(void)pthread_atfork(heap_lock_all, heap_unlock_all, after_fork_in_child);
}

static __attribute__((destructor)) void end(void)
{
	if (heap.is_hooked)
		hook_exit();
	if (heap.stats)
		report_stats();
}

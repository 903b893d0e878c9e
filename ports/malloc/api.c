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
	void *p = huge_is_due(size > align ? size : align) ? NULL :
							      large_alloc(size, align, zeroed);

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

/* C23; what the size should be the page map knows better, but it is asked for who debugs. */
void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);
void cfree(void *p);

EXPORT void free_sized(void *p, size_t size)
{
	if (unlikely(heap.is_hooked))
		hook_check_size(p, size, CALLER);
	free(p);
}

EXPORT void free_aligned_sized(void *p, size_t align, size_t size)
{
	(void)align;
	if (unlikely(heap.is_hooked))
		hook_check_size(p, size, CALLER);
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

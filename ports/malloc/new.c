/* SPDX-License-Identifier: MIT */
/*
 * C++'s operators new and delete, by the names that the Itanium ABI gives them, so that no C++
 * compiler is needed.  Where there is no C++ library nobody calls them; where there is one, its
 * new handler is asked and its bad_alloc thrown.  Compiled with -fexceptions: the throw passes
 * through here.
 *
 * These are the basic forms.  The others (arrays, nothrow) are the C++ library's own, which come to
 * them by their names, as the standard says: so a program that replaces some has its own called
 * for all, and what they throw is caught.  The sized forms are here for what the size can tell.
 * All are weak, for a program that is linked with this statically and has its own.
 */
#include <stdlib.h>

#include "internal.h"

typedef void (*new_handler)(void);
extern new_handler get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
extern void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak));

static COLD void *try_harder(size_t size, size_t align)
{
	for (;;) {
		new_handler handler = get_new_handler ? get_new_handler() : NULL;
		void *p;

		if (!handler)
			break;
		handler();
		p = align ? aligned_or_null(align, size) : malloc_or_null(size);
		if (p)
			return p;
	}
	if (throw_bad_alloc)
		throw_bad_alloc();
	abort();
}

static void *own_new(size_t size)
{
	void *p = malloc(size);

	return likely(p != NULL) ? p : try_harder(size, 0);
}

static void *own_new_aligned(size_t size, size_t align)
{
	void *p = aligned_or_null(align < 16 ? 16 : align, size);

	return likely(p != NULL) ? p : try_harder(size, align < 16 ? 16 : align);
}

static void own_delete(void *p)
{
	free(p);
}

static void own_delete_aligned(void *p, size_t align)
{
	(void)align;
	free(p);
}

#define BASIC(own, symbol) __asm__(#symbol) EXPORT __attribute__((weak, alias(#own)))
extern void *basic_new(size_t size) BASIC(own_new, _Znwm);
extern void *basic_new_aligned(size_t size, size_t align)
	BASIC(own_new_aligned, _ZnwmSt11align_val_t);
extern void basic_delete(void *p) BASIC(own_delete, _ZdlPv);
extern void basic_delete_aligned(void *p, size_t align)
	BASIC(own_delete_aligned, _ZdlPvSt11align_val_t);

/* The library's, or the program's; a static program need not have linked them. */
extern void array_delete(void *p) __asm__("_ZdaPv") __attribute__((weak));
extern void array_delete_aligned(void *p, size_t align)
	__asm__("_ZdaPvSt11align_val_t") __attribute__((weak));

static void delete_array(void *p)
{
	if (array_delete)
		array_delete(p);
	else
		basic_delete(p);
}

static void delete_array_aligned(void *p, size_t align)
{
	if (array_delete_aligned)
		array_delete_aligned(p, align);
	else
		basic_delete_aligned(p, align);
}

/* Where blocks are debugged a wrong size tells of a wrong type. */
#define SIZED(own, symbol, way)                                                                   \
	extern void own(void *p, size_t size) __asm__(#symbol) EXPORT __attribute__((weak));      \
	void own(void *p, size_t size)                                                            \
	{                                                                                         \
		if (unlikely(heap.is_hooked) && basic_delete == own_delete)                       \
			hook_check_size(p, size, __builtin_return_address(0));                    \
		way(p);                                                                           \
	}
#define ALIGNED_SIZED(own, symbol, way)                                                           \
	extern void own(void *p, size_t size, size_t align) __asm__(#symbol) EXPORT               \
		__attribute__((weak));                                                            \
	void own(void *p, size_t size, size_t align)                                              \
	{                                                                                         \
		if (unlikely(heap.is_hooked) && basic_delete_aligned == own_delete_aligned)       \
			hook_check_size(p, size, __builtin_return_address(0));                    \
		way(p, align);                                                                    \
	}
SIZED(delete_sized, _ZdlPvm, basic_delete)
SIZED(delete_array_sized, _ZdaPvm, delete_array)
ALIGNED_SIZED(delete_sized_aligned, _ZdlPvmSt11align_val_t, basic_delete_aligned)
ALIGNED_SIZED(delete_array_sized_aligned, _ZdaPvmSt11align_val_t, delete_array_aligned)

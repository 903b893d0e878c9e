/* SPDX-License-Identifier: MIT */
/*
 * C++'s operators new and delete, by the names that the Itanium ABI gives them, so that no C++
 * compiler is needed.  Where there is no C++ library nobody calls them; where there is one, its
 * new handler is asked and its bad_alloc thrown.  Compiled with -fexceptions: the throw passes
 * through here.
 */
#include <stdlib.h>

#include "internal.h"

typedef void (*new_handler)(void);
extern new_handler get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
extern void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak));

/* nothrow's handler may throw; that ends the program, as an exception out of noexcept does. */
static COLD void *try_harder(size_t size, size_t align, bool nothrow)
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
	if (nothrow)
		return NULL;
	if (throw_bad_alloc)
		throw_bad_alloc();
	abort();
}

static inline void *new_plain(size_t size, bool nothrow)
{
	void *p = malloc(size);

	return likely(p != NULL) ? p : try_harder(size, 0, nothrow);
}

static inline void *new_aligned(size_t size, size_t align, bool nothrow)
{
	void *p = aligned_or_null(align < 16 ? 16 : align, size);

	return likely(p != NULL) ? p : try_harder(size, align < 16 ? 16 : align, nothrow);
}

#define NEW(symbol, parameters, expression)                                                       \
	EXPORT void *new_##symbol parameters __asm__(#symbol);                                    \
	EXPORT void *new_##symbol parameters                                                      \
	{                                                                                         \
		(void)tag;                                                                        \
		return expression;                                                                \
	}
#define PLAIN(symbol)                                                                             \
	EXPORT void *new_##symbol(size_t size) __asm__(#symbol);                                  \
	EXPORT void *new_##symbol(size_t size)                                                    \
	{                                                                                         \
		return new_plain(size, false);                                                    \
	}
#define ALIGNED(symbol)                                                                           \
	EXPORT void *new_##symbol(size_t size, size_t align) __asm__(#symbol);                    \
	EXPORT void *new_##symbol(size_t size, size_t align)                                      \
	{                                                                                         \
		return new_aligned(size, align, false);                                           \
	}
PLAIN(_Znwm)
PLAIN(_Znam)
ALIGNED(_ZnwmSt11align_val_t)
ALIGNED(_ZnamSt11align_val_t)
NEW(_ZnwmRKSt9nothrow_t, (size_t size, const void *tag), new_plain(size, true))
NEW(_ZnamRKSt9nothrow_t, (size_t size, const void *tag), new_plain(size, true))
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag),
    new_aligned(size, align, true))
NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag),
    new_aligned(size, align, true))

/* Sizes, alignments and tags are registers that nobody looks at. */
#define DELETE(symbol)                                                                            \
	EXPORT void delete_##symbol(void *p) __asm__(#symbol);                                    \
	EXPORT void delete_##symbol(void *p)                                                      \
	{                                                                                         \
		free(p);                                                                          \
	}
DELETE(_ZdlPv)
DELETE(_ZdaPv)
DELETE(_ZdlPvm)
DELETE(_ZdaPvm)
DELETE(_ZdlPvSt11align_val_t)
DELETE(_ZdaPvSt11align_val_t)
DELETE(_ZdlPvmSt11align_val_t)
DELETE(_ZdaPvmSt11align_val_t)
DELETE(_ZdlPvRKSt9nothrow_t)
DELETE(_ZdaPvRKSt9nothrow_t)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t)

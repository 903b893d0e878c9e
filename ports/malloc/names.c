/* SPDX-License-Identifier: MIT */
/*
 * The names that glibc has beside the public ones, for programs whose own malloc calls them, and so
 * that a static one which does need not link glibc's.
 */
#include <malloc.h>
#include <stdlib.h>

#include "internal.h"

#define NAME(type, name, parameters, expression)                                                  \
	extern type name parameters EXPORT __attribute__((weak));                                 \
	type name parameters                                                                      \
	{                                                                                         \
		return expression;                                                                \
	}
NAME(void *, __libc_malloc, (size_t size), malloc(size))
NAME(void *, __libc_calloc, (size_t nr, size_t size), calloc(nr, size))
NAME(void *, __libc_realloc, (void *p, size_t size), realloc(p, size))
NAME(void, __libc_free, (void *p), free(p))
NAME(void *, __libc_memalign, (size_t align, size_t size), memalign(align, size))
NAME(void *, __libc_valloc, (size_t size), valloc(size))
NAME(void *, __libc_pvalloc, (size_t size), pvalloc(size))
NAME(int, __posix_memalign, (void **out, size_t align, size_t size),
     posix_memalign(out, align, size))

/* SPDX-License-Identifier: MIT */
/*
 * The malloc under test, compiled into the test itself under names of its own: so it can be
 * instrumented, and refused memory, while the test and its runtime keep theirs.
 */
#ifndef TESTS_MALLOC_OPS_H
#define TESTS_MALLOC_OPS_H

#include <stddef.h>
#include <sys/types.h>

void *om_malloc(size_t size);
void *om_calloc(size_t nr, size_t size);
void *om_realloc(void *p, size_t size);
void *om_memalign(size_t align, size_t size);
void om_free(void *p);
size_t om_malloc_usable_size(void *p);
int om_malloc_trim(size_t pad);

/* The test gives this one: what the allocator calls as mmap. */
void *test_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);

#endif

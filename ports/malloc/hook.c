/* SPDX-License-Identifier: MIT */
/*
 * Between the program's calls and the bins, for programs that are debugged, profiled, secured or
 * perturbed (tune.c).
 * The visible bins stay empty then and have no room, so that every call takes the long way, where
 * this is asked; who asks for none of it pays nothing.
 *
 * What is allocated while a report is written is the report's own: it comes from an arena
 * apart, since the heap may be damaged and its locks taken.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

#define ARENA_BYTES ((size_t)4 << 30) /* address space; debug information can be large */
#define HEADER 16

struct lock ondol_hook_lock;
static char *arena; /* of reports: written by one thread, as reports are */
static size_t arena_used;

static bool is_in_arena(const void *p)
{
	return arena && (size_t)((const char *)p - arena) < ARENA_BYTES;
}

static void *arena_alloc(size_t size, size_t align)
{
	size_t at;

	if (!arena && !(arena = heap_metadata(ARENA_BYTES)))
		return NULL;
	at = (arena_used + HEADER + align - 1) & ~(align - 1);
	if (size > ARENA_BYTES || at > ARENA_BYTES - size)
		return NULL;
	arena_used = at + size;
	memcpy(arena + at - sizeof size, &size, sizeof size);
	return arena + at;
}

static size_t arena_size(const void *p)
{
	size_t size;

	memcpy(&size, (const char *)p - sizeof size, sizeof size);
	return size;
}

void *hook_alloc(size_t size, size_t align, bool zeroed, const void *site)
{
	void *p;

	if (heap.debug)
		return ondol_thread.is_reporting ? arena_alloc(size, align) :
						   debug_alloc(size, align, zeroed, site);
	p = heap.profile ? profile_alloc(size, align, zeroed, site) :
			   plain_alloc(size, align, zeroed);
	if (unlikely(tuning.perturb) && p && !zeroed)
		memset(p, ~tuning.perturb, size);
	return p;
}

void hook_free(void *p, const void *site)
{
	if (is_in_arena(p))
		return;
	if (unlikely(tuning.perturb) && !heap.debug)
		memset(p, tuning.perturb, plain_usable_size(p));
	if (heap.debug)
		debug_free(p, site);
	else if (heap.profile)
		profile_free(p);
	else
		plain_free(p);
}

size_t hook_usable_size(void *p, const void *site)
{
	if (is_in_arena(p))
		return arena_size(p);
	return heap.debug ? debug_usable_size(p, site) : plain_usable_size(p);
}

void hook_check_size(void *p, size_t size, const void *site)
{
	if (heap.debug && p && !is_in_arena(p))
		debug_check_size(p, size, site);
}

/* A debugged block always moves, so that who kept the old address is found out. */
void *hook_realloc(void *p, size_t size, const void *site)
{
	size_t old = hook_usable_size(p, site);
	void *q;

	if (!heap.debug && size <= old && size >= old / 2)
		return p;
	q = hook_alloc(size, 16, false, site);
	if (!q)
		return NULL;
	memcpy(q, p, old < size ? old : size);
	hook_free(p, site);
	return q;
}

void hook_exit(void)
{
	if (heap.debug)
		debug_exit();
	else if (heap.profile && !profile_write(heap.profile))
		say("ondol-malloc: profile %s: not written: error %d\n", heap.profile, errno);
}

/* SPDX-License-Identifier: MIT */
/*
 * Stacks of return addresses, each kept once and named by a number: a program allocates a million
 * blocks in a few thousand places.  Only for debugging and profiles.
 *
 * The unwinder reads the tables that C++'s exceptions need, so programs without frame pointers
 * will do; it may take the loader's locks, so none of ours is held then, and in a static program
 * it allocates.
 */
#include <string.h>
#include <sys/auxv.h>
#include <unwind.h>

#include "internal.h"

#define NR_BUCKETS ((size_t)1 << 16)
#define ARENA_MOST ((size_t)8 << 30) /* of address space; what a limit leaves, if less */
#define ARENA_LEAST ((size_t)1 << 20)
#define SKIP_MOST 12 /* frames of ours before `site`, at most */

struct lock ondol_stack_lock; /* what follows is written under it */
static uint32_t *buckets;     /* ids of the newest stacks */
static uint64_t *arena;       /* of stacks: next id and number of frames, then the frames */
static size_t arena_used = 1, arena_words;

static bool has_begun; /* constructors run */

/* In a static program the unwinder, and it aborts, finds no tables before libc is set up. */
static __attribute__((constructor(101))) void begin_stacks(void)
{
	has_begun = true;
}

struct walk {
	uintptr_t site, frame[STACK_MOST + SKIP_MOST];
	uint32_t nr, first; /* frames seen; which is the site's, 0: not seen */
};

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *arg)
{
	struct walk *walk = arg;
	uintptr_t pc = _Unwind_GetIP(context);

	if (!pc || walk->nr - walk->first >= STACK_MOST || walk->nr == STACK_MOST + SKIP_MOST)
		return _URC_END_OF_STACK;
	if (pc == walk->site && !walk->first)
		walk->first = walk->nr;
	walk->frame[walk->nr++] = pc;
	return _URC_NO_REASON;
}

static bool init(void) /* lock held */
{
	size_t bytes = ARENA_MOST;

	if (arena)
		return true;
	buckets = buckets ? buckets : heap_metadata(NR_BUCKETS * sizeof *buckets);
	while (buckets && bytes >= ARENA_LEAST && !(arena = heap_metadata(bytes)))
		bytes /= 2;
	arena_words = bytes / sizeof *arena;
	return arena != NULL;
}

static uint32_t keep(const uintptr_t *frames, uint32_t nr, uint64_t hash)
{
	uint32_t *bucket = &buckets[hash >> 48], id;

	for (id = *bucket; id; id = (uint32_t)arena[id])
		if (arena[id] >> 32 == nr &&
		    !memcmp(&arena[id + 1], frames, nr * sizeof *frames))
			return id;
	if (arena_used + 1 + nr > arena_words)
		return 0;
	id = (uint32_t)arena_used;
	memcpy(&arena[id + 1], frames, nr * sizeof *frames);
	arena[id] = (uint64_t)nr << 32 | *bucket;
	arena_used += 1 + nr;
	*bucket = id;
	return id;
}

uint32_t stack_here(const void *site)
{
	struct walk walk = { .site = (uintptr_t)site };
	uint64_t hash = 0;
	uint32_t id = 0, nr;

	if (unlikely(!has_begun && !getauxval(AT_BASE)) || ondol_thread.is_unwinding)
		return 0;
	ondol_thread.is_unwinding = true;
	(void)_Unwind_Backtrace(note_frame, &walk);
	ondol_thread.is_unwinding = false;
	nr = walk.nr - walk.first;
	nr = nr < STACK_MOST ? nr : STACK_MOST;
	for (uint32_t i = 0; i < nr; i++)
		hash = (hash ^ walk.frame[walk.first + i]) * UINT64_C(0x9e3779b97f4a7c15);
	lock_take(&ondol_stack_lock);
	if (init())
		id = keep(walk.frame + walk.first, nr, hash);
	lock_drop(&ondol_stack_lock);
	return id;
}

/* What was kept does not change, and stays. */
uint32_t stack_frames(uint32_t id, const uintptr_t **out)
{
	if (!id)
		return 0;
	*out = (const uintptr_t *)&arena[id + 1];
	return (uint32_t)(arena[id] >> 32);
}

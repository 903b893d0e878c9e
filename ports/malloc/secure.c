/* SPDX-License-Identifier: MIT */
/*
 * ONDOL_MALLOC_SECURE=1: for programs that may be attacked through their mistakes.
 *
 * No pointer of the allocator's lies in a free object, and its arrays and tables lie in slabs
 * and mappings of their own, whether secure or not: there are no links that would have to be
 * encoded.  What this adds:
 *
 *	order      an object is taken from anywhere in its bin, not from the top
 *	free()     a bit for each 16 bytes of the range says whether a block in use begins there, so
 *	           that any second free, and a free of a pointer into a block, is noticed at once
 *	guards     blocks above 32 KiB are mappings between two pages without access, which are
 *	           unmapped when they are freed
 *
 * Small slabs have no guard pages: each would be two more mappings for the host, of which a
 * process may have 65,530.
 */
#include <sys/random.h>

#include "internal.h"

static uint64_t *in_use; /* atomic */

bool secure_init(size_t nr_pages)
{
	in_use = heap_metadata(nr_pages * (PAGE_BYTES / 16 / 8));
	return in_use != NULL;
}

static uint64_t *word_of(const void *p, uint64_t *out_bit)
{
	size_t at = ((uintptr_t)p - heap.base) / 16;

	*out_bit = UINT64_C(1) << at % 64;
	return &in_use[at / 64];
}

void secure_note(void *p)
{
	uint64_t bit, *word = word_of(p, &bit);

	if (__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit)
		report_bad_pointer("handed out twice: the heap is damaged", p);
}

void secure_forget(void *p)
{
	uint64_t bit, *word = word_of(p, &bit);

	if ((uintptr_t)p % 16 || !(__atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED) & bit))
		report_bad_pointer("freed twice, or free of a pointer into a block", p);
}

/* The host's randomness seeds it; it is renewed from there now and then. */
uint32_t secure_random(uint32_t bound)
{
	struct thread *thread = &ondol_thread;

	if (!(thread->random & 0xfff) &&
	    getrandom(&thread->random, sizeof thread->random, GRND_NONBLOCK) < 8)
		thread->random ^= (uintptr_t)thread;
	thread->random = thread->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)((thread->random >> 32) * bound >> 32);
}

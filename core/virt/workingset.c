/* SPDX-License-Identifier: MIT */
/*
 * Refault distance of files' pages: how many more pages of cache would have saved a read.
 *
 * A page that reclaim drops is noted with the time, counted in pages dropped.  When it is read
 * again, the difference is its distance: had the cache been larger by so much, the page would still
 * be there.  Near: no more than the cache has now.  (Of swap, slots know the time: swap.c.)
 *
 *	dropped    a  b  c  d  e            read again: b
 *	time       0  1  2  3  4  5         distance 5 - 1 = 4
 *
 * The notes are few bytes in a table of sets, the oldest of a set going first, as in a processor's
 * cache: what cannot be noted, or is forgotten, is a refault that is not counted, never one that
 * was none but for a chance of some 2^-28.  The table has as many places as the machine has
 * frames, at most TABLE_MOST frames; each comes when something is to be noted in it, past the
 * watermarks, since a page has just been dropped.
 *
 * Linux keeps the notes in the page cache's own tree, as shadow entries.  Source: mm/workingset.c.
 */
#include "virt/workingset.h"

#define SET 8u /* notes: one cache line */
#define TABLE_MOST 4096u

struct note {
	uint32_t who; /* a hash; 0: none */
	uint32_t at;
};
#define SETS_PER_FRAME (ONDOL_PAGE_SIZE / (SET * sizeof(struct note)))

static uint64_t hash(const struct ondol_address_space *mapping, uint64_t index)
{
	uint64_t h = (index ^ (uint64_t)mapping->id << 40) * 0x9e3779b97f4a7c15u;

	h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

static inline uint32_t who_of(uint64_t h)
{
	return (uint32_t)h | 1;
}

/* ------------------------------------------------------------------ the table */

static uint32_t nr_frames(const struct ondol_machine *m)
{
	const uint32_t notes = SETS_PER_FRAME * SET;

	return (uint32_t)min_u64((m->phys->managed + notes - 1) / notes, TABLE_MOST);
}

static struct note *frame_make(struct ondol_machine *m, struct note **slot)
{
	struct ondol_page *page = ondol_alloc_pages(
		m, ONDOL_GFP_MEMALLOC | ONDOL_GFP_ZERO | ONDOL_GFP_NOWARN, 0);
	struct note *expected = NULL, *fresh;

	if (!page)
		return NULL;
	fresh = ondol_page_address(m, page);
	if (__atomic_compare_exchange_n(slot, &expected, fresh, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return fresh;
	ondol_free_pages(m, page, 0);
	return expected;
}

static struct note **table_make(struct ondol_machine *m, struct workingset *ws)
{
	struct note **expected = NULL, **fresh =
		ondol_kzalloc(m, nr_frames(m) * sizeof *fresh, ONDOL_GFP_MEMALLOC |
								       ONDOL_GFP_NOWARN);

	if (!fresh)
		return NULL;
	ws->nr_frames = nr_frames(m); /* the same, whoever writes it */
	if (__atomic_compare_exchange_n(&ws->table, &expected, fresh, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return fresh;
	ondol_kfree(m, fresh);
	return expected;
}

/* Its set, or NULL. */
static struct note *set_of(struct ondol_machine *m, uint64_t h, bool make)
{
	struct workingset *ws = &m->virt->workingset;
	struct note **table = __atomic_load_n(&ws->table, __ATOMIC_ACQUIRE), *frame;

	if (!table && make)
		table = table_make(m, ws);
	if (!table)
		return NULL;
	table += mod_u64(h >> 32, ws->nr_frames);
	frame = __atomic_load_n(table, __ATOMIC_ACQUIRE);
	if (!frame && make)
		frame = frame_make(m, table);
	return frame ? frame + (h >> 26) % SETS_PER_FRAME * SET : NULL;
}

void workingset_fini(struct ondol_machine *m)
{
	struct workingset *ws = &m->virt->workingset;

	for (uint32_t i = 0; ws->table && i < ws->nr_frames; i++) {
		uint64_t pa;

		if (!ws->table[i])
			continue;
		pa = (uint64_t)((unsigned char *)ws->table[i] - m->port->direct_map);
		ondol_free_pages(m, machine_page(m, pa >> ONDOL_PAGE_SHIFT), 0);
	}
	ondol_kfree(m, ws->table);
	ws->table = NULL;
}

/* ------------------------------------------------------------------ notes */

static inline uintptr_t lock(struct ondol_machine *m)
{
	return lock_irqsave(m->port, &m->virt->workingset.lock, m->phys->smp);
}

static inline void unlock(struct ondol_machine *m, uintptr_t saved)
{
	unlock_irqrestore(m->port, &m->virt->workingset.lock, m->phys->smp, saved);
}

/* The note, or NULL. */
static struct note *find(struct note *set, uint32_t who)
{
	for (unsigned i = 0; set && i < SET; i++)
		if (set[i].who == who)
			return &set[i];
	return NULL;
}

void workingset_evicted(const struct ondol_address_space *mapping, uint64_t index)
{
	struct workingset *ws = &mapping->m->virt->workingset;
	uint64_t h = hash(mapping, index);
	struct note *set = set_of(mapping->m, h, true), *oldest;
	uintptr_t saved = lock(mapping->m);
	uint32_t now = (uint32_t)ws->clock++;

	oldest = set;
	for (unsigned i = 0; set && i < SET; i++) {
		if (!set[i].who || set[i].who == who_of(h)) {
			oldest = &set[i];
			break;
		}
		if (now - set[i].at > now - oldest->at)
			oldest = &set[i];
	}
	if (set)
		*oldest = (struct note){ who_of(h), now };
	unlock(mapping->m, saved);
}

bool workingset_was_here(const struct ondol_address_space *mapping, uint64_t index)
{
	uint64_t h = hash(mapping, index);
	struct note *set = set_of(mapping->m, h, false);
	uintptr_t saved;
	bool was;

	if (ondol_likely(!set))
		return false;
	saved = lock(mapping->m);
	was = find(set, who_of(h)) != NULL;
	unlock(mapping->m, saved);
	return was;
}

void workingset_refault(const struct ondol_address_space *mapping, uint64_t index)
{
	struct ondol_machine *m = mapping->m;
	struct workingset *ws = &m->virt->workingset;
	uint64_t h = hash(mapping, index), cached;
	struct note *set = set_of(m, h, false), *note;
	uintptr_t saved;

	if (ondol_likely(!set))
		return;
	cached = (uint64_t)phys_use_count(m, ONDOL_PAGE_CACHE);
	saved = lock(m);
	note = find(set, who_of(h));
	if (note) {
		uint32_t distance = (uint32_t)ws->clock - note->at;

		ws->refaults++;
		ws->distance += distance;
		ws->near += distance <= cached;
		note->who = 0;
	}
	unlock(m, saved);
}

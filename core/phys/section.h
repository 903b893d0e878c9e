/* SPDX-License-Identifier: MIT */
/* Sections of the page array, whose records may be written late: see section.c. */
#ifndef ONDOL_PHYS_SECTION_H
#define ONDOL_PHYS_SECTION_H

#include "phys/zone.h"

unsigned section_order_for(unsigned max_order);
/* Room for the bitmap of sections; 0 where nothing is deferred. */
uint64_t section_map_bytes(const struct ondol_machine *m);
/* Counts what is free, and writes the records of all sections or of a first part. */
void section_init(struct ondol_machine *m);
/*
 * Bring up one more section with free frames of the zone, unless zone.deferred is no longer
 * `seen`: then another CPU did.  No lock of phys is held.
 */
void section_grow(struct ondol_zone *zone, uint32_t seen);
/* Write the records of the frame's section, if that was put off. */
void section_bring_up(const struct ondol_machine *m, uint32_t index);

/* Of the zone's frames in one section, whatever state it is in. */
struct section_frames {
	uint32_t present, free; /* free: when nothing was ever taken */
};
struct section_frames section_count(const struct ondol_zone *zone, uint32_t section);
/*
 * The zone's free blocks by order: on its lists, what lies on shelves as aligned runs, and those
 * that deferred frames will be.  Under zone.lock.
 */
void section_free_blocks(const struct ondol_zone *zone, uint64_t blocks[ONDOL_MAX_ORDERS]);

static inline uint32_t section_of(const struct ondol_machine *m, uint32_t index)
{
	return index >> m->phys->section_order;
}

static inline bool section_is_deferred(const struct ondol_machine *m, uint32_t section)
{
	const uint32_t *ready = m->phys->section_ready;

	return ready && !(__atomic_load_n(&ready[section >> 5], __ATOMIC_ACQUIRE) >>
			  (section & 31) & 1);
}

/* The first index >= `at` that has a record; m->nr_pages: none. */
static inline uint64_t section_skip_deferred(const struct ondol_machine *m, uint64_t at)
{
	while (at < m->nr_pages && section_is_deferred(m, section_of(m, (uint32_t)at)))
		at = (uint64_t)(section_of(m, (uint32_t)at) + 1) << m->phys->section_order;
	return at < m->nr_pages ? at : m->nr_pages;
}

/* Every record there is, holes included. */
#define page_for_each_index(m, i)                                                             \
	for (uint64_t i = section_skip_deferred(m, 0); i < (m)->nr_pages;                     \
	     i = section_skip_deferred(m, i + 1))

#endif /* ONDOL_PHYS_SECTION_H */

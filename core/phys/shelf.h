/* SPDX-License-Identifier: MIT */
/* Free single frames, kept by pageblock: see shelf.c.  All calls are under zone.lock. */
#ifndef ONDOL_PHYS_SHELF_H
#define ONDOL_PHYS_SHELF_H

#include "phys/zone.h"

/* Room for the shelves of the zone; 0: its profile has none. */
uint64_t shelf_room_bytes(const struct ondol_zone *zone);
void shelf_init(struct ondol_zone *zone, void *room);

/*
 * Free frames are put down, as far as one that makes its pageblock whole: that was taken off.
 * Returns where in `index` that one stands; nr: there was none.
 */
uint32_t shelf_put(struct ondol_zone *zone, const uint32_t *index, uint32_t nr);
/* A free block of at most SHELF_ORDER is put down in one go.  Returns its shelf. */
uint32_t shelf_put_block(struct ondol_zone *zone, uint32_t index, unsigned order);

/* The fullest pageblock's shelf of the type; ONDOL_PAGE_NIL: there is none. */
uint32_t shelf_fullest(const struct ondol_zone *zone, unsigned type);
/* The shelf of the type with the most free frames. */
uint32_t shelf_emptiest(const struct ondol_zone *zone, unsigned type);
/* Up to `want` frames of one shelf, ascending, before *end downwards.  Returns how many. */
uint32_t shelf_take(struct ondol_zone *zone, uint32_t shelf, uint32_t want, uint32_t *end);
/* A whole block of the order, below SHELF_ORDER, from some shelf of the type, or NIL. */
uint32_t shelf_take_block(struct ondol_zone *zone, unsigned order, unsigned type);
/* The first maximal aligned run of free frames at or behind `from`; false: none. */
bool shelf_next_run(const struct ondol_zone *zone, uint32_t shelf, unsigned from,
		    unsigned *out_at, unsigned *out_order);
/* Take all frames off the shelf: the caller has seen its runs. */
void shelf_clear(struct ondol_zone *zone, uint32_t shelf);
/* One frame or block that is known to lie there. */
void shelf_remove(struct ondol_zone *zone, uint32_t index, unsigned order);
/* Adds the maximal aligned runs of all shelves of the type, by order. */
void shelf_count_blocks(const struct ondol_zone *zone, unsigned type, uint64_t *blocks);
/* The pageblock's type changed. */
void shelf_retype(struct ondol_zone *zone, uint32_t shelf, unsigned type);

static inline bool shelf_is_on(const struct ondol_zone *zone)
{
	return zone->shelves.shelf != NULL;
}

static inline uint32_t shelf_of(const struct ondol_zone *zone, uint32_t index)
{
	return (index >> SHELF_ORDER) - zone->shelves.first;
}

/* Index of the first frame of the shelf's pageblock. */
static inline uint32_t shelf_start(const struct ondol_zone *zone, uint32_t shelf)
{
	return (zone->shelves.first + shelf) << SHELF_ORDER;
}

static inline bool shelf_has(const struct ondol_zone *zone, uint32_t index)
{
	unsigned bit = index & (SHELF_FRAMES - 1);

	return zone->shelves.shelf &&
	       zone->shelves.bits[shelf_of(zone, index)][bit >> 6] >> (bit & 63) & 1;
}

/* What putting the frame down will touch. */
static inline void shelf_prefetch(const struct ondol_zone *zone, uint32_t index)
{
	uint32_t at = shelf_of(zone, index);

	__builtin_prefetch(&zone->shelves.bits[at][(index & (SHELF_FRAMES - 1)) >> 6], 1);
	__builtin_prefetch(&zone->shelves.shelf[at], 1);
}

#endif /* ONDOL_PHYS_SHELF_H */

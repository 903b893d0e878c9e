/* SPDX-License-Identifier: MIT */
/* The buddy system of one zone: see buddy.c.  All calls are under zone.lock. */
#ifndef ONDOL_PHYS_BUDDY_H
#define ONDOL_PHYS_BUDDY_H

#include "phys/zone.h"

/* Sizes of the zone's bitmaps, and giving them room, before the first block is freed. */
uint64_t buddy_map_bytes(const struct ondol_profile *profile, const struct ondol_zone *zone);
void buddy_init(struct ondol_zone *zone, uint32_t *map_room);

/*
 * The index of a block of the order, or ONDOL_PAGE_NIL.  Its record is still a free one, with
 * ZEROED if no frame of the block was ever taken.
 */
uint32_t buddy_take(struct ondol_zone *zone, unsigned order, unsigned type);
/*
 * Up to `want` blocks of the order, pushed on `list`, the lowest address of each run on top,
 * marked PCP.  Returns how many.
 */
uint32_t buddy_take_many(struct ondol_zone *zone, unsigned order, unsigned type, uint32_t want,
			 struct pcp_list *list);
/* Merge the block with its free buddies and put the result on a list. */
void buddy_give(struct ondol_zone *zone, uint32_t index, unsigned order);
/* A block of free frames whose records were just written. */
void buddy_give_deferred(struct ondol_zone *zone, uint32_t index, unsigned order);
/* A block marked ZEROED comes back unused: nobody wrote to it. */
void buddy_forget_taken(struct ondol_zone *zone, uint32_t index, unsigned order);
/* What the block holding the frame is kept for. */
unsigned buddy_block_type(const struct ondol_zone *zone, uint32_t index);

#endif /* ONDOL_PHYS_BUDDY_H */

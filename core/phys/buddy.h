/* SPDX-License-Identifier: MIT */
/* The buddy system of one zone: see buddy.c.  All calls are under zone.lock. */
#ifndef ONDOL_PHYS_BUDDY_H
#define ONDOL_PHYS_BUDDY_H

#include "phys/zone.h"

/* Sizes of the zone's bitmaps, and giving them room, before the first block is freed. */
uint64_t buddy_map_bytes(const struct ondol_zone *zone);
void buddy_init(struct ondol_zone *zone, uint32_t *map_room);

/*
 * The index of a block of the order, or ONDOL_PAGE_NIL.  Its record is still a free one, with
 * ZEROED if no frame of the block was ever taken.
 */
uint32_t buddy_take(struct ondol_zone *zone, unsigned order, unsigned type);
/*
 * Up to `want` blocks of the order into out[], those of one run with the lowest address last,
 * marked PCP.  Returns how many.
 */
uint32_t buddy_take_many(struct ondol_zone *zone, unsigned order, unsigned type, uint32_t want,
			 uint32_t *out);
/*
 * All frames of [start, end), which the zone spans and which have records: NIL, their records as
 * buddy_take leaves them; or the first that is not free, and nothing was taken.
 */
uint32_t buddy_take_range(struct ondol_zone *zone, uint32_t start, uint32_t end);
/* The head of the free block on a list that the frame is in; ONDOL_PAGE_NIL: it is in none. */
uint32_t buddy_block_around(const struct ondol_zone *zone, uint32_t index, unsigned *out_order);
/* A block handed out by buddy_take comes back; its record is a free one again. */
void buddy_give(struct ondol_zone *zone, uint32_t index, unsigned order);
/* Blocks handed out by buddy_take_many come back, as they are: marked PCP. */
void buddy_give_many(struct ondol_zone *zone, const uint32_t *index, uint32_t nr,
		     unsigned order);
/*
 * Merge whatever a lazy policy has put off.  Where there are shelves all blocks below a pageblock
 * go on them: what makes a whole one does, and the rest is found there by its runs.
 */
void buddy_merge_all(struct ondol_zone *zone);
/* What is on shelves, to the free lists. */
void buddy_empty_shelves(struct ondol_zone *zone);
/* 2^order blocks of order 0 instead of one that is out. */
void buddy_note_split(struct ondol_zone *zone, unsigned order);
/* delay2: a block that was out is two runs of blocks now, `nr` frames and the others. */
void buddy_note_pieces(struct ondol_zone *zone, unsigned order, uint32_t nr);
/* Off its list and out of its pair's bit, and back, merged: the caller keeps zone.nr_free. */
void buddy_remove(struct ondol_zone *zone, uint32_t index, unsigned order);
void buddy_insert(struct ondol_zone *zone, uint32_t index, unsigned order);
/* What the pageblock of the frame is kept for, from now on. */
void buddy_set_block_type(struct ondol_zone *zone, uint32_t index, unsigned type);
/* A block of free frames whose records were just written. */
void buddy_give_deferred(struct ondol_zone *zone, uint32_t index, unsigned order);
/* A block marked ZEROED comes back unused: nobody wrote to it. */
void buddy_forget_taken(struct ondol_zone *zone, uint32_t index, unsigned order);
/* What the block holding the frame is kept for. */
unsigned buddy_block_type(const struct ondol_zone *zone, uint32_t index);

#endif /* ONDOL_PHYS_BUDDY_H */

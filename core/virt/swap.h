/* SPDX-License-Identifier: MIT */
/* Slots of swap areas and the frames whose contents are in one: see swap.c for the theory. */
#ifndef ONDOL_VIRT_SWAP_H
#define ONDOL_VIRT_SWAP_H

#include <ondol/swap.h>

#include "virt/virt.h"

/* An array too long for one block: frames of entries whose size is a power of two. */
struct swap_table {
	unsigned char **chunk;
	uint32_t nr_chunks;
	uint8_t entry_shift;
};

ONDOL_MUST_CHECK int swap_table_init(struct ondol_machine *m, struct swap_table *table,
				     uint64_t nr, uint8_t entry_shift, ondol_gfp_t gfp);
void swap_table_fini(struct ondol_machine *m, struct swap_table *table);
static inline void *swap_table_at(const struct swap_table *table, uint64_t i)
{
	unsigned per_chunk_shift = ONDOL_PAGE_SHIFT - table->entry_shift;

	return table->chunk[i >> per_chunk_shift] +
	       ((i & ((UINT64_C(1) << per_chunk_shift) - 1)) << table->entry_shift);
}

#define SLOT_CACHED (UINT32_C(1) << 31)
struct swap_slot {
	uint32_t count; /* entries that name it, and SLOT_CACHED; 0: free */
	uint32_t at;    /* cached: the frame's index; else the clock when it went out */
};

struct swap_area {
	const struct ondol_swap_ops *ops;
	void *ctx;
	char *name;
	uint64_t first; /* its slot 0 in the numbers of entries */
	uint64_t nr_pages, used;
	uint64_t next; /* where the search for a free slot begins */
	struct swap_table slots;
	int16_t priority;
	bool is_memory;
	uint64_t read_errors, write_errors, refused;
};

struct swap_state {
	struct swap_area *area[ONDOL_SWAP_AREAS_MAX]; /* by priority */
	uint32_t nr_areas;
	uint64_t total, used;
	uint64_t clock;  /* pages written out */
	uint64_t cached; /* frames that a slot names */
	uint64_t in, hits, near, distance;
};

static inline bool swap_has_room(const struct ondol_machine *m)
{
	const struct swap_state *swap = m->virt->swap;

	return swap && swap->used < swap->total;
}

/* ---------------------------------------------------------------- swap.c */

void swap_fini(struct ondol_machine *m); /* unless it is in use */
struct swap_slot *swap_slot_of(const struct ondol_machine *m, uint64_t slot);
/* A slot with the frame's contents and no entry yet.  -ONDOL_ENOSPC: no area takes it. */
ONDOL_MUST_CHECK int swap_write(struct ondol_machine *m, struct ondol_page *page,
				uint64_t *out_slot);
ONDOL_MUST_CHECK int swap_read(struct ondol_machine *m, uint64_t slot, struct ondol_page *page);
/* The frame whose contents are the slot's, or NULL. */
static inline struct ondol_page *swap_cached(const struct ondol_machine *m,
					     const struct swap_slot *slot)
{
	return slot->count & SLOT_CACHED ? &m->pages[slot->at] : NULL;
}

static inline uint32_t swap_count(const struct swap_slot *slot)
{
	return slot->count & ~SLOT_CACHED;
}

/* From now on the slot names the frame, and has a reference to it. */
void swap_cache_add(struct ondol_machine *m, uint64_t slot, struct ondol_page *page);
/* Its contents are in `new` now, and the slot's reference. */
void swap_cache_move(struct ondol_machine *m, struct ondol_page *old, struct ondol_page *new);
/* One more entry names the slot. */
static inline void swap_get(const struct ondol_machine *m, uint64_t slot)
{
	swap_slot_of(m, slot)->count++;
}

/* One less: the last one frees it. */
void swap_put(struct ondol_machine *m, uint64_t slot);

/* ---------------------------------------------------------------- zram.c */

extern const struct ondol_swap_ops zram_ops;
void zram_stats(const void *ctx, struct ondol_swap_stats *stats);

/* ---------------------------------------------------------------- swap_out.c */

/*
 * Pages of private memory in [start, end), of one region, go to swap; `cold_only`: those that are
 * not accessed, else the hardware has forgotten them (software fill).  How many entries now name a
 * slot; *out_freed grows by the frames that are free for it.
 */
uint64_t swap_out_range(struct ondol_mm_struct *mm, uint64_t start, uint64_t end, bool cold_only,
			uint64_t *out_freed);

#endif /* ONDOL_VIRT_SWAP_H */

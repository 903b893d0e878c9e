/* SPDX-License-Identifier: MIT */
/*
 * Swap: where pages of private and of shared anonymous memory go when frames run short, and come
 * back from.
 *
 * Only for machines that one thread at a time uses (ondol_machine_desc.reclaim_mapped): pages are
 * taken from whoever maps them.
 */
#ifndef ONDOL_SWAP_H
#define ONDOL_SWAP_H

#include <ondol/inspect.h>
#include <ondol/machine.h>
#include <ondol/types.h>

ONDOL_BEGIN_DECLS

#define ONDOL_SWAP_AREAS_MAX 8

/* A place for so many pages, by slot number from 0. */
struct ondol_swap_ops {
	uint32_t size; /* sizeof(struct ondol_swap_ops) */
	/*
	 * Keep the page at `host` as the slot's contents.  0; -ONDOL_ENOSPC: this page cannot be
	 * kept, or not now, and another area is asked; -ONDOL_EIO: the same, counted as an error.
	 * Either way a page that nobody takes stays in memory.  It is called while memory is
	 * short: from the machine it may ask only without RECLAIM.
	 */
	int (*write_page)(void *ctx, uint64_t slot, const void *host);
	/* The slot's contents to `host`.  0 or -ONDOL_EIO: the program gets a SIGBUS. */
	int (*read_page)(void *ctx, uint64_t slot, void *host);
	/* Nobody will read the slot's contents any more.  NULL: that is nothing to it. */
	void (*free_slot)(void *ctx, uint64_t slot);
	/* The machine goes down.  May be NULL. */
	void (*release)(void *ctx);
};

struct ondol_swap_args {
	uint32_t size; /* sizeof(struct ondol_swap_args) */
	/* Higher is filled first; the areas of one priority in the order they came. */
	int16_t priority;
	bool is_memory;   /* /proc/swaps: "partition", as Linux calls zram, or "file" */
	const char *name; /* as /proc/swaps tells it; copied */
	uint64_t nr_pages;
	const struct ondol_swap_ops *ops;
	void *ctx;
};
/*
 * One more area, for as long as the machine lives.  Its records, 8 bytes a page, come from the
 * machine and are allocated now: writing a page out allocates nothing.
 * -ONDOL_EINVAL: bad arguments, no reclaim_mapped, or more pages than the profile's page-table
 * entries can number (1 Mi of all areas with i386's); -ONDOL_EBUSY: there are
 * ONDOL_SWAP_AREAS_MAX; -ONDOL_ENOMEM.
 */
ONDOL_MUST_CHECK int ondol_swap_add(struct ondol_machine *m, const struct ondol_swap_args *args);
/*
 * An area in the machine's own memory: pages compressed (LZ4), those that repeat one word as that
 * word.  What does not become a quarter smaller it refuses, and where another area has room
 * everything once half of the memory is compressed pages.  It takes 24 bytes a page of `nr_pages`
 * at once and frames for what is compressed as they come.  -ONDOL_E* as above.
 */
ONDOL_MUST_CHECK int ondol_zram_add(struct ondol_machine *m, uint64_t nr_pages, int16_t priority);

struct ondol_swap_info {
	const char *name;
	bool is_memory;
	int16_t priority;
	uint64_t nr_pages, pages_used;
	uint64_t read_errors, write_errors, refused; /* refused: -ONDOL_ENOSPC */
};
/* By priority.  A nonzero return stops the walk. */
int ondol_for_each_swap_area(struct ondol_machine *m,
			     int (*visit)(void *ctx, const struct ondol_swap_info *), void *ctx);

struct ondol_swap_stats { /* pages, since the machine began unless it says otherwise */
	uint64_t total, free; /* now */
	uint64_t cached;      /* now: frames whose contents are in a slot, too */
	uint64_t out, in;     /* written; read */
	uint64_t cache_hits;  /* came back from another program's frame */
	/*
	 * A refault's distance is the number of pages written out since it went: so much more
	 * memory would have kept it.  Near: no more than there was of private memory then.
	 */
	uint64_t refault_distance_sum, refaults_near;
	/* Of all compressed areas. */
	uint64_t zram_pages, zram_same, zram_refused; /* now; of them, of one word; since */
	uint64_t zram_bytes, zram_bytes_used; /* now: compressed; of the frames that hold them */
};
void ondol_swap_stats(struct ondol_machine *m, struct ondol_swap_stats *out_stats);
/* /proc/swaps. */
int ondol_proc_swaps(struct ondol_machine *m, ondol_write_t write, void *ctx);

ONDOL_END_DECLS
#endif /* ONDOL_SWAP_H */

/* SPDX-License-Identifier: MIT */
/*
 * Limits of what a machine's programs use, as those of a memory cgroup (Linux: cgroup v2's
 * memory.max and memory.high), without the machine being any smaller.
 *
 * Charged is every frame with a use: private memory, page cache and shared memory, page tables and
 * the core's own objects.  Not charged: what is reserved, frames of use KERNEL (compressed swap is
 * such), and slots of swap.
 */
#ifndef ONDOL_MEMCG_H
#define ONDOL_MEMCG_H

#include <ondol/machine.h>
#include <ondol/types.h>

ONDOL_BEGIN_DECLS

#define ONDOL_MEMCG_NONE UINT64_MAX /* no limit */

struct ondol_memcg_limits { /* pages */
	/*
	 * Beyond `max` there is nothing: memory is taken back, and when none can be, the request
	 * is refused (a fault's with -ONDOL_ENOMEM), as if the machine had no more.  Requests with
	 * MEMALLOC or NOFAIL pass.
	 */
	uint64_t max;
	/* Beyond `high` memory is taken back, and who asks is to be slowed down; never refused. */
	uint64_t high;
};
/*
 * From now on; both NONE: no limits, and nothing is counted.  What is beyond a new limit is taken
 * back as far as that goes.  While no other call on the machine runs.
 */
void ondol_memcg_set(struct ondol_machine *m, const struct ondol_memcg_limits *limits);
/*
 * For the embedder, after (or, as well, before) a thread has been given up to nr_pages: if the
 * programs are beyond `high`, takes back what is too much.  Returns for how many nanoseconds the
 * thread should be held, 0 mostly: if they are still beyond by a share s of `high`, s * s seconds
 * for each page, 2 seconds at most.
 */
uint64_t ondol_memcg_over_high(struct ondol_machine *m, uint32_t nr_pages);
/* Pages up to the lower of the limits; UINT64_MAX without any. */
uint64_t ondol_memcg_room(const struct ondol_machine *m);

struct ondol_memcg_stats { /* pages, then events, since the limits were set first */
	struct ondol_memcg_limits limits;
	uint64_t current, peak; /* peak: 0 without limits */
	uint64_t nr_high;       /* times that memory was taken back for being beyond `high` */
	uint64_t nr_max;        /* times that a request would have gone beyond `max` */
	uint64_t nr_oom;        /* of them, those that nothing could be taken back for */
	uint64_t nr_oom_kill;   /* ondol_oom_count_kill */
};
void ondol_memcg_stats(struct ondol_machine *m, struct ondol_memcg_stats *out_stats);

ONDOL_END_DECLS
#endif /* ONDOL_MEMCG_H */

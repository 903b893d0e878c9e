/* SPDX-License-Identifier: MIT */
/* A request for frames on its way (page_alloc.c), and how it is refused (refusal.c). */
#ifndef ONDOL_PHYS_REQUEST_H
#define ONDOL_PHYS_REQUEST_H

#include "phys/zone.h"

struct request {
	ondol_gfp_t gfp;
	unsigned order, type, highest; /* highest zone it may use */
	int node;                      /* as asked */
	struct ondol_node *preferred;
	enum zone_watermark mark;
	bool over_limit; /* the zones have no part in its refusal */
};

/*
 * page_alloc.c.  Ask each shrinker once, when it is our turn; frames that came back.  0 where it is
 * a shrinker that asks.
 */
uint64_t phys_shrink(struct ondol_machine *m, uint64_t nr_pages);

/*
 * Linux's fragmentation index: why a zone could not serve the order.  -1000: it has a block; from
 * there 0, for want of memory, to 1000, because what is free lies in pieces.  Of free blocks their
 * number, their frames, and the frames of those that are large enough.
 */
int32_t fragmentation_index(uint64_t nr_blocks, uint64_t free, uint64_t usable, unsigned order);

/* Count it, remember why, tell the log; `reason` NULL: find it in the numbers.  No lock held. */
void request_refuse(struct ondol_machine *m, const struct request *req, const char *reason);

#endif /* ONDOL_PHYS_REQUEST_H */

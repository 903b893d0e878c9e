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
/* Count it, remember why, tell the log; `reason` NULL: find it in the numbers.  No lock held. */
void request_refuse(struct ondol_machine *m, const struct request *req, const char *reason);

#endif /* ONDOL_PHYS_REQUEST_H */

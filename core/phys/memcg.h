/* SPDX-License-Identifier: MIT */
/* The limits of a machine's programs: see memcg.c for the theory. */
#ifndef ONDOL_PHYS_MEMCG_H
#define ONDOL_PHYS_MEMCG_H

#include <ondol/memcg.h>

#include "phys/machine.h"

/* A block has another use; [MEMCG-1]. */
void memcg_recharge(struct ondol_machine *m, unsigned old, unsigned use, unsigned order);
/*
 * Make room for nr_pages more below `max`, if `gfp` lets that take its time.  False: there is
 * none, and the request is to be refused.
 */
ONDOL_MUST_CHECK bool memcg_admit(struct ondol_machine *m, ondol_gfp_t gfp, uint64_t nr_pages);
/* The same as far as it goes, for who will ask for so many soon; nothing is counted. */
void memcg_make_room(struct ondol_machine *m, uint64_t nr_pages);
extern const char memcg_refusal[]; /* why, in a sentence */

#endif /* ONDOL_PHYS_MEMCG_H */

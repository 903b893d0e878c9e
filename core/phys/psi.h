/* SPDX-License-Identifier: MIT */
/* For how long threads waited for memory: see psi.c for the theory. */
#ifndef ONDOL_PHYS_PSI_H
#define ONDOL_PHYS_PSI_H

#include <ondol/pressure.h>

#include "base/spinlock.h"

#define PSI_AVERAGES 3 /* of 10, 60 and 300 seconds */

struct psi {
	bool (*anyone_runs)(void *ctx); /* (c) while anybody waits; or NULL */
	void *ctx;
	struct spinlock lock; /* of all that follows */
	bool others_run;      /* when that was last looked at */
	uint32_t nr_stalled;
	uint64_t since;      /* ns: totals and averages are as of then */
	uint64_t period_end; /* ns: averages are due */
	uint64_t total[ONDOL_PSI_NR];    /* ns */
	uint64_t averaged[ONDOL_PSI_NR]; /* of it, what is in the averages */
	uint64_t avg[ONDOL_PSI_NR][PSI_AVERAGES]; /* per cent, PSI_SHIFT bits of fraction */
};

void psi_init(struct ondol_machine *m);

#endif /* ONDOL_PHYS_PSI_H */

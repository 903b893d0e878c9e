/* SPDX-License-Identifier: MIT */
/* Operations of tests/model/mm_test.c that merge equal pages. */
#ifndef TESTS_SUPPORT_MM_KSM_H
#define TESTS_SUPPORT_MM_KSM_H

#include "support/mm_world.h"
#include "support/ops.h"

static uint64_t pages_merged, merged_copied; /* over all rounds: it did happen */

/* Much of what is mapped wants merging, or not; else a step: what programs see stays. */
static void do_ksm(struct model *m, const struct op *op)
{
	unsigned lo = (unsigned)(op->a % (NR / 2)), hi = lo + NR / 2;
	int advice = op->d % 4 ? A_MERGEABLE : A_UNMERGEABLE;

	if (!w.config->ksm)
		return;
	if (op->c % 4 == 0) {
		int expected = model_madvise(m, lo, hi, advice);

		expect("madvise of much",
		       ondol_madvise(m->mm, hw_addr(&w.hw, lo), (hi - lo) * ONDOL_PAGE_SIZE,
				     advice), expected);
		return;
	}
	/* Small steps, so that a round sees calls in its middle; or twice all that there is. */
	pages_merged += ondol_ksm_scan(w.toy.m, op->c % 4 == 1 ? op->b % 200 : UINT64_MAX);
	if (op->c % 4 == 3)
		pages_merged += ondol_ksm_scan(w.toy.m, UINT64_MAX);
}

#endif /* TESTS_SUPPORT_MM_KSM_H */

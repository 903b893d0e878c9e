/* SPDX-License-Identifier: MIT */
/*
 * Who is to end when there is no frame left and nothing to reclaim: the one with the most memory
 * that its end gives back, more or less by what its owner says.
 *
 *	points = resident + swapped + page tables, in pages
 *	         + score_adj thousandths of all memory that they may have, and swap
 *
 * Source: proc(5), oom_score_adj; Linux mm/oom_kill.c for the terms of the sum.
 */
#include "virt/swap.h"

uint64_t ondol_oom_total_pages(const struct ondol_machine *m)
{
	return min_u64(m->phys->managed, m->memcg.on ? m->memcg.limits.max : UINT64_MAX) +
	       (m->virt->swap ? m->virt->swap->total : 0);
}

int64_t ondol_oom_badness(const struct ondol_mm_struct *mm, int score_adj)
{
	int64_t thousandth = (int64_t)div_u64(ondol_oom_total_pages(mm->m), 1000);

	if (score_adj <= ONDOL_OOM_SCORE_ADJ_MIN)
		return INT64_MIN;
	return (int64_t)(mm_rss(mm) + mm->nr_swap + mm->pgt.nr_tables) + score_adj * thousandth;
}

int64_t ondol_oom_score(const struct ondol_mm_struct *mm, int score_adj)
{
	uint64_t thousandth = max_u64(div_u64(ondol_oom_total_pages(mm->m), 1000), 1);
	int64_t badness = ondol_oom_badness(mm, score_adj), parts;

	if (badness == INT64_MIN)
		return 0;
	/* From -1000 .. 2000 to 0 .. 2000; no 64-bit division of negative numbers. */
	parts = badness < 0 ? -(int64_t)div_u64((uint64_t)-badness, (uint32_t)thousandth) :
			      (int64_t)div_u64((uint64_t)badness, (uint32_t)thousandth);
	return parts < -1000 ? 0 : (int64_t)div_u64((uint64_t)(1000 + parts) * 2, 3);
}

void ondol_oom_count_kill(struct ondol_mm_struct *mm)
{
	mm->counters.oom_kills++;
	if (mm->m->memcg.on)
		__atomic_fetch_add(&mm->m->memcg.nr_oom_kill, 1, __ATOMIC_RELAXED);
}

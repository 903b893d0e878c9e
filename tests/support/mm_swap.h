/* SPDX-License-Identifier: MIT */
/* Operations of tests/model/mm_test.c that are about pages in swap, and the check at the end. */
#ifndef TESTS_SUPPORT_MM_SWAP_H
#define TESTS_SUPPORT_MM_SWAP_H

#include "support/mm_world.h"
#include "support/ops.h"

/* What of a program may go to swap goes there. */
static void page_out(struct model *m)
{
	for (unsigned i = model_next(m, 0), end; i < NR; i = model_next(m, end)) {
		uint64_t length;
		int r;

		end = model_end(m, i);
		length = (end - i) * ONDOL_PAGE_SIZE;
		r = ondol_madvise(m->mm, hw_addr(&w.hw, i), length, A_PAGEOUT);
		expect("page out", r, m->page[i].flags & ONDOL_VM_LOCKED ? -ONDOL_EINVAL : 0);
	}
}

/* Limits that leave the programs no more than a squeeze does, or none. */
static void limit(const struct op *op)
{
	struct ondol_memcg_limits limits = { ONDOL_MEMCG_NONE, ONDOL_MEMCG_NONE };
	struct ondol_memcg_stats s;

	ondol_memcg_stats(w.toy.m, &s);
	if (op->b & 1)
		limits.max = s.current + 700 + op->b % 1000;
	if (op->b & 2)
		limits.high = s.current + op->b % 100;
	ondol_memcg_set(w.toy.m, &limits);
}

/*
 * Frames become scarce: all but a few hundred are taken, or for a moment as many as can be had,
 * so that whatever can go does.  The next such operation gives back what this one keeps.  Or limits
 * come and go.
 */
static void do_squeeze(struct model *m, const struct op *op)
{
	const uint32_t most = COUNT(w.squeezed), keep = 700 + op->b % 1000;
	bool all = op->a % 4 == 0;

	if (!w.config->swap)
		return;
	if (op->c % 4) {
		page_out(m);
		(void)ondol_memcg_over_high(w.toy.m, 16);
		return;
	}
	while (w.nr_squeezed)
		ondol_put_page(w.toy.m, w.squeezed[--w.nr_squeezed]);
	while (w.nr_squeezed < most && (all || ondol_nr_free_pages(w.toy.m) > keep)) {
		struct ondol_page *page = ondol_alloc_pages(
			w.toy.m, ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_NOWARN, 0);

		if (!page)
			break;
		w.squeezed[w.nr_squeezed++] = page;
	}
	while (all && w.nr_squeezed)
		ondol_put_page(w.toy.m, w.squeezed[--w.nr_squeezed]);
	if (all)
		limit(op);
}

/* Every page that can be read shows what it should, wherever it was. */
static void read_all(struct model *m)
{
	for (unsigned i = 0; i < NR; i++) {
		struct content c;

		if (!m->page[i].mapped || !(m->page[i].flags & ONDOL_VM_ACCESS) ||
		    model_fault(m, i, ONDOL_FAULT_READ, w.implied))
			continue;
		expect("copy_from_user",
		       ondol_copy_from_user(m->mm, &c.first, hw_addr(&w.hw, i), 8), 0);
		expect("copy_from_user",
		       ondol_copy_from_user(m->mm, &c.last,
					    hw_addr(&w.hw, i) + ONDOL_PAGE_SIZE - 8, 8), 0);
		if (!same_content(c, mp_content(&m->page[i])))
			broken("page %u: other contents at the end", i);
	}
}

#endif /* TESTS_SUPPORT_MM_SWAP_H */

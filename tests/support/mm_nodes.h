/* SPDX-License-Identifier: MIT */
/* Operations of tests/model/mm_test.c that are about where pages lie: nodes and ranges. */
#ifndef TESTS_SUPPORT_MM_NODES_H
#define TESTS_SUPPORT_MM_NODES_H

#include "support/mm_world.h"
#include "support/ops.h"

static int model_mbind(struct model *m, unsigned lo, unsigned hi, uint8_t policy)
{
	for (unsigned i = lo; i < hi; i++) {
		if (!m->page[i].mapped && policy)
			return -ONDOL_EFAULT; /* the pages before it are done */
		if (m->page[i].mapped)
			m->page[i].policy = policy;
	}
	return 0;
}

static void do_mbind(struct model *m, const struct op *op)
{
	struct range r = pick_range(m, op->a, op->b);
	uint8_t policy = (uint8_t)(op->c % POLICIES);
	int expected = r.unaligned ? -ONDOL_EINVAL : model_mbind(m, r.lo, r.hi, policy);

	expect("mbind", ondol_mbind(m->mm, r.addr, r.length, &w.policy[policy]), expected);
}

/* A page, or all of a range, to another node: what programs see stays. */
static void do_move(struct model *m, const struct op *op)
{
	struct range r = pick_range(m, op->a, op->b);
	unsigned node = op->c % NODES;
	bool all = op->c >> 16 & 1;
	int got;

	if (op->c % 8 < 2) {
		ondol_migrate_to_policy(m->mm, hw_addr(&w.hw, r.lo), hw_addr(&w.hw, r.hi),
					&w.policy[1 + (op->c >> 3) % (POLICIES - 1)], all);
		return;
	}
	got = ondol_move_page(m->mm, hw_addr(&w.hw, r.lo), node, all);
	if (got >= 0) {
		expect("moved to", got, node);
		expect("node", ondol_page_node_at(m->mm, hw_addr(&w.hw, r.lo)), node);
	} else if (!m->page[r.lo].mapped) {
		expect("move_page", got, -ONDOL_EFAULT);
	} else if (all) { /* nothing but absence stands against it */
		expect("move_page of all", got, mp_native(&m->page[r.lo]) ? -ONDOL_EFAULT :
								      -ONDOL_ENOENT);
	}
}

/* The frames around a page's are wanted: it goes, whoever maps it. */
static void do_contig(struct model *m, const struct op *op)
{
	struct ondol_pte_view entry = hw_entry(&w.hw, m->mm, hw_addr(&w.hw, pick_page(m, op->a)));
	uint64_t pfn = ondol_phys_to_pfn(entry.phys).value, first = pfn - op->b % 32;
	uint32_t nr = (uint32_t)(pfn - first + 1 + op->c % 32);
	ondol_pfn_t busy;

	if (!entry.present || pfn < first)
		return;
	int r = ondol_alloc_contig_range(w.toy.m, ondol_pfn(first), nr, &busy);
	if (!r) {
		ondol_free_pages_exact(w.toy.m, ondol_pfn_to_page(w.toy.m, ondol_pfn(first)), nr);
		return;
	}
	if (r == -ONDOL_EINVAL) /* across the nodes' border, or below the first frame */
		return;
	expect("alloc_contig_range", r, -ONDOL_EBUSY);
	switch (ondol_page_use(ondol_pfn_to_page(w.toy.m, busy))) {
	case ONDOL_PAGE_ANON:
	case ONDOL_PAGE_CACHE:
	case ONDOL_PAGE_FREE: broken("%llu could have moved", (unsigned long long)busy.value);
	default:;
	}
}

/* Pages move together, all that can or until there is a block: what programs see stays. */
static void do_compact(const struct op *op)
{
	unsigned order = 1 + op->b % 9;
	struct ondol_page *page;

	if (op->a & 1) {
		ondol_compact_node(w.toy.m, op->b % NODES);
		return;
	}
	page = ondol_alloc_pages(w.toy.m, ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_NOWARN, order);
	if (page)
		ondol_free_pages(w.toy.m, page, order);
}

#endif /* TESTS_SUPPORT_MM_NODES_H */

/* SPDX-License-Identifier: MIT */
/* Operations of tests/model/mm_test.c on ranges that a large leaf can map. */
#ifndef TESTS_SUPPORT_MM_HUGE_H
#define TESTS_SUPPORT_MM_HUGE_H

#include "support/mm_world.h"
#include "support/ops.h"

#define A_COLLAPSE 25

static uint64_t huge_seen; /* leaves, over all rounds: it did happen */

/* Pages of such a range; the window of a model with THP begins at one's start. */
static unsigned huge_pages(void)
{
	return 1u << w.hw.format->level[0].bits;
}

/* A new private region over the first range or the first two, in place of what was there. */
static bool map_huge(struct model *m, const struct op *op)
{
	unsigned n = huge_pages(), more = (unsigned)(op->b % 3) * 20;
	struct ondol_mmap_args args = { .size = sizeof args, .map_flags = ONDOL_MAP_FIXED,
					.vm_flags = ONDOL_VM_READ | ONDOL_VM_WRITE | MAY_ALL };
	struct mpage page = { .mapped = true };
	ondol_virt_addr_t at = 0;
	unsigned first = op->a % 2 && 2 * n <= NR ? n : 0;

	n = op->a % 4 < 2 && 2 * n <= NR && !first ? 2 * n : n;
	n = first + n + more <= NR ? n + more : n;
	args.addr = hw_addr(&w.hw, first);
	args.length = n * ONDOL_PAGE_SIZE;
	page.flags = model_account(args.vm_flags) | m->new_flags;
	if (!model_may_lock(m, page.flags, n))
		return false;
	expect("mmap of ranges", ondol_mmap(m->mm, &args, &at), 0);
	for (unsigned i = first; i < first + n; i++)
		m->page[i] = page;
	return true;
}

static void touch_range(struct model *m, unsigned page)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = ONDOL_FAULT_WRITE,
					 .addr = hw_addr(&w.hw, page), .nr_around = 1 };
	struct ondol_fault_result result;

	if (!m->page[page].mapped) /* a stack above would grow */
		return;
	(void)!ondol_handle_mm_fault(m->mm, &args, &result); /* there may be no memory */
	huge_seen += hw_is_large(&w.hw, m->mm, args.addr);
}

/* What programs see of their contents is the same whatever the tables look like. */
static void do_huge(struct model *m, const struct op *op)
{
	unsigned n = huge_pages(), first = op->b % 2 && 2 * n <= NR ? n : 0;
	int r;

	if (!w.config->thp || n > NR)
		return;
	switch (op->c % 8) {
	case 0:
	case 1:
	case 2:
		if (map_huge(m, op))
			touch_range(m, first + op->d % n);
		break;
	case 3:
		ondol_khugepaged(w.toy.m, 4096);
		break;
	case 4:
		touch_range(m, first + op->d % n);
		break;
	default:
		r = ondol_madvise(m->mm, hw_addr(&w.hw, first), n * ONDOL_PAGE_SIZE, A_COLLAPSE);
		if (r && r != -ONDOL_EINVAL && r != -ONDOL_ENOMEM && r != -ONDOL_EAGAIN)
			broken("collapse: %d", r);
		if (!r && !hw_is_large(&w.hw, m->mm, hw_addr(&w.hw, first)))
			broken("collapse: done, but there is no leaf");
		huge_seen += !r;
	}
}

#endif /* TESTS_SUPPORT_MM_HUGE_H */

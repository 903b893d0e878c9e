/* SPDX-License-Identifier: MIT */
/*
 * Pages on their way out: entry by entry, a window at a time.
 *
 *	entry present -> empty      and, of a real MMU, the hardware is told: nobody writes now
 *	written to a slot           unless the frame is cached, and so has one already
 *	entry empty -> swap entry   the frame's reference goes; the last one frees it
 *	or -> present, as it was    no area takes the page
 *
 * Software-filled hardware does not hold these entries, and asks for nothing meanwhile.  What
 * others map of a page they map read-only [COW-2], so it cannot change either.
 */
#include "virt/swap.h"

#define BATCH 16u

struct victim {
	void *slot;   /* the entry */
	uint64_t pte; /* what it was */
};

struct swap_out {
	struct ondol_mm_struct *mm;
	struct victim victim[BATCH];
	uint32_t nr;
	uint64_t lo, hi; /* a real MMU may hold these */
	uint64_t taken, freed;
};

/* Private, nobody has a reference beside entries and slot, and it is not on its way elsewhere. */
static bool may_go(const struct swap_out *out, uint64_t pte)
{
	const struct ondol_page *page = pte_page(out->mm, pte);

	if (page_use(page) != ONDOL_PAGE_ANON || page->flags & ONDOL_PG_MOVING)
		return false;
	return page_refs(page) ==
	       page->data.mapcount + (page->flags & ONDOL_PG_SWAPCACHE ? 1 : 0);
}

/* The slot that has the page's contents; one more entry will name it. */
static int slot_for(struct ondol_machine *m, struct ondol_page *page, uint64_t *out_slot)
{
	int r = 0;

	if (page->flags & ONDOL_PG_SWAPCACHE)
		*out_slot = page->data.index;
	else
		r = swap_write(m, page, out_slot);
	if (!r)
		swap_get(m, *out_slot);
	return r;
}

static void put_out(struct swap_out *out, const struct victim *v)
{
	struct ondol_mm_struct *mm = out->mm;
	struct ondol_page *page = pte_page(mm, v->pte);
	uint64_t slot;

	if (slot_for(mm->m, page, &slot)) {
		pte_set(&mm->pgt, v->slot, v->pte & ~mm->pgt.format->accessed_mask);
		return;
	}
	pte_set(&mm->pgt, v->slot, pte_of_slot(mm, slot));
	mm->rss[RSS_ANON]--;
	mm->nr_swap++;
	if (page_refs(page) > 1 && !(page->flags & ONDOL_PG_SWAPCACHE))
		swap_cache_add(mm->m, slot, page);
	out->taken++;
	out->freed += page_refs(page) == (page->flags & ONDOL_PG_SWAPCACHE ? 2 : 1);
	put_mapped(mm->m, page);
}

static void put_batch_out(struct swap_out *out)
{
	if (out->lo < out->hi)
		tlb_invalidate(out->mm, out->lo, out->hi);
	out->lo = UINT64_MAX;
	out->hi = 0;
	for (uint32_t i = 0; i < out->nr; i++)
		put_out(out, &out->victim[i]);
	out->nr = 0;
}

uint64_t swap_out_range(struct ondol_mm_struct *mm, uint64_t start, uint64_t end, bool cold_only,
			uint64_t *out_freed)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	struct swap_out out = { .mm = mm, .lo = UINT64_MAX };
	struct pgtable_span span;

	pgtable_for_each_span(&mm->pgt, span, start, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			uint64_t pte = pte_get(&mm->pgt, slot);

			if (!pte_present(mm, pte) || (cold_only && (pte & f->accessed_mask)) ||
			    !may_go(&out, pte))
				continue;
			if (!swap_has_room(mm->m))
				break;
			huge_split_at(mm, addr);
			pte = pte_exchange(&mm->pgt, slot, 0);
			if (!mm->soft_fill && (pte & f->accessed_mask)) {
				out.lo = min_u64(out.lo, addr);
				out.hi = addr + ONDOL_PAGE_SIZE;
			}
			out.victim[out.nr++] = (struct victim){ slot, pte };
			if (out.nr == BATCH)
				put_batch_out(&out);
		}
	}
	put_batch_out(&out);
	*out_freed += out.freed;
	return out.taken;
}

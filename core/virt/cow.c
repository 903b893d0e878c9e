/* SPDX-License-Identifier: MIT */
/*
 * A write to a page that is mapped without the right to write, in a region that has it.
 *
 *	ours alone [COW-1]   make the entry writable                     COW_REUSE
 *	anybody else's       copy it; the entry names the copy           COW_COPY
 *	merged [KSM-2]       the same, even if we are the last
 *
 * With a window, anonymous neighbours in the same state are copied along: a fault costs as much
 * as some ten copies where the hardware is the host's (docs/benchmarks.md), and who writes a
 * page after a fork soon writes the next one.
 */
#include "virt/ksm.h"

#define COW_AROUND 8u /* pages */

/*
 * The entry, and those of the window in the same state, become writable, which is all that
 * they lack.  What the hardware holds is narrower, which is always allowed.
 */
static void reuse(struct fault *f)
{
	struct ondol_mm_struct *mm = f->mm;
	const struct ondol_pgtable_format *format = mm->pgt.format;
	uint64_t size = min_u64((uint64_t)f->around << ONDOL_PAGE_SHIFT,
				UINT64_C(1) << pgtable_table_shift(format, 0));
	uint64_t lo = max_u64(align_down(f->addr, size), f->vma->start);
	uint64_t hi = min_u64(align_down(f->addr, size) + size, f->vma->end);
	unsigned char *slot = (unsigned char *)f->slot -
			      ((f->addr - lo) >> ONDOL_PAGE_SHIFT) * format->pte_size;

	f->result->kind = ONDOL_FAULT_COW_REUSE;
	for (; lo < hi; lo += ONDOL_PAGE_SIZE, slot += format->pte_size) {
		uint64_t pte = pte_get(&mm->pgt, slot);

		if (!(pte & format->present_mask) || (pte & format->write_mask))
			continue;
		if (!vma_is_shared(f->vma) && !page_exclusive_anon(pte_page(mm, pte)))
			continue;
		/* What software may have filled in as writable is dirty: [MMU-1]. */
		pte_or(&mm->pgt, slot,
		       format->write_mask | (mm->soft_fill && (pte & format->accessed_mask) ?
						     format->dirty_mask : 0));
		f->result->nr_pages++;
	}
}

/*
 * An entry like the fault's: shared memory of a fork that a write would copy.  Not what the
 * scanner has merged (ksm.c), which would only find it again.
 */
static bool would_copy(const struct ondol_mm_struct *mm, uint64_t pte)
{
	const struct ondol_pgtable_format *format = mm->pgt.format;
	const struct ondol_page *page;

	if (!(pte & format->present_mask) || (pte & format->write_mask))
		return false;
	page = pte_page(mm, pte);
	return page_use(page) == ONDOL_PAGE_ANON && page_refs(page) > 1 && !page_is_merged(page);
}

/* The fault's page and those beside it that are copied along, COW_AROUND at most. */
static struct fault_run copy_run(const struct fault *f)
{
	return fault_run_of(f, min_u64(f->around, COW_AROUND), would_copy);
}

/* The entry names the copy `page` now.  Returns what it was. */
static uint64_t copy_page(struct fault *f, void *slot, struct ondol_page *page, uint64_t pte)
{
	struct ondol_mm_struct *mm = f->mm;
	struct ondol_page *old = pte_page(mm, pte);

	kmap_copy(mm->m, page, old);
	page_make_anon(mm->m, page);
	pte = pte_exchange(&mm->pgt, slot,
			   pte_template(mm, flags_prot(f->vma->flags)) |
				   (machine_page_pfn(mm->m, page) << ONDOL_PAGE_SHIFT));
	mm->rss[page_rss_class(old)]--;
	mm->rss[RSS_ANON]++;
	return pte;
}

int fault_copy(struct fault *f)
{
	struct ondol_mm_struct *mm = f->mm;
	struct fault_run run = fault_one_page(f);
	struct ondol_page *page, *old[COW_AROUND];
	uint64_t lo, hi;
	uint32_t n;

	if (f->around > 1)
		run = copy_run(f);
	page = fault_alloc_run(f, &run, false);
	if (!page)
		return -ONDOL_ENOMEM;
	n = (uint32_t)((run.hi - run.lo) >> ONDOL_PAGE_SHIFT);
	if (mm->soft_fill &&
	    tlb_extent(mm, run.lo, run.hi, mm->pgt.format->accessed_mask, &lo, &hi))
		tlb_invalidate(mm, lo, hi);
	lo = UINT64_MAX;
	hi = 0;
	for (uint32_t i = 0; i < n; i++, run.slot = pte_next(&mm->pgt, run.slot)) {
		uint64_t addr = run.lo + ((uint64_t)i << ONDOL_PAGE_SHIFT);
		uint64_t pte = pte_get(&mm->pgt, run.slot);

		old[i] = pte_page(mm, pte);
		if (copy_page(f, run.slot, &page[i], pte) & mm->pgt.format->accessed_mask) {
			lo = min_u64(lo, addr);
			hi = addr + ONDOL_PAGE_SIZE;
		}
	}
	/* A real MMU may use the old frames up to here. */
	if (!mm->soft_fill && lo < hi)
		tlb_invalidate(mm, lo, hi);
	for (uint32_t i = 0; i < n; i++) {
		mm->counters.cow_ksm += page_is_merged(old[i]);
		put_mapped(mm->m, old[i]);
	}
	f->result->kind = ONDOL_FAULT_COW_COPY;
	f->result->nr_pages = n;
	return 0;
}

int fault_cow(struct fault *f, uint64_t pte)
{
	if (vma_is_shared(f->vma) || page_exclusive_anon(pte_page(f->mm, pte))) {
		reuse(f);
		return 0;
	}
	return fault_copy(f);
}

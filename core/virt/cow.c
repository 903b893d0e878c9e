/* SPDX-License-Identifier: MIT */
/*
 * A write to a page that is mapped without the right to write, in a region that has it.
 *
 *	ours alone [COW-1]   make the entry writable                     COW_REUSE
 *	anybody else's       copy it; the entry names the copy           COW_COPY
 */
#include "virt/virt.h"

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

static int copy(struct fault *f, uint64_t pte)
{
	struct ondol_mm_struct *mm = f->mm;
	struct ondol_page *old = pte_page(mm, pte), *page;
	uint64_t accessed = mm->pgt.format->accessed_mask;

	page = ondol_alloc_pages(mm->m, ONDOL_GFP_HIGHUSER_MOVABLE, 0);
	if (!page)
		return -ONDOL_ENOMEM;
	__builtin_memcpy(page_data(mm, page), page_data(mm, old), ONDOL_PAGE_SIZE);
	page_make_anon(mm->m, page);
	if (mm->soft_fill && (pte & accessed))
		tlb_invalidate(mm, f->addr, f->addr + ONDOL_PAGE_SIZE);
	pte = pte_exchange(&mm->pgt, f->slot,
			   pte_template(mm, flags_prot(f->vma->flags)) |
				   (machine_page_pfn(mm->m, page) << ONDOL_PAGE_SHIFT));
	if (!mm->soft_fill && (pte & accessed))
		tlb_invalidate(mm, f->addr, f->addr + ONDOL_PAGE_SIZE);
	mm->rss[page_rss_class(old)]--;
	mm->rss[RSS_ANON]++;
	__atomic_fetch_sub(&old->data.mapcount, 1, __ATOMIC_RELAXED);
	ondol_put_page(mm->m, old);
	f->result->kind = ONDOL_FAULT_COW_COPY;
	f->result->nr_pages = 1;
	return 0;
}

int fault_cow(struct fault *f, uint64_t pte)
{
	if (vma_is_shared(f->vma) || page_exclusive_anon(pte_page(f->mm, pte))) {
		reuse(f);
		return 0;
	}
	return copy(f, pte);
}

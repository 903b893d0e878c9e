/* SPDX-License-Identifier: MIT */
/*
 * The hardware as a cache: what it is told, and what software-filled hardware asks.
 *
 * Everything here follows from [MMU-1] (include/ondol/port.h): a translation may be in the
 * hardware only where the entry has A, a writable one only where it has D too.  A and D may
 * be set where nothing is cached; that costs a needless call, never a stale translation.
 */
#include "virt/virt.h"

void tlb_invalidate(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	struct ondol_machine *m = mm->m;

	mm->counters.tlb_invalidates++;
	if (m->mmu)
		m->mmu->invalidate(m->mmu_ctx, mm, start, end);
}

void tlb_protect(struct ondol_mm_struct *mm, uint64_t start, uint64_t end, uint32_t prot)
{
	struct ondol_machine *m = mm->m;

	mm->counters.tlb_protects++;
	m->mmu->protect(m->mmu_ctx, mm, start, end, prot);
}

bool tlb_extent(struct ondol_mm_struct *mm, uint64_t start, uint64_t end, uint64_t mask,
		uint64_t *out_lo, uint64_t *out_hi)
{
	struct pgtable_span span;
	bool any = false;

	pgtable_for_each_span(&mm->pgt, span, start, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			if ((pte_get(&mm->pgt, slot) & mask) != mask)
				continue;
			if (!any)
				*out_lo = addr;
			*out_hi = addr + ONDOL_PAGE_SIZE;
			any = true;
		}
	}
	return any;
}

void tlb_clear_accessed(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	uint64_t accessed = mm->pgt.format->accessed_mask;
	struct pgtable_span span;

	pgtable_for_each_span(&mm->pgt, span, start, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			uint64_t pte = pte_get(&mm->pgt, slot);

			if (pte & accessed)
				pte_set(&mm->pgt, slot, pte & ~accessed);
		}
	}
}

bool tlb_forget(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	uint64_t lo, hi;

	if (!mm->soft_fill ||
	    !tlb_extent(mm, start, end, mm->pgt.format->accessed_mask, &lo, &hi))
		return false;
	tlb_invalidate(mm, lo, hi);
	tlb_clear_accessed(mm, lo, hi);
	return true;
}

void ondol_tlb_evicted(struct ondol_mm_struct *mm, ondol_virt_addr_t start, ondol_virt_addr_t end)
{
	start = align_down(start, ONDOL_PAGE_SIZE);
	tlb_clear_accessed(mm, start, min_u64(end, mm->task_size));
}

bool ondol_tlb_span(struct ondol_mm_struct *mm, ondol_virt_addr_t start, ondol_virt_addr_t end,
		    ondol_virt_addr_t *out_start, ondol_virt_addr_t *out_end)
{
	uint64_t accessed = mm->pgt.format->accessed_mask;
	struct pgtable_span span;
	bool any = false;

	start = align_down(start, ONDOL_PAGE_SIZE);
	end = min_u64(end, mm->task_size);
	pgtable_for_each_span(&mm->pgt, span, start, end) {
		void *slot = span.slot;

		if (any && span.addr != *out_end)
			return true;
		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			if (pte_get(&mm->pgt, slot) & accessed) {
				if (!any)
					*out_start = addr;
				any = true;
				*out_end = addr + ONDOL_PAGE_SIZE;
			} else if (any) {
				return true;
			}
		}
	}
	return any;
}

/* What a run's entries have in common. */
struct run_match {
	uint64_t pte;    /* addr's */
	uint64_t addr;
	uint64_t ignore; /* bits that may differ: A, D and the frame (compared apart) */
};

static bool run_goes_on(const struct ondol_mm_struct *mm, const struct run_match *match,
			uint64_t pte, uint64_t addr)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;

	return (pte & f->present_mask) && !(pte & f->accessed_mask) &&
	       !((pte ^ match->pte) & ~match->ignore) &&
	       (pte & f->phys_mask) == (match->pte & f->phys_mask) + (addr - match->addr);
}

int ondol_tlb_fill(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint32_t access,
		   uint32_t window, struct ondol_tlb_run *out_run)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	uint64_t page = align_down(addr, ONDOL_PAGE_SIZE), size, lo, hi, set;
	struct run_match match = { .addr = page };
	unsigned char *slot, *first, *last;
	const struct vma *vma;
	void *leaf = NULL;

	if (page >= mm->task_size)
		return -ONDOL_EFAULT;
	slot = pgtable_find(&mm->pgt, page);
	if (!slot)
		return -ONDOL_EFAULT;
	match.pte = pte_get(&mm->pgt, slot);
	if (!pte_allows(mm, match.pte, access))
		return -ONDOL_EFAULT;
	vma = vma_find(mm, page);
	if (!vma || vma->start > page)
		return -ONDOL_EFAULT;
	if (mm->no_write_trap && flags_are_cow(vma->flags) && !(match.pte & f->write_mask))
		return -ONDOL_EFAULT;
	match.ignore = f->accessed_mask | f->dirty_mask | f->phys_mask;

	/*
	 * The window, cut down to the region and to the table that slot is in.  Where the page is
	 * cached already nobody fills, so its neighbours must not be taken for cached [MMU-1].
	 */
	if (ondol_unlikely(mm->pgt.nr_huge))
		leaf = pgtable_huge_find(&mm->pgt, page);
	if (match.pte & f->accessed_mask)
		window = 1;
	else if (leaf) /* in one piece, whatever was asked for */
		window = 1u << f->level[0].bits;
	size = (uint64_t)(window ? window : 1) << ONDOL_PAGE_SHIFT;
	size = min_u64(size, UINT64_C(1) << pgtable_table_shift(f, 0));
	lo = max_u64(align_down(page, size), vma->start);
	hi = min_u64(align_down(page, size) + size, vma->end);
	set = f->accessed_mask | (match.pte & f->write_mask ? f->dirty_mask : 0);

	for (first = slot; page > lo; first -= f->pte_size, page -= ONDOL_PAGE_SIZE)
		if (!run_goes_on(mm, &match, pte_get(&mm->pgt, first - f->pte_size),
				 page - ONDOL_PAGE_SIZE))
			break;
	lo = page;
	for (page = match.addr + ONDOL_PAGE_SIZE, last = slot + f->pte_size; page < hi;
	     last += f->pte_size, page += ONDOL_PAGE_SIZE)
		if (!run_goes_on(mm, &match, pte_get(&mm->pgt, last), page))
			break;
	hi = page;
	for (; first < last; first += f->pte_size)
		pte_set(&mm->pgt, first, pte_get(&mm->pgt, first) | set);
	if (leaf)
		pte_or(&mm->pgt, leaf, set);
	mm->counters.tlb_fills++;
	*out_run = (struct ondol_tlb_run){
		.start = lo,
		.nr_pages = (uint32_t)((hi - lo) >> ONDOL_PAGE_SHIFT),
		.prot = pte_prot(mm, match.pte),
		.pfn = { ((match.pte & f->phys_mask) - (match.addr - lo)) >> ONDOL_PAGE_SHIFT },
		.cached = (match.pte & f->accessed_mask) != 0,
	};
	return 0;
}

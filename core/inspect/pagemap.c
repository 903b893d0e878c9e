/* SPDX-License-Identifier: MIT */
/*
 * What a program can know of its pages one by one: /proc/PID/pagemap and clear_refs.
 *
 * pagemap has 64 bits for each page of the address space (Linux's own description of it is
 * Documentation/admin-guide/mm/pagemap.rst):
 *
 *	63 present | 62 swapped | 61 a file's or shared | 58 a guard | 56 nobody else maps it |
 *	54..0 frame
 *
 * Bit 55 (soft-dirty) and 57 (write-protected by userfaultfd) are 0, as on a kernel without them.
 * clear_refs makes the accessed bits 0, so that smaps' Referenced tells what is used from then on.
 * Hardware that is filled by software forgets the pages: it sets the bit again when it is filled.
 */
#include "virt/virt.h"

#define PM_FILE (UINT64_C(1) << 61)
#define PM_GUARD (UINT64_C(1) << 58)
#define PM_EXCLUSIVE (UINT64_C(1) << 56)
#define PM_SWAP (UINT64_C(1) << 62)
#define PM_PRESENT (UINT64_C(1) << 63)

static uint64_t entry_of(const struct ondol_mm_struct *mm, uint64_t pte)
{
	if (pte_is_swap(mm, pte)) /* the number of its slot; of its area, which is one of them, 0 */
		return PM_SWAP | pte_slot(mm, pte) << 5;
	if (!pte_present(mm, pte))
		return pte_is_guard(mm, pte) ? PM_GUARD : 0;
	const struct ondol_page *page = pte_page(mm, pte);
	uint64_t entry = PM_PRESENT | machine_page_pfn(mm->m, page);

	if (page_use(page) != ONDOL_PAGE_ANON)
		entry |= PM_FILE;
	if (__atomic_load_n(&page->data.mapcount, __ATOMIC_RELAXED) == 1)
		entry |= PM_EXCLUSIVE;
	return entry;
}

int ondol_pagemap(struct ondol_mm_struct *mm,
		  int (*visit)(void *ctx, ondol_virt_addr_t start, const uint64_t *entries,
			       uint32_t nr),
		  void *ctx)
{
	uint64_t entries[64];
	struct pgtable_span span;
	int r;

	for (const struct vma *vma = vma_first(mm); vma; vma = vma_next(vma)) {
		pgtable_for_each_span(&mm->pgt, span, vma->start, vma->end) {
			void *slot = span.slot;
			uint32_t n = 0;

			for (uint64_t at = span.addr; at < span.end;) {
				uint64_t pte = pte_get(&mm->pgt, slot);

				entries[n++] = entry_of(mm, pte);
				slot = pte_next(&mm->pgt, slot);
				at += ONDOL_PAGE_SIZE;
				if (n < 64 && at < span.end)
					continue;
				r = visit(ctx, at - n * ONDOL_PAGE_SIZE, entries, n);
				if (r)
					return r;
				n = 0;
			}
		}
	}
	return 0;
}

/* Real hardware: as in fork.c, an entry is absent for a moment, so that no D is lost. */
static void clear_accessed_of(struct ondol_mm_struct *mm, const struct vma *vma)
{
	uint64_t accessed = mm->pgt.format->accessed_mask, lo = UINT64_MAX, hi = 0;
	struct pgtable_span span;

	if (vma_is_native(vma) || tlb_forget(mm, vma->start, vma->end) || mm->soft_fill)
		return;
	huge_split_range(mm, vma->start, vma->end);
	pgtable_for_each_span(&mm->pgt, span, vma->start, vma->end) {
		void *slot = span.slot;

		for (uint64_t at = span.addr; at < span.end;
		     at += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			uint64_t pte = pte_get(&mm->pgt, slot);

			if (!pte_present(mm, pte) || !(pte & accessed))
				continue;
			pte = pte_exchange(&mm->pgt, slot, 0);
			pte_set(&mm->pgt, slot, pte & ~accessed);
			lo = min_u64(lo, at);
			hi = at + ONDOL_PAGE_SIZE;
		}
	}
	if (lo < hi)
		tlb_invalidate(mm, lo, hi);
}

int ondol_clear_refs(struct ondol_mm_struct *mm, enum ondol_clear_refs what)
{
	switch (what) {
	case ONDOL_CLEAR_REFS_ALL:
	case ONDOL_CLEAR_REFS_ANON:
	case ONDOL_CLEAR_REFS_MAPPED:
		break;
	case ONDOL_CLEAR_REFS_SOFT_DIRTY:
		return 0;
	case ONDOL_CLEAR_REFS_HIWATER_RSS:
		mm->hiwater_rss = mm_rss(mm);
		return 0;
	default:
		return -ONDOL_EINVAL;
	}
	for (const struct vma *vma = vma_first(mm); vma; vma = vma_next(vma))
		if (what == ONDOL_CLEAR_REFS_ALL ||
		    (what == ONDOL_CLEAR_REFS_MAPPED) == !!vma->file)
			clear_accessed_of(mm, vma);
	return 0;
}

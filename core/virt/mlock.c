/* SPDX-License-Identifier: MIT */
/*
 * mlock, mincore, msync.  Nothing is ever taken away from a program here that it has not
 * given back, so a locked region is one that has been faulted in and is counted.
 * Sources: mlock(2), mincore(2), msync(2).
 */
#include "virt/virt.h"

/* Set or clear LOCKED over [start, end); stops at the first hole as Linux does. */
static int lock_flags(struct ondol_mm_struct *mm, uint64_t start, uint64_t end, bool lock)
{
	uint64_t at = start;

	while (at < end) {
		struct vma *vma = vma_find(mm, at);

		if (!vma || vma->start > at)
			return -ONDOL_ENOMEM;
		uint64_t to = min_u64(vma->end, end);
		ondol_vm_flags_t flags = lock && !vma_is_native(vma) ?
						 vma->flags | ONDOL_VM_LOCKED :
						 vma->flags & ~ONDOL_VM_LOCKED;

		if (flags != vma->flags) {
			uint64_t pages = (to - at) >> ONDOL_PAGE_SHIFT;

			if (!vma_modify(mm, vma, at, to, flags))
				return -ONDOL_ENOMEM;
			mm->locked_vm += lock ? pages : -pages;
		}
		at = to;
	}
	return 0;
}

/* Pages of [start, end) that are locked already and do not count again. */
static uint64_t locked_pages(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	uint64_t pages = 0;

	for (struct vma *vma = vma_find(mm, start); vma && vma->start < end; vma = vma_next(vma))
		if (vma->flags & ONDOL_VM_LOCKED)
			pages += (min_u64(vma->end, end) - max_u64(vma->start, start)) >>
				 ONDOL_PAGE_SHIFT;
	return pages;
}

int ondol_mlock(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint64_t length, bool lock)
{
	uint64_t start = align_down(addr, ONDOL_PAGE_SIZE);
	uint64_t size = page_align(length + (addr - start));

	if (lock && !mm->limits.memlock)
		return -ONDOL_EPERM;
	if (!size) /* nothing, or so much that it wraps to nothing: Linux tells no difference */
		return 0;
	if (start + size < start)
		return -ONDOL_EINVAL;
	if (!mm_range_ok(mm, start, size))
		return -ONDOL_ENOMEM;
	if (lock && mm->limits.memlock != UINT64_MAX) {
		uint64_t wanted = mm->locked_vm + (size >> ONDOL_PAGE_SHIFT) -
				  locked_pages(mm, start, start + size);

		if (wanted > mm->limits.memlock >> ONDOL_PAGE_SHIFT)
			return -ONDOL_ENOMEM;
	}
	int r = lock_flags(mm, start, start + size, lock);

	if (r || !lock)
		return r;
	r = mm_populate(mm, start, start + size, 0);
	/* mlock(2): a page that cannot be had is ENOMEM, or EAGAIN for lack of frames. */
	return r == -ONDOL_ENOMEM ? -ONDOL_EAGAIN : r ? -ONDOL_ENOMEM : 0;
}

/* ------------------------------------------------------------------ mincore */

static void mincore_region(struct ondol_mm_struct *mm, const struct vma *vma, uint64_t start,
			   uint64_t end, unsigned char *vec)
{
	for (uint64_t at = start; at < end; at += ONDOL_PAGE_SIZE) {
		void *slot = pgtable_find(&mm->pgt, at);
		bool resident = slot && pte_present(mm, pte_get(&mm->pgt, slot));

		if (!resident && vma->file && vma->file->mapping)
			resident = cache_has_page(vma->file->mapping, vma_pgoff_at(vma, at));
		vec[(at - start) >> ONDOL_PAGE_SHIFT] = resident || vma_is_native(vma);
	}
}

int ondol_mincore(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint64_t length,
		  unsigned char *vec)
{
	uint64_t end = addr + page_align(length);

	if (addr & (ONDOL_PAGE_SIZE - 1))
		return -ONDOL_EINVAL;
	if (!length)
		return 0;
	if (!page_align(length) || !mm_range_ok(mm, addr, page_align(length)))
		return -ONDOL_ENOMEM;
	for (uint64_t at = addr; at < end;) {
		struct vma *vma = vma_find(mm, at);

		if (!vma || vma->start > at)
			return -ONDOL_ENOMEM;
		uint64_t to = min_u64(vma->end, end);

		mincore_region(mm, vma, at, to, vec + ((at - addr) >> ONDOL_PAGE_SHIFT));
		at = to;
	}
	return 0;
}

/* ------------------------------------------------------------------ msync */

/*
 * What this mm's program wrote to the pages of a file, the entries know: tell the cache.  The
 * hardware forgets them, so that the next write is seen again.  Other mms tell when they
 * unmap, or by an msync of their own.
 */
static void collect_dirty(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	uint64_t cached = f->accessed_mask | f->dirty_mask, lo = UINT64_MAX, hi = 0;
	struct pgtable_span span;

	if (mm->soft_fill && tlb_extent(mm, start, end, cached, &lo, &hi)) {
		tlb_invalidate(mm, lo, hi);
		tlb_clear_accessed(mm, lo, hi);
	}
	pgtable_for_each_span(&mm->pgt, span, start, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			uint64_t pte = pte_get(&mm->pgt, slot);

			if (!(pte & f->present_mask) || !(pte & f->dirty_mask))
				continue;
			if (mm->pgt.hw_walker) /* not present for a moment: no A is lost */
				pte = pte_exchange(&mm->pgt, slot, 0);
			pte_set(&mm->pgt, slot, pte & ~f->dirty_mask);
			cache_mark_dirty(pte_page(mm, pte));
			if (!mm->soft_fill && (pte & f->accessed_mask)) {
				lo = min_u64(lo, addr);
				hi = addr + ONDOL_PAGE_SIZE;
			}
		}
	}
	if (!mm->soft_fill && lo < hi)
		tlb_invalidate(mm, lo, hi);
}

static int sync_region(struct ondol_mm_struct *mm, const struct vma *vma, uint64_t start,
		       uint64_t end)
{
	struct ondol_address_space *mapping = vma->file ? vma->file->mapping : NULL;
	uint64_t pgoff = vma_pgoff_at(vma, start);

	if (!vma_is_shared(vma) || !mapping || !mapping->ops || !mapping->ops->write_page)
		return 0;
	collect_dirty(mm, start, end);
	return cache_writeback(mapping, pgoff, pgoff + ((end - start) >> ONDOL_PAGE_SHIFT));
}

int ondol_msync(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint64_t length, uint32_t flags)
{
	uint64_t size = page_align(length), end = addr + size, at = addr;
	bool hole = false;

	if ((addr & (ONDOL_PAGE_SIZE - 1)) ||
	    (flags & ~(ONDOL_MS_ASYNC | ONDOL_MS_INVALIDATE | ONDOL_MS_SYNC)) ||
	    ((flags & ONDOL_MS_ASYNC) && (flags & ONDOL_MS_SYNC)))
		return -ONDOL_EINVAL;
	if (!size) /* see ondol_mlock */
		return 0;
	if (!mm_range_ok(mm, addr, size))
		return -ONDOL_ENOMEM;
	for (struct vma *vma = vma_find(mm, addr); at < end; vma = vma_next(vma)) {
		if (!vma || vma->start >= end) {
			hole = true;
			break;
		}
		hole |= vma->start > at;
		uint64_t from = max_u64(vma->start, at), to = min_u64(vma->end, end);
		int r = 0;

		if ((flags & ONDOL_MS_INVALIDATE) && (vma->flags & ONDOL_VM_LOCKED))
			return -ONDOL_EBUSY;
		if (flags & ONDOL_MS_SYNC)
			r = sync_region(mm, vma, from, to);

		if (r)
			return r;
		at = to;
	}
	return hole ? -ONDOL_ENOMEM : 0; /* unmapped parts are told after the rest is done */
}

/* SPDX-License-Identifier: MIT */
/*
 * mlock, mincore, msync.  A locked region is one that has been faulted in and is counted; reclaim
 * passes it by.
 * Sources: mlock(2), mincore(2), msync(2).
 */
#include "virt/swap.h"

/* Give [start, end) of one region these of LOCK_FLAGS.  -ONDOL_ENOMEM. */
static int lock_region(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end,
		       ondol_vm_flags_t lock)
{
	ondol_vm_flags_t before = vma->flags & LOCK_FLAGS;
	uint64_t pages = (end - start) >> ONDOL_PAGE_SHIFT;

	/* The vdso and its like; and what may be dropped cannot be kept. */
	if ((vma_is_native(vma) && !vma->file) || (vma->flags & ONDOL_VM_DROPPABLE))
		lock = 0;
	if (lock == before)
		return 0;
	if (!vma_modify(mm, vma, start, end, (vma->flags & ~LOCK_FLAGS) | lock))
		return -ONDOL_ENOMEM;
	mm->locked_vm += (lock ? pages : 0) - (before ? pages : 0);
	return 0;
}

/* The same over many; stops at the first hole as Linux does. */
static int lock_flags(struct ondol_mm_struct *mm, uint64_t start, uint64_t end,
		      ondol_vm_flags_t lock)
{
	int r = 0;

	for (uint64_t at = start; at < end && !r;) {
		struct vma *vma = vma_find(mm, at);

		if (!vma || vma->start > at)
			return -ONDOL_ENOMEM;
		uint64_t to = min_u64(vma->end, end);

		r = lock_region(mm, vma, at, to, lock);
		at = to;
	}
	return r;
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

/* What MLOCK_ONFAULT could not mark is fetched, as by mlock: Linux looks at the mark alone. */
static int populate_unlocked(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	int r = 0;

	for (struct vma *vma = vma_find(mm, start); !r && vma && vma->start < end;
	     vma = vma_find(mm, start)) {
		if (vma->flags & ONDOL_VM_DROPPABLE)
			r = mm_populate(mm, max_u64(start, vma->start), min_u64(end, vma->end), 0);
		start = vma->end;
	}
	return r;
}

static int lock_range(struct ondol_mm_struct *mm, uint64_t addr, uint64_t length,
		      ondol_vm_flags_t lock)
{
	uint64_t start = align_down(addr, ONDOL_PAGE_SIZE);
	uint64_t size = page_align(length + (addr - start));

	if (lock && !mm->limits.memlock)
		return -ONDOL_EPERM;
	if (!size) /* nothing, or so much that it wraps to nothing: Linux tells no difference */
		return 0;
	if (lock && mm->limits.memlock != UINT64_MAX) { /* is looked at first */
		uint64_t wanted = mm->locked_vm + (size >> ONDOL_PAGE_SHIFT) -
				  locked_pages(mm, start, start + size);

		if (wanted > mm->limits.memlock >> ONDOL_PAGE_SHIFT)
			return -ONDOL_ENOMEM;
	}
	if (start + size < start)
		return -ONDOL_EINVAL;
	if (!mm_range_ok(mm, start, size))
		return -ONDOL_ENOMEM;
	int r = lock_flags(mm, start, start + size, lock);

	if (r || !lock)
		return r;
	r = lock == ONDOL_VM_LOCKED ? mm_populate(mm, start, start + size, 0) :
				      populate_unlocked(mm, start, start + size);
	/* mlock(2): a page that cannot be had is ENOMEM, or EAGAIN for lack of frames. */
	return r == -ONDOL_ENOMEM ? -ONDOL_EAGAIN : r ? -ONDOL_ENOMEM : 0;
}

int ondol_mlock(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint64_t length, bool lock)
{
	return lock_range(mm, addr, length, lock ? ONDOL_VM_LOCKED : 0);
}

int ondol_mlock_onfault(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint64_t length)
{
	return lock_range(mm, addr, length, LOCK_FLAGS);
}

/* Every region; one whose record cannot be split or joined keeps what it has, as in Linux. */
static void lock_all(struct ondol_mm_struct *mm, ondol_vm_flags_t lock)
{
	struct vma *vma = vma_first(mm);

	while (vma) {
		uint64_t end = vma->end;

		if (lock_region(mm, vma, vma->start, end, lock))
			break;
		vma = end < mm->task_size ? vma_find(mm, end) : NULL;
	}
}

int ondol_mlockall(struct ondol_mm_struct *mm, uint32_t flags)
{
	ondol_vm_flags_t lock = flags & ONDOL_MCL_ONFAULT ? LOCK_FLAGS : ONDOL_VM_LOCKED;

	if (flags & ~(uint32_t)(ONDOL_MCL_CURRENT | ONDOL_MCL_FUTURE | ONDOL_MCL_ONFAULT) ||
	    !(flags & (ONDOL_MCL_CURRENT | ONDOL_MCL_FUTURE)))
		return -ONDOL_EINVAL;
	if (!mm->limits.memlock)
		return -ONDOL_EPERM;
	if (flags & ONDOL_MCL_CURRENT && mm->limits.memlock != UINT64_MAX &&
	    mm->total_vm > mm->limits.memlock >> ONDOL_PAGE_SHIFT)
		return -ONDOL_ENOMEM;
	mm->new_flags = flags & ONDOL_MCL_FUTURE ? lock : 0;
	if (!(flags & ONDOL_MCL_CURRENT))
		return 0;
	lock_all(mm, lock);
	/* What cannot be had is passed over: the call succeeds all the same. */
	for (const struct vma *vma = vma_first(mm); vma && lock == ONDOL_VM_LOCKED;
	     vma = vma_next(vma))
		(void)!mm_populate(mm, vma->start, vma->end, 0);
	return 0;
}

int ondol_munlockall(struct ondol_mm_struct *mm)
{
	mm->new_flags = 0;
	lock_all(mm, 0);
	return 0;
}

/* ------------------------------------------------------------------ mincore */

static void mincore_region(struct ondol_mm_struct *mm, const struct vma *vma, uint64_t start,
			   uint64_t end, unsigned char *vec)
{
	for (uint64_t at = start; at < end; at += ONDOL_PAGE_SIZE) {
		void *slot = pgtable_find(&mm->pgt, at);
		uint64_t pte = slot ? pte_get(&mm->pgt, slot) : 0;
		bool resident = pte_present(mm, pte);

		if (pte_is_swap(mm, pte))
			resident = swap_cached(mm->m, swap_slot_of(mm->m, pte_slot(mm, pte)));
		else if (!resident && vma->file && vma->file->mapping)
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

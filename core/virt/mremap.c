/* SPDX-License-Identifier: MIT */
/*
 * mremap: shrink, grow in place, or move the region's entries to another address.
 *
 *	shrink   |AAAAAA|        -> |AAA|
 *	grow     |AAA|....|B     -> |AAAAAA|.|B
 *	move     |AAA|B|         -> ...|B|.....|AAAAAA|     entries move, frames stay
 *
 * A move makes every page table it needs before it moves the first entry, so that it cannot
 * fail half way.
 */
#include "virt/virt.h"

struct remap {
	struct ondol_mm_struct *mm;
	struct vma *vma; /* that old_addr is in */
	uint64_t old_addr, old_len, new_addr, new_len;
	uint32_t flags;
};

static int check_args(const struct ondol_mm_struct *mm, const struct ondol_mremap_args *args,
		      struct remap *rm)
{
	const uint32_t known = ONDOL_MREMAP_MAYMOVE | ONDOL_MREMAP_FIXED | ONDOL_MREMAP_DONTUNMAP;

	*rm = (struct remap){
		.old_addr = args->old_addr,
		.old_len = page_align(args->old_length),
		.new_addr = args->new_addr,
		.new_len = page_align(args->new_length),
		.flags = args->flags,
	};
	if (args->size < sizeof *args || (args->flags & ~known))
		return -ONDOL_EINVAL;
	if ((args->flags & (ONDOL_MREMAP_FIXED | ONDOL_MREMAP_DONTUNMAP)) &&
	    !(args->flags & ONDOL_MREMAP_MAYMOVE))
		return -ONDOL_EINVAL;
	if ((args->flags & ONDOL_MREMAP_DONTUNMAP) && rm->old_len != rm->new_len)
		return -ONDOL_EINVAL;
	if ((args->old_addr & ~ONDOL_PAGE_MASK) || !rm->new_len || rm->new_len > mm->task_size ||
	    (args->old_length && !rm->old_len))
		return -ONDOL_EINVAL;
	if (!(args->flags & (ONDOL_MREMAP_FIXED | ONDOL_MREMAP_DONTUNMAP)))
		return 0;
	if ((args->new_addr & ~ONDOL_PAGE_MASK) || args->new_addr > mm->task_size - rm->new_len)
		return -ONDOL_EINVAL;
	if ((args->flags & ONDOL_MREMAP_FIXED) &&
	    args->new_addr < mm->m->profile->mmap_min_addr)
		return -ONDOL_EPERM;
	/* The ranges must not overlap; neither end can wrap, old_len being checked later. */
	if (args->old_addr < args->new_addr + rm->new_len &&
	    args->new_addr < args->old_addr + rm->old_len)
		return -ONDOL_EINVAL;
	return 0;
}

/* nr_pages more of the region's kind, while nr_gone of whatever kind go. */
static bool may_expand_over(const struct remap *rm, uint64_t nr_pages, uint64_t nr_gone)
{
	return mm_may_expand(rm->mm, rm->vma->flags, nr_pages) ||
	       mm_may_expand(rm->mm, rm->vma->flags,
			     nr_pages > nr_gone ? nr_pages - nr_gone : 0);
}

/* May the region become new_len long?  nr_gone: pages that it is moved over. */
static int check_region(const struct remap *rm, uint64_t nr_gone)
{
	struct ondol_mm_struct *mm = rm->mm;
	const struct vma *vma = rm->vma;
	uint64_t more;

	if (!vma || vma->start > rm->old_addr)
		return -ONDOL_EFAULT;
	if (!rm->old_len && !vma_is_shared(vma))
		return -ONDOL_EINVAL; /* only a shared mapping can be had twice */
	if ((rm->flags & ONDOL_MREMAP_DONTUNMAP) && vma_is_native(vma) && !vma->file)
		return -ONDOL_EINVAL;
	if (rm->old_len > vma->end - rm->old_addr)
		return -ONDOL_EFAULT; /* more than one region */
	if ((rm->flags & ONDOL_MREMAP_DONTUNMAP) &&
	    !mm_may_commit(mm, vma->flags, rm->new_len >> ONDOL_PAGE_SHIFT))
		return -ONDOL_ENOMEM;
	if (rm->new_len <= rm->old_len)
		return 0;
	if (vma_is_native(vma) && !vma->file)
		return -ONDOL_EFAULT; /* the vdso and its like have one size */
	more = (rm->new_len - rm->old_len) >> ONDOL_PAGE_SHIFT;
	if (vma->file && vma_pgoff_at(vma, rm->old_addr) + (rm->new_len >> ONDOL_PAGE_SHIFT) >
				 UINT64_C(1) << (64 - ONDOL_PAGE_SHIFT))
		return -ONDOL_EINVAL;
	if ((vma->flags & ONDOL_VM_LOCKED) && mm->limits.memlock != UINT64_MAX &&
	    mm->locked_vm + more > mm->limits.memlock >> ONDOL_PAGE_SHIFT)
		return -ONDOL_EAGAIN;
	if (!mm_may_commit(mm, vma->flags, more))
		return -ONDOL_ENOMEM;
	return may_expand_over(rm, more, nr_gone) ? 0 : -ONDOL_ENOMEM;
}

/* Pages of a locked region are there: fetch the new ones, as far as there is memory. */
static void fill_locked(struct ondol_mm_struct *mm, ondol_vm_flags_t flags, uint64_t start,
			uint64_t end)
{
	if ((flags & LOCK_FLAGS) == ONDOL_VM_LOCKED && start < end)
		(void)!mm_populate(mm, start, end, 0);
}

/* Grow over the hole behind the region, if there is one. */
static bool grow_in_place(struct remap *rm)
{
	struct ondol_mm_struct *mm = rm->mm;
	uint64_t end = rm->vma->end, new_end = rm->old_addr + rm->new_len;
	struct vma_props props = vma_props(rm->vma);
	const struct vma *next = vma_next(rm->vma);

	if (end != rm->old_addr + rm->old_len || !mm_range_ok(mm, rm->old_addr, rm->new_len) ||
	    (next && new_end > next->start)) /* as with MAP_FIXED: guard gaps do not count */
		return false;
	vma_extend(mm, rm->vma, end, new_end, vma_pgoff_at(rm->vma, end), &props);
	mm_account(mm, props.flags, (int64_t)((new_end - end) >> ONDOL_PAGE_SHIFT));
	fill_locked(mm, props.flags, end, new_end);
	return true;
}

/* Tables for every entry that is going to move. */
static int make_tables(struct remap *rm)
{
	struct pgtable_span span;

	huge_split_range(rm->mm, rm->old_addr, rm->old_addr + rm->old_len);
	pgtable_for_each_span(&rm->mm->pgt, span, rm->old_addr, rm->old_addr + rm->old_len) {
		uint64_t to = span.addr - rm->old_addr + rm->new_addr;
		uint64_t last = to + (span.end - span.addr) - ONDOL_PAGE_SIZE;

		/* Two tables at most: a span is no longer than one. */
		if (!pgtable_make(&rm->mm->pgt, to) || !pgtable_make(&rm->mm->pgt, last))
			return -ONDOL_ENOMEM;
	}
	return 0;
}

/* Every entry goes to its new place, those of swap too; the hardware holds none there yet. */
static void move_entries(struct remap *rm)
{
	struct ondol_mm_struct *mm = rm->mm;
	const struct ondol_pgtable_format *f = mm->pgt.format;
	uint64_t end = rm->old_addr + rm->old_len, lo = UINT64_MAX, hi = 0;
	struct pgtable_span span;

	if (mm->soft_fill && tlb_extent(mm, rm->old_addr, end, f->accessed_mask, &lo, &hi))
		tlb_invalidate(mm, lo, hi);
	pgtable_for_each_span(&mm->pgt, span, rm->old_addr, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			uint64_t to = addr - rm->old_addr + rm->new_addr, pte;

			if (!pte_get(&mm->pgt, slot))
				continue;
			pte = pte_exchange(&mm->pgt, slot, 0);
			if (!mm->soft_fill && (pte & f->accessed_mask)) {
				lo = min_u64(lo, addr);
				hi = addr + ONDOL_PAGE_SIZE;
			}
			pte_set(&mm->pgt, pgtable_find(&mm->pgt, to), pte & ~f->accessed_mask);
		}
	}
	if (!mm->soft_fill && lo < hi)
		tlb_invalidate(mm, lo, hi);
}

/* A record for the new range, which has tables but no entries yet. */
static int link_new(struct remap *rm, const struct vma_props *props, uint64_t pgoff)
{
	struct ondol_mm_struct *mm = rm->mm;
	uint64_t end = rm->new_addr + rm->new_len;
	struct vma *prev = vma_below(mm, rm->new_addr), *vma;

	if (!vma_extend(mm, prev, rm->new_addr, end, pgoff, props)) {
		if (mm->nr_vma > mm_max_map_count(mm))
			return -ONDOL_ENOMEM;
		vma = vma_alloc(mm, props, rm->new_addr, end, pgoff);
		if (!vma)
			return -ONDOL_ENOMEM;
		vma_link(mm, prev, vma);
	}
	mm_account(mm, props->flags, (int64_t)(rm->new_len >> ONDOL_PAGE_SHIFT));
	return 0;
}

/* The old range has been moved away from: it goes, or stays without pages. */
static int leave_old(struct remap *rm, ondol_vm_flags_t flags)
{
	struct ondol_mm_struct *mm = rm->mm;
	uint64_t end = rm->old_addr + rm->old_len;
	struct vma *vma;

	if (!(rm->flags & ONDOL_MREMAP_DONTUNMAP))
		return mm_unmap(mm, rm->old_addr, end); /* whole records: nothing to allocate */
	vma = vma_find(mm, rm->old_addr);
	if (flags & ONDOL_VM_LOCKED) {
		vma = vma_modify(mm, vma, rm->old_addr, end, flags & ~LOCK_FLAGS);
		if (vma)
			mm->locked_vm -= rm->old_len >> ONDOL_PAGE_SHIFT;
	} else {
		vma_rejoin(mm, vma);
	}
	return 0;
}

/* new_addr is free.  On failure nothing has changed. */
static int move(struct remap *rm)
{
	struct ondol_mm_struct *mm = rm->mm;
	uint64_t pgoff = vma_pgoff_at(rm->vma, rm->old_addr);
	struct vma_props props = vma_props(rm->vma);
	int r;

	/* Cut out what moves, so that removing it later needs no record. */
	if (rm->old_len) {
		rm->vma = vma_isolate(mm, rm->vma, rm->old_addr, rm->old_addr + rm->old_len);
		if (!rm->vma)
			return -ONDOL_ENOMEM;
	}
	r = rm->old_len && !vma_is_native(rm->vma) ? make_tables(rm) : 0;
	if (!r)
		r = link_new(rm, &props, pgoff);
	if (r) {
		mm_free_tables(mm, rm->new_addr, rm->new_addr + rm->new_len);
		vma_rejoin(mm, rm->vma);
		return r;
	}
	if (rm->old_len) {
		move_entries(rm);
		r = leave_old(rm, props.flags);
	}
	fill_locked(mm, props.flags, rm->new_addr + rm->old_len, rm->new_addr + rm->new_len);
	return r;
}

/* Clear the way at new_addr and move there; the tail of a shrinking region goes. */
static int move_fixed(struct remap *rm)
{
	struct ondol_mm_struct *mm = rm->mm;
	uint64_t old_end = rm->old_addr + rm->old_len, new_end = rm->new_addr + rm->new_len;
	uint64_t nr_gone = mm_pages_mapped(mm, rm->new_addr, new_end);
	int r;

	/* What is cut off may be other regions, or none; only old_addr's moves. */
	if (rm->old_len > rm->new_len && !mm_range_ok(mm, rm->old_addr, rm->old_len))
		return -ONDOL_EINVAL;
	rm->old_len = min_u64(rm->old_len, rm->new_len);
	r = check_region(rm, nr_gone);
	if (!r && (rm->flags & ONDOL_MREMAP_DONTUNMAP) &&
	    !may_expand_over(rm, rm->new_len >> ONDOL_PAGE_SHIFT, nr_gone))
		r = -ONDOL_ENOMEM;
	if (!r && mm_range_sealed(mm, rm->new_addr, new_end))
		r = -ONDOL_EPERM;
	if (!r)
		r = mm_unmap(mm, rm->new_addr, new_end);
	if (!r && rm->old_addr + rm->old_len < old_end)
		r = mm_unmap(mm, rm->old_addr + rm->old_len, old_end);
	if (r)
		return r;
	rm->vma = vma_find(mm, rm->old_addr); /* it may have been cut */
	if (!rm->vma || rm->vma->start > rm->old_addr)
		return -ONDOL_EFAULT; /* or is gone: a duplicate over its original (old_len 0) */
	return move(rm);
}

static int grow_or_move(struct remap *rm)
{
	struct ondol_mm_struct *mm = rm->mm;
	bool dontunmap = rm->flags & ONDOL_MREMAP_DONTUNMAP;
	int r = check_region(rm, 0);

	if (r)
		return r;
	if (dontunmap && !mm_may_expand(mm, rm->vma->flags, rm->new_len >> ONDOL_PAGE_SHIFT))
		return -ONDOL_ENOMEM;
	if (!dontunmap && grow_in_place(rm)) {
		rm->new_addr = rm->old_addr;
		return 0;
	}
	if (!(rm->flags & ONDOL_MREMAP_MAYMOVE))
		return -ONDOL_ENOMEM;
	r = vma_unmapped_area(mm, dontunmap ? rm->new_addr : 0, rm->new_len, false, &rm->new_addr);
	return r ? r : move(rm);
}

int ondol_mremap(struct ondol_mm_struct *mm, const struct ondol_mremap_args *args,
		 ondol_virt_addr_t *out_addr)
{
	struct remap rm;
	int r = check_args(mm, args, &rm);

	if (r)
		return r;
	rm.mm = mm;
	rm.vma = vma_find(mm, rm.old_addr);
	if (!rm.vma || rm.vma->start > rm.old_addr)
		return -ONDOL_EFAULT;
	if (rm.vma->flags & ONDOL_VM_SEALED)
		return -ONDOL_EPERM;
	if (rm.flags & ONDOL_MREMAP_FIXED) {
		r = move_fixed(&rm);
	} else if (rm.old_len >= rm.new_len && !(rm.flags & ONDOL_MREMAP_DONTUNMAP)) {
		rm.new_addr = rm.old_addr;
		if (rm.old_len > rm.new_len && !mm_range_ok(mm, rm.old_addr, rm.old_len))
			return -ONDOL_EINVAL;
		if (rm.old_len > rm.new_len)
			r = mm_unmap(mm, rm.old_addr + rm.new_len, rm.old_addr + rm.old_len);
	} else {
		r = grow_or_move(&rm);
	}
	if (r)
		return r;
	*out_addr = rm.new_addr;
	return 0;
}

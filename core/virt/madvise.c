/* SPDX-License-Identifier: MIT */
/*
 * madvise: advice that changes contents (DONTNEED, FREE, REMOVE), that fetches (WILLNEED,
 * POPULATE), that is a flag of the region, and that needs nothing done here.
 * Sources: madvise(2); Linux mm/madvise.c for the order of the checks.
 */
#include "virt/ksm.h"

/* Linux's numbers (uapi/asm-generic/mman-common.h). */
enum advice {
	ADV_NORMAL = 0,
	ADV_RANDOM = 1,
	ADV_SEQUENTIAL = 2,
	ADV_WILLNEED = 3,
	ADV_DONTNEED = 4,
	ADV_FREE = 8,
	ADV_REMOVE = 9,
	ADV_DONTFORK = 10,
	ADV_DOFORK = 11,
	ADV_MERGEABLE = 12,
	ADV_UNMERGEABLE = 13,
	ADV_HUGEPAGE = 14,
	ADV_NOHUGEPAGE = 15,
	ADV_DONTDUMP = 16,
	ADV_DODUMP = 17,
	ADV_WIPEONFORK = 18,
	ADV_KEEPONFORK = 19,
	ADV_COLD = 20,
	ADV_PAGEOUT = 21,
	ADV_POPULATE_READ = 22,
	ADV_POPULATE_WRITE = 23,
	ADV_DONTNEED_LOCKED = 24,
	ADV_COLLAPSE = 25,
	ADV_LAST = 25,
	ADV_GUARD_INSTALL = 102,
	ADV_GUARD_REMOVE = 103,
};

static bool advice_known(int advice)
{
	return (advice >= 0 && advice <= ADV_LAST &&
		!(advice > ADV_DONTNEED && advice < ADV_FREE)) ||
	       advice == ADV_GUARD_INSTALL || advice == ADV_GUARD_REMOVE;
}

/* The region's flags after the advice. */
static ondol_vm_flags_t advice_flags(ondol_vm_flags_t flags, int advice)
{
	switch (advice) {
	case ADV_NORMAL:
		return flags & ~(ONDOL_VM_SEQ_READ | ONDOL_VM_RAND_READ);
	case ADV_SEQUENTIAL:
		return (flags & ~ONDOL_VM_RAND_READ) | ONDOL_VM_SEQ_READ;
	case ADV_RANDOM:
		return (flags & ~ONDOL_VM_SEQ_READ) | ONDOL_VM_RAND_READ;
	case ADV_DONTFORK:
		return flags | ONDOL_VM_DONTFORK;
	case ADV_DOFORK:
		return flags & ~ONDOL_VM_DONTFORK;
	case ADV_MERGEABLE:
		return flags | ONDOL_VM_MERGEABLE;
	case ADV_UNMERGEABLE:
		return flags & ~ONDOL_VM_MERGEABLE;
	case ADV_HUGEPAGE:
		return (flags & ~ONDOL_VM_NOHUGEPAGE) | ONDOL_VM_HUGEPAGE;
	case ADV_NOHUGEPAGE:
		return (flags & ~ONDOL_VM_HUGEPAGE) | ONDOL_VM_NOHUGEPAGE;
	case ADV_DONTDUMP:
		return flags | ONDOL_VM_DONTDUMP;
	case ADV_DODUMP:
		return flags & ~ONDOL_VM_DONTDUMP;
	case ADV_WIPEONFORK:
		return flags | ONDOL_VM_WIPEONFORK;
	case ADV_KEEPONFORK:
		return flags & ~ONDOL_VM_WIPEONFORK;
	default:
		return flags;
	}
}

static int advise_remove(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end)
{
	uint64_t first = vma_pgoff_at(vma, start);

	if (vma->flags & ONDOL_VM_LOCKED)
		return -ONDOL_EINVAL;
	if (vma_is_native(vma) && vma_is_shared(vma))
		return 0; /* the port's to do */
	if (!vma->file || !vma->file->mapping)
		return -ONDOL_EINVAL;
	/* Linux before 6.7 wanted it writable now, not only by right. */
	if (!(vma->flags & ONDOL_VM_SHARED) || !(vma->flags & ONDOL_VM_MAYWRITE))
		return -ONDOL_EACCES;
	if (vma->file->mapping->ops)
		return -ONDOL_EINVAL; /* only shared memory can lose its pages */
	mm_zap(mm, vma, start, end);
	cache_punch_hole(vma->file->mapping, first, first + ((end - start) >> ONDOL_PAGE_SHIFT));
	return 0;
}

/* Fetch what of the file is not cached yet; a failed read is no error of the advice. */
static int advise_willneed(const struct ondol_mm_struct *mm, const struct vma *vma, uint64_t start,
			   uint64_t end)
{
	if (!vma->file || !vma->file->mapping || !vma->file->mapping->ops)
		return 0; /* memory without a disk: whatever there is, is here already */
	for (uint64_t at = start; at < end; at += ONDOL_PAGE_SIZE) {
		uint64_t index = vma_pgoff_at(vma, at), left = (end - at) >> ONDOL_PAGE_SHIFT;
		struct cache_read read = { .lo = index, .hi = index + min_u64(left, 16),
					   .policy = &mm->task_policy };

		if (cache_has_page(vma->file->mapping, index))
			continue;
		if (cache_read_page(vma->file->mapping, index, &read))
			break;
		ondol_put_page(vma->file->mapping->m, read.page);
	}
	return 0;
}

/* Of sealed memory that the program may not write nothing is thrown away: mseal(2). */
static bool discards_sealed(const struct vma *vma, int advice)
{
	const ondol_vm_flags_t free_to = ONDOL_VM_WRITE | ONDOL_VM_SHARED;

	if (!(vma->flags & ONDOL_VM_SEALED) || (vma->flags & free_to))
		return false;
	return advice == ADV_DONTNEED || advice == ADV_FREE || advice == ADV_DONTNEED_LOCKED ||
	       advice == ADV_REMOVE || advice == ADV_DONTFORK || advice == ADV_WIPEONFORK ||
	       advice == ADV_GUARD_INSTALL;
}

static int advise_guard(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end,
			bool install)
{
	if ((vma_is_native(vma) && !vma->file) || (install && (vma->flags & ONDOL_VM_LOCKED)))
		return -ONDOL_EINVAL;
	if (vma_is_native(vma)) /* the port's to do */
		return 0;
	if (install)
		return guard_install(mm, vma, start, end);
	guard_remove(mm, start, end);
	return 0;
}

/* Regions that cannot be merged are passed over.  -ONDOL_EAGAIN: no memory for copies. */
static int advise_merge(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end,
			int advice)
{
	if (advice == ADV_MERGEABLE)
		mm->mergeable = true;
	else if ((vma->flags & ONDOL_VM_MERGEABLE) && ksm_unmerge(mm, vma, start, end))
		return -ONDOL_EAGAIN;
	return 0;
}

static int advise_region(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end,
			 int advice)
{
	int r;

	if (ondol_unlikely(discards_sealed(vma, advice)))
		return -ONDOL_EPERM;
	switch (advice) {
	case ADV_DONTNEED:
	case ADV_FREE:
	case ADV_PAGEOUT:
	case ADV_COLD:
		if (vma->flags & ONDOL_VM_LOCKED)
			return -ONDOL_EINVAL;
		if (vma_is_native(vma)) /* the port's to do */
			return advice == ADV_FREE ? -ONDOL_EINVAL : 0;
		if (advice == ADV_FREE && (!vma_is_anon(vma)))
			return -ONDOL_EINVAL;
		if (advice == ADV_DONTNEED)
			mm_zap(mm, vma, start, end);
		else if (advice == ADV_PAGEOUT)
			reclaim_range(mm, vma, start, end);
		else if (advice == ADV_COLD)
			tlb_forget(mm, start, end);
		/*
		 * FREE permits, and does not oblige, to drop the pages before they are
		 * written again.  COLD takes away the second chance (reclaim.c).
		 */
		return 0;
	case ADV_DONTNEED_LOCKED:
		if (!vma_is_native(vma))
			mm_zap(mm, vma, start, end);
		return 0;
	case ADV_GUARD_INSTALL:
	case ADV_GUARD_REMOVE:
		return advise_guard(mm, vma, start, end, advice == ADV_GUARD_INSTALL);
	case ADV_REMOVE:
		return advise_remove(mm, vma, start, end);
	case ADV_WILLNEED:
		return advise_willneed(mm, vma, start, end);
	case ADV_WIPEONFORK:
		if (vma->file || vma_is_shared(vma) || vma_is_native(vma))
			return -ONDOL_EINVAL;
		break;
	case ADV_MERGEABLE:
	case ADV_UNMERGEABLE:
		if (!ksm_compatible(vma))
			return 0;
		r = advise_merge(mm, vma, start, end, advice);
		if (r)
			return r;
		break;
	case ADV_COLLAPSE:
		return huge_collapse(mm, vma, start, end);
	case ADV_KEEPONFORK:
		if (vma->flags & ONDOL_VM_DROPPABLE)
			return -ONDOL_EINVAL;
		break;
	case ADV_DODUMP:
		if ((vma_is_native(vma) && !vma->file) || (vma->flags & ONDOL_VM_DROPPABLE))
			return -ONDOL_EINVAL;
		break;
	}
	ondol_vm_flags_t flags = advice_flags(vma->flags, advice);

	if (flags != vma->flags && !vma_modify(mm, vma, start, end, flags))
		return -ONDOL_EAGAIN; /* madvise(2): "a kernel resource ... unavailable" */
	return 0;
}

static int advise_populate(struct ondol_mm_struct *mm, uint64_t start, uint64_t end, int advice)
{
	int r = mm_populate(mm, start, end,
			    advice == ADV_POPULATE_WRITE ? ONDOL_FAULT_WRITE : ONDOL_FAULT_READ);

	switch (r) {
	case -ONDOL_EFAULT:
		return -ONDOL_ENOMEM; /* a hole */
	case -ONDOL_EACCES:
		return -ONDOL_EINVAL; /* the region does not allow it */
	case -ONDOL_ENXIO:
	case -ONDOL_EIO:
		return -ONDOL_EFAULT;
	default:
		return r;
	}
}

int ondol_madvise(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint64_t length, int advice)
{
	uint64_t size = page_align(length), end = addr + size, at = addr;
	bool hole = false;

	if (!advice_known(advice))
		return -ONDOL_EINVAL;
	if ((addr & (ONDOL_PAGE_SIZE - 1)) || (length && !size) || end < addr)
		return -ONDOL_EINVAL;
	if (!size)
		return 0;
	if (!mm_range_ok(mm, addr, size))
		return -ONDOL_ENOMEM;
	if (advice == ADV_POPULATE_READ || advice == ADV_POPULATE_WRITE)
		return advise_populate(mm, addr, end, advice);
	/* Holes are told at the end: what lies between them is advised all the same. */
	while (at < end) {
		struct vma *vma = vma_find(mm, at);

		if (!vma || vma->start >= end) {
			hole = true;
			break;
		}
		hole |= vma->start > at;
		uint64_t from = max_u64(vma->start, at), to = min_u64(vma->end, end);
		int r = advise_region(mm, vma, from, to, advice);

		if (r)
			return r;
		at = to;
	}
	return hole ? -ONDOL_ENOMEM : 0;
}

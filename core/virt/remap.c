/* SPDX-License-Identifier: MIT */
/*
 * remap_file_pages: a window of a shared mapping is to show other pages of its object.
 *
 *	object pages   0 1 2 3 4 5 6 7
 *	before        |0 1 2 3 4 5 6 7|          one region
 *	window at 2   |0 1|6 7|4 5 6 7|          three: the window is a region of its own
 *
 * Once page tables held the order of the pages and the region stayed one; since 4.0 Linux makes a
 * new mapping over the window, and so does this.  What madvise had said of the window is forgotten
 * with the old region, its lock is kept.
 * Sources: remap_file_pages(2); Linux mm/mmap.c for the order of the checks.
 */
#include "virt/virt.h"

#define OBJECT_PAGES_MAX (UINT64_C(1) << (63 - ONDOL_PAGE_SHIFT)) /* MAX_LFS_FILESIZE */

/* The window begins in vma and may go on in neighbours that are like it. */
static bool window_is_of(const struct vma *vma, uint64_t end)
{
	const struct vma *next;

	for (const struct vma *last = vma; last->end < end; last = next) {
		next = vma_next(last);
		if (!next || next->start != last->end || next->file != vma->file ||
		    next->flags != vma->flags)
			return false;
	}
	return true;
}

int ondol_remap_file_pages(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint64_t length,
			   uint32_t prot, uint64_t pgoff, struct ondol_vma_info *out_window)
{
	uint64_t start = align_down(addr, ONDOL_PAGE_SIZE);
	uint64_t size = align_down(length, ONDOL_PAGE_SIZE), end = start + size;
	struct ondol_mmap_args args = {
		.size = sizeof args, .map_flags = ONDOL_MAP_FIXED | ONDOL_MAP_POPULATE,
		.addr = start, .length = size, .pgoff = pgoff,
	};
	/* What is shared and can never be written has no VM_SHARED in Linux. */
	const ondol_vm_flags_t writable = ONDOL_VM_SHARED | ONDOL_VM_MAYWRITE;
	const struct vma *vma;
	int r;

	if (prot || end <= start || pgoff + (size >> ONDOL_PAGE_SHIFT) < pgoff)
		return -ONDOL_EINVAL;
	vma = vma_find(mm, start);
	if (!vma || vma->start > start || (vma->flags & writable) != writable || !vma->file ||
	    !window_is_of(vma, end))
		return -ONDOL_EINVAL;
	if (pgoff + (size >> ONDOL_PAGE_SHIFT) > OBJECT_PAGES_MAX)
		return -ONDOL_EOVERFLOW;
	args.vm_flags = vma->flags & (ONDOL_VM_ACCESS | ONDOL_VM_SHARED | ONDOL_VM_MAYREAD |
				      ONDOL_VM_MAYWRITE | ONDOL_VM_MAYEXEC | ONDOL_VM_MAYSHARE |
				      ONDOL_VM_NATIVE | ONDOL_VM_LOCKED);
	args.file = vma->file;
	ondol_file_get(args.file); /* the window may have been all there was of it */
	r = ondol_mmap(mm, &args, &addr);
	ondol_file_put(args.file);
	return r ? r : ondol_find_vma(mm, start, out_window);
}

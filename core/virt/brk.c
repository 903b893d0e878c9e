/* SPDX-License-Identifier: MIT */
/*
 * The heap's end (F8).  The region is anonymous, "[heap]", and grows up from start_brk; the
 * break itself is a byte address, the region ends on the page that holds it.
 * Source: brk(2); Linux mm/mmap.c.
 */
#include "virt/virt.h"

/* Text, data and heap together under RLIMIT_DATA. */
static bool brk_within_limit(const struct ondol_mm_struct *mm, uint64_t brk)
{
	const struct ondol_mm_layout *l = &mm->layout;
	uint64_t data = l->end_data - l->start_data;

	return mm->limits.data == UINT64_MAX ||
	       (brk - l->start_brk <= mm->limits.data && data <= mm->limits.data &&
		brk - l->start_brk <= mm->limits.data - data);
}

static int brk_grow(struct ondol_mm_struct *mm, uint64_t from, uint64_t to)
{
	struct ondol_mmap_args args = {
		.size = sizeof args,
		.map_flags = ONDOL_MAP_FIXED | ONDOL_MAP_FIXED_NOREPLACE,
		.vm_flags = ONDOL_VM_READ | ONDOL_VM_WRITE | ONDOL_VM_MAYREAD |
			    ONDOL_VM_MAYWRITE | ONDOL_VM_MAYEXEC | ONDOL_VM_HEAP,
		.addr = from,
		.length = to - from,
	};
	struct vma *above = vma_find(mm, from);
	ondol_virt_addr_t at;

	/* Linux keeps a page free above the heap, and its guard gap for one that grows down. */
	if (above && to + ONDOL_PAGE_SIZE > vma_start_gap(above))
		return -ONDOL_ENOMEM;
	return ondol_mmap(mm, &args, &at);
}

ondol_virt_addr_t ondol_brk(struct ondol_mm_struct *mm, ondol_virt_addr_t addr)
{
	struct ondol_mm_layout *l = &mm->layout;

	if (addr < l->start_brk || addr >= mm->task_size || !brk_within_limit(mm, addr))
		return l->brk;
	uint64_t old_end = page_align(l->brk), new_end = page_align(addr);

	if (new_end > old_end && brk_grow(mm, old_end, new_end))
		return l->brk;
	if (new_end < old_end && mm_unmap(mm, new_end, old_end))
		return l->brk;
	l->brk = addr;
	return addr;
}

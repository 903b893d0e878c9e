/* SPDX-License-Identifier: MIT */
/*
 * Guard entries (MADV_GUARD_INSTALL, Linux 6.13): pages of a region that are not to be touched.
 *
 *	region    |w w w w w w w w|     one record, whatever is guarded
 *	entries    f f G G . f . .      f a frame, G a guard, . nothing yet
 *
 * An allocator can put guards around its blocks without a region for each.  A guard is an absent
 * entry whose one bit is the user bit: the processor ignores it, and a fault there is
 * -ONDOL_EFAULT as if there were no region.  It stays when the pages around it are discarded
 * (MADV_DONTNEED), moves with mremap, is inherited by fork, and goes with munmap, by
 * MADV_GUARD_REMOVE, and with MADV_WIPEONFORK in a child.
 *
 * Invariant
 *   [GUARD-1]  nr_guards counts the guards, each of which lies in a region with frames of ours.
 *
 * Sources: madvise(2); Linux mm/madvise.c, madvise_guard_install.
 */
#include "virt/virt.h"

int guard_install(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end)
{
	mm_zap(mm, vma, start, end);
	for (uint64_t at = start; at < end; at += ONDOL_PAGE_SIZE) {
		void *slot = pgtable_make(&mm->pgt, at);

		if (!slot)
			return -ONDOL_ENOMEM; /* as in Linux, those before it stay */
		if (!pte_get(&mm->pgt, slot)) {
			pte_set(&mm->pgt, slot, pte_guard(mm));
			mm->nr_guards++;
		}
	}
	return 0;
}

void guard_remove(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	struct pgtable_span span;

	if (!mm->nr_guards)
		return;
	pgtable_for_each_span(&mm->pgt, span, start, end) {
		void *slot = span.slot;

		for (uint64_t at = span.addr; at < span.end;
		     at += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			if (!pte_is_guard(mm, pte_get(&mm->pgt, slot)))
				continue;
			pte_set(&mm->pgt, slot, 0);
			mm->nr_guards--;
		}
	}
}

int guard_dup(const struct ondol_mm_struct *from, struct ondol_mm_struct *to,
	      const struct vma *vma)
{
	struct pgtable_span span;

	if (!from->nr_guards)
		return 0;
	pgtable_for_each_span(&from->pgt, span, vma->start, vma->end) {
		void *slot = span.slot, *copy;

		for (uint64_t at = span.addr; at < span.end;
		     at += ONDOL_PAGE_SIZE, slot = pte_next(&from->pgt, slot)) {
			if (!pte_is_guard(from, pte_get(&from->pgt, slot)))
				continue;
			copy = pgtable_make(&to->pgt, at);
			if (!copy)
				return -ONDOL_ENOMEM;
			pte_set(&to->pgt, copy, pte_guard(to));
			to->nr_guards++;
		}
	}
	return 0;
}

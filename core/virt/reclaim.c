/* SPDX-License-Identifier: MIT */
/*
 * Taking mapped pages of files back when memory is short.  A page that nobody maps the shrinker
 * of page_cache.c drops; here a hand goes round over all address spaces, as a clock's, and takes
 * clean pages of files out of the page tables, a window at a time.  Who needs one again faults
 * it in again.
 *
 * Second chance: of software-filled hardware a window that it may hold is only forgotten there,
 * and taken when the hand comes round and nobody has touched it meanwhile.  A touch costs a fill
 * of the TLB, not a read of the file.  So what a program uses again and again stays, and what
 * streams by goes.
 *
 * Dirty pages, locked regions and shared memory stay, since there is nowhere to put them; so
 * does the page that a fault is being handled for: it is wanted now.  The last RECLAIM_KEEP pages
 * stay, too: an instruction needs a few pages at once, and a program that is given less goes in
 * circles instead of ending with a report.
 *
 * The hand works on address spaces that others may own, so it stands still unless the embedder
 * says that one thread at a time uses the machine (ondol_machine_desc.reclaim_mapped).
 */
#include "virt/virt.h"

#define RECLAIM_WINDOW 16u /* pages: a fault-around window */
#define RECLAIM_KEEP 128   /* pages */
#define RECLAIM_BATCH 256  /* pages */

static bool may_take_from(const struct vma *vma)
{
	return vma->file && vma->file->mapping && vma->file->mapping->ops &&
	       !(vma->flags & (ONDOL_VM_LOCKED | ONDOL_VM_NATIVE));
}

/*
 * Clean pages of the file in [start, end), all in vma, leave the page table.  Their number.
 * `spare`: unless they have been used since the hand was here.
 */
static uint64_t take_window(struct ondol_mm_struct *mm, const struct vma *vma, uint64_t start,
			    uint64_t end, bool spare)
{
	uint64_t present = mm->pgt.format->present_mask, lo, hi;
	struct mmu_gather g;
	uint64_t taken;

	if (mm->faulting >= start && mm->faulting < end)
		return 0;
	if (!tlb_extent(mm, start, end, present, &lo, &hi))
		return 0;
	if (tlb_forget(mm, lo, hi) && spare)
		return 0;
	gather_begin(&g, mm, false);
	taken = gather_clean(&g, vma, start, end);
	gather_end(&g);
	return taken;
}

/* From `*at` on, which moves along; ends behind the mm, or with `nr_pages` taken. */
static uint64_t take_from_mm(struct ondol_mm_struct *mm, uint64_t *at, uint64_t nr_pages,
			     bool spare)
{
	const uint64_t window = (uint64_t)RECLAIM_WINDOW << ONDOL_PAGE_SHIFT;
	const struct vma *vma = *at < mm->task_size ? vma_find(mm, *at) : NULL;
	uint64_t taken = 0;

	for (; vma; vma = vma_next(vma)) {
		if (!may_take_from(vma))
			continue;
		for (*at = max_u64(*at, vma->start); *at < vma->end;) {
			uint64_t end = min_u64(align_down(*at, window) + window, vma->end);

			taken += take_window(mm, vma, *at, end, spare);
			*at = end;
			if (taken >= nr_pages)
				return taken;
		}
	}
	*at = mm->task_size;
	return taken;
}

uint64_t reclaim_unmap(struct ondol_machine *m, uint64_t nr_pages)
{
	struct ondol_virt_state *v = m->virt;
	uint64_t cached = (uint64_t)phys_use_count(m, ONDOL_PAGE_CACHE), taken = 0;

	if (!m->reclaim_mapped || cached <= RECLAIM_KEEP)
		return 0;
	/* In batches, so that there are blocks for windows again, not only single frames. */
	nr_pages = max_u64(nr_pages, min_u64(RECLAIM_BATCH, cached / 8));
	nr_pages = min_u64(nr_pages, cached - RECLAIM_KEEP);
	/*
	 * Twice round, sparing what is in use, and once without; each time the first mm once
	 * more, since the hand may have stood in its middle.
	 */
	for (uint64_t turns = 3 * (v->nr_mm + 1); turns && taken < nr_pages; turns--) {
		struct list_node *node = v->mms.next;
		struct ondol_mm_struct *mm = container_of(node, struct ondol_mm_struct, link);
		bool spare = turns > v->nr_mm + 1;

		taken += take_from_mm(mm, &v->reclaim_at, nr_pages - taken, spare);
		if (v->reclaim_at >= mm->task_size) {
			v->reclaim_at = 0;
			list_del(node);
			list_add_tail(node, &v->mms);
		}
	}
	v->nr_unmapped += taken;
	return taken;
}

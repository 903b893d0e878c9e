/* SPDX-License-Identifier: MIT */
/*
 * Taking mapped pages back when memory is short.  A page of a file that nobody maps the shrinker
 * of page_cache.c drops; here a hand goes round over all address spaces, as a clock's, a window at
 * a time, and takes clean pages of files out of the page tables and, where there is swap with
 * room, private pages, which are written there (swap_out.c), and shared memory's (page_cache.c).
 * Who needs one again faults it in again.
 *
 * Second chance: a page that software-filled hardware may hold is only forgotten there, and taken
 * when the hand comes round and nobody has touched it meanwhile.  A touch costs a fill of the TLB,
 * not a read.  So what a program uses again and again stays, and what streams by goes.
 *
 * Dirty pages of files and locked regions stay, since there is nowhere to put them;
 * so does the window that a fault is being handled in: it is wanted now.  The last RECLAIM_KEEP
 * pages stay, too: an instruction needs a few pages at once, and a program that is given less goes
 * in circles instead of ending with a report.
 *
 * The hand works on address spaces that others may own, so it stands still unless the embedder
 * says that one thread at a time uses the machine (ondol_machine_desc.reclaim_mapped).
 */
#include "virt/swap.h"

#define RECLAIM_WINDOW 64u /* pages that one flush is for */
#define RECLAIM_KEEP 128   /* pages */
#define RECLAIM_BATCH 256  /* pages */

static inline bool shows_file(const struct vma *vma)
{
	return vma->file && vma->file->mapping && vma->file->mapping->ops;
}

static bool may_take_from(const struct ondol_mm_struct *mm, const struct vma *vma)
{
	if (vma->flags & (ONDOL_VM_LOCKED | ONDOL_VM_NATIVE))
		return false;
	return shows_file(vma) || swap_has_room(mm->m);
}

/* Whether the port lets pages of [start, end) go; *out_data: those that are no file's, too. */
static bool port_lets(struct ondol_mm_struct *mm, uint64_t start, uint64_t end, bool *out_data)
{
	const struct ondol_machine *m = mm->m;
	enum ondol_mmu_busy busy = m->mmu->busy ? m->mmu->busy(m->mmu_ctx, mm, start, end) :
						  ONDOL_MMU_IDLE;

	*out_data = busy == ONDOL_MMU_IDLE && swap_has_room(mm->m);
	return busy != ONDOL_MMU_ALL_STAYS;
}

/*
 * Clean pages of the file and private ones in [start, end), all in vma, leave the page table.
 * `spare`: not those that have been used since the hand was here, as far as the hardware tells.
 */
static void take_window(struct ondol_mm_struct *mm, const struct vma *vma, uint64_t start,
			uint64_t end, bool spare, struct reclaimed *taken)
{
	uint64_t present = mm->pgt.format->present_mask, lo, hi;
	bool cold_only = spare && mm->soft_fill, data;
	struct mmu_gather g;

	if (mm->faulting >= start && mm->faulting < end)
		return;
	if (!tlb_extent(mm, start, end, present, &lo, &hi) || !port_lets(mm, lo, hi, &data))
		return;
	if (!data && !shows_file(vma))
		return;
	if (!cold_only)
		tlb_forget(mm, lo, hi);
	if (vma->file) { /* or shared memory, which has one, too */
		gather_begin(&g, mm, false);
		taken->unmapped += gather_clean(&g, vma, lo, hi, cold_only);
		gather_end(&g);
	}
	if (!vma_is_shared(vma) && data)
		taken->swapped += swap_out_range(mm, lo, hi, cold_only, &taken->freed);
	if (cold_only)
		tlb_forget(mm, lo, hi); /* and if nobody touches them, they are next */
}

static inline uint64_t nr_taken(const struct reclaimed *taken)
{
	return taken->unmapped + taken->swapped;
}

/* From `*at` on, which moves along; ends behind the mm, or with `nr_pages` taken in all. */
static void take_from_mm(struct ondol_mm_struct *mm, uint64_t *at, uint64_t nr_pages, bool spare,
			 struct reclaimed *taken)
{
	const uint64_t window = (uint64_t)RECLAIM_WINDOW << ONDOL_PAGE_SHIFT;
	const struct vma *vma = *at < mm->task_size ? vma_find(mm, *at) : NULL;
	struct pgtable_span span;

	for (; vma; vma = vma_next(vma)) {
		if (!may_take_from(mm, vma))
			continue;
		*at = max_u64(*at, vma->start);
		/* A region may be far larger than what of it has tables. */
		while (*at < vma->end && pgtable_next(&mm->pgt, 0, *at, vma->end, &span)) {
			uint64_t end;

			*at = span.addr;
			end = min_u64(align_down(*at, window) + window, vma->end);
			take_window(mm, vma, *at, end, spare, taken);
			*at = end;
			if (nr_taken(taken) >= nr_pages)
				return;
		}
	}
	*at = mm->task_size;
}

/* Pages that the hand could take, as far as that can be told cheaply. */
static uint64_t nr_takeable(struct ondol_machine *m)
{
	uint64_t nr = (uint64_t)phys_use_count(m, ONDOL_PAGE_CACHE);

	if (swap_has_room(m))
		nr += (uint64_t)phys_use_count(m, ONDOL_PAGE_ANON);
	return nr;
}

struct reclaimed reclaim_mapped(struct ondol_machine *m, uint64_t nr_pages)
{
	struct ondol_virt_state *v = m->virt;
	uint64_t takeable = nr_takeable(m);
	struct reclaimed taken = { 0, 0, 0 };

	if (!m->reclaim_mapped || takeable <= RECLAIM_KEEP)
		return taken;
	/* In batches, so that there are blocks for windows again, not only single frames. */
	nr_pages = max_u64(nr_pages, min_u64(RECLAIM_BATCH, takeable / 8));
	nr_pages = min_u64(nr_pages, takeable - RECLAIM_KEEP);
	/*
	 * Twice round, sparing what is in use, and once without; each time the first mm once
	 * more, since the hand may have stood in its middle.
	 */
	for (uint64_t turns = 3 * (v->nr_mm + 1); turns && nr_taken(&taken) < nr_pages; turns--) {
		struct list_node *node = v->mms.next;
		struct ondol_mm_struct *mm = container_of(node, struct ondol_mm_struct, link);
		bool spare = turns > v->nr_mm + 1;

		take_from_mm(mm, &v->reclaim_at, nr_pages, spare, &taken);
		if (v->reclaim_at >= mm->task_size) {
			v->reclaim_at = 0;
			list_del(node);
			list_add_tail(node, &v->mms);
		}
	}
	v->nr_unmapped += taken.unmapped;
	return taken;
}

void reclaim_range(struct ondol_mm_struct *mm, const struct vma *vma, uint64_t start, uint64_t end)
{
	const uint64_t window = (uint64_t)RECLAIM_WINDOW << ONDOL_PAGE_SHIFT;
	struct reclaimed taken = { 0, 0, 0 };
	struct pgtable_span span;

	if (!mm->m->reclaim_mapped || !may_take_from(mm, vma))
		return;
	while (start < end && pgtable_next(&mm->pgt, 0, start, end, &span)) {
		uint64_t to = min_u64(align_down(span.addr, window) + window, end);

		take_window(mm, vma, span.addr, to, false, &taken);
		start = to;
	}
	mm->m->virt->nr_unmapped += taken.unmapped;
	if (vma->file && !shows_file(vma))
		(void)ondol_address_space_shrink(vma->file->mapping, taken.unmapped);
}

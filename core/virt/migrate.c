/* SPDX-License-Identifier: MIT */
/*
 * Pages move from frame to frame: between nodes, and out of a range that somebody wants whole.
 *
 * There is no way from a frame back to the entries that map it.  A migration collects pages first,
 * and then goes through the address spaces twice for all of them:
 *
 *	add      a frame to move into; old frame MOVING, its record names the new one
 *	veto     nobody waits for them (compaction): those that somebody needs there stay
 *	unmap    entry present -> absent, its other bits stay; hardware told; entries counted
 *	copy     if there are no other references than the entries (and the cache's)
 *	remap    entry absent -> present, with the new frame or, not copied, the old one
 *
 * Nobody can write the page from unmap to remap: hardware finds no entry, and the fault that
 * follows waits for the embedder's lock of the mm.  Absent entries that are neither zero nor a swap
 * slot's exist nowhere else, and not after (validation of [MMU-1] sees it).  Accessed bits go,
 * dirty bits stay with the entries.
 *
 * [MIGRATE-1] Outside a migration no frame is MOVING.
 *
 * A page with one entry needs only the lock of its mm.  For others all mms, files and mappings of
 * the machine must rest (include/ondol/mempolicy.h says so to callers); what still may come is
 * the page cache's shrinker, which leaves alone what has a reference more.
 */
#include "phys/range.h"
#include "virt/ksm.h"

static inline bool is_moving(const struct ondol_page *page)
{
	return (__atomic_load_n(&page->flags, __ATOMIC_RELAXED) & ONDOL_PG_MOVING) != 0;
}

bool migrate_add(struct migration *mig, struct ondol_page *old, struct ondol_page *new)
{
	struct ondol_machine *m = mig->m;

	if (page_use(old) == ONDOL_PAGE_ANON)
		ondol_get_page(m, old);
	else if (!cache_get_frame(m, old))
		return false;
	if (__atomic_fetch_or(&old->flags, ONDOL_PG_MOVING, __ATOMIC_RELAXED) & ONDOL_PG_MOVING) {
		ondol_put_page(m, old);
		return false;
	}
	old->data.next = (uint32_t)(new - m->pages);
	old->data.prev = mig->first;
	mig->first = (uint32_t)(old - m->pages);
	return true;
}

/* ------------------------------------------------------------------ entries */

/* The first and the end of the last entry of [start, end) whose page is MOVING. */
static bool moving_extent(struct ondol_mm_struct *mm, uint64_t start, uint64_t end,
			  uint64_t *out_lo, uint64_t *out_hi)
{
	struct pgtable_span span;
	bool any = false;

	pgtable_for_each_span(&mm->pgt, span, start, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			uint64_t pte = pte_get(&mm->pgt, slot);

			if (!pte_present(mm, pte) || !is_moving(pte_page(mm, pte)))
				continue;
			if (!any)
				*out_lo = addr;
			*out_hi = addr + ONDOL_PAGE_SIZE;
			any = true;
		}
	}
	return any;
}

/* Whether pages of [start, end), all in vma, are needed where they are. */
static bool must_stay(struct ondol_mm_struct *mm, const struct vma *vma, uint64_t start,
		      uint64_t end)
{
	const struct ondol_machine *m = mm->m;

	return vma->flags & ONDOL_VM_LOCKED || (mm->faulting >= start && mm->faulting < end) ||
	       (m->mmu->busy && m->mmu->busy(m->mmu_ctx, mm, start, end) != ONDOL_MMU_IDLE);
}

static void veto_span(struct ondol_mm_struct *mm, const struct vma *vma,
		      const struct pgtable_span *span)
{
	void *slot = span->slot;
	uint64_t lo, hi;

	if (!moving_extent(mm, span->addr, span->end, &lo, &hi) || !must_stay(mm, vma, lo, hi))
		return;
	for (uint64_t addr = span->addr; addr < span->end;
	     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
		uint64_t pte = pte_get(&mm->pgt, slot);

		if (pte_present(mm, pte))
			__atomic_fetch_and(&pte_page(mm, pte)->flags, ~ONDOL_PG_MOVING,
					   __ATOMIC_RELAXED);
	}
}

void migrate_veto(const struct migration *mig)
{
	struct list_node *head = &mig->m->virt->mms;
	struct pgtable_span span;

	for (struct list_node *node = head->next; node != head; node = node->next) {
		struct ondol_mm_struct *mm = container_of(node, struct ondol_mm_struct, link);

		for (const struct vma *vma = vma_first(mm); vma; vma = vma_next(vma)) {
			if (vma_is_native(vma))
				continue;
			pgtable_for_each_span(&mm->pgt, span, vma->start, vma->end)
				veto_span(mm, vma, &span);
		}
	}
}

/* Of one table: what lies between pages that move far apart stays in the hardware. */
static void unmap_span(struct ondol_mm_struct *mm, const struct pgtable_span *span)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	void *slot = span->slot;
	uint64_t lo, hi;
	bool cached = false;

	if (!moving_extent(mm, span->addr, span->end, &lo, &hi))
		return;
	/* Software-filled hardware is told before, since it asks for nothing meanwhile. */
	tlb_forget(mm, lo, hi);
	for (uint64_t addr = span->addr; addr < span->end;
	     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
		uint64_t pte = pte_get(&mm->pgt, slot);

		if (!pte_present(mm, pte) || !is_moving(pte_page(mm, pte)))
			continue;
		huge_split_at(mm, addr);
		pte = pte_exchange(&mm->pgt, slot, 0);
		pte_set(&mm->pgt, slot, pte & ~(f->present_mask | f->accessed_mask));
		cached |= (pte & f->accessed_mask) != 0;
		mm->m->pages[pte_page(mm, pte)->data.next].data.mapcount++;
	}
	if (cached)
		tlb_invalidate(mm, lo, hi);
}

static void unmap_part(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	struct pgtable_span span;

	pgtable_for_each_span(&mm->pgt, span, start, end)
		unmap_span(mm, &span);
}

static void remap_part(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	struct pgtable_span span;

	pgtable_for_each_span(&mm->pgt, span, start, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			uint64_t pte = pte_get(&mm->pgt, slot);
			struct ondol_page *page;

			if (!pte || pte_present(mm, pte) || pte_is_swap(mm, pte) ||
			    pte_is_guard(mm, pte))
				continue;
			page = pte_page(mm, pte);
			if (is_moving(page))
				page = &mm->m->pages[page->data.next];
			pte_set(&mm->pgt, slot,
				(pte & ~f->phys_mask) | f->present_mask |
					(machine_page_pfn(mm->m, page) << ONDOL_PAGE_SHIFT));
		}
	}
}

static void in_regions(struct ondol_mm_struct *mm, uint64_t start, uint64_t end,
		       void (*part)(struct ondol_mm_struct *, uint64_t, uint64_t))
{
	for (const struct vma *vma = vma_find(mm, start); vma && vma->start < end;
	     vma = vma_next(vma))
		if (!vma_is_native(vma))
			part(mm, max_u64(vma->start, start), min_u64(vma->end, end));
}

static void in_all_mms(struct ondol_machine *m,
		       void (*part)(struct ondol_mm_struct *, uint64_t, uint64_t))
{
	struct list_node *head = &m->virt->mms;

	for (struct list_node *node = head->next; node != head; node = node->next) {
		struct ondol_mm_struct *mm = container_of(node, struct ondol_mm_struct, link);

		in_regions(mm, 0, mm->task_size, part);
	}
}

/* ------------------------------------------------------------------ frames */

/* Anonymous, and nobody has a reference but its entries, its swap slot and the migration. */
static bool copy_anon(struct ondol_machine *m, struct ondol_page *old, struct ondol_page *new)
{
	uint32_t maps = new->data.mapcount, cached = (old->flags & ONDOL_PG_SWAPCACHE) ? 1 : 0;

	if (page_refs(old) != maps + cached + 1)
		return false;
	kmap_copy(m, new, old);
	page_make_anon(m, new);
	new->data.mapcount = maps;
	__atomic_store_n(&new->refcount, maps + cached, __ATOMIC_RELEASE);
	if (cached)
		swap_cache_move(m, old, new);
	if (ondol_unlikely(page_is_merged(old)))
		ksm_move(m, old, new);
	return true;
}

/* Those that could not be copied are MOVING no longer. */
static void copy_pages(struct migration *mig)
{
	struct ondol_machine *m = mig->m;
	struct ondol_page *old, *new;

	for (uint32_t index = mig->first; index != ONDOL_PAGE_NIL; index = old->data.prev) {
		bool copied;

		old = &m->pages[index];
		new = &m->pages[old->data.next];
		if (!is_moving(old))
			copied = false;
		else
			copied = page_use(old) == ONDOL_PAGE_ANON ? copy_anon(m, old, new) :
								    cache_replace(old, new);
		__atomic_fetch_add(copied ? &m->virt->nr_migrated : &m->virt->nr_not_migrated, 1,
				   __ATOMIC_RELAXED);
		if (!copied) {
			__atomic_fetch_and(&old->flags, ~ONDOL_PG_MOVING, __ATOMIC_RELAXED);
			continue;
		}
		ondol_page_set_use(m, old, ONDOL_PAGE_KERNEL);
		old->data.mapping = NULL;
		old->data.mapcount = 0;
		__atomic_store_n(&old->refcount, 1, __ATOMIC_RELEASE);
	}
}

void migrate_run(struct migration *mig, struct ondol_mm_struct *mm, uint64_t addr)
{
	uint64_t end = addr + ONDOL_PAGE_SIZE;

	if (mig->first == ONDOL_PAGE_NIL)
		return;
	if (mm)
		in_regions(mm, addr, end, unmap_part);
	else
		in_all_mms(mig->m, unmap_part);
	copy_pages(mig);
	if (mm)
		in_regions(mm, addr, end, remap_part);
	else
		in_all_mms(mig->m, remap_part);
}

struct ondol_page *migrate_next(struct migration *mig, struct ondol_page **out_new,
				bool *out_moved)
{
	struct ondol_page *old;
	uint32_t was;

	if (mig->first == ONDOL_PAGE_NIL)
		return NULL;
	old = &mig->m->pages[mig->first];
	mig->first = old->data.prev;
	*out_new = &mig->m->pages[old->data.next];
	was = __atomic_fetch_and(&old->flags, ~ONDOL_PG_MOVING, __ATOMIC_RELAXED);
	*out_moved = was & ONDOL_PG_MOVING && page_use(old) == ONDOL_PAGE_KERNEL;
	return old;
}

uint64_t migrate_finish(struct migration *mig)
{
	struct ondol_page *old, *new;
	uint64_t failed = 0;
	bool moved;

	while ((old = migrate_next(mig, &new, &moved))) {
		if (!moved) {
			new->data.mapcount = 0;
			ondol_put_page(mig->m, new);
			failed++;
		}
		ondol_put_page(mig->m, old);
	}
	return failed;
}

/* ------------------------------------------------------------------ a range is wanted */

/* A frame near `old` and outside [first, end); what comes from inside is held at once. */
static struct ondol_page *frame_outside(struct ondol_machine *m, const struct ondol_page *old,
					uint32_t first, uint32_t end)
{
	for (;;) {
		struct ondol_page *page =
			ondol_alloc_pages_node(m, (int)ondol_page_node(old),
					       ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_NOWARN, 0);

		if (!page || page < &m->pages[first] || page >= &m->pages[end])
			return page;
		range_hold(m, page);
	}
}

int virt_evacuate(struct ondol_machine *m, uint32_t first, uint32_t end)
{
	struct migration mig = { .m = m, .first = ONDOL_PAGE_NIL };
	struct ondol_page *new, *old;
	bool moved;

	for (old = &m->pages[first]; old < &m->pages[end]; old++) {
		if (!range_is_movable(old))
			continue;
		new = frame_outside(m, old, first, end);
		if (!new) {
			(void)migrate_finish(&mig);
			return -ONDOL_ENOMEM;
		}
		if (!migrate_add(&mig, old, new))
			ondol_put_page(m, new);
	}
	migrate_run(&mig, NULL, 0);
	while ((old = migrate_next(&mig, &new, &moved))) {
		if (moved) {
			range_hold(m, old);
			continue;
		}
		new->data.mapcount = 0;
		ondol_put_page(m, new);
		ondol_put_page(m, old);
	}
	return 0;
}

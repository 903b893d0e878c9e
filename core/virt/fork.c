/* SPDX-License-Identifier: MIT */
/*
 * fork: equal regions, shared frames.
 *
 *	parent   |w.w.|  -->  |r.r.|     a private page that could be written is read-only in
 *	child                 |r.r.|     both, and the first to write copies it (cow.c)
 *
 * The parent's hardware forgets the entries that were writable, region by region, and keeps
 * the read-only ones.  After a failure the child is dropped; the parent's entries stay
 * read-only, which costs it a fault for each page (COW_REUSE) and nothing else.
 */
#include "phys/memcg.h"
#include "virt/ksm.h"

/* One more entry for the frame. */
static inline void share_frame(struct ondol_machine *m, struct ondol_page *page)
{
	if (ondol_likely(page_exclusive_anon(page))) {
		/* Ours alone: nobody else can reach the counts. */
		__atomic_store_n(&page->refcount, 2, __ATOMIC_RELAXED);
		page->data.mapcount = 2;
		return;
	}
	__atomic_fetch_add(&page->refcount, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&page->data.mapcount, 1, __ATOMIC_RELAXED);
	ksm_note_map(m, page);
}

struct dup {
	struct ondol_mm_struct *from, *to;
	uint64_t clear_from, clear_to;     /* bits to clear in entries that are not writable */
	uint64_t clear_from_w, clear_to_w; /* ... in those that are */
	uint64_t lo, hi;                   /* real MMU: accessed entries made read-only */
	uint64_t nr_anon, nr_cache, nr_swap;
};

static int dup_span(struct dup *d, const struct pgtable_span *span)
{
	const struct pgtable *pt = &d->from->pgt;
	const struct ondol_pgtable_format *f = pt->format;
	void *slot = span->slot;
	unsigned char *child = NULL;

	for (uint64_t addr = span->addr; addr < span->end;
	     addr += ONDOL_PAGE_SIZE, slot = pte_next(pt, slot)) {
		uint64_t pte = pte_get(pt, slot);
		struct ondol_page *page;
		bool writable;

		if (!pte || ondol_unlikely(pte_is_guard(d->from, pte))) /* guard.c has those */
			continue;
		if (!child) { /* a table only where there is something to put in it */
			child = pgtable_make(&d->to->pgt, addr);
			if (!child)
				return -ONDOL_ENOMEM;
			child -= (uint64_t)((unsigned char *)slot - (unsigned char *)span->slot);
			pte = pte_get(pt, slot); /* a shrinker may have been at it */
			if (!pte)
				continue;
		}
		if (ondol_unlikely(pte_is_swap(d->from, pte))) {
			swap_get(d->from->m, pte_slot(d->from, pte));
			d->nr_swap++;
			pte_set(&d->to->pgt,
				child + ((unsigned char *)slot - (unsigned char *)span->slot),
				pte);
			continue;
		}
		writable = (pte & f->write_mask) != 0;
		page = pte_page(d->from, pte);
		share_frame(d->from->m, page);
		if (page_use(page) == ONDOL_PAGE_ANON)
			d->nr_anon++;
		else
			d->nr_cache++;
		if (writable && d->clear_from_w) {
			if (pt->hw_walker) /* not present for a moment: no A or D is lost */
				pte = pte_exchange(pt, slot, 0);
			pte_set(pt, slot, pte & ~d->clear_from_w);
			if (!d->from->soft_fill && (pte & f->accessed_mask)) {
				d->lo = min_u64(d->lo, addr);
				d->hi = addr + ONDOL_PAGE_SIZE;
			}
		}
		pte_set(&d->to->pgt, child + ((unsigned char *)slot - (unsigned char *)span->slot),
			pte & ~(writable ? d->clear_to_w : d->clear_to));
	}
	return 0;
}

/* The entries of one region. */
static int dup_entries(struct ondol_mm_struct *from, struct ondol_mm_struct *to,
		       const struct vma *vma, bool child_cold)
{
	const struct ondol_pgtable_format *f = from->pgt.format;
	struct dup d = { .from = from, .to = to, .lo = UINT64_MAX };
	struct pgtable_span span;
	uint64_t lo, hi;
	int r = 0;

	/* D stays on private pages, as in Linux: smaps tells it, and no hardware may write. */
	if (child_cold)
		d.clear_to = d.clear_to_w = f->accessed_mask |
					    (vma_is_shared(vma) ? f->dirty_mask : 0);
	if (!vma_is_shared(vma)) {
		d.clear_from_w = f->write_mask;
		if (from->soft_fill) {
			d.clear_from_w |= f->accessed_mask; /* the hardware forgets them now */
			if (tlb_extent(from, vma->start, vma->end,
				       f->accessed_mask | f->write_mask, &lo, &hi))
				tlb_invalidate(from, lo, hi);
		}
		d.clear_to_w |= d.clear_from_w | f->accessed_mask;
	}
	huge_split_range(from, vma->start, vma->end);
	pgtable_for_each_span(&from->pgt, span, vma->start, vma->end) {
		r = dup_span(&d, &span);
		if (r)
			break;
	}
	if (d.lo < d.hi)
		tlb_invalidate(from, d.lo, d.hi);
	to->rss[RSS_ANON] += d.nr_anon;
	to->nr_swap += d.nr_swap;
	if (d.nr_cache)
		to->rss[vma->file->mapping->ops ? RSS_FILE : RSS_SHMEM] += d.nr_cache;
	return r;
}

/*
 * A region whose pages the child does not get.  If the child's hardware starts as a copy of
 * the parent's, the parent's must not hold them at that moment.
 */
static void leave_out(struct ondol_mm_struct *mm, const struct vma *vma, bool child_cold)
{
	if (!child_cold && !vma_is_native(vma))
		tlb_forget(mm, vma->start, vma->end);
}

static int dup_region(struct ondol_mm_struct *mm, struct ondol_mm_struct *child,
		      const struct vma *vma, bool child_cold)
{
	struct vma_props props = vma_props(vma);
	struct vma *copy;

	if (vma->flags & ONDOL_VM_DONTFORK) {
		leave_out(mm, vma, child_cold);
		return 0;
	}
	if (!mm_may_commit(mm, vma->flags, vma_pages(vma)))
		return -ONDOL_ENOMEM;
	props.flags &= ~LOCK_FLAGS; /* mlock(2): locks are not inherited */
	copy = vma_alloc(child, &props, vma->start, vma->end, vma->pgoff);
	if (!copy)
		return -ONDOL_ENOMEM;
	vma_link(child, child->last, copy);
	vma_rejoin(child, copy); /* what only a lock told apart is one region now (F12) */
	mm_account(child, props.flags, (int64_t)vma_pages(vma));
	if (vma->flags & ONDOL_VM_WIPEONFORK) {
		leave_out(mm, vma, child_cold);
		return 0;
	}
	if (vma_is_native(vma))
		return 0;
	int r = guard_dup(mm, child, vma);

	return r ? r : dup_entries(mm, child, vma, child_cold);
}

/*
 * What is copied belongs to two, and the child's half cannot be taken while it is being made: so
 * memory that is short is won back before, as many frames as the child's tables and records
 * will need.  They are free again when this returns; a refusal says nothing yet.
 */
static void make_room(struct ondol_mm_struct *mm)
{
	struct ondol_machine *m = mm->m;
	uint64_t need = mm->pgt.nr_tables + mm->nr_vma / 32 + 8;
	uint32_t chain = ONDOL_PAGE_NIL;

	memcg_make_room(m, need);
	if (!m->reclaim_mapped || ondol_nr_free_pages(m) > m->phys->managed / 8 + 2 * need)
		return;
	for (uint64_t i = 0; i < need; i++) {
		struct ondol_page *page = ondol_alloc_pages(
			m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, 0);

		if (!page)
			break;
		page->data.next = chain;
		chain = (uint32_t)(page - m->pages);
	}
	while (chain != ONDOL_PAGE_NIL) {
		struct ondol_page *page = &m->pages[chain];

		chain = page->data.next;
		ondol_free_pages(m, page, 0);
	}
}

int ondol_dup_mm(struct ondol_mm_struct *mm, bool child_cold, struct ondol_mm_struct **out_child)
{
	struct ondol_mm_struct *child;

	make_room(mm);
	int r = mm_alloc(mm->m, &child);

	if (r)
		return r;
	child->limits = mm->limits;
	child->layout = mm->layout;
	child->thp_disabled = mm->thp_disabled;
	child->mergeable = mm->mergeable;
	for (const struct vma *vma = vma_first(mm); vma && !r; vma = vma_next(vma))
		r = dup_region(mm, child, vma, child_cold);
	mm_note_rss(child);
	if (r) {
		ondol_mmput(child);
		return r;
	}
	mm->counters.nr_forks++;
	*out_child = child;
	return 0;
}

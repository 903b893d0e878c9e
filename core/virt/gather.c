/* SPDX-License-Identifier: MIT */
/*
 * Taking entries away: clear, tell the hardware once, then free the frames (Linux: mmu_gather).
 *
 *	gather_begin
 *	gather_announce   software fill: one invalidate over the accessed extent
 *	gather_zap ...    clear entries; real MMU: keep the frames and note the accessed extent
 *	gather_tables     unlink tables that no region needs
 *	gather_end        real MMU: one invalidate; then free what was kept
 *
 * A frame that is ours alone is chained through its own record, without bound.  A shared one
 * may be in somebody else's chain, so those wait in a short array; full, it forces a flush.
 */
#include "virt/ksm.h"

void gather_begin(struct mmu_gather *g, struct ondol_mm_struct *mm, bool exiting)
{
	g->mm = mm;
	g->at_once = exiting || mm->soft_fill;
	g->dirtied = false;
	g->exclusive = g->tables = ONDOL_PAGE_NIL;
	g->nr_shared = 0;
	g->lo = UINT64_MAX;
	g->hi = 0;
}

void gather_announce(struct mmu_gather *g, uint64_t start, uint64_t end)
{
	struct ondol_mm_struct *mm = g->mm;
	uint64_t lo, hi;

	if (mm->soft_fill &&
	    tlb_extent(mm, start, end, mm->pgt.format->accessed_mask, &lo, &hi))
		tlb_invalidate(mm, lo, hi);
}

void put_mapped(struct ondol_machine *m, struct ondol_page *page)
{
	bool cached = (page->flags & ONDOL_PG_SWAPCACHE) != 0;

	if (ondol_unlikely(page_is_merged(page)))
		ksm_unmap(m, page);
	else if (page_refs(page) == 1)
		page->data.mapcount = 0;
	else
		__atomic_fetch_sub(&page->data.mapcount, 1, __ATOMIC_RELAXED);
	ondol_put_page(m, page);
	if (ondol_unlikely(cached))
		swap_unmapped(m, page);
}

/* Free what was gathered so far; the hardware is told first. */
static void gather_flush(struct mmu_gather *g)
{
	struct ondol_machine *m = g->mm->m;
	uint32_t index = g->exclusive;

	if (g->lo < g->hi)
		tlb_invalidate(g->mm, g->lo, g->hi);
	g->lo = UINT64_MAX;
	g->hi = 0;
	while (index != ONDOL_PAGE_NIL) {
		struct ondol_page *page = &m->pages[index];

		index = page->data.next;
		put_mapped(m, page);
	}
	g->exclusive = ONDOL_PAGE_NIL;
	for (uint32_t i = 0; i < g->nr_shared; i++)
		put_mapped(m, g->shared[i]);
	g->nr_shared = 0;
}

static void gather_frame(struct mmu_gather *g, struct ondol_page *page)
{
	struct ondol_machine *m = g->mm->m;

	if (ondol_likely(g->at_once)) {
		put_mapped(m, page);
		return;
	}
	if (page_refs(page) == 1) {
		page->data.next = g->exclusive;
		g->exclusive = (uint32_t)(page - m->pages);
		return;
	}
	if (g->nr_shared == GATHER_SHARED)
		gather_flush(g);
	g->shared[g->nr_shared++] = page;
}

/* A page of a file as it is there, or of shared memory: who drops it can have it back. */
static bool is_clean(const struct ondol_mm_struct *mm, const struct vma *vma, uint64_t pte)
{
	const struct ondol_page *page = pte_page(mm, pte);

	/* Shared memory is never clean: it can go to swap, or nowhere. */
	if (page_use(page) == ONDOL_PAGE_CACHE && !page->data.mapping->ops)
		return swap_has_room(mm->m);
	return page_use(page) == ONDOL_PAGE_CACHE && !(page->flags & ONDOL_PG_DIRTY) &&
	       !(vma_is_shared(vma) && (pte & mm->pgt.format->dirty_mask));
}

enum gather_which { ALL, CLEAN, CLEAN_AND_COLD };

static bool is_wanted(const struct ondol_mm_struct *mm, const struct vma *vma, uint64_t pte,
		      enum gather_which which)
{
	if (which == CLEAN_AND_COLD && (pte & mm->pgt.format->accessed_mask))
		return false;
	return which == ALL || is_clean(mm, vma, pte);
}

/* No leaf stands over the span any more; a shadow that nobody needs goes with the tables. */
static void gather_leaf(struct mmu_gather *g, const struct pgtable_span *span)
{
	struct ondol_page *shadow = huge_zap(g->mm, span->addr, span->end);

	if (!shadow)
		return;
	shadow->data.next = g->tables;
	g->tables = (uint32_t)(shadow - g->mm->m->pages);
}

/* Entries of [start, end).  How many. */
static uint64_t gather_entries(struct mmu_gather *g, const struct vma *vma, uint64_t start,
			       uint64_t end, enum gather_which which)
{
	struct ondol_mm_struct *mm = g->mm;
	const struct ondol_pgtable_format *f = mm->pgt.format;
	uint64_t nr_anon = 0, nr_cache = 0;
	struct pgtable_span span;

	pgtable_for_each_span(&mm->pgt, span, start, end) {
		void *slot = span.slot;

		if (ondol_unlikely(mm->pgt.nr_huge))
			gather_leaf(g, &span);
		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			uint64_t pte = pte_get(&mm->pgt, slot);
			struct ondol_page *page;

			if (ondol_unlikely(pte_is_swap(mm, pte)) && which == ALL) {
				pte_set(&mm->pgt, slot, 0);
				swap_put(mm->m, pte_slot(mm, pte));
				mm->nr_swap--;
				continue;
			}
			if (!(pte & f->present_mask) || !is_wanted(mm, vma, pte, which))
				continue;
			pte = pte_exchange(&mm->pgt, slot, 0);
			page = pte_page(mm, pte);
			if (pte & f->accessed_mask && !g->at_once) {
				g->lo = min_u64(g->lo, addr);
				g->hi = addr + ONDOL_PAGE_SIZE;
			}
			if (page_use(page) == ONDOL_PAGE_ANON) {
				nr_anon++;
			} else {
				nr_cache++;
				if (pte & f->dirty_mask && vma_is_shared(vma)) {
					cache_mark_dirty(page);
					g->dirtied = true;
				}
			}
			gather_frame(g, page);
		}
	}
	mm->rss[RSS_ANON] -= nr_anon;
	if (nr_cache)
		mm->rss[vma->file->mapping->ops ? RSS_FILE : RSS_SHMEM] -= nr_cache;
	return nr_anon + nr_cache;
}

void gather_zap(struct mmu_gather *g, const struct vma *vma, uint64_t start, uint64_t end)
{
	if (!vma_is_native(vma))
		gather_entries(g, vma, start, end, ALL);
}

uint64_t gather_clean(struct mmu_gather *g, const struct vma *vma, uint64_t start, uint64_t end,
		      bool cold_only)
{
	return gather_entries(g, vma, start, end, cold_only ? CLEAN_AND_COLD : CLEAN);
}

void gather_tables(struct mmu_gather *g, uint64_t start, uint64_t end, uint64_t floor,
		   uint64_t ceiling)
{
	bool cached = pgtable_unlink_range(&g->mm->pgt, start, end, floor, ceiling, &g->tables);

	/* A real MMU may have cached the way through an unlinked table. */
	if (cached && !g->at_once) {
		g->lo = min_u64(g->lo, start);
		g->hi = max_u64(g->hi, end);
	}
}

void gather_end(struct mmu_gather *g)
{
	gather_flush(g);
	pgtable_release(&g->mm->pgt, g->tables);
}

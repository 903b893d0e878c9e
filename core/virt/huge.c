/* SPDX-License-Identifier: MIT */
/*
 * Transparent huge pages: anonymous memory in blocks of what one page table maps, 2 MiB on x86-64.
 *
 * 1 What problem.  Hardware that holds a block as one translation misses less often, and where
 *   the hardware is the host's, one message brings 512 pages instead of 16 to 64 of them.
 *
 * 2 Terms.  range: the addresses of one page table, aligned.  leaf: the entry of level 1 that maps
 *   a whole range; its shadow, the table behind it (core/pgtable/pgtable.c).
 *
 * 3 How it works.
 *
 *	fault      the range lies in one region that wants it and has no entry: a zeroed block,
 *	           which is made single frames at once, an entry for each, and then the leaf
 *	split      before an entry under it is changed: the shadow becomes the table
 *	collapse   the entries of a range go to one block, and under a leaf
 *
 *   The leaf is the page table's affair alone.  To everybody else these are 512 pages with entries
 *   and references of their own [COW-1]: any one of them can be looked at, put in swap, shared,
 *   moved, or be held by its frame, without a thought of the others.  What a leaf costs more than
 *   a block whose frames go together is the writing of their records, two microseconds of a
 *   hundred and more for clearing it.
 *
 *   Who wants it: the machine says never, where madvise asks for it, or always; MADV_NOHUGEPAGE and
 *   PR_SET_THP_DISABLE speak against it.  Only where madvise has asked for it is memory compacted
 *   for a fault; nobody's pages are reclaimed for one.
 *
 * 4 Split before anything is written: munmap, DONTNEED or mprotect of a part, a region that is cut
 *   inside a range, fork, mremap, a page that leaves for swap or another frame.
 *
 * 5 What can fail.  Making a leaf: then there are small pages.  Splitting allocates nothing.
 * 6 How to see it.  AnonHugePages in smaps and meminfo, thp_* in vmstat.
 * 7 Sources.  Linux Documentation/admin-guide/mm/transhuge.rst, mm/huge_memory.c and
 *   mm/khugepaged.c for behaviour; Navarro, Iyer, Druschel and Cox, "Practical, Transparent
 *   Operating System Support for Superpages" (2002).
 */
#include "virt/ksm.h"

/* khugepaged: of a range so many pages may be added, of the 512. */
#define COLLAPSE_NONE_MAX 64u

static inline unsigned huge_order(const struct ondol_mm_struct *mm)
{
	return mm->pgt.format->level[0].bits;
}

bool huge_possible(const struct ondol_machine *m)
{
	const struct ondol_pgtable_format *f = m->profile->format;

	return f->nr_levels > 1 && f->level[1].may_be_leaf &&
	       f->level[0].bits <= m->phys->max_order;
}

/* Whether the range at base lies in a region whose memory may be in blocks. */
static bool may_be_huge(const struct ondol_mm_struct *mm, const struct vma *vma, uint64_t base)
{
	return vma_is_anon(vma) && !vma_is_shared(vma) && !(vma->flags & ONDOL_VM_NOHUGEPAGE) &&
	       base >= vma->start && base < vma->end &&
	       vma->end - base >= pgtable_huge_size(&mm->pgt);
}

static bool is_wanted(const struct ondol_mm_struct *mm, const struct vma *vma, uint64_t base)
{
	if (mm->m->thp == ONDOL_THP_NEVER || mm->thp_disabled ||
	    (mm->m->thp == ONDOL_THP_MADVISE && !(vma->flags & ONDOL_VM_HUGEPAGE)))
		return false;
	return may_be_huge(mm, vma, base);
}

static uint64_t leaf_for(const struct ondol_mm_struct *mm, const struct vma *vma,
			 const struct ondol_page *page)
{
	ondol_phys_addr_t pa = { machine_page_pfn(mm->m, page) << ONDOL_PAGE_SHIFT };

	return mm->pgt.format->make_leaf(pa, flags_prot(vma->flags), 1).value;
}

bool fault_huge(struct fault *f)
{
	struct ondol_mm_struct *mm = f->mm;
	uint64_t size = pgtable_huge_size(&mm->pgt), base = align_down(f->addr, size), pte;
	struct fault whole = *f;
	struct fault_run run;
	struct ondol_page *page;
	ondol_gfp_t gfp = ONDOL_GFP_HIGHMEM | ONDOL_GFP_MOVABLE | ONDOL_GFP_NOWARN;

	if (!is_wanted(mm, f->vma, base) || mpol_interleaves(&f->policy))
		return false;
	whole.around = 1u << huge_order(mm);
	run = fault_absent_run(&whole);
	if (run.hi - run.lo < size)
		return false;
	if (f->vma->flags & ONDOL_VM_HUGEPAGE)
		gfp |= ONDOL_GFP_RECLAIM | ONDOL_GFP_NORETRY;
	page = fault_alloc_frames(f, base, whole.around, gfp, true);
	if (!page) {
		mm->counters.thp_fault_fallback++;
		return false;
	}
	pte = pte_template(mm, flags_prot(f->vma->flags)) |
	      (machine_page_pfn(mm->m, page) << ONDOL_PAGE_SHIFT);
	for (uint32_t i = 0; i < whole.around; i++, pte += ONDOL_PAGE_SIZE) {
		page_make_anon(mm->m, &page[i]);
		pte_set(&mm->pgt, run.slot, pte);
		run.slot = pte_next(&mm->pgt, run.slot);
	}
	if (pgtable_huge_make(&mm->pgt, base, leaf_for(mm, f->vma, page)) && !mm->soft_fill)
		tlb_invalidate(mm, base, base + size);
	mm->counters.thp_fault_alloc++;
	mm->rss[RSS_ANON] += whole.around;
	mm_note_rss(mm);
	f->result->kind = ONDOL_FAULT_ZERO_FILL;
	f->result->nr_pages = whole.around;
	return true;
}

/* ------------------------------------------------------------------ split */

void huge_split(struct ondol_mm_struct *mm, uint64_t addr)
{
	uint64_t size = pgtable_huge_size(&mm->pgt), base = align_down(addr, size);
	void *slot = pgtable_huge_find(&mm->pgt, addr);
	uint64_t leaf;

	if (!slot)
		return;
	leaf = pgtable_huge_split(&mm->pgt, slot);
	mm->counters.thp_splits++;
	/* A real MMU shall not hold a range in both sizes. */
	if (!mm->soft_fill && (leaf & mm->pgt.format->accessed_mask))
		tlb_invalidate(mm, base, base + size);
}

void huge_split_range(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	struct pgtable_span span;

	if (ondol_likely(!mm->pgt.nr_huge))
		return;
	pgtable_for_each_span(&mm->pgt, span, start, end)
		huge_split(mm, span.addr);
}

struct ondol_page *huge_zap(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	void *slot = pgtable_huge_find(&mm->pgt, start);

	if (!slot)
		return NULL;
	if (end - start == pgtable_huge_size(&mm->pgt))
		return pgtable_huge_unlink(&mm->pgt, slot);
	huge_split(mm, start);
	return NULL;
}

/* ------------------------------------------------------------------ collapse */

struct range {
	uint64_t base, end;
	unsigned char *first; /* the slot of base */
	uint32_t nr, present, accessed, merged;
	bool writable;        /* some entry is */
	bool in_place;        /* it is one block already, ours alone */
};

/* 0: the entries may go to one block; what there is, in *r. */
static int look_at(struct ondol_mm_struct *mm, const struct vma *vma, struct range *r)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	uint64_t rights = pte_template(mm, flags_prot(vma->flags)) & pte_rights_mask(mm);
	uint64_t first = pte_get(&mm->pgt, r->first) & f->phys_mask;
	unsigned char *slot = r->first;

	r->present = r->accessed = r->merged = 0;
	r->writable = false;
	r->in_place = !(first & (pgtable_huge_size(&mm->pgt) - 1));
	for (uint32_t i = 0; i < r->nr; i++, slot += f->pte_size) {
		uint64_t pte = pte_get(&mm->pgt, slot);
		const struct ondol_page *page;

		if (!pte) {
			r->in_place = false;
			continue;
		}
		if (!pte_present(mm, pte))
			return -ONDOL_EINVAL; /* a guard, or a page in swap */
		page = pte_page(mm, pte);
		if (page_refs(page) !=
		    page->data.mapcount + (page->flags & ONDOL_PG_SWAPCACHE ? 1 : 0))
			return -ONDOL_EAGAIN;
		r->present++;
		r->merged += page_is_merged(page);
		r->accessed += (pte & f->accessed_mask) != 0;
		r->writable |= (pte & f->write_mask) != 0;
		r->in_place &= page_refs(page) == 1 && (pte & pte_rights_mask(mm)) == rights &&
			       (pte & f->phys_mask) == first + i * ONDOL_PAGE_SIZE;
	}
	return r->writable ? 0 : -ONDOL_EINVAL; /* as Linux 6.1: nothing there has been written */
}

/* No hardware reaches the pages any more; entries keep all but the bits that let it. */
static void hide(struct ondol_mm_struct *mm, const struct range *r)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	unsigned char *slot = r->first;
	bool cached = false;

	tlb_forget(mm, r->base, r->end);
	for (uint32_t i = 0; i < r->nr; i++, slot += f->pte_size) {
		uint64_t pte = pte_exchange(&mm->pgt, slot, 0);

		pte_set(&mm->pgt, slot, pte & ~(f->present_mask | f->accessed_mask));
		cached |= (pte & f->accessed_mask) != 0;
	}
	if (cached)
		tlb_invalidate(mm, r->base, r->end);
}

/* The contents go to the block, whose frames are single, and the entries name it. */
static void move_to(struct ondol_mm_struct *mm, const struct vma *vma, const struct range *r,
		    struct ondol_page *page)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	uint64_t entry = pte_template(mm, flags_prot(vma->flags)) |
			 (machine_page_pfn(mm->m, page) << ONDOL_PAGE_SHIFT);
	unsigned char *slot = r->first;

	for (uint32_t i = 0; i < r->nr; i++, slot += f->pte_size, entry += ONDOL_PAGE_SIZE) {
		uint64_t pte = pte_get(&mm->pgt, slot);

		if (pte)
			kmap_copy(mm->m, &page[i], pte_page(mm, pte));
		else
			kmap_clear(mm->m, &page[i], 1);
		page_make_anon(mm->m, &page[i]);
		pte_set(&mm->pgt, slot, entry | (pte & f->dirty_mask));
		if (pte)
			put_mapped(mm->m, pte_page(mm, pte));
	}
	mm->rss[RSS_ANON] += r->nr - r->present;
	mm_note_rss(mm);
}

/* The range's entries, all of one block now, go under a leaf. */
static void make_leaf(struct ondol_mm_struct *mm, const struct vma *vma, const struct range *r)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	uint64_t leaf = leaf_for(mm, vma, pte_page(mm, pte_get(&mm->pgt, r->first)));
	unsigned char *slot = r->first;

	for (uint32_t i = 0; i < r->nr; i++, slot += f->pte_size)
		leaf |= pte_get(&mm->pgt, slot) & (f->accessed_mask | f->dirty_mask);
	if (pgtable_huge_make(&mm->pgt, r->base, leaf) && !mm->soft_fill)
		tlb_invalidate(mm, r->base, r->end);
}

/* Whether the port lets the pages of the range go to other frames. */
static bool may_move(struct ondol_mm_struct *mm, const struct range *r)
{
	const struct ondol_machine *m = mm->m;

	return !m->mmu->busy ||
	       m->mmu->busy(m->mmu_ctx, mm, r->base, r->end) == ONDOL_MMU_IDLE;
}

/* The range at base, of vma: look_at's errors, -ONDOL_EBUSY, or -ONDOL_ENOMEM. */
static int collapse(struct ondol_mm_struct *mm, struct vma *vma, uint64_t base, uint32_t none_max)
{
	struct range r = { .base = base, .end = base + pgtable_huge_size(&mm->pgt),
			   .nr = 1u << huge_order(mm) };
	struct fault f = { .mm = mm, .vma = vma, .addr = base };
	struct ondol_page *page;
	int error;

	r.first = pgtable_find(&mm->pgt, base);
	if (!r.first)
		return -ONDOL_EINVAL;
	if (pgtable_huge_find(&mm->pgt, base))
		return 0;
	error = look_at(mm, vma, &r);
	/* khugepaged leaves to each scanner what is its own: merged pages stay so. */
	if (error || r.nr - r.present > none_max || (none_max < r.nr && r.merged))
		return error ? error : -ONDOL_EINVAL;
	if (!r.in_place) {
		if (!may_move(mm, &r))
			return -ONDOL_EAGAIN;
		fault_take_policy(&f);
		page = fault_alloc_frames(&f, base, r.nr,
					  ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_NOWARN |
						  ONDOL_GFP_NORETRY, false);
		if (!page) {
			mm->counters.thp_collapse_failed++;
			return -ONDOL_ENOMEM;
		}
		hide(mm, &r);
		move_to(mm, vma, &r, page);
	}
	make_leaf(mm, vma, &r);
	mm->counters.thp_collapse_alloc++;
	return 0;
}

/* What is in swap comes back. */
static int read_in(struct ondol_mm_struct *mm, uint64_t base)
{
	uint64_t end = base + pgtable_huge_size(&mm->pgt);
	struct ondol_fault_args args = { .size = sizeof args, .access = ONDOL_FAULT_READ,
					 .nr_around = 1 };
	struct ondol_fault_result result;

	for (args.addr = base; args.addr < end; args.addr += ONDOL_PAGE_SIZE) {
		const void *slot = pgtable_find(&mm->pgt, args.addr);
		int r;

		if (!slot || !pte_is_swap(mm, pte_get(&mm->pgt, slot)))
			continue;
		r = ondol_handle_mm_fault(mm, &args, &result);
		if (r)
			return r == -ONDOL_ENOMEM ? r : -ONDOL_EINVAL;
	}
	return 0;
}

int huge_collapse(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end)
{
	uint64_t size = pgtable_huge_size(&mm->pgt);
	uint64_t base = align_up(start, size), stop = align_down(end, size);
	int error = 0;

	if (!huge_possible(mm->m) || !may_be_huge(mm, vma, align_up(vma->start, size)) ||
	    stop < base)
		return -ONDOL_EINVAL;
	/* Of those that fail the last is told, after the others were done. */
	for (; base < stop; base += size) {
		int r = read_in(mm, base);

		if (!r)
			r = collapse(mm, vma, base, UINT32_MAX);
		error = r ? r : error;
	}
	return error;
}

/* ------------------------------------------------------------------ khugepaged */

/* Ranges of one mm from *at on, which moves along, until so many pages were looked at. */
static uint64_t scan_mm(struct ondol_mm_struct *mm, uint64_t *at, uint64_t *nr_pages)
{
	uint64_t size = pgtable_huge_size(&mm->pgt), done = 0;
	struct vma *vma = *at < mm->task_size ? vma_find(mm, *at) : NULL;
	struct pgtable_span span;

	for (; vma; vma = vma_next(vma)) {
		*at = align_up(max_u64(*at, vma->start), size);
		/* A region may be far larger than what of it has tables. */
		while (is_wanted(mm, vma, *at) &&
		       pgtable_next(&mm->pgt, 0, *at, vma->end, &span)) {
			*at = align_up(span.addr, size);
			if (!*nr_pages)
				return done;
			if (!is_wanted(mm, vma, *at))
				break;
			*nr_pages -= min_u64(*nr_pages, size >> ONDOL_PAGE_SHIFT);
			if (!pgtable_huge_find(&mm->pgt, *at))
				done += !collapse(mm, vma, *at, COLLAPSE_NONE_MAX);
			*at += size;
		}
	}
	*at = mm->task_size;
	return done;
}

uint64_t ondol_khugepaged(struct ondol_machine *m, uint64_t nr_pages)
{
	struct ondol_virt_state *v = m->virt;
	uint64_t done = 0;

	if (m->thp == ONDOL_THP_NEVER)
		return 0;
	for (uint64_t turns = v->nr_mm; turns && nr_pages;) {
		struct list_node *node = v->mms.next;
		struct ondol_mm_struct *mm = container_of(node, struct ondol_mm_struct, link);

		done += scan_mm(mm, &v->khugepaged_at, &nr_pages);
		if (v->khugepaged_at < mm->task_size)
			break;
		v->khugepaged_at = 0;
		list_del(node);
		list_add_tail(node, &v->mms);
		turns--;
	}
	return done;
}

void ondol_mm_set_thp_disabled(struct ondol_mm_struct *mm, bool disabled)
{
	mm->thp_disabled = disabled;
}

bool ondol_mm_thp_disabled(const struct ondol_mm_struct *mm)
{
	return mm->thp_disabled;
}

/* SPDX-License-Identifier: MIT */
/* munmap, and emptying ranges whose regions stay. */
#include "virt/virt.h"

bool mm_range_sealed(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	const struct vma *vma = vma_find(mm, start);

	for (vma = vma && vma->start < end ? vma : NULL; vma; vma = vma_next_below(vma, end))
		if (vma->flags & ONDOL_VM_SEALED)
			return true;
	return false;
}

/* Dirty pages of shared files go back to the file when the last chance to see them passes. */
static void write_back(const struct vma *vma, uint64_t start, uint64_t end)
{
	uint64_t first = vma_pgoff_at(vma, start);

	if (!vma_is_shared(vma) || !vma->file || !vma->file->mapping)
		return;
	if (cache_writeback(vma->file->mapping, first,
			    first + ((end - start) >> ONDOL_PAGE_SHIFT)))
		return; /* munmap does not report it; the pages stay dirty in the cache */
}

/* Take [start, end) out of the regions; `tail` is a record for what a hole leaves above it. */
static void cut_regions(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end,
			struct vma *tail)
{
	struct vma *next;

	for (; vma; vma = next) {
		uint64_t lo = max_u64(vma->start, start), hi = min_u64(vma->end, end);

		next = vma_next_below(vma, end);
		mm_account(mm, vma->flags, -(int64_t)((hi - lo) >> ONDOL_PAGE_SHIFT));
		if (tail) { /* VVVVVVV -> VV...TT */
			vma_set_end(mm, vma, lo);
			vma_link(mm, vma, tail);
		} else if (lo > vma->start) {
			vma_set_end(mm, vma, lo);
		} else if (hi < vma->end) {
			vma_set_start(mm, vma, hi);
		} else {
			vma_unlink(mm, vma);
			vma_free(mm, vma);
		}
	}
}

/*
 * The tables of [start, end) that neither `below`, the last region that begins under start, nor
 * `above`, the first that ends beyond end, needs.  What else overlaps the range is going, or gone.
 */
static void free_tables_between(struct mmu_gather *g, uint64_t start, uint64_t end,
				const struct vma *below, const struct vma *above)
{
	const struct ondol_pgtable_format *f = g->mm->pgt.format;
	uint64_t top = UINT64_C(1) << pgtable_table_shift(f, f->nr_levels - 1u);

	gather_tables(g, start, end, below ? min_u64(below->end, start) : 0,
		      above ? max_u64(above->start, end) : top);
}

void mm_free_tables(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	struct mmu_gather g;

	gather_begin(&g, mm, false);
	free_tables_between(&g, start, end, vma_below(mm, start), vma_find(mm, end));
	gather_end(&g);
}

int mm_unmap(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	struct vma *first = vma_find(mm, start), *last = NULL, *tail = NULL;
	struct mmu_gather g;

	if (!first || first->start >= end)
		return 0;
	if (mm_range_sealed(mm, start, end))
		return -ONDOL_EPERM;
	if (first->start < start && first->end > end) {
		struct vma_props props = vma_props(first);

		if (mm->nr_vma >= mm_max_map_count(mm))
			return -ONDOL_ENOMEM;
		tail = vma_alloc(mm, &props, end, first->end, vma_pgoff_at(first, end));
		if (!tail)
			return -ONDOL_ENOMEM;
	}
	gather_begin(&g, mm, false);
	gather_announce(&g, start, end);
	for (struct vma *vma = first; vma; vma = vma_next_below(vma, end)) {
		gather_zap(&g, vma, max_u64(vma->start, start), min_u64(vma->end, end));
		last = vma;
	}
	guard_remove(mm, start, end);
	free_tables_between(&g, start, end, first->start < start ? first : vma_prev(first),
			    last->end > end ? last : vma_after(mm, last));
	/* Before the regions let go of their files: a file's last reference drops its pages. */
	gather_end(&g);
	if (g.dirtied) /* no more writes: now the contents are final */
		for (const struct vma *vma = first; vma; vma = vma_next_below(vma, end))
			write_back(vma, max_u64(vma->start, start), min_u64(vma->end, end));
	cut_regions(mm, first, start, end, tail);
	return 0;
}

void mm_zap(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end)
{
	struct mmu_gather g;

	gather_begin(&g, mm, false);
	gather_announce(&g, start, end);
	gather_zap(&g, vma, start, end);
	gather_end(&g);
}

int ondol_munmap(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint64_t length)
{
	if (addr & ~ONDOL_PAGE_MASK)
		return -ONDOL_EINVAL;
	length = page_align(length);
	if (!mm_range_ok(mm, addr, length))
		return -ONDOL_EINVAL;
	return mm_unmap(mm, addr, addr + length);
}

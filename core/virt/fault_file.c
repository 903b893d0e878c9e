/* SPDX-License-Identifier: MIT */
/*
 * Faults in regions that show a file (or shared memory, which is a file without a disk).
 *
 *	shared, or a read of a private one   map the cached page itself; private: read-only
 *	a write to a private one             copy the cached page into a frame of our own
 */
#include "virt/virt.h"

#define BATCH 16 /* pages looked up under one taking of the mapping's lock */

/* Map what the cache has of the run; `page` (with a reference) is the one asked for. */
static void map_cached(struct fault *f, const struct fault_run *run, struct ondol_page *page)
{
	struct ondol_mm_struct *mm = f->mm;
	struct ondol_address_space *mapping = f->vma->file->mapping;
	uint32_t prot = flags_prot(f->vma->flags);
	struct ondol_page *pages[BATCH];
	uint64_t addr = run->lo, pte;
	void *slot = run->slot;
	uint32_t n = 0;

	if (!vma_is_shared(f->vma))
		prot &= ~(uint32_t)ONDOL_PROT_WRITE;
	pte = pte_template(mm, prot);
	while (addr < run->hi) {
		uint32_t batch = (uint32_t)min_u64((run->hi - addr) >> ONDOL_PAGE_SHIFT, BATCH);

		cache_get_pages(mapping, vma_pgoff_at(f->vma, addr), batch, pages);
		for (uint32_t i = 0; i < batch; i++, addr += ONDOL_PAGE_SIZE) {
			/* The shrinker cannot have taken it: we hold a reference. */
			if (addr == f->addr)
				ondol_put_page(mm->m, page);
			if (pages[i]) {
				page_add_map(pages[i]);
				pte_set(&mm->pgt, slot, pte | (machine_page_pfn(mm->m, pages[i])
							       << ONDOL_PAGE_SHIFT));
				n++;
			}
			slot = pte_next(&mm->pgt, slot);
		}
	}
	mm->rss[mapping->ops ? RSS_FILE : RSS_SHMEM] += n;
	mm_note_rss(mm);
	f->result->nr_pages = n;
}

/* Copy what the cache has of the run into frames of our own. */
static int copy_cached(struct fault *f, struct fault_run *run, struct ondol_page *page)
{
	struct ondol_mm_struct *mm = f->mm;
	struct ondol_address_space *mapping = f->vma->file->mapping;
	struct ondol_page *copy = fault_alloc_run(f, run, false);
	uint64_t pte = pte_template(mm, flags_prot(f->vma->flags));
	uint32_t n = 0;

	if (!copy) {
		ondol_put_page(mm->m, page);
		return -ONDOL_ENOMEM;
	}
	for (uint64_t addr = run->lo; addr < run->hi; addr += ONDOL_PAGE_SIZE, copy++) {
		struct ondol_page *from = page;

		if (addr != f->addr)
			from = cache_get_page(mapping, vma_pgoff_at(f->vma, addr));
		if (from) {
			kmap_copy(mm->m, copy, from);
			ondol_put_page(mm->m, from);
			page_make_anon(mm->m, copy);
			pte_set(&mm->pgt, run->slot,
				pte | (machine_page_pfn(mm->m, copy) << ONDOL_PAGE_SHIFT));
			n++;
		} else {
			ondol_put_page(mm->m, copy);
		}
		run->slot = pte_next(&mm->pgt, run->slot);
	}
	mm->rss[RSS_ANON] += n;
	mm_note_rss(mm);
	f->result->nr_pages = n;
	return 0;
}

/*
 * What may be read along with the page asked for: of a file its aligned window, wherever the
 * region shows it; of shared memory only what the region shows, since it would be made for
 * nobody.
 */
static struct cache_read read_window(const struct fault *f, uint64_t index)
{
	uint64_t size = (uint64_t)f->around << ONDOL_PAGE_SHIFT;
	uint64_t base = align_down(f->addr, size), lo, hi;

	if (f->vma->file->mapping->ops) {
		lo = align_down(index, f->around);
		return (struct cache_read){ .lo = lo, .hi = lo + f->around };
	}
	lo = max_u64(base, f->vma->start);
	hi = min_u64(base + size, f->vma->end);
	return (struct cache_read){ .lo = vma_pgoff_at(f->vma, lo),
				    .hi = vma_pgoff_at(f->vma, hi) };
}

int fault_file(struct fault *f)
{
	struct ondol_address_space *mapping = f->vma->file->mapping;
	bool copy = (f->access & ONDOL_FAULT_WRITE) && !vma_is_shared(f->vma);
	uint64_t index = vma_pgoff_at(f->vma, f->addr);
	struct cache_read read = read_window(f, index);
	struct fault_run run;
	int r;

	read.policy = &f->policy;
	r = cache_read_page(mapping, index, &read);

	if (r)
		return r;
	if (!copy)
		f->around = f->cached;
	run = fault_absent_run(f);
	/* Pages past the end may be cached from when the file was longer: they stay unmapped. */
	run.hi = min_u64(run.hi, f->addr + (min_u64(read.end - index, AROUND_MAX)
					    << ONDOL_PAGE_SHIFT));
	if (read.was_swapped)
		f->result->kind = ONDOL_FAULT_SWAP_READ;
	else if (read.was_read)
		f->result->kind = mapping->ops ? ONDOL_FAULT_FILE_READ : ONDOL_FAULT_ZERO_FILL;
	else
		f->result->kind = copy ? ONDOL_FAULT_COW_COPY : ONDOL_FAULT_FILE_MINOR;
	if (copy)
		return copy_cached(f, &run, read.page);
	map_cached(f, &run, read.page);
	return 0;
}

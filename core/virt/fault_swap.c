/* SPDX-License-Identifier: MIT */
/*
 * Faults on pages that are in swap.
 *
 *	ours alone               read into a frame of our own; the slot is free
 *	others', for a write     read (or, cached, copied) into a frame of our own
 *	others', for a read      the cached frame, or one that is read and cached: shared, read-only
 *
 * With a window, the neighbours that are ours alone are read along, into the frames that are free
 * without reclaim: pages that went out together are wanted together, and a fault costs more than
 * reading one.  But who jumps about wants none of them, and each drives out one that may be wanted,
 * and looks as if it were, for the hardware takes them along.  So how many follows what was wanted
 * lately:
 *
 *	a fault near one of the last few     twice as many as the last time, SWAP_AROUND at most
 *	one that is nowhere near             half as many, in the end one
 */
#include "virt/ksm.h"

#define SWAP_AROUND 16u /* pages */
#define FIRST_AROUND 4u /* of an mm's first fault */

/* An entry whose page nobody else has, in memory or in swap. */
static bool is_ours(const struct ondol_mm_struct *mm, uint64_t pte)
{
	return pte_is_swap(mm, pte) && swap_slot_of(mm->m, pte_slot(mm, pte))->count == 1;
}

static inline bool is_near(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) <= SWAP_AROUND << ONDOL_PAGE_SHIFT;
}

/* How many pages are worth a look around the fault's. */
static uint32_t choose_around(const struct fault *f)
{
	struct swap_streams *s = &f->mm->swap_streams;
	uint32_t i = 0, around = s->around;

	while (i < SWAP_STREAMS && !is_near(s->at[i], f->addr))
		i++;
	if (!around)
		around = FIRST_AROUND;
	else if (i < SWAP_STREAMS)
		around = around < SWAP_AROUND ? 2 * around : around;
	else if (around > 1)
		around /= 2;
	if (i == SWAP_STREAMS)
		i = s->next++ % SWAP_STREAMS;
	s->at[i] = f->addr;
	s->around = around;
	return (uint32_t)min_u64(around, f->around);
}

/* The fault's page and those beside it that can be read along. */
static struct fault_run swap_run(const struct fault *f)
{
	return fault_run_of(f, choose_around(f), is_ours);
}

/* The entry names the frame instead of the slot. */
static void set_entry(struct fault *f, void *slot, struct ondol_page *page, uint32_t prot)
{
	struct ondol_mm_struct *mm = f->mm;
	uint64_t number = pte_slot(mm, pte_get(&mm->pgt, slot));

	pte_set(&mm->pgt, slot, pte_template(mm, prot) |
					(machine_page_pfn(mm->m, page) << ONDOL_PAGE_SHIFT));
	mm->nr_swap--;
	mm->rss[RSS_ANON]++;
	f->result->nr_pages++;
	swap_put(mm->m, number);
}

/* Into frames of our own.  One that cannot be read fails the fault, if it is the fault's. */
static int read_run(struct fault *f)
{
	struct ondol_mm_struct *mm = f->mm;
	struct fault_run run = fault_one_page(f);
	struct ondol_page *page;
	int error = 0;

	if (f->around > 1)
		run = swap_run(f);
	page = fault_alloc_run(f, &run, false);
	if (!page)
		return -ONDOL_ENOMEM;
	for (uint64_t addr = run.lo; addr < run.hi; addr += ONDOL_PAGE_SIZE, page++) {
		int r = swap_read(mm->m, pte_slot(mm, pte_get(&mm->pgt, run.slot)), page);

		if (r) {
			ondol_put_page(mm->m, page);
			error = addr == f->addr ? r : error;
		} else {
			page_make_anon(mm->m, page);
			set_entry(f, run.slot, page, flags_prot(f->vma->flags));
		}
		run.slot = pte_next(&mm->pgt, run.slot);
	}
	return error;
}

/* Others have the page, too, and we want to write. */
static int copy_one(struct fault *f, uint64_t number)
{
	struct ondol_mm_struct *mm = f->mm;
	struct fault_run run = fault_one_page(f);
	struct ondol_page *page = fault_alloc_run(f, &run, false), *cached;
	int r = 0;

	if (!page)
		return -ONDOL_ENOMEM;
	cached = swap_cached(mm->m, swap_slot_of(mm->m, number)); /* what reclaim has left of it */
	if (cached) {
		kmap_copy(mm->m, page, cached);
		f->result->kind = ONDOL_FAULT_SWAP_CACHE;
		mm->m->virt->swap->hits++;
	} else {
		r = swap_read(mm->m, number, page);
	}
	if (r) {
		ondol_put_page(mm->m, page);
		return r;
	}
	page_make_anon(mm->m, page);
	set_entry(f, f->slot, page, flags_prot(f->vma->flags));
	return 0;
}

/* We only look: the frame that others have, or one for them to find. */
static int share_one(struct fault *f, uint64_t number)
{
	struct ondol_mm_struct *mm = f->mm;
	struct fault_run run = fault_one_page(f);
	struct ondol_page *page = swap_cached(mm->m, swap_slot_of(mm->m, number));
	uint32_t prot = flags_prot(f->vma->flags) & ~(uint32_t)ONDOL_PROT_WRITE;
	int r;

	if (page) {
		ondol_get_page(mm->m, page);
		page_add_map(page);
		ksm_note_map(mm->m, page);
		f->result->kind = ONDOL_FAULT_SWAP_CACHE;
		mm->m->virt->swap->hits++;
		set_entry(f, f->slot, page, prot);
		return 0;
	}
	page = fault_alloc_run(f, &run, false);
	if (!page)
		return -ONDOL_ENOMEM;
	r = swap_read(mm->m, number, page);
	if (r) {
		ondol_put_page(mm->m, page);
		return r;
	}
	page_make_anon(mm->m, page);
	swap_cache_add(mm->m, number, page);
	set_entry(f, f->slot, page, prot);
	return 0;
}

int fault_swap(struct fault *f, uint64_t pte)
{
	uint64_t number = pte_slot(f->mm, pte);
	int r;

	f->result->kind = ONDOL_FAULT_SWAP_READ;
	if (is_ours(f->mm, pte))
		r = read_run(f);
	else if (f->access & ONDOL_FAULT_WRITE)
		r = copy_one(f, number);
	else
		r = share_one(f, number);
	mm_note_rss(f->mm);
	return r;
}

/* SPDX-License-Identifier: MIT */
/*
 * Page faults: find the region, check the right, make the entry (G6, G7).
 *
 *	ondol_handle_mm_fault
 *	    find_region          no region, or the stack grows: stack.c
 *	    entry present?       allows it: spurious.  No right to write: cow.c
 *	    entry empty          anonymous: zeroed frames, here or huge.c.  File: fault_file.c
 *	    entry names a slot   fault_swap.c
 *
 * Fault-around: with a window of n pages, the absent entries around the fault are filled too,
 * from one block of consecutive frames, so that software-filled hardware can map them in one
 * piece.  It must not cost the program memory that it would not get otherwise: blocks beyond
 * the one page asked for are taken only where they are free without reclaim.
 */
#include "virt/virt.h"

static bool is_empty(const struct ondol_mm_struct *mm, uint64_t pte)
{
	(void)mm;
	return !pte;
}

struct fault_run fault_absent_run(const struct fault *f)
{
	return fault_run_of(f, f->around, is_empty);
}

struct ondol_page *fault_alloc_frames(const struct fault *f, uint64_t addr, uint32_t n,
				      ondol_gfp_t gfp, bool zero)
{
	struct ondol_machine *m = f->mm->m;
	unsigned order = order_to_hold(n);
	struct ondol_page *page;

	if (zero && n == 1u << order)
		gfp |= ONDOL_GFP_ZERO;
	if (ondol_likely(f->policy.mode == ONDOL_MPOL_DEFAULT))
		page = ondol_alloc_pages(m, gfp, order);
	else
		page = ondol_alloc_pages_mpol(m, &f->policy, vma_index_at(f->vma, addr), gfp,
					      order);
	if (!page || !order)
		return page;
	if (page->flags & ONDOL_PG_ZEROED)
		zero = false;
	ondol_split_page(m, page, order);
	for (uint32_t i = n; i < 1u << order; i++)
		ondol_put_page(m, &page[i]);
	if (zero && !(gfp & ONDOL_GFP_ZERO))
		kmap_clear(m, page, n);
	return page;
}

/* The smallest block that holds so many bytes of pages. */
static uint64_t block_bytes(uint64_t bytes)
{
	return ONDOL_PAGE_SIZE << order_to_hold((uint32_t)(bytes >> ONDOL_PAGE_SHIFT));
}

struct ondol_page *fault_alloc_run(const struct fault *f, struct fault_run *run, bool zero)
{
	uint64_t lo = run->lo, hi = run->hi, tried = 0;

	for (uint64_t size = (uint64_t)f->around << ONDOL_PAGE_SHIFT; size > ONDOL_PAGE_SIZE;
	     size >>= 1) {
		uint64_t from = max_u64(lo, align_down(f->addr, size));
		uint64_t to = min_u64(hi, align_down(f->addr, size) + size);
		struct ondol_page *page;

		if (to - from == ONDOL_PAGE_SIZE)
			break;
		if (to - from == tried)
			continue;
		/*
		 * What is left of a block goes back, and is no longer known to be zero: of little
		 * more than half a block only the half is taken.
		 */
		if (4 * (to - from) < 3 * block_bytes(to - from)) {
			uint64_t half = block_bytes(to - from) / 2;

			if (f->addr < from + half)
				to = from + half;
			else
				from = to - half;
		}
		tried = to - from;
		page = fault_alloc_frames(f, from, (uint32_t)(tried >> ONDOL_PAGE_SHIFT),
					  ONDOL_GFP_HIGHMEM | ONDOL_GFP_MOVABLE |
						  ONDOL_GFP_NOWARN,
					  zero);
		if (page) {
			run->slot = pte_at(&f->mm->pgt, run->slot,
					   (from - lo) >> ONDOL_PAGE_SHIFT);
			run->lo = from;
			run->hi = to;
			return page;
		}
	}
	run->slot = f->slot;
	run->lo = f->addr;
	run->hi = f->addr + ONDOL_PAGE_SIZE;
	return fault_alloc_frames(f, f->addr, 1, ONDOL_GFP_HIGHUSER_MOVABLE, zero);
}

static int fault_anon(struct fault *f)
{
	struct ondol_mm_struct *mm = f->mm;
	struct fault_run run = fault_one_page(f);
	struct ondol_page *page;
	uint64_t pte;
	uint32_t n;

	if (ondol_unlikely(mm->m->thp) && fault_huge(f))
		return 0;
	if (f->around > 1)
		run = fault_absent_run(f);
	page = fault_alloc_run(f, &run, true);
	if (ondol_unlikely(!page))
		return -ONDOL_ENOMEM;
	n = (uint32_t)((run.hi - run.lo) >> ONDOL_PAGE_SHIFT);
	pte = pte_template(mm, flags_prot(f->vma->flags)) |
	      (machine_page_pfn(mm->m, page) << ONDOL_PAGE_SHIFT);
	for (uint32_t i = 0; i < n; i++) {
		page_make_anon(mm->m, &page[i]);
		pte_set(&mm->pgt, run.slot, pte);
		run.slot = pte_next(&mm->pgt, run.slot);
		pte += ONDOL_PAGE_SIZE;
	}
	mm->rss[RSS_ANON] += n;
	mm_note_rss(mm);
	f->result->kind = ONDOL_FAULT_ZERO_FILL;
	f->result->nr_pages = n;
	return 0;
}

/* Grow the region above the fault down to its page.  -ONDOL_EFAULT: it may not. */
static int grow_stack(struct fault *f)
{
	struct ondol_mm_struct *mm = f->mm;
	struct vma *vma = f->vma;
	uint64_t addr = f->addr;
	const struct vma *prev = vma_prev(vma);
	uint64_t pages = (vma->start - addr) >> ONDOL_PAGE_SHIFT;

	if (!(vma->flags & ONDOL_VM_GROWSDOWN) || addr < mm->m->profile->mmap_min_addr)
		return -ONDOL_EFAULT;
	if (prev && !(prev->flags & ONDOL_VM_GROWSDOWN) && (prev->flags & ONDOL_VM_ACCESS) &&
	    addr - prev->end < STACK_GUARD_GAP)
		return -ONDOL_EFAULT;
	if (vma->end - addr > mm->limits.stack || !mm_may_expand(mm, vma->flags, pages) ||
	    !mm_may_commit(mm, vma->flags, pages))
		return -ONDOL_EFAULT;
	if (vma->flags & ONDOL_VM_LOCKED &&
	    ((mm->locked_vm + pages) << ONDOL_PAGE_SHIFT) > mm->limits.memlock)
		return -ONDOL_EFAULT;
	if (vma->file && vma->pgoff < pages)
		return -ONDOL_EFAULT;
	vma_set_start(mm, vma, addr);
	mm_account(mm, vma->flags, (int64_t)pages);
	f->vma = vma_rejoin(mm, vma); /* it may have reached one that is equal */
	f->result->stack_grown = true;
	return 0;
}

static int find_region(struct fault *f)
{
	struct ondol_mm_struct *mm = f->mm;
	ondol_vm_flags_t flags;

	if (f->addr >= mm->task_size)
		return -ONDOL_EFAULT; /* the kernel's half, or not canonical (A2) */
	f->vma = vma_find(mm, f->addr);
	if (!f->vma)
		return -ONDOL_EFAULT;
	if (ondol_unlikely(f->vma->start > f->addr)) {
		int r = grow_stack(f);

		if (r)
			return r;
	}
	flags = f->vma->flags;
	if (!(flags & ONDOL_VM_ACCESS))
		return -ONDOL_EACCES;
	if ((f->access & ONDOL_FAULT_WRITE) && !(flags & ONDOL_VM_WRITE))
		return -ONDOL_EACCES;
	if ((f->access & ONDOL_FAULT_EXEC) && !(flags & ONDOL_VM_EXEC) &&
	    !(mm->pgt.format->prot_implied & ONDOL_PROT_EXEC))
		return -ONDOL_EACCES;
	if (ondol_unlikely(vma_is_native(f->vma)))
		return -ONDOL_ENXIO; /* the port's own: no frame of ours can stand there */
	if (ondol_unlikely(mm->no_write_trap) && flags_are_cow(flags))
		f->access |= ONDOL_FAULT_WRITE;
	return 0;
}

static int make_entry(struct fault *f)
{
	struct ondol_mm_struct *mm = f->mm;
	uint64_t pte;

	f->slot = pgtable_make(&mm->pgt, f->addr);
	if (ondol_unlikely(!f->slot))
		return -ONDOL_ENOMEM;
	pte = pte_get(&mm->pgt, f->slot);
	if (!pte)
		return vma_is_anon(f->vma) ? fault_anon(f) : fault_file(f);
	if (ondol_unlikely(pte_is_swap(mm, pte)))
		return fault_swap(f, pte);
	if (ondol_unlikely(pte_is_guard(mm, pte)))
		return -ONDOL_EFAULT;
	if (pte_allows(mm, pte, f->access)) {
		f->result->kind = ONDOL_FAULT_SPURIOUS;
		return 0;
	}
	huge_split_at(mm, f->addr);
	return fault_cow(f, pte);
}

static bool is_window(uint32_t pages)
{
	return pages && pages <= AROUND_MAX && !(pages & (pages - 1));
}

int ondol_handle_mm_fault(struct ondol_mm_struct *mm, const struct ondol_fault_args *args,
			  struct ondol_fault_result *out_result)
{
	struct ondol_fault_result result = { ONDOL_FAULT_SPURIOUS, 0, false };
	struct fault f = {
		.mm = mm,
		.addr = align_down(args->addr, ONDOL_PAGE_SIZE),
		.access = args->access,
		.around = args->nr_around,
		.cached = args->nr_around,
		.result = &result,
	};
	int r;

	if (ondol_unlikely(args->size < offsetof(struct ondol_fault_args, nr_cached) ||
			   !is_window(f.around)))
		return -ONDOL_EINVAL;
	if (args->size >= sizeof *args && args->nr_cached > f.around)
		f.cached = args->nr_cached;
	if (ondol_unlikely(!is_window(f.cached)))
		return -ONDOL_EINVAL;
	mm->faulting = f.addr;
	r = find_region(&f);
	if (ondol_likely(!r)) {
		if (ondol_unlikely(f.vma->policy | mm->task_policy.mode))
			fault_take_policy(&f);
		r = make_entry(&f);
	}
	mm->faulting = UINT64_MAX;
	if (ondol_unlikely(r)) {
		mm->counters.faults_refused++;
		return r;
	}
	mm->counters.faults[result.kind]++;
	mm->counters.fault_pages += result.nr_pages;
	if (result.kind == ONDOL_FAULT_FILE_READ || result.kind == ONDOL_FAULT_SWAP_READ)
		mm->maj_flt++;
	else if (result.kind != ONDOL_FAULT_SPURIOUS)
		mm->min_flt++;
	*out_result = result;
	return 0;
}

/* The largest aligned window around addr that [start, end) covers: all of it is wanted. */
static uint32_t window_inside(uint64_t addr, uint64_t start, uint64_t end)
{
	uint32_t n = AROUND_MAX;

	for (; n > 1; n >>= 1) {
		uint64_t size = (uint64_t)n << ONDOL_PAGE_SHIFT, base = align_down(addr, size);

		if (base >= start && base + size <= end)
			break;
	}
	return n;
}

int mm_populate(struct ondol_mm_struct *mm, uint64_t start, uint64_t end, uint32_t access)
{
	struct ondol_fault_result result;
	struct ondol_fault_args args = { .size = sizeof args };

	for (uint64_t addr = start; addr < end; addr += ONDOL_PAGE_SIZE) {
		const struct vma *vma = vma_find(mm, addr);
		const void *slot = pgtable_find(&mm->pgt, addr);
		int r;

		if (!vma || vma->start > addr)
			return -ONDOL_EFAULT;
		if (access && !(vma->flags & (access == ONDOL_FAULT_WRITE ? ONDOL_VM_WRITE :
									    ONDOL_VM_READ)))
			return -ONDOL_EACCES; /* by the region's flags: W alone reads, too */
		if (vma_is_native(vma)) { /* the port's business */
			if (vma->file && !(vma->flags & ONDOL_VM_ACCESS))
				return -ONDOL_EACCES;
			addr = min_u64(vma->end, end) - ONDOL_PAGE_SIZE;
			continue;
		}
		args.access = access ? access : flags_are_cow(vma->flags) ? ONDOL_FAULT_WRITE :
								       ONDOL_FAULT_READ;
		if (slot && pte_allows(mm, pte_get(&mm->pgt, slot), args.access))
			continue;
		args.addr = addr;
		args.nr_around = window_inside(addr, start, end);
		r = ondol_handle_mm_fault(mm, &args, &result);
		if (r) /* a guard is no hole */
			return r == -ONDOL_EFAULT ? -ONDOL_ENXIO : r;
	}
	return 0;
}

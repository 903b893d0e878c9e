/* SPDX-License-Identifier: MIT */
/* mprotect: other rights for a range, in the regions and in the entries that exist. */
#include "virt/virt.h"

/* Accessed entries side by side that get the same rights. */
struct run {
	uint64_t lo, hi;
	uint32_t prot;
	bool invalidate; /* the hardware is to forget them; else it is told their rights */
	bool changed;
};

struct change {
	struct ondol_mm_struct *mm;
	const struct vma *vma;
	uint64_t rights, rights_cow; /* of entries that may be written, that may not yet */
	uint32_t prot, prot_cow;     /* the same, decoded */
	bool one_span;               /* every accessed entry must go: one call will do */
	struct run run;
};

static void end_run(struct change *c)
{
	struct run run = c->run;

	c->run = (struct run){ .lo = UINT64_MAX };
	if (!run.changed)
		return;
	if (!run.invalidate) {
		tlb_protect(c->mm, run.lo, run.hi, run.prot);
		return;
	}
	tlb_invalidate(c->mm, run.lo, run.hi);
	if (c->mm->soft_fill)
		tlb_clear_accessed(c->mm, run.lo, run.hi);
}

/* An accessed entry at addr got new rights (or, with `changed` false, has them already). */
static void add_to_run(struct change *c, uint64_t addr, uint32_t prot, bool invalidate,
		       bool changed)
{
	struct run *run = &c->run;

	if (run->lo != UINT64_MAX && !c->one_span &&
	    (run->hi != addr || run->prot != prot || run->invalidate != invalidate))
		end_run(c);
	if (run->lo == UINT64_MAX)
		*run = (struct run){ .lo = addr, .prot = prot, .invalidate = invalidate };
	run->hi = addr + ONDOL_PAGE_SIZE;
	run->changed |= changed;
}

static void change_entry(struct change *c, void *slot, uint64_t addr)
{
	struct ondol_mm_struct *mm = c->mm;
	const struct ondol_pgtable_format *f = mm->pgt.format;
	uint64_t pte = pte_get(&mm->pgt, slot), mask = pte_rights_mask(mm), rights, entry;
	bool cow, unwanted, invalidate, changed;

	if (!(pte & f->present_mask))
		return;
	cow = flags_are_cow(c->vma->flags) && !page_exclusive_anon(pte_page(mm, pte));
	rights = cow ? c->rights_cow : c->rights;
	changed = ((pte ^ rights) & mask) != 0;
	/* A read-only page where only writable ones may be cached: ONDOL_MMU_NO_WRITE_TRAP. */
	unwanted = cow && mm->no_write_trap;
	invalidate = c->one_span || unwanted;
	if (!changed && !unwanted) {
		if (pte & f->accessed_mask)
			add_to_run(c, addr, cow ? c->prot_cow : c->prot, invalidate, false);
		return;
	}
	if (mm->pgt.hw_walker) /* not present for a moment, so that no A or D is lost */
		pte = pte_exchange(&mm->pgt, slot, 0);
	entry = (pte & (f->phys_mask | f->accessed_mask | f->dirty_mask)) | rights;
	if (pte & f->accessed_mask) {
		if (invalidate && !mm->soft_fill)
			entry &= ~f->accessed_mask;
		/* From `protect` on the hardware may write without asking: [MMU-1]. */
		if (!invalidate && (rights & f->write_mask))
			entry |= f->dirty_mask;
	}
	pte_set(&mm->pgt, slot, entry);
	if (pte & f->accessed_mask)
		add_to_run(c, addr, cow ? c->prot_cow : c->prot, invalidate, true);
}

void mm_change_protection(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start,
			  uint64_t end)
{
	uint32_t prot = flags_prot(vma->flags), prot_cow = prot & ~(uint32_t)ONDOL_PROT_WRITE;
	struct change c = {
		.mm = mm,
		.vma = vma,
		.prot = prot,
		.prot_cow = prot_cow,
		.rights = pte_template(mm, prot),
		.rights_cow = pte_template(mm, prot_cow),
		.one_span = !prot || !mm->m->mmu || !mm->m->mmu->protect,
		.run = { .lo = UINT64_MAX },
	};
	struct pgtable_span span;

	if (vma_is_native(vma))
		return;
	huge_split_range(mm, start, end);
	pgtable_for_each_span(&mm->pgt, span, start, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot))
			change_entry(&c, slot, addr);
	}
	end_run(&c);
}

/* One region's part of the range. */
static int protect_region(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start,
			  uint64_t end, ondol_vm_flags_t prot)
{
	ondol_vm_flags_t old = vma->flags, flags = (old & ~ONDOL_VM_ACCESS) | prot;
	uint64_t pages = (end - start) >> ONDOL_PAGE_SHIFT;

	if (prot & ~(flags >> 4))
		return -ONDOL_EACCES; /* beyond what MAYREAD, MAYWRITE, MAYEXEC allow */
	if (old & ONDOL_VM_SEALED)
		return -ONDOL_EPERM;
	if (flags == old)
		return 0;
	/* Private memory counts against the data limit from when it may be written. */
	if ((flags & ONDOL_VM_WRITE) && !mm_may_expand(mm, flags, pages) &&
	    mm_may_expand(mm, old, pages))
		return -ONDOL_ENOMEM;
	flags = commit_flags_protect(old, flags);
	if ((flags & ~old & ONDOL_VM_ACCOUNT) && !mm_may_commit(mm, flags, pages))
		return -ONDOL_ENOMEM;
	vma = vma_modify(mm, vma, start, end, flags);
	if (!vma)
		return -ONDOL_ENOMEM;
	mm_account(mm, old, -(int64_t)pages);
	mm_account(mm, flags, (int64_t)pages);
	mm_change_protection(mm, vma, start, end);
	/* What is locked does not fault: the copies are made now, as far as there is memory. */
	if ((old & (ONDOL_VM_WRITE | ONDOL_VM_SHARED | LOCK_FLAGS)) == ONDOL_VM_LOCKED &&
	    (flags & ONDOL_VM_WRITE))
		(void)!mm_populate(mm, start, end, 0);
	return 0;
}

int ondol_mprotect(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint64_t length,
		   ondol_vm_flags_t prot, bool grows_down)
{
	uint64_t size = page_align(length), end;
	struct vma *vma;

	if ((addr & ~ONDOL_PAGE_MASK) || (prot & ~(ondol_vm_flags_t)ONDOL_VM_ACCESS))
		return -ONDOL_EINVAL;
	if (!length)
		return 0;
	if (!mm_range_ok(mm, addr, size))
		return -ONDOL_ENOMEM;
	end = addr + size;
	vma = vma_find(mm, addr);
	if (!vma || vma->start >= end)
		return -ONDOL_ENOMEM;
	if (grows_down) { /* from where the region begins */
		if (!(vma->flags & ONDOL_VM_GROWSDOWN))
			return -ONDOL_EINVAL;
		addr = vma->start;
	}
	/* Up to the first hole or refusal: the regions before it stay changed. */
	while (addr < end) {
		uint64_t to;
		int r;

		vma = vma_find(mm, addr);
		if (!vma || vma->start > addr)
			return -ONDOL_ENOMEM;
		to = min_u64(vma->end, end);
		r = protect_region(mm, vma, addr, to, prot);
		if (r)
			return r;
		addr = to;
	}
	return 0;
}

int ondol_mseal(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint64_t length)
{
	uint64_t size = page_align(length), end = addr + size;

	if ((addr & ~ONDOL_PAGE_MASK) || (length && !size) || end < addr)
		return -ONDOL_EINVAL;
	if (!size)
		return 0;
	if (!mm_range_ok(mm, addr, size))
		return -ONDOL_ENOMEM;
	if (mm_pages_mapped(mm, addr, end) != size >> ONDOL_PAGE_SHIFT)
		return -ONDOL_ENOMEM;
	while (addr < end) {
		struct vma *vma = vma_find(mm, addr);
		uint64_t to = min_u64(vma->end, end);

		if (!(vma->flags & ONDOL_VM_SEALED) &&
		    !vma_modify(mm, vma, addr, to, vma->flags | ONDOL_VM_SEALED))
			return -ONDOL_ENOMEM;
		addr = to;
	}
	return 0;
}

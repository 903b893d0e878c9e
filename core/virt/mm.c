/* SPDX-License-Identifier: MIT */
/* mm_struct: creation, references, limits, layout, what it counts. */
#include "virt/swap.h"

static bool is_data(ondol_vm_flags_t flags)
{
	return (flags & (ONDOL_VM_WRITE | ONDOL_VM_SHARED | ONDOL_VM_GROWSDOWN)) == ONDOL_VM_WRITE;
}

static bool is_exec(ondol_vm_flags_t flags)
{
	return (flags & (ONDOL_VM_EXEC | ONDOL_VM_WRITE | ONDOL_VM_GROWSDOWN)) == ONDOL_VM_EXEC;
}

/* total + nr_pages pages are at most `limit` bytes, without wrapping. */
static bool within(uint64_t total, uint64_t nr_pages, uint64_t limit)
{
	uint64_t pages = limit >> ONDOL_PAGE_SHIFT;

	return total <= pages && nr_pages <= pages - total;
}

bool mm_may_expand(const struct ondol_mm_struct *mm, ondol_vm_flags_t flags, uint64_t nr_pages)
{
	if (!within(mm->total_vm, nr_pages, mm->limits.as))
		return false;
	return !is_data(flags) ||
	       within(mm->data_vm, nr_pages,
		      mm->limits.data ? mm->limits.data : mm->limits.data_hard);
}

void mm_account(struct ondol_mm_struct *mm, ondol_vm_flags_t flags, int64_t nr_pages)
{
	uint64_t n = (uint64_t)nr_pages;

	mm->total_vm += n;
	if (mm->total_vm > mm->hiwater_vm)
		mm->hiwater_vm = mm->total_vm;
	if (is_exec(flags))
		mm->exec_vm += n;
	else if (flags & ONDOL_VM_GROWSDOWN)
		mm->stack_vm += n;
	else if (is_data(flags))
		mm->data_vm += n;
	if (flags & ONDOL_VM_LOCKED)
		mm->locked_vm += n;
	if (flags & ONDOL_VM_ACCOUNT) {
		mm->committed += n;
		if (mm->m)
			commit_add(mm->m, nr_pages);
	}
}

/*
 * Below the stack and what it may grow to: 128 MiB unless the limit is larger, but never more
 * than five sixths of the space (Linux: mmap_base in arch/x86/mm/mmap.c).
 */
static uint64_t default_mmap_base(const struct ondol_mm_struct *mm)
{
	uint64_t top = mm->m->profile->stack_top, gap = UINT64_C(128) << 20;
	uint64_t most = div_u64(top, 6) * 5;

	if (mm->limits.stack != UINT64_MAX && mm->limits.stack > gap)
		gap = mm->limits.stack;
	gap += STACK_GUARD_GAP;
	if (gap > most)
		gap = most;
	return align_down(top - gap, ONDOL_PAGE_SIZE);
}

/* Page tables and a place on the list; also for dup_mm, which fills in the rest. */
int mm_alloc(struct ondol_machine *m, struct ondol_mm_struct **out_mm)
{
	struct ondol_mm_struct *mm;
	uintptr_t saved;
	int r;

	if (m->profile->format->level[0].shift != ONDOL_PAGE_SHIFT)
		return -ONDOL_EINVAL; /* regions consist of 4 KiB pages (F12) */
	mm = ondol_kmem_cache_alloc(m->virt->mm_cache, ONDOL_GFP_KERNEL);
	if (!mm)
		return -ONDOL_ENOMEM;
	*mm = (struct ondol_mm_struct){
		.m = m,
		.faulting = UINT64_MAX,
		.soft_fill = m->mmu && (m->mmu->flags & ONDOL_MMU_SOFTWARE_FILL),
		.no_write_trap = m->mmu && (m->mmu->flags & ONDOL_MMU_NO_WRITE_TRAP),
		.users = 1,
		.task_size = m->profile->task_size,
		.limits = { .as = UINT64_MAX, .data = UINT64_MAX, .stack = UINT64_C(8) << 20,
			    .memlock = UINT64_MAX, .map_count = MAX_MAP_COUNT },
	};
	r = pgtable_init(&mm->pgt, m, m->profile->format);
	if (r) {
		ondol_kmem_cache_free(m->virt->mm_cache, mm);
		return r;
	}
	saved = virt_lock(m);
	list_add_tail(&mm->link, &m->virt->mms);
	m->virt->nr_mm++;
	virt_unlock(m, saved);
	*out_mm = mm;
	return 0;
}

int ondol_mm_create(struct ondol_machine *m, struct ondol_mm_struct **out_mm)
{
	struct ondol_mm_struct *mm;
	int r = mm_alloc(m, &mm);

	if (r)
		return r;
	mm->layout.mmap_base = default_mmap_base(mm);
	*out_mm = mm;
	return 0;
}

void ondol_mmget(struct ondol_mm_struct *mm)
{
	__atomic_fetch_add(&mm->users, 1, __ATOMIC_RELAXED);
}

/* Every region with its frames, then every table. */
static void mm_empty(struct ondol_mm_struct *mm)
{
	struct mmu_gather g;
	struct vma *vma, *next;

	for (vma = vma_first(mm); vma; vma = vma_next(vma)) {
		gather_begin(&g, mm, true);
		gather_zap(&g, vma, vma->start, vma->end);
		gather_end(&g);
		if (g.dirtied && cache_writeback(vma->file->mapping, vma->pgoff,
						 vma->pgoff + vma_pages(vma)))
			continue; /* nobody is left to tell; the pages stay dirty in the cache */
	}
	/* Freed in order without keeping the tree in shape: nobody looks at it any more. */
	for (vma = vma_first(mm); vma; vma = next) {
		next = vma_next(vma);
		rb_erase(&mm->mm_rb, &vma->rb, NULL);
		vma_free(mm, vma);
	}
}

static void add_to_dead(struct virt_counters *dead, const struct virt_counters *c)
{
	const uint64_t *from = (const uint64_t *)c;
	uint64_t *to = (uint64_t *)dead;

	for (size_t i = 0; i < sizeof *c / sizeof *from; i++)
		to[i] += from[i];
}
ONDOL_STATIC_ASSERT(sizeof(struct virt_counters) % sizeof(uint64_t) == 0, "all uint64_t");

void ondol_mmput(struct ondol_mm_struct *mm)
{
	struct ondol_machine *m = mm->m;
	uintptr_t saved;

	if (__atomic_sub_fetch(&mm->users, 1, __ATOMIC_ACQ_REL))
		return;
	mm_empty(mm);
	commit_add(m, -(int64_t)mm->committed);
	pgtable_fini(&mm->pgt);
	saved = virt_lock(m);
	list_del(&mm->link);
	m->virt->nr_mm--;
	add_to_dead(&m->virt->dead, &mm->counters);
	virt_unlock(m, saved);
	ondol_kmem_cache_free(m->virt->mm_cache, mm);
}

void ondol_mm_set_private(struct ondol_mm_struct *mm, void *priv)
{
	mm->priv = priv;
}

void *ondol_mm_private(const struct ondol_mm_struct *mm)
{
	return mm->priv;
}

void ondol_mm_set_limits(struct ondol_mm_struct *mm, const struct ondol_mm_limits *limits)
{
	mm->limits = *limits;
}

void ondol_mm_limits(const struct ondol_mm_struct *mm, struct ondol_mm_limits *out_limits)
{
	*out_limits = mm->limits;
}

const struct ondol_profile *ondol_mm_profile(const struct ondol_mm_struct *mm)
{
	return mm->m->profile;
}

void ondol_mm_layout(const struct ondol_mm_struct *mm, struct ondol_mm_layout *out_layout)
{
	*out_layout = mm->layout;
}

void ondol_mm_set_layout(struct ondol_mm_struct *mm, const struct ondol_mm_layout *layout)
{
	mm->layout = *layout;
	if (!mm->layout.mmap_base)
		mm->layout.mmap_base = default_mmap_base(mm);
}

ondol_phys_addr_t ondol_mm_pgd(const struct ondol_mm_struct *mm)
{
	return mm->pgt.root_pa;
}

/* ------------------------------------------------------------------ looking */

const char *vma_display_name(const struct vma *vma)
{
	if (vma->file && vma->file->name[0])
		return vma->file->name;
	if (vma->name)
		return vma->name->text;
	if (vma->flags & ONDOL_VM_HEAP)
		return "[heap]";
	return vma->flags & ONDOL_VM_STACK ? "[stack]" : "";
}

static void fill_info(const struct vma *vma, struct ondol_vma_info *info)
{
	*info = (struct ondol_vma_info){
		.start = vma->start,
		.end = vma->end,
		.vm_flags = vma->flags,
		.pgoff = vma->pgoff,
		.file = vma->file,
		.name = vma_display_name(vma),
	};
}

int ondol_find_vma(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
		   struct ondol_vma_info *out_vma)
{
	const struct vma *vma = vma_find(mm, addr);

	if (!vma)
		return -ONDOL_ENOENT;
	fill_info(vma, out_vma);
	return 0;
}

int ondol_for_each_vma(struct ondol_mm_struct *mm,
		       int (*visit)(void *ctx, const struct ondol_vma_info *), void *ctx)
{
	struct ondol_vma_info info;
	int r = 0;

	for (const struct vma *vma = vma_first(mm); vma && !r; vma = vma_next(vma)) {
		fill_info(vma, &info);
		r = visit(ctx, &info);
	}
	return r;
}

/* SPDX-License-Identifier: MIT */
/* mmap: a new region, or a neighbour that grows over the hole. */
#include "virt/virt.h"

#define PGOFF_END (UINT64_C(1) << (64 - ONDOL_PAGE_SHIFT)) /* file offsets are 64-bit bytes */

static int check_args(const struct ondol_mm_struct *mm, const struct ondol_mmap_args *args,
		      uint64_t *out_length)
{
	ondol_vm_flags_t flags = args->vm_flags;
	uint64_t length = page_align(args->length);

	if (args->size < sizeof *args || !args->length)
		return -ONDOL_EINVAL;
	if (!length || length > mm->task_size)
		return -ONDOL_ENOMEM;
	if (args->file && !args->file->mapping && !(flags & ONDOL_VM_NATIVE))
		return -ONDOL_EINVAL;
	if ((flags & ONDOL_VM_SHARED) && (flags & ONDOL_VM_GROWSDOWN))
		return -ONDOL_EINVAL;
	if (args->pgoff > PGOFF_END || (length >> ONDOL_PAGE_SHIFT) > PGOFF_END - args->pgoff)
		return -ONDOL_EOVERFLOW;
	*out_length = length;
	return 0;
}

/* As vma_unmapped_area, but for a file with ONDOL_FILE_COLOUR where there is room for that. */
static int place_coloured(struct ondol_mm_struct *mm, const struct ondol_mmap_args *args,
			  uint64_t hint, uint64_t length, uint64_t *out_addr)
{
	bool low = args->map_flags & ONDOL_MAP_32BIT;
	uint64_t slack = ONDOL_FILE_COLOUR - ONDOL_PAGE_SIZE, addr;
	uint64_t want = args->pgoff << ONDOL_PAGE_SHIFT;
	int r = vma_unmapped_area(mm, hint, length, low, out_addr);

	if (!r && args->file && length >= ONDOL_FILE_COLOUR && length <= mm->task_size - slack &&
	    (!hint || *out_addr != hint) &&
	    !vma_unmapped_area(mm, 0, length + slack, low, &addr))
		*out_addr = addr + ((want - addr) & (ONDOL_FILE_COLOUR - 1));
	return r;
}

/* Where the region goes. */
static int place(struct ondol_mm_struct *mm, const struct ondol_mmap_args *args, uint64_t length,
		 uint64_t *out_addr)
{
	uint64_t addr = args->addr, min = mm->m->profile->mmap_min_addr;

	if (!(args->map_flags & (ONDOL_MAP_FIXED | ONDOL_MAP_FIXED_NOREPLACE))) {
		addr = align_down(addr, ONDOL_PAGE_SIZE);
		if (addr && addr < min)
			addr = page_align(min);
		return place_coloured(mm, args, addr, length, out_addr);
	}
	if (addr & ~ONDOL_PAGE_MASK)
		return -ONDOL_EINVAL;
	if (!mm_range_ok(mm, addr, length))
		return -ONDOL_ENOMEM;
	if (addr < min)
		return -ONDOL_EPERM;
	if ((args->map_flags & ONDOL_MAP_FIXED_NOREPLACE) &&
	    vma_overlaps(mm, addr, addr + length))
		return -ONDOL_EEXIST;
	*out_addr = addr;
	return 0;
}

uint64_t mm_pages_mapped(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	uint64_t n = 0;

	for (const struct vma *vma = vma_find(mm, start); vma && vma->start < end;
	     vma = vma_next(vma))
		n += (min_u64(vma->end, end) - max_u64(vma->start, start)) >> ONDOL_PAGE_SHIFT;
	return n;
}

/* Shared anonymous memory is promised as a whole, when it is first mapped. */
static bool promises_shmem(ondol_vm_flags_t flags, const struct ondol_file *file)
{
	const ondol_vm_flags_t kind = ONDOL_VM_SHARED | ONDOL_VM_NATIVE | ONDOL_VM_NORESERVE;

	return (flags & kind) == ONDOL_VM_SHARED && (!file || !file->mapping->ops);
}

static void promise_shmem(struct ondol_machine *m, const struct ondol_file *file, uint64_t pages)
{
	struct ondol_address_space *mapping = file->mapping;
	uintptr_t saved = virt_lock(m);

	if (!mapping->committed) {
		mapping->committed = pages;
		commit_add(m, (int64_t)pages);
	}
	virt_unlock(m, saved);
}

static int check_limits(struct ondol_mm_struct *mm, const struct vma_props *props, uint64_t addr,
			uint64_t length)
{
	ondol_vm_flags_t flags = props->flags;
	uint64_t pages = length >> ONDOL_PAGE_SHIFT;

	if (mm->nr_vma > mm_max_map_count(mm))
		return -ONDOL_ENOMEM;
	if ((flags & ONDOL_VM_LOCKED) && mm->limits.memlock != UINT64_MAX &&
	    mm->locked_vm + pages > mm->limits.memlock >> ONDOL_PAGE_SHIFT)
		return -ONDOL_EAGAIN;
	/* Shared memory is promised once, by whoever maps it first. */
	if (promises_shmem(flags, props->file) && !(props->file && props->file->mapping->committed))
		flags |= ONDOL_VM_ACCOUNT;
	if (!mm_may_commit(mm, flags, pages))
		return -ONDOL_ENOMEM;
	/* What it replaces does not count twice. */
	if (!mm_may_expand(mm, flags, pages) &&
	    !mm_may_expand(mm, flags, pages - mm_pages_mapped(mm, addr, addr + length)))
		return -ONDOL_ENOMEM;
	return 0;
}

/* Anonymous shared memory is a file that nobody can open; Linux calls it so, too. */
static int shared_anon_file(struct ondol_machine *m, uint64_t nr_pages,
			    struct ondol_file **out_file)
{
	struct ondol_file_args args = {
		.size = sizeof args,
		.name = "/dev/zero (deleted)",
		.dev_minor = 1,
	};
	uintptr_t saved;
	int r = ondol_address_space_create(m, NULL, NULL, &args.mapping);

	if (r)
		return r;
	ondol_shmem_set_size(args.mapping, nr_pages);
	saved = virt_lock(m);
	args.ino = ++m->virt->next_ino;
	virt_unlock(m, saved);
	r = ondol_file_create(m, &args, out_file);
	ondol_address_space_put(args.mapping);
	return r;
}

/* Make the region; what was there goes.  Nothing has changed on failure. */
static int map_region(struct ondol_mm_struct *mm, const struct vma_props *props, uint64_t start,
		      uint64_t end, uint64_t pgoff)
{
	struct vma *prev = vma_below(mm, end), *vma;
	bool replace = prev && prev->end > start;
	int r;

	if (!replace && vma_extend(mm, prev, start, end, pgoff, props))
		goto done;
	vma = vma_alloc(mm, props, start, end, pgoff);
	if (!vma)
		return -ONDOL_ENOMEM;
	if (replace) {
		r = mm_unmap(mm, start, end);
		if (r) {
			vma_free(mm, vma);
			return r;
		}
		prev = vma_below(mm, start);
		if (vma_extend(mm, prev, start, end, pgoff, props)) {
			vma_free(mm, vma);
			goto done;
		}
	}
	vma_link(mm, prev, vma);
	mm->mmap_cache = vma;
done:
	mm_account(mm, props->flags, (int64_t)((end - start) >> ONDOL_PAGE_SHIFT));
	return 0;
}

/* The flags a region gets that was asked for with these. */
static int final_flags(const struct ondol_mm_struct *mm, const struct ondol_mmap_args *args,
		       ondol_vm_flags_t *out_flags)
{
	const ondol_vm_flags_t may = ONDOL_VM_MAYREAD | ONDOL_VM_MAYWRITE | ONDOL_VM_MAYEXEC;
	ondol_vm_flags_t flags = args->vm_flags | mm->new_flags;

	if (!(flags & may)) /* nothing said: everything */
		flags |= may;
	if (flags & ONDOL_VM_SHARED)
		flags |= ONDOL_VM_MAYSHARE;
	if ((flags & ONDOL_VM_NATIVE) && !args->file)
		flags &= ~LOCK_FLAGS; /* the vdso and its like */
	if ((flags & ONDOL_VM_ACCESS) & ~(flags >> 4))
		return -ONDOL_EACCES;
	*out_flags = commit_flags(mm->m, flags);
	return 0;
}

/* What Linux looks at when it knows where the region goes. */
static int check_kind(const struct ondol_mm_struct *mm, const struct ondol_mmap_args *args,
		      ondol_vm_flags_t flags)
{
	if ((args->vm_flags & ONDOL_VM_LOCKED) && !mm->limits.memlock)
		return -ONDOL_EPERM;
	/* Neither locked memory nor a stack is to be dropped, and others cannot do without it. */
	if ((flags & ONDOL_VM_DROPPABLE) &&
	    (args->file || (flags & (ONDOL_VM_LOCKED | ONDOL_VM_GROWSDOWN | ONDOL_VM_SHARED))))
		return -ONDOL_EINVAL;
	return 0;
}

int ondol_mmap(struct ondol_mm_struct *mm, const struct ondol_mmap_args *args,
	       ondol_virt_addr_t *out_addr)
{
	struct vma_props props = { .file = args->file };
	uint64_t length = 0, addr = 0;
	int r = check_args(mm, args, &length);

	if (!r)
		r = final_flags(mm, args, &props.flags);
	if (!r)
		r = place(mm, args, length, &addr);
	if (!r)
		r = check_kind(mm, args, props.flags);
	if (!r)
		r = check_limits(mm, &props, addr, length);
	if (r)
		return r;
	if (args->name) {
		props.name = vma_name_new(mm->m, args->name);
		if (!props.name)
			return -ONDOL_ENOMEM;
	}
	if ((props.flags & ONDOL_VM_SHARED) && !props.file && !(props.flags & ONDOL_VM_NATIVE))
		r = shared_anon_file(mm->m, args->pgoff + (length >> ONDOL_PAGE_SHIFT),
				     &props.file);
	if (!r)
		r = map_region(mm, &props, addr, addr + length, args->pgoff);
	if (!r && promises_shmem(props.flags, props.file))
		promise_shmem(mm->m, props.file, length >> ONDOL_PAGE_SHIFT);
	/* The region has its own references now. */
	if (props.file && props.file != args->file)
		ondol_file_put(props.file);
	vma_name_put(mm->m, props.name);
	if (r)
		return r;
	if (((args->map_flags & ONDOL_MAP_POPULATE) ||
	     (props.flags & LOCK_FLAGS) == ONDOL_VM_LOCKED) &&
	    mm_populate(mm, addr, addr + length, 0))
		r = 0; /* as much as there was memory for; mmap succeeds all the same */
	*out_addr = addr;
	return r;
}

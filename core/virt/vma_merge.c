/* SPDX-License-Identifier: MIT */
/*
 * Region records: making, splitting and joining them.  Two neighbours are one region (F12)
 * when flags, policy, file and name are equal and the file pages follow each other.
 */
#include "virt/virt.h"

struct vma_name *vma_name_new(struct ondol_machine *m, const char *text)
{
	struct vma_name *name;
	size_t length = 0;

	while (text[length])
		length++;
	name = ondol_kmalloc(m, sizeof *name + length + 1, ONDOL_GFP_KERNEL);
	if (!name)
		return NULL;
	name->refcount = 1;
	__builtin_memcpy(name->text, text, length + 1);
	return name;
}

void vma_name_get(struct vma_name *name)
{
	if (name)
		__atomic_fetch_add(&name->refcount, 1, __ATOMIC_RELAXED);
}

void vma_name_put(struct ondol_machine *m, struct vma_name *name)
{
	if (name && __atomic_sub_fetch(&name->refcount, 1, __ATOMIC_ACQ_REL) == 0)
		ondol_kfree(m, name);
}

static bool same_name(const struct vma_name *a, const struct vma_name *b)
{
	size_t i = 0;

	if (a == b)
		return true;
	if (!a || !b)
		return false;
	while (a->text[i] && a->text[i] == b->text[i])
		i++;
	return a->text[i] == b->text[i];
}

static bool same_props(const struct vma_props *a, const struct vma_props *b)
{
	return a->flags == b->flags && a->policy == b->policy && a->file == b->file &&
	       same_name(a->name, b->name);
}

struct vma *vma_alloc(struct ondol_mm_struct *mm, const struct vma_props *props, uint64_t start,
		      uint64_t end, uint64_t pgoff)
{
	struct ondol_virt_state *v = mm->m->virt;
	struct vma *vma = ondol_kmem_cache_alloc(v->vma_cache, ONDOL_GFP_KERNEL);
	uint32_t n, peak;

	if (!vma)
		return NULL;
	*vma = (struct vma){
		.start = start,
		.end = end,
		.flags = props->flags,
		.policy = props->policy,
		.pgoff = props->file ? pgoff : 0,
		.file = props->file,
		.name = props->name,
	};
	if (vma->file)
		ondol_file_get(vma->file);
	vma_name_get(vma->name);
	policy_get(mm->m, vma->policy);
	n = __atomic_add_fetch(&v->nr_vma, 1, __ATOMIC_RELAXED);
	peak = __atomic_load_n(&v->nr_vma_peak, __ATOMIC_RELAXED);
	while (n > peak && !__atomic_compare_exchange_n(&v->nr_vma_peak, &peak, n, true,
							__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return vma;
}

void vma_free(struct ondol_mm_struct *mm, struct vma *vma)
{
	struct ondol_virt_state *v = mm->m->virt;

	if (vma->file)
		ondol_file_put(vma->file);
	vma_name_put(mm->m, vma->name);
	policy_put(mm->m, vma->policy);
	__atomic_fetch_sub(&v->nr_vma, 1, __ATOMIC_RELAXED);
	ondol_kmem_cache_free(v->vma_cache, vma);
}

/* Would a region that ends where `next` starts, with pgoff_end after its last page, join it? */
static bool joins_next(const struct vma *next, uint64_t end, uint64_t pgoff_end,
		       const struct vma_props *props)
{
	struct vma_props theirs;

	if (!next || next->start != end)
		return false;
	theirs = vma_props(next);
	return same_props(&theirs, props) && (!props->file || next->pgoff == pgoff_end);
}

static bool joins_prev(const struct vma *prev, uint64_t start, uint64_t pgoff,
		       const struct vma_props *props)
{
	struct vma_props theirs;

	if (!prev || prev->end != start)
		return false;
	theirs = vma_props(prev);
	return same_props(&theirs, props) &&
	       (!props->file || prev->pgoff + vma_pages(prev) == pgoff);
}

struct vma *vma_extend(struct ondol_mm_struct *mm, struct vma *prev, uint64_t start, uint64_t end,
		       uint64_t pgoff, const struct vma_props *props)
{
	struct vma *next = vma_after(mm, prev);
	uint64_t pgoff_end = pgoff + ((end - start) >> ONDOL_PAGE_SHIFT);
	bool with_next = joins_next(next, end, pgoff_end, props);

	if (joins_prev(prev, start, pgoff, props)) {
		if (with_next) { /* PPPP....NNNN -> PPPPPPPPPPPP */
			end = next->end;
			vma_unlink(mm, next);
			vma_free(mm, next);
		}
		vma_set_end(mm, prev, end);
		return prev;
	}
	if (!with_next)
		return NULL;
	vma_set_start(mm, next, start);
	return next;
}

/* Cut vma at addr; the upper part is new.  -ONDOL_ENOMEM. */
static int vma_split(struct ondol_mm_struct *mm, struct vma *vma, uint64_t addr)
{
	struct vma_props props = vma_props(vma);
	struct vma *upper;

	if (mm->nr_vma >= mm_max_map_count(mm))
		return -ONDOL_ENOMEM;
	upper = vma_alloc(mm, &props, addr, vma->end, vma_pgoff_at(vma, addr));
	if (!upper)
		return -ONDOL_ENOMEM;
	vma_set_end(mm, vma, addr);
	vma_link(mm, vma, upper);
	return 0;
}

/* vma is equal to its neighbour `next`, which it swallows. */
static void swallow(struct ondol_mm_struct *mm, struct vma *vma, struct vma *next)
{
	uint64_t end = next->end;

	vma_unlink(mm, next);
	vma_free(mm, next);
	vma_set_end(mm, vma, end);
}

/*
 * The cases that need no new record, because the part [start, end) joins a neighbour:
 *
 *	PPPPVVVV -> PPPPPPVV   (or all of V, and maybe N)     VVVVNNNN -> VVNNNNNN
 */
static struct vma *modify_by_moving(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start,
				    uint64_t end, const struct vma_props *props)
{
	struct vma *prev = vma->start == start ? vma_prev(vma) : NULL;
	struct vma *next = vma->end == end ? vma_next(vma) : NULL;
	uint64_t pgoff = vma_pgoff_at(vma, start), pgoff_end = vma_pgoff_at(vma, end);
	bool with_next = joins_next(next, end, pgoff_end, props);

	if (joins_prev(prev, start, pgoff, props)) {
		if (vma->end == end) {
			vma_unlink(mm, vma);
			vma_free(mm, vma);
		} else {
			vma_set_start(mm, vma, end);
		}
		vma_set_end(mm, prev, end);
		if (with_next)
			swallow(mm, prev, next);
		return prev;
	}
	if (!with_next)
		return NULL;
	if (vma->start == start) {
		vma_unlink(mm, vma);
		vma_free(mm, vma);
	} else {
		vma_set_end(mm, vma, start);
	}
	vma_set_start(mm, next, start);
	return next;
}

struct vma *vma_isolate(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end)
{
	struct vma *middle = vma;

	if (start > vma->start) {
		if (vma_split(mm, vma, start))
			return NULL;
		middle = vma_next(vma);
	}
	if (end < middle->end && vma_split(mm, middle, end)) {
		if (middle != vma)
			swallow(mm, vma, middle); /* undo the first cut */
		return NULL;
	}
	return middle;
}

struct vma *vma_rejoin(struct ondol_mm_struct *mm, struct vma *vma)
{
	struct vma_props props = vma_props(vma);
	struct vma *prev = vma_prev(vma), *next = vma_next(vma);

	if (joins_next(next, vma->end, vma_pgoff_at(vma, vma->end), &props))
		swallow(mm, vma, next);
	if (joins_prev(prev, vma->start, vma->pgoff, &props)) {
		swallow(mm, prev, vma);
		vma = prev;
	}
	return vma;
}

struct vma *vma_change(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end,
		       const struct vma_props *props)
{
	struct vma_props old = vma_props(vma);
	struct vma *middle;

	if (same_props(&old, props))
		return vma;
	middle = modify_by_moving(mm, vma, start, end, props);
	if (middle)
		return middle;
	middle = vma_isolate(mm, vma, start, end);
	if (!middle)
		return NULL;
	policy_get(mm->m, props->policy);
	policy_put(mm->m, middle->policy);
	middle->policy = props->policy;
	middle->flags = props->flags;
	vma_flags_changed(middle);
	return middle;
}

struct vma *vma_modify(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end,
		       ondol_vm_flags_t flags)
{
	struct vma_props props = vma_props(vma);

	props.flags = flags;
	return vma_change(mm, vma, start, end, &props);
}

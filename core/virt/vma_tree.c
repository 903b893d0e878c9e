/* SPDX-License-Identifier: MIT */
/*
 * Regions by address: the red-black tree mm_rb, the mmap_cache in front of it (F4), and the
 * search for a free range.
 *
 * Each region knows the hole below it, from the end of its predecessor (or address 0) to its own
 * start, and the largest hole in its subtree (gap).  A hole changes only when one of its two
 * regions does; gap follows from the node and its two children, so it survives rotations, and
 * the way up ends where it stays the same.
 *
 *	    prev        vma               gap = max(hole, left.gap, right.gap)
 *	---[    ]......[   ]---
 *	        |-hole-|
 *
 * The hole below a region that grows down ends a guard gap below its start (vma_start_gap); if
 * the guard gap reaches beyond the predecessor, there is none.
 */
#include "virt/virt.h"

static inline uint64_t hole(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0;
}

static bool vma_update(struct rb_node *node)
{
	struct vma *vma = rb_entry(node, struct vma, rb);
	const struct vma *left = vma_of(node->left), *right = vma_of(node->right);
	uint64_t gap = vma->hole;
	bool changed;

	if (left)
		gap = max_u64(gap, left->gap);
	if (right)
		gap = max_u64(gap, right->gap);
	changed = vma->gap != gap;
	vma->gap = gap;
	return changed;
}

const struct rb_augment vma_augment = { .update = vma_update };

uint64_t vma_hole_below(const struct vma *vma, const struct vma *prev)
{
	return hole(prev ? prev->end : 0, vma_start_gap(vma));
}

/* One of the ends of vma's hole has moved. */
static void hole_changed(struct vma *vma, const struct vma *prev)
{
	vma->hole = vma_hole_below(vma, prev);
	rb_update(&vma->rb, &vma_augment);
}

struct vma *vma_find(struct ondol_mm_struct *mm, uint64_t addr)
{
	struct vma *found = mm->mmap_cache;
	struct rb_node *node;

	mm->counters.vma_lookups++;
	if (found && found->start <= addr && addr < found->end) {
		mm->counters.mmap_cache_hits++;
		return found;
	}
	found = NULL;
	node = mm->mm_rb.node;
	while (node) {
		struct vma *vma = rb_entry(node, struct vma, rb);

		if (vma->end <= addr) {
			node = node->right;
			continue;
		}
		found = vma;
		if (vma->start <= addr)
			break;
		node = node->left;
	}
	if (found)
		mm->mmap_cache = found;
	return found;
}

struct vma *vma_below(struct ondol_mm_struct *mm, uint64_t addr)
{
	struct rb_node *node = mm->mm_rb.node;
	struct vma *found = NULL;

	if (mm->last && mm->last->start < addr)
		return mm->last;
	while (node) {
		struct vma *vma = rb_entry(node, struct vma, rb);

		if (vma->start < addr) {
			found = vma;
			node = node->right;
		} else {
			node = node->left;
		}
	}
	return found;
}

bool vma_overlaps(struct ondol_mm_struct *mm, uint64_t start, uint64_t end)
{
	const struct vma *vma = vma_find(mm, start);

	return vma && vma->start < end;
}

void vma_link(struct ondol_mm_struct *mm, struct vma *prev, struct vma *vma)
{
	struct vma *next = vma_after(mm, prev);
	struct rb_node *parent = NULL, **link = &mm->mm_rb.node;

	/* Two neighbours in order: the upper has no left child, or the lower no right one. */
	if (prev && !prev->rb.right) {
		parent = &prev->rb;
		link = &parent->right;
	} else if (next) {
		parent = &next->rb;
		link = &parent->left;
	}
	if (next)
		hole_changed(next, vma);
	else
		mm->last = vma;
	vma->hole = vma_hole_below(vma, prev);
	rb_insert(&mm->mm_rb, parent, link, &vma->rb, &vma_augment);
	mm->nr_vma++;
}

void vma_unlink(struct ondol_mm_struct *mm, struct vma *vma)
{
	struct vma *next = vma_after(mm, vma), *prev = vma_prev(vma);

	if (mm->mmap_cache == vma)
		mm->mmap_cache = NULL;
	if (!next)
		mm->last = prev;
	rb_erase(&mm->mm_rb, &vma->rb, &vma_augment);
	if (next)
		hole_changed(next, prev);
	mm->nr_vma--;
}

void vma_flags_changed(struct vma *vma)
{
	hole_changed(vma, vma_prev(vma));
}

void vma_set_start(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start)
{
	huge_cut(mm, start);
	if (vma->file) /* pages, not bytes, so that wrapping does the right thing downwards */
		vma->pgoff += (start >> ONDOL_PAGE_SHIFT) - (vma->start >> ONDOL_PAGE_SHIFT);
	vma->start = start;
	hole_changed(vma, vma_prev(vma));
}

void vma_set_end(struct ondol_mm_struct *mm, struct vma *vma, uint64_t end)
{
	struct vma *next = vma_after(mm, vma);

	huge_cut(mm, end);
	vma->end = end;
	if (next)
		hole_changed(next, vma);
}

/* The highest region at or below `vma` with a hole of `length` below it, or NULL. */
static struct vma *highest_hole(struct vma *vma, uint64_t length)
{
	struct vma *up, *left, *right;

	for (;; vma = up) {
		if (vma->hole >= length)
			return vma;
		left = vma_of(vma->rb.left);
		if (left && left->gap >= length)
			break;
		/* Nothing below vma in its own subtree: up, to the first smaller one. */
		while ((up = vma_of(rb_parent(&vma->rb))) && up->rb.left == &vma->rb)
			vma = up;
		if (!up)
			return NULL;
	}
	/* left's subtree has one; take the rightmost. */
	for (vma = left;;) {
		right = vma_of(vma->rb.right);
		if (right && right->gap >= length)
			vma = right;
		else if (vma->hole >= length)
			return vma;
		else
			vma = vma_of(vma->rb.left); /* by elimination: it has the gap */
	}
}

/* The mirror image: the lowest region above `vma` with a hole of `length` below it, or NULL. */
static struct vma *lowest_hole(struct vma *vma, uint64_t length)
{
	struct vma *up, *left, *right;

	for (;; vma = up) {
		right = vma_of(vma->rb.right);
		if (right && right->gap >= length)
			break;
		while ((up = vma_of(rb_parent(&vma->rb))) && up->rb.right == &vma->rb)
			vma = up;
		if (!up || up->hole >= length)
			return up;
	}
	for (vma = right;;) {
		left = vma_of(vma->rb.left);
		if (left && left->gap >= length)
			vma = left;
		else if (vma->hole >= length)
			return vma;
		else
			vma = vma_of(vma->rb.right);
	}
}

/* The highest free range inside [low, high). */
static int area_top_down(struct ondol_mm_struct *mm, uint64_t length, uint64_t low, uint64_t high,
			 uint64_t *out_addr)
{
	struct vma *below = vma_below(mm, high), *above;
	uint64_t from = below ? below->end : 0, to = high;

	/* The hole that `high` cuts off, or that lies above a region reaching beyond it. */
	above = vma_after(mm, below);
	if (above)
		to = min_u64(to, vma_start_gap(above));
	if (below && hole(from, to) < length) {
		above = highest_hole(below, length);
		if (!above)
			return -ONDOL_ENOMEM;
		to = vma_start_gap(above);
		from = to - above->hole;
	}
	/* Every hole further down ends below this one's begin. */
	from = max_u64(from, low);
	if (hole(from, to) < length)
		return -ONDOL_ENOMEM;
	*out_addr = to - length;
	return 0;
}

/* The lowest free range inside [low, high). */
static int area_bottom_up(struct ondol_mm_struct *mm, uint64_t length, uint64_t low, uint64_t high,
			  uint64_t *out_addr)
{
	struct vma *above = vma_find(mm, low);
	uint64_t from = low, to = high;

	/* The hole that `low` cuts off, or one further up, or the room above all regions. */
	if (above && (above->start <= low || hole(low, vma_start_gap(above)) < length)) {
		above = lowest_hole(above, length);
		from = above ? vma_start_gap(above) - above->hole : mm->last->end;
	}
	if (above)
		to = min_u64(high, vma_start_gap(above));
	if (hole(from, to) < length)
		return -ONDOL_ENOMEM;
	*out_addr = from;
	return 0;
}

static bool hint_is_free(struct ondol_mm_struct *mm, uint64_t hint, uint64_t length)
{
	const struct vma *next, *prev;

	if (!mm_range_ok(mm, hint, length) || hint < mm->m->profile->mmap_min_addr)
		return false;
	next = vma_find(mm, hint);
	if (next && hint + length > vma_start_gap(next))
		return false;
	prev = next ? vma_prev(next) : mm->last;
	return !prev || hint >= prev->end;
}

int vma_unmapped_area(struct ondol_mm_struct *mm, uint64_t hint, uint64_t length, bool map_32bit,
		      uint64_t *out_addr)
{
	/* Linux's window for MAP_32BIT: arch/x86/kernel/sys_x86_64.c, find_start_end. */
	const uint64_t low_32bit = UINT64_C(0x40000000), high_32bit = UINT64_C(0x80000000);
	uint64_t low = max_u64(mm->m->profile->mmap_min_addr, ONDOL_PAGE_SIZE);
	uint64_t high = mm->layout.mmap_base;

	if (!length || length > mm->task_size)
		return -ONDOL_ENOMEM;
	hint = align_down(hint, ONDOL_PAGE_SIZE);
	if (map_32bit) {
		if (hint >= low_32bit && hint < high_32bit && length <= high_32bit - hint &&
		    hint_is_free(mm, hint, length)) {
			*out_addr = hint;
			return 0;
		}
		return area_bottom_up(mm, length, low_32bit, min_u64(high_32bit, mm->task_size),
				      out_addr);
	}
	if (hint && hint_is_free(mm, hint, length)) {
		*out_addr = hint;
		return 0;
	}
	if (high > mm->task_size)
		high = mm->task_size;
	if (!area_top_down(mm, length, low, high, out_addr))
		return 0;
	/* Last resort, above mmap_base: a huge stack limit leaves it low. */
	return area_bottom_up(mm, length, low, mm->task_size, out_addr);
}

/* SPDX-License-Identifier: MIT */
/*
 * Regions by address: the red-black tree mm_rb, the mmap_cache in front of it (F4), and the
 * search for a free range.
 *
 * Each node knows of its subtree the first address (lo), the end (hi) and the largest hole
 * between two of its regions (gap).  All three follow from the node and its two children, so
 * they survive rotations without looking at neighbours:
 *
 *              .-- node --.                 lo  = left.lo
 *       [left lo ... hi]  [right lo ... hi] hi  = right.hi
 *                     |--|--|               gap = max(left.gap, right.gap, the two holes)
 *                     holes at node
 *
 * The hole below a region that grows down ends a guard gap below its start (vma_start_gap).
 * A guard gap that reaches beyond the region below says nothing about the hole below that one.
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
	uint64_t start = vma_start_gap(vma), lo = start, hi = vma->end, gap = 0;
	bool changed;

	if (left) {
		lo = left->lo;
		gap = max_u64(left->gap, hole(left->hi, start));
	}
	if (right) {
		hi = right->hi;
		gap = max_u64(gap, max_u64(right->gap, hole(vma->end, right->lo)));
	}
	changed = vma->lo != lo || vma->hi != hi || vma->gap != gap;
	vma->lo = lo;
	vma->hi = hi;
	vma->gap = gap;
	return changed;
}

const struct rb_augment vma_augment = { .update = vma_update };

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

void vma_link(struct ondol_mm_struct *mm, struct vma *vma)
{
	struct rb_node **link = &mm->mm_rb.node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = vma->start < rb_entry(parent, struct vma, rb)->start ? &parent->left
									    : &parent->right;
	}
	rb_insert(&mm->mm_rb, parent, link, &vma->rb, &vma_augment);
	mm->nr_vma++;
}

void vma_unlink(struct ondol_mm_struct *mm, struct vma *vma)
{
	if (mm->mmap_cache == vma)
		mm->mmap_cache = NULL;
	rb_erase(&mm->mm_rb, &vma->rb, &vma_augment);
	mm->nr_vma--;
}

void vma_set_start(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start)
{
	(void)mm;
	if (vma->file) /* pages, not bytes, so that wrapping does the right thing downwards */
		vma->pgoff += (start >> ONDOL_PAGE_SHIFT) - (vma->start >> ONDOL_PAGE_SHIFT);
	vma->start = start;
	rb_update(&vma->rb, &vma_augment);
}

void vma_set_end(struct ondol_mm_struct *mm, struct vma *vma, uint64_t end)
{
	(void)mm;
	vma->end = end;
	rb_update(&vma->rb, &vma_augment);
}

/*
 * The end of the highest hole of at least `length` below `vma` (and above the lowest region).
 * 0: none.  *out_from: where it begins.
 */
static uint64_t highest_hole_below(struct vma *vma, uint64_t length, uint64_t *out_from)
{
	struct vma *up, *left, *right;

	for (;;) {
		left = vma_of(vma->rb.left);
		if (left && hole(left->hi, vma_start_gap(vma)) >= length) {
			*out_from = left->hi;
			return vma_start_gap(vma);
		}
		if (left && left->gap >= length) {
			vma = left;
			break;
		}
		/* Nothing below vma in its own subtree: up, to the first smaller one. */
		while ((up = vma_of(rb_parent(&vma->rb))) && up->rb.left == &vma->rb)
			vma = up;
		if (!up)
			return 0;
		if (hole(up->end, vma->lo) >= length) {
			*out_from = up->end;
			return vma->lo;
		}
		vma = up;
	}
	/* vma's subtree has one; take the rightmost. */
	for (;;) {
		left = vma_of(vma->rb.left);
		right = vma_of(vma->rb.right);
		if (right && right->gap >= length) {
			vma = right;
		} else if (right && hole(vma->end, right->lo) >= length) {
			*out_from = vma->end;
			return right->lo;
		} else if (left && hole(left->hi, vma_start_gap(vma)) >= length) {
			*out_from = left->hi;
			return vma_start_gap(vma);
		} else {
			vma = left; /* by elimination: it has the gap */
		}
	}
}

/* The mirror image: the lowest hole of at least `length` above `vma`; its begin, or 0. */
static uint64_t lowest_hole_above(struct vma *vma, uint64_t length, uint64_t *out_to)
{
	struct vma *up, *left, *right;

	for (;;) {
		right = vma_of(vma->rb.right);
		if (right && hole(vma->end, right->lo) >= length) {
			*out_to = right->lo;
			return vma->end;
		}
		if (right && right->gap >= length) {
			vma = right;
			break;
		}
		while ((up = vma_of(rb_parent(&vma->rb))) && up->rb.right == &vma->rb)
			vma = up;
		if (!up)
			return 0;
		if (hole(vma->hi, vma_start_gap(up)) >= length) {
			*out_to = vma_start_gap(up);
			return vma->hi;
		}
		vma = up;
	}
	for (;;) {
		left = vma_of(vma->rb.left);
		right = vma_of(vma->rb.right);
		if (left && left->gap >= length) {
			vma = left;
		} else if (left && hole(left->hi, vma_start_gap(vma)) >= length) {
			*out_to = vma_start_gap(vma);
			return left->hi;
		} else if (right && hole(vma->end, right->lo) >= length) {
			*out_to = right->lo;
			return vma->end;
		} else {
			vma = right;
		}
	}
}

/* The highest free range inside [low, high). */
static int area_top_down(struct ondol_mm_struct *mm, uint64_t length, uint64_t low, uint64_t high,
			 uint64_t *out_addr)
{
	struct vma *below = vma_below(mm, high), *above;
	uint64_t from, to = high;

	/* The hole that `high` cuts off, or that lies above a region reaching beyond it. */
	above = below ? vma_next(below) : vma_first(mm);
	if (above)
		to = min_u64(to, vma_start_gap(above));
	from = below ? below->end : 0;
	if (below && hole(from, to) < length) {
		to = highest_hole_below(below, length, &from);
		if (!to) { /* under the lowest region */
			from = 0;
			to = vma_start_gap(vma_first(mm));
		}
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
	struct vma *above = vma_find(mm, low), *below;
	uint64_t from = low, to;

	if (above) {
		to = vma_start_gap(above);
		if (above->start <= low || hole(from, to) < length) {
			from = lowest_hole_above(above, length, &to);
			if (!from) {
				below = vma_of(rb_last(&mm->mm_rb));
				from = below->end;
				to = high;
			}
		}
	} else {
		to = high;
	}
	if (hole(from, min_u64(to, high)) < length)
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
	prev = next ? vma_prev(next) : vma_of(rb_last(&mm->mm_rb));
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

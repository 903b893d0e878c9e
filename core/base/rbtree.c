/* SPDX-License-Identifier: MIT */
/*
 * Red-black tree: find, insert and erase in O(log n), without allocating and without
 * recursion, on nodes that live inside the caller's records.
 *
 * A binary search tree whose nodes are red or black, with
 *
 *   [RB-1] the root is black;
 *   [RB-2] a red node has no red child;
 *   [RB-3] every way from the root down to a missing child passes equally many black nodes;
 *   [RB-4] a child's parent pointer names its parent, and the root's names nobody;
 *   [RB-5] with augmentation, every node's value is what `update` computes.
 *
 * By 2 and 3 the longest way down is at most twice the shortest: depth <= 2 log2(n + 1).
 *
 * A rotation changes shape but not order:
 *
 *          x                  y         Augmented values: the set of records below the
 *         / \   left at x    / \        top is the same before and after, so only x and
 *        a   y  -------->   x   c       then y are recomputed and nothing above them.
 *           / \            / \
 *          b   c          a   b
 *
 * Insertion hangs a red leaf and repairs RB-2 upwards; erasure of a black node leaves one
 * way a black short and repairs RB-3 upwards.  The cases are named where they are handled.
 *
 * Concurrency: the caller's lock.  Nothing can fail.
 *
 * Sources: Guibas and Sedgewick, "A dichromatic framework for balanced trees" (1978);
 * Cormen, Leiserson, Rivest and Stein, "Introduction to Algorithms", chapters 13 and 14
 * (augmentation).
 */
#include "base/rbtree.h"

#define RB_RED ((uintptr_t)0)
#define RB_BLACK ((uintptr_t)1)

static inline bool is_red(const struct rb_node *node) /* a missing child is black */
{
	return node && !(node->up & RB_BLACK);
}

static inline void set_parent(struct rb_node *node, struct rb_node *parent)
{
	node->up = (uintptr_t)parent | (node->up & RB_BLACK);
}

static inline void set_colour(struct rb_node *node, uintptr_t colour)
{
	node->up = (node->up & ~RB_BLACK) | colour;
}

/* The pointer that leads to `node` from above. */
static inline struct rb_node **link_to(struct rb_root *root, const struct rb_node *node)
{
	struct rb_node *parent = rb_parent(node);

	if (!parent)
		return &root->node;
	return parent->left == node ? &parent->left : &parent->right;
}

static inline void update_pair(const struct rb_augment *augment, struct rb_node *lower,
			       struct rb_node *upper)
{
	if (!augment)
		return;
	augment->update(lower);
	augment->update(upper);
}

static void rotate_left(struct rb_root *root, struct rb_node *x, const struct rb_augment *augment)
{
	struct rb_node *y = x->right;

	*link_to(root, x) = y;
	set_parent(y, rb_parent(x));
	x->right = y->left;
	if (x->right)
		set_parent(x->right, x);
	y->left = x;
	set_parent(x, y);
	update_pair(augment, x, y);
}

static void rotate_right(struct rb_root *root, struct rb_node *x,
			 const struct rb_augment *augment)
{
	struct rb_node *y = x->left;

	*link_to(root, x) = y;
	set_parent(y, rb_parent(x));
	x->left = y->right;
	if (x->left)
		set_parent(x->left, x);
	y->right = x;
	set_parent(x, y);
	update_pair(augment, x, y);
}

void rb_update(struct rb_node *node, const struct rb_augment *augment)
{
	if (!augment)
		return;
	/* An ancestor sees only its children's values: one that stays the same ends the way. */
	while (node && augment->update(node))
		node = rb_parent(node);
}

/* As rb_update, but every node up to the root: where more than one node has changed. */
static void update_path(struct rb_node *node, const struct rb_augment *augment)
{
	if (!augment)
		return;
	for (; node; node = rb_parent(node))
		augment->update(node);
}

/* `node` is red and may have a red parent: RB-2 is broken there and nowhere else. */
static void repair_red(struct rb_root *root, struct rb_node *node,
		       const struct rb_augment *augment)
{
	struct rb_node *parent, *grand, *uncle;

	while ((parent = rb_parent(node)) && is_red(parent)) {
		grand = rb_parent(parent); /* exists and is black: the root is never red */
		bool left = parent == grand->left;

		uncle = left ? grand->right : grand->left;
		if (is_red(uncle)) {
			/* Push the black of grand one level down; look again two levels up. */
			set_colour(parent, RB_BLACK);
			set_colour(uncle, RB_BLACK);
			set_colour(grand, RB_RED);
			node = grand;
			continue;
		}
		/* An inner grandchild becomes an outer one, then grand goes below parent. */
		if (left && node == parent->right) {
			rotate_left(root, parent, augment);
			parent = node;
		} else if (!left && node == parent->left) {
			rotate_right(root, parent, augment);
			parent = node;
		}
		set_colour(parent, RB_BLACK);
		set_colour(grand, RB_RED);
		if (left)
			rotate_right(root, grand, augment);
		else
			rotate_left(root, grand, augment);
		break;
	}
	set_colour(root->node, RB_BLACK);
}

void rb_insert(struct rb_root *root, struct rb_node *parent, struct rb_node **link,
	       struct rb_node *node, const struct rb_augment *augment)
{
	node->left = node->right = NULL;
	node->up = (uintptr_t)parent | RB_RED;
	*link = node;
	if (augment) {
		/* The new node's old value means nothing: it cannot end the way. */
		augment->update(node);
		rb_update(parent, augment);
	}
	repair_red(root, node, augment);
}

/*
 * Every way through `node` (maybe a missing child, hence `parent`) is one black short.
 * Mirrored by `left`: near is the side of node, far the other.
 */
static void repair_black(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
			 const struct rb_augment *augment)
{
	while (parent && !is_red(node)) {
		bool left = node == parent->left;
		/* Has a black more than node's side, so it is a real node. */
		struct rb_node *sibling = left ? parent->right : parent->left;
		struct rb_node *near, *far;

		if (is_red(sibling)) { /* get a black sibling: its near child */
			set_colour(sibling, RB_BLACK);
			set_colour(parent, RB_RED);
			if (left)
				rotate_left(root, parent, augment);
			else
				rotate_right(root, parent, augment);
			sibling = left ? parent->right : parent->left;
		}
		near = left ? sibling->left : sibling->right;
		far = left ? sibling->right : sibling->left;
		if (!is_red(near) && !is_red(far)) {
			/* Make the sibling's side one short too: now all of parent is. */
			set_colour(sibling, RB_RED);
			node = parent;
			parent = rb_parent(node);
			continue;
		}
		if (!is_red(far)) { /* near is red: turn it into the sibling, with a red far */
			set_colour(near, RB_BLACK);
			set_colour(sibling, RB_RED);
			if (left)
				rotate_right(root, sibling, augment);
			else
				rotate_left(root, sibling, augment);
			far = sibling;
			sibling = near;
		}
		/* The sibling takes parent's place and colour; parent is node's new black. */
		set_colour(sibling, is_red(parent) ? RB_RED : RB_BLACK);
		set_colour(parent, RB_BLACK);
		set_colour(far, RB_BLACK);
		if (left)
			rotate_left(root, parent, augment);
		else
			rotate_right(root, parent, augment);
		return;
	}
	if (node)
		set_colour(node, RB_BLACK);
}

void rb_erase(struct rb_root *root, struct rb_node *node, const struct rb_augment *augment)
{
	struct rb_node *child, *parent; /* what moves up, and below whom */
	bool lost_red;

	if (node->left && node->right) {
		/* The next node has no left child: it leaves its place and takes node's. */
		struct rb_node *heir = node->right;

		while (heir->left)
			heir = heir->left;
		child = heir->right;
		parent = rb_parent(heir);
		lost_red = is_red(heir);
		if (parent == node) {
			parent = heir;
		} else {
			parent->left = child;
			if (child)
				set_parent(child, parent);
			heir->right = node->right;
			set_parent(heir->right, heir);
		}
		*link_to(root, node) = heir;
		heir->up = node->up; /* parent and colour */
		heir->left = node->left;
		set_parent(heir->left, heir);
	} else {
		child = node->left ? node->left : node->right;
		parent = rb_parent(node);
		lost_red = is_red(node);
		*link_to(root, node) = child;
		if (child)
			set_parent(child, parent);
	}
	update_path(parent, augment);
	if (!lost_red)
		repair_black(root, child, parent, augment);
}

void rb_replace(struct rb_root *root, struct rb_node *from, struct rb_node *to,
		const struct rb_augment *augment)
{
	struct rb_node **link = link_to(root, from);

	*to = *from;
	*link = to;
	if (to->left)
		set_parent(to->left, to);
	if (to->right)
		set_parent(to->right, to);
	update_path(to, augment);
}

struct rb_node *rb_first(const struct rb_root *root)
{
	struct rb_node *node = root->node;

	while (node && node->left)
		node = node->left;
	return node;
}

struct rb_node *rb_last(const struct rb_root *root)
{
	struct rb_node *node = root->node;

	while (node && node->right)
		node = node->right;
	return node;
}

struct rb_node *rb_next(const struct rb_node *node)
{
	struct rb_node *up;

	if (node->right) {
		up = node->right;
		while (up->left)
			up = up->left;
		return up;
	}
	while ((up = rb_parent(node)) && node == up->right)
		node = up;
	return up;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
	struct rb_node *up;

	if (node->left) {
		up = node->left;
		while (up->right)
			up = up->right;
		return up;
	}
	while ((up = rb_parent(node)) && node == up->left)
		node = up;
	return up;
}

static unsigned blacks_above(const struct rb_node *node)
{
	unsigned n = 0;

	for (; node; node = rb_parent(node))
		n += !is_red(node);
	return n;
}

const char *rb_check(const struct rb_root *root, const struct rb_augment *augment)
{
	unsigned height = 0;

	if (root->node && rb_parent(root->node))
		return "RB-4";
	if (is_red(root->node))
		return "RB-1";
	for (struct rb_node *n = rb_first(root); n; n = rb_next(n)) {
		const struct rb_node *up = rb_parent(n);

		if (up ? up->left != n && up->right != n : root->node != n)
			return "RB-4";
		if ((n->left && rb_parent(n->left) != n) || (n->right && rb_parent(n->right) != n))
			return "RB-4";
		if (is_red(n) && (is_red(n->left) || is_red(n->right)))
			return "RB-2";
		if (!n->left || !n->right) {
			if (!height)
				height = blacks_above(n);
			if (blacks_above(n) != height)
				return "RB-3";
		}
		if (augment && augment->update(n))
			return "RB-5";
	}
	return NULL;
}

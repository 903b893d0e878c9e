/* SPDX-License-Identifier: MIT */
/* Intrusive red-black tree with optional augmentation: see rbtree.c. */
#ifndef ONDOL_BASE_RBTREE_H
#define ONDOL_BASE_RBTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in the caller's record; 3 words.  Bit 0 of `up`: 1 = black. */
struct rb_node {
	uintptr_t up; /* parent | colour */
	struct rb_node *left, *right;
};

struct rb_root {
	struct rb_node *node; /* NULL: empty */
};

/*
 * Augmentation: each record carries a value computed from itself and its two children
 * (the largest gap below, say).  `update` recomputes node's value from node and its
 * children's stored values and returns whether the stored value changed.  O(1).
 */
struct rb_augment {
	bool (*update)(struct rb_node *node);
};

#define rb_entry(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
/* NULL stays NULL: `for (n = rb_first(root); ...)` and record pointers side by side. */
#define rb_entry_or_null(ptr, type, member)                                                   \
	({                                                                                    \
		struct rb_node *rb_entry_ptr = (ptr);                                         \
		rb_entry_ptr ? rb_entry(rb_entry_ptr, type, member) : NULL;                   \
	})

static inline struct rb_node *rb_parent(const struct rb_node *node)
{
	return (struct rb_node *)(node->up & ~(uintptr_t)1);
}

/*
 * Insertion is the caller's walk and then this call, as in
 *
 *	struct rb_node **link = &root->node, *parent = NULL;
 *	while (*link) {
 *		parent = *link;
 *		link = key < key_of(parent) ? &parent->left : &parent->right;
 *	}
 *	rb_insert(root, parent, link, &record->node, augment);
 *
 * `*link` is the empty place: parent's left or right, or root->node with parent NULL.
 * augment may be NULL.  O(log n), at most two rotations.
 */
void rb_insert(struct rb_root *root, struct rb_node *parent, struct rb_node **link,
	       struct rb_node *node, const struct rb_augment *augment);
/* `node` must be in the tree.  Its fields keep their values; O(log n), three rotations. */
void rb_erase(struct rb_root *root, struct rb_node *node, const struct rb_augment *augment);
/* Put `to` where `from` was, with the same neighbours: same key, maybe another value. */
void rb_replace(struct rb_root *root, struct rb_node *from, struct rb_node *to,
		const struct rb_augment *augment);
/* node's own data changed (not its order): bring its value and its ancestors' up to date. */
void rb_update(struct rb_node *node, const struct rb_augment *augment);

/* In order.  NULL: no such node.  next and prev: O(1) amortised over a walk. */
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);

/*
 * NULL, or the label of the first broken invariant ("RB-2").  With augment: also that no
 * update changes anything, so it writes only to a broken tree.  O(n log n).
 */
const char *rb_check(const struct rb_root *root, const struct rb_augment *augment);

#endif /* ONDOL_BASE_RBTREE_H */

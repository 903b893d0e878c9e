/* SPDX-License-Identifier: MIT */
/* Red-black tree: shapes by hand, then random work against a sorted array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rbtree.h"

#define NR 512

struct item {
	struct rb_node node;
	uint32_t key, weight;
	uint32_t max, count; /* augmented: of the subtree */
};

static bool item_update(struct rb_node *node)
{
	struct item *it = rb_entry(node, struct item, node);
	struct item *l = rb_entry_or_null(node->left, struct item, node);
	struct item *r = rb_entry_or_null(node->right, struct item, node);
	uint32_t max = it->weight, count = 1 + (l ? l->count : 0) + (r ? r->count : 0);

	if (l && l->max > max)
		max = l->max;
	if (r && r->max > max)
		max = r->max;
	if (max == it->max && count == it->count)
		return false;
	it->max = max;
	it->count = count;
	return true;
}

static const struct rb_augment by_max = { item_update };

static void insert(struct rb_root *root, struct item *it, const struct rb_augment *augment)
{
	struct rb_node **link = &root->node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = it->key < rb_entry(parent, struct item, node)->key ? &parent->left :
									    &parent->right;
	}
	rb_insert(root, parent, link, &it->node, augment);
}

static unsigned depth(const struct rb_root *root)
{
	unsigned deepest = 0;

	for (struct rb_node *n = rb_first(root); n; n = rb_next(n)) {
		unsigned d = 0;

		for (struct rb_node *up = n; up; up = rb_parent(up))
			d++;
		if (d > deepest)
			deepest = d;
	}
	return deepest;
}

static void assert_sound(const struct rb_root *root, const struct rb_augment *augment)
{
	const char *broken = rb_check(root, augment);

	if (broken)
		fail_msg("broken: [%s]", broken);
}

static void empty(void **state)
{
	struct rb_root root = { NULL };

	(void)state;
	assert_null(rb_first(&root));
	assert_null(rb_last(&root));
	assert_sound(&root, &by_max);
}

static void in_order_stays_shallow(void **state)
{
	static struct item it[NR];

	(void)state;
	for (int down = 0; down < 2; down++) {
		struct rb_root root = { NULL };
		uint32_t seen = 0;

		memset(it, 0, sizeof it);
		for (uint32_t i = 0; i < NR; i++) {
			it[i].key = down ? NR - i : i;
			insert(&root, &it[i], NULL);
			assert_sound(&root, NULL);
		}
		assert_true(depth(&root) <= 18); /* 2 log2(513) */
		for (struct rb_node *n = rb_last(&root); n; n = rb_prev(n))
			seen++;
		assert_int_equal(seen, NR);
		/* Erase from the front, then the rest from the root. */
		for (uint32_t i = 0; i < NR / 2; i++) {
			rb_erase(&root, rb_first(&root), NULL);
			assert_sound(&root, NULL);
		}
		while (root.node) {
			rb_erase(&root, root.node, NULL);
			assert_sound(&root, NULL);
		}
	}
}

static void replace_and_update(void **state)
{
	static struct item it[32], other;
	struct rb_root root = { NULL };

	(void)state;
	memset(it, 0, sizeof it);
	for (uint32_t i = 0; i < 32; i++) {
		it[i].key = it[i].weight = i;
		insert(&root, &it[i], &by_max);
	}
	assert_int_equal(rb_entry(root.node, struct item, node)->max, 31);
	other.key = 7;
	other.weight = 99;
	rb_replace(&root, &it[7].node, &other.node, &by_max);
	assert_sound(&root, &by_max);
	assert_ptr_equal(rb_next(&it[6].node), &other.node);
	assert_ptr_equal(rb_prev(&it[8].node), &other.node);
	assert_int_equal(rb_entry(root.node, struct item, node)->max, 99);
	other.weight = 0;
	rb_update(&other.node, &by_max);
	assert_sound(&root, &by_max);
	assert_int_equal(rb_entry(root.node, struct item, node)->max, 31);
}

/* The checker sees each kind of damage, by name. */
static void damage_is_named(void **state)
{
	static struct item it[8];
	struct rb_root root = { NULL };
	struct rb_node *n;

	(void)state;
	memset(it, 0, sizeof it);
	for (uint32_t i = 0; i < 8; i++) {
		it[i].key = it[i].weight = i;
		insert(&root, &it[i], &by_max);
	}
	assert_sound(&root, &by_max);
	root.node->up &= ~(uintptr_t)1;
	assert_string_equal(rb_check(&root, &by_max), "RB-1");
	root.node->up |= 1;
	n = rb_last(&root); /* 7, a red leaf below black 6 */
	assert_int_equal(n->up & 1, 0);
	rb_parent(n)->up &= ~(uintptr_t)1;
	assert_string_equal(rb_check(&root, &by_max), "RB-2");
	rb_parent(n)->up |= 1;
	n->up |= 1;
	assert_string_equal(rb_check(&root, &by_max), "RB-3");
	n->up &= ~(uintptr_t)1;
	it[3].weight = 1000;
	assert_string_equal(rb_check(&root, &by_max), "RB-5");
	rb_update(&it[3].node, &by_max);
	it[3].max = 0;
	rb_update(&it[3].node, &by_max);
	n = rb_first(&root);
	uintptr_t up = n->up;
	n->up = (uintptr_t)rb_last(&root) | (up & 1);
	assert_string_equal(rb_check(&root, NULL), "RB-4");
	n->up = up;
	assert_sound(&root, &by_max);
}

/* A sorted array does the same work: order, count, maximum and black height must agree. */
static void random_against_array(void **state)
{
	static struct item it[NR];
	static struct item *sorted[NR];
	const char *env = getenv("SEED");
	unsigned seed = env ? (unsigned)strtoul(env, NULL, 0) : 1;
	struct rb_root root = { NULL };
	uint32_t nr = 0;
	bool in[NR] = { false };

	(void)state;
	print_message("SEED=%u\n", seed);
	srand(seed);
	memset(it, 0, sizeof it);
	for (int step = 0; step < 20000; step++) {
		uint32_t i = (uint32_t)rand() % NR, at = 0;

		/* Long phases of growth and of shrinking, so that every size is met. */
		if (in[i] && (step / 1500) % 2 == 0 && rand() % 4)
			continue;
		if (in[i]) {
			rb_erase(&root, &it[i].node, &by_max);
			while (sorted[at] != &it[i])
				at++;
			nr--;
			memmove(&sorted[at], &sorted[at + 1], (nr - at) * sizeof *sorted);
		} else {
			memset(&it[i], 0xaa, sizeof it[i]); /* nothing may depend on old contents */
			it[i].key = i / 2; /* equal keys too: a new one goes after */
			it[i].weight = (uint32_t)rand();
			insert(&root, &it[i], &by_max);
			while (at < nr && sorted[at]->key <= it[i].key)
				at++;
			memmove(&sorted[at + 1], &sorted[at], (nr - at) * sizeof *sorted);
			sorted[at] = &it[i];
			nr++;
		}
		in[i] = !in[i];
		if (step % 16 && nr > 40)
			continue;
		assert_sound(&root, &by_max);
		uint32_t max = 0, k = 0;
		for (struct rb_node *n = rb_first(&root); n; n = rb_next(n), k++) {
			assert_true(k < nr);
			assert_ptr_equal(n, &sorted[k]->node);
			if (sorted[k]->weight > max)
				max = sorted[k]->weight;
		}
		assert_int_equal(k, nr);
		for (struct rb_node *n = rb_last(&root); n; n = rb_prev(n))
			assert_ptr_equal(n, &sorted[--k]->node);
		if (nr) {
			assert_int_equal(rb_entry(root.node, struct item, node)->max, max);
			assert_int_equal(rb_entry(root.node, struct item, node)->count, nr);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(in_order_stays_shallow),
		cmocka_unit_test(replace_and_update),
		cmocka_unit_test(damage_is_named),
		cmocka_unit_test(random_against_array),
	};

	return cmocka_run_group_tests_name("rbtree", tests, NULL, NULL);
}

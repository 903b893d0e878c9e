/* SPDX-License-Identifier: MIT */
/* Circular doubly linked lists inside the objects they link. */
#ifndef ONDOL_BASE_LIST_H
#define ONDOL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
	struct list_node *next, *prev;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define list_for_each(pos, head) \
	for (struct list_node *pos = (head)->next; pos != (head); pos = pos->next)
/* `pos` may be removed inside. */
#define list_for_each_safe(pos, head)                                                         \
	for (struct list_node *pos = (head)->next, *pos##_next = pos->next; pos != (head);     \
	     pos = pos##_next, pos##_next = pos->next)

static inline void list_init(struct list_node *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list_node *head)
{
	return head->next == head;
}

static inline void list_insert(struct list_node *node, struct list_node *prev,
			       struct list_node *next)
{
	node->next = next;
	node->prev = prev;
	prev->next = node;
	next->prev = node;
}

static inline void list_add(struct list_node *node, struct list_node *head)
{
	list_insert(node, head, head->next);
}

static inline void list_add_tail(struct list_node *node, struct list_node *head)
{
	list_insert(node, head->prev, head);
}

/* The node then links to itself: removing it again is harmless. */
static inline void list_del(struct list_node *node)
{
	node->next->prev = node->prev;
	node->prev->next = node->next;
	list_init(node);
}

#endif /* ONDOL_BASE_LIST_H */

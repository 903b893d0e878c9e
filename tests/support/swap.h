/* SPDX-License-Identifier: MIT */
/* A swap area for tests: pages in the test's own memory, errors on demand, misuse noticed. */
#ifndef TESTS_SUPPORT_SWAP_H
#define TESTS_SUPPORT_SWAP_H

#include <ondol/ondol.h>
#include <stdlib.h>
#include <string.h>

struct test_swap {
	unsigned char *pages;
	bool *used;
	uint64_t nr_pages;
	int64_t nr_used; /* written and not freed; below 0: misuse */
	uint64_t reads, writes;
	int fail_read, fail_write; /* what the next calls return, if not 0 */
	bool released;
};

static inline int test_swap_write(void *ctx, uint64_t slot, const void *host)
{
	struct test_swap *s = ctx;

	if (s->fail_write)
		return s->fail_write;
	if (slot >= s->nr_pages || s->used[slot])
		abort();
	s->used[slot] = true;
	s->nr_used++;
	s->writes++;
	memcpy(s->pages + slot * ONDOL_PAGE_SIZE, host, ONDOL_PAGE_SIZE);
	return 0;
}

static inline int test_swap_read(void *ctx, uint64_t slot, void *host)
{
	struct test_swap *s = ctx;

	if (s->fail_read)
		return s->fail_read;
	if (slot >= s->nr_pages || !s->used[slot])
		abort();
	s->reads++;
	memcpy(host, s->pages + slot * ONDOL_PAGE_SIZE, ONDOL_PAGE_SIZE);
	return 0;
}

static inline void test_swap_free_slot(void *ctx, uint64_t slot)
{
	struct test_swap *s = ctx;

	if (slot >= s->nr_pages || !s->used[slot])
		abort();
	s->used[slot] = false;
	s->nr_used--;
	memset(s->pages + slot * ONDOL_PAGE_SIZE, 0xee, ONDOL_PAGE_SIZE);
}

static inline void test_swap_release(void *ctx)
{
	((struct test_swap *)ctx)->released = true;
}

static inline void test_swap_free(struct test_swap *s)
{
	free(s->pages);
	free(s->used);
	s->pages = NULL;
	s->used = NULL;
}

static inline int test_swap_add(struct test_swap *s, struct ondol_machine *m, uint64_t nr_pages,
				int16_t priority)
{
	static const struct ondol_swap_ops ops = {
		.size = sizeof ops, .write_page = test_swap_write, .read_page = test_swap_read,
		.free_slot = test_swap_free_slot, .release = test_swap_release,
	};
	struct ondol_swap_args args = { .size = sizeof args, .priority = priority,
					.name = "/swap.img", .nr_pages = nr_pages, .ops = &ops,
					.ctx = s };

	memset(s, 0, sizeof *s);
	s->nr_pages = nr_pages;
	s->pages = malloc(nr_pages * ONDOL_PAGE_SIZE);
	s->used = calloc(nr_pages, sizeof *s->used);
	if (!s->pages || !s->used)
		abort();
	return ondol_swap_add(m, &args);
}

#endif /* TESTS_SUPPORT_SWAP_H */

/* SPDX-License-Identifier: MIT */
/* mremap: growing in place, moving, shrinking, onto a fixed place; contents follow. */
#include "check.h"

static void fill(unsigned char *p, size_t pages, unsigned seed)
{
	for (size_t i = 0; i < pages; i++) {
		p[i * PAGE] = (unsigned char)(i + seed);
		p[i * PAGE + 4095] = (unsigned char)(i * 3 + seed);
	}
}

static void check(const unsigned char *p, size_t pages, unsigned seed)
{
	for (size_t i = 0; i < pages; i++)
		CHECK(p[i * PAGE] == (unsigned char)(i + seed) &&
		      p[i * PAGE + 4095] == (unsigned char)(i * 3 + seed));
}

static bool mapped(unsigned char *p)
{
	unsigned char vec;

	return mincore(p, PAGE, &vec) == 0;
}

int main(void)
{
	/* A private arena, so that what is free around is known. */
	unsigned char *arena = map_anon(1024 * PAGE, PROT_NONE), *p, *q;

	CHECK(munmap(arena, 1024 * PAGE) == 0);
	p = mmap(arena, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE | MAP_PRIVATE |
		 MAP_ANONYMOUS, -1, 0);
	CHECK(p == arena);
	fill(p, 8, 1);
	CHECK(mremap(p, 8 * PAGE, 64 * PAGE, 0) == p);
	check(p, 8, 1);
	CHECK(p[8 * PAGE] == 0 && p[63 * PAGE] == 0);
	say("grew in place\n");

	CHECK(mremap(p, 64 * PAGE, 4 * PAGE, 0) == p);
	check(p, 4, 1);
	CHECK(!mapped(p + 4 * PAGE));
	say("shrank\n");

	/* Something right behind: only a move helps. */
	q = mmap(p + 4 * PAGE, PAGE, PROT_READ, MAP_FIXED_NOREPLACE | MAP_PRIVATE | MAP_ANONYMOUS,
		 -1, 0);
	CHECK(q == p + 4 * PAGE);
	CHECK(mremap(p, 4 * PAGE, 32 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
	q = mremap(p, 4 * PAGE, 32 * PAGE, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && q != p && !mapped(p));
	check(q, 4, 1);
	CHECK(q[31 * PAGE] == 0);
	fill(q, 32, 9);
	say("moved and grew\n");

	/* Onto a place that is in use, from the middle of a mapping. */
	p = mmap(arena + 512 * PAGE, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE |
		 MAP_ANONYMOUS, -1, 0);
	CHECK(p == arena + 512 * PAGE);
	fill(p, 16, 77);
	CHECK(mremap(q + 8 * PAGE, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		     p + 4 * PAGE) == p + 4 * PAGE);
	check(p, 4, 77);
	for (size_t i = 0; i < 8; i++)
		CHECK(p[(4 + i) * PAGE] == i + 8 + 9);
	CHECK(!mapped(q + 8 * PAGE) && mapped(q + 7 * PAGE) && mapped(q + 16 * PAGE));
	say("onto a fixed place\n");

	/* Large: realloc of big blocks moves page tables, not bytes. */
	p = malloc(4 << 20);
	CHECK(p);
	fill(p, 1024, 5);
	p = realloc(p, 64 << 20);
	CHECK(p);
	check(p, 1024, 5);
	free(p);
	say("realloc\n");

	CHECK(mremap(q + 1, PAGE, 2 * PAGE, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mremap(arena + 800 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED &&
	      errno == EFAULT);
	CHECK(mremap(q, PAGE, 0, 0) == MAP_FAILED && errno == EINVAL);
	say("bad arguments refused\n");
	return 0;
}

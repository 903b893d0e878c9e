/* SPDX-License-Identifier: MIT */
/* A tree of forks; each process sees its parent's bytes and only its own writes, page by page. */
#include "check.h"

enum { PAGES = 200, DEPTH = 4, CHILDREN = 2 };

static unsigned char *area;

static unsigned char mark(unsigned id, unsigned page)
{
	return (unsigned char)(id * 53 + page * 7 + 1);
}

static void check_all(unsigned id)
{
	for (unsigned i = 0; i < PAGES; i++)
		CHECK(area[i * PAGE] == mark(id, i) && area[i * PAGE + 4095] == mark(id, i));
}

static void write_all(unsigned id)
{
	for (unsigned i = 0; i < PAGES; i++)
		area[i * PAGE] = area[i * PAGE + 4095] = mark(id, i);
}

static void node(unsigned id, unsigned depth)
{
	pid_t pid[CHILDREN];

	for (unsigned c = 0; depth && c < CHILDREN; c++) {
		pid[c] = fork();
		CHECK(pid[c] >= 0);
		if (!pid[c]) {
			check_all(id); /* the parent's, although it may be writing by now */
			write_all(id * CHILDREN + c + 1);
			node(id * CHILDREN + c + 1, depth - 1);
			_exit(0);
		}
		/* Between two forks: some pages are written, by the parent, to the same value. */
		for (unsigned i = 0; i < PAGES; i += 3)
			area[i * PAGE + 100] = (unsigned char)c;
	}
	for (unsigned c = 0; depth && c < CHILDREN; c++)
		reap(pid[c], 0);
	check_all(id);
	for (unsigned i = 0; depth && i < PAGES; i += 3)
		CHECK(area[i * PAGE + 100] == CHILDREN - 1);
}

/* A page that only the child still has is its own again: no copy, no loss. */
static void orphan(void)
{
	int fd[2];
	char c;
	pid_t pid;

	CHECK(pipe(fd) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		CHECK(read(fd[0], &c, 1) == 1); /* the parent has unmapped */
		check_all(0);
		write_all(3);
		check_all(3);
		_exit(0);
	}
	CHECK(munmap(area, PAGES * PAGE) == 0);
	CHECK(write(fd[1], "x", 1) == 1);
	reap(pid, 0);
}

int main(void)
{
	area = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);
	write_all(0);
	node(0, DEPTH);
	say("%d levels of %d children, %d pages each\n", DEPTH, CHILDREN, PAGES);
	orphan();
	say("the child kept what the parent dropped\n");
	return 0;
}

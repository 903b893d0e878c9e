/* SPDX-License-Identifier: MIT */
/* MAP_SHARED: what one process writes the other reads; files get it, private maps do not. */
#include "check.h"

enum { PAGES = 64 };

static void ping_pong(void)
{
	atomic_int *turn = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	volatile unsigned char *bytes = (volatile unsigned char *)turn;
	pid_t pid;

	CHECK((void *)turn != MAP_FAILED);
	pid = fork(); /* nothing touched yet: pages appear in both */
	CHECK(pid >= 0);
	for (int i = 1; i < PAGES; i++) {
		if ((i & 1) == !pid)
			bytes[(unsigned)i * PAGE] = (unsigned char)(i + 3);
		/* Take turns, politely: there may be one processor. */
		if ((i & 1) == !pid)
			atomic_store(turn, i);
		while (atomic_load(turn) < i)
			usleep(10);
		CHECK(bytes[(unsigned)i * PAGE] == i + 3);
	}
	if (!pid)
		_exit(0);
	reap(pid, 0);
	CHECK(munmap(turn, PAGES * PAGE) == 0);
	say("anonymous: both ways\n");
}

static void counter(void)
{
	atomic_int *n = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid[4];

	CHECK((void *)n != MAP_FAILED);
	for (int c = 0; c < 4; c++) {
		pid[c] = fork();
		CHECK(pid[c] >= 0);
		if (!pid[c]) {
			for (int i = 0; i < 10000; i++)
				(*n)++;
			_exit(0);
		}
	}
	for (int c = 0; c < 4; c++)
		reap(pid[c], 0);
	CHECK(*n == 40000);
	say("atomic counter: %d\n", *n);
}

static void file(void)
{
	int fd = pattern_file("shared", PAGES * PAGE);
	unsigned char *s = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	unsigned char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	unsigned char byte;
	pid_t pid;

	CHECK(s != MAP_FAILED && p != MAP_FAILED);
	for (size_t i = 0; i < PAGES * PAGE; i += 1000)
		CHECK(s[i] == pattern(i) && p[i] == pattern(i));
	p[5] = 1; /* from now on page 0 is its own */
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		for (unsigned i = 0; i < PAGES; i++)
			s[i * PAGE + 10] = (unsigned char)(200 - i);
		CHECK(msync(s, PAGES * PAGE, MS_SYNC) == 0);
		p[PAGE] = 99;
		_exit(0);
	}
	reap(pid, 0);
	for (unsigned i = 0; i < PAGES; i++) {
		CHECK(s[i * PAGE + 10] == 200 - i);
		CHECK(pread(fd, &byte, 1, i * PAGE + 10) == 1 && byte == 200 - i);
	}
	CHECK(p[5] == 1 && p[10] == pattern(10) && p[PAGE] == pattern(PAGE));
	CHECK(pread(fd, &byte, 1, 5) == 1 && byte == pattern(5));
	CHECK(munmap(s, PAGES * PAGE) == 0 && munmap(p, PAGES * PAGE) == 0);
	close(fd);
	say("file: shared writes reach it, private ones do not\n");
}

static void memory_file(void)
{
	int fd = memfd_create("x", 0);
	volatile unsigned char *a, *b;

	CHECK(fd >= 0 && ftruncate(fd, 4 * PAGE) == 0);
	a = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 2 * PAGE);
	CHECK(a != MAP_FAILED && b != MAP_FAILED);
	a[2 * PAGE + 1] = 5;
	CHECK(b[1] == 5);
	CHECK(pwrite(fd, "\7", 1, 3 * PAGE) == 1);
	CHECK(a[3 * PAGE] == 7 && b[PAGE] == 7);
	say("memfd: two views and write()\n");
}

int main(void)
{
	ping_pong();
	counter();
	file();
	memory_file();
	return 0;
}

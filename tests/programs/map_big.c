/* SPDX-License-Identifier: MIT */
/* A file larger than the machine's memory, mapped whole, read three times, here and in a child. */
#include "check.h"

#define SIZE (48ul << 20)
#define SOME (1ul << 20) /* of it, written to: its copies stay */

static unsigned long sum(const unsigned char *p, size_t step)
{
	unsigned long s = 0;

	for (size_t i = 0; i < SIZE; i += step)
		s += p[i] * (i / step + 1);
	return s;
}

int main(void)
{
	int fd = pattern_file("map_big", SIZE);
	unsigned char *p = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
	unsigned char *q = mmap(NULL, SOME, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	pid_t pid;

	CHECK(p != MAP_FAILED && q != MAP_FAILED);
	for (size_t i = 0; i < SOME; i += SOME / 16)
		q[i] = 99;
	for (int round = 0; round < 3; round++)
		say("%lu\n", sum(p, 64));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		_exit(sum(p, 4096) != sum(p, 4096));
	}
	say("parent: %lu\n", sum(p, 4099));
	reap(pid, 0);
	for (size_t i = 0; i < SOME; i += SOME / 16)
		CHECK(q[i] == 99 && q[i + 1] == pattern(i + 1));
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* A memory file mapped both ways: what each mapping shows as the other, and the file, change. */
#include "check.h"

enum { SIZE = 4 * PAGE };

int main(void)
{
	int fd = memfd_create("both", 0);
	char *mine, *shared;
	pid_t pid;

	CHECK(fd >= 0 && ftruncate(fd, SIZE) == 0 && pwrite(fd, "abc", 3, 0) == 3);
	mine = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mine != MAP_FAILED && shared != MAP_FAILED);
	say("read first: %s\n", mine);
	strcpy(shared, "shared");
	say("written through the other: %s\n", mine);
	strcpy(mine, "mine");
	say("written privately: %s, %s\n", mine, shared);
	CHECK(pwrite(fd, "by write", 9, 2 * PAGE) == 9);
	say("written to the file: %s\n", mine + 2 * PAGE);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		CHECK(!strcmp(mine, "mine") && !strcmp(shared, "shared"));
		strcpy(mine, "the child's");
		strcpy(shared, "by the child");
		_exit(0);
	}
	reap(pid, 0);
	say("after a fork: %s, %s\n", mine, shared);
	mine = mremap(mine, SIZE, 2 * SIZE, MREMAP_MAYMOVE);
	CHECK(mine != MAP_FAILED && mprotect(mine, PAGE, PROT_READ) == 0);
	say("moved: %s\n", mine);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE, PAGE) == 0);
	say("a hole: %d\n", mine[2 * PAGE]);
	CHECK(munmap(mine, 2 * SIZE) == 0);
	say("the other stays: %s\n", shared);
	return 0;
}

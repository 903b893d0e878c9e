/* SPDX-License-Identifier: MIT */
/* O_DIRECT: the disk reads and writes the program's own pages, touched before or not. */
#include "check.h"

enum { SIZE = 256 * 1024 };

int main(void)
{
	int fd = open("direct", O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
	unsigned char *w, *r, *z;
	pid_t pid;

	unlink("direct");
	if (fd < 0) {
		CHECK(errno == EINVAL);
		say("no O_DIRECT in this file system\n");
		return 0;
	}
	w = map_anon(SIZE, PROT_READ | PROT_WRITE);
	r = map_anon(SIZE, PROT_READ | PROT_WRITE);
	z = map_anon(SIZE, PROT_READ | PROT_WRITE);
	for (size_t i = 0; i < SIZE; i++)
		w[i] = pattern(i);
	CHECK(write(fd, w, SIZE) == SIZE);
	CHECK(pread(fd, r, SIZE, 0) == SIZE); /* into pages that do not exist yet */
	CHECK(memcmp(w, r, SIZE) == 0);
	say("written and read\n");

	/* Into pages shared with a child: the child must keep what it had. */
	memset(r, 7, SIZE);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		usleep(50000);
		for (size_t i = 0; i < SIZE; i++)
			CHECK(r[i] == 7);
		_exit(0);
	}
	CHECK(pread(fd, r, SIZE, 0) == SIZE && memcmp(w, r, SIZE) == 0);
	reap(pid, 0);
	say("copied on the write of a device\n");

	CHECK(pwrite(fd, z, SIZE, 0) == SIZE); /* from pages never touched */
	CHECK(pread(fd, w, SIZE, 0) == SIZE);
	for (size_t i = 0; i < SIZE; i++)
		CHECK(w[i] == 0);
	say("zeros from nowhere\n");
	return 0;
}

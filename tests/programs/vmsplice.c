/* SPDX-License-Identifier: MIT */
/* vmsplice puts the program's pages into a pipe; splice and tee pass them on. */
#include "check.h"
#include <sys/uio.h>

enum { PAGES = 8 };

static void drain(int fd, unsigned char *buf, size_t size)
{
	for (size_t n = 0; n < size;) {
		ssize_t r = read(fd, buf + n, size - n);

		CHECK(r > 0);
		n += (size_t)r;
	}
}

int main(void)
{
	unsigned char *p = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);
	unsigned char *q = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE), *got;
	struct iovec v[2] = { { p + 100, 5 * PAGE }, { p + 6 * PAGE, PAGE } };
	int fd[2], copy[2], file = open("spliced", O_RDWR | O_CREAT | O_TRUNC, 0600);
	off_t offset = 0;

	CHECK(file >= 0 && unlink("spliced") == 0);
	CHECK(pipe(fd) == 0 && pipe(copy) == 0);
	for (size_t i = 0; i < PAGES * PAGE; i++)
		p[i] = pattern(i);
	CHECK(vmsplice(fd[1], v, 2, 0) == (ssize_t)(6 * PAGE));
	drain(fd[0], q, 6 * PAGE);
	CHECK(!memcmp(q, p + 100, 5 * PAGE) && !memcmp(q + 5 * PAGE, p + 6 * PAGE, PAGE));
	say("touched pages\n");

	got = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);
	v[0] = (struct iovec){ got, PAGES * PAGE };
	CHECK(vmsplice(fd[1], v, 1, 0) == (ssize_t)(PAGES * PAGE)); /* never touched: zeros */
	drain(fd[0], q, PAGES * PAGE);
	for (size_t i = 0; i < PAGES * PAGE; i++)
		CHECK(q[i] == 0);
	say("untouched pages\n");

	/* A pipe holds a reference: unmapping does not take the bytes away. */
	v[0] = (struct iovec){ p, 4 * PAGE };
	CHECK(vmsplice(fd[1], v, 1, 0) == (ssize_t)(4 * PAGE));
	CHECK(tee(fd[0], copy[1], 4 * PAGE, 0) == (ssize_t)(4 * PAGE));
	CHECK(munmap(p, PAGES * PAGE) == 0);
	drain(fd[0], q, 4 * PAGE);
	for (size_t i = 0; i < 4 * PAGE; i++)
		CHECK(q[i] == pattern(i));
	for (size_t n = 0; n < 4 * PAGE;) {
		ssize_t r = splice(copy[0], NULL, file, &offset, 4 * PAGE - n, 0);

		CHECK(r > 0);
		n += (size_t)r;
	}
	CHECK(pread(file, got, PAGES * PAGE, 0) == (ssize_t)(4 * PAGE));
	CHECK(!memcmp(got, q, 4 * PAGE));
	say("unmapped while in the pipe\n");

	/* Out of a pipe into untouched memory. */
	CHECK(write(fd[1], "out of a pipe", 13) == 13);
	got = map_anon(PAGE, PROT_READ | PROT_WRITE);
	v[0] = (struct iovec){ got, 13 };
	CHECK(vmsplice(fd[0], v, 1, 0) == 13 && !memcmp(got, "out of a pipe", 13));
	say("and back\n");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Arguments that a system call may write to, but need not, among a program's constants: Linux reads
 * them, and does without writing.
 */
#include "check.h"
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>

static const struct flock lock_all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
static const struct timespec second = { .tv_sec = 1 };
static const struct timeval moment = { .tv_usec = 1000 };
static const struct { uint32_t version; int pid; } no_version;
static const struct {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
} plain = { .size = 48 };

/* The same in a page that cannot be written and that nobody has touched. */
static void *untouched(const void *bytes, size_t size)
{
	int fd = pattern_file("constants", PAGE);
	void *p;

	CHECK(pwrite(fd, bytes, size, 0) == (ssize_t)size);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED && close(fd) == 0);
	return p;
}
#define CONST(what) untouched(&what, sizeof what)

int main(void)
{
	int fd = pattern_file("locked", PAGE), pipes[2];
	const int zero = 0;
	char *page;
	struct pollfd p;
	fd_set set;

	CHECK(fcntl(fd, F_SETLK, CONST(lock_all)) == 0);
	say("a lock\n");
	CHECK(pipe(pipes) == 0 && write(pipes[1], "", 1) == 1);
	p = (struct pollfd){ .fd = pipes[0], .events = POLLIN };
	CHECK(syscall(SYS_ppoll, &p, 1, CONST(second), NULL, 8) == 1);
	FD_ZERO(&set);
	FD_SET(pipes[0], &set);
	CHECK(syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, CONST(moment)) == 1);
	CHECK(syscall(SYS_pselect6, pipes[0] + 1, &set, NULL, NULL, CONST(second),
		      NULL) == 1);
	FD_SET(pipes[1], &set);
	CHECK(read(pipes[0], &(char){ 0 }, 1) == 1);
	FD_ZERO(&set);
	FD_SET(pipes[0], &set);
	CHECK(syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, CONST(moment)) == 0);
	say("times to wait\n");
	/* A wait reads the word, and no more. */
	CHECK(syscall(SYS_futex, CONST(zero), FUTEX_WAIT_PRIVATE, 1, NULL) == -1 &&
	      errno == EAGAIN);
	CHECK(syscall(SYS_futex, CONST(zero), FUTEX_WAIT_PRIVATE, 0,
		      &(struct timespec){ .tv_nsec = 1000000 }) == -1 && errno == ETIMEDOUT);
	say("a futex\n");
	CHECK(syscall(SYS_capget, CONST(no_version), NULL) == -1);
	CHECK(syscall(SYS_sched_setattr, 0, CONST(plain), 0) == 0);
	say("attributes\n");
	/* What it must write to is EFAULT. */
	page = untouched("x", 2);
	CHECK(syscall(SYS_read, open("/dev/zero", O_RDONLY), page, 10) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_pipe2, page, 0) == -1 && errno == EFAULT && page[0] == 'x');
	say("bad addresses\n");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * What the host's kernel has a hold of when pages are pressed out (MADV_PAGEOUT):
 *
 *	held requeue             a thread waits on a shared futex and is moved to another
 *	held waitv               it waits with futex_waitv
 *	held stay                how many of 256 pages stay
 *	held direct FILE CMD...  CMD with FILE opened with O_DIRECT as its standard input
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

#include "check.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#define SIZE (256 * PAGE)

struct waitv { /* struct futex_waitv of Linux 5.16 */
	uint64_t val, uaddr;
	uint32_t flags, reserved;
};

static int *first, *second;
static bool by_waitv;

static long futex(int *word, int op, int value, const void *more, int *other)
{
	return syscall(SYS_futex, word, op, value, more, other, 0);
}

static void *wait_there(void *unused)
{
	struct timespec seconds = { .tv_sec = 10 };
	struct waitv one = { .uaddr = (uintptr_t)first, .flags = 2 /* 32 bits */ };
	long r;

	if (by_waitv) {
		clock_gettime(CLOCK_MONOTONIC, &seconds);
		seconds.tv_sec += 10;
		r = syscall(SYS_futex_waitv, &one, 1, 0, &seconds, CLOCK_MONOTONIC);
	} else {
		r = futex(first, FUTEX_WAIT, 0, &seconds, NULL);
	}
	say("%s\n", r >= 0 ? "woken" : strerror(errno));
	return unused;
}

static int *words(void)
{
	int *p = (int *)map_anon(SIZE, PROT_READ | PROT_WRITE);

	memset(p, 0, SIZE);
	return p;
}

static void futexes(void)
{
	pthread_t thread;
	int *word = first = words();

	second = words();
	CHECK(!pthread_create(&thread, NULL, wait_there, NULL));
	usleep(200000); /* it waits by then, or the test shows less */
	if (!by_waitv) {
		(void)futex(first, FUTEX_REQUEUE, 0, (void *)1, second);
		word = second;
	}
	CHECK(!madvise(word, SIZE, MADV_PAGEOUT));
	memset(map_anon(SIZE, PROT_READ | PROT_WRITE), 1, SIZE); /* in the frames, if they went */
	word[2] = 1;
	(void)futex(word, FUTEX_WAKE, 1, NULL, NULL);
	CHECK(!pthread_join(thread, NULL));
}

static void stay(void)
{
	unsigned char resident[SIZE / PAGE], *p = (unsigned char *)words();
	unsigned nr = 0;

	CHECK(!madvise(p, SIZE, MADV_PAGEOUT) && !mincore(p, SIZE, resident));
	for (unsigned i = 0; i < SIZE / PAGE; i++)
		nr += resident[i] & 1;
	say("%s\n", nr == SIZE / PAGE ? "all stay" : nr ? "some stay" : "none stays");
}

int main(int argc, char **argv)
{
	CHECK(argc > 1);
	if (!strcmp(argv[1], "direct")) {
		int fd = open(argv[2], O_RDONLY | O_DIRECT);

		CHECK(fd >= 0 && dup2(fd, 0) == 0);
		execv(argv[3], argv + 3);
		CHECK(!"exec");
	} else if (!strcmp(argv[1], "stay")) {
		stay();
	} else {
		by_waitv = !strcmp(argv[1], "waitv");
		futexes();
	}
	return 0;
}

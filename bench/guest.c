/* SPDX-License-Identifier: MIT */
/*
 * What memory costs a program: run natively and under `ondol run`, the same binary.
 * Prints "name nanoseconds" lines, medians of many rounds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 15

extern char **environ;

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void say(const char *name, double *sample, int n)
{
	qsort(sample, (size_t)n, sizeof *sample, compare);
	printf("%s %.0f\n", name, sample[n / 2]);
	fflush(stdout);
}

static char *anonymous(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

/* First touch, in ascending order: nanoseconds a page. */
static void touch(void)
{
	enum { PAGES = 4096 };
	double sample[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		char *p = anonymous(PAGES * 4096ul);
		double t = now_ns();

		for (size_t i = 0; i < PAGES; i++)
			p[i * 4096] = 1;
		sample[r] = (now_ns() - t) / PAGES;
		munmap(p, PAGES * 4096ul);
	}
	say("touch_page", sample, ROUNDS);
}

static void map_pair(void)
{
	enum { PAIRS = 2000 };
	double sample[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		double t = now_ns();

		for (int i = 0; i < PAIRS; i++)
			munmap(mmap(NULL, 65536, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 65536);
		sample[r] = (now_ns() - t) / PAIRS;
	}
	say("mmap_munmap", sample, ROUNDS);
}

static void protect_pair(void)
{
	enum { PAIRS = 1000 };
	double sample[ROUNDS];
	char *p = anonymous(65536);

	memset(p, 1, 65536);
	for (int r = 0; r < ROUNDS; r++) {
		double t = now_ns();

		for (int i = 0; i < PAIRS; i++) {
			mprotect(p, 65536, PROT_READ);
			mprotect(p, 65536, PROT_READ | PROT_WRITE);
		}
		sample[r] = (now_ns() - t) / PAIRS;
	}
	say("mprotect_pair", sample, ROUNDS);
	munmap(p, 65536);
}

static void fork_exit(void)
{
	double sample[60];

	for (int i = 0; i < 60; i++) {
		double t = now_ns();
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
		sample[i] = now_ns() - t;
	}
	say("fork_exit_wait", sample, 60);
}

static void vfork_exec(void)
{
	double sample[60];
	char *argv[] = { "/bin/true", NULL };

	for (int i = 0; i < 60; i++) {
		double t = now_ns();
		pid_t pid = vfork();

		if (!pid) {
			execve(argv[0], argv, environ);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
		sample[i] = now_ns() - t;
	}
	say("vfork_exec_true", sample, 60);
}

/* Pages written by the child after a fork: nanoseconds a page copied. */
static void cow(void)
{
	enum { PAGES = 1024 };
	double sample[ROUNDS];
	char *p = anonymous(PAGES * 4096ul);
	double *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			      -1, 0);

	memset(p, 1, PAGES * 4096ul);
	for (int r = 0; r < ROUNDS; r++) {
		pid_t pid = fork();

		if (!pid) {
			double t = now_ns();
			for (size_t i = 0; i < PAGES; i++)
				p[i * 4096] = 2;
			*shared = (now_ns() - t) / PAGES;
			_exit(0);
		}
		waitpid(pid, NULL, 0);
		sample[r] = *shared;
	}
	say("cow_page", sample, ROUNDS);
	munmap(p, PAGES * 4096ul);
}

static void dontneed(void)
{
	enum { PAGES = 256 };
	double sample[ROUNDS];
	char *p = anonymous(PAGES * 4096ul);

	for (int r = 0; r < ROUNDS; r++) {
		double t = now_ns();

		for (int k = 0; k < 10; k++) {
			for (size_t i = 0; i < PAGES; i++)
				p[i * 4096] = 1;
			madvise(p, PAGES * 4096ul, MADV_DONTNEED);
		}
		sample[r] = (now_ns() - t) / (10 * PAGES);
	}
	say("dontneed_touch_page", sample, ROUNDS);
}

int main(void)
{
	touch();
	map_pair();
	protect_pair();
	dontneed();
	fork_exit();
	vfork_exec();
	cow();
	return 0;
}

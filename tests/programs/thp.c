/* SPDX-License-Identifier: MIT */
/*
 * For thp.sh: memory that may be in blocks of 2 MiB, looked at from inside.
 *
 *	thp MODE	what of it is huge, by smaps, where MODE is never, madvise or always
 *	thp split	calls on parts of ranges, fork and threads meanwhile; contents stay
 *	thp collapse	MADV_COLLAPSE
 *	thp wait	what was filled before it was wanted, in the course of time
 *	thp disable	PR_SET_THP_DISABLE, also in a child and after exec
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define HUGE (2ul << 20)
#define RANGES 8
#define AT ((unsigned char *)0x200000000000ul)

static volatile int stop;

static unsigned char *map(void)
{
	void *p = mmap(AT, RANGES * HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p == MAP_FAILED)
		exit(3);
	return p;
}

/* AnonHugePages of the regions in [AT, AT + RANGES ranges), in ranges. */
static unsigned long huge(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long start, end, kb, sum = 0;
	char line[256];
	int in = 0;

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			in = start >= (uintptr_t)AT && end <= (uintptr_t)AT + RANGES * HUGE;
		else if (in && sscanf(line, "AnonHugePages: %lu", &kb) == 1)
			sum += kb;
	}
	if (f)
		fclose(f);
	return sum / 2048;
}

static void fill(unsigned char *p)
{
	for (size_t i = 0; i < RANGES * HUGE / PAGE; i++)
		*(size_t *)(p + i * PAGE) = i + 1;
}

/* Pages [lo, hi) have their numbers. */
static void check(const unsigned char *p, size_t lo, size_t hi)
{
	for (size_t i = lo; i < hi; i++)
		if (*(const size_t *)(p + i * PAGE) != i + 1) {
			printf("page %zu: %zu\n", i, *(const size_t *)(p + i * PAGE));
			exit(4);
		}
}

static int modes(void)
{
	unsigned char *p = map();

	madvise(p, 2 * HUGE, MADV_HUGEPAGE);
	madvise(p + 6 * HUGE, 2 * HUGE, MADV_NOHUGEPAGE);
	fill(p);
	check(p, 0, RANGES * 512);
	printf("%lu huge\n", huge());
	return 0;
}

static void *write_on(void *at)
{
	volatile uint64_t *word = at;

	while (!stop)
		++*word;
	return NULL;
}

static int split(void)
{
	unsigned char *p = map(), *q;
	pthread_t thread[3];
	int status;

	madvise(p, RANGES * HUGE, MADV_HUGEPAGE);
	fill(p);
	printf("%lu huge\n", huge());
	for (int i = 0; i < 3; i++) /* each in a page of a range that is worked on */
		pthread_create(&thread[i], NULL, write_on, p + i * HUGE + 100 * PAGE + 64);
	munmap(p + 8 * PAGE, PAGE);
	mprotect(p + HUGE + 8 * PAGE, PAGE, PROT_READ);
	madvise(p + 2 * HUGE + 8 * PAGE, PAGE, MADV_DONTNEED);
	printf("%lu huge\n", huge());
	mprotect(p + HUGE + 8 * PAGE, PAGE, PROT_READ | PROT_WRITE);
	*(size_t *)(p + HUGE + 8 * PAGE) = 512 + 8 + 1;
	madvise(p + 3 * HUGE, HUGE, MADV_DONTNEED); /* as a whole: the next one is huge again */
	for (size_t i = 3 * 512; i < 4 * 512; i++)
		*(size_t *)(p + i * PAGE) = i + 1;
	q = mremap(p + 4 * HUGE, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 16 * HUGE);
	mremap(q, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 4 * HUGE);
	if (!fork()) {
		check(p, 9, 512);
		memset(p + 5 * HUGE, 7, HUGE);
		_exit(0);
	}
	wait(&status);
	for (int i = 0; i < 3; i++) {
		volatile uint64_t *word = (uint64_t *)(p + i * HUGE + 100 * PAGE + 64);
		uint64_t before = *word;

		for (int wait = 0; *word <= before; wait++) {
			if (wait == 500) {
				printf("thread %d stands still\n", i);
				break;
			}
			usleep(10000);
		}
	}
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	check(p, 0, 8);
	check(p, 9, 2 * 512 + 8);
	check(p, 2 * 512 + 9, RANGES * 512);
	printf("status %d, %d\n", status, *(int *)(p + 2 * HUGE + 8 * PAGE));
	return 0;
}

static int collapse(void)
{
	unsigned char *p = map();

	madvise(p, HUGE, MADV_NOHUGEPAGE);
	fill(p);
	printf("%lu huge\n", huge());
	errno = 0;
	madvise(p, HUGE, 25);
	printf("not wanted: %s\n", strerror(errno));
	if (madvise(p, RANGES * HUGE, MADV_HUGEPAGE) || madvise(p, RANGES * HUGE, 25))
		printf("refused: %s\n", strerror(errno));
	check(p, 0, RANGES * 512);
	printf("%lu huge\n", huge());
	return 0;
}

/* Filled while it was not wanted; then nobody asks, and time passes. */
static int wait_for_it(void)
{
	unsigned char *p = map();

	madvise(p, RANGES * HUGE, MADV_NOHUGEPAGE);
	fill(p);
	printf("%lu huge\n", huge());
	madvise(p, RANGES * HUGE, MADV_HUGEPAGE);
	for (int i = 0; i < 600 && huge() < RANGES; i++)
		usleep(50000);
	check(p, 0, RANGES * 512);
	printf("%lu huge\n", huge());
	return 0;
}

static int disable(char **argv)
{
	unsigned char *p = map();
	int status;

	if (argv[2]) {
		printf("after exec %d\n", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
		fflush(stdout);
		return 0;
	}
	printf("at first %d\n", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	printf("wrong %d\n", prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0));
	printf("set %d\n", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	printf("is %d\n", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	madvise(p, RANGES * HUGE, MADV_HUGEPAGE);
	fill(p);
	printf("%lu huge\n", huge());
	fflush(stdout);
	if (!fork()) {
		printf("in a child %d\n", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
		fflush(stdout);
		execl(argv[0], argv[0], "disable", "again", NULL);
		_exit(1);
	}
	wait(&status);
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	p = map();
	madvise(p, RANGES * HUGE, MADV_HUGEPAGE);
	fill(p);
	printf("%lu huge\n", huge());
	return status;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "split"))
		return split();
	if (!strcmp(what, "collapse"))
		return collapse();
	if (!strcmp(what, "wait"))
		return wait_for_it();
	if (!strcmp(what, "disable"))
		return disable(argv);
	return modes();
}

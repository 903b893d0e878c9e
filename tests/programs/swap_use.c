/* SPDX-License-Identifier: MIT */
/*
 * A program with more memory than there is, for swap.sh:
 *
 *   swap_use fill MIB          writes, sums, writes again; prints the sum
 *   swap_use threads MIB       threads that are joined after their stacks have long been quiet
 *   swap_use forks MIB         a child and its parent change halves of what they share
 *   swap_use told MIB          what /proc and sysinfo tell of swap agrees
 *   swap_use cut MIB FILE      the swap file loses its contents: SIGBUS, here alone
 *   swap_use shmem MIB           processes that share more memory than there is
 *   swap_use sleep MIB           has so much, and sleeps for two seconds
 *   swap_use shared MIB        a semaphore between processes, waited for under pressure
 */
#include <pthread.h>
#include <semaphore.h>
#include <sys/sysinfo.h>

#include "check.h"

#define BATCHES 4096 /* KiB that may go out between two looks: a megabyte at a time */

static void fail(const char *what)
{
	printf("swap_use: %s\n", what);
	fflush(stdout);
	_exit(1);
}

/* Pages whose contents are their own, and do not compress too well. */
static void page_write(uint64_t *page, uint64_t seed)
{
	for (unsigned i = 0; i < PAGE / 8; i++)
		page[i] = i % 4 ? seed : (seed + i) * 0x9e3779b97f4a7c15u;
}

static void page_check(const uint64_t *page, uint64_t seed)
{
	for (unsigned i = 0; i < PAGE / 8; i++)
		if (page[i] != (i % 4 ? seed : (seed + i) * 0x9e3779b97f4a7c15u))
			fail("a page has other contents");
}

static uint64_t *memory(size_t pages)
{
	void *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);

	if (at == MAP_FAILED)
		fail("mmap");
	return at;
}

static void write_all(uint64_t *at, size_t pages, uint64_t seed)
{
	for (size_t i = 0; i < pages; i++)
		page_write(at + i * (PAGE / 8), seed + i);
}

static void check_all(const uint64_t *at, size_t pages, uint64_t seed)
{
	for (size_t i = 0; i < pages; i++)
		page_check(at + i * (PAGE / 8), seed + i);
}

static void fill(size_t pages)
{
	uint64_t *at = memory(pages), sum = 0;

	for (uint64_t round = 1; round <= 3; round++) {
		write_all(at, pages, round << 40);
		check_all(at, pages, round << 40);
		sum += at[(pages - 1) * (PAGE / 8)];
	}
	printf("%llx\n", (unsigned long long)sum);
}

/* ------------------------------------------------------------------ threads */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *waits(void *arg)
{
	volatile char stack[64 << 10];

	memset((char *)stack, (int)(intptr_t)arg, sizeof stack);
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	for (size_t i = 0; i < sizeof stack; i++)
		if (stack[i] != (char)(intptr_t)arg)
			fail("a stack has other contents");
	return arg;
}

struct joiner {
	pthread_t thread[8];
	pthread_t self;
};

static void *joins(void *arg)
{
	struct joiner *j = arg;
	void *value;

	for (intptr_t i = 0; i < 8; i++)
		if (pthread_join(j->thread[i], &value) || (intptr_t)value != i)
			fail("pthread_join");
	return NULL;
}

/* The joiner waits for the kernel to clear a word of memory that has been quiet for long. */
static void threads(size_t pages)
{
	static struct joiner j;
	uint64_t *at = memory(pages);

	pthread_mutex_lock(&gate);
	for (intptr_t i = 0; i < 8; i++)
		if (pthread_create(&j.thread[i], NULL, waits, (void *)i))
			fail("pthread_create");
	if (pthread_create(&j.self, NULL, joins, &j))
		fail("pthread_create");
	for (uint64_t round = 1; round <= 2; round++) {
		write_all(at, pages, round << 40);
		check_all(at, pages, round << 40);
	}
	pthread_mutex_unlock(&gate);
	if (pthread_join(j.self, NULL))
		fail("pthread_join");
	puts("joined");
}

/* ------------------------------------------------------------------ forks */

static void forks(size_t pages)
{
	uint64_t *at = memory(pages);
	int status;

	write_all(at, pages, 1u << 20);
	for (int child = 0; child < 3; child++) {
		fflush(stdout);
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (!pid) {
			for (size_t i = (size_t)child; i < pages; i += 5)
				page_write(at + i * (PAGE / 8), i);
			for (size_t i = 0; i < pages; i++)
				page_check(at + i * (PAGE / 8),
					   i % 5 == (size_t)child ? i : (1u << 20) + i);
			_exit(7);
		}
		check_all(at, pages, 1u << 20);
		if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
			fail("a child");
	}
	check_all(at, pages, 1u << 20);
	puts("forked");
}

/* ------------------------------------------------------------------ what is told */

static void told(size_t pages)
{
	uint64_t *at = memory(pages);
	struct sysinfo info;
	char line[256];
	long long used = 0, u;
	FILE *f;

	write_all(at, pages, 5);
	long long total = sum_of("/proc/meminfo", "SwapTotal:");
	long long vm_swap = sum_of("/proc/self/status", "VmSwap:");
	long long smaps = sum_of("/proc/self/smaps", "Swap:");

	if (vm_swap < 1024 || llabs(vm_swap - smaps) > BATCHES)
		fail("VmSwap and Swap");
	if (sum_of("/proc/vmstat", "pswpout ") * 4 < vm_swap)
		fail("pswpout");
	if (sysinfo(&info) || (long long)(info.totalswap / 1024) != total ||
	    (long long)(info.totalswap - info.freeswap) / 1024 < vm_swap - BATCHES)
		fail("sysinfo");
	f = fopen("/proc/swaps", "r");
	if (!f || !fgets(line, sizeof line, f) || strncmp(line, "Filename\t", 9))
		fail("/proc/swaps");
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "%*s %*s %*s %lld", &u) == 1)
			used += u;
	fclose(f);
	if (llabs(used - (total - sum_of("/proc/meminfo", "SwapFree:"))) > BATCHES)
		fail("swaps and SwapFree");
	check_all(at, pages, 5);
	if (sum_of("/proc/vmstat", "pswpin ") < 100)
		fail("pswpin");
	puts("told");
}

/* ------------------------------------------------------------------ errors */

static void on_bus(int sig)
{
	(void)sig;
	(void)!write(1, "SIGBUS\n", 7);
	_exit(0);
}

static void cut(size_t pages, const char *file)
{
	uint64_t *at;

	signal(SIGBUS, on_bus);
	if (mlockall(MCL_CURRENT)) /* what the handler needs must not be lost as well */
		fail("mlockall");
	at = memory(pages);
	write_all(at, pages, 5);
	if (truncate(file, 4096))
		fail("truncate");
	check_all(at, pages, 5);
	fail("everything was there still");
}

/* ------------------------------------------------------------------ processes */

static void shared(size_t pages)
{
	sem_t *sem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t *at = memory(pages);
	int status;

	if (sem == MAP_FAILED || sem_init(sem, 1, 0))
		fail("sem_init");
	pid_t pid = fork();

	if (!pid) {
		if (sem_wait(sem))
			fail("sem_wait");
		_exit(9);
	}
	write_all(at, pages, 1);
	check_all(at, pages, 1);
	sem_post(sem);
	if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 9)
		fail("the child");
	puts("shared");
}

static void shmem(size_t pages)
{
	uint64_t *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);
	int status;

	if (at == MAP_FAILED)
		fail("mmap");
	write_all(at, pages, 1 << 20);
	for (uint64_t round = 1; round < 4; round++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (!pid) {
			check_all(at, pages, round << 20);
			write_all(at, pages, (round + 1) << 20);
			_exit(5);
		}
		if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 5)
			fail("a child");
		check_all(at, pages, (round + 1) << 20);
	}
	puts("shmem");
}

static void sleeps(size_t pages)
{
	uint64_t *at = memory(pages);

	write_all(at, pages, 1);
	sleep(2);
	check_all(at, pages, 1);
}

int main(int argc, char **argv)
{
	size_t pages = argc > 2 ? strtoul(argv[2], NULL, 10) << 8 : 0;

	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "fill"))
		fill(pages);
	else if (!strcmp(argv[1], "threads"))
		threads(pages);
	else if (!strcmp(argv[1], "forks"))
		forks(pages);
	else if (!strcmp(argv[1], "told"))
		told(pages);
	else if (!strcmp(argv[1], "cut") && argc > 3)
		cut(pages, argv[3]);
	else if (!strcmp(argv[1], "shmem"))
		shmem(pages);
	else if (!strcmp(argv[1], "sleep"))
		sleeps(pages);
	else if (!strcmp(argv[1], "shared"))
		shared(pages);
	else
		return 2;
	return 0;
}

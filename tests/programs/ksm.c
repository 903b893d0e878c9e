/* SPDX-License-Identifier: MIT */
/*
 * For ksm.sh and a case: memory with much that is equal, in regions with MADV_MERGEABLE.  Where the
 * machine merges (/sys/kernel/mm/ksm/run is 1) each waits until it has; what is printed is the
 * same without.
 *
 *	ksm pair MIB [tell]     two processes fill as much each; both compare all, then write some;
 *	                        tell: the numbers on stderr
 *	ksm threads SECONDS     four threads and the kernel write, fork, unmap and advise meanwhile
 *	ksm readers MIB         a region that may only be read stays merged, whoever reads it
 *	ksm views               what is told in /sys/kernel/mm/ksm, and to whom it belongs
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define KINDS 16 /* of pages */

static unsigned long number_of(const char *name)
{
	char path[128];
	unsigned long n = 0;
	FILE *f;

	snprintf(path, sizeof path, "/sys/kernel/mm/ksm/%s", name);
	f = fopen(path, "r");
	if (f && fscanf(f, "%lu", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

static unsigned long used_kib(void)
{
	unsigned long total = 0, free = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof line, f)) {
		sscanf(line, "MemTotal: %lu", &total);
		sscanf(line, "MemFree: %lu", &free);
	}
	if (f)
		fclose(f);
	return total - free;
}

static void nap(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* Until so many pages are shared, if they ever will be. */
static void wait_for(unsigned long sharing)
{
	if (number_of("run") != 1)
		return;
	for (int i = 0; i < 600 && number_of("pages_sharing") < sharing; i++)
		nap(50);
	if (number_of("pages_sharing") < sharing) {
		printf("only %lu shared\n", number_of("pages_sharing"));
		exit(4);
	}
}

static void *region(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || madvise(p, bytes, MADV_MERGEABLE)) {
		perror("region");
		exit(3);
	}
	return p;
}

/* Page i as it is to be: every word of it. */
static void fill_page(uint64_t *page, uint64_t kind)
{
	for (size_t i = 0; i < PAGE / 8; i++)
		page[i] = kind * 0x100000001b3 + i;
}

static int is_page(const uint64_t *page, uint64_t kind)
{
	for (size_t i = 0; i < PAGE / 8; i++)
		if (page[i] != kind * 0x100000001b3 + i)
			return 0;
	return 1;
}

/* ------------------------------------------------------------------ pair */

static void fill_all(unsigned char *memory, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		fill_page((uint64_t *)(memory + i * PAGE), i % KINDS);
}

/* All of it, of which every fourth has become `who`'s own. */
static int check_all(const unsigned char *memory, size_t pages, uint64_t who)
{
	for (size_t i = 0; i < pages; i++)
		if (!is_page((const uint64_t *)(memory + i * PAGE),
			     who && i % 4 == 0 ? who + i : i % KINDS))
			return 0;
	return 1;
}

static int check_and_write(unsigned char *memory, size_t pages, uint64_t who)
{
	if (!check_all(memory, pages, 0))
		return 5;
	for (size_t i = 0; i < pages; i += 4)
		fill_page((uint64_t *)(memory + i * PAGE), who + i);
	return check_all(memory, pages, who) ? 0 : 6;
}

static int pair(size_t mib, int tell)
{
	size_t pages = mib << 8;
	unsigned long before, merged, after;
	int go[2], ready[2], status;
	unsigned char *memory;
	char byte = 0;
	pid_t child;

	if (pipe(go) || pipe(ready))
		return 3;
	child = fork();
	memory = region(pages * PAGE);
	fill_all(memory, pages);
	if (!child) {
		if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1)
			_exit(3);
		_exit(check_and_write(memory, pages, 1000000));
	}
	if (read(ready[0], &byte, 1) != 1)
		return 3;
	before = used_kib();
	wait_for(2 * pages - KINDS);
	merged = used_kib();
	status = check_and_write(memory, pages, 2000000);
	if (write(go[1], &byte, 1) != 1 || status)
		return status ? status : 3;
	waitpid(child, &status, 0);
	after = used_kib();
	printf("child %d, %s\n", WEXITSTATUS(status),
	       check_all(memory, pages, 2000000) ? "all as written" : "wrong");
	if (tell)
		fprintf(stderr, "used %lu KiB, merged %lu, separated %lu\n", before, merged,
			after);
	return 0;
}

/* ------------------------------------------------------------------ threads */

#define THREADS 4
#define OWN 256 /* pages of each */

static unsigned char *shared_memory;
static volatile int stop, bad;

static uint64_t random_of(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* As read(2) writes it: by the kernel. */
static void fill_by_kernel(int *pipes, unsigned char *page, uint64_t kind)
{
	uint64_t image[PAGE / 8];

	fill_page(image, kind);
	if (write(pipes[1], image, PAGE) != (ssize_t)PAGE ||
	    read(pipes[0], page, PAGE) != (ssize_t)PAGE)
		bad = 1;
}

/* The child sees what is there, and changes its own. */
static void fork_and_look(unsigned char *own, const uint64_t *kind)
{
	int status = 0;
	pid_t child = fork();

	if (!child) {
		for (unsigned i = 0; i < OWN; i++)
			if (!is_page((uint64_t *)(own + i * PAGE), kind[i]))
				_exit(1);
		for (unsigned i = 0; i < OWN; i += 3)
			fill_page((uint64_t *)(own + i * PAGE), 99);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		bad = 2;
}

static void *work(void *arg)
{
	unsigned long who = (unsigned long)arg;
	unsigned char *own = shared_memory + who * OWN * PAGE;
	uint64_t kind[OWN], state = who + 4711;
	int pipes[2];

	if (pipe(pipes))
		exit(3);
	for (unsigned i = 0; i < OWN; i++)
		fill_page((uint64_t *)(own + i * PAGE), kind[i] = i % 3);
	for (unsigned long n = 1; !stop && !bad; n++) {
		unsigned i = random_of(&state) % OWN;
		unsigned char *page = own + i * PAGE;

		if (!is_page((uint64_t *)page, kind[i]))
			bad = 3;
		switch (random_of(&state) % 8) {
		case 0:
			fill_by_kernel(pipes, page, kind[i] = random_of(&state) % 3);
			break;
		case 1:
			madvise(page, PAGE, random_of(&state) % 2 ? MADV_UNMERGEABLE :
								    MADV_MERGEABLE);
			break;
		case 2:
			if (write(pipes[1], page, PAGE) != (ssize_t)PAGE ||
			    read(pipes[0], page, PAGE) != (ssize_t)PAGE)
				bad = 4;
			break;
		default:
			fill_page((uint64_t *)page, kind[i] = random_of(&state) % 3);
		}
		if (n % 2000 == 0 && who == 0)
			fork_and_look(own, kind);
		if (n % 500 == 0)
			nap(50); /* what is not used is merged */
	}
	for (unsigned i = 0; i < OWN; i++)
		if (!is_page((uint64_t *)(own + i * PAGE), kind[i]))
			bad = 5;
	return NULL;
}

static int threads(int seconds)
{
	pthread_t thread[THREADS];
	unsigned long sharing = 0;

	shared_memory = region(THREADS * OWN * PAGE);
	for (unsigned long i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, work, (void *)i))
			return 3;
	for (int i = 0; i < seconds * 10; i++) {
		unsigned long now = number_of("pages_sharing");

		sharing = now > sharing ? now : sharing;
		nap(100);
	}
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	if (number_of("run") == 1 && !sharing)
		return 4;
	printf("%s\n", bad ? "wrong" : "right");
	if (bad)
		fprintf(stderr, "wrong: %d\n", bad);
	return 0;
}

/* ------------------------------------------------------------------ readers */

static int readers(size_t mib)
{
	size_t pages = mib << 8;
	unsigned char *memory = region(pages * PAGE);

	fill_all(memory, pages);
	wait_for(pages - KINDS);
	if (mprotect(memory, pages * PAGE, PROT_READ) || !check_all(memory, pages, 0))
		return 5;
	wait_for(pages - KINDS); /* at once: it never was anything else */
	if (mprotect(memory, pages * PAGE, PROT_READ | PROT_WRITE) ||
	    madvise(memory, pages * PAGE, MADV_UNMERGEABLE) ||
	    (number_of("run") == 1 && number_of("pages_sharing")))
		return 6;
	printf("%s\n", check_all(memory, pages, 0) ? "right" : "wrong");
	return 0;
}

static int views(void)
{
	static const char *const names[] = { "run", "pages_to_scan", "sleep_millisecs",
					     "pages_shared", "pages_sharing" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		printf("%s %lu\n", names[i], number_of(names[i]));
	if (chdir("/sys/kernel/mm/ksm"))
		return 3;
	printf("opened %s\n", open("./run", O_WRONLY) < 0 ? strerror(errno) : "for writing");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "pair"))
		return pair((size_t)atol(argv[2]), argc > 3);
	if (argc == 3 && !strcmp(argv[1], "threads"))
		return threads(atoi(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "readers"))
		return readers((size_t)atol(argv[2]));
	if (argc == 2 && !strcmp(argv[1], "views"))
		return views();
	return 2;
}

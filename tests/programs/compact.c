/* SPDX-License-Identifier: MIT */
/*
 * For compact.sh: memory that is touched page by page and given back at random leaves few large
 * blocks; what /proc/sys/vm/compact_memory does about it, and that nothing else is seen of it.
 *
 *	compact moves MIB   more blocks of 2 MiB after it, contents kept, a thread writing meanwhile
 *	compact stays MIB   whether any page has moved, as who sees frames' numbers can tell
 *	compact refused     as an ordinary user
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
#include <unistd.h>

#define PAGE 4096ul
#define HUGE 9

static unsigned char *memory;
static unsigned char *kept;
static size_t nr_pages;
static volatile int stop;
static volatile uint64_t *counter;

static unsigned long huge_blocks(void)
{
	unsigned long sum = 0, n;
	char line[512];
	FILE *f = fopen("/proc/buddyinfo", "r");

	while (f && fgets(line, sizeof line, f)) {
		char *at = strstr(line, "zone");
		int used = 0;

		sscanf(at, "zone %*s%n", &used);
		at += used;
		for (int order = 0; sscanf(at, "%lu%n", &n, &used) == 1; order++, at += used)
			if (order >= HUGE)
				sum += n << (order - HUGE);
	}
	if (f)
		fclose(f);
	return sum;
}

static unsigned long vmstat(const char *name)
{
	unsigned long n = 0, value;
	char word[64];
	FILE *f = fopen("/proc/vmstat", "r");

	while (f && fscanf(f, "%63s %lu", word, &value) == 2)
		if (!strcmp(word, name))
			n = value;
	if (f)
		fclose(f);
	return n;
}

static void *count(void *unused)
{
	(void)unused;
	while (!stop)
		++*counter;
	return NULL;
}

static int compact(void)
{
	int fd = open("/proc/sys/vm/compact_memory", O_WRONLY);

	if (fd < 0)
		return -errno;
	if (write(fd, "1", 1) != 1)
		return -EIO;
	return close(fd);
}

static void fragment(size_t mib)
{
	nr_pages = mib << 8;
	memory = mmap(NULL, nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	kept = calloc(nr_pages, 1);
	if (memory == MAP_FAILED || !kept)
		exit(3);
	for (size_t i = 0; i < nr_pages; i++)
		*(size_t *)(memory + i * PAGE) = i + 1;
	srand(4711);
	for (size_t i = 0; i < nr_pages; i++) {
		kept[i] = rand() % 4 == 0;
		if (!kept[i])
			madvise(memory + i * PAGE, PAGE, MADV_DONTNEED);
	}
}

static int is_kept(void)
{
	for (size_t i = 0; i < nr_pages; i++)
		if (*(size_t *)(memory + i * PAGE) != (kept[i] ? i + 1 : 0))
			return 0;
	return 1;
}

static int moves(size_t mib)
{
	unsigned long before, after;
	pthread_t thread;
	uint64_t seen;
	pid_t child;
	int status, error;

	fragment(mib);
	counter = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pthread_create(&thread, NULL, count, NULL))
		return 3;
	child = fork(); /* what is shared with it moves for both */
	if (!child) {
		pause();
		_exit(0);
	}
	before = huge_blocks();
	error = compact();
	after = huge_blocks();
	seen = *counter;
	stop = 1;
	pthread_join(thread, NULL);
	kill(child, 9);
	waitpid(child, &status, 0);
	if (error)
		return 4;
	if (*counter < seen || !is_kept())
		return 5;
	if (!vmstat("compact_isolated") || !vmstat("pgmigrate_success"))
		return 6;
	printf("%s\n", after >= before + mib / 4 ? "moved" : "too few");
	fprintf(stderr, "blocks %lu, then %lu\n", before, after);
	return 0;
}

/* The entries of pagemap, with frame numbers. */
static uint64_t *frames(void)
{
	uint64_t *entry = calloc(nr_pages, sizeof *entry);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t bytes = nr_pages * sizeof *entry;

	if (!entry || fd < 0 ||
	    pread(fd, entry, bytes, (off_t)((uintptr_t)memory / PAGE * 8)) != (ssize_t)bytes)
		exit(7);
	close(fd);
	return entry;
}

static int stays(size_t mib)
{
	uint64_t *before, *after;
	size_t moved = 0;

	fragment(mib);
	before = frames();
	if (compact() || !is_kept())
		return 4;
	after = frames();
	for (size_t i = 0; i < nr_pages; i++)
		moved += kept[i] && before[i] != after[i];
	printf("%s\n", moved ? "some moved" : "all stayed");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "moves"))
		return moves((size_t)atol(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "stays"))
		return stays((size_t)atol(argv[2]));
	if (argc == 2 && !strcmp(argv[1], "refused")) {
		if (!getuid() && setuid(65534))
			return 3;
		printf("%s\n", strerror(-compact()));
		return 0;
	}
	return 2;
}

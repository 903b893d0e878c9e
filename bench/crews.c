/* SPDX-License-Identifier: MIT */
/*
 * For bench/parallel.sh: threads of one process, or processes of one thread each, that touch
 * memory of their own at once, page by page.
 *
 *	crews threads|processes HOW_MANY MIB_EACH
 *	crews wake CPU CPU
 *
 * Says how long it took from the first touch to the last (ms), and how long a touch that faulted
 * took, the median and the ninth tenth of all (us).  `wake`: how long it takes (us) until a process
 * on the one processor runs that waits for one on the other to write into a pipe.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define CREW_MAX 16
#define FAULT_NS 500 /* less was none */
#define WAKES 3000

struct member {
	size_t bytes, nr;
	uint64_t start, end;
	uint32_t *took; /* ns, of each touch that faulted */
};

struct crew {
	pthread_barrier_t ready;
	struct member member[CREW_MAX];
};

static struct crew *crew;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *fresh(size_t bytes, int kind)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

static void *touch(void *arg)
{
	struct member *m = arg;
	char *p = fresh(m->bytes, MAP_PRIVATE);

	madvise(p, m->bytes, MADV_NOHUGEPAGE);
	pthread_barrier_wait(&crew->ready);
	uint64_t before = m->start = now();

	for (size_t i = 0; i < m->bytes; i += PAGE) {
		p[i] = 1;
		uint64_t after = now();

		if (after - before >= FAULT_NS)
			m->took[m->nr++] = (uint32_t)(after - before);
		before = after;
	}
	m->end = before;
	return NULL;
}

static void go(int nr, int processes)
{
	pthread_t thread[CREW_MAX];

	for (int i = 0; i < nr; i++) {
		if (!processes) {
			pthread_create(&thread[i], NULL, touch, &crew->member[i]);
		} else if (!fork()) {
			touch(&crew->member[i]);
			_exit(0);
		}
	}
	for (int i = 0; i < nr; i++)
		if (processes)
			wait(NULL);
		else
			pthread_join(thread[i], NULL);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void stay(const char *cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(atoi(cpu), &set);
	sched_setaffinity(0, sizeof set, &set);
}

static int wake(char *const *cpu)
{
	int there[2], back[2];
	char byte = 0;

	if (pipe(there) || pipe(back))
		return 1;
	if (!fork()) {
		stay(cpu[1]);
		close(there[1]);
		while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
			;
		_exit(0);
	}
	stay(cpu[0]);
	uint64_t start = now();

	for (int i = 0; i < WAKES; i++)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			return 1;
	printf("%.1f\n", (double)(now() - start) / (2e3 * WAKES));
	return 0;
}

int main(int argc, char **argv)
{
	int processes = argc > 1 && !strcmp(argv[1], "processes");
	int nr = argc > 2 ? atoi(argv[2]) : 2;
	size_t bytes = (argc > 3 ? strtoul(argv[3], NULL, 0) : 256) << 20, room = bytes / PAGE;
	uint64_t start = UINT64_MAX, end = 0;
	pthread_barrierattr_t shared;
	size_t n = 0;

	if (argc == 4 && !strcmp(argv[1], "wake"))
		return wake(argv + 2);
	if (nr < 1 || nr > CREW_MAX)
		return 2;
	crew = fresh(sizeof *crew, MAP_SHARED);
	pthread_barrierattr_init(&shared);
	pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&crew->ready, &shared, (unsigned)nr);
	uint32_t *took = fresh((size_t)nr * room * sizeof *took, MAP_SHARED);

	memset(took, 1, (size_t)nr * room * sizeof *took); /* its faults are not the question */
	for (int i = 0; i < nr; i++)
		crew->member[i] = (struct member){ .bytes = bytes,
						   .took = took + (size_t)i * room };
	go(nr, processes);
	for (int i = 0; i < nr; i++) {
		const struct member *m = &crew->member[i];

		start = m->start < start ? m->start : start;
		end = m->end > end ? m->end : end;
		memmove(took + n, m->took, m->nr * sizeof *took);
		n += m->nr;
	}
	qsort(took, n, sizeof *took, by_value);
	printf("%.1f %.1f %.1f\n", (double)(end - start) / 1e6, n ? took[n / 2] / 1e3 : 0,
	       n ? took[n * 9 / 10] / 1e3 : 0);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Page frames alone: the workloads that allocators of frames are compared by.  One allocator is
 * compiled in (-DADAPTER): Ondol's core, or the bound.  CPU time of the thread, medians of
 * ROUNDS; frames are never touched, so all that is timed is the allocator and its metadata.
 *
 *	bulk     2^20 frames' worth: allocate all; free in order; allocate; free in random order
 *	repeat   allocate one, free it
 *	rand     90 % full: free one at random, allocate one
 *	xfer     one CPU allocates, the other frees
 *	frag     fill to N %, 100 rounds of freeing and allocating a random tenth
 *	frag2    fill to 98 %, free at random down to N %, then the same 100 rounds
 *
 *	phys WORKLOAD ORDER-or-PERCENT THREADS [MIB]
 *
 * LATE=1: page records are written as frames are used.  CPUS=2: a machine of two CPUs even for
 * one thread.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5
#define RESULTS 4
#define HUGE 9

static void fail(const char *what)
{
	fprintf(stderr, "bench/phys: %s\n", what);
	exit(1);
}

static uint64_t nr_frames; /* that can be had; set by ad_init */
#include ADAPTER

static uint64_t rnd(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t below(uint64_t *state, uint64_t n)
{
	return ((rnd(state) >> 32) * n) >> 32;
}

static double ns_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static double now(void)
{
	return ns_of(CLOCK_THREAD_CPUTIME_ID);
}

static uintptr_t get(uint32_t cpu, unsigned order)
{
	uintptr_t frame = ad_alloc(cpu, order);

	if (__builtin_expect(!frame, 0))
		fail("out of memory");
	return frame;
}

static void shuffle(uintptr_t *v, uint64_t n, uint64_t *state)
{
	for (uint64_t i = n - 1; i > 0; i--) {
		uint64_t k = below(state, i + 1);
		uintptr_t keep = v[i];

		v[i] = v[k];
		v[k] = keep;
	}
}

/* ------------------------------------------------------------------ time */

struct job {
	uint32_t cpu;
	double ns[RESULTS];
};

static uint32_t nr_threads, order;
static uintptr_t *held; /* all threads' frames */
static pthread_barrier_t barrier;

static void sync_threads(void)
{
	pthread_barrier_wait(&barrier);
}

static void bulk(struct job *job)
{
	uint64_t n = nr_frames * 9 / 10 < 1u << 20 ? nr_frames * 9 / 10 : 1u << 20;
	uint64_t state = 88172645463325252ull + job->cpu;
	unsigned times = order ? 1u << (order - 1) : 1;
	uintptr_t *mine;

	n = (n >> order) / nr_threads;
	mine = held + n * job->cpu;
	for (unsigned i = 0; i < 2 * times; i++) {
		double *ns = &job->ns[i < times ? 0 : 2], start;

		sync_threads();
		start = now();
		for (uint64_t k = 0; k < n; k++)
			mine[k] = get(job->cpu, order);
		ns[0] += (now() - start) / (double)(n * times);
		if (i >= times)
			shuffle(mine, n, &state);
		sync_threads();
		start = now();
		for (uint64_t k = 0; k < n; k++)
			ad_free(job->cpu, mine[k], order);
		ns[1] += (now() - start) / (double)(n * times);
		sync_threads();
	}
}

static void repeat(struct job *job)
{
	const uint32_t n = 2000000;
	double start = 0;

	for (uint32_t i = 0; i < n + n / 10; i++) {
		uintptr_t frame;

		if (i == n / 10) {
			sync_threads();
			start = now();
		}
		frame = get(job->cpu, order);
		__asm__ volatile("" : "+r"(frame));
		ad_free(job->cpu, frame, order);
	}
	job->ns[0] = (now() - start) / n;
}

static void random_steady(struct job *job)
{
	uint64_t n = (nr_frames * 9 / 10 >> order) / nr_threads, state = 1234567 + job->cpu;
	uint32_t rounds = order == 0 ? 2000000 : order < HUGE ? 1000000 : 200000;
	uintptr_t *mine = held + n * job->cpu;
	double start;

	for (uint64_t i = 0; i < n; i++)
		mine[i] = get(job->cpu, order);
	sync_threads();
	if (!job->cpu)
		shuffle(held, n * nr_threads, &state);
	sync_threads();
	for (unsigned pass = 0; pass < 2; pass++) {
		sync_threads();
		start = now();
		for (uint32_t i = 0; i < rounds; i++) {
			uint64_t k = below(&state, n);

			ad_free(job->cpu, mine[k], order);
			mine[k] = get(job->cpu, order);
		}
		job->ns[0] = (now() - start) / rounds;
	}
	sync_threads();
	for (uint64_t i = 0; i < n; i++)
		ad_free(job->cpu, mine[i], order);
}

/* ------------------------------------------------------------------ from CPU to CPU */

#define RING 4096u
static uint32_t ring_head __attribute__((aligned(64))), ring_tail __attribute__((aligned(64)));
static uintptr_t ring[RING] __attribute__((aligned(64)));

static void produce(uint32_t n)
{
	for (uint32_t head = 0; head < n;) {
		uint32_t end = __atomic_load_n(&ring_tail, __ATOMIC_ACQUIRE) + RING;

		for (; head != end && head < n; head++) {
			ring[head % RING] = get(0, order);
			if (head % 64 == 63)
				__atomic_store_n(&ring_head, head + 1, __ATOMIC_RELEASE);
		}
		__atomic_store_n(&ring_head, head, __ATOMIC_RELEASE);
	}
}

static void consume(uint32_t n)
{
	for (uint32_t tail = 0; tail < n;) {
		uint32_t head = __atomic_load_n(&ring_head, __ATOMIC_ACQUIRE);

		for (; tail != head; tail++)
			ad_free(1, ring[tail % RING], order);
		__atomic_store_n(&ring_tail, tail, __ATOMIC_RELEASE);
	}
}

/* Wall time: each waits for the other. */
static void xfer(struct job *job)
{
	const uint32_t n = 2000000;
	double start;

	if (!job->cpu)
		ring_head = ring_tail = 0;
	sync_threads();
	start = ns_of(CLOCK_MONOTONIC);
	if (job->cpu)
		consume(n);
	else
		produce(n);
	sync_threads();
	job->ns[0] = (ns_of(CLOCK_MONOTONIC) - start) / n;
}

static const struct workload {
	const char *name, *results[RESULTS];
	void (*run)(struct job *);
} workloads[] = {
	{ "bulk", { "alloc", "free in order", "alloc again", "free at random" }, bulk },
	{ "repeat", { "pair" }, repeat },
	{ "rand", { "free and alloc" }, random_steady },
	{ "xfer", { "a page" }, xfer },
};
static const struct workload *workload;

static void *thread_main(void *arg)
{
	struct job *job = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(job->cpu, &set);
	(void)sched_setaffinity(0, sizeof set, &set);
#ifdef ONDOL_H
	this_cpu = job->cpu;
#endif
	workload->run(job);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void run_timed(void)
{
	double ns[RESULTS][ROUNDS] = { { 0 } };

	pthread_barrier_init(&barrier, NULL, nr_threads);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct job job[2] = { { .cpu = 0 }, { .cpu = 1 } };
		pthread_t thread[2];

		for (uint32_t i = 0; i < nr_threads; i++)
			pthread_create(&thread[i], NULL, thread_main, &job[i]);
		for (uint32_t i = 0; i < nr_threads; i++)
			pthread_join(thread[i], NULL);
		for (unsigned k = 0; k < RESULTS; k++)
			for (uint32_t i = 0; i < nr_threads; i++)
				ns[k][round] += job[i].ns[k] / nr_threads;
	}
	printf("%-6s order %u, %u thread%s:", workload->name, order, nr_threads,
	       nr_threads > 1 ? "s" : "");
	for (unsigned k = 0; k < RESULTS && workload->results[k]; k++) {
		qsort(ns[k], ROUNDS, sizeof(double), compare);
		printf("  %s %.1f", workload->results[k], ns[k][ROUNDS / 2]);
	}
	printf("\n");
}

/* ------------------------------------------------------------------ whole huge pages */

static uint64_t count_huge(void)
{
	static uintptr_t huge[1 << 16];
	uint64_t n = 0, had;

	while (n < 1 << 16 && (huge[n] = ad_alloc(0, HUGE)))
		n++;
	for (had = n; n; n--)
		ad_free(0, huge[n - 1], HUGE);
	return had;
}

/* One round: a random tenth of the n frames is freed, then allocated again. */
static void churn(uint64_t n, uint64_t *state)
{
	for (uint64_t i = 0; i < n / 10; i++) {
		uint64_t k = i + below(state, n - i);
		uintptr_t keep = held[i];

		held[i] = held[k];
		held[k] = keep;
	}
	for (uint64_t i = 0; i < n / 10; i++)
		ad_free(0, held[i], 0);
	for (uint64_t i = 0; i < n / 10; i++)
		held[i] = get(0, 0);
}

/*
 * Of the blocks, how many lost all of the frames they had at the start?  Nobody who does not
 * move frames can have more whole ones: the bound of frag2, from chance alone.
 */
static uint64_t frag2_bound(uint64_t n, unsigned rounds)
{
	static uint8_t full[1 << 16];
	uint64_t state = 4711, blocks = nr_frames / 512, whole = 0;
	double stays = 1;

	for (unsigned i = 0; i < rounds; i++)
		stays *= 0.9;
	memset(full, 0, sizeof full);
	for (uint64_t i = 0; i < n; i++)
		if ((double)(rnd(&state) >> 11) / (double)(1ull << 53) < stays)
			full[below(&state, blocks)] = 1;
	for (uint64_t i = 0; i < blocks; i++)
		whole += !full[i];
	return whole < (nr_frames - n) / 512 ? whole : (nr_frames - n) / 512;
}

static void run_frag(bool second, uint32_t percent)
{
	uint64_t n = nr_frames * percent / 100, full = second ? nr_frames * 98 / 100 : n;
	uint64_t state = 88172645463325252ull;
	double ns = 0;

	for (uint64_t i = 0; i < full; i++)
		held[i] = get(0, 0);
	if (second)
		shuffle(held, full, &state);
	for (uint64_t i = n; i < full; i++)
		ad_free(0, held[i], 0);
	printf("%-6s %u %% full, ideal %llu: at first %llu", second ? "frag2" : "frag", percent,
	       (unsigned long long)((nr_frames - n) / 512), (unsigned long long)count_huge());
	for (unsigned round = 1; round <= 100; round++) {
		double start = now();

		churn(n, &state);
		ns += now() - start;
		if (round == 10 || round == 30 || round == 60 || round == 100) {
			printf(", after %u rounds %llu", round, (unsigned long long)count_huge());
			if (second)
				printf(" (bound %llu)",
				       (unsigned long long)frag2_bound(n, round));
		}
	}
	printf("; %.1f ns a pair\n", ns / (double)(100 * (n / 10)));
}

int main(int argc, char **argv)
{
	uint64_t mib = argc > 4 ? strtoull(argv[4], NULL, 0) : 8192;
	double start;

	if (argc < 4)
		fail("WORKLOAD ORDER-or-PERCENT THREADS [MIB]");
	order = (uint32_t)atoi(argv[2]);
	nr_threads = (uint32_t)atoi(argv[3]);
	if (nr_threads < 1 || nr_threads > 2)
		fail("one thread or two");
#ifdef ONDOL_H
	late = getenv("LATE") != NULL;
#endif
	start = now();
	ad_init(mib << 20, getenv("CPUS") ? 2 : nr_threads);
	start = now() - start;
	held = mmap(NULL, nr_frames * sizeof *held, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (held == MAP_FAILED)
		fail("no memory for the list of frames");
	if (mib <= 16384)
		memset(held, 0, nr_frames * sizeof *held);
	if (!strcmp(argv[1], "init")) {
		printf("init   %llu MiB: %.3f ms, %.3f ms a GiB; ", (unsigned long long)mib,
		       start / 1e6, start / 1e6 / ((double)mib / 1024));
		ad_meta();
		return 0;
	}
	printf("%-6s ", ad_name());
	for (unsigned i = 0; i < sizeof workloads / sizeof *workloads; i++)
		if (!strcmp(argv[1], workloads[i].name)) {
			workload = &workloads[i];
			run_timed();
			return 0;
		}
	if (strncmp(argv[1], "frag", 4))
		fail("no such workload");
	run_frag(argv[1][4] == '2', order);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A malloc under six workloads, and what it holds of the host's memory: for `make bench-malloc`,
 * which preloads one malloc after the other.
 *
 *	malloc WORKLOAD BYTES THREADS
 *
 *	pair     malloc, store, free: ns a pair
 *	batch    1000 mallocs with a store, then as many frees, first in first out: ns each
 *	random   100,000 live in each thread; a random one is freed and allocated anew: ns a pair
 *	larson   5000 live blocks of 8 to 1000 bytes, at random; threads exchange them: ns a pair
 *	xfer     one thread allocates, the other frees, through a ring of 4096: ns an object
 *	array    one block of BYTES, each page written, and freed, ten times over: ns a page; in the
 *	         last 1,000,000 random reads: ns a read
 *	rss      200 MiB live (BYTES 0: 16 to 1024 at random); then each replaced at random, twenty
 *	         times over; a random 90 % freed; all freed: MiB held over MiB live, MiB at last
 *
 * Medians of five.  Each thread has a processor; what other work takes from it is not counted,
 * but for xfer, where the two wait for each other.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RUNS 5
#define BATCH 1000
#define LIVE 100000
#define LARSON_LIVE 5000
#define RING 4096

struct job {
	unsigned id;
	double ns[2];
};

static size_t bytes;
static unsigned nr_threads;
static clockid_t clock_id = CLOCK_THREAD_CPUTIME_ID;
static pthread_barrier_t barrier;
static void **blocks[2]; /* a thread's, or with whom it exchanged them */

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(clock_id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint32_t random_below(uint64_t *state, uint32_t bound)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return (uint32_t)(((x >> 32) * bound) >> 32);
}

static inline void *take(size_t size)
{
	void *p = malloc(size);

	*(volatile uint64_t *)p = 1;
	return p;
}

static void run_pair(struct job *job)
{
	const unsigned nr = 4000000;
	uint64_t start;

	for (unsigned i = 0; i < 100000; i++)
		free(take(bytes));
	pthread_barrier_wait(&barrier);
	start = now();
	for (unsigned i = 0; i < nr; i++) {
		void *p = take(bytes);

		__asm__ volatile("" : "+r"(p));
		free(p);
	}
	job->ns[0] = (double)(now() - start) / nr;
}

static void run_batch(struct job *job)
{
	const unsigned rounds = bytes >= 4096 ? 400 : 2000;
	uint64_t taking = 0, giving = 0;
	void **v = blocks[job->id];

	pthread_barrier_wait(&barrier);
	for (unsigned round = 0; round < rounds; round++) {
		uint64_t start = now(), middle;

		for (unsigned i = 0; i < BATCH; i++)
			v[i] = take(bytes);
		middle = now();
		for (unsigned i = 0; i < BATCH; i++)
			free(v[i]);
		giving += now() - middle;
		taking += middle - start;
	}
	job->ns[0] = (double)taking / (rounds * BATCH);
	job->ns[1] = (double)giving / (rounds * BATCH);
}

static void replace_random(void **v, unsigned nr, uint64_t *seed)
{
	for (unsigned i = 0; i < nr; i++) {
		unsigned k = random_below(seed, LIVE);

		free(v[k]);
		v[k] = take(bytes);
	}
}

static void run_random(struct job *job)
{
	const unsigned nr = 1500000;
	uint64_t start, seed = 1234567 + job->id;
	void **v = blocks[job->id];

	for (unsigned i = 0; i < LIVE; i++)
		v[i] = take(bytes);
	replace_random(v, nr / 2, &seed);
	pthread_barrier_wait(&barrier);
	start = now();
	replace_random(v, nr, &seed);
	job->ns[0] = (double)(now() - start) / nr;
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < LIVE; i++)
		free(v[i]);
}

static void run_larson(struct job *job)
{
	const unsigned rounds = 40, each = 20000;
	uint64_t start, seed = 99 + job->id;

	for (unsigned i = 0; i < LARSON_LIVE; i++)
		blocks[job->id][i] = take(8 + random_below(&seed, 993));
	pthread_barrier_wait(&barrier);
	start = now();
	for (unsigned round = 0; round < rounds; round++) {
		void **v = blocks[(job->id + round) % nr_threads];

		for (unsigned i = 0; i < each; i++) {
			unsigned k = random_below(&seed, LARSON_LIVE);

			free(v[k]);
			v[k] = take(8 + random_below(&seed, 993));
		}
		pthread_barrier_wait(&barrier);
	}
	job->ns[0] = (double)(now() - start) / (rounds * each);
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < LARSON_LIVE; i++)
		free(blocks[job->id][i]);
}

static struct {
	_Alignas(64) _Atomic uint32_t put; /* entries ever put in, told 64 at a time */
	_Alignas(64) _Atomic uint32_t got;
	_Alignas(64) void *entry[RING];
} ring;

static void produce(uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		while (i == atomic_load_explicit(&ring.got, memory_order_acquire) + RING)
			sched_yield();
		ring.entry[i % RING] = take(bytes);
		if (i % 64 == 63)
			atomic_store_explicit(&ring.put, i + 1, memory_order_release);
	}
	atomic_store_explicit(&ring.put, nr, memory_order_release);
}

static void consume(uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		while (i == atomic_load_explicit(&ring.put, memory_order_acquire))
			sched_yield();
		free(ring.entry[i % RING]);
		if (i % 64 == 63)
			atomic_store_explicit(&ring.got, i + 1, memory_order_release);
	}
}

static void run_xfer(struct job *job)
{
	const uint32_t nr = 64 * 20000;
	uint64_t start;

	if (!job->id)
		ring.put = ring.got = 0;
	pthread_barrier_wait(&barrier);
	start = now();
	if (job->id)
		consume(nr);
	else
		produce(nr);
	pthread_barrier_wait(&barrier);
	job->ns[0] = (double)(now() - start) / nr;
}

/* ------------------------------------------------------------------ memory held */

static double resident_mib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size, resident = 0;

	if (!f || fscanf(f, "%ld %ld", &size, &resident) != 2)
		exit(1);
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

struct sized {
	void *p;
	size_t size;
};

static void renew(struct sized *block, uint64_t *seed, uint64_t *live)
{
	free(block->p);
	*live -= block->size;
	block->size = bytes ? bytes : 16 + random_below(seed, 1009);
	*live += block->size;
	block->p = malloc(block->size);
	memset(block->p, 1, block->size);
}

static void run_rss(void)
{
	uint32_t nr = (uint32_t)((200u << 20) / (bytes ? bytes : 520));
	uint64_t seed = 4242, live = 0;
	struct sized *v = mmap(NULL, nr * sizeof *v, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	double before = resident_mib(), fill, churned, most;

	for (uint32_t i = 0; i < nr; i++)
		renew(&v[i], &seed, &live);
	fill = (resident_mib() - before) / ((double)live / (1 << 20));
	for (uint64_t i = 0; i < 20ull * nr; i++)
		renew(&v[random_below(&seed, nr)], &seed, &live);
	churned = (resident_mib() - before) / ((double)live / (1 << 20));
	for (uint32_t i = 0; i < nr; i++)
		if (random_below(&seed, 10)) {
			free(v[i].p);
			v[i].p = NULL;
		}
	most = resident_mib() - before;
	for (uint32_t i = 0; i < nr; i++)
		free(v[i].p);
	for (unsigned i = 0; i < 50; i++) { /* a second in which little happens */
		usleep(20000);
		free(take(100));
	}
	printf("%.3f %.3f %.1f %.1f\n", fill, churned, most, resident_mib() - before);
}

/* ------------------------------------------------------------------ running */

static void run_array(struct job *job)
{
	const unsigned reads = 1000000, times = 10;
	uint64_t state = 88172645463325252u, start = now(), reading = 0, sum = 0;

	for (unsigned n = 0; n < times; n++) {
		unsigned char *array = malloc(bytes);

		if (!array)
			abort();
		for (size_t i = 0; i < bytes; i += 4096)
			array[i] = (unsigned char)(i >> 12);
		if (n == times - 1) {
			reading = now();
			for (unsigned i = 0; i < reads; i++)
				sum += array[random_below(&state, (uint32_t)(bytes >> 12)) * 4096u];
			reading = now() - reading;
		}
		*(volatile uint64_t *)array = sum;
		free(array);
	}
	job->ns[0] = (double)(now() - start - reading) / times / (double)(bytes >> 12);
	job->ns[1] = (double)reading / reads;
}

static void (*workload)(struct job *);

static void *run_thread(void *arg)
{
	struct job *job = arg;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(job->id, &cpus);
	(void)sched_setaffinity(0, sizeof cpus, &cpus);
	workload(job);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run_once(double ns[2])
{
	struct job jobs[2] = { { 0 }, { .id = 1 } };
	pthread_t threads[2];

	pthread_barrier_init(&barrier, NULL, nr_threads);
	for (unsigned i = 0; i < nr_threads; i++)
		pthread_create(&threads[i], NULL, run_thread, &jobs[i]);
	ns[0] = ns[1] = 0;
	for (unsigned i = 0; i < nr_threads; i++) {
		pthread_join(threads[i], NULL);
		ns[0] += jobs[i].ns[0] / nr_threads;
		ns[1] += jobs[i].ns[1] / nr_threads;
	}
}

static void (*find(const char *name))(struct job *)
{
	return !strcmp(name, "pair") ? run_pair : !strcmp(name, "batch") ? run_batch :
	       !strcmp(name, "random") ? run_random : !strcmp(name, "larson") ? run_larson :
	       !strcmp(name, "xfer") ? run_xfer : !strcmp(name, "array") ? run_array : NULL;
}

int main(int argc, char **argv)
{
	double taking[RUNS], giving[RUNS];

	if (argc != 4)
		return 2;
	bytes = strtoul(argv[2], NULL, 0);
	nr_threads = (unsigned)strtoul(argv[3], NULL, 0);
	if (!strcmp(argv[1], "rss")) {
		run_rss();
		return 0;
	}
	workload = find(argv[1]);
	if (!workload || !nr_threads || nr_threads > 2 ||
	    (workload == run_xfer && nr_threads != 2))
		return 2;
	if (workload == run_xfer)
		clock_id = CLOCK_MONOTONIC;
	for (unsigned i = 0; i < 2; i++)
		blocks[i] = mmap(NULL, LIVE * sizeof(void *), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	for (unsigned run = 0; run < RUNS; run++) {
		double ns[2];

		run_once(ns);
		taking[run] = ns[0];
		giving[run] = ns[1];
	}
	qsort(taking, RUNS, sizeof *taking, compare);
	qsort(giving, RUNS, sizeof *giving, compare);
	printf("%.2f %.2f\n", taking[RUNS / 2], giving[RUNS / 2]);
	return 0;
}

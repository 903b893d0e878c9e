/* SPDX-License-Identifier: MIT */
/*
 * The core's caches on a machine of two CPUs, each a thread, and how much memory they hold.
 *
 *   slab [ROUNDS]
 *
 * A CPU's part is locked as the port lets it: "barrier", with port.sync_cpus (membarrier(2)), as
 * the hosted ports do it; "atomic", with spin locks.  The same loops run over mallocs of the host
 * where they are installed.  "bound" is a stack of pointers that checks nothing: what the loops
 * and touching the objects cost.  CPU time of the thread, of "cross" wall time; medians.  SLUB's
 * figures are quoted: Linux 7.3 as UML, on another machine.
 *
 *   pair      allocate, free                      batch     1000 of each
 *   random    100,000 live, one at random freed and allocated
 *   cross     one thread allocates, the other frees, through a ring
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/membarrier.h>
#include <ondol/ondol.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common.h"

#define RAM_SIZE (1ull << 30)
#define KERNEL ONDOL_GFP_KERNEL
#define ROUNDS_MAX 99
#define RING 4096u /* objects on their way */
#define LIVE 100000u

static unsigned rounds = 7;
static struct ondol_machine *m;
static struct ondol_kmem_cache *cache;
static __thread uint32_t cpu;
static void *slots[LIVE];

/* ------------------------------------------------------------------ machines */

static uint32_t this_cpu(void *ctx)
{
	(void)ctx;
	return cpu;
}

static void sync_cpus(void *ctx)
{
	(void)ctx;
	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

static void begin(uint32_t nr_cpus, bool barrier)
{
	static struct ondol_port port;
	static char *ram;
	static void *storage;
	struct ondol_mem_region region = { .end = { RAM_SIZE }, .type = ONDOL_MEM_USABLE };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &region,
					   .nr_regions = 1, .nr_nodes = 1, .nr_cpus = nr_cpus };
	size_t size, align;

	if (!ram) {
		ram = mmap(NULL, RAM_SIZE + (2 << 20), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(ram == MAP_FAILED ? -ONDOL_ENOMEM : 0, "memory");
		ram += -(uintptr_t)ram & ((2 << 20) - 1);
		(void)madvise(ram, RAM_SIZE, MADV_HUGEPAGE);
		memset(ram, 1, RAM_SIZE);
	}
	port = (struct ondol_port){ .version = ONDOL_PORT_VERSION, .size = sizeof port,
				    .direct_map = (unsigned char *)ram, .panic = on_panic,
				    .this_cpu = nr_cpus > 1 ? this_cpu : NULL,
				    .sync_cpus = barrier ? sync_cpus : NULL };
	free(storage);
	must(ondol_machine_storage(&desc, &size, &align), "storage");
	must(-posix_memalign(&storage, align, size), "storage");
	must(ondol_machine_init(storage, size, &desc, &port, &m), "machine");
}

static void new_cache(size_t size)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = size };

	must(ondol_kmem_cache_create(m, "bench", &args, &cache), "cache");
}

static void *core_take(size_t size)
{
	(void)size;
	return ondol_kmem_cache_alloc(cache, KERNEL);
}

static void core_give(void *object)
{
	ondol_kmem_cache_free(cache, object);
}

static void *stack[LIVE + 1000];
static uint32_t nr_stacked;

static __attribute__((noinline)) void *bound_take(size_t size)
{
	(void)size;
	return stack[--nr_stacked];
}

static __attribute__((noinline)) void bound_give(void *object)
{
	stack[nr_stacked++] = object;
}

/* ------------------------------------------------------------------ loops */

enum { PAIR, BATCH, RANDOM, CROSS, NR_ROWS };

struct allocator {
	void *(*take)(size_t size);
	void (*give)(void *object);
};

static struct ring {
	size_t size;
	uint32_t nr;
	struct allocator by;
	void *at[RING];
	uint32_t head __attribute__((aligned(64)));
	uint32_t tail __attribute__((aligned(64)));
} ring;

static void *consumer(void *unused)
{
	(void)unused;
	cpu = 1;
	for (uint32_t i = 0; i < ring.nr; i++) {
		while (__atomic_load_n(&ring.head, __ATOMIC_ACQUIRE) == i)
			sched_yield();
		ring.by.give(ring.at[i % RING]);
		__atomic_store_n(&ring.tail, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static double cross(const struct allocator *by, size_t size)
{
	pthread_t thread;
	double start = read_clock(CLOCK_MONOTONIC);

	ring = (struct ring){ .size = size, .nr = size >= 4096 ? 200000 : 1000000, .by = *by };
	must(-pthread_create(&thread, NULL, consumer, NULL), "thread");
	for (uint32_t i = 0; i < ring.nr; i++) {
		uint64_t *object = by->take(size);

		*object = i;
		while (i - __atomic_load_n(&ring.tail, __ATOMIC_ACQUIRE) >= RING)
			sched_yield();
		ring.at[i % RING] = object;
		__atomic_store_n(&ring.head, i + 1, __ATOMIC_RELEASE);
	}
	pthread_join(thread, NULL);
	return (read_clock(CLOCK_MONOTONIC) - start) / ring.nr;
}

static void one_round(const struct allocator *by, size_t size, double *ns)
{
	const uint32_t live = size >= 4096 ? LIVE / 10 : LIVE, pairs = 1000000;
	double start = now();

	for (uint32_t i = 0; i < pairs; i++) {
		uint64_t *object = by->take(size);

		*object = i;
		by->give(object);
	}
	ns[PAIR] = (now() - start) / pairs;
	start = now();
	for (uint32_t round = 0; round < 100; round++) {
		for (uint32_t i = 0; i < 1000; i++) {
			slots[i] = by->take(size);
			*(uint64_t *)slots[i] = i;
		}
		for (uint32_t i = 0; i < 1000; i++)
			by->give(slots[i]);
	}
	ns[BATCH] = (now() - start) / 100 / 1000;
	for (uint32_t i = 0; i < live; i++)
		slots[i] = by->take(size);
	for (unsigned timed = 0; timed < 2; timed++) {
		start = now();
		for (uint32_t i = 0; i < 2 * LIVE; i++) {
			uint32_t at = (uint32_t)((uint64_t)rnd() * live >> 32);

			by->give(slots[at]);
			slots[at] = by->take(size);
			*(uint64_t *)slots[at] = i;
		}
	}
	ns[RANDOM] = (now() - start) / 2 / LIVE;
	for (uint32_t i = 0; i < live; i++)
		by->give(slots[i]);
	if (by->take != bound_take)
		ns[CROSS] = cross(by, size);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void measure(const struct allocator *by, size_t size, double *medians)
{
	static double samples[NR_ROWS][ROUNDS_MAX];
	double ns[NR_ROWS];

	for (unsigned i = 0; i <= rounds; i++) { /* the first warms up */
		one_round(by, size, ns);
		for (unsigned row = 0; i && row < NR_ROWS; row++)
			samples[row][i - 1] = ns[row];
	}
	for (unsigned row = 0; row < NR_ROWS; row++) {
		qsort(samples[row], rounds, sizeof(double), compare_doubles);
		medians[row] = samples[row][rounds / 2];
	}
}

/* ------------------------------------------------------------------ tables */

static const struct peer { const char *name, *library; } peers[] = {
	{ "glibc", NULL },
	{ "mimalloc", "libmimalloc.so.2" },
	{ "jemalloc", "libjemalloc.so.2" },
	{ "tcmalloc", "libtcmalloc_minimal.so.4" },
};
#define NR_PEERS (sizeof peers / sizeof *peers)

static bool load_peer(const struct peer *peer, struct allocator *by)
{
	void *library;

	*by = (struct allocator){ malloc, free };
	if (!peer->library)
		return true;
	library = dlopen(peer->library, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return false;
	*(void **)&by->take = dlsym(library, "malloc");
	*(void **)&by->give = dlsym(library, "free");
	return by->take && by->give;
}

/* The same objects, from a stack. */
static void measure_bound(size_t size, double *medians)
{
	static const struct allocator by = { bound_take, bound_give };
	uint32_t nr = size >= 4096 ? LIVE / 10 + 1000 : LIVE + 1000;

	for (nr_stacked = 0; nr_stacked < nr; nr_stacked++)
		stack[nr_stacked] = core_take(size);
	measure(&by, size, medians);
	while (nr_stacked)
		core_give(stack[--nr_stacked]);
}

static void object_table(void)
{
	/* Quoted: PERFORMANCE.md's quiet readings; and the targets for the core. */
	static const struct { size_t size; double slub[NR_ROWS], target[NR_ROWS]; } kinds[] = {
		{ 64, { 8.4, 11, 10.5, 11 }, { 2.5, 5, 10, 9 } },
		{ 256, { 8.6, 21, 12.5, 13 }, { 2.8, 5, 12.5, 12 } },
		{ 4096, { 8.6, 52, 23, 71 }, { 3.5, 14, 23, 40 } },
	};
	static const char *const rows[] = { "pair", "batch, both", "random", "cross" };
	static const struct allocator core = { core_take, core_give };
	double ns[2 + NR_PEERS][NR_ROWS], bound[NR_ROWS];
	struct allocator by;

	printf("\ntwo CPUs, ns                bound  barrier   atomic   target     SLUB");
	for (unsigned p = 0; p < NR_PEERS; p++)
		printf(" %8s", peers[p].name);
	printf("\n");
	for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		for (unsigned barrier = 0; barrier < 2; barrier++) {
			begin(2, barrier);
			new_cache(kinds[k].size);
			measure(&core, kinds[k].size, ns[barrier]);
			if (barrier)
				measure_bound(kinds[k].size, bound);
			must(ondol_kmem_cache_destroy(cache), "objects left");
		}
		for (unsigned p = 0; p < NR_PEERS; p++) {
			memset(ns[2 + p], 0, sizeof ns[0]);
			if (load_peer(&peers[p], &by))
				measure(&by, kinds[k].size, ns[2 + p]);
		}
		for (unsigned row = 0; row < NR_ROWS; row++) {
			printf("%5zu  %-16s ", kinds[k].size, rows[row]);
			if (row == CROSS)
				printf("%8s", "-");
			else
				printf("%8.1f", bound[row]);
			printf(" %8.1f %8.1f %8g %8g", ns[1][row], ns[0][row], kinds[k].target[row],
			       kinds[k].slub[row]);
			for (unsigned p = 0; p < NR_PEERS; p++)
				if (ns[2 + p][row] > 0)
					printf(" %8.1f", ns[2 + p][row]);
				else
					printf(" %8s", "-");
			printf("\n");
		}
		fflush(stdout);
	}
}

static uint64_t slab_bytes(void)
{
	struct ondol_machine_stats stats;

	ondol_machine_stats(m, &stats);
	return stats.pages[ONDOL_PAGE_SLAB] << 12;
}

/* kmalloc of 16 B to 4 KiB, small ones often: 64 MiB live, and churned. */
static void memory_table(void)
{
	static struct { void *at; size_t size; } live[1 << 19];
	uint64_t bytes = 0, before;
	uint32_t nr = 0;

	begin(1, false);
	before = slab_bytes();
	printf("\nmemory of slabs, over the bytes asked for                target\n");
	for (; bytes < 64 << 20; nr++) {
		live[nr].size = (size_t)16 + (rnd() % 4080 >> rnd() % 8);
		live[nr].at = ondol_kmalloc(m, live[nr].size, KERNEL);
		must(live[nr].at ? 0 : -ONDOL_ENOMEM, "memory");
		bytes += live[nr].size;
	}
	printf("%-50s %10.3f     1.02\n", "filled: 64 MiB of 16 B to 4 KiB",
	       (double)(slab_bytes() - before) / (double)bytes);
	for (uint32_t i = 0; i < 2000000; i++) {
		uint32_t at = rnd() % nr;

		ondol_kfree(m, live[at].at);
		bytes -= live[at].size;
		live[at].size = (size_t)16 + (rnd() % 4080 >> rnd() % 8);
		live[at].at = ondol_kmalloc(m, live[at].size, KERNEL);
		bytes += live[at].size;
	}
	printf("%-50s %10.3f     1.05\n", "after 2,000,000 of them changed at random",
	       (double)(slab_bytes() - before) / (double)bytes);
	for (uint32_t i = 0; i < nr; i++)
		ondol_kfree(m, live[i].at);
	printf("%-50s %9.1f%%\n", "still held, all freed",
	       100. * (double)(slab_bytes() - before) / (double)bytes);
	for (unsigned second = 0; second < 2; second++) /* two ticks are a second later */
		(void)ondol_kmem_cache_tick(m);
	printf("%-50s %9.1f%%       5%%\n", "and after ondol_kmem_cache_tick, twice",
	       100. * (double)((int64_t)slab_bytes() - (int64_t)before) / (double)bytes);
}

int main(int argc, char **argv)
{
	if (argc > 1 && atoi(argv[1]) > 0 && atoi(argv[1]) <= ROUNDS_MAX)
		rounds = (unsigned)atoi(argv[1]);
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	object_table();
	memory_table();
	return 0;
}

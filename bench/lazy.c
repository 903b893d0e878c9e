/* SPDX-License-Identifier: MIT */
/*
 * The lazy policies (D8) under four workloads: time, merges and splits of each.
 *
 *	order 0    2000 single frames, one at random freed and allocated again
 *	mixed      the same with orders 0 to 5, the small ones more often
 *	server     bursts: 3000 requests of orders 0 to 3 come, 9 of 10 go, the rest stays a while
 *	forks      bench/forks.trace: what `ondol run` of a shell that forks 200 processes asked for
 *
 *	lazy [TRACE]
 */
#define _GNU_SOURCE
#include "trace.h"

#include <ondol/ondol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define RAM (512ull << 20)
#define ROUNDS 5
#define BLOCKS_MAX (1u << 17)

static struct ondol_port port;
static struct ondol_machine *m;
static uint64_t random_state, nr_operations;
static struct block { struct ondol_page *page; uint8_t order; } block[BLOCKS_MAX];
static unsigned char *trace;
static size_t trace_size;

static void fail(const char *what)
{
	fprintf(stderr, "bench/lazy: %s\n", what);
	exit(1);
}

static void on_panic(void *ctx, const struct ondol_panic_report *report)
{
	(void)ctx;
	fprintf(stderr, "bench/lazy: panic: %s:%u\n", report->file, report->line);
	abort();
}

static uint32_t below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) * n >> 32);
}

static void take(uint32_t slot, unsigned order, bool movable)
{
	if (slot >= BLOCKS_MAX)
		fail("too many blocks");
	block[slot].order = (uint8_t)order;
	block[slot].page = ondol_alloc_pages(m, movable ? ONDOL_GFP_HIGHUSER_MOVABLE :
							  ONDOL_GFP_KERNEL, order);
	if (!block[slot].page)
		fail("out of memory");
	nr_operations++;
}

static void give(uint32_t slot)
{
	if (!block[slot].page)
		return;
	ondol_free_pages(m, block[slot].page, block[slot].order);
	block[slot].page = NULL;
	nr_operations++;
}

static void churn(uint32_t rounds, unsigned most)
{
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t slot = below(2000), order = 0;

		give(slot);
		while (order < most && below(2))
			order++;
		take(slot, order, below(2));
	}
}

static void order_0(void)
{
	churn(1000000, 0);
}

static void mixed(void)
{
	churn(1000000, 5);
}

static void server(void)
{
	for (unsigned burst = 0; burst < 300; burst++) {
		for (uint32_t i = 0; i < 3000; i++) {
			unsigned dice = below(16);

			give(i); /* what stayed of an earlier burst */
			take(i, dice < 11 ? 0 : dice < 14 ? 1 : dice < 15 ? 2 : 3, dice & 1);
		}
		for (uint32_t i = 0; i < 3000; i++)
			if (below(10))
				give(i);
	}
}

/* One event of the trace at *at. */
static uint32_t next(size_t *at, unsigned *kind)
{
	unsigned char byte = trace[(*at)++];
	uint32_t value = byte >> 3 & 15;

	*kind = byte & 7;
	for (unsigned shift = 4; byte & 0x80 && *at < trace_size; shift += 7) {
		byte = trace[(*at)++];
		value |= (byte & 127u) << shift;
	}
	return value;
}

static void replay(void)
{
	static struct trace_slots slots;
	uint32_t last = 0;

	slots.nr = slots.nr_given = 0;
	for (size_t at = 0; at < trace_size;) {
		unsigned kind;
		uint32_t value = next(&at, &kind);

		if (kind <= TRACE_UNMOVABLE) {
			take(trace_slot_take(&slots), value, kind == TRACE_MOVABLE);
			continue;
		}
		last += (uint32_t)trace_unzigzag(value);
		if (kind == TRACE_FREE) {
			give(last);
			trace_slot_give(&slots, last);
			continue;
		}
		struct block whole = block[last];

		ondol_split_page(m, whole.page, whole.order);
		block[last].order = 0;
		for (uint32_t i = 1; i < 1u << whole.order; i++)
			block[trace_slot_take(&slots)] = (struct block){
				ondol_pfn_to_page(m, ondol_pfn(ondol_page_to_pfn(m, whole.page)
								       .value + i)), 0 };
	}
}

static void give_all(void)
{
	for (uint32_t i = 0; i < BLOCKS_MAX; i++)
		give(i);
}

static void forks(void)
{
	for (unsigned i = 0; i < 20; i++) {
		replay();
		give_all();
	}
}

static void start(const struct ondol_profile *profile, void *ram)
{
	struct ondol_mem_region region = { .end = { RAM } };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &region,
					   .nr_regions = 1, .nr_nodes = 1, .nr_cpus = 1,
					   .profile = profile };
	size_t size, align;
	static void *storage;

	free(storage);
	port = (struct ondol_port){ .version = ONDOL_PORT_VERSION, .size = sizeof port,
				    .direct_map = ram, .panic = on_panic };
	if (ondol_machine_storage(&desc, &size, &align) || posix_memalign(&storage, align, size) ||
	    ondol_machine_init(storage, size, &desc, &port, &m))
		fail("no machine");
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void read_trace(const char *path)
{
	FILE *file = fopen(path, "rb");

	if (!file || fseek(file, 0, SEEK_END) || ftell(file) <= 0)
		fail("no trace");
	trace_size = (size_t)ftell(file);
	trace = malloc(trace_size);
	rewind(file);
	if (!trace || fread(trace, 1, trace_size, file) != trace_size)
		fail("no trace");
	(void)fclose(file);
}

static const struct { const char *name; void (*run)(void); } workloads[] = {
	{ "order 0", order_0 }, { "mixed", mixed }, { "server", server }, { "forks", forks } };

/* In a machine of its own; the last of ROUNDS says how many merges and splits. */
static void measure(unsigned workload, unsigned policy, void *ram)
{
	struct ondol_profile profile = ondol_profile_x86_64;
	struct ondol_machine_stats before, after;
	double ns[ROUNDS];

	profile.lazy = (enum ondol_lazy_policy)policy;
	profile.pcp = policy == ONDOL_LAZY_PCP;
	start(&profile, ram);
	for (unsigned round = 0; round < ROUNDS; round++) {
		random_state = 88172645463325252ull;
		nr_operations = 0;
		ondol_machine_stats(m, &before);
		ns[round] = now();
		workloads[workload].run();
		ns[round] = (now() - ns[round]) / (double)nr_operations;
		ondol_machine_stats(m, &after);
		give_all();
	}
	qsort(ns, ROUNDS, sizeof *ns, compare);
	printf("%-8s %-8s %9.1f %12llu %12llu\n", workloads[workload].name,
	       ondol_lazy_name(profile.lazy),
	       ns[ROUNDS / 2], (unsigned long long)(after.nr_merges - before.nr_merges),
	       (unsigned long long)(after.nr_splits - before.nr_splits));
}

int main(int argc, char **argv)
{
	void *ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ram == MAP_FAILED)
		fail("no memory");
	read_trace(argc > 1 ? argv[1] : "bench/forks.trace");
	printf("%-8s %-8s %9s %12s %12s\n", "workload", "policy", "ns an op", "merges", "splits");
	for (unsigned i = 0; i < sizeof workloads / sizeof *workloads; i++)
		for (unsigned policy = 0; policy < ONDOL_NR_LAZY; policy++)
			measure(i, policy, ram);
	return 0;
}

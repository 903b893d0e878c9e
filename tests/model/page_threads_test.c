/* SPDX-License-Identifier: MIT */
/*
 * Several threads on one machine, each a CPU of its own: blocks pass from one to another through
 * shared slots and are freed by whoever holds them last.  Everything comes back, nobody's
 * contents change under him.  Meant for ThreadSanitizer as much as for itself.
 */
#include "support/frames.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 4
#define SLOTS 64
#define ROUNDS 6000

static struct toy t;
static uint64_t nr_refused, nr_failed, pages_total;

/* A block on its way: the page pointer with its order in the low bits, or 0. */
static uintptr_t slot[SLOTS];
#define ORDER_BITS 31u

static void fill(const struct ondol_page *page, unsigned order)
{
	for (unsigned i = 0; i < 1u << order; i++) {
		uintptr_t *word = (uintptr_t *)((char *)ondol_page_address(t.m, page) + i * 4096);

		word[0] = word[500] = (uintptr_t)page + i;
	}
}

static bool is_filled(const struct ondol_page *page, unsigned order)
{
	for (unsigned i = 0; i < 1u << order; i++) {
		uintptr_t *word = (uintptr_t *)((char *)ondol_page_address(t.m, page) + i * 4096);

		if (word[0] != (uintptr_t)page + i || word[500] != word[0])
			return false;
		word[0] = word[500] = 0;
	}
	return true;
}

static void give_back(uintptr_t packed)
{
	unsigned order = packed & ORDER_BITS;
	struct ondol_page *page = (struct ondol_page *)(packed & ~(uintptr_t)ORDER_BITS);

	if (!packed)
		return;
	if (!is_filled(page, order))
		__atomic_add_fetch(&nr_failed, 1, __ATOMIC_RELAXED);
	ondol_free_pages(t.m, page, order);
}

static uintptr_t take(uint32_t random, unsigned max_order)
{
	static const ondol_gfp_t gfps[] = { ONDOL_GFP_KERNEL, ONDOL_GFP_HIGHUSER_MOVABLE,
					    ONDOL_GFP_ATOMIC, ONDOL_GFP_MEMALLOC };
	unsigned order = (random >> 4 & 0xff) % (max_order + 1);
	struct ondol_page *page = ondol_alloc_pages_node(
		t.m, random & 0x70000 ? ONDOL_NODE_ANY : (int)(random >> 20 & 1),
		gfps[random & 3] | ONDOL_GFP_NOWARN, order);

	if (!page) {
		__atomic_add_fetch(&nr_refused, 1, __ATOMIC_RELAXED);
		return 0;
	}
	fill(page, order);
	return (uintptr_t)page | order;
}

struct worker { pthread_t thread; uint32_t cpu, random, max_order, nr_passed; };

static void *work(void *arg)
{
	struct worker *self = arg;
	uint32_t random = self->random;

	frames_cpu = self->cpu;
	for (unsigned i = 0; i < ROUNDS; i++) {
		uintptr_t mine;

		random = random * 1664525 + 1013904223;
		mine = take(random >> 3, self->max_order);
		/* Swap it for what another left there, and free that. */
		mine = __atomic_exchange_n(&slot[random >> 26], mine, __ATOMIC_ACQ_REL);
		self->nr_passed += mine != 0;
		give_back(mine);
		if (random >> 23 == 0)
			ondol_drain_all_pages(t.m);
	}
	return NULL;
}

/* Reads the figures all the while: they may be off, never absurd. */
static void *watch(void *arg)
{
	const bool *stop = arg;
	unsigned looks = 0;

	frames_cpu = THREADS;
	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		struct ondol_machine_stats stats;
		struct ondol_refusal why;

		ondol_machine_stats(t.m, &stats);
		ondol_last_refusal(t.m, &why);
		if (stats.pages_total != pages_total || why.nr_zones > 4)
			__atomic_add_fetch(&nr_failed, 1, __ATOMIC_RELAXED);
		if (looks++ % 128 == 0 && !page_at(&t, looks * 17 % pages_total))
			__atomic_add_fetch(&nr_failed, 1, __ATOMIC_RELAXED);
		struct ondol_zone_stats zone = zone_stats(&t, 1, "DMA32");
		if (zone.pages_free > zone.pages_managed)
			__atomic_add_fetch(&nr_failed, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* The port's sync_cpus: the kernel makes every thread of ours pass a barrier. */
static void sync_cpus(void *ctx)
{
	(void)ctx;
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
		abort();
}

static bool with_sync_cpus;

/* The larger node 0 has 20 MiB; `late`: five times that, its records written as it is used. */
static void run(unsigned max_order, bool late)
{
	const uint64_t times = late ? 5 : 1;
	const struct ondol_mem_region two[] = { USABLE(0, MIB(20) * times, 0),
						USABLE(MIB(20) * times, MIB(32) * times, 1) };
	struct ondol_machine_desc desc = DESCRIBE(two, 2, THREADS + 1, NULL);
	struct worker worker[THREADS];
	pthread_t watcher;
	bool stop = false;

	desc.deferred_init = desc.memory_is_zeroed = late;
	frames_init(&t, &desc);
	t.port.sync_cpus = with_sync_cpus ? sync_cpus : NULL; /* nobody runs yet */
	pages_total = 8192 * times;
	memset(slot, 0, sizeof slot);
	nr_refused = nr_failed = 0;
	assert_int_equal(pthread_create(&watcher, NULL, watch, &stop), 0);
	for (uint32_t i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){ .cpu = i, .random = i * 77777 + 1,
					     .max_order = max_order };
		assert_int_equal(pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(worker[i].thread, NULL), 0);
		assert_true(worker[i].nr_passed > ROUNDS / 4);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(watcher, NULL), 0);
	assert_valid(t.m);
	for (unsigned i = 0; i < SLOTS; i++)
		give_back(slot[i]);
	assert_int_equal(nr_failed, 0);
	frames_fini(&t);
}

static void small_blocks(void **state)
{
	(void)state;
	run(3, false);
	assert_int_equal(nr_refused, 0);
}

/* Blocks so large that they run out: drains and refusals among the traffic. */
static void short_of_memory(void **state)
{
	(void)state;
	run(9, false);
	assert_true(nr_refused > 0);
}

/* Sections come up while others allocate, free, drain and look. */
static void late_records(void **state)
{
	(void)state;
	run(10, true);
}

/* The same where the CPUs' lists have no atomic lock, and drains come from everywhere. */
static void without_atomics(void **state)
{
	(void)state;
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
		skip();
	with_sync_cpus = true;
	run(3, false);
	run(9, false);
	run(10, true);
	with_sync_cpus = false;
}

/* ------------------------------------------------------------------ reclaim by many at once */

#define HELD 512
static struct ondol_page *held[HELD];
static uint32_t nr_held;
static struct ondol_page *lot[8192];
static uint32_t nr_lot;

static uint64_t shrink(struct ondol_machine *m, void *ctx, uint64_t nr_pages)
{
	uint64_t freed = 0;

	(void)ctx;
	for (; freed < nr_pages && nr_held; freed++)
		ondol_free_pages(m, held[--nr_held], 0);
	return freed;
}

/* One reclaimer at a time: `nr_held` needs no lock. */
static void *grab(void *arg)
{
	frames_cpu = *(uint32_t *)arg;
	for (;;) {
		struct ondol_page *page =
			ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, 0);

		if (!page)
			return NULL;
		lot[__atomic_fetch_add(&nr_lot, 1, __ATOMIC_RELAXED)] = page;
	}
}

static void many_reclaim(void **state)
{
	const struct ondol_mem_region all[] = { USABLE(0, MIB(8), 0) };
	struct ondol_machine_desc desc = DESCRIBE(all, 1, THREADS, NULL);
	static uint32_t cpu[THREADS];
	pthread_t thread[THREADS];

	(void)state;
	frames_init(&t, &desc);
	nr_lot = 0;
	assert_int_equal(ondol_register_shrinker(t.m, shrink, NULL), 0);
	for (nr_held = 0; nr_held < HELD; nr_held++) {
		held[nr_held] = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
		assert_non_null(held[nr_held]);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		cpu[i] = i;
		assert_int_equal(pthread_create(&thread[i], NULL, grab, &cpu[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(nr_held, 0);
	ondol_drain_all_pages(t.m);
	/* Each may have looked at the mark before the others took theirs. */
	struct ondol_zone_stats zone = zone_stats(&t, 0, "DMA");

	assert_in_range(zone.pages_free, zone.watermark_min - THREADS, zone.watermark_min + 4);
	while (nr_lot)
		ondol_free_pages(t.m, lot[--nr_lot], 0);
	frames_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_blocks),
		cmocka_unit_test(short_of_memory),
		cmocka_unit_test(late_records),
		cmocka_unit_test(without_atomics),
		cmocka_unit_test(many_reclaim),
	};

	return cmocka_run_group_tests_name("page_threads", tests, NULL, NULL);
}

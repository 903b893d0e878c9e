/* SPDX-License-Identifier: MIT */
/*
 * Threads that allocate, hand over, free each other's objects, shrink and look, all at once.
 * First a CPU for each thread; then more threads than CPUs, moving from one to another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "support/slab_kit.h"

#define NR_THREADS 4
#define NR_SLOTS 256
#define NR_STEPS 12000

static struct toy t;
static struct ondol_kmem_cache *shared;
static struct parcel *slots[NR_SLOTS]; /* exchanged atomically */
static pthread_mutex_t cpu_mutex[NR_THREADS];
static uint32_t nr_cpus;
static __thread unsigned depth; /* of irq_save */

/* At the start of each object: who may free it and what must be in it. */
struct parcel {
	uint32_t size; /* 0: of the shared cache */
	unsigned char fill;
	unsigned char bytes[];
};

/* A thread gets some CPU when it enters and keeps it to the end of the section. */
static uintptr_t enter(void *ctx)
{
	(void)ctx;
	if (!depth++) {
		uint32_t cpu = kit_cpu;

		do
			cpu = (cpu + 1) % nr_cpus;
		while (pthread_mutex_trylock(&cpu_mutex[cpu]) && sched_yield() == 0);
		kit_cpu = cpu;
	}
	return depth;
}

static void leave(void *ctx, uintptr_t saved)
{
	(void)ctx;
	assert_int_equal(saved, depth);
	if (!--depth)
		pthread_mutex_unlock(&cpu_mutex[kit_cpu]);
}

static void relax(void *ctx)
{
	(void)ctx;
	sched_yield();
}

static void check(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "slab_threads: %s\n", what);
	abort();
}

static struct parcel *make(uint32_t n)
{
	uint32_t size = n & 1 ? 0 : 16 + (n >> 1) % 3000, room = size ? size : 96;
	struct parcel *p = size ? ondol_kmalloc(t.m, size, ONDOL_GFP_KERNEL) :
				  ondol_kmem_cache_alloc(shared, ONDOL_GFP_KERNEL);

	check(p != NULL, "no memory");
	p->size = size;
	p->fill = (unsigned char)n;
	memset(p->bytes, p->fill, room - sizeof *p);
	return p;
}

static void consume(struct parcel *p)
{
	uint32_t room = p->size ? p->size : 96;

	for (uint32_t i = 0; i < room - sizeof *p; i++)
		check(p->bytes[i] == p->fill, "somebody else wrote here");
	if (p->size)
		ondol_kfree(t.m, p);
	else
		ondol_kmem_cache_free(shared, p);
}

static int look(void *ctx, const struct ondol_slab_info *info)
{
	(void)ctx;
	check(info->active_objects < 1u << 20, "absurd number of active objects");
	return 0;
}

static void other_work(uint64_t n)
{
	struct ondol_kmem_cache *own;

	switch (n % 4) {
	case 0:
		(void)ondol_kmem_cache_shrink(shared);
		break;
	case 1:
		(void)ondol_for_each_cache(t.m, look, NULL);
		break;
	case 2:
		own = kit_cache(t.m, "own", 200, 0, 0);
		check(own != NULL, "no cache");
		ondol_kmem_cache_free(own, ondol_kmem_cache_alloc(own, ONDOL_GFP_KERNEL));
		check(!ondol_kmem_cache_destroy(own), "own cache is busy");
		break;
	default:
		ondol_drain_all_pages(t.m);
	}
}

static void *thread(void *arg)
{
	uint64_t n = 77 + (uintptr_t)arg;

	kit_cpu = (uint32_t)(uintptr_t)arg % nr_cpus;
	for (unsigned i = 0; i < NR_STEPS; i++) {
		struct parcel *p = NULL;
		unsigned slot;

		n = n * UINT64_C(6364136223846793005) + 1442695040888963407;
		slot = (unsigned)(n >> 40) % NR_SLOTS;
		if (!__atomic_load_n(&slots[slot], __ATOMIC_RELAXED))
			p = make((uint32_t)(n >> 33));
		p = __atomic_exchange_n(&slots[slot], p, __ATOMIC_ACQ_REL);
		if (p)
			consume(p);
		if (i % 200 == 199)
			other_work(n >> 50);
	}
	return NULL;
}

static void run(void)
{
	pthread_t threads[NR_THREADS];

	shared = kit_cache(t.m, "shared", 96, 0, 0);
	assert_non_null(shared);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread, (void *)i), 0);
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	kit_cpu = 0;
	ASSERT_VALID(t.m);
	for (unsigned i = 0; i < NR_SLOTS; i++) {
		if (slots[i])
			consume(slots[i]);
		slots[i] = NULL;
	}
	assert_int_equal(kit_info(t.m, "shared").active_objects, 0);
	ASSERT_VALID(t.m);
	assert_int_equal(ondol_kmem_cache_destroy(shared), 0);
	assert_int_equal(toy_free(&t), 0);
}

static void a_cpu_each(void **state)
{
	(void)state;
	nr_cpus = NR_THREADS;
	assert_int_equal(kit_new(&t, 64, nr_cpus, NULL, NULL), 0);
	t.port.cpu_relax = relax;
	run();
}

static void moving_about(void **state)
{
	(void)state;
	for (nr_cpus = 1; nr_cpus <= 3; nr_cpus += 2) {
		for (unsigned i = 0; i < nr_cpus; i++)
			pthread_mutex_init(&cpu_mutex[i], NULL);
		kit_enter = enter;
		kit_leave = leave;
		assert_int_equal(kit_new(&t, 64, nr_cpus, NULL, NULL), 0);
		t.port.cpu_relax = relax;
		run();
		kit_enter = NULL;
		kit_leave = NULL;
	}
}

/* Little memory, so that reclaim runs among the rest; refusals are no error then. */
static void *greedy(void *arg)
{
	void *held[40] = { NULL };
	uint64_t n = 5 + (uintptr_t)arg;

	kit_cpu = (uint32_t)(uintptr_t)arg;
	for (unsigned i = 0; i < NR_STEPS / 2; i++) {
		n = n * UINT64_C(6364136223846793005) + 1442695040888963407;
		unsigned at = (unsigned)(n >> 40) % 40;

		ondol_kfree(t.m, held[at]);
		held[at] = ondol_kmalloc(t.m, (size_t)1 << (n >> 50) % 17,
					 ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN);
	}
	for (unsigned i = 0; i < 40; i++)
		ondol_kfree(t.m, held[i]);
	return NULL;
}

static void under_pressure(void **state)
{
	pthread_t threads[NR_THREADS];

	(void)state;
	assert_int_equal(kit_new(&t, 4, NR_THREADS, NULL, NULL), 0);
	t.port.cpu_relax = relax;
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, greedy, (void *)i), 0);
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	kit_cpu = 0;
	ASSERT_VALID(t.m);
	assert_int_equal(toy_free(&t), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cpu_each),
		cmocka_unit_test(moving_about),
		cmocka_unit_test(under_pressure),
	};

	return cmocka_run_group_tests_name("slab threads", tests, NULL, NULL);
}

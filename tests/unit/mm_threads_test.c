/* SPDX-License-Identifier: MIT */
/*
 * Calls on different mms at the same time: each thread forks from a common ancestor and works
 * on its own mm, whose frames, files and shared memory the others use, too; and the same while
 * equal pages are merged between their calls.  Also for TSan.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/mm_fixture.h"
#include "support/ops.h"

#define THREADS 4
#define ROUNDS 100

static __thread uint32_t cpu;
static struct test_file file;
static uint64_t kinds; /* of private pages at first, and of words that are written */
static pthread_rwlock_t calls; /* for a call, read; for a scan, written */
static bool merging;

static uint32_t this_cpu(void *ctx)
{
	(void)ctx;
	return cpu;
}

struct worker {
	pthread_t thread;
	uint32_t cpu;
	struct ondol_mm_struct *mm; /* forked by the main thread */
	const char *failed;
};

/* cmocka's assertions do not work in threads. */
#define NEED(w, condition)                                                                    \
	do {                                                                                  \
		if (!(condition)) {                                                           \
			(w)->failed = #condition;                                             \
			return false;                                                         \
		}                                                                             \
	} while (0)

static bool word_is(struct ondol_mm_struct *mm, uint64_t page, uint64_t expected)
{
	uint64_t word = 0;

	return !ondol_copy_from_user(mm, &word, AT(page), sizeof word) && word == expected;
}

static bool put_word(struct ondol_mm_struct *mm, uint64_t page, uint64_t word)
{
	return !ondol_copy_to_user(mm, AT(page), &word, sizeof word);
}

/* Pages 0-31: private, page i says first_word(i) until somebody writes his own. */
static uint64_t first_word(uint64_t page)
{
	return 100 + page % kinds;
}

static bool copy_on_write(struct worker *w, struct ops_rng *rng, uint64_t *mine)
{
	for (unsigned n = 0; n < 20; n++) {
		uint64_t i = ops_below(rng, 32);

		NEED(w, word_is(w->mm, i, mine[i]));
		if (ops_below(rng, 2)) {
			mine[i] = ops_below(rng, kinds);
			NEED(w, put_word(w->mm, i, mine[i]));
		}
	}
	return true;
}

static bool fork_and_exit(struct worker *w, struct ops_rng *rng, const uint64_t *mine)
{
	struct ondol_mm_struct *child;
	uint64_t i = ops_below(rng, 32);

	NEED(w, !ondol_dup_mm(w->mm, true, &child));
	NEED(w, put_word(child, i, 1));
	NEED(w, word_is(w->mm, i, mine[i]));
	NEED(w, word_is(child, (i + 1) % 32, mine[(i + 1) % 32]));
	ondol_mmput(child);
	return true;
}

/* A file that everybody maps, reads, forgets and shrinks; its own page of shared memory. */
static bool share(struct worker *w, struct ops_rng *rng)
{
	struct ondol_mmap_args args = { .size = sizeof args, .map_flags = ONDOL_MAP_FIXED,
					.vm_flags = R, .addr = AT(100), .length = 64 * PAGE,
					.file = file.file };
	struct ondol_fault_result result;
	uint64_t at;

	NEED(w, !ondol_mmap(w->mm, &args, &at));
	for (unsigned n = 0; n < 10; n++) {
		uint64_t i = ops_below(rng, 64);

		NEED(w, !fault_at(w->mm, AT(100 + i), ONDOL_FAULT_READ, 8, &result));
		NEED(w, word_is(w->mm, 100 + i, page_tag(i)));
	}
	NEED(w, !ondol_munmap(w->mm, AT(100), 64 * PAGE));
	ondol_address_space_shrink(file.mapping, 8);
	NEED(w, put_word(w->mm, 40 + w->cpu, w->cpu));
	NEED(w, word_is(w->mm, 40 + w->cpu, w->cpu));
	return true;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct ops_rng rng = { w->cpu };
	uint64_t mine[32];

	cpu = w->cpu;
	for (uint64_t i = 0; i < 32; i++)
		mine[i] = first_word(i);
	for (unsigned round = 0; round < ROUNDS && !w->failed; round++) {
		pthread_rwlock_rdlock(&calls);
		(void)(copy_on_write(w, &rng, mine) && fork_and_exit(w, &rng, mine) &&
		       share(w, &rng));
		pthread_rwlock_unlock(&calls);
		if (!merging || round % 4)
			continue;
		pthread_rwlock_wrlock(&calls);
		ondol_ksm_scan(fx.m, 100);
		pthread_rwlock_unlock(&calls);
	}
	pthread_rwlock_rdlock(&calls);
	ondol_mmput(w->mm);
	pthread_rwlock_unlock(&calls);
	return NULL;
}

/* A machine whose port tells CPUs apart from the beginning. */
static void begin_smp(void)
{
	struct ondol_mem_region memory = { .end = { UINT64_C(16) << 20 } };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &memory,
					   .nr_regions = 1, .nr_nodes = 1,
					   .nr_cpus = THREADS + 1 };
	struct toy *t = &fx.toy;
	size_t size, align;

	memset(&fx, 0, sizeof fx);
	t->ram_size = memory.end.value;
	t->ram = mmap(NULL, t->ram_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	t->port = (struct ondol_port){ .version = ONDOL_PORT_VERSION, .size = sizeof t->port,
				       .ctx = t, .direct_map = t->ram, .panic = toy_panic,
				       .this_cpu = this_cpu };
	assert_int_equal(ondol_machine_storage(&desc, &size, &align), 0);
	assert_int_equal(posix_memalign(&t->storage, align < 8 ? 8 : align, size), 0);
	assert_int_equal(ondol_machine_init(t->storage, size, &desc, &t->port, &t->m), 0);
	fx.m = t->m;
}

static void work_at_once(bool merge)
{
	const pthread_rwlockattr_t *no_attributes = NULL;
	struct worker workers[THREADS] = { 0 };

	kinds = merge ? 4 : UINT64_C(1) << 40;
	merging = merge;
	assert_int_equal(pthread_rwlock_init(&calls, no_attributes), 0);
	begin_smp();
	fx.mm = new_mm();
	open_file(&file, 64 * PAGE);
	map(0, 32, RW);
	map(40, THREADS + 1, RW | S);
	if (merge)
		assert_int_equal(ondol_madvise(fx.mm, AT(0), 32 * PAGE, 12), 0);
	for (uint64_t i = 0; i < 32; i++)
		poke(i, first_word(i));
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].cpu = i + 1;
		assert_int_equal(ondol_dup_mm(fx.mm, true, &workers[i].mm), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		if (workers[i].failed)
			fail_msg("thread %u: not %s", i, workers[i].failed);
		assert_int_equal(peek(40 + workers[i].cpu), workers[i].cpu);
	}
	for (uint64_t i = 0; i < 32; i++)
		assert_int_equal(peek(i), first_word(i));
	if (merge)
		assert_true(machine_stats().ksm_pages_merged > 100 && machine_stats().cow_ksm > 10);
	close_file(&file);
	end();
	pthread_rwlock_destroy(&calls);
}

static void many_at_once(void **state)
{
	(void)state;
	work_at_once(false);
}

static void merged_meanwhile(void **state)
{
	(void)state;
	work_at_once(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(merged_meanwhile),
	};

	return cmocka_run_group_tests_name("mm threads", tests, NULL, NULL);
}

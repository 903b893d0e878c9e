/* SPDX-License-Identifier: MIT */
/*
 * What any malloc owes its callers, in TAP.  It calls by the C names, so that it tests whichever
 * malloc the process has: glibc's, which must pass too, or one that is preloaded or linked in.
 * The fault test needs a limit on address space; the soak prints its seed.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *test_name;
static int nr_tests, nr_bad, bad_here;

#define CHECK(condition)                                                                          \
	do {                                                                                      \
		if (!(condition) && !bad_here++)                                                  \
			printf("# %s:%d: %s: %s\n", __FILE__, __LINE__, test_name, #condition);   \
	} while (0)

/* The compiler knows malloc and would do without calls whose results it does not see used. */
static void *volatile sink;
static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_calloc)(size_t, size_t) = calloc;
static void *(*volatile call_realloc)(void *, size_t) = realloc;
static void *(*volatile call_aligned)(size_t, size_t) = aligned_alloc;
static void *(*volatile call_memalign)(size_t, size_t) = memalign;
static void *(*volatile call_reallocarray)(void *, size_t, size_t) = reallocarray;
static void (*volatile call_free)(void *) = free;

static unsigned long next_random(unsigned long *state)
{
	unsigned long x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

/* Each size around each border, to 64 MiB. */
static size_t size_at(unsigned i)
{
	static const int around[] = { -17, -16, -1, 0, 1, 8, 15, 16, 17 };
	long size = (1L << (i / 9)) + around[i % 9];

	return size > 0 ? (size_t)size : 0;
}
#define NR_SIZES (27 * 9)

static void alignment_and_usable_size(void)
{
	for (unsigned i = 0; i < NR_SIZES; i++) {
		size_t size = size_at(i), usable;
		unsigned char *p = call_malloc(size);

		CHECK(p != NULL);
		CHECK((unsigned long)p % 16 == 0);
		usable = malloc_usable_size(p);
		CHECK(usable >= size);
		if (size <= 1 << 20)
			memset(p, 0xa5, usable); /* all of it is ours */
		else
			p[0] = p[usable - 1] = 1;
		call_free(p);
	}
	CHECK(malloc_usable_size(NULL) == 0);
}

static void zero_sizes(void)
{
	void *p = call_malloc(0), *q = call_malloc(0), *r = call_calloc(0, 5);

	CHECK(p && q && r && p != q && q != r);
	call_free(p);
	call_free(q);
	call_free(r);
	call_free(NULL);
	p = call_realloc(NULL, 0);
	CHECK(p != NULL);
	CHECK(call_realloc(p, 0) == NULL); /* frees, in glibc */
}

static void overflow_is_enomem(void)
{
	void *p, *kept = call_malloc(10);

	errno = 0;
	CHECK(!call_malloc((size_t)-1) && errno == ENOMEM);
	errno = 0;
	CHECK(!call_malloc((size_t)PTRDIFF_MAX + 1) && errno == ENOMEM);
	errno = 0;
	CHECK(!call_calloc((size_t)1 << 33, (size_t)1 << 33) && errno == ENOMEM);
	errno = 0;
	CHECK(!call_realloc(kept, (size_t)-20) && errno == ENOMEM);
	memset(kept, 1, 10); /* it is still there */
	errno = 0;
	CHECK(!call_reallocarray(kept, (size_t)1 << 33, (size_t)1 << 33) && errno == ENOMEM);
	errno = 0;
	p = call_memalign(64, (size_t)-100);
	CHECK(!p && errno == ENOMEM);
	errno = 0;
	p = pvalloc((size_t)-1);
	CHECK(!p && errno == ENOMEM);
	call_free(kept);
}

static void aligned(void)
{
	long page = sysconf(_SC_PAGESIZE);
	void *p = NULL;

	for (size_t align = 8; align <= (size_t)64 << 20; align *= 2)
		for (size_t size = 1; size < 200000; size = size * 3 + 1) {
			CHECK(posix_memalign(&p, align, size) == 0);
			CHECK((unsigned long)p % align == 0);
			CHECK(malloc_usable_size(p) >= size);
			memset(p, 1, size);
			p = call_realloc(p, size + 100);
			CHECK(p && *(char *)p == 1 && ((char *)p)[size - 1] == 1);
			call_free(p);
			p = call_aligned(align, size);
			CHECK(p && (unsigned long)p % align == 0);
			call_free(p);
			p = call_memalign(align, size);
			CHECK(p && (unsigned long)p % align == 0);
			call_free(p);
		}
	p = (void *)1;
	CHECK(posix_memalign(&p, 3, 10) == EINVAL && p == (void *)1);
	CHECK(posix_memalign(&p, 4, 10) == EINVAL);
	CHECK(posix_memalign(&p, 24, 10) == EINVAL);
	CHECK(posix_memalign(&p, 16, (size_t)-1) == ENOMEM && p == (void *)1);
	p = valloc(10);
	CHECK(p && (long)p % page == 0);
	call_free(p);
	p = pvalloc(10);
	CHECK(p && (long)p % page == 0 && malloc_usable_size(p) >= (size_t)page);
	call_free(p);
}

static void realloc_keeps_contents(void)
{
	unsigned long seed = 12345;
	unsigned char *p = NULL;
	size_t size = 0;

	for (int i = 0; i < 4000; i++) {
		unsigned bits = i % 50 ? 4 + next_random(&seed) % 14 : 27;
		size_t wanted = 1 + next_random(&seed) % (1ul << bits);

		p = call_realloc(p, wanted);
		CHECK(p != NULL);
		for (size_t k = 0; k < size && k < wanted; k += k < 70 ? 1 : 997)
			CHECK(p[k] == (unsigned char)(k * 31));
		for (size_t k = 0; k < wanted; k += k < 70 ? 1 : 997)
			p[k] = (unsigned char)(k * 31);
		size = wanted;
	}
	call_free(p);
}

/* Doubling, as vectors do; shrinking to nothing. */
static void realloc_grows_and_shrinks(void)
{
	unsigned *p = NULL;
	size_t nr = 0;

	for (size_t size = 64; size <= (size_t)128 << 20; size += size / 8 * 2) {
		p = call_realloc(p, size);
		CHECK(p != NULL);
		for (; nr < size / sizeof *p; nr++)
			p[nr] = (unsigned)nr;
		CHECK(p[nr / 2] == nr / 2 && p[nr / 3] == nr / 3);
	}
	for (size_t k = 0; k < nr; k++)
		if (p[k] != k) {
			CHECK(p[k] == k);
			break;
		}
	for (size_t size = nr * sizeof *p; size > 1000; size /= 3) {
		p = call_realloc(p, size);
		CHECK(p && p[0] == 0 && p[size / sizeof *p - 1] == size / sizeof *p - 1);
	}
	call_free(p);
}

static int is_zero(const unsigned char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (p[i])
			return 0;
	return 1;
}

static void calloc_is_zero_after_dirt(void)
{
	unsigned char *p[40];

	for (int round = 0; round < 4; round++)
		for (size_t size = 1; size <= (size_t)48 << 20; size = size * 2 + 13) {
			int nr = size > 1 << 20 ? 3 : 40;

			for (int i = 0; i < nr; i++) {
				p[i] = call_malloc(size);
				CHECK(p[i] != NULL);
				memset(p[i], 0xff, size);
			}
			for (int i = 0; i < nr; i += 2)
				call_free(p[i]);
			for (int i = 0; i < nr; i += 2) {
				p[i] = call_calloc(1, size);
				CHECK(p[i] && is_zero(p[i], size));
				memset(p[i], 0xee, size);
			}
			for (int i = 0; i < nr; i++)
				call_free(p[i]);
			if (round == 2)
				(void)malloc_trim(0);
		}
}

static void errno_is_left_alone(void)
{
	static const size_t sizes[] = { 1, 100, 5000, 100000, 1 << 20, (size_t)200 << 20 };
	void *p[6];

	for (int i = 0; i < 6; i++)
		p[i] = call_malloc(sizes[i]);
	for (int i = 0; i < 6; i++) {
		errno = 4321;
		call_free(p[i]);
		CHECK(errno == 4321);
	}
	for (int i = 0; i < 6; i++) {
		errno = 4321;
		p[i] = call_malloc(sizes[i]);
		CHECK(p[i] && errno == 4321);
		call_free(p[i]);
	}
}

static void blocks_are_disjoint(void)
{
	enum { NR = 3000 };
	static unsigned char *p[NR];
	static size_t sizes[NR];
	unsigned long seed = 99;

	for (int i = 0; i < NR; i++) {
		sizes[i] = 1 + next_random(&seed) % (1ul << (3 + next_random(&seed) % 13));
		p[i] = call_malloc(sizes[i]);
		CHECK(p[i] != NULL);
		memset(p[i], i & 0xff, sizes[i]);
	}
	for (int i = 0; i < NR; i++) {
		for (size_t k = 0; k < sizes[i]; k++)
			if (p[i][k] != (i & 0xff)) {
				CHECK(p[i][k] == (i & 0xff));
				break;
			}
		call_free(p[i]);
	}
}

static void huge_blocks(void)
{
	unsigned char *p[20];

	for (int i = 0; i < 20; i++) {
		p[i] = call_calloc(1, ((size_t)i + 30) << 20);
		CHECK(p[i] != NULL);
		p[i][0] = p[i][((size_t)i + 30) * (1 << 20) - 1] = 1;
	}
	for (int i = 0; i < 20; i += 3)
		call_free(p[i]);
	for (int i = 0; i < 20; i++)
		if (i % 3) {
			CHECK(malloc_usable_size(p[i]) >= ((size_t)i + 30) << 20);
			CHECK(p[i][0] == 1);
			call_free(p[i]);
		}
}

static void figures(void)
{
	struct mallinfo2 before = mallinfo2(), with, after;
	enum { NR = 20000 };
	static void *p[NR];

	for (int i = 0; i < NR; i++)
		p[i] = call_malloc(1000);
	with = mallinfo2();
	for (int i = 0; i < NR; i++)
		call_free(p[i]);
	after = mallinfo2();
	CHECK(with.uordblks >= before.uordblks + NR * 1000ul);
	CHECK(with.uordblks <= before.uordblks + NR * 1200ul);
	CHECK(after.uordblks <= before.uordblks + 200000);
	CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);

	(void)malloc_trim(0);
}

/* ------------------------------------------------------------------ threads */

#define NR_THREADS 8
#define NR_SLOTS 512
struct slot {
	pthread_mutex_t lock;
	unsigned char *p;
	size_t size;
	unsigned char value;
};
static struct slot slots[NR_SLOTS];
static unsigned long soak_seed, soak_steps;

/* Marks at both ends and in the middle say whose the block is. */
static void stamp(struct slot *slot)
{
	slot->p[0] = slot->p[slot->size / 2] = slot->p[slot->size - 1] = slot->value;
}

static int is_stamped(const struct slot *slot)
{
	return slot->p[0] == slot->value && slot->p[slot->size / 2] == slot->value &&
	       slot->p[slot->size - 1] == slot->value;
}

static void soak_step(struct slot *slot, unsigned long *seed)
{
	unsigned kind = next_random(seed) % 10;
	size_t size = 1 + next_random(seed) % (1ul << (2 + next_random(seed) % 14));

	if (next_random(seed) % 4096 == 0)
		size = 1 + next_random(seed) % (40ul << 20);
	if (slot->p && !is_stamped(slot))
		CHECK(!"a block changed under its owner");
	if (slot->p && kind < 4) {
		call_free(slot->p);
		slot->p = NULL;
		return;
	}
	if (slot->p && kind < 6) {
		slot->p = call_realloc(slot->p, size);
		CHECK(slot->p[0] == slot->value);
	} else {
		call_free(slot->p);
		slot->p = kind == 6 ? call_aligned(64, size) : kind == 7 ? call_calloc(1, size) :
			  call_malloc(size);
		if (kind == 7)
			CHECK(!slot->p[0] && !slot->p[size / 2] && !slot->p[size - 1]);
	}
	slot->size = size;
	slot->value = (unsigned char)next_random(seed);
	stamp(slot);
}

static void *soak_thread(void *arg)
{
	unsigned long seed = soak_seed * 7919 + (unsigned long)arg + 1;

	for (unsigned long i = 0; i < soak_steps; i++) {
		struct slot *slot = &slots[next_random(&seed) % NR_SLOTS];

		pthread_mutex_lock(&slot->lock);
		soak_step(slot, &seed);
		pthread_mutex_unlock(&slot->lock);
	}
	return NULL;
}

static void run_threads(void *(*body)(void *))
{
	pthread_t threads[NR_THREADS];

	for (long i = 0; i < NR_THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, body, (void *)i));
	for (int i = 0; i < NR_THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
}

static void soak(void)
{
	const char *seed = getenv("SEED"), *steps = getenv("STEPS");

	soak_seed = seed ? strtoul(seed, NULL, 0) : (unsigned long)getpid();
	soak_steps = steps ? strtoul(steps, NULL, 0) : 60000;
	printf("# soak: SEED=%lu\n", soak_seed);
	for (int i = 0; i < NR_SLOTS; i++)
		pthread_mutex_init(&slots[i].lock, NULL);
	for (int round = 0; round < 3; round++) /* threads end and new ones begin */
		run_threads(soak_thread);
	for (int i = 0; i < NR_SLOTS; i++) {
		CHECK(!slots[i].p || is_stamped(&slots[i]));
		call_free(slots[i].p);
		slots[i].p = NULL;
	}
}

static pthread_key_t keys[3];
static int nr_destroyed;

static void destroy_late(void *p)
{
	void *q = call_malloc(300);

	CHECK(q && *(unsigned char *)p == 0x42);
	call_free(p);
	call_free(q);
	__atomic_add_fetch(&nr_destroyed, 1, __ATOMIC_RELAXED);
}

static void *thread_with_keys(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++) {
		unsigned char *p = call_malloc(100 + 1000 * (size_t)i);

		*p = 0x42;
		pthread_setspecific(keys[i], p);
	}
	return NULL;
}

static void thread_exit_destructors(void)
{
	for (int i = 0; i < 3; i++)
		CHECK(!pthread_key_create(&keys[i], destroy_late));
	nr_destroyed = 0;
	for (int round = 0; round < 30; round++)
		run_threads(thread_with_keys);
	CHECK(nr_destroyed == 30 * NR_THREADS * 3);
	for (int i = 0; i < 3; i++)
		pthread_key_delete(keys[i]);
}

/* What threads that ended had in their hands is there for others: memory does not grow. */
static void *thread_that_leaves(void *arg)
{
	void *p[200];

	for (int i = 0; i < 200; i++)
		p[i] = memset(call_malloc(4000), 1, 4000);
	for (int i = 0; i < 200; i++)
		call_free(p[i]);
	return arg;
}

static long resident_pages(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size, resident = 0;

	if (f && fscanf(f, "%ld %ld", &size, &resident) != 2)
		resident = 0;
	if (f)
		fclose(f);
	return resident;
}

static void threads_leave_nothing(void)
{
	long before;

	for (int i = 0; i < 20; i++)
		run_threads(thread_that_leaves);
	before = resident_pages();
	for (int i = 0; i < 60; i++)
		run_threads(thread_that_leaves);
	CHECK(resident_pages() < before + 4096); /* 480 threads had 800 KB each */
}

/* ------------------------------------------------------------------ fork */

static int stop_forking;

static void *churn(void *arg)
{
	unsigned long seed = (unsigned long)arg + 5;
	void *p[64] = { NULL };

	while (!__atomic_load_n(&stop_forking, __ATOMIC_RELAXED)) {
		unsigned i = next_random(&seed) % 64;

		call_free(p[i]);
		p[i] = call_malloc(1 + next_random(&seed) % (1u << (next_random(&seed) % 18)));
		*(char *)p[i] = 1;
	}
	for (int i = 0; i < 64; i++)
		call_free(p[i]);
	return NULL;
}

static int child_works(void)
{
	unsigned long seed = (unsigned long)getpid();
	struct slot slot = { 0 };
	pthread_t thread;

	for (int i = 0; i < 2000; i++)
		soak_step(&slot, &seed);
	call_free(slot.p);
	stop_forking = 1;
	if (pthread_create(&thread, NULL, churn, NULL) || pthread_join(thread, NULL))
		return 1;
	return bad_here != 0;
}

static void fork_from_threads(void)
{
	pthread_t threads[3];

	stop_forking = 0;
	for (long i = 0; i < 3; i++)
		CHECK(!pthread_create(&threads[i], NULL, churn, (void *)i));
	for (int i = 0; i < 150; i++) {
		pid_t pid = fork();
		int status = 0;

		if (!pid) {
			alarm(60);
			_exit(child_works());
		}
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
		CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
	}
	__atomic_store_n(&stop_forking, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

/* ------------------------------------------------------------------ refusal */

/* At every step of the way down the malloc refuses with ENOMEM, and works again afterwards. */
static int child_starves(void)
{
	struct rlimit limit;
	void *chain = NULL, **p;
	unsigned long nr = 0, again = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages;

	sink = call_malloc(1);
	if (!f || fscanf(f, "%lu", &pages) != 1)
		return 1;
	fclose(f);
	limit.rlim_cur = limit.rlim_max = (pages + 25000) * 4096; /* 100 MB more */
	if (setrlimit(RLIMIT_AS, &limit))
		return 2;
	for (;; nr++) {
		p = call_malloc((size_t)50 << 20);
		if (!p)
			break;
		*p = chain;
		chain = p;
	}
	if (errno != ENOMEM || nr > 10000 || call_calloc(60, 1 << 20))
		return 3;
	for (; chain; chain = p) {
		p = *(void **)chain;
		call_free(chain);
	}
	while (again < nr && (p = call_malloc((size_t)50 << 20)))
		again++;
	return again == nr && nr ? 0 : 4;
}

static void refusal(void)
{
	pid_t pid = fork();
	int status = 0;

	if (!pid)
		_exit(child_starves());
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
}

/*
 * Signal handlers.  No malloc promises anything to a handler that interrupts malloc itself, which
 * may hold a lock; one that interrupts anything else may allocate, at any time of a thread's life.
 */
#define NR_SIGNALS 300
static struct {
	volatile sig_atomic_t is_outside; /* of malloc: the handler may call it */
	volatile unsigned nr, nr_wrong, end;
	unsigned long random;
	unsigned char *block[32];
	size_t size[32];
} handled;

static void handler(int signal)
{
	unsigned i = (unsigned)next_random(&handled.random) % 32;
	int saved = errno;
	size_t size;

	(void)signal;
	if (!handled.is_outside)
		return;
	for (size_t k = 0; handled.block[i] && k < handled.size[i]; k += 61)
		handled.nr_wrong += handled.block[i][k] != i + 1;
	size = handled.nr % 16 ? next_random(&handled.random) % 5000 + 1 : 300000;
	if (handled.nr % 3) {
		call_free(handled.block[i]);
		handled.block[i] = call_malloc(size);
	} else {
		handled.block[i] = call_realloc(handled.block[i], size);
	}
	handled.size[i] = size;
	if (handled.block[i])
		memset(handled.block[i], (int)i + 1, size);
	handled.nr_wrong += !handled.block[i];
	handled.nr++;
	errno = saved;
}

/* Allocates and frees what `seed` says, until `handled.end` or `nr` times. */
static void come_and_go(unsigned long seed, unsigned nr)
{
	void *mine[64] = { NULL };

	for (unsigned i = 0; i < nr && !handled.end; i++) {
		unsigned at = (unsigned)next_random(&seed) % 64;

		call_free(mine[at]);
		mine[at] = call_malloc(next_random(&seed) % 5000);
	}
	for (unsigned i = 0; i < 64; i++)
		call_free(mine[i]);
}

static void *comes_and_goes(void *unused)
{
	(void)unused;
	come_and_go(7, ~0U);
	return NULL;
}

/* The first call of a thread's life. */
static void *first_in_handler(void *unused)
{
	(void)unused;
	(void)pthread_kill(pthread_self(), SIGUSR1);
	return NULL;
}

static void in_signal_handlers(void)
{
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	pthread_t thread;
	sigset_t alarm;

	handled.random = 88172645463325252UL;
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	CHECK(!sigaction(SIGALRM, &action, NULL) && !sigaction(SIGUSR1, &action, NULL));
	(void)pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	CHECK(!pthread_create(&thread, NULL, comes_and_goes, NULL));
	(void)pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	CHECK(!setitimer(ITIMER_REAL, &every, NULL));
	for (unsigned round = 0; handled.nr < NR_SIGNALS; round++) {
		come_and_go(round + 1, 100);
		handled.is_outside = 1;
		for (volatile unsigned spin = 0; spin < 20000; spin++)
			;
		handled.is_outside = 0;
	}
	CHECK(!setitimer(ITIMER_REAL, &never, NULL));
	handled.end = 1;
	CHECK(!pthread_join(thread, NULL));
	handled.is_outside = 1;
	for (unsigned i = 0; i < 20; i++) {
		CHECK(!pthread_create(&thread, NULL, first_in_handler, NULL));
		CHECK(!pthread_join(thread, NULL));
	}
	CHECK(handled.nr >= NR_SIGNALS + 20 && !handled.nr_wrong);
	for (unsigned i = 0; i < 32; i++)
		call_free(handled.block[i]);
}

/* A double free must not go on as if nothing had been: the process ends, at the latest soon. */
static void double_free_ends(void)
{
	pid_t pid = fork();
	int status = 0;

	if (!pid) {
		void *p[3000], *volatile twice = NULL;

		(void)!freopen("/dev/null", "w", stderr);
		for (int i = 0; i < 3000; i++)
			p[i] = call_malloc(200);
		twice = p[100];
		for (int i = 0; i < 3000; i++)
			call_free(p[i]);
		call_free(twice);
		for (int i = 0; i < 3000; i++)
			p[i] = call_malloc(200);
		for (int i = 0; i < 3000; i++)
			call_free(p[i]);
		(void)malloc_trim(0);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static const struct {
	const char *name;
	void (*body)(void);
} tests[] = {
	{ "alignment and usable size", alignment_and_usable_size },
	{ "zero sizes", zero_sizes },
	{ "overflow is ENOMEM", overflow_is_enomem },
	{ "aligned allocations", aligned },
	{ "realloc keeps contents", realloc_keeps_contents },
	{ "realloc grows and shrinks", realloc_grows_and_shrinks },
	{ "calloc is zero after dirty reuse", calloc_is_zero_after_dirt },
	{ "errno is left alone", errno_is_left_alone },
	{ "blocks are disjoint", blocks_are_disjoint },
	{ "huge blocks", huge_blocks },
	{ "mallinfo2 counts", figures },
	{ "eight threads, remote frees", soak },
	{ "destructors at thread exit", thread_exit_destructors },
	{ "threads leave nothing", threads_leave_nothing },
	{ "fork from threads", fork_from_threads },
	{ "in signal handlers", in_signal_handlers },
	{ "refusal", refusal },
	{ "a double free ends the process", double_free_ends },
};

int main(void)
{
	const char *only = getenv("T");

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++) {
		test_name = tests[i].name;
		if (only && !strstr(test_name, only))
			continue;
		bad_here = 0;
		tests[i].body();
		nr_bad += bad_here != 0;
		printf("%sok %d - %s\n", bad_here ? "not " : "", ++nr_tests, test_name);
	}
	return nr_bad != 0;
}

/* SPDX-License-Identifier: MIT */
/* Futexes that the kernel itself reads and writes: PI, robust, wake-op, on untouched words. */
#include "check.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

enum { THREADS = 4, ROUNDS = 2000 };

struct shared {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	int value;
};

static long futex(uint32_t *word, int op, uint32_t val, void *timeout, uint32_t *word2,
		  uint32_t val3)
{
	return syscall(SYS_futex, word, op, val, timeout, word2, val3);
}

static void init(struct shared *s, int protocol, int robust, int pshared)
{
	pthread_mutexattr_t attr;
	pthread_condattr_t cattr;

	CHECK(pthread_mutexattr_init(&attr) == 0);
	CHECK(pthread_mutexattr_setprotocol(&attr, protocol) == 0);
	CHECK(pthread_mutexattr_setrobust(&attr, robust) == 0);
	CHECK(pthread_mutexattr_setpshared(&attr, pshared) == 0);
	CHECK(pthread_mutex_init(&s->mutex, &attr) == 0);
	CHECK(pthread_condattr_init(&cattr) == 0);
	CHECK(pthread_condattr_setpshared(&cattr, pshared) == 0);
	CHECK(pthread_cond_init(&s->cond, &cattr) == 0);
}

static void *adder(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		CHECK(pthread_mutex_lock(&s->mutex) == 0);
		s->value++;
		CHECK(pthread_mutex_unlock(&s->mutex) == 0);
	}
	return NULL;
}

static void threads(int protocol, const char *name)
{
	struct shared *s = (void *)map_anon(PAGE, PROT_READ | PROT_WRITE);
	pthread_t t[THREADS];

	init(s, protocol, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, adder, s) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK(s->value == THREADS * ROUNDS);
	say("%s mutex: %d\n", name, s->value);
}

/* The owner dies: the kernel walks its list of held mutexes and marks them. */
static void robust(int protocol, const char *name)
{
	struct shared *s = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	CHECK(s != MAP_FAILED);
	init(s, protocol, PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_SHARED);
	for (int i = 0; i < 3; i++) {
		pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			CHECK(pthread_mutex_lock(&s->mutex) == 0);
			s->value++;
			if (i == 2)
				kill(getpid(), SIGKILL);
			_exit(0); /* with the lock held */
		}
		CHECK(waitpid(pid, NULL, 0) == pid);
		CHECK(pthread_mutex_lock(&s->mutex) == EOWNERDEAD);
		CHECK(s->value == i + 1);
		CHECK(pthread_mutex_consistent(&s->mutex) == 0);
		CHECK(pthread_mutex_unlock(&s->mutex) == 0);
	}
	say("%s robust mutex: the owner died, thrice\n", name);
}

static void condition(void)
{
	struct shared *s = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	CHECK(s != MAP_FAILED);
	init(s, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_SHARED);
	pid = fork();
	CHECK(pid >= 0);
	for (int i = 0; i < 100; i++) {
		CHECK(pthread_mutex_lock(&s->mutex) == 0);
		while ((s->value & 1) != !pid)
			CHECK(pthread_cond_wait(&s->cond, &s->mutex) == 0);
		s->value++;
		CHECK(pthread_cond_broadcast(&s->cond) == 0);
		CHECK(pthread_mutex_unlock(&s->mutex) == 0);
	}
	if (!pid)
		_exit(0);
	reap(pid, 0);
	CHECK(s->value == 200);
	say("condition variable across processes\n");
}

static void raw_words(void)
{
	/* Each word in a page of its own that nobody has touched. */
	unsigned char *p = map_anon(16 * PAGE, PROT_READ | PROT_WRITE);
	uint32_t *word[8];
	struct timespec soon = { .tv_nsec = 1000000 };

	for (int i = 0; i < 8; i++)
		word[i] = (uint32_t *)(void *)(p + (unsigned)(i * 2) * PAGE);
	CHECK(futex(word[0], FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
	CHECK((*word[0] & FUTEX_TID_MASK) == (uint32_t)syscall(SYS_gettid));
	CHECK(futex(word[0], FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0 && *word[0] == 0);
	CHECK(futex(word[1], FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0) == 0 && *word[1]);
	CHECK(futex(word[1], FUTEX_LOCK_PI, 0, NULL, NULL, 0) == -1 && errno == EDEADLK);
	CHECK(futex(word[2], FUTEX_WAKE_OP, 1, (void *)1, word[3],
		    FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0)) == 0);
	CHECK(*word[3] == 5);
	CHECK(futex(word[4], FUTEX_WAIT, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
	CHECK(futex(word[5], FUTEX_WAIT, 0, &soon, NULL, 0) == -1 && errno == ETIMEDOUT);
	CHECK(futex(word[6], FUTEX_CMP_REQUEUE, 1, (void *)1, word[7], 0) == 0);
	CHECK(futex(word[6], FUTEX_CMP_REQUEUE, 1, (void *)1, word[7], 9) == -1 && errno == EAGAIN);
	CHECK(futex((uint32_t *)8, FUTEX_WAIT, 0, &soon, NULL, 0) == -1 && errno == EFAULT);
	CHECK(futex((uint32_t *)8, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == -1 && errno == EFAULT);
	say("raw futexes on untouched words\n");
}

int main(void)
{
	threads(PTHREAD_PRIO_NONE, "plain");
	threads(PTHREAD_PRIO_INHERIT, "PI");
	robust(PTHREAD_PRIO_NONE, "plain");
	robust(PTHREAD_PRIO_INHERIT, "PI");
	condition();
	raw_words();
	return 0;
}

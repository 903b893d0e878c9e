/* SPDX-License-Identifier: MIT */
/* PROT_NONE guards around data and below thread stacks. */
#include "check.h"
#include <limits.h>
#include <pthread.h>

static void around_data(void)
{
	unsigned char *p = map_anon(10 * PAGE, PROT_NONE);
	int fd[2];

	CHECK(pipe(fd) == 0 && write(fd[1], "abcdef", 6) == 6);
	for (unsigned i = 1; i < 10; i += 2)
		CHECK(mprotect(p + i * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	for (unsigned i = 0; i < 10; i++) {
		int expected = i % 2 ? 0 : SIGSEGV;

		CHECK(FAULTS(*(volatile unsigned char *)(p + i * PAGE + 17) = 3) == expected);
		CHECK(FAULTS((void)*(volatile unsigned char *)(p + i * PAGE + 18)) == expected);
		if (expected)
			CHECK(fault_info.si_code == SEGV_ACCERR);
	}
	CHECK(read(fd[0], p, 3) == -1 && errno == EFAULT);
	/* Over the edge: what fits is copied, or nothing is; the guard is never written. */
	CHECK(read(fd[0], p + 2 * PAGE - 3, 3) == 3 && !memcmp(p + 2 * PAGE - 3, "abc", 3));
	CHECK(write(fd[1], p + 2 * PAGE, 1) == -1 && errno == EFAULT);
	say("guards around data\n");

	for (volatile int i = 0; i < 500; i++) {
		CHECK(mprotect(p + PAGE, PAGE, PROT_NONE) == 0);
		CHECK(FAULTS((void)*(volatile unsigned char *)(p + PAGE)) == SIGSEGV);
		CHECK(mprotect(p + PAGE, PAGE, PROT_READ) == 0);
		CHECK(p[PAGE + 17] == 3);
		CHECK(FAULTS(*(volatile unsigned char *)(p + PAGE) = 1) == SIGSEGV);
	}
	say("on and off\n");
	CHECK(mprotect(p + 1, PAGE, PROT_READ) == -1 && errno == EINVAL);
}

__attribute__((noinline)) static int overflow(int n)
{
	volatile char frame[512];

	frame[0] = (char)n;
	return n < INT_MAX ? overflow(n + 1) + frame[0] : 0;
}

static void *thread(void *arg)
{
	static unsigned char alt[1 << 16];
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof alt };
	pthread_attr_t attr;
	size_t guard, size;
	void *low;

	CHECK(sigaltstack(&ss, NULL) == 0);
	CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
	CHECK(pthread_attr_getguardsize(&attr, &guard) == 0 && guard == PAGE);
	CHECK(pthread_attr_getstack(&attr, &low, &size) == 0);
	CHECK(FAULTS(overflow(0)) == SIGSEGV);
	CHECK(fault_info.si_code == SEGV_ACCERR);
	/* The guard lies just below what may be used. */
	CHECK((char *)fault_info.si_addr < (char *)low + PAGE &&
	      (char *)fault_info.si_addr >= (char *)low - PAGE);
	pthread_attr_destroy(&attr);
	return arg;
}

int main(void)
{
	pthread_attr_t attr;
	pthread_t t;

	catch_faults(SA_ONSTACK);
	around_data();
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstacksize(&attr, 256 << 10) == 0);
	CHECK(pthread_create(&t, &attr, thread, NULL) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	say("guard below a thread's stack\n");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* The stack grows as it is used, up to its limit and no further. */
#include "check.h"
#include <limits.h>
#include <sys/resource.h>

static char *volatile deepest;
static unsigned char alt[1 << 16];

__attribute__((noinline)) static long down(long n, long limit)
{
	volatile char frame[1024];

	frame[0] = (char)n;
	frame[1023] = (char)(n + 1);
	deepest = (char *)(uintptr_t)frame;
	long r = n < limit ? down(n + 1, limit) : 0;
	CHECK(frame[0] == (char)n && frame[1023] == (char)(n + 1));
	return r + 1;
}

/* One frame much larger than a page, its far end first. */
__attribute__((noinline)) static void far_jump(void)
{
	volatile char big[2 << 20];

	big[0] = 1;
	big[sizeof big - 1] = 2;
	CHECK(big[0] == 1 && big[1 << 20] == 0 && big[sizeof big - 1] == 2);
}

int main(void)
{
	struct rlimit limit;
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof alt };
	char here;

	CHECK(getrlimit(RLIMIT_STACK, &limit) == 0);
	if (limit.rlim_cur == RLIM_INFINITY) {
		say("the stack has no limit\n");
		return 0;
	}
	far_jump();
	say("a far jump down\n");
	long n = (long)(limit.rlim_cur / 2 / 1200);
	CHECK(down(0, n) == n + 1);
	say("half the stack, up and down\n");

	CHECK(sigaltstack(&ss, NULL) == 0);
	catch_faults(SA_ONSTACK);
	deepest = NULL;
	CHECK(FAULTS(down(0, LONG_MAX)) == SIGSEGV);
	size_t used = (size_t)(&here - deepest);
	CHECK(used <= limit.rlim_cur);
	CHECK(used > limit.rlim_cur - (512 << 10)); /* arguments and environment are above */
	say("overflow at the limit\n");

	/* And after that everything still works. */
	CHECK(down(0, n) == n + 1);
	say("used again\n");
	return 0;
}

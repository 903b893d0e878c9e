/* SPDX-License-Identifier: MIT */
/* Signals without SA_RESTART all the time: no memory call is interrupted. */
#include "check.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

static volatile sig_atomic_t ticks;

static void tick(int sig)
{
	ticks += sig != 0;
}

int main(void)
{
	struct itimerval every = { { 0, 100 }, { 0, 100 } }, never = { { 0 }, { 0 } };
	struct sigaction action = { .sa_handler = tick };
	struct rlimit limit;

	CHECK(!sigaction(SIGALRM, &action, NULL));
	CHECK(!setitimer(ITIMER_REAL, &every, NULL));
	for (int i = 0; i < 4000 || ticks < 100; i++) {
		char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		CHECK(p != MAP_FAILED);
		p[0] = 1;
		CHECK(!mprotect(p, PAGE, PROT_READ));
		CHECK(!getrlimit(RLIMIT_AS, &limit));
		CHECK(!madvise(p + PAGE, PAGE, MADV_DONTNEED));
		CHECK(sbrk(PAGE) != (void *)-1 && sbrk(-(long)PAGE) != (void *)-1);
		CHECK(!munmap(p, 4 * PAGE));
	}
	CHECK(!setitimer(ITIMER_REAL, &never, NULL));
	say("never interrupted\n");
	return 0;
}

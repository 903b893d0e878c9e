/* SPDX-License-Identifier: MIT */
/* A helper that shares memory and that no tracer is told of, as LeakSanitizer's. */
#include "check.h"
#include <sched.h>

static unsigned char *fresh;

static int helper(void *arg)
{
	unsigned char *mine = map_anon(16 * PAGE, PROT_READ | PROT_WRITE);
	int *out = arg;

	memset(mine, 5, 16 * PAGE);
	memset(fresh, 6, 16 * PAGE);
	CHECK(!mprotect(mine, PAGE, PROT_READ));
	CHECK(!munmap(mine + PAGE, 15 * PAGE));
	*out = mine[0];
	return 9;
}

int main(void)
{
	unsigned char *stack = map_anon(64 * PAGE, PROT_READ | PROT_WRITE);
	int out;

	fresh = map_anon(16 * PAGE, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 20; i++) {
		out = 0;
		pid_t pid = clone(helper, stack + 64 * PAGE, CLONE_VM | CLONE_FS | CLONE_FILES |
				  CLONE_UNTRACED | SIGCHLD, &out);

		CHECK(pid > 0);
		reap(pid, 9);
		CHECK(out == 5 && fresh[15 * PAGE] == 6);
	}
	say("20 helpers\n");
	return 0;
}

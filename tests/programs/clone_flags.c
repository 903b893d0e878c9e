/* SPDX-License-Identifier: MIT */
/* Forks with the flags that show a child to a tracer or keep it from one: both are borne. */
#include "check.h"
#include <sched.h>
#include <sys/syscall.h>

static const unsigned long flags[] = {
	0,
	CLONE_UNTRACED,
	CLONE_PTRACE,
	CLONE_UNTRACED | CLONE_PTRACE,
	CLONE_VFORK,
	CLONE_VFORK | CLONE_UNTRACED | CLONE_PTRACE,
	CLONE_PARENT_SETTID | CLONE_UNTRACED,
};

static int helper(void *arg)
{
	return *(int *)arg;
}

int main(void)
{
	unsigned char *stack = map_anon(16 * PAGE, PROT_READ | PROT_WRITE);
	int seven = 7, tid;

	for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++)
		for (int round = 0; round < 20; round++) {
			pid_t pid = (pid_t)syscall(SYS_clone, flags[i] | SIGCHLD, 0, &tid, 0, 0);

			CHECK(pid >= 0);
			if (!pid)
				_exit((int)i);
			reap(pid, (int)i);
		}
	say("forks\n");
	for (int round = 0; round < 20; round++) {
		pid_t pid = clone(helper, stack + 16 * PAGE,
				  CLONE_VM | CLONE_VFORK | CLONE_PTRACE | SIGCHLD, &seven);

		CHECK(pid > 0);
		reap(pid, 7);
	}
	say("shared memory\n");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* vfork: the child runs in the parent's memory until it execs or exits. */
#include "check.h"

int main(int argc, char **argv)
{
	static volatile int shared;
	unsigned char *fresh = map_anon(16 * PAGE, PROT_READ | PROT_WRITE);

	if (argc > 1)
		return atoi(argv[1]);
	for (int i = 0; i < 50; i++) {
		char number[16];
		char *args[] = { argv[0], number, NULL };
		pid_t pid;

		snprintf(number, sizeof number, "%d", i);
		pid = vfork();
		CHECK(pid >= 0);
		if (!pid) {
			shared = i + 1;
			fresh[(i % 16) * PAGE] = (unsigned char)i;
			execv("/proc/self/exe", args);
			_exit(99);
		}
		CHECK(shared == i + 1);
		CHECK(fresh[(i % 16) * PAGE] == i);
		reap(pid, i);
	}
	say("50 times vfork and exec\n");

	for (volatile int i = 0; i < 10; i++) {
		volatile int child_errno = 0;
		pid_t pid = vfork();

		CHECK(pid >= 0);
		if (!pid) {
			execl("./no-such-program", "x", (char *)NULL);
			child_errno = errno;
			_exit(3);
		}
		CHECK(child_errno == ENOENT);
		reap(pid, 3);
	}
	say("a failed exec tells its errno\n");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* System V memory that a child does not get: its place is free there, and the child can use it. */
#include "check.h"
#include <sys/shm.h>

#define SIZE (1ul << 20)

int main(void)
{
	int id = shmget(IPC_PRIVATE, SIZE, 0600);
	char *p;

	CHECK(id >= 0);
	p = shmat(id, NULL, 0);
	CHECK(p != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0);
	p[0] = 5;
	CHECK(madvise(p, SIZE, MADV_DONTFORK) == 0);
	for (int round = 0; round < 5; round++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			catch_faults(0);
			CHECK(FAULTS((void)*(volatile char *)p) == SIGSEGV);
			char *q = mmap(p, SIZE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

			CHECK(q == p && q[0] == 0);
			memset(q, 1, SIZE);
			_exit(3);
		}
		reap(pid, 3);
		CHECK(p[0] == 5);
	}
	CHECK(madvise(p, SIZE, MADV_DOFORK) == 0);
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid)
		_exit(p[0]);
	reap(pid, 5);
	say("left out, and not\n");
	return 0;
}

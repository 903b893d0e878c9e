/* SPDX-License-Identifier: MIT */
/* System V segments side by side: each is detached by itself. */
#include "check.h"
#include <sys/ipc.h>
#include <sys/shm.h>

enum { NR = 4 };

int main(void)
{
	unsigned char *p[NR];
	int id[NR];

	for (int i = 0; i < NR; i++) {
		id[i] = shmget(IPC_PRIVATE, 4 * PAGE, IPC_CREAT | 0600);
		CHECK(id[i] >= 0);
		p[i] = shmat(id[i], NULL, 0);
		CHECK(p[i] != (void *)-1);
		CHECK(!shmctl(id[i], IPC_RMID, NULL));
		memset(p[i], i + 1, 4 * PAGE);
	}
	for (int i = 0; i < NR; i += 2)
		CHECK(!shmdt(p[i]));
	for (int i = 1; i < NR; i += 2) {
		CHECK(p[i][0] == i + 1 && p[i][4 * PAGE - 1] == i + 1);
		CHECK(!shmdt(p[i]));
		CHECK(shmdt(p[i]) == -1 && errno == EINVAL);
	}
	say("each by itself\n");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* Processes that end while one of their threads is in the middle of a fork, again and again. */
#include "check.h"
#include <pthread.h>
#include <sys/prctl.h>

static void *forker(void *arg)
{
	(void)arg;
	for (;;) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
	return NULL;
}

static void child(int n)
{
	pthread_t thread;

	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&thread, NULL, forker, NULL) == 0);
	usleep(500 + 331 * (unsigned)n);
	if (n % 2)
		kill(getpid(), SIGKILL);
	_exit(n);
}

int main(void)
{
	int status;

	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0); /* grandchildren come to us */
	for (int n = 0; n < 40; n++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			child(n);
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(n % 2 ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == n);
	}
	while (wait(NULL) > 0)
		;
	CHECK(errno == ECHILD);
	say("no process is left over\n");
	return 0;
}

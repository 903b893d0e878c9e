/* SPDX-License-Identifier: MIT */
/* Threads end one after another, and are joined, while another thread forks. */
#include "check.h"
#include <pthread.h>

enum { FORKS = 150, AT_LEAST = 150 };

static atomic_bool stop;

static void *ends(void *arg)
{
	return arg;
}

static void *joins(void *arg)
{
	uintptr_t n = 0;

	(void)arg;
	for (; !stop || n < AT_LEAST; n++) {
		pthread_t thread;
		void *result;

		CHECK(pthread_create(&thread, NULL, ends, (void *)n) == 0);
		CHECK(pthread_join(thread, &result) == 0 && result == (void *)n);
	}
	return NULL;
}

int main(void)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, joins, NULL) == 0);
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			_exit(5);
		reap(pid, 5);
	}
	stop = true;
	CHECK(pthread_join(thread, NULL) == 0);
	say("all joined\n");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* Which processors a program may use is what it would be without Ondol, and what it asks for. */
#include "check.h"
#include <pthread.h>
#include <sched.h>

static void show(const char *what)
{
	char line[256];
	cpu_set_t set;
	FILE *f = fopen("/proc/self/status", "r");

	CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
	say("%s: %d processors\n", what, CPU_COUNT(&set));
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, "Cpus_allowed", 12))
			say("%s", line);
	fclose(f);
}

static void *thread(void *arg)
{
	show(arg);
	return NULL;
}

static void in_child_and_thread(const char *what)
{
	pthread_t t;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		show(what);
		_exit(0);
	}
	reap(pid, 0);
	CHECK(pthread_create(&t, NULL, thread, (void *)what) == 0);
	CHECK(pthread_join(t, NULL) == 0);
}

int main(void)
{
	cpu_set_t all, one;
	int first = 0;

	CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
	while (!CPU_ISSET(first, &all))
		first++;
	show("at first");
	in_child_and_thread("inherited");
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
	CHECK(sched_getcpu() == first);
	show("one");
	in_child_and_thread("one, inherited");
	CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
	show("all again");
	CPU_ZERO(&one);
	CHECK(sched_setaffinity(0, sizeof one, &one) == -1 && errno == EINVAL);
	CHECK(sched_getaffinity(0, 3, &one) == -1 && errno == EINVAL);
	CHECK(sched_getaffinity(0, sizeof one, (cpu_set_t *)8) == -1 && errno == EFAULT);
	CHECK(sched_getaffinity(getppid(), sizeof one, &one) == 0);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * What may be promised, as overcommit.sh runs it on a machine of 64 MiB: prints what each request
 * gets.  A MiB is a letter's worth; sizes are in MiB.
 */
#include "try.h"

#define MIB (1ul << 20)

static const char *ask(size_t mib, int flags)
{
	return mmap(NULL, mib * MIB, 3, flags, -1, 0) == MAP_FAILED ? strerror(errno) : "given";
}

/* A figure of /proc/meminfo, MiB. */
static long meminfo(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[256];
	long value = -1;

	CHECK(f);
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)))
			value = atol(line + strlen(name)) / 1024;
	fclose(f);
	return value;
}

int main(void)
{
	long before = meminfo("Committed_AS:");
	unsigned mib = 0;

	say("100 at once: %s\n", ask(100, ANON));
	say("100 shared: %s\n", ask(100, MAP_SHARED | MAP_ANONYMOUS));
	say("100 with MAP_NORESERVE: %s\n", ask(100, ANON | MAP_NORESERVE));
	say("20: %s\n", ask(20, ANON));
	say("counted: %d\n", labs(meminfo("Committed_AS:") - before - 20) <= 2);
	while (mib < 200 && !strcmp(ask(1, ANON), "given"))
		mib++;
	say("then one by one: %s\n",
	    mib == 200 ? "200 and more" : mib < 20 ? "under 20" : "over 20");
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	say("fork: %s\n", pid < 0 ? strerror(errno) : "done");
	if (pid > 0)
		reap(pid, 0);
	unsigned char *q = mmap(NULL, MIB, 1, ANON, -1, 0);

	say("read-only: %s\n", q == MAP_FAILED ? strerror(errno) : "given");
	say("made writable: %s\n", mprotect(q, MIB, 3) ? strerror(errno) : "given");
	say("the heap: %s\n", sbrk(MIB) == (void *)-1 ? strerror(errno) : "given");
	return 0;
}

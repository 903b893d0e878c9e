/* SPDX-License-Identifier: MIT */
/* For tests/programs/bad_days.sh: a program that lays hands on what Ondol keeps in it. */
#include "check.h"
#include <dirent.h>

#define STUB 0x567f00000000ul /* ports/linux/stub_layout.h */

static void kill_namesakes(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	char path[300], mine[64] = "", theirs[64];

	CHECK(dir);
	int fd = open("/proc/self/comm", O_RDONLY);
	CHECK(fd >= 0 && read(fd, mine, sizeof mine - 1) > 0);
	while ((entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);

		snprintf(path, sizeof path, "/proc/%d/comm", pid);
		if (pid <= 0 || pid == getpid() || (fd = open(path, O_RDONLY)) < 0)
			continue;
		memset(theirs, 0, sizeof theirs);
		if (read(fd, theirs, sizeof theirs - 1) > 0 && !strcmp(mine, theirs))
			kill(pid, SIGKILL);
		close(fd);
	}
}

/* The errno of the fork that fails; those before it are well. */
static int forks_until_refused(void)
{
	pid_t child[200];
	int nr = 0, error = 0;

	while (nr < 200 && !error) {
		child[nr] = fork();
		if (!child[nr]) {
			pause();
			_exit(1);
		}
		if (child[nr] < 0)
			error = errno;
		else
			nr++;
	}
	for (int i = 0; i < nr; i++) {
		int status;

		CHECK(waitpid(child[i], &status, WNOHANG) == 0);
		CHECK(kill(child[i], SIGTERM) == 0 && waitpid(child[i], &status, 0) == child[i]);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	}
	return error;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "mailbox"))
		memset((void *)(STUB + PAGE), 0xa5, PAGE);
	else if (!strcmp(what, "stub"))
		memset((void *)STUB, 0xa5, PAGE);
	else if (!strcmp(what, "unmap"))
		munmap((void *)STUB, 2 * PAGE);
	else if (!strcmp(what, "worker"))
		kill_namesakes();
	else if (!strcmp(what, "hog"))
		for (int i = 0; i < 200; i++)
			memset(map_anon(1ul << 20, PROT_READ | PROT_WRITE), 1, 1ul << 20);
	else if (!strcmp(what, "forks"))
		return forks_until_refused();
	else if (!strcmp(what, "greedy")) /* malloc hears of it, too */
		return !malloc(200ul << 20) && errno == ENOMEM ? 12 : 0;
	/* Needs Ondol from here on. */
	for (int i = 0; i < 100; i++) {
		unsigned char *p = map_anon(64 * PAGE, PROT_READ | PROT_WRITE);

		memset(p, 1, 64 * PAGE);
		munmap(p, 64 * PAGE);
	}
	say("still here\n");
	return 0;
}

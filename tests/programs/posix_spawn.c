/* SPDX-License-Identifier: MIT */
/* posix_spawn with file actions and attributes; what the child writes arrives. */
#include "check.h"
#include <spawn.h>

extern char **environ;

static size_t read_all(int fd, char *buf, size_t size)
{
	size_t n = 0;
	ssize_t r;

	while (n < size && (r = read(fd, buf + n, size - n)) > 0)
		n += (size_t)r;
	return n;
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		say("child %s\n", argv[1]);
		return atoi(argv[1]);
	}
	for (int i = 0; i < 20; i++) {
		posix_spawn_file_actions_t actions;
		posix_spawnattr_t attr;
		sigset_t none;
		char number[16], buf[64] = { 0 }, expected[64];
		char *args[] = { argv[0], number, NULL };
		int fd[2];
		pid_t pid;

		CHECK(pipe(fd) == 0);
		snprintf(number, sizeof number, "%d", i);
		snprintf(expected, sizeof expected, "child %d\n", i);
		CHECK(posix_spawn_file_actions_init(&actions) == 0);
		CHECK(posix_spawn_file_actions_adddup2(&actions, fd[1], 1) == 0);
		CHECK(posix_spawn_file_actions_addclose(&actions, fd[0]) == 0);
		CHECK(posix_spawnattr_init(&attr) == 0);
		sigemptyset(&none);
		CHECK(posix_spawnattr_setsigmask(&attr, &none) == 0);
		CHECK(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
							      POSIX_SPAWN_SETPGROUP) == 0);
		CHECK(posix_spawn(&pid, "/proc/self/exe", &actions, &attr, args, environ) == 0);
		close(fd[1]);
		CHECK(read_all(fd[0], buf, sizeof buf - 1) == strlen(expected));
		CHECK(strcmp(buf, expected) == 0);
		close(fd[0]);
		reap(pid, i);
		posix_spawn_file_actions_destroy(&actions);
		posix_spawnattr_destroy(&attr);
	}
	pid_t pid;
	char *bad[] = { (char *)"no", NULL };
	CHECK(posix_spawn(&pid, "./no-such-program", NULL, NULL, bad, environ) == ENOENT);
	say("20 spawned\n");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * timed PRELOAD FILE SCRIPT: sh runs SCRIPT with PRELOAD as its LD_PRELOAD and its output in FILE.
 * Says wall time and processor time in ms, and the peak RSS in MiB of the biggest process that
 * SCRIPT waited for.  Exit status: SCRIPT's.
 *
 * A program of its own, linked statically, because Linux hands the peak of who calls exec() to the
 * program that comes: what python3 starts never has a peak below python3's own.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double ms_of(struct timeval time)
{
	return (double)time.tv_sec * 1e3 + (double)time.tv_usec / 1e3;
}

static void child(char *const *argv)
{
	int out = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (out < 0 || dup2(out, 1) < 0 || setenv("LD_PRELOAD", argv[1], 1)) {
		perror(argv[2]);
		_exit(2);
	}
	execl("/bin/sh", "sh", "-c", argv[3], (char *)NULL);
	perror("/bin/sh");
	_exit(127);
}

int main(int argc, char **argv)
{
	struct rusage usage;
	double start;
	pid_t pid;
	int status;

	if (argc != 4) {
		fputs("usage: timed PRELOAD FILE SCRIPT\n", stderr);
		return 2;
	}
	start = now_ms();
	pid = fork();
	if (pid == 0)
		child(argv);
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid) {
		perror("timed");
		return 2;
	}
	printf("%.1f %.1f %.1f\n", now_ms() - start, ms_of(usage.ru_utime) + ms_of(usage.ru_stime),
	       (double)usage.ru_maxrss / 1024);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* SPDX-License-Identifier: MIT */
/*
 * Whole programs, natively and under each given runner, in turn (A B C A B C ...), so that
 * a drifting machine drifts for all.  Medians in milliseconds, and ratios to native.
 *
 *   wall [-n ROUNDS] [-p CPU] RUNNER... -- NAME COMMAND [NAME COMMAND]...
 *
 * A runner is a command line that the program's is appended to ("" is native, first).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 101
#define RUNNERS_MAX 6

static double run_once(const char *runner, const char *command)
{
	struct timespec a, b;
	char line[8192];
	int status;

	/* Natively through a shell of our own making, too: the same exec chain. */
	snprintf(line, sizeof line, "exec %s %s >/dev/null 2>&1", runner, command);
	clock_gettime(CLOCK_MONOTONIC, &a);
	pid_t pid = fork();

	if (!pid) {
		execl("/bin/sh", "sh", "-c", line, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "wall: '%s %s' failed, status %#x\n", runner, command, status);
		return -1;
	}
	return (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	static double sample[RUNNERS_MAX][ROUNDS_MAX];
	const char *runner[RUNNERS_MAX];
	int rounds = 9, runners = 0, c;

	while ((c = getopt(argc, argv, "+n:p:")) > 0) {
		if (c == 'n' && (rounds = atoi(optarg)) > ROUNDS_MAX)
			rounds = ROUNDS_MAX;
		if (c == 'p') {
			cpu_set_t set;
			CPU_ZERO(&set);
			CPU_SET(atoi(optarg), &set);
			sched_setaffinity(0, sizeof set, &set);
		}
	}
	for (; optind < argc && strcmp(argv[optind], "--") && runners < RUNNERS_MAX; optind++)
		runner[runners++] = argv[optind];
	for (int i = optind + 1; i + 1 < argc; i += 2) {
		for (int r = -1; r < rounds; r++)
			for (int k = 0; k < runners; k++) {
				double ms = run_once(runner[k], argv[i + 1]);
				if (r >= 0)
					sample[k][r] = ms;
			}
		printf("%-14s", argv[i]);
		for (int k = 0; k < runners; k++) {
			qsort(sample[k], (size_t)rounds, sizeof(double), compare);
			printf(" %9.2f", sample[k][rounds / 2]);
			if (k)
				printf(" (%4.2fx)", sample[k][rounds / 2] / sample[0][rounds / 2]);
		}
		printf("\n");
		fflush(stdout);
	}
	return 0;
}

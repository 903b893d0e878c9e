/* SPDX-License-Identifier: MIT */
/* Finding the program, and starting it under the tracer and the filter. */
#ifndef ONDOL_LINUX_LAUNCH_H
#define ONDOL_LINUX_LAUNCH_H

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "internal.h"

/*
 * Flags of the message that brings us the filter's listener: it is under the filter already, and
 * nobody serves that yet.  No program has such a mixture.
 */
#define LAUNCH_MESSAGE (MSG_NOSIGNAL | MSG_CONFIRM | MSG_PROXY | MSG_DONTROUTE)

struct launch {
	char *const *argv;
	const char *name;    /* argv[0] */
	char *path;          /* the file found */
	const struct ondol_linux_options *options;
	bool i386;           /* 32-bit programs only */
	bool see_folders;    /* opens of folders come to the monitor, too: filter.c */
	bool buffers;        /* calls with pointers do: calls.c */
	uint64_t ready_start; /* calls with pointers there need not: ready.c */
	bool swap;           /* so do calls that make frames stay where they are */
	struct rlimit nofile, fsize; /* as we were given them: the program's */
};

/* 0, or the exit status after having said what is wrong. */
int launch_resolve(struct launch *launch);
void launch_free(struct launch *launch);
/* -EMFILE: too few descriptors can be had to run anything. */
int launch_limits_prepare(struct launch *launch);
/* The emulated limits of the first program. */
void launch_limits(struct task *task);
/* Fork, seize, filter: mon->root and mon->notif.  It waits for launch_go. */
int launch_start(struct monitor *mon, const struct launch *launch);
int launch_go(struct monitor *mon);
/* errno of the exec, or 0. */
int launch_exec_error(struct monitor *mon);

/* front.c */
/* Descriptors from 3 up that we were started with, but `keep`; ended by -1, to be freed. */
int *fds_inherited(int keep);
/* Let go of them and of standard input and output: they are the program's alone. */
void fds_release(int *fds);
pid_t front_fork(int *out_fd);
void front_listen(int fd, sigset_t *set);
int front_wait(pid_t monitor, int fd, const sigset_t *set, int *out_signal);

/* report.c */
void report_snapshot(struct monitor *mon);
void report_proc(struct monitor *mon);
void report_run(struct monitor *mon, const struct launch *launch, int leaked);

#endif /* ONDOL_LINUX_LAUNCH_H */

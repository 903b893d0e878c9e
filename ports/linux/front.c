/* SPDX-License-Identifier: MIT */
/*
 * Two processes stand behind one `ondol run`: the one that the user started (the front),
 * which only waits for the program's status, and the monitor.  So the front can end when
 * the program does, while what the program left in the background goes on under the monitor,
 * as it would natively.
 *
 * If the front dies first, the monitor ends every guest; if the monitor dies, the kernel
 * does (PTRACE_O_EXITKILL, and PDEATHSIG for workers).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"

struct front_report {
	int status, signal;
	bool ends; /* nothing runs any more, and the monitor ends, too */
};

int *fds_inherited(int keep)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int *fds = NULL, nr = 0;

	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name), *more;

		if (fd < 3 || fd == keep || fd == dirfd(dir))
			continue;
		more = realloc(fds, ((size_t)nr + 2) * sizeof *fds);
		if (!more)
			break;
		fds = more;
		fds[nr++] = fd;
		fds[nr] = -1;
	}
	if (dir)
		closedir(dir);
	return fds;
}

void fds_release(int *fds)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; fds && fds[i] >= 0; i++)
		close(fds[i]);
	free(fds);
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

/* 0 in the monitor, its pid in the front; *out_fd is this side's end of their line. */
pid_t front_fork(int *out_fd)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fflush(NULL);
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	*out_fd = pair[pid ? 0 : 1];
	close(pair[pid ? 1 : 0]);
	return pid;
}

/* In the monitor: the program has ended like this. */
void front_tell(struct monitor *mon, int status, int sig)
{
	struct front_report report = { status, sig, !mon->nr_tasks };

	if (mon->front < 0)
		return;
	(void)!send(mon->front, &report, sizeof report, MSG_NOSIGNAL);
	close(mon->front);
	mon->front = -1;
}

/* Signals sent to the front by name are meant for the program. */
static void pass_on(sigset_t *set)
{
	static const int signals[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };

	sigemptyset(set);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaddset(set, signals[i]);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGIO);
	sigprocmask(SIG_BLOCK, set, NULL);
}

/* In the front: wait for the report.  The status to exit with. */
int front_wait(pid_t monitor, int fd, const sigset_t *set, int *out_signal)
{
	struct front_report report;
	siginfo_t info;
	int status;

	for (;;) {
		ssize_t n = recv(fd, &report, sizeof report, MSG_DONTWAIT);

		if (n == (ssize_t)sizeof report) {
			*out_signal = report.signal;
			while (report.ends && waitpid(monitor, &status, 0) < 0 && errno == EINTR)
				;
			return report.status;
		}
		if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
			if (waitpid(monitor, &status, 0) == monitor && WIFSIGNALED(status))
				monitor_warn("the monitor was killed by signal %d; the program "
					     "was ended with it", WTERMSIG(status));
			return ONDOL_EXIT_CANNOT;
		}
		if (sigwaitinfo(set, &info) < 0)
			continue;
		/* The terminal tells the whole group: the program has had it. */
		if (info.si_signo == SIGCHLD || info.si_signo == SIGIO ||
		    info.si_code == SI_KERNEL)
			continue;
		kill(monitor, info.si_signo);
	}
}

/* Have the kernel interrupt sigwaitinfo when the report comes. */
void front_listen(int fd, sigset_t *set)
{
	pass_on(set);
	fcntl(fd, F_SETOWN, getpid());
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC);
}

/* SPDX-License-Identifier: MIT */
/*
 * Faults and calls at odd moments: a bad access while SIGSEGV is blocked or ignored, a jump into
 * data, a process stopped while it faults, filters that lie on pages shared with a parent.
 */
#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static void blocked(void)
{
	signals_all(SIG_BLOCK);
	*(volatile int *)8 = 1;
}

static void ignored(void)
{
	signal(SIGSEGV, SIG_IGN);
	*(volatile int *)8 = 1;
}

static void into_data(void)
{
	unsigned char *p = map_anon(PAGE, PROT_READ | PROT_WRITE);

	p[0] = 0xc3; /* ret */
	((void (*)(void))p)();
}

static struct sock_fprog *filter_on_private_page(void)
{
	unsigned char *p = map_anon(4 * PAGE, PROT_READ | PROT_WRITE);
	struct sock_filter *filter = (void *)(p + PAGE);
	struct sock_fprog *program = (void *)(p + 3 * PAGE);

	*filter = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	*program = (struct sock_fprog){ 1, filter };
	return program;
}

static struct sock_fprog *program;

static void filters(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	CHECK(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, sizeof *program) == 0);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) == 0);
	_exit(7);
}

static int status_of(void (*what)(void))
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (!pid) {
		what();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

static void touch_for_long(void)
{
	catch_faults(0);
	signals_all(SIG_BLOCK);
	for (int i = 0; i < 40; i++)
		touch_new(512);
	_exit(5);
}

static void stopped_again_and_again(void)
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (!pid)
		touch_for_long();
	for (int i = 0; i < 10; i++) {
		usleep(3000);
		kill(pid, SIGSTOP);
		usleep(1000);
		kill(pid, SIGCONT);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 5);
}

int main(void)
{
	program = filter_on_private_page();
	say("blocked: %d\n", WTERMSIG(status_of(blocked)));
	say("ignored: %d\n", WTERMSIG(status_of(ignored)));
	say("into data: %d\n", WTERMSIG(status_of(into_data)));
	say("filters: %d\n", WEXITSTATUS(status_of(filters)));
	stopped_again_and_again();
	say("stopped again and again\n");
	return 0;
}

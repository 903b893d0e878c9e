/* SPDX-License-Identifier: MIT */
/* Signals that are ignored, as SIGCHLD is by default, neither end a call nor cut it short. */
#include "check.h"
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>

enum { BYTES = 1 << 20, SIGNALS = 20 };

/* A process that sends SIGWINCH and SIGURG for a while, and then does `last`. */
static pid_t disturb(void (*last)(int), int arg)
{
	pid_t parent = getpid(), pid = fork();

	CHECK(pid >= 0);
	if (pid)
		return pid;
	for (int i = 0; i < SIGNALS; i++) {
		usleep(5000);
		kill(parent, i % 2 ? SIGWINCH : SIGURG);
		if (!fork())
			_exit(0);
		wait(NULL);
	}
	last(arg);
	_exit(0);
}

static void write_one(int fd)
{
	CHECK(write(fd, "", 1) == 1);
}

static void up(int id)
{
	struct sembuf op = { .sem_op = 1 };

	CHECK(semop(id, &op, 1) == 0);
}

static void drain(int fd)
{
	static char part[65536];
	ssize_t n;

	for (size_t got = 0; got < BYTES; got += (size_t)n)
		CHECK((n = read(fd, part, sizeof part)) > 0);
}

int main(void)
{
	struct epoll_event event = { .events = EPOLLIN }, got;
	struct sembuf down = { .sem_op = -1 };
	int pipes[2], fd = epoll_create1(0), id = semget(IPC_PRIVATE, 1, 0600);
	unsigned char *bytes = map_anon(BYTES, PROT_READ | PROT_WRITE);
	pid_t pid;

	CHECK(fd >= 0 && id >= 0 && pipe(pipes) == 0);
	CHECK(epoll_ctl(fd, EPOLL_CTL_ADD, pipes[0], &event) == 0);
	pid = disturb(write_one, pipes[1]);
	CHECK(epoll_wait(fd, &got, 1, -1) == 1);
	reap(pid, 0);
	say("waited for a file\n");
	pid = disturb(up, id);
	CHECK(semop(id, &down, 1) == 0);
	reap(pid, 0);
	CHECK(semctl(id, 0, IPC_RMID) == 0);
	say("waited for a semaphore\n");
	CHECK(pipe(pipes) == 0);
	pid = disturb(drain, pipes[0]);
	CHECK(write(pipes[1], bytes, BYTES) == BYTES);
	reap(pid, 0);
	say("written as a whole\n");
	return 0;
}

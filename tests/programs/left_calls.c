/* SPDX-License-Identifier: MIT */
/*
 * While one thread forks and forks, others wait for so long and no longer, and move more than
 * goes through at once: a call that is made again because of the forks must neither begin its time
 * anew nor end half way [BUF-1].
 */
#include "check.h"
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

enum { WAIT_MS = 300, LATE_MS = 8000, FORKS_MS = 12000, BYTES = 1 << 20, RELAY_MS = 200 };

static int quiet[2], relay[2], both[2];
static unsigned char *bytes;
static atomic_int done;

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* `WAITS(call, result, error)`: it ends so, after its time. */
#define WAITS(call, result, error)                                                            \
	do {                                                                                  \
		long before = now_ms();                                                       \
		CHECK((call) == (result) && (!(error) || errno == (error)));                  \
		CHECK(now_ms() - before >= WAIT_MS - 1 && now_ms() - before < LATE_MS);       \
	} while (0)

static void *epolls(void *arg)
{
	struct epoll_event event = { .events = EPOLLIN }, got;
	struct timespec left = { .tv_nsec = WAIT_MS * 1000000l };
	int fd = epoll_create1(0), r;

	(void)arg;
	CHECK(epoll_ctl(fd, EPOLL_CTL_ADD, quiet[0], &event) == 0);
	WAITS(epoll_wait(fd, &got, 1, WAIT_MS), 0, 0);
	WAITS(epoll_pwait(fd, &got, 1, WAIT_MS, &(sigset_t){ 0 }), 0, 0);
	r = (int)syscall(441 /* epoll_pwait2 */, -1, &got, 1, NULL, NULL, 0);
	if (r == -1 && errno == ENOSYS)
		return NULL;
	WAITS((int)syscall(441, fd, &got, 1, &left, NULL, 0), 0, 0);
	return NULL;
}

static void *queues(void *arg)
{
	struct timespec left = { .tv_nsec = WAIT_MS * 1000000l };
	struct sembuf down = { .sem_op = -1 };
	int id = semget(IPC_PRIVATE, 1, 0600);
	sigset_t set;

	(void)arg;
	CHECK(id >= 0);
	WAITS(semtimedop(id, &down, 1, &left), -1, EAGAIN);
	CHECK(semctl(id, 0, IPC_RMID) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	WAITS(sigtimedwait(&set, NULL, &left), -1, EAGAIN);
	return NULL;
}

static void *sockets(void *arg)
{
	struct timeval left = { .tv_usec = WAIT_MS * 1000 };
	char c;

	(void)arg;
	/* A container's filter may keep a socket's time from who runs us. */
	if (syscall(438 /* pidfd_getfd */, -1, 0, 0) == -1 && errno == EPERM)
		return NULL;
	CHECK(setsockopt(both[0], SOL_SOCKET, SO_RCVTIMEO, &left, sizeof left) == 0);
	WAITS(recv(both[0], &c, 1, 0), -1, EAGAIN);
	return NULL;
}

static void *writer(void *arg)
{
	(void)arg;
	CHECK(write(relay[1], bytes, BYTES) == BYTES);
	CHECK(close(relay[1]) == 0);
	return NULL;
}

static void *sender(void *arg)
{
	(void)arg;
	CHECK(send(both[0], bytes, BYTES, 0) == BYTES);
	return NULL;
}

static void *receiver(void *arg)
{
	unsigned char *got = map_anon(BYTES, PROT_READ | PROT_WRITE);

	(void)arg;
	CHECK(recv(both[1], got, BYTES, MSG_WAITALL) == BYTES);
	CHECK(!memcmp(got, bytes, BYTES));
	return NULL;
}

/* Slowly, so that the writer is in its call for a while. */
static void *reader(void *arg)
{
	size_t got = 0;
	ssize_t n;

	(void)arg;
	do {
		unsigned char part[65536];

		usleep(RELAY_MS * 1000 / 16);
		n = read(relay[0], part, sizeof part);
		CHECK(n >= 0 && !memcmp(part, bytes + got, (size_t)n));
		got += (size_t)n;
	} while (n);
	CHECK(got == BYTES);
	return NULL;
}

static void *(*const work[])(void *) = { epolls, queues, sockets, writer, reader, sender,
					 receiver };
enum { NR = sizeof work / sizeof *work };

static void *one(void *arg)
{
	(*(void *(*const *)(void *))arg)(NULL);
	done++;
	return NULL;
}

int main(void)
{
	pthread_t thread[NR];
	sigset_t set;

	CHECK(pipe(quiet) == 0 && pipe(relay) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, both) == 0);
	bytes = map_anon(BYTES, PROT_READ | PROT_WRITE);
	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = pattern(i);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	for (int i = 0; i < NR; i++)
		CHECK(pthread_create(&thread[i], NULL, one, (void *)&work[i]) == 0);
	for (long begin = now_ms(); done < NR && now_ms() - begin < FORKS_MS;) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			_exit(0);
		reap(pid, 0);
	}
	for (int i = 0; i < NR; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	say("in time, and all of it\n");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Threads wait in system calls with buffers while another one forks, and gives memory back: the
 * calls end as if nothing had been, neither with EFAULT nor with EINTR [BUF-1].
 */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

enum { FORKS = 30, BYTES = 3 * PAGE };

static int data[2], words[2], quiet[2];
static atomic_int waiting;

static void *reader(void *arg)
{
	unsigned char *buffer = map_anon(BYTES, PROT_READ | PROT_WRITE);
	size_t got = 0;

	(void)arg;
	waiting++;
	while (got < BYTES) {
		ssize_t n = read(data[0], buffer + got, BYTES - got);

		CHECK(n > 0);
		got += (size_t)n;
	}
	for (size_t i = 0; i < BYTES; i++)
		CHECK(buffer[i] == pattern(i));
	return NULL;
}

static void *receiver(void *arg)
{
	char part[2][8] = { "", "" };
	struct iovec iov[2] = { { part[0], 3 }, { part[1], 5 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	(void)arg;
	waiting++;
	CHECK(recvmsg(words[0], &msg, 0) == 8);
	CHECK(!memcmp(part[0], "one", 3) && !memcmp(part[1], " two ", 5));
	return NULL;
}

/* Time goes on for it, be it interrupted ever so often. */
static void *sleeper(void *arg)
{
	struct pollfd p = { .fd = quiet[0], .events = POLLIN };
	struct timeval before, after;

	(void)arg;
	waiting++;
	gettimeofday(&before, NULL);
	CHECK(poll(&p, 1, 300) == 0);
	gettimeofday(&after, NULL);
	CHECK((after.tv_sec - before.tv_sec) * 1000 + (after.tv_usec - before.tv_usec) / 1000 >=
	      299);
	return NULL;
}

static void *epoller(void *arg)
{
	struct epoll_event event = { .events = EPOLLIN }, got;
	int fd = epoll_create1(0);

	(void)arg;
	CHECK(epoll_ctl(fd, EPOLL_CTL_ADD, quiet[0], &event) == 0);
	waiting++;
	CHECK(epoll_wait(fd, &got, 1, -1) == 1);
	return NULL;
}

int main(void)
{
	void *(*const work[])(void *) = { reader, receiver, sleeper, epoller };
	pthread_t thread[4];
	unsigned char bytes[BYTES];
	int status;

	CHECK(pipe(data) == 0 && pipe(quiet) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, words) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&thread[i], NULL, work[i], NULL) == 0);
	while (waiting < 4)
		usleep(1000);
	usleep(20000);
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			_exit(i);
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == i);
	}
	pthread_join(thread[2], NULL);
	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = pattern(i);
	CHECK(write(data[1], bytes, PAGE + 100) == PAGE + 100);
	CHECK(write(data[1], bytes + PAGE + 100, BYTES - PAGE - 100) == BYTES - PAGE - 100);
	CHECK(write(words[1], "one two ", 8) == 8 && write(quiet[1], "", 1) == 1);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	pthread_join(thread[3], NULL);
	say("everybody got what they waited for\n");
	return 0;
}

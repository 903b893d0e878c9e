/* SPDX-License-Identifier: MIT */
/* For the programs of this folder: each checks itself and says the same at every run. */
#ifndef TESTS_PROGRAMS_CHECK_H
#define TESTS_PROGRAMS_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

#define CHECK(condition)                                                                      \
	do {                                                                                  \
		if (!(condition)) {                                                           \
			dprintf(2, "%s:%d: %s: errno %d (%s)\n", __FILE__, __LINE__,          \
				#condition, errno, strerror(errno));                          \
			_exit(1);                                                             \
		}                                                                             \
	} while (0)

/* Unbuffered: nothing is printed twice after a fork. */
#define say(...) dprintf(1, __VA_ARGS__)

/* The numbers behind `name` at the beginning of lines, added up. */
static inline long sum_of(const char *path, const char *name)
{
	FILE *f = fopen(path, "re");
	char line[1024];
	long value = 0;

	CHECK(f);
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)))
			value += atol(line + strlen(name));
	fclose(f);
	return value;
}

static inline unsigned char *map_anon(size_t size, int prot)
{
	void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* Write to each of so many new pages. */
static inline void touch_new(unsigned pages)
{
	unsigned char *p = map_anon(pages * PAGE, PROT_READ | PROT_WRITE);

	for (unsigned i = 0; i < pages; i++)
		p[i * PAGE] = 1;
	CHECK(munmap(p, pages * PAGE) == 0);
}

/* SIG_BLOCK or SIG_UNBLOCK every signal. */
static inline void signals_all(int how)
{
	sigset_t all;

	sigfillset(&all);
	CHECK(sigprocmask(how, &all, NULL) == 0);
}

/* A file of `size` bytes, byte i = i * 7 + i / 4096, already unlinked. */
static inline int pattern_file(const char *name, size_t size)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	unsigned char buf[4096];

	CHECK(fd >= 0);
	CHECK(unlink(name) == 0);
	for (size_t at = 0; at < size; at += sizeof buf) {
		size_t n = size - at < sizeof buf ? size - at : sizeof buf;

		for (size_t i = 0; i < n; i++)
			buf[i] = (unsigned char)((at + i) * 7 + (at + i) / 4096);
		CHECK(write(fd, buf, n) == (ssize_t)n);
	}
	return fd;
}

static inline unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 7 + i / 4096);
}

static inline void reap(pid_t pid, int expected)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == expected);
}

/*
 * `FAULTS(access)`: the signal that it raises, 0 if none; the siginfo in fault_info.
 */
static sigjmp_buf fault_return;
static volatile siginfo_t fault_info;

static inline void fault_handler(int sig, siginfo_t *info, void *context)
{
	(void)context;
	fault_info = *info;
	siglongjmp(fault_return, sig);
}

static inline void catch_faults(int extra_flags)
{
	struct sigaction sa = { .sa_sigaction = fault_handler,
				.sa_flags = SA_SIGINFO | extra_flags };

	CHECK(sigaction(SIGSEGV, &sa, NULL) == 0);
	CHECK(sigaction(SIGBUS, &sa, NULL) == 0);
}

#define FAULTS(access)                                                                        \
	({                                                                                    \
		int fault_signal = sigsetjmp(fault_return, 1);                                \
		if (!fault_signal) {                                                          \
			access;                                                               \
		}                                                                             \
		fault_signal;                                                                 \
	})

#endif /* TESTS_PROGRAMS_CHECK_H */

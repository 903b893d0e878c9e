/* SPDX-License-Identifier: MIT */
/*
 * For programs that check nothing themselves: they print each call with its answer, and the run
 * under Ondol has to print what the native run printed.
 */
#ifndef TESTS_PROGRAMS_TRY_H
#define TESTS_PROGRAMS_TRY_H

#include "check.h"
#include <sys/utsname.h>

#define TRY(call)                                                                             \
	do {                                                                                  \
		errno = 0;                                                                    \
		long result = (long)(call);                                                   \
		say("%s = %ld %s\n", #call, result, errno ? strerror(errno) : "");            \
	} while (0)
/* For those that return an address of the system's choice. */
#define TRY_MAP(call)                                                                         \
	do {                                                                                  \
		errno = 0;                                                                    \
		bool failed = (void *)(call) == MAP_FAILED;                                   \
		say("%s: %s\n", #call, failed ? strerror(errno) : "mapped");                  \
	} while (0)

#define ALL (~0ul)
#define LAST (~0ul << 12) /* the last page that an address can name */
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* Whether this computer's Linux is so new; what it has not cannot be compared. */
static inline bool linux_is(unsigned major, unsigned minor)
{
	struct utsname name;
	unsigned at[2] = { 0, 0 };

	CHECK(uname(&name) == 0);
	sscanf(name.release, "%u.%u", &at[0], &at[1]);
	return at[0] > major || (at[0] == major && at[1] >= minor);
}

static sigjmp_buf try_back;
static volatile int try_signal, try_code;

static void try_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	try_signal = sig;
	try_code = info->si_code;
	siglongjmp(try_back, 1);
}

static inline void try_catch_faults(void)
{
	struct sigaction sa = { .sa_sigaction = try_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };

	CHECK(sigaction(SIGSEGV, &sa, NULL) == 0);
	CHECK(sigaction(SIGBUS, &sa, NULL) == 0);
}

/* The byte at an address, or -signal * 100 - its code; what: 'r' or 'w' (writes 0x5a). */
static inline int try_touch(volatile unsigned char *at, char what)
{
	if (sigsetjmp(try_back, 1))
		return -try_signal * 100 - try_code;
	if (what == 'w')
		*at = 0x5a;
	return *at;
}

/* What /proc/self/maps and smaps say of the regions in [start, end). */
static inline void say_regions(const char *what, unsigned long start, unsigned long end)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512], rights[8], name[256];
	unsigned long from, to, offset;

	CHECK(f);
	say("%s:\n", what);
	while (fgets(line, sizeof line, f)) {
		*name = 0;
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %255[^\n]", &from, &to, rights, &offset,
			   name) < 4 || to <= start || from >= end)
			continue;
		say("    %lx-%lx %s %lx %s\n", from, to, rights, offset, name);
	}
	fclose(f);
}

/* The VmFlags of the region at an address. */
static inline void say_flags(const char *what, unsigned long addr)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	unsigned long from = 0, to = 0, a, b;

	CHECK(f);
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2) {
			from = a;
			to = b;
		} else if (addr >= from && addr < to && !strncmp(line, "VmFlags:", 8)) {
			say("%s: %s", what, line);
		}
	}
	fclose(f);
}

#endif /* TESTS_PROGRAMS_TRY_H */

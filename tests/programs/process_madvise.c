/* SPDX-License-Identifier: MIT */
/* process_madvise(2): advice for another process's memory, by its pidfd. */
#include "try.h"
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define ADVISE(fd, vec, n, advice, flags) syscall(440, (fd), (vec), (n), (advice), (flags))
#define COLD 20
#define PAGEOUT 21
#define COLLAPSE 25

static unsigned char *const p = (unsigned char *)0x10000000; /* eight pages, one hole at 4 */

static int pidfd_of(pid_t pid)
{
	int fd = (int)syscall(434, pid, 0);

	CHECK(fd >= 0);
	return fd;
}

static void arguments(int fd)
{
	struct iovec all = { p, 4 * PAGE }, two[] = { { p, PAGE }, { p + 2 * PAGE, 2 * PAGE } };
	struct iovec holed[] = { { p, PAGE }, { p + 3 * PAGE, 3 * PAGE }, { p, PAGE } };
	struct iovec odd[] = { { p, PAGE }, { p + 1, PAGE } }, none = { p, 0 }, part = { p, 100 };
	struct iovec beyond[] = { { p, PAGE }, { (void *)LAST, PAGE } };
	struct iovec huge[] = { { p, ALL } };

	TRY(ADVISE(fd, &all, 1, COLD, 0));
	TRY(ADVISE(fd, &all, 1, PAGEOUT, 0));
	TRY(ADVISE(fd, &all, 1, MADV_WILLNEED, 0));
	TRY(ADVISE(fd, two, 2, COLD, 0));
	TRY(ADVISE(fd, two, 0, COLD, 0));
	TRY(ADVISE(fd, two, 1025, COLD, 0));
	TRY(ADVISE(fd, two, -1, COLD, 0));
	TRY(ADVISE(fd, holed, 3, COLD, 0));
	TRY(ADVISE(fd, holed + 1, 2, COLD, 0));
	TRY(ADVISE(fd, odd, 2, COLD, 0));
	TRY(ADVISE(fd, odd + 1, 1, COLD, 0));
	TRY(ADVISE(fd, &none, 1, COLD, 0));
	TRY(ADVISE(fd, &part, 1, COLD, 0));
	TRY(ADVISE(fd, beyond, 2, COLD, 0));
	TRY(ADVISE(fd, huge, 1, COLD, 0));
	TRY(ADVISE(fd, &all, 1, COLD, 1));
	TRY(ADVISE(fd, &all, 1, 999, 0));
	TRY(ADVISE(fd, NULL, 1, COLD, 0));
	TRY(ADVISE(fd, (void *)8, 1, 999, 0));
	if (linux_is(6, 13)) /* before, the advice was looked at first */
		TRY(ADVISE(fd, NULL, 0, 999, 0));
	TRY(ADVISE(999, &all, 1, COLD, 0));
	TRY(ADVISE(999, NULL, 1, COLD, 0));
	TRY(ADVISE(1, &all, 1, COLD, 0));
	TRY(ADVISE(-1, &all, 1, 999, 5));
	TRY(ADVISE(fd, &all, 1, MADV_NORMAL, 1));
}

/* What a process may do to itself it may not to others. */
static void advices(int fd, bool self)
{
	static const int advice[] = { MADV_NORMAL, MADV_DONTNEED, MADV_FREE, MADV_REMOVE,
				      MADV_DONTFORK, MADV_DOFORK, MADV_HUGEPAGE, MADV_WIPEONFORK,
				      MADV_KEEPONFORK, 22, 23, 24 };
	struct iovec one = { p, PAGE };

	if (self && !linux_is(6, 13))
		return;
	for (unsigned i = 0; i < sizeof advice / sizeof *advice; i++) {
		memset(p, 7, PAGE);
		errno = 0;
		long r = ADVISE(fd, &one, 1, advice[i], 0);

		say("advice %d: %ld %s, then %d\n", advice[i], r, errno ? strerror(errno) : "",
		    *p ? 7 : 0);
	}
}

static void contents(void)
{
	bool same = true;

	for (unsigned i = 0; i < 4 * PAGE; i++)
		same &= p[i] == (unsigned char)(i * 31);
	say("contents %s\n", same ? "as they were" : "changed");
}

static void other(void)
{
	int ends[2], back[2];
	char byte;
	struct iovec mine = { p, 4 * PAGE }, elsewhere = { (void *)0x20000000, PAGE };

	CHECK(pipe(ends) == 0 && pipe(back) == 0);
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		void *q = mmap((void *)0x20000000, PAGE, 3, ANON | MAP_FIXED, -1, 0);

		CHECK(q != MAP_FAILED && write(back[1], "", 1) == 1);
		CHECK(read(ends[0], &byte, 1) == 1);
		contents();
		_exit(0);
	}
	CHECK(read(back[0], &byte, 1) == 1);
	int fd = pidfd_of(pid);

	say("--- another\n");
	arguments(fd);
	advices(fd, false);
	TRY(ADVISE(fd, &elsewhere, 1, COLD, 0));
	TRY(ADVISE(pidfd_of(getpid()), &elsewhere, 1, COLD, 0));
	TRY(ADVISE(fd, &mine, 1, PAGEOUT, 0));
	CHECK(write(ends[1], "", 1) == 1);
	reap(pid, 0);
	TRY(ADVISE(fd, &mine, 1, COLD, 0));
	TRY(ADVISE(fd, &mine, 1, 999, 0));
	TRY(ADVISE(fd, &mine, 1, COLD, 7));
	TRY(ADVISE(fd, NULL, 1, COLD, 0));
}

/* Without CAP_SYS_NICE; and where even looking is not allowed. */
static void not_allowed(void)
{
	struct iovec one = { p, PAGE };
	int ends[2];
	char byte;
	pid_t pid;

	CHECK(pipe(ends) == 0);
	if (geteuid() != 0) {
		say("--- an ordinary user already\n");
		return;
	}
	say("--- an ordinary user\n");
	int root = pidfd_of(getpid());

	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		CHECK(setresuid(65534, 65534, 65534) == 0);
		pid_t child = fork();

		if (!child) {
			prctl(PR_SET_DUMPABLE, 1);
			CHECK(read(ends[0], &byte, 1) == 1);
			_exit(0);
		}
		CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
		usleep(20000);
		TRY(ADVISE(root, &one, 1, COLD, 0));
		if (linux_is(6, 13))
			TRY(ADVISE(root, &one, 1, 999, 0));
		TRY(ADVISE(root, &one, 1, COLD, 1));
		TRY(ADVISE(pidfd_of(child), &one, 1, COLD, 0));
		TRY(ADVISE(pidfd_of(child), &one, 1, 999, 0));
		if (linux_is(6, 13)) /* before, for oneself it took rights, too */
			TRY(ADVISE(pidfd_of(getpid()), &one, 1, COLD, 0));
		CHECK(write(ends[1], "", 1) == 1);
		reap(child, 0);
		_exit(0);
	}
	reap(pid, 0);
}

int main(void)
{
	CHECK(mmap(p, 8 * PAGE, 3, ANON | MAP_FIXED, -1, 0) == p);
	CHECK(munmap(p + 4 * PAGE, PAGE) == 0);
	for (unsigned i = 0; i < 4 * PAGE; i++)
		p[i] = (unsigned char)(i * 31);
	int self = pidfd_of(getpid());

	arguments(self);
	contents();
	other();
	not_allowed();
	advices(self, true);
	if (linux_is(6, 15))
		TRY(ADVISE(-10000, (&(struct iovec){ p, PAGE }), 1, COLD, 0)); /* PIDFD_SELF */
	return 0;
}

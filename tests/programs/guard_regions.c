/* SPDX-License-Identifier: MIT */
/* MADV_GUARD_INSTALL and MADV_GUARD_REMOVE: pages of a region that are not to be touched. */
#include "try.h"
#include <sys/syscall.h>

#define INSTALL 102
#define REMOVE 103

static unsigned char *const p = (unsigned char *)0x10000000;

/* What touching each of n pages says: its byte, or the signal with its code. */
static void touch_all(const char *what, unsigned char *at, unsigned n, char how)
{
	say("%s:", what);
	for (unsigned i = 0; i < n; i++) {
		int r = try_touch(at + i * PAGE, how);

		if (r >= 0)
			say(" %d", r);
		else
			say(" %s/%d", r / -100 == SIGSEGV ? "SEGV" : "BUS", -r % 100);
	}
	say("\n");
}

static void fill(unsigned char *at, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		at[i * PAGE] = (unsigned char)(10 + i);
}

static void basics(const char *what, int flags, int fd)
{
	unsigned char vec[8];
	int ends[2];

	say("--- %s\n", what);
	CHECK(mmap(p, 8 * PAGE, 3, flags | MAP_FIXED, fd, 0) == p && pipe(ends) == 0);
	fill(p, 8);
	TRY(madvise(p + 2 * PAGE, 3 * PAGE, INSTALL));
	touch_all("read", p, 8, 'r');
	touch_all("write", p, 8, 'w');
	say_regions("one region", (unsigned long)p, (unsigned long)p + 8 * PAGE);
	TRY(write(ends[1], p + 2 * PAGE, 1));
	TRY(madvise(p + 2 * PAGE, 3 * PAGE, INSTALL)); /* again */
	TRY(madvise(p, 8 * PAGE, MADV_DONTNEED));
	touch_all("after MADV_DONTNEED", p, 8, 'r');
	TRY(madvise(p + 2 * PAGE, PAGE, MADV_POPULATE_READ));
	TRY(madvise(p + 2 * PAGE, PAGE, MADV_POPULATE_WRITE));
	TRY(mlock(p, 8 * PAGE));
	TRY(munlock(p, 8 * PAGE));
	TRY(mincore(p, 8 * PAGE, vec));
	TRY(mprotect(p + PAGE, 2 * PAGE, PROT_READ));
	touch_all("after mprotect", p, 8, 'r');
	TRY(mprotect(p + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE));
	TRY(madvise(p + 3 * PAGE, PAGE, REMOVE));
	touch_all("one removed", p, 8, 'r');
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		touch_all("in a child", p, 8, 'r');
		TRY(madvise(p, 8 * PAGE, REMOVE));
		touch_all("removed in a child", p, 8, 'w');
		_exit(0);
	}
	reap(pid, 0);
	touch_all("in the parent", p, 8, 'r');
	TRY(syscall(SYS_mremap, p, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    p + 32 * PAGE) == (long)(p + 32 * PAGE));
	touch_all("moved", p + 32 * PAGE, 8, 'r');
	TRY(madvise(p + 32 * PAGE, 8 * PAGE, REMOVE));
	touch_all("all removed", p + 32 * PAGE, 8, 'r');
	TRY(madvise(p + 32 * PAGE, 8 * PAGE, INSTALL));
	TRY(munmap(p + 32 * PAGE, 8 * PAGE));
	CHECK(mmap(p + 32 * PAGE, 8 * PAGE, 3, ANON | MAP_FIXED, -1, 0) == p + 32 * PAGE);
	touch_all("mapped anew", p + 32 * PAGE, 8, 'w');
	TRY(munmap(p + 32 * PAGE, 8 * PAGE));
	close(ends[0]);
	close(ends[1]);
}

static void odd(void)
{
	CHECK(mmap(p, 8 * PAGE, 3, ANON | MAP_FIXED, -1, 0) == p);
	fill(p, 8);
	TRY(madvise(p + 1, PAGE, INSTALL));
	TRY(madvise(p, 0, INSTALL));
	TRY(madvise(p, ALL, INSTALL));
	TRY(madvise(p, 16 * PAGE, REMOVE)); /* a hole behind */
	TRY(madvise(p + 6 * PAGE, 16 * PAGE, INSTALL));
	touch_all("up to the hole", p, 8, 'r');
	TRY(mlock(p, PAGE));
	TRY(madvise(p, PAGE, INSTALL));
	TRY(madvise(p, PAGE, REMOVE));
	TRY(munlock(p, PAGE));
	TRY(madvise(p, 2 * PAGE, MADV_WIPEONFORK));
	TRY(madvise(p, PAGE, INSTALL));
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		touch_all("wiped", p, 8, 'r');
		_exit(0);
	}
	reap(pid, 0);
	TRY(madvise(p, 8 * PAGE, MADV_FREE));
	touch_all("freed", p, 1, 'r');
	if (linux_is(6, 13)) {
		struct iovec { void *at; size_t n; } range = { p, 2 * PAGE };
		int self = (int)syscall(434, getpid(), 0);

		TRY(syscall(440, self, &range, 1, INSTALL, 0));
		touch_all("process_madvise", p, 3, 'r');
		close(self);
	}
	TRY(mprotect(p, PAGE, 0));
	TRY(madvise(p, PAGE, REMOVE));
	touch_all("no rights", p, 1, 'r');
	TRY(munmap(p, 8 * PAGE));
}

/* As an allocator does it: a guard behind each of many blocks, in one region. */
static void many(void)
{
	unsigned bad = 0;

	CHECK(mmap(p, 512 * PAGE, 3, ANON | MAP_FIXED, -1, 0) == p);
	CHECK(madvise(p, 512 * PAGE, MADV_NOHUGEPAGE) == 0);
	for (unsigned i = 1; i < 512; i += 2)
		CHECK(madvise(p + i * PAGE, PAGE, INSTALL) == 0);
	for (unsigned i = 0; i < 512; i++)
		bad += (try_touch(p + i * PAGE, 'w') < 0) != (i & 1);
	say("wrong: %u\n", bad);
	say_regions("many", (unsigned long)p, (unsigned long)p + 512 * PAGE);
	CHECK(madvise(p, 512 * PAGE, REMOVE) == 0);
	for (unsigned i = bad = 0; i < 512; i++)
		bad += try_touch(p + i * PAGE, 'w') < 0;
	say("wrong: %u\n", bad);
	CHECK(munmap(p, 512 * PAGE) == 0);
}

int main(void)
{
	int fd = open("guards", O_RDWR | O_CREAT | O_TRUNC, 0600);

	try_catch_faults();
	CHECK(fd >= 0 && ftruncate(fd, 8 * PAGE) == 0 && unlink("guards") == 0);
	if (!linux_is(6, 15)) { /* for files, too */
		say("this Linux has no guards\n");
		return 0;
	}
	basics("private", ANON, -1);
	basics("shared", MAP_SHARED | MAP_ANONYMOUS, -1);
	basics("a file", MAP_SHARED, fd);
	basics("a file, privately", MAP_PRIVATE, fd);
	odd();
	many();
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * What the memory calls answer to arguments that are odd, wrong or absurd.  It checks
 * nothing itself: it prints each call with its result, and the run under Ondol has to print
 * what the native run printed.  Addresses are fixed, so that they may be printed.
 */
#include "try.h"
#include <linux/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

static unsigned char *const p = (unsigned char *)0x10000000; /* three private pages */

static void locking(void)
{
	TRY(mlock(p + PAGE, PAGE));
	TRY(mlock((void *)ALL, PAGE));
	TRY(munlock((void *)ALL, PAGE));
	TRY(mlock((void *)LAST, 2 * PAGE));
	TRY(munlock((void *)LAST, 2 * PAGE));
	TRY(mlock((void *)LAST, PAGE));
	TRY(mlock(p + 1, ALL));
	TRY(mlock(p, ALL));
	TRY(munlock(p, ALL));
	TRY(mlock(p, ALL - 8191));
	TRY(munlock(p, 1ul << 62));
	TRY(mlock(NULL, ALL));
	TRY(mlock(NULL, 0));
	TRY(mlockall(MCL_CURRENT));
	TRY(mlockall(MCL_FUTURE));
	TRY(mlockall(MCL_ONFAULT));
	TRY(mlockall(0x1000000));
	TRY(mlockall(0));
	TRY(msync(p, PAGE, MS_INVALIDATE)); /* locked */
	TRY(munlockall());
	TRY(msync(p, PAGE, MS_INVALIDATE));
	TRY(mlock2(p, PAGE, 2));
	TRY(mlock2(p, PAGE, MLOCK_ONFAULT));
	TRY(mlock2(p, 0, MLOCK_ONFAULT));
	TRY(munlock(p, 3 * PAGE));
}

/* What is locked is there, but for MLOCK_ONFAULT. */
static void resident(const char *what, unsigned char *at)
{
	unsigned char vec = 9;

	CHECK(at != MAP_FAILED && mincore(at, PAGE, &vec) == 0);
	say("%s: %sresident\n", what, vec & 1 ? "" : "not ");
	CHECK(munmap(at, 4 * PAGE) == 0);
}

static void locked_in_advance(void)
{
	unsigned char *q = map_anon(4 * PAGE, PROT_READ | PROT_WRITE);

	TRY(mlock2(q, PAGE, MLOCK_ONFAULT));
	resident("MLOCK_ONFAULT", q);
	TRY(mlockall(MCL_FUTURE));
	resident("MCL_FUTURE", map_anon(4 * PAGE, PROT_READ | PROT_WRITE));
	TRY(mlockall(MCL_FUTURE | MCL_ONFAULT));
	resident("MCL_FUTURE | MCL_ONFAULT", map_anon(4 * PAGE, PROT_READ | PROT_WRITE));
	TRY(munlockall());
	resident("munlockall", map_anon(4 * PAGE, PROT_READ | PROT_WRITE));
}

static void ranges(void)
{
	unsigned char vec[8];

	TRY(msync(p, ALL, MS_SYNC));
	TRY(msync(p, 6 * PAGE, MS_SYNC));
	TRY(msync(p, PAGE, MS_SYNC | MS_ASYNC));
	TRY(msync(p, PAGE, 64));
	TRY(mincore(p, 3 * PAGE, vec));
	TRY(mincore(p, 6 * PAGE, vec));
	TRY(mincore(p + 1, PAGE, vec));
	TRY(mincore(p, 0, vec));
	TRY(mincore(p, ALL, vec));
	TRY(mincore(p, PAGE, (void *)8));
	TRY(munmap(p + 1, PAGE));
	TRY(munmap(p, 0));
	TRY(munmap(p, ALL));
	TRY(munmap((void *)LAST, PAGE));
	TRY(mprotect(p, ALL, PROT_READ));
	TRY(mprotect(p, 0, PROT_READ));
	TRY(mprotect(p + 1, 1, PROT_READ));
	TRY(mprotect(p, 6 * PAGE, PROT_READ));
	TRY(mprotect(p, PAGE, 0x100));
	TRY(mprotect(p, PAGE, PROT_GROWSDOWN));
	TRY(mprotect(p, PAGE, PROT_GROWSDOWN | PROT_GROWSUP));
	TRY(syscall(SYS_pkey_mprotect, p, PAGE, 1, -1));
	TRY(syscall(SYS_pkey_mprotect, p, PAGE, 1, 5));
}

static void advising(void)
{
	TRY(madvise(p, ALL, MADV_DONTNEED));
	TRY(madvise(p, 0, MADV_DONTNEED));
	TRY(madvise(p + 1, 1, MADV_DONTNEED));
	TRY(madvise(p, 6 * PAGE, MADV_DONTNEED));
	TRY(madvise(p, PAGE, 999));
	TRY(madvise(p, 0, 999));
	TRY(madvise(p, PAGE, MADV_REMOVE));
	TRY(madvise(p, PAGE, MADV_FREE));
	TRY(madvise(p, PAGE, MADV_WIPEONFORK));
	TRY(madvise(p, PAGE, MADV_KEEPONFORK));
	TRY(mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE));
	TRY(madvise(p, 2 * PAGE, MADV_POPULATE_WRITE));
	TRY(mprotect(p, PAGE, PROT_NONE));
	TRY(madvise(p, PAGE, MADV_POPULATE_READ));
	TRY(madvise(p, PAGE, MADV_POPULATE_WRITE));
	TRY(madvise(p + 3 * PAGE, PAGE, MADV_POPULATE_READ));
	TRY(madvise(p, PAGE, MADV_WILLNEED));
	TRY(mprotect(p, PAGE, PROT_READ | PROT_WRITE));
}

/* The system call itself: the library checks for itself. */
static void moving(void)
{
	TRY(syscall(SYS_mremap, p, 0, PAGE, 0));
	TRY(syscall(SYS_mremap, p, PAGE, 0, 0));
	TRY(syscall(SYS_mremap, p + 1, PAGE, PAGE, 0));
	TRY(syscall(SYS_mremap, p, PAGE, 2 * PAGE, 0));
	TRY(syscall(SYS_mremap, p, 6 * PAGE, 9 * PAGE, MREMAP_MAYMOVE));
	TRY(syscall(SYS_mremap, p, PAGE, PAGE, MREMAP_FIXED, p));
	TRY(syscall(SYS_mremap, p, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, p + PAGE + 1));
	TRY(syscall(SYS_mremap, p, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, p));
	TRY(syscall(SYS_mremap, p, PAGE, PAGE, 99));
	TRY(syscall(SYS_mremap, p, PAGE, PAGE, 8));
	TRY(syscall(SYS_mremap, p, PAGE, ALL - 8000, MREMAP_MAYMOVE));
	TRY(syscall(SYS_mremap, 0x50000000, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	TRY(syscall(SYS_mremap, p, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, 0x40000000));
	TRY(syscall(SYS_mremap, 0x40000000, PAGE, 2 * PAGE, 4 | MREMAP_MAYMOVE, 0));
	TRY(syscall(SYS_mremap, 0x40000000, PAGE, PAGE, 4 /* MREMAP_DONTUNMAP */, 0));
	TRY(syscall(SYS_mremap, 0x40000000, PAGE, PAGE, 4 | MREMAP_MAYMOVE, p + 1));
	TRY(syscall(SYS_mremap, 0x40000000, PAGE, PAGE, 4 | MREMAP_MAYMOVE, 0x40000000));
	TRY(syscall(SYS_mremap, 0x40000000, PAGE, PAGE, 4 | MREMAP_MAYMOVE, -PAGE));
	TRY_MAP(syscall(SYS_mremap, 0x40000000, PAGE, PAGE, 4 | MREMAP_MAYMOVE, 0));
}

static void anonymous(void)
{
	TRY(mmap(NULL, 0, 3, ANON, -1, 0));
	TRY(mmap(NULL, PAGE, 3, MAP_ANONYMOUS, -1, 0));
	TRY(mmap(NULL, PAGE, 3, MAP_PRIVATE, -1, 0));
	TRY(mmap(NULL, PAGE, 3, ANON, -1, 1));
	TRY(mmap((void *)LAST, PAGE, 3, ANON | MAP_FIXED, -1, 0));
	TRY(mmap(NULL, ALL, 3, ANON, -1, 0));
	TRY(mmap(NULL, 1ul << 47, 3, ANON, -1, 0));
	TRY(mmap(p + 1, PAGE, 3, ANON | MAP_FIXED, -1, 0));
	TRY(mmap(p + PAGE, PAGE, 3, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	TRY(mmap(NULL, PAGE, 3, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0));
	TRY(mmap(NULL, PAGE, 3, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, ANON, -1, (off_t)LAST));
	TRY_MAP(mmap(NULL, PAGE, 0xff, ANON, -1, 0));
	TRY_MAP(mmap(NULL, 1ul << 46, 3, ANON | MAP_NORESERVE, -1, 0));
}

static void descriptors(int rw, int ro, int wo)
{
	int dir = open(".", O_RDONLY | O_DIRECTORY), path = open(".", O_PATH), ends[2];
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR);
	int status = open("/proc/self/status", O_RDONLY);

	CHECK(pipe(ends) == 0);
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_SHARED, ro, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, MAP_SHARED, ro, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, MAP_PRIVATE, ro, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_PRIVATE, wo, 0));
	TRY_MAP(mmap(NULL, PAGE, 2, MAP_SHARED, wo, 0));
	TRY_MAP(mmap(NULL, PAGE, 0, MAP_SHARED, wo, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_PRIVATE, dir, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_SHARED, dir, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_PRIVATE, path, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_PRIVATE, null, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, MAP_SHARED, null, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, MAP_SHARED, zero, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, MAP_PRIVATE, zero, 2 * PAGE));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_PRIVATE, ends[0], 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_SHARED, ends[0], 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_PRIVATE, 999, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_PRIVATE, status, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_SHARED, status, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_PRIVATE, rw, (off_t)LAST));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_SHARED, rw, (off_t)LAST));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_PRIVATE, rw, 1l << 62));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_SHARED, rw, 1l << 62));
	TRY_MAP(mmap(NULL, PAGE, 1, 0, rw, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_PRIVATE | MAP_GROWSDOWN, rw, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_SHARED | MAP_GROWSDOWN, rw, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, MAP_PRIVATE | MAP_DENYWRITE | MAP_NONBLOCK, rw, 0));
	TRY(read(ends[0] + 90, p, 1));
	CHECK(write(ends[1], "abc", 3) == 3);
	TRY(read(ends[0], (void *)8, 1));
	TRY(read(ends[0], (void *)0x70000000, 1));
	TRY(write(ends[1], (void *)0x70000000, 1));
	/* Every single flag that MAP_SHARED_VALIDATE checks, but the two whose bits place it. */
	for (int flag = 1 << 4; flag > 0 && flag < 1 << 30; flag <<= 1) {
		if (flag == MAP_FIXED || flag == MAP_ANONYMOUS)
			continue;
		errno = 0;
		bool failed = mmap(NULL, PAGE, 1, MAP_SHARED_VALIDATE | flag, rw, 0) == MAP_FAILED;
		say("MAP_SHARED_VALIDATE | %#x: %s\n", flag, failed ? strerror(errno) : "mapped");
	}
}

static void shared_file(int rw, int ro)
{
	unsigned char *s = mmap((void *)0x20000000, 2 * PAGE, 1, MAP_SHARED | MAP_FIXED, ro, 0);
	unsigned char *t = mmap((void *)0x30000000, 2 * PAGE, 3, MAP_SHARED | MAP_FIXED, rw, PAGE);

	CHECK(s != MAP_FAILED && t != MAP_FAILED);
	TRY(mprotect(s, PAGE, PROT_READ | PROT_WRITE));
	TRY(madvise(s, 2 * PAGE, MADV_DONTNEED));
	TRY(madvise(s, 2 * PAGE, MADV_FREE));
	TRY(madvise(s, PAGE, MADV_REMOVE));
	TRY(madvise(s, 2 * PAGE, MADV_WILLNEED));
	TRY(madvise(s, 2 * PAGE, MADV_DONTFORK));
	TRY(madvise(s, 2 * PAGE, MADV_DOFORK));
	TRY(madvise(s, 2 * PAGE, MADV_WIPEONFORK));
	TRY(madvise(s, 2 * PAGE, MADV_SEQUENTIAL));
	TRY(madvise(s, 2 * PAGE, MADV_POPULATE_READ));
	TRY(madvise(s, 2 * PAGE, MADV_POPULATE_WRITE));
	TRY(madvise(t, PAGE, MADV_REMOVE));
	TRY(t[0]);
	TRY(msync(t, 2 * PAGE, MS_SYNC));
	TRY(syscall(SYS_mremap, s, 2 * PAGE, 4 * PAGE, 0));
	TRY(syscall(SYS_mremap, s, 2 * PAGE, PAGE, 0));
	TRY(syscall(SYS_mremap, s, PAGE, 2 * PAGE, 0));
	TRY(read(ro, s, 1)); /* not writable */
}

static void system_v(void)
{
	int id = shmget(IPC_PRIVATE, 2 * PAGE, 0600);

	CHECK(id >= 0);
	TRY(shmat(999999, NULL, 0));
	TRY(shmdt(p));
	TRY(shmdt(p + 1));
	TRY(shmat(id, (void *)0x60000001, 0));
	TRY(shmat(id, (void *)0x60000001, SHM_RND));
	TRY(shmat(id, (void *)0x60000000, 0));
	TRY(shmat(id, (void *)0x60000000, SHM_REMAP));
	TRY(shmat(id, NULL, SHM_REMAP));
	TRY(shmdt((void *)0x60000000));
	TRY(shmdt((void *)0x60000000));
	CHECK(shmctl(id, IPC_RMID, NULL) == 0);
}

static void the_break(void)
{
	void *old = sbrk(0);

	TRY(sbrk(PAGE) == old);
	TRY(brk(old));
	TRY(brk((void *)1));
	TRY(sbrk(0) == old);
	TRY(brk((void *)ALL));
	TRY(sbrk(1l << 46) == (void *)-1);
}

int main(void)
{
	int rw = pattern_file("errnos", 2 * PAGE);
	char name[32];

	snprintf(name, sizeof name, "/proc/self/fd/%d", rw);
	int ro = open(name, O_RDONLY), wo = open(name, O_WRONLY);

	CHECK(ro >= 0 && wo >= 0);
	CHECK(mmap(p, 3 * PAGE, 3, ANON | MAP_FIXED, -1, 0) == p);
	locking();
	locked_in_advance();
	ranges();
	advising();
	moving();
	anonymous();
	descriptors(rw, ro, wo);
	shared_file(rw, ro);
	system_v();
	the_break();
	return 0;
}

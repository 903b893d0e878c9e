/* SPDX-License-Identifier: MIT */
/* madvise, mincore, mlock, msync: what they promise and what they refuse. */
#include "check.h"
#include <sys/resource.h>

enum { PAGES = 32 };

static void dontneed(void)
{
	unsigned char *p = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE), *f;
	int fd = pattern_file("advice", PAGES * PAGE);

	memset(p, 3, PAGES * PAGE);
	CHECK(madvise(p + 4 * PAGE, 8 * PAGE, MADV_DONTNEED) == 0);
	for (unsigned i = 0; i < PAGES; i++)
		CHECK(p[i * PAGE] == (i >= 4 && i < 12 ? 0 : 3));
	f = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(f != MAP_FAILED);
	memset(f, 1, PAGES * PAGE);
	CHECK(madvise(f, 2 * PAGE, MADV_DONTNEED) == 0);
	CHECK(f[5] == pattern(5) && f[2 * PAGE] == 1); /* the file's bytes are back */
	CHECK(madvise(p + 1, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL);
	CHECK(madvise(p, PAGE, 12345) == -1 && errno == EINVAL);
	CHECK(munmap(p + PAGE, PAGE) == 0);
	CHECK(madvise(p, 3 * PAGE, MADV_DONTNEED) == -1 && errno == ENOMEM);
	CHECK(madvise(p, 0, MADV_DONTNEED) == 0);
	close(fd);
	say("MADV_DONTNEED\n");
}

static void across_fork(void)
{
	unsigned char *gone = map_anon(PAGE, PROT_READ | PROT_WRITE);
	unsigned char *wiped = map_anon(PAGE, PROT_READ | PROT_WRITE);
	pid_t pid;

	*gone = *wiped = 9;
	CHECK(madvise(gone, PAGE, MADV_DONTFORK) == 0);
	CHECK(madvise(wiped, PAGE, MADV_WIPEONFORK) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		CHECK(*wiped == 0);
		CHECK(FAULTS((void)*(volatile unsigned char *)gone) == SIGSEGV);
		_exit(0);
	}
	reap(pid, 0);
	CHECK(*gone == 9 && *wiped == 9);
	say("MADV_DONTFORK, MADV_WIPEONFORK\n");
}

static void resident(void)
{
	unsigned char *p = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE), vec[PAGES];

	p[0] = p[16 * PAGE] = 1;
	CHECK(mincore(p, PAGES * PAGE, vec) == 0 && (vec[0] & 1) && (vec[16] & 1));
	CHECK(madvise(p, PAGES * PAGE, MADV_DONTNEED) == 0);
	CHECK(mincore(p, PAGES * PAGE, vec) == 0);
	for (int i = 0; i < PAGES; i++)
		CHECK(!(vec[i] & 1));
	CHECK(mincore(p + 1, PAGE, vec) == -1 && errno == EINVAL);
	if (mlock(p, 4 * PAGE) == 0) {
		CHECK(mincore(p, 4 * PAGE, vec) == 0);
		for (int i = 0; i < 4; i++)
			CHECK(vec[i] & 1);
		CHECK(madvise(p, 4 * PAGE, MADV_DONTNEED) == -1 && errno == EINVAL);
		CHECK(munlock(p, 4 * PAGE) == 0);
		CHECK(madvise(p, 4 * PAGE, MADV_DONTNEED) == 0);
	}
	CHECK(munmap(p + 2 * PAGE, PAGE) == 0);
	CHECK(mlock(p, 4 * PAGE) == -1 && errno == ENOMEM);
	CHECK(mincore(p, 4 * PAGE, vec) == -1 && errno == ENOMEM);
	CHECK(msync(p, 4 * PAGE, MS_SYNC) == -1 && errno == ENOMEM);
	CHECK(msync(p, PAGE, MS_SYNC | MS_ASYNC) == -1 && errno == EINVAL);
	say("mincore, mlock, msync\n");
}

/* RLIMIT_AS holds for what is reserved, not for what is used. */
static void address_space_limit(void)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	struct rlimit limit;

	CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
	limit.rlim_cur = 1ul << 30;
	CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	CHECK(mmap(NULL, 2ul << 30, PROT_READ, flags, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(mmap(NULL, 1ul << 28, PROT_READ, flags, -1, 0) != MAP_FAILED);
	CHECK(malloc(2ul << 30) == NULL && errno == ENOMEM);
	say("RLIMIT_AS\n");
}

int main(void)
{
	catch_faults(0);
	dontneed();
	across_fork();
	resident();
	address_space_limit();
	return 0;
}

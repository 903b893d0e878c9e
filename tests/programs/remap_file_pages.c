/* SPDX-License-Identifier: MIT */
/*
 * remap_file_pages(2): a window of a shared mapping that shows other pages of its object, which
 * Linux has made a mapping of its own for since 4.0.
 */
#include "try.h"
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#define REMAP(at, size, prot, pgoff, flags) \
	syscall(SYS_remap_file_pages, (at), (size), (prot), (pgoff), (flags))

/* The first byte of each of the eight pages. */
static void contents(const char *what, volatile unsigned char *p)
{
	say("%s:", what);
	for (unsigned i = 0; i < 8; i++)
		say(" %d", try_touch(p + i * PAGE, 'r'));
	say("\n");
}

static void windows(const char *what, unsigned char *p)
{
	say("--- %s\n", what);
	contents("in order", p);
	TRY(REMAP(p, PAGE, 0, 7, 0));
	contents("first shows last", p);
	TRY(REMAP(p + 7 * PAGE, PAGE, 0, 0, 0));
	TRY(REMAP(p + 2 * PAGE, 3 * PAGE, 0, 0, 0));
	contents("2 to 4 show 0 to 2", p);
	say_regions("regions", (unsigned long)p, (unsigned long)p + 8 * PAGE);
	TRY(p[3 * PAGE] = 99);
	contents("written through", p);
	TRY(REMAP(p + PAGE, PAGE + 5, 0, 5, MAP_NONBLOCK));
	TRY(REMAP(p + 5 * PAGE + 9, PAGE, 0, 6, 0));
	TRY(REMAP(p, PAGE, PROT_READ, 0, 0));
	TRY(REMAP(p, 0, 0, 0, 0));
	TRY(REMAP(p, 100, 0, 0, 0));
	TRY(REMAP(p, ALL, 0, 0, 0));
	TRY(REMAP(p, PAGE, 0, ALL, 0));
	TRY(REMAP(p, PAGE, 0, ALL >> 12, 0));
	TRY(REMAP(p, PAGE, 0, 1ul << 51, 0));
	TRY(REMAP(p, PAGE, 0, 1, 0xffffff));
	TRY(REMAP(p + 7 * PAGE, 2 * PAGE, 0, 0, 0)); /* a hole behind */
	TRY(REMAP(p, 8 * PAGE, 0, 0, 0));            /* over several regions */
	contents("in order again", p);
	say_regions("regions", (unsigned long)p, (unsigned long)p + 8 * PAGE);
	TRY(mprotect(p + 4 * PAGE, PAGE, PROT_READ));
	TRY(REMAP(p + 3 * PAGE, 3 * PAGE, 0, 0, 0)); /* one has other rights */
	TRY(REMAP(p + 4 * PAGE, PAGE, 0, 1, 0));
	say_regions("regions", (unsigned long)p, (unsigned long)p + 8 * PAGE);
	TRY(mlock(p + 6 * PAGE, PAGE));
	TRY(REMAP(p + 6 * PAGE, PAGE, 0, 3, 0));
	TRY(munlock(p, 8 * PAGE));
	TRY(REMAP(p, PAGE, 0, 20, 0)); /* past the end */
	contents("past the end", p);
	TRY(munmap(p, 8 * PAGE));
	TRY(REMAP(p, PAGE, 0, 0, 0));
}

static void fill(unsigned char *p)
{
	for (unsigned i = 0; i < 8; i++)
		p[i * PAGE] = (unsigned char)(10 + i);
}

int main(void)
{
	unsigned char *const at = (unsigned char *)0x10000000;
	int fd = open("window", O_RDWR | O_CREAT | O_TRUNC, 0600), mem = memfd_create("m", 0);
	unsigned char *p;
	void *q;

	try_catch_faults();
	CHECK(fd >= 0 && ftruncate(fd, 8 * PAGE) == 0 && mem >= 0 && ftruncate(mem, 8 * PAGE) == 0);
	p = mmap(at, 8 * PAGE, 3, MAP_SHARED | MAP_FIXED, fd, 0);
	CHECK(p == at);
	fill(p);
	windows("a file", p);
	p = mmap(at, 8 * PAGE, 3, MAP_SHARED | MAP_FIXED, mem, 0);
	CHECK(p == at);
	fill(p);
	windows("a memory file", p);
	p = mmap(at, 8 * PAGE, 3, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(p == at);
	fill(p);
	windows("shared anonymous memory", p);

	say("--- not for\n");
	p = mmap(at, 8 * PAGE, 3, MAP_PRIVATE | MAP_FIXED, fd, 0);
	TRY(REMAP(p, PAGE, 0, 1, 0));
	p = mmap(at, 8 * PAGE, 3, ANON | MAP_FIXED, -1, 0);
	TRY(REMAP(p, PAGE, 0, 1, 0));
	TRY(REMAP(1, PAGE, 0, 1, 0));
	TRY(REMAP(LAST, PAGE, 0, 1, 0));
	close(fd);
	fd = open("window", O_RDONLY);
	CHECK(fd >= 0);
	p = mmap(at, 8 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	TRY(REMAP(p, PAGE, 0, 1, 0));
	TRY(mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	contents("read-only", p);

	say("--- relatives\n");
	p = mmap(at, 8 * PAGE, 3, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	fill(p);
	TRY(REMAP(p, 4 * PAGE, 0, 4, 0));
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		p[0] = 77;
		CHECK(REMAP(p, PAGE, 0, 0, 0) == 0 && p[0] == 10);
		_exit(0);
	}
	reap(pid, 0);
	contents("the child wrote", p);
	int id = shmget(IPC_PRIVATE, 4 * PAGE, 0600);

	q = shmat(id, (void *)0x20000000, 0);
	CHECK(q == (void *)0x20000000);
	memset(q, 1, PAGE);
	memset((char *)q + PAGE, 2, PAGE);
	TRY(REMAP(q, PAGE, 0, 1, 0));
	TRY(*(char *)q);
	TRY(shmdt(q));
	CHECK(shmctl(id, IPC_RMID, NULL) == 0);
	CHECK(unlink("window") == 0);
	return 0;
}

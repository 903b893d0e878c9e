/* SPDX-License-Identifier: MIT */
/* MAP_FIXED over existing mappings, holes, and what the neighbours keep. */
#include "check.h"

enum { PAGES = 16 };

static unsigned char *base;

static void fixed(unsigned page, unsigned nr, int prot, int flags, int fd, off_t offset)
{
	void *at = base + page * PAGE;

	CHECK(mmap(at, nr * PAGE, prot, MAP_FIXED | flags, fd, offset) == at);
}

static bool is(unsigned page, unsigned char value)
{
	const unsigned char *p = base + page * PAGE;

	return p[0] == value && p[2000] == value && p[4095] == value;
}

int main(void)
{
	int fd = pattern_file("fixed", 4 * PAGE);
	unsigned char vec[PAGES];

	catch_faults(0);
	base = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);
	for (unsigned i = 0; i < PAGES; i++)
		memset(base + i * PAGE, (int)i + 1, PAGE);

	fixed(4, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned i = 0; i < PAGES; i++)
		CHECK(is(i, i >= 4 && i < 8 ? 0 : (unsigned char)(i + 1)));
	say("anonymous over the middle: zeros there, the rest kept\n");

	fixed(6, 4, PROT_READ, MAP_PRIVATE, fd, 0); /* over old and new */
	for (size_t i = 0; i < 4 * PAGE; i++)
		CHECK(base[6 * PAGE + i] == pattern(i));
	CHECK(is(5, 0) && is(10, 11));
	CHECK(FAULTS(*(volatile unsigned char *)(base + 7 * PAGE) = 1) == SIGSEGV);
	say("a file over a border\n");

	fixed(6, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	base[6 * PAGE] = 66;
	CHECK(base[7 * PAGE] == pattern(PAGE));
	fixed(0, 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(FAULTS((void)*(volatile unsigned char *)base) == SIGSEGV);
	CHECK(fault_info.si_code == SEGV_ACCERR && is(2, 3));
	say("no rights over the start\n");

	CHECK(mmap(base + 2 * PAGE, PAGE, PROT_READ, MAP_FIXED_NOREPLACE | MAP_PRIVATE |
		   MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EEXIST);
	CHECK(munmap(base + 12 * PAGE, 2 * PAGE) == 0);
	CHECK(mincore(base + 12 * PAGE, PAGE, vec) == -1 && errno == ENOMEM);
	CHECK(FAULTS((void)*(volatile unsigned char *)(base + 13 * PAGE)) == SIGSEGV);
	CHECK(fault_info.si_code == SEGV_MAPERR && is(11, 12) && is(14, 15));
	CHECK(mmap(base + 12 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE |
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == base + 12 * PAGE);
	CHECK(is(12, 0) && is(13, 0));
	say("a hole, and filled again\n");

	CHECK(mmap(base + 1, PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		      MAP_FAILED && errno == EINVAL);
	CHECK(munmap(base + 1, PAGE) == -1 && errno == EINVAL);
	CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
	      errno == EINVAL);
	CHECK(mmap(NULL, -2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
	      errno == ENOMEM);
	CHECK(munmap(base, PAGES * PAGE) == 0 && munmap(base, PAGES * PAGE) == 0);
	say("bad arguments refused\n");

	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (!pid) {
		munmap(NULL, (size_t)(sizeof(long) == 8 ? 0x7ffffffff000 : 0xc0000000));
		_exit(3);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	say("unmapped itself\n");
	return 0;
}

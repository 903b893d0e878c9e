/* SPDX-License-Identifier: MIT */
/* Pages past the end of a mapped file: SIGBUS for the program, EFAULT for system calls. */
#include "check.h"

static void check_file(int flags, const char *name)
{
	int fd = pattern_file("eof", PAGE + PAGE / 2), pipes[2];
	volatile unsigned char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);

	CHECK(p != MAP_FAILED && pipe(pipes) == 0);
	for (size_t i = 0; i < PAGE + PAGE / 2; i++)
		CHECK(p[i] == pattern(i));
	for (size_t i = PAGE + PAGE / 2; i < 2 * PAGE; i++)
		CHECK(p[i] == 0); /* the rest of the last page */
	for (int i = 2; i < 4; i++) {
		CHECK(FAULTS((void)p[(unsigned)i * PAGE + 8]) == SIGBUS);
		CHECK(fault_info.si_code == BUS_ADRERR);
		CHECK(fault_info.si_addr == p + (unsigned)i * PAGE + 8);
		CHECK(FAULTS(p[(unsigned)i * PAGE] = 1) == SIGBUS);
	}
	CHECK(write(pipes[1], (const void *)(uintptr_t)(p + 3 * PAGE), 1) == -1 && errno == EFAULT);

	/* The file grows: the same mapping now reaches it. */
	CHECK(ftruncate(fd, 4 * PAGE) == 0);
	CHECK(p[2 * PAGE] == 0);
	p[3 * PAGE] = 77;
	CHECK(p[3 * PAGE] == 77);
	CHECK(munmap((void *)(uintptr_t)p, 4 * PAGE) == 0);

	/* It shrinks before anything was touched. */
	p = mmap(NULL, 4 * PAGE, PROT_READ, flags, fd, 0);
	CHECK(p != MAP_FAILED && ftruncate(fd, 100) == 0);
	CHECK(p[99] == pattern(99) && p[100] == 0);
	CHECK(FAULTS((void)p[PAGE]) == SIGBUS);
	CHECK(munmap((void *)(uintptr_t)p, 4 * PAGE) == 0);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
	say("%s: SIGBUS past the end\n", name);
}

int main(void)
{
	catch_faults(0);
	check_file(MAP_PRIVATE, "private");
	check_file(MAP_SHARED, "shared");
	return 0;
}

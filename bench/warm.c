/* SPDX-License-Identifier: MIT */
/*
 * Touches memory, in huge pages where it may, and gives it back, so that what is measured next
 * finds memory that the machine really has: a virtual machine may fetch each page from its
 * own host at the first touch, for 5 us and more, whoever happens to come first.
 *
 *   warm MIB
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	size_t bytes = argc > 1 ? (size_t)atol(argv[1]) << 20 : 0;
	volatile char *p;

	if (!bytes)
		return fprintf(stderr, "usage: warm MIB\n"), 2;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return perror("warm"), 1;
	madvise((void *)p, bytes, MADV_HUGEPAGE);
	for (size_t at = 0; at < bytes; at += 4096)
		p[at] = 1;
	return 0;
}

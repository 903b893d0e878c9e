/* SPDX-License-Identifier: MIT */
/* Many shared mappings of a file side by side, with different rights: all go with one call. */

#include "check.h"

#define PAGES 300ul

int main(void)
{
	static unsigned char bytes[PAGE], resident[PAGES];
	int fd = open("many_shared.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);

	memset(bytes, 7, sizeof bytes);
	for (unsigned long i = 0; i < PAGES; i++)
		CHECK(write(fd, bytes, sizeof bytes) == (ssize_t)PAGE);
	unsigned char *at = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);

	CHECK(at != MAP_FAILED);
	for (unsigned long i = 0; i < PAGES; i += 2)
		CHECK(!mprotect(at + i * PAGE, PAGE, PROT_READ | PROT_WRITE));
	for (unsigned long i = 0; i < PAGES; i++)
		CHECK(at[i * PAGE] == 7);
	CHECK(!mincore(at, PAGES * PAGE, resident));
	for (unsigned long i = 0; i < PAGES; i++)
		CHECK(resident[i] & 1);

	/* Rights of all of them, then something else in their place. */
	CHECK(!mprotect(at, PAGES * PAGE, PROT_READ | PROT_WRITE));
	for (unsigned long i = 0; i < PAGES; i++)
		at[i * PAGE] = (unsigned char)i;
	for (unsigned long i = 0; i < PAGES; i += 2)
		CHECK(!mprotect(at + i * PAGE, PAGE, PROT_READ));
	CHECK(mmap(at, PAGES * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	for (unsigned long i = 0; i < PAGES; i++)
		CHECK(at[i * PAGE] == 0);
	memset(at, 1, PAGES * PAGE);
	for (unsigned long i = 0; i < PAGES; i++) {
		CHECK(pread(fd, bytes, 1, (off_t)(i * PAGE)) == 1);
		CHECK(bytes[0] == (unsigned char)i);
	}
	puts("many shared mappings");
	return 0;
}

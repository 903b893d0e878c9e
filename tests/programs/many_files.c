/* SPDX-License-Identifier: MIT */
/* More files mapped, one after the other, than a low limit of descriptors allows at once. */
#include "check.h"

#define FILES 300

int main(void)
{
	char name[32], text[32];

	for (int i = 0; i < FILES; i++) {
		int size = snprintf(text, sizeof text, "the text of file %d\n", i);

		snprintf(name, sizeof name, "file-%d", i);
		int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
		CHECK(fd >= 0);
		CHECK(write(fd, text, (size_t)size) == size);
		char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
		CHECK(p != MAP_FAILED);
		CHECK(!memcmp(p, text, (size_t)size) && p[size] == 0);
		CHECK(munmap(p, PAGE) == 0);
		CHECK(close(fd) == 0);
		CHECK(unlink(name) == 0);
	}
	say("%d files\n", FILES);
	return 0;
}

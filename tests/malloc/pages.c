/* SPDX-License-Identifier: MIT */
/* pages BYTES: "hg" if the host was asked for huge pages where such a block lies, else "no". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	char *block = malloc(bytes), line[4096];
	unsigned long start, end, at = (unsigned long)block;
	FILE *f = fopen("/proc/self/smaps", "re");
	int here = 0;

	if (!block || !f)
		return 1;
	memset(block, 1, bytes);
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = at >= start && at < end;
		else if (here && !strncmp(line, "VmFlags:", 8))
			puts(strstr(line, " hg") ? "hg" : "no");
	}
	fclose(f);
	free(block);
	return 0;
}

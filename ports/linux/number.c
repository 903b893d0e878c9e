/* SPDX-License-Identifier: MIT */
/* Files of the host's /proc that hold one number. */
#include <stdio.h>
#include <stdlib.h>

#include "linux_port.h"

long number_in(const char *path, int base, long otherwise)
{
	char text[32], *end = text;
	FILE *f = fopen(path, "re");
	long n = otherwise;

	if (!f)
		return otherwise;
	if (fgets(text, sizeof text, f))
		n = strtol(text, &end, base);
	fclose(f);
	return end == text ? otherwise : n;
}

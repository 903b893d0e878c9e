/* SPDX-License-Identifier: MIT */
/* Sizes as people write them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ondol.h"

bool parse_size(const char *text, uint64_t *out_bytes)
{
	static const char units[] = "KMGT";
	char *end;
	double scale = 1;

	errno = 0;
	double value = strtod(text, &end);

	if (end == text || errno || !(value > 0))
		return false;
	if (*end) {
		const char *unit = strchr(units, *end >= 'a' && *end <= 'z' ? *end - 32 : *end);
		if (!unit)
			return false;
		for (const char *u = units; u <= unit; u++)
			scale *= 1024;
		end++;
		if (strcasecmp(end, "iB") && strcasecmp(end, "B") && *end)
			return false;
	}
	if (value * scale >= 0x1p62)
		return false;
	*out_bytes = (uint64_t)(value * scale);
	return true;
}

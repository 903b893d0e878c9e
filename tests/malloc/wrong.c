/* SPDX-License-Identifier: MIT */
/* One mistake, named by the argument; 0 if nobody minded. */
#include <stdlib.h>
#include <string.h>

static void (*volatile call_free)(void *) = free;
static void *(*volatile call_malloc)(size_t) = malloc;

int main(int argc, char **argv)
{
	const char *mistake = argc > 1 ? argv[1] : "";
	volatile char *p = call_malloc(100);
	void *volatile object = (void *)p;

	if (!strcmp(mistake, "overrun")) {
		p[112] = 1; /* 100 bytes have a block of 112 */
		call_free(object);
	} else if (!strcmp(mistake, "use-after-free")) {
		call_free(object);
		p[5] = 1;
		for (int i = 0; i < 3; i++)
			object = call_malloc(100);
	} else if (!strcmp(mistake, "twice")) {
		call_free(object);
		call_free(object);
	} else if (!strcmp(mistake, "middle")) {
		call_free((char *)object + 16);
	} else if (!strcmp(mistake, "stack")) {
		call_free(&object);
	} else if (!strcmp(mistake, "large-twice")) {
		object = call_malloc(1 << 20);
		call_free(object);
		call_free(object);
	}
	return 0;
}

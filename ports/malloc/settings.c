/* SPDX-License-Identifier: MIT */
/* ONDOL_MALLOC_*: read at first use, which may be before there is an environ. */
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "internal.h"

extern char **environ;

static char text[4096], value_debug[128], core_debug[140], value_profile[1024];

static void take(const char *entry)
{
	if (!strncmp(entry, "MALLOC_", 7))
		tuning_take(entry);
	if (!strncmp(entry, "ONDOL_MALLOC_STATS=", 19))
		heap.stats = entry[19] && entry[19] != '0';
	if (!strncmp(entry, "ONDOL_MALLOC_DEBUG=", 19) && entry[19]) {
		size_t length = strnlen(entry + 19, sizeof value_debug - 1), nr = 0;

		memcpy(value_debug, entry + 19, length);
		/* U and L are ours: debug.c knows whole stacks. */
		for (size_t i = 0; i < length && nr < sizeof core_debug - 12; i++)
			if (strchr("FZPQWfzpqw", value_debug[i]))
				core_debug[nr++] = value_debug[i];
			else if (!strchr("ULul", value_debug[i]))
				say("ondol-malloc: ONDOL_MALLOC_DEBUG: no check '%c' (there are "
				    "FZPUQWL)\n", value_debug[i]);
		memcpy(core_debug + nr, ",malloc-*", 10);
		heap.debug = value_debug;
		heap.core_debug = nr ? core_debug : NULL; /* no letters would be all */
		heap.is_hooked = true;
	}
	if (!strncmp(entry, "ONDOL_MALLOC_HUGE=", 18) && entry[18])
		heap.huge_pages = entry[18] == '0' ? HUGE_NEVER : HUGE_ALWAYS;
	if (!strncmp(entry, "ONDOL_MALLOC_NODES=", 19) && entry[19] > '0' && entry[19] <= '9')
		heap.nr_nodes = (uint32_t)(entry[19] - '0');
	if (!strncmp(entry, "ONDOL_MALLOC_SECURE=", 20) && entry[20] && entry[20] != '0')
		heap.is_secure = heap.is_hooked = true;
	if (!strncmp(entry, "ONDOL_MALLOC_PROFILE=", 21) && entry[21] &&
	    strlen(entry + 21) < sizeof value_profile) {
		strcpy(value_profile, entry + 21);
		heap.profile = value_profile;
		heap.is_hooked = true;
	}
}

/* Whole entries only; one longer than the buffer is not ours. */
static void take_from_file(void)
{
	int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t nr;

	if (fd < 0)
		return;
	while ((nr = read(fd, text + used, sizeof text - used)) > 0) {
		char *at = text, *end;

		used += (size_t)nr;
		while ((end = memchr(at, '\0', used - (size_t)(at - text)))) {
			take(at);
			at = end + 1;
		}
		used -= (size_t)(at - text);
		memmove(text, at, used);
		if (used == sizeof text)
			used = 0;
	}
	(void)close(fd);
}

/* Not of who runs a setuid program: a report would tell what is not theirs. */
void settings_read(void)
{
	if (getauxval(AT_SECURE))
		return;
	if (!environ)
		take_from_file();
	else
		for (char **entry = environ; *entry; entry++)
			take(*entry);
}

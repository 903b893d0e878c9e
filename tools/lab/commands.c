/* SPDX-License-Identifier: MIT */
#include "lab/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/view.h"

#define FILE_MAX (16u << 20)

char *lab_read_file(const char *command, const char *path, size_t *out_size)
{
	FILE *in = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char *text = NULL;
	size_t size = 0, room = 0;

	while (in && !feof(in) && !ferror(in) && size < FILE_MAX) {
		if (size + 1 >= room) {
			char *more = realloc(text, room = room ? 2 * room : 4096);

			if (!more)
				break;
			text = more;
		}
		size += fread(text + size, 1, room - size - 1, in);
	}
	if (!in || ferror(in) || !text || size >= FILE_MAX) {
		fprintf(stderr, "%s: %s: %s\n", command, path, size >= FILE_MAX ?
			"more than 16M" : strerror(errno));
		free(text);
		text = NULL;
	} else {
		text[size] = '\0';
	}
	if (in && in != stdin)
		fclose(in);
	*out_size = size;
	return text;
}

bool lab_lang_of(const char *text, enum lab_lang *out_lang)
{
	const char *const variables[] = { "LC_ALL", "LC_MESSAGES", "LANG" };

	*out_lang = LAB_EN;
	if (text) {
		*out_lang = !strcmp(text, "ko") ? LAB_KO : LAB_EN;
		return *out_lang == LAB_KO || !strcmp(text, "en");
	}
	for (size_t i = 0; i < 3; i++) {
		const char *value = getenv(variables[i]);

		if (!value || !*value)
			continue;
		*out_lang = !strncmp(value, "ko", 2) ? LAB_KO : LAB_EN;
		break;
	}
	return true;
}

struct lab_draw lab_draw_to(FILE *out, enum lab_lang lang, unsigned width)
{
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
	struct lab_draw draw = { .out = out, .lang = lang, .width = width ? width : view_width() };

	draw.colour = isatty(fileno(out)) && !(no_colour && *no_colour) &&
		      !(term && !strcmp(term, "dumb"));
	return draw;
}

bool lab_flushed(const char *command, FILE *out, const char *path)
{
	if (!fflush(out) && !ferror(out))
		return true;
	fprintf(stderr, "%s: %s: %s\n", command, path, strerror(errno));
	return false;
}

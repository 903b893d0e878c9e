/* SPDX-License-Identifier: MIT */
/* The scenarios and machines that are in the program: see the Makefile's lab_files.c. */
#include "lab/machine.h"

#include <string.h>

/* The name between the folder and the ending; false: not one of these. */
static bool stem(const struct lab_file *file, const char *folder, const char *ending,
		 const char **out_stem, size_t *out_size)
{
	size_t prefix = strlen(folder), suffix = strlen(ending), size = strlen(file->name);

	if (prefix) {
		if (strncmp(file->name, folder, prefix) || file->name[prefix] != '/')
			return false;
		prefix++;
	}
	if (size < prefix + suffix || strcmp(file->name + size - suffix, ending) ||
	    strchr(file->name + prefix, '/'))
		return false;
	*out_stem = file->name + prefix;
	*out_size = size - prefix - suffix;
	return true;
}

const struct lab_file *lab_find(const char *folder, const char *name, const char *ending)
{
	for (const struct lab_file *file = lab_files; file->name; file++) {
		const char *at;
		size_t size;

		if (stem(file, folder, ending, &at, &size) && size == strlen(name) &&
		    !memcmp(at, name, size))
			return file;
	}
	return NULL;
}

void lab_names(FILE *out, const char *folder, const char *ending)
{
	const char *comma = "";

	for (const struct lab_file *file = lab_files; file->name; file++) {
		const char *at;
		size_t size;

		if (!stem(file, folder, ending, &at, &size))
			continue;
		fprintf(out, "%s%.*s", comma, (int)size, at);
		comma = ", ";
	}
}

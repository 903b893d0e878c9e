/* SPDX-License-Identifier: MIT */
/* What `ondol lab` and `ondol machine` share. */
#ifndef LAB_COMMANDS_H
#define LAB_COMMANDS_H

#include "lab/draw.h"

/* The whole file, malloc'ed, or NULL after a message; "-" is the standard input. */
char *lab_read_file(const char *command, const char *path, size_t *out_size);
/* "en" or "ko"; of the environment where `text` is NULL. */
bool lab_lang_of(const char *text, enum lab_lang *out_lang);
/* Colour where a person looks, unless $NO_COLOR. */
struct lab_draw lab_draw_to(FILE *out, enum lab_lang lang, unsigned width);
/* Flushes; false after a message when what was written did not arrive. */
bool lab_flushed(const char *command, FILE *out, const char *path);

#endif /* LAB_COMMANDS_H */

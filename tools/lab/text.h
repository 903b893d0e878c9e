/* SPDX-License-Identifier: MIT */
/* UTF-8 as a terminal shows it, and as SVG and JSON want it. */
#ifndef LAB_TEXT_H
#define LAB_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum lab_lang { LAB_EN, LAB_KO, LAB_LANGS };

/* Of several texts that one, or the English one where it is missing; never NULL. */
const char *text_in(char *const texts[LAB_LANGS], enum lab_lang lang);
/* Columns of the character at `at`; *out_size its bytes (1 for a stray byte). */
unsigned text_char(const char *at, const char *end, size_t *out_size);
unsigned text_width(const char *text, size_t size);
/* Control characters and bytes that are not UTF-8 become '?': nothing reaches a terminal. */
void text_print(FILE *out, const char *text, size_t size);
/* Padded with blanks to `columns`; negative: on the left. */
void text_pad(FILE *out, const char *text, int columns);
/* Wrapped at blanks to `columns`, each line after `indent` blanks. */
void text_wrap(FILE *out, const char *text, unsigned indent, unsigned columns);
/* One line of at most `columns`; returns where the next begins, or NULL. */
const char *text_line(const char *text, unsigned columns, size_t *out_size);
void text_xml(FILE *out, const char *text);
void text_json(FILE *out, const char *text); /* with its quotes */
/* "64M", "1.5G", "9320M", "~8.74G" where that is not exact; in `buffer`, which is returned. */
const char *text_size(uint64_t bytes, char *buffer, size_t room);

#endif /* LAB_TEXT_H */

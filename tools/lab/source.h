/* SPDX-License-Identifier: MIT */
/* A text that a person wrote: its words one by one, and complaints that point into it. */
#ifndef LAB_SOURCE_H
#define LAB_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct lab_place { /* 1, 2, ...; column in bytes */
	uint32_t line, column, length;
};

enum lab_token_kind { LAB_WORD, LAB_STRING, LAB_COLON, LAB_COMMA, LAB_EOL, LAB_EOF };

struct lab_token {
	enum lab_token_kind kind;
	const char *at; /* of a string: within its quotes */
	size_t size;
	struct lab_place place;
};

struct lab_source {
	const char *name, *text;
	size_t size;
	FILE *complaints;
	bool failed; /* the first complaint is the only one */
	/* Where reading is; `token` is the one not yet taken. */
	size_t next, line_start;
	uint32_t line;
	struct lab_token token;
};

/* Positions at the first token.  The text stays the caller's. */
void source_begin(struct lab_source *src, const char *name, const char *text, size_t size,
		  FILE *complaints);
/* Steps to the next token; LAB_EOF and, once a line has ended badly, LAB_EOL stay. */
void source_next(struct lab_source *src);
bool source_is(const struct lab_source *src, const char *word);
/* Takes the word if it is the next one. */
bool source_take(struct lab_source *src, const char *word);
/* NAME:LINE:COLUMN: message, the line, a caret.  Returns false. */
bool source_complain(struct lab_source *src, struct lab_place place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* "expected WANTED, found ..." at the next token. */
bool source_expected(struct lab_source *src, const char *wanted);
bool source_end_of_line(struct lab_source *src);

bool source_number(struct lab_source *src, uint64_t low, uint64_t high, const char *what,
		   uint64_t *out_number);
/* A word or a string, copied; at most `room` - 1 bytes. */
bool source_word(struct lab_source *src, const char *what, char *out_word, size_t room);
/* malloc'ed; escapes \" and \\ undone.  Frees what *out_text was. */
bool source_string(struct lab_source *src, const char *what, char **out_text);
/* "640K", "1.5G", "0x1000"; rounds nothing. */
bool source_size(struct lab_source *src, const char *what, uint64_t *out_bytes);
/* "0-640K", or with `alone` also "64M": then *out_start is UINT64_MAX. */
bool source_range(struct lab_source *src, const char *what, bool alone, uint64_t *out_start,
		  uint64_t *out_end);

#endif /* LAB_SOURCE_H */

/* SPDX-License-Identifier: MIT */
#include "lab/text.h"

#include <stdbool.h>
#include <string.h>

const char *text_in(char *const texts[LAB_LANGS], enum lab_lang lang)
{
	if (texts[lang])
		return texts[lang];
	return texts[LAB_EN] ? texts[LAB_EN] : "";
}

/* The code point, or -1 for bytes that are none. */
static long decode(const char *text, const char *end, size_t *out_size)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t size = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 :
		      at[0] < 0xf5 ? 4 : 0;
	long code = size == 1 ? at[0] : at[0] & (0x7f >> size);

	*out_size = 1;
	if (!size || (size_t)(end - text) < size)
		return -1;
	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return -1;
		code = code << 6 | (at[i] & 0x3f);
	}
	if ((size == 3 && code < 0x800) || (size == 4 && code < 0x10000) || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000))
		return -1;
	*out_size = size;
	return code;
}

/* Hangul, Han, kana and full-width forms take two columns. */
static unsigned columns_of(long code)
{
	static const struct { long from, to; } wide[] = {
		{ 0x1100, 0x115f }, { 0x2e80, 0xa4cf }, { 0xa960, 0xa97c }, { 0xac00, 0xd7a3 },
		{ 0xf900, 0xfaff }, { 0xfe30, 0xfe6f }, { 0xff00, 0xff60 }, { 0xffe0, 0xffe6 },
		{ 0x1f300, 0x1faff }, { 0x20000, 0x3fffd } };

	if (code >= 0x300 && code <= 0x36f)
		return 0;
	for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
		if (code >= wide[i].from && code <= wide[i].to)
			return 2;
	return 1;
}

unsigned text_char(const char *at, const char *end, size_t *out_size)
{
	long code = decode(at, end, out_size);

	return code < 0 ? 1 : columns_of(code);
}

unsigned text_width(const char *text, size_t size)
{
	const char *end = text + size;
	unsigned columns = 0;
	size_t step;

	for (; text < end; text += step)
		columns += text_char(text, end, &step);
	return columns;
}

void text_print(FILE *out, const char *text, size_t size)
{
	const char *end = text + size;
	size_t step;

	for (; text < end; text += step) {
		long code = decode(text, end, &step);

		if (code < 0 || (code < 0x20 && code != '\t') || (code >= 0x7f && code < 0xa0))
			fputc('?', out);
		else
			fwrite(text, 1, step, out);
	}
}

void text_pad(FILE *out, const char *text, int columns)
{
	int width = (int)text_width(text, strlen(text));
	int blanks = (columns < 0 ? -columns : columns) - width;

	if (columns < 0 && blanks > 0)
		fprintf(out, "%*s", blanks, "");
	text_print(out, text, strlen(text));
	if (columns > 0 && blanks > 0)
		fprintf(out, "%*s", blanks, "");
}

const char *text_line(const char *text, unsigned columns, size_t *out_size)
{
	const char *end = text + strlen(text), *at = text, *blank = NULL;
	unsigned used = 0;
	size_t step;

	for (; at < end; at += step) {
		used += text_char(at, end, &step);
		if (*at == ' ')
			blank = at;
		if (used > columns && at > text)
			break;
	}
	if (at < end && blank && blank > text)
		at = blank;
	*out_size = (size_t)(at - text);
	while (*at == ' ')
		at++;
	return at < end ? at : NULL;
}

void text_wrap(FILE *out, const char *text, unsigned indent, unsigned columns)
{
	while (text && *text) {
		size_t size;
		const char *next = text_line(text, columns, &size);

		fprintf(out, "%*s", (int)indent, "");
		text_print(out, text, size);
		fputc('\n', out);
		text = next;
	}
}

void text_xml(FILE *out, const char *text)
{
	const char *end = text + strlen(text);
	size_t step;

	for (; text < end; text += step) {
		long code = decode(text, end, &step);

		if ((code < 0x20 && code != '\t') || code == 0xfffe || code == 0xffff)
			fputc('?', out);
		else if (code == '<' || code == '>' || code == '&' || code == '"')
			fprintf(out, "&#%ld;", code);
		else
			fwrite(text, 1, step, out);
	}
}

void text_json(FILE *out, const char *text)
{
	const char *end = text + strlen(text);
	size_t step;

	fputc('"', out);
	for (; text < end; text += step) {
		long code = decode(text, end, &step);

		if (code < 0)
			fputc('?', out);
		else if (code < 0x20)
			fprintf(out, "\\u%04lx", code);
		else if (code == '"' || code == '\\')
			fprintf(out, "\\%c", (int)code);
		else
			fwrite(text, 1, step, out);
	}
	fputc('"', out);
}

const char *text_size(uint64_t bytes, char *buffer, size_t room)
{
	static const char units[] = "KMGTP";
	unsigned unit = 0;

	if (bytes < 1024) {
		snprintf(buffer, room, "%u", (unsigned)bytes);
		return buffer;
	}
	for (uint64_t at = bytes >> 10; at >= 1024 && unit < 4; at >>= 10)
		unit++;
	double value = (double)bytes / (double)(UINT64_C(1) << 10 * (unit + 1));
	bool whole = !(bytes & ((UINT64_C(1) << 10 * (unit + 1)) - 1));
	bool exact = !((bytes * 4) & ((UINT64_C(1) << 10 * (unit + 1)) - 1));

	if (!exact && unit && !(bytes & ((UINT64_C(1) << 10 * unit) - 1)) && value < 10) {
		value *= 1024; /* 9320M, not 9.1G */
		unit--;
		whole = exact = true;
	}
	snprintf(buffer, room, "%s%.*f%c", exact ? "" : "~", whole ? 0 : exact && value * 2 ==
		 (double)(uint64_t)(value * 2) ? 1 : 2, value, units[unit]);
	return buffer;
}

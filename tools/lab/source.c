/* SPDX-License-Identifier: MIT */
/* Words and complaints: see source.h.  A line ends a statement; # begins a comment. */
#include "lab/source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lab/text.h"

#define LINE_SHOWN 160 /* bytes of a line that a complaint repeats at most */
#define SIZE_LIMIT (UINT64_C(1) << 52)

void source_begin(struct lab_source *src, const char *name, const char *text, size_t size,
		  FILE *complaints)
{
	*src = (struct lab_source){ .name = name, .text = text, .size = size,
				    .complaints = complaints, .line = 1 };
	source_next(src);
}

static bool is_word_byte(char c)
{
	return c && !strchr(" \t\r\n\",:#", c);
}

static void read_string(struct lab_source *src)
{
	struct lab_token *token = &src->token;

	token->kind = LAB_STRING;
	token->at = src->text + ++src->next;
	while (src->next < src->size && src->text[src->next] != '"') {
		char c = src->text[src->next];

		if (c == '\n' || !c)
			break;
		src->next += c == '\\' && src->next + 1 < src->size ? 2 : 1;
	}
	if (src->next >= src->size || src->text[src->next] != '"') {
		if (src->next > src->size)
			src->next = src->size;
		token->place.length = 1;
		token->kind = LAB_EOL;
		source_complain(src, token->place, "this string has no closing quote");
		return;
	}
	token->size = (size_t)(src->text + src->next - token->at);
	src->next++;
}

void source_next(struct lab_source *src)
{
	struct lab_token *token = &src->token;

	if (token->kind == LAB_EOL && token->size) { /* the newline itself is behind us now */
		src->line++;
		src->line_start = src->next;
	}
	while (src->next < src->size && strchr(" \t\r", src->text[src->next]) &&
	       src->text[src->next])
		src->next++;
	if (src->next < src->size && src->text[src->next] == '#')
		while (src->next < src->size && src->text[src->next] != '\n')
			src->next++;
	*token = (struct lab_token){ .kind = LAB_EOF, .at = src->text + src->next };
	token->place.line = src->line;
	token->place.column = (uint32_t)(src->next - src->line_start) + 1;
	token->place.length = 1;
	if (src->failed || src->next >= src->size)
		return;
	switch (src->text[src->next]) {
	case '\n':
		token->kind = LAB_EOL;
		token->size = 1;
		src->next++;
		return;
	case ':':
	case ',':
		token->kind = src->text[src->next++] == ':' ? LAB_COLON : LAB_COMMA;
		token->size = 1;
		return;
	case '"':
		read_string(src);
		break;
	default:
		token->kind = LAB_WORD;
		if (!is_word_byte(src->text[src->next])) { /* a NUL */
			source_complain(src, token->place, "a byte 0: this is not a text file");
			return;
		}
		while (src->next < src->size && is_word_byte(src->text[src->next]))
			src->next++;
		token->size = (size_t)(src->text + src->next - token->at);
	}
	token->place.length = (uint32_t)(src->text + src->next - token->at) +
			      (token->kind == LAB_STRING);
}

bool source_is(const struct lab_source *src, const char *word)
{
	return src->token.kind == LAB_WORD && strlen(word) == src->token.size &&
	       !memcmp(word, src->token.at, src->token.size);
}

bool source_take(struct lab_source *src, const char *word)
{
	if (!source_is(src, word))
		return false;
	source_next(src);
	return true;
}

static const char *line_at(const struct lab_source *src, uint32_t line)
{
	const char *at = src->text, *end = src->text + src->size;

	for (uint32_t i = 1; i < line && at < end; at++)
		i += *at == '\n';
	return at;
}

/* The line and a caret under the place; tabs stay tabs, so that both lines agree. */
static void show_line(const struct lab_source *src, struct lab_place place)
{
	const char *line = line_at(src, place.line), *end = src->text + src->size, *stop;
	uint32_t carets;

	for (stop = line; stop < end && *stop != '\n' && stop - line < LINE_SHOWN;)
		stop++;
	/* Not in the middle of a character. */
	while (stop < end && stop > line && ((unsigned char)*stop & 0xc0) == 0x80)
		stop--;
	fprintf(src->complaints, "%5u | ", place.line);
	text_print(src->complaints, line, (size_t)(stop - line));
	fputs("\n      | ", src->complaints);
	if (place.column > (uint32_t)(stop - line) + 1) {
		fputs("\n", src->complaints);
		return;
	}
	for (uint32_t i = 0; i + 1 < place.column;) {
		size_t step = 1;
		unsigned columns = line[i] == '\t' ? 0 : text_char(line + i, stop, &step);

		if (line[i] == '\t')
			fputc('\t', src->complaints);
		for (unsigned k = 0; k < columns; k++)
			fputc(' ', src->complaints);
		i += (uint32_t)step;
	}
	line += place.column - 1;
	if (place.length > (uint32_t)(stop - line))
		place.length = (uint32_t)(stop - line);
	carets = text_width(line, place.length);
	for (uint32_t i = 0; i < (carets ? carets : 1); i++)
		fputc('^', src->complaints);
	fputc('\n', src->complaints);
}

/* Characters, as editors count them. */
static uint32_t column_shown(const struct lab_source *src, struct lab_place place)
{
	const char *at = line_at(src, place.line), *end = src->text + src->size;
	uint32_t column = 1;

	for (uint32_t i = 1; i < place.column && at < end; i++, at++)
		column += ((unsigned char)*at & 0xc0) != 0x80;
	return column;
}

bool source_complain(struct lab_source *src, struct lab_place place, const char *format, ...)
{
	va_list args;

	if (src->failed)
		return false;
	src->failed = true;
	fprintf(src->complaints, "%s:%u:%u: ", src->name, place.line,
		column_shown(src, place));
	va_start(args, format);
	vfprintf(src->complaints, format, args);
	va_end(args);
	fputc('\n', src->complaints);
	show_line(src, place);
	return false;
}

bool source_expected(struct lab_source *src, const char *wanted)
{
	const struct lab_token *token = &src->token;
	int shown = token->size < 40 ? (int)token->size : 40;

	switch (token->kind) {
	case LAB_EOL:
	case LAB_EOF:
		return source_complain(src, token->place, "expected %s, but the line ends", wanted);
	case LAB_STRING:
		return source_complain(src, token->place, "expected %s, found a string", wanted);
	default:
		return source_complain(src, token->place, "expected %s, found '%.*s'", wanted,
				       shown, token->at);
	}
}

bool source_end_of_line(struct lab_source *src)
{
	if (src->failed)
		return false;
	if (src->token.kind == LAB_EOF)
		return true;
	if (src->token.kind != LAB_EOL)
		return source_expected(src, "the end of the line");
	source_next(src);
	return !src->failed;
}

bool source_word(struct lab_source *src, const char *what, char *out_word, size_t room)
{
	const struct lab_token *token = &src->token;

	if (token->kind != LAB_WORD && token->kind != LAB_STRING)
		return source_expected(src, what);
	if (token->size >= room)
		return source_complain(src, token->place, "longer than the %zu bytes there are",
				       room - 1);
	memcpy(out_word, token->at, token->size);
	out_word[token->size] = '\0';
	source_next(src);
	return !src->failed;
}

bool source_number(struct lab_source *src, uint64_t low, uint64_t high, const char *what,
		   uint64_t *out_number)
{
	struct lab_token token = src->token;
	char word[24], wanted[120], *end;

	snprintf(wanted, sizeof wanted, high == UINT64_MAX ? "%s (a number)" :
		 "%s (a number from %llu to %llu)", what, (unsigned long long)low,
		 (unsigned long long)high);
	if (token.kind != LAB_WORD || token.size >= sizeof word)
		return source_expected(src, wanted);
	memcpy(word, token.at, token.size);
	word[token.size] = '\0';
	errno = 0;
	*out_number = strtoull(word, &end, 0);
	if (*end || errno || word[0] < '0' || word[0] > '9' || *out_number < low ||
	    *out_number > high)
		return source_expected(src, wanted);
	source_next(src);
	return !src->failed;
}

bool source_string(struct lab_source *src, const char *what, char **out_text)
{
	const struct lab_token *token = &src->token;
	size_t used = 0;

	if (token->kind != LAB_STRING)
		return source_expected(src, what);
	char *copy = malloc(token->size + 1);

	if (!copy)
		return source_complain(src, token->place, "out of memory");
	for (size_t i = 0; i < token->size; i++) {
		if (token->at[i] == '\\' && i + 1 < token->size)
			i++;
		copy[used++] = token->at[i];
	}
	copy[used] = '\0';
	free(*out_text);
	*out_text = copy;
	source_next(src);
	return !src->failed;
}

/* `text` is one size and nothing else. */
static bool parse_bytes(const char *text, uint64_t *out_bytes)
{
	static const char units[] = "KMGT";
	char *end;
	const char *unit;
	double value;
	unsigned shift = 0;

	if (text[0] < '0' || text[0] > '9')
		return false;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		errno = 0;
		*out_bytes = strtoull(text, &end, 16);
		return !errno && !*end && end != text + 2 && *out_bytes <= SIZE_LIMIT;
	}
	value = strtod(text, &end);
	if (*end) {
		unit = strchr(units, *end >= 'a' && *end <= 'z' ? *end - 32 : *end);
		if (!unit)
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (*end == 'i')
			end++;
		if (*end == 'B')
			end++;
	}
	if (*end || !(value * (double)(UINT64_C(1) << shift) <= (double)SIZE_LIMIT))
		return false;
	*out_bytes = (uint64_t)(value * (double)(UINT64_C(1) << shift));
	return true;
}

static bool word_copy(const struct lab_token *token, char *word, size_t room)
{
	if (token->kind != LAB_WORD || token->size >= room)
		return false;
	memcpy(word, token->at, token->size);
	word[token->size] = '\0';
	return true;
}

bool source_size(struct lab_source *src, const char *what, uint64_t *out_bytes)
{
	char word[40];

	if (!word_copy(&src->token, word, sizeof word) || !parse_bytes(word, out_bytes))
		return source_expected(src, what);
	source_next(src);
	return !src->failed;
}

bool source_range(struct lab_source *src, const char *what, bool alone, uint64_t *out_start,
		  uint64_t *out_end)
{
	struct lab_token token = src->token;
	char word[80], *dash;

	if (!word_copy(&token, word, sizeof word))
		return source_expected(src, what);
	dash = strchr(word, '-');
	if (dash)
		*dash++ = '\0';
	*out_start = UINT64_MAX;
	if (!dash && !alone)
		return source_expected(src, what);
	if (!parse_bytes(dash ? dash : word, out_end) || (dash && !parse_bytes(word, out_start)))
		return source_expected(src, what);
	if (dash && *out_start >= *out_end)
		return source_complain(src, token.place, "the range is empty: it ends where it "
				       "begins, or before");
	source_next(src);
	return !src->failed;
}

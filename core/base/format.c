/* SPDX-License-Identifier: MIT */
/* Formatted text: see format.h. */
#include "base/format.h"

#include "base/math.h"

#define DIGITS_MAX 24 /* 64 bits in decimal are 20 */

struct spec {
	bool left, zero, upper, prefix;
	int width, precision; /* precision < 0: none */
};

void out_init(struct out *out, int (*write)(void *, const char *, size_t), void *ctx)
{
	out->write = write;
	out->ctx = ctx;
	out->error = 0;
	out->length = 0;
	out->used = 0;
}

int out_end(struct out *out)
{
	if (out->used && !out->error)
		out->error = out->write(out->ctx, out->buffer, out->used);
	out->used = 0;
	return out->error;
}

void out_string(struct out *out, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (out->used == sizeof out->buffer)
			out_end(out);
		out->buffer[out->used++] = text[i];
	}
	out->length += size;
}

static void out_repeat(struct out *out, char c, int count)
{
	for (; count > 0; count--)
		out_string(out, &c, 1);
}

void out_pad(struct out *out, uint64_t start, uint64_t column)
{
	while (out->length < start + column)
		out_string(out, " ", 1);
}

static void out_field(struct out *out, const struct spec *spec, const char *text, int size)
{
	if (!spec->left)
		out_repeat(out, ' ', spec->width - size);
	out_string(out, text, (size_t)size);
	if (spec->left)
		out_repeat(out, ' ', spec->width - size);
}

static void out_number(struct out *out, const struct spec *spec, uint64_t n, uint32_t base,
		       bool negative)
{
	const char *digits = spec->upper ? "0123456789ABCDEF" : "0123456789abcdef";
	const char *before = negative ? "-" : !spec->prefix || !n || base != 16 ? "" :
			     spec->upper ? "0X" : "0x";
	char text[DIGITS_MAX];
	int at = DIGITS_MAX, extra = before[0] ? negative ? 1 : 2 : 0, size, zeros, blanks;

	while (n) {
		uint64_t rest = base == 16 ? n >> 4 : div_u64(n, base);

		text[--at] = digits[n - rest * base];
		n = rest;
	}
	size = DIGITS_MAX - at;
	zeros = (spec->precision < 0 ? 1 : spec->precision) - size;
	if (zeros < 0)
		zeros = 0;
	if (spec->zero && !spec->left && spec->precision < 0 &&
	    spec->width - extra - size > zeros)
		zeros = spec->width - extra - size;
	blanks = spec->width - extra - zeros - size;
	if (!spec->left)
		out_repeat(out, ' ', blanks);
	out_string(out, before, (size_t)extra);
	out_repeat(out, '0', zeros);
	out_string(out, text + at, (size_t)size);
	if (spec->left)
		out_repeat(out, ' ', blanks);
}

static size_t text_length(const char *text, int precision)
{
	size_t size = 0;

	while ((precision < 0 || size < (size_t)precision) && text[size])
		size++;
	return size;
}

static const char *parse_count(const char *f, int *out_count, int star)
{
	int count = 0;

	if (*f == '*') {
		*out_count = star;
		return f + 1;
	}
	for (; *f >= '0' && *f <= '9'; f++)
		count = count * 10 + (*f - '0');
	*out_count = count;
	return f;
}

/* The integer argument; `size` as the l and z marks counted it. */
#define ARG_UNSIGNED(args, longs, word)                                                       \
	((longs) >= 2 ? va_arg(args, unsigned long long) :                                    \
	 (longs) == 1 ? va_arg(args, unsigned long) :                                         \
	 (word) ? va_arg(args, size_t) : va_arg(args, unsigned int))
#define ARG_SIGNED(args, longs, word)                                                         \
	((longs) >= 2 ? va_arg(args, long long) :                                             \
	 (longs) == 1 ? va_arg(args, long) :                                                  \
	 (word) ? va_arg(args, ptrdiff_t) : va_arg(args, int))

void out_vprintf(struct out *out, const char *f, va_list list)
{
	va_list args;

	va_copy(args, list); /* where va_list is an array, only a local one can be passed on */
	while (*f) {
		struct spec spec = { .precision = -1 };
		int longs = 0;
		bool word = false;
		const char *plain = f;
		int64_t n;

		while (*f && *f != '%')
			f++;
		out_string(out, plain, (size_t)(f - plain));
		if (!*f++)
			break;
		for (; *f == '-' || *f == '0' || *f == '#'; f++)
			*(*f == '-' ? &spec.left : *f == '0' ? &spec.zero : &spec.prefix) = true;
		f = parse_count(f, &spec.width, *f == '*' ? va_arg(args, int) : 0);
		if (*f == '.') {
			f++;
			f = parse_count(f, &spec.precision, *f == '*' ? va_arg(args, int) : 0);
		}
		for (; *f == 'l' || *f == 'z' || *f == 'h'; f++) {
			longs += *f == 'l';
			word |= *f == 'z';
		}
		switch (*f) {
		case 'c': {
			char c = (char)va_arg(args, int);
			out_field(out, &spec, &c, 1);
			break;
		}
		case 's': {
			const char *text = va_arg(args, const char *);
			if (!text)
				text = "(null)";
			out_field(out, &spec, text, (int)text_length(text, spec.precision));
			break;
		}
		case 'd':
		case 'i':
			n = ARG_SIGNED(args, longs, word);
			out_number(out, &spec, n < 0 ? -(uint64_t)n : (uint64_t)n, 10, n < 0);
			break;
		case 'u':
			out_number(out, &spec, ARG_UNSIGNED(args, longs, word), 10, false);
			break;
		case 'x':
		case 'X':
			spec.upper = *f == 'X';
			out_number(out, &spec, ARG_UNSIGNED(args, longs, word), 16, false);
			break;
		case 'p':
			out_number(out, &spec, (uintptr_t)va_arg(args, void *), 16, false);
			break;
		case '\0':
			f--;
			break;
		default:
			out_string(out, f, 1);
		}
		f++;
	}
	va_end(args);
}

void out_printf(struct out *out, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	out_vprintf(out, format, args);
	va_end(args);
}

struct bounded {
	char *text;
	size_t used, size;
};

static int write_bounded(void *ctx, const char *text, size_t size)
{
	struct bounded *to = ctx;

	for (size_t i = 0; i < size && to->used + 1 < to->size; i++)
		to->text[to->used++] = text[i];
	return 0;
}

static size_t format_bounded(struct bounded *to, const char *format, va_list args)
{
	struct out out;

	out_init(&out, write_bounded, to);
	out_vprintf(&out, format, args);
	out_end(&out);
	if (to->size)
		to->text[to->used] = '\0';
	return (size_t)out.length;
}

size_t format_string(char *buffer, size_t size, const char *format, ...)
{
	struct bounded to = { buffer, 0, size };
	va_list args;
	size_t length;

	va_start(args, format);
	length = format_bounded(&to, format, args);
	va_end(args);
	return length;
}

void log_printf(const struct ondol_port *port, enum ondol_log_level level, const char *format,
		...)
{
	char line[256];
	struct bounded to = { line, 0, sizeof line };
	va_list args;

	if (!port->log)
		return;
	va_start(args, format);
	format_bounded(&to, format, args);
	va_end(args);
	port->log(port->ctx, level, line);
}

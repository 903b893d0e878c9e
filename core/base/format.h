/* SPDX-License-Identifier: MIT */
/* Formatted text into a write callback: enough of printf for /proc texts and the log. */
#ifndef ONDOL_BASE_FORMAT_H
#define ONDOL_BASE_FORMAT_H

#include <ondol/port.h>
#include <stdarg.h>

struct out {
	int (*write)(void *ctx, const char *text, size_t size); /* nonzero: stop */
	void *ctx;
	int error;       /* what `write` returned; later text is dropped */
	uint64_t length; /* characters produced so far, padding included */
	uint32_t used;
	char buffer[128];
};

void out_init(struct out *out, int (*write)(void *, const char *, size_t), void *ctx);
/*
 * %c %s %d %i %u %x %X %p %%, with the flags '-', '0' and '#', a width and a precision (numbers
 * or '*'; precision cuts strings and gives the least digits of integers), h hh l ll z.
 */
void out_printf(struct out *out, const char *format, ...) ONDOL_PRINTF(2, 3);
void out_vprintf(struct out *out, const char *format, va_list args);
void out_string(struct out *out, const char *text, size_t size);
/* Blanks until `column` characters after `start` (an earlier out.length). */
void out_pad(struct out *out, uint64_t start, uint64_t column);
/* Hands over what is buffered; the write's error, or 0. */
int out_end(struct out *out);

/* One line to the port's log. */
void log_printf(const struct ondol_port *port, enum ondol_log_level level, const char *format,
		...) ONDOL_PRINTF(3, 4);
/* Like snprintf, always terminated; returns the untruncated length. */
size_t format_string(char *buffer, size_t size, const char *format, ...) ONDOL_PRINTF(3, 4);

#endif /* ONDOL_BASE_FORMAT_H */

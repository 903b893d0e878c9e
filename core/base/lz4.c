/* SPDX-License-Identifier: MIT */
/*
 * The LZ4 block format, for pages that leave memory without leaving the machine.
 *
 * A block is a row of sequences, each "so many bytes as they stand here, then so many bytes as
 * they stood a while ago":
 *
 *	token       4 bits: number of literals | 4 bits: length of the match less 4
 *	[255 ...]   15 in the token: more bytes are added up, until one that is not 255
 *	literals
 *	offset      2 bytes, low first: how far back the match lies, 1 .. 65535
 *	[255 ...]   as above, for the length of the match
 *
 * The last sequence ends after its literals.  The format asks of a writer that the last 5 bytes
 * are literals, and that no match starts within the last 12 bytes, so that a reader may copy in
 * larger pieces; this reader does not rely on it.
 *
 * The compressor is greedy: a hash of 4 bytes says where they stood last; where nothing is found
 * for long, it goes on in longer steps, since what does not compress shall not cost much.
 *
 * Source: lz4_Block_format.md of the LZ4 project, a description of the format.
 */
#include "base/lz4.h"

#include "base/math.h"

#define MIN_MATCH 4
#define LAST_LITERALS 5 /* ends of a block that are never part of a match */
#define MATCH_LIMIT 12  /* no match starts so near the end */
#define SKIP_SHIFT 5    /* after 32 misses in a row every second place is tried, and so on */

static inline uint32_t load32(const unsigned char *at)
{
	uint32_t value;

	__builtin_memcpy(&value, at, sizeof value);
	return value;
}

static inline uint64_t load64(const unsigned char *at)
{
	uint64_t value;

	__builtin_memcpy(&value, at, sizeof value);
	return value;
}

/* Knuth's multiplicative hash. */
static inline uint32_t hash4(const unsigned char *at)
{
	return (load32(at) * UINT32_C(2654435761)) >> (32 - LZ4_HASH_BITS);
}

/* How many bytes are equal from a and b on; a is the later one, and ends at `end`. */
static size_t common(const unsigned char *a, const unsigned char *b, const unsigned char *end)
{
	const unsigned char *start = a;

	while (end - a >= 8) {
		if (load64(a) != load64(b))
			break;
		a += 8;
		b += 8;
	}
	while (a < end && *a == *b) {
		a++;
		b++;
	}
	return (size_t)(a - start);
}

/* ------------------------------------------------------------------ writing */

/* The part of a length that the token has no room for. */
static unsigned char *put_length(unsigned char *out, size_t length)
{
	for (length -= 15; length >= 255; length -= 255)
		*out++ = 255;
	*out++ = (unsigned char)length;
	return out;
}

/* Bytes that a sequence takes; a match of 0: the last one. */
static size_t sequence_size(size_t literals, size_t match)
{
	size_t size = 1 + literals + (literals >= 15 ? 1 + (literals - 15) / 255 : 0);

	if (!match)
		return size;
	match -= MIN_MATCH;
	return size + 2 + (match >= 15 ? 1 + (match - 15) / 255 : 0);
}

static unsigned char *put_sequence(unsigned char *out, const unsigned char *literal,
				   size_t literals, size_t offset, size_t match)
{
	size_t more = match ? match - MIN_MATCH : 0;

	*out++ = (unsigned char)((literals < 15 ? literals : 15) << 4 | (more < 15 ? more : 15));
	if (literals >= 15)
		out = put_length(out, literals);
	if (literals)
		__builtin_memcpy(out, literal, literals);
	out += literals;
	if (!match)
		return out;
	*out++ = (unsigned char)offset;
	*out++ = (unsigned char)(offset >> 8);
	return more >= 15 ? put_length(out, more) : out;
}

size_t lz4_compress(struct lz4_table *table, const void *src, size_t size, void *dst, size_t room)
{
	const unsigned char *base = src, *at = base, *literal = base, *end = base + size;
	const unsigned char *limit = size > MATCH_LIMIT ? end - MATCH_LIMIT : base;
	unsigned char *out = dst, *out_end = out + room;
	uint32_t misses = 0;

	if (size > LZ4_INPUT_MAX)
		return 0;
	__builtin_memset(table, 0, sizeof *table);
	while (at < limit) {
		uint32_t hash = hash4(at);
		const unsigned char *match = base + table->at[hash];
		size_t length;

		table->at[hash] = (uint16_t)(at - base);
		if (match >= at || load32(match) != load32(at)) {
			at += 1 + (misses++ >> SKIP_SHIFT);
			continue;
		}
		misses = 0;
		while (at > literal && match > base && at[-1] == match[-1]) {
			at--;
			match--;
		}
		length = common(at, match, end - LAST_LITERALS);
		if (sequence_size((size_t)(at - literal), length) > (size_t)(out_end - out))
			return 0;
		out = put_sequence(out, literal, (size_t)(at - literal), (size_t)(at - match),
				   length);
		at += length;
		literal = at;
		if (at < limit)
			table->at[hash4(at - 2)] = (uint16_t)(at - 2 - base);
	}
	if (sequence_size((size_t)(end - literal), 0) > (size_t)(out_end - out))
		return 0;
	out = put_sequence(out, literal, (size_t)(end - literal), 0, 0);
	return (size_t)(out - (unsigned char *)dst);
}

/* ------------------------------------------------------------------ reading */

/* A length whose token part is 15: false if the block ends before it does. */
static bool get_length(const unsigned char **at, const unsigned char *end, size_t *length)
{
	unsigned char more;

	do {
		if (*at == end)
			return false;
		more = *(*at)++;
		*length += more;
	} while (more == 255);
	return true;
}

/* The match may overlap what it makes: a short distance repeats. */
static void copy_match(unsigned char *out, size_t offset, size_t length)
{
	const unsigned char *from = out - offset;

	if (offset >= length) {
		__builtin_memcpy(out, from, length);
		return;
	}
	while (length--)
		*out++ = *from++;
}

ptrdiff_t lz4_decompress(const void *src, size_t size, void *dst, size_t room)
{
	const unsigned char *at = src, *end = at + size;
	unsigned char *out = dst, *out_end = out + room;

	while (at < end) {
		unsigned token = *at++;
		size_t literals = token >> 4, length = token & 15, offset;

		if (literals == 15 && !get_length(&at, end, &literals))
			return -1;
		if (literals > (size_t)(end - at) || literals > (size_t)(out_end - out))
			return -1;
		__builtin_memcpy(out, at, literals);
		at += literals;
		out += literals;
		if (at == end)
			return length ? -1 : out - (unsigned char *)dst;
		if (end - at < 2)
			return -1;
		offset = at[0] | (size_t)at[1] << 8;
		at += 2;
		if (!offset || offset > (size_t)(out - (unsigned char *)dst))
			return -1;
		if (length == 15 && !get_length(&at, end, &length))
			return -1;
		length += MIN_MATCH;
		if (length > (size_t)(out_end - out))
			return -1;
		copy_match(out, offset, length);
		out += length;
	}
	return -1; /* a block ends with literals, be they none: with a token at least */
}

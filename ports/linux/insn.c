/* SPDX-License-Identifier: MIT */
/*
 * Does an instruction of x86-64 write to the memory that it faulted on?  A signal does not tell
 * (sigtrap.c).  Asked only to name an error by its right code, so what is not known, system
 * instructions and the rarer vector stores, counts as a read.
 *
 * Source: the opcode maps of the Intel SDM, volume 2, appendix A.
 */
#include <stddef.h>

#include "insn.h"

#define ALL 0xff /* whatever the register field of the ModRM byte says */

struct store {
	uint8_t opcode, last; /* a range */
	uint8_t regs;         /* bit r: with r in the register field of ModRM */
};

/* One byte. */
static const struct store stores[] = {
	{ 0x00, 0x01, ALL }, { 0x08, 0x09, ALL }, { 0x10, 0x11, ALL }, { 0x18, 0x19, ALL },
	{ 0x20, 0x21, ALL }, { 0x28, 0x29, ALL }, { 0x30, 0x31, ALL }, /* arithmetic, but cmp */
	{ 0x80, 0x83, 0x7f },
	{ 0x86, 0x89, ALL }, { 0x8c, 0x8c, ALL }, { 0x8f, 0x8f, ALL }, /* xchg, mov, pop */
	{ 0xa2, 0xa3, ALL },
	{ 0xc0, 0xc1, ALL }, { 0xc6, 0xc7, ALL }, { 0xd0, 0xd3, ALL }, /* shifts, mov */
	{ 0xd9, 0xd9, 0xcc }, { 0xdb, 0xdb, 0x8e }, { 0xdd, 0xdd, 0xce }, { 0xdf, 0xdf, 0xce },
	{ 0xf6, 0xf7, 0x0c }, { 0xfe, 0xff, 0x03 }, /* not, neg; inc, dec */
};

/* After 0f, and VEX and EVEX of map 1. */
static const struct store stores_0f[] = {
	{ 0x11, 0x11, ALL }, { 0x13, 0x13, ALL }, { 0x17, 0x17, ALL }, { 0x29, 0x29, ALL },
	{ 0x2b, 0x2b, ALL }, { 0x7e, 0x7f, ALL }, { 0x90, 0x9f, ALL }, { 0xa4, 0xa5, ALL },
	{ 0xab, 0xad, ALL }, { 0xae, 0xae, 0x59 }, { 0xb0, 0xb1, ALL }, { 0xb3, 0xb3, ALL },
	{ 0xba, 0xba, 0xe0 }, { 0xbb, 0xbb, ALL }, { 0xc0, 0xc1, ALL }, { 0xc3, 0xc3, ALL },
	{ 0xc7, 0xc7, 0x5a }, { 0xd6, 0xd6, ALL }, { 0xe7, 0xe7, ALL },
};

/* After 0f 38 and 0f 3a, and of maps 2 and 3. */
static const struct store stores_38[] = { { 0x2e, 0x2f, ALL }, { 0x8a, 0x8b, ALL },
					  { 0x8e, 0x8e, ALL }, { 0xa0, 0xa3, ALL },
					  { 0xf1, 0xf1, ALL } };
static const struct store stores_3a[] = { { 0x14, 0x17, ALL }, { 0x19, 0x1b, ALL },
					  { 0x1d, 0x1d, ALL }, { 0x39, 0x3b, ALL } };

static bool listed(const struct store *list, size_t nr, const uint8_t *at)
{
	for (size_t i = 0; i < nr; i++)
		if (at[0] >= list[i].opcode && at[0] <= list[i].last)
			return list[i].regs >> (at[1] >> 3 & 7) & 1;
	return false;
}

#define LISTED(list, at) listed(list, sizeof(list) / sizeof *(list), at)

static bool listed_in_map(unsigned map, const uint8_t *at)
{
	return map == 1 ? LISTED(stores_0f, at) : map == 2 ? LISTED(stores_38, at) :
	       map == 3 ? LISTED(stores_3a, at) : false;
}

static bool is_prefix(uint8_t byte)
{
	return byte == 0x66 || byte == 0x67 || byte == 0xf0 || byte == 0xf2 || byte == 0xf3 ||
	       byte == 0x2e || byte == 0x36 || byte == 0x3e || byte == 0x26 || byte == 0x64 ||
	       byte == 0x65;
}

/* Those that write by a register of their own: string instructions, and what pushes. */
static bool implied_store(uint8_t opcode, uint64_t addr, uint64_t rdi, uint64_t rsp)
{
	bool string = (opcode >= 0xa4 && opcode <= 0xa5) || (opcode >= 0xaa && opcode <= 0xab) ||
		      (opcode >= 0x6c && opcode <= 0x6d);
	bool push = (opcode >= 0x50 && opcode <= 0x57) || opcode == 0x68 || opcode == 0x6a ||
		    opcode == 0x9c || opcode == 0xe8 || opcode == 0xff || opcode == 0xc8;

	return (string && addr - rdi < 8) || (push && rsp - addr <= 16);
}

bool insn_writes(const uint8_t insn[INSN_BYTES], uint64_t addr, uint64_t rdi, uint64_t rsp)
{
	const uint8_t *at = insn, *last = insn + INSN_BYTES - 6;

	while (at < last && is_prefix(*at))
		at++;
	if (*at == 0xc5)
		return listed_in_map(1, at + 2);
	if (*at == 0xc4)
		return listed_in_map(at[1] & 0x1f, at + 3);
	if (*at == 0x62)
		return listed_in_map(at[1] & 7, at + 4);
	if ((*at & 0xf0) == 0x40) /* REX */
		at++;
	if (*at != 0x0f)
		return implied_store(*at, addr, rdi, rsp) || LISTED(stores, at);
	if (at[1] == 0x38 || at[1] == 0x3a)
		return listed_in_map(at[1] == 0x38 ? 2 : 3, at + 2);
	return listed_in_map(1, at + 1);
}

/* SPDX-License-Identifier: MIT */
/* Which instructions write to what they faulted on: ports/linux/insn.c, bytes as gas has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "../../ports/linux/insn.c"

#define AT 0x1000u /* the fault's address; rdi and rsp are elsewhere unless said */

struct row {
	char bytes[9];
	bool writes;
	uint64_t rdi, rsp;
};

static const struct row rows[] = {
	{ "\x88\x07", true, 0, 0 },                     /* mov %al, (%rdi) */
	{ "\x48\x89\x07", true, 0, 0 },                 /* mov %rax, (%rdi) */
	{ "\x8a\x07", false, 0, 0 },                    /* mov (%rdi), %al */
	{ "\x48\x8b\x07", false, 0, 0 },
	{ "\xc6\x07\x01", true, 0, 0 },                 /* movb $1, (%rdi) */
	{ "\x83\x07\x01", true, 0, 0 },                 /* addl $1, (%rdi) */
	{ "\x83\x3f\x01", false, 0, 0 },                /* cmpl $1, (%rdi) */
	{ "\x39\x07", false, 0, 0 },                    /* cmp %eax, (%rdi) */
	{ "\xf0\x48\x0f\xb1\x0f", true, 0, 0 },         /* lock cmpxchg %rcx, (%rdi) */
	{ "\xf0\xff\x07", true, 0, 0 },                 /* lock incl (%rdi) */
	{ "\xff\x27", false, 0, 0 },                    /* jmp *(%rdi) */
	{ "\xf7\x17", true, 0, 0 },                     /* notl (%rdi) */
	{ "\xf7\x27", false, 0, 0 },                    /* mull (%rdi) */
	{ "\x0f\xb6\x07", false, 0, 0 },                /* movzbl (%rdi), %eax */
	{ "\x0f\x94\x07", true, 0, 0 },                 /* sete (%rdi) */
	{ "\x66\x0f\x7f\x07", true, 0, 0 },             /* movdqa %xmm0, (%rdi) */
	{ "\x66\x0f\x6f\x07", false, 0, 0 },            /* movdqa (%rdi), %xmm0 */
	{ "\x0f\x11\x07", true, 0, 0 },                 /* movups %xmm0, (%rdi) */
	{ "\xc5\xfe\x7f\x07", true, 0, 0 },             /* vmovdqu %ymm0, (%rdi) */
	{ "\xc5\xfe\x6f\x07", false, 0, 0 },            /* vmovdqu (%rdi), %ymm0 */
	{ "\xc4\xc1\x7e\x7f\x00", true, 0, 0 },         /* vmovdqu %ymm0, (%r8) */
	{ "\x62\xf1\xfe\x48\x7f\x07", true, 0, 0 },     /* vmovdqu64 %zmm0, (%rdi) */
	{ "\x62\xf1\xfe\x48\x6f\x07", false, 0, 0 },
	{ "\x0f\x38\xf1\x07", true, 0, 0 },             /* movbe %eax, (%rdi) */
	{ "\x0f\x38\xf0\x07", false, 0, 0 },
	{ "\xdd\x1f", true, 0, 0 },                     /* fstpl (%rdi) */
	{ "\xdd\x07", false, 0, 0 },                    /* fldl (%rdi) */
	{ "\xf3\xa4", true, AT, 0 },                    /* rep movsb, to where it faulted */
	{ "\xf3\xa4", false, 0x9000, 0 },               /* ... from there */
	{ "\xf3\x48\xab", true, AT, 0 },                /* rep stosq */
	{ "\x53", true, 0, AT + 8 },                    /* push %rbx */
	{ "\xff\x37", false, 0, 0x9000 },               /* push (%rdi), which it reads */
	{ "\xff\x37", true, 0, AT + 8 },
	{ "\xe8\0\0\0\0", true, 0, AT + 8 },            /* call */
	{ "\x64\x48\x89\x04\x25\0\0\0\0", true, 0, 0 }, /* mov %rax, %fs:0 */
};

static void stores_and_loads(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint8_t insn[INSN_BYTES] = { 0 };

		memcpy(insn, rows[i].bytes, sizeof rows[i].bytes);
		if (insn_writes(insn, AT, rows[i].rdi, rows[i].rsp) != rows[i].writes)
			fail_msg("row %zu", i);
	}
}

/* Whatever the bytes, it looks no further than it may. */
static void prefixes_without_end(void **state)
{
	uint8_t insn[INSN_BYTES];

	(void)state;
	memset(insn, 0x66, sizeof insn);
	assert_false(insn_writes(insn, AT, 0, 0));
	for (unsigned byte = 0; byte < 256; byte++) {
		memset(insn, (int)byte, sizeof insn);
		insn_writes(insn, AT, 0, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores_and_loads),
		cmocka_unit_test(prefixes_without_end),
	};

	return cmocka_run_group_tests_name("insn", tests, NULL, NULL);
}

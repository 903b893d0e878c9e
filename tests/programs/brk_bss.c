/* SPDX-License-Identifier: MIT */
/* The heap by hand, and large zero-filled data. */
#include "check.h"

static unsigned char bss[64 << 20];
static unsigned char data[3 * 4096 + 123] = { 1, 2, 3, [3 * 4096 + 122] = 9 };
static const unsigned char constant[2 * 4096] = { 5, [2 * 4096 - 1] = 6 };

int main(void)
{
	unsigned char *start, *p;

	CHECK(data[0] == 1 && data[3 * 4096 + 122] == 9 && data[5000] == 0);
	CHECK(constant[0] == 5 && constant[2 * 4096 - 1] == 6 && constant[4096] == 0);
	for (size_t i = 0; i < sizeof bss; i += 1 << 20) {
		CHECK(bss[i] == 0 && bss[i + 4095] == 0);
		bss[i + 77] = (unsigned char)(i >> 20);
	}
	for (size_t i = 0; i < sizeof bss; i += 1 << 20)
		CHECK(bss[i + 77] == i >> 20);
	say("64 MiB of bss\n");

	start = sbrk(0);
	CHECK(sbrk(100) == start && sbrk(0) == start + 100);
	start[0] = start[99] = 1;
	CHECK(brk(start + (10 << 20)) == 0 && sbrk(0) == start + (10 << 20));
	for (size_t i = 4096; i < 10 << 20; i += 4096) {
		CHECK(start[i] == 0);
		start[i] = 7;
	}
	CHECK(start[0] == 1 && start[99] == 1);
	CHECK(brk(start + 200) == 0);
	catch_faults(0);
	p = (unsigned char *)(((uintptr_t)start + 200 + PAGE - 1) & ~(PAGE - 1));
	CHECK(FAULTS((void)*(volatile unsigned char *)p) == SIGSEGV);
	CHECK(brk(start + (1 << 20)) == 0);
	for (size_t i = 4096; i < 1 << 20; i += 4096)
		CHECK(start[i] == 0); /* what was given back comes back as zeros */
	CHECK(start[0] == 1 && start[99] == 1);
	CHECK(brk((void *)8) == 0 && sbrk(0) == start + (1 << 20)); /* libc hides the refusal */
	CHECK(brk((void *)0x7ffffffff000) == -1 && errno == ENOMEM);
	say("the heap grows, shrinks, and is zero again\n");
	return 0;
}

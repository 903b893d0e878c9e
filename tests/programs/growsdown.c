/* SPDX-License-Identifier: MIT */
/* MAP_GROWSDOWN: a mapping that grows like a stack, and stops before the next one. */
#include "check.h"

enum { PAGES = 1024 };

int main(void)
{
	unsigned char *arena = map_anon(PAGES * PAGE, PROT_NONE), *top, *bottom, *p;
	volatile unsigned grown;

	catch_faults(0);
	CHECK(munmap(arena, PAGES * PAGE) == 0);
	bottom = mmap(arena, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE | MAP_PRIVATE |
		      MAP_ANONYMOUS, -1, 0);
	top = mmap(arena + (PAGES - 1) * PAGE, PAGE, PROT_READ | PROT_WRITE,
		   MAP_FIXED_NOREPLACE | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	CHECK(bottom == arena && top == arena + (PAGES - 1) * PAGE);
	*bottom = 1;
	for (unsigned i = 0; i < 64; i++) {
		p = top - i * PAGE;
		CHECK(FAULTS(*(volatile unsigned char *)p = (unsigned char)i) == 0);
	}
	for (unsigned i = 0; i < 64; i++)
		CHECK(top[-(long)(i * PAGE)] == i);
	say("grew by touching\n");

	/* Down to the neighbour: the gap that is kept is 256 pages (stack_guard_gap). */
	for (grown = 64; grown < PAGES; grown++)
		if (FAULTS(*(volatile unsigned char *)(top - grown * PAGE) = 1))
			break;
	CHECK(fault_info.si_code == SEGV_MAPERR);
	say("stopped %ld pages above its neighbour\n", (long)(PAGES - 1 - grown));
	CHECK(*bottom == 1 && top[-63l * (long)PAGE] == 63);
	return 0;
}

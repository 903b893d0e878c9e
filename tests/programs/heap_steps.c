/* SPDX-License-Identifier: MIT */
/* A heap that grows in malloc's steps and is touched to its end each time. */
#include "check.h"

#define STEP (33 * PAGE)
#define STEPS 40

int main(void)
{
	unsigned char *start = sbrk(0), *at = start;

	for (int n = 0; n < STEPS; n++) {
		CHECK((unsigned char *)sbrk(STEP) == at);
		for (; at < start + (unsigned long)(n + 1) * STEP; at += PAGE) {
			CHECK(at[0] == 0 && at[PAGE - 1] == 0);
			at[0] = at[PAGE - 1] = (unsigned char)((at - start) >> 12);
		}
	}
	for (unsigned char *p = start; p < at; p += PAGE)
		CHECK(p[0] == (unsigned char)((p - start) >> 12) && p[0] == p[PAGE - 1]);
	CHECK(!mprotect(at - STEP, STEP, PROT_READ));
	CHECK((unsigned char *)sbrk(STEP) == at); /* behind a page that may not be written */
	at[0] = 1;
	CHECK(sbrk(0) == at + STEP && brk(start) == 0);
	say("%d steps\n", STEPS);
	return 0;
}

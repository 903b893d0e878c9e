/* SPDX-License-Identifier: MIT */
/* Built at fixed addresses (not position independent): where its parts must be. */
#include "check.h"

int main(void)
{
	CHECK((uintptr_t)main > 0x400000 && (uintptr_t)main < 0x10000000);
	CHECK((uintptr_t)sbrk(0) < 0x700000000000);
	say("at fixed addresses\n");
	return 0;
}

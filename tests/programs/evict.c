/* SPDX-License-Identifier: MIT */
/*
 * More scattered pages than the host allows mappings for one process (vm.max_map_count), in
 * an order that puts no two neighbours side by side; then forks that see and change them.
 */
#include "check.h"

#define NR 70001ul /* pages; a prime, so that every stride visits all of them */
#define STRIDE 7919ul

static uint32_t *word(unsigned char *p, size_t i)
{
	return (uint32_t *)(void *)(p + i * PAGE + (i % 1000) * 4);
}

static void expect(unsigned char *p, uint32_t add)
{
	for (size_t i = 0, at = 0; i < NR; i++, at = (at + STRIDE) % NR)
		CHECK(*word(p, at) == (uint32_t)at + add);
}

int main(void)
{
	unsigned char *p = map_anon(NR * PAGE, PROT_READ | PROT_WRITE);

	for (size_t i = 0, at = 0; i < NR; i++, at = (at + STRIDE) % NR)
		*word(p, at) = (uint32_t)at + 1;
	expect(p, 1);
	for (int round = 0; round < 2; round++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			expect(p, 1);
			for (size_t at = 0; at < NR; at += 97)
				*word(p, at) += 5;
			for (size_t at = 0; at < NR; at += 97)
				CHECK(*word(p, at) == (uint32_t)at + 6);
			_exit(3);
		}
		for (size_t at = 0; at < NR; at += 1009)
			*word(p, at) = (uint32_t)at + 1;
		reap(pid, 3);
		expect(p, 1);
	}
	CHECK(mprotect(p, NR * PAGE, PROT_READ) == 0);
	expect(p, 1);
	CHECK(munmap(p, NR * PAGE) == 0);
	say("evicted and back\n");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Many processes, one after another or at once.
 *
 *	crowd at-once N MIB	N children, all alive together, each with MIB of its own
 *	crowd in-turn N		N forks, each child changes a page of its parent's and ends
 *	crowd touch MIB		one process, so much memory, each page written and read back
 *
 * Says "at K" when a tenth of the work is done, and when all is, and waits for a line each time.
 */
#include <inttypes.h>

#include "check.h"

static void here(uint64_t k)
{
	char line[16];

	say("at %" PRIu64 "\n", k);
	CHECK(read(0, line, sizeof line) > 0);
}

static uint64_t mark(uint64_t who, uint64_t page)
{
	return (who + 1) * UINT64_C(0x9e3779b97f4a7c15) + page;
}

static void fill(unsigned char *area, size_t size, uint64_t who)
{
	for (size_t i = 0; i < size; i += PAGE)
		memcpy(area + i + 8 * (i / PAGE % 500), &(uint64_t){ mark(who, i) }, 8);
}

static bool is_filled(const unsigned char *area, size_t size, uint64_t who)
{
	for (size_t i = 0; i < size; i += PAGE)
		if (memcmp(area + i + 8 * (i / PAGE % 500), &(uint64_t){ mark(who, i) }, 8))
			return false;
	return true;
}

static void wait_for(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status));
}

static void at_once(uint64_t n, size_t size)
{
	int ready[2], go[2];
	pid_t pid[1000];
	char c;

	CHECK(n > 0 && n <= sizeof pid / sizeof *pid && !pipe(ready) && !pipe(go));
	for (uint64_t i = 0; i < n; i++) {
		pid[i] = fork();
		CHECK(pid[i] >= 0);
		if (pid[i])
			continue;
		close(go[1]);
		unsigned char *area = map_anon(size, PROT_READ | PROT_WRITE);

		fill(area, size, i);
		CHECK(write(ready[1], "r", 1) == 1);
		CHECK(read(go[0], &c, 1) == 0); /* all are there */
		_exit(!is_filled(area, size, i));
	}
	for (uint64_t i = 0; i < n; i++)
		CHECK(read(ready[0], &c, 1) == 1);
	here(n);
	close(go[1]);
	for (uint64_t i = 0; i < n; i++)
		wait_for(pid[i]);
}

static void in_turn(uint64_t n)
{
	enum { PAGES = 16 };
	unsigned char *area = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);

	fill(area, PAGES * PAGE, 0);
	for (uint64_t i = 1; i <= n; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			area[i % PAGES * PAGE + 4095] = 1;
			_exit(!is_filled(area, PAGES * PAGE, 0));
		}
		wait_for(pid);
		CHECK(area[i % PAGES * PAGE + 4095] == 0);
		if (i == n / 10)
			here(i);
	}
	here(n);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;

	if (argc > 3 && !strcmp(argv[1], "at-once")) {
		at_once(n, strtoull(argv[3], NULL, 0) << 20);
	} else if (argc > 2 && !strcmp(argv[1], "in-turn")) {
		in_turn(n);
	} else if (argc > 2 && !strcmp(argv[1], "touch")) {
		unsigned char *area = map_anon(n << 20, PROT_READ | PROT_WRITE);

		fill(area, n << 20, 0);
		here(n);
		CHECK(is_filled(area, n << 20, 0));
	} else {
		return 2;
	}
	say("done\n");
	return 0;
}

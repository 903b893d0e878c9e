/* SPDX-License-Identifier: MIT */
/*
 * set_mempolicy, get_mempolicy, mbind, move_pages and migrate_pages with odd and wrong
 * arguments on a machine of one node: like errnos.c, the run under Ondol has to print what the
 * native one printed.
 */
#include "try.h"
#include <linux/mempolicy.h>
#include <sys/syscall.h>

static unsigned long none[17], one[17] = { 1 }, two[17] = { 2 }, far[17] = { 1, 0, 1 },
		     beyond[17] = { [16] = 1 };
static unsigned char *const p = (unsigned char *)0x10000000; /* four private pages */

static long set(int mode, const unsigned long *mask, unsigned long bits)
{
	return syscall(SYS_set_mempolicy, mode, mask, bits);
}

static long bind(void *at, unsigned long size, int mode, const unsigned long *mask,
		 unsigned flags)
{
	return syscall(SYS_mbind, at, size, mode, mask, 65ul, flags);
}

/* The mode, and whether node 0 is in the set. */
static void get(const char *what, unsigned long bits, void *at, unsigned flags)
{
	unsigned long mask[17] = { 0 };
	int mode = -1;
	long r = syscall(SYS_get_mempolicy, &mode, bits ? mask : NULL, bits, at, flags);

	say("get %s = %ld %s: mode %d, node 0 %lu\n", what, r, r ? strerror(errno) : "", mode,
	    mask[0] & 1);
}

static void of_the_task(void)
{
	TRY(set(MPOL_DEFAULT, NULL, 0));
	TRY(set(MPOL_DEFAULT, none, 64));
	TRY(set(MPOL_DEFAULT, one, 65));
	TRY(set(MPOL_BIND, one, 65));
	get("bind", 1024, NULL, 0);
	TRY(set(MPOL_BIND, one, 1)); /* no bit of it counts */
	TRY(set(MPOL_BIND, two, 65));
	TRY(set(MPOL_BIND, far, 1025));
	TRY(set(MPOL_BIND, beyond, 1089));
	TRY(set(MPOL_BIND, one, 1ul << 20));
	TRY(set(MPOL_BIND, NULL, 64));
	TRY(set(MPOL_BIND, (void *)8, 64));
	TRY(set(MPOL_INTERLEAVE, one, 65));
	get("interleave", 1024, NULL, 0);
	TRY(set(MPOL_INTERLEAVE, none, 65));
	TRY(set(MPOL_PREFERRED, none, 65));
	get("preferred of nothing", 1024, NULL, 0);
	TRY(set(MPOL_PREFERRED | MPOL_F_STATIC_NODES, none, 65));
	TRY(set(MPOL_PREFERRED | MPOL_F_STATIC_NODES, one, 65));
	get("preferred, static", 1024, NULL, 0);
	TRY(set(MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, one, 65));
	TRY(set(MPOL_INTERLEAVE | MPOL_F_RELATIVE_NODES, two, 65));
	get("relative", 1024, NULL, 0);
	TRY(set(MPOL_LOCAL, NULL, 0));
	TRY(set(MPOL_LOCAL, one, 65));
	TRY(set(99, one, 65));
	TRY(set(-1, one, 65));
	TRY(set(MPOL_DEFAULT, NULL, 0));
	get("default", 1024, NULL, 0);
	get("too few bits", 0, NULL, MPOL_F_MEMS_ALLOWED);
	get("allowed", 1024, NULL, MPOL_F_MEMS_ALLOWED);
	get("allowed and node", 1024, NULL, MPOL_F_MEMS_ALLOWED | MPOL_F_NODE);
	get("node of default", 1024, NULL, MPOL_F_NODE);
	get("address without the flag", 1024, p, 0);
	get("flag without a region", 1024, (void *)0x7000000, MPOL_F_ADDR);
	get("unknown flag", 1024, NULL, 64);
}

static void of_regions(void)
{
	TRY(bind(p, 2 * PAGE, MPOL_BIND, one, 0));
	get("region", 1024, p, MPOL_F_ADDR);
	get("its neighbour", 1024, p + 2 * PAGE, MPOL_F_ADDR);
	get("node of its page", 1024, p, MPOL_F_ADDR | MPOL_F_NODE);
	TRY(bind(p + 1, PAGE, MPOL_BIND, one, 0));
	TRY(bind(p, 0, MPOL_BIND, one, 0));
	TRY(bind(p, ~0ul, MPOL_BIND, one, 0));
	TRY(bind(p, 8 * PAGE, MPOL_BIND, one, 0));
	TRY(bind(p + 4 * PAGE, PAGE, MPOL_BIND, one, 0));
	TRY(bind(p, 8 * PAGE, MPOL_DEFAULT, NULL, 0));
	TRY(bind(p, 4 * PAGE, MPOL_BIND, two, 0));
	TRY(bind(p, 4 * PAGE, MPOL_BIND, one, 1 << 5));
	memset(p, 1, 4 * PAGE);
	TRY(bind(p, 4 * PAGE, MPOL_BIND, one, MPOL_MF_STRICT));
	TRY(bind(p, 4 * PAGE, MPOL_INTERLEAVE, one, MPOL_MF_MOVE | MPOL_MF_STRICT));
	TRY(bind(p, 4 * PAGE, MPOL_DEFAULT, NULL, MPOL_MF_MOVE));
	TRY(p[4 * PAGE - 1]);
}

static void moving(void)
{
	void *pages[4] = { p, p + PAGE, (void *)0x7000000, p + 3 * PAGE };
	int nodes[4] = { 0, 0, 0, 0 }, status[4] = { 99, 99, 99, 99 }, bad[4] = { 7, 0, 0, 0 };

	TRY(munmap(p + 3 * PAGE, PAGE));
	TRY(syscall(SYS_move_pages, 0, 2ul, pages, NULL, status, 0));
	say("status %d %d\n", status[0], status[1]);
	TRY(syscall(SYS_move_pages, 0, 2ul, pages, nodes, status, MPOL_MF_MOVE));
	say("status %d %d\n", status[0], status[1]);
	TRY(syscall(SYS_move_pages, 0, 1ul, pages, bad, status, MPOL_MF_MOVE));
	TRY(syscall(SYS_move_pages, 0, 0ul, NULL, NULL, NULL, 0));
	TRY(syscall(SYS_move_pages, 0, 1ul, (void *)8, NULL, status, 0));
	TRY(syscall(SYS_move_pages, 0, 1ul, pages, NULL, (void *)8, 0));
	TRY(syscall(SYS_move_pages, 0, 1ul, pages, NULL, status, 64));
	TRY(syscall(SYS_move_pages, 999999, 1ul, pages, NULL, status, 0));
	TRY(syscall(SYS_migrate_pages, 0, 65ul, one, one));
	TRY(syscall(SYS_migrate_pages, 999999, 65ul, one, one));
	TRY(syscall(SYS_migrate_pages, 0, 65ul, (void *)8, one));
	TRY(syscall(SYS_migrate_pages, 0, 65ul, one, none));
}

int main(void)
{
	CHECK(mmap(p, 4 * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	of_the_task();
	of_regions();
	moving();
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Regions: merging, splitting, finding, and where mmap puts them.  F1 to F12.  A picture has a
 * letter a page: W writable, R readable, E executable, N nothing, S shared, small letters for
 * locked, '.' no region, '|' between neighbours that are two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/virt.h"

#include "support/mm_fixture.h"

/* ------------------------------------------------------------------ merging (F12) */

/*	WWWW....      + WWWW at 4      WWWWWWWW
 *	....WWWW      + WWWW at 0      WWWWWWWW
 *	WW....WW      + WWWW at 2      WWWWWWWW      one record instead of three
 */
static void mmap_merges(void **state)
{
	(void)state;
	begin();
	map(0, 4, RW);
	map(4, 4, RW);
	assert_picture("WWWWWWWW..");
	unmap(0, 8);
	map(4, 4, RW);
	map(0, 4, RW);
	assert_picture("WWWWWWWW..");
	unmap(2, 4);
	assert_picture("WW....WW..");
	assert_int_equal(stats_of(fx.mm).nr_vma, 2);
	map(2, 4, RW);
	assert_picture("WWWWWWWW..");
	assert_int_equal(stats_of(fx.mm).nr_vma, 1);
	assert_int_equal(stats_of(fx.mm).total_vm, 8);
	end();
}

/*	WWWWRRRR      other rights: two
 *	aaaabbbb      pages of a file that do not follow each other: two; that do: one
 */
static void mmap_merges_only_equals(void **state)
{
	struct test_file f, g;
	struct ondol_mmap_args named = { .size = sizeof named, .map_flags = ONDOL_MAP_FIXED,
					 .vm_flags = R | ONDOL_VM_NATIVE, .length = PAGE };
	uint64_t at;

	(void)state;
	begin();
	open_file(&f, 64 * PAGE);
	open_file(&g, 64 * PAGE);
	map(0, 2, RW);
	map(2, 2, R);
	map(4, 2, R | X);
	map(6, 2, RW | ONDOL_VM_LOCKED);
	assert_picture("WW|RR|EE|ww");
	unmap(0, 8);

	map_file(0, 2, R, &f, 10);
	map_file(2, 2, R, &f, 12); /* follows */
	map_file(4, 2, R, &f, 15); /* skips one */
	map_file(6, 2, R, &g, 17); /* another file */
	map(8, 2, R);              /* none */
	assert_picture("RRRR|RR|RR|RR");
	map_file(0, 2, R, &f, 0);
	map_file(2, 2, RW, &f, 2);
	assert_picture("RR|WW|RR|RR|RR");
	unmap(0, 10);

	/* Two anonymous shared mappings are two objects. */
	map(0, 2, RW | S);
	map(2, 2, RW | S);
	assert_picture("SS|SS");
	unmap(0, 4);

	/* Names: equal texts join. */
	for (int i = 0; i < 4; i++) {
		named.addr = AT(i);
		named.name = i == 3 ? "[b]" : "[a]";
		assert_int_equal(ondol_mmap(fx.mm, &named, &at), 0);
	}
	assert_picture("RRR|R");
	close_file(&f);
	close_file(&g);
	end();
}

/*	WWWWWWWW  protect the middle    WW|RRRR|WW     and back    WWWWWWWW
 *	WW|RRRR|WW  protect its left half to W   WWWW|RR|WW
 *	WWWW|RR|WW  protect all to R    RRRRRRRR
 */
static void mprotect_splits_and_merges(void **state)
{
	(void)state;
	begin();
	map(0, 8, RW);
	protect(2, 4, R);
	assert_picture("WW|RRRR|WW");
	assert_int_equal(stats_of(fx.mm).data_vm, 4);
	protect(2, 4, RW);
	assert_picture("WWWWWWWW");
	protect(2, 4, R);
	protect(2, 2, RW);
	assert_picture("WWWW|RR|WW");
	protect(4, 1, RW);
	assert_picture("WWWWW|R|WW");
	protect(5, 1, R | X);
	assert_picture("WWWWW|E|WW");
	protect(0, 8, R);
	assert_picture("RRRRRRRR");
	protect(6, 2, RW);
	assert_picture("RRRRRR|WW");
	protect(4, 2, RW); /* the next one grows down over its half */
	assert_picture("RRRR|WWWW");
	assert_int_equal(stats_of(fx.mm).nr_vma, 2);
	end();
}

/* A file's offsets follow every cut and join, in both directions (F11). */
static void offsets_follow(void **state)
{
	struct ondol_vma_info vma;
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 64 * PAGE);
	map_file(0, 8, R, &f, 20);
	unmap(0, 2);
	unmap(4, 2);
	assert_picture("..RR..RR");
	assert_int_equal(ondol_find_vma(fx.mm, AT(0), &vma), 0);
	assert_int_equal(vma.pgoff, 22);
	assert_int_equal(ondol_find_vma(fx.mm, AT(5), &vma), 0);
	assert_int_equal(vma.pgoff, 26);
	map_file(4, 2, R, &f, 24);
	map_file(0, 2, R, &f, 20); /* the region above takes it in: its start moves down */
	assert_picture("RRRRRRRR");
	assert_int_equal(ondol_find_vma(fx.mm, AT(0), &vma), 0);
	assert_int_equal(vma.pgoff, 20);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(peek(i), page_tag(20 + i));
	close_file(&f);
	end();
}

/*	WWWWWWWW  munmap 2..5   WW...WWW  munmap 0..7 over the hole  ........ */
static void munmap_cuts(void **state)
{
	(void)state;
	begin();
	map(0, 8, RW);
	unmap(2, 3);
	assert_picture("WW...WWW");
	unmap(2, 3); /* a hole: no error */
	unmap(1, 5);
	assert_picture("W.....WW");
	unmap(7, 1);
	assert_picture("W.....W.");
	unmap(0, 8);
	assert_picture("........");
	assert_int_equal(ondol_munmap(fx.mm, AT(0), 0), -ONDOL_EINVAL);
	assert_int_equal(ondol_munmap(fx.mm, AT(0) + 1, PAGE), -ONDOL_EINVAL);
	assert_int_equal(ondol_munmap(fx.mm, AT(0), UINT64_MAX), -ONDOL_EINVAL);
	assert_int_equal(ondol_munmap(fx.mm, AT(0), UINT64_MAX - AT(1)), -ONDOL_EINVAL);
	end();
}

/* Stacks merge as others do, and one that grows down onto an equal one joins it. */
static void stacks_merge(void **state)
{
	const ondol_vm_flags_t stack = RW | ONDOL_VM_GROWSDOWN;

	(void)state;
	begin();
	map(1000, 8, stack);
	assert_int_equal(ondol_mprotect(fx.mm, AT(1002), PAGE, R, false), 0);
	assert_picture_of(fx.mm, 1000, "WW|R|WWWWW");
	assert_int_equal(ondol_mprotect(fx.mm, AT(1002), PAGE, RW, false), 0);
	assert_picture_of(fx.mm, 1000, "WWWWWWWW");
	unmap(1002, 3);
	assert_picture_of(fx.mm, 1000, "WW...WWW");
	assert_int_equal(touch(1003, ONDOL_FAULT_WRITE), ONDOL_FAULT_ZERO_FILL);
	assert_picture_of(fx.mm, 1000, "WW.WWWWW");
	assert_int_equal(touch(1002, ONDOL_FAULT_WRITE), ONDOL_FAULT_ZERO_FILL);
	assert_picture_of(fx.mm, 1000, "WWWWWWWW");
	/* PROT_GROWSDOWN: from where the region begins. */
	assert_int_equal(ondol_mprotect(fx.mm, AT(1004), PAGE, R, true), 0);
	assert_picture_of(fx.mm, 1000, "RRRRR|WWW");
	map(0, 1, RW);
	assert_int_equal(ondol_mprotect(fx.mm, AT(0), PAGE, R, true), -ONDOL_EINVAL);
	end();
}

static void merge_refused_midway(void **state)
{
	struct ondol_mmap_args args = { .size = sizeof args, .map_flags = ONDOL_MAP_FIXED,
					.vm_flags = R | ONDOL_VM_MAYREAD, .addr = AT(4),
					.length = 4 * PAGE };
	uint64_t at;

	(void)state;
	begin();
	map(0, 4, R);
	assert_int_equal(ondol_mmap(fx.mm, &args, &at), 0); /* may never be written */
	assert_picture("RRRR|RRRR");
	/* The first region is changed, the second refuses: Linux stops there, too. */
	assert_int_equal(ondol_mprotect(fx.mm, AT(0), 8 * PAGE, RW, false), -ONDOL_EACCES);
	assert_picture("WWWW|RRRR");
	assert_int_equal(ondol_mprotect(fx.mm, AT(6), 4 * PAGE, R, false), -ONDOL_ENOMEM);
	assert_int_equal(ondol_mprotect(fx.mm, AT(20), PAGE, R, false), -ONDOL_ENOMEM);
	assert_int_equal(ondol_mprotect(fx.mm, AT(20) + 1, PAGE, R, false), -ONDOL_EINVAL);
	assert_int_equal(ondol_mprotect(fx.mm, AT(20), 0, R, false), 0);
	assert_int_equal(ondol_mprotect(fx.mm, AT(0), PAGE, 0x80, false), -ONDOL_EINVAL);
	end();
}

/* ------------------------------------------------------------------ finding (F3, F4) */

static void find(void **state)
{
	struct ondol_machine_stats before, after;
	struct ondol_vma_info vma;

	(void)state;
	begin();
	for (uint64_t i = 0; i < 100; i++)
		map(10 * i, 3, RW);
	assert_int_equal(ondol_find_vma(fx.mm, AT(500), &vma), 0);
	assert_int_equal(vma.start, AT(500));
	assert_int_equal(vma.end, AT(503)); /* F10: exclusive */
	assert_int_equal(ondol_find_vma(fx.mm, AT(503), &vma), 0);
	assert_int_equal(vma.start, AT(510));
	assert_int_equal(ondol_find_vma(fx.mm, 0, &vma), 0);
	assert_int_equal(vma.start, AT(0));
	assert_int_equal(ondol_find_vma(fx.mm, AT(993), &vma), -ONDOL_ENOENT);

	/* F4: the last region found is looked at first. */
	assert_int_equal(ondol_find_vma(fx.mm, AT(700), &vma), 0);
	before = machine_stats();
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(ondol_find_vma(fx.mm, AT(700 + i), &vma), 0);
	after = machine_stats();
	assert_int_equal(after.vma_lookups - before.vma_lookups, 3);
	assert_int_equal(after.mmap_cache_hits - before.mmap_cache_hits, 3);
	assert_ptr_equal(fx.mm->mmap_cache, vma_find(fx.mm, AT(701)));
	assert_int_equal(ondol_find_vma(fx.mm, AT(600), &vma), 0);
	assert_int_equal(machine_stats().mmap_cache_hits, after.mmap_cache_hits + 1); /* above */
	unmap(600, 3); /* what is gone is not found */
	assert_int_equal(ondol_find_vma(fx.mm, AT(600), &vma), 0);
	assert_int_equal(vma.start, AT(610));
	end();
}

static int stop_at_third(void *ctx, const struct ondol_vma_info *vma)
{
	(void)vma;
	return ++*(int *)ctx == 3 ? 42 : 0;
}

static void walk_in_order(void **state)
{
	int n = 0;

	(void)state;
	begin();
	for (uint64_t i = 0; i < 10; i++)
		map((i * 7) % 10 * 4, 2, RW);
	assert_int_equal(ondol_for_each_vma(fx.mm, stop_at_third, &n), 42);
	assert_int_equal(n, 3);
	assert_picture("WW..WW..WW..WW..");
	end();
}

/* F1: each its own; F2, F5: what an mm consists of. */
static void spaces_are_apart(void **state)
{
	struct ondol_mm_struct *other;

	(void)state;
	begin();
	other = new_mm();
	map(0, 2, RW);
	map_at(other, AT(1), 2, R, NULL, 0);
	poke(1, 5);
	assert_picture("WW..");
	assert_picture_of(other, 0, ".RR.");
	assert_int_equal(peek_in(other, 1), 0);
	assert_true(ondol_mm_pgd(fx.mm).value != ondol_mm_pgd(other).value);
	assert_int_equal(ondol_mm_pgd(other).value % PAGE, 0);
	ondol_mmget(other);
	ondol_mmput(other);
	assert_int_equal(machine_stats().nr_mm, 2);
	ondol_mmput(other);
	assert_int_equal(machine_stats().nr_mm, 1);
	end();
}

/* ------------------------------------------------------------------ room */

static uint64_t base_of(struct ondol_mm_struct *mm)
{
	struct ondol_mm_layout layout;

	ondol_mm_layout(mm, &layout);
	return layout.mmap_base;
}

static uint64_t mapped_somewhere(uint64_t hint, uint64_t pages, uint32_t map_flags)
{
	uint64_t at = 0;

	assert_int_equal(try_map(fx.mm, hint, pages, R, map_flags, NULL, 0, &at), 0);
	return at;
}

/*	|....................BBBB|  base
 *	|................CCCCBBBB|       below the one before, or in the highest hole that fits
 */
static void top_down(void **state)
{
	uint64_t base, a, b, c;

	(void)state;
	begin();
	base = base_of(fx.mm);
	a = mapped_somewhere(0, 4, 0);
	assert_int_equal(a, base - 4 * PAGE);
	b = mapped_somewhere(0, 4, 0);
	assert_int_equal(b, base - 8 * PAGE);
	map_at(fx.mm, base - 20 * PAGE, 6, RW, NULL, 0); /* leaves a hole of 6 */
	assert_int_equal(mapped_somewhere(0, 7, 0), base - 27 * PAGE);
	c = mapped_somewhere(0, 6, 0);
	assert_int_equal(c, base - 14 * PAGE);
	assert_int_equal(ondol_munmap(fx.mm, a, 2 * PAGE), 0);
	assert_int_equal(mapped_somewhere(0, 1, 0), a + PAGE);
	end();
}

static void hints(void **state)
{
	uint64_t base, min = ondol_profile_x86_64.mmap_min_addr;

	(void)state;
	begin();
	base = base_of(fx.mm);
	assert_int_equal(mapped_somewhere(AT(5) + 123, 2, 0), AT(5)); /* rounded down */
	assert_int_equal(mapped_somewhere(AT(4), 2, 0), base - 2 * PAGE); /* taken */
	assert_int_equal(mapped_somewhere(AT(3), 2, 0), AT(3));
	assert_int_equal(mapped_somewhere(PAGE, 1, 0), min); /* not below the minimum */
	assert_int_equal(mapped_somewhere(UINT64_MAX - PAGE, 1, 0), base - 3 * PAGE);
	/* Room below a region that grows down is not free. */
	map(1000, 1, RW | ONDOL_VM_GROWSDOWN);
	assert_int_equal(mapped_somewhere(AT(1000 - STACK_GUARD_PAGES), 1, 0), base - 4 * PAGE);
	assert_int_equal(mapped_somewhere(AT(999 - STACK_GUARD_PAGES), 1, 0),
			 AT(999 - STACK_GUARD_PAGES));
	end();
}

/*	|..........GGGG[stack]|  base: the next goes below the guard gap, not into it */
static void guard_gap(void **state)
{
	uint64_t base;

	(void)state;
	begin();
	base = base_of(fx.mm);
	map_at(fx.mm, base - 4 * PAGE, 4, RW | ONDOL_VM_GROWSDOWN, NULL, 0);
	assert_int_equal(mapped_somewhere(0, 2, 0), base - (4 + STACK_GUARD_PAGES + 2) * PAGE);
	/* A region close below the stack ends the gap; the hole below that is free to its end. */
	map_at(fx.mm, base - 6 * PAGE, 1, R, NULL, 0);
	assert_int_equal(mapped_somewhere(0, 1, 0), base - 7 * PAGE);
	assert_valid();
	end();
}

static void map_32bit(void **state)
{
	const uint64_t low = UINT64_C(0x40000000), high = UINT64_C(0x80000000);
	uint64_t at;

	(void)state;
	begin();
	assert_int_equal(mapped_somewhere(0, 3, ONDOL_MAP_32BIT), low);
	assert_int_equal(mapped_somewhere(0, 3, ONDOL_MAP_32BIT), low + 3 * PAGE);
	assert_int_equal(mapped_somewhere(high - 2 * PAGE, 2, ONDOL_MAP_32BIT), high - 2 * PAGE);
	assert_int_equal(mapped_somewhere(high - PAGE, 2, ONDOL_MAP_32BIT), low + 6 * PAGE);
	map_at(fx.mm, low, (high - low) / PAGE, R, NULL, 0);
	assert_int_equal(try_map(fx.mm, 0, 1, R, ONDOL_MAP_32BIT, NULL, 0, &at), -ONDOL_ENOMEM);
	end();
}

/* No room below mmap_base: the last resort is above it. */
static void bottom_up(void **state)
{
	struct ondol_mm_layout layout = { .mmap_base = AT(8) };
	uint64_t min = ondol_profile_x86_64.mmap_min_addr, at;

	(void)state;
	begin();
	ondol_mm_set_layout(fx.mm, &layout);
	map_at(fx.mm, min, (AT(8) - min) / PAGE, R, NULL, 0);
	map(10, 2, RW);
	assert_int_equal(mapped_somewhere(0, 2, 0), AT(8));
	assert_int_equal(mapped_somewhere(0, 2, 0), AT(12));
	assert_int_equal(try_map(fx.mm, 0, (UINT64_C(1) << 47) / PAGE, R, 0, NULL, 0, &at),
			 -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, 0, UINT64_MAX / PAGE, R, 0, NULL, 0, &at), -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, 0, 0, R, 0, NULL, 0, &at), -ONDOL_EINVAL);
	end();
}

static void fixed_addresses(void **state)
{
	struct test_file f;
	uint64_t at, top = ondol_profile_x86_64.task_size;

	(void)state;
	begin();
	open_file(&f, PAGE);
	map(0, 4, RW);
	assert_int_equal(try_map(fx.mm, AT(2), 4, R, ONDOL_MAP_FIXED_NOREPLACE, NULL, 0, &at),
			 -ONDOL_EEXIST);
	assert_int_equal(try_map(fx.mm, AT(4), 4, R, ONDOL_MAP_FIXED_NOREPLACE, NULL, 0, &at), 0);
	assert_int_equal(try_map(fx.mm, AT(2), 4, X, ONDOL_MAP_FIXED, NULL, 0, &at), 0);
	assert_picture("WW|EEEE|RR");
	assert_int_equal(try_map(fx.mm, AT(2) + 1, 4, R, ONDOL_MAP_FIXED, NULL, 0, &at),
			 -ONDOL_EINVAL);
	assert_int_equal(try_map(fx.mm, 0, 4, R, ONDOL_MAP_FIXED, NULL, 0, &at), -ONDOL_EPERM);
	assert_int_equal(try_map(fx.mm, top - PAGE, 2, R, ONDOL_MAP_FIXED, NULL, 0, &at),
			 -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, top - PAGE, 1, R, ONDOL_MAP_FIXED, NULL, 0, &at), 0);
	assert_int_equal(try_map(fx.mm, 0, 2, R, 0, &f, UINT64_C(1) << 52, &at),
			 -ONDOL_EOVERFLOW);
	assert_int_equal(try_map(fx.mm, 0, 1, S | R | ONDOL_VM_GROWSDOWN, 0, NULL, 0, &at),
			 -ONDOL_EINVAL);
	assert_int_equal(try_map(fx.mm, 0, 1, RW | ONDOL_VM_MAYREAD, 0, NULL, 0, &at),
			 -ONDOL_EACCES);
	close_file(&f);
	end();
}

/* ------------------------------------------------------------------ limits */

static void limits(void **state)
{
	struct ondol_mm_limits limits = { .as = 20 * PAGE, .data = 8 * PAGE, .stack = 8 * PAGE,
					  .memlock = 4 * PAGE }, read;
	uint64_t at;

	(void)state;
	begin();
	ondol_mm_set_limits(fx.mm, &limits);
	ondol_mm_limits(fx.mm, &read);
	assert_memory_equal(&read, &limits, sizeof limits);
	map(0, 8, RW);
	assert_int_equal(try_map(fx.mm, AT(8), 1, RW, ONDOL_MAP_FIXED, NULL, 0, &at),
			 -ONDOL_ENOMEM); /* RLIMIT_DATA */
	assert_int_equal(try_map(fx.mm, AT(4), 4, RW, ONDOL_MAP_FIXED, NULL, 0, &at), 0);
	map(8, 12, R);
	assert_int_equal(try_map(fx.mm, AT(20), 1, R, ONDOL_MAP_FIXED, NULL, 0, &at),
			 -ONDOL_ENOMEM); /* RLIMIT_AS */
	assert_int_equal(try_map(fx.mm, AT(19), 1, R | X, ONDOL_MAP_FIXED, NULL, 0, &at), 0);
	/* Becoming data counts. */
	unmap(19, 1);
	assert_int_equal(ondol_mprotect(fx.mm, AT(10), PAGE, RW, false), -ONDOL_ENOMEM);
	protect(0, 1, R);
	protect(10, 1, RW);
	assert_int_equal(stats_of(fx.mm).data_vm, 8);
	/* With no data at all allowed, mmap goes by the hard limit (for valgrind, Linux says). */
	limits.data = 0;
	limits.data_hard = 9 * PAGE;
	ondol_mm_set_limits(fx.mm, &limits);
	protect(11, 1, RW);
	assert_int_equal(ondol_mprotect(fx.mm, AT(12), PAGE, RW, false), -ONDOL_ENOMEM);
	protect(11, 1, R);
	limits.data = 8 * PAGE;
	ondol_mm_set_limits(fx.mm, &limits);
	assert_int_equal(ondol_mprotect(fx.mm, AT(12), PAGE, RW, false), -ONDOL_ENOMEM);

	/* RLIMIT_MEMLOCK */
	assert_int_equal(ondol_mlock(fx.mm, AT(0), 5 * PAGE, true), -ONDOL_ENOMEM);
	assert_int_equal(ondol_mlock(fx.mm, AT(0), 3 * PAGE, true), 0);
	assert_int_equal(ondol_mlock(fx.mm, AT(1), 3 * PAGE, true), 0); /* two count already */
	assert_int_equal(stats_of(fx.mm).locked_vm, 4);
	assert_int_equal(try_map(fx.mm, AT(4), 1, RW | ONDOL_VM_LOCKED, ONDOL_MAP_FIXED, NULL, 0,
				 &at), -ONDOL_EAGAIN);
	unmap(0, 2);
	assert_int_equal(stats_of(fx.mm).locked_vm, 2);
	limits.memlock = 0;
	ondol_mm_set_limits(fx.mm, &limits);
	assert_int_equal(ondol_mlock(fx.mm, AT(2), PAGE, true), -ONDOL_EPERM);
	assert_int_equal(ondol_mlock(fx.mm, AT(2), 2 * PAGE, false), 0);
	assert_int_equal(stats_of(fx.mm).locked_vm, 0);
	end();
}

/* vm.max_map_count: 65530 regions, then no more; what needs no record still works. */
static void max_map_count(void **state)
{
	struct ondol_mm_limits limits;
	uint64_t at, n;

	(void)state;
	begin_with(64, NULL, NULL, NULL);
	for (n = 0; n < 70000; n++)
		if (try_map(fx.mm, AT(2 * n), 1, R, ONDOL_MAP_FIXED, NULL, 0, &at))
			break;
	assert_int_equal(n, MAX_MAP_COUNT + 1); /* Linux lets one more in */
	assert_int_equal(stats_of(fx.mm).nr_vma, n);
	unmap(0, 1);
	unmap(2, 1);
	map(0, 4, R); /* two joined to one with the region at 4: fewer records */
	assert_int_equal(stats_of(fx.mm).nr_vma, n - 2);
	/* Two cuts are one too many: the first is undone. */
	assert_int_equal(ondol_mprotect(fx.mm, AT(1), PAGE, RW, false), -ONDOL_ENOMEM);
	assert_int_equal(stats_of(fx.mm).nr_vma, n - 2);
	assert_picture("RRRRR.R.");
	assert_int_equal(ondol_munmap(fx.mm, AT(1), PAGE), 0);
	assert_int_equal(ondol_munmap(fx.mm, AT(3), PAGE), -ONDOL_ENOMEM);
	map(0, 5, R);
	assert_int_equal(ondol_mprotect(fx.mm, AT(0), PAGE, RW, false), 0);
	assert_int_equal(ondol_munmap(fx.mm, AT(2), PAGE), -ONDOL_ENOMEM);
	ondol_mm_limits(fx.mm, &limits);
	assert_int_equal(limits.map_count, MAX_MAP_COUNT);
	limits.map_count = 100000;
	ondol_mm_set_limits(fx.mm, &limits);
	assert_int_equal(ondol_munmap(fx.mm, AT(2), PAGE), 0);
	ondol_mmput(fx.mm);
	fx.mm = new_mm();
	end();
}

/* A million regions: each is found, each hole is, and all of it comes back. */
static void a_million_regions(void **state)
{
	const uint64_t n = 1000000;
	struct ondol_mm_limits limits;
	uint64_t at;

	(void)state;
	begin_with(192, NULL, NULL, NULL);
	ondol_mm_limits(fx.mm, &limits);
	limits.map_count = n + 8;
	ondol_mm_set_limits(fx.mm, &limits);
	for (uint64_t i = 0; i < n; i++) { /* in an order that is none */
		uint64_t k = i * 611953 % n;

		assert_int_equal(try_map(fx.mm, AT(3 * k), 2, R, ONDOL_MAP_FIXED, NULL, 0, &at), 0);
	}
	assert_int_equal(stats_of(fx.mm).nr_vma, n);
	assert_int_equal(ondol_mm_validate(fx.mm, NULL), 0);
	for (uint64_t k = 0; k < n; k += 999) {
		assert_int_equal(vma_find(fx.mm, AT(3 * k + 1))->start, AT(3 * k));
		assert_int_equal(vma_find(fx.mm, AT(3 * k) - 1)->start, AT(3 * k));
	}
	/* Fill what lies above; then the one hole of two pages is where two pages go. */
	at = fx.mm->layout.mmap_base;
	map((AT(3 * n) - AT(0)) / PAGE, (at - AT(3 * n)) / PAGE, RW);
	unmap(3 * (n / 3) + 1, 1);
	assert_int_equal(try_map(fx.mm, 0, 2, RW, 0, NULL, 0, &at), 0);
	assert_int_equal(at, AT(3 * (n / 3) + 1));
	assert_int_equal(ondol_mm_validate(fx.mm, NULL), 0);
	end();
}

/* ------------------------------------------------------------------ layout (F6 to F9) */

static void layout_in_order(void **state)
{
	struct ondol_mm_layout l = {
		.start_code = AT(0), .end_code = AT(1), .start_data = AT(2), .end_data = AT(3),
		.start_brk = AT(4), .brk = AT(4), .start_stack = AT(100), .arg_start = AT(101),
		.arg_end = AT(102), .env_start = AT(102), .env_end = AT(103),
	}, got;

	(void)state;
	begin();
	ondol_mm_set_layout(fx.mm, &l);
	ondol_mm_layout(fx.mm, &got);
	assert_int_equal(got.start_code, AT(0));
	assert_int_equal(got.env_end, AT(103));
	/* Not set: below the stack and the room it may grow into. */
	assert_true(got.mmap_base < ondol_profile_x86_64.stack_top - (UINT64_C(128) << 20));
	assert_int_equal(got.mmap_base % PAGE, 0);

	/* F8: the heap grows up from start_brk. */
	assert_int_equal(ondol_brk(fx.mm, 0), AT(4));
	assert_int_equal(ondol_brk(fx.mm, AT(6) + 1), AT(6) + 1);
	assert_picture("....WWW.");
	assert_int_equal(ondol_brk(fx.mm, AT(5)), AT(5));
	assert_picture("....W...");
	assert_int_equal(ondol_brk(fx.mm, AT(3)), AT(5)); /* not below its start */
	map(8, 1, R);
	assert_int_equal(ondol_brk(fx.mm, AT(8)), AT(5)); /* a page stays free, as in Linux */
	assert_int_equal(ondol_brk(fx.mm, AT(7)), AT(7));
	assert_picture("....WWW.R");
	ondol_mm_layout(fx.mm, &got);
	assert_int_equal(got.brk, AT(7));
	/* A file's name is the heap's own: it does not merge with other memory. */
	map(7, 1, RW);
	assert_picture("....WWW|W|R");
	end();
}

static void heap_limits(void **state)
{
	struct ondol_mm_layout l = { .start_data = AT(0), .end_data = AT(2), .start_brk = AT(4),
				     .brk = AT(4) };
	struct ondol_mm_limits limits = { .as = UINT64_MAX, .data = 5 * PAGE,
					  .stack = UINT64_MAX, .memlock = UINT64_MAX };

	(void)state;
	begin();
	ondol_mm_set_layout(fx.mm, &l);
	ondol_mm_set_limits(fx.mm, &limits);
	assert_int_equal(ondol_brk(fx.mm, AT(8)), AT(4)); /* with the data: 6 pages */
	assert_int_equal(ondol_brk(fx.mm, AT(7)), AT(7));
	map(300, 1, R | ONDOL_VM_GROWSDOWN);
	limits.data = UINT64_MAX;
	ondol_mm_set_limits(fx.mm, &limits);
	assert_int_equal(ondol_brk(fx.mm, AT(300 - STACK_GUARD_PAGES)), AT(7));
	assert_int_equal(ondol_brk(fx.mm, AT(299 - STACK_GUARD_PAGES)),
			 AT(299 - STACK_GUARD_PAGES));
	assert_int_equal(ondol_brk(fx.mm, UINT64_MAX), AT(299 - STACK_GUARD_PAGES));
	end();
}

/* ------------------------------------------------------------------ sealed */

static void sealed_regions_stay(void **state)
{
	struct ondol_mremap_args move = { .size = sizeof move, .old_addr = AT(2),
					  .old_length = PAGE, .new_length = 2 * PAGE,
					  .flags = ONDOL_MREMAP_MAYMOVE };
	uint64_t at;

	(void)state;
	begin();
	map(0, 8, RW);
	map(2, 2, R | ONDOL_VM_SEALED);
	assert_int_equal(ondol_munmap(fx.mm, AT(0), 8 * PAGE), -ONDOL_EPERM);
	/* Up to the sealed one the regions change, as before a hole. */
	assert_int_equal(ondol_mprotect(fx.mm, AT(0), 8 * PAGE, R, false), -ONDOL_EPERM);
	assert_picture("RR|RR|WWWW");
	protect(0, 2, RW);
	assert_int_equal(try_map(fx.mm, AT(1), 2, R, ONDOL_MAP_FIXED, NULL, 0, &at), -ONDOL_EPERM);
	assert_int_equal(ondol_mremap(fx.mm, &move, &at), -ONDOL_EPERM);
	move.old_addr = AT(0);
	move.flags |= ONDOL_MREMAP_FIXED;
	move.new_addr = AT(3);
	assert_int_equal(ondol_mremap(fx.mm, &move, &at), -ONDOL_EPERM);
	assert_picture("WW|RR|WWWW");
	end();
}

/*
 * A3 with Linux's heuristic: a promise is refused only if the whole machine could not keep it.
 *
 *	WWWW WWWW WWWW ...   each smaller than RAM, together more: given
 *	WWWWWWWWWWWWWWWW     one larger than RAM: -ENOMEM, unless NORESERVE, read-only, or a file
 *	                     that is shared
 */
static void obvious_overcommit(void **state)
{
	struct ondol_mremap_args grow = { .size = sizeof grow, .old_addr = AT(0),
					  .flags = ONDOL_MREMAP_MAYMOVE };
	struct test_file f;
	uint64_t at, ram, all;

	(void)state;
	begin();
	fx.m->overcommit = ONDOL_OVERCOMMIT_GUESS;
	ram = machine_stats().pages_total - machine_stats().pages[ONDOL_PAGE_RESERVED];
	all = ram + 1;
	open_file(&f, 4 * PAGE);
	for (int i = 0; i < 4; i++)
		assert_int_equal(try_map(fx.mm, 0, ram, RW | MAY, 0, NULL, 0, &at), 0);
	assert_int_equal(try_map(fx.mm, 0, all, RW | MAY, 0, NULL, 0, &at), -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, 0, all, RW | S | MAY, 0, NULL, 0, &at), -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, 0, all, RW | MAY, 0, &f, 0, &at), -ONDOL_ENOMEM);
	assert_int_equal(try_map(fx.mm, 0, all, RW | S | MAY, 0, &f, 0, &at), 0);
	assert_int_equal(try_map(fx.mm, 0, all, RW | MAY | ONDOL_VM_NORESERVE, 0, NULL, 0, &at), 0);
	/* From when it may be written. */
	map(0, all, R | MAY);
	assert_int_equal(ondol_mprotect(fx.mm, AT(0), all * PAGE, RW, false), -ONDOL_ENOMEM);
	assert_int_equal(ondol_mprotect(fx.mm, AT(0), ram * PAGE, RW, false), 0);
	/* By how much it grows. */
	grow.old_length = ram * PAGE;
	grow.new_length = (2 * ram + 1) * PAGE;
	assert_int_equal(ondol_mremap(fx.mm, &grow, &at), -ONDOL_ENOMEM);
	grow.new_length = 2 * ram * PAGE;
	assert_int_equal(ondol_mremap(fx.mm, &grow, &at), 0);
	close_file(&f);
	end();
}

/* The heap's and the stack's growth are requests, too. */
static void obvious_overcommit_grows(void **state)
{
	struct ondol_mm_layout layout = { .start_brk = AT(0), .brk = AT(0) };
	struct ondol_mm_limits limits = { .as = UINT64_MAX, .data = UINT64_MAX,
					  .stack = UINT64_MAX, .memlock = UINT64_MAX };
	uint64_t ram;

	(void)state;
	begin();
	fx.m->overcommit = ONDOL_OVERCOMMIT_GUESS;
	ram = machine_stats().pages_total - machine_stats().pages[ONDOL_PAGE_RESERVED];
	ondol_mm_set_layout(fx.mm, &layout);
	ondol_mm_set_limits(fx.mm, &limits);
	assert_int_equal(ondol_brk(fx.mm, AT(ram + 1)), AT(0));
	assert_int_equal(ondol_brk(fx.mm, AT(ram)), AT(ram));
	assert_int_equal(ondol_brk(fx.mm, AT(2 * ram)), AT(2 * ram));
	map(10 * ram, 1, RW | ONDOL_VM_GROWSDOWN);
	assert_int_equal(refusal(AT(9 * ram - 1), ONDOL_FAULT_WRITE), -ONDOL_EFAULT);
	assert_int_equal(touch(9 * ram, ONDOL_FAULT_WRITE), ONDOL_FAULT_ZERO_FILL);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mmap_merges),
		cmocka_unit_test(mmap_merges_only_equals),
		cmocka_unit_test(mprotect_splits_and_merges),
		cmocka_unit_test(offsets_follow),
		cmocka_unit_test(munmap_cuts),
		cmocka_unit_test(stacks_merge),
		cmocka_unit_test(merge_refused_midway),
		cmocka_unit_test(find),
		cmocka_unit_test(walk_in_order),
		cmocka_unit_test(spaces_are_apart),
		cmocka_unit_test(top_down),
		cmocka_unit_test(hints),
		cmocka_unit_test(guard_gap),
		cmocka_unit_test(map_32bit),
		cmocka_unit_test(bottom_up),
		cmocka_unit_test(fixed_addresses),
		cmocka_unit_test(limits),
		cmocka_unit_test(max_map_count),
		cmocka_unit_test(a_million_regions),
		cmocka_unit_test(layout_in_order),
		cmocka_unit_test(heap_limits),
		cmocka_unit_test(sealed_regions_stay),
		cmocka_unit_test(obvious_overcommit),
		cmocka_unit_test(obvious_overcommit_grows),
	};

	return cmocka_run_group_tests_name("vma", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Refaults of files' pages: which are counted and with what distance, against the order in which
 * they went; that who waits for one waits for memory; that nothing is left of the notes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/workingset.h"

#include "support/hw_fixture.h"

static struct test_file file[2];

static void begin_files(void)
{
	begin_hw_short(4, NULL, true, HW_SOFTWARE, true, false);
	open_file(&file[0], 256 * PAGE);
	open_file(&file[1], 256 * PAGE);
}

static void end_files(void)
{
	hw_detach(fx.mm);
	for (unsigned i = 0; i < 2; i++)
		if (file[i].file)
			close_file(&file[i]);
	end();
}

static void look(uint64_t page)
{
	(void)peek(page);
}

/* What the cache has and nobody maps goes, in the order of its index. */
static void drop(struct test_file *f, uint64_t nr)
{
	assert_int_equal(ondol_address_space_shrink(f->mapping, nr), nr);
}

static void assert_refaults(uint64_t nr, uint64_t near, uint64_t distance_sum)
{
	struct ondol_machine_stats s = machine_stats();

	if (s.file_refaults != nr || s.file_refaults_near != near ||
	    s.file_refault_distance_sum != distance_sum)
		fail_msg("%d refaults, %d near, %d together; expected %d %d %d",
			 (int)s.file_refaults, (int)s.file_refaults_near,
			 (int)s.file_refault_distance_sum, (int)nr, (int)near, (int)distance_sum);
}

/*
 *	dropped        0 1 2 3 | 4 ... 9    time 0 to 9
 *	read again     page 3: 10 - 3 = 7;  page 9: 10 - 9 = 1;  page 0: 10
 */
static void distances(void **state)
{
	(void)state;
	begin_files();
	map_file(0, 32, R, &file[0], 0);
	for (uint64_t page = 0; page < 32; page++)
		look(page);
	unmap(0, 32);
	assert_refaults(0, 0, 0);
	drop(&file[0], 4);
	drop(&file[0], 6);
	map_file(0, 32, R, &file[0], 0);
	look(20); /* it was never away */
	assert_refaults(0, 0, 0);
	look(3);
	assert_refaults(1, 1, 7); /* 22 are cached */
	look(9);
	assert_refaults(2, 2, 8);
	look(0);
	assert_refaults(3, 3, 18);
	look(0);
	assert_refaults(3, 3, 18);
	/* Again away, and again here. */
	unmap(0, 32);
	drop(&file[0], 3); /* 0, 3 and 9, at 10 to 12 */
	map_file(0, 32, R, &file[0], 0);
	look(9);
	assert_refaults(4, 4, 19);
	/* Another file's page of that index never was; nor the page of a file that comes later. */
	map_file(40, 32, R, &file[1], 0);
	look(43);
	assert_refaults(4, 4, 19);
	unmap(0, 32);
	close_file(&file[0]);
	open_file(&file[0], 256 * PAGE);
	map_file(0, 32, R, &file[0], 0);
	for (uint64_t page = 0; page < 32; page++)
		look(page);
	assert_refaults(4, 4, 19);
	end_files();
}

/* Far: after more others than there are now. */
static void far_ones(void **state)
{
	(void)state;
	begin_files();
	map_file(0, 100, R, &file[0], 0);
	for (uint64_t page = 0; page < 100; page++)
		look(page);
	unmap(0, 100);
	drop(&file[0], 100);
	map_file(0, 100, R, &file[0], 0);
	look(0);
	assert_refaults(1, 0, 100); /* 1 is cached, itself */
	look(99);
	assert_refaults(2, 1, 101);
	end_files();
}

/* Pages beside it that are read along count, too. */
static void along(void **state)
{
	(void)state;
	begin_files();
	map_file(0, 64, R, &file[0], 0);
	for (uint64_t page = 0; page < 64; page++)
		look(page);
	unmap(0, 64);
	drop(&file[0], 16);
	map_file(0, 64, R, &file[0], 0);
	(void)touch_around(5, ONDOL_FAULT_READ, 16);
	assert_refaults(16, 16, 16 * 17 / 2);
	end_files();
}

/* Streaming twice over more than there is: nearly every page of the second time. */
static void streams(void **state)
{
	struct ondol_machine_stats s;
	uint64_t reads;

	(void)state;
	begin_hw_short(4, NULL, true, HW_SOFTWARE, true, false);
	static struct test_file many[6];

	for (unsigned i = 0; i < 6; i++) {
		open_file(&many[i], 256 * PAGE);
		map_file(i * 256, 256, R, &many[i], 0);
	}
	for (uint64_t page = 0; page < 6 * 256; page++)
		look(page);
	s = machine_stats();
	assert_int_equal(s.file_refaults, 0);
	for (uint64_t page = 0; page < 6 * 256; page++)
		look(page);
	reads = 0;
	for (unsigned i = 0; i < 6; i++)
		reads += many[i].reads;
	s = machine_stats();
	assert_true(reads > 6 * 256 + 600);
	/* A set overflows now and then, and one is forgotten. */
	assert_in_range(s.file_refaults, (reads - 6 * 256) * 8 / 10, reads - 6 * 256);
	assert_true(s.file_refaults_near > s.file_refaults / 2);
	assert_true(s.file_refault_distance_sum > 100 * s.file_refaults);
	for (unsigned i = 0; i < 6; i++)
		close_file(&many[i]);
	hw_detach(fx.mm);
	end();
}

/* No frame for the notes: nothing is counted, and nothing else happens. */
static void no_memory_for_notes(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= 2; n++) { /* the table has two */
		struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_ALLOC_PAGES] = n,
						.persistent = true };

		begin_files();
		map_file(0, 32, R, &file[0], 0);
		for (uint64_t page = 0; page < 32; page++)
			look(page);
		unmap(0, 32);
		ondol_set_fail_plan(fx.m, &plan);
		drop(&file[0], 32);
		ondol_set_fail_plan(fx.m, NULL);
		assert_valid();
		map_file(0, 32, R, &file[0], 0);
		for (uint64_t page = 0; page < 32; page++)
			look(page);
		assert_true(machine_stats().file_refaults < 32);
		end_files();
	}
}

static uint64_t ticks;

static uint64_t clock_that_runs(void *ctx)
{
	(void)ctx;
	return ticks += 1000;
}

static uint64_t waited(void)
{
	struct ondol_psi psi[ONDOL_PSI_NR];

	ondol_psi_read(fx.m, psi);
	return psi[ONDOL_PSI_SOME].total_ns;
}

static void who_waits_for_it(void **state)
{
	(void)state;
	begin_files();
	fx.toy.port.clock_ns = clock_that_runs;
	map_file(0, 32, R, &file[0], 0);
	look(1);
	look(2);
	assert_int_equal(waited(), 0); /* a read is no lack of memory */
	unmap(0, 32);
	drop(&file[0], 2);
	map_file(0, 32, R, &file[0], 0);
	look(1);
	assert_int_equal(waited(), 1000);
	look(3);
	assert_int_equal(waited(), 1000);
	end_files();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(distances),
		cmocka_unit_test(far_ones),
		cmocka_unit_test(along),
		cmocka_unit_test(streams),
		cmocka_unit_test(no_memory_for_notes),
		cmocka_unit_test(who_waits_for_it),
	};

	return cmocka_run_group_tests_name("workingset", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Areas of swap: adding them, their order, the compressed one, what is told of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/swap.h"

#include "support/swap_fixture.h"

/* ------------------------------------------------------------------ areas */

static void adding_areas(void **state)
{
	struct ondol_swap_ops ops = { .size = sizeof ops, .read_page = test_swap_read,
				      .write_page = test_swap_write };
	struct ondol_swap_args args = { .size = sizeof args, .name = "x", .nr_pages = 10,
					.ops = &ops, .ctx = &area };
	struct ondol_swap_args bad;

	(void)state;
	begin_mib(4, HW_NONE, false, &ondol_profile_i386_2_4);
#define REFUSED(change)                                                                       \
	do {                                                                                  \
		bad = args;                                                                   \
		change;                                                                       \
		assert_int_equal(ondol_swap_add(fx.m, &bad), -ONDOL_EINVAL);                  \
	} while (0)
	REFUSED(bad.size = 0);
	REFUSED(bad.name = NULL);
	REFUSED(bad.nr_pages = 0);
	REFUSED(bad.ops = NULL);
	REFUSED(bad.nr_pages = 1 << 20); /* more than 20 bits can number */
	assert_int_equal(ondol_zram_add(fx.m, 0, 0), -ONDOL_EINVAL);
	assert_int_equal(ondol_zram_add(fx.m, UINT64_C(1) << 40, 0), -ONDOL_ENOMEM);
	bad = args;
	bad.nr_pages = 1000000; /* 8 MB of records on a machine of 4 MiB */
	assert_int_equal(ondol_swap_add(fx.m, &bad), -ONDOL_ENOMEM);
	for (unsigned i = 0; i < ONDOL_SWAP_AREAS_MAX; i++)
		assert_int_equal(ondol_swap_add(fx.m, &args), 0);
	assert_int_equal(ondol_swap_add(fx.m, &args), -ONDOL_EBUSY);
	assert_int_equal(ondol_zram_add(fx.m, 10, 0), -ONDOL_EBUSY);
	assert_int_equal(swap_stats().total, 80);
	end_swap();
}

static void only_where_one_thread_runs(void **state)
{
	(void)state;
	begin();
	assert_int_equal(test_swap_add(&area, fx.m, 10, 0), -ONDOL_EINVAL);
	assert_int_equal(ondol_zram_add(fx.m, 10, 0), -ONDOL_EINVAL);
	test_swap_free(&area);
	end();
}

/* Each allocation of adding areas, failing in turn: nothing is left behind. */
static void adding_without_memory(void **state)
{
	bool failed = true;

	(void)state;
	for (uint64_t n = 1; failed; n++) {
		struct ondol_fail_plan plan = { .nth[ONDOL_FAIL_ALLOC_PAGES] = n };
		int r;

		begin_mib(4, HW_NONE, false, NULL);
		ondol_set_fail_plan(fx.m, &plan);
		r = ondol_zram_add(fx.m, 1000, 1);
		if (!r)
			r = test_swap_add(&area, fx.m, 1000, 0);
		ondol_set_fail_plan(fx.m, NULL);
		failed = plan.failed[ONDOL_FAIL_ALLOC_PAGES];
		assert_int_equal(r, failed ? -ONDOL_ENOMEM : 0);
		area.released |= r != 0;
		end_swap();
	}
}

/* A machine with pages in swap cannot go down, and can when they are gone. */
static void a_leak(void **state)
{
	(void)state;
	begin_mib(4, HW_SOFTWARE, true, NULL);
	assert_int_equal(test_swap_add(&area, fx.m, 10, 0), 0);
	map(0, 2, RW);
	poke(1, 1);
	page_out_of(fx.mm, 0, 2);
	assert_int_equal(ondol_machine_fini(fx.m), -ONDOL_EBUSY);
	assert_false(area.released);
	assert_int_equal(peek(1), 1);
	end_swap();
}

static void by_priority(void **state)
{
	struct test_swap low, high;

	(void)state;
	begin_mib(4, HW_SOFTWARE, true, NULL);
	assert_int_equal(test_swap_add(&low, fx.m, 10, -1), 0);
	assert_int_equal(test_swap_add(&high, fx.m, 3, 5), 0);
	map(0, 6, RW);
	for (uint64_t page = 0; page < 6; page++)
		poke(page, page);
	page_out_of(fx.mm, 0, 6);
	assert_int_equal(high.nr_used, 3);
	assert_int_equal(low.nr_used, 3);
	assert_valid();
	for (uint64_t page = 0; page < 6; page++)
		assert_int_equal(peek(page), page);
	assert_int_equal(high.nr_used + low.nr_used, 0);
	end_swap();
	test_swap_free(&low);
	test_swap_free(&high);
}

/* ------------------------------------------------------------------ compressed */

static void noise(void *page)
{
	static uint64_t seed = 88172645463325252u;
	uint64_t *word = page;

	for (unsigned i = 0; i < 512; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		word[i] = seed;
	}
}

static void compressed(void **state)
{
	static unsigned char random[PAGE], text[PAGE], got[PAGE];
	struct ondol_swap_stats s;

	(void)state;
	begin_mib(4, HW_SOFTWARE, true, NULL);
	assert_int_equal(ondol_zram_add(fx.m, 1000, 0), 0);
	map(0, 8, RW);
	noise(random);
	for (unsigned i = 0; i < PAGE; i++)
		text[i] = "a page of text compresses well; "[i % 32];
	memset(got, 0x5a, PAGE);
	assert_int_equal(ondol_copy_to_user(fx.mm, AT(0), random, PAGE), 0);
	assert_int_equal(ondol_copy_to_user(fx.mm, AT(1), text, PAGE), 0);
	assert_int_equal(ondol_copy_to_user(fx.mm, AT(2), got, PAGE), 0);
	assert_int_equal(peek(3), 0);
	page_out_of(fx.mm, 0, 8);
	s = swap_stats();
	assert_false(in_swap(fx.mm, 0)); /* noise stays */
	assert_int_equal(s.zram_pages, 3);
	assert_int_equal(s.zram_same, 2);
	assert_int_equal(s.zram_refused, 1);
	assert_in_range(s.zram_bytes, 30, 200);
	assert_int_equal(s.zram_bytes_used, PAGE); /* one object, one zspage */
	assert_valid();
	assert_int_equal(ondol_copy_from_user(fx.mm, got, AT(1), PAGE), 0);
	assert_memory_equal(got, text, PAGE);
	assert_int_equal(ondol_copy_from_user(fx.mm, got, AT(2), PAGE), 0);
	for (unsigned i = 0; i < PAGE; i++)
		assert_int_equal(got[i], 0x5a);
	assert_int_equal(ondol_copy_from_user(fx.mm, got, AT(0), PAGE), 0);
	assert_memory_equal(got, random, PAGE);
	unmap(0, 8);
	s = swap_stats();
	assert_int_equal(s.zram_pages + s.zram_same + s.zram_bytes + s.zram_bytes_used, 0);
	end_swap();
}

/* Twice the memory, of pages that compress to a third; then more than can be: refused, in time. */
static void compressed_under_pressure(void **state)
{
	struct ondol_fault_result result;
	static unsigned char page_of[PAGE];
	uint64_t page = 0;

	(void)state;
	begin_mib(2, HW_SOFTWARE, true, NULL);
	assert_int_equal(ondol_zram_add(fx.m, 2000, 0), 0);
	map(0, HW_PAGES, RW);
	for (; page < HW_PAGES; page++) {
		if (fault_at(fx.mm, AT(page), ONDOL_FAULT_WRITE, 1, &result))
			break;
		noise(page_of);
		memset(page_of + PAGE / 3, 1, PAGE - PAGE / 3);
		assert_int_equal(ondol_copy_to_user(fx.mm, AT(page), page_of, PAGE), 0);
		poke(page, page);
		if (page == 600) {
			for (uint64_t i = 0; i <= page; i++)
				assert_int_equal(peek(i), i);
			assert_valid();
		}
	}
	assert_in_range(page, 700, HW_PAGES - 1); /* of 512 frames, some 400 for data */
	assert_valid();
	unmap(page - 200, 200);
	for (uint64_t i = 0; i < page - 200; i++)
		assert_int_equal(peek(i), i);
	end_swap();
}

/* With somewhere else to go half of the memory is enough for compressed pages. */
static void half_of_the_memory(void **state)
{
	static unsigned char page_of[PAGE];

	(void)state;
	begin_mib(2, HW_SOFTWARE, true, NULL);
	assert_int_equal(ondol_zram_add(fx.m, 2000, 1), 0);
	assert_int_equal(test_swap_add(&area, fx.m, 2000, 0), 0);
	map(0, HW_PAGES, RW);
	for (uint64_t page = 0; page < HW_PAGES; page++) {
		noise(page_of);
		memset(page_of + PAGE / 2, 1, PAGE / 2);
		memcpy(page_of, &page, sizeof page);
		assert_int_equal(ondol_copy_to_user(fx.mm, AT(page), page_of, PAGE), 0);
	}
	assert_true(area.nr_used > 200);
	assert_in_range(swap_stats().zram_bytes_used, 200 * PAGE, 260 * PAGE);
	for (uint64_t page = 0; page < HW_PAGES; page++)
		assert_int_equal(peek(page), page);
	assert_valid();
	end_swap();
}

/* ------------------------------------------------------------------ texts */

static char text[4096];

static int append(void *ctx, const char *piece, size_t size)
{
	size_t *used = ctx;

	assert_true(*used + size < sizeof text);
	memcpy(text + *used, piece, size);
	*used += size;
	text[*used] = 0;
	return 0;
}

static void what_is_told(void **state)
{
	size_t used = 0;

	(void)state;
	begin_mib(4, HW_SOFTWARE, true, NULL);
	assert_int_equal(ondol_proc_swaps(fx.m, append, &used), 0);
	assert_string_equal(text, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	assert_int_equal(test_swap_add(&area, fx.m, 256, -2), 0);
	assert_int_equal(ondol_zram_add(fx.m, 16, 100), 0);
	map(0, 4, RW);
	poke(0, 1);
	poke(1, 1);
	page_out_of(fx.mm, 0, 4);
	used = 0;
	assert_int_equal(ondol_proc_swaps(fx.m, append, &used), 0);
	assert_string_equal(text,
"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
"/dev/zram0                              partition\t64\t\t8\t\t100\n"
"/swap.img                               file\t\t1024\t\t0\t\t-2\n");
	used = 0;
	assert_int_equal(ondol_proc_meminfo(fx.m, append, &used), 0);
	assert_non_null(strstr(text, "SwapTotal:          1088 kB\nSwapFree:           1080 kB\n"));
	assert_non_null(strstr(text, "SwapCached:            0 kB\n"));
	used = 0;
	assert_int_equal(ondol_proc_smaps(fx.mm, append, &used), 0);
	assert_non_null(strstr(text, "Swap:                  8 kB\nSwapPss:               8 kB\n"));
	used = 0;
	assert_int_equal(ondol_proc_status_vm(fx.mm, append, &used), 0);
	assert_non_null(strstr(text, "VmSwap:\t       8 kB\n"));
	assert_int_equal(machine_stats().pages_swapped, 2);
	assert_int_equal(peek(1), 1);
	end_swap();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adding_areas),
		cmocka_unit_test(only_where_one_thread_runs),
		cmocka_unit_test(adding_without_memory),
		cmocka_unit_test(a_leak),
		cmocka_unit_test(by_priority),
		cmocka_unit_test(compressed),
		cmocka_unit_test(compressed_under_pressure),
		cmocka_unit_test(half_of_the_memory),
		cmocka_unit_test(what_is_told),
	};

	return cmocka_run_group_tests_name("swap_areas", tests, NULL, NULL);
}

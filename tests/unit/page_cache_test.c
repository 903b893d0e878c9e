/* SPDX-License-Identifier: MIT */
/*
 * The page cache: the radix tree against a naive list, one page for all who read it, what is
 * written back and when, what shrinking may take, and holes in shared memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/virt.h"

#include "support/mm_fixture.h"
#include "support/ops.h"

/* ------------------------------------------------------------------ the tree */

#define NAIVE 300

struct naive {
	uint64_t index[NAIVE];
	unsigned nr;
};

static bool naive_has(const struct naive *n, uint64_t index)
{
	for (unsigned i = 0; i < n->nr; i++)
		if (n->index[i] == index)
			return true;
	return false;
}

struct walk {
	const struct naive *naive;
	uint64_t last;
	unsigned seen;
};

static int in_order(void *ctx, uint64_t index, struct ondol_page *page)
{
	struct walk *w = ctx;

	assert_true(naive_has(w->naive, index));
	assert_true(!w->seen || index > w->last);
	assert_int_equal(page->data.index, (uint32_t)index);
	w->last = index;
	w->seen++;
	return 0;
}

static uint64_t any_index(struct ops_rng *r)
{
	static const uint64_t base[] = { 0, 60, 4090, 262140, 1 << 24, UINT64_C(1) << 36,
					 (UINT64_C(1) << 52) - 20 };

	return base[ops_below(r, sizeof base / sizeof *base)] + ops_below(r, 20);
}

static void tree_against_a_list(void **state)
{
	struct ondol_address_space *mapping;
	struct ops_rng rng = { 7 };
	struct naive naive = { .nr = 0 };

	(void)state;
	begin();
	assert_int_equal(ondol_address_space_create(fx.m, NULL, NULL, &mapping), 0);
	for (unsigned round = 0; round < 3000; round++) {
		uint64_t index = any_index(&rng);
		struct cache_read read = { .lo = index, .hi = index + 1 };

		assert_int_equal(cache_has_page(mapping, index), naive_has(&naive, index));
		if (ops_below(&rng, 2)) {
			assert_int_equal(cache_read_page(mapping, index, &read), 0);
			assert_int_equal(read.was_read, !naive_has(&naive, index));
			assert_int_equal(ondol_page_count(read.page), 2);
			ondol_put_page(fx.m, read.page);
			if (read.was_read)
				naive.index[naive.nr++] = index;
		} else { /* nobody maps it: a hole drops it */
			uint64_t end = index + ops_below(&rng, 8);

			cache_punch_hole(mapping, index, end);
			for (unsigned i = 0; i < naive.nr;)
				if (naive.index[i] >= index && naive.index[i] < end)
					naive.index[i] = naive.index[--naive.nr];
				else
					i++;
		}
		assert_int_equal(ondol_address_space_nr_pages(mapping), naive.nr);
		if (round % 50 == 0) {
			struct walk w = { &naive, 0, 0 };

			assert_int_equal(cache_for_each(mapping, in_order, &w), 0);
			assert_int_equal(w.seen, naive.nr);
			assert_valid();
		}
	}
	cache_drop_all(mapping);
	assert_null(mapping->root);
	assert_int_equal(ondol_address_space_nr_pages(mapping), 0);
	ondol_address_space_put(mapping);
	end();
}

/* ------------------------------------------------------------------ sharing */

static void one_page_for_all(void **state)
{
	struct ondol_mm_struct *other;
	struct test_file f;

	(void)state;
	begin();
	other = new_mm();
	open_file(&f, 16 * PAGE);
	map_file(0, 4, R, &f, 0);
	map_file(8, 4, R, &f, 0);
	map_at(other, AT(0), 4, RW, &f, 0);
	map_at(other, AT(8), 4, RW | S, &f, 0);
	assert_int_equal(peek(1), page_tag(1));
	assert_int_equal(peek(9), page_tag(1));
	assert_int_equal(peek_in(other, 1), page_tag(1));
	assert_int_equal(f.reads, 1);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 1);
	assert_int_equal(ondol_address_space_nr_pages(f.mapping), 1);

	/* A shared write is seen by everybody who has no copy of his own. */
	poke_in(other, 1, 5); /* copies */
	poke_in(other, 9, 6);
	assert_int_equal(peek(1), 6);
	assert_int_equal(peek(9), 6);
	assert_int_equal(peek_in(other, 1), 5);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 1);
	assert_int_equal(frames(ONDOL_PAGE_ANON), 1);
	ondol_mmput(other);
	assert_int_equal(peek(1), 6); /* exit takes nothing from the others */
	assert_int_equal(f.tag[1], 6);
	close_file(&f);
	assert_false(f.released); /* regions hold it */
	unmap(0, 12);
	assert_true(f.released);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 0);
	end();
}

/* MAP_SHARED | MAP_ANONYMOUS: the last one out drops the pages. */
static void anonymous_shared_memory(void **state)
{
	struct ondol_mm_struct *child;

	(void)state;
	begin();
	map(0, 4, RW | S);
	/* A window makes only what the region shows. */
	assert_int_equal(touch_around(1, ONDOL_FAULT_WRITE, 512).nr_pages, 4);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 4);
	assert_int_equal(stats_of(fx.mm).rss_shmem, 4);
	poke(0, 10);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	poke_in(child, 0, 11);
	poke_in(child, 3, 33);
	assert_int_equal(peek(0), 11);
	assert_int_equal(peek(3), 33);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 4);
	assert_int_equal(ondol_madvise(fx.mm, AT(0), 4 * PAGE, 4), 0); /* DONTNEED keeps it */
	assert_int_equal(peek(3), 33);
	unmap(0, 4);
	assert_int_equal(peek_in(child, 3), 33);
	ondol_mmput(child);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 0);
	end();
}

/* The last region of a shared mapping goes while its pages are mapped: no software fill. */
static void last_region_drops_its_pages(void **state)
{
	(void)state;
	begin();
	map(0, 64, RW | S);
	for (uint64_t i = 0; i < 64; i++)
		poke(i, i);
	unmap(0, 32);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 64);
	unmap(32, 32);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 0);
	map(0, 2, RW | S);
	poke(0, 1);
	map(0, 2, RW); /* replaced */
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 0);
	end();
}

/* ------------------------------------------------------------------ writing back */

static void written_back(void **state)
{
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 16 * PAGE);
	map_file(0, 8, RW | S, &f, 2);
	poke(1, 101);
	poke(3, 103);
	assert_int_equal(peek(5), page_tag(7));
	assert_int_equal(f.writes, 0);
	assert_int_equal(ondol_msync(fx.mm, AT(0), 2 * PAGE, ONDOL_MS_SYNC), 0);
	assert_int_equal(f.writes, 1);
	assert_int_equal(f.tag[3], 101);
	assert_int_equal(f.tag[5], page_tag(5));
	assert_int_equal(ondol_msync(fx.mm, AT(0), 8 * PAGE, ONDOL_MS_ASYNC), 0); /* MS_ASYNC */
	assert_int_equal(f.writes, 1);
	assert_int_equal(ondol_msync(fx.mm, AT(0), 8 * PAGE, ONDOL_MS_SYNC), 0);
	assert_int_equal(f.writes, 2);
	assert_int_equal(ondol_msync(fx.mm, AT(0), 8 * PAGE, ONDOL_MS_SYNC), 0); /* clean */
	assert_int_equal(f.writes, 2);

	/* An error is told, and the page stays dirty. */
	poke(1, 201);
	f.fail_write = -ONDOL_EIO;
	assert_int_equal(ondol_msync(fx.mm, AT(0), 8 * PAGE, ONDOL_MS_SYNC), -ONDOL_EIO);
	unmap(0, 8);
	f.fail_write = 0;
	assert_int_equal(f.tag[3], 101);
	close_file(&f);
	assert_int_equal(f.tag[3], 201);
	assert_int_equal(f.writes, 3);
	assert_true(f.released);
	assert_int_equal(ondol_msync(fx.mm, AT(0), PAGE, ONDOL_MS_SYNC), -ONDOL_ENOMEM);
	assert_int_equal(ondol_msync(fx.mm, AT(0) + 1, PAGE, ONDOL_MS_SYNC), -ONDOL_EINVAL);
	assert_int_equal(ondol_msync(fx.mm, AT(0), PAGE, ONDOL_MS_SYNC | ONDOL_MS_ASYNC),
			 -ONDOL_EINVAL);
	assert_int_equal(ondol_msync(fx.mm, AT(0), PAGE, 8), -ONDOL_EINVAL);
	assert_int_equal(ondol_msync(fx.mm, AT(0), UINT64_MAX, ONDOL_MS_SYNC), 0); /* it wraps */
	assert_int_equal(ondol_msync(fx.mm, AT(0), 0, ONDOL_MS_SYNC), 0);
	end();
}

/* What hardware wrote is known by D alone: munmap and msync must look. */
static void written_by_hardware(void **state)
{
	struct test_file f;
	void *slot;

	(void)state;
	begin();
	open_file(&f, 16 * PAGE);
	map_file(0, 2, RW | S, &f, 0);
	for (uint64_t i = 0; i < 2; i++) {
		assert_int_equal(touch(i, ONDOL_FAULT_WRITE), ONDOL_FAULT_FILE_READ);
		slot = pgtable_find(&fx.mm->pgt, AT(i));
		memset(ondol_page_address(fx.m, pte_page(fx.mm, pte_get(&fx.mm->pgt, slot))),
		       0x77, 8);
		pte_or(&fx.mm->pgt, slot, fx.mm->pgt.format->dirty_mask);
	}
	assert_int_equal(ondol_msync(fx.mm, AT(0), PAGE, ONDOL_MS_SYNC), 0);
	assert_int_equal(f.tag[0], UINT64_C(0x7777777777777777));
	assert_int_equal(f.tag[1], page_tag(1));
	unmap(1, 1);
	assert_int_equal(f.tag[1], UINT64_C(0x7777777777777777));
	assert_int_equal(f.writes, 2);
	close_file(&f);
	end();
	assert_int_equal(f.writes, 2);
}

/* ------------------------------------------------------------------ shrinking */

static void shrinking(void **state)
{
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 32 * PAGE);
	map_file(0, 32, RW | S, &f, 0);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(peek(i), page_tag(i));
	assert_int_equal(ondol_address_space_shrink(f.mapping, 100), 0); /* all are mapped */
	unmap(0, 10);
	assert_int_equal(ondol_address_space_shrink(f.mapping, 4), 4);
	assert_int_equal(ondol_address_space_nr_pages(f.mapping), 16);
	assert_int_equal(ondol_address_space_shrink(f.mapping, 100), 6);
	/* A dirty page stays until it is written. */
	f.fail_write = -ONDOL_EIO;
	poke(12, 5);
	unmap(10, 22);
	assert_int_equal(ondol_address_space_shrink(f.mapping, 100), 9);
	assert_int_equal(ondol_address_space_nr_pages(f.mapping), 1);
	f.fail_write = 0;
	map_file(0, 32, R | S, &f, 0);
	assert_int_equal(peek(12), 5);
	close_file(&f);
	end();
	assert_int_equal(f.tag[12], 5);
}

/* Memory runs out: unmapped pages of files go before an allocation fails. */
static void pressure_shrinks(void **state)
{
	struct test_file f;

	(void)state;
	begin_with(2, NULL, NULL, NULL);
	open_file(&f, 200 * PAGE);
	map_file(0, 200, R, &f, 0);
	for (uint64_t i = 0; i < 200; i++)
		assert_int_equal(peek(i), page_tag(i));
	unmap(0, 200);
	assert_int_equal(ondol_address_space_nr_pages(f.mapping), 200);
	map(0, 512, RW);
	for (uint64_t i = 0; i < 300; i++)
		poke(i, i);
	assert_true(ondol_address_space_nr_pages(f.mapping) < 200);
	for (uint64_t i = 0; i < 300; i++)
		assert_int_equal(peek(i), i);
	close_file(&f);
	end();
}

/* ------------------------------------------------------------------ holes */

static void holes_read_as_zero(void **state)
{
	struct ondol_mm_struct *child;

	(void)state;
	begin();
	map(0, 8, RW | S);
	for (uint64_t i = 0; i < 8; i++)
		poke(i, 100 + i);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	assert_int_equal(ondol_munmap(child, AT(4), 4 * PAGE), 0);
	assert_int_equal(ondol_madvise(fx.mm, AT(2), 4 * PAGE, 9), 0); /* MADV_REMOVE */
	/* 2 and 3 are mapped by the child and cleared; 4 and 5 are gone. */
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 6);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(peek(i), i >= 2 && i < 6 ? 0 : 100 + i);
	assert_int_equal(peek_in(child, 3), 0);
	assert_int_equal(peek_in(child, 1), 101);
	poke(3, 7);
	assert_int_equal(peek_in(child, 3), 7);
	ondol_mmput(child);
	end();
}

static void read_ahead(void **state)
{
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 20 * PAGE - 5);
	ondol_file_read_ahead(f.file, 3, 0);
	ondol_file_read_ahead(f.file, 20, 4); /* past the end */
	ondol_file_read_ahead(f.file, UINT64_MAX, 4);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 0);
	ondol_file_read_ahead(f.file, 3, 5);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 5);
	ondol_file_read_ahead(f.file, 3, 5);
	ondol_file_read_ahead(f.file, 8, 512); /* up to the end */
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 17);
	assert_false(cache_has_page(f.file->mapping, 2));
	assert_true(cache_has_page(f.file->mapping, 19));
	close_file(&f);
	end();
}

/* A window of memory is a window of the file, where mmap may choose. */
static void windows_agree(void **state)
{
	struct ondol_mmap_args args = { .size = sizeof args, .vm_flags = R, .pgoff = 5 };
	ondol_virt_addr_t at;
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 100 * PAGE);
	args.file = f.file;
	for (args.length = 16 * PAGE; args.length < 20 * PAGE; args.length += PAGE) {
		assert_int_equal(ondol_mmap(fx.mm, &args, &at), 0);
		assert_int_equal((at / PAGE - args.pgoff) % 16, 0);
		args.pgoff += 7;
	}
	args.addr = AT(3); /* a hint is taken as it is */
	assert_int_equal(ondol_mmap(fx.mm, &args, &at), 0);
	assert_int_equal(at, AT(3));
	assert_valid();
	close_file(&f);
	end();
}

static void bad_arguments(void **state)
{
	struct ondol_address_space_ops ops = { .size = sizeof ops };
	struct ondol_file_args args = { .size = 4 };
	struct ondol_address_space *mapping;
	struct ondol_file *file;

	(void)state;
	begin();
	assert_int_equal(ondol_address_space_create(fx.m, &ops, NULL, &mapping), -ONDOL_EINVAL);
	assert_int_equal(ondol_file_create(fx.m, &args, &file), -ONDOL_EINVAL);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree_against_a_list),
		cmocka_unit_test(one_page_for_all),
		cmocka_unit_test(anonymous_shared_memory),
		cmocka_unit_test(last_region_drops_its_pages),
		cmocka_unit_test(written_back),
		cmocka_unit_test(written_by_hardware),
		cmocka_unit_test(shrinking),
		cmocka_unit_test(pressure_shrinks),
		cmocka_unit_test(holes_read_as_zero),
		cmocka_unit_test(read_ahead),
		cmocka_unit_test(windows_agree),
		cmocka_unit_test(bad_arguments),
	};

	return cmocka_run_group_tests_name("page_cache", tests, NULL, NULL);
}

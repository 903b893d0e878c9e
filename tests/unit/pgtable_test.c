/* SPDX-License-Identifier: MIT */
/*
 * The walker on every format, against a naive table: random maps and unmaps of a few places
 * that are near to and far from each other, spans, and which tables a range gives back.  G3, G9.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pgtable/pgtable.h"

#include "support/ops.h"
#include "support/toy.h"

#define PAGES 32 /* in each place */
#define PLACES 6

static const struct ondol_pgtable_format *const formats[] = {
	&ondol_pgtable_toy_1k, &ondol_pgtable_i386, &ondol_pgtable_i386_pae,
	&ondol_pgtable_x86_64, &ondol_pgtable_x86_64_la57,
};

static struct toy toy;
static struct pgtable pt;
static const struct ondol_pgtable_format *format;
static uint64_t pte[PLACES * PAGES]; /* the naive table */
static uint64_t place[PLACES];

static uint64_t address(unsigned i)
{
	return place[i / PAGES] + ((uint64_t)(i % PAGES) << format->level[0].shift);
}

static uint64_t space_end(void)
{
	return UINT64_C(1) << pgtable_table_shift(format, format->nr_levels - 1u);
}

/* Around the borders of tables of each level, and at both ends. */
static void choose_places(void)
{
	uint64_t half = (uint64_t)PAGES / 2 << format->level[0].shift;

	for (unsigned i = 0; i < PLACES; i++) {
		unsigned level = i < format->nr_levels ? i : format->nr_levels - 1u;
		uint64_t border = UINT64_C(1) << pgtable_table_shift(format, level);

		place[i] = border == space_end() ? border - 2 * half : border - half;
	}
	place[PLACES - 1] = 0;
	/* Formats of few levels: side by side, in any order, but never twice the same page. */
	for (unsigned i = format->nr_levels; i < PLACES - 1; i++)
		place[i] = space_end() / 4 + (uint64_t)i * 2 * half;
}

static void check_entries(void)
{
	unsigned present = 0, seen = 0;
	uint64_t last = 0;
	struct pgtable_span span;

	for (unsigned i = 0; i < PLACES * PAGES; i++) {
		void *slot = pgtable_find(&pt, address(i));
		uint64_t is = slot ? pte_get(&pt, slot) : 0;
		ondol_phys_addr_t pa = { 0 };
		bool there = pte[i] && pgtable_addr_valid(format, address(i)); /* A2 */

		assert_int_equal(is, pte[i]);
		assert_int_equal(pgtable_translate(&pt, address(i) + 5, 0, &pa, NULL),
				 there ? 0 : -ONDOL_EFAULT);
		if (there)
			assert_int_equal(pa.value, (pte[i] & format->phys_mask) + 5);
		present += pte[i] != 0;
	}
	/* Spans: in order, apart, and together all there is. */
	for (uint64_t at = 0; at < space_end() && pgtable_next(&pt, 0, at, space_end(), &span);
	     at = span.end) {
		void *slot = span.slot;

		assert_true(span.addr >= last && span.end > span.addr);
		last = span.end;
		for (uint64_t a = span.addr; a < span.end;
		     a += UINT64_C(1) << format->level[0].shift, slot = pte_next(&pt, slot))
			seen += pte_get(&pt, slot) != 0;
	}
	assert_int_equal(seen, present);
}

static uint64_t tables_in_use(void)
{
	struct ondol_machine_stats s;

	ondol_machine_stats(toy.m, &s);
	return s.pages[ONDOL_PAGE_PGTABLE];
}

/* Tables that a tree with exactly these entries has. */
static uint64_t tables_needed(void)
{
	uint64_t n = 1;

	for (unsigned level = 0; level + 1u < format->nr_levels; level++) {
		unsigned shift = pgtable_table_shift(format, level);

		for (unsigned i = 0; i < PLACES * PAGES; i++) {
			bool first = pte[i] != 0;

			for (unsigned j = 0; first && j < i; j++)
				first = !pte[j] || address(j) >> shift != address(i) >> shift;
			n += first;
		}
	}
	return n;
}

static void map_one(unsigned i)
{
	void *slot = pgtable_make(&pt, address(i));

	assert_non_null(slot);
	assert_ptr_equal(slot, pgtable_find(&pt, address(i)));
	pte[i] = format->make_leaf(ondol_phys_addr((uint64_t)(i + 1) << 12),
				   ONDOL_PROT_READ | ONDOL_PROT_USER, 0).value;
	pte_set(&pt, slot, pte[i]);
}

/* Clear [first, last], then take the tables that nothing else needs. */
static void unmap_range(unsigned first, unsigned last)
{
	uint64_t start = address(first), floor = 0, ceiling = space_end();
	uint64_t end = address(last) + (UINT64_C(1) << format->level[0].shift);
	uint32_t chain = ONDOL_PAGE_NIL;

	for (unsigned i = first; i <= last; i++) {
		void *slot = pgtable_find(&pt, address(i));

		if (slot)
			assert_int_equal(pte_exchange(&pt, slot, 0), pte[i]);
		pte[i] = 0;
	}
	for (unsigned i = 0; i < PLACES * PAGES; i++) {
		if (!pte[i])
			continue;
		if (address(i) < start && address(i) >= floor)
			floor = address(i) + (UINT64_C(1) << format->level[0].shift);
		if (address(i) >= end && address(i) < ceiling)
			ceiling = address(i);
	}
	assert_false(pgtable_unlink_range(&pt, start, end, floor, ceiling, &chain));
	pgtable_release(&pt, chain);
}

static void random_maps(void **state)
{
	struct ops_rng rng = { 1 };

	(void)state;
	for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
		format = formats[f];
		assert_int_equal(toy_new(&toy, 8, 1, NULL, NULL, NULL), 0);
		memset(pte, 0, sizeof pte);
		choose_places();
		assert_int_equal(pgtable_init(&pt, toy.m, format), 0);
		assert_int_equal(pgtable_page_shift(&pt), format->level[0].shift);
		for (unsigned round = 0; round < 300; round++) {
			unsigned at = (unsigned)ops_below(&rng, PLACES) * PAGES;
			unsigned first = at + (unsigned)ops_below(&rng, PAGES);
			unsigned last = first + (unsigned)ops_below(&rng, at + PAGES - first);

			if (ops_below(&rng, 2))
				for (unsigned i = first; i <= last; i++)
					map_one(i);
			else
				unmap_range(first, last);
			assert_int_equal(pt.nr_tables, tables_in_use());
			assert_int_equal(pt.nr_tables, tables_needed());
			if (round % 10 == 9)
				check_entries();
		}
		pgtable_fini(&pt);
		assert_int_equal(tables_in_use(), 0);
		assert_int_equal(toy_free(&toy), 0);
	}
}

/* Costs what is mapped: one page at each end of the space, seen in two spans. */
static void far_apart(void **state)
{
	struct pgtable_span span;
	unsigned spans = 0;

	(void)state;
	format = &ondol_pgtable_x86_64_la57;
	assert_int_equal(toy_new(&toy, 8, 1, NULL, NULL, NULL), 0);
	assert_int_equal(pgtable_init(&pt, toy.m, format), 0);
	assert_non_null(pgtable_make(&pt, 0));
	assert_non_null(pgtable_make(&pt, space_end() - 4096));
	assert_int_equal(pt.nr_tables, 9);
	pgtable_for_each_span(&pt, span, 0, space_end())
		spans++;
	assert_int_equal(spans, 2);
	assert_false(pgtable_next(&pt, 0, UINT64_C(1) << 21, space_end() - (1 << 21), &span));
	/* A span ends where it is asked to. */
	assert_true(pgtable_next(&pt, 0, 4096, 5 * 4096, &span));
	assert_int_equal(span.addr, 4096);
	assert_int_equal(span.end, 5 * 4096);
	/* No table for a large page's place unless asked. */
	assert_null(pgtable_slot(&pt, UINT64_C(1) << 40, 1, false));
	assert_non_null(pgtable_slot(&pt, UINT64_C(1) << 40, 1, true));
	assert_int_equal(pt.nr_tables, 11);
	pgtable_fini(&pt);
	assert_int_equal(toy_free(&toy), 0);
}

/* A neighbour in the same table keeps it: floor and ceiling. */
static void neighbours_keep_tables(void **state)
{
	uint32_t chain = ONDOL_PAGE_NIL;

	(void)state;
	format = &ondol_pgtable_x86_64;
	assert_int_equal(toy_new(&toy, 8, 1, NULL, NULL, NULL), 0);
	assert_int_equal(pgtable_init(&pt, toy.m, format), 0);
	assert_non_null(pgtable_make(&pt, 0x200000));
	assert_int_equal(pt.nr_tables, 4);
	/* [0x200000, 0x201000) goes; a region ends at 0x1ff000, the next begins at 0x3ff000. */
	pgtable_unlink_range(&pt, 0x200000, 0x201000, 0x1ff000, 0x3ff000, &chain);
	assert_int_equal(chain, ONDOL_PAGE_NIL);
	/* It begins at 0x400000: the leaf table goes, the higher ones are needed. */
	pgtable_unlink_range(&pt, 0x200000, 0x201000, 0x1ff000, 0x400000, &chain);
	pgtable_release(&pt, chain);
	assert_int_equal(pt.nr_tables, 3);
	chain = ONDOL_PAGE_NIL;
	pgtable_unlink_range(&pt, 0x200000, 0x201000, 0, space_end(), &chain);
	pgtable_release(&pt, chain);
	assert_int_equal(pt.nr_tables, 1);
	/* Had hardware come this way, it is told. */
	chain = ONDOL_PAGE_NIL;
	assert_non_null(pgtable_make(&pt, 0));
	*(uint64_t *)pt.root |= format->accessed_mask;
	assert_true(pgtable_unlink_range(&pt, 0, 4096, 0, space_end(), &chain));
	pgtable_release(&pt, chain);
	pgtable_fini(&pt);
	assert_int_equal(toy_free(&toy), 0);
}

static void no_memory_for_tables(void **state)
{
	struct ondol_fail_plan plan = { .nth = { [ONDOL_FAIL_ALLOC_PAGES] = 2 } };

	(void)state;
	format = &ondol_pgtable_x86_64;
	assert_int_equal(toy_new(&toy, 8, 1, NULL, NULL, NULL), 0);
	assert_int_equal(pgtable_init(&pt, toy.m, format), 0);
	ondol_set_fail_plan(toy.m, &plan);
	assert_null(pgtable_make(&pt, 0)); /* one table made, the second refused */
	assert_int_equal(pt.nr_tables, 2);
	assert_null(pgtable_find(&pt, 0));
	ondol_set_fail_plan(toy.m, NULL);
	assert_non_null(pgtable_make(&pt, 0));
	assert_int_equal(pt.nr_tables, 4);
	pgtable_fini(&pt);
	assert_int_equal(toy_free(&toy), 0);
}

/* The walker's own copy of the 4-level format is the real one. */
static void the_constant_format(void **state)
{
	struct ondol_pgtable_format real = ondol_pgtable_x86_64, copy = pgtable_const_x86_64;

	(void)state;
	assert_int_equal(copy.nr_levels, real.nr_levels);
	for (unsigned i = 0; i < real.nr_levels; i++) {
		assert_int_equal(copy.level[i].shift, real.level[i].shift);
		assert_int_equal(copy.level[i].bits, real.level[i].bits);
		assert_int_equal(copy.level[i].may_be_leaf, real.level[i].may_be_leaf);
	}
	assert_int_equal(copy.pte_size, real.pte_size);
	assert_int_equal(copy.va_bits, real.va_bits);
	assert_int_equal(copy.pa_bits, real.pa_bits);
	assert_int_equal(copy.va_sign_extended, real.va_sign_extended);
	assert_int_equal(copy.prot_implied, real.prot_implied);
	assert_int_equal(copy.present_mask, real.present_mask);
	assert_int_equal(copy.leaf_mask, real.leaf_mask);
	assert_int_equal(copy.phys_mask, real.phys_mask);
	assert_int_equal(copy.write_mask, real.write_mask);
	assert_int_equal(copy.user_mask, real.user_mask);
	assert_int_equal(copy.no_exec_mask, real.no_exec_mask);
	assert_int_equal(copy.accessed_mask, real.accessed_mask);
	assert_int_equal(copy.dirty_mask, real.dirty_mask);
}

static void unusable_formats(void **state)
{
	struct ondol_pgtable_format f = ondol_pgtable_x86_64;

	(void)state;
	assert_int_equal(toy_new(&toy, 8, 1, NULL, NULL, NULL), 0);
	f.level[1].bits = 10; /* a table of two frames */
	assert_int_equal(pgtable_init(&pt, toy.m, &f), -ONDOL_EINVAL);
	f.nr_levels = 0;
	assert_int_equal(pgtable_init(&pt, toy.m, &f), -ONDOL_EINVAL);
	assert_int_equal(toy_free(&toy), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_maps),
		cmocka_unit_test(far_apart),
		cmocka_unit_test(neighbours_keep_tables),
		cmocka_unit_test(no_memory_for_tables),
		cmocka_unit_test(the_constant_format),
		cmocka_unit_test(unusable_formats),
	};

	return cmocka_run_group_tests_name("pgtable", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Every page-table format and every helper, against numbers worked out from the manual. */
#include <ondol/pgtable.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#define R ONDOL_PROT_READ
#define W ONDOL_PROT_WRITE
#define X ONDOL_PROT_EXEC
#define U ONDOL_PROT_USER
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct ondol_pgtable_format *const formats[] = {
	&ondol_pgtable_toy_1k, &ondol_pgtable_i386, &ondol_pgtable_i386_pae,
	&ondol_pgtable_x86_64, &ondol_pgtable_x86_64_la57,
};

/* Written out by hand from SDM 3A tables 4-5, 4-6, 4-8 .. 4-11, 4-15 .. 4-20. */
static const struct {
	const struct ondol_pgtable_format *format;
	uint8_t level;
	bool table;
	uint64_t pa;
	uint32_t prot;
	uint64_t bits;
} entry[] = {
	{ &ondol_pgtable_toy_1k, 0, false, 0x1c00, R | U, 0x1c05 },
	{ &ondol_pgtable_toy_1k, 0, false, 0x1fff, R | W | U, 0x1c07 },
	{ &ondol_pgtable_i386, 0, false, 0x12345678, R, 0x12345001 },
	{ &ondol_pgtable_i386, 0, false, 0xfffff000, R | W | X | U, 0xfffff007 },
	{ &ondol_pgtable_i386, 1, false, 0x12345678, R | W, 0x12000083 },
	{ &ondol_pgtable_i386, 1, true, 0x00123000, 0, 0x00123007 },
	{ &ondol_pgtable_i386_pae, 0, false, 0xfedcba000, R | W | U, 0x8000000fedcba007 },
	{ &ondol_pgtable_i386_pae, 0, false, 0xfedcba000, R | X | U, 0x0000000fedcba005 },
	{ &ondol_pgtable_i386_pae, 1, false, 0xfedfff000, R | X, 0x0000000fede00081 },
	{ &ondol_pgtable_i386_pae, 1, true, 0x5000, 0, 0x5007 },
	{ &ondol_pgtable_i386_pae, 2, true, 0x5000, 0, 0x5001 },
	{ &ondol_pgtable_x86_64, 0, false, 0xfffffffffffff, R | U, 0x800ffffffffff005 },
	{ &ondol_pgtable_x86_64, 0, false, 0x7000, R | W | X | U, 0x7007 },
	{ &ondol_pgtable_x86_64, 0, false, 0x7000, 0, 0x8000000000007001 },
	{ &ondol_pgtable_x86_64, 1, false, 0x7654321000, R | W | U, 0x8000007654200087 },
	{ &ondol_pgtable_x86_64, 2, false, 0x7654321000, R | X | U, 0x0000007640000085 },
	{ &ondol_pgtable_x86_64, 3, true, 0xabc000, 0, 0xabc007 },
	{ &ondol_pgtable_x86_64_la57, 0, false, 0x7000, R | W | U, 0x8000000000007007 },
	{ &ondol_pgtable_x86_64_la57, 1, false, 0x600000, R | X | U, 0x600085 },
	{ &ondol_pgtable_x86_64_la57, 4, true, 0xabc000, 0, 0xabc007 },
};

static void entries_have_the_manuals_bits(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(entry); i++) {
		const struct ondol_pgtable_format *f = entry[i].format;
		ondol_phys_addr_t pa = ondol_phys_addr(entry[i].pa);
		ondol_pte_t pte = entry[i].table ? f->make_table(pa, entry[i].level) :
						   f->make_leaf(pa, entry[i].prot, entry[i].level);

		if (pte.value != entry[i].bits)
			fail_msg("row %zu (%s): %#llx, expected %#llx", i, f->name,
				 (unsigned long long)pte.value, (unsigned long long)entry[i].bits);
	}
}

static void views_undo_makes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(entry); i++) {
		const struct ondol_pgtable_format *f = entry[i].format;
		struct ondol_pte_view v = f->view((ondol_pte_t){ entry[i].bits }, entry[i].level);
		uint64_t page = UINT64_C(1) << f->level[entry[i].level].shift;

		assert_true(v.present);
		assert_int_equal(v.leaf, !entry[i].table);
		assert_false(v.accessed || v.dirty);
		if (entry[i].table) {
			assert_int_equal(v.phys.value, entry[i].pa);
			assert_int_equal(v.prot, R | W | X | U);
		} else {
			assert_int_equal(v.phys.value, entry[i].pa & ~(page - 1));
			assert_int_equal(v.prot, entry[i].prot | f->prot_implied);
		}
	}
}

/* All 16 combinations of rights at every level that can hold a leaf; masks against view. */
static void masks_and_helpers_agree(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(formats); i++) {
		const struct ondol_pgtable_format *f = formats[i];

		for (uint8_t l = 0; l < f->nr_levels; l++) {
			if (l && !f->level[l].may_be_leaf)
				continue;
			for (uint32_t prot = 0; prot < 16; prot++) {
				uint64_t pa = UINT64_C(3) << f->level[l].shift;
				ondol_pte_t e = f->make_leaf(ondol_phys_addr(pa), prot, l);
				struct ondol_pte_view v = f->view(e, l);

				assert_true(e.value & f->present_mask);
				assert_int_equal(e.value & f->phys_mask, pa);
				assert_int_equal(!!(e.value & f->leaf_mask), l > 0);
				assert_int_equal(!!(e.value & f->write_mask), !!(prot & W));
				assert_int_equal(!!(e.value & f->user_mask), !!(prot & U));
				if (f->no_exec_mask)
					assert_int_equal(!(e.value & f->no_exec_mask),
							 !!(prot & X));
				assert_int_equal(v.prot, prot | f->prot_implied);
				assert_true(v.present && v.leaf);
				e.value |= f->accessed_mask;
				assert_true(f->view(e, l).accessed && !f->view(e, l).dirty);
				e.value |= f->dirty_mask;
				assert_true(f->view(e, l).dirty);
				assert_int_equal(f->view(e, l).phys.value, pa);
				assert_int_equal(f->view(e, l).prot, v.prot);
				e.value &= ~f->present_mask;
				assert_false(f->view(e, l).present || f->view(e, l).prot);
			}
		}
		for (uint8_t l = 1; l < f->nr_levels; l++) {
			ondol_pte_t e = f->make_table(ondol_phys_addr(0x5000), l);

			assert_true(e.value & f->present_mask);
			assert_false(e.value & f->leaf_mask);
			assert_int_equal(e.value & f->phys_mask, 0x5000);
			assert_false(f->view(e, l).leaf);
		}
	}
}

static void zero_is_absent(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(formats); i++)
		for (uint8_t l = 0; l < formats[i]->nr_levels; l++)
			assert_false(formats[i]->view((ondol_pte_t){ 0 }, l).present);
}

/* The levels tile the address; no table is larger than a page; G9: the size of one table. */
static void geometry(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(formats); i++) {
		const struct ondol_pgtable_format *f = formats[i];
		unsigned bit = f->level[0].shift;

		assert_true(f->nr_levels <= ONDOL_PGTABLE_LEVELS_MAX);
		assert_true(f->pte_size == 4 || f->pte_size == 8);
		for (uint8_t l = 0; l < f->nr_levels; l++) {
			assert_int_equal(f->level[l].shift, bit);
			bit += f->level[l].bits;
			assert_true(((uint64_t)f->pte_size << f->level[l].bits) <=
				    UINT64_C(1) << f->level[0].shift);
		}
		assert_int_equal(bit, f->va_bits);
		assert_false(f->level[0].may_be_leaf);
		assert_int_equal(f->phys_mask >> (f->pa_bits - 1), 1);
		assert_int_equal(f->phys_mask & (f->present_mask | f->leaf_mask | f->write_mask |
						 f->user_mask | f->no_exec_mask |
						 f->accessed_mask | f->dirty_mask), 0);
	}
	/* G9: one flat table would take 4 MiB per i386 task and 512 GiB for 48 bits. */
	assert_int_equal(UINT64_C(4) << (32 - 12), UINT64_C(4) << 20);
	assert_int_equal((uint64_t)ondol_pgtable_x86_64.pte_size
				 << (ondol_pgtable_x86_64.va_bits - 12),
			 UINT64_C(512) << 30);
}

static uint64_t translate_one_level(const struct ondol_pgtable_format *f, const uint64_t *table,
				    uint64_t va)
{
	uint64_t index = (va >> f->level[0].shift) & ((UINT64_C(1) << f->level[0].bits) - 1);
	uint64_t offset = va & ((UINT64_C(1) << f->level[0].shift) - 1);

	return f->view((ondol_pte_t){ table[index] }, 0).phys.value + offset;
}

/* G4: the notes' two numbers. */
static void address_1000(void **state)
{
	uint64_t table[1024] = { 0 };

	(void)state;
	table[0] = ondol_pgtable_toy_1k.make_leaf(ondol_phys_addr(7 * 1024), R | U, 0).value;
	assert_int_equal(translate_one_level(&ondol_pgtable_toy_1k, table, 1000), 8168);
	table[0] = ondol_pgtable_i386.make_leaf(ondol_phys_addr(7 * 4096), R | U, 0).value;
	assert_int_equal(translate_one_level(&ondol_pgtable_i386, table, 1000), 29672);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_have_the_manuals_bits),
		cmocka_unit_test(views_undo_makes),
		cmocka_unit_test(masks_and_helpers_agree),
		cmocka_unit_test(zero_is_absent),
		cmocka_unit_test(geometry),
		cmocka_unit_test(address_1000),
	};

	return cmocka_run_group_tests_name("pgtable_format", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * A range of frames is wanted while programs use it (CMA, a bank that goes): private memory, also
 * what a fork shares, and page cache, mapped or not, move out; the rest refuses.  Shows B4, D8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/mm_fixture.h"

#include "virt/virt.h"

static uint64_t pfn_of(struct ondol_mm_struct *mm, uint64_t page)
{
	void *slot = pgtable_find(&mm->pgt, AT(page));

	assert_non_null(slot);
	assert_true(pte_present(mm, pte_get(&mm->pgt, slot)));
	return machine_page_pfn(fx.m, pte_page(mm, pte_get(&mm->pgt, slot)));
}

/* The bank of 4 MiB that holds the frame. */
static uint64_t bank_of(uint64_t pfn)
{
	return pfn & ~UINT64_C(1023);
}

/* A machine whose upper half is for what can move, and an mm with 64 pages of its own there. */
static void begin_movable(void)
{
	static struct ondol_profile profile;

	profile = ondol_profile_x86_64;
	profile.zone_end[ONDOL_ZONE_NORMAL] = 0;
	profile.zone_end[ONDOL_ZONE_DMA32] = UINT64_C(16) << 20;
	profile.zone_end[ONDOL_ZONE_DMA] = 0;
	profile.zone_end[ONDOL_ZONE_MOVABLE] = UINT64_C(32) << 20;
	begin_with(32, &profile, NULL, NULL);
	map(0, 64, RW);
	for (uint64_t i = 0; i < 64; i++)
		poke(i, 1000 + i);
}

static void assert_words(struct ondol_mm_struct *mm)
{
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(peek_in(mm, i), 1000 + i);
}

/* The bank is taken whole, is nobody's, and comes back. */
static void take_bank(uint64_t start)
{
	ondol_pfn_t busy = { 0 };
	int r = ondol_offline_pages(fx.m, ondol_pfn(start), 1024, &busy);

	if (r)
		fail_msg("%d: frame %llu is of use %s", r, (unsigned long long)busy.value,
			 ondol_page_use_name(ondol_page_use(ondol_pfn_to_page(fx.m, busy))));
	assert_valid();
	for (uint64_t pfn = start; pfn < start + 1024; pfn++)
		assert_int_equal(ondol_page_use(ondol_pfn_to_page(fx.m, ondol_pfn(pfn))),
				 ONDOL_PAGE_RESERVED);
}

static void bring_bank(uint64_t start)
{
	assert_int_equal(ondol_online_pages(fx.m, ondol_pfn(start), 1024), 0);
	assert_valid();
}

static void private_memory(void **state)
{
	uint64_t bank;

	(void)state;
	begin_movable();
	bank = bank_of(pfn_of(fx.mm, 7));
	take_bank(bank);
	assert_words(fx.mm);
	assert_int_not_equal(bank_of(pfn_of(fx.mm, 7)), bank);
	assert_int_equal(frames(ONDOL_PAGE_ANON), 64);
	bring_bank(bank);
	poke(7, 1007); /* and it is writable as before, without a fault's copy */
	assert_words(fx.mm);
	end();
}

/* Both have the page, read-only, and go on sharing it. */
static void shared_by_a_fork(void **state)
{
	struct ondol_mm_struct *child;
	uint64_t bank;

	(void)state;
	begin_movable();
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	bank = bank_of(pfn_of(fx.mm, 3));
	take_bank(bank);
	assert_words(fx.mm);
	assert_words(child);
	assert_int_equal(pfn_of(fx.mm, 3), pfn_of(child, 3));
	assert_int_equal(frames(ONDOL_PAGE_ANON), 64);
	poke_in(child, 3, 7);
	assert_int_equal(peek(3), 1003);
	assert_int_not_equal(pfn_of(fx.mm, 3), pfn_of(child, 3));
	ondol_mmput(child);
	bring_bank(bank);
	end();
}

/* Mapped or not, dirty or not: nothing is read again, what was written is written back once. */
static void page_cache(void **state)
{
	struct test_file f;
	uint64_t bank, reads;

	(void)state;
	begin_movable();
	open_file(&f, 40 * PAGE);
	map_file(100, 20, RW | S, &f, 0);
	map_file(130, 20, R, &f, 0);
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(peek(100 + i), page_tag(i));
		assert_int_equal(peek(130 + i), page_tag(i));
	}
	poke(104, 99);
	reads = f.reads;
	bank = bank_of(pfn_of(fx.mm, 104));
	unmap(110, 10); /* in the cache and, from 145 on, nowhere else */
	unmap(145, 5);
	take_bank(bank);
	assert_int_equal(pfn_of(fx.mm, 104), pfn_of(fx.mm, 134));
	assert_int_not_equal(bank_of(pfn_of(fx.mm, 104)), bank);
	assert_int_equal(peek(134), 99);
	assert_int_equal(f.tag[4], page_tag(4));
	unmap(100, 10);
	assert_int_equal(f.tag[4], 99);
	map_file(145, 5, R, &f, 15);
	for (uint64_t i = 15; i < 20; i++)
		assert_int_equal(peek(130 + i), page_tag(i));
	assert_int_equal(f.reads, reads);
	bring_bank(bank);
	unmap(130, 20);
	close_file(&f);
	end();
}

/* Whatever cannot move refuses before anything is moved: the kernel's, a second reference. */
static void what_stays(void **state)
{
	struct ondol_page *kernel, *page;
	uint64_t pfn, bank;
	ondol_pfn_t busy;

	(void)state;
	begin_movable();
	pfn = pfn_of(fx.mm, 7);
	/* The kernel's, in the middle of movable memory. */
	kernel = ondol_alloc_pages(fx.m, ONDOL_GFP_HIGHUSER_MOVABLE, 0);
	assert_non_null(kernel);
	bank = bank_of(ondol_page_to_pfn(fx.m, kernel).value);
	assert_int_equal(ondol_offline_pages(fx.m, ondol_pfn(bank), 1024, &busy), -ONDOL_EBUSY);
	assert_int_equal(busy.value, ondol_page_to_pfn(fx.m, kernel).value);
	assert_valid();
	assert_int_equal(pfn_of(fx.mm, 7), pfn);
	ondol_free_pages(fx.m, kernel, 0);
	/* Somebody reads the page just now. */
	page = ondol_pfn_to_page(fx.m, ondol_pfn(pfn));
	ondol_get_page(fx.m, page);
	assert_int_equal(ondol_alloc_contig_range(fx.m, ondol_pfn(pfn), 1, &busy), -ONDOL_EBUSY);
	assert_int_equal(busy.value, pfn);
	assert_int_equal(pfn_of(fx.mm, 7), pfn);
	ondol_put_page(fx.m, page);
	assert_valid();
	assert_words(fx.mm);
	assert_int_equal(ondol_alloc_contig_range(fx.m, ondol_pfn(pfn), 1, NULL), 0);
	assert_int_equal(ondol_page_count(page), 1);
	ondol_free_pages(fx.m, page, 0);
	assert_words(fx.mm);
	end();
}

/* No room elsewhere: nothing moves, and nothing is lost. */
static void no_room(void **state)
{
	static struct ondol_page *taken[8192];
	unsigned n = 0;
	uint64_t pfn;

	(void)state;
	begin_movable();
	pfn = pfn_of(fx.mm, 0);
	while ((taken[n] = ondol_alloc_pages(fx.m, ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_NOWARN,
					     0)))
		n++;
	assert_int_equal(ondol_alloc_contig_range(fx.m, ondol_pfn(pfn), 1, NULL), -ONDOL_ENOMEM);
	assert_valid();
	assert_int_equal(pfn_of(fx.mm, 0), pfn);
	while (n)
		ondol_free_pages(fx.m, taken[--n], 0);
	assert_words(fx.mm);
	end();
}

/* Every bank of the movable half goes and comes, one after the other, under a running program. */
static void all_banks(void **state)
{
	(void)state;
	begin_movable();
	for (unsigned round = 0; round < 3; round++)
		for (uint64_t bank = 4096; bank < 8192; bank += 1024) {
			take_bank(bank);
			for (uint64_t i = 0; i < 64; i++)
				assert_int_not_equal(bank_of(pfn_of(fx.mm, i)), bank);
			assert_words(fx.mm);
			bring_bank(bank);
		}
	end();
}

/* [MIGRATE-1], broken on purpose: the page would never move again. */
static void validation(void **state)
{
	struct ondol_broken_invariant broken;
	struct ondol_page *page;

	(void)state;
	begin_movable();
	page = ondol_pfn_to_page(fx.m, ondol_pfn(pfn_of(fx.mm, 0)));
	page->flags |= ONDOL_PG_MOVING;
	assert_int_equal(ondol_machine_validate(fx.m, &broken), -ONDOL_EUCLEAN);
	assert_string_equal(broken.id, "MIGRATE-1");
	page->flags &= ~ONDOL_PG_MOVING;
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(private_memory),
		cmocka_unit_test(shared_by_a_fork),
		cmocka_unit_test(page_cache),
		cmocka_unit_test(what_stays),
		cmocka_unit_test(no_room),
		cmocka_unit_test(all_banks),
		cmocka_unit_test(validation),
	};

	return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}

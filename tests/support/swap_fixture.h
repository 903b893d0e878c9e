/* SPDX-License-Identifier: MIT */
/*
 * A small machine with swap, whose programs reach their pages through emulated hardware.  Include
 * after virt/swap.h.
 */
#ifndef TESTS_SUPPORT_SWAP_FIXTURE_H
#define TESTS_SUPPORT_SWAP_FIXTURE_H

#include "support/hw_fixture.h"
#include "support/swap.h"

#define PAGEOUT 21
#define DONTNEED 4

static struct test_swap area;

/* A machine of so many MiB without swap. */
static inline void begin_mib(uint64_t mib, enum hw_kind kind, bool no_write_trap,
		      const struct ondol_profile *profile)
{
	memset(&area, 0, sizeof area);
	begin_hw_short(mib, profile, true, kind, no_write_trap, true);
}

static inline void begin_swap(enum hw_kind kind)
{
	begin_mib(4, kind, false, NULL);
	assert_int_equal(test_swap_add(&area, fx.m, 2000, 0), 0);
}

static inline void end_swap(void)
{
	hw_detach(fx.mm);
	end();
	assert_true(!area.pages || area.released);
	test_swap_free(&area);
}

static inline struct ondol_swap_stats swap_stats(void)
{
	struct ondol_swap_stats s;

	ondol_swap_stats(fx.m, &s);
	return s;
}

/* As the program would, through its hardware. */
static inline unsigned char *reach(struct ondol_mm_struct *mm, uint64_t page, uint32_t access)
{
	unsigned char *host = NULL;

	for (int tries = 0; tries < 3; tries++) {
		struct ondol_fault_result result;

		host = hw_access(&hw, mm, (unsigned)page, access, 16);
		if (host)
			return host;
		assert_int_equal(fault_at(mm, AT(page), access, 16, &result), 0);
	}
	fail_msg("page %llu does not come", (unsigned long long)page);
	return host;
}

static inline void store(struct ondol_mm_struct *mm, uint64_t page, uint64_t word)
{
	uint64_t *to = (uint64_t *)reach(mm, page, ONDOL_FAULT_WRITE);

	to[0] = word;
	to[511] = ~word;
}

static inline void assert_word(struct ondol_mm_struct *mm, uint64_t page, uint64_t word)
{
	const uint64_t *from = (uint64_t *)reach(mm, page, ONDOL_FAULT_READ);

	assert_int_equal(from[0], word);
	assert_int_equal(from[511], ~word);
}

static inline void page_out_of(struct ondol_mm_struct *mm, uint64_t page, uint64_t pages)
{
	assert_int_equal(ondol_madvise(mm, AT(page), pages * PAGE, PAGEOUT), 0);
}

static inline uint64_t entry(struct ondol_mm_struct *mm, uint64_t page)
{
	void *slot = pgtable_find(&mm->pgt, AT(page));

	return slot ? pte_get(&mm->pgt, slot) : 0;
}

static inline bool in_swap(struct ondol_mm_struct *mm, uint64_t page)
{
	return pte_is_swap(mm, entry(mm, page));
}

#endif /* TESTS_SUPPORT_SWAP_FIXTURE_H */

/* SPDX-License-Identifier: MIT */
/* mm_fixture's machine with emulated hardware, through which programs reach their pages. */
#ifndef TESTS_SUPPORT_HW_FIXTURE_H
#define TESTS_SUPPORT_HW_FIXTURE_H

#include "support/hardware.h"
#include "support/mm_fixture.h"

static struct hw hw;

static inline void hardware_broken(void *ctx, const char *text)
{
	(void)ctx;
	fail_msg("[MMU-1] %s", text);
}

/* The hardware, of which hw_init has told the machine, and its first program meet. */
static inline void hw_meet(const struct ondol_pgtable_format *format)
{
	hw.first = AT(0) / PAGE;
	hw.ram = fx.toy.ram;
	hw.m = fx.m;
	hw.format = format;
	hw.report = hardware_broken;
	hw_attach(fx.mm);
}

/* 16 MiB. */
static inline void begin_hw(enum hw_kind kind, bool no_write_trap, bool with_protect)
{
	memset(&hw, 0, sizeof hw);
	begin_with(16, NULL, hw_init(&hw, kind, no_write_trap, with_protect), &hw);
	hw_meet(&ondol_pgtable_x86_64);
}

/* A machine with one node of so much memory, and what of `desc` the caller has filled in. */
static inline void begin_hw_desc(uint64_t mib, struct ondol_machine_desc desc, enum hw_kind kind,
				 bool no_write_trap, bool with_protect)
{
	struct ondol_mem_region all = { .end = { mib << 20 }, .type = ONDOL_MEM_USABLE };

	memset(&fx, 0, sizeof fx);
	memset(&hw, 0, sizeof hw);
	desc.size = sizeof desc;
	desc.regions = &all;
	desc.nr_regions = desc.nr_nodes = desc.nr_cpus = 1;
	desc.mmu = hw_init(&hw, kind, no_write_trap, with_protect);
	desc.mmu_ctx = &hw;
	assert_int_equal(toy_init(&fx.toy, &desc), 0);
	fx.m = fx.toy.m;
	fx.mm = new_mm();
	hw_meet((desc.profile ? desc.profile : &ondol_profile_x86_64)->format);
}

/* So few that they run short: what programs map is taken back if `reclaim`. */
static inline void begin_hw_short(uint64_t mib, const struct ondol_profile *profile, bool reclaim,
				  enum hw_kind kind, bool no_write_trap, bool with_protect)
{
	struct ondol_machine_desc desc = { .profile = profile, .reclaim_mapped = reclaim };

	begin_hw_desc(mib, desc, kind, no_write_trap, with_protect);
}

#endif /* TESTS_SUPPORT_HW_FIXTURE_H */

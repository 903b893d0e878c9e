/* SPDX-License-Identifier: MIT */
/*
 * Eras of Linux as data.
 *
 * What changed when: 2.4 kept ten orders and handed out the upper half of a split; 2.6 the
 * lower half, eleven orders, per-CPU lists and (until 2.6.11) the `map`; migrate types came
 * with 2.6.24.  Address-space layouts: arch/x86/include/asm/{processor,elf}.h.
 *
 * x86_64 keeps the map although today's Linux has none: it answers "may these merge?" with
 * one bit instead of the page record of the buddy, whose cache line belongs to somebody else.
 */
#include <ondol/machine.h>

#define MIB(n) (UINT64_C(n) << 20)
#define GIB(n) (UINT64_C(n) << 30)
#define NO_END (UINT64_C(1) << 52) /* x86-64 physical addresses have at most 52 bits */

const char *ondol_lazy_name(enum ondol_lazy_policy policy)
{
	static const char *const names[ONDOL_NR_LAZY] = { "eager", "delay2", "pcp" };

	return (unsigned)policy < ONDOL_NR_LAZY ? names[policy] : "?";
}

const struct ondol_profile ondol_profile_toy16 = {
	.name = "toy16",
	.nr_orders = 5, /* 16 frames are one block of order 4 */
	.map_bitmap = true,
	.lazy = ONDOL_LAZY_EAGER,
	.zone_end = { [ONDOL_ZONE_NORMAL] = GIB(4) },
	.task_size = UINT64_C(0xc0000000),
	.mmap_min_addr = 0x1000,
	.stack_top = UINT64_C(0xc0000000),
	.exec_base_dyn = UINT64_C(0x80000000),
	.format = &ondol_pgtable_i386,
};

const struct ondol_profile ondol_profile_i386_2_4 = {
	.name = "i386-2.4",
	.nr_orders = 10,
	.map_bitmap = true,
	.split_hands_out_upper = true,
	.lazy = ONDOL_LAZY_EAGER,
	.zone_end = { [ONDOL_ZONE_DMA] = MIB(16), [ONDOL_ZONE_NORMAL] = MIB(896),
		      [ONDOL_ZONE_HIGHMEM] = GIB(4) },
	.task_size = UINT64_C(0xc0000000),
	.mmap_min_addr = 0x1000,
	.stack_top = UINT64_C(0xc0000000),
	.exec_base_dyn = UINT64_C(0x80000000),
	.format = &ondol_pgtable_i386,
};

const struct ondol_profile ondol_profile_i386_2_6 = {
	.name = "i386-2.6",
	.nr_orders = 11,
	.map_bitmap = true,
	.pcp = true,
	.lazy = ONDOL_LAZY_PCP,
	.zone_end = { [ONDOL_ZONE_DMA] = MIB(16), [ONDOL_ZONE_NORMAL] = MIB(896),
		      [ONDOL_ZONE_HIGHMEM] = GIB(64) },
	.task_size = UINT64_C(0xc0000000),
	.mmap_min_addr = 0x1000,
	.stack_top = UINT64_C(0xc0000000),
	.exec_base_dyn = UINT64_C(0x80000000),
	.format = &ondol_pgtable_i386_pae,
};

const struct ondol_profile ondol_profile_x86_64 = {
	.name = "x86_64",
	.nr_orders = 11,
	.map_bitmap = true,
	.map_from = 1, /* single frames merge on shelves */
	.migrate_types = true,
	.pcp = true,
	.lazy = ONDOL_LAZY_PCP,
	.zone_end = { [ONDOL_ZONE_DMA] = MIB(16), [ONDOL_ZONE_DMA32] = GIB(4),
		      [ONDOL_ZONE_NORMAL] = NO_END },
	.task_size = UINT64_C(0x7ffffffff000),
	.mmap_min_addr = 0x10000,
	.stack_top = UINT64_C(0x7ffffffff000),
	.exec_base_dyn = UINT64_C(0x555555554000),
	.format = &ondol_pgtable_x86_64,
};

/* SPDX-License-Identifier: MIT */
/*
 * Page-table formats, as data.  One generic walker (core/pgtable) serves all of them,
 * so every host builds and tests every format.
 *
 * Level 0 holds leaf entries for base pages; the root is level nr_levels - 1.
 *
 *          Intel/AMD   level
 *          PML5E         4
 *          PML4E         3
 *          PDPTE         2
 *          PDE           1
 *          PTE           0
 */
#ifndef ONDOL_PGTABLE_H
#define ONDOL_PGTABLE_H

#include <ondol/types.h>

ONDOL_BEGIN_DECLS

#define ONDOL_PGTABLE_LEVELS_MAX 5

enum ondol_prot {
	ONDOL_PROT_READ = 1u << 0,
	ONDOL_PROT_WRITE = 1u << 1,
	ONDOL_PROT_EXEC = 1u << 2,
	ONDOL_PROT_USER = 1u << 3,
};

struct ondol_pte_view { /* an entry, decoded */
	bool present, leaf, accessed, dirty;
	uint32_t prot;          /* ONDOL_PROT_* */
	ondol_phys_addr_t phys; /* the frame, or the next table */
};

struct ondol_pgtable_level {
	uint8_t shift;    /* lowest virtual-address bit of this level's index */
	uint8_t bits;     /* index width; the table has 2^bits entries */
	bool may_be_leaf; /* huge page possible here */
};

struct ondol_pgtable_format {
	const char *name;   /* "x86_64-4level" */
	const char *manual; /* "Intel SDM 3A, 4.5" */
	uint8_t nr_levels;
	uint8_t pte_size; /* bytes: 4 or 8 */
	uint8_t va_bits, pa_bits;
	bool va_sign_extended;
	uint32_t prot_implied; /* granted to every leaf: i386 has no NX */
	struct ondol_pgtable_level level[ONDOL_PGTABLE_LEVELS_MAX];

	/*
	 * Enough to translate without an indirect call.  With e an entry, l its level:
	 *   absent  (e & present_mask) == 0
	 *   table   l > 0 and (e & leaf_mask) == 0
	 *   phys    e & phys_mask
	 */
	uint64_t present_mask, leaf_mask, phys_mask;
	uint64_t write_mask, user_mask, no_exec_mask, accessed_mask, dirty_mask;
	/*
	 * In an absent level-0 entry, and there alone: it names a slot of swap space, in the bits
	 * of phys_mask.  The processor ignores such an entry.  0: the format has no room for that.
	 */
	uint64_t swap_mask;

	/* Pure functions, consistent with the masks.  All-zero bits: an absent entry. */
	ondol_pte_t (*make_leaf)(ondol_phys_addr_t pa, uint32_t prot, uint8_t level);
	ondol_pte_t (*make_table)(ondol_phys_addr_t pa, uint8_t level);
	struct ondol_pte_view (*view)(ondol_pte_t pte, uint8_t level);
};

extern const struct ondol_pgtable_format ondol_pgtable_toy_1k;       /* 1 KiB pages (G4) */
extern const struct ondol_pgtable_format ondol_pgtable_i386;         /* 2 level */
extern const struct ondol_pgtable_format ondol_pgtable_i386_pae;     /* 3 level */
extern const struct ondol_pgtable_format ondol_pgtable_x86_64;       /* 4 level */
extern const struct ondol_pgtable_format ondol_pgtable_x86_64_la57;  /* 5 level */

ONDOL_END_DECLS
#endif /* ONDOL_PGTABLE_H */

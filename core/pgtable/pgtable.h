/* SPDX-License-Identifier: MIT */
/* One page-table walker for every format: see pgtable.c. */
#ifndef ONDOL_PGTABLE_PGTABLE_H
#define ONDOL_PGTABLE_PGTABLE_H

#include <ondol/pgtable.h>

#include "phys/machine.h"

#if defined(__clang__)
#define PGTABLE_UNROLL _Pragma("unroll")
#else
#define PGTABLE_UNROLL _Pragma("GCC unroll 5")
#endif

/* The tables of one address space.  Whoever may change the address space may write it. */
struct pgtable {
	struct ondol_machine *m;                   /* (c) */
	const struct ondol_pgtable_format *format; /* (c) */
	unsigned char *direct_map;                 /* (c) the port's */
	void *root;                                /* (c) host address of the top table */
	ondol_phys_addr_t root_pa;                 /* (c) what CR3 would hold */
	uint64_t nr_tables;                        /* the root included, and shadows */
	uint64_t nr_huge;                          /* large leaves of level 1 */
	bool is_x86_64;                            /* (c) take the constant-format walker */
	bool hw_walker;                            /* (c) hardware sets A and D by itself */
};

/*
 * The 4-level format of x86-64 once more, visible to the compiler: the walker instantiated
 * with it has constant shifts and masks.  A unit test holds it equal to the real one.
 */
static const struct ondol_pgtable_format pgtable_const_x86_64 = {
	.nr_levels = 4,
	.pte_size = 8,
	.va_bits = 48,
	.pa_bits = 52,
	.va_sign_extended = true,
	.prot_implied = ONDOL_PROT_READ,
	.level = { { 12, 9, false }, { 21, 9, true }, { 30, 9, true }, { 39, 9, false } },
	.present_mask = 0x1,
	.leaf_mask = 0x80,
	.phys_mask = UINT64_C(0x000ffffffffff000),
	.write_mask = 0x2,
	.user_mask = 0x4,
	.no_exec_mask = UINT64_C(1) << 63,
	.accessed_mask = 0x20,
	.dirty_mask = 0x40,
	.swap_mask = 0x200,
};

static inline __attribute__((always_inline)) uint64_t
pgtable_load(const struct ondol_pgtable_format *f, const void *slot)
{
	return f->pte_size == 8 ? *(const uint64_t *)slot : *(const uint32_t *)slot;
}

static inline __attribute__((always_inline)) void *
pgtable_index(const struct ondol_pgtable_format *f, void *table, uint64_t addr, unsigned level)
{
	uint64_t index = (addr >> f->level[level].shift) &
			 ((UINT64_C(1) << f->level[level].bits) - 1);

	return (unsigned char *)table + index * f->pte_size;
}

static inline __attribute__((always_inline)) bool
pgtable_is_table(const struct ondol_pgtable_format *f, uint64_t entry)
{
	return (entry & f->present_mask) && !(entry & f->leaf_mask);
}

static inline __attribute__((always_inline)) bool
pgtable_is_leaf(const struct ondol_pgtable_format *f, uint64_t entry)
{
	return (entry & f->present_mask) && (entry & f->leaf_mask);
}

/* The entry of addr's base page in the shadow of the large leaf at `slot`; NULL: it is no leaf. */
void *pgtable_shadow_slot(const struct pgtable *pt, const void *slot, uint64_t addr);

/* The walk, large leaves and their shadows included.  NULL: a table on the way is missing. */
static inline __attribute__((always_inline)) void *
pgtable_walk(const struct pgtable *pt, const struct ondol_pgtable_format *f, uint64_t addr)
{
	void *table = pt->root;

	PGTABLE_UNROLL
	for (unsigned level = f->nr_levels - 1; level > 0; level--) {
		void *slot = pgtable_index(f, table, addr, level);
		uint64_t entry = pgtable_load(f, slot);

		if (ondol_unlikely(!pgtable_is_table(f, entry)))
			return level == 1 ? pgtable_shadow_slot(pt, slot, addr) : NULL;
		table = pt->direct_map + (entry & f->phys_mask);
	}
	return pgtable_index(f, table, addr, 0);
}

/* The slot of addr's base page, or NULL when its table does not exist. */
static inline void *pgtable_find(const struct pgtable *pt, uint64_t addr)
{
	if (ondol_likely(pt->is_x86_64))
		return pgtable_walk(pt, &pgtable_const_x86_64, addr);
	return pgtable_walk(pt, pt->format, addr);
}

static inline uint64_t pte_get(const struct pgtable *pt, const void *slot)
{
	return ondol_likely(pt->is_x86_64) ? *(const uint64_t *)slot
					   : pgtable_load(pt->format, slot);
}

static inline void pte_set(const struct pgtable *pt, void *slot, uint64_t value)
{
	if (ondol_likely(pt->is_x86_64) || pt->format->pte_size == 8)
		*(uint64_t *)slot = value;
	else
		*(uint32_t *)slot = (uint32_t)value;
}

/* Put `value` in place and return what was there, with the last A and D the hardware set. */
uint64_t pte_exchange_hw(const struct pgtable *pt, void *slot, uint64_t value);
static inline uint64_t pte_exchange(const struct pgtable *pt, void *slot, uint64_t value)
{
	uint64_t old;

	if (ondol_unlikely(pt->hw_walker))
		return pte_exchange_hw(pt, slot, value);
	old = pte_get(pt, slot);
	pte_set(pt, slot, value);
	return old;
}

/* Set bits without losing those that the hardware sets meanwhile. */
void pte_or_hw(const struct pgtable *pt, void *slot, uint64_t bits);
static inline void pte_or(const struct pgtable *pt, void *slot, uint64_t bits)
{
	if (ondol_unlikely(pt->hw_walker))
		pte_or_hw(pt, slot, bits);
	else
		pte_set(pt, slot, pte_get(pt, slot) | bits);
}

static inline void *pte_next(const struct pgtable *pt, void *slot)
{
	return (unsigned char *)slot + pt->format->pte_size;
}

static inline void *pte_at(const struct pgtable *pt, void *slot, uint64_t n)
{
	return (unsigned char *)slot + n * pt->format->pte_size;
}

/*
 * -ONDOL_EINVAL: a format the walker cannot serve (tables beyond one frame);
 * -ONDOL_ENOMEM.
 */
ONDOL_MUST_CHECK int pgtable_init(struct pgtable *pt, struct ondol_machine *m,
				  const struct ondol_pgtable_format *format);
/* Free every table.  Entries are forgotten: who mapped frames has let go of them before. */
void pgtable_fini(struct pgtable *pt);

/*
 * As pgtable_find, but makes the tables that are missing.  NULL: no memory; the tables made
 * so far stay until pgtable_unlink_range finds them empty of regions.
 */
void *pgtable_make(struct pgtable *pt, uint64_t addr);
/* The slot at a higher level, for a large page; NULL: none, or no memory with `make`. */
void *pgtable_slot(struct pgtable *pt, uint64_t addr, unsigned level, bool make);

/* Consecutive slots of one table that exist. */
struct pgtable_span {
	void *slot;
	uint64_t addr, end; /* addresses the slots stand for; end is at most what was asked */
};
/*
 * The first existing table of `level` (0: leaf tables, shadows included) that overlaps
 * [addr, end), and what of it lies inside.  false: none.  Costs what exists, not what is spanned.
 */
bool pgtable_next(const struct pgtable *pt, unsigned level, uint64_t addr, uint64_t end,
		  struct pgtable_span *out_span);

#define pgtable_for_each_span(pt, span, start, stop)                                           \
	for (uint64_t pos_ = (start);                                                         \
	     pos_ < (stop) && pgtable_next(pt, 0, pos_, stop, &(span)); pos_ = (span).end)

/* The slot of the large leaf that addr is under, or NULL. */
void *pgtable_huge_find(const struct pgtable *pt, uint64_t addr);
/*
 * The table at addr, full of entries of frames that follow each other from an aligned one on, all
 * private, becomes the shadow of `leaf`.  Returns whether hardware may have cached the way through
 * it.
 */
bool pgtable_huge_make(struct pgtable *pt, uint64_t addr, uint64_t leaf);
/* The leaf gives way to its shadow, an ordinary table then; what it was.  Or to nothing. */
uint64_t pgtable_huge_split(struct pgtable *pt, void *slot);
struct ondol_page *pgtable_huge_unlink(struct pgtable *pt, void *slot);
/* What a large leaf of level 1 maps. */
static inline uint64_t pgtable_huge_size(const struct pgtable *pt)
{
	return UINT64_C(1) << pt->format->level[1].shift;
}

/*
 * Unlink the tables that overlap [start, end) and lie wholly within [floor, ceiling), where
 * no region is any more.  They are put on *chain (page indices, ONDOL_PAGE_NIL ends it) for
 * pgtable_release, which must wait until no hardware can be walking them.  Returns whether
 * hardware may have cached the way through one of them.
 */
bool pgtable_unlink_range(struct pgtable *pt, uint64_t start, uint64_t end, uint64_t floor,
			  uint64_t ceiling, uint32_t *chain);
void pgtable_release(struct pgtable *pt, uint32_t chain);

/* log2 of the bytes that one leaf at level 0 maps. */
static inline unsigned pgtable_page_shift(const struct pgtable *pt)
{
	return pt->format->level[0].shift;
}

/* Bytes of address space that one table of `level` covers: a shift. */
static inline unsigned pgtable_table_shift(const struct ondol_pgtable_format *f, unsigned level)
{
	return f->level[level].shift + f->level[level].bits;
}

/* Whether addr is one that the format can translate at all (canonical, A2). */
bool pgtable_addr_valid(const struct ondol_pgtable_format *f, uint64_t addr);

/*
 * What the hardware does with an address (G4, G5): -ONDOL_EFAULT when not canonical, not
 * present or the leaf does not grant all of `prot` (0: whatever it grants).
 */
ONDOL_MUST_CHECK int pgtable_translate(const struct pgtable *pt, uint64_t addr, uint32_t prot,
				       ondol_phys_addr_t *out_pa, struct ondol_pte_view *out_view);

#endif /* ONDOL_PGTABLE_PGTABLE_H */

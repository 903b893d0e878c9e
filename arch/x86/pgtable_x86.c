/* SPDX-License-Identifier: MIT */
/*
 * The page-table formats of Intel and AMD processors, as data, and a toy relative of them.
 *
 * Every entry has the same low bits; what differs is the width of an entry, how many
 * levels there are, and which levels may end the walk with a large page (PS).
 *
 *   One entry (Intel SDM volume 3A, section 4.3 table 4-6, 4.4.2 table 4-11, 4.5.4
 *   table 4-20):
 *
 *    63  62..59 58..52 51 .......... 12 11..9 8  7    6  5  4   3   2   1   0
 *   +---+------+------+----------------+-----+--+----+--+--+---+---+---+---+---+
 *   |XD | key  | free | frame          | free|G |PS/ |D |A |PCD|PWT|U/S|R/W| P |
 *   +---+------+------+----------------+-----+--+PAT-+--+--+---+---+---+---+---+
 *                      \____ bits 31..12 in a 4-byte entry
 *
 *   P    present: with P = 0 the processor ignores every other bit; bit 9, free for us, then
 *        tells that the frame bits are the number of a swap slot
 *   R/W  writable; U/S  reachable from ring 3; XD  no instruction fetch (8-byte entries)
 *   A    set by the processor at the first use; D  at the first write (leaves only)
 *   PS   bit 7 above level 0: the entry maps a large page instead of naming a table.
 *        In a level-0 entry the same bit selects a memory type (PAT), in a large page
 *        that is bit 12.  We leave PAT, PCD, PWT, G and the keys at 0.
 *
 * The processor grants what every level grants; tables here grant everything, the leaf
 * decides.  There is no bit for "may be read": a present page can be.  So a page that
 * nobody may touch is a leaf without PROT_USER.
 */
#include <ondol/pgtable.h>

#define X86_P (UINT64_C(1) << 0)
#define X86_RW (UINT64_C(1) << 1)
#define X86_US (UINT64_C(1) << 2)
#define X86_A (UINT64_C(1) << 5)
#define X86_D (UINT64_C(1) << 6)
#define X86_PS (UINT64_C(1) << 7)
#define X86_SWAP (UINT64_C(1) << 9)
#define X86_XD (UINT64_C(1) << 63)

#define TOY_FRAME UINT64_C(0xfffffc00)           /* bits 31..10 */
#define I386_FRAME UINT64_C(0xfffff000)          /* bits 31..12 */
#define X86_64_FRAME UINT64_C(0x000ffffffffff000) /* bits 51..12: MAXPHYADDR is 52 at most */

static inline uint64_t x86_rights(uint32_t prot)
{
	return X86_P | (prot & ONDOL_PROT_WRITE ? X86_RW : 0) |
	       (prot & ONDOL_PROT_USER ? X86_US : 0);
}

/* `shift`: log2 of the page a leaf at this level maps. */
static inline uint64_t x86_leaf_frame(uint64_t pa, uint64_t frame_mask, unsigned shift)
{
	return pa & frame_mask & ~((UINT64_C(1) << shift) - 1);
}

static inline struct ondol_pte_view x86_view(ondol_pte_t pte, bool leaf, uint64_t frame_mask,
					     unsigned shift, uint32_t prot_implied)
{
	struct ondol_pte_view v = { .present = false };
	uint64_t e = pte.value;

	if (!(e & X86_P))
		return v;
	v.present = true;
	v.leaf = leaf;
	v.accessed = (e & X86_A) != 0;
	if (!leaf) {
		v.prot = ONDOL_PROT_READ | ONDOL_PROT_WRITE | ONDOL_PROT_EXEC | ONDOL_PROT_USER;
		v.phys = ondol_phys_addr(e & frame_mask);
		return v;
	}
	v.dirty = (e & X86_D) != 0;
	v.prot = prot_implied;
	if (e & X86_RW)
		v.prot |= ONDOL_PROT_WRITE;
	if (e & X86_US)
		v.prot |= ONDOL_PROT_USER;
	if (!(e & X86_XD))
		v.prot |= ONDOL_PROT_EXEC;
	v.phys = ondol_phys_addr(x86_leaf_frame(e, frame_mask, shift));
	return v;
}

/*
 * toy_1k: the notes' page table (G4).  1 KiB pages; the one table is one page of 256 4-byte
 * entries, so the address space is 256 KiB.
 *
 *    31 ........ 10 9..7 6 5 4 3 2   1   0        address  17 ...... 10 9 ...... 0
 *   | frame        |    |D|A|   |U/S|R/W| P |             | entry      | offset   |
 */
static ondol_pte_t toy_make_leaf(ondol_phys_addr_t pa, uint32_t prot, uint8_t level)
{
	(void)level;
	return (ondol_pte_t){ x86_leaf_frame(pa.value, TOY_FRAME, 10) | x86_rights(prot) };
}

static ondol_pte_t toy_make_table(ondol_phys_addr_t pa, uint8_t level)
{
	(void)level; /* there is no level above the leaves */
	return (ondol_pte_t){ (pa.value & TOY_FRAME) | X86_P | X86_RW | X86_US };
}

static struct ondol_pte_view toy_view(ondol_pte_t pte, uint8_t level)
{
	return x86_view(pte, level == 0, TOY_FRAME, 10, ONDOL_PROT_READ | ONDOL_PROT_EXEC);
}

const struct ondol_pgtable_format ondol_pgtable_toy_1k = {
	.name = "toy-1k",
	.manual = "the notes' example, not a processor's",
	.nr_levels = 1,
	.pte_size = 4,
	.va_bits = 18,
	.pa_bits = 32,
	.prot_implied = ONDOL_PROT_READ | ONDOL_PROT_EXEC,
	.level = { { .shift = 10, .bits = 8 } },
	.present_mask = X86_P,
	.phys_mask = TOY_FRAME,
	.write_mask = X86_RW,
	.user_mask = X86_US,
	.accessed_mask = X86_A,
	.dirty_mask = X86_D,
	.make_leaf = toy_make_leaf,
	.make_table = toy_make_table,
	.view = toy_view,
};

/*
 * i386: 32-bit paging (SDM 3A, section 4.3).  4-byte entries, 1024 to a table; the upper
 * level may map 4 MiB pages (CR4.PSE; without PSE-36, so frames stay below 4 GiB).
 * Nothing forbids execution.
 *
 *   address  31 ....... 22 21 ....... 12 11 ...... 0
 *           | PDE         | PTE         | offset    |
 */
static inline unsigned i386_shift(uint8_t level)
{
	return level ? 22 : 12;
}

static ondol_pte_t i386_make_leaf(ondol_phys_addr_t pa, uint32_t prot, uint8_t level)
{
	return (ondol_pte_t){ x86_leaf_frame(pa.value, I386_FRAME, i386_shift(level)) |
			      x86_rights(prot) | (level ? X86_PS : 0) };
}

static ondol_pte_t i386_make_table(ondol_phys_addr_t pa, uint8_t level)
{
	(void)level;
	return (ondol_pte_t){ (pa.value & I386_FRAME) | X86_P | X86_RW | X86_US };
}

static struct ondol_pte_view i386_view(ondol_pte_t pte, uint8_t level)
{
	return x86_view(pte, level == 0 || (pte.value & X86_PS), I386_FRAME, i386_shift(level),
			ONDOL_PROT_READ | ONDOL_PROT_EXEC);
}

const struct ondol_pgtable_format ondol_pgtable_i386 = {
	.name = "i386-2level",
	.manual = "Intel SDM 3A, 4.3: 32-bit paging",
	.nr_levels = 2,
	.pte_size = 4,
	.va_bits = 32,
	.pa_bits = 32,
	.prot_implied = ONDOL_PROT_READ | ONDOL_PROT_EXEC,
	.level = {
		{ .shift = 12, .bits = 10 },
		{ .shift = 22, .bits = 10, .may_be_leaf = true },
	},
	.present_mask = X86_P,
	.leaf_mask = X86_PS,
	.phys_mask = I386_FRAME,
	.write_mask = X86_RW,
	.user_mask = X86_US,
	.accessed_mask = X86_A,
	.dirty_mask = X86_D,
	.swap_mask = X86_SWAP,
	.make_leaf = i386_make_leaf,
	.make_table = i386_make_table,
	.view = i386_view,
};

/*
 * 8-byte entries, 512 to a table, with XD (IA32_EFER.NXE = 1).  Used by PAE, 4-level and
 * 5-level paging.
 */
static inline unsigned wide_shift(uint8_t level)
{
	return 12u + 9u * level;
}

static ondol_pte_t wide_make_leaf(ondol_phys_addr_t pa, uint32_t prot, uint8_t level)
{
	return (ondol_pte_t){ x86_leaf_frame(pa.value, X86_64_FRAME, wide_shift(level)) |
			      x86_rights(prot) | (level ? X86_PS : 0) |
			      (prot & ONDOL_PROT_EXEC ? 0 : X86_XD) };
}

static ondol_pte_t wide_make_table(ondol_phys_addr_t pa, uint8_t level)
{
	(void)level;
	return (ondol_pte_t){ (pa.value & X86_64_FRAME) | X86_P | X86_RW | X86_US };
}

static struct ondol_pte_view wide_view(ondol_pte_t pte, uint8_t level)
{
	return x86_view(pte, level == 0 || (pte.value & X86_PS), X86_64_FRAME, wide_shift(level),
			ONDOL_PROT_READ);
}

/*
 * i386 PAE (SDM 3A, section 4.4): three levels.  The top table has only 4 entries
 * (PDPTEs, table 4-8), which the processor loads with CR3 and which have no rights:
 *
 *    63 ... 52 51 .......... 12 11..9 8..5     4   3   2..1     0
 *   |reserved | page directory |free |reserved|PCD|PWT|reserved| P |
 *
 *   address  31 30 29 ....... 21 20 ....... 12 11 ...... 0
 *           |PDPTE| PDE         | PTE         | offset    |
 */
static ondol_pte_t pae_make_table(ondol_phys_addr_t pa, uint8_t level)
{
	if (level == 2) /* R/W, U/S and A are reserved: they must be 0 */
		return (ondol_pte_t){ (pa.value & X86_64_FRAME) | X86_P };
	return wide_make_table(pa, level);
}

const struct ondol_pgtable_format ondol_pgtable_i386_pae = {
	.name = "i386-pae",
	.manual = "Intel SDM 3A, 4.4: PAE paging",
	.nr_levels = 3,
	.pte_size = 8,
	.va_bits = 32,
	.pa_bits = 52,
	.prot_implied = ONDOL_PROT_READ,
	.level = {
		{ .shift = 12, .bits = 9 },
		{ .shift = 21, .bits = 9, .may_be_leaf = true },
		{ .shift = 30, .bits = 2 },
	},
	.present_mask = X86_P,
	.leaf_mask = X86_PS,
	.phys_mask = X86_64_FRAME,
	.write_mask = X86_RW,
	.user_mask = X86_US,
	.no_exec_mask = X86_XD,
	.accessed_mask = X86_A,
	.dirty_mask = X86_D,
	.swap_mask = X86_SWAP,
	.make_leaf = wide_make_leaf,
	.make_table = pae_make_table,
	.view = wide_view,
};

/*
 * x86-64 (SDM 3A, section 4.5): four levels, or five with CR4.LA57.  Addresses are
 * canonical: every bit above the highest index repeats it.  2 MiB pages at level 1, 1 GiB
 * pages at level 2 (CPUID.80000001H:EDX.Page1GB).
 *
 *   address  56 ..... 48 47 ..... 39 38 ..... 30 29 ..... 21 20 ..... 12 11 ..... 0
 *           | PML5E     | PML4E     | PDPTE     | PDE       | PTE       | offset   |
 */
#define X86_64_COMMON                                                                         \
	.pte_size = 8, .pa_bits = 52, .va_sign_extended = true,                               \
	.prot_implied = ONDOL_PROT_READ, .present_mask = X86_P, .leaf_mask = X86_PS,          \
	.phys_mask = X86_64_FRAME, .write_mask = X86_RW, .user_mask = X86_US,                 \
	.no_exec_mask = X86_XD, .accessed_mask = X86_A, .dirty_mask = X86_D,                  \
	.swap_mask = X86_SWAP,                                                                \
	.make_leaf = wide_make_leaf, .make_table = wide_make_table, .view = wide_view

const struct ondol_pgtable_format ondol_pgtable_x86_64 = {
	.name = "x86_64-4level",
	.manual = "Intel SDM 3A, 4.5: 4-level paging",
	.nr_levels = 4,
	.va_bits = 48,
	.level = {
		{ .shift = 12, .bits = 9 },
		{ .shift = 21, .bits = 9, .may_be_leaf = true },
		{ .shift = 30, .bits = 9, .may_be_leaf = true },
		{ .shift = 39, .bits = 9 },
	},
	X86_64_COMMON,
};

const struct ondol_pgtable_format ondol_pgtable_x86_64_la57 = {
	.name = "x86_64-5level",
	.manual = "Intel SDM 3A, 4.5: 5-level paging",
	.nr_levels = 5,
	.va_bits = 57,
	.level = {
		{ .shift = 12, .bits = 9 },
		{ .shift = 21, .bits = 9, .may_be_leaf = true },
		{ .shift = 30, .bits = 9, .may_be_leaf = true },
		{ .shift = 39, .bits = 9 },
		{ .shift = 48, .bits = 9 },
	},
	X86_64_COMMON,
};

/* SPDX-License-Identifier: MIT */
/*
 * Page tables: the tree that the hardware walks, and we with it.
 *
 * 1 What problem.  One array from page to frame would be larger than most memories: 4 MiB a
 *   task on i386, 512 GiB for 48-bit addresses (G9).  A tree of small tables has a table only
 *   where something is mapped.
 *
 * 2 Terms.  table: 2^bits entries, in one frame.  level: 0 holds leaves (an entry that names
 *   a frame of data), the highest is the root.  slot: the place of an entry.  The hardware's
 *   division of an address is shifting and masking (G5):
 *
 *        address    47 ... 39 38 ... 30 29 ... 21 20 ... 12 11 ...... 0
 *                  |  idx 3  |  idx 2  |  idx 1  |  idx 0  |  offset   |
 *                       |         |         |         |          |
 *        root --> [ ....e.. ]     |         |         |          |
 *                       `--> [ ...e.... ]   |         |          |
 *                                 `--> [ ...e... ]    |          |
 *                                           `--> [ ...e... ]     |
 *                                                     `--> frame + offset
 *
 * 3 How it works.  A format is data (struct ondol_pgtable_format); the walk is one loop over
 *   it.  Inlined with the constant 4-level format it is four dependent loads; for every other
 *   format the shifts and masks are loaded.  Tables are frames of the machine itself, in the
 *   format that real hardware reads, reached through the direct map.
 *
 *   A range operation goes from existing table to existing table: an absent entry at level l
 *   skips everything below it, so the cost follows what is mapped.
 *
 *   A large leaf of level 1 maps what a whole table would.  Behind it stands such a table, its
 *   shadow, which no hardware sees: with an entry for each page, as if there were no leaf.  So
 *   whoever goes from entry to entry finds them all, and taking the leaf away (`split`) is one
 *   write and cannot fail.  Where the shadow is, the record of the leaf's first frame says.
 *   Hardware sets A and D in the leaf; who looks at the shadow finds them in every entry.
 *
 *	          leaf or table                      frames, one after the other
 *	level 1  [ ..L.. ] ------------------------> |0|1|2| ...       |511|
 *	              : data.index of frame 0          ^ ^ ^             ^
 *	              :....> shadow [ e e e ... e ] ---'-'-'-------------'
 *
 *   Who changes entries under a leaf splits it first, but for A and D where software sets them.
 *
 *   Tables do not count their entries.  A table goes when no region overlaps the addresses it
 *   covers; the caller knows its regions and says so with floor and ceiling.
 *
 * 4 Invariants.
 *   [PGTABLE-1] Every table is a frame of use PGTABLE; nr_tables counts them, root included.
 *   [PGTABLE-2] Every table but the root covers some address of some region.
 *   [PGTABLE-3] Every present leaf lies inside a region that may have frames.
 *   [PGTABLE-4] A leaf grants no right that its region does not.
 *   [PGTABLE-5] A large leaf maps what its shadow's entries do, with the same rights, and lies in
 *               one private anonymous region; nr_huge counts them.
 *
 * 5 Concurrency.  The caller's lock on the address space; hardware may set A and D at any
 *   time, hence pte_exchange and pte_or wherever a bit would otherwise be lost.
 * 6 What can fail.  Making a table: NULL, and the tables above it stay (empty tables are
 *   legal; they go with their region).
 * 7 How to see it.  ondol_mm_stats.pgtables_bytes, VmPTE in ondol_proc_status_vm.
 * 8 Sources.  Intel SDM volume 3A chapter 4; Linux mm/memory.c (free_pgtables) for floor and
 *   ceiling; illumos i86pc/vm/hat_pte.h for formats as data.
 */
#include "pgtable/pgtable.h"

#include "base/math.h"

uint64_t pte_exchange_hw(const struct pgtable *pt, void *slot, uint64_t value)
{
	if (pt->format->pte_size == 8)
		return __atomic_exchange_n((uint64_t *)slot, value, __ATOMIC_ACQ_REL);
	return __atomic_exchange_n((uint32_t *)slot, (uint32_t)value, __ATOMIC_ACQ_REL);
}

void pte_or_hw(const struct pgtable *pt, void *slot, uint64_t bits)
{
	if (pt->format->pte_size == 8)
		__atomic_fetch_or((uint64_t *)slot, bits, __ATOMIC_ACQ_REL);
	else
		__atomic_fetch_or((uint32_t *)slot, (uint32_t)bits, __ATOMIC_ACQ_REL);
}

static struct ondol_page *alloc_table(struct pgtable *pt)
{
	struct ondol_page *page = ondol_alloc_pages(pt->m, ONDOL_GFP_KERNEL | ONDOL_GFP_ZERO, 0);

	if (!page)
		return NULL;
	ondol_page_set_use(pt->m, page, ONDOL_PAGE_PGTABLE);
	pt->nr_tables++;
	return page;
}

int pgtable_init(struct pgtable *pt, struct ondol_machine *m,
		 const struct ondol_pgtable_format *format)
{
	struct ondol_page *page;

	for (unsigned level = 0; level < format->nr_levels; level++)
		if (((uint64_t)format->pte_size << format->level[level].bits) > ONDOL_PAGE_SIZE)
			return -ONDOL_EINVAL;
	if (!format->nr_levels || format->nr_levels > ONDOL_PGTABLE_LEVELS_MAX)
		return -ONDOL_EINVAL;
	*pt = (struct pgtable){
		.m = m,
		.format = format,
		.direct_map = m->port->direct_map,
		.is_x86_64 = format == &ondol_pgtable_x86_64,
		.hw_walker = m->mmu && !(m->mmu->flags & ONDOL_MMU_SOFTWARE_FILL),
	};
	page = alloc_table(pt);
	if (!page)
		return -ONDOL_ENOMEM;
	pt->root_pa = ondol_phys_addr(machine_page_pfn(m, page) << ONDOL_PAGE_SHIFT);
	pt->root = pt->direct_map + pt->root_pa.value;
	return 0;
}

static struct ondol_page *table_page(const struct pgtable *pt, uint64_t pa)
{
	return machine_page(pt->m, pa >> ONDOL_PAGE_SHIFT);
}

/* ------------------------------------------------------------------ large leaves */

/* The shadow of the leaf that `entry` is, up to date. */
static unsigned char *shadow_of(const struct pgtable *pt, uint64_t entry)
{
	const struct ondol_pgtable_format *f = pt->format;
	const struct ondol_page *frame = table_page(pt, entry & f->phys_mask);
	uint64_t pfn = pt->m->first_pfn + frame->data.index;
	uint64_t set = entry & (f->accessed_mask | f->dirty_mask);
	unsigned char *table = pt->direct_map + (pfn << ONDOL_PAGE_SHIFT), *slot = table;

	/* Software sets them in the shadow itself. */
	for (uint64_t i = 0; set && pt->hw_walker && i < UINT64_C(1) << f->level[0].bits; i++) {
		pte_set(pt, slot, pte_get(pt, slot) | set);
		slot += f->pte_size;
	}
	return table;
}

void *pgtable_shadow_slot(const struct pgtable *pt, const void *slot, uint64_t addr)
{
	uint64_t entry = pgtable_load(pt->format, slot);

	if (!pgtable_is_leaf(pt->format, entry))
		return NULL;
	return pgtable_index(pt->format, shadow_of(pt, entry), addr, 0);
}

void *pgtable_huge_find(const struct pgtable *pt, uint64_t addr)
{
	const struct ondol_pgtable_format *f = pt->format;
	void *table = pt->root, *slot = NULL;

	for (unsigned level = f->nr_levels - 1u; level > 0; level--) {
		uint64_t entry;

		slot = pgtable_index(f, table, addr, level);
		entry = pgtable_load(f, slot);
		if (!pgtable_is_table(f, entry))
			return level == 1 && pgtable_is_leaf(f, entry) ? slot : NULL;
		table = pt->direct_map + (entry & f->phys_mask);
	}
	return NULL;
}

bool pgtable_huge_make(struct pgtable *pt, uint64_t addr, uint64_t leaf)
{
	const struct ondol_pgtable_format *f = pt->format;
	void *slot = pgtable_slot(pt, addr, 1, false);
	uint64_t table = pgtable_load(f, slot);

	table_page(pt, leaf & f->phys_mask)->data.index =
		(uint32_t)(((table & f->phys_mask) >> ONDOL_PAGE_SHIFT) - pt->m->first_pfn);
	table = pte_exchange(pt, slot, leaf);
	pt->nr_huge++;
	return (table & f->accessed_mask) != 0;
}

uint64_t pgtable_huge_split(struct pgtable *pt, void *slot)
{
	uint64_t entry = pte_exchange(pt, slot, 0);
	ondol_phys_addr_t pa = { (uint64_t)(shadow_of(pt, entry) - pt->direct_map) };

	pte_set(pt, slot, pt->format->make_table(pa, 1).value);
	pt->nr_huge--;
	return entry;
}

struct ondol_page *pgtable_huge_unlink(struct pgtable *pt, void *slot)
{
	uint64_t entry = pte_exchange(pt, slot, 0);

	pt->nr_huge--;
	return table_page(pt, (uint64_t)(shadow_of(pt, entry) - pt->direct_map));
}

/* ------------------------------------------------------------------ tables */

void *pgtable_slot(struct pgtable *pt, uint64_t addr, unsigned level, bool make)
{
	const struct ondol_pgtable_format *f = pt->format;
	void *table = pt->root;

	for (unsigned l = f->nr_levels - 1u; l > level; l--) {
		void *slot = pgtable_index(f, table, addr, l);
		uint64_t entry = pgtable_load(f, slot);

		if (!pgtable_is_table(f, entry)) {
			struct ondol_page *page;

			if (!make || (entry & f->present_mask))
				return NULL;
			page = alloc_table(pt);
			if (!page)
				return NULL;
			entry = f->make_table(ondol_phys_addr(machine_page_pfn(pt->m, page)
							      << ONDOL_PAGE_SHIFT),
					      (uint8_t)l).value;
			pte_set(pt, slot, entry);
		}
		table = pt->direct_map + (entry & f->phys_mask);
	}
	return pgtable_index(f, table, addr, level);
}

void *pgtable_make(struct pgtable *pt, uint64_t addr)
{
	void *slot = pgtable_find(pt, addr);

	return ondol_likely(slot) ? slot : pgtable_slot(pt, addr, 0, true);
}

/*
 * From the entry for addr at level l on, the first one that names a table or, at level 1, is a
 * large leaf, in the same table of entries.  Moves addr to its start; false: none before end or
 * the table's end, and addr is where to go on.
 */
static bool skip_absent(const struct ondol_pgtable_format *f, void *table, unsigned l,
			uint64_t *addr, uint64_t end, uint64_t *out_entry)
{
	uint64_t step = UINT64_C(1) << f->level[l].shift;
	uint64_t n = UINT64_C(1) << f->level[l].bits;
	uint64_t index = (*addr >> f->level[l].shift) & (n - 1);
	unsigned char *slot = (unsigned char *)table + index * f->pte_size;

	for (; index < n; index++, slot += f->pte_size) {
		*out_entry = pgtable_load(f, slot);
		if (pgtable_is_table(f, *out_entry) ||
		    (l == 1 && pgtable_is_leaf(f, *out_entry)))
			return true;
		*addr = (*addr & ~(step - 1)) + step;
		if (*addr >= end || !*addr) {
			*addr = end;
			return false;
		}
	}
	return false;
}

bool pgtable_next(const struct pgtable *pt, unsigned level, uint64_t addr, uint64_t end,
		  struct pgtable_span *out_span)
{
	const struct ondol_pgtable_format *f = pt->format;
	unsigned top = f->nr_levels - 1u;
	uint64_t table_size, entry;

	while (addr < end) {
		void *table = pt->root;
		unsigned l = top;

		for (; l > level; l--) {
			if (!skip_absent(f, table, l, &addr, end, &entry))
				break;
			table = pgtable_is_table(f, entry) ?
					pt->direct_map + (entry & f->phys_mask) :
					shadow_of(pt, entry);
		}
		if (l > level) {
			if (l == top)
				return false; /* the root has no more */
			continue;
		}
		table_size = UINT64_C(1) << pgtable_table_shift(f, level);
		out_span->slot = pgtable_index(f, table, addr, level);
		out_span->addr = addr;
		out_span->end = (addr & ~(table_size - 1)) + table_size;
		if (out_span->end > end || !out_span->end)
			out_span->end = end;
		return true;
	}
	return false;
}

bool pgtable_unlink_range(struct pgtable *pt, uint64_t start, uint64_t end, uint64_t floor,
			  uint64_t ceiling, uint32_t *chain)
{
	const struct ondol_pgtable_format *f = pt->format;
	struct pgtable_span span;
	bool cached = false;

	/* Bottom up: a table's children go before it, being no larger. */
	for (unsigned level = 1; level < f->nr_levels; level++) {
		uint64_t size = UINT64_C(1) << f->level[level].shift; /* of a child table */
		uint64_t lo = align_down(start, size), hi = align_up(end, size);

		if (lo < floor)
			lo = align_up(floor, size);
		if (hi > ceiling)
			hi = align_down(ceiling, size);
		if (lo >= hi)
			break; /* larger tables fit even less */
		for (uint64_t a = lo; a < hi && pgtable_next(pt, level, a, hi, &span);
		     a = span.end) {
			void *slot = span.slot;

			for (uint64_t at = span.addr; at < span.end;
			     at += size, slot = pte_next(pt, slot)) {
				struct ondol_page *page;
				uint64_t entry = pgtable_load(f, slot);

				if (!pgtable_is_table(f, entry))
					continue;
				entry = pte_exchange(pt, slot, 0);
				cached |= (entry & f->accessed_mask) != 0;
				page = table_page(pt, entry & f->phys_mask);
				page->data.next = *chain;
				*chain = (uint32_t)(page - pt->m->pages);
			}
		}
	}
	return cached;
}

void pgtable_release(struct pgtable *pt, uint32_t chain)
{
	while (chain != ONDOL_PAGE_NIL) {
		struct ondol_page *page = &pt->m->pages[chain];

		chain = page->data.next;
		pt->nr_tables--;
		ondol_free_pages(pt->m, page, 0);
	}
}

void pgtable_fini(struct pgtable *pt)
{
	uint64_t end = UINT64_C(1) << pgtable_table_shift(pt->format, pt->format->nr_levels - 1u);
	uint32_t chain = ONDOL_PAGE_NIL;

	if (!pt->root)
		return;
	pgtable_unlink_range(pt, 0, end, 0, end, &chain);
	pgtable_release(pt, chain);
	ONDOL_VERIFY(pt->m, pt->nr_tables == 1, "PGTABLE-1", pt->nr_tables, pt->root_pa.value);
	ondol_free_pages(pt->m, table_page(pt, pt->root_pa.value), 0);
	pt->nr_tables = 0;
	pt->root = NULL;
}

bool pgtable_addr_valid(const struct ondol_pgtable_format *f, uint64_t addr)
{
	uint64_t above = addr >> (f->va_bits - (f->va_sign_extended ? 1 : 0));
	uint64_t ones = UINT64_MAX >> (f->va_bits - (f->va_sign_extended ? 1 : 0));

	if (!above)
		return true;
	return f->va_sign_extended && above == ones;
}

int pgtable_translate(const struct pgtable *pt, uint64_t addr, uint32_t prot,
		      ondol_phys_addr_t *out_pa, struct ondol_pte_view *out_view)
{
	const struct ondol_pgtable_format *f = pt->format;
	struct ondol_pte_view view;
	void *table = pt->root;
	unsigned level = f->nr_levels - 1u;

	if (!pgtable_addr_valid(f, addr))
		return -ONDOL_EFAULT;
	for (;;) {
		ondol_pte_t pte = { pgtable_load(f, pgtable_index(f, table, addr, level)) };

		view = f->view(pte, (uint8_t)level);
		if (!view.present)
			return -ONDOL_EFAULT;
		if (view.leaf)
			break;
		table = pt->direct_map + view.phys.value;
		level--;
	}
	if ((view.prot & prot) != prot)
		return -ONDOL_EFAULT;
	out_pa->value = view.phys.value +
			(addr & ((UINT64_C(1) << f->level[level].shift) - 1));
	if (out_view)
		*out_view = view;
	return 0;
}

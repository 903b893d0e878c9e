/* SPDX-License-Identifier: MIT */
/*
 * Emulated translation hardware that checks the library's side of [MMU-1].
 *
 *   HW_NONE      nothing translates
 *   HW_WALKER    walks the tables in memory as a processor does, sets A and D, keeps what
 *                it found, also the way to a leaf table (paging-structure cache)
 *   HW_SOFTWARE  is filled through ondol_tlb_fill() and keeps that; optionally it does not
 *                learn of writes through a read-only translation
 *
 * It covers the pages [HW_FIRST, HW_FIRST + HW_PAGES) of each mm.  Nothing is ever forgotten
 * that the library did not say, so a missing invalidate or protect is seen.
 */
#ifndef TESTS_SUPPORT_HARDWARE_H
#define TESTS_SUPPORT_HARDWARE_H

#include <ondol/ondol.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define HW_PAGES 1280
#define HW_RIGHTS (ONDOL_PROT_WRITE | ONDOL_PROT_EXEC)

enum hw_kind { HW_NONE, HW_WALKER, HW_SOFTWARE };

struct hw { /* of a machine */
	enum hw_kind kind;
	bool no_write_trap;
	uint64_t first; /* page */
	unsigned char *ram; /* all of it */
	struct ondol_machine *m;
	const struct ondol_pgtable_format *format;
	struct ondol_mmu_ops ops;
	void (*report)(void *ctx, const char *text);
	void *report_ctx;
	uint64_t invalidates, protects, hits, misses;
};

struct translation {
	bool valid;
	uint32_t prot; /* ONDOL_PROT_* */
	uint64_t pfn;
};

struct hw_mm { /* of an mm; its private pointer */
	struct translation page[HW_PAGES];
	uint64_t leaf_table[HW_PAGES / 512 + 2]; /* pa; 0: not cached */
};

static inline void __attribute__((format(printf, 2, 3))) hw_fail(struct hw *hw, const char *fmt,
								 ...)
{
	char text[200];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	hw->report(hw->report_ctx, text);
}

/* ------------------------------------------------------------------ the tables */

static inline uint64_t hw_load(const struct hw *hw, const void *slot)
{
	return hw->format->pte_size == 8 ? *(const uint64_t *)slot : *(const uint32_t *)slot;
}

static inline void hw_or(const struct hw *hw, void *slot, uint64_t bits)
{
	if (hw->format->pte_size == 8)
		__atomic_fetch_or((uint64_t *)slot, bits, __ATOMIC_ACQ_REL);
	else
		__atomic_fetch_or((uint32_t *)slot, (uint32_t)bits, __ATOMIC_ACQ_REL);
}

/*
 * The leaf slot for addr, or NULL; `set` goes into the entries passed on the way.  A large leaf
 * has no table (0).
 */
static inline void *hw_slot(const struct hw *hw, const struct ondol_mm_struct *mm, uint64_t addr,
			    uint64_t set, uint64_t *out_table, uint8_t *out_level)
{
	const struct ondol_pgtable_format *f = hw->format;
	uint64_t table = ondol_mm_pgd(mm).value;

	for (unsigned level = f->nr_levels - 1u;; level--) {
		uint64_t index = (addr >> f->level[level].shift) &
				 ((UINT64_C(1) << f->level[level].bits) - 1);
		unsigned char *slot = hw->ram + table + index * f->pte_size;
		uint64_t entry = hw_load(hw, slot);

		if (!level || ((entry & f->present_mask) && (entry & f->leaf_mask))) {
			if (out_table)
				*out_table = level ? 0 : table;
			if (out_level)
				*out_level = (uint8_t)level;
			return slot;
		}
		if (!(entry & f->present_mask))
			return NULL;
		if (set)
			hw_or(hw, slot, set);
		table = entry & f->phys_mask;
	}
}

static inline struct ondol_pte_view hw_entry(const struct hw *hw, const struct ondol_mm_struct *mm,
					     uint64_t addr)
{
	uint8_t level = 0;
	const void *slot = hw_slot(hw, mm, addr, 0, NULL, &level);
	ondol_pte_t pte = { slot ? hw_load(hw, slot) : 0 };
	struct ondol_pte_view view = hw->format->view(pte, level);

	if (level) /* the page's part of it */
		view.phys.value += addr & ((UINT64_C(1) << hw->format->level[level].shift) - 1) &
				   ONDOL_PAGE_MASK;
	return view;
}

/* Whether addr is under a large leaf. */
static inline bool hw_is_large(const struct hw *hw, const struct ondol_mm_struct *mm,
			       uint64_t addr)
{
	uint8_t level = 0;

	return hw_slot(hw, mm, addr, 0, NULL, &level) && level;
}

static inline uint64_t hw_addr(const struct hw *hw, unsigned page)
{
	return (hw->first + page) * ONDOL_PAGE_SIZE;
}

static inline unsigned hw_leaf_index(const struct hw *hw, uint64_t addr)
{
	unsigned shift = hw->format->level[0].bits + ONDOL_PAGE_SHIFT;

	return (unsigned)((addr >> shift) - (hw->first * ONDOL_PAGE_SIZE >> shift));
}

/* ------------------------------------------------------------------ what it is told */

/* The part of [start, end) that is covered, as pages. */
static inline void hw_pages(const struct hw *hw, uint64_t start, uint64_t end, unsigned *lo,
			    unsigned *hi)
{
	uint64_t first = hw->first * ONDOL_PAGE_SIZE, last = first + HW_PAGES * ONDOL_PAGE_SIZE;

	start = start < first ? first : start > last ? last : start;
	end = end < first ? first : end > last ? last : end;
	*lo = (unsigned)((start - first) / ONDOL_PAGE_SIZE);
	*hi = (unsigned)((end - first + ONDOL_PAGE_SIZE - 1) / ONDOL_PAGE_SIZE);
}

static inline void hw_invalidate(void *ctx, struct ondol_mm_struct *mm, ondol_virt_addr_t start,
				 ondol_virt_addr_t end)
{
	struct hw *hw = ctx;
	struct hw_mm *mine = ondol_mm_private(mm);
	ondol_virt_addr_t lo_a, hi_a;
	unsigned lo, hi;

	hw->invalidates++;
	if (start >= end || (start | end) % ONDOL_PAGE_SIZE)
		hw_fail(hw, "invalidate of [%#llx, %#llx)", (unsigned long long)start,
			(unsigned long long)end);
	if (!mine)
		return;
	/* Software fill: told before, so the entries still say what may be cached. */
	if (hw->kind == HW_SOFTWARE && !ondol_tlb_span(mm, start, end, &lo_a, &hi_a))
		hw_fail(hw, "invalidate of [%#llx, %#llx) without an accessed entry",
			(unsigned long long)start, (unsigned long long)end);
	hw_pages(hw, start, end, &lo, &hi);
	for (unsigned i = lo; i < hi; i++) {
		struct translation *t = &mine->page[i];
		struct ondol_page *page;

		if (!t->valid)
			continue;
		/* Nobody else may have the frame yet. */
		page = ondol_pfn_to_page(hw->m, ondol_pfn(t->pfn));
		if (!page || !ondol_page_count(page) ||
		    (ondol_page_use(page) != ONDOL_PAGE_ANON &&
		     ondol_page_use(page) != ONDOL_PAGE_CACHE))
			hw_fail(hw, "frame %#llx freed before its translation went",
				(unsigned long long)t->pfn);
		if (hw->kind == HW_SOFTWARE) {
			struct ondol_pte_view e = hw_entry(hw, mm, hw_addr(hw, i));

			if (!e.present || !e.accessed ||
			    ondol_phys_to_pfn(e.phys).value != t->pfn)
				hw_fail(hw, "page %u: entry gone before invalidate", i);
		}
		t->valid = false;
	}
	for (unsigned i = 0; i < sizeof mine->leaf_table / sizeof *mine->leaf_table; i++)
		mine->leaf_table[i] = 0; /* a processor drops these at any invalidation */
}

static inline void hw_protect(void *ctx, struct ondol_mm_struct *mm, ondol_virt_addr_t start,
			      ondol_virt_addr_t end, uint32_t prot)
{
	struct hw *hw = ctx;
	struct hw_mm *mine = ondol_mm_private(mm);
	bool any = false;

	hw->protects++;
	if (!(prot & ONDOL_PROT_READ))
		hw_fail(hw, "protect to nothing");
	if (!mine)
		return;
	for (uint64_t a = start; a < end; a += ONDOL_PAGE_SIZE) {
		struct ondol_pte_view e = hw_entry(hw, mm, a);
		unsigned i = (unsigned)(a / ONDOL_PAGE_SIZE - hw->first);
		uint32_t implied = hw->format->prot_implied;

		any |= e.present && e.accessed;
		if (e.present && e.accessed && ((e.prot ^ (prot | implied)) & HW_RIGHTS))
			hw_fail(hw, "protect %#x at %#llx, whose entry says %#x", prot,
				(unsigned long long)a, e.prot);
		/* Now exactly these, be it more than before. */
		if (i < HW_PAGES && mine->page[i].valid)
			mine->page[i].prot = prot | implied;
		else if (i < HW_PAGES && hw->no_write_trap && !(e.present && e.accessed))
			hw_fail(hw, "protect over page %u, which is not accessed", i);
	}
	if (!any)
		hw_fail(hw, "protect of [%#llx, %#llx) without an accessed entry",
			(unsigned long long)start, (unsigned long long)end);
}

/* Before the machine exists; then set hw->m, hw->ram and hw->format. */
static inline const struct ondol_mmu_ops *hw_init(struct hw *hw, enum hw_kind kind,
						  bool no_write_trap, bool with_protect)
{
	hw->kind = kind;
	hw->no_write_trap = no_write_trap;
	hw->ops = (struct ondol_mmu_ops){
		.version = ONDOL_MMU_VERSION,
		.size = sizeof hw->ops,
		.flags = (kind == HW_SOFTWARE ? ONDOL_MMU_SOFTWARE_FILL : 0) |
			 (no_write_trap ? ONDOL_MMU_NO_WRITE_TRAP : 0),
		.invalidate = hw_invalidate,
		.protect = with_protect ? hw_protect : NULL,
	};
	return kind == HW_NONE ? NULL : &hw->ops;
}

static inline struct hw_mm *hw_attach(struct ondol_mm_struct *mm)
{
	struct hw_mm *mine = calloc(1, sizeof *mine);

	if (!mine)
		abort();
	ondol_mm_set_private(mm, mine);
	return mine;
}

/* The mm is about to be put: it is not the running one any more. */
static inline void hw_detach(struct ondol_mm_struct *mm)
{
	free(ondol_mm_private(mm));
	ondol_mm_set_private(mm, NULL);
}

/* ------------------------------------------------------------------ what the program does */

static inline bool hw_grants(const struct translation *t, uint32_t access)
{
	return t->valid && (!(access & ONDOL_FAULT_WRITE) || (t->prot & ONDOL_PROT_WRITE)) &&
	       (!(access & ONDOL_FAULT_EXEC) || (t->prot & ONDOL_PROT_EXEC));
}

/* As a processor: false is a page fault. */
static inline bool hw_walk(struct hw *hw, struct ondol_mm_struct *mm, struct hw_mm *mine,
			   unsigned i, uint32_t access)
{
	const struct ondol_pgtable_format *f = hw->format;
	uint64_t addr = hw_addr(hw, i), table;
	void *slot = hw_slot(hw, mm, addr, f->accessed_mask, &table, NULL);
	struct ondol_pte_view e;

	if (!slot)
		return false;
	mine->leaf_table[hw_leaf_index(hw, addr)] = table;
	e = hw_entry(hw, mm, addr);
	if (!e.present || !(e.prot & ONDOL_PROT_USER) ||
	    ((access & ONDOL_FAULT_WRITE) && !(e.prot & ONDOL_PROT_WRITE)) ||
	    ((access & ONDOL_FAULT_EXEC) && !(e.prot & ONDOL_PROT_EXEC)))
		return false;
	hw_or(hw, slot, f->accessed_mask | (access & ONDOL_FAULT_WRITE ? f->dirty_mask : 0));
	e = hw_entry(hw, mm, addr);
	mine->page[i] = (struct translation){
		.valid = true,
		/* A clean page is kept read-only: the first write must find D. */
		.prot = e.dirty ? e.prot : e.prot & ~(uint32_t)ONDOL_PROT_WRITE,
		.pfn = ondol_phys_to_pfn(e.phys).value,
	};
	return true;
}

static inline bool hw_fill(struct hw *hw, struct ondol_mm_struct *mm, struct hw_mm *mine,
			   unsigned i, uint32_t access, uint32_t window)
{
	struct ondol_tlb_run run;
	unsigned lo, hi;

	if (ondol_tlb_fill(mm, hw_addr(hw, i), access, window, &run))
		return false;
	if (run.start > hw_addr(hw, i) ||
	    run.start + run.nr_pages * ONDOL_PAGE_SIZE <= hw_addr(hw, i))
		hw_fail(hw, "page %u: tlb_fill gave a run elsewhere", i);
	/* A port has nothing to fill then: what lay beside it would be taken for cached. */
	if (run.cached && run.nr_pages != 1)
		hw_fail(hw, "page %u: cached already, and %u pages with it", i, run.nr_pages - 1);
	hw_pages(hw, run.start, run.start + run.nr_pages * ONDOL_PAGE_SIZE, &lo, &hi);
	for (unsigned at = lo; at < hi; at++) {
		if (mine->page[at].valid && (at != i || !run.cached))
			hw_fail(hw, "page %u: filled, though cached already", at);
		mine->page[at] = (struct translation){
			.valid = true,
			.prot = run.prot,
			.pfn = run.pfn.value +
			       (hw_addr(hw, at) - run.start) / ONDOL_PAGE_SIZE,
		};
	}
	return true;
}

/*
 * Where the page is in host memory, for `access`; NULL is a page fault.  `window`: pages that
 * software-filled hardware asks for.
 */
static inline unsigned char *hw_access(struct hw *hw, struct ondol_mm_struct *mm, unsigned i,
				       uint32_t access, uint32_t window)
{
	struct hw_mm *mine = ondol_mm_private(mm);
	struct translation *t = &mine->page[i];

	if (hw_grants(t, access))
		hw->hits++;
	else
		hw->misses++;
	if (!hw_grants(t, access) &&
	    !(hw->kind == HW_WALKER ? hw_walk(hw, mm, mine, i, access)
				    : hw_fill(hw, mm, mine, i, access, window)))
		return NULL;
	if (!hw_grants(t, access))
		hw_fail(hw, "page %u: filled without the right asked for", i);
	return hw->ram + (t->pfn << ONDOL_PAGE_SHIFT);
}

/* It forgets by itself. */
static inline void hw_evict(struct hw *hw, struct ondol_mm_struct *mm, unsigned lo, unsigned hi)
{
	struct hw_mm *mine = ondol_mm_private(mm);

	for (unsigned i = lo; i < hi; i++)
		mine->page[i].valid = false;
	if (hw->kind == HW_SOFTWARE)
		ondol_tlb_evicted(mm, hw_addr(hw, lo), hw_addr(hw, hi));
}

/* fork, not cold: the child's hardware begins as a copy of the parent's. */
static inline void hw_copy(struct ondol_mm_struct *child, struct ondol_mm_struct *parent)
{
	struct hw_mm *to = ondol_mm_private(child);
	const struct hw_mm *from = ondol_mm_private(parent);

	*to = *from;
}

/* [MMU-1]: nothing is cached that the tables do not say. */
static inline void hw_check(struct hw *hw, struct ondol_mm_struct *mm)
{
	const struct hw_mm *mine = ondol_mm_private(mm);

	for (unsigned i = 0; i < HW_PAGES; i++) {
		const struct translation *t = &mine->page[i];
		struct ondol_pte_view e;
		uint64_t table;

		if (t->valid) {
			e = hw_entry(hw, mm, hw_addr(hw, i));
			if (!e.present || ondol_phys_to_pfn(e.phys).value != t->pfn)
				hw_fail(hw, "page %u: stale translation to frame %#llx", i,
					(unsigned long long)t->pfn);
			if (!(e.prot & ONDOL_PROT_USER) || (t->prot & ~e.prot & HW_RIGHTS))
				hw_fail(hw, "page %u: cached rights %#x, the entry's are %#x", i,
					t->prot, e.prot);
			if (!e.accessed)
				hw_fail(hw, "page %u: cached, but A is clear", i);
			if ((t->prot & ONDOL_PROT_WRITE) && !e.dirty)
				hw_fail(hw, "page %u: cached writable, but D is clear", i);
		}
		table = mine->leaf_table[hw_leaf_index(hw, hw_addr(hw, i))];
		if (table) {
			uint64_t now = 0;

			hw_slot(hw, mm, hw_addr(hw, i), 0, &now, NULL);
			if (now != table)
				hw_fail(hw, "page %u: cached way to a table that is gone", i);
		}
	}
}

#endif /* TESTS_SUPPORT_HARDWARE_H */

/* SPDX-License-Identifier: MIT */
/* The invariants of core/virt and core/pgtable: VMA, MM, PGTABLE, COW, CACHE, MMU, SWAP, KSM. */
#include "inspect/inspect.h"
#include "inspect/validate.h"
#include "phys/section.h"
#include "phys/zone.h"
#include "virt/ksm.h"

static uint64_t tables_end(const struct pgtable *pt)
{
	return UINT64_C(1) << pgtable_table_shift(pt->format, pt->format->nr_levels - 1u);
}

/* The region that addr lies in, or NULL; unlike vma_find this leaves no trace. */
static const struct vma *region_at(const struct ondol_mm_struct *mm, uint64_t addr)
{
	struct rb_node *node = mm->mm_rb.node;

	while (node) {
		const struct vma *vma = rb_entry(node, struct vma, rb);

		if (addr >= vma->start && addr < vma->end)
			return vma;
		node = addr < vma->start ? node->left : node->right;
	}
	return NULL;
}

/* ------------------------------------------------------------------ regions */

static bool check_region(const struct ondol_mm_struct *mm, const struct vma *vma,
			 const struct vma *prev, struct ondol_broken_invariant *out)
{
	const struct vma *next = vma_next(vma);
	uint64_t hole = vma_hole_below(vma, prev);
	ondol_vm_flags_t access = vma->flags & ONDOL_VM_ACCESS;

	if (vma->start >= vma->end || (vma->start | vma->end) & ~ONDOL_PAGE_MASK)
		return inspect_broken(out, "VMA-1", vma->start, vma->start, vma->end);
	if (next && next->start < vma->end)
		return inspect_broken(out, "VMA-1", vma->start, vma->end, next->start);
	if (vma->hole != hole || (vma == mm->last) != !next)
		return inspect_broken(out, "VMA-2", vma->start, hole, vma->hole);
	if (vma->end > mm->task_size || access & ~(vma->flags >> 4))
		return inspect_broken(out, "VMA-3", vma->start, mm->task_size, vma->flags);
	if (!vma_is_native(vma) && (vma_is_shared(vma) || vma->file) &&
	    !(vma->file && vma->file->mapping))
		return inspect_broken(out, "VMA-4", vma->start, 1, 0);
	return true;
}

static bool check_regions(struct ondol_mm_struct *mm, struct ondol_broken_invariant *out)
{
	struct ondol_mm_struct sum = { .nr_vma = 0 }; /* only its counters are used */
	const struct vma *prev = NULL;
	bool cached = !mm->mmap_cache;

	if (rb_check(&mm->mm_rb, &vma_augment))
		return inspect_broken(out, "VMA-2", mm->nr_vma, 0, 1);
	for (const struct vma *vma = vma_first(mm); vma; vma = vma_next(vma)) {
		if (!check_region(mm, vma, prev, out))
			return false;
		prev = vma;
		sum.nr_vma++;
		mm_account(&sum, vma->flags, (int64_t)vma_pages(vma));
		cached |= vma == mm->mmap_cache;
	}
	if (!cached)
		return inspect_broken(out, "VMA-1", (uintptr_t)mm->mmap_cache, 1, 0);
	return inspect_equal(out, "MM-1", 0, sum.nr_vma, mm->nr_vma) &&
	       inspect_equal(out, "MM-1", 1, sum.total_vm, mm->total_vm) &&
	       inspect_equal(out, "MM-1", 2, sum.data_vm, mm->data_vm) &&
	       inspect_equal(out, "MM-1", 3, sum.exec_vm, mm->exec_vm) &&
	       inspect_equal(out, "MM-1", 4, sum.stack_vm, mm->stack_vm) &&
	       inspect_equal(out, "MM-1", 5, sum.locked_vm, mm->locked_vm) &&
	       inspect_equal(out, "MM-3", 0, sum.committed, mm->committed);
}

/* ------------------------------------------------------------------ tables */

/* One table of `level`, where addr is. */
static bool check_table(struct ondol_mm_struct *mm, unsigned level, uint64_t addr,
			const void *slot, struct ondol_broken_invariant *out)
{
	const struct pgtable *pt = &mm->pgt;
	uint64_t pa = (uint64_t)((const unsigned char *)slot - pt->direct_map);
	uint64_t size = UINT64_C(1) << pgtable_table_shift(pt->format, level);
	uint64_t start = align_down(addr, size);
	const struct ondol_page *page = machine_page(mm->m, pa >> ONDOL_PAGE_SHIFT);

	if (page_use(page) != ONDOL_PAGE_PGTABLE || page_refs(page) != 1)
		return inspect_broken(out, "PGTABLE-1", addr, ONDOL_PAGE_PGTABLE, page_use(page));
	if (level == pt->format->nr_levels - 1u)
		return true;
	for (const struct vma *vma = vma_first(mm); vma; vma = vma_next(vma))
		if (vma->start < start + size && vma->end > start)
			return true;
	return inspect_broken(out, "PGTABLE-2", start, level, 0);
}

static bool check_tables(struct ondol_mm_struct *mm, struct ondol_broken_invariant *out)
{
	const struct pgtable *pt = &mm->pgt;
	uint64_t end = tables_end(pt), nr_tables = 0;
	struct pgtable_span span;

	for (unsigned level = 0; level < pt->format->nr_levels; level++)
		for (uint64_t at = 0; at < end && pgtable_next(pt, level, at, end, &span);
		     at = span.end) {
			if (!check_table(mm, level, span.addr, span.slot, out))
				return false;
			nr_tables++;
		}
	return inspect_equal(out, "PGTABLE-1", pt->root_pa.value, nr_tables, pt->nr_tables);
}

/* ------------------------------------------------------------------ entries */

static bool check_present(const struct ondol_mm_struct *mm, uint64_t addr, uint64_t pte,
			  uint64_t rss[NR_RSS], struct ondol_broken_invariant *out)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	const struct ondol_page *page = pte_page(mm, pte);
	const struct vma *vma = region_at(mm, addr);
	uint32_t allowed;

	if (!vma || vma_is_native(vma))
		return inspect_broken(out, "PGTABLE-3", addr, 1, 0);
	allowed = flags_prot(vma->flags);
	allowed |= allowed ? f->prot_implied : 0;
	if (pte_prot(mm, pte) & ~allowed)
		return inspect_broken(out, "PGTABLE-4", addr, allowed, pte_prot(mm, pte));
	if (page_use(page) != ONDOL_PAGE_ANON && page_use(page) != ONDOL_PAGE_CACHE)
		return inspect_broken(out, "MM-2", addr, ONDOL_PAGE_ANON, page_use(page));
	rss[page_rss_class(page)]++;
	if ((pte & f->write_mask) && page_is_merged(page))
		return inspect_broken(out, "KSM-2", addr, 0, pte);
	if ((pte & f->write_mask) && (pte & f->user_mask) && !vma_is_shared(vma) &&
	    !page_exclusive_anon(page))
		return inspect_broken(out, "COW-2", addr, 1, page_refs(page));
	if (!(pte & f->accessed_mask))
		return true;
	if (!(pte & f->user_mask) ||
	    (mm->no_write_trap && flags_are_cow(vma->flags) && !(pte & f->write_mask)))
		return inspect_broken(out, "MMU-1", addr, 0, pte);
	if (mm->soft_fill && (pte & f->write_mask) && !(pte & f->dirty_mask))
		return inspect_broken(out, "MMU-1", addr, f->dirty_mask, pte);
	return true;
}

/* Absent, and not empty. */
static bool check_swap(const struct ondol_mm_struct *mm, uint64_t addr, uint64_t pte,
		       struct ondol_broken_invariant *out)
{
	const struct swap_state *swap = mm->m->virt->swap;
	const struct vma *vma = region_at(mm, addr);

	if (!pte_is_swap(mm, pte))
		return inspect_broken(out, "MMU-1", addr, 0, pte);
	if (!vma || vma_is_native(vma) || vma_is_shared(vma))
		return inspect_broken(out, "PGTABLE-3", addr, 1, 0);
	if (!swap || pte_slot(mm, pte) >= swap->total || pte != pte_of_slot(mm, pte_slot(mm, pte)))
		return inspect_broken(out, "SWAP-1", addr, swap ? swap->total : 0, pte);
	return true;
}

static bool check_entries(struct ondol_mm_struct *mm, struct ondol_broken_invariant *out)
{
	uint64_t rss[NR_RSS] = { 0 }, end = tables_end(&mm->pgt), nr_swap = 0, guards = 0;
	struct pgtable_span span;

	pgtable_for_each_span(&mm->pgt, span, 0, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			uint64_t pte = pte_get(&mm->pgt, slot);

			if (pte_present(mm, pte)) {
				if (!check_present(mm, addr, pte, rss, out))
					return false;
			} else if (pte_is_guard(mm, pte)) {
				const struct vma *vma = region_at(mm, addr);

				if (!vma || vma_is_native(vma))
					return inspect_broken(out, "GUARD-1", addr, 1, 0);
				guards++;
			} else if (pte) {
				if (!check_swap(mm, addr, pte, out))
					return false;
				nr_swap++;
			}
		}
	}
	if (!inspect_equal(out, "GUARD-1", 0, guards, mm->nr_guards))
		return false;
	for (unsigned kind = 0; kind < NR_RSS; kind++)
		if (!inspect_equal(out, "MM-2", kind, rss[kind], mm->rss[kind]))
			return false;
	return inspect_equal(out, "SWAP-1", 0, nr_swap, mm->nr_swap);
}

/* The leaf at `slot`, whose shadow the span is. */
static bool check_leaf(const struct ondol_mm_struct *mm, const struct pgtable_span *span,
		       uint64_t leaf, struct ondol_broken_invariant *out)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	const struct vma *vma = region_at(mm, span->addr);
	uint64_t size = pgtable_huge_size(&mm->pgt), pa = leaf & f->phys_mask;
	void *slot = span->slot;

	if (!vma || !vma_is_anon(vma) || vma_is_shared(vma) || span->end - span->addr != size ||
	    vma->end < span->end)
		return inspect_broken(out, "PGTABLE-5", span->addr, size, span->end - span->addr);
	if (pa & (size - 1))
		return inspect_broken(out, "PGTABLE-5", span->addr, 0, pa);
	for (uint64_t at = span->addr; at < span->end; at += ONDOL_PAGE_SIZE) {
		uint64_t pte = pte_get(&mm->pgt, slot);

		if ((pte & f->phys_mask) != pa + (at - span->addr) || !pte_present(mm, pte) ||
		    pte_prot(mm, pte) != pte_prot(mm, leaf) ||
		    !page_exclusive_anon(pte_page(mm, pte)))
			return inspect_broken(out, "PGTABLE-5", at, leaf, pte);
		if (pte & ~leaf & f->accessed_mask)
			return inspect_broken(out, "MMU-1", at, leaf, pte);
		slot = pte_next(&mm->pgt, slot);
	}
	return true;
}

static bool check_leaves(const struct ondol_mm_struct *mm, struct ondol_broken_invariant *out)
{
	uint64_t end = tables_end(&mm->pgt), nr = 0;
	struct pgtable_span span;

	pgtable_for_each_span(&mm->pgt, span, 0, end) {
		const void *slot = pgtable_huge_find(&mm->pgt, span.addr);

		if (slot && !check_leaf(mm, &span, pte_get(&mm->pgt, slot), out))
			return false;
		nr += slot != NULL;
	}
	return inspect_equal(out, "PGTABLE-5", 0, nr, mm->pgt.nr_huge);
}

static bool validate_mm(struct ondol_mm_struct *mm, struct ondol_broken_invariant *out)
{
	return check_regions(mm, out) && check_tables(mm, out) && check_entries(mm, out) &&
	       check_leaves(mm, out);
}

int ondol_mm_validate(struct ondol_mm_struct *mm, struct ondol_broken_invariant *out_broken)
{
	struct ondol_broken_invariant broken;

	if (validate_mm(mm, &broken))
		return 0;
	if (out_broken)
		*out_broken = broken;
	return -ONDOL_EUCLEAN;
}

/* ------------------------------------------------------------------ all of them */

static void visit_entries(struct ondol_mm_struct *mm, uint32_t step,
			  void (*visit)(struct ondol_mm_struct *mm, uint64_t pte, uint32_t step))
{
	struct pgtable_span span;
	uint64_t end = tables_end(&mm->pgt);

	pgtable_for_each_span(&mm->pgt, span, 0, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot))
			visit(mm, pte_get(&mm->pgt, slot), step);
	}
}

/*
 * How many entries map a frame is counted in its data.next, which serves only while a range
 * is being unmapped, so never at rest.
 */
static void count_mapped(struct ondol_mm_struct *mm, uint64_t pte, uint32_t step)
{
	if (pte_present(mm, pte))
		pte_page(mm, pte)->data.next += step;
}

static void forget_counts(struct ondol_machine *m)
{
	page_for_each_index(m, i)
		if (page_use(&m->pages[i]) == ONDOL_PAGE_ANON ||
		    page_use(&m->pages[i]) == ONDOL_PAGE_CACHE)
			m->pages[i].data.next = 0;
}

static bool check_counts(struct ondol_machine *m, struct ondol_broken_invariant *out)
{
	page_for_each_index(m, i) {
		const struct ondol_page *page = &m->pages[i];
		bool cached = page_use(page) == ONDOL_PAGE_CACHE;
		bool slot_has = (page->flags & ONDOL_PG_SWAPCACHE) != 0;
		uint64_t pfn = m->first_pfn + i;

		if (page_use(page) != ONDOL_PAGE_ANON && !cached)
			continue;
		if (page->flags & ONDOL_PG_MOVING)
			return inspect_broken(out, "MIGRATE-1", pfn, 0, page->flags);
		if (page->data.mapcount != page->data.next ||
		    page_refs(page) != page->data.next + (cached ? 1 : 0) + (slot_has ? 1 : 0))
			return inspect_broken(out, cached ? "CACHE-1" : "COW-1", pfn,
					      page->data.next, page_refs(page));
	}
	return true;
}

/* A walk over what a mapping has. */
struct cache_check {
	const struct ondol_address_space *mapping;
	uint64_t nr_pages;
	struct ondol_broken_invariant *out;
};

/* ------------------------------------------------------------------ swap */

/* The slots' counts, less (or, to put them back, plus) the entries of an mm. */
static void count_slots(struct ondol_mm_struct *mm, uint64_t pte, uint32_t step)
{
	if (pte_is_swap(mm, pte))
		swap_slot_of(mm->m, pte_slot(mm, pte))->count += step;
}

struct slot_step {
	struct ondol_machine *m;
	uint32_t step;
};

static int count_swapped(void *ctx, uint64_t number)
{
	const struct slot_step *s = ctx;

	swap_slot_of(s->m, number)->count += s->step;
	return 0;
}

static void count_slots_of_all(struct ondol_machine *m, uint32_t step)
{
	struct slot_step s = { m, step };

	list_for_each(node, &m->virt->mappings)
		(void)cache_for_each_swapped(
			container_of(node, struct ondol_address_space, link), count_swapped, &s);
	list_for_each(node, &m->virt->mms)
		visit_entries(container_of(node, struct ondol_mm_struct, link), step,
			      count_slots);
}

/* A slot with a frame: each names the other, and the frame has entries. */
static bool check_cached_frame(struct ondol_machine *m, uint64_t number,
			       const struct swap_slot *slot, struct ondol_broken_invariant *out)
{
	const struct ondol_page *page;

	if (!swap_count(slot) || slot->at >= m->nr_pages)
		return inspect_broken(out, "SWAP-2", number, m->nr_pages, slot->at);
	page = &m->pages[slot->at];
	if (page_use(page) != ONDOL_PAGE_ANON || !(page->flags & ONDOL_PG_SWAPCACHE) ||
	    page->data.index != (uint32_t)number || page_refs(page) < 2)
		return inspect_broken(out, "SWAP-2", number, number, page->data.index);
	return true;
}

/* Whether every slot's entries are those that were found: all counts are 0 meanwhile. */
static bool check_slot_counts(struct swap_state *swap, struct ondol_broken_invariant *out)
{
	for (uint32_t i = 0; i < swap->nr_areas; i++)
		for (uint64_t at = 0; at < swap->area[i]->nr_pages; at++) {
			const struct swap_slot *slot = swap_table_at(&swap->area[i]->slots, at);

			if (swap_count(slot))
				return inspect_broken(out, "SWAP-1", swap->area[i]->first + at, 0,
						      swap_count(slot));
		}
	return true;
}

static int check_swapped(void *ctx, uint64_t number)
{
	struct cache_check *c = ctx;
	const struct swap_state *swap = c->mapping->m->virt->swap;

	c->nr_pages++;
	if (swap && number < swap->total)
		return 0;
	(void)inspect_broken(c->out, "SWAP-1", number, swap ? swap->total : 0, number);
	return 1;
}

/* Of shared memory. */
static bool check_swapped_of_mappings(struct ondol_machine *m, struct ondol_broken_invariant *out)
{
	list_for_each(node, &m->virt->mappings) {
		struct ondol_address_space *mapping =
			container_of(node, struct ondol_address_space, link);
		struct cache_check c = { mapping, 0, out };

		if (cache_for_each_swapped(mapping, check_swapped, &c) ||
		    !inspect_equal(out, "SWAP-1", 0, c.nr_pages, mapping->nr_swapped))
			return false;
	}
	return true;
}

static bool check_swap_areas(struct ondol_machine *m, struct ondol_broken_invariant *out)
{
	struct swap_state *swap = m->virt->swap;
	uint64_t used = 0, cached = 0, frames = 0;
	bool ok;

	for (uint32_t i = 0; i < swap->nr_areas; i++) {
		struct swap_area *area = swap->area[i];
		uint64_t mine = 0;

		for (uint64_t at = 0; at < area->nr_pages; at++) {
			const struct swap_slot *slot = swap_table_at(&area->slots, at);

			mine += slot->count != 0;
			cached += (slot->count & SLOT_CACHED) != 0;
			if (slot->count & SLOT_CACHED &&
			    !check_cached_frame(m, area->first + at, slot, out))
				return false;
		}
		if (!inspect_equal(out, "SWAP-1", i, mine, area->used))
			return false;
		used += mine;
	}
	page_for_each_index(m, i)
		frames += page_use(&m->pages[i]) == ONDOL_PAGE_ANON &&
			  (m->pages[i].flags & ONDOL_PG_SWAPCACHE);
	if (!check_swapped_of_mappings(m, out))
		return false;
	count_slots_of_all(m, (uint32_t)-1);
	ok = check_slot_counts(swap, out);
	count_slots_of_all(m, 1);
	return ok && inspect_equal(out, "SWAP-1", swap->nr_areas, used, swap->used) &&
	       inspect_equal(out, "SWAP-2", 0, cached, swap->cached) &&
	       inspect_equal(out, "SWAP-2", 1, cached, frames);
}

/* ------------------------------------------------------------------ merged frames */

static bool check_node(struct ondol_machine *m, const struct ksm_node *node,
		       struct ondol_broken_invariant *out)
{
	const struct ondol_page *page = node->page;
	uint64_t sum;

	if (page < m->pages || page >= m->pages + m->nr_pages ||
	    page_use(page) != ONDOL_PAGE_ANON || !page_is_merged(page) || page->data.ksm != node)
		return inspect_broken(out, "KSM-1", (uintptr_t)node, 1, 0);
	if (!page->data.mapcount)
		return inspect_broken(out, "KSM-4", machine_page_pfn(m, page), 1, 0);
	sum = ksm_checksum(m, page);
	return inspect_equal(out, "KSM-3", machine_page_pfn(m, page), sum, node->checksum);
}

static bool check_merged(struct ondol_machine *m, struct ondol_broken_invariant *out)
{
	const struct ksm_state *ksm = m->virt->ksm;
	uint64_t nodes = 0, marked = 0, maps = 0, last = 0;

	if (rb_check(&ksm->stable, NULL))
		return inspect_broken(out, "KSM-1", 0, 0, 1);
	for (struct rb_node *rb = rb_first(&ksm->stable); rb; rb = rb_next(rb)) {
		const struct ksm_node *node = rb_entry(rb, struct ksm_node, rb);

		if (node->checksum < last)
			return inspect_broken(out, "KSM-1", nodes, last, node->checksum);
		if (!check_node(m, node, out))
			return false;
		last = node->checksum;
		maps += node->page->data.mapcount;
		nodes++;
	}
	page_for_each_index(m, i)
		marked += page_use(&m->pages[i]) == ONDOL_PAGE_ANON &&
			  page_is_merged(&m->pages[i]);
	return inspect_equal(out, "KSM-1", 1, nodes, ksm->nr_nodes) &&
	       inspect_equal(out, "KSM-1", 2, nodes, marked) &&
	       inspect_equal(out, "KSM-4", 0, maps, ksm->nr_maps);
}

/* ------------------------------------------------------------------ page cache */

static int check_cached(void *ctx, uint64_t index, struct ondol_page *page)
{
	struct cache_check *c = ctx;

	c->nr_pages++;
	if (page_use(page) == ONDOL_PAGE_CACHE && page->data.mapping == c->mapping &&
	    page->data.index == (uint32_t)index)
		return 0;
	(void)inspect_broken(c->out, "CACHE-1", machine_page_pfn(c->mapping->m, page), index,
			     page->data.index);
	return 1;
}

static bool check_caches(struct ondol_machine *m, struct ondol_broken_invariant *out)
{
	uint64_t nr_pages = 0;

	list_for_each(node, &m->virt->mappings) {
		struct ondol_address_space *mapping =
			container_of(node, struct ondol_address_space, link);
		struct cache_check c = { mapping, 0, out };

		if (cache_for_each(mapping, check_cached, &c))
			return false;
		if (!inspect_equal(out, "CACHE-1", 0, c.nr_pages, mapping->nr_pages))
			return false;
		nr_pages += c.nr_pages;
	}
	return inspect_equal(out, "CACHE-1", 1, nr_pages,
			     (uint64_t)phys_use_count(m, ONDOL_PAGE_CACHE));
}

static bool check_committed(struct ondol_machine *m, struct ondol_broken_invariant *out)
{
	uint64_t sum = 0;

	list_for_each(node, &m->virt->mms)
		sum += container_of(node, struct ondol_mm_struct, link)->committed;
	list_for_each(node, &m->virt->mappings)
		sum += container_of(node, struct ondol_address_space, link)->committed;
	return inspect_equal(out, "MM-3", 1, sum, ondol_committed(m));
}

/* By number: each policy in use is sound and has as many users as regions that name it. */
static bool check_policies(struct ondol_machine *m, struct ondol_broken_invariant *out)
{
	uint64_t there = ondol_nodes_with_memory(m);

	for (uint32_t number = 1; number <= POLICIES_MAX; number++) {
		struct ondol_mempolicy policy;
		uint64_t regions = 0;

		list_for_each(node, &m->virt->mms)
			for (const struct vma *vma = vma_first(container_of(
				     node, struct ondol_mm_struct, link));
			     vma; vma = vma_next(vma))
				regions += vma->policy == number;
		if (!inspect_equal(out, "MPOL-2", number, regions, policy_users(m, number)))
			return false;
		if (!regions)
			continue;
		policy_read(m, number, &policy);
		if (policy.nodes & ~there ||
		    (!policy.nodes && policy.mode != ONDOL_MPOL_LOCAL))
			return inspect_broken(out, "MPOL-1", number, there, policy.nodes);
	}
	return true;
}

bool validate_virt(struct ondol_machine *m, struct ondol_broken_invariant *out)
{
	uint64_t nr_tables = 0;

	forget_counts(m);
	list_for_each(node, &m->virt->mms) {
		struct ondol_mm_struct *mm = container_of(node, struct ondol_mm_struct, link);

		if (!validate_mm(mm, out))
			return false;
		visit_entries(mm, 1, count_mapped);
		nr_tables += mm->pgt.nr_tables;
	}
	return inspect_equal(out, "PGTABLE-1", 0, nr_tables,
			     (uint64_t)phys_use_count(m, ONDOL_PAGE_PGTABLE)) &&
	       check_counts(m, out) && check_caches(m, out) && check_committed(m, out) &&
	       (!m->virt->ksm || check_merged(m, out)) &&
	       (!m->virt->swap || check_swap_areas(m, out)) &&
	       (!m->virt->policies || check_policies(m, out));
}

/* SPDX-License-Identifier: MIT */
/*
 * The memory policies of regions, and moving pages to where a policy wants them.
 *
 * A region names its policy by a small number, so that its record stays two cache lines short
 * and two regions have equal policies exactly when the numbers are equal (they merge, F12).
 * The numbers index one table a machine, there while some region has a policy.
 *
 * [MPOL-2] A policy in the table has as many users as regions that name it, and no two entries
 *          in use are equal.
 *
 * How a page is moved: migrate.c.
 */
#include "virt/virt.h"

struct policy_table {
	uint64_t users; /* (s) of all entries */
	struct {
		struct ondol_mempolicy policy;
		uint32_t users; /* (s) */
	} entry[POLICIES_MAX]; /* of number 1 up */
};

static bool same_policy(const struct ondol_mempolicy *a, const struct ondol_mempolicy *b)
{
	return a->mode == b->mode && a->flags == b->flags && a->nodes == b->nodes &&
	       a->asked == b->asked;
}

/* The entry with this policy, or an unused one; POLICIES_MAX: there is none. */
static uint32_t entry_for(const struct policy_table *table, const struct ondol_mempolicy *policy)
{
	uint32_t unused = POLICIES_MAX;

	for (uint32_t i = 0; i < POLICIES_MAX; i++) {
		if (table->entry[i].users && same_policy(&table->entry[i].policy, policy))
			return i;
		if (!table->entry[i].users && unused == POLICIES_MAX)
			unused = i;
	}
	return unused;
}

/* The policy's number, with one user; 0 for DEFAULT. */
static int policy_number(struct ondol_machine *m, const struct ondol_mempolicy *policy,
			 uint32_t *out_number)
{
	struct policy_table *fresh, *table;
	uintptr_t saved;
	uint32_t i;

	*out_number = 0;
	if (policy->mode == ONDOL_MPOL_DEFAULT)
		return 0;
	fresh = ondol_kzalloc(m, sizeof *fresh, ONDOL_GFP_KERNEL);
	saved = virt_lock(m);
	if (!m->virt->policies) {
		m->virt->policies = fresh;
		fresh = NULL;
	}
	table = m->virt->policies;
	i = table ? entry_for(table, policy) : POLICIES_MAX;
	if (i < POLICIES_MAX) {
		table->entry[i].policy = *policy;
		table->entry[i].users++;
		table->users++;
		*out_number = i + 1;
	}
	virt_unlock(m, saved);
	ondol_kfree(m, fresh);
	return *out_number ? 0 : -ONDOL_ENOMEM;
}

void policy_get(struct ondol_machine *m, uint32_t number)
{
	uintptr_t saved;

	if (ondol_likely(!number))
		return;
	saved = virt_lock(m);
	m->virt->policies->entry[number - 1].users++;
	m->virt->policies->users++;
	virt_unlock(m, saved);
}

void policy_put(struct ondol_machine *m, uint32_t number)
{
	struct policy_table *unused = NULL;
	uintptr_t saved;

	if (ondol_likely(!number))
		return;
	saved = virt_lock(m);
	m->virt->policies->entry[number - 1].users--;
	if (!--m->virt->policies->users) {
		unused = m->virt->policies;
		m->virt->policies = NULL;
	}
	virt_unlock(m, saved);
	ondol_kfree(m, unused);
}

void policy_read(struct ondol_machine *m, uint32_t number, struct ondol_mempolicy *out_policy)
{
	uintptr_t saved;

	*out_policy = (struct ondol_mempolicy){ .mode = ONDOL_MPOL_DEFAULT };
	if (!number)
		return;
	saved = virt_lock(m);
	*out_policy = m->virt->policies->entry[number - 1].policy;
	virt_unlock(m, saved);
}

uint32_t policy_users(struct ondol_machine *m, uint32_t number)
{
	struct policy_table *table = m->virt->policies;

	return table && number && number <= POLICIES_MAX ? table->entry[number - 1].users : 0;
}

void ondol_mm_set_task_policy(struct ondol_mm_struct *mm, const struct ondol_mempolicy *policy)
{
	mm->task_policy = policy ? *policy : (struct ondol_mempolicy){ .mode = ONDOL_MPOL_DEFAULT };
}

void fault_take_policy(struct fault *f)
{
	if (f->vma->policy)
		policy_read(f->mm->m, f->vma->policy, &f->policy);
	else
		f->policy = f->mm->task_policy;
	if (mpol_interleaves(&f->policy))
		f->around = 1;
}

/* ------------------------------------------------------------------ mbind */

static int bind_region(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end,
		       uint32_t number)
{
	struct vma_props props = vma_props(vma);

	props.policy = number;
	return vma_change(mm, vma, start, end, &props) ? 0 : -ONDOL_ENOMEM;
}

int ondol_mbind(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, uint64_t length,
		const struct ondol_mempolicy *policy)
{
	uint64_t size = page_align(length), end = addr + size, at = addr;
	bool over_holes = policy->mode == ONDOL_MPOL_DEFAULT;
	uint32_t number;
	int r;

	if (addr & ~ONDOL_PAGE_MASK || (length && !size) || end < addr)
		return -ONDOL_EINVAL;
	if (!size)
		return 0;
	r = policy_number(mm->m, policy, &number);
	while (!r && at < end) {
		struct vma *vma = vma_find(mm, at);

		if (!over_holes && (!vma || vma->start > at))
			r = -ONDOL_EFAULT;
		if (r || !vma || vma->start >= end)
			break;
		at = min_u64(vma->end, end);
		r = bind_region(mm, vma, max_u64(vma->start, addr), at, number);
	}
	policy_put(mm->m, number);
	return r;
}

int ondol_vma_policy(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
		     struct ondol_mempolicy *out_policy)
{
	const struct vma *vma = vma_find(mm, addr);

	if (!vma || vma->start > addr)
		return -ONDOL_EFAULT;
	policy_read(mm->m, vma->policy, out_policy);
	return 0;
}

/* ------------------------------------------------------------------ pages */

/* The entry of the page at addr, present; or what ondol_page_node_at answers. */
static int find_page(struct ondol_mm_struct *mm, uint64_t addr, void **out_slot)
{
	const struct vma *vma = vma_find(mm, addr);
	void *slot;

	if (!vma || vma->start > addr || vma_is_native(vma))
		return -ONDOL_EFAULT;
	slot = pgtable_find(&mm->pgt, align_down(addr, ONDOL_PAGE_SIZE));
	if (!slot || !pte_present(mm, pte_get(&mm->pgt, slot)))
		return -ONDOL_ENOENT;
	*out_slot = slot;
	return 0;
}

int ondol_page_node_at(struct ondol_mm_struct *mm, ondol_virt_addr_t addr)
{
	void *slot;
	int r = find_page(mm, addr, &slot);

	return r ? r : (int)ondol_page_node(pte_page(mm, pte_get(&mm->pgt, slot)));
}

/* Only the entry it was found by maps it. */
static bool is_mapped_once(const struct ondol_page *page)
{
	if (page_use(page) == ONDOL_PAGE_ANON)
		return page_refs(page) == 1;
	return __atomic_load_n(&page->data.mapcount, __ATOMIC_RELAXED) == 1;
}

static struct ondol_page *frame_on(struct ondol_machine *m, unsigned node)
{
	return ondol_alloc_pages_node(m, (int)node,
				      ONDOL_GFP_HIGHMEM | ONDOL_GFP_MOVABLE | ONDOL_GFP_THISNODE |
					      ONDOL_GFP_NOWARN, 0);
}

/* Put on the migration; -ONDOL_ENOMEM or -ONDOL_EBUSY. */
static int add_page(struct migration *mig, struct ondol_page *page, unsigned node)
{
	struct ondol_page *frame = frame_on(mig->m, node);

	if (!frame)
		return -ONDOL_ENOMEM;
	if (migrate_add(mig, page, frame))
		return 0;
	ondol_put_page(mig->m, frame);
	return -ONDOL_EBUSY;
}

int ondol_move_page(struct ondol_mm_struct *mm, ondol_virt_addr_t addr, unsigned node, bool all)
{
	struct migration mig = { .m = mm->m, .first = ONDOL_PAGE_NIL };
	uint64_t at = align_down(addr, ONDOL_PAGE_SIZE);
	struct ondol_page *page;
	bool once;
	void *slot;
	int r;

	if (node >= mm->m->nr_nodes || !(ondol_nodes_with_memory(mm->m) >> node & 1))
		return -ONDOL_EINVAL;
	r = find_page(mm, at, &slot);
	if (r)
		return r;
	page = pte_page(mm, pte_get(&mm->pgt, slot));
	if (ondol_page_node(page) == node)
		return (int)node;
	once = is_mapped_once(page);
	if (!once && !all)
		return -ONDOL_EACCES;
	r = add_page(&mig, page, node);
	if (r)
		return r;
	migrate_run(&mig, once ? mm : NULL, at);
	return migrate_finish(&mig) ? -ONDOL_EBUSY : (int)node;
}

/* ------------------------------------------------------------------ ranges */

struct walk {
	struct ondol_mm_struct *mm;
	uint64_t leave;  /* nodes whose pages stay */
	uint64_t failed; /* pages that had to move and could not, or, only counting, all of them */
	/* Where a page goes; -1: nowhere, only count. */
	int (*target)(const struct walk *w, const struct vma *vma, uint64_t addr, unsigned node);
	const struct ondol_mempolicy *policy;
	uint64_t from, to;
	bool all;                /* also what others map: */
	struct migration shared; /* at the end, in one go */
};

static bool move_walked(struct walk *w, uint64_t addr, struct ondol_page *page, unsigned node)
{
	if (is_mapped_once(page) || !w->all)
		return ondol_move_page(w->mm, addr, node, false) >= 0;
	/* Mapped here twice, it may wait already. */
	return page->flags & ONDOL_PG_MOVING || !add_page(&w->shared, page, node);
}

static void walk_region(struct walk *w, const struct vma *vma, uint64_t start, uint64_t end)
{
	struct pgtable_span span;

	/* Software-filled hardware is told once for the region, not page by page. */
	if (w->target)
		tlb_forget(w->mm, start, end);
	pgtable_for_each_span(&w->mm->pgt, span, start, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&w->mm->pgt, slot)) {
			uint64_t pte = pte_get(&w->mm->pgt, slot);
			struct ondol_page *page;
			unsigned node;
			int to;

			if (!pte_present(w->mm, pte))
				continue;
			page = pte_page(w->mm, pte);
			node = ondol_page_node(page);
			if (w->leave >> node & 1)
				continue;
			to = w->target ? w->target(w, vma, addr, node) : -1;
			w->failed += to < 0 || !move_walked(w, addr, page, (unsigned)to);
		}
	}
}

static uint64_t walk_range(struct walk *w, uint64_t start, uint64_t end)
{
	w->shared = (struct migration){ .m = w->mm->m, .first = ONDOL_PAGE_NIL };
	for (const struct vma *vma = vma_find(w->mm, start); vma && vma->start < end;
	     vma = vma_next(vma))
		if (!vma_is_native(vma))
			walk_region(w, vma, max_u64(vma->start, start), min_u64(vma->end, end));
	migrate_run(&w->shared, NULL, 0);
	return w->failed + migrate_finish(&w->shared);
}

/* The nearest of the policy's nodes that has a frame to spare is found by asking for one. */
static int target_of_policy(const struct walk *w, const struct vma *vma, uint64_t addr,
			    unsigned node)
{
	struct ondol_machine *m = w->mm->m;
	struct ondol_page *page;

	(void)node;
	if (mpol_interleaves(w->policy))
		return (int)mpol_interleave_node(m, w->policy, vma_index_at(vma, addr));
	page = ondol_alloc_pages_mpol(m, w->policy, 0,
				      ONDOL_GFP_HIGHMEM | ONDOL_GFP_MOVABLE | ONDOL_GFP_NOWARN, 0);
	if (!page)
		return -1;
	node = ondol_page_node(page);
	ondol_put_page(m, page);
	return (int)node;
}

uint64_t ondol_migrate_to_policy(struct ondol_mm_struct *mm, ondol_virt_addr_t start,
				 ondol_virt_addr_t end, const struct ondol_mempolicy *policy,
				 bool all)
{
	struct walk w = { .mm = mm, .leave = policy->nodes, .policy = policy, .all = all,
			  .target = target_of_policy };

	return policy->nodes ? walk_range(&w, start, min_u64(end, mm->task_size)) : 0;
}

static int target_of_node(const struct walk *w, const struct vma *vma, uint64_t addr,
			  unsigned node)
{
	unsigned rank = 0, n = 0, left;

	(void)vma, (void)addr;
	for (uint64_t nodes = w->from & ((UINT64_C(1) << node) - 1); nodes; nodes &= nodes - 1)
		rank++;
	for (uint64_t nodes = w->to; nodes; nodes &= nodes - 1)
		n++;
	left = rank % n;
	for (uint64_t nodes = w->to;; nodes &= nodes - 1)
		if (!left--)
			return __builtin_ctzll(nodes);
}

uint64_t ondol_migrate_nodes(struct ondol_mm_struct *mm, uint64_t from, uint64_t to, bool all)
{
	struct walk w = { .mm = mm, .leave = ~from, .from = from, .to = to, .all = all,
			  .target = target_of_node };

	to &= ondol_nodes_with_memory(mm->m);
	w.to = to;
	return to ? walk_range(&w, 0, mm->task_size) : 0;
}

uint64_t ondol_pages_outside(struct ondol_mm_struct *mm, ondol_virt_addr_t start,
			     ondol_virt_addr_t end, uint64_t nodes)
{
	struct walk w = { .mm = mm, .leave = nodes };

	return walk_range(&w, start, min_u64(end, mm->task_size));
}

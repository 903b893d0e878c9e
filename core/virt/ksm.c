/* SPDX-License-Identifier: MIT */
/*
 * Same-page merging: private pages with equal contents share one frame until one is written.
 *
 * 1 What problem.  Programs that are alike have much that is equal: the memory of machines that
 *   run the same system, tables that every process computes for itself, pages of zeroes.  A fork
 *   shares it from the beginning; here what has become equal is found afterwards.  It costs reading
 *   all of it again and again, so it is done only where a program asks (MADV_MERGEABLE).
 *
 * 2 Terms.  merged: a frame that the scanner has made the one for its contents; marked KSM.  node:
 *   its record in the stable tree, which is ordered by checksum.  round: one scan over all
 *   mergeable regions of all mms, in as many steps as the embedder likes.  seen: a frame whose
 *   contents were the same one round ago, and which has no equal so far.
 *
 * 3 How it works.  Four equal pages in private regions, of one mm or of several:
 *
 *      round 1      a    b    c    d     each frame's record keeps the checksum of its contents
 *      round 2      a                    the same as a round ago: seen
 *                        B               equals a seen one: merged, though nobody shares it yet
 *                        B<---B<---B     c and d equal a merged one: their entries name it,
 *                                        and their own frames are free
 *      round 3      B                    and so does a's
 *      a write      e    B    B    B     as after a fork: the writer gets a copy (cow.c)
 *
 *   A merged frame is what a fork leaves of a shared page: private memory with several entries,
 *   none of which may be written [COW-1, COW-2].  So copying, fork, swap, migration and everything
 *   that counts frames need to know nothing of it: there are no reverse maps here that would want
 *   all of a frame's entries at the same address.  There are two differences: a write copies even
 *   where one entry alone is left [KSM-2], so that the contents of a node never change; and who
 *   takes an entry away (put_mapped), adds one (fork) or moves the frame tells us.
 *
 *   `seen` is a hash table of frame numbers, made anew in each round, and never trusted: what it
 *   names is compared byte by byte, and may be something else by now.  So frames and mms may come
 *   and go between two steps.  For the same reason the first of two equal pages is merged a round
 *   later: nobody knows where its entry is.
 *
 * 4 Before pages are compared for good the hardware is told to let go of them: entries of all that
 *   may be merged of a window are made absent, then the hardware is told, once; then checksum and
 *   contents are looked at again, since a program may have written up to here.
 *
 *   Where the hardware does not tell of writes (ONDOL_MMU_NO_WRITE_TRAP), a page that is looked at
 *   in a writable region is the program's own again, just as after a fork.  Merging what is in use
 *   would be for nothing there, so such hardware is told to forget what it has used since the last
 *   round, and what it has not used again in the next round is merged.
 *
 * 5 Left alone: pages of locked regions, whose writes shall not wait for memory; what the port's
 *   `busy` keeps; frames with references beyond their entries.  A large leaf is split where a page
 *   under it has an equal.
 *
 * 6 Invariants, checked by ondol_machine_validate.
 *   [KSM-1] A node of the tree names a frame of private memory, marked, which names it; the tree
 *           is in order and as large as there are marked frames.
 *   [KSM-2] No entry of a marked frame is writable, even if there is but one.
 *   [KSM-3] A node's checksum is that of its frame's contents.
 *   [KSM-4] nr_maps counts the entries of marked frames, of which each has one at least.
 *
 * 7 Concurrency.  While a step runs no call on any mm may run (ondol_ksm_scan says so).  Entries go
 *   at any other time, on several CPUs at once, so the tree and the mapcount of marked frames have
 *   a lock.
 * 8 What can fail.  Memory for a node or for `seen`: pages are merged in another round.  Nothing
 *   is reclaimed for them.
 * 9 How to see it.  ksm_* in ondol_machine_stats; cow_ksm in vmstat; `mg` in smaps.
 * 10 Sources.  Linux Documentation/admin-guide/mm/ksm.rst, mm/ksm.c for behaviour; Arcangeli,
 *   Eidus and Wright, "Increasing memory density by using KSM" (2009).  Linux keeps a record for
 *   each page that it has scanned (64 bytes) and its place in a second tree; here the checksum is
 *   in the frame's record, and `seen` has 8 to 16 bytes a frame while a round lasts.
 */
#include "virt/ksm.h"

#define WINDOW 64u /* pages that one flush is for: bits of a word */
#define SEEN_MIN 1024u
/* Of one checksum so many frames are compared: who makes pages for it gains nothing. */
#define COMPARES_MAX 16u

/* ------------------------------------------------------------------ contents */

static inline uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 over the golden ratio */
	return sum ^ sum >> 32;
}

uint64_t ksm_checksum(struct ondol_machine *m, const struct ondol_page *page)
{
	uint64_t sum[4] = { 1, 2, 3, 4 }; /* of every fourth word: none waits for another */
	struct kmap_local map;
	const uint64_t *word = kmap_local(m, page, &map);

	for (unsigned i = 0; i < ONDOL_PAGE_SIZE / sizeof *word; i += 4)
		for (unsigned lane = 0; lane < 4; lane++)
			sum[lane] = mix(sum[lane], word[i + lane]);
	kunmap_local(m, &map);
	sum[0] = mix(mix(mix(sum[0], sum[1]), sum[2]), sum[3]);
	return sum[0] ? sum[0] : 1;
}

static bool same_contents(struct ondol_machine *m, const struct ondol_page *a,
			  const struct ondol_page *b)
{
	struct kmap_local a_map, b_map;
	const void *a_bytes = kmap_local(m, a, &a_map);
	const void *b_bytes = kmap_local(m, b, &b_map);
	bool same = !__builtin_memcmp(a_bytes, b_bytes, ONDOL_PAGE_SIZE);

	kunmap_local(m, &b_map);
	kunmap_local(m, &a_map);
	return same;
}

/* What a frame's record has room for. */
static inline uintptr_t short_sum(uint64_t sum)
{
	uintptr_t s = (uintptr_t)sum;

	return s ? s : 1;
}

/* ------------------------------------------------------------------ merged frames */

#define node_of(rb_) rb_entry_or_null(rb_, struct ksm_node, rb)

/* The first node with that checksum, or NULL. */
static struct ksm_node *first_node(const struct ksm_state *ksm, uint64_t sum)
{
	struct rb_node *at = ksm->stable.node;
	struct ksm_node *found = NULL;

	while (at) {
		struct ksm_node *node = node_of(at);

		if (node->checksum == sum)
			found = node;
		at = sum <= node->checksum ? at->left : at->right;
	}
	return found;
}

/* The merged frame with the contents of `page`, whose checksum is `sum`, or NULL. */
static struct ondol_page *find_merged(struct ondol_machine *m, const struct ondol_page *page,
				      uint64_t sum)
{
	struct ksm_node *node = first_node(m->virt->ksm, sum);

	for (unsigned n = 0; n < COMPARES_MAX && node && node->checksum == sum; n++) {
		if (same_contents(m, node->page, page))
			return node->page;
		node = node_of(rb_next(&node->rb));
	}
	return NULL;
}

/* The frame is the one for its contents from now on.  False: no memory. */
static bool make_merged(struct ondol_machine *m, struct ondol_page *page, uint64_t sum)
{
	struct ksm_state *ksm = m->virt->ksm;
	struct rb_node **link = &ksm->stable.node, *parent = NULL;
	struct ksm_node *node = ondol_kmalloc(m, sizeof *node, ONDOL_GFP_NOWAIT | ONDOL_GFP_NOWARN);

	if (!node)
		return false;
	node->checksum = sum;
	node->page = page;
	while (*link) {
		parent = *link;
		link = sum < node_of(parent)->checksum ? &parent->left : &parent->right;
	}
	rb_insert(&ksm->stable, parent, link, &node->rb, NULL);
	ksm->nr_nodes++;
	ksm->nr_maps += page->data.mapcount;
	page->data.ksm = node;
	__atomic_fetch_or(&page->flags, ONDOL_PG_KSM, __ATOMIC_RELAXED);
	return true;
}

/* Entries go on several CPUs at once: who takes the last one must know that. */
void ksm_unmap(struct ondol_machine *m, struct ondol_page *page)
{
	struct ksm_state *ksm = m->virt->ksm;
	struct ksm_node *node = NULL;
	uintptr_t saved = lock_irqsave(m->port, &ksm->lock, m->phys->smp);

	__atomic_fetch_sub(&ksm->nr_maps, 1, __ATOMIC_RELAXED);
	if (!__atomic_sub_fetch(&page->data.mapcount, 1, __ATOMIC_RELAXED)) {
		node = page->data.ksm;
		rb_erase(&ksm->stable, &node->rb, NULL);
		ksm->nr_nodes--;
		page->data.ksm = NULL;
		__atomic_fetch_and(&page->flags, ~ONDOL_PG_KSM, __ATOMIC_RELAXED);
	}
	unlock_irqrestore(m->port, &ksm->lock, m->phys->smp, saved);
	ondol_kfree(m, node);
}

void ksm_move(struct ondol_machine *m, struct ondol_page *old, struct ondol_page *new)
{
	struct ksm_state *ksm = m->virt->ksm;
	uintptr_t saved = lock_irqsave(m->port, &ksm->lock, m->phys->smp);

	new->data.ksm = old->data.ksm;
	new->data.ksm->page = new;
	__atomic_fetch_or(&new->flags, ONDOL_PG_KSM, __ATOMIC_RELAXED);
	__atomic_fetch_and(&old->flags, ~ONDOL_PG_KSM, __ATOMIC_RELAXED);
	unlock_irqrestore(m->port, &ksm->lock, m->phys->smp, saved);
}

/* ------------------------------------------------------------------ seen frames */

static uint32_t *seen_slot(const struct ksm_state *ksm, uint64_t i)
{
	return swap_table_at(&ksm->seen, i & (ksm->nr_slots - 1));
}

/* Whether the frame of the slot, of which nothing is known, is another with this checksum. */
static bool may_equal(const struct ondol_page *other, const struct ondol_page *page, uint64_t sum)
{
	return other != page && page_use(other) == ONDOL_PAGE_ANON && !page_is_merged(other) &&
	       other->data.checksum == short_sum(sum);
}

/*
 * Is there another with this checksum?  Else it is noted, or, if that frame has another entry,
 * has been already.
 */
static bool seen_or_note(struct ondol_machine *m, const struct ondol_page *page, uint64_t sum)
{
	struct ksm_state *ksm = m->virt->ksm;
	uint32_t own = (uint32_t)(page - m->pages) + 1, *slot;
	uint64_t i = sum;

	if (!ksm->nr_slots)
		return false;
	for (slot = seen_slot(ksm, i); *slot && *slot != own; slot = seen_slot(ksm, ++i))
		if (may_equal(&m->pages[*slot - 1], page, sum))
			return true;
	/* A quarter stays free, so that every search ends; what has no room waits for a round. */
	if (*slot == own || 4 * ksm->nr_seen >= 3 * ksm->nr_slots)
		return false;
	*slot = own;
	ksm->nr_seen++;
	ksm->unshared++;
	return false;
}

/* The same once more, with nobody writing to the page, and by its contents. */
static bool has_equal(struct ondol_machine *m, const struct ondol_page *page, uint64_t sum)
{
	struct ksm_state *ksm = m->virt->ksm;
	uint64_t i = sum;
	unsigned n = 0;

	for (const uint32_t *slot; ksm->nr_slots && *(slot = seen_slot(ksm, i)); i++) {
		const struct ondol_page *other = &m->pages[*slot - 1];

		if (!may_equal(other, page, sum))
			continue;
		if (same_contents(m, other, page))
			return true;
		if (++n == COMPARES_MAX)
			break;
	}
	return false;
}

/* ------------------------------------------------------------------ a window */

struct window {
	struct ondol_mm_struct *mm;
	const struct vma *vma;
	uint64_t start; /* of WINDOW pages at most, of one table */
	uint32_t nr;
	unsigned char *slot; /* of start */
	uint64_t looked_at;  /* bit i: page i could be merged */
	uint64_t in_use;     /* and the hardware had used it, and does not tell of writes */
	uint64_t chosen;     /* and has an equal, by its checksum */
};

#define for_each_page_of(i, bits) \
	for (uint64_t left_ = (bits), i; left_ && (i = (uint64_t)__builtin_ctzll(left_), true); \
	     left_ &= left_ - 1)

static inline void *slot_of(const struct window *w, uint64_t i)
{
	return w->slot + i * w->mm->pgt.format->pte_size;
}

/* Private, nobody has a reference beside entries and slot, and it is not merged. */
static bool is_candidate(const struct ondol_mm_struct *mm, uint64_t pte)
{
	const struct ondol_page *page;

	if (!pte_present(mm, pte))
		return false;
	page = pte_page(mm, pte);
	return page_use(page) == ONDOL_PAGE_ANON && !page_is_merged(page) &&
	       page_refs(page) ==
		       page->data.mapcount + (page->flags & ONDOL_PG_SWAPCACHE ? 1 : 0);
}

/* Whether the port lets the pages go to other frames. */
static bool port_lets(const struct window *w)
{
	const struct ondol_machine *m = w->mm->m;

	return !m->mmu || !m->mmu->busy ||
	       m->mmu->busy(m->mmu_ctx, w->mm, w->start,
			    w->start + ((uint64_t)w->nr << ONDOL_PAGE_SHIFT)) == ONDOL_MMU_IDLE;
}

/* As it was a round ago, and there is an equal? */
static bool is_choice(struct ondol_machine *m, struct ondol_page *page, bool in_use)
{
	struct ksm_state *ksm = m->virt->ksm;
	uint64_t sum = ksm_checksum(m, page);

	if (page->data.checksum != short_sum(sum) || in_use) {
		page->data.checksum = short_sum(sum);
		ksm->volatile_pages++;
		return false;
	}
	return first_node(ksm, sum) || seen_or_note(m, page, sum);
}

/* No hardware reaches the chosen pages any more; entries keep all but the bits that let it. */
static void hide(const struct window *w)
{
	struct ondol_mm_struct *mm = w->mm;
	const struct ondol_pgtable_format *f = mm->pgt.format;
	uint64_t first = (uint64_t)__builtin_ctzll(w->chosen), last = log2_u64(w->chosen);
	uint64_t lo = w->start + (first << ONDOL_PAGE_SHIFT);
	uint64_t hi = w->start + ((last + 1) << ONDOL_PAGE_SHIFT);
	bool cached = false;

	tlb_forget(mm, lo, hi);
	for_each_page_of(i, w->chosen) {
		uint64_t pte;

		huge_split_at(mm, w->start + (i << ONDOL_PAGE_SHIFT));
		pte = pte_exchange(&mm->pgt, slot_of(w, i), 0);
		pte_set(&mm->pgt, slot_of(w, i), pte & ~(f->present_mask | f->accessed_mask));
		cached |= (pte & f->accessed_mask) != 0;
	}
	if (cached)
		tlb_invalidate(mm, lo, hi);
}

/* A hidden page, which nobody can write: its entry names the frame for its contents, if any. */
static void settle(const struct window *w, uint64_t i)
{
	struct ondol_mm_struct *mm = w->mm;
	struct ondol_machine *m = mm->m;
	const struct ondol_pgtable_format *f = mm->pgt.format;
	uint64_t pte = pte_get(&mm->pgt, slot_of(w, i)) | f->present_mask, sum;
	struct ondol_page *page = pte_page(mm, pte), *merged;

	sum = ksm_checksum(m, page);
	merged = find_merged(m, page, sum);
	if (merged) {
		ondol_get_page(m, merged);
		page_add_map(merged);
		ksm_note_map(m, merged);
		pte = pte_template(mm, flags_prot(w->vma->flags) & ~(uint32_t)ONDOL_PROT_WRITE) |
		      (machine_page_pfn(m, merged) << ONDOL_PAGE_SHIFT) | (pte & f->dirty_mask);
		pte_set(&mm->pgt, slot_of(w, i), pte);
		put_mapped(m, page);
		m->virt->ksm->merged++;
		return;
	}
	page->data.checksum = short_sum(sum);
	if (has_equal(m, page, sum) && make_merged(m, page, sum))
		pte &= ~f->write_mask;
	pte_set(&mm->pgt, slot_of(w, i), pte);
}

/* How many pages were looked at. */
static uint64_t scan_window(struct window *w)
{
	struct ondol_mm_struct *mm = w->mm;
	const struct ondol_pgtable_format *f = mm->pgt.format;
	bool look_separates = mm->no_write_trap && flags_are_cow(w->vma->flags);
	uint64_t n = 0;

	for (uint64_t i = 0; i < w->nr; i++) {
		uint64_t pte = pte_get(&mm->pgt, slot_of(w, i));

		if (!is_candidate(mm, pte))
			continue;
		w->looked_at |= UINT64_C(1) << i;
		n++;
		if (look_separates && (pte & f->accessed_mask))
			w->in_use |= UINT64_C(1) << i;
	}
	if (!n || !port_lets(w))
		return 0;
	if (w->in_use)
		tlb_forget(mm, w->start, w->start + ((uint64_t)w->nr << ONDOL_PAGE_SHIFT));
	for_each_page_of(i, w->looked_at)
		if (is_choice(mm->m, pte_page(mm, pte_get(&mm->pgt, slot_of(w, i))),
			      w->in_use >> i & 1))
			w->chosen |= UINT64_C(1) << i;
	if (w->chosen) {
		hide(w);
		for_each_page_of(i, w->chosen)
			settle(w, i);
	}
	return n;
}

/* ------------------------------------------------------------------ rounds */

bool ksm_compatible(const struct vma *vma)
{
	return !(vma->flags & (ONDOL_VM_SHARED | ONDOL_VM_MAYSHARE | ONDOL_VM_DROPPABLE)) &&
	       !(vma_is_native(vma) && !vma->file);
}

static bool is_wanted(const struct vma *vma)
{
	return (vma->flags & ONDOL_VM_MERGEABLE) &&
	       !(vma->flags & (ONDOL_VM_LOCKED | ONDOL_VM_NATIVE | ONDOL_VM_SHARED));
}

/* From mm->ksm_at on, until so many pages were looked at or the mm's part of the round is done. */
static void scan_mm(struct ondol_mm_struct *mm, uint64_t *nr_pages)
{
	const uint64_t window = (uint64_t)WINDOW << ONDOL_PAGE_SHIFT;
	struct ksm_state *ksm = mm->m->virt->ksm;
	const struct vma *vma = mm->ksm_at < mm->task_size ? vma_find(mm, mm->ksm_at) : NULL;
	bool whole = !mm->ksm_at, any = false;
	struct pgtable_span span;

	for (; vma; vma = vma_next(vma)) {
		uint64_t at = max_u64(mm->ksm_at, vma->start);

		any |= (vma->flags & ONDOL_VM_MERGEABLE) != 0;
		/* A region may be far larger than what of it has tables. */
		while (is_wanted(vma) && at < vma->end &&
		       pgtable_next(&mm->pgt, 0, at, vma->end, &span)) {
			struct window w = { .mm = mm, .vma = vma, .start = span.addr,
					    .slot = span.slot };
			uint64_t end = min_u64(align_down(span.addr, window) + window, span.end);
			uint64_t n;

			mm->ksm_at = span.addr;
			if (!*nr_pages)
				return;
			w.nr = (uint32_t)((end - span.addr) >> ONDOL_PAGE_SHIFT);
			n = scan_window(&w);
			ksm->scanned += n;
			*nr_pages -= min_u64(*nr_pages, n ? n : 1);
			at = mm->ksm_at = end;
		}
	}
	mm->ksm_at = 0;
	mm->ksm_round = ksm->round;
	if (whole && !any)
		mm->mergeable = false; /* until it asks again */
}

/* An mm that has a part in the round which is to come, or NULL. */
static struct ondol_mm_struct *next_mm(struct ondol_machine *m, uint32_t round)
{
	list_for_each(node, &m->virt->mms) {
		struct ondol_mm_struct *mm = container_of(node, struct ondol_mm_struct, link);

		if (mm->mergeable && mm->ksm_round != round)
			return mm;
	}
	return NULL;
}

/* Room for twice the private frames that there are, if there is memory. */
static void begin_round(struct ondol_machine *m)
{
	struct ksm_state *ksm = m->virt->ksm;
	uint64_t frames = (uint64_t)phys_use_count(m, ONDOL_PAGE_ANON);

	for (ksm->nr_slots = SEEN_MIN; ksm->nr_slots < 2 * frames;)
		ksm->nr_slots *= 2;
	if (swap_table_init(m, &ksm->seen, ksm->nr_slots, 2, ONDOL_GFP_NOWAIT))
		ksm->nr_slots = 0;
	ksm->nr_seen = ksm->unshared = ksm->volatile_pages = 0;
	ksm->round++;
	ksm->in_round = true;
}

static void end_round(struct ondol_machine *m)
{
	struct ksm_state *ksm = m->virt->ksm;

	swap_table_fini(m, &ksm->seen);
	ksm->nr_slots = 0;
	ksm->last_unshared = ksm->unshared;
	ksm->last_volatile = ksm->volatile_pages;
	ksm->full_scans++;
	ksm->in_round = false;
}

uint64_t ondol_ksm_scan(struct ondol_machine *m, uint64_t nr_pages)
{
	struct ksm_state *ksm = m->virt->ksm;
	struct ondol_mm_struct *mm;
	uint64_t before;

	if (!ksm) {
		if (!next_mm(m, UINT32_MAX))
			return 0;
		ksm = ondol_kzalloc(m, sizeof *ksm, ONDOL_GFP_NOWAIT | ONDOL_GFP_NOWARN);
		if (!ksm)
			return 0;
		m->virt->ksm = ksm;
	}
	if (!ksm->in_round && !next_mm(m, ksm->round + 1))
		return 0;
	if (!ksm->in_round)
		begin_round(m);
	before = ksm->merged;
	/* One round at most: what was looked at in this call is not looked at again. */
	while (nr_pages && (mm = next_mm(m, ksm->round)))
		scan_mm(mm, &nr_pages);
	if (!next_mm(m, ksm->round))
		end_round(m);
	return ksm->merged - before;
}

void ksm_fini(struct ondol_machine *m)
{
	struct ksm_state *ksm = m->virt->ksm;

	if (!ksm || ksm->nr_nodes) /* a leak, told as such */
		return;
	swap_table_fini(m, &ksm->seen);
	m->virt->ksm = NULL;
	ondol_kfree(m, ksm);
}

/* ------------------------------------------------------------------ and back */

static int unmerge_page(struct ondol_mm_struct *mm, struct vma *vma, uint64_t addr, void *slot)
{
	struct ondol_fault_result result = { ONDOL_FAULT_SPURIOUS, 0, false };
	struct fault f = { .mm = mm, .vma = vma, .addr = addr, .access = ONDOL_FAULT_WRITE,
			   .around = 1, .slot = slot, .result = &result };
	int r;

	mm->faulting = addr; /* whatever is reclaimed for the copy, it is not this page */
	fault_take_policy(&f);
	r = fault_copy(&f);
	mm->faulting = UINT64_MAX;
	return r;
}

int ksm_unmerge(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start, uint64_t end)
{
	struct pgtable_span span;

	if (!mm->m->virt->ksm || vma_is_native(vma))
		return 0;
	pgtable_for_each_span(&mm->pgt, span, start, end) {
		void *slot = span.slot;

		for (uint64_t addr = span.addr; addr < span.end;
		     addr += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			uint64_t pte = pte_get(&mm->pgt, slot);
			int r;

			if (!pte_present(mm, pte) || !page_is_merged(pte_page(mm, pte)))
				continue;
			r = unmerge_page(mm, vma, addr, slot);
			if (r)
				return r;
		}
	}
	return 0;
}

void ksm_stats(const struct ondol_machine *m, struct ondol_machine_stats *stats)
{
	const struct ksm_state *ksm = m->virt ? m->virt->ksm : NULL;

	stats->ksm_pages_shared = stats->ksm_pages_sharing = stats->ksm_pages_unshared = 0;
	stats->ksm_pages_volatile = stats->ksm_full_scans = stats->ksm_pages_scanned = 0;
	stats->ksm_pages_merged = 0;
	if (!ksm)
		return;
	stats->ksm_pages_shared = ksm->nr_nodes;
	stats->ksm_pages_sharing = __atomic_load_n(&ksm->nr_maps, __ATOMIC_RELAXED) -
				   ksm->nr_nodes;
	stats->ksm_pages_unshared = ksm->last_unshared;
	stats->ksm_pages_volatile = ksm->last_volatile;
	stats->ksm_full_scans = ksm->full_scans;
	stats->ksm_pages_scanned = ksm->scanned;
	stats->ksm_pages_merged = ksm->merged;
}

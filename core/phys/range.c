/* SPDX-License-Identifier: MIT */
/*
 * Frames by other measures than the order: many at once, an exact number, just these, a whole bank,
 * a balloon.
 *
 *	trimmed block       | 8: head and tails | 1 | what goes back: 1 | 2 | 4 |    range_trim to 9
 *
 *	contiguous range    claim what is free, move what is movable, claim again; all or nothing
 *	bank offline        a range that becomes RESERVED and OFFLINE; managed and limits follow
 *	balloon             single frames, linked by their records, held by Ondol itself
 *
 * A frame of a range on its way is HELD: of use KERNEL with one reference, the range's.  Whatever
 * becomes free in it is held at once and so never handed out again:
 *
 *	in use    free    in use    free
 *	in use    HELD    in use    HELD     claim
 *	HELD      HELD    HELD      HELD     evacuate: contents are outside (core/virt/migrate.c)
 *
 * What else is in use (page tables, slabs, the kernel's own) stays where it is: the range is
 * refused, before anything is moved, and the refusal names the first such frame.
 */
#include "base/math.h"
#include "phys/buddy.h"
#include "phys/range.h"
#include "phys/section.h"
#include "phys/shelf.h"

uint32_t ondol_alloc_pages_bulk(struct ondol_machine *m, ondol_gfp_t gfp, uint32_t nr,
				struct ondol_page **out)
{
	for (uint32_t i = 0; i < nr; i++) {
		out[i] = ondol_alloc_pages(m, gfp, 0);
		if (!out[i])
			return i;
	}
	return nr;
}

struct ondol_page *ondol_alloc_pages_exact(struct ondol_machine *m, ondol_gfp_t gfp,
					   uint32_t nr_pages)
{
	unsigned order = nr_pages > 1 ? log2_u64(nr_pages - 1) + 1 : 0;
	struct ondol_page *page;

	if (!nr_pages)
		return NULL;
	page = ondol_alloc_pages(m, gfp & ~ONDOL_GFP_COMP, order);
	if (!page || !order)
		return page;
	ondol_split_page(m, page, order);
	ondol_free_pages_exact(m, page + nr_pages, (1u << order) - nr_pages);
	return page;
}

void ondol_free_pages_exact(struct ondol_machine *m, struct ondol_page *page, uint32_t nr_pages)
{
	for (uint32_t i = 0; i < nr_pages; i++)
		ondol_free_pages(m, &page[i], 0);
}

/* ------------------------------------------------------------------ trimmed blocks */

/*
 * [RANGE-1] A run of n frames that was trimmed off a block is pieces of the buddy system's, of the
 *           orders of n's bits, the highest first.  Each piece has a reference and its order; each
 *           frame but the first is a TAIL that names the first.
 */
static unsigned piece_order(uint32_t nr, uint32_t at)
{
	return log2_u64(nr - at);
}

static void set_piece(struct ondol_page *page, uint32_t flags, unsigned order)
{
	store_relaxed(&page->flags, flags | order << ONDOL_PG_ORDER_SHIFT);
	__atomic_store_n(&page->refcount, 1, __ATOMIC_RELAXED);
}

/* A block of 2^order frames is the pieces of two runs from now on, `nr` frames and the others. */
static void note_pieces(struct ondol_zone *zone, unsigned order, uint32_t nr)
{
	struct ondol_machine *m = zone->m;
	uint32_t pieces = 0;
	uintptr_t irq;

	for (unsigned bit = 0; bit < order; bit++)
		pieces += (nr >> bit & 1) + (((1u << order) - nr) >> bit & 1);
	irq = port_irq_save(m->port);
	add_relaxed(&zone->pcp[machine_this_cpu(m)].nr_allocs, pieces - 1);
	port_irq_restore(m->port, irq);
	if (m->profile->lazy != ONDOL_LAZY_DELAY2)
		return;
	irq = zone_lock(zone);
	buddy_note_pieces(zone, order, nr);
	zone_unlock(zone, irq);
}

/* The frames behind the first have no marks any more, as in a block that is not compound. */
static void unmark_tails(const struct ondol_zone *zone, struct ondol_page *page, unsigned order)
{
	for (uint32_t i = 1; i < 1u << order; i++)
		store_relaxed(&page[i].flags, zone->flags);
}

void range_trim(struct ondol_machine *m, struct ondol_page *head, unsigned order, uint32_t nr)
{
	struct ondol_zone *zone = page_zone(m, head);
	uint32_t plain = head->flags & ~(ONDOL_PG_ORDER_MASK << ONDOL_PG_ORDER_SHIFT |
					 ONDOL_PG_COMP | ONDOL_PG_ZEROED);

	ONDOL_VERIFY(m, head->flags & ONDOL_PG_COMP && page_order(head) == order && nr > 1 &&
		     nr < 1u << order, "RANGE-1", page_index(m, head), nr);
	note_pieces(zone, order, nr);
	set_piece(head, plain | ONDOL_PG_COMP, piece_order(nr, 0));
	for (uint32_t at = 1u << piece_order(nr, 0); at < nr; at += 1u << piece_order(nr, at))
		set_piece(&head[at], plain | ONDOL_PG_TAIL, piece_order(nr, at));
	for (uint32_t at = nr; at < 1u << order;) {
		unsigned back = (unsigned)__builtin_ctz(at);

		unmark_tails(zone, &head[at], back);
		set_piece(&head[at], plain, back);
		ondol_free_pages(m, &head[at], back);
		at += 1u << back;
	}
}

void range_free(struct ondol_machine *m, struct ondol_page *head, uint32_t nr)
{
	struct ondol_zone *zone = page_zone(m, head);
	uint32_t at = 1u << piece_order(nr, 0);

	while (at < nr) {
		unsigned order = piece_order(nr, at);

		ONDOL_VERIFY(m, head[at].flags & ONDOL_PG_TAIL && page_order(&head[at]) == order,
			     "RANGE-1", page_index(m, head) + at, head[at].flags);
		unmark_tails(zone, &head[at], order);
		store_relaxed(&head[at].flags, head[at].flags & ~ONDOL_PG_TAIL);
		ondol_free_pages(m, &head[at], order);
		at += 1u << order;
	}
	ondol_free_pages(m, head, piece_order(nr, 0));
}

/* ------------------------------------------------------------------ just these */

/* The one zone of the frames, whose records are there then; NULL: they are not of one. */
static struct ondol_zone *zone_of_range(struct ondol_machine *m, ondol_pfn_t start,
					uint32_t nr_pages)
{
	struct ondol_zone *zone = NULL;

	for (uint32_t i = 0; i < nr_pages; i++) {
		struct ondol_page *page = ondol_pfn_to_page(m, ondol_pfn(start.value + i));

		if (!page || (zone && page_zone(m, page) != zone))
			return NULL;
		zone = page_zone(m, page);
	}
	return zone;
}

/* The frames, which nobody else has, become single ones of use KERNEL with these flags more. */
static void hand_out_range(struct ondol_zone *zone, uint32_t start, uint32_t end, uint32_t more)
{
	struct ondol_machine *m = zone->m;

	for (uint32_t i = start; i < end; i++) {
		struct ondol_page *page = &m->pages[i];
		uint32_t type = buddy_block_type(zone, i);

		store_relaxed(&page->flags, zone->flags | ONDOL_PAGE_KERNEL | more |
						    type << ONDOL_PG_TYPE_SHIFT |
						    (page->flags & ONDOL_PG_ZEROED));
		page->data.mapping = NULL;
		page->data.index = page->data.mapcount = 0;
		store_relaxed(&page->refcount, 1);
	}
}

void range_hold(struct ondol_machine *m, struct ondol_page *page)
{
	uint32_t index = page_index(m, page);

	hand_out_range(page_zone(m, page), index, index + 1, ONDOL_PG_HELD);
}

static bool is_held(const struct ondol_page *page)
{
	return (load_relaxed(&page->flags) & ONDOL_PG_HELD) != 0;
}

/* Hold what is free of [start, end).  The first frame that is not held then, or NIL. */
static uint32_t claim(struct ondol_zone *zone, uint32_t start, uint32_t end)
{
	struct ondol_machine *m = zone->m;
	uint32_t first_busy = ONDOL_PAGE_NIL, at = start, stop;
	uintptr_t irq;

	phys_settle(m);
	irq = zone_lock(zone);
	while (at < end) {
		uint32_t busy;

		if (is_held(&m->pages[at])) {
			at++;
			continue;
		}
		for (stop = at + 1; stop < end && !is_held(&m->pages[stop]); stop++)
			;
		busy = buddy_take_range(zone, at, stop);
		if (busy != ONDOL_PAGE_NIL) { /* nothing was taken; what lies before it is free */
			first_busy = first_busy == ONDOL_PAGE_NIL ? busy : first_busy;
			if (busy > at)
				(void)buddy_take_range(zone, at, busy);
			stop = busy;
		}
		hand_out_range(zone, at, stop, ONDOL_PG_HELD);
		add_relaxed(&zone->pcp[machine_this_cpu(m)].nr_allocs, stop - at);
		at = busy == ONDOL_PAGE_NIL ? stop : busy + 1;
	}
	zone_unlock(zone, irq);
	return first_busy;
}

static void release(struct ondol_machine *m, uint32_t start, uint32_t end)
{
	for (struct ondol_page *page = &m->pages[start]; page < &m->pages[end]; page++)
		if (is_held(page)) {
			store_relaxed(&page->flags, page->flags & ~ONDOL_PG_HELD);
			ondol_free_pages(m, page, 0);
		}
}

/* The first frame of the range that is neither held nor movable, or NIL. */
static uint32_t first_fixed(const struct ondol_machine *m, uint32_t start, uint32_t end)
{
	for (uint32_t i = start; i < end; i++)
		if (!is_held(&m->pages[i]) && !range_is_movable(&m->pages[i]))
			return i;
	return ONDOL_PAGE_NIL;
}

int ondol_alloc_contig_range(struct ondol_machine *m, ondol_pfn_t start, uint32_t nr_pages,
			     ondol_pfn_t *out_busy)
{
	struct ondol_zone *zone = zone_of_range(m, start, nr_pages);
	uint32_t first = (uint32_t)(start.value - m->first_pfn), end = first + nr_pages, busy;
	int r = -ONDOL_EBUSY;

	if (!zone)
		return -ONDOL_EINVAL;
	busy = claim(zone, first, end);
	if (busy != ONDOL_PAGE_NIL && m->hooks.evacuate &&
	    first_fixed(m, first, end) == ONDOL_PAGE_NIL) {
		r = m->hooks.evacuate(m, first, end);
		busy = r ? busy : claim(zone, first, end);
		r = r ? r : -ONDOL_EBUSY;
	} else if (busy != ONDOL_PAGE_NIL && m->hooks.evacuate) {
		busy = first_fixed(m, first, end);
	}
	if (busy == ONDOL_PAGE_NIL) {
		hand_out_range(zone, first, end, 0);
		return 0;
	}
	release(m, first, end);
	if (out_busy)
		*out_busy = ondol_pfn(m->first_pfn + busy);
	return r;
}

/* ------------------------------------------------------------------ what compaction asks */

/* Free and in the zone's own hands: how many frames from `at` on, of one block. */
static uint32_t free_from(const struct ondol_zone *zone, uint32_t at)
{
	unsigned order;
	uint32_t head;

	if (shelf_has(zone, at))
		return 1;
	head = buddy_block_around(zone, at, &order);
	return head == ONDOL_PAGE_NIL ? 0 : head + (1u << order) - at;
}

void range_survey(struct ondol_zone *zone, uint32_t start, uint32_t end, struct range_survey *out)
{
	struct ondol_machine *m = zone->m;
	uintptr_t irq = zone_lock(zone);

	*out = (struct range_survey){ 0 };
	for (uint32_t at = start; at < end && !out->fixed;) {
		const struct ondol_page *page = &m->pages[at];
		uint32_t n = 1;

		if (section_is_deferred(m, section_of(m, at))) {
			out->free += n;
		} else if (page_zone(m, page) == zone && range_is_movable(page)) {
			if (page_use(page) == ONDOL_PAGE_ANON)
				out->anon++;
			else
				out->cached++;
		} else {
			n = (uint32_t)min_u64(free_from(zone, at), end - at);
			out->free += n;
			out->fixed = !n;
		}
		at += n;
	}
	zone_unlock(zone, irq);
}

uint32_t range_take_free(struct ondol_zone *zone, uint32_t start, uint32_t end, uint32_t max,
			 uint32_t *chain)
{
	struct ondol_machine *m = zone->m;
	uintptr_t irq = zone_lock(zone);
	uint32_t taken = 0;

	for (uint32_t at = start; at < end && taken < max;) {
		uint32_t n = (uint32_t)min_u64(free_from(zone, at),
					       min_u64(end - at, max - taken));

		if (!n || buddy_take_range(zone, at, at + n) != ONDOL_PAGE_NIL) {
			at++;
			continue;
		}
		hand_out_range(zone, at, at + n, 0);
		for (uint32_t i = at; i < at + n; i++) {
			m->pages[i].data.next = *chain;
			*chain = i;
		}
		taken += n;
		at += n;
	}
	add_relaxed(&zone->pcp[machine_this_cpu(m)].nr_allocs, taken);
	zone_unlock(zone, irq);
	return taken;
}

/* ------------------------------------------------------------------ banks */

/* `nr_pages` more or, negative, fewer are the buddy's. */
static void change_managed(struct ondol_zone *zone, int64_t nr_pages)
{
	uintptr_t irq = zone_lock(zone);

	zone->managed = (uint32_t)(zone->managed + nr_pages);
	zone->m->phys->managed = (uint32_t)(zone->m->phys->managed + nr_pages);
	phys_set_limits(zone->m);
	phys_choose_lists(zone->m);
	zone_unlock(zone, irq);
}

int ondol_offline_pages(struct ondol_machine *m, ondol_pfn_t start, uint32_t nr_pages,
			ondol_pfn_t *out_busy)
{
	int r = ondol_alloc_contig_range(m, start, nr_pages, out_busy);
	struct ondol_page *page;
	struct ondol_zone *zone;

	if (r)
		return r;
	page = machine_page(m, start.value);
	zone = page_zone(m, page);
	for (uint32_t i = 0; i < nr_pages; i++) {
		store_relaxed(&page[i].refcount, 0);
		store_relaxed(&page[i].flags,
			      zone->flags | ONDOL_PAGE_RESERVED | ONDOL_PG_OFFLINE);
	}
	change_managed(zone, -(int64_t)nr_pages);
	return 0;
}

int ondol_online_pages(struct ondol_machine *m, ondol_pfn_t start, uint32_t nr_pages)
{
	struct ondol_zone *zone = zone_of_range(m, start, nr_pages);
	struct ondol_page *page;

	if (!zone)
		return -ONDOL_EINVAL;
	page = machine_page(m, start.value);
	for (uint32_t i = 0; i < nr_pages; i++)
		if (!(load_relaxed(&page[i].flags) & ONDOL_PG_OFFLINE))
			return -ONDOL_EINVAL;
	change_managed(zone, nr_pages);
	hand_out_range(zone, page_index(m, page), page_index(m, page) + nr_pages, 0);
	ondol_free_pages_exact(m, page, nr_pages);
	return 0;
}

/* ------------------------------------------------------------------ the balloon */

static bool balloon_grow(struct ondol_machine *m, struct ondol_node *node)
{
	struct ondol_page *page = ondol_alloc_pages_node(
		m, node->id, ONDOL_GFP_HIGHMEM | ONDOL_GFP_MOVABLE | ONDOL_GFP_THISNODE |
				     ONDOL_GFP_NOWARN, 0);

	if (!page)
		return false;
	page->data.next = node->balloon;
	node->balloon = page_index(m, page);
	node->nr_balloon++;
	return true;
}

static void balloon_shrink(struct ondol_machine *m, struct ondol_node *node)
{
	struct ondol_page *page = &m->pages[node->balloon];

	node->balloon = page->data.next;
	node->nr_balloon--;
	ondol_free_pages(m, page, 0);
}

uint64_t ondol_balloon_set(struct ondol_machine *m, uint32_t node_id, uint64_t nr_pages)
{
	struct ondol_node *node;

	if (node_id >= m->nr_nodes)
		return 0;
	node = &m->phys->nodes[node_id];
	while (node->nr_balloon > nr_pages)
		balloon_shrink(m, node);
	while (node->nr_balloon < nr_pages && balloon_grow(m, node))
		;
	return node->nr_balloon;
}

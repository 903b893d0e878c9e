/* SPDX-License-Identifier: MIT */
/*
 * Swap: private pages leave memory for a slot of an area, and their entries say which.
 *
 * 1 What problem.  A program touches more than there are frames.  Clean pages of files can be
 *   read again (reclaim.c); private ones are nowhere else, so they must be written somewhere.
 *
 * 2 Terms.  area: what the embedder gave (ondol_swap_add), a row of slots of one page.  swap
 *   entry: a page-table entry that is absent, has the format's swap_mask and the number of a slot
 *   where a frame's address would be; the slots of all areas are numbered in one row.  cached: a
 *   frame in memory whose contents are in a slot, too (Linux: the swap cache).
 *
 * 3 How it works.  There is no way from a frame to its entries: the hand (reclaim.c) comes by each
 *   entry in turn, as in Linux 2.4.  A page that two programs share since a fork:
 *
 *        parent  child     frame                slot
 *          r       r       2 references         -
 *          s       r       1, and the slot's    1 entry    written; now the frame is cached
 *          s       s       free                 2 entries  its last entry is gone
 *          s       r       1, and the slot's    1 entry    or else: the child read it again
 *          s       .       free                 1 entry    or: the child has ended
 *          r       r       2 references         free       or: the parent read it again
 *
 *   A page that one program has goes straight from frame to slot, and back.
 *   A page of shared memory belongs to a mapping (page_cache.c): its entries are emptied, as those
 *   of a file's page are, and when nobody maps it, its place in the mapping names the slot.
 *   Writing allocates nothing: slots have their records from the beginning.
 *
 * 4 Invariants.
 *   [SWAP-1] A slot counts the entries that name it, or is named by a page's place in a mapping; an
 *            area and the machine count the slots in use, an mm its swap entries, a mapping its
 *            pages in swap.
 *   [SWAP-2] A cached frame is anonymous, marked SWAPCACHE, names its slot and is named by it;
 *            the slot has an entry, and so has the frame.
 *   Hence a cached frame keeps the contents of its slot: it has two references at least, so nobody
 *   may write it [COW-2].
 *
 * 5 Concurrency.  None: only a machine with reclaim_mapped has swap, and that is used by one
 *   thread at a time.  The programs run meanwhile; that they cannot write a page that is being
 *   written out is swap_out.c's business.
 * 6 What can fail.  An area may refuse a page or fail to write it: the next one is asked, and in
 *   the end the page stays in memory.  A read that fails is the program's SIGBUS, and the slot
 *   stays.
 * 7 How to see it.  ondol_swap_stats, ondol_proc_swaps, pswpin and pswpout in vmstat, SwapTotal
 *   in meminfo, Swap in smaps, VmSwap in status.
 * 8 What Linux does differently: it has reverse maps; it keeps cached frames that nobody maps
 *   (read ahead, or on their way out), here neighbours are read into their places at once
 *   (fault_swap.c); its areas of one priority take turns.  Refault distance: mm/workingset.c.
 */
#include "virt/swap.h"

#include "base/format.h"

/* ------------------------------------------------------------------ long arrays */

int swap_table_init(struct ondol_machine *m, struct swap_table *table, uint64_t nr,
		    uint8_t entry_shift, ondol_gfp_t gfp)
{
	unsigned shift = ONDOL_PAGE_SHIFT - entry_shift;
	uint64_t chunks = (nr + (UINT64_C(1) << shift) - 1) >> shift;

	*table = (struct swap_table){ .entry_shift = entry_shift };
	if (chunks > ONDOL_KMALLOC_MAX / sizeof *table->chunk)
		return -ONDOL_ENOMEM;
	table->chunk = ondol_kzalloc(m, chunks * sizeof *table->chunk, gfp | ONDOL_GFP_NOWARN);
	if (!table->chunk)
		return -ONDOL_ENOMEM;
	for (; table->nr_chunks < chunks; table->nr_chunks++) {
		struct ondol_page *page =
			ondol_alloc_pages(m, gfp | ONDOL_GFP_ZERO | ONDOL_GFP_NOWARN, 0);

		if (!page) {
			swap_table_fini(m, table);
			return -ONDOL_ENOMEM;
		}
		table->chunk[table->nr_chunks] = ondol_page_address(m, page);
	}
	return 0;
}

void swap_table_fini(struct ondol_machine *m, struct swap_table *table)
{
	for (uint32_t i = 0; i < table->nr_chunks; i++) {
		uint64_t pa = (uint64_t)(table->chunk[i] - m->port->direct_map);

		ondol_free_pages(m, machine_page(m, pa >> ONDOL_PAGE_SHIFT), 0);
	}
	ondol_kfree(m, table->chunk);
	*table = (struct swap_table){ .chunk = NULL };
}

/* ------------------------------------------------------------------ areas */

static bool args_ok(const struct ondol_machine *m, const struct ondol_swap_args *args)
{
	const struct ondol_pgtable_format *f = m->profile->format;
	uint64_t most = min_u64(f->phys_mask >> ONDOL_PAGE_SHIFT, INT32_MAX);
	uint64_t total = m->virt->swap ? m->virt->swap->total : 0;

	return m->reclaim_mapped && f->swap_mask && args->size >= sizeof *args && args->name &&
	       args->ops && args->ops->size >= sizeof *args->ops && args->ops->write_page &&
	       args->ops->read_page && args->nr_pages && args->nr_pages <= most &&
	       total <= most - args->nr_pages;
}

static void area_free(struct ondol_machine *m, struct swap_area *area)
{
	swap_table_fini(m, &area->slots);
	ondol_kfree(m, area->name);
	ondol_kfree(m, area);
}

static struct swap_area *area_new(struct ondol_machine *m, const struct ondol_swap_args *args)
{
	struct swap_area *area = ondol_kzalloc(m, sizeof *area, ONDOL_GFP_KERNEL);
	size_t length = 0;

	if (!area)
		return NULL;
	while (args->name[length])
		length++;
	area->ops = args->ops;
	area->ctx = args->ctx;
	area->nr_pages = args->nr_pages;
	area->priority = args->priority;
	area->is_memory = args->is_memory;
	area->name = ondol_kmalloc(m, length + 1, ONDOL_GFP_KERNEL);
	if (!area->name || swap_table_init(m, &area->slots, args->nr_pages, 3, ONDOL_GFP_KERNEL)) {
		area_free(m, area);
		return NULL;
	}
	__builtin_memcpy(area->name, args->name, length + 1);
	return area;
}
ONDOL_STATIC_ASSERT(sizeof(struct swap_slot) == 1 << 3, "entries of the table of slots");

int ondol_swap_add(struct ondol_machine *m, const struct ondol_swap_args *args)
{
	struct swap_state *swap = m->virt->swap;
	struct swap_area *area;
	uint32_t at;

	if (!args_ok(m, args))
		return -ONDOL_EINVAL;
	if (!swap) {
		swap = ondol_kzalloc(m, sizeof *swap, ONDOL_GFP_KERNEL);
		if (!swap)
			return -ONDOL_ENOMEM;
		m->virt->swap = swap;
	}
	if (swap->nr_areas == ONDOL_SWAP_AREAS_MAX)
		return -ONDOL_EBUSY;
	area = area_new(m, args);
	if (!area)
		return -ONDOL_ENOMEM;
	area->first = swap->total;
	for (at = swap->nr_areas++; at && swap->area[at - 1]->priority < area->priority; at--)
		swap->area[at] = swap->area[at - 1];
	swap->area[at] = area;
	swap->total += area->nr_pages;
	return 0;
}

void swap_fini(struct ondol_machine *m)
{
	struct swap_state *swap = m->virt->swap;

	if (!swap || swap->used || m->virt->nr_mm) /* a leak, told as such */
		return;
	for (uint32_t i = 0; i < swap->nr_areas; i++) {
		struct swap_area *area = swap->area[i];

		if (area->ops->release)
			area->ops->release(area->ctx);
		area_free(m, area);
	}
	m->virt->swap = NULL;
	ondol_kfree(m, swap);
}

/* ------------------------------------------------------------------ slots */

static struct swap_area *area_of(const struct swap_state *swap, uint64_t slot)
{
	uint32_t i = 0;

	while (slot - swap->area[i]->first >= swap->area[i]->nr_pages)
		i++;
	return swap->area[i];
}

struct swap_slot *swap_slot_of(const struct ondol_machine *m, uint64_t slot)
{
	struct swap_area *area = area_of(m->virt->swap, slot);

	return swap_table_at(&area->slots, slot - area->first);
}

/* The next free slot, so that pages that go together lie together; there is one. */
static uint64_t find_free(const struct swap_area *area)
{
	uint64_t i = area->next;

	while (((struct swap_slot *)swap_table_at(&area->slots, i))->count)
		if (++i == area->nr_pages)
			i = 0;
	return i;
}

/* To the first area that takes it. */
static int write_somewhere(struct ondol_machine *m, const void *host, uint64_t *out_slot)
{
	struct swap_state *swap = m->virt->swap;

	for (uint32_t i = 0; i < swap->nr_areas; i++) {
		struct swap_area *area = swap->area[i];
		struct swap_slot *slot;
		uint64_t at;
		int r;

		if (area->used == area->nr_pages)
			continue;
		at = find_free(area);
		r = machine_should_fail(m, ONDOL_FAIL_SWAP_WRITE) ?
			    -ONDOL_EIO : area->ops->write_page(area->ctx, at, host);
		if (r) {
			*(r == -ONDOL_ENOSPC ? &area->refused : &area->write_errors) += 1;
			continue;
		}
		slot = swap_table_at(&area->slots, at);
		slot->at = (uint32_t)swap->clock++;
		area->next = at + 1 == area->nr_pages ? 0 : at + 1;
		area->used++;
		swap->used++;
		*out_slot = area->first + at;
		return 0;
	}
	return -ONDOL_ENOSPC;
}

int swap_write(struct ondol_machine *m, struct ondol_page *page, uint64_t *out_slot)
{
	const void *host = ondol_kmap(m, page);
	int r = host ? write_somewhere(m, host, out_slot) : -ONDOL_ENOMEM;

	if (host)
		ondol_kunmap(m, page);
	return r;
}

/* How many pages have gone out since this one did. */
static void note_refault(struct ondol_machine *m, const struct swap_slot *slot)
{
	struct swap_state *swap = m->virt->swap;
	uint32_t distance = (uint32_t)swap->clock - slot->at;

	swap->distance += distance;
	swap->near += distance <= (uint64_t)phys_use_count(m, ONDOL_PAGE_ANON);
}

int swap_read(struct ondol_machine *m, uint64_t slot, struct ondol_page *page)
{
	struct swap_state *swap = m->virt->swap;
	struct swap_area *area = area_of(swap, slot);
	void *host = ondol_kmap(m, page);
	int r;

	if (!host)
		return -ONDOL_ENOMEM;
	ondol_psi_stall_begin(m);
	r = machine_should_fail(m, ONDOL_FAIL_SWAP_READ) ? -ONDOL_EIO :
		area->ops->read_page(area->ctx, slot - area->first, host);
	ondol_psi_stall_end(m);
	ondol_kunmap(m, page);
	if (r) {
		area->read_errors++;
		return -ONDOL_EIO;
	}
	swap->in++;
	note_refault(m, swap_table_at(&area->slots, slot - area->first));
	return 0;
}

/* ------------------------------------------------------------------ cached frames */

void swap_cache_add(struct ondol_machine *m, uint64_t slot, struct ondol_page *page)
{
	struct swap_slot *s = swap_slot_of(m, slot);

	s->count |= SLOT_CACHED;
	s->at = (uint32_t)(page - m->pages);
	page->data.index = (uint32_t)slot;
	page->flags |= ONDOL_PG_SWAPCACHE;
	ondol_get_page(m, page);
	m->virt->swap->cached++;
}

void swap_cache_move(struct ondol_machine *m, struct ondol_page *old, struct ondol_page *new)
{
	new->data.index = old->data.index;
	old->flags &= ~ONDOL_PG_SWAPCACHE;
	new->flags |= ONDOL_PG_SWAPCACHE;
	swap_slot_of(m, new->data.index)->at = (uint32_t)(new - m->pages);
}

/* The slot forgets its frame, and what is left of the references is the caller's business. */
static void cache_remove(struct ondol_machine *m, struct swap_slot *slot, struct ondol_page *page)
{
	struct swap_state *swap = m->virt->swap;

	slot->count &= ~SLOT_CACHED;
	slot->at = (uint32_t)swap->clock;
	page->flags &= ~ONDOL_PG_SWAPCACHE;
	swap->cached--;
	ondol_put_page(m, page);
}

void swap_unmapped(struct ondol_machine *m, struct ondol_page *page)
{
	if (page_refs(page) == 1)
		cache_remove(m, swap_slot_of(m, page->data.index), page);
}

void swap_put(struct ondol_machine *m, uint64_t number)
{
	struct swap_state *swap = m->virt->swap;
	struct swap_area *area = area_of(swap, number);
	struct swap_slot *slot = swap_table_at(&area->slots, number - area->first);

	ONDOL_VERIFY(m, swap_count(slot), "SWAP-1", number, slot->count);
	slot->count--;
	if (swap_count(slot))
		return;
	if (slot->count & SLOT_CACHED)
		cache_remove(m, slot, &m->pages[slot->at]);
	if (area->ops->free_slot)
		area->ops->free_slot(area->ctx, number - area->first);
	area->used--;
	swap->used--;
}

/* ------------------------------------------------------------------ looking */

static void area_info(const struct swap_area *area, struct ondol_swap_info *info)
{
	*info = (struct ondol_swap_info){
		.name = area->name,
		.is_memory = area->is_memory,
		.priority = area->priority,
		.nr_pages = area->nr_pages,
		.pages_used = area->used,
		.read_errors = area->read_errors,
		.write_errors = area->write_errors,
		.refused = area->refused,
	};
}

int ondol_for_each_swap_area(struct ondol_machine *m,
			     int (*visit)(void *ctx, const struct ondol_swap_info *), void *ctx)
{
	const struct swap_state *swap = m->virt->swap;
	struct ondol_swap_info info;
	int r = 0;

	for (uint32_t i = 0; swap && i < swap->nr_areas && !r; i++) {
		area_info(swap->area[i], &info);
		r = visit(ctx, &info);
	}
	return r;
}

void ondol_swap_stats(struct ondol_machine *m, struct ondol_swap_stats *out_stats)
{
	const struct swap_state *swap = m->virt->swap;

	*out_stats = (struct ondol_swap_stats){ .total = 0 };
	if (!swap)
		return;
	out_stats->total = swap->total;
	out_stats->free = swap->total - swap->used;
	out_stats->cached = swap->cached;
	out_stats->out = swap->clock;
	out_stats->in = swap->in;
	out_stats->cache_hits = swap->hits;
	out_stats->refault_distance_sum = swap->distance;
	out_stats->refaults_near = swap->near;
	for (uint32_t i = 0; i < swap->nr_areas; i++)
		if (swap->area[i]->ops == &zram_ops)
			zram_stats(swap->area[i]->ctx, out_stats);
}

/* Linux's columns, tabs and blanks as it has them. */
int ondol_proc_swaps(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	const struct swap_state *swap = m->virt->swap;
	struct out out;

	out_init(&out, write, ctx);
	out_printf(&out, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	for (uint32_t i = 0; swap && i < swap->nr_areas; i++) {
		const struct swap_area *area = swap->area[i];
		uint64_t line = out.length;
		unsigned long long size = area->nr_pages << (ONDOL_PAGE_SHIFT - 10);
		unsigned long long used = area->used << (ONDOL_PAGE_SHIFT - 10);

		out_printf(&out, "%s", area->name);
		if (out.length - line < 40)
			out_pad(&out, line, 40);
		else
			out_string(&out, " ", 1);
		out_printf(&out, "%s\t%llu\t%s%llu\t%s%d\n",
			   area->is_memory ? "partition" : "file\t", size,
			   size < 10000000 ? "\t" : "", used, used < 10000000 ? "\t" : "",
			   area->priority);
	}
	return out_end(&out);
}

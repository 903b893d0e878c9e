/* SPDX-License-Identifier: MIT */
/*
 * The page cache: a file's pages by index, read once and shared by everybody who maps the file.
 *
 * The index is a radix tree of 64-way nodes, as high as the largest index needs:
 *
 *	height 2           root
 *	              .---- 0 1 2 ... 63 ----.
 *	         [0 .. 63]            [4032 .. 4095]
 *	         page 0 1 2 ...
 *
 * A page is read into frames that nobody sees, then put into the tree: who finds a page finds
 * its contents.  Two readers of one absent page both read; the second drops its copy.
 *
 * Shared memory has no file to go to.  A page of it that nobody maps goes to swap, and its place in
 * the tree names the slot: an odd value, which no page's record has.
 *
 * [CACHE-1] A cached page names its mapping and its index, is of use CACHE and has one
 *           reference of the cache's and one for each entry that maps it.
 *
 * The cache's own reference is taken and dropped under the mapping's lock, and so is every
 * reference made by a lookup: a page with one reference is one nobody maps, and stays so
 * while the lock is held.  Nodes are allocated before the lock is taken, because an allocation may
 * come back to this file to shrink it.
 */
#include <ondol/pressure.h>

#include "virt/swap.h"
#include "virt/workingset.h"

#define NODE_BITS 6
#define NODE_SLOTS (1u << NODE_BITS)
#define HEIGHT_MAX ((64 + NODE_BITS - 1) / NODE_BITS)

struct cache_node {
	uint32_t count; /* slots in use */
	void *slot[NODE_SLOTS]; /* nodes; in the lowest level pages, or slots of swap */
};

size_t cache_node_size(void)
{
	return sizeof(struct cache_node);
}

static inline uintptr_t mapping_lock(struct ondol_address_space *mapping)
{
	return lock_irqsave(mapping->m->port, &mapping->lock, mapping->m->phys->smp);
}

static inline void mapping_unlock(struct ondol_address_space *mapping, uintptr_t saved)
{
	unlock_irqrestore(mapping->m->port, &mapping->lock, mapping->m->phys->smp, saved);
}

/* ------------------------------------------------------------------ the tree */

static inline bool beyond(uint64_t index, uint32_t height)
{
	return height * NODE_BITS < 64 && index >> (height * NODE_BITS);
}

static inline unsigned slot_of(uint64_t index, uint32_t level)
{
	return (unsigned)(index >> (level * NODE_BITS)) & (NODE_SLOTS - 1);
}

/* What stands for a page that is in swap. */
static inline bool is_swapped(const void *at)
{
	return (uintptr_t)at & 1;
}

static inline void *swapped_as(uint64_t number)
{
	return (void *)((uintptr_t)number << 1 | 1);
}

static inline uint64_t swapped_number(const void *at)
{
	return (uintptr_t)at >> 1;
}

/* A page, or what stands for it, or NULL. */
static void *tree_at(const struct ondol_address_space *mapping, uint64_t index)
{
	void *at = mapping->root;

	if (!at || beyond(index, mapping->height))
		return NULL;
	for (uint32_t level = mapping->height; at && level-- > 0;)
		at = ((struct cache_node *)at)->slot[slot_of(index, level)];
	return at;
}

static struct ondol_page *tree_find(const struct ondol_address_space *mapping, uint64_t index)
{
	void *at = tree_at(mapping, index);

	return is_swapped(at) ? NULL : at;
}

/* The first of tree_at's with an index of at least *index; moves *index there. */
static void *tree_next_any(const struct ondol_address_space *mapping, uint64_t *index)
{
	while (mapping->root && !beyond(*index, mapping->height)) {
		struct cache_node *node = mapping->root;
		uint32_t level = mapping->height - 1;

		for (;;) {
			unsigned i = slot_of(*index, level);

			while (i < NODE_SLOTS && !node->slot[i])
				i++;
			if (i != slot_of(*index, level)) { /* on to the begin of that slot */
				uint64_t below = UINT64_C(1) << (level * NODE_BITS);
				uint64_t steps = i - slot_of(*index, level);
				uint64_t next = (*index & ~(below - 1)) + steps * below;

				if (next < *index)
					return NULL; /* past the last index there is */
				*index = next;
			}
			if (i == NODE_SLOTS)
				break; /* and again from the root */
			if (!level)
				return node->slot[i];
			node = node->slot[i];
			level--;
		}
	}
	return NULL;
}

/* The first page. */
static struct ondol_page *tree_next(const struct ondol_address_space *mapping, uint64_t *index)
{
	void *at = tree_next_any(mapping, index);

	while (at && is_swapped(at))
		at = ++*index ? tree_next_any(mapping, index) : NULL;
	return at;
}

/* Nodes that inserting at index would have to add. */
static unsigned nodes_missing(const struct ondol_address_space *mapping, uint64_t index)
{
	uint32_t height = mapping->height;
	const struct cache_node *node = mapping->root;
	unsigned missing = 0;

	if (!node) {
		for (height = 1; beyond(index, height); height++)
			;
		return height;
	}
	for (; beyond(index, height); height++)
		missing++;
	/* A new root's path to index shares nothing with the old tree. */
	if (missing)
		return missing + height - 1;
	for (uint32_t level = height; level-- > 1;) {
		node = node->slot[slot_of(index, level)];
		if (!node)
			return level;
	}
	return 0;
}

/* Free nodes in stock, linked by slot[0]. */
struct node_stock {
	struct cache_node *first;
	unsigned nr;
};

static struct cache_node *stock_take(struct node_stock *stock)
{
	struct cache_node *node = stock->first;

	stock->first = node->slot[0];
	stock->nr--;
	node->slot[0] = NULL;
	return node;
}

static bool stock_fill(struct ondol_address_space *mapping, struct node_stock *stock, unsigned nr)
{
	while (stock->nr < nr) {
		struct cache_node *node = ondol_kmem_cache_alloc(mapping->m->virt->node_cache,
								 ONDOL_GFP_KERNEL);

		if (!node)
			return false;
		__builtin_memset(node, 0, sizeof *node);
		node->slot[0] = stock->first;
		stock->first = node;
		stock->nr++;
	}
	return true;
}

static void stock_drop(struct ondol_address_space *mapping, struct node_stock *stock)
{
	while (stock->nr)
		ondol_kmem_cache_free(mapping->m->virt->node_cache, stock_take(stock));
}

/* stock has nodes_missing() nodes; the place is empty. */
static void tree_insert(struct ondol_address_space *mapping, uint64_t index,
			struct ondol_page *page, struct node_stock *stock)
{
	struct cache_node *node;

	if (!mapping->root) {
		mapping->root = stock_take(stock);
		for (mapping->height = 1; beyond(index, mapping->height); mapping->height++)
			;
	}
	for (; beyond(index, mapping->height); mapping->height++) {
		node = stock_take(stock);
		node->slot[0] = mapping->root;
		node->count = 1;
		mapping->root = node;
	}
	node = mapping->root;
	for (uint32_t level = mapping->height; level-- > 1;) {
		void **slot = &node->slot[slot_of(index, level)];

		if (!*slot) {
			*slot = stock_take(stock);
			node->count++;
		}
		node = *slot;
	}
	node->slot[slot_of(index, 0)] = page;
	node->count++;
	mapping->nr_pages++;
}

/* Something must be there.  Nodes left empty go. */
static void tree_erase(struct ondol_address_space *mapping, uint64_t index)
{
	struct cache_node *path[HEIGHT_MAX], *node = mapping->root;
	struct ondol_kmem_cache *cache = mapping->m->virt->node_cache;

	for (uint32_t level = mapping->height; level-- > 0;) {
		path[level] = node;
		node = node->slot[slot_of(index, level)];
	}
	for (uint32_t level = 0; level < mapping->height; level++) {
		path[level]->slot[slot_of(index, level)] = NULL;
		if (--path[level]->count)
			return;
		ondol_kmem_cache_free(cache, path[level]);
	}
	mapping->root = NULL;
	mapping->height = 0;
}

/* ------------------------------------------------------------------ lookups */

static inline void get_locked(struct ondol_page *page)
{
	__atomic_fetch_add(&page->refcount, 1, __ATOMIC_RELAXED);
}

void cache_get_pages(struct ondol_address_space *mapping, uint64_t index, uint32_t n,
		     struct ondol_page **pages)
{
	uintptr_t saved = mapping_lock(mapping);

	for (uint32_t i = 0; i < n; i++) {
		pages[i] = tree_find(mapping, index + i);
		if (pages[i])
			get_locked(pages[i]);
	}
	mapping_unlock(mapping, saved);
}

struct ondol_page *cache_get_page(struct ondol_address_space *mapping, uint64_t index)
{
	struct ondol_page *page;

	cache_get_pages(mapping, index, 1, &page);
	return page;
}

bool cache_has_page(struct ondol_address_space *mapping, uint64_t index)
{
	uintptr_t saved = mapping_lock(mapping);
	bool has = tree_find(mapping, index) != NULL;

	mapping_unlock(mapping, saved);
	return has;
}

bool cache_get_frame(struct ondol_machine *m, struct ondol_page *page)
{
	uintptr_t saved_virt = virt_lock(m), saved; /* its mapping lives, and no shrinker comes */
	struct ondol_address_space *mapping =
		page_use(page) == ONDOL_PAGE_CACHE ? page->data.mapping : NULL;
	bool found = false;

	if (mapping) {
		saved = mapping_lock(mapping);
		found = tree_find(mapping, page->data.index) == page;
		if (found)
			get_locked(page);
		mapping_unlock(mapping, saved);
	}
	virt_unlock(m, saved_virt);
	return found;
}

int cache_for_each(struct ondol_address_space *mapping,
		   int (*visit)(void *ctx, uint64_t index, struct ondol_page *page), void *ctx)
{
	uintptr_t saved = mapping_lock(mapping);
	struct ondol_page *page;
	uint64_t index = 0;
	int r = 0;

	while (!r && (page = tree_next(mapping, &index))) {
		r = visit(ctx, index, page);
		if (!++index)
			break;
	}
	mapping_unlock(mapping, saved);
	return r;
}

/* ------------------------------------------------------------------ another frame */

/* The slot of a page that is there. */
static void **tree_slot(struct ondol_address_space *mapping, uint64_t index)
{
	struct cache_node *node = mapping->root;

	for (uint32_t level = mapping->height; level-- > 1;)
		node = node->slot[slot_of(index, level)];
	return &node->slot[slot_of(index, 0)];
}

bool cache_replace(struct ondol_page *old, struct ondol_page *new)
{
	struct ondol_address_space *mapping = old->data.mapping;
	struct ondol_machine *m = mapping->m;
	uint32_t maps = new->data.mapcount, index = old->data.index;
	uintptr_t saved = mapping_lock(mapping);
	bool alone = page_refs(old) == maps + 2;

	if (alone) {
		kmap_copy(m, new, old);
		new->data.mapping = mapping;
		new->data.index = index;
		ondol_page_set_use(m, new, ONDOL_PAGE_CACHE);
		if (old->flags & ONDOL_PG_DIRTY) {
			__atomic_fetch_or(&new->flags, ONDOL_PG_DIRTY, __ATOMIC_RELAXED);
			__atomic_fetch_and(&old->flags, ~ONDOL_PG_DIRTY, __ATOMIC_RELAXED);
		}
		__atomic_store_n(&new->refcount, maps + 1, __ATOMIC_RELEASE);
		*tree_slot(mapping, index) = new;
	}
	mapping_unlock(mapping, saved);
	return alone;
}

/* ------------------------------------------------------------------ filling */

/*
 * Put n pages, the frames from `page` on, in the tree; each is dropped if its place is taken.
 * -ONDOL_ENOMEM: the rest have been dropped.
 */
static int insert_run(struct ondol_address_space *mapping, uint64_t index, struct ondol_page *page,
		      uint32_t n)
{
	struct ondol_machine *m = mapping->m;
	struct node_stock stock = { NULL, 0 };
	uintptr_t saved = mapping_lock(mapping);
	uint32_t i = 0;
	int r = 0;

	while (i < n) {
		unsigned missing = nodes_missing(mapping, index + i);

		if (missing > stock.nr) {
			mapping_unlock(mapping, saved);
			if (!stock_fill(mapping, &stock, missing))
				r = -ONDOL_ENOMEM;
			saved = mapping_lock(mapping);
			if (r)
				break;
			continue; /* somebody else may have been here */
		}
		if (tree_at(mapping, index + i)) {
			ondol_put_page(m, &page[i]);
		} else {
			page[i].data.mapping = mapping;
			page[i].data.index = (uint32_t)(index + i);
			page[i].data.mapcount = 0;
			ondol_page_set_use(m, &page[i], ONDOL_PAGE_CACHE);
			tree_insert(mapping, index + i, &page[i], &stock);
			if (mapping->ops)
				workingset_refault(mapping, index + i);
		}
		i++;
	}
	mapping_unlock(mapping, saved);
	for (; i < n; i++)
		ondol_put_page(m, &page[i]);
	stock_drop(mapping, &stock);
	return r;
}

/* The absent pages side by side around index, inside [*lo, *hi). */
static void absent_window(struct ondol_address_space *mapping, uint64_t index, uint64_t *lo,
			  uint64_t *hi)
{
	uint64_t first = index, end = index + 1;
	uintptr_t saved = mapping_lock(mapping);

	while (first > *lo && !tree_at(mapping, first - 1))
		first--;
	while (end < *hi && !tree_at(mapping, end))
		end++;
	mapping_unlock(mapping, saved);
	*lo = first;
	*hi = end;
}

static int read_frames(struct ondol_address_space *mapping, uint64_t index, uint32_t n,
		       struct ondol_page *page)
{
	struct ondol_machine *m = mapping->m;
	int r = 0;

	if (!mapping->ops)
		return 0; /* zeroed by the allocator */
	if (machine_should_fail(m, ONDOL_FAIL_READ_PAGE))
		return -ONDOL_EIO;
	if (page_is_low(m, page))
		return mapping->ops->read_pages(mapping->ctx, index, n, page_host(m, page));
	for (uint32_t i = 0; i < n && !r; i++) {
		void *host = ondol_kmap(m, &page[i]);

		if (!host)
			return -ONDOL_ENOMEM;
		r = mapping->ops->read_pages(mapping->ctx, index + i, 1, host);
		ondol_kunmap(m, &page[i]);
	}
	return r;
}

/*
 * Read the n pages from lo on into one block; `again`: one that is asked for was here before.
 * -ONDOL_ENOMEM, -ONDOL_EIO: nothing done.
 */
static int read_block(struct ondol_address_space *mapping, uint64_t lo, uint32_t n, bool again,
		      ondol_gfp_t gfp, const struct ondol_mempolicy *policy)
{
	struct ondol_machine *m = mapping->m;
	unsigned order = order_to_hold(n);
	struct ondol_page *page;
	int r;

	if (!mapping->ops)
		gfp |= ONDOL_GFP_ZERO;
	page = ondol_alloc_pages_mpol(m, policy, lo, gfp, order);
	if (!page)
		return -ONDOL_ENOMEM;
	if (order)
		ondol_split_page(m, page, order);
	for (uint32_t i = n; i < 1u << order; i++)
		ondol_put_page(m, &page[i]);
	if (again)
		ondol_psi_stall_begin(m);
	r = read_frames(mapping, lo, n, page);
	if (again)
		ondol_psi_stall_end(m);
	if (r) {
		for (uint32_t i = 0; i < n; i++)
			ondol_put_page(m, &page[i]);
		return r;
	}
	return insert_run(mapping, lo, page, n);
}

static uint64_t nr_file_pages(const struct ondol_address_space *mapping)
{
	uint64_t size;

	if (!mapping->ops)
		return mapping->shmem_pages;
	size = mapping->ops->size_bytes(mapping->ctx);
	return (size >> ONDOL_PAGE_SHIFT) + !!(size & (ONDOL_PAGE_SIZE - 1));
}

/* A page of shared memory comes back.  -ONDOL_ENOENT: it is not in swap. */
static int swap_in(struct ondol_address_space *mapping, uint64_t index,
		   const struct ondol_mempolicy *policy)
{
	struct ondol_machine *m = mapping->m;
	uintptr_t saved = mapping_lock(mapping);
	void *at = tree_at(mapping, index);
	struct ondol_page *page;
	int r;

	mapping_unlock(mapping, saved);
	if (!at || !is_swapped(at))
		return -ONDOL_ENOENT;
	page = ondol_alloc_pages_mpol(m, policy, index, ONDOL_GFP_HIGHUSER_MOVABLE, 0);
	if (!page)
		return -ONDOL_ENOMEM;
	r = swap_read(m, swapped_number(at), page);
	if (r) {
		ondol_put_page(m, page);
		return r;
	}
	page->data.mapping = mapping;
	page->data.index = (uint32_t)index;
	page->data.mapcount = 0;
	ondol_page_set_use(m, page, ONDOL_PAGE_CACHE);
	saved = mapping_lock(mapping);
	*tree_slot(mapping, index) = page;
	mapping->nr_pages++;
	mapping->nr_swapped--;
	mapping_unlock(mapping, saved);
	swap_put(m, swapped_number(at));
	return 0;
}

int cache_read_page(struct ondol_address_space *mapping, uint64_t index, struct cache_read *read)
{
	int r = -ONDOL_ENOMEM;

	read->was_read = read->was_swapped = false;
	read->end = nr_file_pages(mapping);
	if (index >= read->end)
		return -ONDOL_ENXIO;
	/* Between insertion and lookup a shrinker may take the page again: then once more. */
	while (!(read->page = cache_get_page(mapping, index))) {
		uint64_t lo = read->lo, hi = min_u64(read->hi, read->end);
		bool again = mapping->ops && workingset_was_here(mapping, index);
		uint32_t n;

		read->was_read = true;
		if (mapping->nr_swapped) {
			r = swap_in(mapping, index, read->policy);
			if (!r) {
				read->was_swapped = true;
				continue;
			}
			if (r != -ONDOL_ENOENT)
				return r;
		}
		absent_window(mapping, index, &lo, &hi);
		n = (uint32_t)(hi - lo);
		if (n > 1)
			r = read_block(mapping, lo, n, again,
				       ONDOL_GFP_HIGHMEM | ONDOL_GFP_MOVABLE | ONDOL_GFP_NOWARN,
				       read->policy);
		if (n == 1 || r)
			r = read_block(mapping, index, 1, again, ONDOL_GFP_HIGHUSER_MOVABLE,
				       read->policy);
		if (r)
			return r;
	}
	return 0;
}

/* ------------------------------------------------------------------ dirty pages */

void cache_mark_dirty(struct ondol_page *page)
{
	if (page->data.mapping->ops && page->data.mapping->ops->write_page)
		__atomic_fetch_or(&page->flags, ONDOL_PG_DIRTY, __ATOMIC_RELAXED);
}

int cache_writeback(struct ondol_address_space *mapping, uint64_t first, uint64_t end)
{
	struct ondol_machine *m = mapping->m;
	uint64_t index = first;
	int error = 0;

	if (!mapping->ops || !mapping->ops->write_page)
		return 0;
	for (; index < end; index++) {
		uintptr_t saved = mapping_lock(mapping);
		struct ondol_page *page = tree_next(mapping, &index);
		void *host;
		int r;

		while (page && index < end && !(page->flags & ONDOL_PG_DIRTY)) {
			index++;
			page = index ? tree_next(mapping, &index) : NULL;
		}
		if (page && index < end)
			get_locked(page);
		mapping_unlock(mapping, saved);
		if (!page || index >= end)
			break;
		/* Clean from here: a write during the call makes it dirty again. */
		__atomic_fetch_and(&page->flags, ~ONDOL_PG_DIRTY, __ATOMIC_RELAXED);
		host = ondol_kmap(m, page);
		r = host ? mapping->ops->write_page(mapping->ctx, index, host) : -ONDOL_ENOMEM;
		if (host)
			ondol_kunmap(m, page);
		if (r) {
			__atomic_fetch_or(&page->flags, ONDOL_PG_DIRTY, __ATOMIC_RELAXED);
			error = error ? error : r;
		}
		ondol_put_page(m, page);
	}
	return error;
}

/* ------------------------------------------------------------------ shrinking */

static uint64_t drop_pages(struct ondol_address_space *mapping, uint64_t first, uint64_t end,
			   uint64_t nr_pages, bool even_dirty)
{
	uintptr_t saved = mapping_lock(mapping);
	uint64_t index = first, dropped = 0;
	struct ondol_page *page;

	while (dropped < nr_pages && (page = tree_next(mapping, &index)) && index < end) {
		if (page_refs(page) == 1 && (even_dirty || !(page->flags & ONDOL_PG_DIRTY))) {
			tree_erase(mapping, index);
			mapping->nr_pages--;
			page->data.mapping = NULL;
			ondol_put_page(mapping->m, page);
			if (!even_dirty) /* it is reclaim that asks */
				workingset_evicted(mapping, index);
			dropped++;
		}
		if (!++index)
			break;
	}
	mapping_unlock(mapping, saved);
	return dropped;
}

/* What of [first, end) is in swap need not be there. */
static void drop_swapped(struct ondol_address_space *mapping, uint64_t first, uint64_t end)
{
	uint64_t index = first;

	while (mapping->nr_swapped) {
		uintptr_t saved = mapping_lock(mapping);
		void *at = tree_next_any(mapping, &index);

		while (at && !is_swapped(at))
			at = ++index ? tree_next_any(mapping, &index) : NULL;
		if (at && index < end) {
			tree_erase(mapping, index);
			mapping->nr_swapped--;
		}
		mapping_unlock(mapping, saved);
		if (!at || index >= end)
			break;
		swap_put(mapping->m, swapped_number(at));
	}
}

void cache_drop_all(struct ondol_address_space *mapping)
{
	drop_pages(mapping, 0, UINT64_MAX, UINT64_MAX, true);
	drop_swapped(mapping, 0, UINT64_MAX);
}

/* The next page that nobody maps, with a reference; or NULL. */
static struct ondol_page *next_unmapped(struct ondol_address_space *mapping, uint64_t *index)
{
	uintptr_t saved = mapping_lock(mapping);
	struct ondol_page *page = tree_next(mapping, index);

	while (page && page_refs(page) != 1)
		page = ++*index ? tree_next(mapping, index) : NULL;
	if (page)
		get_locked(page);
	mapping_unlock(mapping, saved);
	return page;
}

/* Shared memory that nobody maps goes to swap, if there is any: one thread then, see swap.c. */
static uint64_t swap_out(struct ondol_address_space *mapping, uint64_t nr_pages)
{
	struct ondol_machine *m = mapping->m;
	uint64_t index = 0, number, out = 0;
	struct ondol_page *page;

	while (out < nr_pages && swap_has_room(m) && (page = next_unmapped(mapping, &index))) {
		if (!swap_write(m, page, &number)) {
			uintptr_t saved = mapping_lock(mapping);

			*tree_slot(mapping, index) = swapped_as(number);
			mapping->nr_pages--;
			mapping->nr_swapped++;
			mapping_unlock(mapping, saved);
			swap_get(m, number);
			page->data.mapping = NULL;
			ondol_put_page(m, page); /* the cache's reference */
			out++;
		}
		ondol_put_page(m, page);
		if (!++index)
			break;
	}
	return out;
}

int cache_for_each_swapped(struct ondol_address_space *mapping,
			   int (*visit)(void *ctx, uint64_t number), void *ctx)
{
	uint64_t index = 0;
	void *at;
	int r = 0;

	while (!r && (at = tree_next_any(mapping, &index))) {
		if (is_swapped(at))
			r = visit(ctx, swapped_number(at));
		if (!++index)
			break;
	}
	return r;
}

uint64_t ondol_address_space_shrink(struct ondol_address_space *mapping, uint64_t nr_pages)
{
	if (!mapping->ops)
		return swap_out(mapping, nr_pages);
	return drop_pages(mapping, 0, UINT64_MAX, nr_pages, false);
}

/* Drop pages that nobody maps. */
static uint64_t shrink_unmapped(struct ondol_machine *m, struct ondol_virt_state *v,
				uint64_t nr_pages)
{
	uintptr_t saved = virt_lock(m);
	struct list_node *last = v->mappings.prev;
	uint64_t freed = 0;

	/* A mapping on the list is alive: its last put waits for this lock. */
	while (freed < nr_pages && !list_empty(&v->mappings)) {
		struct list_node *node = v->mappings.next;

		freed += ondol_address_space_shrink(
			container_of(node, struct ondol_address_space, link), nr_pages - freed);
		if (freed < nr_pages) { /* the next call begins with another */
			list_del(node);
			list_add_tail(node, &v->mappings);
		}
		if (node == last)
			break;
	}
	virt_unlock(m, saved);
	return freed;
}

uint64_t cache_shrink(struct ondol_machine *m, void *ctx, uint64_t nr_pages)
{
	uint64_t freed = shrink_unmapped(m, ctx, nr_pages);
	struct reclaimed taken = { freed < nr_pages, 0, 0 };

	/* A page that several map is free when the last of them has let it go. */
	while (taken.unmapped + taken.swapped) {
		taken = reclaim_mapped(m, nr_pages - freed);
		freed += taken.freed + shrink_unmapped(m, ctx, taken.unmapped);
		if (freed)
			break;
	}
	return freed;
}

void cache_punch_hole(struct ondol_address_space *mapping, uint64_t first, uint64_t end)
{
	struct ondol_machine *m = mapping->m;
	struct ondol_page *page;
	uint64_t index = first;
	uintptr_t saved;

	drop_pages(mapping, first, end, UINT64_MAX, true);
	drop_swapped(mapping, first, end);
	saved = mapping_lock(mapping);
	while ((page = tree_next(mapping, &index)) && index < end) {
		kmap_clear(m, page, 1);
		if (!++index)
			break;
	}
	mapping_unlock(mapping, saved);
}

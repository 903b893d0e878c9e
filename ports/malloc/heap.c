/* SPDX-License-Identifier: MIT */
/* The range, the core's machine over it, and what comes from and goes to that: see internal.h. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "internal.h"

#define RANGE_LEAST ((size_t)64 << 20)
#define RANGE_USUAL ((size_t)16 << 30)
#define RANGE_MOST ((size_t)1 << 40)
#define BIN_BYTES ((size_t)96 << 10) /* of objects in a full bin */
#define BIN_OBJECTS_MAX 1024
#define BIN_OBJECTS_MIN 16
#define BIN_PAGES_MIN 64 /* objects of at most a page: they are what whole pages are used for */
/*
 * Of small objects a page is hardly ever all free.  Their slabs are 16 KiB: who allocates one after
 * the other walks through longer stretches than a page of one class, a page of another.
 */
#define SHORT_BYTES 128
#define SHORT_ORDER 2
#define BIN_CACHES 8 /* for arrays of 64 bytes, 128 ... 8192 */
#define DEPOT_BINS 2 /* a depot holds as much as so many bins, or more: see cache.c */
#define DEPOT_OBJECTS_MIN 2048

struct malloc_heap heap;

#define STEPS(x) x + x / 8, x + x / 4, x + x / 8 * 3, x + x / 2, x + x / 8 * 5, x + x / 4 * 3,   \
		 x + x / 8 * 7, x * 2
const uint32_t ondol_class_size[NR_BINS] = {
	0, 16, 32, 48, 64, 80, 96, 112, 128,
	STEPS(128), STEPS(256), STEPS(512), STEPS(1024), STEPS(2048), STEPS(4096), STEPS(8192),
	STEPS(16384),
};
#define EIGHT(first) first, first, first + 1, first + 1, first + 2, first + 2, first + 3,         \
		     first + 3, first + 4, first + 4, first + 5, first + 5, first + 6, first + 6, \
		     first + 7, first + 7
#define TWICE(c) c, c, c, c
const uint8_t ondol_class_table[TABLE_MAX / 16 + 1] = { /* by (size + 15) / 16 */
	1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, EIGHT(17), TWICE(25), TWICE(26),
	TWICE(27), TWICE(28), TWICE(29), TWICE(30), TWICE(31), TWICE(32),
};

/* One zone that merges at once; what is hot is in bins, so nothing stands before the buddy. */
static struct ondol_profile profile;
static struct ondol_port port = {
	.version = ONDOL_PORT_VERSION,
	.size = sizeof port,
	.panic = report_panic,
	.log = report_log,
};
static struct lock init_lock;
static char names[NR_CLASSES + 1][16];
static const char bins_name[] = "bins";
static struct ondol_kmem_cache *bin_cache[BIN_CACHES]; /* (core lock) */
static uint32_t bin_slab_pages[BIN_CACHES];

void *heap_metadata(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, bytes, MADV_NOHUGEPAGE); /* a few bytes here and there */
	return p;
}

/* Address space aligned to the largest block. */
static void *reserve(size_t bytes)
{
	char *p = mmap(NULL, bytes + LARGE_MAX, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	if (p == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)p & (LARGE_MAX - 1);
	if (before)
		(void)munmap(p, before);
	(void)munmap(p + before + bytes, LARGE_MAX - before);
	return p + before;
}

/* Four times the memory: what is freed at random leaves room; half of what a limit allows. */
static size_t reserve_range(void)
{
	size_t bytes = RANGE_USUAL;
	struct sysinfo info;

	if (!sysinfo(&info))
		while (bytes < RANGE_MOST && bytes / 4 < (size_t)info.totalram * info.mem_unit)
			bytes *= 2;
	for (; bytes >= RANGE_LEAST; bytes /= 2) {
		void *p = reserve(bytes * 2); /* is there as much again for everything else? */

		if (!p)
			continue;
		heap.base = (uintptr_t)p;
		(void)munmap((char *)p + bytes, bytes);
		return bytes;
	}
	return 0;
}

/* To the core a thread runs on the CPU of its node; under the core lock there is no other. */
static uint32_t node_as_cpu(void *ctx)
{
	(void)ctx;
	return ondol_thread.node;
}

static bool init_machine(size_t bytes)
{
	struct ondol_mem_region regions[NODES_MAX];
	uint16_t cpu_to_node[NODES_MAX];
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = regions,
					   .nr_regions = heap.nr_nodes,
					   .nr_nodes = heap.nr_nodes, .nr_cpus = heap.nr_nodes,
					   .cpu_to_node = cpu_to_node,
					   .profile = &profile, .deferred_init = true,
					   .debug = heap.core_debug };
	uint64_t part = (uint64_t)PAGE_BYTES << heap.node_shift;
	size_t size, align;
	void *storage;

	for (uint16_t node = 0; node < heap.nr_nodes; node++) {
		cpu_to_node[node] = node;
		regions[node] = (struct ondol_mem_region){ .start = { part * node },
							   .end = { part * (node + 1u) },
							   .type = ONDOL_MEM_USABLE,
							   .node = node };
	}
	if (heap.nr_nodes > 1)
		port.this_cpu = node_as_cpu;
	profile = ondol_profile_x86_64;
	profile.name = "malloc";
	profile.nr_orders = MAX_ORDER + 1;
	profile.map_bitmap = profile.migrate_types = profile.pcp = false;
	profile.lazy = ONDOL_LAZY_EAGER;
	memset(profile.zone_end, 0, sizeof profile.zone_end);
	profile.zone_end[ONDOL_ZONE_NORMAL] = bytes;
	port.direct_map = (unsigned char *)heap.base;
	if (ondol_machine_storage(&desc, &size, &align))
		return false;
	storage = heap_metadata(size);
	return storage && !ondol_machine_init(storage, size, &desc, &port, &heap.m);
}

static void name_class(char *name, uint32_t size)
{
	char digits[8];
	int nr = 0;

	memcpy(name, "malloc-", 7);
	for (name += 7; size; size /= 10)
		digits[nr++] = (char)('0' + size % 10);
	while (nr)
		*name++ = digits[--nr];
}

static uint32_t bin_objects(uint32_t class)
{
	size_t size = ondol_class_size[class], nr = BIN_BYTES / size;
	size_t least = size <= PAGE_BYTES ? BIN_PAGES_MIN : BIN_OBJECTS_MIN;

	return (uint32_t)(nr > BIN_OBJECTS_MAX ? BIN_OBJECTS_MAX : nr < least ? least : nr);
}

/* Slots are touched as they are needed. */
static uint32_t depot_cap(uint32_t class)
{
	uint32_t own = bin_objects(class) * DEPOT_BINS;

	return own < DEPOT_OBJECTS_MIN ? DEPOT_OBJECTS_MIN : own;
}

/* Debugged objects go straight to their slabs, where they are checked: no bins, no depots. */
static bool init_depots(void)
{
	size_t nr = 0;
	void **slots;

	if (heap.debug)
		return true;
	for (uint32_t class = 1; class <= NR_CLASSES; class++) {
		heap.bin_cap[class] = bin_objects(class);
		nr += depot_cap(class);
	}
	slots = heap_metadata(nr * heap.nr_nodes * sizeof(void *));
	if (!slots)
		return false;
	for (uint32_t node = 0; node < heap.nr_nodes; node++)
		for (uint32_t class = 1; class <= NR_CLASSES; class++) {
			struct depot *depot = &heap.depot[node][class];

			depot->room = heap.bin_cap[class] * DEPOT_BINS;
			depot->cap = depot_cap(class);
			depot->size = ondol_class_size[class];
			depot->slots = slots;
			slots += depot->cap;
		}
	return true;
}

static bool init_class(uint32_t class)
{
	uint32_t size = ondol_class_size[class];
	size_t align = size & -size;
	struct ondol_kmem_cache_args args = {
		.size = sizeof args,
		.object_size = size,
		.align = align < PAGE_BYTES ? align : PAGE_BYTES,
		.least_order = size <= SHORT_BYTES ? SHORT_ORDER : 0,
	};

	name_class(names[class], size);
	return !ondol_kmem_cache_create(heap.m, names[class], &args, &heap.cache[class]);
}

/* Arrays of pointers have slabs apart: no object that a program overruns lies before one. */
static bool init_bin_caches(void)
{
	for (uint32_t i = 0; i < BIN_CACHES; i++) {
		struct ondol_kmem_cache_args args = { .size = sizeof args,
						      .object_size = (size_t)64 << i };

		if (ondol_kmem_cache_create(heap.m, bins_name, &args, &bin_cache[i]))
			return false;
	}
	return true;
}

struct noted {
	uint32_t nr_classes, nr_bins;
};

/* Caches are visited as they were created. */
static int note_slab_size(void *ctx, const struct ondol_slab_info *info)
{
	struct noted *noted = ctx;

	if (info->name == bins_name)
		bin_slab_pages[noted->nr_bins++] = info->pages_per_slab;

	if (info->name >= names[1] && info->name <= names[NR_CLASSES])
		heap.slab_pages[++noted->nr_classes] = info->pages_per_slab;
	return 0;
}

/* A part for each node, as long as each is worth it.  Returns the bytes of the range. */
static size_t share_out(size_t bytes)
{
	size_t part = bytes;

	while (part * heap.nr_nodes > bytes)
		part /= 2;
	if (part < RANGE_LEAST) {
		heap.nr_nodes = 1;
		part = bytes;
	}
	heap.node_shift = (uint32_t)__builtin_ctzl(part) - PAGE_SHIFT;
	nodes_bind();
	return part * heap.nr_nodes;
}

/* The pages of the range, or 0. */
static size_t init_all(void)
{
	struct noted noted = { 0 };
	size_t bytes, nr;

	settings_read();
	nodes_find();
	bytes = reserve_range();
	if (!bytes)
		return 0;
	bytes = share_out(bytes);
	nr = bytes >> PAGE_SHIFT;
	if (heap.huge_pages == HUGE_ALWAYS)
		huge_pages_ask((void *)heap.base, bytes);
	heap.map = heap_metadata(nr);
	heap.pages_of = heap_metadata(nr * sizeof *heap.pages_of);
	if (!heap.map || !heap.pages_of || !init_machine(bytes) || !init_depots() ||
	    !init_bin_caches())
		return 0;
	for (uint32_t class = 1; class <= NR_CLASSES; class++)
		if (!init_class(class))
			return 0;
	(void)ondol_for_each_cache(heap.m, note_slab_size, &noted);
	if (heap.is_secure && !secure_init(nr))
		return 0;
	heap.dirty_limit = DIRTY_LEAST;
	thread_key_init();
	return nr;
}

bool heap_init(void)
{
	static bool failed;

	if (likely(__atomic_load_n(&heap.nr_pages, __ATOMIC_ACQUIRE)))
		return true;
	lock_take(&init_lock);
	if (!heap.nr_pages && !failed) {
		size_t nr = init_all();

		failed = !nr;
		__atomic_store_n(&heap.nr_pages, nr, __ATOMIC_RELEASE);
	}
	lock_drop(&init_lock);
	return heap.nr_pages != 0;
}

/* ------------------------------------------------------------------ objects */

void heap_mark(size_t page, size_t nr_pages, uint8_t value)
{
	size_t fresh = 0, node = page >> heap.node_shift;

	for (size_t i = page; i < page + nr_pages; i++) {
		fresh += !heap.map[i];
		heap.map[i] = value;
	}
	heap.nr_touched += fresh;
	heap.nr_touched_ever += fresh;
	if (heap.highest_page[node] >= page + nr_pages)
		return;
	heap.highest_page[node] = page + nr_pages;
	if (unlikely(heap.highest_page[node] > heap.ask_beyond[node]))
		huge_ask_ahead(node);
}

/* All pages of an object's slab at once: its end is written to as well [MALLOC-1]. */
static void mark_slab(size_t page, size_t slab_pages, uint8_t value)
{
	heap_mark(page & ~(slab_pages - 1), slab_pages, value);
}

uint32_t heap_take(uint32_t class, uint32_t nr, void **out)
{
	const ondol_gfp_t gfp = ONDOL_GFP_NOWARN | ONDOL_GFP_MEMALLOC;
	uint32_t got;

	lock_take(&heap.core_lock);
	got = ondol_kmem_cache_alloc_bulk(heap.cache[class], gfp, nr, out);
	for (uint32_t i = 0; i < got; i++)
		if (unlikely(heap.map[page_of(out[i])] != class))
			mark_slab(page_of(out[i]), heap.slab_pages[class], (uint8_t)class);
	lock_drop(&heap.core_lock);
	return got;
}

static uint32_t bin_cache_of(size_t room)
{
	uint32_t i = 0;

	while (((size_t)64 << i) / sizeof(void *) < room)
		i++;
	return i;
}

/* An array of `room` pointers for a bin, or NULL.  To free() its pages are no blocks. */
void **heap_take_bin(size_t room)
{
	const ondol_gfp_t gfp = ONDOL_GFP_NOWARN | ONDOL_GFP_MEMALLOC;
	uint32_t i = bin_cache_of(room);
	void *slots = NULL;

	lock_take(&heap.core_lock);
	if (ondol_kmem_cache_alloc_bulk(bin_cache[i], gfp, 1, &slots))
		mark_slab(page_of(slots), bin_slab_pages[i], MAP_TAIL);
	lock_drop(&heap.core_lock);
	return slots;
}

void heap_give_bin(void **slots, size_t room)
{
	void *object = slots;

	lock_take(&heap.core_lock);
	(void)ondol_kmem_cache_free_bulk(bin_cache[bin_cache_of(room)], 1, &object);
	lock_drop(&heap.core_lock);
}

void heap_shrink_bins(void)
{
	lock_take(&heap.core_lock);
	for (uint32_t i = 0; i < BIN_CACHES; i++)
		(void)ondol_kmem_cache_shrink(bin_cache[i]);
	lock_drop(&heap.core_lock);
}

void heap_give(uint32_t class, uint32_t nr, void **objects)
{
	bool look;

	lock_take(&heap.core_lock);
	heap.nr_freed_frames += ondol_kmem_cache_free_bulk(heap.cache[class], nr, objects);
	look = heap.nr_freed_frames > DIRTY_STEP;
	lock_drop(&heap.core_lock);
	if (unlikely(look))
		purge_if_dirty();
}

/* ------------------------------------------------------------------ fork */

void heap_lock_all(void)
{
	lock_take(&ondol_hook_lock);
	lock_take(&ondol_profile_lock);
	lock_take(&ondol_stack_lock);
	lock_take(&ondol_purge_lock);
	for (uint32_t node = 0; node < heap.nr_nodes; node++)
		for (uint32_t class = 1; class <= NR_CLASSES; class++)
			lock_take(&heap.depot[node][class].lock);
	lock_take(&heap.threads_lock);
	lock_take(&ondol_huge_lock);
	lock_take(&heap.core_lock);
}

void heap_unlock_all(void)
{
	lock_drop(&heap.core_lock);
	lock_drop(&ondol_huge_lock);
	lock_drop(&heap.threads_lock);
	for (uint32_t node = 0; node < heap.nr_nodes; node++)
		for (uint32_t class = 1; class <= NR_CLASSES; class++)
			lock_drop(&heap.depot[node][class].lock);
	lock_drop(&ondol_purge_lock);
	lock_drop(&ondol_stack_lock);
	lock_drop(&ondol_profile_lock);
	lock_drop(&ondol_hook_lock);
}

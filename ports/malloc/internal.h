/* SPDX-License-Identifier: MIT */
/*
 * libondol-malloc: the core's slab caches and buddy system as a malloc.
 *
 * 1 What problem.  A program wants memory in a few nanoseconds, from any thread, and the host
 *   wants back what the program does not use.  The core gives exact slabs and merged blocks, but
 *   its calls cost a lock and a look at three cache lines.
 *
 * 2 Terms.  The range is the address space reserved at first use; to the core it is the physical
 *   memory of a machine, a frame being a page of it.  A bin is a thread's stack of free objects
 *   of one class; a depot is what all threads share of a class.  A large block is made of whole
 *   pages of the range; a huge one is a mapping of its own.  The page map has a byte for each
 *   page of the range.
 *
 * 3 How it works.
 *
 *	malloc --> bin --> depot --> core's kmem_cache --> core's buddy --> the host
 *	         a thread's  lock of    core lock                            page faults,
 *	         own         the class                                       madvise
 *
 *   Bins and depots are arrays of pointers.  Half a bin moves at a time, so locks are paid once
 *   for many objects; what one thread allocates and another frees travels by the depot, and
 *   nobody touches the objects on the way.  No pointer of ours lies in a free object: writing
 *   to one after free() cannot lead the allocator astray.  A bin begins small and doubles with
 *   each exchange, up to a limit in bytes.
 *
 *   free() learns the class of an object from the page map: one byte, so the map of 10 MB of
 *   objects is 2.5 KB and stays in the nearest cache, where page records would not.
 *
 *   On a machine of several nodes the range has a part for each, and each its depots; the core's
 *   machine has those nodes, and a CPU for each.  A thread allocates from the node that it runs
 *   on, looked up at each exchange.  What it frees of another's goes to a bin for that node, and
 *   by half bins to that node's depot: it is never handed out here.
 *
 * 4 Invariants.
 *   [MALLOC-1] A page's byte is 0 only if the page reads as zeroes: it was never handed out, or
 *              given back to the host since.
 *   [MALLOC-2] The byte of a page in which an object in use begins names its class; that of a
 *              large block's first page is MAP_LARGE, and pages_of its length.
 *   [MALLOC-3] An object is in one place: with the program, in a bin, in a depot, in its slab.
 *   [MALLOC-4] The objects of a node's depot lie in the node's part of the range.
 *
 * 5 Concurrency.  Locks in order: hook, profile, stack, purge, depots by node and class, threads,
 *   huge, core.  The core's machine is called under the core lock; it has one CPU, so it takes no
 *   locks of its own, or on several nodes finds them free.  fork() holds them all; the child
 *   empties the bins of the threads that it does not have.
 *
 * 6 What can fail.  The host refuses memory: ENOMEM.  Its refusing a page that is touched kills,
 *   as with any malloc under overcommit.  A wrong free() is reported and aborts.
 *
 * 7 How to see it.  ONDOL_MALLOC_STATS=1, mallinfo2(), ONDOL_MALLOC_DEBUG=FZPUL (debug.c),
 *   ONDOL_MALLOC_PROFILE=FILE (profile.c), ONDOL_MALLOC_SECURE=1 (secure.c).
 *
 * 8 Sources.  Bonwick and Adams, "Magazines and Vmem", USENIX 2001; Evans, "A scalable concurrent
 *   malloc", BSDCan 2006; Hunter et al., "Beyond malloc efficiency to fleet efficiency", OSDI
 *   2021 (transfer caches); Leijen et al., "Mimalloc", APLAS 2019.
 */
#ifndef ONDOL_MALLOC_INTERNAL_H
#define ONDOL_MALLOC_INTERNAL_H

#include <ondol/ondol.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_BYTES ((size_t)1 << PAGE_SHIFT)

/*
 * Classes: 16, 32 ... 128, then eight for each doubling: at most a ninth of an object is lost, or
 * 15 bytes.  Every size is a multiple of 16, the alignment of anything.
 */
#define NR_CLASSES 72 /* 1 .. NR_CLASSES; 0 is no class */
#define SMALL_MAX 32768
#define TABLE_MAX 1024
#define MAP_LARGE (NR_CLASSES + 1)
#define MAP_TAIL (NR_CLASSES + 2) /* the other pages of a large block, and once it is free */
#define NR_BINS (NR_CLASSES + 3)  /* the bins of 0, MAP_LARGE and MAP_TAIL are always full */
#define NODES_MAX ONDOL_NODES_MAX

#define MAX_ORDER 13 /* the largest block of the range: 32 MiB; beyond is huge */
#define LARGE_MAX (PAGE_BYTES << MAX_ORDER)

#define DIRTY_LEAST 2048 /* pages free but not given back: 8 MiB, more while it pays */
#define DIRTY_FLOOR (DIRTY_LEAST / 4) /* while nothing is touched again */
#define DIRTY_MOST (DIRTY_LEAST << 10)
#define DIRTY_STEP (DIRTY_LEAST / 8) /* pages freed until it is looked again */

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define EXPORT __attribute__((visibility("default")))
#define COLD __attribute__((noinline, cold))

struct lock {
	int word; /* 0 free, 1 taken, 2 taken and somebody sleeps */
};

struct bin {
	void **top;   /* beyond the last object; == base: empty */
	void **limit; /* top == limit: full */
	void **base;  /* NULL: not set up yet; else base[-1] is NULL: see free() */
	size_t room;  /* entries allocated, base[-1] too; limit may be lower */
};

/* A block that the page map does not describe: huge, debugged or sampled.  See table.c. */
struct block {
	uintptr_t address; /* 0: nothing here */
	size_t size;       /* huge: bytes of the mapping; else: bytes asked for */
	union {
		uintptr_t map;         /* huge: where the mapping begins, at or before it */
		double weight;         /* sampled: for how many blocks of its size it stands */
		uint32_t thread_of[2]; /* debugged: who allocated, who freed; 0: in use */
	};
	uint32_t stack_of[2]; /* debugged and sampled: ids of stacks, see stack.c */
};

struct table {
	struct block *slots;
	size_t nr_slots, nr_blocks;
};

enum thread_state { THREAD_NEW, THREAD_READY, THREAD_DIRECT /* ending: past the bins */ };

struct thread {
	/* Where the objects lie that free() may put into `bin`: the range, or its node's part. */
	uintptr_t base;
	size_t nr_pages;
	const uint8_t *map;
	uint32_t node; /* that it last ran on */
	enum thread_state state;
	struct bin bin[NR_BINS]; /* hooked: all empty and full, so that no call is short */
	struct bin *hidden;      /* hooked: the bins in use */
	struct bin (*away)[NR_BINS]; /* several nodes: bins for objects of the others, by node */
	bool is_reporting;       /* what it allocates now is not the program's */
	bool is_unwinding;       /* what it allocates now is the unwinder's */
	int tid;                 /* 0: not asked yet */
	int64_t until_sample;    /* profiled: bytes to go */
	uint64_t random;         /* profiled; 0: no seed yet */
	const void *site;        /* debugged: where the program's call returns to */
	void *freeing;           /* debugged: by a call that has not returned yet */
	struct thread *next, *prev; /* under heap.threads_lock */
} __attribute__((aligned(64))); /* two bins a line */

struct depot {
	struct lock lock;
	uint32_t nr, cap;
	uint32_t room;   /* of its own: beyond that all depots share, see cache.c */
	uint32_t streak;    /* flushes since the last refill */
	uint32_t overflows; /* of these, those that it was too full for */
	uint32_t size;      /* of an object */
	void **slots;
	uint64_t nr_refills, nr_flushes; /* for the table at exit */
} __attribute__((aligned(64)));

struct malloc_heap {
	/* What every free() reads: written once. */
	uintptr_t base;
	size_t nr_pages; /* 0: not initialised */
	uint8_t *map;
	uint32_t *pages_of; /* of the large block that begins here */
	uint32_t nr_nodes;   /* before nodes_find: what the settings say, 0 nothing */
	uint32_t node_shift; /* a node's part is 2^this pages */
	bool is_bound;       /* the host is asked to take each part's pages from its node */

	struct ondol_machine *m;
	struct ondol_kmem_cache *cache[NR_CLASSES + 1];
	uint32_t bin_cap[NR_CLASSES + 1]; /* 0: no bins, every call goes to the core */
	struct depot depot[NODES_MAX][NR_CLASSES + 1];
	struct lock core_lock;
	struct lock threads_lock;
	struct thread *threads;
	uint64_t nr_touched;       /* pages whose byte is not 0 (core lock) */
	uint64_t nr_touched_ever;  /* (core lock) */
	uint64_t highest_page[NODES_MAX]; /* beyond the last page touched (core lock) */
	uint64_t ask_beyond[NODES_MAX];   /* when that is higher: huge_ask_ahead (core lock) */
	uint64_t large_pages, nr_large; /* out as large blocks (core lock) */
	uint64_t wanted_back;      /* pages given back that were touched again (core lock; read by
				      anybody) */
	uint64_t dirty_limit;      /* pages (purge lock; read by anybody) */
	uint32_t slab_pages[NR_CLASSES + 1];
	uint64_t nr_freed_frames;  /* back to the buddy since it was last looked (core lock) */
	const char *debug;         /* letters, or NULL */
	const char *core_debug;    /* those of the core, with names of caches; or NULL */
	const char *profile;       /* a file's name, or NULL */
	/* For what the host is asked for huge pages; 0: huge blocks, and a heap that grows. */
	enum { HUGE_BLOCKS, HUGE_NEVER, HUGE_ALWAYS } huge_pages;
	bool stats;
	bool is_hooked;            /* debug, profile or secure: hook.c is asked */
	bool is_secure;            /* secure.c is asked */
};
extern struct malloc_heap heap __attribute__((visibility("hidden")));
extern __thread struct thread ondol_thread
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

extern const uint32_t ondol_class_size[NR_BINS] __attribute__((visibility("hidden")));
extern const uint8_t ondol_class_table[TABLE_MAX / 16 + 1] __attribute__((visibility("hidden")));

static inline uint32_t class_of(size_t size) /* <= SMALL_MAX */
{
	uint32_t last, shift;

	if (likely(size <= TABLE_MAX))
		return ondol_class_table[(size + 15) / 16];
	last = (uint32_t)size - 1;
	shift = 31 - (uint32_t)__builtin_clz(last);
	return (shift - 7) * 8 + (last >> (shift - 3)) + 1;
}

static inline struct bin *bins_of(struct thread *thread)
{
	return unlikely(thread->hidden != NULL) ? thread->hidden : thread->bin;
}

static inline size_t page_of(const void *p) /* < heap.nr_pages: in the range */
{
	return ((uintptr_t)p - heap.base) >> PAGE_SHIFT;
}

static inline uint32_t node_of(const void *p) /* in the range */
{
	return (uint32_t)(page_of(p) >> heap.node_shift);
}

/* The thread's bins for objects of the node. */
static inline struct bin *bins_at(struct thread *thread, uint32_t node)
{
	return likely(node == thread->node) ? bins_of(thread) : thread->away[node];
}

/* lock.c */
void lock_slow(struct lock *lock);
void lock_wake(struct lock *lock);

static inline bool lock_try(struct lock *lock)
{
	int expected = 0;

	return __atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static inline void lock_take(struct lock *lock)
{
	if (unlikely(!lock_try(lock)))
		lock_slow(lock);
}

static inline void lock_drop(struct lock *lock)
{
	if (unlikely(__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2))
		lock_wake(lock);
}

/* table.c */
struct block *table_find(const struct table *table, uintptr_t address);
struct block *table_insert(struct table *table, const struct block *block);
void table_erase(struct table *table, struct block *block);

/* heap.c */
bool heap_init(void); /* false: the host gives no address space */
/* Up to `nr` objects straight from the core, noted in the page map. */
uint32_t heap_take(uint32_t class, uint32_t nr, void **out);
void heap_give(uint32_t class, uint32_t nr, void **objects);
void **heap_take_bin(size_t room);
void heap_give_bin(void **slots, size_t room);
void heap_shrink_bins(void);
void heap_mark(size_t page, size_t nr_pages, uint8_t value); /* core lock */
void heap_lock_all(void);
void heap_unlock_all(void);
void *heap_metadata(size_t bytes); /* zeroed address space for ever, or NULL */

/* purge.c */
void purge_if_dirty(void);
void purge_if_old(void);
uint64_t purge_all(void); /* bytes given back to the host */
uint64_t heap_used_pages(void); /* core lock */
extern struct lock ondol_purge_lock __attribute__((visibility("hidden")));

/* nodes.c */
void nodes_find(void);
void nodes_bind(void);
uint32_t node_here(void);

/* tune.c: what the program asked for by mallopt (written then, read by anybody) */
#define TRIM_BY_ITSELF UINT64_MAX
#define TRIM_NEVER (UINT64_MAX - 1)
struct malloc_tuning {
	size_t map_from;     /* bytes of a block from which on it is a mapping of its own */
	uint64_t maps_most;  /* of up to LARGE_MAX; larger ones always are */
	uint64_t trim_pages; /* that may be dirty; or TRIM_... */
	uint8_t perturb;     /* 0: not */
};
extern struct malloc_tuning tuning __attribute__((visibility("hidden")));
void tuning_take(const char *entry);

/* cache.c */
void *small_alloc(uint32_t class);
void thread_follow(void); /* to the node that it runs on now, if there are several */
void *small_alloc_slow(uint32_t class);
void small_free_slow(void *p, uint32_t class);
void depot_drain(struct depot *depot);
bool thread_hide_bins(void); /* every call comes to hook.c from now on; false: it is too late */
uint64_t depot_pages(void);
uint64_t depot_extra_pages(void);
void thread_flush(struct thread *thread);
void thread_forget_others(void); /* in a forked child */
void thread_key_init(void);

/* large.c */
void *large_alloc(size_t size, size_t align, bool zeroed);
void large_free(void *p);
/* The block has at least `size` bytes afterwards, at the same place; or false. */
bool large_resize(void *p, size_t size);

/* huge.c */
void *huge_alloc(size_t size, size_t align);
bool huge_is_due(size_t size);
void huge_pages_ask(void *at, size_t bytes);
void huge_ask_ahead(size_t node); /* under the core lock */
void *huge_alloc_guarded(size_t size, size_t align); /* between pages without access */
size_t huge_size(const void *p); /* 0: no such block */
bool huge_free(void *p);
void *huge_resize(void *p, size_t size); /* may move; NULL: cannot */
void huge_totals(uint64_t *out_nr, uint64_t *out_bytes);
extern struct lock ondol_huge_lock __attribute__((visibility("hidden")));

/* stack.c */
#define STACK_MOST 30 /* frames of a stack that are kept */
/* The id of the caller's stack from the return address `site` on; 0: no memory for it. */
uint32_t stack_here(const void *site);
uint32_t stack_frames(uint32_t id, const uintptr_t **out); /* their number; innermost first */
extern struct lock ondol_stack_lock __attribute__((visibility("hidden")));

/* symbols.c */
struct symbol {
	const char *function; /* NULL: not known; good until symbols_end */
	const char *file;     /* NULL: no line is known */
	const char *module;   /* NULL: not known */
	int line;
	uintptr_t offset; /* in the module, as addr2line wants it */
};
void symbols_begin(void);
void symbols_find(uintptr_t pc, struct symbol *out);
void symbols_end(void);

/* symbols_own.c: of a static program */
bool own_symbols_begin(void);
void own_symbols_find(uintptr_t pc, struct symbol *out);

/* hook.c: every call, if heap.is_hooked; `site` is where the program called */
void *hook_alloc(size_t size, size_t align, bool zeroed, const void *site);
void hook_free(void *p, const void *site);
void *hook_realloc(void *p, size_t size, const void *site);
size_t hook_usable_size(void *p, const void *site);
void hook_check_size(void *p, size_t size, const void *site); /* p is about to be freed as that */
void hook_exit(void);
extern struct lock ondol_hook_lock __attribute__((visibility("hidden")));

/* secure.c */
bool secure_init(size_t nr_pages);
void secure_note(void *p);
void secure_forget(void *p); /* ends the process if p is no block in use */
uint32_t secure_random(uint32_t bound); /* below it */

/* profile.c */
void *profile_alloc(size_t size, size_t align, bool zeroed, const void *site);
void profile_free(void *p);
struct profile_site {
	uint32_t stack;
	double allocated, allocated_bytes, in_use, in_use_bytes;
};
size_t profile_nr_sites(void);
size_t profile_sum(struct profile_site *out, size_t nr_most);
extern struct lock ondol_profile_lock __attribute__((visibility("hidden")));

/* pprof.c */
#define PROFILE_INTERVAL (512 << 10) /* bytes allocated between two samples, on average */
bool profile_write(const char *path); /* "%p" in it is the process id; false: errno says why */

/* debug.c */
void *debug_alloc(size_t size, size_t align, bool zeroed, const void *site);
void debug_free(void *p, const void *site);
size_t debug_usable_size(void *p, const void *site);
void debug_check_size(void *p, size_t size, const void *site);
void debug_panic(const struct ondol_panic_report *report, const char *what);
void debug_exit(void);

/* debug_report.c */
#define DEBUG_NOWHERE SIZE_MAX /* for `wrong`: the offset of a byte that should not be so */
void debug_report_leaks(const struct table *blocks);
__attribute__((noreturn)) void debug_report(const char *what, const void *p,
					    const struct block *block, size_t wrong,
					    const void *site);
const struct block *debug_nearest(const struct table *blocks, const void *p);

/* report.c */
__attribute__((noreturn)) void report_bad_pointer(const char *what, const void *p);
void report_panic(void *ctx, const struct ondol_panic_report *report);
void report_log(void *ctx, enum ondol_log_level level, const char *line);
void report_stats(void);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* settings.c */
void settings_read(void);

/* api.c */
void *malloc_or_null(size_t size); /* leaves errno alone */
void *aligned_or_null(size_t align, size_t size); /* a power of two */
/* Without hooks. */
void *plain_alloc(size_t size, size_t align, bool zeroed);
void plain_free(void *p);
size_t plain_usable_size(void *p);

#endif /* ONDOL_MALLOC_INTERNAL_H */

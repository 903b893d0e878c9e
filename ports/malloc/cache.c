/* SPDX-License-Identifier: MIT */
/*
 * Bins and depots.
 *
 * A bin is filled to its half and emptied to its half, so that a thread that goes on in either
 * direction needs nobody for half a bin, whatever came before.  What leaves a full bin are its
 * oldest objects, from the bottom: the newest are those that are in the processor's caches.
 *
 * An object that waits here keeps its slab from going back to the buddy, so what is held must
 * not be much when a program frees and frees.  A depot holds as much as two bins, and beyond that
 * what there is of EXTRA_BYTES, which all depots share: enough for a program that takes and
 * gives a thousand pages at a time, and more if the host had to give again what it was given back
 * (purge.c).  If objects only come, STREAK_MAX times, bins are halved as
 * they fill up; if it was full so often, it is emptied and passes on to the slabs.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

#define BIN_FIRST 8 /* objects in a bin at first */
#define BIN_LOW 32  /* objects in a bin that was halved over and over */
#define STREAK_MAX 8
#define EXTRA_BYTES ((int64_t)8 << 20)
/* Of words that are written under the depot's lock and looked at without. */
#define load(word) __atomic_load_n(word, __ATOMIC_RELAXED)
#define store(word, value) __atomic_store_n(word, value, __ATOMIC_RELAXED)
#define barrier() __asm__ volatile("" ::: "memory")

__thread struct thread ondol_thread;
static pthread_key_t exit_key;
static bool have_key;

/* ------------------------------------------------------------------ threads */

static void thread_exit(void *unused)
{
	struct thread *thread = &ondol_thread;

	(void)unused;
	thread->state = THREAD_DIRECT; /* destructors that run later may still free */
	thread_flush(thread);
	lock_take(&heap.threads_lock);
	if (thread->next)
		thread->next->prev = thread->prev;
	if (thread->prev)
		thread->prev->next = thread->next;
	else
		heap.threads = thread->next;
	lock_drop(&heap.threads_lock);
	if (thread->hidden)
		(void)munmap(thread->hidden, NR_BINS * sizeof(struct bin));
	if (thread->away)
		(void)munmap(thread->away, heap.nr_nodes * sizeof *thread->away);
	thread->hidden = NULL;
	thread->away = NULL;
}

void thread_key_init(void)
{
	have_key = !pthread_key_create(&exit_key, thread_exit);
}

static void set_node(struct thread *thread, uint32_t node)
{
	size_t first = (size_t)node << heap.node_shift;

	thread->node = node;
	thread->base = heap.base + (first << PAGE_SHIFT);
	thread->map = heap.map + first;
	thread->nr_pages = heap.nr_nodes > 1 ? (size_t)1 << heap.node_shift : heap.nr_pages;
}

/* What it has of the node that it left waits; what it has of the new one is at hand. */
static COLD void change_node(struct thread *thread, uint32_t node)
{
	struct bin *bins = bins_of(thread);

	lock_take(&heap.core_lock); /* fork() finds each bin once */
	memcpy(thread->away[thread->node], bins, sizeof *thread->away);
	memcpy(bins, thread->away[node], sizeof *thread->away);
	memset(thread->away[node], 0, sizeof *thread->away);
	set_node(thread, node);
	lock_drop(&heap.core_lock);
}

void thread_follow(void)
{
	struct thread *thread = &ondol_thread;
	uint32_t node;

	if (likely(heap.nr_nodes == 1))
		return;
	node = node_here();
	if (thread->state != THREAD_READY)
		thread->node = node; /* no bins, or not yet */
	else if (node != thread->node)
		change_node(thread, node);
}

/* The key's room may be allocated, by us: the bins are ready before. */
static void thread_begin(struct thread *thread)
{
	thread->state = have_key && !heap.debug ? THREAD_READY : THREAD_DIRECT;
	if (thread->state == THREAD_READY && heap.is_hooked) {
		thread->hidden = heap_metadata(NR_BINS * sizeof(struct bin));
		if (!thread->hidden)
			thread->state = THREAD_DIRECT;
	}
	if (thread->state == THREAD_READY && heap.nr_nodes > 1) {
		thread->away = heap_metadata(heap.nr_nodes * sizeof *thread->away);
		if (!thread->away)
			thread->state = THREAD_DIRECT;
	}
	if (thread->state == THREAD_DIRECT)
		return;
	set_node(thread, heap.nr_nodes > 1 ? node_here() : 0);
	lock_take(&heap.threads_lock);
	thread->prev = NULL;
	thread->next = heap.threads;
	if (thread->next)
		thread->next->prev = thread;
	heap.threads = thread;
	lock_drop(&heap.threads_lock);
	(void)pthread_setspecific(exit_key, thread);
}

bool thread_hide_bins(void)
{
	struct thread *self = &ondol_thread;
	struct bin *hidden;
	bool done;

	if (heap.is_hooked)
		return true;
	lock_take(&heap.threads_lock);
	done = !heap.threads || (heap.threads == self && !self->next);
	if (done && self->state == THREAD_READY) {
		hidden = heap_metadata(sizeof self->bin);
		done = hidden != NULL;
		if (done) {
			memcpy(hidden, self->bin, sizeof self->bin);
			memset(self->bin, 0, sizeof self->bin);
			self->hidden = hidden;
		}
	}
	if (done)
		heap.is_hooked = true;
	lock_drop(&heap.threads_lock);
	return done;
}

/* ------------------------------------------------------------------ depots */

static int64_t extra_bytes; /* in use by all depots together (atomic) */

/* What all depots hold, in pages, about. */
uint64_t depot_pages(void)
{
	uint64_t bytes = 0;

	for (uint32_t node = 0; node < heap.nr_nodes; node++)
		for (uint32_t class = 1; class <= NR_CLASSES; class++)
			bytes += (uint64_t)load(&heap.depot[node][class].nr) *
				 ondol_class_size[class];
	return bytes >> PAGE_SHIFT;
}

/* What depots have beyond what they always may, in pages. */
uint64_t depot_extra_pages(void)
{
	int64_t extra = load(&extra_bytes) - EXTRA_BYTES;

	return extra > 0 ? (uint64_t)extra >> PAGE_SHIFT : 0;
}

/*
 * None while the program only frees: then the limit of what is dirty is low, too.  As much as it
 * is known to take again, else.
 */
static int64_t extra_most(void)
{
	int64_t wanted = (int64_t)(load(&heap.wanted_back) << PAGE_SHIFT);

	return load(&heap.dirty_limit) < DIRTY_LEAST ? 0 : EXTRA_BYTES + wanted;
}

/* The depot has `nr` objects from now on, if what it may hold beyond its own room allows it. */
static bool resize_depot(struct depot *depot, uint32_t nr)
{
	int64_t before = depot->nr > depot->room ? depot->nr - depot->room : 0;
	int64_t after = nr > depot->room ? nr - depot->room : 0;
	int64_t more = (after - before) * depot->size;

	if (more && __atomic_add_fetch(&extra_bytes, more, __ATOMIC_RELAXED) > extra_most() &&
	    more > 0) {
		(void)__atomic_sub_fetch(&extra_bytes, more, __ATOMIC_RELAXED);
		return false;
	}
	store(&depot->nr, nr);
	return true;
}

/* Up to `nr` from the depot; 0: it is empty. */
static uint32_t depot_take(struct depot *depot, void **out, uint32_t nr)
{
	lock_take(&depot->lock);
	if (nr > depot->nr)
		nr = depot->nr;
	(void)resize_depot(depot, depot->nr - nr);
	memcpy(out, depot->slots + depot->nr, nr * sizeof *out);
	depot->nr_refills++;
	store(&depot->streak, 0);
	store(&depot->overflows, 0);
	lock_drop(&depot->lock);
	return nr;
}

/* As many as there is room for; none while objects only come. */
static uint32_t depot_put(struct depot *depot, void *const *objects, uint32_t nr)
{
	uint32_t at, kept;

	lock_take(&depot->lock);
	kept = depot->overflows > STREAK_MAX ? 0 :
	       nr > depot->cap - depot->nr ? depot->cap - depot->nr : nr;
	at = depot->nr;
	if (kept && !resize_depot(depot, at + kept)) {
		kept = at < depot->room ? depot->room - at : 0;
		kept = kept < nr ? kept : nr;
		(void)resize_depot(depot, at + kept);
	}
	memcpy(depot->slots + at, objects, kept * sizeof *objects);
	store(&depot->streak, depot->streak + 1);
	if (kept < nr)
		store(&depot->overflows, depot->overflows + 1);
	depot->nr_flushes++;
	lock_drop(&depot->lock);
	return kept;
}

void depot_drain(struct depot *depot)
{
	void *objects[64];
	uint32_t nr;

	do {
		lock_take(&depot->lock);
		nr = depot->nr < 64 ? depot->nr : 64;
		(void)resize_depot(depot, depot->nr - nr);
		memcpy(objects, depot->slots + depot->nr, nr * sizeof *objects);
		lock_drop(&depot->lock);
		if (nr)
			heap_give(class_of(depot->size), nr, objects);
	} while (nr);
}

/* Read without the lock: a hint. */
static bool only_comes(const struct depot *depot)
{
	return load(&depot->streak) > STREAK_MAX;
}

/* Of one node. */
static void put_or_give_some(uint32_t class, void **objects, uint32_t nr)
{
	struct depot *depot = &heap.depot[node_of(objects[0])][class];
	uint32_t kept = depot_put(depot, objects, nr);

	if (kept == nr)
		return;
	heap_give(class, nr - kept, objects + kept);
	if (unlikely(load(&depot->overflows) > STREAK_MAX && load(&depot->nr)))
		depot_drain(depot);
}

/* Those of the first one's node come first, in their order.  Returns how many they are. */
static uint32_t gather_node(void **objects, uint32_t nr)
{
	uint32_t node = node_of(objects[0]), gathered = 0;

	for (uint32_t i = 0; i < nr; i++) {
		void *object = objects[i];

		if (node_of(object) != node)
			continue;
		objects[i] = objects[gathered];
		objects[gathered++] = object;
	}
	return gathered;
}

/* Each to its node's depot [MALLOC-4]: a node that has no memory left takes from others. */
static void put_or_give(uint32_t class, void **objects, uint32_t nr)
{
	uint32_t some;

	for (; nr; objects += some, nr -= some) {
		some = heap.nr_nodes > 1 ? gather_node(objects, nr) : nr;
		put_or_give_some(class, objects, some);
	}
}

/* ------------------------------------------------------------------ bins */

/*
 * Twice the room, unless the class has its limit or there is no memory for it.  The fields change
 * together under a lock that fork() takes.
 */
static void bin_grow(struct bin *bin, uint32_t class)
{
	size_t room = bin->base ? (size_t)(bin->limit - bin->base) + 1 : 0;
	size_t most = heap.bin_cap[class], nr = (size_t)(bin->top - bin->base), wanted;
	void **slots, **old = bin->base ? bin->base - 1 : NULL;
	size_t old_room = bin->room;

	if (room >= most)
		return;
	wanted = room ? room * 2 : BIN_FIRST;
	wanted = wanted < most ? wanted : most;
	if (room < old_room) { /* it was halved */
		bin->limit = bin->base + (wanted < old_room ? wanted : old_room) - 1;
		return;
	}
	slots = heap_take_bin(wanted);
	if (!slots)
		return;
	*slots++ = NULL;
	if (nr)
		memcpy(slots, bin->base, nr * sizeof *slots);
	lock_take(&heap.core_lock);
	bin->base = slots;
	bin->top = slots + nr;
	bin->limit = slots + wanted - 1;
	bin->room = wanted;
	lock_drop(&heap.core_lock);
	if (old)
		heap_give_bin(old, old_room);
}

static void flush_bins(struct bin *bins)
{
	for (uint32_t class = 1; class <= NR_CLASSES; class++) {
		struct bin *bin = &bins[class], old = *bin;

		if (!old.base)
			continue;
		bin->top = bin->limit = bin->base = NULL;
		bin->room = 0;
		put_or_give(class, old.base, (uint32_t)(old.top - old.base));
		heap_give_bin(old.base - 1, old.room);
	}
}

void thread_flush(struct thread *thread)
{
	flush_bins(bins_of(thread));
	for (uint32_t node = 0; thread->away && node < heap.nr_nodes; node++)
		flush_bins(thread->away[node]);
}

/* The first of objects in order of address is handed out first. */
static void reverse(void **objects, uint32_t nr)
{
	for (uint32_t i = 0; i < nr / 2; i++) {
		void *object = objects[i];

		objects[i] = objects[nr - 1 - i];
		objects[nr - 1 - i] = object;
	}
}

static COLD void *alloc_direct(uint32_t class)
{
	void *object;

	if (depot_take(&heap.depot[ondol_thread.node][class], &object, 1))
		return object;
	return heap_take(class, 1, &object) ? object : NULL;
}

static uint32_t bin_refill(struct bin *bin, uint32_t class)
{
	uint32_t want, got;

	bin_grow(bin, class);
	want = (uint32_t)(bin->limit - bin->base) / 2;
	if (unlikely(!want))
		return 0;
	got = depot_take(&heap.depot[ondol_thread.node][class], bin->base, want);
	if (!got) {
		got = heap_take(class, want, bin->base);
		reverse(bin->base, got);
	}
	barrier();
	bin->top = bin->base + got;
	return got;
}

/* The older half leaves.  Empty meanwhile: a fork here loses objects, but gives none twice. */
static void bin_halve(struct bin *bin, uint32_t class)
{
	uint32_t nr = (uint32_t)(bin->top - bin->base), half = nr / 2;

	bin->top = bin->base;
	barrier();
	put_or_give(class, bin->base, half);
	memmove(bin->base, bin->base + half, (nr - half) * sizeof *bin->base);
	barrier();
	bin->top = bin->base + nr - half;
}

/* Any of the bin; the last takes its place. */
static COLD void *take_any(struct bin *bin)
{
	void **slot = bin->base + secure_random((uint32_t)(bin->top - bin->base));
	void *object = *slot;

	*slot = bin->top[-1];
	bin->top--;
	return object;
}

void *small_alloc(uint32_t class)
{
	struct bin *bin = &bins_of(&ondol_thread)[class];

	if (bin->top == bin->base)
		return small_alloc_slow(class);
	return heap.is_secure ? take_any(bin) : *--bin->top;
}

/* The bin is empty, or there is none. */
__attribute__((noinline)) void *small_alloc_slow(uint32_t class)
{
	struct thread *thread = &ondol_thread;
	struct bin *bin;
	void *object;

	if (unlikely(thread->state == THREAD_NEW))
		thread_begin(thread);
	thread_follow();
	purge_if_old();
	bin = &bins_of(thread)[class];
	if (likely(thread->state == THREAD_READY && bin_refill(bin, class)))
		return heap.is_secure ? take_any(bin) : *--bin->top;
	object = alloc_direct(class);
	if (unlikely(!object) && purge_all()) /* what others hold may be enough */
		object = alloc_direct(class);
	return object;
}

static void push(struct bin *bin, void *p)
{
	if (unlikely(bin->top[-1] == p))
		report_bad_pointer("freed twice in a row", p);
	*bin->top = p;
	barrier();
	bin->top++;
}

/* The bin is full, or there is none, or the object lies on another node. */
__attribute__((noinline)) void small_free_slow(void *p, uint32_t class)
{
	struct thread *thread = &ondol_thread;
	struct bin *bin;
	int saved = errno;
	uint32_t nr;

	if (unlikely(thread->state == THREAD_NEW))
		thread_begin(thread);
	if (unlikely(thread->state == THREAD_DIRECT)) {
		put_or_give(class, &p, 1);
		errno = saved;
		return;
	}
	bin = &bins_at(thread, node_of(p))[class];
	if (unlikely(bin->top < bin->limit)) { /* a hidden one, or another node's */
		push(bin, p);
		errno = saved;
		return;
	}
	thread_follow();
	bin = &bins_at(thread, node_of(p))[class];
	purge_if_old();
	nr = (uint32_t)(bin->top - bin->base);
	if (nr)
		bin_halve(bin, class);
	if (!only_comes(&heap.depot[node_of(p)][class]) || !nr)
		bin_grow(bin, class);
	else if (nr > BIN_LOW)
		bin->limit = bin->base + (nr + 1) / 2;
	if (likely(bin->top < bin->limit))
		push(bin, p);
	else
		put_or_give(class, &p, 1);
	errno = saved;
}

/*
 * A thread that fork() left behind was stopped anywhere, but not in an exchange, which is under
 * locks; between two steps of a push or pop its bin is still one, with an object more or less.
 * Its stack belongs to nobody now.
 */
void thread_forget_others(void)
{
	struct thread *self = &ondol_thread, *next;

	for (struct thread *thread = heap.threads; thread; thread = next) {
		next = thread->next;
		if (thread != self)
			thread_flush(thread);
	}
	heap.threads = self->state == THREAD_READY ? self : NULL;
	self->next = self->prev = NULL;
	self->tid = 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * `ondol` that records what its programs ask of the page allocator: linked with --wrap for the
 * calls below.  What TRACE names is appended to; the last kilobyte, of the monitor's own end, is
 * not written.  bench/lazy.c replays it; trace.h explains the format.
 *
 *	TRACE=bench/forks.trace build/bench/ondol-trace run -- bash -c '...'
 */
#include "trace.h"

#include <fcntl.h>
#include <ondol/ondol.h>
#include <stdlib.h>
#include <unistd.h>

#define FRAMES_MAX (1u << 22)

static unsigned char buffer[1024];
static size_t used;
static uint32_t slot_of[FRAMES_MAX]; /* 1 + the slot of a block that is out; 0: not seen */
static struct trace_slots slots;
static uint32_t last;

/* Opened each time: the monitor closes descriptors that it does not know. */
static void flush(void)
{
	int fd = open(getenv("TRACE"), O_WRONLY | O_CREAT | O_APPEND, 0666);

	if (fd < 0 || write(fd, buffer, used) < 0)
		abort();
	(void)close(fd);
	used = 0;
}

static void put_byte(unsigned byte)
{
	buffer[used++] = (unsigned char)byte;
	if (used == sizeof buffer)
		flush();
}

static void put(unsigned kind, uint32_t value)
{
	put_byte(kind | (value & 15) << 3 | (value >= 16 ? 0x80 : 0));
	for (value >>= 4; value; value >>= 7)
		put_byte((value & 127) | (value >= 128 ? 0x80 : 0));
}

static bool is_on(void)
{
	return getenv("TRACE") != NULL;
}

static uint32_t *slot_for(struct ondol_machine *m, struct ondol_page *page)
{
	uint64_t pfn = ondol_page_to_pfn(m, page).value;

	if (pfn >= FRAMES_MAX)
		abort();
	return &slot_of[pfn];
}

static void note_alloc(struct ondol_machine *m, struct ondol_page *page, ondol_gfp_t gfp,
		       unsigned order)
{
	if (!page || !is_on())
		return;
	*slot_for(m, page) = 1 + trace_slot_take(&slots);
	put(gfp & ONDOL_GFP_MOVABLE ? TRACE_MOVABLE : TRACE_UNMOVABLE, order);
}

static void note_free(struct ondol_machine *m, struct ondol_page *page)
{
	uint32_t *slot;

	if (!is_on() || ondol_page_count(page) != 1)
		return;
	slot = slot_for(m, page);
	if (!*slot)
		return;
	put(TRACE_FREE, trace_zigzag((int32_t)(*slot - 1 - last)));
	last = *slot - 1;
	trace_slot_give(&slots, last);
	*slot = 0;
}

struct ondol_page *__real_ondol_alloc_pages_node(struct ondol_machine *m, int node,
						 ondol_gfp_t gfp, unsigned order);
struct ondol_page *__wrap_ondol_alloc_pages_node(struct ondol_machine *m, int node,
						 ondol_gfp_t gfp, unsigned order);
struct ondol_page *__real_ondol_alloc_pages(struct ondol_machine *m, ondol_gfp_t gfp,
					    unsigned order);
struct ondol_page *__wrap_ondol_alloc_pages(struct ondol_machine *m, ondol_gfp_t gfp,
					    unsigned order);
void __real_ondol_free_pages(struct ondol_machine *m, struct ondol_page *page, unsigned order);
void __wrap_ondol_free_pages(struct ondol_machine *m, struct ondol_page *page, unsigned order);
void __real_ondol_put_page(struct ondol_machine *m, struct ondol_page *page);
void __wrap_ondol_put_page(struct ondol_machine *m, struct ondol_page *page);
void __real_ondol_split_page(struct ondol_machine *m, struct ondol_page *page, unsigned order);
void __wrap_ondol_split_page(struct ondol_machine *m, struct ondol_page *page, unsigned order);

struct ondol_page *__wrap_ondol_alloc_pages_node(struct ondol_machine *m, int node,
						 ondol_gfp_t gfp, unsigned order)
{
	struct ondol_page *page = __real_ondol_alloc_pages_node(m, node, gfp, order);

	note_alloc(m, page, gfp, order);
	return page;
}

struct ondol_page *__wrap_ondol_alloc_pages(struct ondol_machine *m, ondol_gfp_t gfp,
					    unsigned order)
{
	struct ondol_page *page = __real_ondol_alloc_pages(m, gfp, order);

	note_alloc(m, page, gfp, order);
	return page;
}

void __wrap_ondol_free_pages(struct ondol_machine *m, struct ondol_page *page, unsigned order)
{
	note_free(m, page);
	__real_ondol_free_pages(m, page, order);
}

void __wrap_ondol_put_page(struct ondol_machine *m, struct ondol_page *page)
{
	note_free(m, page);
	__real_ondol_put_page(m, page);
}

void __wrap_ondol_split_page(struct ondol_machine *m, struct ondol_page *page, unsigned order)
{
	uint64_t pfn = ondol_page_to_pfn(m, page).value;

	__real_ondol_split_page(m, page, order);
	if (!is_on() || !slot_of[pfn])
		return;
	put(TRACE_SPLIT, trace_zigzag((int32_t)(slot_of[pfn] - 1 - last)));
	last = slot_of[pfn] - 1;
	for (uint32_t i = 1; i < 1u << order; i++)
		slot_of[pfn + i] = 1 + trace_slot_take(&slots);
}

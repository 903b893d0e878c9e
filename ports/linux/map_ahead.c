/* SPDX-License-Identifier: MIT */
/*
 * What a call maps and the program then uses at once is in the host's tables already when the call
 * returns: that costs a system call of the worker's, a fault costs a relay besides.
 *
 *   brk    A heap that was touched to its very end grows because more is about to be touched.
 *   mmap   Of a file a few pages of data that a loader puts into their place (MAP_FIXED).  Of one
 *          that is only read what is in the page cache, if it is little or put into its place:
 *          nothing is read for it.
 *
 * Not while memory is short, and not where the user says how many pages a fault brings.
 */
#include <sys/mman.h>

#include "internal.h"

#define HEAP_AHEAD 64u /* pages: glibc grows its heap by 33 or 34 */
#define DATA_AHEAD 16u
#define FILE_AHEAD (16 * PAGE_BYTES)
#define SEGMENT_AHEAD (8ul << 20)

bool may_map_ahead(const struct monitor *mon)
{
	return !mon->options->fault_around && pages_to_spare(mon) >= mon->pages_plenty;
}

bool page_is_there(const struct guest_mm *g, uint64_t addr)
{
	unsigned char in = 0;

	return !ondol_mincore(g->mm, addr & ~(PAGE_BYTES - 1), PAGE_BYTES, &in) && (in & 1);
}

void heap_ahead(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	if (start >= end || end - start > HEAP_AHEAD * PAGE_BYTES || !may_map_ahead(mon) ||
	    !page_is_there(g, start - PAGE_BYTES))
		return;
	while (start < end)
		start = fault_ahead(mon, g, start, HEAP_AHEAD, ONDOL_VM_READ | ONDOL_VM_WRITE);
	worker_wait(mon, g);
}

void mmap_ahead(struct monitor *mon, struct guest_mm *g, uint64_t at, uint64_t size, int prot,
		int flags)
{
	const uint64_t table = 512 * PAGE_BYTES; /* a fault fills no other */
	uint64_t end = at + size;

	if (flags & MAP_ANONYMOUS || !(prot & PROT_READ) || !may_map_ahead(mon))
		return; /* mincore(2) tells whether memory has been touched */
	if (prot & PROT_WRITE) {
		while (flags & MAP_FIXED && size <= DATA_AHEAD * PAGE_BYTES && at < end)
			at = fault_ahead(mon, g, at, DATA_AHEAD, ONDOL_VM_READ | ONDOL_VM_WRITE);
		return;
	}
	if (size > (flags & MAP_FIXED ? SEGMENT_AHEAD : FILE_AHEAD))
		return;
	for (; at < end; at = (at | (table - 1)) + 1)
		if (page_is_there(g, at))
			fault_ahead(mon, g, at, 1, ONDOL_VM_READ);
}

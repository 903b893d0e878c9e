/* SPDX-License-Identifier: MIT */
/*
 * The machine's RAM: one memory file a node, all of them mapped in the monitor behind each
 * other (the direct map).  The host gives a page of such a file only when it is first
 * touched, zeroed; so the files are as large as the machine and cost what is used.
 *
 * A block of 2 MiB that a guest maps in one piece becomes one of the host's, too, so that its page
 * tables have one entry for it instead of 512.  MADV_COLLAPSE (Linux 6.1) does that whatever the
 * host's shmem_enabled says, if a page of the block is there.  The block stays so for good.  What
 * the host refuses is mapped page by page, as ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

/* Nodes do not touch, so that no run of frames crosses a file. */
#define NODE_GAP (UINT64_C(8) << 20)
#define BLOCK_BYTES (UINT64_C(2) << 20)
#define REFUSALS_MAX 8 /* in a row: then the host is asked no more */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static int node_file_create(uint64_t bytes)
{
	int fd = memfd_create("ondol-ram", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes)) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

static uint64_t bytes_of_node(const struct ondol_linux_options *o, uint32_t node)
{
	return (o->node_bytes[0] ? o->node_bytes[node] : o->mem_bytes / o->nr_nodes) &
	       ~(PAGE_BYTES - 1);
}

int ram_create(struct monitor *mon)
{
	uint64_t at = 0;

	mon->nr_nodes = mon->options->nr_nodes;
	for (uint32_t i = 0; i < mon->nr_nodes; i++) {
		uint64_t bytes = bytes_of_node(mon->options, i);

		mon->node[i].start = at;
		mon->node[i].end = at + bytes;
		mon->node[i].fd = node_file_create(bytes);
		if (mon->node[i].fd < 0)
			return mon->node[i].fd;
		at = (at + bytes + NODE_GAP) & ~(NODE_GAP - 1);
	}
	mon->ram_bytes = mon->node[mon->nr_nodes - 1].end;
	mon->ram_room = mmap(NULL, mon->ram_bytes + BLOCK_BYTES, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mon->ram_room == MAP_FAILED)
		return -errno;
	mon->ram = mon->ram_room + (-(uintptr_t)mon->ram_room & (BLOCK_BYTES - 1));
	mon->blocks = calloc(mon->ram_bytes / BLOCK_BYTES + 1, 1);
	if (!mon->blocks)
		return -ENOMEM;
	for (uint32_t i = 0; i < mon->nr_nodes; i++) {
		void *p = mmap(mon->ram + mon->node[i].start,
			       mon->node[i].end - mon->node[i].start, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED | MAP_NORESERVE, mon->node[i].fd, 0);
		if (p == MAP_FAILED)
			return -errno;
	}
	return 0;
}

void ram_destroy(struct monitor *mon)
{
	if (mon->ram_room && mon->ram_room != MAP_FAILED)
		munmap(mon->ram_room, mon->ram_bytes + BLOCK_BYTES);
	free(mon->blocks);
	for (uint32_t i = 0; i < mon->nr_nodes; i++)
		close(mon->node[i].fd);
}

/* The file that a frame lives in. */
int ram_fd(const struct monitor *mon, uint64_t pfn, uint64_t *out_offset, int *out_index)
{
	uint64_t pa = pfn * PAGE_BYTES;

	for (uint32_t i = 0; i < mon->nr_nodes; i++) {
		if (pa < mon->node[i].start || pa >= mon->node[i].end)
			continue;
		*out_offset = pa - mon->node[i].start;
		*out_index = (int)i;
		return mon->node[i].fd;
	}
	return -1;
}

void ram_one_block(struct monitor *mon, uint64_t pfn)
{
	uint64_t pa = pfn * PAGE_BYTES;
	volatile unsigned char *at = mon->ram + pa;

	if (pa & (BLOCK_BYTES - 1) || mon->blocks[pa / BLOCK_BYTES] ||
	    mon->blocks_refused == REFUSALS_MAX)
		return;
	(void)*at; /* there is a page now */
	if (madvise(mon->ram + pa, BLOCK_BYTES, MADV_COLLAPSE)) {
		mon->blocks_refused++;
		return;
	}
	mon->blocks[pa / BLOCK_BYTES] = true;
	mon->blocks_refused = 0;
	mon->stats.host_blocks++;
}

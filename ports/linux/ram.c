/* SPDX-License-Identifier: MIT */
/*
 * The machine's RAM: one memory file a node, all of them mapped in the monitor behind each
 * other (the direct map).  The host gives a page of such a file only when it is first
 * touched, zeroed; so the files are as large as the machine and cost what is used.
 *
 * Such a first touch is dear: 2 to 3 us a page where the host is a virtual machine itself.  So a
 * block of 2 MiB that is in use becomes one of the host's, for 100 to 300 us: MADV_COLLAPSE (Linux
 * 6.1) does that whatever the host's shmem_enabled says, if a page of the block is there.  When:
 *
 *   at once       if a guest maps it in one piece: its page tables have one entry for it then,
 *                 instead of 512; or if the machine has used USED_MANY frames already, since who
 *                 has used so many will use as many again;
 *   after a while when as many of its frames are in use as cost what the block does.
 *
 * The block stays so for good.  What the host refuses is had page by page, as ever; and where it
 * is slow (its memory is cold, or in pieces), it is asked the less often.  It is not asked while
 * much more wants to run than there are processors: it waits for something to be done on each of
 * them first (lru_add_drain_all), and that may come seconds late.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "internal.h"

/* Nodes do not touch, so that no run of frames crosses a file. */
#define NODE_GAP (UINT64_C(8) << 20)
#define BLOCK_BYTES (UINT64_C(2) << 20)
#define BLOCK_WHOLE UINT16_MAX
#define REFUSALS_MAX 8 /* in a row: then the host is asked no more for large leaves */
#define PAUSE_BUSY 8u
#define PAUSE_MOST 64u /* blocks that are not asked for after others were not to be had */
#define USED_MANY 512u /* frames */
#define USED_OF_BLOCK 64u
#define SLOW_NS 1000000u /* page by page the host takes as long */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
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
	mon->blocks_pause_next = 1;
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
	mon->block_used = calloc(mon->ram_bytes / BLOCK_BYTES + 1, sizeof *mon->block_used);
	if (!mon->block_used)
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
	free(mon->block_used);
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

/* `pa`: of the block.  False: the host did not want to, or took its time. */
static bool block_collapse(struct monitor *mon, uint64_t pa)
{
	volatile unsigned char *at = mon->ram + pa;
	uint64_t before = now_ns();

	(void)*at; /* there is a page now */
	if (madvise(mon->ram + pa, BLOCK_BYTES, MADV_COLLAPSE)) {
		mon->blocks_refused++;
		return false;
	}
	mon->blocks_refused = 0;
	mon->block_used[pa / BLOCK_BYTES] = BLOCK_WHOLE;
	mon->stats.host_blocks++;
	return now_ns() - before < SLOW_NS;
}

void ram_one_block(struct monitor *mon, uint64_t pfn)
{
	uint64_t pa = pfn * PAGE_BYTES;

	if (!(pa & (BLOCK_BYTES - 1)) && mon->block_used[pa / BLOCK_BYTES] != BLOCK_WHOLE &&
	    mon->blocks_refused < REFUSALS_MAX)
		(void)block_collapse(mon, pa);
}

/* No byte of [pa, pa + size), size > 0, has to be faulted in. */
bool ram_is_whole(const struct monitor *mon, uint64_t pa, uint64_t size)
{
	return mon->block_used[pa / BLOCK_BYTES] == BLOCK_WHOLE &&
	       mon->block_used[(pa + size - 1) / BLOCK_BYTES] == BLOCK_WHOLE;
}

static bool host_is_busy(struct monitor *mon)
{
	struct sysinfo info;

	if (!mon->load_most) /* the C library reads a file for it */
		mon->load_most = 2ul * (unsigned long)sysconf(_SC_NPROCESSORS_ONLN)
				 << SI_LOAD_SHIFT;
	return !sysinfo(&info) && info.loads[0] > mon->load_most;
}

/* The core's first_use hook. */
void ram_first_use(void *ctx, ondol_pfn_t pfn, uint32_t nr)
{
	struct monitor *mon = ctx;
	uint16_t *used = &mon->block_used[pfn.value * PAGE_BYTES / BLOCK_BYTES], before = *used;
	uint32_t enough = mon->frames_used >= USED_MANY ? 1 : USED_OF_BLOCK;

	mon->frames_used += nr;
	if (before == BLOCK_WHOLE || nr > BLOCK_BYTES / PAGE_BYTES)
		return;
	*used = (uint16_t)(before + nr);
	if (before >= enough || *used < enough)
		return;
	if (mon->blocks_pause) {
		mon->blocks_pause--;
		return;
	}
	if (host_is_busy(mon)) {
		mon->blocks_pause = PAUSE_BUSY;
		return;
	}
	if (block_collapse(mon, pfn.value * PAGE_BYTES & ~(BLOCK_BYTES - 1)))
		mon->blocks_pause_next = 1;
	else if (mon->blocks_pause_next < PAUSE_MOST)
		mon->blocks_pause = mon->blocks_pause_next *= 4;
	else
		mon->blocks_pause = PAUSE_MOST;
}

/*
 * The monitor's own view of a frame is missing until it touches it, and that fault (0.7 us on a
 * computer of its own, 14 where the host is a virtual machine with shadow page tables) costs more
 * than the kernel needs to write into the file.  So what the monitor only fills goes that way.
 */
bool ram_clear_frames(void *ctx, ondol_pfn_t pfn, uint32_t nr)
{
	static const unsigned char zeros[16 * PAGE_BYTES];
	const struct monitor *mon = ctx;
	size_t left = nr * PAGE_BYTES;
	uint64_t offset;
	int index, fd = ram_fd(mon, pfn.value, &offset, &index);

	if (fd < 0 || ram_is_whole(mon, pfn.value * PAGE_BYTES, left))
		return false;
	while (left) {
		size_t want = left < sizeof zeros ? left : sizeof zeros;
		ssize_t n = pwrite(fd, zeros, want, (off_t)offset);

		if (n <= 0)
			return false;
		left -= (size_t)n;
		offset += (uint64_t)n;
	}
	return true;
}

bool ram_copy_frame(void *ctx, ondol_pfn_t to, ondol_pfn_t from)
{
	const struct monitor *mon = ctx;
	uint64_t to_offset = 0, from_offset = 0;
	int index, to_fd = ram_fd(mon, to.value, &to_offset, &index);
	int from_fd = ram_fd(mon, from.value, &from_offset, &index);
	off_t in = (off_t)from_offset, out = (off_t)to_offset;

	if (to_fd < 0 || from_fd < 0 ||
	    (ram_is_whole(mon, to.value * PAGE_BYTES, PAGE_BYTES) &&
	     ram_is_whole(mon, from.value * PAGE_BYTES, PAGE_BYTES)))
		return false;
	return copy_file_range(from_fd, &in, to_fd, &out, PAGE_BYTES, 0) == (ssize_t)PAGE_BYTES;
}

void ram_will_write(void *ctx, void *at, size_t size)
{
	struct monitor *mon = ctx;
	uintptr_t start = (uintptr_t)at & ~(uintptr_t)(PAGE_BYTES - 1);

	if (!ram_is_whole(mon, (uint64_t)((unsigned char *)at - mon->ram), size))
		(void)madvise((void *)start, (uintptr_t)at + size - start, MADV_POPULATE_WRITE);
}

/* SPDX-License-Identifier: MIT */
/*
 * Which nodes there are, and on which one a thread runs.
 *
 * On a machine of several nodes the range has a part for each, and the host is asked to take a
 * part's pages from its node, whoever touches them first: so an object's address says where it
 * lies, and memory that is used again is where it was.  A program that was given a policy of its
 * own (numactl --interleave, --membind) knows better: it is left alone, as if there were one node.
 *
 * The processor's number comes from the thread's registered rseq area, without a system call; its
 * node from what the host says in /sys, once: under `ondol run` the processor's own idea of its
 * node is that of the computer, not of the machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define CPUS_MAX 8192
#define SYSTEM_NODES_MAX 1024 /* as far as Linux can count them */
#define WORD_BITS (8 * sizeof(unsigned long))

static uint8_t node_of_cpu[CPUS_MAX]; /* written before the range is there, then read */
static uint16_t system_node[NODES_MAX];

/* A text of /sys, with its end; false: there is none. */
static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t nr = 0;

	if (fd < 0)
		return false;
	while (used < size - 1 && (nr = read(fd, text + used, size - 1 - used)) > 0)
		used += (size_t)nr;
	(void)close(fd);
	text[used] = '\0';
	return nr >= 0;
}

static unsigned number(const char **at)
{
	unsigned value = 0;

	for (; **at >= '0' && **at <= '9'; ++*at)
		value = value < 100000 ? value * 10 + (unsigned)(**at - '0') : value;
	return value;
}

/* "0-3,8": the next piece; false: no more. */
static bool next_piece(const char **at, unsigned *out_first, unsigned *out_last)
{
	if (**at < '0' || **at > '9')
		return false;
	*out_first = *out_last = number(at);
	if (**at == '-') {
		++*at;
		*out_last = number(at);
	}
	if (**at == ',')
		++*at;
	return true;
}

static void add_node(unsigned id)
{
	const char *at;
	char path[64], text[4096];
	unsigned first, last;

	(void)snprintf(path, sizeof path, "/sys/devices/system/node/node%u/cpulist", id);
	if (heap.nr_nodes == NODES_MAX || id >= SYSTEM_NODES_MAX ||
	    !read_text(path, text, sizeof text))
		return;
	for (at = text; next_piece(&at, &first, &last);)
		for (unsigned cpu = first; cpu <= last && cpu < CPUS_MAX; cpu++)
			node_of_cpu[cpu] = (uint8_t)heap.nr_nodes;
	system_node[heap.nr_nodes++] = (uint16_t)id;
}

/* Does the host's policy leave it to us, and may we use several nodes? */
static bool is_ours_to_choose(unsigned long *allowed)
{
	unsigned nr = 0;
	int mode;

	if (syscall(SYS_get_mempolicy, NULL, allowed, SYSTEM_NODES_MAX + 1ul, NULL,
		    MPOL_F_MEMS_ALLOWED)) {
		if (errno == ENOSYS)
			return false;
		/* A container's filter says nothing of what is allowed. */
		for (unsigned i = 0; i < SYSTEM_NODES_MAX / WORD_BITS; i++)
			allowed[i] = ~0ul;
		return true;
	}
	for (unsigned i = 0; i < SYSTEM_NODES_MAX / WORD_BITS; i++)
		nr += (unsigned)__builtin_popcountl(allowed[i]);
	return nr > 1 && !syscall(SYS_get_mempolicy, &mode, NULL, 0ul, NULL, 0) &&
	       (mode == MPOL_DEFAULT || mode == MPOL_LOCAL);
}

static void find(void)
{
	unsigned long allowed[SYSTEM_NODES_MAX / WORD_BITS] = { 0 };
	unsigned first, last;
	char text[256];
	const char *at = text;

	if (!is_ours_to_choose(allowed) ||
	    !read_text("/sys/devices/system/node/has_cpu", text, sizeof text))
		return;
	while (next_piece(&at, &first, &last))
		for (unsigned id = first; id <= last && id < SYSTEM_NODES_MAX; id++)
			if (allowed[id / WORD_BITS] >> id % WORD_BITS & 1)
				add_node(id);
}

/* ONDOL_MALLOC_NODES=N: so many, dealt to the processors in turn, whatever the host has. */
void nodes_find(void)
{
	uint32_t pretended = heap.nr_nodes;
	int saved = errno;

	for (unsigned cpu = 0; pretended > 1 && cpu < CPUS_MAX; cpu++)
		node_of_cpu[cpu] = (uint8_t)(cpu % pretended);
	if (!pretended)
		find();
	heap.is_bound = !pretended;
	if (!heap.nr_nodes)
		heap.nr_nodes = 1;
	errno = saved;
}

/* Preferred, not bound: a node that is full is no reason to end a program. */
void nodes_bind(void)
{
	size_t part = PAGE_BYTES << heap.node_shift;
	int saved = errno;

	if (!heap.is_bound || heap.nr_nodes == 1)
		return;
	for (uint32_t node = 0; node < heap.nr_nodes; node++) {
		unsigned long mask[SYSTEM_NODES_MAX / WORD_BITS] = { 0 };
		unsigned id = system_node[node];

		mask[id / WORD_BITS] = 1ul << id % WORD_BITS;
		(void)syscall(SYS_mbind, heap.base + node * part, part, MPOL_PREFERRED, mask,
			      SYSTEM_NODES_MAX + 1ul, 0);
	}
	errno = saved;
}

uint32_t node_here(void)
{
	int cpu = sched_getcpu();

	return cpu >= 0 && cpu < CPUS_MAX ? node_of_cpu[cpu] : 0;
}

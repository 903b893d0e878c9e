/* SPDX-License-Identifier: MIT */
/*
 * Nodes as a guest knows them: set_mempolicy, get_mempolicy, mbind, move_pages and
 * migrate_pages are about Ondol's nodes (set_mempolicy(2) and its relatives, errno by errno),
 * and a fault is served as on the processor that the thread runs on.
 *
 * Processor number k of those we were started with belongs to node k mod nodes: round robin,
 * as ondol_machine_desc.cpu_to_node does by default.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define NODE_BITS 64
#define LINUX_NODES 1024 /* the most that Linux can be built for */
#define MASK_BITS_MAX (PAGE_BYTES * 8) /* what Linux takes at most */
#define MOVE_FLAGS (MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL)

/* ------------------------------------------------------------------ processors */

/* The number of host processor `cpu` among those we may use. */
static uint32_t rank_of(const struct monitor *mon, unsigned cpu)
{
	const unsigned bits = 8 * sizeof *mon->place.all;
	uint32_t rank = 0;

	for (unsigned i = 0; i < cpu && i < PLACE_WORDS * bits; i++)
		rank += mon->place.all[i / bits] >> (i % bits) & 1;
	return rank;
}

/* Where a thread ran last: field 39 of /proc/TID/stat. */
static int last_cpu(pid_t tid)
{
	char path[64], line[1024], *at;
	int cpu = -1;

	snprintf(path, sizeof path, "/proc/%d/stat", tid);
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	line[fread(line, 1, sizeof line - 1, f)] = 0;
	fclose(f);
	at = strrchr(line, ')');
	for (int field = 3; at && field <= 39; field++)
		at = strchr(at + 1, ' ');
	if (at)
		cpu = atoi(at);
	return cpu;
}

void numa_serve_as(struct monitor *mon, const struct task *task, pid_t tid)
{
	int cpu;

	if (task && task->mm)
		ondol_mm_set_task_policy(task->mm->mm, &task->policy);
	if (mon->nr_nodes == 1)
		return;
	/* Kept together, the thread's processor is ours; asking the host costs some us. */
	if (mon->place.timer >= 0 && mon->place.together && !(task && task->own_affinity))
		cpu = sched_getcpu();
	else
		cpu = last_cpu(tid);
	if (cpu >= 0)
		mon->serving_cpu = rank_of(mon, (unsigned)cpu) % mon->options->nr_cpus;
}

uint32_t numa_this_cpu(void *ctx)
{
	return ((const struct monitor *)ctx)->serving_cpu;
}

void numa_count_map(struct monitor *mon, const struct ondol_tlb_run *run)
{
	unsigned node;

	if (mon->nr_nodes == 1)
		return;
	node = ondol_page_node(ondol_pfn_to_page(mon->machine, run->pfn));
	if (node == mon->serving_cpu % mon->nr_nodes)
		mon->stats.pages_local += run->nr_pages;
	else
		mon->stats.pages_remote += run->nr_pages;
}

/* ------------------------------------------------------------------ sets of nodes */

/* As get_nodes() of the manual page: `maxnode` bits, of which the last does not count. */
static int nodes_get(struct guest_mm *g, uint64_t at, uint64_t maxnode, uint64_t *out_nodes)
{
	uint64_t words, word;

	*out_nodes = 0;
	if (!at || maxnode < 2)
		return 0;
	maxnode--;
	if (maxnode > MASK_BITS_MAX)
		return -EINVAL;
	words = (maxnode + 63) / 64;
	for (uint64_t i = 0; i < words; i++) {
		int r = ondol_copy_from_user(g->mm, &word, at + 8 * i, sizeof word);

		if (r)
			return r;
		if (i == words - 1 && maxnode % 64)
			word &= (UINT64_C(1) << maxnode % 64) - 1;
		if (i >= LINUX_NODES / 64 && word)
			return -EINVAL; /* no machine has them; others just are not there */
		if (!i)
			*out_nodes = word;
	}
	return 0;
}

static int nodes_put(struct guest_mm *g, uint64_t at, uint64_t maxnode, uint64_t nodes)
{
	uint64_t words = (maxnode - 1 + 63) / 64, zero = 0;
	int r = 0;

	for (uint64_t i = 0; i < words && !r; i++)
		r = ondol_copy_to_user(g->mm, at + 8 * i, i ? &zero : &nodes, sizeof zero);
	return r;
}

static int policy_get(struct monitor *mon, struct guest_mm *g, uint64_t mode, uint64_t mask,
		      uint64_t maxnode, struct ondol_mempolicy *out_policy)
{
	uint64_t nodes;
	int r = nodes_get(g, mask, maxnode, &nodes);

	return r ? r : ondol_mempolicy_make(mon->machine, (uint32_t)mode, nodes, out_policy);
}

/* ------------------------------------------------------------------ policies */

static int64_t call_set_mempolicy(struct monitor *mon, struct task *task, const __u64 *arg)
{
	struct ondol_mempolicy policy;
	int r = policy_get(mon, task->mm, arg[0], arg[1], arg[2], &policy);

	if (!r)
		task->policy = policy;
	return r;
}

/* The node of the page at `addr`, faulted in if need be. */
static int64_t node_at(struct monitor *mon, struct guest_mm *g, uint64_t addr)
{
	int node = ondol_page_node_at(g->mm, addr);

	if (node == -ENOENT) {
		int r = fault_in_read(mon, g, addr);

		if (r)
			return -EFAULT;
		node = ondol_page_node_at(g->mm, addr);
	}
	return node;
}

static int64_t call_get_mempolicy(struct monitor *mon, struct task *task, const __u64 *arg)
{
	struct guest_mm *g = task->mm;
	struct ondol_mempolicy policy = task->policy;
	uint64_t addr = arg[3], flags = arg[4];
	int32_t answer;
	int r;

	if (flags & ~(uint64_t)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED) ||
	    (arg[1] && arg[2] < mon->nr_nodes))
		return -EINVAL;
	if (flags & MPOL_F_MEMS_ALLOWED) {
		if (flags & (MPOL_F_NODE | MPOL_F_ADDR))
			return -EINVAL;
		policy = (struct ondol_mempolicy){
			.nodes = ondol_nodes_with_memory(mon->machine) };
	} else if (flags & MPOL_F_ADDR) {
		struct ondol_mempolicy own;

		r = ondol_vma_policy(g->mm, addr, &own);
		if (r)
			return r;
		if (own.mode != ONDOL_MPOL_DEFAULT)
			policy = own;
	} else if (addr) {
		return -EINVAL;
	}
	answer = policy.mode | policy.flags;
	if (flags & MPOL_F_NODE) {
		int64_t node;

		if (flags & MPOL_F_ADDR)
			node = node_at(mon, g, addr);
		else if (policy.mode == ONDOL_MPOL_INTERLEAVE ||
			 policy.mode == ONDOL_MPOL_WEIGHTED_INTERLEAVE)
			node = __builtin_ctzll(policy.nodes); /* by address, not in turn */
		else
			return -EINVAL;
		if (node < 0)
			return node;
		answer = (int32_t)node;
	}
	r = arg[0] ? ondol_copy_to_user(g->mm, arg[0], &answer, sizeof answer) : 0;
	if (policy.flags & (ONDOL_MPOL_F_STATIC_NODES | ONDOL_MPOL_F_RELATIVE_NODES))
		policy.nodes = policy.asked;
	return r || !arg[1] ? r : nodes_put(g, arg[1], arg[2], policy.nodes);
}

static int64_t call_mbind(struct monitor *mon, struct task *task, const __u64 *arg)
{
	uint64_t start = arg[0], end = start + ((arg[1] + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1));
	struct guest_mm *g = task->mm;
	struct ondol_mempolicy policy;
	uint64_t flags = arg[5], failed = 0;
	int r;

	if (flags & ~(uint64_t)MOVE_FLAGS)
		return -EINVAL;
	if (flags & MPOL_MF_MOVE_ALL && !task_capable(task, CAP_SYS_NICE))
		return -EPERM;
	if (start & (PAGE_BYTES - 1) || end < start)
		return -EINVAL;
	r = policy_get(mon, g, arg[2], arg[3], arg[4], &policy);
	if (r || end == start)
		return r;
	if (policy.mode == ONDOL_MPOL_DEFAULT)
		flags &= ~(uint64_t)MPOL_MF_STRICT;
	/* STRICT alone refuses before anything is changed, with MOVE after what could be moved. */
	if ((flags & MOVE_FLAGS) == MPOL_MF_STRICT && policy.nodes &&
	    ondol_pages_outside(g->mm, start, end, policy.nodes))
		return -EIO;
	r = ondol_mbind(g->mm, start, end - start, &policy);
	if (r)
		return r;
	if (flags & (MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
		failed = ondol_migrate_to_policy(g->mm, start, end, &policy,
						 flags & MPOL_MF_MOVE_ALL);
	return failed && flags & MPOL_MF_STRICT ? -EIO : 0;
}

/* ------------------------------------------------------------------ moving */

/* The task that a call names, whose memory the caller may move; NULL with *out_error. */
static struct task *target_of(struct monitor *mon, struct task *task, pid_t pid, int *out_error)
{
	struct task *target = pid ? task_find(mon, pid) : task;

	*out_error = -ESRCH;
	if (!target || !target->mm || target->mm->worker_dead)
		return NULL;
	*out_error = -EPERM;
	if (target->mm != task->mm && !task_capable(task, CAP_SYS_NICE) &&
	    task_uid(target) != task_uid(task))
		return NULL;
	return target;
}

static int64_t call_migrate_pages(struct monitor *mon, struct task *task, const __u64 *arg)
{
	uint64_t from, to, failed;
	struct task *target;
	int r = nodes_get(task->mm, arg[2], arg[1], &from);

	if (!r)
		r = nodes_get(task->mm, arg[3], arg[1], &to);
	if (r)
		return r;
	target = target_of(mon, task, (pid_t)arg[0], &r);
	if (!target)
		return r;
	to &= ondol_nodes_with_memory(mon->machine);
	if (!to)
		return -EINVAL;
	failed = ondol_migrate_nodes(target->mm->mm, from, to, task_capable(task, CAP_SYS_NICE));
	return failed > INT32_MAX ? INT32_MAX : (int64_t)failed;
}

/* Tell where the page is, or move it to *node. */
static int32_t move_one(struct monitor *mon, struct guest_mm *g, uint64_t addr,
			const int32_t *node, bool all)
{
	if (!node)
		return ondol_page_node_at(g->mm, addr);
	if (*node < 0 || *node >= NODE_BITS ||
	    !(ondol_nodes_with_memory(mon->machine) >> *node & 1))
		return -ENODEV;
	return ondol_move_page(g->mm, addr, (unsigned)*node, all);
}

static int64_t call_move_pages(struct monitor *mon, struct task *task, const __u64 *arg)
{
	uint64_t nr = arg[1], pages = arg[2], nodes = arg[3], status = arg[4], flags = arg[5];
	struct ondol_mm_struct *mm = task->mm->mm;
	struct task *target;
	int64_t left = 0;
	int r;

	if (flags & ~(uint64_t)(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
		return -EINVAL;
	if (flags & MPOL_MF_MOVE_ALL && !task_capable(task, CAP_SYS_NICE))
		return -EPERM;
	target = target_of(mon, task, (pid_t)arg[0], &r);
	if (!target)
		return r;
	for (uint64_t i = 0; i < nr; i++) {
		int32_t node = 0, answer;
		uint64_t addr;

		r = ondol_copy_from_user(mm, &addr, pages + 8 * i, sizeof addr);
		if (!r && nodes)
			r = ondol_copy_from_user(mm, &node, nodes + 4 * i, sizeof node);
		if (r)
			return r;
		answer = move_one(mon, target->mm, addr, nodes ? &node : NULL,
				  flags & MPOL_MF_MOVE_ALL);
		if (answer == -ENODEV)
			return answer; /* a node that is none: for the whole call */
		left += nodes && answer < 0 && answer != -ENOENT && answer != -EFAULT;
		r = ondol_copy_to_user(mm, status + 4 * i, &answer, sizeof answer);
		if (r)
			return r;
	}
	return left;
}

int64_t numa_call(struct monitor *mon, struct task *task, const struct seccomp_data *data)
{
	switch (data->nr) {
	case SYS_set_mempolicy:
		return call_set_mempolicy(mon, task, data->args);
	case SYS_get_mempolicy:
		return call_get_mempolicy(mon, task, data->args);
	case SYS_mbind:
		return call_mbind(mon, task, data->args);
	case SYS_migrate_pages:
		return call_migrate_pages(mon, task, data->args);
	case SYS_move_pages:
		return call_move_pages(mon, task, data->args);
	}
	return -ENOSYS;
}

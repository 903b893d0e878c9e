/* SPDX-License-Identifier: MIT */
/*
 * Out of memory: a fault finds no frame and nothing can be taken from anybody.
 *
 *	choose   the process with the most points (ondol_oom_badness), oom_score_adj counted
 *	tell     the machine's state, the refusal in numbers, all processes, as Linux does
 *	kill     every process that has its address space, with SIGKILL
 *	wait     the fault, and others like it, until that address space is gone; then again
 *
 * One victim at a time: while one is on its way out nobody else is chosen.  The rest goes on.  If
 * everybody is exempt (oom_score_adj -1000), the one that faults ends.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "internal.h"

/* What the owner says, in the host's file: a program writes its own there, too. */
int oom_score_adj(pid_t tgid)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/oom_score_adj", tgid);
	return (int)number_in(path, 10, 0);
}

/* One process after the other: its leader, or the first thread of it that is found. */
struct walk {
	struct monitor *mon;
	uint32_t bucket;
	struct task *next;
};

static bool is_first_of_process(struct monitor *mon, const struct task *task)
{
	if (task->tid == task->tgid)
		return true;
	/* The leader may have ended before its threads. */
	if (task_find(mon, task->tgid))
		return false;
	for_each_task(mon, t)
		if (t->tgid == task->tgid)
			return t == task;
	return false;
}

static struct task *next_process(struct walk *w)
{
	for (;;) {
		struct task *task = w->next;

		while (!task && w->bucket < TASK_HASH)
			task = w->mon->tasks[w->bucket++];
		if (!task)
			return NULL;
		w->next = task->hash_next;
		if (task->mm && is_first_of_process(w->mon, task))
			return task;
	}
}

static struct task *choose(struct monitor *mon)
{
	struct walk w = { .mon = mon };
	int64_t most = INT64_MIN;
	struct task *victim = NULL, *task;

	while ((task = next_process(&w))) {
		int64_t points = ondol_oom_badness(task->mm->mm, oom_score_adj(task->tgid));

		/* Of equals the younger: what the others wait for is likely the older. */
		if (points == INT64_MIN || points < most ||
		    (victim && points == most && task->tgid < victim->tgid))
			continue;
		most = points;
		victim = task;
	}
	return victim;
}

/* ------------------------------------------------------------------ telling */

static void tell_processes(struct monitor *mon)
{
	struct walk w = { .mon = mon };
	struct task *task;

	monitor_warn("  [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents "
		     "oom_score_adj name");
	while ((task = next_process(&w))) {
		struct ondol_mm_stats s;

		ondol_mm_stats(task->mm->mm, &s);
		monitor_warn("  [%7d] %5d %5d %8llu %8llu %14llu %8llu %13d %s", task->tid,
			     (int)task_uid(task), task->tgid, (unsigned long long)s.total_vm,
			     (unsigned long long)(s.rss_anon + s.rss_file + s.rss_shmem),
			     (unsigned long long)s.pgtables_bytes, (unsigned long long)s.swap,
			     oom_score_adj(task->tgid), task->mm->comm);
	}
}

static void tell_victim(const struct task *victim)
{
	struct ondol_mm_stats s;

	ondol_mm_stats(victim->mm->mm, &s);
	monitor_warn("  killed process %d (%s) total-vm:%llukB, anon-rss:%llukB, file-rss:%llukB, "
		     "shmem-rss:%llukB, UID:%d pgtables:%llukB oom_score_adj:%d",
		     victim->tgid, victim->mm->comm, 4ull * s.total_vm, 4ull * s.rss_anon,
		     4ull * s.rss_file, 4ull * s.rss_shmem, (int)task_uid(victim),
		     (unsigned long long)s.pgtables_bytes / 1024, oom_score_adj(victim->tgid));
}

/* ------------------------------------------------------------------ doing */

/* Every process that has the address space: one left would keep all of it. */
static void kill_all_of(struct monitor *mon, const struct guest_mm *g)
{
	for_each_task(mon, t)
		if (t->mm == g)
			task_kill(mon, t, SIGKILL);
}

bool oom_fault(struct monitor *mon, struct task *task, uint64_t addr)
{
	struct task *victim;

	if (mon->oom_victim)
		return mon->oom_victim != task->mm;
	victim = choose(mon);
	if (!victim)
		victim = task;
	mon->stats.oom_kills++;
	ondol_oom_count_kill(victim->mm->mm);
	report_oom(mon, victim, task, addr);
	tell_processes(mon);
	tell_victim(victim);
	pressure_report_oom(mon);
	mon->oom_victim = victim->mm;
	kill_all_of(mon, victim->mm);
	return victim->mm != task->mm;
}

void oom_mm_gone(struct monitor *mon, const struct guest_mm *g)
{
	if (mon->oom_victim != g)
		return;
	mon->oom_victim = NULL;
	mon->late_faults = true; /* those that wait for memory, wherever they are */
}

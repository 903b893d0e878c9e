/* SPDX-License-Identifier: MIT */
/*
 * Calls of a program whose buffers are about to lose their mappings: they are interrupted, and made
 * again once that has happened.  [BUF-1] to [BUF-3] in buffers.c say which and why.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "internal.h"

#define LEAVE_NAPS 100000 /* of 20 us and more: a slow device's read */
#define END_NAPS 1000 /* nothing that the kernel does before it has written to us takes as long */

static bool overlaps(const struct task *task, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < task->nr_pins; i++)
		if (task->pin[i].start < end && task->pin[i].end > start)
			return true;
	return false;
}

/*
 * Its next stop, as soon as it can have one: a thread that leads a dead process has none while
 * others of it wait for us, and one that waits for a device takes its time.  What comes later is
 * an event like others.
 */
static bool stop_soon(const struct task *task, int *status)
{
	const struct timespec nap = { .tv_nsec = 20000 };

	for (int naps = 0; naps < LEAVE_NAPS; naps++) {
		pid_t r = waitpid(task->tid, status, __WALL | WNOHANG);

		if (r)
			return r == task->tid;
		if (naps % 64 == 4 && thread_is_dead(task->tid))
			return false;
		if (naps < 4)
			sched_yield();
		else
			nanosleep(&nap, NULL);
	}
	return false;
}

/*
 * Out of its call, which it makes again when it is resumed: also where a signal without a handler
 * would have ended it with EINTR.  False: it has stopped for a reason of its own, or ended.
 */
static bool call_leave(struct monitor *mon, struct task *task)
{
	struct user_regs_struct regs;
	int status;

	trace(mon, "call of %d interrupted", task->tid);
	task->nr_pins = 0;
	if (task->group_stopped || ptrace(PTRACE_INTERRUPT, task->tid, NULL, NULL) ||
	    !stop_soon(task, &status))
		return false;
	if (!WIFSTOPPED(status) || status >> 16 != PTRACE_EVENT_STOP ||
	    WSTOPSIG(status) != SIGTRAP) {
		stop_early(mon, task->tid, status);
		return false;
	}
	/* Unless it is a signal's doing. */
	if (!get_regs(task->tid, &regs) && (long)regs.orig_rax >= 0 &&
	    (long long)regs.rax == -EINTR && !signal_waits(task->tid)) {
		regs.rax = (unsigned long long)-513; /* the kernel's ERESTARTNOINTR */
		set_regs(task->tid, &regs);
	}
	return true;
}

/* A thread that ends makes its call once only: it is waited for. */
static void end_awaited(struct monitor *mon, struct task *task)
{
	const struct timespec nap = { .tv_nsec = 20000 };

	trace(mon, "end of %d awaited", task->tid);
	task->nr_pins = 0;
	for (int naps = 0; naps < END_NAPS && !thread_is_dead(task->tid); naps++)
		if (naps < 4)
			sched_yield();
		else
			nanosleep(&nap, NULL);
}

unsigned buffers_release(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end,
			 struct task **held, unsigned most)
{
	unsigned nr = 0;

	if (!g->has_pins)
		return 0;
	for_each_task(mon, t)
		if (nr < most && t->mm == g && t->nr_pins && t != mon->preparing &&
		    overlaps(t, start, end)) {
			if (t->ends)
				end_awaited(mon, t);
			else if (call_leave(mon, t))
				held[nr++] = t;
		}
	return nr;
}

void buffers_resume(struct task **held, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		task_resume(held[i], 0);
}

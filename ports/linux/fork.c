/* SPDX-License-Identifier: MIT */
/*
 * Fork: the core copies the address space, the host the process.
 *
 *   fork_prepare   at the seccomp stop, before the host does anything: ondol_dup_mm, which
 *                  flushes the parent's writable private translations, so that the host
 *                  copies none of them.  From here on only this thread is served ([PORT-4]).
 *   fork_happened  the host's child is stopped at birth: give it a worker of its own and
 *                  register its placeholder, which a host fork drops.
 *   fork_failed    the host refused (or the thread died): the child's mm is dropped.
 *
 * Signals are blocked in between: one would restart a slow fork for ever.
 * CLONE_CHILD_SETTID is taken over: the kernel would write the child's word before the child
 * has a worker.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "i386.h"

#define DESCRIPTORS_SPARE 16

/*
 * Do the fork without its CLONE_CHILD_SETTID, and without the
 * flags by which a child gets another tracer than its parent has: the one would keep it from us,
 * the other attach it without an event.
 */
static void fork_flags_take(const struct monitor *mon, struct task *task,
			    struct user_regs_struct *regs)
{
	const unsigned long long ours = CLONE_CHILD_SETTID | CLONE_PTRACE | CLONE_UNTRACED;
	unsigned long long *flags = clone_flags(mon, regs);

	task->child_settid = 0;
	task->clone_flags = *flags;
	if (call_number(mon, regs) != SYS_clone || !(*flags & ours))
		return;
	if (*flags & CLONE_CHILD_SETTID)
		task->child_settid = clone_child_tid(mon, regs);
	*flags &= ~ours;
	set_regs(task->tid, regs);
}

static void fork_flags_give_back(const struct monitor *mon, pid_t tid, uint64_t flags)
{
	struct user_regs_struct regs;

	if (get_regs(tid, &regs) || *clone_flags(mon, &regs) == flags)
		return;
	*clone_flags(mon, &regs) = flags;
	set_regs(tid, &regs);
}

/* The call fails with `error` without having been made. */
static void fork_refuse(struct task *task, struct user_regs_struct *regs, int error)
{
	regs->orig_rax = (unsigned long long)-1;
	regs->rax = (unsigned long long)(long long)error;
	set_regs(task->tid, regs);
	task_resume(task, 0);
}

/* ------------------------------------------------------------------ signals meanwhile */

/*
 * A fork with a signal waiting is not begun: the signal comes first and the call is made
 * again, so that what a signal to the group would end is not born behind its back (as the
 * host's own copy_process has it).
 */
static bool signal_first(struct task *task, const struct user_regs_struct *at)
{
	struct user_regs_struct regs = *at;

	if (!signal_waits(task->tid))
		return false;
	regs.rip -= 2; /* the syscall instruction */
	regs.rax = regs.orig_rax;
	regs.orig_rax = (unsigned long long)-1;
	set_regs(task->tid, &regs);
	task_resume(task, 0);
	return true;
}

/* Signals whose action is the default, from the process's own account of itself. */
static uint64_t signals_default(pid_t tid)
{
	char ignored[64], caught[64];

	if (!status_field(tid, "SigIgn", ignored, sizeof ignored) ||
	    !status_field(tid, "SigCgt", caught, sizeof caught))
		return 0;
	return ~(strtoull(ignored, NULL, 16) | strtoull(caught, NULL, 16));
}

/*
 * What came while signals were blocked for the fork hit only the parent.  If it will end or
 * stop it, the child, which would not have been born yet, goes the same way.
 */
static void signals_share(const struct task *parent, const struct task *child)
{
	const uint64_t harmless = UINT64_C(1) << (SIGCHLD - 1) | UINT64_C(1) << (SIGURG - 1) |
				  UINT64_C(1) << (SIGWINCH - 1) | UINT64_C(1) << (SIGCONT - 1);
	uint64_t set = signals_pending(parent->tid) & ~parent->saved_mask & ~harmless;

	if (set)
		set &= signals_default(parent->tid);
	for (int sig = 1; set && sig <= 64; sig++)
		if (set & UINT64_C(1) << (sig - 1))
			kill(child->tid, sig);
}

static void fork_wait_turn(struct guest_mm *g, pid_t tid)
{
	pid_t *more = realloc(g->late_forks, (g->nr_late_forks + 1) * sizeof *more);

	if (!more) { /* the thread stays stopped: better it ends than hangs */
		kill(tid, SIGKILL);
		return;
	}
	g->late_forks = more;
	g->late_forks[g->nr_late_forks++] = tid;
}

/*
 * The child will cost us descriptors, and the program that it may become some for its files:
 * too late to say no then.  Numbers are given out from below, so while one near the limit is
 * free there are enough; only then are they counted.
 */
static bool descriptors_short(const struct monitor *mon)
{
	int taken[DESCRIPTORS_SPARE], nr = 0;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > INT_MAX)
		return false;
	int near_limit = (int)limit.rlim_cur - DESCRIPTORS_SPARE;
	int fd = fcntl(mon->epoll, F_DUPFD_CLOEXEC, near_limit);

	if (fd >= 0)
		close(fd);
	if (fd == near_limit)
		return false;
	while (nr < DESCRIPTORS_SPARE &&
	       (fd = fcntl(mon->epoll, F_DUPFD_CLOEXEC, 0)) >= 0)
		taken[nr++] = fd;
	for (int i = 0; i < nr; i++)
		close(taken[i]);
	return nr < DESCRIPTORS_SPARE;
}

/*
 * The host tells the parent its child's number, or pidfd, when it has copied the address space:
 * where its kernel cannot wait for the page, it is mapped before.  The child gets a copy of that
 * mapping, which it must not keep: fork_happened.
 */
static void told_page_in(struct monitor *mon, struct task *task, const struct user_regs_struct *at)
{
	struct user_regs_struct regs = *at;
	bool clone = call_number(mon, at) == SYS_clone;

	task->child_clear_tid = clone && (*clone_flags(mon, &regs) & CLONE_CHILD_CLEARTID) ?
					clone_child_tid(mon, at) : 0;
	task->told_page = 0;
	if (mon->trap->kernel_too || !clone || !(at->rdi & (CLONE_PARENT_SETTID | CLONE_PIDFD)))
		return;
	task->told_page = at->rdx & ~(PAGE_BYTES - 1);
	fault_ahead(mon, task->mm, task->told_page, 1, ONDOL_VM_READ | ONDOL_VM_WRITE);
	worker_wait(mon, task->mm);
}

void fork_prepare(struct monitor *mon, struct task *task, const struct user_regs_struct *at)
{
	struct user_regs_struct regs = *at;
	struct ondol_mm_struct *child_mm;
	struct guest_mm *g = task->mm;

	if (call_number(mon, at) == SYS_clone &&
	    (*clone_flags(mon, &regs) & CLONE_VM)) { /* here for these two */
		*clone_flags(mon, &regs) &=
			~(unsigned long long)(CLONE_PTRACE |
					      (mon->trap->kernel_too ? 0 : CLONE_UNTRACED));
		set_regs(task->tid, &regs);
		buffers_in(mon, task, &(struct seccomp_data){ .nr = SYS_clone,
			   .args = { regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8 } });
		task_resume(task, 0);
		return;
	}
	mon->current = task->tid;
	if (!g || g->worker_dead) {
		fork_refuse(task, &regs, -ENOMEM);
		return;
	}
	if (g->forking && g->forking != task->tid) {
		fork_wait_turn(g, task->tid);
		return;
	}
	if (signal_first(task, at)) {
		fork_settle(mon, g);
		return;
	}
	mon->stats.forks++;
	g->forking = task->tid;
	/* The child would have them, and not know of them. */
	holes_restore(mon, g, 0, mon->space->end);
	worker_wait(mon, g);
	struct guest_mm *outer = mon->serving;

	mon->serving = g;
	/* Nobody of it runs: it is soon enough if all is flushed at the end. */
	mon->batching = g->refs == 1 ? g : NULL;
	int r = descriptors_short(mon) ? -EAGAIN : ondol_dup_mm(g->mm, false, &child_mm);

	mon->batching = NULL;
	worker_wait(mon, g);
	ready_restore(mon); /* the child's is forgotten in fork_happened */
	mon->serving = outer;

	if (!r) {
		g->child = guest_mm_new(mon, child_mm);
		if (!g->child) {
			ondol_mmput(child_mm);
			r = -ONDOL_ENOMEM;
		}
	}
	if (r) {
		g->forking = 0;
		fork_refuse(task, &regs, r);
		fork_settle(mon, g);
		return;
	}
	memcpy(g->child->comm, g->comm, sizeof g->comm);
	g->child->stack_limit_moved = g->stack_limit_moved;
	g->child->slice_at = g->slice_at; /* it has the parent's mappings and so its gaps */
	g->child->frames_held = g->frames_held;
	g->child->slices_off = g->slices_off;
	g->child->nr_host_maps = g->nr_host_maps;
	g->child->nr_native_maps = g->nr_native_maps;
	task->forking = true;
	told_page_in(mon, task, at);
	signals_block(task->tid, &task->saved_mask);
	fork_flags_take(mon, task, &regs);
	ptrace(PTRACE_SYSCALL, task->tid, NULL, NULL); /* so that a failure is seen */
}

/* What others of the mm asked for meanwhile. */
void fork_settle(struct monitor *mon, struct guest_mm *g)
{
	struct notif_node *notifs = g->late_notifs;
	struct stop_node *stops = g->late_stops;
	pid_t *forks = g->late_forks;
	uint32_t nr_forks = g->nr_late_forks;

	g->late_notifs = NULL;
	g->late_notifs_end = &g->late_notifs;
	g->late_stops = NULL;
	g->late_stops_end = &g->late_stops;
	g->late_forks = NULL;
	g->nr_late_forks = 0;
	g->refs++; /* a call below may end tasks */
	fault_serve_late_of(mon, g);
	while (stops) {
		struct stop_node *node = stops;
		stops = node->next;
		stop_serve(mon, node);
	}
	while (notifs) {
		struct notif_node *node = notifs;
		notifs = node->next;
		notif_serve(mon, &node->notif);
		free(node);
	}
	for (uint32_t i = 0; i < nr_forks; i++) {
		struct user_regs_struct regs;
		struct task *t = task_find(mon, forks[i]);

		if (t && !get_regs(t->tid, &regs))
			fork_prepare(mon, t, &regs);
	}
	free(forks);
	guest_mm_put(mon, g);
}

struct left_out {
	struct monitor *mon;
	struct guest_mm *child;
};

static int left_out_visit(void *ctx, const struct ondol_vma_info *vma)
{
	const ondol_vm_flags_t both = ONDOL_VM_NATIVE | ONDOL_VM_DONTFORK;
	struct left_out *w = ctx;

	if ((vma->vm_flags & both) == both)
		worker_placeholder(w->mon, w->child, vma->start, vma->end);
	return 0;
}

/* What the host backs and the child does not get (MADV_DONTFORK) is a hole there: fill it. */
static void left_out_fill(struct monitor *mon, const struct guest_mm *parent, struct guest_mm *c)
{
	struct left_out w = { mon, c };

	if (parent->nr_native_maps)
		ondol_for_each_vma(parent->mm, left_out_visit, &w);
}

void fork_happened(struct monitor *mon, struct task *parent, struct task *child)
{
	struct guest_mm *g = parent->mm, *c = g->child;
	struct user_regs_struct regs;
	uint64_t unused;

	g->child = NULL;
	g->forking = 0;
	parent->forking = false;
	c->refs = 0;
	task_set_mm(mon, child, c);
	signals_share(parent, child);
	signals_restore(parent->tid, parent->saved_mask);
	signals_block(child->tid, &unused);
	fork_flags_give_back(mon, parent->tid, parent->clone_flags);
	int r = get_regs(child->tid, &regs);

	if (!r)
		r = stub_run(mon, child, c, stub_at(mon, mon->space->worker_create), &regs);
	if (!r)
		r = guest_mm_attach(mon, c);
	if (!r) {
		left_out_fill(mon, g, c);
		ready_forget(mon, c);
		if (parent->told_page)
			worker_placeholder(mon, c, parent->told_page,
					   parent->told_page + PAGE_BYTES);
		r = guest_mm_arm(mon, c, false);
	}
	if (!r)
		r = ready_fill_or_oom(mon, c);
	if (!r && parent->child_settid) {
		pid_t tid = child->tid;
		r = ondol_copy_to_user(c->mm, parent->child_settid, &tid, sizeof tid);
	}
	*clone_flags(mon, &regs) = parent->clone_flags;
	if (!r)
		r = set_regs(child->tid, &regs);
	signals_restore(child->tid, parent->saved_mask);
	if (r && !child->dead) {
		monitor_warn("%s: a fork of process %d failed half way (%s); the child is ended",
			     g->comm, parent->tgid, strerror(-r));
		kill(child->tid, SIGKILL);
	}
	if (!r)
		fork_ahead(mon, g, c);
	fork_settle(mon, g);
}

void fork_failed(struct monitor *mon, struct task *task)
{
	struct guest_mm *g = task->mm;

	task->forking = false;
	signals_restore(task->tid, task->saved_mask);
	if (task->child_settid)
		fork_flags_give_back(mon, task->tid, task->clone_flags);
	if (!g || g->forking != task->tid)
		return;
	struct guest_mm *c = g->child;

	g->child = NULL;
	g->forking = 0;
	if (c) {
		c->refs = 1;
		guest_mm_put(mon, c);
	}
	fork_settle(mon, g);
}

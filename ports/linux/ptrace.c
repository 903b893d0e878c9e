/* SPDX-License-Identifier: MIT */
/*
 * Threads as their tracer sees them: births, exec, exits, signals on their way, and running
 * the stub's code in a thread.
 *
 * Every guest is seized, so signals stay native: a delivery stop is continued with the
 * signal, a group stop is listened to, and job control works as without us.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sched.h>
#include <unistd.h>

#include "i386.h"

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#endif

int get_regs(pid_t tid, struct user_regs_struct *regs)
{
	return ptrace(PTRACE_GETREGS, tid, NULL, regs) ? -errno : 0;
}

int set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	return ptrace(PTRACE_SETREGS, tid, NULL, regs) ? -errno : 0;
}

void signals_block(pid_t tid, uint64_t *out_saved)
{
	uint64_t all = ~UINT64_C(0);

	ptrace(PTRACE_GETSIGMASK, tid, (void *)8, out_saved);
	ptrace(PTRACE_SETSIGMASK, tid, (void *)8, &all);
}

void signals_restore(pid_t tid, uint64_t saved)
{
	ptrace(PTRACE_SETSIGMASK, tid, (void *)8, &saved);
}

/* Signals that wait for the thread, its own and its process's; bit n - 1 for signal n. */
uint64_t signals_pending(pid_t tid)
{
	struct __ptrace_peeksiginfo_args args = { .nr = 16 };
	uint64_t set = 0;
	siginfo_t info[16];

	for (args.flags = 0; args.flags <= PTRACE_PEEKSIGINFO_SHARED; args.flags++) {
		long n = ptrace(PTRACE_PEEKSIGINFO, tid, &args, info);

		for (long i = 0; i < n; i++)
			if (info[i].si_signo > 0 && info[i].si_signo <= 64)
				set |= UINT64_C(1) << (info[i].si_signo - 1);
	}
	return set;
}

int signals_blocked(pid_t tid, uint64_t *out_mask)
{
	return ptrace(PTRACE_GETSIGMASK, tid, (void *)8, out_mask) ? -errno : 0;
}

bool signal_waits(pid_t tid)
{
	uint64_t blocked;

	return !signals_blocked(tid, &blocked) && (signals_pending(tid) & ~blocked);
}

/* A SIGSTOP that came where the thread could not stop, once more: unless a SIGCONT has come. */
void stop_repeat(const struct task *task)
{
	if (!(signals_pending(task->tid) & UINT64_C(1) << (SIGCONT - 1)))
		syscall(SYS_tgkill, task->tgid, task->tid, SIGSTOP);
}

/* The next stop or end of one thread.  -ESRCH: there is no such thread any more. */
int wait_stop(struct monitor *mon, pid_t tid, int *out_status)
{
	(void)mon;
	for (;;) {
		pid_t r = waitpid(tid, out_status, __WALL);

		if (r == tid)
			return 0;
		if (r < 0 && errno != EINTR)
			return -ESRCH;
	}
}

static void stop_append(struct stop_node ***end, pid_t tid, int status)
{
	struct stop_node *node = malloc(sizeof *node);

	if (!node) { /* it would wait for ever */
		kill(tid, SIGKILL);
		return;
	}
	*node = (struct stop_node){ .tid = tid, .status = status };
	**end = node;
	*end = &node->next;
}

void stop_early(struct monitor *mon, pid_t tid, int status)
{
	stop_append(&mon->early_stops_end, tid, status);
}

/*
 * A signal for another thread of an mm that is being copied, or the return of its handler, waits
 * where room for the frame must be mapped: the host's child would have that mapping, too [PORT-4].
 */
static bool stop_waits(struct monitor *mon, struct task *task, int status)
{
	struct guest_mm *g = task->mm;
	struct user_regs_struct regs;
	int event = status >> 16;

	if (mon->trap->kernel_too || !g || !g->forking || g->forking == task->tid)
		return false;
	if (event ? event != PTRACE_EVENT_SECCOMP || get_regs(task->tid, &regs) ||
			    regs.orig_rax != SYS_rt_sigreturn :
		    WSTOPSIG(status) == (SIGTRAP | 0x80))
		return false;
	stop_append(&g->late_stops_end, task->tid, status);
	return true;
}

void stop_serve(struct monitor *mon, struct stop_node *node)
{
	/* A thread that has ended meanwhile is gone; its number must not look like a newborn's. */
	if (task_find(mon, node->tid) || !WIFSTOPPED(node->status))
		ptrace_event(mon, node->tid, node->status);
	free(node);
}

void stops_serve_early(struct monitor *mon)
{
	while (mon->early_stops) {
		struct stop_node *node = mon->early_stops;

		mon->early_stops = node->next;
		if (!mon->early_stops)
			mon->early_stops_end = &mon->early_stops;
		stop_serve(mon, node);
	}
}

/* One call from the stub: its own are answered, those of others wait in early_notifs. */
static void serve_stub_call(struct monitor *mon, struct task *task, struct guest_mm *g)
{
	struct seccomp_notif notif;

	memset(&notif, 0, sizeof notif);
	mon->notif_taken = true;
	if (ioctl(mon->notif, SECCOMP_IOCTL_NOTIF_RECV, &notif))
		return;
	if (notif.data.nr == STUB_CALL_BOOT && (pid_t)notif.pid == task->tid) {
		uint64_t offset;
		int index, fd = ram_fd(mon, ondol_page_to_pfn(mon->machine, mon->stub_page).value,
				       &offset, &index);
		notif_addfd(mon, notif.id, fd, 0, SECCOMP_ADDFD_FLAG_SEND, O_CLOEXEC);
	} else if (notif.data.nr == STUB_CALL_HELLO && g->worker <= 0 &&
		   notif.data.args[1] >> 8 == g->id && !task_find(mon, (pid_t)notif.pid)) {
		for (uint32_t i = 0; i < mon->nr_nodes; i++)
			notif_addfd(mon, notif.id, mon->node[i].fd, (int)i,
				    SECCOMP_ADDFD_FLAG_SETFD, O_CLOEXEC);
		if (!mon->trap->stub_uffd)
			notif_addfd(mon, notif.id, mon->uffd_device, (int)mon->nr_nodes,
				    SECCOMP_ADDFD_FLAG_SETFD, O_CLOEXEC);
		g->worker = (pid_t)notif.pid;
		notif_reply(mon, notif.id, 0);
	} else {
		notif_early(mon, &notif);
	}
}

/*
 * A stop (or the end) of the thread that runs stub code.  1: its breakpoint, and it went well;
 * 0: something else, let go; what would stop the process is raised again at the end.
 */
static int stub_stop(struct task *task, int status, bool *stop_again)
{
	struct user_regs_struct regs;

	if (!WIFSTOPPED(status)) {
		task->dead_status = status;
		task->dead = true;
		return -ESRCH;
	}
	if (WSTOPSIG(status) == SIGTRAP && status >> 16 == 0) {
		int r = get_regs(task->tid, &regs);

		return r ? r : (long long)regs.rax < 0 ? (int)regs.rax : 1;
	}
	if (WSTOPSIG(status) == SIGSEGV || WSTOPSIG(status) == SIGSYS)
		return -EFAULT; /* forced through the blocked mask: the stub itself fails */
	/* SIGSTOP cannot be blocked: on its way to the thread, or having stopped the process. */
	if (WSTOPSIG(status) == SIGSTOP ||
	    (status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP))
		*stop_again = true;
	ptrace(PTRACE_CONT, task->tid, NULL, NULL);
	return 0;
}

/*
 * Until the new worker has said hello and the thread has hit its breakpoint.  Either may come
 * first: on a busy machine the worker may not run for long.
 */
static int serve_stub(struct monitor *mon, struct task *task, struct guest_mm *g)
{
	enum { POLL_MS = 20, PATIENCE = 60000 / POLL_MS };
	struct pollfd p = { .fd = mon->notif, .events = POLLIN };
	bool done = false, stop_again = false;
	int r = 0, waited = 0;

	while (r >= 0 && (!done || g->worker <= 0)) {
		int status;

		if (!done) {
			pid_t tid = waitpid(task->tid, &status,
					    __WALL | (g->worker > 0 ? 0 : WNOHANG));

			if (tid < 0 && errno != EINTR)
				return -ESRCH;
			if (tid == task->tid) {
				r = stub_stop(task, status, &stop_again);
				done = r == 1;
				continue;
			}
		}
		if (g->worker > 0)
			continue;
		if (poll(&p, 1, POLL_MS) > 0)
			serve_stub_call(mon, task, g);
		else if (done && ++waited > PATIENCE)
			return -ETIMEDOUT;
	}
	if (stop_again && !task->dead)
		stop_repeat(task);
	return r < 0 ? r : 0;
}

/*
 * Make the worker of `g` in the stopped thread `task`, by running stub code at `ip`.  The
 * thread's signals are blocked by the caller; its registers are lost.
 */
int stub_run(struct monitor *mon, struct task *task, struct guest_mm *g, uint64_t ip,
	     struct user_regs_struct *regs)
{
	uint64_t mailbox_offset, stub_offset;
	int mailbox_node, stub_node;
	struct user_regs_struct r = *regs;

	ram_fd(mon, ondol_page_to_pfn(mon->machine, g->mailbox_page).value, &mailbox_offset,
	       &mailbox_node);
	ram_fd(mon, ondol_page_to_pfn(mon->machine, mon->stub_page).value, &stub_offset,
	       &stub_node);
	if (mon->i386)
		i386_long_mode(&r);
	r.rip = ip;
	r.rax = 0;
	r.orig_rax = (unsigned long long)-1;
	r.r12 = mailbox_offset;
	r.r13 = (unsigned long long)mailbox_node | (unsigned long long)g->id << 8;
	r.r14 = mon->trap->stub_uffd ? mon->trap->stub_uffd : mon->nr_nodes;
	r.r15 = stub_offset;
	if (set_regs(task->tid, &r) || ptrace(PTRACE_CONT, task->tid, NULL, NULL))
		return -ESRCH;
	int served = serve_stub(mon, task, g);

	return served ? served : worker_ready(mon, g);
}

/* ------------------------------------------------------------------ births and deaths */

static void birth(struct monitor *mon, struct task *child, struct task *parent)
{
	child->born = true;
	mon->nr_unborn -= child->stopped_at_birth;
	child->own_affinity = parent->own_affinity;
	child->segv_action = parent->segv_action;
	child->segv_blocked = parent->segv_blocked;
	child->in_handler = parent->in_handler;
	child->clear_tid = parent->child_clear_tid;
	if (parent->forking || child->tgid == child->tid) { /* a thread begins without one */
		child->altstack = parent->altstack;
		child->altstack_size = parent->altstack_size;
	}
	child->policy = parent->policy;
	memcpy(child->rlimit_as, parent->rlimit_as, sizeof child->rlimit_as);
	memcpy(child->rlimit_data, parent->rlimit_data, sizeof child->rlimit_data);
	if (parent->forking) {
		fork_happened(mon, parent, child);
	} else {
		mon->stats.threads++;
		if (parent->mm)
			task_set_mm(mon, child, parent->mm);
	}
	if (!child->dead)
		ptrace(PTRACE_CONT, child->tid, NULL, NULL);
}

void task_resume(const struct task *task, int sig)
{
	ptrace(task->watched || task->moved ? PTRACE_SYSCALL : PTRACE_CONT, task->tid, NULL,
	       (void *)(long)sig);
}

static void child_event(struct monitor *mon, struct task *parent, int event)
{
	unsigned long message = 0;
	struct user_regs_struct regs;
	int status;

	ptrace(PTRACE_GETEVENTMSG, parent->tid, NULL, &message);
	pid_t tid = (pid_t)message;
	struct task *child = task_find(mon, tid);

	if (!child) {
		child = task_new(mon, tid);
		if (!child) {
			monitor_warn("no memory for a new thread of %d: it is ended", parent->tgid);
			kill(tid, SIGKILL);
			task_resume(parent, 0);
			return;
		}
	}
	if (event == PTRACE_EVENT_CLONE && !get_regs(parent->tid, &regs) &&
	    (*clone_flags(mon, &regs) & CLONE_THREAD)) {
		child->tgid = parent->tgid;
		parent->child_clear_tid = *clone_flags(mon, &regs) & CLONE_CHILD_CLEARTID ?
						  clone_child_tid(mon, &regs) : 0;
	}
	if (!child->stopped_at_birth) {
		if (wait_stop(mon, tid, &status) || !WIFSTOPPED(status))
			child->dead = true;
	}
	if (child->dead) {
		if (parent->forking)
			fork_failed(mon, parent);
		task_gone(mon, child);
	} else {
		birth(mon, child, parent);
		if (child->dead)
			thread_end(mon, child, child->dead_status);
	}
	task_resume(parent, 0);
}

static void exec_event(struct monitor *mon, pid_t tid)
{
	unsigned long message = 0;
	struct task *task, *other;

	/* The thread that called exec takes the leader's id; all others are gone. */
	ptrace(PTRACE_GETEVENTMSG, tid, NULL, &message);
	if ((pid_t)message != tid && (other = task_find(mon, (pid_t)message)))
		task_gone(mon, other);
	task = task_find(mon, tid);
	if (!task)
		task = task_new(mon, tid);
	if (!task) {
		kill(tid, SIGKILL);
		return;
	}
	for (uint32_t i = 0; i < TASK_HASH; i++) {
		struct task *t = mon->tasks[i];

		while (t) {
			struct task *next = t->hash_next;
			if (t->tgid == tid && t != task)
				task_gone(mon, t);
			t = next;
		}
	}
	task->born = true;
	task->clear_tid = task->altstack = task->robust_list32 = 0;
	if (task->segv_action.handler != (uint64_t)SIG_IGN)
		task->segv_action.handler = (uint64_t)SIG_DFL;
	sigtrap_mask_read(task);
	exec_takeover(mon, task);
	if (task->dead)
		thread_end(mon, task, task->dead_status);
	else
		task_resume(task, 0);
}

/* Is the process alive that a new thread belongs to or a new process is a child of? */
static bool has_parent(struct monitor *mon, const struct task *child)
{
	char tgid[32], ppid[32];

	if (!status_field(child->tid, "Tgid", tgid, sizeof tgid) ||
	    !status_field(child->tid, "PPid", ppid, sizeof ppid))
		return false;
	return task_find(mon, atoi(tgid) != child->tid ? atoi(tgid) : atoi(ppid)) != NULL;
}

/*
 * A process killed in the middle of a fork never tells of its child, which would wait at its
 * birth for ever: it ends too, as if the fork had not happened.
 */
static void end_unborn(struct monitor *mon)
{
	for_each_task(mon, t)
		if (t->stopped_at_birth && !t->born && !has_parent(mon, t))
			kill(t->tid, SIGKILL);
}

void thread_end(struct monitor *mon, struct task *task, int status)
{
	pid_t tid = task->tid;
	bool may_have_unborn = mon->nr_unborn != 0;

	trace(mon, "thread %d ends, status %#x", tid, status);
	task_gone(mon, task);
	if (may_have_unborn)
		end_unborn(mon);
	if (tid == mon->root) {
		mon->root_status = status;
		mon->root_done = true;
		/* What it left in the background goes on; who started us need not wait. */
		if (mon->nr_tasks && !mon->options->stats && !mon->options->validate) {
			int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

			dup2(null, STDERR_FILENO); /* not ours to keep open any longer */
			close(null);
			front_tell(mon, WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
							      WEXITSTATUS(status),
				   WIFSIGNALED(status) ? WTERMSIG(status) : 0);
		}
	}
}

/*
 * A signal met a memory call on its way to us.  It has not begun, and on Linux none of these
 * is ever interrupted: it is made again even where the handler's action lacks SA_RESTART.
 */
static void call_again(const struct monitor *mon, struct task *task)
{
	enum { RESTARTSYS = 512, RESTARTNOINTR = 513 }; /* the kernel's own error numbers */
	struct user_regs_struct regs;

	if (get_regs(task->tid, &regs) || (long long)regs.rax != -RESTARTSYS)
		return; /* the kernel has it in 64 bits whatever the program is */
	bool again = !mon->trap->kernel_too && !buffers_slow((long)regs.orig_rax);
	long nr = call_number(mon, &regs);

	switch (nr) {
	case SYS_prlimit64:
	case SYS_getrlimit:
	case SYS_setrlimit:
	case SYS_set_mempolicy:
	case SYS_get_mempolicy:
	case SYS_mbind:
	case SYS_migrate_pages:
	case SYS_move_pages:
	case SYS_sysinfo:
	case SYS_execve:
	case SYS_execveat:
		again = true;
	}
	if (again || is_memory_call((int)nr)) {
		regs.rax = (unsigned long long)-RESTARTNOINTR;
		set_regs(task->tid, &regs);
	}
}

void signal_deliver(struct monitor *mon, struct task *task, int sig)
{
	struct user_regs_struct regs;
	siginfo_t info;

	mon->stats.signals++;
	if (mon->options->trace && !get_regs(task->tid, &regs))
		trace(mon, "thread %d gets signal %d at %#llx", task->tid, sig, regs.rip);
	task->in_handler = true;
	/* The kernel's own word is that there was no room for a handler's frame: that is final. */
	if (sig == SIGSEGV && !ptrace(PTRACE_GETSIGINFO, task->tid, NULL, &info) &&
	    info.si_code != SI_KERNEL &&
	    !(info.si_code > 0 && sigtrap_defeats_handler(task)))
		sigtrap_action_restore(mon, task);
	buffers_signal(mon, task);
	if (!task->dead)
		task_resume(task, sig);
}

static void signal_stop(struct monitor *mon, struct task *task, int sig)
{
	if (mon->trap->signal(mon, task, sig))
		return; /* of an access, so no call was under way */
	call_again(mon, task);
	call_signalled(mon, task, sig);
	signal_deliver(mon, task, sig);
}

/* At the entry of a fork, or of a handler's return. */
static void seccomp_event(struct monitor *mon, struct task *task)
{
	struct user_regs_struct regs;

	if (get_regs(task->tid, &regs))
		return;
	if (regs.orig_rax != SYS_rt_sigreturn) {
		fork_prepare(mon, task, &regs);
		return;
	}
	buffers_sigreturn(mon, task, regs.rsp);
	task_resume(task, 0);
}

void ptrace_event(struct monitor *mon, pid_t tid, int status)
{
	struct task *task = task_find(mon, tid);

	mon->current = tid;
	if (!WIFSTOPPED(status)) {
		if (task)
			thread_end(mon, task, status);
		else
			guest_mm_reaped(mon, tid);
		return;
	}
	int sig = WSTOPSIG(status), event = status >> 16;

	if (task) {
		task->nr_pins = 0;
		if (stop_waits(mon, task, status))
			return;
	} else { /* a child whose parent's event is still to come */
		task = task_new(mon, tid);
		if (!task) {
			kill(tid, SIGKILL);
			return;
		}
		task->stopped_at_birth = true;
		mon->nr_unborn++;
		if (!has_parent(mon, task))
			kill(tid, SIGKILL);
		return;
	}
	switch (event) {
	case PTRACE_EVENT_SECCOMP:
		seccomp_event(mon, task);
		return;
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		child_event(mon, task, event);
		return;
	case PTRACE_EVENT_EXEC:
		exec_event(mon, tid);
		return;
	case PTRACE_EVENT_STOP:
		if (!task->born && !task->mm) {
			mon->nr_unborn += !task->stopped_at_birth;
			task->stopped_at_birth = true;
			return;
		}
		task->group_stopped = sig != SIGTRAP;
		if (sig == SIGTRAP && task->interrupted)
			call_interrupted(mon, task);
		if (sig == SIGTRAP)
			task_resume(task, 0);
		else
			ptrace(PTRACE_LISTEN, tid, NULL, NULL); /* group stop */
		return;
	case 0:
		break;
	default:
		task_resume(task, 0);
		return;
	}
	if (sig == (SIGTRAP | 0x80)) { /* the exit of a fork that did not happen */
		if (task->forking)
			fork_failed(mon, task);
		refs_watch(mon, task);
		ready_restore(mon);
		call_exits(task);
		task_resume(task, 0);
		return;
	}
	signal_stop(mon, task, sig);
}

/* SPDX-License-Identifier: MIT */
/*
 * [BUF-1] (buffers.c): threads leave their system calls when what these hold on to has to go, and
 * make them again when they go on.
 *
 * The kernel restarts most calls as if nothing had been.  What would show:
 *
 *   EINTR          Some calls end so at any interruption.  They are made again all the same, unless
 *                  it was a signal's doing; and one with a handler that comes before the call has
 *                  begun anew ends it, as on Linux it would have.
 *   a time to wait of epoll_wait and others begins anew with the call.  So its end is remembered
 *                  from the first time on, and when that has come the thread leaves the call for
 *                  good, with the result that Linux has for it.
 *   half of a job  A write of more than a pipe or a socket has room for (or a receive of all that
 *                  is asked for) ends with what it has done so far.  It is made again for the
 *                  rest, and at its exit the program gets the sum, and its registers as they were.
 *
 * Signals that a program ignores interrupt calls, too, where there is a tracer (who is to hear of
 * them): the same is done for them.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "i386.h"
#include "internal.h"

#define LEAVE_NAPS 100000 /* of 20 us and more: a slow device's read */
#define HOLD_NAPS 200
#define END_NAPS 1000 /* nothing that the kernel does before it has written to us takes as long */
/* The kernel's own error numbers: made again unless a signal has a handler without SA_RESTART. */
#define RESTARTSYS 512
#define RESTARTNOINTR 513 /* ... always */
#define RESTARTNOHAND 514 /* ... unless one has a handler at all */
#define SYS_epoll_pwait2_ 441
#define SECONDS_MOST (1l << 31)

/* ------------------------------------------------------------------ times to wait */

/* Until when the call may wait, if that would begin anew with it; 0: it is not such a one. */
static uint64_t deadline_of(const struct task *task, const struct seccomp_data *data)
{
	const __u64 *arg = data->args;
	struct timespec left;
	uint64_t at = 0;

	switch (data->nr) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		return (int)arg[3] > 0 ? task->began + (uint64_t)(int)arg[3] * 1000000 : 0;
	case SYS_epoll_pwait2_:
	case SYS_semtimedop:
		at = arg[3];
		break;
	case SYS_rt_sigtimedwait:
		at = arg[2];
		break;
	}
	if (!at || ondol_copy_from_user(task->mm->mm, &left, at, sizeof left) ||
	    left.tv_sec < 0 || left.tv_sec > SECONDS_MOST || left.tv_nsec < 0 ||
	    left.tv_nsec >= 1000000000)
		return 0;
	return task->began + (uint64_t)left.tv_sec * 1000000000 + (uint64_t)left.tv_nsec;
}

static bool sends(long nr)
{
	return nr == SYS_connect || nr == SYS_write || nr == SYS_writev || nr == SYS_sendto ||
	       nr == SYS_sendmsg;
}

static bool may_be_socket(long nr)
{
	return sends(nr) || nr == SYS_read || nr == SYS_readv || nr == SYS_recvfrom ||
	       nr == SYS_recvmsg || nr == SYS_accept || nr == SYS_accept4;
}

/* The same, of a socket with SO_RCVTIMEO or SO_SNDTIMEO: only with those it ends with EINTR. */
static uint64_t socket_deadline(struct task *task)
{
	struct timeval wait = { 0 };
	socklen_t size = sizeof wait;
	int option = SO_RCVTIMEO;

	if (!may_be_socket(task->last_call.nr))
		return 0;
	if (sends(task->last_call.nr))
		option = SO_SNDTIMEO;
	int fd = task_getfd(task, (int)task->last_call.args[0]);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, option, &wait, &size))
		wait.tv_sec = wait.tv_usec = 0;
	close(fd);
	return wait.tv_sec || wait.tv_usec ? task->began + (uint64_t)wait.tv_sec * 1000000000 +
						     (uint64_t)wait.tv_usec * 1000 : 0;
}

static bool same_call(const struct seccomp_data *a, const struct seccomp_data *b)
{
	bool same = a->nr == b->nr && a->instruction_pointer == b->instruction_pointer;

	for (int i = 0; i < 6; i++)
		same &= a->args[i] == b->args[i];
	return same;
}

static void deadline_note(struct monitor *mon, const struct task *task)
{
	if (!mon->next_deadline || task->deadline < mon->next_deadline)
		mon->next_deadline = task->deadline;
}

void call_begins(struct monitor *mon, struct task *task, const struct seccomp_data *data)
{
	bool again = task->again && same_call(data, &task->last_call);

	task->remote = NULL;
	task->again = task->was_ended = false;
	if (again && task->left) {
		deadline_note(mon, task);
		return;
	}
	task->left = false;
	if (again)
		return;
	task->last_call = *data;
	task->began = now_ns();
	task->deadline = deadline_of(task, data);
}

/* What the call says when its time is over. */
static long long over_result(long nr)
{
	switch (nr) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2_:
		return 0;
	case SYS_connect:
		return -EINPROGRESS;
	default:
		return -EAGAIN;
	}
}

int deadlines_wait_ms(const struct monitor *mon)
{
	uint64_t now;

	if (!mon->next_deadline)
		return -1;
	now = now_ns();
	if (mon->next_deadline <= now)
		return 0;
	uint64_t ms = (mon->next_deadline - now) / 1000000 + 1;

	return ms < 60000 ? (int)ms : 60000;
}

/* ------------------------------------------------------------------ out of a call */

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
static bool stop_soon(const struct task *task, int patience, int *status)
{
	const struct timespec nap = { .tv_nsec = 20000 };

	for (int naps = 0; naps < patience; naps++) {
		pid_t r = waitpid(task->tid, status, __WALL | WNOHANG);

		if (r)
			return r == task->tid;
		if (naps % 64 == 4) {
			char state = thread_state(task->tid);

			if (state == 't') /* stopped just now, or long ago */
				return waitpid(task->tid, status, __WALL | WNOHANG) == task->tid;
			if (!state || state == 'Z' || state == 'X')
				return false;
		}
		if (naps < 4)
			sched_yield();
		else
			nanosleep(&nap, NULL);
	}
	return false;
}

/* The interruption has cut it short: a transfer that is over only when all is there. */
static bool is_half_done(const struct task *task, const struct user_regs_struct *regs)
{
	bool all = regs->orig_rax == SYS_write || regs->orig_rax == SYS_sendto ||
		   (regs->orig_rax == SYS_recvfrom && (regs->r10 & MSG_WAITALL));
	char path[64];
	struct stat st;

	if (!all || (long long)regs->rax <= 0 || regs->rax >= regs->rdx)
		return false;
	snprintf(path, sizeof path, "/proc/%d/fd/%d", task->tid, (int)regs->rdi);
	return !stat(path, &st) &&
	       (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || S_ISCHR(st.st_mode));
}

static void rest_later(struct task *task, struct user_regs_struct *regs)
{
	task->moved += regs->rax;
	regs->rsi += regs->rax;
	regs->rdx -= regs->rax;
	regs->rax = (unsigned long long)-RESTARTNOINTR;
	set_regs(task->tid, regs);
}

static void rest_over(struct task *task, struct user_regs_struct *regs)
{
	regs->rsi -= task->moved;
	regs->rdx += task->moved;
	regs->rax = task->moved + ((long long)regs->rax > 0 ? regs->rax : 0);
	task->moved = 0;
	set_regs(task->tid, regs);
}

/*
 * At the entry or the exit of a call for the rest; `leaving`: because we interrupt it once more.
 * False: at the entry.
 */
static bool rest_stop(struct task *task, bool leaving)
{
	struct user_regs_struct regs;

	if (!task->moved || get_regs(task->tid, &regs))
		return true;
	if ((long long)regs.rax == -ENOSYS)
		return false;
	leaving |= task->interrupted; /* by us, too, and it has taken its time */
	task->interrupted = false;
	if (leaving && is_half_done(task, &regs))
		rest_later(task, &regs);
	else if (!leaving || (long long)regs.rax != -RESTARTSYS)
		rest_over(task, &regs);
	return true;
}

void call_exits(struct task *task)
{
	rest_stop(task, false);
}

/* Out of whatever call it is in.  False: it has stopped for a reason of its own, or ended. */
static bool thread_interrupt(struct monitor *mon, struct task *task, int patience)
{
	int status;

	task->nr_pins = 0;
	task->interrupted = false;
	if (task->group_stopped || ptrace(PTRACE_INTERRUPT, task->tid, NULL, NULL))
		return false;
	if (!stop_soon(task, patience, &status)) {
		task->interrupted = true;
		return false;
	}
	if (WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) == SIGTRAP)
		return true;
	if (task->moved && WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80)) {
		/* At the exit another stop does not come; at the entry it is still to come. */
		task->interrupted = !rest_stop(task, true);
		return true;
	}
	stop_early(mon, task->tid, status);
	return false;
}

static bool is_made_again(long long result)
{
	return result == -RESTARTSYS || result == -RESTARTNOINTR || result == -RESTARTNOHAND;
}

/* What the call was, by the registers at its end. */
static struct seccomp_data call_of(const struct monitor *mon,
				    const struct user_regs_struct *regs)
{
	if (mon->i386)
		return (struct seccomp_data){ .nr = (int)call_number(mon, regs),
					      .args = { regs->rbx, regs->rcx, regs->rdx, regs->rsi,
							regs->rdi, regs->rbp } };
	return (struct seccomp_data){ .nr = (int)regs->orig_rax,
				      .args = { regs->rdi, regs->rsi, regs->rdx, regs->r10,
						regs->r8, regs->r9 } };
}

/* At its end, which nothing that the program knows of has brought about: it is made again. */
static void make_again(const struct monitor *mon, struct task *task, struct user_regs_struct *regs)
{
	struct seccomp_data data = call_of(mon, regs);

	if ((long long)regs->rax == -RESTARTSYS && !task->again) {
		/* Not begun yet, if it is one with a time to wait: that is not the last one's. */
		task->was_ended = task->left = false;
		return;
	}
	if (data.nr == SYS_close && (long long)regs->rax == -EINTR) {
		regs->rax = 0; /* it is closed: only what was to be told of that was cut short */
		set_regs(task->tid, regs);
		return;
	}
	task->was_ended = (long long)regs->rax == -EINTR;
	if (is_half_done(task, regs)) {
		rest_later(task, regs);
	} else if (task->was_ended) {
		/* With userfaultfd such calls do not come to us, so we do not know since when. */
		if (mon->trap->kernel_too && (may_be_socket(data.nr) || deadline_of(task, &data))) {
			task->was_ended = false;
			return;
		}
		if (task->last_call.nr != data.nr)
			task->deadline = 0;
		else if (!task->deadline)
			task->deadline = socket_deadline(task);
		regs->rax = (unsigned long long)-RESTARTNOINTR;
		set_regs(task->tid, regs);
	}
	task->again = is_made_again((long long)regs->rax);
	task->left = task->again && task->deadline;
}

void call_interrupted(const struct monitor *mon, struct task *task)
{
	struct user_regs_struct regs;

	task->interrupted = false;
	if (!get_regs(task->tid, &regs) && (long)regs.orig_rax >= 0)
		make_again(mon, task, &regs);
}

static bool call_leave(struct monitor *mon, struct task *task, int patience)
{
	trace(mon, "call of %d interrupted", task->tid);
	if (!thread_interrupt(mon, task, patience))
		return false;
	if (!task->interrupted)
		call_interrupted(mon, task);
	return true;
}

/* One deep in a device does not stop soon: it may find its buffer gone. */
bool thread_hold(struct monitor *mon, struct task *task)
{
	uint32_t nr_pins = task->nr_pins;

	if (task->asks)
		return false;
	if (call_leave(mon, task, HOLD_NAPS))
		return true;
	if (task->interrupted) /* it is where it was; else it has stopped by itself */
		task->nr_pins = nr_pins;
	return false;
}

static bool has_signal(pid_t tid, const char *set, int sig)
{
	char text[64];

	return status_field(tid, set, text, sizeof text) &&
	       (strtoull(text, NULL, 16) & UINT64_C(1) << (sig - 1));
}

/* Without a tracer the thread would not have been told of it. */
static bool is_ignored(pid_t tid, int sig)
{
	return has_signal(tid, "SigIgn", sig) ||
	       ((sig == SIGCHLD || sig == SIGURG || sig == SIGWINCH) &&
		!has_signal(tid, "SigCgt", sig));
}

void call_signalled(const struct monitor *mon, struct task *task, int sig)
{
	struct user_regs_struct regs;

	if (get_regs(task->tid, &regs) || (long)regs.orig_rax < 0)
		return;
	if ((long long)regs.rax == -RESTARTNOINTR && (task->was_ended || task->moved)) {
		if (!has_signal(task->tid, "SigCgt", sig))
			return;
		regs.rax = (unsigned long long)-EINTR;
		if (task->moved)
			rest_over(task, &regs);
		else
			set_regs(task->tid, &regs);
		task->was_ended = task->again = false;
	} else if (((long long)regs.rax == -EINTR || is_half_done(task, &regs)) &&
		   is_ignored(task->tid, sig)) {
		make_again(mon, task, &regs);
	}
}

/* The call's time is over. */
static void call_over(struct monitor *mon, struct task *task)
{
	struct user_regs_struct regs;

	trace(mon, "call of %d has waited long enough", task->tid);
	if (!thread_interrupt(mon, task, LEAVE_NAPS))
		return;
	if (!get_regs(task->tid, &regs) && call_number(mon, &regs) == task->last_call.nr) {
		/* Else it had looked whether there is something, before it went. */
		task->again = (long long)regs.rax == -RESTARTSYS;
		if ((long long)regs.rax == -EINTR || (long long)regs.rax == -RESTARTNOHAND) {
			regs.rax = (unsigned long long)over_result(task->last_call.nr);
			set_regs(task->tid, &regs);
		}
	}
	task->left = task->again;
	task_resume(task, 0);
}

void deadlines_serve(struct monitor *mon)
{
	uint64_t now;

	if (!mon->next_deadline || mon->next_deadline > (now = now_ns()))
		return;
	mon->next_deadline = 0;
	for_each_task(mon, t) {
		if (!t->left || !t->nr_pins)
			continue; /* not made again yet, or over */
		if (t->deadline > now)
			deadline_note(mon, t);
		else
			call_over(mon, t);
	}
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
		if (nr < most && t->nr_pins && t != mon->preparing &&
		    (t->mm == g ? overlaps(t, start, end) : t->remote == g)) {
			if (t->ends)
				end_awaited(mon, t);
			else if (call_leave(mon, t, LEAVE_NAPS))
				held[nr++] = t;
		}
	return nr;
}

void buffers_resume(struct task **held, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		task_resume(held[i], 0);
}

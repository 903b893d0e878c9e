/* SPDX-License-Identifier: MIT */
/*
 * The trap by ptrace: the placeholder is memory without rights, so touching it is a SIGSEGV, and
 * a tracer sees a signal before its program does.  We map what is missing, throw the signal away,
 * and the access is made again.  No privilege is needed beyond a debugger's.
 *
 * What userfaultfd tells and a signal does not:
 *
 *   read or write  A region that can be written gets what a write would get.  In one that cannot,
 *                  a page that the host has and that faults again is one that was written to.
 *   which error    The signal is made right before it goes on: SEGV_MAPERR, SEGV_ACCERR, or
 *                  SIGBUS.  There are no holes.
 *
 * A thread may find a page mapped that it faulted on, since another has been served meanwhile:
 * it tries again.  In a region that cannot be written, a second time in a row at the same
 * instruction, with no mapping taken from anybody in between, tells that the access is a bad one.
 *
 * [SIG-1] The kernel cannot deliver a SIGSEGV that is blocked or ignored: it sets the action to the
 *         default and unblocks it, behind the program's back (force_sig).  So the program's action
 *         is remembered, and put back before the thread goes on, if that has happened.  Whether it
 *         has is dear to ask.  It cannot where the signal is not ignored and not blocked: the mask
 *         is known from the calls that set it and from the frames of returning handlers, but not
 *         while a handler may be running (its action blocks more, and so does the call that it
 *         interrupted, if that was sigsuspend or ppoll).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "insn.h"
#include "internal.h"

#define SEGV_BIT (UINT64_C(1) << (SIGSEGV - 1))

static int sig_attach(struct monitor *mon, struct guest_mm *g)
{
	(void)mon, (void)g;
	return 0;
}

static void sig_detach(struct monitor *mon, struct guest_mm *g)
{
	(void)mon, (void)g;
}

/* Memory without rights is the child's as it was the parent's. */
static void sig_nothing(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	(void)mon, (void)g, (void)start, (void)end;
}

static void sig_placeholder(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end,
			    bool running)
{
	struct mailbox_op *op = worker_post(mon, g, SYS_mmap, start, end - start, PROT_NONE,
					    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
						    MAP_FIXED,
					    (uint64_t)-1, 0);

	(void)running; /* one call is one step */
	op->flags = OP_MUST;
}

static bool sig_one_step(const struct guest_mm *g)
{
	(void)g;
	return true;
}

static void sig_wake(struct guest_mm *g, uint64_t addr, uint64_t size)
{
	(void)g, (void)addr, (void)size; /* who waits is stopped, and resumed by sig_served */
}

static void sig_served(struct monitor *mon, struct guest_mm *g, const struct fault *fault)
{
	struct task *task = task_find(mon, fault->tid);

	worker_wait(mon, g);
	ready_restore(mon);
	if (!task)
		return;
	sigtrap_action_restore(mon, task);
	if (!task->dead)
		task_resume(task, 0);
}

static bool was_write(const struct task *task, const struct fault *fault)
{
	uint8_t insn[INSN_BYTES] = { 0 };
	struct user_regs_struct regs;

	if (get_regs(task->tid, &regs))
		return false;
	/* It may end with its page. */
	if (ondol_copy_from_user(task->mm->mm, insn, regs.rip, sizeof insn) &&
	    ondol_copy_from_user(task->mm->mm, insn, regs.rip, PAGE_BYTES - regs.rip % PAGE_BYTES))
		return false;
	return insn_writes(insn, fault->addr, regs.rdi, regs.rsp);
}

/* Now the signal is the program's own. */
static void sig_refuse(struct monitor *mon, struct guest_mm *g, const struct fault *fault,
		       int error)
{
	struct task *task = task_find(mon, fault->tid);
	ondol_vm_flags_t rights = rights_at(g, fault->addr);
	siginfo_t info;

	mon->stats.bad_accesses++;
	trace(mon, "bad access of %d at %#lx (%d)", fault->tid, fault->addr, error);
	if (!task || ptrace(PTRACE_GETSIGINFO, task->tid, NULL, &info))
		return;
	/* A guard, or no page of the file, where nothing may be written: that is told first. */
	if (rights && !(rights & ONDOL_VM_WRITE) && was_write(task, fault))
		error = -ONDOL_EACCES;
	info.si_signo = error == -ONDOL_EFAULT || error == -ONDOL_EACCES ? SIGSEGV : SIGBUS;
	info.si_code = error == -ONDOL_EFAULT ? SEGV_MAPERR :
		       error == -ONDOL_EACCES ? SEGV_ACCERR : BUS_ADRERR;
	ptrace(PTRACE_SETSIGINFO, task->tid, NULL, &info);
	signal_deliver(mon, task, info.si_signo);
}

/*
 * The page is mapped already as such an access needs it.  True: somebody else's fault has done
 * that, try again.  False: the access was a write to what cannot be written.
 */
static bool try_again(struct task *task, uint64_t addr, uint64_t ip, uint64_t taken)
{
	bool again = task->stale_addr != addr || task->stale_ip != ip ||
		     task->stale_taken != taken;

	task->stale_addr = again ? addr : 0;
	task->stale_ip = ip;
	task->stale_taken = taken;
	return again;
}

static bool sig_signal(struct monitor *mon, struct task *task, int sig)
{
	struct guest_mm *g = task->mm;
	struct fault fault = { .tid = task->tid, .access = ONDOL_FAULT_READ };
	struct user_regs_struct regs;
	struct ondol_vma_info vma;
	siginfo_t info;

	if (sig != SIGSEGV || !g || g->worker_dead ||
	    ptrace(PTRACE_GETSIGINFO, task->tid, NULL, &info) ||
	    (info.si_code != SEGV_MAPERR && info.si_code != SEGV_ACCERR) ||
	    get_regs(task->tid, &regs))
		return false;
	fault.addr = (uint64_t)info.si_addr;
	if (fault.addr < GUEST_MIN || fault.addr >= GUEST_MAX)
		return false;
	mon->stats.uffd_messages++;
	if (ondol_find_vma(g->mm, fault.addr, &vma) || vma.start > fault.addr)
		vma.vm_flags = 0;
	else if (vma.vm_flags & ONDOL_VM_NATIVE)
		return false;
	if (fault.addr == regs.rip && !(vma.vm_flags & ONDOL_VM_EXEC) && vma.vm_flags) {
		sig_refuse(mon, g, &fault, -ONDOL_EACCES);
		return true;
	}
	if (vma.vm_flags & ONDOL_VM_WRITE)
		fault.access = ONDOL_FAULT_WRITE;
	uint64_t page = fault.addr & ~(PAGE_BYTES - 1), from, to;
	bool mapped = ondol_tlb_span(g->mm, page, page + PAGE_BYTES, &from, &to);

	if (mapped && fault.access == ONDOL_FAULT_READ &&
	    !try_again(task, fault.addr, regs.rip, mon->stats.flushes + mon->stats.evictions)) {
		sig_refuse(mon, g, &fault, -ONDOL_EACCES);
		return true;
	}
	if (!mapped)
		task->stale_addr = 0;
	fault_one(mon, g, &fault);
	return true;
}

/* ------------------------------------------------------------------ [SIG-1] */

/* rt_sigaction(sig, act, ...) is about to be made. */
void sigtrap_action_note(struct monitor *mon, struct task *task, int sig, uint64_t act)
{
	struct kernel_sigaction action;

	if (sig != SIGSEGV || mon->trap != &trap_ptrace ||
	    ondol_copy_from_user(task->mm->mm, &action, act, sizeof action))
		return;
	for_each_task(mon, t)
		if (t->tgid == task->tgid)
			t->segv_action = action;
}

void sigtrap_mask_note(struct task *task, int how, uint64_t set)
{
	uint64_t mask;

	if (!set || ondol_copy_from_user(task->mm->mm, &mask, set, sizeof mask))
		return;
	if (how == SIG_SETMASK)
		task->segv_blocked = (mask & SEGV_BIT) != 0;
	else if (mask & SEGV_BIT && (how == SIG_BLOCK || how == SIG_UNBLOCK))
		task->segv_blocked = how == SIG_BLOCK;
}

/* A handler returned: its frame says what is blocked from now on. */
void sigtrap_return_note(struct task *task, uint64_t set)
{
	task->in_handler = false;
	sigtrap_mask_note(task, SIG_SETMASK, set);
}

/* The mask as the kernel has it; the thread is stopped, and not by an access of its own. */
void sigtrap_mask_read(struct task *task)
{
	uint64_t mask = SEGV_BIT;

	signals_blocked(task->tid, &mask);
	task->segv_blocked = (mask & SEGV_BIT) != 0;
	task->in_handler = false;
}

/* The bit that goes with it. */
static void mask_restore(const struct task *task)
{
	uint64_t mask;

	if (!signals_blocked(task->tid, &mask) && !(mask & SEGV_BIT))
		signals_restore(task->tid, mask | SEGV_BIT);
}

bool sigtrap_defeats_handler(const struct task *task)
{
	return task->segv_blocked || task->segv_action.handler == (uint64_t)SIG_IGN;
}

static bool action_lost(const struct task *task)
{
	const char *name = task->segv_action.handler == (uint64_t)SIG_IGN ? "SigIgn" : "SigCgt";
	char set[64];

	return status_field(task->tid, name, set, sizeof set) &&
	       !(strtoull(set, NULL, 16) & SEGV_BIT);
}

/* A system call in a thread that is stopped.  Its registers are as before; -ESRCH: it has ended. */
static int64_t call_in(struct monitor *mon, struct task *task, const struct user_regs_struct *call)
{
	struct user_regs_struct before, r;
	uint64_t mask;
	bool stop_again = false;
	int stops = 0, status;

	if (get_regs(task->tid, &before))
		return -ESRCH;
	signals_block(task->tid, &mask);
	r = before;
	r.rip = STUB_ADDR;
	r.rax = call->rax;
	r.orig_rax = (unsigned long long)-1;
	r.rdi = call->rdi;
	r.rsi = call->rsi;
	r.rdx = call->rdx;
	r.r10 = call->r10;
	if (set_regs(task->tid, &r))
		return -ESRCH;
	while (stops < 2) { /* its entry and its exit */
		if (ptrace(PTRACE_SYSCALL, task->tid, NULL, NULL) ||
		    wait_stop(mon, task->tid, &status))
			return -ESRCH;
		if (!WIFSTOPPED(status)) {
			task->dead = true;
			task->dead_status = status;
			stop_early(mon, task->tid, status);
			return -ESRCH;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			stops++;
		else if (WSTOPSIG(status) == SIGSTOP || status >> 16 == PTRACE_EVENT_STOP)
			stop_again |= WSTOPSIG(status) != SIGTRAP; /* cannot be blocked: later */
	}
	get_regs(task->tid, &r);
	set_regs(task->tid, &before);
	signals_restore(task->tid, mask);
	if (stop_again)
		stop_repeat(task);
	return (int64_t)r.rax;
}

void sigtrap_action_restore(struct monitor *mon, struct task *task)
{
	struct kernel_sigaction *room;
	struct user_regs_struct call = { .rax = SYS_rt_sigaction, .rdi = SIGSEGV,
					 .rsi = mailbox_room_at(mon),
					 .r10 = 8 };

	if (mon->trap != &trap_ptrace || !task->mm || task->mm->worker_dead)
		return;
	if (task->segv_blocked)
		mask_restore(task);
	if (task->segv_action.handler == (uint64_t)SIG_DFL ||
	    (!task->in_handler && !sigtrap_defeats_handler(task)) || !action_lost(task))
		return;
	room = mailbox_room(task->mm->mailbox);
	*room = task->segv_action;
	/* By whom it was blocked may be another thread. */
	if (!call_in(mon, task, &call) && task->segv_blocked &&
	    task->segv_action.handler != (uint64_t)SIG_IGN)
		mask_restore(task);
}

const struct trap trap_ptrace = {
	.name = "ptrace",
	.stub_uffd = STUB_UFFD_NONE,
	.attach = sig_attach,
	.detach = sig_detach,
	.inherit = sig_nothing,
	.placeholder = sig_placeholder,
	.one_step = sig_one_step,
	.yield = sig_nothing,
	.mapped = sig_nothing,
	.wake = sig_wake,
	.served = sig_served,
	.refuse = sig_refuse,
	.signal = sig_signal,
};

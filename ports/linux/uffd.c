/* SPDX-License-Identifier: MIT */
/*
 * The trap by userfaultfd: messages in, wake-ups out.
 *
 * The placeholder is anonymous memory with all rights, registered; touching it waits until we
 * have mapped something there and say so.  A bad access must not wait: a hole is punched, where
 * the host raises the signal that is due, or its kernel returns EFAULT.
 *
 * A mapping that goes is replaced by placeholder in two steps, mmap and registration; where
 * somebody may touch it in between, by moving a slice of placeholder that is registered already
 * [PORT-5].
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

/* The worker is up: fetch its userfaultfd and listen to it. */
static int uffd_attach(struct monitor *mon, struct guest_mm *g)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_THREAD_ID |
							     UFFD_FEATURE_EVENT_REMAP };
	/* Told once, which spares a look at each wait: fault_events reads all that there is. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.ptr = g };
	int pidfd = (int)syscall(SYS_pidfd_open_, g->worker, 0);

	if (pidfd < 0)
		return -errno;
	g->worker_uffd = g->mailbox->uffd;
	g->uffd = (int)syscall(SYS_pidfd_getfd_, pidfd, g->worker_uffd, 0);
	int error = errno;

	close(pidfd);
	if (g->uffd < 0)
		return -error;
	if (ioctl(g->uffd, UFFDIO_API, &api) ||
	    epoll_ctl(mon->epoll, EPOLL_CTL_ADD, g->uffd, &event))
		return -errno;
	return 0;
}

/* Where the guest's worker sees a slot's payload. */
static uint64_t payload_address(const struct monitor *mon, const struct guest_mm *g,
				const struct mailbox_op *op)
{
	uint64_t at = (uint64_t)((const char *)op->payload - (const char *)g->mailbox);

	return mon->space->mailbox + at;
}

static void post_ioctl(struct monitor *mon, struct guest_mm *g, uint64_t request, uint64_t start,
		       uint64_t size, uint64_t mode, uint64_t flags)
{
	struct mailbox_op *op =
		worker_post(mon, g, SYS_ioctl, (uint64_t)g->worker_uffd, request, 0, 0, 0, 0);

	op->arg[2] = payload_address(mon, g, op);
	op->payload[0] = start;
	op->payload[1] = size;
	op->payload[2] = mode;
	op->payload[3] = 0;
	op->flags = flags;
}

static void uffd_register(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	post_ioctl(mon, g, UFFDIO_REGISTER, start, end - start, UFFDIO_REGISTER_MODE_MISSING,
		   OP_MUST);
}

/* A new placeholder, in two steps. */
static void flush_anew(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	const uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
	struct mailbox_op *op = worker_post(mon, g, SYS_mmap, start, end - start,
					    PROT_READ | PROT_WRITE | PROT_EXEC, flags,
					    (uint64_t)-1, 0);

	op->flags = OP_MUST;
	uffd_register(mon, g, start, end);
}

/*
 * Between the two steps of flush_anew the host would give another thread of the program a zero
 * page of its own.  So where there are other threads, or where another process's need for memory
 * is the reason, a slice of placeholder that is registered
 * already is moved over the range, which is one step [PORT-5].  UFFD_FEATURE_EVENT_REMAP is
 * what makes a moved mapping keep its registration; the move waits until we have read the
 * event that goes with it.
 */
static void flush_slices(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	const uint64_t slices = mon->space->slices, slices_end = mon->space->slices_end;

	while (start < end && !g->worker_dead) {
		uint64_t n = end - start < slices_end - slices ? end - start : slices_end - slices;

		if (g->slice_at + n > slices_end) {
			flush_anew(mon, g, slices, slices_end); /* nobody's addresses */
			worker_wait(mon, g);
			g->slice_at = slices;
		}
		g->remap_expected = true;
		int64_t r = worker_call(mon, g, SYS_mremap, g->slice_at, n, n,
					MREMAP_MAYMOVE | MREMAP_FIXED, start, 0);

		g->remap_expected = false;
		g->slice_at += n;
		if (r < 0)
			flush_anew(mon, g, start, start + n);
		start += n;
	}
}

static void uffd_placeholder(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end,
			     bool running)
{
	if (running && !g->slices_off)
		flush_slices(mon, g, start, end);
	else
		flush_anew(mon, g, start, end);
}

static bool uffd_one_step(const struct guest_mm *g)
{
	return !g->slices_off;
}

/* The program maps something where the slices lie: they give way for good. */
static void uffd_yield(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	if (g->slices_off || start >= g->slice_at || end <= mon->space->slices)
		return;
	flush_anew(mon, g, mon->space->slices, g->slice_at);
	worker_wait(mon, g);
	g->slices_off = true;
}

static struct fault fault_of(const struct uffd_msg *msg)
{
	return (struct fault){ .addr = msg->arg.pagefault.address & ~(PAGE_BYTES - 1),
			       .access = msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE ?
						 ONDOL_FAULT_WRITE : ONDOL_FAULT_READ,
			       .tid = (pid_t)msg->arg.pagefault.feat.ptid };
}

/*
 * A slice's mremap goes on only when its event has been read: see flush_slices.  Faults that
 * come with it wait for the main loop.  False: nothing has come for a millisecond; a move that
 * the host refuses has no event at all.
 */
bool uffd_remap_event_take(struct monitor *mon, struct guest_mm *g)
{
	struct pollfd p = { .fd = g->uffd, .events = POLLIN };
	struct uffd_msg msg[16];

	if (poll(&p, 1, 1) <= 0)
		return false;
	ssize_t n = read(g->uffd, msg, sizeof msg);

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof *msg; i++) {
		struct fault fault = fault_of(&msg[i]);

		if (msg[i].event == UFFD_EVENT_REMAP)
			g->remap_expected = false;
		else if (msg[i].event == UFFD_EVENT_PAGEFAULT)
			fault_late(mon, g, &fault);
	}
	return true;
}

static void uffd_wake(struct guest_mm *g, uint64_t addr, uint64_t size)
{
	struct uffdio_range range = { .start = addr, .len = size };

	ioctl(g->uffd, UFFDIO_WAKE, &range);
}

/* ------------------------------------------------------------------ holes */

static void hole_remember(struct guest_mm *g, uint64_t addr, bool read_only, bool unsure)
{
	for (uint32_t i = 0; i < g->nr_holes; i++)
		if (g->holes[i].addr == addr)
			return;
	if (g->nr_holes == g->cap_holes) {
		uint32_t cap = g->cap_holes ? 2 * g->cap_holes : 8;
		struct hole *more = realloc(g->holes, cap * sizeof *more);
		if (!more)
			return; /* the hole stays: a later access there is refused once more */
		g->holes = more;
		g->cap_holes = cap;
	}
	g->holes[g->nr_holes++] = (struct hole){ .addr = addr, .read_only = read_only,
						 .unsure = unsure };
}

/* Make a bad access bad: unmapped (SEGV_MAPERR), no rights (SEGV_ACCERR), past the end (SIGBUS). */
static void hole_punch(struct monitor *mon, struct guest_mm *g, uint64_t addr, int error)
{
	ondol_vm_flags_t rights = rights_at(g, addr);
	bool read_only = error == -ONDOL_EACCES && rights;

	mon->stats.bad_accesses++;
	if (error == -ONDOL_EFAULT)
		worker_call(mon, g, SYS_munmap, addr, PAGE_BYTES, 0, 0, 0, 0);
	else if (read_only)
		/* Placeholder still, where a read is a fault that will be served. */
		worker_call(mon, g, SYS_mprotect, addr, PAGE_BYTES, PROT_READ, 0, 0, 0);
	else if (error == -ONDOL_EACCES)
		worker_call(mon, g, SYS_mmap, addr, PAGE_BYTES, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, (uint64_t)-1,
			    0);
	else /* a memory file, mapped past its own end */
		worker_call(mon, g, SYS_mmap, addr, PAGE_BYTES, (uint64_t)host_prot(rights),
			    MAP_SHARED | MAP_FIXED, 0, mon->node[0].end - mon->node[0].start);
	/* A guard in a region without the right to write: SEGV_MAPERR to reads alone. */
	hole_remember(g, addr, read_only, error == -ONDOL_EFAULT && rights &&
						  !(rights & ONDOL_VM_WRITE) && g->unsure != addr);
	g->unsure = 0;
	mon->stats.holes++;
	uffd_wake(g, addr, PAGE_BYTES);
}

/* The regions of [start, end) have changed: what was bad there may be good now. */
void holes_restore(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	bool any = false;

	for (uint32_t i = 0; i < g->nr_holes;) {
		uint64_t addr = g->holes[i].addr;

		if (addr < start || addr >= end) {
			i++;
			continue;
		}
		worker_placeholder(mon, g, addr, addr + PAGE_BYTES);
		g->holes[i] = g->holes[--g->nr_holes];
		any = true;
	}
	if (any)
		worker_wait(mon, g);
}

/* A flush has made them placeholder. */
void holes_forget(struct guest_mm *g, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < g->nr_holes;)
		if (g->holes[i].addr >= start && g->holes[i].addr < end)
			g->holes[i] = g->holes[--g->nr_holes];
		else
			i++;
}

/*
 * The hole at this page has done its work and goes.  True: there was one, and the regions (or
 * the file's size) have changed since, so that what it refused is good now.  Or the hole may be
 * from a read of the host's, where a write deserves another signal: then the access shall come
 * again, and the hole that it gets is sure.
 */
static bool hole_is_stale(struct monitor *mon, struct guest_mm *g, uint64_t addr)
{
	for (uint32_t i = 0; i < g->nr_holes; i++) {
		if (g->holes[i].addr != addr)
			continue;
		bool read_only = g->holes[i].read_only, unsure = g->holes[i].unsure;

		holes_restore(mon, g, addr, addr + PAGE_BYTES);
		if (unsure) {
			g->unsure = addr;
			return true;
		}
		return read_only ? (rights_at(g, addr) & ONDOL_VM_WRITE) != 0 :
				   !fault_in_read(mon, g, addr);
	}
	return false;
}

/* ------------------------------------------------------------------ the trap */

bool uffd_events(struct monitor *mon, struct guest_mm *g)
{
	struct uffd_msg msg[16];
	ssize_t n = read(g->uffd, msg, sizeof msg);

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof *msg; i++) {
		struct fault fault = fault_of(&msg[i]);

		if (msg[i].event != UFFD_EVENT_PAGEFAULT)
			continue;
		mon->stats.uffd_messages++;
		if (g->forking && fault.tid != g->forking)
			fault_late(mon, g, &fault);
		else
			fault_one(mon, g, &fault);
	}
	return n == (ssize_t)sizeof msg;
}

static void uffd_detach(struct monitor *mon, struct guest_mm *g)
{
	(void)mon;
	if (g->uffd >= 0)
		close(g->uffd);
	g->uffd = -1;
}

static void uffd_mapped(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t size)
{
	post_ioctl(mon, g, UFFDIO_WAKE, start, size, 0, OP_EARLY);
}

static void uffd_served(struct monitor *mon, struct guest_mm *g, const struct fault *fault)
{
	(void)mon, (void)g, (void)fault; /* woken behind the mapping */
}

static void uffd_refuse(struct monitor *mon, struct guest_mm *g, const struct fault *fault,
			int error)
{
	uint64_t addr = fault->addr & ~(PAGE_BYTES - 1);

	if (error == -ONDOL_EACCES && (fault->access & ONDOL_FAULT_WRITE) &&
	    fault_map_readable(mon, g, addr))
		return; /* the retried write is refused */
	hole_punch(mon, g, addr, error);
}

/* A SIGSEGV or SIGBUS that a hole has raised; if the access is good by now, the signal goes. */
static bool uffd_signal(struct monitor *mon, struct task *task, int sig)
{
	siginfo_t info;

	if ((sig != SIGSEGV && sig != SIGBUS) || !task->mm || !task->mm->nr_holes ||
	    ptrace(PTRACE_GETSIGINFO, task->tid, NULL, &info) || info.si_code <= 0 ||
	    task->mm->forking)
		return false;
	if (!hole_is_stale(mon, task->mm, (uint64_t)info.si_addr & ~(PAGE_BYTES - 1)))
		return false;
	task_resume(task, 0);
	return true;
}

#define UFFD_OPERATIONS                                                            \
	.attach = uffd_attach, .detach = uffd_detach, .inherit = uffd_register,     \
	.placeholder = uffd_placeholder, .one_step = uffd_one_step,                 \
	.yield = uffd_yield, .mapped = uffd_mapped, .wake = uffd_wake,              \
	.served = uffd_served, .refuse = uffd_refuse, .signal = uffd_signal

const struct trap trap_uffd = { .name = "uffd", .kernel_too = true, UFFD_OPERATIONS };
const struct trap trap_user = { .name = "user", .stub_uffd = STUB_UFFD_USER, UFFD_OPERATIONS };

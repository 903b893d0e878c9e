/* SPDX-License-Identifier: MIT */
/*
 * Operations for the worker of an address space: a ring of system calls in a shared frame.
 *
 * The monitor fills slots and moves `head`, the worker carries them out in order and moves
 * `tail`.  Nothing waits unless it has to: a TLB fill is posted and forgotten, an unmapping
 * is waited for ([PORT-2]).  The guest can write the frame too, so nothing read from it is
 * trusted for more than that guest's own fate.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

_Static_assert(sizeof(struct mailbox) <= PAGE_BYTES, "the mailbox is one frame");
_Static_assert(sizeof(struct mailbox_op) == MB_SLOT_SIZE, "stub_layout.h");
_Static_assert(offsetof(struct mailbox, tail) == MB_TAIL, "stub_layout.h");
_Static_assert(offsetof(struct mailbox, worker_sleeps) == MB_WORKER_SLEEPS, "stub_layout.h");
_Static_assert(offsetof(struct mailbox, monitor_sleeps) == MB_MONITOR_SLEEPS, "stub_layout.h");
_Static_assert(offsetof(struct mailbox, ready) == MB_READY, "stub_layout.h");
_Static_assert(offsetof(struct mailbox, uffd) == MB_UFFD, "stub_layout.h");
_Static_assert(offsetof(struct mailbox, monitor_wants) == MB_MONITOR_WANTS, "stub_layout.h");
_Static_assert(offsetof(struct mailbox, slot) == MB_SLOTS, "stub_layout.h");
_Static_assert(offsetof(struct mailbox_op, ret) == OP_RET, "stub_layout.h");
_Static_assert(offsetof(struct mailbox_op, flags) == OP_FLAGS, "stub_layout.h");
_Static_assert(offsetof(struct mailbox_op, payload) == OP_PAYLOAD, "stub_layout.h");

/* An operation counted as done early may still read its payload: keep its slot back. */
#define SLOTS_IN_FLIGHT (MB_NR_SLOTS - 2)
#define HELD_MOST 64 /* threads in calls whose buffers go: more get EFAULT */

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

void worker_lost(struct monitor *mon, struct guest_mm *g, const char *why)
{
	if (g->worker_dead)
		return;
	g->worker_dead = true;
	if (!mon->shutting_down)
		monitor_warn("%s: %s; the program is ended", g->comm, why);
	if (g->worker > 0)
		kill(g->worker, SIGKILL);
	for_each_task(mon, t)
		if (t->mm == g)
			kill(t->tgid, SIGKILL);
}

/* For waits that last too long: is there still somebody to wait for? */
static bool worker_alive(const struct guest_mm *g)
{
	siginfo_t info = { 0 };

	/* ECHILD: it has not been handed over to us yet. */
	if (waitid(P_PID, (id_t)g->worker, &info, WEXITED | WNOHANG | WNOWAIT | __WALL))
		return errno == ECHILD && !kill(g->worker, 0);
	return !info.si_pid;
}

void worker_kick(struct guest_mm *g)
{
	struct mailbox *mb = g->mailbox;

	if (g->kicked == g->posted)
		return; /* it knows */
	g->kicked = g->posted;
	__atomic_store_n(&mb->head, g->posted, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&mb->worker_sleeps, __ATOMIC_SEQ_CST))
		futex(&mb->head, FUTEX_WAKE, 1, NULL);
}

/* An operation that must not fail has been carried out: has it? */
static void op_check(struct monitor *mon, struct guest_mm *g, struct mailbox_op *op)
{
	uint64_t flags = op->flags;

	op->flags = 0;
	if ((flags & OP_MUST) && op->ret < 0 && op->ret > -4096) {
		char why[160];

		snprintf(why, sizeof why,
			 "the host refused to change its mappings (call %llu of %#llx+%#llx: %s)",
			 (unsigned long long)op->nr, (unsigned long long)op->arg[0],
			 (unsigned long long)op->arg[1], strerror((int)-op->ret));
		worker_lost(mon, g, why);
	}
}

/* Wait until at most `left` operations are outstanding. */
static int wait_for_tail(struct monitor *mon, struct guest_mm *g, uint32_t left)
{
	struct mailbox *mb = g->mailbox;
	const struct timespec second = { .tv_sec = 1 };

	for (;;) {
		uint32_t tail = __atomic_load_n(&mb->tail, __ATOMIC_SEQ_CST);

		if (g->worker_dead)
			return -ECHILD;
		if (g->posted - tail > MB_NR_SLOTS) {
			worker_lost(mon, g, "it wrote into Ondol's mailbox page");
			return -ECHILD;
		}
		if (g->posted - tail <= left)
			return 0;
		mon->stats.worker_waits++;
		if (g->remap_expected && (uffd_remap_event_take(mon, g) || worker_alive(g)))
			continue;
		__atomic_store_n(&mb->monitor_wants, g->posted - left, __ATOMIC_RELAXED);
		__atomic_store_n(&mb->monitor_sleeps, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&mb->tail, __ATOMIC_SEQ_CST) == tail &&
		    futex(&mb->tail, FUTEX_WAIT, tail, &second) && errno == ETIMEDOUT) {
			if (!worker_alive(g)) {
				worker_lost(mon, g, "its memory worker died");
				return -ECHILD;
			}
			uffd_remap_event_take(mon, g); /* one that nobody expected holds it up */
		}
		__atomic_store_n(&mb->monitor_sleeps, 0, __ATOMIC_SEQ_CST);
	}
}

struct mailbox_op *worker_post(struct monitor *mon, struct guest_mm *g, uint64_t nr, uint64_t a0,
			       uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct mailbox *mb = g->mailbox;

	if (g->posted - __atomic_load_n(&mb->tail, __ATOMIC_ACQUIRE) >= SLOTS_IN_FLIGHT) {
		worker_kick(g);
		wait_for_tail(mon, g, SLOTS_IN_FLIGHT / 2);
	}
	struct mailbox_op *op = &mb->slot[g->posted++ & MB_NR_SLOTS_MASK];

	op_check(mon, g, op); /* the one before it in this slot */
	g->nr_host_maps += nr == SYS_mmap || nr == SYS_mprotect;
	op->nr = nr;
	op->arg[0] = a0;
	op->arg[1] = a1;
	op->arg[2] = a2;
	op->arg[3] = a3;
	op->arg[4] = a4;
	op->arg[5] = a5;
	op->ret = 0;
	op->flags = 0;
	return op;
}

int worker_wait(struct monitor *mon, struct guest_mm *g)
{
	if (g->waited == g->posted && !g->worker_dead)
		return 0; /* nothing since the last time */
	worker_kick(g);
	int r = wait_for_tail(mon, g, 0);

	g->waited = r ? g->waited : g->posted;
	for (uint32_t i = 0; i < MB_NR_SLOTS && !r; i++)
		if (g->mailbox->slot[i].flags & OP_MUST)
			op_check(mon, g, &g->mailbox->slot[i]);
	return r;
}

int64_t worker_call(struct monitor *mon, struct guest_mm *g, uint64_t nr, uint64_t a0, uint64_t a1,
		    uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct mailbox_op *op = worker_post(mon, g, nr, a0, a1, a2, a3, a4, a5);
	int r = worker_wait(mon, g);

	return r ? r : op->ret;
}

static void placeholder(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end,
			bool running)
{
	struct task *held[HELD_MOST];
	unsigned nr = buffers_release(mon, g, start, end, held, HELD_MOST);

	mon->trap->placeholder(mon, g, start, end, running);
	if (nr)
		worker_wait(mon, g);
	buffers_resume(held, nr);
}

/* Forget whatever the host has in [start, end), of an mm with no thread that runs, but others. */
void worker_placeholder(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	placeholder(mon, g, start, end, g->refs > 1);
}

/* The TLB invalidation: the mm may be anybody's, and its one thread running. */
void worker_flush(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	placeholder(mon, g, start, end, g->refs > 1 || g != mon->serving);
}

int host_prot(uint32_t prot)
{
	return ((prot & ONDOL_PROT_READ) ? PROT_READ : 0) |
	       ((prot & ONDOL_PROT_WRITE) ? PROT_WRITE : 0) |
	       ((prot & ONDOL_PROT_EXEC) ? PROT_EXEC : 0);
}

/* The TLB fill; not waited for.  Wakes whoever waits in the run. */
void worker_map(struct monitor *mon, struct guest_mm *g, const struct ondol_tlb_run *run)
{
	uint64_t offset = 0;
	int index = 0;

	if (run->nr_pages == BLOCK_PAGES)
		ram_one_block(mon, run->pfn.value);
	ram_fd(mon, run->pfn.value, &offset, &index);
	worker_post(mon, g, SYS_mmap, run->start, run->nr_pages * PAGE_BYTES,
		    (uint64_t)host_prot(run->prot), MAP_SHARED | MAP_FIXED | MAP_POPULATE,
		    (uint64_t)index, offset);
	mon->trap->mapped(mon, g, run->start, run->nr_pages * PAGE_BYTES);
	worker_kick(g);
	mon->stats.host_maps++;
	mon->stats.host_map_pages += run->nr_pages;
	numa_count_map(mon, run);
}

int worker_ready(struct monitor *mon, struct guest_mm *g)
{
	const struct timespec second = { .tv_sec = 1 };
	struct mailbox *mb = g->mailbox;

	while (!__atomic_load_n(&mb->ready, __ATOMIC_ACQUIRE)) {
		if (futex(&mb->ready, FUTEX_WAIT, 0, &second) && errno == ETIMEDOUT &&
		    !worker_alive(g)) {
			worker_lost(mon, g, "its memory worker could not start");
			return -ECHILD;
		}
	}
	return mon->trap->stub_uffd != STUB_UFFD_NONE && mb->uffd < 0 ? mb->uffd : 0;
}

/* The worker asks for it (a stub call), we answer with the descriptor. */
int64_t worker_give_fd(struct monitor *mon, struct guest_mm *g, int fd)
{
	struct mailbox_op *op = worker_post(mon, g, STUB_CALL_HELLO, 0, 0, 0, 0, 0, 0);

	worker_kick(g);
	for (;;) {
		struct pollfd p = { .fd = mon->notif, .events = POLLIN };
		struct seccomp_notif notif;

		if (poll(&p, 1, 1000) <= 0) {
			if (g->worker_dead || kill(g->worker, 0))
				return -ECHILD;
			continue;
		}
		memset(&notif, 0, sizeof notif);
		mon->notif_taken = true;
		if (ioctl(mon->notif, SECCOMP_IOCTL_NOTIF_RECV, &notif))
			continue;
		if ((pid_t)notif.pid != g->worker) {
			notif_early(mon, &notif);
			continue;
		}
		int r = notif_addfd(mon, notif.id, fd, 0, SECCOMP_ADDFD_FLAG_SEND, O_CLOEXEC);
		if (r < 0)
			notif_reply(mon, notif.id, r);
		break;
	}
	int r = worker_wait(mon, g);

	return r ? r : op->ret;
}

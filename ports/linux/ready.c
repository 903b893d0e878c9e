/* SPDX-License-Identifier: MIT */
/*
 * Where the host's kernel cannot wait for a page (trap.h), a call with a pointer costs a relay to
 * the monitor, so that its buffers can be faulted in (buffers.c): 7 to 15 us for a readlink of one.
 * Most such calls are made with paths and results that lie on the stack, near its end: realpath()
 * alone makes half of a compiler's.
 *
 *     READY_BYTES |   args, env
 *    -------------[===============]  the stack of each program
 *                 ^ ready_start   ^ its top, in the same block in all of a run's processes
 *
 * [BUF-5] What a program has in the ready range is in the host's tables, with all of its rights,
 *         whenever a thread of it runs.  So calls that do not block, and whose pointers all lie
 *         there, need nothing of us, and the filter lets them through (filter.c, by two constants).
 *
 * It is filled when a program starts and in both halves of a fork; nothing is taken from there for
 * somebody else's need (guest_mm.c: linux_busy; evict_range).  What the program itself takes away
 * (munmap, mprotect, a fork's copying) is put back before its call returns.  Its other threads may
 * be in calls that we know nothing of, so they are stopped meanwhile.
 *
 * What begins in the block may reach into the page behind it (no such call looks at more than a
 * page), so that is kept with it, if anything is mapped there.
 *
 * The range is constant for a run, so its programs' stacks differ by chance only from run to run,
 * and by the page.  There is none with `--fault-around`, whose user counts pages, nor on a machine
 * with hardly any RAM.
 */
#include <errno.h>

#include "internal.h"

#define READY_AROUND 16u

uint64_t ready_end(const struct monitor *mon)
{
	return mon->ready_start + READY_BYTES + PAGE_BYTES;
}

bool ready_overlaps(const struct monitor *mon, uint64_t start, uint64_t end)
{
	return mon->ready_start && start < ready_end(mon) && end > mon->ready_start;
}

/* The part of one region.  -ENOMEM: there is no frame for it. */
static int fill_region(struct monitor *mon, struct guest_mm *g, uint64_t at, uint64_t end,
		       ondol_vm_flags_t rights)
{
	while (at < end) {
		int r = fault_ready(mon, g, &at, READY_AROUND, rights);

		if (r == -ONDOL_ENOMEM)
			return -ENOMEM;
	}
	return 0;
}

/* What is mapped there.  -ENOMEM, -ECHILD. */
static int fill(struct monitor *mon, struct guest_mm *g)
{
	uint64_t at = mon->ready_start, end = ready_end(mon);
	struct ondol_vma_info vma;
	int r = 0;

	g->ready_lost = false;
	if (!at || g->worker_dead)
		return 0;
	while (!r && at < end && !ondol_find_vma(g->mm, at, &vma) && vma.start < end) {
		uint64_t stop = vma.end < end ? vma.end : end;

		if (at < vma.start)
			at = vma.start;
		if (!(vma.vm_flags & ONDOL_VM_NATIVE) && (vma.vm_flags & ONDOL_VM_ACCESS))
			r = fill_region(mon, g, at, stop, vma.vm_flags);
		at = stop;
	}
	int waited = worker_wait(mon, g);

	return r ? r : waited;
}

static void hold(struct monitor *mon, struct guest_mm *g)
{
	for_each_task(mon, t) {
		if (t->mm != g || t->tid == mon->current)
			continue;
		if (mon->nr_ready_held == mon->cap_ready_held) {
			uint32_t cap = mon->cap_ready_held ? 2 * mon->cap_ready_held : 16;
			pid_t *more = realloc(mon->ready_held, cap * sizeof *more);

			if (!more) /* it may get EFAULT from a call that meets the moment */
				return;
			mon->ready_held = more;
			mon->cap_ready_held = cap;
		}
		if (thread_hold(mon, t))
			mon->ready_held[mon->nr_ready_held++] = t->tid;
	}
}

void ready_take(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	if (!ready_overlaps(mon, start, end))
		return;
	g->ready_lost = mon->ready_lost = true;
	if (mon->ready_holding != g)
		hold(mon, g);
	mon->ready_holding = g;
}

void ready_note(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	if (ready_overlaps(mon, start, end))
		g->ready_lost = mon->ready_lost = true;
}

void ready_forget(struct monitor *mon, struct guest_mm *child)
{
	/* What the parent has and the child does not (MADV_DONTFORK), too. */
	if (mon->ready_start)
		placeholder_between(mon, child, mon->ready_start, ready_end(mon));
}

/* Who is to go is chosen as for any access; who is left gets his pages next time round. */
int ready_fill_or_oom(struct monitor *mon, struct guest_mm *g)
{
	int r = fill(mon, g);

	if (r != -ENOMEM)
		return r;
	for_each_task(mon, t)
		if (t->mm == g) {
			if (oom_fault(mon, t, mon->ready_start))
				g->ready_lost = mon->ready_lost = true;
			return 0;
		}
	return 0;
}

void ready_restore(struct monitor *mon)
{
	if (!mon->ready_lost)
		return;
	mon->ready_lost = false;
	mon->ready_holding = NULL;
	for (struct guest_mm *g = mon->mms; g; g = g->next)
		if (g->ready_lost && g->attached)
			(void)!ready_fill_or_oom(mon, g); /* else its worker is dead */
	for (uint32_t i = 0; i < mon->nr_ready_held; i++) {
		const struct task *task = task_find(mon, mon->ready_held[i]);

		if (task)
			task_resume(task, 0);
	}
	mon->nr_ready_held = 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A guest address space: the core's mm, the host's placeholder and the worker between them;
 * and the mmu operations by which the core keeps the host's mappings in step.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

/* The mm is taken over.  NULL: no memory. */
struct guest_mm *guest_mm_new(struct monitor *mon, struct ondol_mm_struct *mm)
{
	struct ondol_page *page = ondol_alloc_pages(mon->machine, ONDOL_GFP_KERNEL, 0);
	struct guest_mm *g = ondol_kmem_cache_alloc(mon->mm_cache, ONDOL_GFP_KERNEL);

	if (!page || !g) {
		if (page)
			ondol_free_pages(mon->machine, page, 0);
		if (g)
			ondol_kmem_cache_free(mon->mm_cache, g);
		return NULL;
	}
	memset(g, 0, sizeof *g);
	g->mm = mm;
	g->id = ++mon->next_mm_id;
	g->uffd = g->worker_uffd = -1;
	g->mailbox_page = page;
	g->mailbox = ondol_page_address(mon->machine, page);
	memset(g->mailbox, 0, PAGE_BYTES);
	g->mailbox->uffd = -1;
	g->slice_at = mon->space->slices;
	g->late_faults_end = &g->late_faults;
	g->late_notifs_end = &g->late_notifs;
	g->late_stops_end = &g->late_stops;
	g->next = mon->mms;
	g->pprev = &mon->mms;
	if (g->next)
		g->next->pprev = &g->next;
	mon->mms = g;
	ondol_mm_set_private(mm, g);
	return g;
}

static void guest_mm_free(struct monitor *mon, struct guest_mm *g)
{
	while (g->late_faults) {
		struct fault_node *node = g->late_faults;
		g->late_faults = node->next;
		free(node);
	}
	while (g->late_notifs) {
		struct notif_node *node = g->late_notifs;
		g->late_notifs = node->next;
		free(node);
	}
	while (g->late_stops) {
		struct stop_node *node = g->late_stops;
		g->late_stops = node->next;
		free(node);
	}
	free(g->late_forks);
	free(g->holes);
	free(g->regions);
	ondol_free_pages(mon->machine, g->mailbox_page, 0);
	ondol_kmem_cache_free(mon->mm_cache, g);
}

/* The last task is gone: every frame goes back at once, the mailbox when it is safe. */
void guest_mm_put(struct monitor *mon, struct guest_mm *g)
{
	if (g->refs && --g->refs)
		return;
	trace(mon, "mm %u ends", g->id);
	report_sample(mon);
	report_validate(mon, g);
	if (mon->options->proc_dir)
		report_proc_mm(mon, g);
	*g->pprev = g->next;
	if (g->next)
		g->next->pprev = g->pprev;
	mon->trap->detach(mon, g);
	g->attached = false;
	ondol_mm_set_private(g->mm, NULL);
	ondol_mmput(g->mm);
	g->mm = NULL;
	pressure_forget(mon, g);
	oom_mm_gone(mon, g);
	if (g->worker <= 0) {
		guest_mm_free(mon, g);
		return;
	}
	kill(g->worker, SIGKILL);
	g->worker_dead = true;
	g->next = mon->dying;
	mon->dying = g;
	if (++mon->nr_dying % 64 == 0)
		guest_mm_sweep(mon);
}

/* A worker that somebody else has adopted (a program may be a subreaper): is it gone? */
static bool adopted_and_gone(pid_t worker)
{
	siginfo_t info = { 0 };

	if (!waitid(P_PID, (id_t)worker, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) ||
	    errno != ECHILD)
		return false;
	return thread_is_dead(worker);
}

/* [PORT-3] for workers that we cannot reap ourselves. */
void guest_mm_sweep(struct monitor *mon)
{
	for (struct guest_mm **p = &mon->dying; *p;) {
		struct guest_mm *g = *p;

		if (!adopted_and_gone(g->worker)) {
			p = &g->next;
			continue;
		}
		*p = g->next;
		mon->nr_dying--;
		guest_mm_free(mon, g);
	}
}

/* [PORT-3] A worker was reaped; if it died by itself, its program ends. */
void guest_mm_reaped(struct monitor *mon, pid_t worker)
{
	for (struct guest_mm **p = &mon->dying; *p; p = &(*p)->next) {
		struct guest_mm *g = *p;

		if (g->worker != worker)
			continue;
		*p = g->next;
		mon->nr_dying--;
		guest_mm_free(mon, g);
		return;
	}
	for (struct guest_mm *g = mon->mms; g; g = g->next) {
		if (g->worker != worker)
			continue;
		g->worker = 0;
		worker_lost(mon, g, "its memory worker died");
		return;
	}
}

int guest_mm_attach(struct monitor *mon, struct guest_mm *g)
{
	int r = mon->trap->attach(mon, g);

	g->attached = !r;
	return r;
}

struct arm_walk {
	struct monitor *mon;
	struct guest_mm *g;
	uint64_t at;
	bool map;
};

static void arm_until(struct arm_walk *w, uint64_t end)
{
	if (w->at < end) {
		if (w->map)
			worker_placeholder(w->mon, w->g, w->at, end);
		else
			w->mon->trap->inherit(w->mon, w->g, w->at, end);
	}
}

static int arm_visit(void *ctx, const struct ondol_vma_info *vma)
{
	struct arm_walk *w = ctx;

	if (!(vma->vm_flags & ONDOL_VM_NATIVE))
		return 0;
	arm_until(w, vma->start);
	w->at = vma->end;
	return 0;
}

int guest_mm_arm(struct monitor *mon, struct guest_mm *g, bool map_placeholder)
{
	struct arm_walk w = { .mon = mon, .g = g, .at = GUEST_MIN, .map = map_placeholder };

	ondol_for_each_vma(g->mm, arm_visit, &w);
	arm_until(&w, mon->space->end);
	/* Beyond what programs can have: then not as a part of that. */
	w.at = map_placeholder ? mon->space->slices : g->slice_at;
	if (w.at >= mon->space->end)
		arm_until(&w, mon->space->slices_end);
	int r = worker_wait(mon, g);

	return r ? r : g->worker_dead ? -ENOMEM : 0;
}

/* ------------------------------------------------------------------ mmu operations */

static void linux_invalidate(void *ctx, struct ondol_mm_struct *mm, ondol_virt_addr_t start,
			     ondol_virt_addr_t end)
{
	struct monitor *mon = ctx;
	struct guest_mm *g = ondol_mm_private(mm);

	if (!g || g->worker_dead || !g->attached)
		return;
	mon->stats.flushes++;
	ready_take(mon, g, start, end);
	worker_flush(mon, g, start, end);
	if (g != mon->batching)
		worker_wait(mon, g); /* [PORT-2] */
	holes_forget(g, start, end);
}

static void linux_protect(void *ctx, struct ondol_mm_struct *mm, ondol_virt_addr_t start,
			  ondol_virt_addr_t end, uint32_t prot)
{
	struct monitor *mon = ctx;
	struct guest_mm *g = ondol_mm_private(mm);

	if (!g || g->worker_dead || !g->attached)
		return;
	mon->stats.protects++;
	if (worker_call(mon, g, SYS_mprotect, start, end - start, (uint64_t)host_prot(prot), 0, 0,
			0) < 0)
		worker_lost(mon, g, "the host refused to change its mappings");
}

/* Before there is a worker to tell (a fork's child), and when there is none any more, all stays. */
static enum ondol_mmu_busy linux_busy(void *ctx, struct ondol_mm_struct *mm,
				      ondol_virt_addr_t start, ondol_virt_addr_t end)
{
	struct monitor *mon = ctx;
	const struct guest_mm *g = ondol_mm_private(mm);

	if (!g || g->worker_dead || !g->attached || ready_overlaps(mon, start, end))
		return ONDOL_MMU_ALL_STAYS;
	/* It runs, and there is no way to take pages from it in one step [PORT-5]. */
	if (!mon->trap->one_step(g) && (g->refs > 1 || g != mon->serving))
		return ONDOL_MMU_ALL_STAYS;
	return swap_busy(mon, g, start, end) ? ONDOL_MMU_DATA_STAYS : ONDOL_MMU_IDLE;
}

const struct ondol_mmu_ops linux_mmu_ops = {
	.version = ONDOL_MMU_VERSION,
	.size = sizeof(struct ondol_mmu_ops),
	.flags = ONDOL_MMU_SOFTWARE_FILL | ONDOL_MMU_NO_WRITE_TRAP,
	.invalidate = linux_invalidate,
	.protect = linux_protect,
	.busy = linux_busy,
};

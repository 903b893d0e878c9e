/* SPDX-License-Identifier: MIT */
/*
 * The page-fault handler's outer half: userfaultfd messages in, host mappings out.
 *
 *   message -> TLB miss?  ondol_tlb_fill finds the PTE: map it, wake.
 *           -> page fault: ondol_handle_mm_fault fills the PTE, then as above.
 *           -> bad access: punch a hole, wake; the host raises the signal that is due.
 *
 * Idempotent: a signal interrupts the wait and the message comes again, two threads fault
 * on one page; an entry that is already in the host's tables is only woken.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define REGION_BYTES (2ul << 20) /* the unit of eviction */
#define REGIONS_FEW 512u
#define SAMPLE_FAULTS 32
#define AROUND_FIRST 16u /* pages */
#define AROUND_FILE 64u
#define AROUND_MOST 512u
#define SPOT_FAULTS 8u
#define BESIDE_MOST 32u /* more pieces than that are not worth it */

ondol_vm_flags_t rights_at(struct guest_mm *g, uint64_t addr)
{
	struct ondol_vma_info vma;

	if (ondol_find_vma(g->mm, addr, &vma) || vma.start > addr)
		return 0;
	return vma.vm_flags & ONDOL_VM_ACCESS;
}

/* ------------------------------------------------------------------ eviction */

static void region_note(struct guest_mm *g, uint64_t addr)
{
	uint64_t region = addr & ~(REGION_BYTES - 1);

	if (g->nr_regions > g->first_region && g->regions[g->nr_regions - 1] == region)
		return;
	if (g->nr_regions == g->cap_regions) {
		if (g->first_region > g->cap_regions / 2) {
			g->nr_regions -= g->first_region;
			memmove(g->regions, g->regions + g->first_region,
				g->nr_regions * sizeof *g->regions);
			g->first_region = 0;
		} else {
			uint32_t cap = g->cap_regions ? 2 * g->cap_regions : 64;
			uint64_t *more = realloc(g->regions, cap * sizeof *more);
			if (!more)
				return;
			g->regions = more;
			g->cap_regions = cap;
		}
	}
	g->regions[g->nr_regions++] = region;
}

/*
 * Everything in [start, end) but what the host backs becomes placeholder, in as few pieces as
 * can be: in a forked process old placeholder does not merge with new (the host's anon_vma is
 * shared with the parent's), so evicting page by page would leave as many mappings.
 */
void placeholder_between(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	uint64_t from = start, at = start;
	struct ondol_vma_info vma;

	while (at < end && !ondol_find_vma(g->mm, at, &vma) && vma.start < end) {
		at = vma.end;
		if (!(vma.vm_flags & ONDOL_VM_NATIVE))
			continue;
		if (vma.start > from)
			worker_placeholder(mon, g, from, vma.start);
		from = at;
	}
	if (from < end)
		worker_placeholder(mon, g, from, end);
}

static void evict_range(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
{
	if (ready_overlaps(mon, start, end)) { /* that stays [BUF-5] */
		if (start < mon->ready_start)
			evict_range(mon, g, start, mon->ready_start);
		if (end > ready_end(mon))
			evict_range(mon, g, ready_end(mon), end);
		return;
	}
	placeholder_between(mon, g, start, end);
	worker_wait(mon, g);
	holes_forget(g, start, end);
	ondol_tlb_evicted(g->mm, start, end);
}

/* Mappings that the host really has for this address space; 0: cannot tell. */
static uint32_t host_maps_count(const struct guest_mm *g)
{
	char path[64], text[16384];
	uint32_t lines = 0;
	size_t n;

	snprintf(path, sizeof path, "/proc/%d/maps", g->worker);
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	while ((n = fread(text, 1, sizeof text, f)) > 0)
		for (size_t i = 0; i < n; i++)
			lines += text[i] == '\n';
	fclose(f);
	return lines;
}

static void regions_between(struct guest_mm *g, uint64_t at, uint64_t end)
{
	uint64_t from, to;

	while (ondol_tlb_span(g->mm, at, end, &from, &to)) {
		region_note(g, from);
		at = (from & ~(REGION_BYTES - 1)) + REGION_BYTES;
	}
}

/*
 * The list once more, from the page tables: each region that has mappings, once.  It begins where
 * the last eviction ended: what was evicted last has had the least time to fill again.
 */
static void regions_recount(const struct monitor *mon, struct guest_mm *g)
{
	g->nr_regions = g->first_region = 0;
	regions_between(g, g->evict_at, mon->space->end);
	regions_between(g, 0, g->evict_at);
	g->regions_enough = 2 * g->nr_regions > REGIONS_FEW ? 2 * g->nr_regions : REGIONS_FEW;
}

/*
 * The host allows so many mappings a process: the oldest regions go.  Calls that make mappings are
 * counted (worker_post), what flushes and neighbours that become one take away is not, so before
 * anything is evicted the host is asked; and afterwards, since regions differ in how many they
 * have.  Must not be called between ondol_tlb_fill and worker_map: the fill's accessed bits would
 * be cleared while its mapping is still to be made [PORT-1].
 */
static void evict_if_many(struct monitor *mon, struct guest_mm *g)
{
	if (g->nr_regions - g->first_region > g->regions_enough)
		regions_recount(mon, g); /* most of them are there more than once */
	if (g->nr_host_maps < mon->max_host_maps)
		return;
	uint32_t really = host_maps_count(g) / 2;

	if (really) {
		g->nr_host_maps = really;
		if (really < mon->max_host_maps / 2)
			return;
		regions_recount(mon, g);
	}
	uint32_t victims = (g->nr_regions - g->first_region) / 8 + 1;

	for (uint32_t i = 0; i < victims && g->first_region < g->nr_regions; i++) {
		uint64_t region = g->regions[g->first_region++];

		mon->stats.evictions++;
		evict_range(mon, g, region, region + REGION_BYTES);
		g->evict_at = region + REGION_BYTES;
	}
	really = host_maps_count(g) / 2;
	g->nr_host_maps = really ? really : mon->max_host_maps / 16 * 15;
}

/* ------------------------------------------------------------------ faults */

static struct task *faulting_task(struct monitor *mon, struct guest_mm *g, pid_t tid)
{
	struct task *task = task_find(mon, tid);

	if (task && task->mm == g)
		return task;
	for_each_task(mon, t)
		if (t->mm == g)
			return t;
	return NULL;
}

/* What the program cannot have: the fault's error becomes its signal. */
static void fault_refused(struct monitor *mon, struct guest_mm *g, const struct fault *fault,
			  int error)
{
	if (error == -ONDOL_ENOMEM) {
		struct task *t = faulting_task(mon, g, fault->tid);

		if (t && oom_fault(mon, t, fault->addr & ~(PAGE_BYTES - 1)))
			fault_after_oom(mon, g, fault);
		return; /* else never woken: the kill ends the wait */
	}
	mon->trap->refuse(mon, g, fault, error);
}

/* What was found for addr goes to the host. */
static void map_run(struct monitor *mon, struct guest_mm *g, uint64_t addr,
		    const struct ondol_tlb_run *run)
{
	worker_map(mon, g, run);
	region_note(g, addr);
	if (g->nr_holes)
		holes_forget(g, run->start, run->start + run->nr_pages * PAGE_BYTES);
}

bool fault_map_readable(struct monitor *mon, struct guest_mm *g, uint64_t addr)
{
	struct ondol_tlb_run run;

	if (ondol_tlb_fill(g->mm, addr, ONDOL_FAULT_READ, 1, &run))
		return false;
	map_run(mon, g, addr, &run);
	return true;
}

/*
 * The window of a fault: AROUND_FIRST pages, more where more will be wanted.
 *
 *   in order       A fault right behind what the last one mapped goes on with it, so its window is
 *                  twice as wide, as files are read ahead.
 *   of a file      AROUND_FILE at once.  To read a page along costs half a microsecond, and a fault
 *                  as much as 50 to 100 of them, so the wide window is worth it where one page in
 *                  so many is wanted.  A region in which there have been SPOT_FAULTS faults is used
 *                  in many places, as a compiler's text is: twice as wide.
 *   of few pages   A region of AROUND_FIRST pages that is written to is wanted as a whole (a
 *                  library's data), though it may lie across the border of two windows.
 *
 * While memory is short, nothing extra.
 */
static uint32_t spot_around(struct guest_mm *g, uint64_t addr)
{
	struct ondol_vma_info vma;
	struct spot *s = g->spots;

	if (ondol_find_vma(g->mm, addr, &vma) || vma.start > addr || !vma.file)
		return AROUND_FIRST;
	while (s < g->spots + SPOTS && s->start != vma.start)
		s++;
	if (s == g->spots + SPOTS) {
		s = &g->spots[g->next_spot++ % SPOTS];
		*s = (struct spot){ .start = vma.start };
	}
	return s->faults++ < SPOT_FAULTS ? AROUND_FILE : 2 * AROUND_FILE;
}

static struct stream *stream_of(struct guest_mm *g, uint64_t addr)
{
	struct stream *s = g->streams;

	while (s < g->streams + STREAMS && s->end != addr)
		s++;
	if (s < g->streams + STREAMS) {
		s->around = s->around < AROUND_MOST ? 2 * s->around : s->around;
		return s;
	}
	s = &g->streams[g->next_stream++ % STREAMS];
	s->around = spot_around(g, addr);
	return s;
}

static uint32_t window_of(const struct monitor *mon, const struct stream *s)
{
	if (mon->options->fault_around)
		return mon->options->fault_around; /* as the user says */
	return s->around > AROUND_FIRST && pages_to_spare(mon) < mon->pages_plenty ?
		       AROUND_FIRST : s->around;
}

#define FAULT_HELD 1

/* What is in the page cache costs only its mapping. */
static uint32_t cached_around(const struct monitor *mon, uint32_t around)
{
	return may_map_ahead(mon) ? AROUND_MOST : around;
}

/* From *at on, which moves along.  False: there is nothing to map. */
static bool map_next(struct monitor *mon, struct guest_mm *g, uint64_t *at)
{
	struct ondol_tlb_run run;

	if (ondol_tlb_fill(g->mm, *at, ONDOL_FAULT_READ, AROUND_MOST, &run)) {
		*at += PAGE_BYTES;
		return false;
	}
	*at = run.start + run.nr_pages * PAGE_BYTES;
	if (run.cached)
		return false;
	map_run(mon, g, run.start, &run);
	return true;
}

/* The fault has filled more of the page table than lies in one piece of frames: the rest, too. */
static void map_beside(struct monitor *mon, struct guest_mm *g, const struct ondol_tlb_run *run)
{
	const uint64_t window = AROUND_MOST * PAGE_BYTES;
	uint64_t start = run->start & ~(window - 1), end = start + window;
	unsigned most = BESIDE_MOST;
	struct ondol_vma_info vma;

	if (ondol_find_vma(g->mm, run->start, &vma) || vma.start > run->start)
		return;
	if (end > vma.end)
		end = vma.end;
	for (uint64_t at = start < vma.start ? vma.start : start; at < run->start && most;)
		most -= map_next(mon, g, &at);
	for (uint64_t at = run->start + run->nr_pages * PAGE_BYTES; at < end && most;)
		most -= map_next(mon, g, &at);
}

/*
 * Fill the page table if need be; what the host's tables are to have.  0, the fault's error, or
 * FAULT_HELD: `holdable`, the fault or NULL, was put aside.
 */
static int fault_find(struct monitor *mon, struct guest_mm *g, uint64_t addr, uint32_t access,
		      uint32_t around, const struct fault *holdable, struct ondol_tlb_run *run)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = access, .addr = addr,
					 .nr_around = around,
					 .nr_cached = cached_around(mon, around) };
	struct ondol_fault_result result;

	evict_if_many(mon, g);
	if (!ondol_tlb_fill(g->mm, addr, access, around, run))
		return 0;
	if (holdable && pressure_hold(mon, g, holdable, around))
		return FAULT_HELD;
	int r = ondol_handle_mm_fault(g->mm, &args, &result);

	if (r)
		return r;
	if (result.stack_grown) {
		ready_note(mon, g, addr, addr + (1ul << 20));
		if (g->nr_holes)
			holes_restore(mon, g, addr, addr + (1ul << 20));
	}
	r = ondol_tlb_fill(g->mm, addr, access, args.nr_cached, run);
	if (!r && result.nr_pages > run->nr_pages)
		map_beside(mon, g, run);
	return r;
}

/* Of a small region. */
static void map_rest(struct monitor *mon, struct guest_mm *g, uint64_t addr,
		     const struct ondol_tlb_run *run)
{
	const ondol_vm_flags_t not = ONDOL_VM_NATIVE | ONDOL_VM_SHARED | ONDOL_VM_GROWSDOWN;
	struct ondol_vma_info vma;

	if (!may_map_ahead(mon) || ondol_find_vma(g->mm, addr, &vma) || vma.start > addr ||
	    vma.end - vma.start > AROUND_FIRST * PAGE_BYTES || (vma.vm_flags & not))
		return;
	for (uint64_t at = vma.start; at < vma.end;)
		if (at >= run->start && at < run->start + run->nr_pages * PAGE_BYTES)
			at = run->start + run->nr_pages * PAGE_BYTES;
		else
			at = fault_ahead(mon, g, at, AROUND_FIRST, vma.vm_flags);
}

/*
 * `fault`: what the host tells of an access; NULL: nobody has touched the page, but it shall be
 * there.
 */
static int fault_fill(struct monitor *mon, struct guest_mm *g, uint64_t addr, uint32_t access,
		      const struct fault *fault)
{
	const struct fault *holdable = fault && !fault->held ? fault : NULL;
	struct stream *stream = stream_of(g, addr);
	struct ondol_tlb_run run;

	fork_ahead_note(g, addr);
	int r = fault_find(mon, g, addr, access, window_of(mon, stream), holdable, &run);

	if (r)
		return r;
	if (run.cached) {
		/* Already mapped, or about to be: let that finish, then wake. */
		mon->stats.wakes_only++;
		if (fault && ++g->repeats > 64) {
			/* The host did not take the mapping (its limit, say): start over. */
			evict_range(mon, g, addr & ~(REGION_BYTES - 1),
				    (addr | (REGION_BYTES - 1)) + 1);
			if (ready_overlaps(mon, addr, addr + PAGE_BYTES)) {
				ready_take(mon, g, addr, addr + PAGE_BYTES);
				ondol_tlb_evicted(g->mm, addr, addr + PAGE_BYTES);
			}
			g->repeats = 0;
		}
		worker_wait(mon, g);
		mon->trap->wake(g, addr, PAGE_BYTES);
		return 0;
	}
	g->repeats = 0;
	stream->end = run.start + run.nr_pages * PAGE_BYTES;
	map_run(mon, g, addr, &run);
	if (access & ONDOL_FAULT_WRITE)
		map_rest(mon, g, addr, &run);
	return 0;
}

/* Below a region that grows down. */
static bool grows_stack(struct guest_mm *g, uint64_t addr)
{
	struct ondol_vma_info vma;

	return !ondol_find_vma(g->mm, addr, &vma) && vma.start > addr &&
	       (vma.vm_flags & ONDOL_VM_GROWSDOWN);
}

void fault_one(struct monitor *mon, struct guest_mm *g, const struct fault *fault)
{
	uint64_t addr = fault->addr & ~(PAGE_BYTES - 1);

	if (g->worker_dead)
		return;
	trace(mon, "fault mm %u %#llx %s tid %u", g->id, (unsigned long long)addr,
	      fault->access == ONDOL_FAULT_WRITE ? "write" : "read", fault->tid);
	const struct task *task = task_find(mon, fault->tid);
	struct guest_mm *outer = mon->serving;

	numa_serve_as(mon, task, fault->tid);
	if (g->stack_limit_moved && task && grows_stack(g, addr))
		limits_refresh(mon, task, g);
	mon->serving = NULL; /* a signal may have taken the thread out of its wait meanwhile */
	int r = fault_fill(mon, g, addr, fault->access, fault);

	mon->serving = outer;
	if (mon->options->stats && mon->stats.host_maps % SAMPLE_FAULTS == 0)
		report_sample(mon);
	if (r == FAULT_HELD)
		return;
	if (r)
		fault_refused(mon, g, fault, r);
	else
		mon->trap->served(mon, g, fault);
}

int fault_in(struct monitor *mon, struct guest_mm *g, uint64_t addr)
{
	int r = fault_fill(mon, g, addr & ~(PAGE_BYTES - 1), ONDOL_FAULT_WRITE, NULL);

	return r ? r : worker_wait(mon, g);
}

int fault_in_read(struct monitor *mon, struct guest_mm *g, uint64_t addr)
{
	int r = fault_fill(mon, g, addr, ONDOL_FAULT_READ, NULL);

	return r ? r : worker_wait(mon, g);
}

int fault_for_kernel(struct monitor *mon, struct guest_mm *g, uint64_t *at, uint64_t end,
		     bool write)
{
	uint64_t page = *at & ~(PAGE_BYTES - 1), pages = (end - page + PAGE_BYTES - 1) / PAGE_BYTES;
	uint32_t around = AROUND_FIRST;
	struct ondol_vma_info vma;
	struct ondol_tlb_run run;

	while (around < AROUND_FILE && around < pages)
		around *= 2;
	if (mon->options->fault_around)
		around = mon->options->fault_around;
	int r = fault_find(mon, g, page, write ? ONDOL_FAULT_WRITE : ONDOL_FAULT_READ, around,
			   NULL, &run);

	*at = page + PAGE_BYTES;
	if (r && !ondol_find_vma(g->mm, page, &vma) && vma.start <= page &&
	    (vma.vm_flags & ONDOL_VM_NATIVE)) {
		*at = vma.end; /* the host looks after it */
		return 0;
	}
	if (r || run.cached)
		return r;
	map_run(mon, g, page, &run);
	*at = run.start + run.nr_pages * PAGE_BYTES;
	return 0;
}

int fault_ready(struct monitor *mon, struct guest_mm *g, uint64_t *at, uint32_t around,
		ondol_vm_flags_t prot)
{
	uint32_t access = prot & ONDOL_VM_WRITE ? ONDOL_FAULT_WRITE : ONDOL_FAULT_READ;
	uint64_t page = *at & ~(PAGE_BYTES - 1);
	struct ondol_tlb_run run;
	int r = prot & (ONDOL_VM_READ | ONDOL_VM_WRITE) ?
			fault_find(mon, g, page, access, around, NULL, &run) : -ONDOL_EACCES;

	*at = page + PAGE_BYTES;
	if (r)
		return r;
	if (!run.cached)
		map_run(mon, g, page, &run);
	*at = run.start + run.nr_pages * PAGE_BYTES;
	return 0;
}

uint64_t fault_ahead(struct monitor *mon, struct guest_mm *g, uint64_t addr,
		     uint32_t around, ondol_vm_flags_t prot)
{
	/* What fails is met again when the program gets there. */
	(void)!fault_ready(mon, g, &addr, around, prot);
	return addr;
}

void fault_after_oom(struct monitor *mon, struct guest_mm *g, const struct fault *fault)
{
	bool late_faults = mon->late_faults;

	fault_late(mon, g, fault);
	mon->late_faults = late_faults;
}

/* To be looked at later: after a fork, or when the main loop comes round. */
void fault_late(struct monitor *mon, struct guest_mm *g, const struct fault *fault)
{
	struct fault_node *node = malloc(sizeof *node);

	if (!node) { /* it faults again, until there is memory to remember it by or we can serve */
		mon->trap->served(mon, g, fault);
		mon->trap->wake(g, fault->addr & ~(PAGE_BYTES - 1), PAGE_BYTES);
		return;
	}
	node->next = NULL;
	node->fault = *fault;
	*g->late_faults_end = node;
	g->late_faults_end = &node->next;
	mon->late_faults = true;
}

/* Those of one mm; what comes meanwhile waits for the next round. */
void fault_serve_late_of(struct monitor *mon, struct guest_mm *g)
{
	struct fault_node *node = g->late_faults;

	g->late_faults = NULL;
	g->late_faults_end = &g->late_faults;
	while (node) {
		struct fault_node *after = node->next;

		fault_one(mon, g, &node->fault);
		free(node);
		node = after;
	}
}

void fault_serve_late(struct monitor *mon)
{
	if (!mon->late_faults)
		return;
	mon->late_faults = false;
	for (struct guest_mm *g = mon->mms, *next; g; g = next) {
		next = g->next;
		if (!g->forking)
			fault_serve_late_of(mon, g);
	}
}


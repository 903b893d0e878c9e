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
#define SAMPLE_FAULTS 32
#define AROUND_FIRST 16u /* pages */
#define AROUND_MOST 64u

void uffd_wake(struct guest_mm *g, uint64_t addr, uint64_t size)
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

/* The region's rights at addr (ONDOL_VM_ACCESS); 0: none. */
static ondol_vm_flags_t rights_at(struct guest_mm *g, uint64_t addr)
{
	struct ondol_vma_info vma;

	if (ondol_find_vma(g->mm, addr, &vma) || vma.start > addr)
		return 0;
	return vma.vm_flags & ONDOL_VM_ACCESS;
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
bool hole_is_stale(struct monitor *mon, struct guest_mm *g, uint64_t addr)
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

/* ------------------------------------------------------------------ eviction */

static void region_note(struct guest_mm *g, uint64_t addr)
{
	uint64_t region = addr & ~(REGION_BYTES - 1);

	g->nr_host_maps++;
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
static void evict_range(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end)
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

/* The list once more, from the page tables: each region that has mappings, once. */
static void regions_recount(struct guest_mm *g, uint32_t nr_host_maps)
{
	uint64_t at = 0, from, to;

	g->nr_regions = g->first_region = 0;
	while (ondol_tlb_span(g->mm, at, GUEST_MAX, &from, &to)) {
		region_note(g, from);
		at = (from & ~(REGION_BYTES - 1)) + REGION_BYTES;
	}
	g->nr_host_maps = nr_host_maps;
}

/*
 * The host allows so many mappings a process: the oldest regions go.  Fills are counted, what
 * flushes take away is not, so the count is checked before anything is evicted.  Must not be
 * called between ondol_tlb_fill and worker_map: the fill's accessed bits would be cleared
 * while its mapping is still to be made [PORT-1].
 */
static void evict_if_many(struct monitor *mon, struct guest_mm *g)
{
	if (g->nr_host_maps < mon->max_host_maps)
		return;
	uint32_t really = host_maps_count(g) / 2;

	if (really) {
		regions_recount(g, really);
		if (really < mon->max_host_maps / 2)
			return;
	}
	uint32_t live = g->nr_regions - g->first_region;
	uint32_t victims = live / 8 + 1;

	for (uint32_t i = 0; i < victims && g->first_region < g->nr_regions; i++) {
		uint64_t region = g->regions[g->first_region++];

		mon->stats.evictions++;
		evict_range(mon, g, region, region + REGION_BYTES);
	}
	g->nr_host_maps -= (uint32_t)((uint64_t)g->nr_host_maps * victims / (live ? live : 1));
	if (g->first_region == g->nr_regions)
		g->nr_host_maps = 0;
}

/* ------------------------------------------------------------------ faults */

static struct task *faulting_task(struct monitor *mon, struct guest_mm *g, pid_t tid)
{
	struct task *t = task_find(mon, tid);

	if (t && t->mm == g)
		return t;
	for (uint32_t i = 0; i < TASK_HASH; i++)
		for (t = mon->tasks[i]; t; t = t->hash_next)
			if (t->mm == g)
				return t;
	return NULL;
}

/* What the program cannot have: the fault's error becomes its signal. */
static void fault_refused(struct monitor *mon, struct guest_mm *g, uint64_t addr, uint32_t access,
			  const struct uffd_msg *msg, int error)
{
	struct ondol_tlb_run run;

	if (error == -ONDOL_ENOMEM) {
		struct task *t = faulting_task(mon, g, (pid_t)msg->arg.pagefault.feat.ptid);

		if (t && oom_fault(mon, t, addr))
			fault_after_oom(mon, g, msg);
		return; /* else never woken: the kill ends the wait */
	}
	if (error == -ONDOL_EACCES && (access & ONDOL_FAULT_WRITE) &&
	    !ondol_tlb_fill(g->mm, addr, ONDOL_FAULT_READ, 1, &run)) {
		/* Readable, not writable: map it so, and the retried write is refused. */
		worker_map(mon, g, &run);
		region_note(g, addr);
		return;
	}
	hole_punch(mon, g, addr, error);
}

/*
 * The window of a fault.  A fault right behind what the last one mapped goes on with it, so its
 * window is twice as wide, as files are read ahead: AROUND_FIRST pages, up to AROUND_MOST.  The
 * program gets at most as much again as it touches; while memory is short, nothing extra.
 */
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
	s->around = AROUND_FIRST;
	return s;
}

static uint32_t window_of(const struct monitor *mon, const struct stream *s)
{
	if (mon->options->fault_around)
		return mon->options->fault_around; /* as the user says */
	return s->around > AROUND_FIRST && ondol_nr_free_pages(mon->machine) < mon->pages_plenty ?
		       AROUND_FIRST : s->around;
}

/* Fill the page table if need be; what the host's tables are to have.  0, or the fault's error. */
static int fault_find(struct monitor *mon, struct guest_mm *g, uint64_t addr, uint32_t access,
		      uint32_t around, struct ondol_tlb_run *run)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = access, .addr = addr,
					 .nr_around = around };
	struct ondol_fault_result result;

	evict_if_many(mon, g);
	if (!ondol_tlb_fill(g->mm, addr, access, around, run))
		return 0;
	int r = ondol_handle_mm_fault(g->mm, &args, &result);

	if (r)
		return r;
	if (result.stack_grown && g->nr_holes)
		holes_restore(mon, g, addr, addr + (1ul << 20));
	return ondol_tlb_fill(g->mm, addr, access, around, run);
}

static int fault_fill(struct monitor *mon, struct guest_mm *g, uint64_t addr, uint32_t access)
{
	struct stream *stream = stream_of(g, addr);
	struct ondol_tlb_run run;
	int r = fault_find(mon, g, addr, access, window_of(mon, stream), &run);

	if (r)
		return r;
	if (run.cached) {
		/* Already mapped, or about to be: let that finish, then wake. */
		mon->stats.wakes_only++;
		if (++g->repeats > 64) {
			/* The host did not take the mapping (its limit, say): start over. */
			evict_range(mon, g, addr & ~(REGION_BYTES - 1),
				    (addr | (REGION_BYTES - 1)) + 1);
			g->repeats = 0;
		}
		worker_wait(mon, g);
		uffd_wake(g, addr, PAGE_BYTES);
		return 0;
	}
	g->repeats = 0;
	stream->end = run.start + run.nr_pages * PAGE_BYTES;
	worker_map(mon, g, &run);
	region_note(g, addr);
	if (g->nr_holes)
		holes_forget(g, run.start, stream->end);
	return 0;
}

void fault_one(struct monitor *mon, struct guest_mm *g, const struct uffd_msg *msg)
{
	uint64_t addr = msg->arg.pagefault.address & ~(PAGE_BYTES - 1);
	uint32_t access = (msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE) ?
				  ONDOL_FAULT_WRITE : ONDOL_FAULT_READ;

	if (g->worker_dead)
		return;
	trace(mon, "fault mm %u %#llx %s tid %u", g->id, (unsigned long long)addr,
	      access == ONDOL_FAULT_WRITE ? "write" : "read", msg->arg.pagefault.feat.ptid);
	const struct task *task = task_find(mon, (pid_t)msg->arg.pagefault.feat.ptid);
	struct guest_mm *outer = mon->serving;

	numa_serve_as(mon, task, (pid_t)msg->arg.pagefault.feat.ptid);
	if (g->stack_limit_moved && task)
		limits_refresh(mon, task, g);
	mon->serving = NULL; /* a signal may have taken the thread out of its wait meanwhile */
	int r = fault_fill(mon, g, addr, access);

	mon->serving = outer;
	if (mon->options->stats && mon->stats.host_maps % SAMPLE_FAULTS == 0)
		report_sample(mon);
	if (r)
		fault_refused(mon, g, addr, access, msg, r);
}

int fault_in(struct monitor *mon, struct guest_mm *g, uint64_t addr)
{
	int r = fault_fill(mon, g, addr & ~(PAGE_BYTES - 1), ONDOL_FAULT_WRITE);

	return r ? r : worker_wait(mon, g);
}

int fault_in_read(struct monitor *mon, struct guest_mm *g, uint64_t addr)
{
	int r = fault_fill(mon, g, addr, ONDOL_FAULT_READ);

	return r ? r : worker_wait(mon, g);
}

/*
 * Before it is asked for: the window around addr, if it is absent, as an access of `prot`
 * (ONDOL_VM_*) would have it.  Where the mapping ends; not waited for.
 */
uint64_t fault_ahead(struct monitor *mon, struct guest_mm *g, uint64_t addr,
		     uint32_t around, ondol_vm_flags_t prot)
{
	uint32_t access = prot & ONDOL_VM_WRITE ? ONDOL_FAULT_WRITE : ONDOL_FAULT_READ;
	uint64_t page = addr & ~(PAGE_BYTES - 1);
	struct ondol_tlb_run run;

	if (!(prot & (ONDOL_VM_READ | ONDOL_VM_WRITE)) ||
	    fault_find(mon, g, page, access, around, &run))
		return page + PAGE_BYTES; /* it is met again when the program gets there */
	if (!run.cached) {
		worker_map(mon, g, &run);
		region_note(g, page);
	}
	return run.start + run.nr_pages * PAGE_BYTES;
}

void fault_after_oom(struct monitor *mon, struct guest_mm *g, const struct uffd_msg *msg)
{
	bool late_faults = mon->late_faults;

	fault_late(mon, g, msg);
	mon->late_faults = late_faults;
}

/* To be looked at later: after a fork, or when the main loop comes round. */
void fault_late(struct monitor *mon, struct guest_mm *g, const struct uffd_msg *msg)
{
	struct fault_node *node = malloc(sizeof *node);

	if (!node) { /* it faults again, until there is memory to remember it by or we can serve */
		uffd_wake(g, msg->arg.pagefault.address & ~(PAGE_BYTES - 1), PAGE_BYTES);
		return;
	}
	node->next = NULL;
	node->msg = *msg;
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

		fault_one(mon, g, &node->msg);
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

bool fault_events(struct monitor *mon, struct guest_mm *g)
{
	struct uffd_msg msg[16];
	ssize_t n = read(g->uffd, msg, sizeof msg);

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof *msg; i++) {
		if (msg[i].event != UFFD_EVENT_PAGEFAULT)
			continue;
		mon->stats.uffd_messages++;
		if (g->forking && (pid_t)msg[i].arg.pagefault.feat.ptid != g->forking)
			fault_late(mon, g, &msg[i]);
		else
			fault_one(mon, g, &msg[i]);
	}
	return n == (ssize_t)sizeof msg;
}

/* SPDX-License-Identifier: MIT */
/*
 * The limits of a run, threads that are held for being beyond one of them, and how much of the
 * time is lost to waiting for memory.
 *
 * The core says for how long a thread is to be held (ondol_memcg_over_high).  That is done with its
 * next fault that would take a frame: the message is put aside and served when its time has come.
 * Who is held is the thread alone: the monitor and the others go on.  A thread that a signal takes
 * out of its wait meanwhile comes back with another fault.
 *
 * Whether another thread runs that does not wait for memory, which tells "some" from "full", the
 * host knows: its state is R.  It is asked every LOOK_NS at most, and until the first such thread
 * is found.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define LOOK_NS 4000000u
#define LOOK_MS 20 /* how often while somebody is held */
#define LOOK_MOST 64 /* threads; so many that do not run, and nobody is taken to */

struct held_fault {
	struct held_fault *next;
	struct guest_mm *g;
	struct fault fault;
	uint64_t until; /* ns */
};

/* ------------------------------------------------------------------ who runs */

static bool look(struct monitor *mon)
{
	unsigned left = LOOK_MOST;

	for_each_task(mon, t) {
		if (!left--)
			return false;
		if (thread_state(t->tid) == 'R')
			return true;
	}
	return false;
}

static bool anyone_runs(void *ctx)
{
	struct monitor *mon = ctx;
	uint64_t now;

	if (mon->nr_tasks < 2) /* the one that waits */
		return false;
	now = now_ns();
	if (now - mon->pressure.looked < LOOK_NS)
		return mon->pressure.seen_running;
	mon->pressure.looked = now;
	mon->pressure.seen_running = look(mon);
	return mon->pressure.seen_running;
}

/* ------------------------------------------------------------------ limits */

static uint64_t limit_pages(uint64_t bytes)
{
	return bytes ? bytes / PAGE_BYTES : ONDOL_MEMCG_NONE;
}

void pressure_init(struct monitor *mon)
{
	const struct ondol_linux_options *o = mon->options;
	struct ondol_memcg_limits limits = { .max = limit_pages(o->mem_max_bytes),
					     .high = limit_pages(o->mem_high_bytes) };

	mon->pressure.began = now_ns();
	ondol_psi_watch(mon->machine, anyone_runs, mon);
	ondol_memcg_set(mon->machine, &limits);
}

uint64_t pages_to_spare(const struct monitor *mon)
{
	uint64_t free = ondol_nr_free_pages(mon->machine);
	uint64_t room = ondol_memcg_room(mon->machine);

	return free < room ? free : room;
}

/* ------------------------------------------------------------------ holding */

bool pressure_hold(struct monitor *mon, struct guest_mm *g, const struct fault *fault,
		   uint32_t nr_pages)
{
	struct held_fault **at = &mon->pressure.held, *held;
	uint64_t ns = ondol_memcg_over_high(mon->machine, nr_pages);

	if (!ns)
		return false;
	held = malloc(sizeof *held);
	if (!held)
		return false;
	*held = (struct held_fault){ .g = g, .fault = *fault, .until = now_ns() + ns };
	while (*at && (*at)->until <= held->until)
		at = &(*at)->next;
	held->fault.held = true;
	held->next = *at;
	*at = held;
	mon->pressure.nr_held++;
	mon->pressure.held_ns += ns;
	ondol_psi_stall_begin(mon->machine);
	return true;
}

static void release(struct monitor *mon, struct held_fault **at)
{
	struct held_fault *held = *at;

	*at = held->next;
	free(held);
	ondol_psi_stall_end(mon->machine);
}

void pressure_forget(struct monitor *mon, const struct guest_mm *g)
{
	for (struct held_fault **at = &mon->pressure.held; *at;)
		if ((*at)->g == g)
			release(mon, at);
		else
			at = &(*at)->next;
}

int pressure_wait_ms(const struct monitor *mon)
{
	uint64_t now, left;

	if (!mon->pressure.held)
		return -1;
	now = now_ns();
	if (mon->pressure.held->until <= now)
		return 0;
	left = (mon->pressure.held->until - now) / 1000000u + 1;
	return left < LOOK_MS ? (int)left : LOOK_MS;
}

void pressure_serve(struct monitor *mon)
{
	if (!mon->pressure.held)
		return;
	while (mon->pressure.held && mon->pressure.held->until <= now_ns()) {
		struct guest_mm *g = mon->pressure.held->g;
		struct fault fault = mon->pressure.held->fault;

		release(mon, &mon->pressure.held);
		if (g->forking && fault.tid != g->forking)
			fault_late(mon, g, &fault); /* [PORT-4] */
		else
			fault_one(mon, g, &fault);
	}
	ondol_psi_look(mon->machine);
}

/* ------------------------------------------------------------------ what is told */

#define LLU(x) ((unsigned long long)(x))
#define KIB(pages) LLU(4ull * (pages))

void pressure_snapshot(struct monitor *mon)
{
	mon->pressure.ended = now_ns();
	ondol_memcg_stats(mon->machine, &mon->pressure.memcg);
	ondol_psi_read(mon->machine, mon->pressure.psi);
}

void pressure_report_oom(struct monitor *mon)
{
	struct ondol_memcg_stats s;

	ondol_memcg_stats(mon->machine, &s);
	if (s.limits.max != ONDOL_MEMCG_NONE)
		monitor_warn("  memory.max: usage %llukB, limit %llukB, failcnt %llu",
			     KIB(s.current), KIB(s.limits.max), LLU(s.nr_max));
	monitor_warn("  give the %s, or a place for data with --swap or --zram",
		     s.limits.max != ONDOL_MEMCG_NONE ? "run more with --mem-max" :
							"machine more with --mem");
}

static const char *limit_text(uint64_t pages, char *text, size_t size)
{
	if (pages == ONDOL_MEMCG_NONE)
		return "none";
	snprintf(text, size, "%llu KiB", KIB(pages));
	return text;
}

void pressure_summary(const struct monitor *mon, FILE *out)
{
	const struct ondol_memcg_stats *s = &mon->pressure.memcg;
	const struct ondol_psi *some = &mon->pressure.psi[ONDOL_PSI_SOME];
	const struct ondol_psi *full = &mon->pressure.psi[ONDOL_PSI_FULL];
	double run = (double)(mon->pressure.ended - mon->pressure.began);
	char max[32], high[32];

	if (s->limits.max != ONDOL_MEMCG_NONE || s->limits.high != ONDOL_MEMCG_NONE) {
		fprintf(out,
			"  limits      memory.max %s, memory.high %s; %llu KiB in use at most\n",
			limit_text(s->limits.max, max, sizeof max),
			limit_text(s->limits.high, high, sizeof high), KIB(s->peak));
		fprintf(out, "              events: high %llu, max %llu, oom %llu, oom_kill %llu; "
			"%llu threads held, %.2f s together\n",
			LLU(s->nr_high), LLU(s->nr_max), LLU(s->nr_oom), LLU(s->nr_oom_kill),
			LLU(mon->pressure.nr_held), (double)mon->pressure.held_ns / 1e9);
	}
	if (some->total_ns && run > 0)
		fprintf(out, "  pressure    memory: some %.3f s (%.1f %% of the run), full %.3f s "
			"(%.1f %%)\n",
			(double)some->total_ns / 1e9, 100.0 * (double)some->total_ns / run,
			(double)full->total_ns / 1e9, 100.0 * (double)full->total_ns / run);
}

static void json_limit(FILE *out, const char *name, uint64_t pages)
{
	if (pages == ONDOL_MEMCG_NONE)
		fprintf(out, "\"%s\":null,", name);
	else
		fprintf(out, "\"%s\":%llu,", name, LLU(pages));
}

void pressure_summary_json(const struct monitor *mon, FILE *out)
{
	const struct ondol_memcg_stats *s = &mon->pressure.memcg;
	static const char *const names[ONDOL_PSI_NR] = { "some", "full" };

	fprintf(out, ",\"memcg\":{");
	json_limit(out, "max_pages", s->limits.max);
	json_limit(out, "high_pages", s->limits.high);
	fprintf(out, "\"current\":%llu,\"peak\":%llu,\"high\":%llu,\"max\":%llu,\"oom\":%llu,"
		"\"oom_kill\":%llu,\"held\":%llu,\"held_us\":%llu}",
		LLU(s->current), LLU(s->peak), LLU(s->nr_high), LLU(s->nr_max), LLU(s->nr_oom),
		LLU(s->nr_oom_kill), LLU(mon->pressure.nr_held),
		LLU(mon->pressure.held_ns / 1000));
	fprintf(out, ",\"pressure\":{\"run_us\":%llu",
		LLU((mon->pressure.ended - mon->pressure.began) / 1000));
	for (int kind = 0; kind < ONDOL_PSI_NR; kind++) {
		const struct ondol_psi *p = &mon->pressure.psi[kind];

		fprintf(out, ",\"%s\":{\"avg10\":%u.%02u,\"avg60\":%u.%02u,\"avg300\":%u.%02u,"
			"\"total_us\":%llu}", names[kind], p->avg10 / 100, p->avg10 % 100,
			p->avg60 / 100, p->avg60 % 100, p->avg300 / 100, p->avg300 % 100,
			LLU(p->total_ns / 1000));
	}
	fprintf(out, "}");
}

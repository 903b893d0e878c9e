/* SPDX-License-Identifier: MIT */
/*
 * Placement.  A fault is a relay from the program's thread to the monitor, to the worker and
 * back; each waits while the next one runs.  On one processor a hand-over costs 2 to 5 us, to an
 * idle one 15 to 25, and the host's scheduler prefers the idle one.  So everything is kept on
 * one processor, as long as it does not need more:
 *
 *	together  -- guests waited half of the time, two looks in a row ----------> spread
 *	          <-- guests used no more than one processor, four looks in a row --
 *
 * The program does not see it: its threads report the processors they would have without us
 * (sched_getaffinity, Cpus_allowed), and a thread that chooses for itself is let alone.
 *
 * What a thread ran and waited is in /proc/TID/schedstat (nanoseconds; the kernel's
 * Documentation/scheduler/sched-stats.rst).
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "internal.h"

#define TICK_MS 25
#define TICK_NS (TICK_MS * 1000000ull)
#define TASKS_LOOKED_AT 64 /* a tick must stay cheap */
#define BUSY_TICKS 2
#define CALM_TICKS 4

static bool schedstat_read(pid_t tid, uint64_t *out_run, uint64_t *out_wait)
{
	unsigned long long run, wait;
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/schedstat", tid);
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	int n = fscanf(f, "%llu %llu", &run, &wait);

	fclose(f);
	*out_run = run;
	*out_wait = wait;
	return n == 2;
}

static void set_mask(pid_t tid, const struct place *place, bool together)
{
	unsigned long one[PLACE_WORDS] = { 0 };
	const unsigned bits = 8 * sizeof *one;

	one[place->cpu / bits] = 1ul << (place->cpu % bits);
	syscall(SYS_sched_setaffinity, tid, place->bytes, together ? one : place->all);
}

/* Guests, workers and ourselves; threads that chose for themselves stay where they are. */
static void place_all(struct monitor *mon, bool together)
{
	struct place *place = &mon->place;

	trace(mon, "placement: %s", together ? "together" : "spread");
	place->together = together;
	place->streak = 0;
	set_mask(0, place, together);
	for (struct guest_mm *g = mon->mms; g; g = g->next)
		if (g->worker > 0)
			set_mask(g->worker, place, together);
	for_each_task(mon, t)
		if (!t->own_affinity)
			set_mask(t->tid, place, together);
}

/* What the guests ran and waited since the last look, in nanoseconds. */
static void look(struct monitor *mon, uint64_t *out_ran, uint64_t *out_waited)
{
	unsigned looked = 0;

	*out_ran = *out_waited = 0;
	for_each_task(mon, t) {
		uint64_t run, wait;

		if (looked++ >= TASKS_LOOKED_AT || !schedstat_read(t->tid, &run, &wait))
			continue;
		if (t->ran_ns | t->waited_ns) {
			*out_ran += run - t->ran_ns;
			*out_waited += wait - t->waited_ns;
		}
		t->ran_ns = run;
		t->waited_ns = wait;
	}
}

void place_tick(struct monitor *mon)
{
	struct place *place = &mon->place;
	uint64_t missed, ran, waited;

	if (read(place->timer, &missed, sizeof missed) != (ssize_t)sizeof missed)
		return;
	look(mon, &ran, &waited);
	if (place->together) {
		place->streak = waited > missed * TICK_NS / 2 ? place->streak + 1 : 0;
		if (place->streak >= BUSY_TICKS)
			place_all(mon, false);
		return;
	}
	place->streak = ran < missed * TICK_NS * 9 / 8 && waited < missed * TICK_NS / 4 ?
				place->streak + 1 : 0;
	if (place->streak >= CALM_TICKS) {
		int cpu = sched_getcpu();

		place->cpu = cpu < 0 ? place->cpu : (unsigned)cpu;
		place_all(mon, true);
	}
}

/* Before the program is started: it inherits our processor. */
int place_init(struct monitor *mon)
{
	struct itimerspec every = { .it_interval = { .tv_nsec = TICK_NS },
				    .it_value = { .tv_nsec = TICK_NS } };
	struct place *place = &mon->place;
	uint64_t run, wait;
	long bytes = syscall(SYS_sched_getaffinity, 0, sizeof place->all, place->all);
	int cpu = sched_getcpu();
	unsigned nr = 0;

	place->timer = -1;
	for (long i = 0; i < bytes / (long)sizeof *place->all; i++)
		nr += (unsigned)__builtin_popcountl(place->all[i]);
	if (mon->options->pin_cpu != ONDOL_PIN_AUTO || nr < 2 || cpu < 0 ||
	    !schedstat_read(mon->pid, &run, &wait))
		return 0;
	place->bytes = (size_t)bytes;
	place->cpu = (unsigned)cpu;
	place->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (place->timer < 0 || timerfd_settime(place->timer, 0, &every, NULL))
		return -errno;
	place_all(mon, true);
	return 0;
}

/* ------------------------------------------------------------------ what guests see */

static struct task *target_of(struct monitor *mon, struct task *task, const __u64 *arg)
{
	return (pid_t)arg[0] ? task_find(mon, (pid_t)arg[0]) : task;
}

static int64_t get_affinity(struct task *task, const struct task *target,
			    const struct place *place, const __u64 *arg)
{
	unsigned long mask[PLACE_WORDS];
	size_t size = arg[1] < sizeof mask ? arg[1] : sizeof mask;
	long n = syscall(SYS_sched_getaffinity, target->tid, size, mask);

	if (n < 0)
		return -errno;
	if (!target->own_affinity)
		memcpy(mask, place->all, (size_t)n);
	int r = ondol_copy_to_user(task->mm->mm, arg[2], mask, (size_t)n);

	return r ? r : n;
}

static int64_t set_affinity(struct task *task, struct task *target, const struct place *place,
			    const __u64 *arg)
{
	unsigned long mask[PLACE_WORDS] = { 0 };
	size_t size = arg[1] < sizeof mask ? arg[1] : sizeof mask;
	bool all = true;
	int r = ondol_copy_from_user(task->mm->mm, mask, arg[2], size);

	if (r)
		return r;
	if (syscall(SYS_sched_setaffinity, target->tid, size, mask))
		return -errno;
	for (size_t i = 0; i < place->bytes / sizeof *mask; i++)
		all &= (mask[i] & place->all[i]) == place->all[i];
	target->own_affinity = !all;
	if (all)
		set_mask(target->tid, place, place->together);
	return 0;
}

/* sched_setaffinity and sched_getaffinity. */
int64_t place_call(struct monitor *mon, struct task *task, const struct seccomp_data *data,
		   bool *out_continue)
{
	struct task *target = target_of(mon, task, data->args);

	if (mon->place.timer < 0 || !target) {
		*out_continue = true;
		return 0;
	}
	return data->nr == SYS_sched_getaffinity ?
		       get_affinity(task, target, &mon->place, data->args) :
		       set_affinity(task, target, &mon->place, data->args);
}

/* "Cpus_allowed:" and "Cpus_allowed_list:" of /proc/PID/status, as they would be without us. */
bool place_status(const struct monitor *mon, const struct task *task, const char *line, FILE *out)
{
	const struct place *place = &mon->place;
	const char *name = !strncmp(line, "Cpus_allowed:", 13)      ? "Cpus_allowed" :
			   !strncmp(line, "Cpus_allowed_list:", 18) ? "Cpus_allowed_list" : NULL;
	char own[512];

	/* The front has kept them; its text has the host's own format. */
	if (!name || place->timer < 0 || task->own_affinity ||
	    !status_field(mon->front_pid, name, own, sizeof own))
		return false;
	fprintf(out, "%s:%s", name, own);
	return true;
}

/* SPDX-License-Identifier: MIT */
/*
 * Same-page merging while programs run: when, and what is told of it.
 *
 * The core looks at some pages ten times a second, whatever the programs do meanwhile (core/virt/
 * ksm.c).  The host maps none of what it merges: what was used since the last round is only taken
 * from the host, in one step [PORT-5], and merged in the next one if nobody has touched it again.
 * Frames that the host's kernel may have a hold of stay: swap.c.
 */
#include <string.h>

#include "internal.h"

#define STEPS 10u /* of a second's pages */
#define STEP_NS (1000000000u / STEPS)

void ksm_tick(struct monitor *mon)
{
	struct ondol_machine_stats *peak = &mon->ksm_at_peak, s;
	uint64_t now = now_ns();

	if (!mon->options->ksm_pages || now - mon->ksm_ticked < STEP_NS)
		return;
	for (const struct guest_mm *g = mon->mms; g; g = g->next)
		if (g->forking) /* [PORT-4] */
			return;
	mon->ksm_ticked = now;
	ondol_ksm_scan(mon->machine, (mon->options->ksm_pages + STEPS - 1) / STEPS);
	if (!mon->options->stats)
		return;
	ondol_machine_stats(mon->machine, &s);
	if (s.ksm_pages_sharing >= peak->ksm_pages_sharing)
		*peak = s;
}

int ksm_wait_ms(const struct monitor *mon, int otherwise)
{
	uint64_t since;
	int left;

	if (!mon->options->ksm_pages)
		return otherwise;
	since = now_ns() - mon->ksm_ticked;
	left = since < STEP_NS ? (int)((STEP_NS - since) / 1000000u) + 1 : 1;
	return otherwise >= 0 && otherwise < left ? otherwise : left;
}

/* ------------------------------------------------------------------ /sys/kernel/mm/ksm */

#define KSM_DIR "/sys/kernel/mm/ksm/"

static const char *const names[] = { "run", "pages_to_scan", "sleep_millisecs", "pages_shared",
				     "pages_sharing", "pages_unshared", "pages_volatile",
				     "full_scans" };
#define NR_NAMES (sizeof names / sizeof *names)

static size_t name_index(const char *name)
{
	size_t i = 0;

	while (i < NR_NAMES && strcmp(name, names[i]))
		i++;
	return i;
}

bool ksm_file_name(const char *name)
{
	return name_index(name) < NR_NAMES;
}

bool ksm_path(const char *path)
{
	size_t n = sizeof KSM_DIR - 1;

	return !strncmp(path, KSM_DIR, n) && ksm_file_name(path + n);
}

int ksm_file_write(const struct monitor *mon, const char *path, FILE *out)
{
	struct ondol_machine_stats s;

	ondol_machine_stats(mon->machine, &s);
	const uint64_t values[NR_NAMES] = {
		mon->options->ksm_pages != 0,
		(mon->options->ksm_pages + STEPS - 1) / STEPS,
		STEP_NS / 1000000u,
		s.ksm_pages_shared,
		s.ksm_pages_sharing,
		s.ksm_pages_unshared,
		s.ksm_pages_volatile,
		s.ksm_full_scans,
	};

	return fprintf(out, "%llu\n",
		       (unsigned long long)values[name_index(path + sizeof KSM_DIR - 1)]) < 0;
}

/* ------------------------------------------------------------------ the summary */

#define LLU(x) ((unsigned long long)(x))

void ksm_summary(const struct monitor *mon, FILE *out)
{
	const struct ondol_machine_stats *s = &mon->at_end, *peak = &mon->ksm_at_peak;

	if (!mon->options->ksm_pages)
		return;
	fprintf(out,
		"  ksm         %llu full scans, %llu pages looked at; %llu given a shared frame, "
		"%llu copied again; at most %llu saved, by %llu frames\n",
		LLU(s->ksm_full_scans), LLU(s->ksm_pages_scanned), LLU(s->ksm_pages_merged),
		LLU(s->cow_ksm), LLU(peak->ksm_pages_sharing), LLU(peak->ksm_pages_shared));
}

void ksm_summary_json(const struct monitor *mon, FILE *out)
{
	const struct ondol_machine_stats *s = &mon->at_end, *peak = &mon->ksm_at_peak;

	fprintf(out, ",\"ksm\":{\"full_scans\":%llu,\"pages_scanned\":%llu,\"pages_merged\":%llu,"
		"\"cow\":%llu,\"peak_sharing\":%llu,\"peak_shared\":%llu}",
		LLU(s->ksm_full_scans), LLU(s->ksm_pages_scanned), LLU(s->ksm_pages_merged),
		LLU(s->cow_ksm), LLU(peak->ksm_pages_sharing), LLU(peak->ksm_pages_shared));
}

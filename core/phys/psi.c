/* SPDX-License-Identifier: MIT */
/*
 * Pressure: how much of the time is lost to waiting for memory.
 *
 * 1 What problem.  That memory is short shows in no amount: a full page cache is no loss, and a
 *   program that reads back from swap what it has just written there has frames enough, and gets
 *   nowhere.  Lost time shows it.
 *
 * 2 Terms.  stall: a thread waits for memory to be taken back, for a page to come back that was in
 *   memory before, or because it is held (memcg.c).  some, full: at least one thread stalls; and
 *   none runs or could.
 *
 * 3 How it works.
 *
 *	thread 1  ====....======....==      = runs   . stalls   - sleeps, for other reasons
 *	thread 2  ======....=---------
 *	some          ######     ####
 *	full            ##       ####
 *
 *   Between two changes nothing changes, so totals are brought up to now at each change and when
 *   somebody looks.  At the end of each period of 2 seconds its share s becomes part of the
 *   averages, an n-second one of which forgets by e^(-2/n) a period:
 *
 *	avg = avg * e^(-2/n) + s * (1 - e^(-2/n))
 *
 *   No timer runs: where several periods have passed since the last change, each had the same
 *   share, and the factor's power does them at once.
 *
 * 4 Invariants.  Who begins ends.  full <= some.
 *
 * 5 Concurrency.  psi.lock; the callback is asked before it is taken.
 * 6 What can fail.  Nothing.
 * 7 How to see it.  ondol_psi_read, /proc/pressure/memory.
 * 8 What Linux does differently: it counts by processor and weighs them.  Sources:
 *   Documentation/accounting/psi.rst; kernel/sched/psi.c for the length of a period.
 */
#include "phys/psi.h"

#include "base/math.h"
#include "phys/zone.h"

#define PERIOD_NS 2000000000u
#define PSI_SHIFT 20

/* e^(-2/n), 32 bits of fraction. */
static const uint32_t decay[PSI_AVERAGES] = { 3516421809u, 4154161520u, 4266429413u };

static inline uint64_t clock_now(const struct ondol_machine *m)
{
	return m->port->clock_ns ? m->port->clock_ns(m->port->ctx) : 0;
}

/* a * b of fractions, rounded. */
static inline uint64_t times(uint64_t a, uint64_t b)
{
	return (a * b + (UINT64_C(1) << 31)) >> 32;
}

static uint64_t decay_for(unsigned i, uint64_t nr_periods)
{
	uint64_t factor = decay[i], power = UINT64_C(1) << 32;

	/* Never is a product above 2^63: neither factor is above 2^32, and one is below. */
	for (; nr_periods; nr_periods >>= 1, factor = times(factor, factor))
		if (nr_periods & 1)
			power = times(power, factor);
	return power;
}

/* The totals up to `now`, in a state that was the same all the time. */
static void count_until(struct psi *psi, uint64_t now)
{
	uint64_t spent = now - psi->since;

	psi->since = now;
	if (!psi->nr_stalled)
		return;
	psi->total[ONDOL_PSI_SOME] += spent;
	if (!psi->others_run)
		psi->total[ONDOL_PSI_FULL] += spent;
}

/* Periods have ended, of which each had the same share of what is not averaged yet. */
static void average(struct psi *psi, uint64_t nr_periods)
{
	for (unsigned kind = 0; kind < ONDOL_PSI_NR; kind++) {
		uint64_t spent = psi->total[kind] - psi->averaged[kind], share;

		psi->averaged[kind] = psi->total[kind];
		spent = div_u64(spent, (uint32_t)min_u64(nr_periods, UINT32_MAX));
		share = div_u64((spent * 100) << PSI_SHIFT, PERIOD_NS);
		for (unsigned i = 0; i < PSI_AVERAGES; i++) {
			uint64_t kept = decay_for(i, nr_periods);

			psi->avg[kind][i] = times(psi->avg[kind][i], kept) +
					    times(share, (UINT64_C(1) << 32) - kept);
		}
	}
}

static void bring_up_to(struct psi *psi, uint64_t now)
{
	if (now < psi->since)
		return;
	if (now >= psi->period_end) {
		uint64_t more = div_u64(now - psi->period_end, PERIOD_NS);

		count_until(psi, psi->period_end);
		average(psi, 1);
		psi->period_end += PERIOD_NS;
		if (more) {
			count_until(psi, psi->since + more * PERIOD_NS);
			average(psi, more);
			psi->period_end += more * PERIOD_NS;
		}
	}
	count_until(psi, now);
}

void psi_init(struct ondol_machine *m)
{
	m->phys->psi.since = clock_now(m);
	m->phys->psi.period_end = m->phys->psi.since + PERIOD_NS;
}

static uintptr_t lock(struct ondol_machine *m)
{
	uintptr_t irq = lock_irqsave(m->port, &m->phys->psi.lock, m->phys->smp);

	bring_up_to(&m->phys->psi, clock_now(m));
	return irq;
}

static void unlock(struct ondol_machine *m, uintptr_t irq)
{
	unlock_irqrestore(m->port, &m->phys->psi.lock, m->phys->smp, irq);
}

static bool anyone_runs(const struct psi *psi)
{
	return psi->anyone_runs && psi->anyone_runs(psi->ctx);
}

void ondol_psi_stall_begin(struct ondol_machine *m)
{
	struct psi *psi = &m->phys->psi;
	bool others_run = anyone_runs(psi);
	uintptr_t irq = lock(m);

	psi->nr_stalled++;
	psi->others_run = others_run;
	unlock(m, irq);
}

void ondol_psi_stall_end(struct ondol_machine *m)
{
	struct psi *psi = &m->phys->psi;
	uintptr_t irq = lock(m);

	ONDOL_VERIFY(m, psi->nr_stalled, NULL, psi->since, 0);
	psi->nr_stalled--;
	psi->others_run = true; /* this one */
	unlock(m, irq);
}

void ondol_psi_look(struct ondol_machine *m)
{
	struct psi *psi = &m->phys->psi;
	bool others_run = anyone_runs(psi);
	uintptr_t irq = lock(m);

	psi->others_run = others_run;
	unlock(m, irq);
}

void ondol_psi_watch(struct ondol_machine *m, bool (*anyone)(void *ctx), void *ctx)
{
	m->phys->psi.anyone_runs = anyone;
	m->phys->psi.ctx = ctx;
}

static uint32_t hundredths(uint64_t per_cent)
{
	return (uint32_t)((per_cent * 100 + (1u << (PSI_SHIFT - 1))) >> PSI_SHIFT);
}

void ondol_psi_read(struct ondol_machine *m, struct ondol_psi out_psi[ONDOL_PSI_NR])
{
	const struct psi *psi = &m->phys->psi;
	uintptr_t irq = lock(m);

	for (unsigned kind = 0; kind < ONDOL_PSI_NR; kind++)
		out_psi[kind] = (struct ondol_psi){ psi->total[kind],
						    hundredths(psi->avg[kind][0]),
						    hundredths(psi->avg[kind][1]),
						    hundredths(psi->avg[kind][2]) };
	unlock(m, irq);
}

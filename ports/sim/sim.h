/* SPDX-License-Identifier: MIT */
/*
 * A port of simulated CPUs: coroutines in one thread that go over the real core, one at a time.
 * Who goes on is decided at every atomic operation and every call of the port, from a seed: the
 * same seed gives the same run.  What fails is cut down to few operations and few switches.
 *
 * Two schedulers, by turns: at random; and by priorities that change at few random points
 * (Burckhardt et al., "A randomized scheduler with probabilistic guarantees of finding bugs",
 * ASPLOS 2010).  An interrupt may come to a CPU at any point outside of irq_save.
 *
 * Memory is sequentially consistent, but for words named with sim_delay(): what a CPU stores
 * there stays in its store buffer for a while, as on x86, unless an atomic read-modify-write of
 * its own or the port's sync_cpus empties it.
 */
#ifndef PORTS_SIM_SIM_H
#define PORTS_SIM_SIM_H

#include <ondol/port.h>

#define SIM_CPUS_MAX 4
#define SIM_OPS_MAX 64 /* a CPU */

struct sim_test {
	const char *name; /* for the command that repeats a failure */
	uint32_t nr_cpus, nr_ops; /* operations of each CPU */
	unsigned nr_rounds;       /* seeds 1 to that; SEED=N: that one alone; ROUNDS=N: so many */
	unsigned nr_steps;        /* about how many a run takes */
	void *ctx;
	/* A fresh world from the seed, the port of its machine already filled in. */
	void (*begin)(void *ctx, uint64_t seed, struct ondol_port *port);
	void (*op)(void *ctx, uint32_t cpu, uint32_t nr);
	void (*interrupt)(void *ctx, uint32_t cpu); /* or NULL */
	void (*check)(void *ctx); /* at the end, no CPU running */
	void (*end)(void *ctx);   /* give back what begin took, whatever happened */
	void (*print)(void *ctx, uint32_t cpu, uint32_t nr, char *text, size_t size);
};

/* True: all seeds passed. */
bool sim_check(const struct sim_test *test);
/* The run has failed; does not return. */
ONDOL_NORETURN void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Stores to this word of 32 bits are delayed, in the run that begins. */
void sim_delay(uint32_t *word);
/* The CPU that is going. */
uint32_t sim_cpu(void);

#endif /* PORTS_SIM_SIM_H */

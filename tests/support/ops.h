/* SPDX-License-Identifier: MIT */
/*
 * Random tests as lists of operations: made from a seed, run, and, if they fail, cut down
 * to a short list that still fails.
 *
 *   SEED=N      run that seed alone
 *   ROUNDS=N    run N seeds (default: what the test asks for)
 */
#ifndef TESTS_SUPPORT_OPS_H
#define TESTS_SUPPORT_OPS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * One operation: numbers that mean something whatever the operations before it did, so
 * that any of them can be left out.
 */
struct op {
	unsigned kind, who;
	uint64_t a, b, c, d;
};

struct ops_rng {
	uint64_t state;
};

static inline uint64_t ops_random(struct ops_rng *r)
{
	uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t ops_below(struct ops_rng *r, uint64_t n)
{
	return ops_random(r) % n;
}

struct ops_test {
	const char *name;    /* of the test program, for the command that repeats a failure */
	unsigned nr_ops;     /* in a list */
	unsigned nr_rounds;
	void (*make)(struct ops_rng *r, struct op *op);
	/* NULL, or what went wrong; *nr is then the number of operations it took. */
	const char *(*run)(void *ctx, const struct op *ops, unsigned *nr);
	void (*print)(const struct op *op, FILE *to);
	void *ctx;
};

static inline const char *ops_run(const struct ops_test *t, const struct op *ops, unsigned *nr)
{
	return t->run(t->ctx, ops, nr);
}

/* Leave out pieces, large ones first, while it still fails.  Ends after some seconds. */
static inline void ops_shrink(const struct ops_test *t, struct op *ops, unsigned *nr, char *why,
			      size_t size)
{
	struct op *fewer = malloc(*nr * sizeof *fewer);
	time_t end = time(NULL) + 20;
	bool shorter = true;

	while (fewer && shorter && time(NULL) < end) {
		shorter = false;
		for (unsigned piece = (*nr + 1) / 2; piece && time(NULL) < end; piece /= 2)
			for (unsigned at = 0; at + piece <= *nr && time(NULL) < end;) {
				unsigned n = *nr - piece;
				const char *failed;

				memcpy(fewer, ops, at * sizeof *ops);
				memcpy(fewer + at, ops + at + piece, (n - at) * sizeof *ops);
				failed = n ? ops_run(t, fewer, &n) : NULL;
				if (!failed) {
					at += piece;
					continue;
				}
				snprintf(why, size, "%s", failed);
				memcpy(ops, fewer, n * sizeof *ops);
				*nr = n;
				shorter = true;
			}
	}
	free(fewer);
}

static inline bool ops_seed_passes(const struct ops_test *t, uint64_t seed)
{
	struct ops_rng rng = { seed };
	struct op *ops = calloc(t->nr_ops, sizeof *ops);
	unsigned nr = t->nr_ops;
	const char *why;
	char text[400];

	if (!ops)
		abort();
	for (unsigned i = 0; i < nr; i++)
		t->make(&rng, &ops[i]);
	why = ops_run(t, ops, &nr);
	if (why) {
		fprintf(stderr, "# after %u operations: %s\n", nr, why);
		fprintf(stderr, "# again: make check T=%s SEED=%llu\n", t->name,
			(unsigned long long)seed);
		snprintf(text, sizeof text, "%s", why);
		ops_shrink(t, ops, &nr, text, sizeof text);
		fprintf(stderr, "# %u operations do it, too: %s\n", nr, text);
		for (unsigned i = 0; i < nr; i++)
			t->print(&ops[i], stderr);
	}
	free(ops);
	return !why;
}

/* Whether every list passed. */
static inline bool ops_check(const struct ops_test *t)
{
	const char *seed = getenv("SEED"), *rounds = getenv("ROUNDS");
	unsigned nr = rounds ? (unsigned)strtoul(rounds, NULL, 0) : t->nr_rounds;

	if (seed)
		return ops_seed_passes(t, strtoull(seed, NULL, 0));
	for (unsigned i = 1; i <= nr; i++)
		if (!ops_seed_passes(t, i))
			return false;
	return true;
}

#endif /* TESTS_SUPPORT_OPS_H */

/* SPDX-License-Identifier: MIT */
/* The simulator: coroutines, schedulers, store buffers, shrinking.  See sim.h. */
#undef _FORTIFY_SOURCE /* its longjmp knows one stack only */
#include "sim.h"

#include "points.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#define STACK_SIZE (256u << 10)
#define STEPS_MAX 400000u
#define SWITCHES_MAX 100000u
#define WORDS_MAX 16u
#define INTERRUPT 0xffu /* in place of a CPU: to the one that is going */
#define NO_STEP UINT64_MAX

struct decision { /* at this step that CPU went on, which is not the one that came there */
	uint64_t step;
	uint32_t from, to;
	const char *what, *file;
	int line;
};

struct cpu {
	ucontext_t context;
	char *stack;
	bool done, interrupted;
	uint32_t irq_depth;
	int64_t priority;
	/* The store buffer; `due`: the step at which an entry leaves it. */
	struct {
		uint32_t *word, value;
		uint64_t due;
	} late[WORDS_MAX];
};

struct plan { /* of a run */
	uint64_t world, schedule; /* seeds: of what is done, and of who goes on when */
	bool skip[SIM_CPUS_MAX][SIM_OPS_MAX]; /* operations left out */
	struct decision *decision; /* instead of those that the seed would make; or NULL */
	size_t nr;
	bool hangs; /* how it failed at first */
};

static struct sim {
	const struct sim_test *test;
	struct ondol_port port;
	bool running;
	uint64_t random, seed, step, nr_late;
	uint32_t at; /* the CPU that is going */
	struct cpu cpu[SIM_CPUS_MAX];
	uint32_t *delayed[WORDS_MAX];
	unsigned nr_delayed;
	bool by_priority;
	uint64_t rarity; /* of switches, if not */
	int64_t lowest;
	uint64_t change[8]; /* steps at which the one going falls behind all others */
	const struct plan *plan;
	size_t next; /* of its decisions */
	struct decision *made;
	size_t nr_made;
	sigjmp_buf out;
	bool hangs; /* that is why */
	char why[300];
} sim;

uint32_t sim_cpu(void)
{
	return sim.at;
}

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t below(uint64_t n)
{
	return mix(sim.random += UINT64_C(0x9e3779b97f4a7c15)) % n;
}

void sim_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(sim.why, sizeof sim.why, format, args);
	va_end(args);
	sim.running = false;
	siglongjmp(sim.out, 1);
}

static ONDOL_NORETURN void fail_to_end(const char *how, const char *what, const char *file,
				       int line)
{
	sim.hangs = true;
	sim_fail("%s: CPU %u is at %s:%d, %s", how, sim.at, file, line, what);
}

/* ------------------------------------------------------------------ store buffers */

void sim_delay(uint32_t *word)
{
	if (sim.nr_delayed == WORDS_MAX)
		abort();
	sim.delayed[sim.nr_delayed++] = word;
}

/* Mostly short, at times for thousands of steps. */
static uint64_t delay(void)
{
	uint64_t z = mix(sim.seed + ++sim.nr_late);

	return z % (UINT64_C(1) << (z >> 32) % 13);
}

static void empty_buffer(struct cpu *cpu, const void *word, uint64_t until)
{
	for (unsigned i = 0; i < sim.nr_delayed; i++) {
		if (!cpu->late[i].word || (word && cpu->late[i].word != word) ||
		    cpu->late[i].due > until)
			continue;
		*cpu->late[i].word = cpu->late[i].value;
		cpu->late[i].word = NULL;
	}
}

static void empty_all(uint64_t until)
{
	for (uint32_t i = 0; i < sim.test->nr_cpus; i++)
		empty_buffer(&sim.cpu[i], NULL, until);
}

/* ------------------------------------------------------------------ schedulers */

static void note(uint32_t to, const char *what, const char *file, int line)
{
	if (sim.nr_made == SWITCHES_MAX)
		fail_to_end("too many switches", what, file, line);
	sim.made[sim.nr_made++] = (struct decision){ sim.step, sim.at, to, what, file, line };
}

/* Some CPU that is not done; the one going only if there is no other, or `self`. */
static uint32_t another(bool self)
{
	uint32_t nr = 0, choice[SIM_CPUS_MAX];

	for (uint32_t k = 1; k <= sim.test->nr_cpus; k++) {
		uint32_t i = (sim.at + k) % sim.test->nr_cpus;

		if (!sim.cpu[i].done && (self || i != sim.at))
			choice[nr++] = i;
	}
	if (!nr)
		return sim.at;
	/* A plan's gaps are filled without chance: in turn. */
	return choice[sim.plan->decision ? 0 : below(nr)];
}

static uint32_t highest(void)
{
	uint32_t best = sim.at;

	for (uint32_t i = 0; i < sim.test->nr_cpus; i++)
		if (!sim.cpu[i].done && (sim.cpu[best].done ||
					 sim.cpu[i].priority > sim.cpu[best].priority))
			best = i;
	return best;
}

static bool changes_here(void)
{
	for (unsigned i = 0; i < 8; i++)
		if (sim.change[i] == sim.step)
			return true;
	return false;
}

/* `stuck`: the one going cannot until another did. */
static uint32_t decide(bool stuck)
{
	const struct plan *plan = sim.plan;

	if (plan->decision) {
		while (sim.next < plan->nr && plan->decision[sim.next].step < sim.step)
			sim.next++;
		if (sim.next < plan->nr && plan->decision[sim.next].step == sim.step &&
		    (plan->decision[sim.next].to == INTERRUPT ||
		     !sim.cpu[plan->decision[sim.next].to].done))
			return plan->decision[sim.next++].to;
		return stuck ? another(false) : sim.at;
	}
	if (sim.test->interrupt && !stuck && !below(64))
		return INTERRUPT;
	if (!sim.by_priority)
		return stuck ? another(false) : below(sim.rarity) ? sim.at : another(true);
	if (stuck || changes_here())
		sim.cpu[sim.at].priority = --sim.lowest;
	return highest();
}

static void go_to(uint32_t to)
{
	uint32_t from = sim.at;

	if (to == from)
		return;
	sim.at = to;
	swapcontext(&sim.cpu[from].context, &sim.cpu[to].context);
}

static void interrupt(const char *what, const char *file, int line)
{
	struct cpu *cpu = &sim.cpu[sim.at];

	if (cpu->irq_depth || cpu->interrupted)
		return;
	note(INTERRUPT, what, file, line);
	cpu->interrupted = true;
	sim.test->interrupt(sim.test->ctx, sim.at);
	cpu->interrupted = false;
}

static void point(bool stuck, const char *what, const char *file, int line)
{
	uint32_t to;

	if (!sim.running)
		return;
	if (++sim.step > STEPS_MAX)
		fail_to_end("no end", what, file, line);
	empty_all(sim.step);
	to = decide(stuck);
	if (to == INTERRUPT) {
		interrupt(what, file, line);
		return;
	}
	if (to != sim.at)
		note(to, what, file, line);
	go_to(to);
}

void ondol_sim_load(const void *word, const char *what, const char *file, int line)
{
	point(false, what, file, line);
	if (sim.running)
		empty_buffer(&sim.cpu[sim.at], word, NO_STEP); /* it reads its own store */
}

void ondol_sim_change(const char *what, const char *file, int line)
{
	point(false, what, file, line);
	if (sim.running)
		empty_buffer(&sim.cpu[sim.at], NULL, NO_STEP);
}

int ondol_sim_store(void *word, const void *value, size_t size, const char *what,
		    const char *file, int line)
{
	point(false, what, file, line);
	for (unsigned i = 0; sim.running && i < sim.nr_delayed; i++) {
		if (sim.delayed[i] != word || size != sizeof(uint32_t))
			continue;
		sim.cpu[sim.at].late[i].word = word;
		memcpy(&sim.cpu[sim.at].late[i].value, value, size);
		sim.cpu[sim.at].late[i].due = sim.step + delay();
		return 1;
	}
	return 0;
}

/* ------------------------------------------------------------------ the port */

static uint32_t port_this_cpu(void *ctx)
{
	(void)ctx;
	point(false, "this_cpu", "port", 0);
	return sim.at;
}

static uintptr_t port_irq_save(void *ctx)
{
	(void)ctx;
	point(false, "irq_save", "port", 0);
	sim.cpu[sim.at].irq_depth++;
	return 0;
}

static void port_irq_restore(void *ctx, uintptr_t saved)
{
	(void)ctx;
	(void)saved;
	if (!sim.cpu[sim.at].irq_depth--)
		sim_fail("irq_restore without irq_save");
	point(false, "irq_restore", "port", 0);
}

static void port_cpu_relax(void *ctx)
{
	(void)ctx;
	if (!sim.running)
		sim_fail("a lock is held for ever");
	point(true, "cpu_relax", "port", 0);
}

static void port_sync_cpus(void *ctx)
{
	(void)ctx;
	point(false, "sync_cpus", "port", 0);
	empty_all(NO_STEP);
}

static void port_panic(void *ctx, const struct ondol_panic_report *report)
{
	(void)ctx;
	sim_fail("panic: %s:%u: %s [%s] %#llx %#llx", report->file, report->line,
		 report->expression, report->invariant ? report->invariant : "-",
		 (unsigned long long)report->detail[0], (unsigned long long)report->detail[1]);
}

/* ------------------------------------------------------------------ one run */

static void cpu_main(unsigned index)
{
	const struct sim_test *test = sim.test;
	uint32_t to;

	for (uint32_t nr = 0; nr < test->nr_ops; nr++)
		if (!sim.plan->skip[index][nr])
			test->op(test->ctx, index, nr);
	if (sim.cpu[index].irq_depth)
		sim_fail("CPU %u ends inside irq_save", index);
	sim.cpu[index].done = true;
	sim.step++;
	to = decide(true);
	if (to == sim.at) { /* all are done */
		sim.running = false;
		siglongjmp(sim.out, 2);
	}
	if (to != INTERRUPT)
		note(to, "the end", "port", 0);
	sim.at = to == INTERRUPT ? another(false) : to;
	setcontext(&sim.cpu[sim.at].context);
	abort();
}

/* The thread itself was caught in damage that the core did not notice. */
static void on_signal(int nr)
{
	sim.hangs = nr == SIGVTALRM;
	sim_fail("%s", sim.hangs ? "no end, and no point passed" : "a wild access");
}

static void catch_signals(void)
{
	static char stack[64 << 10];
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof stack };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER };
	struct itimerval two_seconds = { .it_value = { .tv_sec = 2 } };

	sigaltstack(&alt, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGVTALRM, &action, NULL);
	setitimer(ITIMER_VIRTUAL, &two_seconds, NULL);
}

static void make_cpus(void)
{
	for (uint32_t i = 0; i < sim.test->nr_cpus; i++) {
		struct cpu *cpu = &sim.cpu[i];
		char *stack = cpu->stack;

		if (!stack)
			stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (stack == MAP_FAILED)
			abort();
		memset(cpu, 0, sizeof *cpu);
		cpu->stack = stack;
		cpu->priority = (int64_t)below(1000);
		getcontext(&cpu->context);
		cpu->context.uc_stack.ss_sp = stack;
		cpu->context.uc_stack.ss_size = STACK_SIZE;
		makecontext(&cpu->context, (void (*)(void))cpu_main, 1, i);
	}
}

static void prepare(const struct sim_test *test, const struct plan *plan)
{
	uint64_t seed = plan->schedule;

	sim.test = test;
	sim.running = false;
	sim.random = sim.seed = seed;
	sim.step = sim.nr_late = sim.at = sim.nr_delayed = 0;
	sim.by_priority = seed & 1;
	sim.rarity = 4u << seed / 2 % 5;
	sim.lowest = 0;
	sim.plan = plan;
	sim.next = sim.nr_made = 0;
	sim.why[0] = '\0';
	sim.hangs = false;
	for (unsigned i = 0; i < 8; i++)
		sim.change[i] = i < 1 + seed / 2 % 8 ? 1 + below(test->nr_steps) : NO_STEP;
	make_cpus();
	sim.port = (struct ondol_port){
		.version = ONDOL_PORT_VERSION, .size = sizeof sim.port, .panic = port_panic,
		.this_cpu = port_this_cpu, .irq_save = port_irq_save,
		.irq_restore = port_irq_restore, .cpu_relax = port_cpu_relax,
		.sync_cpus = port_sync_cpus };
}

/* NULL, or why it failed.  sim.made has the switches. */
static const char *run(const struct sim_test *test, const struct plan *plan)
{
	prepare(test, plan);
	catch_signals();
	switch (sigsetjmp(sim.out, 1)) {
	case 0:
		test->begin(test->ctx, plan->world, &sim.port);
		sim.running = true;
		sim.at = highest();
		setcontext(&sim.cpu[sim.at].context);
		abort();
	case 2:
		empty_all(NO_STEP);
		test->check(test->ctx);
		break;
	}
	test->end(test->ctx);
	return sim.why[0] ? sim.why : NULL;
}

/* ------------------------------------------------------------------ what fails, made short */

/* A run that does not end is not a shorter way to something that is wrong. */
static bool fails_alike(const struct sim_test *test, const struct plan *plan)
{
	return run(test, plan) && sim.hangs == plan->hangs;
}

static bool keep_decisions(struct plan *plan)
{
	plan->nr = sim.nr_made;
	plan->decision = malloc((plan->nr + 1) * sizeof *plan->decision);
	if (!plan->decision)
		abort();
	memcpy(plan->decision, sim.made, plan->nr * sizeof *plan->decision);
	return fails_alike(sim.test, plan);
}

/* Without an operation every step is another: some schedules are tried anew. */
static bool fails_somehow(const struct sim_test *test, struct plan *plan)
{
	uint64_t before = plan->schedule;

	for (uint64_t k = 0; k < 60; k++) {
		plan->schedule = before + k;
		if (fails_alike(test, plan))
			return true;
	}
	plan->schedule = before;
	return false;
}

static uint32_t drop_ops(const struct sim_test *test, struct plan *plan)
{
	uint32_t nr = test->nr_cpus * test->nr_ops, left = nr;
	bool *skip = plan->skip[0];

	for (uint32_t piece = nr / 2; piece; piece /= 2)
		for (uint32_t at = 0; at < nr; at += piece) {
			bool before[SIM_CPUS_MAX][SIM_OPS_MAX];

			memcpy(before, skip, sizeof before);
			for (uint32_t i = at; i < nr && i < at + piece; i++)
				plan->skip[i / test->nr_ops][i % test->nr_ops] = true;
			if (!memcmp(before, skip, sizeof before) || fails_somehow(test, plan))
				continue;
			memcpy(skip, before, sizeof before);
		}
	for (uint32_t i = 0; i < nr; i++)
		left -= plan->skip[i / test->nr_ops][i % test->nr_ops];
	return left;
}

static void drop_switches(const struct sim_test *test, struct plan *plan)
{
	struct decision *all = malloc((plan->nr + 1) * sizeof *all);

	for (size_t piece = (plan->nr + 1) / 2; all && piece; piece /= 2)
		for (size_t at = 0; at < plan->nr;) {
			size_t nr = plan->nr, cut = piece < nr - at ? piece : nr - at;

			memcpy(all, plan->decision, nr * sizeof *all);
			memmove(plan->decision + at, plan->decision + at + cut,
				(nr - at - cut) * sizeof *all);
			plan->nr -= cut;
			if (fails_alike(test, plan))
				continue;
			memcpy(plan->decision, all, nr * sizeof *all);
			plan->nr = nr;
			at += cut;
		}
	free(all);
}

static void print_plan(const struct sim_test *test, const struct plan *plan)
{
	char text[100];

	for (uint32_t i = 0; i < test->nr_cpus * test->nr_ops; i++) {
		if (plan->skip[i / test->nr_ops][i % test->nr_ops])
			continue;
		test->print(test->ctx, i / test->nr_ops, i % test->nr_ops, text, sizeof text);
		fprintf(stderr, "#   cpu %u: %s\n", i / test->nr_ops, text);
	}
	for (size_t i = 0; i < sim.nr_made; i++) {
		const struct decision *made = &sim.made[i];

		if (made->to == INTERRUPT)
			snprintf(text, sizeof text, "is interrupted");
		else
			snprintf(text, sizeof text, "waits, cpu %u goes on", made->to);
		fprintf(stderr, "#   step %llu: at %s:%d, %s: cpu %u %s\n",
			(unsigned long long)made->step, made->file, made->line, made->what,
			made->from, text);
	}
}

static void explain(const struct sim_test *test, struct plan *plan)
{
	uint32_t nr_ops;

	fprintf(stderr, "# seed %llu: %s\n", (unsigned long long)plan->world, sim.why);
	fprintf(stderr, "# again: make check T=%s SEED=%llu\n", test->name,
		(unsigned long long)plan->world);
	plan->hangs = sim.hangs;
	nr_ops = drop_ops(test, plan);
	if (!fails_alike(test, plan) || !keep_decisions(plan)) {
		fprintf(stderr, "# it does not fail again: more than the seed decides\n");
		return;
	}
	drop_switches(test, plan);
	(void)run(test, plan);
	fprintf(stderr, "# %u operations and %zu switches do it: %s\n", nr_ops, sim.nr_made,
		sim.why);
	print_plan(test, plan);
	free(plan->decision);
}

bool sim_check(const struct sim_test *test)
{
	const char *one = getenv("SEED"), *rounds = getenv("ROUNDS");
	uint64_t first = one ? strtoull(one, NULL, 0) : 1;
	uint64_t nr = one ? 1 : rounds ? strtoull(rounds, NULL, 0) : test->nr_rounds;
	static struct decision made[SWITCHES_MAX];
	struct plan plan;
	uint64_t steps = 0, switches = 0;

	if (test->nr_cpus > SIM_CPUS_MAX || test->nr_ops > SIM_OPS_MAX)
		abort();
	sim.made = made;
	for (uint64_t i = 0; i < nr; i++) {
		plan = (struct plan){ .world = first + i, .schedule = first + i };
		if (!run(test, &plan)) {
			steps += sim.step;
			switches += sim.nr_made;
			continue;
		}
		explain(test, &plan);
		return false;
	}
	printf("# %llu schedules of %u CPUs: %llu points, %llu switches\n", (unsigned long long)nr,
	       test->nr_cpus, (unsigned long long)steps, (unsigned long long)switches);
	return true;
}

/* SPDX-License-Identifier: MIT */
/* ondol run and ondol doctor: options in, the hosted port called. */
#include <argp.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/linux_port.h"
#include "ondol.h"

#define MEM_MIN (UINT64_C(4) << 20)
#define MEM_MAX (UINT64_C(16) << 40)
#define MEM_DEFAULT_MAX (UINT64_C(4) << 30)
#define MEM_I386_MAX (UINT64_C(4) << 30)
#define LIMIT_MIN (UINT64_C(256) << 10)
#define SWAP_MIN (UINT64_C(64) << 10)
#define SWAP_MAX (UINT64_C(1) << 40)
#define KSM_PAGES 20000 /* 12 ms of a second: docs/benchmarks.md */

enum { OPT_MEM = 1000, OPT_NODES, OPT_CPUS, OPT_AROUND, OPT_STATS, OPT_STATS_FILE, OPT_JSON,
       OPT_PROC, OPT_PIN, OPT_LAZY, OPT_TRACE, OPT_VALIDATE,
       OPT_SLAB_DEBUG, OPT_SWAP, OPT_ZRAM, OPT_COMPACT, OPT_KSM, OPT_THP, OPT_NO_ASLR, OPT_SEED,
       OPT_OVERCOMMIT, OPT_OVERCOMMIT_RATIO, OPT_TRAP, OPT_MEM_MAX,
       OPT_MEM_HIGH, OPT_PROFILE };

static const struct argp_option run_options[] = {
	{ 0, 0, 0, 0, "The machine:", 1 },
	{ "profile", OPT_PROFILE, "NAME", 0,
	  "x86_64 (default); i386, for 32-bit programs alone: 3 GiB for each, RAM of 4G at most, "
	  "page tables of three levels (PAE), or with i386-2.4 of two", 1 },
	{ "mem", OPT_MEM, "SIZE[,SIZE...]", 0,
	  "Its RAM, in bytes or with K, M, G (default: half of this computer's, at most 4G); "
	  "several sizes: of one node each", 1 },
	{ "mem-max", OPT_MEM_MAX, "SIZE", 0,
	  "What all its programs together may use of that, as a memory cgroup's memory.max: data, "
	  "page cache, page tables; beyond, memory is taken back, and then somebody is ended", 1 },
	{ "mem-high", OPT_MEM_HIGH, "SIZE", 0,
	  "As memory.high: beyond, memory is taken back, and who wants more is slowed down, never "
	  "ended", 1 },
	{ "swap", OPT_SWAP, "FILE[:SIZE]", 0,
	  "Data that does not fit goes to this file, which is made, or grows to SIZE; one "
	  "made by mkswap will do", 1 },
	{ "zram", OPT_ZRAM, "SIZE", 0,
	  "Before that it is compressed in the RAM itself, so much of it", 1 },
	{ "thp", OPT_THP, "MODE", 0,
	  "Data in blocks of 2 MiB, as Linux's transparent huge pages: never; madvise, where the "
	  "program asks for it (default); always, where there is room for one", 1 },
	{ "compact", OPT_COMPACT, 0, 0,
	  "Pages move to other frames when a request for a larger block finds free memory in "
	  "pieces", 1 },
	{ "ksm", OPT_KSM, "PAGES", OPTION_ARG_OPTIONAL,
	  "Where programs ask for it (MADV_MERGEABLE), pages with equal contents share one frame "
	  "until they are used again; so many are looked at in a second (default: 20000)", 1 },
	{ "nodes", OPT_NODES, "N", 0, "NUMA nodes that share the RAM, 1 to 8 (default: 1)", 1 },
	{ "cpus", OPT_CPUS, "N", 0, "Its CPUs (default: those that may be used here)", 1 },
	{ "fault-around", OPT_AROUND, "N", 0,
	  "Pages mapped by one fault, a power of two, 1 to 512 (default: 16, and up to 64 where "
	  "memory is touched in order); with 1 a frame is given only for a page that is "
	  "touched", 1 },
	{ "lazy", OPT_LAZY, "POLICY", 0,
	  "When freed frames merge: pcp (default), a pageblock at a time, from per-CPU lists; "
	  "delay2, while there is slack not at all; eager, at once", 1 },
	{ "slab-debug", OPT_SLAB_DEBUG, "LETTERS[,CACHE...]", 0,
	  "Checks of Ondol's own objects, as Linux's slub_debug: F lists, Z writes beyond the end, "
	  "P writes after free, U who allocated, Q freed ones rest, W a page that traps behind "
	  "each; of these caches (kmalloc-*), or of all", 1 },
	{ "pin", OPT_PIN, "CPU", 0,
	  "Keep everything on this processor of the computer; auto (default): on one, while it "
	  "does not need more; free: wherever the host puts it", 1 },
	{ "overcommit", OPT_OVERCOMMIT, "MODE", 0,
	  "What is promised to programs, as Linux's vm.overcommit_memory: 0, no more at a time "
	  "than RAM and swap; 1, everything; 2, altogether no more than a share of RAM, and "
	  "swap (default: 1 if this computer has 1, else 0)", 1 },
	{ "overcommit-ratio", OPT_OVERCOMMIT_RATIO, "PERCENT", 0,
	  "The share, with --overcommit 2 (default: 50)", 1 },
	{ "trap", OPT_TRAP, "WAY", 0,
	  "How page faults are told: uffd, which needs /dev/userfaultfd and is the fastest; user, "
	  "which needs no privilege; ptrace, which works wherever a debugger does; auto "
	  "(default): the first of them that works here", 1 },
	{ "no-aslr", OPT_NO_ASLR, 0, 0,
	  "Stack, heap, libraries and programs at the same addresses in every run, as under "
	  "setarch -R", 1 },
	{ "seed", OPT_SEED, "N", 0,
	  "At addresses that follow from N and the program's path (default: at random)", 1 },
	{ 0, 0, 0, 0, "What to tell (nothing, unless asked):", 2 },
	{ "stats", OPT_STATS, 0, 0,
	  "A summary on stderr when the program and all that it has started have ended", 2 },
	{ "stats-file", OPT_STATS_FILE, "FILE", 0, "The summary into FILE", 2 },
	{ "json", OPT_JSON, 0, 0, "The summary as one line of JSON", 2 },
	{ "proc", OPT_PROC, "DIR", 0,
	  "At the end write buddyinfo, zoneinfo, slabinfo, slabusage, vmstat, swaps, meminfo and "
	  "each program's maps, smaps, status into DIR, in the formats of /proc", 2 },
	{ "validate", OPT_VALIDATE, 0, 0,
	  "Check every invariant of an address space when it ends and of the machine at the end; "
	  "a broken one is named, and the exit status is 125", 2 },
	{ "trace", OPT_TRACE, 0, 0, "Every event on stderr", 2 },
	{ 0 },
};

static const char run_doc[] =
	"Run an unmodified Linux program with all of its memory from Ondol.\v"
	"The program's input, output, exit status and signals are its own, as under env(1).\n"
	"Exit status: the program's; 125 if Ondol itself fails (also if the program succeeds, but "
	"what was asked for about it cannot be written), 126 if the program cannot be executed, "
	"127 if it is not found; 128+N if it is killed by signal N.\n\n"
	"Examples:\n"
	"  ondol run -- python3 -c 'print(sum(range(10**6)))'\n"
	"  ondol run --mem 64M --stats -- gcc -O1 -c hello.c\n"
	"  ondol run --mem 64M --swap swap.img:1G -- python3 big.py\n"
	"  ondol run --mem-max 32M --zram 64M --stats -- python3 big.py\n"
	"  ondol run --proc out -- ls && cat out/buddyinfo\n";

struct run_input {
	struct ondol_linux_options options;
	int first; /* index of the program's name */
};

static error_t bad(struct argp_state *state, const char *option, const char *value,
		   const char *wanted)
{
	fprintf(stderr, "%s: --%s %s: %s\n", state->name, option, value, wanted);
	exit(ONDOL_EXIT_CANNOT);
}

static long number(struct argp_state *state, const char *option, const char *value, long low,
		   long high)
{
	char wanted[80], *end;
	long n;

	errno = 0;
	n = strtol(value, &end, 10);
	if (errno || end == value || *end || n < low || n > high) {
		snprintf(wanted, sizeof wanted, "want a whole number from %ld to %ld", low, high);
		bad(state, option, value, wanted);
	}
	return n;
}

static bool parse_lazy(const char *arg, enum ondol_lazy_policy *out_policy)
{
	unsigned policy = 0;

	while (policy < ONDOL_NR_LAZY && strcmp(arg, ondol_lazy_name(policy)))
		policy++;
	*out_policy = policy;
	return policy < ONDOL_NR_LAZY;
}

static bool parse_thp(const char *arg, enum ondol_thp *out_thp)
{
	static const char *const names[] = { [ONDOL_THP_NEVER] = "never",
					     [ONDOL_THP_MADVISE] = "madvise",
					     [ONDOL_THP_ALWAYS] = "always" };
	unsigned thp = 0;

	while (thp < sizeof names / sizeof *names && strcmp(arg, names[thp]))
		thp++;
	*out_thp = thp;
	return thp < sizeof names / sizeof *names;
}

/* Blocks of letters and cache names, as the core reads them (slab_debug.c). */
static bool slab_letters_known(const char *text)
{
	for (; text; text = strchr(text, ';')) {
		text += *text == ';';
		text += strspn(text, "FZPUQWfzpuqw");
		if (*text && *text != ',' && *text != ';')
			return false;
	}
	return true;
}

static bool parse_profile(const char *arg, const struct ondol_profile **out)
{
	*out = !strcmp(arg, "x86_64")                             ? &ondol_profile_x86_64 :
	       !strcmp(arg, "i386") || !strcmp(arg, "i386-2.6") ? &ondol_profile_i386_2_6 :
	       !strcmp(arg, "i386-2.4")                           ? &ondol_profile_i386_2_4 :
								      NULL;
	return *out;
}

/* The options about address spaces. */
static error_t parse_space(int key, char *arg, struct argp_state *state)
{
	static const enum ondol_overcommit modes[] = { ONDOL_OVERCOMMIT_GUESS,
						       ONDOL_OVERCOMMIT_ALWAYS,
						       ONDOL_OVERCOMMIT_NEVER };
	struct ondol_linux_options *o = &((struct run_input *)state->input)->options;

	switch (key) {
	case OPT_PROFILE:
		if (!parse_profile(arg, &o->profile))
			return bad(state, "profile", arg, "want x86_64, i386 or i386-2.4");
		break;
	case OPT_OVERCOMMIT:
		o->overcommit = modes[number(state, "overcommit", arg, 0, 2)];
		break;
	case OPT_OVERCOMMIT_RATIO:
		o->overcommit_ratio = (uint32_t)number(state, "overcommit-ratio", arg, 1, 1000000);
		break;
	case OPT_TRAP:
		if (strcmp(arg, "auto") && strcmp(arg, "uffd") && strcmp(arg, "user") &&
		    strcmp(arg, "ptrace"))
			return bad(state, "trap", arg, "want uffd, user, ptrace or auto");
		o->trap = arg;
		break;
	case OPT_NO_ASLR:
		o->no_aslr = true;
		break;
	case OPT_SEED:
		o->seed = (uint64_t)number(state, "seed", arg, 0, INT64_MAX);
		o->seeded = true;
		break;
	case ARGP_KEY_END:
		if (o->no_aslr && o->seeded)
			return bad(state, "seed", "N", "there is no chance with --no-aslr");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* One size, or one for each node. */
static bool parse_mem(const char *arg, struct ondol_linux_options *o)
{
	char text[32 * ONDOL_LINUX_NODES_MAX], *rest = text, *one;
	uint32_t nr = 0;

	if (strlen(arg) >= sizeof text || !*arg)
		return false;
	strcpy(text, arg);
	memset(o->node_bytes, 0, sizeof o->node_bytes);
	o->mem_bytes = 0;
	while ((one = strsep(&rest, ","))) {
		if (nr == ONDOL_LINUX_NODES_MAX || !parse_size(one, &o->node_bytes[nr]) ||
		    o->node_bytes[nr] < MEM_MIN || o->node_bytes[nr] > MEM_MAX)
			return false;
		o->mem_bytes += o->node_bytes[nr++];
	}
	return o->mem_bytes <= MEM_MAX;
}

/* FILE:SIZE, or FILE alone, whose name may have colons. */
static bool parse_swap(char *arg, struct ondol_linux_options *o)
{
	char *colon = strrchr(arg, ':');

	o->swap_file = arg;
	o->swap_bytes = 0;
	if (!colon || colon[1] < '0' || colon[1] > '9')
		return *arg; /* a colon in a file's name, perhaps */
	if (!parse_size(colon + 1, &o->swap_bytes))
		return false;
	*colon = 0;
	return *arg && o->swap_bytes >= SWAP_MIN && o->swap_bytes <= SWAP_MAX;
}

static void parse_limit(struct argp_state *state, const char *option, const char *arg,
			uint64_t *out_bytes)
{
	if (!parse_size(arg, out_bytes) || *out_bytes < LIMIT_MIN || *out_bytes > MEM_MAX)
		bad(state, option, arg,
		    "want a size of 256K or more, 16T at most, such as 64M or 2G");
}

/* The options that make the machine. */
static error_t parse_machine(int key, char *arg, struct argp_state *state)
{
	struct run_input *input = state->input;
	struct ondol_linux_options *o = &input->options;

	switch (key) {
	case OPT_MEM:
		if (!parse_mem(arg, o))
			return bad(state, "mem", arg,
				   "want a size of 4M or more, 16T at most, such as 64M or 2G, or "
				   "one of 4M or more for each of up to 8 nodes, such as 1G,512M");
		break;
	case OPT_SWAP:
		if (!parse_swap(arg, o))
			return bad(state, "swap", arg,
				   "want FILE or FILE:SIZE, such as swap.img:1G");
		break;
	case OPT_ZRAM:
		if (!parse_size(arg, &o->zram_bytes) || o->zram_bytes < SWAP_MIN ||
		    o->zram_bytes > SWAP_MAX)
			return bad(state, "zram", arg,
				   "want a size of 64K or more, 1T at most, such as 64M or 2G");
		break;
	case OPT_MEM_MAX:
		parse_limit(state, "mem-max", arg, &o->mem_max_bytes);
		break;
	case OPT_MEM_HIGH:
		parse_limit(state, "mem-high", arg, &o->mem_high_bytes);
		break;
	case OPT_THP:
		if (!parse_thp(arg, &o->thp))
			return bad(state, "thp", arg, "want never, madvise or always");
		break;
	case OPT_COMPACT:
		o->compact = true;
		break;
	case OPT_KSM:
		o->ksm_pages = arg ? (uint32_t)number(state, "ksm", arg, 1, 100000000) : KSM_PAGES;
		break;
	case OPT_NODES:
		o->nr_nodes = (uint32_t)number(state, "nodes", arg, 1, ONDOL_LINUX_NODES_MAX);
		break;
	case OPT_CPUS:
		o->nr_cpus = (uint32_t)number(state, "cpus", arg, 1, 256);
		break;
	case OPT_AROUND:
		o->fault_around = (uint32_t)number(state, "fault-around", arg, 1, 512);
		if (o->fault_around & (o->fault_around - 1))
			return bad(state, "fault-around", arg, "want a power of two");
		break;
	case OPT_LAZY:
		if (!parse_lazy(arg, &o->lazy))
			return bad(state, "lazy", arg, "want eager, delay2 or pcp");
		break;
	case OPT_SLAB_DEBUG:
		if (!slab_letters_known(arg))
			return bad(state, "slab-debug", arg,
				   "want letters of FZPUQW, then cache names, as FZ,kmalloc-*");
		o->slab_debug = arg;
		break;
	case OPT_PIN:
		if (!strcmp(arg, "auto"))
			o->pin_cpu = ONDOL_PIN_AUTO;
		else if (!strcmp(arg, "free"))
			o->pin_cpu = ONDOL_PIN_FREE;
		else
			o->pin_cpu = (int)number(state, "pin", arg, 0, CPU_SETSIZE - 1);
		break;
	default:
		return parse_space(key, arg, state);
	}
	return 0;
}

static error_t parse_run(int key, char *arg, struct argp_state *state)
{
	struct run_input *input = state->input;
	struct ondol_linux_options *o = &input->options;

	switch (key) {
	case OPT_STATS:
		o->stats = true;
		break;
	case OPT_STATS_FILE:
		o->stats = true;
		o->stats_file = arg;
		break;
	case OPT_JSON:
		o->stats = o->json = true;
		break;
	case OPT_PROC:
		o->proc_dir = arg;
		break;
	case OPT_VALIDATE:
		o->validate = true;
		break;
	case OPT_TRACE:
		o->trace = true;
		break;
	case ARGP_KEY_NO_ARGS:
		fprintf(stderr, "%s: which program? Try: ondol run -- ls -l\n", state->name);
		exit(ONDOL_EXIT_CANNOT);
	case ARGP_KEY_ARG: /* the program: everything after it is its own */
		input->first = state->next - 1;
		state->next = state->argc;
		break;
	default:
		return parse_machine(key, arg, state);
	}
	return 0;
}

static const struct argp run_argp = { run_options, parse_run, "[--] PROGRAM [ARGUMENT...]",
				      run_doc, NULL, NULL, NULL };

/* A program meets the rule that it would meet on this computer, with the machine's RAM in it. */
static enum ondol_overcommit overcommit_here(void)
{
	return number_in("/proc/sys/vm/overcommit_memory", 10, 0) == 1 ? ONDOL_OVERCOMMIT_ALWAYS :
									 ONDOL_OVERCOMMIT_GUESS;
}

static void defaults(struct ondol_linux_options *o)
{
	uint64_t installed = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	FILE *probe = NULL;
	struct stat st;
	uint32_t nr_sizes = 0;
	cpu_set_t cpus;

	while (nr_sizes < ONDOL_LINUX_NODES_MAX && o->node_bytes[nr_sizes])
		nr_sizes++;
	if (!o->mem_bytes)
		o->mem_bytes = installed / 2 < MEM_DEFAULT_MAX ? installed / 2 : MEM_DEFAULT_MAX;
	if (o->mem_bytes > MEM_I386_MAX && o->profile != &ondol_profile_x86_64) {
		fprintf(stderr, "ondol run: --profile %s: want --mem of 4G at most\n",
			o->profile->name);
		exit(ONDOL_EXIT_CANNOT);
	}
	if (!o->nr_nodes)
		o->nr_nodes = nr_sizes > 1 ? nr_sizes : 1;
	if (nr_sizes > 1 && nr_sizes != o->nr_nodes) {
		fprintf(stderr, "ondol run: --mem has %u sizes, but --nodes says %u: want one "
				"size, or one for each node\n", nr_sizes, o->nr_nodes);
		exit(ONDOL_EXIT_CANNOT);
	}
	if (nr_sizes < 2)
		o->node_bytes[0] = 0; /* in equal shares */
	if (o->pin_cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET(o->pin_cpu, &cpus);
		if (sched_setaffinity(0, sizeof cpus, &cpus)) {
			fprintf(stderr, "ondol run: --pin %d: %s\n", o->pin_cpu, strerror(errno));
			exit(ONDOL_EXIT_CANNOT);
		}
	}
	if (!o->nr_cpus) {
		CPU_ZERO(&cpus);
		sched_getaffinity(0, sizeof cpus, &cpus);
		o->nr_cpus = CPU_COUNT(&cpus) > 256 ? 256 : (uint32_t)CPU_COUNT(&cpus);
	}
	/* Better now than after a long run. */
	if (o->stats_file && access(o->stats_file, W_OK) &&
	    (errno != ENOENT || !(probe = fopen(o->stats_file, "ae")))) {
		fprintf(stderr, "ondol run: --stats-file %s: %s\n", o->stats_file, strerror(errno));
		exit(ONDOL_EXIT_CANNOT);
	}
	if (probe)
		fclose(probe);
	if (o->proc_dir && mkdir(o->proc_dir, 0777) &&
	    (errno != EEXIST || stat(o->proc_dir, &st) ||
	     (!S_ISDIR(st.st_mode) && (errno = ENOTDIR)) || access(o->proc_dir, W_OK))) {
		fprintf(stderr, "ondol run: --proc %s: %s\n", o->proc_dir, strerror(errno));
		exit(ONDOL_EXIT_CANNOT);
	}
}

int command_run(int argc, char **argv)
{
	struct run_input input = { .options = { .profile = &ondol_profile_x86_64,
						.pin_cpu = ONDOL_PIN_AUTO,
						.lazy = ONDOL_LAZY_PCP,
						.thp = ONDOL_THP_MADVISE,
						.overcommit = overcommit_here() } };
	int sig;

	argp_err_exit_status = ONDOL_EXIT_CANNOT;
	if (argp_parse(&run_argp, argc, argv, ARGP_IN_ORDER, NULL, &input) || !input.first)
		return ONDOL_EXIT_CANNOT;
	defaults(&input.options);
	int status = ondol_linux_run(&input.options, argv + input.first, &sig);

	if (sig) { /* die as the program did, without a core of our own */
		struct rlimit none = { 0, 0 };
		sigset_t set;

		setrlimit(RLIMIT_CORE, &none);
		sigemptyset(&set);
		sigaddset(&set, sig);
		signal(sig, SIG_DFL);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		raise(sig);
	}
	return status;
}

/* ------------------------------------------------------------------ doctor */

static const struct argp_option doctor_options[] = {
	{ "json", OPT_JSON, 0, 0, "As one line of JSON", 0 },
	{ 0 },
};

static error_t parse_doctor(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key == OPT_JSON)
		*(bool *)state->input = true;
	else if (key == ARGP_KEY_ARG)
		argp_error(state, "too many arguments");
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

int command_doctor(int argc, char **argv)
{
	static const struct argp argp = { doctor_options, parse_doctor, NULL,
		"Say what this machine allows `ondol run`, and the one command that mends what it "
		"does not.  Exit status 0: programs can be run.", NULL, NULL, NULL };
	bool json = false;

	argp_err_exit_status = ONDOL_EXIT_CANNOT;
	argp_parse(&argp, argc, argv, 0, NULL, &json);
	return ondol_linux_doctor(stdout, json);
}

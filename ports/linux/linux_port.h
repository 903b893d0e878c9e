/* SPDX-License-Identifier: MIT */
/*
 * The hosted port: run an unmodified Linux program with all of its memory from an Ondol
 * machine.  This header is what tools see of it.
 */
#ifndef ONDOL_LINUX_PORT_H
#define ONDOL_LINUX_PORT_H

#include <ondol/ondol.h>
#include <stdio.h>

#define ONDOL_LINUX_NODES_MAX 8
#define ONDOL_PIN_AUTO (-1) /* on one, while they do not need more: place.c */
#define ONDOL_PIN_FREE (-2) /* where the host puts them */

struct ondol_linux_options {
	/* x86_64, or i386_2_4 or i386_2_6: then every program is a 32-bit one, 3 GiB for each */
	const struct ondol_profile *profile;
	uint64_t mem_bytes;     /* the machine's RAM; 0: a default from the host's */
	uint64_t node_bytes[ONDOL_LINUX_NODES_MAX]; /* of each node; first 0: equal shares */
	uint64_t mem_max_bytes; /* memory.max of the run; 0: none */
	uint64_t mem_high_bytes; /* memory.high; 0: none */
	uint32_t nr_nodes;      /* 1 .. ONDOL_LINUX_NODES_MAX */
	uint32_t nr_cpus;       /* the machine's CPUs; 0: those this process may use */
	uint32_t fault_around;  /* pages, a power of two, 1 .. 512; 0: 16, and up to 64 in order */
	enum ondol_lazy_policy lazy; /* when freed frames merge */
	const char *slab_debug; /* checks of the machine's caches, as desc.debug; NULL: none */
	enum ondol_overcommit overcommit; /* what may be promised */
	uint32_t overcommit_ratio;        /* percent; 0: 50 */
	bool no_aslr;           /* addresses as chance would not have them: layout.c */
	bool seeded;            /* ... as they follow from `seed` */
	uint64_t seed;
	int pin_cpu;            /* keep monitor and guests on this host CPU, or ONDOL_PIN_* */
	bool stats;             /* a summary on stderr, or in stats_file */
	bool json;              /* the summary as JSON */
	const char *stats_file; /* NULL: stderr */
	const char *proc_dir;   /* write /proc-like files here at exit; NULL: do not */
	bool validate;          /* check every invariant when an mm ends, and at the end */
	const char *swap_file;  /* pages that do not fit go there; NULL: nowhere */
	uint64_t swap_bytes;    /* make it this long; 0: as it is */
	uint64_t zram_bytes;    /* pages compressed in the machine's memory, this much of them; 0 */
	const char *trap;       /* how faults are told: trap.h; NULL or "auto": as best can be */
	enum ondol_thp thp;     /* memory in blocks of 2 MiB */
	bool compact;           /* pages move so that blocks can be had */
	uint32_t ksm_pages;     /* looked at for equal ones, a second; 0: none */
	bool trace;             /* every event on stderr */
};

/* Exit statuses of `ondol run` itself, as env(1) and timeout(1) have them. */
enum {
	ONDOL_EXIT_CANNOT = 125,     /* Ondol itself failed; the program was not run */
	ONDOL_EXIT_NOT_EXEC = 126,   /* the program was found but could not be run */
	ONDOL_EXIT_NOT_FOUND = 127,
};

/*
 * Run argv[0] (looked up in PATH) and wait for it.  Returns the exit status that this
 * process should have, or 128 + n after having put `n` into *out_signal when the program
 * was killed by signal n.
 */
int ondol_linux_run(const struct ondol_linux_options *options, char *const argv[],
		    int *out_signal);

/* The number in a file of /proc, in a base as of strtol; `otherwise` if it has none. */
long number_in(const char *path, int base, long otherwise);

/* What this machine allows.  0: everything `run` needs; 1: something is missing. */
int ondol_linux_doctor(FILE *out, bool json);

/*
 * One sentence that says why programs cannot be run here, with the command that mends it;
 * NULL: they can.
 */
const char *ondol_linux_obstacle(void);

#endif /* ONDOL_LINUX_PORT_H */

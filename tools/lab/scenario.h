/* SPDX-License-Identifier: MIT */
/*
 * A scenario: machines, and steps of operations and expectations.  docs/lab.md is the language
 * as its writers see it; this is what the parser makes of it.
 */
#ifndef LAB_SCENARIO_H
#define LAB_SCENARIO_H

#include "lab/machine.h"

#define LAB_MACHINES_MAX 8
#define LAB_STEPS_MAX 256
#define LAB_OPS_MAX 4096
#define LAB_VIEW_MAX 1024 /* frames drawn at most */

enum lab_op_kind {
	LAB_ALLOC, LAB_FREE, LAB_FRAMES, LAB_DRAIN, LAB_CPU, LAB_FILL,
	LAB_RANGE, LAB_OFFLINE, LAB_ONLINE, LAB_BALLOON,
	LAB_CACHE, LAB_OBJECT, LAB_RELEASE, LAB_SHRINK, LAB_DESTROY,
	LAB_EXPECT_FRAMES, LAB_EXPECT_ORDER, LAB_EXPECT_MAP, LAB_EXPECT_AT, LAB_EXPECT_ZONE,
	LAB_EXPECT_FREE, LAB_EXPECT_PER_CPU, LAB_EXPECT_MERGES, LAB_EXPECT_SPLITS,
	LAB_EXPECT_MANAGED, LAB_EXPECT_CACHES, LAB_EXPECT_CACHE, LAB_EXPECT_SLABS,
};

struct lab_op {
	enum lab_op_kind kind;
	struct lab_place place;  /* of the operation's word */
	struct lab_place detail; /* of what is expected, or of the name */
	uint32_t machines;       /* a bit a machine that it is for */
	unsigned order;
	uint64_t number;         /* times, PFN, CPU, frames */
	int node;                /* ONDOL_NODE_ANY */
	ondol_gfp_t gfp; /* if has_gfp */
	uint64_t last;           /* of frames [number, last]: a range, a bank */
	bool refused;            /* alloc ... refused */
	bool has_pfn, has_gfp, has_order; /* free PFN order N; frames ... at PFN */
	unsigned zone;
	char name[LAB_NAME_MAX];
	char invariant[LAB_NAME_MAX]; /* free ... caught BUDDY-6 */
	char *text;              /* of frames, map and caches */
	char cache[LAB_NAME_MAX];
	uint64_t counts[3];      /* expect cache: full, partial, free */
	uint64_t *pfns;          /* of order and per-cpu; sorted */
	uint32_t nr_pfns;
};

struct lab_step {
	char id[LAB_NAME_MAX];
	char *title[LAB_LANGS], *say[LAB_LANGS];
	struct lab_place place;
	uint32_t machines;
	uint32_t first_op, nr_ops;
};

struct lab_scenario {
	char *title[LAB_LANGS];
	struct lab_machine machines[LAB_MACHINES_MAX];
	uint32_t nr_machines;
	struct lab_step *steps;
	uint32_t nr_steps;
	struct lab_op *ops;
	uint32_t nr_ops;
	bool show_zones;
	char *show_caches; /* names, a space between, or NULL */
	uint64_t view_start, view_end; /* frames [start, end) to draw; equal: none */
};

/* False after one complaint.  Release it in either case. */
bool scenario_parse(struct lab_scenario *scenario, struct lab_source *src);
void scenario_release(struct lab_scenario *scenario);

#endif /* LAB_SCENARIO_H */

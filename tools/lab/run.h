/* SPDX-License-Identifier: MIT */
/* A scenario run by the real core on one of its machines: what the machine was after each step. */
#ifndef LAB_RUN_H
#define LAB_RUN_H

#include "lab/scenario.h"

struct lab_cell { /* one frame of the view */
	uint8_t state; /* enum ondol_frame_state */
	uint8_t order;
	bool is_head, changed; /* against the step before */
	const char *owner;     /* the block's name; "": taken, nameless; NULL: not ours */
	uint8_t zone;
	uint16_t node;
};

struct lab_area { /* of one order, within the view */
	uint64_t *pfns;
	uint32_t nr;
	char *map; /* '0', '1', '-' where no pair is; NULL: no map */
};

struct lab_event {
	const struct lab_op *op;
	uint64_t pfn;     /* of the first block */
	uint64_t nr;      /* blocks */
	unsigned order;
	char detail[120]; /* of a refusal: why; of what was caught: its label */
};

struct lab_state {
	const struct lab_step *step;
	struct lab_cell *cells;
	uint32_t nr_cells;
	struct lab_area areas[ONDOL_MAX_ORDERS];
	uint32_t nr_orders;
	struct ondol_zone_stats *zones;
	uint32_t nr_zones;
	struct lab_event *events;
	uint32_t nr_events;
	uint64_t merges, splits; /* in this step */
	struct lab_cache_view *caches; /* slabs.h */
	uint32_t nr_caches;
};

struct lab_run {
	const struct lab_scenario *scenario;
	const struct lab_machine *machine;
	struct lab_state *states;
	uint32_t nr_states;
	uint32_t nr_expectations, nr_failed;
	bool unsupported; /* the core has no such policy: nothing was run or said */
};

/*
 * False: an operation could not be done, or an expectation failed; complaints went where the
 * source's go.  The states up to there are kept.
 */
bool run_scenario(struct lab_run *run, const struct lab_scenario *scenario, uint32_t machine,
		  struct lab_source *src);
void run_release(struct lab_run *run);

#endif /* LAB_RUN_H */

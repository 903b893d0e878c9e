/* SPDX-License-Identifier: MIT */
/* A machine looked at: the part of lab_state that does not depend on the operations. */
#ifndef LAB_STATE_H
#define LAB_STATE_H

#include "lab/run.h"
#include "lab/world.h"

struct lab_block { /* what a scenario has from the machine, or had */
	const char *name;
	struct ondol_page *page;
	uint64_t pfn;
	unsigned order;
	bool live;
};

/* `before` NULL: the first step.  False: out of memory. */
bool state_look(struct lab_state *state, struct lab_world *world,
		const struct lab_scenario *scenario, const struct lab_block *blocks,
		size_t nr_blocks, const struct lab_state *before);
void state_release(struct lab_state *state);

#endif /* LAB_STATE_H */

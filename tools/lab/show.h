/* SPDX-License-Identifier: MIT */
/* What the picture of a machine is drawn from: its parts as the core tells them. */
#ifndef LAB_SHOW_H
#define LAB_SHOW_H

#include "lab/machine.h"
#include "lab/world.h"

struct lab_piece { /* of the line of addresses, which pieces cover without a gap */
	uint64_t start, end; /* frames */
	uint16_t node;
	uint8_t zone;
	bool hole, reserved, offline;
};

struct lab_show {
	const struct lab_machine *machine;
	struct lab_piece *pieces;
	uint32_t nr_pieces;
	struct ondol_zone_stats *zones;
	uint32_t nr_zones;
	struct ondol_node_stats *nodes; /* those with memory, by pgdat_list (B4) */
	uint32_t nr_nodes;
	struct ondol_machine_stats stats;
};

/* 0, a negated ONDOL_E*; on failure nothing needs releasing. */
int show_look(struct lab_show *show, const struct lab_machine *machine);
void show_release(struct lab_show *show);

/*
 * Widths for pieces [first, return): as many as `room` holds, each at least least(piece).
 * They share what is left, larger ones getting more, but not in proportion: a DMA zone of 16M
 * beside 16G must be seen.
 */
uint32_t show_fit(const struct lab_show *show, uint32_t first, unsigned room,
		  unsigned (*least)(const struct lab_piece *piece), unsigned *out_widths);

#endif /* LAB_SHOW_H */

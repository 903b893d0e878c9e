/* SPDX-License-Identifier: MIT */
/* What the texts need of the virtual layer. */
#ifndef ONDOL_INSPECT_INSPECT_H
#define ONDOL_INSPECT_INSPECT_H

#include <ondol/inspect.h>

struct inspect_virt_counts { /* pages, but huge: large leaves */
	uint64_t mapped_file, shmem, committed, huge;
};
void inspect_virt_counts(struct ondol_machine *m, struct inspect_virt_counts *out_counts);

struct ondol_node;
struct ondol_zone;
/* The zone's share of its node's numa counters (numa_interleave is the node's alone): added. */
void inspect_add_numa(const struct ondol_zone *zone, struct ondol_node_stats *stats);
void inspect_node(struct ondol_machine *m, const struct ondol_node *node,
		  struct ondol_node_stats *out_stats);

#endif /* ONDOL_INSPECT_INSPECT_H */

/* SPDX-License-Identifier: MIT */
/*
 * Machines described by data.  One statement a line; everything but memory may be left out:
 *
 *	profile x86_64              toy16, i386-2.4, i386-2.6 or x86_64: what follows changes it
 *	memory 0-640K               as firmware gives it: any order, overlaps and holes allowed
 *	memory 4G-8G node 1
 *	memory 512M                 behind the highest so far
 *	reserved 0x9f000-1M
 *	cpus 4                      shared out over the nodes in turn
 *	cpu 0-1 node 0              or told one by one
 *	distance 10 20, 20 10       a row a node
 *	zone DMA 16M                the first address beyond it; `none`: no such zone
 *	scale 1/128                 all zone limits
 *	orders 10                   map on, pcp off, migrate off, split upper, lazy eager
 */
#ifndef LAB_MACHINE_H
#define LAB_MACHINE_H

#include <ondol/ondol.h>

#include "lab/source.h"
#include "lab/text.h"

#define LAB_NODES_MAX 64
#define LAB_CPUS_MAX 256
#define LAB_REGIONS_MAX 4096
#define LAB_NAME_MAX 40

struct lab_machine {
	char name[LAB_NAME_MAX];
	struct lab_place place; /* of its heading in a scenario */
	char *title[LAB_LANGS];
	char *profile_text; /* "i386-2.6, 10 orders": made when the description is complete */
	struct ondol_profile profile;
	struct ondol_mem_region *regions;
	struct lab_place *places; /* of each region, in the text it came from */
	uint32_t nr_regions;
	uint32_t nr_nodes, nr_cpus;
	uint16_t cpu_to_node[LAB_CPUS_MAX];
	uint64_t cpu_told[LAB_CPUS_MAX / 64]; /* bit: a `cpu` statement named it */
	uint64_t movable[LAB_NODES_MAX]; /* where a node's Movable zone begins; 0: not told */
	uint8_t distance[LAB_NODES_MAX * LAB_NODES_MAX]; /* nr_nodes a row once complete */
	uint32_t distance_rows, distance_columns;        /* as told; 0: not */
	struct lab_place distance_place;
	bool cpus_told;
	uint32_t scale_from, scale_to; /* scale 1/128: 1 and 128 */
};

void machine_init(struct lab_machine *machine);
void machine_release(struct lab_machine *machine);
/*
 * Does the next word begin a statement of the machine language?  machine_statement reads one,
 * its end of line included.
 */
bool machine_is_statement(const struct lab_source *src);
bool machine_statement(struct lab_machine *machine, struct lab_source *src);
/* Checks what single statements cannot, and fills in what was left out. */
bool machine_complete(struct lab_machine *machine, struct lab_source *src,
		      struct lab_place where);
/* A whole text of statements, with `machine NAME "title" ko "title"` at its head or not. */
bool machine_parse(struct lab_machine *machine, struct lab_source *src);
/* `machine NAME [from PRESET] ["title"] [ko "title"]`; the word machine is taken already. */
bool machine_heading(struct lab_machine *machine, struct lab_source *src);
void machine_copy(struct lab_machine *to, const struct lab_machine *from);
void machine_add_region(struct lab_machine *machine, uint64_t start, uint64_t end,
			enum ondol_mem_type type, uint16_t node, struct lab_place place);
/* Whether some node has, or may have, a zone of the type. */
bool machine_has_zone(const struct lab_machine *machine, unsigned type);
unsigned machine_distance(const struct lab_machine *machine, uint32_t from, uint32_t to);

/*
 * hwloc: a synthetic string ("numa:2(memory=1GiB) core:2 pu:2") or the XML that lstopo writes.
 * Nodes, their memory, CPUs and distances; hwloc knows no addresses, so memory begins at 0 and
 * has x86's hole below 4 GiB.
 */
bool hwloc_parse(struct lab_machine *machine, struct lab_source *src);
bool hwloc_is_xml(const char *text, size_t size);

/* What is shipped, in the program itself: "machines/toy16.machine", "figures.lab", ... */
struct lab_file {
	const char *name, *text;
	size_t size;
};
extern const struct lab_file lab_files[]; /* ends with a name of NULL */
/* By name without its folder and ending; NULL: there is none. */
const struct lab_file *lab_find(const char *folder, const char *name, const char *ending);
/* "Names: a, b, c": what lab_find could have found. */
void lab_names(FILE *out, const char *folder, const char *ending);

#endif /* LAB_MACHINE_H */

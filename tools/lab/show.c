/* SPDX-License-Identifier: MIT */
#include "lab/show.h"

#include <stdlib.h>
#include <string.h>

static void *grown(void *array, uint32_t nr, size_t size)
{
	void *more = realloc(array, (nr + 1) * size);

	if (!more) {
		fputs("ondol: out of memory\n", stderr);
		exit(125);
	}
	return more;
}

static void add_piece(struct lab_show *show, struct lab_piece piece)
{
	struct lab_piece *last = show->nr_pieces ? &show->pieces[show->nr_pieces - 1] : NULL;

	if (last && last->hole == piece.hole && last->reserved == piece.reserved &&
	    last->offline == piece.offline &&
	    last->node == piece.node && last->zone == piece.zone) {
		last->end = piece.end;
		return;
	}
	show->pieces = grown(show->pieces, show->nr_pieces, sizeof piece);
	show->pieces[show->nr_pieces++] = piece;
}

/* The zone of a frame, and the first frame beyond the zone. */
static unsigned zone_at(const struct lab_machine *machine, unsigned node, uint64_t pfn,
			uint64_t *out_end)
{
	const uint64_t *zone_end = machine->profile.zone_end;
	uint64_t movable = machine->movable[node] >> ONDOL_PAGE_SHIFT;
	unsigned type = 0;

	*out_end = UINT64_MAX;
	if (movable && pfn >= movable)
		return ONDOL_ZONE_MOVABLE;
	while (!zone_end[type] || pfn >= zone_end[type] >> ONDOL_PAGE_SHIFT)
		type++;
	*out_end = zone_end[type] >> ONDOL_PAGE_SHIFT;
	if (movable && movable < *out_end)
		*out_end = movable;
	return type;
}

/* A range of memory, cut at the zones' limits, behind the hole before it. */
static int add_range(void *ctx, const struct ondol_memory_range *range)
{
	struct lab_show *show = ctx;
	uint64_t at = range->start.value;
	uint64_t end = show->nr_pieces ? show->pieces[show->nr_pieces - 1].end : 0;

	if (at > end)
		add_piece(show, (struct lab_piece){ .start = end, .end = at, .hole = true });
	while (at < range->end.value) {
		uint64_t stop;
		unsigned type = zone_at(show->machine, range->node, at, &stop);

		if (range->type == ONDOL_MEM_DEVICE) {
			type = ONDOL_ZONE_DEVICE;
			stop = range->end.value;
		}
		stop = stop < range->end.value ? stop : range->end.value;
		add_piece(show, (struct lab_piece){ .start = at, .end = stop, .node = range->node,
						    .zone = (uint8_t)type,
						    .reserved = range->reserved,
						    .offline = range->type ==
							       ONDOL_MEM_OFFLINE });
		at = stop;
	}
	return 0;
}

static int add_zone(void *ctx, const struct ondol_zone_stats *stats)
{
	struct lab_show *show = ctx;

	show->zones = grown(show->zones, show->nr_zones, sizeof *stats);
	show->zones[show->nr_zones++] = *stats;
	return 0;
}

static int add_node(void *ctx, const struct ondol_node_stats *stats)
{
	struct lab_show *show = ctx;

	show->nodes = grown(show->nodes, show->nr_nodes, sizeof *stats);
	show->nodes[show->nr_nodes++] = *stats;
	return 0;
}

int show_look(struct lab_show *show, const struct lab_machine *machine)
{
	struct lab_world world;
	int r = world_begin(&world, machine);

	*show = (struct lab_show){ .machine = machine };
	if (r)
		return r;
	(void)ondol_for_each_memory_range(world.m, add_range, show);
	(void)ondol_for_each_zone(world.m, add_zone, show);
	(void)ondol_for_each_node(world.m, add_node, show);
	ondol_machine_stats(world.m, &show->stats);
	world_end(&world);
	return 0;
}

void show_release(struct lab_show *show)
{
	free(show->pieces);
	free(show->zones);
	free(show->nodes);
	memset(show, 0, sizeof *show);
}

static unsigned weight_of(const struct lab_piece *piece)
{
	unsigned weight = 1;

	for (uint64_t size = piece->end - piece->start; size > 1; size >>= 1)
		weight++;
	return piece->hole ? (weight + 1) / 2 : weight;
}

uint32_t show_fit(const struct lab_show *show, uint32_t first, unsigned room,
		  unsigned (*least)(const struct lab_piece *piece), unsigned *out_widths)
{
	unsigned used = 0, weights = 0, given = 0, spare;
	uint32_t end = first;

	while (end < show->nr_pieces) {
		unsigned width = least(&show->pieces[end]);

		if (used + width > room && end > first)
			break;
		out_widths[end - first] = width;
		used += width;
		weights += weight_of(&show->pieces[end]);
		end++;
	}
	spare = room > used ? room - used : 0;
	for (uint32_t i = first; i < end && spare; i++) {
		unsigned more = spare * weight_of(&show->pieces[i]) / weights;

		out_widths[i - first] += more;
		given += more;
	}
	if (end > first)
		out_widths[end - 1 - first] += spare - given;
	return end;
}

/* SPDX-License-Identifier: MIT */
#include "lab/state.h"

#include <stdlib.h>
#include <string.h>

struct zone_list {
	struct ondol_zone_stats *at;
	uint32_t nr;
};

static int add_zone(void *ctx, const struct ondol_zone_stats *stats)
{
	struct zone_list *list = ctx;
	struct ondol_zone_stats *more = realloc(list->at, (list->nr + 1) * sizeof *more);

	if (!more)
		return -1;
	list->at = more;
	list->at[list->nr++] = *stats;
	return 0;
}

static void look_at_cells(struct lab_state *state, struct ondol_machine *m, uint64_t start,
			  const struct lab_block *blocks, size_t nr_blocks)
{
	for (uint32_t i = 0; i < state->nr_cells; i++) {
		struct ondol_frame_info info;

		ondol_frame_info(m, ondol_pfn(start + i), &info);
		state->cells[i] = (struct lab_cell){ .state = (uint8_t)info.state,
						     .order = info.order,
						     .is_head = info.is_head,
						     .zone = (uint8_t)info.zone,
						     .node = info.node };
	}
	for (size_t b = 0; b < nr_blocks; b++) {
		uint64_t end = blocks[b].pfn + (UINT64_C(1) << blocks[b].order);

		for (uint64_t pfn = blocks[b].pfn; blocks[b].live && pfn < end; pfn++)
			if (pfn >= start && pfn - start < state->nr_cells)
				state->cells[pfn - start].owner = blocks[b].name;
	}
}

static bool same_owner(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static void mark_changes(struct lab_state *state, const struct lab_state *before)
{
	for (uint32_t i = 0; i < state->nr_cells; i++) {
		struct lab_cell *now = &state->cells[i];
		const struct lab_cell *then = &before->cells[i];

		now->changed = now->state != then->state || now->order != then->order ||
			       now->is_head != then->is_head ||
			       !same_owner(now->owner, then->owner);
	}
}

/* The bit of the pair at `at`, of which part may not exist or not be in the view. */
static int pair_bit(struct ondol_machine *m, uint64_t at, uint64_t size, unsigned order)
{
	int bit = -1;

	for (uint64_t pfn = at; bit < 0 && pfn < at + size; pfn++)
		bit = ondol_map_bit(m, ondol_pfn(pfn), order);
	return bit;
}

/* One order's free blocks and map bits within the view. */
static bool look_at_area(struct lab_area *area, const struct lab_state *state,
			 struct ondol_machine *m, uint64_t start, unsigned order)
{
	uint64_t pair = UINT64_C(2) << order, end = start + state->nr_cells;
	uint32_t nr = 0;
	bool any = false;

	area->pfns = calloc(state->nr_cells, sizeof *area->pfns);
	area->map = calloc(state->nr_cells + 1, 1);
	if (!area->pfns || !area->map)
		return false;
	for (uint32_t i = 0; i < state->nr_cells; i++) {
		const struct lab_cell *cell = &state->cells[i];

		if (cell->is_head && cell->state == ONDOL_FRAME_FREE && cell->order == order)
			area->pfns[area->nr++] = start + i;
	}
	for (uint64_t at = start & ~(pair - 1); at < end && pair <= state->nr_cells; at += pair) {
		int bit = pair_bit(m, at, pair, order);

		area->map[nr++] = bit < 0 ? '-' : (char)('0' + bit);
		any |= bit >= 0;
	}
	if (!any) {
		free(area->map);
		area->map = NULL;
	}
	return true;
}

bool state_look(struct lab_state *state, struct lab_world *world,
		const struct lab_scenario *scenario, const struct lab_block *blocks,
		size_t nr_blocks, const struct lab_state *before)
{
	struct zone_list zones = { NULL, 0 };
	int r = ondol_for_each_zone(world->m, add_zone, &zones);

	state->zones = zones.at;
	state->nr_zones = zones.nr;
	if (r || !zones.nr)
		return false;
	state->nr_orders = state->zones[0].nr_orders;
	state->nr_cells = (uint32_t)(scenario->view_end - scenario->view_start);
	if (!state->nr_cells)
		return true;
	state->cells = calloc(state->nr_cells, sizeof *state->cells);
	if (!state->cells)
		return false;
	look_at_cells(state, world->m, scenario->view_start, blocks, nr_blocks);
	if (before)
		mark_changes(state, before);
	for (unsigned order = 0; order < state->nr_orders; order++)
		if (!look_at_area(&state->areas[order], state, world->m, scenario->view_start,
				  order))
			return false;
	return true;
}

void state_release(struct lab_state *state)
{
	for (unsigned order = 0; order < ONDOL_MAX_ORDERS; order++) {
		free(state->areas[order].pfns);
		free(state->areas[order].map);
	}
	free(state->cells);
	free(state->zones);
	free(state->events);
	free(state->caches);
	memset(state, 0, sizeof *state);
}

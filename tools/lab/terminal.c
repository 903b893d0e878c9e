/* SPDX-License-Identifier: MIT */
/*
 * A step in a terminal:
 *
 *	            0   1   2   3   4   5
 *	          ┌───┬───┬───┬───┬───────┐    one box a block; ▒ used, blank free, · per-CPU
 *	          │▒▒▒│▒▒▒│▒▒▒│   │▒▒ A ▒▒│
 *	          └───┴───┴───┴───┴───────┘
 *	                        ▲              changed
 *	 order 0  3                   0 1      free_list, map
 */
#include "lab/slabs.h"

#include <string.h>

#define LABEL 12
#define BOLD "1"
#define DIM "2"
#define GREEN "32"
#define YELLOW "33"
#define CYAN "36"

void paint(const struct lab_draw *draw, const char *code)
{
	if (draw->colour)
		fprintf(draw->out, "\033[%sm", code);
}

static void repeat(FILE *out, const char *text, unsigned times)
{
	while (times--)
		fputs(text, out);
}

struct strip { /* the cells of one line of boxes */
	const struct lab_cell *cells;
	uint32_t nr;
	uint64_t first;
	unsigned inner; /* columns of one cell without its border */
};

/* A border before cell i: a block begins there, or its part on this line does. */
static bool begins(const struct strip *strip, uint32_t i)
{
	return !i || i == strip->nr || strip->cells[i].is_head ||
	       strip->cells[i].state != strip->cells[i - 1].state;
}

static void draw_border(const struct lab_draw *draw, const struct strip *strip, bool top)
{
	fprintf(draw->out, "%*s", LABEL - 1, "");
	for (uint32_t i = 0; i <= strip->nr; i++) {
		if (!i)
			fputs(top ? "┌" : "└", draw->out);
		else if (i == strip->nr)
			fputs(top ? "┐" : "┘", draw->out);
		else
			fputs(!begins(strip, i) ? "─" : top ? "┬" : "┴", draw->out);
		repeat(draw->out, "─", i < strip->nr ? strip->inner : 0);
	}
	fputc('\n', draw->out);
}

static const char *fill_of(const struct lab_cell *cell, const char **out_colour)
{
	switch (cell->state) {
	case ONDOL_FRAME_HOLE:
		*out_colour = DIM;
		return "╱";
	case ONDOL_FRAME_RESERVED:
		*out_colour = DIM;
		return "█";
	case ONDOL_FRAME_USED:
		*out_colour = YELLOW;
		return "▒";
	case ONDOL_FRAME_PER_CPU:
		*out_colour = CYAN;
		return "·";
	default:
		*out_colour = GREEN;
		return " ";
	}
}

static void draw_cells(const struct lab_draw *draw, const struct strip *strip)
{
	text_pad(draw->out, "", LABEL - 1);
	for (uint32_t i = 0; i < strip->nr;) {
		const struct lab_cell *cell = &strip->cells[i];
		const char *name = cell->owner ? cell->owner : "", *colour;
		const char *fill = fill_of(cell, &colour);
		uint32_t end = i + 1;
		unsigned room, width = text_width(name, strlen(name)), left;
		const char *space;

		while (end < strip->nr && !begins(strip, end))
			end++;
		room = (end - i) * (strip->inner + 1) - 1;
		if (width > room) {
			width = 0;
			name = "";
		}
		space = width && width + 2 <= room ? " " : "";
		width += *space ? 2 : 0;
		left = (room - width) / 2;
		fputs("│", draw->out);
		paint(draw, colour);
		repeat(draw->out, fill, left);
		fprintf(draw->out, "%s%s%s", space, name, space);
		repeat(draw->out, fill, room - width - left);
		paint(draw, "0");
		i = end;
	}
	fputs("│\n", draw->out);
}

/* Frame numbers above, marks of what changed below. */
static void draw_numbers(const struct lab_draw *draw, const struct strip *strip)
{
	char number[24];

	text_pad(draw->out, " ", 1);
	text_pad(draw->out, word_in(WORD_FRAMES, draw->lang), LABEL - 1);
	for (uint32_t i = 0; i < strip->nr; i++) {
		int width = snprintf(number, sizeof number, "%llu",
				     (unsigned long long)(strip->first + i));
		int left = ((int)strip->inner - width + 1) / 2;

		fprintf(draw->out, "%*s%s%*s", left, "", number,
			i + 1 < strip->nr ? (int)strip->inner + 1 - width - left : 0, "");
	}
	fputc('\n', draw->out);
}

static void draw_marks(const struct lab_draw *draw, const struct strip *strip)
{
	uint32_t last = strip->nr;

	while (last && !strip->cells[last - 1].changed)
		last--;
	if (!last)
		return;
	fprintf(draw->out, "%*s", LABEL, "");
	paint(draw, BOLD);
	for (uint32_t i = 0; i < last; i++) {
		fprintf(draw->out, "%*s%s", (int)strip->inner / 2, "",
			strip->cells[i].changed ? "▲" : " ");
		if (i + 1 < last)
			fprintf(draw->out, "%*s", (int)(strip->inner - strip->inner / 2), "");
	}
	paint(draw, "0");
	fputc('\n', draw->out);
}

static void draw_strips(const struct lab_draw *draw, const struct lab_state *state,
			uint64_t start)
{
	struct strip strip = { .inner = start + state->nr_cells > 1000 ? 7 : 3 };
	uint32_t a_line = 4;

	while (a_line * 2 * (strip.inner + 1) + LABEL <= draw->width && a_line < 64)
		a_line *= 2;
	for (uint32_t at = 0; at < state->nr_cells; at += a_line) {
		strip.cells = state->cells + at;
		strip.first = start + at;
		strip.nr = state->nr_cells - at < a_line ? state->nr_cells - at : a_line;
		draw_numbers(draw, &strip);
		draw_border(draw, &strip, true);
		draw_cells(draw, &strip);
		draw_border(draw, &strip, false);
		draw_marks(draw, &strip);
	}
}

/* ------------------------------------------------------------------ free_area */

/* "3 → 5 → 10", or with `more` what did not fit. */
static unsigned chain_text(const struct lab_area *area, char *text, size_t room)
{
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < area->nr; i++) {
		char one[32];
		int size = snprintf(one, sizeof one, "%s%llu", i ? " → " : "",
				    (unsigned long long)area->pfns[i]);

		if (used + (size_t)size + 16 > room) {
			snprintf(text + used, room - used, " … %u", area->nr - i);
			break;
		}
		memcpy(text + used, one, (size_t)size + 1);
		used += (size_t)size;
	}
	return text_width(text, strlen(text));
}

static void draw_area(const struct lab_draw *draw, const struct lab_area *area, unsigned order,
		      unsigned column)
{
	char label[32], chain[160];

	snprintf(label, sizeof label, " %s %u", word_in(WORD_ORDER, draw->lang), order);
	text_pad(draw->out, label, LABEL);
	chain_text(area, chain, sizeof chain);
	paint(draw, area->nr ? GREEN : DIM);
	text_pad(draw->out, area->nr ? chain : "-", area->map ? (int)column : 0);
	paint(draw, "0");
	for (const char *bit = area->map; bit && *bit; bit++) {
		paint(draw, *bit == '1' ? BOLD : DIM);
		fprintf(draw->out, "%s%c", bit == area->map ? "" : " ", *bit);
		paint(draw, "0");
	}
	fputc('\n', draw->out);
}

/* Orders of blocks larger than the view have nothing to tell. */
static unsigned orders_shown(const struct lab_state *state)
{
	unsigned order = 1;

	while (order < state->nr_orders && 1u << order <= state->nr_cells)
		order++;
	return order;
}

static void draw_areas(const struct lab_draw *draw, const struct lab_state *state)
{
	unsigned column = text_width(word_in(WORD_FREE_LIST, draw->lang), 9) + 3;
	unsigned nr = orders_shown(state);
	bool any_map = false;

	for (unsigned order = 0; order < nr; order++) {
		char chain[160];
		unsigned width = chain_text(&state->areas[order], chain, sizeof chain) + 3;

		column = width > column ? width : column;
		any_map |= state->areas[order].map != NULL;
	}
	paint(draw, DIM);
	text_pad(draw->out, " free_area", LABEL);
	text_pad(draw->out, word_in(WORD_FREE_LIST, draw->lang), any_map ? (int)column : 0);
	fputs(any_map ? word_in(WORD_MAP, draw->lang) : "", draw->out);
	paint(draw, "0");
	fputc('\n', draw->out);
	for (unsigned order = 0; order < nr; order++)
		draw_area(draw, &state->areas[order], order, column);
	if (nr < state->nr_orders) {
		char label[32];

		snprintf(label, sizeof label, " %s %u-%u", word_in(WORD_ORDER, draw->lang), nr,
			 state->nr_orders - 1);
		text_pad(draw->out, label, LABEL);
		paint(draw, DIM);
		fprintf(draw->out, "%s\n", word_in(WORD_TOO_LARGE, draw->lang));
		paint(draw, "0");
	}
}

static void draw_per_cpu(const struct lab_draw *draw, const struct lab_state *state,
			 uint64_t start)
{
	const char *comma = "";
	unsigned shown = 0;

	for (uint32_t i = 0; i < state->nr_cells; i++) {
		const struct lab_cell *cell = &state->cells[i];

		if (cell->state != ONDOL_FRAME_PER_CPU || !cell->is_head)
			continue;
		if (!*comma) {
			fputc(' ', draw->out);
			text_pad(draw->out, word_in(WORD_PER_CPU, draw->lang), LABEL - 1);
			paint(draw, CYAN);
		}
		if (shown++ < 12)
			fprintf(draw->out, "%s%llu", comma, (unsigned long long)(start + i));
		comma = ", ";
	}
	if (!shown)
		return;
	paint(draw, "0");
	fprintf(draw->out, "%s (%s)\n", shown > 12 ? ", …" : "",
		word_in(WORD_NOT_MERGED, draw->lang));
}

/* ------------------------------------------------------------------ zones */

static void draw_zone(const struct lab_draw *draw, const struct ondol_zone_stats *zone)
{
	unsigned room = draw->width > 96 ? 40 : 24, used;
	uint64_t free = zone->pages_free + zone->pcp_pages;
	char label[40];

	snprintf(label, sizeof label, " %s %u %s", word_in(WORD_NODE, draw->lang), zone->node,
		 zone->name);
	text_pad(draw->out, label, 18);
	used = zone->pages_managed ?
	       (unsigned)((zone->pages_managed - free) * room / zone->pages_managed) : 0;
	if (!used && free < zone->pages_managed)
		used = 1;
	fputs("│", draw->out);
	paint(draw, YELLOW);
	repeat(draw->out, "▒", used);
	paint(draw, "0");
	repeat(draw->out, " ", room - used);
	fprintf(draw->out, "│ %s %llu %s %llu, min %llu low %llu high %llu\n",
		word_in(WORD_FREE, draw->lang), (unsigned long long)free,
		word_in(WORD_OF, draw->lang), (unsigned long long)zone->pages_managed,
		(unsigned long long)zone->watermark_min, (unsigned long long)zone->watermark_low,
		(unsigned long long)zone->watermark_high);
}

/* ------------------------------------------------------------------ the step */

void terminal_step(const struct lab_draw *draw, const struct lab_run *run, uint32_t step)
{
	const struct lab_state *state = &run->states[step];
	unsigned width = draw->width > 4 ? draw->width : 4;
	char line[400];

	paint(draw, BOLD);
	snprintf(line, sizeof line, "%s", step_title(state->step, draw->lang));
	text_print(draw->out, line, strlen(line));
	paint(draw, "0");
	paint(draw, DIM);
	fprintf(draw->out, "  [%s %u/%u, ", word_in(WORD_STEP, draw->lang), step + 1,
		run->nr_states);
	text_print(draw->out, run->machine->name, strlen(run->machine->name));
	fputs("]\n", draw->out);
	paint(draw, "0");
	text_wrap(draw->out, text_in(state->step->say, draw->lang), 1, width - 1);
	for (uint32_t i = 0; i < state->nr_events; i++) {
		size_t used = (size_t)snprintf(line, sizeof line, "> ");

		event_text(&state->events[i], draw->lang, line + used, sizeof line - used);
		text_wrap(draw->out, line, 1, width - 1);
	}
	if (state->nr_cells) {
		draw_strips(draw, state, run->scenario->view_start);
		draw_areas(draw, state);
		draw_per_cpu(draw, state, run->scenario->view_start);
	}
	slabs_terminal(draw, state);
	for (uint32_t i = 0; run->scenario->show_zones && i < state->nr_zones; i++)
		draw_zone(draw, &state->zones[i]);
	paint(draw, DIM);
	fprintf(draw->out, " %s\n", summary_text(state, draw->lang, line, sizeof line));
	paint(draw, "0");
}

/* SPDX-License-Identifier: MIT */
/* Steps as SVG: title and words, the strip of frames, free_area with its lists and map bits. */
#include "lab/slabs.h"
#include "lab/svg.h"

#include <stdlib.h>
#include <string.h>

#define STRIP 768.0 /* of the frames, in pixels */
#define STRIP_X ((SVG_WIDTH - STRIP) / 2)
#define CELL_HEIGHT 44
#define ROW 30
#define LIST_X (STRIP_X + 92)
#define MAP_X (STRIP_X + 520)
#define MAP_WIDTH (STRIP - 520)

struct page { /* a picture while it grows downwards */
	const struct lab_draw *draw;
	FILE *out;
	double y;
};

static const char *class_of(unsigned state)
{
	static const char *const classes[] = { "hole", "res", "used", "free", "cpu", "free" };

	return classes[state];
}

static void put_wrapped(struct page *page, const char *text, const char *class)
{
	while (text && *text) {
		char line[400];
		size_t size;
		const char *next = text_line(text, 120, &size);

		snprintf(line, sizeof line, "%.*s", (int)size, text);
		page->y += 21;
		svg_text(page->out, SVG_MARGIN, page->y, class, "start", line);
		text = next;
	}
}

static void put_words(struct page *page, const struct lab_run *run, uint32_t step)
{
	const struct lab_state *state = &run->states[step];
	char text[400];

	page->y += 40;
	svg_text(page->out, SVG_MARGIN, page->y, "t", "start",
		 step_title(state->step, page->draw->lang));
	svg_text(page->out, SVG_WIDTH - SVG_MARGIN, page->y, "s", "end", run->machine->name);
	page->y += 4;
	put_wrapped(page, text_in(state->step->say, page->draw->lang), "n");
	page->y += 4;
	for (uint32_t i = 0; i < state->nr_events; i++) {
		size_t used = (size_t)snprintf(text, sizeof text, "▸ ");

		event_text(&state->events[i], page->draw->lang, text + used, sizeof text - used);
		put_wrapped(page, text, "b");
	}
}

/* ------------------------------------------------------------------ frames */

static bool begins(const struct lab_state *state, uint32_t i, uint32_t row)
{
	return i == row || i == state->nr_cells || state->cells[i].is_head ||
	       state->cells[i].state != state->cells[i - 1].state;
}

static void put_block(struct page *page, const struct lab_state *state, uint32_t first,
		      uint32_t end, uint32_t row, double cell_width)
{
	const struct lab_cell *cell = &state->cells[first];
	double x = STRIP_X + (first - row) * cell_width, width = (end - first) * cell_width;
	char label[LAB_NAME_MAX] = "";

	svg_box(page->out, x + 1, page->y, width - 2, CELL_HEIGHT, class_of(cell->state));
	for (uint32_t i = first + 1; i < end; i++)
		fprintf(page->out, "<path class=\"line\" d=\"M%g %g v%d\"/>\n",
			STRIP_X + (i - row) * cell_width, page->y + 4, CELL_HEIGHT - 8);
	if (cell->owner && *cell->owner)
		snprintf(label, sizeof label, "%s", cell->owner);
	else if (cell->state == ONDOL_FRAME_FREE && cell->order)
		snprintf(label, sizeof label, "%s %u", word_in(WORD_ORDER, page->draw->lang),
			 cell->order);
	if (text_width(label, strlen(label)) * 8 + 4 <= width)
		svg_text(page->out, x + width / 2, page->y + CELL_HEIGHT / 2 + 5, "b", "middle",
			 label);
}

/* An outline around each run of frames that changed, above their boxes. */
static void put_changes(struct page *page, const struct lab_state *state, uint32_t row,
			uint32_t end, double cell_width)
{
	for (uint32_t i = row; i < end;) {
		uint32_t first = i;

		while (i < end && state->cells[i].changed)
			i++;
		if (i == first) {
			i++;
			continue;
		}
		svg_box(page->out, STRIP_X + (first - row) * cell_width - 1, page->y - 2,
			(i - first) * cell_width + 2, CELL_HEIGHT + 4, "chg");
	}
}

static void put_frames(struct page *page, const struct lab_state *state, uint64_t start)
{
	uint32_t a_row = state->nr_cells > 16 ? 32 : 16;
	double cell_width = STRIP / a_row;
	unsigned each = start + state->nr_cells > 1000 ? 4 : 1;
	char number[24];

	for (uint32_t row = 0; row < state->nr_cells; row += a_row) {
		uint32_t end = state->nr_cells - row < a_row ? state->nr_cells : row + a_row;

		page->y += 30;
		for (uint32_t i = row; i < end; i += each) {
			snprintf(number, sizeof number, "%llu", (unsigned long long)(start + i));
			svg_text(page->out, STRIP_X + (i - row + 0.5) * cell_width, page->y, "s",
				 "middle", number);
		}
		page->y += 8;
		for (uint32_t i = row, next; i < end; i = next) {
			next = i + 1;
			while (next < end && !begins(state, next, row))
				next++;
			put_block(page, state, i, next, row, cell_width);
		}
		put_changes(page, state, row, end, cell_width);
		page->y += CELL_HEIGHT;
	}
}

/* ------------------------------------------------------------------ free_area */

static void put_list(struct page *page, const uint64_t *pfns, uint32_t nr, const char *class)
{
	double x = LIST_X;
	char text[24];

	for (uint32_t i = 0; i < nr; i++) {
		double width;

		snprintf(text, sizeof text, "%llu", (unsigned long long)pfns[i]);
		width = 18 + 9 * (double)strlen(text);
		if (x + width > MAP_X - 60 && i + 1 < nr) {
			snprintf(text, sizeof text, "… %u", nr - i);
			svg_text(page->out, x, page->y + 5, "s", "start", text);
			return;
		}
		svg_box(page->out, x, page->y - 11, width, 22, class);
		svg_text(page->out, x + width / 2, page->y + 5, "b", "middle", text);
		x += width;
		if (i + 1 < nr)
			fprintf(page->out, "<path class=\"arrow\" d=\"M%g %g h16 m-5 -4 l5 4 l-5 "
				"4\"/>\n", x + 2, page->y);
		x += 20;
	}
	if (!nr)
		svg_text(page->out, LIST_X, page->y + 5, "s", "start",
			 word_in(WORD_EMPTY, page->draw->lang));
}

/* Each bit as wide as its pair would be, scaled down to the column. */
static void put_map(struct page *page, const char *map)
{
	size_t nr = strlen(map);
	double step = MAP_WIDTH / (double)nr, size = step > 24 ? 22 : step - 2;
	char bit[2] = "";

	for (size_t i = 0; i < nr; i++) {
		double x = MAP_X + ((double)i + 0.5) * step - size / 2;

		if (map[i] == '-')
			continue;
		svg_box(page->out, x, page->y - 11, size > 1 ? size : 1, 22,
			map[i] == '1' ? "one" : "zero");
		bit[0] = map[i];
		if (size >= 12)
			svg_text(page->out, x + size / 2, page->y + 5,
				 map[i] == '1' ? "w" : "s", "middle", bit);
	}
}

static void put_areas(struct page *page, const struct lab_state *state)
{
	enum lab_lang lang = page->draw->lang;
	bool any_map = false;

	for (unsigned order = 0; order < state->nr_orders; order++)
		any_map |= state->areas[order].map != NULL;
	page->y += 42;
	svg_text(page->out, STRIP_X, page->y, "h", "start", "free_area");
	svg_text(page->out, LIST_X, page->y, "h", "start", word_in(WORD_FREE_LIST, lang));
	if (any_map)
		svg_text(page->out, MAP_X, page->y, "h", "start", word_in(WORD_MAP, lang));
	page->y -= 6;
	for (unsigned order = 0; order < state->nr_orders; order++) {
		char label[32];

		page->y += ROW;
		if (order && 1u << order > state->nr_cells) {
			snprintf(label, sizeof label, "%s %u-%u", word_in(WORD_ORDER, lang), order,
				 state->nr_orders - 1);
			svg_text(page->out, STRIP_X, page->y + 5, "n", "start", label);
			svg_text(page->out, LIST_X, page->y + 5, "s", "start",
				 word_in(WORD_TOO_LARGE, lang));
			break;
		}
		snprintf(label, sizeof label, "%s %u", word_in(WORD_ORDER, lang), order);
		svg_text(page->out, STRIP_X, page->y + 5, "n", "start", label);
		put_list(page, state->areas[order].pfns, state->areas[order].nr, "free");
		if (state->areas[order].map)
			put_map(page, state->areas[order].map);
	}
}

static void put_per_cpu(struct page *page, const struct lab_state *state, uint64_t start)
{
	uint64_t pfns[LAB_VIEW_MAX];
	uint32_t nr = 0;

	for (uint32_t i = 0; i < state->nr_cells; i++)
		if (state->cells[i].state == ONDOL_FRAME_PER_CPU && state->cells[i].is_head)
			pfns[nr++] = start + i;
	if (!nr)
		return;
	page->y += ROW;
	svg_text(page->out, STRIP_X, page->y + 5, "n", "start",
		 word_in(WORD_PER_CPU, page->draw->lang));
	put_list(page, pfns, nr, "cpu");
}

/* ------------------------------------------------------------------ zones, legend */

static void put_zones(struct page *page, const struct lab_state *state)
{
	enum lab_lang lang = page->draw->lang;

	page->y += 18;
	for (uint32_t i = 0; i < state->nr_zones; i++) {
		const struct ondol_zone_stats *zone = &state->zones[i];
		double free = (double)(zone->pages_free + zone->pcp_pages), bar = 400;
		double managed = zone->pages_managed ? (double)zone->pages_managed : 1;
		char text[120];

		page->y += ROW + 2;
		snprintf(text, sizeof text, "%s %u %s", word_in(WORD_NODE, lang), zone->node,
			 zone->name);
		svg_text(page->out, STRIP_X, page->y + 5, "n", "start", text);
		svg_box(page->out, STRIP_X + 120, page->y - 11, bar, 22, "free");
		if (free < managed)
			svg_box(page->out, STRIP_X + 120, page->y - 11,
				bar * (managed - free) / managed, 22, "used");
		fprintf(page->out, "<path class=\"chg\" d=\"M%g %g v28\"/>\n",
			STRIP_X + 120 + bar * (managed - (double)zone->watermark_min) / managed,
			page->y - 14);
		snprintf(text, sizeof text, "%s %.0f %s %llu · min %llu", word_in(WORD_FREE, lang),
			 free, word_in(WORD_OF, lang), (unsigned long long)zone->pages_managed,
			 (unsigned long long)zone->watermark_min);
		svg_text(page->out, STRIP_X + 534, page->y + 5, "s", "start", text);
	}
}

static void put_legend(struct page *page, const struct lab_state *state)
{
	static const struct { const char *class; enum lab_word_id word; } entries[] = {
		{ "used", WORD_USED }, { "free", WORD_FREE }, { "cpu", WORD_NOT_MERGED },
		{ "chg", WORD_CHANGED } };
	enum lab_lang lang = page->draw->lang;
	double x = STRIP_X;
	char text[120];

	page->y += 44;
	for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
		const char *name = word_in(entries[i].word, lang);

		if (!state->nr_cells && i >= 2) { /* of zones alone: the mark of their bars */
			name = "min";
			i = 3;
		}
		svg_box(page->out, x + 1, page->y - 11, 14, 14, entries[i].class);
		svg_text(page->out, x + 22, page->y, "s", "start", name);
		x += 22 + 6.5 * text_width(name, strlen(name)) + 20;
	}
	svg_text(page->out, STRIP_X + STRIP, page->y, "s", "end",
		 summary_text(state, lang, text, sizeof text));
	page->y += 24;
}

static void put_step(struct page *page, const struct lab_run *run, uint32_t step)
{
	const struct lab_state *state = &run->states[step];

	put_words(page, run, step);
	if (state->nr_cells) {
		put_frames(page, state, run->scenario->view_start);
		put_areas(page, state);
		put_per_cpu(page, state, run->scenario->view_start);
	}
	page->y = slabs_svg(page->draw, state, page->out, page->y);
	if (run->scenario->show_zones)
		put_zones(page, state);
	put_legend(page, state);
}

void svg_steps(const struct lab_draw *draw, const struct lab_run *run, uint32_t first,
	       uint32_t end)
{
	struct page page = { .draw = draw };
	char *body = NULL;
	size_t size;

	if (first >= end)
		return;
	page.out = open_memstream(&body, &size);
	if (!page.out)
		return;
	for (uint32_t i = first; i < end; i++) {
		if (i > first)
			fprintf(page.out, "<path class=\"line\" d=\"M%d %g H%d\"/>\n", SVG_MARGIN,
				page.y, SVG_WIDTH - SVG_MARGIN);
		put_step(&page, run, i);
	}
	fclose(page.out);
	svg_head(draw->out, (int)page.y, draw->lang,
		 step_title(run->states[first].step, draw->lang));
	fwrite(body, 1, size, draw->out);
	svg_tail(draw->out);
	free(body);
}

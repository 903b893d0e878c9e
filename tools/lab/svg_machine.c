/* SPDX-License-Identifier: MIT */
/* A machine as SVG: the line of addresses with a row a node, then its zones in figures. */
#include "lab/svg.h"

#include <stdlib.h>
#include <string.h>

#define LINE_X 112.0
#define LINE_WIDTH (SVG_WIDTH - SVG_MARGIN - LINE_X)
#define ROW 40
#define PIECES_MAX 256

static const char *const zone_colours[ONDOL_NR_ZONES] = { "#f6d5c3", "#fbe7b2", "#d9f2e1",
							  "#d8e9fb", "#e6dcf7", "#f3d3e4" };

struct page {
	const struct lab_draw *draw;
	const struct lab_show *show;
	FILE *out;
	double y;
};

/* Pixels: the name of the zone, or the address at its beginning. */
static unsigned least_width(const struct lab_piece *piece)
{
	char text[24];
	unsigned address, name;

	text_size(piece->start << ONDOL_PAGE_SHIFT, text, sizeof text);
	address = 8 * (unsigned)strlen(text) + 8;
	name = piece->hole || piece->reserved || piece->offline ? 16 :
	       9 * (unsigned)strlen(ondol_zone_name((enum ondol_zone_type)piece->zone)) + 12;
	return address > name ? address : name;
}

static void put_piece(struct page *page, const struct lab_piece *piece, double x, double width)
{
	const char *name = ondol_zone_name((enum ondol_zone_type)piece->zone);

	fprintf(page->out, "<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"28\" rx=\"3\" "
		"fill=\"%s\" stroke=\"" SVG_GREY "\"/>\n", x + 1, page->y - 18, width - 2,
		piece->reserved ? SVG_RESERVED :
		piece->offline ? "none" : zone_colours[piece->zone]);
	if (piece->offline)
		name = word_in(WORD_OFFLINE, page->draw->lang);
	if (piece->reserved)
		name = word_in(WORD_RESERVED, page->draw->lang);
	if (9 * text_width(name, strlen(name)) < width)
		svg_text(page->out, x + width / 2, page->y + 1, piece->reserved ? "w" : "b",
			 "middle", name);
}

static void put_node(struct page *page, uint16_t node, uint32_t first, uint32_t end,
		     const unsigned *widths)
{
	const struct lab_show *show = page->show;
	double x = LINE_X;
	bool any = false;
	char label[32];

	for (uint32_t i = first; i < end; i++)
		any |= !show->pieces[i].hole && show->pieces[i].node == node;
	if (!any)
		return;
	page->y += ROW;
	snprintf(label, sizeof label, "%s %u", word_in(WORD_NODE, page->draw->lang), node);
	svg_text(page->out, SVG_MARGIN, page->y + 1, "b", "start", label);
	for (uint32_t i = first; i < end; x += widths[i++ - first])
		if (!show->pieces[i].hole && show->pieces[i].node == node)
			put_piece(page, &show->pieces[i], x, widths[i - first]);
	fprintf(page->out, "<path class=\"line\" d=\"M%g %g H%g\"/>\n", LINE_X, page->y + 16, x);
}

static void put_addresses(struct page *page, uint32_t first, uint32_t end,
			  const unsigned *widths)
{
	double x = LINE_X;
	char text[24];

	page->y += 34;
	for (uint32_t i = first; i <= end; i++) {
		uint64_t pfn = i < end ? page->show->pieces[i].start :
					 page->show->pieces[end - 1].end;

		svg_text(page->out, x, page->y - 8, "s", i < end ? "start" : "end",
			 text_size(pfn << ONDOL_PAGE_SHIFT, text, sizeof text));
		fprintf(page->out, "<path class=\"arrow\" d=\"M%g %g v6\"/>\n", x, page->y - 3);
		x += i < end ? widths[i - first] : 0;
	}
	fprintf(page->out, "<path class=\"arrow\" d=\"M%g %g H%g\"/>\n", LINE_X, page->y, x);
	page->y -= 10;
}

static void put_layout(struct page *page)
{
	const struct lab_show *show = page->show;
	unsigned widths[PIECES_MAX];

	for (uint32_t first = 0, end; first < show->nr_pieces; first = end) {
		/* The last address needs room of its own. */
		end = show_fit(show, first, (unsigned)LINE_WIDTH, least_width, widths);
		put_addresses(page, first, end, widths);
		for (uint32_t i = 0; i < show->nr_nodes; i++)
			put_node(page, show->nodes[i].id, first, end, widths);
		page->y += 16;
	}
	page->y += 14;
	svg_text(page->out, SVG_WIDTH - SVG_MARGIN, page->y, "s", "end",
		 word_in(WORD_NOT_TO_SCALE, page->draw->lang));
}

static void put_row(struct page *page, const char *label, const uint64_t *values, unsigned nr,
		    const char *class)
{
	char text[24];

	page->y += 24;
	svg_text(page->out, SVG_MARGIN, page->y, class, "start", label);
	for (unsigned i = 0; i < nr; i++) {
		snprintf(text, sizeof text, "%llu", (unsigned long long)values[i]);
		svg_text(page->out, 270 + 96 * i, page->y, "n", "end", text);
	}
}

static void put_heads(struct page *page, const char *first, const char *const *heads,
		      unsigned nr)
{
	page->y += 34;
	svg_text(page->out, SVG_MARGIN, page->y, "h", "start", first);
	for (unsigned i = 0; i < nr; i++)
		svg_text(page->out, 270 + 96 * i, page->y, "h", "end", heads[i]);
}

static void put_figures(struct page *page)
{
	static const char *const node_heads[] = { "node_start_pfn", "present", "spanned" };
	static const char *const zone_heads[] = { "start_pfn", "spanned", "present", "managed",
						  "min", "low", "high" };
	const struct lab_show *show = page->show;
	const char *node_word = word_in(WORD_NODE, page->draw->lang);
	char label[48];

	put_heads(page, "pgdat_list", node_heads, 3);
	for (uint32_t i = 0; i < show->nr_nodes; i++) {
		const struct ondol_node_stats *node = &show->nodes[i];
		uint64_t values[] = { node->node_start_pfn.value, node->node_present_pages,
				      node->node_spanned_pages };

		snprintf(label, sizeof label, "%s %u", node_word, node->id);
		put_row(page, label, values, 3, "n");
	}
	put_heads(page, word_in(WORD_ZONE, page->draw->lang), zone_heads, 7);
	for (uint32_t i = 0; i < show->nr_zones; i++) {
		const struct ondol_zone_stats *zone = &show->zones[i];
		uint64_t values[] = { zone->start_pfn.value, zone->pages_spanned,
				      zone->pages_present, zone->pages_managed,
				      zone->watermark_min, zone->watermark_low,
				      zone->watermark_high };

		snprintf(label, sizeof label, "%s %u %s", node_word, zone->node, zone->name);
		put_row(page, label, values, 7, "n");
	}
}

static void put_distances(struct page *page)
{
	uint32_t nr = page->show->machine->nr_nodes;
	char text[24];

	if (nr < 2 || nr > 8)
		return;
	page->y += 34;
	svg_text(page->out, SVG_MARGIN, page->y, "h", "start",
		 word_in(WORD_DISTANCE, page->draw->lang));
	for (uint32_t from = 0; from < nr; from++) {
		page->y += from ? 24 : 0;
		snprintf(text, sizeof text, "%s %u", word_in(WORD_NODE, page->draw->lang), from);
		svg_text(page->out, 130, page->y, "n", "start", text);
		for (uint32_t to = 0; to < nr; to++) {
			snprintf(text, sizeof text, "%u",
				 machine_distance(page->show->machine, from, to));
			svg_text(page->out, 270 + 48 * to, page->y, from == to ? "b" : "n", "end",
				 text);
		}
	}
}

void svg_machine(const struct lab_draw *draw, const struct lab_show *show)
{
	const char *title = text_in(show->machine->title, draw->lang);
	struct page page = { .draw = draw, .show = show, .y = 42 };
	char *body = NULL;
	size_t size;

	page.out = open_memstream(&body, &size);
	if (!page.out)
		return;
	if (!*title)
		title = show->machine->name;
	svg_text(page.out, SVG_MARGIN, page.y, "t", "start", title);
	page.y += 24;
	svg_text(page.out, SVG_MARGIN, page.y, "s", "start", show->machine->profile_text);
	put_layout(&page);
	put_figures(&page);
	put_distances(&page);
	fclose(page.out);
	svg_head(draw->out, (int)page.y + 28, draw->lang, title);
	fwrite(body, 1, size, draw->out);
	svg_tail(draw->out);
	free(body);
}

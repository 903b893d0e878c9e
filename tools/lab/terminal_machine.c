/* SPDX-License-Identifier: MIT */
/*
 * A machine in a terminal: the line of addresses, a row a node, then figures.
 *
 *	        0       16M           4G         8G       12G        16G
 *	        ├───────┼─────────────┼──────────┼────────┼──────────┤
 *	node 0  │  DMA  │    DMA32    │          │ Normal │          │
 *	node 1  │       │             │  Normal  │        │  Normal  │
 */
#include "lab/draw.h"

#include <stdlib.h>
#include <string.h>

#define LABEL 9
#define PIECES_A_LINE 512

/* The start's address and a blank, or the zone's name and two, and a border. */
static unsigned least_width(const struct lab_piece *piece)
{
	char text[24];
	unsigned address, name;

	text_size(piece->start << ONDOL_PAGE_SHIFT, text, sizeof text);
	address = (unsigned)strlen(text) + 1;
	name = piece->hole || piece->reserved || piece->offline ? 2 :
	       (unsigned)strlen(ondol_zone_name((enum ondol_zone_type)piece->zone)) + 3;
	return address > name ? address : name;
}

static void draw_addresses(const struct lab_draw *draw, const struct lab_show *show,
			   uint32_t first, uint32_t end, const unsigned *widths)
{
	char text[24];

	fprintf(draw->out, "%*s", LABEL, "");
	for (uint32_t i = first; i < end; i++)
		text_pad(draw->out, text_size(show->pieces[i].start << ONDOL_PAGE_SHIFT, text,
					      sizeof text), (int)widths[i - first]);
	fprintf(draw->out, "%s\n%*s", text_size(show->pieces[end - 1].end << ONDOL_PAGE_SHIFT, text,
						sizeof text), LABEL, "");
	for (uint32_t i = first; i < end; i++) {
		fputs(i == first ? "├" : "┼", draw->out);
		for (unsigned k = 1; k < widths[i - first]; k++)
			fputs("─", draw->out);
	}
	fputs("┤\n", draw->out);
}

static void draw_piece(const struct lab_draw *draw, const struct lab_piece *piece, bool own,
		       unsigned width)
{
	const char *fill = !own ? NULL : piece->reserved ? "▒" : piece->offline ? "░" : NULL;
	const char *name = own && !fill ?
			   ondol_zone_name((enum ondol_zone_type)piece->zone) : "";
	unsigned room = width - 1, left = (room - (unsigned)strlen(name)) / 2;

	fputs("│", draw->out);
	if (fill) {
		paint(draw, "2");
		for (unsigned i = 0; i < room; i++)
			fputs(fill, draw->out);
	} else {
		paint(draw, "32");
		fprintf(draw->out, "%*s%s%*s", (int)left, "", name,
			(int)(room - left - (unsigned)strlen(name)), "");
	}
	paint(draw, "0");
}

static void draw_node_row(const struct lab_draw *draw, const struct lab_show *show, uint16_t node,
			  uint32_t first, uint32_t end, const unsigned *widths)
{
	char label[24];
	bool any = false;

	for (uint32_t i = first; i < end; i++)
		any |= !show->pieces[i].hole && show->pieces[i].node == node;
	if (!any)
		return;
	snprintf(label, sizeof label, " %s %u", word_in(WORD_NODE, draw->lang), node);
	text_pad(draw->out, label, LABEL);
	for (uint32_t i = first; i < end; i++)
		draw_piece(draw, &show->pieces[i],
			   !show->pieces[i].hole && show->pieces[i].node == node,
			   widths[i - first]);
	fputs("│\n", draw->out);
}

static void draw_layout(const struct lab_draw *draw, const struct lab_show *show)
{
	unsigned widths[PIECES_A_LINE];
	/* A border and the last address at the end. */
	unsigned room = draw->width > 60 ? draw->width - LABEL - 8 : 52;
	bool any_offline = false;

	if (room > PIECES_A_LINE)
		room = PIECES_A_LINE;
	for (uint32_t first = 0, end; first < show->nr_pieces; first = end) {
		end = show_fit(show, first, room, least_width, widths);
		draw_addresses(draw, show, first, end, widths);
		for (uint32_t i = 0; i < show->nr_nodes; i++)
			draw_node_row(draw, show, show->nodes[i].id, first, end, widths);
	}
	for (uint32_t i = 0; i < show->nr_pieces; i++)
		any_offline |= show->pieces[i].offline;
	paint(draw, "2");
	fprintf(draw->out, "%*s(%s; ▒ %s", LABEL, "", word_in(WORD_NOT_TO_SCALE, draw->lang),
		word_in(WORD_RESERVED, draw->lang));
	if (any_offline)
		fprintf(draw->out, "; ░ %s", word_in(WORD_OFFLINE, draw->lang));
	fputs(")\n", draw->out);
	paint(draw, "0");
}

/* "0-3,8" */
static void draw_cpus(const struct lab_draw *draw, const struct lab_machine *machine,
		      uint16_t node)
{
	char separator = ' ';

	for (uint32_t cpu = 0, end; cpu < machine->nr_cpus; cpu = end) {
		end = cpu + 1;
		if (machine->cpu_to_node[cpu] != node)
			continue;
		while (end < machine->nr_cpus && machine->cpu_to_node[end] == node)
			end++;
		fprintf(draw->out, "%c%u", separator, cpu);
		if (end > cpu + 1)
			fprintf(draw->out, "-%u", end - 1);
		separator = ',';
	}
}

static void draw_nodes(const struct lab_draw *draw, const struct lab_show *show)
{
	paint(draw, "2");
	fprintf(draw->out, " %-8s %14s %10s %10s  %s\n", "pgdat_list", "node_start_pfn",
		"present", "spanned", word_in(WORD_CPUS, draw->lang));
	paint(draw, "0");
	for (uint32_t i = 0; i < show->nr_nodes; i++) {
		const struct ondol_node_stats *node = &show->nodes[i];
		char label[32];

		snprintf(label, sizeof label, " %s %u", word_in(WORD_NODE, draw->lang), node->id);
		text_pad(draw->out, label, 11);
		fprintf(draw->out, " %14llu %10llu %10llu ",
			(unsigned long long)node->node_start_pfn.value,
			(unsigned long long)node->node_present_pages,
			(unsigned long long)node->node_spanned_pages);
		draw_cpus(draw, show->machine, node->id);
		fputc('\n', draw->out);
	}
}

static void draw_zones(const struct lab_draw *draw, const struct lab_show *show)
{
	paint(draw, "2");
	text_pad(draw->out, " ", 1);
	text_pad(draw->out, word_in(WORD_ZONE, draw->lang), 16);
	fprintf(draw->out, "%9s %8s %8s %8s %7s %7s %7s\n", "start_pfn", "spanned", "present",
		"managed", "min", "low", "high");
	paint(draw, "0");
	for (uint32_t i = 0; i < show->nr_zones; i++) {
		const struct ondol_zone_stats *zone = &show->zones[i];
		char label[48];

		snprintf(label, sizeof label, " %s %u %s", word_in(WORD_NODE, draw->lang),
			 zone->node, zone->name);
		text_pad(draw->out, label, 17);
		fprintf(draw->out, "%9llu %8llu %8llu %8llu %7llu %7llu %7llu\n",
			(unsigned long long)zone->start_pfn.value,
			(unsigned long long)zone->pages_spanned,
			(unsigned long long)zone->pages_present,
			(unsigned long long)zone->pages_managed,
			(unsigned long long)zone->watermark_min,
			(unsigned long long)zone->watermark_low,
			(unsigned long long)zone->watermark_high);
	}
}

static void draw_reserves(const struct lab_draw *draw, const struct lab_show *show)
{
	bool any = false;

	for (uint32_t i = 0; i < show->nr_zones; i++) {
		const struct ondol_zone_stats *zone = &show->zones[i];

		for (unsigned type = 0; type < ONDOL_NR_ZONES; type++) {
			if (!zone->lowmem_reserve[type] || !machine_has_zone(show->machine, type))
				continue;
			fputs(any ? "" : " lowmem_reserve:\n", draw->out);
			any = true;
			fprintf(draw->out, "   %s %u %s: %llu < %s\n",
				word_in(WORD_NODE, draw->lang), zone->node, zone->name,
				(unsigned long long)zone->lowmem_reserve[type],
				ondol_zone_name((enum ondol_zone_type)type));
		}
	}
}

static void draw_distances(const struct lab_draw *draw, const struct lab_show *show)
{
	uint32_t nr = show->machine->nr_nodes;

	if (nr < 2 || nr > 16)
		return;
	fputc(' ', draw->out);
	paint(draw, "2");
	text_pad(draw->out, word_in(WORD_DISTANCE, draw->lang), 10);
	for (uint32_t to = 0; to < nr; to++)
		fprintf(draw->out, " %4u", to);
	paint(draw, "0");
	fputc('\n', draw->out);
	for (uint32_t from = 0; from < nr; from++) {
		fprintf(draw->out, " %9u:", from);
		for (uint32_t to = 0; to < nr; to++)
			fprintf(draw->out, " %4u", machine_distance(show->machine, from, to));
		fputc('\n', draw->out);
	}
}

void terminal_machine(const struct lab_draw *draw, const struct lab_show *show)
{
	const char *title = text_in(show->machine->title, draw->lang);

	paint(draw, "1");
	text_print(draw->out, show->machine->name, strlen(show->machine->name));
	paint(draw, "0");
	fputs(*title ? ": " : "", draw->out);
	text_print(draw->out, title, strlen(title));
	fprintf(draw->out, "\n%s\n\n", show->machine->profile_text);
	draw_layout(draw, show);
	fputc('\n', draw->out);
	draw_nodes(draw, show);
	fputc('\n', draw->out);
	draw_zones(draw, show);
	fputc('\n', draw->out);
	draw_reserves(draw, show);
	draw_distances(draw, show);
}

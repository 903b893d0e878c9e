/* SPDX-License-Identifier: MIT */
/* A run and a machine for programs; one document, keys in English whatever the language. */
#include "lab/slabs.h"

#include <string.h>

static const char *const state_names[] = { "hole", "reserved", "used", "free", "per-cpu",
					   "deferred" };

static void put_number(FILE *out, const char *key, uint64_t value)
{
	fprintf(out, "\"%s\":%llu,", key, (unsigned long long)value);
}

static void put_string(FILE *out, const char *key, const char *value)
{
	fprintf(out, "\"%s\":", key);
	text_json(out, value);
	fputc(',', out);
}

static void put_titles(FILE *out, const char *key, char *const texts[LAB_LANGS])
{
	fprintf(out, "\"%s\":{\"en\":", key);
	text_json(out, text_in(texts, LAB_EN));
	fputs(",\"ko\":", out);
	text_json(out, text_in(texts, LAB_KO));
	fputs("},", out);
}

static void put_zone(FILE *out, const struct ondol_zone_stats *zone)
{
	fputc('{', out);
	put_number(out, "node", zone->node);
	put_string(out, "name", zone->name);
	put_number(out, "start_pfn", zone->start_pfn.value);
	put_number(out, "spanned", zone->pages_spanned);
	put_number(out, "present", zone->pages_present);
	put_number(out, "managed", zone->pages_managed);
	put_number(out, "free", zone->pages_free);
	put_number(out, "per_cpu", zone->pcp_pages);
	put_number(out, "min", zone->watermark_min);
	put_number(out, "low", zone->watermark_low);
	put_number(out, "high", zone->watermark_high);
	fputs("\"lowmem_reserve\":{", out);
	for (unsigned type = 0; type < ONDOL_NR_ZONES; type++)
		fprintf(out, "%s\"%s\":%llu", type ? "," : "",
			ondol_zone_name((enum ondol_zone_type)type),
			(unsigned long long)zone->lowmem_reserve[type]);
	fputs("},\"free_blocks\":[", out);
	for (unsigned order = 0; order < zone->nr_orders; order++)
		fprintf(out, "%s%llu", order ? "," : "",
			(unsigned long long)zone->free_blocks[order]);
	fputs("]}", out);
}

static void put_zones(FILE *out, const struct ondol_zone_stats *zones, uint32_t nr)
{
	fputs("\"zones\":[", out);
	for (uint32_t i = 0; i < nr; i++) {
		fputs(i ? "," : "", out);
		put_zone(out, &zones[i]);
	}
	fputc(']', out);
}

static void put_profile(FILE *out, const struct lab_machine *machine)
{
	const struct ondol_profile *profile = &machine->profile;

	put_string(out, "name", machine->name);
	put_titles(out, "title", machine->title);
	put_string(out, "profile", profile->name);
	put_number(out, "orders", profile->nr_orders);
	put_string(out, "lazy", ondol_lazy_name(profile->lazy));
	fprintf(out, "\"map\":%s,\"split_hands_out_upper\":%s,\"migrate_types\":%s,",
		profile->map_bitmap ? "true" : "false",
		profile->split_hands_out_upper ? "true" : "false",
		profile->migrate_types ? "true" : "false");
}

/* ------------------------------------------------------------------ a run */

static void put_cells(FILE *out, const struct lab_state *state, uint64_t start)
{
	fputs("\"frames\":[", out);
	for (uint32_t i = 0; i < state->nr_cells; i++) {
		const struct lab_cell *cell = &state->cells[i];

		fprintf(out, "%s{\"pfn\":%llu,\"state\":\"%s\",\"order\":%u,\"head\":%s,"
			"\"changed\":%s", i ? "," : "", (unsigned long long)(start + i),
			state_names[cell->state], cell->order, cell->is_head ? "true" : "false",
			cell->changed ? "true" : "false");
		if (cell->owner && *cell->owner) {
			fputs(",\"block\":", out);
			text_json(out, cell->owner);
		}
		fputc('}', out);
	}
	fputs("],", out);
	slabs_json(state, out);
	fputs("\"free_area\":[", out);
	for (unsigned order = 0; order < state->nr_orders && state->nr_cells; order++) {
		const struct lab_area *area = &state->areas[order];

		fprintf(out, "%s{\"order\":%u,\"free_list\":[", order ? "," : "", order);
		for (uint32_t i = 0; i < area->nr; i++)
			fprintf(out, "%s%llu", i ? "," : "", (unsigned long long)area->pfns[i]);
		fputs("],\"map\":", out);
		if (area->map)
			fprintf(out, "\"%s\"}", area->map);
		else
			fputs("null}", out);
	}
	fputs("],", out);
}

static void put_events(FILE *out, const struct lab_state *state)
{
	char text[400];

	fputs("\"events\":[", out);
	for (uint32_t i = 0; i < state->nr_events; i++) {
		fputs(i ? ",{" : "{", out);
		put_string(out, "en", event_text(&state->events[i], LAB_EN, text, sizeof text));
		fputs("\"ko\":", out);
		text_json(out, event_text(&state->events[i], LAB_KO, text, sizeof text));
		fputc('}', out);
	}
	fputs("],", out);
}

void json_run(const struct lab_draw *draw, const struct lab_run *run)
{
	FILE *out = draw->out;

	fputc('{', out);
	put_titles(out, "title", run->scenario->title);
	fputs("\"machine\":{", out);
	put_profile(out, run->machine);
	fprintf(out, "\"nodes\":%u,\"cpus\":%u},", run->machine->nr_nodes, run->machine->nr_cpus);
	put_number(out, "expectations", run->nr_expectations);
	put_number(out, "failed", run->nr_failed);
	fputs("\"steps\":[", out);
	for (uint32_t i = 0; i < run->nr_states; i++) {
		const struct lab_state *state = &run->states[i];

		fputs(i ? ",\n{" : "\n{", out);
		put_string(out, "id", state->step->id);
		put_titles(out, "title", state->step->title);
		put_titles(out, "say", state->step->say);
		put_events(out, state);
		put_number(out, "merges", state->merges);
		put_number(out, "splits", state->splits);
		put_cells(out, state, run->scenario->view_start);
		put_zones(out, state->zones, state->nr_zones);
		fputc('}', out);
	}
	fputs("\n]}\n", out);
}

/* ------------------------------------------------------------------ a machine */

static void put_pieces(FILE *out, const struct lab_show *show)
{
	fputs("\"memory\":[", out);
	for (uint32_t i = 0; i < show->nr_pieces; i++) {
		const struct lab_piece *piece = &show->pieces[i];

		fprintf(out, "%s{\"start_pfn\":%llu,\"end_pfn\":%llu,\"kind\":\"%s\"", i ? "," : "",
			(unsigned long long)piece->start, (unsigned long long)piece->end,
			piece->hole ? "hole" : piece->reserved ? "reserved" :
			piece->offline ? "offline" :
			piece->zone == ONDOL_ZONE_DEVICE ? "device" : "memory");
		if (!piece->hole)
			fprintf(out, ",\"node\":%u,\"zone\":\"%s\"", piece->node,
				ondol_zone_name((enum ondol_zone_type)piece->zone));
		fputc('}', out);
	}
	fputs("],\n", out);
}

static void put_nodes(FILE *out, const struct lab_show *show)
{
	const struct lab_machine *machine = show->machine;

	fputs("\"pgdat_list\":[", out);
	for (uint32_t i = 0; i < show->nr_nodes; i++) {
		const struct ondol_node_stats *node = &show->nodes[i];
		const char *comma = "";

		fputs(i ? ",{" : "{", out);
		put_number(out, "id", node->id);
		put_number(out, "node_start_pfn", node->node_start_pfn.value);
		put_number(out, "node_present_pages", node->node_present_pages);
		put_number(out, "node_spanned_pages", node->node_spanned_pages);
		fputs("\"cpus\":[", out);
		for (uint32_t cpu = 0; cpu < machine->nr_cpus; cpu++)
			if (machine->cpu_to_node[cpu] == node->id) {
				fprintf(out, "%s%u", comma, cpu);
				comma = ",";
			}
		fputs("]}", out);
	}
	fputs("],\n\"distance\":[", out);
	for (uint32_t from = 0; from < machine->nr_nodes; from++) {
		fputs(from ? ",[" : "[", out);
		for (uint32_t to = 0; to < machine->nr_nodes; to++)
			fprintf(out, "%s%u", to ? "," : "", machine_distance(machine, from, to));
		fputc(']', out);
	}
	fputs("],\n", out);
}

void json_machine(const struct lab_draw *draw, const struct lab_show *show)
{
	FILE *out = draw->out;

	fputc('{', out);
	put_profile(out, show->machine);
	put_number(out, "cpus", show->machine->nr_cpus);
	put_number(out, "page_record_bytes", show->stats.page_record_size);
	fputc('\n', out);
	put_pieces(out, show);
	put_nodes(out, show);
	put_zones(out, show->zones, show->nr_zones);
	fputs("}\n", out);
}

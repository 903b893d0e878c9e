/* SPDX-License-Identifier: MIT */
/* The machine language: see machine.h. */
#include "lab/machine.h"

#include <stdlib.h>
#include <string.h>

#define ADDRESS_MAX (UINT64_C(16) << 40) /* what an ordinary host reserves without a murmur */

static const struct ondol_profile *const profiles[] = {
	&ondol_profile_toy16, &ondol_profile_i386_2_4, &ondol_profile_i386_2_6,
	&ondol_profile_x86_64 };

void machine_init(struct lab_machine *machine)
{
	*machine = (struct lab_machine){ .name = "machine", .profile = ondol_profile_x86_64,
					 .nr_nodes = 1, .nr_cpus = 1 };
}

void machine_release(struct lab_machine *machine)
{
	for (unsigned lang = 0; lang < LAB_LANGS; lang++)
		free(machine->title[lang]);
	free(machine->profile_text);
	free(machine->regions);
	free(machine->places);
	memset(machine, 0, sizeof *machine);
}

static void *must(void *memory)
{
	if (memory)
		return memory;
	fputs("ondol: out of memory\n", stderr);
	exit(125);
}

void machine_copy(struct lab_machine *to, const struct lab_machine *from)
{
	*to = *from;
	for (unsigned lang = 0; lang < LAB_LANGS; lang++)
		to->title[lang] = from->title[lang] ? must(strdup(from->title[lang])) : NULL;
	to->profile_text = NULL;
	to->regions = NULL;
	to->places = NULL;
	to->nr_regions = 0;
	for (uint32_t i = 0; i < from->nr_regions; i++)
		machine_add_region(to, from->regions[i].start.value, from->regions[i].end.value,
				   from->regions[i].type, from->regions[i].node,
				   (struct lab_place){ 0, 0, 0 });
}

void machine_add_region(struct lab_machine *machine, uint64_t start, uint64_t end,
			enum ondol_mem_type type, uint16_t node, struct lab_place place)
{
	uint32_t at = machine->nr_regions++;

	machine->regions = must(realloc(machine->regions, (at + 1) * sizeof *machine->regions));
	machine->places = must(realloc(machine->places, (at + 1) * sizeof *machine->places));
	machine->regions[at] = (struct ondol_mem_region){ .start = ondol_phys_addr(start),
							  .end = ondol_phys_addr(end),
							  .type = type, .node = node };
	machine->places[at] = place;
	if (type != ONDOL_MEM_RESERVED && node >= machine->nr_nodes)
		machine->nr_nodes = node + 1u;
}

bool machine_has_zone(const struct lab_machine *machine, unsigned type)
{
	for (unsigned node = 0; type == ONDOL_ZONE_MOVABLE && node < LAB_NODES_MAX; node++)
		if (machine->movable[node])
			return true;
	for (uint32_t i = 0; type == ONDOL_ZONE_DEVICE && i < machine->nr_regions; i++)
		if (machine->regions[i].type == ONDOL_MEM_DEVICE)
			return true;
	return machine->profile.zone_end[type] != 0;
}

unsigned machine_distance(const struct lab_machine *machine, uint32_t from, uint32_t to)
{
	if (machine->distance_rows)
		return machine->distance[from * machine->nr_nodes + to];
	return from == to ? 10 : 20;
}

/* ------------------------------------------------------------------ statements */

static bool read_node(struct lab_source *src, uint16_t *out_node)
{
	uint64_t node = 0;

	*out_node = 0;
	if (!source_take(src, "node"))
		return true;
	if (!source_number(src, 0, LAB_NODES_MAX - 1, "a node", &node))
		return false;
	*out_node = (uint16_t)node;
	return true;
}

static bool read_memory(struct lab_machine *machine, struct lab_source *src,
			enum ondol_mem_type type)
{
	struct lab_place place = src->token.place;
	bool sized = type != ONDOL_MEM_RESERVED;
	uint64_t start, end, top = 0;
	uint16_t node;

	if (!source_range(src, sized ? "a range such as 1M-4G, or a size" :
			  "a range such as 640K-1M", sized, &start, &end))
		return false;
	if (machine->nr_regions >= LAB_REGIONS_MAX)
		return source_complain(src, place, "more than %u regions", LAB_REGIONS_MAX);
	for (uint32_t i = 0; i < machine->nr_regions; i++)
		if (machine->regions[i].end.value > top)
			top = machine->regions[i].end.value;
	if (start == UINT64_MAX) {
		if (!end)
			return source_complain(src, place, "a size of nothing");
		start = top;
		end += top;
	}
	if (end > ADDRESS_MAX)
		return source_complain(src, place, "memory ends at 16T here");
	if (sized && !read_node(src, &node))
		return false;
	machine_add_region(machine, start, end, type, sized ? node : 0, place);
	return true;
}

static bool read_profile(struct lab_machine *machine, struct lab_source *src)
{
	for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
		if (source_take(src, profiles[i]->name)) {
			machine->profile = *profiles[i];
			return true;
		}
	return source_expected(src, "a profile: toy16, i386-2.4, i386-2.6 or x86_64");
}

static bool read_cpus(struct lab_machine *machine, struct lab_source *src)
{
	uint64_t nr;

	if (!source_number(src, 1, LAB_CPUS_MAX, "how many CPUs", &nr))
		return false;
	machine->nr_cpus = (uint32_t)nr;
	machine->cpus_told = true;
	return true;
}

/* cpu 0-3 node 1 */
static bool read_cpu(struct lab_machine *machine, struct lab_source *src)
{
	struct lab_place place = src->token.place;
	uint64_t first, last;
	uint16_t node;

	if (src->token.kind == LAB_WORD && memchr(src->token.at, '-', src->token.size)) {
		if (!source_range(src, "CPUs such as 0-3", false, &first, &last))
			return false;
	} else if (source_number(src, 0, LAB_CPUS_MAX - 1, "a CPU, or CPUs such as 0-3", &first)) {
		last = first;
	} else {
		return false;
	}
	if (last >= LAB_CPUS_MAX)
		return source_complain(src, place, "CPUs are numbered from 0 to %u",
				       LAB_CPUS_MAX - 1);
	if (!source_is(src, "node"))
		return source_expected(src, "node and its number");
	if (!read_node(src, &node))
		return false;
	for (uint64_t cpu = first; cpu <= last; cpu++) {
		machine->cpu_to_node[cpu] = node;
		machine->cpu_told[cpu / 64] |= UINT64_C(1) << cpu % 64;
	}
	if (node >= machine->nr_nodes)
		machine->nr_nodes = node + 1u;
	if (last >= machine->nr_cpus)
		machine->nr_cpus = (uint32_t)last + 1;
	machine->cpus_told = true;
	return true;
}

/* distance 10 20, 20 10; checked against the number of nodes at the end */
static bool read_distance(struct lab_machine *machine, struct lab_source *src)
{
	uint32_t columns = 0, width = 0, rows = 1, nr = 0;

	machine->distance_place = src->token.place;
	while (src->token.kind == LAB_WORD || src->token.kind == LAB_COMMA) {
		uint64_t distance;

		if (src->token.kind == LAB_COMMA) {
			if (!columns || (width && columns != width))
				return source_complain(src, src->token.place,
						       "a row of %u distances after one of %u",
						       columns, width);
			width = columns;
			columns = 0;
			rows++;
			source_next(src);
			continue;
		}
		if (nr == LAB_NODES_MAX * LAB_NODES_MAX)
			return source_complain(src, src->token.place, "too many distances");
		if (!source_number(src, 10, 255, "a distance", &distance))
			return false;
		machine->distance[nr++] = (uint8_t)distance;
		columns++;
	}
	if (!nr || (width && columns != width))
		return source_expected(src, "a row of distances, one a node");
	machine->distance_rows = rows;
	machine->distance_columns = columns;
	return true;
}

/* zone DMA 16M */
static bool read_zone(struct lab_machine *machine, struct lab_source *src)
{
	static const char wanted[] = "a zone: DMA, DMA32, Normal, HighMem or Movable";
	char word[16];
	uint64_t end = 0;
	unsigned type = 0;

	if (!(src->token.kind == LAB_WORD && src->token.size < sizeof word))
		return source_expected(src, wanted);
	memcpy(word, src->token.at, src->token.size);
	word[src->token.size] = '\0';
	while (type < ONDOL_ZONE_DEVICE &&
	       strcmp(word, ondol_zone_name((enum ondol_zone_type)type)))
		type++;
	if (type == ONDOL_ZONE_DEVICE)
		return source_expected(src, wanted);
	source_next(src);
	if (source_is(src, "none")) {
		source_next(src);
	} else {
		struct lab_place place = src->token.place;

		if (!source_size(src, "the address where the zone ends, such as 16M, or none",
				 &end))
			return false;
		if (!end || end & ~ONDOL_PAGE_MASK)
			return source_complain(src, place, "zones end between frames: at a "
					       "multiple of 4K");
	}
	machine->profile.zone_end[type] = end;
	return true;
}

/* movable 4200M node 0 */
static bool read_movable(struct lab_machine *machine, struct lab_source *src)
{
	struct lab_place place = src->token.place;
	uint64_t start;
	uint16_t node = 0;

	if (!source_size(src, "the address where the node's Movable zone begins", &start))
		return false;
	if (!start || start & ~ONDOL_PAGE_MASK)
		return source_complain(src, place, "zones begin between frames: at a multiple of "
				       "4K");
	if (source_is(src, "node") && !read_node(src, &node))
		return false;
	machine->movable[node] = start;
	return true;
}

/* scale 1/128 */
static bool read_scale(struct lab_machine *machine, struct lab_source *src)
{
	static const char wanted[] = "a scale such as 1/128";
	char word[24], *end;
	unsigned long from, to = 1;

	if (src->token.kind != LAB_WORD || src->token.size >= sizeof word)
		return source_expected(src, wanted);
	memcpy(word, src->token.at, src->token.size);
	word[src->token.size] = '\0';
	from = strtoul(word, &end, 10);
	if (*end == '/')
		to = strtoul(end + 1, &end, 10);
	if (*end || !from || !to || from > 1024 || to > 1u << 20)
		return source_expected(src, wanted);
	source_next(src);
	machine->scale_from = (uint32_t)from;
	machine->scale_to = (uint32_t)to;
	return true;
}

static bool read_choice(struct lab_source *src, const char *const *words, unsigned nr,
			const char *wanted, unsigned *out_choice)
{
	for (unsigned i = 0; i < nr; i++)
		if (source_take(src, words[i])) {
			*out_choice = i;
			return true;
		}
	return source_expected(src, wanted);
}

static bool read_switch(struct lab_source *src, bool *out_on)
{
	static const char *const words[] = { "off", "on" };
	unsigned choice = 0;

	if (!read_choice(src, words, 2, "on or off", &choice))
		return false;
	*out_on = choice;
	return true;
}

static bool read_orders(struct lab_machine *machine, struct lab_source *src)
{
	uint64_t orders;

	if (!source_number(src, 1, ONDOL_MAX_ORDERS, "how many orders", &orders))
		return false;
	machine->profile.nr_orders = (uint8_t)orders;
	return true;
}

static bool read_lazy(struct lab_machine *machine, struct lab_source *src)
{
	static const char *const words[] = { "eager", "delay2", "pcp" };
	unsigned choice = 0;

	if (!read_choice(src, words, 3, "a way to merge: eager, delay2 or pcp", &choice))
		return false;
	machine->profile.lazy = (enum ondol_lazy_policy)choice;
	return true;
}

static bool read_split(struct lab_machine *machine, struct lab_source *src)
{
	static const char *const words[] = { "lower", "upper" };
	unsigned choice = 0;

	if (!read_choice(src, words, 2, "the half that is handed out: lower or upper", &choice))
		return false;
	machine->profile.split_hands_out_upper = choice;
	return true;
}

static bool read_usable(struct lab_machine *machine, struct lab_source *src)
{
	return read_memory(machine, src, ONDOL_MEM_USABLE);
}

static bool read_reserved(struct lab_machine *machine, struct lab_source *src)
{
	return read_memory(machine, src, ONDOL_MEM_RESERVED);
}

static bool read_offline(struct lab_machine *machine, struct lab_source *src)
{
	return read_memory(machine, src, ONDOL_MEM_OFFLINE);
}

static bool read_device(struct lab_machine *machine, struct lab_source *src)
{
	return read_memory(machine, src, ONDOL_MEM_DEVICE);
}

static bool read_map(struct lab_machine *machine, struct lab_source *src)
{
	machine->profile.map_from = 0;
	return read_switch(src, &machine->profile.map_bitmap);
}

static bool read_migrate(struct lab_machine *machine, struct lab_source *src)
{
	return read_switch(src, &machine->profile.migrate_types);
}

static bool read_pcp(struct lab_machine *machine, struct lab_source *src)
{
	if (!read_switch(src, &machine->profile.pcp))
		return false;
	if (machine->profile.lazy != ONDOL_LAZY_DELAY2)
		machine->profile.lazy = machine->profile.pcp ? ONDOL_LAZY_PCP : ONDOL_LAZY_EAGER;
	return true;
}

static const struct {
	const char *word;
	bool (*read)(struct lab_machine *machine, struct lab_source *src);
} statements[] = {
	{ "memory", read_usable },   { "reserved", read_reserved }, { "profile", read_profile },
	{ "cpus", read_cpus },	     { "cpu", read_cpu },	    { "zone", read_zone },
	{ "distance", read_distance }, { "scale", read_scale },	    { "orders", read_orders },
	{ "map", read_map },	     { "migrate", read_migrate },   { "pcp", read_pcp },
	{ "split", read_split },     { "lazy", read_lazy },	    { "movable", read_movable },
	{ "offline", read_offline }, { "device", read_device },
};

bool machine_is_statement(const struct lab_source *src)
{
	for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
		if (source_is(src, statements[i].word))
			return true;
	return false;
}

bool machine_statement(struct lab_machine *machine, struct lab_source *src)
{
	for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
		if (source_take(src, statements[i].word))
			return statements[i].read(machine, src) && source_end_of_line(src);
	return source_expected(src, "a statement about the machine: memory, offline, device, "
			       "reserved, profile, cpus, cpu, distance, zone, scale, orders, "
			       "map, migrate, pcp, split or lazy");
}

/* ------------------------------------------------------------------ the whole */

static bool check_overlaps(struct lab_machine *machine, struct lab_source *src,
			   struct lab_place where)
{
	const struct ondol_mem_region *regions = machine->regions;

	for (uint32_t i = 0; i < machine->nr_regions; i++)
		for (uint32_t k = 0; k < i; k++) {
			if (regions[i].type == ONDOL_MEM_RESERVED ||
			    regions[k].type == ONDOL_MEM_RESERVED ||
			    (regions[i].node == regions[k].node &&
			     regions[i].type == regions[k].type) ||
			    regions[i].start.value >= regions[k].end.value ||
			    regions[k].start.value >= regions[i].end.value)
				continue;
			if (machine->places[i].line)
				where = machine->places[i];
			if (regions[i].node == regions[k].node)
				return source_complain(src, where, "this is memory of two types: "
						       "memory, offline or device");
			return source_complain(src, where, "node %u and node %u both claim this "
					       "memory", regions[k].node, regions[i].node);
		}
	return true;
}

static bool check_zones(struct lab_machine *machine, struct lab_source *src,
			struct lab_place where)
{
	uint64_t below = 0, *end = machine->profile.zone_end;
	const char *name = NULL;

	for (unsigned type = 0; type < ONDOL_NR_ZONES; type++) {
		const char *this_name = ondol_zone_name((enum ondol_zone_type)type);

		/* The highest addresses that there are stay: nothing is beyond them. */
		if (machine->scale_to && end[type] && end[type] < UINT64_C(1) << 52)
			end[type] = (end[type] / machine->scale_to * machine->scale_from) &
				    ONDOL_PAGE_MASK;
		if (!end[type])
			continue;
		if (end[type] <= below)
			return source_complain(src, where, "zone %s ends where zone %s does, or "
					       "before", this_name, name);
		below = end[type];
		name = this_name;
	}
	machine->scale_to = 0;
	if (!end[ONDOL_ZONE_DMA] && !end[ONDOL_ZONE_DMA32] && !end[ONDOL_ZONE_NORMAL])
		return source_complain(src, where, "the kernel needs a zone of its own: DMA, DMA32 "
				       "or Normal");
	return true;
}

static bool check_distance(struct lab_machine *machine, struct lab_source *src)
{
	uint32_t nr = machine->nr_nodes;

	if (!machine->distance_rows)
		return true;
	if (machine->distance_rows != nr || machine->distance_columns != nr)
		return source_complain(src, machine->distance_place, "%u rows of %u distances for "
				       "%u nodes", machine->distance_rows,
				       machine->distance_columns, nr);
	for (uint32_t i = 0; i < nr; i++)
		if (machine->distance[i * nr + i] != 10)
			return source_complain(src, machine->distance_place,
					       "a node's distance to itself is 10");
	return true;
}

/* "i386-2.6, 10 orders, map, eager" */
static void describe_profile(struct lab_machine *machine)
{
	const struct ondol_profile *profile = &machine->profile;
	char text[160];

	snprintf(text, sizeof text, "%s, %u orders, %s, %s%s, split %s", profile->name,
		 profile->nr_orders, profile->map_bitmap ? "map" : "no map",
		 ondol_lazy_name(profile->lazy),
		 profile->migrate_types ? ", migrate types" : "",
		 profile->split_hands_out_upper ? "upper" : "lower");
	free(machine->profile_text);
	machine->profile_text = must(strdup(text));
}

bool machine_complete(struct lab_machine *machine, struct lab_source *src,
		      struct lab_place where)
{
	bool any = false;

	if (src->failed)
		return false;
	for (uint32_t i = 0; i < machine->nr_regions; i++)
		any |= machine->regions[i].type == ONDOL_MEM_USABLE;
	if (!any)
		return source_complain(src, where, "a machine needs memory: for example "
				       "`memory 64M`");
	if (machine->profile.lazy == ONDOL_LAZY_PCP && !machine->profile.pcp)
		return source_complain(src, where, "`lazy pcp` needs `pcp on`");
	if (!machine->cpus_told && machine->nr_cpus < machine->nr_nodes)
		machine->nr_cpus = machine->nr_nodes;
	for (uint32_t cpu = 0; cpu < machine->nr_cpus; cpu++)
		if (!(machine->cpu_told[cpu / 64] >> cpu % 64 & 1))
			machine->cpu_to_node[cpu] = (uint16_t)(cpu % machine->nr_nodes);
	describe_profile(machine);
	return check_overlaps(machine, src, where) && check_zones(machine, src, where) &&
	       check_distance(machine, src);
}

static bool load_preset(struct lab_machine *machine, struct lab_source *src)
{
	char preset[LAB_NAME_MAX], names[256] = "";
	struct lab_place place = src->token.place;
	const struct lab_file *file;
	struct lab_source inner;

	if (!source_word(src, "the name of a machine", preset, sizeof preset))
		return false;
	file = lab_find("machines", preset, ".machine");
	if (!file) {
		FILE *list = fmemopen(names, sizeof names, "w");

		if (list) {
			lab_names(list, "machines", ".machine");
			fclose(list);
		}
		return source_complain(src, place, "no machine is called '%s'; there are %s",
				       preset, names);
	}
	source_begin(&inner, file->name, file->text, file->size, src->complaints);
	machine_release(machine);
	machine_init(machine);
	if (!machine_parse(machine, &inner))
		src->failed = true;
	return !src->failed;
}

bool machine_heading(struct lab_machine *machine, struct lab_source *src)
{
	char name[LAB_NAME_MAX], *title[LAB_LANGS] = { NULL };
	bool good = source_word(src, "the machine's name", name, sizeof name);

	while (good && src->token.kind != LAB_EOL && src->token.kind != LAB_EOF) {
		if (source_take(src, "from"))
			good = load_preset(machine, src);
		else if (source_take(src, "ko"))
			good = source_string(src, "a title in quotes", &title[LAB_KO]);
		else if (src->token.kind == LAB_STRING)
			good = source_string(src, "a title", &title[LAB_EN]);
		else
			good = source_expected(src, "a title in quotes, ko and one, or from and a "
					       "machine");
	}
	if (good)
		snprintf(machine->name, sizeof machine->name, "%s", name);
	for (unsigned lang = 0; lang < LAB_LANGS; lang++) {
		/* A title of one's own takes both languages' places. */
		if (title[LAB_EN] || title[LAB_KO]) {
			free(machine->title[lang]);
			machine->title[lang] = NULL;
		}
	}
	for (unsigned lang = 0; lang < LAB_LANGS; lang++)
		if (title[lang])
			machine->title[lang] = title[lang];
	return good && source_end_of_line(src);
}

bool machine_parse(struct lab_machine *machine, struct lab_source *src)
{
	struct lab_place where = src->token.place;

	while (src->token.kind != LAB_EOF && !src->failed) {
		if (src->token.kind == LAB_EOL) {
			source_next(src);
			continue;
		}
		where = src->token.place;
		if (source_take(src, "machine") ? !machine_heading(machine, src) :
						  !machine_statement(machine, src))
			return false;
	}
	return machine_complete(machine, src, where);
}

/* SPDX-License-Identifier: MIT */
/*
 * Machines from hwloc, read here so that libhwloc is not needed.
 *
 * 1 Synthetic: levels from the outside in, "TYPE:COUNT(attributes)".  Nodes are the level of
 *   type numa (also "node"), or in brackets attached to the level before:
 *   "pack:2 [numa(memory=1GiB)] core:4".  CPUs are the product of all counts; those under one
 *   node are its own.
 * 2 XML, as `lstopo --of xml` writes it: NUMANode objects with local_memory and cpuset, PU
 *   objects with os_index, and a <distances2> or <distances> matrix of latencies.
 *
 * hwloc knows sizes, not addresses.  Memory is laid end to end from 0, with x86's hole from
 * 3 to 4 GiB when there is more than that.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lab/machine.h"

#define HOLE_START (UINT64_C(3) << 30)
#define HOLE_END (UINT64_C(4) << 30)
#define DEFAULT_MEMORY (UINT64_C(1) << 30) /* a node of which nothing is told, as in hwloc */
#define MEMORY_MAX (UINT64_C(4) << 40)     /* of one node */

bool hwloc_is_xml(const char *text, size_t size)
{
	while (size && strchr(" \t\r\n", *text) && *text) {
		text++;
		size--;
	}
	return size && *text == '<';
}

/* Memory of a node, behind what there is. */
static void lay(struct lab_machine *machine, uint64_t *at, uint64_t size, uint16_t node)
{
	size &= ONDOL_PAGE_MASK;
	while (size) {
		uint64_t piece = size;

		if (*at < HOLE_START && piece > HOLE_START - *at)
			piece = HOLE_START - *at;
		if (*at == HOLE_START)
			*at = HOLE_END;
		if (*at >= HOLE_END)
			piece = size;
		machine_add_region(machine, *at, *at + piece, ONDOL_MEM_USABLE, node,
				   (struct lab_place){ 0, 0, 0 });
		*at += piece;
		size -= piece;
	}
}

/* ------------------------------------------------------------------ synthetic */

struct synthetic {
	struct lab_source *src;
	const char *at, *end;
	uint64_t nodes, cpus, per_node, memory;
	bool have_nodes;
};

static struct lab_place place_at(const struct lab_source *src, const char *at)
{
	struct lab_place place = { .line = 1, .column = 1, .length = 1 };

	for (const char *c = src->text; c < at; c++) {
		place.column++;
		if (*c == '\n') {
			place.line++;
			place.column = 1;
		}
	}
	return place;
}

static bool wrong(struct synthetic *s, const char *wanted)
{
	return source_complain(s->src, place_at(s->src, s->at), "expected %s", wanted);
}

static uint64_t digits(const char **at, const char *end)
{
	uint64_t value = 0;

	while (*at < end && **at >= '0' && **at <= '9' && value < UINT64_C(1) << 56)
		value = value * 10 + (uint64_t)(*(*at)++ - '0');
	return value;
}

/* (memory=1GiB indexes=...): only memory is for us. */
static bool read_attributes(struct synthetic *s)
{
	static const char key[] = "memory=";
	static const struct { const char *name; uint64_t bytes; } units[] = {
		{ "kB", 1000 }, { "KiB", 1 << 10 }, { "MB", 1000000 }, { "MiB", 1 << 20 },
		{ "GB", 1000000000 }, { "GiB", 1 << 30 }, { "TB", UINT64_C(1000000000000) },
		{ "TiB", UINT64_C(1) << 40 } };

	if (s->at >= s->end || *s->at != '(')
		return true;
	for (s->at++; s->at < s->end && *s->at != ')'; s->at++) {
		if ((size_t)(s->end - s->at) < sizeof key || memcmp(s->at, key, sizeof key - 1))
			continue;
		s->at += sizeof key - 1;
		uint64_t value = digits(&s->at, s->end);
		uint64_t unit = 1;

		for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
			size_t size = strlen(units[i].name);

			if ((size_t)(s->end - s->at) >= size &&
			    !memcmp(s->at, units[i].name, size))
				unit = units[i].bytes;
		}
		if (!value || value > MEMORY_MAX / unit || value * unit < ONDOL_PAGE_SIZE)
			return wrong(s, "memory=SIZE, up to 4TiB, such as memory=16GiB");
		s->memory = value * unit;
		if (s->at < s->end && *s->at == ')')
			break;
	}
	if (s->at >= s->end)
		return wrong(s, "a closing )");
	s->at++;
	return true;
}

/* One level; `attached`: in brackets, so that it does not nest. */
static bool read_level(struct synthetic *s, bool attached)
{
	const char *name = s->at, *stop;
	uint64_t count = 1;
	bool is_node;

	while (s->at < s->end && !strchr(":( \t\r\n[]", *s->at))
		s->at++;
	stop = s->at;
	is_node = (stop - name == 4 && (!strncasecmp(name, "numa", 4) ||
					!strncasecmp(name, "node", 4))) ||
		  (stop - name == 8 && !strncasecmp(name, "numanode", 8));
	if (s->at < s->end && *s->at == ':') {
		s->at++;
		count = digits(&s->at, s->end);
	} else if (stop > name && *name >= '0' && *name <= '9') { /* "2 4": types left out */
		s->at = name;
		count = digits(&s->at, s->end);
	} else if (!attached) {
		return wrong(s, "TYPE:COUNT, such as numa:2 or core:4");
	}
	if (!count || count > LAB_CPUS_MAX)
		return wrong(s, "a count from 1 to 256");
	if (is_node && s->have_nodes) {
		s->at = name;
		return wrong(s, "one level of NUMA nodes, not a second");
	}
	if (!attached) {
		s->cpus *= count;
		s->per_node *= count;
	}
	if (is_node) {
		s->nodes = attached ? s->cpus * count : s->cpus;
		s->per_node = 1;
		s->have_nodes = true;
	}
	if (s->cpus > LAB_CPUS_MAX || s->nodes > LAB_NODES_MAX)
		return wrong(s, "at most 256 CPUs and 64 nodes in all");
	return read_attributes(s);
}

static bool read_synthetic(struct lab_machine *machine, struct lab_source *src)
{
	struct synthetic s = { .src = src, .at = src->text, .end = src->text + src->size,
			       .nodes = 1, .cpus = 1, .per_node = 1, .memory = DEFAULT_MEMORY };
	uint64_t at = 0;

	for (;;) {
		bool attached;

		while (s.at < s.end && strchr(" \t\r\n", *s.at) && *s.at)
			s.at++;
		if (s.at >= s.end)
			break;
		attached = *s.at == '[';
		s.at += attached;
		if (!read_level(&s, attached))
			return false;
		if (attached && (s.at >= s.end || *s.at++ != ']'))
			return wrong(&s, "a closing ]");
	}
	if (s.cpus < s.nodes)
		s.cpus = s.nodes;
	machine->nr_cpus = (uint32_t)s.cpus;
	machine->cpus_told = true;
	for (uint64_t cpu = 0; cpu < s.cpus; cpu++) {
		machine->cpu_to_node[cpu] = (uint16_t)(cpu * s.nodes / s.cpus);
		machine->cpu_told[cpu / 64] |= UINT64_C(1) << cpu % 64;
	}
	for (uint64_t node = 0; node < s.nodes; node++)
		lay(machine, &at, s.memory, (uint16_t)node);
	return true;
}

/* ------------------------------------------------------------------ XML */

struct xml {
	struct lab_source *src;
	const char *at, *end;
	const char *tag, *tag_end; /* of the element just read: from its name to before > */
};

/* The next element's tag; closing ones too, comments and text not. */
static bool next_tag(struct xml *xml)
{
	for (;;) {
		const char *open = memchr(xml->at, '<', (size_t)(xml->end - xml->at));
		const char *close;

		if (!open || open + 1 >= xml->end)
			return false;
		close = memchr(open, '>', (size_t)(xml->end - open));
		if (!close)
			return false;
		xml->at = close + 1;
		if (open[1] == '!' || open[1] == '?')
			continue;
		xml->tag = open + 1;
		xml->tag_end = close;
		return true;
	}
}

static bool tag_is(const struct xml *xml, const char *name)
{
	size_t size = strlen(name);

	return (size_t)(xml->tag_end - xml->tag) >= size && !memcmp(xml->tag, name, size) &&
	       (xml->tag + size == xml->tag_end || strchr(" \t\r\n/", xml->tag[size]));
}

/* The value of an attribute, copied; false: it has none. */
static bool attribute(const struct xml *xml, const char *name, char *out_value, size_t room)
{
	size_t size = strlen(name);

	for (const char *at = xml->tag; at + size + 2 < xml->tag_end; at++) {
		const char *value = at + size + 2, *stop;

		if (!strchr(" \t\r\n", at[0]) || !at[0] || memcmp(at + 1, name, size) ||
		    at[size + 1] != '=' || at[size + 2] != '"')
			continue;
		value = at + size + 3;
		if (value > xml->tag_end)
			return false;
		stop = memchr(value, '"', (size_t)(xml->tag_end - value));
		if (!stop || (size_t)(stop - value) >= room)
			return false;
		memcpy(out_value, value, (size_t)(stop - value));
		out_value[stop - value] = '\0';
		return true;
	}
	return false;
}

static bool xml_number(const struct xml *xml, const char *name, uint64_t *out_value)
{
	char text[32], *end;

	if (!attribute(xml, name, text, sizeof text))
		return false;
	*out_value = strtoull(text, &end, 10);
	return end > text && !*end;
}

/* "0x000000ff,0xffffffff": the last word holds bits 0 to 31. */
static bool cpuset_has(const char *text, unsigned cpu)
{
	unsigned word = 0, want = cpu / 32;
	const char *end = text + strlen(text);

	while (end > text) {
		const char *start = end;

		while (start > text && start[-1] != ',')
			start--;
		if (word++ == want)
			return strtoull(start, NULL, 16) >> cpu % 32 & 1;
		end = start > text ? start - 1 : text;
	}
	return false;
}

struct xml_machine {
	uint64_t memory[LAB_NODES_MAX];
	char cpuset[LAB_NODES_MAX][128]; /* of 256 CPUs */
	uint32_t nr_nodes;
	uint64_t pus[LAB_CPUS_MAX]; /* os_index */
	uint32_t nr_pus;
	uint64_t distance[LAB_NODES_MAX * LAB_NODES_MAX];
	uint32_t nr_distances;
};

static bool note_object(struct xml *xml, struct xml_machine *found)
{
	char type[24];
	uint64_t index = 0;

	if (!attribute(xml, "type", type, sizeof type))
		return true;
	if (!strcmp(type, "PU") && xml_number(xml, "os_index", &index)) {
		if (found->nr_pus < LAB_CPUS_MAX)
			found->pus[found->nr_pus++] = index;
	} else if (!strcmp(type, "NUMANode") || !strcmp(type, "Node")) {
		if (found->nr_nodes == LAB_NODES_MAX)
			return source_complain(xml->src, place_at(xml->src, xml->tag),
					       "more than %u nodes", LAB_NODES_MAX);
		xml_number(xml, "local_memory", &found->memory[found->nr_nodes]);
		attribute(xml, "cpuset", found->cpuset[found->nr_nodes],
			  sizeof found->cpuset[0]);
		if (found->memory[found->nr_nodes] > MEMORY_MAX)
			return source_complain(xml->src, place_at(xml->src, xml->tag),
					       "more than 4T in one node");
		found->nr_nodes++;
	}
	return true;
}

/* <u64values length="N">10 21 21 10</u64values>, which may come in several parts. */
static void note_distances(struct xml *xml, struct xml_machine *found)
{
	const char *at = xml->at;

	while (at < xml->end && *at != '<') {
		if (*at < '0' || *at > '9') {
			at++;
			continue;
		}
		uint64_t value = digits(&at, xml->end);

		if (found->nr_distances < LAB_NODES_MAX * LAB_NODES_MAX)
			found->distance[found->nr_distances++] = value;
	}
}

/* A matrix of latencies among nodes; one of bandwidths or of other objects is not for us. */
static void read_distances(struct xml *xml, struct xml_machine *found)
{
	char type[24] = "", kind[24] = "";
	bool ours;

	attribute(xml, "type", type, sizeof type);
	attribute(xml, "kind", kind, sizeof kind);
	/* HWLOC_DISTANCES_KIND_VALUE_LATENCY */
	ours = !strcmp(type, "NUMANode") && strtoul(kind, NULL, 10) & 4 && !found->nr_distances;
	while (next_tag(xml) && !tag_is(xml, "/distances2"))
		if (ours && tag_is(xml, "u64values"))
			note_distances(xml, found);
}

static void use_distances(struct lab_machine *machine, const struct xml_machine *found)
{
	uint32_t nr = found->nr_nodes;

	if (nr < 2 || found->nr_distances != nr * nr)
		return;
	for (uint32_t i = 0; i < nr * nr; i++) {
		uint64_t value = found->distance[i];

		if (i % (nr + 1) == 0 ? value != 10 : value < 10 || value > 255)
			return; /* not Linux's scale: better none than wrong ones */
		machine->distance[i] = (uint8_t)value;
	}
	machine->distance_rows = machine->distance_columns = nr;
}

static void use_cpus(struct lab_machine *machine, const struct xml_machine *found)
{
	machine->nr_cpus = found->nr_pus ? found->nr_pus : 1;
	machine->cpus_told = true;
	for (uint32_t i = 0; i < found->nr_pus; i++) {
		for (uint32_t node = 0; node < found->nr_nodes; node++)
			if (found->pus[i] < 1024 &&
			    cpuset_has(found->cpuset[node], (unsigned)found->pus[i])) {
				machine->cpu_to_node[i] = (uint16_t)node;
				break;
			}
		machine->cpu_told[i / 64] |= UINT64_C(1) << i % 64;
	}
}

static bool read_xml(struct lab_machine *machine, struct lab_source *src)
{
	struct xml xml = { .src = src, .at = src->text, .end = src->text + src->size };
	struct xml_machine *found = calloc(1, sizeof *found);
	uint64_t at = 0;
	bool good = found != NULL, topology = false;

	while (good && next_tag(&xml)) {
		topology |= tag_is(&xml, "topology");
		if (tag_is(&xml, "object"))
			good = note_object(&xml, found);
		else if (tag_is(&xml, "distances2"))
			read_distances(&xml, found);
	}
	if (good && !topology)
		good = source_complain(src, (struct lab_place){ 1, 1, 1 }, "this XML is not "
				       "hwloc's: there is no <topology> in it");
	if (good && !found->nr_nodes)
		good = source_complain(src, (struct lab_place){ 1, 1, 1 }, "there is no object of "
				       "type NUMANode with its local_memory");
	if (good) {
		use_cpus(machine, found);
		for (uint32_t node = 0; node < found->nr_nodes; node++)
			lay(machine, &at, found->memory[node], (uint16_t)node);
		machine->nr_nodes = found->nr_nodes;
		use_distances(machine, found);
	}
	free(found);
	return good;
}

bool hwloc_parse(struct lab_machine *machine, struct lab_source *src)
{
	machine->profile = ondol_profile_x86_64;
	src->failed = false;
	if (!(hwloc_is_xml(src->text, src->size) ? read_xml(machine, src) :
						   read_synthetic(machine, src)))
		return false;
	return machine_complete(machine, src, (struct lab_place){ 1, 1, 1 });
}

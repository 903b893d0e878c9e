/* SPDX-License-Identifier: MIT */
/* ondol machine: machines described by data, shown. */
#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/commands.h"
#include "linux/linux_port.h"
#include "../ondol/ondol.h"

enum { OPT_NODES = 1000, OPT_MEM, OPT_CPUS, OPT_PROFILE, OPT_SCALE, OPT_DISTANCE, OPT_SET,
       OPT_JSON, OPT_SVG, OPT_LANG, OPT_WIDTH };

static const struct argp_option options[] = {
	{ 0, 0, 0, 0, "A machine from the command line:", 1 },
	{ "mem", OPT_MEM, "SIZE,...", 0, "Memory of each node; one size is shared by all", 1 },
	{ "nodes", OPT_NODES, "N", 0, "NUMA nodes (default: as many as --mem has sizes)", 1 },
	{ "cpus", OPT_CPUS, "N", 0, "CPUs, shared out over the nodes (default: one a node)", 1 },
	{ 0, 0, 0, 0, "Changes to any machine:", 2 },
	{ "profile", OPT_PROFILE, "NAME", 0, "toy16, i386-2.4, i386-2.6 or x86_64", 2 },
	{ "scale", OPT_SCALE, "N/M", 0, "Scale all limits of zones: with 1/128 a machine of 16M "
	  "has HighMem", 2 },
	{ "distance", OPT_DISTANCE, "ROWS", 0, "Distances, \"10 20, 20 10\"", 2 },
	{ "set", OPT_SET, "LINE", 0, "A line of the machine language, as in a file", 2 },
	{ 0, 0, 0, 0, "How to show it:", 3 },
	{ "json", OPT_JSON, 0, 0, "As JSON", 3 },
	{ "svg", OPT_SVG, 0, 0, "As SVG", 3 },
	{ "lang", OPT_LANG, "en|ko", 0, "The picture's words (default: the locale's)", 3 },
	{ "width", OPT_WIDTH, "N", 0, "Columns (default: the terminal's, or 80)", 3 },
	{ 0 },
};

static const char doc[] =
	"Show a machine: nodes, zones, banks, holes, and what Ondol makes of them.\v"
	"MACHINE is the name of one that is shipped (`ondol machine list`), a file in the machine "
	"language of docs/lab.md, an hwloc XML file (`lstopo machine.xml`) or an hwloc synthetic "
	"string.\n\nExamples:\n"
	"  ondol machine show numa2-movable\n"
	"  ondol machine show --nodes 2 --mem 1G,512M\n"
	"  ondol machine show \"numa:4(memory=8GiB) core:4 pu:2\" --json\n"
	"  ondol machine show --mem 16M --profile i386-2.6 --scale 1/128\n";

struct input {
	const char *machine, *mem, *lang;
	char *changes; /* lines of the machine language */
	size_t changes_size;
	FILE *lines;
	unsigned nodes, cpus, width;
	bool json, svg;
};

static unsigned number(struct argp_state *state, const char *option, const char *value,
		       unsigned low, unsigned high)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (end == value || *end || n < low || n > high || *value == '-') {
		fprintf(stderr, "%s: --%s %s: want a whole number from %u to %u\n", state->name,
			option, value, low, high);
		exit(ONDOL_EXIT_CANNOT);
	}
	return (unsigned)n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct input *input = state->input;

	switch (key) {
	case OPT_NODES:
		input->nodes = number(state, "nodes", arg, 1, LAB_NODES_MAX);
		break;
	case OPT_CPUS:
		input->cpus = number(state, "cpus", arg, 1, LAB_CPUS_MAX);
		break;
	case OPT_WIDTH:
		input->width = number(state, "width", arg, 40, 500);
		break;
	case OPT_MEM:
		input->mem = arg;
		break;
	case OPT_PROFILE:
		fprintf(input->lines, "profile %s\n", arg);
		break;
	case OPT_SCALE:
		fprintf(input->lines, "scale %s\n", arg);
		break;
	case OPT_DISTANCE:
		fprintf(input->lines, "distance %s\n", arg);
		break;
	case OPT_SET:
		fprintf(input->lines, "%s\n", arg);
		break;
	case OPT_JSON:
		input->json = true;
		break;
	case OPT_SVG:
		input->svg = true;
		break;
	case OPT_LANG:
		input->lang = arg;
		break;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			return ARGP_ERR_UNKNOWN;
		input->machine = arg;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* --mem and --nodes as lines of the machine language. */
static bool read_mem(const char *command, const struct input *input, FILE *lines)
{
	char *sizes = strdup(input->mem ? input->mem : "1G"), *save = NULL;
	unsigned nr = 1, node = 0;
	uint64_t bytes = 0;
	bool good = sizes != NULL;

	for (const char *c = sizes; c && *c; c++)
		nr += *c == ',';
	if (good && input->nodes && nr > 1 && nr != input->nodes) {
		fprintf(stderr, "%s: --mem has %u sizes for %u nodes\n", command, nr,
			input->nodes);
		good = false;
	}
	for (char *size = good ? strtok_r(sizes, ",", &save) : NULL; size;
	     size = strtok_r(NULL, ",", &save)) {
		if (!parse_size(size, &bytes)) {
			fprintf(stderr, "%s: --mem %s: '%s' is no size such as 512M or 1.5G\n",
				command, input->mem, size);
			good = false;
			break;
		}
		if (nr > 1)
			fprintf(lines, "memory %s node %u\n", size, node++);
	}
	for (unsigned i = 0; good && nr == 1 && i < (input->nodes ? input->nodes : 1); i++)
		fprintf(lines, "memory 0x%llx node %u\n", (unsigned long long)
			(bytes / (input->nodes ? input->nodes : 1) & ONDOL_PAGE_MASK), i);
	if (good && input->cpus)
		fprintf(lines, "cpus %u\n", input->cpus);
	free(sizes);
	return good;
}

static bool parse_text(struct lab_machine *machine, const char *name, const char *text,
		       size_t size)
{
	struct lab_source src;

	if (hwloc_is_xml(text, size)) {
		src = (struct lab_source){ .name = name, .text = text, .size = size,
					   .complaints = stderr };
		return hwloc_parse(machine, &src);
	}
	source_begin(&src, name, text, size, stderr);
	return machine_parse(machine, &src);
}

/* By name: shipped, a file, a synthetic string. */
static bool find_machine(const char *command, struct lab_machine *machine, const char *name)
{
	const struct lab_file *file = lab_find("machines", name, ".machine");
	const char *base = strrchr(name, '/');
	struct lab_source src;
	size_t size;
	char *text;
	bool good;

	if (file)
		return parse_text(machine, file->name, file->text, file->size);
	if (strcmp(name, "-") && access(name, F_OK)) {
		if (strpbrk(name, ": ")) {
			src = (struct lab_source){ .name = "synthetic", .text = name,
						   .size = strlen(name), .complaints = stderr };
			return hwloc_parse(machine, &src);
		}
		fprintf(stderr, "%s: '%s' is no file, and no machine of this name is shipped: ",
			command, name);
		lab_names(stderr, "machines", ".machine");
		fputc('\n', stderr);
		return false;
	}
	text = lab_read_file(command, name, &size);
	snprintf(machine->name, sizeof machine->name, "%.39s", base ? base + 1 : name);
	good = text && parse_text(machine, name, text, size);
	free(text);
	return good;
}

static bool make_machine(const char *command, struct input *input, struct lab_machine *machine)
{
	char *text = NULL;
	size_t size = 0;
	bool good;

	machine_init(machine);
	if (input->machine && (input->mem || input->nodes)) {
		fprintf(stderr, "%s: --mem and --nodes make a machine, %s is another\n", command,
			input->machine);
		return false;
	}
	if (input->machine && !find_machine(command, machine, input->machine))
		return false;
	if (input->machine && input->cpus)
		fprintf(input->lines, "cpus %u\n", input->cpus);
	fflush(input->lines);
	FILE *all = open_memstream(&text, &size);

	if (!all)
		return false;
	good = input->machine || read_mem(command, input, all);
	/* A profile comes first: it sets everything that the others change. */
	for (int pass = 0; pass < 2; pass++)
		for (char *at = input->changes, *next; at && *at; at = next) {
			next = strchr(at, '\n') + 1;
			if (!strncmp(at, "profile", 7) == !pass)
				fwrite(at, 1, (size_t)(next - at), all);
		}
	fclose(all);
	good = good && parse_text(machine, "command line", text, size);
	free(text);
	return good;
}

static int command_show(int argc, char **argv)
{
	static const struct argp argp = { options, parse, "[MACHINE]", doc, NULL, NULL, NULL };
	struct input input = { .machine = NULL };
	struct lab_machine machine;
	struct lab_show show;
	enum lab_lang lang;
	int r = ONDOL_EXIT_CANNOT;

	input.lines = open_memstream(&input.changes, &input.changes_size);
	argp_err_exit_status = ONDOL_EXIT_CANNOT;
	if (!input.lines || argp_parse(&argp, argc, argv, 0, NULL, &input))
		return ONDOL_EXIT_CANNOT;
	if (!lab_lang_of(input.lang, &lang)) {
		fprintf(stderr, "%s: --lang %s: want en or ko\n", argv[0], input.lang);
		return ONDOL_EXIT_CANNOT;
	}
	if (make_machine(argv[0], &input, &machine)) {
		struct lab_draw draw = lab_draw_to(stdout, lang, input.width);
		int error = show_look(&show, &machine);

		if (error) {
			fprintf(stderr, "%s: the core does not take this machine: %s\n", argv[0],
				world_error(error));
		} else {
			(input.json ? json_machine : input.svg ? svg_machine : terminal_machine)(
				&draw, &show);
			r = lab_flushed(argv[0], stdout, "standard output") ? 0 :
			    ONDOL_EXIT_CANNOT;
			show_release(&show);
		}
	}
	machine_release(&machine);
	fclose(input.lines);
	free(input.changes);
	return r;
}

static int list_machines(void)
{
	for (const struct lab_file *file = lab_files; file->name; file++) {
		struct lab_machine machine;
		struct lab_source src;

		if (strncmp(file->name, "machines/", 9))
			continue;
		machine_init(&machine);
		source_begin(&src, file->name, file->text, file->size, stderr);
		if (machine_parse(&machine, &src))
			printf("%-24s %s\n", machine.name, text_in(machine.title, LAB_EN));
		machine_release(&machine);
	}
	return lab_flushed("ondol machine", stdout, "standard output") ? 0 : ONDOL_EXIT_CANNOT;
}

int command_machine(int argc, char **argv)
{
	static char title[] = "ondol machine show";
	const char *what = argc > 1 ? argv[1] : "show";

	if (!strcmp(what, "list") && argc == 2)
		return list_machines();
	if (argc > 1 && !strcmp(what, "show")) {
		argv[1] = title;
		return command_show(argc - 1, argv + 1);
	}
	if (argc > 1 && *what != '-') {
		fprintf(stderr, "ondol machine: want show or list, not '%s'\n", what);
		return ONDOL_EXIT_CANNOT;
	}
	argv[0] = title;
	return command_show(argc, argv);
}

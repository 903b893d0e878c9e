/* SPDX-License-Identifier: MIT */
/* ondol lab: a scenario run, shown step by step, drawn or checked. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/commands.h"
#include "lab/view.h"
#include "linux/linux_port.h"
#include "../ondol/ondol.h"

enum { OPT_ON = 1000, OPT_STEP, OPT_SVG, OPT_SVG_DIR, OPT_JSON, OPT_LANG, OPT_WIDTH, OPT_LIST,
       OPT_CHECK, OPT_PRINT };

static const struct argp_option options[] = {
	{ "on", OPT_ON, "MACHINE", 0, "Which of the scenario's machines (default: the first)", 1 },
	{ "step", OPT_STEP, "STEP", 0, "Only this step, by its name", 1 },
	{ "lang", OPT_LANG, "en|ko", 0, "Words in English or Korean (default: the locale's)", 1 },
	{ 0, 0, 0, 0, "What to make of it (default: in a terminal step by step, else printed):",
	  2 },
	{ "print", OPT_PRINT, 0, 0, "Print all steps, in a terminal too", 2 },
	{ "svg", OPT_SVG, "FILE", 0, "A picture of the steps into FILE, - for standard output", 2 },
	{ "svg-dir", OPT_SVG_DIR, "DIR", 0, "A picture of each step, DIR/STEP.svg", 2 },
	{ "json", OPT_JSON, 0, 0, "Every state, for programs", 2 },
	{ "width", OPT_WIDTH, "N", 0, "Columns (default: the terminal's, or 80)", 2 },
	{ "list", OPT_LIST, 0, 0, "The scenarios that are shipped", 3 },
	{ "check", OPT_CHECK, 0, 0, "Run scenarios (default: all that are shipped) on all of "
	  "their machines; exit status 1: an expectation failed", 3 },
	{ 0 },
};

static const char doc[] =
	"Run a scenario on the real allocator and show the machine after each step.\v"
	"SCENARIO is the name of one that is shipped, of a step of one (figure1), or a file in "
	"the language of docs/lab.md.  Keys in a terminal: right, n, space: on; left, p: back; "
	"home, end; q.\n\nExamples:\n"
	"  ondol lab figures\n"
	"  ondol lab figure4 --lang ko\n"
	"  ondol lab figures --on modern --svg-dir pictures\n"
	"  ondol lab --check my.lab\n";

struct input {
	char **names;
	unsigned nr_names;
	const char *on, *step, *svg, *svg_dir, *lang;
	unsigned width;
	bool json, print, list, check;
	enum lab_lang language;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct input *input = state->input;

	switch (key) {
	case OPT_ON:
		input->on = arg;
		break;
	case OPT_STEP:
		input->step = arg;
		break;
	case OPT_SVG:
		input->svg = arg;
		break;
	case OPT_SVG_DIR:
		input->svg_dir = arg;
		break;
	case OPT_JSON:
		input->json = true;
		break;
	case OPT_LANG:
		input->lang = arg;
		break;
	case OPT_WIDTH:
		input->width = (unsigned)atoi(arg);
		if (input->width < 40 || input->width > 500)
			argp_error(state, "--width %s: want 40 to 500", arg);
		break;
	case OPT_LIST:
		input->list = true;
		break;
	case OPT_CHECK:
		input->check = true;
		break;
	case OPT_PRINT:
		input->print = true;
		break;
	case ARGP_KEY_ARG:
		if (!input->nr_names)
			input->names = state->argv + state->next - 1;
		input->nr_names++;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* ------------------------------------------------------------------ scenarios by name */

struct loaded {
	struct lab_scenario scenario;
	struct lab_source src;
	char *text; /* of a file, or NULL */
	char name[LAB_NAME_MAX];
	char step[LAB_NAME_MAX]; /* the name was a step's */
};

static bool parse_loaded(struct loaded *loaded, const char *name, const char *text, size_t size)
{
	source_begin(&loaded->src, name, text, size, stderr);
	return scenario_parse(&loaded->scenario, &loaded->src);
}

static void unload(struct loaded *loaded)
{
	scenario_release(&loaded->scenario);
	free(loaded->text);
	loaded->text = NULL;
}

static bool has_step(const struct lab_scenario *scenario, const char *id)
{
	for (uint32_t i = 0; i < scenario->nr_steps; i++)
		if (!strcmp(scenario->steps[i].id, id))
			return true;
	return false;
}

static bool is_scenario(const struct lab_file *file)
{
	size_t size = strlen(file->name);

	return !strchr(file->name, '/') && size > 4 && !strcmp(file->name + size - 4, ".lab");
}

/* The shipped scenario that has a step of this name. */
static bool load_by_step(struct loaded *loaded, const char *id)
{
	for (const struct lab_file *file = lab_files; file->name; file++) {
		if (!is_scenario(file))
			continue;
		if (parse_loaded(loaded, file->name, file->text, file->size) &&
		    has_step(&loaded->scenario, id)) {
			snprintf(loaded->step, sizeof loaded->step, "%s", id);
			return true;
		}
		unload(loaded);
	}
	return false;
}

static bool load(const char *command, struct loaded *loaded, const char *name)
{
	const struct lab_file *file = lab_find("", name, ".lab");
	size_t size;
	bool good;

	memset(loaded, 0, sizeof *loaded);
	snprintf(loaded->name, sizeof loaded->name, "%.39s", name);
	if (file) {
		good = parse_loaded(loaded, file->name, file->text, file->size);
	} else if (strcmp(name, "-") && access(name, F_OK)) {
		if (load_by_step(loaded, name))
			return true;
		fprintf(stderr, "%s: '%s' is no file, and nothing of this name is shipped: ",
			command, name);
		lab_names(stderr, "", ".lab");
		fputs(", or a step of one, such as figure1\n", stderr);
		return false;
	} else {
		loaded->text = lab_read_file(command, name, &size);
		good = loaded->text && parse_loaded(loaded, name, loaded->text, size);
	}
	if (!good)
		unload(loaded);
	return good;
}

/* ------------------------------------------------------------------ what to do */

static int list(enum lab_lang lang)
{
	for (const struct lab_file *file = lab_files; file->name; file++) {
		struct loaded loaded = { .text = NULL };

		if (!is_scenario(file))
			continue;
		if (parse_loaded(&loaded, file->name, file->text, file->size)) {
			const struct lab_scenario *scenario = &loaded.scenario;

			printf("%-14.*s %s\n%14s ", (int)strlen(file->name) - 4, file->name,
			       text_in(scenario->title, lang), "");
			for (uint32_t i = 0; i < scenario->nr_machines; i++)
				printf("%s%s", i ? ", " : "--on ", scenario->machines[i].name);
			printf("; ");
			for (uint32_t i = 0; i < scenario->nr_steps; i++)
				printf("%s%s", i ? " " : "", scenario->steps[i].id);
			printf("\n");
		}
		unload(&loaded);
	}
	return lab_flushed("ondol lab", stdout, "standard output") ? 0 : ONDOL_EXIT_CANNOT;
}

/* TAP: a line a scenario and machine. */
static bool check_one(struct loaded *loaded, const char *name)
{
	bool good = true;

	for (uint32_t i = 0; i < loaded->scenario.nr_machines; i++) {
		struct lab_run run;
		bool held;

		fflush(stdout);
		held = run_scenario(&run, &loaded->scenario, i, &loaded->src);
		held |= run.unsupported;
		printf("%s - %s on %s: %u steps, %u expectations%s\n", held ? "ok" : "not ok",
		       name, run.machine->name, run.nr_states, run.nr_expectations,
		       run.unsupported ? " # SKIP the core has no such policy" : "");
		run_release(&run);
		good &= held;
	}
	return good;
}

static int check(const char *command, const struct input *input)
{
	bool good = true;

	for (unsigned i = 0; i < input->nr_names; i++) {
		struct loaded loaded;

		if (!load(command, &loaded, input->names[i])) {
			printf("not ok - %s\n", input->names[i]);
			good = false;
			continue;
		}
		good &= check_one(&loaded, input->names[i]);
		unload(&loaded);
	}
	for (const struct lab_file *file = lab_files; !input->nr_names && file->name; file++) {
		struct loaded loaded;

		if (!is_scenario(file))
			continue;
		memset(&loaded, 0, sizeof loaded);
		if (parse_loaded(&loaded, file->name, file->text, file->size))
			good &= check_one(&loaded, file->name);
		else
			good = false;
		unload(&loaded);
	}
	if (!lab_flushed(command, stdout, "standard output"))
		return ONDOL_EXIT_CANNOT;
	return good ? 0 : 1;
}

static bool write_svg(const char *command, const struct lab_draw *draw, const struct lab_run *run,
		      uint32_t first, uint32_t end, const char *path)
{
	struct lab_draw to = *draw;
	bool good;

	if (strcmp(path, "-")) {
		to.out = fopen(path, "we");
		if (!to.out) {
			fprintf(stderr, "%s: %s: %s\n", command, path, strerror(errno));
			return false;
		}
	}
	svg_steps(&to, run, first, end);
	good = lab_flushed(command, to.out, path);
	if (to.out != draw->out)
		fclose(to.out);
	return good;
}

/* A step's name is a file's: anything that is not a letter, a digit or a dash becomes _. */
static bool write_svg_dir(const char *command, const struct lab_draw *draw,
			  const struct lab_run *run, uint32_t first, uint32_t end,
			  const char *dir)
{
	if (mkdir(dir, 0777) && errno != EEXIST) {
		fprintf(stderr, "%s: %s: %s\n", command, dir, strerror(errno));
		return false;
	}
	for (uint32_t i = first; i < end; i++) {
		char path[4096], name[LAB_NAME_MAX];

		snprintf(name, sizeof name, "%s", run->states[i].step->id);
		for (char *c = name; *c; c++)
			if ((*c < 'a' || *c > 'z') && (*c < 'A' || *c > 'Z') &&
			    (*c < '0' || *c > '9') && *c != '-')
				*c = '_';
		snprintf(path, sizeof path, "%s/%s%s.svg", dir, name,
			 draw->lang == LAB_KO ? ".ko" : "");
		if (!write_svg(command, draw, run, i, i + 1, path))
			return false;
	}
	return true;
}

static bool output(const char *command, const struct input *input, const struct lab_run *run,
		   const char *step)
{
	struct lab_draw draw = lab_draw_to(stdout, input->language, input->width);
	bool person = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !input->print;
	uint32_t first = 0, end = run->nr_states;

	for (uint32_t i = 0; *step && i < run->nr_states; i++)
		if (!strcmp(run->states[i].step->id, step)) {
			first = i;
			end = i + 1;
		}
	if (input->svg)
		return write_svg(command, &draw, run, first, end, input->svg);
	if (input->svg_dir)
		return write_svg_dir(command, &draw, run, first, end, input->svg_dir);
	if (input->json)
		json_run(&draw, run);
	else if (!person || !view_run(&draw, run, first))
		for (uint32_t i = first; i < end; i++) {
			if (i > first)
				fputc('\n', draw.out);
			terminal_step(&draw, run, i);
		}
	return lab_flushed(command, stdout, "standard output");
}

/* Which machine, or an error. */
static int choose_machine(const char *command, const struct lab_scenario *scenario,
			  const char *on)
{
	for (uint32_t i = 0; i < scenario->nr_machines; i++)
		if (!on || !strcmp(scenario->machines[i].name, on))
			return (int)i;
	fprintf(stderr, "%s: --on %s: the scenario's machines are", command, on);
	for (uint32_t i = 0; i < scenario->nr_machines; i++)
		fprintf(stderr, "%s %s", i ? "," : "", scenario->machines[i].name);
	fputc('\n', stderr);
	return -1;
}

static int show_scenario(const char *command, const struct input *input)
{
	struct loaded loaded;
	struct lab_run run;
	const char *step;
	bool good;
	int machine;

	if (!load(command, &loaded, input->names[0]))
		return ONDOL_EXIT_CANNOT;
	step = input->step ? input->step : loaded.step;
	machine = choose_machine(command, &loaded.scenario, input->on);
	if (machine >= 0 && *step && !has_step(&loaded.scenario, step)) {
		fprintf(stderr, "%s: there is no step '%s'\n", command, step);
		machine = -1;
	}
	if (machine < 0) {
		unload(&loaded);
		return ONDOL_EXIT_CANNOT;
	}
	good = run_scenario(&run, &loaded.scenario, (uint32_t)machine, &loaded.src);
	if (run.unsupported)
		fprintf(stderr, "%s: the core has no policy such as machine %s wants\n", command,
			run.machine->name);
	bool written = output(command, input, &run, step);
	run_release(&run);
	unload(&loaded);
	return !written ? ONDOL_EXIT_CANNOT : !good;
}

int command_lab(int argc, char **argv)
{
	static const struct argp argp = { options, parse, "[SCENARIO...]", doc, NULL, NULL, NULL };
	struct input input = { .names = NULL };

	argp_err_exit_status = ONDOL_EXIT_CANNOT;
	if (argp_parse(&argp, argc, argv, 0, NULL, &input))
		return ONDOL_EXIT_CANNOT;
	if (!lab_lang_of(input.lang, &input.language)) {
		fprintf(stderr, "%s: --lang %s: want en or ko\n", argv[0], input.lang);
		return ONDOL_EXIT_CANNOT;
	}
	if (input.list)
		return list(input.language);
	if (input.check)
		return check(argv[0], &input);
	if (input.nr_names != 1) {
		fprintf(stderr, "%s: which scenario? `ondol lab --list` names them; try: ondol lab "
			"figures\n", argv[0]);
		return ONDOL_EXIT_CANNOT;
	}
	return show_scenario(argv[0], &input);
}

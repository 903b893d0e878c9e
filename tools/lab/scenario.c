/* SPDX-License-Identifier: MIT */
/*
 * The parser of scenarios: one statement a line, its first word says which.
 *
 *	title "..." ko "..."
 *	machine NAME [from PRESET] ["..."] [ko "..."]   then statements of the machine language
 *	show 0-15 | show zones
 *	step ID ["..."] [ko "..."]                      then operations and expectations
 *	say "..." | say ko "..."
 *	on NAME, NAME: STATEMENT                        only on these machines
 */
#include "lab/slabs.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *word;
	ondol_gfp_t gfp;
} gfp_words[] = {
	{ "dma", ONDOL_GFP_DMA }, { "dma32", ONDOL_GFP_DMA32 },
	{ "highmem", ONDOL_GFP_HIGHMEM }, { "movable", ONDOL_GFP_MOVABLE },
	{ "reclaimable", ONDOL_GFP_RECLAIMABLE }, { "comp", ONDOL_GFP_COMP },
	{ "thisnode", ONDOL_GFP_THISNODE }, { "atomic", ONDOL_GFP_ATOMIC },
	{ "memalloc", ONDOL_GFP_MEMALLOC }, { "kernel", ONDOL_GFP_KERNEL },
	{ "user", ONDOL_GFP_HIGHUSER_MOVABLE }, { "nowait", ONDOL_GFP_NOWAIT },
	{ "nofail", ONDOL_GFP_NOFAIL }, { "zero", ONDOL_GFP_ZERO },
};

struct parser {
	struct lab_scenario *scenario;
	struct lab_source *src;
	struct lab_machine *machine; /* its statements are being read, or NULL */
	struct lab_place machine_place;
	struct lab_step *step;       /* being read, or NULL */
};

static bool out_of_memory(struct parser *p)
{
	return source_complain(p->src, p->src->token.place, "out of memory");
}

/* ------------------------------------------------------------------ operations */

static bool read_gfp(struct parser *p, struct lab_op *op)
{
	bool any = false;

	for (size_t i = 0; i < sizeof gfp_words / sizeof *gfp_words; i++)
		if (source_take(p->src, gfp_words[i].word)) {
			op->gfp |= gfp_words[i].gfp;
			op->has_gfp = any = true;
			i = (size_t)-1;
		}
	return any || source_expected(p->src, "a flag: dma, dma32, highmem, movable, reclaimable, "
				      "comp, thisnode, atomic, memalloc, kernel, user, "
				      "nowait, nofail or zero");
}

static bool read_order(struct parser *p, struct lab_op *op)
{
	uint64_t order;

	if (!source_number(p->src, 0, 63, "an order", &order))
		return false;
	op->order = (unsigned)order;
	return true;
}

/* Not a name: it would be read as a frame's number. */
static bool read_name(struct parser *p, struct lab_op *op)
{
	op->detail = p->src->token.place;
	if (p->src->token.kind == LAB_WORD && p->src->token.at[0] >= '0' &&
	    p->src->token.at[0] <= '9')
		return source_expected(p->src, "a name (it begins with a letter)");
	return source_word(p->src, "a name", op->name, sizeof op->name);
}

/* alloc ORDER [times N] [as NAME] [gfp FLAG...] [node N] [refused] */
static bool read_alloc(struct parser *p, struct lab_op *op)
{
	uint64_t node;

	op->number = 1;
	if (!read_order(p, op))
		return false;
	while (!p->src->failed && p->src->token.kind == LAB_WORD) {
		if (source_take(p->src, "times")) {
			if (!source_number(p->src, 1, 1u << 20, "how many", &op->number))
				return false;
		} else if (source_take(p->src, "as")) {
			if (!read_name(p, op))
				return false;
		} else if (source_take(p->src, "gfp")) {
			if (!read_gfp(p, op))
				return false;
		} else if (source_take(p->src, "node")) {
			if (!source_number(p->src, 0, LAB_NODES_MAX - 1, "a node", &node))
				return false;
			op->node = (int)node;
		} else if (source_take(p->src, "refused")) {
			op->refused = true;
		} else {
			return source_expected(p->src, "as, times, gfp, node or refused");
		}
	}
	return true;
}

/* free NAME | free PFN [order N] [caught LABEL] */
static bool read_free(struct parser *p, struct lab_op *op)
{
	op->detail = p->src->token.place;
	op->has_pfn = p->src->token.kind == LAB_WORD && p->src->token.at[0] >= '0' &&
		      p->src->token.at[0] <= '9';
	if (op->has_pfn ? !source_number(p->src, 0, UINT32_MAX, "a frame", &op->number) :
			  !source_word(p->src, "a name or the number of a frame", op->name,
				       sizeof op->name))
		return false;
	op->has_order = source_take(p->src, "order");
	if (op->has_order && !read_order(p, op))
		return false;
	if (!source_take(p->src, "caught"))
		return true;
	return source_word(p->src, "the label of an invariant, such as BUDDY-6", op->invariant,
			   sizeof op->invariant);
}

static bool read_pattern(struct parser *p, struct lab_op *op, const char *allowed,
			 const char *wanted)
{
	op->detail = p->src->token.place;
	if (!source_string(p->src, wanted, &op->text))
		return false;
	for (size_t i = 0; op->text[i]; i++)
		if (!strchr(allowed, op->text[i])) {
			op->detail.column += (uint32_t)i + 1;
			op->detail.length = 1;
			return source_complain(p->src, op->detail, "expected only %c and %c in "
					       "this string", allowed[0], allowed[1]);
		}
	if (!op->text[0] || strlen(op->text) > LAB_VIEW_MAX)
		return source_complain(p->src, op->detail, "expected 1 to %u frames",
				       LAB_VIEW_MAX);
	return true;
}

/* frames "###.#" [at PFN] */
static bool read_frames(struct parser *p, struct lab_op *op)
{
	if (!read_pattern(p, op, "#.", "a string of # (used) and . (free)"))
		return false;
	op->has_pfn = source_take(p->src, "at");
	return !op->has_pfn ||
	       source_number(p->src, 0, UINT32_MAX, "the first frame", &op->number);
}

/* range FIRST-LAST [as NAME] [refused] | offline FIRST-LAST [refused] | online ... */
static bool read_range(struct parser *p, struct lab_op *op)
{
	op->detail = p->src->token.place;
	if (!source_range(p->src, "frames such as 8-15", false, &op->number, &op->last))
		return false;
	if (op->last > UINT32_MAX)
		return source_complain(p->src, op->detail, "frames end at %u", UINT32_MAX);
	if (op->kind == LAB_RANGE && source_take(p->src, "as") && !read_name(p, op))
		return false;
	op->refused = source_take(p->src, "refused");
	return true;
}

/* balloon FRAMES [node N] [refused] */
static bool read_balloon(struct parser *p, struct lab_op *op)
{
	uint64_t node = 0;

	op->detail = p->src->token.place;
	if (!source_number(p->src, 0, UINT32_MAX, "how many frames", &op->number))
		return false;
	if (source_take(p->src, "node") &&
	    !source_number(p->src, 0, LAB_NODES_MAX - 1, "a node", &node))
		return false;
	op->node = (int)node;
	op->refused = source_take(p->src, "refused");
	return true;
}

static bool read_drain(struct parser *p, struct lab_op *op)
{
	(void)p;
	(void)op;
	return true;
}

static bool read_cpu(struct parser *p, struct lab_op *op)
{
	op->detail = p->src->token.place;
	return source_number(p->src, 0, LAB_CPUS_MAX - 1, "a CPU", &op->number);
}

/* fill ORDER [as NAME] [gfp FLAG...] [node N]: until refused */
static bool read_fill(struct parser *p, struct lab_op *op)
{
	if (!read_alloc(p, op))
		return false;
	op->number = UINT64_MAX;
	return !op->refused || source_complain(p->src, op->place, "fill ends with a refusal: say "
					       "only `fill`");
}

/* ------------------------------------------------------------------ expectations */

static int compare_pfns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* 3, 5, 10 | none */
static bool read_pfns(struct parser *p, struct lab_op *op)
{
	op->detail = p->src->token.place;
	if (source_take(p->src, "none"))
		return true;
	do {
		uint64_t *more = realloc(op->pfns, (op->nr_pfns + 1) * sizeof *more);

		if (!more)
			return out_of_memory(p);
		op->pfns = more;
		if (!source_number(p->src, 0, UINT32_MAX, "a frame, or none",
				   &op->pfns[op->nr_pfns]))
			return false;
		op->nr_pfns++;
		if (p->src->token.kind != LAB_COMMA)
			break;
		source_next(p->src);
	} while (op->nr_pfns < LAB_VIEW_MAX);
	qsort(op->pfns, op->nr_pfns, sizeof *op->pfns, compare_pfns);
	return true;
}

static bool read_colon(struct parser *p)
{
	if (p->src->token.kind != LAB_COLON)
		return source_expected(p->src, "a colon");
	source_next(p->src);
	return !p->src->failed;
}

/* order N: ... | map N: "0100" */
static bool read_expect_order(struct parser *p, struct lab_op *op)
{
	return read_order(p, op) && read_colon(p) && read_pfns(p, op);
}

static bool read_expect_map(struct parser *p, struct lab_op *op)
{
	struct lab_source *src = p->src;

	if (!read_order(p, op) || !read_colon(p))
		return false;
	op->detail = src->token.place;
	if (src->token.kind == LAB_WORD) { /* bits need no quotes */
		free(op->text);
		op->text = strndup(src->token.at, src->token.size);
		if (!op->text)
			return out_of_memory(p);
		if (strspn(op->text, "01") != strlen(op->text))
			return source_expected(src, "bits such as 0110");
		source_next(src);
		return true;
	}
	return read_pattern(p, op, "01", "bits such as 0110");
}

static bool read_expect_frames(struct parser *p, struct lab_op *op)
{
	return read_frames(p, op);
}

static bool read_expect_per_cpu(struct parser *p, struct lab_op *op)
{
	return read_colon(p) && read_pfns(p, op);
}

static bool read_expect_number(struct parser *p, struct lab_op *op)
{
	op->detail = p->src->token.place;
	return source_number(p->src, 0, UINT64_MAX, "how many", &op->number);
}

/* free N [node N] | managed N [node N] */
static bool read_expect_amount(struct parser *p, struct lab_op *op)
{
	uint64_t node;

	if (!read_expect_number(p, op) || !source_take(p->src, "node"))
		return !p->src->failed;
	if (!source_number(p->src, 0, LAB_NODES_MAX - 1, "a node", &node))
		return false;
	op->node = (int)node;
	return true;
}

/* NAME at PFN | NAME in ZONE [node N] */
static bool read_expect_place(struct parser *p, struct lab_op *op)
{
	char word[16];
	uint64_t node;

	if (!source_word(p->src, "frames, order, map, free, managed, per-cpu, "
			 "merges, splits or a name",
			 op->name, sizeof op->name))
		return false;
	op->detail = p->src->token.place;
	if (source_take(p->src, "at")) {
		op->kind = LAB_EXPECT_AT;
		op->detail = p->src->token.place;
		return source_number(p->src, 0, UINT32_MAX, "a frame", &op->number);
	}
	if (!source_take(p->src, "in"))
		return source_expected(p->src, "at and a frame, or in and a zone");
	op->kind = LAB_EXPECT_ZONE;
	op->detail = p->src->token.place;
	if (!source_word(p->src, "a zone", word, sizeof word))
		return false;
	for (op->zone = 0; op->zone < ONDOL_NR_ZONES; op->zone++)
		if (!strcmp(word, ondol_zone_name((enum ondol_zone_type)op->zone)))
			break;
	if (op->zone == ONDOL_NR_ZONES)
		return source_complain(p->src, op->detail, "expected a zone: DMA, DMA32, Normal, "
				       "HighMem or Movable");
	if (!source_take(p->src, "node"))
		return true;
	if (!source_number(p->src, 0, LAB_NODES_MAX - 1, "a node", &node))
		return false;
	op->node = (int)node;
	return true;
}

struct word_reader {
	const char *word;
	enum lab_op_kind kind;
	bool (*read)(struct parser *p, struct lab_op *op);
};

static const struct word_reader operations[] = {
	{ "alloc", LAB_ALLOC, read_alloc }, { "free", LAB_FREE, read_free },
	{ "frames", LAB_FRAMES, read_frames }, { "drain", LAB_DRAIN, read_drain },
	{ "fill", LAB_FILL, read_fill }, { "run", LAB_CPU, NULL },
	{ "range", LAB_RANGE, read_range }, { "offline", LAB_OFFLINE, read_range },
	{ "online", LAB_ONLINE, read_range }, { "balloon", LAB_BALLOON, read_balloon },
};

static const struct word_reader expectations[] = {
	{ "frames", LAB_EXPECT_FRAMES, read_expect_frames },
	{ "order", LAB_EXPECT_ORDER, read_expect_order },
	{ "map", LAB_EXPECT_MAP, read_expect_map },
	{ "free", LAB_EXPECT_FREE, read_expect_amount },
	{ "managed", LAB_EXPECT_MANAGED, read_expect_amount },
	{ "per-cpu", LAB_EXPECT_PER_CPU, read_expect_per_cpu },
	{ "merges", LAB_EXPECT_MERGES, read_expect_number },
	{ "splits", LAB_EXPECT_SPLITS, read_expect_number },
};

#define NR_OPERATIONS (sizeof operations / sizeof *operations)
#define NR_EXPECTATIONS (sizeof expectations / sizeof *expectations)

static bool read_op(struct parser *p, struct lab_op *op)
{
	bool is_expect = source_take(p->src, "expect");
	const struct word_reader *words = is_expect ? expectations : operations;
	size_t nr = is_expect ? NR_EXPECTATIONS : NR_OPERATIONS;
	bool good;

	for (size_t i = 0; i < nr; i++) {
		if (!source_take(p->src, words[i].word))
			continue;
		op->kind = words[i].kind;
		if (words[i].read)
			return words[i].read(p, op);
		/* run on cpu N */
		if (!source_take(p->src, "on") || !source_take(p->src, "cpu"))
			return source_expected(p->src, "on cpu and its number, as in `run on cpu "
					       "1`");
		return read_cpu(p, op);
	}
	if (slabs_read(p->src, is_expect, op, &good))
		return good;
	if (is_expect)
		return read_expect_place(p, op);
	return source_expected(p->src, p->step ? "alloc, free, frames, drain, fill, run, range, "
			       "offline, online, balloon, expect, say, on or step" :
			       "title, machine, show or step");
}

/* ------------------------------------------------------------------ statements */

static bool read_titles(struct parser *p, char *texts[LAB_LANGS], const char *what)
{
	if (p->src->token.kind == LAB_STRING && !source_string(p->src, what, &texts[LAB_EN]))
		return false;
	if (source_take(p->src, "ko") && !source_string(p->src, what, &texts[LAB_KO]))
		return false;
	return source_end_of_line(p->src);
}

static bool end_machine(struct parser *p)
{
	struct lab_machine *machine = p->machine;

	p->machine = NULL;
	return !machine || machine_complete(machine, p->src, p->machine_place);
}

static bool read_machine(struct parser *p)
{
	struct lab_scenario *scenario = p->scenario;

	p->machine_place = p->src->token.place;
	if (scenario->nr_steps)
		return source_complain(p->src, p->machine_place, "machines come before the first "
				       "step");
	if (scenario->nr_machines == LAB_MACHINES_MAX)
		return source_complain(p->src, p->machine_place, "more than %u machines",
				       LAB_MACHINES_MAX);
	p->machine = &scenario->machines[scenario->nr_machines++];
	machine_init(p->machine);
	if (!machine_heading(p->machine, p->src))
		return false;
	p->machine->place = p->machine_place;
	for (uint32_t i = 0; i + 1 < scenario->nr_machines; i++)
		if (!strcmp(scenario->machines[i].name, p->machine->name))
			return source_complain(p->src, p->machine_place, "a second machine '%s'",
					       p->machine->name);
	return true;
}

/* on NAME, NAME: the bits of these machines */
static bool read_on(struct parser *p, uint32_t *out_machines)
{
	struct lab_scenario *scenario = p->scenario;

	*out_machines = 0;
	for (;;) {
		uint32_t i = 0;

		while (i < scenario->nr_machines &&
		       !source_is(p->src, scenario->machines[i].name))
			i++;
		if (i == scenario->nr_machines)
			return source_expected(p->src, "the name of a machine above");
		*out_machines |= 1u << i;
		source_next(p->src);
		if (p->src->token.kind != LAB_COMMA)
			break;
		source_next(p->src);
	}
	return read_colon(p);
}

static bool read_step(struct parser *p, uint32_t machines)
{
	struct lab_scenario *scenario = p->scenario;
	struct lab_place place = p->src->token.place;
	struct lab_step *more;

	if (!scenario->nr_machines)
		return source_complain(p->src, place, "a step before any machine");
	if (scenario->nr_steps == LAB_STEPS_MAX)
		return source_complain(p->src, place, "more than %u steps", LAB_STEPS_MAX);
	more = realloc(scenario->steps, (scenario->nr_steps + 1) * sizeof *more);
	if (!more)
		return out_of_memory(p);
	scenario->steps = more;
	p->step = &scenario->steps[scenario->nr_steps++];
	*p->step = (struct lab_step){ .place = place, .first_op = scenario->nr_ops,
				      .machines = machines };
	if (!source_word(p->src, "a short name for the step", p->step->id, sizeof p->step->id))
		return false;
	return read_titles(p, p->step->title, "a title");
}

static bool read_say(struct parser *p)
{
	enum lab_lang lang = source_take(p->src, "ko") ? LAB_KO : LAB_EN;

	if (!p->step)
		return source_complain(p->src, p->src->token.place, "say belongs into a step");
	return source_string(p->src, "a text in quotes", &p->step->say[lang]) &&
	       source_end_of_line(p->src);
}

/* show 0-15 | show zones */
static bool read_show(struct parser *p)
{
	struct lab_scenario *scenario = p->scenario;
	struct lab_place place = p->src->token.place;
	uint64_t first, last;

	if (source_take(p->src, "zones")) {
		scenario->show_zones = true;
		return source_end_of_line(p->src);
	}
	if (source_take(p->src, "caches"))
		return slabs_read_show(p->src, scenario) && source_end_of_line(p->src);
	if (!source_range(p->src, "frames such as 0-15, or zones", false, &first, &last))
		return false;
	if (last - first >= LAB_VIEW_MAX || last > UINT32_MAX)
		return source_complain(p->src, place, "at most %u frames can be drawn",
				       LAB_VIEW_MAX);
	scenario->view_start = first;
	scenario->view_end = last + 1;
	return source_end_of_line(p->src);
}

static bool read_operation(struct parser *p, uint32_t machines)
{
	struct lab_scenario *scenario = p->scenario;
	struct lab_op *more, *op;

	if (!p->step)
		return source_expected(p->src, "title, machine, show or step");
	if (scenario->nr_ops == LAB_OPS_MAX)
		return source_complain(p->src, p->src->token.place, "more than %u operations",
				       LAB_OPS_MAX);
	more = realloc(scenario->ops, (scenario->nr_ops + 1) * sizeof *more);
	if (!more)
		return out_of_memory(p);
	scenario->ops = more;
	op = &scenario->ops[scenario->nr_ops++];
	*op = (struct lab_op){ .place = p->src->token.place, .machines = machines,
			       .node = ONDOL_NODE_ANY };
	p->step->nr_ops++;
	return read_op(p, op) && source_end_of_line(p->src);
}

static bool read_statement(struct parser *p)
{
	uint32_t machines = UINT32_MAX;

	if (p->machine && machine_is_statement(p->src))
		return machine_statement(p->machine, p->src);
	if (!end_machine(p))
		return false;
	if (source_take(p->src, "machine"))
		return read_machine(p);
	if (source_take(p->src, "title"))
		return read_titles(p, p->scenario->title, "a title");
	if (source_take(p->src, "show"))
		return read_show(p);
	if (source_take(p->src, "on") && !read_on(p, &machines))
		return false;
	if (source_take(p->src, "step"))
		return read_step(p, machines);
	if (source_take(p->src, "say"))
		return read_say(p);
	return read_operation(p, machines);
}

bool scenario_parse(struct lab_scenario *scenario, struct lab_source *src)
{
	struct parser p = { .scenario = scenario, .src = src };

	*scenario = (struct lab_scenario){ .nr_machines = 0 };
	while (src->token.kind != LAB_EOF && !src->failed) {
		if (src->token.kind == LAB_EOL)
			source_next(src);
		else if (!read_statement(&p))
			return false;
	}
	if (src->failed || !end_machine(&p))
		return false;
	if (!scenario->nr_steps)
		return source_complain(src, src->token.place, "a scenario needs a step");
	if (scenario->view_start == scenario->view_end && !scenario->show_caches)
		scenario->show_zones = true;
	return true;
}

void scenario_release(struct lab_scenario *scenario)
{
	for (uint32_t i = 0; i < scenario->nr_machines; i++)
		machine_release(&scenario->machines[i]);
	for (uint32_t i = 0; i < scenario->nr_ops; i++) {
		free(scenario->ops[i].text);
		free(scenario->ops[i].pfns);
	}
	for (uint32_t i = 0; i < scenario->nr_steps; i++)
		for (unsigned lang = 0; lang < LAB_LANGS; lang++) {
			free(scenario->steps[i].title[lang]);
			free(scenario->steps[i].say[lang]);
		}
	for (unsigned lang = 0; lang < LAB_LANGS; lang++)
		free(scenario->title[lang]);
	free(scenario->ops);
	free(scenario->steps);
	free(scenario->show_caches);
	*scenario = (struct lab_scenario){ .nr_machines = 0 };
}

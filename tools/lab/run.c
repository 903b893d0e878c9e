/* SPDX-License-Identifier: MIT */
/*
 * Runs a scenario.  Every operation is a call of the public API on a real machine, after each
 * of which every invariant of the machine is checked; expectations compare with what the
 * machine says of itself.
 */
#include "lab/run.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lab/slabs.h"
#include "lab/state.h"

#define FRAMES_MACHINE_MAX (UINT64_C(64) << 20) /* `frames` takes every frame one by one */
#define BLOCKS_MAX (1u << 20)
#define EVERY_ZONE (ONDOL_GFP_HIGHMEM | ONDOL_GFP_MOVABLE)

struct runner {
	struct lab_run *run;
	struct lab_source *src;
	struct lab_world world;
	uint32_t bit; /* of the machine */
	struct lab_block *blocks;
	size_t nr_blocks, room;
	struct lab_state *state; /* of the step */
	uint64_t before[2];      /* merges and splits when it began */
	struct lab_objects *objects;
};

/* Complaints of a run do not end it: expectations are all told. */
__attribute__((format(printf, 3, 4)))
static bool complain(struct runner *r, struct lab_place place, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	r->src->failed = false;
	return source_complain(r->src, place, "%s (machine %s)", text, r->run->machine->name);
}

static struct lab_event *add_event(struct runner *r, const struct lab_op *op)
{
	struct lab_state *state = r->state;
	struct lab_event *more = realloc(state->events, (state->nr_events + 1) * sizeof *more);

	if (!more) {
		fputs("ondol lab: out of memory\n", stderr);
		exit(125);
	}
	state->events = more;
	more += state->nr_events++;
	*more = (struct lab_event){ .op = op, .order = op->order };
	return more;
}

static void add_block(struct runner *r, const char *name, struct ondol_page *page,
		      unsigned order)
{
	if (r->nr_blocks == r->room) {
		size_t room = r->room ? 2 * r->room : 64;
		struct lab_block *more = realloc(r->blocks, room * sizeof *more);

		if (!more) {
			fputs("ondol lab: out of memory\n", stderr);
			exit(125);
		}
		r->blocks = more;
		r->room = room;
	}
	r->blocks[r->nr_blocks++] = (struct lab_block){ .name = name, .page = page,
		.pfn = ondol_page_to_pfn(r->world.m, page).value, .order = order, .live = true };
}

/* ------------------------------------------------------------------ operations */

static bool node_exists(struct runner *r, const struct lab_op *op)
{
	if (op->node < (int)r->run->machine->nr_nodes)
		return true;
	return complain(r, op->place, "there is no node %d", op->node);
}

/* The core's panic becomes *out_caught, its label. */
static struct ondol_page *try_alloc(struct runner *r, const struct lab_op *op,
				    const char **out_caught)
{
	ondol_gfp_t gfp = (op->has_gfp ? op->gfp : ONDOL_GFP_KERNEL) | ONDOL_GFP_NOWARN;
	struct ondol_page *volatile page = NULL;

	r->world.catching = true;
	if (setjmp(r->world.on_panic))
		*out_caught = r->world.panic.invariant ? r->world.panic.invariant : "?";
	else
		page = ondol_alloc_pages_node(r->world.m, op->node, gfp, op->order);
	r->world.catching = false;
	return page;
}

static bool do_alloc(struct runner *r, const struct lab_op *op)
{
	struct lab_event *event = add_event(r, op);
	struct ondol_page *page = NULL;
	const char *caught = NULL;
	struct ondol_refusal refusal;

	if (!node_exists(r, op))
		return false;
	while (event->nr < op->number && event->nr < BLOCKS_MAX) {
		page = try_alloc(r, op, &caught);
		if (!page)
			break;
		add_block(r, op->name, page, op->order);
		if (!event->nr++)
			event->pfn = ondol_page_to_pfn(r->world.m, page).value;
	}
	if (caught)
		return complain(r, op->place, "the core caught this: [%s]", caught);
	if (!page) {
		ondol_last_refusal(r->world.m, &refusal);
		snprintf(event->detail, sizeof event->detail, "%s", refusal.reason);
	}
	if (op->kind == LAB_FILL)
		return page ? complain(r, op->place, "after %u blocks there is still more",
				       BLOCKS_MAX) : true;
	if (op->refused && page)
		return complain(r, op->place, "expected a refusal, got the block at %llu",
				(unsigned long long)event->pfn);
	if (!op->refused && !page)
		return complain(r, op->place, "refused: %s", event->detail);
	return true;
}

/* The core's panic becomes the answer: its label, or NULL when there was none. */
static const char *try_free(struct runner *r, struct ondol_page *page, unsigned order)
{
	const char *label = NULL;

	r->world.catching = true;
	if (setjmp(r->world.on_panic))
		label = r->world.panic.invariant ? r->world.panic.invariant : "?";
	else
		ondol_free_pages(r->world.m, page, order);
	r->world.catching = false;
	return label;
}

static bool is_named(const struct lab_block *block, const struct lab_op *op)
{
	return op->has_pfn ? block->pfn == op->number : !strcmp(block->name, op->name);
}

/* Blocks of the name that are live; if none is, those that were: a mistake worth seeing. */
static bool do_free(struct runner *r, const struct lab_op *op)
{
	struct lab_event *event = add_event(r, op);
	const char *caught = NULL;
	bool live = false, known = false;

	for (size_t i = 0; i < r->nr_blocks; i++) {
		known |= is_named(&r->blocks[i], op);
		live |= is_named(&r->blocks[i], op) && r->blocks[i].live;
	}
	if (!known && !op->has_pfn)
		return complain(r, op->detail, "nothing was ever called '%s'", op->name);
	if (!known) { /* a frame that is not the scenario's: let the core say so */
		struct ondol_page *page = ondol_pfn_to_page(r->world.m, ondol_pfn(op->number));

		if (!page)
			return complain(r, op->detail, "the machine has no frame %llu",
					(unsigned long long)op->number);
		event->nr = 1;
		event->pfn = op->number;
		caught = try_free(r, page, op->order);
	}
	for (size_t i = 0; i < r->nr_blocks && !caught; i++) {
		struct lab_block *block = &r->blocks[i];

		if (!is_named(block, op) || block->live != live)
			continue;
		if (!event->nr++)
			event->pfn = block->pfn;
		event->order = op->has_order ? op->order : block->order;
		caught = try_free(r, block->page, event->order);
		block->live &= caught != NULL;
	}
	snprintf(event->detail, sizeof event->detail, "%s", caught ? caught : "");
	if (caught && strcmp(caught, op->invariant))
		return complain(r, op->place, "the core caught this: [%s]", caught);
	if (!caught && op->invariant[0])
		return complain(r, op->place, "expected [%s] to catch this, nothing did",
				op->invariant);
	return true;
}

static uint64_t pattern_start(const struct runner *r, const struct lab_op *op)
{
	return op->has_pfn ? op->number : r->run->scenario->view_start;
}

static struct lab_block *live_frame(struct runner *r, uint64_t pfn)
{
	for (size_t i = r->nr_blocks; i--;)
		if (r->blocks[i].live && r->blocks[i].pfn == pfn && !r->blocks[i].order)
			return &r->blocks[i];
	return NULL;
}

static int add_counters(void *ctx, const struct ondol_zone_stats *zone)
{
	uint64_t *counters = ctx;

	counters[0] += zone->nr_merges;
	counters[1] += zone->nr_splits;
	return 0;
}

/* Merges and splits so far; a step tells those since. */
static void count_work(struct runner *r, uint64_t counters[2])
{
	counters[0] = counters[1] = 0;
	(void)ondol_for_each_zone(r->world.m, add_counters, counters);
}

/* Make the machine look like the picture: all frames are taken, and the free ones given back. */
static bool do_frames(struct runner *r, const struct lab_op *op)
{
	uint64_t start = pattern_start(r, op);
	struct ondol_page *page;

	add_event(r, op)->pfn = start;
	if (r->world.ram_size > FRAMES_MACHINE_MAX)
		return complain(r, op->place, "`frames` is for machines of at most 64M");
	for (int node = 0; node < (int)r->run->machine->nr_nodes; node++)
		while ((page = ondol_alloc_pages_node(r->world.m, node, EVERY_ZONE |
						      ONDOL_GFP_MEMALLOC | ONDOL_GFP_NOWARN, 0)))
			add_block(r, "", page, 0);
	for (uint64_t i = 0; op->text[i]; i++) {
		struct lab_block *block = live_frame(r, start + i);

		if (block && op->text[i] == '.') {
			ondol_free_pages(r->world.m, block->page, 0);
			block->live = false;
		} else if (!block) {
			struct lab_place place = op->detail;

			place.column += (uint32_t)i + 1;
			place.length = 1;
			return complain(r, place, "frame %llu is not one that the scenario can "
					"have", (unsigned long long)(start + i));
		}
	}
	ondol_drain_all_pages(r->world.m);
	count_work(r, r->before); /* how the picture came about is not part of the lesson */
	return true;
}

static bool do_cpu(struct runner *r, const struct lab_op *op)
{
	add_event(r, op);
	if (op->number >= r->run->machine->nr_cpus)
		return complain(r, op->detail, "there is no CPU %llu",
				(unsigned long long)op->number);
	r->world.cpu = (uint32_t)op->number;
	return true;
}

/* Just these frames, or with LAB_OFFLINE and LAB_ONLINE a bank that goes or comes. */
static bool do_range(struct runner *r, const struct lab_op *op)
{
	struct lab_event *event = add_event(r, op);
	ondol_pfn_t first = ondol_pfn(op->number), busy = ondol_pfn(UINT64_MAX);
	uint32_t nr = (uint32_t)(op->last - op->number + 1);
	int error;

	event->pfn = op->number;
	if (op->kind == LAB_OFFLINE)
		error = ondol_offline_pages(r->world.m, first, nr, &busy);
	else if (op->kind == LAB_ONLINE)
		error = ondol_online_pages(r->world.m, first, nr);
	else
		error = ondol_alloc_contig_range(r->world.m, first, nr, &busy);
	if (!error) {
		event->nr = nr;
		for (uint64_t pfn = op->number; op->kind == LAB_RANGE && pfn <= op->last; pfn++)
			add_block(r, op->name, ondol_pfn_to_page(r->world.m, ondol_pfn(pfn)), 0);
		return !op->refused || complain(r, op->place, "expected a refusal, it was done");
	}
	if (busy.value != UINT64_MAX)
		snprintf(event->detail, sizeof event->detail, "frame %llu is in use",
			 (unsigned long long)busy.value);
	else
		snprintf(event->detail, sizeof event->detail, "%s",
			 op->kind == LAB_ONLINE ? "not all of these frames are offline" :
						  "these frames are not of one zone");
	return op->refused || complain(r, op->detail, "refused: %s", event->detail);
}

/* From now on Ondol itself holds so many frames of the node. */
static bool do_balloon(struct runner *r, const struct lab_op *op)
{
	struct lab_event *event = add_event(r, op);

	if (!node_exists(r, op))
		return false;
	event->nr = ondol_balloon_set(r->world.m, (uint32_t)op->node, op->number);
	if (op->refused == (event->nr < op->number))
		return true;
	return complain(r, op->detail, "the balloon of node %d has %llu frames", op->node,
			(unsigned long long)event->nr);
}

static bool do_slabs(struct runner *r, const struct lab_op *op)
{
	char text[200];
	const char *wrong = slabs_do(&r->objects, r->world.m, op, add_event(r, op), text,
				     sizeof text);

	return !wrong || complain(r, op->place, "%s", wrong);
}

static bool do_operation(struct runner *r, const struct lab_op *op)
{
	struct ondol_broken_invariant broken;
	bool done;

	switch (slabs_is_op(op) ? LAB_CACHE : op->kind) {
	case LAB_CACHE:
		done = do_slabs(r, op);
		break;
	case LAB_ALLOC:
	case LAB_FILL:
		done = do_alloc(r, op);
		break;
	case LAB_FREE:
		done = do_free(r, op);
		break;
	case LAB_FRAMES:
		done = do_frames(r, op);
		break;
	case LAB_CPU:
		done = do_cpu(r, op);
		break;
	case LAB_RANGE:
	case LAB_OFFLINE:
	case LAB_ONLINE:
		done = do_range(r, op);
		break;
	case LAB_BALLOON:
		done = do_balloon(r, op);
		break;
	default:
		add_event(r, op);
		ondol_drain_all_pages(r->world.m);
		done = true;
	}
	if (done && ondol_machine_validate(r->world.m, &broken))
		done = complain(r, op->place, "the machine is broken: [%s] %s", broken.id,
				broken.text);
	return done;
}

/* ------------------------------------------------------------------ expectations */

struct answer { /* what the machine says, as the scenario would write it */
	char text[LAB_VIEW_MAX * 6 + 16];
	size_t size;
};

static void answer_pfn(struct answer *answer, uint64_t pfn)
{
	if (answer->size + 24 < sizeof answer->text)
		answer->size += (size_t)sprintf(answer->text + answer->size, "%s%llu",
						answer->size ? ", " : "", (unsigned long long)pfn);
}

static void list_answer(struct answer *answer, const uint64_t *pfns, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		answer_pfn(answer, pfns[i]);
	if (!nr)
		strcpy(answer->text, "none");
}

static bool compare(struct runner *r, const struct lab_op *op, const char *what,
		    const char *expected, const char *actual)
{
	if (!strcmp(expected, actual))
		return true;
	return complain(r, op->detail, "expected %s %.120s, the machine has %.120s", what,
			expected, actual);
}

static bool compare_numbers(struct runner *r, const struct lab_op *op, const char *what,
			    uint64_t actual)
{
	if (op->number == actual)
		return true;
	return complain(r, op->detail, "expected %llu %s, the machine has %llu",
			(unsigned long long)op->number, what, (unsigned long long)actual);
}

static bool expect_frames(struct runner *r, const struct lab_op *op)
{
	uint64_t start = pattern_start(r, op);
	char actual[LAB_VIEW_MAX + 1];
	size_t i = 0;

	for (; op->text[i]; i++) {
		struct ondol_frame_info info;

		ondol_frame_info(r->world.m, ondol_pfn(start + i), &info);
		actual[i] = info.state == ONDOL_FRAME_FREE || info.state == ONDOL_FRAME_PER_CPU ||
			    info.state == ONDOL_FRAME_DEFERRED ? '.' : '#';
	}
	actual[i] = '\0';
	return compare(r, op, "frames", op->text, actual);
}

static bool expect_list(struct runner *r, const struct lab_op *op, const struct lab_state *now)
{
	struct answer expected = { .size = 0 }, actual = { .size = 0 };
	char what[24];

	list_answer(&expected, op->pfns, op->nr_pfns);
	if (op->kind == LAB_EXPECT_PER_CPU) {
		for (uint32_t i = 0; i < now->nr_cells; i++)
			if (now->cells[i].is_head && now->cells[i].state == ONDOL_FRAME_PER_CPU)
				answer_pfn(&actual, r->run->scenario->view_start + i);
		if (!actual.size)
			strcpy(actual.text, "none");
		return compare(r, op, "per-cpu:", expected.text, actual.text);
	}
	if (op->order >= now->nr_orders)
		return complain(r, op->detail, "this machine has orders 0 to %u",
				now->nr_orders - 1);
	snprintf(what, sizeof what, "order %u:", op->order);
	list_answer(&actual, now->areas[op->order].pfns, now->areas[op->order].nr);
	return compare(r, op, what, expected.text, actual.text);
}

static bool expect_map(struct runner *r, const struct lab_op *op, const struct lab_state *now)
{
	char what[24];

	if (op->order >= now->nr_orders || !now->areas[op->order].map)
		return complain(r, op->detail, "this machine has no map of order %u", op->order);
	snprintf(what, sizeof what, "map %u:", op->order);
	return compare(r, op, what, op->text, now->areas[op->order].map);
}

static const struct lab_block *find_block(struct runner *r, const struct lab_op *op)
{
	for (size_t i = 0; i < r->nr_blocks; i++)
		if (r->blocks[i].live && !strcmp(r->blocks[i].name, op->name))
			return &r->blocks[i];
	complain(r, op->place, "no block is called '%s' now", op->name);
	return NULL;
}

/* Where a block lies: all blocks of the name must lie in the zone. */
static bool expect_place(struct runner *r, const struct lab_op *op)
{
	const struct lab_block *first = find_block(r, op);
	struct ondol_frame_info info;

	if (!first)
		return false;
	if (op->kind == LAB_EXPECT_AT)
		return first->pfn == op->number ? true :
		       complain(r, op->detail, "expected %s at %llu, it is at %llu", op->name,
				(unsigned long long)op->number, (unsigned long long)first->pfn);
	for (const struct lab_block *at = first; at < r->blocks + r->nr_blocks; at++) {
		if (!at->live || strcmp(at->name, op->name))
			continue;
		ondol_frame_info(r->world.m, ondol_pfn(at->pfn), &info);
		if (info.zone != op->zone || (op->node >= 0 && info.node != op->node))
			return complain(r, op->detail, "the block of %s at %llu is in zone %s of "
					"node %u", op->name, (unsigned long long)at->pfn,
					ondol_zone_name(info.zone), info.node);
	}
	return true;
}

static bool check_expectation(struct runner *r, const struct lab_op *op,
			      const struct lab_state *now)
{
	uint64_t free = 0, managed = 0;
	char text[400];
	const char *wrong;

	for (uint32_t i = 0; i < now->nr_zones; i++) {
		if (op->node != ONDOL_NODE_ANY && now->zones[i].node != (uint32_t)op->node)
			continue;
		free += now->zones[i].pages_free + now->zones[i].pcp_pages;
		managed += now->zones[i].pages_managed;
	}
	switch (op->kind) {
	case LAB_EXPECT_CACHES:
	case LAB_EXPECT_CACHE:
	case LAB_EXPECT_SLABS:
		wrong = slabs_expect(r->world.m, op, text, sizeof text);
		return !wrong || complain(r, op->detail, "%s", wrong);
	case LAB_EXPECT_FRAMES:
		return expect_frames(r, op);
	case LAB_EXPECT_ORDER:
	case LAB_EXPECT_PER_CPU:
		if (!now->nr_cells)
			return complain(r, op->place, "say first which frames: `show 0-15`");
		return expect_list(r, op, now);
	case LAB_EXPECT_MAP:
		if (!now->nr_cells)
			return complain(r, op->place, "say first which frames: `show 0-15`");
		return expect_map(r, op, now);
	case LAB_EXPECT_FREE:
		return compare_numbers(r, op, "free frames", free);
	case LAB_EXPECT_MANAGED:
		return compare_numbers(r, op, "managed frames", managed);
	case LAB_EXPECT_MERGES:
		return compare_numbers(r, op, "merges", now->merges);
	case LAB_EXPECT_SPLITS:
		return compare_numbers(r, op, "splits", now->splits);
	default:
		return expect_place(r, op);
	}
}

/* ------------------------------------------------------------------ steps */

static void look(struct runner *r, struct lab_state *state, const struct lab_state *before)
{
	uint64_t now[2];

	if (!state_look(state, &r->world, r->run->scenario, r->blocks, r->nr_blocks, before) ||
	    !slabs_look(state, r->world.m, r->run->scenario, before)) {
		fputs("ondol lab: out of memory\n", stderr);
		exit(125);
	}
	count_work(r, now);
	state->merges = now[0] - r->before[0];
	state->splits = now[1] - r->before[1];
	memcpy(r->before, now, sizeof now);
}

/* Operations first, in their order; an expectation sees the step's end. */
static bool run_step(struct runner *r, const struct lab_step *step)
{
	const struct lab_op *ops = r->run->scenario->ops + step->first_op;
	struct lab_state *before = r->run->nr_states ? r->state : NULL;
	bool good = true;

	r->state = &r->run->states[r->run->nr_states++];
	r->state->step = step;
	for (uint32_t i = 0; i < step->nr_ops && good; i++)
		if (ops[i].machines & r->bit && ops[i].kind < LAB_EXPECT_FRAMES)
			good = do_operation(r, &ops[i]);
	look(r, r->state, before);
	if (!good) {
		r->run->nr_failed++;
		return false;
	}
	for (uint32_t i = 0; i < step->nr_ops; i++) {
		if (!(ops[i].machines & r->bit) || ops[i].kind < LAB_EXPECT_FRAMES)
			continue;
		r->run->nr_expectations++;
		r->run->nr_failed += !check_expectation(r, &ops[i], r->state);
	}
	return true;
}

bool run_scenario(struct lab_run *run, const struct lab_scenario *scenario, uint32_t machine,
		  struct lab_source *src)
{
	struct runner r = { .run = run, .src = src, .bit = 1u << machine };
	struct lab_state start = { .step = NULL };
	int error;

	*run = (struct lab_run){ .scenario = scenario, .machine = &scenario->machines[machine] };
	run->states = calloc(scenario->nr_steps, sizeof *run->states);
	if (!run->states)
		return false;
	error = world_begin(&r.world, run->machine);
	if (error) {
		run->nr_failed++;
		run->unsupported = error == -ONDOL_EOPNOTSUPP;
		if (run->unsupported)
			return false;
		return complain(&r, run->machine->place, "the core does not take this machine: %s",
				world_error(error));
	}
	look(&r, &start, NULL);
	state_release(&start);
	for (uint32_t i = 0; i < scenario->nr_steps; i++)
		if (scenario->steps[i].machines & r.bit && !run_step(&r, &scenario->steps[i]))
			break;
	world_end(&r.world);
	free(r.blocks);
	slabs_release(r.objects);
	return !run->nr_failed;
}

void run_release(struct lab_run *run)
{
	for (uint32_t i = 0; i < run->nr_states; i++)
		state_release(&run->states[i]);
	free(run->states);
	*run = (struct lab_run){ .scenario = NULL };
}

/* SPDX-License-Identifier: MIT */
/* Scenarios: the parser, the runner against the machine's own figures, text and its width. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lab/draw.h"

static struct lab_scenario scenario;
static struct lab_source src;
static char *complaint;
static size_t complaint_size;
static FILE *complaints;

static const char *first_line(void)
{
	fflush(complaints);
	if (!complaint_size)
		return NULL;
	*strchr(complaint, '\n') = '\0';
	return complaint;
}

static bool parse(const char *text)
{
	scenario_release(&scenario);
	if (complaints)
		fclose(complaints);
	free(complaint);
	complaints = open_memstream(&complaint, &complaint_size);
	source_begin(&src, "t", text, strlen(text), complaints);
	return scenario_parse(&scenario, &src);
}

static int done(void **state)
{
	(void)state;
	parse("");
	scenario_release(&scenario);
	fclose(complaints);
	complaints = NULL;
	free(complaint);
	complaint = NULL;
	return 0;
}

#define TOY "machine m from toy16\nshow 0-15\nstep a\n"

static void parses(void **state)
{
	(void)state;
	assert_true(parse("title \"t\" ko \"제\"\n" TOY "say \"s\"\nalloc 1 times 3 as A gfp dma "
			  "atomic node 0\nfree A caught BUDDY-6\nfree 3 order 2\nexpect order 2: "
			  "9, 3\nexpect map 0: 01\non m: expect A in DMA node 1\nrun on cpu 0"));
	assert_int_equal(scenario.nr_steps, 1);
	assert_int_equal(scenario.nr_ops, 7);
	assert_int_equal(scenario.ops[0].number, 3);
	assert_int_equal(scenario.ops[0].gfp, ONDOL_GFP_DMA | ONDOL_GFP_ATOMIC);
	assert_string_equal(scenario.ops[1].invariant, "BUDDY-6");
	assert_true(scenario.ops[2].has_pfn && scenario.ops[2].has_order);
	assert_int_equal(scenario.ops[3].pfns[0], 3);
	assert_int_equal(scenario.ops[5].node, 1);
	assert_int_equal(scenario.ops[5].machines, 1);
	assert_int_equal(scenario.view_end, 16);
	assert_string_equal(text_in(scenario.title, LAB_KO), "제");
	assert_true(parse(TOY "range 8-11 as R refused\noffline 4-7\nballoon 3 node 1\n"
			  "expect managed 9 node 2\nexpect free 1"));
	assert_true(scenario.ops[0].number == 8 && scenario.ops[0].last == 11);
	assert_true(scenario.ops[0].refused && !scenario.ops[1].refused);
	assert_string_equal(scenario.ops[0].name, "R");
	assert_int_equal(scenario.ops[2].node, 1);
	assert_int_equal(scenario.ops[3].node, 2);
	assert_int_equal(scenario.ops[4].node, ONDOL_NODE_ANY);
	/* Without frames to show, zones are. */
	assert_true(parse("machine m\nmemory 1M\nstep a\n"));
	assert_true(scenario.show_zones);
}

#define COMPLAINS(text, about)                                                                \
	do {                                                                                  \
		assert_false(parse(text));                                                    \
		assert_string_equal(first_line(), about);                                     \
	} while (0)

static void refuses(void **state)
{
	(void)state;
	COMPLAINS("", "t:1:1: a scenario needs a step");
	COMPLAINS("step a", "t:1:6: a step before any machine");
	COMPLAINS("alloc 1", "t:1:1: expected title, machine, show or step, found 'alloc'");
	COMPLAINS(TOY "alloc", "t:4:6: expected an order (a number from 0 to 63), but the line "
		  "ends");
	COMPLAINS(TOY "alloc 1 as 3", "t:4:12: expected a name (it begins with a letter), found "
		  "'3'");
	COMPLAINS(TOY "alloc 1 gfp", "t:4:12: expected a flag: dma, dma32, highmem, movable, "
		  "reclaimable, comp, thisnode, atomic, memalloc, kernel, user, nowait, nofail or "
		  "zero, but the line ends");
	COMPLAINS(TOY "expect order 1 3", "t:4:16: expected a colon, found '3'");
	COMPLAINS(TOY "expect A", "t:4:9: expected at and a frame, or in and a zone, but the line "
		  "ends");
	COMPLAINS(TOY "offline", "t:4:8: expected frames such as 8-15, but the line ends");
	COMPLAINS(TOY "offline 3-1", "t:4:9: the range is empty: it ends where it begins, or "
		  "before");
	COMPLAINS(TOY "online 0-3 as A", "t:4:12: expected the end of the line, found 'as'");
	COMPLAINS(TOY "balloon all", "t:4:9: expected how many frames (a number from 0 to "
		  "4294967295), found 'all'");
	COMPLAINS(TOY "machine n", "t:4:9: machines come before the first step");
	COMPLAINS("machine m\nmemory 1M\nmachine m\nmemory 1M\nstep a", "t:3:9: a second machine "
		  "'m'");
	COMPLAINS(TOY "say \"한글\" 3", "t:4:10: expected the end of the line, found '3'");
	COMPLAINS("machine m\nstep a", "t:1:9: a machine needs memory: for example `memory 64M`");
}

/* The runner's answers are the machine's: what must fail does, and says where. */
static void runs(void **state)
{
	static const struct { const char *lines, *about; } bad[] = {
		{ "alloc 9", "t:4:1: refused: the order is above the highest that this profile "
			     "has (machine m)" },
		{ "fill 0 gfp memalloc\nalloc 0 gfp nofail",
		  "t:5:1: the core caught this: [NOFAIL-1] (machine m)" },
		{ "alloc 0 as A\nexpect A at 63", "t:5:13: expected A at 63, it is at " },
		{ "alloc 0 refused", "t:4:1: expected a refusal, got the block at " },
		{ "alloc 0 as A\nfree A\nfree A", "t:6:1: the core caught this: [BUDDY-6] "
						  "(machine m)" },
		{ "alloc 0 as A\nfree A caught BUDDY-6", "t:5:1: expected [BUDDY-6] to catch "
							 "this, nothing did (machine m)" },
		{ "free 4096", "t:4:6: the machine has no frame 4096 (machine m)" },
		{ "frames \"#\" at 63", "t:4:9: frame 63 is not one that the scenario can have "
					 "(machine m)" },
		{ "run on cpu 7", "t:4:12: there is no CPU 7 (machine m)" },
		{ "alloc 0 node 3", "t:4:1: there is no node 3 (machine m)" },
		{ "expect order 17: none", "t:4:18: this machine has orders 0 to 4 (machine m)" },
		{ "range 0-99999",
		  "t:4:7: refused: these frames are not of one zone (machine m)" },
		{ "range 8-9 refused", "t:4:1: expected a refusal, it was done (machine m)" },
		{ "range 8-9\noffline 8-11", "t:5:9: refused: frame 8 is in use (machine m)" },
		{ "online 8-9",
		  "t:4:8: refused: not all of these frames are offline (machine m)" },
		{ "balloon 99999", "t:4:9: the balloon of node 0 has " },
		{ "balloon 1 refused",
		  "t:4:9: the balloon of node 0 has 1 frames (machine m)" },
		{ "balloon 1 node 3", "t:4:1: there is no node 3 (machine m)" },
		{ "expect managed 3 node 0",
		  "t:4:16: expected 3 managed frames, the machine has " },
		{ "expect free 3", "t:4:13: expected 3 free frames, the machine has " },
	};
	struct lab_run run;
	char text[300];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(text, sizeof text, TOY "%s", bad[i].lines);
		assert_true(parse(text));
		assert_false(run_scenario(&run, &scenario, 0, &src));
		assert_int_equal(run.nr_failed, 1);
		if (strncmp(first_line(), bad[i].about, strlen(bad[i].about)))
			fail_msg("%s: %s", bad[i].lines, complaint);
		run_release(&run);
	}
	assert_true(parse(TOY "frames \"................\"\nstep b\nalloc 2 as A\nexpect A at 0\n"
			  "expect splits 2\nstep c\nfree A\nexpect merges 2"));
	assert_true(run_scenario(&run, &scenario, 0, &src));
	assert_int_equal(run.nr_states, 3);
	assert_int_equal(run.nr_expectations, 3);
	/* The state of each step stays what it was: that is how one goes back. */
	assert_int_equal(run.states[1].cells[3].state, ONDOL_FRAME_USED);
	assert_string_equal(run.states[1].cells[3].owner, "A");
	assert_true(run.states[1].cells[0].changed);
	assert_int_equal(run.states[2].cells[3].state, ONDOL_FRAME_FREE);
	assert_int_equal(run.states[2].areas[4].pfns[0], 0);
	run_release(&run);
	assert_true(parse("machine m\nmemory 1M\nstep a\nfill 0 as A\nalloc 0 gfp nowait refused\n"
			  "alloc 0 as B gfp nofail zero"));
	assert_true(run_scenario(&run, &scenario, 0, &src));
	run_release(&run);
}

static void too_small(void **state)
{
	struct lab_run run;

	(void)state;
	assert_true(parse("machine m\nmemory 8K\nstep a"));
	assert_false(run_scenario(&run, &scenario, 0, &src));
	assert_int_equal(run.nr_states, 0);
	run_release(&run);
}

/* Hangul is two columns wide; what is not UTF-8 does not reach a terminal. */
static void text(void **state)
{
	char *out = NULL, buffer[24];
	size_t size;
	FILE *stream = open_memstream(&out, &size);

	(void)state;
	assert_int_equal(text_width("그림 1", strlen("그림 1")), 6);
	assert_int_equal(text_width("→▒", strlen("→▒")), 2);
	text_print(stream, "a\033\xff\xc3가\x9b", 8);
	text_xml(stream, "<&\"\x01>");
	text_json(stream, "\"\\\n\xff");
	text_wrap(stream, "ab cd efgh", 1, 5);
	fclose(stream);
	assert_string_equal(out, "a???가?&#60;&#38;&#34;?&#62;\"\\\"\\\\\\u000a?\" ab cd\n efgh\n");
	free(out);
	assert_string_equal(text_size(0, buffer, sizeof buffer), "0");
	assert_string_equal(text_size(4096, buffer, sizeof buffer), "4K");
	assert_string_equal(text_size(3u << 29, buffer, sizeof buffer), "1.5G");
	assert_string_equal(text_size(UINT64_C(9320) << 20, buffer, sizeof buffer), "9320M");
	assert_string_equal(text_size((UINT64_C(15) << 30) + 4096, buffer, sizeof buffer),
			    "~15.00G");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(parses, done), cmocka_unit_test_teardown(refuses, done),
		cmocka_unit_test_teardown(runs, done), cmocka_unit_test_teardown(too_small, done),
		cmocka_unit_test(text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

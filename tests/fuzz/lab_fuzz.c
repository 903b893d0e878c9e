/* SPDX-License-Identifier: MIT */
/*
 * Hostile scenarios, machines and topologies: parsed, run where they are small, drawn.  With
 * FUZZ_SMOKE a program of its own that mutates what is shipped; SEED=N begins elsewhere.
 */
#include <stdlib.h>
#include <string.h>

#include "lab/draw.h"

#define RUN_BELOW (UINT64_C(4) << 20) /* bytes of memory */
#define OPS_MAX 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_small(const struct lab_scenario *scenario, uint32_t i)
{
	uint64_t top = 0;

	for (uint32_t k = 0; k < scenario->machines[i].nr_regions; k++)
		if (scenario->machines[i].regions[k].end.value > top)
			top = scenario->machines[i].regions[k].end.value;
	return top <= RUN_BELOW && scenario->nr_ops <= OPS_MAX;
}

static void try_scenario(const char *text, size_t size, FILE *out)
{
	struct lab_draw draw = { .out = out, .lang = LAB_KO, .width = 61, .colour = true };
	struct lab_scenario scenario;
	struct lab_source src;
	struct lab_run run;

	source_begin(&src, "fuzz", text, size, out);
	if (scenario_parse(&scenario, &src) && is_small(&scenario, scenario.nr_machines - 1)) {
		(void)run_scenario(&run, &scenario, scenario.nr_machines - 1, &src);
		for (uint32_t i = 0; i < run.nr_states; i++)
			terminal_step(&draw, &run, i);
		svg_steps(&draw, &run, 0, run.nr_states);
		json_run(&draw, &run);
		run_release(&run);
	}
	scenario_release(&scenario);
}

static void try_machine(const char *text, size_t size, FILE *out, bool hwloc)
{
	struct lab_draw draw = { .out = out, .width = 80 };
	struct lab_machine machine;
	struct lab_source src;
	struct lab_show show;
	bool good;

	machine_init(&machine);
	if (hwloc) {
		src = (struct lab_source){ .name = "fuzz", .text = text, .size = size,
					   .complaints = out };
		good = hwloc_parse(&machine, &src);
	} else {
		source_begin(&src, "fuzz", text, size, out);
		good = machine_parse(&machine, &src);
	}
	if (good && !show_look(&show, &machine)) {
		terminal_machine(&draw, &show);
		svg_machine(&draw, &show);
		json_machine(&draw, &show);
		show_release(&show);
	}
	machine_release(&machine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *out;

	if (!out)
		out = fopen("/dev/null", "w");
	if (!size || !out)
		return 0;
	/* The last byte says as what; the text needs no NUL at its end. */
	char *text = malloc(size);

	memcpy(text, data, size - 1);
	if (data[size - 1] % 3 == 1) /* as what is shipped, which ends with a newline */
		try_scenario(text, size - 1, out);
	else
		try_machine(text, size - 1, out, data[size - 1] % 3 == 2);
	free(text);
	return 0;
}

#ifdef FUZZ_SMOKE
static uint64_t seed;

static uint32_t any(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

/* Bytes changed, cut out, doubled; words put where they do not belong. */
static size_t mutate(char *text, size_t size, size_t room)
{
	static const char *const words[] = { "0-15", "node 63", "\"", ":", "999999999999", "\n",
					     "expect ", "times 9", "\xea\xb7", "gfp dma ", "18",
					     "memory 1M", "(memory=1GiB)", "<object ", "none" };

	for (uint32_t n = 1 + any(6); n && size > 8; n--) {
		uint32_t at = any((uint32_t)size), length = 1 + any(12);
		const char *word = words[any(sizeof words / sizeof *words)];

		length = at + length > size ? (uint32_t)size - at : length;
		switch (any(5)) {
		case 0:
			text[at] = (char)any(256);
			break;
		case 1:
			memmove(text + at, text + at + length, size - at - length);
			size -= length;
			break;
		case 2:
			if (size + length < room) {
				memmove(text + at + length, text + at, size - at);
				size += length;
			}
			break;
		case 3:
			if (size + strlen(word) < room) {
				memmove(text + at + strlen(word), text + at, size - at);
				memcpy(text + at, word, strlen(word));
				size += strlen(word);
			}
			break;
		default:
			size = any(20) ? size : at;
		}
	}
	return size;
}

int main(void)
{
	static const char *const topologies[] = {
		"numa:2(memory=1MiB) core:2 pu:2", "pack:2 [numa(memory=3MiB)] 3 2",
		"<topology><object type=\"NUMANode\" os_index=\"0\" cpuset=\"0x0000000f\" "
		"local_memory=\"4000000\"/><object type=\"PU\" os_index=\"3\"/><distances2 "
		"type=\"NUMANode\" kind=\"5\"><u64values length=\"3\">10 </u64values></distances2>"
		"</topology>" };
	const char *told = getenv("SEED");
	char *text = malloc(1 << 16);
	uint64_t first = told ? strtoull(told, NULL, 0) : 1;
	unsigned long runs = 0;

	for (seed = first; runs < 20000; first++) {
		const struct lab_file *file = lab_files;
		size_t size;

		seed = first * 7919;
		for (uint32_t skip = any(24); skip; skip--)
			file = file[1].name ? file + 1 : lab_files;
		size = file->size;
		memcpy(text, file->text, size);
		uint8_t kind = strstr(file->name, ".machine") ? 0 : 1;

		if (!any(4)) {
			const char *topology = topologies[any(3)];

			size = strlen(topology);
			memcpy(text, topology, size);
			kind = 2;
		}
		size = mutate(text, size, (1 << 16) - 1);
		text[size] = (char)kind;
		LLVMFuzzerTestOneInput((const uint8_t *)text, size + 1);
		runs++;
	}
	free(text);
	printf("ok 1 - %lu hostile texts # from SEED=%llu\n", runs,
	       (unsigned long long)(told ? strtoull(told, NULL, 0) : 1));
	return 0;
}
#endif

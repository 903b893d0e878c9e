/* SPDX-License-Identifier: MIT */
/* Machines described by data: the language, hwloc, and what the core makes of them (B1-B8, C8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lab/show.h"

static struct lab_machine machine;
static char *complaint;
static size_t complaint_size;

/* The complaint's first line, or NULL when the text is a machine. */
static const char *parse_with(bool (*parse)(struct lab_machine *, struct lab_source *),
			      const char *text)
{
	struct lab_source src;
	FILE *complaints;
	bool good;

	free(complaint);
	complaint = NULL;
	complaints = open_memstream(&complaint, &complaint_size);
	machine_release(&machine);
	machine_init(&machine);
	source_begin(&src, "t", text, strlen(text), complaints);
	good = parse(&machine, &src);
	fclose(complaints);
	assert_int_equal(good, complaint_size == 0);
	if (good)
		return NULL;
	*strchr(complaint, '\n') = '\0';
	return complaint;
}

#define PARSES(text) assert_null(parse_with(machine_parse, text))
#define COMPLAINS(text, about) assert_string_equal(parse_with(machine_parse, text), about)

static int done(void **state)
{
	(void)state;
	machine_release(&machine);
	free(complaint);
	complaint = NULL;
	return 0;
}

static void statements(void **state)
{
	(void)state;
	PARSES("# a comment\n\nmachine m \"title\" ko \"제목\"\nmemory 1G\nmemory 512M node 1 # b\n"
	       "reserved 640K-1M\ncpus 4\ndistance 10 21, 21 10\norders 10\nmap off\nsplit upper");
	assert_string_equal(machine.name, "m");
	assert_string_equal(machine.title[LAB_KO], "제목");
	assert_int_equal(machine.nr_regions, 3);
	assert_int_equal(machine.regions[1].start.value, 1u << 30);
	assert_int_equal(machine.regions[1].end.value, 3u << 29);
	assert_int_equal(machine.regions[2].type, ONDOL_MEM_RESERVED);
	assert_int_equal(machine.nr_nodes, 2);
	assert_int_equal(machine.cpu_to_node[3], 1);
	assert_int_equal(machine_distance(&machine, 1, 0), 21);
	assert_int_equal(machine.profile.nr_orders, 10);
	assert_false(machine.profile.map_bitmap);
	assert_true(machine.profile.split_hands_out_upper);
	PARSES("memory 0x1000-0x200000\ncpu 0-1 node 0\n");
	assert_int_equal(machine.regions[0].start.value, 4096);
	assert_int_equal(machine.nr_cpus, 2);
	PARSES("profile i386-2.6\nscale 1/128\nmemory 16M\n");
	assert_int_equal(machine.profile.zone_end[ONDOL_ZONE_NORMAL], 7u << 20);
	PARSES("machine x from i386-2g-uma\ncpus 1\n");
	assert_int_equal(machine.nr_cpus, 1);
	assert_string_equal(machine.name, "x");
}

/* Every complaint points at the word that is wrong: line and column, counted in characters. */
static void complaints(void **state)
{
	(void)state;
	COMPLAINS("memory 1G\nfoo 3", "t:2:1: expected a statement about the machine: memory, "
		  "offline, device, reserved, profile, cpus, cpu, distance, zone, scale, orders, "
		  "map, migrate, pcp, split or lazy, found 'foo'");
	COMPLAINS("memory 1G\noffline 512M-2G", "t:2:9: this is memory of two types: memory, "
		  "offline or device");
	COMPLAINS("memory 1G\ndevice 512M-2G node 1", "t:2:8: node 0 and node 1 both claim this "
		  "memory");
	COMPLAINS("memory 1G\nzone Device 2G", "t:2:6: expected a zone: DMA, DMA32, Normal, "
		  "HighMem or Movable, found 'Device'");
	COMPLAINS("", "t:1:1: a machine needs memory: for example `memory 64M`");
	COMPLAINS("reserved 0-1M", "t:1:1: a machine needs memory: for example `memory 64M`");
	COMPLAINS("memory 1G 2", "t:1:11: expected the end of the line, found '2'");
	COMPLAINS("memory 0", "t:1:8: a size of nothing");
	COMPLAINS("memory 17T", "t:1:8: memory ends at 16T here");
	COMPLAINS("memory 1G node 64", "t:1:16: expected a node (a number from 0 to 63), found "
		  "'64'");
	COMPLAINS("memory 1G\ncpu 300 node 0", "t:2:5: expected a CPU, or CPUs such as 0-3 (a "
		  "number from 0 to 255), found '300'");
	COMPLAINS("memory 1G\ncpu 1", "t:2:6: expected node and its number, but the line ends");
	COMPLAINS("memory 1G\ndistance 10 20, 20 11", "t:2:10: 2 rows of 2 distances for 1 nodes");
	COMPLAINS("memory 1G\nmemory 1G node 1\ndistance 10 20, 20 11",
		  "t:3:10: a node's distance to itself is 10");
	COMPLAINS("memory 1G\npcp off\nlazy pcp", "t:3:1: `lazy pcp` needs `pcp on`");
	COMPLAINS("machine \"한글\" from x", "t:1:19: no machine is called 'x'; there are "
		  "i386-2g-uma, numa2-movable, toy16, x86-4bank-interleaved");
	COMPLAINS("memory 1G\nzone DMA none\nzone DMA32 none\nzone Normal none", "t:4:1: the "
		  "kernel needs a zone of its own: DMA, DMA32 or Normal");
}

/* B1 to B5 for what a text describes; present, spanned and zones as the core tells them. */
static void look(struct lab_show *show)
{
	uint64_t at = 0, present = 0;

	assert_int_equal(show_look(show, &machine), 0);
	for (uint32_t i = 0; i < show->nr_pieces; i++) {
		assert_int_equal(show->pieces[i].start, at);
		at = show->pieces[i].end;
		if (!show->pieces[i].hole)
			present += show->pieces[i].end - show->pieces[i].start;
	}
	for (uint32_t i = 0; i < show->nr_nodes; i++)
		present -= show->nodes[i].node_present_pages;
	assert_int_equal(present, 0);
}

/* B8: the three layouts of the kernel's documentation. */
static void presets(void **state)
{
	struct lab_show show;

	(void)state;
	PARSES("machine m from i386-2g-uma");
	look(&show);
	assert_int_equal(show.nr_nodes, 1);
	assert_int_equal(show.nr_zones, 3);
	assert_int_equal(show.zones[1].start_pfn.value, 4096);
	assert_int_equal(show.zones[2].start_pfn.value, 229376);
	assert_int_equal(show.zones[2].pages_present, 524288 - 229376);
	show_release(&show);
	PARSES("machine m from numa2-movable");
	look(&show);
	assert_int_equal(show.nr_nodes, 2);
	assert_string_equal(show.zones[show.nr_zones - 1].name, "Movable");
	assert_int_equal(show.nodes[0].node_start_pfn.value, 1 << 18);
	assert_int_equal(show.nodes[0].node_spanned_pages, 2 << 20);
	show_release(&show);
	PARSES("machine m from x86-4bank-interleaved");
	look(&show);
	assert_int_equal(show.nr_nodes, 2);
	for (unsigned i = 0; i < 2; i++) { /* B5: with a hole, present < spanned */
		assert_int_equal(show.nodes[i].node_present_pages, 2 << 20);
		assert_int_equal(show.nodes[i].node_spanned_pages, 3 << 20);
	}
	assert_int_equal(show.nodes[1].node_start_pfn.value, 1 << 20);
	show_release(&show);
}

/* C8: all of i386's zones on 16 MiB. */
static void scaled(void **state)
{
	struct lab_show show;

	(void)state;
	PARSES("profile i386-2.6\nscale 1/128\nmemory 16M");
	look(&show);
	assert_int_equal(show.nr_zones, 3);
	assert_int_equal(show.zones[0].pages_present, 32);
	assert_int_equal(show.zones[1].pages_present, 1792 - 32);
	assert_string_equal(show.zones[2].name, "HighMem");
	show_release(&show);
}

/* As firmware gives them: unsorted, overlapping, with a hole. */
static void as_firmware(void **state)
{
	struct lab_show show;

	(void)state;
	PARSES("memory 4M-8M\nmemory 0-1M\nmemory 512K-2M\nreserved 640K-1M\nreserved 100M-1G");
	look(&show);
	assert_int_equal(show.nodes[0].node_present_pages, 512 + 1024);
	assert_int_equal(show.nodes[0].node_spanned_pages, 2048);
	assert_true(show.pieces[1].reserved);
	assert_int_equal(show.pieces[1].start, 160);
	assert_true(show.pieces[3].hole);
	show_release(&show);
}

#define HWLOC(text) assert_null(parse_with(hwloc_parse, text))
#define HWLOC_COMPLAINS(text, about) \
	assert_string_equal(parse_with(hwloc_parse, text), about)

static uint64_t memory_of(uint16_t node)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < machine.nr_regions; i++)
		if (machine.regions[i].node == node)
			bytes += machine.regions[i].end.value - machine.regions[i].start.value;
	return bytes;
}

static void hwloc_synthetic(void **state)
{
	struct lab_show show;

	(void)state;
	HWLOC("numa:2(memory=4GiB) core:2 pu:2");
	assert_int_equal(machine.nr_nodes, 2);
	assert_int_equal(machine.nr_cpus, 8);
	assert_int_equal(machine.cpu_to_node[3], 0);
	assert_int_equal(machine.cpu_to_node[4], 1);
	assert_int_equal(memory_of(1), UINT64_C(4) << 30);
	look(&show);
	assert_true(show.pieces[2].hole); /* 3G to 4G */
	show_release(&show);
	HWLOC("pack:2 [numa(memory=512MiB)] core:3 pu:1");
	assert_int_equal(machine.nr_nodes, 2);
	assert_int_equal(machine.nr_cpus, 6);
	assert_int_equal(memory_of(0), 512 << 20);
	HWLOC("2 4");
	assert_int_equal(machine.nr_nodes, 1);
	assert_int_equal(machine.nr_cpus, 8);
	HWLOC_COMPLAINS("numa:2 numa:2", "t:1:8: expected one level of NUMA nodes, not a second");
	HWLOC_COMPLAINS("numa:0", "t:1:7: expected a count from 1 to 256");
	HWLOC_COMPLAINS("numa:2(memory=1GiB", "t:1:19: expected a closing )");
	HWLOC_COMPLAINS("core", "t:1:5: expected TYPE:COUNT, such as numa:2 or core:4");
	HWLOC_COMPLAINS("core:200 pu:200", "t:1:16: expected at most 256 CPUs and 64 nodes in all");
}

static char *read_text(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = calloc(1, 1 << 16);

	assert_non_null(in);
	assert_true(fread(text, 1, (1 << 16) - 1, in) > 0);
	fclose(in);
	return text;
}

/* As lstopo and hwloc-annotate of hwloc 2.9 wrote them. */
static void hwloc_xml(void **state)
{
	char *text = read_text("tests/lab/hwloc/four-nodes.xml");

	(void)state;
	HWLOC(text);
	assert_int_equal(machine.nr_nodes, 4);
	assert_int_equal(machine.nr_cpus, 12);
	assert_int_equal(machine.cpu_to_node[5], 1);
	assert_int_equal(memory_of(3), 512 << 20);
	assert_int_equal(machine_distance(&machine, 0, 2), 30);
	assert_int_equal(machine_distance(&machine, 3, 1), 30);
	free(text);
	text = read_text("tests/lab/hwloc/two-packages.xml");
	HWLOC(text);
	assert_int_equal(machine.nr_nodes, 2);
	assert_int_equal(memory_of(0), UINT64_C(4000000000) & ONDOL_PAGE_MASK);
	assert_int_equal(machine.cpu_to_node[3], 0);
	assert_int_equal(machine.cpu_to_node[4], 1);
	free(text);
	HWLOC_COMPLAINS("<a/>", "t:1:1: this XML is not hwloc's: there is no <topology> in it");
	HWLOC_COMPLAINS("<topology><object type=\"PU\" os_index=\"0\"/></topology>", "t:1:1: "
			"there is no object of type NUMANode with its local_memory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(statements, done),
		cmocka_unit_test_teardown(complaints, done),
		cmocka_unit_test_teardown(presets, done),
		cmocka_unit_test_teardown(scaled, done),
		cmocka_unit_test_teardown(as_firmware, done),
		cmocka_unit_test_teardown(hwloc_synthetic, done),
		cmocka_unit_test_teardown(hwloc_xml, done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

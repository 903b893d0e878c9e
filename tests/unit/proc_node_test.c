/* SPDX-License-Identifier: MIT */
/*
 * The texts about nodes, in Linux's columns: node*'s meminfo, numastat and distance,
 * pagetypeinfo, PID/numa_maps (requirements B5, B6).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ondol/mempolicy.h>

#include "support/mm_fixture.h"

static char text[32768];
static size_t used;

static int append(void *ctx, const char *bytes, size_t size)
{
	(void)ctx;
	assert_true(used + size < sizeof text);
	memcpy(text + used, bytes, size);
	used += size;
	text[used] = 0;
	return 0;
}

#define TELL(call)                                                                            \
	do {                                                                                  \
		used = 0;                                                                     \
		text[0] = 0;                                                                  \
		assert_int_equal(call, 0);                                                    \
	} while (0)

/* Two nodes: 16 MiB that are all DMA, and 32 MiB. */
static void begin_two(void)
{
	static const uint8_t distance[4] = { 10, 17, 17, 10 };
	const struct ondol_mem_region regions[2] = {
		{ .end = { 16 << 20 }, .type = ONDOL_MEM_USABLE, .node = 0 },
		{ .start = { 16 << 20 }, .end = { 48 << 20 }, .type = ONDOL_MEM_USABLE, .node = 1 },
	};
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = regions,
					   .nr_regions = 2, .nr_nodes = 2, .nr_cpus = 1,
					   .node_distance = distance };

	memset(&fx, 0, sizeof fx);
	assert_int_equal(toy_init(&fx.toy, &desc), 0);
	fx.m = fx.toy.m;
	fx.mm = new_mm();
}

static unsigned long long field(const char *name)
{
	unsigned long long value;
	const char *at = strstr(text, name);

	assert_non_null(at);
	assert_int_equal(sscanf(at + strlen(name), "%llu", &value), 1);
	return value;
}

static void nodes(void **state)
{
	(void)state;
	begin_two();
	TELL(ondol_proc_node_distance(fx.m, 1, append, NULL));
	assert_string_equal(text, "17 10\n");
	TELL(ondol_proc_node_numastat(fx.m, 1, append, NULL));
	assert_non_null(strstr(text, "interleave_hit 0\nlocal_node "));
	TELL(ondol_proc_node_meminfo(fx.m, 1, append, NULL));
	assert_int_equal(strncmp(text, "Node 1 MemTotal:       ", 23), 0);
	assert_non_null(strstr(text, " kB\nNode 1 Inactive(anon):        0 kB\n"));
	assert_non_null(strstr(text, "\nNode 1 HugePages_Surp:      0\n"));
	assert_int_equal(field("MemTotal:"), field("MemFree:") + field("MemUsed:"));
	assert_in_range(field("MemTotal:"), 31 << 10, 32 << 10);
	for (unsigned node = 2; node < 70; node += 67) {
		assert_int_equal(ondol_proc_node_meminfo(fx.m, node, append, NULL), -ONDOL_ENOENT);
		assert_int_equal(ondol_proc_node_numastat(fx.m, node, append, NULL), -ONDOL_ENOENT);
		assert_int_equal(ondol_proc_node_distance(fx.m, node, append, NULL), -ONDOL_ENOENT);
	}
	end();
}

/* Every free block stands in one column of one type, every pageblock in one. */
static void pagetypeinfo(void **state)
{
	unsigned long long free = 0, blocks = 0, n, order;
	char *line, *save = NULL, *at;

	(void)state;
	begin_two();
	TELL(ondol_proc_pagetypeinfo(fx.m, append, NULL));
	assert_non_null(strstr(text, "Page block order: 9\nPages per block:  512\n\n"
				     "Free pages count per migrate type at order       0      1 "));
	assert_non_null(strstr(text, "\nNode    0, zone      DMA, type    Unmovable "));
	assert_non_null(strstr(text, "\n\nNumber of blocks type     Unmovable      Movable "));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "Node", 4))
			continue;
		at = strstr(line, ", type ");
		at = at ? at + 19 : strstr(line, "DMA") + (strstr(line, "DMA32") ? 5 : 3);
		for (order = 0; sscanf(at, "%llu", &n) == 1; order++) {
			if (strstr(line, ", type "))
				free += n << order;
			else
				blocks += n;
			at += strspn(at, " ");
			at += strcspn(at, " ");
		}
	}
	assert_int_equal(blocks, 8 + 16);
	TELL(ondol_proc_vmstat(fx.m, append, NULL));
	assert_int_equal(free, field("nr_free_pages"));
	end();
}

static void numa_maps(void **state)
{
	struct ondol_mempolicy p;
	struct test_file f;

	(void)state;
	begin_two();
	open_file(&f, 8 * PAGE);
	map(0, 4, RW);
	map_file(4, 4, R, &f, 0);
	assert_int_equal(ondol_mempolicy_make(fx.m, ONDOL_MPOL_INTERLEAVE |
						      ONDOL_MPOL_F_STATIC_NODES, 3, &p), 0);
	assert_int_equal(ondol_mbind(fx.mm, AT(0), 2 * PAGE, &p), 0);
	for (uint64_t i = 0; i < 3; i++)
		poke(i, 1);
	assert_int_equal(peek(4), page_tag(0));
	TELL(ondol_proc_numa_maps(fx.mm, append, NULL));
	assert_string_equal(text,
			    "40000000 interleave=static:0-1 anon=2 dirty=2 N0=1 N1=1 "
			    "kernelpagesize_kB=4\n"
			    "40002000 default anon=1 dirty=1 N0=1 kernelpagesize_kB=4\n"
			    "40004000 default file=/tmp/file mapped=1 N0=1 kernelpagesize_kB=4\n");
	TELL(ondol_proc_node_numastat(fx.m, 1, append, NULL));
	assert_int_equal(field("interleave_hit "), 1);
	close_file(&f);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes),
		cmocka_unit_test(pagetypeinfo),
		cmocka_unit_test(numa_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

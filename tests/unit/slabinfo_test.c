/* SPDX-License-Identifier: MIT */
/* /proc/slabinfo, format 2.1, as Linux 6.1 writes it (mm/slab_common.c) and slabtop reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "slab/slab.h"
#include "support/slab_kit.h"

static struct toy t;

struct text {
	char bytes[65536];
	size_t used, stop_after; /* 0: never */
};

static int collect(void *ctx, const char *bytes, size_t size)
{
	struct text *text = ctx;

	assert_true(text->used + size < sizeof text->bytes);
	memcpy(text->bytes + text->used, bytes, size);
	text->used += size;
	text->bytes[text->used] = '\0';
	return text->stop_after && text->used >= text->stop_after ? 42 : 0;
}

static struct text text;

static const char *slabinfo(void)
{
	memset(&text, 0, sizeof text);
	assert_int_equal(ondol_proc_slabinfo(t.m, collect, &text), 0);
	return text.bytes;
}

/* Byte by byte: the two headings and a line. */
static void exact_text(void **state)
{
	static const char headings[] =
		"slabinfo - version: 2.1\n"
		"# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> "
		": tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> "
		"<num_slabs> <sharedavail>\nkmem_cache ";
	struct ondol_kmem_cache *cache, *longer;
	const char *line, *next;
	void *objects[24];

	(void)state;
	assert_int_equal(kit_new(&t, 64, 1, &ondol_profile_i386_2_4, NULL), 0);
	cache = kit_cache(t.m, "mine", 500, 0, 0);
	longer = kit_cache(t.m, "a_name_beyond_the_column", 100, 256, 0);
	assert_memory_equal(slabinfo(), headings, sizeof headings - 1);
	/* An idle cache. */
	assert_non_null(strstr(slabinfo(), "\nmine                   0      0    504    8    1 "
					   ": tunables    0    0    0 "
					   ": slabdata      0      0      0\n"));
	for (unsigned i = 0; i < 24; i++)
		objects[i] = ondol_kmem_cache_alloc(cache, ONDOL_GFP_KERNEL);
	for (unsigned i = 0; i < 9; i++)
		ondol_kmem_cache_free(cache, objects[i]);
	/* Three slabs: a free one, a partial and a full one. */
	line = strstr(slabinfo(), "\nmine ");
	assert_non_null(line);
	next = strchr(line + 1, '\n');
	assert_memory_equal(line, "\nmine                  15     24    504    8    1 "
				  ": tunables    0    0    0 "
				  ": slabdata      2      3      0\n", (size_t)(next + 1 - line));
	assert_non_null(strstr(next, "\na_name_beyond_the_column      0      0    256   15    1 "));
	for (unsigned i = 9; i < 24; i++)
		ondol_kmem_cache_free(cache, objects[i]);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	assert_int_equal(ondol_kmem_cache_destroy(longer), 0);
	assert_null(strstr(slabinfo(), "mine"));
	assert_int_equal(toy_free(&t), 0);
}

/* As slabtop (procps 4.0 library/slabinfo.c) takes a line apart. */
static void parses(void **state)
{
	const char *line;
	unsigned lines = 0;

	(void)state;
	assert_int_equal(kit_new(&t, 64, 2, NULL, NULL), 0);
	line = strchr(strchr(slabinfo(), '\n') + 1, '\n') + 1;
	for (; *line; line = strchr(line, '\n') + 1, lines++) {
		unsigned active, objects, size, per_slab, pages, active_slabs, slabs, shared;
		char name[128];
		struct ondol_slab_info info;

		assert_int_equal(sscanf(line, "%127s %u %u %u %u %u : tunables %*u %*u %*u : "
					      "slabdata %u %u %u", name, &active, &objects, &size,
					&per_slab, &pages, &active_slabs, &slabs, &shared), 9);
		info = kit_info(t.m, name);
		assert_int_equal(active, info.active_objects);
		assert_int_equal(objects, info.nr_objects);
		assert_int_equal(size, info.buffer_size);
		assert_int_equal(per_slab, info.objects_per_slab);
		assert_int_equal(pages, info.pages_per_slab);
		assert_int_equal(active_slabs, info.active_slabs);
		assert_int_equal(slabs, info.nr_slabs);
		assert_true(active <= objects && active_slabs <= slabs);
		assert_true((uint64_t)per_slab * size <= (uint64_t)pages * 4096);
	}
	assert_true(lines > 80);
	assert_int_equal(toy_free(&t), 0);
}

static void writer_may_stop(void **state)
{
	(void)state;
	assert_int_equal(kit_new(&t, 64, 1, NULL, NULL), 0);
	memset(&text, 0, sizeof text);
	text.stop_after = 500;
	assert_int_equal(ondol_proc_slabinfo(t.m, collect, &text), 42);
	assert_in_range(text.used, 500, 700);
	assert_int_equal(toy_free(&t), 0);
}

/* E1: asked for, given and held, in bytes; the sum is the last line. */
static void usage(void **state)
{
	void *objects[100];
	unsigned long long sum[3] = { 0 }, v[3];
	char name[64], *line;
	bool seen = false;

	(void)state;
	assert_int_equal(kit_new(&t, 64, 1, &ondol_profile_i386_2_4, NULL), 0);
	for (unsigned i = 0; i < 100; i++)
		objects[i] = ondol_kmalloc(t.m, 1500, ONDOL_GFP_KERNEL);
	memset(&text, 0, sizeof text);
	assert_int_equal(ondol_slab_usage(t.m, collect, &text), 0);
	for (line = strchr(text.bytes, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
		unsigned inside, inside_tenth, unused, unused_tenth;

		assert_int_equal(sscanf(line, "%63s %llu %llu %llu %u.%u%% %u.%u%%", name, &v[0],
					&v[1], &v[2], &inside, &inside_tenth, &unused,
					&unused_tenth), 8);
		assert_true(v[0] <= v[1] && v[1] <= v[2] && v[2] % 4096 == 0);
		assert_int_equal(inside * 10 + inside_tenth,
				 v[1] ? (v[1] - v[0]) * 1000 / v[1] : 0);
		assert_int_equal(unused * 10 + unused_tenth, (v[2] - v[1]) * 1000 / v[2]);
		if (!strcmp(name, "kmalloc-2k")) {
			assert_int_equal(v[0], 100 * 1500);
			assert_int_equal(v[1], 100 * 2048);
			assert_int_equal(inside * 10 + inside_tenth, 267);
			seen = true;
		}
		for (unsigned k = 0; k < 3; k++) {
			if (!strcmp(name, "all"))
				assert_int_equal(sum[k], v[k]);
			sum[k] += v[k];
		}
	}
	assert_true(seen);
	assert_string_equal(name, "all");
	for (unsigned i = 0; i < 100; i++)
		ondol_kfree(t.m, objects[i]);
	assert_int_equal(toy_free(&t), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_text),
		cmocka_unit_test(parses),
		cmocka_unit_test(writer_may_stop),
		cmocka_unit_test(usage),
	};

	return cmocka_run_group_tests_name("slabinfo", tests, NULL, NULL);
}

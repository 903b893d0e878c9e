/* SPDX-License-Identifier: MIT */
/* General caches (E2): which there are, which one a request gets, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "slab/slab.h"
#include "support/slab_kit.h"

#define GFP ONDOL_GFP_KERNEL
#define MIB (1024 * 1024)

static struct toy t;

static void begin(const struct ondol_profile *profile)
{
	assert_int_equal(kit_new(&t, 64, 1, profile, NULL), 0);
}

static void end(void)
{
	ASSERT_VALID(t.m);
	assert_int_equal(toy_free(&t), 0);
}

static bool is_general(const char *name)
{
	return strncmp(name, "kmalloc-", 8) == 0;
}

struct classes { size_t size[144]; unsigned nr, nr_dma; };

static int note_class(void *ctx, const struct ondol_slab_info *info)
{
	struct classes *classes = ctx;

	if (is_general(info->name))
		classes->size[classes->nr++] = info->object_size;
	classes->nr_dma += strncmp(info->name, "dma-kmalloc-", 12) == 0;
	return 0;
}

static struct classes all_classes(void)
{
	struct classes classes = { .nr = 0 };

	assert_int_equal(ondol_for_each_cache(t.m, note_class, &classes), 0);
	return classes;
}

/* E2, 2.6: eighteen powers of two from 32 B to 4 MiB, and 96 and 192. */
static void classic_classes(void **state)
{
	static const char *const names[] = {
		"kmalloc-32", "kmalloc-64", "kmalloc-96", "kmalloc-128", "kmalloc-192",
		"kmalloc-256", "kmalloc-512", "kmalloc-1k", "kmalloc-2k", "kmalloc-4k",
		"kmalloc-8k", "kmalloc-16k", "kmalloc-32k", "kmalloc-64k", "kmalloc-128k",
		"kmalloc-256k", "kmalloc-512k", "kmalloc-1M", "kmalloc-2M", "kmalloc-4M",
	};
	struct classes classes;
	unsigned powers = 0;

	(void)state;
	begin(&ondol_profile_i386_2_6);
	classes = all_classes();
	assert_int_equal(classes.nr, 20);
	assert_int_equal(classes.nr_dma, 20);
	for (unsigned i = 0; i < 20; i++) {
		powers += (classes.size[i] & (classes.size[i] - 1)) == 0;
		assert_int_equal(kit_info(t.m, names[i]).object_size, classes.size[i]);
	}
	assert_int_equal(powers, 18);
	assert_int_equal(classes.size[0], 32);
	assert_int_equal(classes.size[2], 96);
	assert_int_equal(classes.size[4], 192);
	assert_int_equal(classes.size[19], 4 * MIB);
	end();
}

/* Every size that can be asked for gets the smallest class that holds it. */
static void best_fit(const struct ondol_profile *profile, bool modern)
{
	struct classes classes;
	unsigned at = 0;

	begin(profile);
	classes = all_classes();
	for (size_t size = 1; size <= 4 * MIB; size += size < 4096 ? 1 : size / 61) {
		void *object;

		while (classes.size[at] < size)
			at++;
		object = ondol_kmalloc(t.m, size, GFP);
		assert_non_null(object);
		assert_int_equal(ondol_ksize(t.m, object), classes.size[at]);
		if (modern && size > 64)
			assert_true((classes.size[at] - size) * 8 <= classes.size[at]);
		ondol_kfree(t.m, object);
	}
	assert_int_equal(at, classes.nr - 1);
	/* The edges of each class. */
	for (at = 0; at < classes.nr; at++) {
		void *exact = ondol_kmalloc(t.m, classes.size[at], GFP), *next;

		assert_int_equal(ondol_ksize(t.m, exact), classes.size[at]);
		ondol_kfree(t.m, exact);
		if (at + 1 == classes.nr)
			break;
		next = ondol_kmalloc(t.m, classes.size[at] + 1, GFP);
		assert_int_equal(ondol_ksize(t.m, next), classes.size[at + 1]);
		ondol_kfree(t.m, next);
	}
	end();
}

static void classic_best_fit(void **state)
{
	(void)state;
	best_fit(&ondol_profile_i386_2_6, false);
}

static void modern_best_fit(void **state)
{
	(void)state;
	best_fit(&ondol_profile_x86_64, true);
}

/* Bytes of frames that one of this size takes; shares of a slab's. */
static double given(size_t size)
{
	void *object = ondol_kmalloc(t.m, size, GFP);
	const struct ondol_kmem_cache *cache;
	double bytes;

	assert_non_null(object);
	cache = slab_of(t.m, object)->slab.cache;
	bytes = (double)cache->nr_frames * ONDOL_PAGE_SIZE / cache->nr_objects;
	ondol_kfree(t.m, object);
	return bytes;
}

/*
 * The modern classes lose an eighth of a class at most, at any size; and of the frames that an
 * object takes, with the rests of slabs and the objects' states, less than a fifth.
 */
static void modern_waste(void **state)
{
	double most = 0, sum = 0, most_large = 0;
	unsigned nr = 0;

	(void)state;
	begin(&ondol_profile_x86_64);
	for (size_t size = 65; size <= 4 * MIB; size += size < 8192 ? 1 : 1 + size / 509, nr++) {
		void *object = ondol_kmalloc(t.m, size, GFP);
		size_t class = ondol_ksize(t.m, object);
		double waste = 1 - (double)size / given(size);

		ondol_kfree(t.m, object);
		assert_true((class - size) * 8 <= class);
		most = waste > most ? waste : most;
		most_large = size > 32768 && waste > most_large ? waste : most_large;
		sum += waste;
	}
	print_message("# waste of frames, of %u sizes: mean %.1f %%, most %.1f %%, above 32 KiB "
		      "%.1f %%\n", nr, 100 * sum / nr, 100 * most, 100 * most_large);
	assert_true(most < 0.2 && most_large <= 0.125 && sum / nr < 0.125);
	end();
}

/* Large objects of odd classes: written to the last byte, kept apart, moved, and all given back. */
static void trim_slabs(const struct ondol_profile *profile)
{
	enum { ODD_SIZES = 6 };
	static const size_t sizes[ODD_SIZES] = {
		36864, 40000, 100000, 5 * MIB / 2, 3 * MIB + 1, 33000 };
	unsigned char *object[ODD_SIZES];
	uint64_t frames;

	begin(profile);
	frames = kit_frames(t.m, ONDOL_PAGE_SLAB);
	for (unsigned i = 0; i < ODD_SIZES; i++) {
		const struct ondol_kmem_cache *cache;

		object[i] = ondol_kmalloc(t.m, sizes[i], GFP | ONDOL_GFP_ZERO);
		assert_non_null(object[i]);
		cache = slab_of(t.m, object[i])->slab.cache;
		assert_true(cache->nr_frames < 1u << cache->order);
		assert_ptr_equal(slab_of(t.m, object[i] + sizes[i] - 1)->slab.cache, cache);
		assert_int_equal(kit_info(t.m, cache->name).pages_per_slab, cache->nr_frames);
		memset(object[i], (int)(i + 1), sizes[i]);
	}
	ASSERT_VALID(t.m);
	object[0] = ondol_krealloc(t.m, object[0], 50000, GFP);
	assert_non_null(object[0]);
	for (unsigned i = 0; i < ODD_SIZES; i++) {
		assert_int_equal(object[i][0], i + 1);
		assert_int_equal(object[i][sizes[i] - 1], i + 1);
		ondol_kfree(t.m, object[i]);
	}
	ASSERT_VALID(t.m);
	for (unsigned i = 0; i < 2; i++)
		ondol_kmem_cache_tick(t.m);
	(void)slab_reap(t.m, NULL, UINT64_MAX);
	assert_true(kit_frames(t.m, ONDOL_PAGE_SLAB) <= frames);
	end();
}

static void trimmed_slabs(void **state)
{
	struct ondol_profile profile = ondol_profile_x86_64;

	(void)state;
	trim_slabs(&profile);
	profile.pcp = false;
	for (unsigned lazy = ONDOL_LAZY_EAGER; lazy <= ONDOL_LAZY_DELAY2; lazy++) {
		profile.lazy = (enum ondol_lazy_policy)lazy;
		trim_slabs(&profile);
	}
}

static void assert_named(const char *label)
{
	struct ondol_broken_invariant broken;

	assert_int_equal(ondol_machine_validate(t.m, &broken), -ONDOL_EUCLEAN);
	assert_string_equal(broken.id, label);
}

static void damaged_runs_are_named(void **state)
{
	struct ondol_page *head;
	void *object;

	(void)state;
	begin(&ondol_profile_x86_64);
	object = ondol_kmalloc(t.m, 150000, GFP); /* 36 KiB pieces and more */
	head = slab_of(t.m, object);
	uint32_t nr = head->slab.cache->nr_frames, at = 1u << page_order(head);

	assert_true(at < nr && nr < 1u << head->slab.cache->order);
	head[at].refcount++;
	assert_named("RANGE-1");
	head[at].refcount--;
	head[at].slab.head = page_index(t.m, head) + at;
	assert_named("RANGE-1");
	head[at].slab.head = page_index(t.m, head);
	ASSERT_VALID(t.m);
	ondol_kfree(t.m, object);
	end();
}

/* E2: ten orders end at blocks of 2 MiB. */
static void ten_orders_refuse(void **state)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = 3 * MIB };
	struct ondol_kmem_cache *cache;
	struct classes classes;
	void *object;

	(void)state;
	begin(&ondol_profile_i386_2_4);
	classes = all_classes();
	assert_int_equal(classes.nr, 19);
	assert_int_equal(classes.size[18], 2 * MIB);
	object = ondol_kmalloc(t.m, 2 * MIB, GFP);
	assert_non_null(object);
	ondol_kfree(t.m, object);
	assert_null(ondol_kmalloc(t.m, 2 * MIB + 1, GFP | ONDOL_GFP_NOWARN));
	assert_string_equal(kit_log_text, "");
	assert_null(ondol_kmalloc(t.m, 4 * MIB, GFP));
	assert_string_equal(kit_log_text, "kmalloc of 4194304 bytes refused: the largest general "
					  "cache has 2097152\n");
	assert_int_equal(ondol_kmem_cache_create(t.m, "big", &args, &cache), -ONDOL_EINVAL);
	assert_non_null(strstr(kit_log_text, "cache big refused: no block of this profile holds "
					     "3145728 bytes"));
	end();

	begin(&ondol_profile_i386_2_6); /* eleven hold it */
	object = ondol_kmalloc(t.m, 4 * MIB, GFP);
	assert_non_null(object);
	memset(object, 1, 4 * MIB);
	ondol_kfree(t.m, object);
	end();
}

static void odd_sizes(void **state)
{
	void *none, *object;

	(void)state;
	begin(NULL);
	none = ondol_kmalloc(t.m, 0, GFP); /* a pointer of its own, as malloc may give */
	assert_non_null(none);
	assert_true(ondol_ksize(t.m, none) > 0);
	object = ondol_kmalloc(t.m, 0, GFP);
	assert_ptr_not_equal(object, none);
	ondol_kfree(t.m, object);
	ondol_kfree(t.m, none);
	assert_null(ondol_kmalloc(t.m, 4 * MIB + 1, GFP));
	assert_null(ondol_kmalloc(t.m, SIZE_MAX, GFP));
	assert_null(ondol_kmalloc(t.m, SIZE_MAX - 6, GFP));
	assert_null(ondol_kmalloc(t.m, (size_t)1 << 32, GFP)); /* not cut off to 0 */
	assert_null(ondol_kmalloc(t.m, ((size_t)1 << 32) + 8, GFP));
	assert_null(ondol_kzalloc(t.m, SIZE_MAX, GFP));
	ondol_kfree(t.m, NULL);
	assert_int_equal(ondol_ksize(t.m, NULL), 0);
	end();
}

static void zeroed(void **state)
{
	unsigned char *object;

	(void)state;
	begin(NULL);
	for (size_t size = 1; size < 10000; size = size * 3 + 1) {
		object = ondol_kmalloc(t.m, size, GFP);
		memset(object, 0xff, ondol_ksize(t.m, object));
		ondol_kfree(t.m, object);
		object = ondol_kzalloc(t.m, size, GFP);
		for (size_t i = 0; i < ondol_ksize(t.m, object); i++)
			assert_int_equal(object[i], 0);
		ondol_kfree(t.m, object);
	}
	end();
}

/* Powers of two lie at multiples of themselves, up to a page. */
static void natural_alignment(void **state)
{
	void *objects[20];

	(void)state;
	for (int modern = 0; modern < 2; modern++) {
		begin(modern ? NULL : &ondol_profile_i386_2_6);
		for (size_t size = 8; size <= 1 * MIB; size *= 2) {
			size_t align = size < 4096 ? size : 4096;

			for (unsigned i = 0; i < 20; i++) {
				objects[i] = ondol_kmalloc(t.m, size, GFP);
				assert_int_equal((uintptr_t)objects[i] % align, 0);
			}
			for (unsigned i = 0; i < 20; i++)
				ondol_kfree(t.m, objects[i]);
		}
		end();
	}
}

/* C4: DMA memory is below 16 MiB, from caches of its own. */
static void dma_caches(void **state)
{
	const char *limit;
	char *object;

	(void)state;
	begin(&ondol_profile_i386_2_6);
	limit = (char *)t.ram + 16 * MIB;
	for (size_t size = 1; size <= 1 * MIB; size = size * 2 + 1) {
		object = ondol_kmalloc(t.m, size, GFP | ONDOL_GFP_DMA);
		assert_non_null(object);
		assert_true(object + size <= limit);
		assert_true(slab_of(t.m, object)->slab.cache->is_general);
		assert_memory_equal(slab_of(t.m, object)->slab.cache->name, "dma-kmalloc-", 12);
		ondol_kfree(t.m, object);
		object = ondol_kmalloc(t.m, size, GFP);
		assert_true(object >= limit); /* and ordinary requests leave it alone */
		ondol_kfree(t.m, object);
	}
	end();

	begin(&ondol_profile_toy16); /* no such zone: any memory will do */
	assert_int_equal(all_classes().nr_dma, 0);
	object = ondol_kmalloc(t.m, 100, GFP | ONDOL_GFP_DMA);
	assert_non_null(object);
	ondol_kfree(t.m, object);
	end();
}

static int add_up(void *ctx, const struct ondol_slab_info *info)
{
	uint64_t *sums = ctx;

	if (is_general(info->name)) {
		sums[0] += info->bytes_requested;
		sums[1] += info->active_objects * info->object_size;
	}
	return 0;
}

/* E1: what was asked for against what was given, exactly, through magazines and slabs. */
static void internal_fragmentation(void **state)
{
	static void *objects[2000];
	static const size_t step[] = { 7, 61, 1777 };

	(void)state;
	for (int modern = 0; modern < 2; modern++) {
		uint64_t before[2] = { 0 }, asked = 0;

		begin(modern ? NULL : &ondol_profile_i386_2_4);
		(void)ondol_for_each_cache(t.m, add_up, before);
		for (unsigned i = 0; i < 2000; i++) {
			size_t size = i * step[i % 3] % 8192 + 1;

			objects[i] = ondol_kmalloc(t.m, size, GFP);
			assert_non_null(objects[i]);
			asked += size;
		}
		for (int round = 0; round < 2; round++) {
			uint64_t sums[2] = { 0 };

			(void)ondol_for_each_cache(t.m, add_up, sums);
			assert_int_equal(sums[0] - before[0], asked);
			assert_true(sums[1] - before[1] >= asked);
			if (modern && !round) /* an eighth, and what the small ones lose */
				assert_true((sums[1] - before[1] - asked) * 8 < asked);
			for (unsigned i = 0; i < 2000 && !round; i += 2) {
				ondol_kfree(t.m, objects[i]);
				asked -= i * step[i % 3] % 8192 + 1;
			}
		}
		for (unsigned i = 1; i < 2000; i += 2)
			ondol_kfree(t.m, objects[i]);
		uint64_t after[2] = { 0 };
		(void)ondol_for_each_cache(t.m, add_up, after);
		assert_int_equal(after[0], before[0]);
		assert_int_equal(after[1], before[1]);
		end();
	}
}

/* Large classes keep the slack in fewer bits: right to a two-thousandth. */
static void slack_of_large_objects(void **state)
{
	uint64_t before[2] = { 0 }, now[2] = { 0 };
	void *object;

	(void)state;
	begin(NULL);
	(void)ondol_for_each_cache(t.m, add_up, before);
	object = ondol_kmalloc(t.m, 3 * MIB + 12345, GFP);
	(void)ondol_for_each_cache(t.m, add_up, now);
	assert_in_range(now[0] - before[0], 3 * MIB + 12345, 3 * MIB + 12345 + 4 * MIB / 2048);
	ondol_kfree(t.m, object);
	now[0] = now[1] = 0;
	(void)ondol_for_each_cache(t.m, add_up, now);
	assert_int_equal(now[0], before[0]);
	end();
}

/* E1 again: memory taken ahead and cut up beats a frame for each. */
static void small_objects_share_frames(void **state)
{
	static void *objects[1000];
	uint64_t frames;

	(void)state;
	begin(NULL);
	frames = kit_frames(t.m, ONDOL_PAGE_SLAB);
	for (unsigned i = 0; i < 1000; i++)
		objects[i] = ondol_kmalloc(t.m, 100, GFP);
	assert_in_range(kit_frames(t.m, ONDOL_PAGE_SLAB) - frames, 1000 * 104 / 4096,
			1200 * 104 / 4096 + 3); /* with a few magazines */
	for (unsigned i = 0; i < 1000; i++)
		ondol_kfree(t.m, objects[i]);
	end();
}

/* What was there stays, what is new is 0 if wished, and what was asked for is told exactly (E1). */
static void resized(void **state)
{
	uint64_t before[2] = { 0 }, now[2];
	unsigned char *p;

	(void)state;
	begin(NULL);
	(void)ondol_for_each_cache(t.m, add_up, before);
	p = ondol_krealloc(t.m, NULL, 10, GFP | ONDOL_GFP_ZERO);
	for (size_t size = 10, old = 10; size < 200000; old = size, size += size / 3 + 1) {
		void *same = p;
		bool fits = size <= ondol_ksize(t.m, p);

		p = ondol_krealloc(t.m, p, size, GFP | ONDOL_GFP_ZERO);
		assert_non_null(p);
		assert_true(!fits || p == same);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], i < old && size > 10 ? 0x77 : 0);
		memset(p, 0x77, size);
		memset(now, 0, sizeof now);
		(void)ondol_for_each_cache(t.m, add_up, now);
		assert_in_range(now[0] - before[0], size, size + size / 2000);
	}
	/* Down and up again in place: what was cut off is gone. */
	ondol_kfree(t.m, p);
	p = ondol_kzalloc(t.m, 64, GFP);
	memset(p, 0x77, 64);
	assert_ptr_equal(ondol_krealloc(t.m, p, 50, GFP | ONDOL_GFP_ZERO), p);
	assert_ptr_equal(ondol_krealloc(t.m, p, 64, GFP | ONDOL_GFP_ZERO), p);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(p[i], i < 50 ? 0x77 : 0);
	/* Refused: as before.  Size 0: freed. */
	assert_null(ondol_krealloc(t.m, p, 5 * MIB, GFP | ONDOL_GFP_NOWARN));
	assert_int_equal(p[0], 0x77);
	assert_null(ondol_krealloc(t.m, p, 0, GFP));
	ASSERT_PANICS(&t, "SLAB-5", ondol_krealloc(t.m, p, 10, GFP));
	assert_null(ondol_kcalloc(t.m, SIZE_MAX / 2, 3, GFP));
	p = ondol_kcalloc(t.m, 25, 40, GFP);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(p[i], 0);
	ondol_kfree(t.m, p);
	memset(now, 0, sizeof now);
	(void)ondol_for_each_cache(t.m, add_up, now);
	assert_int_equal(now[0], before[0]);
	end();
}

/* A free that names another size is caught always; an overrun, with a red zone, as such. */
static void sized_free(void **state)
{
	unsigned char *p;

	(void)state;
	begin(NULL);
	p = ondol_kmalloc(t.m, 100, GFP);
	ASSERT_PANICS(&t, "SLAB-12", ondol_kfree_sized(t.m, p, 99));
	ASSERT_PANICS(&t, "SLAB-12", ondol_kfree_sized(t.m, p, 104));
	ASSERT_PANICS(&t, "SLAB-12", ondol_kfree_sized(t.m, p, 1000));
	ondol_kfree_sized(t.m, p, 100);
	ondol_kfree_sized(t.m, NULL, 5);
	end();

	assert_int_equal(kit_new(&t, 64, 1, NULL, "Z,kmalloc-*"), 0);
	p = ondol_kmalloc(t.m, 100, GFP);
	assert_int_equal(ondol_ksize(t.m, p), 100);
	ASSERT_PANICS(&t, "SLAB-12", ondol_kfree_sized(t.m, p, 99));
	p[100] = 1; /* the class has 104: behind what was asked for all the same */
	ASSERT_PANICS(&t, "SLAB-7", ondol_kfree_sized(t.m, p, 100));
	ASSERT_PANICS(&t, "SLAB-7", ondol_kfree(t.m, p));
	p[100] = 0xcc;
	ASSERT_PANICS(&t, "SLAB-7", (p[104] ^= 1, ondol_kfree(t.m, p)));
	p[104] ^= 1;
	p = ondol_krealloc(t.m, p, 102, GFP); /* the red zone moves along */
	p[101] = 1;
	p = ondol_krealloc(t.m, p, 104, GFP | ONDOL_GFP_ZERO);
	assert_int_equal(p[101], 1);
	assert_int_equal(p[102] | p[103], 0); /* were red zone */
	ondol_kfree_sized(t.m, p, 104);
	end();
}

/* B, E: memory of the node that was asked for; of another only if it may be. */
static void by_node(void **state)
{
	struct ondol_mem_region regions[2] = {
		{ .end = { 32 * MIB }, .type = ONDOL_MEM_USABLE },
		{ .start = { 32 * MIB }, .end = { 64 * MIB }, .type = ONDOL_MEM_USABLE,
		  .node = 1 } };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = regions,
					   .nr_regions = 2, .nr_nodes = 2, .nr_cpus = 2 };
	void *objects[200];
	unsigned nr = 0;

	(void)state;
	assert_int_equal(kit_init(&t, &desc), 0);
	for (unsigned i = 0; i < 200; i++) {
		kit_cpu = i / 2 % 2; /* CPU n is on node n */
		objects[i] = ondol_kmalloc_node(t.m, 700, GFP, i % 2);
		assert_int_equal(page_node(slab_of(t.m, objects[i])), i % 2);
	}
	/* Freed on the other node: they go home, and do not come from this CPU's magazines. */
	kit_cpu = 0;
	for (unsigned i = 0; i < 200; i++)
		ondol_kfree(t.m, objects[i]);
	ASSERT_VALID(t.m);
	for (unsigned i = 0; i < 200; i++) {
		objects[i] = ondol_kmalloc(t.m, 700, GFP);
		assert_int_equal(page_node(slab_of(t.m, objects[i])), 0);
	}
	for (unsigned i = 0; i < 200; i++)
		ondol_kfree(t.m, objects[i]);
	/* A node without room: the next one, or none. */
	while (nr < 200 && (objects[nr] = ondol_kmalloc_node(t.m, MIB, GFP | ONDOL_GFP_THISNODE |
							     ONDOL_GFP_NOWARN, 1)))
		nr++;
	assert_in_range(nr, 10, 31);
	objects[nr] = ondol_kmalloc_node(t.m, MIB, GFP, 1);
	assert_non_null(objects[nr]);
	assert_int_equal(page_node(slab_of(t.m, objects[nr])), 0);
	for (unsigned i = 0; i <= nr; i++)
		ondol_kfree(t.m, objects[i]);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classic_classes),
		cmocka_unit_test(classic_best_fit),
		cmocka_unit_test(modern_best_fit),
		cmocka_unit_test(modern_waste),
		cmocka_unit_test(trimmed_slabs),
		cmocka_unit_test(damaged_runs_are_named),
		cmocka_unit_test(ten_orders_refuse),
		cmocka_unit_test(odd_sizes),
		cmocka_unit_test(zeroed),
		cmocka_unit_test(natural_alignment),
		cmocka_unit_test(dma_caches),
		cmocka_unit_test(internal_fragmentation),
		cmocka_unit_test(slack_of_large_objects),
		cmocka_unit_test(small_objects_share_frames),
		cmocka_unit_test(resized),
		cmocka_unit_test(sized_free),
		cmocka_unit_test(by_node),
	};

	return cmocka_run_group_tests_name("kmalloc", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Caches: E3 to E9, what a slab looks like, when it comes and goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "slab/slab.h"
#include "support/slab_kit.h"

#define GFP ONDOL_GFP_KERNEL

static struct toy t;

/* i386-2.4 has no per-CPU lists, so no magazines: objects come straight from the slabs. */
static void begin_plain(void)
{
	assert_int_equal(kit_new(&t, 64, 1, &ondol_profile_i386_2_4, NULL), 0);
}

static void begin(uint32_t cpus)
{
	assert_int_equal(kit_new(&t, 64, cpus, NULL, NULL), 0);
}

static void end(void)
{
	ASSERT_VALID(t.m);
	assert_int_equal(toy_free(&t), 0);
}

static void assert_slabs(const char *name, uint64_t full, uint64_t partial, uint64_t free)
{
	struct ondol_slab_info info = kit_info(t.m, name);

	ASSERT_VALID(t.m);
	assert_int_equal(info.slabs_full, full);
	assert_int_equal(info.slabs_partial, partial);
	assert_int_equal(info.slabs_free, free);
	assert_int_equal(info.active_slabs, full + partial);
	assert_int_equal(info.nr_slabs, full + partial + free);
	assert_int_equal(info.nr_objects, info.nr_slabs * info.objects_per_slab);
}

static void *take(struct ondol_kmem_cache *cache)
{
	void *object = ondol_kmem_cache_alloc(cache, GFP);

	assert_non_null(object);
	return object;
}

/* ------------------------------------------------------------------ descriptors */

static int note_first(void *ctx, const struct ondol_slab_info *info)
{
	*(const char **)ctx = info->name;
	return 7;
}

/* E6, E7, E8 */
static void cache_cache_comes_first(void **state)
{
	struct ondol_kmem_cache *cache_cache, *mine;
	const char *first = NULL;
	uint64_t before;

	(void)state;
	begin(2);
	assert_int_equal(ondol_for_each_cache(t.m, note_first, &first), 7);
	assert_string_equal(first, "kmem_cache"); /* E8 */
	cache_cache = t.m->slab->cache_cache;
	/* E7, its own object first of all. */
	list_for_each(pos, &t.m->slab->caches) {
		struct ondol_kmem_cache *cache = container_of(pos, struct ondol_kmem_cache, link);
		struct ondol_page *head = slab_of(t.m, cache);

		assert_non_null(head);
		assert_ptr_equal(head->slab.cache, cache_cache);
		assert_ptr_equal(cache->m, t.m);
	}
	before = kit_info(t.m, "kmem_cache").active_objects;
	mine = kit_cache(t.m, "mine", 40, 0, 0);
	assert_non_null(mine);
	assert_ptr_equal(slab_of(t.m, mine)->slab.cache, cache_cache);
	assert_int_equal(kit_info(t.m, "kmem_cache").active_objects, before + 1);
	assert_int_equal(kit_info(t.m, "mine").object_size, 40); /* E6 */
	assert_int_equal(ondol_kmem_cache_destroy(mine), 0);
	assert_int_equal(kit_info(t.m, "kmem_cache").active_objects, before);
	end();
}

struct order { const char *expected[2]; unsigned seen; };

static int note_order(void *ctx, const struct ondol_slab_info *info)
{
	struct order *order = ctx;

	if (order->seen < 2 && info->name == order->expected[order->seen])
		order->seen++;
	return 0;
}

static void names_are_the_callers(void **state)
{
	static const char one[] = "one", two[] = "one"; /* equal text, two caches */
	struct order order = { { one, two }, 0 };
	struct ondol_kmem_cache *a, *b;

	(void)state;
	begin(1);
	a = kit_cache(t.m, one, 8, 0, 0);
	b = kit_cache(t.m, two, 16, 0, 0);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(ondol_for_each_cache(t.m, note_order, &order), 0);
	assert_int_equal(order.seen, 2); /* in order of creation, by the pointers given */
	assert_int_equal(ondol_kmem_cache_destroy(a), 0);
	assert_int_equal(kit_info(t.m, "one").object_size, 16);
	assert_int_equal(ondol_kmem_cache_destroy(b), 0);
	end();
}

static void bad_arguments(void **state)
{
	struct ondol_kmem_cache_args good = { .size = sizeof good, .object_size = 8 }, args;
	struct ondol_kmem_cache *cache = NULL;

	(void)state;
	begin(1);
#define REFUSED(field, value)                                                                 \
	do {                                                                                  \
		args = good;                                                                  \
		args.field = value;                                                           \
		assert_int_equal(ondol_kmem_cache_create(t.m, "bad", &args, &cache),          \
				 -ONDOL_EINVAL);                                              \
		assert_null(cache);                                                           \
	} while (0)
	REFUSED(size, sizeof args - 1);
	REFUSED(size, 0);
	REFUSED(object_size, 0);
	REFUSED(object_size, ONDOL_KMALLOC_MAX + 1);
	REFUSED(object_size, SIZE_MAX);
	REFUSED(align, 3);
	REFUSED(align, 24);
	REFUSED(align, 2 * ONDOL_PAGE_SIZE);
	REFUSED(align, SIZE_MAX);
	REFUSED(flags, 0x4u);
	REFUSED(flags, 0x80000000u);
#undef REFUSED
	assert_int_equal(ondol_kmem_cache_create(t.m, NULL, &good, &cache), -ONDOL_EINVAL);
	assert_int_equal(ondol_kmem_cache_create(t.m, "bad", NULL, &cache), -ONDOL_EINVAL);
	assert_null(kit_info(t.m, "bad").name);
	/* The largest with a red zone is too large; the descriptor comes back. */
	args = good;
	args.object_size = ONDOL_KMALLOC_MAX;
	args.flags = ONDOL_SLAB_RED_ZONE;
	assert_int_equal(ondol_kmem_cache_create(t.m, "bad", &args, &cache), -ONDOL_EINVAL);
	assert_non_null(strstr(kit_log_text, "cache bad refused"));
	end();
}

/* ------------------------------------------------------------------ slabs and lists */

/* E3: every object of a slab lies in the slab's frames, a stride from the next. */
static void objects_lie_in_slabs(void **state)
{
	struct ondol_kmem_cache *cache;
	struct ondol_page *head;
	char *objects[64] = { NULL };

	(void)state;
	begin_plain();
	cache = kit_cache(t.m, "mine", 200, 0, 0);
	assert_non_null(cache);
	assert_in_range(cache->nr_objects, 8, 64);
	for (unsigned i = 0; i < cache->nr_objects; i++) {
		objects[i] = take(cache);
		head = slab_of(t.m, objects[i]);
		assert_ptr_equal(head, slab_of(t.m, objects[0]));
		assert_ptr_equal(head->slab.cache, cache);
		assert_int_equal(objects[i] - objects[0], i * cache->stride);
		assert_ptr_equal(slab_object(cache, head, i), objects[i]);
		assert_int_equal(slab_index(cache, i * cache->stride), i);
	}
	head = slab_of(t.m, objects[0]);
	assert_true(objects[0] >= (char *)page_host(t.m, head));
	assert_true(objects[cache->nr_objects - 1] + 200 <=
		    (char *)slab_states(cache, head));
	for (unsigned i = cache->nr_objects; i-- > 0;)
		ondol_kmem_cache_free(cache, objects[i]);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	end();
}

/* E4: a slab changes its list at the first object, the last one, and back. */
static void lists_change_exactly(void **state)
{
	struct ondol_kmem_cache *cache;
	void *objects[128];
	unsigned n;

	(void)state;
	begin_plain();
	cache = kit_cache(t.m, "mine", 200, 0, 0);
	assert_non_null(cache);
	n = cache->nr_objects;
	assert_in_range(n, 3, 64);
	assert_slabs("mine", 0, 0, 0); /* nothing before the first request */
	for (unsigned i = 0; i < 2 * n; i++) {
		objects[i] = take(cache);
		assert_slabs("mine", (i + 1) / n, (i + 1) % n != 0, 0);
		assert_int_equal(kit_info(t.m, "mine").active_objects, i + 1);
	}
	for (unsigned i = 0; i < n; i++) { /* the first slab: full, partial, free */
		ondol_kmem_cache_free(cache, objects[i]);
		assert_slabs("mine", 1, i + 1 < n, i + 1 == n);
	}
	for (unsigned i = n; i < 2 * n; i++) /* the second one is not worth keeping as well */
		ondol_kmem_cache_free(cache, objects[i]);
	assert_slabs("mine", 0, 0, 1);
	assert_int_equal(ondol_kmem_cache_shrink(cache), 1u << cache->order);
	assert_slabs("mine", 0, 0, 0);
	assert_int_equal(ondol_kmem_cache_shrink(cache), 0);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	end();
}

/* E5: first a partial slab, then a free one, then the cache grows (E9). */
static void partial_then_free_then_grow(void **state)
{
	struct ondol_kmem_cache *cache;
	struct ondol_page *a, *b;
	void *objects[128], *extra[66];
	uint64_t frames;
	unsigned n;

	(void)state;
	begin_plain();
	cache = kit_cache(t.m, "mine", 200, 0, 0);
	assert_non_null(cache);
	n = cache->nr_objects;
	for (unsigned i = 0; i < 2 * n; i++)
		objects[i] = take(cache);
	a = slab_of(t.m, objects[0]);
	b = slab_of(t.m, objects[n]);
	for (unsigned i = n; i < 2 * n; i++)
		ondol_kmem_cache_free(cache, objects[i]);
	ondol_kmem_cache_free(cache, objects[0]);
	ondol_kmem_cache_free(cache, objects[1]);
	assert_slabs("mine", 0, 1, 1);
	frames = kit_frames(t.m, ONDOL_PAGE_SLAB);
	for (unsigned i = 0; i < 2; i++) {
		extra[i] = take(cache);
		assert_ptr_equal(slab_of(t.m, extra[i]), a);
	}
	assert_slabs("mine", 1, 0, 1);
	for (unsigned i = 2; i < 2 + n; i++) {
		extra[i] = take(cache);
		assert_ptr_equal(slab_of(t.m, extra[i]), b);
	}
	assert_slabs("mine", 2, 0, 0);
	assert_int_equal(kit_frames(t.m, ONDOL_PAGE_SLAB), frames);
	objects[n] = take(cache);
	assert_slabs("mine", 2, 1, 0);
	assert_int_equal(kit_frames(t.m, ONDOL_PAGE_SLAB), frames + (1u << cache->order));
	ondol_kmem_cache_free(cache, objects[n]);
	for (unsigned i = 2; i < n; i++)
		ondol_kmem_cache_free(cache, objects[i]);
	for (unsigned i = 0; i < 2 + n; i++)
		ondol_kmem_cache_free(cache, extra[i]);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	end();
}

/* E9: what a cache grows by are frames of the buddy's, known as slab from then on. */
static void growth_takes_frames(void **state)
{
	static const size_t sizes[] = { 16, 700, 3000, 9000, 70000 };

	(void)state;
	begin_plain();
	for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		struct ondol_kmem_cache *cache = kit_cache(t.m, "mine", sizes[s], 0, 0);
		struct ondol_machine_stats before, after;
		struct ondol_page *page;
		char *object;

		assert_non_null(cache);
		ondol_machine_stats(t.m, &before);
		object = take(cache);
		ondol_machine_stats(t.m, &after);
		assert_int_equal(after.pages[ONDOL_PAGE_SLAB] - before.pages[ONDOL_PAGE_SLAB],
				 kit_info(t.m, "mine").pages_per_slab);
		assert_int_equal(before.pages_free - after.pages_free,
				 kit_info(t.m, "mine").pages_per_slab);
		page = kit_page(&t, object);
		assert_int_equal(ondol_page_use(page), ONDOL_PAGE_SLAB);
		assert_int_equal(ondol_page_to_pfn(t.m, page).value,
				 (uint64_t)(object - (char *)t.ram) >> ONDOL_PAGE_SHIFT);
		page = kit_page(&t, object + sizes[s] - 1); /* its last byte's frame as well */
		assert_int_equal(ondol_page_use(page), ONDOL_PAGE_SLAB);
		ondol_kmem_cache_free(cache, object);
		assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
		ondol_machine_stats(t.m, &after);
		assert_int_equal(after.pages_free, before.pages_free);
	}
	end();
}

/* ------------------------------------------------------------------ objects */

struct counted { uint32_t magic, uses; };

static unsigned constructed;

static void construct(void *object, void *arg)
{
	struct counted *c = object;

	assert_ptr_equal(arg, &constructed);
	c->magic = 0x5eed;
	c->uses = 0;
	constructed++;
}

static void constructors_run_once(void **state)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = 56,
					      .ctor = construct, .arg = &constructed };
	struct ondol_kmem_cache *cache;
	struct ondol_slab_info info;
	struct counted *c;

	(void)state;
	for (int plain = 0; plain < 2; plain++) {
		plain ? begin_plain() : begin(1);
		constructed = 0;
		/* Poison would undo the constructor's work: it is left out. */
		args.flags = plain ? ONDOL_SLAB_POISON | ONDOL_SLAB_RED_ZONE : 0;
		assert_int_equal(ondol_kmem_cache_create(t.m, "mine", &args, &cache), 0);
		assert_int_equal(constructed, 0);
		for (uint32_t i = 0; i < 100; i++) {
			c = take(cache);
			assert_int_equal(c->magic, 0x5eed);
			assert_int_equal(c->uses, i); /* as the last user left it */
			c->uses++;
			ondol_kmem_cache_free(cache, c);
		}
		info = kit_info(t.m, "mine");
		assert_int_equal(constructed, info.nr_objects); /* whole slabs */
		assert_int_equal(ondol_kmem_cache_shrink(cache), info.pages_per_slab);
		c = take(cache);
		assert_int_equal(c->uses, 0); /* a new slab */
		assert_int_equal(constructed, 2 * info.nr_objects);
		ondol_kmem_cache_free(cache, c);
		assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
		end();
	}
}

static void zeroed_on_request(void **state)
{
	struct ondol_kmem_cache *cache;
	unsigned char *object;

	(void)state;
	begin(1);
	cache = kit_cache(t.m, "mine", 100, 0, 0);
	object = take(cache);
	memset(object, 0xff, 100);
	ondol_kmem_cache_free(cache, object);
	assert_ptr_equal(ondol_kmem_cache_alloc(cache, GFP | ONDOL_GFP_ZERO), object);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(object[i], 0);
	ondol_kmem_cache_free(cache, object);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	end();
}

static void alignment(void **state)
{
	static const size_t sizes[] = { 1, 24, 65, 300, 4096, 5000 };
	void *objects[200];

	(void)state;
	begin(1);
	for (size_t align = 1; align <= ONDOL_PAGE_SIZE; align *= 2) {
		for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
			struct ondol_kmem_cache *cache = kit_cache(t.m, "mine", sizes[s], align, 0);
			size_t wanted = align > sizeof(void *) ? align : sizeof(void *);

			assert_non_null(cache);
			assert_int_equal(cache->stride % wanted, 0);
			for (unsigned i = 0; i < 200; i++) {
				objects[i] = take(cache);
				assert_int_equal((uintptr_t)objects[i] % wanted, 0);
			}
			ASSERT_VALID(t.m);
			for (unsigned i = 0; i < 200; i++)
				ondol_kmem_cache_free(cache, objects[i]);
			assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
		}
	}
	end();
}

/* HWCACHE_ALIGN: a line, or the part of a line that several small objects share evenly. */
static void cache_line_alignment(void **state)
{
	static const struct { size_t size, stride; } cases[] = {
		{ 65, 128 }, { 64, 64 }, { 33, 64 }, { 32, 32 }, { 17, 32 }, { 16, 16 },
		{ 9, 16 }, { 8, 8 }, { 1, 8 }, { 200, 256 },
	};

	(void)state;
	begin(1);
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ondol_kmem_cache *cache =
			kit_cache(t.m, "mine", cases[i].size, 0, ONDOL_SLAB_HWCACHE_ALIGN);

		assert_int_equal(kit_info(t.m, "mine").buffer_size, cases[i].stride);
		assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	}
	end();
}

/* Equal offsets of neighbouring slabs do not meet in the same cache sets. */
static void colours(void **state)
{
	struct ondol_kmem_cache *cache;
	uint32_t seen[9] = { 0 };
	void *objects[8 * 64];
	unsigned n, nr = 0;

	(void)state;
	begin_plain();
	cache = kit_cache(t.m, "mine", 488, 0, 0);
	n = cache->nr_objects;
	assert_true(cache->nr_colours > 1 && cache->nr_colours < 8 && n <= 64);
	assert_int_equal(cache->colour_step % 64, 0);
	for (unsigned slab = 0; slab < cache->nr_colours + 1; slab++) {
		for (unsigned i = 0; i < n; i++)
			objects[nr++] = take(cache);
		seen[slab] = slab_of(t.m, objects[nr - 1])->slab.colour;
		assert_int_equal(seen[slab], slab % cache->nr_colours * cache->colour_step);
	}
	assert_int_equal(seen[cache->nr_colours], seen[0]); /* and round again */
	while (nr)
		ondol_kmem_cache_free(cache, objects[--nr]);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	end();
}

/* Few to a slab: their states stand in the second page record. */
static void big_objects(void **state)
{
	static const size_t sizes[] = { 2040, 4096, 5000, 8192, 20000, 100000, 1 << 20, 4 << 20 };
	unsigned char *objects[9];

	(void)state;
	begin(1);
	for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		struct ondol_kmem_cache *cache = kit_cache(t.m, "mine", sizes[s], 0, 0);
		unsigned nr = sizes[s] >= 1 << 20 ? 3 : 9;

		assert_non_null(cache);
		for (unsigned i = 0; i < nr; i++) {
			objects[i] = take(cache);
			memset(objects[i], (int)i + 1, sizes[s]);
		}
		ASSERT_VALID(t.m); /* the states were not written over */
		for (unsigned i = 0; i < nr; i++) {
			assert_int_equal(objects[i][0], i + 1);
			assert_int_equal(objects[i][sizes[s] - 1], i + 1);
			ondol_kmem_cache_free(cache, objects[i]);
		}
		assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	}
	end();
}

/* ------------------------------------------------------------------ coming and going */

static void destroy_refuses_live_objects(void **state)
{
	struct ondol_kmem_cache *cache;
	void *a, *b;

	(void)state;
	begin(2);
	cache = kit_cache(t.m, "mine", 40, 0, 0);
	a = take(cache);
	b = take(cache);
	ondol_kmem_cache_free(cache, b);
	assert_int_equal(ondol_kmem_cache_destroy(cache), -ONDOL_EBUSY);
	assert_non_null(strstr(kit_log_text, "leak: cache mine: 1 objects of 40 bytes"));
	assert_int_equal(kit_info(t.m, "mine").active_objects, 1);
	ASSERT_VALID(t.m);
	assert_int_equal(ondol_machine_fini(t.m), -ONDOL_EBUSY); /* and so does the machine */
	b = take(cache); /* it goes on */
	kit_cpu = 1;
	ondol_kmem_cache_free(cache, a);
	ondol_kmem_cache_free(cache, b);
	kit_cpu = 0;
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	assert_null(kit_info(t.m, "mine").name);
	end();
}

/* What lies in magazines is free, counts as free, and can be had back. */
static void magazines(void **state)
{
	struct ondol_kmem_cache *cache;
	void *objects[300];
	uint64_t slabs;

	(void)state;
	begin(2);
	cache = kit_cache(t.m, "mine", 100, 0, 0);
	for (unsigned i = 0; i < 300; i++) {
		objects[i] = take(cache);
		assert_int_equal(kit_info(t.m, "mine").active_objects, i + 1);
	}
	assert_true(cache->cpu[0].cap > 0);
	assert_int_equal(cache->cpu[1].cap, 0); /* a CPU gets its magazines when it needs them */
	slabs = kit_info(t.m, "mine").nr_slabs;
	kit_cpu = 1;
	for (unsigned i = 0; i < 300; i++) {
		ondol_kmem_cache_free(cache, objects[i]);
		assert_int_equal(kit_info(t.m, "mine").active_objects, 299 - i);
	}
	assert_true(cache->cpu[1].cap > 0);
	assert_true(cache->cpu[1].nr + cache->cpu[1].spare_nr <= 2u * cache->mag_cap);
	assert_true(cache->depot_objects > 0 && cache->depot_objects <= cache->depot_max);
	ASSERT_VALID(t.m);
	/* The one in hand comes first, then what was freed last and is hot. */
	objects[0] = take(cache);
	assert_ptr_equal(take(cache), objects[299]);
	ondol_kmem_cache_free(cache, objects[299]);
	ondol_kmem_cache_free(cache, objects[0]);
	assert_true(ondol_kmem_cache_shrink(cache) > 0);
	assert_int_equal(kit_info(t.m, "mine").nr_slabs, 0);
	assert_true(slabs > 0);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	end();
}

/* Under pressure the page allocator gets back what stands empty. */
static void reclaim_empties_caches(void **state)
{
	struct ondol_kmem_cache *cache;
	static struct ondol_page *pages[32768];
	void *objects[512];
	uint64_t nr = 0, held;

	(void)state;
	begin_plain();
	cache = kit_cache(t.m, "mine", 2000, 0, ONDOL_SLAB_RECLAIM_ACCOUNT);
	cache->free_slabs_max = 1000; /* hoards */
	for (unsigned i = 0; i < 512; i++)
		objects[i] = take(cache);
	for (unsigned i = 0; i < 512; i++)
		ondol_kmem_cache_free(cache, objects[i]);
	held = kit_info(t.m, "mine").slabs_free * kit_info(t.m, "mine").pages_per_slab;
	assert_true(held >= 250);
	assert_int_equal(slab_reclaimable_pages(t.m), held);
	while ((pages[nr] = ondol_alloc_pages(t.m, GFP | ONDOL_GFP_NOWARN, 0)))
		nr++;
	assert_int_equal(kit_info(t.m, "mine").nr_slabs, 0);
	assert_int_equal(slab_reclaimable_pages(t.m), 0);
	assert_null(ondol_kmem_cache_alloc(cache, GFP | ONDOL_GFP_NOWARN));
	ASSERT_VALID(t.m);
	while (nr)
		ondol_free_pages(t.m, pages[--nr], 0);
	ondol_kmem_cache_free(cache, take(cache));
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	end();
}

/* What a shrinker can empty stands among its like, so that what it frees can merge. */
static void reclaimable_frames(void **state)
{
	(void)state;
	begin(1);
	for (int reclaimable = 0; reclaimable < 2; reclaimable++) {
		struct ondol_kmem_cache *cache =
			kit_cache(t.m, "mine", 9000, 0,
				  reclaimable ? ONDOL_SLAB_RECLAIM_ACCOUNT : 0);
		void *object = take(cache);
		uint32_t flags = slab_of(t.m, object)->flags;

		assert_int_equal(flags >> ONDOL_PG_TYPE_SHIFT & ONDOL_PG_TYPE_MASK,
				 reclaimable ? MIGRATE_RECLAIMABLE : MIGRATE_UNMOVABLE);
		assert_int_equal(slab_reclaimable_pages(t.m),
				 reclaimable ? kit_info(t.m, "mine").pages_per_slab : 0);
		ondol_kmem_cache_free(cache, object);
		assert_true(cache->order > 0);
		assert_int_equal(ondol_kmem_cache_shrink(cache),
				 kit_info(t.m, "mine").pages_per_slab);
		assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	}
	end();
}

/*
 * A CPU whose node has no memory of its own (or none left) shares the slabs of others: it does
 * not take a fresh slab for every object.
 */
static void node_without_memory(void **state)
{
	struct ondol_mem_region region = { .end = { 64 << 20 }, .type = ONDOL_MEM_USABLE };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &region,
					   .nr_regions = 1, .nr_nodes = 2, .nr_cpus = 2 };
	struct ondol_kmem_cache *cache;
	void *objects[100];

	(void)state;
	assert_int_equal(kit_init(&t, &desc), 0);
	cache = kit_cache(t.m, "mine", 100, 0, 0);
	for (unsigned i = 0; i < 100; i++) {
		kit_cpu = i & 1;
		objects[i] = take(cache);
	}
	assert_in_range(kit_info(t.m, "mine").nr_slabs, 1,
			200 / kit_info(t.m, "mine").objects_per_slab + 2);
	for (unsigned i = 0; i < 100; i++)
		ondol_kmem_cache_free(cache, objects[i]);
	kit_cpu = 0;
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	end();
}

/* The same when the node's memory is all taken, until some of it is free again. */
static void node_without_memory_left(void **state)
{
	struct ondol_mem_region regions[] = {
		{ .end = { 32 << 20 }, .type = ONDOL_MEM_USABLE },
		{ .start = { 32 << 20 }, .end = { 40 << 20 }, .type = ONDOL_MEM_USABLE, .node = 1 },
	};
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = regions,
					   .nr_regions = 2, .nr_nodes = 2, .nr_cpus = 2 };
	const ondol_gfp_t only = ONDOL_GFP_THISNODE | ONDOL_GFP_NOWARN | ONDOL_GFP_MEMALLOC;
	static struct ondol_page *pages[4096];
	struct ondol_kmem_cache *cache;
	void *objects[60];
	unsigned nr = 0;

	(void)state;
	assert_int_equal(kit_init(&t, &desc), 0);
	cache = kit_cache(t.m, "mine", 1000, 0, 0);
	while ((pages[nr] = ondol_alloc_pages_node(t.m, 1, only, 0)))
		nr++;
	kit_cpu = 1;
	for (unsigned i = 0; i < 60; i++) {
		objects[i] = take(cache);
		assert_int_equal(page_node(slab_of(t.m, objects[i])), 0);
	}
	assert_in_range(kit_info(t.m, "mine").nr_slabs, 1,
			60 / kit_info(t.m, "mine").objects_per_slab + 1);
	for (unsigned i = 0; i < 60; i++)
		ondol_kmem_cache_free(cache, objects[i]);
	(void)ondol_kmem_cache_shrink(cache);
	while (nr)
		ondol_free_pages(t.m, pages[--nr], 0);
	ondol_drain_all_pages(t.m);
	objects[0] = take(cache);
	assert_int_equal(page_node(slab_of(t.m, objects[0])), 1);
	ondol_kmem_cache_free(cache, objects[0]);
	kit_cpu = 0;
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	end();
}

/* Each CPU's objects are its own node's while that has memory. */
static void local_slabs(void **state)
{
	struct ondol_mem_region regions[] = {
		{ .end = { 32 << 20 }, .type = ONDOL_MEM_USABLE },
		{ .start = { 32 << 20 }, .end = { 64 << 20 }, .type = ONDOL_MEM_USABLE, .node = 1 },
	};
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = regions,
					   .nr_regions = 2, .nr_nodes = 2, .nr_cpus = 2 };
	struct ondol_kmem_cache *cache;
	void *objects[100];

	(void)state;
	assert_int_equal(kit_init(&t, &desc), 0);
	cache = kit_cache(t.m, "mine", 100, 0, 0);
	for (unsigned i = 0; i < 100; i++) {
		kit_cpu = i & 1;
		objects[i] = take(cache);
		assert_int_equal(page_node(slab_of(t.m, objects[i])), i & 1);
	}
	for (unsigned i = 0; i < 100; i++) {
		kit_cpu = !(i & 1); /* freed on the other one */
		ondol_kmem_cache_free(cache, objects[i]);
	}
	ASSERT_VALID(t.m);
	kit_cpu = 0;
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	end();
}

/* As many as asked for, each once and in use, and back in another order; the slabs go. */
static void bulk(void **state)
{
	enum { NR = 500 };
	static void *objects[NR];
	struct ondol_kmem_cache *cache;
	uint64_t frames;

	(void)state;
	begin(2);
	cache = kit_cache(t.m, "mine", 4096, 0, 0);
	frames = kit_frames(t.m, ONDOL_PAGE_SLAB);
	assert_int_equal(ondol_kmem_cache_alloc_bulk(cache, GFP | ONDOL_GFP_ZERO, NR, objects), NR);
	assert_int_equal(kit_info(t.m, "mine").active_objects, NR);
	for (unsigned i = 0; i < NR; i++) {
		assert_int_equal(*(unsigned char *)objects[i], 0);
		memset(objects[i], 0xee, 4096); /* two that overlap would not be zero later */
	}
	ASSERT_VALID(t.m);
	for (unsigned i = 0; i < NR / 2; i++) {
		void *object = objects[i];

		objects[i] = objects[NR - 1 - i];
		objects[NR - 1 - i] = object;
	}
	assert_true(ondol_kmem_cache_free_bulk(cache, NR, objects) >= NR / 2);
	ASSERT_VALID(t.m);
	assert_int_equal(kit_info(t.m, "mine").active_objects, 0);
	(void)ondol_kmem_cache_shrink(cache);
	assert_int_equal(kit_frames(t.m, ONDOL_PAGE_SLAB), frames);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	end();
}

/* Twice in one go, one that is free, one of another cache, an address within. */
static void bulk_free_is_checked(void **state)
{
	struct ondol_kmem_cache *mine, *other;
	void *objects[4], *strange;

	(void)state;
	begin_plain();
	mine = kit_cache(t.m, "mine", 100, 0, 0);
	other = kit_cache(t.m, "other", 100, 0, 0);
	assert_int_equal(ondol_kmem_cache_alloc_bulk(mine, GFP, 4, objects), 4);
	strange = take(other);
	ASSERT_PANICS(&t, "SLAB-6", ondol_kmem_cache_free_bulk(mine, 1, &strange));
	strange = (char *)objects[2] + 8;
	ASSERT_PANICS(&t, "SLAB-6", ondol_kmem_cache_free_bulk(mine, 1, &strange));
	objects[3] = objects[0];
	ASSERT_PANICS(&t, "SLAB-5", ondol_kmem_cache_free_bulk(mine, 4, objects));
	t.m = NULL; /* the first three are nowhere now: that machine is not taken down */
	assert_int_equal(toy_free(&t), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bulk),
		cmocka_unit_test(bulk_free_is_checked),
		cmocka_unit_test(cache_cache_comes_first),
		cmocka_unit_test(names_are_the_callers),
		cmocka_unit_test(bad_arguments),
		cmocka_unit_test(objects_lie_in_slabs),
		cmocka_unit_test(lists_change_exactly),
		cmocka_unit_test(partial_then_free_then_grow),
		cmocka_unit_test(growth_takes_frames),
		cmocka_unit_test(constructors_run_once),
		cmocka_unit_test(zeroed_on_request),
		cmocka_unit_test(alignment),
		cmocka_unit_test(cache_line_alignment),
		cmocka_unit_test(colours),
		cmocka_unit_test(big_objects),
		cmocka_unit_test(destroy_refuses_live_objects),
		cmocka_unit_test(magazines),
		cmocka_unit_test(reclaim_empties_caches),
		cmocka_unit_test(reclaimable_frames),
		cmocka_unit_test(node_without_memory),
		cmocka_unit_test(node_without_memory_left),
		cmocka_unit_test(local_slabs),
	};

	return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What goes wrong with objects is noticed: always, by request, or by validation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "slab/slab.h"
#include "support/slab_kit.h"

#define GFP ONDOL_GFP_KERNEL
#define F ONDOL_SLAB_CONSISTENCY_CHECKS
#define Z ONDOL_SLAB_RED_ZONE
#define P ONDOL_SLAB_POISON
#define U ONDOL_SLAB_STORE_USER
#define Q ONDOL_SLAB_QUARANTINE
#define W ONDOL_SLAB_FIREWALL

static struct toy t;
static struct ondol_kmem_cache *cache;

/* A machine without magazines and a cache "mine" of 40-byte objects. */
static void begin(const char *debug)
{
	assert_int_equal(kit_new(&t, 64, 1, &ondol_profile_i386_2_4, debug), 0);
	cache = kit_cache(t.m, "mine", 40, 0, 0);
	assert_non_null(cache);
}

static void end(void)
{
	ASSERT_VALID(t.m);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	assert_int_equal(toy_free(&t), 0);
}

/* After a panic the state is as the culprit left it. */
static void abandon(void)
{
	munmap(t.ram, t.ram_size);
	free(t.storage);
}

static unsigned char *take(void)
{
	void *object = ondol_kmem_cache_alloc(cache, GFP);

	assert_non_null(object);
	return object;
}

static void give(void *object)
{
	ondol_kmem_cache_free(cache, object);
}

/* ------------------------------------------------------------------ the language */

static void debug_language(void **state)
{
	static const struct { const char *debug, *name; uint32_t flags; } cases[] = {
		{ "", "any", 0 },
		{ "F", "any", F },
		{ "FZP", "any", F | Z | P },
		{ "fzp", "any", F | Z | P },
		{ "FZP,mine", "mine", F | Z | P },
		{ "FZP,mine", "mines", 0 },
		{ "FZP,mine", "min", 0 },
		{ "F,a,b,c", "b", F },
		{ "F,a,b,c", "d", 0 },
		{ "F,a;Z,b", "a", F },
		{ "F,a;Z,b", "b", Z },
		{ "F,a;Z,a", "a", F | Z }, /* blocks add up */
		{ "FZP,vm_area;Z,kmalloc-*", "kmalloc-64", Z },
		{ "Z,kmalloc-*", "kmalloc-", Z },
		{ "Z,kmalloc-*", "kmalloc", 0 },
		{ "Z,kmalloc-*", "dma-kmalloc-64", 0 },
		{ "Z,*", "any", Z },
		{ ",mine", "mine", F | Z | P | U }, /* no letters: Linux's choice */
		{ ",mine", "other", 0 },
		{ "U,mine", "mine", U },
		{ "qW,mine", "mine", Q | W },
		{ "FZPUQWX,mine", "mine", F | Z | P | U | Q | W }, /* others mean nothing */
		{ "P;;F", "any", F | Z | P | U },
		{ ";", "any", F | Z | P | U },
		{ "F,", "any", 0 },
		{ "F,;Z", "any", Z },
		{ "Z,a*b", "a*b", Z }, /* only a last star is one */
		{ "Z,a*b", "axb", 0 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
		if (slab_debug_flags(cases[i].debug, cases[i].name) != cases[i].flags)
			fail_msg("\"%s\" for %s: %#x, not %#x", cases[i].debug, cases[i].name,
				 slab_debug_flags(cases[i].debug, cases[i].name), cases[i].flags);
}

/* Chosen by name when the machine is made, also for the caches that it makes itself. */
static void chosen_by_name(void **state)
{
	(void)state;
	begin("FZP,mine;Z,kmalloc-6*");
	assert_int_equal(cache->flags & SLAB_DEBUG_FLAGS, F | Z | P);
	assert_int_equal(kit_info(t.m, "mine").object_size, 40);
	assert_int_equal(kit_info(t.m, "mine").buffer_size, 48);
	assert_int_equal(t.m->slab->kmalloc[1]->flags & SLAB_DEBUG_FLAGS, Z);
	assert_int_equal(t.m->slab->kmalloc[0]->flags & SLAB_DEBUG_FLAGS, 0);
	end();
}

/* Every cache of every profile works with everything checked, to the largest class. */
static void everything_checked(void **state)
{
	static const struct ondol_profile *const profiles[] = {
		&ondol_profile_toy16, &ondol_profile_i386_2_4, &ondol_profile_i386_2_6,
		&ondol_profile_x86_64,
	};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		size_t largest = ONDOL_PAGE_SIZE << (profiles[i]->nr_orders - 1);

		assert_int_equal(kit_new(&t, 64, 1, profiles[i], "FZP"), 0);
		for (size_t size = 1; size <= largest; size = size * 2) {
			unsigned char *object = ondol_kmalloc(t.m, size, GFP);

			assert_non_null(object);
			assert_true(ondol_ksize(t.m, object) >= size);
			memset(object, 0, ondol_ksize(t.m, object));
			ASSERT_VALID(t.m);
			ondol_kfree(t.m, object);
		}
		ASSERT_VALID(t.m);
		assert_int_equal(toy_free(&t), 0);
	}
}

/* Linux's values, for those who read dumps. */
static void patterns(void **state)
{
	unsigned char *object;

	(void)state;
	begin("ZP,mine");
	object = take();
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(object[i], 0x5a);
	assert_int_equal(object[40], 0xcc ^ (uint8_t)~40); /* the size, inverted, and as it is */
	for (unsigned i = 41; i < 44; i++)
		assert_int_equal(object[i], 0xcc ^ 0xff);
	assert_int_equal(object[44], 0xcc ^ 40);
	for (unsigned i = 45; i < 48; i++)
		assert_int_equal(object[i], 0xcc);
	give(object);
	for (unsigned i = 0; i < 39; i++)
		assert_int_equal(object[i], 0x6b);
	assert_int_equal(object[39], 0xa5);
	for (unsigned i = 40; i < 48; i++)
		assert_int_equal(object[i], 0xbb);
	end();
}

/* ------------------------------------------------------------------ caught without asking */

static void freed_twice(void **state)
{
	static unsigned char *object;
	static int magazines; /* static: a panic is a longjmp */

	(void)state;
	for (magazines = 0; magazines < 2; magazines++) {
		assert_int_equal(kit_new(&t, 64, 1, magazines ? NULL : &ondol_profile_i386_2_4,
					 NULL), 0);
		cache = kit_cache(t.m, "mine", 40, 0, 0);
		object = take();
		give(object);
		ASSERT_PANICS(&t, "SLAB-5", give(object));
		object = ondol_kmalloc(t.m, 100, GFP);
		ondol_kfree(t.m, object);
		ASSERT_PANICS(&t, "SLAB-5", ondol_kfree(t.m, object));
		end();
	}
}

/* Its slab went back to the buddy meanwhile. */
static void freed_long_after(void **state)
{
	unsigned char *object;

	(void)state;
	begin(NULL);
	object = take();
	give(object);
	assert_true(ondol_kmem_cache_shrink(cache) > 0);
	ASSERT_PANICS(&t, "SLAB-6", give(object));
	end();
}

static void freed_without_owning(void **state)
{
	struct ondol_kmem_cache *other;
	struct ondol_page *page;
	unsigned char *object, *big;
	char here;

	(void)state;
	begin(NULL);
	other = kit_cache(t.m, "other", 40, 0, 0);
	object = take();
	big = ondol_kmalloc(t.m, 20000, GFP);
	ASSERT_PANICS(&t, "SLAB-6", ondol_kmem_cache_free(other, object));
	ASSERT_PANICS(&t, "SLAB-6", give(object + 1)); /* inside an object */
	ASSERT_PANICS(&t, "SLAB-6", give(object + 20));
	ASSERT_PANICS(&t, "SLAB-6", give(object - 8)); /* before the first */
	ASSERT_PANICS(&t, "SLAB-6", ondol_kfree(t.m, big + 4096)); /* its second frame */
	ASSERT_PANICS(&t, "SLAB-6", ondol_kfree(t.m, big - 1));
	ASSERT_PANICS(&t, "SLAB-6",
		      give((char *)page_host(t.m, slab_of(t.m, object)) + 4095)); /* a state */
	ASSERT_PANICS(&t, "SLAB-6", give(&here)); /* no memory of the machine */
	ASSERT_PANICS(&t, "SLAB-6", ondol_kfree(t.m, &here));
	ASSERT_PANICS(&t, "SLAB-6", ondol_ksize(t.m, &here));
	ASSERT_PANICS(&t, "SLAB-6", ondol_kfree(t.m, (char *)t.ram + t.ram_size));
	ASSERT_PANICS(&t, "SLAB-6", give(NULL));
	page = ondol_alloc_pages(t.m, GFP, 0); /* a frame, but no slab */
	ASSERT_PANICS(&t, "SLAB-6", ondol_kfree(t.m, ondol_page_address(t.m, page)));
	ondol_free_pages(t.m, page, 0);
	ondol_kfree(t.m, big);
	give(object);
	assert_int_equal(ondol_kmem_cache_destroy(other), 0);
	end();
}

/* ------------------------------------------------------------------ caught by request */

static void written_behind(void **state)
{
	static const size_t sizes[] = { 1, 7, 8, 40, 41, 100, 4095, 5000 };

	(void)state;
	for (volatile unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		static struct ondol_kmem_cache *mine;
		static unsigned char *object;

		begin(NULL);
		mine = kit_cache(t.m, "zoned", sizes[i], 0, Z);
		object = ondol_kmem_cache_alloc(mine, GFP);
		object[sizes[i]]++; /* the very next byte */
		ASSERT_PANICS(&t, "SLAB-7", ondol_kmem_cache_free(mine, object));
		object[sizes[i]]--;
		ondol_kmem_cache_free(mine, object);
		object[sizes[i] + 7] ^= 1; /* when it was free already */
		ASSERT_PANICS(&t, "SLAB-7", ondol_kmem_cache_alloc(mine, GFP));
		abandon();
	}
}

static void written_when_free(void **state)
{
	static const unsigned at[] = { 0, 20, 39 };
	unsigned char *object;

	(void)state;
	for (volatile unsigned i = 0; i < 3; i++) {
		begin("P,mine");
		object = take();
		give(object);
		object[at[i]] = 1;
		ASSERT_PANICS(&t, "SLAB-8", take());
		abandon();

		begin("P,mine"); /* never allocated again, but noticed when the slab goes */
		object = take();
		give(object);
		object[at[i]] = 1;
		ASSERT_PANICS(&t, "SLAB-8", ondol_kmem_cache_shrink(cache));
		abandon();
	}
}

/* F walks the chain at each step; without it the walk ends before it leaves the slab. */
static void broken_chain(void **state)
{
	unsigned char *object;
	uint16_t *states;

	(void)state;
	begin("F,mine");
	object = take();
	states = slab_states(cache, slab_of(t.m, object));
	states[3] = 2; /* a loop */
	ASSERT_PANICS(&t, "SLAB-2", give(object));
	abandon();

	begin("F,mine");
	object = take();
	slab_states(cache, slab_of(t.m, object))[3] = SLAB_CHAIN_END; /* too short */
	ASSERT_PANICS(&t, "SLAB-2", take());
	abandon();

	begin(NULL);
	object = take();
	slab_of(t.m, object)->slab.free_head = 0x7000; /* beyond */
	ASSERT_PANICS(&t, "SLAB-2", take());
	abandon();
}

/* ------------------------------------------------------------------ what validation names */

static const char *broken(void)
{
	static struct ondol_broken_invariant out;

	if (!ondol_machine_validate(t.m, &out))
		return "none";
	assert_string_not_equal(out.text, "");
	return out.id;
}

#define BREAKS(label, lvalue, value)                                                          \
	do {                                                                                  \
		__typeof__(lvalue) kept_ = (lvalue);                                          \
		(lvalue) = (value);                                                           \
		assert_string_equal(broken(), label);                                         \
		(lvalue) = kept_;                                                             \
		assert_string_equal(broken(), "none");                                        \
	} while (0)

static void validation_of_slabs(void **state)
{
	struct ondol_page *head;
	unsigned char *object;
	struct slab_node *node;
	uint16_t *states;

	(void)state;
	begin(NULL);
	object = take();
	head = slab_of(t.m, object);
	states = slab_states(cache, head);
	node = &cache->node[0];
	assert_string_equal(broken(), "none");

	BREAKS("SLAB-1", head->slab.nr_inuse, 0);
	BREAKS("SLAB-1", head->slab.nr_inuse, cache->nr_objects);
	BREAKS("SLAB-1", head->slab.nr_inuse, cache->nr_objects + 1);
	/* On the list of full slabs, though it is not. */
	node->head[SLAB_FULL] = node->head[SLAB_PARTIAL];
	node->head[SLAB_PARTIAL] = ONDOL_PAGE_NIL;
	node->nr[SLAB_FULL] = 1;
	node->nr[SLAB_PARTIAL] = 0;
	assert_string_equal(broken(), "SLAB-1");
	node->head[SLAB_PARTIAL] = node->head[SLAB_FULL];
	node->head[SLAB_FULL] = ONDOL_PAGE_NIL;
	node->nr[SLAB_FULL] = 0;
	node->nr[SLAB_PARTIAL] = 1;

	BREAKS("SLAB-2", head->slab.nr_inuse, 2);
	BREAKS("SLAB-2", head->slab.free_head, states[head->slab.free_head]);
	BREAKS("SLAB-2", head->slab.free_head, cache->nr_objects);
	BREAKS("SLAB-2", states[5], 4);              /* a loop */
	BREAKS("SLAB-2", states[5], SLAB_CHAIN_END); /* the rest is lost */
	BREAKS("SLAB-2", states[0], SLAB_CHAIN_END); /* in use, and marked free */
	BREAKS("SLAB-2", states[5], SLAB_IN_USE);

	BREAKS("SLAB-3", head->slab.cache, t.m->slab->cache_cache);

	BREAKS("SLAB-4", node->nr[SLAB_PARTIAL], 2);
	BREAKS("SLAB-4", node->nr[SLAB_FREE], 1);
	BREAKS("SLAB-4", head->slab.prev, 7);
	BREAKS("SLAB-4", cache->nr_slabs, 2);
	BREAKS("SLAB-4", cache->nr_inuse, 2);

	give(object);
	end();
}

/* [SLAB-3] Frames marked as slab that no cache knows of. */
static void validation_of_frames(void **state)
{
	struct ondol_page *page;

	(void)state;
	begin(NULL);
	page = ondol_alloc_pages(t.m, GFP, 0);
	ondol_page_set_use(t.m, page, ONDOL_PAGE_SLAB);
	assert_string_equal(broken(), "SLAB-3");
	ondol_free_pages(t.m, page, 0);
	end();
}

static void validation_of_debugged_objects(void **state)
{
	unsigned char *used, *unused;

	(void)state;
	begin("ZP,mine");
	used = take();
	unused = take();
	give(unused);
	BREAKS("SLAB-7", used[40], 0);
	BREAKS("SLAB-7", used[47], 0);
	BREAKS("SLAB-7", unused[40], 0);
	BREAKS("SLAB-8", unused[0], 0);
	BREAKS("SLAB-8", unused[39], 0);
	used[0] = 1; /* the user's right */
	give(used);
	end();
}

static void validation_of_magazines(void **state)
{
	struct slab_cpu *cpu;
	void *objects[3];

	(void)state;
	assert_int_equal(kit_new(&t, 64, 2, NULL, NULL), 0);
	cache = kit_cache(t.m, "mine", 40, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		objects[i] = take();
	give(objects[0]);
	cpu = &cache->cpu[0];
	assert_true(cpu->nr > 1 && cpu->cap > cpu->nr);
	assert_string_equal(broken(), "none");
	BREAKS("SLAB-9", cpu->cap, 0);
	BREAKS("SLAB-9", cpu->nr, SLAB_MAGAZINE_MAX + 1);
	BREAKS("SLAB-9", cpu->nr, cpu->nr - 1); /* one is nowhere */
	assert_int_equal(cpu->hand, (uintptr_t)objects[0] | SLAB_HAND_FREE);
	BREAKS("SLAB-9", cpu->hand, 0); /* it is nowhere then */
	BREAKS("SLAB-9", cpu->hand, cpu->hand - SLAB_HAND_FREE);
	BREAKS("SLAB-9", cpu->hand, (uintptr_t)cpu | SLAB_HAND_FREE);
	BREAKS("SLAB-9", *cpu->hand_state, SLAB_IN_USE);
	BREAKS("SLAB-9", *cpu->loaded[0].state, SLAB_IN_USE);
	BREAKS("SLAB-9", cpu->loaded[0].object, (void *)cpu);
	BREAKS("SLAB-9", cpu->loaded[0].object, (void *)&cpu);
	BREAKS("SLAB-9", cpu->loaded[0].state, &(uint16_t){ 0 });
	give(objects[1]);
	give(objects[2]);
	end();
}

static void validation_of_descriptors(void **state)
{
	struct ondol_slab_state *slab;
	struct ondol_kmem_cache *stray;

	(void)state;
	begin(NULL);
	slab = t.m->slab;
	BREAKS("SLAB-10", slab->cache_cache, slab->magazine_cache);
	/* A descriptor that is no object of cache_cache. */
	stray = ondol_kzalloc(t.m, 1024, GFP);
	stray->m = t.m;
	stray->cpu = (struct slab_cpu *)(void *)((char *)stray + 512);
	stray->node[0].head[0] = stray->node[0].head[1] = stray->node[0].head[2] =
		ONDOL_PAGE_NIL;
	list_add_tail(&stray->link, &slab->caches);
	assert_string_equal(broken(), "SLAB-10");
	list_del(&stray->link);
	ondol_kfree(t.m, stray);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(debug_language),
		cmocka_unit_test(chosen_by_name),
		cmocka_unit_test(everything_checked),
		cmocka_unit_test(patterns),
		cmocka_unit_test(freed_twice),
		cmocka_unit_test(freed_long_after),
		cmocka_unit_test(freed_without_owning),
		cmocka_unit_test(written_behind),
		cmocka_unit_test(written_when_free),
		cmocka_unit_test(broken_chain),
		cmocka_unit_test(validation_of_slabs),
		cmocka_unit_test(validation_of_frames),
		cmocka_unit_test(validation_of_debugged_objects),
		cmocka_unit_test(validation_of_magazines),
		cmocka_unit_test(validation_of_descriptors),
	};

	return cmocka_run_group_tests_name("slab_debug", tests, NULL, NULL);
}

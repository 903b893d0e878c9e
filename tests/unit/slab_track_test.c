/* SPDX-License-Identifier: MIT */
/* Owners and leaks by call site (U), quarantine (Q), guard pages (W). */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "slab/slab.h"
#include "support/slab_kit.h"

#define GFP ONDOL_GFP_KERNEL

static struct toy t;
static struct ondol_kmem_cache *cache;

static void begin(uint32_t flags, size_t size)
{
	assert_int_equal(kit_new(&t, 64, 2, NULL, NULL), 0);
	cache = kit_cache(t.m, "mine", size, 0, flags);
	assert_non_null(cache);
}

static void end(void)
{
	ASSERT_VALID(t.m);
	assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
	assert_int_equal(toy_free(&t), 0);
}

static void abandon(void)
{
	munmap(t.ram, t.ram_size);
	free(t.storage);
}

static const char *broken(void)
{
	static struct ondol_broken_invariant out;

	return ondol_machine_validate(t.m, &out) ? out.id : "none";
}

static __attribute__((noinline)) void *often(void)
{
	void *object = ondol_kmem_cache_alloc(cache, GFP);

	__asm__ volatile("" ::: "memory"); /* no tail call: this function is the call site */
	return object;
}

static __attribute__((noinline)) void *seldom(void)
{
	void *object = ondol_kmem_cache_alloc(cache, GFP);

	__asm__ volatile("" ::: "memory");
	return object;
}

/* The address in a line of the report lies within a function, which is small. */
static bool is_from(const char *line, const void *function)
{
	const char *from = strstr(line, "from 0x");
	uintptr_t at = from ? strtoull(from + 5, NULL, 16) : 0;

	return at - (uintptr_t)function < 200;
}

static void leaks_by_call_site(void **state)
{
	void *objects[10];
	const char *line;

	(void)state;
	begin(ONDOL_SLAB_STORE_USER, 40);
	for (unsigned i = 0; i < 10; i++) {
		kit_cpu = i % 2;
		objects[i] = i % 5 == 2 ? seldom() : often();
	}
	kit_cpu = 0;
	ondol_kmem_cache_free(cache, objects[0]);
	assert_int_equal(ondol_kmem_cache_destroy(cache), -ONDOL_EBUSY);
	line = strstr(kit_log_text, "leak: cache mine: 9 objects of 40 bytes in use\n");
	assert_non_null(line);
	line = strchr(line, '\n') + 1; /* the most first */
	assert_memory_equal(line, "  7 objects, 280 bytes, from 0x", 31);
	assert_true(is_from(line, (void *)often));
	line = strchr(line, '\n') + 1;
	assert_memory_equal(line, "  2 objects, 80 bytes, from 0x", 30);
	assert_true(is_from(line, (void *)seldom));
	assert_string_equal(strchr(line, '\n'), "\n"); /* and nothing else */
	for (unsigned i = 1; i < 10; i++)
		ondol_kmem_cache_free(cache, objects[i]);
	end();
}

/* A machine that ends tells the same, of kmalloc's too. */
static void leaks_of_a_machine(void **state)
{
	void *object;

	(void)state;
	assert_int_equal(kit_new(&t, 64, 1, NULL, "U"), 0);
	object = ondol_kmalloc(t.m, 100, GFP);
	assert_int_equal(ondol_machine_fini(t.m), -ONDOL_EBUSY);
	assert_non_null(strstr(kit_log_text, "leak: cache kmalloc-104: 1 objects"));
	assert_non_null(strstr(kit_log_text, "  1 objects, 104 bytes, from 0x"));
	ondol_kfree(t.m, object);
	assert_int_equal(toy_free(&t), 0);
}

/* Damage is told with who had the object. */
static void damage_names_owners(void **state)
{
	unsigned char *object;

	(void)state;
	begin(ONDOL_SLAB_STORE_USER | ONDOL_SLAB_RED_ZONE | ONDOL_SLAB_POISON, 40);
	object = often();
	object[40]++;
	ASSERT_PANICS(&t, "SLAB-7", ondol_kmem_cache_free(cache, object));
	assert_non_null(strstr(kit_log_text, "cache mine, 40 bytes, is damaged\n  allocated by"));
	assert_null(strstr(kit_log_text, "last freed"));
	object[40]--;
	ondol_kmem_cache_free(cache, object);
	object[0] = 1;
	ASSERT_PANICS(&t, "SLAB-8", often());
	assert_non_null(strstr(kit_log_text, "last freed by 0x"));
	abandon();
}

/* [SLAB-14] */
static void validation_of_owners(void **state)
{
	struct slab_owner *owner;
	char *used;

	(void)state;
	begin(ONDOL_SLAB_STORE_USER, 40);
	used = often();
	owner = (struct slab_owner *)(void *)(used + cache->owner_offset);
	assert_string_equal(broken(), "none");
	owner->tag ^= 1;
	assert_string_equal(broken(), "SLAB-14");
	owner->tag ^= 1;
	assert_int_equal(cache->owner_offset, 40);
	ondol_kmem_cache_free(cache, used);
	end();
}

/* ------------------------------------------------------------------ quarantine */

static void freed_objects_rest(void **state)
{
	unsigned char *first, *other;

	(void)state;
	begin(ONDOL_SLAB_QUARANTINE | ONDOL_SLAB_POISON, 40);
	first = often();
	ondol_kmem_cache_free(cache, first);
	assert_int_equal(kit_info(t.m, "mine").active_objects, 0);
	ASSERT_VALID(t.m);
	ASSERT_PANICS(&t, "SLAB-5", ondol_kmem_cache_free(cache, first));
	for (unsigned i = 0; i < SLAB_MAGAZINE_MAX - 1; i++) { /* not at once another's */
		other = often();
		assert_ptr_not_equal(other, first);
		ondol_kmem_cache_free(cache, other);
	}
	assert_int_equal(cache->nr_resting, SLAB_MAGAZINE_MAX);
	other = often();
	ondol_kmem_cache_free(cache, other); /* now the first has rested */
	assert_ptr_equal(often(), first);
	ondol_kmem_cache_free(cache, first);
	assert_true(ondol_kmem_cache_shrink(cache) > 0);
	assert_int_equal(kit_info(t.m, "mine").nr_slabs, 0);
	end();
}

/* What was written through an old pointer is seen when the object comes out, or goes. */
static void written_while_resting(void **state)
{
	unsigned char *object;

	(void)state;
	for (volatile int how = 0; how < 3; how++) {
		begin(ONDOL_SLAB_QUARANTINE | ONDOL_SLAB_POISON, 40);
		object = often();
		ondol_kmem_cache_free(cache, object);
		object[7] = how == 2 ? object[7] : 0;
		if (how == 0) {
			assert_string_equal(broken(), "SLAB-8");
			ASSERT_PANICS(&t, "SLAB-8", ondol_kmem_cache_shrink(cache));
		} else if (how == 1) {
			ASSERT_PANICS(&t, "SLAB-8",
				      for (unsigned i = 0; i < SLAB_MAGAZINE_MAX; i++)
					      ondol_kmem_cache_free(cache, often()));
		} else {
			cache->nr_resting++;
			assert_string_equal(broken(), "SLAB-9");
		}
		abandon();
	}
}

/* ------------------------------------------------------------------ guard pages */

static unsigned guarded;
static bool guard_fails;

static bool guard(void *ctx, void *at, size_t size, bool on)
{
	(void)ctx;
	if (guard_fails)
		return false;
	guarded += on ? 1 : -1u;
	return !mprotect(at, size, on ? PROT_NONE : PROT_READ | PROT_WRITE);
}

static sigjmp_buf trapped;

static void on_trap(int signal)
{
	(void)signal;
	siglongjmp(trapped, 1);
}

static bool traps(volatile unsigned char *at)
{
	struct sigaction action = { .sa_handler = on_trap }, old;
	volatile bool did = true;

	sigaction(SIGSEGV, &action, &old);
	if (!sigsetjmp(trapped, 1)) {
		*at = 1;
		did = false;
	}
	sigaction(SIGSEGV, &old, NULL);
	return did;
}

static void objects_end_at_a_guard(void **state)
{
	static const size_t sizes[] = { 8, 40, 100, 4096, 5000, 70000 };
	static unsigned char *object, *second; /* static: a panic is a longjmp */
	static unsigned owners;

	(void)state;
	kit_guard = guard;
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		for (owners = 0; owners < 2; owners++) {
			begin(ONDOL_SLAB_FIREWALL | (owners ? ONDOL_SLAB_STORE_USER : 0),
			      sizes[i]);
			object = often();
			second = often();
			memset(object, 1, sizes[i]);
			memset(second, 2, sizes[i]);
			assert_true(traps(object + (sizes[i] + 7) / 8 * 8));
			assert_true(traps(second + (sizes[i] + 7) / 8 * 8));
			assert_int_equal(guarded, 2);
			ASSERT_VALID(t.m);
			assert_int_equal(object[sizes[i] - 1], 1);
			ASSERT_PANICS(&t, "SLAB-6", ondol_kmem_cache_free(cache, object + 8));
			ondol_kmem_cache_free(cache, object);
			ondol_kmem_cache_free(cache, second);
			assert_true(ondol_kmem_cache_shrink(cache) > 0);
			assert_int_equal(guarded, 0); /* the buddy's frames are all usable */
			end();
		}
	}
	kit_guard = NULL;
}

/* [SLAB-13]; a port that fails, or that cannot, is told and done without. */
static void guards_that_are_not(void **state)
{
	void *object;

	(void)state;
	kit_guard = guard;
	begin(ONDOL_SLAB_FIREWALL, 40);
	object = often();
	assert_string_equal(broken(), "none");
	slab_of(t.m, object)->slab.colour -= 8;
	assert_string_equal(broken(), "SLAB-13");
	slab_of(t.m, object)->slab.colour += 8;
	ondol_kmem_cache_free(cache, object);
	end();

	guard_fails = true;
	begin(ONDOL_SLAB_FIREWALL, 40);
	object = often();
	assert_non_null(strstr(kit_log_text, "cache mine: no guard page at 0x"));
	ondol_kmem_cache_free(cache, object);
	end();
	guard_fails = false;
	kit_guard = NULL;

	begin(ONDOL_SLAB_FIREWALL, 40);
	assert_non_null(strstr(kit_log_text, "cache mine: the port cannot guard pages; a red"));
	assert_int_equal(cache->flags & SLAB_DEBUG_FLAGS, ONDOL_SLAB_RED_ZONE);
	end();
}

/* Everything on, everywhere: also in the caches that the machine makes for itself. */
static void all_at_once(void **state)
{
	static const char *const debug[] = { "FZPUQ", "FPUQW" };
	void *objects[300];

	(void)state;
	kit_guard = guard;
	for (unsigned d = 0; d < 2; d++) {
		assert_int_equal(kit_new(&t, 64, 2, NULL, debug[d]), 0);
		cache = kit_cache(t.m, "mine", 72, 0, 0);
		for (unsigned i = 0; i < 300; i++) {
			kit_cpu = i % 2;
			objects[i] = i % 3 ? ondol_kmalloc(t.m, i * 37 % 5000 + 1, GFP) : often();
			assert_non_null(objects[i]);
		}
		ASSERT_VALID(t.m);
		for (unsigned i = 0; i < 300; i++)
			ondol_kfree(t.m, objects[i]);
		ASSERT_VALID(t.m);
		assert_int_equal(ondol_kmem_cache_destroy(cache), 0);
		assert_int_equal(toy_free(&t), 0);
	}
	kit_guard = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaks_by_call_site),
		cmocka_unit_test(leaks_of_a_machine),
		cmocka_unit_test(damage_names_owners),
		cmocka_unit_test(validation_of_owners),
		cmocka_unit_test(freed_objects_rest),
		cmocka_unit_test(written_while_resting),
		cmocka_unit_test(objects_end_at_a_guard),
		cmocka_unit_test(guards_that_are_not),
		cmocka_unit_test(all_at_once),
	};

	return cmocka_run_group_tests_name("slab_track", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Random work with caches and kmalloc on several CPUs, against a model that knows where every
 * live object is, how large, and what its bytes are.
 *
 *   SEED=N build/tests/model/slab_test   runs one list of operations again
 *   ROUNDS=N                             more lists, beginning with a fresh seed
 *
 * A list that fails is cut down to the operations that the failure needs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "support/slab_kit.h"

#define NR_OPS 500
#define NR_CACHES 6
#define NR_OBJECTS 400
#define RAM (16u << 20)
#define ROUNDS 48
#define MAGIC 0xc0ffee11u

enum kind { CREATE, DESTROY, ALLOC, FREE, ALLOC_MANY, FREE_MANY, KMALLOC, KZALLOC, SHRINK, DRAIN,
	    BUSY, KREALLOC, NODE, TICK, REAP, NR_KINDS };
static const char *const kind_names[] = { "create", "destroy", "alloc", "free", "alloc many",
					  "free many", "kmalloc", "kzalloc", "shrink", "drain",
					  "destroy busy", "krealloc", "kmalloc_node",
					  "tick", "reap" };

struct op { uint32_t kind, cpu, a, b; };

struct model_cache {
	struct ondol_kmem_cache *cache; /* NULL: this place is empty */
	struct ondol_kmem_cache_args args;
	uint32_t live;
	char name[16];
};

struct model_object { /* size 0: this place is empty */
	unsigned char *at;
	uint32_t size, cache; /* NR_CACHES: kmalloc's */
	unsigned char fill;
};

static struct world {
	struct toy t;
	uint64_t seed;
	bool planted; /* the harness itself writes behind an object */
	uint32_t nr_cpus;
	struct model_cache caches[NR_CACHES];
	struct model_object objects[NR_OBJECTS];
	uint64_t live_bytes;
	char why[300];
} w;

static uint64_t random_state;

static uint32_t rnd(uint32_t below)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((random_state >> 33) % below);
}

/* Ends the run; a panic of the core comes the same way. */
#define CHECK(condition, ...)                                                                 \
	do {                                                                                  \
		if (!(condition)) {                                                           \
			snprintf(w.why, sizeof w.why, __VA_ARGS__);                           \
			longjmp(w.t.on_panic, 2);                                             \
		}                                                                             \
	} while (0)

static void construct(void *object, void *arg)
{
	memcpy(object, arg, sizeof(uint32_t));
}

/* Sizes of all magnitudes, exact classes and their neighbours among them. */
static uint32_t some_size(uint32_t n)
{
	uint32_t power = 1u << (n % 17);

	return n % 5 == 0 ? power : n % 5 == 1 ? power + 1 : power + n / 17 % power;
}

/* ------------------------------------------------------------------ objects of the model */

static void fill(struct model_object *o, uint32_t slot)
{
	uint32_t from = o->cache < NR_CACHES && w.caches[o->cache].args.ctor ? 4 : 0;

	o->fill = (unsigned char)(slot * 7 + o->size);
	if (o->size > from)
		memset(o->at + from, o->fill, o->size - from);
}

static void check_bytes(const struct model_object *o)
{
	uint32_t from = o->cache < NR_CACHES && w.caches[o->cache].args.ctor ? 4 : 0;

	for (uint32_t i = from; i < o->size; i++)
		CHECK(o->at[i] == o->fill, "byte %u of an object of %u is %#x, not %#x", i, o->size,
		      o->at[i], o->fill);
}

static void add(uint32_t slot, unsigned char *at, uint32_t size, uint32_t cache)
{
	struct model_object *o = &w.objects[slot];
	uint64_t offset = (uint64_t)(at - (unsigned char *)w.t.ram);

	CHECK(offset < w.t.ram_size && offset + size <= w.t.ram_size, "object outside memory");
	for (uint32_t i = 0; i < NR_OBJECTS; i++)
		CHECK(!w.objects[i].size || at + size <= w.objects[i].at ||
		      w.objects[i].at + w.objects[i].size <= at, "objects overlap");
	*o = (struct model_object){ .at = at, .size = size, .cache = cache };
	w.live_bytes += size;
	fill(o, slot);
}

static void release(struct model_object *o)
{
	if (!o->size)
		return;
	check_bytes(o);
	w.live_bytes -= o->size;
	o->size = 0;
	if (o->cache == NR_CACHES) {
		ondol_kfree(w.t.m, o->at);
		return;
	}
	w.caches[o->cache].live--;
	ondol_kmem_cache_free(w.caches[o->cache].cache, o->at);
}

static void take(uint32_t slot, uint32_t at_cache)
{
	struct model_cache *c = &w.caches[at_cache];
	uint32_t size = (uint32_t)c->args.object_size, magic;
	unsigned char *at;

	if (!c->cache || w.objects[slot].size || w.live_bytes + size > RAM / 4)
		return;
	at = ondol_kmem_cache_alloc(c->cache, ONDOL_GFP_KERNEL);
	CHECK(at, "no object of %u bytes with %llu live", size, (unsigned long long)w.live_bytes);
	CHECK((uintptr_t)at % (c->args.align ? c->args.align : sizeof(void *)) == 0, "misaligned");
	if (c->args.ctor) {
		memcpy(&magic, at, sizeof magic);
		CHECK(magic == MAGIC, "the constructor's work is gone");
	}
	c->live++;
	add(slot, at, size, at_cache);
	if (w.planted && c->args.flags & ONDOL_SLAB_RED_ZONE)
		at[size]++;
}

static void take_general(uint32_t slot, uint32_t size, bool zero)
{
	unsigned char *at;

	if (w.objects[slot].size || w.live_bytes + size > RAM / 4)
		return;
	at = zero ? ondol_kzalloc(w.t.m, size, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN) :
		    ondol_kmalloc(w.t.m, size, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN);
	if (!at) { /* large blocks may have been broken up */
		CHECK(size > 16384, "no %u bytes with %llu live", size,
		      (unsigned long long)w.live_bytes);
		return;
	}
	CHECK(ondol_ksize(w.t.m, at) >= size, "less than was asked for");
	for (uint32_t i = 0; zero && i < size; i++)
		CHECK(!at[i], "kzalloc: byte %u of %u is not zero", i, size);
	add(slot, at, size, NR_CACHES);
}

static void resize(uint32_t slot, uint32_t size)
{
	struct model_object *o = &w.objects[slot];
	uint32_t kept = o->size < size ? o->size : size;
	unsigned char *at;

	if (!o->size || o->cache != NR_CACHES || w.live_bytes + size > RAM / 4)
		return;
	check_bytes(o);
	at = ondol_krealloc(w.t.m, o->at, size, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN);
	if (!at) {
		CHECK(size > 16384, "no %u bytes with %llu live", size,
		      (unsigned long long)w.live_bytes);
		return;
	}
	CHECK(at[0] == o->fill && at[kept - 1] == o->fill, "krealloc lost what was there");
	w.live_bytes -= o->size;
	o->size = 0;
	add(slot, at, size, NR_CACHES);
}

static void take_on_node(uint32_t slot, uint32_t size, int node)
{
	unsigned char *at;

	if (w.objects[slot].size || w.live_bytes + size > RAM / 4)
		return;
	at = ondol_kmalloc_node(w.t.m, size, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, node);
	if (at)
		add(slot, at, size, NR_CACHES);
	else
		CHECK(size > 16384, "no %u bytes on node %d", size, node);
}

/* ------------------------------------------------------------------ caches of the model */

static void create(uint32_t at, uint32_t b)
{
	static uint32_t magic = MAGIC;
	struct model_cache *c = &w.caches[at];
	static const uint32_t flags[] = { 0, ONDOL_SLAB_HWCACHE_ALIGN, ONDOL_SLAB_RECLAIM_ACCOUNT,
					  ONDOL_SLAB_RED_ZONE, ONDOL_SLAB_RED_ZONE |
					  ONDOL_SLAB_POISON | ONDOL_SLAB_CONSISTENCY_CHECKS };

	if (c->cache)
		return;
	snprintf(c->name, sizeof c->name, "model-%u", at);
	c->args = (struct ondol_kmem_cache_args){
		.size = sizeof c->args, .object_size = some_size(b % 10007) % 20000 + 1,
		.align = b % 3 ? 0 : (size_t)1 << (b % 13), .flags = flags[b % 5],
	};
	if (b % 4 == 0) {
		c->args.ctor = construct;
		c->args.arg = &magic;
		c->args.object_size += 4;
	}
	c->live = 0;
	CHECK(!ondol_kmem_cache_create(w.t.m, c->name, &c->args, &c->cache), "create refused");
}

static void destroy(struct model_cache *c)
{
	int r;

	if (!c->cache)
		return;
	r = ondol_kmem_cache_destroy(c->cache);
	CHECK(r == (c->live ? -ONDOL_EBUSY : 0), "destroy with %u live objects: %d", c->live, r);
	if (!r)
		c->cache = NULL;
}

/* Free what the cache has out, then destroy it. */
static void empty_and_destroy(uint32_t at)
{
	for (uint32_t i = 0; i < NR_OBJECTS; i++)
		if (w.objects[i].cache == at)
			release(&w.objects[i]);
	destroy(&w.caches[at]);
}

static int check_count(void *ctx, const struct ondol_slab_info *info)
{
	(void)ctx;
	CHECK(info->active_objects <= info->nr_objects, "%s: more active than there are",
	      info->name);
	CHECK(info->bytes_requested <= info->active_objects * info->object_size,
	      "%s: more asked for than given", info->name);
	for (uint32_t i = 0; i < NR_CACHES; i++)
		if (w.caches[i].cache && info->name == w.caches[i].name)
			CHECK(info->active_objects == w.caches[i].live, "%s: %llu active, not %u",
			      info->name, (unsigned long long)info->active_objects,
			      w.caches[i].live);
	return 0;
}

static void check_all(void)
{
	struct ondol_broken_invariant broken;

	if (ondol_machine_validate(w.t.m, &broken))
		CHECK(false, "[%s] %s: at %#llx expected %#llx, found %#llx", broken.id,
		      broken.text, (unsigned long long)broken.where,
		      (unsigned long long)broken.expected, (unsigned long long)broken.actual);
	(void)ondol_for_each_cache(w.t.m, check_count, NULL);
}

/* All of memory is asked for, frame by frame, so that caches are reaped; then it is back. */
static void run_short(void)
{
	static struct ondol_page *pages[2 * RAM / ONDOL_PAGE_SIZE];
	uint32_t nr = 0;

	while ((pages[nr] = ondol_alloc_pages(w.t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, 0)))
		nr++;
	check_all();
	while (nr)
		ondol_free_pages(w.t.m, pages[--nr], 0);
}

/* ------------------------------------------------------------------ runs */

static void step(const struct op *op)
{
	uint32_t cache = op->a % NR_CACHES, slot = op->b % NR_OBJECTS;

	kit_cpu = op->cpu % w.nr_cpus;
	switch ((enum kind)op->kind) {
	case CREATE: create(cache, op->b); break;
	case DESTROY: empty_and_destroy(cache); break;
	case BUSY: destroy(&w.caches[cache]); break;
	case ALLOC: take(slot, cache); break;
	case FREE: release(&w.objects[slot]); break;
	case ALLOC_MANY:
		for (uint32_t i = 0; i < 150; i++)
			take((slot + i) % NR_OBJECTS, cache);
		break;
	case FREE_MANY:
		for (uint32_t i = 0; i < 150; i++)
			release(&w.objects[(slot + i * 7) % NR_OBJECTS]);
		break;
	case KMALLOC: take_general(slot, some_size(op->a), false); break;
	case KZALLOC: take_general(slot, some_size(op->a), true); break;
	case SHRINK:
		if (w.caches[cache].cache)
			(void)ondol_kmem_cache_shrink(w.caches[cache].cache);
		break;
	case KREALLOC: resize(slot, some_size(op->a)); break;
	case NODE: take_on_node(slot, some_size(op->a), (int)(op->b % 3) - 1); break;
	case TICK: (void)ondol_kmem_cache_tick(w.t.m); break;
	case REAP: run_short(); break;
	case DRAIN: ondol_drain_all_pages(w.t.m); break;
	default: break;
	}
}

static void start(uint64_t seed)
{
	static const struct ondol_profile *const profiles[] = {
		NULL, &ondol_profile_i386_2_4, &ondol_profile_i386_2_6, &ondol_profile_toy16 };
	struct ondol_mem_region regions[2] = {
		{ .end = { RAM }, .type = ONDOL_MEM_USABLE },
		{ .start = { RAM }, .end = { 2 * RAM }, .type = ONDOL_MEM_USABLE, .node = 1 } };
	uint32_t nodes = seed % 5 == 2 ? 2 : 1;
	struct ondol_machine_desc desc = {
		.size = sizeof desc, .regions = regions, .nr_regions = nodes, .nr_nodes = nodes,
		.nr_cpus = 1 + seed % 4, .profile = profiles[seed / 2 % 4],
		.debug = seed % 6 == 1 ? "FZP" : seed % 6 == 4 ? "ZPUQ" : NULL };
	bool planted = w.planted;

	memset(&w, 0, sizeof w);
	w.seed = seed;
	w.planted = planted;
	w.nr_cpus = desc.nr_cpus;
	assert_int_equal(kit_init(&w.t, &desc), 0);
}

static void finish(void)
{
	for (uint32_t i = 0; i < NR_OBJECTS; i++)
		release(&w.objects[i]);
	for (uint32_t i = 0; i < NR_CACHES; i++)
		destroy(&w.caches[i]);
	check_all();
	/* fini sees to it that every frame is back. */
	CHECK(!ondol_machine_fini(w.t.m), "the machine says that something is leaked");
}

/* 0, or the number of the operation that failed, from 1. */
static unsigned run(uint64_t seed, const struct op *ops, unsigned nr)
{
	static volatile unsigned at;
	volatile unsigned result = 0;
	int how;

	start(seed);
	at = 0;
	w.t.expects_panic = true;
	how = setjmp(w.t.on_panic);
	if (!how) {
		for (; at < nr; at = at + 1) {
			step(&ops[at]);
			if (at % 8 == 7)
				check_all();
		}
		finish();
	} else {
		if (how == 1)
			snprintf(w.why, sizeof w.why, "panic: %s:%u: %s [%s]", w.t.panic.file,
				 w.t.panic.line, w.t.panic.expression,
				 w.t.panic.invariant ? w.t.panic.invariant : "-");
		result = at + 1;
	}
	munmap(w.t.ram, w.t.ram_size);
	free(w.t.storage);
	return result;
}

/* Leave out what the failure does not need, in ever smaller pieces. */
static unsigned cut_down(uint64_t seed, struct op *ops, unsigned nr)
{
	static struct op fewer[NR_OPS];

	for (unsigned piece = nr / 2; piece; piece /= 2) {
		for (unsigned from = 0; from + piece <= nr;) {
			memcpy(fewer, ops, from * sizeof *ops);
			memcpy(fewer + from, ops + from + piece,
			       (nr - from - piece) * sizeof *ops);
			if (run(seed, fewer, nr - piece)) {
				nr -= piece;
				memcpy(ops, fewer, nr * sizeof *ops);
			} else {
				from += piece;
			}
		}
	}
	return nr;
}

static void make_ops(uint64_t seed, struct op *ops)
{
	/* How often each is chosen, of 64. */
	static const uint32_t weight[NR_KINDS] = { 5, 2, 14, 12, 3, 4, 7, 4, 2, 1, 2, 4, 2, 1, 1 };

	random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	for (unsigned i = 0; i < NR_OPS; i++) {
		uint32_t dice = rnd(64), kind = 0;

		while (dice >= weight[kind])
			dice -= weight[kind++];
		ops[i] = (struct op){ kind, rnd(4), rnd(1u << 20), rnd(1u << 20) };
	}
}

/* 0, or how many operations the failure takes. */
static unsigned try_seed(uint64_t seed, struct op *ops)
{
	unsigned nr;

	make_ops(seed, ops);
	nr = run(seed, ops, NR_OPS);
	if (!nr)
		return 0;
	nr = cut_down(seed, ops, nr < NR_OPS ? nr : NR_OPS);
	(void)run(seed, ops, nr); /* for w.why */
	return nr;
}

static void report(uint64_t seed, const struct op *ops, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		print_message("#   %2u  cpu %u  %-12s %u %u\n", i + 1, ops[i].cpu % w.nr_cpus,
			      kind_names[ops[i].kind], ops[i].a, ops[i].b);
	fail_msg("seed %llu, %u operations: %s; again: SEED=%llu build/tests/model/slab_test",
		 (unsigned long long)seed, nr, w.why, (unsigned long long)seed);
}

static void random_work(void **state)
{
	static struct op ops[NR_OPS];
	const char *one = getenv("SEED"), *more = getenv("ROUNDS");
	uint64_t first = one ? strtoull(one, NULL, 0) : more ? (uint64_t)time(NULL) : 1;
	unsigned rounds = one ? 1 : more ? (unsigned)atoi(more) : ROUNDS;

	(void)state;
	for (uint64_t seed = first; seed < first + rounds; seed++) {
		unsigned nr = try_seed(seed, ops);

		if (nr)
			report(seed, ops, nr);
	}
}

/* The harness finds what is there to find: it writes behind an object once it can be noticed. */
static void planted_error_is_found(void **state)
{
	static struct op ops[NR_OPS];
	unsigned nr;

	(void)state;
	w.planted = true;
	nr = try_seed(4, ops); /* machine without checks of its own */
	w.planted = false;
	assert_in_range(nr, 2, 3); /* create, allocate, and free or look */
	assert_int_equal(ops[0].kind, CREATE);
	assert_non_null(strstr(w.why, "SLAB-7"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_work),
		cmocka_unit_test(planted_error_is_found),
	};

	return cmocka_run_group_tests_name("slab model", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What the tests of caches share: infos by name, a log to look at, a CPU to be on. */
#ifndef TESTS_SUPPORT_SLAB_KIT_H
#define TESTS_SUPPORT_SLAB_KIT_H

#include "support/toy.h"

/* The CPU that the next call runs on; a thread has its own. */
static __thread uint32_t kit_cpu;
static char kit_log_text[8192];
/* The port's irq_save and irq_restore, if a test sets them before it makes a machine. */
static uintptr_t (*kit_enter)(void *ctx) __attribute__((unused));
static void (*kit_leave)(void *ctx, uintptr_t saved) __attribute__((unused));
/* And its guard. */
static bool (*kit_guard)(void *ctx, void *at, size_t size, bool on) __attribute__((unused));

static inline uint32_t kit_this_cpu(void *ctx)
{
	(void)ctx;
	return kit_cpu;
}

static inline void kit_log(void *ctx, enum ondol_log_level level, const char *line)
{
	size_t used = strlen(kit_log_text);

	(void)ctx;
	(void)level;
	if (used + strlen(line) + 2 < sizeof kit_log_text)
		sprintf(kit_log_text + used, "%s\n", line);
}

/* toy_init with a log that is kept and a CPU to choose, both there from the start. */
static inline int kit_init(struct toy *t, const struct ondol_machine_desc *desc)
{
	struct ondol_port port = { .version = ONDOL_PORT_VERSION, .size = sizeof port, .ctx = t,
				   .panic = toy_panic, .this_cpu = kit_this_cpu, .log = kit_log,
				   .irq_save = kit_enter, .irq_restore = kit_leave,
				   .guard = kit_guard };
	size_t size, align;

	kit_cpu = 0;
	kit_log_text[0] = '\0';
	memset(t, 0, sizeof *t);
	for (uint32_t i = 0; i < desc->nr_regions; i++)
		if (desc->regions[i].end.value > t->ram_size)
			t->ram_size = desc->regions[i].end.value;
	t->ram = mmap(NULL, t->ram_size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->ram == MAP_FAILED || ondol_machine_storage(desc, &size, &align) ||
	    posix_memalign(&t->storage, align, size))
		return -ONDOL_ENOMEM;
	port.direct_map = t->ram;
	t->port = port;
	return ondol_machine_init(t->storage, size, desc, &t->port, &t->m);
}

/* One node of `mib` MiB with the checks `debug` asks for. */
static inline int kit_new(struct toy *t, uint64_t mib, uint32_t cpus,
			  const struct ondol_profile *profile, const char *debug)
{
	struct ondol_mem_region region = { .end = { mib << 20 }, .type = ONDOL_MEM_USABLE };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &region,
					   .nr_regions = 1, .nr_nodes = 1, .nr_cpus = cpus,
					   .profile = profile, .debug = debug };

	return kit_init(t, &desc);
}

struct kit_find {
	const char *name;
	struct ondol_slab_info info;
};

static inline int kit_match(void *ctx, const struct ondol_slab_info *info)
{
	struct kit_find *find = ctx;

	if (strcmp(info->name, find->name))
		return 0;
	find->info = *info;
	return 1;
}

/* name NULL: there is no such cache. */
static inline struct ondol_slab_info kit_info(struct ondol_machine *m, const char *name)
{
	struct kit_find find = { .name = name };

	(void)ondol_for_each_cache(m, kit_match, &find);
	return find.info;
}

/* A cache without more ado, or NULL. */
static inline struct ondol_kmem_cache *kit_cache(struct ondol_machine *m, const char *name,
						 size_t size, size_t align, uint32_t flags)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = size,
					      .align = align, .flags = flags };
	struct ondol_kmem_cache *cache;

	return ondol_kmem_cache_create(m, name, &args, &cache) ? NULL : cache;
}

static inline uint64_t kit_frames(struct ondol_machine *m, enum ondol_page_use use)
{
	struct ondol_machine_stats stats;

	ondol_machine_stats(m, &stats);
	return stats.pages[use];
}

/* The frame that a host address lies in, or NULL. */
static inline struct ondol_page *kit_page(struct toy *t, const void *address)
{
	uint64_t offset = (uint64_t)((const char *)address - (const char *)t->ram);

	return ondol_pfn_to_page(t->m, ondol_pfn(offset >> ONDOL_PAGE_SHIFT));
}

#define ASSERT_VALID(m)                                                                       \
	do {                                                                                  \
		struct ondol_broken_invariant broken_;                                        \
		if (ondol_machine_validate(m, &broken_))                                      \
			fail_msg("[%s] %s: at %#llx expected %#llx, found %#llx", broken_.id, \
				 broken_.text, (unsigned long long)broken_.where,             \
				 (unsigned long long)broken_.expected,                        \
				 (unsigned long long)broken_.actual);                         \
	} while (0)

/* The deed panics and the report names the invariant. */
#define ASSERT_PANICS(t, label, deed)                                                         \
	do {                                                                                  \
		if (!TOY_PANICS(t)) {                                                         \
			deed;                                                                 \
			fail_msg("%s: nobody minded", #deed);                                 \
		}                                                                             \
		(t)->expects_panic = false;                                                   \
		assert_non_null((t)->panic.invariant);                                        \
		assert_string_equal((t)->panic.invariant, label);                             \
	} while (0)

#endif /* TESTS_SUPPORT_SLAB_KIT_H */

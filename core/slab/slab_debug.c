/* SPDX-License-Identifier: MIT */
/*
 * Checks that a cache can be given by name when the machine is made: "FZ,name;P,kmalloc-*".
 * Blocks are parted by ';'; each is letters, then the names it is for, none meaning all.
 *
 *	F  the slab's chain is walked at every allocation and free   [SLAB-2]
 *	Z  a red zone behind the object                               [SLAB-7]
 *	P  free objects are filled with a pattern                     [SLAB-8]
 *
 *	| object 0x5a.. in use, 0x6b..a5 free | red zone 0xcc in use, 0xbb free |
 *
 * The language is that of Linux's slub_debug, and so are the values, for those who read dumps.
 */
#include "slab/slab.h"

#define POISON_IN_USE 0x5a
#define POISON_FREE 0x6b
#define POISON_END 0xa5
#define RED_IN_USE 0xcc
#define RED_FREE 0xbb

/* One trailing '*' stands for anything. */
static bool name_matches(const char *pattern, size_t length, const char *name)
{
	for (size_t i = 0; i < length; i++) {
		if (pattern[i] == '*' && i + 1 == length)
			return true;
		if (pattern[i] != name[i])
			return false;
	}
	return name[length] == '\0';
}

static uint32_t parse_letters(const char **text)
{
	uint32_t flags = 0;
	const char *at = *text;

	for (; *at && *at != ',' && *at != ';'; at++) {
		flags |= *at == 'F' || *at == 'f' ? ONDOL_SLAB_CONSISTENCY_CHECKS : 0;
		flags |= *at == 'Z' || *at == 'z' ? ONDOL_SLAB_RED_ZONE : 0;
		flags |= *at == 'P' || *at == 'p' ? ONDOL_SLAB_POISON : 0;
	}
	if (at == *text) /* no letters: all of them */
		flags = SLAB_DEBUG_FLAGS;
	*text = at;
	return flags;
}

uint32_t slab_debug_flags(const char *debug, const char *name)
{
	uint32_t flags = 0;

	while (*debug) {
		uint32_t letters = parse_letters(&debug);
		bool matches = *debug != ',';

		while (*debug == ',') {
			const char *pattern = ++debug;

			while (*debug && *debug != ',' && *debug != ';')
				debug++;
			matches |= name_matches(pattern, (size_t)(debug - pattern), name);
		}
		if (matches)
			flags |= letters;
		if (*debug == ';')
			debug++;
	}
	return flags;
}

static uint32_t red_zone_end(const struct ondol_kmem_cache *cache)
{
	return (uint32_t)((cache->object_size + sizeof(void *) - 1) & ~(sizeof(void *) - 1)) +
	       (uint32_t)sizeof(void *);
}

uint32_t slab_debug_room(const struct ondol_kmem_cache *cache)
{
	return cache->flags & ONDOL_SLAB_RED_ZONE ? sizeof(void *) : 0;
}

static void set_red_zone(const struct ondol_kmem_cache *cache, unsigned char *object, int value)
{
	if (cache->flags & ONDOL_SLAB_RED_ZONE)
		__builtin_memset(object + cache->object_size, value,
				 red_zone_end(cache) - cache->object_size);
}

static bool red_zone_is(const struct ondol_kmem_cache *cache, const unsigned char *object,
			unsigned char value)
{
	if (cache->flags & ONDOL_SLAB_RED_ZONE)
		for (uint32_t i = cache->object_size; i < red_zone_end(cache); i++)
			if (object[i] != value)
				return false;
	return true;
}

void slab_debug_init(const struct ondol_kmem_cache *cache, void *object)
{
	unsigned char *bytes = object;

	if (cache->flags & ONDOL_SLAB_POISON) {
		__builtin_memset(bytes, POISON_FREE, cache->object_size - 1);
		bytes[cache->object_size - 1] = POISON_END;
	}
	set_red_zone(cache, bytes, RED_FREE);
}

const char *slab_debug_check_free(const struct ondol_kmem_cache *cache, const void *object)
{
	const unsigned char *bytes = object;

	if (cache->flags & ONDOL_SLAB_POISON) {
		for (uint32_t i = 0; i < cache->object_size - 1; i++)
			if (bytes[i] != POISON_FREE)
				return "SLAB-8";
		if (bytes[cache->object_size - 1] != POISON_END)
			return "SLAB-8";
	}
	return red_zone_is(cache, bytes, RED_FREE) ? NULL : "SLAB-7";
}

const char *slab_debug_check_used(const struct ondol_kmem_cache *cache, const void *object)
{
	return red_zone_is(cache, object, RED_IN_USE) ? NULL : "SLAB-7";
}

static void check_chain(const struct ondol_kmem_cache *cache, struct ondol_page *head)
{
	struct ondol_kmem_cache *locked = head->slab.cache;
	const uint16_t *states = slab_states(cache, head);
	uintptr_t irq = slab_lock(locked);
	uint32_t at = head->slab.free_head, nr = head->slab.nr_inuse;

	while (at != SLAB_CHAIN_END && at < cache->nr_objects && nr < cache->nr_objects) {
		at = states[at];
		nr++;
	}
	slab_unlock(locked, irq);
	ONDOL_VERIFY(cache->m, at == SLAB_CHAIN_END && nr == cache->nr_objects, "SLAB-2",
		     page_index(cache->m, head), at);
}

void slab_debug_alloc(const struct ondol_kmem_cache *cache, struct ondol_page *head, void *object)
{
	const char *broken = slab_debug_check_free(cache, object);

	ONDOL_VERIFY(cache->m, !broken, broken, (uintptr_t)object, (uintptr_t)cache);
	if (cache->flags & ONDOL_SLAB_CONSISTENCY_CHECKS)
		check_chain(cache, head);
	if (cache->flags & ONDOL_SLAB_POISON)
		__builtin_memset(object, POISON_IN_USE, cache->object_size);
	set_red_zone(cache, object, RED_IN_USE);
}

void slab_debug_free(const struct ondol_kmem_cache *cache, struct ondol_page *head, void *object)
{
	ONDOL_VERIFY(cache->m, red_zone_is(cache, object, RED_IN_USE), "SLAB-7",
		     (uintptr_t)object, (uintptr_t)cache);
	if (cache->flags & ONDOL_SLAB_CONSISTENCY_CHECKS)
		check_chain(cache, head);
	slab_debug_init(cache, object);
}

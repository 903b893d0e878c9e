/* SPDX-License-Identifier: MIT */
/*
 * Checks that a cache can be given by name when the machine is made: "FZ,name;P,kmalloc-*".
 * Blocks are parted by ';'; each is letters, then the names it is for, none meaning all.
 *
 *	F  the slab's chain is walked at every allocation and free   [SLAB-2]
 *	Z  a red zone behind the bytes that were asked for            [SLAB-7]
 *	P  free objects are filled with a pattern                     [SLAB-8]
 *	U  who allocated and who freed it: owner.c                    [SLAB-14]
 *	Q  freed objects rest for a while: quarantine.c
 *	W  a page that cannot be touched behind each object: layout.c [SLAB-13]
 *
 *	| asked for | 0xcc..   given | word | owner |     in use: 0x5a.., word: the size, encoded
 *	|          object            | word | owner |     free: 0x6b.. a5, word and gap 0xbb
 *
 * The word says with how many bytes the object was asked for, twice, once inverted: a write past
 * the end leaves no such word, so that an overrun and a free with another size differ.
 * The language is that of Linux's slub_debug, and so are the values, for those who read dumps;
 * the encoded size is illumos kmem's idea.
 */
#include "slab/slab.h"

#include "base/format.h"
#include "base/math.h"

#define POISON_IN_USE 0x5a
#define POISON_FREE 0x6b
#define POISON_END 0xa5
#define RED_IN_USE 0xcc
#define RED_FREE 0xbb
#define WORD_MASK UINT64_C(0xcccccccccccccccc)
#define DEBUG_DEFAULT                                                                         \
	(ONDOL_SLAB_CONSISTENCY_CHECKS | ONDOL_SLAB_RED_ZONE | ONDOL_SLAB_POISON |            \
	 ONDOL_SLAB_STORE_USER)

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
	static const struct { char letter; uint32_t flag; } known[] = {
		{ 'f', ONDOL_SLAB_CONSISTENCY_CHECKS }, { 'z', ONDOL_SLAB_RED_ZONE },
		{ 'p', ONDOL_SLAB_POISON },             { 'u', ONDOL_SLAB_STORE_USER },
		{ 'q', ONDOL_SLAB_QUARANTINE },         { 'w', ONDOL_SLAB_FIREWALL },
	};
	uint32_t flags = 0;
	const char *at = *text;

	for (; *at && *at != ',' && *at != ';'; at++)
		for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++)
			if ((*at | 0x20) == known[i].letter)
				flags |= known[i].flag;
	if (at == *text) /* no letters: those that Linux takes */
		flags = DEBUG_DEFAULT;
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

/* Where the word is, from the object on. */
static uint32_t word_offset(const struct ondol_kmem_cache *cache)
{
	return (uint32_t)align_up(cache->object_size, sizeof(uint64_t));
}

uint32_t slab_debug_room(const struct ondol_kmem_cache *cache)
{
	return (cache->flags & ONDOL_SLAB_RED_ZONE ? sizeof(uint64_t) : 0) +
	       (cache->flags & ONDOL_SLAB_STORE_USER ? sizeof(struct slab_owner) : 0);
}

static uint64_t encode(uint32_t size)
{
	return ((uint64_t)size << 32 | (uint32_t)~size) ^ WORD_MASK;
}

/* False: somebody wrote over it. */
static bool decode(const struct ondol_kmem_cache *cache, const void *object, uint32_t *out_size)
{
	uint64_t word;

	__builtin_memcpy(&word, (const char *)object + word_offset(cache), sizeof word);
	word ^= WORD_MASK;
	*out_size = (uint32_t)(word >> 32);
	return (uint32_t)~word == *out_size && *out_size <= cache->object_size;
}

static void set_red_zone(const struct ondol_kmem_cache *cache, unsigned char *object,
			 uint32_t size, bool used)
{
	uint32_t end = word_offset(cache);
	uint64_t word = encode(size);

	if (!(cache->flags & ONDOL_SLAB_RED_ZONE))
		return;
	if (used) {
		__builtin_memset(object + size, RED_IN_USE, end - size);
		__builtin_memcpy(object + end, &word, sizeof word);
	} else {
		__builtin_memset(object + cache->object_size, RED_FREE,
				 end + sizeof word - cache->object_size);
	}
}

static bool all_are(const unsigned char *bytes, uint32_t from, uint32_t end, unsigned char value)
{
	for (uint32_t i = from; i < end; i++)
		if (bytes[i] != value)
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
	set_red_zone(cache, bytes, 0, false);
}

const char *slab_debug_check_free(const struct ondol_kmem_cache *cache, const void *object)
{
	const unsigned char *bytes = object;
	uint32_t last = cache->object_size - 1;

	if (cache->flags & ONDOL_SLAB_POISON &&
	    (!all_are(bytes, 0, last, POISON_FREE) || bytes[last] != POISON_END))
		return "SLAB-8";
	if (cache->flags & ONDOL_SLAB_RED_ZONE &&
	    !all_are(bytes, last + 1, word_offset(cache) + (uint32_t)sizeof(uint64_t), RED_FREE))
		return "SLAB-7";
	return NULL;
}

const char *slab_debug_check_used(const struct ondol_kmem_cache *cache, const void *object)
{
	uint32_t size;

	if (cache->flags & ONDOL_SLAB_RED_ZONE &&
	    (!decode(cache, object, &size) ||
	     !all_are(object, size, word_offset(cache), RED_IN_USE)))
		return "SLAB-7";
	return NULL;
}

/* Says whose it is before the panic says what is wrong. */
static void must_be_whole(const struct ondol_kmem_cache *cache, const void *object,
			  const char *broken)
{
	if (ondol_likely(!broken))
		return;
	log_printf(cache->m->port, ONDOL_LOG_ERR, "object %#llx of cache %s, %u bytes, is damaged",
		   (unsigned long long)(uintptr_t)object, cache->name, cache->object_size);
	if (cache->flags & ONDOL_SLAB_STORE_USER)
		slab_owner_tell(cache, object);
	ONDOL_VERIFY(cache->m, !broken, broken, (uintptr_t)object, (uintptr_t)cache);
}

void slab_debug_check_red_zone(const struct ondol_kmem_cache *cache, const void *object)
{
	must_be_whole(cache, object, slab_debug_check_used(cache, object));
}

void slab_debug_must_be_free(const struct ondol_kmem_cache *cache, const void *object)
{
	must_be_whole(cache, object, slab_debug_check_free(cache, object));
}

void slab_debug_resize(const struct ondol_kmem_cache *cache, void *object, uint32_t size)
{
	if (!(cache->flags & ONDOL_SLAB_RED_ZONE))
		return;
	slab_debug_check_red_zone(cache, object);
	set_red_zone(cache, object, size, true);
}

uint32_t slab_debug_asked(const struct ondol_kmem_cache *cache, const void *object)
{
	uint32_t size;

	slab_debug_check_red_zone(cache, object);
	(void)decode(cache, object, &size);
	return size;
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

void slab_debug_alloc(const struct ondol_kmem_cache *cache, void *object, uint32_t slack,
		      const void *caller)
{
	slab_debug_must_be_free(cache, object);
	if (cache->flags & ONDOL_SLAB_CONSISTENCY_CHECKS)
		check_chain(cache, slab_of(cache->m, object));
	if (cache->flags & ONDOL_SLAB_POISON)
		__builtin_memset(object, POISON_IN_USE, cache->object_size);
	set_red_zone(cache, object, cache->object_size - slack, true);
	if (cache->flags & ONDOL_SLAB_STORE_USER)
		slab_owner_note(cache, object, true, caller);
}

void slab_debug_free(const struct ondol_kmem_cache *cache, struct ondol_page *head, void *object,
		     const void *caller)
{
	slab_debug_check_red_zone(cache, object);
	if (cache->flags & ONDOL_SLAB_CONSISTENCY_CHECKS)
		check_chain(cache, head);
	slab_debug_init(cache, object);
	if (cache->flags & ONDOL_SLAB_STORE_USER)
		slab_owner_note(cache, object, false, caller);
}

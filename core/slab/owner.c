/* SPDX-License-Identifier: MIT */
/*
 * Who has an object (U): a record behind it, or at the start of its slab where the object ends
 * at a guard page.  Call sites are return addresses of the public calls, ages are the port's
 * clock.  A cache that is destroyed, or a machine that ends, while objects are out reports them
 * by call site, the most bytes first.
 *
 *   [SLAB-14] The record of an object says in use or free as its state does.
 */
#include "slab/slab.h"

#include "base/format.h"

#define SITES_MAX 32
#define SITES_TOLD 16

static const uint32_t tags[2] = { 0xf2eef2eeu, 0xa110ca7eu }; /* free; in use */

static struct slab_owner *owner_of(const struct ondol_kmem_cache *cache, const void *object)
{
	return (struct slab_owner *)((uintptr_t)object + (uintptr_t)(intptr_t)cache->owner_offset);
}

void slab_owner_note(const struct ondol_kmem_cache *cache, void *object, bool used,
		     const void *caller)
{
	const struct ondol_port *port = cache->m->port;
	struct slab_owner *owner = owner_of(cache, object);

	owner->by[used].caller = caller;
	owner->by[used].cpu = machine_this_cpu(cache->m);
	owner->by[used].when_ns = port->clock_ns ? port->clock_ns(port->ctx) : 0;
	owner->tag = tags[used];
}

void slab_owner_init(const struct ondol_kmem_cache *cache, void *object)
{
	struct slab_owner *owner = owner_of(cache, object);

	__builtin_memset(owner, 0, sizeof *owner);
	owner->tag = tags[false];
}

bool slab_owner_is(const struct ondol_kmem_cache *cache, const void *object, bool used)
{
	return owner_of(cache, object)->tag == tags[used];
}

static void tell(const struct ondol_kmem_cache *cache, const char *what, const struct slab_by *by)
{
	if (by->caller)
		log_printf(cache->m->port, ONDOL_LOG_ERR, "  %s by %#llx, cpu %u, at %llu us", what,
			   (unsigned long long)(uintptr_t)by->caller, by->cpu,
			   (unsigned long long)(by->when_ns / 1000));
}

void slab_owner_tell(const struct ondol_kmem_cache *cache, const void *object)
{
	const struct slab_owner *owner = owner_of(cache, object);

	tell(cache, "allocated", &owner->by[true]);
	tell(cache, "last freed", &owner->by[false]);
}

/* ------------------------------------------------------------------ leaks */

struct site {
	const void *caller;
	uint32_t nr;
	uint64_t oldest_ns;
};

struct sites {
	struct site site[SITES_MAX];
	uint32_t nr, others; /* sites; objects of sites beyond */
};

static void add_owner(struct sites *sites, const struct slab_by *by)
{
	uint32_t at = 0;

	while (at < sites->nr && sites->site[at].caller != by->caller)
		at++;
	if (at == SITES_MAX) {
		sites->others++;
		return;
	}
	if (at == sites->nr)
		sites->site[sites->nr++] = (struct site){ by->caller, 0, by->when_ns };
	sites->site[at].nr++;
	if (by->when_ns < sites->site[at].oldest_ns)
		sites->site[at].oldest_ns = by->when_ns;
}

static void add_slab(struct ondol_kmem_cache *cache, struct ondol_page *head, struct sites *sites)
{
	const uint16_t *states = slab_states(cache, head);

	for (uint32_t i = 0; i < cache->nr_objects; i++)
		if (states[i] >= SLAB_IN_USE && states[i] != SLAB_IN_MAGAZINE)
			add_owner(sites, &owner_of(cache, slab_object(cache, head, i))->by[true]);
}

static void sort_sites(struct sites *sites)
{
	for (uint32_t i = 1; i < sites->nr; i++) {
		struct site one = sites->site[i];
		uint32_t at = i;

		for (; at && sites->site[at - 1].nr < one.nr; at--)
			sites->site[at] = sites->site[at - 1];
		sites->site[at] = one;
	}
}

void slab_owner_report(struct ondol_kmem_cache *cache)
{
	const struct ondol_port *port = cache->m->port;
	struct sites sites = { .nr = 0 };
	uint64_t size = cache->object_size;
	uintptr_t irq = slab_lock(cache);

	for (uint32_t node = 0; node < cache->m->nr_nodes; node++)
		for (unsigned list = SLAB_FULL; list <= SLAB_PARTIAL; list++)
			for (uint32_t at = cache->node[node].head[list]; at != ONDOL_PAGE_NIL;
			     at = cache->m->pages[at].slab.next)
				add_slab(cache, &cache->m->pages[at], &sites);
	slab_unlock(cache, irq);
	sort_sites(&sites);
	for (uint32_t i = 0; i < sites.nr; i++) {
		const struct site *site = &sites.site[i];

		if (i >= SITES_TOLD) {
			sites.others += site->nr;
			continue;
		}
		log_printf(port, ONDOL_LOG_ERR,
			   "  %u objects, %llu bytes, from %#llx, since %llu us", site->nr,
			   (unsigned long long)(site->nr * size),
			   (unsigned long long)(uintptr_t)site->caller,
			   (unsigned long long)(site->oldest_ns / 1000));
	}
	if (sites.others)
		log_printf(port, ONDOL_LOG_ERR, "  %u objects from other places", sites.others);
}

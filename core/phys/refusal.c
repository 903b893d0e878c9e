/* SPDX-License-Identifier: MIT */
/*
 * Why a request for frames was refused, in numbers: zone by zone what was free, what had to stay,
 * and the largest block; as a struct and as text.
 */
#include "base/format.h"
#include "base/math.h"
#include "phys/pcp.h"
#include "phys/request.h"
#include "phys/section.h"

static const char *describe_refusal(const struct ondol_machine *m, const struct request *req,
				    const struct ondol_refusal *refusal)
{
	bool enough_free = false;

	if (req->order > m->phys->max_order)
		return "the order is above the highest that this profile has";
	if (!refusal->nr_zones)
		return "no zone of the kind asked for has memory";
	for (uint32_t i = 0; i < refusal->nr_zones; i++)
		if (refusal->zone[i].pages_free >= refusal->zone[i].watermark +
							   refusal->zone[i].lowmem_reserve +
							   (UINT64_C(1) << req->order))
			enough_free = true;
	return enough_free ? "memory is too fragmented for the order" :
			     "free memory would fall below the watermark";
}

int32_t fragmentation_index(uint64_t nr_blocks, uint64_t free, uint64_t usable, unsigned order)
{
	if (usable)
		return -1000;
	if (!nr_blocks)
		return 0;
	free = order < 64 ? free * 1000 >> order : 0; /* in blocks of the order */
	return 1000 - (int32_t)div_u64(1000 + free, (uint32_t)nr_blocks);
}

static void describe_zone(struct ondol_zone *zone, const struct request *req,
			  struct ondol_refusal *refusal)
{
	uint64_t usable = 0, nr_blocks = 0, listed = 0, blocks[ONDOL_MAX_ORDERS];
	struct ondol_refusal_zone *out = &refusal->zone[refusal->nr_zones++];
	int largest = -1;
	uint32_t free;
	uintptr_t irq = zone_lock(zone);

	free = zone->nr_free;
	section_free_blocks(zone, blocks);
	zone_unlock(zone, irq);
	for (unsigned order = 0; order <= zone->m->phys->max_order; order++) {
		usable += order >= req->order ? blocks[order] << order : 0;
		largest = blocks[order] ? (int)order : largest;
		nr_blocks += blocks[order];
	}
	for (uint32_t cpu = 0; cpu < zone->m->nr_cpus; cpu++)
		listed += pcp_pages(zone, cpu);
	out->largest_order = largest;
	out->name = ondol_zone_name(zone->type);
	out->node = zone->node;
	out->pages_free = free;
	out->pages_managed = zone->managed;
	out->pages_listed = listed;
	out->watermark = zone->watermark[WMARK_MIN];
	out->lowmem_reserve = zone->lowmem_reserve[req->highest];
	out->fragmentation_permille = free ? (uint32_t)div_u64((free - usable) * 1000, free) :
					     1000;
	out->fragmentation_index = fragmentation_index(nr_blocks, free, usable, req->order);
}

void request_refuse(struct ondol_machine *m, const struct request *req, const char *reason)
{
	struct ondol_phys_state *phys = m->phys;
	const struct ondol_node *node = req->preferred;
	struct ondol_refusal *refusal = &phys->refusal;
	uintptr_t irq = lock_irqsave(m->port, &phys->refusal_lock, phys->smp);

	refusal->gfp = req->gfp;
	refusal->order = req->order;
	refusal->node = req->node;
	refusal->nr_zones = 0;
	for (unsigned i = 0; i < node->nr_zonelist && refusal->nr_zones < 16; i++) {
		struct ondol_zone *zone = &phys->zones[node->zonelist[i]];

		if (zone->type <= req->highest && !req->over_limit &&
		    !(req->gfp & ONDOL_GFP_THISNODE && zone->node != node->id))
			describe_zone(zone, req, refusal);
	}
	refusal->reason = reason ? reason : describe_refusal(m, req, refusal);
	reason = refusal->reason;
	unlock_irqrestore(m->port, &phys->refusal_lock, phys->smp, irq);
	__atomic_add_fetch(&phys->nr_refused, 1, __ATOMIC_RELAXED);
	if (!(req->gfp & ONDOL_GFP_NOWARN))
		log_printf(m->port, ONDOL_LOG_WARN,
			   "page allocation refused: order %u, gfp %#x: %s", req->order, req->gfp,
			   reason);
}

void ondol_last_refusal(const struct ondol_machine *m, struct ondol_refusal *out_refusal)
{
	struct ondol_phys_state *phys = m->phys;
	uintptr_t irq = lock_irqsave(m->port, &phys->refusal_lock, phys->smp);

	*out_refusal = phys->refusal;
	unlock_irqrestore(m->port, &phys->refusal_lock, phys->smp, irq);
}

/* The order is what a caller asked for, and may be anything. */
static uint64_t order_pages(unsigned order)
{
	return order < 64 ? UINT64_C(1) << order : UINT64_MAX;
}

/* The first reason that holds against the zone. */
static const char *zone_verdict(const struct ondol_refusal *refusal,
				const struct ondol_refusal_zone *zone)
{
	uint64_t size = order_pages(refusal->order);

	if (zone->pages_free < size)
		return "too few are free";
	if (zone->pages_free - size < zone->watermark + zone->lowmem_reserve)
		return "the rest is kept back";
	if (zone->fragmentation_index >= 0)
		return "free, but in pieces";
	return "it could have served; another request was faster";
}

size_t ondol_refusal_text(const struct ondol_refusal *refusal, char *text, size_t size)
{
	size_t used = 0;

	if (!refusal->nr_zones && !refusal->reason)
		return format_string(text, size, "no request was refused\n");
	used += format_string(text, size, "refused: order %u (%llu pages), gfp %#x, node %d: %s\n",
			      refusal->order,
			      (unsigned long long)order_pages(refusal->order), refusal->gfp,
			      refusal->node, refusal->reason);
	for (uint32_t i = 0; i < refusal->nr_zones; i++) {
		const struct ondol_refusal_zone *zone = &refusal->zone[i];
		size_t at = used < size ? used : size ? size - 1 : 0;

		used += format_string(
			text + at, size - at,
			"  node %u %s: %llu of %llu pages free, %llu on CPUs' lists; kept back "
			"%llu + %llu; largest block order %d; fragmentation %u/1000, index %d: "
			"%s\n",
			zone->node, zone->name, (unsigned long long)zone->pages_free,
			(unsigned long long)zone->pages_managed,
			(unsigned long long)zone->pages_listed,
			(unsigned long long)zone->watermark,
			(unsigned long long)zone->lowmem_reserve, zone->largest_order,
			zone->fragmentation_permille, zone->fragmentation_index,
			zone_verdict(refusal, zone));
	}
	return used;
}

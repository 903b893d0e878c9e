/* SPDX-License-Identifier: MIT */
/*
 * Sections: the unit in which page records are written.
 *
 * The array of 4 GiB is 32 MiB of records.  A machine described with `deferred_init` writes at
 * first none of them; their memory is not touched, neither read nor written, so that on a sparse
 * memory file it costs nothing.
 *
 *	sections   |0       |1 ready |2 ready |3       |4       |
 *	zones      |DMA|DMA32----------------------------|NORMAL|   (two of DMA32 were asked for)
 *	zone.nr_free      on lists + in other sections = zone.deferred
 *
 * What is deferred counts as free in every figure, watermarks included.  Only when a zone that
 * may serve a request finds no block on its lists does it bring up one more section; that is
 * before another zone is asked, before anything is drained, reclaimed or refused.
 *
 * A section is no smaller than the largest block: buddies are of one section, and neither
 * merging nor a pageblock reaches into one without records.  Which frames it has is not in its
 * records but in the memory map, which stays for this.
 *
 * [ZONE-6] zone.deferred counts the zone's free frames in sections without records, and no list
 *          or pair map knows a block there.
 *
 * Concurrency.  Bringing up is under phys.section_lock, outside of the zones' locks.  A section
 * is marked ready once its records are written and before its first block is on a list.
 */
#include "phys/section.h"

#include "base/bitmap.h"
#include "base/math.h"
#include "phys/buddy.h"
#include "phys/order.h"
#include "phys/shelf.h"

/* 8 MiB: 64 KiB of records, which on a memory file cost 16 page faults of the host. */
#define SECTION_ORDER 11

static uint32_t nr_sections(const struct ondol_machine *m)
{
	return section_of(m, (uint32_t)(m->nr_pages - 1)) + 1;
}

uint64_t section_map_bytes(const struct ondol_machine *m)
{
	return m->phys->deferred_init ? bitmap_bytes(nr_sections(m)) : 0;
}

unsigned section_order_for(unsigned max_order)
{
	return max_order > SECTION_ORDER ? max_order : SECTION_ORDER;
}

/* ------------------------------------------------------------------ what the map says */

struct piece { /* frames [start, end): indices in one zone, all free, offline or reserved */
	uint32_t start, end;
	struct ondol_zone *zone;
	bool free, offline;
};

/* The first piece that begins in [at, end), or reaches into it. */
static bool next_piece(const struct ondol_machine *m, uint64_t at, uint64_t end,
		       struct piece *out)
{
	const struct memblock *mb = &m->phys->memblock;
	uint64_t start = m->first_pfn + at, last = m->first_pfn + end, type_end;
	struct memblock_range run;
	uint32_t i = 0;
	unsigned type;

	while (i < mb->nr_memory && mb->memory[i].end <= start)
		i++;
	if (at >= end || i == mb->nr_memory || mb->memory[i].start >= last)
		return false;
	start = max_u64(start, mb->memory[i].start);
	type = phys_type_of_pfn(m, &mb->memory[i], start, &type_end);
	last = min_u64(min_u64(last, mb->memory[i].end), type_end);
	out->zone = &m->phys->zones[zone_id(mb->memory[i].node, type)];
	out->free = out->offline = false;
	if (memblock_next_run(mb, start, &run) && run.start < last) {
		bool open = run.start == start;

		out->free = open && run.type == ONDOL_MEM_USABLE;
		out->offline = open && run.type == ONDOL_MEM_OFFLINE;
		last = open ? min_u64(last, run.end) : run.start;
	}
	out->start = (uint32_t)(start - m->first_pfn);
	out->end = (uint32_t)(last - m->first_pfn);
	return true;
}

#define piece_for_each(m, piece, from, to)                                                    \
	for (uint64_t at_ = (from); next_piece(m, at_, to, &(piece)); at_ = (piece).end)

static uint64_t section_start(const struct ondol_machine *m, uint32_t section)
{
	return (uint64_t)section << m->phys->section_order;
}

static uint64_t section_end(const struct ondol_machine *m, uint32_t section)
{
	return min_u64(section_start(m, section + 1), m->nr_pages);
}

struct section_frames section_count(const struct ondol_zone *zone, uint32_t section)
{
	struct section_frames count = { 0, 0 };
	struct piece piece;

	piece_for_each(zone->m, piece, section_start(zone->m, section),
		       section_end(zone->m, section)) {
		if (piece.zone != zone)
			continue;
		count.present += piece.end - piece.start;
		count.free += piece.free ? piece.end - piece.start : 0;
	}
	return count;
}

void section_free_blocks(const struct ondol_zone *zone, uint64_t blocks[ONDOL_MAX_ORDERS])
{
	const struct ondol_machine *m = zone->m;
	uint32_t last = section_of(m, zone->end - 1);
	struct piece piece;
	unsigned order;

	for (order = 0; order < ONDOL_MAX_ORDERS; order++)
		blocks[order] = load_relaxed(&zone->free_area[order].nr_free);
	for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++)
		shelf_count_blocks(zone, type, blocks);
	if (!load_relaxed(&zone->deferred))
		return;
	for (uint32_t section = section_of(m, zone->start); section <= last; section++) {
		if (!section_is_deferred(m, section))
			continue;
		piece_for_each(m, piece, section_start(m, section), section_end(m, section)) {
			if (piece.zone != zone || !piece.free)
				continue;
			for (uint32_t at = piece.start; at < piece.end; at += 1u << order) {
				order = order_at(at, piece.end, m->phys->max_order);
				blocks[order]++;
			}
		}
	}
}

/* ------------------------------------------------------------------ bringing up */

static void set_records(struct ondol_page *pages, uint32_t start, uint32_t end, uint32_t flags)
{
	struct ondol_page blank = { .flags = flags };

	for (uint32_t i = start; i < end; i++)
		pages[i] = blank;
}

/* To the zone's buddy, in the largest blocks that fit. */
static void give_piece(const struct piece *piece)
{
	struct ondol_zone *zone = piece->zone;
	uintptr_t irq = zone_lock(zone);
	unsigned order;

	for (uint32_t at = piece->start; at < piece->end; at += 1u << order) {
		order = order_at(at, piece->end, zone->m->phys->max_order);
		buddy_give_deferred(zone, at, order);
	}
	zone_unlock(zone, irq);
}

/* Under section_lock. */
static void bring_up(const struct ondol_machine *m, uint32_t section)
{
	uint64_t start = section_start(m, section), end = section_end(m, section);
	uint32_t *ready = m->phys->section_ready;
	const struct ondol_port *port = m->port;
	uint32_t done = (uint32_t)start;
	struct piece piece;

	if (port->will_write)
		port->will_write(port->ctx, &m->pages[start], (end - start) * sizeof *m->pages);
	piece_for_each(m, piece, start, end) {
		set_records(m->pages, done, piece.start, ONDOL_PG_HOLE | ONDOL_PAGE_RESERVED);
		set_records(m->pages, piece.start, piece.end,
			    piece.zone->flags | (piece.free ? 0 : ONDOL_PAGE_RESERVED) |
				    (piece.offline ? ONDOL_PG_OFFLINE : 0));
		done = piece.end;
	}
	set_records(m->pages, done, (uint32_t)end, ONDOL_PG_HOLE | ONDOL_PAGE_RESERVED);
	if (ready)
		__atomic_fetch_or(&ready[section >> 5], UINT32_C(1) << (section & 31),
				  __ATOMIC_RELEASE);
	piece_for_each(m, piece, start, end)
		if (piece.free)
			give_piece(&piece);
}

/* The zone's next section that has something for it; it has deferred frames. */
static uint32_t next_section(struct ondol_zone *zone)
{
	uint32_t section = zone->next_section;

	while (!section_is_deferred(zone->m, section) || !section_count(zone, section).free)
		section++;
	zone->next_section = section + 1;
	return section;
}

void section_grow(struct ondol_zone *zone, uint32_t seen)
{
	struct ondol_phys_state *phys = zone->m->phys;
	uintptr_t irq = lock_irqsave(zone->m->port, &phys->section_lock, phys->smp);

	if (load_relaxed(&zone->deferred) == seen && seen)
		bring_up(zone->m, next_section(zone));
	unlock_irqrestore(zone->m->port, &phys->section_lock, phys->smp, irq);
}

void section_bring_up(const struct ondol_machine *m, uint32_t index)
{
	struct ondol_phys_state *phys = m->phys;
	uint32_t section = section_of(m, index);
	uintptr_t irq;

	if (ondol_likely(!section_is_deferred(m, section)))
		return;
	irq = lock_irqsave(m->port, &phys->section_lock, phys->smp);
	if (section_is_deferred(m, section))
		bring_up(m, section);
	unlock_irqrestore(m->port, &phys->section_lock, phys->smp, irq);
}

void section_init(struct ondol_machine *m)
{
	struct ondol_phys_state *phys = m->phys;
	struct ondol_zone *zone;
	struct piece piece;

	piece_for_each(m, piece, 0, m->nr_pages) {
		uint32_t nr = piece.free ? piece.end - piece.start : 0;

		piece.zone->managed += nr;
		piece.zone->nr_free += nr;
		piece.zone->deferred += nr;
		phys->managed += nr;
	}
	zone_for_each(phys, zone, i)
		zone->next_section = section_of(m, zone->start);
	for (uint32_t section = 0; !phys->deferred_init && section < nr_sections(m); section++)
		bring_up(m, section);
}

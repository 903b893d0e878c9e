/* SPDX-License-Identifier: MIT */
/*
 * Compaction: pages move together, so that what is free becomes large blocks again.
 *
 * 1 What problem.  After a while of use every block of 2 MiB has some frame in use, and a
 *   request for a whole one fails with half of memory free.  What can move is most of it: private
 *   memory and page cache are reached through page tables and an index, which can be made to
 *   name other frames (migrate.c).
 *
 * 2 Terms.  migrate scanner: goes up from the zone's start and collects pages to be moved.  free
 *   scanner: comes down from its end and collects free frames for them.  unit: the block, aligned,
 *   that is to become free: of the order that is asked for, else a pageblock.
 *
 * 3 How it works.
 *
 *	before   |a.a.|..a.|K.a.|.aa.|a..a|....|    a: can move, K: cannot, .: free
 *	          --> migrate scanner     <-- free scanner
 *	after    |....|....|K.a.|aaa.|aaaa|....|
 *
 *   The migrate scanner leaves out units that hold anything fixed, since those would not become
 *   free; the free scanner those that are free already, and pageblocks that are kept for what
 *   cannot move.  Done when they meet or, for a request, when there is a block of its order.
 *
 *   Since no frame knows who maps it, a batch of pages costs three walks over all page tables
 *   (what must stay, unmap, remap), however many they are.  So batches are large: as many frames
 *   as may be taken without the zone falling below its min watermark.
 *
 * 4 What stays: pages of locked regions, those around a fault that is being handled, those that
 *   the port's `busy` keeps, and who has references beyond its entries.  For a request only
 *   private memory moves, since whoever makes it may have a hold of a mapping's lock.
 *
 * 5 Concurrency.  As migrate.c: nothing else runs.  The zone's lock is taken a unit at a time.
 * 6 What can fail.  Nothing is allocated.  A page that does not move keeps its frame, and the frame
 *   that it would have got is free again.
 * 7 How to see it.  compact_* and pgmigrate_* in /proc/vmstat; bench/compact.c.
 * 8 Sources.  Linux mm/compaction.c and its terms; Gorman and Whitcroft, "Supporting the Allocation
 *   of Large Contiguous Regions of Memory" (2007).
 */
#include "phys/buddy.h"
#include "phys/range.h"
#include "phys/section.h"
#include "virt/virt.h"

#define BATCH_MIN 256u /* frames: of a request, so that the next ones need no walks */

struct compaction {
	struct ondol_machine *m;
	struct ondol_zone *zone;
	struct migration mig;
	uint32_t unit;       /* frames */
	uint32_t migrate_at; /* first unit that was not looked at from below */
	uint32_t free_at;    /* end of the last one that was not looked at from above */
	uint32_t targets, nr_targets; /* free frames taken, by data.next */
	bool anon_only;
};

static void note(unsigned long *counter, unsigned long n)
{
	add_relaxed(counter, n);
}

/* Pages of the unit that are to move; 0: none, or moving them would not make it free. */
static uint32_t worth_moving(struct compaction *c, uint32_t at)
{
	struct range_survey s;

	range_survey(c->zone, at, at + c->unit, &s);
	note(&c->m->phys->compact.migrate_scanned, c->unit);
	if (s.fixed || (c->anon_only && s.cached))
		return 0;
	return s.anon + s.cached;
}

static bool is_target(struct compaction *c, uint32_t at)
{
	struct range_survey s;

	note(&c->m->phys->compact.free_scanned, c->unit);
	if (buddy_block_type(c->zone, at) != MIGRATE_MOVABLE && c->zone->pageblock_type)
		return false;
	if (section_is_deferred(c->m, section_of(c->m, at)))
		return false;
	range_survey(c->zone, at, at + c->unit, &s);
	return s.free < c->unit;
}

/* So many frames to move into, from above; false: there are not so many. */
static bool take_targets(struct compaction *c, uint32_t want)
{
	while (c->nr_targets < want && c->free_at - c->unit > c->migrate_at) {
		uint32_t at = c->free_at - c->unit, n = 0;

		if (is_target(c, at))
			n = range_take_free(c->zone, at, c->free_at, want - c->nr_targets,
					    &c->targets);
		c->nr_targets += n;
		note(&c->m->phys->compact.isolated, n);
		if (c->nr_targets < want)
			c->free_at = at;
	}
	return c->nr_targets >= want;
}

static struct ondol_page *target_pop(struct compaction *c)
{
	struct ondol_page *page = &c->m->pages[c->targets];

	c->targets = page->data.next;
	c->nr_targets--;
	return page;
}

static void targets_free(struct compaction *c)
{
	while (c->nr_targets)
		ondol_free_pages(c->m, target_pop(c), 0);
}

/* The pages of the unit, for which there are targets, are on their way. */
static void add_unit(struct compaction *c, uint32_t at)
{
	struct ondol_machine *m = c->m;

	for (uint32_t i = at; i < at + c->unit && c->nr_targets; i++) {
		struct ondol_page *old = &m->pages[i], *new;

		if (section_is_deferred(m, section_of(m, i)) || !range_is_movable(old))
			continue;
		new = target_pop(c);
		if (migrate_add(&c->mig, old, new))
			note(&m->phys->compact.isolated, 1);
		else
			ondol_free_pages(m, new, 0);
	}
}

/* Frames that may be out beyond what is in use while a batch moves. */
static uint32_t batch_room(const struct ondol_zone *zone)
{
	uint32_t free = load_relaxed(&zone->nr_free), kept = zone->watermark[WMARK_MIN];

	return free > kept ? free - kept : 0;
}

/* Collect pages and frames for them, `most` pages if the first unit has no more.  Any? */
static bool collect(struct compaction *c, uint32_t most)
{
	uint32_t n = 0, room = batch_room(c->zone);

	c->mig = (struct migration){ .m = c->m, .first = ONDOL_PAGE_NIL };
	while (c->free_at >= c->migrate_at + 2 * c->unit) {
		uint32_t moving = worth_moving(c, c->migrate_at);

		if (moving && n && n + moving > most)
			break;
		if (moving && (n + moving > room || !take_targets(c, moving))) {
			if (!n)
				c->free_at = c->migrate_at; /* done */
			break;
		}
		if (moving)
			add_unit(c, c->migrate_at);
		n += moving;
		c->migrate_at += c->unit;
	}
	targets_free(c);
	return n;
}

/* A batch; returns how many frames it moved, or -1: there was nothing to move any more. */
static int64_t compact_batch(struct compaction *c, uint32_t most)
{
	uint64_t moved = c->m->virt->nr_migrated;

	if (!collect(c, most))
		return -1;
	migrate_veto(&c->mig);
	migrate_run(&c->mig, NULL, 0);
	(void)migrate_finish(&c->mig);
	phys_settle(c->m);
	return (int64_t)(c->m->virt->nr_migrated - moved);
}

static struct compaction compaction_of(struct ondol_zone *zone, unsigned order)
{
	uint32_t unit = 1u << order;

	phys_settle(zone->m);
	return (struct compaction){
		.m = zone->m,
		.zone = zone,
		.unit = unit,
		.migrate_at = (zone->start + unit - 1) & ~(unit - 1),
		.free_at = zone->end & ~(unit - 1),
		.targets = ONDOL_PAGE_NIL,
	};
}

static bool has_block(struct ondol_zone *zone, unsigned order)
{
	uint64_t blocks[ONDOL_MAX_ORDERS], nr = 0;
	uintptr_t irq = zone_lock(zone);

	section_free_blocks(zone, blocks);
	zone_unlock(zone, irq);
	for (; order <= zone->m->phys->max_order; order++)
		nr += blocks[order];
	return nr;
}

bool virt_compact(struct ondol_machine *m, struct ondol_zone *zone, unsigned order)
{
	struct compaction c = compaction_of(zone, order);

	(void)m;
	c.anon_only = true;
	while (!has_block(zone, order))
		if (compact_batch(&c, BATCH_MIN) < 0)
			return false;
	return true;
}

uint64_t ondol_compact_zone(struct ondol_machine *m, uint32_t node, enum ondol_zone_type type)
{
	uint64_t moved = 0;

	if (node >= m->nr_nodes || (unsigned)type >= ONDOL_NR_ZONES)
		return 0;
	struct ondol_zone *zone = &m->phys->zones[zone_id(node, type)];

	if (!zone->present)
		return 0;
	struct compaction c = compaction_of(zone, m->phys->pageblock_order);

	for (int64_t n; (n = compact_batch(&c, UINT32_MAX)) >= 0;)
		moved += (uint64_t)n;
	return moved;
}

uint64_t ondol_compact_node(struct ondol_machine *m, uint32_t node)
{
	uint64_t moved = 0;

	for (unsigned type = 0; type < ONDOL_NR_ZONES; type++)
		moved += ondol_compact_zone(m, node, (enum ondol_zone_type)type);
	return moved;
}

/* SPDX-License-Identifier: MIT */
/*
 * After a fork parent and child fault on whatever they write to next, a page of the stack, of the
 * heap, of a library's data, a relay each: most of what a fork costs.  A program that forks does
 * so again (a shell, a build), and goes on in the same places.  So the places where it faulted
 * first after a fork are remembered, and mapped after its next one for both, all in one go, before
 * they run.  What nobody writes to then has been copied for nothing: a few pages a place, a third
 * of what the relay costs.
 *
 * A place that is mapped ahead does not fault any more, so it would stay remembered for ever:
 * every FORKS_LEARNT forks the list begins anew.
 */
#include "internal.h"

#define FAULTS_LOOKED_AT 12
#define FORKS_LEARNT 32
#define PLACE_BYTES (16 * PAGE_BYTES)

/* A fault of the program's, about to be served. */
void fork_ahead_note(struct guest_mm *g, uint64_t addr)
{
	struct places *p = &g->places;

	if (!p->left)
		return;
	p->left--;
	for (uint32_t i = 0; i < p->nr; i++)
		if (p->addr[i] / PLACE_BYTES == addr / PLACE_BYTES)
			return;
	if (p->nr < PLACES && page_is_there(g, addr)) /* what is new will not be, the next time */
		p->addr[p->nr++] = addr;
}

static void map_places(struct monitor *mon, struct guest_mm *g, const struct places *places)
{
	for (uint32_t i = 0; i < places->nr; i++)
		if (page_is_there(g, places->addr[i]))
			fault_ahead(mon, g, places->addr[i], PLACE_BYTES / PAGE_BYTES,
				    ONDOL_VM_READ | ONDOL_VM_WRITE);
	worker_kick(g);
}

/* The child is ready to run, and the parent to go on. */
void fork_ahead(struct monitor *mon, struct guest_mm *parent, struct guest_mm *child)
{
	struct places *places = &parent->places;

	if (places->nr_forks++ % FORKS_LEARNT == 0)
		places->nr = 0;
	places->left = FAULTS_LOOKED_AT;
	child->places = *places;
	if (pages_to_spare(mon) < mon->pages_plenty)
		return;
	map_places(mon, child, places);
	map_places(mon, parent, places);
	worker_wait(mon, child);
	worker_wait(mon, parent);
}

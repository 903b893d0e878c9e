/* SPDX-License-Identifier: MIT */
/* What moving pages out of a range needs of range.c: see the theory there. */
#ifndef ONDOL_PHYS_RANGE_H
#define ONDOL_PHYS_RANGE_H

#include "phys/zone.h"

/*
 * Of a compound block that was just allocated, of 2^order frames, the caller keeps the first `nr`,
 * 2 at least; the others go back.  range_free undoes all of it.
 */
void range_trim(struct ondol_machine *m, struct ondol_page *head, unsigned order, uint32_t nr);
void range_free(struct ondol_machine *m, struct ondol_page *head, uint32_t nr);

/* A frame that the caller alone has, of use KERNEL, is held for the range from now on. */
void range_hold(struct ondol_machine *m, struct ondol_page *page);

/* Its contents can be moved to another frame: a single one of private memory or page cache. */
static inline bool range_is_movable(const struct ondol_page *page)
{
	uint32_t flags = __atomic_load_n(&page->flags, __ATOMIC_RELAXED);
	uint32_t use = flags & ONDOL_PG_USE_MASK;

	return !(flags & (ONDOL_PG_HELD | ONDOL_PG_COMP | ONDOL_PG_TAIL)) && !page_order(page) &&
	       (use == ONDOL_PAGE_ANON || use == ONDOL_PAGE_CACHE);
}

/* What is in [start, end); records that are not written yet are of free frames. */
struct range_survey {
	uint32_t free, anon, cached; /* frames */
	bool fixed;                  /* others: the rest was not looked at */
};
void range_survey(struct ondol_zone *zone, uint32_t start, uint32_t end,
		  struct range_survey *out);
/*
 * Up to `max` free frames of [start, end), which have records, become single ones of the caller's,
 * of use KERNEL, put in front of the chain (by data.next).  Returns how many.
 */
uint32_t range_take_free(struct ondol_zone *zone, uint32_t start, uint32_t end, uint32_t max,
			 uint32_t *chain);

#endif /* ONDOL_PHYS_RANGE_H */

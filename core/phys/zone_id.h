/* SPDX-License-Identifier: MIT */
/*
 * The number of a zone, of a node and a type: where it stands in the array of all zones, and how
 * a page record names it (page.h).  Proved by `make proof`: see order.h.
 */
#ifndef ONDOL_PHYS_ZONE_ID_H
#define ONDOL_PHYS_ZONE_ID_H

#define ZONE_ID_BITS 9

/*@ requires node < 64 && type < 8;
    assigns \nothing;
    ensures in_range: \result < 512;
    ensures one_to_one: \result / 8 == node && \result % 8 == type; */
static inline unsigned zone_id(unsigned node, unsigned type)
{
	return node * 8 + type;
}

#endif /* ONDOL_PHYS_ZONE_ID_H */

/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of blocks: a block of order k is 2^k frames that begin at a multiple of 2^k.
 *
 * The contracts are ACSL: `make proof` proves that the functions keep them, for all values, and
 * that nothing in them overflows.  pow2(k) is 2^k: tests/proof/bits.h.
 */
#ifndef ONDOL_PHYS_ORDER_H
#define ONDOL_PHYS_ORDER_H

#include <stdint.h>

#include "base/math.h"

/* The block beside this one, with which it makes one of order + 1. */
/*@ requires order < 31 && index % pow2(order) == 0;
    assigns \nothing;
    ensures other: \result != index && \result % pow2(order) == 0;
    ensures beside: \result == index + pow2(order) || \result == index - pow2(order);
    ensures pair: \result / pow2(order + 1) == index / pow2(order + 1); */
static inline uint32_t order_buddy(uint32_t index, unsigned order)
{
	return index ^ (UINT32_C(1) << order);
}

/* The pairs of an order that touch frames [start, end). */
/*@ requires start < end && order < 31;
    assigns \nothing;
    ensures \result == (end - 1) / pow2(order + 1) - start / pow2(order + 1) + 1;
    ensures \result >= 1; */
static inline uint32_t order_nr_pairs(uint32_t start, uint32_t end, unsigned order)
{
	return ((end - 1) >> (order + 1)) - (start >> (order + 1)) + 1;
}

/* Which of them the frame is in: the number of its bit in `map`. */
/*@ requires start <= index && order < 31;
    assigns \nothing;
    ensures \result == index / pow2(order + 1) - start / pow2(order + 1);
    ensures in_map: \forall integer end; index < end ==>
              \result < (end - 1) / pow2(order + 1) - start / pow2(order + 1) + 1; */
static inline uint32_t order_pair(uint32_t start, uint32_t index, unsigned order)
{
	return (index >> (order + 1)) - (start >> (order + 1));
}

/* The order of the largest block, `most` at most, that begins at `start` and fits before `end`. */
/*@ requires start < end && most < 31;
    assigns \nothing;
    ensures \result <= most;
    ensures aligned: start % pow2(\result) == 0;
    ensures fits: start + pow2(\result) <= end;
    ensures largest: \result == most || start % pow2(\result + 1) != 0 ||
              start + pow2(\result + 1) > end; */
static inline unsigned order_at(uint32_t start, uint32_t end, unsigned most)
{
	unsigned order = log2_u64(end - start);

	if (order > most)
		order = most;
	if (start && order > (unsigned)__builtin_ctz(start))
		order = (unsigned)__builtin_ctz(start);
	return order;
}

#endif /* ONDOL_PHYS_ORDER_H */

/* SPDX-License-Identifier: MIT */
/*
 * Traces of page allocations.  A block that is out has a slot: the one given back last, or a new
 * one.  Each event is its kind in three bits and a number: four bits and, where bit 7 says so,
 * more bytes of seven bits, lowest first.
 *
 *	alloc   the order; the type is in the kind
 *	free    the slot, as zigzag difference to the one before
 *	split   the same; the other frames get the next slots
 */
#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

#include <stdbool.h>
#include <stdint.h>

enum { TRACE_MOVABLE, TRACE_UNMOVABLE, TRACE_FREE, TRACE_SPLIT };
#define TRACE_SLOTS (1u << 20)

struct trace_slots {
	uint32_t given[TRACE_SLOTS], nr_given, nr;
};

static inline uint32_t trace_slot_take(struct trace_slots *slots)
{
	return slots->nr_given ? slots->given[--slots->nr_given] : slots->nr++;
}

static inline void trace_slot_give(struct trace_slots *slots, uint32_t slot)
{
	slots->given[slots->nr_given++] = slot;
}

static inline uint32_t trace_zigzag(int32_t n)
{
	return (uint32_t)n << 1 ^ (uint32_t)(n >> 31);
}

static inline int32_t trace_unzigzag(uint32_t n)
{
	return (int32_t)(n >> 1) ^ -(int32_t)(n & 1);
}

#endif /* BENCH_TRACE_H */

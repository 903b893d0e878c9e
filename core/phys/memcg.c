/* SPDX-License-Identifier: MIT */
/*
 * Limits of a machine's programs.
 *
 * 1 What problem.  A program should do with less memory than there is, and be told as Linux tells
 *   it: by taking back and by ending (memory.max), or by taking back and by waiting
 *   (memory.high).  A smaller machine is something else: its own records and its caches' share of
 *   it shrink, too, and it has no limit that is not a wall.
 *
 * 2 Terms.  charged: frames whose use is not KERNEL.  A frame is of use KERNEL from when it is
 *   handed out until somebody says what it is for (ondol_page_set_use), and is charged then.
 *   admitted: a request that may go on to the zones.
 *
 * 3 How it works.
 *
 *	0 ............... high ................ max
 *	|  as ever         |  after a request:   |  before a request: reclaim until it fits,
 *	|                  |  reclaim; wait      |  or refuse it
 *
 *   Charging is one addition where the use of a frame changes and where it is freed; both count
 *   frames by use already.  Admission is asked by every request: with limits no request takes the
 *   way past alloc_request (page_alloc.c), as with a fail plan.  Without limits there is one
 *   branch where a use changes and nothing elsewhere.
 *   Taking back is what the allocator does when frames run out: the shrinkers.
 *   Waiting is the embedder's, who knows the threads: ondol_memcg_over_high says how long.
 *
 * 4 Invariants.
 *   [MEMCG-1] With limits, charged is the number of frames of a use other than KERNEL.
 *
 * 5 Concurrency.  Counters are atomic.  Requests that are admitted at the same moment may go
 *   beyond `max` by what they ask for.
 * 6 What can fail.  Nothing here allocates.
 * 7 How to see it.  ondol_memcg_stats; a refusal's reason is memcg_refusal.
 * 8 What Linux does differently: groups are many and nest, and a frame belongs to one of them; slab
 *   is charged by the object.  Sources: Documentation/admin-guide/cgroup-v2.rst, "Memory".
 */
#include "phys/memcg.h"

#include "base/math.h"
#include "phys/request.h"

#define ROUNDS 16         /* of reclaim, before it is given up */
#define RECLAIM_BATCH 32u /* pages asked for at least */
#define SHARE_SHIFT 20    /* shares of `high` are counted in millionths or so */
#define SHARE_MOST 16u    /* beyond 16 times `high` nothing gets worse */
#define HOLD_LEAST 10000u /* microseconds; shorter ones are not worth it */
#define HOLD_MOST 2000000u

const char memcg_refusal[] = "memory.max, the limit of the run, is reached, and nothing more can "
			     "be taken back";

static inline uint64_t charged(const struct ondol_machine *m)
{
	return __atomic_load_n(&m->memcg.charged, __ATOMIC_RELAXED);
}

static inline void count(uint64_t *event)
{
	__atomic_fetch_add(event, 1, __ATOMIC_RELAXED);
}

static inline bool is_charged(unsigned use)
{
	return use > ONDOL_PAGE_KERNEL;
}

void memcg_recharge(struct ondol_machine *m, unsigned old, unsigned use, unsigned order)
{
	uint64_t nr = UINT64_C(1) << order, now, peak;

	if (is_charged(old) == is_charged(use))
		return;
	if (is_charged(old)) {
		__atomic_fetch_sub(&m->memcg.charged, nr, __ATOMIC_RELAXED);
		return;
	}
	now = __atomic_add_fetch(&m->memcg.charged, nr, __ATOMIC_RELAXED);
	peak = __atomic_load_n(&m->memcg.peak, __ATOMIC_RELAXED);
	while (now > peak && !__atomic_compare_exchange_n(&m->memcg.peak, &peak, now, true,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static inline bool fits(const struct ondol_machine *m, uint64_t nr_pages, uint64_t limit)
{
	uint64_t now = charged(m);

	return now <= limit && nr_pages <= limit - now;
}

/* Reclaim until so many pages fit, or nothing comes any more. */
static bool make_room(struct ondol_machine *m, uint64_t nr_pages, uint64_t limit)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t too_much = charged(m) + nr_pages;

		too_much = too_much > limit ? too_much - limit : 0;
		if (!phys_shrink(m, max_u64(too_much, RECLAIM_BATCH)))
			break;
		if (fits(m, nr_pages, limit))
			return true;
	}
	return fits(m, nr_pages, limit); /* somebody else may have freed */
}

void memcg_make_room(struct ondol_machine *m, uint64_t nr_pages)
{
	if (m->memcg.on && !fits(m, nr_pages, m->memcg.limits.max))
		(void)make_room(m, nr_pages, m->memcg.limits.max);
}

bool memcg_admit(struct ondol_machine *m, ondol_gfp_t gfp, uint64_t nr_pages)
{
	uint64_t limit = m->memcg.limits.max;

	if (ondol_likely(fits(m, nr_pages, limit)) ||
	    gfp & (ONDOL_GFP_MEMALLOC | ONDOL_GFP_NOFAIL))
		return true;
	/* It has another way, or it would not ask so: small pages instead of a large one. */
	if (!(gfp & ONDOL_GFP_RECLAIM) || gfp & ONDOL_GFP_NORETRY)
		return false;
	count(&m->memcg.nr_max);
	if (make_room(m, nr_pages, limit))
		return true;
	count(&m->memcg.nr_oom);
	return false;
}

/* How long for nr_pages, in nanoseconds: the square of the share that is too much. */
static uint64_t time_to_hold(uint64_t now, uint64_t high, uint32_t nr_pages)
{
	const uint64_t most = (uint64_t)SHARE_MOST << SHARE_SHIFT;
	uint64_t share, us;

	high = max_u64(min_u64(high, UINT32_MAX), 1);
	share = min_u64(div_u64((now - high) << SHARE_SHIFT, (uint32_t)high), most);
	us = ((share * share >> SHARE_SHIFT) * min_u64(nr_pages, 512) * 1000000) >> SHARE_SHIFT;
	return us <= HOLD_LEAST ? 0 : min_u64(us, HOLD_MOST) * 1000;
}

uint64_t ondol_memcg_over_high(struct ondol_machine *m, uint32_t nr_pages)
{
	uint64_t high = m->memcg.limits.high, now;

	if (ondol_likely(!m->memcg.on) || charged(m) <= high)
		return 0;
	count(&m->memcg.nr_high);
	(void)make_room(m, 0, high);
	now = charged(m);
	return now > high ? time_to_hold(now, high, nr_pages) : 0;
}

uint64_t ondol_memcg_room(const struct ondol_machine *m)
{
	uint64_t limit = min_u64(m->memcg.limits.max, m->memcg.limits.high), now = charged(m);

	if (!m->memcg.on)
		return UINT64_MAX;
	return now < limit ? limit - now : 0;
}

static uint64_t count_charged(struct ondol_machine *m)
{
	uint64_t nr = 0;

	for (unsigned use = ONDOL_PAGE_SLAB; use < ONDOL_NR_PAGE_USES; use++)
		nr += (uint64_t)phys_use_count(m, (enum ondol_page_use)use);
	return nr;
}

void ondol_memcg_set(struct ondol_machine *m, const struct ondol_memcg_limits *limits)
{
	m->memcg.limits = *limits;
	m->memcg.on = limits->max != ONDOL_MEMCG_NONE || limits->high != ONDOL_MEMCG_NONE;
	m->memcg.charged = m->memcg.on ? count_charged(m) : 0;
	m->memcg.peak = m->memcg.on ? max_u64(m->memcg.peak, m->memcg.charged) : 0;
	phys_choose_way(m);
	if (m->memcg.on && !fits(m, 0, min_u64(limits->max, limits->high)))
		(void)make_room(m, 0, min_u64(limits->max, limits->high));
}

void ondol_memcg_stats(struct ondol_machine *m, struct ondol_memcg_stats *out_stats)
{
	const struct memcg *g = &m->memcg;

	*out_stats = (struct ondol_memcg_stats){
		.limits = { ONDOL_MEMCG_NONE, ONDOL_MEMCG_NONE },
		.current = g->on ? charged(m) : count_charged(m),
		.peak = __atomic_load_n(&g->peak, __ATOMIC_RELAXED),
		.nr_high = __atomic_load_n(&g->nr_high, __ATOMIC_RELAXED),
		.nr_max = __atomic_load_n(&g->nr_max, __ATOMIC_RELAXED),
		.nr_oom = __atomic_load_n(&g->nr_oom, __ATOMIC_RELAXED),
		.nr_oom_kill = __atomic_load_n(&g->nr_oom_kill, __ATOMIC_RELAXED),
	};
	if (g->on)
		out_stats->limits = g->limits;
}

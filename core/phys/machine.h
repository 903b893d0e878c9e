/* SPDX-License-Identifier: MIT */
/*
 * struct ondol_machine: the root of all state.  The layers above phys hang their own
 * state on it as pointers that only they look behind.
 */
#ifndef ONDOL_PHYS_MACHINE_H
#define ONDOL_PHYS_MACHINE_H

#include <ondol/inspect.h>
#include <ondol/machine.h>
#include <ondol/memcg.h>

#include "base/hooks.h"
#include "base/spinlock.h"
#include "phys/page.h"

struct phys_cpu;         /* a CPU's page lists: phys/zone.h */
struct ondol_phys_state; /* nodes, zones, per-CPU lists: phys/zone.h */
struct ondol_slab_state; /* caches: slab/slab.h */
struct ondol_virt_state; /* mms, files, caches of regions: virt/mm.h */

/* How a CPU gets at its page lists. */
enum pcp_way {
	PCP_ALONE, /* one CPU without interrupts: straight on */
	PCP_CPUS,  /* the port has this_cpu and sync_cpus, and no interrupts */
	PCP_HOOKED, /* all else */
	PCP_PLANNED /* there is a fail plan, or a limit: all ask */
};

struct kmap_slot {
	uint64_t pfn;   /* UINT64_MAX: none */
	uint32_t users;
};

struct kmap {
	uint64_t low_end;  /* (c) the first pfn that the direct map does not cover */
	struct spinlock lock;
	uint32_t nr_slots; /* (c) persistent ones */
	struct kmap_slot *slot; /* under lock */
	uint8_t *depth;         /* of each CPU's stack of local mappings: its own */
};

/* What its programs use, and may: phys/memcg.c. */
struct memcg {
	bool on; /* there is a limit, and so they are charged */
	struct ondol_memcg_limits limits;
	uint64_t charged, peak;                         /* (a) pages */
	uint64_t nr_high, nr_max, nr_oom, nr_oom_kill; /* (a) */
};

struct ondol_machine {
	/* Constant after init; the first line is all that the fast paths of phys read of it. */
	const struct ondol_port *port;
	struct ondol_page *pages; /* the page array: record of first_pfn + i at pages[i] */
	uint64_t nr_pages;        /* spanned by the array, holes included */
	struct phys_cpu *cpus;    /* phys->cpus */
	unsigned char *frames;             /* where the host has the first frame of `pages` */
	uint32_t (*this_cpu)(void *ctx);   /* port->this_cpu */
	void *port_ctx;                    /* port->ctx */
	enum pcp_way pcp_way;              /* changes with fail_plan and memcg */
	uint64_t first_pfn;
	struct ondol_fail_plan *fail_plan; /* or NULL; not constant */
	const struct ondol_profile *profile;
	const struct ondol_mmu_ops *mmu; /* never NULL: a null device stands in */
	void *mmu_ctx;
	bool reclaim_mapped, compact;
	enum ondol_thp thp;
	enum ondol_overcommit overcommit;
	uint32_t overcommit_ratio;
	uint32_t nr_cpus, nr_nodes;
	struct ondol_phys_state *phys;
	struct ondol_slab_state *slab;
	struct ondol_virt_state *virt;
	struct memcg memcg;
	struct kmap kmap;         /* phys/kmap.c */
	struct ondol_hooks hooks; /* upward calls: base/hooks.h */
	/* What the machine itself has out after init: anything beyond is somebody's leak. */
	uint64_t own_frames, own_objects; /* frames that are not slabs; objects of all caches */
};

static inline struct ondol_page *machine_page(const struct ondol_machine *m, uint64_t pfn)
{
	return &m->pages[pfn - m->first_pfn];
}

static inline uint64_t machine_page_pfn(const struct ondol_machine *m,
					const struct ondol_page *page)
{
	return m->first_pfn + (uint64_t)(page - m->pages);
}

static inline void *machine_pfn_host(const struct ondol_machine *m, uint64_t pfn)
{
	return m->port->direct_map + (pfn << ONDOL_PAGE_SHIFT);
}

static inline uint32_t machine_this_cpu(const struct ondol_machine *m)
{
	return m->port->this_cpu ? m->port->this_cpu(m->port->ctx) : 0;
}

/* Counts the event and says whether the plan wants it to fail. */
static inline bool machine_should_fail(struct ondol_machine *m, enum ondol_fail_point point)
{
	struct ondol_fail_plan *plan = m->fail_plan;

	if (ondol_likely(!plan))
		return false;
	uint64_t n = __atomic_add_fetch(&plan->seen[point], 1, __ATOMIC_RELAXED);
	if (!plan->nth[point] || (plan->persistent ? n < plan->nth[point] : n != plan->nth[point]))
		return false;
	__atomic_add_fetch(&plan->failed[point], 1, __ATOMIC_RELAXED);
	return true;
}

#endif /* ONDOL_PHYS_MACHINE_H */

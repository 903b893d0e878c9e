/* SPDX-License-Identifier: MIT */
/*
 * Memory policies: which node a frame comes from.
 *
 * The page allocator knows one question, "from this node, then by distance, or from no other".
 * A policy is a row of such questions:
 *
 *	LOCAL            the calling CPU's node, then by distance
 *	PREFERRED        that node, then by distance
 *	BIND             its nodes by distance, none other; once without reclaim, once with
 *	PREFERRED_MANY   its nodes by distance without reclaim, then LOCAL
 *	INTERLEAVE       node number `index mod n` of its nodes, then by distance from there
 *	WEIGHTED_...     the same over a list in which each node stands as often as it weighs
 *
 * [MPOL-1] A policy names only nodes that have memory; all modes but DEFAULT and LOCAL name one
 *          at least.
 *
 * Sources: Linux Documentation/admin-guide/mm/numa_memory_policy.rst, set_mempolicy(2).
 */
#include "phys/mempolicy.h"

#include "base/math.h"
#include "phys/zone.h"

#define MODE_FLAGS \
	(ONDOL_MPOL_F_NUMA_BALANCING | ONDOL_MPOL_F_RELATIVE_NODES | ONDOL_MPOL_F_STATIC_NODES)
#define HOW_FLAGS (ONDOL_MPOL_F_RELATIVE_NODES | ONDOL_MPOL_F_STATIC_NODES)

uint64_t ondol_nodes_with_memory(const struct ondol_machine *m)
{
	uint64_t nodes = 0;

	for (uint32_t i = 0; i < m->nr_nodes; i++)
		if (m->phys->nodes[i].present)
			nodes |= UINT64_C(1) << i;
	return nodes;
}

unsigned ondol_page_node(const struct ondol_page *page)
{
	return page_zone_id(page) >> 3;
}

int ondol_node_set_weight(struct ondol_machine *m, unsigned node, unsigned weight)
{
	if (node >= m->nr_nodes || !weight || weight > UINT8_MAX)
		return -ONDOL_EINVAL;
	__atomic_store_n(&m->phys->nodes[node].weight, (uint8_t)weight, __ATOMIC_RELAXED);
	return 0;
}

static unsigned weight_of(const struct ondol_machine *m, unsigned node)
{
	return __atomic_load_n(&m->phys->nodes[node].weight, __ATOMIC_RELAXED);
}

/* The n-th of the nodes, n less than their number. */
static unsigned nth_node(uint64_t nodes, unsigned n)
{
	while (n--)
		nodes &= nodes - 1;
	return (unsigned)__builtin_ctzll(nodes);
}

static unsigned nr_nodes_of(uint64_t nodes)
{
	unsigned n = 0;

	for (; nodes; nodes &= nodes - 1)
		n++;
	return n;
}

/* RELATIVE_NODES: bit b is the b-th node that there is, round and round. */
static uint64_t relative(uint64_t nodes, uint64_t there)
{
	unsigned n = nr_nodes_of(there);
	uint64_t out = 0;

	for (; nodes; nodes &= nodes - 1)
		out |= UINT64_C(1) << nth_node(there, (unsigned)__builtin_ctzll(nodes) % n);
	return out;
}

/* Modes that name no nodes; the answer, or 1: go on. */
static int make_without_nodes(uint32_t mode, uint32_t flags, uint64_t nodes,
			      struct ondol_mempolicy *out)
{
	switch (mode) {
	case ONDOL_MPOL_DEFAULT:
		return nodes ? -ONDOL_EINVAL : 0;
	case ONDOL_MPOL_LOCAL:
		out->mode = ONDOL_MPOL_LOCAL;
		return nodes || flags & HOW_FLAGS ? -ONDOL_EINVAL : 0;
	case ONDOL_MPOL_PREFERRED:
		out->mode = ONDOL_MPOL_LOCAL;
		if (!nodes)
			return flags & HOW_FLAGS ? -ONDOL_EINVAL : 0;
		return 1;
	default:
		return nodes ? 1 : -ONDOL_EINVAL;
	}
}

int ondol_mempolicy_make(const struct ondol_machine *m, uint32_t mode, uint64_t nodes,
			 struct ondol_mempolicy *out_policy)
{
	uint64_t there = ondol_nodes_with_memory(m), asked = nodes;
	uint32_t flags = mode & MODE_FLAGS;
	struct ondol_mempolicy policy = { .flags = (uint16_t)flags };
	int r;

	mode &= ~MODE_FLAGS;
	if (mode >= ONDOL_MPOL_NR || (flags & HOW_FLAGS) == HOW_FLAGS)
		return -ONDOL_EINVAL;
	if (flags & ONDOL_MPOL_F_NUMA_BALANCING && mode != ONDOL_MPOL_BIND &&
	    mode != ONDOL_MPOL_PREFERRED_MANY)
		return -ONDOL_EINVAL;
	r = make_without_nodes(mode, flags, nodes, &policy);
	if (r > 0) {
		if (flags & ONDOL_MPOL_F_RELATIVE_NODES)
			nodes = relative(nodes, there);
		nodes &= there;
		if (!nodes)
			return -ONDOL_EINVAL;
		policy.mode = (uint16_t)mode;
		policy.asked = flags & HOW_FLAGS ? asked : 0;
		policy.nodes = mode == ONDOL_MPOL_PREFERRED ? nodes & -nodes : nodes;
	}
	if (r >= 0)
		*out_policy = policy;
	return r < 0 ? r : 0;
}

/* From one of the nodes and no other, the nearest to the calling CPU first. */
static struct ondol_page *alloc_among(struct ondol_machine *m, uint64_t nodes, ondol_gfp_t gfp,
				      unsigned order)
{
	const struct ondol_phys_state *phys = m->phys;
	const struct ondol_node *local = &phys->nodes[phys->cpus[machine_this_cpu(m)].node];

	for (unsigned i = 0; i < local->nr_zonelist; i++) {
		unsigned node = phys->zones[local->zonelist[i]].node;
		struct ondol_page *page;

		if (!(nodes >> node & 1))
			continue;
		nodes &= ~(UINT64_C(1) << node);
		page = ondol_alloc_pages_node(m, (int)node, gfp | ONDOL_GFP_THISNODE, order);
		if (page)
			return page;
	}
	return NULL;
}

static struct ondol_page *alloc_bound(struct ondol_machine *m, uint64_t nodes, ondol_gfp_t gfp,
				      unsigned order)
{
	ondol_gfp_t easily = (gfp & ~ONDOL_GFP_RECLAIM) | ONDOL_GFP_NOWARN;
	struct ondol_page *page = alloc_among(m, nodes, easily, order);

	return page || !(gfp & ONDOL_GFP_RECLAIM) ? page : alloc_among(m, nodes, gfp, order);
}

unsigned mpol_interleave_node(const struct ondol_machine *m, const struct ondol_mempolicy *policy,
			      uint64_t index)
{
	uint64_t nodes = policy->nodes, sum = 0;

	if (policy->mode == ONDOL_MPOL_INTERLEAVE)
		return nth_node(nodes, mod_u64(index, nr_nodes_of(nodes)));
	for (uint64_t left = nodes; left; left &= left - 1)
		sum += weight_of(m, (unsigned)__builtin_ctzll(left));
	index = mod_u64(index, (uint32_t)sum);
	for (;; nodes &= nodes - 1) {
		unsigned node = (unsigned)__builtin_ctzll(nodes), weight = weight_of(m, node);

		/* The weights may have changed since they were summed up. */
		if (index < weight || !(nodes & (nodes - 1)))
			return node;
		index -= weight;
	}
}

static struct ondol_page *alloc_interleaved(struct ondol_machine *m,
					    const struct ondol_mempolicy *policy, uint64_t index,
					    ondol_gfp_t gfp, unsigned order)
{
	unsigned node = mpol_interleave_node(m, policy, index);
	struct ondol_page *page = ondol_alloc_pages_node(m, (int)node, gfp, order);

	if (page && ondol_page_node(page) == node)
		__atomic_fetch_add(&m->phys->nodes[node].interleave_hits, 1, __ATOMIC_RELAXED);
	return page;
}

struct ondol_page *ondol_alloc_pages_mpol(struct ondol_machine *m,
					  const struct ondol_mempolicy *policy, uint64_t index,
					  ondol_gfp_t gfp, unsigned order)
{
	struct ondol_page *page;

	switch (policy ? policy->mode : ONDOL_MPOL_DEFAULT) {
	case ONDOL_MPOL_PREFERRED:
		return ondol_alloc_pages_node(m, __builtin_ctzll(policy->nodes), gfp, order);
	case ONDOL_MPOL_BIND:
		return alloc_bound(m, policy->nodes, gfp, order);
	case ONDOL_MPOL_INTERLEAVE:
	case ONDOL_MPOL_WEIGHTED_INTERLEAVE:
		return alloc_interleaved(m, policy, index, gfp, order);
	case ONDOL_MPOL_PREFERRED_MANY:
		page = alloc_among(m, policy->nodes,
				   (gfp & ~ONDOL_GFP_RECLAIM) | ONDOL_GFP_NOWARN, order);
		return page ? page : ondol_alloc_pages(m, gfp, order);
	default:
		return ondol_alloc_pages(m, gfp, order);
	}
}

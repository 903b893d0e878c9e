/* SPDX-License-Identifier: MIT */
/*
 * Memory policies: from which nodes the frames of a task or of a region come.
 * Names, numbers and rules are Linux's: set_mempolicy(2), mbind(2), move_pages(2),
 * Documentation/admin-guide/mm/numa_memory_policy.rst.
 */
#ifndef ONDOL_MEMPOLICY_H
#define ONDOL_MEMPOLICY_H

#include <ondol/mm.h>
#include <ondol/page_alloc.h>

ONDOL_BEGIN_DECLS

enum ondol_mpol_mode {
	ONDOL_MPOL_DEFAULT,    /* none: what stands behind it decides, in the end LOCAL */
	ONDOL_MPOL_PREFERRED,  /* one node, then by distance from the calling CPU's */
	ONDOL_MPOL_BIND,       /* these nodes and no other, the nearest first */
	ONDOL_MPOL_INTERLEAVE, /* page by page in turn */
	ONDOL_MPOL_LOCAL,      /* the calling CPU's node, then by distance */
	ONDOL_MPOL_PREFERRED_MANY,      /* these nodes, the nearest first, then the others */
	ONDOL_MPOL_WEIGHTED_INTERLEAVE, /* in turn, so many pages each as the node's weight */
	ONDOL_MPOL_NR,
};
#define ONDOL_MPOL_F_NUMA_BALANCING 0x2000u
#define ONDOL_MPOL_F_RELATIVE_NODES 0x4000u
#define ONDOL_MPOL_F_STATIC_NODES 0x8000u

struct ondol_mempolicy {
	uint16_t mode;  /* enum ondol_mpol_mode */
	uint16_t flags; /* ONDOL_MPOL_F_*, as asked for */
	uint32_t unused;
	uint64_t nodes; /* bit n: node n.  Only nodes that have memory; 0 for DEFAULT and LOCAL */
	uint64_t asked; /* with STATIC_NODES or RELATIVE_NODES: the nodes as they were given */
};

/*
 * A policy as the system calls ask for it: `mode` with its flags, `nodes` as given.
 * -ONDOL_EINVAL: a mode, a flag, or nodes that do not go together.
 */
ONDOL_MUST_CHECK int ondol_mempolicy_make(const struct ondol_machine *m, uint32_t mode,
					  uint64_t nodes, struct ondol_mempolicy *out_policy);
/* Bit n: node n has memory. */
uint64_t ondol_nodes_with_memory(const struct ondol_machine *m);
/* Where a frame lives. */
unsigned ondol_page_node(const struct ondol_page *page);
/* For WEIGHTED_INTERLEAVE: 1 .. 255 pages a turn (1).  -ONDOL_EINVAL. */
ONDOL_MUST_CHECK int ondol_node_set_weight(struct ondol_machine *m, unsigned node,
					   unsigned weight);

/*
 * As ondol_alloc_pages, from where the policy (NULL: DEFAULT) says.  `index` is the block's
 * number in what is interleaved, so that the same page always comes from the same node.
 */
struct ondol_page *ondol_alloc_pages_mpol(struct ondol_machine *m,
					  const struct ondol_mempolicy *policy, uint64_t index,
					  ondol_gfp_t gfp, unsigned order);

/* ------------------------------------------------------------------ address spaces */

/*
 * The policy of the task on whose behalf the mm is worked on, until the next call; it counts
 * where a region has none of its own.  NULL: DEFAULT.
 */
void ondol_mm_set_task_policy(struct ondol_mm_struct *mm, const struct ondol_mempolicy *policy);

/*
 * Give [addr, addr + length) a policy of its own; pages that are there already stay.  DEFAULT
 * takes it away.  -ONDOL_EINVAL: not page aligned; -ONDOL_EFAULT: a hole in the range (DEFAULT
 * passes over holes); -ONDOL_ENOMEM: no record, or 255 different policies are in use.
 */
ONDOL_MUST_CHECK int ondol_mbind(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				 uint64_t length, const struct ondol_mempolicy *policy);
/* The region's own policy.  -ONDOL_EFAULT: no region at addr. */
ONDOL_MUST_CHECK int ondol_vma_policy(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				      struct ondol_mempolicy *out_policy);
/*
 * The node of the page at addr, or: -ONDOL_ENOENT: no page there (yet); -ONDOL_EFAULT: no
 * region, or one that the port backs.
 */
ONDOL_MUST_CHECK int ondol_page_node_at(struct ondol_mm_struct *mm, ondol_virt_addr_t addr);
/*
 * Move the page at addr to a frame of `node`; the node it is on now, or as ondol_page_node_at,
 * and -ONDOL_EACCES: others map it too; -ONDOL_EBUSY: somebody uses it just now;
 * -ONDOL_ENOMEM: the node has no frame; -ONDOL_EINVAL: no such node.
 * `all` (MPOL_MF_MOVE_ALL): also what others map; then no other call on any mm, file or mapping
 * of the machine may run meanwhile.  It costs two walks over all page tables.
 */
ONDOL_MUST_CHECK int ondol_move_page(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				     unsigned node, bool all);
/*
 * Move every page of [start, end) that lies on a node outside `nodes` to where `policy` wants
 * it; `all` as above, the walks are made once.  Returns the pages that had to be moved and could
 * not be.
 */
uint64_t ondol_migrate_to_policy(struct ondol_mm_struct *mm, ondol_virt_addr_t start,
				 ondol_virt_addr_t end, const struct ondol_mempolicy *policy,
				 bool all);
/*
 * migrate_pages(2): from the n-th node of `from` to the n-th of `to`, round and round; `all` as
 * above.  Returns the pages that could not be moved.
 */
uint64_t ondol_migrate_nodes(struct ondol_mm_struct *mm, uint64_t from, uint64_t to, bool all);
/* Pages of [start, end) that are on a node outside `nodes`. */
uint64_t ondol_pages_outside(struct ondol_mm_struct *mm, ondol_virt_addr_t start,
			     ondol_virt_addr_t end, uint64_t nodes);

ONDOL_END_DECLS
#endif /* ONDOL_MEMPOLICY_H */

/* SPDX-License-Identifier: MIT */
/* What core/virt needs of memory policies beyond the public calls. */
#ifndef ONDOL_PHYS_MEMPOLICY_H
#define ONDOL_PHYS_MEMPOLICY_H

#include <ondol/mempolicy.h>

/* Does the policy choose a node for every single page? */
static inline bool mpol_interleaves(const struct ondol_mempolicy *policy)
{
	return policy->mode == ONDOL_MPOL_INTERLEAVE ||
	       policy->mode == ONDOL_MPOL_WEIGHTED_INTERLEAVE;
}

/* The node of page `index`; the policy interleaves. */
unsigned mpol_interleave_node(const struct ondol_machine *m, const struct ondol_mempolicy *policy,
			      uint64_t index);

#endif /* ONDOL_PHYS_MEMPOLICY_H */

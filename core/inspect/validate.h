/* SPDX-License-Identifier: MIT */
/* What the validators share: the first broken invariant, and the text that goes with it. */
#ifndef ONDOL_INSPECT_VALIDATE_H
#define ONDOL_INSPECT_VALIDATE_H

#include <ondol/inspect.h>

/* Always false, so that a check can return what it says. */
bool inspect_broken(struct ondol_broken_invariant *out, const char *id, uint64_t where,
		    uint64_t expected, uint64_t actual);
/* The sentence of an invariant; "" for an unknown one. */
const char *inspect_invariant_text(const char *id);

bool validate_phys(struct ondol_machine *m, struct ondol_broken_invariant *out);
bool validate_slab(struct ondol_machine *m, struct ondol_broken_invariant *out);
bool validate_virt(struct ondol_machine *m, struct ondol_broken_invariant *out);

/* True if actual is as expected. */
static inline bool inspect_equal(struct ondol_broken_invariant *out, const char *id,
				 uint64_t where, uint64_t expected, uint64_t actual)
{
	return expected == actual || inspect_broken(out, id, where, expected, actual);
}

#endif /* ONDOL_INSPECT_VALIDATE_H */

/* SPDX-License-Identifier: MIT */
/* Pages of files that reclaim has dropped, remembered for a while: see workingset.c. */
#ifndef ONDOL_VIRT_WORKINGSET_H
#define ONDOL_VIRT_WORKINGSET_H

#include "virt/virt.h"

void workingset_fini(struct ondol_machine *m);
/* Reclaim has dropped the page.  [atomic] */
void workingset_evicted(const struct ondol_address_space *mapping, uint64_t index);
/* Whether it did so lately. */
bool workingset_was_here(const struct ondol_address_space *mapping, uint64_t index);
/* The page is in the cache again: counted, if it was. */
void workingset_refault(const struct ondol_address_space *mapping, uint64_t index);

#endif /* ONDOL_VIRT_WORKINGSET_H */

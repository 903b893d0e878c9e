/* SPDX-License-Identifier: MIT */
/* When a request for a block makes memory be compacted: see compact.c. */
#ifndef ONDOL_PHYS_COMPACT_H
#define ONDOL_PHYS_COMPACT_H

#include "phys/request.h"

/* Whether a zone of the request has a block of its order now that had none. */
bool compact_for(struct ondol_machine *m, const struct request *req);

#endif /* ONDOL_PHYS_COMPACT_H */

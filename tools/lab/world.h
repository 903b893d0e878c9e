/* SPDX-License-Identifier: MIT */
/* A described machine brought up by the real core, in this program's ordinary memory. */
#ifndef LAB_WORLD_H
#define LAB_WORLD_H

#include <setjmp.h>

#include "lab/machine.h"

struct lab_world {
	struct ondol_machine *m;
	struct ondol_port port;
	uint32_t cpu; /* that the next calls run on */
	void *storage, *ram;
	size_t ram_size;
	uint64_t start_pfn, end_pfn; /* of all memory, holes included */
	/* A panic of the core comes back to `on_panic` while `catching`. */
	jmp_buf on_panic;
	bool catching;
	struct ondol_panic_report panic;
};

/* 0 or a negated ONDOL_E*.  `machine` must outlive the world, which must not move. */
int world_begin(struct lab_world *world, const struct lab_machine *machine);
void world_end(struct lab_world *world);
/* Why world_begin failed, as a sentence. */
const char *world_error(int error);

#endif /* LAB_WORLD_H */

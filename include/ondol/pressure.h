/* SPDX-License-Identifier: MIT */
/*
 * Pressure: for how much of the time threads of the programs waited for memory (Linux: PSI,
 * /proc/pressure/memory).  Times are the port's clock_ns; without one they are 0.
 */
#ifndef ONDOL_PRESSURE_H
#define ONDOL_PRESSURE_H

#include <ondol/inspect.h>
#include <ondol/machine.h>
#include <ondol/types.h>

ONDOL_BEGIN_DECLS

enum ondol_psi_kind {
	ONDOL_PSI_SOME, /* at least one thread waited */
	ONDOL_PSI_FULL, /* at least one waited, and none did anything else */
	ONDOL_PSI_NR,
};

/*
 * A thread of a program begins to wait for memory, and has it.  The core says so itself where it
 * takes memory back for somebody and where it reads from swap, or again what it had dropped of a
 * file; the embedder, where it holds a thread (ondol_memcg_over_high).
 */
void ondol_psi_stall_begin(struct ondol_machine *m);
void ondol_psi_stall_end(struct ondol_machine *m);
/*
 * How the core learns whether a thread of a program runs, or could, that does not wait for memory:
 * it asks when a wait begins and at ondol_psi_look.  NULL, and to begin with: none ever does.
 * The callback must not call the machine.
 */
void ondol_psi_watch(struct ondol_machine *m, bool (*anyone_runs)(void *ctx), void *ctx);
/* For the embedder now and then while a wait is long: ask again. */
void ondol_psi_look(struct ondol_machine *m);

struct ondol_psi {
	uint64_t total_ns;            /* since the machine began */
	uint32_t avg10, avg60, avg300; /* of the last so many seconds, hundredths of a per cent */
};
void ondol_psi_read(struct ondol_machine *m, struct ondol_psi out_psi[ONDOL_PSI_NR]);
/* /proc/pressure/memory. */
int ondol_proc_pressure_memory(struct ondol_machine *m, ondol_write_t write, void *ctx);

ONDOL_END_DECLS
#endif /* ONDOL_PRESSURE_H */

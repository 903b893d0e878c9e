/* SPDX-License-Identifier: MIT */
/*
 * Included before everything else when the core is built for the simulator (-include): each of
 * its atomic operations, of which its locks are made too, becomes a point at which another CPU
 * may go on.  The core itself knows nothing of it, so that its other builds cannot pay for it.
 */
#ifndef PORTS_SIM_POINTS_H
#define PORTS_SIM_POINTS_H

#include <stddef.h>

/* Each may run other CPUs before it returns; `file` and `what` live for ever. */
void ondol_sim_load(const void *word, const char *what, const char *file, int line);
void ondol_sim_change(const char *what, const char *file, int line);
/* Nonzero: the value waits in the CPU's store buffer, nothing is to be done. */
int ondol_sim_store(void *word, const void *value, size_t size, const char *what,
		    const char *file, int line);

/* A macro's own name in its expansion is left alone: the builtin is what is called. */
#define SIM_CHANGE(what) ondol_sim_change(what, __FILE__, __LINE__)
#define __atomic_load_n(p, order)                                                             \
	(ondol_sim_load((const void *)(p), "load " #p, __FILE__, __LINE__),                   \
	 __atomic_load_n(p, order))
#define __atomic_store_n(p, v, order)                                                         \
	__extension__({                                                                       \
		__typeof__(*(p)) sim_v_ = (v);                                                \
		if (!ondol_sim_store((void *)(p), (const void *)&sim_v_, sizeof sim_v_,       \
				     "store " #p, __FILE__, __LINE__))                        \
			__atomic_store_n(p, sim_v_, order);                                   \
	})
#define __atomic_exchange_n(p, v, order)                                                      \
	(SIM_CHANGE("exchange " #p), __atomic_exchange_n(p, v, order))
#define __atomic_compare_exchange_n(p, expected, v, weak, good, bad)                          \
	(SIM_CHANGE("compare " #p), __atomic_compare_exchange_n(p, expected, v, weak, good, bad))
#define __atomic_fetch_add(p, v, order) (SIM_CHANGE("add " #p), __atomic_fetch_add(p, v, order))
#define __atomic_fetch_sub(p, v, order) (SIM_CHANGE("sub " #p), __atomic_fetch_sub(p, v, order))
#define __atomic_fetch_or(p, v, order) (SIM_CHANGE("or " #p), __atomic_fetch_or(p, v, order))
#define __atomic_fetch_and(p, v, order) (SIM_CHANGE("and " #p), __atomic_fetch_and(p, v, order))
#define __atomic_add_fetch(p, v, order) (SIM_CHANGE("add " #p), __atomic_add_fetch(p, v, order))
#define __atomic_sub_fetch(p, v, order) (SIM_CHANGE("sub " #p), __atomic_sub_fetch(p, v, order))

#endif /* PORTS_SIM_POINTS_H */

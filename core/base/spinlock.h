/* SPDX-License-Identifier: MIT */
/*
 * Spin locks.  A machine with one CPU, or whose port knows only one (this_cpu is NULL), has
 * nobody to spin for: there the port's irq_save alone excludes, so `lock_irqsave` takes `smp`.
 *
 * Lock order: outer first.  Two locks of one line are never held together.
 *
 *	the embedder's lock of an mm
 *	    virt: the lists of mms and of mappings
 *	        an address_space's lock (page cache)
 *	            slab: the list of caches
 *	                slab: a CPU's magazines of a cache
 *	                    slab: a cache
 *	                        phys: a CPU's page lists; sections coming up; the latest refusal
 *	                            phys: a zone
 *
 * No lock is held while a shrinker, a constructor's page allocation or a file read runs.
 */
#ifndef ONDOL_BASE_SPINLOCK_H
#define ONDOL_BASE_SPINLOCK_H

#include <ondol/port.h>

#include "base/assert.h"

struct spinlock {
	uint32_t locked; /* (a) */
};

static inline uintptr_t port_irq_save(const struct ondol_port *port)
{
	return ondol_unlikely(port->irq_save) ? port->irq_save(port->ctx) : 0;
}

static inline void port_irq_restore(const struct ondol_port *port, uintptr_t saved)
{
	if (ondol_unlikely(port->irq_restore))
		port->irq_restore(port->ctx, saved);
}

static inline void port_cpu_relax(const struct ondol_port *port)
{
	if (port->cpu_relax)
		port->cpu_relax(port->ctx);
}

static inline void spin_lock(const struct ondol_port *port, struct spinlock *lock)
{
	while (__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&lock->locked, __ATOMIC_RELAXED))
			port_cpu_relax(port);
}

static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->locked, 0, __ATOMIC_RELEASE);
}

static inline uintptr_t lock_irqsave(const struct ondol_port *port, struct spinlock *lock,
				     bool smp)
{
	uintptr_t saved = port_irq_save(port);

	if (smp)
		spin_lock(port, lock);
	return saved;
}

static inline void unlock_irqrestore(const struct ondol_port *port, struct spinlock *lock,
				     bool smp, uintptr_t saved)
{
	if (smp)
		spin_unlock(lock);
	port_irq_restore(port, saved);
}

#endif /* ONDOL_BASE_SPINLOCK_H */

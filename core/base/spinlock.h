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
 *	        the tree of merged frames (virt/ksm.c)
 *	            slab: the list of caches
 *	                slab: per-CPU data; a pool's reserve
 *	                slab: a CPU's magazines of a cache; in it, of the cache of magazines
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

/* False: somebody has it. */
static inline bool spin_trylock(struct spinlock *lock)
{
	return !__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE);
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

/*
 * The lock of what is one CPU's own, but which another must at times get at (a remote drain).
 * Where the port can make all CPUs pass a memory barrier (sync_cpus), the owner pays two plain
 * stores and a load, no atomic instruction, and the visitor pays for the barrier:
 *
 *	owner    busy = 1;           if (claimed) step back       ... busy = 0
 *	visitor  claimed = 1;  sync_cpus();  while (busy) wait    ... claimed = 0
 *
 * Dekker's algorithm: after the barrier either the owner sees the claim or the visitor sees
 * that it is busy.  Without sync_cpus `claimed` is a spin lock that both take.
 */
struct cpu_lock {
	struct spinlock claimed;
	uint32_t busy; /* (a) written by the owner alone */
};

static inline void cpu_lock_wait(const struct ondol_port *port, struct cpu_lock *lock)
{
	do {
		__atomic_store_n(&lock->busy, 0, __ATOMIC_RELEASE);
		while (__atomic_load_n(&lock->claimed.locked, __ATOMIC_ACQUIRE))
			port_cpu_relax(port);
		__atomic_store_n(&lock->busy, 1, __ATOMIC_RELAXED);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	} while (__atomic_load_n(&lock->claimed.locked, __ATOMIC_ACQUIRE));
}

/* By the owner, inside irq_save. */
static inline void cpu_lock(const struct ondol_port *port, struct cpu_lock *lock)
{
	if (!port->sync_cpus) {
		spin_lock(port, &lock->claimed);
		return;
	}
	__atomic_store_n(&lock->busy, 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (ondol_unlikely(__atomic_load_n(&lock->claimed.locked, __ATOMIC_ACQUIRE)))
		cpu_lock_wait(port, lock);
}

/* The same where the port is known to have sync_cpus; false: it is claimed, and not held. */
static inline bool cpu_try_lock(struct cpu_lock *lock)
{
	__atomic_store_n(&lock->busy, 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (ondol_likely(!__atomic_load_n(&lock->claimed.locked, __ATOMIC_ACQUIRE)))
		return true;
	__atomic_store_n(&lock->busy, 0, __ATOMIC_RELEASE);
	return false;
}

static inline void cpu_try_unlock(struct cpu_lock *lock)
{
	__atomic_store_n(&lock->busy, 0, __ATOMIC_RELEASE);
}

static inline void cpu_unlock(const struct ondol_port *port, struct cpu_lock *lock)
{
	if (port->sync_cpus)
		__atomic_store_n(&lock->busy, 0, __ATOMIC_RELEASE);
	else
		spin_unlock(&lock->claimed);
}

/* By anyone, the owner included, who does not hold it. */
static inline void cpu_lock_claim(const struct ondol_port *port, struct cpu_lock *lock)
{
	spin_lock(port, &lock->claimed);
	if (!port->sync_cpus)
		return;
	port->sync_cpus(port->ctx);
	while (__atomic_load_n(&lock->busy, __ATOMIC_ACQUIRE))
		port_cpu_relax(port);
}

static inline void cpu_lock_release(struct cpu_lock *lock)
{
	spin_unlock(&lock->claimed);
}

#endif /* ONDOL_BASE_SPINLOCK_H */

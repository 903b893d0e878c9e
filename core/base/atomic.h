/* SPDX-License-Identifier: MIT */
/*
 * Counters with one writer (the own CPU) and many readers: plain loads and stores that the
 * compiler may neither tear nor invent.  Word-sized, so that 32-bit hosts need no library.
 */
#ifndef ONDOL_BASE_ATOMIC_H
#define ONDOL_BASE_ATOMIC_H

#include <stdint.h>

#define load_relaxed(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define store_relaxed(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
/* Only the one writer may use this. */
#define add_relaxed(p, v) store_relaxed(p, load_relaxed(p) + (v))

#endif /* ONDOL_BASE_ATOMIC_H */

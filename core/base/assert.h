/* SPDX-License-Identifier: MIT */
/*
 * Checks.  VERIFY is always compiled in: O(1) conditions whose failure means corrupted
 * memory or a caller's double free.  ASSERT is for debug builds (-DONDOL_DEBUG).  A failed
 * check calls the port's panic and never prints by itself.
 *
 * `m` is the machine (or anything with a `port` member); `invariant` a label as docs and
 * validate know it ("BUDDY-3"), or NULL.
 */
#ifndef ONDOL_BASE_ASSERT_H
#define ONDOL_BASE_ASSERT_H

#include <ondol/port.h>

#define ONDOL_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#define ondol_likely(x) __builtin_expect(!!(x), 1)
#define ondol_unlikely(x) __builtin_expect(!!(x), 0)

/* Who called this function; WebAssembly cannot tell. */
#ifdef __wasm__
#define ondol_caller() ((const void *)0)
#else
#define ondol_caller() ((const void *)__builtin_return_address(0))
#endif

ONDOL_NORETURN void ondol_panic(const struct ondol_port *port, const char *file, uint32_t line,
				const char *function, const char *expression,
				const char *invariant, uint64_t detail0, uint64_t detail1);

#define ONDOL_VERIFY(m, condition, invariant, detail0, detail1)                               \
	do {                                                                                  \
		if (ondol_unlikely(!(condition)))                                             \
			ondol_panic((m)->port, __FILE__, __LINE__, __func__, #condition,      \
				    invariant, (uint64_t)(detail0), (uint64_t)(detail1));     \
	} while (0)

#ifdef ONDOL_DEBUG
#define ONDOL_ASSERT(m, condition, invariant, detail0, detail1)                               \
	ONDOL_VERIFY(m, condition, invariant, detail0, detail1)
#else
#define ONDOL_ASSERT(m, condition, invariant, detail0, detail1)                               \
	do {                                                                                  \
		(void)sizeof(condition);                                                      \
	} while (0)
#endif

#endif /* ONDOL_BASE_ASSERT_H */

/* SPDX-License-Identifier: MIT */
/* Integer spaces, error numbers and compiler marks used by every header. */
#ifndef ONDOL_TYPES_H
#define ONDOL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define ONDOL_MUST_CHECK __attribute__((warn_unused_result))
#define ONDOL_NORETURN __attribute__((noreturn))
#define ONDOL_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define ONDOL_MUST_CHECK
#define ONDOL_NORETURN
#define ONDOL_PRINTF(f, a)
#endif

#ifdef __cplusplus
#define ONDOL_BEGIN_DECLS extern "C" {
#define ONDOL_END_DECLS }
#else
#define ONDOL_BEGIN_DECLS
#define ONDOL_END_DECLS
#endif

ONDOL_BEGIN_DECLS

/*
 * Mixing up integer spaces is the classic bug of this field, so the physical
 * ones are one-member structs that do not convert into each other.  They are 64
 * bits wide on every host: an i386 PAE machine has 36-bit physical addresses.
 */
typedef struct ondol_phys_addr { uint64_t value; } ondol_phys_addr_t;
typedef struct ondol_pfn { uint64_t value; } ondol_pfn_t; /* page frame number */
typedef struct ondol_pte { uint64_t value; } ondol_pte_t;
typedef uint64_t ondol_virt_addr_t; /* in the managed machine, not ours */
typedef uint32_t ondol_gfp_t;       /* ONDOL_GFP_* */
typedef uint32_t ondol_vm_flags_t;  /* ONDOL_VM_* */

#define ONDOL_PAGE_SHIFT 12
#define ONDOL_PAGE_SIZE (UINT64_C(1) << ONDOL_PAGE_SHIFT)
#define ONDOL_PAGE_MASK (~(ONDOL_PAGE_SIZE - 1))
#define ONDOL_MAX_ORDERS 19 /* free lists a profile may have: orders 0 .. 18 */

static inline ondol_phys_addr_t ondol_phys_addr(uint64_t value)
{
	ondol_phys_addr_t pa;
	pa.value = value;
	return pa;
}

static inline ondol_pfn_t ondol_pfn(uint64_t value)
{
	ondol_pfn_t pfn;
	pfn.value = value;
	return pfn;
}

static inline ondol_phys_addr_t ondol_pfn_to_phys(ondol_pfn_t pfn)
{
	return ondol_phys_addr(pfn.value << ONDOL_PAGE_SHIFT);
}

static inline ondol_pfn_t ondol_phys_to_pfn(ondol_phys_addr_t pa)
{
	return ondol_pfn(pa.value >> ONDOL_PAGE_SHIFT);
}

/* Opaque: only core/ sees inside. */
struct ondol_machine;
struct ondol_node;
struct ondol_zone;
struct ondol_page;
struct ondol_kmem_cache;
struct ondol_mm_struct;
struct ondol_address_space;
struct ondol_file;

/* Returned negated (-ONDOL_ENOMEM); the values are Linux's errno. */
enum ondol_error {
	ONDOL_OK = 0,
	ONDOL_EPERM = 1,
	ONDOL_ENOENT = 2,
	ONDOL_EIO = 5,
	ONDOL_ENXIO = 6, /* a fault past the end of the mapped file */
	ONDOL_ENOEXEC = 8,
	ONDOL_EBADF = 9,
	ONDOL_EAGAIN = 11,
	ONDOL_ENOMEM = 12,
	ONDOL_EACCES = 13,
	ONDOL_EFAULT = 14,
	ONDOL_EBUSY = 16,
	ONDOL_EEXIST = 17,
	ONDOL_EINVAL = 22,
	ONDOL_ENOSPC = 28,
	ONDOL_E2BIG = 7,
	ONDOL_ENOSYS = 38,
	ONDOL_EOVERFLOW = 75,
	ONDOL_EOPNOTSUPP = 95,
	ONDOL_EUCLEAN = 117, /* a validate found a broken invariant */
};

/* A sentence for a (positive or negated) error number; never NULL. */
const char *ondol_strerror(int error);

ONDOL_END_DECLS
#endif /* ONDOL_TYPES_H */

/* SPDX-License-Identifier: MIT */
/*
 * Ondol - an embeddable Linux-style memory manager.
 *
 * Read this header first: it names every noun of the library once, from the ground up.
 *
 *   machine     one managed computer: its physical memory map, NUMA nodes and CPUs, and
 *               everything below.  No writable globals: a program may hold many.
 *   node        memory that is equally near to some CPUs    (Linux: pglist_data)
 *   zone        a range of a node with one set of limits    (DMA32, NORMAL, ...)
 *   page        the record of one physical page frame; a frame is named by its number (pfn)
 *   kmem_cache  a cache of equal-sized objects carved out of pages
 *   mm          one virtual address space                   (Linux: mm_struct)
 *   vma         one mapped range of an mm                   (Linux: vm_area_struct)
 *   pgtable     the translation tree the hardware reads; how its bits look is data
 *   port        what the embedding program provides
 *
 *      mm --> vma --> (file --> address_space | anonymous)
 *       |                     |
 *       v                     v
 *    pgtable ---- pfn ----> page <-- buddy free lists <-- zone <-- node
 *                             ^
 *                             +-- slab <-- kmem_cache
 *
 * Conventions
 *   - Functions that can fail return int: 0, or a negative ONDOL_E* whose value is the
 *     Linux errno.  Results come last, as out_xxx, and are written only on success.
 *     Allocators return a pointer, or NULL for "no memory".
 *   - Argument structs begin with `size` = sizeof the struct, so that they can grow.
 *   - Sizes carry their unit: nr_pages, size (bytes), order (2^order pages).
 *   - Ranges are half open: [start, end).
 */
#ifndef ONDOL_H
#define ONDOL_H

#define ONDOL_VERSION_MAJOR 0
#define ONDOL_VERSION_MINOR 1
#define ONDOL_VERSION_PATCH 0
#define ONDOL_VERSION "0.1.0"

#include <ondol/inspect.h>
#include <ondol/loader.h>
#include <ondol/machine.h>
#include <ondol/memcg.h>
#include <ondol/mempolicy.h>
#include <ondol/mempool.h>
#include <ondol/mm.h>
#include <ondol/page_alloc.h>
#include <ondol/pgtable.h>
#include <ondol/port.h>
#include <ondol/pressure.h>
#include <ondol/slab.h>
#include <ondol/swap.h>
#include <ondol/types.h>

#endif /* ONDOL_H */

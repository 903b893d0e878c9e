/* SPDX-License-Identifier: MIT */
/*
 * A machine: the physical memory map, nodes, zones and CPUs of one managed computer
 * and everything below.  All state lives in it; a program may hold many.
 */
#ifndef ONDOL_MACHINE_H
#define ONDOL_MACHINE_H

#include <ondol/pgtable.h>
#include <ondol/port.h>
#include <ondol/types.h>

ONDOL_BEGIN_DECLS

#define ONDOL_NODES_MAX 64

enum ondol_mem_type {
	ONDOL_MEM_USABLE,
	ONDOL_MEM_RESERVED,
	/*
	 * A bank that may be plugged in later, as ACPI's SRAT announces it: as if it had been
	 * taken away by ondol_offline_pages; ondol_online_pages brings it.
	 */
	ONDOL_MEM_OFFLINE,
	/*
	 * A device's own memory: its frames have records, in the node's Device zone, and are
	 * reserved for good.
	 */
	ONDOL_MEM_DEVICE,
};

/* As firmware gives them: unsorted, overlapping, unaligned, with holes. */
struct ondol_mem_region {
	ondol_phys_addr_t start, end; /* [start, end) */
	/* Reserved wins where they overlap; two of the other types must not. */
	enum ondol_mem_type type;
	uint16_t node;
};

/*
 * The order of the zones is the order of addresses; a limit of 0 leaves a zone out.  Device has
 * no limit: it is the ONDOL_MEM_DEVICE memory of a node, wherever that lies.
 */
enum ondol_zone_type {
	ONDOL_ZONE_DMA,
	ONDOL_ZONE_DMA32,
	ONDOL_ZONE_NORMAL,
	ONDOL_ZONE_HIGHMEM,
	ONDOL_ZONE_MOVABLE,
	ONDOL_ZONE_DEVICE,
	ONDOL_NR_ZONES,
};
const char *ondol_zone_name(enum ondol_zone_type type); /* "DMA32", ... */

/*
 * An era of Linux, as data: never an #ifdef.  Ready ones: toy16 (the notes' 16-frame
 * figures), i386_2_4, i386_2_6 (3G/1G, HIGHMEM), x86_64 (today; the default).
 */
enum ondol_lazy_policy { ONDOL_LAZY_EAGER, ONDOL_LAZY_DELAY2, ONDOL_LAZY_PCP, ONDOL_NR_LAZY };
const char *ondol_lazy_name(enum ondol_lazy_policy policy); /* "eager", "delay2", "pcp" */

struct ondol_profile {
	const char *name;
	uint8_t nr_orders;    /* free lists: orders 0 .. nr_orders - 1 */
	uint8_t map_from;     /* the lowest order with a map, if there is one */
	bool map_bitmap;      /* free_area[].map, one bit per pair of buddies (D5) */
	bool split_hands_out_upper; /* 2.4 gave the upper half of a split, 2.6 the lower */
	bool migrate_types;   /* free lists per migrate type */
	bool pcp;             /* per-CPU lists in front of the buddy */
	enum ondol_lazy_policy lazy;
	/* First physical address NOT in the zone; 0: the machine has no such zone. */
	uint64_t zone_end[ONDOL_NR_ZONES];
	/* Address-space layout */
	uint64_t task_size;      /* first address beyond user space */
	uint64_t mmap_min_addr;
	uint64_t stack_top;      /* end of the highest user stack page */
	uint64_t exec_base_dyn;  /* where ET_DYN programs load without ASLR */
	const struct ondol_pgtable_format *format;
};
extern const struct ondol_profile ondol_profile_toy16;
extern const struct ondol_profile ondol_profile_i386_2_4;
extern const struct ondol_profile ondol_profile_i386_2_6;
extern const struct ondol_profile ondol_profile_x86_64;

/*
 * How much private writable and shared anonymous memory is promised, as Linux's
 * vm.overcommit_memory 1, 0 and 2 (core/virt/commit.c): everything; no more at a time than the
 * whole RAM, MAP_NORESERVE excepted; altogether no more than a share of RAM.
 */
enum ondol_overcommit { ONDOL_OVERCOMMIT_ALWAYS, ONDOL_OVERCOMMIT_GUESS, ONDOL_OVERCOMMIT_NEVER };

/*
 * Whether private anonymous memory comes in blocks of what a page table maps (core/virt/huge.c):
 * never, where MADV_HUGEPAGE asks for it, or wherever nothing speaks against it.
 */
enum ondol_thp { ONDOL_THP_NEVER, ONDOL_THP_MADVISE, ONDOL_THP_ALWAYS };

struct ondol_machine_desc {
	uint32_t size; /* sizeof(struct ondol_machine_desc) */
	const struct ondol_mem_region *regions;
	uint32_t nr_regions;
	uint32_t nr_nodes;             /* 1 .. ONDOL_NODES_MAX */
	uint32_t nr_cpus;              /* 1 .. 256 */
	const uint8_t *node_distance;  /* nr_nodes * nr_nodes, 10 = local; or NULL */
	const uint16_t *cpu_to_node;   /* nr_cpus; or NULL: round robin over the nodes */
	const struct ondol_profile *profile; /* NULL: ondol_profile_x86_64 */
	const struct ondol_mmu_ops *mmu;     /* NULL: nothing translates */
	void *mmu_ctx;
	const char *debug; /* slab checks, "FZPU,vm_area_struct;Z,kmalloc-*", or NULL */
	/*
	 * Write page records as they are needed: init then takes a fraction of a millisecond
	 * whatever the size of memory, and the rest is paid with the memory that is used.
	 */
	bool deferred_init;
	/*
	 * The memory described holds zeroes, as a fresh memory file does: frames that nobody had
	 * before need no clearing.
	 */
	bool memory_is_zeroed;
	enum ondol_overcommit overcommit;
	uint32_t overcommit_ratio; /* percent of RAM that NEVER promises; 0: 50, Linux's */
	/*
	 * When memory is short, clean pages of files are taken from whoever maps them, through
	 * the mmu's `invalidate`, in any mm: only one thread at a time may use the machine.
	 */
	bool reclaim_mapped;
	/*
	 * KiB that all zones together keep for those who must not wait (Linux's sysctl
	 * vm.min_free_kbytes), a thirty-second of memory at most; 0: computed as Linux does.
	 */
	uint32_t min_free_kbytes;
	/*
	 * nr_nodes addresses, or NULL: the node's memory from there on is its Movable zone, as
	 * with Linux's kernelcore= and movablecore=.  Page aligned; 0: what the profile says.
	 */
	const uint64_t *node_movable;
	/*
	 * With reclaim_mapped: a request for a block that fails although enough is free may move
	 * private memory of any mm to other frames (ondol_compact_zone).  The mmu's `busy` says
	 * what must stay.
	 */
	bool compact;
	enum ondol_thp thp; /* NEVER where the page-table format or the profile has no such block */
};

/* Bytes and alignment of the storage ondol_machine_init() wants. */
ONDOL_MUST_CHECK int ondol_machine_storage(const struct ondol_machine_desc *desc, size_t *out_size,
					   size_t *out_align);
/*
 * Bring up a machine in caller-owned storage.  The page array and the first slabs come
 * out of the described memory itself.  `desc` may be discarded afterwards; `port`, the
 * profile and the mmu ops must outlive the machine.
 * -ONDOL_EINVAL: bad description; -ONDOL_ENOMEM: too small to hold its own page array.
 */
ONDOL_MUST_CHECK int ondol_machine_init(void *storage, size_t storage_size,
					const struct ondol_machine_desc *desc,
					const struct ondol_port *port,
					struct ondol_machine **out_m);
/* -ONDOL_EBUSY, and a leak report to the log, if anything is still allocated. */
ONDOL_MUST_CHECK int ondol_machine_fini(struct ondol_machine *m);

/* Pages that may be promised with OVERCOMMIT_NEVER, and that are promised now. */
uint64_t ondol_commit_limit(const struct ondol_machine *m);
uint64_t ondol_committed(const struct ondol_machine *m);

ONDOL_END_DECLS
#endif /* ONDOL_MACHINE_H */

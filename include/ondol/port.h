/* SPDX-License-Identifier: MIT */
/*
 * What the library needs from its surroundings: fill in a struct ondol_port and,
 * where there is something that translates addresses, a struct ondol_mmu_ops.
 * Every callback gets `ctx` first.  [atomic]: it may be called with locks held and
 * must not block nor call back into the machine.
 */
#ifndef ONDOL_PORT_H
#define ONDOL_PORT_H

#include <ondol/types.h>

ONDOL_BEGIN_DECLS

#define ONDOL_PORT_VERSION 1
#define ONDOL_MMU_VERSION 1

enum ondol_log_level { ONDOL_LOG_ERR, ONDOL_LOG_WARN, ONDOL_LOG_INFO, ONDOL_LOG_DEBUG };

struct ondol_panic_report {
	const char *file, *function, *expression;
	uint32_t line;
	const char *invariant; /* "BUDDY-3", or NULL */
	uint64_t detail[2];
};

struct ondol_port { /* constant from ondol_machine_init on */
	uint32_t version; /* ONDOL_PORT_VERSION */
	uint32_t size;    /* sizeof(struct ondol_port) */
	void *ctx;

	/*
	 * Host pointer to managed physical memory.  All of it is one window (but see
	 * direct_map_bytes): the
	 * pointer for address pa is direct_map + pa.  Bare metal: the direct map.
	 * Hosted: the mapped memory file.  Must not be NULL; holes in the memory
	 * map need not be backed.
	 */
	unsigned char *direct_map;

	/* Stop the world; must not return.  Mandatory.  [atomic] */
	void (*panic)(void *ctx, const struct ondol_panic_report *report);

	/*
	 * Index of the calling CPU, < desc.nr_cpus.  NULL: always 0, so only one thread at a
	 * time calls the machine, and nothing is locked.  [atomic]
	 */
	uint32_t (*this_cpu)(void *ctx);

	/*
	 * Enter / leave the section in which this CPU cannot be interrupted or
	 * moved; nests.  A port whose threads share a CPU index must exclude them
	 * here.  NULL: nothing to do (one thread, or one thread per CPU index
	 * with no interrupts).  [atomic]
	 */
	uintptr_t (*irq_save)(void *ctx);
	void (*irq_restore)(void *ctx, uintptr_t saved);

	/* Called while spinning on a lock.  NULL: busy loop.  [atomic] */
	void (*cpu_relax)(void *ctx);

	/* Monotonic nanoseconds, for ages and reports.  NULL: always 0. */
	uint64_t (*clock_ns)(void *ctx);

	/* One formatted line, no newline.  NULL: logging off.  [atomic] */
	void (*log)(void *ctx, enum ondol_log_level level, const char *line);

	/*
	 * When it returns, every other CPU has passed a full memory barrier since the call
	 * began: membarrier(2) with PRIVATE_EXPEDITED on Linux, an interrupt to all on bare
	 * metal.  Called rarely; it makes what each CPU has of its own (page lists) free of
	 * atomic instructions.  It is called between irq_save and irq_restore, perhaps on two
	 * CPUs at once: who waits for an answer must go on answering.  NULL: each CPU's own
	 * are guarded by a spin lock.  [atomic]
	 */
	void (*sync_cpus)(void *ctx);

	/*
	 * Make every access to [at, at + size), whole pages of direct_map, trap (`on`), or let
	 * them be used again with the bytes they had.  False: it could not.  For caches that end
	 * their objects at such a page (ONDOL_SLAB_FIREWALL).  NULL: they get red zones.  [atomic]
	 */
	bool (*guard)(void *ctx, void *at, size_t size, bool on);

	/*
	 * Frames [pfn, pfn + nr) leave the buddy for the first time since the machine began, so
	 * their memory, if it comes into being at its first touch, soon will: a port can have it
	 * come in larger pieces.  A hint: of a run that somebody had a part of nothing is said,
	 * and frames that came back unused are named again.  Only where memory_is_zeroed.
	 * Called with the zone's lock held: it must not call the machine.  NULL: nothing to do.
	 * [atomic]
	 */
	void (*first_use)(void *ctx, ondol_pfn_t pfn, uint32_t nr);

	/*
	 * Bytes of frames that go to a program, which the core itself does not look at: make nr
	 * frames from pfn on zero, or give `to` the bytes of `from`.  For a port where each page of
	 * direct_map is dear to touch for the first time, and that has another way to its bytes.
	 * False: not done, or in part; the core does it through direct_map.  NULL: likewise.
	 * [atomic]
	 */
	bool (*clear_frames)(void *ctx, ondol_pfn_t pfn, uint32_t nr);
	bool (*copy_frame)(void *ctx, ondol_pfn_t to, ondol_pfn_t from);

	/*
	 * The core is about to write [at, at + size) of direct_map, whole pages or not, for the
	 * first time: page records.  A hint.  NULL: nothing to do.  [atomic]
	 */
	void (*will_write)(void *ctx, void *at, size_t size);

	/*
	 * Memory without a permanent address: bytes from address 0 on that direct_map covers, a
	 * multiple of the page size; 0: all.  The profile's DMA and NORMAL zones lie below it, and
	 * frames above are given only to who asks with ONDOL_GFP_HIGHMEM.  The core reaches the
	 * bytes of those through a window of nr_kmap_slots pages (more than 4 a CPU) at
	 * kmap_window: kmap_set makes page `slot` of it show frame pfn from when it returns, on
	 * every CPU, or nothing (pfn.value UINT64_MAX).  Linux: highmem, kmap.  [atomic]
	 */
	uint64_t direct_map_bytes;
	unsigned char *kmap_window;
	uint32_t nr_kmap_slots;
	void (*kmap_set)(void *ctx, uint32_t slot, ondol_pfn_t pfn);
};

/*
 * The translation hardware, driven as a cache: VMAs and page tables are the truth,
 * the hardware may forget anything and is told what changed.
 *
 * [MMU-1] The hardware holds a translation only for a page whose PTE is present and
 *         has its accessed bit set; a writable one only if the dirty bit is set too.
 *         Hardware walkers set the bits themselves; a port without one gets its
 *         translations from ondol_tlb_fill(), which sets them.
 * Hence the library calls `invalidate` and `protect` only over ranges in which some
 * PTE had its accessed bit set.
 */
#define ONDOL_MMU_SOFTWARE_FILL 0x1u /* translations enter only through ondol_tlb_fill() */
/*
 * The port does not learn of a write through a read-only translation (the hosted port: the
 * program is simply killed).  So a region that is private and writable never gets one: its
 * faults count as writes, ondol_tlb_fill() refuses its read-only entries, and an mprotect to
 * writable invalidates the accessed entries that stay read-only (copy-on-write).
 */
#define ONDOL_MMU_NO_WRITE_TRAP 0x2u

enum ondol_mmu_busy {
	ONDOL_MMU_IDLE,       /* nothing */
	ONDOL_MMU_DATA_STAYS, /* private and shared memory, which a device may be writing to */
	ONDOL_MMU_ALL_STAYS,  /* clean pages of files, too: the hardware cannot be told now */
};

struct ondol_mmu_ops {
	uint32_t version; /* ONDOL_MMU_VERSION */
	uint32_t size;    /* sizeof(struct ondol_mmu_ops) */
	uint32_t flags;   /* ONDOL_MMU_* */
	/*
	 * Entries for [start, end) were (or, with SOFTWARE_FILL, are about to be)
	 * removed or restricted: when this returns no CPU may use the old ones.
	 * Forgetting more than was asked for is always allowed.  Mandatory.
	 */
	void (*invalidate)(void *ctx, struct ondol_mm_struct *mm, ondol_virt_addr_t start,
			   ondol_virt_addr_t end);
	/*
	 * Every accessed entry in [start, end), all of them pages that the hardware
	 * may hold, now has exactly the rights `prot` (ONDOL_PROT_*, ONDOL_PROT_READ at
	 * least): when this returns no CPU may use wider ones.  NULL: `invalidate` is
	 * called instead and the accessed bits are cleared.
	 */
	void (*protect)(void *ctx, struct ondol_mm_struct *mm, ondol_virt_addr_t start,
			ondol_virt_addr_t end, uint32_t prot);
	/*
	 * What of [start, end) must keep its frames for now.  Asked before reclaim takes a mapped
	 * page.  NULL: nothing.
	 */
	enum ondol_mmu_busy (*busy)(void *ctx, struct ondol_mm_struct *mm, ondol_virt_addr_t start,
				    ondol_virt_addr_t end);
};

ONDOL_END_DECLS
#endif /* ONDOL_PORT_H */

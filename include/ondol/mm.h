/* SPDX-License-Identifier: MIT */
/*
 * Address spaces: regions (vm_area_struct), page tables, page faults, the page cache.
 *
 * Locking: calls on one mm must exclude each other (the embedder's mmap lock; dup_mm
 * counts as a call on the parent).  Calls on different mms may run at the same time.
 */
#ifndef ONDOL_MM_H
#define ONDOL_MM_H

#include <ondol/machine.h>
#include <ondol/types.h>

ONDOL_BEGIN_DECLS

/* ------------------------------------------------------------------ files */

/*
 * The pages of one mapped object (an inode), shared by everybody who maps it.
 * Linux: address_space.
 */
struct ondol_address_space_ops {
	uint32_t size;
	/*
	 * Read nr_pages pages from pgoff into consecutive host memory; the part past
	 * the end of the file reads as zero.  0 or -ONDOL_EIO.  No lock is held.
	 */
	int (*read_pages)(void *ctx, uint64_t pgoff, uint32_t nr_pages, void *host);
	/* Write one page back.  NULL: pages are never dirty beyond the machine. */
	int (*write_page)(void *ctx, uint64_t pgoff, const void *host);
	/* Size in bytes now: a fault in a page wholly past it is -ONDOL_ENXIO. */
	uint64_t (*size_bytes)(void *ctx);
	/* The last reference is gone. */
	void (*release)(void *ctx);
};
/* ops NULL: anonymous shared memory (shmem), zero-filled, nothing to read, of any size. */
ONDOL_MUST_CHECK int ondol_address_space_create(struct ondol_machine *m,
						const struct ondol_address_space_ops *ops,
						void *ctx,
						struct ondol_address_space **out_mapping);
/*
 * Shared memory of so many pages, before it is first mapped: a fault in a page beyond them is
 * -ONDOL_ENXIO, as where an mremap has made a MAP_SHARED | MAP_ANONYMOUS region longer.
 */
void ondol_shmem_set_size(struct ondol_address_space *mapping, uint64_t nr_pages);
void ondol_address_space_get(struct ondol_address_space *mapping);
void ondol_address_space_put(struct ondol_address_space *mapping);
uint64_t ondol_address_space_nr_pages(const struct ondol_address_space *mapping);
/* Forget clean pages that nobody maps; returns frames freed. */
uint64_t ondol_address_space_shrink(struct ondol_address_space *mapping, uint64_t nr_pages);

/*
 * A file as mapped: what /proc/PID/maps says of it and where its pages come from
 * (vm_file).  Reference counted; regions hold references.
 */
struct ondol_file_args {
	uint32_t size;    /* sizeof(struct ondol_file_args) */
	const char *name; /* path, copied; NULL: none */
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	struct ondol_address_space *mapping; /* NULL: the port maps it itself (VM_NATIVE) */
};
ONDOL_MUST_CHECK int ondol_file_create(struct ondol_machine *m, const struct ondol_file_args *args,
				       struct ondol_file **out_file);
void ondol_file_get(struct ondol_file *file);
void ondol_file_put(struct ondol_file *file);
/*
 * Have pages [index, index + nr_pages) in the page cache, read in one piece as far as they are
 * absent side by side from index on (at most 512; fewer where there is no large free block).
 * A hint, as POSIX_FADV_WILLNEED: what cannot be read is met again by the fault that needs it.
 */
void ondol_file_read_ahead(struct ondol_file *file, uint64_t index, uint32_t nr_pages);

/* ------------------------------------------------------------------ regions */

#define ONDOL_VM_READ 0x00000001u
#define ONDOL_VM_WRITE 0x00000002u
#define ONDOL_VM_EXEC 0x00000004u
#define ONDOL_VM_SHARED 0x00000008u
#define ONDOL_VM_MAYREAD 0x00000010u /* what mprotect may turn on */
#define ONDOL_VM_MAYWRITE 0x00000020u
#define ONDOL_VM_MAYEXEC 0x00000040u
#define ONDOL_VM_MAYSHARE 0x00000080u
#define ONDOL_VM_GROWSDOWN 0x00000100u
#define ONDOL_VM_STACK 0x00000200u   /* the main stack: "[stack]" */
#define ONDOL_VM_HEAP 0x00000400u    /* made by brk: "[heap]" */
/*
 * The port backs this region itself (a device, the vdso, a file shared with the
 * world); the core keeps the region and its name, never a frame (Linux: VM_PFNMAP).
 */
#define ONDOL_VM_NATIVE 0x00000800u
#define ONDOL_VM_LOCKONFAULT 0x00001000u /* with LOCKED: not faulted in at once */
#define ONDOL_VM_LOCKED 0x00002000u
#define ONDOL_VM_NORESERVE 0x00004000u
#define ONDOL_VM_DONTFORK 0x00008000u
#define ONDOL_VM_WIPEONFORK 0x00010000u
#define ONDOL_VM_DONTDUMP 0x00020000u
#define ONDOL_VM_HUGEPAGE 0x00040000u
#define ONDOL_VM_NOHUGEPAGE 0x00080000u
#define ONDOL_VM_MERGEABLE 0x00100000u
#define ONDOL_VM_SEALED 0x00200000u /* neither mapped over, unmapped nor protected */
#define ONDOL_VM_SEQ_READ 0x00400000u /* MADV_SEQUENTIAL */
#define ONDOL_VM_RAND_READ 0x00800000u
#define ONDOL_VM_ACCOUNT 0x01000000u   /* its pages are promised: commit.c */
#define ONDOL_VM_DROPPABLE 0x02000000u /* MAP_DROPPABLE: never locked */
#define ONDOL_VM_ACCESS (ONDOL_VM_READ | ONDOL_VM_WRITE | ONDOL_VM_EXEC)

/* Values are Linux's MAP_* where Linux has them. */
#define ONDOL_MAP_FIXED 0x10u
#define ONDOL_MAP_FIXED_NOREPLACE 0x100000u
#define ONDOL_MAP_POPULATE 0x8000u
#define ONDOL_MAP_32BIT 0x40u

struct ondol_mm_limits { /* bytes; UINT64_MAX: none */
	uint64_t as, data, stack, memlock;
	uint64_t map_count; /* regions, Linux's vm.max_map_count; 0: its default, 65530 */
	uint64_t data_hard; /* with `data` 0 this one counts for mmap, as in Linux; 0: so does 0 */
	bool admin; /* CAP_SYS_ADMIN: may have the last of what may be promised */
};

/* start_code <= end_code, start_data <= end_data, start_brk <= brk, ... (F6) */
struct ondol_mm_layout {
	ondol_virt_addr_t start_code, end_code, start_data, end_data;
	ondol_virt_addr_t start_brk, brk;
	ondol_virt_addr_t start_stack, arg_start, arg_end, env_start, env_end;
	ondol_virt_addr_t mmap_base; /* mmap goes down from here */
};

/*
 * Where mmap and the ELF loader may choose, a file of this many bytes or more is placed so that
 * address and file offset agree modulo it: a fault-around window of memory is one of the file.
 */
#define ONDOL_FILE_COLOUR (UINT64_C(16) << ONDOL_PAGE_SHIFT)
struct ondol_mmap_args { /* two integers never sit side by side */
	uint32_t size;             /* sizeof(struct ondol_mmap_args) */
	uint32_t map_flags;        /* ONDOL_MAP_* */
	ondol_vm_flags_t vm_flags; /* READ/WRITE/EXEC/SHARED/MAY*... of the new region */
	ondol_virt_addr_t addr;    /* hint, or exact with MAP_FIXED */
	uint64_t length;           /* bytes; rounded up to pages */
	struct ondol_file *file;   /* NULL: anonymous.  The call takes its own reference. */
	uint64_t pgoff;            /* page offset in the file */
	const char *name;          /* e.g. "[vdso]" for NATIVE regions; copied; or NULL */
};

ONDOL_MUST_CHECK int ondol_mm_create(struct ondol_machine *m, struct ondol_mm_struct **out_mm);
/*
 * fork: the child gets equal regions and shares every frame; private writable ones
 * become copy-on-write in both.  The parent's hardware is told through invalidate
 * (SOFTWARE_FILL) or protect.  In the child no PTE has its accessed bit set if
 * `child_cold`; otherwise the child is taken to start with the same translations as the
 * parent has after the call (a host fork copies them).
 */
ONDOL_MUST_CHECK int ondol_dup_mm(struct ondol_mm_struct *mm, bool child_cold,
				  struct ondol_mm_struct **out_child);
void ondol_mmget(struct ondol_mm_struct *mm);
/*
 * The last put gives back every frame, page table and record (G10).  The hardware
 * must have let go of the mm before: no invalidate is called.
 */
void ondol_mmput(struct ondol_mm_struct *mm);
/* A pointer of the port's, for its mmu callbacks. */
void ondol_mm_set_private(struct ondol_mm_struct *mm, void *priv);
void *ondol_mm_private(const struct ondol_mm_struct *mm);
void ondol_mm_set_limits(struct ondol_mm_struct *mm, const struct ondol_mm_limits *limits);
void ondol_mm_limits(const struct ondol_mm_struct *mm, struct ondol_mm_limits *out_limits);
/* The profile of the machine that the mm lives on. */
const struct ondol_profile *ondol_mm_profile(const struct ondol_mm_struct *mm);
void ondol_mm_layout(const struct ondol_mm_struct *mm, struct ondol_mm_layout *out_layout);
void ondol_mm_set_layout(struct ondol_mm_struct *mm, const struct ondol_mm_layout *layout);
/* Where the page directory starts (F5). */
ondol_phys_addr_t ondol_mm_pgd(const struct ondol_mm_struct *mm);

/*
 * The memory calls, errno by errno as Linux's manual pages have them; addresses and
 * lengths as the system calls get them.
 */
ONDOL_MUST_CHECK int ondol_mmap(struct ondol_mm_struct *mm, const struct ondol_mmap_args *args,
				ondol_virt_addr_t *out_addr);
ONDOL_MUST_CHECK int ondol_munmap(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				  uint64_t length);
/* prot: ONDOL_VM_READ/WRITE/EXEC; grows_down: PROT_GROWSDOWN. */
ONDOL_MUST_CHECK int ondol_mprotect(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				    uint64_t length, ondol_vm_flags_t prot, bool grows_down);
#define ONDOL_MREMAP_MAYMOVE 1u
#define ONDOL_MREMAP_FIXED 2u
#define ONDOL_MREMAP_DONTUNMAP 4u
struct ondol_mremap_args {
	uint32_t size;
	uint32_t flags; /* ONDOL_MREMAP_* */
	ondol_virt_addr_t old_addr;
	uint64_t old_length;
	ondol_virt_addr_t new_addr; /* with FIXED; a hint with DONTUNMAP */
	uint64_t new_length;
};
ONDOL_MUST_CHECK int ondol_mremap(struct ondol_mm_struct *mm, const struct ondol_mremap_args *args,
				  ondol_virt_addr_t *out_addr);
/* Always succeeds as the system call does: the break after the call. */
ondol_virt_addr_t ondol_brk(struct ondol_mm_struct *mm, ondol_virt_addr_t addr);
/* `advice`: Linux's MADV_* numbers.  -ONDOL_EINVAL for one it does not know. */
ONDOL_MUST_CHECK int ondol_madvise(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				   uint64_t length, int advice);
/* vec: one byte a page, bit 0: resident. */
ONDOL_MUST_CHECK int ondol_mincore(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				   uint64_t length, unsigned char *vec);
/*
 * mseal(2): no part of the range is unmapped, mapped over, moved or protected any more, and
 * what is in it cannot be discarded where it could not be written.  For good; a fork inherits it.
 * -ONDOL_ENOMEM: there is a hole, and nothing is sealed.
 */
ONDOL_MUST_CHECK int ondol_mseal(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				 uint64_t length);
/* lock: fault everything in and mark it; the port passes RLIMIT_MEMLOCK in the limits. */
ONDOL_MUST_CHECK int ondol_mlock(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				 uint64_t length, bool lock);
/* mlock2(2) with MLOCK_ONFAULT: mark it, and let pages come as they are touched. */
ONDOL_MUST_CHECK int ondol_mlock_onfault(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
					 uint64_t length);
/* Linux's MCL_* numbers. */
enum { ONDOL_MCL_CURRENT = 1, ONDOL_MCL_FUTURE = 2, ONDOL_MCL_ONFAULT = 4 };
/*
 * mlockall(2): all regions (CURRENT), all that are mapped from now on (FUTURE, until the next
 * call, and not by a fork's child), as pages are touched (ONFAULT).  -ONDOL_EINVAL: ONFAULT alone,
 * nothing, or another flag; -ONDOL_EPERM, -ONDOL_ENOMEM: the limit.
 */
ONDOL_MUST_CHECK int ondol_mlockall(struct ondol_mm_struct *mm, uint32_t flags);
ONDOL_MUST_CHECK int ondol_munlockall(struct ondol_mm_struct *mm);
/* Linux's MS_* numbers. */
enum { ONDOL_MS_ASYNC = 1, ONDOL_MS_INVALIDATE = 2, ONDOL_MS_SYNC = 4 };
/*
 * msync(2).  ONDOL_MS_SYNC: write dirty pages of shared files back.
 * -ONDOL_EBUSY: ONDOL_MS_INVALIDATE, and part of the range is locked.
 */
ONDOL_MUST_CHECK int ondol_msync(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				 uint64_t length, uint32_t flags);

struct ondol_vma_info {
	ondol_virt_addr_t start, end;
	ondol_vm_flags_t vm_flags;
	uint64_t pgoff;
	struct ondol_file *file; /* borrowed: valid until the next call on the mm */
	const char *name;        /* path, "[heap]", "[stack]", ... or "" */
};
/*
 * remap_file_pages(2), as Linux has done it since 4.0: [addr, addr + length) of a shared mapping
 * shows its object's pages from pgoff on, as a region of its own, which *out_window tells (and
 * which may have joined its neighbours).  For an ONDOL_VM_NATIVE one the port does the same.
 * -ONDOL_EINVAL: prot is not 0, or the range is not of one shared object with equal flags;
 * -ONDOL_EOVERFLOW, -ONDOL_EAGAIN, -ONDOL_EPERM, -ONDOL_ENOMEM: as ondol_mmap.
 */
ONDOL_MUST_CHECK int ondol_remap_file_pages(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
					    uint64_t length, uint32_t prot, uint64_t pgoff,
					    struct ondol_vma_info *out_window);
/* The first region that ends beyond addr; -ONDOL_ENOENT: none. */
ONDOL_MUST_CHECK int ondol_find_vma(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				    struct ondol_vma_info *out_vma);
/* In order of address.  A nonzero return stops the walk. */
int ondol_for_each_vma(struct ondol_mm_struct *mm,
		       int (*visit)(void *ctx, const struct ondol_vma_info *), void *ctx);

/* prctl(PR_SET_THP_DISABLE): no new large leaves (ondol_machine_desc.thp).  A fork inherits it. */
void ondol_mm_set_thp_disabled(struct ondol_mm_struct *mm, bool disabled);
bool ondol_mm_thp_disabled(const struct ondol_mm_struct *mm);
/*
 * Linux's khugepaged, a step of it: look at so many pages of all mms, going on where the last step
 * ended, and bring ranges that are nearly full under large leaves.  Returns how many.  While it
 * runs no call on any mm may run.
 */
uint64_t ondol_khugepaged(struct ondol_machine *m, uint64_t nr_pages);
/*
 * Linux's ksmd, a step of it: look at so many pages in regions with MADV_MERGEABLE, of all mms,
 * going on where the last step ended, to the end of a round at most; those that are equal share one
 * frame.  Two rounds find them, a third the first of each kind.  Returns how many pages were given
 * a shared frame.  While it runs no call on any mm may run.
 */
uint64_t ondol_ksm_scan(struct ondol_machine *m, uint64_t nr_pages);

/* ------------------------------------------------------------------ faults */

enum ondol_fault_access { ONDOL_FAULT_READ = 1, ONDOL_FAULT_WRITE = 2, ONDOL_FAULT_EXEC = 4 };
enum ondol_fault_kind { /* what handling it took */
	ONDOL_FAULT_SPURIOUS,
	ONDOL_FAULT_ZERO_FILL,
	ONDOL_FAULT_FILE_MINOR, /* the page cache had it */
	ONDOL_FAULT_FILE_READ,  /* it had to be read: a major fault */
	ONDOL_FAULT_COW_COPY,
	ONDOL_FAULT_COW_REUSE,
	ONDOL_FAULT_SWAP_READ,  /* it was in swap and had to be read: a major fault */
	ONDOL_FAULT_SWAP_CACHE, /* it was in swap, and in another program's frame still */
	ONDOL_FAULT_NR,
};
struct ondol_fault_args {
	uint32_t size;
	uint32_t access; /* ONDOL_FAULT_* bits */
	ondol_virt_addr_t addr;
	/*
	 * Fault-around: absent pages of the same region inside the aligned window of
	 * this many pages (a power of two, 1 .. 512) may be populated too, while their
	 * frames come from one contiguous block (anonymous) or stand in the page
	 * cache side by side.  1: exactly the page asked for (A4).
	 */
	uint32_t nr_around;
	/*
	 * The same window for pages that are in the page cache already, if an access that does not
	 * copy asks for one: nothing is read for them.  0 (or a caller without it): nr_around.
	 */
	uint32_t nr_cached;
};
struct ondol_fault_result {
	enum ondol_fault_kind kind;
	uint32_t nr_pages;  /* populated by this call */
	bool stack_grown;
};
/*
 * Make the page table allow `access` at `addr`.
 * -ONDOL_EFAULT: no region (SEGV_MAPERR); -ONDOL_EACCES: it forbids it (SEGV_ACCERR);
 * -ONDOL_ENXIO, -ONDOL_EIO: past the end of the file, or unreadable there or in swap (SIGBUS);
 * -ONDOL_ENOMEM: no frame.
 */
ONDOL_MUST_CHECK int ondol_handle_mm_fault(struct ondol_mm_struct *mm,
					   const struct ondol_fault_args *args,
					   struct ondol_fault_result *out_result);

/*
 * Out of memory: how much of it the end of the mm would give back, in pages, by resident and
 * swapped pages and page tables, moved by `score_adj` (-1000 .. 1000) thousandths of all RAM and
 * swap.  INT64_MIN: exempt.  Who has the most is to go; the embedder ends it.
 */
#define ONDOL_OOM_SCORE_ADJ_MIN (-1000)
int64_t ondol_oom_badness(const struct ondol_mm_struct *mm, int score_adj);
/* The same as /proc/PID/oom_score tells it, 0 .. 2000. */
int64_t ondol_oom_score(const struct ondol_mm_struct *mm, int score_adj);
/* RAM and swap, in pages. */
uint64_t ondol_oom_total_pages(const struct ondol_machine *m);
/* It has been ended for that: oom_kill in vmstat. */
void ondol_oom_count_kill(struct ondol_mm_struct *mm);

/*
 * The hardware's part, for ports whose hardware is a software-filled TLB: translate addr
 * for `access` and take along its neighbours.  Returns the longest run around addr, inside
 * the aligned window of `window` pages, of present entries with consecutive frames, equal
 * rights and the accessed bit clear (addr's own excepted), all in one region (under a large
 * leaf the window is all that it maps); sets their
 * accessed bits, and the dirty bits where they are writable.
 * -ONDOL_EFAULT: absent or forbidden, so take a page fault.
 */
struct ondol_tlb_run {
	ondol_virt_addr_t start;
	uint32_t nr_pages;
	uint32_t prot; /* ONDOL_PROT_* */
	ondol_pfn_t pfn;
	bool cached; /* addr's accessed bit was set already: the hardware may have it; 1 page */
};
ONDOL_MUST_CHECK int ondol_tlb_fill(struct ondol_mm_struct *mm, ondol_virt_addr_t addr,
				    uint32_t access, uint32_t window,
				    struct ondol_tlb_run *out_run);
/*
 * The hardware forgot [start, end) by itself (an eviction): clear the accessed bits.
 */
void ondol_tlb_evicted(struct ondol_mm_struct *mm, ondol_virt_addr_t start, ondol_virt_addr_t end);
/* The first maximal span of accessed entries in [start, end); false: none. */
bool ondol_tlb_span(struct ondol_mm_struct *mm, ondol_virt_addr_t start, ondol_virt_addr_t end,
		    ondol_virt_addr_t *out_start, ondol_virt_addr_t *out_end);

/* Through the page tables, faulting pages in as the mm's own program would.  0, or
 * -ONDOL_EFAULT with nothing known of how much was copied. */
ONDOL_MUST_CHECK int ondol_copy_to_user(struct ondol_mm_struct *mm, ondol_virt_addr_t dst,
					const void *src, size_t size);
ONDOL_MUST_CHECK int ondol_copy_from_user(struct ondol_mm_struct *mm, void *dst,
					  ondol_virt_addr_t src, size_t size);
/* A string with its NUL.  Length without it; -ONDOL_EFAULT; -ONDOL_E2BIG: no NUL in `size`. */
ONDOL_MUST_CHECK int64_t ondol_strncpy_from_user(struct ondol_mm_struct *mm, char *dst,
						 ondol_virt_addr_t src, size_t size);

ONDOL_END_DECLS
#endif /* ONDOL_MM_H */

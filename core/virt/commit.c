/* SPDX-License-Identifier: MIT */
/*
 * Promises of memory (A3).  A private writable region may come to need a frame for each of its
 * pages, shared anonymous memory too: they are promised when the region is made, and given when
 * they are touched.  How much may be promised is the machine's mode, Linux's vm.overcommit_memory:
 *
 *	GUESS  (0)  what one call alone could never be given is refused: more than all RAM and swap
 *	ALWAYS (1)  everything is promised
 *	NEVER  (2)  all together no more than the limit, a share of RAM (overcommit_ratio) and swap:
 *	            no program is ended for lack of memory as long as the share leaves room for
 *	            what is not promised, page tables and files
 *
 *	           RAM |###############################|
 *	   CommitLimit |###############|                    50 %
 *	          less |###########|...|                    a reserve for who may administer, and a
 *	                                                    32nd of the asker's own size
 *
 * All modes count: Committed_AS.  A region that is counted has VM_ACCOUNT ("ac" in smaps);
 * MAP_NORESERVE asks not to be, which NEVER does not listen to.  mprotect counts a region from when
 * it may be written, for good: it may hold pages.  (Since 6.7 Linux no longer counts one that never
 * held a page when it may not be written any more.)
 *
 * Two that ask at the same moment may both be given the last of it, as in Linux.
 *
 * Invariant
 *   [MM-3]  committed is the pages of the regions with VM_ACCOUNT; the machine's, of all mms and
 *           all shared memory.
 *
 * Sources: Documentation/mm/overcommit-accounting.rst; Linux mm/util.c, __vm_enough_memory.
 */
#include "virt/swap.h"

#define RESERVE_ADMIN (UINT64_C(8) << (20 - ONDOL_PAGE_SHIFT))   /* at most, pages */
#define RESERVE_USER (UINT64_C(128) << (20 - ONDOL_PAGE_SHIFT))
#define RESERVE_SHARE 32 /* of RAM: the most of both; of a program: what is kept from it */

static uint64_t swap_pages(const struct ondol_machine *m)
{
	return m->virt->swap ? m->virt->swap->total : 0;
}

uint64_t ondol_commit_limit(const struct ondol_machine *m)
{
	uint64_t ram = m->phys->managed;
	uint32_t ratio = m->overcommit_ratio;

	return div_u64(ram, 100) * ratio + div_u64((ram - div_u64(ram, 100) * 100) * ratio, 100) +
	       swap_pages(m);
}

uint64_t ondol_committed(const struct ondol_machine *m)
{
	return __atomic_load_n(&m->virt->committed, __ATOMIC_RELAXED);
}

void commit_add(struct ondol_machine *m, int64_t nr_pages)
{
	__atomic_fetch_add(&m->virt->committed, (uint64_t)nr_pages, __ATOMIC_RELAXED);
}

static bool within_limit(const struct ondol_mm_struct *mm, uint64_t nr_pages)
{
	const struct ondol_machine *m = mm->m;
	uint64_t share = m->phys->managed / RESERVE_SHARE, limit = ondol_commit_limit(m);
	uint64_t kept = min_u64(mm->total_vm / RESERVE_SHARE, min_u64(share, RESERVE_USER));

	if (!mm->limits.admin)
		kept += min_u64(share, RESERVE_ADMIN);
	uint64_t allowed = limit > kept ? limit - kept : 0, committed = ondol_committed(m);

	return committed < allowed && nr_pages < allowed - committed;
}

bool mm_may_commit(const struct ondol_mm_struct *mm, ondol_vm_flags_t flags, uint64_t nr_pages)
{
	if (!(flags & ONDOL_VM_ACCOUNT))
		return true;
	switch (mm->m->overcommit) {
	case ONDOL_OVERCOMMIT_GUESS:
		return nr_pages <= mm->m->phys->managed + swap_pages(mm->m);
	case ONDOL_OVERCOMMIT_NEVER:
		return within_limit(mm, nr_pages);
	default:
		return true;
	}
}

ondol_vm_flags_t commit_flags(const struct ondol_machine *m, ondol_vm_flags_t flags)
{
	if (m->overcommit == ONDOL_OVERCOMMIT_NEVER)
		flags &= ~ONDOL_VM_NORESERVE;
	if (flags_are_cow(flags) && !(flags & ONDOL_VM_NORESERVE))
		flags |= ONDOL_VM_ACCOUNT;
	return flags;
}

ondol_vm_flags_t commit_flags_protect(ondol_vm_flags_t old, ondol_vm_flags_t flags)
{
	const ondol_vm_flags_t counted_or_not_at_all = ONDOL_VM_ACCOUNT | ONDOL_VM_WRITE |
						       ONDOL_VM_SHARED | ONDOL_VM_NORESERVE;

	if ((flags & ONDOL_VM_WRITE) && !(old & counted_or_not_at_all))
		flags |= ONDOL_VM_ACCOUNT;
	return flags;
}

/* SPDX-License-Identifier: MIT */
/*
 * The memory calls of a guest: arguments as Linux has them, to the core and back.
 *
 * Untouched memory needs no host call at all: the placeholder is there already.  What the
 * host has to be told is told by the core through the mmu operations; only native regions
 * (which the host backs) and holes are looked after here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MAP_ABOVE4G
#define MAP_ABOVE4G 0x80
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08 /* instead of MAP_PRIVATE; since 6.11 */
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif
#define MAP_LEGACY_MASK \
	(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE | \
	 MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK |   \
	 MAP_HUGETLB | MAP_HUGE_MASK << MAP_HUGE_SHIFT | MAP_32BIT | MAP_ABOVE4G)

static uint64_t page_up(uint64_t x)
{
	return (x + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

static uint32_t rights(uint64_t prot)
{
	return ((prot & PROT_READ) ? ONDOL_VM_READ : 0) |
	       ((prot & PROT_WRITE) ? ONDOL_VM_WRITE : 0) |
	       ((prot & PROT_EXEC) ? ONDOL_VM_EXEC : 0);
}

/* ------------------------------------------------------------------ native regions */

struct span {
	uint64_t start, end; /* empty: start == end */
};

/* The next part of [*at, end) that the host maps, with its region; *at goes behind it. */
static bool native_next(struct guest_mm *g, uint64_t *at, uint64_t end, struct span *out,
			struct ondol_vma_info *vma)
{
	while (g->nr_native_maps && *at < end && !ondol_find_vma(g->mm, *at, vma) &&
	       vma->start < end) {
		out->start = vma->start > *at ? vma->start : *at;
		out->end = *at = vma->end < end ? vma->end : end;
		if (vma->vm_flags & ONDOL_VM_NATIVE)
			return true;
	}
	return false;
}

/* From the first to the last of what the host maps in [start, end): for what all goes. */
static struct span natives_hull(struct guest_mm *g, uint64_t start, uint64_t end)
{
	struct span part, hull = { 0, 0 };
	struct ondol_vma_info vma;

	while (native_next(g, &start, end, &part, &vma)) {
		hull.start = hull.end ? hull.start : part.start;
		hull.end = part.end;
	}
	return hull;
}

/* All of it is gone from the core: from the host, too. */
static void natives_unmap(struct monitor *mon, struct guest_mm *g, struct span hull)
{
	if (!hull.end)
		return;
	worker_placeholder(mon, g, hull.start, hull.end);
	worker_wait(mon, g);
}

/* ------------------------------------------------------------------ mmap */

/* Have the host map `fd` (ours) where the core has put the region. */
static int64_t native_map(struct monitor *mon, struct guest_mm *g, int fd, uint64_t addr,
			  uint64_t length, int prot, int flags, uint64_t offset)
{
	int64_t theirs = worker_give_fd(mon, g, fd);

	if (theirs < 0)
		return theirs;
	int here = (flags & ~(MAP_FIXED_NOREPLACE | MAP_LOCKED)) | MAP_FIXED;
	int64_t r = worker_call(mon, g, SYS_mmap, addr, length, (uint64_t)prot, (uint64_t)here,
				(uint64_t)theirs, offset);
	worker_post(mon, g, SYS_close, (uint64_t)theirs, 0, 0, 0, 0, 0);
	worker_kick(g);
	if (r >= 0)
		g->nr_native_maps++;
	return r < 0 ? r : 0;
}

/* Rights that the open file does not give.  0, or -EACCES, -EPERM, -EBADF. */
static int file_rights(int fd, bool shared, int prot, uint32_t *vm_flags)
{
	struct statvfs fs;
	int open_flags = fcntl(fd, F_GETFL);

	if (open_flags < 0 || (open_flags & O_PATH))
		return -EBADF;
	if ((open_flags & O_ACCMODE) == O_WRONLY)
		return -EACCES;
	if (shared && (open_flags & O_ACCMODE) != O_RDWR) {
		if (prot & PROT_WRITE)
			return -EACCES;
		*vm_flags &= ~ONDOL_VM_MAYWRITE;
	}
	if ((prot & PROT_EXEC) && !fstatvfs(fd, &fs) && (fs.f_flag & ST_NOEXEC))
		return -EPERM;
	return 0;
}

struct mmap_call {
	uint64_t addr, length, offset;
	int prot, flags, fd;
	bool shared, native;
	int host_fd; /* our copy of fd, or -1 */
};

/* Whether a private mapping may be MAP_SYNC is the file system's to say. */
static int sync_refusal(int fd)
{
	void *probe = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_SYNC, fd, 0);

	if (probe == MAP_FAILED)
		return -errno;
	munmap(probe, PAGE_BYTES);
	return 0;
}

static int mmap_backing(struct monitor *mon, struct task *task, struct mmap_call *c,
			struct ondol_mmap_args *args)
{
	bool anonymous = false;

	if (c->flags & MAP_ANONYMOUS)
		return c->shared ? file_shmem(mon, c->length, &args->file) : 0;
	c->host_fd = task_getfd(task, c->fd);
	if (c->host_fd < 0)
		return -EBADF;
	if (c->flags & MAP_HUGETLB)
		return -EINVAL; /* it is no file of huge pages */
	int r = file_rights(c->host_fd, c->shared, c->prot, &args->vm_flags);

	if (!r && !c->shared && (c->flags & MAP_SYNC))
		r = sync_refusal(c->host_fd);
	if (!r)
		r = file_for_mapping(mon, c->host_fd, c->shared, &args->file, &c->native,
				     &anonymous);
	if (!r && anonymous && c->shared)
		r = file_shmem(mon, c->length, &args->file);
	if (c->native)
		args->vm_flags |= ONDOL_VM_NATIVE;
	args->pgoff = anonymous ? 0 : c->offset / PAGE_BYTES;
	return r;
}

/* Of a file it is EINVAL, the file unseen. */
static bool is_droppable(int flags)
{
	return (flags & MAP_TYPE) == MAP_DROPPABLE && (flags & MAP_ANONYMOUS);
}

/* As on a machine with pages of 2 MiB and 1 GiB, of which none is reserved. */
static int huge_refusal(int flags)
{
	unsigned log = (unsigned)flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;

	return !log || log == 21 || log == 30 ? -ENOMEM : -EINVAL;
}

static int mmap_check(struct mmap_call *c)
{
	int type = c->flags & MAP_TYPE;

	if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE &&
	    !is_droppable(c->flags))
		return -EINVAL;
	if (type == MAP_SHARED_VALIDATE && (c->flags & MAP_ANONYMOUS))
		return -EINVAL;
	if (type == MAP_SHARED_VALIDATE && (c->flags & ~(MAP_LEGACY_MASK | MAP_TYPE)))
		return -EOPNOTSUPP;
	if (!c->length || (c->offset & (PAGE_BYTES - 1)))
		return -EINVAL;
	if ((c->flags & MAP_HUGETLB) && (c->flags & MAP_ANONYMOUS))
		return huge_refusal(c->flags);
	if ((c->flags & MAP_GROWSDOWN) && (type != MAP_PRIVATE || !(c->flags & MAP_ANONYMOUS)))
		return -EINVAL;
	if (page_up(c->length) < c->length)
		return -ENOMEM;
	if (!(c->flags & MAP_ANONYMOUS) && c->offset + page_up(c->length) < c->offset)
		return -EOVERFLOW;
	c->shared = type != MAP_PRIVATE && type != MAP_DROPPABLE;
	return 0;
}

/* Where Linux refuses to map before it looks at the other flags. */
static bool is_too_low(const struct task *task, const struct mmap_call *c)
{
	return (c->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && c->addr < GUEST_MIN &&
	       !(c->addr & (PAGE_BYTES - 1)) && !task_capable(task, CAP_SYS_RAWIO);
}

static void mmap_flags(const struct mmap_call *c, struct ondol_mmap_args *args)
{
	args->vm_flags = rights((uint64_t)c->prot) | ONDOL_VM_MAYREAD | ONDOL_VM_MAYWRITE |
			 ONDOL_VM_MAYEXEC;
	if (c->shared)
		args->vm_flags |= ONDOL_VM_SHARED | ONDOL_VM_MAYSHARE;
	else if (c->flags & MAP_GROWSDOWN)
		args->vm_flags |= ONDOL_VM_GROWSDOWN;
	if (is_droppable(c->flags))
		args->vm_flags |= ONDOL_VM_DROPPABLE | ONDOL_VM_NORESERVE | ONDOL_VM_WIPEONFORK |
				  ONDOL_VM_DONTDUMP;
	if (c->flags & MAP_LOCKED)
		args->vm_flags |= ONDOL_VM_LOCKED;
	if (c->flags & MAP_NORESERVE)
		args->vm_flags |= ONDOL_VM_NORESERVE;
	if (c->flags & MAP_FIXED_NOREPLACE)
		args->map_flags |= ONDOL_MAP_FIXED | ONDOL_MAP_FIXED_NOREPLACE;
	else if (c->flags & MAP_FIXED)
		args->map_flags |= ONDOL_MAP_FIXED;
	if (c->flags & MAP_32BIT)
		args->map_flags |= ONDOL_MAP_32BIT;
	if ((c->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE)
		args->map_flags |= ONDOL_MAP_POPULATE;
}

static int64_t call_mmap(struct monitor *mon, struct task *task, const __u64 *arg)
{
	struct guest_mm *g = task->mm;
	struct mmap_call c = { .addr = arg[0], .length = arg[1], .prot = (int)arg[2],
			       .flags = (int)arg[3], .fd = (int)arg[4], .offset = arg[5],
			       .host_fd = -1 };
	struct ondol_mmap_args args = { .size = sizeof args, .addr = c.addr, .length = c.length };
	struct span replaced = { 0, 0 };
	ondol_virt_addr_t at = 0;
	int64_t r = mmap_check(&c);

	if (r)
		return r == -EOPNOTSUPP && is_too_low(task, &c) ? -EPERM : r;
	mmap_flags(&c, &args);
	/* As Linux since 6.7: 2 MiB for each thread's stack are too much. */
	if (c.flags & MAP_STACK && mon->options->thp == ONDOL_THP_ALWAYS)
		args.vm_flags |= ONDOL_VM_NOHUGEPAGE;
	if (c.flags & MAP_LOCKED)
		limits_refresh(mon, task, g);
	r = mmap_backing(mon, task, &c, &args);
	if (!r) {
		if (c.flags & MAP_FIXED)
			replaced = natives_hull(g, c.addr, c.addr + page_up(c.length));
		r = ondol_mmap(g->mm, &args, &at);
	}
	if (!r) {
		natives_unmap(mon, g, replaced);
		mon->trap->yield(mon, g, at, at + page_up(c.length));
		if (g->nr_holes) /* what grows down may make good what lies below it */
			holes_restore(mon, g, args.vm_flags & ONDOL_VM_GROWSDOWN ? 0 : at,
				      at + page_up(c.length));
		if (c.native) {
			r = native_map(mon, g, c.host_fd, at, page_up(c.length), c.prot, c.flags,
				       c.offset);
			if (r && ondol_munmap(g->mm, at, c.length))
				monitor_warn("%s: a failed mapping could not be taken back",
					     g->comm);
		}
	}
	if (!r && !c.shared && !c.native)
		mmap_ahead(mon, g, at, page_up(c.length), c.prot, c.flags);
	if (args.file)
		ondol_file_put(args.file);
	if (c.host_fd >= 0)
		close(c.host_fd);
	return r ? r : (int64_t)at;
}

/* ------------------------------------------------------------------ the others */

static int64_t call_munmap(struct monitor *mon, struct guest_mm *g, uint64_t addr, uint64_t length)
{
	uint64_t end = addr + page_up(length);

	/* Everything, as some do that want to end: but for our stub, which they know nothing of. */
	if (addr < STUB_ADDR && end > STUB_END && end <= GUEST_MAX) {
		int64_t below = call_munmap(mon, g, addr, STUB_ADDR - addr);

		return below ? below : call_munmap(mon, g, STUB_END, end - STUB_END);
	}
	struct span replaced = natives_hull(g, addr, end);
	int r = ondol_munmap(g->mm, addr, length);

	if (r)
		return r;
	natives_unmap(mon, g, replaced);
	if (g->nr_holes)
		holes_restore(mon, g, addr, addr + page_up(length));
	return 0;
}

static int64_t call_mprotect(struct monitor *mon, struct guest_mm *g, const __u64 *arg)
{
	uint64_t addr = arg[0], end = addr + page_up(arg[1]), at = addr;
	struct ondol_vma_info vma;
	struct span part;

	if (arg[2] & ~(uint64_t)(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN |
				 PROT_GROWSUP | 8 /* PROT_SEM */))
		return -EINVAL;
	if ((arg[2] & PROT_GROWSUP))
		return -EINVAL;
	int r = ondol_mprotect(g->mm, addr, arg[1], rights(arg[2]),
			       (arg[2] & PROT_GROWSDOWN) != 0);

	/* An error may come after a part has changed: the host follows what the core has now. */
	while (native_next(g, &at, end, &part, &vma)) {
		int64_t host = worker_call(mon, g, SYS_mprotect, part.start, part.end - part.start,
					   vma.vm_flags & ONDOL_VM_ACCESS, 0, 0, 0);

		r = r ? r : (int)host;
	}
	if (g->nr_holes)
		holes_restore(mon, g, addr, end);
	return r;
}

/* There are no keys, as on a processor without them: whatever else is wrong is told first. */
static int64_t call_pkey_mprotect(struct monitor *mon, struct guest_mm *g, const __u64 *arg)
{
	if ((int)arg[3] == -1)
		return call_mprotect(mon, g, arg);
	if (arg[0] & (PAGE_BYTES - 1))
		return -EINVAL;
	if (!arg[1])
		return 0;
	return arg[0] + page_up(arg[1]) <= arg[0] ? -ENOMEM : -EINVAL;
}

static int64_t call_brk(struct monitor *mon, struct guest_mm *g, uint64_t addr)
{
	struct ondol_mm_layout before;

	ondol_mm_layout(g->mm, &before);
	uint64_t brk = ondol_brk(g->mm, addr);

	if (g->nr_holes && brk != before.brk)
		holes_restore(mon, g, brk < before.brk ? brk : before.brk,
			      page_up(brk > before.brk ? brk : before.brk));
	if (page_up(before.brk) > page_up(before.start_brk))
		heap_ahead(mon, g, page_up(before.brk), page_up(brk));
	return (int64_t)brk;
}

/*
 * The core has moved [from, old_end), which the host maps, to [at, at + size): now the host.  It
 * cannot grow over the placeholder, so that goes first; what the mapping leaves becomes
 * placeholder.  Nothing else may be in the range: moving placeholder waits for its event.
 */
static void native_remap(struct monitor *mon, struct guest_mm *g,
			 const struct ondol_mremap_args *a, uint64_t old_size, uint64_t at)
{
	uint64_t from = a->old_addr, old_end = from + old_size, size = page_up(a->new_length);
	bool leaves = at != from && old_size && !(a->flags & MREMAP_DONTUNMAP);
	int64_t host;

	if (at == from && size == old_size)
		return;
	if (at == from) {
		worker_post(mon, g, SYS_munmap, old_end, from + size - old_end, 0, 0, 0, 0);
		host = worker_call(mon, g, SYS_mremap, from, old_size, size, 0, 0, 0);
	} else {
		host = worker_call(mon, g, SYS_mremap, from, old_size, size,
				   MREMAP_MAYMOVE | MREMAP_FIXED | (a->flags & MREMAP_DONTUNMAP),
				   at, 0);
	}
	if (leaves)
		worker_placeholder(mon, g, from, old_end);
	if (host < 0) {
		monitor_warn("%s: the host could not move a shared file mapping: %s", g->comm,
			     strerror((int)-host));
		if (at == from)
			worker_placeholder(mon, g, old_end, from + size);
	}
	worker_wait(mon, g);
}

/* The size of what mremap moves, page-aligned, if the host maps it; *out_cut: what it cuts off. */
static bool native_moves(struct guest_mm *g, const struct ondol_mremap_args *a,
			 uint64_t *out_old_size, struct span *out_cut)
{
	uint64_t old_size = page_up(a->old_length), new_size = page_up(a->new_length);
	struct ondol_vma_info vma;

	*out_cut = natives_hull(g, a->old_addr + new_size, a->old_addr + old_size);
	*out_old_size = old_size < new_size ? old_size : new_size;
	return g->nr_native_maps && !ondol_find_vma(g->mm, a->old_addr, &vma) &&
	       vma.start <= a->old_addr && (vma.vm_flags & ONDOL_VM_NATIVE);
}

static int64_t call_mremap(struct monitor *mon, struct guest_mm *g, const __u64 *arg)
{
	struct ondol_mremap_args args = { .size = sizeof args,
					  .flags = (uint32_t)arg[3],
					  .old_addr = arg[0],
					  .old_length = arg[1],
					  .new_length = arg[2],
					  .new_addr = arg[4] };
	struct span cut, replaced = { 0, 0 };
	ondol_virt_addr_t at;
	uint64_t old_size;

	if (arg[3] & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return -EINVAL;
	bool moves = native_moves(g, &args, &old_size, &cut);

	if (arg[3] & MREMAP_FIXED)
		replaced = natives_hull(g, arg[4], arg[4] + page_up(arg[2]));
	int r = ondol_mremap(g->mm, &args, &at);

	if (r) { /* perhaps after it has made room: a duplicate over its original */
		if (replaced.end && !natives_hull(g, arg[4], arg[4] + page_up(arg[2])).end)
			natives_unmap(mon, g, replaced);
		if (g->nr_holes && (arg[3] & MREMAP_FIXED))
			holes_restore(mon, g, arg[4], arg[4] + page_up(arg[2]));
		return r;
	}
	natives_unmap(mon, g, replaced);
	natives_unmap(mon, g, cut);
	mon->trap->yield(mon, g, at, at + page_up(arg[2]));
	if (g->nr_holes) {
		holes_restore(mon, g, arg[0], arg[0] + page_up(arg[1]));
		holes_restore(mon, g, at, at + page_up(arg[2]));
	}
	if (moves)
		native_remap(mon, g, &args, old_size, at);
	return (int64_t)at;
}

/* madvise and msync of what the host maps is the host's. */
static int64_t natives_forward(struct monitor *mon, struct guest_mm *g, long nr, const __u64 *arg,
			       int64_t r)
{
	uint64_t at = arg[0], end = at + page_up(arg[1]);
	struct ondol_vma_info vma;
	struct span part;

	while (!r && native_next(g, &at, end, &part, &vma))
		r = worker_call(mon, g, (uint64_t)nr, part.start, part.end - part.start, arg[2], 0,
				0, 0);
	return r;
}

/*
 * Where the host backs regions, region by region: ours, then the host's part, up to the first
 * error.  A hole is told at the end and what lies beyond it is advised all the same, but for
 * MADV_POPULATE_*, which stop there.
 */
int64_t mmcall_madvise(struct monitor *mon, struct guest_mm *g, uint64_t at, uint64_t length,
		       int advice)
{
	bool populates = advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE;
	bool hole = false;
	uint64_t end = at + page_up(length);
	struct ondol_vma_info vma;

	if (advice == MADV_GUARD_REMOVE && g->nr_holes)
		holes_restore(mon, g, at, end);
	if (!g->nr_native_maps || (at & (PAGE_BYTES - 1)) || end <= at || at >= GUEST_MAX)
		return ondol_madvise(g->mm, at, length, advice);
	int64_t r = ondol_madvise(g->mm, at, 0, advice); /* is there such an advice? */

	while (at < end && !r) {
		if (ondol_find_vma(g->mm, at, &vma) || vma.start >= end)
			return -ENOMEM;
		hole |= vma.start > at;
		if (hole && populates)
			break;
		at = vma.start > at ? vma.start : at;
		uint64_t to = vma.end < end ? vma.end : end;
		bool native = (vma.vm_flags & ONDOL_VM_NATIVE) != 0;

		r = ondol_madvise(g->mm, at, to - at, advice);
		if (!r && native)
			r = worker_call(mon, g, SYS_madvise, at, to - at, (uint64_t)advice, 0, 0,
					0);
		at = to;
	}
	return r ? r : hole ? -ENOMEM : 0;
}

#define WINDOW_PARTS 16

/*
 * The core has shown other pages; where the host backs the window, so must it.  The host alone
 * knows how large a file may be on its file system: then everything is as it was.
 */
static int64_t call_remap_file_pages(struct monitor *mon, struct guest_mm *g, const __u64 *arg)
{
	uint64_t at = arg[0] & ~(PAGE_BYTES - 1), end = at + (arg[1] & ~(PAGE_BYTES - 1));
	struct ondol_vma_info window, part[WINDOW_PARTS];
	uint32_t prot = arg[2] ? PROT_READ : 0, nr = 0; /* anything but 0 is wrong */

	for (uint64_t from = at; from < end && nr < WINDOW_PARTS; from = part[nr++].end)
		if (ondol_find_vma(g->mm, from, &part[nr]) || part[nr].start >= end)
			break;
	if (nr == WINDOW_PARTS && part[nr - 1].end < end && part[0].vm_flags & ONDOL_VM_NATIVE)
		return -ENOMEM; /* more than could be put back */
	int64_t r = ondol_remap_file_pages(g->mm, arg[0], arg[1], prot, arg[3], &window);

	if (r || !(window.vm_flags & ONDOL_VM_NATIVE))
		return r;
	r = worker_call(mon, g, SYS_remap_file_pages, at, end - at, 0, arg[3],
			arg[4] & MAP_NONBLOCK, 0);
	for (uint32_t i = 0; r < 0 && i < nr; i++) {
		uint64_t from = part[i].start > at ? part[i].start : at;
		uint64_t to = part[i].end < end ? part[i].end : end;

		if (ondol_remap_file_pages(g->mm, from, to - from, 0,
					   part[i].pgoff + (from - part[i].start) / PAGE_BYTES,
					   &window))
			monitor_warn("%s: a failed remap_file_pages could not be taken back",
				     g->comm);
	}
	return r;
}

/* Have the host fetch what it backs of a range that is locked now. */
static int64_t natives_populate(struct monitor *mon, struct guest_mm *g, const __u64 *arg,
				int64_t r)
{
	uint64_t start = arg[0] & ~(PAGE_BYTES - 1);
	__u64 advice[] = { start, arg[0] + arg[1] - start, MADV_POPULATE_READ };

	if (r || !g->nr_native_maps)
		return r;
	r = natives_forward(mon, g, SYS_madvise, advice, 0);
	if (r == -EINVAL) { /* it may only be written */
		advice[2] = MADV_POPULATE_WRITE;
		r = natives_forward(mon, g, SYS_madvise, advice, 0);
	}
	return r == -EFAULT ? -ENOMEM : 0; /* past the file's end */
}

static int64_t call_msync(struct monitor *mon, struct guest_mm *g, const __u64 *arg)
{
	int r = ondol_msync(g->mm, arg[0], arg[1], (uint32_t)arg[2]);

	if (r && r != -ENOMEM)
		return r;
	/* A hole is told at the end; what lies around it is written all the same. */
	int64_t host = natives_forward(mon, g, SYS_msync, arg, 0);

	return host ? host : r;
}

/* Of what the host backs the host knows: through the room behind the mailbox. */
static int64_t natives_mincore(struct monitor *mon, struct guest_mm *g, uint64_t start,
			       uint64_t end, unsigned char *vec)
{
	const uint64_t room = MAILBOX_ROOM;
	const unsigned char *theirs = mailbox_room(g->mailbox);
	uint64_t at = start;
	struct ondol_vma_info vma;
	struct span part;
	int64_t r = 0;

	while (!r && native_next(g, &at, end, &part, &vma))
		for (uint64_t n; !r && part.start < part.end; part.start += n * PAGE_BYTES) {
			n = (part.end - part.start) / PAGE_BYTES;
			n = n < room ? n : room;
			r = worker_call(mon, g, SYS_mincore, part.start, n * PAGE_BYTES,
					mailbox_room_at(mon), 0, 0, 0);
			if (!r)
				memcpy(vec + (part.start - start) / PAGE_BYTES, theirs, n);
		}
	return r;
}

static int64_t call_mincore(struct monitor *mon, struct guest_mm *g, const __u64 *arg)
{
	uint64_t pages = page_up(arg[1]) / PAGE_BYTES;
	unsigned char vec[1024];

	if ((arg[0] & (PAGE_BYTES - 1)))
		return -EINVAL;
	if (arg[0] + arg[1] < arg[0])
		return -ENOMEM;
	for (uint64_t done = 0; done < pages;) {
		uint64_t n = pages - done < sizeof vec ? pages - done : sizeof vec;
		uint64_t from = arg[0] + done * PAGE_BYTES;
		int64_t r = ondol_mincore(g->mm, from, n * PAGE_BYTES, vec);

		if (!r)
			r = natives_mincore(mon, g, from, from + n * PAGE_BYTES, vec);
		if (!r)
			r = ondol_copy_to_user(g->mm, arg[2] + done, vec, n);
		if (r)
			return r;
		done += n;
	}
	return 0;
}

/* System V shared memory is the host's: attach it where the core says. */
static int64_t call_shmat(struct monitor *mon, struct guest_mm *g, const __u64 *arg)
{
	struct ondol_mmap_args args = { .size = sizeof args };
	struct span replaced = { 0, 0 };
	struct shmid_ds ds;
	ondol_virt_addr_t at;

	if (shmctl((int)arg[0], IPC_STAT, &ds))
		return -errno;
	args.addr = arg[1];
	if (args.addr & (PAGE_BYTES - 1)) {
		if (!(arg[2] & SHM_RND))
			return -EINVAL;
		args.addr &= ~(PAGE_BYTES - 1);
	}
	if (!args.addr && (arg[2] & SHM_REMAP))
		return -EINVAL;
	args.length = ds.shm_segsz;
	args.vm_flags = ONDOL_VM_READ | ONDOL_VM_SHARED | ONDOL_VM_NATIVE | ONDOL_VM_MAYREAD |
			ONDOL_VM_MAYWRITE | ONDOL_VM_MAYEXEC |
			((arg[2] & SHM_RDONLY) ? 0 : ONDOL_VM_WRITE) |
			((arg[2] & SHM_EXEC) ? ONDOL_VM_EXEC : 0);
	if (args.addr)
		args.map_flags = ONDOL_MAP_FIXED |
				 ((arg[2] & SHM_REMAP) ? 0 : ONDOL_MAP_FIXED_NOREPLACE);
	if (arg[2] & SHM_REMAP)
		replaced = natives_hull(g, args.addr, args.addr + page_up(args.length));
	int r = file_sysv(mon, (int)arg[0], &args.file);

	if (r)
		return r;
	r = ondol_mmap(g->mm, &args, &at);
	ondol_file_put(args.file);
	if (r)
		return r == -EEXIST ? -EINVAL : r;
	natives_unmap(mon, g, replaced);
	mon->trap->yield(mon, g, at, at + page_up(args.length));
	int64_t host = worker_call(mon, g, SYS_shmat, arg[0], at, arg[2] | SHM_REMAP, 0, 0, 0);

	if (host < 0) {
		r = ondol_munmap(g->mm, at, args.length);
		return host;
	}
	g->nr_native_maps++;
	return (int64_t)at;
}

/* Whether the region is a part of a segment that is attached at addr. */
static bool attached_at(const struct ondol_vma_info *vma, uint64_t addr)
{
	return (vma->vm_flags & ONDOL_VM_NATIVE) && !strncmp(vma->name, "/SYSV", 5) &&
	       vma->start - addr == vma->pgoff * PAGE_BYTES;
}

/* All that is left of the segment; what lies in holes that munmap has made stays. */
static int64_t call_shmdt(struct monitor *mon, struct guest_mm *g, uint64_t addr)
{
	struct ondol_file *segment = NULL;
	struct ondol_vma_info vma;
	int64_t r = -EINVAL;

	if (addr & (PAGE_BYTES - 1))
		return -EINVAL;
	for (uint64_t at = addr; !ondol_find_vma(g->mm, at, &vma); at = vma.end) {
		if (!attached_at(&vma, addr) || (segment && vma.file != segment))
			continue;
		segment = vma.file;
		r = call_munmap(mon, g, vma.start, vma.end - vma.start);
		if (r)
			break;
	}
	return r;
}

int64_t mmcall(struct monitor *mon, struct task *task, const struct seccomp_data *data,
	       bool *out_continue)
{
	struct guest_mm *g = task->mm;
	const __u64 *arg = data->args;

	switch (data->nr) {
	case SYS_mmap:
		return call_mmap(mon, task, arg);
	case SYS_munmap:
		return call_munmap(mon, g, arg[0], arg[1]);
	case SYS_mprotect:
		return call_mprotect(mon, g, arg);
	case SYS_pkey_mprotect:
		return call_pkey_mprotect(mon, g, arg);
	case SYS_brk:
		return call_brk(mon, g, arg[0]);
	case SYS_mremap:
		return call_mremap(mon, g, arg);
	case SYS_madvise:
		return mmcall_madvise(mon, g, arg[0], arg[1], (int)arg[2]);
	case SYS_remap_file_pages:
		return call_remap_file_pages(mon, g, arg);
	case SYS_process_madvise_:
		return call_process_madvise(mon, task, arg, out_continue);
	case SYS_msync:
		return call_msync(mon, g, arg);
	case SYS_mincore:
		return call_mincore(mon, g, arg);
	case SYS_mlock:
		limits_refresh(mon, task, g);
		return natives_populate(mon, g, arg, ondol_mlock(g->mm, arg[0], arg[1], true));
	case SYS_mlock2:
		if (arg[2] & ~(uint64_t)MLOCK_ONFAULT)
			return -EINVAL;
		limits_refresh(mon, task, g);
		if (arg[2])
			return ondol_mlock_onfault(g->mm, arg[0], arg[1]);
		return natives_populate(mon, g, arg, ondol_mlock(g->mm, arg[0], arg[1], true));
	case SYS_munlock:
		return ondol_mlock(g->mm, arg[0], arg[1], false);
	case SYS_mlockall:
		limits_refresh(mon, task, g);
		return ondol_mlockall(g->mm, (uint32_t)arg[0]);
	case SYS_munlockall:
		return ondol_munlockall(g->mm);
	case SYS_mseal_:
		return arg[2] ? -EINVAL : ondol_mseal(g->mm, arg[0], arg[1]);
	case SYS_shmat:
		return call_shmat(mon, g, arg);
	case SYS_shmdt:
		return call_shmdt(mon, g, arg[0]);
	}
	*out_continue = true;
	return 0;
}

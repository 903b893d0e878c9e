/* SPDX-License-Identifier: MIT */
/*
 * The naive model of address spaces: an array entry for each page of a window, with what the
 * page shows.  Regions are not stored; they are the longest runs of equal neighbours (F12).
 * Each model_* function below is one memory call as its manual page has it: it returns the
 * error number expected and changes the model as the call should change the mm.
 */
#ifndef TESTS_SUPPORT_MM_MODEL_H
#define TESTS_SUPPORT_MM_MODEL_H

#include "support/hardware.h"

#define NR HW_PAGES
#define GUARD 256 /* pages kept free below a region that grows down */
#define OBJECT_PAGES 2048

struct content { /* of a page: its first and its last word */
	uint64_t first, last;
};

/* What shared pages show: a file, or anonymous shared memory. */
struct object {
	int index;
	struct ondol_file *file;
	struct ondol_address_space *mapping; /* of a file */
	uint64_t nr_pages;                   /* a fault beyond is SIGBUS */
	struct content now[OBJECT_PAGES];    /* what a reader sees */
	struct content stored[OBJECT_PAGES]; /* what has been written back */
	uint64_t pfn[OBJECT_PAGES];          /* scratch: where a check found the page */
};

struct mpage {
	bool mapped;
	bool own;   /* private page of a file, copied: shows c, not the file */
	bool guard; /* not to be touched: MADV_GUARD_INSTALL */
	bool wrote; /* shared page of a file, written here and not told by msync */
	uint8_t name;
	uint8_t policy; /* which of the test's memory policies; 0: none */
	ondol_vm_flags_t flags;
	struct object *object; /* NULL: anonymous and private, shows c */
	uint32_t pgoff;
	struct content c;
};

struct model {
	struct ondol_mm_struct *mm;
	struct ondol_mm_limits limits;
	unsigned start_brk, mmap_base; /* page */
	uint64_t brk;                  /* bytes from the window's begin */
	ondol_vm_flags_t new_flags;    /* of what is mapped from now on: mlockall */
	struct mpage page[NR];
};

struct mstats { /* pages */
	uint64_t total, data, exec, stack, locked, regions;
};

static inline bool mp_shared(const struct mpage *p)
{
	return p->flags & ONDOL_VM_SHARED;
}

static inline bool mp_native(const struct mpage *p)
{
	return p->flags & ONDOL_VM_NATIVE;
}

static inline struct content mp_content(const struct mpage *p)
{
	return p->object && !p->own ? p->object->now[p->pgoff] : p->c;
}

/* Page i and the one after it belong to one region. */
static inline bool mp_joined(const struct model *m, unsigned i)
{
	const struct mpage *a = &m->page[i], *b = a + 1;

	return i + 1 < NR && a->mapped && b->mapped && a->flags == b->flags &&
	       a->object == b->object && a->name == b->name && a->policy == b->policy &&
	       (!a->object || a->pgoff + 1 == b->pgoff);
}

static inline unsigned model_end(const struct model *m, unsigned i)
{
	while (mp_joined(m, i))
		i++;
	return i + 1;
}

static inline unsigned model_start(const struct model *m, unsigned i)
{
	while (i && mp_joined(m, i - 1))
		i--;
	return i;
}

/* The first mapped page from i on; NR: none. */
static inline unsigned model_next(const struct model *m, unsigned i)
{
	while (i < NR && !m->page[i].mapped)
		i++;
	return i;
}

static inline bool is_data(ondol_vm_flags_t f)
{
	return (f & (ONDOL_VM_WRITE | ONDOL_VM_SHARED | ONDOL_VM_GROWSDOWN)) == ONDOL_VM_WRITE;
}

static inline struct mstats model_stats(const struct model *m)
{
	struct mstats s = { 0 };

	for (unsigned i = 0; i < NR; i++) {
		ondol_vm_flags_t f = m->page[i].flags;

		if (!m->page[i].mapped)
			continue;
		s.total++;
		s.data += is_data(f);
		s.exec += (f & (ONDOL_VM_EXEC | ONDOL_VM_WRITE | ONDOL_VM_GROWSDOWN)) ==
			  ONDOL_VM_EXEC;
		s.stack += (f & ONDOL_VM_GROWSDOWN) != 0;
		s.locked += (f & ONDOL_VM_LOCKED) != 0;
		s.regions += !mp_joined(m, i);
	}
	return s;
}

static inline bool within(uint64_t pages, uint64_t limit)
{
	return limit == UINT64_MAX || pages <= limit / ONDOL_PAGE_SIZE;
}

static inline bool model_may_expand(const struct model *m, ondol_vm_flags_t flags, uint64_t n)
{
	struct mstats s = model_stats(m);

	return within(s.total + n, m->limits.as) &&
	       (!is_data(flags) || within(s.data + n, m->limits.data));
}

static inline bool model_may_lock(const struct model *m, ondol_vm_flags_t flags, uint64_t n)
{
	return !(flags & ONDOL_VM_LOCKED) ||
	       within(model_stats(m).locked + n, m->limits.memlock);
}

static inline void model_unmap(struct model *m, unsigned lo, unsigned hi)
{
	for (; lo < hi; lo++)
		m->page[lo] = (struct mpage){ .mapped = false };
}

/* As if never touched. */
static inline void mp_reset(struct mpage *p)
{
	p->own = false;
	p->c = (struct content){ 0, 0 };
}

/* ------------------------------------------------------------------ finding room */

/* Marks the pages that a region found by itself may not cover. */
static inline void model_occupied(const struct model *m, bool *taken)
{
	for (unsigned i = 0; i < NR; i++)
		taken[i] = m->page[i].mapped;
	for (unsigned i = 1; i < NR; i++)
		if (m->page[i].mapped && (m->page[i].flags & ONDOL_VM_GROWSDOWN))
			for (unsigned n = 1; n <= GUARD && n <= i && !m->page[i - n].mapped; n++)
				taken[i - n] = true;
}

static inline bool all_free(const bool *taken, unsigned at, unsigned n)
{
	for (unsigned i = at; i < at + n; i++)
		if (i < NR && taken[i])
			return false;
	return true;
}

/* The page where mmap puts n pages; NR or more: outside of the window. */
static inline unsigned model_room(const struct model *m, bool hinted, unsigned hint, unsigned n)
{
	bool taken[NR];

	model_occupied(m, taken);
	if (hinted && all_free(taken, hint, n))
		return hint;
	for (unsigned at = m->mmap_base < n ? 0 : m->mmap_base - n + 1; at-- > 0;)
		if (all_free(taken, at, n))
			return at;
	for (unsigned at = 0; at < NR; at++)
		if (all_free(taken, at, n))
			return at + n <= NR ? at : NR;
	return NR;
}

/*
 * A file's region of at least 16 pages: where its page's number is `colour` modulo 16, if there
 * is room for that.
 */
static inline unsigned model_file_room(const struct model *m, bool hinted, unsigned hint,
				       unsigned n, bool is_file, unsigned colour)
{
	unsigned plain = model_room(m, hinted, hint, n);
	unsigned at = is_file && n >= 16 ? model_room(m, false, 0, n + 15) : NR;

	if (at + n + 15 > NR || (hinted && plain == hint))
		return plain;
	return at + (colour - at) % 16;
}

/* ------------------------------------------------------------------ faults */

/* Grow the region that begins at `to` down to page i, as a fault there does. */
static inline int model_grow_stack(struct model *m, unsigned i, unsigned to)
{
	struct mpage top = m->page[to];
	unsigned prev = i, n = to - i;

	if (!(top.flags & ONDOL_VM_GROWSDOWN))
		return -ONDOL_EFAULT;
	while (prev > 0 && !m->page[prev - 1].mapped)
		prev--;
	if (prev > 0) {
		ondol_vm_flags_t below = m->page[prev - 1].flags;

		if (!(below & ONDOL_VM_GROWSDOWN) && (below & ONDOL_VM_ACCESS) &&
		    i - prev < GUARD)
			return -ONDOL_EFAULT;
	}
	if (!within(model_end(m, to) - i, m->limits.stack) ||
	    !model_may_expand(m, top.flags, n) || !model_may_lock(m, top.flags, n) ||
	    (top.object && top.pgoff < n))
		return -ONDOL_EFAULT;
	mp_reset(&top);
	top.wrote = top.guard = false;
	for (unsigned at = i; at < to; at++) {
		m->page[at] = top;
		if (top.object)
			m->page[at].pgoff = top.pgoff - (to - at);
	}
	return 0;
}

/* Rights, and the end of the file; the region is there. */
static inline int mp_allows(const struct mpage *p, uint32_t access, uint32_t implied)
{
	if (!(p->flags & ONDOL_VM_ACCESS) ||
	    ((access & ONDOL_FAULT_WRITE) && !(p->flags & ONDOL_VM_WRITE)) ||
	    ((access & ONDOL_FAULT_EXEC) && !(p->flags & ONDOL_VM_EXEC) &&
	     !(implied & ONDOL_PROT_EXEC)))
		return -ONDOL_EACCES;
	if (mp_native(p))
		return -ONDOL_ENXIO;
	if (p->guard)
		return -ONDOL_EFAULT;
	return p->object && p->pgoff >= p->object->nr_pages ? -ONDOL_ENXIO : 0;
}

static inline int model_fault(struct model *m, unsigned i, uint32_t access, uint32_t implied)
{
	unsigned at = model_next(m, i);
	int r;

	if (at == NR)
		return -ONDOL_EFAULT;
	r = at == i ? 0 : model_grow_stack(m, i, at);
	return r ? r : mp_allows(&m->page[i], access, implied);
}

/* What mlock and MADV_POPULATE meet: the error of the first page that cannot be had. */
static inline int model_populate(const struct model *m, unsigned lo, unsigned hi, uint32_t access)
{
	for (; lo < hi; lo++) {
		const struct mpage *p = &m->page[lo];
		uint32_t a = access;
		int r;

		if (!p->mapped)
			return -ONDOL_EFAULT;
		if (!a)
			a = !mp_shared(p) && (p->flags & ONDOL_VM_WRITE) ? ONDOL_FAULT_WRITE :
									  ONDOL_FAULT_READ;
		/* By the region's flags first, the port's own regions too. */
		if (access && !(p->flags & (access == ONDOL_FAULT_WRITE ? ONDOL_VM_WRITE :
								      ONDOL_VM_READ)))
			return -ONDOL_EACCES;
		if (mp_native(p))
			r = p->object && !(p->flags & ONDOL_VM_ACCESS) ? -ONDOL_EACCES : 0;
		else
			r = mp_allows(p, a, 0);
		if (r) /* a guard is no hole */
			return r == -ONDOL_EFAULT ? -ONDOL_ENXIO : r;
	}
	return 0;
}

/* ------------------------------------------------------------------ the calls */

#define LOCKS (ONDOL_VM_LOCKED | ONDOL_VM_LOCKONFAULT)

/* Private pages that may be written are promised, and stay so. */
static inline ondol_vm_flags_t model_account(ondol_vm_flags_t flags)
{
	const ondol_vm_flags_t not_those = ONDOL_VM_SHARED | ONDOL_VM_NORESERVE;

	return flags | ((flags & ONDOL_VM_WRITE) && !(flags & not_those) ? ONDOL_VM_ACCOUNT : 0);
}

static inline int model_mprotect(struct model *m, unsigned lo, unsigned hi, ondol_vm_flags_t prot,
				 bool grows_down)
{
	unsigned at = model_next(m, lo);

	if (at >= hi)
		return -ONDOL_ENOMEM;
	if (grows_down) {
		if (!(m->page[at].flags & ONDOL_VM_GROWSDOWN))
			return -ONDOL_EINVAL;
		lo = model_start(m, at);
	}
	for (at = lo; at < hi;) {
		ondol_vm_flags_t old = m->page[at].flags;
		ondol_vm_flags_t flags = (old & ~ONDOL_VM_ACCESS) | prot;
		unsigned to;

		if (!m->page[at].mapped)
			return -ONDOL_ENOMEM;
		to = model_end(m, at);
		to = to < hi ? to : hi;
		if (prot & ~(old >> 4))
			return -ONDOL_EACCES;
		if (flags != old && (flags & ONDOL_VM_WRITE) &&
		    !model_may_expand(m, flags, to - at) && model_may_expand(m, old, to - at))
			return -ONDOL_ENOMEM;
		for (unsigned i = at; i < to; i++)
			m->page[i].flags = model_account(flags);
		if ((flags & ONDOL_VM_WRITE) && !(old & (ONDOL_VM_WRITE | ONDOL_VM_SHARED)) &&
		    (old & LOCKS) == ONDOL_VM_LOCKED)
			model_populate(m, at, to, 0);
		at = to;
	}
	return 0;
}

/* `lock`: 0, LOCKED, or all of LOCKS. */
static inline int model_mlock(struct model *m, unsigned lo, unsigned hi, ondol_vm_flags_t lock)
{
	uint64_t wanted = model_stats(m).locked;
	int r;

	for (unsigned i = lo; lock && i < hi; i++)
		wanted += !(m->page[i].mapped && (m->page[i].flags & ONDOL_VM_LOCKED));
	if (lock && !m->limits.memlock)
		return -ONDOL_EPERM;
	if (lock && !within(wanted, m->limits.memlock))
		return -ONDOL_ENOMEM;
	for (unsigned i = lo; i < hi; i++) {
		if (!m->page[i].mapped)
			return -ONDOL_ENOMEM;
		m->page[i].flags &= ~LOCKS;
		if (!mp_native(&m->page[i]))
			m->page[i].flags |= lock;
	}
	r = lock == ONDOL_VM_LOCKED ? model_populate(m, lo, hi, 0) : 0;
	return r ? -ONDOL_ENOMEM : 0;
}

/* `all` 0: munlockall. */
static inline int model_mlockall(struct model *m, uint32_t all)
{
	ondol_vm_flags_t lock = all & ONDOL_MCL_ONFAULT ? LOCKS : all ? ONDOL_VM_LOCKED : 0;

	if (all == ONDOL_MCL_ONFAULT)
		return -ONDOL_EINVAL;
	if (all && !m->limits.memlock)
		return -ONDOL_EPERM;
	if (all & ONDOL_MCL_CURRENT && !within(model_stats(m).total, m->limits.memlock))
		return -ONDOL_ENOMEM;
	m->new_flags = all & ONDOL_MCL_FUTURE ? lock : 0;
	for (unsigned i = 0; i < NR && !(all && !(all & ONDOL_MCL_CURRENT)); i++) {
		m->page[i].flags &= ~LOCKS;
		if (m->page[i].mapped && !mp_native(&m->page[i]))
			m->page[i].flags |= lock;
	}
	return 0;
}

enum { /* advice, in Linux's numbers */
	A_NORMAL, A_RANDOM, A_SEQUENTIAL, A_WILLNEED, A_DONTNEED, A_FREE = 8, A_REMOVE,
	A_DONTFORK, A_DOFORK, A_MERGEABLE, A_UNMERGEABLE, A_HUGEPAGE, A_NOHUGEPAGE,
	A_DONTDUMP, A_DODUMP, A_WIPEONFORK, A_KEEPONFORK, A_COLD, A_PAGEOUT,
	A_POPULATE_READ, A_POPULATE_WRITE, A_DONTNEED_LOCKED,
	A_GUARD_INSTALL = 102, A_GUARD_REMOVE = 103,
};

static inline ondol_vm_flags_t model_advice_flags(ondol_vm_flags_t f, int advice)
{
	static const struct {
		int advice;
		ondol_vm_flags_t clear, set;
	} table[] = {
		{ A_DONTFORK, 0, ONDOL_VM_DONTFORK },
		{ A_DOFORK, ONDOL_VM_DONTFORK, 0 },
		{ A_MERGEABLE, 0, ONDOL_VM_MERGEABLE },
		{ A_UNMERGEABLE, ONDOL_VM_MERGEABLE, 0 },
		{ A_HUGEPAGE, ONDOL_VM_NOHUGEPAGE, ONDOL_VM_HUGEPAGE },
		{ A_NOHUGEPAGE, ONDOL_VM_HUGEPAGE, ONDOL_VM_NOHUGEPAGE },
		{ 0, ONDOL_VM_SEQ_READ | ONDOL_VM_RAND_READ, 0 },
		{ 1, ONDOL_VM_SEQ_READ, ONDOL_VM_RAND_READ },
		{ 2, ONDOL_VM_RAND_READ, ONDOL_VM_SEQ_READ },
		{ A_DONTDUMP, 0, ONDOL_VM_DONTDUMP },
		{ A_DODUMP, ONDOL_VM_DONTDUMP, 0 },
		{ A_WIPEONFORK, 0, ONDOL_VM_WIPEONFORK },
		{ A_KEEPONFORK, ONDOL_VM_WIPEONFORK, 0 },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].advice == advice)
			return (f & ~table[i].clear) | table[i].set;
	return f;
}

/* May one region be advised so?  All of its pages are alike. */
static inline int mp_advice_error(const struct mpage *p, int advice)
{
	bool locked = p->flags & ONDOL_VM_LOCKED;

	switch (advice) {
	case A_DONTNEED:
	case A_COLD:
	case A_PAGEOUT:
		return locked ? -ONDOL_EINVAL : 0;
	case A_FREE:
		return locked || mp_native(p) || p->object ? -ONDOL_EINVAL : 0;
	case A_REMOVE:
		if (locked || !p->object || mp_native(p))
			return -ONDOL_EINVAL;
		if (!mp_shared(p) || !(p->flags & ONDOL_VM_MAYWRITE))
			return -ONDOL_EACCES;
		return p->object->mapping ? -ONDOL_EINVAL : 0;
	case A_WIPEONFORK:
		return p->object || mp_shared(p) || mp_native(p) ? -ONDOL_EINVAL : 0;
	case A_GUARD_INSTALL:
		return locked || (mp_native(p) && !p->object) ? -ONDOL_EINVAL : 0;
	case A_GUARD_REMOVE:
	case A_DODUMP:
		return mp_native(p) && !p->object ? -ONDOL_EINVAL : 0;
	default:
		return 0;
	}
}

static inline void mp_advise(struct mpage *p, int advice)
{
	if ((advice == A_DONTNEED || advice == A_DONTNEED_LOCKED) && !mp_native(p))
		mp_reset(p);
	if ((advice == A_GUARD_INSTALL || advice == A_GUARD_REMOVE) && !mp_native(p)) {
		p->guard = advice == A_GUARD_INSTALL;
		if (p->guard)
			mp_reset(p);
	}
	if (advice == A_MERGEABLE && (mp_shared(p) || (mp_native(p) && !p->object)))
		return; /* nothing to them */
	if (advice == A_REMOVE)
		p->object->now[p->pgoff] = (struct content){ 0, 0 };
	p->flags = model_advice_flags(p->flags, advice);
}

static inline int model_madvise(struct model *m, unsigned lo, unsigned hi, int advice)
{
	bool hole = false;

	if (advice == A_POPULATE_READ || advice == A_POPULATE_WRITE) {
		int r = model_populate(m, lo, hi, advice == A_POPULATE_WRITE ? ONDOL_FAULT_WRITE :
									 ONDOL_FAULT_READ);

		return r == -ONDOL_EFAULT ? -ONDOL_ENOMEM : r == -ONDOL_EACCES ? -ONDOL_EINVAL :
		       r ? -ONDOL_EFAULT : 0;
	}
	while (lo < hi) {
		unsigned to;
		int r;

		if (!m->page[lo].mapped) {
			hole = true;
			lo++;
			continue;
		}
		to = model_end(m, lo);
		r = mp_advice_error(&m->page[lo], advice);
		if (r)
			return r;
		for (; lo < to && lo < hi; lo++)
			mp_advise(&m->page[lo], advice);
	}
	return hole ? -ONDOL_ENOMEM : 0;
}

/* n pages more, `taken` others go first. */
static inline bool model_may_swap(const struct model *m, ondol_vm_flags_t flags, unsigned n,
				  unsigned taken)
{
	return model_may_expand(m, flags, n) ||
	       model_may_expand(m, flags, n > taken ? n - taken : 0);
}

/* remap_file_pages: pages [lo, hi) show their object's from pgoff on. */
static inline int model_window(struct model *m, unsigned lo, unsigned hi, uint32_t pgoff)
{
	const ondol_vm_flags_t writable = ONDOL_VM_SHARED | ONDOL_VM_MAYWRITE;
	const ondol_vm_flags_t kept = 0xff | ONDOL_VM_NATIVE | ONDOL_VM_LOCKED;
	struct mpage like = m->page[lo];

	if (lo == hi || !like.mapped || (like.flags & writable) != writable || !like.object)
		return -ONDOL_EINVAL;
	for (unsigned i = lo; i < hi; i++)
		if (!m->page[i].mapped || m->page[i].flags != like.flags ||
		    m->page[i].object != like.object)
			return -ONDOL_EINVAL;
	like.flags = (like.flags & kept) | m->new_flags;
	if (!model_may_lock(m, like.flags, hi - lo))
		return -ONDOL_EAGAIN;
	if (!model_may_swap(m, like.flags, hi - lo, hi - lo))
		return -ONDOL_ENOMEM;
	model_unmap(m, lo, hi);
	mp_reset(&like);
	like.wrote = like.guard = false;
	like.policy = 0;
	for (unsigned i = lo; i < hi; i++) {
		m->page[i] = like;
		m->page[i].pgoff = pgoff + (i - lo);
	}
	return 0;
}

struct mremap {
	uint32_t flags;
	unsigned old_at, old_n, new_at, new_n; /* pages; new_at with FIXED or DONTUNMAP */
};

/* The region that old_at is in may get new_n pages. */
static inline int model_mremap_check(const struct model *m, const struct mremap *r,
				     unsigned old_n, unsigned taken)
{
	const struct mpage *p = &m->page[r->old_at];
	unsigned more = r->new_n - old_n;

	if (!old_n && !mp_shared(p))
		return -ONDOL_EINVAL;
	if ((r->flags & ONDOL_MREMAP_DONTUNMAP) && mp_native(p))
		return -ONDOL_EINVAL;
	if (old_n > model_end(m, r->old_at) - r->old_at)
		return -ONDOL_EFAULT;
	if (r->new_n <= old_n)
		return 0;
	if (mp_native(p))
		return -ONDOL_EFAULT;
	if (!model_may_lock(m, p->flags, more))
		return -ONDOL_EAGAIN;
	return model_may_swap(m, p->flags, more, taken) ? 0 : -ONDOL_ENOMEM;
}

/* Pages [from, n) of a region that begins at `to` and is like page `at`, untouched. */
static inline void model_spread(struct model *m, unsigned at, unsigned to, unsigned from,
				unsigned n)
{
	struct mpage like = m->page[at];

	mp_reset(&like);
	like.wrote = like.guard = false;
	for (unsigned i = from; i < n; i++) {
		m->page[to + i] = like;
		if (like.object)
			m->page[to + i].pgoff += i;
	}
}

static inline void model_move(struct model *m, const struct mremap *r, unsigned old_n, unsigned to)
{
	for (unsigned i = 0; i < old_n; i++)
		m->page[to + i] = m->page[r->old_at + i];
	model_spread(m, r->old_at, to, old_n, r->new_n);
	for (unsigned i = r->old_at; i < r->old_at + old_n; i++) {
		if (!(r->flags & ONDOL_MREMAP_DONTUNMAP)) {
			m->page[i] = (struct mpage){ .mapped = false };
			continue;
		}
		mp_reset(&m->page[i]);
		m->page[i].wrote = m->page[i].guard = false;
		m->page[i].flags &= ~LOCKS;
	}
}

/* *out: the page it ends up at; NR or more: outside, nothing has been done. */
static inline int model_mremap(struct model *m, const struct mremap *r, unsigned *out)
{
	bool dontunmap = r->flags & ONDOL_MREMAP_DONTUNMAP;
	unsigned old_n = r->old_n, end = r->old_at + old_n;
	int e;

	*out = r->old_at;
	if (!m->page[r->old_at].mapped)
		return -ONDOL_EFAULT;
	if (r->flags & ONDOL_MREMAP_FIXED) {
		unsigned taken = 0;

		old_n = old_n < r->new_n ? old_n : r->new_n;
		for (unsigned i = r->new_at; i < r->new_at + r->new_n; i++)
			taken += m->page[i].mapped;
		e = model_mremap_check(m, r, old_n, taken);
		if (!e && dontunmap &&
		    !model_may_swap(m, m->page[r->old_at].flags, r->new_n, taken))
			e = -ONDOL_ENOMEM;
		if (e)
			return e;
		model_unmap(m, r->new_at, r->new_at + r->new_n);
		model_unmap(m, r->old_at + old_n, end);
		*out = r->new_at;
		model_move(m, r, old_n, r->new_at);
		return 0;
	}
	if (old_n >= r->new_n && !dontunmap) {
		model_unmap(m, r->old_at + r->new_n, end);
		return 0;
	}
	e = model_mremap_check(m, r, old_n, 0);
	if (!e && dontunmap && !model_may_expand(m, m->page[r->old_at].flags, r->new_n))
		e = -ONDOL_ENOMEM;
	if (e)
		return e;
	if (!dontunmap && old_n && model_end(m, r->old_at) == end &&
	    model_next(m, end) >= r->old_at + r->new_n) {
		if (r->old_at + r->new_n > NR) {
			*out = NR;
			return 0;
		}
		model_spread(m, r->old_at, r->old_at, old_n, r->new_n);
		return 0;
	}
	if (!(r->flags & ONDOL_MREMAP_MAYMOVE))
		return -ONDOL_ENOMEM;
	*out = model_room(m, dontunmap && r->new_at, r->new_at, r->new_n);
	if (*out < NR)
		model_move(m, r, old_n, *out);
	return 0;
}

static inline void model_fork(struct model *child, const struct model *parent)
{
	*child = *parent;
	child->new_flags = 0;
	for (unsigned i = 0; i < NR; i++) {
		struct mpage *p = &child->page[i];

		if (p->flags & ONDOL_VM_DONTFORK)
			*p = (struct mpage){ .mapped = false };
		if (p->flags & ONDOL_VM_WIPEONFORK) {
			mp_reset(p);
			p->guard = false;
		}
		p->flags &= ~LOCKS;
	}
}

#endif /* TESTS_SUPPORT_MM_MODEL_H */

/* SPDX-License-Identifier: MIT */
/*
 * The world of tests/model/mm_test.c: a machine with some files and processes, the checks that
 * compare it with the model, and what random numbers choose.
 */
#ifndef TESTS_SUPPORT_MM_WORLD_H
#define TESTS_SUPPORT_MM_WORLD_H

#include <setjmp.h>

#include "support/mm_model.h"
#include "support/swap.h"
#include "support/toy.h"

#define MMS 5
#define FILES 3
#define OBJECTS 400
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MAY_ALL (ONDOL_VM_MAYREAD | ONDOL_VM_MAYWRITE | ONDOL_VM_MAYEXEC)

struct config {
	const char *name;
	enum hw_kind kind;
	bool no_write_trap, with_protect;
	const struct ondol_profile *profile;
	uint64_t low_bytes; /* of the direct map; 0: all memory */
	bool swap; /* and frames that are taken away */
	bool ksm; /* and pages that are often equal */
	enum ondol_thp thp; /* and operations on whole ranges of a page table */
};

#define POLICIES 5
#define NODES 2
#define ZRAM_PAGES 200u /* of the first swap area */

struct world {
	const struct config *config;
	struct toy toy;
	struct hw hw;
	struct ondol_machine_stats before;
	struct model *mm[MMS];
	struct object *object[OBJECTS]; /* the first FILES are files */
	unsigned nr_mms, nr_objects;
	uint64_t next_tag;
	struct ondol_mempolicy policy[POLICIES]; /* of regions, by mpage.policy; 0: none */
	uint32_t implied; /* rights that every page of the format has */
	struct test_swap swap;
	struct ondol_page *squeezed[8192]; /* frames taken from the machine */
	uint32_t nr_squeezed;
	jmp_buf failed;
	char why[400];
};

static struct world w;

static void __attribute__((noreturn, format(printf, 1, 2))) broken(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(w.why, sizeof w.why, fmt, args);
	va_end(args);
	longjmp(w.failed, 1);
}

static void hardware_broken(void *ctx, const char *text)
{
	(void)ctx;
	broken("[MMU-1] %s", text);
}

static void expect(const char *what, int64_t got, int64_t expected)
{
	if (got != expected)
		broken("%s: %lld, expected %lld", what, (long long)got, (long long)expected);
}

/* ------------------------------------------------------------------ files */

static struct content original(const struct object *o, uint64_t page)
{
	struct content c = { 0, 0 };

	if (o->mapping && page < o->nr_pages)
		c.first = c.last = UINT64_C(0xf11e0000) + ((uint64_t)o->index << 12) + page;
	return c;
}

static void put_content(void *host, struct content c)
{
	memcpy(host, &c.first, 8);
	memcpy((char *)host + ONDOL_PAGE_SIZE - 8, &c.last, 8);
}

static struct content get_content(const void *host)
{
	struct content c;

	memcpy(&c.first, host, 8);
	memcpy(&c.last, (const char *)host + ONDOL_PAGE_SIZE - 8, 8);
	return c;
}

static bool same_content(struct content a, struct content b)
{
	return a.first == b.first && a.last == b.last;
}

static int file_read(void *ctx, uint64_t pgoff, uint32_t nr_pages, void *host)
{
	struct object *o = ctx;

	for (uint32_t i = 0; i < nr_pages; i++) {
		unsigned char *page = (unsigned char *)host + i * ONDOL_PAGE_SIZE;

		memset(page, 0x5a, ONDOL_PAGE_SIZE);
		put_content(page, o->stored[pgoff + i]);
	}
	return 0;
}

static int file_write(void *ctx, uint64_t pgoff, const void *host)
{
	struct object *o = ctx;

	o->stored[pgoff] = get_content(host);
	return 0;
}

static uint64_t file_size(void *ctx)
{
	return ((struct object *)ctx)->nr_pages * ONDOL_PAGE_SIZE - 100;
}

static void file_release(void *ctx)
{
	((struct object *)ctx)->mapping = NULL;
}

static struct object *new_object(uint64_t nr_pages)
{
	struct object *o = calloc(1, sizeof *o);

	if (!o || w.nr_objects == OBJECTS)
		abort();
	o->index = (int)w.nr_objects;
	o->nr_pages = nr_pages;
	w.object[w.nr_objects++] = o;
	return o;
}

static void new_file(uint64_t nr_pages)
{
	static const struct ondol_address_space_ops ops = {
		.size = sizeof ops, .read_pages = file_read, .write_page = file_write,
		.size_bytes = file_size, .release = file_release,
	};
	struct ondol_file_args args = { .size = sizeof args, .name = "/file" };
	struct object *o = new_object(nr_pages);

	expect("address_space_create",
	       ondol_address_space_create(w.toy.m, &ops, o, &o->mapping), 0);
	for (uint64_t i = 0; i < nr_pages; i++)
		o->now[i] = o->stored[i] = original(o, i);
	args.mapping = o->mapping;
	expect("file_create", ondol_file_create(w.toy.m, &args, &o->file), 0);
	ondol_address_space_put(o->mapping);
}

/* ------------------------------------------------------------------ checks */

struct region_check {
	const struct model *m;
	unsigned at;
};

static int check_region(void *ctx, const struct ondol_vma_info *vma)
{
	struct region_check *c = ctx;
	unsigned start = model_next(c->m, c->at), end;
	const struct mpage *p = &c->m->page[start];

	if (start == NR)
		broken("region at %#llx, expected none", (unsigned long long)vma->start);
	end = model_end(c->m, start);
	if (vma->start != hw_addr(&w.hw, start) || vma->end != hw_addr(&w.hw, end))
		broken("region of pages [%lld, %lld), expected [%u, %u)",
		       (long long)(vma->start / ONDOL_PAGE_SIZE - w.hw.first),
		       (long long)(vma->end / ONDOL_PAGE_SIZE - w.hw.first), start, end);
	if (vma->vm_flags != p->flags)
		broken("region at page %u: flags %#x, expected %#x", start, vma->vm_flags,
		       p->flags);
	if (vma->file != (p->object ? p->object->file : NULL) ||
	    vma->pgoff != (p->object ? p->pgoff : 0))
		broken("region at page %u: another file, or page %llu of it, expected %u", start,
		       (unsigned long long)vma->pgoff, p->pgoff);
	struct ondol_mempolicy policy;

	expect("vma_policy", ondol_vma_policy(c->m->mm, vma->start, &policy), 0);
	if (policy.mode != w.policy[p->policy].mode || policy.nodes != w.policy[p->policy].nodes)
		broken("region at page %u: policy %u of nodes %#llx, expected number %u", start,
		       policy.mode, (unsigned long long)policy.nodes, p->policy);
	c->at = end;
	return 0;
}

static void check_regions(const struct model *m)
{
	struct region_check c = { m, 0 };

	ondol_for_each_vma(m->mm, check_region, &c);
	if (model_next(m, c.at) != NR)
		broken("no region at page %u", model_next(m, c.at));
}

/* One page that has an entry. */
static void check_present(struct model *m, unsigned i, struct ondol_pte_view entry)
{
	struct mpage *p = &m->page[i];
	uint64_t pfn = ondol_phys_to_pfn(entry.phys).value;
	const struct ondol_page *frame = ondol_pfn_to_page(w.toy.m, ondol_pfn(pfn));
	const void *host = (unsigned char *)w.toy.ram + entry.phys.value;
	bool anon = ondol_page_use(frame) == ONDOL_PAGE_ANON;

	if (!p->mapped || mp_native(p))
		broken("page %u: has a frame", i);
	/* Copied by a fault that counts as a write, or beside one: now it is a copy. */
	if (p->object && anon && !p->own) {
		p->c = p->object->now[p->pgoff];
		p->own = true;
	}
	if (anon != (!p->object || p->own) || (anon && mp_shared(p)))
		broken("page %u: frame of the wrong kind", i);
	if (!same_content(get_content(host), mp_content(p)))
		broken("page %u: shows %#llx %#llx, expected %#llx %#llx", i,
		       (unsigned long long)get_content(host).first,
		       (unsigned long long)get_content(host).last,
		       (unsigned long long)mp_content(p).first,
		       (unsigned long long)mp_content(p).last);
	if (!anon) { /* everybody sees the one frame */
		uint64_t *seen = &p->object->pfn[p->pgoff];

		if (*seen && *seen != pfn)
			broken("page %u: a second frame for page %u of object %d", i, p->pgoff,
			       p->object->index);
		*seen = pfn;
	}
	/* A translation that the program may never write through must not exist. */
	if (w.hw.no_write_trap && entry.accessed && !mp_shared(p) &&
	    (p->flags & ONDOL_VM_WRITE) && !(entry.prot & ONDOL_PROT_WRITE))
		broken("page %u: accessed and read-only where writes do not trap", i);
}

/*
 * Where there is no frame but contents: an entry for a slot.  What is in one of the compressed
 * area is seen when the page is read.
 */
static void check_absent(struct model *m, unsigned i)
{
	const void *entry = hw_slot(&w.hw, m->mm, hw_addr(&w.hw, i), 0, NULL, NULL);
	uint64_t pte = entry ? hw_load(&w.hw, entry) : 0;
	uint64_t slot = (pte & w.hw.format->phys_mask) >> ONDOL_PAGE_SHIFT;

	if (!(pte & w.hw.format->swap_mask))
		broken("page %u: its contents are lost", i);
	if (slot < ZRAM_PAGES)
		return;
	slot -= ZRAM_PAGES;
	if (slot >= w.swap.nr_pages || !w.swap.used[slot])
		broken("page %u: names slot %llu, which is free", i, (unsigned long long)slot);
	if (!same_content(get_content(w.swap.pages + slot * ONDOL_PAGE_SIZE),
			  mp_content(&m->page[i])))
		broken("page %u: slot %llu has other contents", i, (unsigned long long)slot);
}

static void check_pages(struct model *m)
{
	uint64_t rss = 0;
	struct ondol_mm_stats s;
	struct mstats expected = model_stats(m);

	for (unsigned i = 0; i < NR; i++) {
		struct ondol_pte_view entry = hw_entry(&w.hw, m->mm, hw_addr(&w.hw, i));
		const struct mpage *p = &m->page[i];

		if (entry.present) {
			rss++;
			check_present(m, i, entry);
		} else if (p->mapped && (p->own || (!p->object && (p->c.first || p->c.last)))) {
			check_absent(m, i);
		}
	}
	ondol_mm_stats(m->mm, &s);
	expect("rss", (int64_t)(s.rss_anon + s.rss_file + s.rss_shmem), (int64_t)rss);
	expect("nr_vma", (int64_t)s.nr_vma, (int64_t)expected.regions);
	expect("total_vm", (int64_t)s.total_vm, (int64_t)expected.total);
	expect("data_vm", (int64_t)s.data_vm, (int64_t)expected.data);
	expect("exec_vm", (int64_t)s.exec_vm, (int64_t)expected.exec);
	expect("stack_vm", (int64_t)s.stack_vm, (int64_t)expected.stack);
	expect("locked_vm", (int64_t)s.locked_vm, (int64_t)expected.locked);
}

static void check_world(bool all)
{
	struct ondol_broken_invariant b;

	for (unsigned i = 0; i < w.nr_objects; i++)
		memset(w.object[i]->pfn, 0, sizeof w.object[i]->pfn);
	for (unsigned i = 0; i < w.nr_mms; i++) {
		check_regions(w.mm[i]);
		check_pages(w.mm[i]);
		hw_check(&w.hw, w.mm[i]->mm);
		if (ondol_mm_validate(w.mm[i]->mm, &b))
			broken("mm %u: [%s] %s at %#llx: expected %#llx, is %#llx", i, b.id,
			       b.text, (unsigned long long)b.where,
			       (unsigned long long)b.expected, (unsigned long long)b.actual);
	}
	if (all && ondol_machine_validate(w.toy.m, &b))
		broken("machine: [%s] %s at %#llx: expected %#llx, is %#llx", b.id, b.text,
		       (unsigned long long)b.where, (unsigned long long)b.expected,
		       (unsigned long long)b.actual);
}

/* ------------------------------------------------------------------ choosing */

/* Mostly a page that is mapped. */
static unsigned pick_page(const struct model *m, uint64_t a)
{
	unsigned nr = 0, n;

	for (unsigned i = 0; i < NR; i++)
		nr += m->page[i].mapped;
	if (!nr || (a >> 60) < 3)
		return (unsigned)(a % NR);
	n = (unsigned)(a % nr);
	for (unsigned i = 0; i < NR; i++)
		if (m->page[i].mapped && !n--)
			return i;
	return 0;
}

static unsigned pick_length(uint64_t b)
{
	return 1 + (unsigned)((b >> 61) < 2 ? b % 48 : b % 6);
}

struct range {
	uint64_t addr, length; /* bytes, as given to the call */
	unsigned lo, hi;       /* pages, if the arguments are sound */
	bool unaligned;
};

/* A range inside the window; sometimes with an odd begin or length. */
static struct range pick_range(const struct model *m, uint64_t a, uint64_t b)
{
	struct range r = { .lo = pick_page(m, a) };

	r.hi = r.lo + pick_length(b);
	if (r.hi > NR)
		r.hi = NR;
	r.addr = hw_addr(&w.hw, r.lo);
	r.length = (r.hi - r.lo) * ONDOL_PAGE_SIZE;
	r.unaligned = (b >> 32) % 40 == 0;
	if (r.unaligned)
		r.addr += 1 + (b >> 32) % 4095;
	else if ((b >> 32) % 3 == 1)
		r.length -= (b >> 40) % ONDOL_PAGE_SIZE;
	return r;
}

static ondol_vm_flags_t pick_prot(uint64_t a)
{
	return (ondol_vm_flags_t)(a % 4 ? ONDOL_VM_READ | (a >> 8) % 4 : (a >> 8) % 8);
}

/* What a run leaves, which ended in the middle if it failed. */
static void clean_up(bool failed)
{
	for (unsigned i = 0; i < w.nr_objects; i++)
		free(w.object[i]);
	w.nr_objects = 0;
	if (!failed)
		return;
	for (unsigned i = 0; i < w.nr_mms; i++) {
		free(ondol_mm_private(w.mm[i]->mm));
		free(w.mm[i]);
	}
	w.nr_mms = 0;
	test_swap_free(&w.swap);
	toy_ram_free(&w.toy);
	free(w.toy.storage);
}

#endif /* TESTS_SUPPORT_MM_WORLD_H */

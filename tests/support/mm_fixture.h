/* SPDX-License-Identifier: MIT */
/*
 * For tests of address spaces: a small machine, an mm, files that tell their page numbers,
 * and short words for mapping, touching and comparing.  Include after cmocka.h.
 *
 * Addresses are counted in pages of the area at AT(0), 1 GiB up.
 */
#ifndef TESTS_SUPPORT_MM_FIXTURE_H
#define TESTS_SUPPORT_MM_FIXTURE_H

#include "support/toy.h"

#define PAGE ONDOL_PAGE_SIZE
#define AT(page) (UINT64_C(0x40000000) + (uint64_t)(page) * ONDOL_PAGE_SIZE)
#define R ONDOL_VM_READ
#define W ONDOL_VM_WRITE
#define X ONDOL_VM_EXEC
#define RW (R | W)
#define S ONDOL_VM_SHARED
#define MAY (ONDOL_VM_MAYREAD | ONDOL_VM_MAYWRITE | ONDOL_VM_MAYEXEC)

struct test_file {
	struct ondol_file *file;
	struct ondol_address_space *mapping;
	uint64_t size;       /* bytes; may change */
	uint64_t reads;      /* pages read */
	uint64_t writes;     /* pages written back */
	uint64_t tag[256];   /* what each page of the disk says */
	int fail_write;      /* what write_page returns */
	bool released;
};

struct fixture {
	struct toy toy;
	struct ondol_machine *m;
	struct ondol_mm_struct *mm;
	struct ondol_machine_stats before; /* an mm without regions is there */
};

static struct fixture fx;

/* ------------------------------------------------------------------ life */

static inline struct ondol_mm_struct *new_mm(void)
{
	struct ondol_mm_struct *mm;

	assert_int_equal(ondol_mm_create(fx.m, &mm), 0);
	return mm;
}

static inline void begin_with(uint64_t mib, const struct ondol_profile *profile,
			      const struct ondol_mmu_ops *mmu, void *mmu_ctx)
{
	memset(&fx, 0, sizeof fx);
	assert_int_equal(toy_new(&fx.toy, mib, 1, profile, mmu, mmu_ctx), 0);
	fx.m = fx.toy.m;
	fx.mm = new_mm();
	ondol_drain_all_pages(fx.m);
	ondol_machine_stats(fx.m, &fx.before);
}

static inline void begin(void)
{
	begin_with(16, NULL, NULL, NULL);
}

static inline void assert_valid(void)
{
	struct ondol_broken_invariant b;

	if (ondol_machine_validate(fx.m, &b))
		fail_msg("[%s] %s at %#llx: expected %#llx, is %#llx", b.id, b.text,
			 (unsigned long long)b.where, (unsigned long long)b.expected,
			 (unsigned long long)b.actual);
}

/* The machine is broken just so. */
static inline void assert_names(const char *id)
{
	struct ondol_broken_invariant b = { .id = "none" };

	assert_int_equal(ondol_machine_validate(fx.m, &b), -ONDOL_EUCLEAN);
	assert_string_equal(b.id, id);
	assert_true(b.text && *b.text);
}

/* `check` holds while `place` has the value `wrong`. */
#define WHILE_WRONG(place, wrong, check)                                                      \
	do {                                                                                  \
		__typeof__(place) saved_ = (place);                                           \
		(place) = (wrong);                                                            \
		check;                                                                        \
		(place) = saved_;                                                             \
		assert_valid();                                                               \
	} while (0)
#define NAMES_WHILE_WRONG(id, place, wrong) WHILE_WRONG(place, wrong, assert_names(id))

static inline struct ondol_machine_stats machine_stats(void)
{
	struct ondol_machine_stats s;

	ondol_machine_stats(fx.m, &s);
	return s;
}

/* Frames of a use beyond what `begin` left. */
static inline uint64_t frames(enum ondol_page_use use)
{
	return machine_stats().pages[use] - fx.before.pages[use];
}

/* G10: all is put, and everything is back. */
static inline void end(void)
{
	struct ondol_machine_stats s;

	assert_valid();
	ondol_mmput(fx.mm);
	s = machine_stats();
	assert_int_equal(s.nr_mm, 0);
	assert_int_equal(s.nr_vma, 0);
	assert_int_equal(s.pages[ONDOL_PAGE_ANON], 0);
	assert_int_equal(s.pages[ONDOL_PAGE_PGTABLE], 0);
	assert_int_equal(s.pages[ONDOL_PAGE_CACHE], 0);
	assert_int_equal(toy_free(&fx.toy), 0);
}

/* ------------------------------------------------------------------ files */

static inline uint64_t page_tag(uint64_t page)
{
	return UINT64_C(0xf11e0000) + page;
}

static inline int test_file_read(void *ctx, uint64_t pgoff, uint32_t nr_pages, void *host)
{
	struct test_file *f = ctx;
	uint64_t nr = (f->size + PAGE - 1) / PAGE;

	__atomic_fetch_add(&f->reads, nr_pages, __ATOMIC_RELAXED);
	memset(host, 0, nr_pages * PAGE);
	for (uint32_t i = 0; i < nr_pages; i++) {
		assert_true(pgoff + i < nr);
		memcpy((char *)host + i * PAGE, &f->tag[pgoff + i], 8);
	}
	return 0;
}

static inline int test_file_write(void *ctx, uint64_t pgoff, const void *host)
{
	struct test_file *f = ctx;

	if (f->fail_write)
		return f->fail_write;
	f->writes++;
	memcpy(&f->tag[pgoff], host, 8);
	return 0;
}

static inline uint64_t test_file_size(void *ctx)
{
	return ((struct test_file *)ctx)->size;
}

static inline void test_file_release(void *ctx)
{
	((struct test_file *)ctx)->released = true;
}

static inline int test_file_try(struct test_file *f, uint64_t size, const char *name)
{
	static const struct ondol_address_space_ops ops = {
		.size = sizeof ops, .read_pages = test_file_read, .write_page = test_file_write,
		.size_bytes = test_file_size, .release = test_file_release,
	};
	struct ondol_file_args args = { .size = sizeof args, .name = name, .dev_major = 8,
					.dev_minor = 1, .ino = 4711 };
	int r;

	memset(f, 0, sizeof *f);
	f->size = size;
	for (uint64_t i = 0; i < 256; i++)
		f->tag[i] = page_tag(i);
	r = ondol_address_space_create(fx.m, &ops, f, &f->mapping);
	if (r)
		return r;
	args.mapping = f->mapping;
	r = ondol_file_create(fx.m, &args, &f->file);
	ondol_address_space_put(f->mapping);
	return r;
}

static inline void open_file(struct test_file *f, uint64_t size)
{
	assert_int_equal(test_file_try(f, size, "/tmp/file"), 0);
}

/* Regions may still hold it. */
static inline void close_file(struct test_file *f)
{
	ondol_file_put(f->file);
	f->file = NULL;
}

/* ------------------------------------------------------------------ calls */

static inline int try_map(struct ondol_mm_struct *mm, uint64_t addr, uint64_t pages,
			  ondol_vm_flags_t flags, uint32_t map_flags, const struct test_file *f,
			  uint64_t pgoff, uint64_t *out_addr)
{
	struct ondol_mmap_args args = { .size = sizeof args, .map_flags = map_flags,
					.vm_flags = flags, .addr = addr, .length = pages * PAGE,
					.file = f ? f->file : NULL, .pgoff = pgoff };

	return ondol_mmap(mm, &args, out_addr);
}

/* Exactly there. */
static inline void map_at(struct ondol_mm_struct *mm, uint64_t addr, uint64_t pages,
			  ondol_vm_flags_t flags, const struct test_file *f, uint64_t pgoff)
{
	uint64_t at = 0;

	assert_int_equal(try_map(mm, addr, pages, flags, ONDOL_MAP_FIXED, f, pgoff, &at), 0);
	assert_int_equal(at, addr);
}

static inline void map(uint64_t page, uint64_t pages, ondol_vm_flags_t flags)
{
	map_at(fx.mm, AT(page), pages, flags, NULL, 0);
}

static inline void map_file(uint64_t page, uint64_t pages, ondol_vm_flags_t flags,
			    const struct test_file *f, uint64_t pgoff)
{
	map_at(fx.mm, AT(page), pages, flags, f, pgoff);
}

static inline void unmap(uint64_t page, uint64_t pages)
{
	assert_int_equal(ondol_munmap(fx.mm, AT(page), pages * PAGE), 0);
}

static inline void protect(uint64_t page, uint64_t pages, ondol_vm_flags_t prot)
{
	assert_int_equal(ondol_mprotect(fx.mm, AT(page), pages * PAGE, prot, false), 0);
}

static inline int fault_at(struct ondol_mm_struct *mm, uint64_t addr, uint32_t access,
			   uint32_t around, struct ondol_fault_result *out)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = access, .addr = addr,
					 .nr_around = around };

	return ondol_handle_mm_fault(mm, &args, out);
}

/* A fault that must succeed; what it took. */
static inline struct ondol_fault_result touch_around(uint64_t page, uint32_t access,
						     uint32_t around)
{
	struct ondol_fault_result result;

	assert_int_equal(fault_at(fx.mm, AT(page) + 8, access, around, &result), 0);
	return result;
}

static inline enum ondol_fault_kind touch(uint64_t page, uint32_t access)
{
	return touch_around(page, access, 1).kind;
}

/* A fault that must fail; its error. */
static inline int refusal(uint64_t addr, uint32_t access)
{
	struct ondol_fault_result result;

	return fault_at(fx.mm, addr, access, 1, &result);
}

static inline uint64_t peek_in(struct ondol_mm_struct *mm, uint64_t page)
{
	uint64_t word;

	assert_int_equal(ondol_copy_from_user(mm, &word, AT(page), sizeof word), 0);
	return word;
}

static inline void poke_in(struct ondol_mm_struct *mm, uint64_t page, uint64_t word)
{
	assert_int_equal(ondol_copy_to_user(mm, AT(page), &word, sizeof word), 0);
}

static inline uint64_t peek(uint64_t page)
{
	return peek_in(fx.mm, page);
}

static inline void poke(uint64_t page, uint64_t word)
{
	poke_in(fx.mm, page, word);
}

static inline struct ondol_mm_stats stats_of(struct ondol_mm_struct *mm)
{
	struct ondol_mm_stats s;

	ondol_mm_stats(mm, &s);
	return s;
}

static inline uint64_t rss_of(struct ondol_mm_struct *mm)
{
	struct ondol_mm_stats s = stats_of(mm);

	return s.rss_anon + s.rss_file + s.rss_shmem;
}

/* ------------------------------------------------------------------ pictures */

struct picture {
	char text[64];
	uint64_t first, pages;
};

static inline int draw_region(void *ctx, const struct ondol_vma_info *vma)
{
	struct picture *p = ctx;
	char letter = vma->vm_flags & ONDOL_VM_SHARED ? 'S' : vma->vm_flags & W ? 'W' :
		      vma->vm_flags & X ? 'E' : vma->vm_flags & R ? 'R' : 'N';

	for (uint64_t i = 0; i < p->pages; i++)
		if (AT(p->first + i) >= vma->start && AT(p->first + i) < vma->end) {
			bool starts = AT(p->first + i) == vma->start && i;

			p->text[2 * i] = vma->vm_flags & ONDOL_VM_LOCKED ? letter + 32 : letter;
			if (starts && p->text[2 * i - 2] != '.')
				p->text[2 * i - 1] = '|';
		}
	return 0;
}

/*
 * The regions of pages [first, first + n): a letter a page (S shared, W writable, E executable,
 * R readable, N nothing; small: locked), '.' none; '|' between neighbours that are not one.
 */
static inline void assert_picture_of(struct ondol_mm_struct *mm, uint64_t first,
				     const char *expected)
{
	struct picture p = { .first = first };
	char text[32] = "", *out = text;

	for (const char *e = expected; *e; e++)
		p.pages += *e != '|';
	assert_true(p.pages <= 30);
	for (uint64_t i = 0; i < p.pages; i++)
		p.text[2 * i] = '.', p.text[2 * i + 1] = ' ';
	ondol_for_each_vma(mm, draw_region, &p);
	for (uint64_t i = 0; i < 2 * p.pages && out < text + sizeof text - 1; i++)
		if (p.text[i] != ' ')
			*out++ = p.text[i];
	*out = 0;
	assert_string_equal(text, expected);
}

static inline void assert_picture(const char *expected)
{
	assert_picture_of(fx.mm, 0, expected);
}

#endif /* TESTS_SUPPORT_MM_FIXTURE_H */

/* SPDX-License-Identifier: MIT */
/* A machine, an address space and an ELF image as a file in it. */
#ifndef TESTS_SUPPORT_ELF_WORLD_H
#define TESTS_SUPPORT_ELF_WORLD_H

#include "support/elf_image.h"
#include "support/toy.h"

struct elf_world {
	struct toy toy;
	struct ondol_mm_struct *mm;
	struct elf_image image;
	struct ondol_file *file;
	struct ondol_elf_info info;
	uint64_t pages_read;
	struct ondol_machine_stats before;
};

static inline int elf_world_read(void *ctx, uint64_t pgoff, uint32_t nr_pages, void *host)
{
	struct elf_world *w = ctx;

	w->pages_read += nr_pages;
	for (uint64_t i = 0; i < (uint64_t)nr_pages * 4096; i++) {
		uint64_t at = pgoff * 4096 + i;

		((unsigned char *)host)[i] = at < w->image.size ? w->image.bytes[at] : 0;
	}
	return 0;
}

static inline uint64_t elf_world_size(void *ctx)
{
	return ((struct elf_world *)ctx)->image.size;
}

/* 0, or the first refusal (with the failed allocations of tests/faults). */
static inline int elf_world_open(struct elf_world *w)
{
	static const struct ondol_address_space_ops ops = {
		.size = sizeof ops, .read_pages = elf_world_read, .size_bytes = elf_world_size,
	};
	struct ondol_file_args args = { .size = sizeof args, .name = "/bin/program" };
	int r = ondol_address_space_create(w->toy.m, &ops, w, &args.mapping);

	if (r)
		return r;
	r = ondol_file_create(w->toy.m, &args, &w->file);
	ondol_address_space_put(args.mapping);
	return r ? r : ondol_mm_create(w->toy.m, &w->mm);
}

static inline void elf_world_close(struct elf_world *w)
{
	if (w->mm)
		ondol_mmput(w->mm);
	if (w->file)
		ondol_file_put(w->file);
	w->mm = NULL;
	w->file = NULL;
}

/* 0: everything that was allocated since `before` is back. */
static inline int elf_world_leaks(struct elf_world *w)
{
	struct ondol_machine_stats now;

	ondol_drain_all_pages(w->toy.m);
	ondol_machine_stats(w->toy.m, &now);
	return now.nr_mm != w->before.nr_mm || now.nr_vma != w->before.nr_vma ||
	       now.pages[ONDOL_PAGE_ANON] != w->before.pages[ONDOL_PAGE_ANON] ||
	       now.pages[ONDOL_PAGE_CACHE] != w->before.pages[ONDOL_PAGE_CACHE] ||
	       now.pages[ONDOL_PAGE_PGTABLE] != w->before.pages[ONDOL_PAGE_PGTABLE];
}

#endif /* TESTS_SUPPORT_ELF_WORLD_H */

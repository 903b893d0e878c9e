/* SPDX-License-Identifier: MIT */
/* The bytes of frames, wherever they are: see kmap.c. */
#ifndef ONDOL_PHYS_KMAP_H
#define ONDOL_PHYS_KMAP_H

#include "phys/machine.h"

/* Local mappings that one CPU can have at once: a copy needs two. */
#define KMAP_LOCAL_MAX 4u

struct kmap_local {
	bool high; /* a slot of the window, to be given back */
	uintptr_t irq;
};

ONDOL_MUST_CHECK int kmap_check_port(const struct ondol_port *port, uint32_t nr_cpus);
ONDOL_MUST_CHECK int kmap_init(struct ondol_machine *m); /* after the slab */
void kmap_fini(struct ondol_machine *m);

/* Does the direct map reach the frame? */
static inline bool page_is_low(const struct ondol_machine *m, const struct ondol_page *page)
{
	return ondol_likely(machine_page_pfn(m, page) < m->kmap.low_end);
}

void *kmap_high(struct ondol_machine *m, const struct ondol_page *page, struct kmap_local *out);
void kunmap_high(struct ondol_machine *m, const struct kmap_local *map);

/*
 * The frame's bytes, for as long as it takes to use them: of a high frame it is a section that
 * cannot be interrupted, and the last one mapped is the first to be unmapped.  Never fails.
 */
static inline void *kmap_local(struct ondol_machine *m, const struct ondol_page *page,
			       struct kmap_local *out)
{
	if (!page_is_low(m, page))
		return kmap_high(m, page, out);
	out->high = false;
	return machine_pfn_host(m, machine_page_pfn(m, page));
}

static inline void kunmap_local(struct ondol_machine *m, const struct kmap_local *map)
{
	if (map->high)
		kunmap_high(m, map);
}

/* KMAP-1.  *out_where: the persistent slot that breaks it. */
bool kmap_valid(struct ondol_machine *m, uint64_t *out_where);

/* Of programs: the port may know a better way.  n frames in a row, all low or all high. */
void kmap_clear(struct ondol_machine *m, struct ondol_page *page, uint32_t n);
void kmap_copy(struct ondol_machine *m, struct ondol_page *to, const struct ondol_page *from);

#endif /* ONDOL_PHYS_KMAP_H */

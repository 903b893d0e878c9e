/* SPDX-License-Identifier: MIT */
/* Frames that equal pages share: see ksm.c for the theory. */
#ifndef ONDOL_VIRT_KSM_H
#define ONDOL_VIRT_KSM_H

#include "virt/swap.h"

/* Of a merged frame. */
struct ksm_node {
	struct rb_node rb; /* by checksum; several may have the same */
	uint64_t checksum;
	struct ondol_page *page;
};

struct ksm_state {
	struct spinlock lock;
	struct rb_root stable; /* (l) nodes */
	uint64_t nr_nodes;     /* (l) */
	uint64_t nr_maps;      /* (a) entries that map a merged frame */
	/* The scanner's own, and nothing else runs then: */
	struct swap_table seen; /* index + 1 of frames whose contents stay, by their checksum */
	uint64_t nr_slots;      /* of `seen`, a power of two, or 0: there is no memory for it */
	uint64_t nr_seen;
	uint32_t round;         /* the first is 1 */
	bool in_round;
	uint64_t unshared, volatile_pages; /* of this round */
	uint64_t last_unshared, last_volatile; /* of the last that is complete */
	uint64_t full_scans, scanned, merged;
};

static inline bool page_is_merged(const struct ondol_page *page)
{
	return (page->flags & ONDOL_PG_KSM) != 0;
}

/* One more entry maps the frame, and mapcount says so. */
static inline void ksm_note_map(struct ondol_machine *m, const struct ondol_page *page)
{
	if (ondol_unlikely(page_is_merged(page)))
		__atomic_fetch_add(&m->virt->ksm->nr_maps, 1, __ATOMIC_RELAXED);
}

/* An entry of a merged frame is gone: mapcount is one less; with the last it is merged no more. */
void ksm_unmap(struct ondol_machine *m, struct ondol_page *page);
/* A merged frame's contents are in `new` now, and its entries will name that. */
void ksm_move(struct ondol_machine *m, struct ondol_page *old, struct ondol_page *new);
/* Whether MADV_MERGEABLE means anything to the region. */
bool ksm_compatible(const struct vma *vma);
/* Merged pages of [start, end) get frames of their own.  -ONDOL_ENOMEM: not all of them. */
ONDOL_MUST_CHECK int ksm_unmerge(struct ondol_mm_struct *mm, struct vma *vma, uint64_t start,
				 uint64_t end);
void ksm_stats(const struct ondol_machine *m, struct ondol_machine_stats *stats);
/* Of a frame's bytes; never 0. */
uint64_t ksm_checksum(struct ondol_machine *m, const struct ondol_page *page);
void ksm_fini(struct ondol_machine *m); /* unless a frame is merged */

#endif /* ONDOL_VIRT_KSM_H */

/* SPDX-License-Identifier: MIT */
/*
 * Caches in a scenario: statements, what they do, and how slabs are drawn.
 *
 *	show caches NAME, NAME        draws these, in a row for each slab; an object of kmem_cache
 *	                              has the mark of the cache that it describes (E7, E8)
 *	cache NAME size N             kmem_cache_create
 *	object CACHE [times N] [as NAME]
 *	release NAME [times N]        the latest objects of the name first; all of them
 *	shrink CACHE | destroy CACHE [refused]
 *	expect caches NAME, NAME...   the first ones, in order of creation (E8)
 *	expect cache NAME: full N, partial N, free N          (E4)
 *	expect slabs NAME: PFN, PFN | none                    (E9)
 */
#ifndef LAB_SLABS_H
#define LAB_SLABS_H

#include "lab/draw.h"
#include "lab/world.h"

#define LAB_CACHES_MAX 16
#define LAB_SLABS_MAX 64 /* drawn of a cache */

struct lab_slab_row {
	struct ondol_slab_shape shape;
	bool changed; /* against the step before */
	char marks[64]; /* of its objects; 0: none */
};

struct lab_cache_view {
	char name[LAB_NAME_MAX];
	struct ondol_slab_info info; /* without its name, which goes with the machine */
	struct lab_slab_row rows[LAB_SLABS_MAX];
	uint32_t nr_rows;
	char mark; /* if kmem_cache is drawn: 1, 2 ... 9, a, b ... in order of creation */
};

struct lab_objects; /* what a run has from the machine's caches */

/* True: it was one of ours, and *out_good says whether it was read well. */
bool slabs_read(struct lab_source *src, bool is_expect, struct lab_op *op, bool *out_good);
bool slabs_read_show(struct lab_source *src, struct lab_scenario *scenario);
bool slabs_is_op(const struct lab_op *op);
/* NULL: done; else what was wrong, in `text`. */
const char *slabs_do(struct lab_objects **objects, struct ondol_machine *m,
		     const struct lab_op *op, struct lab_event *event, char *text, size_t room);
const char *slabs_expect(struct ondol_machine *m, const struct lab_op *op, char *text,
			 size_t room);
void slabs_release(struct lab_objects *objects);
/* What the state has to show of them.  False: out of memory. */
bool slabs_look(struct lab_state *state, struct ondol_machine *m,
		const struct lab_scenario *scenario, const struct lab_state *before);

/* In words.c's manner: what an operation did. */
void slabs_text(const struct lab_event *event, enum lab_lang lang, FILE *out);
void slabs_terminal(const struct lab_draw *draw, const struct lab_state *state);
/* From `y` downwards; where it ended. */
double slabs_svg(const struct lab_draw *draw, const struct lab_state *state, FILE *out, double y);
void slabs_json(const struct lab_state *state, FILE *out);

#endif /* LAB_SLABS_H */

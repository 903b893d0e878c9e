/* SPDX-License-Identifier: MIT */
/* Pictures of a run and of a machine: terminal, SVG, JSON.  Each writes to a stream. */
#ifndef LAB_DRAW_H
#define LAB_DRAW_H

#include "lab/run.h"
#include "lab/show.h"

struct lab_draw {
	FILE *out;
	enum lab_lang lang;
	unsigned width; /* columns of the terminal */
	bool colour;
};

/* words.c: the pictures' own words. */
enum lab_word_id {
	WORD_FRAMES, WORD_ORDER, WORD_ORDERS, WORD_FREE_LIST, WORD_MAP, WORD_PER_CPU, WORD_USED,
	WORD_FREE, WORD_RESERVED, WORD_OFFLINE, WORD_HOLE, WORD_CHANGED, WORD_EMPTY, WORD_NODE,
	WORD_ZONE,
	WORD_STEP, WORD_SUMMARY, WORD_NOT_MERGED, WORD_START, WORD_PRESENT, WORD_SPANNED,
	WORD_MANAGED, WORD_FREE_FRAMES, WORD_WATERMARKS, WORD_RESERVE, WORD_DISTANCE, WORD_CPUS,
	WORD_NOT_TO_SCALE, WORD_KEYS, WORD_OF, WORD_TOO_LARGE, WORD_DEFERRED, WORD_NRS,
};
const char *word_in(enum lab_word_id id, enum lab_lang lang);
/* "free 3", "alloc order 1 as A: frames 12-13"; in `buffer`, which is returned. */
const char *event_text(const struct lab_event *event, enum lab_lang lang, char *buffer,
		       size_t room);
const char *step_title(const struct lab_step *step, enum lab_lang lang);
/* "merges 1, splits 0" */
const char *summary_text(const struct lab_state *state, enum lab_lang lang, char *buffer,
			 size_t room);

void terminal_step(const struct lab_draw *draw, const struct lab_run *run, uint32_t step);
void terminal_machine(const struct lab_draw *draw, const struct lab_show *show);
/* Steps [first, end), one below the other. */
void svg_steps(const struct lab_draw *draw, const struct lab_run *run, uint32_t first,
	       uint32_t end);
void svg_machine(const struct lab_draw *draw, const struct lab_show *show);
void json_run(const struct lab_draw *draw, const struct lab_run *run);
void json_machine(const struct lab_draw *draw, const struct lab_show *show);

/* Escape sequences, or nothing without colour. */
void paint(const struct lab_draw *draw, const char *code);

#endif /* LAB_DRAW_H */

/* SPDX-License-Identifier: MIT */
/* A run step by step in a terminal, forward and back. */
#ifndef LAB_VIEW_H
#define LAB_VIEW_H

#include "lab/draw.h"

/* False: this terminal cannot (the caller prints instead). */
bool view_run(struct lab_draw *draw, const struct lab_run *run, uint32_t first);
unsigned view_width(void); /* columns of the terminal, $COLUMNS, or 80 */

#endif /* LAB_VIEW_H */

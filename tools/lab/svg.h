/* SPDX-License-Identifier: MIT */
/* Pieces of SVG: what the pictures of steps and of machines share. */
#ifndef LAB_SVG_H
#define LAB_SVG_H

#include "lab/draw.h"

#define SVG_WIDTH 880
#define SVG_MARGIN 32
#define SVG_INK "#1f2733"
#define SVG_GREY "#667080"
#define SVG_LINE "#d5dae2"
#define SVG_FREE "#d9f2e1"
#define SVG_FREE_EDGE "#37935c"
#define SVG_USED "#c8cdd6"
#define SVG_USED_EDGE "#8b94a3"
#define SVG_PER_CPU "#d8e9fb"
#define SVG_PER_CPU_EDGE "#2f78c2"
#define SVG_RESERVED "#6d7584"
#define SVG_CHANGED "#e0660b"

void svg_head(FILE *out, int height, enum lab_lang lang, const char *title);
void svg_tail(FILE *out);
/* class: t title, h heading, s small, m monospace, b bold; anchor: start, middle or end. */
void svg_text(FILE *out, double x, double y, const char *class, const char *anchor,
	      const char *text);
void svg_box(FILE *out, double x, double y, double width, double height, const char *class);

#endif /* LAB_SVG_H */

/* SPDX-License-Identifier: MIT */
/*
 * Slabs in pictures: a line for a cache, and one for each of its slabs.
 *
 *	 task      64 B, 63 in 1 frame
 *	   frame 5    partial  |▒▒▒▒▒▒▒▒                    |  ▲
 *
 * Where kmem_cache is among them each cache has a mark, in order of creation, and the objects of
 * kmem_cache are drawn as the marks of the caches that they describe.
 */
#include "lab/slabs.h"

#include <string.h>

#include "lab/svg.h"

#define OBJECTS_DRAWN 64
#define ROW 26

static const char *kind_word(enum ondol_slab_kind kind, enum lab_lang lang)
{
	static const char *const words[][LAB_LANGS] = {
		{ "full", "가득 참" }, { "partial", "일부 사용" }, { "free", "비었음" } };

	return words[kind][lang];
}

static void heading(const struct lab_cache_view *view, enum lab_lang lang, char *text,
		    size_t room)
{
	const struct ondol_slab_info *info = &view->info;

	snprintf(text, room, lang == LAB_KO ? "객체 %zu B, 프레임 %u개에 %u개, 사용 중 %llu" :
		 "objects of %zu B, %u frame(s) hold %u, %llu in use", info->object_size,
		 info->pages_per_slab,
		 info->objects_per_slab, (unsigned long long)info->active_objects);
}

static uint32_t drawn(const struct ondol_slab_shape *shape)
{
	return shape->nr_objects < OBJECTS_DRAWN ? shape->nr_objects : OBJECTS_DRAWN;
}

static void frames_text(const struct ondol_slab_shape *shape, enum lab_lang lang, char *text,
			size_t room)
{
	unsigned long long first = shape->pfn.value, last = first + shape->nr_pages - 1;

	if (first == last)
		snprintf(text, room, lang == LAB_KO ? "프레임 %llu" : "frame %llu", first);
	else
		snprintf(text, room, lang == LAB_KO ? "프레임 %llu-%llu" : "frames %llu-%llu",
			 first, last);
}

void slabs_terminal(const struct lab_draw *draw, const struct lab_state *state)
{
	char text[160];

	for (uint32_t c = 0; c < state->nr_caches; c++) {
		const struct lab_cache_view *view = &state->caches[c];

		fputc(' ', draw->out);
		paint(draw, "1");
		text_pad(draw->out, view->name, 16);
		paint(draw, "0");
		if (view->mark)
			fprintf(draw->out, "%c  ", view->mark);
		heading(view, draw->lang, text, sizeof text);
		text_print(draw->out, text, strlen(text));
		fputc('\n', draw->out);
		for (uint32_t i = 0; i < view->nr_rows; i++) {
			const struct ondol_slab_shape *shape = &view->rows[i].shape;

			fputs("   ", draw->out);
			frames_text(shape, draw->lang, text, sizeof text);
			text_pad(draw->out, text, 16);
			text_pad(draw->out, kind_word(shape->kind, draw->lang), 10);
			fputs("│", draw->out);
			paint(draw, "33");
			for (uint32_t k = 0; k < drawn(shape); k++)
				if (view->rows[i].marks[k])
					fputc(view->rows[i].marks[k], draw->out);
				else
					fputs(shape->used >> k & 1 ? "▒" : " ", draw->out);
			paint(draw, "0");
			fprintf(draw->out, "│%s\n", view->rows[i].changed ? " ◀" : "");
		}
	}
}

static double svg_row(const struct lab_draw *draw, const struct lab_slab_row *row, FILE *out,
		      double y)
{
	const struct ondol_slab_shape *shape = &row->shape;
	double room = SVG_WIDTH - 2.0 * SVG_MARGIN - 260, step = room / drawn(shape);
	char text[80];

	step = step > 44 ? 44 : step;
	frames_text(shape, draw->lang, text, sizeof text);
	svg_text(out, SVG_MARGIN + 24, y + 5, "n", "start", text);
	svg_text(out, SVG_MARGIN + 150, y + 5, "s", "start", kind_word(shape->kind, draw->lang));
	for (uint32_t k = 0; k < drawn(shape); k++)
		svg_box(out, SVG_MARGIN + 260 + k * step, y - 9, step - 2, 18,
			shape->used >> k & 1 ? "used" : "free");
	for (uint32_t k = 0; k < drawn(shape); k++)
		if (row->marks[k])
			svg_text(out, SVG_MARGIN + 259 + (k + 0.5) * step, y + 5, "n", "middle",
				 (const char[]){ row->marks[k], '\0' });
	if (row->changed)
		svg_box(out, SVG_MARGIN + 257, y - 12, step * drawn(shape) + 4, 24, "chg");
	return y + ROW;
}

double slabs_svg(const struct lab_draw *draw, const struct lab_state *state, FILE *out, double y)
{
	char text[200];

	for (uint32_t c = 0; c < state->nr_caches; c++) {
		const struct lab_cache_view *view = &state->caches[c];

		y += ROW + 10;
		svg_text(out, SVG_MARGIN, y, "b", "start", view->name);
		heading(view, draw->lang, text, sizeof text);
		if (view->mark)
			svg_text(out, SVG_MARGIN + 136, y, "o", "start",
				 (const char[]){ view->mark, '\0' });
		svg_text(out, SVG_MARGIN + 150, y, "s", "start", text);
		y += ROW - 6;
		for (uint32_t i = 0; i < view->nr_rows; i++)
			y = svg_row(draw, &view->rows[i], out, y);
		y -= ROW - 6;
	}
	return y;
}

void slabs_json(const struct lab_state *state, FILE *out)
{
	fputs("\"caches\":[", out);
	for (uint32_t c = 0; c < state->nr_caches; c++) {
		const struct lab_cache_view *view = &state->caches[c];

		fprintf(out, "%s{\"name\": \"%s\", \"object_size\": %zu, \"active\": %llu, "
			"\"slabs\": [", c ? ", " : "", view->name, view->info.object_size,
			(unsigned long long)view->info.active_objects);
		for (uint32_t i = 0; i < view->nr_rows; i++) {
			const struct ondol_slab_shape *shape = &view->rows[i].shape;

			fprintf(out, "%s{\"pfn\": %llu, \"pages\": %u, \"objects\": %u, "
				"\"kind\": \"%s\", \"used\": %llu", i ? ", " : "",
				(unsigned long long)shape->pfn.value, shape->nr_pages,
				shape->nr_objects, kind_word(shape->kind, LAB_EN),
				(unsigned long long)shape->used);
			if (view->mark && !strcmp(view->name, "kmem_cache")) {
				fputs(", \"describes\": \"", out);
				for (uint32_t k = 0; k < drawn(shape); k++)
					fputc(view->rows[i].marks[k] ? view->rows[i].marks[k] :
								       ' ', out);
				fputc('"', out);
			}
			fputc('}', out);
		}
		fputs("]}", out);
	}
	fputs("],", out);
}

void slabs_text(const struct lab_event *event, enum lab_lang lang, FILE *out)
{
	const struct lab_op *op = event->op;
	unsigned long long nr = event->nr;
	bool ko = lang == LAB_KO;

	switch (op->kind) {
	case LAB_CACHE:
		fprintf(out, ko ? "캐시 %s 생성: 객체 %llu B" : "create cache %s: objects of %llu B",
			op->cache, (unsigned long long)op->number);
		break;
	case LAB_OBJECT:
		fprintf(out, ko ? "%s에서 객체 %llu개 할당" : "%s: allocate %llu", op->cache, nr);
		break;
	case LAB_RELEASE:
		fprintf(out, ko ? "%s: 객체 %llu개 해제" : "free %s (%llu objects)", op->name, nr);
		break;
	case LAB_SHRINK:
		fprintf(out, ko ? "%s 줄이기: 프레임 %llu개가 버디로" :
			"shrink %s: %llu frames go to the buddy", op->cache, nr);
		break;
	default:
		fprintf(out, ko ? "캐시 %s 제거" : "destroy cache %s", op->cache);
		if (event->detail[0])
			fprintf(out, ko ? " → 거부: %s" : " → refused: %s", event->detail);
	}
}

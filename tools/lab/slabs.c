/* SPDX-License-Identifier: MIT */
/* Caches in a scenario: see slabs.h for the statements. */
#include "lab/slabs.h"

#include <stdlib.h>
#include <string.h>

struct lab_objects {
	struct {
		const char *name;
		struct ondol_kmem_cache *cache; /* NULL: destroyed */
	} caches[LAB_CACHES_MAX];
	uint32_t nr_caches;
	struct {
		const char *name;
		uint32_t cache;
		void *at;
	} *objects;
	size_t nr, room;
};

/* ------------------------------------------------------------------ reading */

static bool read_cache_name(struct lab_source *src, struct lab_op *op)
{
	op->detail = src->token.place;
	return source_word(src, "the name of a cache", op->cache, sizeof op->cache);
}

static bool read_times(struct lab_source *src, struct lab_op *op)
{
	return source_number(src, 1, 1u << 20, "how many", &op->number);
}

static bool read_object(struct lab_source *src, struct lab_op *op)
{
	op->number = 1;
	if (!read_cache_name(src, op))
		return false;
	while (!src->failed && src->token.kind == LAB_WORD) {
		bool good;

		if (source_take(src, "times"))
			good = read_times(src, op);
		else if (source_take(src, "as"))
			good = source_word(src, "a name", op->name, sizeof op->name);
		else
			good = source_expected(src, "times or as");
		if (!good)
			return false;
	}
	return true;
}

/* NAME, NAME: kept in op->text, a space between */
static bool read_names(struct lab_source *src, char **out_text, char *scratch)
{
	size_t used = 0;

	do {
		char word[LAB_NAME_MAX];

		if (src->token.kind == LAB_COMMA)
			source_next(src);
		if (!source_word(src, "the name of a cache", word, sizeof word))
			return false;
		if (used + strlen(word) + 2 > 400)
			return source_complain(src, src->token.place, "too many caches");
		used += (size_t)sprintf(scratch + used, "%s%s", used ? " " : "", word);
	} while (src->token.kind == LAB_COMMA);
	free(*out_text);
	*out_text = strdup(scratch);
	return *out_text != NULL;
}

static bool read_counts(struct lab_source *src, struct lab_op *op)
{
	static const char *const words[] = { "full", "partial", "free" };

	if (!read_cache_name(src, op))
		return false;
	for (unsigned i = 0; i < 3; i++) {
		enum lab_token_kind wanted = i ? LAB_COMMA : LAB_COLON;

		if (src->token.kind != wanted)
			return source_expected(src, i ? "a comma" : "a colon");
		source_next(src);
		if (!source_take(src, words[i]))
			return source_expected(src, words[i]);
		if (!source_number(src, 0, UINT32_MAX, "how many slabs", &op->counts[i]))
			return false;
	}
	return true;
}

static bool read_pfns(struct lab_source *src, struct lab_op *op)
{
	if (!read_cache_name(src, op))
		return false;
	if (src->token.kind != LAB_COLON)
		return source_expected(src, "a colon");
	source_next(src);
	op->detail = src->token.place;
	if (source_take(src, "none"))
		return true;
	op->pfns = calloc(LAB_SLABS_MAX, sizeof *op->pfns);
	while (op->pfns && op->nr_pfns < LAB_SLABS_MAX) {
		if (!source_number(src, 0, UINT32_MAX, "a frame, or none",
				   &op->pfns[op->nr_pfns++]))
			return false;
		if (src->token.kind != LAB_COMMA)
			return true;
		source_next(src);
	}
	return source_complain(src, src->token.place, "more than %u slabs", LAB_SLABS_MAX);
}

static bool read_expectation(struct lab_source *src, struct lab_op *op, bool *out_good)
{
	char scratch[512];

	if (source_take(src, "caches")) {
		op->kind = LAB_EXPECT_CACHES;
		op->detail = src->token.place;
		*out_good = read_names(src, &op->text, scratch);
	} else if (source_take(src, "cache")) {
		op->kind = LAB_EXPECT_CACHE;
		*out_good = read_counts(src, op);
	} else if (source_take(src, "slabs")) {
		op->kind = LAB_EXPECT_SLABS;
		*out_good = read_pfns(src, op);
	} else {
		return false;
	}
	return true;
}

bool slabs_read(struct lab_source *src, bool is_expect, struct lab_op *op, bool *out_good)
{
	if (is_expect)
		return read_expectation(src, op, out_good);
	if (source_take(src, "cache")) {
		op->kind = LAB_CACHE;
		*out_good = read_cache_name(src, op) &&
			    (source_take(src, "size") || source_expected(src, "size")) &&
			    source_number(src, 1, ONDOL_KMALLOC_MAX, "bytes", &op->number);
	} else if (source_take(src, "object")) {
		op->kind = LAB_OBJECT;
		*out_good = read_object(src, op);
	} else if (source_take(src, "release")) {
		op->kind = LAB_RELEASE;
		op->number = UINT64_MAX;
		op->detail = src->token.place;
		*out_good = source_word(src, "the name of objects", op->name, sizeof op->name) &&
			    (!source_take(src, "times") || read_times(src, op));
	} else if (source_take(src, "shrink")) {
		op->kind = LAB_SHRINK;
		*out_good = read_cache_name(src, op);
	} else if (source_take(src, "destroy")) {
		op->kind = LAB_DESTROY;
		*out_good = read_cache_name(src, op);
		op->refused = *out_good && source_take(src, "refused");
	} else {
		return false;
	}
	return true;
}

bool slabs_read_show(struct lab_source *src, struct lab_scenario *scenario)
{
	char scratch[512];

	return read_names(src, &scenario->show_caches, scratch);
}

/* ------------------------------------------------------------------ doing */

bool slabs_is_op(const struct lab_op *op)
{
	return op->kind >= LAB_CACHE && op->kind <= LAB_DESTROY;
}

static int find_cache(const struct lab_objects *have, const char *name)
{
	for (uint32_t i = 0; i < have->nr_caches; i++)
		if (have->caches[i].cache && !strcmp(have->caches[i].name, name))
			return (int)i;
	return -1;
}

static const char *create(struct lab_objects *have, struct ondol_machine *m,
			  const struct lab_op *op, char *text, size_t room)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = op->number };
	int r;

	if (have->nr_caches == LAB_CACHES_MAX)
		snprintf(text, room, "more than %u caches", LAB_CACHES_MAX);
	else if (find_cache(have, op->cache) >= 0)
		snprintf(text, room, "there is a cache '%s' already", op->cache);
	else if ((r = ondol_kmem_cache_create(m, op->cache, &args,
					      &have->caches[have->nr_caches].cache)))
		snprintf(text, room, "the cache is refused: %s", ondol_strerror(r));
	else {
		have->caches[have->nr_caches++].name = op->cache;
		return NULL;
	}
	return text;
}

static const char *take(struct lab_objects *have, int cache, const struct lab_op *op,
			struct lab_event *event, char *text, size_t room)
{
	for (; event->nr < op->number; event->nr++) {
		void *at = ondol_kmem_cache_alloc(have->caches[cache].cache,
						  ONDOL_GFP_MEMALLOC | ONDOL_GFP_NOWARN);

		if (!at) {
			snprintf(text, room, "the cache has no object, and no frames");
			return text;
		}
		if (have->nr == have->room) {
			size_t more = have->room ? 2 * have->room : 64;
			void *grown = realloc(have->objects, more * sizeof *have->objects);

			if (!grown) {
				fputs("ondol lab: out of memory\n", stderr);
				exit(125);
			}
			have->objects = grown;
			have->room = more;
		}
		have->objects[have->nr].name = op->name;
		have->objects[have->nr].cache = (uint32_t)cache;
		have->objects[have->nr++].at = at;
	}
	return NULL;
}

/* The latest first. */
static const char *give(struct lab_objects *have, const struct lab_op *op,
			struct lab_event *event, char *text, size_t room)
{
	for (size_t i = have->nr; i-- > 0 && event->nr < op->number;) {
		if (strcmp(have->objects[i].name, op->name))
			continue;
		ondol_kmem_cache_free(have->caches[have->objects[i].cache].cache,
				      have->objects[i].at);
		memmove(&have->objects[i], &have->objects[i + 1],
			(--have->nr - i) * sizeof *have->objects);
		event->nr++;
	}
	if (event->nr && (op->number == UINT64_MAX || event->nr == op->number))
		return NULL;
	snprintf(text, room, "only %llu objects are called '%s'", (unsigned long long)event->nr,
		 op->name);
	return text;
}

static const char *destroy(struct lab_objects *have, int cache, const struct lab_op *op,
			   struct lab_event *event, char *text, size_t room)
{
	int r = ondol_kmem_cache_destroy(have->caches[cache].cache);

	if (!r)
		have->caches[cache].cache = NULL;
	else
		snprintf(event->detail, sizeof event->detail, "%s", ondol_strerror(r));
	if (op->refused == (r != 0))
		return NULL;
	snprintf(text, room, r ? "refused: %s" : "expected a refusal, it is gone",
		 ondol_strerror(r));
	return text;
}

const char *slabs_do(struct lab_objects **objects, struct ondol_machine *m,
		     const struct lab_op *op, struct lab_event *event, char *text, size_t room)
{
	struct lab_objects *have = *objects ? *objects : calloc(1, sizeof *have);
	int cache;

	*objects = have;
	if (!have)
		return "out of memory";
	if (op->kind == LAB_CACHE)
		return create(have, m, op, text, room);
	if (op->kind == LAB_RELEASE)
		return give(have, op, event, text, room);
	cache = find_cache(have, op->cache);
	if (cache < 0) {
		snprintf(text, room, "no cache '%s' was made here", op->cache);
		return text;
	}
	if (op->kind == LAB_OBJECT)
		return take(have, cache, op, event, text, room);
	if (op->kind == LAB_DESTROY)
		return destroy(have, cache, op, event, text, room);
	event->nr = ondol_kmem_cache_shrink(have->caches[cache].cache);
	return NULL;
}

void slabs_release(struct lab_objects *objects)
{
	if (objects)
		free(objects->objects);
	free(objects);
}

/* ------------------------------------------------------------------ looking */

struct find_info {
	const char *name;
	struct ondol_slab_info info;
};

static int match_info(void *ctx, const struct ondol_slab_info *info)
{
	struct find_info *find = ctx;

	if (strcmp(info->name, find->name))
		return 0;
	find->info = *info;
	return 1;
}

static int add_row(void *ctx, const struct ondol_slab_shape *shape)
{
	struct lab_cache_view *view = ctx;

	if (view->nr_rows < LAB_SLABS_MAX)
		view->rows[view->nr_rows++].shape = *shape;
	return 0;
}

/* By frame, so that a slab keeps its row while it changes its list. */
static int by_frame(const void *a, const void *b)
{
	const struct lab_slab_row *x = a, *y = b;

	return x->shape.pfn.value < y->shape.pfn.value ? -1 :
	       x->shape.pfn.value > y->shape.pfn.value;
}

static bool has_row(const struct lab_state *before, const char *name,
		    const struct ondol_slab_shape *shape)
{
	for (uint32_t c = 0; c < before->nr_caches; c++)
		for (uint32_t i = 0; i < before->caches[c].nr_rows; i++) {
			const struct ondol_slab_shape *then = &before->caches[c].rows[i].shape;

			if (!strcmp(before->caches[c].name, name) &&
			    then->pfn.value == shape->pfn.value && then->used == shape->used &&
			    then->kind == shape->kind)
				return true;
		}
	return false;
}

struct marking {
	struct lab_state *state;
	struct lab_cache_view *kmem_cache;
	uint32_t nr; /* caches so far */
};

static int mark_cache(void *ctx, const struct ondol_slab_info *info)
{
	static const char marks[] = "123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	struct marking *marking = ctx;
	char mark = marking->nr < sizeof marks - 1 ? marks[marking->nr] : '*';

	marking->nr++;
	for (uint32_t c = 0; c < marking->state->nr_caches; c++)
		if (!strcmp(marking->state->caches[c].name, info->name))
			marking->state->caches[c].mark = mark;
	for (uint32_t i = 0; i < marking->kmem_cache->nr_rows; i++) {
		struct lab_slab_row *row = &marking->kmem_cache->rows[i];

		if (row->shape.pfn.value == info->descriptor_slab.value &&
		    info->descriptor_index < sizeof row->marks)
			row->marks[info->descriptor_index] = mark;
	}
	return 0;
}

/* The descriptors of all caches, where kmem_cache is drawn. */
static void mark_descriptors(struct lab_state *state, struct ondol_machine *m)
{
	struct marking marking = { .state = state };

	for (uint32_t c = 0; c < state->nr_caches; c++)
		if (!strcmp(state->caches[c].name, "kmem_cache"))
			marking.kmem_cache = &state->caches[c];
	if (marking.kmem_cache)
		(void)ondol_for_each_cache(m, mark_cache, &marking);
}

bool slabs_look(struct lab_state *state, struct ondol_machine *m,
		const struct lab_scenario *scenario, const struct lab_state *before)
{
	char *names = scenario->show_caches ? strdup(scenario->show_caches) : NULL, *rest = names;

	state->caches = calloc(LAB_CACHES_MAX, sizeof *state->caches);
	for (char *name; names && state->caches && (name = strsep(&rest, " "));) {
		struct lab_cache_view *view = &state->caches[state->nr_caches];
		struct find_info find = { .name = name };

		if (state->nr_caches == LAB_CACHES_MAX || !ondol_for_each_cache(m, match_info,
										&find))
			continue; /* not there now */
		view->info = find.info;
		view->info.name = NULL;
		snprintf(view->name, sizeof view->name, "%s", name);
		(void)ondol_for_each_slab(m, name, add_row, view);
		qsort(view->rows, view->nr_rows, sizeof *view->rows, by_frame);
		for (uint32_t i = 0; before && i < view->nr_rows; i++)
			view->rows[i].changed = !has_row(before, name, &view->rows[i].shape);
		state->nr_caches++;
	}
	free(names);
	if (state->caches)
		mark_descriptors(state, m);
	return state->caches != NULL;
}

/* ------------------------------------------------------------------ expecting */

struct said { /* what the machine says, as the scenario would write it */
	char text[500];
	size_t used, names, most;
};

static int add_name(void *ctx, const struct ondol_slab_info *info)
{
	struct said *said = ctx;

	if (said->names++ == said->most || said->used + strlen(info->name) + 2 > 500)
		return 1;
	said->used += (size_t)sprintf(said->text + said->used, "%s%s", said->used ? " " : "",
				      info->name);
	return 0;
}

static int add_frame(void *ctx, const struct ondol_slab_shape *shape)
{
	((struct lab_cache_view *)ctx)->rows[((struct lab_cache_view *)ctx)->nr_rows++].shape =
		*shape;
	return ((struct lab_cache_view *)ctx)->nr_rows == LAB_SLABS_MAX;
}

static const char *expect_frames(struct ondol_machine *m, const struct lab_op *op, char *text,
				 size_t room)
{
	static struct lab_cache_view view;
	struct said said = { .used = 0 };
	bool same;

	view.nr_rows = 0;
	(void)ondol_for_each_slab(m, op->cache, add_frame, &view);
	qsort(view.rows, view.nr_rows, sizeof *view.rows, by_frame);
	same = view.nr_rows == op->nr_pfns;
	for (uint32_t i = 0; i < view.nr_rows; i++) {
		unsigned long long pfn = view.rows[i].shape.pfn.value;

		same = same && op->pfns[i] == pfn;
		if (said.used + 24 < sizeof said.text)
			said.used += (size_t)sprintf(said.text + said.used, "%s%llu",
						     i ? ", " : "", pfn);
	}
	if (same)
		return NULL;
	snprintf(text, room, "the slabs of %s are at %.200s", op->cache,
		 view.nr_rows ? said.text : "no frame");
	return text;
}

const char *slabs_expect(struct ondol_machine *m, const struct lab_op *op, char *text,
			 size_t room)
{
	struct find_info find = { .name = op->cache };
	struct said said = { .most = 1 };

	if (op->kind == LAB_EXPECT_CACHES) {
		for (const char *at = op->text; *at; at++)
			said.most += *at == ' ';
		(void)ondol_for_each_cache(m, add_name, &said);
		if (!strcmp(said.text, op->text))
			return NULL;
		snprintf(text, room, "the first caches are %.300s", said.text);
		return text;
	}
	if (!ondol_for_each_cache(m, match_info, &find)) {
		snprintf(text, room, "there is no cache '%s'", op->cache);
		return text;
	}
	if (op->kind == LAB_EXPECT_SLABS)
		return expect_frames(m, op, text, room);
	if (find.info.slabs_full == op->counts[0] && find.info.slabs_partial == op->counts[1] &&
	    find.info.slabs_free == op->counts[2])
		return NULL;
	snprintf(text, room, "%s has full %llu, partial %llu, free %llu", op->cache,
		 (unsigned long long)find.info.slabs_full,
		 (unsigned long long)find.info.slabs_partial,
		 (unsigned long long)find.info.slabs_free);
	return text;
}

/* SPDX-License-Identifier: MIT */
/*
 * The profile as a file: google's profile.proto, which pprof and speedscope open, written as it
 * comes, not compressed.  A message is fields; a field is its number and kind, then a varint, or
 * a length and so many bytes.  Strings are named by their place in a table, whose first is "".
 *
 * Functions and lines are looked up here, while the libraries are where they were; so the file can
 * be read on another machine.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

enum { PROFILE_SAMPLE_TYPE = 1, PROFILE_SAMPLE, PROFILE_MAPPING, PROFILE_LOCATION,
       PROFILE_FUNCTION, PROFILE_STRING, PROFILE_TIME = 9, PROFILE_PERIOD_TYPE = 11,
       PROFILE_PERIOD, PROFILE_DEFAULT_TYPE = 14 };
enum { KIND_VARINT, KIND_BYTES = 2 };
#define MESSAGE_MOST ((STACK_MOST + 16) * 11)
#define MAPPINGS_MOST 1024

struct message {
	unsigned char bytes[MESSAGE_MOST];
	size_t nr;
};

struct mapping {
	unsigned long start, end, offset;
	uint64_t name; /* string */
	bool has_functions, has_lines;
};

struct writer {
	FILE *file;
	uint64_t nr_strings, nr_locations;
	struct table locations; /* by address; the size is the id */
	size_t nr_mappings;
	struct mapping mapping[MAPPINGS_MOST];
};

static void put_varint(struct message *m, uint64_t value)
{
	for (; value >= 128; value >>= 7)
		m->bytes[m->nr++] = (unsigned char)(value | 128);
	m->bytes[m->nr++] = (unsigned char)value;
}

static void put(struct message *m, unsigned field, uint64_t value)
{
	put_varint(m, field << 3 | KIND_VARINT);
	put_varint(m, value);
}

static void emit_bytes(struct writer *w, unsigned field, const void *bytes, size_t nr)
{
	struct message head = { .nr = 0 };

	put_varint(&head, field << 3 | KIND_BYTES);
	put_varint(&head, nr);
	(void)fwrite(head.bytes, 1, head.nr, w->file);
	(void)fwrite(bytes, 1, nr, w->file);
}

static void emit(struct writer *w, unsigned field, const struct message *m)
{
	emit_bytes(w, field, m->bytes, m->nr);
}

static void emit_number(struct writer *w, unsigned field, uint64_t value)
{
	struct message m = { .nr = 0 };

	put(&m, field, value);
	(void)fwrite(m.bytes, 1, m.nr, w->file);
}

static uint64_t string(struct writer *w, const char *text)
{
	emit_bytes(w, PROFILE_STRING, text, strlen(text));
	return w->nr_strings++;
}

static void emit_type(struct writer *w, unsigned field, const char *type, const char *unit)
{
	struct message m = { .nr = 0 };

	put(&m, 1, string(w, type));
	put(&m, 2, string(w, unit));
	emit(w, field, &m);
}

static void read_mappings(struct writer *w)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[4400], rights[5], name[4096];

	while (maps && w->nr_mappings < MAPPINGS_MOST && fgets(line, sizeof line, maps)) {
		struct mapping *mapping = &w->mapping[w->nr_mappings];

		if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %4095[^\n]", &mapping->start,
			   &mapping->end, rights, &mapping->offset, name) != 5 ||
		    rights[2] != 'x')
			continue;
		mapping->name = string(w, name);
		w->nr_mappings++;
	}
	if (maps)
		(void)fclose(maps);
}

static void emit_mappings(struct writer *w)
{
	for (size_t i = 0; i < w->nr_mappings; i++) {
		const struct mapping *mapping = &w->mapping[i];
		struct message m = { .nr = 0 };

		put(&m, 1, i + 1);
		put(&m, 2, mapping->start);
		put(&m, 3, mapping->end);
		put(&m, 4, mapping->offset);
		put(&m, 5, mapping->name);
		put(&m, 7, mapping->has_functions);
		put(&m, 8, mapping->has_lines);
		put(&m, 9, mapping->has_lines);
		emit(w, PROFILE_MAPPING, &m);
	}
}

/* Of the instruction before a return address; a function of its own for each, which is allowed. */
static void emit_location(struct writer *w, uint64_t id, uintptr_t pc)
{
	struct message location = { .nr = 0 }, line = { .nr = 0 }, function = { .nr = 0 };
	struct symbol symbol;
	size_t i = 0;

	symbols_find(pc, &symbol);
	while (i < w->nr_mappings && !(pc >= w->mapping[i].start && pc < w->mapping[i].end))
		i++;
	put(&location, 1, id);
	if (i < w->nr_mappings) {
		w->mapping[i].has_functions |= symbol.function != NULL;
		w->mapping[i].has_lines |= symbol.file != NULL;
		put(&location, 2, i + 1);
	}
	put(&location, 3, pc);
	if (symbol.function) {
		put(&function, 1, id);
		put(&function, 2, string(w, symbol.function));
		if (symbol.file)
			put(&function, 4, string(w, symbol.file));
		emit(w, PROFILE_FUNCTION, &function);
		put(&line, 1, id);
		put(&line, 2, (uint64_t)symbol.line);
		put_varint(&location, 4 << 3 | KIND_BYTES);
		put_varint(&location, line.nr);
		memcpy(location.bytes + location.nr, line.bytes, line.nr);
		location.nr += line.nr;
	}
	emit(w, PROFILE_LOCATION, &location);
}

static uint64_t location_of(struct writer *w, uintptr_t pc)
{
	struct block fresh = { .address = pc }, *found = table_find(&w->locations, pc);

	if (found)
		return found->size;
	fresh.size = ++w->nr_locations;
	emit_location(w, fresh.size, pc);
	(void)table_insert(&w->locations, &fresh);
	return fresh.size;
}

static void emit_sample(struct writer *w, const struct profile_site *site)
{
	struct message m = { .nr = 0 };
	const uintptr_t *frames;
	uint32_t nr = stack_frames(site->stack, &frames);

	for (uint32_t i = 0; i < nr; i++)
		put(&m, 1, location_of(w, frames[i] - 1));
	put(&m, 2, (uint64_t)(site->in_use + 0.5));
	put(&m, 2, (uint64_t)(site->in_use_bytes + 0.5));
	put(&m, 2, (uint64_t)(site->allocated + 0.5));
	put(&m, 2, (uint64_t)(site->allocated_bytes + 0.5));
	emit(w, PROFILE_SAMPLE, &m);
}

static void emit_all(struct writer *w)
{
	size_t nr_most = profile_nr_sites() + 64;
	struct profile_site *sites = calloc(nr_most, sizeof *sites);
	size_t nr = sites ? profile_sum(sites, nr_most) : 0;

	(void)string(w, "");
	/* Written at the end, when little is in use: what a viewer shows first is who allocated. */
	emit_type(w, PROFILE_SAMPLE_TYPE, "inuse_objects", "count");
	emit_type(w, PROFILE_SAMPLE_TYPE, "inuse_space", "bytes");
	emit_type(w, PROFILE_SAMPLE_TYPE, "alloc_objects", "count");
	emit_type(w, PROFILE_SAMPLE_TYPE, "alloc_space", "bytes");
	emit_type(w, PROFILE_PERIOD_TYPE, "space", "bytes");
	emit_number(w, PROFILE_PERIOD, PROFILE_INTERVAL);
	emit_number(w, PROFILE_TIME, (uint64_t)time(NULL) * 1000000000u);
	emit_number(w, PROFILE_DEFAULT_TYPE, string(w, "alloc_space"));
	read_mappings(w);
	for (size_t i = 0; i < nr; i++)
		emit_sample(w, &sites[i]);
	emit_mappings(w);
	free(sites);
	if (w->locations.slots)
		(void)munmap(w->locations.slots, w->locations.nr_slots * sizeof(struct block));
}

static void expand(char *out, size_t room, const char *path)
{
	const char *mark = strstr(path, "%p");

	if (mark)
		(void)snprintf(out, room, "%.*s%d%s", (int)(mark - path), path, (int)getpid(),
			       mark + 2);
	else
		(void)snprintf(out, room, "%s", path);
}

bool profile_write(const char *path)
{
	struct writer *w = heap_metadata(sizeof *w);
	char name[1100];
	bool done = false;

	if (!w)
		return false;
	expand(name, sizeof name, path);
	symbols_begin();
	w->file = fopen(name, "we");
	if (w->file) {
		emit_all(w);
		done = !ferror(w->file);
		done &= !fclose(w->file);
	}
	symbols_end();
	(void)munmap(w, sizeof *w);
	return done;
}

/* SPDX-License-Identifier: MIT */
/*
 * Data that each CPU has of its own.
 *
 *	chunk     area[0]  | head | a | b |    | c |       one frame for each CPU, on its node
 *	          area[1]  | head | a | b |    | c |
 *	          used      1 1 1   1   1 0 0 0  1 0 ...   a bit for 16 bytes, of all areas at once
 *	          last      0 0 1   1   1 0 0 0  1 0 ...   where an allocation ends
 *
 * The pointer that stands for `b` is that into area[0]; its frame's first word names the chunk.
 * So what one CPU has lies close together and no line of it is another CPU's.
 *
 *   [PERCPU-1] A chunk's maps agree: an end is in use, and ends count the allocations, the head's
 *              among them.
 *   [PERCPU-2] What is freed is the start of an allocation.
 *
 * Sources: Linux mm/percpu.c, whose chunks are virtual, so that a CPU's part is found by adding.
 */
#include <ondol/mempool.h>

#include "slab/slab.h"

#define HEAD_UNITS (PHYS_CACHE_LINE / PERCPU_UNIT) /* a line, so that alignment to one is easy */

static uintptr_t lock_chunks(struct ondol_machine *m)
{
	return lock_irqsave(m->port, &m->slab->percpu_lock, m->phys->smp);
}

static void unlock_chunks(struct ondol_machine *m, uintptr_t irq)
{
	unlock_irqrestore(m->port, &m->slab->percpu_lock, m->phys->smp, irq);
}

static bool get_bit(const uint32_t *map, uint32_t at)
{
	return map[at / 32] >> at % 32 & 1;
}

static void put_bit(uint32_t *map, uint32_t at, bool on)
{
	uint32_t bit = 1u << at % 32;

	map[at / 32] = on ? map[at / 32] | bit : map[at / 32] & ~bit;
}

static void mark(struct percpu_chunk *chunk, uint32_t at, uint32_t nr, bool on)
{
	for (uint32_t i = at; i < at + nr; i++)
		put_bit(chunk->used, i, on);
	put_bit(chunk->last, at + nr - 1, on);
}

static void delete_chunk(struct ondol_machine *m, struct percpu_chunk *chunk, uint32_t nr_areas)
{
	for (uint32_t cpu = 0; cpu < nr_areas; cpu++) {
		uint64_t at = (uintptr_t)chunk->area[cpu] - (uintptr_t)m->port->direct_map;

		ondol_free_pages(m, machine_page(m, at >> ONDOL_PAGE_SHIFT), 0);
	}
	ondol_kfree(m, chunk);
}

static struct percpu_chunk *make_chunk(struct ondol_machine *m, ondol_gfp_t gfp)
{
	struct percpu_chunk *chunk =
		ondol_kzalloc(m, sizeof *chunk + m->nr_cpus * sizeof(char *), gfp);

	if (!chunk)
		return NULL;
	for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++) {
		struct ondol_page *page =
			ondol_alloc_pages_node(m, m->phys->cpus[cpu].node, gfp, 0);

		if (!page) {
			delete_chunk(m, chunk, cpu);
			return NULL;
		}
		chunk->area[cpu] = page_host(m, page);
	}
	*(struct percpu_chunk **)(void *)chunk->area[0] = chunk;
	mark(chunk, 0, HEAD_UNITS, true);
	return chunk;
}

/* The first run of `nr` free units at a multiple of `step`; 0: there is none. */
static uint32_t find_run(const struct percpu_chunk *chunk, uint32_t nr, uint32_t step)
{
	for (uint32_t at = HEAD_UNITS; at + nr <= PERCPU_UNITS; at += step) {
		uint32_t length = 0;

		while (length < nr && !get_bit(chunk->used, at + length))
			length++;
		if (length == nr)
			return at;
	}
	return 0;
}

static char *take_run(struct ondol_machine *m, uint32_t nr, uint32_t step)
{
	list_for_each(pos, &m->slab->chunks) {
		struct percpu_chunk *chunk = container_of(pos, struct percpu_chunk, link);
		uint32_t at = find_run(chunk, nr, step);

		if (!at)
			continue;
		mark(chunk, at, nr, true);
		chunk->nr_allocs++;
		return chunk->area[0] + at * PERCPU_UNIT;
	}
	return NULL;
}

void *ondol_alloc_percpu(struct ondol_machine *m, size_t size, size_t align, ondol_gfp_t gfp)
{
	uint32_t nr = (uint32_t)((size + PERCPU_UNIT - 1) / PERCPU_UNIT), step;
	struct percpu_chunk *chunk;
	uintptr_t irq;
	char *percpu;

	if (!size || size > ONDOL_PERCPU_MAX || align & (align - 1) || align > PHYS_CACHE_LINE)
		return NULL;
	step = align > PERCPU_UNIT ? (uint32_t)align / PERCPU_UNIT : 1;
	irq = lock_chunks(m);
	percpu = take_run(m, nr, step);
	unlock_chunks(m, irq);
	if (!percpu) {
		chunk = make_chunk(m, gfp & ~ONDOL_GFP_ZERO);
		if (!chunk)
			return NULL;
		irq = lock_chunks(m);
		list_add_tail(&chunk->link, &m->slab->chunks);
		percpu = take_run(m, nr, step);
		unlock_chunks(m, irq);
		if (!percpu) /* others took it all meanwhile: they may free it again */
			return NULL;
	}
	for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++)
		__builtin_memset(ondol_per_cpu_ptr(m, percpu, cpu), 0, nr * PERCPU_UNIT);
	return percpu;
}

static struct percpu_chunk *chunk_of(const void *percpu, uint32_t *out_offset)
{
	uintptr_t base = (uintptr_t)percpu & ~(uintptr_t)(ONDOL_PAGE_SIZE - 1);

	*out_offset = (uint32_t)((uintptr_t)percpu - base);
	return *(struct percpu_chunk **)base;
}

void *ondol_per_cpu_ptr(const struct ondol_machine *m, void *percpu, uint32_t cpu)
{
	uint32_t offset;
	struct percpu_chunk *chunk = chunk_of(percpu, &offset);

	ONDOL_VERIFY(m, cpu < m->nr_cpus, "PERCPU-2", (uintptr_t)percpu, cpu);
	return chunk->area[cpu] + offset;
}

void *ondol_this_cpu_ptr(const struct ondol_machine *m, void *percpu)
{
	return ondol_per_cpu_ptr(m, percpu, machine_this_cpu(m));
}

/* Is it one of ours?  Its frame may be anything. */
static struct percpu_chunk *find_chunk(struct ondol_machine *m, const void *percpu)
{
	list_for_each(pos, &m->slab->chunks) {
		struct percpu_chunk *chunk = container_of(pos, struct percpu_chunk, link);

		if ((uintptr_t)percpu - (uintptr_t)chunk->area[0] < ONDOL_PAGE_SIZE)
			return chunk;
	}
	return NULL;
}

void ondol_free_percpu(struct ondol_machine *m, void *percpu)
{
	struct percpu_chunk *chunk;
	uint32_t at, nr = 1;
	uintptr_t irq;
	bool empty;

	if (!percpu)
		return;
	irq = lock_chunks(m);
	chunk = find_chunk(m, percpu);
	ONDOL_VERIFY(m, chunk, "PERCPU-2", (uintptr_t)percpu, 0);
	at = (uint32_t)((char *)percpu - chunk->area[0]);
	ONDOL_VERIFY(m, at >= PHYS_CACHE_LINE && at % PERCPU_UNIT == 0 &&
		     get_bit(chunk->used, at / PERCPU_UNIT) &&
		     (get_bit(chunk->last, at / PERCPU_UNIT - 1) ||
		      !get_bit(chunk->used, at / PERCPU_UNIT - 1)), "PERCPU-2",
		     (uintptr_t)percpu, at);
	at /= PERCPU_UNIT;
	while (!get_bit(chunk->last, at + nr - 1))
		nr++;
	mark(chunk, at, nr, false);
	empty = --chunk->nr_allocs == 0;
	if (empty)
		list_del(&chunk->link);
	unlock_chunks(m, irq);
	if (empty)
		delete_chunk(m, chunk, m->nr_cpus);
}

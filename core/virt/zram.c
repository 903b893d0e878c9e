/* SPDX-License-Identifier: MIT */
/*
 * A swap area in the machine's own memory: pages come out smaller than they went in.
 *
 *	page of one 8-byte word, repeated   the word, in the slot's record
 *	else, compressed (base/lz4.c)       an object in single frames (zsmalloc.c), if ROOM at most
 *	else                                refused: kept as it is, it would only change its place
 *
 * It is written to when there is no memory, to make some: frames for objects are taken past the
 * watermarks (MEMALLOC), never by reclaim.  Each page that is taken frees its frame, so what the
 * reserve lends comes back at once, four quarters for three at worst.
 *
 * What it holds it takes from everybody's memory, and nothing leaves it but by being wanted.  So
 * where there is another area with room, it stops at half of the memory: else programs would be
 * left with the pages that nobody may take, and ended with swap to spare.
 */
#include "base/format.h"
#include "base/lz4.h"
#include "virt/swap.h"
#include "virt/zsmalloc.h"

#define ROOM ZS_MAX
#define SAME_FILLED UINT32_MAX

struct zram_slot {
	union {
		struct zs_handle object;
		uint64_t word;
	};
	uint32_t size; /* compressed bytes; SAME_FILLED; 0: empty */
	uint32_t unused;
};
ONDOL_STATIC_ASSERT(sizeof(struct zram_slot) == 1 << 4, "entries of the table");

struct zram {
	struct ondol_machine *m;
	struct swap_table slots;
	struct zs_pool pool;
	uint64_t nr_pages, pages, same, refused, bytes;
	struct lz4_table table;
	unsigned char buffer[ROOM];
};

static bool same_filled(const void *host, uint64_t *out_word)
{
	const uint64_t *word = host;
	size_t n = ONDOL_PAGE_SIZE / sizeof *word;

	/* The last one first: beginnings are often alike. */
	if (word[0] != word[n - 1])
		return false;
	for (size_t i = 1; i < n; i++)
		if (word[i] != word[0])
			return false;
	*out_word = word[0];
	return true;
}

/* Half of the memory is compressed pages, and there is somewhere else to go. */
static bool has_enough(const struct zram *zram)
{
	const struct ondol_machine *m = zram->m;
	const struct swap_state *swap = m->virt->swap;
	uint64_t own_free = zram->nr_pages - zram->pages;

	return zram->pool.frames >= m->phys->managed / 2 &&
	       swap->total - swap->used > own_free;
}

static int zram_write(void *ctx, uint64_t slot, const void *host)
{
	struct zram *zram = ctx;
	struct zram_slot *s = swap_table_at(&zram->slots, slot);
	size_t size;

	if (same_filled(host, &s->word)) {
		s->size = SAME_FILLED;
		zram->same++;
		zram->pages++;
		return 0;
	}
	if (has_enough(zram)) {
		zram->refused++;
		return -ONDOL_ENOSPC;
	}
	size = lz4_compress(&zram->table, host, ONDOL_PAGE_SIZE, zram->buffer, ROOM);
	if (!size || !zs_put(&zram->pool, zram->buffer, size, &s->object)) {
		zram->refused++;
		return -ONDOL_ENOSPC;
	}
	s->size = (uint32_t)size;
	zram->pages++;
	zram->bytes += size;
	return 0;
}

static int zram_read(void *ctx, uint64_t slot, void *host)
{
	struct zram *zram = ctx;
	const struct zram_slot *s = swap_table_at(&zram->slots, slot);

	if (s->size == SAME_FILLED) {
		for (size_t i = 0; i < ONDOL_PAGE_SIZE / sizeof s->word; i++)
			((uint64_t *)host)[i] = s->word;
		return 0;
	}
	return lz4_decompress(zs_get(&zram->pool, s->object, s->size, zram->buffer), s->size, host,
			      ONDOL_PAGE_SIZE) == (ptrdiff_t)ONDOL_PAGE_SIZE ? 0 : -ONDOL_EIO;
}

static void zram_free(void *ctx, uint64_t slot)
{
	struct zram *zram = ctx;
	struct zram_slot *s = swap_table_at(&zram->slots, slot);

	zram->pages--;
	if (s->size == SAME_FILLED) {
		zram->same--;
	} else {
		zram->bytes -= s->size;
		zs_free(&zram->pool, s->object, s->size);
	}
	s->size = 0;
}

static void zram_release(void *ctx)
{
	struct zram *zram = ctx;

	swap_table_fini(zram->m, &zram->slots);
	ondol_kfree(zram->m, zram);
}

const struct ondol_swap_ops zram_ops = {
	.size = sizeof(struct ondol_swap_ops),
	.write_page = zram_write,
	.read_page = zram_read,
	.free_slot = zram_free,
	.release = zram_release,
};

void zram_stats(const void *ctx, struct ondol_swap_stats *stats)
{
	const struct zram *zram = ctx;

	stats->zram_pages += zram->pages;
	stats->zram_same += zram->same;
	stats->zram_refused += zram->refused;
	stats->zram_bytes += zram->bytes;
	stats->zram_bytes_used += zram->pool.frames << ONDOL_PAGE_SHIFT;
}

/* The next of zram0, zram1, ... */
static uint32_t count_zram(const struct ondol_machine *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; m->virt->swap && i < m->virt->swap->nr_areas; i++)
		n += m->virt->swap->area[i]->ops == &zram_ops;
	return n;
}

int ondol_zram_add(struct ondol_machine *m, uint64_t nr_pages, int16_t priority)
{
	char name[24];
	struct zram *zram = ondol_kzalloc(m, sizeof *zram, ONDOL_GFP_KERNEL);
	struct ondol_swap_args args = { .size = sizeof args, .priority = priority,
					.is_memory = true, .name = name, .nr_pages = nr_pages,
					.ops = &zram_ops, .ctx = zram };
	int r;

	if (!zram)
		return -ONDOL_ENOMEM;
	zram->m = m;
	zram->nr_pages = nr_pages;
	zs_init(&zram->pool, m);
	format_string(name, sizeof name, "/dev/zram%u", count_zram(m));
	r = nr_pages ? swap_table_init(m, &zram->slots, nr_pages, 4, ONDOL_GFP_KERNEL) :
		       -ONDOL_EINVAL;
	if (!r)
		r = ondol_swap_add(m, &args);
	if (r)
		zram_release(zram);
	return r;
}

/* SPDX-License-Identifier: MIT */
/*
 * What becomes of the memory of caches (E1), in bytes, a line for each cache that has slabs:
 *
 *	asked   for objects that are out now, as callers said it
 *	given   their objects' sizes: the difference is internal fragmentation
 *	held    the slabs: free objects, alignment, debug and states beside
 *
 *	inside = 1 - asked / given, as a tenth of a percent; unused = 1 - given / held
 */
#include "base/format.h"
#include "base/math.h"
#include "inspect/inspect.h"
#include "slab/slab.h"

struct usage {
	struct out out;
	uint64_t asked, given, held;
};

/* The part of `whole` that is not `part`, in permille. */
static unsigned lost(uint64_t part, uint64_t whole)
{
	uint32_t shift = 0;

	if (part >= whole)
		return 0;
	while (whole >> shift > UINT32_MAX) /* divided by 32 bits everywhere */
		shift++;
	return (unsigned)div_u64(((whole - part) >> shift) * 1000, (uint32_t)(whole >> shift));
}

static void put_line(struct out *out, const char *name, uint64_t asked, uint64_t given,
		     uint64_t held)
{
	unsigned inside = lost(asked, given), unused = lost(given, held);

	out_printf(out, "%-24s %12llu %12llu %12llu %4u.%u%% %4u.%u%%\n", name,
		   (unsigned long long)asked, (unsigned long long)given,
		   (unsigned long long)held, inside / 10, inside % 10, unused / 10, unused % 10);
}

static int put_cache(void *ctx, const struct ondol_slab_info *info)
{
	struct usage *usage = ctx;
	uint64_t given = info->active_objects * info->object_size;
	uint64_t held = info->nr_slabs * info->pages_per_slab * ONDOL_PAGE_SIZE;

	if (!held)
		return 0;
	put_line(&usage->out, info->name, info->bytes_requested, given, held);
	usage->asked += info->bytes_requested;
	usage->given += given;
	usage->held += held;
	return usage->out.error;
}

int ondol_slab_usage(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	struct usage usage = { .asked = 0 };

	out_init(&usage.out, write, ctx);
	out_printf(&usage.out, "%-24s %12s %12s %12s %6s %6s\n", "cache", "asked", "given", "held",
		   "inside", "unused");
	(void)ondol_for_each_cache(m, put_cache, &usage);
	put_line(&usage.out, "all", usage.asked, usage.given, usage.held);
	return out_end(&usage.out);
}

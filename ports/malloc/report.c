/* SPDX-License-Identifier: MIT */
/* What is wrong, in words, on stderr and without allocating; the table at exit. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* vsnprintf of integers and strings allocates nothing. */
void say(const char *format, ...)
{
	char line[512];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	if (length > (int)sizeof line - 1)
		length = (int)sizeof line - 1;
	if (length > 0)
		(void)!write(STDERR_FILENO, line, (size_t)length);
}

void report_bad_pointer(const char *what, const void *p)
{
	say("ondol-malloc: %s: %p\n", what, p);
	abort();
}

/* In the terms of who called free(), where the core's labels have such. */
static const char *meaning(const char *invariant)
{
	static const struct {
		const char *label, *text;
	} known[] = {
		{ "SLAB-5", "freed twice: the object is free already" },
		{ "SLAB-6", "free of a pointer into the middle of an object, or of none of ours" },
		{ "SLAB-7", "written beyond the end of the object" },
		{ "SLAB-8", "written to after it was freed" },
		{ "SLAB-2", "the list of a slab's free objects is damaged" },
	};

	for (size_t i = 0; invariant && i < sizeof known / sizeof known[0]; i++)
		if (!strcmp(known[i].label, invariant))
			return known[i].text;
	return "the heap is damaged";
}

void report_panic(void *ctx, const struct ondol_panic_report *report)
{
	(void)ctx;
	if (heap.debug)
		debug_panic(report, meaning(report->invariant));
	say("ondol-malloc: %s: %#llx\n", meaning(report->invariant),
	    (unsigned long long)report->detail[0]);
	say("  [%s] %s, %s:%u\n", report->invariant ? report->invariant : "?", report->expression,
	    report->file, report->line);
	abort();
}

void report_log(void *ctx, enum ondol_log_level level, const char *line)
{
	(void)ctx;
	if (level <= ONDOL_LOG_ERR)
		say("ondol-malloc: %s\n", line);
}

static int report_cache(void *ctx, const struct ondol_slab_info *info)
{
	struct depot sum = { .nr = 0 };
	uint32_t *class = ctx;

	if (strncmp(info->name, "malloc-", 7))
		return 0;
	++*class;
	for (uint32_t node = 0; node < heap.nr_nodes; node++) {
		sum.nr += heap.depot[node][*class].nr;
		sum.nr_refills += heap.depot[node][*class].nr_refills;
		sum.nr_flushes += heap.depot[node][*class].nr_flushes;
	}
	if (!info->nr_slabs)
		return 0;
	say("%8zu %10llu %10llu %9llu %8u %11llu %10llu\n", info->object_size,
	    (unsigned long long)info->active_objects, (unsigned long long)info->nr_objects,
	    (unsigned long long)info->nr_slabs, sum.nr,
	    (unsigned long long)sum.nr_refills, (unsigned long long)sum.nr_flushes);
	return 0;
}

static int report_node(void *ctx, const struct ondol_zone_stats *zone)
{
	(void)ctx;
	if (zone->pages_managed)
		say("  node %-3u %llu KiB in use\n", zone->node,
		    (unsigned long long)(zone->pages_managed - zone->pages_free) * 4);
	return 0;
}

void report_stats(void)
{
	uint64_t nr_huge, huge_bytes, used;
	uint32_t class = 0;

	huge_totals(&nr_huge, &huge_bytes);
	say("ondol-malloc: process %d\n", (int)getpid());
	say("%8s %10s %10s %9s %8s %11s %10s\n", "bytes", "out", "in slabs", "slabs", "depot",
	    "refills", "flushes");
	lock_take(&heap.core_lock);
	(void)ondol_for_each_cache(heap.m, report_cache, &class);
	used = heap_used_pages();
	say("  large   %llu blocks, %llu KiB; huge %llu, %llu KiB\n",
	    (unsigned long long)heap.nr_large, (unsigned long long)heap.large_pages * 4,
	    (unsigned long long)nr_huge, (unsigned long long)huge_bytes / 1024);
	say("  pages   %llu KiB in use, %llu KiB touched and not given back\n",
	    (unsigned long long)used * 4, (unsigned long long)heap.nr_touched * 4);
	if (heap.nr_nodes > 1)
		(void)ondol_for_each_zone(heap.m, report_node, NULL);
	lock_drop(&heap.core_lock);
}

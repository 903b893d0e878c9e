/* SPDX-License-Identifier: MIT */
/*
 * mallinfo2 and malloc_info, in glibc's terms.  A "fast" free block is one in a bin or depot, the
 * others are in slabs; "arena" is what the host still backs of the range, and "keepcost" what of
 * that malloc_trim could give back as it is.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

struct sums {
	uint32_t class;
	uint64_t in_use, nr_free; /* bytes out of the slabs; objects in them */
	uint64_t free_of[NR_CLASSES + 1];
	uint64_t nr_fast, fast;   /* objects in bins and depots; their bytes */
	uint64_t touched, used, peak, large; /* pages */
	uint64_t nr_huge, huge;   /* blocks; bytes */
};

static int sum_cache(void *ctx, const struct ondol_slab_info *info)
{
	struct sums *sums = ctx;
	uint64_t nr = info->nr_objects - info->active_objects;

	if (strncmp(info->name, "malloc-", 7) || sums->class == NR_CLASSES)
		return 0;
	sums->free_of[++sums->class] = nr;
	sums->nr_free += nr;
	sums->in_use += info->active_objects * info->object_size;
	return 0;
}

static void add_fast(struct sums *sums, uint32_t class, uint64_t nr)
{
	sums->nr_fast += nr;
	sums->fast += nr * ondol_class_size[class];
}

/* Those of running threads as they happen to be. */
static void sum_bins(struct sums *sums)
{
	lock_take(&heap.threads_lock);
	for (struct thread *thread = heap.threads; thread; thread = thread->next)
		for (uint32_t i = 0; i < heap.nr_nodes * NR_CLASSES; i++) {
			uint32_t class = i % NR_CLASSES + 1;
			struct bin *bin = &bins_at(thread, i / NR_CLASSES)[class];
			uint64_t nr = (uint64_t)(bin->top - bin->base);

			add_fast(sums, class, nr <= heap.bin_cap[class] ? nr : 0);
		}
	lock_drop(&heap.threads_lock);
	for (uint32_t i = 0; i < heap.nr_nodes * NR_CLASSES; i++) {
		uint32_t class = i % NR_CLASSES + 1;

		add_fast(sums, class, heap.depot[i / NR_CLASSES][class].nr);
	}
}

static void sum_all(struct sums *sums)
{
	struct ondol_machine_stats stats;

	*sums = (struct sums){ 0 };
	sum_bins(sums);
	lock_take(&heap.core_lock);
	(void)ondol_for_each_cache(heap.m, sum_cache, sums);
	ondol_machine_stats(heap.m, &stats);
	sums->used = heap_used_pages();
	sums->peak = stats.pages_used_peak;
	sums->touched = heap.nr_touched;
	sums->large = heap.large_pages;
	lock_drop(&heap.core_lock);
	if (sums->fast > sums->in_use) /* a bin was read while it filled */
		sums->fast = sums->in_use;
	huge_totals(&sums->nr_huge, &sums->huge);
}

EXPORT struct mallinfo2 mallinfo2(void)
{
	struct mallinfo2 info = { 0 };
	struct sums sums;

	if (!heap_init())
		return info;
	sum_all(&sums);
	info.arena = sums.touched << PAGE_SHIFT;
	info.ordblks = sums.nr_free;
	info.smblks = sums.nr_fast;
	info.fsmblks = sums.fast;
	info.uordblks = sums.in_use - sums.fast + (sums.large << PAGE_SHIFT);
	info.fordblks = info.arena > info.uordblks ? info.arena - info.uordblks : 0;
	info.keepcost = sums.touched > sums.used ? (sums.touched - sums.used) << PAGE_SHIFT : 0;
	info.hblks = sums.nr_huge;
	info.hblkhd = sums.huge;
	return info;
}

EXPORT struct mallinfo mallinfo(void)
{
	struct mallinfo2 wide = mallinfo2();

	return (struct mallinfo){
		.arena = (int)wide.arena, .ordblks = (int)wide.ordblks,
		.smblks = (int)wide.smblks, .hblks = (int)wide.hblks,
		.hblkhd = (int)wide.hblkhd, .fsmblks = (int)wide.fsmblks,
		.uordblks = (int)wide.uordblks, .fordblks = (int)wide.fordblks,
		.keepcost = (int)wide.keepcost,
	};
}

EXPORT void malloc_stats(void)
{
	if (heap_init())
		report_stats();
}

/* glibc's elements; of its heaps there is one. */
EXPORT int malloc_info(int options, FILE *out)
{
	struct sums sums;
	uint64_t bytes = 0, current, peak;

	if (options)
		return EINVAL;
	if (!heap_init())
		return ENOMEM;
	sum_all(&sums);
	current = sums.touched << PAGE_SHIFT;
	peak = sums.peak > sums.touched ? sums.peak << PAGE_SHIFT : current;
	fprintf(out, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
	for (uint32_t class = 1; class <= NR_CLASSES; class++) {
		uint64_t total = sums.free_of[class] * ondol_class_size[class];

		bytes += total;
		if (total)
			fprintf(out, "  <size from=\"%u\" to=\"%u\" total=\"%llu\" "
				"count=\"%llu\"/>\n", ondol_class_size[class - 1] + 1,
				ondol_class_size[class], (unsigned long long)total,
				(unsigned long long)sums.free_of[class]);
	}
	fprintf(out, "</sizes>\n");
	for (int i = 0; i < 2; i++) { /* the heap, and all of them together */
		fprintf(out, "<total type=\"fast\" count=\"%llu\" size=\"%llu\"/>\n"
			"<total type=\"rest\" count=\"%llu\" size=\"%llu\"/>\n",
			(unsigned long long)sums.nr_fast, (unsigned long long)sums.fast,
			(unsigned long long)sums.nr_free, (unsigned long long)bytes);
		if (i)
			fprintf(out, "<total type=\"mmap\" count=\"%llu\" size=\"%llu\"/>\n",
				(unsigned long long)sums.nr_huge, (unsigned long long)sums.huge);
		fprintf(out, "<system type=\"current\" size=\"%llu\"/>\n"
			"<system type=\"max\" size=\"%llu\"/>\n"
			"<aspace type=\"total\" size=\"%llu\"/>\n"
			"<aspace type=\"mprotect\" size=\"%llu\"/>\n%s",
			(unsigned long long)current, (unsigned long long)peak,
			(unsigned long long)current, (unsigned long long)current,
			i ? "</malloc>\n" : "</heap>\n");
	}
	return 0;
}

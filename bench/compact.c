/* SPDX-License-Identifier: MIT */
/*
 * make bench-compact: what compaction brings back.  The situation of frag2 (bench/phys.c) with the
 * pages of a program: it touches 98 % of the memory, gives back at random until N % are left, and
 * then, so many rounds, a random tenth of them, to touch as many others.  Blocks of 2 MiB that are
 * free then, those that would be if all that is used lay together, and those after compaction;
 * what it cost.  CPU time of the thread; each line is a machine of its own.
 *
 *	compact [MIB]
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "common.h"

#define PAGE 4096ull
#define BASE (1ull << 32)
#define HUGE 9u
#define HUGE_PAGES 512u
#define DONTNEED 4

static struct ondol_machine *m;
static struct ondol_mm_struct *mm;
static unsigned char *ram;
static uint32_t *held, *spare; /* pages that are touched; that are not */
static uint32_t nr_held, nr_spare;

static void make_machine(uint64_t bytes)
{
	static const struct ondol_mmu_ops mmu = { .version = ONDOL_MMU_VERSION,
						  .size = sizeof mmu,
						  .invalidate = on_invalidate };
	static struct ondol_port port = { .version = ONDOL_PORT_VERSION, .size = sizeof port,
					  .panic = on_panic };
	struct ondol_mem_region region = { .end = { bytes }, .type = ONDOL_MEM_USABLE };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &region,
					   .nr_regions = 1, .nr_nodes = 1, .nr_cpus = 1,
					   .overcommit = ONDOL_OVERCOMMIT_ALWAYS, .mmu = &mmu };
	struct ondol_mmap_args args = { .size = sizeof args, .addr = BASE, .length = bytes,
					.map_flags = ONDOL_MAP_FIXED,
					.vm_flags = ONDOL_VM_READ | ONDOL_VM_WRITE };
	size_t size, align;
	ondol_virt_addr_t at;

	ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(ram == MAP_FAILED ? -ONDOL_ENOMEM : 0, "memory");
	port.direct_map = ram;
	must(ondol_machine_storage(&desc, &size, &align), "storage");
	must(ondol_machine_init(aligned_alloc(align, (size + align - 1) / align * align), size,
				&desc, &port, &m), "machine");
	must(ondol_mm_create(m, &mm), "mm");
	must(ondol_mmap(mm, &args, &at), "mmap");
}

static void touch(uint32_t page)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = ONDOL_FAULT_WRITE,
					 .addr = BASE + page * PAGE, .nr_around = 1 };
	struct ondol_fault_result result;

	must(ondol_handle_mm_fault(mm, &args, &result), "fault");
	held[nr_held++] = page;
}

/* One at random is given back; its page can be touched again. */
static void drop(void)
{
	uint32_t i = (uint32_t)(((uint64_t)rnd() * nr_held) >> 32), page = held[i];

	must(ondol_madvise(mm, BASE + page * PAGE, PAGE, DONTNEED), "madvise");
	held[i] = held[--nr_held];
	spare[nr_spare++] = page;
}

static void touch_spare(void)
{
	uint32_t i = (uint32_t)(((uint64_t)rnd() * nr_spare) >> 32), page = spare[i];

	spare[i] = spare[--nr_spare];
	touch(page);
}

static int count(void *ctx, const struct ondol_zone_stats *zone)
{
	for (unsigned order = HUGE; order < zone->nr_orders; order++)
		*(uint64_t *)ctx += zone->free_blocks[order] << (order - HUGE);
	return 0;
}

static unsigned long long huge_blocks(void)
{
	uint64_t n = 0;

	ondol_drain_all_pages(m);
	ondol_for_each_zone(m, count, &n);
	return n;
}

static void run(uint64_t bytes, uint32_t percent, unsigned rounds)
{
	uint64_t all = bytes / PAGE, n, moved = 0;
	unsigned long long ideal, before;
	double ns;

	make_machine(bytes);
	nr_held = nr_spare = 0;
	all = ondol_nr_free_pages(m) * 98 / 100;
	n = all * percent / 98;
	for (uint32_t page = 0; page < all; page++)
		touch(page);
	while (nr_held > n)
		drop();
	for (unsigned round = 0; round < rounds; round++) {
		for (uint64_t i = 0; i < n / 10; i++)
			drop();
		for (uint64_t i = 0; i < n / 10; i++)
			touch_spare();
	}
	before = huge_blocks();
	ideal = ondol_nr_free_pages(m) / HUGE_PAGES;
	ns = now();
	moved = ondol_compact_node(m, 0);
	ns = now() - ns;
	printf("%3u %% full, %2u rounds: %4llu blocks of 2 MiB, after compaction %4llu, at best "
	       "%4llu; %6llu pages moved in %5.1f ms, %4.0f ns each\n",
	       percent, rounds, before, huge_blocks(), ideal, (unsigned long long)moved, ns / 1e6,
	       moved ? ns / (double)moved : 0);
	munmap(ram, bytes);
}

int main(int argc, char **argv)
{
	uint64_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 0) : 512) << 20;

	held = calloc(bytes / PAGE, sizeof *held);
	spare = calloc(bytes / PAGE, sizeof *spare);
	must(held && spare ? 0 : -ONDOL_ENOMEM, "memory");
	for (uint32_t percent = 90; percent >= 30; percent -= 20)
		for (unsigned rounds = 0; rounds <= 10; rounds += 10)
			run(bytes, percent, rounds);
	return 0;
}

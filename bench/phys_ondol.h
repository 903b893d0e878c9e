/* SPDX-License-Identifier: MIT */
/*
 * Ondol's core: one zone of memory that begins at 4 GiB, so that no request falls to another.  One
 * CPU: the port has neither CPUs nor interrupts.  Two: this_cpu is a thread's variable, and
 * sync_cpus the kernel's membarrier.
 */
#include <linux/membarrier.h>
#include <ondol/ondol.h>
#include <sys/syscall.h>

#define BASE (4ull << 30)
#define GFP (ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_MEMALLOC | ONDOL_GFP_NOWARN)

static struct ondol_port port;
static struct ondol_machine *m;
static _Thread_local uint32_t this_cpu;
static uint64_t ram_bytes;
static bool late;

static const char *ad_name(void) { return "Ondol"; }

static void on_panic(void *ctx, const struct ondol_panic_report *report)
{
	(void)ctx;
	fprintf(stderr, "bench/phys: panic: %s:%u %s [%s]\n", report->file, report->line,
		report->expression, report->invariant ? report->invariant : "-");
	abort();
}

static uint32_t on_this_cpu(void *ctx)
{
	(void)ctx;
	return this_cpu;
}

static void on_sync_cpus(void *ctx)
{
	(void)ctx;
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
		abort();
}

static void make_port(unsigned char *ram, uint32_t cpus)
{
	port = (struct ondol_port){ .version = ONDOL_PORT_VERSION, .size = sizeof port,
				    .direct_map = ram - BASE, .panic = on_panic };
	if (cpus == 1)
		return;
	port.this_cpu = on_this_cpu;
	if (!syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
		port.sync_cpus = on_sync_cpus;
}

static void ad_init(uint64_t bytes, uint32_t cpus)
{
	struct ondol_mem_region region = { .start = { BASE }, .end = { BASE + bytes } };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &region,
					   .nr_regions = 1, .nr_nodes = 1, .nr_cpus = cpus,
					   .deferred_init = late };
	struct ondol_machine_stats stats;
	size_t size, align;
	void *storage = NULL;
	char *ram = mmap(NULL, bytes + (1 << 21), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ram_bytes = bytes;
	if (ram == MAP_FAILED)
		fail("no memory for the machine");
	ram += -(uintptr_t)ram & ((1 << 21) - 1);
	/* The page array is at the end; a kernel's direct map has huge pages. */
	if (!late)
		(void)madvise(ram + bytes - bytes / 64, bytes / 64, MADV_HUGEPAGE);
	make_port((unsigned char *)ram, cpus);
	if (ondol_machine_storage(&desc, &size, &align) || posix_memalign(&storage, align, size) ||
	    ondol_machine_init(storage, size, &desc, &port, &m))
		fail("no machine");
	ondol_machine_stats(m, &stats);
	nr_frames = stats.pages_free;
}

static inline uintptr_t ad_alloc(uint32_t cpu, unsigned order)
{
	(void)cpu;
	return (uintptr_t)ondol_alloc_pages(m, GFP, order);
}

static inline void ad_free(uint32_t cpu, uintptr_t frame, unsigned order)
{
	(void)cpu;
	ondol_free_pages(m, (struct ondol_page *)frame, order);
}

static void ad_meta(void)
{
	struct ondol_machine_stats stats;
	double frames = (double)(ram_bytes >> 12), reserved;

	ondol_machine_stats(m, &stats);
	reserved = (double)stats.pages[ONDOL_PAGE_RESERVED] * 4096 / frames;
	printf("Ondol: %.3f bytes a frame: the page record %u, the allocator's own %.3f\n",
	       reserved, stats.page_record_size, reserved - stats.page_record_size);
}

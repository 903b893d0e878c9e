/* SPDX-License-Identifier: MIT */
/*
 * The core alone: no host kernel takes part in what is timed.  The machine's memory is
 * ordinary memory that was there before the clock starts, its hardware a software-filled TLB
 * that is told nothing worth the time.  CPU time of the thread, medians of ROUNDS rounds.
 *
 * "not cleared": the same work while memset of whole frames does nothing (the program is
 * linked with --wrap=memset), which is what a fault costs apart from clearing 4 KiB.  The page
 * tables are there already then, and frames left alone are counted to make sure.
 *
 *   core [ROUNDS] [SUBSTRING]      only rows of groups whose name contains it
 *
 * Allocators of the host stand beside ours where they are installed; theirs are called through
 * a pointer, ours directly, which is worth up to half a nanosecond.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <ondol/ondol.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common.h"

#define RAM_SIZE (1ull << 30)
#define ROUNDS_MAX 99
#define PAGE ONDOL_PAGE_SIZE
#define KERNEL ONDOL_GFP_KERNEL
#define ANON_PAGES 16384u
#define FORK_PAGES 100000u
#define BATCH 1000u

static struct ondol_port port;
static struct ondol_machine *m;   /* 1 CPU: no locks */
static struct ondol_machine *smp; /* 2 CPUs, of which only the first works: locks, uncontended */
static size_t storage_size;
static unsigned rounds = 9;
static bool skip_frames; /* memset leaves whole frames alone */
static unsigned long skipped;

void *__real_memset(void *to, int c, size_t size);
void *__wrap_memset(void *to, int c, size_t size);

void *__wrap_memset(void *to, int c, size_t size)
{
	if (!skip_frames || size < PAGE)
		return __real_memset(to, c, size);
	skipped += size / PAGE;
	return to;
}

static void need(const void *p, const char *what)
{
	must(p ? 0 : -ONDOL_ENOMEM, what);
}

/* ------------------------------------------------------------------ the machine */

static uint32_t first_cpu(void *ctx)
{
	(void)ctx;
	return 0;
}

static void start_machine(struct ondol_port *p, uint32_t nr_cpus, struct ondol_machine **out_m)
{
	static const struct ondol_mmu_ops mmu = { .version = ONDOL_MMU_VERSION,
						  .size = sizeof mmu,
						  .flags = ONDOL_MMU_SOFTWARE_FILL,
						  .invalidate = on_invalidate };
	struct ondol_mem_region region = { .end = { RAM_SIZE }, .type = ONDOL_MEM_USABLE };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &region,
					   .nr_regions = 1, .nr_nodes = 1,
					   .nr_cpus = nr_cpus, .mmu = &mmu };
	size_t align;
	void *storage;
	char *ram = mmap(NULL, RAM_SIZE + (2 << 20), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ram == MAP_FAILED)
		must(-ONDOL_ENOMEM, "memory");
	ram += -(uintptr_t)ram & ((2 << 20) - 1);
	(void)madvise(ram, RAM_SIZE, MADV_HUGEPAGE); /* as a kernel's direct map would be */
	if (nr_cpus == 1)
		memset(ram, 1, RAM_SIZE); /* all there before the clock starts */
	p->version = ONDOL_PORT_VERSION;
	p->size = sizeof *p;
	p->direct_map = (unsigned char *)ram;
	p->panic = on_panic;
	p->this_cpu = nr_cpus > 1 ? first_cpu : NULL;
	must(ondol_machine_storage(&desc, &storage_size, &align), "storage");
	must(-posix_memalign(&storage, align, storage_size), "storage");
	must(ondol_machine_init(storage, storage_size, &desc, p, out_m), "machine");
}

/* ------------------------------------------------------------------ rows */

#define MAX_RESULTS 4
struct group {
	const char *name;
	void (*round)(double *ns);
	struct { const char *name; double target; } row[MAX_RESULTS]; /* target 0: none */
};

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* A round to warm up, then the medians of each result. */
static void measure(void (*round)(double *), double *medians)
{
	static double samples[MAX_RESULTS][ROUNDS_MAX];
	double ns[MAX_RESULTS];

	for (unsigned i = 0; i <= rounds; i++) {
		memset(ns, 0, sizeof ns);
		round(ns);
		for (unsigned k = 0; i && k < MAX_RESULTS; k++)
			samples[k][i - 1] = ns[k];
	}
	for (unsigned k = 0; k < MAX_RESULTS; k++) {
		qsort(samples[k], rounds, sizeof(double), compare_doubles);
		medians[k] = samples[k][rounds / 2];
	}
}

static void run_group(const struct group *g)
{
	double medians[MAX_RESULTS];

	measure(g->round, medians);
	for (unsigned k = 0; k < MAX_RESULTS && g->row[k].name; k++) {
		printf("%-46s %9.1f", g->row[k].name, medians[k]);
		if (g->row[k].target)
			printf(" %9g%s", g->row[k].target,
			       medians[k] > g->row[k].target ? "  over" : "");
		printf("\n");
	}
	fflush(stdout);
}

/* ------------------------------------------------------------------ faults */

static uint64_t map(struct ondol_mm_struct *mm, uint64_t addr, uint64_t pages,
		    struct ondol_file *file, uint32_t rights)
{
	struct ondol_mmap_args args = {
		.size = sizeof args, .addr = addr, .length = pages * PAGE, .file = file,
		.map_flags = addr ? ONDOL_MAP_FIXED : 0,
		.vm_flags = rights | ONDOL_VM_MAYREAD | ONDOL_VM_MAYWRITE | ONDOL_VM_MAYEXEC };
	ondol_virt_addr_t at;

	must(ondol_mmap(mm, &args, &at), "mmap");
	return at;
}

#define PAGES_AT UINT64_C(0x200000000) /* a multiple of every window */
#define READ_WRITE (ONDOL_VM_READ | ONDOL_VM_WRITE)

/* ns for each of `pages` pages from addr on, faulting in one of every `step`. */
static double fault_all(struct ondol_mm_struct *mm, uint64_t addr, uint32_t pages, uint32_t step,
			uint32_t access, enum ondol_fault_kind expected)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = access,
					 .nr_around = step };
	struct ondol_fault_result result;
	double start = now();

	for (uint32_t i = 0; i < pages; i += step) {
		args.addr = addr + i * PAGE;
		if (ondol_handle_mm_fault(mm, &args, &result) || result.kind != expected)
			must(-ONDOL_EFAULT, "fault");
	}
	return (now() - start) / pages;
}

static double fault_without_clearing(struct ondol_mm_struct *mm, uint64_t addr, uint32_t pages,
				     uint32_t step)
{
	double ns;

	skipped = 0, skip_frames = true;
	ns = fault_all(mm, addr, pages, step, ONDOL_FAULT_WRITE, ONDOL_FAULT_ZERO_FILL);
	skip_frames = false;
	if (skipped != pages) /* a table was not cleared, or a frame was */
		must(-ONDOL_EUCLEAN, "frames left alone");
	return ns;
}

static void forget_pages(struct ondol_mm_struct *mm, uint64_t addr, uint32_t pages)
{
	must(ondol_madvise(mm, addr, pages * PAGE, 4 /* MADV_DONTNEED */), "madvise");
}

static void anonymous(double *ns, uint32_t step)
{
	struct ondol_mm_struct *mm;
	uint64_t addr;
	double start;

	must(ondol_mm_create(m, &mm), "mm");
	addr = map(mm, PAGES_AT, ANON_PAGES, NULL, READ_WRITE);
	(void)fault_all(mm, addr, ANON_PAGES, step, ONDOL_FAULT_WRITE, ONDOL_FAULT_ZERO_FILL);
	forget_pages(mm, addr, ANON_PAGES); /* the tables stay */
	ns[0] = fault_all(mm, addr, ANON_PAGES, step, ONDOL_FAULT_WRITE, ONDOL_FAULT_ZERO_FILL);
	start = now();
	forget_pages(mm, addr, ANON_PAGES);
	ns[3] = (now() - start) / ANON_PAGES;
	ns[1] = fault_without_clearing(mm, addr, ANON_PAGES, step);
	ondol_mmput(mm);
	/* As many pages cleared and nothing else. */
	start = now();
	for (uint32_t i = 0; i < ANON_PAGES; i += step)
		memset(port.direct_map + RAM_SIZE / 2 + i * PAGE, 0, step * PAGE);
	ns[2] = (now() - start) / ANON_PAGES;
}

static void anonymous_1(double *ns)
{
	anonymous(ns, 1);
}

static void anonymous_16(double *ns)
{
	anonymous(ns, 16);
}

static int read_pages(void *ctx, uint64_t pgoff, uint32_t nr_pages, void *host)
{
	(void)ctx;
	memset(host, (int)pgoff, nr_pages * PAGE);
	return 0;
}

static uint64_t file_size(void *ctx)
{
	(void)ctx;
	return ANON_PAGES * PAGE;
}

static void file_minor(double *ns)
{
	static const struct ondol_address_space_ops ops = {
		.size = sizeof ops, .read_pages = read_pages, .size_bytes = file_size };
	struct ondol_file_args args = { .size = sizeof args, .name = "/bench" };
	struct ondol_mm_struct *mm;
	struct ondol_file *file;
	uint64_t addr;

	must(ondol_address_space_create(m, &ops, NULL, &args.mapping), "mapping");
	must(ondol_file_create(m, &args, &file), "file");
	ondol_address_space_put(args.mapping);
	must(ondol_mm_create(m, &mm), "mm");
	addr = map(mm, PAGES_AT, ANON_PAGES, file, ONDOL_VM_READ);
	(void)fault_all(mm, addr, ANON_PAGES, 16, ONDOL_FAULT_READ, ONDOL_FAULT_FILE_READ);
	forget_pages(mm, addr, ANON_PAGES);
	ns[0] = fault_all(mm, addr, ANON_PAGES, 1, ONDOL_FAULT_READ, ONDOL_FAULT_FILE_MINOR);
	forget_pages(mm, addr, ANON_PAGES);
	ns[1] = fault_all(mm, addr, ANON_PAGES, 16, ONDOL_FAULT_READ, ONDOL_FAULT_FILE_MINOR);
	ondol_mmput(mm);
	ondol_file_put(file);
}

static void copy_on_write(double *ns)
{
	struct ondol_mm_struct *mm, *child;
	uint64_t addr;
	double start;

	must(ondol_mm_create(m, &mm), "mm");
	addr = map(mm, PAGES_AT, ANON_PAGES, NULL, READ_WRITE);
	(void)fault_all(mm, addr, ANON_PAGES, 16, ONDOL_FAULT_WRITE, ONDOL_FAULT_ZERO_FILL);
	must(ondol_dup_mm(mm, true, &child), "fork");
	ns[0] = fault_all(child, addr, ANON_PAGES, 1, ONDOL_FAULT_WRITE, ONDOL_FAULT_COW_COPY);
	ondol_mmput(child);
	ns[2] = fault_all(mm, addr, ANON_PAGES, 1, ONDOL_FAULT_WRITE, ONDOL_FAULT_COW_REUSE);
	ondol_mmput(mm);
	/* As many pages copied and nothing else. */
	start = now();
	for (uint32_t i = 0; i < ANON_PAGES; i++)
		memcpy(port.direct_map + RAM_SIZE / 2 + i * PAGE,
		       port.direct_map + RAM_SIZE / 4 + i * PAGE, PAGE);
	ns[1] = (now() - start) / ANON_PAGES;
}

/* ------------------------------------------------------------------ regions */

#define REGION_GAP (16 * PAGE)
#define REGIONS_AT UINT64_C(0x100000000)
#define MANY_REGIONS 65000u /* Linux's vm.max_map_count, which holds here too, is 65530 */

static struct ondol_mm_struct *make_regions(uint32_t nr)
{
	struct ondol_mm_struct *mm;

	must(ondol_mm_create(m, &mm), "mm");
	for (uint32_t i = 0; i < nr; i++)
		(void)map(mm, REGIONS_AT + i * REGION_GAP, 8, NULL, READ_WRITE);
	return mm;
}

static int compare_region(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b; /* start, end */

	return x[1] <= y[0] ? -1 : x[0] >= y[1];
}

static void forget_node(void *region)
{
	(void)region;
}

/* tfind(3) of the C library, a red-black tree too, holding the same regions. */
static double find_in_libc(uint32_t nr, const uint64_t *addrs, uint32_t nr_addrs)
{
	uint64_t (*regions)[2] = calloc(nr, sizeof *regions);
	uint64_t found = 0;
	void *root = NULL;
	double start;

	need(regions, "regions");
	for (uint32_t i = 0; i < nr; i++) {
		regions[i][0] = REGIONS_AT + i * REGION_GAP;
		regions[i][1] = regions[i][0] + 8 * PAGE;
		need(tsearch(regions[i], &root, compare_region), "tsearch");
	}
	start = now();
	for (uint32_t i = 0; i < nr_addrs; i++) {
		uint64_t key[2] = { addrs[i], addrs[i] + 1 };

		found += tfind(key, &root, compare_region) != NULL;
	}
	start = (now() - start) / nr_addrs;
	must(found == nr_addrs ? 0 : -ONDOL_ENOENT, "tfind");
	tdestroy(root, forget_node);
	free(regions);
	return start;
}

static void find_regions(double *ns, uint32_t nr)
{
	static uint64_t addrs[1 << 16];
	const uint32_t nr_addrs = sizeof addrs / sizeof *addrs;
	struct ondol_mm_struct *mm = make_regions(nr);
	struct ondol_vma_info vma;
	double start;

	for (uint32_t i = 0; i < nr_addrs; i++)
		addrs[i] = REGIONS_AT + rnd() % nr * REGION_GAP + rnd() % (8 * PAGE);
	start = now();
	for (uint32_t i = 0; i < nr_addrs; i++)
		if (ondol_find_vma(mm, addrs[i], &vma) || vma.start > addrs[i])
			must(-ONDOL_ENOENT, "find_vma");
	ns[0] = (now() - start) / nr_addrs;
	ns[1] = find_in_libc(nr, addrs, nr_addrs);
	ondol_mmput(mm);
}

static void find_1000(double *ns)
{
	find_regions(ns, 1000);
}

static void find_many(double *ns)
{
	find_regions(ns, MANY_REGIONS);
}

static void map_unmap(double *ns)
{
	const uint32_t nr = 50000;
	struct ondol_mm_struct *mm = make_regions(1000);
	struct ondol_fault_args args = { .size = sizeof args, .access = ONDOL_FAULT_WRITE,
					 .nr_around = 1 };
	struct ondol_fault_result result;
	double start = now();

	for (uint32_t i = 0; i < nr; i++)
		must(ondol_munmap(mm, map(mm, 0, 4, NULL, READ_WRITE), 4 * PAGE), "munmap");
	ns[0] = (now() - start) / nr;
	start = now();
	for (uint32_t i = 0; i < nr; i++) {
		args.addr = map(mm, 0, 4, NULL, READ_WRITE);
		must(ondol_handle_mm_fault(mm, &args, &result), "fault");
		must(ondol_munmap(mm, args.addr, 4 * PAGE), "munmap");
	}
	ns[1] = (now() - start) / nr;
	ondol_mmput(mm);
}

static void fork_exit(double *ns)
{
	struct ondol_mm_struct *mm, *child;
	uint64_t addr;
	double start;

	must(ondol_mm_create(m, &mm), "mm");
	addr = map(mm, PAGES_AT, FORK_PAGES, NULL, READ_WRITE);
	(void)fault_all(mm, addr, FORK_PAGES, 16, ONDOL_FAULT_WRITE, ONDOL_FAULT_ZERO_FILL);
	start = now();
	must(ondol_dup_mm(mm, true, &child), "fork");
	ns[0] = (now() - start) / FORK_PAGES;
	start = now();
	ondol_mmput(child);
	ns[1] = (now() - start) / FORK_PAGES;
	start = now();
	ondol_mmput(mm);
	ns[2] = (now() - start) / FORK_PAGES;
}

static void walk(double *ns)
{
	static unsigned char vec[ANON_PAGES];
	const uint32_t nr = 1000000;
	struct ondol_mm_struct *mm;
	struct ondol_tlb_run run;
	uint64_t addr;
	double start;

	must(ondol_mm_create(m, &mm), "mm");
	addr = map(mm, PAGES_AT, ANON_PAGES, NULL, READ_WRITE);
	(void)fault_all(mm, addr, ANON_PAGES, 16, ONDOL_FAULT_WRITE, ONDOL_FAULT_ZERO_FILL);
	start = now();
	for (uint32_t i = 0; i < nr; i++)
		must(ondol_tlb_fill(mm, addr + i * 7 % 512 * PAGE, ONDOL_FAULT_READ, 1, &run),
		     "tlb_fill");
	ns[0] = (now() - start) / nr;
	start = now();
	must(ondol_mincore(mm, addr, ANON_PAGES * PAGE, vec), "mincore");
	ns[1] = (now() - start) / ANON_PAGES;
	ns[2] = fault_all(mm, addr, 512, 1, ONDOL_FAULT_READ, ONDOL_FAULT_SPURIOUS);
	ondol_mmput(mm);
}

/* ------------------------------------------------------------------ frames */

static void shuffle(struct ondol_page **pages, uint32_t nr)
{
	for (uint32_t i = nr; i > 1; i--) {
		struct ondol_page *page = pages[i - 1], **other = &pages[rnd() % i];

		pages[i - 1] = *other;
		*other = page;
	}
}

static double frame_pair(unsigned order, uint32_t nr)
{
	double start = now();

	for (uint32_t i = 0; i < nr; i++) {
		struct ondol_page *page = ondol_alloc_pages(m, KERNEL, order);

		need(page, "frames");
		ondol_free_pages(m, page, order);
	}
	return (now() - start) / nr;
}

static void frame_pairs(double *ns)
{
	ns[0] = frame_pair(0, 1000000);
	ns[1] = frame_pair(4, 300000);
	ns[2] = frame_pair(9, 300000);
}

static void frame_bulk(double *ns)
{
	const uint32_t nr = 200000;
	static struct ondol_page *pages[200000];
	double start;

	for (int random = 0; random < 2; random++) {
		start = now();
		for (uint32_t i = 0; i < nr; i++)
			pages[i] = ondol_alloc_pages(m, KERNEL, 0);
		ns[0] = (now() - start) / nr;
		need(pages[nr - 1], "frames");
		if (random)
			shuffle(pages, nr);
		start = now();
		for (uint32_t i = 0; i < nr; i++)
			ondol_free_pages(m, pages[i], 0);
		ondol_drain_all_pages(m); /* merging included */
		ns[1 + random] = (now() - start) / nr;
	}
}

/* ------------------------------------------------------------------ objects */

static struct ondol_kmem_cache *new_cache(size_t size)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = size };
	struct ondol_kmem_cache *cache;

	must(ondol_kmem_cache_create(m, "bench", &args, &cache), "cache");
	return cache;
}

#define LIVE 100000u
enum { PAIR, BATCH_ALLOC, BATCH_FREE, RANDOM, NR_OBJECT_ROWS };

static void *volatile objects[LIVE];

/* The same loops over whatever TAKE and GIVE say; every object is written to. */
#define OBJECT_ROUNDS(size, ns, TAKE, GIVE)                                                   \
	do {                                                                                  \
		const uint32_t pairs = 1000000, batches = (size) >= 4096 ? 50 : 500,          \
			       live = (size) >= 4096 ? LIVE / 10 : LIVE, swaps = 4 * LIVE;    \
		double start_ = now(), taking_ = 0;                                           \
		for (uint32_t i_ = 0; i_ < pairs; i_++) {                                     \
			uint64_t *volatile p_ = TAKE;                                         \
			*p_ = 1;                                                              \
			GIVE(p_);                                                             \
		}                                                                             \
		(ns)[PAIR] = (now() - start_) / pairs;                                        \
		(ns)[BATCH_ALLOC] = (ns)[BATCH_FREE] = 0;                                     \
		for (uint32_t b_ = 0; b_ < batches; b_++) {                                   \
			start_ = now();                                                       \
			for (uint32_t i_ = 0; i_ < BATCH; i_++) {                             \
				uint64_t *p_ = TAKE;                                          \
				*p_ = 1;                                                      \
				objects[i_] = p_;                                             \
			}                                                                     \
			taking_ = now() - start_;                                             \
			(ns)[BATCH_ALLOC] += taking_ / batches / BATCH;                       \
			for (uint32_t i_ = 0; i_ < BATCH; i_++)                               \
				GIVE(objects[i_]);                                            \
			(ns)[BATCH_FREE] += (now() - start_ - taking_) / batches / BATCH;     \
		}                                                                             \
		for (uint32_t i_ = 0; i_ < live; i_++) {                                      \
			objects[i_] = TAKE;                                                   \
			*(uint64_t *)objects[i_] = 1;                                         \
		}                                                                             \
		for (int timed_ = 0; timed_ < 2; timed_++) {                                  \
			start_ = now();                                                       \
			for (uint32_t i_ = 0; i_ < swaps; i_++) {                             \
				uint32_t k_ = (uint32_t)((uint64_t)rnd() * live >> 32);       \
				GIVE(objects[k_]);                                            \
				objects[k_] = TAKE;                                           \
				*(uint64_t *)objects[k_] = 1;                                 \
			}                                                                     \
		}                                                                             \
		(ns)[RANDOM] = (now() - start_) / swaps;                                      \
		for (uint32_t i_ = 0; i_ < live; i_++)                                        \
			GIVE(objects[i_]);                                                    \
	} while (0)

static void with_locks(double *ns)
{
	struct ondol_machine *one = m;
	struct ondol_kmem_cache *cache;
	const uint32_t nr = 1000000;
	double start;

	m = smp;
	cache = new_cache(64);
	ns[0] = frame_pair(0, nr);
	start = now();
	for (uint32_t i = 0; i < nr; i++)
		ondol_kmem_cache_free(cache, ondol_kmem_cache_alloc(cache, KERNEL));
	ns[1] = (now() - start) / nr;
	must(ondol_kmem_cache_destroy(cache), "objects left");
	m = one;
}

static size_t object_size;

static void cache_rounds(double *ns)
{
	struct ondol_kmem_cache *cache = new_cache(object_size);
#define GIVE_OBJECT(p) ondol_kmem_cache_free(cache, (void *)(p))
	OBJECT_ROUNDS(object_size, ns, ondol_kmem_cache_alloc(cache, KERNEL), GIVE_OBJECT);
	must(ondol_kmem_cache_destroy(cache), "objects left");
}

static void kmalloc_rounds(double *ns)
{
#define GIVE_KMALLOC(p) ondol_kfree(m, (void *)(p))
	OBJECT_ROUNDS(object_size, ns, ondol_kmalloc(m, object_size, KERNEL), GIVE_KMALLOC);
}

static void *(*peer_malloc)(size_t);
static void (*peer_free)(void *);

static void peer_rounds(double *ns)
{
#define GIVE_PEER(p) peer_free((void *)(p))
	OBJECT_ROUNDS(object_size, ns, peer_malloc(object_size), GIVE_PEER);
}

/* What is not there is left out of the table. */
static const struct peer { const char *name, *library; } peers[] = {
	{ "glibc", NULL },
	{ "mimalloc", "libmimalloc.so.2" },
	{ "jemalloc", "libjemalloc.so.2" },
};
#define NR_PEERS (sizeof peers / sizeof *peers)

static bool load_peer(const struct peer *peer)
{
	void *library = peer->library ? dlopen(peer->library, RTLD_NOW | RTLD_LOCAL) : NULL;

	peer_malloc = malloc;
	peer_free = free;
	if (!peer->library)
		return true;
	if (!library)
		return false;
	*(void **)&peer_malloc = dlsym(library, "malloc");
	*(void **)&peer_free = dlsym(library, "free");
	return peer_malloc && peer_free;
}

static void object_table(void)
{
	static const struct { size_t size; double target[NR_OBJECT_ROWS]; } kinds[] = {
		{ 64, { 2.5, 2.5, 2.5, 10 } },
		{ 256, { 2.8, 2.5, 2.5, 12.5 } },
		{ 4096, { 3.5, 7, 7, 23 } },
	};
	static const char *const rows[] = { "pair", "batch of 1000, alloc", "batch of 1000, free",
					    "random lifetimes" };
	double ns[2 + NR_PEERS][NR_OBJECT_ROWS];
	bool there[NR_PEERS];

	printf("\n%-32s %10s %9s %9s", "objects, bytes", "kmem_cache", "target", "kmalloc");
	for (unsigned p = 0; p < NR_PEERS; p++) {
		there[p] = load_peer(&peers[p]);
		if (there[p])
			printf(" %9s", peers[p].name);
	}
	printf("\n");
	for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		object_size = kinds[k].size;
		measure(cache_rounds, ns[0]);
		measure(kmalloc_rounds, ns[1]);
		for (unsigned p = 0; p < NR_PEERS; p++)
			if (there[p] && load_peer(&peers[p]))
				measure(peer_rounds, ns[2 + p]);
		for (unsigned row = 0; row < NR_OBJECT_ROWS; row++) {
			printf("%5zu  %-25s %10.1f %9g %9.1f", object_size, rows[row], ns[0][row],
			       kinds[k].target[row], ns[1][row]);
			for (unsigned p = 0; p < NR_PEERS; p++)
				if (there[p])
					printf(" %9.1f", ns[2 + p][row]);
			printf("\n");
		}
		fflush(stdout);
	}
	for (unsigned p = 0; p < NR_PEERS; p++)
		if (!there[p] && peers[p].library)
			printf("(%s is not installed: no %s)\n", peers[p].name, peers[p].library);
}

/* ------------------------------------------------------------------ memory */

static int print_cache_size(void *ctx, const struct ondol_slab_info *info)
{
	static const char *const shown[] = { "mm_struct", "vm_area_struct", "radix_tree_node" };

	(void)ctx;
	for (unsigned i = 0; i < sizeof shown / sizeof *shown; i++)
		if (!strcmp(info->name, shown[i]))
			printf("%-46s %9zu\n", info->name, info->buffer_size);
	return 0;
}

static void memory_table(void)
{
	struct ondol_machine_stats stats;
	struct ondol_mm_stats mm_stats;
	struct ondol_mm_struct *mm;
	uint64_t addr;

	ondol_machine_stats(m, &stats);
	printf("\n%-46s %9s %9s\n", "memory", "bytes", "target");
	printf("%-46s %9u %9u\n", "page record", stats.page_record_size, 32u);
	printf("%-46s %9.2f\n", "all that Ondol reserves of 1 GiB, a frame",
	       (double)stats.pages[ONDOL_PAGE_RESERVED] * PAGE / stats.pages_total);
	printf("%-46s %9zu\n", "machine storage, 1 node, 1 CPU", storage_size);
	(void)ondol_for_each_cache(m, print_cache_size, NULL);
	must(ondol_mm_create(m, &mm), "mm");
	addr = map(mm, PAGES_AT, FORK_PAGES, NULL, READ_WRITE);
	(void)fault_all(mm, addr, FORK_PAGES, 16, ONDOL_FAULT_WRITE, ONDOL_FAULT_ZERO_FILL);
	ondol_mm_stats(mm, &mm_stats);
	printf("%-46s %9.2f\n", "page tables, a present page of 100,000",
	       (double)mm_stats.pgtables_bytes / FORK_PAGES);
	ondol_mmput(mm);
}

static const struct group groups[] = {
	{ "fault", anonymous_1,
	  { { "anonymous fault, 1 page", 0 },
	    { "  the same, not cleared", 300 },
	    { "  clearing a page, nothing else", 0 },
	    { "  giving it back (MADV_DONTNEED)", 0 } } },
	{ "fault", anonymous_16,
	  { { "anonymous fault, 16 pages, a page", 0 },
	    { "  the same, not cleared", 300 },
	    { "  clearing a page, nothing else", 0 },
	    { "  giving it back (MADV_DONTNEED)", 0 } } },
	{ "fault", file_minor,
	  { { "file fault, in the page cache, 1 page", 0 },
	    { "file fault, in the page cache, 16 pages, a page", 0 } } },
	{ "fault", copy_on_write,
	  { { "copy-on-write fault that copies", 0 },
	    { "  copying a page, nothing else", 0 },
	    { "copy-on-write fault that reuses", 0 } } },
	{ "find", find_1000, { { "find_vma, hit, 1,000 regions", 30 },
			       { "  tfind(3), the same regions", 0 } } },
	{ "find", find_many, { { "find_vma, hit, 65,000 regions", 150 },
			       { "  tfind(3), the same regions", 0 } } },
	{ "map", map_unmap, { { "mmap + munmap, 1,000 regions", 250 },
			      { "mmap + fault + munmap, 1,000 regions", 0 } } },
	{ "fork", fork_exit, { { "fork, a present page of 100,000", 15 },
			       { "exit of the child, a page", 0 },
			       { "exit of the last, a page", 0 } } },
	{ "walk", walk, { { "walk and region check (tlb_fill), warm", 5 },
			  { "mincore, a page", 0 },
			  { "fault on a page that is there", 0 } } },
	{ "frames", frame_pairs, { { "alloc_pages + free_pages, order 0", 4 },
				   { "alloc_pages + free_pages, order 4", 6 },
				   { "alloc_pages + free_pages, order 9", 15 } } },
	{ "frames", frame_bulk, { { "200,000 frames, alloc", 8 },
				  { "200,000 frames, free in order and merge", 8 },
				  { "200,000 frames, free at random and merge", 10 } } },
	{ "locks", with_locks, { { "order 0 pair, a machine of 2 CPUs", 4 },
				 { "kmem_cache pair, 64 bytes, 2 CPUs", 2.5 } } },
};

int main(int argc, char **argv)
{
	const char *only = argc > 2 ? argv[2] : "";

	static struct ondol_port smp_port;

	if (argc > 1 && atoi(argv[1]) > 0 && atoi(argv[1]) <= ROUNDS_MAX)
		rounds = (unsigned)atoi(argv[1]);
	start_machine(&smp_port, 2, &smp);
	start_machine(&port, 1, &m); /* the last: its storage is what the table tells */
	printf("%-46s %9s %9s\n", "operation", "ns", "target");
	for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++)
		if (strstr(groups[i].name, only))
			run_group(&groups[i]);
	if (strstr("objects", only))
		object_table();
	if (strstr("memory", only))
		memory_table();
	return 0;
}

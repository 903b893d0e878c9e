/* SPDX-License-Identifier: MIT */
/*
 * make bench-vma: the region tree from 1,000 to 1,000,000 regions of one address space, beside
 *
 *	the host's kernel	the same calls natively, what entering the kernel and leaving it
 *				costs subtracted; as far as its vm.max_map_count goes
 *	std::map		start -> end, with nothing else to do (needs a C++ compiler)
 *
 * Regions of 8 pages, 16 apart, so that none merge:
 *
 *	find	the region of an address at random
 *	pair	mmap of 4 pages that the kernel places, and munmap
 *	middle	the same at a fixed place between two of the regions, at random
 *	fit	the same, of 9 pages, when only the gap below everything is wide enough: the
 *		search for a free range has to see that none of the others is
 *
 * Nanoseconds, medians of ROUNDS rounds; nothing is touched.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common.h"

#define PAGE 4096ull
#define GAP (16 * PAGE)
#define LENGTH (8 * PAGE)
#define ROUNDS 5
#define NR_OPS 20000u
#define RAM_SIZE (512ull << 20)
#define MAP_PLACED (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

#ifdef HAVE_STD_MAP
void *std_map_new(void);
void std_map_delete(void *map);
void std_map_insert(void *map, uint64_t start, uint64_t end);
void std_map_erase(void *map, uint64_t start);
uint64_t std_map_find(void *map, uint64_t addr);
#endif

enum { FIND, PAIR, MIDDLE, FIT, NR_ROWS };
static const char *const row_name[NR_ROWS] = { "find", "pair", "middle", "fit" };

static double median(double *v)
{
	for (int i = 1; i < ROUNDS; i++)
		for (int k = i; k > 0 && v[k] < v[k - 1]; k--) {
			double t = v[k];

			v[k] = v[k - 1];
			v[k - 1] = t;
		}
	return v[ROUNDS / 2];
}

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

/* ------------------------------------------------------------------ Ondol */

static struct ondol_machine *machine;
static struct ondol_port port;

static void machine_start(void)
{
	static const struct ondol_mmu_ops mmu = { .version = ONDOL_MMU_VERSION,
						  .size = sizeof mmu,
						  .flags = ONDOL_MMU_SOFTWARE_FILL,
						  .invalidate = on_invalidate };
	struct ondol_mem_region region = { .end = { RAM_SIZE }, .type = ONDOL_MEM_USABLE };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &region,
					   .nr_regions = 1, .nr_nodes = 1, .nr_cpus = 1,
					   .mmu = &mmu };
	size_t size, align;
	void *storage, *ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PLACED, -1, 0);

	need(ram != MAP_FAILED, "memory");
	port = (struct ondol_port){ .version = ONDOL_PORT_VERSION, .size = sizeof port,
				    .direct_map = ram, .panic = on_panic };
	must(ondol_machine_storage(&desc, &size, &align), "storage");
	need(!posix_memalign(&storage, align, size), "storage");
	must(ondol_machine_init(storage, size, &desc, &port, &machine), "machine");
}

static uint64_t ondol_map(struct ondol_mm_struct *mm, uint64_t addr, uint64_t length)
{
	struct ondol_mmap_args args = { .size = sizeof args, .addr = addr, .length = length,
					.vm_flags = ONDOL_VM_READ | ONDOL_VM_WRITE,
					.map_flags = addr ? ONDOL_MAP_FIXED_NOREPLACE : 0 };
	ondol_virt_addr_t at;

	must(ondol_mmap(mm, &args, &at), "mmap");
	return at;
}

static double ondol_pairs(struct ondol_mm_struct *mm, uint64_t base, uint32_t nr, uint64_t length)
{
	double start = now();

	for (uint32_t i = 0; i < NR_OPS; i++) {
		uint64_t at = base ? base + rnd() % (nr - 1) * GAP + LENGTH + 2 * PAGE : 0;

		must(ondol_munmap(mm, ondol_map(mm, at, length), length), "munmap");
	}
	return (now() - start) / NR_OPS;
}

static void ondol_round(uint32_t nr, double ns[NR_ROWS])
{
	struct ondol_mm_limits limits;
	struct ondol_mm_struct *mm;
	struct ondol_mm_layout layout;
	struct ondol_vma_info info;
	uint64_t base;
	double start;

	must(ondol_mm_create(machine, &mm), "mm");
	ondol_mm_limits(mm, &limits);
	limits.map_count = nr + 9;
	ondol_mm_set_limits(mm, &limits);
	/* Up to where mmap places, as the host's own regions are. */
	ondol_mm_layout(mm, &layout);
	base = (layout.mmap_base & ~(GAP - 1)) - nr * GAP;
	for (uint32_t i = 0; i < nr; i++)
		(void)ondol_map(mm, base + i * GAP, LENGTH);
	start = now();
	for (uint32_t i = 0; i < NR_OPS; i++)
		must(ondol_find_vma(mm, base + rnd() % nr * GAP + rnd() % LENGTH, &info), "find");
	ns[FIND] = (now() - start) / NR_OPS;
	ns[PAIR] = ondol_pairs(mm, 0, nr, 4 * PAGE);
	ns[MIDDLE] = ondol_pairs(mm, base, nr, 4 * PAGE);
	ns[FIT] = ondol_pairs(mm, 0, nr, 9 * PAGE);
	must(ondol_mm_validate(mm, NULL), "validate");
	ondol_mmput(mm);
}

/* ------------------------------------------------------------------ the host */

/* What two calls cost that do nothing: munmap refuses an odd address at once. */
static double host_trap(void)
{
	double start = now();

	for (uint32_t i = 0; i < 2 * NR_OPS; i++)
		(void)syscall(SYS_munmap, 1, PAGE);
	return (now() - start) / NR_OPS;
}

static double host_pairs(char *base, uint32_t nr, uint64_t length)
{
	double start = now();

	for (uint32_t i = 0; i < NR_OPS; i++) {
		char *at = base ? base + rnd() % (nr - 1) * GAP + LENGTH + 2 * PAGE : NULL;
		void *p = mmap(at, length, PROT_READ | PROT_WRITE,
			       MAP_PLACED | (at ? MAP_FIXED_NOREPLACE : 0), -1, 0);

		need(p != MAP_FAILED && !munmap(p, length), "mmap, munmap");
	}
	return (now() - start) / NR_OPS;
}

static void host_round(uint32_t nr, double ns[NR_ROWS])
{
	double trap = host_trap();
	char *base = mmap(NULL, nr * GAP, PROT_NONE, MAP_PLACED, -1, 0);

	need(base != MAP_FAILED && !munmap(base, nr * GAP), "mmap");
	for (uint32_t i = 0; i < nr; i++)
		need(mmap(base + i * GAP, LENGTH, PROT_READ | PROT_WRITE,
			  MAP_PLACED | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED, "mmap");
	ns[FIND] = 0;
	ns[PAIR] = host_pairs(NULL, nr, 4 * PAGE) - trap;
	ns[MIDDLE] = host_pairs(base, nr, 4 * PAGE) - trap;
	ns[FIT] = host_pairs(NULL, nr, 9 * PAGE) - trap;
	need(!munmap(base, nr * GAP), "munmap");
}

/* ------------------------------------------------------------------ std::map */

static void map_round(uint32_t nr, double ns[NR_ROWS])
{
	memset(ns, 0, NR_ROWS * sizeof *ns);
#ifdef HAVE_STD_MAP
	void *map = std_map_new();
	uint64_t base = 1ull << 32, found = 0;
	double start;

	for (uint32_t i = 0; i < nr; i++)
		std_map_insert(map, base + i * GAP, base + i * GAP + LENGTH);
	start = now();
	for (uint32_t i = 0; i < NR_OPS; i++)
		found += std_map_find(map, base + rnd() % nr * GAP + rnd() % LENGTH) != 0;
	ns[FIND] = (now() - start) / NR_OPS;
	need(found == NR_OPS, "std::map");
	start = now();
	for (uint32_t i = 0; i < NR_OPS; i++) {
		uint64_t at = base + nr * GAP;

		std_map_insert(map, at, at + 4 * PAGE);
		std_map_erase(map, at);
	}
	ns[PAIR] = (now() - start) / NR_OPS;
	start = now();
	for (uint32_t i = 0; i < NR_OPS; i++) {
		uint64_t at = base + rnd() % (nr - 1) * GAP + LENGTH + 2 * PAGE;

		std_map_insert(map, at, at + 4 * PAGE);
		std_map_erase(map, at);
	}
	ns[MIDDLE] = (now() - start) / NR_OPS;
	std_map_delete(map);
#endif
}

/* ------------------------------------------------------------------ the table */

static void measure(void (*round)(uint32_t, double *), uint32_t nr, double out[NR_ROWS])
{
	double v[NR_ROWS][ROUNDS], ns[NR_ROWS];

	for (int r = -1; r < ROUNDS; r++) { /* the first warms up */
		round(nr, ns);
		for (int row = 0; r >= 0 && row < NR_ROWS; row++)
			v[row][r] = ns[row];
	}
	for (int row = 0; row < NR_ROWS; row++)
		out[row] = median(v[row]);
}

/* A ratio of ours to theirs, or nothing where they have no such row. */
static void column(double ours, double theirs, bool there)
{
	if (there && theirs > 0)
		printf(" %9.0f (%4.2fx)", theirs, ours / theirs);
	else
		printf(" %9s %7s", "-", "");
}

int main(void)
{
	static const uint32_t sizes[] = { 1000, 10000, 60000, 1000000 };
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned long host_most = 0;

	if (f) {
		if (fscanf(f, "%lu", &host_most) != 1)
			host_most = 0;
		fclose(f);
	}
	machine_start();
	printf("%9s %-7s %9s %17s %17s\n", "regions", "ns", "ondol", "kernel - trap", "std::map");
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		double ours[NR_ROWS], host[NR_ROWS], map[NR_ROWS];
		bool on_host = host_most > sizes[i] + 1000;

		measure(ondol_round, sizes[i], ours);
		if (on_host)
			measure(host_round, sizes[i], host);
		measure(map_round, sizes[i], map);
		for (int row = 0; row < NR_ROWS; row++) {
			printf("%9u %-7s %9.0f", sizes[i], row_name[row], ours[row]);
			column(ours[row], on_host ? host[row] : 0, on_host);
			column(ours[row], map[row], true);
			printf("\n");
		}
	}
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A machine in ordinary memory for tests: `toy_new` gives one with the memory map asked
 * for, `toy_free` takes it down.  A panic of the core longjmps to the test if it expects one.
 */
#ifndef TESTS_SUPPORT_TOY_H
#define TESTS_SUPPORT_TOY_H

#include <ondol/ondol.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct toy {
	struct ondol_port port;
	struct ondol_machine *m;
	void *storage, *ram; /* ram: all of it, as hardware sees it */
	size_t ram_size;
	int ram_fd;          /* with HIGHMEM */
	jmp_buf on_panic;
	bool expects_panic;
	struct ondol_panic_report panic;
};

static inline void toy_panic(void *ctx, const struct ondol_panic_report *report)
{
	struct toy *t = ctx;

	t->panic = *report;
	if (t->expects_panic)
		longjmp(t->on_panic, 1);
	fprintf(stderr, "panic: %s:%u: %s: %s [%s] %#llx %#llx\n", report->file, report->line,
		report->function, report->expression, report->invariant ? report->invariant : "-",
		(unsigned long long)report->detail[0], (unsigned long long)report->detail[1]);
	abort();
}

/* `if (TOY_PANICS(t)) { saw it } else { do the deed; fail }` */
#define TOY_PANICS(t) ((t)->expects_panic = true, setjmp((t)->on_panic) != 0)

/* RAM up to the highest region, in a file if it is to be mapped more than once. */
static inline void toy_ram(struct toy *t, const struct ondol_machine_desc *desc, bool in_file)
{
	uint64_t top = 0;

	memset(t, 0, sizeof *t);
	for (uint32_t i = 0; i < desc->nr_regions; i++)
		if (desc->regions[i].end.value > top)
			top = desc->regions[i].end.value;
	t->ram_size = (top + 0xfff) & ~0xfffull;
	t->ram_fd = in_file ? memfd_create("toy", MFD_CLOEXEC) : -1;
	if (in_file && ftruncate(t->ram_fd, (off_t)t->ram_size))
		abort();
	t->ram = mmap(NULL, t->ram_size ? t->ram_size : 4096, PROT_READ | PROT_WRITE,
		      in_file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		      t->ram_fd, 0);
	t->port.version = ONDOL_PORT_VERSION;
	t->port.size = sizeof t->port;
	t->port.ctx = t;
	t->port.direct_map = t->ram;
	t->port.panic = toy_panic;
}

static inline int toy_start(struct toy *t, const struct ondol_machine_desc *desc)
{
	size_t size, align;
	int r = ondol_machine_storage(desc, &size, &align);

	if (r)
		return r;
	if (posix_memalign(&t->storage, align < sizeof(void *) ? sizeof(void *) : align, size))
		return -ONDOL_ENOMEM;
	return ondol_machine_init(t->storage, size, desc, &t->port, &t->m);
}

/* 0, or what ondol_machine_init said. */
static inline int toy_init_cpus(struct toy *t, const struct ondol_machine_desc *desc,
				uint32_t (*this_cpu)(void *ctx))
{
	toy_ram(t, desc, false);
	t->port.this_cpu = this_cpu;
	return toy_start(t, desc);
}

/* ------------------------------------------------------------------ HIGHMEM */

#define TOY_KMAP_SLOTS 12u

/* i386's 3G/1G in small (C8). */
static inline struct ondol_profile toy_highmem_profile(uint64_t low)
{
	struct ondol_profile profile = ondol_profile_i386_2_6;

	profile.zone_end[ONDOL_ZONE_DMA] = UINT64_C(1) << 20;
	profile.zone_end[ONDOL_ZONE_NORMAL] = low;
	return profile;
}

/* A page of the window is a page of the file, or nothing: touching that is the end. */
static inline void toy_kmap_set(void *ctx, uint32_t slot, ondol_pfn_t pfn)
{
	struct toy *t = ctx;
	void *at = t->port.kmap_window + (size_t)slot * 4096;
	bool none = pfn.value == UINT64_MAX;

	if (slot >= TOY_KMAP_SLOTS ||
	    mmap(at, 4096, none ? PROT_NONE : PROT_READ | PROT_WRITE,
		 MAP_FIXED | (none ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED),
		 none ? -1 : t->ram_fd, none ? 0 : (off_t)(pfn.value * 4096)) != at)
		abort();
}

/* As toy_init, but the direct map ends at `low` bytes: behind it is nothing at all. */
static inline int toy_init_high(struct toy *t, const struct ondol_machine_desc *desc, uint64_t low)
{
	unsigned char *room;

	toy_ram(t, desc, true);
	room = mmap(NULL, t->ram_size + TOY_KMAP_SLOTS * 4096, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED || mmap(room, low, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				       t->ram_fd, 0) != room)
		abort();
	t->port.direct_map = room;
	t->port.direct_map_bytes = low;
	t->port.kmap_window = room + t->ram_size;
	t->port.nr_kmap_slots = TOY_KMAP_SLOTS;
	t->port.kmap_set = toy_kmap_set;
	return toy_start(t, desc);
}

static inline int toy_init(struct toy *t, const struct ondol_machine_desc *desc)
{
	return toy_init_cpus(t, desc, NULL);
}

/* One node of `mib` MiB, `cpus` CPUs, profile NULL for x86_64. */
static inline int toy_new(struct toy *t, uint64_t mib, uint32_t cpus,
			  const struct ondol_profile *profile, const struct ondol_mmu_ops *mmu,
			  void *mmu_ctx)
{
	struct ondol_mem_region region = { .start = { 0 }, .end = { mib << 20 },
					   .type = ONDOL_MEM_USABLE, .node = 0 };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &region,
					   .nr_regions = 1, .nr_nodes = 1, .nr_cpus = cpus,
					   .profile = profile, .mmu = mmu, .mmu_ctx = mmu_ctx };
	return toy_init(t, &desc);
}

static inline void toy_ram_free(struct toy *t)
{
	munmap(t->ram, t->ram_size ? t->ram_size : 4096);
	if (!t->port.direct_map_bytes)
		return;
	munmap(t->port.direct_map, t->ram_size + TOY_KMAP_SLOTS * 4096);
	close(t->ram_fd);
}

static inline int toy_free(struct toy *t)
{
	int r = t->m ? ondol_machine_fini(t->m) : 0;

	toy_ram_free(t);
	free(t->storage);
	t->m = NULL;
	return r;
}

#endif /* TESTS_SUPPORT_TOY_H */

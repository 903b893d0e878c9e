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

struct toy {
	struct ondol_port port;
	struct ondol_machine *m;
	void *storage, *ram;
	size_t ram_size;
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

/* 0, or what ondol_machine_init said.  RAM is reserved up to the highest region. */
static inline int toy_init_cpus(struct toy *t, const struct ondol_machine_desc *desc,
				uint32_t (*this_cpu)(void *ctx))
{
	size_t size, align;
	uint64_t top = 0;

	memset(t, 0, sizeof *t);
	for (uint32_t i = 0; i < desc->nr_regions; i++)
		if (desc->regions[i].end.value > top)
			top = desc->regions[i].end.value;
	t->ram_size = (top + 0xfff) & ~0xfffull;
	t->ram = mmap(NULL, t->ram_size ? t->ram_size : 4096, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	t->port.version = ONDOL_PORT_VERSION;
	t->port.size = sizeof t->port;
	t->port.ctx = t;
	t->port.direct_map = t->ram;
	t->port.panic = toy_panic;
	t->port.this_cpu = this_cpu;
	int r = ondol_machine_storage(desc, &size, &align);
	if (r)
		return r;
	if (posix_memalign(&t->storage, align < sizeof(void *) ? sizeof(void *) : align, size))
		return -ONDOL_ENOMEM;
	return ondol_machine_init(t->storage, size, desc, &t->port, &t->m);
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

static inline int toy_free(struct toy *t)
{
	int r = t->m ? ondol_machine_fini(t->m) : 0;

	munmap(t->ram, t->ram_size ? t->ram_size : 4096);
	free(t->storage);
	t->m = NULL;
	return r;
}

#endif /* TESTS_SUPPORT_TOY_H */

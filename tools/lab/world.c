/* SPDX-License-Identifier: MIT */
#include "lab/world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Above this, page records are written as they are needed: a picture should not wait. */
#define DEFER_ABOVE (UINT64_C(64) << 20)

static uint32_t this_cpu(void *ctx)
{
	return ((struct lab_world *)ctx)->cpu;
}

static void on_panic(void *ctx, const struct ondol_panic_report *report)
{
	struct lab_world *world = ctx;

	world->panic = *report;
	if (world->catching)
		longjmp(world->on_panic, 1);
	fprintf(stderr, "ondol: %s:%u: %s [%s]\n", report->file, report->line,
		report->expression, report->invariant ? report->invariant : "-");
	abort();
}

int world_begin(struct lab_world *world, const struct lab_machine *machine)
{
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = machine->regions,
					   .nr_regions = machine->nr_regions,
					   .nr_nodes = machine->nr_nodes,
					   .nr_cpus = machine->nr_cpus,
					   .cpu_to_node = machine->cpu_to_node,
					   .node_movable = machine->movable,
					   .profile = &machine->profile,
					   .memory_is_zeroed = true };
	uint64_t bottom = UINT64_MAX, top = 0;
	size_t size, align;
	int r;

	*world = (struct lab_world){ .cpu = 0 };
	for (uint32_t i = 0; i < machine->nr_regions; i++) {
		const struct ondol_mem_region *region = &machine->regions[i];

		if (region->type == ONDOL_MEM_RESERVED)
			continue;
		bottom = region->start.value < bottom ? region->start.value : bottom;
		top = region->end.value > top ? region->end.value : top;
	}
	bottom &= ONDOL_PAGE_MASK;
	top = (top + ONDOL_PAGE_SIZE - 1) & ONDOL_PAGE_MASK;
	desc.deferred_init = top - bottom > DEFER_ABOVE;
	if (machine->distance_rows)
		desc.node_distance = machine->distance;
	r = ondol_machine_storage(&desc, &size, &align);
	if (r)
		return r;
	align = align < sizeof(void *) ? sizeof(void *) : align;
	world->ram_size = top - bottom;
	world->ram = mmap(NULL, world->ram_size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (world->ram == MAP_FAILED) {
		world->ram = NULL;
		return -ONDOL_ENOMEM;
	}
	if (posix_memalign(&world->storage, align, size)) {
		world->storage = NULL;
		world_end(world);
		return -ONDOL_ENOMEM;
	}
	world->start_pfn = bottom >> ONDOL_PAGE_SHIFT;
	world->end_pfn = top >> ONDOL_PAGE_SHIFT;
	/* The window begins at address 0, of which nothing below the memory is ever touched. */
	world->port = (struct ondol_port){ .version = ONDOL_PORT_VERSION,
		.size = sizeof world->port, .ctx = world, .panic = on_panic, .this_cpu = this_cpu,
		.direct_map = (unsigned char *)((uintptr_t)world->ram - bottom) };
	r = ondol_machine_init(world->storage, size, &desc, &world->port, &world->m);
	if (r)
		world_end(world);
	return r;
}

/* Whatever is still out of the machine goes with it. */
void world_end(struct lab_world *world)
{
	if (world->ram)
		munmap(world->ram, world->ram_size);
	free(world->storage);
	world->ram = world->storage = NULL;
	world->m = NULL;
}

const char *world_error(int error)
{
	if (error == -ONDOL_ENOMEM)
		return "it is too small, or too scattered, to hold its own records, of its frames, "
		       "nodes and CPUs";
	return ondol_strerror(error);
}

/* SPDX-License-Identifier: MIT */
/*
 * Bringing a machine up and down: physical memory, then the slab on it, then address spaces.
 *
 *	storage   | struct ondol_machine | phys: nodes, zones, CPUs | slab: cache_cache, lists |
 *	          (the caller's)
 *	memory    | ... free ... | page array, maps, per-CPU lists (reserved) |
 */
#include "base/format.h"
#include "phys/kmap.h"
#include "phys/zone.h"
#include "slab/slab.h"
#include "virt/ksm.h"
#include "virt/workingset.h"

static void forget_nothing(void *ctx, struct ondol_mm_struct *mm, ondol_virt_addr_t start,
			   ondol_virt_addr_t end)
{
	(void)ctx;
	(void)mm;
	(void)start;
	(void)end;
}

/* Hardware that never holds a translation. */
static const struct ondol_mmu_ops null_mmu = {
	.version = ONDOL_MMU_VERSION,
	.size = sizeof null_mmu,
	.invalidate = forget_nothing,
};

static int check_port(const struct ondol_port *port)
{
	if (!port || port->version != ONDOL_PORT_VERSION || port->size < sizeof *port ||
	    !port->direct_map || !port->panic || !port->irq_save != !port->irq_restore)
		return -ONDOL_EINVAL;
	return 0;
}

static int check_mmu(const struct ondol_mmu_ops *mmu)
{
	if (mmu && (mmu->version != ONDOL_MMU_VERSION || mmu->size < sizeof *mmu ||
		    !mmu->invalidate))
		return -ONDOL_EINVAL;
	return 0;
}

int ondol_machine_storage(const struct ondol_machine_desc *desc, size_t *out_size,
			  size_t *out_align)
{
	int r = desc ? phys_check_desc(desc) : -ONDOL_EINVAL;

	if (r)
		return r;
	*out_align = PHYS_CACHE_LINE;
	*out_size = sizeof(struct ondol_machine) + PHYS_CACHE_LINE + phys_storage(desc) +
		    slab_storage(desc);
	return 0;
}

static uint64_t frames_out(struct ondol_machine *m)
{
	return phys_pages_used(m) - (uint64_t)phys_use_count(m, ONDOL_PAGE_SLAB);
}

int ondol_machine_init(void *storage, size_t storage_size, const struct ondol_machine_desc *desc,
		       const struct ondol_port *port, struct ondol_machine **out_m)
{
	struct carve carve = { (uintptr_t)storage, 0 };
	struct ondol_machine *m;
	size_t size, align;
	int r = ondol_machine_storage(desc, &size, &align);

	if (!r)
		r = check_port(port);
	if (!r)
		r = check_mmu(desc->mmu);
	if (!r)
		r = kmap_check_port(port, desc->nr_cpus);
	if (r)
		return r;
	if (!storage || storage_size < size || (uintptr_t)storage & (align - 1))
		return -ONDOL_EINVAL;
	m = carve_take(&carve, sizeof *m, PHYS_CACHE_LINE);
	__builtin_memset(m, 0, sizeof *m);
	m->port = port;
	m->profile = desc->profile ? desc->profile : &ondol_profile_x86_64;
	m->mmu = desc->mmu ? desc->mmu : &null_mmu;
	m->mmu_ctx = desc->mmu_ctx;
	m->overcommit = DESC_VALUE(desc, overcommit);
	m->overcommit_ratio = DESC_VALUE(desc, overcommit_ratio);
	if (!m->overcommit_ratio)
		m->overcommit_ratio = 50;
	m->reclaim_mapped = DESC_FLAG(desc, reclaim_mapped);
	m->thp = DESC_VALUE(desc, thp);
	m->compact = m->reclaim_mapped && DESC_FLAG(desc, compact);
	m->kmap.low_end = port->direct_map_bytes ? port->direct_map_bytes >> ONDOL_PAGE_SHIFT :
						   UINT64_MAX;
	m->nr_cpus = desc->nr_cpus;
	m->nr_nodes = desc->nr_nodes;
	r = phys_init(m, desc, &carve);
	if (!r)
		r = slab_init(m, desc, &carve);
	if (!r)
		r = kmap_init(m);
	if (!r)
		r = ondol_virt_init(m);
	if (r)
		return r;
	m->own_frames = frames_out(m);
	m->own_objects = slab_active_total(m);
	*out_m = m;
	return 0;
}

static void report_leaks(struct ondol_machine *m)
{
	for (unsigned use = ONDOL_PAGE_KERNEL; use < ONDOL_NR_PAGE_USES; use++) {
		long count = phys_use_count(m, (enum ondol_page_use)use);

		if (count)
			log_printf(m->port, ONDOL_LOG_ERR, "leak: %ld frames of use %s", count,
				   ondol_page_use_name((enum ondol_page_use)use));
	}
	slab_report_leaks(m);
}

int ondol_machine_fini(struct ondol_machine *m)
{
	for (uint32_t node = 0; node < m->nr_nodes; node++)
		(void)ondol_balloon_set(m, node, 0);
	ksm_fini(m);
	swap_fini(m);
	workingset_fini(m);
	if (frames_out(m) != m->own_frames || slab_active_total(m) != m->own_objects) {
		report_leaks(m);
		return -ONDOL_EBUSY;
	}
	ondol_virt_fini(m);
	kmap_fini(m);
	slab_fini(m);
	ondol_drain_all_pages(m);
	/* Every layer gave back what it took, or the accounts are wrong. */
	ONDOL_VERIFY(m, !phys_pages_used(m), "ZONE-2", phys_pages_used(m), 0);
	return 0;
}

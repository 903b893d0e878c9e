/* SPDX-License-Identifier: MIT */
/*
 * Linux's texts about nodes and where memory lies: node*'s meminfo and numastat under
 * /sys/devices/system/node, pagetypeinfo and PID/numa_maps under /proc, in the columns of 6.1.
 *
 * Sources: proc(5); Documentation/ABI/stable/sysfs-devices-node; the output of Linux 6.1.
 */
#include "base/format.h"
#include "base/math.h"
#include "inspect/inspect.h"
#include "phys/section.h"
#include "phys/shelf.h"
#include "virt/virt.h"

/* ------------------------------------------------------------------ a node */

static const struct ondol_node *node_find(const struct ondol_machine *m, unsigned id)
{
	for (const struct ondol_node *node = m->phys->pgdat_list; node; node = node->next)
		if (node->id == id)
			return node;
	return NULL;
}

int ondol_proc_node_numastat(struct ondol_machine *m, unsigned id, ondol_write_t write, void *ctx)
{
	const struct ondol_node *node = node_find(m, id);
	struct ondol_node_stats s;
	struct out out;

	if (!node)
		return -ONDOL_ENOENT;
	inspect_node(m, node, &s);
	out_init(&out, write, ctx);
	out_printf(&out,
		   "numa_hit %llu\nnuma_miss %llu\nnuma_foreign %llu\ninterleave_hit %llu\n"
		   "local_node %llu\nother_node %llu\n",
		   (unsigned long long)s.numa_hit, (unsigned long long)s.numa_miss,
		   (unsigned long long)s.numa_foreign, (unsigned long long)s.numa_interleave,
		   (unsigned long long)s.numa_local, (unsigned long long)s.numa_other);
	return out_end(&out);
}

int ondol_proc_node_distance(struct ondol_machine *m, unsigned id, ondol_write_t write, void *ctx)
{
	const struct ondol_node *node = node_find(m, id);
	struct out out;

	if (!node)
		return -ONDOL_ENOENT;
	out_init(&out, write, ctx);
	for (const struct ondol_node *to = m->phys->pgdat_list; to; to = to->next)
		out_printf(&out, "%s%u", to == m->phys->pgdat_list ? "" : " ",
			   node->distance[to->id]);
	out_printf(&out, "\n");
	return out_end(&out);
}

/* ------------------------------------------------------------------ pagetypeinfo */

static const char *const type_names[NR_MIGRATE_TYPES] = { "Unmovable", "Movable", "Reclaimable" };

static uint32_t list_length(const struct ondol_zone *zone, uint32_t i)
{
	uint32_t n = 0;

	for (; i != ONDOL_PAGE_NIL; i = zone->m->pages[i].buddy.next)
		n++;
	return n;
}

/* On lists, merged or not, and on shelves. */
static void count_type(const struct ondol_zone *zone, unsigned type, uint64_t *blocks)
{
	for (unsigned order = 0; order <= zone->m->phys->max_order; order++)
		blocks[order] = list_length(zone, zone->free_area[order].head[type]) +
				list_length(zone, zone->free_area[order].local[type]);
	shelf_count_blocks(zone, type, blocks);
}

static void out_free_by_type(struct out *out, struct ondol_zone *zone)
{
	uint64_t late[ONDOL_MAX_ORDERS], blocks[NR_MIGRATE_TYPES][ONDOL_MAX_ORDERS];
	uintptr_t irq = zone_lock(zone);

	section_free_blocks(zone, late);
	for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++) {
		count_type(zone, type, blocks[type]);
		for (unsigned order = 0; order <= zone->m->phys->max_order; order++)
			late[order] -= blocks[type][order];
	}
	zone_unlock(zone, irq);
	for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++) {
		out_printf(out, "Node %4d, zone %8s, type %12s ", zone->node,
			   ondol_zone_name((enum ondol_zone_type)zone->type), type_names[type]);
		for (unsigned order = 0; order <= zone->m->phys->max_order; order++) {
			uint64_t n = blocks[type][order];

			/* Frames without records yet stand on no list; they will be movable. */
			if (type == MIGRATE_MOVABLE)
				n += late[order];
			out_printf(out, "%6llu ", (unsigned long long)n);
		}
		out_printf(out, "\n");
	}
}

static void out_blocks_by_type(struct out *out, const struct ondol_zone *zone)
{
	unsigned order = zone->m->phys->pageblock_order;
	uint32_t first = zone->start >> order, last = (zone->end - 1) >> order;
	uint32_t n[NR_MIGRATE_TYPES] = { 0 };

	for (uint32_t block = first; block <= last; block++)
		n[zone->pageblock_type ? zone->pageblock_type[block - first] : MIGRATE_UNMOVABLE]++;
	out_printf(out, "Node %d, zone %8s ", zone->node,
		   ondol_zone_name((enum ondol_zone_type)zone->type));
	for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++)
		out_printf(out, "%12u ", n[type]);
	out_printf(out, "\n");
}

int ondol_proc_pagetypeinfo(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	struct ondol_zone *zone;
	struct out out;

	out_init(&out, write, ctx);
	out_printf(&out, "Page block order: %u\nPages per block:  %u\n\n", m->phys->pageblock_order,
		   1u << m->phys->pageblock_order);
	out_printf(&out, "%-43s ", "Free pages count per migrate type at order");
	for (unsigned order = 0; order <= m->phys->max_order; order++)
		out_printf(&out, "%6u ", order);
	out_printf(&out, "\n");
	zone_for_each(m->phys, zone, i)
		if (zone->type != ONDOL_ZONE_DEVICE)
			out_free_by_type(&out, zone);
	out_printf(&out, "\n%-23s", "Number of blocks type ");
	for (unsigned type = 0; type < NR_MIGRATE_TYPES; type++)
		out_printf(&out, "%12s ", type_names[type]);
	out_printf(&out, "\n");
	zone_for_each(m->phys, zone, j)
		if (zone->type != ONDOL_ZONE_DEVICE)
			out_blocks_by_type(&out, zone);
	return out_end(&out);
}

/* ------------------------------------------------------------------ numa_maps */

/* "0-3,7": the bits that are set, as ranges. */
static void out_ranges(struct out *out, uint64_t bits)
{
	const char *before = "";

	for (unsigned i = 0; i < 64; i++) {
		unsigned first = i;

		if (!(bits >> i & 1))
			continue;
		while (i + 1 < 64 && bits >> (i + 1) & 1)
			i++;
		out_printf(out, i > first ? "%s%u-%u" : "%s%u", before, first, i);
		before = ",";
	}
}

static void out_policy(struct out *out, const struct ondol_mempolicy *policy)
{
	static const char *const names[ONDOL_MPOL_NR] = {
		"default", "prefer", "bind", "interleave", "local", "prefer (many)",
		"weighted interleave",
	};

	out_printf(out, "%s", names[policy->mode]);
	if (policy->flags & ONDOL_MPOL_F_STATIC_NODES)
		out_printf(out, "=static");
	else if (policy->flags & ONDOL_MPOL_F_RELATIVE_NODES)
		out_printf(out, "=relative");
	if (policy->nodes) {
		out_printf(out, ":");
		out_ranges(out, policy->nodes);
	}
}

struct numa_usage { /* pages */
	uint64_t anon, dirty, mapped, node[ONDOL_NODES_MAX];
	uint32_t mapmax;
};

static void numa_usage(const struct ondol_mm_struct *mm, const struct vma *vma,
		       struct numa_usage *u)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	struct pgtable_span span;

	pgtable_for_each_span(&mm->pgt, span, vma->start, vma->end) {
		void *slot = span.slot;

		for (uint64_t at = span.addr; at < span.end;
		     at += ONDOL_PAGE_SIZE, slot = pte_next(&mm->pgt, slot)) {
			uint64_t pte = pte_get(&mm->pgt, slot);
			const struct ondol_page *page;

			if (!pte_present(mm, pte))
				continue;
			page = pte_page(mm, pte);
			u->mapped++;
			u->anon += page_use(page) == ONDOL_PAGE_ANON;
			u->dirty += (pte & f->dirty_mask) || (page->flags & ONDOL_PG_DIRTY);
			u->node[ondol_page_node(page)]++;
			u->mapmax = page->data.mapcount > u->mapmax ? page->data.mapcount :
								      u->mapmax;
		}
	}
}

static void out_numa_line(struct out *out, const struct ondol_mm_struct *mm,
			  const struct vma *vma)
{
	struct ondol_mempolicy policy;
	struct numa_usage u;

	__builtin_memset(&u, 0, sizeof u);
	numa_usage(mm, vma, &u);
	policy = mm->task_policy;
	if (vma->policy)
		policy_read(mm->m, vma->policy, &policy);
	out_printf(out, "%08llx ", (unsigned long long)vma->start);
	out_policy(out, &policy);
	if (vma->file && vma->file->name[0])
		out_printf(out, " file=%s", vma->file->name);
	else if (vma->flags & ONDOL_VM_HEAP)
		out_printf(out, " heap");
	else if (vma->flags & ONDOL_VM_STACK)
		out_printf(out, " stack");
	if (u.mapped) {
		if (u.anon)
			out_printf(out, " anon=%llu", (unsigned long long)u.anon);
		if (u.dirty)
			out_printf(out, " dirty=%llu", (unsigned long long)u.dirty);
		if (u.mapped != u.anon && u.mapped != u.dirty)
			out_printf(out, " mapped=%llu", (unsigned long long)u.mapped);
		if (u.mapmax > 1)
			out_printf(out, " mapmax=%u", u.mapmax);
		for (unsigned node = 0; node < mm->m->nr_nodes; node++)
			if (u.node[node])
				out_printf(out, " N%u=%llu", node,
					   (unsigned long long)u.node[node]);
		out_printf(out, " kernelpagesize_kB=4");
	}
	out_printf(out, "\n");
}

int ondol_proc_numa_maps(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx)
{
	struct out out;

	out_init(&out, write, ctx);
	for (const struct vma *vma = vma_first(mm); vma && !out.error; vma = vma_next(vma))
		out_numa_line(&out, mm, vma);
	return out_end(&out);
}

/* SPDX-License-Identifier: MIT */
/*
 * From a memory map to zones: bring-up of nodes, zones, the page array and watermarks.
 *
 * 1 What problem.  Memory is not all alike: some of it is nearer to a CPU than the rest (a
 *   node), some of it can be reached by an old device or by the kernel and some cannot (a
 *   zone).  Each part is managed apart, so that one user cannot starve the others.
 *
 * 2 Terms.  spanned: frames between a zone's ends, holes included.  present: frames of
 *   memory.  managed: frames that are the buddy's.  reserved: present, not managed.
 *
 * 3 How it works.
 *
 *	memblock  |-node 0----------------------|  |-node 1--------|
 *	limits    DMA     |DMA32                   |NORMAL
 *	zones     |0 DMA -|0 DMA32 -------------|  |1 NORMAL-------|
 *	                                                    |#######| page array, maps, lists
 *
 *   The page array, the pair maps, the pageblock types and the per-CPU lists of all zones are
 *   one run of frames, reserved before the buddy is given the rest: high up, out of the
 *   scarce low zones, but not in HIGHMEM, which the kernel could not always see.
 *
 *   A bank that may come (ONDOL_MEM_OFFLINE) is present and reserved until ondol_online_pages;
 *   its zone stands in the zonelists from the start.  A device's memory is a zone apart, DEVICE,
 *   that is in none of them: its frames have records, for who maps them, and no more (C6).
 *
 *   The array's records are written section by section, and with `deferred_init` only as memory
 *   is used (section.c).  What has none yet is free memory like any other, to every reader of
 *   figures.
 *
 *   With `memory_is_zeroed` a bit per frame remembers whether it was ever taken off the lists
 *   (zone.taken, itself in memory that begins zeroed).  A block none of whose frames was leaves
 *   them marked ZEROED; a request for zeroes then has nothing to clear.  The mark is gone with
 *   the first free, and a block that returns from a CPU's list with it was nobody's: its bits
 *   are taken back.
 *
 *   Requests walk a zonelist: nodes by distance, in each node from the highest allowed zone
 *   down.  A zone says no when its free frames would fall to its watermark plus what it keeps
 *   from requests that could have used a higher zone (lowmem_reserve).
 *
 * 4 Invariants.
 *   [ZONE-1] present = managed + reserved frames, in each zone (C5).
 *   [ZONE-2] free (deferred included) + on per-CPU lists + allocated = managed.
 *   [ZONE-3] min <= low <= high watermark.
 *   [ZONE-4] A frame's record names the zone whose limits and node it has; zones of a node do
 *            not overlap (C1-C3).
 *   [ZONE-5] The zones' frames add up to the node's, the nodes' to the machine's (B5, C5).
 *   [USE-1]  The frames counted for a use are the frames so marked.
 *
 * 5 Concurrency.  Everything here is constant after init, except what zone.h marks.
 * 6 What can fail.  A bad description (-ONDOL_EINVAL); memory too small or too scattered for
 *   the page array (-ONDOL_ENOMEM).  Nothing then needs undoing.
 * 7 How to see it.  ondol_proc_zoneinfo, ondol_for_each_zone, ondol_for_each_node.
 * 8 Sources.  Linux mm/page_alloc.c (setup_per_zone_wmarks, setup_per_zone_lowmem_reserve,
 *   build_zonelists), Documentation/admin-guide/sysctl/vm.rst; Gorman, "Understanding the
 *   Linux Virtual Memory Manager", chapters 2, 3 and 6.  Unlike Linux, machines under 16 MiB
 *   keep a thirty-second part of themselves instead of at least 128 KiB.
 */
#include "phys/zone.h"

#include "base/bitmap.h"
#include "base/format.h"
#include "base/math.h"
#include "phys/buddy.h"
#include "phys/memblock.h"
#include "phys/pcp.h"
#include "phys/section.h"
#include "phys/shelf.h"

/* Fields that came later: false for who does not know of them. */
#define DESC_SIZE_MIN offsetof(struct ondol_machine_desc, deferred_init)

#define NR_BOOT_ALLOCS 1
#define REGIONS_MAX 65536
#define LOCAL_DISTANCE 10
#define REMOTE_DISTANCE 20

const char *ondol_zone_name(enum ondol_zone_type type)
{
	static const char *const names[] = { "DMA", "DMA32", "Normal", "HighMem", "Movable",
					     "Device" };

	return (unsigned)type < ONDOL_NR_ZONES ? names[type] : "?";
}

void *carve_take(struct carve *carve, size_t size, size_t align)
{
	carve->used = (carve->used + align - 1) & ~(align - 1);
	void *piece = (void *)(carve->base + carve->used);
	carve->used += size;
	return piece;
}

static int check_profile(const struct ondol_profile *profile)
{
	uint64_t below = 0;
	bool has_kernel_zone = false;

	if (!profile->nr_orders || profile->nr_orders > ONDOL_MAX_ORDERS)
		return -ONDOL_EINVAL;
	for (unsigned type = 0; type < ONDOL_NR_ZONES; type++) {
		uint64_t end = profile->zone_end[type];

		if (!end)
			continue;
		if (end <= below || end & ~ONDOL_PAGE_MASK)
			return -ONDOL_EINVAL;
		below = end;
		has_kernel_zone |= type <= ONDOL_ZONE_NORMAL;
	}
	if (!has_kernel_zone || profile->zone_end[ONDOL_ZONE_DEVICE])
		return -ONDOL_EINVAL;
	if (profile->lazy > ONDOL_LAZY_PCP)
		return -ONDOL_EINVAL;
	return profile->lazy == ONDOL_LAZY_PCP && !profile->pcp ? -ONDOL_EINVAL : 0;
}

int phys_check_desc(const struct ondol_machine_desc *desc)
{
	uint32_t nr = desc->nr_nodes;

	if (desc->size < DESC_SIZE_MIN || !desc->regions || !desc->nr_regions ||
	    desc->nr_regions > REGIONS_MAX || !nr || nr > ONDOL_NODES_MAX || !desc->nr_cpus ||
	    desc->nr_cpus > 256)
		return -ONDOL_EINVAL;
	for (uint32_t i = 0; desc->node_distance && i < nr * nr; i++) {
		uint8_t distance = desc->node_distance[i];

		if (i % (nr + 1) ? distance < LOCAL_DISTANCE : distance != LOCAL_DISTANCE)
			return -ONDOL_EINVAL;
	}
	for (uint32_t i = 0; desc->cpu_to_node && i < desc->nr_cpus; i++)
		if (desc->cpu_to_node[i] >= nr)
			return -ONDOL_EINVAL;
	return check_profile(desc->profile ? desc->profile : &ondol_profile_x86_64);
}

static struct ondol_phys_state *lay_out(struct carve *storage,
					const struct ondol_machine_desc *desc,
					struct memblock *mb)
{
	uint32_t nr = desc->nr_nodes;
	uint32_t capacity = (uint32_t)memblock_capacity(desc, NR_BOOT_ALLOCS);
	struct ondol_phys_state *phys = carve_take(storage, sizeof *phys, PHYS_CACHE_LINE);
	struct ondol_zone *zones = carve_take(storage, nr * sizeof *zones << 3, PHYS_CACHE_LINE);
	struct ondol_node *nodes = carve_take(storage, nr * sizeof *nodes, 8);
	struct phys_cpu *cpus = carve_take(storage, desc->nr_cpus * sizeof *cpus, PHYS_CACHE_LINE);
	uint16_t *lists = carve_take(storage, sizeof *lists * nr * nr * ONDOL_NR_ZONES, 8);
	uint16_t *ids = carve_take(storage, sizeof *ids * nr * ONDOL_NR_ZONES, 8);

	mb->memory = carve_take(storage, sizeof *mb->memory * capacity, 8);
	mb->reserved = carve_take(storage, sizeof *mb->reserved * capacity, 8);
	mb->capacity = capacity;
	if (!storage->base)
		return NULL;
	__builtin_memset(phys, 0, sizeof *phys);
	__builtin_memset(zones, 0, nr * sizeof *zones << 3);
	__builtin_memset(nodes, 0, nr * sizeof *nodes);
	__builtin_memset(cpus, 0, desc->nr_cpus * sizeof *cpus);
	phys->zones = zones;
	phys->nodes = nodes;
	phys->cpus = cpus;
	phys->zone_ids = ids;
	for (uint32_t i = 0; i < nr; i++) {
		nodes[i].zonelist = lists + (size_t)i * nr * ONDOL_NR_ZONES;
		nodes[i].weight = 1;
	}
	return phys;
}

size_t phys_storage(const struct ondol_machine_desc *desc)
{
	struct carve measure = { 0, 0 };
	struct memblock mb;

	(void)lay_out(&measure, desc, &mb);
	return measure.used;
}

unsigned phys_type_of_pfn(const struct ondol_machine *m, const struct memblock_range *memory,
			  uint64_t pfn, uint64_t *out_end)
{
	const uint64_t *zone_end = m->profile->zone_end;
	uint64_t movable = m->phys->nodes[memory->node].movable_pfn;
	unsigned type = 0;

	*out_end = UINT64_MAX;
	if (memory->type == ONDOL_MEM_DEVICE)
		return ONDOL_ZONE_DEVICE;
	if (pfn >= movable)
		return ONDOL_ZONE_MOVABLE;
	while (!zone_end[type] || pfn >= zone_end[type] >> ONDOL_PAGE_SHIFT)
		type++;
	*out_end = min_u64(zone_end[type] >> ONDOL_PAGE_SHIFT, movable);
	return type;
}

static uint64_t limit_of_pfns(const struct ondol_profile *profile, unsigned highest)
{
	uint64_t limit = 0;

	for (unsigned type = 0; type <= highest; type++)
		limit = max_u64(limit, profile->zone_end[type] >> ONDOL_PAGE_SHIFT);
	return limit;
}

static void add_to_zone(struct ondol_machine *m, unsigned node_id, unsigned type, uint64_t start,
			uint64_t end)
{
	struct ondol_zone *zone = &m->phys->zones[zone_id(node_id, type)];
	struct ondol_node *node = &m->phys->nodes[node_id];
	uint32_t first = (uint32_t)(start - m->first_pfn), last = (uint32_t)(end - m->first_pfn);

	if (!zone->present)
		zone->start = first;
	zone->end = last;
	zone->present += last - first;
	if (!node->present)
		node->start_pfn = start;
	node->spanned = (uint32_t)(end - node->start_pfn);
	node->present += last - first;
	m->phys->present += last - first;
}

/* Where the nodes' Movable zones begin that the profile does not know of. */
static int take_movable(struct ondol_machine *m, const struct ondol_machine_desc *desc)
{
	const uint64_t *start = DESC_VALUE(desc, node_movable);

	for (uint32_t i = 0; i < m->nr_nodes; i++) {
		bool told = start && start[i];

		if (told && start[i] & ~ONDOL_PAGE_MASK)
			return -ONDOL_EINVAL;
		m->phys->nodes[i].movable_pfn = told ? start[i] >> ONDOL_PAGE_SHIFT : UINT64_MAX;
	}
	return 0;
}

/* Memory ranges into zones and nodes: who spans and has how much. */
static void form_zones(struct ondol_machine *m, const struct memblock *mb)
{
	struct ondol_phys_state *phys = m->phys;

	for (uint32_t i = 0; i < mb->nr_memory; i++) {
		const struct memblock_range *range = &mb->memory[i];
		uint64_t start = range->start, end;

		for (; start < range->end; start = end) {
			unsigned type = phys_type_of_pfn(m, range, start, &end);

			end = min_u64(end, range->end);
			add_to_zone(m, range->node, type, start, end);
		}
	}
	for (uint32_t node = 0; node < m->nr_nodes; node++) {
		for (unsigned type = 0; type < ONDOL_NR_ZONES; type++) {
			struct ondol_zone *zone = &phys->zones[zone_id(node, type)];

			zone->m = m;
			zone->type = (uint16_t)type;
			zone->node = (uint16_t)node;
			zone->flags = zone_id(node, type) << ONDOL_PG_ZONE_SHIFT;
			if (zone->present)
				phys->zone_ids[phys->nr_zones++] = (uint16_t)zone_id(node, type);
		}
	}
}

static uint64_t pageblock_bytes(const struct ondol_machine *m, const struct ondol_zone *zone)
{
	unsigned order = m->phys->pageblock_order;

	if (!m->profile->migrate_types)
		return 0;
	return ((zone->end - 1) >> order) - (zone->start >> order) + 1;
}

static size_t taken_bytes(const struct ondol_zone *zone)
{
	return (size_t)bitmap_bytes(zone->end - zone->start);
}

/* Room for all metadata; with base 0 it only measures. */
static void lay_out_metadata(struct ondol_machine *m, struct carve *room)
{
	struct ondol_zone *zone;
	bool measure = !room->base;
	size_t size;

	m->pages = carve_take(room, (size_t)(m->nr_pages * sizeof *m->pages), PHYS_CACHE_LINE);
	size = (size_t)section_map_bytes(m);
	m->phys->section_ready = carve_take(room, size, sizeof(uint32_t));
	if (!measure)
		__builtin_memset(m->phys->section_ready, 0, size);
	if (!size)
		m->phys->section_ready = NULL;
	zone_for_each(m->phys, zone, i) {
		zone->pcp = carve_take(room, m->nr_cpus * sizeof *zone->pcp, PHYS_CACHE_LINE);
		zone->pcp_frames = carve_take(room,
					      m->nr_cpus * pcp_entries(zone) * sizeof(uint32_t),
					      PHYS_CACHE_LINE);
		uint32_t *maps = carve_take(room, (size_t)buddy_map_bytes(zone),
					    PHYS_CACHE_LINE);
		void *shelves = carve_take(room, (size_t)shelf_room_bytes(zone), PHYS_CACHE_LINE);
		uint8_t *types = carve_take(room, (size_t)pageblock_bytes(m, zone), 1);
		/* Zero, as it must be, where memory is. */
		if (m->phys->memory_is_zeroed)
			zone->taken = carve_take(room, taken_bytes(zone), sizeof(uint32_t));

		if (measure)
			continue;
		buddy_init(zone, maps);
		shelf_init(zone, shelves);
		if (!m->profile->migrate_types)
			continue;
		zone->pageblock_type = types;
		__builtin_memset(types, MIGRATE_MOVABLE, (size_t)pageblock_bytes(m, zone));
	}
}

static int reserve_metadata(struct ondol_machine *m, struct memblock *mb, uint16_t first_node)
{
	struct carve room = { 0, 0 };
	uint64_t low = limit_of_pfns(m->profile, ONDOL_ZONE_NORMAL), pfn, nr_pages;
	uint64_t movable = m->phys->nodes[first_node].movable_pfn;
	int r;

	if (m->nr_pages > SIZE_MAX / sizeof *m->pages / 2)
		return -ONDOL_ENOMEM;
	low = min_u64(low, m->kmap.low_end);
	lay_out_metadata(m, &room);
	nr_pages = align_up(room.used, ONDOL_PAGE_SIZE) >> ONDOL_PAGE_SHIFT;
	r = memblock_alloc(mb, nr_pages, 0, min_u64(low, movable), first_node, &pfn);
	if (r)
		r = memblock_alloc(mb, nr_pages, 0, low, ONDOL_NODE_ANY, &pfn);
	if (r)
		r = memblock_alloc(mb, nr_pages, 0, m->kmap.low_end, ONDOL_NODE_ANY, &pfn);
	if (r) {
		log_printf(m->port, ONDOL_LOG_ERR, "the records of %llu frames, %u nodes and %u "
			   "CPUs need %llu KiB of the machine's memory in one piece",
			   (unsigned long long)m->nr_pages, m->nr_nodes, m->nr_cpus,
			   (unsigned long long)nr_pages << (ONDOL_PAGE_SHIFT - 10));
		return r;
	}
	room.base = (uintptr_t)machine_pfn_host(m, pfn);
	room.used = 0;
	lay_out_metadata(m, &room);
	return 0;
}

/* The kernel's own data never goes there, so nothing of the reserve has to be kept there. */
static bool is_for_users(unsigned type)
{
	return type == ONDOL_ZONE_HIGHMEM || type == ONDOL_ZONE_MOVABLE;
}

/*
 * As Linux's calculate_min_free_kbytes: for those who must not wait the square root of sixteen
 * times the memory is kept, both in KiB (16 MiB keep 512 KiB, 1 GiB keeps 4 MiB), between 128 KiB
 * and 256 MiB; here under 16 MiB a thirty-second.
 */
static uint64_t pages_to_keep(const struct ondol_machine *m, uint64_t low_pages)
{
	uint64_t low_kib = low_pages << (ONDOL_PAGE_SHIFT - 10), kib = m->phys->min_free_kib;

	if (!kib)
		kib = min_u64(max_u64(sqrt_u64(low_kib * 16), 128), 262144);
	return min_u64(kib, low_kib / 32) >> (ONDOL_PAGE_SHIFT - 10);
}

/*
 * As Linux's __setup_per_zone_wmarks: zones keep their share; low and high lie a quarter of it,
 * or a thousandth of the zone, above each other.
 */
static void set_watermarks(struct ondol_machine *m)
{
	struct ondol_zone *zone;
	uint64_t low_pages = 0, pages_min;

	zone_for_each(m->phys, zone, i)
		low_pages += is_for_users(zone->type) ? 0 : zone->managed;
	pages_min = pages_to_keep(m, low_pages);

	zone_for_each(m->phys, zone, i) {
		uint64_t share = low_pages ? div_u64(pages_min * zone->managed,
						     (uint32_t)low_pages) : 0;
		uint64_t min = share, gap = max_u64(share / 4, zone->managed / 1000);

		if (is_for_users(zone->type)) {
			min = min_u64(max_u64(zone->managed / 1024, 32), 128);
			min = min_u64(min, zone->managed / 32);
		}
		zone->watermark[WMARK_MIN] = (uint32_t)min;
		zone->watermark[WMARK_LOW] = (uint32_t)(min + gap);
		zone->watermark[WMARK_HIGH] = (uint32_t)(min + 2 * gap);
	}
}

/*
 * As Linux's setup_per_zone_lowmem_reserve: a zone keeps a part of what the zones above it have
 * from requests that may use those: one frame in 256 for DMA and DMA32, in 32 for NORMAL.
 * Nothing may take HIGHMEM's place.
 */
static void set_lowmem_reserves(struct ondol_machine *m)
{
	static const uint32_t ratio[ONDOL_NR_ZONES] = { 256, 256, 32, 0, 0, 0 };
	struct ondol_zone *zone;

	zone_for_each(m->phys, zone, i) {
		uint32_t above = 0;

		for (unsigned type = zone->type + 1u; type < ONDOL_NR_ZONES; type++) {
			above += m->phys->zones[zone_id(zone->node, type)].managed;
			if (ratio[zone->type])
				zone->lowmem_reserve[type] =
					zone->managed ? above / ratio[zone->type] : 0;
		}
	}
}

void phys_set_limits(struct ondol_machine *m)
{
	set_watermarks(m);
	set_lowmem_reserves(m);
}

static void take_distances(struct ondol_node *node, const struct ondol_machine_desc *desc,
			   uint32_t self)
{
	for (uint32_t to = 0; to < desc->nr_nodes; to++)
		node->distance[to] = desc->node_distance ?
					     desc->node_distance[self * desc->nr_nodes + to] :
				     self == to ? LOCAL_DISTANCE : REMOTE_DISTANCE;
}

/* Nodes by distance; equally far ones beginning behind the own, to spread the load (B6). */
static void build_zonelist(struct ondol_machine *m, const struct ondol_machine_desc *desc,
			   uint32_t self)
{
	struct ondol_node *node = &m->phys->nodes[self];
	uint64_t done = 0;

	take_distances(node, desc, self);
	for (uint32_t n = 0; n < desc->nr_nodes; n++) {
		uint32_t best = UINT32_MAX;

		for (uint32_t k = 0; k < desc->nr_nodes; k++) {
			uint32_t at = (self + k) % desc->nr_nodes;

			if (!(done >> at & 1) &&
			    (best == UINT32_MAX ||
			     node->distance[at] < node->distance[best]))
				best = at;
		}
		done |= UINT64_C(1) << best;
		/* Those without a frame now may get some: ondol_online_pages. */
		for (unsigned type = ONDOL_ZONE_DEVICE; type--;)
			if (m->phys->zones[zone_id(best, type)].present)
				node->zonelist[node->nr_zonelist++] =
					(uint16_t)zone_id(best, type);
	}
}

/* The highest zone and the migrate type for each combination of the low GFP bits. */
static void build_gfp_classes(struct ondol_machine *m)
{
	const uint64_t *end = m->profile->zone_end;
	unsigned base = ONDOL_ZONE_NORMAL, high;
	bool movable = false;

	while (!end[base])
		base--;
	high = end[ONDOL_ZONE_HIGHMEM] ? ONDOL_ZONE_HIGHMEM : base;
	for (uint32_t i = 0; i < m->nr_nodes; i++)
		movable |= m->phys->zones[zone_id(i, ONDOL_ZONE_MOVABLE)].present != 0;
	for (ondol_gfp_t gfp = 0; gfp < 32; gfp++) {
		unsigned zone = base, type = MIGRATE_UNMOVABLE;

		if (gfp & ONDOL_GFP_DMA)
			zone = end[ONDOL_ZONE_DMA] ? ONDOL_ZONE_DMA : base;
		else if (gfp & ONDOL_GFP_DMA32)
			zone = end[ONDOL_ZONE_DMA32] ? ONDOL_ZONE_DMA32 : base;
		else if (gfp & ONDOL_GFP_HIGHMEM)
			zone = gfp & ONDOL_GFP_MOVABLE && movable ?
				       ONDOL_ZONE_MOVABLE : high;
		if (m->profile->migrate_types && gfp & ONDOL_GFP_MOVABLE)
			type = MIGRATE_MOVABLE;
		else if (m->profile->migrate_types && gfp & ONDOL_GFP_RECLAIMABLE)
			type = MIGRATE_RECLAIMABLE;
		m->phys->gfp_class[gfp] = (uint8_t)(zone | type << 4);
	}
}

/* The CPU's lists of the highest zone of its node that the class may use. */
static struct pcp_list *first_lists(const struct ondol_machine *m, uint32_t cpu, unsigned class)
{
	for (int type = (int)(class & 0xf); type >= 0; type--) {
		unsigned node = m->phys->cpus[cpu].node;
		struct ondol_zone *zone = &m->phys->zones[zone_id(node, (unsigned)type)];

		if (zone->managed)
			return zone->pcp[cpu].list[class >> 4];
	}
	return NULL;
}

void phys_choose_lists(struct ondol_machine *m)
{
	struct ondol_phys_state *phys = m->phys;

	for (uint32_t i = 0; phys->pcp_on && i < m->nr_cpus; i++) {
		struct phys_cpu *cpu = &phys->cpus[i];

		for (unsigned gfp = 0; gfp < 32; gfp++)
			store_relaxed(&cpu->lists[gfp],
				      first_lists(m, i, phys->gfp_class[gfp]));
		store_relaxed(&cpu->hot_gfps, pcp_hot_gfps(cpu));
	}
}

static void init_cpus(struct ondol_machine *m, const struct ondol_machine_desc *desc)
{
	struct ondol_phys_state *phys = m->phys;

	for (uint32_t i = 0; i < m->nr_cpus; i++) {
		struct phys_cpu *cpu = &phys->cpus[i];

		cpu->node = (uint16_t)(desc->cpu_to_node ? desc->cpu_to_node[i] :
							   i % desc->nr_nodes);
		for (unsigned slot = 0; slot < PCP_SLOTS; slot++)
			cpu->guess[slot] = &phys->zones[phys->zone_ids[0]].pcp[i].list[0][slot];
		cpu->hot = ONDOL_PAGE_NIL;
		cpu->hot_list = cpu->guess[0];
		cpu->hot_flags = phys->pcp_on ? cpu->hot_list->out_flags : UINT32_MAX;
	}
	phys_choose_lists(m);
}

/* pgdat_list (B4), lists of choices and limits: what needs to know how much is managed. */
static void connect(struct ondol_machine *m, const struct ondol_machine_desc *desc)
{
	struct ondol_phys_state *phys = m->phys;
	struct ondol_node **link = &phys->pgdat_list;
	struct ondol_zone *zone;

	for (uint32_t i = 0; i < m->nr_nodes; i++) {
		phys->nodes[i].id = (uint16_t)i;
		build_zonelist(m, desc, i);
		if (!phys->nodes[i].present)
			continue;
		*link = &phys->nodes[i];
		link = &phys->nodes[i].next;
	}
	zone_for_each(phys, zone, i)
		for (uint32_t cpu = 0; cpu < m->nr_cpus; cpu++)
			pcp_init(zone, &zone->pcp[cpu]);
	build_gfp_classes(m);
	init_cpus(m, desc);
	phys_set_limits(m);
}

void phys_choose_way(struct ondol_machine *m)
{
	m->cpus = m->phys->cpus;
	m->this_cpu = m->port->this_cpu;
	m->port_ctx = m->port->ctx;
	m->pcp_way = PCP_HOOKED;
	if (m->fail_plan || m->memcg.on)
		m->pcp_way = PCP_PLANNED;
	else if (!m->port->irq_save && !m->phys->smp)
		m->pcp_way = PCP_ALONE;
	else if (!m->port->irq_save && m->port->sync_cpus)
		m->pcp_way = PCP_CPUS;
}

int phys_init(struct ondol_machine *m, const struct ondol_machine_desc *desc,
	      struct carve *storage)
{
	struct memblock mb;
	const char *broken;
	uint64_t end;
	int r;

	m->phys = lay_out(storage, desc, &mb);
	m->phys->max_order = (uint8_t)(m->profile->nr_orders - 1);
	m->phys->pageblock_order = (uint8_t)min_u64(m->phys->max_order, PAGEBLOCK_ORDER_MAX);
	m->phys->section_order = (uint8_t)section_order_for(m->phys->max_order);
	m->phys->deferred_init = DESC_FLAG(desc, deferred_init);
	m->phys->memory_is_zeroed = DESC_FLAG(desc, memory_is_zeroed);
	m->phys->min_free_kib = DESC_VALUE(desc, min_free_kbytes);
	m->phys->smp = m->nr_cpus > 1 && m->port->this_cpu; /* else all run on CPU 0 */
	m->phys->pcp_on = m->profile->pcp;
	phys_choose_way(m);
	r = take_movable(m, desc);
	if (r)
		return r;
	r = memblock_build(&mb, desc, limit_of_pfns(m->profile, ONDOL_NR_ZONES - 1));
	if (r)
		return r;
	if (!mb.nr_memory)
		return -ONDOL_ENOMEM;
	m->first_pfn = align_down(mb.memory[0].start, UINT64_C(1) << m->phys->max_order);
	m->frames = machine_pfn_host(m, m->first_pfn);
	end = mb.memory[mb.nr_memory - 1].end;
	m->nr_pages = end - m->first_pfn;
	if (m->nr_pages >= ONDOL_PAGE_NIL)
		return -ONDOL_EINVAL;
	form_zones(m, &mb);
	r = reserve_metadata(m, &mb,
			     (uint16_t)(desc->cpu_to_node ? desc->cpu_to_node[0] : 0));
	if (r)
		return r;
	broken = memblock_check(&mb);
	ONDOL_VERIFY(m, !broken, broken, mb.nr_memory, mb.nr_reserved);
	m->phys->memblock = mb;
	section_init(m);
	connect(m, desc);
	psi_init(m);
	return 0;
}

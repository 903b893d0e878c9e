/* SPDX-License-Identifier: MIT */
/*
 * Validation: every labelled invariant of a machine at rest is looked at, lowest layer first,
 * and the first broken one named.  Nothing else may use the machine meanwhile.  The invariants
 * are explained where they are kept: phys/buddy.c, phys/zone.c, phys/pcp.c, phys/shelf.c,
 * slab/slab.c, pgtable/pgtable.c, virt/virt.c.
 */
#include "inspect/validate.h"

static const struct {
	const char *id, *text;
} invariants[] = {
	{ "BUDDY-1", "A free block begins at a multiple of its size and lies in its zone" },
	{ "BUDDY-2", "free_area[k].nr_free counts the blocks on the lists of order k, and "
		     "zone.nr_free the frames of all of them and those deferred" },
	{ "BUDDY-3", "No two free buddies are on lists, below the highest order" },
	{ "BUDDY-4", "A map bit is 1 exactly when one block of its pair is on a list" },
	{ "BUDDY-5", "The links of a list agree; a block on it is marked BUDDY, has the list's "
		     "order and type, no reference and no use" },
	{ "BUDDY-6", "Only a block that was handed out comes back" },
	{ "BUDDY-7", "A block comes back with the order it was handed out with" },
	{ "BUDDY-8", "What comes back is a frame of this machine that was not reserved" },
	{ "BUDDY-9", "Every frame is in one place: reserved, in an allocated block, on a per-CPU "
		     "list, on a shelf or in a free block" },
	{ "ZONE-1", "present = managed + reserved frames, in each zone" },
	{ "ZONE-2", "free + on per-CPU lists + allocated = managed" },
	{ "ZONE-3", "min <= low <= high watermark" },
	{ "ZONE-4", "A frame's record names the zone whose limits and node it has" },
	{ "ZONE-5", "The zones' frames add up to the node's, the nodes' to the machine's" },
	{ "ZONE-6", "zone.deferred counts the zone's free frames in sections without records, and "
		    "no list or pair map knows a block there" },
	{ "USE-1", "The frames counted for a use are the frames so marked" },
	{ "MEMCG-1", "With limits, charged is the number of frames of a use other than KERNEL" },
	{ "NOFAIL-1", "A NOFAIL request can be met" },
	{ "KMAP-1", "A persistent slot holds no frame or a frame above direct_map_bytes, each "
		    "frame at most once; one that is in use holds an allocated frame" },
	{ "PCP-1", "A block on a per-CPU list is marked PCP, has the list's order and type, no "
		   "reference and no use, belongs to the list's zone, and is nowhere else" },
	{ "PCP-2", "The zone's frames marked PCP are those on its per-CPU lists" },
	{ "PCP-3", "base <= low <= top <= end <= base + cap, of each per-CPU list" },
	{ "PCP-4", "A CPU's frame in hand could be on the list of order 0 it is the newest of, and "
		   "its flags and the requests it serves are that list's" },
	{ "RANGE-1", "A run of n frames trimmed off a block is pieces of the orders of n's bits, "
		     "each with a reference and its order, and each frame names the first" },
	{ "SHELF-1", "A bit of a shelf stands for a free frame of the zone with a plain record" },
	{ "SHELF-2", "A shelf's nr counts its bits, and it is on the list of that number and its "
		     "pageblock's type" },
	{ "SHELF-3", "No shelf is whole" },
	{ "LAZY-1", "The blocks marked LOCAL are those on the local lists, which are counted" },
	{ "SLAB-1", "A slab is on the list that the number of its objects in use says" },
	{ "SLAB-2", "The chain of a slab's free objects has as many entries as are not in use" },
	{ "SLAB-3", "Every frame of a slab has the use SLAB and names its first frame, and that "
		    "its cache" },
	{ "SLAB-4", "The cache counts the slabs on each list and the objects out of all slabs" },
	{ "SLAB-5", "Only an object in use is freed" },
	{ "SLAB-6", "What is freed is an object of the cache" },
	{ "SLAB-7", "Nobody wrote behind an object" },
	{ "SLAB-8", "Nobody wrote to a free object" },
	{ "SLAB-9", "Magazines hold objects marked so, no more than fit" },
	{ "SLAB-10", "cache_cache is the first cache, and each descriptor is an object of it" },
	{ "SLAB-11", "The depot's full magazines hold as many objects as it counts" },
	{ "SLAB-12", "What is freed with a size was asked for with that size" },
	{ "SLAB-13", "A page that guards an object lies behind it, in its slab" },
	{ "SLAB-14", "Who has an object is recorded, if asked for" },
	{ "MEMPOOL-1", "A reserve has at most min_nr objects, each in use for the cache" },
	{ "MEMPOOL-2", "What comes back to a pool is out, and not in its reserve" },
	{ "PERCPU-1", "A chunk's maps agree: an end is in use, and ends count the allocations" },
	{ "PERCPU-2", "What is freed is the start of per-CPU data" },
	{ "VMA-1", "Regions are sorted, page aligned, not empty, and do not overlap" },
	{ "VMA-2", "The tree's hole and gap values are right, its last region and colours too" },
	{ "VMA-3", "Regions lie below task_size; the access flags are within the MAY flags" },
	{ "VMA-4", "A shared region has a mapping; a native region has no frame" },
	{ "MPOL-1", "A policy names only nodes with memory, and one at least where its mode wants "
		    "them" },
	{ "MPOL-2", "A policy has as many users as regions that name it" },
	{ "MM-1", "nr_vma, total_vm and its parts count the regions" },
	{ "GUARD-1", "nr_guards counts the guards, each of which lies in a region with frames of "
		     "ours" },
	{ "MM-2", "rss counts the frames in the page tables by kind" },
	{ "MM-3", "committed is the pages of the regions with VM_ACCOUNT; the machine's, of all "
		  "mms and all shared memory" },
	{ "PGTABLE-1", "Every table is a frame of use PGTABLE; nr_tables counts them" },
	{ "PGTABLE-2", "Every table but the root covers some address of some region" },
	{ "PGTABLE-3", "Every present leaf lies inside a region that may have frames" },
	{ "PGTABLE-4", "A leaf grants no right that its region does not" },
	{ "PGTABLE-5", "A large leaf maps what its shadow's entries do, in one private anonymous "
		       "region; nr_huge counts them" },
	{ "COW-1", "An anonymous frame's references are the entries that map it and its swap "
		   "slot's" },
	{ "SWAP-1", "A slot counts the entries that name it, or is named by a page's place in a "
		    "mapping; area and machine count the slots in use, an mm its swap entries, a "
		    "mapping its pages in swap" },
	{ "SWAP-2", "A cached frame is anonymous, marked, names its slot and is named by it; slot "
		    "and frame have entries" },
	{ "MIGRATE-1", "Outside a migration no frame is marked as moving" },
	{ "COW-2", "A frame that others see has no writable entry in a private region" },
	{ "KSM-1", "A node of the tree of merged frames names a frame of private memory, marked, "
		   "which names it; the tree is in order and as large as there are marked frames" },
	{ "KSM-2", "No entry of a merged frame is writable, even if there is but one" },
	{ "KSM-3", "The checksum of a merged frame's node is that of its contents" },
	{ "KSM-4", "nr_maps counts the entries of merged frames, of which each has one at least" },
	{ "CACHE-1", "A cached page names its mapping and index, and has a reference of the "
		     "cache's and one for each entry" },
	{ "MMU-1", "An absent or user-inaccessible entry has no accessed bit; what software has "
		   "filled in as writable is dirty" },
};

const char *inspect_invariant_text(const char *id)
{
	for (size_t i = 0; i < sizeof invariants / sizeof invariants[0]; i++) {
		const char *a = invariants[i].id, *b = id;

		while (*a && *a == *b) {
			a++;
			b++;
		}
		if (*a == *b)
			return invariants[i].text;
	}
	return "";
}

bool inspect_broken(struct ondol_broken_invariant *out, const char *id, uint64_t where,
		    uint64_t expected, uint64_t actual)
{
	out->id = id;
	out->text = inspect_invariant_text(id);
	out->where = where;
	out->expected = expected;
	out->actual = actual;
	return false;
}

int ondol_machine_validate(struct ondol_machine *m, struct ondol_broken_invariant *out_broken)
{
	struct ondol_broken_invariant broken;

	if (validate_phys(m, &broken) && validate_slab(m, &broken) &&
	    validate_virt(m, &broken))
		return 0;
	if (out_broken)
		*out_broken = broken;
	return -ONDOL_EUCLEAN;
}

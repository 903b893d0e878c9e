// SPDX-License-Identifier: MIT
// std::map as a table of regions, start -> end: the baseline of bench/vma.c.
#include <cstdint>
#include <iterator>
#include <map>

typedef std::map<uint64_t, uint64_t> regions;

extern "C" {
void *std_map_new(void)
{
	return new regions;
}
void std_map_delete(void *map)
{
	delete static_cast<regions *>(map);
}
void std_map_insert(void *map, uint64_t start, uint64_t end)
{
	static_cast<regions *>(map)->emplace(start, end);
}
void std_map_erase(void *map, uint64_t start)
{
	static_cast<regions *>(map)->erase(start);
}
// The end of the region that addr is in, or 0.
uint64_t std_map_find(void *map, uint64_t addr)
{
	regions *r = static_cast<regions *>(map);
	regions::iterator at = r->upper_bound(addr);

	if (at == r->begin())
		return 0;
	at = std::prev(at);
	return addr < at->second ? at->second : 0;
}
}

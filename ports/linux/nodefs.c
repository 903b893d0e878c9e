/* SPDX-License-Identifier: MIT */
/*
 * /sys/devices/system/node as a guest sees it: Ondol's nodes.
 *
 * Programs list the folder and open its files relative to it, so texts in memory files are not
 * enough: a real folder stands in, which the guest's opens of the path are led to.  It lies on a
 * tmpfs that is mounted nowhere, or, without the right to make one, in a temporary folder that
 * goes at the end.  A file that changes is written anew when it, or a folder above it, is
 * opened through us.
 *
 * Only opens are led there: stat() and access() of the path see the host's nodes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define NODE_DIR "/sys/devices/system/node"
#define SYS_fsopen_ 430
#define SYS_fsconfig_ 431
#define SYS_fsmount_ 432
#define FSCONFIG_CMD_CREATE_ 6

/* In each node's folder. */
enum node_file { MEMINFO, NUMASTAT, DISTANCE, CPULIST, CPUMAP, NODE_FILES };
static const char *const node_files[NODE_FILES] = { "meminfo", "numastat", "distance", "cpulist",
						    "cpumap" };
/* Beside the nodes' folders: sets of nodes. */
enum node_list { ONLINE, POSSIBLE, HAS_MEMORY, HAS_NORMAL_MEMORY, HAS_CPU, NODE_LISTS };
static const char *const node_lists[NODE_LISTS] = { "online", "possible", "has_memory",
						    "has_normal_memory", "has_cpu" };

bool nodefs_path(const char *path)
{
	size_t n = strlen(NODE_DIR);

	return !strncmp(path, NODE_DIR, n) && (!path[n] || path[n] == '/');
}

/* ------------------------------------------------------------------ texts */

/* "0-3,7" */
static void ranges_write(FILE *f, const unsigned long *bits, unsigned nr_bits)
{
	const unsigned word = 8 * sizeof *bits;
	const char *before = "";

	for (unsigned i = 0; i < nr_bits; i++) {
		unsigned first = i;

		if (!(bits[i / word] >> (i % word) & 1))
			continue;
		while (i + 1 < nr_bits && bits[(i + 1) / word] >> ((i + 1) % word) & 1)
			i++;
		fprintf(f, i > first ? "%s%u-%u" : "%s%u", before, first, i);
		before = ",";
	}
	fputc('\n', f);
}

/* "00000000,0000000f": 32 bits a group, down from the highest that may be set. */
static void mask_write(FILE *f, const unsigned long *bits, unsigned nr_bits)
{
	const unsigned word = 8 * sizeof *bits;

	for (unsigned group = (nr_bits + 31) / 32; group--;)
		fprintf(f, "%08x%c",
			(unsigned)(bits[group * 32 / word] >> (group * 32 % word)),
			group ? ',' : '\n');
}

/* The host's processors whose number among ours says that they belong to the node. */
static unsigned cpus_of(const struct monitor *mon, unsigned node, unsigned long *out_bits)
{
	const unsigned word = 8 * sizeof *out_bits;
	unsigned rank = 0, highest = 0;

	memset(out_bits, 0, PLACE_WORDS * sizeof *out_bits);
	for (unsigned cpu = 0; cpu < PLACE_WORDS * word; cpu++) {
		if (!(mon->place.all[cpu / word] >> (cpu % word) & 1))
			continue;
		highest = cpu + 1;
		if (rank++ % mon->options->nr_cpus % mon->nr_nodes == node)
			out_bits[cpu / word] |= 1ul << (cpu % word);
	}
	return highest;
}

void nodefs_mems_allowed(const struct monitor *mon, const char *line, FILE *out)
{
	unsigned long nodes = ondol_nodes_with_memory(mon->machine);

	if (!strncmp(line, "Mems_allowed_list:", 18)) {
		fputs("Mems_allowed_list:\t", out);
		ranges_write(out, &nodes, 64);
	} else {
		fputs("Mems_allowed:\t", out);
		mask_write(out, &nodes, 64);
	}
}

/* ------------------------------------------------------------------ files */

#define NODE_PATH_MAX 64

static void node_path(char path[NODE_PATH_MAX], unsigned node, enum node_file which)
{
	snprintf(path, NODE_PATH_MAX, "node%u/%s", node, node_files[which]);
}

static FILE *file_create(const struct monitor *mon, const char *name)
{
	int fd = openat(mon->nodefs, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd < 0 ? NULL : fdopen(fd, "w");
}

static bool node_file_write(const struct monitor *mon, unsigned node, enum node_file which)
{
	unsigned long cpus[PLACE_WORDS];
	unsigned nr_cpus = cpus_of(mon, node, cpus);
	char path[NODE_PATH_MAX];
	FILE *f;
	int r = 0;

	node_path(path, node, which);
	f = file_create(mon, path);
	if (!f)
		return false;
	switch (which) {
	case MEMINFO: r = ondol_proc_node_meminfo(mon->machine, node, text_write, f); break;
	case NUMASTAT: r = ondol_proc_node_numastat(mon->machine, node, text_write, f); break;
	case DISTANCE: r = ondol_proc_node_distance(mon->machine, node, text_write, f); break;
	case CPULIST: ranges_write(f, cpus, nr_cpus); break;
	case CPUMAP: mask_write(f, cpus, nr_cpus); break;
	case NODE_FILES: break;
	}
	return fclose(f) == 0 && !r;
}

static bool list_write(const struct monitor *mon, const char *name, unsigned long nodes)
{
	FILE *f = file_create(mon, name);

	if (!f)
		return false;
	ranges_write(f, &nodes, 64);
	return fclose(f) == 0;
}

static bool tree_write(const struct monitor *mon)
{
	unsigned long nodes = ondol_nodes_with_memory(mon->machine), with_cpus = 0;
	unsigned long cpus[PLACE_WORDS];
	bool ok = true;

	for (unsigned node = 0; node < mon->nr_nodes; node++) {
		char name[16];

		snprintf(name, sizeof name, "node%u", node);
		ok &= !mkdirat(mon->nodefs, name, 0755);
		for (unsigned which = 0; which < NODE_FILES; which++)
			ok &= node_file_write(mon, node, (enum node_file)which);
		cpus_of(mon, node, cpus);
		for (unsigned i = 0; i < PLACE_WORDS; i++)
			with_cpus |= cpus[i] ? 1ul << node : 0;
	}
	for (unsigned list = 0; list < NODE_LISTS; list++)
		ok &= list_write(mon, node_lists[list], list == HAS_CPU ? with_cpus : nodes);
	return ok;
}

/* ------------------------------------------------------------------ the folder */

/* A tmpfs that no path leads to; -1: not for us. */
static int detached_mount(void)
{
	int fs = (int)syscall(SYS_fsopen_, "tmpfs", 1 /* FSOPEN_CLOEXEC */), dir = -1;

	if (fs < 0)
		return -1;
	if (!syscall(SYS_fsconfig_, fs, FSCONFIG_CMD_CREATE_, NULL, NULL, 0))
		dir = (int)syscall(SYS_fsmount_, fs, 1 /* FSMOUNT_CLOEXEC */, 0);
	close(fs);
	return dir;
}

static int temporary_folder(struct monitor *mon)
{
	const char *const places[] = { getenv("XDG_RUNTIME_DIR"), "/dev/shm", "/tmp" };

	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		if (!places[i] || strlen(places[i]) > sizeof mon->nodefs_path - 32)
			continue;
		snprintf(mon->nodefs_path, sizeof mon->nodefs_path, "%s/ondol-nodes-%d", places[i],
			 mon->pid);
		if (!mkdir(mon->nodefs_path, 0755))
			return open(mon->nodefs_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	mon->nodefs_path[0] = 0;
	return -1;
}

static bool nodefs_create(struct monitor *mon)
{
	mon->nodefs = detached_mount();
	if (mon->nodefs < 0)
		mon->nodefs = temporary_folder(mon);
	if (mon->nodefs >= 0 && tree_write(mon))
		return true;
	nodefs_destroy(mon);
	return false;
}

static void folder_remove(const struct monitor *mon)
{
	char path[NODE_PATH_MAX];

	for (unsigned node = 0; node < mon->nr_nodes; node++) {
		for (unsigned which = 0; which < NODE_FILES; which++) {
			node_path(path, node, (enum node_file)which);
			unlinkat(mon->nodefs, path, 0);
		}
		snprintf(path, sizeof path, "node%u", node);
		unlinkat(mon->nodefs, path, AT_REMOVEDIR);
	}
	for (unsigned list = 0; list < NODE_LISTS; list++)
		unlinkat(mon->nodefs, node_lists[list], 0);
	rmdir(mon->nodefs_path);
}

void nodefs_destroy(struct monitor *mon)
{
	if (mon->nodefs < 0)
		return;
	if (mon->nodefs_path[0])
		folder_remove(mon);
	close(mon->nodefs);
	mon->nodefs = -1;
}

/* Write anew what changes at or below `path` ("", "node1", "node1/meminfo"). */
static bool refresh(const struct monitor *mon, const char *path)
{
	static const enum node_file changing[] = { MEMINFO, NUMASTAT };
	char file[NODE_PATH_MAX];

	for (unsigned node = 0; node < mon->nr_nodes; node++)
		for (size_t i = 0; i < sizeof changing / sizeof *changing; i++) {
			node_path(file, node, changing[i]);
			if (!strncmp(file, path, strlen(path)) &&
			    !node_file_write(mon, node, changing[i]))
				return false;
		}
	return true;
}

/* A descriptor for the guest; -ENOSYS: there is no folder, so let it have the host's. */
int nodefs_open(struct monitor *mon, const char *path, uint64_t flags)
{
	const char *rest = path + strlen(NODE_DIR);

	if (mon->nodefs < 0 && !nodefs_create(mon))
		return -ENOSYS;
	while (*rest == '/')
		rest++;
	if (strstr(rest, "..")) /* nothing of ours needs it */
		return -ENOENT;
	if (!refresh(mon, strstr(rest, "//") || strstr(rest, "./") ? "" : rest))
		return -EIO;
	int fd = openat(mon->nodefs, *rest ? rest : ".",
			O_RDONLY | O_CLOEXEC | (int)(flags & (O_DIRECTORY | O_NOFOLLOW)));

	return fd < 0 ? -errno : fd;
}

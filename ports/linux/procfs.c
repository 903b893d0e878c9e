/* SPDX-License-Identifier: MIT */
/*
 * What a guest reads about itself, its relatives and the machine: /proc/PID/maps, smaps,
 * smaps_rollup, numa_maps, statm, the Vm lines of status and the memory fields of stat are
 * Ondol's, as are /proc/meminfo, /proc/pressure/memory and their like; and nothing shows that it is
 * traced.  The open is answered with a memory file that holds the text.  pagemap and clear_refs
 * are procmem.c's; what would show the host's mappings and is none of them (map_files) is not
 * there, as on a kernel built without it.  /sys/devices/system/node is nodefs.c's,
 * /sys/kernel/mm/ksm ksm.c's.  Every other open goes on natively.
 *
 * The last component of a path decides: a symbolic link of another name is not looked through.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

enum view {
	VIEW_NONE,
	VIEW_MAPS,
	VIEW_SMAPS,
	VIEW_SMAPS_ROLLUP,
	VIEW_NUMA_MAPS,
	VIEW_STATM,
	VIEW_STATUS,
	VIEW_STAT,
	VIEW_OOM_SCORE,
	VIEW_PAGEMAP,
	VIEW_CLEAR_REFS,
	VIEW_ABSENT,
	VIEW_MEM,
	VIEW_NODES, /* a path of nodefs.c */
	VIEW_MACHINE, /* from here on: not of a process */
	VIEW_BUDDYINFO = VIEW_MACHINE,
	VIEW_MEMINFO,
	VIEW_PAGETYPEINFO,
	VIEW_SLABINFO,
	VIEW_SWAPS,
	VIEW_VMSTAT,
	VIEW_ZONEINFO,
	VIEW_PRESSURE, /* of /proc/pressure */
	VIEW_SYSCTL, /* from here on: of /proc/sys/vm */
	VIEW_OVERCOMMIT_MEMORY = VIEW_SYSCTL,
	VIEW_OVERCOMMIT_RATIO,
	VIEW_OVERCOMMIT_KBYTES,
	VIEW_COMPACT_MEMORY,
	VIEW_KSM, /* of /sys/kernel/mm/ksm */
};

static enum view view_of(const char *name)
{
	static const struct {
		const char *name;
		enum view view;
	} views[] = {
		{ "maps", VIEW_MAPS },     { "smaps", VIEW_SMAPS },
		{ "smaps_rollup", VIEW_SMAPS_ROLLUP },
		{ "statm", VIEW_STATM },   { "status", VIEW_STATUS },
		{ "stat", VIEW_STAT },     { "numa_maps", VIEW_NUMA_MAPS },
		{ "pagemap", VIEW_PAGEMAP }, { "clear_refs", VIEW_CLEAR_REFS },
		{ "map_files", VIEW_ABSENT }, { "mem", VIEW_MEM },
		{ "buddyinfo", VIEW_BUDDYINFO }, { "meminfo", VIEW_MEMINFO },
		{ "pagetypeinfo", VIEW_PAGETYPEINFO }, { "slabinfo", VIEW_SLABINFO },
		{ "vmstat", VIEW_VMSTAT }, { "zoneinfo", VIEW_ZONEINFO },
		{ "memory", VIEW_PRESSURE },
		{ "swaps", VIEW_SWAPS },   { "oom_score", VIEW_OOM_SCORE },
		{ "overcommit_memory", VIEW_OVERCOMMIT_MEMORY },
		{ "overcommit_ratio", VIEW_OVERCOMMIT_RATIO },
		{ "overcommit_kbytes", VIEW_OVERCOMMIT_KBYTES },
		{ "compact_memory", VIEW_COMPACT_MEMORY },
	};

	for (size_t i = 0; i < sizeof views / sizeof *views; i++)
		if (!strcmp(name, views[i].name))
			return views[i].view;
	return VIEW_NONE;
}

/* "self", "thread-self" or a number, then '/': the number, and what follows the slash. */
static const char *pid_parse(const char *s, const struct task *task, pid_t *out_pid)
{
	char *end;

	if (!strncmp(s, "self/", 5)) {
		*out_pid = task->tgid;
		return s + 5;
	}
	if (!strncmp(s, "thread-self/", 12)) {
		*out_pid = task->tid;
		return s + 12;
	}
	if (!isdigit((unsigned char)*s))
		return NULL;
	*out_pid = (pid_t)strtol(s, &end, 10);
	return *end == '/' ? end + 1 : NULL;
}

/* /proc/PID[/task/TID]/VIEW, /proc/VIEW */
static enum view path_parse(const char *path, const struct task *task, pid_t *out_pid)
{
	const char *rest;
	enum view view;

	if (nodefs_path(path))
		return VIEW_NODES;
	if (ksm_path(path))
		return VIEW_KSM;
	if (strncmp(path, "/proc/", 6))
		return VIEW_NONE;
	rest = pid_parse(path + 6, task, out_pid);
	if (rest && !strncmp(rest, "task/", 5))
		rest = pid_parse(rest + 5, task, out_pid);
	if (rest && !strncmp(rest, "map_files/", 10))
		return VIEW_ABSENT;
	bool sysctl = !rest && !strncmp(path + 6, "sys/vm/", 7);
	bool pressure = !rest && !strncmp(path + 6, "pressure/", 9);

	view = view_of(rest ? rest : path + (sysctl ? 13 : pressure ? 15 : 6));
	if (sysctl != (view >= VIEW_SYSCTL) || pressure != (view == VIEW_PRESSURE))
		return VIEW_NONE;
	return !rest == (view >= VIEW_MACHINE) ? view : VIEW_NONE;
}

/*
 * As without us: a traced thread's 't' is 'T' if it is stopped and no stop at all if not; who
 * reads its own state runs.
 */
static char state_untraced(const struct task *task, bool of_reader, char state)
{
	if (of_reader)
		return 'R';
	return state != 't' ? state : task->group_stopped ? 'T' : 'R';
}

/* The host's status with our Vm and Rss lines, and without the tracer. */
static int status_write(const struct monitor *mon, struct task *task, bool of_reader, FILE *out)
{
	struct guest_mm *g = task->mm;
	char path[64], line[512];
	bool ours_done = false;

	snprintf(path, sizeof path, "/proc/%d/status", task->tid);
	FILE *in = fopen(path, "re");

	if (!in)
		return -errno;
	while (fgets(line, sizeof line, in)) {
		if (!strncmp(line, "TracerPid:", 10)) {
			fputs("TracerPid:\t0\n", out);
		} else if (!strncmp(line, "State:\t", 7) &&
			   state_untraced(task, of_reader, line[7]) != line[7]) {
			fputs(state_untraced(task, of_reader, line[7]) == 'T' ?
				      "State:\tT (stopped)\n" : "State:\tR (running)\n", out);
		} else if (!strncmp(line, "Vm", 2) || !strncmp(line, "Rss", 3)) {
			if (!ours_done)
				ondol_proc_status_vm(g->mm, text_write, out);
			ours_done = true;
		} else if (!strncmp(line, "Mems_allowed", 12)) {
			nodefs_mems_allowed(mon, line, out);
		} else if (!place_status(mon, task, line, out)) {
			fputs(line, out);
		}
	}
	fclose(in);
	return 0;
}

#define STAT_FIELDS 53 /* of /proc/PID/stat, by their numbers in proc(5) */

struct stat_ours {
	bool is[STAT_FIELDS];
	unsigned long long value[STAT_FIELDS];
};

/* The fields that are ours. */
static void stat_ours(const struct guest_mm *g, struct stat_ours *out)
{
	struct ondol_mm_stats s;
	struct ondol_mm_layout l;

	ondol_mm_stats(g->mm, &s);
	ondol_mm_layout(g->mm, &l);
	const struct {
		unsigned field;
		uint64_t value;
	} ours[] = {
		{ 10, s.min_flt },	{ 12, s.maj_flt },     { 23, s.total_vm * PAGE_BYTES },
		{ 24, s.rss_anon + s.rss_file + s.rss_shmem }, { 26, l.start_code },
		{ 27, l.end_code },	{ 28, l.start_stack }, { 45, l.start_data },
		{ 46, l.end_data },	{ 47, l.start_brk },   { 48, l.arg_start },
		{ 49, l.arg_end },	{ 50, l.env_start },   { 51, l.env_end },
	};

	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
		out->is[ours[i].field] = true;
		out->value[ours[i].field] = ours[i].value;
	}
}

/* pid (comm) state ppid ...: the name may hold anything, blanks and brackets too. */
static int stat_write(struct task *task, bool of_reader, const char *path, FILE *out)
{
	char line[2048], *at, *save = NULL;
	struct stat_ours ours;
	FILE *in = fopen(path, "re");

	if (!in)
		return -errno;
	size_t n = fread(line, 1, sizeof line - 1, in);

	fclose(in);
	line[n] = 0;
	at = strrchr(line, ')');
	if (!at || !at[1])
		return -EIO;
	fprintf(out, "%.*s", (int)(at + 1 - line), line);
	stat_ours(task->mm, &ours);
	at = strtok_r(at + 1, " \n", &save);
	for (unsigned field = 3; at; field++, at = strtok_r(NULL, " \n", &save))
		if (field == 3)
			fprintf(out, " %c", state_untraced(task, of_reader, *at));
		else if (field < STAT_FIELDS && ours.is[field] && strcmp(at, "0"))
			fprintf(out, " %llu", ours.value[field]);
		else
			fprintf(out, " %s", at);
	fputc('\n', out);
	return 0;
}

static int view_write(const struct monitor *mon, struct task *task, enum view view,
		      bool of_reader, const char *path, FILE *out)
{
	struct ondol_machine *m = mon->machine;
	struct guest_mm *g = task->mm;

	switch (view) {
	case VIEW_MAPS:
		return ondol_proc_maps(g->mm, text_write, out);
	case VIEW_SMAPS:
		return ondol_proc_smaps(g->mm, text_write, out);
	case VIEW_SMAPS_ROLLUP:
		return ondol_proc_smaps_rollup(g->mm, text_write, out);
	case VIEW_NUMA_MAPS:
		ondol_mm_set_task_policy(g->mm, &task->policy);
		return ondol_proc_numa_maps(g->mm, text_write, out);
	case VIEW_STATM:
		return ondol_proc_statm(g->mm, text_write, out);
	case VIEW_STATUS:
		return status_write(mon, task, of_reader, out);
	case VIEW_STAT:
		return stat_write(task, of_reader, path, out);
	case VIEW_OOM_SCORE:
		fprintf(out, "%lld\n",
			(long long)ondol_oom_score(g->mm, oom_score_adj(task->tgid)));
		return 0;
	case VIEW_OVERCOMMIT_MEMORY:
		return fprintf(out, "%d\n", (const int[]){ 1, 0, 2 }[mon->options->overcommit]) < 0;
	case VIEW_OVERCOMMIT_RATIO:
		return fprintf(out, "%u\n", mon->options->overcommit_ratio ?
						    mon->options->overcommit_ratio : 50) < 0;
	case VIEW_OVERCOMMIT_KBYTES:
		return fprintf(out, "0\n") < 0;
	case VIEW_KSM:
		return ksm_file_write(mon, path, out);
	case VIEW_BUDDYINFO:
		return ondol_proc_buddyinfo(m, text_write, out);
	case VIEW_MEMINFO:
		return ondol_proc_meminfo(m, text_write, out);
	case VIEW_PAGETYPEINFO:
		return ondol_proc_pagetypeinfo(m, text_write, out);
	case VIEW_SLABINFO:
		return ondol_proc_slabinfo(m, text_write, out);
	case VIEW_SWAPS:
		return ondol_proc_swaps(m, text_write, out);
	case VIEW_VMSTAT:
		return ondol_proc_vmstat(m, text_write, out);
	case VIEW_PRESSURE:
		return ondol_proc_pressure_memory(m, text_write, out);
	case VIEW_ZONEINFO:
		return ondol_proc_zoneinfo(m, text_write, out);
	default:
		return -EINVAL;
	}
}

/* A read-only descriptor of a file that holds the text. */
static int view_file(const struct monitor *mon, struct task *task, enum view view,
		     bool of_reader, const char *path)
{
	char link[32];
	int fd = memfd_create(VIEW_NAME, MFD_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f) {
		int error = errno;
		if (fd >= 0)
			close(fd);
		return -error;
	}
	int r = view_write(mon, task, view, of_reader, path, f);

	if (!r && fflush(f))
		r = -errno;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	int ours = r ? r : open(link, O_RDONLY | O_CLOEXEC);

	if (!r && ours < 0)
		ours = -errno;
	fclose(f);
	return ours;
}

/*
 * Where a path leads that does not say so itself: relative, with dots, through links.  "self"
 * is then us, which is put right.
 */
static bool path_resolve(const struct monitor *mon, const struct task *task, int dir, int nofollow,
			 char *path, size_t size)
{
	char from[64 + PATH_MAX], link[64];
	bool absolute = path[0] == '/';

	if (absolute || dir == AT_FDCWD)
		snprintf(from, sizeof from, "/proc/%d/%s/%s", task->tid, absolute ? "root" : "cwd",
			 path);
	else
		snprintf(from, sizeof from, "/proc/%d/fd/%d/%s", task->tid, dir, path);
	int fd = open(from, O_PATH | O_CLOEXEC | nofollow);

	if (fd < 0)
		return false;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, from, sizeof from - 1);

	close(fd);
	if (n <= 0)
		return false;
	from[n] = 0;
	int us = snprintf(link, sizeof link, "/proc/%d/", mon->pid);
	bool self = !strncmp(from, link, (size_t)us);

	return (size_t)snprintf(path, size, "%s%s", self ? "/proc/self/" : from,
				self ? from + us : "") < size;
}

/* The path of the call, made absolute and plain if its last component is a view's. */
static bool path_read(const struct monitor *mon, struct task *task,
		      const struct seccomp_data *data, char *path, size_t size)
{
	uint64_t at = data->nr == SYS_open ? data->args[0] : data->args[1];
	int dir = data->nr == SYS_open ? AT_FDCWD : (int)data->args[0];
	uint64_t flags = data->nr == SYS_openat ? data->args[2] :
			 data->nr == SYS_open   ? data->args[1] : 0;
	pid_t pid;

	if (ondol_strncpy_from_user(task->mm->mm, path, at, size) < 0)
		return false;
	if (path_parse(path, task, &pid))
		return true;
	const char *last = strrchr(path, '/');

	last = last ? last + 1 : path;
	return (view_of(last) || ksm_file_name(last)) &&
	       path_resolve(mon, task, dir, (int)(flags & O_NOFOLLOW), path, size);
}

/*
 * 0, or what the host would say: the layout of a program is told to who may look at it, and the
 * computer's own settings are not the program's to change.
 */
static int refused(const struct task *task, const struct task *target, enum view view,
		   uint64_t flags)
{
	switch (view) {
	case VIEW_MAPS:
	case VIEW_SMAPS:
	case VIEW_SMAPS_ROLLUP:
	case VIEW_NUMA_MAPS:
	case VIEW_PAGEMAP:
	case VIEW_CLEAR_REFS:
		return task_may_look(task, target) ? 0 : -EACCES;
	case VIEW_PRESSURE: /* there are no triggers */
		return (flags & O_ACCMODE) != O_RDONLY ? -EOPNOTSUPP : 0;
	case VIEW_COMPACT_MEMORY:
		return task_uid(task) ? -EACCES : 0;
	default:
		return view >= VIEW_SYSCTL && (flags & O_ACCMODE) != O_RDONLY ? -EACCES : 0;
	}
}

/* Compaction is over before the number is written, which goes nowhere. */
static int compact_memory_open(struct monitor *mon)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	for (uint32_t i = 0; i < mon->nr_nodes; i++)
		ondol_compact_node(mon->machine, i);
	return fd;
}

static int view_open(struct monitor *mon, struct task *task, struct task *target, enum view view,
		     const char *path, uint64_t flags, pid_t pid)
{
	bool thread = strstr(path, "/task/") || strstr(path, "thread-self/");
	char host_path[64]; /* "self" would be us */

	switch (view) {
	case VIEW_NODES:
		return nodefs_open(mon, path, flags);
	case VIEW_PAGEMAP:
		return pagemap_open(task, target);
	case VIEW_CLEAR_REFS:
		return clear_refs_open(mon, task, target);
	case VIEW_COMPACT_MEMORY:
		return compact_memory_open(mon);
	case VIEW_KSM:
		return view_file(mon, target, view, false, path);
	default:
		snprintf(host_path, sizeof host_path,
			 thread ? "/proc/%d/task/%d/stat" : "/proc/%d/stat",
			 thread ? target->tgid : pid, pid);
		return view_file(mon, target, view, target == task, host_path);
	}
}

bool procfs_open(struct monitor *mon, struct task *task, const struct seccomp_notif *notif)
{
	const struct seccomp_data *data = &notif->data;
	uint64_t flags = data->nr == SYS_open ? data->args[1] : data->args[2];
	char path[PATH_MAX];
	pid_t pid = 0;

	if (!path_read(mon, task, data, path, sizeof path))
		return false;
	enum view view = path_parse(path, task, &pid);
	struct task *target = view >= VIEW_NODES ? task : view ? task_find(mon, pid) : NULL;

	if (!target || !target->mm)
		return false;
	if (view == VIEW_ABSENT) {
		notif_reply(mon, notif->id, -ENOENT);
		return true;
	}
	/* What is not there yet would read as zeros, and what is written there be lost. */
	if (view == VIEW_MEM) {
		if (mon->trap == &trap_ptrace)
			notif_reply(mon, notif->id, -EACCES);
		return mon->trap == &trap_ptrace;
	}
	if (data->nr == SYS_openat2_) {
		struct open_how how;

		if (ondol_copy_from_user(task->mm->mm, &how, data->args[2], sizeof how))
			return false;
		flags = how.flags;
	}
	if (view == VIEW_CLEAR_REFS || view == VIEW_COMPACT_MEMORY ?
				      (flags & O_ACCMODE) != O_WRONLY :
				      (flags & O_ACCMODE) != O_RDONLY && view < VIEW_PRESSURE)
		return false;
	refs_drain(mon);
	int fd = refused(task, target, view, flags);

	if (!fd)
		fd = view_open(mon, task, target, view, path, flags, pid);
	if (fd == -ENOSYS)
		return false;
	if (fd < 0) {
		notif_reply(mon, notif->id, fd);
		return true;
	}
	int r = notif_addfd(mon, notif->id, fd, 0, SECCOMP_ADDFD_FLAG_SEND,
			    flags & O_CLOEXEC ? O_CLOEXEC : 0);
	close(fd);
	if (r < 0)
		notif_reply(mon, notif->id, r);
	return true;
}

/* SPDX-License-Identifier: MIT */
/*
 * What a guest reads about itself and its relatives: /proc/PID/maps, smaps, smaps_rollup,
 * statm and the Vm lines of status are Ondol's.  The open is answered with a memory file
 * that holds the text; every other open goes on natively.
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

#define SYS_openat2_ 437

enum view { VIEW_NONE, VIEW_MAPS, VIEW_SMAPS, VIEW_SMAPS_ROLLUP, VIEW_STATM, VIEW_STATUS };

static enum view view_of(const char *name)
{
	static const struct {
		const char *name;
		enum view view;
	} views[] = {
		{ "maps", VIEW_MAPS },   { "smaps", VIEW_SMAPS },   { "smaps_rollup", VIEW_SMAPS_ROLLUP },
		{ "statm", VIEW_STATM }, { "status", VIEW_STATUS },
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

/* /proc/PID[/task/TID]/VIEW */
static enum view path_parse(const char *path, const struct task *task, pid_t *out_pid)
{
	const char *rest;

	if (strncmp(path, "/proc/", 6))
		return VIEW_NONE;
	rest = pid_parse(path + 6, task, out_pid);
	if (rest && !strncmp(rest, "task/", 5))
		rest = pid_parse(rest + 5, task, out_pid);
	return rest ? view_of(rest) : VIEW_NONE;
}

static int text_write(void *ctx, const char *text, size_t size)
{
	FILE *f = ctx;

	return fwrite(text, 1, size, f) == size ? 0 : -EIO;
}

/* The host's status with our Vm and Rss lines, and without the tracer. */
static int status_write(struct guest_mm *g, pid_t pid, FILE *out)
{
	char path[64], line[512];
	bool ours_done = false;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	FILE *in = fopen(path, "re");

	if (!in)
		return -errno;
	while (fgets(line, sizeof line, in)) {
		if (!strncmp(line, "TracerPid:", 10)) {
			fputs("TracerPid:\t0\n", out);
		} else if (!strncmp(line, "Vm", 2) || !strncmp(line, "Rss", 3)) {
			if (!ours_done)
				ondol_proc_status_vm(g->mm, text_write, out);
			ours_done = true;
		} else {
			fputs(line, out);
		}
	}
	fclose(in);
	return 0;
}

static int view_write(struct guest_mm *g, enum view view, pid_t pid, FILE *out)
{
	switch (view) {
	case VIEW_MAPS:
		return ondol_proc_maps(g->mm, text_write, out);
	case VIEW_SMAPS:
		return ondol_proc_smaps(g->mm, text_write, out);
	case VIEW_SMAPS_ROLLUP:
		return ondol_proc_smaps_rollup(g->mm, text_write, out);
	case VIEW_STATM:
		return ondol_proc_statm(g->mm, text_write, out);
	case VIEW_STATUS:
		return status_write(g, pid, out);
	default:
		return -EINVAL;
	}
}

/* A read-only descriptor of a file that holds the text. */
static int view_file(struct guest_mm *g, enum view view, pid_t pid)
{
	char link[32];
	int fd = memfd_create("ondol-proc", MFD_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f) {
		int error = errno;
		if (fd >= 0)
			close(fd);
		return -error;
	}
	int r = view_write(g, view, pid, f);

	if (!r && fflush(f))
		r = -errno;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	int ours = r ? r : open(link, O_RDONLY | O_CLOEXEC);

	if (!r && ours < 0)
		ours = -errno;
	fclose(f);
	return ours;
}

/* The path as the guest gave it; relative ones are completed from their directory. */
static bool path_read(struct task *task, const struct seccomp_data *data, char *path, size_t size)
{
	uint64_t at = data->nr == SYS_open ? data->args[0] : data->args[1];
	int dir = data->nr == SYS_open ? AT_FDCWD : (int)data->args[0];
	char name[64], link[64];

	if (ondol_strncpy_from_user(task->mm->mm, path, at, size) < 0)
		return false;
	if (path[0] == '/' || dir == AT_FDCWD)
		return path[0] == '/';
	const char *last = strrchr(path, '/');

	if (!view_of(last ? last + 1 : path) || strlen(path) >= sizeof name)
		return false;
	strcpy(name, path);
	snprintf(link, sizeof link, "/proc/%d/fd/%d", task->tid, dir);
	ssize_t n = readlink(link, path, size - sizeof name - 1);

	if (n <= 0)
		return false;
	path[n] = '/';
	strcpy(path + n + 1, name);
	return true;
}

bool procfs_open(struct monitor *mon, struct task *task, const struct seccomp_notif *notif)
{
	const struct seccomp_data *data = &notif->data;
	uint64_t flags = data->nr == SYS_open ? data->args[1] : data->args[2];
	char path[PATH_MAX + 128];
	pid_t pid = 0;

	if (!path_read(task, data, path, sizeof path))
		return false;
	enum view view = path_parse(path, task, &pid);
	struct task *target = view ? task_find(mon, pid) : NULL;

	if (!target || !target->mm)
		return false;
	if (data->nr == SYS_openat2_) {
		struct open_how how;

		if (ondol_copy_from_user(task->mm->mm, &how, data->args[2], sizeof how))
			return false;
		flags = how.flags;
	}
	if ((flags & O_ACCMODE) != O_RDONLY)
		return false;
	int fd = view_file(target->mm, view, pid);

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

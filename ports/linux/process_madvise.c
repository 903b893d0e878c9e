/* SPDX-License-Identifier: MIT */
/*
 * process_madvise(2): advice for the memory of a process that a pidfd names, range by range,
 * up to the first that fails.  To itself a process may say whatever madvise knows (since Linux
 * 6.13), to others what changes no contents, with CAP_SYS_NICE and the right to look at them.
 * Order of the checks: Linux mm/madvise.c, kernel/fork.c (mm_access), lib/iov_iter.c.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "internal.h"

#define ADVICE_COLD 20 /* from asm-generic/mman-common.h: not in every libc */
#define ADVICE_PAGEOUT 21
#define ADVICE_COLLAPSE 25
#define PIDFD_SELF_THREAD_ (-10000)
#define PIDFD_SELF_THREAD_GROUP_ (-10001)
#define RANGES_MAX 1024                   /* UIO_MAXIOV */
#define BYTES_MAX (0x7ffffffful & ~0xffful) /* MAX_RW_COUNT */

/* The process of a descriptor of the caller's, or -EBADF, -ESRCH. */
static pid_t pid_of_pidfd(struct task *task, int fd)
{
	char path[64], line[128];
	pid_t pid = -EBADF;

	if (fd == PIDFD_SELF_THREAD_ || fd == PIDFD_SELF_THREAD_GROUP_)
		return task->tgid;
	int ours = fd < 0 ? -EBADF : task_getfd(task, fd);

	if (ours < 0)
		return -EBADF;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", ours);
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, "Pid:", 4)) {
			pid = (pid_t)atol(line + 4);
			pid = pid > 0 ? pid : -ESRCH;
		}
	if (f)
		fclose(f);
	close(ours);
	return pid;
}

/* The four ids of a line of status. */
static bool ids_of(const struct task *task, const char *name, unsigned id[4])
{
	char text[128];

	return status_field(task->tid, name, text, sizeof text) &&
	       sscanf(text, "%u %u %u %u", &id[0], &id[1], &id[2], &id[3]) == 4;
}

/* PTRACE_MODE_READ_FSCREDS of ptrace(2): the same user and group in all ids, and dumpable. */
bool task_may_look(const struct task *task, const struct task *target)
{
	unsigned uid[4], gid[4], their_uid[4], their_gid[4];
	struct stat st;
	char path[64];

	if (task->tgid == target->tgid || task_capable(task, CAP_SYS_PTRACE))
		return true;
	if (!ids_of(task, "Uid", uid) || !ids_of(task, "Gid", gid) ||
	    !ids_of(target, "Uid", their_uid) || !ids_of(target, "Gid", their_gid))
		return false;
	for (unsigned i = 0; i < 3; i++)
		if (their_uid[i] != uid[3] || their_gid[i] != gid[3])
			return false;
	/* Of a process that is not dumpable these files are root's. */
	snprintf(path, sizeof path, "/proc/%d/maps", target->tgid);
	return !stat(path, &st) && st.st_uid == their_uid[1];
}

/* The caller's array, checked as a whole: nothing is done where one is not to be. */
static int64_t ranges_get(const struct monitor *mon, const struct task *task, uint64_t at,
			  uint64_t nr, struct iovec *out)
{
	uint64_t total = 0;

	if (nr > RANGES_MAX)
		return -EINVAL;
	if (iovecs_read(mon, task, at, nr, out))
		return -EFAULT;
	for (uint64_t i = 0; i < nr; i++) {
		uint64_t start = (uint64_t)out[i].iov_base, left = BYTES_MAX - total;

		if (out[i].iov_len > INT64_MAX)
			return -EINVAL;
		if (start > GUEST_MAX || out[i].iov_len > GUEST_MAX - start)
			return -EFAULT;
		out[i].iov_len = out[i].iov_len < left ? out[i].iov_len : left;
		total += out[i].iov_len;
	}
	return 0;
}

static int64_t advise_ranges(struct monitor *mon, struct guest_mm *g, const struct iovec *range,
			     uint64_t nr, int advice)
{
	int64_t done = 0, r = 0;

	for (uint64_t i = 0; i < nr; i++) {
		r = mmcall_madvise(mon, g, (uint64_t)range[i].iov_base, range[i].iov_len, advice);
		if (r)
			break;
		done += (int64_t)range[i].iov_len;
	}
	return done ? done : r;
}

int64_t call_process_madvise(struct monitor *mon, struct task *task, const __u64 *arg,
			     bool *out_continue)
{
	struct iovec range[RANGES_MAX];
	int advice = (int)arg[3];
	struct task *target;
	pid_t pid;
	int64_t r = (uint32_t)arg[4] ? -EINVAL : ranges_get(mon, task, arg[1], arg[2], range);

	if (r)
		return r;
	pid = pid_of_pidfd(task, (int)arg[0]);
	if (pid < 0)
		return pid;
	target = task_find(mon, pid);
	if (!target) { /* a process outside */
		*out_continue = true;
		return 0;
	}
	if (!target->mm || target->mm->worker_dead)
		return -ESRCH;
	if (!task_may_look(task, target))
		return -EACCES;
	if (target->mm != task->mm) {
		if (advice != ADVICE_COLD && advice != ADVICE_PAGEOUT &&
		    advice != MADV_WILLNEED && advice != ADVICE_COLLAPSE)
			return -EINVAL;
		if (!task_capable(task, CAP_SYS_NICE))
			return -EPERM;
		if (target->mm->forking)
			return -EAGAIN; /* [PORT-4] */
	}
	return advise_ranges(mon, target->mm, range, arg[2], advice);
}

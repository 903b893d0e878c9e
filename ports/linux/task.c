/* SPDX-License-Identifier: MIT */
/* Guest threads: the table of them, and what we may ask of one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

struct task *task_find(struct monitor *mon, pid_t tid)
{
	struct task *t = mon->tasks[(uint32_t)tid % TASK_HASH];

	while (t && t->tid != tid)
		t = t->hash_next;
	return t;
}

struct task *task_new(struct monitor *mon, pid_t tid)
{
	struct task *t = ondol_kmem_cache_alloc(mon->task_cache, ONDOL_GFP_KERNEL);

	if (!t)
		return NULL;
	memset(t, 0, sizeof *t);
	t->tid = t->tgid = tid;
	t->pidfd = -1;
	t->rlimit_as[0] = t->rlimit_as[1] = UINT64_MAX;
	t->rlimit_data[0] = t->rlimit_data[1] = UINT64_MAX;
	t->hash_next = mon->tasks[(uint32_t)tid % TASK_HASH];
	mon->tasks[(uint32_t)tid % TASK_HASH] = t;
	mon->nr_tasks++;
	return t;
}

/* `g` gets a reference from the task; the old address space loses one. */
void task_set_mm(struct monitor *mon, struct task *task, struct guest_mm *g)
{
	struct guest_mm *old = task->mm;

	if (g)
		g->refs++;
	task->mm = g;
	if (old)
		guest_mm_put(mon, old);
}

void task_gone(struct monitor *mon, struct task *task)
{
	struct task **p = &mon->tasks[(uint32_t)task->tid % TASK_HASH];
	struct guest_mm *g = task->mm;

	while (*p != task)
		p = &(*p)->hash_next;
	*p = task->hash_next;
	mon->nr_tasks--;
	mon->nr_unborn -= task->stopped_at_birth && !task->born;
	if (task->pidfd >= 0)
		close(task->pidfd);
	if (g && g->forking == task->tid)
		fork_failed(mon, task);
	task_set_mm(mon, task, NULL);
	ondol_kmem_cache_free(mon->task_cache, task);
}

int task_pidfd(struct task *task)
{
	if (task->pidfd < 0)
		task->pidfd = (int)syscall(SYS_pidfd_open_, task->tgid, 0);
	return task->pidfd;
}

/* The same file, opened once more as it was: all that a mapping needs of it. */
static int reopen(const struct task *task, int fd)
{
	char path[64];
	int flags = 0, mine;

	snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", task->tid, fd);
	FILE *f = fopen(path, "re");

	if (!f)
		return -EBADF;
	if (fscanf(f, "pos: %*d flags: %o", (unsigned *)&flags) != 1)
		flags = O_RDONLY;
	fclose(f);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", task->tid, fd);
	mine = open(path, (flags & (O_ACCMODE | O_PATH | O_DIRECT)) | O_CLOEXEC | O_NONBLOCK |
			  O_NOCTTY);
	return mine < 0 ? -errno : mine;
}

/* Our own copy of the guest's descriptor `fd` (the same open file), or -errno. */
int task_getfd(struct task *task, int fd)
{
	int pidfd = task_pidfd(task);

	if (pidfd < 0)
		return -errno;
	int mine = (int)syscall(SYS_pidfd_getfd_, pidfd, fd, 0);

	if (mine < 0 && errno == EPERM) /* a container's filter, which ptrace passes */
		return reopen(task, fd);
	return mine < 0 ? -errno : mine;
}

uid_t task_uid(const struct task *task)
{
	char uids[64];

	return status_field(task->tid, "Uid", uids, sizeof uids) ? (uid_t)atol(uids) : (uid_t)-1;
}

bool task_capable(const struct task *task, unsigned cap)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, task->tid };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return !syscall(SYS_capget, &header, data) &&
	       (data[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap));
}

bool status_field(pid_t pid, const char *name, char *value, size_t size)
{
	char path[64], line[576];
	size_t length = strlen(name);
	bool found = false;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof line, f)) {
		found = !strncmp(line, name, length) && line[length] == ':';
		if (found)
			snprintf(value, size, "%s", line + length + 1);
	}
	fclose(f);
	return found;
}

char thread_state(pid_t tid)
{
	char path[64], text[256], *at;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof text - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	at = strrchr(text, ')');
	return at && at[1] == ' ' ? at[2] : 0;
}

bool thread_is_dead(pid_t tid)
{
	char state = thread_state(tid);

	return !state || state == 'Z' || state == 'X';
}

void task_kill(struct monitor *mon, struct task *task, int sig)
{
	(void)mon;
	kill(task->tgid, sig);
}

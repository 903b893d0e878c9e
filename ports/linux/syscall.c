/* SPDX-License-Identifier: MIT */
/*
 * System calls that come to us by seccomp's USER_NOTIF: the answers' channel, and the calls
 * that are not memory calls themselves (opens of /proc texts, futexes, limits).
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "i386.h"

void notif_reply(struct monitor *mon, uint64_t id, int64_t result)
{
	struct seccomp_notif_resp reply = { .id = id };

	ready_restore(mon);
	if (result < 0 && result > -4096)
		reply.error = (int32_t)result;
	else
		reply.val = result;
	ioctl(mon->notif, SECCOMP_IOCTL_NOTIF_SEND, &reply); /* ENOENT: the thread was killed */
}

void notif_continue(struct monitor *mon, uint64_t id)
{
	struct seccomp_notif_resp reply = { .id = id,
					    .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	ready_restore(mon);
	ioctl(mon->notif, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}

int notif_addfd(struct monitor *mon, uint64_t id, int fd, int new_fd, uint32_t flags,
		uint32_t fd_flags)
{
	struct seccomp_notif_addfd add = {
		.id = id,
		.flags = flags,
		.srcfd = (uint32_t)fd,
		.newfd = (uint32_t)new_fd,
		.newfd_flags = fd_flags,
	};
	ready_restore(mon);
	int r = ioctl(mon->notif, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

	return r < 0 ? -errno : r;
}

static void notif_defer(struct monitor *mon, const struct seccomp_notif *notif,
			struct notif_node ***end)
{
	struct notif_node *node = malloc(sizeof *node);
	struct task *task = task_find(mon, (pid_t)notif->pid);

	if (!node) {
		notif_reply(mon, notif->id, -ENOMEM);
		return;
	}
	if (task)
		task->asks = true;
	node->next = NULL;
	node->notif = *notif;
	**end = node;
	*end = &node->next;
}

void notif_late(struct monitor *mon, struct guest_mm *g, const struct seccomp_notif *notif)
{
	notif_defer(mon, notif, &g->late_notifs_end);
}

/* It came while we waited for another one: next time round. */
void notif_early(struct monitor *mon, const struct seccomp_notif *notif)
{
	notif_defer(mon, notif, &mon->early_notifs_end);
}

/* ------------------------------------------------------------------ futex */

/* The kernel cannot wait for a page while it holds these futexes: have it there before. */
static void futex_prefault(struct monitor *mon, struct guest_mm *g, const __u64 *arg, unsigned op)
{
	fault_in(mon, g, arg[0]);
	if (op == FUTEX_WAKE_OP || op == FUTEX_CMP_REQUEUE_PI)
		fault_in(mon, g, arg[4]);
}

static bool futex_cannot_wait(unsigned op)
{
	return op == FUTEX_WAKE_OP || op == FUTEX_CMP_REQUEUE_PI || op == FUTEX_LOCK_PI2 ||
	       (op >= FUTEX_LOCK_PI && op <= FUTEX_TRYLOCK_PI);
}

/* Threads that wait on one word wait on another then, and nobody is told which. */
static bool futex_moves_waiters(unsigned op)
{
	return op == FUTEX_REQUEUE || op == FUTEX_CMP_REQUEUE || op == FUTEX_WAIT_REQUEUE_PI ||
	       op == FUTEX_CMP_REQUEUE_PI;
}

static void futex_call(struct monitor *mon, struct task *task, const __u64 *arg)
{
	unsigned op = (unsigned)arg[1] & FUTEX_CMD_MASK;

	if (!(arg[1] & FUTEX_PRIVATE_FLAG))
		swap_note_futex(task, arg[0]);
	if (!(arg[1] & FUTEX_PRIVATE_FLAG) && futex_moves_waiters(op))
		mon->frames_held = true;
	if (futex_cannot_wait(op))
		futex_prefault(mon, task->mm, arg, op);
}

/* ------------------------------------------------------------------ limits */

static uint64_t *limit_of(struct task *task, unsigned resource)
{
	return resource == RLIMIT_AS ? task->rlimit_as : task->rlimit_data;
}

static void limit_apply(struct monitor *mon, struct task *task, unsigned resource,
			const uint64_t value[2])
{
	for_each_task(mon, t)
		if (t->tgid == task->tgid)
			memcpy(limit_of(t, resource), value, 2 * sizeof *value);
	limits_refresh(mon, task, task->mm);
}

static int limit_may(const struct task *task, const uint64_t now[2], const uint64_t value[2])
{
	if (value[0] > value[1])
		return -EINVAL;
	return value[1] > now[1] && !task_capable(task, CAP_SYS_RESOURCE) ? -EPERM : 0;
}

/* getrlimit, setrlimit and prlimit64 of RLIMIT_AS and RLIMIT_DATA, which are ours to keep. */
static int64_t limit_call(struct monitor *mon, struct task *task, const struct seccomp_data *data,
			  bool *out_continue)
{
	bool both = data->nr == SYS_prlimit64;
	unsigned resource = (unsigned)data->args[both ? 1 : 0];
	uint64_t set_at = both ? data->args[2] : data->nr == SYS_setrlimit ? data->args[1] : 0;
	uint64_t get_at = both ? data->args[3] : data->nr == SYS_getrlimit ? data->args[1] : 0;
	struct task *target = task;
	uint64_t value[2], *limit;

	if (both && data->args[0] && (pid_t)data->args[0] != task->tgid)
		target = task_find(mon, (pid_t)data->args[0]);
	if (!target || !target->mm) {
		*out_continue = true;
		return 0;
	}
	if (resource == RLIMIT_STACK) { /* the host's; it is read when a stack is to grow */
		target->mm->stack_limit_moved |= set_at != 0;
		*out_continue = true;
		return 0;
	}
	limit = limit_of(target, resource);
	if (set_at) {
		uint64_t old[2] = { limit[0], limit[1] };
		int r = ondol_copy_from_user(task->mm->mm, value, set_at, sizeof value);

		if (!r)
			r = limit_may(task, limit, value);
		if (r)
			return r;
		if (get_at && (r = ondol_copy_to_user(task->mm->mm, get_at, old, sizeof old)))
			return r;
		limit_apply(mon, target, resource, value);
		return 0;
	}
	if (get_at)
		return ondol_copy_to_user(task->mm->mm, get_at, limit, 2 * sizeof *limit);
	return 0;
}

/*
 * setrlimit and getrlimit with 32-bit numbers, of which UINT32_MAX says no limit; a larger one is
 * told as `most`.
 */
int64_t limit_call32(struct monitor *mon, struct task *task, bool set, uint32_t most,
		     const __u64 *arg, bool *out_continue)
{
	unsigned resource = (unsigned)arg[0];
	const uint64_t *limit = limit_of(task, resource);
	uint32_t narrow[2];
	uint64_t value[2];

	if (resource != RLIMIT_AS && resource != RLIMIT_DATA) { /* RLIMIT_STACK: see above */
		task->mm->stack_limit_moved |= set;
		*out_continue = true;
		return 0;
	}
	if (!set) {
		for (unsigned i = 0; i < 2; i++)
			narrow[i] = limit[i] < most ? (uint32_t)limit[i] : most;
		return ondol_copy_to_user(task->mm->mm, arg[1], narrow, sizeof narrow);
	}
	int r = ondol_copy_from_user(task->mm->mm, narrow, arg[1], sizeof narrow);

	for (unsigned i = 0; !r && i < 2; i++)
		value[i] = narrow[i] == UINT32_MAX ? RLIM64_INFINITY : narrow[i];
	if (!r)
		r = limit_may(task, limit, value);
	if (!r)
		limit_apply(mon, task, resource, value);
	return r;
}

/* ------------------------------------------------------------------ sysinfo */

/* The host's uptime, loads and processes; memory as /proc/meminfo tells it. */
int sysinfo_fill(struct monitor *mon, struct sysinfo *out)
{
	struct ondol_machine_stats s;
	struct ondol_swap_stats swap;

	if (sysinfo(out))
		return -errno;
	ondol_machine_stats(mon->machine, &s);
	ondol_swap_stats(mon->machine, &swap);
	out->totalram = (s.pages_total - s.pages[ONDOL_PAGE_RESERVED]) * PAGE_BYTES;
	out->freeram = s.pages_free * PAGE_BYTES;
	out->sharedram = out->bufferram = 0;
	out->totalswap = swap.total * PAGE_BYTES;
	out->freeswap = swap.free * PAGE_BYTES;
	out->totalhigh = out->freehigh = 0;
	out->mem_unit = 1;
	return 0;
}

static int64_t sysinfo_call(struct monitor *mon, struct task *task, uint64_t at)
{
	struct sysinfo info;
	int r = sysinfo_fill(mon, &info);

	return r ? r : ondol_copy_to_user(task->mm->mm, at, &info, sizeof info);
}

/* ------------------------------------------------------------------ exec */

/*
 * An exec is the host's, and taken over when it has happened: too late for a program that we
 * cannot run.  So those are refused before, as by a kernel that cannot run them either.
 */
static bool exec_refused(const struct monitor *mon, struct task *task,
			 const struct seccomp_data *data)
{
	const unsigned char other = mon->i386 ? EM_X86_64 : EM_386;
	bool at = data->nr == SYS_execveat;
	char name[PATH_MAX], path[PATH_MAX + 64];
	unsigned char head[20]; /* up to e_machine, which is what the kernel goes by */
	int fd;

	if (ondol_strncpy_from_user(task->mm->mm, name, data->args[at ? 1 : 0], sizeof name) < 0)
		return false;
	if (!strncmp(name, "/proc/self/", 11)) /* not ours */
		snprintf(path, sizeof path, "/proc/%d/%s", task->tgid, name + 11);
	else if (name[0] == '/')
		snprintf(path, sizeof path, "/proc/%d/root%s", task->tid, name);
	else if (at && (int)data->args[0] != AT_FDCWD)
		snprintf(path, sizeof path, "/proc/%d/fd/%d%s%s", task->tid, (int)data->args[0],
			 *name ? "/" : "", name);
	else
		snprintf(path, sizeof path, "/proc/%d/cwd/%s", task->tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, head, sizeof head);

	close(fd);
	return n == (ssize_t)sizeof head && !memcmp(head, ELFMAG, SELFMAG) && head[18] == other &&
	       !head[19];
}

/* PR_SET_THP_DISABLE and PR_GET_THP_DISABLE: prctl(2). */
static int64_t thp_call(struct task *task, const __u64 *arg)
{
	struct ondol_mm_struct *mm = task->mm->mm;

	if (arg[2] || arg[3] || arg[4] || ((int)arg[0] == PR_GET_THP_DISABLE && arg[1]))
		return -EINVAL;
	if ((int)arg[0] == PR_GET_THP_DISABLE)
		return ondol_mm_thp_disabled(mm);
	ondol_mm_set_thp_disabled(mm, arg[1] != 0);
	return 0;
}

/* ------------------------------------------------------------------ dispatch */

bool is_memory_call(int nr)
{
	switch (nr) {
	case SYS_mmap:
	case SYS_munmap:
	case SYS_mprotect:
	case SYS_pkey_mprotect:
	case SYS_brk:
	case SYS_mremap:
	case SYS_msync:
	case SYS_mincore:
	case SYS_madvise:
	case SYS_process_madvise_:
	case SYS_remap_file_pages:
	case SYS_mseal_:
	case SYS_mlock:
	case SYS_mlock2:
	case SYS_munlock:
	case SYS_mlockall:
	case SYS_munlockall:
	case SYS_shmat:
	case SYS_shmdt:
		return true;
	}
	return false;
}

static int64_t memory_call(struct monitor *mon, struct task *task, const struct seccomp_data *data,
			   bool *out_native)
{
	mon->stats.calls++;
	const __u64 *arg = data->args;
	int64_t r = mmcall(mon, task, data, out_native);

	ready_note(mon, task->mm, arg[0], arg[0] + arg[1]);
	if (r > 0 && data->nr == SYS_mmap)
		ready_note(mon, task->mm, (uint64_t)r, (uint64_t)r + arg[1]);
	else if (r > 0 && data->nr == SYS_mremap)
		ready_note(mon, task->mm, (uint64_t)r, (uint64_t)r + arg[2]);
	else if (data->nr == SYS_shmat) /* it is as long as its segment */
		ready_note(mon, task->mm, 0, mon->space->end);
	trace(mon, "call %d: %d(%#llx, %#llx, %#llx, %#llx) = %#llx", task->tid, data->nr,
	      data->args[0], data->args[1], data->args[2], data->args[3], (long long)r);
	return r;
}

static bool is_our_limit(const struct seccomp_data *data)
{
	unsigned resource = (unsigned)data->args[data->nr == SYS_prlimit64 ? 1 : 0];

	return resource == RLIMIT_AS || resource == RLIMIT_DATA || resource == RLIMIT_STACK;
}

/* What is not a memory call.  *out_native: the host does it, as it would without us. */
static int64_t other_call(struct monitor *mon, struct task *task, const struct seccomp_data *data,
			  bool *out_native)
{
	switch (data->nr) {
	case SYS_prlimit64:
	case SYS_getrlimit:
	case SYS_setrlimit:
		if (is_our_limit(data))
			return limit_call(mon, task, data, out_native);
		break;
	case SYS_set_mempolicy:
	case SYS_get_mempolicy:
	case SYS_mbind:
	case SYS_migrate_pages:
	case SYS_move_pages:
		mon->stats.calls++;
		return numa_call(mon, task, data);
	case SYS_execve:
	case SYS_execveat:
		*out_native = !exec_refused(mon, task, data);
		return -ENOEXEC;
	case SYS_prctl:
		if ((int)data->args[0] == PR_SET_THP_DISABLE ||
		    (int)data->args[0] == PR_GET_THP_DISABLE)
			return thp_call(task, data->args);
		break;
	case SYS_sysinfo:
		return sysinfo_call(mon, task, data->args[0]);
	case SYS_sched_setaffinity:
	case SYS_sched_getaffinity:
		return place_call(mon, task, data, out_native);
	case SYS_futex:
		futex_call(mon, task, data->args);
		break;
	case SYS_futex_waitv_:
	case SYS_futex_wait_:
	case SYS_futex_requeue_:
		mon->frames_held = true; /* several words, or another each time */
		break;
	case SYS_vmsplice:
		task->mm->frames_held = true;
		break;
	case SYS_fcntl:
		if (data->args[1] == F_SETFL && (data->args[2] & O_DIRECT))
			task->mm->frames_held = true;
		break;
	}
	*out_native = true; /* some are here for their buffers alone */
	return 0;
}

static bool is_open(int nr)
{
	return nr == SYS_open || nr == SYS_openat || nr == SYS_openat2_;
}

static void serve(struct monitor *mon, struct task *task, const struct seccomp_notif *notif)
{
	const struct seccomp_data *data = &notif->data;
	bool native = false;
	int64_t r = 0;

	numa_serve_as(mon, task, task->tid);
	if (is_open(data->nr)) {
		mon->stats.opens++;
		swap_note_open(task, data);
		if (procfs_open(mon, task, notif))
			return;
		native = true;
	} else if (is_memory_call(data->nr)) {
		r = memory_call(mon, task, data, &native);
	} else {
		r = other_call(mon, task, data, &native);
	}
	if (!native)
		notif_reply(mon, notif->id, r);
	else if (task->tid != (pid_t)notif->pid || !buffers_in(mon, task, data))
		notif_continue(mon, notif->id);
	else if (oom_fault(mon, task, data->args[0])) /* a frame will come */
		notif_early(mon, notif);
}

static void serve_i386(struct monitor *mon, struct task *task, const struct seccomp_notif *notif)
{
	struct seccomp_notif same = *notif;
	bool native = false;
	int64_t r = -ENOSYS;

	if (notif->data.arch == I386_TRANSLATED) { /* once more */
		serve(mon, task, notif);
		return;
	}
	if (notif->data.arch == AUDIT_ARCH_I386 &&
	    !i386_serve(mon, task, &notif->data, &r, &native)) {
		r = i386_translate(task, &same.data);
		if (!r) {
			serve(mon, task, &same);
			return;
		}
	}
	if (native)
		notif_continue(mon, notif->id);
	else
		notif_reply(mon, notif->id, r);
}

/*
 * Who calls.  One made with CLONE_UNTRACED is no task of ours: then one with its memory.  (Its
 * buffers trap, since only under `uffd` it may be untraced; its waits cannot be interrupted.)
 */
static struct task *caller(struct monitor *mon, pid_t pid)
{
	struct task *task = task_find(mon, pid);

	if (task)
		return task;
	for_each_task(mon, t)
		if (t->mm && !syscall(SYS_kcmp, pid, t->tid, KCMP_VM, 0, 0))
			return t;
	return NULL;
}

/* An address space that the call needs and that is being copied [PORT-4], or NULL. */
static struct guest_mm *forking_of(struct monitor *mon, const struct task *task,
				   const struct seccomp_data *data)
{
	const long nr = data->arch == AUDIT_ARCH_I386 ? i386_number(data->nr) : data->nr;
	struct task *target = NULL;

	if (task->mm->forking)
		return task->mm;
	if (nr == SYS_process_vm_readv || nr == SYS_process_vm_writev)
		target = task_find(mon, (pid_t)data->args[0]);
	return target && target->mm && target->mm->forking ? target->mm : NULL;
}

void notif_serve(struct monitor *mon, const struct seccomp_notif *notif)
{
	struct task *task = caller(mon, (pid_t)notif->pid);

	if (notif->data.nr == STUB_CALL_HELLO || notif->data.nr == STUB_CALL_BOOT) {
		notif_reply(mon, notif->id, -ENOSYS); /* a program's own idea */
		return;
	}
	if (!task || !task->mm || task->mm->worker_dead) {
		/* Before its first exec, the program-to-be is still a copy of the monitor. */
		if (task && !task->mm)
			notif_continue(mon, notif->id);
		else
			notif_reply(mon, notif->id, -ENOMEM);
		return;
	}
	mon->current = (pid_t)notif->pid;
	task->asks = false;
	task->nr_pins = 0; /* it is out of its last call */
	struct guest_mm *forking = forking_of(mon, task, &notif->data);

	if (forking) {
		notif_late(mon, forking, notif);
		return;
	}
	struct guest_mm *outer = mon->serving;

	mon->serving = task->mm;
	if (mon->i386)
		serve_i386(mon, task, notif);
	else
		serve(mon, task, notif);
	mon->serving = outer;
}

/* Those there are; what comes back meanwhile waits for the next round. */
void notif_serve_early(struct monitor *mon)
{
	struct notif_node *node = mon->early_notifs;

	mon->early_notifs = NULL;
	mon->early_notifs_end = &mon->early_notifs;
	while (node) {
		struct notif_node *after = node->next;

		notif_serve(mon, &node->notif);
		free(node);
		node = after;
	}
}

void notif_events(struct monitor *mon)
{
	struct pollfd p = { .fd = mon->notif, .events = POLLIN };
	struct seccomp_notif notif;

	/*
	 * Receiving waits for one to come.  The main loop has been told of one, and one whose
	 * caller has died since is ENOENT; but a nested wait may have taken it.
	 */
	if (mon->notif_taken && poll(&p, 1, 0) <= 0)
		return;
	memset(&notif, 0, sizeof notif);
	if (!ioctl(mon->notif, SECCOMP_IOCTL_NOTIF_RECV, &notif))
		notif_serve(mon, &notif);
}

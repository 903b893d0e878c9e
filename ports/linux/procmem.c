/* SPDX-License-Identifier: MIT */
/*
 * The files of /proc/PID that are no text: pagemap, which is read, and clear_refs, which is
 * written.
 *
 * pagemap is a sparse memory file of eight bytes a page of the whole address space, as it was when
 * it was opened.  Frame numbers are the machine's, and for who has CAP_SYS_ADMIN alone, as on
 * Linux; of what the host maps (VM_NATIVE) the host's bits are told without its frame.
 *
 * clear_refs is a pipe whose reader we are.  What was written must have been done before the writer
 * goes on, since accesses that come after it count again and most of them are not seen by anybody:
 * so the thread that opened it is stopped at its system calls as long as the pipe has writers, and
 * the pipe is emptied at each.  Who else writes (a relative that inherited it) is served when the
 * pipe wakes us, and in any case before a text of /proc is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "i386.h"

#define PM_FRAME ((UINT64_C(1) << 55) - 1)

/* ------------------------------------------------------------------ pagemap */

struct pagemap {
	int fd;
	int host; /* the host's, or -1 */
	bool frames;
	int error;
};

static int pagemap_put(struct pagemap *p, uint64_t start, const uint64_t *entries, uint32_t nr)
{
	ssize_t size = (ssize_t)(nr * sizeof *entries);

	if (pwrite(p->fd, entries, (size_t)size, (off_t)(start / PAGE_BYTES * 8)) != size)
		p->error = errno ? -errno : -EIO;
	return p->error;
}

static int pagemap_visit(void *ctx, ondol_virt_addr_t start, const uint64_t *entries, uint32_t nr)
{
	struct pagemap *p = ctx;
	uint64_t hidden[64];

	if (p->frames)
		return pagemap_put(p, start, entries, nr);
	for (uint32_t i = 0; i < nr; i++)
		hidden[i] = entries[i] & ~PM_FRAME;
	return pagemap_put(p, start, hidden, nr);
}

static int pagemap_native(void *ctx, const struct ondol_vma_info *vma)
{
	struct pagemap *p = ctx;
	uint64_t entries[64];

	if (!(vma->vm_flags & ONDOL_VM_NATIVE) || p->host < 0)
		return 0;
	for (uint64_t at = vma->start; at < vma->end && !p->error; at += 64 * PAGE_BYTES) {
		ssize_t n = pread(p->host, entries, sizeof entries, (off_t)(at / PAGE_BYTES * 8));
		uint64_t nr = n > 0 ? (uint64_t)n / 8 : 0, left = (vma->end - at) / PAGE_BYTES;

		for (uint64_t i = 0; i < nr; i++)
			entries[i] &= ~PM_FRAME;
		if (nr)
			pagemap_put(p, at, entries, (uint32_t)(nr < left ? nr : left));
	}
	return p->error;
}

int pagemap_open(struct task *task, struct task *target)
{
	struct pagemap p = { .fd = memfd_create(VIEW_NAME, MFD_CLOEXEC), .host = -1,
			     .frames = task_capable(task, CAP_SYS_ADMIN) };
	char path[64];
	int fd;

	if (p.fd < 0)
		return -errno;
	if (ftruncate(p.fd, (off_t)(GUEST_MAX / PAGE_BYTES + 1) * 8))
		p.error = -errno;
	if (target->mm->nr_native_maps || !p.error) {
		snprintf(path, sizeof path, "/proc/%d/pagemap", target->tid);
		p.host = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (!p.error)
		p.error = ondol_pagemap(target->mm->mm, pagemap_visit, &p);
	if (!p.error)
		ondol_for_each_vma(target->mm->mm, pagemap_native, &p);
	snprintf(path, sizeof path, "/proc/self/fd/%d", p.fd);
	fd = p.error ? p.error : open(path, O_RDONLY | O_CLOEXEC);
	if (!p.error && fd < 0)
		fd = -errno;
	if (p.host >= 0)
		close(p.host);
	close(p.fd);
	return fd;
}

/* ------------------------------------------------------------------ clear_refs */

struct refs_sink {
	struct refs_sink *next;
	int fd;         /* to be read from */
	uint32_t mm_id; /* whose */
	pid_t opener;
	int error; /* of what was written last, for the opener */
};

/* The write end of a sink for what is said of `target`. */
int clear_refs_open(struct monitor *mon, struct task *task, struct task *target)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &mon->refs };
	struct refs_sink *sink = malloc(sizeof *sink);
	int ends[2];

	if (!sink)
		return -ENOMEM;
	if (pipe2(ends, O_CLOEXEC)) {
		int error = errno;
		free(sink);
		return -error;
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	*sink = (struct refs_sink){ mon->refs, ends[0], target->mm->id, task->tid, 0 };
	mon->refs = sink;
	epoll_ctl(mon->epoll, EPOLL_CTL_ADD, ends[0], &event); /* else only the texts see to it */
	/* It waits for our answer, so it stops before it is back in the program. */
	task->watched = true;
	ptrace(PTRACE_INTERRUPT, task->tid, NULL, NULL);
	return ends[1];
}

static int refs_clear(struct monitor *mon, uint32_t mm_id, const char *text)
{
	char *end;
	long what = strtol(text, &end, 10);

	while (*end == ' ' || *end == '\n' || *end == '\t')
		end++;
	if (end == text || *end || what < 1 || what > ONDOL_CLEAR_REFS_HIWATER_RSS)
		return -EINVAL;
	for (struct guest_mm *g = mon->mms; g; g = g->next)
		if (g->id == mm_id && !g->worker_dead && !g->forking)
			return ondol_clear_refs(g->mm, (enum ondol_clear_refs)what);
	return 0;
}

/* What was written into this one.  Whether who may write is still there. */
static bool sink_drain(struct monitor *mon, struct refs_sink *sink)
{
	char text[32];
	ssize_t n;

	while ((n = read(sink->fd, text, sizeof text - 1)) > 0) {
		text[n] = 0;
		sink->error = refs_clear(mon, sink->mm_id, text);
	}
	return n < 0 && errno == EAGAIN;
}

void refs_drain(struct monitor *mon)
{
	struct refs_sink **p = &mon->refs;

	while (*p) {
		struct refs_sink *sink = *p;

		if (sink_drain(mon, sink)) {
			p = &sink->next;
			continue;
		}
		*p = sink->next;
		close(sink->fd);
		free(sink);
	}
}

void refs_watch(struct monitor *mon, struct task *task)
{
	struct user_regs_struct regs;
	int error = 0;

	if (!task->watched)
		return;
	refs_drain(mon);
	task->watched = false;
	for (struct refs_sink *sink = mon->refs; sink; sink = sink->next)
		if (sink->opener == task->tid) {
			task->watched = true;
			error = sink->error;
			sink->error = 0;
		}
	if (!error || get_regs(task->tid, &regs) || call_number(mon, &regs) != SYS_write ||
	    (long long)regs.rax == -ENOSYS) /* before the call: what another has written */
		return;
	regs.rax = (unsigned long long)(long long)error;
	set_regs(task->tid, &regs);
}

void refs_destroy(struct monitor *mon)
{
	while (mon->refs) {
		struct refs_sink *sink = mon->refs;

		mon->refs = sink->next;
		close(sink->fd);
		free(sink);
	}
}

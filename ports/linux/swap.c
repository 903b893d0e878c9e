/* SPDX-License-Identifier: MIT */
/*
 * The machine's swap: a file of the host's, and compressed memory of the machine's own; what may
 * not go there now; and what is told of it.
 *
 * The file is laid out as Linux's: a page whose end says SWAPSPACE2, as mkswap writes it, then the
 * slots.  A file that holds anything else is somebody's, and refused.
 *
 * Frames that the host's kernel has a hold of must stay where they are, though it cannot be asked
 * which.  What is known beforehand: a thread that waits on a futex which is not PRIVATE (that of
 * pthread_join is such) waits on a place in a frame, since all of a guest's memory is a shared file
 * to the host.  So the page of the last one of each thread stays.  And who opens a file with
 * O_DIRECT, or uses vmsplice, has the host's devices and pipes look at frames: of its address
 * space, and of those that are forked from it, only clean pages of files are taken any more.
 * Of everybody's, where it is not known whose frames they are: waiters that are moved from one such
 * futex to another (FUTEX_REQUEUE) or wait on several (futex_waitv), and a descriptor with O_DIRECT
 * that was there before the run.  One that comes through a socket is not seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define PRIORITY_FILE (-2) /* Linux's first: below what is asked for by name */
#define PRIORITY_ZRAM 100

#define SIGNATURE "SWAPSPACE2"
#define SIGNATURE_AT (PAGE_BYTES - 10)

struct swap_header { /* after 1024 bytes left to boot loaders; Linux: union swap_header */
	uint32_t version, last_page, nr_badpages;
};

static bool is_swap_file(int fd)
{
	char text[10];

	return pread(fd, text, sizeof text, SIGNATURE_AT) == (ssize_t)sizeof text &&
	       !memcmp(text, SIGNATURE, sizeof text);
}

/* 0 or -errno: room for `bytes`, with a header if it is new. */
static int file_prepare(int fd, bool empty, uint64_t bytes)
{
	struct swap_header header = { .version = 1,
				      .last_page = (uint32_t)(bytes / PAGE_BYTES - 1) };
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < bytes) {
		/* All of it now: a full disk shall not show when memory is short. */
		if (fallocate(fd, 0, 0, (off_t)bytes) &&
		    (errno != EOPNOTSUPP || ftruncate(fd, (off_t)bytes)))
			return -errno;
	}
	if (!empty)
		return 0;
	if (pwrite(fd, &header, sizeof header, 1024) != (ssize_t)sizeof header ||
	    pwrite(fd, SIGNATURE, 10, SIGNATURE_AT) != 10)
		return errno ? -errno : -EIO;
	return 0;
}

/* What is wrong with the file, told; true: swap_fd and swap_pages are set. */
static bool file_open(struct monitor *mon, bool *out_empty)
{
	const char *path = mon->options->swap_file;
	uint64_t bytes = mon->options->swap_bytes & ~(PAGE_BYTES - 1);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	off_t size;

	if (fd < 0) {
		monitor_warn("--swap %s: %s", path, strerror(errno));
		return false;
	}
	mon->swap_fd = fd;
	size = lseek(fd, 0, SEEK_END);
	if (size < 0) {
		monitor_warn("--swap %s: want a file or a disk", path);
		return false;
	}
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		monitor_warn("--swap %s: another run uses it", path);
		return false;
	}
	if (size && !is_swap_file(fd)) {
		monitor_warn("--swap %s: it holds something else; want a file that is new, "
			     "empty, or made by mkswap", path);
		return false;
	}
	if (!bytes)
		bytes = (uint64_t)size & ~(PAGE_BYTES - 1);
	if (bytes < 2 * PAGE_BYTES) {
		monitor_warn("--swap %s: how large? Try: --swap %s:1G", path, path);
		return false;
	}
	mon->swap_pages = bytes / PAGE_BYTES - 1;
	*out_empty = !size;
	return true;
}

/* ------------------------------------------------------------------ the file's pages */

static off_t slot_at(uint64_t slot)
{
	return (off_t)((slot + 1) * PAGE_BYTES);
}

/* The first is told; what comes of it is the program's SIGBUS, or a page that stays. */
static int file_error(struct monitor *mon, uint64_t slot, const char *what)
{
	if (!mon->stats.swap_errors++)
		monitor_warn("--swap %s: page %llu cannot be %s: %s", mon->options->swap_file,
			     (unsigned long long)slot, what,
			     errno ? strerror(errno) : "the file has been cut");
	return -ONDOL_EIO;
}

static int file_write(void *ctx, uint64_t slot, const void *host)
{
	struct monitor *mon = ctx;

	errno = 0;
	if (pwrite(mon->swap_fd, host, PAGE_BYTES, slot_at(slot)) == (ssize_t)PAGE_BYTES)
		return 0;
	return file_error(mon, slot, "written");
}

static int file_read(void *ctx, uint64_t slot, void *host)
{
	struct monitor *mon = ctx;

	errno = 0;
	if (pread(mon->swap_fd, host, PAGE_BYTES, slot_at(slot)) == (ssize_t)PAGE_BYTES)
		return 0;
	return file_error(mon, slot, "read");
}

static void file_release(void *ctx)
{
	struct monitor *mon = ctx;

	close(mon->swap_fd);
	mon->swap_fd = -1;
}

static const struct ondol_swap_ops file_ops = {
	.size = sizeof(struct ondol_swap_ops),
	.write_page = file_write,
	.read_page = file_read,
	.release = file_release,
};

static bool told(const char *what, int r)
{
	if (r)
		monitor_warn("%s: %s", what,
			     r == -ONDOL_ENOMEM ? "no memory for its table; give the machine more "
						  "with --mem, or make it smaller" :
						  strerror(-r));
	return !r;
}

bool swap_create(struct monitor *mon)
{
	const struct ondol_linux_options *o = mon->options;
	struct ondol_swap_args args = { .size = sizeof args, .priority = PRIORITY_FILE,
					.name = o->swap_file, .ops = &file_ops, .ctx = mon };
	char path[PATH_MAX];
	bool empty;

	mon->swap_fd = -1;
	if (o->zram_bytes &&
	    !told("--zram", ondol_zram_add(mon->machine, o->zram_bytes / PAGE_BYTES,
					   PRIORITY_ZRAM)))
		return false;
	if (!o->swap_file)
		return true;
	if (!file_open(mon, &empty))
		return false;
	args.nr_pages = mon->swap_pages;
	if (realpath(o->swap_file, path))
		args.name = path; /* as /proc/swaps has it */
	/* The disk last: it is not filled for nothing. */
	return told("--swap", ondol_swap_add(mon->machine, &args)) &&
	       told(o->swap_file, file_prepare(mon->swap_fd, empty,
					       (mon->swap_pages + 1) * PAGE_BYTES));
}

/* ------------------------------------------------------------------ what must stay */

void swap_note_futex(struct task *task, uint64_t addr)
{
	task->futex_page = addr & ~(PAGE_BYTES - 1);
}

void swap_note_open(struct task *task, const struct seccomp_data *data)
{
	uint64_t flags = data->args[data->nr == SYS_open ? 1 : 2];
	struct open_how how;

	if (data->nr == SYS_openat2_)
		flags = ondol_copy_from_user(task->mm->mm, &how, data->args[2], sizeof how) ? 0 :
										       how.flags;
	if (flags & O_DIRECT)
		task->mm->frames_held = true;
}

bool frames_change(const struct ondol_linux_options *options)
{
	return options->swap_file || options->zram_bytes || options->compact || options->ksm_pages;
}

bool swap_busy(struct monitor *mon, const struct guest_mm *g, uint64_t start, uint64_t end)
{
	if (!frames_change(mon->options))
		return true;
	if (mon->frames_held || g->frames_held)
		return true;
	for_each_task(mon, t)
		if (t->mm == g && t->futex_page && t->futex_page >= start &&
		    t->futex_page < end)
			return true;
	return false;
}

/* ------------------------------------------------------------------ what is told */

#define LLU(x) ((unsigned long long)(x))
#define KIB(pages) (4ull * (pages))

void swap_summary(struct monitor *mon, FILE *out)
{
	const struct ondol_swap_stats *s = &mon->swap_at_end, *p = &mon->swap_at_peak;

	if (!s->total)
		return;
	fprintf(out, "  swap        %llu KiB, %llu in use at most; %llu pages out, %llu in, "
		"%llu from others' frames\n",
		KIB(s->total), KIB(p->total - p->free), LLU(s->out), LLU(s->in),
		LLU(s->cache_hits));
	if (s->in)
		fprintf(out, "              came back after %.0f others on average; %llu of them "
			"would have stayed with twice the memory\n",
			(double)s->refault_distance_sum / (double)s->in, LLU(s->refaults_near));
	if (mon->options->zram_bytes)
		fprintf(out, "  zram        %llu pages at most, %llu of one word; compressed to "
			"%.1f %% (%.1f %% with the gaps); %llu pages refused\n",
			LLU(p->zram_pages), LLU(p->zram_same),
			p->zram_pages ? 100.0 * (double)p->zram_bytes / 4096 /
						(double)p->zram_pages : 0,
			p->zram_pages ? 100.0 * (double)p->zram_bytes_used / 4096 /
						(double)p->zram_pages : 0,
			LLU(s->zram_refused));
}

void swap_summary_json(struct monitor *mon, FILE *out)
{
	const struct ondol_swap_stats *s = &mon->swap_at_end, *p = &mon->swap_at_peak;

	fprintf(out, ",\"swap\":{\"pages\":%llu,\"peak_used\":%llu,\"out\":%llu,\"in\":%llu,"
		"\"cache_hits\":%llu,\"refaults\":%llu,\"refault_distance_sum\":%llu,"
		"\"refaults_near\":%llu,\"errors\":%llu",
		LLU(s->total), LLU(p->total - p->free), LLU(s->out), LLU(s->in),
		LLU(s->cache_hits), LLU(s->in), LLU(s->refault_distance_sum),
		LLU(s->refaults_near), LLU(mon->stats.swap_errors));
	fprintf(out, ",\"zram_peak\":{\"pages\":%llu,\"same_filled\":%llu,\"bytes\":%llu,"
		"\"bytes_used\":%llu},\"zram_refused\":%llu}",
		LLU(p->zram_pages), LLU(p->zram_same), LLU(p->zram_bytes),
		LLU(p->zram_bytes_used), LLU(s->zram_refused));
}

void swap_sample(struct monitor *mon)
{
	struct ondol_swap_stats now;

	ondol_swap_stats(mon->machine, &now);
	if (now.total - now.free >= mon->swap_at_peak.total - mon->swap_at_peak.free)
		mon->swap_at_peak = now;
	mon->swap_at_end = now;
}

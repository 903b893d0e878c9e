/* SPDX-License-Identifier: MIT */
/*
 * Files behind mappings.  A regular file mapped privately (programs, libraries) has its
 * pages in the core's page cache, one ondol_address_space an inode, read once and shared by
 * every guest.  A shared mapping of a file is left to the host (VM_NATIVE): its pages must
 * stay coherent with read() and write() of the world outside; docs/adr/0002 says more.
 *
 * A cached inode is used again while its times and size are what they were.  A file changed
 * less than RACY_NS before it was cached may change again without its times showing it
 * (git's "racily clean"), so it is not used again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define RACY_NS 200000000ll
#define FILE_HASH (sizeof((struct monitor *)0)->files / sizeof(struct file_object *))
#define FILES_MAX 4000

struct file_object {
	struct file_object *next;
	struct monitor *mon;
	struct ondol_address_space *mapping; /* the table holds one reference */
	dev_t dev;
	ino_t ino;
	off_t size;
	int64_t mtime_ns, ctime_ns;
	int fd;
	bool racy, in_table;
};

static int64_t ns_of(const struct timespec *ts)
{
	return ts->tv_sec * 1000000000ll + ts->tv_nsec;
}

/*
 * Straight from file to memory file, as far as that goes: where our mapping of the frames would
 * have to be faulted in page by page, that costs as much again as the copy.  Bytes done.
 */
static size_t read_directly(const struct file_object *o, uint64_t pgoff, size_t want, void *host)
{
	uint64_t pa = (uint64_t)((unsigned char *)host - o->mon->ram), offset;
	off_t from = (off_t)(pgoff * PAGE_BYTES);
	int index, fd = ram_fd(o->mon, pa / PAGE_BYTES, &offset, &index);
	size_t got = 0;

	if (fd < 0 || ram_is_whole(o->mon, pa, want) || lseek(fd, (off_t)offset, SEEK_SET) < 0)
		return 0;
	while (got < want) {
		ssize_t n = sendfile(fd, o->fd, &from, want - got);

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return got;
}

static int object_read_pages(void *ctx, uint64_t pgoff, uint32_t nr_pages, void *host)
{
	const struct file_object *o = ctx;
	size_t want = nr_pages * PAGE_BYTES, got = read_directly(o, pgoff, want, host);

	while (got < want) {
		ssize_t n = pread(o->fd, (char *)host + got, want - got,
				  (off_t)(pgoff * PAGE_BYTES + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -ONDOL_EIO;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	memset((char *)host + got, 0, want - got);
	return 0;
}

static uint64_t object_size(void *ctx)
{
	const struct file_object *o = ctx;
	struct stat st;

	return fstat(o->fd, &st) ? 0 : (uint64_t)st.st_size;
}

static void object_release(void *ctx)
{
	struct file_object *o = ctx;

	close(o->fd);
	free(o);
}

static const struct ondol_address_space_ops object_ops = {
	.size = sizeof(struct ondol_address_space_ops),
	.read_pages = object_read_pages,
	.size_bytes = object_size,
	.release = object_release,
};

/* Half of the descriptors that we may have: the others are the processes'. */
static uint32_t files_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur / 2 > FILES_MAX)
		return FILES_MAX;
	return (uint32_t)limit.rlim_cur / 2;
}

static struct file_object **bucket_of(struct monitor *mon, dev_t dev, ino_t ino)
{
	return &mon->files[((uint64_t)ino * 31 + dev) % FILE_HASH];
}

static void object_drop(struct monitor *mon, struct file_object *o)
{
	struct file_object **p = bucket_of(mon, o->dev, o->ino);

	while (*p != o)
		p = &(*p)->next;
	*p = o->next;
	mon->nr_files--;
	ondol_address_space_put(o->mapping); /* frees o when nobody maps it */
}

void files_destroy(struct monitor *mon)
{
	for (size_t i = 0; i < FILE_HASH; i++)
		while (mon->files[i])
			object_drop(mon, mon->files[i]);
}

/* An open file of our own: not the guest's, whose locks and flags would be shared. */
static int reopen(int fd)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The address space of the inode behind `fd`, with a reference for the caller. */
static int mapping_get(struct monitor *mon, int fd, const struct stat *st,
		       struct ondol_address_space **out)
{
	struct file_object **bucket = bucket_of(mon, st->st_dev, st->st_ino), *o;
	struct timespec now;

	for (o = *bucket; o; o = o->next)
		if (o->ino == st->st_ino && o->dev == st->st_dev)
			break;
	if (o && !o->racy && o->size == st->st_size && o->mtime_ns == ns_of(&st->st_mtim) &&
	    o->ctime_ns == ns_of(&st->st_ctim)) {
		ondol_address_space_get(o->mapping);
		*out = o->mapping;
		return 0;
	}
	if (o)
		object_drop(mon, o);
	if (mon->nr_files >= files_max())
		files_destroy(mon); /* those in use live on in their mappings */
	o = calloc(1, sizeof *o);
	if (!o)
		return -ENOMEM;
	o->mon = mon;
	o->fd = reopen(fd);
	if (o->fd < 0 && errno == EMFILE && mon->nr_files) {
		files_destroy(mon); /* what only the cache holds open */
		o->fd = reopen(fd);
	}
	if (o->fd < 0)
		o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (o->fd < 0) {
		int error = errno;
		free(o);
		return error == EMFILE ? -ENFILE : -error; /* the limit is not the program's */
	}
	int r = ondol_address_space_create(mon->machine, &object_ops, o, &o->mapping);

	if (r) {
		object_release(o);
		return r;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	o->dev = st->st_dev;
	o->ino = st->st_ino;
	o->size = st->st_size;
	o->mtime_ns = ns_of(&st->st_mtim);
	o->ctime_ns = ns_of(&st->st_ctim);
	o->racy = ns_of(&now) - o->ctime_ns < RACY_NS;
	o->next = *bucket;
	*bucket = o;
	mon->nr_files++;
	ondol_address_space_get(o->mapping);
	*out = o->mapping;
	return 0;
}

static int file_create(struct monitor *mon, const char *name, const struct stat *st,
		       struct ondol_address_space *mapping, struct ondol_file **out_file)
{
	struct ondol_file_args args = {
		.size = sizeof args,
		.name = name,
		.dev_major = major(st->st_dev),
		.dev_minor = minor(st->st_dev),
		.ino = st->st_ino,
		.mapping = mapping,
	};

	return ondol_file_create(mon->machine, &args, out_file);
}

/* The page cache's file for an open descriptor, which is taken over. */
int file_for_path(struct monitor *mon, int fd, const char *path, struct ondol_file **out_file)
{
	struct ondol_address_space *mapping;
	struct stat st;
	int r = fstat(fd, &st) ? -errno : mapping_get(mon, fd, &st, &mapping);

	if (!r) {
		r = file_create(mon, path, &st, mapping, out_file);
		ondol_address_space_put(mapping);
	}
	close(fd);
	return r;
}

/* Files that the kernel makes up have no pages to cache. */
static bool made_up(int fd, const struct stat *st)
{
	struct statfs fs;

	if (st->st_blocks || fstatfs(fd, &fs))
		return false;
	return fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC;
}

/*
 * What a mapping of `fd` (ours) is: *out_anonymous for /dev/zero; *out_native when the host
 * has to map it; else a file of the page cache.  The file is NULL only for anonymous memory.
 */
int file_for_mapping(struct monitor *mon, int fd, bool shared, struct ondol_file **out_file,
		     bool *out_native, bool *out_anonymous)
{
	struct ondol_address_space *mapping = NULL;
	char link[32], path[PATH_MAX];
	struct stat st;

	*out_file = NULL;
	*out_native = *out_anonymous = false;
	if (fstat(fd, &st))
		return -errno;
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 5)) {
		*out_anonymous = true;
		return 0;
	}
	*out_native = shared || !S_ISREG(st.st_mode) || made_up(fd, &st);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);

	path[n < 0 ? 0 : n] = 0;
	if (!strncmp(path, "/memfd:" VIEW_NAME, strlen("/memfd:" VIEW_NAME)))
		return -ENODEV; /* it stands for a file of /proc, which cannot be mapped */
	/* A memory file is its program's to change as it runs; our copy would not follow. */
	*out_native |= !strncmp(path, "/memfd:", strlen("/memfd:"));
	int r = *out_native ? 0 : mapping_get(mon, fd, &st, &mapping);

	if (!r)
		r = file_create(mon, path, &st, mapping, out_file);
	if (mapping)
		ondol_address_space_put(mapping);
	return r;
}

/* A System V segment, which the host has: a file of its own, so that no two regions merge. */
int file_sysv(struct monitor *mon, int shmid, struct ondol_file **out_file)
{
	struct stat st = { .st_dev = makedev(0, 1), .st_ino = (ino_t)(unsigned)shmid };

	return file_create(mon, "/SYSV (shared memory)", &st, NULL, out_file);
}

/* Memory shared between relatives: MAP_SHARED | MAP_ANONYMOUS. */
int file_shmem(struct monitor *mon, uint64_t bytes, struct ondol_file **out_file)
{
	struct ondol_address_space *mapping;
	struct stat st = { .st_dev = makedev(0, 1), .st_ino = ++mon->shmem_ino };
	int r = ondol_address_space_create(mon->machine, NULL, NULL, &mapping);

	if (r)
		return r;
	ondol_shmem_set_size(mapping, (bytes + PAGE_BYTES - 1) / PAGE_BYTES);
	r = file_create(mon, "/dev/zero (deleted)", &st, mapping, out_file);
	ondol_address_space_put(mapping);
	return r;
}

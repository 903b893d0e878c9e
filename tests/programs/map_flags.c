/* SPDX-License-Identifier: MIT */
/* mmap's flags one by one, and the calls around it that are asked for rarely. */
#include "try.h"
#include <linux/mman.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MAP_ABOVE4G
#define MAP_ABOVE4G 0x80
#endif

static unsigned char *const p = (unsigned char *)0x10000000;

/* Below what a mapping lies whose place the system chose. */
static void where(const char *what, void *at)
{
	unsigned long a = (unsigned long)at;

	say("%s: %s\n", what, at == MAP_FAILED ? strerror(errno) :
			      a < 1ul << 31    ? "below 2 GiB" :
			      a < 1ul << 32    ? "below 4 GiB" : "above");
	if (at != MAP_FAILED)
		CHECK(munmap(at, PAGE) == 0);
}

static void placing(void)
{
	where("no flag", mmap(NULL, PAGE, 3, ANON, -1, 0));
	where("MAP_32BIT", mmap(NULL, PAGE, 3, ANON | MAP_32BIT, -1, 0));
	where("MAP_32BIT, 3 GiB", mmap(NULL, 3ul << 30, 3, ANON | MAP_32BIT, -1, 0));
	where("MAP_32BIT, hint", mmap((void *)0x50000000000, PAGE, 3, ANON | MAP_32BIT, -1, 0));
	where("hint", mmap((void *)0x30000000, PAGE, 3, ANON, -1, 0));
	where("MAP_ABOVE4G, hint", mmap((void *)0x500000000, PAGE, 3, ANON | MAP_ABOVE4G, -1, 0));
	if (linux_is(6, 6))
		where("MAP_ABOVE4G, low hint",
		      mmap((void *)0x30000000, PAGE, 3, ANON | MAP_ABOVE4G, -1, 0));
	where("MAP_STACK", mmap(NULL, PAGE, 3, ANON | MAP_STACK, -1, 0));
	where("odd hint", mmap((void *)0x30000123, PAGE, 3, ANON, -1, 0));
	where("low hint", mmap((void *)0x1000, PAGE, 3, ANON, -1, 0));
	where("high hint", mmap((void *)(1ul << 62), PAGE, 3, ANON, -1, 0));
	where("hint beyond 47 bits", mmap((void *)(1ul << 50), PAGE, 3, ANON, -1, 0));
	TRY(mmap((void *)0x30000000, 2 * PAGE, 3, ANON | MAP_FIXED, -1, 0));
	where("hint that is taken", mmap((void *)0x30001000, PAGE, 3, ANON, -1, 0));
	TRY(mmap((void *)0x30001000, PAGE, 3, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	TRY(mmap((void *)0x30001000, PAGE, 3, ANON | MAP_FIXED_NOREPLACE | MAP_FIXED, -1, 0));
	TRY(mmap((void *)0x30002000, PAGE, 3, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	TRY(mmap((void *)0x30002001, PAGE, 3, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	TRY(mmap((void *)(1ul << 47), PAGE, 3, ANON | MAP_FIXED, -1, 0));
	TRY(mmap((void *)((1ul << 47) - PAGE), PAGE, 3, ANON | MAP_FIXED, -1, 0));
	TRY(munmap((void *)0x30000000, 3 * PAGE));
}

static void say_resident(const char *what, unsigned char *at, unsigned n)
{
	unsigned char vec[16];

	CHECK(mincore(at, n * PAGE, vec) == 0);
	say("%s:", what);
	for (unsigned i = 0; i < n; i++)
		say(" %d", vec[i] & 1);
	say("\n");
}

static void fetching(int fd)
{
	static const struct {
		const char *name;
		int flags;
	} ways[] = {
		{ "nothing", 0 }, { "MAP_POPULATE", MAP_POPULATE },
		{ "MAP_POPULATE | MAP_NONBLOCK", MAP_POPULATE | MAP_NONBLOCK },
		{ "MAP_NONBLOCK", MAP_NONBLOCK }, { "MAP_LOCKED", MAP_LOCKED },
		{ "MAP_LOCKED | MAP_NORESERVE", MAP_LOCKED | MAP_NORESERVE },
		{ "MAP_POPULATE | MAP_GROWSDOWN", MAP_POPULATE | MAP_GROWSDOWN },
	};

	for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
		unsigned char *q = mmap(p, 4 * PAGE, 3, ANON | MAP_FIXED | ways[i].flags, -1, 0);

		CHECK(q == p);
		say_resident(ways[i].name, q, 4);
		say_flags(ways[i].name, (unsigned long)q);
		q = mmap(p, 4 * PAGE, 1, ANON | MAP_FIXED | ways[i].flags, -1, 0);
		say_resident("    read-only", q, 4);
		q = mmap(p, 4 * PAGE, 0, ANON | MAP_FIXED | ways[i].flags, -1, 0);
		say_resident("    no rights", q, 4);
	}
	TRY(mmap(p, 4 * PAGE, 3, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == p);
	say_resident("a shared file", p, 2);
	TRY(munmap(p, 4 * PAGE));
}

static void droppable(int fd)
{
	if (!linux_is(6, 11))
		return;
	TRY(mmap(p, 2 * PAGE, 3, MAP_DROPPABLE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	p[0] = 1;
	say_flags("MAP_DROPPABLE", (unsigned long)p);
	say_regions("MAP_DROPPABLE", (unsigned long)p, (unsigned long)p + 4 * PAGE);
	TRY(madvise(p, PAGE, MADV_KEEPONFORK));
	TRY(madvise(p, PAGE, MADV_WIPEONFORK));
	TRY(madvise(p, PAGE, MADV_DODUMP));
	TRY(madvise(p, PAGE, MADV_DONTDUMP));
	TRY(mlock(p, PAGE));
	say_flags("locked", (unsigned long)p);
	TRY(munlock(p, PAGE));
	TRY(mlockall(MCL_CURRENT));
	say_flags("all locked", (unsigned long)p);
	TRY(munlockall());
	TRY(mprotect(p, PAGE, PROT_READ));
	TRY(mmap(NULL, PAGE, 3, MAP_DROPPABLE, fd, 0));
	TRY(mmap(NULL, PAGE, 3, MAP_DROPPABLE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, MAP_DROPPABLE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, MAP_DROPPABLE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
	TRY(mmap(NULL, PAGE, 3, MAP_DROPPABLE | MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	TRY(mmap(NULL, PAGE, 3, MAP_DROPPABLE | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		say("in the child: %d\n", p[0]);
		_exit(0);
	}
	reap(pid, 0);
	say("in the parent: %d\n", p[0]);
	TRY(munmap(p, 2 * PAGE));
}

static void huge(int fd)
{
	TRY(mmap(NULL, 1 << 21, 3, ANON | MAP_HUGETLB, -1, 0));
	TRY(mmap(NULL, 1 << 21, 3, ANON | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0));
	TRY(mmap(NULL, 1 << 21, 3, ANON | MAP_HUGETLB | 5 << MAP_HUGE_SHIFT, -1, 0));
	TRY(mmap(NULL, 1 << 21, 3, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0));
	TRY(mmap(NULL, 1 << 21, 3, MAP_PRIVATE | MAP_HUGETLB, fd, 0));
	TRY(mmap(NULL, 1 << 21, 3, MAP_PRIVATE | MAP_HUGETLB, -1, 0));
	TRY(mmap(NULL, 0, 3, ANON | MAP_HUGETLB, -1, 0));
	TRY(mmap(NULL, PAGE, 3, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0));
	TRY(mmap(NULL, PAGE, 3, MAP_SHARED_VALIDATE | MAP_SYNC | MAP_ANONYMOUS, -1, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, MAP_PRIVATE | MAP_SYNC, fd, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, MAP_SHARED | MAP_SYNC, fd, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, ANON | MAP_UNINITIALIZED, -1, 0));
	TRY_MAP(mmap(NULL, PAGE, 3, ANON | 1 << 30, -1, 0));
	TRY(shmget(IPC_PRIVATE, 1 << 21, SHM_HUGETLB | 0600));
	TRY(memfd_create("h", MFD_HUGETLB | 5u << 26));
	TRY(memfd_create("h", 0x4000));
}

static void collapse(void)
{
	TRY(mmap(p, 1 << 21, 3, ANON | MAP_FIXED, -1, 0) == p);
	memset(p, 3, PAGE);
	TRY(madvise(p, 1 << 20, 25 /* MADV_COLLAPSE */));
	TRY(madvise(p + 1, 1 << 20, 25));
	TRY(madvise(p, 0, 25));
	TRY(madvise(p, 1 << 21, MADV_HUGEPAGE));
	say_flags("MADV_HUGEPAGE", (unsigned long)p);
	TRY(madvise(p, 1 << 21, MADV_NOHUGEPAGE));
	say_flags("MADV_NOHUGEPAGE", (unsigned long)p);
	TRY(madvise(p, PAGE, MADV_MERGEABLE));
	TRY(madvise(p, PAGE, MADV_UNMERGEABLE));
	TRY(madvise(p, PAGE, MADV_HWPOISON - 1));
	TRY(madvise(p, PAGE, 26));
	TRY(madvise(p, PAGE, 101));
	TRY(madvise(p, PAGE, 104));
	TRY(madvise(p, PAGE, -1));
	TRY(munmap(p, 1 << 21));
}

/* Ondol has none, as a processor without them: then this is what Linux says. */
static bool has_keys(void)
{
	char line[4096];
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	CHECK(f);
	while (fgets(line, sizeof line, f))
		found |= strstr(line, " ospke") != NULL;
	fclose(f);
	return found;
}

static void keys(void)
{
	if (has_keys())
		return;
	TRY(syscall(SYS_pkey_alloc, 0, 0));
	TRY(syscall(SYS_pkey_alloc, 1, 0));
	TRY(syscall(SYS_pkey_alloc, 0, 8));
	TRY(syscall(SYS_pkey_free, 0));
	TRY(syscall(SYS_pkey_free, 1));
	TRY(syscall(SYS_pkey_free, -1));
	TRY(mmap(p, PAGE, 3, ANON | MAP_FIXED, -1, 0) == p);
	TRY(syscall(SYS_pkey_mprotect, p, PAGE, 1, 0));
	TRY(syscall(SYS_pkey_mprotect, p, PAGE, 1, 1));
	TRY(syscall(SYS_pkey_mprotect, p, PAGE, 3, -1));
	TRY(syscall(SYS_pkey_mprotect, p, PAGE, 1, -2));
	TRY(syscall(SYS_pkey_mprotect, p, PAGE, 1, 16));
	TRY(syscall(SYS_pkey_mprotect, p + 1, PAGE, 1, 0));
	TRY(syscall(SYS_pkey_mprotect, p, PAGE, 0x100, 5));
	TRY(syscall(SYS_pkey_mprotect, p, 0, 1, 1));
	TRY(munmap(p, PAGE));
}

/* A memory file's seals against its mappings. */
static void seals(void)
{
	int fd = memfd_create("seals", MFD_ALLOW_SEALING), plain = memfd_create("plain", 0);
	unsigned char *q;

	CHECK(fd >= 0 && ftruncate(fd, 4 * PAGE) == 0);
	TRY(fcntl(fd, F_GET_SEALS));
	TRY(fcntl(plain, F_GET_SEALS));
	TRY(fcntl(plain, F_ADD_SEALS, F_SEAL_WRITE));
	q = mmap(p, 4 * PAGE, 3, MAP_SHARED | MAP_FIXED, fd, 0);
	CHECK(q == p);
	q[0] = 5;
	TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	TRY(ftruncate(fd, PAGE));
	TRY(ftruncate(fd, 5 * PAGE));
	TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	TRY(ftruncate(fd, 6 * PAGE));
	TRY(munmap(q, 4 * PAGE));
	TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	TRY(mmap(p, PAGE, 3, MAP_SHARED | MAP_FIXED, fd, 0));
	TRY_MAP(mmap(p, PAGE, 3, MAP_PRIVATE | MAP_FIXED, fd, 0));
	TRY(try_touch(p, 'w'));
	if (linux_is(6, 13)) {
		TRY_MAP(mmap(p, PAGE, 1, MAP_SHARED | MAP_FIXED, fd, 0));
		TRY(mprotect(p, PAGE, 3));
		TRY(try_touch(p, 'r'));
	}
	TRY(write(fd, "x", 1));
	TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	TRY(fcntl(fd, F_GET_SEALS));
	close(fd);
	fd = memfd_create("future", MFD_ALLOW_SEALING);
	CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
	q = mmap(p, PAGE, 3, MAP_SHARED | MAP_FIXED, fd, 0);
	TRY(fcntl(fd, F_ADD_SEALS, 0x10 /* F_SEAL_FUTURE_WRITE */));
	TRY(try_touch(q, 'w'));
	TRY(mmap(NULL, PAGE, 3, MAP_SHARED, fd, 0));
	TRY_MAP(mmap(p + 16 * PAGE, PAGE, 1, MAP_SHARED | MAP_FIXED, fd, 0));
	TRY(mprotect(p + 16 * PAGE, PAGE, 3));
	TRY(write(fd, "x", 1));
	TRY(munmap(p, 17 * PAGE));
}

static void system_v(void)
{
	struct shmid_ds ds;
	key_t key = 0x7e570000 | (getpid() & 0xffff);
	int id = shmget(IPC_PRIVATE, 3 * PAGE + 5, 0600 | IPC_CREAT), other;
	unsigned char *q = (unsigned char *)0x20000000, *r = q + 64 * PAGE;

	CHECK(id >= 0);
	TRY(shmget(IPC_PRIVATE, 0, 0600));
	TRY(shmget(key, PAGE, 0600));
	other = shmget(key, PAGE, 0600 | IPC_CREAT | IPC_EXCL);
	CHECK(other >= 0);
	TRY(shmget(key, PAGE, 0600 | IPC_CREAT | IPC_EXCL));
	TRY(shmget(key, 9 * PAGE, 0600));
	TRY(shmctl(other, IPC_RMID, NULL));
	TRY(shmat(id, q, 0) == q);
	TRY(shmat(id, r, SHM_RDONLY) == r);
	TRY(shmctl(id, IPC_STAT, &ds));
	TRY(ds.shm_nattch);
	TRY(q[0] = 9);
	TRY(r[0]);
	TRY(try_touch(r, 'w'));
	TRY(mprotect(r, PAGE, 3));
	TRY(try_touch(q + 3 * PAGE + 100, 'r'));
	TRY(shmat(id, q + PAGE, 0));
	TRY(shmat(id, q + PAGE + 7, SHM_RND));
	TRY(munmap(q + PAGE, PAGE));
	TRY(shmctl(id, IPC_STAT, &ds));
	TRY(ds.shm_nattch);
	TRY(shmctl(id, IPC_RMID, NULL));
	TRY(shmat(id, q + 128 * PAGE, 0) == q + 128 * PAGE); /* Linux lets it */
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		q[0] = 44;
		CHECK(shmctl(id, IPC_STAT, &ds) == 0);
		say("in the child %ld attached\n", (long)ds.shm_nattch);
		_exit(0);
	}
	reap(pid, 0);
	/* Under Ondol a process's worker lets go of the segment a moment later. */
	for (unsigned i = 0; i < 2000 && !shmctl(id, IPC_STAT, &ds) && ds.shm_nattch > 4; i++)
		usleep(1000);
	TRY(ds.shm_nattch);
	TRY(r[0]);
	TRY(shmdt(q));
	TRY(shmdt(q));
	TRY(shmdt(q + 2 * PAGE));
	TRY(try_touch(q, 'r'));
	TRY(try_touch(q + 2 * PAGE, 'r'));
	TRY(shmdt(r));
	TRY(shmdt(q + 128 * PAGE));
	TRY(shmat(id, NULL, 0));
	TRY(shmctl(id, SHM_LOCK, NULL));
}

int main(void)
{
	int fd = pattern_file("flags", 2 * PAGE);

	try_catch_faults();
	placing();
	fetching(fd);
	droppable(fd);
	huge(fd);
	collapse();
	keys();
	seals();
	system_v();
	return 0;
}

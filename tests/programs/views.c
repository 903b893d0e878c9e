/* SPDX-License-Identifier: MIT */
/*
 * What a program reads about its own memory must agree with itself, whatever the numbers are:
 * maps, smaps, smaps_rollup, statm, stat, status, numa_maps, pagemap, clear_refs, auxv, getrusage.
 */
#include "try.h"
#include <linux/capability.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

#define PM_PRESENT (1ul << 63)
#define PM_FILE (1ul << 61)
#define PM_EXCLUSIVE (1ul << 56)
#define PM_FRAME ((1ul << 55) - 1)

static unsigned char *const p = (unsigned char *)0x10000000;

/* "name: number" of a file; -1: not there.  With `at`, of the region that begins there. */
static long field(const char *path, const char *name, unsigned long at)
{
	FILE *f = fopen(path, "re");
	char line[1024];
	unsigned long from, to;
	bool in = !at;
	long value = -1;

	CHECK(f);
	while (fgets(line, sizeof line, f)) {
		size_t n = strlen(name);

		if (at && sscanf(line, "%lx-%lx ", &from, &to) == 2)
			in = from <= at && at < to;
		if (in && !strncmp(line, name, n) && line[n] == ':')
			value = atol(line + n + 1);
	}
	fclose(f);
	return value;
}

static long stat_field(unsigned wanted)
{
	char line[2048], *at, *save = NULL;
	FILE *f = fopen("/proc/self/stat", "re");

	CHECK(f && fgets(line, sizeof line, f));
	fclose(f);
	at = strtok_r(strrchr(line, ')') + 1, " ", &save);
	for (unsigned i = 3; i < wanted; i++)
		at = strtok_r(NULL, " ", &save);
	return atol(at);
}

static void sizes(void)
{
	long statm[7] = { 0 };
	FILE *f = fopen("/proc/self/statm", "re");

	CHECK(f);
	for (unsigned i = 0; i < 7; i++)
		CHECK(fscanf(f, "%ld", &statm[i]) == 1);
	fclose(f);
	long size = field("/proc/self/status", "VmSize", 0);

	say("statm's size is status's: %d\n", labs(statm[0] * 4 - size) <= 200);
	say("stat's is: %d\n", labs(stat_field(23) / 1024 - size) <= 200);
	say("smaps adds up to it: %d\n", labs(sum_of("/proc/self/smaps", "Size:") - size) <= 200);
	say("the rollup is the sum: %d\n", labs(sum_of("/proc/self/smaps", "Rss:") -
						sum_of("/proc/self/smaps_rollup", "Rss:")) <= 100);
	say("stat's resident set is statm's: %d\n", labs(stat_field(24) - statm[1]) <= 300);
	say("statm: lib and dt %ld %ld, text %d\n", statm[4], statm[6], statm[3] > 0);
	say("VmHWM is no less than VmRSS: %d\n", field("/proc/self/status", "VmHWM", 0) >=
						    field("/proc/self/status", "VmRSS", 0));
	say("the code is where stat says: %d\n",
	    (unsigned long)stat_field(26) <= (unsigned long)sizes &&
		    (unsigned long)sizes < (unsigned long)stat_field(27));
	say("the stack begins where stat says: %d\n",
	    (unsigned long)&f < (unsigned long)stat_field(28) &&
		    (unsigned long)stat_field(28) - (unsigned long)&f < 1 << 20);
	struct sysinfo info;

	CHECK(sysinfo(&info) == 0);
	long kib = (long)(info.totalram * info.mem_unit / 1024);

	say("sysinfo's memory is meminfo's: %d\n", kib == field("/proc/meminfo", "MemTotal", 0));
	void *brk = sbrk(0);
	say("the heap is where stat says: %d\n", (void *)stat_field(47) <= brk);
}

static void auxv(void)
{
	unsigned long v[128];
	int fd = open("/proc/self/auxv", O_RDONLY);
	ssize_t n = read(fd, v, sizeof v) / 8;
	bool same = n > 20;

	for (ssize_t i = 0; i + 1 < n && v[i]; i += 2)
		same &= v[i] == AT_HWCAP || getauxval(v[i]) == v[i + 1];
	say("auxv is what the program got: %d\n", same);
	close(fd);
}

static void numa_maps(void)
{
	FILE *f = fopen("/proc/self/numa_maps", "re");
	char line[1024];
	bool found = false;

	if (!f) {
		say("anonymous memory is in numa_maps: 1\n");
		return;
	}
	CHECK(mlock(p, 16 * PAGE) == 0); /* none of it may be in swap */
	while (fgets(line, sizeof line, f))
		found |= !strncmp(line, "10000000 default anon=16 dirty=16", 33);
	CHECK(munlock(p, 16 * PAGE) == 0);
	fclose(f);
	say("anonymous memory is in numa_maps: %d\n", found);
}

static bool has_admin(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	return !syscall(SYS_capget, &header, data) &&
	       (data[0].effective >> CAP_SYS_ADMIN & 1);
}

static uint64_t page_of(int fd, void *at)
{
	uint64_t entry;

	CHECK(pread(fd, &entry, sizeof entry, (off_t)((unsigned long)at / PAGE * 8)) == 8);
	return entry;
}

static void say_page(const char *what, uint64_t entry)
{
	say("%s:%s%s%s\n", what, entry & PM_PRESENT ? " present" : " absent",
	    entry & PM_FILE ? " file" : "", entry & PM_EXCLUSIVE ? " exclusive" : "");
}

static void pagemap(int file)
{
	const int anonymous = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
	unsigned char *s = mmap(p + 64 * PAGE, PAGE, 3, anonymous, -1, 0);
	unsigned char *f = mmap(p + 66 * PAGE, PAGE, 1, MAP_PRIVATE | MAP_FIXED, file, 0);
	unsigned char *h = mmap(p + 68 * PAGE, PAGE, 3, MAP_SHARED | MAP_FIXED, file, 0);
	int ends[2];
	uint64_t frame, theirs;

	CHECK(s != MAP_FAILED && f != MAP_FAILED && h != MAP_FAILED && pipe(ends) == 0);
	/* With little memory they would be in swap when it is looked, at times. */
	CHECK(mlock(p, 2 * PAGE) == 0 && mlock(s, PAGE) == 0 && mlock(f, PAGE) == 0);
	s[0] = 1;
	h[0] = 1;
	volatile unsigned char got = f[0];
	(void)got;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	CHECK(fd >= 0);
	say_page("private", page_of(fd, p));
	say_page("a hole", page_of(fd, p + 65 * PAGE));
	say_page("shared", page_of(fd, s));
	say("of a file: %s\n", page_of(fd, f) & PM_FILE ? "file" : "?");
	say_page("shared file", page_of(fd, h) & ~PM_EXCLUSIVE);
	frame = page_of(fd, p) & PM_FRAME;
	say("frames are told: %d\n", !!frame == has_admin());
	say("frames differ: %d\n", !frame || frame != (page_of(fd, p + PAGE) & PM_FRAME));
	CHECK(page_of(fd, (void *)(1ul << 46)) == 0);
	close(fd);
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		fd = open("/proc/self/pagemap", O_RDONLY);
		theirs = page_of(fd, p);
		CHECK(write(ends[1], &theirs, sizeof theirs) == sizeof theirs);
		p[0] = 3;
		CHECK(mlock(p, PAGE) == 0);
		close(fd);
		fd = open("/proc/self/pagemap", O_RDONLY);
		theirs = page_of(fd, p);
		CHECK(write(ends[1], &theirs, sizeof theirs) == sizeof theirs);
		_exit(0);
	}
	CHECK(read(ends[0], &theirs, sizeof theirs) == sizeof theirs);
	say_page("in a child", theirs);
	say("the same frame: %d\n", (theirs & PM_FRAME) == frame);
	CHECK(read(ends[0], &theirs, sizeof theirs) == sizeof theirs);
	say_page("written in the child", theirs);
	say("another frame: %d\n", !frame || (theirs & PM_FRAME) != frame);
	reap(pid, 0);
	CHECK(munlock(p, 2 * PAGE) == 0 && munmap(s, 5 * PAGE) == 0);
}

static long referenced(void)
{
	return field("/proc/self/smaps", "Referenced", (unsigned long)p);
}

static void clear_refs(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);

	CHECK(fd >= 0);
	memset(p, 7, 16 * PAGE);
	say("referenced: %ld kB\n", referenced());
	for (unsigned i = 0; i < 200; i++) { /* no touch is lost, and no more than one forgotten */
		CHECK(write(fd, "1\n", 2) == 2);
		volatile unsigned char got = p[5 * PAGE];
		(void)got;
		if (i % 40 == 0)
			CHECK(referenced() <= 64);
	}
	CHECK(write(fd, "1\n", 2) == 2);
	say("cleared: %ld kB\n", referenced());
	TRY(write(fd, "9", 1));
	TRY(write(fd, "x", 1));
	TRY(write(fd, "0", 1));
	TRY(write(fd, "4", 1));
	TRY(write(fd, "2\n", 2));
	say("contents stay: %d\n", p[5 * PAGE] == 7);
	/* The highest resident set so far is today's. */
	unsigned char *q = map_anon(256 * PAGE, PROT_READ | PROT_WRITE);

	memset(q, 1, 256 * PAGE);
	CHECK(munmap(q, 256 * PAGE) == 0);
	long before = field("/proc/self/status", "VmHWM", 0);
	TRY(write(fd, "5", 1));
	say("VmHWM is lower: %d\n", field("/proc/self/status", "VmHWM", 0) < before - 600);
	/* A child may write, too, while who has opened it waits. */
	int ends[2];
	char byte;

	CHECK(pipe(ends) == 0);
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		CHECK(read(ends[0], &byte, 1) == 1 && write(fd, "1\n", 2) == 2);
		_exit(0);
	}
	memset(p, 7, 16 * PAGE);
	CHECK(write(ends[1], "", 1) == 1);
	reap(pid, 0);
	say("cleared by a child: %ld kB\n", referenced());
	TRY(write(fd, "7", 1));
	close(fd);
	TRY(open("/proc/1/clear_refs_not", O_WRONLY));
}

static void usage(void)
{
	struct rusage before, after, child;
	unsigned char *q = map_anon(512 * PAGE, PROT_READ | PROT_WRITE);
	int status;

	CHECK(madvise(q, 512 * PAGE, MADV_NOHUGEPAGE) == 0);
	CHECK(getrusage(RUSAGE_SELF, &before) == 0);
	for (unsigned i = 0; i < 512; i++)
		q[i * PAGE] = 1;
	CHECK(getrusage(RUSAGE_SELF, &after) == 0);
	if (!getenv("FAULTS_ARE_SIGNALS")) /* which the host does not count */
		say("faults are counted: %d\n", after.ru_minflt + after.ru_majflt >
							before.ru_minflt + before.ru_majflt);
	say("no more than pages: %d\n", after.ru_minflt - before.ru_minflt < 600);
	say("maxrss is about VmHWM: %d\n", labs(after.ru_maxrss -
						field("/proc/self/status", "VmHWM", 0)) < 1500);
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		for (unsigned i = 0; i < 512; i++)
			q[i * PAGE] = 2;
		_exit(0);
	}
	CHECK(wait4(pid, &status, 0, &child) == pid);
	say("a child's, too: %d %d\n", child.ru_minflt > 0, child.ru_maxrss > 200);
}

/* Others' files: for who may look. */
static void others(void)
{
	pid_t pid;
	char path[64];

	if (geteuid() != 0)
		return;
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		snprintf(path, sizeof path, "/proc/%d/maps", getppid());
		CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
		errno = 0;
		int fd = open(path, O_RDONLY);
		int error = errno;
		snprintf(path, sizeof path, "/proc/%d/statm", getppid());
		say("as nobody: maps %d %s, statm %d\n", fd >= 0, strerror(error),
		    open(path, O_RDONLY) >= 0);
		_exit(0);
	}
	reap(pid, 0);
}

int main(void)
{
	CHECK(mmap(p, 16 * PAGE, 3, ANON | MAP_FIXED, -1, 0) == p);
	CHECK(madvise(p, 16 * PAGE, MADV_NOHUGEPAGE) == 0);
	memset(p, 7, 16 * PAGE);
	sizes();
	auxv();
	numa_maps();
	pagemap(pattern_file("views-file", 2 * PAGE));
	clear_refs();
	usage();
	others();
	return 0;
}

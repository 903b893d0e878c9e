/* SPDX-License-Identifier: MIT */
/* A program reads /proc/self/maps, finds itself, and believes it. */
#include "check.h"
#include <pthread.h>
#include <sys/auxv.h>

struct line {
	uintptr_t start, end;
	char perms[8], name[512];
	unsigned long offset, inode;
};

static int global = 1;

static bool next_line(FILE *f, struct line *l)
{
	char buf[1024];
	unsigned major, minor;
	int at = 0;

	if (!fgets(buf, sizeof buf, f))
		return false;
	CHECK(sscanf(buf, "%lx-%lx %4s %lx %x:%x %lu %n", &l->start, &l->end, l->perms, &l->offset,
		     &major, &minor, &l->inode, &at) >= 7);
	buf[strcspn(buf, "\n")] = 0;
	strcpy(l->name, at ? buf + at : "");
	return true;
}

/* The region that holds `p`; also that regions are in order and do not overlap. */
static struct line find(const void *p)
{
	FILE *f = fopen("/proc/self/maps", "r");
	struct line l, found = { 0 };
	uintptr_t last = 0;

	CHECK(f);
	while (next_line(f, &l)) {
		CHECK(l.start >= last && l.end > l.start);
		CHECK(l.start % PAGE == 0 && l.end % PAGE == 0);
		last = l.end;
		if ((uintptr_t)p >= l.start && (uintptr_t)p < l.end)
			found = l;
	}
	fclose(f);
	return found;
}

static bool ends_with(const char *s, const char *tail)
{
	return strlen(s) >= strlen(tail) && !strcmp(s + strlen(s) - strlen(tail), tail);
}

static void well_known(void)
{
	char here, exe[512] = { 0 };
	void *small = malloc(100);
	struct line l;

	CHECK(readlink("/proc/self/exe", exe, sizeof exe - 1) > 0);
	l = find((void *)(uintptr_t)well_known);
	CHECK(!strcmp(l.name, exe) && !strcmp(l.perms, "r-xp") && l.inode);
	l = find(&global);
	CHECK(ends_with(l.name, "self_maps") && !strcmp(l.perms, "rw-p"));
	l = find((void *)(uintptr_t)printf);
	CHECK(strstr(l.name, "libc") && !strcmp(l.perms, "r-xp"));
	l = find(&here);
	CHECK(!strcmp(l.name, "[stack]") && !strcmp(l.perms, "rw-p"));
	l = find(small);
	CHECK(!strcmp(l.name, "[heap]") && !strcmp(l.perms, "rw-p"));
	CHECK(l.end == (uintptr_t)sbrk(0));
	if (getauxval(AT_SYSINFO_EHDR)) {
		l = find((void *)getauxval(AT_SYSINFO_EHDR));
		CHECK(!strcmp(l.name, "[vdso]") && !strcmp(l.perms, "r-xp"));
	}
	free(small);
	say("text, data, libc, stack, heap, vdso\n");
}

static void own_mappings(void)
{
	unsigned char *p = map_anon(16 * PAGE, PROT_READ | PROT_WRITE), *f;
	int fd = open("mapped-file", O_RDWR | O_CREAT, 0600);
	struct line l;

	l = find(p);
	CHECK(l.start <= (uintptr_t)p && l.end >= (uintptr_t)p + 16 * PAGE);
	CHECK(!strcmp(l.perms, "rw-p") && !l.name[0] && !l.inode);
	CHECK(mprotect(p + 4 * PAGE, 4 * PAGE, PROT_READ) == 0);
	l = find(p + 5 * PAGE);
	CHECK(l.start == (uintptr_t)p + 4 * PAGE && l.end == (uintptr_t)p + 8 * PAGE);
	CHECK(!strcmp(l.perms, "r--p"));
	CHECK(mprotect(p + 4 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
	l = find(p + 5 * PAGE); /* equal neighbours are one again */
	CHECK(l.start <= (uintptr_t)p && l.end >= (uintptr_t)p + 16 * PAGE);
	CHECK(munmap(p, 16 * PAGE) == 0 && !find(p).end);

	CHECK(fd >= 0 && ftruncate(fd, 8 * PAGE) == 0);
	f = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 2 * PAGE);
	CHECK(f != MAP_FAILED);
	l = find(f);
	CHECK(ends_with(l.name, "/mapped-file") && !strcmp(l.perms, "rw-s"));
	CHECK(l.offset == 2 * PAGE && l.end - l.start == 3 * PAGE);
	f = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE, fd, PAGE);
	l = find(f);
	CHECK(ends_with(l.name, "/mapped-file") && !strcmp(l.perms, "---p") && l.offset == PAGE);
	close(fd);
	unlink("mapped-file");
	say("own mappings come, change and go\n");
}

static void stack_of_libc(void)
{
	pthread_attr_t attr;
	void *low;
	size_t size;
	char here;

	CHECK(pthread_getattr_np(pthread_self(), &attr) == 0); /* reads the maps */
	CHECK(pthread_attr_getstack(&attr, &low, &size) == 0);
	CHECK(&here > (char *)low && &here < (char *)low + size);
	CHECK((uintptr_t)low + size <= find(&here).end);
	pthread_attr_destroy(&attr);
	say("libc agrees about the stack\n");
}

static long number_in(const char *file, const char *key)
{
	FILE *f = fopen(file, "r");
	char buf[512];
	long n = -1;

	CHECK(f);
	while (fgets(buf, sizeof buf, f))
		if (!strncmp(buf, key, strlen(key)))
			n = (n < 0 ? 0 : n) + atol(buf + strlen(key));
	fclose(f);
	return n;
}

static void counters(void)
{
	long vm = number_in("/proc/self/status", "VmSize:");
	long rss = number_in("/proc/self/status", "VmRSS:"), smaps, more;
	unsigned char *p = map_anon(1000 * PAGE, PROT_READ | PROT_WRITE);
	FILE *f = fopen("/proc/self/statm", "r");
	long statm[2];

	CHECK(vm > 0 && rss > 0);
	CHECK(f && fscanf(f, "%ld %ld", &statm[0], &statm[1]) == 2);
	fclose(f);
	more = number_in("/proc/self/status", "VmSize:");
	CHECK(more >= vm + 4000 && more < vm + 5000);
	CHECK(statm[0] * 4 >= vm && statm[1] * 4 >= rss / 2);
	for (unsigned i = 0; i < 1000; i++)
		p[i * PAGE] = 1;
	more = number_in("/proc/self/status", "VmRSS:");
	CHECK(more >= rss + 3500 && more < rss + 8000);
	smaps = number_in("/proc/self/smaps", "Rss:");
	CHECK(smaps >= rss + 3500);
	CHECK(munmap(p, 1000 * PAGE) == 0);
	CHECK(number_in("/proc/self/status", "VmRSS:") < rss + 2000);
	CHECK(number_in("/proc/self/status", "VmHWM:") >= rss + 3500);
	say("sizes add up\n");
}

/* Whatever way to the file is taken: a page that no other mapping has must be in it. */
static bool shows(int fd, const void *p)
{
	char buf[4096], want[32];
	bool found = false;
	FILE *f = fdopen(fd, "r");

	CHECK(f);
	snprintf(want, sizeof want, "%lx-", (unsigned long)p);
	while (!found && fgets(buf, sizeof buf, f))
		found = !strncmp(buf, want, strlen(want));
	fclose(f);
	return found;
}

static void other_ways(void)
{
	char here[512];
	/* Read-only between two of none: no neighbour to merge with. */
	unsigned char *p = map_anon(3 * PAGE, PROT_NONE) + PAGE;
	int dir = open("/proc/self", O_RDONLY | O_DIRECTORY);

	CHECK(mprotect(p, PAGE, PROT_READ) == 0);
	CHECK(getcwd(here, sizeof here));
	CHECK(dir >= 0 && shows(openat(dir, "maps", O_RDONLY), p));
	CHECK(shows(openat(dir, "task/../maps", O_RDONLY), p));
	CHECK(shows(open("//proc/./self/../self//maps", O_RDONLY), p));
	CHECK(shows(open("/proc/thread-self/maps", O_RDONLY), p));
	CHECK(symlink("/proc/self", "me") == 0 && symlink("/proc/self/maps", "maps") == 0);
	CHECK(shows(open("me/maps", O_RDONLY), p) && shows(open("maps", O_RDONLY), p));
	CHECK(open("maps", O_RDONLY | O_NOFOLLOW) == -1 && errno == ELOOP);
	CHECK(unlink("me") == 0 && unlink("maps") == 0);
	CHECK(open("maps", O_RDONLY) == -1 && errno == ENOENT);
	dir = open("maps", O_RDWR | O_CREAT, 0600); /* just a name */
	CHECK(write(dir, "mine\n", 5) == 5 && close(dir) == 0 && !shows(open("maps", O_RDONLY), p));
	CHECK(unlink("maps") == 0);
	CHECK(chdir("/proc/self") == 0 && shows(open("maps", O_RDONLY), p));
	CHECK(chdir(here) == 0);
	say("whatever way is taken\n");
}

/* What a kernel may be built without: if it is there, it tells of this program's memory. */
static void if_there(void)
{
	unsigned char *p = map_anon(3 * PAGE, PROT_NONE) + PAGE;
	char want[64], buf[512];
	uint64_t entry = 0;
	bool found = false;

	CHECK(mprotect(p, PAGE, PROT_READ | PROT_WRITE) == 0);
	p[0] = 1;
	FILE *f = fopen("/proc/self/numa_maps", "r");
	int fd = open("/proc/self/pagemap", O_RDONLY);

	snprintf(want, sizeof want, "%lx ", (unsigned long)p);
	while (f && fgets(buf, sizeof buf, f))
		found |= !strncmp(buf, want, strlen(want));
	CHECK(!f || found);
	if (fd >= 0) {
		CHECK(pread(fd, &entry, 8, (off_t)((uintptr_t)p / PAGE * 8)) == 8);
		CHECK(entry >> 63 && !(entry >> 61 & 1)); /* present, and nobody's shared page */
	}
	say("nothing else is told\n");
}

int main(void)
{
	well_known();
	other_ways();
	if_there();
	own_mappings();
	stack_of_libc();
	counters();
	return 0;
}

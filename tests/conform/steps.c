/* SPDX-License-Identifier: MIT */
/*
 * A program of random memory calls, the same for the same seed: run natively and under Ondol,
 * it must print the same.  Each step makes one call (or touches memory, or forks), prints what
 * came of it (result, errno, signal and its code) and a digest of what can be seen: the regions
 * of /proc/self/maps and mincore, both inside of the arena, whose addresses are fixed.
 *
 *   steps SEED FIRST COUNT [-v] [-w] [-h] [-s N,N,...]
 *
 * -v prints the state itself; -w says nothing of residency, for runs with fault-around windows;
 * -h has an arena of 4.5 MiB, and calls on ranges of 2 MiB in it among the others;
 * -s lists the steps that are made (the others are left out, so
 * that a failure can be shrunk: a step's choices depend on the seed and its number alone).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARENA 0x100000000000ul
#define PAGES_MAX 1160u
#define PAGE 4096ul
#define FILE_PAGES 24u
#define CHILD_STEPS 6u
#define DUMP_EVERY 64u

static bool verbose, windows;
static bool large;              /* the arena has ranges for huge pages */
static unsigned nr_pages = 96u; /* of the arena */
/*
 * In a child the host may leave out entries that it can make again (of pages only read), and
 * Ondol copies them; both are right.
 */
static bool in_child;
static uint64_t seed;
static int file_fd[2];
static uintptr_t first_brk;

/* ------------------------------------------------------------------ chance */

static uint64_t state;

static uint64_t draw(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static unsigned below(unsigned n)
{
	return (unsigned)(draw() % n);
}

static bool one_in(unsigned n)
{
	return !below(n);
}

#define PICK(...) \
	pick((const int[]){ __VA_ARGS__ }, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))

static int pick(const int *values, size_t n)
{
	return values[below((unsigned)n)];
}

static int any_prot(void)
{
	return PICK(PROT_NONE, PROT_READ, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
		    PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC, PROT_WRITE,
		    PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* A range of pages in the arena, sometimes crooked. */
static uintptr_t any_range(size_t *out_length)
{
	unsigned n = one_in(3) ? 1 + below(40) : 1 + below(8), first = below(nr_pages - n + 1);

	if (large && one_in(3)) { /* one such range, both, or one that is off it */
		static const unsigned ranges[][2] = { { 0, 512 }, { 512, 512 }, { 0, 1024 },
						      { 7, 1100 }, { 0, 1160 }, { 500, 600 } };
		const unsigned *r = ranges[below(6)];

		*out_length = r[1] * PAGE;
		return ARENA + r[0] * PAGE;
	}
	*out_length = n * PAGE - (one_in(8) ? below(PAGE) : 0);
	if (one_in(40))
		*out_length = 0;
	return ARENA + first * PAGE + (one_in(40) ? 1 + below(PAGE - 1) : 0);
}

/* ------------------------------------------------------------------ saying it */

static const char *place(uintptr_t addr)
{
	static char text[4][40];
	static unsigned next;
	char *t = text[next++ % 4];

	if (addr >= ARENA && addr <= ARENA + 2 * nr_pages * PAGE)
		snprintf(t, sizeof text[0], "A+%#lx", addr - ARENA);
	else if (addr - first_brk < (1ul << 30))
		snprintf(t, sizeof text[0], "B+%#lx", addr - first_brk);
	else if (first_brk - addr < (1ul << 30))
		snprintf(t, sizeof text[0], "B-%#lx", first_brk - addr);
	else
		snprintf(t, sizeof text[0], "%#lx", addr);
	return t;
}

static const char *outcome(long r, bool is_address)
{
	static char text[64];

	if (r == -1)
		snprintf(text, sizeof text, "-1 %s", strerrorname_np(errno));
	else if (is_address)
		snprintf(text, sizeof text, "%s", place((uintptr_t)r));
	else
		snprintf(text, sizeof text, "%ld", r);
	return text;
}

/* ------------------------------------------------------------------ touching */

static sigjmp_buf back;
static volatile int fault_signal, fault_code;
static uintptr_t volatile fault_address;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	fault_signal = sig;
	fault_code = info->si_code;
	fault_address = (uintptr_t)info->si_addr;
	siglongjmp(back, 1);
}

/* The byte at addr, or written to it; -1: a signal, see fault_signal. */
static int touch(uintptr_t addr, bool write, unsigned char value)
{
	volatile unsigned char *p = (volatile unsigned char *)addr;

	if (sigsetjmp(back, 0))
		return -1;
	if (write)
		*p = value;
	return *p;
}

static void say_touch(const char *what, uintptr_t addr, int r)
{
	if (r >= 0)
		printf(" %s(%s)=%d", what, place(addr), r);
	else
		printf(" %s(%s)=signal %d code %d at %s", what, place(addr), fault_signal,
		       fault_code, place(fault_address));
}

static void step_touch(void)
{
	unsigned n = 1 + below(4), first = below(nr_pages);
	bool write = below(3) > 0;

	for (unsigned i = 0; i < n; i++) {
		uintptr_t addr = ARENA + (first + i) % nr_pages * PAGE + below(PAGE);

		say_touch(write ? "write" : "read", addr,
			  touch(addr, write, (unsigned char)draw()));
	}
}

/* ------------------------------------------------------------------ calls */

/* Whether this Linux is so new; what it does not have cannot be compared. */
static bool linux_is(unsigned major, unsigned minor)
{
	static unsigned at[2];
	struct utsname name;

	if (!at[0]) {
		uname(&name);
		sscanf(name.release, "%u.%u", &at[0], &at[1]);
	}
	return at[0] > major || (at[0] == major && at[1] >= minor);
}


static void step_mmap(void)
{
	size_t length;
	uintptr_t addr = any_range(&length);
	int prot = any_prot(), fd = -1;
	int flags = PICK(MAP_FIXED, MAP_FIXED, MAP_FIXED, MAP_FIXED_NOREPLACE, 0);
	off_t offset = 0;

	if (large && length > 500 * PAGE)
		flags = MAP_FIXED; /* Linux may shun the hint, so that a file's pages can be huge */
	flags |= PICK(MAP_PRIVATE, MAP_PRIVATE, MAP_SHARED);
	if (large && length > 500 * PAGE && !one_in(4)) {
		prot = PROT_READ | PROT_WRITE;
		flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS;
	} else if (one_in(3)) {
		/* Ondol's limit: private mappings do not follow what others write to the file. */
		fd = file_fd[flags & MAP_SHARED ? 0 : 1];
		offset = (off_t)(below(FILE_PAGES + 4) * PAGE);
	} else {
		flags |= MAP_ANONYMOUS;
		if (one_in(8) && (flags & MAP_PRIVATE))
			flags |= MAP_GROWSDOWN;
		else if (one_in(12) && (flags & MAP_PRIVATE) && linux_is(6, 11))
			flags += 0x08 - MAP_PRIVATE; /* MAP_DROPPABLE */
	}
	flags |= PICK(0, 0, 0, 0, MAP_NORESERVE, MAP_POPULATE, MAP_LOCKED);
	/* Where the host would choose, only the answer's kind can be compared. */
	void *p = mmap((void *)addr, length, prot, flags, fd, offset);

	printf("mmap(%s, %#zx, %d, %#x, %d, %#lx) = ", place(addr), length, prot, flags, fd,
	       (long)offset);
	if (p != MAP_FAILED && ((uintptr_t)p < ARENA || (uintptr_t)p >= ARENA + nr_pages * PAGE)) {
		printf("elsewhere");
		munmap(p, length);
	} else {
		printf("%s", outcome((long)p, true));
	}
}

static void step_munmap(void)
{
	size_t length;
	uintptr_t addr = any_range(&length);
	int r = munmap((void *)addr, length);

	printf("munmap(%s, %#zx) = %s", place(addr), length, outcome(r, false));
}

static void step_mprotect(void)
{
	size_t length;
	uintptr_t addr = any_range(&length);
	int prot = any_prot(); /* no PROT_GROWSDOWN: how far depends on what is merged */
	int r = mprotect((void *)addr, length, prot);

	printf("mprotect(%s, %#zx, %#x) = %s", place(addr), length, prot, outcome(r, false));
}

static void step_mremap(void)
{
	size_t old_length, new_length;
	uintptr_t addr = any_range(&old_length), to = any_range(&new_length);
	int flags = PICK(0, MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED,
			 MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, MREMAP_FIXED, 64);

	/*
	 * What moves is one page: how many regions more are is Linux's own affair (it does not
	 * merge what has different anon_vmas, and since 6.17 moves several regions at once).
	 */
	if (flags & MREMAP_DONTUNMAP || one_in(3))
		old_length = new_length = PAGE;
	else if (one_in(2))
		old_length = PAGE;
	else
		new_length = PAGE;
	/* Linux then unlocks the whole region that the page is a part of. */
	if (flags & MREMAP_DONTUNMAP)
		munlockall();
	void *p = mremap((void *)addr, old_length, new_length, flags, (void *)to);

	printf("mremap(%s, %#zx, %#zx, %#x, %s) = %s", place(addr), old_length, new_length, flags,
	       place(to), outcome((long)p, true));
}

static void step_madvise(void)
{
	size_t length;
	uintptr_t addr = any_range(&length);
	int advice = PICK(MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED,
			  MADV_DONTNEED, MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK, MADV_DONTDUMP,
			  MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_POPULATE_READ,
			  MADV_POPULATE_WRITE, MADV_COLD, 24 /* MADV_DONTNEED_LOCKED */, 99,
			  MADV_MERGEABLE, MADV_MERGEABLE, MADV_UNMERGEABLE,
			  102 /* MADV_GUARD_INSTALL */, 103 /* MADV_GUARD_REMOVE */);

	if (advice > 99 && !linux_is(6, 15))
		advice = 99;
	if (large && one_in(2))
		advice = PICK(MADV_HUGEPAGE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, 25, 25, 25);
	if (advice == MADV_MERGEABLE && one_in(2)) {
		addr = ARENA; /* much, so that some of it is equal when `ondol run --ksm` looks */
		length = nr_pages * PAGE;
	}
	int r = madvise((void *)addr, length, advice);

	/* Whether memory collapses is luck, and has become likelier from version to version. */
	printf("madvise(%s, %#zx, %d) = %s", place(addr), length, advice,
	       advice == 25 ? "?" : outcome(r, false));
}

/* To oneself, in two ranges. */
static void step_process_madvise(void)
{
	struct iovec range[2];
	int advice = PICK(MADV_COLD, MADV_WILLNEED, MADV_DONTNEED, MADV_DONTFORK,
			  MADV_POPULATE_READ, 99);
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (!linux_is(6, 13) && advice != MADV_COLD)
		advice = MADV_WILLNEED;
	for (unsigned i = 0; i < 2; i++) {
		range[i].iov_base = (void *)any_range(&range[i].iov_len);
		printf("%s%s, %#zx", i ? "; " : "process_madvise(",
		       place((uintptr_t)range[i].iov_base), range[i].iov_len);
	}
	long r = syscall(440, pidfd, range, 2, advice, 0);

	printf("; %d) = %s", advice, outcome(r, false));
	close(pidfd);
}

/* One page: which neighbours are like it depends on what is merged. */
static void step_remap(void)
{
	size_t length;
	uintptr_t addr = any_range(&length);
	unsigned pgoff = below(FILE_PAGES + 4);
	long r = syscall(SYS_remap_file_pages, addr, PAGE, one_in(12), pgoff, 0);

	printf("remap_file_pages(%s, %u) = %s", place(addr), pgoff, outcome(r, false));
}

static void step_lock(void)
{
	size_t length;
	uintptr_t addr = any_range(&length);
	int kind = (int)below(3), r;

	/* Over several regions, one the host's and short of its file: a known difference. */
	if (kind == 0 && length > PAGE)
		length = PAGE - addr % PAGE;
	if (kind == 0)
		r = mlock((void *)addr, length);
	else if (kind == 1)
		r = munlock((void *)addr, length);
	else
		r = mlock2((void *)addr, length, MLOCK_ONFAULT);
	printf("%s(%s, %#zx) = %s", (const char *[]){ "mlock", "munlock", "mlock2" }[kind],
	       place(addr), length, outcome(r, false));
}

static void step_msync(void)
{
	size_t length;
	uintptr_t addr = any_range(&length);
	int flags = PICK(MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE, MS_SYNC | MS_ASYNC, 8);
	int r = msync((void *)addr, length, flags);

	printf("msync(%s, %#zx, %d) = %s", place(addr), length, flags, outcome(r, false));
}

static void step_mincore(void)
{
	unsigned char vector[PAGES_MAX];
	size_t length;
	uintptr_t addr = any_range(&length);
	int r = mincore((void *)addr, length, vector);

	printf("mincore(%s, %#zx) = %s", place(addr), length, outcome(r, false));
}

/* The host's own accesses. */
static void step_transfer(void)
{
	size_t length;
	uintptr_t addr = any_range(&length);
	bool into = one_in(2);
	int fd = file_fd[into ? below(2) : 0];
	off_t offset = (off_t)below((FILE_PAGES - 1) * PAGE);
	ssize_t r;

	length = length % (5 * PAGE);
	if (into)
		r = pread(fd, (void *)addr, length, offset);
	else
		r = pwrite(fd, (void *)addr, length, offset);
	printf("%s(%s, %#zx, %#lx) = %s", into ? "pread" : "pwrite", place(addr), length,
	       (long)offset, outcome(r, false));
}

static void step_truncate(void)
{
	off_t size = (off_t)(one_in(2) ? FILE_PAGES * PAGE : below(FILE_PAGES * PAGE));
	int r = ftruncate(file_fd[0], size);

	printf("ftruncate(%#lx) = %s", (long)size, outcome(r, false));
}

static void step_brk(void)
{
	uintptr_t to = first_brk + below(40 * PAGE);

	if (one_in(10))
		to = first_brk - PAGE;
	uintptr_t got = (uintptr_t)syscall(SYS_brk, to);

	printf("brk(%s) = %s", place(to), place(got));
	if (got > first_brk + PAGE)
		say_touch("write", got - PAGE, touch(got - PAGE, true, (unsigned char)draw()));
}

/* For good, so only in children; where this Linux has it (6.10). */
static void step_seal(void)
{
	size_t length;
	uintptr_t addr = any_range(&length);

	if (!in_child || !linux_is(6, 10)) {
		printf("no seal");
		return;
	}
	long r = syscall(462, addr, length, 0ul);

	printf("mseal(%s, %#zx) = %s", place(addr), length, outcome(r, false));
}

/* ------------------------------------------------------------------ what can be seen */

static uint64_t digest;

static void see(const char *text)
{
	for (const char *p = text; *p; p++)
		digest = (digest ^ (unsigned char)*p) * 0x100000001b3u;
	if (verbose)
		printf("    %s", text);
}

static char residency[PAGES_MAX + 2];

/*
 * Pages of files are resident natively when the computer has them cached, whoever read them; of
 * shared memory, MADV_REMOVE clears what others map, too, where Linux takes it away.
 */
static void note_residency(unsigned long start, unsigned long end, const char *name)
{
	bool file = *name == '/';
	unsigned char resident[PAGES_MAX];

	start = start < ARENA ? ARENA : start;
	end = end > ARENA + nr_pages * PAGE ? ARENA + nr_pages * PAGE : end;
	if (mincore((void *)start, end - start, resident))
		memset(resident, 2, sizeof resident);
	for (unsigned i = 0; i < (end - start) / PAGE; i++)
		residency[(start - ARENA) / PAGE + i] =
			in_child || windows ? '?' : file ? 'f' : (char)('0' + (resident[i] & 3));
}

struct region {
	unsigned long start, end, offset;
	char rights[8], name[64];
};

static void see_region(const struct region *r)
{
	char out[160];

	if (r->end <= ARENA || r->start >= ARENA + nr_pages * PAGE)
		return;
	note_residency(r->start, r->end, r->name);
	snprintf(out, sizeof out, "%3ld-%-3ld %s %lx %s\n", (long)(r->start - ARENA) / 4096,
		 (long)(r->end - ARENA) / 4096, r->rights, r->offset, r->name);
	see(out);
}

/* What Linux keeps apart for reasons of its own (anon_vma) counts as one region. */
static bool goes_on(const struct region *r, const struct region *next)
{
	return r->end == next->start && !strcmp(r->rights, next->rights) &&
	       !strcmp(r->name, next->name) &&
	       (!*r->name || r->offset + (r->end - r->start) == next->offset);
}

static void see_maps(void)
{
	static char text[1 << 16];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	struct region last = { 0 }, r = { 0 };
	size_t n = 0;
	ssize_t got;

	memset(residency, '-', nr_pages);
	residency[nr_pages] = '\n';

	while ((got = read(fd, text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = 0;
	close(fd);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		r.name[0] = 0;
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*d %63s", &r.start, &r.end, r.rights,
			   &r.offset, r.name) < 4)
			continue;
		if (goes_on(&last, &r)) {
			last.end = r.end;
			continue;
		}
		see_region(&last);
		last = r;
	}
	see_region(&last);
	see(residency);
}

static void see_contents(void)
{
	for (unsigned i = 0; i < nr_pages; i++) {
		char text[64];
		uint64_t sum = 0;
		int byte = touch(ARENA + i * PAGE, false, 0);

		for (unsigned j = 0; byte >= 0 && j < PAGE; j++)
			sum = sum * 31 + ((unsigned char *)(ARENA + i * PAGE))[j];
		if (byte < 0)
			snprintf(text, sizeof text, "page %u: signal %d code %d\n", i,
				 fault_signal, fault_code);
		else
			snprintf(text, sizeof text, "page %u: %016lx\n", i, (long)sum);
		see(text);
	}
}

/* ------------------------------------------------------------------ steps */

static void step(unsigned number, bool may_fork);

/* The child makes steps of its own, then both are looked at. */
static void step_fork(unsigned number)
{
	printf("fork\n");
	fflush(stdout);
	pid_t pid = fork();

	if (!pid) {
		in_child = true;
		for (unsigned i = 0; i < CHILD_STEPS; i++)
			step(1000000 + number * CHILD_STEPS + i, false);
		see_contents();
		printf("child's contents %016lx\n", (long)digest);
		fflush(stdout);
		_exit(3);
	}
	int status = 0;

	waitpid(pid, &status, 0);
	printf("  child: %#x", status);
}

static void step(unsigned number, bool may_fork)
{
	static void (*const kinds[])(void) = {
		step_mmap,     step_mmap,    step_mmap,	    step_mmap,	step_munmap,
		step_mprotect, step_mremap,  step_mremap,   step_madvise, step_madvise,
		step_lock,     step_msync,   step_mincore,  step_transfer, step_truncate,
		step_brk,      step_touch,   step_touch,    step_touch,	step_touch,
		step_mprotect, step_seal,    step_remap,    step_process_madvise,
	};

	state = seed * 0x2545f4914f6cdd1du + number;
	draw();
	printf("%u ", number);
	if (may_fork && one_in(24))
		step_fork(number);
	else
		kinds[below(sizeof kinds / sizeof *kinds)]();
	digest = 0xcbf29ce484222325u;
	if (verbose)
		printf("\n");
	see_maps();
	if (number % DUMP_EVERY == DUMP_EVERY - 1)
		see_contents();
	printf(" %016lx\n", (long)digest);
}

static void file_make(int which)
{
	char path[64];
	unsigned char bytes[PAGE];

	snprintf(path, sizeof path, "conform.%d", which);
	file_fd[which] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	for (unsigned i = 0; i < FILE_PAGES; i++) {
		memset(bytes, (int)(i * 7 + (unsigned)which * 100 + 1), sizeof bytes);
		if (write(file_fd[which], bytes, sizeof bytes - (i == FILE_PAGES - 1) * 1000) < 0)
			_exit(2);
	}
}

static bool listed(const char *list, unsigned number)
{
	for (char *end; *list; list = *end ? end + 1 : end)
		if (strtoul(list, &end, 10) == number)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	static char buffer[1 << 16];
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
	const char *only = NULL;

	if (argc < 4)
		return 2;
	for (int i = 4; i < argc; i++)
		if (!strcmp(argv[i], "-v"))
			verbose = true;
		else if (!strcmp(argv[i], "-w"))
			windows = true;
		else if (!strcmp(argv[i], "-h"))
			large = true;
		else if (!strcmp(argv[i], "-s") && i + 1 < argc)
			only = argv[++i];
	seed = strtoull(argv[1], NULL, 10);
	unsigned first = (unsigned)atoi(argv[2]), count = (unsigned)atoi(argv[3]);

	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
	if (large)
		nr_pages = PAGES_MAX;
	prctl(PR_SET_THP_DISABLE, !large, 0, 0, 0);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	file_make(0);
	file_make(1);
	first_brk = ((uintptr_t)sbrk(0) + PAGE - 1) & ~(PAGE - 1);
	for (unsigned i = first; i < first + count; i++)
		if (!only || listed(only, i))
			step(i, true);
	digest = 0;
	see_contents();
	printf("end %016lx\n", (long)digest);
	return 0;
}

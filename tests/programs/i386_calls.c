/* SPDX-License-Identifier: MIT */
/*
 * What 32-bit programs have otherwise: calls with other numbers, other arguments and smaller
 * structures.  With the word `space`: that there are 3 GiB and no more (requirements F7, F9),
 * which is so under ondol run --profile i386 and not on a 64-bit kernel.  `maps` tells them,
 * `exec PROGRAM` becomes another.
 */
#include "check.h"
#include <limits.h>
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>

#define OLD_MMAP 90 /* its arguments are in memory */
#define TOP 0xc0000000ul

/* By the old gate, around the vdso. */
static long gate(long nr, long a, long b, long c)
{
	long result;

	asm volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}

static void mappings(void)
{
	unsigned long arg[] = { 0, 3 * PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1ul, 0 };
	unsigned char *p = (void *)syscall(OLD_MMAP, arg);
	int fd = memfd_create("far", 0);

	CHECK(p != MAP_FAILED);
	p[2 * PAGE] = 7;
	CHECK(gate(SYS_munmap, (long)p, 3 * PAGE, 0) == 0);
	arg[5] = 1; /* no page's offset */
	CHECK((void *)syscall(OLD_MMAP, arg) == MAP_FAILED && errno == EINVAL);
	CHECK(syscall(OLD_MMAP, 8) == -1 && errno == EFAULT);

	/* The new one counts in pages, so that it comes beyond 4 GiB. */
	CHECK(fd >= 0 && pwrite(fd, "x", 1, (off_t)5 << 30 | 1) == 1);
	p = (void *)syscall(SYS_mmap2, 0, PAGE, PROT_READ, MAP_SHARED, fd, 5l << (30 - 12));
	CHECK(p != MAP_FAILED && p[0] == 0 && p[1] == 'x');
	p = (void *)syscall(SYS_mremap, p, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && p[1] == 'x' && munmap(p, 3 * PAGE) == 0);
	close(fd);

	unsigned long brk = (unsigned long)gate(SYS_brk, 0, 0, 0);

	CHECK((unsigned long)gate(SYS_brk, (long)(brk + 5 * PAGE), 0, 0) == brk + 5 * PAGE);
	((char *)brk)[4 * PAGE] = 1;
	CHECK((unsigned long)gate(SYS_brk, (long)brk, 0, 0) == brk);
	say("mapped by either call, and beyond 4 GiB of a file\n");
}

/* shmat and shmdt by ipc(2), which tells the address in memory, and by their own numbers. */
static void segments(void)
{
	int id = shmget(IPC_PRIVATE, 2 * PAGE, IPC_CREAT | 0600);
	unsigned long at = 0;

	CHECK(id >= 0);
	CHECK(syscall(SYS_ipc, 21, id, 0, &at, 0, 0) == 0 && at);
	((char *)at)[PAGE] = 'a';
	const char *again = (char *)syscall(SYS_shmat, id, 0, SHM_RDONLY);

	CHECK(again != (void *)-1 && again[PAGE] == 'a');
	CHECK(syscall(SYS_ipc, 21 | 1 << 16, id, 0, &at, 0, 0) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_ipc, 22, 0, 0, 0, at, 0) == 0);
	CHECK(syscall(SYS_shmdt, again) == 0);
	CHECK(syscall(SYS_ipc, 22, 0, 0, 0, at, 0) == -1 && errno == EINVAL);
	CHECK(shmctl(id, IPC_RMID, NULL) == 0);
	say("segments attached by both calls\n");
}

/* Numbers of 32 bits, the largest of which says no limit: as three calls tell it. */
static void limits(void)
{
	unsigned long narrow[2] = { 1ul << 30, ULONG_MAX }, told[2];
	struct rlimit limit;

	CHECK(syscall(SYS_ugetrlimit, RLIMIT_AS, told) == 0);
	CHECK(told[0] == ULONG_MAX && told[1] == ULONG_MAX);
	CHECK(syscall(SYS_setrlimit, RLIMIT_AS, narrow) == 0);
	CHECK(syscall(SYS_ugetrlimit, RLIMIT_AS, told) == 0);
	CHECK(told[0] == 1ul << 30 && told[1] == ULONG_MAX);
	CHECK(syscall(SYS_getrlimit, RLIMIT_AS, told) == 0); /* the old one */
	CHECK(told[0] == 1ul << 30 && told[1] == LONG_MAX);
	CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
	CHECK(limit.rlim_cur == 1ul << 30 && limit.rlim_max == RLIM_INFINITY);
	CHECK(mmap(NULL, 1ul << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		      MAP_FAILED && errno == ENOMEM);
	narrow[0] = narrow[1] = ULONG_MAX;
	CHECK(syscall(SYS_setrlimit, RLIMIT_AS, narrow) == 0);
	narrow[1] = 5;
	CHECK(syscall(SYS_setrlimit, RLIMIT_AS, narrow) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_setrlimit, RLIMIT_AS, 8) == -1 && errno == EFAULT);
	CHECK(getrlimit(RLIMIT_STACK, &limit) == 0 && setrlimit(RLIMIT_STACK, &limit) == 0);
	say("limits of 32 bits\n");
}

static void memory_size(void)
{
	struct sysinfo info;

	CHECK(sysinfo(&info) == 0 && info.mem_unit);
	uint64_t bytes = (uint64_t)info.totalram * info.mem_unit;
	uint64_t told = (uint64_t)sum_of("/proc/meminfo", "MemTotal:") << 10;

	CHECK(told >= bytes && told - bytes < info.mem_unit + 1024);
	CHECK(info.freeram <= info.totalram && info.procs);
	say("sysinfo's memory is meminfo's\n");
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	CHECK(sig == SIGUSR1 && info->si_value.sival_int == 5);
}

static void *thread(void *arg)
{
	static __thread int own = 3;

	own += *(int *)arg;
	*(int *)arg = own;
	return arg;
}

/* Handlers return by the vdso's code, threads have a segment of their own. */
static void flow(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	volatile double before = 1.0 / 3;
	pthread_attr_t attr;
	pthread_t id;
	int n = 4;

	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	for (int i = 0; i < 50; i++)
		CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 5 }) == 0);
	CHECK(before == 1.0 / 3);
	CHECK(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, 1 << 18) == 0);
	CHECK(pthread_create(&id, &attr, thread, &n) == 0 && pthread_join(id, NULL) == 0);
	CHECK(n == 7);
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		n = 0;
		CHECK(pthread_create(&id, &attr, thread, &n) == 0 && pthread_join(id, NULL) == 0);
		_exit(n);
	}
	reap(pid, 3);
	say("signals, threads, a fork\n");
}

/* getpid of x86-64, in 64-bit mode. */
asm(".text\n"
    "long_getpid:\n\t"
    ".byte 0xb8, 39, 0, 0, 0\n\t" /* mov $39, %eax */
    ".byte 0x0f, 0x05\n\t"        /* syscall */
    ".byte 0xcb\n");              /* lret */
extern char long_getpid[] __attribute__((visibility("hidden")));

static long long_call(void)
{
	const struct { void *at; uint16_t segment; } far = { long_getpid, 0x33 };
	long result;

	asm volatile("lcall *%1" : "=a"(result) : "m"(far) : "ecx", "edx", "memory");
	return result;
}

static void space(void)
{
	char line[256], *end;
	int on_stack;
	FILE *f = fopen("/proc/self/maps", "re");

	CHECK(f);
	while (fgets(line, sizeof line, f)) {
		CHECK(strtoul(line, &end, 16) < TOP && strtoul(end + 1, NULL, 16) <= TOP);
		if (strstr(line, "[stack]"))
			CHECK(TOP - strtoul(end + 1, NULL, 16) <= 8ul << 20);
	}
	fclose(f);
	CHECK(TOP - (unsigned long)&on_stack < 16ul << 20);
	say("everything lies below 3 GiB, the stack just below\n");

	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	char *last = mmap((void *)(TOP - PAGE), PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);

	CHECK(last == (void *)(TOP - PAGE));
	*last = 1;
	CHECK(mmap((void *)TOP, PAGE, PROT_READ, flags, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(mmap(last, 2 * PAGE, PROT_READ, flags, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(munmap((void *)0xc1000000, PAGE) == -1 && errno == EINVAL);
	CHECK(mprotect((void *)0xc1001000, PAGE, PROT_READ) == -1 && errno == ENOMEM);
	for (unsigned long at = 0xe0000000; at; at += 0x04000000) {
		pid_t pid = fork();
		int status;

		CHECK(pid >= 0);
		if (!pid)
			_exit(*(volatile char *)at);
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
	say("what lies above is no program's\n");

	long n = long_call();

	CHECK(n == -ENOSYS);
	say("calls of x86-64 are none\n");
}

static int maps(void)
{
	char line[4096];
	FILE *f = fopen("/proc/self/maps", "re");

	CHECK(f);
	while (fgets(line, sizeof line, f))
		say("%s", line);
	return fclose(f);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "space")) {
		space();
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "maps"))
		return maps();
	if (argc > 2) { /* exec PROGRAM: its status, or errno */
		execv(argv[2], argv + 2);
		return errno;
	}
	mappings();
	segments();
	limits();
	memory_size();
	flow();
	return 0;
}

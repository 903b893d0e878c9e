/* SPDX-License-Identifier: MIT */
/* RLIMIT_AS, DATA, STACK and MEMLOCK, each in a child of its own without privileges. */
#include "try.h"
#include <sys/resource.h>
#include <sys/syscall.h>

#define KIB 1024ul
#define MIB (1024 * KIB)

static void limit(int resource, rlim_t soft)
{
	struct rlimit r;

	CHECK(getrlimit(resource, &r) == 0);
	r.rlim_cur = soft;
	CHECK(setrlimit(resource, &r) == 0);
}

static void in_child(const char *what, void (*test)(void))
{
	say("--- %s\n", what);
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		if (geteuid() == 0)
			CHECK(setresgid(65534, 65534, 65534) == 0 &&
			      setresuid(65534, 65534, 65534) == 0);
		test();
		_exit(0);
	}
	reap(pid, 0);
}

static void memlock(void)
{
	unsigned char *p = map_anon(64 * PAGE, PROT_READ | PROT_WRITE);

	limit(RLIMIT_MEMLOCK, 16 * PAGE);
	TRY(mlock(p, 16 * PAGE));
	TRY(mlock(p, 16 * PAGE));
	TRY(mlock(p, 17 * PAGE));
	TRY(mlock(p + 16 * PAGE, 1));
	TRY(munlock(p + 8 * PAGE, 4 * PAGE));
	TRY(mlock(p + 20 * PAGE, 4 * PAGE));
	TRY(mlock(p + 30 * PAGE, PAGE));
	TRY(mlock2(p + 30 * PAGE, PAGE, MLOCK_ONFAULT));
	TRY_MAP(mmap(NULL, PAGE, 3, ANON | MAP_LOCKED, -1, 0));
	TRY_MAP(mmap(NULL, 100 * PAGE, 3, ANON | MAP_LOCKED, -1, 0));
	TRY_MAP(syscall(SYS_mremap, p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE));
	TRY(munlockall());
	TRY_MAP(mmap(NULL, PAGE, 3, ANON | MAP_LOCKED, -1, 0));
	TRY_MAP(mmap(NULL, 16 * PAGE, 3, ANON | MAP_LOCKED, -1, 0));
	TRY(mlockall(MCL_CURRENT));
	TRY(mlockall(MCL_FUTURE));
	TRY_MAP(mmap(NULL, 8 * PAGE, 3, ANON, -1, 0));
	TRY_MAP(mmap(NULL, 32 * PAGE, 3, ANON, -1, 0));
	TRY_MAP(mmap(NULL, 32 * PAGE, 3, ANON | MAP_NORESERVE, -1, 0));
	TRY(brk((char *)sbrk(0) + 64 * PAGE));
	TRY(munlockall());
	limit(RLIMIT_MEMLOCK, 0);
	TRY(mlock(p, PAGE));
	TRY(mlock(p, 0));
	TRY(mlockall(MCL_CURRENT));
	TRY(mlockall(MCL_FUTURE));
	TRY_MAP(mmap(NULL, PAGE, 3, ANON | MAP_LOCKED, -1, 0));
	TRY(munlock(p, PAGE));
}

static void address_space(void)
{
	struct rlimit r;

	limit(RLIMIT_AS, 64 * MIB);
	CHECK(getrlimit(RLIMIT_AS, &r) == 0);
	say("%lu\n", (unsigned long)r.rlim_cur);
	TRY_MAP(mmap(NULL, 100 * MIB, 3, ANON, -1, 0));
	TRY_MAP(mmap(NULL, 100 * MIB, 0, ANON | MAP_NORESERVE, -1, 0));
	TRY_MAP(mmap(NULL, 100 * MIB, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	void *p = mmap((void *)0x10000000, 32 * MIB, 0, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0);

	CHECK(p != MAP_FAILED);
	TRY_MAP(mmap(NULL, 40 * MIB, 0, ANON | MAP_NORESERVE, -1, 0));
	TRY_MAP(mmap(p, 40 * MIB, 0, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0)); /* over itself */
	TRY_MAP(syscall(SYS_mremap, p, 32 * MIB, 80 * MIB, MREMAP_MAYMOVE));
	TRY(brk((char *)sbrk(0) + 60 * MIB));
	TRY(munmap(p, 40 * MIB));
	TRY_MAP(mmap(NULL, 40 * MIB, 0, ANON | MAP_NORESERVE, -1, 0));
	limit(RLIMIT_AS, 1 * MIB); /* less than there is already */
	TRY_MAP(mmap(NULL, PAGE, 3, ANON, -1, 0));
	TRY(mprotect(p, PAGE, 3));
}

static void data(void)
{
	limit(RLIMIT_DATA, 2 * MIB);
	TRY_MAP(mmap(NULL, 3 * MIB, 3, ANON, -1, 0));
	TRY_MAP(mmap(NULL, 3 * MIB, 1, ANON, -1, 0));
	TRY_MAP(mmap(NULL, 3 * MIB, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	TRY_MAP(mmap(NULL, 3 * MIB, 3, ANON | MAP_GROWSDOWN, -1, 0));
	void *p = mmap((void *)0x10000000, 3 * MIB, 1, ANON | MAP_FIXED, -1, 0);

	TRY(mprotect(p, 3 * MIB, 3));
	TRY(mprotect(p, 256 * KIB, 3));
	TRY(brk((char *)sbrk(0) + 3 * MIB));
	limit(RLIMIT_DATA, 0);
	TRY_MAP(mmap(NULL, PAGE, 3, ANON, -1, 0));
	TRY_MAP(mmap(NULL, PAGE, 1, ANON, -1, 0));
	TRY(brk((char *)sbrk(0) + PAGE));
}

/* How far down the stack can be written: in pages below where it is now, by twos. */
static void stack(void)
{
	unsigned char here, *base = (unsigned char *)((unsigned long)&here & ~(PAGE - 1));
	static unsigned char other[1 << 16];
	stack_t alt = { .ss_sp = other, .ss_size = sizeof other };
	struct sigaction sa = { .sa_sigaction = try_fault, .sa_flags = SA_SIGINFO | SA_NODEFER |
									 SA_ONSTACK };

	CHECK(sigaltstack(&alt, NULL) == 0 && sigaction(SIGSEGV, &sa, NULL) == 0);
	limit(RLIMIT_STACK, 1 * MIB);
	say("64 KiB below: %d\n", try_touch(base - 64 * KIB, 'w'));
	say("900 KiB below: %d\n", try_touch(base - 900 * KIB, 'w'));
	say("1100 KiB below: %d\n", try_touch(base - 1100 * KIB, 'w'));
	limit(RLIMIT_STACK, 4 * MIB);
	say("1100 KiB below now: %d\n", try_touch(base - 1100 * KIB, 'w'));
	say("3 MiB below: %d\n", try_touch(base - 3 * MIB, 'w'));
	say("4.5 MiB below: %d\n", try_touch(base - 4608 * KIB, 'w'));
	limit(RLIMIT_STACK, 64 * KIB);
	say("again what is there: %d\n", try_touch(base - 1100 * KIB, 'w'));
	say("3.5 MiB below: %d\n", try_touch(base - 3584 * KIB, 'w'));
	limit(RLIMIT_STACK, 8 * MIB);
	limit(RLIMIT_AS, 8 * MIB);
	say("with RLIMIT_AS: %d\n", try_touch(base - 7 * MIB, 'w'));
}

/*
 * The gap of 256 pages that is kept free below what grows down; what may not be accessed may be
 * in it.
 */
static void guard_gap(void)
{
	unsigned char *const top = (unsigned char *)0x40000000;
	unsigned char *p = mmap(top, 4 * PAGE, 3, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0);

	try_catch_faults();
	CHECK(p == top);
	TRY(try_touch(top - PAGE, 'w'));
	say_regions("grown", 0x30000000, 0x50000000);
	unsigned char *below = mmap(top - 300 * PAGE, PAGE, 3, ANON | MAP_FIXED, -1, 0);

	CHECK(below != MAP_FAILED);
	TRY(try_touch(top - 10 * PAGE, 'w'));
	TRY(try_touch(top - 42 * PAGE, 'w'));
	TRY(try_touch(top - 43 * PAGE, 'w'));
	TRY(try_touch(top - 44 * PAGE, 'w'));
	TRY(try_touch(top - 100 * PAGE, 'w'));
	TRY(mprotect(below, PAGE, 0)); /* a guard page of the program's own */
	TRY(try_touch(top - 100 * PAGE, 'w'));
	TRY(try_touch(top - 299 * PAGE, 'w'));
	TRY(try_touch(top - 300 * PAGE, 'w'));
	say_regions("down to the guard", 0x30000000, 0x50000000);
	TRY(munmap(top - 400 * PAGE, 500 * PAGE));
	/* A place that the system chooses is not in the gap; one that is fixed may be. */
	p = mmap(top, 4 * PAGE, 3, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
	unsigned char *hinted = mmap(top - 100 * PAGE, PAGE, 3, ANON, -1, 0);

	say("a hint in the gap: %s\n", hinted == top - 100 * PAGE ? "there" : "elsewhere");
	hinted = mmap(top - 300 * PAGE, PAGE, 3, ANON, -1, 0);
	say("a hint below it: %s\n", hinted == top - 300 * PAGE ? "there" : "elsewhere");
	hinted = mmap(top - 100 * PAGE, PAGE, 3, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	say("fixed in it: %s\n", hinted == top - 100 * PAGE ? "there" : "elsewhere");
	TRY(try_touch(top - PAGE, 'w'));
}

int main(void)
{
	try_catch_faults();
	in_child("RLIMIT_MEMLOCK", memlock);
	in_child("RLIMIT_AS", address_space);
	in_child("RLIMIT_DATA", data);
	in_child("RLIMIT_STACK", stack);
	in_child("the guard gap", guard_gap);
	return 0;
}

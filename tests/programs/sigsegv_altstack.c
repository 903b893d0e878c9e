/* SPDX-License-Identifier: MIT */
/* A SIGSEGV handler on an alternate stack gives the page its rights, and the access goes on. */
#include "check.h"

enum { PAGES = 64 };

static unsigned char *area, *alt;
static volatile int faults;

static void on_segv(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr, page = at & ~(PAGE - 1);
	unsigned char here;

	(void)context;
	CHECK(sig == SIGSEGV);
	CHECK(info->si_code == SEGV_ACCERR);
	CHECK(at >= (uintptr_t)area && at < (uintptr_t)area + PAGES * PAGE);
	CHECK(&here >= alt && &here < alt + SIGSTKSZ * 4);
	CHECK(mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE) == 0);
	faults++;
}

static void resume(void)
{
	struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t ss = { .ss_size = (size_t)SIGSTKSZ * 4 };

	ss.ss_sp = alt = malloc(ss.ss_size);
	CHECK(alt && sigaltstack(&ss, NULL) == 0);
	CHECK(sigaction(SIGSEGV, &sa, NULL) == 0);
	area = map_anon(PAGES * PAGE, PROT_NONE);
	for (int i = 0; i < PAGES; i++)
		area[i * PAGE + (unsigned)i] = (unsigned char)(i + 1); /* faults once */
	CHECK(faults == PAGES);
	for (int i = 0; i < PAGES; i++)
		CHECK(area[i * PAGE + (unsigned)i] == i + 1 && area[i * PAGE + 4000] == 0);
	CHECK(faults == PAGES);
	/* As a write barrier: present pages made read-only, every second one written. */
	CHECK(mprotect(area, PAGES * PAGE, PROT_READ) == 0);
	faults = 0;
	for (int i = 0; i < PAGES; i += 2)
		area[i * PAGE] = 9;
	CHECK(faults == PAGES / 2);
	for (int i = 1; i < PAGES; i += 2)
		CHECK(area[i * PAGE] == 0 && area[i * PAGE + (unsigned)i] == i + 1);
	CHECK(faults == PAGES / 2);
	say("resumed after every fault\n");
}

static void kinds(void)
{
	static const char constant[] = "read only";
	unsigned char *p;
	volatile unsigned char *nowhere;

	catch_faults(SA_ONSTACK);
	p = map_anon(PAGE, PROT_READ);
	nowhere = map_anon(PAGE, PROT_READ);
	CHECK(munmap((void *)nowhere, PAGE) == 0);
	CHECK(FAULTS(*nowhere = 1) == SIGSEGV);
	CHECK(fault_info.si_code == SEGV_MAPERR && fault_info.si_addr == nowhere);
	CHECK(FAULTS(((volatile unsigned char *)p)[5] = 1) == SIGSEGV);
	CHECK(fault_info.si_code == SEGV_ACCERR && fault_info.si_addr == p + 5);
	CHECK(FAULTS(*(volatile char *)(uintptr_t)constant = 1) == SIGSEGV);
	CHECK(fault_info.si_code == SEGV_ACCERR);
	CHECK(FAULTS(*(volatile int *)8 = 1) == SIGSEGV);
	CHECK(fault_info.si_code == SEGV_MAPERR && fault_info.si_addr == (void *)8);
	p[0] == 0 ? say("kinds of faults told apart\n") : 0;
	CHECK(FAULTS(((void (*)(void))(uintptr_t)p)()) == SIGSEGV); /* not executable */
	CHECK(fault_info.si_code == SEGV_ACCERR && fault_info.si_addr == p);
	/* Not an address at all: the processor raises another exception. */
	CHECK(FAULTS(*(volatile int *)0x8000000000000000 = 1) == SIGSEGV);
	CHECK(fault_info.si_addr == NULL);
	say("no-exec and non-canonical caught\n");
}

/* Unhandled: the default action, seen by the parent. */
static void dies(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile int *)16 = 1;
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	say("unhandled: killed by SIGSEGV\n");
}

int main(void)
{
	resume();
	kinds();
	dies();
	return 0;
}

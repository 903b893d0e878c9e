/* SPDX-License-Identifier: MIT */
/* What a program finds on its stack: arguments, environment, auxiliary vector; then again. */
#include "check.h"
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

extern char **environ;
extern char etext, edata, end;

static void auxv(const char *name)
{
	const char *random = (const char *)getauxval(AT_RANDOM);
	const ElfW(Phdr) *ph = (const ElfW(Phdr) *)getauxval(AT_PHDR);
	unsigned long nr = getauxval(AT_PHNUM), self = 0;
	bool zero = true;

	CHECK(getauxval(AT_PAGESZ) == PAGE);
	CHECK(getauxval(AT_PHENT) == sizeof *ph && nr > 2 && nr < 64);
	CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid());
	CHECK(getauxval(AT_CLKTCK) == (unsigned long)sysconf(_SC_CLK_TCK));
	CHECK(!strcmp((const char *)getauxval(AT_EXECFN), name));
	CHECK(!strcmp((const char *)getauxval(AT_PLATFORM),
		      sizeof(long) == 8 ? "x86_64" : "i686"));
	for (int i = 0; i < 16; i++)
		zero &= random[i] == 0;
	CHECK(!zero);
	for (unsigned long i = 0; i < nr; i++)
		if (ph[i].p_type == PT_PHDR)
			self = (uintptr_t)ph - ph[i].p_vaddr; /* the load bias */
	for (unsigned long i = 0; i < nr; i++)
		if (ph[i].p_type == PT_LOAD && (ph[i].p_flags & PF_X))
			CHECK(getauxval(AT_ENTRY) - self - ph[i].p_vaddr < ph[i].p_memsz);
	CHECK(getauxval(AT_BASE) % PAGE == 0 && getauxval(AT_BASE));
	CHECK((uintptr_t)&etext < (uintptr_t)&edata && &edata <= &end);
}

static void layout(char **argv)
{
	char *at = argv[0];
	int envc = 0;

	CHECK(((uintptr_t)argv - sizeof(long)) % 16 == 0); /* where argc is */
	for (int i = 0; argv[i]; i++) { /* packed, in order, then the environment */
		CHECK(argv[i] == at);
		at += strlen(at) + 1;
	}
	for (; environ[envc]; envc++) {
		CHECK(environ[envc] == at);
		at += strlen(at) + 1;
	}
	CHECK(!strcmp(at, (const char *)getauxval(AT_EXECFN)));
	at += strlen(at) + 1;
	/* A kernel's own word is left; the one that runs a 32-bit program may be a 64-bit one. */
	size_t left = -(uintptr_t)at % PAGE;

	CHECK(left == 8 || left == sizeof(long));
	for (size_t i = 0; i < left; i++)
		CHECK(at[i] == 0);
}

/* The file of /proc: the kernel reads the strings that the program has. */
static void proc_has(const char *path, char **strings)
{
	FILE *f = fopen(path, "r");

	CHECK(f);
	for (int i = 0; strings[i]; i++)
		for (size_t at = 0; at <= strlen(strings[i]); at++)
			CHECK(fgetc(f) == (unsigned char)strings[i][at]);
	CHECK(fgetc(f) == EOF);
	fclose(f);
}

static void proc_args(char **argv)
{
	pid_t pid;

	proc_has("/proc/self/cmdline", argv);
	proc_has("/proc/self/environ", environ);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		proc_has("/proc/self/cmdline", argv);
		_exit(7);
	}
	reap(pid, 7);
}

int main(int argc, char **argv)
{
	char *big, *args[6] = { argv[0], (char *)"2", (char *)"", NULL, (char *)"last", NULL };
	char *env[] = { (char *)"A=1", (char *)"EMPTY=", (char *)"B=two words", NULL };

	if (argc == 1) {
		layout(argv);
		auxv(argv[0]);
		proc_args(argv);
		say("first: %s\n", strrchr(argv[0], '/'));
		big = malloc(100001);
		CHECK(big);
		memset(big, 'x', 100000);
		big[100000] = 0;
		args[3] = big;
		execve(argv[0], args, env);
		CHECK(!"exec");
	}
	CHECK(argc == 5 && !strcmp(argv[1], "2") && !*argv[2] && strlen(argv[3]) == 100000);
	CHECK(strspn(argv[3], "x") == 100000 && !strcmp(argv[4], "last"));
	CHECK(!strcmp(environ[0], "A=1") && !strcmp(environ[1], "EMPTY=") &&
	      !strcmp(environ[2], "B=two words") && !environ[3]);
	layout(argv);
	auxv(argv[0]);
	proc_args(argv);
	say("second: 100000 bytes of argument, 3 of environment\n");

	/* More than a quarter of the stack limit: refused, and we are still here. */
	size_t nr = 160000;
	char **many = calloc(nr + 1, sizeof *many);

	CHECK(many);
	for (size_t i = 0; i < nr; i++)
		many[i] = argv[3] + 100000 - 99;
	CHECK(execve("/proc/self/exe", many, env) == -1 && errno == E2BIG);
	say("too much: E2BIG\n");
	return 0;
}

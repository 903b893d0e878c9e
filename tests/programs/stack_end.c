/* SPDX-License-Identifier: MIT */
/*
 * Calls with paths and results at the end of the stack [BUF-5], where `ondol run` without privilege
 * lets them pass by: whatever happens to that memory, the kernel finds it.
 */
#include "check.h"
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

enum { FORKS = 60, TAKES = 2000, PAGES = 8 };

static unsigned char *end_of_stack; /* the last page of it, and PAGES of them below */
static atomic_bool over;

static void end_find(void)
{
	char line[256];
	unsigned long start, end;
	FILE *f = fopen("/proc/self/maps", "re");

	CHECK(f);
	while (fgets(line, sizeof line, f))
		if (strstr(line, "[stack]")) {
			CHECK(sscanf(line, "%lx-%lx", &start, &end) == 2);
			end_of_stack = (unsigned char *)(end - PAGE);
		}
	fclose(f);
	CHECK(end_of_stack);
}

/* Pages down there that main() and its callers do not use. */
static unsigned char *spare(int i)
{
	return end_of_stack - (PAGES - 1 - i) * PAGE;
}

static char *path_at, *link_at; /* they lie at the end of the stack, too */

static void paths_make(void)
{
	path_at = (char *)spare(3);
	link_at = path_at + 64;
	strcpy(path_at, ".");
	strcpy(link_at, "link");
}

/* `out`: nobody has touched it since something happened to it. */
static void calls_at(unsigned char *out)
{
	CHECK(syscall(SYS_readlink, link_at, out, 64) == 6 && !memcmp(out, "target", 6));
	CHECK(stat(path_at, (struct stat *)out) == 0);
	CHECK(S_ISDIR(((struct stat *)out)->st_mode));
	CHECK(uname((struct utsname *)out) == 0);
	CHECK(!strcmp(((struct utsname *)out)->sysname, "Linux"));
	CHECK(access(path_at, R_OK) == 0);
}

static void forks(void)
{
	unsigned char *page = spare(0);
	int status;

	for (int i = 0; i < 8; i++) {
		page[PAGE - 1] = 'b';
		pid_t pid = fork();

		CHECK(pid >= 0);
		calls_at(page);
		CHECK(page[PAGE - 1] == 'b');
		page[PAGE - 1] = pid ? 'p' : 'c';
		calls_at(page);
		if (!pid)
			_exit(page[PAGE - 1] == 'c' ? 0 : 1);
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHECK(page[PAGE - 1] == 'p');
	}
	say("forks\n");
}

static void *forker(void *unused)
{
	int status;

	(void)unused;
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			_exit(7);
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	}
	over = true;
	return NULL;
}

/* The main thread calls all the time, while another one changes what it calls with. */
static long call_meanwhile(void *(*other)(void *))
{
	unsigned char *out = spare(0);
	pthread_attr_t small;
	pthread_t thread;
	long n = 0;

	over = false;
	CHECK(!pthread_attr_init(&small) && !pthread_attr_setstacksize(&small, 128 << 10));
	CHECK(!pthread_create(&thread, &small, other, NULL));
	while (!over) { /* what is written there may be gone at once */
		CHECK(syscall(SYS_readlink, link_at, out, 64) == 6);
		CHECK(stat(path_at, (struct stat *)out) == 0);
		CHECK(uname((struct utsname *)out) == 0);
		n++;
	}
	CHECK(!pthread_join(thread, NULL));
	return n;
}

static void *taker(void *unused)
{
	(void)unused;
	for (int i = 0; i < TAKES; i++)
		CHECK(madvise(spare(0), PAGE, MADV_DONTNEED) == 0);
	over = true;
	return NULL;
}

/* The program takes its own pages away, and gives itself others. */
static void changes(void)
{
	unsigned char *page = spare(0);
	char path[] = "link";

	calls_at(page);
	CHECK(madvise(page, PAGE, MADV_DONTNEED) == 0);
	calls_at(page);
	CHECK(mprotect(page, PAGE, PROT_READ) == 0);
	errno = 0;
	CHECK(readlink(path, (char *)page, 64) < 0 && errno == EFAULT);
	CHECK(mprotect(page, PAGE, PROT_NONE) == 0);
	CHECK(readlink((char *)page, path, 4) < 0 && errno == EFAULT);
	CHECK(mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0);
	calls_at(page);
	CHECK(munmap(page, PAGE) == 0);
	CHECK(mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) == page);
	calls_at(page);
	unsigned char *other = map_anon(PAGE, PROT_READ | PROT_WRITE);

	CHECK(mremap(other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page) == page);
	calls_at(page);
	CHECK(mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) == page);
	calls_at(page);
	CHECK(mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) == page);
	calls_at(page);
	say("changes\n");
}

/* A page that a fork's child does not get. */
static void not_inherited(void)
{
	volatile unsigned char *page = spare(0);
	int status;

	page[0] = 'p';
	CHECK(madvise(spare(0), PAGE, MADV_DONTFORK) == 0);
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) { /* the stack grows into the gap */
		CHECK(page[0] == 0);
		page[0] = 'c';
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(page[0] == 'p');
	CHECK(madvise(spare(0), PAGE, MADV_DOFORK) == 0);
	say("not inherited\n");
}

/* What begins on the stack may end behind it, if there is something. */
static void across(void)
{
	unsigned char *top = end_of_stack + PAGE;

	if (mmap(top, PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == top) {
		CHECK(stat(path_at, (struct stat *)(top - 64)) == 0);
		CHECK(munmap(top, PAGE) == 0);
	}
	say("across\n");
}

int main(int argc, char **argv)
{
	CHECK(argc == 1 && argv[0]);
	CHECK(symlink("target", "link") == 0);
	end_find();
	paths_make();
	forks();
	CHECK(call_meanwhile(forker));
	say("forks meanwhile\n");
	CHECK(call_meanwhile(taker));
	say("changes meanwhile\n");
	changes();
	not_inherited();
	across();
	forks();
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Two nodes seen from a program: tests/programs/nodes.sh runs it with --nodes 2.  Policies of
 * the task and of regions decide where pages lie, pages move and keep their contents, children
 * and threads inherit, and what the program reads about itself agrees.
 */
#include "check.h"
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sys/syscall.h>

enum { PAGES = 64 };

static long set(int mode, unsigned long mask)
{
	return syscall(SYS_set_mempolicy, mode, &mask, 65ul);
}

static long bind(void *at, size_t pages, int mode, unsigned long mask, unsigned flags)
{
	return syscall(SYS_mbind, at, pages * PAGE, mode, &mask, 65ul, flags);
}

static int node_of(void *at)
{
	int status = -1;

	CHECK(syscall(SYS_move_pages, 0, 1ul, &at, NULL, &status, 0) == 0);
	return status;
}

static unsigned char *fresh(size_t pages)
{
	return map_anon(pages * PAGE, PROT_READ | PROT_WRITE);
}

static void regions(void)
{
	unsigned char *p = fresh(PAGES);

	CHECK(bind(p, 16, MPOL_BIND, 2, 0) == 0);
	CHECK(bind(p + 16 * PAGE, 16, MPOL_INTERLEAVE, 3, 0) == 0);
	CHECK(node_of(p) == -ENOENT);
	for (size_t i = 0; i < PAGES; i++)
		p[i * PAGE] = (unsigned char)i;
	for (size_t i = 0; i < 16; i++) {
		size_t at = (size_t)(p + (16 + i) * PAGE) / PAGE;

		CHECK(node_of(p + i * PAGE) == 1);
		CHECK(node_of(p + (16 + i) * PAGE) == (int)(at % 2));
	}
	say("regions\n");

	/* Moving keeps what is in the pages. */
	CHECK(bind(p, PAGES, MPOL_BIND, 1, MPOL_MF_STRICT) == -1 && errno == EIO);
	CHECK(node_of(p) == 1);
	CHECK(bind(p, PAGES, MPOL_BIND, 1, MPOL_MF_MOVE | MPOL_MF_STRICT) == 0);
	for (size_t i = 0; i < PAGES; i++) {
		CHECK(node_of(p + i * PAGE) == 0);
		CHECK(p[i * PAGE] == i);
	}
	int to = 1, status = -1;
	void *page = p + 7 * PAGE;

	CHECK(syscall(SYS_move_pages, 0, 1ul, &page, &to, &status, MPOL_MF_MOVE) == 0);
	CHECK(status == 1 && node_of(page) == 1 && p[7 * PAGE] == 7);
	unsigned long from_mask = 3, to_mask = 2;

	CHECK(syscall(SYS_migrate_pages, 0, 65ul, &from_mask, &to_mask) >= 0);
	for (size_t i = 0; i < PAGES; i++) {
		CHECK(node_of(p + i * PAGE) == 1);
		CHECK(p[i * PAGE] == i);
		p[i * PAGE]++;
	}
	CHECK(munmap(p, PAGES * PAGE) == 0);
	say("moving\n");
}

static void *in_thread(void *arg)
{
	unsigned char *p = fresh(1);

	(void)arg;
	*p = 1;
	return (void *)(long)node_of(p);
}

static void tasks(void)
{
	unsigned char *p = fresh(2);
	pthread_t thread;
	void *node;
	pid_t pid;

	CHECK(set(MPOL_BIND, 2) == 0);
	*p = 1;
	CHECK(node_of(p) == 1);
	CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0);
	CHECK(pthread_join(thread, &node) == 0 && (long)node == 1);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		p[PAGE] = 1;
		*p = 2; /* copied on write: onto our node */
		CHECK(node_of(p) == 1 && node_of(p + PAGE) == 1);
		_exit(0);
	}
	reap(pid, 0);
	CHECK(set(MPOL_PREFERRED, 1) == 0);
	p = fresh(1);
	*p = 1;
	CHECK(node_of(p) == 0);
	CHECK(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0ul) == 0);
	say("tasks\n");
}

/* A page that two processes map is not moved by one of them, unless it may move all. */
static void shared(void)
{
	unsigned char *p = fresh(1);
	int status = 0, to = 1, ends[2];
	void *page = p;
	pid_t pid;
	char byte;

	CHECK(bind(p, 1, MPOL_BIND, 1, 0) == 0);
	*p = 5;
	CHECK(pipe(ends) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		CHECK(read(ends[0], &byte, 1) == 1);
		CHECK(*p == 5);
		_exit(0);
	}
	CHECK(syscall(SYS_move_pages, 0, 1ul, &page, &to, &status, MPOL_MF_MOVE) == 1);
	CHECK(status == -EACCES);
	if (!geteuid()) { /* MPOL_MF_MOVE_ALL is for who may: there and, for the next check, back */
		int back = 0;

		CHECK(syscall(SYS_move_pages, 0, 1ul, &page, &to, &status, MPOL_MF_MOVE_ALL) == 0);
		CHECK(status == 1 && node_of(p) == 1 && *p == 5);
		CHECK(syscall(SYS_move_pages, 0, 1ul, &page, &back, &status, MPOL_MF_MOVE_ALL) ==
		      0);
		CHECK(status == 0 && node_of(p) == 0);
	}
	CHECK(write(ends[1], "x", 1) == 1);
	reap(pid, 0);
	CHECK(syscall(SYS_move_pages, 0, 1ul, &page, &to, &status, MPOL_MF_MOVE) == 0);
	CHECK(status == 1 && *p == 5);
	say("shared\n");
}

static void texts(void)
{
	char line[512];
	bool seen = false;
	unsigned char *p = fresh(4);
	unsigned long at;
	FILE *f;

	CHECK(bind(p, 4, MPOL_BIND, 2, 0) == 0);
	memset(p, 1, 4 * PAGE);
	f = fopen("/proc/self/numa_maps", "r");
	CHECK(f);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "%lx", &at) == 1 && at == (unsigned long)p)
			seen = strstr(line, " bind:1 anon=4 ") && strstr(line, " N1=4 ");
	fclose(f);
	CHECK(seen);
	f = fopen("/sys/devices/system/node/online", "r");
	CHECK(f && fgets(line, sizeof line, f) && !strcmp(line, "0-1\n"));
	fclose(f);
	CHECK(open("/sys/devices/system/node/node2/meminfo", O_RDONLY) == -1 && errno == ENOENT);
	CHECK(open("/sys/devices/system/node/../../../../etc/passwd", O_RDONLY) == -1);
	say("texts\n");
}

int main(void)
{
	regions();
	tasks();
	shared();
	texts();
	return 0;
}

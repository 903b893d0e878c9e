/* SPDX-License-Identifier: MIT */
/* process_vm_readv and process_vm_writev between two processes, touched pages or not. */
#include "check.h"
#include <sys/prctl.h>
#include <sys/uio.h>

enum { PAGES = 32, FORKS = 60 };

/* Its memory is copied for forks of its own meanwhile. */
static void read_one_that_forks(void)
{
	unsigned char *p = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);
	unsigned char *here = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);
	struct iovec local = { here, PAGES * PAGE }, remote = { p, PAGES * PAGE };
	atomic_int *over = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				-1, 0);
	pid_t pid;

	CHECK(over != MAP_FAILED);
	memset(p, 7, PAGES * PAGE);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0); /* after a failed check there */
		for (int i = 0; i < FORKS; i++) {
			pid_t child = fork();

			if (!child)
				_exit(0);
			reap(child, 0);
			memset(p, 7, PAGES * PAGE);
		}
		*over = 1;
		while (*over == 1)
			usleep(1000);
		_exit(0);
	}
	while (!*over) {
		memset(here, 0, PAGES * PAGE);
		CHECK(process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)(PAGES * PAGE));
		for (size_t i = 0; i < PAGES * PAGE; i++)
			CHECK(here[i] == 7);
		usleep(100);
	}
	*over = 2;
	reap(pid, 0);
	say("read from one that forks\n");
}

int main(void)
{
	unsigned char *p = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);
	unsigned char *untouched = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);
	unsigned char *here = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);
	struct iovec local = { here, PAGES * PAGE }, remote = { p, PAGES * PAGE };
	int to_child[2], to_parent[2];
	char c = 0;
	pid_t pid;

	CHECK(pipe(to_child) == 0 && pipe(to_parent) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		for (size_t i = 0; i < PAGES * PAGE; i++)
			p[i] = pattern(i);
		CHECK(write(to_parent[1], "x", 1) == 1);
		CHECK(read(to_child[0], &c, 1) == 1);
		for (size_t i = 0; i < PAGES * PAGE; i++)
			CHECK(untouched[i] == (unsigned char)~pattern(i));
		_exit(0);
	}
	CHECK(read(to_parent[0], &c, 1) == 1);
	CHECK(process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)(PAGES * PAGE));
	for (size_t i = 0; i < PAGES * PAGE; i++)
		CHECK(here[i] == pattern(i) && p[i] == 0);
	say("read\n");
	remote.iov_base = untouched;
	CHECK(process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)(PAGES * PAGE));
	for (size_t i = 0; i < PAGES * PAGE; i++)
		CHECK(here[i] == 0);
	say("read what was never touched\n");
	for (size_t i = 0; i < PAGES * PAGE; i++)
		here[i] = (unsigned char)~pattern(i);
	CHECK(process_vm_writev(pid, &local, 1, &remote, 1, 0) == (ssize_t)(PAGES * PAGE));
	CHECK(untouched[0] == 0);
	say("written\n");
	remote.iov_base = (void *)8;
	CHECK(process_vm_readv(pid, &local, 1, &remote, 1, 0) == -1 && errno == EFAULT);
	CHECK(write(to_child[1], "x", 1) == 1);
	reap(pid, 0);
	say("seen by the other\n");
	read_one_that_forks();
	return 0;
}

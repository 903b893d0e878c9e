/* SPDX-License-Identifier: MIT */
/*
 * Two threads, each kept on a processor of another node: what malloc gives a thread lies on the
 * thread's node, fresh or used before, by whomever.  move_pages says where a page is.
 *
 *	local            verdicts
 *	local spread     under a policy of its own, it interleaves: the policy counts
 */
#define _GNU_SOURCE
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NR 3000
#define PAGE 4096ul

enum step { ALLOC, TOUCH, FREE, LOOK, MOVE, END };

static struct thread {
	pthread_t id;
	sem_t go;
	enum step step;
	int node;
	char **blocks; /* what the step is about */
} threads[2];
static sem_t done;
static unsigned long nr_pages, nr_local; /* of the last LOOK */
static int nr_verdicts, bad;

/* 16 bytes to 40 KiB: small ones, whole pages, large blocks. */
static size_t size_of(int i)
{
	return i % 50 == 49 ? 40000 : i % 7 == 6 ? 4096 : 16 + (size_t)i * 7919 % 1009;
}

static void go_to(int node)
{
	char path[64];
	cpu_set_t cpus;
	FILE *f;
	int cpu;

	snprintf(path, sizeof path, "/sys/devices/system/node/node%d/cpulist", node);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%d", &cpu) != 1) {
		perror(path);
		exit(2);
	}
	fclose(f);
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof cpus, &cpus)) {
		perror("sched_setaffinity");
		exit(2);
	}
}

static void look(char *block, size_t size, int node)
{
	for (char *at = block - (unsigned long)block % PAGE; at < block + size; at += PAGE) {
		void *page = at;
		int status = -1;

		if (syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0)) {
			perror("move_pages");
			exit(2);
		}
		nr_pages++;
		nr_local += status == node;
	}
}

static void *work(void *arg)
{
	struct thread *self = arg;

	go_to(self->node);
	for (;;) {
		while (sem_wait(&self->go))
			;
		if (self->step == END)
			return NULL;
		if (self->step == MOVE)
			go_to(self->node);
		for (int i = 0; self->step != MOVE && i < NR; i++) {
			if (self->step == ALLOC && !(self->blocks[i] = malloc(size_of(i))))
				exit(2);
			if (self->step == TOUCH)
				memset(self->blocks[i], i, size_of(i));
			if (self->step == LOOK)
				look(self->blocks[i], size_of(i), self->node);
			if (self->step == FREE)
				free(self->blocks[i]);
		}
		sem_post(&done);
	}
}

static void let(int thread, enum step step, char **blocks)
{
	threads[thread].step = step;
	threads[thread].blocks = blocks;
	sem_post(&threads[thread].go);
	while (step != END && sem_wait(&done))
		;
}

static void verdict(const char *what)
{
	bad |= nr_local != nr_pages;
	printf("%sok %d - %s: %lu of %lu pages\n", nr_local == nr_pages ? "" : "not ",
	       ++nr_verdicts, what, nr_local, nr_pages);
	nr_local = nr_pages = 0;
}

static void make(int thread, char **blocks)
{
	let(thread, ALLOC, blocks);
	let(thread, TOUCH, blocks);
}

/* A policy is inherited over exec; the malloc sees it when it begins. */
static int spread(char **argv)
{
	unsigned long both = 3, on[2] = { 0 };
	char *block;

	if (argv[2] == NULL) {
		if (syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &both, 65ul))
			return 2;
		execl("/proc/self/exe", argv[0], argv[1], "interleaved", NULL);
		return 2;
	}
	block = malloc(256 * PAGE);
	if (!block)
		return 2;
	memset(block, 1, 256 * PAGE);
	for (int node = 0; node < 2; node++) {
		nr_local = 0;
		look(block, 256 * PAGE, node);
		on[node] = nr_local;
	}
	bad = on[0] < 100 || on[1] < 100;
	printf("%sok 1 - interleaved: %lu and %lu pages\n", bad ? "not " : "", on[0], on[1]);
	return bad;
}

int main(int argc, char **argv)
{
	static char *a[NR], *b[NR], *c[NR];

	if (argc > 1)
		return spread(argv);
	sem_init(&done, 0, 0);
	for (int i = 0; i < 2; i++) {
		sem_init(&threads[i].go, 0, 0);
		threads[i].node = i;
		if (pthread_create(&threads[i].id, NULL, work, &threads[i]))
			return 2;
	}
	make(0, a);
	make(1, b);
	let(0, LOOK, a);
	let(1, LOOK, b);
	verdict("fresh");
	let(0, FREE, a);
	let(1, FREE, b);
	make(0, b);
	make(1, a);
	let(0, LOOK, b);
	let(1, LOOK, a);
	verdict("used before on the other node as well");
	let(1, FREE, b);
	let(0, FREE, a);
	make(0, a);
	make(1, b);
	let(0, LOOK, a);
	let(1, LOOK, b);
	verdict("freed by the other node's thread");
	let(0, ALLOC, c);
	let(1, TOUCH, c);
	let(0, LOOK, c);
	verdict("touched first by the other node's thread");
	let(0, FREE, a);
	threads[0].node = 1;
	let(0, MOVE, NULL);
	let(0, ALLOC, a); /* what its bins had is given out before it is noticed */
	let(0, FREE, a);
	make(0, a);
	let(0, LOOK, a);
	verdict("after it moved to the other node");
	let(0, FREE, c); /* of the node that it left */
	let(0, FREE, a);
	make(0, a);
	let(0, LOOK, a);
	verdict("after it freed what it had left there");
	for (int i = 0; i < 2; i++) {
		let(i, END, NULL);
		pthread_join(threads[i].id, NULL);
	}
	return bad;
}

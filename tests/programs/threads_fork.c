/* SPDX-License-Identifier: MIT */
/* 8 threads allocate, check and free in a storm while the main thread forks. */
#include "check.h"
#include <pthread.h>

enum { THREADS = 8, FORKS = 40, SLOTS = 64 };

static atomic_bool stop;
static atomic_ulong rounds;

static void storm_step(unsigned *seed, unsigned char **slot, size_t *size)
{
	unsigned i = (unsigned)rand_r(seed) % SLOTS;

	if (slot[i]) {
		for (size_t k = 0; k < size[i]; k += 511)
			CHECK(slot[i][k] == (unsigned char)(i + k));
		if (rand_r(seed) % 4 == 0) {
			size_t n = size[i] * 2;

			slot[i] = realloc(slot[i], n);
			CHECK(slot[i]);
			for (size_t k = 0; k < size[i]; k += 511)
				CHECK(slot[i][k] == (unsigned char)(i + k));
		}
		free(slot[i]);
		slot[i] = NULL;
		return;
	}
	/* Mostly small; sometimes above malloc's mmap threshold. */
	size[i] = 1 + (unsigned)rand_r(seed) % (rand_r(seed) % 16 ? 4000 : 300000);
	slot[i] = malloc(size[i]);
	CHECK(slot[i]);
	for (size_t k = 0; k < size[i]; k += 511)
		slot[i][k] = (unsigned char)(i + k);
}

static void *storm(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	unsigned char *slot[SLOTS] = { 0 };
	size_t size[SLOTS];

	while (!stop) {
		storm_step(&seed, slot, size);
		rounds++;
	}
	for (int i = 0; i < SLOTS; i++)
		free(slot[i]);
	return NULL;
}

static void child(unsigned n, const unsigned char *block)
{
	unsigned seed = n;
	unsigned char *slot[SLOTS] = { 0 };
	size_t size[SLOTS];

	for (size_t i = 0; i < 64 * PAGE; i++)
		CHECK(block[i] == pattern(i));
	for (int i = 0; i < 300; i++)
		storm_step(&seed, slot, size);
	_exit((int)n);
}

int main(void)
{
	pthread_t thread[THREADS];
	unsigned char *block = map_anon(64 * PAGE, PROT_READ | PROT_WRITE);

	for (size_t i = 0; i < 64 * PAGE; i++)
		block[i] = pattern(i);
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&thread[i], NULL, storm, (void *)(i + 1)) == 0);
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			child((unsigned)i, block);
		reap(pid, i);
	}
	stop = true;
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	CHECK(rounds > THREADS);
	say("%d threads, %d forks\n", THREADS, FORKS);
	return 0;
}

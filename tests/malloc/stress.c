/* SPDX-License-Identifier: MIT */
/*
 * Eight threads that allocate, resize, trim, and free what others allocated, handed over through
 * slots by atomic exchange; threads come and go.  Compiled with the allocator under
 * ThreadSanitizer, which must be silent.  Every block's bytes are checked by who frees it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "ops.h"

#define NR_THREADS 8
#define NR_SLOTS 512
#define NR_LIVES 3 /* each thread ends and begins anew */

static _Atomic(unsigned char *) slots[NR_SLOTS];
static atomic_int nr_bad;
static uint64_t seed;
static int nr_operations = 20000; /* of each thread; or the argument */

void *test_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	return mmap(at, bytes, prot, flags, fd, offset);
}

static void check_and_free(unsigned char *p)
{
	size_t size;

	if (!p)
		return;
	memcpy(&size, p, sizeof size);
	for (size_t i = sizeof size; i < size && i < 256; i++)
		nr_bad += p[i] != (unsigned char)size;
	nr_bad += p[size - 1] != (unsigned char)size;
	om_free(p);
}

static unsigned char *make(size_t size, int way)
{
	unsigned char *p = way == 0 ? om_calloc(1, size) : way == 1 ? om_memalign(64, size) :
							    om_malloc(size);

	if (way == 2 && p)
		p = om_realloc(p, size * 2);
	if (!p) {
		nr_bad++;
		return NULL;
	}
	memset(p, (unsigned char)size, size < 256 ? size : 256);
	p[size - 1] = (unsigned char)size;
	memcpy(p, &size, sizeof size);
	return p;
}

static void *work(void *arg)
{
	uint64_t x = seed + (uintptr_t)arg * 7919;

	for (int i = 0; i < nr_operations; i++) {
		size_t size;

		x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
		size = 16 + ((x >> 40) & (((size_t)16 << (x >> 33) % 13) - 1));
		check_and_free(atomic_exchange(&slots[(x >> 20) % NR_SLOTS],
					       x >> 63 ? make(size, (int)(x >> 57) % 5) : NULL));
		if (i % 1000 == 999)
			(void)om_malloc_trim(0);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const char *given = getenv("SEED");
	pthread_t threads[NR_THREADS];

	if (argc > 1)
		nr_operations = atoi(argv[1]);
	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("# stress: SEED=%llu\n", (unsigned long long)seed);
	for (int life = 0; life < NR_LIVES; life++) {
		for (uintptr_t i = 0; i < NR_THREADS; i++)
			pthread_create(&threads[i], NULL, work, (void *)(i + 10 * (uintptr_t)life));
		for (int i = 0; i < NR_THREADS; i++)
			pthread_join(threads[i], NULL);
	}
	for (int i = 0; i < NR_SLOTS; i++)
		check_and_free(slots[i]);
	printf("%sok 1 - eight threads, remote frees\n", nr_bad ? "not " : "");
	return nr_bad != 0;
}

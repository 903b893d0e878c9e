/* SPDX-License-Identifier: MIT */
/* 200 MB kept, 100 MB that come and go, 50 MiB in one block: what a profile must say of it. */
#include <stdlib.h>
#include <string.h>

static void *volatile sink;
static void *(*volatile call_malloc)(size_t) = malloc;

__attribute__((noinline)) static void keeper(void)
{
	for (int i = 0; i < 200000; i++)
		sink = memset(call_malloc(1000), 1, 1000);
}

__attribute__((noinline)) static void churner(void)
{
	for (int i = 0; i < 100000; i++) {
		sink = call_malloc(1000);
		free(sink);
	}
}

__attribute__((noinline)) static void one(void)
{
	sink = call_malloc((size_t)50 << 20);
}

int main(void)
{
	keeper();
	churner();
	one();
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* One mistake, named by the argument; 0 if nobody minded. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void (*volatile call_free)(void *) = free;
static void *(*volatile call_malloc)(size_t) = malloc;

static void *in_thread(void *arg)
{
	(void)arg;
	return call_malloc(300); /* in a thread */
}

static void leak(void)
{
	(void)call_malloc(500); /* leaked */
}

int main(int argc, char **argv)
{
	const char *mistake = argc > 1 ? argv[1] : "";
	volatile char *p = call_malloc(100); /* allocated */
	void *volatile object = (void *)p;

	if (!strcmp(mistake, "overrun")) {
		p[112] = 1; /* 100 bytes have a block of 112 */
		call_free(object);
	} else if (!strcmp(mistake, "slack")) {
		p[100] = 1;
		call_free(object);
	} else if (!strcmp(mistake, "slack-in-use")) {
		p[100] = 1;
	} else if (!strcmp(mistake, "late-write")) {
		call_free(object);
		p[99] = 1;
	} else if (!strcmp(mistake, "use-after-free")) {
		call_free(object); /* freed early */
		p[5] = 1;
		for (int i = 0; i < 3; i++)
			object = call_malloc(100);
	} else if (!strcmp(mistake, "twice")) {
		call_free(object); /* freed first */
		call_free(object); /* freed again */
	} else if (!strcmp(mistake, "thread")) {
		pthread_t thread;
		void *block;

		pthread_create(&thread, NULL, in_thread, NULL);
		pthread_join(thread, &block);
		call_free(block);
		call_free(block);
	} else if (!strcmp(mistake, "leaks")) {
		for (int i = 0; i < 2; i++)
			leak();
	} else if (!strcmp(mistake, "middle")) {
		call_free((char *)object + 16);
	} else if (!strcmp(mistake, "stack")) {
		call_free(&object);
	} else if (!strcmp(mistake, "large-twice")) {
		object = call_malloc(1 << 20);
		call_free(object);
		call_free(object);
	}
	return 0;
}

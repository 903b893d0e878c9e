/* SPDX-License-Identifier: MIT */
/* One mistake, named by the argument; 0 if nobody minded. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

void free_sized(void *p, size_t size) __attribute__((weak)); /* C23 */

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
	} else if (!strcmp(mistake, "sized")) {
		if (free_sized)
			free_sized(object, 4);
	} else if (!strcmp(mistake, "middle")) {
		call_free((char *)object + 16);
	} else if (!strcmp(mistake, "stack")) {
		call_free(&object);
	} else if (!strcmp(mistake, "twice-later")) {
		void *volatile others[3000];

		for (int i = 0; i < 3000; i++)
			others[i] = call_malloc(100);
		call_free(object);
		for (int i = 0; i < 3000; i++)
			call_free(others[i]);
		call_free(object);
	} else if (!strcmp(mistake, "large-overrun")) {
		p = call_malloc(1 << 20);
		p[1 << 20] = 1;
	} else if (!strcmp(mistake, "large-after-free")) {
		p = call_malloc(1 << 20);
		call_free((void *)p);
		p[0] = 1;
	} else if (!strcmp(mistake, "in order")) { /* 64 in a row, each behind the last */
		char *last = call_malloc(48);
		int nr = 0;

		for (int i = 0; i < 64; i++) {
			char *next = call_malloc(48);

			nr += next == last + 48;
			last = next;
		}
		return nr > 32;
	} else if (!strcmp(mistake, "large-twice")) {
		object = call_malloc(1 << 20);
		call_free(object);
		call_free(object);
	}
	return 0;
}

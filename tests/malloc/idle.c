/* SPDX-License-Identifier: MIT */
/*
 * 200 MiB, all freed: what is held at once, if no further call comes (limited by amount), and after
 * a second in which the program works a little (limited by age).  Who takes 32 MiB again and again
 * is not to touch new pages for ever.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NR 400000
#define MIB (1024. * 1024)

static void *blocks[NR];

static double resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size, pages = 0;

	if (!f || fscanf(f, "%ld %ld", &size, &pages) != 2)
		exit(2);
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / MIB;
}

static int verdict(int nr, const char *what, double held, double most)
{
	printf("%sok %d - %s: %.1f MiB held of 200, at most %.0f\n", held > most ? "not " : "", nr,
	       what, held, most);
	return held > most;
}

static long faults_of_rounds(int rounds)
{
	struct rusage a, b;

	getrusage(RUSAGE_SELF, &a);
	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < 1000; i++) {
			blocks[i] = malloc(32768);
			memset(blocks[i], 1, 32768);
		}
		for (int i = 0; i < 1000; i++)
			free(blocks[i]);
	}
	getrusage(RUSAGE_SELF, &b);
	return b.ru_minflt - a.ru_minflt;
}

int main(void)
{
	long faults;
	double before, most;
	int bad;

	memset(blocks, 1, sizeof blocks); /* so that they are not counted */
	before = resident();
	for (int i = 0; i < NR; i++) {
		size_t size = 16 + (size_t)i * 7919 % 1009;

		blocks[i] = memset(malloc(size), 1, size);
	}
	most = resident() - before;
	for (int i = 0; i < NR; i++)
		free(blocks[i]);
	bad = most < 190;
	bad |= verdict(1, "all freed, and no further call", resident() - before, 10);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 3000; i++)
			blocks[i] = malloc(16 + (size_t)i % 64);
		for (int i = 0; i < 3000; i++)
			free(blocks[i]);
		usleep(100000);
	}
	bad |= verdict(2, "a second later, after little work", resident() - before, 10);
	(void)faults_of_rounds(20); /* it is learnt */
	faults = faults_of_rounds(20);
	printf("%sok 3 - 1000 blocks of 32 KiB, 20 times: %ld pages touched anew, at most 16000\n",
	       faults > 16000 ? "not " : "", faults);
	return bad | (faults > 16000);
}

/* SPDX-License-Identifier: MIT */
/*
 * mallopt, its variables in the environment and malloc_info, as mallopt(3) and malloc_info(3) have
 * them: glibc's malloc must pass, too.
 *
 *	tuned            by mallopt
 *	tuned given      MALLOC_PERTURB_=90, MALLOC_MMAP_THRESHOLD_=65536 are in the environment
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define NR 1024

static int nr_verdicts, bad;

static void verdict(int holds, const char *what)
{
	bad |= !holds;
	printf("%sok %d - %s\n", holds ? "" : "not ", ++nr_verdicts, what);
}

static size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	size_t size, pages = 0;

	if (!f || fscanf(f, "%zu %zu", &size, &pages) != 2)
		exit(2);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static int all_are(const volatile unsigned char *p, size_t from, size_t to, unsigned char value)
{
	for (size_t i = from; i < to; i++)
		if (p[i] != value)
			return 0;
	return 1;
}

static void perturbed(void)
{
	static const size_t sizes[] = { 24, 100, 5000, 60000, 400000 };
	int filled = 1, zeroed = 1, wiped = 1;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		unsigned char *p = malloc(sizes[i]), *q = calloc(1, sizes[i]);
		volatile unsigned char *late = p;

		if (!p || !q)
			exit(2);
		filled &= all_are(p, 0, sizes[i], 0xa5);
		zeroed &= all_are(q, 0, sizes[i], 0);
		memset(p, 1, sizes[i]);
		free(p);
		/* Not glibc's in its threads' caches, nor its links in the first 32 bytes. */
		if (sizes[i] == 5000)
			wiped &= all_are(late, 32, sizes[i] - 16, 0x5a);
		free(q);
	}
	verdict(filled, "M_PERTURB: new blocks have the complement");
	verdict(zeroed, "M_PERTURB: calloc's are zero");
	verdict(wiped, "M_PERTURB: freed ones have the byte");
}

static size_t mapped_by(size_t bytes)
{
	size_t before = mallinfo2().hblks, with;
	void *p = malloc(bytes);

	with = mallinfo2().hblks;
	free(p);
	return mallinfo2().hblks == before ? with - before : 99;
}

static void trimmed(void)
{
	static void *blocks[NR];
	size_t before = resident(), full, kept;

	for (int i = 0; i < NR; i++) {
		blocks[i] = malloc(60 * KIB);
		if (!blocks[i])
			exit(2);
		memset(blocks[i], 1, 60 * KIB);
	}
	full = resident() - before;
	for (int i = 0; i < NR; i++)
		free(blocks[i]);
	for (int i = 0; i < 10; i++) { /* time passes, and calls come */
		for (int j = 0; j < 100; j++)
			blocks[j] = malloc(100);
		for (int j = 0; j < 100; j++)
			free(blocks[j]);
		usleep(60000);
	}
	kept = resident() - before;
	verdict(full > 55 * MIB && kept > full - 2 * MIB, "M_TRIM_THRESHOLD -1: all is kept");
	verdict(mallinfo2().keepcost > 50 * MIB, "keepcost: what could be given back");
	malloc_trim(0);
	verdict(resident() < before + 8 * MIB, "malloc_trim gives it back");
}

static void informed(void)
{
	FILE *f = tmpfile();
	char text[65536] = "";
	unsigned long long current = 0;
	void *p = malloc(3 * MIB);
	char *at;

	if (!f || !p || malloc_info(0, f))
		exit(2);
	rewind(f);
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	at = strstr(text, "</heap>");
	at = at ? strstr(at, "<system type=\"current\" size=\"") : NULL;
	if (at)
		sscanf(at, "<system type=\"current\" size=\"%llu\"", &current);
	verdict(!strncmp(text, "<malloc version=\"1\">", 20) && current >= 3 * MIB &&
		strstr(text, "</malloc>"), "malloc_info tells of what there is");
	verdict(malloc_info(1, stdout) != 0, "malloc_info has no options");
	free(p);
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		verdict(mapped_by(200 * KIB) == 1, "MALLOC_MMAP_THRESHOLD_");
		perturbed();
		return bad;
	}
	mallopt(M_MMAP_THRESHOLD, 64 * KIB);
	verdict(mapped_by(40 * KIB) == 0 && mapped_by(200 * KIB) == 1, "M_MMAP_THRESHOLD");
	verdict(mallopt(M_PERTURB, 0x5a) == 1, "M_PERTURB is accepted");
	perturbed();
	mallopt(M_PERTURB, 0);
	verdict(mallopt(M_MXFAST, 64) == 1 && !mallopt(M_MXFAST, 4096), "M_MXFAST: up to 160");
	verdict(mallopt(M_MMAP_MAX, 0) == 1 && mapped_by(200 * KIB) == 0, "M_MMAP_MAX 0");
	informed();
	mallopt(M_TRIM_THRESHOLD, -1);
	trimmed();
	return bad;
}

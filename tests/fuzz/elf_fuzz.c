/* SPDX-License-Identifier: MIT */
/*
 * Fuzzing the ELF loader: any bytes are parsed; what parses must keep the promises
 * [ELF-1] .. [ELF-5] of core/loader/elf_parse.c, and is loaded on a small machine, which
 * must be sound afterwards and must get every frame back.
 *
 *   make fuzz                    libFuzzer (clang), a minute
 *   build/tests/fuzz/elf_smoke   the same body on random mutations of the corpus (any compiler)
 *   build/tests/fuzz/elf_smoke FILE...   one input again
 */
#include <ondol/ondol.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/elf_image.h"
#include "support/toy.h"

#define REQUIRE(condition)                                                                    \
	do {                                                                                  \
		if (!(condition)) {                                                           \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);       \
			abort();                                                              \
		}                                                                             \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct toy toy;

static void check_promises(const struct ondol_elf_info *info, const struct elf_image *file)
{
	REQUIRE(info->nr_segments >= 1 && info->nr_segments <= ONDOL_ELF_SEGMENTS_MAX);
	REQUIRE(info->min_vaddr < info->max_vaddr); /* [ELF-1] */
	REQUIRE(!((info->min_vaddr | info->max_vaddr) & ~ONDOL_PAGE_MASK));
	for (uint32_t i = 0; i < info->nr_segments; i++) {
		const struct ondol_elf_segment *s = &info->segment[i];
		uint64_t end = s->vaddr + s->memsz;

		REQUIRE(s->filesz <= s->memsz); /* [ELF-2] */
		REQUIRE(s->offset + s->filesz >= s->offset);
		REQUIRE(end >= s->vaddr && end <= ONDOL_PAGE_MASK);
		REQUIRE(s->vaddr >= info->min_vaddr && end <= info->max_vaddr);
		REQUIRE(info->elf_class == 2 || end <= UINT64_C(1) << 32);
		REQUIRE(!s->filesz || s->offset % 4096 == s->vaddr % 4096); /* [ELF-3] */
	}
	REQUIRE(info->align >= 4096 && !(info->align & (info->align - 1))); /* [ELF-4] */
	if (info->has_interp) { /* [ELF-5] */
		REQUIRE(info->interp_size >= 2 && info->interp_size <= file->size);
		REQUIRE(info->interp_offset <= file->size - info->interp_size);
		REQUIRE(file->bytes[info->interp_offset + info->interp_size - 1] == 0);
	}
}

static int read_pages(void *ctx, uint64_t pgoff, uint32_t nr_pages, void *host)
{
	const struct elf_image *file = ctx;

	for (uint64_t i = 0; i < (uint64_t)nr_pages * 4096; i++) {
		uint64_t at = pgoff * 4096 + i;

		((unsigned char *)host)[i] = at < file->size ? file->bytes[at] : 0;
	}
	return 0;
}

static uint64_t size_bytes(void *ctx)
{
	return ((const struct elf_image *)ctx)->size;
}

static void require_sound(struct ondol_mm_struct *mm)
{
	struct ondol_broken_invariant broken;

	if (ondol_mm_validate(mm, &broken)) {
		fprintf(stderr, "broken: [%s] %s\n", broken.id, broken.text);
		abort();
	}
}

/* Refusals are fine; what counts is the state afterwards. */
static void load(const struct ondol_elf_info *info, struct elf_image *file)
{
	static const struct ondol_address_space_ops ops = {
		.size = sizeof ops, .read_pages = read_pages, .size_bytes = size_bytes,
	};
	struct ondol_file_args args = { .size = sizeof args, .name = "/fuzz" };
	struct ondol_machine_stats before, after;
	struct ondol_elf_image image;
	struct ondol_mm_struct *mm;
	struct ondol_file *f;

	ondol_drain_all_pages(toy.m);
	ondol_machine_stats(toy.m, &before);
	REQUIRE(!ondol_address_space_create(toy.m, &ops, file, &args.mapping));
	REQUIRE(!ondol_file_create(toy.m, &args, &f));
	ondol_address_space_put(args.mapping);
	REQUIRE(!ondol_mm_create(toy.m, &mm));
	for (int twice = 0; twice < 2; twice++) { /* ET_EXEC: the second has no room */
		uint64_t base = twice ? 0 : ondol_profile_x86_64.exec_base_dyn;
		int r = ondol_elf_load(mm, info, f, base, &image);

		REQUIRE(r <= 0);
		if (!r) {
			REQUIRE(image.start_code <= image.end_code);
			REQUIRE(image.base % 4096 == 0 && image.end > image.base);
		}
		require_sound(mm);
	}
	ondol_mmput(mm);
	ondol_file_put(f);
	ondol_drain_all_pages(toy.m);
	ondol_machine_stats(toy.m, &after);
	REQUIRE(after.nr_mm == before.nr_mm && after.nr_vma == before.nr_vma);
	REQUIRE(after.pages[ONDOL_PAGE_ANON] == 0 && after.pages[ONDOL_PAGE_CACHE] == 0);
	REQUIRE(after.pages[ONDOL_PAGE_PGTABLE] == before.pages[ONDOL_PAGE_PGTABLE]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_image file = { .bytes = (unsigned char *)(uintptr_t)data, .size = size };
	struct ondol_elf_info info;
	const char *why = NULL;

	if (!toy.m)
		REQUIRE(!toy_new(&toy, 16, 1, NULL, NULL, NULL));
	if (ondol_elf_parse(elf_image_read, &file, size, &info, &why)) {
		REQUIRE(why && *why);
		return 0;
	}
	check_promises(&info, &file);
	load(&info, &file);
	return 0;
}

#ifdef FUZZ_SMOKE
#include <dirent.h>

#define FILE_MAX_SIZE (1u << 16)

static unsigned char input[FILE_MAX_SIZE];
static uint64_t rng;

static uint64_t next(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* Numbers that sit on edges are worth more than random ones. */
static uint64_t interesting(void)
{
	static const uint64_t edge[] = { 0, 1, 2, 0x7f, 0xff, 0xfff, 0x1000, 0x1001, 0x7fff, 0xffff,
					 0x7fffffff, 0xffffffff, 0x100000000, 0x7ffffffff000,
					 0x800000000000, INT64_MAX, (uint64_t)-4096,
					 UINT64_MAX };

	return next() % 4 ? edge[next() % (sizeof edge / sizeof *edge)] + next() % 3 - 1 : next();
}

static size_t mutate(unsigned char *p, size_t size)
{
	for (uint64_t n = 1 + next() % 4; n; n--) {
		/* Mostly headers. */
		size_t at = next() % (next() % 8 && size > 512 ? 512 : size);
		unsigned width = 1u << next() % 4;
		uint64_t value = interesting();

		switch (next() % 4) {
		case 0:
			p[at] ^= (unsigned char)(1u << next() % 8);
			break;
		case 1:
			if (next() % 8 == 0)
				size = 1 + next() % size;
			break;
		default:
			at &= ~(size_t)(width - 1);
			for (unsigned i = 0; i < width && at + i < size; i++)
				p[at + i] = (unsigned char)(value >> (8 * i));
		}
	}
	return size;
}

static size_t read_input(const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		perror(path);
		exit(2);
	}
	n = fread(input, 1, sizeof input, f);
	fclose(f);
	return n;
}

static void smoke(const char *corpus, uint64_t rounds)
{
	struct dirent **names;
	int nr = scandir(corpus, &names, NULL, alphasort);

	REQUIRE(nr > 2);
	for (int i = 0; i < nr; i++) {
		static unsigned char original[FILE_MAX_SIZE];
		char path[512];
		size_t size;

		snprintf(path, sizeof path, "%s/%s", corpus, names[i]->d_name);
		size = names[i]->d_name[0] == '.' ? 0 : read_input(path);
		free(names[i]);
		if (!size)
			continue;
		memcpy(original, input, size);
		LLVMFuzzerTestOneInput(input, size);
		for (uint64_t r = 0; r < rounds; r++) {
			size_t n;

			memcpy(input, original, size);
			n = mutate(input, size);
			/* Kept before it is tried, so that a crash leaves it behind. */
			FILE *f = getenv("KEEP") ? fopen(getenv("KEEP"), "wb") : NULL;
			if (f) {
				fwrite(input, 1, n, f);
				fclose(f);
			}
			LLVMFuzzerTestOneInput(input, n);
		}
	}
	free(names);
}

int main(int argc, char **argv)
{
	const char *seed = getenv("SEED"), *rounds = getenv("ROUNDS");

	if (argc > 1) {
		for (int i = 1; i < argc; i++)
			LLVMFuzzerTestOneInput(input, read_input(argv[i]));
		return 0;
	}
	rng = seed ? strtoull(seed, NULL, 0) : 1;
	printf("SEED=%llu (KEEP=FILE keeps the last input)\n", (unsigned long long)rng);
	rng = rng * 2 + 1; /* never 0 */
	smoke("tests/fuzz/corpus/elf", rounds ? strtoull(rounds, NULL, 0) : 2000);
	return 0;
}
#endif

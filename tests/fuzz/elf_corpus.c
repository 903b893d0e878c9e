/* SPDX-License-Identifier: MIT */
/* Writes tests/fuzz/corpus/elf: small files by hand, one per feature.  `elf_corpus DIR` */
#include <stdio.h>

#include "support/elf_image.h"

static const char *dir;

static void save(const char *name, struct elf_image e, size_t size)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "wb");
	if (!f || fwrite(e.bytes, 1, size, f) != size || fclose(f)) {
		perror(path);
		exit(1);
	}
	elf_free(&e);
}

int main(int argc, char **argv)
{
	struct elf_image e;

	dir = argc > 1 ? argv[1] : ".";
	save("dyn64", elf_typical(true, ET_DYN, 0), 0x1100);
	save("exec64", elf_typical(true, ET_EXEC, 0x400000), 0x400);
	save("dyn32", elf_typical(false, ET_DYN, 0), 0x400);
	save("exec32", elf_typical(false, ET_EXEC, 0x08048000), 0x400);

	e = elf_new(true, ET_DYN, 0x200, 0);
	elf_load(&e, PF_R, 0, 0, 0x200, 0x200, 0x200000);
	elf_load(&e, PF_R | PF_W, 0x100, 0x200100, 0x100, 0x5000, 0x200000);
	save("aligned", e, 0x200);

	e = elf_new(true, ET_EXEC, 0x100, 0);
	elf_load(&e, PF_R | PF_W | PF_X, 0, 0x400000, 0x100, 0x10000, 0x1000);
	elf_stack(&e, PF_R | PF_W | PF_X);
	save("one-segment", e, 0x100);

	e = elf_new(true, ET_EXEC, 0x200, 0);
	elf_load(&e, PF_R | PF_W, 0, 0x400000, 0, 0x3000, 0x1000);
	elf_load(&e, PF_R | PF_X, 0x10, 0x300010, 0x100, 0x100, 0x1000);
	elf_load(&e, PF_R, 0x80, 0x300080, 0x100, 0x2000, 0x1000);
	save("bss-first-overlap", e, 0x200);

	e = elf_new(true, ET_DYN, 0x1100, 0);
	for (unsigned i = 0; i < 64; i++)
		elf_load(&e, i % 8, i, i * 0x1000 + i, 16, i % 3 * 0x800 + 16, 0x1000);
	save("64-segments", e, 0x1100);

	e = elf_new(true, ET_DYN, 0x1100, 0);
	elf_load(&e, PF_R | PF_W, 0, 0x7fffff000000, 0x800, 0x800, 0x1000);
	elf_interp(&e, 0x400, "/");
	save("high", e, 0x800);
	return 0;
}

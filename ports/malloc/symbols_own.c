/* SPDX-License-Identifier: MIT */
/*
 * The functions of a static program, from its own file's table of symbols: there is no loader to
 * ask, and a library loaded into such a program would bring a libc of its own.  Lines are for
 * addr2line, which wants the address that a report has in brackets.
 */
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

static struct {
	const char *image; /* the file; NULL: not looked at, or of no use */
	size_t size;
	const ElfW(Sym) *symbols;
	size_t nr_symbols;
	const char *names;
	size_t names_size;
	uintptr_t base; /* where it lies, if that is not what it says itself */
	char path[256];
} own;

static bool holds(uint64_t at, uint64_t bytes)
{
	return at <= own.size && bytes <= own.size - at;
}

/* The table and the names that it refers to. */
static bool find_table(void)
{
	const ElfW(Ehdr) *header = (const void *)own.image;
	const ElfW(Shdr) *sections;

	if (!holds(0, sizeof *header) || memcmp(header->e_ident, ELFMAG, SELFMAG) ||
	    header->e_shentsize != sizeof *sections || header->e_shoff % sizeof(uintptr_t) ||
	    !holds(header->e_shoff, (uint64_t)header->e_shnum * sizeof *sections))
		return false;
	sections = (const void *)(own.image + header->e_shoff);
	for (unsigned i = 0; i < header->e_shnum; i++) {
		const ElfW(Shdr) *table = &sections[i], *names = &sections[table->sh_link];

		if (table->sh_type != SHT_SYMTAB || table->sh_link >= header->e_shnum ||
		    table->sh_offset % sizeof(uintptr_t) || !names->sh_size ||
		    !holds(table->sh_offset, table->sh_size) ||
		    !holds(names->sh_offset, names->sh_size) ||
		    own.image[names->sh_offset + names->sh_size - 1])
			continue;
		own.symbols = (const void *)(own.image + table->sh_offset);
		own.nr_symbols = table->sh_size / sizeof *own.symbols;
		own.names = own.image + names->sh_offset;
		own.names_size = names->sh_size;
		if (header->e_type == ET_DYN)
			own.base = getauxval(AT_PHDR) - header->e_phoff;
		return true;
	}
	return false;
}

bool own_symbols_begin(void)
{
	struct stat st;
	void *image;
	int fd;

	if (own.nr_symbols)
		return true;
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (!fstat(fd, &st) && st.st_size > 0) {
		image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (image != MAP_FAILED) {
			own.image = image;
			own.size = (size_t)st.st_size;
		}
	}
	(void)close(fd);
	(void)!readlink("/proc/self/exe", own.path, sizeof own.path - 1);
	return own.image && find_table();
}

/* Its name, path and offset; a function's name only if the address is in one. */
void own_symbols_find(uintptr_t pc, struct symbol *out)
{
	out->module = own.path;
	out->offset = pc - own.base;
	for (size_t i = 0; i < own.nr_symbols; i++) {
		const ElfW(Sym) *symbol = &own.symbols[i];

		if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx &&
		    out->offset - symbol->st_value < symbol->st_size &&
		    symbol->st_name < own.names_size)
			out->function = own.names + symbol->st_name;
	}
}

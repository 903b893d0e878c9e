/* SPDX-License-Identifier: MIT */
/* ELF files made by hand, in memory: `elf_new`, then one `elf_add` per program header. */
#ifndef TESTS_SUPPORT_ELF_IMAGE_H
#define TESTS_SUPPORT_ELF_IMAGE_H

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct elf_image {
	unsigned char *bytes;
	size_t size;
	bool wide; /* ELFCLASS64 */
	unsigned nr_phdrs;
};

/* Each byte of the file tells its offset, so that what is loaded can be recognised. */
static inline unsigned char elf_fill(uint64_t offset)
{
	return (unsigned char)(offset * 31 + offset / 256 + 1);
}

static inline struct elf_image elf_new(bool wide, uint16_t type, size_t size, uint64_t entry)
{
	struct elf_image e = { .bytes = malloc(size), .size = size, .wide = wide };

	if (!e.bytes)
		abort();
	for (size_t i = 0; i < size; i++)
		e.bytes[i] = elf_fill(i);
	if (wide) {
		Elf64_Ehdr h = { .e_type = type, .e_machine = EM_X86_64, .e_version = 1,
				 .e_entry = entry, .e_phoff = sizeof h, .e_ehsize = sizeof h,
				 .e_phentsize = sizeof(Elf64_Phdr) };
		memcpy(h.e_ident, "\177ELF\2\1\1", 7);
		memcpy(e.bytes, &h, sizeof h);
	} else {
		Elf32_Ehdr h = { .e_type = type, .e_machine = EM_386, .e_version = 1,
				 .e_entry = (uint32_t)entry, .e_phoff = sizeof h,
				 .e_ehsize = sizeof h, .e_phentsize = sizeof(Elf32_Phdr) };
		memcpy(h.e_ident, "\177ELF\1\1\1", 7);
		memcpy(e.bytes, &h, sizeof h);
	}
	return e;
}

static inline Elf64_Ehdr *elf_ehdr64(struct elf_image *e)
{
	return (Elf64_Ehdr *)(void *)e->bytes;
}

static inline Elf32_Ehdr *elf_ehdr32(struct elf_image *e)
{
	return (Elf32_Ehdr *)(void *)e->bytes;
}

static inline Elf64_Phdr *elf_phdr64(struct elf_image *e, unsigned i)
{
	return (Elf64_Phdr *)(void *)(e->bytes + sizeof(Elf64_Ehdr)) + i;
}

static inline Elf32_Phdr *elf_phdr32(struct elf_image *e, unsigned i)
{
	return (Elf32_Phdr *)(void *)(e->bytes + sizeof(Elf32_Ehdr)) + i;
}

static inline void elf_add(struct elf_image *e, Elf64_Phdr ph)
{
	unsigned i = e->nr_phdrs++;

	if (e->wide) {
		*elf_phdr64(e, i) = ph;
		elf_ehdr64(e)->e_phnum = (uint16_t)e->nr_phdrs;
		return;
	}
	*elf_phdr32(e, i) = (Elf32_Phdr){
		.p_type = ph.p_type, .p_offset = (uint32_t)ph.p_offset,
		.p_vaddr = (uint32_t)ph.p_vaddr, .p_filesz = (uint32_t)ph.p_filesz,
		.p_memsz = (uint32_t)ph.p_memsz, .p_flags = ph.p_flags,
		.p_align = (uint32_t)ph.p_align,
	};
	elf_ehdr32(e)->e_phnum = (uint16_t)e->nr_phdrs;
}

static inline void elf_load(struct elf_image *e, uint32_t flags, uint64_t offset, uint64_t vaddr,
			    uint64_t filesz, uint64_t memsz, uint64_t align)
{
	elf_add(e, (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = flags, .p_offset = offset,
				 .p_vaddr = vaddr, .p_filesz = filesz, .p_memsz = memsz,
				 .p_align = align });
}

static inline void elf_interp(struct elf_image *e, uint64_t offset, const char *name)
{
	memcpy(e->bytes + offset, name, strlen(name) + 1);
	elf_add(e, (Elf64_Phdr){ .p_type = PT_INTERP, .p_flags = PF_R, .p_offset = offset,
				 .p_filesz = strlen(name) + 1, .p_memsz = strlen(name) + 1 });
}

static inline void elf_stack(struct elf_image *e, uint32_t flags)
{
	elf_add(e, (Elf64_Phdr){ .p_type = PT_GNU_STACK, .p_flags = flags });
}

static inline void elf_free(struct elf_image *e)
{
	free(e->bytes);
	e->bytes = NULL;
}

/* ondol_elf_read_t over an image; ctx is the image. */
static inline int elf_image_read(void *ctx, uint64_t offset, void *dst, size_t size)
{
	const struct elf_image *e = ctx;

	if (size > e->size || offset > e->size - size)
		return -EIO;
	memcpy(dst, e->bytes + offset, size);
	return 0;
}

/* A program as linkers make them: text, rodata, data with bss; position independent or not. */
static inline struct elf_image elf_typical(bool wide, uint16_t type, uint64_t base)
{
	struct elf_image e = elf_new(wide, type, 0x4000, base + 0x1040);

	elf_add(&e, (Elf64_Phdr){ .p_type = PT_PHDR, .p_flags = PF_R, .p_offset = 64,
				  .p_vaddr = base + 64, .p_filesz = 56 * 6, .p_memsz = 56 * 6 });
	elf_interp(&e, 0x300, "/lib/ld.so");
	elf_load(&e, PF_R, 0, base, 0x400, 0x400, 0x1000);
	elf_load(&e, PF_R | PF_X, 0x1000, base + 0x1000, 0xf80, 0xf80, 0x1000);
	elf_load(&e, PF_R | PF_W, 0x2e10, base + 0x3e10, 0x320, 0x2600, 0x1000);
	elf_stack(&e, PF_R | PF_W);
	return e;
}

#endif /* TESTS_SUPPORT_ELF_IMAGE_H */

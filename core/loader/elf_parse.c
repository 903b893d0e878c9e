/* SPDX-License-Identifier: MIT */
/*
 * ELF: from the bytes of a program file to regions of an address space, and the stack that
 * the new program finds.
 *
 * An executable says in its program headers which part of the file belongs at which
 * address (G2).  Nothing is read here but headers: each PT_LOAD becomes a region, and its
 * pages come when they are touched (G8).
 *
 *   file                            memory
 *   +-------------+ offset          +-------------+ vaddr (both the same modulo the page)
 *   | filesz      |  ------------>  | file region | a private mapping
 *   |             |                 |.............| vaddr + filesz: bss begins; the rest of
 *   +-------------+                 |0000000000000|   this page is cleared if writable
 *                                   +-------------+
 *                                   | anonymous   | whole pages of bss
 *                                   +-------------+ vaddr + memsz, rounded up
 *
 * Two kinds of file: ET_EXEC goes where its headers say; ET_DYN (position-independent
 * programs and the dynamic linker itself) anywhere, everything moved by one *load bias*.
 * A program with PT_INTERP is started through the file named there (ld.so), which finds the
 * program again by the auxiliary vector (AT_PHDR, AT_ENTRY; AT_BASE is its own bias).
 *
 *   elf_parse.c  headers -> struct ondol_elf_info   pure: sees only bytes
 *   elf_load.c   info -> regions                    needs an mm
 *   stack.c      argv, envp, auxv -> stack          needs an mm
 *
 * The file is hostile: every number is checked before it is used, and the parsed plan
 * keeps these promises:
 *
 *   [ELF-1] 1 <= nr_segments <= ONDOL_ELF_SEGMENTS_MAX, and min_vaddr < max_vaddr, both
 *           multiples of the page.
 *   [ELF-2] For every segment: filesz <= memsz; offset + filesz and the page-rounded end
 *           of vaddr + memsz do not wrap, and the latter is at most 2^32 in a 32-bit file.
 *   [ELF-3] For every segment with file bytes: offset = vaddr modulo the page.
 *   [ELF-4] align is a power of two and at least a page.
 *   [ELF-5] With has_interp, interp_offset + interp_size lies inside the file, and the
 *           string's last byte is its NUL.
 *
 * What a file may get away with is what Linux lets it get away with, so that a program
 * either runs in both or in neither: magic, type, machine and program headers count; the
 * rest of e_ident, section headers and e_ehsize do not, and a file may be shorter than its
 * segments claim (touching what is missing is a bus error).
 *
 * Sources: System V ABI, gABI chapters 4 and 5, and its i386 and AMD64 supplements;
 * elf(5); Linux's behaviour, fs/binfmt_elf.c.
 */
#include <ondol/loader.h>

#define EHDR32_SIZE 52u
#define EHDR64_SIZE 64u
#define PHDR32_SIZE 32u
#define PHDR64_SIZE 56u
#define PHDR_BATCH 8u          /* program headers per read: 448 bytes of stack */
#define PHDR_TABLE_MAX 65536u  /* bytes, Linux's limit */
#define INTERP_MAX 4096u       /* bytes, Linux's PATH_MAX */

enum { ET_EXEC = 2, ET_DYN = 3, EM_386 = 3, EM_X86_64 = 62 };
enum { PT_LOAD = 1, PT_INTERP = 3, PT_GNU_STACK = 0x6474e551 };
enum { PF_X = 1, PF_W = 2, PF_R = 4 };

struct phdr { /* either class, decoded */
	uint32_t type, flags;
	uint64_t offset, vaddr, filesz, memsz, align;
};

struct parser {
	ondol_elf_read_t read;
	void *ctx;
	uint64_t file_size;
	struct ondol_elf_info *info;
	const char *why;
};

static uint16_t get16(const unsigned char *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const unsigned char *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const unsigned char *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static int refuse(struct parser *ps, const char *why)
{
	ps->why = why;
	return -ONDOL_ENOEXEC;
}

static bool range_in_file(const struct parser *ps, uint64_t offset, uint64_t size)
{
	return size <= ps->file_size && offset <= ps->file_size - size;
}

static int parse_ehdr(struct parser *ps)
{
	struct ondol_elf_info *info = ps->info;
	unsigned char h[EHDR64_SIZE];
	/* A shorter file reads as if zeros followed. */
	size_t size = ps->file_size < sizeof h ? (size_t)ps->file_size : sizeof h;
	bool wide;

	for (size_t i = 0; i < sizeof h; i++)
		h[i] = 0;
	if (size && ps->read(ps->ctx, 0, h, size))
		return refuse(ps, "the file header cannot be read");
	if (h[0] != 0x7f || h[1] != 'E' || h[2] != 'L' || h[3] != 'F')
		return refuse(ps, "not an ELF file: wrong magic number");
	info->type = get16(h + 16);
	info->machine = get16(h + 18);
	if (info->type != ET_EXEC && info->type != ET_DYN)
		return refuse(ps, "not an executable: its type is neither EXEC nor DYN");
	if (info->machine != EM_386 && info->machine != EM_X86_64)
		return refuse(ps, "for another processor than i386 or x86-64");

	/* The machine decides the class, as in Linux: EI_CLASS is only advice. */
	wide = info->machine == EM_X86_64;
	info->elf_class = wide ? 2 : 1;
	info->entry = wide ? get64(h + 24) : get32(h + 24);
	info->phoff = wide ? get64(h + 32) : get32(h + 28);
	info->phentsize = get16(h + (wide ? 54 : 42));
	info->phnum = get16(h + (wide ? 56 : 44));
	if (info->phentsize != (wide ? PHDR64_SIZE : PHDR32_SIZE))
		return refuse(ps, "its program headers have the wrong size");
	if (!info->phnum)
		return refuse(ps, "no program headers");
	if ((uint32_t)info->phnum * info->phentsize > PHDR_TABLE_MAX)
		return refuse(ps, "too many program headers");
	if (!range_in_file(ps, info->phoff, (uint32_t)info->phnum * info->phentsize))
		return refuse(ps, "its program headers lie outside the file");
	return 0;
}

static void decode_phdr(const unsigned char *p, bool wide, struct phdr *ph)
{
	ph->type = get32(p);
	if (wide) {
		ph->flags = get32(p + 4);
		ph->offset = get64(p + 8);
		ph->vaddr = get64(p + 16);
		ph->filesz = get64(p + 32);
		ph->memsz = get64(p + 40);
		ph->align = get64(p + 48);
	} else {
		ph->offset = get32(p + 4);
		ph->vaddr = get32(p + 8);
		ph->filesz = get32(p + 16);
		ph->memsz = get32(p + 20);
		ph->flags = get32(p + 24);
		ph->align = get32(p + 28);
	}
}

static int parse_load(struct parser *ps, const struct phdr *ph)
{
	struct ondol_elf_info *info = ps->info;
	uint64_t limit = info->elf_class == 1 ? UINT64_C(1) << 32 : ONDOL_PAGE_MASK;
	struct ondol_elf_segment *seg;
	uint64_t start, end;

	if (info->nr_segments == ONDOL_ELF_SEGMENTS_MAX)
		return refuse(ps, "more than 64 loadable segments");
	if (ph->filesz > ph->memsz)
		return refuse(ps, "a segment's file size exceeds its memory size");
	if (ph->offset > UINT64_MAX - ph->filesz)
		return refuse(ps, "a segment's place in the file wraps around");
	if (ph->vaddr > limit || ph->memsz > limit - ph->vaddr)
		return refuse(ps, "a segment runs past the end of the address space");
	if (ph->filesz && ((ph->offset ^ ph->vaddr) & ~ONDOL_PAGE_MASK))
		return refuse(ps, "a segment's offset and address differ within the page");

	start = ph->vaddr & ONDOL_PAGE_MASK;
	end = (ph->vaddr + ph->memsz + ONDOL_PAGE_SIZE - 1) & ONDOL_PAGE_MASK;
	if (!info->nr_segments || start < info->min_vaddr)
		info->min_vaddr = start;
	if (!info->nr_segments || end > info->max_vaddr)
		info->max_vaddr = end;
	if (ph->align > info->align && !(ph->align & (ph->align - 1)))
		info->align = ph->align; /* no power of two: ignored, as Linux does */
	if (info->phoff >= ph->offset && info->phoff - ph->offset < ph->filesz)
		info->phdr_vaddr = info->phoff - ph->offset + ph->vaddr;

	seg = &info->segment[info->nr_segments++];
	seg->offset = ph->offset;
	seg->vaddr = ph->vaddr;
	seg->filesz = ph->filesz;
	seg->memsz = ph->memsz;
	seg->prot = (ph->flags & PF_R ? ONDOL_VM_READ : 0) |
		    (ph->flags & PF_W ? ONDOL_VM_WRITE : 0) |
		    (ph->flags & PF_X ? ONDOL_VM_EXEC : 0);
	return 0;
}

static int parse_interp(struct parser *ps, const struct phdr *ph)
{
	unsigned char last;

	if (ps->info->has_interp)
		return 0; /* the first one counts */
	if (ph->filesz < 2 || ph->filesz > INTERP_MAX)
		return refuse(ps, "the interpreter's name is empty or too long");
	if (!range_in_file(ps, ph->offset, ph->filesz) ||
	    ps->read(ps->ctx, ph->offset + ph->filesz - 1, &last, 1))
		return refuse(ps, "the interpreter's name lies outside the file");
	if (last)
		return refuse(ps, "the interpreter's name does not end");
	ps->info->has_interp = true;
	ps->info->interp_offset = ph->offset;
	ps->info->interp_size = ph->filesz;
	return 0;
}

static int parse_phdr(struct parser *ps, const struct phdr *ph)
{
	switch (ph->type) {
	case PT_LOAD:
		return parse_load(ps, ph);
	case PT_INTERP:
		return parse_interp(ps, ph);
	case PT_GNU_STACK:
		ps->info->has_gnu_stack = true;
		ps->info->stack_exec = (ph->flags & PF_X) != 0;
		return 0;
	default:
		return 0;
	}
}

static int parse_phdrs(struct parser *ps)
{
	const struct ondol_elf_info *info = ps->info;
	unsigned char batch[PHDR_BATCH * PHDR64_SIZE];
	struct phdr ph;

	for (uint32_t done = 0; done < info->phnum;) {
		uint32_t nr = info->phnum - done;

		if (nr > PHDR_BATCH)
			nr = PHDR_BATCH;
		if (ps->read(ps->ctx, info->phoff + (uint64_t)done * info->phentsize, batch,
			     nr * info->phentsize))
			return refuse(ps, "its program headers cannot be read");
		for (uint32_t i = 0; i < nr; i++) {
			int r;

			decode_phdr(batch + i * info->phentsize, info->elf_class == 2, &ph);
			r = parse_phdr(ps, &ph);
			if (r)
				return r;
		}
		done += nr;
	}
	if (!info->nr_segments)
		return refuse(ps, "nothing to load: no PT_LOAD segment");
	if (info->min_vaddr >= info->max_vaddr)
		return refuse(ps, "nothing to load: every segment is empty");
	return 0;
}

int ondol_elf_parse(ondol_elf_read_t read, void *ctx, uint64_t file_size,
		    struct ondol_elf_info *out_info, const char **out_why)
{
	struct parser ps = {
		.read = read, .ctx = ctx, .file_size = file_size, .info = out_info,
	};
	int r;

	*out_info = (struct ondol_elf_info){ .align = ONDOL_PAGE_SIZE };
	r = parse_ehdr(&ps);
	if (!r)
		r = parse_phdrs(&ps);
	if (r && out_why)
		*out_why = ps.why;
	return r;
}

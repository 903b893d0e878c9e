/* SPDX-License-Identifier: MIT */
/*
 * The ELF loader: regions from program headers, and the first stack page's contents.
 * Parsing is pure (bytes in, a plan out), loading carries the plan out on an mm.
 */
#ifndef ONDOL_LOADER_H
#define ONDOL_LOADER_H

#include <ondol/mm.h>
#include <ondol/types.h>

ONDOL_BEGIN_DECLS

#define ONDOL_ELF_SEGMENTS_MAX 64

struct ondol_elf_segment { /* one PT_LOAD */
	uint64_t offset, vaddr, filesz, memsz;
	uint32_t prot; /* ONDOL_VM_READ/WRITE/EXEC */
};

struct ondol_elf_info { /* what the headers say */
	uint16_t type;    /* ET_EXEC 2, ET_DYN 3 */
	uint16_t machine; /* EM_386 3, EM_X86_64 62 */
	uint8_t elf_class; /* ELFCLASS32 1, ELFCLASS64 2 */
	uint64_t entry, phoff;
	uint16_t phnum, phentsize;
	uint64_t phdr_vaddr; /* where the program headers are loaded, before the bias; 0: nowhere */
	bool has_interp, has_gnu_stack, stack_exec;
	uint64_t interp_offset, interp_size; /* PT_INTERP's string in the file, NUL included */
	uint64_t align;                      /* the largest p_align, at least a page */
	uint64_t min_vaddr, max_vaddr;       /* page-rounded extent of all PT_LOADs */
	uint32_t nr_segments;
	struct ondol_elf_segment segment[ONDOL_ELF_SEGMENTS_MAX];
};

/*
 * How the loader reads the file's headers: exactly `size` bytes at `offset`, or
 * -ONDOL_EIO when the file has fewer.
 */
typedef int (*ondol_elf_read_t)(void *ctx, uint64_t offset, void *dst, size_t size);

/*
 * -ONDOL_ENOEXEC: not a well-formed executable; *out_why (may be NULL) then points to a
 * sentence that says what is wrong ("segment 3: file size exceeds memory size").
 * Every field of a hostile file is checked before it is used; no sum can wrap.
 */
ONDOL_MUST_CHECK int ondol_elf_parse(ondol_elf_read_t read, void *ctx, uint64_t file_size,
				     struct ondol_elf_info *out_info, const char **out_why);

/*
 * Map one parsed file.  ET_DYN goes to `base` (page aligned; rounded up to the file's
 * alignment), ET_EXEC where it says; `base` 0 with ET_DYN: where mmap finds room (an
 * interpreter).  The bss is mapped and its first part cleared.
 * On failure regions may be left behind: the mm is to be dropped.
 */
struct ondol_elf_image {
	uint64_t load_bias, entry, phdr; /* absolute, biased */
	uint64_t base;                   /* lowest mapped address */
	uint64_t start_code, end_code, start_data, end_data;
	uint64_t end; /* end of the last segment, bss included: brk starts after it */
};
ONDOL_MUST_CHECK int ondol_elf_load(struct ondol_mm_struct *mm, const struct ondol_elf_info *info,
				    struct ondol_file *file, uint64_t base,
				    struct ondol_elf_image *out_image);

struct ondol_auxv { uint64_t type, value; };

/* What the new program finds on its stack (System V ABI, "Process Initialization"). */
struct ondol_stack_args {
	uint32_t size;
	uint32_t argc, envc;
	const char *strings;   /* argv strings, then envp strings, each with its NUL, packed */
	size_t strings_size;   /* bytes */
	const char *execfn;    /* AT_EXECFN's string */
	const char *platform;  /* AT_PLATFORM's string, or NULL */
	unsigned char random[16];
	/*
	 * Passed through in this order.  The loader fills in the values of AT_RANDOM,
	 * AT_EXECFN, AT_PLATFORM where they stand with any value; AT_NULL is appended.
	 */
	const struct ondol_auxv *auxv;
	uint32_t nr_auxv;
	ondol_virt_addr_t stack_top; /* page aligned; 0: the profile's */
	bool executable;
	uint8_t elf_class; /* ELFCLASS64, or ELFCLASS32 for 4-byte words */
};
/*
 * Map the stack region (grows down, ends at stack_top, 132 KiB at first as Linux does),
 * write strings and vectors, set start_stack, arg_* and env_*.  *out_sp is 16-byte aligned
 * and points at argc.  -ONDOL_E2BIG: more strings than a quarter of the stack limit.
 */
ONDOL_MUST_CHECK int ondol_setup_stack(struct ondol_mm_struct *mm,
				       const struct ondol_stack_args *args,
				       ondol_virt_addr_t *out_sp);

ONDOL_END_DECLS
#endif /* ONDOL_LOADER_H */

/* SPDX-License-Identifier: MIT */
/* ELF headers, good and hostile, both classes; the promises [ELF-1] .. [ELF-5]. */
#include <ondol/loader.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "support/elf_image.h"

static struct ondol_elf_info info;

static int parse(struct elf_image *e, const char **why)
{
	return ondol_elf_parse(elf_image_read, e, e->size, &info, why);
}

static void assert_parses(struct elf_image *e)
{
	const char *why = NULL;

	if (parse(e, &why))
		fail_msg("refused: %s", why);
}

/* Takes the image down too. */
static void assert_refused(struct elf_image *e, const char *expected)
{
	const char *why = NULL;

	assert_int_equal(parse(e, &why), -ONDOL_ENOEXEC);
	assert_non_null(why);
	if (!strstr(why, expected))
		fail_msg("refused for \"%s\", expected \"%s\"", why, expected);
	elf_free(e);
}

/* G2 */
static void typical_programs(void **state)
{
	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		uint64_t base = wide ? 0 : 0x08048000; /* F7 */
		struct elf_image e = elf_typical(wide, wide ? ET_DYN : ET_EXEC, base);

		assert_parses(&e);
		assert_int_equal(info.type, wide ? ET_DYN : ET_EXEC);
		assert_int_equal(info.machine, wide ? EM_X86_64 : EM_386);
		assert_int_equal(info.elf_class, wide ? ELFCLASS64 : ELFCLASS32);
		assert_int_equal(info.entry, base + 0x1040);
		assert_int_equal(info.phnum, 6);
		assert_int_equal(info.phentsize, wide ? 56 : 32);
		assert_int_equal(info.phoff, wide ? 64 : 52);
		assert_int_equal(info.phdr_vaddr, base + (wide ? 64 : 52));
		assert_true(info.has_interp);
		assert_int_equal(info.interp_offset, 0x300);
		assert_int_equal(info.interp_size, sizeof "/lib/ld.so");
		assert_true(info.has_gnu_stack);
		assert_false(info.stack_exec);
		assert_int_equal(info.align, 0x1000);
		assert_int_equal(info.min_vaddr, base);
		assert_int_equal(info.max_vaddr, base + 0x7000); /* 0x3e10 + 0x2600 */
		assert_int_equal(info.nr_segments, 3);
		assert_int_equal(info.segment[0].prot, ONDOL_VM_READ);
		assert_int_equal(info.segment[1].prot, ONDOL_VM_READ | ONDOL_VM_EXEC);
		assert_int_equal(info.segment[2].prot, ONDOL_VM_READ | ONDOL_VM_WRITE);
		assert_int_equal(info.segment[2].offset, 0x2e10);
		assert_int_equal(info.segment[2].vaddr, base + 0x3e10);
		assert_int_equal(info.segment[2].filesz, 0x320);
		assert_int_equal(info.segment[2].memsz, 0x2600);
		elf_free(&e);
	}
}

static void our_own_program(void **state)
{
	struct elf_image e = { .bytes = malloc(1 << 24) };
	FILE *f = fopen("/proc/self/exe", "rb");

	(void)state;
	assert_non_null(f);
	e.size = fread(e.bytes, 1, 1 << 24, f);
	fclose(f);
	assert_parses(&e);
	assert_true(info.has_gnu_stack);
	assert_true(info.phdr_vaddr != 0);
	elf_free(&e);
}

static void stack_flags(void **state)
{
	struct elf_image e = elf_new(true, ET_EXEC, 0x1000, 0);

	(void)state;
	elf_load(&e, PF_R | PF_X, 0, 0x400000, 0x1000, 0x1000, 0x1000);
	assert_parses(&e);
	assert_false(info.has_gnu_stack || info.stack_exec || info.has_interp);
	elf_stack(&e, PF_R | PF_W | PF_X);
	assert_parses(&e);
	assert_true(info.has_gnu_stack && info.stack_exec);
	elf_stack(&e, PF_R | PF_W); /* the last one counts */
	assert_parses(&e);
	assert_true(info.has_gnu_stack && !info.stack_exec);
	elf_free(&e);
}

static void alignment_and_extent(void **state)
{
	struct elf_image e = elf_new(true, ET_DYN, 0x1000, 0);

	(void)state;
	elf_load(&e, PF_R, 0x123, 0x600123, 0x10, 0x10, 0x200000);
	elf_load(&e, PF_R, 0x10, 0x400010, 0x10, 0x2000, 0x1000); /* out of order */
	elf_load(&e, PF_R, 0, 0x500000, 0x10, 0x10, 0x300000);    /* no power of two */
	elf_load(&e, PF_R, 0, 0x500000, 0x10, 0x10, 0);
	assert_parses(&e);
	assert_int_equal(info.align, 0x200000);
	assert_int_equal(info.min_vaddr, 0x400000);
	assert_int_equal(info.max_vaddr, 0x601000);
	elf_free(&e);
}

static void program_headers_in_no_segment(void **state)
{
	struct elf_image e = elf_new(true, ET_EXEC, 0x3000, 0);

	(void)state;
	elf_load(&e, PF_R, 0x1000, 0x400000, 0x1000, 0x1000, 0x1000);
	assert_parses(&e);
	assert_int_equal(info.phdr_vaddr, 0);
	elf_load(&e, PF_R, 0, 0x800000, 65, 65, 0x1000); /* holds the table's first byte */
	assert_parses(&e);
	assert_int_equal(info.phdr_vaddr, 0x800040);
	elf_phdr64(&e, 1)->p_filesz = 64;
	assert_parses(&e);
	assert_int_equal(info.phdr_vaddr, 0);
	elf_free(&e);
}

/* Headers that overlap and a file shorter than a full header: Linux runs such files. */
static void tiny_file(void **state)
{
	unsigned char bytes[84] = { 0 };
	struct elf_image e = { .bytes = bytes, .size = sizeof bytes };
	Elf32_Ehdr h = { .e_ident = "\177ELF" }; /* no class, no version */
	Elf32_Phdr ph = { .p_type = PT_LOAD, .p_vaddr = 0x10000, .p_filesz = 76, .p_memsz = 76,
			  .p_flags = PF_R | PF_X };

	(void)state;
	h.e_type = ET_EXEC;
	h.e_machine = EM_386;
	h.e_phoff = 44; /* the table begins inside the header */
	h.e_phentsize = sizeof ph;
	memcpy(bytes, &h, sizeof h);
	memcpy(bytes + 44, &ph, sizeof ph); /* p_type is e_phnum, 1, too */
	e.size = 76;
	assert_parses(&e);
	assert_int_equal(info.phdr_vaddr, 0x1002c);
	e.size = 75;
	assert_int_equal(parse(&e, NULL), -ONDOL_ENOEXEC);
}

static struct elf_image good(bool wide)
{
	struct elf_image e = elf_new(wide, ET_EXEC, 0x2000, 0x400000);

	elf_load(&e, PF_R | PF_X, 0, 0x400000, 0x1000, 0x1000, 0x1000);
	elf_load(&e, PF_R | PF_W, 0x1010, 0x402010, 0x800, 0x900, 0x1000);
	return e;
}

static void hostile_file_headers(void **state)
{
	struct elf_image e;

	(void)state;
	e = good(true), e.size = 0, assert_refused(&e, "magic");
	e = good(true), e.size = 4, assert_refused(&e, "type");
	e = good(true), e.bytes[0] = '#', assert_refused(&e, "magic");
	e = good(true), e.bytes[3] = 'f', assert_refused(&e, "magic");
	e = good(true), elf_ehdr64(&e)->e_type = ET_REL, assert_refused(&e, "type");
	e = good(true), elf_ehdr64(&e)->e_type = ET_CORE, assert_refused(&e, "type");
	e = good(true), elf_ehdr64(&e)->e_machine = EM_AARCH64, assert_refused(&e, "processor");
	e = good(true), elf_ehdr64(&e)->e_machine = EM_386, assert_refused(&e, "wrong size");
	e = good(false), elf_ehdr32(&e)->e_machine = EM_X86_64, assert_refused(&e, "wrong size");
	e = good(true), elf_ehdr64(&e)->e_phentsize = 32, assert_refused(&e, "wrong size");
	e = good(true), elf_ehdr64(&e)->e_phnum = 0, assert_refused(&e, "no program headers");
	e = good(true), elf_ehdr64(&e)->e_phnum = 0xffff, assert_refused(&e, "too many");
	e = good(true), elf_ehdr64(&e)->e_phnum = 1171, assert_refused(&e, "too many");
	e = good(true), elf_ehdr64(&e)->e_phnum = 1170, assert_refused(&e, "outside the file");
	e = good(true), elf_ehdr64(&e)->e_phoff = 0x2000, assert_refused(&e, "outside the file");
	e = good(true), elf_ehdr64(&e)->e_phoff = 0x2000 - 111, assert_refused(&e, "outside");
	e = good(true), elf_ehdr64(&e)->e_phoff = UINT64_MAX, assert_refused(&e, "outside");
	e = good(true), elf_ehdr64(&e)->e_phoff = UINT64_MAX - 111, assert_refused(&e, "outside");
	e = good(false), elf_ehdr32(&e)->e_phoff = UINT32_MAX, assert_refused(&e, "outside");
	e = good(true), e.size = 64 + 111, assert_refused(&e, "outside");
	e = good(true), e.size = 64 + 112;
	assert_parses(&e); /* the segments' bytes may be missing */
	elf_free(&e);
}

static void hostile_segments(void **state)
{
	const uint64_t page = 0x1000;
	struct elf_image e;

	(void)state;
	e = good(true), elf_phdr64(&e, 0)->p_type = elf_phdr64(&e, 1)->p_type = PT_NULL;
	assert_refused(&e, "no PT_LOAD");
	e = good(true), elf_phdr64(&e, 1)->p_filesz = 0x901;
	assert_refused(&e, "file size exceeds");
	e = good(true), elf_phdr64(&e, 1)->p_offset = -UINT64_C(0x7ff);
	assert_refused(&e, "wraps");
	e = good(true), elf_phdr64(&e, 1)->p_offset = 0x1011;
	assert_refused(&e, "differ within the page");
	e = good(true), elf_phdr64(&e, 1)->p_memsz = UINT64_MAX;
	assert_refused(&e, "past the end");
	e = good(true), elf_phdr64(&e, 1)->p_memsz = -page - 0x402010 + 1;
	assert_refused(&e, "past the end");
	e = good(true), elf_phdr64(&e, 1)->p_memsz = -page - 0x402010;
	assert_parses(&e);
	assert_int_equal(info.max_vaddr, -page);
	elf_free(&e);
	e = good(true), elf_phdr64(&e, 1)->p_vaddr = UINT64_MAX - 0xfef;
	assert_refused(&e, "past the end");
	e = good(false), elf_phdr32(&e, 1)->p_memsz = 0 - 0x402010u;
	assert_parses(&e);
	assert_int_equal(info.max_vaddr, UINT64_C(1) << 32);
	elf_phdr32(&e, 1)->p_memsz++;
	assert_refused(&e, "past the end");

	e = elf_new(true, ET_EXEC, 0x1000, 0);
	elf_load(&e, PF_R, 0, 0x400000, 0, 0, 0);
	assert_refused(&e, "every segment is empty");
}

static void many_segments(void **state)
{
	struct elf_image e = elf_new(true, ET_EXEC, 0x3000, 0);

	(void)state;
	for (unsigned i = 0; i < ONDOL_ELF_SEGMENTS_MAX; i++)
		elf_load(&e, PF_R, 0x123, 0x400123 + i * 0x1000, 8, 8, 0x1000);
	assert_parses(&e);
	assert_int_equal(info.nr_segments, ONDOL_ELF_SEGMENTS_MAX);
	for (unsigned i = 0; i < ONDOL_ELF_SEGMENTS_MAX; i++)
		assert_int_equal(info.segment[i].vaddr, 0x400123 + i * 0x1000);
	elf_load(&e, PF_R, 0x123, 0x300123, 8, 8, 0x1000);
	assert_refused(&e, "more than 64");
}

static void hostile_interpreters(void **state)
{
	struct elf_image e;

	(void)state;
	e = good(true), elf_interp(&e, 0x1800, "");
	assert_refused(&e, "empty or too long");
	e = good(true), elf_interp(&e, 0x1800, "x"), elf_phdr64(&e, 2)->p_filesz = 4097;
	assert_refused(&e, "empty or too long");
	e = good(true), elf_interp(&e, 0x1800, "x"), elf_phdr64(&e, 2)->p_offset = 0x1fff;
	assert_refused(&e, "outside the file");
	e = good(true), elf_interp(&e, 0x1800, "x"), elf_phdr64(&e, 2)->p_offset = UINT64_MAX;
	assert_refused(&e, "outside the file");
	e = good(true), elf_interp(&e, 0x1800, "ld.so"), e.bytes[0x1805] = 'x';
	assert_refused(&e, "does not end");
	e = good(true), elf_interp(&e, 0x1ffe, "x"), elf_interp(&e, 0x1800, "");
	assert_parses(&e); /* the first one counts */
	assert_int_equal(info.interp_offset, 0x1ffe);
	assert_int_equal(info.interp_size, 2);
	elf_free(&e);
}

struct failing { struct elf_image image; int countdown; };

static int failing_read(void *ctx, uint64_t offset, void *dst, size_t size)
{
	struct failing *f = ctx;

	return --f->countdown ? elf_image_read(&f->image, offset, dst, size) : -ONDOL_EIO;
}

/* Fail the Nth read, for every N. */
static void unreadable(void **state)
{
	struct failing f = { .image = elf_typical(true, ET_DYN, 0) };
	const char *why = NULL;
	int n = 1, r;

	(void)state;
	for (; n < 100; n++) {
		f.countdown = n;
		r = ondol_elf_parse(failing_read, &f, f.image.size, &info, &why);
		if (!r)
			break;
		assert_int_equal(r, -ONDOL_ENOEXEC);
		assert_non_null(why);
		why = NULL;
	}
	assert_int_equal(n, 4); /* header, table, interpreter's last byte */
	elf_free(&f.image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(typical_programs),
		cmocka_unit_test(our_own_program),
		cmocka_unit_test(stack_flags),
		cmocka_unit_test(alignment_and_extent),
		cmocka_unit_test(program_headers_in_no_segment),
		cmocka_unit_test(tiny_file),
		cmocka_unit_test(hostile_file_headers),
		cmocka_unit_test(hostile_segments),
		cmocka_unit_test(many_segments),
		cmocka_unit_test(hostile_interpreters),
		cmocka_unit_test(unreadable),
	};

	return cmocka_run_group_tests_name("elf_parse", tests, NULL, NULL);
}

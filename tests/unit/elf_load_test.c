/* SPDX-License-Identifier: MIT */
/* Loading: regions, contents and layout of hand-made programs on a small machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/elf_world.h"

#define BASE UINT64_C(0x555555554000)
#define RO ONDOL_VM_READ
#define RX (ONDOL_VM_READ | ONDOL_VM_EXEC)
#define RW (ONDOL_VM_READ | ONDOL_VM_WRITE)

static struct elf_world w;
static struct ondol_elf_image image;

/* Takes `e` over. */
static void begin(struct elf_image e)
{
	const char *why = "";

	memset(&w, 0, sizeof w);
	assert_int_equal(toy_new(&w.toy, 64, 1, NULL, NULL, NULL), 0);
	ondol_machine_stats(w.toy.m, &w.before);
	w.image = e;
	assert_int_equal(elf_world_open(&w), 0);
	if (ondol_elf_parse(elf_image_read, &w.image, w.image.size, &w.info, &why))
		fail_msg("refused: %s", why);
}

static void end(void)
{
	struct ondol_broken_invariant broken;

	if (ondol_mm_validate(w.mm, &broken))
		fail_msg("[%s] %s", broken.id, broken.text);
	elf_world_close(&w);
	assert_int_equal(elf_world_leaks(&w), 0); /* G10 */
	assert_int_equal(toy_free(&w.toy), 0);
	elf_free(&w.image);
}

static int load(uint64_t base)
{
	return ondol_elf_load(w.mm, &w.info, w.file, base, &image);
}

struct region { uint64_t start, end; uint32_t prot; bool file; uint64_t pgoff; };

struct regions { const struct region *expected; size_t nr, seen; };

static int compare_region(void *ctx, const struct ondol_vma_info *vma)
{
	struct regions *rs = ctx;
	const struct region *e = &rs->expected[rs->seen++];

	assert_true(rs->seen <= rs->nr);
	assert_int_equal(vma->start, e->start);
	assert_int_equal(vma->end, e->end);
	assert_int_equal(vma->vm_flags & (ONDOL_VM_ACCESS | ONDOL_VM_SHARED), e->prot);
	assert_int_equal(vma->file != NULL, e->file);
	if (e->file)
		assert_int_equal(vma->pgoff, e->pgoff);
	return 0;
}

static void assert_regions(const struct region *expected, size_t nr)
{
	struct regions rs = { expected, nr, 0 };

	assert_int_equal(ondol_for_each_vma(w.mm, compare_region, &rs), 0);
	assert_int_equal(rs.seen, nr);
}
#define ASSERT_REGIONS(...)                                                                   \
	do {                                                                                  \
		static const struct region expected[] = { __VA_ARGS__ };                      \
		assert_regions(expected, sizeof expected / sizeof *expected);                 \
	} while (0)

static unsigned char peek(uint64_t addr)
{
	unsigned char c;

	assert_int_equal(ondol_copy_from_user(w.mm, &c, addr, 1), 0);
	return c;
}

/* [addr, addr + size) shows the file from offset. */
static void assert_shows_file(uint64_t addr, uint64_t offset, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		if (peek(addr + i) != w.image.bytes[offset + i])
			fail_msg("%#llx: not the file's byte", (unsigned long long)(addr + i));
}

static void assert_zero(uint64_t addr, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		if (peek(addr + i))
			fail_msg("%#llx: not zero", (unsigned long long)(addr + i));
}

/* G1, G2, G8, F6, F11 */
static void position_independent(void **state)
{
	struct ondol_mm_stats stats;

	(void)state;
	begin(elf_typical(true, ET_DYN, 0));
	assert_int_equal(load(BASE), 0);
	ASSERT_REGIONS({ BASE, BASE + 0x1000, RO, true, 0 },
		       { BASE + 0x1000, BASE + 0x2000, RX, true, 1 },
		       { BASE + 0x3000, BASE + 0x5000, RW, true, 2 },
		       { BASE + 0x5000, BASE + 0x7000, RW, false, 0 });
	assert_int_equal(image.load_bias, BASE);
	assert_int_equal(image.base, BASE);
	assert_int_equal(image.entry, BASE + 0x1040);
	assert_int_equal(image.phdr, BASE + 64);
	assert_int_equal(image.start_code, BASE + 0x1000);
	assert_int_equal(image.end_code, BASE + 0x1f80);
	assert_int_equal(image.start_data, BASE + 0x3e10);
	assert_int_equal(image.end_data, BASE + 0x4130);
	assert_int_equal(image.end, BASE + 0x6410);

	/* G8: only the page whose tail was cleared is there. */
	ondol_mm_stats(w.mm, &stats);
	assert_int_equal(stats.rss_anon, 1);
	assert_int_equal(stats.total_vm, 6);

	assert_shows_file(BASE, 0, 0x1000); /* the whole page, beyond filesz too */
	assert_shows_file(BASE + 0x1000, 0x1000, 0x1000);
	assert_shows_file(BASE + 0x3000, 0x2000, 0x1130); /* the file's bytes before the segment */
	assert_zero(BASE + 0x4130, 0x7000 - 0x4130);
	end();
}

static void fixed_addresses(void **state)
{
	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		uint64_t base = wide ? 0x400000 : 0x08048000; /* F7 */

		begin(elf_typical(wide, ET_EXEC, base));
		assert_int_equal(load(BASE), 0); /* the base does not count */
		assert_int_equal(image.load_bias, 0);
		assert_int_equal(image.base, base);
		assert_int_equal(image.entry, base + 0x1040);
		assert_shows_file(base + 0x1000, 0x1000, 0x100);
		assert_zero(base + 0x4130, 0x100);
		assert_int_equal(load(0), -ONDOL_EEXIST); /* no room a second time */
		assert_shows_file(base + 0x1000, 0x1000, 0x100);
		end();
	}
}

static void wherever_there_is_room(void **state)
{
	struct ondol_elf_image first;

	(void)state;
	begin(elf_typical(true, ET_DYN, 0));
	assert_int_equal(load(BASE), 0);
	first = image;
	assert_int_equal(load(BASE), -ONDOL_EEXIST);
	assert_int_equal(load(BASE + 0x3000), -ONDOL_EEXIST); /* its start is in the way */
	assert_int_equal(load(0), 0);
	assert_true(image.base >= first.end || image.end <= first.base);
	assert_shows_file(image.base + 0x1000, 0x1000, 0x1000);
	assert_zero(image.base + 0x4130, 0x1000);
	first = image;
	assert_int_equal(load(0), 0);
	assert_true(image.base != first.base);
	end();
}

static struct elf_image aligned_program(uint64_t first)
{
	struct elf_image e = elf_new(true, ET_DYN, 0x3000, 0);

	elf_load(&e, PF_R | PF_X, 0, first, 0x1000, 0x1000, 0x200000);
	elf_load(&e, PF_R | PF_W, 0x1000, first + 0x201000, 0x1000, 0x1000, 0x200000);
	return e;
}

static void alignment(void **state)
{
	(void)state;
	begin(aligned_program(0));
	assert_int_equal(load(BASE), 0);
	assert_int_equal(image.base, (BASE + 0x1fffff) & ~UINT64_C(0x1fffff));
	assert_shows_file(image.base + 0x201000, 0x1000, 0x1000);
	assert_int_equal(load(0), 0);
	assert_int_equal(image.base % 0x200000, 0);
	end();

	/* Linked at an address that is not a multiple: the bias is one, the base is not. */
	begin(aligned_program(0x7000));
	assert_int_equal(load(BASE), 0);
	assert_int_equal(image.load_bias % 0x200000, 0);
	assert_int_equal(image.base % 0x200000, 0x7000);
	assert_true(image.base >= BASE);
	end();

	/* Linked high, loaded low: the bias is "negative". */
	begin(aligned_program(0x7ff000000000));
	assert_int_equal(load(BASE), 0);
	assert_true(image.load_bias > UINT64_C(1) << 63);
	assert_shows_file(image.base, 0, 0x1000);
	end();

	begin(aligned_program(0));
	assert_int_equal(load(BASE + 1), -ONDOL_EINVAL);
	w.info.align = UINT64_C(1) << 63;
	assert_int_equal(load(BASE), -ONDOL_ENOMEM);
	assert_int_equal(load(0), -ONDOL_ENOMEM);
	end();
}

static void bss(void **state)
{
	struct elf_image e = elf_new(true, ET_EXEC, 0x3000, 0x400000);

	(void)state;
	elf_load(&e, PF_R | PF_W, 0x800, 0x400800, 0x100, 0x200, 0x1000);  /* ends in its page */
	elf_load(&e, PF_R | PF_W, 0x1000, 0x402000, 0x1000, 0x1001, 0x1000); /* a whole page more */
	elf_load(&e, PF_R, 0x2000, 0x405000, 0x123, 0x2000, 0x1000);       /* not writable */
	elf_load(&e, PF_R | PF_W | PF_X, 0, 0x408010, 0, 0x1ff0, 0x1000);  /* nothing of the file */
	elf_load(&e, PF_R, 0x123, 0x40a123, 0, 0, 0x1000);                 /* nothing at all */
	begin(e);
	assert_int_equal(load(0), 0);
	ASSERT_REGIONS({ 0x400000, 0x401000, RW, true, 0 },
		       { 0x402000, 0x403000, RW, true, 1 },
		       { 0x403000, 0x404000, RW, false, 0 },
		       { 0x405000, 0x406000, RO, true, 2 },
		       { 0x406000, 0x407000, RW, false, 0 },
		       { 0x408000, 0x40a000, RW | ONDOL_VM_EXEC, false, 0 });
	assert_shows_file(0x400000, 0, 0x900);
	assert_zero(0x400900, 0x700);
	assert_shows_file(0x402000, 0x1000, 0x1000);
	assert_zero(0x403000, 0x1000);
	assert_shows_file(0x405000, 0x2000, 0x1000); /* the tail stays: nobody may write there */
	assert_zero(0x406000, 0x1000);
	assert_zero(0x408000, 0x2000);
	assert_int_equal(image.end, 0x40a123);
	assert_int_equal(image.start_code, 0x408010);
	end();
}

static void segments_share_a_page(void **state)
{
	struct elf_image e = elf_new(true, ET_EXEC, 0x2000, 0x400000);

	(void)state;
	elf_load(&e, PF_R | PF_X, 0, 0x400000, 0x1800, 0x1800, 0x1000);
	elf_load(&e, PF_R | PF_W, 0x1800, 0x401800, 0x100, 0x100, 0x1000);
	begin(e);
	assert_int_equal(load(0), 0);
	ASSERT_REGIONS({ 0x400000, 0x401000, RX, true, 0 }, { 0x401000, 0x402000, RW, true, 1 });
	assert_shows_file(0x400000, 0, 0x2000);
	end();
}

static void short_file(void **state)
{
	struct elf_image e = elf_new(true, ET_EXEC, 0x1000, 0x400000);
	struct ondol_fault_args fault = { .size = sizeof fault, .access = ONDOL_FAULT_READ,
					  .addr = 0x402000, .nr_around = 1 };
	struct ondol_fault_result result;

	(void)state;
	elf_load(&e, PF_R | PF_X, 0, 0x400000, 0x3000, 0x3000, 0x1000);
	begin(e);
	assert_int_equal(load(0), 0); /* runs, until it touches what is missing */
	assert_shows_file(0x400000, 0, 0x1000);
	assert_int_equal(ondol_handle_mm_fault(w.mm, &fault, &result), -ONDOL_ENXIO);
	end();

	/* Clearing the tail touches a page that the file does not have. */
	e = elf_new(true, ET_EXEC, 0x1000, 0x400000);
	elf_load(&e, PF_R | PF_W, 0, 0x400000, 0x2800, 0x2900, 0x1000);
	begin(e);
	assert_int_equal(load(0), -ONDOL_EFAULT);
	end();
}

static void no_such_place(void **state)
{
	struct elf_image e = elf_new(true, ET_EXEC, 0x1000, 0);

	(void)state;
	elf_load(&e, PF_R, 0, 0, 0x1000, 0x1000, 0x1000); /* below mmap_min_addr */
	begin(e);
	assert_int_equal(load(0), -ONDOL_EPERM);
	end();

	e = elf_new(true, ET_EXEC, 0x1000, 0);
	elf_load(&e, PF_R, 0, 0x7ffffffff000, 0x1000, 0x1000, 0x1000); /* the guard page */
	begin(e);
	assert_int_equal(load(0), -ONDOL_ENOMEM);
	end();

	e = elf_new(true, ET_DYN, 0x1000, 0);
	elf_load(&e, PF_R | PF_W, 0, 0, 0x1000, UINT64_C(1) << 60, 0x1000);
	begin(e);
	assert_true(load(BASE) < 0);
	assert_int_equal(load(0), -ONDOL_ENOMEM);
	end();

	e = elf_new(true, ET_DYN, 0x1000, 0);
	elf_load(&e, PF_R, 0, 0, 0x1000, 0x1000, 0x1000);
	begin(e);
	assert_int_equal(load(UINT64_MAX & ONDOL_PAGE_MASK), -ONDOL_ENOMEM);
	assert_true(load(UINT64_C(0xffff800000000000)) < 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(position_independent),
		cmocka_unit_test(fixed_addresses),
		cmocka_unit_test(wherever_there_is_room),
		cmocka_unit_test(alignment),
		cmocka_unit_test(bss),
		cmocka_unit_test(segments_share_a_page),
		cmocka_unit_test(short_file),
		cmocka_unit_test(no_such_place),
	};

	return cmocka_run_group_tests_name("elf_load", tests, NULL, NULL);
}

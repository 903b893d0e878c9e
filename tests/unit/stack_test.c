/* SPDX-License-Identifier: MIT */
/* The stack of a new program (F9), read back as that program would read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/elf_world.h"

#define TOP UINT64_C(0x7ffffffff000)

static struct toy toy;
static struct ondol_mm_struct *mm;

static void begin(void)
{
	assert_int_equal(toy_new(&toy, 64, 1, NULL, NULL, NULL), 0);
	assert_int_equal(ondol_mm_create(toy.m, &mm), 0);
}

static void end(void)
{
	struct ondol_broken_invariant broken;

	if (ondol_mm_validate(mm, &broken))
		fail_msg("[%s] %s", broken.id, broken.text);
	ondol_mmput(mm);
	assert_int_equal(toy_free(&toy), 0);
}

static uint64_t word(uint64_t *at, unsigned size)
{
	uint64_t value = 0;

	assert_int_equal(ondol_copy_from_user(mm, &value, *at, size), 0);
	*at += size;
	return value;
}

static void assert_string(uint64_t at, const char *expected)
{
	char buf[64];

	assert_int_equal(ondol_strncpy_from_user(mm, buf, at, sizeof buf), strlen(expected));
	assert_string_equal(buf, expected);
}

static const struct ondol_auxv auxv[] = {
	{ 6, 4096 }, { 25, 0 }, { 31, 0 }, { 15, 1 }, { 9, 0x1234 },
};
#define STRINGS "prog\0-x\0\0HOME=/\0EMPTY="

static struct ondol_stack_args typical(bool wide)
{
	struct ondol_stack_args args = {
		.size = sizeof args, .argc = 3, .envc = 2, .strings = STRINGS,
		.strings_size = sizeof STRINGS, .execfn = "/bin/prog", .platform = "x86_64",
		.auxv = auxv, .nr_auxv = 5, .elf_class = wide ? 2 : 1,
		.stack_top = wide ? 0 : UINT64_C(0xfffff000),
	};

	for (int i = 0; i < 16; i++)
		args.random[i] = (unsigned char)(i * 17);
	return args;
}

static void as_the_abi_says(void **state)
{
	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		struct ondol_stack_args args = typical(wide);
		unsigned size = wide ? 8 : 4;
		uint64_t top = wide ? TOP : 0xfffff000, at, random, execfn, a0;
		struct ondol_mm_layout layout;
		unsigned char bytes[16];
		ondol_virt_addr_t sp;

		begin();
		assert_int_equal(ondol_setup_stack(mm, &args, &sp), 0);
		assert_int_equal(sp % 16, 0);
		at = sp;
		assert_int_equal(word(&at, size), 3);
		a0 = word(&at, size);
		assert_string(a0, "prog");
		assert_string(word(&at, size), "-x");
		assert_string(word(&at, size), "");
		assert_int_equal(word(&at, size), 0);
		assert_string(word(&at, size), "HOME=/");
		assert_string(word(&at, size), "EMPTY=");
		assert_int_equal(word(&at, size), 0);
		assert_int_equal(word(&at, size), 6);
		assert_int_equal(word(&at, size), 4096);
		assert_int_equal(word(&at, size), 25);
		random = word(&at, size);
		assert_int_equal(word(&at, size), 31);
		execfn = word(&at, size);
		assert_int_equal(word(&at, size), 15);
		assert_string(word(&at, size), "x86_64");
		assert_int_equal(word(&at, size), 9);
		assert_int_equal(word(&at, size), 0x1234);
		assert_int_equal(word(&at, size), 0);
		assert_int_equal(word(&at, size), 0);
		assert_true(at <= random);
		assert_int_equal(ondol_copy_from_user(mm, bytes, random, 16), 0);
		assert_memory_equal(bytes, args.random, 16);

		/* The top: execfn's string, then one word of zeros. */
		assert_string(execfn, "/bin/prog");
		at = execfn + sizeof "/bin/prog";
		assert_int_equal(at, top - size);
		assert_int_equal(word(&at, size), 0);

		ondol_mm_layout(mm, &layout); /* F6 */
		assert_int_equal(layout.start_stack, sp);
		assert_int_equal(layout.arg_start, a0);
		assert_int_equal(layout.arg_end, a0 + sizeof "prog\0-x\0");
		assert_int_equal(layout.env_start, layout.arg_end);
		assert_int_equal(layout.env_end, execfn);
		end();
	}
}

static void the_region(void **state)
{
	struct ondol_stack_args args = typical(true);
	struct ondol_vma_info vma;
	ondol_virt_addr_t sp;

	(void)state;
	begin();
	args.executable = true;
	assert_int_equal(ondol_setup_stack(mm, &args, &sp), 0);
	assert_int_equal(ondol_find_vma(mm, 0, &vma), 0);
	assert_int_equal(vma.end, TOP);
	assert_int_equal(vma.end - vma.start, 132 << 10);
	assert_int_equal(vma.vm_flags & (ONDOL_VM_ACCESS | ONDOL_VM_GROWSDOWN | ONDOL_VM_STACK),
			 ONDOL_VM_ACCESS | ONDOL_VM_GROWSDOWN | ONDOL_VM_STACK);
	assert_string_equal(vma.name, "[stack]");
	assert_int_equal(ondol_setup_stack(mm, &args, &sp), -ONDOL_EEXIST);
	end();
}

static void nothing_at_all(void **state)
{
	struct ondol_stack_args args = { .size = sizeof args, .strings = "", .execfn = "",
					 .elf_class = 2 };
	ondol_virt_addr_t sp;
	uint64_t at;

	(void)state;
	begin();
	assert_int_equal(ondol_setup_stack(mm, &args, &sp), 0);
	at = sp;
	for (int i = 0; i < 5; i++) /* argc, two NULLs, AT_NULL */
		assert_int_equal(word(&at, 8), 0);
	end();
}

static int with_strings(const char *strings, size_t size, uint32_t argc, uint32_t envc)
{
	struct ondol_stack_args args = typical(true);
	ondol_virt_addr_t sp;

	args.strings = strings;
	args.strings_size = size;
	args.argc = argc;
	args.envc = envc;
	return ondol_setup_stack(mm, &args, &sp);
}

static void hostile_strings(void **state)
{
	(void)state;
	begin();
	assert_int_equal(with_strings("a\0b", 4, 3, 0), -ONDOL_EINVAL);
	assert_int_equal(with_strings("a\0b", 4, 1, 0), -ONDOL_EINVAL);
	assert_int_equal(with_strings("a\0b", 3, 2, 0), -ONDOL_EINVAL); /* no NUL at the end */
	assert_int_equal(with_strings("a\0b", 3, 1, 0), -ONDOL_EINVAL);
	assert_int_equal(with_strings("", 0, 0, 1), -ONDOL_EINVAL);
	assert_int_equal(with_strings("", 0, UINT32_MAX, UINT32_MAX), -ONDOL_EINVAL);
	assert_int_equal(with_strings("a\0b", 4, 1, 1), 0);
	end();
}

static int with_size(size_t total, size_t each, uint64_t stack_limit)
{
	struct ondol_mm_limits limits = { .as = UINT64_MAX, .data = UINT64_MAX,
					  .stack = stack_limit, .memlock = UINT64_MAX };
	char *s = malloc(total);
	int r;

	assert_non_null(s);
	memset(s, 'x', total);
	for (size_t i = each - 1; i < total; i += each)
		s[i] = 0;
	s[total - 1] = 0;
	begin();
	ondol_mm_set_limits(mm, &limits);
	r = with_strings(s, total, (uint32_t)((total + each - 1) / each), 0);
	if (!r) { /* everything arrived, region and limit agree */
		struct ondol_mm_layout layout;
		struct ondol_vma_info vma;

		ondol_mm_layout(mm, &layout);
		assert_int_equal(layout.arg_end - layout.arg_start, total);
		assert_int_equal(ondol_find_vma(mm, 0, &vma), 0);
		assert_true(vma.start <= layout.start_stack && vma.end == TOP);
		for (size_t i = 0; i < total; i += 4093) {
			char c;

			assert_int_equal(ondol_copy_from_user(mm, &c, layout.arg_start + i, 1), 0);
			assert_int_equal(c, s[i]);
		}
	}
	end();
	free(s);
	return r;
}

static void limits(void **state)
{
	const uint64_t mib = 1 << 20;

	(void)state;
	assert_int_equal(with_size(100000, 1000, 8 * mib), 0);
	assert_int_equal(with_size(2 * mib - 40000, 1000, 8 * mib), 0);
	assert_int_equal(with_size(2 * mib, 1000, 8 * mib), -ONDOL_E2BIG); /* a quarter */
	assert_int_equal(with_size(5 * mib, 4000, UINT64_MAX), 0);
	assert_int_equal(with_size(6 * mib, 4000, UINT64_MAX), -ONDOL_E2BIG); /* 6 MiB at most */
	assert_int_equal(with_size(100000, 1000, 4096), 0); /* 128 KiB at least */
	assert_int_equal(with_size(131072, 1000, 4096), -ONDOL_E2BIG);
	assert_int_equal(with_size(131072, 131072, 8 * mib), 0); /* one string: 32 pages */
	assert_int_equal(with_size(131073, 131073, 8 * mib), -ONDOL_E2BIG);
	assert_int_equal(with_size(100000, 2, 8 * mib), 0); /* more pointers than bytes */
	assert_int_equal(with_size(400000, 2, 8 * mib), 0);
	assert_int_equal(with_size(500000, 2, 8 * mib), -ONDOL_E2BIG);
}

static void bad_tops(void **state)
{
	struct ondol_stack_args args = typical(true);
	ondol_virt_addr_t sp;

	(void)state;
	begin();
	args.stack_top = TOP - 1;
	assert_int_equal(ondol_setup_stack(mm, &args, &sp), -ONDOL_EINVAL);
	args.stack_top = 0x2000;
	assert_int_equal(ondol_setup_stack(mm, &args, &sp), -ONDOL_ENOMEM);
	args.stack_top = UINT64_MAX & ONDOL_PAGE_MASK;
	assert_true(ondol_setup_stack(mm, &args, &sp) < 0);
	args.stack_top = UINT64_C(1) << 33;
	args.elf_class = 1;
	assert_int_equal(ondol_setup_stack(mm, &args, &sp), -ONDOL_EINVAL);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_abi_says),
		cmocka_unit_test(the_region),
		cmocka_unit_test(nothing_at_all),
		cmocka_unit_test(hostile_strings),
		cmocka_unit_test(limits),
		cmocka_unit_test(bad_tops),
	};

	return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}

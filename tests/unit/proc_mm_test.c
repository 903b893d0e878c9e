/* SPDX-License-Identifier: MIT */
/* /proc/PID/maps, smaps, smaps_rollup, statm and status, byte for byte as Linux 6.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/mm_fixture.h"

static char text[16384];
static size_t length;

static int collect(void *ctx, const char *piece, size_t size)
{
	(void)ctx;
	assert_true(length + size < sizeof text);
	memcpy(text + length, piece, size);
	length += size;
	text[length] = 0;
	return 0;
}

static const char *proc(int (*print)(struct ondol_mm_struct *, ondol_write_t, void *))
{
	length = 0;
	text[0] = 0;
	assert_int_equal(print(fx.mm, collect, NULL), 0);
	return text;
}

static int refuse(void *ctx, const char *piece, size_t size)
{
	(void)piece;
	(void)size;
	++*(int *)ctx;
	return -ONDOL_EIO;
}

static struct ondol_mm_struct *child;

/*
 * Two pages of text of which one is there, a heap of three pages of which two are written, a
 * locked page, shared memory, a native region and a stack; a child shares the heap.
 */
static void begin_program(struct test_file *f)
{
	struct ondol_mm_layout layout = {
		.start_code = AT(0), .end_code = AT(1) + 10, .start_brk = AT(4), .brk = AT(4),
		.start_stack = AT(1001) + 8,
	};
	struct ondol_mmap_args vdso = { .size = sizeof vdso, .map_flags = ONDOL_MAP_FIXED,
					.vm_flags = R | X | ONDOL_VM_NATIVE, .addr = AT(20),
					.length = PAGE, .name = "[vdso]" };
	uint64_t at;

	begin();
	open_file(f, 8 * PAGE);
	ondol_mm_set_layout(fx.mm, &layout);
	map_file(0, 2, R | X, f, 1);
	assert_int_equal(peek(0), page_tag(1));
	assert_int_equal(ondol_brk(fx.mm, AT(7)), AT(7));
	poke(4, 1);
	poke(5, 2);
	map(10, 2, RW | S);
	poke(10, 3);
	assert_int_equal(ondol_mmap(fx.mm, &vdso, &at), 0);
	map(1000, 2, RW | ONDOL_VM_GROWSDOWN);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	map(30, 1, RW | ONDOL_VM_LOCKED);
	poke(5, 4); /* its own again */
}

static void end_program(struct test_file *f)
{
	ondol_mmput(child);
	close_file(f);
	end();
}

static void maps(void **state)
{
	struct test_file f;
	int calls = 0;

	(void)state;
	begin_program(&f);
	assert_string_equal(proc(ondol_proc_maps),
"40000000-40002000 r-xp 00001000 08:01 4711                               /tmp/file\n"
"40004000-40007000 rw-p 00000000 00:00 0                                  [heap]\n"
"4000a000-4000c000 rw-s 00000000 00:01 1                                  /dev/zero (deleted)\n"
"40014000-40015000 r-xp 00000000 00:00 0                                  [vdso]\n"
"4001e000-4001f000 rw-p 00000000 00:00 0 \n"
"403e8000-403ea000 rw-p 00000000 00:00 0                                  [stack]\n");
	/* A refusal of the reader ends the text. */
	assert_int_equal(ondol_proc_maps(fx.mm, refuse, &calls), -ONDOL_EIO);
	assert_int_equal(calls, 1);
	end_program(&f);
}

/* High addresses are wider; a newline in a name would forge a line. */
static void maps_of_odd_names(void **state)
{
	struct ondol_file_args args = { .size = sizeof args, .name = "/tmp/a\nb", .ino = 1 };
	struct ondol_mmap_args map_it = { .size = sizeof map_it, .map_flags = ONDOL_MAP_FIXED,
					  .vm_flags = ONDOL_VM_NATIVE,
					  .addr = UINT64_C(0x7f0000000000), .length = PAGE,
					  .pgoff = UINT64_C(0x123456789) };
	uint64_t at;

	(void)state;
	begin();
	args.dev_major = 259;
	args.dev_minor = 3;
	assert_int_equal(ondol_file_create(fx.m, &args, &map_it.file), 0);
	assert_int_equal(ondol_mmap(fx.mm, &map_it, &at), 0);
	ondol_file_put(map_it.file);
	assert_string_equal(proc(ondol_proc_maps),
"7f0000000000-7f0000001000 ---p 123456789000 103:03 1                     /tmp/a\\012b\n");
	end();
}

static void smaps(void **state)
{
	struct test_file f;
	const char *heap, *locked;

	(void)state;
	begin_program(&f);
	proc(ondol_proc_smaps);
	heap = strstr(text, "40004000-");
	locked = strstr(text, "4001e000-");
	assert_non_null(heap);
	assert_non_null(locked);
	*strstr(heap, "4000a000-") = 0;
	assert_string_equal(heap,
"40004000-40007000 rw-p 00000000 00:00 0                                  [heap]\n"
"Size:                 12 kB\n"
"KernelPageSize:        4 kB\n"
"MMUPageSize:           4 kB\n"
"Rss:                   8 kB\n"
"Pss:                   6 kB\n"
"Pss_Dirty:             6 kB\n"
"Shared_Clean:          0 kB\n"
"Shared_Dirty:          4 kB\n"
"Private_Clean:         0 kB\n"
"Private_Dirty:         4 kB\n"
"Referenced:            0 kB\n"
"Anonymous:             8 kB\n"
"LazyFree:              0 kB\n"
"AnonHugePages:         0 kB\n"
"ShmemPmdMapped:        0 kB\n"
"FilePmdMapped:         0 kB\n"
"Shared_Hugetlb:        0 kB\n"
"Private_Hugetlb:       0 kB\n"
"Swap:                  0 kB\n"
"SwapPss:               0 kB\n"
"Locked:                0 kB\n"
"THPeligible:    0\n"
"VmFlags: rd wr mr mw me ac \n");
	assert_non_null(strstr(locked, "Locked:                4 kB\n"));
	assert_non_null(strstr(locked, "VmFlags: rd wr mr mw me lo ac \n"));
	assert_non_null(strstr(locked, "VmFlags: rd wr mr mw me gd ac \n"));
	end_program(&f);
}

/* A third of three pages is a byte short of a page: Linux rounds down, too. */
static void thirds(void **state)
{
	struct ondol_mm_struct *more[2];

	(void)state;
	begin();
	map(0, 3, RW);
	for (uint64_t i = 0; i < 3; i++)
		poke(i, 1);
	for (int i = 0; i < 2; i++)
		assert_int_equal(ondol_dup_mm(fx.mm, true, &more[i]), 0);
	assert_non_null(strstr(proc(ondol_proc_smaps), "\nPss:                   3 kB\n"));
	assert_string_equal(proc(ondol_proc_smaps_rollup),
"40000000-40003000 ---p 00000000 00:00 0                                  [rollup]\n"
"Rss:                  12 kB\n"
"Pss:                   3 kB\n"
"Pss_Dirty:             3 kB\n"
"Pss_Anon:              3 kB\n"
"Pss_File:              0 kB\n"
"Pss_Shmem:             0 kB\n"
"Shared_Clean:          0 kB\n"
"Shared_Dirty:         12 kB\n"
"Private_Clean:         0 kB\n"
"Private_Dirty:         0 kB\n"
"Referenced:            0 kB\n"
"Anonymous:            12 kB\n"
"LazyFree:              0 kB\n"
"AnonHugePages:         0 kB\n"
"ShmemPmdMapped:        0 kB\n"
"FilePmdMapped:         0 kB\n"
"Shared_Hugetlb:        0 kB\n"
"Private_Hugetlb:       0 kB\n"
"Swap:                  0 kB\n"
"SwapPss:               0 kB\n"
"Locked:                0 kB\n");
	ondol_mmput(more[0]);
	ondol_mmput(more[1]);
	end();
}

static void flags_in_linuxs_order(void **state)
{
	(void)state;
	begin();
	map(0, 1, R | ONDOL_VM_NORESERVE | ONDOL_VM_DONTFORK | ONDOL_VM_WIPEONFORK |
			  ONDOL_VM_DONTDUMP | ONDOL_VM_HUGEPAGE | ONDOL_VM_MERGEABLE);
	assert_non_null(strstr(proc(ondol_proc_smaps),
			       "VmFlags: rd mr mw me dc nr wf dd hg mg \n"));
	end();
}

static void statm_and_status(void **state)
{
	struct test_file f;

	(void)state;
	begin_program(&f);
	/* size resident shared text lib data dt */
	assert_string_equal(proc(ondol_proc_statm), "11 5 2 2 0 6 0\n");
	assert_string_equal(proc(ondol_proc_status_vm),
"VmPeak:\t      44 kB\n"
"VmSize:\t      44 kB\n"
"VmLck:\t       4 kB\n"
"VmPin:\t       0 kB\n"
"VmHWM:\t      20 kB\n"
"VmRSS:\t      20 kB\n"
"RssAnon:\t      12 kB\n"
"RssFile:\t       4 kB\n"
"RssShmem:\t       4 kB\n"
"VmData:\t      16 kB\n"
"VmStk:\t       8 kB\n"
"VmExe:\t       8 kB\n"
"VmLib:\t       4 kB\n"
"VmPTE:\t      12 kB\n"
"VmSwap:\t       0 kB\n");
	unmap(0, 8); /* the peaks stay */
	proc(ondol_proc_status_vm);
	assert_non_null(strstr(text, "VmPeak:\t      44 kB\nVmSize:\t      24 kB\n"));
	assert_non_null(strstr(text, "VmHWM:\t      20 kB\nVmRSS:\t       8 kB\n"));
	assert_non_null(strstr(text, "VmExe:\t       4 kB\nVmLib:\t       0 kB\n"));
	end_program(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maps),
		cmocka_unit_test(maps_of_odd_names),
		cmocka_unit_test(smaps),
		cmocka_unit_test(thirds),
		cmocka_unit_test(flags_in_linuxs_order),
		cmocka_unit_test(statm_and_status),
	};

	return cmocka_run_group_tests_name("proc_mm", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Page faults: what each kind takes, gives and refuses.  A2 to A4, G3 to G10. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/virt.h"

#include "support/mm_fixture.h"

#define READ ONDOL_FAULT_READ
#define WRITE ONDOL_FAULT_WRITE
#define EXEC ONDOL_FAULT_EXEC

/* ------------------------------------------------------------------ A3, A4 */

/* A3: 16 frames, of which the machine itself needs some, can promise 1 GiB. */
static void promises_exceed_memory(void **state)
{
	struct ondol_mem_region memory = { .end = { 16 * PAGE }, .type = ONDOL_MEM_USABLE };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &memory,
					   .nr_regions = 1, .nr_nodes = 1, .nr_cpus = 1,
					   .profile = &ondol_profile_toy16 };
	struct ondol_mm_stats s;

	(void)state;
	memset(&fx, 0, sizeof fx);
	assert_int_equal(toy_init(&fx.toy, &desc), 0);
	fx.m = fx.toy.m;
	fx.mm = new_mm();
	map(0, 1 << 18, RW);
	s = stats_of(fx.mm);
	assert_int_equal(s.total_vm, 1 << 18);
	assert_int_equal(rss_of(fx.mm), 0);
	assert_int_equal(s.pgtables_bytes, PAGE);
	assert_int_equal(machine_stats().pages_total, 16);
	end();
}

/* A4: k pages touched are k frames, and the tables they need. */
static void memory_is_given_when_touched(void **state)
{
	(void)state;
	begin();
	map(0, 4096, RW);
	assert_int_equal(frames(ONDOL_PAGE_PGTABLE), 0);
	for (uint64_t k = 1; k <= 20; k++) {
		assert_int_equal(touch(k * 3, WRITE), ONDOL_FAULT_ZERO_FILL);
		assert_int_equal(frames(ONDOL_PAGE_ANON), k);
		assert_int_equal(rss_of(fx.mm), k);
		assert_int_equal(frames(ONDOL_PAGE_PGTABLE), 3); /* one way down the 4 levels */
	}
	assert_int_equal(touch(3, WRITE), ONDOL_FAULT_SPURIOUS);
	assert_int_equal(touch(3, READ), ONDOL_FAULT_SPURIOUS);
	touch(512, WRITE); /* the next leaf table */
	assert_int_equal(frames(ONDOL_PAGE_PGTABLE), 4);
	assert_int_equal(frames(ONDOL_PAGE_ANON), 21);
	assert_int_equal(peek(512), 0);
	end();
}

/* ------------------------------------------------------------------ fault-around */

static void neighbours_come_along(void **state)
{
	struct ondol_fault_result r;

	(void)state;
	begin();
	map(0, 64, RW);
	r = touch_around(21, WRITE, 16); /* aligned window: pages 16 to 31 */
	assert_int_equal(r.nr_pages, 16);
	assert_int_equal(r.kind, ONDOL_FAULT_ZERO_FILL);
	assert_int_equal(touch(16, WRITE), ONDOL_FAULT_SPURIOUS);
	assert_int_equal(touch(31, WRITE), ONDOL_FAULT_SPURIOUS);
	assert_int_equal(touch(15, WRITE), ONDOL_FAULT_ZERO_FILL);
	assert_int_equal(touch(32, WRITE), ONDOL_FAULT_ZERO_FILL);
	assert_int_equal(rss_of(fx.mm), 18);

	/* Only what is absent and side by side: page 8 up to, not including, 15. */
	assert_int_equal(touch_around(9, WRITE, 8).nr_pages, 7);
	/* Only inside the region. */
	map(100, 3, RW);
	assert_int_equal(touch_around(101, WRITE, 512).nr_pages, 3);
	assert_int_equal(rss_of(fx.mm), 28);
	for (uint32_t bad = 0; bad < 2; bad++) {
		struct ondol_fault_result result;

		assert_int_equal(fault_at(fx.mm, AT(0), READ, bad ? 3 : 0, &result), -ONDOL_EINVAL);
		assert_int_equal(fault_at(fx.mm, AT(0), READ, 1024, &result), -ONDOL_EINVAL);
	}
	end();
}

/* A window that memory has no block for becomes smaller, down to the page asked for. */
static void neighbours_only_from_what_is_free(void **state)
{
	struct ondol_fault_result r = { .nr_pages = 1 };
	uint64_t touched = 0;

	(void)state;
	begin_with(2, NULL, NULL, NULL);
	map(0, 1024, RW);
	while (touched < 1024 && !fault_at(fx.mm, AT(touched), WRITE, 64, &r))
		touched += 64;
	assert_true(touched >= 64);
	/* Now page by page until the last frame. */
	for (uint64_t i = 0; i < 1024; i++)
		if (fault_at(fx.mm, AT(i), WRITE, 64, &r)) {
			assert_int_equal(fault_at(fx.mm, AT(i), WRITE, 64, &r), -ONDOL_ENOMEM);
			break;
		}
	assert_valid();
	unmap(0, 1024);
	assert_int_equal(rss_of(fx.mm), 0);
	end();
}

static void around_in_a_file(void **state)
{
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 10 * PAGE);
	map_file(0, 16, R, &f, 0);
	assert_int_equal(touch_around(5, READ, 4).nr_pages, 4); /* 4 to 7 */
	assert_int_equal(f.reads, 4);
	assert_int_equal(touch_around(9, READ, 16).nr_pages, 2); /* 8 and 9: the file ends */
	assert_int_equal(f.reads, 6);
	assert_int_equal(refusal(AT(10), READ), -ONDOL_ENXIO);

	/* A second region finds them in the cache and maps what stands side by side. */
	map_file(100, 16, R, &f, 0);
	assert_int_equal(touch_around(106, READ, 16).nr_pages, 6); /* 4 to 9 are cached */
	assert_int_equal(f.reads, 6);
	for (uint64_t i = 4; i < 10; i++)
		assert_int_equal(peek(100 + i), page_tag(i));
	close_file(&f);
	end();
	assert_true(f.released);
}

/* ------------------------------------------------------------------ G4, G5, G9 */

/* The notes' address 1000: quotient 0, remainder 1000. */
static void address_1000(void **state)
{
	static const struct {
		const struct ondol_pgtable_format *format;
		uint64_t frame, expected;
	} cases[] = {
		{ &ondol_pgtable_toy_1k, 7 << 10, 8168 },     /* 1 KiB pages, frame at 7 KiB */
		{ &ondol_pgtable_i386, 7 << 12, 29672 },      /* 4 KiB pages, frame 7 */
		{ &ondol_pgtable_i386_pae, 7 << 12, 29672 },
		{ &ondol_pgtable_x86_64, 7 << 12, 29672 },
		{ &ondol_pgtable_x86_64_la57, 7 << 12, 29672 },
	};

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct ondol_pgtable_format *f = cases[i].format;
		struct ondol_pte_view view;
		ondol_phys_addr_t pa;
		struct pgtable pt;

		assert_int_equal(pgtable_init(&pt, fx.m, f), 0);
		assert_int_equal(pgtable_translate(&pt, 1000, 0, &pa, &view), -ONDOL_EFAULT);
		pte_set(&pt, pgtable_make(&pt, 1000),
			f->make_leaf(ondol_phys_addr(cases[i].frame),
				     ONDOL_PROT_READ | ONDOL_PROT_USER, 0).value);
		assert_int_equal(pgtable_translate(&pt, 1000, ONDOL_PROT_READ, &pa, &view), 0);
		assert_int_equal(pa.value, cases[i].expected);
		assert_int_equal(pgtable_translate(&pt, 1000, ONDOL_PROT_WRITE, &pa, &view),
				 -ONDOL_EFAULT);
		/* Quotient 0: the first entry of the lowest table. */
		assert_ptr_equal(pgtable_find(&pt, 1000), pgtable_find(&pt, 0));
		pgtable_fini(&pt);
	}
	end();
}

/* G9: one flat table of 4-byte entries for 4 GiB is 4 MiB; of 8-byte ones for 48 bits 512 GiB. */
static void tables_cost_what_is_mapped(void **state)
{
	const struct ondol_pgtable_format *i386 = &ondol_pgtable_i386;
	const struct ondol_pgtable_format *x86_64 = &ondol_pgtable_x86_64;

	(void)state;
	assert_int_equal((UINT64_C(1) << (i386->va_bits - 12)) * i386->pte_size, UINT64_C(4) << 20);
	assert_int_equal((UINT64_C(1) << (x86_64->va_bits - 12)) * x86_64->pte_size,
			 UINT64_C(512) << 30);
	begin();
	map(0, UINT64_C(1) << 30, RW); /* 4 TiB */
	assert_int_equal(stats_of(fx.mm).pgtables_bytes, PAGE);
	touch(0, WRITE);
	touch((UINT64_C(1) << 30) - 1, WRITE);
	/* Two ways down from one root: 7 tables. */
	assert_int_equal(stats_of(fx.mm).pgtables_bytes, 7 * PAGE);
	end();
}

/* ------------------------------------------------------------------ G6 to G8 */

/* G7: one free frame, that page of the file read into it, mapped; the access then works. */
static void a_page_of_the_executable(void **state)
{
	struct test_file f;
	struct ondol_mm_stats s;

	(void)state;
	begin();
	open_file(&f, 8 * PAGE);
	map_file(0, 4, R | X, &f, 2);
	assert_int_equal(touch(1, EXEC), ONDOL_FAULT_FILE_READ);
	assert_int_equal(f.reads, 1);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 1);
	assert_int_equal(touch(1, EXEC), ONDOL_FAULT_SPURIOUS);
	assert_int_equal(peek(1), page_tag(3)); /* F11: file and offset say what is read */

	/* G8: major and minor faults are told apart; a spurious one is neither. */
	map_file(10, 4, R, &f, 2);
	assert_int_equal(touch(11, READ), ONDOL_FAULT_FILE_MINOR);
	s = stats_of(fx.mm);
	assert_int_equal(s.maj_flt, 1);
	assert_int_equal(s.min_flt, 1);
	assert_int_equal(machine_stats().faults[ONDOL_FAULT_FILE_READ], 1);
	assert_int_equal(machine_stats().faults[ONDOL_FAULT_FILE_MINOR], 1);
	assert_int_equal(machine_stats().faults[ONDOL_FAULT_SPURIOUS], 1);
	assert_int_equal(s.rss_file, 2);
	assert_int_equal(s.rss_anon, 0);
	close_file(&f);
	end();
}

static void refusals(void **state)
{
	(void)state;
	begin();
	map(0, 1, R);
	map(1, 1, RW);
	map(2, 1, 0);
	map(3, 1, ONDOL_VM_NATIVE | R);
	assert_int_equal(refusal(AT(0), WRITE), -ONDOL_EACCES);
	assert_int_equal(refusal(AT(0), EXEC), -ONDOL_EACCES);
	assert_int_equal(refusal(AT(1), EXEC), -ONDOL_EACCES);
	assert_int_equal(refusal(AT(2), READ), -ONDOL_EACCES);
	assert_int_equal(refusal(AT(3), READ), -ONDOL_ENXIO);
	assert_int_equal(refusal(AT(4), READ), -ONDOL_EFAULT);
	assert_int_equal(refusal(0, READ), -ONDOL_EFAULT);
	assert_int_equal(rss_of(fx.mm), 0);
	assert_int_equal(machine_stats().faults_refused, 7);

	/* A2: 48 bits; the rest is not canonical, or the kernel's. */
	assert_int_equal(refusal(UINT64_C(0x0000800000000000), READ), -ONDOL_EFAULT);
	assert_int_equal(refusal(UINT64_C(0x1234567812345678), READ), -ONDOL_EFAULT);
	assert_int_equal(refusal(UINT64_C(0xffff800000000000), READ), -ONDOL_EFAULT);
	assert_int_equal(refusal(UINT64_MAX, READ), -ONDOL_EFAULT);
	assert_true(pgtable_addr_valid(&ondol_pgtable_x86_64, UINT64_C(0xffff800000000000)));
	assert_false(pgtable_addr_valid(&ondol_pgtable_x86_64, UINT64_C(0x0000800000000000)));
	assert_true(pgtable_addr_valid(&ondol_pgtable_x86_64_la57, UINT64_C(0x0000800000000000)));
	assert_false(pgtable_addr_valid(&ondol_pgtable_i386, UINT64_C(1) << 32)); /* A1 */
	end();
}

/* Where nothing forbids execution, nothing does: i386 without NX. */
static void execution_without_nx(void **state)
{
	(void)state;
	begin_with(16, &ondol_profile_i386_2_4, NULL, NULL);
	map(0, 1, R);
	assert_int_equal(touch(0, EXEC), ONDOL_FAULT_ZERO_FILL);
	end();
}

static void past_the_end_of_a_file(void **state)
{
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 2 * PAGE + 10);
	map_file(0, 5, RW, &f, 0);
	map_file(10, 5, RW | S, &f, 0);
	assert_int_equal(touch(2, READ), ONDOL_FAULT_FILE_READ); /* its last page in part */
	assert_int_equal(refusal(AT(3), READ), -ONDOL_ENXIO);
	assert_int_equal(refusal(AT(3), WRITE), -ONDOL_ENXIO);
	assert_int_equal(refusal(AT(13), WRITE), -ONDOL_ENXIO);
	f.size = 4 * PAGE; /* it grows */
	assert_int_equal(peek(3), page_tag(3));
	assert_int_equal(peek(13), page_tag(3));
	f.size = 2 * PAGE; /* it is cut: neighbours beyond stay out, though cached */
	map_file(20, 5, R, &f, 0);
	assert_int_equal(touch_around(20, READ, 8).nr_pages, 2);
	assert_int_equal(refusal(AT(23), READ), -ONDOL_ENXIO);
	close_file(&f);
	end();
}

static void unreadable_page(void **state)
{
	struct ondol_fail_plan plan = { .nth = { [ONDOL_FAIL_READ_PAGE] = 1 } };
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 4 * PAGE);
	map_file(0, 4, R, &f, 0);
	ondol_set_fail_plan(fx.m, &plan);
	assert_int_equal(refusal(AT(1), READ), -ONDOL_EIO);
	ondol_set_fail_plan(fx.m, NULL);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 0);
	assert_int_equal(peek(1), page_tag(1));
	close_file(&f);
	end();
}

/* ------------------------------------------------------------------ copy on write */

static void private_page_of_a_file(void **state)
{
	struct test_file f;

	(void)state;
	begin();
	open_file(&f, 8 * PAGE);
	map_file(0, 4, RW, &f, 0);
	assert_int_equal(touch(0, READ), ONDOL_FAULT_FILE_READ);
	assert_int_equal(touch(0, WRITE), ONDOL_FAULT_COW_COPY);
	assert_int_equal(touch(0, WRITE), ONDOL_FAULT_SPURIOUS);
	poke(0, 99);
	assert_int_equal(touch(1, WRITE), ONDOL_FAULT_FILE_READ); /* read, then copied at once */
	assert_int_equal(stats_of(fx.mm).rss_anon, 2);
	assert_int_equal(stats_of(fx.mm).rss_file, 0);
	assert_int_equal(frames(ONDOL_PAGE_CACHE), 2);
	map_file(10, 4, R, &f, 0); /* the file has not changed */
	assert_int_equal(peek(10), page_tag(0));
	assert_int_equal(peek(0), 99);
	assert_int_equal(peek(1), page_tag(1));
	assert_int_equal(f.writes, 0);
	close_file(&f);
	end();
	assert_int_equal(f.writes, 0);
}

static void copy_then_reuse(void **state)
{
	struct ondol_mm_struct *child;

	(void)state;
	begin();
	map(0, 4, RW);
	for (uint64_t i = 0; i < 4; i++)
		poke(i, 10 + i);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	assert_int_equal(frames(ONDOL_PAGE_ANON), 4);
	assert_int_equal(touch(0, READ), ONDOL_FAULT_SPURIOUS);
	assert_int_equal(touch(0, WRITE), ONDOL_FAULT_COW_COPY);
	assert_int_equal(frames(ONDOL_PAGE_ANON), 5);
	poke(0, 77);
	assert_int_equal(peek_in(child, 0), 10);
	poke_in(child, 0, 78); /* alone now: the frame is used again */
	assert_int_equal(frames(ONDOL_PAGE_ANON), 5);
	assert_int_equal(peek(0), 77);
	assert_int_equal(peek_in(child, 0), 78);
	assert_valid();
	ondol_mmput(child);
	assert_int_equal(frames(ONDOL_PAGE_ANON), 4);
	/* The child is gone: reuse, and with a window the neighbours, too. */
	assert_int_equal(touch_around(2, WRITE, 4).kind, ONDOL_FAULT_COW_REUSE);
	assert_int_equal(touch(1, WRITE), ONDOL_FAULT_SPURIOUS);
	assert_int_equal(touch(3, WRITE), ONDOL_FAULT_SPURIOUS);
	assert_int_equal(peek(3), 13);
	end();
}

/* ------------------------------------------------------------------ the stack */

static void stack_grows_to_its_limit(void **state)
{
	struct ondol_mm_limits limits = { .as = UINT64_MAX, .data = UINT64_MAX,
					  .stack = 64 * PAGE, .memlock = UINT64_MAX };
	struct ondol_fault_result r;

	(void)state;
	begin();
	ondol_mm_set_limits(fx.mm, &limits);
	map(1000, 4, RW | ONDOL_VM_GROWSDOWN);
	r = touch_around(990, WRITE, 1);
	assert_true(r.stack_grown);
	assert_int_equal(r.nr_pages, 1);
	assert_picture_of(fx.mm, 988, "..WWWWWWWWWWWWWW.");
	assert_false(touch_around(991, WRITE, 1).stack_grown);
	assert_int_equal(touch(940, WRITE), ONDOL_FAULT_ZERO_FILL); /* 64 pages */
	assert_int_equal(refusal(AT(939), WRITE), -ONDOL_EFAULT);
	assert_int_equal(stats_of(fx.mm).stack_vm, 64);
	end();
}

static void stack_keeps_its_distance(void **state)
{
	(void)state;
	begin();
	map(0, 1, RW);
	map(1000, 4, RW | ONDOL_VM_GROWSDOWN);
	assert_int_equal(refusal(AT(STACK_GUARD_PAGES), WRITE), -ONDOL_EFAULT);
	assert_int_equal(touch(STACK_GUARD_PAGES + 1, WRITE), ONDOL_FAULT_ZERO_FILL);
	/* A region without any right is no neighbour to fear: a guard page of the program's. */
	protect(0, 1, 0);
	assert_int_equal(touch(10, WRITE), ONDOL_FAULT_ZERO_FILL);
	assert_int_equal(refusal(AT(0), WRITE), -ONDOL_EACCES);
	unmap(0, 1);
	end();
}

static void stack_under_a_limit_of_the_space(void **state)
{
	struct ondol_mm_limits limits = { .as = 10 * PAGE, .data = UINT64_MAX,
					  .stack = UINT64_MAX, .memlock = 6 * PAGE };

	(void)state;
	begin();
	ondol_mm_set_limits(fx.mm, &limits);
	map(1000, 4, RW | ONDOL_VM_GROWSDOWN);
	assert_int_equal(refusal(AT(993), WRITE), -ONDOL_EFAULT);
	assert_int_equal(touch(994, WRITE), ONDOL_FAULT_ZERO_FILL);
	unmap(994, 10);
	map(1000, 4, RW | ONDOL_VM_GROWSDOWN | ONDOL_VM_LOCKED);
	assert_int_equal(refusal(AT(997), WRITE), -ONDOL_EFAULT);
	assert_int_equal(touch(998, WRITE), ONDOL_FAULT_ZERO_FILL);
	assert_int_equal(stats_of(fx.mm).locked_vm, 6);
	end();
}

/* ------------------------------------------------------------------ G10 */

static void everything_comes_back(void **state)
{
	struct ondol_machine_stats s;

	(void)state;
	begin();
	for (int round = 0; round < 3; round++) {
		map(0, 2048, RW);
		for (uint64_t i = 0; i < 2048; i += 100)
			poke(i, i);
		unmap(0, 2048);
		assert_int_equal(frames(ONDOL_PAGE_ANON), 0);
		assert_int_equal(frames(ONDOL_PAGE_PGTABLE), 0);
		ondol_drain_all_pages(fx.m);
		s = machine_stats();
		if (round) /* the first one may have made a slab for the region's record */
			assert_int_equal(s.pages_free, fx.before.pages_free);
		fx.before = s;
		fx.before.pages_free = s.pages_free;
	}
	end();
}

static uint32_t fault_beside(struct ondol_mm_struct *mm, unsigned page, uint32_t access,
			     uint32_t around, uint32_t cached)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = access, .addr = AT(page),
					 .nr_around = around, .nr_cached = cached };
	struct ondol_fault_result result;

	assert_int_equal(ondol_handle_mm_fault(mm, &args, &result), 0);
	return result.nr_pages;
}

/* What another program has read already is mapped in a wider window, and nothing is read for it. */
static void cached_neighbours(void **state)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = READ, .addr = AT(0),
					 .nr_around = 1, .nr_cached = 3 };
	struct ondol_mm_struct *other;
	struct ondol_fault_result result;
	struct test_file f;

	(void)state;
	begin();
	other = new_mm();
	open_file(&f, 64 * PAGE);
	map_at(other, AT(0), 64, R, &f, 0);
	map_file(0, 64, R, &f, 0);
	map_file(64, 64, RW, &f, 0);
	assert_int_equal(fault_beside(other, 0, READ, 8, 0), 8);
	assert_int_equal(fault_beside(other, 20, READ, 4, 0), 4);
	assert_int_equal(f.reads, 12);
	/* Pages 0 to 7 and 20 to 23 are there; one is asked for, and one more is read. */
	assert_int_equal(fault_beside(fx.mm, 2, READ, 1, 16), 8);
	assert_int_equal(fault_beside(fx.mm, 16, READ, 1, 16), 5);
	assert_int_equal(f.reads, 13);
	assert_int_equal(rss_of(fx.mm), 13);
	/* Who gets a copy gets no more copies than before. */
	assert_int_equal(fault_beside(fx.mm, 64 + 2, WRITE, 2, 16), 2);
	assert_int_equal(fault_beside(fx.mm, 64 + 4, READ, 1, 16), 4);
	assert_int_equal(ondol_handle_mm_fault(fx.mm, &args, &result), -ONDOL_EINVAL);
	args.size = offsetof(struct ondol_fault_args, nr_cached); /* it has none */
	assert_int_equal(ondol_handle_mm_fault(fx.mm, &args, &result), 0);
	args.size--;
	assert_int_equal(ondol_handle_mm_fault(fx.mm, &args, &result), -ONDOL_EINVAL);
	ondol_mmput(other);
	close_file(&f);
	end();
}

/* [MMU-1] A look-up of what is cached already caches nothing beside it. */
static void a_cached_page_fills_alone(void **state)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = WRITE, .nr_around = 8 };
	struct ondol_fault_result result;
	ondol_virt_addr_t from, to;
	struct ondol_tlb_run run;

	(void)state;
	begin();
	map(8, 8, RW);
	args.addr = AT(8);
	assert_int_equal(ondol_handle_mm_fault(fx.mm, &args, &result), 0);
	assert_int_equal(rss_of(fx.mm), 8);
	ondol_tlb_evicted(fx.mm, AT(8), AT(16));
	assert_int_equal(ondol_tlb_fill(fx.mm, AT(9), WRITE, 1, &run), 0);
	assert_false(run.cached);
	assert_int_equal(ondol_tlb_fill(fx.mm, AT(9), WRITE, 8, &run), 0);
	assert_true(run.cached);
	assert_int_equal(run.nr_pages, 1);
	assert_true(ondol_tlb_span(fx.mm, AT(8), AT(16), &from, &to));
	assert_int_equal(from, AT(9));
	assert_int_equal(to, AT(10));
	assert_int_equal(ondol_tlb_fill(fx.mm, AT(10), WRITE, 8, &run), 0);
	assert_false(run.cached);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(promises_exceed_memory),
		cmocka_unit_test(memory_is_given_when_touched),
		cmocka_unit_test(neighbours_come_along),
		cmocka_unit_test(neighbours_only_from_what_is_free),
		cmocka_unit_test(around_in_a_file),
		cmocka_unit_test(cached_neighbours),
		cmocka_unit_test(address_1000),
		cmocka_unit_test(tables_cost_what_is_mapped),
		cmocka_unit_test(a_page_of_the_executable),
		cmocka_unit_test(refusals),
		cmocka_unit_test(execution_without_nx),
		cmocka_unit_test(past_the_end_of_a_file),
		cmocka_unit_test(unreadable_page),
		cmocka_unit_test(private_page_of_a_file),
		cmocka_unit_test(copy_then_reuse),
		cmocka_unit_test(stack_grows_to_its_limit),
		cmocka_unit_test(stack_keeps_its_distance),
		cmocka_unit_test(stack_under_a_limit_of_the_space),
		cmocka_unit_test(a_cached_page_fills_alone),
		cmocka_unit_test(everything_comes_back),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}

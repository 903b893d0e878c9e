/* SPDX-License-Identifier: MIT */
/*
 * Free memory in pieces becomes large blocks again: on request and for a request, with what
 * programs see unchanged on each kind of hardware; what is needed where it is stays; who failed is
 * not asked at once again.  Shows D8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/hw_fixture.h"

#include "virt/virt.h"

#define HUGE 9u
#define EACH HW_PAGES /* pages that each of two programs has */
#define DONTNEED 4
#define GFP_HUGE (ONDOL_GFP_HIGHUSER_MOVABLE | ONDOL_GFP_NOWARN)

static struct ondol_mm_struct *other;
static bool keeps[2][EACH];
static uint64_t seed;

static uint64_t rnd(void)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return seed >> 33;
}

static uint64_t word(unsigned who, unsigned page)
{
	return ((uint64_t)who << 32) + page + 1;
}

static struct ondol_mm_struct *program(unsigned who)
{
	return who ? other : fx.mm;
}

/* 16 MiB. */
static void begin_machine(enum hw_kind kind, bool compact)
{
	const struct ondol_machine_desc desc = { .reclaim_mapped = true, .compact = compact };

	memset(keeps, 0, sizeof keeps);
	begin_hw_desc(16, desc, kind, false, true);
	other = new_mm();
	hw_attach(other);
	seed = 4711;
}

/* By its hardware, as a program would; page by page, so that nothing is in blocks. */
static unsigned char *reach(struct ondol_mm_struct *mm, unsigned page, uint32_t access)
{
	struct ondol_fault_result result;

	for (int tries = 0; hw.kind != HW_NONE && tries < 3; tries++) {
		unsigned char *host = hw_access(&hw, mm, page, access, 1);

		if (host)
			return host;
		assert_int_equal(fault_at(mm, AT(page), access, 1, &result), 0);
	}
	assert_int_equal(hw.kind, HW_NONE);
	assert_int_equal(fault_at(mm, AT(page), access, 1, &result), 0);
	return (unsigned char *)fx.toy.ram + hw_entry(&hw, mm, AT(page)).phys.value;
}

static void forget(unsigned who, unsigned page)
{
	assert_int_equal(ondol_madvise(program(who), AT(page), PAGE, DONTNEED), 0);
	keeps[who][page] = false;
}

/* Both programs touch all of their memory, in turn, and give most of it back, at random. */
static void fragment(unsigned keep_one_in)
{
	for (unsigned who = 0; who < 2; who++)
		map_at(program(who), AT(0), EACH, RW, NULL, 0);
	for (unsigned i = 0; i < 2 * EACH; i++) {
		uint64_t w = word(i % 2, i / 2);

		memcpy(reach(program(i % 2), i / 2, ONDOL_FAULT_WRITE), &w, sizeof w);
		keeps[i % 2][i / 2] = true;
	}
	for (unsigned i = 0; i < 2 * EACH; i++)
		if (rnd() % keep_one_in)
			forget(i % 2, i / 2);
	ondol_drain_all_pages(fx.m);
}

/* As it was written, whatever has moved; and the hardware holds nothing old. */
static void assert_kept(void)
{
	assert_valid();
	for (unsigned who = 0; who < 2; who++) {
		if (hw.kind != HW_NONE)
			hw_check(&hw, program(who));
		for (unsigned i = 0; i < EACH; i++) {
			uint64_t w;

			if (!keeps[who][i])
				continue;
			memcpy(&w, reach(program(who), i, ONDOL_FAULT_READ), sizeof w);
			assert_int_equal(w, word(who, i));
		}
	}
}

static int count_huge(void *ctx, const struct ondol_zone_stats *zone)
{
	for (unsigned order = HUGE; order < zone->nr_orders; order++)
		*(uint64_t *)ctx += zone->free_blocks[order] << (order - HUGE);
	return 0;
}

static uint64_t huge_blocks(void)
{
	uint64_t n = 0;

	ondol_drain_all_pages(fx.m);
	ondol_for_each_zone(fx.m, count_huge, &n);
	return n;
}

static void end_machine(void)
{
	assert_kept();
	hw_detach(fx.mm);
	hw_detach(other);
	ondol_mmput(other);
	end();
}

static struct ondol_compact_stats counters(void)
{
	return machine_stats().compact;
}

static void on_request_on(enum hw_kind kind)
{
	uint64_t before, moved;

	begin_machine(kind, false);
	fragment(4);
	before = huge_blocks();
	moved = ondol_compact_node(fx.m, 0);
	assert_true(moved > 0);
	assert_int_equal(machine_stats().pages_migrated, moved);
	assert_int_equal(machine_stats().pages_not_migrated, 0);
	assert_int_equal(counters().isolated, 2 * moved);
	assert_true(counters().migrate_scanned >= moved && counters().free_scanned >= moved);
	assert_int_equal(counters().stall, 0);
	assert_true(huge_blocks() >= before + 2);
	assert_kept();
	assert_int_equal(ondol_compact_node(fx.m, 0), 0); /* nothing is left to do */
	end_machine();
}

static void on_request(void **state)
{
	(void)state;
	on_request_on(HW_NONE);
	on_request_on(HW_WALKER);
	on_request_on(HW_SOFTWARE);
	begin_machine(HW_NONE, false);
	assert_int_equal(ondol_compact_node(fx.m, 1), 0);
	assert_int_equal(ondol_compact_zone(fx.m, 0, ONDOL_NR_ZONES), 0);
	assert_int_equal(ondol_compact_zone(fx.m, 0, ONDOL_ZONE_HIGHMEM), 0);
	end_machine();
}

/* What is shared after a fork moves for both. */
static void shared_by_fork(void **state)
{
	struct ondol_mm_struct *child;

	(void)state;
	begin_machine(HW_SOFTWARE, false);
	fragment(4);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	hw_attach(child);
	assert_true(ondol_compact_node(fx.m, 0) > 0);
	assert_kept();
	hw_check(&hw, child);
	for (unsigned i = 0; i < EACH; i++)
		if (keeps[0][i])
			assert_int_equal(peek_in(child, i), word(0, i));
	hw_detach(child);
	ondol_mmput(child);
	end_machine();
}

/* Until every block has gone that can be had. */
static uint32_t take_huge(struct ondol_page **page, uint32_t most)
{
	uint32_t n = 0;

	while (n < most && (page[n] = ondol_alloc_pages(fx.m, GFP_HUGE, HUGE)))
		n++;
	return n;
}

static void for_a_request_on(enum hw_kind kind)
{
	struct ondol_page *page[8];
	uint32_t n, without = 0;

	for (int compact = 0; compact < 2; compact++) {
		begin_machine(kind, compact);
		fragment(4);
		n = take_huge(page, 8);
		if (!compact) {
			without = n;
			assert_int_equal(counters().stall, 0);
		} else {
			assert_true(n >= without + 2);
			assert_true(counters().success > 0);
			assert_int_equal(counters().stall, counters().success + counters().fail);
		}
		assert_kept();
		while (n)
			ondol_free_pages(fx.m, page[--n], HUGE);
		end_machine();
	}
}

static void for_a_request(void **state)
{
	(void)state;
	for_a_request_on(HW_NONE);
	for_a_request_on(HW_WALKER);
	for_a_request_on(HW_SOFTWARE);
}

/* Who cannot wait is refused, and asks for nothing. */
static void not_for_everyone(void **state)
{
	struct ondol_page *page[8];
	uint32_t n;

	(void)state;
	begin_machine(HW_NONE, true);
	fragment(4);
	for (n = 0; n < 8; n++) {
		page[n] = ondol_alloc_pages(fx.m, (GFP_HUGE) & ~ONDOL_GFP_RECLAIM, HUGE);
		if (!page[n])
			break;
	}
	assert_int_equal(counters().stall, 0);
	assert_true(n < 8);
	while (n)
		ondol_free_pages(fx.m, page[--n], HUGE);
	end_machine();
}

static void locked_stays(void **state)
{
	(void)state;
	begin_machine(HW_SOFTWARE, false);
	fragment(4);
	for (unsigned who = 0; who < 2; who++)
		for (unsigned i = 0; i < EACH; i++)
			if (keeps[who][i])
				assert_int_equal(ondol_mlock_onfault(program(who), AT(i), PAGE), 0);
	assert_int_equal(ondol_compact_node(fx.m, 0), 0);
	assert_true(machine_stats().pages_not_migrated > 0);
	end_machine();
}

static enum ondol_mmu_busy busy_program(void *ctx, struct ondol_mm_struct *mm,
					ondol_virt_addr_t start, ondol_virt_addr_t end)
{
	(void)ctx, (void)start, (void)end;
	return mm == other ? ONDOL_MMU_DATA_STAYS : ONDOL_MMU_IDLE;
}

static uint64_t frame_of(unsigned who, unsigned page)
{
	return hw_entry(&hw, program(who), AT(page)).phys.value;
}

static void busy_stays(void **state)
{
	static uint64_t was[2][EACH];
	uint64_t moved = 0;

	(void)state;
	begin_machine(HW_SOFTWARE, false);
	hw.ops.busy = busy_program;
	fragment(4);
	for (unsigned i = 0; i < 2 * EACH; i++)
		was[i % 2][i / 2] = frame_of(i % 2, i / 2);
	assert_true(ondol_compact_node(fx.m, 0) > 0);
	for (unsigned i = 0; i < EACH; i++) {
		assert_int_equal(frame_of(1, i), was[1][i]);
		moved += frame_of(0, i) != was[0][i];
	}
	assert_int_equal(moved, machine_stats().pages_migrated);
	end_machine();
}

/* A reference beyond the entry's: the frame stays, and its page with it. */
static void pinned_stays(void **state)
{
	struct ondol_page *page;
	unsigned i = 0;
	uint64_t at;

	(void)state;
	begin_machine(HW_NONE, false);
	fragment(4);
	while (!keeps[0][i])
		i++;
	at = frame_of(0, i);
	page = ondol_pfn_to_page(fx.m, ondol_phys_to_pfn(ondol_phys_addr(at)));
	ondol_get_page(fx.m, page);
	assert_true(ondol_compact_node(fx.m, 0) > 0);
	assert_int_equal(frame_of(0, i), at);
	ondol_put_page(fx.m, page);
	end_machine();
}

/* Frames of the kernel's own everywhere: there is no unit that could become free. */
static void who_failed_waits(void **state)
{
	struct ondol_page *fixed[64], *page;
	uint32_t n = 0;

	(void)state;
	begin_machine(HW_NONE, true);
	fragment(4);
	/* A frame of each pageblock, from the middle of its free ones. */
	for (uint64_t pfn = 0; pfn < 4096; pfn += 128) {
		struct ondol_page *free = NULL;

		for (uint64_t i = pfn; i < pfn + 128 && !free; i++)
			if (!ondol_alloc_contig_range(fx.m, ondol_pfn(i), 1, NULL))
				free = ondol_pfn_to_page(fx.m, ondol_pfn(i));
		if (free)
			fixed[n++] = free;
	}
	page = ondol_alloc_pages(fx.m, GFP_HUGE, HUGE);
	assert_null(page);
	/* A request comes by twice, before reclaim and after it; every second one, then fourth. */
	assert_int_equal(counters().fail, 1);
	for (unsigned i = 2; i <= 4; i++)
		assert_null(ondol_alloc_pages(fx.m, GFP_HUGE, HUGE));
	assert_int_equal(counters().fail, 3);
	assert_int_equal(counters().success, 0);
	while (n)
		ondol_free_pages(fx.m, fixed[--n], 0);
	end_machine();
}

/* All is in use: moving it about helps nobody. */
static void not_for_want_of_memory(void **state)
{
	struct ondol_page *page[4096];
	uint32_t n = 0;

	(void)state;
	begin_machine(HW_NONE, true);
	while (n < 4096 && (page[n] = ondol_alloc_pages(fx.m, GFP_HUGE, 0)))
		n++;
	assert_null(ondol_alloc_pages(fx.m, GFP_HUGE, HUGE));
	assert_int_equal(counters().stall, 0);
	while (n)
		ondol_free_pages(fx.m, page[--n], 0);
	end_machine();
}

/* It allocates nothing, so there is nothing that could be refused. */
static void without_a_frame(void **state)
{
	struct ondol_fail_plan plan = { .persistent = true };

	(void)state;
	for (unsigned i = 0; i < ONDOL_FAIL_NR; i++)
		plan.nth[i] = 1;
	begin_machine(HW_SOFTWARE, false);
	fragment(4);
	ondol_set_fail_plan(fx.m, &plan);
	assert_true(ondol_compact_node(fx.m, 0) > 0);
	for (unsigned i = 0; i < ONDOL_FAIL_NR; i++)
		assert_int_equal(plan.seen[i], 0);
	ondol_set_fail_plan(fx.m, NULL);
	end_machine();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_request),
		cmocka_unit_test(shared_by_fork),
		cmocka_unit_test(for_a_request),
		cmocka_unit_test(not_for_everyone),
		cmocka_unit_test(locked_stays),
		cmocka_unit_test(busy_stays),
		cmocka_unit_test(pinned_stays),
		cmocka_unit_test(who_failed_waits),
		cmocka_unit_test(not_for_want_of_memory),
		cmocka_unit_test(without_a_frame),
	};

	return cmocka_run_group_tests_name("compact", tests, NULL, NULL);
}

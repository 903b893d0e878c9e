/* SPDX-License-Identifier: MIT */
/* Frames without a permanent address (C7): windows, slots that run out, what stays below. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "phys/kmap.h"
#include "support/toy.h"

#define MIB(n) (UINT64_C(n) << 20)
#define LOW MIB(4)
#define PERSISTENT (TOY_KMAP_SLOTS - KMAP_LOCAL_MAX)

static struct ondol_profile profile;
static struct toy t;

static int start(uint64_t low)
{
	static struct ondol_mem_region region = { .end = { MIB(16) }, .type = ONDOL_MEM_USABLE };
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = &region,
					   .nr_regions = 1, .nr_nodes = 1, .nr_cpus = 1,
					   .profile = &profile };

	profile = toy_highmem_profile(LOW);
	return toy_init_high(&t, &desc, low);
}

static void assert_valid(void)
{
	struct ondol_broken_invariant b;

	if (ondol_machine_validate(t.m, &b))
		fail_msg("[%s] %#llx", b.id, (unsigned long long)b.where);
}

static void assert_broken(void)
{
	struct ondol_broken_invariant b = { .id = "none" };

	assert_int_equal(ondol_machine_validate(t.m, &b), -ONDOL_EUCLEAN);
	assert_string_equal(b.id, "KMAP-1");
}

static void end(void)
{
	assert_valid();
	assert_int_equal(toy_free(&t), 0);
}

static struct ondol_page *high_page(void)
{
	struct ondol_page *page = ondol_alloc_pages(t.m, ONDOL_GFP_HIGHUSER | ONDOL_GFP_ZERO, 0);

	assert_non_null(page);
	assert_true(ondol_page_to_pfn(t.m, page).value >= LOW >> ONDOL_PAGE_SHIFT);
	return page;
}

/* The frame's bytes as hardware has them. */
static unsigned char *in_ram(struct ondol_page *page)
{
	return (unsigned char *)t.ram + ondol_page_to_pfn(t.m, page).value * ONDOL_PAGE_SIZE;
}

/* C7: no address, until it is mapped; the same one for all who map it; zeroed all the same. */
static void high_frames_have_no_address(void **state)
{
	struct ondol_page *page, *low;
	unsigned char *at;

	(void)state;
	assert_int_equal(start(LOW), 0);
	page = high_page();
	assert_null(ondol_page_address(t.m, page));
	at = ondol_kmap(t.m, page);
	assert_non_null(at);
	assert_ptr_equal(ondol_page_address(t.m, page), at);
	for (size_t i = 0; i < ONDOL_PAGE_SIZE; i++)
		assert_int_equal(at[i], 0);
	assert_ptr_equal(ondol_kmap(t.m, page), at);
	at[5] = 55;
	assert_int_equal(in_ram(page)[5], 55);
	ondol_kunmap(t.m, page);
	assert_ptr_equal(ondol_page_address(t.m, page), at);
	ondol_kunmap(t.m, page);
	assert_null(ondol_page_address(t.m, page));
	/* Nobody has needed the slot since: it is found again, and mapped by nobody. */
	assert_ptr_equal(ondol_kmap(t.m, page), at);
	ondol_kunmap(t.m, page);
	low = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL, 0);
	assert_ptr_equal(ondol_kmap(t.m, low), ondol_page_address(t.m, low));
	assert_ptr_equal(ondol_page_address(t.m, low), t.port.direct_map +
			 ondol_page_to_pfn(t.m, low).value * ONDOL_PAGE_SIZE);
	ondol_kunmap(t.m, low);
	ondol_free_pages(t.m, low, 0);
	ondol_free_pages(t.m, page, 0);
	end();
}

/* As many frames as there are slots, then no more; a slot that is let go serves another. */
static void slots_run_out(void **state)
{
	struct ondol_page *page[PERSISTENT + 1];
	void *at[PERSISTENT];

	(void)state;
	assert_int_equal(start(LOW), 0);
	for (unsigned i = 0; i <= PERSISTENT; i++)
		page[i] = high_page();
	for (unsigned i = 0; i < PERSISTENT; i++) {
		at[i] = ondol_kmap(t.m, page[i]);
		assert_non_null(at[i]);
		memset(at[i], (int)i + 1, ONDOL_PAGE_SIZE);
		for (unsigned j = 0; j < i; j++)
			assert_ptr_not_equal(at[i], at[j]);
	}
	assert_null(ondol_kmap(t.m, page[PERSISTENT]));
	assert_valid();
	ondol_kunmap(t.m, page[3]);
	assert_ptr_equal(ondol_kmap(t.m, page[PERSISTENT]), at[3]);
	assert_null(ondol_kmap(t.m, page[3]));
	for (unsigned i = 0; i < PERSISTENT; i++) {
		assert_int_equal(in_ram(page[i])[ONDOL_PAGE_SIZE - 1], i + 1);
		ondol_kunmap(t.m, i == 3 ? page[PERSISTENT] : page[i]);
	}
	for (unsigned i = 0; i <= PERSISTENT; i++)
		ondol_free_pages(t.m, page[i], 0);
	end();
}

/* A copy has two at once; more of them than a CPU's share is a bug, and said so. */
static void local_maps_nest(void **state)
{
	struct ondol_page *page[KMAP_LOCAL_MAX + 1];
	struct kmap_local map[KMAP_LOCAL_MAX + 1];

	(void)state;
	assert_int_equal(start(LOW), 0);
	for (unsigned i = 0; i <= KMAP_LOCAL_MAX; i++)
		page[i] = high_page();
	memset(kmap_local(t.m, page[0], &map[0]), 7, ONDOL_PAGE_SIZE);
	kunmap_local(t.m, &map[0]);
	kmap_copy(t.m, page[1], page[0]);
	assert_memory_equal(in_ram(page[1]), in_ram(page[0]), ONDOL_PAGE_SIZE);
	kmap_clear(t.m, page[0], 1);
	assert_int_equal(in_ram(page[0])[0] | in_ram(page[0])[ONDOL_PAGE_SIZE - 1], 0);
	for (unsigned i = 0; i < KMAP_LOCAL_MAX; i++)
		*(unsigned char *)kmap_local(t.m, page[i], &map[i]) = (unsigned char)(i + 1);
	if (!TOY_PANICS(&t)) {
		(void)kmap_local(t.m, page[KMAP_LOCAL_MAX], &map[KMAP_LOCAL_MAX]);
		fail_msg("one more than there are");
	}
	t.expects_panic = false;
	t.m->kmap.depth[0] = KMAP_LOCAL_MAX;
	for (unsigned i = KMAP_LOCAL_MAX; i-- > 0;)
		kunmap_local(t.m, &map[i]);
	for (unsigned i = 0; i <= KMAP_LOCAL_MAX; i++) {
		assert_true(i == KMAP_LOCAL_MAX || *in_ram(page[i]) == i + 1);
		ondol_free_pages(t.m, page[i], 0);
	}
	end();
}

/* Who does not ask for HIGHMEM gets memory with an address, to the last frame of it. */
static void kernel_memory_stays_low(void **state)
{
	struct ondol_page *page, *list = NULL;
	void *object[64];

	(void)state;
	assert_int_equal(start(LOW), 0);
	for (unsigned i = 0; i < 64; i++) {
		object[i] = ondol_kmalloc(t.m, 1000, ONDOL_GFP_KERNEL);
		memset(object[i], 1, 1000);
	}
	while ((page = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, 0))) {
		struct ondol_page **link = ondol_page_address(t.m, page);

		assert_non_null(link);
		*link = list;
		list = page;
	}
	ondol_free_pages(t.m, high_page(), 0); /* there was some left */
	while ((page = list)) {
		list = *(struct ondol_page **)ondol_page_address(t.m, page);
		ondol_free_pages(t.m, page, 0);
	}
	for (unsigned i = 0; i < 64; i++)
		ondol_kfree(t.m, object[i]);
	end();
}

/* A description that cannot work is refused. */
static void bad_ports(void **state)
{
	struct ondol_port port;
	struct ondol_machine_desc desc;
	struct ondol_mem_region region = { .end = { MIB(16) }, .type = ONDOL_MEM_USABLE };
	struct ondol_machine *m;
	size_t size, align;
	void *storage = NULL;

	(void)state;
	assert_int_equal(start(LOW - MIB(1)), -ONDOL_EINVAL); /* NORMAL goes on behind it */
	toy_ram_free(&t);
	free(t.storage);
	assert_int_equal(start(LOW), 0);
	desc = (struct ondol_machine_desc){ .size = sizeof desc, .regions = &region,
					    .nr_regions = 1, .nr_nodes = 1, .nr_cpus = 1,
					    .profile = &profile };
	assert_int_equal(ondol_machine_storage(&desc, &size, &align), 0);
	assert_int_equal(posix_memalign(&storage, align, size), 0);
	for (int i = 0; i < 4; i++) {
		port = t.port;
		if (i == 0)
			port.direct_map_bytes += 1;
		else if (i == 1)
			port.kmap_set = NULL;
		else if (i == 2)
			port.kmap_window = NULL;
		else
			port.nr_kmap_slots = KMAP_LOCAL_MAX; /* none for all */
		assert_int_equal(ondol_machine_init(storage, size, &desc, &port, &m),
				 -ONDOL_EINVAL);
	}
	free(storage);
	end();
}

static unsigned nr_cleared, nr_copied;
static bool port_can;

static bool port_clear(void *ctx, ondol_pfn_t pfn, uint32_t nr)
{
	struct toy *toy = ctx;

	if (port_can)
		memset(toy->ram + pfn.value * ONDOL_PAGE_SIZE, 0, nr * ONDOL_PAGE_SIZE);
	nr_cleared += nr;
	return port_can;
}

static bool port_copy(void *ctx, ondol_pfn_t to, ondol_pfn_t from)
{
	struct toy *toy = ctx;

	if (port_can)
		memcpy(toy->ram + to.value * ONDOL_PAGE_SIZE,
		       toy->ram + from.value * ONDOL_PAGE_SIZE, ONDOL_PAGE_SIZE);
	nr_copied++;
	return port_can;
}

static unsigned char *bytes_of(const struct ondol_page *page)
{
	return t.ram + ondol_page_to_pfn(t.m, page).value * ONDOL_PAGE_SIZE;
}

/* A port's own way to the bytes of programs; where it has none, or cannot, the core does it. */
static void port_fills(void **state)
{
	struct ondol_page *to, *from, *own;

	(void)state;
	for (unsigned can = 0; can < 2; can++) {
		assert_int_equal(start(LOW), 0);
		to = high_page();
		from = high_page();
		t.port.clear_frames = port_clear;
		t.port.copy_frame = port_copy;
		port_can = can;
		nr_cleared = nr_copied = 0;
		memset(bytes_of(to), 0x5a, ONDOL_PAGE_SIZE);
		memset(bytes_of(from), 0xa5, ONDOL_PAGE_SIZE);
		kmap_copy(t.m, to, from);
		assert_memory_equal(bytes_of(to), bytes_of(from), ONDOL_PAGE_SIZE);
		kmap_clear(t.m, to, 1);
		assert_int_equal(nr_copied, 1);
		assert_int_equal(nr_cleared, 1);
		for (size_t i = 0; i < ONDOL_PAGE_SIZE; i++)
			assert_int_equal(bytes_of(to)[i], 0);
		/* What the core will use itself it clears itself. */
		own = ondol_alloc_pages(t.m, ONDOL_GFP_KERNEL | ONDOL_GFP_ZERO, 0);
		assert_non_null(own);
		assert_int_equal(nr_cleared, 1);
		ondol_free_pages(t.m, own, 0);
		ondol_free_pages(t.m, to, 0);
		ondol_free_pages(t.m, from, 0);
		end();
	}
}

static void kmap_1(void **state)
{
	struct ondol_page *page;
	struct kmap_slot *slot, saved;

	(void)state;
	assert_int_equal(start(LOW), 0);
	page = high_page();
	slot = &t.m->kmap.slot[ondol_page_to_pfn(t.m, page).value % PERSISTENT];
	assert_non_null(ondol_kmap(t.m, page));
	assert_int_equal(slot->users, 1);
	saved = *slot;
	slot->pfn = 1; /* a frame that has an address */
	assert_broken();
	slot->pfn = MIB(16) >> ONDOL_PAGE_SHIFT; /* none that there is */
	assert_broken();
	slot->pfn = UINT64_MAX;
	assert_broken();
	*slot = saved;
	slot[slot == t.m->kmap.slot ? 1 : -1].pfn = saved.pfn;
	assert_broken();
	slot[slot == t.m->kmap.slot ? 1 : -1].pfn = UINT64_MAX;
	assert_valid();
	ondol_free_pages(t.m, page, 0); /* while somebody has it mapped */
	assert_broken();
	ondol_kunmap(t.m, page);
	assert_valid();
	if (!TOY_PANICS(&t)) {
		ondol_kunmap(t.m, page);
		fail_msg("unmapped what was not mapped");
	}
	assert_string_equal(t.panic.invariant, "KMAP-1");
	t.expects_panic = false;
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(high_frames_have_no_address),
		cmocka_unit_test(slots_run_out),
		cmocka_unit_test(local_maps_nest),
		cmocka_unit_test(kernel_memory_stays_low),
		cmocka_unit_test(bad_ports),
		cmocka_unit_test(port_fills),
		cmocka_unit_test(kmap_1),
	};

	return cmocka_run_group_tests_name("kmap", tests, NULL, NULL);
}

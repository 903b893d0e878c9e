/* SPDX-License-Identifier: MIT */
/*
 * Memory policies (requirement B6, and set_mempolicy(2), mbind(2), move_pages(2)): which node
 * frames come from, regions with policies of their own, and moving pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ondol/mempolicy.h>

#include "support/mm_fixture.h"

#include "virt/virt.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define NODE(n) (UINT64_C(1) << (n))
#define ALL_NODES 0xfu

static uint32_t this_cpu;

static uint32_t get_this_cpu(void *ctx)
{
	(void)ctx;
	return this_cpu;
}

/* Four nodes of 16 MiB in a row, a CPU each; the further the number, the further away. */
static void begin_nodes(void)
{
	static const uint8_t distance[16] = { 10, 12, 20, 30, 12, 10, 12, 20,
					      20, 12, 10, 12, 30, 20, 12, 10 };
	struct ondol_mem_region regions[4];
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = regions,
					   .nr_regions = 4, .nr_nodes = 4, .nr_cpus = 4,
					   .node_distance = distance };

	for (uint16_t i = 0; i < 4; i++)
		regions[i] = (struct ondol_mem_region){ .start = { MIB(16 * i) },
							.end = { MIB(16 * i + 16) },
							.type = ONDOL_MEM_USABLE, .node = i };
	this_cpu = 0;
	memset(&fx, 0, sizeof fx);
	assert_int_equal(toy_init_cpus(&fx.toy, &desc, get_this_cpu), 0);
	fx.m = fx.toy.m;
	fx.mm = new_mm();
}

static void end_nodes(void)
{
	this_cpu = 0;
	end();
}

static struct ondol_mempolicy policy(uint32_t mode, uint64_t nodes)
{
	struct ondol_mempolicy p;

	assert_int_equal(ondol_mempolicy_make(fx.m, mode, nodes, &p), 0);
	return p;
}

static int make(uint32_t mode, uint64_t nodes)
{
	struct ondol_mempolicy p;

	return ondol_mempolicy_make(fx.m, mode, nodes, &p);
}

static void bind_pages(uint64_t page, uint64_t pages, uint32_t mode, uint64_t nodes)
{
	struct ondol_mempolicy p = policy(mode, nodes);

	assert_int_equal(ondol_mbind(fx.mm, AT(page), pages * PAGE, &p), 0);
}

/* "0123": the nodes of the pages from `page` on, '.' where there is none. */
static void assert_nodes(uint64_t page, const char *expected)
{
	char text[64] = "";

	for (size_t i = 0; expected[i]; i++) {
		int node = ondol_page_node_at(fx.mm, AT(page + i));

		text[i] = node < 0 ? '.' : (char)('0' + node);
	}
	assert_string_equal(text, expected);
}

static void making(void **state)
{
	struct ondol_mempolicy p;

	(void)state;
	begin_nodes();
	assert_int_equal(ondol_nodes_with_memory(fx.m), ALL_NODES);
	/* The rules of set_mempolicy(2), one by one. */
	assert_int_equal(make(ONDOL_MPOL_DEFAULT, 0), 0);
	assert_int_equal(make(ONDOL_MPOL_DEFAULT, 1), -ONDOL_EINVAL);
	assert_int_equal(make(ONDOL_MPOL_LOCAL, 1), -ONDOL_EINVAL);
	assert_int_equal(make(ONDOL_MPOL_LOCAL | ONDOL_MPOL_F_STATIC_NODES, 0), -ONDOL_EINVAL);
	assert_int_equal(make(ONDOL_MPOL_BIND, 0), -ONDOL_EINVAL);
	assert_int_equal(make(ONDOL_MPOL_INTERLEAVE, 0), -ONDOL_EINVAL);
	assert_int_equal(make(ONDOL_MPOL_BIND, NODE(7)), -ONDOL_EINVAL);
	assert_int_equal(make(ONDOL_MPOL_NR, 1), -ONDOL_EINVAL);
	assert_int_equal(make(0x100, 1), -ONDOL_EINVAL);
	assert_int_equal(make(ONDOL_MPOL_BIND | ONDOL_MPOL_F_STATIC_NODES |
				      ONDOL_MPOL_F_RELATIVE_NODES, 1), -ONDOL_EINVAL);
	assert_int_equal(make(ONDOL_MPOL_INTERLEAVE | ONDOL_MPOL_F_NUMA_BALANCING, 1),
			 -ONDOL_EINVAL);
	assert_int_equal(make(ONDOL_MPOL_BIND | ONDOL_MPOL_F_NUMA_BALANCING, 1), 0);
	/* PREFERRED of nothing is LOCAL, of several the first. */
	assert_int_equal(policy(ONDOL_MPOL_PREFERRED, 0).mode, ONDOL_MPOL_LOCAL);
	assert_int_equal(policy(ONDOL_MPOL_PREFERRED, 0xc).nodes, NODE(2));
	/* Nodes without memory fall away; relative ones go round. */
	assert_int_equal(policy(ONDOL_MPOL_BIND, 0xf2).nodes, NODE(1));
	p = policy(ONDOL_MPOL_BIND | ONDOL_MPOL_F_RELATIVE_NODES, NODE(5) | NODE(2));
	assert_int_equal(p.nodes, NODE(1) | NODE(2));
	assert_int_equal(p.flags, ONDOL_MPOL_F_RELATIVE_NODES);
	end_nodes();
}

/* The node of one frame taken with the policy. */
static unsigned node_of_one(const struct ondol_mempolicy *p, uint64_t index)
{
	struct ondol_page *page = ondol_alloc_pages_mpol(fx.m, p, index, ONDOL_GFP_KERNEL, 0);
	unsigned node;

	assert_non_null(page);
	node = ondol_page_node(page);
	ondol_free_pages(fx.m, page, 0);
	return node;
}

static void frames_by_policy(void **state)
{
	struct ondol_mempolicy p;
	unsigned count[4] = { 0 };

	(void)state;
	begin_nodes();
	p = policy(ONDOL_MPOL_PREFERRED, NODE(2));
	assert_int_equal(node_of_one(&p, 0), 2);
	p = policy(ONDOL_MPOL_BIND, NODE(1) | NODE(3));
	assert_int_equal(node_of_one(&p, 0), 1); /* the nearer one */
	this_cpu = 3;
	assert_int_equal(node_of_one(&p, 0), 3);
	assert_int_equal(node_of_one(NULL, 0), 3);
	p = policy(ONDOL_MPOL_LOCAL, 0);
	assert_int_equal(node_of_one(&p, 0), 3);
	p = policy(ONDOL_MPOL_PREFERRED_MANY, NODE(0) | NODE(1));
	assert_int_equal(node_of_one(&p, 0), 1);
	this_cpu = 0;
	p = policy(ONDOL_MPOL_INTERLEAVE, NODE(0) | NODE(2) | NODE(3));
	for (uint64_t i = 0; i < 9; i++)
		assert_int_equal(node_of_one(&p, i), "023"[i % 3] - '0');
	p = policy(ONDOL_MPOL_WEIGHTED_INTERLEAVE, NODE(0) | NODE(1) | NODE(3));
	assert_int_equal(ondol_node_set_weight(fx.m, 1, 3), 0);
	assert_int_equal(ondol_node_set_weight(fx.m, 1, 0), -ONDOL_EINVAL);
	assert_int_equal(ondol_node_set_weight(fx.m, 1, 256), -ONDOL_EINVAL);
	assert_int_equal(ondol_node_set_weight(fx.m, 4, 1), -ONDOL_EINVAL);
	for (uint64_t i = 0; i < 500; i++)
		count[node_of_one(&p, i)]++;
	assert_int_equal(count[0], 100);
	assert_int_equal(count[1], 300);
	assert_int_equal(count[2], 0);
	assert_int_equal(count[3], 100);
	end_nodes();
}

/* A node runs dry: BIND refuses, PREFERRED and INTERLEAVE go on elsewhere. */
static void a_full_node(void **state)
{
	static struct ondol_page *taken[8192];
	struct ondol_mempolicy bind, prefer, turn, many;
	struct ondol_refusal why;
	unsigned n = 0;

	(void)state;
	begin_nodes();
	bind = policy(ONDOL_MPOL_BIND, NODE(1));
	prefer = policy(ONDOL_MPOL_PREFERRED, NODE(1));
	turn = policy(ONDOL_MPOL_INTERLEAVE, NODE(1) | NODE(3));
	many = policy(ONDOL_MPOL_PREFERRED_MANY, NODE(1));
	while ((taken[n] = ondol_alloc_pages_mpol(fx.m, &bind, 0,
						  ONDOL_GFP_KERNEL | ONDOL_GFP_NOWARN, 0)))
		assert_int_equal(ondol_page_node(taken[n++]), 1);
	assert_in_range(n, 3000, 4096);
	ondol_last_refusal(fx.m, &why);
	for (uint32_t i = 0; i < why.nr_zones; i++)
		assert_int_equal(why.zone[i].node, 1);
	assert_int_not_equal(node_of_one(&prefer, 0), 1);
	assert_int_not_equal(node_of_one(&many, 0), 1);
	assert_int_not_equal(node_of_one(&turn, 0), 1); /* its turn, but it has none */
	assert_int_equal(node_of_one(&turn, 1), 3);
	while (n)
		ondol_free_pages(fx.m, taken[--n], 0);
	assert_int_equal(node_of_one(&bind, 0), 1);
	end_nodes();
}

static void faults_by_policy(void **state)
{
	struct ondol_mempolicy p;

	(void)state;
	begin_nodes();
	map(0, 32, RW);
	bind_pages(4, 4, ONDOL_MPOL_BIND, NODE(2));
	bind_pages(8, 8, ONDOL_MPOL_INTERLEAVE, NODE(1) | NODE(3));
	assert_picture("WWWW|WWWW|WWWWWWWW|WWWWWWWW");
	/* A window does not reach over the region's policy, nor lump what is interleaved. */
	touch_around(4, ONDOL_FAULT_WRITE, 16);
	touch_around(0, ONDOL_FAULT_WRITE, 16);
	assert_int_equal(touch_around(8, ONDOL_FAULT_WRITE, 16).nr_pages, 1);
	for (uint64_t i = 9; i < 16; i++)
		touch_around(i, ONDOL_FAULT_WRITE, 16);
	assert_nodes(0, "0000222213131313........");
	/* The task's policy counts where the region has none. */
	p = policy(ONDOL_MPOL_PREFERRED, NODE(3));
	ondol_mm_set_task_policy(fx.mm, &p);
	touch_around(16, ONDOL_FAULT_WRITE, 4);
	ondol_mm_set_task_policy(fx.mm, NULL);
	touch_around(20, ONDOL_FAULT_WRITE, 4);
	assert_nodes(16, "33330000");
	assert_int_equal(ondol_vma_policy(fx.mm, AT(5), &p), 0);
	assert_int_equal(p.mode, ONDOL_MPOL_BIND);
	assert_int_equal(p.nodes, NODE(2));
	assert_int_equal(ondol_vma_policy(fx.mm, AT(0), &p), 0);
	assert_int_equal(p.mode, ONDOL_MPOL_DEFAULT);
	assert_int_equal(ondol_vma_policy(fx.mm, AT(99), &p), -ONDOL_EFAULT);
	end_nodes();
}

static void files_by_policy(void **state)
{
	struct ondol_mempolicy p;
	struct test_file f;

	(void)state;
	begin_nodes();
	open_file(&f, 64 * PAGE);
	map_file(0, 8, R, &f, 0);
	map_file(8, 8, RW, &f, 8);
	p = policy(ONDOL_MPOL_INTERLEAVE, NODE(1) | NODE(2));
	ondol_mm_set_task_policy(fx.mm, &p);
	for (uint64_t i = 0; i < 8; i++)
		touch_around(i, ONDOL_FAULT_READ, 8);
	ondol_mm_set_task_policy(fx.mm, NULL);
	assert_nodes(0, "12121212");
	/* A private copy goes where its region says. */
	bind_pages(8, 8, ONDOL_MPOL_BIND, NODE(3));
	touch_around(8, ONDOL_FAULT_WRITE, 8);
	assert_nodes(8, "33333333");
	assert_int_equal(peek(9), page_tag(9));
	close_file(&f);
	end_nodes();
}

static void binding(void **state)
{
	struct ondol_mempolicy p, none = { .mode = ONDOL_MPOL_DEFAULT };
	struct ondol_mm_struct *child;

	(void)state;
	begin_nodes();
	map(0, 8, RW);
	map(10, 4, RW);
	p = policy(ONDOL_MPOL_BIND, NODE(1));
	assert_int_equal(ondol_mbind(fx.mm, AT(0) + 1, PAGE, &p), -ONDOL_EINVAL);
	assert_int_equal(ondol_mbind(fx.mm, AT(0), UINT64_MAX, &p), -ONDOL_EINVAL);
	assert_int_equal(ondol_mbind(fx.mm, AT(0), 0, &p), 0);
	assert_int_equal(ondol_mbind(fx.mm, AT(4), 8 * PAGE, &p), -ONDOL_EFAULT);
	assert_int_equal(ondol_mbind(fx.mm, AT(20), PAGE, &p), -ONDOL_EFAULT);
	assert_int_equal(ondol_mbind(fx.mm, AT(0), 30 * PAGE, &none), 0);
	/* Equal policies make one region again (F12), others two. */
	bind_pages(0, 3, ONDOL_MPOL_BIND, NODE(1));
	bind_pages(3, 2, ONDOL_MPOL_BIND, NODE(1));
	assert_picture("WWWWW|WWW..WWWW");
	bind_pages(2, 2, ONDOL_MPOL_BIND, NODE(2));
	assert_picture("WW|WW|W|WWW..WWWW");
	assert_int_equal(policy_users(fx.m, 1) + policy_users(fx.m, 2), 3);
	assert_valid();
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	assert_picture_of(child, 0, "WW|WW|W|WWW..WWWW");
	assert_int_equal(ondol_vma_policy(child, AT(2), &p), 0);
	assert_int_equal(p.nodes, NODE(2));
	assert_valid();
	ondol_mmput(child);
	protect(1, 3, R);
	assert_picture("W|R|RR|W|WWW..WWWW");
	assert_int_equal(ondol_mbind(fx.mm, AT(0), 14 * PAGE, &none), 0);
	assert_picture("W|RRR|WWWW..WWWW");
	assert_null(fx.m->virt->policies);
	end_nodes();
}

/* The table is full: the call fails and nothing has changed. */
static void too_many_policies(void **state)
{
	struct ondol_mempolicy p;

	(void)state;
	begin_nodes();
	map(0, 300, RW);
	for (uint32_t i = 0; i < POLICIES_MAX; i++) {
		p = policy(ONDOL_MPOL_BIND, NODE(i % 4));
		p.flags = (uint16_t)(i << 1); /* so that no two are equal */
		assert_int_equal(ondol_mbind(fx.mm, AT(i), PAGE, &p), 0);
	}
	p.flags = 1;
	assert_int_equal(ondol_mbind(fx.mm, AT(299), PAGE, &p), -ONDOL_ENOMEM);
	p.flags = 2; /* one that is there */
	p.nodes = NODE(1);
	assert_int_equal(ondol_mbind(fx.mm, AT(299), PAGE, &p), 0);
	assert_valid();
	end_nodes();
}

static void moving(void **state)
{
	struct ondol_mm_struct *child;
	struct test_file f;
	uint64_t reads;

	(void)state;
	begin_nodes();
	open_file(&f, 8 * PAGE);
	map(0, 8, RW);
	map_file(8, 2, R, &f, 0);
	for (uint64_t i = 0; i < 4; i++)
		poke(i, 100 + i);
	assert_int_equal(peek(8), page_tag(0));
	reads = f.reads;
	assert_nodes(0, "0000....0");
	assert_int_equal(ondol_move_page(fx.mm, AT(1) + 5, 2, false), 2);
	assert_int_equal(ondol_move_page(fx.mm, AT(1), 2, false), 2);
	assert_nodes(0, "0200");
	assert_int_equal(peek(1), 101);
	assert_int_equal(ondol_move_page(fx.mm, AT(5), 2, false), -ONDOL_ENOENT);
	assert_int_equal(ondol_move_page(fx.mm, AT(50), 2, false), -ONDOL_EFAULT);
	assert_int_equal(ondol_move_page(fx.mm, AT(1), 4, false), -ONDOL_EINVAL);
	/* A file's page that nobody else maps moves, in the cache too. */
	assert_int_equal(ondol_move_page(fx.mm, AT(8), 2, false), 2);
	assert_nodes(8, "2.");
	assert_int_equal(peek(8), page_tag(0));
	assert_int_equal(f.reads, reads);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	assert_int_equal(ondol_move_page(fx.mm, AT(1), 0, false), -ONDOL_EACCES);
	/* With MPOL_MF_MOVE_ALL both see it move, and still share it. */
	assert_int_equal(ondol_move_page(fx.mm, AT(1), 3, true), 3);
	assert_int_equal(ondol_page_node_at(child, AT(1)), 3);
	assert_int_equal(peek_in(child, 1), 101);
	assert_valid();
	/* migrate_pages(2): 0 -> 1, 3 -> 2; what others map stays, or goes along. */
	assert_int_equal(ondol_migrate_nodes(fx.mm, NODE(0) | NODE(3), NODE(1) | NODE(2), false),
			 4);
	assert_nodes(0, "0300....2");
	assert_int_equal(ondol_migrate_nodes(fx.mm, NODE(0) | NODE(3), NODE(1) | NODE(2), true),
			 0);
	assert_nodes(0, "1211....2");
	assert_valid();
	poke_in(child, 0, 555);
	assert_int_equal(peek(0), 100);
	assert_int_equal(peek_in(child, 8), page_tag(0));
	ondol_mmput(child);
	assert_valid();
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(peek(i), 100 + i);
	close_file(&f);
	end_nodes();
}

static void migrating_to_a_policy(void **state)
{
	struct ondol_mempolicy p;

	(void)state;
	begin_nodes();
	map(0, 8, RW);
	for (uint64_t i = 0; i < 8; i++)
		poke(i, i);
	p = policy(ONDOL_MPOL_INTERLEAVE, NODE(1) | NODE(2));
	assert_int_equal(ondol_pages_outside(fx.mm, AT(0), AT(8), p.nodes), 8);
	assert_int_equal(ondol_migrate_to_policy(fx.mm, AT(2), AT(6), &p, false), 0);
	assert_nodes(0, "00121200");
	assert_int_equal(ondol_pages_outside(fx.mm, AT(0), AT(8), p.nodes), 4);
	p = policy(ONDOL_MPOL_BIND, NODE(3));
	assert_int_equal(ondol_migrate_to_policy(fx.mm, AT(0), AT(8), &p, false), 0);
	assert_nodes(0, "33333333");
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(peek(i), i);
	p = policy(ONDOL_MPOL_LOCAL, 0); /* names no nodes: nothing is misplaced */
	assert_int_equal(ondol_migrate_to_policy(fx.mm, AT(0), AT(8), &p, false), 0);
	assert_nodes(0, "33333333");
	end_nodes();
}

/* Every allocation of mbind failing, one after the other, leaves the regions as they were. */
static void failing_mbind(void **state)
{
	struct ondol_fail_plan plan;
	struct ondol_mempolicy p;
	int r;

	(void)state;
	begin_nodes();
	map(0, 8, RW);
	p = policy(ONDOL_MPOL_BIND, NODE(1));
	for (uint64_t n = 1;; n++) {
		plan = (struct ondol_fail_plan){ .nth[ONDOL_FAIL_SLAB] = n };
		ondol_set_fail_plan(fx.m, &plan);
		r = ondol_mbind(fx.mm, AT(2), 3 * PAGE, &p);
		ondol_set_fail_plan(fx.m, NULL);
		assert_valid();
		if (!plan.failed[ONDOL_FAIL_SLAB])
			break;
		assert_int_equal(r, -ONDOL_ENOMEM);
		assert_picture("WWWWWWWW");
	}
	assert_int_equal(r, 0);
	assert_picture("WW|WWW|WWW");
	end_nodes();
}

/* [MPOL-1] and [MPOL-2], broken on purpose. */
static void validation(void **state)
{
	struct ondol_broken_invariant broken;
	struct vma *vma;

	(void)state;
	begin_nodes();
	map(0, 2, RW);
	bind_pages(0, 2, ONDOL_MPOL_BIND, NODE(1));
	vma = vma_find(fx.mm, AT(0));
	policy_get(fx.m, vma->policy);
	assert_int_equal(ondol_machine_validate(fx.m, &broken), -ONDOL_EUCLEAN);
	assert_string_equal(broken.id, "MPOL-2");
	policy_put(fx.m, vma->policy);
	fx.m->phys->nodes[1].present -= 4096; /* as if the node had no memory */
	assert_int_equal(ondol_nodes_with_memory(fx.m), ALL_NODES & ~NODE(1));
	fx.m->phys->nodes[1].present += 4096;
	struct ondol_mempolicy odd = { .mode = ONDOL_MPOL_BIND, .nodes = NODE(9) };

	assert_int_equal(ondol_mbind(fx.mm, AT(1), PAGE, &odd), 0);
	assert_int_equal(ondol_machine_validate(fx.m, &broken), -ONDOL_EUCLEAN);
	assert_string_equal(broken.id, "MPOL-1");
	unmap(1, 1);
	end_nodes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(making),
		cmocka_unit_test(frames_by_policy),
		cmocka_unit_test(a_full_node),
		cmocka_unit_test(faults_by_policy),
		cmocka_unit_test(files_by_policy),
		cmocka_unit_test(binding),
		cmocka_unit_test(too_many_policies),
		cmocka_unit_test(moving),
		cmocka_unit_test(migrating_to_a_policy),
		cmocka_unit_test(failing_mbind),
		cmocka_unit_test(validation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

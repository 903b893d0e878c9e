/* SPDX-License-Identifier: MIT */
/*
 * Each invariant of address spaces, page tables and the page cache, broken on purpose: the
 * validators name it, and are content again when it is mended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "virt/virt.h"

#include "support/mm_fixture.h"

static struct test_file file;
static struct ondol_mm_struct *child;

/* Pages 0-3 private and written, 4-5 of a file, 6 native, 8-9 shared; a child has the same. */
static int setup(void **state)
{
	(void)state;
	begin();
	open_file(&file, 8 * PAGE);
	map(0, 4, RW);
	map_file(4, 2, R, &file, 0);
	map(6, 1, R | ONDOL_VM_NATIVE);
	map(8, 2, RW | S);
	for (uint64_t i = 0; i < 4; i++)
		poke(i, i + 1);
	assert_int_equal(peek(4), page_tag(0));
	poke(8, 8);
	assert_int_equal(ondol_dup_mm(fx.mm, true, &child), 0);
	poke(3, 33); /* the parent's own again */
	assert_valid();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_valid();
	ondol_mmput(child);
	close_file(&file);
	end();
	return 0;
}

static void assert_broken(const char *id)
{
	struct ondol_broken_invariant b = { .id = "none" };

	assert_int_equal(ondol_mm_validate(fx.mm, &b), -ONDOL_EUCLEAN);
	assert_string_equal(b.id, id);
	assert_true(b.text && *b.text);
	assert_int_equal(ondol_machine_validate(fx.m, &b), -ONDOL_EUCLEAN);
	assert_string_equal(b.id, id);
	assert_int_equal(ondol_mm_validate(fx.mm, NULL), -ONDOL_EUCLEAN);
}

/* What one mm alone cannot see. */
static void assert_machine_broken(const char *id)
{
	struct ondol_broken_invariant b = { .id = "none" };

	assert_int_equal(ondol_mm_validate(fx.mm, &b), 0);
	assert_int_equal(ondol_machine_validate(fx.m, &b), -ONDOL_EUCLEAN);
	assert_string_equal(b.id, id);
}

/* While `place` has the value `wrong`, invariant `id` is broken. */
#define BREAKS(id, place, wrong) WHILE_WRONG(place, wrong, assert_broken(id))

static struct vma *region(uint64_t page)
{
	return vma_find(fx.mm, AT(page));
}

static uint64_t *entry(struct ondol_mm_struct *mm, uint64_t page)
{
	return pgtable_find(&mm->pgt, AT(page));
}

static struct ondol_page *frame(uint64_t page)
{
	return pte_page(fx.mm, *entry(fx.mm, page));
}

/* ------------------------------------------------------------------ VMA, MM */

static void vma_1(void **state)
{
	/* Unaligned, empty, overlapping the next; the tree agrees each time. */
	const uint64_t wrong[] = { AT(4) - 1, AT(0), AT(5) };
	struct vma *a = region(0), stray = *a;

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		vma_set_end(fx.mm, a, wrong[i]);
		assert_broken("VMA-1");
		vma_set_end(fx.mm, a, AT(4));
		assert_valid();
	}
	fx.mm->mmap_cache = &stray; /* a record that is not in the tree */
	assert_broken("VMA-1");
	fx.mm->mmap_cache = NULL;
}

static void vma_2(void **state)
{
	struct vma *root = vma_of(fx.mm->mm_rb.node), *last = fx.mm->last;
	struct ondol_broken_invariant b = { .id = "none" };

	(void)state;
	root->gap += PAGE;
	assert_int_equal(ondol_mm_validate(fx.mm, &b), -ONDOL_EUCLEAN);
	assert_string_equal(b.id, "VMA-2");
	assert_valid(); /* looking mends this value, so it is seen once */
	BREAKS("VMA-2", fx.mm->last, vma_prev(last));
	/* Too small a hole, with a gap that agrees: only the regions themselves tell. */
	root->hole -= PAGE;
	vma_augment.update(&root->rb);
	assert_broken("VMA-2");
	root->hole += PAGE;
	vma_augment.update(&root->rb);
	assert_valid();
}

static void vma_3(void **state)
{
	struct vma *a = region(0);

	(void)state;
	BREAKS("VMA-3", a->flags, a->flags & ~ONDOL_VM_MAYWRITE);
	BREAKS("VMA-3", fx.mm->task_size, AT(3));
}

static void vma_4(void **state)
{
	struct vma *a = region(8);

	(void)state;
	BREAKS("VMA-4", a->file, NULL);
	BREAKS("VMA-4", a->file->mapping, NULL);
	/* A native region with a frame is a leaf where none may be. */
	BREAKS("PGTABLE-3", *entry(fx.mm, 6), *entry(fx.mm, 3));
}

static void mm_1(void **state)
{
	(void)state;
	BREAKS("MM-1", fx.mm->nr_vma, fx.mm->nr_vma + 1);
	BREAKS("MM-1", fx.mm->total_vm, 0);
	BREAKS("MM-1", fx.mm->data_vm, fx.mm->data_vm + 1);
	BREAKS("MM-1", fx.mm->exec_vm, 1);
	BREAKS("MM-1", fx.mm->stack_vm, 1);
	BREAKS("MM-1", fx.mm->locked_vm, 1);
}

static void mm_2(void **state)
{
	(void)state;
	BREAKS("MM-2", fx.mm->rss[RSS_ANON], 0);
	BREAKS("MM-2", fx.mm->rss[RSS_FILE], 7);
	BREAKS("MM-2", fx.mm->rss[RSS_SHMEM], 0);
}

static void mm_3(void **state)
{
	(void)state;
	BREAKS("MM-3", fx.mm->committed, 0);
	fx.m->virt->committed++;
	assert_machine_broken("MM-3");
	fx.m->virt->committed--;
}

static void guard_1(void **state)
{
	(void)state;
	BREAKS("GUARD-1", fx.mm->nr_guards, 1);
}

/* ------------------------------------------------------------------ PGTABLE */

static void pgtable_1(void **state)
{
	struct ondol_page *table = machine_page(fx.m, fx.mm->pgt.root_pa.value >> 12);

	(void)state;
	BREAKS("PGTABLE-1", fx.mm->pgt.nr_tables, 1);
	ondol_page_set_use(fx.m, table, ONDOL_PAGE_KERNEL);
	assert_broken("PGTABLE-1");
	ondol_page_set_use(fx.m, table, ONDOL_PAGE_PGTABLE);
	BREAKS("PGTABLE-1", table->refcount, 2);
}

static void pgtable_2(void **state)
{
	(void)state;
	assert_non_null(pgtable_make(&fx.mm->pgt, AT(100000)));
	assert_broken("PGTABLE-2");
	mm_free_tables(fx.mm, AT(100000), AT(100001));
}

static void pgtable_3(void **state)
{
	(void)state;
	BREAKS("PGTABLE-3", *entry(fx.mm, 12), *entry(fx.mm, 3));
}

static void pgtable_4(void **state)
{
	uint64_t *pte = entry(fx.mm, 4);

	(void)state;
	BREAKS("PGTABLE-4", *pte, *pte | fx.mm->pgt.format->write_mask);
	BREAKS("PGTABLE-4", *pte, *pte & ~fx.mm->pgt.format->no_exec_mask);
}

/* ------------------------------------------------------------------ COW, CACHE, MMU */

static void cow_1(void **state)
{
	struct ondol_page *shared = frame(0), *own = frame(3);

	(void)state;
	shared->refcount++;
	assert_machine_broken("COW-1");
	shared->refcount -= 2;
	assert_machine_broken("COW-1");
	shared->refcount++;
	own->data.mapcount++;
	assert_machine_broken("COW-1");
	own->data.mapcount--;
}

static void cow_2(void **state)
{
	uint64_t *pte = entry(fx.mm, 0);

	(void)state;
	BREAKS("COW-2", *pte, *pte | fx.mm->pgt.format->write_mask);
}

static void cache_1(void **state)
{
	struct ondol_page *page = frame(4);

	(void)state;
	page->data.index++;
	assert_machine_broken("CACHE-1");
	page->data.index--;
	file.mapping->nr_pages++;
	assert_machine_broken("CACHE-1");
	file.mapping->nr_pages--;
	page->refcount++;
	assert_machine_broken("CACHE-1");
	page->refcount--;
	page->data.mapcount--;
	assert_machine_broken("CACHE-1");
	page->data.mapcount++;
	page->data.mapping = region(8)->file->mapping;
	assert_int_equal(ondol_machine_validate(fx.m, NULL), -ONDOL_EUCLEAN);
	page->data.mapping = file.mapping;
}

static void mmu_1(void **state)
{
	const struct ondol_pgtable_format *f = fx.mm->pgt.format;
	uint64_t *pte = entry(fx.mm, 1);

	(void)state;
	BREAKS("MMU-1", *entry(fx.mm, 2 + 10), f->accessed_mask); /* absent, yet accessed */
	BREAKS("MMU-1", *pte, (*pte & ~f->user_mask) | f->accessed_mask);
	/* Software-filled: accessed and writable, but not dirty. */
	pte = entry(fx.mm, 3);
	fx.mm->soft_fill = true;
	BREAKS("MMU-1", *pte, (*pte | f->accessed_mask) & ~f->dirty_mask);
	fx.mm->no_write_trap = true;
	pte = entry(fx.mm, 0); /* copy-on-write: must not be cached */
	BREAKS("MMU-1", *pte, *pte | f->accessed_mask);
	fx.mm->soft_fill = fx.mm->no_write_trap = false;
}

int main(void)
{
#define BROKEN(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		BROKEN(vma_1),     BROKEN(vma_2),     BROKEN(vma_3),     BROKEN(vma_4),
		BROKEN(mm_1),      BROKEN(mm_2),      BROKEN(mm_3),      BROKEN(guard_1),
		BROKEN(pgtable_1), BROKEN(pgtable_2),
		BROKEN(pgtable_3), BROKEN(pgtable_4), BROKEN(cow_1),     BROKEN(cow_2),
		BROKEN(cache_1),   BROKEN(mmu_1),
	};

	return cmocka_run_group_tests_name("validate_mm", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Operations of tests/model/mm_test.c by which programs and the kernel reach memory. */
#ifndef TESTS_SUPPORT_MM_ACCESS_H
#define TESTS_SUPPORT_MM_ACCESS_H

#include "support/mm_world.h"
#include "support/ops.h"

/* Where pages are to be equal, one of three. */
static uint64_t new_tag(void)
{
	uint64_t n = ++w.next_tag;

	return UINT64_C(0xda7a000000000000) + (w.config->ksm ? n % 3 : n);
}

/* The program wrote `tag` to the first or the last word of page i. */
static void model_write(struct model *m, unsigned i, bool last, uint64_t tag, bool told)
{
	struct mpage *p = &m->page[i];
	struct content c = mp_content(p);

	*(last ? &c.last : &c.first) = tag;
	if (mp_shared(p)) {
		p->object->now[p->pgoff] = c;
		p->wrote |= !told && p->object->mapping;
		return;
	}
	p->own = p->object != NULL;
	p->c = c;
}

static int page_fault(struct model *m, unsigned i, uint32_t access, uint32_t around)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = access,
					 .addr = hw_addr(&w.hw, i) + 8, .nr_around = around };
	struct ondol_fault_result result;

	return ondol_handle_mm_fault(m->mm, &args, &result);
}

/* The program's own access: by its hardware, with faults as they come. */
static void do_access(struct model *m, const struct op *op, uint32_t access)
{
	unsigned i = pick_page(m, op->a), tries = 0;
	bool last = op->b & 1;
	uint32_t around = 1u << (op->b >> 8) % 8, window = 1u << (op->b >> 16) % 8;
	uint64_t offset = last ? ONDOL_PAGE_SIZE - 8 : 0, value, tag = new_tag();
	unsigned char *host = NULL;
	int expected = model_fault(m, i, access, w.implied), r = 0;

	if (w.hw.kind == HW_NONE) {
		r = page_fault(m, i, access, around);
		if (!r)
			host = (unsigned char *)w.toy.ram +
			       hw_entry(&w.hw, m->mm, hw_addr(&w.hw, i)).phys.value;
	} else {
		while (!(host = hw_access(&w.hw, m->mm, i, access, window)) && !r && tries++ < 3)
			r = page_fault(m, i, access, around);
	}
	expect(access & ONDOL_FAULT_WRITE ? "write" : "read", host ? 0 : r, expected);
	if (!host)
		return;
	if (access & ONDOL_FAULT_WRITE) {
		/* Beside it pages may be copied that the model learns of later. */
		model_write(m, i, last, tag, false);
		memcpy(host + offset, &tag, 8);
		if (w.hw.kind == HW_NONE) { /* nobody sets D but copy_to_user */
			uint64_t to = hw_addr(&w.hw, i) + offset;

			expect("copy_to_user", ondol_copy_to_user(m->mm, to, &tag, 8), 0);
			m->page[i].wrote = false;
		}
		return;
	}
	memcpy(&value, host + offset, 8);
	expect("value read", (int64_t)value,
	       (int64_t)(last ? mp_content(&m->page[i]).last : mp_content(&m->page[i]).first));
}

/* A copy by the kernel: the last word of a page and the first of the next. */
static void do_copy(struct model *m, const struct op *op, bool to_user)
{
	unsigned i = pick_page(m, op->a);
	uint64_t addr = hw_addr(&w.hw, i) + ONDOL_PAGE_SIZE - 8;
	uint64_t words[2] = { new_tag(), new_tag() };
	uint32_t access = to_user ? ONDOL_FAULT_WRITE : ONDOL_FAULT_READ;
	int expected = 0, r;

	if (i + 1 >= NR)
		return;
	for (unsigned n = 0; n < 2 && !expected; n++) {
		expected = model_fault(m, i + n, access, w.implied) ? -ONDOL_EFAULT : 0;
		if (!expected && to_user)
			model_write(m, i + n, !n, words[n], true);
	}
	r = to_user ? ondol_copy_to_user(m->mm, addr, words, 16) :
		      ondol_copy_from_user(m->mm, words, addr, 16);
	expect("copy", r, expected);
	if (r || to_user)
		return;
	expect("last word", (int64_t)words[0], (int64_t)mp_content(&m->page[i]).last);
	expect("first word", (int64_t)words[1], (int64_t)mp_content(&m->page[i + 1]).first);
}

static void do_evict(struct model *m, const struct op *op)
{
	struct range r = pick_range(m, op->a, op->b);

	if (w.hw.kind != HW_NONE)
		hw_evict(&w.hw, m->mm, r.lo, r.hi);
}

static void do_shrink(const struct op *op)
{
	struct ondol_address_space *mapping = w.object[op->a % FILES]->mapping;

	ondol_address_space_shrink(mapping, op->b % 40);
}

#endif /* TESTS_SUPPORT_MM_ACCESS_H */

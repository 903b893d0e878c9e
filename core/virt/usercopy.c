/* SPDX-License-Identifier: MIT */
/*
 * Copies between the embedder and a program's memory, through the page tables, faulting in
 * what is absent as the program's own access would.  The hardware's cache plays no part, so
 * the copies work whatever it holds.
 */
#include "virt/virt.h"

/*
 * Host address of the byte at addr, faulted in for `access`; *out_left: bytes to the end of
 * its page.  NULL: the program could not have touched it either.
 */
static unsigned char *user_byte(struct ondol_mm_struct *mm, uint64_t addr, uint32_t access,
				uint64_t *out_left)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = access, .addr = addr,
					 .nr_around = 1 };
	struct ondol_fault_result result;
	uint64_t offset = addr & (ONDOL_PAGE_SIZE - 1);

	if (addr >= mm->task_size)
		return NULL;
	for (int attempt = 0; attempt < 2; attempt++) {
		void *slot = pgtable_find(&mm->pgt, addr);
		uint64_t pte = slot ? pte_get(&mm->pgt, slot) : 0;

		if (pte_allows(mm, pte, access)) {
			if (access & ONDOL_FAULT_WRITE) {
				pte_or(&mm->pgt, slot, mm->pgt.format->dirty_mask);
				if (page_use(pte_page(mm, pte)) == ONDOL_PAGE_CACHE)
					cache_mark_dirty(pte_page(mm, pte));
			}
			*out_left = ONDOL_PAGE_SIZE - offset;
			return page_data(mm, pte_page(mm, pte)) + offset;
		}
		if (ondol_handle_mm_fault(mm, &args, &result))
			return NULL;
	}
	return NULL;
}

int ondol_copy_to_user(struct ondol_mm_struct *mm, ondol_virt_addr_t dst, const void *src,
		       size_t size)
{
	const unsigned char *from = src;

	while (size) {
		uint64_t left;
		unsigned char *to = user_byte(mm, dst, ONDOL_FAULT_WRITE, &left);
		size_t n = left < size ? (size_t)left : size;

		if (!to)
			return -ONDOL_EFAULT;
		__builtin_memcpy(to, from, n);
		from += n;
		dst += n;
		size -= n;
	}
	return 0;
}

int ondol_copy_from_user(struct ondol_mm_struct *mm, void *dst, ondol_virt_addr_t src, size_t size)
{
	unsigned char *to = dst;

	while (size) {
		uint64_t left;
		const unsigned char *from = user_byte(mm, src, ONDOL_FAULT_READ, &left);
		size_t n = left < size ? (size_t)left : size;

		if (!from)
			return -ONDOL_EFAULT;
		__builtin_memcpy(to, from, n);
		to += n;
		src += n;
		size -= n;
	}
	return 0;
}

int64_t ondol_strncpy_from_user(struct ondol_mm_struct *mm, char *dst, ondol_virt_addr_t src,
				size_t size)
{
	size_t done = 0;

	while (done < size) {
		uint64_t left;
		const unsigned char *from = user_byte(mm, src + done, ONDOL_FAULT_READ, &left);

		if (!from)
			return -ONDOL_EFAULT;
		for (; left && done < size; left--, done++) {
			dst[done] = (char)*from++;
			if (!dst[done])
				return (int64_t)done;
		}
	}
	return -ONDOL_E2BIG;
}

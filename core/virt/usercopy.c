/* SPDX-License-Identifier: MIT */
/*
 * Copies between the embedder and a program's memory, through the page tables, faulting in
 * what is absent as the program's own access would.  The hardware's cache plays no part, so
 * the copies work whatever it holds.
 */
#include "virt/virt.h"

/* Bytes of one page, faulted in, and mapped for a moment (kmap_local). */
struct user_bytes {
	unsigned char *at;
	size_t left; /* to the end of the page */
	struct kmap_local map;
};

/* The bytes from addr on for `access`.  False: the program could not have touched them either. */
static bool user_bytes(struct ondol_mm_struct *mm, uint64_t addr, uint32_t access,
		       struct user_bytes *out)
{
	struct ondol_fault_args args = { .size = sizeof args, .access = access, .addr = addr,
					 .nr_around = 1 };
	struct ondol_fault_result result;
	uint64_t offset = addr & (ONDOL_PAGE_SIZE - 1);

	if (addr >= mm->task_size)
		return false;
	for (int attempt = 0; attempt < 2; attempt++) {
		void *slot = pgtable_find(&mm->pgt, addr);
		uint64_t pte = slot ? pte_get(&mm->pgt, slot) : 0;

		if (pte_allows(mm, pte, access)) {
			if (access & ONDOL_FAULT_WRITE) {
				pte_or(&mm->pgt, slot, mm->pgt.format->dirty_mask);
				if (page_use(pte_page(mm, pte)) == ONDOL_PAGE_CACHE)
					cache_mark_dirty(pte_page(mm, pte));
			}
			out->left = (size_t)(ONDOL_PAGE_SIZE - offset);
			out->at = kmap_local(mm->m, pte_page(mm, pte), &out->map);
			out->at += offset;
			return true;
		}
		if (ondol_handle_mm_fault(mm, &args, &result))
			return false;
	}
	return false;
}

int ondol_copy_to_user(struct ondol_mm_struct *mm, ondol_virt_addr_t dst, const void *src,
		       size_t size)
{
	const unsigned char *from = src;
	struct user_bytes to;

	while (size) {
		if (!user_bytes(mm, dst, ONDOL_FAULT_WRITE, &to))
			return -ONDOL_EFAULT;
		size_t n = to.left < size ? to.left : size;

		__builtin_memcpy(to.at, from, n);
		kunmap_local(mm->m, &to.map);
		from += n;
		dst += n;
		size -= n;
	}
	return 0;
}

int ondol_copy_from_user(struct ondol_mm_struct *mm, void *dst, ondol_virt_addr_t src, size_t size)
{
	unsigned char *to = dst;
	struct user_bytes from;

	while (size) {
		if (!user_bytes(mm, src, ONDOL_FAULT_READ, &from))
			return -ONDOL_EFAULT;
		size_t n = from.left < size ? from.left : size;

		__builtin_memcpy(to, from.at, n);
		kunmap_local(mm->m, &from.map);
		to += n;
		src += n;
		size -= n;
	}
	return 0;
}

int64_t ondol_strncpy_from_user(struct ondol_mm_struct *mm, char *dst, ondol_virt_addr_t src,
				size_t size)
{
	struct user_bytes from;
	size_t done = 0;

	while (done < size) {
		size_t n = 0;
		bool ends;

		if (!user_bytes(mm, src + done, ONDOL_FAULT_READ, &from))
			return -ONDOL_EFAULT;
		while (n < from.left && done + n < size && from.at[n])
			n++;
		ends = n < from.left && done + n < size;
		__builtin_memcpy(dst + done, from.at, n + ends);
		kunmap_local(mm->m, &from.map);
		done += n;
		if (ends)
			return (int64_t)done;
	}
	return -ONDOL_E2BIG;
}

/* SPDX-License-Identifier: MIT */
/* Carrying out the plan of elf_parse.c (explained there) on an address space. */
#include <ondol/loader.h>

enum { ET_DYN = 3 };

#define PROT_MAY (ONDOL_VM_MAYREAD | ONDOL_VM_MAYWRITE | ONDOL_VM_MAYEXEC)

static uint64_t page_down(uint64_t addr)
{
	return addr & ONDOL_PAGE_MASK;
}

static uint64_t page_up(uint64_t addr)
{
	return (addr + ONDOL_PAGE_SIZE - 1) & ONDOL_PAGE_MASK;
}

/* Where mmap has `span` bytes of room, at a multiple of align.  Nothing stays mapped. */
static int find_room(struct ondol_mm_struct *mm, uint64_t span, uint64_t align, uint64_t *out_base)
{
	struct ondol_mmap_args args = {
		.size = sizeof args, .vm_flags = PROT_MAY | ONDOL_VM_NORESERVE, .length = span,
	};
	ondol_virt_addr_t addr;
	int r;

	if (align > ONDOL_PAGE_SIZE) {
		if (span > UINT64_MAX - align)
			return -ONDOL_ENOMEM;
		args.length += align;
	}
	r = ondol_mmap(mm, &args, &addr);
	if (r)
		return r;
	r = ondol_munmap(mm, addr, args.length);
	*out_base = (addr + align - 1) & ~(align - 1);
	return r;
}

/*
 * The bias keeps every address modulo the alignment, so it is a multiple of it; added to a
 * min_vaddr above the base it may be "negative": sums are modulo 2^64.
 */
static int choose_bias(struct ondol_mm_struct *mm, const struct ondol_elf_info *info,
		       uint64_t base, uint64_t *out_bias)
{
	uint64_t below = info->min_vaddr & (info->align - 1); /* of the first aligned block */
	uint64_t span = info->max_vaddr - info->min_vaddr + below;
	int r;

	*out_bias = 0;
	if (info->type != ET_DYN)
		return 0;
	if (span < below)
		return -ONDOL_ENOMEM;
	if (base) {
		if (base & ~ONDOL_PAGE_MASK)
			return -ONDOL_EINVAL;
		if (base > UINT64_MAX - (info->align - 1))
			return -ONDOL_ENOMEM;
		base = (base + info->align - 1) & ~(info->align - 1);
	} else {
		uint64_t align = info->align;

		if (span >= ONDOL_FILE_COLOUR && align < ONDOL_FILE_COLOUR)
			align = ONDOL_FILE_COLOUR;
		r = find_room(mm, span, align, &base);
		if (r)
			return r;
	}
	if (base > UINT64_MAX - span)
		return -ONDOL_ENOMEM;
	*out_bias = base - (info->min_vaddr - below);
	return 0;
}

/* -ONDOL_EEXIST if something is in the way of a segment. */
static int check_room(struct ondol_mm_struct *mm, const struct ondol_elf_info *info, uint64_t bias)
{
	for (uint32_t i = 0; i < info->nr_segments; i++) {
		const struct ondol_elf_segment *seg = &info->segment[i];
		uint64_t start = page_down(seg->vaddr + bias);
		uint64_t end = page_up(seg->vaddr + bias + seg->memsz);
		struct ondol_vma_info vma;

		if (end > start && !ondol_find_vma(mm, start, &vma) && vma.start < end)
			return -ONDOL_EEXIST;
	}
	return 0;
}

static int map_fixed(struct ondol_mm_struct *mm, uint64_t addr, uint64_t length,
		     ondol_vm_flags_t vm_flags, struct ondol_file *file, uint64_t pgoff)
{
	/* Segments of one file may share a page: the later one wins, so not NOREPLACE. */
	struct ondol_mmap_args args = {
		.size = sizeof args, .map_flags = ONDOL_MAP_FIXED, .vm_flags = vm_flags | PROT_MAY,
		.addr = addr, .length = length, .file = file, .pgoff = pgoff,
	};
	ondol_virt_addr_t got;

	return ondol_mmap(mm, &args, &got);
}

static int clear(struct ondol_mm_struct *mm, uint64_t addr, uint64_t size)
{
	static const unsigned char zeros[512];

	while (size) {
		size_t n = size < sizeof zeros ? (size_t)size : sizeof zeros;
		int r = ondol_copy_to_user(mm, addr, zeros, n);

		if (r)
			return r;
		addr += n;
		size -= n;
	}
	return 0;
}

static int map_segment(struct ondol_mm_struct *mm, const struct ondol_elf_segment *seg,
		       struct ondol_file *file, uint64_t bias)
{
	uint64_t start = seg->vaddr + bias, zero = page_down(start);
	uint64_t end = page_up(start + seg->memsz);
	int r;

	if (seg->filesz) {
		uint64_t in_page = start - zero;

		r = map_fixed(mm, zero, in_page + seg->filesz, seg->prot, file,
			      (seg->offset - in_page) >> ONDOL_PAGE_SHIFT);
		if (r)
			return r;
		zero = page_up(start + seg->filesz);
		/* After the file's bytes the page holds whatever follows in the file. */
		if (seg->memsz > seg->filesz && (seg->prot & ONDOL_VM_WRITE)) {
			r = clear(mm, start + seg->filesz, zero - (start + seg->filesz));
			if (r)
				return r;
		}
	}
	/* Whole pages of bss are data, whatever the segment says: Linux maps them so. */
	if (end > zero && seg->memsz)
		return map_fixed(mm, zero, end - zero,
				 ONDOL_VM_READ | ONDOL_VM_WRITE | (seg->prot & ONDOL_VM_EXEC),
				 NULL, 0);
	return 0;
}

/* F6: code spans the executable segments; data starts at the highest segment. */
static void describe(const struct ondol_elf_info *info, uint64_t bias,
		     struct ondol_elf_image *image)
{
	uint64_t start_code = UINT64_MAX, end_code = 0, start_data = 0, end_data = 0, end = 0;

	for (uint32_t i = 0; i < info->nr_segments; i++) {
		const struct ondol_elf_segment *seg = &info->segment[i];
		uint64_t file_end = seg->vaddr + seg->filesz;

		if ((seg->prot & ONDOL_VM_EXEC) && seg->vaddr < start_code)
			start_code = seg->vaddr;
		if ((seg->prot & ONDOL_VM_EXEC) && file_end > end_code)
			end_code = file_end;
		if (seg->vaddr > start_data)
			start_data = seg->vaddr;
		if (file_end > end_data)
			end_data = file_end;
		if (seg->vaddr + seg->memsz > end)
			end = seg->vaddr + seg->memsz;
	}
	if (start_code > end_code) /* nothing executable */
		start_code = end_code = info->min_vaddr;
	*image = (struct ondol_elf_image){
		.load_bias = bias,
		.entry = info->entry + bias,
		.phdr = info->phdr_vaddr ? info->phdr_vaddr + bias : 0,
		.base = info->min_vaddr + bias,
		.start_code = start_code + bias,
		.end_code = end_code + bias,
		.start_data = start_data + bias,
		.end_data = end_data + bias,
		.end = end + bias,
	};
}

int ondol_elf_load(struct ondol_mm_struct *mm, const struct ondol_elf_info *info,
		   struct ondol_file *file, uint64_t base, struct ondol_elf_image *out_image)
{
	uint64_t bias;
	int r;

	r = choose_bias(mm, info, base, &bias);
	if (!r)
		r = check_room(mm, info, bias);
	for (uint32_t i = 0; !r && i < info->nr_segments; i++)
		r = map_segment(mm, &info->segment[i], file, bias);
	if (!r)
		describe(info, bias, out_image);
	return r;
}

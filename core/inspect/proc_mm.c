/* SPDX-License-Identifier: MIT */
/*
 * An address space in the words of /proc/PID: maps, smaps, smaps_rollup, statm, the Vm lines
 * of status.  Byte for byte in Linux 6.1's format (Linux fs/proc/task_mmu.c for behaviour;
 * proc(5)), so that unmodified programs read them.
 */
#include "base/format.h"
#include "virt/swap.h"

#define MAPS_NAME_COLUMN 73 /* where Linux puts the name: 25 + 6 * 8 characters in */
#define PSS_SHIFT 12        /* bytes in fixed point, as Linux: a third of a page adds up */
#define KIB(pages) ((unsigned long long)(pages) << (ONDOL_PAGE_SHIFT - 10))

static const char *region_name(const struct ondol_mm_struct *mm, const struct vma *vma)
{
	if (vma->file)
		return vma->file->name;
	if (vma->name)
		return vma->name->text;
	if (vma->flags & ONDOL_VM_HEAP)
		return "[heap]";
	if ((vma->flags & ONDOL_VM_STACK) || (vma->start <= mm->layout.start_stack &&
					       mm->layout.start_stack < vma->end))
		return "[stack]";
	return "";
}

/* A newline would end the line: it is written as its octal escape. */
static void out_name(struct out *out, const char *name)
{
	for (const char *p = name; *p; p++)
		if (*p == '\n')
			out_string(out, "\\012", 4);
		else
			out_string(out, p, 1);
}

static void out_map_line(struct out *out, const struct ondol_mm_struct *mm, const struct vma *vma)
{
	static const struct ondol_file no_file;
	const struct ondol_file *file = vma->file ? vma->file : &no_file;
	const char *name = region_name(mm, vma);
	uint64_t line = out->length;

	out_printf(out, "%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ",
		   (unsigned long long)vma->start, (unsigned long long)vma->end,
		   vma->flags & ONDOL_VM_READ ? 'r' : '-', vma->flags & ONDOL_VM_WRITE ? 'w' : '-',
		   vma->flags & ONDOL_VM_EXEC ? 'x' : '-', vma_is_shared(vma) ? 's' : 'p',
		   vma->file ? (unsigned long long)vma->pgoff << ONDOL_PAGE_SHIFT : 0,
		   file->dev_major, file->dev_minor, (unsigned long long)file->ino);
	if (*name) {
		out_pad(out, line, MAPS_NAME_COLUMN);
		out_name(out, name);
	}
	out_string(out, "\n", 1);
}

int ondol_proc_maps(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx)
{
	struct out out;

	out_init(&out, write, ctx);
	for (const struct vma *vma = vma_first(mm); vma && !out.error; vma = vma_next(vma))
		out_map_line(&out, mm, vma);
	return out_end(&out);
}

/* ------------------------------------------------------------------ smaps */

struct usage { /* pages, but pss: bytes << PSS_SHIFT */
	uint64_t rss, pss, pss_dirty, pss_anon, pss_file, pss_shmem;
	uint64_t shared_clean, shared_dirty, private_clean, private_dirty;
	uint64_t referenced, anonymous, huge, locked, swap, swap_pss;
};

static void usage_page(struct usage *u, const struct ondol_mm_struct *mm, uint64_t pte)
{
	const struct ondol_pgtable_format *f = mm->pgt.format;
	const struct ondol_page *page = pte_page(mm, pte);
	uint32_t maps = __atomic_load_n(&page->data.mapcount, __ATOMIC_RELAXED);
	unsigned kind = page_rss_class(page);
	bool dirty = (pte & f->dirty_mask) || (page->flags & ONDOL_PG_DIRTY);
	uint64_t share = div_u64(ONDOL_PAGE_SIZE << PSS_SHIFT, maps ? maps : 1);

	u->rss++;
	u->pss += share;
	u->pss_anon += kind == RSS_ANON ? share : 0;
	u->pss_file += kind == RSS_FILE ? share : 0;
	u->pss_shmem += kind == RSS_SHMEM ? share : 0;
	u->pss_dirty += dirty ? share : 0;
	u->referenced += (pte & f->accessed_mask) != 0;
	u->anonymous += kind == RSS_ANON;
	if (maps > 1)
		*(dirty ? &u->shared_dirty : &u->shared_clean) += 1;
	else
		*(dirty ? &u->private_dirty : &u->private_clean) += 1;
}

static void usage_slot(struct usage *u, const struct ondol_mm_struct *mm, uint64_t pte)
{
	uint32_t count = swap_count(swap_slot_of(mm->m, pte_slot(mm, pte)));

	u->swap++;
	u->swap_pss += div_u64(ONDOL_PAGE_SIZE << PSS_SHIFT, count ? count : 1);
}

static void usage_region(struct usage *u, const struct ondol_mm_struct *mm, const struct vma *vma)
{
	struct pgtable_span span;
	uint64_t pss_before = u->pss;

	pgtable_for_each_span(&mm->pgt, span, vma->start, vma->end) {
		void *slot = span.slot;

		if (mm->pgt.nr_huge && pgtable_huge_find(&mm->pgt, span.addr))
			u->huge += (span.end - span.addr) >> ONDOL_PAGE_SHIFT;
		for (uint64_t at = span.addr; at < span.end; at += ONDOL_PAGE_SIZE) {
			uint64_t pte = pte_get(&mm->pgt, slot);

			if (pte_present(mm, pte))
				usage_page(u, mm, pte);
			else if (pte_is_swap(mm, pte))
				usage_slot(u, mm, pte);
			slot = pte_next(&mm->pgt, slot);
		}
	}
	if (vma->flags & ONDOL_VM_LOCKED)
		u->locked += u->pss - pss_before;
}

static void out_kib(struct out *out, const char *name, uint64_t kib)
{
	uint64_t line = out->length;

	out_printf(out, "%s:", name);
	out_pad(out, line, 16);
	out_printf(out, "%8llu kB\n", (unsigned long long)kib);
}

static void out_pss(struct out *out, const char *name, uint64_t pss)
{
	out_kib(out, name, pss >> (PSS_SHIFT + 10));
}

static void out_usage(struct out *out, const struct usage *u, bool rollup)
{
	out_kib(out, "Rss", KIB(u->rss));
	out_pss(out, "Pss", u->pss);
	out_pss(out, "Pss_Dirty", u->pss_dirty);
	if (rollup) {
		out_pss(out, "Pss_Anon", u->pss_anon);
		out_pss(out, "Pss_File", u->pss_file);
		out_pss(out, "Pss_Shmem", u->pss_shmem);
	}
	out_kib(out, "Shared_Clean", KIB(u->shared_clean));
	out_kib(out, "Shared_Dirty", KIB(u->shared_dirty));
	out_kib(out, "Private_Clean", KIB(u->private_clean));
	out_kib(out, "Private_Dirty", KIB(u->private_dirty));
	out_kib(out, "Referenced", KIB(u->referenced));
	out_kib(out, "Anonymous", KIB(u->anonymous));
	out_kib(out, "LazyFree", 0);
	out_kib(out, "AnonHugePages", KIB(u->huge));
	out_kib(out, "ShmemPmdMapped", 0);
	out_kib(out, "FilePmdMapped", 0);
	out_kib(out, "Shared_Hugetlb", 0);
	out_kib(out, "Private_Hugetlb", 0);
	out_kib(out, "Swap", KIB(u->swap));
	out_pss(out, "SwapPss", u->swap_pss);
	out_pss(out, "Locked", u->locked);
}

static void out_vm_flags(struct out *out, ondol_vm_flags_t flags)
{
	static const struct {
		ondol_vm_flags_t flag;
		char name[3];
	} names[] = { /* in the order of Linux's bits */
		{ ONDOL_VM_READ, "rd" },       { ONDOL_VM_WRITE, "wr" },
		{ ONDOL_VM_EXEC, "ex" },       { ONDOL_VM_SHARED, "sh" },
		{ ONDOL_VM_MAYREAD, "mr" },    { ONDOL_VM_MAYWRITE, "mw" },
		{ ONDOL_VM_MAYEXEC, "me" },    { ONDOL_VM_MAYSHARE, "ms" },
		{ ONDOL_VM_GROWSDOWN, "gd" },  { ONDOL_VM_NATIVE, "pf" },
		{ ONDOL_VM_LOCKED, "lo" },     { ONDOL_VM_DONTFORK, "dc" },
		{ ONDOL_VM_SEQ_READ, "sr" },   { ONDOL_VM_RAND_READ, "rr" },
		{ ONDOL_VM_ACCOUNT, "ac" },    { ONDOL_VM_NORESERVE, "nr" },
		{ ONDOL_VM_WIPEONFORK, "wf" },
		{ ONDOL_VM_DONTDUMP, "dd" },   { ONDOL_VM_HUGEPAGE, "hg" },
		{ ONDOL_VM_NOHUGEPAGE, "nh" }, { ONDOL_VM_MERGEABLE, "mg" },
		{ ONDOL_VM_LOCKONFAULT, "lf" }, { ONDOL_VM_DROPPABLE, "dp" },
		{ ONDOL_VM_SEALED, "sl" },
	};

	out_printf(out, "VmFlags: ");
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (flags & names[i].flag)
			out_printf(out, "%s ", names[i].name);
	out_string(out, "\n", 1);
}

int ondol_proc_smaps(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx)
{
	struct out out;

	out_init(&out, write, ctx);
	for (const struct vma *vma = vma_first(mm); vma && !out.error; vma = vma_next(vma)) {
		struct usage u = { 0 };

		usage_region(&u, mm, vma);
		out_map_line(&out, mm, vma);
		out_kib(&out, "Size", KIB(vma_pages(vma)));
		out_kib(&out, "KernelPageSize", KIB(1));
		out_kib(&out, "MMUPageSize", KIB(1));
		out_usage(&out, &u, false);
		out_printf(&out, "THPeligible:    0\n");
		out_vm_flags(&out, vma->flags);
	}
	return out_end(&out);
}

int ondol_proc_smaps_rollup(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx)
{
	struct usage u = { 0 };
	const struct vma *first = vma_first(mm);
	uint64_t end = 0, line;
	struct out out;

	out_init(&out, write, ctx);
	for (const struct vma *vma = first; vma; vma = vma_next(vma)) {
		usage_region(&u, mm, vma);
		end = vma->end;
	}
	line = out.length;
	out_printf(&out, "%08llx-%08llx ---p 00000000 00:00 0 ",
		   first ? (unsigned long long)first->start : 0, (unsigned long long)end);
	out_pad(&out, line, MAPS_NAME_COLUMN);
	out_printf(&out, "[rollup]\n");
	out_usage(&out, &u, true);
	return out_end(&out);
}

/* ------------------------------------------------------------------ statm, status */

static uint64_t code_pages(const struct ondol_mm_struct *mm)
{
	const struct ondol_mm_layout *l = &mm->layout;

	return (page_align(l->end_code) - align_down(l->start_code, ONDOL_PAGE_SIZE)) >>
	       ONDOL_PAGE_SHIFT;
}

int ondol_proc_statm(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx)
{
	struct out out;

	out_init(&out, write, ctx);
	out_printf(&out, "%llu %llu %llu %llu 0 %llu 0\n", (unsigned long long)mm->total_vm,
		   (unsigned long long)mm_rss(mm),
		   (unsigned long long)(mm->rss[RSS_FILE] + mm->rss[RSS_SHMEM]),
		   (unsigned long long)code_pages(mm),
		   (unsigned long long)(mm->data_vm + mm->stack_vm));
	return out_end(&out);
}

static void out_status(struct out *out, const char *name, uint64_t kib)
{
	out_printf(out, "%s:\t%8llu kB\n", name, (unsigned long long)kib);
}

int ondol_proc_status_vm(struct ondol_mm_struct *mm, ondol_write_t write, void *ctx)
{
	uint64_t text = min_u64(code_pages(mm), mm->exec_vm);
	struct out out;

	out_init(&out, write, ctx);
	out_status(&out, "VmPeak", KIB(max_u64(mm->hiwater_vm, mm->total_vm)));
	out_status(&out, "VmSize", KIB(mm->total_vm));
	out_status(&out, "VmLck", KIB(mm->locked_vm));
	out_status(&out, "VmPin", 0);
	out_status(&out, "VmHWM", KIB(max_u64(mm->hiwater_rss, mm_rss(mm))));
	out_status(&out, "VmRSS", KIB(mm_rss(mm)));
	out_status(&out, "RssAnon", KIB(mm->rss[RSS_ANON]));
	out_status(&out, "RssFile", KIB(mm->rss[RSS_FILE]));
	out_status(&out, "RssShmem", KIB(mm->rss[RSS_SHMEM]));
	out_status(&out, "VmData", KIB(mm->data_vm));
	out_status(&out, "VmStk", KIB(mm->stack_vm));
	out_status(&out, "VmExe", KIB(text));
	out_status(&out, "VmLib", KIB(mm->exec_vm - text));
	out_status(&out, "VmPTE", KIB(mm->pgt.nr_tables - 1)); /* Linux leaves the pgd out */
	out_status(&out, "VmSwap", KIB(mm->nr_swap));
	return out_end(&out);
}

void ondol_mm_stats(struct ondol_mm_struct *mm, struct ondol_mm_stats *out_stats)
{
	*out_stats = (struct ondol_mm_stats){
		.total_vm = mm->total_vm,
		.locked_vm = mm->locked_vm,
		.data_vm = mm->data_vm,
		.exec_vm = mm->exec_vm,
		.stack_vm = mm->stack_vm,
		.rss_anon = mm->rss[RSS_ANON],
		.rss_file = mm->rss[RSS_FILE],
		.rss_shmem = mm->rss[RSS_SHMEM],
		.hiwater_rss = max_u64(mm->hiwater_rss, mm_rss(mm)),
		.hiwater_vm = max_u64(mm->hiwater_vm, mm->total_vm),
		.pgtables_bytes = mm->pgt.nr_tables << ONDOL_PAGE_SHIFT,
		.huge_leaves = mm->pgt.nr_huge,
		.nr_vma = mm->nr_vma,
		.min_flt = mm->min_flt,
		.maj_flt = mm->maj_flt,
		.swap = mm->nr_swap,
	};
}

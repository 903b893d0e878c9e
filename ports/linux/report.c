/* SPDX-License-Identifier: MIT */
/* What Ondol has to say: warnings, the summary of a run, /proc-like files at its end. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch.h"

void monitor_warn(const char *format, ...)
{
	char line[1024];
	va_list args;
	int n = snprintf(line, sizeof line, "ondol: ");

	va_start(args, format);
	n += vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
	va_end(args);
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	line[n++] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)n); /* one piece: guests write there, too */
}

void trace(const struct monitor *mon, const char *format, ...)
{
	char line[512];
	va_list args;

	if (!mon->options->trace)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	monitor_warn("%s", line);
}

/* ------------------------------------------------------------------ out of memory */

/* Zone by zone, one warning a line. */
static void report_refusal(const struct ondol_refusal *refusal)
{
	char text[4096], *line = text, *end;

	(void)ondol_refusal_text(refusal, text, sizeof text);
	for (; (end = strchr(line, '\n')); line = end + 1)
		monitor_warn("  %.*s", (int)(end - line), line);
}

void report_oom(struct monitor *mon, const struct task *victim, const struct task *task,
		uint64_t addr)
{
	struct ondol_machine_stats stats;
	struct ondol_swap_stats swap;
	struct ondol_refusal refusal;
	char other[64] = "";

	ondol_machine_stats(mon->machine, &stats);
	ondol_swap_stats(mon->machine, &swap);
	ondol_last_refusal(mon->machine, &refusal);
	if (victim->mm != task->mm)
		snprintf(other, sizeof other, " for %s (%d)", task->mm->comm, task->tgid);
	monitor_warn("out of memory: %s (%d) is killed%s, touching %#llx: %s", victim->mm->comm,
		     victim->tgid, other, (unsigned long long)addr,
		     refusal.reason ? refusal.reason : "no free frame");
	monitor_warn("  %llu of %llu KiB free; data %llu, page cache %llu, page tables %llu, "
		     "slab %llu, Ondol itself %llu KiB",
		     4ull * stats.pages_free, 4ull * stats.pages_total,
		     4ull * stats.pages[ONDOL_PAGE_ANON], 4ull * stats.pages[ONDOL_PAGE_CACHE],
		     4ull * stats.pages[ONDOL_PAGE_PGTABLE], 4ull * stats.pages[ONDOL_PAGE_SLAB],
		     4ull * (stats.pages[ONDOL_PAGE_RESERVED] + stats.pages[ONDOL_PAGE_KERNEL]));
	if (swap.total)
		monitor_warn("  %llu of %llu KiB of swap free; %llu pages compressed to %llu KiB",
			     4ull * swap.free, 4ull * swap.total,
			     (unsigned long long)swap.zram_pages,
			     (unsigned long long)swap.zram_bytes_used / 1024);
	report_refusal(&refusal);
}

/* ------------------------------------------------------------------ invariants */

void report_validate(struct monitor *mon, struct guest_mm *g)
{
	struct ondol_broken_invariant broken;

	if (!mon->options->validate ||
	    !(g ? ondol_mm_validate(g->mm, &broken) :
		  ondol_machine_validate(mon->machine, &broken)))
		return;
	mon->broken = true;
	monitor_warn("internal error, please report: %s: [%s] %s (at %#llx: expected %#llx, "
		     "is %#llx)",
		     g ? g->comm : "the machine", broken.id, broken.text,
		     (unsigned long long)broken.where, (unsigned long long)broken.expected,
		     (unsigned long long)broken.actual);
}

/* ------------------------------------------------------------------ summary */

static uint64_t pages_used(const struct ondol_machine_stats *s)
{
	return s->pages_total - s->pages_free;
}

/*
 * Frames by use are told as they were when most were out, as far as this looks: at every
 * SAMPLE_FAULTS-th fault and whenever an address space ends.
 */
void report_sample(struct monitor *mon)
{
	struct ondol_machine_stats now;

	if (!mon->options->stats)
		return;
	swap_sample(mon);
	ondol_machine_stats(mon->machine, &now);
	if (pages_used(&now) > mon->peak_sampled) {
		mon->peak_sampled = pages_used(&now);
		mon->at_peak = now;
	}
}

void report_snapshot(struct monitor *mon)
{
	report_sample(mon);
	ondol_machine_stats(mon->machine, &mon->at_end);
	pressure_snapshot(mon);
}

static const char *human(uint64_t bytes, char *buffer, size_t size)
{
	static const char unit[] = "BKMGT";
	double value = (double)bytes;
	int u = 0;

	while (value >= 1024 && u < 4) {
		value /= 1024;
		u++;
	}
	snprintf(buffer, size, u && value < 100 ? "%.1f%c" : "%.0f%c", value, unit[u]);
	return buffer;
}

/* Resident in the monitor but for the machine's RAM, which it has all mapped. */
static unsigned long long monitor_rss_kib(void)
{
	unsigned long long kib = 0;
	char value[64];

	for (unsigned i = 0; i < 2; i++)
		if (status_field(getpid(), i ? "RssFile" : "RssAnon", value, sizeof value))
			kib += strtoull(value, NULL, 10);
	return kib;
}

static const char *const fault_names[ONDOL_FAULT_NR] = {
	[ONDOL_FAULT_SPURIOUS] = "spurious",       [ONDOL_FAULT_ZERO_FILL] = "zero_fill",
	[ONDOL_FAULT_FILE_MINOR] = "page_cache",   [ONDOL_FAULT_FILE_READ] = "file_read",
	[ONDOL_FAULT_COW_COPY] = "cow_copy",       [ONDOL_FAULT_COW_REUSE] = "cow_reuse",
	[ONDOL_FAULT_SWAP_READ] = "swap_read",     [ONDOL_FAULT_SWAP_CACHE] = "swap_cache",
};

#define LLU(x) ((unsigned long long)(x))

static void summary_text(struct monitor *mon, const struct launch *launch, int leaked, FILE *out)
{
	const struct ondol_machine_stats *s = &mon->at_end, *p = &mon->at_peak;
	const struct port_stats *h = &mon->stats;
	char a[16], b[16], c[16], d[16], e[16];
	uint64_t faults = 0;

	for (int i = 0; i < ONDOL_FAULT_NR; i++)
		faults += s->faults[i];
	fprintf(out, "ondol: what %s did with memory\n", launch->name);
	fprintf(out, "  machine     %s in %u node%s, %u CPU%s, %u B a page record\n",
		human(s->pages_total * 4096, a, sizeof a), mon->nr_nodes,
		mon->nr_nodes == 1 ? "" : "s", mon->options->nr_cpus,
		mon->options->nr_cpus == 1 ? "" : "s", s->page_record_size);
	fprintf(out, "  peak        %s in use: data %s, page cache %s, page tables %s, slab %s\n",
		human(pages_used(p) * 4096, a, sizeof a),
		human(p->pages[ONDOL_PAGE_ANON] * 4096, b, sizeof b),
		human(p->pages[ONDOL_PAGE_CACHE] * 4096, c, sizeof c),
		human(p->pages[ONDOL_PAGE_PGTABLE] * 4096, d, sizeof d),
		human(p->pages[ONDOL_PAGE_SLAB] * 4096, e, sizeof e));
	fprintf(out, "  itself      %s reserved for the page array, %s other; monitor RSS %s\n"
		"  host RAM    %llu blocks of 2M, the rest page by page\n",
		human(p->pages[ONDOL_PAGE_RESERVED] * 4096, a, sizeof a),
		human(p->pages[ONDOL_PAGE_KERNEL] * 4096, b, sizeof b),
		human((uint64_t)monitor_rss_kib() * 1024, c, sizeof c), LLU(h->host_blocks));
	fprintf(out, "  faults      %llu: zero-fill %llu, page cache %llu, file read %llu, "
		"COW copy %llu, COW reuse %llu, spurious %llu\n",
		LLU(faults), LLU(s->faults[ONDOL_FAULT_ZERO_FILL]),
		LLU(s->faults[ONDOL_FAULT_FILE_MINOR]), LLU(s->faults[ONDOL_FAULT_FILE_READ]),
		LLU(s->faults[ONDOL_FAULT_COW_COPY]), LLU(s->faults[ONDOL_FAULT_COW_REUSE]),
		LLU(s->faults[ONDOL_FAULT_SPURIOUS]));
	if (s->faults[ONDOL_FAULT_SWAP_READ] + s->faults[ONDOL_FAULT_SWAP_CACHE])
		fprintf(out, "              swap read %llu, swap cache %llu\n",
			LLU(s->faults[ONDOL_FAULT_SWAP_READ]),
			LLU(s->faults[ONDOL_FAULT_SWAP_CACHE]));
	fprintf(out, "              %llu pages populated, %llu refused\n", LLU(s->fault_pages),
		LLU(s->faults_refused));
	if (s->thp_fault_alloc + s->thp_fault_fallback + s->thp_collapse_alloc)
		fprintf(out, "  huge pages  %llu by a fault, %llu had no block; %llu collapsed, "
			"%llu split; %llu at most\n",
			LLU(s->thp_fault_alloc), LLU(s->thp_fault_fallback),
			LLU(s->thp_collapse_alloc), LLU(s->thp_splits), LLU(p->huge_leaves));
	fprintf(out, "  buddy       %llu allocations, %llu frees, %llu splits, %llu merges (%s)\n",
		LLU(s->nr_allocs), LLU(s->nr_frees), LLU(s->nr_splits), LLU(s->nr_merges),
		ondol_lazy_name(mon->profile.lazy));
	fprintf(out, "  regions     %llu at most; %llu look-ups, %llu answered by mmap_cache\n",
		LLU(s->nr_vma_peak), LLU(s->vma_lookups), LLU(s->mmap_cache_hits));
	fprintf(out, "  host TLB    %llu fills (%llu pages), %llu flushes, %llu protects, "
		"%llu evictions\n",
		LLU(h->host_maps), LLU(h->host_map_pages), LLU(h->flushes), LLU(h->protects),
		LLU(h->evictions));
	if (s->pages_unmapped)
		fprintf(out,
			"  reclaim     %llu mapped pages of files were taken back; %llu were read "
			"again, %llu of them after no more others than are cached\n",
			LLU(s->pages_unmapped), LLU(s->file_refaults), LLU(s->file_refaults_near));
	ksm_summary(mon, out);
	swap_summary(mon, out);
	pressure_summary(mon, out);
	if (mon->nr_nodes > 1)
		fprintf(out,
			"  nodes       %llu pages mapped from the processor's own node, %llu from "
			"another (%.1f %%)\n",
			LLU(h->pages_local), LLU(h->pages_remote),
			h->pages_remote ? 100.0 * (double)h->pages_remote /
						  (double)(h->pages_local + h->pages_remote) : 0);
	fprintf(out, "  program     %llu execs, %llu forks, %llu threads, %llu memory calls, "
		"%llu opens looked at, %llu signals\n",
		LLU(h->execs), LLU(h->forks), LLU(h->threads), LLU(h->calls), LLU(h->opens),
		LLU(h->signals));
	fprintf(out, "  at the end  %s\n",
		leaked ? "FRAMES ARE MISSING: see above" : "every frame is back");
}

/* Bytes of the UTF-8 character at s, 1 to 4; 0: that is none (RFC 3629). */
static int utf8_length(const unsigned char *s)
{
	int n = s[0] < 0x80		     ? 1 :
		s[0] >= 0xc2 && s[0] <= 0xdf ? 2 :
		(s[0] & 0xf0) == 0xe0	     ? 3 :
		s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;

	for (int i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return n;
}

/* A file's name may be any bytes, JSON is UTF-8: what is not becomes U+FFFD. */
static void json_string(FILE *out, const char *s)
{
	fputc('"', out);
	for (int n; *s; s += n ? n : 1) {
		n = utf8_length((const unsigned char *)s);
		if (!n)
			fputs("\\ufffd", out);
		else if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			fprintf(out, "\\u%04x", *s);
		else
			fwrite(s, 1, (size_t)n, out);
	}
	fputc('"', out);
}

static void summary_json(struct monitor *mon, const struct launch *launch, int leaked, FILE *out)
{
	const struct ondol_machine_stats *s = &mon->at_end, *p = &mon->at_peak;
	const struct port_stats *h = &mon->stats;

	fprintf(out, "{\"program\":");
	json_string(out, launch->name);
	fprintf(out,
		",\"machine\":{\"pages\":%llu,\"nodes\":%u,\"cpus\":%u,\"page_record_bytes\":%u}",
		LLU(s->pages_total), mon->nr_nodes, mon->options->nr_cpus, s->page_record_size);
	fprintf(out, ",\"peak_pages\":{\"used\":%llu", LLU(pages_used(p)));
	for (int i = 0; i < ONDOL_NR_PAGE_USES; i++)
		fprintf(out, ",\"%s\":%llu", ondol_page_use_name((enum ondol_page_use)i),
			LLU(p->pages[i]));
	fprintf(out, "},\"faults\":{");
	for (int i = 0; i < ONDOL_FAULT_NR; i++)
		fprintf(out, "%s\"%s\":%llu", i ? "," : "", fault_names[i], LLU(s->faults[i]));
	fprintf(out, ",\"pages\":%llu,\"refused\":%llu,\"unmapped\":%llu,\"file_refaults\":%llu,"
		"\"file_refaults_near\":%llu,\"file_refault_distance_sum\":%llu}",
		LLU(s->fault_pages), LLU(s->faults_refused), LLU(s->pages_unmapped),
		LLU(s->file_refaults), LLU(s->file_refaults_near),
		LLU(s->file_refault_distance_sum));
	fprintf(out, ",\"thp\":{\"fault_alloc\":%llu,\"fault_fallback\":%llu,"
		"\"collapse_alloc\":%llu,\"splits\":%llu,\"peak\":%llu,\"host_blocks\":%llu}",
		LLU(s->thp_fault_alloc), LLU(s->thp_fault_fallback), LLU(s->thp_collapse_alloc),
		LLU(s->thp_splits), LLU(p->huge_leaves), LLU(h->host_blocks));
	fprintf(out, ",\"buddy\":{\"allocs\":%llu,\"frees\":%llu,\"splits\":%llu,\"merges\":%llu,"
		"\"lazy\":\"%s\"}",
		LLU(s->nr_allocs), LLU(s->nr_frees), LLU(s->nr_splits), LLU(s->nr_merges),
		ondol_lazy_name(mon->profile.lazy));
	fprintf(out, ",\"vma\":{\"peak\":%llu,\"lookups\":%llu,\"mmap_cache_hits\":%llu}",
		LLU(s->nr_vma_peak), LLU(s->vma_lookups), LLU(s->mmap_cache_hits));
	fprintf(out, ",\"host_tlb\":{\"messages\":%llu,\"fills\":%llu,\"pages\":%llu,"
		"\"flushes\":%llu,"
		"\"protects\":%llu,\"evictions\":%llu,\"holes\":%llu}",
		LLU(h->uffd_messages), LLU(h->host_maps), LLU(h->host_map_pages), LLU(h->flushes),
		LLU(h->protects), LLU(h->evictions), LLU(h->holes));
	ksm_summary_json(mon, out);
	swap_summary_json(mon, out);
	pressure_summary_json(mon, out);
	fprintf(out, ",\"numa\":{\"pages_local\":%llu,\"pages_remote\":%llu}",
		LLU(h->pages_local), LLU(h->pages_remote));
	fprintf(out, ",\"guest\":{\"execs\":%llu,\"forks\":%llu,\"threads\":%llu,"
		"\"memory_calls\":%llu,"
		"\"opens\":%llu,\"signals\":%llu,\"oom_kills\":%llu}",
		LLU(h->execs), LLU(h->forks), LLU(h->threads), LLU(h->calls), LLU(h->opens),
		LLU(h->signals), LLU(h->oom_kills));
	fprintf(out, ",\"monitor_rss_kib\":%llu,\"all_frames_back\":%s}\n", monitor_rss_kib(),
		leaked ? "false" : "true");
}

static void report_bad(struct monitor *mon, const char *path)
{
	monitor_warn("%s: %s", path, strerror(errno));
	mon->report_failed = true;
}

/* All of it must have arrived: a full disk shows no earlier than here. */
static void report_close(struct monitor *mon, FILE *f, const char *path)
{
	bool bad = ferror(f);

	if (f == stderr ? bad : fclose(f) || bad)
		report_bad(mon, path);
}

void report_run(struct monitor *mon, const struct launch *launch, int leaked)
{
	const char *path = mon->options->stats_file;
	FILE *out = stderr;

	if (leaked)
		monitor_warn("frames are missing at the end (%s): please report this",
			     strerror(-leaked));
	if (!mon->options->stats)
		return;
	if (path && !(out = fopen(path, "we"))) {
		report_bad(mon, path);
		return;
	}
	if (mon->options->json)
		summary_json(mon, launch, leaked, out);
	else
		summary_text(mon, launch, leaked, out);
	report_close(mon, out, path ? path : "standard error");
}

/* ------------------------------------------------------------------ --proc DIR */

int text_write(void *ctx, const char *text, size_t size)
{
	return fwrite(text, 1, size, ctx) == size ? 0 : -EIO;
}

struct proc_file {
	char path[4096];
	FILE *f;
};

static bool proc_open(struct monitor *mon, struct proc_file *file, const char *name)
{
	snprintf(file->path, sizeof file->path, "%s/%s", mon->options->proc_dir, name);
	file->f = fopen(file->path, "we");
	if (!file->f)
		report_bad(mon, file->path);
	return file->f;
}

/* A task's maps, when its address space ends. */
void report_proc_mm(struct monitor *mon, struct guest_mm *g)
{
	static const struct {
		const char *name;
		int (*text)(struct ondol_mm_struct *, ondol_write_t, void *);
	} texts[] = { { "maps", ondol_proc_maps },
		      { "smaps", ondol_proc_smaps },
		      { "statm", ondol_proc_statm },
		      { "status", ondol_proc_status_vm } };
	struct proc_file file;
	char name[64];

	snprintf(file.path, sizeof file.path, "%s/%u-%s", mon->options->proc_dir, g->id, g->comm);
	if (mkdir(file.path, 0777) && errno != EEXIST) {
		report_bad(mon, file.path);
		return;
	}
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		snprintf(name, sizeof name, "%u-%s/%s", g->id, g->comm, texts[i].name);
		if (!proc_open(mon, &file, name))
			return;
		texts[i].text(g->mm, text_write, file.f);
		report_close(mon, file.f, file.path);
	}
}

void report_proc(struct monitor *mon)
{
	static const struct {
		const char *name;
		int (*text)(struct ondol_machine *, ondol_write_t, void *);
	} texts[] = { { "buddyinfo", ondol_proc_buddyinfo },
		      { "zoneinfo", ondol_proc_zoneinfo },
		      { "slabinfo", ondol_proc_slabinfo },
		      { "slabusage", ondol_slab_usage },
		      { "vmstat", ondol_proc_vmstat },
		      { "swaps", ondol_proc_swaps },
		      { "pressure", ondol_proc_pressure_memory },
		      { "meminfo", ondol_proc_meminfo } };

	struct proc_file file;

	for (size_t i = 0; mon->options->proc_dir && i < sizeof texts / sizeof *texts; i++) {
		if (!proc_open(mon, &file, texts[i].name))
			return;
		texts[i].text(mon->machine, text_write, file.f);
		report_close(mon, file.f, file.path);
	}
}

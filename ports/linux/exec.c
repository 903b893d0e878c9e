/* SPDX-License-Identifier: MIT */
/*
 * Exec, taken over.  The host does what is not memory: finds the file, follows "#!", sets
 * credentials and the name, closes descriptors, ends the other threads.  At its exec stop
 * its address space is thrown away and built anew by Ondol's loader from the ELF headers.
 *
 *   1 read the strings and vectors that the host has put on its stack
 *   2 write the stub over the page at the entry point (all of it goes away in step 3) and run
 *     it: it maps the stub page and makes the worker
 *   3 the worker puts the placeholder over everything but vdso, vvar and the stub
 *   4 ondol_elf_load program and interpreter, ondol_setup_stack, set registers
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "i386.h"

#define LOADER_AHEAD 64 /* pages; ld.so has about 50 */
#define PROGRAM_AHEAD 16
#define STACK_AHEAD 16
#define AUXV_MAX 64

struct host_image { /* what the host's exec left for the program */
	struct user_regs_struct regs;
	int mem;             /* /proc/TID/mem */
	unsigned char *stack; /* from the stack pointer up */
	size_t stack_bytes, word; /* 4: it is a 32-bit program */
	uint64_t argc, envc;
	const char *strings;
	size_t strings_bytes;
	uint64_t strings_at, env_at; /* where the host has them; up to env_at arguments */
	const char *execfn, *platform;
	const unsigned char *random;
	struct ondol_auxv auxv[AUXV_MAX];
	uint32_t nr_auxv;
	uint64_t sysinfo_ehdr;
	uint64_t auxv_at; /* ours, on the program's stack */
};

static const void *stack_at(const struct host_image *image, uint64_t addr, size_t need)
{
	uint64_t at = addr - image->regs.rsp;

	if (addr < image->regs.rsp || at > image->stack_bytes || need > image->stack_bytes - at)
		return NULL;
	return image->stack + at;
}

static const char *stack_string(const struct host_image *image, uint64_t addr)
{
	const char *s = stack_at(image, addr, 1);

	if (!s || !memchr(s, 0, (size_t)((const char *)image->stack + image->stack_bytes - s)))
		return NULL;
	return s;
}

static int stack_read(struct host_image *image)
{
	size_t cap = 64 << 10;

	for (;;) {
		unsigned char *p = realloc(image->stack, cap);
		if (!p)
			return -ENOMEM;
		image->stack = p;
		ssize_t n = pread(image->mem, p, cap, (off_t)image->regs.rsp);
		if (n < 0)
			return -errno;
		image->stack_bytes = (size_t)n;
		if ((size_t)n < cap)
			return 0;
		cap *= 4;
	}
}

/* 0 beyond what there is. */
static uint64_t stack_word(const struct host_image *image, uint64_t index)
{
	uint64_t value = 0;

	if (index < image->stack_bytes / image->word)
		memcpy(&value, image->stack + index * image->word, image->word);
	return value;
}

static void auxv_take(struct host_image *image, uint64_t index)
{
	for (; image->nr_auxv < AUXV_MAX; index += 2) {
		struct ondol_auxv *entry = &image->auxv[image->nr_auxv];

		entry->type = stack_word(image, index);
		entry->value = stack_word(image, index + 1);
		if (entry->type == AT_NULL)
			return;
		image->nr_auxv++;
		switch (entry->type) {
		case AT_EXECFN:
			image->execfn = stack_string(image, entry->value);
			break;
		case AT_PLATFORM:
			image->platform = stack_string(image, entry->value);
			break;
		case AT_RANDOM:
			image->random = stack_at(image, entry->value, 16);
			break;
		case AT_SYSINFO_EHDR:
			image->sysinfo_ehdr = entry->value;
			break;
		}
	}
}

/* argc, argv[], NULL, envp[], NULL, auxv[], AT_NULL, then the strings they point to. */
static int stack_parse(struct host_image *image)
{
	uint64_t nr = image->stack_bytes / image->word, at = 1;
	const char *last = NULL;

	image->argc = stack_word(image, 0);
	if (!image->argc || image->argc >= nr)
		return -EFAULT;
	image->strings_at = stack_word(image, 1);
	image->strings = stack_string(image, image->strings_at);
	last = stack_string(image, stack_word(image, image->argc));
	if (last)
		image->env_at = stack_word(image, image->argc) + strlen(last) + 1;
	for (at = image->argc + 2; stack_word(image, at); at++) {
		last = stack_string(image, stack_word(image, at));
		image->envc++;
	}
	if (at + 1 >= nr || !image->strings || !last || last < image->strings)
		return -EFAULT;
	image->strings_bytes = (size_t)(last - image->strings) + strlen(last) + 1;
	auxv_take(image, at + 1);
	return image->execfn && image->random ? 0 : -EFAULT;
}

static int host_image_read(struct task *task, struct host_image *image)
{
	char path[64];
	int r = get_regs(task->tid, &image->regs);

	if (r)
		return r;
	snprintf(path, sizeof path, "/proc/%d/mem", task->tid);
	image->mem = open(path, O_RDWR | O_CLOEXEC);
	if (image->mem < 0)
		return -errno;
	image->word = i386_regs(&image->regs) ? 4 : 8;
	r = stack_read(image);
	return r ? r : stack_parse(image);
}

static void host_image_free(struct host_image *image)
{
	if (image->mem >= 0)
		close(image->mem);
	free(image->stack);
}

/* Where vvar and vdso lie around AT_SYSINFO_EHDR: the same for every process of a kernel. */
static int vdso_learn(struct monitor *mon, struct task *task, uint64_t sysinfo_ehdr)
{
	char path[64], line[512];
	uint64_t low = sysinfo_ehdr, high = sysinfo_ehdr;

	if (mon->vdso_bytes || !sysinfo_ehdr)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/maps", task->tid);
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	while (fgets(line, sizeof line, f)) {
		unsigned long start, end;
		const char *name = strchr(line, '[');

		if (!name || strncmp(name, "[v", 2) || !strncmp(name, "[vsyscall", 9) ||
		    sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		low = start < low ? start : low;
		high = end > high ? end : high;
	}
	fclose(f);
	mon->vvar_before_vdso = sysinfo_ehdr - low;
	mon->vdso_bytes = high - sysinfo_ehdr;
	return 0;
}

/* Beyond what programs can have there are no regions. */
static int native_region(const struct monitor *mon, struct guest_mm *g, uint64_t start,
			 uint64_t end, uint32_t rights, const char *name)
{
	struct ondol_mmap_args args = {
		.size = sizeof args,
		.map_flags = ONDOL_MAP_FIXED,
		.vm_flags = rights | ONDOL_VM_NATIVE | ONDOL_VM_MAYREAD | ONDOL_VM_MAYEXEC,
		.addr = start,
		.length = end - start,
		.name = name,
	};
	ondol_virt_addr_t at;

	return end > start && start < mon->space->end ? ondol_mmap(g->mm, &args, &at) : 0;
}

/*
 * The pages of the host's stack that hold the strings stay: for /proc/PID/cmdline and environ
 * the host reads anonymous memory only, and the program's stack is none to it.
 */
static int regions_native(struct monitor *mon, struct guest_mm *g, const struct host_image *image)
{
	uint64_t vdso = image->sysinfo_ehdr, strings_end = image->strings_at + image->strings_bytes;
	int r = native_region(mon, g, mon->space->stub, mon->space->mailbox + PAGE_BYTES,
			      ONDOL_VM_READ | ONDOL_VM_EXEC | ONDOL_VM_SEALED, "[ondol]");

	if (!r)
		r = native_region(mon, g, image->strings_at & ~(PAGE_BYTES - 1),
				  (strings_end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1),
				  ONDOL_VM_READ | ONDOL_VM_WRITE | ONDOL_VM_MAYWRITE, "[ondol]");
	if (r || !vdso)
		return r;
	r = native_region(mon, g, vdso - mon->vvar_before_vdso, vdso, ONDOL_VM_READ, "[vvar]");
	if (r)
		return r;
	return native_region(mon, g, vdso, vdso + mon->vdso_bytes,
			     ONDOL_VM_READ | ONDOL_VM_EXEC, "[vdso]");
}

/* Steps 2 and 3. */
static int takeover(struct monitor *mon, struct task *task, struct guest_mm *g,
		    struct host_image *image)
{
	uint64_t page = image->regs.rip & ~(PAGE_BYTES - 1);
	const struct guest_space *space = mon->space;
	size_t size = (size_t)(space->code_end - space->code);

	if (pwrite(image->mem, space->code, size, (off_t)page) != (ssize_t)size)
		return -errno;
	int r = vdso_learn(mon, task, image->sysinfo_ehdr);

	if (!r)
		r = stub_run(mon, task, g, page + (uint64_t)(space->boot - space->code),
			     &image->regs);
	if (!r)
		r = guest_mm_attach(mon, g);
	if (!r)
		r = regions_native(mon, g, image);
	if (!r)
		r = guest_mm_arm(mon, g, true);
	if (!r && mon->i386)
		r = i386_leftovers_unmap(mon, task, g, image->strings_at & ~(PAGE_BYTES - 1),
					 (image->strings_at + image->strings_bytes +
					  PAGE_BYTES - 1) & ~(PAGE_BYTES - 1));
	return r;
}

struct loaded {
	struct ondol_elf_info info;
	struct ondol_elf_image image;
	uint32_t read_ahead; /* in: pages of the file that are wanted at once */
};

struct file_reader {
	int fd;
};

static int read_exactly(void *ctx, uint64_t offset, void *dst, size_t size)
{
	const struct file_reader *reader = ctx;

	return pread(reader->fd, dst, size, (off_t)offset) == (ssize_t)size ? 0 : -ONDOL_EIO;
}

static const char not_64_bit[] = "a 32-bit program, which needs --profile i386";
static const char not_32_bit[] = "a 64-bit program, and the machine a 32-bit one (--profile i386)";

/* One ELF file into the mm.  `fd` is taken over. */
static int load_file(struct monitor *mon, struct guest_mm *g, int fd, const char *path,
		     uint64_t base, struct loaded *out, char *interp, const char **out_why)
{
	struct file_reader reader = { .fd = fd };
	struct ondol_file *file;
	off_t size = lseek(fd, 0, SEEK_END);
	int r = ondol_elf_parse(read_exactly, &reader, size < 0 ? 0 : (uint64_t)size, &out->info,
				out_why);

	if (!r && out->info.elf_class != (mon->i386 ? ELFCLASS32 : ELFCLASS64)) {
		*out_why = mon->i386 ? not_32_bit : not_64_bit;
		r = -ENOEXEC;
	}
	if (!r && interp && out->info.has_interp &&
	    (out->info.interp_size > PATH_MAX ||
	     read_exactly(&reader, out->info.interp_offset, interp, out->info.interp_size)))
		r = -ENOEXEC;
	if (r) {
		close(fd);
		return r;
	}
	r = file_for_path(mon, fd, path, &file);
	if (r)
		return r;
	*out_why = "its segments cannot be mapped";
	ondol_file_read_ahead(file, 0, out->read_ahead);
	r = ondol_elf_load(g->mm, &out->info, file, base, &out->image);
	ondol_file_put(file);
	return r;
}

/* A soft limit of another's, which prlimit may be refused where its text may be read. */
static uint64_t limit_get(const struct task *task, int resource, const char *name)
{
	struct rlimit64 limit = { RLIM64_INFINITY, RLIM64_INFINITY };
	char path[64], line[128];

	if (!syscall(SYS_prlimit64, task->tid, resource, NULL, &limit))
		return limit.rlim_cur;
	snprintf(path, sizeof path, "/proc/%d/limits", task->tid);
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)) &&
		    sscanf(line + strlen(name), "%llu", (unsigned long long *)&limit.rlim_cur) != 1)
			limit.rlim_cur = RLIM64_INFINITY; /* "unlimited" */
	if (f)
		fclose(f);
	return limit.rlim_cur;
}

uint64_t limits_refresh(const struct monitor *mon, const struct task *task, struct guest_mm *g)
{
	struct ondol_mm_limits limits;

	limits.as = task->rlimit_as[0];
	limits.data = task->rlimit_data[0];
	limits.map_count = mon->max_map_count;
	limits.data_hard = task->rlimit_data[1];
	limits.stack = limit_get(task, RLIMIT_STACK, "Max stack size");
	limits.admin = task_capable(task, CAP_SYS_ADMIN);
	limits.memlock = task_capable(task, CAP_IPC_LOCK) ? UINT64_MAX :
			 limit_get(task, RLIMIT_MEMLOCK, "Max locked memory");
	ondol_mm_set_limits(g->mm, &limits);
	return limits.stack;
}

static uint32_t auxv_build(const struct host_image *image, const struct loaded *program,
			   uint64_t interp_base, struct ondol_auxv *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < image->nr_auxv && n < AUXV_MAX; i++) {
		struct ondol_auxv entry = image->auxv[i];

		switch (entry.type) {
		case AT_PHDR:
			entry.value = program->image.phdr;
			break;
		case AT_PHENT:
			entry.value = program->info.phentsize;
			break;
		case AT_PHNUM:
			entry.value = program->info.phnum;
			break;
		case AT_BASE:
			entry.value = interp_base;
			break;
		case AT_ENTRY:
			entry.value = program->image.entry;
			break;
		}
		out[n++] = entry;
	}
	return n;
}

/*
 * What every program touches before its first own instruction is mapped before it starts, in one
 * batch: the loader, whole; of the program where each segment begins and where it is entered;
 * the top of the stack.  A fault there would cost a relay each.
 */
static void warm_up(struct monitor *mon, struct guest_mm *g, const struct loaded *program,
		    const struct loaded *loader, uint64_t sp)
{
	if (mon->options->fault_around)
		return; /* as many pages a fault as the user says */
	for (uint32_t i = 0; i < program->info.nr_segments; i++)
		fault_ahead(mon, g, program->info.segment[i].vaddr + program->image.load_bias,
			    PROGRAM_AHEAD, program->info.segment[i].prot);
	fault_ahead(mon, g, program->image.entry, PROGRAM_AHEAD, ONDOL_VM_READ);
	for (uint32_t i = 0; i < loader->info.nr_segments; i++) {
		const struct ondol_elf_segment *seg = &loader->info.segment[i];
		uint64_t at = seg->vaddr + loader->image.load_bias, end = at + seg->filesz;

		while (at < end && seg->filesz <= LOADER_AHEAD * PAGE_BYTES)
			at = fault_ahead(mon, g, at, LOADER_AHEAD, seg->prot);
	}
	fault_ahead(mon, g, sp, 1, ONDOL_VM_READ | ONDOL_VM_WRITE);
	fault_ahead(mon, g, (sp & ~(PAGE_BYTES - 1)) - 1, STACK_AHEAD,
		    ONDOL_VM_READ | ONDOL_VM_WRITE);
	worker_wait(mon, g);
}

/* With the vdso go the two addresses that the program is told. */
static int vdso_below(struct monitor *mon, struct task *task, struct guest_mm *g,
		      struct host_image *image)
{
	uint64_t before = image->sysinfo_ehdr;
	int r = i386_vdso_move(mon, task, g, &image->sysinfo_ehdr);

	for (uint32_t i = 0; i < image->nr_auxv; i++)
		if (image->auxv[i].type == AT_SYSINFO || image->auxv[i].type == AT_SYSINFO_EHDR)
			image->auxv[i].value += image->sysinfo_ehdr - before;
	return r;
}

/* Step 4.  `*out_why` says what went wrong. */
static int image_build(struct monitor *mon, struct task *task, struct guest_mm *g,
		       struct host_image *image, const char **out_why)
{
	char path[PATH_MAX + 64], name[PATH_MAX] = "", interp[PATH_MAX + 1] = "";
	struct ondol_auxv auxv[AUXV_MAX];
	struct loaded program = { .read_ahead = mon->options->fault_around ? 0 : PROGRAM_AHEAD };
	struct loaded loader = { .read_ahead = mon->options->fault_around ? 0 : LOADER_AHEAD };
	struct guest_layout layout;
	uint64_t stack_limit, entry, sp;

	stack_limit = limits_refresh(mon, task, g);
	snprintf(path, sizeof path, "/proc/%d/exe", task->tid);
	ssize_t n = readlink(path, name, sizeof name - 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*out_why = "the program file cannot be read";
	if (n < 0 || fd < 0)
		return -EACCES;
	layout_choose(mon, task, name, image->sysinfo_ehdr, &layout);
	layout_set(mon, g, &layout, NULL, stack_limit);
	int r = load_file(mon, g, fd, name, layout.pie_base, &program, interp, out_why);

	if (r)
		return r;
	entry = program.image.entry;
	layout_set(mon, g, &layout, &program.image, stack_limit);
	if (program.info.has_interp) {
		*out_why = "its interpreter cannot be opened";
		snprintf(path, sizeof path, "/proc/%d/root%s", task->tid, interp);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		n = readlink(path, name, sizeof name - 1);
		name[n < 0 ? 0 : n] = 0;
		r = load_file(mon, g, fd, name, 0, &loader, NULL, out_why);
		if (r)
			return r;
		entry = loader.image.entry;
	}
	if (mon->i386) {
		*out_why = "the host's vdso cannot be moved";
		r = vdso_below(mon, task, g, image);
		if (r)
			return r;
	}
	struct ondol_stack_args stack = {
		.size = sizeof stack,
		.argc = (uint32_t)image->argc,
		.envc = (uint32_t)image->envc,
		.strings = image->strings,
		.strings_size = image->strings_bytes,
		.execfn = image->execfn,
		.platform = image->platform,
		.auxv = auxv,
		.nr_auxv = auxv_build(image, &program, loader.image.load_bias, auxv),
		.stack_top = layout.stack_top,
		.executable = program.info.has_gnu_stack ? program.info.stack_exec : false,
		.elf_class = mon->i386 ? ELFCLASS32 : ELFCLASS64,
	};
	memcpy(stack.random, layout.has_random ? layout.random : image->random,
	       sizeof stack.random);
	*out_why = "its stack cannot be built";
	r = ondol_setup_stack(g->mm, &stack, &sp);
	if (r)
		return r;
	warm_up(mon, g, &program, &loader, sp);
	image->regs.rip = entry;
	image->regs.rsp = sp;
	image->auxv_at = sp + image->word * (3 + image->argc + image->envc);
	return 0;
}

/* So that what the host says of the process under /proc is right. */
static void host_layout_set(struct monitor *mon, struct guest_mm *g,
			    const struct host_image *image)
{
	struct prctl_mm_map *map = mailbox_room(g->mailbox);
	struct ondol_mm_layout layout;

	_Static_assert(sizeof *map <= MAILBOX_ROOM, "room in the mailbox");
	ondol_mm_layout(g->mm, &layout);
	memset(map, 0, sizeof *map);
	map->start_code = layout.start_code;
	map->end_code = layout.end_code;
	map->start_data = layout.start_data;
	map->end_data = layout.end_data;
	map->start_brk = layout.start_brk;
	map->brk = layout.brk;
	map->start_stack = layout.start_stack;
	map->arg_start = image->strings_at;
	map->arg_end = image->env_at;
	map->env_start = image->env_at;
	map->env_end = image->strings_at + image->strings_bytes;
	map->exe_fd = (uint32_t)-1;
	/* /proc/PID/auxv; the worker could not wait for a page of the stack. */
	uint64_t auxv_end = image->auxv_at + (image->nr_auxv + 1) * 2 * image->word;

	if (!fault_in(mon, g, image->auxv_at) && !fault_in(mon, g, auxv_end - 1)) {
		map->auxv = (__u64 *)image->auxv_at;
		map->auxv_size = (uint32_t)(auxv_end - image->auxv_at);
	}
	worker_post(mon, g, SYS_prctl, PR_SET_MM, PR_SET_MM_MAP,
		    mailbox_room_at(mon), sizeof *map, 0, 0);
	worker_kick(g);
}

static void exec_failed(struct monitor *mon, struct task *task, const char *name, const char *why,
			int error)
{
	if (!task->dead) {
		monitor_warn("%s: cannot be run on Ondol: %s (%s); it is ended", name, why,
			     strerror(error < 0 ? -error : error));
		kill(task->tgid, SIGKILL);
	}
	(void)mon;
}

void exec_takeover(struct monitor *mon, struct task *task)
{
	struct host_image image = { .mem = -1 };
	struct ondol_mm_struct *mm;
	struct guest_mm *g = NULL;
	const char *why = "the host's image cannot be read";
	uint64_t mask;
	int r = host_image_read(task, &image);
	const char *name = image.execfn ? image.execfn : "a program";

	mon->stats.execs++;
	trace(mon, "exec %d %s", task->tid, name);
	if (!r && i386_regs(&image.regs) != mon->i386) {
		why = mon->i386 ? not_32_bit : not_64_bit;
		r = -ENOEXEC;
	}
	if (!r && mon->i386 && i386_vdso_in_way(mon, image.sysinfo_ehdr)) {
		why = "the host's vdso is where Ondol's pages go; a limit of the stack "
		      "(ulimit -s) of 256 MiB at most leaves room";
		r = -EEXIST;
	}
	if (!r) {
		why = "no memory for its address space";
		r = ondol_mm_create(mon->machine, &mm);
	}
	if (!r) {
		g = guest_mm_new(mon, mm);
		if (!g) {
			ondol_mmput(mm);
			r = -ENOMEM;
		}
	}
	if (g && task->mm) { /* descriptors live on, and PR_SET_THP_DISABLE */
		g->frames_held = task->mm->frames_held;
		ondol_mm_set_thp_disabled(mm, ondol_mm_thp_disabled(task->mm->mm));
	}
	task_set_mm(mon, task, g);
	if (!r) {
		const char *slash = strrchr(name, '/');

		snprintf(g->comm, sizeof g->comm, "%s", slash ? slash + 1 : name);
		why = "Ondol's code could not be started in it";
		signals_block(task->tid, &mask);
		r = takeover(mon, task, g, &image);
		if (!r)
			r = image_build(mon, task, g, &image, &why);
		if (!r)
			r = ready_fill_or_oom(mon, g);
		if (!r) {
			host_layout_set(mon, g, &image);
			image.regs.orig_rax = (unsigned long long)-1;
			image.regs.rax = 0;
			r = set_regs(task->tid, &image.regs);
		}
		signals_restore(task->tid, mask);
	}
	if (r)
		exec_failed(mon, task, name, why, r);
	host_image_free(&image);
}

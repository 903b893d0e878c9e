/* SPDX-License-Identifier: MIT */
/*
 * 32-bit programs: --profile i386.
 *
 * The machine is one of 3G/1G: programs have 3 GiB each, in page tables of i386's own format, and
 * the gigabyte above, which a kernel would have, is ours and the host's (layout.c).  Every program
 * of the run is a 32-bit one; others are refused as on a computer that has no other.
 *
 * To the host they are processes in compatibility mode.  What differs for us:
 *
 *   the stub     is 64-bit code all the same, at an address below 4 GiB: a thread that is to run it
 *                gets the 64-bit code segment with its registers, and with its own registers the
 *                32-bit one back.  The worker stays in 64-bit mode, so that its calls, and the
 *                structures they point to, are those of x86-64.
 *   calls        come with other numbers, some with other arguments: they are translated before
 *                anything looks at them (i386_translate).  Those whose structures are smaller are
 *                served here.
 *   registers    a call's arguments are in ebx, ecx, edx, esi, edi, ebp; clone has the child's
 *                thread pointer before the address of its number.
 *   exec         finds a stack of 4-byte words: exec.c.
 *
 * The program's own calls of x86-64 are refused: no 32-bit kernel has them.  Where the host's
 * kernel cannot wait for pages (trap.h), the arguments of each call would have to be known: no
 * 32-bit programs there.
 */
#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "i386.h"

#define CS_32 0x23 /* the host's code segments for user mode */
#define CS_64 0x33
#define SS_USER 0x2b

struct pair {
	uint16_t i386, x86_64;
};

static const struct pair numbers[] = {
	{ I386_restart_syscall, SYS_restart_syscall },
	{ I386_exit, SYS_exit },
	{ I386_fork, SYS_fork },
	{ I386_write, SYS_write },
	{ I386_open, SYS_open },
	{ I386_execve, SYS_execve },
	{ I386_brk, SYS_brk },
	{ I386_fcntl, SYS_fcntl },
	{ I386_setrlimit, SYS_setrlimit },
	{ I386_getrlimit, SYS_getrlimit },
	{ I386_mmap, SYS_mmap },
	{ I386_munmap, SYS_munmap },
	{ I386_sysinfo, SYS_sysinfo },
	{ I386_clone, SYS_clone },
	{ I386_mprotect, SYS_mprotect },
	{ I386_msync, SYS_msync },
	{ I386_mlock, SYS_mlock },
	{ I386_munlock, SYS_munlock },
	{ I386_mlockall, SYS_mlockall },
	{ I386_munlockall, SYS_munlockall },
	{ I386_mremap, SYS_mremap },
	{ I386_prctl, SYS_prctl },
	{ I386_ugetrlimit, SYS_getrlimit },
	{ I386_mmap2, SYS_mmap },
	{ I386_mincore, SYS_mincore },
	{ I386_madvise, SYS_madvise },
	{ I386_fcntl64, SYS_fcntl },
	{ I386_futex, SYS_futex },
	{ I386_sched_setaffinity, SYS_sched_setaffinity },
	{ I386_sched_getaffinity, SYS_sched_getaffinity },
	{ I386_remap_file_pages, SYS_remap_file_pages },
	{ I386_set_tid_address, SYS_set_tid_address },
	{ I386_openat, SYS_openat },
	{ I386_vmsplice, SYS_vmsplice },
	{ I386_prlimit64, SYS_prlimit64 },
	{ I386_process_vm_readv, SYS_process_vm_readv },
	{ I386_process_vm_writev, SYS_process_vm_writev },
	{ I386_execveat, SYS_execveat },
	{ I386_mlock2, SYS_mlock2 },
	{ I386_pkey_mprotect, SYS_pkey_mprotect },
	{ I386_shmat, SYS_shmat },
	{ I386_shmdt, SYS_shmdt },
	{ I386_futex_time64, SYS_futex },
	{ SYS_openat2_, SYS_openat2_ },
	{ SYS_process_madvise_, SYS_process_madvise_ },
	{ SYS_futex_waitv_, SYS_futex_waitv_ },
	{ SYS_futex_wait_, SYS_futex_wait_ },
	{ SYS_futex_requeue_, SYS_futex_requeue_ },
	{ SYS_mseal_, SYS_mseal_ },
};

long i386_number(long nr)
{
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (numbers[i].i386 == nr)
			return numbers[i].x86_64;
	return -1;
}

/* old_mmap(2): six words in memory, the offset in bytes. */
static int old_mmap_arguments(const struct task *task, struct seccomp_data *data)
{
	uint32_t word[6];
	int r = ondol_copy_from_user(task->mm->mm, word, data->args[0], sizeof word);

	for (unsigned i = 0; !r && i < 6; i++)
		data->args[i] = word[i];
	return r;
}

int i386_translate(const struct task *task, struct seccomp_data *data)
{
	int nr = data->nr;

	for (unsigned i = 0; i < 6; i++)
		data->args[i] = (uint32_t)data->args[i];
	data->nr = (int)i386_number(nr);
	data->arch = I386_TRANSLATED;
	if (nr == I386_mmap2)
		data->args[5] *= PAGE_BYTES;
	if (nr == I386_mmap) {
		int r = old_mmap_arguments(task, data);

		if (r)
			return r;
	}
	if (data->nr == SYS_mmap)
		data->args[3] &= ~(uint64_t)MAP_32BIT; /* everything is */
	return data->nr < 0 ? -ENOSYS : 0;
}

/* ------------------------------------------------------------------ other structures */

struct sysinfo32 { /* sysinfo(2)'s */
	int32_t uptime;
	uint32_t loads[3];
	uint32_t totalram, freeram, sharedram, bufferram, totalswap, freeswap;
	uint16_t procs, pad;
	uint32_t totalhigh, freehigh, mem_unit;
	char unused[8];
};

_Static_assert(sizeof(struct sysinfo32) == 64, "as i386 has it");

/* What has more bytes than 32 bits can say is told in larger units. */
static int64_t sysinfo32(struct monitor *mon, const struct task *task, uint64_t at)
{
	struct sysinfo info;
	struct sysinfo32 out = { .mem_unit = 1 };
	unsigned shift = 0;
	int r = sysinfo_fill(mon, &info);

	if (r)
		return r;
	while ((info.totalram | info.totalswap) >> (32 + shift))
		shift++;
	out.uptime = (int32_t)info.uptime;
	for (unsigned i = 0; i < 3; i++)
		out.loads[i] = (uint32_t)info.loads[i];
	out.totalram = (uint32_t)(info.totalram >> shift);
	out.freeram = (uint32_t)(info.freeram >> shift);
	out.totalswap = (uint32_t)(info.totalswap >> shift);
	out.freeswap = (uint32_t)(info.freeswap >> shift);
	out.procs = info.procs;
	out.mem_unit <<= shift;
	return ondol_copy_to_user(task->mm->mm, at, &out, sizeof out);
}

/*
 * shmat and shmdt by ipc(2): the address where the segment came to be goes into memory.  *out_data
 * is the call as x86-64 has it.
 */
static int64_t ipc_call(struct monitor *mon, struct task *task, const __u64 *arg)
{
	struct seccomp_data data = { .nr = SYS_shmdt, .args = { (uint32_t)arg[4] } };
	bool attach = (uint16_t)arg[0] == I386_IPC_SHMAT, native = false;

	if (attach && arg[0] >> 16 == 1)
		return -EINVAL; /* a version for iBCS2 programs */
	if (attach)
		data = (struct seccomp_data){ .nr = SYS_shmat,
					      .args = { arg[1], arg[4], arg[2] } };
	int64_t r = mmcall(mon, task, &data, &native);

	if (r < 0 && r > -4096)
		return r;
	if (attach) {
		uint32_t at = (uint32_t)r;

		return ondol_copy_to_user(task->mm->mm, arg[3], &at, sizeof at);
	}
	return r;
}

bool i386_serve(struct monitor *mon, struct task *task, const struct seccomp_data *data,
		int64_t *out_result, bool *out_native)
{
	__u64 arg[6];

	for (unsigned i = 0; i < 6; i++)
		arg[i] = (uint32_t)data->args[i];
	switch (data->nr) {
	case I386_ipc:
		mon->stats.calls++;
		*out_result = ipc_call(mon, task, arg);
		return true;
	case I386_set_robust_list: /* for its end: buffers.c, [BUF-2] */
		if (arg[1] == 3 * sizeof(uint32_t))
			task->robust_list32 = arg[0];
		*out_native = true;
		return true;
	case I386_sysinfo:
		*out_result = sysinfo32(mon, task, arg[0]);
		return true;
	case I386_setrlimit:
	case I386_ugetrlimit:
	case I386_getrlimit:
		*out_result = limit_call32(mon, task, data->nr == I386_setrlimit,
					   data->nr == I386_getrlimit ? INT32_MAX : UINT32_MAX,
					   arg, out_native);
		return true;
	}
	return false;
}

/* ------------------------------------------------------------------ the process */

void i386_long_mode(struct user_regs_struct *regs)
{
	regs->cs = CS_64;
	regs->ss = SS_USER;
}

bool i386_regs(const struct user_regs_struct *regs)
{
	return regs->cs == CS_32;
}

/* One of the host's mappings; false: none, or it could not be moved. */
static bool mapping_move(struct monitor *mon, struct guest_mm *g, const char *line, uint64_t low,
			 uint64_t high, int64_t by)
{
	unsigned long start, end;

	if (sscanf(line, "%lx-%lx", &start, &end) != 2 || start < low || end > high)
		return true;
	return worker_call(mon, g, SYS_mremap, start, end - start, end - start,
			   MREMAP_MAYMOVE | MREMAP_FIXED, start + (uint64_t)by, 0) >= 0;
}

int i386_vdso_move(struct monitor *mon, struct task *task, struct guest_mm *g, uint64_t *vdso)
{
	uint64_t low = *vdso - mon->vvar_before_vdso, high = *vdso + mon->vdso_bytes;
	struct ondol_mmap_args args = {
		.size = sizeof args,
		.vm_flags = ONDOL_VM_READ | ONDOL_VM_NATIVE | ONDOL_VM_MAYREAD |
			    ONDOL_VM_MAYEXEC,
		.length = mon->vvar_before_vdso,
		.name = "[vvar]",
	};
	char path[64], line[512];
	ondol_virt_addr_t at;
	int r;

	if (!*vdso || low < mon->space->end)
		return 0; /* there is none, or it is a region already */
	args.length = high - low;
	r = ondol_mmap(g->mm, &args, &at); /* room for both; then the upper one's own region */
	if (!r) {
		args.addr = at + mon->vvar_before_vdso;
		args.length = mon->vdso_bytes;
		args.map_flags = ONDOL_MAP_FIXED;
		args.vm_flags |= ONDOL_VM_EXEC;
		args.name = "[vdso]";
		r = ondol_mmap(g->mm, &args, &args.addr);
	}
	if (r)
		return r;
	snprintf(path, sizeof path, "/proc/%d/maps", task->tid);
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	while (!r && fgets(line, sizeof line, f))
		if (!mapping_move(mon, g, line, low, high, (int64_t)(at - low)))
			r = -EFAULT;
	fclose(f);
	*vdso = at + mon->vvar_before_vdso;
	return r;
}

bool i386_vdso_in_way(const struct monitor *mon, uint64_t vdso)
{
	const uint64_t around = UINT64_C(1) << 20; /* more than vvar and vdso have */

	return vdso && vdso > mon->space->stub - around &&
	       vdso < mon->space->slices_end + around;
}

struct keep { /* sorted by address */
	uint64_t start, end;
};

/* Of the host's mapping [start, end) what is not to be kept. */
static void unmap_but(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end,
		      const struct keep *keep, unsigned nr)
{
	for (unsigned i = 0; i < nr && start < end; i++) {
		if (keep[i].end <= start || keep[i].start >= end)
			continue;
		if (keep[i].start > start)
			worker_post(mon, g, SYS_munmap, start, keep[i].start - start, 0, 0, 0, 0);
		start = keep[i].end;
	}
	if (start < end)
		worker_post(mon, g, SYS_munmap, start, end - start, 0, 0, 0, 0);
}

int i386_leftovers_unmap(struct monitor *mon, struct task *task, struct guest_mm *g,
			 uint64_t strings, uint64_t strings_end)
{
	const struct guest_space *space = mon->space;
	const struct keep keep[] = {
		{ space->stub, space->mailbox + PAGE_BYTES },
		{ space->slices, space->slices_end },
		{ strings, strings_end },
	};
	char path[64], line[512];

	snprintf(path, sizeof path, "/proc/%d/maps", task->tid);
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	while (fgets(line, sizeof line, f)) {
		const char *name = strchr(line, '[');
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx", &start, &end) != 2 || end <= space->end ||
		    (name && !strncmp(name, "[v", 2))) /* vvar, vdso, vsyscall */
			continue;
		start = start > space->end ? start : space->end;
		unmap_but(mon, g, start, end, keep, sizeof keep / sizeof *keep);
	}
	fclose(f);
	return worker_wait(mon, g);
}

/* ------------------------------------------------------------------ does the host? */

struct least32 { /* a 32-bit program that does nothing but exit(0) */
	Elf32_Ehdr elf;
	Elf32_Phdr load;
	unsigned char code[9];
};

static const struct least32 least32 = {
	.elf = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB,
			      EV_CURRENT },
		 .e_type = ET_EXEC,
		 .e_machine = EM_386,
		 .e_version = EV_CURRENT,
		 .e_entry = 0x08048000 + offsetof(struct least32, code),
		 .e_phoff = offsetof(struct least32, load),
		 .e_ehsize = sizeof(Elf32_Ehdr),
		 .e_phentsize = sizeof(Elf32_Phdr),
		 .e_phnum = 1 },
	.load = { .p_type = PT_LOAD,
		  .p_vaddr = 0x08048000,
		  .p_filesz = sizeof(struct least32),
		  .p_memsz = sizeof(struct least32),
		  .p_flags = PF_R | PF_X,
		  .p_align = 0x1000 },
	/* mov $1,%eax; xor %ebx,%ebx; int $0x80 */
	.code = { 0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80 },
};

const char *i386_obstacle(void)
{
	static char *const argv[] = { "least32", NULL };
	int fd = memfd_create("least32", MFD_CLOEXEC), status = 0;

	if (fd < 0)
		return NULL; /* the program will show */
	pid_t pid = write(fd, &least32, sizeof least32) == (ssize_t)sizeof least32 ? fork() : -1;

	if (!pid) {
		fexecve(fd, argv, argv + 1);
		_exit(errno == ENOEXEC ? 1 : 0);
	}
	close(fd);
	if (pid > 0)
		waitpid(pid, &status, 0);
	return !status ? NULL :
			 "this host's kernel does not run 32-bit programs (without IA-32 "
			 "emulation; where it is only switched off: ia32_emulation=on at boot)";
}

/* SPDX-License-Identifier: MIT */
/* 32-bit programs: their system calls and registers, as the rest of the port wants them. */
#ifndef ONDOL_LINUX_I386_H
#define ONDOL_LINUX_I386_H

#include <sys/syscall.h>

#include "internal.h"

/* Numbers of i386's system calls, of those that somebody here looks at (syscalls(2)). */
enum {
	I386_restart_syscall = 0,
	I386_exit = 1,
	I386_fork = 2,
	I386_write = 4,
	I386_open = 5,
	I386_execve = 11,
	I386_brk = 45,
	I386_fcntl = 55,
	I386_setrlimit = 75,
	I386_getrlimit = 76, /* the old one: INT_MAX is no limit */
	I386_uselib = 86,
	I386_mmap = 90, /* the old one: arguments in memory */
	I386_munmap = 91,
	I386_sysinfo = 116,
	I386_ipc = 117,
	I386_clone = 120,
	I386_mprotect = 125,
	I386_msync = 144,
	I386_mlock = 150,
	I386_munlock = 151,
	I386_mlockall = 152,
	I386_munlockall = 153,
	I386_mremap = 163,
	I386_prctl = 172,
	I386_ugetrlimit = 191,
	I386_mmap2 = 192, /* the offset is in pages */
	I386_mincore = 218,
	I386_madvise = 219,
	I386_fcntl64 = 221,
	I386_futex = 240,
	I386_sched_setaffinity = 241,
	I386_sched_getaffinity = 242,
	I386_io_setup = 245,
	I386_remap_file_pages = 257,
	I386_set_tid_address = 258,
	I386_mbind = 274,
	I386_get_mempolicy = 275,
	I386_set_mempolicy = 276,
	I386_migrate_pages = 294,
	I386_openat = 295,
	I386_set_robust_list = 311,
	I386_vmsplice = 316,
	I386_move_pages = 317,
	I386_prlimit64 = 340,
	I386_process_vm_readv = 347,
	I386_process_vm_writev = 348,
	I386_execveat = 358,
	I386_userfaultfd = 374,
	I386_mlock2 = 376,
	I386_pkey_mprotect = 380,
	I386_pkey_alloc = 381,
	I386_rseq = 386,
	I386_shmat = 397,
	I386_shmdt = 398,
	I386_futex_time64 = 422,
	/* From 424 on numbers are x86-64's. */
	I386_io_uring_setup = 425,
	I386_clone3 = 435,
	I386_memfd_secret = 447,
	I386_set_mempolicy_home_node = 450,
	I386_cachestat = 451,
	I386_map_shadow_stack = 453,
};

/* ipc(2)'s first argument */
enum { I386_IPC_SHMAT = 21, I386_IPC_SHMDT = 22 };

/* data.arch of what i386_translate() has done: no real one. */
#define I386_TRANSLATED 0

/* The x86-64 number of a call; -1: one that nobody here looks at. */
long i386_number(long nr);
/*
 * As the program would have made the call on x86-64: number and arguments.  -ENOSYS: it is one
 * that 32-bit programs have otherwise (i386_serve), or that they do not have.
 */
int i386_translate(const struct task *task, struct seccomp_data *data);
/* True: the call had structures of its own, and is answered (or native). */
bool i386_serve(struct monitor *mon, struct task *task, const struct seccomp_data *data,
		int64_t *out_result, bool *out_native);

/* A 32-bit thread is to run 64-bit code. */
void i386_long_mode(struct user_regs_struct *regs);
/* Whether the thread is a 32-bit one. */
bool i386_regs(const struct user_regs_struct *regs);
/*
 * The host has put its vdso above the program's space: into it, where mmap finds room, as on a
 * kernel of 3G/1G.  *vdso follows.
 */
int i386_vdso_move(struct monitor *mon, struct task *task, struct guest_mm *g, uint64_t *vdso);
/* A large limit of the stack brings the host's vdso down to where our pages are to be. */
bool i386_vdso_in_way(const struct monitor *mon, uint64_t vdso);
/* Beyond the program's space all goes that the host's exec has left, but vdso and `strings`. */
int i386_leftovers_unmap(struct monitor *mon, struct task *task, struct guest_mm *g,
			 uint64_t strings, uint64_t strings_end);

/* Why the host cannot run 32-bit programs at all, found by running the smallest; NULL: it can. */
const char *i386_obstacle(void);

/* The filter, filter_i386.c. */
int filter_install_i386(bool see_folders, bool swap);

/* The call that a thread at a stop is in. */
static inline long call_number(const struct monitor *mon, const struct user_regs_struct *regs)
{
	return mon->i386 ? i386_number((int)regs->orig_rax) : (long)regs->orig_rax;
}

/* clone's arguments, by their registers. */
static inline unsigned long long *clone_flags(const struct monitor *mon,
					      struct user_regs_struct *regs)
{
	return mon->i386 ? &regs->rbx : &regs->rdi;
}

static inline uint64_t clone_child_tid(const struct monitor *mon,
				       const struct user_regs_struct *regs)
{
	return mon->i386 ? (uint32_t)regs->rdi : regs->r10;
}

#endif /* ONDOL_LINUX_I386_H */

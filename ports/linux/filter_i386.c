/* SPDX-License-Identifier: MIT */
/*
 * The system-call filter of a run of 32-bit programs: filter.c's choice, by i386's numbers.
 *
 * Calls of x86-64 are made by the stub, let through, and by the program-to-be until its exec: those
 * come to the monitor, which refuses what any other makes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "i386.h"
#include "launch.h"

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_ARG(n) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * (n))
#define RET(x) BPF_STMT(BPF_RET | BPF_K, x)
#define IF(op, k, then_skip, else_skip) \
	BPF_JUMP(BPF_JMP | (op) | BPF_K, (uint32_t)(k), then_skip, else_skip)
#define IF_EQ(k, then_skip, else_skip) IF(BPF_JEQ, k, then_skip, else_skip)
/* "If the number is nr, return x": two instructions, falls through otherwise. */
#define ON(nr, x) IF_EQ(nr, 0, 1), RET(x)
#define NOTIFY SECCOMP_RET_USER_NOTIF
#define ERRNO(e) (SECCOMP_RET_ERRNO | (e))
#define PR_SET_VMA_ 0x53564d41
/* Flags of an open that cannot be one of our files of /proc: none is opened for both. */
#define OPEN_OTHER (O_RDWR | O_DIRECTORY | O_PATH)
/* To the monitor: read-only ones and, with swap, those with O_DIRECT. */
#define ON_OPEN(nr, flags) \
	IF_EQ(nr, 0, 5), LOAD_ARG(flags), IF(BPF_JSET, O_DIRECT, 2, 0), \
	IF(BPF_JSET, OPEN_OTHER, 0, 1), RET(SECCOMP_RET_ALLOW), RET(NOTIFY)
#define ON_SETFL_DIRECT(nr) \
	IF_EQ(nr, 0, 6), LOAD_ARG(1), IF_EQ(F_SETFL, 0, 3), LOAD_ARG(2), \
	IF(BPF_JSET, O_DIRECT, 0, 1), RET(NOTIFY), RET(SECCOMP_RET_ALLOW)
/* What is not PRIVATE; of the rest what writes the word and cannot wait for it: filter.c. */
#define ON_FUTEX(nr) \
	IF_EQ(nr, 0, 12), LOAD_ARG(1), IF(BPF_JSET, FUTEX_PRIVATE_FLAG, 2, 0), \
	IF_EQ(FUTEX_WAKE, 1, 0), RET(NOTIFY), \
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, FUTEX_CMD_MASK), IF_EQ(FUTEX_WAKE_OP, 5, 0), \
	IF(BPF_JGE, FUTEX_LOCK_PI, 0, 3), IF(BPF_JGT, FUTEX_TRYLOCK_PI, 0, 3), \
	IF_EQ(FUTEX_CMP_REQUEUE_PI, 2, 0), IF_EQ(FUTEX_LOCK_PI2, 1, 0), \
	RET(SECCOMP_RET_ALLOW), RET(NOTIFY)

#define ON_RLIMIT(nr) \
	IF_EQ(nr, 0, 6), LOAD_ARG(0), IF_EQ(RLIMIT_AS, 3, 0), IF_EQ(RLIMIT_DATA, 2, 0), \
	IF_EQ(RLIMIT_STACK, 1, 0), RET(SECCOMP_RET_ALLOW), RET(NOTIFY)

static const struct sock_filter i386_filter[] = {
	LOAD(arch),
	IF_EQ(AUDIT_ARCH_I386, 21, 0),
	/* x86-64: the stub's, two on the way to it, the launcher's first word, whoever else's. */
	LOAD(nr),
	ON(STUB_CALL_HELLO, NOTIFY),
	ON(STUB_CALL_BOOT, NOTIFY),
	ON(SYS_close, SECCOMP_RET_ALLOW),
	IF_EQ(SYS_mmap, 0, 3),
	LOAD_ARG(0),
	IF_EQ(STUB32_ADDR, 0, 1),
	RET(SECCOMP_RET_ALLOW),
	LOAD(nr),
	IF_EQ(SYS_sendmsg, 0, 3),
	LOAD_ARG(2),
	IF_EQ(LAUNCH_MESSAGE, 0, 1),
	RET(SECCOMP_RET_ALLOW),
	LOAD(instruction_pointer), /* never above 4 GiB in a 32-bit process */
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfffff000),
	IF_EQ(STUB32_ADDR, 0, 1),
	RET(SECCOMP_RET_ALLOW),
	RET(NOTIFY),

	LOAD(nr),
	ON_OPEN(I386_open, 1),
	ON_OPEN(I386_openat, 2),
	ON(SYS_openat2_, NOTIFY),
	ON_FUTEX(I386_futex),
	ON_FUTEX(I386_futex_time64),
	ON(I386_mmap2, NOTIFY),
	ON(I386_mmap, NOTIFY),
	ON(I386_munmap, NOTIFY),
	ON(I386_mprotect, NOTIFY),
	ON(I386_brk, NOTIFY),
	ON(I386_mremap, NOTIFY),
	ON(I386_msync, NOTIFY),
	ON(I386_mincore, NOTIFY),
	ON(I386_madvise, NOTIFY),
	ON(I386_mlock, NOTIFY),
	ON(I386_mlock2, NOTIFY),
	ON(I386_munlock, NOTIFY),
	ON(I386_mlockall, NOTIFY),
	ON(I386_munlockall, NOTIFY),
	ON(I386_remap_file_pages, NOTIFY),
	ON(I386_pkey_mprotect, NOTIFY),
	ON(SYS_process_madvise_, NOTIFY),
	ON(SYS_mseal_, NOTIFY),
	ON(I386_shmat, NOTIFY),
	ON(I386_shmdt, NOTIFY),
	IF_EQ(I386_ipc, 0, 6),
	LOAD_ARG(0),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffff),
	IF_EQ(I386_IPC_SHMAT, 2, 0),
	IF_EQ(I386_IPC_SHMDT, 1, 0),
	RET(SECCOMP_RET_ALLOW),
	RET(NOTIFY),

	ON(I386_sched_setaffinity, NOTIFY), /* place.c */
	ON(I386_sched_getaffinity, NOTIFY),
	ON(I386_execve, NOTIFY), /* syscall.c: exec_refused */
	ON(I386_execveat, NOTIFY),
	ON(I386_fork, SECCOMP_RET_TRACE),
	IF_EQ(I386_clone, 0, 5),
	LOAD_ARG(0),
	IF(BPF_JSET, CLONE_PTRACE, 1, 0),
	IF(BPF_JSET, CLONE_VM, 1, 0),
	RET(SECCOMP_RET_TRACE),
	RET(SECCOMP_RET_ALLOW),

	IF_EQ(I386_prlimit64, 0, 8),
	LOAD_ARG(1),
	IF_EQ(RLIMIT_AS, 5, 0),
	IF_EQ(RLIMIT_DATA, 4, 0),
	IF_EQ(RLIMIT_STACK, 0, 2),
	LOAD_ARG(2),
	IF_EQ(0, 0, 1),
	RET(SECCOMP_RET_ALLOW),
	RET(NOTIFY),
	ON_RLIMIT(I386_setrlimit),
	ON_RLIMIT(I386_getrlimit),
	ON_RLIMIT(I386_ugetrlimit),

	ON(I386_exit, NOTIFY), /* buffers.c: [BUF-2] */
	ON(I386_set_tid_address, NOTIFY),
	ON(I386_set_robust_list, NOTIFY),
	ON(I386_restart_syscall, NOTIFY), /* [BUF-3] */
	ON(SYS_futex_waitv_, NOTIFY),
	ON(SYS_futex_wait_, NOTIFY),
	ON(I386_sysinfo, NOTIFY),
	IF_EQ(I386_prctl, 0, 7),
	LOAD_ARG(0),
	IF_EQ(PR_SET_VMA_, 0, 1),
	RET(ERRNO(EINVAL)),
	IF_EQ(PR_SET_THP_DISABLE, 1, 0),
	IF_EQ(PR_GET_THP_DISABLE, 0, 1),
	RET(NOTIFY),
	RET(SECCOMP_RET_ALLOW),

	/* As filter.c's; and as on a kernel without NUMA. */
	ON(I386_clone3, ERRNO(ENOSYS)),
	ON(I386_rseq, ERRNO(ENOSYS)),
	ON(I386_pkey_alloc, ERRNO(EINVAL)),
	ON(I386_userfaultfd, ERRNO(EPERM)),
	ON(I386_uselib, ERRNO(ENOSYS)),
	ON(I386_mbind, ERRNO(ENOSYS)),
	ON(I386_get_mempolicy, ERRNO(ENOSYS)),
	ON(I386_set_mempolicy, ERRNO(ENOSYS)),
	ON(I386_migrate_pages, ERRNO(ENOSYS)),
	ON(I386_move_pages, ERRNO(ENOSYS)),
	ON(I386_io_uring_setup, ERRNO(ENOSYS)),
	ON(I386_memfd_secret, ERRNO(ENOSYS)),
	ON(I386_set_mempolicy_home_node, ERRNO(ENOSYS)),
	ON(I386_cachestat, ERRNO(ENOSYS)),
	ON(I386_map_shadow_stack, ERRNO(ENOSYS)),
	RET(SECCOMP_RET_ALLOW),
};

/* With swap, in place of the last instruction: who gives frames to the host's kernel (swap.c). */
static const struct sock_filter swap_filter[] = {
	ON(I386_vmsplice, NOTIFY),
	ON(SYS_futex_requeue_, NOTIFY),
	ON_SETFL_DIRECT(I386_fcntl),
	ON_SETFL_DIRECT(I386_fcntl64),
	RET(SECCOMP_RET_ALLOW),
};

/* As filter_install(). */
int filter_install_i386(bool see_folders, bool swap)
{
	const unsigned nr = sizeof i386_filter / sizeof *i386_filter;
	struct sock_filter filter[sizeof i386_filter / sizeof *i386_filter +
				  sizeof swap_filter / sizeof *swap_filter];
	struct sock_fprog program = { .len = nr, .filter = filter };

	memcpy(filter, i386_filter, sizeof i386_filter);
	for (unsigned i = 0; i < nr; i++) {
		struct sock_filter *f = &filter[i];

		if (f->code != (BPF_JMP | BPF_JSET | BPF_K))
			continue;
		if (f->k == OPEN_OTHER && see_folders)
			f->k &= ~(uint32_t)O_DIRECTORY;
		else if (f->k == O_DIRECT && !swap)
			f->jt = 0;
	}
	if (swap) {
		memcpy(&filter[nr - 1], swap_filter, sizeof swap_filter);
		program.len = (unsigned short)(nr - 1 + sizeof swap_filter / sizeof *swap_filter);
	}
	return filter_set(&program);
}

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

#include "bpf.h"
#include "i386.h"
#include "launch.h"

#define ON_RLIMIT(nr) \
	IF_EQ(nr, 0, 6), LOAD_ARG_LOW(0), IF_EQ(RLIMIT_AS, 3, 0), IF_EQ(RLIMIT_DATA, 2, 0), \
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
	LOAD_ARG_LOW(0),
	IF_EQ(STUB32_ADDR, 0, 1),
	RET(SECCOMP_RET_ALLOW),
	LOAD(nr),
	IF_EQ(SYS_sendmsg, 0, 3),
	LOAD_ARG_LOW(2),
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
	LOAD_ARG_LOW(0),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffff),
	IF_EQ(I386_IPC_SHMAT, 2, 0),
	IF_EQ(I386_IPC_SHMDT, 1, 0),
	RET(SECCOMP_RET_ALLOW),
	RET(NOTIFY),

	ON(I386_sched_setaffinity, NOTIFY), /* place.c */
	ON(I386_sched_getaffinity, NOTIFY),
	ON(I386_execve, NOTIFY), /* syscall.c: exec_refused */
	ON(I386_execveat, NOTIFY),
	ON_FORK(I386_fork, I386_clone),

	IF_EQ(I386_prlimit64, 0, 8),
	LOAD_ARG_LOW(1),
	IF_EQ(RLIMIT_AS, 5, 0),
	IF_EQ(RLIMIT_DATA, 4, 0),
	IF_EQ(RLIMIT_STACK, 0, 2),
	LOAD_ARG_LOW(2),
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
	ON(I386_process_vm_readv, NOTIFY), /* [BUF-4] */
	ON(I386_process_vm_writev, NOTIFY),
	ON(I386_sysinfo, NOTIFY),
	ON_PRCTL(I386_prctl),

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
	ON(I386_io_setup, ERRNO(ENOSYS)),
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
	const unsigned nr_tail = sizeof swap_filter / sizeof *swap_filter;
	struct sock_filter filter[sizeof i386_filter / sizeof *i386_filter +
				  sizeof swap_filter / sizeof *swap_filter];
	struct sock_fprog program = { .filter = filter };

	memcpy(filter, i386_filter, sizeof i386_filter);
	program.len = (unsigned short)filter_fit(
		filter, nr, (struct filter_wants){ see_folders, swap, false }, swap_filter,
		nr_tail);
	return filter_set(&program);
}

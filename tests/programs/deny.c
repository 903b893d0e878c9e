/* SPDX-License-Identifier: MIT */
/*
 * deny COMMAND...: run it under a filter of system calls like a container's, where nobody has
 * asked for more: what Docker's default profile gives only to who has CAP_SYS_ADMIN,
 * CAP_SYS_PTRACE and the like answers EPERM, clone3 ENOSYS.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ARG0 BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args))
#define IS(k, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, then, otherwise)
#define RET(x) BPF_STMT(BPF_RET | BPF_K, x)
#define DENY(nr) IS(nr, 0, 1), RET(SECCOMP_RET_ERRNO | EPERM)
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
		    CLONE_NEWNET | CLONE_NEWCGROUP)

static struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
	IS(AUDIT_ARCH_X86_64, 1, 0),
	RET(SECCOMP_RET_ERRNO | EPERM),
	NR,
	DENY(SYS_userfaultfd),
	DENY(438), /* pidfd_getfd */
	DENY(SYS_kcmp),
	DENY(440), /* process_madvise */
	DENY(SYS_bpf),
	DENY(SYS_perf_event_open),
	DENY(SYS_mount),
	DENY(SYS_umount2),
	DENY(SYS_unshare),
	DENY(SYS_setns),
	DENY(SYS_mbind),
	DENY(SYS_set_mempolicy),
	DENY(SYS_get_mempolicy),
	DENY(SYS_move_pages),
	DENY(SYS_migrate_pages),
	DENY(SYS_add_key),
	DENY(SYS_keyctl),
	DENY(SYS_request_key),
	DENY(SYS_open_by_handle_at),
	DENY(SYS_io_uring_setup),
	DENY(SYS_io_uring_enter),
	DENY(SYS_io_uring_register),
	DENY(SYS_quotactl),
	DENY(SYS_acct),
	DENY(SYS_swapon),
	DENY(SYS_swapoff),
	DENY(SYS_reboot),
	DENY(SYS_syslog),
	DENY(SYS_fanotify_init),
	DENY(SYS_lookup_dcookie),
	DENY(SYS_name_to_handle_at),
	IS(435 /* clone3 */, 0, 1),
	RET(SECCOMP_RET_ERRNO | ENOSYS),
	IS(SYS_clone, 0, 3),
	ARG0,
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 5),
	RET(SECCOMP_RET_ERRNO | EPERM),
	IS(SYS_personality, 0, 3),
	ARG0,
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, ADDR_NO_RANDOMIZE, 0, 1),
	RET(SECCOMP_RET_ERRNO | EPERM),
	RET(SECCOMP_RET_ALLOW),
};

int main(int argc, char **argv)
{
	struct sock_fprog program = { sizeof filter / sizeof *filter, filter };

	if (argc < 2) {
		fprintf(stderr, "usage: deny COMMAND...\n");
		return 2;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("deny");
		return 125;
	}
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}

/* SPDX-License-Identifier: MIT */
/* What the system-call filters of both kinds of programs are put together from: filter.c. */
#ifndef ONDOL_LINUX_BPF_H
#define ONDOL_LINUX_BPF_H

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>

#define PR_SET_VMA_ 0x53564d41

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_ARG_LOW(n) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * (n))
#define LOAD_ARG_HIGH(n) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * (n) + 4)
#define RET(x) BPF_STMT(BPF_RET | BPF_K, x)
#define IF(op, k, then_skip, else_skip) \
	BPF_JUMP(BPF_JMP | (op) | BPF_K, (uint32_t)(k), then_skip, else_skip)
#define IF_EQ(k, then_skip, else_skip) IF(BPF_JEQ, k, then_skip, else_skip)
/* "If the number is nr, return x": two instructions, falls through otherwise. */
#define ON(nr, x) IF_EQ(nr, 0, 1), RET(x)
#define NOTIFY SECCOMP_RET_USER_NOTIF
#define ERRNO(e) (SECCOMP_RET_ERRNO | (e))

/* Flags of an open that cannot be one of our files of /proc: none is opened for both. */
#define OPEN_OTHER (O_RDWR | O_DIRECTORY | O_PATH)
/* To the monitor: read-only ones and, with swap (filter_fit), those with O_DIRECT. */
#define ON_OPEN(nr, flags) \
	IF_EQ(nr, 0, 5), LOAD_ARG_LOW(flags), IF(BPF_JSET, O_DIRECT, 2, 0), \
	IF(BPF_JSET, OPEN_OTHER, 0, 1), RET(SECCOMP_RET_ALLOW), RET(NOTIFY)
#define ON_SETFL_DIRECT(nr) \
	IF_EQ(nr, 0, 6), LOAD_ARG_LOW(1), IF_EQ(F_SETFL, 0, 3), LOAD_ARG_LOW(2), \
	IF(BPF_JSET, O_DIRECT, 0, 1), RET(NOTIFY), RET(SECCOMP_RET_ALLOW)
/*
 * FUTEX_WAKE_OP, LOCK_PI, UNLOCK_PI, TRYLOCK_PI, CMP_REQUEUE_PI and LOCK_PI2 write the word
 * without being able to wait for its page.  Who may come to wait on one that is not PRIVATE is
 * found again by its frame: buffers.c, [BUF-3].
 */
#define ON_FUTEX(nr) \
	IF_EQ(nr, 0, 12), LOAD_ARG_LOW(1), IF(BPF_JSET, FUTEX_PRIVATE_FLAG, 2, 0), \
	IF_EQ(FUTEX_WAKE, 1, 0), RET(NOTIFY), \
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, FUTEX_CMD_MASK), IF_EQ(FUTEX_WAKE_OP, 5, 0), \
	IF(BPF_JGE, FUTEX_LOCK_PI, 0, 3), IF(BPF_JGT, FUTEX_TRYLOCK_PI, 0, 3), \
	IF_EQ(FUTEX_CMP_REQUEUE_PI, 2, 0), IF_EQ(FUTEX_LOCK_PI2, 1, 0), \
	RET(SECCOMP_RET_ALLOW), RET(NOTIFY)
/* Names of regions would split the placeholder: as on a kernel without them. */
#define ON_PRCTL(nr) \
	IF_EQ(nr, 0, 7), LOAD_ARG_LOW(0), IF_EQ(PR_SET_VMA_, 0, 1), RET(ERRNO(EINVAL)), \
	IF_EQ(PR_SET_THP_DISABLE, 1, 0), IF_EQ(PR_GET_THP_DISABLE, 0, 1), RET(NOTIFY), \
	RET(SECCOMP_RET_ALLOW)
/* fork, and clone without CLONE_VM, copy the address space; see fork_flags_take, too. */
#define ON_FORK(fork, clone) \
	ON(fork, SECCOMP_RET_TRACE), IF_EQ(clone, 0, 5), LOAD_ARG_LOW(0), \
	IF(BPF_JSET, CLONE_PTRACE, 1, 0), IF(BPF_JSET, CLONE_VM, 1, 0), \
	RET(SECCOMP_RET_TRACE), RET(SECCOMP_RET_ALLOW)

/* As filter_install() has them. */
struct filter_wants {
	bool see_folders, swap, buffers;
};

/*
 * `filter`: nr instructions, and room for those of `tail`, which with swap take the last one's
 * place.  How many there are then.
 */
unsigned filter_fit(struct sock_filter *filter, unsigned nr, struct filter_wants wants,
		    const struct sock_filter *tail, unsigned nr_tail);

#endif /* ONDOL_LINUX_BPF_H */

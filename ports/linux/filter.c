/* SPDX-License-Identifier: MIT */
/*
 * Which system calls of a guest come to the monitor: a seccomp program, and the one place
 * that says what happens to each call.
 *
 *   to the monitor (USER_NOTIF)   the memory calls; open of a path read-only (it may be
 *                                 /proc/self/maps); futex operations that cannot wait for
 *                                 a missing page; limits that the placeholder would break;
 *                                 memory policies; sysinfo; with swap, what needs frames to
 *                                 stay (O_DIRECT, vmsplice, waits on shared futexes)
 *   stop (TRACE)                  fork and clone without CLONE_VM
 *   an errno at once              calls that would take memory past us
 *   everything else               the host's, at full speed
 *
 * The stub's own calls are known by their instruction pointer and let through.
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
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"
#include "calls.h"
#include "internal.h"
#include "launch.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#define SYS_memfd_secret_ 447
#define SYS_set_mempolicy_home_node_ 450
#define SYS_io_uring_setup_ 425
#define SYS_clone3_ 435
#define SYS_cachestat_ 451
#define SYS_map_shadow_stack_ 453
static const struct sock_filter guest_filter[] = {
	LOAD(arch),
	IF_EQ(AUDIT_ARCH_X86_64, 1, 0),
	RET(ERRNO(ENOSYS)), /* int 0x80 in a 64-bit program */
	LOAD(nr),
	ON(STUB_CALL_HELLO, NOTIFY),
	ON(STUB_CALL_BOOT, NOTIFY),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
	IF_EQ(STUB_ADDR_HIGH, 0, 1),
	RET(SECCOMP_RET_ALLOW),
	LOAD(nr),

	/* Frequent calls that are never ours leave early: read, write, close, stat, ... */
	ON_OPEN(SYS_open, 1),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_mmap, 1, 0),
	RET(SECCOMP_RET_ALLOW),

	/* The bootstrap code's mmap of the stub page is not in the stub page yet. */
	IF_EQ(SYS_mmap, 0, 6),
	LOAD_ARG_HIGH(0),
	IF_EQ(STUB_ADDR_HIGH, 0, 3),
	LOAD_ARG_LOW(0),
	IF_EQ(STUB_ADDR & 0xffffffff, 0, 1),
	RET(SECCOMP_RET_ALLOW),
	RET(NOTIFY),
	ON(SYS_mprotect, NOTIFY),
	ON(SYS_munmap, NOTIFY),
	ON(SYS_brk, NOTIFY),
	ON(SYS_mremap, NOTIFY),
	ON(SYS_msync, NOTIFY),
	ON(SYS_mincore, NOTIFY),
	ON(SYS_madvise, NOTIFY),
	ON(SYS_shmat, NOTIFY),

	ON_OPEN(SYS_openat, 2),

	ON_FUTEX(SYS_futex),

	ON(SYS_sched_setaffinity, NOTIFY), /* place.c */
	ON(SYS_sched_getaffinity, NOTIFY),

	ON(SYS_execve, NOTIFY), /* syscall.c: exec_refused */
	ON_FORK(SYS_fork, SYS_clone),
	ON(SYS_clone3_, ERRNO(ENOSYS)), /* libraries fall back to clone */
	ON(SYS_rseq, ERRNO(ENOSYS)),    /* the kernel would write its area before we can */

	/*
	 * Limits on address space: the placeholder would exceed them.  And a new limit of the
	 * stack, by which faults below it go.
	 */
	IF_EQ(SYS_prlimit64, 0, 10),
	LOAD_ARG_LOW(1),
	IF_EQ(RLIMIT_AS, 7, 0),
	IF_EQ(RLIMIT_DATA, 6, 0),
	IF_EQ(RLIMIT_STACK, 0, 4),
	LOAD_ARG_LOW(2),
	IF_EQ(0, 0, 3),
	LOAD_ARG_HIGH(2),
	IF_EQ(0, 0, 1),
	RET(SECCOMP_RET_ALLOW),
	RET(NOTIFY),
	IF_EQ(SYS_setrlimit, 0, 2),
	LOAD_ARG_LOW(0),
	IF_EQ(RLIMIT_STACK, 5, 2),
	IF_EQ(SYS_getrlimit, 0, 5),
	LOAD_ARG_LOW(0),
	IF_EQ(RLIMIT_AS, 2, 0),
	IF_EQ(RLIMIT_DATA, 1, 0),
	RET(SECCOMP_RET_ALLOW),
	RET(NOTIFY),

	ON(SYS_exit, NOTIFY), /* buffers.c: [BUF-2] */
	ON(SYS_set_tid_address, NOTIFY),
	ON(SYS_restart_syscall, NOTIFY), /* [BUF-3] */
	ON(SYS_futex_waitv_, NOTIFY),
	ON(SYS_futex_wait_, NOTIFY),
	ON(SYS_shmdt, NOTIFY),
	ON(SYS_mlock, NOTIFY),
	ON(SYS_munlock, NOTIFY),
	ON(SYS_mlockall, NOTIFY),
	ON(SYS_munlockall, NOTIFY),
	ON(SYS_mlock2, NOTIFY),
	ON(SYS_pkey_mprotect, NOTIFY),
	ON(SYS_set_mempolicy, NOTIFY), /* numa.c */
	ON(SYS_get_mempolicy, NOTIFY),
	ON(SYS_mbind, NOTIFY),
	ON(SYS_migrate_pages, NOTIFY),
	ON(SYS_move_pages, NOTIFY),
	ON(SYS_sysinfo, NOTIFY),
	ON(SYS_execveat, NOTIFY), /* syscall.c: exec_refused */
	ON(SYS_set_mempolicy_home_node_, ERRNO(ENOSYS)),
	ON(SYS_openat2_, NOTIFY),
	ON(SYS_pkey_alloc, ERRNO(EINVAL)), /* as on a processor without keys */
	ON(SYS_userfaultfd, ERRNO(EPERM)),
	ON(SYS_remap_file_pages, NOTIFY),
	ON(SYS_process_madvise_, NOTIFY),
	ON(SYS_process_vm_readv, NOTIFY), /* buffers.c: [BUF-4] */
	ON(SYS_process_vm_writev, NOTIFY),
	ON(SYS_memfd_secret_, ERRNO(ENOSYS)),
	ON_PRCTL(SYS_prctl),
	ON(SYS_map_shadow_stack_, ERRNO(ENOSYS)),
	ON(SYS_cachestat_, ERRNO(ENOSYS)), /* it would tell the host's cache */
	ON(SYS_mseal_, NOTIFY),
	ON(SYS_io_setup, ERRNO(ENOSYS)), /* the host would map its ring where it likes */
	ON(SYS_io_uring_setup_, ERRNO(ENOSYS)), /* its rings cannot be mapped at a given address */
	RET(SECCOMP_RET_ALLOW),
};

/* With swap, in place of the last instruction: who gives frames to the host's kernel (swap.c). */
static const struct sock_filter swap_filter[] = {
	ON(SYS_vmsplice, NOTIFY),
	ON(SYS_futex_requeue_, NOTIFY),
	ON_SETFL_DIRECT(SYS_fcntl),
	RET(SECCOMP_RET_ALLOW),
};

/*
 * Calls with pointers (calls.c): a bit each, in words of 32.  What the instructions before would
 * have let through comes here, but for the first of them that lets anything through: it is the
 * stub's.
 */
#define BUFFERS_WORDS ((CALLS_END + 31) / 32)
#define BUFFERS_INSTRUCTIONS (13 + 6 * BUFFERS_WORDS)

static uint32_t buffers_word(unsigned word)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < 32 && 32 * word + i < CALLS_END; i++)
		bits |= (uint32_t)call_has_buffers(32 * word + i) << i;
	return bits;
}

#define READY_INSTRUCTIONS (1 + CALLS_QUICK * (1 + 5 * CALLS_QUICK_POINTERS + 1))

/* Where the pointers are, and how many. */
static unsigned pointers_of(unsigned nr, uint8_t out[CALLS_QUICK_POINTERS])
{
	unsigned n = 0;

	for (uint8_t i = 0; i < 6 && n < CALLS_QUICK_POINTERS; i++)
		if (call_shapes[nr].arg[i].kind != ARG_PLAIN)
			out[n++] = i;
	return n;
}

/*
 * Quick calls whose pointers all lie in the ready range are let through.  What is not such a one
 * goes on to what comes behind.
 */
static unsigned ready_append(struct sock_filter *filter, unsigned at, uint64_t start)
{
	uint8_t arg[CALLS_QUICK_POINTERS];
	unsigned end = at + 1;

	for (unsigned i = 0; i < CALLS_QUICK; i++)
		end += 2 + 5 * pointers_of(calls_quick[i], arg);
	filter[at++] = (struct sock_filter)LOAD(nr);
	for (unsigned i = 0; i < CALLS_QUICK; i++) {
		unsigned n = pointers_of(calls_quick[i], arg);

		filter[at++] = (struct sock_filter)IF_EQ(calls_quick[i], 0, (uint8_t)(5 * n + 1));
		for (unsigned a = 0; a < n; a++) {
			const struct sock_filter test[] = {
				LOAD_ARG_HIGH(arg[a]),
				IF_EQ(start >> 32, 0, (uint8_t)(end - at - 2)),
				LOAD_ARG_LOW(arg[a]),
				BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint32_t)~(READY_BYTES - 1)),
				IF_EQ(start, 0, (uint8_t)(end - at - 5)),
			};

			memcpy(&filter[at], test, sizeof test);
			at += sizeof test / sizeof *test;
		}
		filter[at++] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
	}
	return at;
}
_Static_assert(READY_INSTRUCTIONS < 256, "jumps over all of it");

static unsigned buffers_append(struct sock_filter *filter, unsigned nr, uint64_t ready_start)
{
	const struct sock_filter head[] = {
		LOAD(nr),
		IF_EQ(SYS_sendmsg, 0, 3),
		LOAD_ARG_LOW(2),
		IF_EQ(LAUNCH_MESSAGE, 0, 1),
		RET(SECCOMP_RET_ALLOW),
		LOAD(nr),
		IF_EQ(SYS_rt_sigreturn, 0, 1),
		RET(SECCOMP_RET_TRACE),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, CALLS_END, 0, 1),
		RET(ERRNO(ENOSYS)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 31),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		LOAD(nr),
	};
	unsigned at = nr;
	bool stub = true;

	_Static_assert(sizeof head / sizeof *head == 13, "BUFFERS_INSTRUCTIONS");
	for (unsigned i = 0; i < nr; i++) {
		if (filter[i].code != (BPF_RET | BPF_K) || filter[i].k != SECCOMP_RET_ALLOW)
			continue;
		if (!stub)
			filter[i] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, nr - i - 1);
		stub = false;
	}
	if (ready_start)
		at = ready_append(filter, at, ready_start);
	memcpy(&filter[at], head, sizeof head);
	at += sizeof head / sizeof *head;
	for (unsigned word = 0; word < BUFFERS_WORDS; word++) {
		const struct sock_filter test[] = {
			BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 32 * (word + 1),
				 word + 1 < BUFFERS_WORDS ? 5 : 0, 0),
			BPF_STMT(BPF_LD | BPF_IMM, buffers_word(word)),
			BPF_STMT(BPF_ALU | BPF_RSH | BPF_X, 0),
			BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1),
			RET(NOTIFY),
			RET(SECCOMP_RET_ALLOW),
		};
		memcpy(&filter[at], test, sizeof test);
		at += sizeof test / sizeof *test;
	}
	return at;
}

static int try_set(const struct sock_fprog *program)
{
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			  program);

	return fd < 0 ? -errno : (int)fd;
}

/* Who has not CAP_SYS_ADMIN (root in a container may not) gives up setuid programs for it. */
int filter_set(const struct sock_fprog *program)
{
	int fd = try_set(program);

	if (fd == -EACCES && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fd = try_set(program);
	return fd;
}

unsigned filter_fit(struct sock_filter *filter, unsigned nr, struct filter_wants wants,
		    const struct sock_filter *tail, unsigned nr_tail)
{
	for (unsigned i = 0; i < nr; i++) {
		struct sock_filter *f = &filter[i];

		if (f->code != (BPF_JMP | BPF_JSET | BPF_K))
			continue;
		if (f->k == OPEN_OTHER && wants.see_folders)
			f->k &= ~(uint32_t)O_DIRECTORY;
		else if (f->k == CLONE_PTRACE && wants.buffers)
			f->k |= CLONE_UNTRACED; /* untraced it would have no memory */
		else if (f->k == O_DIRECT && !wants.swap)
			f->jt = 0;
	}
	if (!wants.swap)
		return nr;
	memcpy(&filter[nr - 1], tail, nr_tail * sizeof *tail);
	return nr - 1 + nr_tail;
}

/*
 * In the process that is to become the guest.  The listener's descriptor, or -errno.
 * `see_folders`: opens of folders come to us, too; who lists /sys/devices/system/node shall find
 * our nodes.
 * `swap`: so does what makes frames stay where they are.
 * `buffers`: so do calls with pointers, but for those into the ready range, if there is one.
 */
int filter_install(bool see_folders, bool swap, bool buffers, uint64_t ready_start)
{
	const unsigned nr = sizeof guest_filter / sizeof *guest_filter;
	const unsigned nr_tail = sizeof swap_filter / sizeof *swap_filter;
	struct sock_filter filter[sizeof guest_filter / sizeof *guest_filter +
				  sizeof swap_filter / sizeof *swap_filter +
				  READY_INSTRUCTIONS + BUFFERS_INSTRUCTIONS];
	struct sock_fprog program = { .filter = filter };

	memcpy(filter, guest_filter, sizeof guest_filter);
	program.len = (unsigned short)filter_fit(
		filter, nr, (struct filter_wants){ see_folders, swap, buffers }, swap_filter,
		nr_tail);
	if (buffers)
		program.len = (unsigned short)buffers_append(filter, program.len, ready_start);
	return filter_set(&program);
}

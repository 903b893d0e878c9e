/* SPDX-License-Identifier: MIT */
/*
 * The buffers of system calls, where the host's kernel cannot wait for a page (trap.h): whatever
 * the call may read or write is faulted in before it is made, by its description in calls.c.
 *
 * [BUF-1] While a thread is in a call, its buffers (task->pin) stay mapped.  What takes a mapping
 *         away, a fork of another thread's, an munmap, the need for memory, interrupts the call
 *         first (PTRACE_INTERRUPT): the kernel makes it again when the thread goes on, so it comes
 *         back to us and gets its buffers anew: interrupt.c.  A buffer that is bad by then is the
 *         program's own doing, and EFAULT as on Linux.
 * [BUF-2] Nothing that a call has to hold on to is given to the kernel by halves: what is written
 *         at a thread's end (clear_child_tid, robust futexes) is remembered, and faulted in at
 *         exit and exit_group, and what would take it away waits for the end.  A thread that is
 *         killed does not come by: its robust futexes in shared memory are released only if
 *         their pages happen to be mapped.
 *
 * [BUF-3] Who waits on a futex that is not PRIVATE is found by where the word lies: for the host
 *         that is a place in the memory file, a frame, even if the program's memory is private and
 *         Linux would look for its address (pthread_join waits so).  So the word's page is its
 *         mm's alone when the wait begins, and a wait whose page is taken away is made again.
 *
 * [BUF-4] Who reaches into another process's memory (process_vm_readv) must not meet it between two
 *         steps of a change, nor while it is being copied: such a call waits for a fork to be over,
 *         and is itself waited for, as if the other's pages were its buffers.
 *
 * [BUF-2] to [BUF-4] hold under every trap.
 *
 * Which of them is meant by ioctl, fcntl and prctl is looked up; what only a driver knows is
 * taken for a page.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <sys/uio.h>
#include <unistd.h>

#include "calls.h"
#include "internal.h"

#define PATH_ROOM 4096u
#define ARGUMENT_ROOM (128u << 10) /* of one string of exec: MAX_ARG_STRLEN */
#define IOV_MOST 1024u
#define ROBUST_MOST 2048u /* ROBUST_LIST_LIMIT */
#define FRAME_SPARE 1024u /* of a signal frame, beside the processor's state */
#define RED_ZONE 128u
#define FILE_LOOK (256u << 10) /* a larger buffer is not filled from a smaller file */
#define TRANSFER_MOST 0x7ffff000u /* in one call: read(2) */
#define STREAM_MOST (8u << 20) /* more does not come out of a pipe or a socket at once */

struct call {
	struct monitor *mon;
	struct task *task;
	const __u64 *arg;
	int error; /* -ENOMEM: there is no frame for it */
};

static bool user_read(const struct call *c, uint64_t at, void *dst, size_t size)
{
	return !ondol_copy_from_user(c->task->mm->mm, dst, at, size);
}

/* What so many of the program's take in its memory. */
static uint64_t iovecs_bytes(const struct monitor *mon, uint64_t nr)
{
	return nr * (mon->i386 ? 2 * sizeof(uint32_t) : sizeof(struct iovec));
}

int iovecs_read(const struct monitor *mon, const struct task *task, uint64_t at, uint64_t nr,
		struct iovec *out)
{
	if (!mon->i386)
		return ondol_copy_from_user(task->mm->mm, out, at, nr * sizeof *out);
	for (uint64_t i = 0; i < nr; i++) { /* in words of 32 bits, the length with a sign */
		uint32_t pair[2];
		int r = ondol_copy_from_user(task->mm->mm, pair, at + i * sizeof pair, sizeof pair);

		if (r)
			return r;
		out[i].iov_base = (void *)(uintptr_t)pair[0];
		out[i].iov_len = (size_t)(int32_t)pair[1];
	}
	return 0;
}

/* ------------------------------------------------------------------ one range */

static void pin(struct task *task, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < task->nr_pins; i++)
		if (start <= task->pin[i].end && end >= task->pin[i].start) {
			task->pin[i].start = start < task->pin[i].start ? start :
									 task->pin[i].start;
			task->pin[i].end = end > task->pin[i].end ? end : task->pin[i].end;
			return;
		}
	if (task->nr_pins == TASK_PINS) { /* more than we count: everything */
		task->pin[0].start = 0;
		task->pin[0].end = GUEST_MAX;
		task->nr_pins = 1;
		return;
	}
	task->pin[task->nr_pins].start = start;
	task->pin[task->nr_pins++].end = end;
}

/* As far as it can be had: the kernel finds out where it ends by itself. */
static void range_in(struct call *c, uint64_t addr, uint64_t size, bool write)
{
	uint64_t at = addr & ~(PAGE_BYTES - 1), end = addr + size;
	int r = 0;

	if (!size || end < addr || addr >= GUEST_MAX || c->error)
		return;
	end = end < GUEST_MAX ? end : GUEST_MAX;
	while (at < end && !(r = fault_for_kernel(c->mon, c->task->mm, &at, end, write)))
		;
	trace(c->mon, "buffer %#lx+%#lx %d: up to %#lx (%d)", addr, size, write, at, r);
	if (r == -ONDOL_ENOMEM)
		c->error = -ENOMEM;
	if (at > addr)
		pin(c->task, addr & ~(PAGE_BYTES - 1), at);
}

/* Read, and written at times or at the end: it may lie among constants. */
static void inout_in(struct call *c, uint64_t addr, uint64_t size)
{
	range_in(c, addr, size, false);
	range_in(c, addr, size, true);
}

/* The first bytes of a string are enough to see where it ends. */
static uint64_t string_in(struct call *c, uint64_t addr, uint64_t room)
{
	uint64_t at = addr, left = room;
	char text[256];

	while (left && !c->error) {
		uint64_t n = PAGE_BYTES - (at & (PAGE_BYTES - 1));

		n = n < sizeof text ? n : sizeof text;
		n = n < left ? n : left;
		if (at == addr || !(at & (PAGE_BYTES - 1)))
			range_in(c, at, 1, false);
		if (!user_read(c, at, text, n))
			break;
		if (memchr(text, 0, n))
			break;
		at += n;
		left -= n;
	}
	return at;
}

static void strings_in(struct call *c, uint64_t vector)
{
	uint64_t entry = 1;

	for (uint64_t at = vector; vector && entry && !c->error; at += sizeof entry) {
		range_in(c, at, sizeof entry, false);
		if (!user_read(c, at, &entry, sizeof entry))
			return;
		if (entry)
			string_in(c, entry, ARGUMENT_ROOM);
	}
}

static void iov_in(struct call *c, uint64_t vector, uint64_t nr, bool write)
{
	struct iovec iov[16];

	nr = nr < IOV_MOST ? nr : IOV_MOST;
	range_in(c, vector, iovecs_bytes(c->mon, nr), false);
	for (uint64_t done = 0, n; done < nr && !c->error; done += n) {
		n = nr - done < 16 ? nr - done : 16;
		if (iovecs_read(c->mon, c->task, vector + iovecs_bytes(c->mon, done), n, iov))
			return;
		for (uint64_t i = 0; i < n; i++)
			range_in(c, (uint64_t)iov[i].iov_base, iov[i].iov_len, write);
	}
}

static void message_in(struct call *c, uint64_t at, bool write)
{
	struct msghdr msg;

	range_in(c, at, sizeof msg, write);
	if (!user_read(c, at, &msg, sizeof msg))
		return;
	range_in(c, (uint64_t)msg.msg_name, msg.msg_namelen, write);
	range_in(c, (uint64_t)msg.msg_control, msg.msg_controllen, write);
	iov_in(c, (uint64_t)msg.msg_iov, msg.msg_iovlen, write);
}

static void messages_in(struct call *c, uint64_t at, uint64_t nr, bool write)
{
	nr = nr < IOV_MOST ? nr : IOV_MOST;
	range_in(c, at, nr * sizeof(struct mmsghdr), true);
	for (uint64_t i = 0; i < nr && !c->error; i++)
		message_in(c, at + i * sizeof(struct mmsghdr), write);
}

/* An address, or a number that looks like one, of which only the call knows more. */
static void maybe_in(struct call *c, uint64_t addr, uint64_t size)
{
	struct ondol_vma_info vma;

	if (addr < GUEST_MIN || addr >= GUEST_MAX || ondol_find_vma(c->task->mm->mm, addr, &vma) ||
	    vma.start > addr)
		return;
	if (size > vma.end - addr)
		size = vma.end - addr;
	range_in(c, addr, size, (vma.vm_flags & ONDOL_VM_WRITE) != 0);
}

/* ------------------------------------------------------------------ by description */

/* Where the file is read from next. */
static uint64_t file_position(const struct call *c, long nr)
{
	unsigned long long at = 0;
	char path[64];

	if (nr == SYS_pread64)
		return c->arg[3];
	snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", c->task->tid, (int)c->arg[0]);
	FILE *f = fopen(path, "re");

	if (f && fscanf(f, "pos: %llu", &at) != 1)
		at = 0;
	if (f)
		fclose(f);
	return at;
}

/*
 * Programs read into buffers that are larger than what there is to read.  Faulting in all of
 * such a buffer would give it frames that nothing is ever put into, or make a stack grow.
 */
static uint64_t file_bound(const struct call *c, long nr, uint64_t size)
{
	uint64_t position, left;
	char path[64];
	struct stat st;

	if (size <= FILE_LOOK && rights_at(c->task->mm, c->arg[1]))
		return size;
	snprintf(path, sizeof path, "/proc/%d/fd/%d", c->task->tid, (int)c->arg[0]);
	if (stat(path, &st))
		return size;
	/* Should there be more after all, it is a shorter read. */
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		return size < STREAM_MOST ? size : STREAM_MOST;
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return size; /* files of /proc have no size */
	position = file_position(c, nr);
	left = (uint64_t)st.st_size > position ? (uint64_t)st.st_size - position : 0;
	/* It may grow meanwhile. */
	if (rights_at(c->task->mm, c->arg[1]) && left < FILE_LOOK)
		left = FILE_LOOK;
	return size < left ? size : left;
}

static uint64_t length_of(const struct call *c, long nr, const struct arg_shape *shape)
{
	uint64_t n = shape->of == OF_TWO ? 2 : c->arg[shape->of & ~OF_PLUS_LONG];
	uint64_t size;

	if (nr == SYS_poll || nr == SYS_ppoll || shape->unit > 1)
		n = (uint32_t)n; /* numbers of things are ints */
	if (__builtin_mul_overflow(n, (uint64_t)shape->unit, &size))
		return 0;
	if (shape->of & OF_PLUS_LONG)
		size += sizeof(long);
	if ((int64_t)size < 0)
		return 0; /* EINVAL */
	size = size < TRANSFER_MOST ? size : TRANSFER_MOST;
	if (nr == SYS_recvfrom && !(c->arg[3] & MSG_WAITALL) && size > STREAM_MOST)
		return STREAM_MOST;
	return nr == SYS_read || nr == SYS_pread64 ? file_bound(c, nr, size) : size;
}

static void pointers_in(struct call *c, uint64_t at, uint64_t nr, uint64_t unit)
{
	uint64_t pointer;

	nr = nr < IOV_MOST ? nr : IOV_MOST;
	range_in(c, at, nr * sizeof pointer, false);
	for (uint64_t i = 0; i < nr && !c->error; i++)
		if (user_read(c, at + i * sizeof pointer, &pointer, sizeof pointer))
			range_in(c, pointer, unit, false);
}

static void futexes_in(struct call *c, uint64_t at, uint64_t nr)
{
	struct { uint64_t val, uaddr; uint32_t flags, reserved; } waiter;

	nr = nr < 128 ? nr : 128; /* FUTEX_WAITV_MAX */
	range_in(c, at, nr * sizeof waiter, false);
	for (uint64_t i = 0; i < nr && !c->error; i++)
		if (user_read(c, at + i * sizeof waiter, &waiter, sizeof waiter))
			range_in(c, waiter.uaddr, sizeof(uint32_t), true);
}

/* A length that is in memory itself. */
static void out_len_in(struct call *c, uint64_t at, uint64_t length_at)
{
	uint32_t length;

	if (length_at && user_read(c, length_at, &length, sizeof length))
		range_in(c, at, length, true);
}

static void sigmask_in(struct call *c, uint64_t at)
{
	uint64_t pair[2];

	range_in(c, at, sizeof pair, false);
	if (at && user_read(c, at, pair, sizeof pair))
		range_in(c, pair[0], 8, false);
}

static void argument_in(struct call *c, long nr, const struct arg_shape *shape, uint64_t at)
{
	const __u64 *arg = c->arg;

	switch (shape->kind) {
	case ARG_STRING:
		string_in(c, at, PATH_ROOM);
		break;
	case ARG_IN:
		range_in(c, at, shape->unit, false);
		break;
	case ARG_OUT:
		range_in(c, at, shape->unit, true);
		break;
	case ARG_INOUT:
		inout_in(c, at, shape->unit);
		break;
	case ARG_IN_N:
	case ARG_OUT_N:
	case ARG_INOUT_N:
		range_in(c, at, length_of(c, nr, shape), shape->kind != ARG_IN_N);
		break;
	case ARG_BITS:
		range_in(c, at, ((uint32_t)arg[shape->of] + 63ul) / 64 * 8, true);
		break;
	case ARG_OUT_LEN:
		out_len_in(c, at, arg[shape->of]);
		break;
	case ARG_IOV_IN:
	case ARG_IOV_OUT:
		iov_in(c, at, arg[shape->of], shape->kind == ARG_IOV_OUT);
		break;
	case ARG_MSG_IN:
	case ARG_MSG_OUT:
		message_in(c, at, shape->kind == ARG_MSG_OUT);
		break;
	case ARG_MMSG_IN:
	case ARG_MMSG_OUT:
		messages_in(c, at, (uint32_t)arg[shape->of], shape->kind == ARG_MMSG_OUT);
		break;
	case ARG_STRINGS:
		strings_in(c, at);
		break;
	case ARG_SIGMASK:
		sigmask_in(c, at);
		break;
	case ARG_POINTERS:
		pointers_in(c, at, arg[shape->of], shape->unit);
		break;
	case ARG_FUTEXES:
		futexes_in(c, at, shape->of == OF_TWO ? 2 : (uint32_t)arg[shape->of]);
		break;
	case ARG_HANDLE:
		range_in(c, at, 8 + 128, true); /* MAX_HANDLE_SZ */
		break;
	case ARG_MAYBE:
		maybe_in(c, at, shape->unit);
		break;
	}
}

/* ------------------------------------------------------------------ calls of their own kind */

static void ioctl_in(struct call *c)
{
	unsigned long request = c->arg[1];
	uint64_t size = _IOC_SIZE(request);

	/* Before there was a rule for their numbers: terminals, sockets. */
	if (_IOC_DIR(request) == _IOC_NONE || !size)
		maybe_in(c, c->arg[2], request >> 8 == 0x89 || request >> 8 == 0x54 ? 256 :
										       PAGE_BYTES);
	else
		maybe_in(c, c->arg[2], size);
	if (request == 0x8912 /* SIOCGIFCONF */) {
		struct { int length; uint64_t at; } conf;

		if (user_read(c, c->arg[2], &conf, sizeof conf) && conf.length > 0)
			range_in(c, conf.at, (uint64_t)conf.length, true);
	}
}

static void fcntl_in(struct call *c)
{
	switch (c->arg[1]) {
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		inout_in(c, c->arg[2], sizeof(struct flock));
		break;
	case F_GETOWN_EX:
	case F_SETOWN_EX:
	case F_GET_RW_HINT:
	case F_SET_RW_HINT:
	case F_GET_FILE_RW_HINT:
	case F_SET_FILE_RW_HINT:
		range_in(c, c->arg[2], 8, true);
		break;
	case 17: /* F_GETOWNER_UIDS */
		range_in(c, c->arg[2], 8, true);
		break;
	}
}

/* A struct sock_fprog: its instructions, too. */
static void program_in(struct call *c, uint64_t at)
{
	struct { uint16_t length; uint64_t filter; } program;

	range_in(c, at, sizeof program, false);
	if (at && user_read(c, at, &program, sizeof program))
		range_in(c, program.filter, program.length * 8ul, false);
}

static void prctl_in(struct call *c)
{
	switch (c->arg[0]) {
	case PR_SET_SECCOMP:
		program_in(c, c->arg[2]);
		break;
	case PR_SET_NAME:
	case PR_GET_NAME:
		range_in(c, c->arg[1], 16, c->arg[0] == PR_GET_NAME);
		break;
	case PR_SET_PDEATHSIG:
	case PR_SET_DUMPABLE:
	case PR_SET_KEEPCAPS:
	case PR_SET_NO_NEW_PRIVS:
		break;
	default:
		for (int i = 1; i < 5; i++)
			maybe_in(c, c->arg[i], i == 1 ? 256 : 8);
	}
}

static void futex_in(struct call *c)
{
	unsigned op = (unsigned)c->arg[1] & FUTEX_CMD_MASK;

	if (op == FUTEX_WAIT || op == FUTEX_WAIT_BITSET || op == FUTEX_LOCK_PI ||
	    op == FUTEX_LOCK_PI2 || op == FUTEX_WAIT_REQUEUE_PI)
		range_in(c, c->arg[3], 16, false);
	if (op == FUTEX_REQUEUE || op == FUTEX_CMP_REQUEUE || op == FUTEX_WAKE_OP ||
	    op == FUTEX_WAIT_REQUEUE_PI || op == FUTEX_CMP_REQUEUE_PI)
		range_in(c, c->arg[4], 4, true);
}

static void clone_in(struct call *c)
{
	uint64_t flags = c->arg[0];

	if (flags & (CLONE_PARENT_SETTID | CLONE_PIDFD))
		range_in(c, c->arg[2], 4, true);
	if (flags & CLONE_CHILD_SETTID)
		range_in(c, c->arg[3], 4, true);
	/* The child's, until it is born. */
	c->task->child_clear_tid = flags & CLONE_CHILD_CLEARTID ? c->arg[3] : 0;
	if (flags & CLONE_VFORK)
		c->task->nr_pins = 0;
}

/* [BUF-4] The memory of another process, where it is one of ours. */
static void remote_in(struct call *c, bool write)
{
	struct task *target = task_find(c->mon, (pid_t)c->arg[0]);
	uint64_t nr = c->arg[4] < IOV_MOST ? c->arg[4] : IOV_MOST;
	struct iovec iov;

	if (!target || !target->mm)
		return;
	c->task->remote = target->mm;
	target->mm->has_pins = true;
	for (uint64_t i = 0; i < nr; i++) {
		if (iovecs_read(c->mon, c->task, c->arg[3] + iovecs_bytes(c->mon, i), 1, &iov))
			return;
		uint64_t at = (uint64_t)iov.iov_base & ~(PAGE_BYTES - 1);
		uint64_t end = (uint64_t)iov.iov_base + iov.iov_len;

		while (at < end && end <= GUEST_MAX &&
		       !fault_for_kernel(c->mon, target->mm, &at, end, write))
			;
		worker_wait(c->mon, target->mm);
	}
}

/* A pointer or a long of the program's. */
static bool word_in(struct call *c, uint64_t at, uint64_t *out)
{
	size_t size = c->mon->i386 ? 4 : 8;

	*out = 0;
	range_in(c, at, size, false);
	return user_read(c, at, out, size);
}

/* Its own list of robust futexes: the head, then an entry each, and the word beside it. */
static void robust_in(struct call *c, uint64_t head_at)
{
	const uint64_t word = c->mon->i386 ? 4 : 8, all = c->mon->i386 ? UINT32_MAX : UINT64_MAX;
	uint64_t entry, offset, pending;

	if (!head_at || !word_in(c, head_at, &entry) || !word_in(c, head_at + word, &offset) ||
	    !word_in(c, head_at + 2 * word, &pending))
		return;
	if (pending)
		range_in(c, ((pending & ~1ul) + offset) & all, 4, true);
	entry &= ~1ul;
	for (unsigned n = 0; n < ROBUST_MOST && entry && entry != head_at; n++) {
		range_in(c, (entry + offset) & all, 4, true);
		if (!word_in(c, entry, &entry))
			return;
		entry &= ~1ul;
	}
}

/* Of the thread, as the host's kernel knows it: it may not have told us. */
static uint64_t robust_list_of(const struct monitor *mon, const struct task *task)
{
	void *head = NULL;
	size_t size;

	if (mon->i386) /* the host keeps those apart */
		return task->robust_list32;
	return syscall(SYS_get_robust_list, task->tid, &head, &size) ? 0 : (uint64_t)head;
}

/* [BUF-2] */
static void exit_in(struct call *c, bool whole_group)
{
	struct task *self = c->task;

	for_each_task(c->mon, t)
		if (t == self || (whole_group && t->tgid == self->tgid)) {
			range_in(c, t->clear_tid, 4, true);
			robust_in(c, robust_list_of(c->mon, t));
		}
}

static void altstack_note(struct call *c)
{
	stack_t stack;

	if (!c->arg[0] || !user_read(c, c->arg[0], &stack, sizeof stack))
		return;
	c->task->altstack = stack.ss_flags & SS_DISABLE ? 0 : (uint64_t)stack.ss_sp;
	c->task->altstack_size = stack.ss_size;
}

static void special_in(struct call *c, long nr, unsigned special)
{
	switch (special) {
	case CALL_ALTSTACK:
		altstack_note(c);
		break;
	case CALL_TID_ADDRESS:
		c->task->clear_tid = c->arg[0];
		break;
	case CALL_CLONE:
		clone_in(c);
		break;
	case CALL_EXIT:
		exit_in(c, nr == SYS_exit_group);
		break;
	case CALL_SIGACTION:
		if (c->arg[1])
			sigtrap_action_note(c->mon, c->task, (int)c->arg[0], c->arg[1]);
		break;
	case CALL_SIGMASK:
		sigtrap_mask_note(c->task, (int)c->arg[0], c->arg[1]);
		break;
	case CALL_FUTEX:
		futex_in(c);
		break;
	case CALL_IOCTL:
		ioctl_in(c);
		break;
	case CALL_FCNTL:
		fcntl_in(c);
		break;
	case CALL_PRCTL:
		prctl_in(c);
		break;
	case CALL_REMOTE:
		remote_in(c, nr == SYS_process_vm_writev);
		break;
	case CALL_SECCOMP:
		if (c->arg[0] == 1) /* SECCOMP_SET_MODE_FILTER */
			program_in(c, c->arg[2]);
		break;
	case CALL_SOCKOPT:
		if (c->arg[1] == SOL_SOCKET && (c->arg[2] == SO_ATTACH_FILTER ||
						c->arg[2] == SO_ATTACH_REUSEPORT_CBPF))
			program_in(c, c->arg[3]);
		break;
	}
}

/* [BUF-2] to [BUF-4] */
static bool is_for_every_trap(const struct seccomp_data *data)
{
	return data->nr == SYS_exit || data->nr == SYS_set_tid_address ||
	       data->nr == SYS_restart_syscall || data->nr == SYS_futex_waitv_ ||
	       data->nr == SYS_futex_wait_ || data->nr == SYS_process_vm_readv ||
	       data->nr == SYS_process_vm_writev ||
	       (data->nr == SYS_futex && !(data->args[1] & FUTEX_PRIVATE_FLAG));
}

int buffers_in(struct monitor *mon, struct task *task, const struct seccomp_data *data)
{
	struct call c = { .mon = mon, .task = task };
	uint64_t taken;

	if (!task->mm || data->nr < 0 || data->nr >= CALLS_END)
		return 0;
	if (mon->trap->kernel_too && !is_for_every_trap(data))
		return 0;
	if (data->nr == SYS_restart_syscall)
		data = &task->last_call;
	else
		call_begins(mon, task, data);
	c.arg = data->args;
	const struct call_shape *shape = &call_shapes[data->nr];
	const struct task *outer = mon->preparing;

	mon->preparing = task; /* its call has not begun */
	/* If one had to be taken away for another of them: once more. */
	for (int tries = 0; tries < 4 && !c.error; tries++) {
		taken = mon->stats.flushes + mon->stats.evictions;
		for (int i = 0; i < 6; i++)
			if (shape->arg[i].kind != ARG_PLAIN && data->args[i])
				argument_in(&c, data->nr, &shape->arg[i], data->args[i]);
		special_in(&c, data->nr, shape->special);
		if (mon->stats.flushes + mon->stats.evictions == taken)
			break;
	}
	worker_wait(mon, task->mm);
	mon->preparing = outer;
	task->ends = shape->special == CALL_EXIT;
	task->mm->has_pins |= task->nr_pins > 0;
	if (shape->special == CALL_VFORK || c.error) /* it is not to be held up any more */
		task->nr_pins = 0;
	return c.error;
}

bool buffers_slow(long nr)
{
	return nr < 0 || nr >= CALLS_END || call_shapes[nr].slow;
}

/* ------------------------------------------------------------------ signal frames */

static uint64_t frame_bytes(void)
{
	return getauxval(AT_MINSIGSTKSZ) + FRAME_SPARE;
}

/* Below the stack pointer, as far down as its region goes: there may be a guard page. */
static void frame_in(struct call *c, uint64_t sp, uint64_t size)
{
	uint64_t from = sp - size;
	struct ondol_vma_info vma;

	if (!ondol_find_vma(c->task->mm->mm, sp - RED_ZONE, &vma) && vma.start > from &&
	    !(vma.vm_flags & ONDOL_VM_GROWSDOWN))
		from = vma.start;
	range_in(c, from, sp - from, true);
}

/* The kernel is about to write a frame for the handler, below the stack pointer or elsewhere. */
void buffers_signal(struct monitor *mon, struct task *task)
{
	struct call c = { .mon = mon, .task = task };
	struct user_regs_struct regs;
	uint64_t size = frame_bytes(), alt = task->altstack, top = alt + task->altstack_size;

	if (mon->trap->kernel_too || !task->mm || get_regs(task->tid, &regs))
		return;
	frame_in(&c, regs.rsp, size + RED_ZONE);
	if (alt && !(regs.rsp > alt && regs.rsp <= top)) {
		uint64_t from = task->altstack_size > size ? top - size : alt;

		range_in(&c, from, top - from, true);
	}
	worker_wait(mon, task->mm);
}

/* It is about to read one. */
void buffers_sigreturn(struct monitor *mon, struct task *task, uint64_t sp)
{
	struct call c = { .mon = mon, .task = task };

	if (!task->mm)
		return;
	range_in(&c, sp - 8, frame_bytes(), false);
	worker_wait(mon, task->mm);
	sigtrap_return_note(task, sp + offsetof(ucontext_t, uc_sigmask));
}

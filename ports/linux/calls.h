/* SPDX-License-Identifier: MIT */
/* What the pointer arguments of each system call of x86-64 point to: calls.c. */
#ifndef ONDOL_LINUX_CALLS_H
#define ONDOL_LINUX_CALLS_H

#include <stdbool.h>
#include <stdint.h>

enum arg_kind {
	ARG_PLAIN,     /* no pointer */
	ARG_STRING,    /* the kernel reads up to a NUL */
	ARG_IN,        /* it reads `unit` bytes */
	ARG_OUT,       /* it writes them */
	ARG_INOUT,     /* both */
	ARG_IN_N,      /* it reads as many units as argument `of` says */
	ARG_OUT_N,     /* it writes as many at most */
	ARG_INOUT_N,
	ARG_BITS,      /* both: as many bits as argument `of` says, in words */
	ARG_OUT_LEN,   /* it writes as many bytes as the int at argument `of` says, and that int */
	ARG_IOV_IN,    /* iovecs, as many as argument `of` says, whose buffers it reads */
	ARG_IOV_OUT,   /* ... writes */
	ARG_MSG_IN,    /* a msghdr whose buffers it reads */
	ARG_MSG_OUT,   /* ... writes */
	ARG_MMSG_IN,   /* mmsghdrs, as many as argument `of` says */
	ARG_MMSG_OUT,
	ARG_STRINGS,   /* a vector of strings, up to a NULL */
	ARG_SIGMASK,   /* pselect6's pair of a mask and its size */
	ARG_POINTERS,  /* as many pointers as argument `of` says, each to `unit` bytes read */
	ARG_FUTEXES,   /* as many struct futex_waitv as argument `of` says, with their words */
	ARG_HANDLE,    /* a struct file_handle */
	ARG_MAYBE,     /* depends on the call: up to `unit` bytes, if it is an address at all */
	ARG_OURS,      /* the monitor itself reads or writes it: mmcall.c and others */
	ARG_IGNORED,   /* the kernel does not look at it, or only notes it: see `special` */
};

enum call_special {
	CALL_PLAIN,
	CALL_ALTSTACK,    /* sigaltstack: where signal frames go */
	CALL_TID_ADDRESS, /* set_tid_address: a word written at the thread's end */
	CALL_CLONE,       /* words of the parent and of the child */
	CALL_EXIT,        /* exit, exit_group: the two above are due */
	CALL_SIGACTION,
	CALL_SIGMASK,     /* rt_sigprocmask */
	CALL_FUTEX,       /* the fourth argument is a time or a number */
	CALL_IOCTL, CALL_FCNTL, CALL_PRCTL,
	CALL_REMOTE,      /* process_vm_readv, process_vm_writev: another's memory, too */
	CALL_SECCOMP, CALL_SOCKOPT, /* programs of a filter */
	CALL_RESTART,     /* restart_syscall: the call before, once more */
	CALL_VFORK,       /* it waits for another process: never to be interrupted */
};

#define OF_TWO 7          /* not argument 7: two of them */
#define OF_PLUS_LONG 0x80 /* with argument `of`: and a long before them */

struct arg_shape {
	uint8_t kind, of;
	uint16_t unit;
};

struct call_shape {
	struct arg_shape arg[6];
	uint8_t special;
	bool slow; /* a signal may end it with EINTR, once it has begun */
};

#define CALLS_END 463 /* numbers from here on are not known, and not made */

extern const struct call_shape call_shapes[CALLS_END];

/* Calls that do not block, and that programs make often with pointers into the stack: ready.c. */
#define CALLS_QUICK 14
#define CALLS_QUICK_POINTERS 2 /* each has at most */
extern const uint16_t calls_quick[CALLS_QUICK];

/* Whether the call has an argument that buffers.c must look after. */
bool call_has_buffers(unsigned nr);

#endif /* ONDOL_LINUX_CALLS_H */

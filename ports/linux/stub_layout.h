/* SPDX-License-Identifier: MIT */
/* Addresses and offsets that the in-guest assembly and the monitor share. */
#ifndef ONDOL_LINUX_STUB_LAYOUT_H
#define ONDOL_LINUX_STUB_LAYOUT_H

/*
 * Three pages of every guest address space are the port's own: the stub's code (one frame
 * for all guests, read and execute), the mailbox (a frame for each mm, read and write).
 * The upper half of the address alone tells the system-call filter "this is the stub".  Above
 * where Linux puts a program (PIE), in the part that ThreadSanitizer and MemorySanitizer leave
 * to programs: they refuse to start if they find a mapping elsewhere.
 */
#define STUB_ADDR 0x567f00000000
#define STUB_ADDR_HIGH 0x567f
#define STUB_MAILBOX 0x567f00001000
#define STUB_END 0x567f00002000

/*
 * Under --profile i386 in the upper gigabyte, which no program has there; far below the host's
 * own vdso and stack.
 */
#define STUB32_ADDR 0xc1000000
#define STUB32_MAILBOX 0xc1001000

/* System-call numbers that Linux does not have: calls from the stub to the monitor. */
#define STUB_CALL_HELLO 496 /* a new worker: wants its descriptors; arg 1: whose */
#define STUB_CALL_BOOT 497  /* a program after exec: wants the RAM file */

/* Instead of a descriptor of /dev/userfaultfd, for a new worker (r14) */
#define STUB_UFFD_NONE 0x10000 /* it needs no userfaultfd */
#define STUB_UFFD_USER 0x20000 /* userfaultfd(2), for user mode alone */

/* struct mailbox */
#define MB_HEAD 0
#define MB_TAIL 4
#define MB_WORKER_SLEEPS 8
#define MB_MONITOR_SLEEPS 12
#define MB_READY 16
#define MB_UFFD 20
#define MB_MONITOR_WANTS 24
#define MB_SLOTS 64
#define MB_SLOT_SIZE 112
#define MB_NR_SLOTS 32 /* a power of two */
#define MB_NR_SLOTS_MASK 31

/* struct mailbox_op */
#define OP_NR 0
#define OP_ARG 8
#define OP_RET 56
#define OP_FLAGS 64
#define OP_PAYLOAD 72
#define OP_EARLY 1 /* count it as done before it is carried out */
#define OP_MUST 2  /* the monitor's: if it fails, the program cannot go on */

#endif /* ONDOL_LINUX_STUB_LAYOUT_H */

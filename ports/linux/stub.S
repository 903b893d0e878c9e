/* SPDX-License-Identifier: MIT */
/*
 * The code that runs inside guest address spaces.  It is copied into one frame that every
 * guest maps at ADDR (and, for the moment after exec, to the first page at hand), so
 * it is position independent, has no data of its own and never touches a stack.
 *
 *   NAME(begin)   system call and breakpoint: for single calls by the monitor
 *   NAME(boot)    after exec: map the stub page, then go on as mkworker
 *   NAME(worker_create)  make the worker of this mm, then hit the breakpoint
 *   worker loop        carries out the operations that the monitor puts into the mailbox
 *
 * Registers at entry of boot and worker_create, set by the monitor:
 *   r12 mailbox's offset in its RAM file    r13 number the RAM file will have in the worker, in
 *   its low 8 bits; above them the number of the mm
 *   r14 number the userfaultfd device will have in the worker, or STUB_UFFD_*
 *   r15 stub page's offset
 */
#include "stub_layout.h"

#ifdef STUB_I386 /* stub_i386.S */
#define NAME(x) ondol_stub32_##x
#define ADDR STUB32_ADDR
#define MAILBOX STUB32_MAILBOX
#else
#define NAME(x) ondol_stub_##x
#define ADDR STUB_ADDR
#define MAILBOX STUB_MAILBOX
#endif

#define SYS_mmap 9
#define SYS_close 3
#define SYS_ioctl 16
#define SYS_sched_yield 24
#define SYS_getpid 39
#define SYS_clone 56
#define SYS_exit 60
#define SYS_wait4 61
#define SYS_getppid 110
#define SYS_setsid 112
#define SYS_prctl 157
#define SYS_futex 202
#define SYS_userfaultfd 323
#define SYS_close_range 436

#define CLONE_FLAGS 0x00800100 /* CLONE_UNTRACED | CLONE_VM, no exit signal */
#define WALL 0x40000000
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define USERFAULTFD_IOC_NEW 0xaa00
#define UFFD_FLAGS 0x80800 /* O_CLOEXEC | O_NONBLOCK */
#define UFFD_USER_MODE_ONLY 1

	.section .rodata.ondol_stub, "a"
	.balign 64
	.globl NAME(begin)
	.globl NAME(boot)
	.globl NAME(worker_create)
	.globl NAME(end)

NAME(begin):
	syscall
	int3

NAME(boot):
	mov	$STUB_CALL_BOOT, %eax
	syscall				/* the monitor answers with a descriptor */
	test	%rax, %rax
	js	.Lfail
	mov	%rax, %rbx
	movabs	$ADDR, %rdi
	mov	$0x1000, %esi
	mov	$5, %edx		/* PROT_READ | PROT_EXEC */
	mov	$0x11, %r10d		/* MAP_SHARED | MAP_FIXED */
	mov	%rbx, %r8
	mov	%r15, %r9
	mov	$SYS_mmap, %eax
	syscall
	mov	%rax, %rbp
	mov	%rbx, %rdi
	mov	$SYS_close, %eax
	syscall
	movabs	$ADDR, %rax
	cmp	%rax, %rbp
	jne	.Lfail
	movabs	$(ADDR + (NAME(worker_create) - NAME(begin))), %rax
	jmp	*%rax

/*
 * A child of a child, so that it is reparented to the monitor (a subreaper) and the program
 * never sees it in wait().  All signals are blocked here: the monitor has seen to that.
 */
NAME(worker_create):
	mov	$SYS_clone, %eax
	mov	$CLONE_FLAGS, %edi
	xor	%esi, %esi
	xor	%edx, %edx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	syscall
	test	%rax, %rax
	jz	.Lmiddle
	js	.Lfail
	mov	%eax, %edi
	xor	%esi, %esi
	mov	$WALL, %edx
	xor	%r10d, %r10d
	mov	$SYS_wait4, %eax
	syscall
.Lfail:	int3				/* rax < 0: what failed */

.Lmiddle:
	mov	$SYS_getpid, %eax
	syscall
	mov	%eax, %ebx
	mov	$SYS_clone, %eax
	mov	$CLONE_FLAGS, %edi
	xor	%esi, %esi
	xor	%edx, %edx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	syscall
	test	%rax, %rax
	jz	.Lworker
	xor	%edi, %edi
	mov	$SYS_exit, %eax
	syscall
	hlt

.Lworker:
	xor	%edi, %edi		/* its own, empty descriptor table */
	mov	$-1, %esi
	xor	%edx, %edx
	mov	$SYS_close_range, %eax
	syscall
	mov	$SYS_setsid, %eax	/* out of reach of kill(-pgrp) */
	syscall
	mov	%r12, %rdi
	mov	%r13, %rsi
	mov	$STUB_CALL_HELLO, %eax
	syscall				/* the monitor fills the table */
	test	%rax, %rax
	jnz	.Lworker_exit
	movabs	$MAILBOX, %rdi
	mov	$0x1000, %esi
	mov	$3, %edx		/* PROT_READ | PROT_WRITE */
	mov	$0x11, %r10d		/* MAP_SHARED | MAP_FIXED */
	movzbl	%r13b, %r8d
	mov	%r12, %r9
	mov	$SYS_mmap, %eax
	syscall
	movabs	$MAILBOX, %r12
	cmp	%rax, %r12
	jne	.Lworker_exit
	cmp	$STUB_UFFD_NONE, %r14d
	je	.Lset_up
	cmp	$STUB_UFFD_USER, %r14d
	je	.Luser_only
	mov	%r14, %rdi
	mov	$USERFAULTFD_IOC_NEW, %esi
	mov	$UFFD_FLAGS, %edx
	mov	$SYS_ioctl, %eax
	syscall
	mov	%eax, MB_UFFD(%r12)
	mov	%r14, %rdi
	mov	$SYS_close, %eax
	syscall
	jmp	.Lset_up
.Luser_only:
	mov	$(UFFD_FLAGS | UFFD_USER_MODE_ONLY), %edi
	mov	$SYS_userfaultfd, %eax
	syscall
	mov	%eax, MB_UFFD(%r12)
.Lset_up:
	/*
	 * Not before the middle (ebx) is gone: its end would be the parent's death that the
	 * signal below is about.
	 */
.Lorphan:
	mov	$SYS_getppid, %eax
	syscall
	cmp	%ebx, %eax
	jne	.Ladopted
	mov	$SYS_sched_yield, %eax
	syscall
	jmp	.Lorphan
.Ladopted:
	mov	$1, %edi		/* PR_SET_PDEATHSIG */
	mov	$9, %esi		/* SIGKILL */
	mov	$SYS_prctl, %eax
	syscall
	movl	$1, MB_READY(%r12)
	lea	MB_READY(%r12), %rdi
	mov	$FUTEX_WAKE, %esi
	mov	$1, %edx
	mov	$SYS_futex, %eax
	syscall
	xor	%ebx, %ebx		/* ebx: operations taken */

.Lnext:
	mov	MB_HEAD(%r12), %eax
	cmp	%eax, %ebx
	jne	.Ltake
	movl	$1, MB_WORKER_SLEEPS(%r12)
	mfence				/* the monitor writes head, then reads this */
	cmp	MB_HEAD(%r12), %ebx
	jne	.Lawake
	lea	MB_HEAD(%r12), %rdi
	xor	%esi, %esi		/* FUTEX_WAIT */
	mov	%ebx, %edx
	xor	%r10d, %r10d
	mov	$SYS_futex, %eax
	syscall
.Lawake:
	movl	$0, MB_WORKER_SLEEPS(%r12)
	jmp	.Lnext

.Ltake:
	mov	%ebx, %ebp
	and	$MB_NR_SLOTS_MASK, %ebp
	imul	$MB_SLOT_SIZE, %rbp, %rbp
	lea	MB_SLOTS(%r12, %rbp), %rbp
	inc	%ebx
	mov	OP_FLAGS(%rbp), %r15
	mov	OP_NR(%rbp), %r14
	mov	(OP_ARG)(%rbp), %rdi
	mov	(OP_ARG + 8)(%rbp), %rsi
	mov	(OP_ARG + 16)(%rbp), %rdx
	mov	(OP_ARG + 24)(%rbp), %r10
	mov	(OP_ARG + 32)(%rbp), %r8
	mov	(OP_ARG + 40)(%rbp), %r9
	test	$OP_EARLY, %r15d
	jz	.Ldo
	mov	%ebx, MB_TAIL(%r12)
	mfence				/* tail is out before the program goes on */
	cmpl	$0, MB_MONITOR_SLEEPS(%r12)
	je	.Lquiet
	mov	%ebx, %eax
	sub	MB_MONITOR_WANTS(%r12), %eax
	js	.Lquiet			/* it waits for more than this one */
	mov	%rdi, %rbp		/* the slot is given away: only registers now */
	mov	%rsi, %r13
	mov	%rdx, %r15
	lea	MB_TAIL(%r12), %rdi
	mov	$FUTEX_WAKE, %esi
	mov	$1, %edx
	mov	$SYS_futex, %eax
	syscall
	mov	%rbp, %rdi
	mov	%r13, %rsi
	mov	%r15, %rdx
.Lquiet:
	mov	%r14, %rax
	syscall
	jmp	.Lnext
.Ldo:
	mov	%r14, %rax
	syscall
	mov	%rax, OP_RET(%rbp)
	mov	%ebx, MB_TAIL(%r12)
	mfence
	cmpl	$0, MB_MONITOR_SLEEPS(%r12)
	je	.Lnext
	mov	%ebx, %eax
	sub	MB_MONITOR_WANTS(%r12), %eax
	js	.Lnext
	lea	MB_TAIL(%r12), %rdi
	mov	$FUTEX_WAKE, %esi
	mov	$1, %edx
	mov	$SYS_futex, %eax
	syscall
	jmp	.Lnext

.Lworker_exit:
	mov	$1, %edi
	mov	$SYS_exit, %eax
	syscall
	hlt
NAME(end):
	.section .note.GNU-stack, "", @progbits

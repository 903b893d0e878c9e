/* SPDX-License-Identifier: MIT */
/*
 * How the host tells us of an access to memory that it has no mapping for: the trap.  Three ways,
 * of which a run has one (trap_choose):
 *
 *   uffd    uffd.c: userfaultfd from /dev/userfaultfd.  Accesses of the host's kernel for the
 *           program (a read() into a new buffer) are told as well.
 *   user    uffd.c: userfaultfd for accesses of user mode alone, which needs no privilege.
 *   ptrace  sigtrap.c: the placeholder has no rights, and the tracer sees the SIGSEGV first.
 *           Works wherever a debugger does.
 *
 * Where the kernel's accesses are not told, a system call's buffers are faulted in before it is
 * made: buffers.c.
 */
#ifndef ONDOL_LINUX_TRAP_H
#define ONDOL_LINUX_TRAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct monitor;
struct guest_mm;
struct task;

/* An access that could not be made. */
struct fault {
	uint64_t addr;   /* its byte, or page: as exact as the trap tells */
	uint32_t access; /* ONDOL_FAULT_*; WRITE if it may be either and writing is allowed */
	pid_t tid;       /* of the thread */
	bool held;       /* it was put aside already, since memory is short: pressure.c */
};

struct trap {
	const char *name; /* --trap's word */
	bool kernel_too;  /* accesses by the host's kernel trap as well */
	uint64_t stub_uffd; /* how a worker makes its userfaultfd: STUB_UFFD_*; 0: by the device */

	/* The worker is up: from now on we hear of faults.  0 or -errno. */
	int (*attach)(struct monitor *mon, struct guest_mm *g);
	void (*detach)(struct monitor *mon, struct guest_mm *g);
	/* After a fork [start, end) is the parent's placeholder still: make it the child's own. */
	void (*inherit)(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end);
	/*
	 * Post what makes [start, end) placeholder, whatever is there.  `running`: threads of the
	 * program may be touching it meanwhile, so in one step [PORT-5].
	 */
	void (*placeholder)(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end,
			    bool running);
	/* Whether it can be done in one step. */
	bool (*one_step)(const struct guest_mm *g);
	/* The program maps [start, end): what the trap has there of its own gives way. */
	void (*yield)(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end);
	/* Posted behind the mapping of [start, start + size): whoever waits for it goes on. */
	void (*mapped)(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t size);
	/* Whoever waits there tries again, now. */
	void (*wake)(struct guest_mm *g, uint64_t addr, uint64_t size);
	/* All that was posted for this fault is its thread's to wait for; then it tries again. */
	void (*served)(struct monitor *mon, struct guest_mm *g, const struct fault *fault);
	/* The access gets the signal that `error` (ONDOL_EFAULT, EACCES, else SIGBUS) deserves. */
	void (*refuse)(struct monitor *mon, struct guest_mm *g, const struct fault *fault,
		       int error);
	/* A signal that the thread is about to get.  True: it was the trap's, and is dealt with. */
	bool (*signal)(struct monitor *mon, struct task *task, int sig);
};

extern const struct trap trap_uffd, trap_user, trap_ptrace;

/* `name`: --trap's, or NULL or "auto": the fastest that works.  NULL: none; *out_why says why. */
const struct trap *trap_choose(const char *name, const char **out_why);
/* NULL: it works here; else a sentence that says why not, with what mends it. */
const char *trap_obstacle(const struct trap *trap);

#endif /* ONDOL_LINUX_TRAP_H */

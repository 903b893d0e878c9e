/* SPDX-License-Identifier: MIT */
/*
 * The hosted port from the inside.
 *
 *  guest process (a host process)                monitor (this process)
 *  +------------------------------+  uffd msg    +---------------------------------+
 *  | program, ld.so, heap, stacks | -----------> | fault.c -> ondol_handle_mm_fault |
 *  |   host mappings = the TLB    |  seccomp     | syscall.c -> ondol_mmap, ...     |
 *  | stub page, mailbox page      | -----------> | fork.c, exec.c                   |
 *  | worker (shares the mm)     <-+-- mailbox ---| mailbox.c                        |
 *  +------------------------------+              +---------------------------------+
 *          both map the RAM: one memory file a node, a frame is a 4 KiB slot of it
 *
 * Terms
 *   placeholder  the whole user address space of a guest is one private anonymous mapping
 *                registered with userfaultfd: touching it anywhere is a message to us.
 *   TLB fill     the worker maps frames over the placeholder; the host's mappings are a
 *                cache of our page tables and may be dropped at any time.
 *   hole         a page punched out of the placeholder so that the host raises the SIGSEGV
 *                that a bad access deserves.
 *
 * Invariants
 *   [PORT-1] A host mapping of a frame in a guest exists only where the core's PTE has its
 *            accessed bit set ([MMU-1]); everything else is placeholder, hole or native.
 *   [PORT-2] A frame is freed only after the worker has carried out the unmapping: every
 *            invalidate waits for the mailbox to drain.
 *   [PORT-3] A mailbox frame is given back only after its worker has been reaped.
 *   [PORT-4] While a fork of an mm is being prepared, only the forking thread is served;
 *            other faults and calls of that mm wait until the host has copied it, and so do
 *            signals where a frame for them would have to be mapped.
 *   [PORT-5] Where the program may be running meanwhile (another thread of it, or all of it when
 *            memory is taken for another program), a flush replaces a mapping by a registered
 *            placeholder in one step.
 *
 * One thread: everything below runs in the monitor's main loop.
 */
#ifndef ONDOL_LINUX_INTERNAL_H
#define ONDOL_LINUX_INTERNAL_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "linux_port.h"
#include "stub_layout.h"
#include "trap.h"

#define PAGE_BYTES 4096ul
#define BLOCK_PAGES 512u             /* what a page table of the host's maps */
#define GUEST_MIN 0x10000ul          /* the host's usual vm.mmap_min_addr */
#define GUEST_MAX 0x7ffffffff000ul   /* 47 bits less a page */

/*
 * Placeholder kept in stock, above the stack and below where Linux puts a vdso: nothing is
 * mapped there unless a program insists.
 */
#define SLICES_START 0x7ff800000000ul
#define SLICES_BYTES (1ul << 30)

/* Addresses of programs, and the port's own among or beyond them: layout.c. */
struct guest_space {
	uint64_t end;                /* of what a program can have */
	uint64_t stub, mailbox;      /* pages */
	uint64_t slices, slices_end; /* placeholder in stock */
	const char *code, *code_end; /* the stub page's contents; in it: */
	const char *boot, *worker_create;
};

struct mailbox_op {
	uint64_t nr, arg[6];
	int64_t ret;
	uint64_t flags; /* OP_EARLY */
	uint64_t payload[4]; /* what a pointer argument may point to */
	uint64_t unused;
};

struct mailbox { /* one frame, shared with the worker */
	uint32_t head; /* operations posted; the monitor writes */
	uint32_t tail; /* operations done; the worker writes */
	uint32_t worker_sleeps, monitor_sleeps;
	uint32_t ready;
	int32_t uffd; /* number in the worker's table */
	uint32_t monitor_wants; /* a sleeping monitor: so many done.  Less does not wake it. */
	uint32_t unused[9];
	struct mailbox_op slot[MB_NR_SLOTS];
};

/* What a mailbox leaves of its frame: room for what arguments of operations point to. */
#define MAILBOX_ROOM (PAGE_BYTES - sizeof(struct mailbox))

static inline void *mailbox_room(struct mailbox *mailbox)
{
	return mailbox + 1;
}

struct notif_node { /* a system call that waits */
	struct notif_node *next;
	struct seccomp_notif notif;
};

struct stop_node { /* a thread's stop or end that came while waiting for another */
	struct stop_node *next;
	pid_t tid;
	int status;
};

struct fault_node { /* a fault that waits */
	struct fault_node *next;
	struct fault fault;
};

struct kernel_sigaction { /* rt_sigaction's */
	uint64_t handler, flags, restorer, mask;
};

#define TASK_PINS 8

#define SYS_pidfd_open_ 434
#define SYS_openat2_ 437
#define SYS_pidfd_getfd_ 438
#define SYS_process_madvise_ 440
#define SYS_futex_waitv_ 449
#define SYS_futex_wait_ 455 /* since 6.7 */
#define SYS_futex_requeue_ 456
#define SYS_mseal_ 462 /* since 6.10 */

struct hole { /* a page where the host refuses an access, which it will tell by a signal */
	uint64_t addr;
	bool read_only; /* reads come as faults all the same */
	bool unsure;    /* a guard's, told once more: see hole_is_stale */
};

#define STREAMS 4

struct stream {
	uint64_t end;    /* of what its last fault mapped */
	uint32_t around; /* its window, pages */
};

#define SPOTS 8

struct spot {
	uint64_t start; /* of a region that shows a file; 0: none */
	uint32_t faults;
};

#define PLACES 12

struct places { /* where it faulted first after a fork: fork_ahead.c */
	uint64_t addr[PLACES];
	uint32_t nr, nr_forks;
	uint32_t left; /* faults to be looked at still */
};

/* One guest address space. */
struct guest_mm {
	struct guest_mm *next, **pprev; /* monitor.mms */
	struct ondol_mm_struct *mm;
	uint32_t refs;              /* tasks */
	uint32_t id;                /* for messages and --proc */
	bool attached;              /* the trap tells of its faults */
	int uffd;                   /* or -1 */
	int worker_uffd;            /* its number in the worker */
	pid_t worker;
	bool worker_dead;
	struct mailbox *mailbox;
	struct ondol_page *mailbox_page;
	uint32_t posted;            /* operations, so far */
	uint32_t kicked;            /* of those the worker knows: our copy of mailbox->head */
	uint32_t waited;            /* for those it was waited */
	uint64_t slice_at;          /* the next slice of placeholder; below it they are used up */
	bool slices_off;
	bool remap_expected;        /* an operation waits for us to read its event */
	pid_t forking;              /* thread whose fork is being prepared, or 0 ([PORT-4]) */
	struct guest_mm *child;     /* its child-to-be */
	struct fault_node *late_faults, **late_faults_end;
	struct notif_node *late_notifs, **late_notifs_end;
	struct stop_node *late_stops, **late_stops_end;
	pid_t *late_forks;
	uint32_t nr_late_forks;
	struct hole *holes;
	uint64_t unsure;            /* the page of the last such hole */
	uint32_t nr_holes, cap_holes;
	uint64_t *regions;          /* 2 MiB regions with host mappings, oldest first */
	uint32_t nr_regions, cap_regions, first_region;
	uint32_t regions_enough;    /* in the list; more are counted anew */
	struct stream streams[STREAMS]; /* where memory is touched in order */
	uint32_t next_stream;       /* to be given up */
	struct spot spots[SPOTS];   /* files that are much used */
	uint32_t next_spot;
	struct places places;
	uint32_t repeats;           /* faults in a row on what should be mapped */
	uint32_t nr_host_maps;      /* calls that made mappings, since they were last counted */
	uint64_t evict_at;          /* where the last eviction ended */
	bool ready_lost;            /* the ready range is to be filled: ready.c */
	bool stack_limit_moved;     /* RLIMIT_STACK is the host's to tell when a stack grows */
	uint32_t nr_native_maps;    /* made so far: 0 saves looking for them */
	bool has_pins;              /* a call of one of its threads had [BUF-1] */
	bool frames_held;           /* the host's devices or pipes may have some: swap.c */
	char comm[32];
};

/* One guest thread. */
struct task {
	struct task *hash_next;
	pid_t tid, tgid;
	struct guest_mm *mm;
	bool stopped_at_birth, born;
	bool own_affinity;          /* it has chosen its processors itself */
	uint64_t ran_ns, waited_ns; /* when placement looked last */
	bool group_stopped;         /* by SIGSTOP and its like, until SIGCONT */
	bool dead;                  /* seen to end while we ran stub code in it */
	int dead_status;
	bool forking;               /* between the seccomp stop and the fork event */
	uint64_t saved_mask;        /* signal mask, while forking */
	uint64_t child_settid;      /* CLONE_CHILD_SETTID's address, taken over from the host */
	uint64_t clone_flags;
	bool watched;               /* stops at its system calls: procmem.c */
	int pidfd;                  /* of the thread group, or -1 */
	uint64_t rlimit_as[2], rlimit_data[2]; /* emulated: soft, hard */
	struct ondol_mempolicy policy; /* set_mempolicy's */
	uint64_t futex_page;        /* of the last futex that is not PRIVATE, or 0: swap.c */

	/* Where the host's kernel cannot wait for pages: buffers.c, sigtrap.c. */
	struct { uint64_t start, end; } pin[TASK_PINS]; /* of the call it may be in [BUF-1] */
	uint32_t nr_pins;
	struct seccomp_data last_call; /* that had buffers */
	uint64_t began;             /* ns: when it was first made */
	const struct guest_mm *remote; /* whose memory it reaches into, too, or NULL */
	bool again, was_ended;      /* it was left: to be made again; with EINTR (interrupt.c) */
	bool left;                  /* before its deadline */
	uint64_t moved;             /* bytes, before it was left: a transfer's that goes on */
	uint64_t deadline;          /* ns; 0: none that we must look after */
	uint64_t clear_tid, child_clear_tid; /* written at its end; at its next child's */
	uint64_t robust_list32;              /* set_robust_list's, of a 32-bit thread */
	bool ends;                           /* its call is exit or exit_group [BUF-2] */
	uint64_t altstack, altstack_size; /* or 0 */
	uint64_t told_page;         /* a forking parent's word for the child's number, or 0 */
	uint64_t stale_addr, stale_ip, stale_taken; /* of a fault on what was mapped already */
	struct kernel_sigaction segv_action; /* [SIG-1] */
	bool segv_blocked;          /* by its last rt_sigprocmask */
	bool interrupted;           /* it has not stopped yet: interrupt.c */
	bool asks;                  /* its call waits to be served, so it cannot stop */
	bool in_handler;            /* or may be: more is blocked then */
};

#define TASK_HASH 1024

#define PLACE_WORDS 16 /* of a set of processors: 1024 of them */

struct place { /* place.c */
	int timer; /* -1: not ours to decide */
	bool together;
	unsigned cpu, streak;
	size_t bytes; /* of a set */
	unsigned long all[PLACE_WORDS]; /* those we were started with */
};

struct held_fault;

struct pressure { /* pressure.c */
	struct held_fault *held; /* by time */
	uint64_t nr_held, held_ns;
	uint64_t looked; /* ns: for who runs */
	bool seen_running;
	uint64_t began, ended; /* ns */
	struct ondol_memcg_stats memcg; /* at the end */
	struct ondol_psi psi[ONDOL_PSI_NR];
};

struct refs_sink; /* procmem.c */
struct file_object; /* files.c: an inode whose pages are in the page cache */

struct port_stats {
	uint64_t uffd_messages, wakes_only, host_maps, host_map_pages, holes;
	uint64_t flushes, protects, evictions, worker_waits;
	uint64_t host_blocks; /* of 2 MiB, that became the host's, too */
	uint64_t calls, opens, forks, execs, threads, signals;
	uint64_t oom_kills, bad_accesses, swap_errors;
	uint64_t pages_local, pages_remote; /* mapped from the thread's own node, from another */
};

struct monitor {
	const struct ondol_linux_options *options;
	struct ondol_profile profile; /* the machine's */
	struct ondol_machine *machine;
	void *machine_storage;
	struct ondol_port port;
	uint64_t pages_plenty; /* with so many to spare, windows may grow: a quarter */
	struct ondol_kmem_cache *task_cache, *mm_cache;
	int swap_fd;         /* or -1 */
	uint64_t swap_pages; /* of the file */
	struct ondol_swap_stats swap_at_peak, swap_at_end;

	unsigned char *ram;  /* direct map of all nodes, in ram_room */
	unsigned char *ram_room;
	uint16_t *block_used; /* by block of 2 MiB of it: frames used, or BLOCK_WHOLE */
	uint64_t frames_used;
	uint32_t blocks_refused, blocks_pause, blocks_pause_next; /* ram.c */
	unsigned long load_most; /* beyond it the host is overloaded; 0: not asked yet */
	uint64_t ram_bytes;
	uint32_t nr_nodes;
	struct {
		uint64_t start, end; /* physical */
		int fd;
	} node[ONDOL_LINUX_NODES_MAX];

	struct ondol_page *stub_page;
	struct place place;
	struct pressure pressure;
	uint32_t serving_cpu; /* the machine's CPU that the thread we work for is on */
	int nodefs;           /* the folder of nodefs.c, or -1 */
	char nodefs_path[128];
	pid_t front_pid;
	const struct trap *trap;
	const struct guest_space *space;
	bool i386; /* every program is a 32-bit one: i386.c */
	int uffd_device, epoll, signal_fd, notif;
	uint64_t max_map_count; /* regions of a guest, mappings of the host: vm.max_map_count */
	uint64_t max_host_maps;
	pid_t pid, root;
	int root_status;
	bool root_done, shutting_down, interrupted;
	bool frames_held; /* of whom, is not known: only clean pages of files are taken any more */
	bool broken; /* --validate has found something */
	bool report_failed; /* something of what was asked for could not be written */
	int launch_socket;
	int front; /* line to the process that the user started, or -1 */
	struct ondol_machine_stats at_peak; /* by use, when most frames were out */
	uint64_t peak_sampled;
	struct ondol_machine_stats at_end;

	struct task *tasks[TASK_HASH];
	uint32_t nr_tasks;
	uint32_t nr_unborn; /* of them, stopped at birth while their parent's event is to come */
	struct guest_mm *mms;
	uint32_t next_mm_id;
	struct guest_mm *dying; /* wait for their worker to be reaped */
	uint32_t nr_dying;
	struct guest_mm *serving; /* whose thread cannot run before we let it, or NULL [PORT-5] */
	struct guest_mm *batching; /* its flushes need not be waited for one by one, or NULL */
	bool late_faults; /* some mm may have some that wait for nothing but us */
	bool notif_taken; /* a nested wait has received one since the main loop asked */
	struct guest_mm *oom_victim; /* on its way out, or NULL: oom.c */
	struct notif_node *early_notifs, **early_notifs_end; /* came while waiting for another */
	uint64_t next_deadline; /* ns: of a call that was left before its own, or 0 */
	const struct task *preparing; /* whose call is being given its buffers, or NULL */
	uint64_t housekept; /* when, by the port's clock */
	uint64_t ksm_ticked;
	struct ondol_machine_stats ksm_at_peak; /* when most was saved */
	struct stop_node *early_stops, **early_stops_end;
	unsigned long randomize; /* the computer's kernel.randomize_va_space */
	pid_t current; /* the thread whose call or stop is being served, or 0 */
	uint64_t ready_start; /* of the ready range [BUF-5], or 0 */
	bool ready_lost; /* some mm has not all of its own */
	const struct guest_mm *ready_holding; /* whose threads are stopped for it, or NULL */
	pid_t *ready_held; /* threads that wait for theirs */
	uint32_t nr_ready_held, cap_ready_held;
	struct refs_sink *refs;
	struct file_object *files[1024];
	uint32_t nr_files;
	uint64_t shmem_ino;
	uint64_t vvar_before_vdso, vdso_bytes; /* learnt at the first exec */
	struct port_stats stats;
};

/* monitor.c */
uint64_t now_ns(void); /* CLOCK_MONOTONIC */

/* report.c */
void monitor_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void trace(const struct monitor *mon, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void report_sample(struct monitor *mon);
/* `victim` ends, since `task` found no frame for addr. */
void report_oom(struct monitor *mon, const struct task *victim, const struct task *task,
		uint64_t addr);
int text_write(void *ctx, const char *text, size_t size); /* an ondol_write_t; ctx: FILE */
void report_proc_mm(struct monitor *mon, struct guest_mm *g);
/* With --validate: of `g`, or of the whole machine if NULL. */
void report_validate(struct monitor *mon, struct guest_mm *g);

/* front.c */
void front_tell(struct monitor *mon, int status, int sig);

/* ram.c */
int ram_create(struct monitor *mon);
void ram_destroy(struct monitor *mon);
/* The 2 MiB from there on shall be one block of the host's, if it likes. */
void ram_one_block(struct monitor *mon, uint64_t pfn);
bool ram_is_whole(const struct monitor *mon, uint64_t pa, uint64_t size);
/* Of ondol_port. */
void ram_first_use(void *ctx, ondol_pfn_t pfn, uint32_t nr);
bool ram_clear_frames(void *ctx, ondol_pfn_t pfn, uint32_t nr);
bool ram_copy_frame(void *ctx, ondol_pfn_t to, ondol_pfn_t from);
void ram_will_write(void *ctx, void *at, size_t size);
int ram_fd(const struct monitor *mon, uint64_t pfn, uint64_t *out_offset, int *out_index);

/* mailbox.c: operations for the worker of an mm */
struct mailbox_op *worker_post(struct monitor *mon, struct guest_mm *g, uint64_t nr, uint64_t a0,
			       uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
void worker_kick(struct guest_mm *g);
void worker_lost(struct monitor *mon, struct guest_mm *g, const char *why);
/* Everything posted is done.  -ECHILD: the worker is dead. */
int worker_wait(struct monitor *mon, struct guest_mm *g);
/* Give the worker a descriptor of ours: its number there, or -errno. */
int64_t worker_give_fd(struct monitor *mon, struct guest_mm *g, int fd);
/* Wait until a new worker has set itself up. */
int worker_ready(struct monitor *mon, struct guest_mm *g);
/* One operation, waited for: its result, or -ECHILD. */
int64_t worker_call(struct monitor *mon, struct guest_mm *g, uint64_t nr, uint64_t a0, uint64_t a1,
		    uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
void worker_placeholder(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end);
void worker_flush(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end);
void worker_map(struct monitor *mon, struct guest_mm *g, const struct ondol_tlb_run *run);
int host_prot(uint32_t prot);

/* guest_mm.c */
struct guest_mm *guest_mm_new(struct monitor *mon, struct ondol_mm_struct *mm);
void guest_mm_put(struct monitor *mon, struct guest_mm *g);
void guest_mm_sweep(struct monitor *mon);
void guest_mm_reaped(struct monitor *mon, pid_t worker);
/* Its worker is up. */
int guest_mm_attach(struct monitor *mon, struct guest_mm *g);
/* Register every part of the placeholder that is not native. */
int guest_mm_arm(struct monitor *mon, struct guest_mm *g, bool map_placeholder);
extern const struct ondol_mmu_ops linux_mmu_ops;

/* fault.c */
/* After the next address space that ends for want of memory. */
void fault_after_oom(struct monitor *mon, struct guest_mm *g, const struct fault *fault);
void fault_late(struct monitor *mon, struct guest_mm *g, const struct fault *fault);
void fault_serve_late_of(struct monitor *mon, struct guest_mm *g);
void fault_serve_late(struct monitor *mon);
void fault_one(struct monitor *mon, struct guest_mm *g, const struct fault *fault);
/* [start, end), but what the host backs there. */
void placeholder_between(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end);
/* As if the program had touched it: the host has the page, writable if the region is. */
int fault_in(struct monitor *mon, struct guest_mm *g, uint64_t addr);
/*
 * Before it is asked for: the window around addr, if it is absent, as an access of `prot`
 * (ONDOL_VM_*) would have it.  Where the mapping ends; not waited for.
 */
uint64_t fault_ahead(struct monitor *mon, struct guest_mm *g, uint64_t addr,
		     uint32_t around, ondol_vm_flags_t prot);
/* The same, from *at on, which moves along; and the fault's error. */
int fault_ready(struct monitor *mon, struct guest_mm *g, uint64_t *at, uint32_t around,
		ondol_vm_flags_t prot);
int fault_in_read(struct monitor *mon, struct guest_mm *g, uint64_t addr);
/* Post the mapping of a page that can be read, if it can. */
bool fault_map_readable(struct monitor *mon, struct guest_mm *g, uint64_t addr);
/*
 * For the host's kernel, which will read or write [*at, end): the page at *at is mapped, and
 * what comes with it; *at goes behind.  Posted.  0, or the fault's error.
 */
int fault_for_kernel(struct monitor *mon, struct guest_mm *g, uint64_t *at, uint64_t end,
		     bool write);
/* The region's rights at addr (ONDOL_VM_ACCESS); 0: none. */
ondol_vm_flags_t rights_at(struct guest_mm *g, uint64_t addr);

/* uffd.c */
/* As many as one read gives.  True: there may be more, and nobody tells again. */
bool uffd_events(struct monitor *mon, struct guest_mm *g);
/* An operation may wait for us to read its event.  False: nothing has come for a millisecond. */
bool uffd_remap_event_take(struct monitor *mon, struct guest_mm *g);
void holes_forget(struct guest_mm *g, uint64_t start, uint64_t end);
void holes_restore(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end);

/* sigtrap.c */
void sigtrap_action_note(struct monitor *mon, struct task *task, int sig, uint64_t act);
/* rt_sigprocmask(how, set, ...) is about to be made. */
void sigtrap_mask_note(struct task *task, int how, uint64_t set);
void sigtrap_mask_read(struct task *task);
void sigtrap_return_note(struct task *task, uint64_t set);
/* A bad access while SIGSEGV is blocked or ignored: what the kernel has made of it stays. */
bool sigtrap_defeats_handler(const struct task *task);
void sigtrap_action_restore(struct monitor *mon, struct task *task);

/* map_ahead.c */
/* Memory is not short, and the user has not said how many pages a fault brings. */
bool may_map_ahead(const struct monitor *mon);
bool page_is_there(const struct guest_mm *g, uint64_t addr); /* or in the page cache */
/* The heap has grown by [start, end). */
void heap_ahead(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end);
/* A private mapping has been made. */
void mmap_ahead(struct monitor *mon, struct guest_mm *g, uint64_t at, uint64_t size, int prot,
		int flags);

/* ready.c */
#define READY_BYTES (32ul << 10)
uint64_t ready_end(const struct monitor *mon);
bool ready_overlaps(const struct monitor *mon, uint64_t start, uint64_t end);
/* What is mapped there comes to the host's tables, or somebody is ended for it.  -ECHILD. */
int ready_fill_or_oom(struct monitor *mon, struct guest_mm *g);
/* [start, end) is about to be taken from the host's tables. */
void ready_take(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end);
/* Something has been mapped in [start, end). */
void ready_note(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end);
/* Before a thread goes on. */
void ready_restore(struct monitor *mon);
/* A fork's child has a copy of its parent's mappings there, which it must not keep. */
void ready_forget(struct monitor *mon, struct guest_mm *child);

/* buffers.c: nothing to do where the host's kernel waits for pages */
/* An array of the program's, of its own format.  -EFAULT: a part of it is not to be read. */
int iovecs_read(const struct monitor *mon, const struct task *task, uint64_t at, uint64_t nr,
		struct iovec *out);
/* What the call reads and writes is mapped.  -ENOMEM: there is no frame, ask again later. */
int buffers_in(struct monitor *mon, struct task *task, const struct seccomp_data *data);
/* Room for a signal's frame; at its stop. */
void buffers_signal(struct monitor *mon, struct task *task);
/* The frame at `sp` that a handler returns by. */
void buffers_sigreturn(struct monitor *mon, struct task *task, uint64_t sp);
/* A signal may end the call once it has begun. */
bool buffers_slow(long nr);

/* interrupt.c */
/* The call is about to be made, for the first time or again. */
void call_begins(struct monitor *mon, struct task *task, const struct seccomp_data *data);
/* A signal on its way to a thread that has left its call. */
void call_signalled(const struct monitor *mon, struct task *task, int sig);
/* At the entry or exit of one. */
void call_exits(struct task *task);
/* Until a call that was left has waited long enough; -1: there is none. */
int deadlines_wait_ms(const struct monitor *mon);
void deadlines_serve(struct monitor *mon);
/* Stop a thread, soon: task_resume lets it go on.  False: it has not stopped, or not for us. */
bool thread_hold(struct monitor *mon, struct task *task);
/* Such a stop: its call is made again. */
void call_interrupted(const struct monitor *mon, struct task *task);
/* Threads in calls with buffers in [start, end) leave them: they are stopped, and to be resumed. */
unsigned buffers_release(struct monitor *mon, struct guest_mm *g, uint64_t start, uint64_t end,
			 struct task **held, unsigned most);
void buffers_resume(struct task **held, unsigned nr);

/* ptrace.c */
int wait_stop(struct monitor *mon, pid_t tid, int *out_status);
int get_regs(pid_t tid, struct user_regs_struct *regs);
int set_regs(pid_t tid, const struct user_regs_struct *regs);
void signals_block(pid_t tid, uint64_t *out_saved);
void signals_restore(pid_t tid, uint64_t saved);
uint64_t signals_pending(pid_t tid);
int signals_blocked(pid_t tid, uint64_t *out_mask);
bool signal_waits(pid_t tid); /* one that is not blocked; at its stop */
void stop_repeat(const struct task *task);
/* Run stub code at `ip` until its breakpoint; serves the stub's own calls meanwhile. */
int stub_run(struct monitor *mon, struct task *task, struct guest_mm *g, uint64_t ip,
	     struct user_regs_struct *regs);
/* On from its stop, with a signal or 0; to its next system call if that is watched. */
void task_resume(const struct task *task, int sig);
void ptrace_event(struct monitor *mon, pid_t tid, int status);
/* At its stop: the program's own signal goes on its way. */
void signal_deliver(struct monitor *mon, struct task *task, int sig);
/* To be looked at when the main loop comes round. */
void stop_early(struct monitor *mon, pid_t tid, int status);
void stops_serve_early(struct monitor *mon);
/* One that had to wait; the node is freed. */
void stop_serve(struct monitor *mon, struct stop_node *node);
void thread_end(struct monitor *mon, struct task *task, int status);

/* task.c */
/* Every thread; none may come or go meanwhile.  `break` does not end it. */
#define for_each_task(mon, t) \
	for (uint32_t t##_bucket = 0; t##_bucket < TASK_HASH; t##_bucket++) \
		for (struct task *t = (mon)->tasks[t##_bucket]; t; t = t->hash_next)
struct task *task_find(struct monitor *mon, pid_t tid);
struct task *task_new(struct monitor *mon, pid_t tid);
void task_gone(struct monitor *mon, struct task *task);
void task_set_mm(struct monitor *mon, struct task *task, struct guest_mm *g);
int task_pidfd(struct task *task);
int task_getfd(struct task *task, int fd); /* our copy of its descriptor, or -errno */
void task_kill(struct monitor *mon, struct task *task, int sig);
/* A CAP_* of the task, as its user namespace sees it. */
bool task_capable(const struct task *task, unsigned cap);
uid_t task_uid(const struct task *task); /* its real user; (uid_t)-1: it is gone */
/* What the host's /proc/PID/status says after "name:", blanks and end of line included. */
bool status_field(pid_t pid, const char *name, char *value, size_t size);

/* R, S, Z and so on (proc(5)); 0: it is gone. */
char thread_state(pid_t tid);
bool thread_is_dead(pid_t tid); /* be it reaped or not */

/* layout.c */
struct guest_layout {
	uint64_t stack_top, pie_base;
	uint64_t mmap_random, brk_random; /* bytes, page-aligned: down, up */
	bool has_random;
	unsigned char random[16]; /* AT_RANDOM's, if has_random */
};
void layout_init(struct monitor *mon);
/* The block that this run's stacks end in [BUF-5]; 0: any.  Of a machine that has its RAM. */
uint64_t layout_ready(const struct monitor *mon);
/* Where the guest sees what mailbox_room() gives. */
uint64_t mailbox_room_at(const struct monitor *mon);
/* Where the stub's code is in the guest; `part`: of mon->space. */
uint64_t stub_at(const struct monitor *mon, const char *part);
void layout_choose(const struct monitor *mon, const struct task *task, const char *path,
		   uint64_t vdso, struct guest_layout *out);
void layout_set(const struct monitor *mon, struct guest_mm *g, const struct guest_layout *chosen,
		const struct ondol_elf_image *program, uint64_t stack_limit);
void layout_hold(const struct ondol_linux_options *options);

/* exec.c, fork.c */
void exec_takeover(struct monitor *mon, struct task *task);
/* The stack's limit, in bytes. */
uint64_t limits_refresh(const struct monitor *mon, const struct task *task, struct guest_mm *g);
void fork_prepare(struct monitor *mon, struct task *task, const struct user_regs_struct *regs);
void fork_happened(struct monitor *mon, struct task *parent, struct task *child);
void fork_failed(struct monitor *mon, struct task *task);
void fork_settle(struct monitor *mon, struct guest_mm *g);

/* syscall.c */
void notif_events(struct monitor *mon);
void notif_serve(struct monitor *mon, const struct seccomp_notif *notif);
void notif_serve_early(struct monitor *mon);
void notif_early(struct monitor *mon, const struct seccomp_notif *notif);
void notif_reply(struct monitor *mon, uint64_t id, int64_t result);
void notif_continue(struct monitor *mon, uint64_t id);
int notif_addfd(struct monitor *mon, uint64_t id, int fd, int new_fd, uint32_t flags,
		uint32_t fd_flags);
void notif_late(struct monitor *mon, struct guest_mm *g,
		const struct seccomp_notif *notif);

bool is_memory_call(int nr);
struct sysinfo;
int sysinfo_fill(struct monitor *mon, struct sysinfo *out);
int64_t limit_call32(struct monitor *mon, struct task *task, bool set, uint32_t most,
		     const __u64 *arg, bool *out_continue);

/* mmcall.c: the memory calls proper; `handled` false: let the host do it */
int64_t mmcall(struct monitor *mon, struct task *task, const struct seccomp_data *data,
	       bool *out_continue);

int64_t mmcall_madvise(struct monitor *mon, struct guest_mm *g, uint64_t at, uint64_t length,
		       int advice);

/* process_madvise.c */
/* PTRACE_MODE_READ_FSCREDS of ptrace(2). */
bool task_may_look(const struct task *task, const struct task *target);
int64_t call_process_madvise(struct monitor *mon, struct task *task, const __u64 *arg,
			     bool *out_continue);

/* place.c */
int place_init(struct monitor *mon);
void place_tick(struct monitor *mon);
int64_t place_call(struct monitor *mon, struct task *task, const struct seccomp_data *data,
		   bool *out_continue);
bool place_status(const struct monitor *mon, const struct task *task, const char *line,
		  FILE *out);

/* numa.c */
/* What follows is done for `tid`, a thread of `task` (or NULL): its policy, its processor. */
void numa_serve_as(struct monitor *mon, const struct task *task, pid_t tid);
uint32_t numa_this_cpu(void *ctx);
void numa_count_map(struct monitor *mon, const struct ondol_tlb_run *run);
/* set_mempolicy, get_mempolicy, mbind, migrate_pages, move_pages */
int64_t numa_call(struct monitor *mon, struct task *task, const struct seccomp_data *data);

/* nodefs.c: /sys/devices/system/node */
bool nodefs_path(const char *path);
int nodefs_open(struct monitor *mon, const char *path, uint64_t flags);
void nodefs_destroy(struct monitor *mon);
/* The line of /proc/PID/status about nodes, ours instead. */
void nodefs_mems_allowed(const struct monitor *mon, const char *line, FILE *out);

/* files.c */
int file_for_mapping(struct monitor *mon, int fd, bool shared, struct ondol_file **out_file,
		     bool *out_native, bool *out_anonymous);
int file_for_path(struct monitor *mon, int fd, const char *path, struct ondol_file **out_file);
int file_sysv(struct monitor *mon, int shmid, struct ondol_file **out_file);
int file_shmem(struct monitor *mon, uint64_t bytes, struct ondol_file **out_file);
void files_destroy(struct monitor *mon);

/* procfs.c: true if the call was answered */
#define VIEW_NAME "ondol-proc" /* of the memory files that stand for files of /proc */
bool procfs_open(struct monitor *mon, struct task *task, const struct seccomp_notif *notif);

/* fork_ahead.c */
void fork_ahead_note(struct guest_mm *g, uint64_t addr);
void fork_ahead(struct monitor *mon, struct guest_mm *parent, struct guest_mm *child);

/* oom.c */
int oom_score_adj(pid_t tgid);
/* No frame for the thread's fault: somebody is ended.  True: not it, so it may try again after. */
bool oom_fault(struct monitor *mon, struct task *task, uint64_t addr);
/* An address space has given back all that it had. */
void oom_mm_gone(struct monitor *mon, const struct guest_mm *g);

/* pressure.c */
void pressure_init(struct monitor *mon);
/* What is free and below the limits. */
uint64_t pages_to_spare(const struct monitor *mon);
/* True: the fault, which wants up to nr_pages, is put aside, and served when its time has come. */
bool pressure_hold(struct monitor *mon, struct guest_mm *g, const struct fault *fault,
		   uint32_t nr_pages);
void pressure_forget(struct monitor *mon, const struct guest_mm *g);
/* Until there is something to serve; -1: there is nothing. */
int pressure_wait_ms(const struct monitor *mon);
void pressure_serve(struct monitor *mon);
void pressure_snapshot(struct monitor *mon);
void pressure_report_oom(struct monitor *mon);
void pressure_summary(const struct monitor *mon, FILE *out);
void pressure_summary_json(const struct monitor *mon, FILE *out);

/* swap.c */
bool swap_create(struct monitor *mon); /* false: it has said why not */
void swap_note_open(struct task *task, const struct seccomp_data *data);
void swap_note_futex(struct task *task, uint64_t addr);
/* Whether a page may be in another frame by and by: then it is looked at who has frames. */
bool frames_change(const struct ondol_linux_options *options);
/* Whether private pages of [start, end) must keep their frames. */
bool swap_busy(struct monitor *mon, const struct guest_mm *g, uint64_t start, uint64_t end);
void swap_sample(struct monitor *mon);
void swap_summary(struct monitor *mon, FILE *out);
void swap_summary_json(struct monitor *mon, FILE *out);
/* ksm.c */
/* Scan, if it is time. */
void ksm_tick(struct monitor *mon);
/* How long there is nothing to do, by its clock and else `otherwise` (-1: no end). */
int ksm_wait_ms(const struct monitor *mon, int otherwise);
bool ksm_file_name(const char *name); /* of a file of /sys/kernel/mm/ksm that is ours */
bool ksm_path(const char *path);
int ksm_file_write(const struct monitor *mon, const char *path, FILE *out);
void ksm_summary(const struct monitor *mon, FILE *out);
void ksm_summary_json(const struct monitor *mon, FILE *out);

/* procmem.c: descriptors for a guest, or -errno */
int pagemap_open(struct task *task, struct task *target);
int clear_refs_open(struct monitor *mon, struct task *task, struct task *target);
/* Do what was written to clear_refs. */
void refs_drain(struct monitor *mon);
/* The thread is at the entry or the exit of a system call. */
void refs_watch(struct monitor *mon, struct task *task);
void refs_destroy(struct monitor *mon);

/* filter.c */
/* `buffers`: calls with pointers come to us, too. */
int filter_install(bool see_folders, bool swap, bool buffers, uint64_t ready_start);
/* Give it to the kernel: the listener's descriptor, or -errno. */
int filter_set(const struct sock_fprog *program);

extern const char ondol_stub_begin[], ondol_stub_boot[], ondol_stub_worker_create[],
	ondol_stub_end[];
extern const char ondol_stub32_begin[], ondol_stub32_boot[], ondol_stub32_worker_create[],
	ondol_stub32_end[];

#endif /* ONDOL_LINUX_INTERNAL_H */

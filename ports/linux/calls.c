/* SPDX-License-Identifier: MIT */
/*
 * The pointer arguments of every system call of x86-64 that Linux has: direction and length.
 *
 * Where the host's kernel cannot wait for a page (trap.h), these are faulted in before the call is
 * made.  Lengths are the kernel's own structures' (the kernel's include/uapi).  That no pointer
 * is forgotten is checked against the prototypes in its include/linux/syscalls.h by
 * tests/programs/calls.py.
 *
 * A call that is not named here has no pointer that the kernel follows.
 */
#include <linux/aio_abi.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>
#include <utime.h>

#include "calls.h"

#define STRING { ARG_STRING, 0, 0 }
#define STRINGS { ARG_STRINGS, 0, 0 }
#define IN(bytes) { ARG_IN, 0, bytes }
#define OUT(bytes) { ARG_OUT, 0, bytes }
#define INOUT(bytes) { ARG_INOUT, 0, bytes }
#define IN_N(of, unit) { ARG_IN_N, of, unit }
#define OUT_N(of, unit) { ARG_OUT_N, of, unit }
#define INOUT_N(of, unit) { ARG_INOUT_N, of, unit }
#define BITS(of) { ARG_BITS, of, 0 }
#define OUT_LEN(of) { ARG_OUT_LEN, of, 0 }
#define IOV_IN(of) { ARG_IOV_IN, of, 0 }
#define IOV_OUT(of) { ARG_IOV_OUT, of, 0 }
#define MSG_IN { ARG_MSG_IN, 0, 0 }
#define MSG_OUT { ARG_MSG_OUT, 0, 0 }
#define MMSG_IN(of) { ARG_MMSG_IN, of, 0 }
#define MMSG_OUT(of) { ARG_MMSG_OUT, of, 0 }
#define MAYBE(bytes) { ARG_MAYBE, 0, bytes }
#define OURS { ARG_OURS, 0, 0 }
#define IGNORED { ARG_IGNORED, 0, 0 }
#define A0 .arg[0] =
#define A1 .arg[1] =
#define A2 .arg[2] =
#define A3 .arg[3] =
#define A4 .arg[4] =
#define A5 .arg[5] =
#define SLOW .slow = true

#define INT 4
#define LONG 8
#define TIME 16 /* timespec, timeval */
#define SET 8   /* the kernel's sigset_t */
#define SIGACTION 32
#define SIGINFO sizeof(siginfo_t)
#define ITIMER 32
#define SOME 4096 /* of what only the driver or the subsystem knows */
#define SCHED_ATTR 56
#define CLONE_ARGS 88

#define SYS_quotactl_fd_ 443
#define SYS_futex_waitv_ 449
#define SYS_futex_wait_ 455
#define SYS_futex_requeue_ 456

const struct call_shape call_shapes[CALLS_END] = {
	/* files */
	[SYS_read] = { A1 OUT_N(2, 1), SLOW },
	[SYS_write] = { A1 IN_N(2, 1), SLOW },
	[SYS_open] = { A0 STRING, SLOW },
	[SYS_stat] = { A0 STRING, A1 OUT(sizeof(struct stat)) },
	[SYS_fstat] = { A1 OUT(sizeof(struct stat)) },
	[SYS_lstat] = { A0 STRING, A1 OUT(sizeof(struct stat)) },
	[SYS_ioctl] = { .special = CALL_IOCTL, SLOW },
	[SYS_pread64] = { A1 OUT_N(2, 1), SLOW },
	[SYS_pwrite64] = { A1 IN_N(2, 1), SLOW },
	[SYS_readv] = { A1 IOV_OUT(2), SLOW },
	[SYS_writev] = { A1 IOV_IN(2), SLOW },
	[SYS_access] = { A0 STRING },
	[SYS_pipe] = { A0 OUT(2 * INT) },
	[SYS_sendfile] = { A2 INOUT(LONG), SLOW },
	[SYS_fcntl] = { .special = CALL_FCNTL, SLOW },
	[SYS_truncate] = { A0 STRING },
	[SYS_getdents] = { A1 OUT_N(2, 1) },
	[SYS_getcwd] = { A0 OUT_N(1, 1) },
	[SYS_chdir] = { A0 STRING },
	[SYS_rename] = { A0 STRING, A1 STRING },
	[SYS_mkdir] = { A0 STRING },
	[SYS_rmdir] = { A0 STRING },
	[SYS_creat] = { A0 STRING },
	[SYS_link] = { A0 STRING, A1 STRING },
	[SYS_unlink] = { A0 STRING },
	[SYS_symlink] = { A0 STRING, A1 STRING },
	[SYS_readlink] = { A0 STRING, A1 OUT_N(2, 1) },
	[SYS_chmod] = { A0 STRING },
	[SYS_chown] = { A0 STRING },
	[SYS_lchown] = { A0 STRING },
	[SYS_utime] = { A0 STRING, A1 IN(sizeof(struct utimbuf)) },
	[SYS_mknod] = { A0 STRING },
	[SYS_sysfs] = { A1 MAYBE(SOME), A2 MAYBE(SOME) },
	[SYS_uselib] = { A0 STRING },
	[SYS_ustat] = { A1 OUT(32) },
	[SYS_statfs] = { A0 STRING, A1 OUT(sizeof(struct statfs)) },
	[SYS_fstatfs] = { A1 OUT(sizeof(struct statfs)) },
	[SYS_pivot_root] = { A0 STRING, A1 STRING },
	[SYS_chroot] = { A0 STRING },
	[SYS_acct] = { A0 STRING },
	[SYS_mount] = { A0 STRING, A1 STRING, A2 STRING, A4 MAYBE(SOME) },
	[SYS_umount2] = { A0 STRING },
	[SYS_swapon] = { A0 STRING },
	[SYS_swapoff] = { A0 STRING },
	[SYS_quotactl] = { A1 STRING, A3 MAYBE(SOME) },
	[SYS_setxattr] = { A0 STRING, A1 STRING, A2 IN_N(3, 1) },
	[SYS_lsetxattr] = { A0 STRING, A1 STRING, A2 IN_N(3, 1) },
	[SYS_fsetxattr] = { A1 STRING, A2 IN_N(3, 1) },
	[SYS_getxattr] = { A0 STRING, A1 STRING, A2 OUT_N(3, 1) },
	[SYS_lgetxattr] = { A0 STRING, A1 STRING, A2 OUT_N(3, 1) },
	[SYS_fgetxattr] = { A1 STRING, A2 OUT_N(3, 1) },
	[SYS_listxattr] = { A0 STRING, A1 OUT_N(2, 1) },
	[SYS_llistxattr] = { A0 STRING, A1 OUT_N(2, 1) },
	[SYS_flistxattr] = { A1 OUT_N(2, 1) },
	[SYS_removexattr] = { A0 STRING, A1 STRING },
	[SYS_lremovexattr] = { A0 STRING, A1 STRING },
	[SYS_fremovexattr] = { A1 STRING },
	[SYS_lookup_dcookie] = { A1 OUT_N(2, 1) },
	[SYS_getdents64] = { A1 OUT_N(2, 1) },
	[SYS_utimes] = { A0 STRING, A1 IN(2 * TIME) },
	[SYS_openat] = { A1 STRING, SLOW },
	[SYS_mkdirat] = { A1 STRING },
	[SYS_mknodat] = { A1 STRING },
	[SYS_fchownat] = { A1 STRING },
	[SYS_futimesat] = { A1 STRING, A2 IN(2 * TIME) },
	[SYS_newfstatat] = { A1 STRING, A2 OUT(sizeof(struct stat)) },
	[SYS_unlinkat] = { A1 STRING },
	[SYS_renameat] = { A1 STRING, A3 STRING },
	[SYS_linkat] = { A1 STRING, A3 STRING },
	[SYS_symlinkat] = { A0 STRING, A2 STRING },
	[SYS_readlinkat] = { A1 STRING, A2 OUT_N(3, 1) },
	[SYS_fchmodat] = { A1 STRING },
	[SYS_faccessat] = { A1 STRING },
	[SYS_splice] = { A1 INOUT(LONG), A3 INOUT(LONG), SLOW },
	[SYS_vmsplice] = { A1 IOV_OUT(2), SLOW }, /* out of a pipe's read end */
	[SYS_utimensat] = { A1 STRING, A2 IN(2 * TIME) },
	[SYS_pipe2] = { A0 OUT(2 * INT) },
	[SYS_preadv] = { A1 IOV_OUT(2), SLOW },
	[SYS_pwritev] = { A1 IOV_IN(2), SLOW },
	[SYS_preadv2] = { A1 IOV_OUT(2), SLOW },
	[SYS_pwritev2] = { A1 IOV_IN(2), SLOW },
	[SYS_name_to_handle_at] = { A1 STRING, A2 { ARG_HANDLE, 0, 0 }, A3 OUT(INT) },
	[SYS_open_by_handle_at] = { A1 { ARG_HANDLE, 0, 0 } },
	[SYS_renameat2] = { A1 STRING, A3 STRING },
	[SYS_memfd_create] = { A0 STRING },
	[SYS_copy_file_range] = { A1 INOUT(LONG), A3 INOUT(LONG), SLOW },
	[SYS_statx] = { A1 STRING, A4 OUT(256) },
	[SYS_openat2] = { A1 STRING, A2 IN_N(3, 1), SLOW },
	[SYS_faccessat2] = { A1 STRING },
	[452] = { A1 STRING }, /* fchmodat2 */
	[SYS_open_tree] = { A1 STRING },
	[SYS_move_mount] = { A1 STRING, A3 STRING },
	[SYS_fsopen] = { A0 STRING },
	[SYS_fsconfig] = { A2 STRING, A3 MAYBE(SOME) },
	[SYS_fspick] = { A1 STRING },
	[SYS_mount_setattr] = { A1 STRING, A3 IN_N(4, 1) },
	[SYS_quotactl_fd_] = { A3 MAYBE(SOME) },
	[457] = { A0 MAYBE(64), A1 OUT_N(2, 1) }, /* statmount */
	[458] = { A0 MAYBE(64), A1 OUT_N(2, 8) }, /* listmount */
	[SYS_inotify_add_watch] = { A1 STRING },
	[SYS_fanotify_mark] = { A4 STRING },
	[SYS_landlock_create_ruleset] = { A0 IN_N(1, 1) },
	[SYS_landlock_add_rule] = { A2 IN(16) },

	/* waiting for files */
	[SYS_poll] = { A0 INOUT_N(1, sizeof(struct pollfd)), SLOW },
	[SYS_ppoll] = { A0 INOUT_N(1, sizeof(struct pollfd)), A2 INOUT(TIME), A3 IN(SET), SLOW },
	[SYS_select] = { A1 BITS(0), A2 BITS(0), A3 BITS(0), A4 INOUT(TIME), SLOW },
	[SYS_pselect6] = { A1 BITS(0), A2 BITS(0), A3 BITS(0), A4 INOUT(TIME),
			   A5 { ARG_SIGMASK, 0, 0 }, SLOW },
	[SYS_epoll_ctl] = { A3 IN(sizeof(struct epoll_event)) },
	[SYS_epoll_wait] = { A1 OUT_N(2, sizeof(struct epoll_event)), SLOW },
	[SYS_epoll_pwait] = { A1 OUT_N(2, sizeof(struct epoll_event)), A4 IN(SET), SLOW },
	[SYS_epoll_pwait2] = { A1 OUT_N(2, sizeof(struct epoll_event)), A3 IN(TIME), A4 IN(SET),
			       SLOW },
	[SYS_signalfd] = { A1 IN(SET) },
	[SYS_signalfd4] = { A1 IN(SET) },
	[SYS_io_setup] = { A1 IGNORED }, /* refused: filter.c */
	[SYS_io_submit] = { A2 { ARG_POINTERS, 1, sizeof(struct iocb) } },
	[SYS_io_cancel] = { A1 IN(sizeof(struct iocb)), A2 OUT(sizeof(struct io_event)) },
	[SYS_io_getevents] = { A3 OUT_N(2, sizeof(struct io_event)), A4 INOUT(TIME), SLOW },
	[SYS_io_pgetevents] = { A3 OUT_N(2, sizeof(struct io_event)), A4 INOUT(TIME),
				A5 { ARG_SIGMASK, 0, 0 }, SLOW },
	[SYS_io_uring_setup] = { A1 IGNORED }, /* refused: filter.c */
	[SYS_io_uring_enter] = { A4 MAYBE(24), SLOW },
	[SYS_io_uring_register] = { A2 MAYBE(SOME) },

	/* sockets */
	[SYS_connect] = { A1 IN_N(2, 1), SLOW },
	[SYS_accept] = { A1 OUT_LEN(2), A2 INOUT(INT), SLOW },
	[SYS_accept4] = { A1 OUT_LEN(2), A2 INOUT(INT), SLOW },
	[SYS_sendto] = { A1 IN_N(2, 1), A4 IN_N(5, 1), SLOW },
	[SYS_recvfrom] = { A1 OUT_N(2, 1), A4 OUT_LEN(5), A5 INOUT(INT), SLOW },
	[SYS_sendmsg] = { A1 MSG_IN, SLOW },
	[SYS_recvmsg] = { A1 MSG_OUT, SLOW },
	[SYS_sendmmsg] = { A1 MMSG_IN(2), SLOW },
	[SYS_recvmmsg] = { A1 MMSG_OUT(2), A4 INOUT(TIME), SLOW },
	[SYS_bind] = { A1 IN_N(2, 1) },
	[SYS_getsockname] = { A1 OUT_LEN(2), A2 INOUT(INT) },
	[SYS_getpeername] = { A1 OUT_LEN(2), A2 INOUT(INT) },
	[SYS_socketpair] = { A3 OUT(2 * INT) },
	[SYS_setsockopt] = { A3 IN_N(4, 1), .special = CALL_SOCKOPT },
	[SYS_getsockopt] = { A3 OUT_LEN(4), A4 INOUT(INT) },

	/* memory: the monitor's own */
	[SYS_shmat] = { A1 OURS },
	[SYS_shmdt] = { A0 OURS },
	[SYS_mincore] = { A2 OURS },
	[SYS_mbind] = { A3 OURS },
	[SYS_get_mempolicy] = { A0 OURS, A1 OURS },
	[SYS_set_mempolicy] = { A1 OURS },
	[SYS_migrate_pages] = { A2 OURS, A3 OURS },
	[SYS_move_pages] = { A2 OURS, A3 OURS, A4 OURS },
	[SYS_process_madvise] = { A1 IN_N(2, 16) },
	[SYS_shmctl] = { A2 MAYBE(sizeof(struct shmid_ds)) },
	[SYS_process_vm_readv] = { A1 IOV_OUT(2), A3 IN_N(4, 16), .special = CALL_REMOTE },
	[SYS_process_vm_writev] = { A1 IOV_IN(2), A3 IN_N(4, 16), .special = CALL_REMOTE },

	/* processes, threads */
	[SYS_clone] = { .special = CALL_CLONE, A2 IGNORED, A3 IGNORED },
	[SYS_vfork] = { .special = CALL_VFORK },
	[SYS_clone3] = { A0 IGNORED }, /* refused: filter.c */
	[SYS_execve] = { A0 STRING, A1 STRINGS, A2 STRINGS },
	[SYS_execveat] = { A1 STRING, A2 STRINGS, A3 STRINGS },
	[SYS_exit] = { .special = CALL_EXIT },
	[SYS_exit_group] = { .special = CALL_EXIT },
	[SYS_wait4] = { A1 OUT(INT), A3 OUT(sizeof(struct rusage)), SLOW },
	[SYS_waitid] = { A2 OUT(SIGINFO), A4 OUT(sizeof(struct rusage)), SLOW },
	[SYS_set_tid_address] = { A0 IGNORED, .special = CALL_TID_ADDRESS },
	[SYS_set_robust_list] = { A0 IGNORED }, /* walked at the thread's end */
	[SYS_get_robust_list] = { A1 OUT(LONG), A2 OUT(LONG) },
	[SYS_futex] = { A0 INOUT(INT), .special = CALL_FUTEX, A3 IGNORED, A4 IGNORED, SLOW },
	[SYS_futex_waitv_] = { A0 { ARG_FUTEXES, 1, 24 }, A3 IN(TIME), SLOW },
	[454] = { A0 INOUT(INT) }, /* futex_wake */
	[SYS_futex_wait_] = { A0 INOUT(INT), A4 IN(TIME), SLOW },
	[SYS_futex_requeue_] = { A0 { ARG_FUTEXES, OF_TWO, 24 } },
	[SYS_prctl] = { .special = CALL_PRCTL },
	[SYS_arch_prctl] = { A1 MAYBE(LONG) },
	[SYS_modify_ldt] = { A1 MAYBE(SOME) },
	[SYS_rseq] = { A0 IGNORED }, /* refused: filter.c */
	[SYS_ptrace] = { A2 MAYBE(SOME), A3 MAYBE(SOME) },
	[SYS_seccomp] = { A2 MAYBE(SOME), .special = CALL_SECCOMP },
	[SYS_bpf] = { A1 MAYBE(256) },
	[SYS_perf_event_open] = { A0 MAYBE(SOME) },
	[SYS_capget] = { A0 INOUT(8), A1 OUT(24) },
	[SYS_capset] = { A0 INOUT(8), A1 IN(24) },
	[SYS_getgroups] = { A1 OUT_N(0, INT) },
	[SYS_setgroups] = { A1 IN_N(0, INT) },
	[SYS_getresuid] = { A0 OUT(INT), A1 OUT(INT), A2 OUT(INT) },
	[SYS_getresgid] = { A0 OUT(INT), A1 OUT(INT), A2 OUT(INT) },
	[SYS_getrlimit] = { A1 OUT(16) },
	[SYS_setrlimit] = { A1 IN(16) },
	[SYS_prlimit64] = { A2 IN(16), A3 OUT(16) },
	[SYS_getrusage] = { A1 OUT(sizeof(struct rusage)) },
	[SYS_times] = { A0 OUT(sizeof(struct tms)) },
	[SYS_sched_setparam] = { A1 IN(INT) },
	[SYS_sched_getparam] = { A1 OUT(INT) },
	[SYS_sched_setscheduler] = { A2 IN(INT) },
	[SYS_sched_rr_get_interval] = { A1 OUT(TIME) },
	[SYS_sched_setaffinity] = { A2 IN_N(1, 1) },
	[SYS_sched_getaffinity] = { A2 OUT_N(1, 1) },
	[SYS_sched_setattr] = { A1 INOUT(SCHED_ATTR) },
	[SYS_sched_getattr] = { A1 OUT_N(2, 1) },
	[SYS_getcpu] = { A0 OUT(INT), A1 OUT(INT), A2 IGNORED },

	/* signals */
	[SYS_restart_syscall] = { .special = CALL_RESTART, SLOW },
	[SYS_rt_sigaction] = { A1 IN(SIGACTION), A2 OUT(SIGACTION), .special = CALL_SIGACTION },
	[SYS_rt_sigprocmask] = { A1 IN(SET), A2 OUT(SET), .special = CALL_SIGMASK },
	[SYS_rt_sigpending] = { A0 OUT_N(1, 1) },
	[SYS_rt_sigtimedwait] = { A0 IN(SET), A1 OUT(SIGINFO), A2 IN(TIME), SLOW },
	[SYS_rt_sigqueueinfo] = { A2 IN(SIGINFO) },
	[SYS_rt_tgsigqueueinfo] = { A3 IN(SIGINFO) },
	[SYS_pidfd_send_signal] = { A2 IN(SIGINFO) },
	[SYS_rt_sigsuspend] = { A0 IN(SET), SLOW },
	[SYS_sigaltstack] = { A0 IN(24), A1 OUT(24), .special = CALL_ALTSTACK },

	/* time */
	[SYS_nanosleep] = { A0 IN(TIME), A1 OUT(TIME), SLOW },
	[SYS_clock_nanosleep] = { A2 IN(TIME), A3 OUT(TIME), SLOW },
	[SYS_getitimer] = { A1 OUT(ITIMER) },
	[SYS_setitimer] = { A1 IN(ITIMER), A2 OUT(ITIMER) },
	[SYS_gettimeofday] = { A0 OUT(TIME), A1 OUT(8) },
	[SYS_settimeofday] = { A0 IN(TIME), A1 IN(8) },
	[SYS_adjtimex] = { A0 INOUT(sizeof(struct timex)) },
	[SYS_time] = { A0 OUT(LONG) },
	[SYS_timer_create] = { A1 IN(sizeof(struct sigevent)), A2 OUT(INT) },
	[SYS_timer_settime] = { A2 IN(ITIMER), A3 OUT(ITIMER) },
	[SYS_timer_gettime] = { A1 OUT(ITIMER) },
	[SYS_clock_settime] = { A1 IN(TIME) },
	[SYS_clock_gettime] = { A1 OUT(TIME) },
	[SYS_clock_getres] = { A1 OUT(TIME) },
	[SYS_clock_adjtime] = { A1 INOUT(sizeof(struct timex)) },
	[SYS_timerfd_settime] = { A2 IN(ITIMER), A3 OUT(ITIMER) },
	[SYS_timerfd_gettime] = { A1 OUT(ITIMER) },

	/* System V and POSIX queues */
	[SYS_semop] = { A1 IN_N(2, sizeof(struct sembuf)), SLOW },
	[SYS_semtimedop] = { A1 IN_N(2, sizeof(struct sembuf)), A3 IN(TIME), SLOW },
	[SYS_semctl] = { A3 MAYBE(64000) }, /* SETALL: a short for each of SEMMSL */
	[SYS_msgsnd] = { A1 { ARG_IN_N, 2 | OF_PLUS_LONG, 1 }, SLOW },
	[SYS_msgrcv] = { A1 { ARG_OUT_N, 2 | OF_PLUS_LONG, 1 }, SLOW },
	[SYS_msgctl] = { A2 MAYBE(sizeof(struct msqid_ds)) },
	[SYS_mq_open] = { A0 STRING, A3 IN(sizeof(struct mq_attr)) },
	[SYS_mq_unlink] = { A0 STRING },
	[SYS_mq_timedsend] = { A1 IN_N(2, 1), A4 IN(TIME), SLOW },
	[SYS_mq_timedreceive] = { A1 OUT_N(2, 1), A3 OUT(INT), A4 IN(TIME), SLOW },
	[SYS_mq_notify] = { A1 IN(sizeof(struct sigevent)) },
	[SYS_mq_getsetattr] = { A1 IN(sizeof(struct mq_attr)), A2 OUT(sizeof(struct mq_attr)) },

	/* the system */
	[SYS_uname] = { A0 OUT(sizeof(struct utsname)) },
	[SYS_sysinfo] = { A0 OURS },
	[SYS_syslog] = { A1 OUT_N(2, 1) },
	[SYS_sethostname] = { A0 IN_N(1, 1) },
	[SYS_setdomainname] = { A0 IN_N(1, 1) },
	[SYS_getrandom] = { A0 OUT_N(1, 1), SLOW },
	[SYS_reboot] = { A3 STRING },
	[SYS_init_module] = { A0 IN_N(1, 1), A2 STRING },
	[SYS_finit_module] = { A1 STRING },
	[SYS_delete_module] = { A0 STRING },
	[SYS_kexec_load] = { A2 MAYBE(SOME) },
	[SYS_kexec_file_load] = { A3 IN_N(2, 1) },
	[SYS__sysctl] = { A0 MAYBE(SOME) },
	[SYS_add_key] = { A0 STRING, A1 STRING, A2 IN_N(3, 1) },
	[SYS_request_key] = { A0 STRING, A1 STRING, A2 STRING },
	[SYS_keyctl] = { A1 MAYBE(SOME), A2 MAYBE(SOME), A3 MAYBE(SOME), A4 MAYBE(SOME) },
	[459] = { A1 OUT_LEN(2), A2 INOUT(INT) }, /* lsm_get_self_attr */
	[460] = { A1 IN_N(2, 1) },                /* lsm_set_self_attr */
	[461] = { A0 OUT_LEN(1), A1 INOUT(INT) }, /* lsm_list_modules */
};

const uint16_t calls_quick[CALLS_QUICK] = {
	SYS_readlink, SYS_newfstatat, SYS_statx, SYS_stat, SYS_lstat, SYS_fstat, SYS_access,
	SYS_faccessat, SYS_faccessat2, SYS_readlinkat, SYS_getcwd, SYS_pipe2, SYS_uname,
	SYS_getrusage,
};

bool call_has_buffers(unsigned nr)
{
	const struct call_shape *shape = &call_shapes[nr];
	bool any = shape->special != CALL_PLAIN && shape->special != CALL_VFORK;

	for (int i = 0; i < 6; i++)
		any |= shape->arg[i].kind != ARG_PLAIN && shape->arg[i].kind < ARG_OURS;
	return any;
}

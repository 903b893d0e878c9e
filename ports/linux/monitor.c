/* SPDX-License-Identifier: MIT */
/*
 * The monitor: brings the machine up, starts the program under it, serves its events until
 * the last guest is gone, takes the machine down and checks that every frame is back.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "i386.h"
#include "internal.h"
#include "launch.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS _IOW('!', 4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1ul
#endif

#define HOUSEKEEPING_NS 1000000000u
#define KHUGEPAGED_PAGES 4096 /* looked at each time; Linux: 4096 in ten seconds */

/* ------------------------------------------------------------------ the machine */

static void port_panic(void *ctx, const struct ondol_panic_report *report)
{
	(void)ctx;
	monitor_warn("internal error, please report: %s:%u %s: %s%s%s (%#llx, %#llx)", report->file,
		     report->line, report->function, report->expression,
		     report->invariant ? " " : "", report->invariant ? report->invariant : "",
		     (unsigned long long)report->detail[0], (unsigned long long)report->detail[1]);
	abort(); /* EXITKILL and PDEATHSIG end the guests and workers */
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t port_clock(void *ctx)
{
	(void)ctx;
	return now_ns();
}

static void port_log(void *ctx, enum ondol_log_level level, const char *line)
{
	const struct monitor *mon = ctx;

	/* Refusals are told where they matter, with who held the memory: report_oom. */
	if (level <= ONDOL_LOG_ERR)
		monitor_warn("%s", line);
	else
		trace(mon, "%s", line);
}

static int cache_create(struct monitor *mon, const char *name, size_t size,
			struct ondol_kmem_cache **out)
{
	struct ondol_kmem_cache_args args = { .size = sizeof args, .object_size = size };

	return ondol_kmem_cache_create(mon->machine, name, &args, out);
}

/* Only the monitor's own view: no program has frames of caches. */
static bool port_guard(void *ctx, void *at, size_t size, bool on)
{
	(void)ctx;
	return !mprotect(at, size, on ? PROT_NONE : PROT_READ | PROT_WRITE);
}

static int machine_create(struct monitor *mon)
{
	struct ondol_mem_region region[ONDOL_LINUX_NODES_MAX + 1];
	struct ondol_machine_desc desc = { .size = sizeof desc, .regions = region,
					   .nr_nodes = mon->nr_nodes,
					   .nr_cpus = mon->options->nr_cpus,
					   .profile = &mon->profile,
					   .mmu = &linux_mmu_ops, .mmu_ctx = mon,
					   .deferred_init = true, .memory_is_zeroed = true,
					   .debug = mon->options->slab_debug,
					   .overcommit = mon->options->overcommit,
					   .overcommit_ratio = mon->options->overcommit_ratio,
					   .reclaim_mapped = true,
					   .compact = mon->options->compact,
					   .thp = mon->options->thp };
	size_t size, align;

	mon->profile = *mon->options->profile;
	mon->profile.mmap_min_addr = GUEST_MIN; /* below there is no placeholder */
	mon->profile.lazy = mon->options->lazy;
	mon->profile.pcp = mon->options->lazy == ONDOL_LAZY_PCP;
	for (uint32_t i = 0; i < mon->nr_nodes; i++)
		region[i] = (struct ondol_mem_region){ .start = { mon->node[i].start },
						       .end = { mon->node[i].end },
						       .type = ONDOL_MEM_USABLE,
						       .node = (uint16_t)i };
	/* Frame 0 is never handed out: "no frame" in a table must not look like one. */
	region[mon->nr_nodes] = (struct ondol_mem_region){ .end = { PAGE_BYTES },
							   .type = ONDOL_MEM_RESERVED };
	desc.nr_regions = mon->nr_nodes + 1;
	mon->port = (struct ondol_port){ .version = ONDOL_PORT_VERSION,
					 .size = sizeof mon->port, .ctx = mon,
					 .direct_map = mon->ram, .panic = port_panic,
					 .clock_ns = port_clock, .log = port_log,
					 .guard = port_guard, .first_use = ram_first_use,
					 .clear_frames = ram_clear_frames,
					 .copy_frame = ram_copy_frame,
					 .will_write = ram_will_write };
	if (mon->nr_nodes > 1)
		mon->port.this_cpu = numa_this_cpu;
	int r = ondol_machine_storage(&desc, &size, &align);

	if (r)
		return r;
	if (posix_memalign(&mon->machine_storage, align < 64 ? 64 : align, size))
		return -ENOMEM;
	r = ondol_machine_init(mon->machine_storage, size, &desc, &mon->port, &mon->machine);
	if (!r)
		r = cache_create(mon, "task_struct", sizeof(struct task), &mon->task_cache);
	if (!r)
		r = cache_create(mon, "guest_mm", sizeof(struct guest_mm), &mon->mm_cache);
	if (r)
		return r;
	mon->stub_page = ondol_alloc_pages(mon->machine, ONDOL_GFP_KERNEL, 0);
	if (!mon->stub_page)
		return -ENOMEM;
	memcpy(ondol_page_address(mon->machine, mon->stub_page), mon->space->code,
	       (size_t)(mon->space->code_end - mon->space->code));
	return 0;
}

/* 0: every frame is back; else what the machine says of the leak. */
static int machine_destroy(struct monitor *mon)
{
	int r = 0;

	refs_destroy(mon);
	files_destroy(mon);
	if (mon->stub_page)
		ondol_free_pages(mon->machine, mon->stub_page, 0);
	if (mon->task_cache)
		r = ondol_kmem_cache_destroy(mon->task_cache);
	if (mon->mm_cache && !r)
		r = ondol_kmem_cache_destroy(mon->mm_cache);
	return r ? r : ondol_machine_fini(mon->machine);
}

/* ------------------------------------------------------------------ events */

static void kill_all(struct monitor *mon)
{
	mon->shutting_down = true;
	for_each_task(mon, t)
		kill(t->tgid, SIGKILL);
}

/* Who started us is gone without having been told: nobody waits for the program any more. */
static void front_lost(struct monitor *mon)
{
	close(mon->front);
	mon->front = -1;
	if (!mon->root_done)
		kill_all(mon);
}

/* Something for our own ears: passed on to the program, as a shell would have sent it. */
static void own_signal(struct monitor *mon, const struct signalfd_siginfo *info)
{
	int sig = (int)info->ssi_signo;

	if (sig == SIGCHLD)
		return;
	/* The terminal sends to the whole group, so the program has it already. */
	if (info->ssi_code == SI_KERNEL && (sig == SIGINT || sig == SIGQUIT))
		return;
	if (!mon->root_done)
		kill(mon->root, sig);
	else if (sig == SIGTERM || sig == SIGHUP || sig == SIGINT)
		kill_all(mon);
}

static void reap(struct monitor *mon)
{
	int status;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0)
		ptrace_event(mon, tid, status);
}

static void signal_events(struct monitor *mon)
{
	struct signalfd_siginfo info[8];
	ssize_t n;

	do { /* a read that leaves room has taken all */
		n = read(mon->signal_fd, info, sizeof info);
		for (size_t i = 0; n > 0 && i < (size_t)n / sizeof *info; i++)
			own_signal(mon, &info[i]);
	} while (n == (ssize_t)sizeof info);
	reap(mon);
}

static bool mm_alive(const struct monitor *mon, const struct guest_mm *wanted)
{
	for (const struct guest_mm *g = mon->mms; g; g = g->next)
		if (g == wanted)
			return true;
	return false;
}

/* All of them: epoll tells of new ones only. */
static void serve_faults(struct monitor *mon, struct guest_mm *g)
{
	while (uffd_events(mon, g) && mm_alive(mon, g))
		;
}

/* Once a second, if anything happens at all: what the core wants done by somebody with a clock. */
static void housekeeping(struct monitor *mon)
{
	uint64_t now = now_ns();

	if (now - mon->housekept < HOUSEKEEPING_NS)
		return;
	mon->housekept = now;
	ondol_kmem_cache_tick(mon->machine);
	if (mon->options->thp == ONDOL_THP_NEVER || !mon->options->compact)
		return; /* without the latter frames must stay where they are */
	for (const struct guest_mm *g = mon->mms; g; g = g->next)
		if (g->forking)
			return;
	ondol_khugepaged(mon->machine, KHUGEPAGED_PAGES);
}

/* Until there is something to do by the clock; -1: nothing. */
static int wait_ms(const struct monitor *mon)
{
	int held = pressure_wait_ms(mon), calls = deadlines_wait_ms(mon);

	return held < 0 || (calls >= 0 && calls < held) ? calls : held;
}

static void main_loop(struct monitor *mon)
{
	struct epoll_event event[16];

	while (mon->nr_tasks) {
		bool waiting = mon->early_notifs || mon->late_faults || mon->early_stops ||
			       mon->ready_lost;
		int n = epoll_wait(mon->epoll, event, 16,
				   waiting ? 0 : ksm_wait_ms(mon, wait_ms(mon)));

		mon->notif_taken = false;
		for (int i = 0; i < n; i++) {
			mon->current = 0;
			if (event[i].data.ptr == &mon->signal_fd)
				signal_events(mon);
			else if (event[i].data.ptr == &mon->notif)
				notif_events(mon);
			else if (event[i].data.ptr == &mon->front)
				front_lost(mon);
			else if (event[i].data.ptr == &mon->refs)
				refs_drain(mon);
			else if (event[i].data.ptr == &mon->place)
				place_tick(mon);
			else if (n == 1 || mm_alive(mon, event[i].data.ptr))
				serve_faults(mon, event[i].data.ptr);
			ready_restore(mon);
		}
		mon->current = 0;
		stops_serve_early(mon);
		notif_serve_early(mon);
		fault_serve_late(mon);
		pressure_serve(mon);
		mon->current = 0;
		deadlines_serve(mon);
		housekeeping(mon);
		ksm_tick(mon);
		ready_restore(mon);
	}
}

static int watch(struct monitor *mon, int fd, void *who)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = who };

	return epoll_ctl(mon->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* ------------------------------------------------------------------ start and end */

static int monitor_init(struct monitor *mon, const struct ondol_linux_options *options)
{
	mon->options = options;
	mon->i386 = options->profile->task_size < UINT32_MAX;
	layout_init(mon);
	mon->pid = getpid();
	mon->front_pid = getppid();
	mon->early_notifs_end = &mon->early_notifs;
	mon->early_stops_end = &mon->early_stops;
	mon->swap_fd = mon->notif = mon->signal_fd = mon->epoll = mon->uffd_device = -1;
	mon->max_map_count = (uint64_t)number_in("/proc/sys/vm/max_map_count", 10, 65530);
	/* A fill splits the placeholder in two: two host mappings each at worst. */
	mon->max_host_maps = mon->max_map_count * 9 / 20;
	if (mon->trap == &trap_uffd) {
		mon->uffd_device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
		if (mon->uffd_device < 0)
			return -errno;
	}
	mon->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (mon->epoll < 0)
		return -errno;
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	int r = ram_create(mon);

	mon->ready_start = layout_ready(mon);
	if (!r)
		r = machine_create(mon);
	if (!r && !swap_create(mon))
		return -ENOTSUP; /* it has been said why */
	if (!r)
		pressure_init(mon);
	if (!r)
		mon->pages_plenty = pages_to_spare(mon) / 4;
	return r;
}

static int signals_take(struct monitor *mon)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGTTOU, SIG_IGN); /* warnings go out from the background, too */
	mon->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return mon->signal_fd < 0 ? -errno : watch(mon, mon->signal_fd, &mon->signal_fd);
}

static int start(struct monitor *mon, const struct launch *launch)
{
	uint64_t flags = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP;
	int r = launch_start(mon, launch);

	if (r)
		return r;
	ioctl(mon->notif, SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags); /* since 6.6: a faster wake */
	struct task *task = task_new(mon, mon->root);

	if (!task)
		return -ENOMEM;
	launch_limits(task);
	task->born = true;
	r = signals_take(mon);
	if (!r)
		r = watch(mon, mon->notif, &mon->notif);
	return r ? r : launch_go(mon);
}

static int end_status(struct monitor *mon, const struct launch *launch, int *out_signal)
{
	int error = launch_exec_error(mon);

	if (error) {
		monitor_warn("%s: %s", launch->name, strerror(error));
		return error == ENOENT ? ONDOL_EXIT_NOT_FOUND : ONDOL_EXIT_NOT_EXEC;
	}
	if (WIFSIGNALED(mon->root_status)) {
		*out_signal = WTERMSIG(mon->root_status);
		return 128 + *out_signal;
	}
	return WEXITSTATUS(mon->root_status);
}

/* Wait for the last workers: their mailboxes are frames, too. */
static void workers_end(struct monitor *mon)
{
	const struct timespec nap = { .tv_nsec = 10000000 };

	for (int naps = 0; mon->dying && naps < 500;) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL);

		if (tid > 0) {
			ptrace_event(mon, tid, status);
		} else if (errno != EINTR) {
			guest_mm_sweep(mon);
			nanosleep(&nap, NULL);
			naps++;
		}
	}
}

static const char *start_hint(int error)
{
	switch (error) {
	case -ENOMEM:
		return " (more --mem, or fewer --cpus and --nodes, each of which takes some; or "
		       "is the limit of address space, ulimit -v, too low?)";
	case -EMFILE:
		return " (the hard limit of open files, ulimit -Hn, is too low)";
	case -EFBIG:
		return " (the limit of file size, ulimit -f, is below --mem)";
	case -EPERM:
	case -EBUSY:
		return " (ptrace or system-call filters are not allowed here, as inside of another "
		       "run; `ondol doctor` says more)";
	default:
		return "";
	}
}

static bool is_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags > 0 && flags & O_DIRECT;
}

/* A descriptor with O_DIRECT, opened by nobody in this run: whoever uses it, all frames stay. */
static bool any_direct(const int *inherited)
{
	bool any = is_direct(0) || is_direct(1) || is_direct(2);

	for (int i = 0; inherited && inherited[i] >= 0; i++)
		any |= is_direct(inherited[i]);
	return any;
}

/* The monitor's whole life; the program's status goes to the front. */
static void monitor_main(struct monitor *mon, const struct ondol_linux_options *options,
			 struct launch *launch)
{
	int sig = 0;

	int *inherited = fds_inherited(mon->front);

	int r = launch_limits_prepare(launch);

	mon->nodefs = -1;
	mon->frames_held = any_direct(inherited);
	launch->buffers = !mon->trap->kernel_too;
	launch->swap = frames_change(options);
	launch->see_folders = options->nr_nodes > 1 ||
			      !access("/sys/devices/system/node/node1", F_OK);
	if (!r)
		r = monitor_init(mon, options);
	if (!r)
		r = watch(mon, mon->front, &mon->front);
	if (!r)
		r = place_init(mon);
	if (!r && mon->place.timer >= 0)
		r = watch(mon, mon->place.timer, &mon->place);
	launch->ready_start = mon->ready_start;
	if (!r)
		r = start(mon, launch);
	fds_release(inherited);
	if (r) {
		if (r != -ENOTSUP)
			monitor_warn("cannot start: %s%s", strerror(-r), start_hint(r));
		front_tell(mon, ONDOL_EXIT_CANNOT, 0);
		return;
	}
	main_loop(mon);
	workers_end(mon);
	int status = end_status(mon, launch, &sig);

	report_validate(mon, NULL);
	if (mon->broken) {
		status = ONDOL_EXIT_CANNOT;
		sig = 0;
	}
	if (!options->stats && !options->proc_dir)
		front_tell(mon, status, sig);
	nodefs_destroy(mon);
	report_snapshot(mon);
	report_proc(mon);
	report_run(mon, launch, machine_destroy(mon));
	free(mon->ready_held);
	/* Only a success is not one without its report: a failure tells more than this does. */
	if (mon->report_failed && !status && !sig)
		status = ONDOL_EXIT_CANNOT;
	front_tell(mon, status, sig);
}

/*
 * What we open must not land on 0, 1 or 2 where those are closed: the program finds them closed,
 * since the exec closes what stands in for them here.
 */
static void stdio_occupy(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_CLOEXEC) != fd)
			return;
}

int ondol_linux_run(const struct ondol_linux_options *options, char *const argv[], int *out_signal)
{
	struct launch launch = { .argv = argv, .options = options,
				 .i386 = options->profile->task_size < UINT32_MAX };
	int status = launch_resolve(&launch), fd = -1;
	const char *obstacle = NULL;
	const struct trap *trap = NULL;
	sigset_t set;

	*out_signal = 0;
	stdio_occupy();
	if (status)
		return status;
	obstacle = ondol_linux_obstacle();
	if (!obstacle)
		trap = trap_choose(options->trap, &obstacle);
	if (trap && launch.i386) {
		obstacle = i386_obstacle(); /* first: no device mends it */
		if (!obstacle && !trap->kernel_too)
			obstacle = "32-bit programs need --trap uffd, and so /dev/userfaultfd";
	}
	if (obstacle) {
		monitor_warn("%s", obstacle);
		return ONDOL_EXIT_CANNOT;
	}
	pid_t monitor = front_fork(&fd);

	if (monitor < 0) {
		monitor_warn("cannot start: %s", strerror(-monitor));
		return ONDOL_EXIT_CANNOT;
	}
	if (monitor) {
		fds_release(fds_inherited(fd));
		front_listen(fd, &set);
		status = front_wait(monitor, fd, &set, out_signal);
		launch_free(&launch);
		return status;
	}
	struct monitor *mon = calloc(1, sizeof *mon);

	if (mon) {
		mon->front = fd;
		mon->trap = trap;
		monitor_main(mon, options, &launch);
	}
	_exit(0);
}

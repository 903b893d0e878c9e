/* SPDX-License-Identifier: MIT */
/* What this machine allows, and the one command that mends what it does not. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "i386.h"
#include "internal.h"

#define IOC_NEW 0xaa00
#define KERNEL_MAJOR_MIN 6
#define KERNEL_MINOR_MIN 1

struct finding {
	const char *what;
	bool ok, needed;
	char state[160];
	const char *mend; /* NULL: nothing to do */
};

static bool kernel_new_enough(struct utsname *name)
{
	unsigned major_nr = 0, minor_nr = 0;

	if (uname(name) || sscanf(name->release, "%u.%u", &major_nr, &minor_nr) != 2)
		return false;
	return major_nr > KERNEL_MAJOR_MIN ||
	       (major_nr == KERNEL_MAJOR_MIN && minor_nr >= KERNEL_MINOR_MIN);
}

/* A userfaultfd is its worker's, and fetched from there.  `fd` is taken over. */
static const char *getfd_obstacle(int fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open_, getpid(), 0);
	int copy = (int)syscall(SYS_pidfd_getfd_, pidfd, fd, 0);

	close(fd);
	close(pidfd);
	if (copy < 0)
		return "pidfd_getfd is blocked by a system-call filter; in a container: docker run "
		       "--cap-add SYS_PTRACE ...";
	close(copy);
	return NULL;
}

static const char *device_obstacle(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	if (device < 0 && errno == ENOENT)
		return "this system has no /dev/userfaultfd; in a container: "
		       "docker run --device /dev/userfaultfd --cap-add SYS_PTRACE "
		       "--security-opt seccomp=unconfined ...";
	if (device < 0)
		return "/dev/userfaultfd is not allowed for this user; allow it with: "
		       "sudo chmod 666 /dev/userfaultfd";
	int fd = ioctl(device, IOC_NEW, O_CLOEXEC);

	close(device);
	if (fd < 0)
		return "userfaultfd is blocked by a system-call filter; in a container: docker run "
		       "--security-opt seccomp=unconfined ...";
	return getfd_obstacle(fd);
}

static const char *user_mode_obstacle(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		return errno == ENOSYS ? "this kernel has no userfaultfd" :
					 "userfaultfd is blocked by a system-call filter; in a "
					 "container: docker run --security-opt "
					 "seccomp=unconfined ...";
	return getfd_obstacle(fd);
}

const char *trap_obstacle(const struct trap *trap)
{
	return trap == &trap_uffd ? device_obstacle() :
	       trap == &trap_user ? user_mode_obstacle() : NULL;
}

const struct trap *trap_choose(const char *name, const char **out_why)
{
	const struct trap *const all[] = { &trap_uffd, &trap_user, &trap_ptrace };
	bool any = !name || !strcmp(name, "auto");

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (!any && strcmp(all[i]->name, name))
			continue;
		*out_why = trap_obstacle(all[i]);
		if (!*out_why)
			return all[i];
	}
	return NULL;
}

/* A child that we seize and that installs our filter: exactly what a run does first. */
static const char *tracing_obstacle(void)
{
	int to[2], from[2], status;
	char byte = 1;
	const char *why = NULL;

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return "no pipe can be made";
	pid_t pid = fork();

	if (pid == 0) {
		if (read(to[0], &byte, 1) != 1)
			_exit(1);
		int fd = filter_install(false, false, false, 0);
		byte = fd < 0 ? (char)-fd : 0;
		(void)!write(from[1], &byte, 1);
		_exit(0);
	}
	close(from[1]);
	close(to[0]);
	if (pid < 0 || ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_EXITKILL))
		why = "ptrace is not allowed here; in a container: docker run --cap-add SYS_PTRACE "
		      "--security-opt seccomp=unconfined ...";
	else if (write(to[1], "", 1) != 1 || read(from[0], &byte, 1) != 1 || byte)
		why = "system-call filters with a listener are not allowed here (another tracer or "
		      "filter may be in the way); run ondol outside of it";
	close(to[1]);
	close(from[0]);
	if (pid > 0) {
		if (why)
			kill(pid, SIGKILL);
		while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status))
			ptrace(PTRACE_CONT, pid, NULL, NULL);
	}
	return why;
}

static const char *proc_obstacle(void)
{
	char self[32], pid[32];
	ssize_t n = readlink("/proc/self", self, sizeof self - 1);

	snprintf(pid, sizeof pid, "%d", getpid());
	self[n < 0 ? 0 : n] = 0;
	return strcmp(self, pid) ? "/proc does not show these processes; mount it with: "
				   "mount -t proc proc /proc" : NULL;
}

const char *ondol_linux_obstacle(void)
{
	struct utsname name;

	if (!kernel_new_enough(&name))
		return "this kernel is too old: Linux 6.1 or newer is needed";
	return proc_obstacle();
}

static void finding_obstacle(struct finding *f, const char *what, const char *obstacle)
{
	*f = (struct finding){ .what = what, .ok = !obstacle, .needed = true, .mend = obstacle };
	snprintf(f->state, sizeof f->state, "%s", obstacle ? "not allowed" : "allowed");
}

/* ------------------------------------------------------------------ what a trap costs */

/* One run of an empty program, in ns; 0: it did not work. */
static uint64_t run_once(const char *trap)
{
	char option[32];
	int status = 1;

	snprintf(option, sizeof option, "--trap=%s", trap);
	uint64_t before = now_ns();
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execl("/proc/self/exe", "ondol", "run", option, "--mem", "64M", "--", "/bin/true",
		      (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return 0;
	return now_ns() - before;
}

/* The trap in one line: whether it works, and what an empty program takes, best of five. */
static void finding_trap(struct finding *f, const struct trap *trap, const struct trap *used)
{
	static char what[3][32];
	char *name = what[trap == &trap_uffd ? 0 : trap == &trap_user ? 1 : 2];
	const char *why = trap_obstacle(trap);
	uint64_t best = 0;

	snprintf(name, sizeof *what, "trap %s", trap->name);
	*f = (struct finding){ .what = name, .ok = !why, .needed = !used, .mend = why };
	for (int i = 0; i < 5 && !why; i++) {
		uint64_t ns = run_once(trap->name);

		best = ns && (!best || ns < best) ? ns : best;
	}
	if (why)
		snprintf(f->state, sizeof f->state, "not allowed%s",
			 trap == &trap_uffd ? ", and the fastest" : "");
	else if (!best) {
		f->ok = false;
		snprintf(f->state, sizeof f->state, "allowed, but a run of /bin/true fails");
	} else
		snprintf(f->state, sizeof f->state, "%s; /bin/true takes %.1f ms",
			 trap == used ? "used" : "allowed", (double)best / 1e6);
}

static void finding_i386(struct finding *f)
{
	*f = (struct finding){ .what = "32-bit programs", .ok = !i386_obstacle(),
			       .mend = "where it is only switched off: ia32_emulation=on at boot" };
	snprintf(f->state, sizeof f->state,
		 f->ok ? "run by the host; --profile i386, with trap uffd" :
			 "not run by this host's kernel: no --profile i386");
}

static int look(struct finding *f, const struct trap *trap)
{
	struct utsname name;
	int n = 0;
	long maps = number_in("/proc/sys/vm/max_map_count", 10, 65530);
	long overcommit = number_in("/proc/sys/vm/overcommit_memory", 10, 0);
	cpu_set_t cpus;

	f[n] = (struct finding){ .what = "kernel", .ok = kernel_new_enough(&name), .needed = true,
				 .mend = "Linux 6.1 or newer is needed" };
	snprintf(f[n++].state, sizeof f->state, "%.100s", name.release);
	finding_obstacle(&f[n++], "/proc", proc_obstacle());
	finding_obstacle(&f[n++], "ptrace and filter", tracing_obstacle());
	finding_trap(&f[n++], &trap_uffd, trap);
	finding_trap(&f[n++], &trap_user, trap);
	finding_trap(&f[n++], &trap_ptrace, trap);
	finding_i386(&f[n++]);
	f[n] = (struct finding){ .what = "overcommit", .ok = overcommit != 2,
				 .needed = trap != &trap_ptrace,
				 .mend = "sudo sysctl vm.overcommit_memory=0 (or --trap=ptrace)" };
	snprintf(f[n++].state, sizeof f->state, "mode %ld", overcommit);
	f[n] = (struct finding){ .what = "host mappings", .ok = maps >= 65530,
				 .mend = "sudo sysctl vm.max_map_count=1048576" };
	snprintf(f[n++].state, sizeof f->state, "%ld a process; more means fewer evictions", maps);
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof cpus, &cpus);
	f[n] = (struct finding){ .what = "processors", .ok = true };
	snprintf(f[n++].state, sizeof f->state, "%d may be used", CPU_COUNT(&cpus));
	f[n] = (struct finding){ .what = "memory", .ok = true };
	snprintf(f[n++].state, sizeof f->state, "%ld MiB installed",
		 sysconf(_SC_PHYS_PAGES) / 256);
	return n;
}

int ondol_linux_doctor(FILE *out, bool json)
{
	const char *unused;
	const struct trap *trap = trap_choose(NULL, &unused);
	struct finding finding[16];
	int n = look(finding, trap), bad = 0;

	if (json)
		fprintf(out, "{\"findings\":[");
	for (int i = 0; i < n; i++) {
		const struct finding *f = &finding[i];

		bad |= f->needed && !f->ok;
		if (json)
			fprintf(out,
				"%s{\"what\":\"%s\",\"ok\":%s,\"needed\":%s,"
				"\"state\":\"%s\"%s%s%s}",
				i ? "," : "", f->what, f->ok ? "true" : "false",
				f->needed ? "true" : "false", f->state,
				f->ok || !f->mend ? "" : ",\"mend\":\"",
				f->ok || !f->mend ? "" : f->mend, f->ok || !f->mend ? "" : "\"");
		else
			fprintf(out, "%s %-18s %s\n",
				f->ok ? "  ok  " : f->needed ? "NEEDED" : "  hint",
				f->what, f->state);
		if (!json && !f->ok && f->mend)
			fprintf(out, "       -> %s\n", f->mend);
	}
	if (json)
		fprintf(out, "],\"trap\":\"%s\",\"can_run\":%s}\n", trap ? trap->name : "",
			bad ? "false" : "true");
	else if (bad)
		fprintf(out, "ondol run does not work here yet: mend what is NEEDED.\n");
	else
		fprintf(out, "ondol run works here; page faults are told by `%s`%s.\n",
			trap->name,
			trap == &trap_uffd ? "" : " (see the hint for a faster way)");
	return bad;
}

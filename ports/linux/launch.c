/* SPDX-License-Identifier: MIT */
/*
 * Start the program: look it up as a shell would, fork, let the monitor seize the child,
 * have the child install the filter and hand over its listener, exec.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "i386.h"
#include "launch.h"

#define DESCRIPTORS_WANTED 65536
#define DESCRIPTORS_NEEDED 64 /* a pipeline of a few programs with a dozen libraries */

/* ------------------------------------------------------------------ finding it */

static bool is_runnable(const char *path, int *out_error)
{
	struct stat st;

	if (stat(path, &st)) {
		if (errno != ENOENT && errno != ENOTDIR)
			*out_error = errno;
		return false;
	}
	if (S_ISDIR(st.st_mode)) {
		*out_error = EISDIR;
		return false;
	}
	if (access(path, X_OK)) {
		*out_error = EACCES;
		return false;
	}
	return true;
}

static char *look_up(const char *name, int *out_error)
{
	const char *dirs = getenv("PATH");
	char path[PATH_MAX];

	*out_error = ENOENT;
	if (strchr(name, '/'))
		return is_runnable(name, out_error) ? strdup(name) : NULL;
	if (!*name)
		return NULL;
	for (const char *d = dirs && *dirs ? dirs : "/usr/local/bin:/bin:/usr/bin"; d;) {
		const char *colon = strchr(d, ':');
		int len = colon ? (int)(colon - d) : (int)strlen(d);

		snprintf(path, sizeof path, "%.*s%s%s", len, d, len ? "/" : "", name);
		if (is_runnable(path, out_error))
			return strdup(path);
		d = colon ? colon + 1 : NULL;
	}
	return NULL;
}

static int read_file(void *ctx, uint64_t offset, void *dst, size_t size)
{
	return pread(*(int *)ctx, dst, size, (off_t)offset) == (ssize_t)size ? 0 : -ONDOL_EIO;
}

/* What the host would only call "Exec format error", in words. */
static int elf_check(const char *name, const char *path, bool i386)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char magic[SELFMAG];
	struct ondol_elf_info info;
	const char *why = NULL;

	if (fd < 0)
		return 0; /* execute-only: the host decides */
	if (pread(fd, magic, SELFMAG, 0) != SELFMAG || memcmp(magic, ELFMAG, SELFMAG)) {
		close(fd);
		return 0; /* a script, say */
	}
	int r = ondol_elf_parse(read_file, &fd, (uint64_t)lseek(fd, 0, SEEK_END), &info, &why);

	close(fd);
	if (!r && info.machine == (i386 ? EM_386 : EM_X86_64))
		return 0;
	if (!r)
		why = i386 ? "it is a 64-bit program, and the machine a 32-bit one "
			     "(--profile i386)" :
			     "it is a 32-bit (i386) program, which needs --profile i386";
	monitor_warn("%s: cannot be executed: %s", name, why ? why : "malformed ELF file");
	return ONDOL_EXIT_NOT_EXEC;
}

int launch_resolve(struct launch *launch)
{
	int error;

	launch->name = launch->argv[0];
	launch->path = look_up(launch->name, &error);
	if (launch->path)
		return elf_check(launch->name, launch->path, launch->i386);
	monitor_warn("%s: %s", launch->name,
		     error == ENOENT && !strchr(launch->name, '/') ? "command not found" :
								     strerror(error));
	return error == ENOENT ? ONDOL_EXIT_NOT_FOUND : ONDOL_EXIT_NOT_EXEC;
}

void launch_free(struct launch *launch)
{
	free(launch->path);
}

/* ------------------------------------------------------------------ limits */

/*
 * Every cached file and every process of the program costs us a descriptor; the program keeps
 * the limit it had.  Past the hard limit goes only who may (CAP_SYS_RESOURCE).
 */
static int more_descriptors(const struct rlimit *given)
{
	struct rlimit more = { DESCRIPTORS_WANTED, DESCRIPTORS_WANTED };

	if (given->rlim_max < DESCRIPTORS_WANTED && !setrlimit(RLIMIT_NOFILE, &more))
		return 0;
	more = *given;
	more.rlim_cur = more.rlim_max;
	setrlimit(RLIMIT_NOFILE, &more);
	return more.rlim_max < DESCRIPTORS_NEEDED ? -EMFILE : 0;
}

int launch_limits_prepare(struct launch *launch)
{
	struct rlimit more;
	int r;

	getrlimit(RLIMIT_NOFILE, &launch->nofile);
	r = more_descriptors(&launch->nofile);
	/* The machine's memory is a file, to the host. */
	getrlimit(RLIMIT_FSIZE, &launch->fsize);
	more = launch->fsize;
	more.rlim_cur = more.rlim_max;
	setrlimit(RLIMIT_FSIZE, &more);
	signal(SIGXFSZ, SIG_IGN);
	return r;
}

void launch_limits(struct task *task)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_AS, &limit)) {
		task->rlimit_as[0] = limit.rlim_cur;
		task->rlimit_as[1] = limit.rlim_max;
	}
	if (!getrlimit(RLIMIT_DATA, &limit)) {
		task->rlimit_data[0] = limit.rlim_cur;
		task->rlimit_data[1] = limit.rlim_max;
	}
}

/* ------------------------------------------------------------------ starting it */

static int fd_send(int socket_fd, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof control };
	struct cmsghdr *header = CMSG_FIRSTHDR(&msg);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(header), &fd, sizeof fd);
	return sendmsg(socket_fd, &msg, LAUNCH_MESSAGE) == 1 ? 0 : -errno;
}

static int fd_receive(int socket_fd)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof control };
	struct cmsghdr *header;
	int fd;

	if (recvmsg(socket_fd, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -EPIPE;
	header = CMSG_FIRSTHDR(&msg);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return byte ? -(int)(unsigned char)byte : -EPROTO;
	memcpy(&fd, CMSG_DATA(header), sizeof fd);
	return fd;
}

static void exec_shell(const struct launch *launch)
{
	size_t n = 0;

	while (launch->argv[n])
		n++;
	const char **argv = calloc(n + 3, sizeof *argv);

	if (!argv)
		return;
	argv[0] = "sh";
	argv[1] = launch->path;
	for (size_t i = 1; i < n; i++)
		argv[i + 1] = launch->argv[i];
	execv("/bin/sh", (char *const *)argv);
}

/*
 * A core dump has the frames, which are shared memory to the host, and not the placeholder,
 * 128 TiB of private memory that the host would look through page by page.
 */
static void core_filter_set(void)
{
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "0x12", 4); /* core(5): shared anonymous memory, ELF headers */
	close(fd);
}

/* The child, until it is the program. */
static _Noreturn void child_main(const struct launch *launch, int socket_fd)
{
	struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY }, limit;
	char byte;

	if (read(socket_fd, &byte, 1) != 1) /* seized */
		_exit(ONDOL_EXIT_CANNOT);
	/* Emulated: the placeholder would exceed them. */
	if (setrlimit(RLIMIT_AS, &none) && !getrlimit(RLIMIT_AS, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_AS, &limit);
	}
	if (setrlimit(RLIMIT_DATA, &none) && !getrlimit(RLIMIT_DATA, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_DATA, &limit);
	}
	setrlimit(RLIMIT_FSIZE, &launch->fsize);
	signal(SIGXFSZ, SIG_DFL);
	core_filter_set();
	layout_hold(launch->options);
	setrlimit(RLIMIT_NOFILE, &launch->nofile);
	int listener = launch->i386 ?
			       filter_install_i386(launch->see_folders, launch->swap) :
			       filter_install(launch->see_folders, launch->swap, launch->buffers,
					      launch->ready_start);

	if (listener < 0) {
		byte = (char)-listener;
		(void)!write(socket_fd, &byte, 1);
		_exit(ONDOL_EXIT_CANNOT);
	}
	fd_send(socket_fd, listener);
	close(listener);
	if (read(socket_fd, &byte, 1) != 1) /* served */
		_exit(ONDOL_EXIT_CANNOT);
	execv(launch->path, launch->argv);
	if (errno == ENOEXEC)
		exec_shell(launch);
	byte = (char)errno;
	(void)!write(socket_fd, &byte, 1);
	_exit(ONDOL_EXIT_NOT_EXEC);
}

int launch_start(struct monitor *mon, const struct launch *launch)
{
	const long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
			     PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD |
			     PTRACE_O_EXITKILL;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fflush(NULL);
	mon->root = fork();
	if (mon->root < 0)
		return -errno;
	if (!mon->root) {
		close(pair[0]);
		child_main(launch, pair[1]);
	}
	close(pair[1]);
	mon->launch_socket = pair[0];
	if (ptrace(PTRACE_SEIZE, mon->root, NULL, (void *)options)) {
		int error = errno;
		kill(mon->root, SIGKILL);
		return -error;
	}
	if (write(pair[0], "", 1) != 1)
		return -errno;
	mon->notif = fd_receive(pair[0]);
	return mon->notif < 0 ? mon->notif : 0;
}

int launch_go(struct monitor *mon)
{
	return write(mon->launch_socket, "", 1) == 1 ? 0 : -errno;
}

int launch_exec_error(struct monitor *mon)
{
	unsigned char byte;
	ssize_t n = recv(mon->launch_socket, &byte, 1, MSG_DONTWAIT);

	close(mon->launch_socket);
	return n == 1 ? byte : 0;
}
